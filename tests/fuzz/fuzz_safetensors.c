/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    io_safetensors file;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = io_safetensors_open(&file, "input", &error);
    if (status != error.status)
        abort();
    for (size_t i = 0; i < file.count; i++)
        fuzz_touch(file.tensors[i].data, file.tensors[i].size);
    io_safetensors_close(&file);
    return 0;
}

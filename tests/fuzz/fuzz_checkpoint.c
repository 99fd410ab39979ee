/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    io_tensors file;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = io_tensors_open(&file, "input", &error);
    if (status != error.status)
        abort();
    for (size_t i = 0; i < file.count; i++) {
        if (io_tensors_find(&file, file.tensors[i].name) != &file.tensors[i])
            abort();
        fuzz_touch(file.tensors[i].data, file.tensors[i].size);
    }
    io_tensors_close(&file);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    io_npz npz;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = io_npz_open(&npz, "input", 1 << 20, &error);
    if (status != error.status)
        abort();
    for (size_t i = 0; i < npz.count; i++)
        fuzz_touch(npz.arrays[i].data, npz.arrays[i].size);
    io_npz_close(&npz);
    return 0;
}

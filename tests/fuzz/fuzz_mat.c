/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    io_mat mat;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = io_mat_open(&mat, "input", &error);
    if (status != error.status)
        abort();
    for (size_t i = 0; i < mat.count; i++) {
        io_array array;
        error = (hds_error){ 0 };
        status = io_mat_read(&array, &mat, mat.variables[i].name, &error);
        if (status != error.status || (status && array.data))
            abort();
        fuzz_touch(array.data, array.data ? array.size : 0);
        if (array.data && array.size && io_is_numeric(&array))
            (void)io_number(&array, array.size / (size_t)array.itemsize - 1);
        hds_free(array.data);
    }
    io_mat_close(&mat);
    return 0;
}

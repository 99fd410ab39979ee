/* SPDX-License-Identifier: Apache-2.0 */
/* Head models in .npz files: our own format, and FLAME's names. */
#include "fuzz_model.h"

#include "arrays.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    head_model *m = NULL;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = head_load_npz(&m, "input", &error);
    fuzz_check(status, &error, "input");
    if ((status == HDS_OK) != (m != NULL))
        abort();
    if (m)
        fuzz_use(m);
    hds_head_model_unref(m);
    return 0;
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t room, unsigned seed)
{
    io_npz npz;
    size_t written = 0;
    fuzz_input = data;
    fuzz_size = size;
    if (seed % 8 && io_npz_open(&npz, "input", 1 << 20, NULL) == HDS_OK) {
        fuzz_arrays arrays;
        fuzz_arrays_take(&arrays, &npz);
        io_npz_close(&npz);
        fuzz_arrays_mutate(&arrays, seed);
        written = fuzz_arrays_write_npz(&arrays, data, room);
        fuzz_arrays_finish(&arrays);
    }
    return written ? written : LLVMFuzzerMutate(data, size, room);
}

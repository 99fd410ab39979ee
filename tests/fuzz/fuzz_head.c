/* SPDX-License-Identifier: Apache-2.0 */
/* Head models in .npz files: our own format, and FLAME's names. */
#include "fuzz_model.h"

#include "arrays.h"
#include "headfile/headfile.h"

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    head_model *m = NULL;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = headfile_load_npz(&m, "input", &error);
    fuzz_check_loaded(status, &error, "input", m);
    return 0;
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t room, unsigned seed)
{
    fuzz_input = data;
    fuzz_size = size;
    size_t written = seed % 8 ? fuzz_arrays_mutate_npz("input", seed, data, room) : 0;
    return written ? written : LLVMFuzzerMutate(data, size, room);
}

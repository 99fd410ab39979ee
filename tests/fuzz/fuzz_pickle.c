/* SPDX-License-Identifier: Apache-2.0 */
#include "fuzz.h"

enum { DEEPEST = 50, MOST = 20000 };

/* Walks a tree that may hold itself; `left` counts the values that are still looked at. */
static void walk(const io_value *value, int depth, int *left)
{
    hds_error error = { 0 };
    io_array array;
    if (!value || depth == DEEPEST || --*left < 0)
        return;
    if (value->kind == IO_VALUE_BYTES || value->kind == IO_VALUE_TEXT ||
        value->kind == IO_VALUE_GLOBAL || value->kind == IO_VALUE_BIG)
        fuzz_touch(value->bytes, value->count);
    else
        for (size_t i = 0; i < value->count; i++)
            walk(value->items[i], depth + 1, left);
    walk(value->callee, depth + 1, left);
    walk(value->arguments, depth + 1, left);
    walk(value->state, depth + 1, left);
    if (io_value_array(&array, value, "input", &error) != error.status)
        abort();
    fuzz_touch(array.data, array.data ? array.size : 0);
    hds_free(array.data);
    (void)io_value_get(value, "x");
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    static const char *const globals[] = { "chumpy.ch.Ch", "scipy.sparse.csc.csc_matrix", NULL };
    io_pickle pickle;
    hds_error error = { 0 };
    int left = MOST;
    fuzz_input = data;
    fuzz_size = size;
    hds_status status = io_pickle_open(&pickle, "input", globals, &error);
    if (status != error.status)
        abort();
    walk(pickle.root, 0, &left);
    walk(pickle.persistent, 0, &left);
    io_pickle_close(&pickle);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Mutation of the arrays in a file instead of its bytes: extents, types, numbers and names change,
 * and the file around them is made anew, so that checksums and lengths hold and the readers of head
 * models are reached. Much of what comes out is whole: extents change everywhere at once, weights
 * and trees are mended. */
#ifndef HDS_FUZZ_ARRAYS_H
#define HDS_FUZZ_ARRAYS_H

#include "io/io.h"

/* How an array stands in a pickle; in an .npz all are plain. */
typedef enum fuzz_form { FUZZ_PLAIN, FUZZ_CHUMPY, FUZZ_BY_COLUMN, FUZZ_BY_ROW } fuzz_form;

enum { FUZZ_ARRAYS = 32 };
typedef struct fuzz_arrays {
    io_array arrays[FUZZ_ARRAYS]; /* owned */
    /* Arrays of a sparse matrix stand in a row, data, indices, indptr, under the matrix's name. */
    fuzz_form forms[FUZZ_ARRAYS];
    bool fortran[FUZZ_ARRAYS]; /* what is said of the order; the numbers lie as they are */
    size_t count;
} fuzz_arrays;

/* Both move or copy what they find; *a is empty where there is nothing. */
void fuzz_arrays_take(fuzz_arrays *a, io_npz *npz);
void fuzz_arrays_read_pickle(fuzz_arrays *a, const void *bytes, size_t size);
void fuzz_arrays_mutate(fuzz_arrays *a, unsigned seed);
/* The bytes that were written, 0: they are more than `room`. */
size_t fuzz_arrays_write_npz(const fuzz_arrays *a, unsigned char *out, size_t room);
size_t fuzz_arrays_write_pickle(const fuzz_arrays *a, unsigned char *out, size_t room);
/* All of it to the .npz at `path`; 0 also: it was not read, or holds nothing. */
size_t fuzz_arrays_mutate_npz(const char *path, unsigned seed, unsigned char *out, size_t room);
void fuzz_arrays_finish(fuzz_arrays *a);
/* libFuzzer's own mutation of bytes: the new size, at most `room`. */
size_t LLVMFuzzerMutate(unsigned char *data, size_t size, size_t room);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers share: the linker puts these in place of io_map_open and io_map_close, so that
 * whatever path a reader opens is the input, in a block that ends where the input does. */
#ifndef HDS_FUZZ_H
#define HDS_FUZZ_H

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const unsigned char *fuzz_input;
static size_t fuzz_size;
/* Of several files that are one input: makes the two above those of this path. */
static void (*fuzz_select)(const char *path);
/* Of the inputs, those that were read to their end: fuzzers whose inputs are made to fit say at
 * their end how many, and fail if hardly any did. */
static size_t fuzz_inputs, fuzz_loaded;

hds_status __wrap_io_map_open(io_map *map, const char *path, hds_error *error);
void __wrap_io_map_close(io_map *map);
int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size);
size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t room, unsigned seed);

hds_status __wrap_io_map_open(io_map *map, const char *path, hds_error *error)
{
    if (fuzz_select)
        fuzz_select(path);
    unsigned char *bytes = malloc(fuzz_size);
    *map = (io_map){ 0 };
    if (!fuzz_size || !bytes) {
        free(bytes);
        return fuzz_size ? hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path) : HDS_OK;
    }
    memcpy(bytes, fuzz_input, fuzz_size);
    *map = (io_map){ .bytes = bytes, .size = fuzz_size };
    return HDS_OK;
}

void __wrap_io_map_close(io_map *map)
{
    free((void *)(uintptr_t)map->bytes);
    *map = (io_map){ 0 };
}

static void fuzz_tell(void)
{
    printf("%zu of %zu inputs were read to their end\n", fuzz_loaded, fuzz_inputs);
    fflush(stdout);
    if (fuzz_inputs > 1000 && fuzz_loaded < fuzz_inputs / 50)
        _exit(EXIT_FAILURE);
}

/* A refusal has the status that it returns, and a message that names the file. */
static inline void fuzz_check(hds_status status, const hds_error *error, const char *path)
{
    if (!fuzz_inputs++)
        atexit(fuzz_tell);
    if (status != error->status || (status && !strstr(error->message, path)))
        abort();
}

/* Reads every byte, so that the sanitizer sees one that is not there. */
static inline unsigned fuzz_touch(const void *bytes, size_t size)
{
    static volatile unsigned sink;
    const unsigned char *at = bytes;
    unsigned sum = 0;
    for (size_t i = 0; i < size; i++)
        sum += at[i];
    return sink = sum;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks of the geometry core share: a clock, memory, random numbers, and the speed of the
 * machine's memory. */
#ifndef HDS_BENCH_GEOMETRY_H
#define HDS_BENCH_GEOMETRY_H

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Milliseconds. */
static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return 1e3 * (double)t.tv_sec + 1e-6 * (double)t.tv_nsec;
}

static inline void *bench_need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* Zeroed; for hds_free. */
static inline void *bench_zeros(size_t count, size_t size)
{
    return bench_need(hds_alloc(count, size));
}

static inline real *bench_normal(uint64_t stream, size_t count, double scale)
{
    real *out = bench_zeros(count, sizeof *out);
    rng r = rng_make(1, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (real)(scale * rng_normal(&r));
    return out;
}

enum { BENCH_CHUNK = 1 << 20, BENCH_CHUNKS = 64 };

static inline void bench_copy_chunk(void *context, size_t i)
{
    char *memory = context;
    memcpy(memory + (BENCH_CHUNKS + i) * BENCH_CHUNK, memory + i * BENCH_CHUNK, BENCH_CHUNK);
}

/* Bytes read or written a millisecond when much memory is copied by all threads. */
static inline double bench_bandwidth(void)
{
    char *memory = bench_zeros(2 * BENCH_CHUNKS, BENCH_CHUNK);
    double best = 1e9;
    memset(memory, 1, (size_t)BENCH_CHUNKS * BENCH_CHUNK);
    for (int i = 0; i < 12; i++) {
        double start = bench_now();
        threads_parallel(BENCH_CHUNKS, bench_copy_chunk, memory);
        double took = bench_now() - start;
        best = took < best ? took : best;
    }
    hds_free(memory);
    return 2.0 * BENCH_CHUNKS * BENCH_CHUNK / best;
}

#endif

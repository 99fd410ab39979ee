/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks of the networks measure by: a clock, peak memory, and the rate of matrix products
 * of the same run. */
#ifndef HDS_BENCH_H
#define HDS_BENCH_H

#include "tensor/tensor.h"

#include <sys/resource.h>
#include <time.h>

static inline double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double bench_peak_mib(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_maxrss / 1024;
}

/* Operations a second of the best of six products of square matrices (side, side). */
static inline double bench_product_rate(tn_context *cx, int64_t side)
{
    size_t scope = tn_enter(cx);
    tn *a = tn_affine(cx, tn_zeros(cx, TN_SHAPE(side, side)), 1, 0.5);
    double best = 1e9;
    for (int i = 0; i < 6; i++) {
        double start = bench_now();
        tn_matmul(cx, a, a);
        double took = bench_now() - start;
        best = took < best ? took : best;
    }
    tn_leave(cx, scope, NULL);
    return 2.0 * (double)side * (double)side * (double)side / best;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What benchmarks of the networks measure by: a clock, peak memory, the multiplications of the
 * layers that ran, and the rate of matrix products of the same run. */
#ifndef HDS_BENCH_H
#define HDS_BENCH_H

#include "nn/nn.h"

#include <stdio.h>
#include <string.h>
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

/* A probe of modules (weights_set_probe) that adds two for each multiplication: weights of a layer
 * times its places, and the products of attention, whose module is seen by its output: (B,L,C), or
 * (B,C,H,W) in a VAE. */
typedef struct bench_counter {
    tn_context *cx;
    weights *w;
    double flops;
} bench_counter;

static inline bool bench_ends(const char *path, const char *end)
{
    size_t length = strlen(path), tail = strlen(end);
    return length >= tail && !strcmp(path + length - tail, end);
}

static inline void bench_count_module(void *context, const char *path, const tn *y)
{
    bench_counter *c = context;
    char name[400];
    snprintf(name, sizeof name, "%s.weight", path);
    const tn *w = weights_find(c->w, name);
    if (w && tn_dims(c->cx, w) > 1) {
        double out = (double)tn_dim(c->cx, w, 0);
        c->flops += 2.0 * (double)tn_count(c->cx, w) * (double)tn_count(c->cx, y) / out;
    }
    double keys = 0;
    if (bench_ends(path, ".attn1"))
        keys = (double)tn_dim(c->cx, y, 1);
    else if (bench_ends(path, ".attn2"))
        keys = 77; /* tokens */
    else if (bench_ends(path, "encoder.mid_block.attentions.0"))
        keys = (double)(tn_dim(c->cx, y, 2) * tn_dim(c->cx, y, 3));
    c->flops += 4.0 * (double)tn_count(c->cx, y) * keys;
}

#endif

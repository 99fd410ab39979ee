/* SPDX-License-Identifier: Apache-2.0 */
/* How far skinning and its adjoint are from the time it takes to read the bases once, at FLAME's
 * size: 5,023 vertices, 100 shape and 50 expression components, 5 joints. */
#include "head/head.h"
#include "mesh/mesh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { V = 5023, F = 9976, S = 100, E = 50, J = 5, K = 3, REPEATS = 201 };
enum { ROW = 3 * V, STRIPES = 64 };

typedef struct bench {
    head_model model;
    real *shape_and_expression; /* (S+E,V,3) */
    real inputs[S + E + 3 * J], gradients[S + E + 3 * J];
    real *vertices, *dvertices, *normals;
    uint32_t *faces;
    mesh_adjacency adjacency;
    arena scratch;
    head_pose saved;
    uint64_t checksums[STRIPES];
} bench;

static void *need(void *memory)
{
    if (!memory) {
        fprintf(stderr, "bench_head: out of memory\n");
        exit(1);
    }
    return memory;
}

static real *fill(uint64_t stream, size_t count, double scale)
{
    real *out = need(hds_alloc(count, sizeof *out));
    rng r = rng_make(1, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (real)(scale * rng_normal(&r));
    return out;
}

static void build(bench *b)
{
    static const int32_t parents[J] = { -1, 0, 1, 1, 1 };
    head_model *m = &b->model;
    b->shape_and_expression = fill(1, (size_t)(S + E) * ROW, 1e-3);
    *m = (head_model){ .vertex_count = V,
                       .face_count = F,
                       .shape_count = S,
                       .expression_count = E,
                       .joint_count = J,
                       .skin_count = K,
                       .vertices = fill(2, ROW, 0.1),
                       .shape_basis = b->shape_and_expression,
                       .expression_basis = b->shape_and_expression + (size_t)S * ROW,
                       .joints = fill(3, 3 * J, 0.1),
                       .joint_shape_basis = fill(4, S * 3 * J, 1e-3),
                       .joint_parents = (int32_t *)parents };
    m->skin_joints = need(hds_alloc(V * K, sizeof *m->skin_joints));
    m->skin_weights = need(hds_alloc(V * K, sizeof *m->skin_weights));
    b->faces = need(hds_alloc(3 * F, sizeof *b->faces));
    rng r = rng_make(2, 0);
    for (size_t i = 0; i < V * K; i++) {
        m->skin_joints[i] = rng_below(&r, J);
        m->skin_weights[i] = (real)(1.0 / K);
    }
    for (uint32_t i = 0; i < 3 * F; i++)
        b->faces[i] = (i / 6 + i % 3 * 71 + i % 2) % V;
    for (size_t i = 0; i < S + E + 3 * J; i++)
        b->inputs[i] = (real)rng_normal(&r);
    b->vertices = need(hds_alloc(ROW, sizeof(real)));
    b->normals = need(hds_alloc(ROW, sizeof(real)));
    b->dvertices = fill(5, ROW, 1);
    if (mesh_adjacency_init(&b->adjacency, b->faces, F, V, NULL))
        exit(1);
}

static void destroy(bench *b)
{
    void *arrays[] = { b->shape_and_expression,
                       b->model.vertices,
                       b->model.joints,
                       b->model.joint_shape_basis,
                       b->model.skin_joints,
                       b->model.skin_weights,
                       b->faces,
                       b->vertices,
                       b->normals,
                       b->dvertices };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        hds_free(arrays[i]);
    mesh_adjacency_finish(&b->adjacency);
    arena_finish(&b->scratch);
}

/* Reads one stripe of the bases, as wide as the machine loads without being asked. */
static void read_stripe(void *context, size_t stripe)
{
    enum { LANES = 16 };
    bench *b = context;
    size_t words = (size_t)(S + E) * ROW * sizeof(real) / sizeof(uint64_t) / STRIPES;
    const uint64_t *word = (const uint64_t *)b->shape_and_expression + stripe * words;
    uint64_t lanes[LANES] = { 0 };
    for (size_t i = 0; i + LANES <= words; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] ^= word[i + l];
    for (size_t l = 0; l < LANES; l++)
        b->checksums[stripe] ^= lanes[l];
}

static void read_bases(bench *b)
{
    threads_parallel(STRIPES, read_stripe, b);
}

static void forward(bench *b)
{
    arena_leave(&b->scratch, (arena_mark){ 0 });
    if (!head_skin(&b->model, b->inputs, b->inputs + S, b->inputs + S + E, &b->scratch, &b->saved,
                   b->vertices))
        exit(1);
}

static void adjoint(bench *b)
{
    if (!head_skin_adjoint(&b->model, b->inputs, b->inputs + S, b->inputs + S + E, &b->scratch,
                           &b->saved, b->dvertices, b->gradients, b->gradients + S,
                           b->gradients + S + E))
        exit(1);
}

static void normals(bench *b)
{
    mesh_normals(&b->adjacency, b->faces, b->vertices, b->normals);
}

static void normals_adjoint(bench *b)
{
    if (!mesh_normals_adjoint(&b->adjacency, b->faces, b->vertices, b->normals, b->vertices,
                              &b->scratch, b->dvertices))
        exit(1);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median, in milliseconds. */
static double measure(bench *b, void (*body)(bench *))
{
    double times[REPEATS];
    for (int i = 0; i < REPEATS; i++) {
        struct timespec start, end;
        clock_gettime(CLOCK_MONOTONIC, &start);
        body(b);
        clock_gettime(CLOCK_MONOTONIC, &end);
        times[i] = 1e3 * (double)(end.tv_sec - start.tv_sec) +
                   1e-6 * (double)(end.tv_nsec - start.tv_nsec);
    }
    qsort(times, REPEATS, sizeof *times, ascending);
    return times[REPEATS / 2];
}

int main(void)
{
    static bench b;
    build(&b);
    for (int threads = 1; threads <= 2; threads++) {
        threads_set_count(threads);
        double once = measure(&b, read_bases);
        double skin = measure(&b, forward), skin_adjoint = measure(&b, adjoint);
        printf("%d thread%s: bases (%.1f MB) read once %.3f ms | head %.3f ms, %.2f times that | "
               "adjoint %.3f ms, %.2f times | normals %.3f ms, adjoint %.3f ms\n",
               threads, threads > 1 ? "s" : "", (S + E) * ROW * sizeof(real) / 1e6, once, skin,
               skin / once, skin_adjoint, skin_adjoint / once, measure(&b, normals),
               measure(&b, normals_adjoint));
    }
    destroy(&b);
    return 0;
}

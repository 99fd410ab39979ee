/* SPDX-License-Identifier: Apache-2.0 */
/* How far skinning and its adjoint are from the time it takes to read the bases once, at FLAME's
 * size: 5,023 vertices, 100 shape and 50 expression components, 5 joints and their 36 correctives;
 * for one head a call and for several. Each figure is the least of many, taken in turns with the
 * reading, because the machine may have other work. */
#include "geometry.h"
#include "head/head.h"
#include "mesh/mesh.h"

#include <math.h>

enum { V = 5023, F = 9976, S = 100, E = 50, J = 5, K = 3, P = 9 * (J - 1) };
enum { ROW = 3 * V, ROWS = S + E + P, STRIPES = 64, MOST_HEADS = 32, BODIES = 5 };

typedef struct bench {
    head_model model;
    real *bases; /* (S+E+P,V,3) */
    size_t heads;
    real shape[MOST_HEADS * S], expression[MOST_HEADS * E], pose[MOST_HEADS * 3 * J];
    real dshape[MOST_HEADS * S], dexpression[MOST_HEADS * E], dpose[MOST_HEADS * 3 * J];
    real *vertices, *dvertices, *normals, *lengths;
    uint32_t *faces;
    mesh_adjacency adjacency;
    arena scratch;
    head_pose saved;
    uint64_t checksums[STRIPES];
} bench;

static void build(bench *b)
{
    static const int32_t parents[J] = { -1, 0, 1, 1, 1 };
    head_model *m = &b->model;
    b->bases = bench_normal(1, (size_t)ROWS * ROW, 1e-3);
    *m = (head_model){ .vertex_count = V,
                       .face_count = F,
                       .shape_count = S,
                       .expression_count = E,
                       .joint_count = J,
                       .skin_count = K,
                       .vertices = bench_normal(2, ROW, 0.1),
                       .shape_basis = b->bases,
                       .expression_basis = b->bases + (size_t)S * ROW,
                       .pose_basis = b->bases + (size_t)(S + E) * ROW,
                       .joints = bench_normal(3, 3 * J, 0.1),
                       .joint_shape_basis = bench_normal(4, S * 3 * J, 1e-3),
                       .joint_parents = (int32_t *)parents };
    m->skin_joints = bench_zeros(V * K, sizeof *m->skin_joints);
    m->skin_weights = bench_zeros(V * K, sizeof *m->skin_weights);
    b->faces = bench_zeros(3 * F, sizeof *b->faces);
    rng r = rng_make(2, 0);
    for (size_t i = 0; i < V * K; i++) {
        m->skin_joints[i] = rng_below(&r, J);
        m->skin_weights[i] = (real)(1.0 / K);
    }
    for (uint32_t i = 0; i < 3 * F; i++)
        b->faces[i] = (i / 6 + i % 3 * 71 + i % 2) % V;
    real *inputs[] = { b->shape, b->expression, b->pose };
    const size_t counts[] = { S, E, 3 * J };
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < MOST_HEADS * counts[k]; i++)
            inputs[k][i] = (real)rng_normal(&r);
    b->vertices = bench_zeros(MOST_HEADS * ROW, sizeof(real));
    b->normals = bench_zeros(ROW, sizeof(real));
    b->lengths = bench_zeros(V, sizeof(real));
    b->dvertices = bench_normal(5, (size_t)MOST_HEADS * ROW, 1);
    if (mesh_adjacency_init(&b->adjacency, b->faces, F, V, NULL))
        exit(1);
}

static void destroy(bench *b)
{
    void *arrays[] = { b->bases,
                       b->model.vertices,
                       b->model.joints,
                       b->model.joint_shape_basis,
                       b->model.skin_joints,
                       b->model.skin_weights,
                       b->faces,
                       b->vertices,
                       b->normals,
                       b->lengths,
                       b->dvertices };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        hds_free(arrays[i]);
    mesh_adjacency_finish(&b->adjacency);
    arena_finish(&b->scratch);
}

/* Reads one stripe of the bases, as wide as the machine loads without being asked. */
SIMD_VARIANTS(static void, read_stripe, (void *context, size_t stripe), (context, stripe))
{
    enum { LANES = 16 };
    bench *b = context;
    size_t words = (size_t)ROWS * ROW * sizeof(real) / sizeof(uint64_t) / STRIPES;
    const uint64_t *word = (const uint64_t *)b->bases + stripe * words;
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
    if (!head_skin(&b->model, b->heads, b->shape, b->expression, b->pose, &b->scratch, &b->saved,
                   b->vertices))
        exit(1);
}

static void adjoint(bench *b)
{
    if (!head_skin_adjoint(&b->model, b->heads, b->shape, b->expression, b->pose, &b->scratch,
                           &b->saved, b->dvertices, b->dshape, b->dexpression, b->dpose))
        exit(1);
}

static void normals(bench *b)
{
    mesh_normals(&b->adjacency, b->vertices, b->normals, b->lengths);
}

static void normals_adjoint(bench *b)
{
    if (!mesh_normals_adjoint(&b->adjacency, b->vertices, b->normals, b->lengths, b->vertices,
                              &b->scratch, b->dvertices))
        exit(1);
}

/* The least milliseconds of each body. */
static void measure(bench *b, int repeats, double least[BODIES])
{
    void (*const bodies[BODIES])(bench *) = { read_bases, forward, adjoint, normals,
                                              normals_adjoint };
    for (int i = 0; i < BODIES; i++)
        least[i] = INFINITY;
    for (int r = 0; r < repeats; r++)
        for (int i = 0; i < BODIES; i++) {
            double start = bench_now();
            bodies[i](b);
            least[i] = fmin(least[i], bench_now() - start);
        }
}

int main(void)
{
    static const size_t heads[] = { 1, 2, 8, 32 };
    static bench b;
    build(&b);
    for (int threads = 1; threads <= 2; threads++) {
        threads_set_count(threads);
        for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
            double least[BODIES], n = (double)(b.heads = heads[i]);
            measure(&b, b.heads > 8 ? 200 : 1000, least);
            if (i == 0)
                printf("%d thread%s: bases (%.1f MB) read once %.3f ms, normals %.3f ms, adjoint "
                       "%.3f ms\n",
                       threads, threads > 1 ? "s" : "", ROWS * ROW * sizeof(real) / 1e6, least[0],
                       least[3], least[4]);
            printf("  %2zu heads a call: a head takes %.3f ms, %.2f times the reading | adjoint "
                   "%.3f ms, %.2f times\n",
                   b.heads, least[1] / n, least[1] / n / least[0], least[2] / n,
                   least[2] / n / least[0]);
        }
    }
    destroy(&b);
    return 0;
}

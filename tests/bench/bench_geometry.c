/* SPDX-License-Identifier: Apache-2.0 */
/* The whole geometry core forward and backward: coefficients -> head -> normals -> a grey picture
 * with silhouettes -> and its gradient down to the coefficients; at FLAME's sizes: 10,000
 * triangles, 5,002 vertices, 150 components, 5 joints with their 36 correctives, 512 px.
 *
 * Compared with the least time that memory allows: the bases read once each way, the picture and
 * its gradient, visibility and the mesh, at the speed of copying measured in the same run; and by
 * peer_deodr.py, which runs `bench_geometry compare`, with DEODR.
 *
 * Then how the cost grows with the picture, the mesh and the views; lines that begin with "plot"
 * are for plot.py. */
#include "../raster_meshes.h"
#include "geometry.h"
#include "head/head.h"
#include "mesh/mesh.h"

enum { S = 100, E = 50, J = 5, P = 9 * (J - 1), MOST_VIEWS = 32 };

typedef struct bench {
    test_mesh mesh;
    head_model model;
    mesh_adjacency adjacency;
    arena scratch, view_scratch[MOST_VIEWS];
    size_t views;
    raster_view view[MOST_VIEWS];
    real *images[MOST_VIEWS], *dimage;
    real *vertices, *normals, *lengths, *dvertices, *dnormals;
    real shape[S], expression[E], pose[3 * J], dshape[S], dexpression[E], dpose[3 * J];
} bench;

static void build_model(bench *b, size_t components)
{
    static const int32_t parents[J] = { -1, 0, 1, 1, 1 };
    size_t count = b->mesh.mesh.vertex_count, row = 3 * count, half = components / 3;
    head_model *m = &b->model;
    *m = (head_model){ .vertex_count = count,
                       .face_count = b->mesh.mesh.face_count,
                       .shape_count = components - half,
                       .expression_count = half,
                       .joint_count = J,
                       .skin_count = 2,
                       .vertices = b->mesh.vertices,
                       .shape_basis = bench_normal(1, (components - half) * row, 1e-6),
                       .expression_basis = bench_normal(2, half * row, 1e-6),
                       .pose_basis = bench_normal(3, P * row, 1e-6),
                       .joints = bench_normal(4, 3 * J, 0.01),
                       .joint_shape_basis = bench_normal(5, S * 3 * J, 1e-6),
                       .joint_parents = (int32_t *)parents };
    m->skin_joints = bench_zeros(2 * count, sizeof *m->skin_joints);
    m->skin_weights = bench_zeros(2 * count, sizeof *m->skin_weights);
    /* smooth, as a head's are: from joint 1 at the bottom to joint 0 */
    for (size_t i = 0; i < count; i++) {
        real height = b->mesh.vertices[3 * i + 1] / (real)0.6 + (real)0.5;
        m->skin_joints[2 * i + 1] = 1;
        m->skin_weights[2 * i] = height;
        m->skin_weights[2 * i + 1] = 1 - height;
    }
}

static bench *build(int rings, int size, size_t views, size_t components)
{
    bench *b = bench_zeros(1, sizeof *b);
    b->mesh = test_sphere(rings, 0, (real)0.2, (real)0.1);
    b->views = views;
    build_model(b, components);
    size_t row = 3 * b->model.vertex_count, pixels = 3 * (size_t)size * (size_t)size;
    if (mesh_adjacency_init(&b->adjacency, b->mesh.faces, b->model.face_count, row / 3, NULL))
        exit(1);
    for (size_t i = 0; i < views; i++) {
        b->view[i] = test_view(size, RASTER_SHADED);
        b->view[i].camera.azimuth = (real)(20 + 11 * i);
        b->images[i] = bench_zeros(pixels, sizeof(real));
    }
    b->dimage = bench_normal(6, pixels, 1);
    rng r = rng_make(2, 0);
    for (int i = 0; i < S; i++)
        b->shape[i] = (real)rng_normal(&r);
    for (int i = 0; i < E; i++)
        b->expression[i] = (real)rng_uniform(&r);
    for (int i = 0; i < 3 * J; i++)
        b->pose[i] = (real)rng_range(&r, -0.1, 0.1);
    b->vertices = bench_zeros(row, sizeof(real));
    b->normals = bench_zeros(row, sizeof(real));
    b->lengths = bench_zeros(row / 3, sizeof(real));
    b->dvertices = bench_zeros(row, sizeof(real));
    b->dnormals = bench_zeros(row, sizeof(real));
    return b;
}

static void drop(bench *b)
{
    void *arrays[] = { b->model.shape_basis,
                       b->model.expression_basis,
                       b->model.pose_basis,
                       b->model.joints,
                       b->model.joint_shape_basis,
                       b->model.skin_joints,
                       b->model.skin_weights,
                       b->dimage,
                       b->vertices,
                       b->normals,
                       b->lengths,
                       b->dvertices,
                       b->dnormals };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        hds_free(arrays[i]);
    for (size_t i = 0; i < b->views; i++) {
        hds_free(b->images[i]);
        arena_finish(&b->view_scratch[i]);
    }
    mesh_adjacency_finish(&b->adjacency);
    arena_finish(&b->scratch);
    test_mesh_finish(&b->mesh);
    hds_free(b);
}

/* Milliseconds of a round: head, normals, pictures, then the ways back in the opposite order. */
enum { HEAD, NORMALS, PICTURES, PICTURES_BACK, NORMALS_BACK, HEAD_BACK, PHASES };

static void round_trip(bench *b, double took[PHASES])
{
    head_pose saved;
    raster_state *states[MOST_VIEWS];
    const real *dimages[MOST_VIEWS];
    raster_mesh mesh = b->mesh.mesh;
    size_t row = 3 * b->model.vertex_count;
    mesh.vertices = b->vertices;
    arena_leave(&b->scratch, (arena_mark){ 0 });
    for (size_t i = 0; i < b->views; i++) {
        arena_leave(&b->view_scratch[i], (arena_mark){ 0 });
        dimages[i] = b->dimage;
    }
    double at[PHASES + 1];
    at[HEAD] = bench_now();
    bool good =
        head_skin(&b->model, 1, b->shape, b->expression, b->pose, &b->scratch, &saved, b->vertices);
    at[NORMALS] = bench_now();
    mesh_normals(&b->adjacency, b->vertices, b->normals, b->lengths);
    at[PICTURES] = bench_now();
    good = good && raster_draw_views(&mesh, b->normals, b->view, b->views, b->view_scratch, states,
                                     b->images);
    at[PICTURES_BACK] = bench_now();
    memset(b->dvertices, 0, row * sizeof(real));
    memset(b->dnormals, 0, row * sizeof(real));
    good =
        good && raster_draw_views_adjoint(&mesh, b->normals, b->view, b->views, b->view_scratch,
                                          states, dimages, b->dvertices, b->dnormals, NULL, NULL);
    at[NORMALS_BACK] = bench_now();
    good = good && mesh_normals_adjoint(&b->adjacency, b->vertices, b->normals, b->lengths,
                                        b->dnormals, &b->scratch, b->dvertices);
    at[HEAD_BACK] = bench_now();
    good = good && head_skin_adjoint(&b->model, 1, b->shape, b->expression, b->pose, &b->scratch,
                                     &saved, b->dvertices, b->dshape, b->dexpression, b->dpose);
    at[PHASES] = bench_now();
    if (!good)
        bench_need(NULL);
    for (int k = 0; k < PHASES; k++)
        took[k] = at[k + 1] - at[k];
}

/* -> the least of each phase, and their sum */
static double measure(bench *b, int rounds, double least[PHASES])
{
    double sum = 0;
    for (int k = 0; k < PHASES; k++)
        least[k] = 1e9;
    for (int i = 0; i < rounds; i++) {
        double took[PHASES];
        round_trip(b, took);
        for (int k = 0; k < PHASES; k++)
            least[k] = took[k] < least[k] ? took[k] : least[k];
    }
    for (int k = 0; k < PHASES; k++)
        sum += least[k];
    return sum;
}

static void compare(int threads)
{
    threads_set_count(threads);
    bench *b = build(50, 512, 1, S + E);
    double least[PHASES], sum = measure(b, 300, least), speed = bench_bandwidth();
    double row = 12.0 * (double)b->model.vertex_count, pixels = 512.0 * 512;
    /* bases each way; colour and its gradient, face and depth of a pixel written and read */
    double bytes =
        2 * (S + E + P) * row + 40 * pixels + 16 * row + 36.0 * (double)b->model.face_count;
    printf("%d thread%s: head %.2f ms, normals %.2f, picture %.2f; back %.2f, %.2f, %.2f; sum %.2f "
           "ms\n",
           threads, threads > 1 ? "s" : "", least[HEAD], least[NORMALS], least[PICTURES],
           least[PICTURES_BACK], least[NORMALS_BACK], least[HEAD_BACK], sum);
    printf("  %.1f MB at %.1f GB/s: %.1f times the least that memory allows\n", bytes * 1e-6,
           speed * 1e-6, sum / (bytes / speed));
    drop(b);
}

/* One series: the first is 1, then how the cost grows for each doubling of the work. */
static void scale(const char *name, const double *work, const int (*sizes)[3], int count)
{
    double before = 0;
    printf("%s: ms forward and backward, and growth over growth of the work (1: linear)\n", name);
    for (int i = 0; i < count; i++) {
        bench *b = build(sizes[i][0], sizes[i][1], (size_t)sizes[i][2], 30);
        double least[PHASES], sum = measure(b, work[i] > 4 * work[0] ? 20 : 60, least);
        printf("plot %s %.0f %.4f", name, work[i], sum);
        printf(i ? "  %.2f\n" : "\n", sum / before / (work[i] / work[i - (i > 0)]));
        before = sum;
        drop(b);
    }
}

int main(int count, char **words)
{
    static const int pictures[][3] = { { 50, 64, 1 },  { 50, 128, 1 },  { 50, 256, 1 },
                                       { 50, 512, 1 }, { 50, 1024, 1 }, { 50, 2048, 1 } };
    static const double pixels[] = { 4096, 16384, 65536, 262144, 1048576, 4194304 };
    static const int meshes[][3] = { { 16, 512, 1 }, { 35, 512, 1 },  { 50, 512, 1 },
                                     { 71, 512, 1 }, { 112, 512, 1 }, { 158, 512, 1 } };
    static const double faces[] = { 1024, 4900, 10000, 20164, 50176, 99856 };
    static const int many[][3] = { { 50, 256, 1 }, { 50, 256, 2 },  { 50, 256, 4 },
                                   { 50, 256, 8 }, { 50, 256, 16 }, { 50, 256, 32 } };
    static const double views[] = { 1, 2, 4, 8, 16, 32 };
    compare(1);
    compare(2);
    if (count > 1 && !strcmp(words[1], "compare"))
        return 0;
    scale("pixels", pixels, pictures, 6);
    scale("triangles", faces, meshes, 6);
    scale("views", views, many, 6);
    return 0;
}

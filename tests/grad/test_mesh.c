/* SPDX-License-Identifier: Apache-2.0 */
/* Vertex normals against a plain scatter over faces, and their adjoint, in double. */
#include "check.h"

#include "math/math.h"
#include "mesh/mesh.h"

enum { COLUMNS = 40, ROWS = 30, EXTRA = 2 };
enum { V = COLUMNS * ROWS + EXTRA, F = 2 * (COLUMNS - 1) * (ROWS - 1) };

/* A crumpled grid, with two vertices that no face uses. */
typedef struct grid {
    uint32_t faces[3 * F];
    real *vertices;
    mesh_adjacency adjacency;
} grid;

static int setup(void **state)
{
    grid *g = calloc(1, sizeof *g);
    assert_non_null(g);
    uint32_t *face = g->faces;
    for (uint32_t y = 0; y + 1 < ROWS; y++)
        for (uint32_t x = 0; x + 1 < COLUMNS; x++, face += 6) {
            uint32_t a = y * COLUMNS + x, b = a + 1, c = a + COLUMNS, d = c + 1;
            memcpy(face, (uint32_t[]){ a, b, d, c, a, d }, 6 * sizeof *face);
        }
    g->vertices = check_random(1, 3 * V, 0.3);
    for (uint32_t i = 0; i < COLUMNS * ROWS; i++) {
        g->vertices[3 * i] += i % COLUMNS;
        g->vertices[3 * i + 1] += i / COLUMNS;
    }
    *state = g;
    return mesh_adjacency_init(&g->adjacency, g->faces, F, V, NULL);
}

static int teardown(void **state)
{
    grid *g = *state;
    mesh_adjacency_finish(&g->adjacency);
    free(g->vertices);
    free(g);
    return 0;
}

/* The plain reference: each face adds its cross product to its corners. */
static void reference(const grid *g, double *normals)
{
    memset(normals, 0, 3 * V * sizeof *normals);
    for (size_t f = 0; f < F; f++) {
        const uint32_t *face = g->faces + 3 * f;
        const real *a = g->vertices + 3 * face[0];
        const real *b = g->vertices + 3 * face[1], *c = g->vertices + 3 * face[2];
        for (int k = 0; k < 3; k++) {
            int i = (k + 1) % 3, j = (k + 2) % 3;
            double cross = ((double)b[i] - a[i]) * ((double)c[j] - a[j]) -
                           ((double)b[j] - a[j]) * ((double)c[i] - a[i]);
            for (int corner = 0; corner < 3; corner++)
                normals[3 * face[corner] + k] += cross;
        }
    }
    for (size_t v = 0; v < V; v++) {
        double *n = normals + 3 * v, length = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
        if (length == 0)
            n[2] = length = 1;
        for (int k = 0; k < 3; k++)
            n[k] /= length;
    }
}

static void test_normals_are_the_reference(void **state)
{
    const grid *g = *state;
    real *normals = calloc(3 * V, sizeof *normals);
    double *expected = calloc(3 * V, sizeof *expected);
    assert_true(normals && expected);
    mesh_normals(&g->adjacency, g->vertices, normals, NULL);
    reference(g, expected);
    for (size_t i = 0; i < 3 * V; i++)
        check_close(normals[i], expected[i], sizeof(real) == 8 ? 1e-12 : 1e-4, 1);
    free(normals);
    free(expected);
}

#ifdef HDS_REAL_DOUBLE
static void evaluate(void *context, const real *vertices, real *normals)
{
    const grid *g = context;
    mesh_normals(&g->adjacency, vertices, normals, NULL);
}

static void test_normals_adjoint(void **state)
{
    grid *g = *state;
    arena scratch = { 0 };
    real *normals = calloc(3 * V, sizeof *normals), *dv = calloc(3 * V, sizeof *dv);
    real *once = calloc(3 * V, sizeof *once), *lengths = calloc(V, sizeof *lengths);
    assert_true(normals && dv && once && lengths);
    mesh_normals(&g->adjacency, g->vertices, normals, lengths);
    for (uint64_t trial = 0; trial < 4; trial++) {
        real *v = check_random(10 + trial, 3 * V, 1), *u = check_random(20 + trial, 3 * V, 1);
        memset(dv, 0, 3 * V * sizeof *dv);
        assert_true(
            mesh_normals_adjoint(&g->adjacency, g->vertices, normals, lengths, u, &scratch, dv));
        double jv = check_directional(evaluate, g, g->vertices, v, u, 3 * V, 3 * V, 1e-6);
        check_close(jv, check_dot(dv, v, 3 * V), 1e-7, 1);
        memcpy(once, dv, 3 * V * sizeof *dv);
        assert_true(
            mesh_normals_adjoint(&g->adjacency, g->vertices, normals, lengths, u, &scratch, dv));
        for (size_t i = 0; i < 3 * V; i++)
            check_close(dv[i], 2 * once[i], 1e-12, 1);
        for (size_t i = 3 * (V - EXTRA); i < 3 * V; i++)
            assert_true(dv[i] == 0);
        free(v);
        free(u);
    }
    arena_finish(&scratch);
    free(normals);
    free(dv);
    free(once);
    free(lengths);
}
#endif

/* Forward and backward on one face. */
static void try_face(const real vertices[9], const real dnormals[9], real normals[9],
                     real dvertices[9])
{
    const uint32_t face[3] = { 0, 1, 2 };
    real lengths[3];
    mesh_adjacency a;
    arena scratch = { 0 };
    assert_int_equal(mesh_adjacency_init(&a, face, 1, 3, NULL), HDS_OK);
    mesh_normals(&a, vertices, normals, lengths);
    memset(dvertices, 0, 9 * sizeof *dvertices);
    assert_true(
        mesh_normals_adjoint(&a, vertices, normals, lengths, dnormals, &scratch, dvertices));
    arena_finish(&scratch);
    mesh_adjacency_finish(&a);
}

static void test_flat_vertices_have_no_gradient(void **state)
{
    const real vertices[9] = { 0, 0, 0, 1, 1, 1, 2, 2, 2 }, dnormals[9] = { 1, 2, 3, 4, 5, 6 };
    real normals[9], dvertices[9];
    try_face(vertices, dnormals, normals, dvertices);
    for (int i = 0; i < 9; i++) {
        assert_true(normals[i] == (i % 3 == 2));
        assert_true(dvertices[i] == 0);
    }
}

/* Faces with a doubled corner have no area, wherever they are. */
static void test_doubled_corners_are_flat(void **state)
{
    rng r = rng_make(1, 40);
    for (int trial = 0; trial < 1000; trial++) {
        real vertices[9], normals[9], dnormals[9], dvertices[9];
        for (int i = 0; i < 9; i++) {
            vertices[i] = i < 6 ? (real)rng_normal(&r) : vertices[i - (trial % 2 ? 6 : 3)];
            dnormals[i] = (real)rng_normal(&r);
        }
        try_face(vertices, dnormals, normals, dvertices);
        for (int i = 0; i < 9; i++)
            assert_true(normals[i] == (i % 3 == 2) && dvertices[i] == 0);
    }
}

/* The reciprocal of such a length is no number. */
static void test_tiny_faces(void **state)
{
    const real side = sizeof(real) == 8 ? (real)1e-160 : (real)3e-20;
    const real vertices[9] = { 0, 0, 0, side, 0, 0, 0, side, 0 }, dnormals[9] = { 0 };
    real normals[9], dvertices[9];
    try_face(vertices, dnormals, normals, dvertices);
    for (int i = 0; i < 9; i++)
        assert_true(dvertices[i] == 0);
}

static void test_threads_change_nothing(void **state)
{
    const grid *g = *state;
    real *normals[2], *dvertices[2], *u = check_random(30, 3 * V, 1), lengths[V];
    for (int i = 0; i < 2; i++) {
        arena scratch = { 0 };
        normals[i] = calloc(3 * V, sizeof(real));
        dvertices[i] = calloc(3 * V, sizeof(real));
        assert_true(normals[i] && dvertices[i]);
        threads_set_count(i + 1);
        mesh_normals(&g->adjacency, g->vertices, normals[i], lengths);
        assert_true(mesh_normals_adjoint(&g->adjacency, g->vertices, normals[i], lengths, u,
                                         &scratch, dvertices[i]));
        arena_finish(&scratch);
    }
    threads_set_count(0);
    assert_memory_equal(normals[0], normals[1], 3 * V * sizeof(real));
    assert_memory_equal(dvertices[0], dvertices[1], 3 * V * sizeof(real));
    for (int i = 0; i < 2; i++) {
        free(normals[i]);
        free(dvertices[i]);
    }
    free(u);
}

static void test_adjacency_refuses_foreign_indices(void **state)
{
    const uint32_t faces[6] = { 0, 1, 2, 2, 1, 3 };
    mesh_adjacency a;
    hds_error error = { 0 };
    assert_int_equal(mesh_adjacency_init(&a, faces, 2, 3, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "face 1 names vertex 3, expected less than 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normals_are_the_reference),
#ifdef HDS_REAL_DOUBLE
        cmocka_unit_test(test_normals_adjoint),
#endif
        cmocka_unit_test(test_flat_vertices_have_no_gradient),
        cmocka_unit_test(test_doubled_corners_are_flat),
        cmocka_unit_test(test_tiny_faces),
        cmocka_unit_test(test_threads_change_nothing),
        cmocka_unit_test(test_adjacency_refuses_foreign_indices),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

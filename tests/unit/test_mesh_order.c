/* SPDX-License-Identifier: Apache-2.0 */
/* Vertex orders that come back from how faces are connected: of small meshes, of the sample head,
 * of ICT-FaceKit; and meshes that must be refused, or must end. */
#include "shuffled_mesh.h"

#include "head/head.h"
#include "io/io.h"

#include <math.h>

/* The order that is found is the shuffle's own. */
static void assert_recovered(const mesh_triangles *model, const mesh_polygons *whole, uint64_t seed)
{
    shuffled s = shuffled_of(whole, seed);
    uint32_t *order = get(whole->vertex_count, sizeof *order);
    hds_error error = { 0 };
    if (mesh_match(model, &s.mesh, order, &error))
        fail_msg("%s", error.message);
    assert_memory_equal(order, s.order, whole->vertex_count * sizeof *order);
    hds_free(order);
    finish(&s);
}

/* Whether the order makes the polygons the model's. */
static void assert_fits(const mesh_triangles *model, const mesh_polygons *mesh,
                        const uint32_t *order)
{
    size_t count = 0;
    for (size_t i = 0; i < mesh->polygon_count; i++)
        count += mesh->sizes[i];
    uint32_t *corners = get(count, sizeof *corners);
    uint32_t *again = get(mesh->vertex_count, sizeof *again);
    for (size_t i = 0; i < count; i++)
        corners[i] = order[mesh->corners[i]];
    mesh_polygons renamed = { mesh->vertex_count, mesh->polygon_count, mesh->sizes, corners, NULL };
    assert_int_equal(mesh_match(model, &renamed, again, NULL), HDS_OK);
    for (uint32_t i = 0; i < mesh->vertex_count; i++)
        assert_int_equal(again[i], i);
    hds_free(corners);
    hds_free(again);
}

/* ---- polygons of a model's triangles ---- */

typedef struct polygons {
    mesh_polygons mesh;
    uint32_t *sizes, *corners;
} polygons;

/* Joins triangle 2i + 1 to 2i where they share an edge: what a loader has split. */
static polygons joined(const mesh_triangles *model)
{
    polygons p = { .sizes = get(model->face_count, sizeof *p.sizes),
                   .corners = get(model->face_count, 3 * sizeof *p.corners) };
    size_t count = 0, at = 0;
    for (size_t i = 0; i < model->face_count; i++) {
        const uint32_t *a = model->faces + 3 * i, *b = a + 3;
        p.sizes[count] = 3;
        memcpy(p.corners + at, a, 3 * sizeof *a);
        for (uint32_t k = 0; i + 1 < model->face_count && k < 9; k++)
            if (a[k / 3] == b[(k + 1) % 3] && a[(k / 3 + 1) % 3] == b[k % 3]) {
                const uint32_t quad[] = { a[k / 3], b[(k + 2) % 3], a[(k / 3 + 1) % 3],
                                          a[(k / 3 + 2) % 3] };
                memcpy(p.corners + at, quad, sizeof quad);
                p.sizes[count] = 4;
                i++;
                break;
            }
        at += p.sizes[count++];
    }
    p.mesh = (mesh_polygons){ model->vertex_count, count, p.sizes, p.corners, model->vertices };
    return p;
}

static void finish_polygons(polygons *p)
{
    hds_free(p->sizes);
    hds_free(p->corners);
}

/* Every model vertex where it is, the triangles as they are. */
static polygons plain(const mesh_triangles *model)
{
    polygons p = { .sizes = get(model->face_count, sizeof *p.sizes),
                   .corners = get(model->face_count, 3 * sizeof *p.corners) };
    for (size_t i = 0; i < model->face_count; i++)
        p.sizes[i] = 3;
    memcpy(p.corners, model->faces, model->face_count * 3 * sizeof *p.corners);
    p.mesh = (mesh_polygons){ model->vertex_count, model->face_count, p.sizes, p.corners,
                              model->vertices };
    return p;
}

/* With positions the very order comes back, without them one that fits. */
static void assert_matches(const mesh_triangles *model, const mesh_polygons *whole, int times)
{
    for (uint64_t seed = 0; seed < (uint64_t)times; seed++) {
        assert_recovered(model, whole, seed);
        mesh_polygons bare = *whole;
        bare.vertices = NULL;
        shuffled s = shuffled_of(&bare, seed);
        uint32_t *order = get(whole->vertex_count, sizeof *order);
        hds_error error = { 0 };
        if (mesh_match(model, &s.mesh, order, &error))
            fail_msg("%s", error.message);
        assert_fits(model, &s.mesh, order);
        hds_free(order);
        finish(&s);
    }
}

static void assert_refused(const mesh_triangles *model, const mesh_polygons *mesh,
                           const char *message)
{
    hds_error error = { 0 };
    uint32_t *order = get(mesh->vertex_count, sizeof *order);
    assert_int_equal(mesh_match(model, mesh, order, &error), HDS_ERROR_ARGUMENT);
    if (!strstr(error.message, message))
        fail_msg("%s: expected '%s'", error.message, message);
    hds_free(order);
}

/* ---- small meshes ---- */

/* Two tetrahedra, each of which has twelve ways to lie, and a pyramid without a floor. */
static const uint32_t three_faces[] = {
    0, 2, 1, 0, 1, 3, 0, 3, 2,  1, 2,  3,  4, 6,  5,  4, 5,  7,
    4, 7, 6, 5, 6, 7, 8, 9, 10, 8, 10, 11, 8, 11, 12, 8, 12, 9
};
static const real three_vertices[] = {
    0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 4, 0, 0, 5, 0, 0, 4, 1,
    0, 4, 0, 1, 2, 3, 5, 1, 3, 4, 2, 4, 4, 3, 3, 4, 2, 2, 4,
};

static void test_equal_parts_are_told_apart_by_position(void **state)
{
    const mesh_triangles all = { 13, 12, three_faces, three_vertices };
    const mesh_triangles two = { 8, 8, three_faces, three_vertices };
    polygons three = plain(&all), pair = plain(&two);
    assert_matches(&all, &three.mesh, 10);
    for (uint64_t seed = 0; seed < 10; seed++)
        assert_recovered(&two, &pair.mesh, seed);
    finish_polygons(&three);
    finish_polygons(&pair);
}

/* Two vertices have been drawn past each other: an edge alone would go for the other way, but the
 * tetrahedron as a whole lies nearest as it is. */
static void test_the_whole_part_decides(void **state)
{
    const mesh_triangles model = { 13, 12, three_faces, three_vertices };
    real vertices[39];
    memcpy(vertices, three_vertices, sizeof vertices);
    vertices[12] += (real)0.6;
    vertices[15] -= (real)0.6;
    polygons p = plain(&model);
    p.mesh.vertices = vertices;
    for (uint64_t seed = 0; seed < 30; seed++)
        assert_recovered(&model, &p.mesh, seed);
    finish_polygons(&p);
}

/* The faces fit as they are, but each tetrahedron stands where the other should. */
static void test_parts_in_each_others_place(void **state)
{
    const mesh_triangles model = { 13, 12, three_faces, three_vertices };
    real vertices[39];
    uint32_t order[13];
    memcpy(vertices, three_vertices, sizeof vertices);
    memcpy(vertices, three_vertices + 12, 12 * sizeof *vertices);
    memcpy(vertices + 12, three_vertices, 12 * sizeof *vertices);
    polygons p = plain(&model);
    p.mesh.vertices = vertices;
    assert_int_equal(mesh_match(&model, &p.mesh, order, NULL), HDS_OK);
    for (uint32_t i = 0; i < 13; i++)
        assert_int_equal(order[i], i < 4 ? i + 4 : i < 8 ? i - 4 : i);
    vertices[3] += (real)0.4; /* a sculpt that keeps them nearer to their own places */
    p.mesh.vertices = three_vertices;
    assert_int_equal(mesh_match(&model, &p.mesh, order, NULL), HDS_OK);
    for (uint32_t i = 0; i < 13; i++)
        assert_int_equal(order[i], i);
    finish_polygons(&p);
}

/* A prism with two hexagons, whose sides are quads; the model has split them in its own way. */
static void test_quads_and_hexagons(void **state)
{
    enum { N = 6 };
    uint32_t faces[20 * 3], *f = faces, sizes[N + 2], corners[4 * N + 2 * N], at = 0;
    real vertices[12 * 3];
    for (uint32_t i = 0; i < N; i++) {
        uint32_t j = (i + 1) % N;
        const uint32_t side[] = { i, j, N + j, N + i };
        const uint32_t split[2][6] = { { i, j, N + j, i, N + j, N + i },
                                       { i, j, N + i, j, N + j, N + i } };
        memcpy(f, split[i % 2], sizeof split[0]);
        f += 6;
        sizes[i] = 4;
        memcpy(corners + at, side, sizeof side);
        at += 4;
        for (uint32_t k = 0; k < 2; k++) {
            real *v = vertices + 3 * (k * N + i);
            v[0] = (real)(2 * cos(i) + 0.1 * k);
            v[1] = (real)k;
            v[2] = (real)-sin(i);
        }
    }
    const uint32_t caps[] = { 0, 2, 1, 0, 3, 2, 0, 5, 3,  3, 5,  4,
                              6, 7, 8, 6, 8, 9, 6, 9, 10, 6, 10, 11 };
    memcpy(f, caps, sizeof caps);
    for (uint32_t i = 0; i < N; i++) {
        corners[at + i] = N - 1 - i;
        corners[at + N + i] = N + i;
    }
    sizes[N] = sizes[N + 1] = N;
    const mesh_triangles model = { 2 * N, 20, faces, vertices };
    const mesh_polygons mesh = { 2 * N, N + 2, sizes, corners, vertices };
    assert_matches(&model, &mesh, 10);
}

/* Two tetrahedra that share a vertex, and two vertices in no face. */
static void test_surfaces_that_meet_at_a_tip(void **state)
{
    const uint32_t faces[] = { 0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3,
                               0, 4, 5, 0, 5, 6, 0, 6, 4, 4, 6, 5 };
    const real vertices[] = { 0, 0, 0, 1,  0, 0,  0, 1, 0, 0, 0, 1, -2, 0,
                              0, 0, 0, -3, 0, -4, 0, 5, 5, 0, 5, 0, 5 };
    const mesh_triangles model = { 9, 8, faces, vertices };
    polygons p = plain(&model);
    for (uint64_t seed = 0; seed < 6; seed++)
        assert_recovered(&model, &p.mesh, seed);
    finish_polygons(&p);
}

/* Three faces at one edge: as they are, but not in another order. */
static void test_more_than_two_faces_at_an_edge(void **state)
{
    const uint32_t faces[] = { 0, 1, 2, 0, 1, 3, 0, 1, 4 };
    const real vertices[] = { 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 0, -1, 0 };
    const mesh_triangles model = { 5, 3, faces, vertices };
    polygons p = plain(&model);
    uint32_t order[5];
    assert_int_equal(mesh_match(&model, &p.mesh, order, NULL), HDS_OK);
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(order[i], i);
    shuffled s = shuffled_of(&p.mesh, 1);
    assert_refused(&model, &s.mesh, "two faces run along the edge");
    finish(&s);
    finish_polygons(&p);
}

static void test_positions_are_numbers(void **state)
{
    const mesh_triangles model = { 4, 4, three_faces, three_vertices };
    real vertices[12];
    memcpy(vertices, three_vertices, sizeof vertices);
    vertices[7] = (real)NAN;
    polygons p = plain(&model);
    p.mesh.vertices = vertices;
    assert_refused(&model, &p.mesh, "coordinate 1 of vertex 2 is not a finite number");
    finish_polygons(&p);
}

/* All vertices in one point say nothing: the first order that fits is as good as any. */
static void test_positions_without_extent(void **state)
{
    const mesh_triangles model = { 13, 12, three_faces, three_vertices };
    real vertices[39] = { 0 };
    uint32_t order[13];
    polygons p = plain(&model);
    shuffled s = shuffled_of(&p.mesh, 5);
    s.mesh.vertices = vertices;
    assert_int_equal(mesh_match(&model, &s.mesh, order, NULL), HDS_OK);
    assert_fits(&model, &s.mesh, order);
    finish(&s);
    finish_polygons(&p);
}

/* ---- grids, where everywhere looks like everywhere ---- */

/* A torus of n x n quads, split along one diagonal or, here and there, the other. */
static uint32_t *torus(uint32_t n, bool mixed, real *vertices, polygons *quads)
{
    uint32_t *faces = get((size_t)n * n, 6 * sizeof *faces), *f = faces;
    *quads = (polygons){ .sizes = get((size_t)n * n, sizeof *quads->sizes),
                         .corners = get((size_t)n * n, 4 * sizeof *quads->corners) };
    rng r = rng_make(7, n);
    for (uint32_t i = 0; i < n * n; i++, f += 6) {
        uint32_t row = i / n, next = (row + 1) % n, right = (i + 1) % n;
        const uint32_t q[] = { i, row * n + right, next * n + right, next * n + i % n };
        const uint32_t split[2][6] = { { q[0], q[1], q[2], q[0], q[2], q[3] },
                                       { q[0], q[1], q[3], q[1], q[2], q[3] } };
        double a = 2 * M_PI * row / n, b = 2 * M_PI * (i % n) / n;
        memcpy(f, split[mixed && rng_below(&r, 2)], sizeof split[0]);
        memcpy(quads->corners + 4 * (size_t)i, q, sizeof q);
        quads->sizes[i] = 4;
        vertices[3 * i] = (real)((3 + cos(b)) * cos(a));
        vertices[3 * i + 1] = (real)((3 + cos(b)) * sin(a));
        vertices[3 * i + 2] = (real)sin(b);
    }
    quads->mesh =
        (mesh_polygons){ (size_t)n * n, (size_t)n * n, quads->sizes, quads->corners, vertices };
    return faces;
}

static void test_regular_grids_end(void **state)
{
    enum { N = 40 };
    static real vertices[N * N * 3];
    static uint32_t order[N * N];
    for (int mixed = 0; mixed < 2; mixed++) {
        polygons quads;
        uint32_t *faces = torus(N, mixed, vertices, &quads);
        const mesh_triangles model = { N * N, 2 * N * N, faces, vertices };
        polygons triangles = plain(&model), *both[] = { &triangles, &quads };
        for (int i = 0; i < 2; i++) {
            shuffled s = shuffled_of(&both[i]->mesh, 3);
            mesh_polygons bare = s.mesh;
            bare.vertices = NULL;
            assert_int_equal(mesh_match(&model, &bare, order, NULL), HDS_OK);
            assert_fits(&model, &bare, order);
            if (mixed && i == 0)
                assert_recovered(&model, &both[i]->mesh, 4);
            finish(&s);
        }
        finish_polygons(&triangles);
        finish_polygons(&quads);
        hds_free(faces);
    }
}

/* More ways to lie than can be compared. */
static void test_a_grid_that_is_too_regular_is_refused(void **state)
{
    enum { N = 60 };
    static real vertices[N * N * 3];
    polygons quads;
    uint32_t *faces = torus(N, false, vertices, &quads);
    const mesh_triangles model = { N * N, 2 * N * N, faces, vertices };
    polygons triangles = plain(&model);
    shuffled s = shuffled_of(&triangles.mesh, 3);
    assert_refused(&model, &s.mesh, "too regular to recover it from its faces: export it with");
    finish(&s);
    finish_polygons(&triangles);
    finish_polygons(&quads);
    hds_free(faces);
}

/* Every triangle for itself, where any can be any: kept where it is kept, else refused, and soon.
 */
static void test_a_soup_of_triangles_ends(void **state)
{
    enum { N = 20000 };
    uint32_t *faces = get(3 * N, sizeof *faces), *order = get(3 * N, sizeof *order);
    real *vertices = get(3 * N, 3 * sizeof *vertices);
    rng r = rng_make(11, 0);
    for (uint32_t i = 0; i < 3 * N; i++) {
        faces[i] = i;
        for (int k = 0; k < 3; k++)
            vertices[3 * i + (uint32_t)k] = (real)rng_uniform(&r);
    }
    const mesh_triangles model = { 3 * N, N, faces, vertices };
    polygons p = plain(&model);
    assert_int_equal(mesh_match(&model, &p.mesh, order, NULL), HDS_OK);
    for (uint32_t i = 0; i < 3 * N; i++)
        assert_int_equal(order[i], i);
    shuffled s = shuffled_of(&p.mesh, 3);
    assert_refused(&model, &s.mesh, "too regular");
    s.mesh.vertices = NULL;
    assert_refused(&model, &s.mesh, "too regular");
    finish(&s);
    finish_polygons(&p);
    hds_free(faces);
    hds_free(order);
    hds_free(vertices);
}

/* ---- heads ---- */

static hds_head_model *load(const char *path)
{
    hds_head_model *model = NULL;
    hds_error error = { 0 };
    hds_head_model_params params = { .path = path, .shape_count = 1, .expression_count = 1 };
    if (hds_head_model_load(&model, &params, &error))
        fail_msg("%s", error.message);
    return model;
}

static mesh_triangles triangles_of(const hds_head_model *m)
{
    return (mesh_triangles){ m->vertex_count, m->face_count, m->faces, m->vertices };
}

static void assert_head_matches(const char *path)
{
    hds_head_model *m = load(path);
    mesh_triangles model = triangles_of(m);
    polygons triangles = plain(&model), quads = joined(&model);
    assert_matches(&model, &triangles.mesh, 1);
    assert_matches(&model, &quads.mesh, 1);
    finish_polygons(&triangles);
    finish_polygons(&quads);
    hds_head_model_unref(m);
}

static void test_sample_head(void **state)
{
    assert_head_matches(HEADSDS_SOURCE "/samples/head/head.npz");
}

static void test_ict_face_kit(void **state)
{
    const char *shared = getenv("HEADSDS_SHARED");
    char *path =
        hds_format("%s/ict-facekit/FaceXModel", shared ? shared : HEADSDS_SOURCE "/../shared");
    assert_non_null(path);
    if (!io_exists(path)) {
        print_message("no ICT-FaceKit at %s: set HEADSDS_SHARED\n", path);
        hds_free(path);
        skip();
    }
    assert_head_matches(path);
    hds_free(path);
}

/* A sculpt: the brow is drawn out, the chin wider, the eyes look aside. */
static void test_a_sculpted_head(void **state)
{
    hds_head_model *m = load(HEADSDS_SOURCE "/samples/head/head.npz");
    mesh_triangles model = triangles_of(m);
    real *vertices = get(model.vertex_count, 3 * sizeof *vertices);
    for (size_t i = 0; i < model.vertex_count; i++) {
        const real *v = m->vertices + 3 * i;
        double brow = exp(-pow((v[1] - 0.06) / 0.02, 2)), chin = exp(-pow((v[1] + 0.08) / 0.02, 2));
        vertices[3 * i] = (real)(v[0] * (1 + 0.2 * chin));
        vertices[3 * i + 1] = v[1];
        vertices[3 * i + 2] = (real)(v[2] + (v[2] > 0 ? 0.01 * brow : 0));
    }
    polygons quads = joined(&model);
    quads.mesh.vertices = vertices;
    assert_recovered(&model, &quads.mesh, 1);
    finish_polygons(&quads);
    hds_free(vertices);
    hds_head_model_unref(m);
}

static void test_one_turned_edge_is_refused(void **state)
{
    hds_head_model *m = load(HEADSDS_SOURCE "/samples/head/head.npz");
    mesh_triangles model = triangles_of(m);
    polygons p = plain(&model);
    uint32_t *a = p.corners + 3 * 100, *b = NULL, third = 0;
    for (size_t i = 0; i < model.face_count && !b; i++)
        for (uint32_t k = 0; k < 3 && !b; k++)
            if (p.corners[3 * i + k] == a[1] && p.corners[3 * i + (k + 1) % 3] == a[0]) {
                b = p.corners + 3 * i;
                third = b[(k + 2) % 3];
            }
    assert_non_null(b);
    const uint32_t turned[2][3] = { { a[0], third, a[2] }, { third, a[1], a[2] } };
    memcpy(a, turned[0], sizeof turned[0]);
    memcpy(b, turned[1], sizeof turned[1]);
    assert_refused(&model, &p.mesh, "expected the same vertices in the same order");
    shuffled s = shuffled_of(&p.mesh, 2);
    assert_refused(&model, &s.mesh, "connected otherwise than in the head model, in any order");
    s.mesh.vertices = NULL;
    assert_refused(&model, &s.mesh, "connected otherwise than in the head model, in any order");
    finish(&s);
    finish_polygons(&p);
    hds_head_model_unref(m);
}

static void reverse(uint32_t *corners, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t kept = corners[3 * i];
        corners[3 * i] = corners[3 * i + 1];
        corners[3 * i + 1] = kept;
    }
}

/* Faces turned over are refused, in the model's order and in another one; faces of a mesh that was
 * mirrored have to be, and the sample head's connections are their own mirror image. */
static void test_inside_out_and_mirrored(void **state)
{
    hds_head_model *m = load(HEADSDS_SOURCE "/samples/head/head.npz");
    mesh_triangles model = triangles_of(m);
    polygons p = plain(&model);
    reverse(p.corners, model.face_count);
    assert_refused(&model, &p.mesh, "is wound the other way round than in the head model: flip");
    shuffled s = shuffled_of(&p.mesh, 2);
    assert_refused(&model, &s.mesh, "are wound the other way round than in the head model: flip");
    finish(&s);
    real *vertices = get(model.vertex_count, 3 * sizeof *vertices);
    uint32_t *order = get(model.vertex_count, sizeof *order);
    for (size_t i = 0; i < 3 * model.vertex_count; i++)
        vertices[i] = i % 3 ? m->vertices[i] : -m->vertices[i];
    p.mesh.vertices = vertices;
    assert_int_equal(mesh_match(&model, &p.mesh, order, NULL), HDS_OK);
    for (size_t i = 0; i < model.vertex_count; i++)
        for (size_t k = 0; k < 3; k++)
            assert_true(fabs((double)(vertices[3 * i + k] - m->vertices[3 * order[i] + k])) < 2e-3);
    p.mesh.vertices = NULL;
    assert_refused(&model, &p.mesh, "face 0");
    hds_free(vertices);
    hds_free(order);
    finish_polygons(&p);
    hds_head_model_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_parts_are_told_apart_by_position),
        cmocka_unit_test(test_the_whole_part_decides),
        cmocka_unit_test(test_parts_in_each_others_place),
        cmocka_unit_test(test_quads_and_hexagons),
        cmocka_unit_test(test_surfaces_that_meet_at_a_tip),
        cmocka_unit_test(test_more_than_two_faces_at_an_edge),
        cmocka_unit_test(test_positions_are_numbers),
        cmocka_unit_test(test_positions_without_extent),
        cmocka_unit_test(test_regular_grids_end),
        cmocka_unit_test(test_a_grid_that_is_too_regular_is_refused),
        cmocka_unit_test(test_a_soup_of_triangles_ends),
        cmocka_unit_test(test_sample_head),
        cmocka_unit_test(test_ict_face_kit),
        cmocka_unit_test(test_a_sculpted_head),
        cmocka_unit_test(test_one_turned_edge_is_refused),
        cmocka_unit_test(test_inside_out_and_mirrored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

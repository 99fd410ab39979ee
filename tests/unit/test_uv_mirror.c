/* SPDX-License-Identifier: Apache-2.0 */
/* The left-right symmetry of meshes: faces that pair up, quads that are split the other way, meshes
 * that are not symmetric. In float and in double. */
#include "uv.h"

static uint32_t *new_partners(const test_mesh *m, double tolerance, arena *a, size_t *lonely)
{
    uint32_t *partners = zeros(2 * m->mesh.face_count, sizeof *partners);
    find_partners(m, tolerance, a, partners, lonely);
    return partners;
}

/* The surface point at uv: on the face of the layout that it is most inside of. */
static void point_at(const test_mesh *m, const real uv[2], double p[3])
{
    double most = -1e9;
    for (size_t f = 0; f < m->mesh.face_count; f++) {
        const uint32_t *t = m->uv_faces + 3 * f, *v = m->faces + 3 * f;
        const float *a = m->uvs + 2 * t[0], *b = m->uvs + 2 * t[1], *c = m->uvs + 2 * t[2];
        double x[3] = { (double)b[0] - (double)a[0], (double)c[0] - (double)a[0],
                        (double)uv[0] - (double)a[0] };
        double y[3] = { (double)b[1] - (double)a[1], (double)c[1] - (double)a[1],
                        (double)uv[1] - (double)a[1] };
        double area = x[0] * y[1] - x[1] * y[0], share[3];
        share[1] = (x[2] * y[1] - x[1] * y[2]) / area;
        share[2] = (x[0] * y[2] - x[2] * y[0]) / area;
        share[0] = 1 - share[1] - share[2];
        double least = fmin(share[0], fmin(share[1], share[2]));
        if (!(least > most))
            continue;
        most = least;
        for (int i = 0; i < 3; i++)
            p[i] = share[0] * (double)m->vertices[3 * v[0] + (uint32_t)i] +
                   share[1] * (double)m->vertices[3 * v[1] + (uint32_t)i] +
                   share[2] * (double)m->vertices[3 * v[2] + (uint32_t)i];
    }
    assert_true(most > -1e-4);
}

/* What lies where the mirror map says is the mirrored point. */
static void check_mirror(const test_mesh *m, double tolerance, double allowed)
{
    enum { TEXELS = 64 };
    arena a = { 0 };
    size_t lonely;
    uint32_t *partners = new_partners(m, tolerance, &a, &lonely);
    assert_int_equal(lonely, 0);
    raster_uv_layout layout = lay_out(&m->mesh, TEXELS, TEXELS, &a);
    real *map = zeros(2 * TEXELS * TEXELS, sizeof *map);
    raster_uv_mirror(&layout, &m->mesh, partners, map);
    assert_true(count_covered(&layout) > TEXELS * TEXELS / 4);
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        double p[3], n[3], image[3];
        if (!layout.faces[at]) {
            assert_float_equal(map[2 * at], -1, 0);
            assert_float_equal(map[2 * at + 1], -1, 0);
            continue;
        }
        surface(m, &layout, at, p, n);
        point_at(m, map + 2 * at, image);
        for (int c = 0; c < 3; c++)
            assert_float_equal(image[c], (c ? p[c] : -p[c]), allowed);
    }
    free(partners);
    free(map);
    arena_finish(&a);
}

/* All quads of the sphere are split along one diagonal, so their mirror images along the other. */
static void test_mirror_quads(void **state)
{
    test_mesh m = test_sphere(24, 0, (real)0.2, (real)0.02);
    check_mirror(&m, 1e-5, 1e-3); /* as far apart as the two diagonals of a quad are */
    test_mesh_finish(&m);
    m = test_sphere(24, 0, (real)0.2, 0);
    check_mirror(&m, 1e-5, 1e-4);
    test_mesh_finish(&m);
}

/* Faces at random and their mirror images, each with a chart of its own. Half of them follow the
 * other half `apart` above it, with all corners or only with the first. */
static test_mesh mirrored_soup(double apart, bool whole)
{
    enum { HALF = 24 };
    rng r = rng_make(23, 0);
    test_mesh m = test_soup(&r, 12 * HALF, 4 * HALF, 0.1);
    for (uint32_t f = 0; f < 2 * HALF; f++)
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t v = 3 * f + k, image = 3 * f + (3 - k) % 3 + 6 * HALF;
            if (f >= HALF && (whole || k == 0)) {
                memcpy(m.vertices + 3 * v, m.vertices + 3 * (v - 3 * HALF), 3 * sizeof(real));
                m.vertices[3 * v + 1] += (real)apart;
            }
            memcpy(m.vertices + 3 * image, m.vertices + 3 * v, 3 * sizeof(real));
            m.vertices[3 * image] = -m.vertices[3 * v];
            m.faces[v] = m.uv_faces[v] = v;
            m.faces[image] = m.uv_faces[image] = image;
            float u0 = (float)(f % 8) / 16, v0 = (float)(f / 8) / 6;
            m.uvs[2 * v] = u0 + (k == 1 ? 0.055f : 0.0075f);
            m.uvs[2 * v + 1] = v0 + (k == 2 ? 0.155f : 0.0075f);
            m.uvs[2 * image] = 0.5f + m.uvs[2 * v]; /* not flipped: another corner's place */
            m.uvs[2 * image + 1] = m.uvs[2 * v + 1];
        }
    return m;
}

static void test_mirror_triangles(void **state)
{
    test_mesh m = mirrored_soup(0, true); /* kits have parts in one place ... */
    check_mirror(&m, 1e-5, 1e-6);
    test_mesh_finish(&m);
    m = mirrored_soup(0, false); /* ... or that touch */
    check_mirror(&m, 1e-5, 1e-6);
    test_mesh_finish(&m);
    m = mirrored_soup(0.004, true); /* of two within the tolerance the nearer */
    check_mirror(&m, 0.01, 1e-6);
    test_mesh_finish(&m);
}

/* Two hexagons that mirror each other, but not their faces: a fan on the left, on the right a
 * triangle with one on each side. */
static void test_other_faces(void **state)
{
    rng r = rng_make(1, 2);
    test_mesh m = test_soup(&r, 12, 8, 1);
    const uint32_t faces[] = { 0, 1, 2, 0,  2,  3, 0, 3, 4,  0,  4, 5,
                               9, 8, 7, 11, 10, 9, 7, 6, 11, 11, 9, 7 };
    for (uint32_t i = 0; i < 12; i++) {
        double angle = M_PI / 3 * (i % 6);
        m.vertices[3 * i] = (real)((i < 6 ? 1 : -1) * (-2 + cos(angle)));
        m.vertices[3 * i + 1] = (real)sin(angle);
        m.vertices[3 * i + 2] = 0;
    }
    memcpy(m.faces, faces, sizeof faces);
    arena a = { 0 };
    size_t lonely;
    free(new_partners(&m, 1e-5, &a, &lonely));
    assert_true(lonely >= 4);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_not_symmetric(void **state)
{
    enum { TEXELS = 512 };
    test_mesh m = test_sphere(12, 0, (real)0.2, 0);
    arena a = { 0 };
    size_t lonely;
    free(new_partners(&m, 1e-5, &a, &lonely));
    assert_int_equal(lonely, 0);
    /* One vertex on the seam at -z is moved: its image is itself, on the other side of the seam. */
    m.vertices[3 * 121] += (real)0.003;
    m.vertices[3 * 40 + 1] += (real)0.004; /* and another one up */
    uint32_t *loose = new_partners(&m, 0.007, &a, &lonely);
    assert_int_equal(lonely, 0);
    uint32_t *partners = new_partners(&m, 0.002, &a, &lonely);
    assert_true(lonely >= 6 && lonely <= 36);
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    static real map[2 * TEXELS * TEXELS];
    raster_uv_mirror(&layout, &m.mesh, loose, map);
    for (int i = 0; i < TEXELS * TEXELS; i++) /* on the chart all the same */
        assert_true(!layout.faces[i] || (map[2 * i] >= 0 && map[2 * i] <= 1));
    raster_uv_mirror(&layout, &m.mesh, partners, map);
    size_t without = 0;
    for (int i = 0; i < TEXELS * TEXELS; i++) {
        bool alone = layout.faces[i] && partners[2 * (layout.faces[i] - 1)] == UINT32_MAX;
        without += alone;
        assert_true((map[2 * i] == -1) == (alone || !layout.faces[i]));
    }
    assert_true(without > 0);
    free(partners);
    free(loose);
    m.mesh.face_count = 0;
    free(new_partners(&m, 0.002, &a, &lonely));
    assert_int_equal(lonely, 0);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* Every edge is the image of every other: too many to choose from, and no symmetry. */
static void test_all_in_one_place(void **state)
{
    enum { STRIP = 400 };
    real vertices[3 * (STRIP + 2)] = { 0 };
    uint32_t faces[3 * STRIP];
    for (uint32_t i = 0; i < 3 * STRIP; i++)
        faces[i] = i / 3 + i % 3;
    const raster_mesh mesh = {
        .vertices = vertices, .faces = faces, .vertex_count = STRIP + 2, .face_count = STRIP
    };
    test_mesh m = { .faces = faces, .mesh = mesh };
    arena a = { 0 };
    size_t lonely;
    uint32_t *partners = new_partners(&m, 1e-4, &a, &lonely);
    assert_int_equal(lonely, STRIP);
    free(partners);
    arena_finish(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mirror_quads),     cmocka_unit_test(test_mirror_triangles),
        cmocka_unit_test(test_other_faces),      cmocka_unit_test(test_not_symmetric),
        cmocka_unit_test(test_all_in_one_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

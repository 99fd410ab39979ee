/* SPDX-License-Identifier: Apache-2.0 */
/* UV space: which face lies at a texel, what is spread over the layout, that its gutters stand
 * mip-mapping, and that the bytes don't depend on the number of threads. In float and in double. */
#include "uv.h"

/* A mesh of faces that are given by their uvs alone, three corners each. */
static raster_mesh flat_mesh(const float *uvs, const uint32_t *corners, size_t faces)
{
    return (
        raster_mesh){ .face_count = faces, .uv_count = 3 * faces, .uvs = uvs, .uv_faces = corners };
}

static const uint32_t in_a_row[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8 };

/* ---- layout ---- */

enum { SIDE = 7, HIGH = 37, WIDE = 53 };

/* The unit square cut into triangles, corners inside at random places or on centres of texels. */
static void check_square(bool exact)
{
    rng r = rng_make(5, exact);
    test_mesh m = test_soup(&r, SIDE * SIDE, 2 * (SIDE - 1) * (SIDE - 1), 1);
    size_t faces = 0;
    for (uint32_t i = 0; i < SIDE * SIDE; i++) {
        uint32_t x = i % SIDE, y = i / SIDE;
        bool border = x == 0 || x == SIDE - 1 || y == 0 || y == SIDE - 1;
        double u = x / (SIDE - 1.0), v = y / (SIDE - 1.0), free = border ? 0 : 0.07;
        u += rng_range(&r, -free, free);
        v += rng_range(&r, -free, free);
        if (exact && !border) {
            u = (floor(u * WIDE) + 0.5) / WIDE;
            v = (floor(v * HIGH) + 0.5) / HIGH;
        }
        m.uvs[2 * i] = (float)u;
        m.uvs[2 * i + 1] = (float)v;
        if (x == SIDE - 1 || y == SIDE - 1)
            continue;
        memcpy(m.uv_faces + 3 * faces++, (uint32_t[]){ i, i + 1, i + SIDE + 1 }, 12);
        memcpy(m.uv_faces + 3 * faces++, (uint32_t[]){ i, i + SIDE, i + SIDE + 1 }, 12);
    }
    arena a = { 0 };
    raster_uv_layout whole = lay_out(&m.mesh, HIGH, WIDE, &a);
    int owners[HIGH * WIDE] = { 0 };
    for (uint32_t f = 0; f < faces; f++) {
        raster_mesh one = m.mesh;
        one.uv_faces += 3 * f;
        one.face_count = 1;
        raster_uv_layout alone = lay_out(&one, HIGH, WIDE, &a);
        for (int i = 0; i < HIGH * WIDE; i++) {
            owners[i] += alone.faces[i] != 0;
            if (alone.faces[i])
                assert_int_equal(whole.faces[i], f + 1);
        }
    }
    for (int i = 0; i < HIGH * WIDE; i++)
        assert_int_equal(owners[i], 1);
    /* also where a centre lies outside of its face, which only has it by its snapped corners */
    raster_uv_layout fine = lay_out(&m.mesh, 16 * HIGH, 16 * WIDE, &a);
    for (int i = 0; i < 256 * HIGH * WIDE; i++) {
        const real *b = fine.barycentrics + 3 * i;
        assert_true(b[0] >= 0 && b[1] >= 0 && b[2] >= 0);
        assert_float_equal(b[0] + b[1] + b[2], 1, rough);
    }
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_one_face_a_texel(void **state)
{
    check_square(false);
    check_square(true);
}

/* The uvs of the corners, weighted, are the centre of the texel; row 0 is at v = 1. */
static void test_barycentrics(void **state)
{
    test_mesh m = test_sphere(12, 0, 1, 0);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, HIGH, WIDE, &a);
    for (int i = 0; i < HIGH * WIDE; i++) {
        const real *b = layout.barycentrics + 3 * i;
        double uv[2] = { 0 }, sum = 0;
        for (int k = 0; k < 3; k++) {
            assert_true(b[k] >= 0);
            sum += (double)b[k];
            if (layout.faces[i])
                for (int c = 0; c < 2; c++)
                    uv[c] += (double)b[k] *
                             (double)m.uvs[2 * m.uv_faces[3 * (layout.faces[i] - 1) + (uint32_t)k] +
                                           (uint32_t)c];
        }
        assert_float_equal(sum, layout.faces[i] != 0, rough);
        if (!layout.faces[i])
            continue;
        assert_float_equal(uv[0] * WIDE, (i % WIDE) + 0.5, 1.0 / 256);
        assert_float_equal((1 - uv[1]) * HIGH, (i / WIDE) + 0.5, 1.0 / 256);
    }
    assert_true(count_covered(&layout) > HIGH * WIDE * 9 / 10);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* The first of the mesh, whichever way round each is wound. */
static void test_overlap(void **state)
{
    const float uvs[] = { 0, 0, 1, 0, 0, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 2, 2, 0 };
    raster_mesh mesh = flat_mesh(uvs, in_a_row, 3);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&mesh, 8, 8, &a);
    for (int i = 0; i < 64; i++) /* the diagonal belongs to one of the two */
        if (i % 8 != i / 8)
            assert_int_equal(layout.faces[i], i % 8 < i / 8 ? 1 : 2);
    const uint32_t reversed[] = { 8, 7, 6, 5, 4, 3, 2, 1, 0 };
    mesh.uv_faces = reversed;
    layout = lay_out(&mesh, 8, 8, &a);
    for (int i = 0; i < 64; i++)
        assert_int_equal(layout.faces[i], 1);
    const uint32_t turns[2][9] = { { 6, 8, 7, 6, 7, 8, 0, 1, 2 }, { 6, 7, 8, 6, 8, 7, 0, 1, 2 } };
    for (int turn = 0; turn < 2; turn++) {
        mesh.uv_faces = turns[turn];
        layout = lay_out(&mesh, 8, 8, &a);
        for (int i = 0; i < 64; i++)
            assert_int_equal(layout.faces[i], 1);
    }
    arena_finish(&a);
}

/* What lies outside of [0,1] is not there: it neither repeats nor reaches the edge. */
static void test_outside(void **state)
{
    const float across[] = { -0.5f, 0.5f, 0.5f, 1.5f, 0.5f, -0.5f };
    const float beside[] = { 1, 0, 2, 0, 1, 1, -1, 0, 0, 0, 0, 1 };
    const float far[] = { 0, 0, 1, 0, 0, 1e6f, 0, 0, 1, 0, 0, NAN, 0, 0, INFINITY, 0, 0, 1 };
    raster_mesh mesh = flat_mesh(across, in_a_row, 1);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&mesh, 8, 8, &a);
    for (int i = 0; i < 64; i++)
        assert_int_equal(layout.faces[i] != 0, i % 8 < 4);
    mesh = flat_mesh(beside, in_a_row, 2);
    layout = lay_out(&mesh, 8, 8, &a);
    assert_int_equal(count_covered(&layout), 0);
    mesh = flat_mesh(far, in_a_row, 3);
    layout = lay_out(&mesh, 8, 8, &a);
    assert_int_equal(count_covered(&layout), 0);
    arena_finish(&a);
}

static void test_degenerate(void **state)
{
    /* a point, a line along an axis, a slanted line, and a face after them that is drawn */
    const float uvs[] = { .5f, .5f, .5f, .5f, .5f, .5f, 0,    .5f, 1,    .5f, .3f,  .5f,
                          .1f, .1f, .4f, .4f, .9f, .9f, -.5f, 0,   1.5f, 0,   1.5f, 4 };
    const uint32_t corners[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };
    raster_mesh mesh = flat_mesh(uvs, corners, 4);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&mesh, 16, 16, &a);
    for (int i = 0; i < 256; i++)
        assert_true(layout.faces[i] == 0 || layout.faces[i] == 4);
    assert_true(count_covered(&layout) > 128);
    layout = lay_out(&mesh, 1, 1, &a); /* its one centre is inside of the last face */
    assert_int_equal(layout.faces[0], 4);
    assert_float_equal(layout.barycentrics[0] + layout.barycentrics[1] + layout.barycentrics[2], 1,
                       rough);
    mesh = (raster_mesh){ 0 };
    layout = lay_out(&mesh, 3, 5, &a);
    assert_int_equal(count_covered(&layout), 0);
    real map[15] = { 1 };
    raster_uv_interpolate(&layout, NULL, NULL, 1, map);
    assert_float_equal(map[0], 0, 0);
    assert_true(raster_uv_interpolate_adjoint(&layout, NULL, 0, 1, &a, map, NULL));
    arena_finish(&a);
}

/* ---- interpolation and lookup ---- */

/* What is affine in uv is itself at the centre of each texel. */
static void test_interpolate(void **state)
{
    enum { CHANNELS = 5 };
    test_mesh m = test_sphere(12, 0, 1, 0);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, HIGH, WIDE, &a);
    real *attributes = zeros(CHANNELS * m.mesh.uv_count, sizeof *attributes);
    real *map = zeros(CHANNELS * HIGH * WIDE, sizeof *map);
    for (size_t i = 0; i < m.mesh.uv_count; i++)
        for (size_t c = 0; c < CHANNELS; c++)
            attributes[CHANNELS * i + c] =
                (real)(c + 1) + (real)c * (real)m.uvs[2 * i] - 2 * (real)m.uvs[2 * i + 1];
    memset(map, 1, CHANNELS * HIGH * WIDE * sizeof *map); /* nothing of what was there stays */
    raster_uv_interpolate(&layout, m.uv_faces, attributes, CHANNELS, map);
    for (int i = 0; i < HIGH * WIDE; i++)
        for (int c = 0; c < CHANNELS; c++) {
            double u = (i % WIDE + 0.5) / WIDE, v = 1 - (i / WIDE + 0.5) / HIGH;
            double expected = layout.faces[i] ? c + 1 + c * u - 2 * v : 0;
            assert_float_equal(map[CHANNELS * i + c], expected, 1e-3);
        }
    free(attributes);
    free(map);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_look_up(void **state)
{
    const real picture[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 }; /* (2,3,2) */
    const real uvs[] = { (real)1 / 6, (real)0.75,                    /* the first pixel's centre */
                         (real)0.5,   (real)0.5,                     /* between the middle ones */
                         (real)0.25,  (real)0.75, /* a quarter of the way to the second */
                         -3,          7,          /* the corners, from outside */
                         2,           -1,         (real)NAN, (real)0.75 };
    const real expected[] = { 0, 1, 5, 6, (real)0.5, (real)1.5, 0, 1, 10, 11, 0, 1 };
    real out[12];
    raster_uv_look_up(&(raster_texture){ 3, 2, 2, 1, picture }, uvs, 6, out);
    for (int i = 0; i < 12; i++)
        assert_float_equal(out[i], expected[i], rough);
    raster_uv_look_up(&(raster_texture){ 1, 1, 2, 1, picture }, uvs, 6, out);
    for (int i = 0; i < 12; i++)
        assert_float_equal(out[i], (i % 2), 0);
}

/* ---- gutters under mip-mapping ---- */

/* Colours of a sphere in [0.2, 0.4] on a background of 1000, on a chart with a wide gutter. Without
 * the gutter filled each level has the background in its seams; with it none has, and each texel
 * that a level's seam runs through is near the mean of the colours that it covers. */
static void test_gutters(void **state)
{
    enum { TEXELS = 128 };
    test_mesh m = test_sphere(16, 0, (real)0.2, 0);
    for (size_t i = 0; i < 2 * m.mesh.uv_count; i++)
        m.uvs[i] = 0.17f + 0.61f * m.uvs[i];
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    uint8_t covered[TEXELS * TEXELS];
    static real levels[2][3][TEXELS * TEXELS];
    real *bare = levels[0][0], *filled = levels[0][1], *share = levels[0][2];
    double p[3], n[3];
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        covered[at] = layout.faces[at] != 0;
        bare[at] = 1000;
        share[at] = covered[at];
        if (covered[at]) {
            surface(&m, &layout, at, p, n);
            bare[at] = (real)(0.3 + 0.5 * p[1]);
        }
    }
    memcpy(filled, bare, sizeof levels[0][0]);
    assert_true(image_fill_gutters(covered, TEXELS, TEXELS, 1, filled));
    for (int size = TEXELS, level = 1; size > 1; size /= 2, level++) {
        int smaller = size / 2, seams = 0;
        real(*next)[TEXELS * TEXELS] = levels[level % 2];
        image_resize(filled, size, size, 1, smaller, smaller, IMAGE_AREA, next[1]);
        image_resize(bare, size, size, 1, smaller, smaller, IMAGE_AREA, next[0]);
        image_resize(share, size, size, 1, smaller, smaller, IMAGE_AREA, next[2]);
        bare = next[0];
        filled = next[1];
        share = next[2];
        for (int i = 0; i < smaller * smaller; i++) {
            assert_in_range((int)(1000 * (double)filled[i]), 190, 410);
            if (share[i] == 0 || share[i] == 1)
                continue;
            seams++;
            assert_true(bare[i] > 1);
            double mean = ((double)bare[i] - 1000 * (1 - (double)share[i])) / (double)share[i];
            assert_float_equal(filled[i], mean, 0.2 / smaller + 1e-3);
        }
        assert_true(seams > 0 || smaller < 2);
    }
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* ---- threads ---- */

typedef struct everything {
    raster_uv_layout layout;
    real map[3 * HIGH * WIDE], back[3 * 1024], sums[3 * HIGH * WIDE], weights[HIGH * WIDE];
    real mirrored[2 * HIGH * WIDE];
    uint32_t partners[2 * 2048];
} everything;

static void run_everything(const test_mesh *m, const raster_picture *picture, everything *e,
                           int threads, arena *a)
{
    size_t lonely;
    threads_set_count(threads);
    memset(e, 0, sizeof *e);
    e->layout = lay_out(&m->mesh, HIGH, WIDE, a);
    raster_uv_interpolate(&e->layout, m->faces, m->vertices, 3, e->map);
    assert_true(raster_uv_interpolate_adjoint(&e->layout, m->faces, m->mesh.vertex_count, 3, a,
                                              e->map, e->back));
    assert_true(
        raster_unwrap_add(&e->layout, &m->mesh, m->normals, picture, a, e->sums, e->weights));
    find_partners(m, 1e-5, a, e->partners, &lonely);
    raster_uv_mirror(&e->layout, &m->mesh, e->partners, e->mirrored);
    threads_set_count(0);
}

static void test_threads(void **state)
{
    enum { SIZE = 64 };
    static everything one, many;
    test_mesh m = test_sphere(20, 0, (real)0.2, (real)0.1);
    assert_true(m.mesh.vertex_count <= 1024 && m.mesh.face_count <= 2048);
    arena a = { 0 };
    real *pixels = zeros(3 * SIZE * SIZE, sizeof *pixels);
    for (int i = 0; i < 3 * SIZE * SIZE; i++)
        pixels[i] = (real)(i % 101) / 100;
    raster_picture picture = { .camera = { .azimuth = 25, .distance = 1, .fov_y = 30 },
                               .height = SIZE,
                               .width = SIZE,
                               .channels = 3,
                               .pixels = pixels };
    run_everything(&m, &picture, &one, 1, &a);
    for (int threads = 2; threads < 6; threads++) {
        run_everything(&m, &picture, &many, threads, &a);
        size_t texels = HIGH * WIDE;
        assert_memory_equal(one.layout.faces, many.layout.faces, texels * sizeof(uint32_t));
        assert_memory_equal(one.layout.barycentrics, many.layout.barycentrics,
                            3 * texels * sizeof(real));
        many.layout = one.layout;
        assert_memory_equal(&one, &many, sizeof one);
    }
    free(pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_face_a_texel), cmocka_unit_test(test_barycentrics),
        cmocka_unit_test(test_overlap),          cmocka_unit_test(test_outside),
        cmocka_unit_test(test_degenerate),       cmocka_unit_test(test_interpolate),
        cmocka_unit_test(test_look_up),          cmocka_unit_test(test_gutters),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

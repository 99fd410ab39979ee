/* SPDX-License-Identifier: Apache-2.0 */
/* What the rasteriser draws: camera, coverage, perspective, depth, texture, light; that vertices
 * behind the camera do no harm; that the fast loops agree with the plain ones; and that the bytes
 * don't depend on the number of threads. Compiled in float and in double. */
#include "../raster_meshes.h"
#include "raster/raster_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const double rough = sizeof(real) == 4 ? 2e-4 : 1e-9;

static real *zeros(size_t count)
{
    real *a = calloc(count, sizeof *a);
    assert_non_null(a);
    return a;
}

static raster_state *draw(const test_mesh *m, const raster_view *v, arena *a, real *image)
{
    raster_state *s = raster_draw(&m->mesh, m->normals, v, a, image);
    assert_non_null(s);
    return s;
}

static bool *find_blended(const raster_state *s)
{
    bool *blended = calloc((size_t)(s->width * s->height), sizeof *blended);
    for (size_t i = 0; i < s->crossing_count; i++)
        blended[s->crossings[i].inner] = blended[s->crossings[i].outer] = true;
    return blended;
}

/* ---- camera ---- */

static void test_camera(void **state)
{
    raster_camera c = { .azimuth = 90, .distance = 2, .fov_y = 40, .target = { 1, 2, 3 } };
    raster_lens lens;
    raster_lens_init(&lens, &c, 64, 32);
    assert_float_equal(lens.eye[0], 3, 1e-6); /* its own left is +x */
    assert_float_equal(lens.eye[2], 3, 1e-6);
    c.azimuth = 0;
    c.elevation = 30;
    raster_lens_init(&lens, &c, 64, 32);
    assert_float_equal(lens.eye[1], 3, 1e-6);
    assert_true(lens.eye[2] > 3);
}

/* Projection and clip matrix say the same: x = (X/W + 1) w/2, y = (1 - Y/W) h/2, 1/w = 1/W. */
static void test_matrix(void **state)
{
    raster_camera c = { .azimuth = 25,
                        .elevation = -20,
                        .distance = 2,
                        .fov_y = 40,
                        .target = { (real)0.1, (real)0.2, (real)0.3 } };
    rng r = rng_make(4, 0);
    real matrix[16];
    raster_lens lens;
    raster_lens_init(&lens, &c, 60, 40);
    raster_camera_matrix(&c, (real)60 / 40, matrix);
    for (int i = 0; i < 50; i++) {
        real v[4] = { (real)rng_range(&r, -1, 1), (real)rng_range(&r, -1, 1),
                      (real)rng_range(&r, -1, 1), 1 },
             clip[4], screen[3];
        int32_t snapped[2];
        for (int k = 0; k < 4; k++)
            clip[k] = matrix[4 * k] * v[0] + matrix[4 * k + 1] * v[1] + matrix[4 * k + 2] * v[2] +
                      matrix[4 * k + 3];
        raster_project(&lens, v, 1, screen, snapped);
        assert_float_equal(screen[0], (clip[0] / clip[3] + 1) * 30, 100 * rough);
        assert_float_equal(screen[1], (1 - clip[1] / clip[3]) * 20, 100 * rough);
        assert_float_equal(screen[2], 1 / clip[3], 10 * rough);
        assert_true(fabs((double)clip[2]) < (double)clip[3]);
    }
}

/* ---- coverage and perspective ---- */

enum { SIDE = 9, COUNT = SIDE * SIDE, SIZE = 50 };

/* A wall of faces with random corners inside: each pixel belongs to one face and only one.
 * With `exact`, corners lie on centres of pixels and edges run through many more. */
static void check_wall(bool exact)
{
    rng r = rng_make(8, 0);
    test_mesh m = test_soup(&r, COUNT, 2 * (SIDE - 1) * (SIDE - 1), 1);
    size_t faces = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        bool border = i % SIDE == 0 || i % SIDE == SIDE - 1 || i < SIDE || i >= COUNT - SIDE;
        double free = border ? 0 : 0.04;
        m.vertices[3 * i] = (real)(0.1 * (i % SIDE) - 0.4 + rng_range(&r, -free, free));
        m.vertices[3 * i + 1] = (real)(0.1 * (i / SIDE) - 0.4 + rng_range(&r, -free, free));
        m.vertices[3 * i + 2] = 0;
        for (int c = 0; c < 2 && exact; c++) {
            double pixel = 0.5 * SIZE / tan(20 * M_PI / 180); /* a metre in pixels */
            double centre = floor((double)m.vertices[3 * i + c] * pixel) + 0.5;
            m.vertices[3 * i + c] = (real)(centre / pixel);
        }
        if (i % SIDE == SIDE - 1 || i >= COUNT - SIDE)
            continue;
        uint32_t quad[4] = { i, i + 1, i + SIDE + 1, i + SIDE };
        memcpy(m.faces + 3 * faces++, (uint32_t[]){ quad[0], quad[1], quad[2] }, 12);
        memcpy(m.faces + 3 * faces++, (uint32_t[]){ quad[0], quad[3], quad[2] }, 12);
    }
    raster_view view = test_view(SIZE, RASTER_NORMALS);
    view.camera.azimuth = view.camera.elevation = 0;
    view.camera.fov_y = 40; /* the wall fills the picture */
    arena a = { 0 };
    real *image = zeros(3 * SIZE * SIZE);
    int owners[SIZE * SIZE] = { 0 };
    raster_mesh whole = m.mesh;
    raster_state *s = draw(&m, &view, &a, image);
    for (int i = 0; i < SIZE * SIZE; i++)
        assert_true(s->visible[i] > 0);
    for (size_t f = 0; f < faces; f++) {
        m.mesh.faces = whole.faces + 3 * f;
        m.mesh.face_count = 1;
        s = draw(&m, &view, &a, image);
        for (int i = 0; i < SIZE * SIZE; i++)
            owners[i] += s->visible[i] > 0;
        arena_leave(&a, (arena_mark){ 0 });
    }
    for (int i = 0; i < SIZE * SIZE; i++)
        assert_int_equal(owners[i], 1);
    free(image);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_wall(void **state)
{
    check_wall(false);
    check_wall(true);
}

static double determinant(const double a[3], const double b[3], const double c[3])
{
    return a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) +
           a[2] * (b[0] * c[1] - b[1] * c[0]);
}

/* Shares of the corners where the ray through a pixel's centre meets the face's plane. */
static void trace(const raster_lens *lens, const raster_mesh *m, uint32_t face, double x, double y,
                  double shares[3])
{
    double corner[3][3], ray[3], sum = 0;
    for (int c = 0; c < 3; c++)
        ray[c] = (double)lens->right[c] * (x - (double)lens->centre[0]) -
                 (double)lens->up[c] * (y - (double)lens->centre[1]) -
                 (double)lens->backward[c] * (double)lens->focal;
    for (int k = 0; k < 9; k++)
        corner[k / 3][k % 3] =
            (double)m->vertices[3 * m->faces[3 * face + k / 3] + k % 3] - (double)lens->eye[k % 3];
    for (int k = 0; k < 3; k++) {
        shares[k] = determinant(ray, corner[(k + 1) % 3], corner[(k + 2) % 3]);
        sum += shares[k];
    }
    for (int k = 0; k < 3; k++)
        shares[k] /= sum;
}

static void test_perspective(void **state)
{
    test_mesh m = test_sphere(6, 0, (real)0.2, 0);
    raster_view view = test_view(64, RASTER_NORMALS);
    view.camera.distance = (real)0.4; /* strong perspective */
    view.camera.fov_y = 60;
    arena a = { 0 };
    real *image = zeros(3 * 64 * 64);
    raster_state *s = draw(&m, &view, &a, image);
    bool *blended = find_blended(s);
    int tried = 0;
    for (int i = 0; i < 64 * 64; i++) {
        if (!s->visible[i] || blended[i])
            continue;
        uint32_t face = s->slots[s->visible[i] - 1].face;
        double shares[3], n[3] = { 0 }, length = 0;
        trace(&s->lens, &m.mesh, face, i % 64 + 0.5, i / 64 + 0.5, shares);
        for (int k = 0; k < 9; k++)
            n[k % 3] += shares[k / 3] * (double)m.normals[3 * m.faces[3 * face + k / 3] + k % 3];
        for (int c = 0; c < 3; c++)
            length += n[c] * n[c];
        for (int c = 0; c < 3; c++) /* a pixel on an edge may be 1/512 pixel outside its face */
            assert_float_equal(image[3 * i + c], 0.5 + 0.5 * n[c] / sqrt(length), 2e-3);
        tried++;
    }
    assert_true(tried > 1000);
    free(blended);
    free(image);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* ---- modes ---- */

static void test_depth(void **state)
{
    test_mesh m = test_sphere(20, 0, (real)0.2, 0);
    raster_view view = test_view(64, RASTER_DEPTH);
    arena a = { 0 };
    real *image = zeros(3 * 64 * 64), low = 1, high = 0;
    raster_state *s = draw(&m, &view, &a, image);
    bool *blended = find_blended(s);
    for (int i = 0; i < 64 * 64; i++) {
        assert_true(image[3 * i] == image[3 * i + 1] && image[3 * i] == image[3 * i + 2]);
        if (blended[i])
            continue;
        if (!s->visible[i]) {
            assert_true(image[3 * i] == 0);
            continue;
        }
        low = image[3 * i] < low ? image[3 * i] : low;
        high = image[3 * i] > high ? image[3 * i] : high;
    }
    assert_true(low >= (real)0.499 && low < (real)0.7);
    assert_float_equal(high, 1, 1e-6);
    assert_float_equal(image[3 * s->farthest], 0.5, blended[s->farthest] ? 0.25 : 1e-6);
    assert_true(image[3 * (32 * 64 + 32)] > (real)0.99); /* the middle is nearest */
    free(blended);
    free(image);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* A texture of two colours, upper half and lower half; and light that is the same everywhere. */
static void test_texture(void **state)
{
    test_mesh m = test_sphere(20, 0, (real)0.2, 0);
    raster_view view = test_view(64, RASTER_SHADED);
    real texture[8 * 8 * 3];
    for (int i = 0; i < 8 * 8 * 3; i++)
        texture[i] = i < 4 * 8 * 3 ? (real)0.5 : (real)0.01;
    for (int i = 0; i < 9; i++)
        view.light[i] = i ? 0 : (real)(1 / 0.28209479177387814);
    view.camera.elevation = 0;
    view.camera.azimuth = 180; /* across the seam */
    view.texture = &(raster_texture){ 8, 8, 3, 1, texture };
    arena a = { 0 };
    real *image = zeros(3 * 64 * 64);
    draw(&m, &view, &a, image);
    for (int x = 24; x < 40; x++) {
        assert_float_equal(image[3 * (16 * 64 + x)], 1.055 * pow(0.5, 1 / 2.4) - 0.055, 1e-5);
        assert_float_equal(image[3 * (48 * 64 + x)], 1.055 * pow(0.01, 1 / 2.4) - 0.055, 1e-5);
    }
    assert_float_equal(image[0], view.background[0], 0);
    free(image);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_lookup(void **state)
{
    const real texture[12] = { 1, 0, 0, 2, 0, 0, 3, 0, 0, 4, 0, 0 };
    const raster_texture map = { 2, 2, 3, 1, texture };
    const real cases[8][3] = { { (real)0.25, (real)0.75, 1 },
                               { (real)0.75, (real)0.75, 2 },
                               { (real)0.25, (real)0.25, 3 },
                               { (real)0.5, (real)0.5, 2.5 },
                               { 0, 1, 1 },
                               { 1, 0, 4 },
                               { -7, 9, 1 },
                               { (real)0.125, 0, 3 } };
    for (int i = 0; i < 8; i++) {
        raster_lookup l = { .uv = { cases[i][0], cases[i][1] } };
        raster_look_up(&map, &l);
        assert_float_equal(l.colour[0], cases[i][2], 1e-6);
    }
}

/* Over the side that faces the camera an albedo of 0.5 comes out grey, nowhere black or white. */
static void check_light(raster_light kind, const real light[9])
{
    double sum = 0;
    int count = 0;
    for (double e = -80; e <= 80; e += 10) {
        for (double z = -80; z <= 80; z += 10) {
            double ce = cos(e * M_PI / 180), turn = z * M_PI / 180;
            const real n[3] = { (real)(ce * sin(turn)), (real)sin(e * M_PI / 180),
                                (real)(ce * cos(turn)) };
            double linear = 0.5 * (double)raster_irradiance(kind, light, n);
            double value =
                linear <= 0.0031308 ? 12.92 * linear : 1.055 * pow(linear, 1 / 2.4) - 0.055;
            assert_in_range((int)(255 * value), 60, 235);
            sum += value;
            count++;
        }
    }
    assert_in_range((int)(255 * sum / count), 100, 190);
}

static void test_lights(void **state)
{
    real light[9];
    assert_true(raster_light_presets() > 1);
    for (int i = 0; i < raster_light_presets(); i++) {
        for (int kind = RASTER_HARMONICS; kind <= RASTER_RIG; kind++) {
            raster_light_preset(i, (raster_light)kind, light);
            check_light((raster_light)kind, light);
        }
    }
    for (uint64_t i = 0; i < 500; i++) {
        rng r = rng_make(i, 3);
        raster_light kind = i % 2 ? RASTER_RIG : RASTER_HARMONICS;
        raster_light_random(&r, kind, light);
        check_light(kind, light);
    }
}

/* ---- what must do no harm ---- */

static void test_bad_vertices(void **state)
{
    arena a = { 0 };
    real *image = zeros(3 * SIZE * SIZE), *u = zeros(3 * SIZE * SIZE);
    for (int i = 0; i < 3 * SIZE * SIZE; i++)
        u[i] = 1;
    for (uint64_t seed = 0; seed < 40; seed++) {
        rng r = rng_make(seed, 2);
        test_mesh m = test_soup(&r, 40, 60, seed % 2 ? 3 : 1000);
        raster_view view = test_view(SIZE, seed % 3 ? RASTER_SHADED : RASTER_NORMALS);
        raster_lens lens;
        raster_lens_init(&lens, &view.camera, SIZE, SIZE);
        memcpy(m.vertices, lens.eye, sizeof lens.eye);
        m.vertices[3] = (real)NAN;
        m.vertices[6] = (real)INFINITY;
        memcpy(m.vertices + 9, m.vertices + 12, 3 * sizeof(real)); /* two corners in one place */
        size_t count = 3 * m.mesh.vertex_count;
        real *dvertices = zeros(count), *dnormals = zeros(count);
        raster_state *s = draw(&m, &view, &a, image);
        assert_true(raster_draw_adjoint(&m.mesh, m.normals, &view, &a, s, u, dvertices, dnormals,
                                        NULL, NULL));
        for (int i = 0; i < 3 * SIZE * SIZE; i++)
            assert_true(isfinite(image[i]) && image[i] >= (real)-1e-3 && image[i] <= (real)1.1);
        for (size_t i = 0; i < count; i++)
            assert_true(isfinite(dvertices[i]) && isfinite(dnormals[i]));
        for (size_t i = 0; i < 9; i++)
            assert_true(dvertices[i] == 0);
        free(dvertices);
        free(dnormals);
        arena_leave(&a, (arena_mark){ 0 });
        test_mesh_finish(&m);
    }
    free(image);
    free(u);
    arena_finish(&a);
}

/* A face that reaches behind the camera is left out whole; so is one with a corner far outside. */
static void test_across_near(void **state)
{
    rng r = rng_make(1, 0);
    test_mesh m = test_soup(&r, 3, 1, 1);
    raster_view view = test_view(SIZE, RASTER_SHADED);
    view.camera.azimuth = view.camera.elevation = 0;
    for (uint32_t k = 0; k < 3; k++)
        m.faces[k] = k;
    const real ends[4][3] = {
        { 0, 1, 0 }, { 0, 1, 2 }, { 0, (real)0.1, (real)0.99 }, { 0, 1e4, 0 }
    };
    real image[3 * SIZE * SIZE];
    for (int i = 0; i < 4; i++) {
        arena a = { 0 };
        const real base[6] = { -1, -1, 0, 1, -1, 0 };
        memcpy(m.vertices, base, sizeof base);
        memcpy(m.vertices + 6, ends[i], sizeof ends[i]);
        raster_state *s = draw(&m, &view, &a, image);
        int seen = 0;
        for (int k = 0; k < SIZE * SIZE; k++)
            seen += s->visible[k] > 0;
        assert_true(i == 0 ? seen > SIZE : seen == 0);
        arena_finish(&a);
    }
    test_mesh_finish(&m);
}

/* Everything behind the camera, or no faces at all: the background and nothing else. */
static void test_nothing_to_see(void **state)
{
    test_mesh m = test_sphere(6, 0, (real)0.2, 0);
    raster_view view = test_view(SIZE, RASTER_SHADED);
    real image[3 * SIZE * SIZE];
    for (int round = 0; round < 2; round++) {
        arena a = { 0 };
        view.camera.azimuth = 0;
        view.camera.target[2] = round ? 0 : -5; /* looks away, toward -z */
        m.mesh.face_count = round ? 0 : m.mesh.face_count;
        draw(&m, &view, &a, image);
        for (int i = 0; i < 3 * SIZE * SIZE; i++)
            assert_true(image[i] == view.background[i % 3]);
        arena_finish(&a);
    }
    test_mesh_finish(&m);
}

/* ---- fast loops against plain ones ---- */

static real *random_picture(uint64_t seed, size_t count)
{
    rng r = rng_make(seed, 7);
    real *u = zeros(count);
    for (size_t i = 0; i < count; i++)
        u[i] = (real)rng_normal(&r);
    return u;
}

static void expect_close(const real *found, const real *expected, size_t count, double tolerance)
{
    double largest = 1e-3;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        assert_float_equal(found[i], expected[i], tolerance * largest);
}

static size_t texture_size(const raster_view *view)
{
    return view->texture ? raster_texture_size(view->texture) : 0;
}

static void check_plain(const test_mesh *m, const raster_view *view)
{
    size_t pixels = (size_t)view->width * (size_t)view->height, texels = texture_size(view);
    size_t vertices = 3 * m->mesh.vertex_count, numbers = pixels * (size_t)raster_channels(view);
    const size_t counts[4] = { vertices, vertices, texels, 9 };
    arena a = { 0 };
    real *image = zeros(numbers), *plain = zeros(numbers);
    real *u = random_picture(1, numbers), *g[2][4];
    for (int i = 0; i < 8; i++)
        g[i / 4][i % 4] = zeros(counts[i % 4]);
    raster_state *s = draw(m, view, &a, image), p = *s;
    assert_true(raster_visible_plain(&p, &m->mesh, &a));
    for (size_t i = 0; i < pixels; i++) {
        assert_int_equal(s->visible[i] > 0, p.visible[i] > 0);
        assert_float_equal(s->depth[i], p.depth[i], rough);
        if (s->visible[i] && p.visible[i] && sizeof(real) == 8)
            assert_int_equal(s->slots[s->visible[i] - 1].face, p.slots[p.visible[i] - 1].face);
    }
    /* the same faces from here on: at equal depth rounding may pick either */
    raster_shading *shading = raster_shade_begin(s, &m->mesh, m->normals, view, &a, image);
    assert_non_null(shading);
    for (size_t band = 0; band < (size_t)s->band_count; band++)
        raster_shade_band(shading, band);
    raster_shade_end(shading, s);
    raster_shade_plain(s, &m->mesh, m->normals, view, plain);
    expect_close(image, plain, numbers, rough);
    s->crossing_count = 0;
    raster_texels found = { .bands = 0 };
    assert_true(raster_shade_adjoint(s, &m->mesh, m->normals, view, &a, u, NULL, g[0][0], g[0][1],
                                     texels ? &found : NULL, g[0][3]));
    assert_true(!found.bands || raster_texels_adjoint(view->texture, &found, &a, g[0][2]));
    raster_shade_plain_adjoint(s, &m->mesh, m->normals, view, u, g[1][0], g[1][1], g[1][2],
                               g[1][3]);
    for (int k = 0; k < 4; k++)
        expect_close(g[0][k], g[1][k], counts[k], (k == 3 ? 4 : 1) * rough);
    for (int i = 0; i < 8; i++)
        free(g[i / 4][i % 4]);
    free(u);
    free(image);
    free(plain);
    arena_finish(&a);
}

static raster_texture random_texture(int width, int height, int channels, int levels)
{
    raster_texture t = { width, height, channels, levels, NULL };
    size_t count = raster_texture_size(&t);
    real *texels = random_picture(2, count);
    for (size_t i = 0; i < count; i++)
        texels[i] = (real)fabs((double)texels[i]) / 4;
    t.texels = texels;
    return t;
}

static void test_plain(void **state)
{
    static const struct {
        raster_mode mode;
        raster_light light;
        int texture, levels, rings, open, size, channels;
    } cases[] = {
        { RASTER_SHADED, RASTER_HARMONICS, 0, 0, 12, 0, 45, 0 },
        { RASTER_SHADED, RASTER_RIG, 0, 0, 12, 1, 45, 0 },
        { RASTER_SHADED, RASTER_HARMONICS, 37, 1, 12, 1, 45, 0 },
        { RASTER_SHADED, RASTER_RIG, 37, 6, 3, 2, 150, 0 },
        { RASTER_UNLIT, RASTER_HARMONICS, 90, 7, 12, 2, 45, 4 },
        { RASTER_UNLIT, RASTER_HARMONICS, 20, 2, 12, 2, 45, 2 },
        { RASTER_UNLIT, RASTER_HARMONICS, 20, 1, 3, 2, -5, 1 },
        { RASTER_UNLIT, RASTER_HARMONICS, 0, 0, 12, 2, 45, 0 },
        { RASTER_SHADED, RASTER_HARMONICS, 0, 0, 4, 0, -6, 0 },
        { RASTER_DEPTH, RASTER_HARMONICS, 0, 0, 4, 0, -1, 0 },
        { RASTER_PARTS, RASTER_HARMONICS, 0, 0, 6, 0, 45, 0 },
        { RASTER_NORMALS, RASTER_HARMONICS, 0, 0, 12, 2, 45, 0 },
        { RASTER_CAMERA_NORMALS, RASTER_HARMONICS, 0, 0, 3, 2, 6, 0 },
        { RASTER_CONTROL_NORMALS, RASTER_HARMONICS, 0, 0, 12, 2, 45, 0 },
        { RASTER_DEPTH, RASTER_HARMONICS, 0, 0, 12, 2, 45, 0 },
    };
    const real colours[6] = { (real)0.1, (real)0.2, (real)0.3, 1, (real)0.5, 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        test_mesh m = test_sphere(cases[i].rings, cases[i].open, (real)0.2, (real)0.1);
        int size = abs(cases[i].size), width = cases[i].texture;
        int channels = cases[i].channels ? cases[i].channels : 3;
        raster_view view = test_view(size, cases[i].mode);
        raster_texture t = random_texture(width, width + 3, channels, cases[i].levels);
        uint32_t *parts = calloc(m.mesh.face_count, sizeof *parts);
        for (size_t f = 0; f < m.mesh.face_count; f++)
            parts[f] = f % 3 == 0;
        view.face_parts = parts;
        view.part_colours = colours;
        view.width += cases[i].size < 0 ? 1 : 11; /* < 0: narrower than eight pixels */
        view.camera.elevation = (real)(15 - 20 * cases[i].open);
        view.light_kind = cases[i].light;
        raster_light_preset(4, view.light_kind, view.light);
        view.texture = width ? &t : NULL;
        view.albedo[0] = (real)(i ? 0.5 : 0.9);
        check_plain(&m, &view);
        free(parts);
        free((real *)t.texels);
        test_mesh_finish(&m);
    }
    rng r = rng_make(11, 0);
    test_mesh soup = test_soup(&r, 60, 80, 0.25);
    raster_view view = test_view(60, RASTER_SHADED);
    check_plain(&soup, &view);
    view.mode = RASTER_DEPTH;
    check_plain(&soup, &view);
    test_mesh_finish(&soup);
}

/* ---- threads ---- */

enum { VIEWS = 5 };

typedef struct output {
    real *images[VIEWS], *dvertices, *dnormals, *dtexels, dlights[VIEWS][9];
} output;

static void drop_output(output *o)
{
    for (int i = 0; i < VIEWS; i++)
        free(o->images[i]);
    free(o->dvertices);
    free(o->dnormals);
    free(o->dtexels);
}

static output make_output(const test_mesh *m, const raster_view *views)
{
    output o = { .dvertices = zeros(3 * m->mesh.vertex_count),
                 .dnormals = zeros(3 * m->mesh.vertex_count),
                 .dtexels = zeros(texture_size(views)) };
    for (int i = 0; i < VIEWS; i++)
        o.images[i] =
            zeros((size_t)(views[i].width * views[i].height) * (size_t)raster_channels(&views[i]));
    return o;
}

/* All views at once, or one after the other. */
static output run(const test_mesh *m, const raster_view *views, const real *u, int threads,
                  bool together)
{
    output o = make_output(m, views);
    arena scratch[VIEWS] = { { 0 } };
    raster_state *states[VIEWS];
    const real *us[VIEWS] = { u, u, u, u, u };
    threads_set_count(threads);
    if (together) {
        assert_true(raster_draw_views(&m->mesh, m->normals, views, VIEWS, scratch, states,
                                      (real *const *)o.images));
        assert_true(raster_draw_views_adjoint(&m->mesh, m->normals, views, VIEWS, scratch, states,
                                              us, o.dvertices, o.dnormals, o.dtexels, o.dlights));
    }
    for (int i = 0; i < VIEWS && !together; i++) {
        raster_state *s = draw(m, &views[i], &scratch[i], o.images[i]);
        assert_true(raster_draw_adjoint(&m->mesh, m->normals, &views[i], &scratch[i], s, u,
                                        o.dvertices, o.dnormals, o.dtexels, o.dlights[i]));
    }
    threads_set_count(0);
    for (int i = 0; i < VIEWS; i++)
        arena_finish(&scratch[i]);
    return o;
}

static void compare(const test_mesh *m, const raster_view *views, const output *a, const output *b,
                    bool exact)
{
    size_t bytes = 3 * m->mesh.vertex_count * sizeof(real), texels = texture_size(views);
    for (int i = 0; i < VIEWS; i++)
        assert_memory_equal(a->images[i], b->images[i],
                            (size_t)(views[i].width * views[i].height) *
                                (size_t)raster_channels(&views[i]) * sizeof(real));
    assert_memory_equal(a->dlights, b->dlights, sizeof a->dlights);
    if (exact) {
        assert_memory_equal(a->dvertices, b->dvertices, bytes);
        assert_memory_equal(a->dnormals, b->dnormals, bytes);
        assert_memory_equal(a->dtexels, b->dtexels, texels * sizeof(real));
    } else { /* added up in another order */
        expect_close(a->dvertices, b->dvertices, bytes / sizeof(real), rough);
        expect_close(a->dnormals, b->dnormals, bytes / sizeof(real), rough);
        expect_close(a->dtexels, b->dtexels, texels, rough);
    }
}

static void test_threads(void **state)
{
    raster_texture t = random_texture(50, 40, 3, 5);
    for (int kind = 0; kind < 4; kind++) {
        int size = kind < 2 ? 128 : 300;
        test_mesh m = test_sphere(kind % 2 ? 60 : 12, 2, (real)0.2, (real)0.1);
        raster_view views[VIEWS];
        for (int i = 0; i < VIEWS; i++) {
            views[i] = test_view(size, kind == 3   ? RASTER_NORMALS
                                       : kind == 1 ? RASTER_DEPTH
                                                   : RASTER_SHADED);
            views[i].camera.azimuth = (real)(70 * i);
            views[i].light_kind = i % 2 ? RASTER_RIG : RASTER_HARMONICS;
            raster_light_preset(i % 3, views[i].light_kind, views[i].light);
            views[i].texture = &t;
        }
        real *u = random_picture(3, 3 * (size_t)(size * size));
        output first = run(&m, views, u, 1, true), apart = run(&m, views, u, 2, false);
        compare(&m, views, &apart, &first, false);
        for (int threads = 2; threads < 6; threads++) {
            output o = run(&m, views, u, threads, true);
            compare(&m, views, &o, &first, true);
            drop_output(&o);
        }
        drop_output(&first);
        drop_output(&apart);
        free(u);
        test_mesh_finish(&m);
    }
    free((real *)t.texels);
}

/* ---- pyramids, turns, backgrounds ---- */

static void test_reduce(void **state)
{
    real texels[2 * 5 * 3 + 2 * 2 * 1 + 2] = { 0 };
    const raster_texture t = { 5, 3, 2, 3, texels };
    assert_int_equal(raster_texture_levels(5, 3), 3);
    assert_int_equal(raster_texture_size(&t), sizeof texels / sizeof *texels);
    assert_int_equal(raster_texture_rows(&t), 3 + 1 + 1);
    for (int i = 0; i < 30; i++)
        texels[i] = (real)(i % 2 ? 7 : i / 10);
    raster_texture_reduce(&t, texels);
    for (int i = 30; i < 36; i++) /* rows 0, 1, 2 in one: their mean */
        assert_float_equal(texels[i], (i % 2 ? 7 : 1), 1e-6);
}

/* Far away, the checkerboard is grey; close up it is not. */
static void test_far_texture(void **state)
{
    enum { SIDE_TEXELS = 128, PIXELS = 32 };
    raster_texture t = random_texture(SIDE_TEXELS, SIDE_TEXELS, 3, 8);
    real *texels = (real *)t.texels, image[3 * PIXELS * PIXELS];
    for (int i = 0; i < SIDE_TEXELS * SIDE_TEXELS * 3; i++)
        texels[i] = (real)((i / 3 + i / 3 / SIDE_TEXELS) % 2);
    raster_texture_reduce(&t, texels);
    test_mesh m = test_sphere(20, 0, (real)0.2, 0);
    raster_view view = test_view(PIXELS, RASTER_UNLIT);
    view.texture = &t;
    for (int near = 0; near < 2; near++) {
        arena a = { 0 };
        view.camera.fov_y = near ? (real)4 : 40;
        t.levels = 8;
        draw(&m, &view, &a, image);
        double spread = 0;
        for (int y = 12; y < 20; y++)
            for (int x = 12; x < 20; x++)
                spread = fmax(spread, fabs((double)image[3 * (y * PIXELS + x)] - 0.5));
        assert_true(near ? spread > 0.3 : spread < 0.02);
        arena_finish(&a);
    }
    free(texels);
    test_mesh_finish(&m);
}

static void test_light_turn(void **state)
{
    for (int i = 0; i < 40; i++) {
        rng r = rng_make((uint64_t)i, 5);
        raster_light kind = i % 2 ? RASTER_RIG : RASTER_HARMONICS;
        real light[9], turned[9], n[3], angle = (real)rng_range(&r, -400, 400), length;
        raster_light_random(&r, kind, light);
        memcpy(turned, light, sizeof light);
        raster_light_turn(angle, kind, turned);
        for (int c = 0; c < 3; c++)
            n[c] = (real)rng_normal(&r);
        length = n[0] * n[0] + n[1] * n[1] + n[2] * n[2];
        for (int c = 0; c < 3; c++)
            n[c] /= (real)sqrt((double)length);
        double a = (double)angle * M_PI / 180;
        const real m[3] = { (real)(cos(a) * (double)n[0] + sin(a) * (double)n[2]), n[1],
                            (real)(cos(a) * (double)n[2] - sin(a) * (double)n[0]) };
        assert_float_equal(raster_irradiance(kind, light, n), raster_irradiance(kind, turned, m),
                           100 * rough);
    }
    real key[9];
    raster_light_preset(2, RASTER_RIG, key); /* in front, above */
    raster_light_turn(90, RASTER_RIG, key);
    assert_true(key[1] > (real)0.1 && fabs((double)key[3]) < 0.01); /* now at its own left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_camera),         cmocka_unit_test(test_matrix),
        cmocka_unit_test(test_wall),           cmocka_unit_test(test_perspective),
        cmocka_unit_test(test_depth),          cmocka_unit_test(test_texture),
        cmocka_unit_test(test_lookup),         cmocka_unit_test(test_lights),
        cmocka_unit_test(test_bad_vertices),   cmocka_unit_test(test_across_near),
        cmocka_unit_test(test_nothing_to_see), cmocka_unit_test(test_plain),
        cmocka_unit_test(test_threads),        cmocka_unit_test(test_reduce),
        cmocka_unit_test(test_far_texture),    cmocka_unit_test(test_light_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

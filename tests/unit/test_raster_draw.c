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
    bool *blended = calloc(64 * 64, sizeof *blended);
    for (size_t i = 0; i < s->crossing_count; i++)
        blended[s->crossings[i].inner] = blended[s->crossings[i].outer] = true;
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
    for (int i = 0; i < 64 * 64; i++) {
        assert_true(image[3 * i] == image[3 * i + 1] && image[3 * i] == image[3 * i + 2]);
        if (!s->visible[i]) {
            assert_true(image[3 * i] == 0);
            continue;
        }
        low = image[3 * i] < low ? image[3 * i] : low;
        high = image[3 * i] > high ? image[3 * i] : high;
    }
    assert_float_equal(low, 0.5, 1e-6);
    assert_float_equal(high, 1, 1e-6);
    assert_true(image[3 * (32 * 64 + 32)] > (real)0.99); /* the middle is nearest */
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
    view.texture = texture;
    view.texture_width = view.texture_height = 8;
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
    const raster_view view = { .texture = texture, .texture_width = 2, .texture_height = 2 };
    const real cases[8][3] = { { (real)0.25, (real)0.75, 1 },
                               { (real)0.75, (real)0.75, 2 },
                               { (real)0.25, (real)0.25, 3 },
                               { (real)0.5, (real)0.5, 2.5 },
                               { 0, 1, 1 },
                               { 1, 0, 4 },
                               { -7, 9, 1 },
                               { (real)0.125, 0, 3 } };
    for (int i = 0; i < 8; i++) {
        real colour[3], slope[2][3];
        raster_texture(&view, cases[i], colour, slope);
        assert_float_equal(colour[0], cases[i][2], 1e-6);
    }
}

/* Over the side that faces the camera an albedo of 0.5 comes out grey, nowhere black or white. */
static void check_light(const real light[9])
{
    double sum = 0;
    int count = 0;
    for (double e = -80; e <= 80; e += 10) {
        for (double z = -80; z <= 80; z += 10) {
            double ce = cos(e * M_PI / 180), turn = z * M_PI / 180;
            const real n[3] = { (real)(ce * sin(turn)), (real)sin(e * M_PI / 180),
                                (real)(ce * cos(turn)) };
            double linear = 0.5 * (double)raster_irradiance(light, n);
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
        raster_light_preset(i, light);
        check_light(light);
    }
    for (uint64_t i = 0; i < 500; i++) {
        rng r = rng_make(i, 3);
        raster_light_random(&r, light);
        check_light(light);
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
        assert_true(
            raster_draw_adjoint(&m.mesh, m.normals, &view, &a, s, u, dvertices, dnormals, NULL));
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

static void check_plain(const test_mesh *m, const raster_view *view)
{
    size_t pixels = (size_t)view->width * (size_t)view->height, count = 3 * m->mesh.vertex_count;
    size_t texels = 3 * (size_t)(view->texture_width * view->texture_height);
    arena a = { 0 };
    real *image = zeros(3 * pixels), *plain = zeros(3 * pixels);
    real *u = random_picture(1, 3 * pixels), *g[2][3];
    for (int i = 0; i < 6; i++)
        g[i / 3][i % 3] = zeros(i % 3 == 2 ? texels : count);
    raster_state *s = draw(m, view, &a, image), p = *s;
    assert_true(raster_visible_plain(&p, &m->mesh, &a));
    for (size_t i = 0; i < pixels; i++) {
        assert_int_equal(s->visible[i] > 0, p.visible[i] > 0);
        assert_float_equal(s->depth[i], p.depth[i], rough);
        if (s->visible[i] && p.visible[i] && sizeof(real) == 8)
            assert_int_equal(s->slots[s->visible[i] - 1].face, p.slots[p.visible[i] - 1].face);
    }
    /* the same faces from here on: at equal depth rounding may pick either */
    raster_shade(s, &m->mesh, m->normals, view, image);
    raster_shade_plain(s, &m->mesh, m->normals, view, plain);
    expect_close(image, plain, 3 * pixels, rough);
    assert_true(raster_shade_adjoint(s, &m->mesh, m->normals, view, &a, u, g[0][0], g[0][1],
                                     texels ? g[0][2] : NULL));
    raster_shade_plain_adjoint(s, &m->mesh, m->normals, view, u, g[1][0], g[1][1], g[1][2]);
    for (int k = 0; k < 3; k++)
        expect_close(g[0][k], g[1][k], k == 2 ? texels : count, rough);
    for (int i = 0; i < 6; i++)
        free(g[i / 3][i % 3]);
    free(u);
    free(image);
    free(plain);
    arena_finish(&a);
}

static void test_plain(void **state)
{
    enum { TEXTURE = 37 };
    real *texture = random_picture(2, 3 * TEXTURE * TEXTURE);
    for (int i = 0; i < 3 * TEXTURE * TEXTURE; i++)
        texture[i] = (real)fabs((double)texture[i]) / 4;
    for (int kind = 0; kind < 4; kind++) {
        test_mesh m = test_sphere(kind == 3 ? 3 : 12, kind, (real)0.2, (real)0.1);
        raster_view view =
            test_view(kind == 3 ? 150 : 45, kind == 2 ? RASTER_NORMALS : RASTER_SHADED);
        view.width += 11;
        view.camera.elevation = (real)(15 - 20 * kind);
        if (kind % 2) {
            view.texture = texture;
            view.texture_width = view.texture_height = TEXTURE;
        } else {
            view.albedo[0] = (real)(kind ? 0.5 : 0.9);
        }
        check_plain(&m, &view);
        test_mesh_finish(&m);
    }
    rng r = rng_make(11, 0);
    test_mesh soup = test_soup(&r, 60, 80, 0.25);
    raster_view view = test_view(60, RASTER_SHADED);
    check_plain(&soup, &view);
    test_mesh_finish(&soup);
    free(texture);
}

/* ---- threads ---- */

typedef struct output {
    real *image, *dvertices, *dnormals, *dtexture;
} output;

static output run(const test_mesh *m, const raster_view *view, const real *u, int threads)
{
    size_t count = 3 * m->mesh.vertex_count;
    size_t texels = 3 * (size_t)(view->texture_width * view->texture_height);
    output o = { zeros(3 * (size_t)(view->width * view->height)), zeros(count), zeros(count),
                 zeros(texels) };
    arena a = { 0 };
    threads_set_count(threads);
    raster_state *s = draw(m, view, &a, o.image);
    assert_true(raster_draw_adjoint(&m->mesh, m->normals, view, &a, s, u, o.dvertices, o.dnormals,
                                    o.dtexture));
    threads_set_count(0);
    arena_finish(&a);
    return o;
}

static void test_threads(void **state)
{
    enum { TEXTURE = 50 };
    real *texture = random_picture(2, 3 * TEXTURE * TEXTURE);
    for (int kind = 0; kind < 4; kind++) {
        int size = kind < 2 ? 128 : 300;
        test_mesh m = test_sphere(kind % 2 ? 60 : 12, 2, (real)0.2, (real)0.1);
        raster_view view = test_view(size, kind == 3 ? RASTER_NORMALS : RASTER_SHADED);
        view.texture = texture;
        view.texture_width = view.texture_height = TEXTURE;
        real *u = random_picture(3, 3 * (size_t)(size * size));
        const int counts[4] = { 1, 2, 5, 5 };
        output all[4];
        for (int i = 0; i < 4; i++)
            all[i] = run(&m, &view, u, counts[i]);
        size_t bytes = 3 * m.mesh.vertex_count * sizeof(real);
        for (int i = 0; i < 4; i++) {
            assert_memory_equal(all[i].image, all[0].image, 3 * (size_t)(size * size) * sizeof *u);
            assert_memory_equal(all[i].dvertices, all[0].dvertices, bytes);
            assert_memory_equal(all[i].dnormals, all[0].dnormals, bytes);
            assert_memory_equal(all[i].dtexture, all[0].dtexture,
                                3 * TEXTURE * TEXTURE * sizeof(real));
        }
        for (int i = 0; i < 4; i++) {
            free(all[i].image);
            free(all[i].dvertices);
            free(all[i].dnormals);
            free(all[i].dtexture);
        }
        free(u);
        test_mesh_finish(&m);
    }
    free(texture);
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
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures and gradients of random views, in all modes, sizes and kinds of mesh, with their
 * outlines, against the plain loops of plain.c; and the same bytes for several threads. */
#include "../raster_meshes.h"
#include "raster/raster_priv.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { RANDOM = 150, LARGEST = 3000000 /* pixels times faces */ };

static void *need(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    assert_non_null(memory);
    return memory;
}

typedef struct scene {
    test_mesh m;
    raster_view view;
    raster_texture texture;
    uint32_t *parts;
    real colours[9], *texels, *background, *u; /* u: gradient of the picture */
} scene;

/* Completes a scene whose mesh and size are chosen; textured: always, not every second time. */
static void complete(scene *s, rng *r, raster_mode mode, bool textured)
{
    const int width = s->view.width, height = s->view.height;
    const int channels = mode == RASTER_UNLIT ? 1 + (int)rng_below(r, 4) : 3;
    const int tw = 1 + (int)rng_below(r, 40), th = 1 + (int)rng_below(r, 40);
    const uint32_t levels = (uint32_t)raster_texture_levels(tw, th);
    s->texture = (raster_texture){ tw, th, channels, 1 + (int)rng_below(r, levels), NULL };
    const size_t texels = raster_texture_size(&s->texture);
    s->texture.texels = s->texels = need(texels, sizeof(real));
    for (size_t i = 0; i < texels; i++)
        s->texels[i] = (real)rng_range(r, 0.05, 0.9);
    s->parts = need(s->m.mesh.face_count, sizeof *s->parts);
    for (size_t i = 0; i < s->m.mesh.face_count; i++)
        s->parts[i] = rng_below(r, 3);
    for (int i = 0; i < 9; i++)
        s->colours[i] = (real)rng_uniform(r);
    s->view.texture = rng_below(r, 2) || textured ? &s->texture : NULL;
    s->view.face_parts = s->parts;
    s->view.part_colours = s->colours;
    const size_t numbers = (size_t)width * (size_t)height * (size_t)raster_channels(&s->view);
    s->u = need(numbers, sizeof(real));
    s->background = need(numbers, sizeof(real));
    for (size_t i = 0; i < numbers; i++) {
        s->u[i] = (real)rng_normal(r);
        s->background[i] = (real)rng_uniform(r);
    }
    s->view.background_picture = rng_below(r, 2) ? s->background : NULL;
}

static void set_view(scene *s, rng *r, int width, int height, raster_mode mode)
{
    s->view = test_view(64, mode);
    s->view.width = width;
    s->view.height = height;
    s->view.camera.azimuth = (real)rng_range(r, 0, 360);
    s->view.camera.elevation = (real)rng_range(r, -80, 80);
    if (rng_below(r, 4) == 0)
        s->view.camera.fov_y = rng_below(r, 2) ? 5 : 80;
    s->view.light_kind = (raster_light)rng_below(r, 2);
    raster_light_preset((int)rng_below(r, 5), s->view.light_kind, s->view.light);
    if (rng_below(r, 3) == 0)
        s->view.light[3] = 2; /* dark behind: less than nothing as harmonics */
    if (rng_below(r, 2))
        s->view.albedo[1] = (real)0.8;
}

static void finish(scene *s)
{
    test_mesh_finish(&s->m);
    free(s->parts);
    free(s->texels);
    free(s->background);
    free(s->u);
}

static size_t count_of(const scene *s, int k)
{
    return k < 2 ? 3 * s->m.mesh.vertex_count : k == 3 ? 9 : raster_texture_size(&s->texture);
}

static size_t numbers_of(const scene *s)
{
    return (size_t)s->view.width * (size_t)s->view.height * (size_t)raster_channels(&s->view);
}

/* The picture, and its gradients on vertices, normals, texels and light. */
static void run(const scene *s, int threads, real *image, real *g[4])
{
    arena a = { 0 };
    threads_set_count(threads);
    raster_state *state = raster_draw(&s->m.mesh, s->m.normals, &s->view, &a, image);
    assert_non_null(state);
    assert_true(raster_draw_adjoint(&s->m.mesh, s->m.normals, &s->view, &a, state, s->u, g[0], g[1],
                                    g[2], g[3]));
    threads_set_count(0);
    arena_finish(&a);
}

static void expect_close(const char *what, uint64_t seed, const real *found, const real *expected,
                         size_t count, double tolerance)
{
    double largest = 1e-3;
    for (size_t i = 0; i < count; i++)
        largest = fmax(largest, fabs((double)expected[i]));
    for (size_t i = 0; i < count; i++)
        if (!(fabs((double)found[i] - (double)expected[i]) <= tolerance * largest))
            fail_msg("seed %d, %s %zu: %g, expected %g", (int)seed, what, i, (double)found[i],
                     (double)expected[i]);
}

static void expect_same_faces(uint64_t seed, const raster_state *s, const raster_state *p)
{
    for (size_t i = 0; i < (size_t)s->width * (size_t)s->height; i++) {
        const uint32_t a = s->visible[i], b = p->visible[i];
        if (!a != !b || (a && s->slots[a - 1].face != p->slots[b - 1].face))
            fail_msg("seed %d, pixel %zu shows another face", (int)seed, i);
    }
}

/* What outlines do to the picture, and to its gradient on the backward pass. */
static void blend_plainly(const raster_state *s, const real *u, real *image, real *draw,
                          real *dscreen)
{
    const size_t channels = (size_t)s->channels;
    const size_t numbers = (size_t)s->width * (size_t)s->height * channels;
    real *before = need(numbers, sizeof *before);
    real(*dcolours)[RASTER_CHANNELS] = need(s->crossing_count, sizeof *dcolours);
    memcpy(before, image, numbers * sizeof *before);
    memcpy(draw, u, numbers * sizeof *draw);
    raster_blend_adjoint(s, u, dscreen, dcolours);
    for (size_t i = 0; i < s->crossing_count; i++) {
        const raster_crossing *c = &s->crossings[i];
        const real weight = c->t - (real)0.5;
        for (size_t k = 0; k < channels; k++) {
            image[channels * (weight < 0 ? c->inner : c->outer) + k] +=
                weight * (before[channels * c->inner + k] - before[channels * c->outer + k]);
            draw[channels * c->inner + k] += dcolours[i][k];
            draw[channels * c->outer + k] -= dcolours[i][k];
        }
    }
    free(before);
    free(dcolours);
}

static void check_plain(const scene *s, uint64_t seed, const real *found, real *const g[4])
{
    static const char *const names[4] = { "dvertices", "dnormals", "dtexels", "dlight" };
    const raster_mode mode = s->view.mode;
    const bool textured = s->view.texture && (mode == RASTER_SHADED || mode == RASTER_UNLIT);
    const size_t numbers = numbers_of(s), places = 3 * s->m.mesh.vertex_count;
    arena a = { 0 };
    real *image = need(numbers, sizeof(real)), *draw = need(numbers, sizeof(real));
    real *dscreen = need(places, sizeof(real)), *expected[4];
    for (int k = 0; k < 4; k++)
        expected[k] = need(count_of(s, k), sizeof(real));
    raster_state *state = raster_draw(&s->m.mesh, s->m.normals, &s->view, &a, image), p = *state;
    assert_true(raster_visible_plain(&p, &s->m.mesh, &a));
    expect_same_faces(seed, state, &p);
    raster_shade_plain(state, &s->m.mesh, s->m.normals, &s->view, image);
    blend_plainly(state, s->u, image, draw, dscreen);
    expect_close("image", seed, found, image, numbers, 1e-9);
    raster_shade_plain_adjoint(state, &s->m.mesh, s->m.normals, &s->view, draw, dscreen,
                               expected[1], textured ? expected[2] : NULL, expected[3]);
    raster_project_adjoint(&state->lens, s->m.mesh.vertices, s->m.mesh.vertex_count, dscreen,
                           expected[0]);
    for (int k = 0; k < 4; k++) {
        if (k < 2 || (k == 2 && textured) || (k == 3 && mode == RASTER_SHADED))
            expect_close(names[k], seed, g[k], expected[k], count_of(s, k), 1e-6);
        free(expected[k]);
    }
    free(image);
    free(draw);
    free(dscreen);
    arena_finish(&a);
}

/* In floats two faces at equal depth may change places, so that is compared in doubles only. */
static void check(const scene *s, uint64_t seed)
{
    real *image[2], *g[2][4];
    for (int i = 0; i < 2; i++) {
        image[i] = need(numbers_of(s), sizeof(real));
        for (int k = 0; k < 4; k++)
            g[i][k] = need(count_of(s, k), sizeof(real));
        run(s, i ? 3 : 1, image[i], g[i]);
    }
    assert_memory_equal(image[0], image[1], numbers_of(s) * sizeof(real));
    for (int k = 0; k < 4; k++)
        assert_memory_equal(g[0][k], g[1][k], count_of(s, k) * sizeof(real));
    if (sizeof(real) == 8)
        check_plain(s, seed, image[0], g[0]);
    for (int i = 0; i < 2; i++) {
        free(image[i]);
        for (int k = 0; k < 4; k++)
            free(g[i][k]);
    }
}

static void test_random(void **state)
{
    static const int widths[] = { 1, 3, 7, 8, 9, 17, 64, 121, 127, 128, 129, 136, 137, 200, 257 };
    static const int heights[] = { 1, 7, 8, 9, 16, 31, 33, 64, 257, 290 };
    for (uint64_t seed = 0; seed < RANDOM; seed++) {
        rng r = rng_make(seed, 5);
        scene s = { 0 };
        int width = widths[rng_below(&r, sizeof widths / sizeof *widths)];
        int height = heights[rng_below(&r, sizeof heights / sizeof *heights)];
        const uint32_t kind = rng_below(&r, 5);
        const double size = kind == 0 ? 0.3 : kind == 1 ? 1.5 : 0.1;
        if (kind < 3)
            s.m = test_soup(&r, 40, (int)(1 + rng_below(&r, 90)), size);
        else
            s.m =
                test_sphere(3 + (int)rng_below(&r, 9), (int)rng_below(&r, 3), (real)0.2, (real)0.1);
        while ((size_t)width * (size_t)height * s.m.mesh.face_count > LARGEST)
            *(width > height ? &width : &height) /= 2;
        if (rng_below(&r, 5) == 0)
            s.m.vertices[rng_below(&r, (uint32_t)(3 * s.m.mesh.vertex_count))] =
                rng_below(&r, 2) ? (real)NAN : (real)1e9;
        set_view(&s, &r, width, height, (raster_mode)(seed % 7));
        complete(&s, &r, (raster_mode)(seed % 7), false);
        check(&s, seed);
        finish(&s);
    }
}

/* Wide, tall and filled with large faces: more than one segment, bands of 32 rows, 64 bits. */
static void test_large(void **state)
{
    static const struct {
        int width, height, faces;
        double size;
    } sizes[] = { { 16, 290, 75, 0.3 },
                  { 200, 32, 60, 0.1 },
                  { 64, 64, 66, 0.3 },
                  { 207, 15, 40, 1.5 },
                  { 161, 258, 60, 0.3 } };
    for (uint64_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++) {
        rng r = rng_make(i, 6);
        const raster_mode mode = i % 2 ? RASTER_SHADED : RASTER_UNLIT;
        scene s = { .m = test_soup(&r, 40, sizes[i / 2].faces, sizes[i / 2].size) };
        set_view(&s, &r, sizes[i / 2].width, sizes[i / 2].height, mode);
        s.view.camera.fov_y = 30;
        complete(&s, &r, mode, false);
        check(&s, 1000 + i);
        finish(&s);
    }
}

/* A mesh of one vertex for each corner, at places on the screen of a camera straight ahead. */
static void place_corners(scene *s, const double (*corners)[3], int faces, int size)
{
    raster_lens lens;
    s->view.camera.azimuth = s->view.camera.elevation = 0;
    raster_lens_init(&lens, &s->view.camera, size, size);
    for (int i = 0; i < 3 * faces; i++) {
        const double w = corners[i][2], focal = (double)lens.focal;
        s->m.faces[i] = (uint32_t)i;
        s->m.vertices[3 * i] = (real)((corners[i][0] - size / 2.0) * w / focal);
        s->m.vertices[3 * i + 1] = (real)(-(corners[i][1] - size / 2.0) * w / focal);
        s->m.vertices[3 * i + 2] = (real)((double)s->view.camera.distance - w);
    }
}

/* A pixel beyond a corner, by snapping, at which 1/w is limited; two faces at one place, of which
 * the one that shows its outside is seen though it comes second, and the other way round; and two
 * large ones whose edges run through centres of pixels. */
static void test_corners(void **state)
{
    static const double beyond[3][3] = { { 10.5015, 10.5015, 0.7 },
                                         { 30.5015, 10.5015, 1.0 },
                                         { 10.5015, 30.5015, 1.2 } };
    static const double below[3][3] = { { 10.5015, 10.5015, 1.2 },
                                        { 30.5015, 10.5015, 1.0 },
                                        { 10.5015, 30.5015, 0.9 } };
    static const double large[3][3] = { { 10.5015, 10.5015, 1.2 },
                                        { 90.5015, 10.5015, 1.0 },
                                        { 10.5015, 90.5015, 0.9 } };
    static const double pair[6][3] = { { 8, 30, 1 }, { 32, 30, 1 }, { 20, 9, 1 },
                                       { 8, 30, 1 }, { 20, 9, 1 },  { 32, 30, 1 } };
    static const double turned[6][3] = { { 8, 30, 1 }, { 20, 9, 1 },  { 32, 30, 1 },
                                         { 8, 30, 1 }, { 32, 30, 1 }, { 20, 9, 1 } };
    static const double centres[6][3] = { { 10.5, 10.5, 1 }, { 90.5, 10.5, 1 }, { 90.5, 90.5, 1 },
                                          { 10.5, 10.5, 1 }, { 90.5, 90.5, 1 }, { 10.5, 90.5, 1 } };
    static const struct {
        const double (*corners)[3];
        int faces, size;
    } meshes[] = { { beyond, 1, 40 }, { below, 1, 40 },  { large, 1, 100 },
                   { pair, 2, 40 },   { turned, 2, 40 }, { centres, 2, 100 } };
    for (uint64_t i = 0; i < 7 * sizeof meshes / sizeof *meshes; i++) {
        rng r = rng_make(i, 7);
        const raster_mode mode = (raster_mode)(i % 7);
        const int faces = meshes[i / 7].faces, size = meshes[i / 7].size;
        scene s = { .m = test_soup(&r, (size_t)(3 * faces), (size_t)faces, 0.3) };
        set_view(&s, &r, size, size, mode);
        s.view.camera.fov_y = 30;
        place_corners(&s, meshes[i / 7].corners, faces, size);
        complete(&s, &r, mode, true);
        check(&s, 2000 + i);
        finish(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_corners),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

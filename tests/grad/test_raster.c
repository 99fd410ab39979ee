/* SPDX-License-Identifier: Apache-2.0 */
/* The rasteriser's adjoint in double: <J v, u> = <v, J^T u> with J v by central differences, for
 * every mode, inside surfaces and on silhouettes apart; and silhouette gradients against
 * differences of a supersampled picture, which knows nothing of the blending under test. */
#include "../raster_meshes.h"
#include "raster/raster_priv.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <stdio.h>

enum { TEXTURE = 24 };

typedef enum part { WHOLE, INSIDE, OUTLINE } part;

typedef struct problem {
    test_mesh mesh;
    raster_view view;
    raster_texture *texture;
    double *texels;
    uint32_t *parts;
    arena scratch;
    size_t pixels; /* numbers of the picture */
} problem;

/* levels 0: no texture. Its levels are no pyramid, so that each has slopes of its own. */
static problem make_problem(test_mesh mesh, raster_view view, int levels)
{
    static const double colours[6] = { 0.1, 0.9, 0.3, 0.8, 0.2, 0.5 };
    int channels = view.mode == RASTER_UNLIT ? 4 : 3;
    problem p = { .mesh = mesh, .view = view, .texture = malloc(sizeof *p.texture) };
    rng r = rng_make(3, 9);
    *p.texture = (raster_texture){ TEXTURE, TEXTURE, channels, levels ? levels : 1, NULL };
    size_t count = raster_texture_size(p.texture);
    p.texels = calloc(count, sizeof *p.texels);
    p.parts = calloc(mesh.mesh.face_count, sizeof *p.parts);
    for (size_t i = 0; i < count; i++)
        p.texels[i] = rng_range(&r, 0.05, 0.9);
    for (size_t i = 0; i < mesh.mesh.face_count; i++)
        p.parts[i] = i % 2;
    p.texture->texels = p.texels;
    p.view.texture = levels ? p.texture : NULL;
    p.view.face_parts = p.parts;
    p.view.part_colours = colours;
    p.pixels = (size_t)raster_channels(&p.view) * (size_t)(view.width * view.height);
    return p;
}

static void drop_problem(problem *p)
{
    test_mesh_finish(&p->mesh);
    free(p->texels);
    free(p->texture);
    free(p->parts);
    arena_finish(&p->scratch);
}

static raster_state *draw(problem *p, double *image)
{
    raster_state *s = raster_draw(&p->mesh.mesh, p->mesh.normals, &p->view, &p->scratch, image);
    assert_non_null(s);
    return s;
}

static double *random_array(rng *r, size_t count)
{
    double *a = calloc(count, sizeof *a);
    for (size_t i = 0; i < count; i++)
        a[i] = rng_normal(r);
    return a;
}

static double inner(const double *a, const double *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += a[i] * b[i];
    return sum;
}

/* Keeps of u what lies on blended pixels, or what does not. */
static void mask_part(const raster_state *s, part which, double *u, size_t count)
{
    bool *blended = calloc(count, sizeof *blended);
    for (size_t i = 0; i < s->crossing_count; i++)
        blended[s->crossings[i].inner] = blended[s->crossings[i].outer] = true;
    for (size_t i = 0; i < count; i++)
        if (which != WHOLE && blended[i / (size_t)s->channels] != (which == OUTLINE))
            u[i] = 0;
    free(blended);
}

/* <(image(x + e v) - image(x - e v)) / 2e, u> along v for the array x points to. */
static double slope_along(problem *p, double *x, const double *v, size_t count, const double *u)
{
    const double step = 1e-7;
    double *base = malloc(count * sizeof *base), *image = calloc(p->pixels, sizeof *image);
    double sums[2];
    memcpy(base, x, count * sizeof *base);
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < count; i++)
            x[i] = base[i] + (side ? -step : step) * v[i];
        draw(p, image);
        sums[side] = inner(image, u, p->pixels);
        arena_leave(&p->scratch, (arena_mark){ 0 });
    }
    memcpy(x, base, count * sizeof *base);
    free(base);
    free(image);
    return (sums[0] - sums[1]) / (2 * step);
}

/* <gradient, v> is compared on the scale of its terms: they can cancel, and the rounding of the
 * differences does not. */
static void expect_slope(const double *gradient, const double *v, size_t count, double expected,
                         double tolerance, const char *what)
{
    double found = 0, squares = 1e-12;
    for (size_t i = 0; i < count; i++) {
        found += gradient[i] * v[i];
        squares += gradient[i] * gradient[i] * v[i] * v[i];
    }
    if (!(fabs(found - expected) <= tolerance * sqrt(squares)))
        fail_msg("%s: adjoint %.12g, differences %.12g (terms %.3g)", what, found, expected,
                 sqrt(squares));
}

static void check_adjoint(problem *p, part which, double tolerance, const char *mode)
{
    rng r = rng_make(17, (uint64_t)which);
    size_t vertices = 3 * p->mesh.mesh.vertex_count, texels = raster_texture_size(p->texture);
    double *image = calloc(p->pixels, sizeof *image);
    double *u = random_array(&r, p->pixels), *grads[4], *arrays[4];
    const size_t counts[4] = { vertices, vertices, texels, 9 };
    const char *names[4] = { "vertices", "normals", "texture", "light" };
    double *variables[4] = { p->mesh.vertices, p->mesh.normals, p->texels, p->view.light };
    for (int k = 0; k < 4; k++) {
        grads[k] = calloc(counts[k], sizeof(double));
        arrays[k] = random_array(&r, counts[k]);
    }
    raster_state *s = draw(p, image);
    mask_part(s, which, u, p->pixels);
    assert_true(raster_draw_adjoint(&p->mesh.mesh, p->mesh.normals, &p->view, &p->scratch, s, u,
                                    grads[0], grads[1], grads[2], grads[3]));
    arena_leave(&p->scratch, (arena_mark){ 0 });
    for (int k = 0; k < 4; k++) {
        char what[64];
        snprintf(what, sizeof what, "%s, %s", mode, names[k]);
        double expected = slope_along(p, variables[k], arrays[k], counts[k], u);
        expect_slope(grads[k], arrays[k], counts[k], expected, tolerance, what);
        free(grads[k]);
        free(arrays[k]);
    }
    free(image);
    free(u);
}

typedef struct test_kind {
    const char *name;
    raster_mode mode;
    raster_light light;
    int levels;
} test_kind;

static const test_kind kinds[] = {
    { "grey", RASTER_SHADED, RASTER_HARMONICS, 0 },
    { "rig", RASTER_SHADED, RASTER_RIG, 0 },
    { "textured", RASTER_SHADED, RASTER_HARMONICS, 1 },
    { "mip-mapped", RASTER_SHADED, RASTER_RIG, 4 },
    { "latents", RASTER_UNLIT, RASTER_HARMONICS, 1 },
    { "mip-mapped latents", RASTER_UNLIT, RASTER_HARMONICS, 5 },
    { "parts", RASTER_PARTS, RASTER_HARMONICS, 0 },
    { "normals", RASTER_NORMALS, RASTER_HARMONICS, 0 },
    { "camera normals", RASTER_CAMERA_NORMALS, RASTER_HARMONICS, 0 },
    { "control normals", RASTER_CONTROL_NORMALS, RASTER_HARMONICS, 0 },
    { "depth", RASTER_DEPTH, RASTER_HARMONICS, 0 },
};
enum { KINDS = sizeof kinds / sizeof *kinds };

static raster_view view_of(const test_kind *k, int size)
{
    raster_view view = test_view(size, k->mode);
    view.light_kind = k->light;
    raster_light_preset(4, view.light_kind, view.light);
    view.albedo[1] = 0.7; /* not grey */
    if (k->mode == RASTER_PARTS)
        view.camera.azimuth = 27; /* no edge halfway between two pixels: the blending has a kink */
    return view;
}

static void test_modes(void **state)
{
    for (int i = 0; i < KINDS; i++) {
        problem p =
            make_problem(test_sphere(9, 2, 0.2, 0.1), view_of(&kinds[i], 48), kinds[i].levels);
        for (int k = WHOLE; k <= OUTLINE; k++)
            check_adjoint(&p, (part)k, 1e-5, kinds[i].name);
        p.view.camera.elevation = -40; /* into the opening: back faces and borders */
        check_adjoint(&p, WHOLE, 1e-5, kinds[i].name);
        drop_problem(&p);
    }
}

static void test_small_faces(void **state)
{
    problem p = make_problem(test_sphere(40, 0, 0.2, 0.1), test_view(40, RASTER_SHADED), 1);
    check_adjoint(&p, INSIDE, 1e-5, "small faces");
    check_adjoint(&p, OUTLINE, 1e-5, "small faces");
    drop_problem(&p);
}

/* A face with corners equally near: its depth has no range of its own to be limited to. The other
 * one has the nearest and the farthest pixel. */
static void test_front_parallel(void **state)
{
    for (int i = 0; i < KINDS; i++) {
        rng r = rng_make(2, 2);
        raster_view view = view_of(&kinds[i], 32);
        test_mesh m = test_soup(&r, 6, 2, 0.2);
        const double corners[18] = { -0.2, -0.2,  0.1,  0.21, -0.17, 0.1,  0.02, 0.23, 0.1,
                                     -0.3, -0.25, -0.2, 0.31, -0.2,  -0.1, -0.1, 0.3,  0.3 };
        memcpy(m.vertices, corners, sizeof corners);
        for (uint32_t k = 0; k < 6; k++)
            m.faces[k] = m.uv_faces[k] = k;
        view.camera.azimuth = view.camera.elevation = 0;
        problem p = make_problem(m, view, kinds[i].levels);
        check_adjoint(&p, INSIDE, 1e-5, kinds[i].name);
        drop_problem(&p);
    }
}

/* The pyramid of a texture: <J v, u> = <v, J^T u>, and twice doubles. */
static void test_reduce(void **state)
{
    const raster_texture t = { 13, 6, 2, 4, NULL };
    size_t count = raster_texture_size(&t), first = 13 * 6 * 2;
    rng r = rng_make(4, 4);
    double *v = random_array(&r, count), *u = random_array(&r, count);
    double *g = calloc(count, sizeof *g);
    raster_texture_reduce(&t, v);
    double expected = inner(v, u, count);
    for (int round = 0; round < 2; round++) {
        memcpy(g + first, u + first, (count - first) * sizeof *g);
        for (size_t i = 0; i < first; i++)
            g[i] += u[i];
        raster_texture_reduce_adjoint(&t, g);
        assert_float_equal(inner(v, g, first), (round + 1) * expected, 1e-10 * fabs(expected));
    }
    free(v);
    free(u);
    free(g);
}

/* Slivers, both sides, faces through each other, beyond the border and behind the camera. */
static void test_soups(void **state)
{
    for (uint64_t seed = 0; seed < 3 * KINDS; seed++) {
        const test_kind *k = &kinds[seed % KINDS];
        rng r = rng_make(seed, 1);
        raster_view view = view_of(k, 32);
        view.width = 40;
        problem p = make_problem(test_soup(&r, 30, 24, seed % 3 ? 0.3 : 1.5), view, k->levels);
        for (int part_of = WHOLE; part_of <= OUTLINE; part_of++)
            check_adjoint(&p, (part)part_of, 1e-4, k->name);
        drop_problem(&p);
    }
}

static void test_twice_doubles(void **state)
{
    problem p = make_problem(test_sphere(9, 2, 0.2, 0.1), test_view(32, RASTER_SHADED), 3);
    rng r = rng_make(5, 5);
    size_t vertices = 3 * p.mesh.mesh.vertex_count, texels = raster_texture_size(p.texture);
    size_t count = 2 * vertices + texels + 9;
    double *u = random_array(&r, p.pixels), *image = calloc(p.pixels, sizeof *image);
    double *g = calloc(count, sizeof *g), *once = calloc(count, sizeof *once);
    raster_state *s = draw(&p, image);
    for (int round = 0; round < 2; round++) {
        assert_true(raster_draw_adjoint(&p.mesh.mesh, p.mesh.normals, &p.view, &p.scratch, s, u, g,
                                        g + vertices, g + 2 * vertices, g + count - 9));
        if (round == 0)
            memcpy(once, g, count * sizeof *g);
    }
    double largest = 0;
    for (size_t i = 0; i < count; i++) {
        assert_float_equal(g[i], 2 * once[i], 1e-10 * (1 + fabs(once[i])));
        largest = fmax(largest, fabs(once[i]));
    }
    assert_true(largest > 0.1);
    free(u);
    free(image);
    free(g);
    free(once);
    drop_problem(&p);
}

/* ---- silhouettes against a supersampled picture ---- */

typedef enum motion { MOVE_X, MOVE_Y, GROW, TURN, MOTIONS } motion;

static void move(const double *from, double *to, size_t count, motion kind, double by)
{
    for (size_t i = 0; i < count; i++) {
        const double *a = from + 3 * i;
        double *b = to + 3 * i;
        memcpy(b, a, 3 * sizeof *b);
        if (kind == MOVE_X || kind == MOVE_Y)
            b[kind] += by;
        else if (kind == GROW)
            for (int c = 0; c < 3; c++)
                b[c] += by * a[c];
        else {
            b[0] = cos(by) * a[0] - sin(by) * a[1];
            b[1] = sin(by) * a[0] + cos(by) * a[1];
        }
    }
}

/* A smooth weight over the picture, so that no motion leaves the integral unchanged. */
static double weight(double x, double y)
{
    return 1 + sin(5 * x + 1) + cos(4 * y + 3 * x);
}

static double integral(problem *p, int size)
{
    p->view.width = p->view.height = size;
    double *image = calloc(3 * (size_t)size * (size_t)size, sizeof *image), sum = 0;
    draw(p, image);
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            sum += image[3 * (y * size + x)] * weight((x + 0.5) / size, (y + 0.5) / size);
    arena_leave(&p->scratch, (arena_mark){ 0 });
    free(image);
    return sum / (size * size);
}

static double adjoint_along(problem *p, int size, const double *base, motion kind)
{
    size_t count = 3 * p->mesh.mesh.vertex_count;
    double *image = calloc(3 * (size_t)size * (size_t)size, sizeof *image);
    double *u = calloc(3 * (size_t)size * (size_t)size, sizeof *u);
    double *g = calloc(count, sizeof *g), *ahead = calloc(count, sizeof *ahead);
    const double step = 1e-6;
    p->view.width = p->view.height = size;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++)
            u[3 * (y * size + x)] = weight((x + 0.5) / size, (y + 0.5) / size) / (size * size);
    raster_state *s = draw(p, image);
    raster_draw_adjoint(&p->mesh.mesh, p->mesh.normals, &p->view, &p->scratch, s, u, g, NULL, NULL,
                        NULL);
    arena_leave(&p->scratch, (arena_mark){ 0 });
    move(base, ahead, count / 3, kind, step);
    double slope = 0;
    for (size_t i = 0; i < count; i++)
        slope += g[i] * (ahead[i] - base[i]) / step;
    free(image);
    free(u);
    free(g);
    free(ahead);
    return slope;
}

static void check_outline(test_mesh mesh, raster_mode mode, int size, double tolerance,
                          const char *name)
{
    raster_view view = test_view(size, mode);
    if (mode == RASTER_PARTS)
        view.camera.azimuth = 27;
    for (int i = 1; i < 9; i++)
        view.light[i] = 0; /* flat: only the outline moves */
    for (int c = 0; c < 3; c++)
        view.background[c] = 0;
    problem p = make_problem(mesh, view, 0);
    for (size_t f = 0; f < mesh.mesh.face_count; f++) /* the upper half, but for a notch */
        p.parts[f] = f < mesh.mesh.face_count / 2 && f % 40 > 7;
    size_t count = p.mesh.mesh.vertex_count;
    double *base = malloc(3 * count * sizeof *base), found[MOTIONS], expected[MOTIONS];
    memcpy(base, p.mesh.vertices, 3 * count * sizeof *base);
    double largest = 0;
    for (int m = 0; m < MOTIONS; m++) {
        const double step = 0.002;
        found[m] = adjoint_along(&p, size, base, (motion)m);
        move(base, p.mesh.vertices, count, (motion)m, step);
        double ahead = integral(&p, 1024);
        move(base, p.mesh.vertices, count, (motion)m, -step);
        expected[m] = (ahead - integral(&p, 1024)) / (2 * step);
        memcpy(p.mesh.vertices, base, 3 * count * sizeof *base);
        largest = fmax(largest, fabs(expected[m]));
    }
    for (int m = 0; m < MOTIONS; m++)
        if (!(fabs(found[m] - expected[m]) <= tolerance * largest))
            fail_msg("%s at %d px, motion %d: adjoint %g, supersampled %g (largest %g)", name, size,
                     m, found[m], expected[m], largest);
    free(base);
    drop_problem(&p);
}

/* Faces of a pixel and less fold over each other along the outline; a folded edge that hides within
 * a pixel of the visible one is counted with it, so the gradient comes out a little too long. */
static void test_supersampled(void **state)
{
    check_outline(test_sphere(9, 0, 0.2, 0), RASTER_PARTS, 64, 0.02, "two parts");
    check_outline(test_sphere(20, 0, 0.2, 0), RASTER_PARTS, 96, 0.05, "two parts, finer");
    check_outline(test_sphere(9, 0, 0.2, 0), RASTER_SHADED, 64, 0.01, "coarse sphere");
    check_outline(test_sphere(50, 0, 0.2, 0), RASTER_SHADED, 64, 0.04, "fine sphere");
    check_outline(test_sphere(50, 0, 0.2, 0.1), RASTER_SHADED, 64, 0.07, "fine bumpy sphere");
    check_outline(test_sphere(50, 0, 0.2, 0.1), RASTER_SHADED, 128, 0.07, "fine bumpy sphere");
    check_outline(test_sphere(30, 12, 0.2, 0.1), RASTER_SHADED, 128, 0.07, "open bumpy sphere");
}

/* Edges of about 40 pixels, known to a pixel at each end. */
static void test_slanted_edge(void **state)
{
    for (int i = 0; i < 8; i++) {
        rng r = rng_make(1, 0);
        test_mesh m = test_soup(&r, 3, 1, 0.1);
        for (uint32_t k = 0; k < 3; k++) {
            double a = 0.3 * i + 2.1 * k;
            m.faces[k] = k;
            memcpy(m.vertices + 3 * k, (double[]){ 0.2 * cos(a), 0.2 * sin(a), 0 },
                   3 * sizeof(double));
        }
        check_outline(m, RASTER_SHADED, 64, 0.05, "triangle");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),        cmocka_unit_test(test_small_faces),
        cmocka_unit_test(test_soups),        cmocka_unit_test(test_front_parallel),
        cmocka_unit_test(test_reduce),       cmocka_unit_test(test_twice_doubles),
        cmocka_unit_test(test_supersampled), cmocka_unit_test(test_slanted_edge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

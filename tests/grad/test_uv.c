/* SPDX-License-Identifier: Apache-2.0 */
/* Interpolation over the UV layout and its adjoint in double: <J v, u> = <v, J^T u> with J v by
 * differences, twice gives the double, and vertices that no texel sees get nothing. */
#include "../raster_meshes.h"
#include "check.h"

enum { HIGH = 45, WIDE = 61 };

typedef struct problem {
    test_mesh mesh;
    arena memory;
    raster_uv_layout layout;
    int channels;
    size_t inputs, outputs;
} problem;

static problem make_problem(int channels)
{
    problem p = { .mesh = test_sphere(9, 0, (real)0.2, (real)0.1), .channels = channels };
    assert_true(raster_uv_layout_init(&p.layout, &p.mesh.mesh, HIGH, WIDE, &p.memory));
    p.inputs = p.mesh.mesh.vertex_count * (size_t)channels;
    p.outputs = (size_t)(HIGH * WIDE * channels);
    return p;
}

static void drop_problem(problem *p)
{
    test_mesh_finish(&p->mesh);
    arena_finish(&p->memory);
}

static void evaluate(void *context, const real *attributes, real *map)
{
    problem *p = context;
    raster_uv_interpolate(&p->layout, p->mesh.faces, attributes, p->channels, map);
}

static void adjoint(problem *p, const real *dmap, real *dattributes)
{
    assert_true(raster_uv_interpolate_adjoint(&p->layout, p->mesh.faces, p->mesh.mesh.vertex_count,
                                              p->channels, &p->memory, dmap, dattributes));
}

static void check_channels(int channels)
{
    problem p = make_problem(channels);
    real *x = check_random(1, p.inputs, 1), *u = check_random(2, p.outputs, 1);
    real *gradient = calloc(p.inputs, sizeof *gradient);
    assert_non_null(gradient);
    adjoint(&p, u, gradient);
    for (uint64_t direction = 0; direction < 4; direction++) {
        real *v = check_random(10 + direction, p.inputs, 1);
        double expected = check_directional(evaluate, &p, x, v, u, p.inputs, p.outputs, 1e-3);
        check_close(check_dot(gradient, v, p.inputs), expected, 1e-9, 1);
        free(v);
    }
    real *twice = malloc(p.inputs * sizeof *twice);
    memcpy(twice, gradient, p.inputs * sizeof *twice);
    adjoint(&p, u, twice);
    for (size_t i = 0; i < p.inputs; i++)
        check_close(twice[i], 2 * gradient[i], 1e-15, 1e-15);
    free(x);
    free(u);
    free(gradient);
    free(twice);
    drop_problem(&p);
}

static void test_adjoint(void **state)
{
    check_channels(1);
    check_channels(3);
    check_channels(7);
}

/* One texel, one face: the gradient is its barycentrics, on its corners and nowhere else. */
static void test_one_texel(void **state)
{
    problem p = make_problem(1);
    real *dmap = calloc(p.outputs, sizeof *dmap), *gradient = calloc(p.inputs, sizeof *gradient);
    assert_true(dmap && gradient);
    size_t at = 20 * WIDE + 30;
    dmap[at] = 2;
    assert_true(p.layout.faces[at]);
    const uint32_t *v = p.mesh.faces + 3 * (p.layout.faces[at] - 1);
    adjoint(&p, dmap, gradient);
    for (size_t i = 0; i < p.inputs; i++) {
        double expected = 0;
        for (int k = 0; k < 3; k++)
            expected += v[k] == i ? 2 * (double)p.layout.barycentrics[3 * at + (size_t)k] : 0;
        check_close(gradient[i], expected, 1e-15, 1e-15);
    }
    free(dmap);
    free(gradient);
    drop_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_adjoint),
        cmocka_unit_test(test_one_texel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

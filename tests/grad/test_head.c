/* SPDX-License-Identifier: Apache-2.0 */
/* Skinning and its adjoint against plain loops, of one head and of several, on a random model. */
#include "check.h"

#include "head/head.h"

enum { V = 1000, S = 11, E = 6, J = 5, K = 3, N = S + E + 3 * J, P = 9 * (J - 1) };

typedef struct fixture {
    head_model model;
    int32_t parents[J];
    uint32_t skin_joints[V * K];
    float base_pose[3 * J];
    real *inputs; /* shape (S), expression (E), pose (J,3) */
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    head_model *m = &f->model;
    *m = (head_model){ .vertex_count = V,
                       .shape_count = S,
                       .expression_count = E,
                       .joint_count = J,
                       .skin_count = K,
                       .joint_parents = f->parents,
                       .skin_joints = f->skin_joints,
                       .base_pose = f->base_pose };
    rng turns = rng_make(11, 0);
    for (size_t i = 0; i < 3 * J; i++)
        f->base_pose[i] = (float)(0.3 * rng_normal(&turns));
    m->vertices = check_random(1, 3 * V, 1);
    m->shape_basis = check_random(2, 3 * V * S, 0.1);
    m->expression_basis = check_random(3, 3 * V * E, 0.1);
    m->joints = check_random(4, 3 * J, 1);
    m->joint_shape_basis = check_random(5, 3 * J * S, 0.1);
    m->joint_expression_basis = check_random(9, 3 * J * E, 0.1);
    m->pose_basis = check_random(10, 3 * V * P, 0.1);
    m->skin_weights = check_random(6, V * K, 1);
    const int32_t parents[J] = { -1, 0, 1, 1, 3 };
    memcpy(f->parents, parents, sizeof parents);
    rng r = rng_make(7, 0);
    for (size_t i = 0; i < V; i++) {
        real *w = m->skin_weights + K * i, sum = 0;
        for (size_t k = 0; k < K; k++) {
            f->skin_joints[K * i + k] = rng_below(&r, J);
            w[k] = w[k] * w[k] * (real)(rng_below(&r, 3) > 0) + (real)1e-3;
            sum += w[k];
        }
        for (size_t k = 0; k < K; k++)
            w[k] /= sum;
    }
    f->inputs = check_random(8, N, 0.7);
    f->inputs[2] = 0; /* a term that is skipped still has a gradient */
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    real *arrays[] = {
        f->model.vertices, f->model.shape_basis,       f->model.expression_basis,
        f->model.joints,   f->model.joint_shape_basis, f->model.skin_weights,
        f->inputs,         f->model.pose_basis,        f->model.joint_expression_basis
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    free(f);
    return 0;
}

/* ---- the plain reference: one vertex at a time, every chain of joints walked to the root ---- */

static void turn_about(const double *axis, const double *pivot, double *x)
{
    double s = 0, along = 0, p[3], r[3];
    for (int i = 0; i < 3; i++) {
        p[i] = x[i] - pivot[i];
        r[i] = axis[i];
        s += r[i] * r[i];
        along += r[i] * p[i];
    }
    double angle = sqrt(s), a = angle > 0 ? sin(angle) / angle : 1;
    double b = angle > 0 ? (1 - cos(angle)) / s : 0.5;
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        x[i] = pivot[i] + cos(angle) * p[i] + a * (r[j] * p[k] - r[k] * p[j]) + b * along * r[i];
    }
}

static void reference(const head_model *m, const double *inputs, double *vertices)
{
    const double *shape = inputs, *expression = inputs + S;
    double joints[3 * J], turned[P], pose[3 * J];
    for (size_t i = 0; i < 3 * J; i++)
        pose[i] = inputs[S + E + i] + (double)m->base_pose[i];
    for (size_t i = 0; i < P; i++) { /* the image of an axis is a column of R */
        double axis[3] = { 0 }, origin[3] = { 0 };
        axis[i % 3] = 1;
        turn_about(pose + 3 + 3 * (i / 9), origin, axis);
        turned[i] = axis[i % 9 / 3] - (i % 3 == i % 9 / 3);
    }
    for (size_t i = 0; i < 3 * J; i++) {
        joints[i] = m->joints[i];
        for (size_t k = 0; k < S; k++)
            joints[i] += shape[k] * m->joint_shape_basis[3 * J * k + i];
        for (size_t k = 0; k < E; k++)
            joints[i] += expression[k] * m->joint_expression_basis[3 * J * k + i];
    }
    for (size_t v = 0; v < V; v++) {
        double rest[3];
        for (size_t i = 0; i < 3; i++) {
            rest[i] = m->vertices[3 * v + i];
            for (size_t k = 0; k < S; k++)
                rest[i] += shape[k] * m->shape_basis[3 * V * k + 3 * v + i];
            for (size_t k = 0; k < E; k++)
                rest[i] += expression[k] * m->expression_basis[3 * V * k + 3 * v + i];
            for (size_t k = 0; k < P; k++)
                rest[i] += turned[k] * m->pose_basis[3 * V * k + 3 * v + i];
            vertices[3 * v + i] = 0;
        }
        for (size_t k = 0; k < K; k++) {
            double x[3] = { rest[0], rest[1], rest[2] };
            for (int32_t j = (int32_t)m->skin_joints[K * v + k]; j >= 0; j = m->joint_parents[j])
                turn_about(pose + 3 * j, joints + 3 * j, x);
            for (size_t i = 0; i < 3; i++)
                vertices[3 * v + i] += m->skin_weights[K * v + k] * x[i];
        }
    }
}

static double *widen(const real *from, size_t count)
{
    double *to = calloc(count, sizeof *to);
    assert_non_null(to);
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
    return to;
}

/* Central differences of the reference: exact for shape and expression, in which it is affine. */
static void reference_adjoint(const head_model *m, const double *inputs, const real *dvertices,
                              double dinputs[N])
{
    const double step = 1e-5;
    double *plus = calloc(3 * V, sizeof *plus), *minus = calloc(3 * V, sizeof *minus), point[N];
    assert_true(plus && minus);
    memcpy(point, inputs, sizeof point);
    for (size_t k = 0; k < N; k++) {
        point[k] = inputs[k] + step;
        reference(m, point, plus);
        point[k] = inputs[k] - step;
        reference(m, point, minus);
        point[k] = inputs[k];
        dinputs[k] = 0;
        for (size_t i = 0; i < 3 * V; i++)
            dinputs[k] += (plus[i] - minus[i]) / (2 * step) * dvertices[i];
    }
    free(plus);
    free(minus);
}

static void skin(const head_model *m, const real *inputs, arena *scratch, head_pose *saved,
                 real *vertices)
{
    assert_true(head_skin(m, 1, inputs, inputs + S, inputs + S + E, scratch, saved, vertices));
}

static void adjoint(const head_model *m, const real *inputs, arena *scratch, const head_pose *saved,
                    const real *dvertices, real *dinputs)
{
    assert_true(head_skin_adjoint(m, 1, inputs, inputs + S, inputs + S + E, scratch, saved,
                                  dvertices, dinputs, dinputs + S, dinputs + S + E));
}

static void test_skin_is_the_reference(void **state)
{
    const fixture *f = *state;
    arena scratch = { 0 };
    head_pose saved;
    real *vertices = calloc(3 * V, sizeof *vertices);
    double *expected = calloc(3 * V, sizeof *expected);
    assert_true(vertices && expected);
    skin(&f->model, f->inputs, &scratch, &saved, vertices);
    double *inputs = widen(f->inputs, N);
    reference(&f->model, inputs, expected);
    for (size_t i = 0; i < 3 * V; i++)
        check_close(vertices[i], expected[i], sizeof(real) == 8 ? 1e-13 : 2e-6, 1);
    arena_finish(&scratch);
    free(inputs);
    free(vertices);
    free(expected);
}

static void test_adjoint_is_the_reference(void **state)
{
    const fixture *f = *state;
    arena scratch = { 0 };
    head_pose saved;
    real *u = check_random(31, 3 * V, 1), dinputs[N] = { 0 };
    double expected[N], *inputs = widen(f->inputs, N);
    assert_true(head_skin(&f->model, 1, f->inputs, f->inputs + S, f->inputs + S + E, &scratch,
                          &saved, NULL));
    adjoint(&f->model, f->inputs, &scratch, &saved, u, dinputs);
    reference_adjoint(&f->model, inputs, u, expected);
    for (size_t k = 0; k < N; k++)
        check_close(dinputs[k], expected[k], sizeof(real) == 8 ? 1e-8 : 2e-6, 30);
    arena_finish(&scratch);
    free(inputs);
    free(u);
}

/* Several heads are to the last byte what each is alone. */
static void test_heads_of_a_batch(void **state)
{
    enum { HEADS = 19 };
    const fixture *f = *state;
    arena scratch = { 0 };
    head_pose saved, alone;
    real *shape = check_random(50, HEADS * S, 1), *expression = check_random(51, HEADS * E, 1);
    real *pose = check_random(52, HEADS * 3 * J, 1), *u = check_random(53, HEADS * 3 * V, 1);
    real *d = calloc(2 * HEADS, N * sizeof *d), *e = d + HEADS * N;
    real *vertices = arena_alloc(&scratch, HEADS + 1, 3 * V * sizeof *vertices);
    assert_true(vertices && d);
    for (size_t h = 0; h < HEADS; h++) /* what one head needs others do without */
        shape[S * h + h % S] = expression[E * h + h % E] = 0;
    memset(pose, 0, 3 * J * sizeof *pose);
    assert_true(head_skin(&f->model, HEADS, shape, expression, pose, &scratch, &saved, vertices));
    assert_true(head_skin_adjoint(&f->model, HEADS, shape, expression, pose, &scratch, &saved, u, d,
                                  d + HEADS * S, d + HEADS * (S + E)));
    for (size_t h = 0; h < HEADS; h++) {
        real *s = shape + S * h, *x = expression + E * h, *p = pose + 3 * J * h;
        real *one = vertices + HEADS * 3 * V;
        assert_true(head_skin(&f->model, 1, s, x, p, &scratch, NULL, one));
        assert_memory_equal(one, vertices + 3 * V * h, 3 * V * sizeof *one);
        assert_true(head_skin(&f->model, 1, s, x, p, &scratch, &alone, NULL));
        assert_true(head_skin_adjoint(&f->model, 1, s, x, p, &scratch, &alone, u + 3 * V * h,
                                      e + S * h, e + HEADS * S + E * h,
                                      e + HEADS * (S + E) + 3 * J * h));
    }
    assert_memory_equal(d, e, HEADS * N * sizeof *d);
    arena_finish(&scratch);
    free(shape);
    free(expression);
    free(pose);
    free(u);
    free(d);
}

static void evaluate(void *context, const real *inputs, real *vertices)
{
    arena scratch = { 0 };
    head_pose saved;
    skin(context, inputs, &scratch, &saved, vertices);
    arena_finish(&scratch);
}

/* Directions in all inputs at once, then in shape, expression and pose alone. In float the finite
 * difference is as coarse as the rounding of the vertices over the step. */
static void test_skin_adjoint(void **state)
{
    fixture *f = *state;
    const size_t first[] = { 0, 0, S, S + E }, end[] = { N, S, S + E, N };
    const double step = sizeof(real) == 8 ? 1e-5 : 1e-2;
    const double tolerance = sizeof(real) == 8 ? 1e-8 : 2e-3;
    for (uint64_t trial = 0; trial < 8; trial++) {
        arena scratch = { 0 };
        head_pose saved;
        real dinputs[N] = { 0 }, once[N];
        real *vertices = calloc(3 * V, sizeof *vertices);
        real *v = check_random(10 + trial, N, 1), *u = check_random(20 + trial, 3 * V, 1);
        assert_non_null(vertices);
        for (size_t i = 0; i < N; i++)
            if (i < first[trial % 4] || i >= end[trial % 4])
                v[i] = 0;
        skin(&f->model, f->inputs, &scratch, &saved, vertices);
        adjoint(&f->model, f->inputs, &scratch, &saved, u, dinputs);
        double size = sqrt(check_dot(v, v, N) * check_dot(dinputs, dinputs, N));
        double jv = check_directional(evaluate, &f->model, f->inputs, v, u, N, 3 * V, step);
        check_close(jv, check_dot(dinputs, v, N), tolerance, size);
        memcpy(once, dinputs, sizeof once);
        adjoint(&f->model, f->inputs, &scratch, &saved, u, dinputs);
        for (size_t i = 0; i < N; i++)
            check_close(dinputs[i], 2 * once[i], 1e-6, 1e-3);
        arena_finish(&scratch);
        free(vertices);
        free(v);
        free(u);
    }
}

/* What is not asked for changes nothing in what is. */
static void test_null_gradients(void **state)
{
    const fixture *f = *state;
    arena scratch = { 0 };
    head_pose saved;
    real *vertices = check_random(30, 3 * V, 1), dinputs[N] = { 0 }, alone[N] = { 0 };
    const real *in = f->inputs;
    skin(&f->model, in, &scratch, &saved, vertices);
    adjoint(&f->model, in, &scratch, &saved, vertices, dinputs);
    for (int i = 0; i < 3; i++)
        assert_true(head_skin_adjoint(&f->model, 1, in, in + S, in + S + E, &scratch, &saved,
                                      vertices, i == 0 ? alone : NULL, i == 1 ? alone + S : NULL,
                                      i == 2 ? alone + S + E : NULL));
    assert_memory_equal(dinputs, alone, sizeof alone);
    arena_finish(&scratch);
    free(vertices);
}

static void test_rest_pose_is_the_blend(void **state)
{
    const fixture *f = *state;
    arena scratch = { 0 };
    head_pose saved;
    head_model m = f->model;
    real inputs[N] = { 0 }, *vertices = calloc(3 * V, sizeof *vertices);
    assert_non_null(vertices);
    inputs[S - 1] = 2;
    m.base_pose = NULL;
    skin(&m, inputs, &scratch, &saved, vertices);
    for (size_t i = 0; i < 3 * V; i++) {
        double expected = f->model.vertices[i] + 2 * f->model.shape_basis[3 * V * (S - 1) + i];
        check_close(vertices[i], expected, sizeof(real) == 8 ? 1e-14 : 1e-6, 1);
    }
    arena_finish(&scratch);
    free(vertices);
}

static void test_threads_change_nothing(void **state)
{
    const fixture *f = *state;
    real *vertices[2], dinputs[2][N], *u = check_random(40, 3 * V, 1);
    for (int i = 0; i < 2; i++) {
        arena scratch = { 0 };
        head_pose saved;
        vertices[i] = calloc(3 * V, sizeof(real));
        assert_non_null(vertices[i]);
        memset(dinputs[i], 0, sizeof dinputs[i]);
        threads_set_count(i + 1);
        skin(&f->model, f->inputs, &scratch, &saved, vertices[i]);
        adjoint(&f->model, f->inputs, &scratch, &saved, u, dinputs[i]);
        arena_finish(&scratch);
    }
    threads_set_count(0);
    assert_memory_equal(vertices[0], vertices[1], 3 * V * sizeof(real));
    assert_memory_equal(dinputs[0], dinputs[1], sizeof dinputs[0]);
    free(vertices[0]);
    free(vertices[1]);
    free(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_skin_is_the_reference),
        cmocka_unit_test(test_adjoint_is_the_reference),
        cmocka_unit_test(test_heads_of_a_batch),
        cmocka_unit_test(test_skin_adjoint),
        cmocka_unit_test(test_null_gradients),
        cmocka_unit_test(test_rest_pose_is_the_blend),
        cmocka_unit_test(test_threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Meshes taken apart into coefficients, a transform and offsets, on the built-in sample head. */
#include "files.h"

#include "head/head.h"
#include "math/math.h"

#include <math.h>

static const double TOLERANCE = 5e-5; /* metres a standard deviation, as the header has it */
static hds_head_model *model;
static hds_fit fit;
static size_t V, S, E;

static void *get(size_t count, size_t size)
{
    void *memory = hds_alloc(count, size);
    assert_non_null(memory);
    return memory;
}

static int set_up(void **state)
{
    const hds_head_model_params params = { .path = HEADSDS_SOURCE "/samples/head/head.npz" };
    if (hds_head_model_load(&model, &params, NULL))
        return 1;
    V = model->vertex_count;
    S = model->shape_count;
    E = model->expression_count;
    fit = (hds_fit){ .shape = get(S, sizeof(float)),
                     .expression = get(E, sizeof(float)),
                     .offsets = get(V, 3 * sizeof(float)) };
    return 0;
}

static int tear_down(void **state)
{
    hds_free(fit.shape);
    hds_free(fit.expression);
    hds_free(fit.offsets);
    hds_head_model_unref(model);
    return 0;
}

static float *head(const float *shape, const float *expression) /* new */
{
    float *vertices = get(V, 3 * sizeof *vertices);
    const hds_coefficients c = { .shape = shape,
                                 .shape_count = shape ? S : 0,
                                 .expression = expression,
                                 .expression_count = expression ? E : 0 };
    assert_int_equal(hds_head_model_vertices(model, &c, vertices, NULL), HDS_OK);
    return vertices;
}

/* Vertices to where an artist has them: turned, in centimetres, aside. */
static const double scale = 100, translation[3] = { 3, -5, 0.7 };
static void rotation_of(double rotation[9])
{
    const real axis[3] = { (real)0.4, (real)-1.2, (real)2 };
    real r[9];
    math_rotation(axis, r);
    for (int i = 0; i < 9; i++)
        rotation[i] = r[i];
}

static void move(float *vertices)
{
    double r[9];
    rotation_of(r);
    for (size_t i = 0; i < V; i++) {
        float *v = vertices + 3 * i;
        const double x[3] = { v[0], v[1], v[2] };
        for (int k = 0; k < 3; k++)
            v[k] = (float)(scale * (r[3 * k] * x[0] + r[3 * k + 1] * x[1] + r[3 * k + 2] * x[2]) +
                           translation[k]);
    }
}

static void run(const float *vertices, bool expression)
{
    const hds_fit_params params = { vertices, V, expression };
    hds_error error = { 0 };
    if (hds_head_model_fit(model, &params, &fit, &error))
        fail_msg("%s", error.message);
}

/* mesh = scale rotation (head + offsets) + translation */
static void assert_whole(const float *vertices)
{
    float *found = head(fit.shape, fit.expression);
    double square = 0;
    for (size_t i = 0; i < V; i++)
        for (int k = 0; k < 3; k++) {
            double sum = fit.translation[k];
            for (int j = 0; j < 3; j++)
                sum += (double)fit.scale * fit.rotation[3 * k + j] *
                       ((double)found[3 * i + j] + fit.offsets[3 * i + j]);
            /* of numbers up to some 20 */
            if (fabs(sum - vertices[3 * i + k]) > 5e-6)
                fail_msg("vertex %zu: %g, expected %g", i, sum, (double)vertices[3 * i + k]);
            square += (double)fit.offsets[3 * i + k] * fit.offsets[3 * i + k];
        }
    assert_true(fabs(sqrt(square / (double)V) - fit.rms) < 1e-6 * fit.rms + 1e-12);
    hds_free(found);
}

/* At the least of what is minimised nothing pulls: neither at a coefficient nor at the transform.
 */
static void assert_least(bool with_expression)
{
    double weight = 1 / ((double)V * TOLERANCE * TOLERANCE);
    for (size_t k = 0; k < S + (with_expression ? E : 0); k++) {
        const real *b =
            k < S ? model->shape_basis + 3 * V * k : model->expression_basis + 3 * V * (k - S);
        double pull = 0, c = k < S ? fit.shape[k] : fit.expression[k - S];
        for (size_t i = 0; i < 3 * V; i++)
            pull += weight * b[i] * fit.offsets[i];
        if (fabs(pull - c) > 1e-2)
            fail_msg("coefficient %zu is %g, but is pulled to %g", k, c, pull);
    }
    float *found = head(fit.shape, fit.expression);
    double force[3] = { 0 }, torque[3] = { 0 }, stretch = 0;
    for (size_t i = 0; i < V; i++) {
        const float *x = found + 3 * i, *o = fit.offsets + 3 * i;
        for (int k = 0; k < 3; k++) {
            int next = (k + 1) % 3, last = (k + 2) % 3;
            force[k] += (double)o[k] / (double)V;
            torque[k] += ((double)x[next] * o[last] - (double)x[last] * o[next]) / (double)V;
            stretch += ((double)x[k] + o[k]) * o[k] / (double)V;
        }
    }
    for (int k = 0; k < 3; k++)
        assert_true(fabs(force[k]) < 1e-7 && fabs(torque[k]) < 1e-8);
    assert_true(fabs(stretch) < 1e-8);
    hds_free(found);
}

static void random_shape(uint64_t seed, float *shape)
{
    rng r = rng_make(seed, 1);
    rng_normal_fill(&r, shape, S);
}

static void test_what_was_put_in_comes_out(void **state)
{
    float *shape = get(S, sizeof *shape);
    double r[9];
    rotation_of(r);
    for (uint64_t seed = 0; seed < 3; seed++) {
        random_shape(seed, shape);
        float *vertices = head(shape, NULL);
        move(vertices);
        run(vertices, false);
        assert_whole(vertices);
        assert_least(false);
        /* the prior's pull: some hundredths of a millimetre */
        assert_true(fit.rms < 2e-4);
        assert_true(fabs(fit.scale / scale - 1) < 2e-3);
        for (int k = 0; k < 9; k++)
            assert_true(fabs(fit.rotation[k] - r[k]) < 2e-3);
        for (size_t k = 0; k < 10; k++)
            assert_true(fabsf(fit.shape[k] - shape[k]) < 0.1f);
        for (size_t k = 0; k < E; k++)
            assert_true(fit.expression[k] == 0);
        hds_free(vertices);
    }
    hds_free(shape);
}

static void test_the_template_is_nothing_but_moved(void **state)
{
    float *vertices = head(NULL, NULL);
    move(vertices);
    run(vertices, true);
    assert_whole(vertices);
    assert_true(fit.rms < 1e-6);
    for (size_t k = 0; k < S; k++)
        assert_true(fabsf(fit.shape[k]) < 1e-3f);
    hds_free(vertices);
}

static void test_expressions_are_found_when_asked_for(void **state)
{
    float *shape = get(S, sizeof *shape), *expression = get(E, sizeof *expression);
    random_shape(9, shape);
    expression[0] = 0.5f; /* the jaw opens */
    expression[5] = 0.8f;
    float *vertices = head(shape, expression);
    move(vertices);
    run(vertices, true);
    assert_whole(vertices);
    assert_least(true);
    assert_true(fit.rms < 2e-4);
    for (size_t k = 0; k < E; k++)
        assert_true(fabsf(fit.expression[k] - expression[k]) < 0.1f);
    run(vertices, false);
    assert_whole(vertices);
    assert_least(false);
    assert_true(fit.rms > 5e-4f && fit.expression[0] == 0);
    hds_free(vertices);
    hds_free(shape);
    hds_free(expression);
}

/* A centimetre on the tip of the nose, which no shape of the model makes: it stays in the offsets,
 * there and hardly anywhere else. */
static void test_a_sculpted_bump_is_kept(void **state)
{
    float *shape = get(S, sizeof *shape), *bump = get(V, sizeof *bump);
    random_shape(2, shape);
    float *vertices = head(shape, NULL);
    size_t tip = 0;
    for (size_t i = 0; i < V; i++)
        if (vertices[3 * i + 2] > vertices[3 * tip + 2])
            tip = i;
    for (size_t i = 0; i < V; i++) {
        double square = 0;
        for (int k = 0; k < 3; k++)
            square += pow((double)(vertices[3 * i + k] - vertices[3 * tip + k]), 2);
        bump[i] = (float)(0.01 * exp(-square / (2 * 0.004 * 0.004)));
    }
    for (size_t i = 0; i < V; i++)
        vertices[3 * i + 1] += bump[i];
    move(vertices);
    run(vertices, false);
    assert_whole(vertices);
    assert_least(false);
    double elsewhere = 0, there = 0;
    for (size_t i = 0; i < V; i++) {
        double along = fit.offsets[3 * i + 1], all = 0;
        for (int k = 0; k < 3; k++)
            all += pow(fit.offsets[3 * i + k], 2);
        if (bump[i] > 0.005f)
            there = fmax(there, along / bump[i]);
        else if (bump[i] < 1e-5f)
            elsewhere = fmax(elsewhere, sqrt(all));
    }
    assert_true(there > 0.6);
    assert_true(elsewhere < 0.003);
    for (size_t k = 0; k < S; k++)
        assert_true(fabsf(fit.shape[k] - shape[k]) < 2);
    hds_free(vertices);
    hds_free(shape);
    hds_free(bump);
}

/* The base pose turns what is seen, not what is fitted: offsets are those of the own rest. */
static void test_a_base_pose_changes_nothing(void **state)
{
    float *shape = get(S, sizeof *shape), *pose = get(model->joint_count, 3 * sizeof *pose);
    random_shape(4, shape);
    float *vertices = head(shape, NULL), *back = get(V, 3 * sizeof *back);
    run(vertices, false);
    memcpy(back, fit.offsets, 3 * V * sizeof *back);
    pose[0] = 0.3f;
    pose[4] = -0.2f;
    model->base_pose = pose;
    run(vertices, false);
    model->base_pose = NULL;
    assert_whole(vertices);
    assert_least(false);
    assert_true(fit.rms < 2e-4);
    assert_memory_equal(fit.offsets, back, 3 * V * sizeof *back);
    hds_free(vertices);
    hds_free(back);
    hds_free(shape);
    hds_free(pose);
}

static void refused(const float *vertices, size_t count, const char *message)
{
    const hds_fit_params params = { vertices, count, false };
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_fit(model, &params, &fit, &error), HDS_ERROR_ARGUMENT);
    if (!strstr(error.message, message))
        fail_msg("%s: expected '%s'", error.message, message);
}

static void test_what_is_no_head_is_refused(void **state)
{
    float *vertices = get(V, 3 * sizeof *vertices);
    refused(vertices, V, "the vertices lie in one point or on one line");
    for (size_t i = 0; i < V; i++)
        vertices[3 * i] = vertices[3 * i + 1] = (float)i;
    refused(vertices, V, "the vertices lie in one point or on one line");
    for (size_t i = 0; i < 3 * V; i++)
        vertices[i] = 2.5f;
    refused(vertices, V, "the vertices lie in one point or on one line");
    refused(vertices, V - 1, "5295 vertices, expected the model's 5296");
    refused(NULL, V, "5296 vertices at NULL, expected");
    vertices[7] = NAN;
    refused(vertices, V, "coordinate 1 of vertex 2 is not a finite number");
    vertices[7] = INFINITY;
    refused(vertices, V, "coordinate 1 of vertex 2 is not a finite number");
    for (size_t i = 0; i < 3 * V; i++)
        vertices[i] = (float)(i % 3 ? 1 : -1) * (float)model->vertices[i];
    refused(vertices, V, "the mesh is mirrored: flip it along one axis");
    for (size_t i = 0; i < 3 * V; i++)
        vertices[i] = 1e38f * (float)model->vertices[i] * 10;
    refused(vertices, V, "too far apart");
    hds_free(vertices);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_put_in_comes_out),
        cmocka_unit_test(test_the_template_is_nothing_but_moved),
        cmocka_unit_test(test_expressions_are_found_when_asked_for),
        cmocka_unit_test(test_a_sculpted_bump_is_kept),
        cmocka_unit_test(test_a_base_pose_changes_nothing),
        cmocka_unit_test(test_what_is_no_head_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

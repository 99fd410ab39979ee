/* SPDX-License-Identifier: Apache-2.0 */
/* What the C wrapper of libtorch could break: scopes, the sticky error, exceptions, gradients. */
#include "context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static tn *ramp(tn_context *cx, int dims, const int64_t *shape, float step)
{
    size_t count = 1;
    for (int d = 0; d < dims; d++)
        count *= (size_t)shape[d];
    float *numbers = malloc(count * sizeof *numbers);
    assert_non_null(numbers);
    for (size_t i = 0; i < count; i++)
        numbers[i] = sinf(step * (float)(i + 1));
    tn *x = tn_from_f32(cx, numbers, dims, shape);
    free(numbers);
    return x;
}

static tn *block(tn_context *cx, const tn *x, const tn *w)
{
    size_t scope = tn_enter(cx);
    tn *h = tn_silu(cx, tn_linear(cx, x, w, NULL));
    return tn_leave(cx, scope, tn_add(cx, x, tn_linear(cx, h, w, NULL)));
}

static void scopes_free_their_handles(void **state)
{
    tn_context *cx = *state;
    tn *w = ramp(cx, TN_SHAPE(8, 8), 0.3f);
    const tn *x = ramp(cx, TN_SHAPE(4, 8), 0.7f);
    size_t before = tn_live(cx);
    for (int i = 0; i < 50; i++) {
        size_t scope = tn_enter(cx);
        tn *y = block(cx, x, w);
        assert_int_equal(tn_live(cx), before + 1);
        assert_non_null(y);
        tn_leave(cx, scope, NULL);
        assert_int_equal(tn_live(cx), before);
    }
    ok(cx);
}

static void a_kept_tensor_of_an_outer_scope_stays(void **state)
{
    tn_context *cx = *state;
    tn *x = tn_zeros(cx, TN_SHAPE(2));
    size_t before = tn_live(cx), scope = tn_enter(cx);
    tn_zeros(cx, TN_SHAPE(3));
    assert_ptr_equal(tn_leave(cx, scope, x), x);
    assert_int_equal(tn_live(cx), before);
    assert_int_equal(tn_count(cx, x), 2);
}

static void owned_tensors_outlive_scopes(void **state)
{
    tn_context *cx = *state;
    size_t before = tn_live(cx), scope = tn_enter(cx);
    tn *x = tn_own(cx, ramp(cx, TN_SHAPE(3), 1.0f));
    tn_leave(cx, scope, NULL);
    assert_int_equal(tn_live(cx), before + 1);
    assert_int_equal(tn_count(cx, x), 3);
    tn_release(cx, &x);
    assert_null(x);
    assert_int_equal(tn_live(cx), before);
    ok(cx);
}

static void write_place(const void *of, char *text, size_t size)
{
    strncpy(text, of, size - 1);
}

static void the_first_error_sticks_and_names_its_place(void **state)
{
    tn_context *cx = *state;
    hds_error error = { 0 };
    size_t scope = tn_enter(cx);
    tn_set_place(cx, write_place, "mid_block.resnets.0.conv1");
    const tn *x = tn_zeros(cx, TN_SHAPE(1, 3, 4, 4)), *w = tn_zeros(cx, TN_SHAPE(8, 5, 3, 3));
    assert_null(tn_conv2d(cx, x, w, NULL, 1, 1));
    tn_set_place(cx, write_place, "elsewhere");
    assert_null(tn_matmul(cx, x, w));
    assert_int_equal(tn_dim(cx, x, 0), 1);
    assert_int_equal(tn_dim(cx, NULL, 0), 1);
    tn_leave(cx, scope, NULL);
    assert_int_not_equal(tn_check(cx, &error), HDS_OK);
    assert_memory_equal(error.message, "mid_block.resnets.0.conv1: conv2d: ", 35);
    assert_null(strchr(error.message, '\n'));
    /* and the context is usable again, without the place */
    assert_non_null(tn_zeros(cx, TN_SHAPE(1)));
    x = tn_zeros(cx, TN_SHAPE(2, 3));
    assert_null(tn_matmul(cx, x, x));
    hds_error second = { 0 };
    assert_int_not_equal(tn_check(cx, &second), HDS_OK);
    assert_memory_equal(second.message, "matmul: ", 8);
}

static void exceptions_do_not_escape(void **state)
{
    tn_context *cx = *state;
    hds_error error = { 0 };
    assert_null(tn_zeros(cx, TN_SHAPE((int64_t)1 << 40, 1 << 10)));
    assert_int_equal(tn_check(cx, &error), HDS_ERROR_MEMORY);
    assert_null(tn_silu(cx, NULL));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
    assert_null(tn_from_f32(cx, NULL, TN_SHAPE(2)));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
    assert_null(tn_zeros(cx, TN_SHAPE(-1)));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
    const tn *q = tn_zeros(cx, TN_SHAPE(1, 2, 6));
    assert_null(tn_attention(cx, q, q, q, 4, false));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
    float out[3];
    tn_to_f32(cx, q, out, 3);
    error = (hds_error){ 0 };
    assert_int_not_equal(tn_check(cx, &error), HDS_OK);
    assert_non_null(strstr(error.message, "holds 12 numbers, expected 3"));
}

static void vjp_is_the_transposed_jacobian(void **state)
{
    tn_context *cx = *state;
    float value[3];
    tn_set_grad(cx, true);
    tn *x = tn_leaf(cx, tn_from_f32(cx, (float[]){ 1, 2, 3 }, TN_SHAPE(3)));
    tn *y = tn_mul(cx, x, tn_affine(cx, x, 2, 1)); /* 2 x^2 + x */
    tn *dx = tn_vjp(cx, y, x, tn_from_f32(cx, (float[]){ 1, 10, 100 }, TN_SHAPE(3)));
    tn_to_f32(cx, dx, value, 3);
    tn_set_grad(cx, false);
    ok(cx);
    assert_float_equal(value[0], 5, 1e-5);
    assert_float_equal(value[1], 90, 1e-4);
    assert_float_equal(value[2], 1300, 1e-3);
}

static void nothing_is_recorded_without_grad_mode(void **state)
{
    tn_context *cx = *state;
    tn *x = tn_leaf(cx, tn_zeros(cx, TN_SHAPE(3)));
    tn *y = tn_affine(cx, x, 2, 0);
    assert_null(tn_vjp(cx, y, x, tn_zeros(cx, TN_SHAPE(3))));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
}

static void gradients_of_unused_parameters_are_zero(void **state)
{
    tn_context *cx = *state;
    tn_set_grad(cx, true);
    tn *a = tn_leaf(cx, tn_from_f32(cx, (float[]){ 3, 4 }, TN_SHAPE(2)));
    tn *b = tn_leaf(cx, tn_from_f32(cx, (float[]){ 5 }, TN_SHAPE(1)));
    tn *loss = tn_sum(cx, tn_mul(cx, a, a)), *grads[2], *params[2] = { a, b };
    tn_gradients(cx, loss, params, 2, grads);
    tn_set_grad(cx, false);
    float ga[2];
    tn_to_f32(cx, grads[0], ga, 2);
    assert_float_equal(ga[0], 6, 1e-6);
    assert_float_equal(ga[1], 8, 1e-6);
    assert_float_equal(tn_scalar(cx, grads[1]), 0, 0);
    assert_float_equal(tn_global_norm(cx, grads, 2), 10, 1e-6);
    ok(cx);
}

/* Against the published algorithm, in double. */
static void adamw_follows_the_paper(void **state)
{
    tn_context *cx = *state;
    enum { N = 5, STEPS = 4 };
    float start[N] = { 1, -2, 0.5f, 0, 3 };
    double p[N], m[N] = { 0 }, v[N] = { 0 };
    tn *param = tn_leaf(cx, tn_from_f32(cx, start, TN_SHAPE(N)));
    tn *first = tn_zeros(cx, TN_SHAPE(N)), *second = tn_zeros(cx, TN_SHAPE(N));
    for (int i = 0; i < N; i++)
        p[i] = start[i];
    for (int t = 1; t <= STEPS; t++) {
        float g[N];
        for (int i = 0; i < N; i++) {
            g[i] = sinf((float)(t * 7 + i));
            double d = 0.5 * g[i];
            m[i] = 0.9 * m[i] + 0.1 * d;
            v[i] = 0.99 * v[i] + 0.01 * d * d;
            double mh = m[i] / (1 - pow(0.9, t)), vh = v[i] / (1 - pow(0.99, t));
            p[i] -= 0.01 * (mh / (sqrt(vh) + 1e-8) + 0.1 * p[i]);
        }
        tn_adamw o = { .step = t,
                       .rate = 0.01,
                       .beta1 = 0.9,
                       .beta2 = 0.99,
                       .eps = 1e-8,
                       .weight_decay = 0.1,
                       .gradient_scale = 0.5 };
        tn_adamw_step(cx, param, tn_from_f32(cx, g, TN_SHAPE(N)), first, second, &o);
    }
    float result[N];
    tn_to_f32(cx, param, result, N);
    ok(cx);
    for (int i = 0; i < N; i++)
        assert_float_equal(result[i], p[i], 2e-6);
}

static void lerp_and_copy_change_in_place(void **state)
{
    tn_context *cx = *state;
    float value[2];
    tn *x = tn_from_f32(cx, (float[]){ 0, 4 }, TN_SHAPE(2));
    tn *y = tn_from_f32(cx, (float[]){ 10, 0 }, TN_SHAPE(2));
    tn_lerp_in_place(cx, x, y, 0.25);
    tn_to_f32(cx, x, value, 2);
    assert_float_equal(value[0], 2.5, 1e-6);
    assert_float_equal(value[1], 3, 1e-6);
    tn_copy_in_place(cx, x, y);
    tn_to_f32(cx, x, value, 2);
    assert_float_equal(value[0], 10, 0);
    tn_lerp_in_place(cx, x, tn_zeros(cx, TN_SHAPE(3)), 0.5);
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        TEST(scopes_free_their_handles),
        TEST(a_kept_tensor_of_an_outer_scope_stays),
        TEST(owned_tensors_outlive_scopes),
        TEST(the_first_error_sticks_and_names_its_place),
        TEST(exceptions_do_not_escape),
        TEST(vjp_is_the_transposed_jacobian),
        TEST(nothing_is_recorded_without_grad_mode),
        TEST(gradients_of_unused_parameters_are_zero),
        TEST(adamw_follows_the_paper),
        TEST(lerp_and_copy_change_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

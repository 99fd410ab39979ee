/* SPDX-License-Identifier: Apache-2.0 */
/* Layers against their formulas as plain loops in double, and each way of running one (with no
 * graph, with one for the input, with one for the weights too) against the others. */
#include "base/base.h"
#include "context.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST = 1 << 23 };
static float *numbers[8]; /* of the tensors of a test, with their sizes */
static size_t counts[8];

static int end_and_free(void **state)
{
    for (int i = 0; i < 8; i++) {
        free(numbers[i]);
        numbers[i] = NULL;
    }
    return end(state);
}

/* Normal numbers, which stay in numbers[i]. */
static tn *normal(tn_context *cx, int i, double scale, int dims, const int64_t *shape)
{
    counts[i] = 1;
    for (int d = 0; d < dims; d++)
        counts[i] *= (size_t)shape[d];
    assert_true(counts[i] <= LARGEST);
    free(numbers[i]);
    numbers[i] = malloc(counts[i] * sizeof *numbers[i]);
    assert_non_null(numbers[i]);
    rng r = rng_make(7 + (uint64_t)i, counts[i]);
    for (size_t k = 0; k < counts[i]; k++)
        numbers[i][k] = (float)(scale * rng_normal(&r));
    return tn_from_f32(cx, numbers[i], dims, shape);
}

/* The greatest difference over the greatest number of b. */
static double difference(const float *a, const float *b, size_t count)
{
    double worst = 0, size = 1e-30;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)a[i] - b[i]);
        worst = d > worst || isnan(d) ? d : worst;
        size = fabs((double)b[i]) > size ? fabs((double)b[i]) : size;
    }
    return worst / size;
}

static double apart(tn_context *cx, const tn *a, const tn *b)
{
    size_t count = tn_count(cx, b);
    float *x = malloc(count * sizeof *x), *y = malloc(count * sizeof *y);
    assert_true(x && y);
    tn_to_f32(cx, a, x, count);
    tn_to_f32(cx, b, y, count);
    ok(cx);
    double d = difference(x, y, count);
    free(x);
    free(y);
    return d;
}

typedef struct attended {
    int batch, queries, keys, heads, width;
    bool causal;
} attended;

static void attend_plainly(const attended *a, float *out)
{
    int row = a->heads * a->width;
    double *p = malloc((size_t)a->keys * sizeof *p);
    assert_non_null(p);
    for (int part = 0; part < a->batch * a->heads * a->queries; part++) {
        int i = part % a->queries, h = part / a->queries % a->heads;
        int b = part / a->queries / a->heads, seen = a->causal && i + 1 < a->keys ? i + 1 : a->keys;
        const float *q = numbers[0] + (b * a->queries + i) * row + h * a->width;
        double most = -INFINITY, sum = 0;
        for (int k = 0; k < seen; k++) {
            p[k] = 0;
            for (int c = 0; c < a->width; c++)
                p[k] += (double)q[c] * numbers[1][(b * a->keys + k) * row + h * a->width + c];
            p[k] /= sqrt(a->width);
            most = p[k] > most ? p[k] : most;
        }
        for (int k = 0; k < seen; k++)
            sum += p[k] = exp(p[k] - most);
        for (int c = 0; c < a->width; c++) {
            double y = 0;
            for (int k = 0; k < seen; k++)
                y += p[k] * numbers[2][(b * a->keys + k) * row + h * a->width + c];
            out[(b * a->queries + i) * row + h * a->width + c] = (float)(y / sum);
        }
    }
    free(p);
}

static void attention_is_its_formula(void **state)
{
    tn_context *cx = *state;
    static const attended cases[] = {
        { 1, 1, 1, 1, 1, false },     { 2, 5, 3, 2, 3, false },       { 2, 100, 77, 2, 40, false },
        { 2, 77, 77, 3, 64, true },   { 1, 300, 300, 2, 8, true },    { 1, 129, 513, 1, 20, false },
        { 1, 97, 256, 4, 16, false }, { 1, 200, 600, 1, 160, false }, { 1, 40, 300, 1, 512, false },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const attended *a = &cases[i];
        size_t scope = tn_enter(cx);
        int64_t c = a->heads * a->width;
        tn *q = normal(cx, 0, 2, TN_SHAPE(a->batch, a->queries, c));
        tn *k = normal(cx, 1, 1, TN_SHAPE(a->batch, a->keys, c));
        tn *v = normal(cx, 2, 1, TN_SHAPE(a->batch, a->keys, c));
        float *expected = malloc(counts[0] * sizeof *expected);
        assert_non_null(expected);
        attend_plainly(a, expected);
        tn *y = tn_attention(cx, q, k, v, a->heads, a->causal);
        /* scores reach 20 and are rounded to 1e-7 of that */
        assert_true(apart(cx, y, tn_from_f32(cx, expected, TN_SHAPE(a->batch, a->queries, c))) <
                    5e-6);
        free(expected);
        tn_leave(cx, scope, NULL);
    }
}

static void scores_far_apart_neither_overflow_nor_vanish(void **state)
{
    tn_context *cx = *state;
    tn *q = tn_from_f32(cx, (float[]){ 200, -200, 0 }, TN_SHAPE(1, 3, 1));
    tn *k = tn_from_f32(cx, (float[]){ 10, -10 }, TN_SHAPE(1, 2, 1));
    tn *v = tn_from_f32(cx, (float[]){ 3, 5 }, TN_SHAPE(1, 2, 1));
    float y[3];
    tn_to_f32(cx, tn_attention(cx, q, k, v, 1, false), y, 3);
    ok(cx);
    assert_float_equal(y[0], 3, 1e-6);
    assert_float_equal(y[1], 5, 1e-6);
    assert_float_equal(y[2], 4, 1e-6);
}

static void what_is_not_a_number_stays_that(void **state)
{
    tn_context *cx = *state;
    uint32_t bits = 0x7fc00001; /* a payload */
    float none;
    memcpy(&none, &bits, sizeof none);
    tn *q = tn_from_f32(cx, (float[]){ 1, none }, TN_SHAPE(1, 2, 1));
    tn *k = tn_from_f32(cx, (float[]){ 1, 2 }, TN_SHAPE(1, 2, 1));
    float y[2];
    tn_to_f32(cx, tn_attention(cx, q, k, k, 1, false), y, 2);
    ok(cx);
    assert_true(isfinite(y[0]));
    assert_true(isnan(y[1]));
    float x[3] = { 1, 1, 1 };
    assert_null(tn_gated_gelu(cx, tn_from_f32(cx, x, TN_SHAPE(1, 3))));
    assert_int_not_equal(tn_check(cx, NULL), HDS_OK);
}

/* One head: with P = softmax(q k^T/sqrt C), y = P v and dy: dv = P^T dy, dS = P (dy v^T - dy y),
 * dq = dS k/sqrt C, dk = dS^T q/sqrt C. */
static void attend_back_plainly(int queries, int keys, int width, const float *dy, double *dq,
                                double *dk, double *dv)
{
    const float *q = numbers[0], *k = numbers[1], *v = numbers[2];
    double *p = malloc((size_t)keys * sizeof *p), *dp = malloc((size_t)keys * sizeof *dp);
    assert_true(p && dp);
    for (int i = 0; i < queries; i++) {
        double sum = 0, mean = 0;
        for (int j = 0; j < keys; j++) {
            p[j] = dp[j] = 0;
            for (int c = 0; c < width; c++) {
                p[j] += (double)q[i * width + c] * k[j * width + c] / sqrt(width);
                dp[j] += (double)dy[i * width + c] * v[j * width + c];
            }
            sum += p[j] = exp(p[j]);
        }
        for (int j = 0; j < keys; j++)
            mean += (p[j] /= sum) * dp[j];
        for (int j = 0; j < keys; j++)
            for (int c = 0; c < width; c++) {
                double ds = p[j] * (dp[j] - mean) / sqrt(width);
                dq[i * width + c] += ds * k[j * width + c];
                dk[j * width + c] += ds * q[i * width + c];
                dv[j * width + c] += p[j] * dy[i * width + c];
            }
    }
    free(p);
    free(dp);
}

static void the_gradient_of_attention_is_its_formula(void **state)
{
    tn_context *cx = *state;
    enum { Q = 1500, K = 3000, C = 2 }; /* more scores than the backward pass makes at a time */
    tn *in[3] = { normal(cx, 0, 1, TN_SHAPE(1, Q, C)), normal(cx, 1, 1, TN_SHAPE(1, K, C)),
                  normal(cx, 2, 1, TN_SHAPE(1, K, C)) };
    tn *dy = normal(cx, 3, 1, TN_SHAPE(1, Q, C)), *grads[3];
    tn_set_grad(cx, true);
    for (int i = 0; i < 3; i++)
        in[i] = tn_leaf(cx, in[i]);
    tn *y = tn_attention(cx, in[0], in[1], in[2], 1, false);
    tn_gradients(cx, tn_sum(cx, tn_mul(cx, y, dy)), in, 3, grads);
    tn_set_grad(cx, false);
    ok(cx);
    double *expected = calloc((size_t)(Q + 2 * K) * C, sizeof *expected);
    float *rounded = malloc((size_t)(Q + 2 * K) * C * sizeof *rounded);
    assert_true(expected && rounded);
    attend_back_plainly(Q, K, C, numbers[3], expected, expected + Q * C, expected + (Q + K) * C);
    for (int i = 0; i < (Q + 2 * K) * C; i++)
        rounded[i] = (float)expected[i];
    assert_true(apart(cx, grads[0], tn_from_f32(cx, rounded, TN_SHAPE(1, Q, C))) < 1e-5);
    assert_true(apart(cx, grads[1], tn_from_f32(cx, rounded + Q * C, TN_SHAPE(1, K, C))) < 1e-5);
    assert_true(apart(cx, grads[2], tn_from_f32(cx, rounded + (Q + K) * C, TN_SHAPE(1, K, C))) <
                1e-5);
    free(expected);
    free(rounded);
}

static void gated_gelu_is_its_formula(void **state)
{
    tn_context *cx = *state;
    enum { ROWS = 70, WIDTH = 37 };
    tn *x = normal(cx, 0, 3, TN_SHAPE(2, ROWS / 2, 2 * WIDTH)), *y = tn_gated_gelu(cx, x);
    float out[ROWS * WIDTH];
    tn_to_f32(cx, y, out, ROWS * WIDTH);
    ok(cx);
    for (int i = 0; i < ROWS * WIDTH; i++) {
        const float *row = numbers[0] + i / WIDTH * 2 * WIDTH;
        double a = row[i % WIDTH], b = row[WIDTH + i % WIDTH];
        assert_true(fabs(out[i] - a * b * 0.5 * (1 + erf(b / sqrt(2)))) < 1e-6 * (1 + fabs(a * b)));
    }
    tn_set_grad(cx, true);
    tn *with_graph = tn_detach(cx, tn_gated_gelu(cx, tn_leaf(cx, x)));
    tn_set_grad(cx, false);
    assert_true(apart(cx, y, with_graph) < 1e-6);
}

typedef struct convolved {
    int batch, in, out, height, width, kernel, stride, pad;
} convolved;

static const convolved convolutions[] = {
    { 2, 3, 5, 7, 9, 3, 1, 1 },       { 1, 4, 3, 8, 8, 3, 2, 1 },     { 3, 6, 4, 5, 4, 1, 1, 0 },
    { 1, 2, 2, 9, 9, 3, 2, 0 },       { 2, 700, 700, 4, 3, 3, 1, 1 }, /* more kernel than picture */
    { 1, 700, 700, 5, 4, 3, 2, 1 },   { 1, 64, 70, 33, 47, 3, 1, 1 }, /* in tiles: with rests on
                                                                         both sides, */
    { 2, 65, 64, 9, 140, 3, 1, 1 },                                   /* in several groups, */
    { 1, 64, 64, 260, 256, 3, 1, 1 },                                 /* in several blocks */
};
enum { CONVOLUTIONS = sizeof convolutions / sizeof *convolutions };

/* Tiles round more: winograd.h. Against the largest number, which is four deviations or more. */
static double rounding(const convolved *a)
{
    return a->in >= 64 && a->in < 700 ? 2e-5 : 2e-6;
}

static double convolve_plainly(const convolved *a, int b, int o, int y, int x)
{
    double sum = numbers[2][o];
    for (int c = 0; c < a->in; c++)
        for (int t = 0; t < a->kernel * a->kernel; t++) {
            int v = y * a->stride + t / a->kernel - a->pad;
            int u = x * a->stride + t % a->kernel - a->pad;
            if (v >= 0 && v < a->height && u >= 0 && u < a->width)
                sum += (double)numbers[0][((b * a->in + c) * a->height + v) * a->width + u] *
                       numbers[1][(o * a->in + c) * a->kernel * a->kernel + t];
        }
    return sum;
}

static void a_convolution_is_its_formula(void **state)
{
    tn_context *cx = *state;
    for (int i = 0; i < CONVOLUTIONS; i++) {
        const convolved *a = &convolutions[i];
        tn *x = normal(cx, 0, 1, TN_SHAPE(a->batch, a->in, a->height, a->width));
        tn *w = normal(cx, 1, 1, TN_SHAPE(a->out, a->in, a->kernel, a->kernel));
        tn *y = tn_conv2d(cx, x, w, normal(cx, 2, 1, TN_SHAPE(a->out)), a->stride, a->pad);
        int height = (int)tn_dim(cx, y, 2), width = (int)tn_dim(cx, y, 3);
        size_t count = tn_count(cx, y);
        float *got = malloc(count * sizeof *got), *expected = malloc(count * sizeof *expected);
        assert_true(got && expected);
        assert_int_equal(height, (a->height + 2 * a->pad - a->kernel) / a->stride + 1);
        tn_to_f32(cx, y, got, count);
        ok(cx);
        size_t tried = 0, step = count > 1 << 20 ? 101 : 1;
        for (size_t n = 0; n < count; n += step) {
            int k = (int)n;
            got[tried] = got[n];
            expected[tried++] = (float)convolve_plainly(a, k / (a->out * height * width),
                                                        k / (height * width) % a->out,
                                                        k / width % height, k % width);
        }
        assert_true(difference(got, expected, tried) < rounding(a));
        free(got);
        free(expected);
    }
}

/* The way of a product must not depend on the number of threads: equal runs give equal bytes. */
static void convolutions_give_the_same_bytes_on_any_number_of_threads(void **state)
{
    tn_context *cx = *state, *one;
    hds_error error = { 0 };
    assert_int_equal(tn_context_create(&one, 1, &error), HDS_OK);
    for (int i = 0; i < CONVOLUTIONS; i++) {
        const convolved *a = &convolutions[i];
        float *bytes[2];
        size_t count = 0;
        for (int k = 0; k < 2; k++) {
            tn_context *on = k ? one : cx;
            size_t scope = tn_enter(on);
            tn *x = normal(on, 0, 1, TN_SHAPE(a->batch, a->in, a->height, a->width));
            tn *w = normal(on, 1, 1, TN_SHAPE(a->out, a->in, a->kernel, a->kernel));
            tn *y = tn_conv2d(on, x, w, normal(on, 2, 1, TN_SHAPE(a->out)), a->stride, a->pad);
            count = tn_count(on, y);
            bytes[k] = malloc(count * sizeof(float));
            assert_non_null(bytes[k]);
            tn_to_f32(on, y, bytes[k], count);
            ok(on);
            tn_leave(on, scope, NULL);
        }
        assert_memory_equal(bytes[0], bytes[1], count * sizeof(float));
        free(bytes[0]);
        free(bytes[1]);
    }
    tn_context_destroy(&one);
}

/* d sum(u f(x))/dx, with weights that take gradients and with frozen ones. */
typedef tn *(*layer)(tn_context *cx, const tn *x, const tn *w, const tn *b, const convolved *a);

static void frozen_and_trainable_agree(tn_context *cx, layer f, const convolved *a)
{
    tn *dx[2], *x = normal(cx, 0, 1, TN_SHAPE(a->batch, a->in, a->height, a->width));
    tn *w = f ? normal(cx, 1, 1, TN_SHAPE(a->out, a->in, a->kernel, a->kernel))
              : normal(cx, 1, 1, TN_SHAPE(a->in));
    tn *b = normal(cx, 2, 1, TN_SHAPE(f ? a->out : a->in)), *u = NULL;
    tn_set_grad(cx, true);
    for (int trains = 0; trains < 2; trains++) {
        tn *leaf = tn_leaf(cx, x), *weight = trains ? tn_leaf(cx, w) : w;
        tn *y = f ? f(cx, leaf, weight, b, a) : tn_group_norm_silu(cx, leaf, weight, b, 2, 1e-5);
        if (!u)
            u = tn_affine(cx, tn_sin(cx, tn_affine(cx, tn_detach(cx, y), 9, 0)), 1, 0);
        tn_gradients(cx, tn_sum(cx, tn_mul(cx, y, u)), &leaf, 1, &dx[trains]);
    }
    tn_set_grad(cx, false);
    ok(cx);
    assert_true(apart(cx, dx[0], dx[1]) < (f ? 2.5 * rounding(a) : 5e-6));
}

static tn *convolve(tn_context *cx, const tn *x, const tn *w, const tn *b, const convolved *a)
{
    return tn_conv2d(cx, x, w, b, a->stride, a->pad);
}

static void gradients_through_frozen_layers_are_those_of_trainable_ones(void **state)
{
    tn_context *cx = *state;
    for (int i = 0; i < CONVOLUTIONS; i++) {
        size_t scope = tn_enter(cx);
        frozen_and_trainable_agree(cx, convolve, &convolutions[i]);
        if (convolutions[i].in % 2 == 0)
            frozen_and_trainable_agree(cx, NULL, &convolutions[i]);
        tn_leave(cx, scope, NULL);
    }
}

/* y = x W^T, and a convolution, with weights of two bytes: as with the same weights in float32, or,
 * where the product itself is in bfloat16, to its 8 bits. */
static void weights_of_two_bytes_are_rounded_ones(void **state)
{
    tn_context *cx = *state;
    static const tn_type types[] = { TN_BFLOAT16, TN_FLOAT16 };
    for (int i = 0; i < 2; i++) {
        tn *x = normal(cx, 0, 1, TN_SHAPE(2, 6, 5, 8)), *w = normal(cx, 1, 1, TN_SHAPE(4, 6, 3, 3));
        tn *v = normal(cx, 2, 1, TN_SHAPE(7, 8)), *b = normal(cx, 3, 1, TN_SHAPE(4));
        tn *short_w = tn_to_type(cx, w, types[i]), *short_v = tn_to_type(cx, v, types[i]);
        w = tn_to_type(cx, short_w, TN_FLOAT32);
        v = tn_to_type(cx, short_v, TN_FLOAT32);
        double most = types[i] == TN_BFLOAT16 && tn_has_bfloat16() ? 0.01 : 1e-6;
        assert_true(apart(cx, tn_conv2d(cx, x, short_w, b, 1, 1), tn_conv2d(cx, x, w, b, 1, 1)) <=
                    most);
        assert_true(apart(cx, tn_linear(cx, x, short_v, NULL), tn_linear(cx, x, v, NULL)) <= most);
        tn_set_precision(cx, TN_BFLOAT16); /* whatever the processor */
        tn *y = tn_conv2d(cx, x, w, b, 1, 1), *z = tn_linear(cx, x, v, NULL);
        tn_set_precision(cx, TN_FLOAT32);
        double d = apart(cx, y, tn_conv2d(cx, x, w, b, 1, 1));
        assert_true(d > 1e-5 && d < 0.02);
        d = apart(cx, z, tn_linear(cx, x, v, NULL));
        assert_true(d > 1e-5 && d < 0.02);
    }
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end_and_free)
    const struct CMUnitTest tests[] = {
        TEST(attention_is_its_formula),
        TEST(scores_far_apart_neither_overflow_nor_vanish),
        TEST(what_is_not_a_number_stays_that),
        TEST(the_gradient_of_attention_is_its_formula),
        TEST(gated_gelu_is_its_formula),
        TEST(a_convolution_is_its_formula),
        TEST(convolutions_give_the_same_bytes_on_any_number_of_threads),
        TEST(weights_of_two_bytes_are_rounded_ones),
        TEST(gradients_through_frozen_layers_are_those_of_trainable_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

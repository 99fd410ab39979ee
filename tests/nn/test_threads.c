/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation, and the way back through it, gives the same bytes on any number of threads: a
 * seed is a head on every machine, and fewer threads are used while a machine is busy. */
#include "base/base.h"
#include "context.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 5 };

/* Numbers of -2 to 2. `number`: which of an operation's tensors. */
static tn *made_up(tn_context *cx, int number, int dims, const int64_t *shape)
{
    size_t count = 1;
    for (int d = 0; d < dims; d++)
        count *= (size_t)shape[d];
    float *data = malloc(count * sizeof *data);
    assert_non_null(data);
    rng r = rng_make(7 + (uint64_t)number, count);
    for (size_t i = 0; i < count; i++)
        data[i] = (float)(4 * rng_uniform(&r) - 2);
    tn *x = tn_from_f32(cx, data, dims, shape);
    free(data);
    return x;
}

typedef tn *(*operation)(tn_context *cx, const tn *x);

typedef struct operated {
    const char *name;
    operation run;
    int dims;
    int64_t shape[4]; /* of x; sizes that no number of threads divides */
    bool plain;       /* no way back is needed */
    int lengths;      /* rows of so many lengths more: a share's last numbers are the risk */
} operated;

#define OPERATION(name, expression)                                                                \
    static tn *name(tn_context *cx, const tn *x)                                                   \
    {                                                                                              \
        return expression;                                                                         \
    }

static tn *convolve(tn_context *cx, const tn *x, int64_t out, int64_t kernel, int stride, int pad)
{
    tn *w = made_up(cx, 1, TN_SHAPE(out, tn_dim(cx, x, 1), kernel, kernel));
    return tn_conv2d(cx, x, w, made_up(cx, 2, TN_SHAPE(out)), stride, pad);
}

static tn *channels(tn_context *cx, const tn *x, int number)
{
    return made_up(cx, number, TN_SHAPE(tn_dim(cx, x, 1)));
}

static tn *width(tn_context *cx, const tn *x, int number, int64_t rows)
{
    int64_t last = tn_dim(cx, x, tn_dims(cx, x) - 1);
    return rows ? made_up(cx, number, TN_SHAPE(rows, last)) : made_up(cx, number, TN_SHAPE(last));
}

static tn *again(tn_context *cx, const tn *x, int number)
{
    int64_t shape[4];
    int dims = tn_dims(cx, x);
    for (int d = 0; d < dims; d++)
        shape[d] = tn_dim(cx, x, d);
    return made_up(cx, number, dims, shape);
}

OPERATION(conv_1, convolve(cx, x, 37, 1, 1, 0))
OPERATION(conv_3, convolve(cx, x, 70, 3, 1, 1))
OPERATION(conv_3_down, convolve(cx, x, 70, 3, 2, 1))
OPERATION(conv_3_bare, convolve(cx, x, 33, 3, 2, 0))
OPERATION(conv_8, convolve(cx, x, 48, 8, 8, 0))
OPERATION(conv_wide, convolve(cx, x, 700, 3, 1, 1))
OPERATION(linear, tn_linear(cx, x, width(cx, x, 1, 301), made_up(cx, 2, TN_SHAPE(301))))
OPERATION(linear_bare, tn_linear(cx, x, width(cx, x, 1, 1203), NULL))
OPERATION(group_norm, tn_group_norm(cx, x, channels(cx, x, 1), channels(cx, x, 2), 5, 1e-5))
OPERATION(norm_silu, tn_group_norm_silu(cx, x, channels(cx, x, 1), channels(cx, x, 2), 5, 1e-5))
OPERATION(layer_norm, tn_layer_norm(cx, x, width(cx, x, 1, 0), width(cx, x, 2, 0), 1e-5))
OPERATION(attention, tn_attention(cx, x, again(cx, x, 1), again(cx, x, 2), 2, false))
OPERATION(causal, tn_attention(cx, x, again(cx, x, 1), again(cx, x, 2), 2, true))
OPERATION(weights, tn_attention_weights(cx, x, again(cx, x, 1), 2))
OPERATION(gated, tn_gated_gelu(cx, x))
OPERATION(affine, tn_affine(cx, x, 1.7, -0.3))
OPERATION(clamp, tn_clamp(cx, x, -0.5, 0.7))
OPERATION(add, tn_add(cx, x, again(cx, x, 1)))
OPERATION(add_row, tn_add(cx, x, width(cx, x, 1, 0)))
OPERATION(sub, tn_sub(cx, x, again(cx, x, 1)))
OPERATION(mul, tn_mul(cx, x, again(cx, x, 1)))
OPERATION(square, tn_mul(cx, x, x))
OPERATION(matmul, tn_matmul(cx, x, made_up(cx, 1, TN_SHAPE(tn_dim(cx, x, 1), 411))))
OPERATION(mean_square, tn_mean_square(cx, x, again(cx, x, 1)))
OPERATION(permute, tn_permute(cx, x, 4, (const int64_t[]){ 0, 2, 3, 1 }))
OPERATION(narrow, tn_narrow(cx, x, 2, 5, 60))
OPERATION(cat, tn_cat(cx, ((const tn *const[]){ x, x }), 2, 1))
OPERATION(pad, tn_pad(cx, x, 1, 2, 0, 3))
OPERATION(upsample, tn_upsample_nearest(cx, x, 2 * tn_dim(cx, x, 2), 2 * tn_dim(cx, x, 3)))

static const operated operations[] = {
    { "conv2d 1x1", conv_1, 4, { 2, 35, 31, 33 }, false, 0 },
    { "conv2d 3x3", conv_3, 4, { 2, 65, 35, 37 }, false, 0 },
    { "conv2d 3x3, few channels", conv_3, 4, { 2, 3, 67, 61 }, false, 0 },
    { "conv2d 3x3, a small picture", conv_3, 4, { 3, 65, 13, 11 }, false, 0 },
    { "conv2d 3x3, one picture", conv_3, 4, { 1, 63, 31, 29 }, false, 0 },
    { "conv2d 3x3, a large kernel", conv_wide, 4, { 2, 700, 7, 5 }, false, 0 },
    { "conv2d of stride 2", conv_3_down, 4, { 2, 65, 35, 37 }, false, 0 },
    { "conv2d of stride 2, one picture", conv_3_bare, 4, { 1, 33, 65, 65 }, false, 0 },
    { "conv2d of patches", conv_8, 4, { 2, 3, 128, 128 }, false, 0 },
    { "linear", linear, 3, { 3, 77, 517 }, false, 0 },
    { "linear, one row", linear, 2, { 1, 517 }, false, 0 },
    { "linear, no bias", linear_bare, 3, { 1, 101, 517 }, false, 0 },
    { "group_norm", group_norm, 4, { 2, 35, 31, 33 }, false, 0 },
    { "group_norm_silu", norm_silu, 4, { 2, 35, 31, 33 }, false, 0 },
    { "layer_norm", layer_norm, 3, { 3, 77, 517 }, false, 0 },
    { "attention", attention, 3, { 2, 111, 36 }, false, 0 },
    { "attention, causal", causal, 3, { 3, 77, 514 }, true, 0 },
    { "attention_weights", weights, 3, { 3, 77, 514 }, true, 0 },
    { "silu", tn_silu, 3, { 3, 77, 517 }, false, 5 },
    { "gelu", tn_gelu, 3, { 3, 77, 517 }, false, 5 },
    { "quick_gelu", tn_quick_gelu, 3, { 3, 77, 517 }, false, 5 },
    { "gated_gelu", gated, 3, { 3, 77, 518 }, false, 5 },
    { "exp", tn_exp, 3, { 3, 77, 517 }, false, 5 },
    { "cos", tn_cos, 3, { 3, 77, 517 }, false, 5 },
    { "sin", tn_sin, 3, { 3, 77, 517 }, false, 5 },
    { "abs", tn_abs, 3, { 3, 77, 517 }, false, 0 },
    { "clamp", clamp, 3, { 3, 77, 517 }, false, 0 },
    { "affine", affine, 3, { 3, 77, 517 }, false, 0 },
    { "add", add, 3, { 3, 77, 517 }, false, 0 },
    { "add, broadcast", add_row, 3, { 3, 77, 517 }, false, 0 },
    { "sub", sub, 3, { 3, 77, 517 }, false, 0 },
    { "mul", mul, 3, { 3, 77, 517 }, false, 0 },
    { "mul, of one", square, 3, { 3, 77, 517 }, false, 0 },
    { "matmul", matmul, 2, { 307, 515 }, false, 0 },
    { "unit", tn_unit, 2, { 301, 517 }, false, 0 },
    { "unit of long rows", tn_unit, 2, { 3, 100003 }, false, 0 },
    { "mean", tn_mean, 3, { 3, 77, 517 }, false, 0 },
    { "sum", tn_sum, 3, { 3, 77, 517 }, false, 0 },
    { "mean_square", mean_square, 3, { 3, 77, 517 }, false, 0 },
    { "permute", permute, 4, { 2, 35, 31, 33 }, false, 0 },
    { "narrow", narrow, 3, { 3, 77, 517 }, false, 0 },
    { "cat", cat, 3, { 3, 77, 517 }, false, 0 },
    { "pad", pad, 4, { 2, 35, 31, 33 }, false, 0 },
    { "upsample_nearest", upsample, 4, { 2, 35, 31, 33 }, false, 0 },
};

/* The numbers of an operation's result, or of its way back from a made-up gradient. */
static float *result(const operated *o, int threads, bool back, size_t *count)
{
    tn_context *cx;
    hds_error error = { 0 };
    assert_int_equal(tn_context_create(&cx, threads, &error), HDS_OK);
    tn *x = made_up(cx, 0, o->dims, o->shape), *y;
    if (back) {
        tn_set_grad(cx, true);
        x = tn_leaf(cx, x);
        y = o->run(cx, x);
        y = tn_vjp(cx, y, x, tn_dims(cx, y) ? again(cx, y, 4) : y);
        tn_set_grad(cx, false);
    } else {
        y = o->run(cx, x);
    }
    ok(cx);
    *count = tn_count(cx, y);
    float *numbers = malloc(*count * sizeof *numbers);
    assert_non_null(numbers);
    tn_to_f32(cx, y, numbers, *count);
    ok(cx);
    tn_context_destroy(&cx);
    return numbers;
}

static int differences; /* of all operations, each named */

static void compare(const operated *o, bool back)
{
    size_t count = 0, same = 0;
    float *one = result(o, 1, back, &count);
    for (int threads = 2; threads <= MOST_THREADS; threads++) {
        float *several = result(o, threads, back, &same);
        assert_int_equal(same, count);
        if (memcmp(one, several, count * sizeof *one) != 0) {
            print_error("%s%s: other bytes on %d threads than on one\n", o->name,
                        back ? ", the way back" : "", threads);
            differences++;
        }
        free(several);
    }
    free(one);
}

static void operations_give_the_same_bytes_on_any_number_of_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof operations / sizeof *operations; i++) {
        operated o = operations[i];
        for (int more = 0; more <= o.lengths; more++, o.shape[2] += 2) {
            compare(&o, false);
            if (!o.plain)
                compare(&o, true);
        }
    }
    assert_int_equal(differences, 0);
}

int main(void)
{
    /* as many threads as are asked for, whatever else the machine does */
    setenv("OMP_WAIT_POLICY", "passive", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_give_the_same_bytes_on_any_number_of_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

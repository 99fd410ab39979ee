/* SPDX-License-Identifier: Apache-2.0 */
/* Weights by name: strict loading that lists what is wrong, and stores that grow, train and
 * save. */
#include "diffusion/diffusion.h"
#include "nn/weights_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

static char folder[] = "/tmp/headsds-weights-XXXXXX", path[64];

static int make_folder(void **state)
{
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    unlink(path);
    return rmdir(folder);
}

static tn_context *context(void)
{
    hds_error error = { 0 };
    tn_context *cx = NULL;
    if (tn_context_create(&cx, 1, &error) != HDS_OK)
        fail_msg("%s", error.message);
    return cx;
}

static void ok(tn_context *cx)
{
    hds_error error = { 0 };
    if (tn_check(cx, &error) != HDS_OK)
        fail_msg("%s", error.message);
}

static void status_ok(hds_status status, const hds_error *error)
{
    if (status != HDS_OK)
        fail_msg("%s", error->message);
}

static const unet_config small = {
    .in_channels = 4,
    .out_channels = 4,
    .levels = 2,
    .channels = { 8, 16 },
    .down_attention = { true, false },
    .up_attention = { false, true },
    .heads = { 2, 4 },
    .layers = 1,
    .groups = 4,
    .text_width = 6,
    .sample_size = 8,
    .eps = 1e-5,
};

/* The output of the small UNet on fixed input, new. */
enum { OUTPUT = 2 * 4 * 6 * 5 };
static float *run_small(tn_context *cx, weights *w)
{
    size_t scope = tn_enter(cx);
    rng r = rng_make(3, 0);
    float x[OUTPUT], text[2 * 7 * 6], *out = malloc(OUTPUT * sizeof *out);
    rng_normal_fill(&r, x, OUTPUT);
    rng_normal_fill(&r, text, 2 * 7 * 6);
    at root = at_root(cx, w);
    tn *y = unet_forward(&small, &root, tn_from_f32(cx, x, TN_SHAPE(2, 4, 6, 5)),
                         (float[]){ 30, 600.5f }, 2, tn_from_f32(cx, text, TN_SHAPE(2, 7, 6)));
    tn_to_f32(cx, y, out, OUTPUT);
    tn_leave(cx, scope, NULL);
    ok(cx);
    return out;
}

static weights *small_weights(tn_context *cx, uint64_t seed)
{
    weights *w = weights_create(cx, seed);
    at root = at_root(cx, w);
    unet_survey(&small, &root);
    ok(cx);
    return w;
}

static void save(weights *w, io_dtype dtype)
{
    hds_error error = { 0 };
    status_ok(weights_save(w, path, dtype, &error), &error);
}

static void new_weights_depend_on_seed_and_name_only(void **state)
{
    tn_context *cx = context();
    weights *a = small_weights(cx, 1), *b = weights_create(cx, 1), *c = small_weights(cx, 2);
    at root = at_root(cx, b);
    size_t scope = tn_enter(cx);
    nn_conv2d(&root, "conv_out", tn_zeros(cx, TN_SHAPE(1, 8, 1, 1)), 4, 3, 1, 1); /* out of order */
    tn_leave(cx, scope, NULL);
    float *from_a = run_small(cx, a), *from_b = run_small(cx, b), *from_c = run_small(cx, c);
    assert_int_equal(weights_count(a), weights_count(b));
    assert_memory_equal(from_a, from_b, OUTPUT * sizeof *from_a);
    assert_memory_not_equal(from_a, from_c, OUTPUT * sizeof *from_a);
    free(from_a);
    free(from_b);
    free(from_c);
    weights_destroy(&a);
    weights_destroy(&b);
    weights_destroy(&c);
    assert_int_equal(tn_live(cx), 0);
    tn_context_destroy(&cx);
}

static void new_weights_begin_as_usual(void **state)
{
    tn_context *cx = context();
    weights *w = small_weights(cx, 5);
    float v[16 * 16 * 9];
    tn *t = weights_find(w, "down_blocks.1.resnets.0.conv2.weight");
    assert_non_null(t);
    tn_to_f32(cx, t, v, 16 * 16 * 9);
    float bound = 1 / sqrtf(16 * 9), largest = 0, squares = 0;
    for (int i = 0; i < 16 * 16 * 9; i++) {
        largest = fmaxf(largest, fabsf(v[i]));
        squares += v[i] * v[i] / (16 * 16 * 9);
    }
    assert_true(largest <= bound && largest > 0.99f * bound);
    assert_float_equal(squares, bound * bound / 3, 0.05 * bound * bound);
    tn_to_f32(cx, weights_find(w, "conv_norm_out.weight"), v, 8);
    assert_float_equal(v[7], 1, 0);
    tn_to_f32(cx, weights_find(w, "conv_norm_out.bias"), v, 8);
    assert_float_equal(v[7], 0, 0);
    assert_null(weights_find(w, "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.bias"));
    ok(cx);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

static void a_saved_store_comes_back(void **state)
{
    static const weights_use uses[] = { WEIGHTS_FROZEN, WEIGHTS_TRAINABLE };
    tn_context *cx = context();
    weights *w = small_weights(cx, 1);
    float *before = run_small(cx, w);
    for (int i = 0; i < 4; i++) {
        save(w, i < 2 ? IO_F32 : IO_F16);
        weights *back = weights_load(cx, path, uses[i % 2]);
        ok(cx);
        at root = at_root(cx, back);
        unet_survey(&small, &root);
        float *after = run_small(cx, back), worst = 0;
        for (int k = 0; k < OUTPUT; k++)
            worst = fmaxf(worst, fabsf(after[k] - before[k]));
        assert_true(i < 2 ? worst == 0 : worst > 0 && worst < 0.01f);
        free(after);
        weights_destroy(&back);
    }
    free(before);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

/* Two stores of one float16 file have one set of float32 numbers, until the file is another. */
static void converted_numbers_are_shared(void **state)
{
    tn_context *cx = context();
    weights *w = small_weights(cx, 1), *stores[3];
    const float *values[3];
    save(w, IO_F16);
    for (int i = 0; i < 3; i++) {
        if (i == 2)
            save(w, IO_F16);
        stores[i] = weights_load(cx, path, WEIGHTS_FROZEN);
        ok(cx);
        weights_find(stores[i], "conv_in.weight");
        weights_entry *e = weights_lookup(stores[i], "conv_in.weight");
        assert_non_null(e->held);
        shared_numbers *held;
        size_t offset = (size_t)((const unsigned char *)e->data - e->map->bytes);
        size_t count = 1;
        for (int d = 0; d < e->dims; d++)
            count *= (size_t)e->shape[d];
        values[i] =
            numbers_take(e->map->stamp, offset, e->data, e->dtype, count, TN_FLOAT32, &held);
        assert_ptr_equal(held, e->held);
        numbers_release(held);
    }
    assert_ptr_equal(values[0], values[1]);
    assert_ptr_not_equal(values[0], values[2]);
    for (int i = 0; i < 3; i++)
        weights_destroy(&stores[i]);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

/* Tensors of one file that begin at the same place, as views of one storage do, are not confused.
 */
static void numbers_of_one_place_are_told_apart(void **state)
{
    static const uint16_t halves[4] = { 0x3c00, 0x4000, 0x4200, 0x4400 }; /* 1 2 3 4 */
    shared_numbers *held[5];
    const float *first = numbers_take(5, 64, halves, IO_F16, 0, TN_FLOAT32, &held[0]);
    const float *two = numbers_take(5, 64, halves, IO_F16, 2, TN_FLOAT32, &held[1]);
    const float *four = numbers_take(5, 64, halves, IO_F16, 4, TN_FLOAT32, &held[2]);
    const float *other = numbers_take(5, 64, halves, IO_BF16, 4, TN_FLOAT32, &held[3]);
    assert_true(first != two && two != four && four != other);
    for (int i = 0; i < 4; i++)
        assert_float_equal(four[i], i + 1, 0);
    assert_float_not_equal(other[0], 1, 0);
    const uint16_t *rounded = numbers_take(5, 64, halves, IO_F16, 4, TN_BFLOAT16, &held[4]);
    assert_int_equal(rounded[2], 0x4040);
    for (int i = 0; i < 5; i++)
        numbers_release(held[i]);
    /* of the type that is wanted: in place */
    assert_ptr_equal(numbers_take(5, 64, halves, IO_F16, 4, TN_FLOAT16, &held[0]), halves);
    assert_null(held[0]);
}

static void faults_are_listed(void **state)
{
    tn_context *cx = context();
    hds_error error = { 0 };
    weights *w = small_weights(cx, 1);
    save(w, IO_F32);
    io_safetensors file;
    status_ok(io_safetensors_open(&file, path, &error), &error);
    io_tensor *list = calloc(file.count + 1, sizeof *list);
    assert_non_null(list);
    size_t count = 0;
    for (size_t i = 0; i < file.count; i++) {
        list[count] = file.tensors[i];
        if (!strcmp(list[count].name, "mid_block.resnets.0.conv1.bias"))
            continue;
        if (!strcmp(list[count].name, "down_blocks.0.resnets.0.norm1.weight")) {
            list[count].shape[0] = 4;
            list[count].size /= 2;
        }
        count++;
    }
    list[count] = list[0];
    list[count++].name = "zz.extra";
    char other[80];
    snprintf(other, sizeof other, "%s/other.safetensors", folder);
    status_ok(io_safetensors_write(other, list, count, NULL, &error), &error);

    weights *bad = weights_load(cx, other, WEIGHTS_FROZEN);
    at root = at_root(cx, bad);
    unet_survey(&small, &root);
    assert_int_equal(tn_check(cx, &error), HDS_ERROR_FORMAT);
    assert_non_null(strstr(error.message, other));
    assert_non_null(strstr(error.message, "1 missing: mid_block.resnets.0.conv1.bias"));
    assert_non_null(strstr(error.message,
                           "1 of another shape: down_blocks.0.resnets.0.norm1.weight:"
                           " shape (4), expected (8)"));
    assert_non_null(strstr(error.message, "1 left over: zz.extra"));

    /* without a survey the first one found is the error */
    unet_forward(&small, &root, tn_zeros(cx, TN_SHAPE(1, 4, 2, 2)), (float[]){ 1 }, 1,
                 tn_zeros(cx, TN_SHAPE(1, 1, 6)));
    error = (hds_error){ 0 };
    assert_int_equal(tn_check(cx, &error), HDS_ERROR_FORMAT);
    assert_non_null(strstr(error.message, "norm1.weight: shape (4), expected (8)"));

    weights_destroy(&bad);
    weights_destroy(&w);
    io_safetensors_close(&file);
    free(list);
    unlink(other);
    tn_context_destroy(&cx);
}

static void a_missing_file_is_an_error(void **state)
{
    tn_context *cx = context();
    hds_error error = { 0 };
    assert_null(weights_load(cx, "/nowhere/w.safetensors", WEIGHTS_FROZEN));
    assert_int_equal(tn_check(cx, &error), HDS_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/w.safetensors"));
    weights *w = small_weights(cx, 1);
    error = (hds_error){ 0 };
    assert_int_not_equal(weights_save(w, "/nowhere/w.safetensors", IO_F16, &error), HDS_OK);
    assert_non_null(strstr(error.message, "/nowhere/w.safetensors"));
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

static void duplicates_are_frozen_copies(void **state)
{
    tn_context *cx = context();
    weights *w = small_weights(cx, 1), *copy = weights_duplicate(w, false);
    weights *zeros = weights_duplicate(w, true);
    ok(cx);
    float *a = run_small(cx, w), *b = run_small(cx, copy), *z = run_small(cx, zeros);
    assert_memory_equal(a, b, OUTPUT * sizeof *a);
    assert_float_equal(z[0], 0, 0);
    tn_copy_in_place(cx, weights_find(w, "conv_out.bias"), tn_zeros(cx, TN_SHAPE(4)));
    float *c = run_small(cx, w), *d = run_small(cx, copy);
    assert_memory_not_equal(a, c, OUTPUT * sizeof *a);
    assert_memory_equal(a, d, OUTPUT * sizeof *a);
    free(a);
    free(b);
    free(c);
    free(d);
    free(z);
    weights_destroy(&copy);
    weights_destroy(&zeros);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

/* One step on fitting fixed targets; the loss before it. */
static float train_step(tn_context *cx, weights *w, weights *m, weights *v, tn **params,
                        int64_t step)
{
    size_t scope = tn_enter(cx), count = weights_count(w);
    tn **grads = calloc(count, sizeof *grads);
    rng r = rng_make(8, 0);
    float x[OUTPUT], target[OUTPUT];
    rng_normal_fill(&r, x, OUTPUT);
    rng_normal_fill(&r, target, OUTPUT);
    at root = at_root(cx, w);
    tn_set_grad(cx, true);
    tn *y = unet_forward(&small, &root, tn_from_f32(cx, x, TN_SHAPE(2, 4, 6, 5)),
                         (float[]){ 30, 600 }, 2, tn_zeros(cx, TN_SHAPE(2, 3, 6)));
    tn *loss = tn_mean_square(cx, y, tn_from_f32(cx, target, TN_SHAPE(2, 4, 6, 5)));
    tn_gradients(cx, loss, params, count, grads);
    tn_set_grad(cx, false);
    tn_adamw o = {
        .step = step, .rate = 3e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .gradient_scale = 1
    };
    for (size_t i = 0; i < count; i++)
        tn_adamw_step(cx, params[i], grads[i], weights_tensor(m, i), weights_tensor(v, i), &o);
    float value = tn_scalar(cx, loss);
    tn_leave(cx, scope, NULL);
    ok(cx);
    free(grads);
    return value;
}

static void a_network_learns(void **state)
{
    tn_context *cx = context();
    weights *w = small_weights(cx, 1), *m = weights_duplicate(w, true);
    weights *v = weights_duplicate(w, true);
    size_t count = weights_count(w), live = tn_live(cx);
    tn **params = calloc(count, sizeof *params);
    for (size_t i = 0; i < count; i++)
        params[i] = weights_tensor(w, i);
    float first = train_step(cx, w, m, v, params, 1), last = first;
    for (int64_t step = 2; step <= 150; step++)
        last = train_step(cx, w, m, v, params, step);
    assert_true(first > 0.5f && last < 0.25f * first);
    assert_int_equal(tn_live(cx), live);
    free(params);
    weights_destroy(&m);
    weights_destroy(&v);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(new_weights_depend_on_seed_and_name_only),
        cmocka_unit_test(new_weights_begin_as_usual),
        cmocka_unit_test(a_saved_store_comes_back),
        cmocka_unit_test(converted_numbers_are_shared),
        cmocka_unit_test(numbers_of_one_place_are_told_apart),
        cmocka_unit_test(faults_are_listed),
        cmocka_unit_test(a_missing_file_is_an_error),
        cmocka_unit_test(duplicates_are_frozen_copies),
        cmocka_unit_test(a_network_learns),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

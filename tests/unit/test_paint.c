/* SPDX-License-Identifier: Apache-2.0 */
/* The painter behind the sample textures: what each attribute does to the colours, that its measure
 * reads them back, from spoilt textures too, and the mean texture of head.npz. */
#include "base/base.h"
#include "io/io.h"
#include "paint.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIZE = 128, NUMBERS = SIZE * SIZE * 3 };

static uint8_t *make(const painter *p, const float *attributes, const float *minor)
{
    uint8_t *texture = malloc(NUMBERS);
    assert_non_null(texture);
    painter_paint(p, attributes, minor, texture);
    return texture;
}

static int setup(void **state)
{
    *state = painter_create(SIZE);
    return *state ? 0 : -1;
}

static int teardown(void **state)
{
    painter_destroy(*state);
    return 0;
}

static void test_every_texel_is_written_alike(void **state)
{
    uint8_t *a = malloc(NUMBERS), *b = malloc(NUMBERS);
    assert_true(a && b);
    memset(a, 1, NUMBERS);
    memset(b, 2, NUMBERS);
    painter_paint(*state, NULL, NULL, a);
    painter_paint(*state, NULL, NULL, b);
    assert_memory_equal(a, b, NUMBERS);
    free(a);
    free(b);
}

static double difference(const uint8_t *a, const uint8_t *b)
{
    double sum = 0;
    for (int i = 0; i < NUMBERS; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sqrt(sum / NUMBERS);
}

static void test_each_attribute_changes_its_picture_more_when_stronger(void **state)
{
    uint8_t *mean = make(*state, NULL, NULL);
    for (int k = 0; k < PAINT_ATTRIBUTES; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            float some[PAINT_ATTRIBUTES] = { 0 }, more[PAINT_ATTRIBUTES] = { 0 };
            some[k] = (float)sign;
            more[k] = 2 * (float)sign;
            uint8_t *a = make(*state, some, NULL), *b = make(*state, more, NULL);
            if (!(difference(a, mean) > 0.3 && difference(b, mean) > 1.2 * difference(a, mean)))
                fail_msg("%s %+d: %g and %g", paint_attribute_names[k], sign, difference(a, mean),
                         difference(b, mean));
            free(a);
            free(b);
        }
    free(mean);
}

static void random_head(rng *r, float *attributes, float *minor)
{
    for (int k = 0; k < PAINT_ATTRIBUTES; k++)
        attributes[k] = fminf(fmaxf((float)rng_normal(r), -2.5f), 2.5f);
    for (int k = 0; k < PAINT_MINOR; k++)
        minor[k] = fminf(fmaxf((float)rng_normal(r), -2.5f), 2.5f);
}

/* Of 10 heads with random minor variations: the share of each attribute's variance that the measure
 * explains. spoil: adds smooth and fine noise that the painter cannot paint. */
static void check_measure(const painter *p, bool spoil, double least)
{
    rng r = rng_make(3, 1);
    double error[PAINT_ATTRIBUTES] = { 0 }, square[PAINT_ATTRIBUTES] = { 0 };
    for (int head = 0; head < 10; head++) {
        float attributes[PAINT_ATTRIBUTES], minor[PAINT_MINOR], read[PAINT_ATTRIBUTES];
        random_head(&r, attributes, minor);
        uint8_t *texture = make(p, attributes, minor);
        for (int i = 0; spoil && i < NUMBERS; i++) {
            int x = i / 3 % SIZE, y = i / 3 / SIZE;
            double more = 6 * sin(x / 7.0 + head) * sin(y / 9.0) + 5 * rng_normal(&r);
            texture[i] = (uint8_t)fmin(fmax(texture[i] + more, 0), 255);
        }
        assert_true(painter_measure(p, texture, read));
        for (int k = 0; k < PAINT_ATTRIBUTES; k++) {
            error[k] += (read[k] - attributes[k]) * (read[k] - attributes[k]);
            square[k] += attributes[k] * attributes[k];
        }
        free(texture);
    }
    for (int k = 0; k < PAINT_ATTRIBUTES; k++) {
        print_message("%-16s R^2 %.3f\n", paint_attribute_names[k], 1 - error[k] / square[k]);
        if (!(1 - error[k] / square[k] > least))
            fail_msg("%s: R^2 %g", paint_attribute_names[k], 1 - error[k] / square[k]);
    }
}

static void test_measure_reads_attributes_back(void **state)
{
    check_measure(*state, false, 0.75);
}

static void test_measure_looks_past_what_cannot_be_painted(void **state)
{
    check_measure(*state, true, 0.65);
}

/* A crown that is bare under what is left of the hair, and hair that has half grown over a
 * forehead, with the old hairline still to be seen. */
static void test_measure_sees_a_faded_hairline(void **state)
{
    for (int sign = -1; sign <= 1; sign += 2) {
        float attributes[PAINT_ATTRIBUTES] = { 0 }, minor[PAINT_MINOR] = { 0 };
        float read[PAINT_ATTRIBUTES];
        uint8_t *mean = make(*state, attributes, minor);
        attributes[PAINT_HAIR_COVER] = 2.0f * (float)sign;
        uint8_t *changed = make(*state, attributes, minor);
        for (int i = 0; i < NUMBERS; i++)
            changed[i] = (uint8_t)((changed[i] * 3 + mean[i]) / 4);
        assert_true(painter_measure(*state, changed, read));
        print_message("hair_cover of a faded %+d: %.2f\n", 2 * sign,
                      (double)read[PAINT_HAIR_COVER]);
        assert_true(read[PAINT_HAIR_COVER] * (float)sign > 1);
        free(mean);
        free(changed);
    }
}

static void test_mean_texture_of_the_head_is_the_painters(void **state)
{
    char *path = NULL;
    hds_error error = { 0 };
    io_npz file;
    assert_int_equal(io_data_path(&path, "head/head.npz", &error), HDS_OK);
    assert_int_equal(io_npz_open(&file, path, 0, &error), HDS_OK);
    const io_array *a = io_npz_find(&file, "mean_texture");
    assert_true(a && a->dims == 3 && a->kind == 'u' && a->itemsize == 1);
    painter *p = painter_create((int)a->shape[0]);
    uint8_t *texture = malloc(a->size);
    assert_true(p && texture);
    painter_paint(p, NULL, NULL, texture);
    /* Another processor may round a few texels the other way. */
    size_t differ = 0;
    for (size_t i = 0; i < a->size; i++)
        differ += abs(texture[i] - ((const uint8_t *)a->data)[i]) > 1;
    assert_int_equal(differ, 0);
    free(texture);
    painter_destroy(p);
    io_npz_close(&file);
    hds_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_texel_is_written_alike),
        cmocka_unit_test(test_each_attribute_changes_its_picture_more_when_stronger),
        cmocka_unit_test(test_measure_reads_attributes_back),
        cmocka_unit_test(test_measure_looks_past_what_cannot_be_painted),
        cmocka_unit_test(test_measure_sees_a_faded_hairline),
        cmocka_unit_test(test_mean_texture_of_the_head_is_the_painters),
    };
    return cmocka_run_group_tests_name("paint", tests, setup, teardown);
}

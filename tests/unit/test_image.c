/* SPDX-License-Identifier: Apache-2.0 */
/* Colour spaces, 8 bit, resizing and its adjoint, contact sheets; run in float and in double. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/image.h"

#include <math.h>

#ifdef HDS_REAL_DOUBLE
static const double tolerance = 1e-13, slope_tolerance = 1e-8;
#else
static const double tolerance = 2e-6, slope_tolerance = 2e-6;
#endif

static void check_close(double a, double b, double allowed)
{
    if (!(fabs(a - b) <= allowed))
        fail_msg("%.17g and %.17g differ by more than %.3g", a, b, allowed);
}

static void fill(uint64_t stream, real *out, size_t count)
{
    rng r = rng_make(77, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (real)rng_uniform(&r);
}

static void test_transfer_curve(void **state)
{
    /* published values: middle grey 0.5 -> 0.2140, 0.735 <- 0.5 */
    check_close(image_srgb_to_linear((real)0.5), 0.21404114048223255, tolerance);
    check_close(image_linear_to_srgb((real)0.5), 0.7353569830524495, tolerance);
    check_close(image_srgb_to_linear((real)0.04), 0.04 / 12.92, tolerance);
    check_close(image_srgb_to_linear(1), 1, tolerance);
    real before = -1;
    for (int i = -20; i <= 300; i++) {
        real srgb = (real)i / 256, linear = image_srgb_to_linear(srgb), back;
        image_to_srgb(&linear, 1, &back);
        /* the two published knees leave a gap of 2e-8 in linear light */
        check_close(back, srgb, fmax(tolerance, 1e-6));
        assert_true(linear > before);
        before = linear;
    }
}

/* The two curves again, in double, for finite differences. */
static double to_linear(double x)
{
    return x <= 0.04045 ? x / 12.92 : pow((x + 0.055) / 1.055, 2.4);
}

static double to_srgb(double x)
{
    return x <= 0.0031308 ? x * 12.92 : 1.055 * pow(x, 1 / 2.4) - 0.055;
}

static void test_transfer_adjoint(void **state)
{
    const double h = 1e-6;
    for (int i = -5; i <= 55; i++) {
        real x = (real)i / 50 + (real)0.003, d = 3, linear = 1, srgb = 1;
        double slope = (to_linear(x + h) - to_linear(x - h)) / (2 * h);
        image_to_linear_adjoint(&x, 1, &d, &srgb);
        check_close(srgb, 1 + 3 * slope, slope_tolerance * (1 + 3 * slope));
        slope = (to_srgb(x + h) - to_srgb(x - h)) / (2 * h);
        image_to_srgb_adjoint(&x, 1, &d, &linear);
        check_close(linear, 1 + 3 * slope, slope_tolerance * (1 + 3 * slope));
    }
}

static void test_bytes(void **state)
{
    uint8_t all[256], back[256];
    real levels[256];
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    image_from_u8(all, 256, levels);
    image_to_u8(levels, 256, back);
    assert_memory_equal(all, back, 256);
    const real odd[] = { -1, 2, INFINITY, -INFINITY, NAN, (real)0.5, (real)126.5 / 255 };
    const uint8_t expected[] = { 0, 255, 255, 0, 0, 128, 126 };
    image_to_u8(odd, 7, back);
    assert_memory_equal(back, expected, 7);
}

/* 2 x 4 -> 1 x 2 by area are means of four; 1 x 2 -> 1 x 4 bilinear are quarters. */
static void test_known_sizes(void **state)
{
    const real wide[] = { 0, 1, 2, 3, 4, 5, 6, 7 }, pair[] = { 0, 4 };
    const real quarters[] = { 0, 1, 3, 4 };
    real out[4];
    image_resize(wide, 2, 4, 1, 1, 2, IMAGE_AREA, out);
    check_close(out[0], 2.5, tolerance);
    check_close(out[1], 4.5, tolerance);
    image_resize(pair, 1, 2, 1, 1, 4, IMAGE_BILINEAR, out);
    for (int i = 0; i < 4; i++)
        check_close(out[i], quarters[i], 4 * tolerance);
    const real three[] = { 0, 3, 9 }; /* 3 -> 2 by area: (0 + 3/2) / 1.5, (3/2 + 9) / 1.5 */
    image_resize(three, 1, 3, 1, 1, 2, IMAGE_AREA, out);
    check_close(out[0], 1, 4 * tolerance);
    check_close(out[1], 7, 8 * tolerance);
}

static const int sizes[][4] = {
    /* height, width -> height, width */
    { 7, 5, 7, 5 }, { 7, 5, 14, 15 }, { 7, 5, 3, 2 }, { 6, 8, 3, 4 },
    { 1, 1, 5, 4 }, { 9, 4, 1, 1 },   { 5, 9, 8, 4 },
};
enum { SIZES = sizeof sizes / sizeof *sizes, CHANNELS = 3, ROOM = 15 * 15 * CHANNELS };

/* Constants stay constant, equal sizes give the picture itself, and area keeps the mean. */
static void test_resize_keeps(void **state)
{
    real in[ROOM], out[ROOM];
    for (int filter = IMAGE_BILINEAR; filter <= IMAGE_AREA; filter++)
        for (int s = 0; s < SIZES; s++) {
            const int *z = sizes[s];
            size_t n = (size_t)(z[0] * z[1] * CHANNELS), m = (size_t)(z[2] * z[3] * CHANNELS);
            for (size_t i = 0; i < n; i++)
                in[i] = (real)0.7;
            image_resize(in, z[0], z[1], CHANNELS, z[2], z[3], (image_filter)filter, out);
            for (size_t i = 0; i < m; i++)
                check_close(out[i], 0.7, tolerance);
            fill((uint64_t)s, in, n);
            image_resize(in, z[0], z[1], CHANNELS, z[2], z[3], (image_filter)filter, out);
            double before = 0, after = 0;
            for (size_t i = 0; i < n; i++)
                before += in[i] / (double)n;
            for (size_t i = 0; i < m; i++)
                after += out[i] / (double)m;
            if (filter == IMAGE_AREA)
                check_close(before, after, tolerance);
            if (z[0] == z[2] && z[1] == z[3])
                assert_memory_equal(in, out, n * sizeof *in);
        }
}

/* <R v, u> = <v, R^T u>, and a second call doubles. */
static void test_resize_adjoint(void **state)
{
    real v[ROOM], u[ROOM], out[ROOM], back[ROOM];
    for (int filter = IMAGE_BILINEAR; filter <= IMAGE_AREA; filter++)
        for (int s = 0; s < SIZES; s++) {
            const int *z = sizes[s];
            size_t n = (size_t)(z[0] * z[1] * CHANNELS), m = (size_t)(z[2] * z[3] * CHANNELS);
            double left = 0, right = 0, twice = 0;
            fill(100, v, n);
            fill(101, u, m);
            memset(back, 0, sizeof back);
            image_resize(v, z[0], z[1], CHANNELS, z[2], z[3], (image_filter)filter, out);
            image_resize_adjoint(z[0], z[1], CHANNELS, z[2], z[3], (image_filter)filter, u, back);
            for (size_t i = 0; i < m; i++)
                left += (double)out[i] * u[i];
            for (size_t i = 0; i < n; i++)
                right += (double)back[i] * v[i];
            check_close(left, right, tolerance * fabs(left));
            image_resize_adjoint(z[0], z[1], CHANNELS, z[2], z[3], (image_filter)filter, u, back);
            for (size_t i = 0; i < n; i++)
                twice += (double)back[i] * v[i];
            check_close(twice, 2 * right, 2 * tolerance * fabs(left));
        }
}

/* 4 -> 2 by hand: taps at distances (i + 1/2 - c) / 2 of the kernel with a = -1/2, those beyond the
 * edge left out and the rest divided by their sum. */
static void test_bicubic_known(void **state)
{
    const real step[] = { 0, 0, 1, 1 };
    real out[4];
    assert_true(image_bicubic(step, 1, 4, 1, 1, 2, (image_window){ 0, 0, 1, 2 }, out));
    /* k(1/4), k(3/4), k(5/4) = 111/128, 29/128, -9/128; the sum has k(1/4) twice */
    check_close(out[0], (29.0 - 9) / (111 + 111 + 29 - 9), 4 * tolerance);
    check_close(out[1], 1 - (29.0 - 9) / (111 + 111 + 29 - 9), 4 * tolerance);
    const real pulse[] = { 0, 1, 0, 0 };
    assert_true(image_bicubic(pulse, 4, 1, 1, 8, 1, (image_window){ 3, 0, 1, 1 }, out));
    check_close(out[0], 111.0 / 128, tolerance); /* from a quarter of a pixel away */
}

/* A constant stays, equal sizes give the picture itself, and a window is a part of the whole. */
static void test_bicubic_keeps(void **state)
{
    real in[ROOM], out[ROOM], part[ROOM];
    for (int s = 0; s < SIZES; s++) {
        const int *z = sizes[s];
        size_t n = (size_t)(z[0] * z[1] * CHANNELS), m = (size_t)(z[2] * z[3] * CHANNELS);
        const image_window whole = { 0, 0, z[2], z[3] };
        for (size_t i = 0; i < n; i++)
            in[i] = (real)0.7;
        assert_true(image_bicubic(in, z[0], z[1], CHANNELS, z[2], z[3], whole, out));
        for (size_t i = 0; i < m; i++)
            check_close(out[i], 0.7, tolerance);
        fill((uint64_t)s, in, n);
        assert_true(image_bicubic(in, z[0], z[1], CHANNELS, z[2], z[3], whole, out));
        if (z[0] == z[2] && z[1] == z[3])
            assert_memory_equal(in, out, n * sizeof *in);
        const image_window w = { z[2] / 2, z[3] / 3, z[2] - z[2] / 2, z[3] - z[3] / 3 };
        assert_true(image_bicubic(in, z[0], z[1], CHANNELS, z[2], z[3], w, part));
        for (int y = 0; y < w.height; y++)
            assert_memory_equal(part + y * w.width * CHANNELS,
                                out + ((w.top + y) * z[3] + w.left) * CHANNELS,
                                (size_t)(w.width * CHANNELS) * sizeof *out);
    }
}

static void test_bicubic_adjoint(void **state)
{
    real v[ROOM], u[ROOM], out[ROOM], back[ROOM];
    for (int s = 0; s < SIZES; s++) {
        const int *z = sizes[s];
        const image_window w = { z[2] / 3, z[3] / 2, z[2] - z[2] / 3, z[3] - z[3] / 2 };
        size_t n = (size_t)(z[0] * z[1] * CHANNELS), m = (size_t)(w.height * w.width * CHANNELS);
        double left = 0, right = 0, twice = 0;
        fill(102, v, n);
        fill(103, u, m);
        memset(back, 0, sizeof back);
        assert_true(image_bicubic(v, z[0], z[1], CHANNELS, z[2], z[3], w, out));
        assert_true(image_bicubic_adjoint(z[0], z[1], CHANNELS, z[2], z[3], w, u, back));
        for (size_t i = 0; i < m; i++)
            left += (double)out[i] * u[i];
        for (size_t i = 0; i < n; i++)
            right += (double)back[i] * v[i];
        check_close(left, right, tolerance * fabs(left));
        assert_true(image_bicubic_adjoint(z[0], z[1], CHANNELS, z[2], z[3], w, u, back));
        for (size_t i = 0; i < n; i++)
            twice += (double)back[i] * v[i];
        check_close(twice, 2 * right, 2 * tolerance * fabs(left));
    }
}

static void test_tile(void **state)
{
    const uint8_t a[] = { 1, 2, 3, 4 }, b[] = { 5, 6, 7, 8 }, c[] = { 9, 10, 11, 12 };
    const uint8_t *pictures[] = { a, b, c };
    const uint8_t expected[] = { 1, 2, 5, 6, 3, 4, 7, 8, 9, 10, 0xee, 0xee, 11, 12, 0xee, 0xee };
    uint8_t sheet[16];
    image_tile(pictures, 3, 2, 2, 1, 2, 0xee, sheet);
    assert_memory_equal(sheet, expected, 16);
    image_tile(pictures, 3, 2, 1, 2, 2, 0xee, sheet); /* the same bytes as two channels */
    assert_memory_equal(sheet, expected, 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_transfer_curve),  cmocka_unit_test(test_transfer_adjoint),
        cmocka_unit_test(test_bytes),           cmocka_unit_test(test_known_sizes),
        cmocka_unit_test(test_resize_keeps),    cmocka_unit_test(test_resize_adjoint),
        cmocka_unit_test(test_bicubic_known),   cmocka_unit_test(test_bicubic_keeps),
        cmocka_unit_test(test_bicubic_adjoint), cmocka_unit_test(test_tile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

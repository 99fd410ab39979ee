/* SPDX-License-Identifier: Apache-2.0 */
/* Gutters: each pixel that is not covered has the colour of the nearest that is, against a search
 * through all of them; on any number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/image.h"

enum { MOST = 40 * 70, CHANNELS = 2 };

/* Each pixel its own colour, so that the colour says where it is from. */
static void number_pixels(real *image, int pixels)
{
    for (int i = 0; i < pixels; i++)
        for (int c = 0; c < CHANNELS; c++)
            image[CHANNELS * i + c] = (real)(CHANNELS * i + c);
}

/* The nearest; at equal distance the leftmost, then the upper. -1: nothing is covered. */
static int search(const uint8_t *covered, int height, int width, int at)
{
    int best = -1, least = 0;
    for (int x = 0; x < width; x++)
        for (int y = 0; y < height; y++) {
            int dx = x - at % width, dy = y - at / width, square = dx * dx + dy * dy;
            if (covered[y * width + x] && (best < 0 || square < least)) {
                best = y * width + x;
                least = square;
            }
        }
    return best;
}

static void check(const uint8_t *covered, int height, int width)
{
    static real image[CHANNELS * MOST];
    int pixels = height * width;
    assert_true(pixels <= MOST);
    number_pixels(image, pixels);
    assert_true(image_fill_gutters(covered, height, width, CHANNELS, image));
    for (int i = 0; i < pixels; i++) {
        int from = covered[i] ? i : search(covered, height, width, i);
        for (int c = 0; c < CHANNELS; c++)
            if (image[CHANNELS * i + c] != (real)(CHANNELS * (from < 0 ? i : from) + c))
                fail_msg("%d x %d, pixel %d: %g, expected that of %d", height, width, i,
                         (double)image[CHANNELS * i], from);
    }
}

static void test_nearest(void **state)
{
    static const int sizes[][2] = { { 1, 1 },  { 1, 70 },  { 70, 1 }, { 2, 3 },
                                    { 7, 64 }, { 33, 20 }, { 40, 70 } };
    static const double shares[] = { 0.5, 0.1, 0.02, 0.003 };
    rng r = rng_make(6, 0);
    uint8_t covered[MOST];
    for (size_t size = 0; size < sizeof sizes / sizeof *sizes; size++)
        for (int share = 0; share < 4; share++) {
            int height = sizes[size][0], width = sizes[size][1];
            for (int i = 0; i < height * width; i++)
                covered[i] = rng_uniform(&r) < shares[share];
            check(covered, height, width);
            for (int i = 0; i < height * width; i++) /* whole columns without any */
                covered[i] = covered[i] && i % width % 5 == 0;
            check(covered, height, width);
        }
}

static void test_all_or_nothing(void **state)
{
    uint8_t covered[MOST];
    memset(covered, 0, sizeof covered);
    check(covered, 40, 70);
    covered[MOST - 1] = 200; /* anything but 0 is covered */
    check(covered, 40, 70);
    memset(covered, 1, sizeof covered);
    check(covered, 40, 70);
}

static void test_threads(void **state)
{
    static real one[CHANNELS * MOST], many[CHANNELS * MOST];
    rng r = rng_make(6, 1);
    uint8_t covered[MOST];
    for (int i = 0; i < MOST; i++)
        covered[i] = rng_uniform(&r) < 0.05;
    for (int threads = 1; threads < 5; threads++) {
        number_pixels(threads == 1 ? one : many, MOST);
        threads_set_count(threads);
        assert_true(image_fill_gutters(covered, 40, 70, CHANNELS, threads == 1 ? one : many));
        if (threads > 1)
            assert_memory_equal(one, many, sizeof one);
    }
    threads_set_count(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_all_or_nothing),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

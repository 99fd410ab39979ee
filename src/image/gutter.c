/* SPDX-License-Identifier: Apache-2.0 */
/* Fills what is not covered from the nearest covered pixel, exactly and in linear time.
 *
 *   source(x,y) = argmin over covered (i,k) of (x - i)^2 + (y - k)^2
 *
 * Meijster, Roerdink, Hesselink, "A general algorithm for computing distance transforms in linear
 * time", 2000: first along columns, then along rows, where the nearest columns are found as the
 * lower envelope of the parabolas (x - i)^2 + g(i)^2. Here the argument is kept, not the
 * distance. */
#include "image/image.h"

#include <assert.h>
#include <string.h>

typedef struct job {
    const uint8_t *covered;
    int height, width;
    size_t channels;
    int32_t *nearest;  /* (H,W) row of the nearest covered pixel in the same column; -1: none */
    int32_t *envelope; /* (H,2,W) scratch of a row: columns, and where each begins to be nearest */
    real *image;
} job;

/* Down, then up; rows in turn, as each reads the one before. */
static void find_rows(const job *j)
{
    for (int y = 0; y < j->height; y++) {
        int32_t *row = j->nearest + (size_t)y * (size_t)j->width;
        for (int x = 0; x < j->width; x++)
            row[x] = j->covered[(size_t)y * (size_t)j->width + (size_t)x] ? y
                     : y > 0                                              ? row[x - j->width]
                                                                          : -1;
    }
    for (int y = j->height - 2; y >= 0; y--) {
        int32_t *row = j->nearest + (size_t)y * (size_t)j->width;
        for (int x = 0; x < j->width; x++) {
            int32_t below = row[x + j->width];
            if (below >= 0 && (row[x] < 0 || below - y < y - row[x]))
                row[x] = below;
        }
    }
}

static int64_t squared(int64_t a)
{
    return a * a;
}

/* The first x at which column b > a is nearer than column a: x > (b^2 - a^2 + gb^2 - ga^2) /
 * (2 (b - a)), rounded down. */
static int64_t takes_over(int64_t a, int64_t ga, int64_t b, int64_t gb)
{
    int64_t twice = squared(b) - squared(a) + squared(gb) - squared(ga), step = 2 * (b - a);
    return (twice >= 0 ? twice / step : -((-twice + step - 1) / step)) + 1;
}

static void fill_row(void *context, size_t y)
{
    const job *j = context;
    size_t width = (size_t)j->width;
    const int32_t *nearest = j->nearest + y * width;
    int32_t *columns = j->envelope + 2 * y * width, *begins = columns + width;
    int last = -1;
    for (int x = 0; x < j->width; x++) {
        if (nearest[x] < 0)
            continue;
        int64_t begin = 0;
        for (; last >= 0; last--) {
            int a = columns[last];
            begin = takes_over(a, nearest[a] - (int64_t)y, x, nearest[x] - (int64_t)y);
            if (begin > begins[last])
                break;
        }
        begin = last < 0 ? 0 : begin;
        if (begin >= j->width)
            continue;
        columns[++last] = x;
        begins[last] = (int32_t)begin;
    }
    for (int x = j->width - 1; x >= 0 && last >= 0; x--) {
        size_t at = y * width + (size_t)x;
        while (begins[last] > x)
            last--;
        size_t from = (size_t)nearest[columns[last]] * width + (size_t)columns[last];
        if (!j->covered[at])
            memcpy(j->image + at * j->channels, j->image + from * j->channels,
                   j->channels * sizeof *j->image);
    }
}

bool image_fill_gutters(const uint8_t *covered, int height, int width, int channels, real *image)
{
    assert(height > 0 && width > 0 && channels > 0);
    size_t pixels = (size_t)height * (size_t)width;
    job j = { .covered = covered,
              .height = height,
              .width = width,
              .channels = (size_t)channels,
              .image = image };
    j.nearest = hds_alloc(pixels, sizeof *j.nearest);
    j.envelope = hds_alloc(pixels, 2 * sizeof *j.envelope);
    bool enough = j.nearest && j.envelope;
    if (enough) {
        find_rows(&j);
        threads_parallel((size_t)height, fill_row, &j);
    }
    hds_free(j.nearest);
    hds_free(j.envelope);
    return enough;
}

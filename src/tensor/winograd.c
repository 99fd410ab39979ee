/* SPDX-License-Identifier: Apache-2.0 */
/* With d a tile's 6x6 pixels and g a kernel, y = A^T ((G g G^T) * (B^T d B)) A, where the product
 * in the middle, summed over the input channels, is 36 products of matrices. Everything here goes
 * over many tiles, or channels, side by side. */
#include "winograd.h"

#include "lanes.h"

#include <string.h>

enum { TILE = WINOGRAD_TILE, SIDE = 6, GROUP = 32 }; /* GROUP: tiles, or channels, at a time */
enum { COLUMNS = TILE * GROUP + 2 };

size_t winograd_across(const winograd_job *j)
{
    return (j->width + TILE - 1) / TILE;
}

static size_t tiles_down(const winograd_job *j)
{
    return (j->height + TILE - 1) / TILE;
}

size_t winograd_rows(const winograd_job *j)
{
    return j->batch * tiles_down(j);
}

/* One row of G g, for `count` kernels side by side. */
INLINE void expand(const float *g0, const float *g1, const float *g2, size_t count,
                   float *out[SIDE])
{
    for (size_t i = 0; i < count; i++) {
        float even = g0[i] + g2[i], wide = g0[i] + 4 * g2[i];
        out[0][i] = g0[i] / 4;
        out[1][i] = (even + g1[i]) * (-1.0f / 6);
        out[2][i] = (even - g1[i]) * (-1.0f / 6);
        out[3][i] = (wide + 2 * g1[i]) * (1.0f / 24);
        out[4][i] = (wide - 2 * g1[i]) * (1.0f / 24);
        out[5][i] = g2[i];
    }
}

/* One row of B^T d, for `count` tiles side by side. */
INLINE void spread(const float *const d[SIDE], size_t count, float *out[SIDE])
{
    for (size_t i = 0; i < count; i++) {
        float even = d[4][i] - 4 * d[2][i], odd = d[3][i] - 4 * d[1][i];
        float far = d[4][i] - d[2][i], step = 2 * (d[3][i] - d[1][i]);
        out[0][i] = 4 * d[0][i] - 5 * d[2][i] + d[4][i];
        out[1][i] = even + odd;
        out[2][i] = even - odd;
        out[3][i] = far + step;
        out[4][i] = far - step;
        out[5][i] = 4 * d[1][i] - 5 * d[3][i] + d[5][i];
    }
}

/* One row of A^T m, for `count` tiles side by side. */
INLINE void join(const float *const m[SIDE], size_t count, float *out[TILE])
{
    for (size_t i = 0; i < count; i++) {
        float near = m[1][i] + m[2][i], slope = m[1][i] - m[2][i];
        float far = m[3][i] + m[4][i], steep = m[3][i] - m[4][i];
        out[0][i] = m[0][i] + near + far;
        out[1][i] = slope + 2 * steep;
        out[2][i] = near + 4 * far;
        out[3][i] = slope + 8 * steep + m[5][i];
    }
}

SIMD_VARIANTS(void, winograd_kernels, (const winograd_job *j, size_t channel), (j, channel))
{
    const float *w = j->w + channel * j->in * 9;
    float g[9][GROUP], half[SIDE][3][GROUP];
    for (size_t from = 0; from < j->in; from += GROUP) {
        size_t count = j->in - from < GROUP ? j->in - from : GROUP;
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < 9; k++)
                g[k][i] = w[9 * (from + i) + k];
        for (size_t x = 0; x < 3; x++) {
            float *out[SIDE];
            for (size_t p = 0; p < SIDE; p++)
                out[p] = half[p][x];
            expand(g[x], g[3 + x], g[6 + x], count, out);
        }
        for (size_t p = 0; p < SIDE; p++) {
            float *out[SIDE];
            for (size_t q = 0; q < SIDE; q++)
                out[q] = j->kernels + ((SIDE * p + q) * j->out + channel) * j->in + from;
            expand(half[p][0], half[p][1], half[p][2], count, out);
        }
    }
}

/* `count` columns from `left` on of row y of a picture; zeros outside of it. */
INLINE void read_row(const winograd_job *j, const float *picture, ptrdiff_t y, ptrdiff_t left,
                     size_t count, float *out)
{
    ptrdiff_t width = (ptrdiff_t)j->width, end = left + (ptrdiff_t)count;
    ptrdiff_t from = left > 0 ? left : 0, to = end < width ? end : width;
    if (y < 0 || y >= (ptrdiff_t)j->height || from >= to) {
        memset(out, 0, count * sizeof *out);
        return;
    }
    memset(out, 0, (size_t)(from - left) * sizeof *out);
    memcpy(out + (from - left), picture + y * width + from, (size_t)(to - from) * sizeof *out);
    memset(out + (to - left), 0, (size_t)(end - to) * sizeof *out);
}

/* Tiles [first, first + count) of row `row`, whose places are `at` and on in a matrix of `all`. */
INLINE void make_tiles(const winograd_job *j, size_t channel, size_t row, size_t first,
                       size_t count, size_t at, size_t all)
{
    const size_t down = tiles_down(j), columns = TILE * count + 2;
    const float *picture = j->x + (row / down * j->in + channel) * j->height * j->width;
    const ptrdiff_t top = (ptrdiff_t)(row % down * TILE) - 1, left = (ptrdiff_t)(first * TILE) - 1;
    float d[SIDE][COLUMNS], t[SIDE][COLUMNS], phase[TILE][GROUP + 1];
    const float *rows[SIDE];
    float *half[SIDE];
    for (size_t p = 0; p < SIDE; p++) {
        read_row(j, picture, top + (ptrdiff_t)p, left, columns, d[p]);
        rows[p] = d[p];
        half[p] = t[p];
    }
    spread(rows, columns, half);
    const float *const turn[SIDE] = { phase[0], phase[1],     phase[2],
                                      phase[3], phase[0] + 1, phase[1] + 1 };
    for (size_t p = 0; p < SIDE; p++) {
        float *out[SIDE];
        for (size_t q = 0; q < SIDE; q++)
            out[q] = j->tiles + ((SIDE * p + q) * j->in + channel) * all + at;
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < TILE; k++)
                phase[k][i] = t[p][TILE * i + k];
        phase[0][count] = t[p][TILE * count];
        phase[1][count] = t[p][TILE * count + 1];
        spread(turn, count, out);
    }
}

INLINE void make_pixels(const winograd_job *j, size_t channel, size_t row, size_t first,
                        size_t count, size_t at, size_t all)
{
    const size_t down = tiles_down(j), top = row % down * TILE, left = first * TILE;
    const size_t height = j->height - top < TILE ? j->height - top : TILE;
    const size_t width = j->width - left < TILE * count ? j->width - left : TILE * count;
    float *picture = j->y + (row / down * j->out + channel) * j->height * j->width;
    const float bias = j->bias ? j->bias[channel] : 0;
    float half[TILE][SIDE][GROUP], phase[TILE][GROUP], pixels[TILE * GROUP];
    for (size_t q = 0; q < SIDE; q++) {
        const float *m[SIDE];
        float *out[TILE];
        for (size_t p = 0; p < SIDE; p++)
            m[p] = j->products + ((SIDE * p + q) * j->out + channel) * all + at;
        for (size_t y = 0; y < TILE; y++)
            out[y] = half[y][q];
        join(m, count, out);
    }
    for (size_t y = 0; y < height; y++) {
        const float *const m[SIDE] = { half[y][0], half[y][1], half[y][2],
                                       half[y][3], half[y][4], half[y][5] };
        float *out[TILE] = { phase[0], phase[1], phase[2], phase[3] };
        join(m, count, out);
        for (size_t i = 0; i < count; i++)
            for (size_t k = 0; k < TILE; k++)
                pixels[TILE * i + k] = phase[k][i] + bias;
        memcpy(picture + (top + y) * j->width + left, pixels, width * sizeof *pixels);
    }
}

INLINE void each_group(const winograd_job *j, size_t channel, int pixels)
{
    const size_t across = winograd_across(j), all = j->rows * across;
    for (size_t r = 0; r < j->rows; r++)
        for (size_t first = 0; first < across; first += GROUP) {
            size_t count = across - first < GROUP ? across - first : GROUP;
            if (pixels)
                make_pixels(j, channel, j->row + r, first, count, r * across + first, all);
            else
                make_tiles(j, channel, j->row + r, first, count, r * across + first, all);
        }
}

SIMD_VARIANTS(void, winograd_tiles, (const winograd_job *j, size_t channel), (j, channel))
{
    each_group(j, channel, 0);
}

SIMD_VARIANTS(void, winograd_pixels, (const winograd_job *j, size_t channel), (j, channel))
{
    each_group(j, channel, 1);
}

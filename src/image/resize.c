/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing of pictures, separable and linear: out[y,x] = sum over j,i of v[y,j] h[x,i] image[j,i].
 *
 * Bilinear: v, h = max(0, 1 - |i + 1/2 - c|), c = (x + 1/2) W / W', the edge pixel beyond the edge.
 * Area: overlap of [i, i+1] with [x, x+1] W / W', divided by W / W'. Rows of v and h sum to 1. */
#include "image/image.h"

#include <assert.h>

/* The input pixels [first, first + count) of one output pixel, along one axis. */
typedef struct span {
    int first, count;
    real low, high; /* area: what it covers; bilinear: weight of the second pixel in high */
} span;

static span find_span(image_filter filter, int size, int out_size, int at)
{
    /* whole numbers first, so that equal sizes give exact weights */
    if (filter == IMAGE_AREA) {
        span s = { .low = (real)((double)at * size / out_size),
                   .high = (real)((double)(at + 1) * size / out_size) };
        s.first = (int)((int64_t)at * size / out_size);
        s.count = (int)(((int64_t)(at + 1) * size + out_size - 1) / out_size) - s.first;
        return s;
    }
    int64_t doubled = (int64_t)(2 * at + 1) * size - out_size; /* (c - 1/2) * 2 out_size */
    if (doubled <= 0)
        return (span){ .first = 0, .count = 1 };
    int first = (int)(doubled / (2 * (int64_t)out_size));
    if (first >= size - 1)
        return (span){ .first = size - 1, .count = 1 };
    int64_t rest = doubled - (int64_t)first * 2 * out_size;
    return (span){ .first = first, .count = 2, .high = (real)((double)rest / (2.0 * out_size)) };
}

static real weight(image_filter filter, const span *s, int k)
{
    if (filter == IMAGE_BILINEAR)
        return k ? s->high : 1 - s->high;
    real begin = (real)(s->first + k), end = begin + 1;
    real low = begin > s->low ? begin : s->low, high = end < s->high ? end : s->high;
    real overlap = high - low > 0 ? high - low : 0;
    return overlap / (s->high - s->low);
}

void image_resize(const real *image, int height, int width, int channels, int out_height,
                  int out_width, image_filter filter, real *out)
{
    assert(height > 0 && width > 0 && channels > 0 && out_height > 0 && out_width > 0);
    for (int y = 0; y < out_height; y++) {
        span v = find_span(filter, height, out_height, y);
        for (int x = 0; x < out_width; x++) {
            span h = find_span(filter, width, out_width, x);
            real *pixel = out + ((size_t)y * (size_t)out_width + (size_t)x) * (size_t)channels;
            for (int c = 0; c < channels; c++)
                pixel[c] = 0;
            for (int j = 0; j < v.count; j++)
                for (int i = 0; i < h.count; i++) {
                    real w = weight(filter, &v, j) * weight(filter, &h, i);
                    const real *in =
                        image + ((size_t)(v.first + j) * (size_t)width + (size_t)(h.first + i)) *
                                    (size_t)channels;
                    for (int c = 0; c < channels; c++)
                        pixel[c] += w * in[c];
                }
        }
    }
}

void image_resize_adjoint(int height, int width, int channels, int out_height, int out_width,
                          image_filter filter, const real *dout, real *dimage)
{
    assert(height > 0 && width > 0 && channels > 0 && out_height > 0 && out_width > 0);
    for (int y = 0; y < out_height; y++) {
        span v = find_span(filter, height, out_height, y);
        for (int x = 0; x < out_width; x++) {
            span h = find_span(filter, width, out_width, x);
            const real *dpixel =
                dout + ((size_t)y * (size_t)out_width + (size_t)x) * (size_t)channels;
            for (int j = 0; j < v.count; j++)
                for (int i = 0; i < h.count; i++) {
                    real w = weight(filter, &v, j) * weight(filter, &h, i);
                    real *din =
                        dimage + ((size_t)(v.first + j) * (size_t)width + (size_t)(h.first + i)) *
                                     (size_t)channels;
                    for (int c = 0; c < channels; c++)
                        din[c] += w * dpixel[c];
                }
        }
    }
}

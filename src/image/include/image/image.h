/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures as arrays of reals: colour spaces, 8 bit, resizing with its adjoint, contact sheets.
 *
 * A picture is (H,W,C), row 0 at the top. sRGB transfer curve: IEC 61966-2-1. */
#ifndef HDS_IMAGE_H
#define HDS_IMAGE_H

#include "base/base.h"

/* ---- colour.c ---- */

/* The transfer curve and its inverse; outside of [0,1] their last pieces go on. */
real image_srgb_to_linear(real srgb);
real image_linear_to_srgb(real linear);
/* The same for arrays of `count`; in and out may be the same. */
void image_to_linear(const real *srgb, size_t count, real *linear);
void image_to_srgb(const real *linear, size_t count, real *srgb);
/* += dsrgb, from dlinear at srgb; and the other way. */
void image_to_linear_adjoint(const real *srgb, size_t count, const real *dlinear, real *dsrgb);
void image_to_srgb_adjoint(const real *linear, size_t count, const real *dsrgb, real *dlinear);

/* [0,1] -> 0..255: clamped, rounded half to even; what is not a number becomes 0. */
void image_to_u8(const real *in, size_t count, uint8_t *out);
void image_from_u8(const uint8_t *in, size_t count, real *out);

/* ---- resize.c ---- */

typedef enum image_filter {
    IMAGE_BILINEAR, /* at pixel centres, edges repeated; for enlarging */
    IMAGE_AREA      /* mean over the area that an output pixel covers; for reducing */
} image_filter;

/* image (height, width, channels) -> out (out_height, out_width, channels). */
void image_resize(const real *image, int height, int width, int channels, int out_height,
                  int out_width, image_filter filter, real *out);
/* dout (out_height, out_width, channels) -> += dimage (height, width, channels). */
void image_resize_adjoint(int height, int width, int channels, int out_height, int out_width,
                          image_filter filter, const real *dout, real *dimage);

/* ---- bicubic.c ---- */

/* The part of a resized picture that is wanted. */
typedef struct image_window {
    int top, left, height, width;
} image_window;

/* image (height, width, channels), resized to (out_height, out_width) by antialiased cubic
 * convolution; of that the window -> out (window height, width, channels). false: no memory. */
bool image_bicubic(const real *image, int height, int width, int channels, int out_height,
                   int out_width, image_window window, real *out);
/* dout (window height, width, channels) -> += dimage (height, width, channels). */
bool image_bicubic_adjoint(int height, int width, int channels, int out_height, int out_width,
                           image_window window, const real *dout, real *dimage);

/* ---- gutter.c ---- */

/* Each pixel of image (height, width, channels) that is not covered (height, width) takes the
 * colour of the nearest that is; of equally near ones the leftmost, of those the upper. So a
 * texture can be averaged into mip levels without what lay between its charts. Without any covered
 * pixel nothing changes. false: no memory, nothing changed. */
bool image_fill_gutters(const uint8_t *covered, int height, int width, int channels, real *image);

/* ---- tile.c ---- */

/* Pictures (count) of (height, width, channels) side by side, `columns` a row, into sheet
 * (ceil(count / columns) * height, columns * width, channels); empty places get `background`. */
void image_tile(const uint8_t *const *pictures, size_t count, int height, int width, int channels,
                int columns, uint8_t background, uint8_t *sheet);

#endif

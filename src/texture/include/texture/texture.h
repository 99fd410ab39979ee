/* SPDX-License-Identifier: Apache-2.0 */
/* Textures as what an optimizer changes: a vector x of floats, and how it becomes texels.
 *
 *   texels (height,width,3) = make(x), sRGB in [0,1], row 0 at v = 1 */
#ifndef HDS_TEXTURE_H
#define HDS_TEXTURE_H

#include "base/base.h"

typedef struct texture texture;

/* A representation: one file, and a choice in the table of options. */
typedef struct texture_ops {
    const char *name;
    float low, high;                        /* bounds of x */
    size_t (*count)(int width, int height); /* of x */
    /* x of a texture that looks like `start` (height,width,3) */
    HDS_NODISCARD hds_status (*init)(texture *t, const float *start, float *x, hds_error *error);
    void (*make)(const texture *t, const float *x, float *texels);
    /* dtexels -> += dx */
    void (*make_adjoint)(const texture *t, const float *x, const float *dtexels, float *dx);
    void (*finish)(texture *t); /* or NULL */
} texture_ops;

struct texture {
    const texture_ops *ops; /* NULL: none, the model has no UV layout */
    int width, height;
    void *state; /* of the representation */
};

extern const texture_ops texture_texels; /* x is the texels */

/* gradient (height,width,3) of views -> its sum over the levels of a pyramid, in place. With P_s
 * the mean over s x s blocks and U_s the bilinear enlargement, g' = sum_s U_s P_s g over s = 1, 2,
 * 4, ... This is what gradient descent on the sum of a pyramid's levels does; the noise of single
 * texels averages out where the views agree on a region. False: out of memory. */
HDS_NODISCARD bool texture_pyramid(int width, int height, arena *scratch, float *gradient);

#endif

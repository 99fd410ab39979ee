/* SPDX-License-Identifier: Apache-2.0 */
/* Free texels: make(x) = x. */
#include "texture/texture.h"

#include <string.h>

static size_t count(int width, int height)
{
    return 3 * (size_t)width * (size_t)height;
}

static hds_status init(texture *t, const float *start, float *x, hds_error *error)
{
    memcpy(x, start, count(t->width, t->height) * sizeof *x);
    return HDS_OK;
}

static void make(const texture *t, const float *x, float *texels)
{
    memcpy(texels, x, count(t->width, t->height) * sizeof *x);
}

static void make_adjoint(const texture *t, const float *x, const float *dtexels, float *dx)
{
    for (size_t i = 0; i < count(t->width, t->height); i++)
        dx[i] += dtexels[i];
}

const texture_ops texture_texels = { .name = "texels",
                                     .low = 0,
                                     .high = 1,
                                     .count = count,
                                     .init = init,
                                     .make = make,
                                     .make_adjoint = make_adjoint };

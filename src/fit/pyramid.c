/* SPDX-License-Identifier: Apache-2.0 */
/* The pyramid as a preconditioner of what views say of a texture. */
#include "fit/fit.h"

static hds_status apply(const fit_preconditioner *p, fit_stage *s, bool map, float *gradient,
                        hds_error *error)
{
    const texture *t = &s->subject->texture;
    if (map || s->variable->count != fit_subject_texel_count(s->subject))
        return HDS_OK; /* a gradient of the map is smooth already; other variables have no texels */
    return texture_pyramid(t->width, t->height, &s->subject->scratch, gradient)
               ? HDS_OK
               : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
}

const fit_preconditioner_ops fit_pyramid = { .name = "pyramid", .apply = apply };

/* SPDX-License-Identifier: Apache-2.0 */
/* One head: coefficients of a head model, a texture, and where they came from.
 *
 * A head is changed only by its creator before it is shared; afterwards it is immutable and may be
 * shared between threads. */
#ifndef HEADSDS_HEAD_H
#define HEADSDS_HEAD_H

#include "headsds/head_model.h"
#include "headsds/option.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_head hds_head;

/* One step of a generation. */
typedef struct hds_history {
    char stage[HDS_NAME];   /* the name of its stage: "geometry" */
    int step;               /* from 0 within the stage */
    float timestep;         /* mean diffusion timestep of the step's views, [0, 999] */
    float gradient_norm;    /* L2 norm of what the optimizer was given: after gradient_clip,
                               regularisers and preconditioner */
    float coefficient_norm; /* root mean square of the shape coefficients where the stage changes
                               those, else of the change of the texture since the start */
    float residual;         /* root mean square of the guides' weighted residuals on the latents,
                               (1 - abar) (eps_hat - eps) for SDS */
} hds_history;

typedef struct hds_head_params {
    hds_head_model *model; /* a reference is taken */
    const char *prompt;    /* NULL: "" */
    hds_coefficients coefficients;
    const float *offsets;   /* (V,3) metres at rest, added to the template: a sculpt; or NULL */
    const uint8_t *texture; /* (texture_height, texture_width, 3) sRGB, row 0 is v = 1;
                               NULL: the model's mean texture, if it has one */
    size_t texture_width, texture_height;
    const hds_history *history;
    size_t history_count;
    const char *record; /* JSON: how the head was made, every option included; NULL: not known */
} hds_head_params;
HDS_API HDS_NODISCARD hds_status hds_head_create(hds_head **head, const hds_head_params *params,
                                                 hds_error *error);
HDS_API hds_head *hds_head_ref(hds_head *head);
HDS_API void hds_head_unref(hds_head *head);

/* Borrowed: as long as the head. All counts are the model's own. */
typedef struct hds_head_info {
    hds_head_model *model;
    const char *prompt;
    const float *shape, *expression, *pose; /* (S), (E), (J,3) */
    const float *offsets;                   /* (V,3) or NULL */
    const uint8_t *texture;                 /* or NULL */
    size_t texture_width, texture_height;
    const hds_history *history;
    size_t history_count;
    const char *record; /* JSON, or NULL */
} hds_head_info;
HDS_API void hds_head_get_info(const hds_head *head, hds_head_info *info);
/* (V,3) metres, as hds_head_model_vertices gives them, with the offsets. */
HDS_API HDS_NODISCARD hds_status hds_head_vertices(const hds_head *head, float *vertices,
                                                   hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

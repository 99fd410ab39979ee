/* SPDX-License-Identifier: Apache-2.0 */
/* One head: coefficients of a head model, a texture, and where they came from.
 *
 * A head is changed only by its creator before it is shared; afterwards it is immutable and may be
 * shared between threads. */
#ifndef HEADSDS_HEAD_H
#define HEADSDS_HEAD_H

#include "headsds/head_model.h"

typedef struct hds_head hds_head;

/* One line of the log of a generation. */
typedef struct hds_history {
    int stage;              /* 0 geometry, 1 texture */
    int step;               /* from 0 within the stage */
    float timestep;         /* mean diffusion timestep of the step's views, [0, 999] */
    float gradient_norm;    /* of what is optimised, before clipping */
    float coefficient_norm; /* root mean square of the shape coefficients (geometry) or of the
                               change from the starting texture (texture) */
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
} hds_head_info;
HDS_API void hds_head_get_info(const hds_head *head, hds_head_info *info);
/* (V,3) metres, as hds_head_model_vertices gives them, with the offsets. */
HDS_API HDS_NODISCARD hds_status hds_head_vertices(const hds_head *head, float *vertices,
                                                   hds_error *error);

/* A picture for people: textured (or grey) under a key light, antialiased. */
typedef enum hds_render_mode {
    HDS_RENDER_TEXTURED,
    HDS_RENDER_GREY,
    HDS_RENDER_NORMALS
} hds_render_mode;
typedef struct hds_render_params {
    float azimuth, elevation; /* degrees; positive azimuth sees the head's own left side */
    int size;                 /* square picture, 0: 512; at most 4096 */
    hds_render_mode mode;
} hds_render_params;
/* pixels: (size, size, 3) sRGB, row 0 at the top. */
HDS_API HDS_NODISCARD hds_status hds_head_render(const hds_head *head,
                                                 const hds_render_params *params, uint8_t *pixels,
                                                 hds_error *error);

/* By the ending: .glb and .gltf (mesh, expressions as morph targets, texture), .obj (with .mtl and
 * .png), .headsds (everything, exact). Replaces the file only when all is written. */
HDS_API HDS_NODISCARD hds_status hds_head_save(const hds_head *head, const char *path,
                                               hds_error *error);
/* Reads a .headsds file. model: NULL loads the model that the file names. */
HDS_API HDS_NODISCARD hds_status hds_head_load(hds_head **head, const char *path,
                                               hds_head_model *model, hds_error *error);

#endif

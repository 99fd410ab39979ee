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

/* Where a picture is taken from: a camera that looks at the middle of the model's template. */
typedef struct hds_camera {
    float azimuth;   /* degrees; positive sees the head's own left side */
    float elevation; /* degrees, -90 to 90; positive looks down on the head */
    float distance;  /* metres from that middle; 0: the nearest that has all of the template in the
                        frame at every azimuth */
    float fov;       /* degrees from bottom to top, 1 to 150; 0: 20 */
} hds_camera;

/* Fills `count` cameras with draws from the ranges that a published system takes its views from:
 * "faceg2e-geometry", "faceg2e-texture", "faceg2e-edit-geometry",
 * "faceg2e-edit-texture" (Wu et al. 2024, and its code), "anihead" (distance and field of view are
 * not given there: the head is framed). Equal seeds, equal cameras. HDS_ERROR_ARGUMENT lists the
 * names for another. */
HDS_API HDS_NODISCARD hds_status hds_cameras_draw(const char *name, uint64_t seed, size_t count,
                                                  hds_camera *cameras, hds_error *error);

typedef enum hds_render_mode {
    HDS_RENDER_TEXTURED,        /* for people: the texture under a key light */
    HDS_RENDER_GREY,            /* the same without texture */
    HDS_RENDER_NORMALS,         /* object space, * 0.5 + 0.5 */
    HDS_RENDER_CAMERA_NORMALS,  /* camera space: x right, y up, z toward the camera */
    HDS_RENDER_CONTROL_NORMALS, /* for ControlNets: camera space, x left, behind it (.5,.5,1) */
    HDS_RENDER_DEPTH,           /* for ControlNets, after MiDaS: nearer is brighter, from 0.5 at the
                                   farthest to 1 at the nearest, always on black */
    HDS_RENDER_PARTS,           /* each part of the model in a colour of its own, blended at its
                                   borders, black behind it */
    HDS_RENDER_MODES
} hds_render_mode;
typedef struct hds_render_params {
    const hds_camera *cameras; /* a picture each; NULL: one from the front */
    size_t camera_count;
    int size; /* square pictures, 0: 512; at most 4096 */
    hds_render_mode mode;
    /* (9) spherical-harmonics light fixed to the head, as hds_light_preset gives; NULL: a key and a
       fill that follow the camera's azimuth. Textured and grey pictures only. */
    const float *light;
    const float *background;           /* (3) sRGB in [0,1]; NULL: mid-grey or as the mode says */
    const uint8_t *background_picture; /* (size, size, 3) sRGB, instead of a colour; or NULL */
} hds_render_params;
/* Light from one of a few presets, 0 <= preset < hds_light_presets(): coefficients of irradiance /
 * pi, l rising from 0 to 2, within it m from -l to l, in object space. Ramamoorthi, Hanrahan 2001. */
HDS_API int hds_light_presets(void);
HDS_API HDS_NODISCARD hds_status hds_light_preset(int preset, float light[9], hds_error *error);

/* pixels: (camera_count, size, size, 3) sRGB, row 0 at the top. */
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

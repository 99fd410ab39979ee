/* SPDX-License-Identifier: Apache-2.0 */
/* Images of a head. */
#ifndef HEADSDS_RENDER_H
#define HEADSDS_RENDER_H

#include "headsds/head.h"
#include "headsds/view.h"

#ifdef __cplusplus
extern "C" {
#endif

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
/* pixels: (camera_count, size, size, 3) sRGB, row 0 at the top. */
HDS_API HDS_NODISCARD hds_status hds_head_render(const hds_head *head,
                                                 const hds_render_params *params, uint8_t *pixels,
                                                 hds_error *error);
/* pixels (height, width, 3) sRGB, row 0 at the top; written beside `path` and renamed. */
HDS_API HDS_NODISCARD hds_status hds_write_png(const char *path, const uint8_t *pixels,
                                               size_t width, size_t height, hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

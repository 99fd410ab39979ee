/* SPDX-License-Identifier: Apache-2.0 */
/* UV space: pictures whose pixels are the texels of a head model's UV layout.
 *
 * They are square, row 0 lies at v = 1, and are laid out as a texture. A texel belongs to the face
 * that covers its centre; of faces that overlap, as eyes and skin in some models, to the first.
 * What a layout has outside of [0,1] is left out. A model without UVs is HDS_ERROR_ARGUMENT. */
#ifndef HEADSDS_UV_H
#define HEADSDS_UV_H

#include "headsds/head.h"
#include "headsds/view.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HDS_UV_DEFAULT_SIZE = 512, HDS_UV_LARGEST_SIZE = 8192 }; /* texels each way */

typedef enum hds_uv_map {
    HDS_UV_POSITIONS, /* metres, object space */
    HDS_UV_NORMALS    /* unit length, object space */
} hds_uv_map;
/* map (size,size,3): the head's surface at each texel, 0 where no face is. coverage (size,size): 1
 * where one is, else 0. size 0: HDS_UV_DEFAULT_SIZE. */
HDS_API HDS_NODISCARD hds_status hds_head_uv_map(const hds_head *head, hds_uv_map kind, int size,
                                                 float *map, uint8_t *coverage, hds_error *error);

typedef struct hds_unwrap_params {
    const uint8_t *pictures;   /* (count,height,width,3) sRGB, row 0 at the top; sides 1 to 16384 */
    const hds_camera *cameras; /* (count) what each was taken with */
    size_t count, height, width;
    int size; /* of the texture; 0: HDS_UV_DEFAULT_SIZE */
} hds_unwrap_params;
/* texture (size,size,3) sRGB: the mean, in linear light, of the colours that the pictures show of
 * each texel's surface point, by weight; what none shows has the colour of the point opposite where
 * the model has that symmetry (below) and one shows that; what is left, and what lies between the
 * charts, has that of the nearest texel with one (black if there is none). Light stays in it.
 * weight (size,size): the sum over the pictures, 0 where none shows the point: of one, the cosine
 * of the angle between normal and viewer, faded out from 60 to 80 degrees, and a 64th of that
 * within two pixels of an outline. */
HDS_API HDS_NODISCARD hds_status hds_head_unwrap(const hds_head *head,
                                                 const hds_unwrap_params *params, uint8_t *texture,
                                                 float *weight, hds_error *error);

/* map (size,size,2): the uv of the point opposite, x -> -x, of each texel's surface point on the
 * model's template; (-1,-1) where no face is. A texture looked up by it is the flipped texture. For
 * a model whose faces don't pair up left and right, corners within 1/256 of its largest extent,
 * *symmetric is false and the map all -1. size 0: HDS_UV_DEFAULT_SIZE. */
HDS_API HDS_NODISCARD hds_status hds_head_model_uv_mirror(const hds_head_model *model, int size,
                                                          float *map, bool *symmetric,
                                                          hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Where a head is seen from, and under what light: cameras, random views, backgrounds.
 *
 * A view is data for the rasteriser; nothing is drawn here. */
#ifndef HDS_VIEW_H
#define HDS_VIEW_H

#include "head/head.h"
#include "headsds/view.h"
#include "raster/raster.h"

/* The model's topology over vertices (V,3), as the rasteriser wants it. */
raster_mesh view_mesh(const head_model *model, const real *vertices);

/* ---- camera.c ---- */

/* Checks `count` cameras and fills in what they leave to the model. */
HDS_NODISCARD hds_status view_cameras(const hds_head_model *model, const hds_camera *cameras,
                                      size_t count, raster_camera *out, hds_error *error);

/* ---- sampler.c: what a fit looks at, and what priors of our own are trained on ---- */

/* Spheres around the head without the lower neck, and around the face from brows to chin. */
typedef struct view_sphere {
    real centre[3], radius;
} view_sphere;
typedef struct view_framing {
    view_sphere head, face;
} view_framing;
view_framing view_framing_of(const real *vertices, size_t vertex_count);

enum { VIEW_FIELD_OF_VIEW = 20 }; /* degrees */

/* A random view: in half of them the head fills the picture and in half the face. Six in ten look
 * straight from the front, a side or the back, where small differences of shape are easiest to see;
 * the others have an azimuth in +-azimuth_range and an elevation in +-15 degrees. Either way the
 * azimuth is (nearest to) that at the place `stratum` in [0,1) of the range. The light on grey
 * albedo is random, and so is the grey of the background (mid-grey for normals). Textures are the
 * caller's to set. */
void view_random(rng *r, const view_framing *framing, real azimuth_range, real stratum,
                 raster_mode mode, int size, raster_view *view);

/* ---- background.c ---- */

/* A background of random kind, (H,W,3): one colour, a gradient, soft noise, or
 * a checkerboard. */
void view_background_random(rng *r, int width, int height, real *picture);

#endif

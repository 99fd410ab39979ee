/* SPDX-License-Identifier: Apache-2.0 */
/* Random views of a head: camera, light, background. */
#include "fit/fit.h"

#include <math.h>

fit_framing fit_framing_of(const real *vertices, size_t vertex_count)
{
    real low[3] = { INFINITY, INFINITY, INFINITY }, high[3] = { -INFINITY, -INFINITY, -INFINITY };
    for (size_t i = 0; i < 3 * vertex_count; i++) {
        low[i % 3] = fmin(low[i % 3], vertices[i]);
        high[i % 3] = fmax(high[i % 3], vertices[i]);
    }
    fit_framing framing = { .radius = 0 };
    for (int k = 0; k < 3; k++) {
        framing.centre[k] = (low[k] + high[k]) / 2;
        framing.radius += (high[k] - low[k]) * (high[k] - low[k]) / 4;
    }
    framing.radius = (real)sqrt(framing.radius);
    return framing;
}

void fit_view_random(rng *r, const fit_framing *framing, real azimuth_range, real stratum,
                     raster_mode mode, int size, raster_view *view)
{
    real half = FIT_FIELD_OF_VIEW / 2 * (real)(M_PI / 180);
    /* The sphere through the corners of the box is larger than the head: 0.8 of it fills. */
    real near = (real)0.8 * framing->radius / (real)sin(half);
    *view = (raster_view){
        .camera = { .azimuth = azimuth_range * (2 * stratum - 1),
                    .elevation = (real)rng_range(r, -15, 15),
                    .distance = near * (real)rng_range(r, 1, 1.15),
                    .fov_y = FIT_FIELD_OF_VIEW },
        .width = size, .height = size, .mode = mode,
        .albedo = { (real)0.5, (real)0.5, (real)0.5 },
    };
    for (int k = 0; k < 3; k++)
        view->camera.target[k] = framing->centre[k];
    raster_light_random(r, view->light);
    real grey = (real)rng_range(r, 0.1, 0.9);
    for (int k = 0; k < 3; k++)
        view->background[k] = mode == RASTER_NORMALS ? (real)0.5 : grey;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Random views of a head: camera, light, background. */
#include "view/view.h"

#include <math.h>

view_framing view_framing_of(const real *vertices, size_t vertex_count)
{
    real low[3] = { INFINITY, INFINITY, INFINITY }, high[3] = { -INFINITY, -INFINITY, -INFINITY };
    for (size_t i = 0; i < 3 * vertex_count; i++) {
        low[i % 3] = fmin(low[i % 3], vertices[i]);
        high[i % 3] = fmax(high[i % 3], vertices[i]);
    }
    /* Head models end somewhere below the neck: the upper four fifths are the head. */
    real height = high[1] - low[1], depth = high[2] - low[2], middle = (low[0] + high[0]) / 2;
    view_framing f = { .head = { { middle, high[1] - (real)0.4 * height, (low[2] + high[2]) / 2 },
                                 (real)fmax(0.44 * height, 0.56 * depth) } };
    f.face = (view_sphere){ { middle, high[1] - (real)0.51 * height, high[2] - (real)0.25 * depth },
                            (real)0.58 * f.head.radius };
    return f;
}

void view_random(rng *r, const view_framing *framing, real azimuth_range, real stratum,
                 raster_mode mode, int size, raster_view *view)
{
    const view_sphere *sphere = rng_below(r, 2) ? &framing->face : &framing->head;
    real half = VIEW_FIELD_OF_VIEW / 2 * (real)(M_PI / 180);
    real near = sphere->radius / (real)sin(half), azimuth = azimuth_range * (2 * stratum - 1);
    bool straight = rng_uniform(r) < 0.6;
    real elevation = straight ? 0 : (real)rng_range(r, -15, 15);
    real far = straight ? (real)1.05 : (real)rng_range(r, 1, 1.15);
    *view = (raster_view){
        .camera = { .azimuth = straight ? 90 * (real)rint(azimuth / 90) : azimuth,
                    .elevation = elevation,
                    .distance = near * far,
                    .fov_y = VIEW_FIELD_OF_VIEW },
        .width = size,
        .height = size,
        .mode = mode,
        .albedo = { (real)0.5, (real)0.5, (real)0.5 },
    };
    for (int k = 0; k < 3; k++)
        view->camera.target[k] = sphere->centre[k];
    raster_light_random(r, view->light_kind, view->light);
    real grey = (real)rng_range(r, 0.3, 0.7);
    for (int k = 0; k < 3; k++)
        view->background[k] = mode == RASTER_NORMALS ? (real)0.5 : grey;
}

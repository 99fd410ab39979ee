/* SPDX-License-Identifier: Apache-2.0 */
/* Public cameras as those of the rasteriser. The frame depends on the model and not on the head, so
 * that pictures of an evolution or of a turntable don't jump. */
#include "scene/scene.h"

#include <math.h>

static const float MARGIN = 1.06f, FIELD_OF_VIEW = 20;

/* The nearest distance at which all vertices are in the frame at every azimuth. With t the tangent
 * of half the field of view, a vertex at height y and distance r from the axis needs
 *   d >= r sqrt(1 + 1/t^2)  across,   d >= |y| / t + r  upright. */
static float framing_distance(const float *vertices, size_t count, const float target[3], float t)
{
    float across = sqrtf(1 + 1 / (t * t)), nearest = 0;
    for (size_t i = 0; i < count; i++) {
        const float *v = vertices + 3 * i;
        float r = hypotf(v[0] - target[0], v[2] - target[2]);
        nearest = fmaxf(nearest, fmaxf(r * across, fabsf(v[1] - target[1]) / t + r));
    }
    return MARGIN * nearest;
}

static hds_status check(const hds_camera *c, hds_error *error)
{
    if (!isfinite(c->azimuth) || !isfinite(c->elevation) || fabsf(c->elevation) > 90)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "azimuth %g, elevation %g: expected degrees, elevation from -90 to 90",
                         (double)c->azimuth, (double)c->elevation);
    if (!(c->distance == 0 || (c->distance >= 0.01f && c->distance <= 100)))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "distance: %g, expected 0.01 to 100 metres, or 0 to frame the head",
                         (double)c->distance);
    if (!(c->fov == 0 || (c->fov >= 1 && c->fov <= 150)))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "fov: %g, expected 1 to 150 degrees",
                         (double)c->fov);
    return HDS_OK;
}

hds_status scene_cameras(const hds_head_model *model, const hds_camera *cameras, size_t count,
                         raster_camera *out, hds_error *error)
{
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    hds_status status = HDS_OK;
    for (size_t i = 0; i < count && status == HDS_OK; i++)
        status = check(&cameras[i], error);
    if (status != HDS_OK)
        return status;
    float *vertices = hds_alloc(3 * info.vertex_count, sizeof *vertices), target[3];
    if (!vertices)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu vertices",
                         info.vertex_count);
    status = hds_head_model_vertices(model, &(hds_coefficients){ 0 }, vertices, error);
    for (int c = 0; c < 3 && status == HDS_OK; c++) {
        float low = vertices[c], high = vertices[c];
        for (size_t i = 1; i < info.vertex_count; i++) {
            low = fminf(low, vertices[3 * i + (size_t)c]);
            high = fmaxf(high, vertices[3 * i + (size_t)c]);
        }
        target[c] = (high + low) / 2;
    }
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        const hds_camera *c = &cameras[i];
        float fov = c->fov > 0 ? c->fov : FIELD_OF_VIEW, t = tanf(fov * .00872664626f);
        float framed = c->distance > 0 ? c->distance
                                       : framing_distance(vertices, info.vertex_count, target, t);
        out[i] = (raster_camera){ .azimuth = c->azimuth,
                                  .elevation = c->elevation,
                                  .distance = framed,
                                  .fov_y = fov,
                                  .target = { target[0], target[1], target[2] } };
    }
    hds_free(vertices);
    return status;
}

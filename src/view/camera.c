/* SPDX-License-Identifier: Apache-2.0 */
/* Public cameras as those of the rasteriser. The frame depends on the model and not on the head, so
 * that pictures of an evolution or of a turntable don't jump. */
#include "view/view.h"

#include <math.h>
#include <string.h>

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

/* ---- ranges ---- */

enum { CHOICES = 5 };
/* Uniform between two ends, or one of `count` values. */
typedef struct range {
    int count; /* 0: uniform */
    float values[CHOICES];
} range;

typedef struct preset {
    const char *name;
    range azimuth, elevation, distance;
    float fov;
} preset;

/* FaceG2E: focal length 1015 at 224 pixels, distance 10 + tz of its units of 0.1 m. */
static const preset presets[] = {
    { "faceg2e-geometry", { 0, { -45, 45 } }, { 0, { -20, 20 } }, { 0, { 1, 1.3f } }, 12.59f },
    { "faceg2e-texture",
      { 5, { 0, 60, 120, 240, 300 } },
      { 2, { 0, -30 } },
      { 2, { 1.15f, 1.3f } },
      12.59f },
    { "faceg2e-edit-geometry",
      { 5, { 0, 30, 60, 300, 330 } },
      { 3, { 0, -10, -20 } },
      { 1, { 1.15f } },
      12.59f },
    { "faceg2e-edit-texture",
      { 5, { 0, 30, 60, 300, 330 } },
      { 2, { 0, -10 } },
      { 2, { 1.15f, 1.3f } },
      12.59f },
    { "anihead", { 0, { -90, 90 } }, { 0, { -5, 5 } }, { 1, { 0 } }, 0 },
};
enum { PRESETS = sizeof presets / sizeof *presets };

static float draw(rng *r, const range *from)
{
    if (from->count)
        return from->values[rng_below(r, (uint32_t)from->count)];
    return (float)rng_range(r, from->values[0], from->values[1]);
}

hds_status hds_cameras_draw(const char *name, uint64_t seed, size_t count, hds_camera *cameras,
                            hds_error *error)
{
    const preset *p = NULL;
    for (int i = 0; i < PRESETS && !p && name; i++)
        p = strcmp(presets[i].name, name) == 0 ? &presets[i] : NULL;
    if (!p)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "cameras: '%s', expected one of %s, %s, %s, %s, %s", name ? name : "",
                         presets[0].name, presets[1].name, presets[2].name, presets[3].name,
                         presets[4].name);
    for (size_t i = 0; i < count; i++) {
        rng r = rng_make(seed, i);
        cameras[i].azimuth = draw(&r, &p->azimuth);
        cameras[i].elevation = draw(&r, &p->elevation);
        cameras[i].distance = draw(&r, &p->distance);
        cameras[i].fov = p->fov;
    }
    return HDS_OK;
}

/* ---- for the rasteriser ---- */

raster_mesh view_mesh(const head_model *model, const real *vertices)
{
    return (raster_mesh){ .vertex_count = model->vertex_count,
                          .face_count = model->face_count,
                          .uv_count = model->uv_count,
                          .vertices = vertices,
                          .faces = model->faces,
                          .uvs = model->uvs,
                          .uv_faces = model->uv_faces };
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

hds_status view_cameras(const hds_head_model *model, const hds_camera *cameras, size_t count,
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

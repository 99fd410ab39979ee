/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of a head for people: drawn at twice the size under a key and fill light that follow the
 * camera's azimuth, averaged in linear light, on mid-grey. The frame depends on the model and not
 * on the head, so that pictures of an evolution or of a turntable don't jump. */
#include "scene/scene.h"

#include "image/image.h"
#include "mesh/mesh.h"
#include "raster/raster.h"

#include <math.h>
#include <string.h>

static const float MARGIN = 1.06f;
enum { DEFAULT_SIZE = 512, LARGEST_SIZE = 4096, LARGEST_SUPERSAMPLED = 2048 };

static float *linear_texture(const hds_head_info *head) /* new */
{
    size_t count = 3 * head->texture_width * head->texture_height;
    float *out = hds_alloc(count, sizeof *out);
    if (out) {
        image_from_u8(head->texture, count, out);
        image_to_linear(out, count, out);
    }
    return out;
}

/* The nearest camera that has all of the model's own template in its frame at every azimuth. With t
 * the tangent of half the field of view, a vertex at height y and distance r from the axis needs
 *   d >= r sqrt(1 + 1/t^2)  across,   d >= |y| / t + r  upright. */
static hds_status frame(const hds_head_info *head, raster_camera *camera, hds_error *error)
{
    hds_head_model_info model;
    hds_head_model_get_info(head->model, &model);
    float *vertices = hds_alloc(3 * model.vertex_count, sizeof *vertices);
    if (!vertices)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu vertices",
                         model.vertex_count);
    hds_status status =
        hds_head_model_vertices(head->model, &(hds_coefficients){ 0 }, vertices, error);
    for (int c = 0; c < 3 && status == HDS_OK; c++) {
        float low = vertices[c], high = vertices[c];
        for (size_t i = 1; i < model.vertex_count; i++) {
            low = fminf(low, vertices[3 * i + (size_t)c]);
            high = fmaxf(high, vertices[3 * i + (size_t)c]);
        }
        camera->target[c] = (high + low) / 2;
    }
    float t = tanf((float)camera->fov_y * .00872664626f), across = sqrtf(1 + 1 / (t * t));
    float nearest = 0;
    for (size_t i = 0; i < model.vertex_count && status == HDS_OK; i++) {
        const float *v = vertices + 3 * i;
        float r = hypotf(v[0] - camera->target[0], v[2] - camera->target[2]);
        float y = fabsf(v[1] - camera->target[1]);
        nearest = fmaxf(nearest, fmaxf(r * across, y / t + r));
    }
    camera->distance = MARGIN * nearest;
    hds_free(vertices);
    return status;
}

/* More of the lamps and less of the ambient than what networks are shown. */
static void set_light(float light[9])
{
    raster_light_preset(0, light);
    light[0] *= 1.05f;
    for (int i = 1; i < 9; i++)
        light[i] *= 1.9f;
}

/* Turns (V,3) about the y axis so that what was at the azimuth comes to the front. */
static void turn(float *vectors, size_t count, double degrees)
{
    double angle = fmod(degrees, 360) * 0.017453292519943295;
    float s = (float)sin(angle), c = (float)cos(angle);
    for (float *v = vectors; v < vectors + 3 * count; v += 3) {
        float x = v[0], z = v[2];
        v[0] = x * c - z * s;
        v[2] = x * s + z * c;
    }
}

/* The lamps stay with the camera, as a sitter turns before a photographer: the head turns. */
static void face_camera(scene_shape *shape, raster_camera *camera)
{
    turn(shape->vertices, shape->vertex_count, (double)camera->azimuth);
    turn(shape->normals, shape->vertex_count, (double)camera->azimuth);
    turn(camera->target, 1, (double)camera->azimuth);
    camera->azimuth = 0;
}

/* (factor * size)^2 sRGB floats, which are used up, -> size^2 bytes. */
static void downsample(float *image, int size, int factor, uint8_t *pixels)
{
    int wide = size * factor;
    size_t count = (size_t)wide * (size_t)wide * 3;
    if (factor > 1) {
        for (size_t i = 0; i < count; i++)
            image[i] = fminf(fmaxf(image[i], 0), 1);
        image_to_linear(image, count, image);
        float *small = image + count; /* room left for it behind the picture */
        image_resize(image, wide, wide, 3, size, size, IMAGE_AREA, small);
        count = (size_t)size * (size_t)size * 3;
        image_to_srgb(small, count, small);
        image = small;
    }
    image_to_u8(image, count, pixels);
}

static hds_status draw(const hds_head_info *head, const scene_shape *shape, const raster_view *view,
                       int factor, uint8_t *pixels, hds_error *error)
{
    hds_head_model_info model;
    hds_head_model_get_info(head->model, &model);
    raster_mesh mesh = {
        .vertex_count = model.vertex_count,
        .face_count = model.face_count,
        .uv_count = model.uv_count,
        .vertices = shape->vertices,
        .faces = model.faces,
        .uvs = model.uvs,
        .uv_faces = model.uv_faces,
    };
    arena scratch = { 0 };
    size_t wide = (size_t)view->width, size = wide / (size_t)factor;
    float *image = hds_alloc(wide * wide + size * size, 3 * sizeof *image);
    bool drawn = image && raster_draw(&mesh, shape->normals, view, &scratch, image);
    if (drawn)
        downsample(image, (int)size, factor, pixels);
    arena_finish(&scratch);
    hds_free(image);
    if (drawn)
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a picture of %d x %d pixels",
                     view->width, view->height);
}

static hds_status check(const hds_head *head, const hds_render_params *params,
                        const uint8_t *pixels, hds_error *error)
{
    if (!head || !params || !pixels)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head, params and pixels are needed");
    if (params->size < 0 || params->size > LARGEST_SIZE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "size: %d, expected 1 to %d, or 0 for %d",
                         params->size, LARGEST_SIZE, DEFAULT_SIZE);
    if (!isfinite(params->azimuth) || !isfinite(params->elevation) || fabsf(params->elevation) > 90)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "azimuth %g, elevation %g: expected degrees, elevation from -90 to 90",
                         (double)params->azimuth, (double)params->elevation);
    if ((unsigned)params->mode > HDS_RENDER_NORMALS)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "mode: %d, expected 0 to %d", (int)params->mode,
                         (int)HDS_RENDER_NORMALS);
    return HDS_OK;
}

hds_status hds_head_render(const hds_head *head, const hds_render_params *params, uint8_t *pixels,
                           hds_error *error)
{
    hds_status status = check(head, params, pixels, error);
    if (status != HDS_OK)
        return status;
    hds_head_info info;
    hds_head_get_info(head, &info);
    int size = params->size ? params->size : DEFAULT_SIZE;
    int factor = size <= LARGEST_SUPERSAMPLED ? 2 : 1;
    raster_view view = {
        .camera = { .azimuth = params->azimuth, .elevation = params->elevation, .fov_y = 20 },
        .width = size * factor,
        .height = size * factor,
        .mode = params->mode == HDS_RENDER_NORMALS ? RASTER_NORMALS : RASTER_SHADED,
        .albedo = { .55f, .55f, .55f },
        .background = { .42f, .42f, .42f },
    };
    set_light(view.light);
    float *texture = NULL;
    scene_shape shape = { 0 };
    if (params->mode == HDS_RENDER_TEXTURED && info.texture) {
        texture = linear_texture(&info);
        view.texture = texture;
        view.texture_width = (int)info.texture_width;
        view.texture_height = (int)info.texture_height;
        if (!texture)
            return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    }
    status = frame(&info, &view.camera, error);
    if (status == HDS_OK)
        status = scene_shape_init(&shape, head, false, error);
    if (status == HDS_OK && params->mode != HDS_RENDER_NORMALS)
        face_camera(&shape, &view.camera);
    if (status == HDS_OK)
        status = draw(&info, &shape, &view, factor, pixels, error);
    scene_shape_finish(&shape);
    hds_free(texture);
    return status;
}

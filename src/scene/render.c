/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of a head for people: drawn at twice the size under a key and fill light that follow the
 * camera's azimuth, averaged in linear light, on mid-grey. */
#include "scene/scene.h"

#include "image/image.h"
#include "mesh/mesh.h"
#include "raster/raster.h"

#include <math.h>

enum { DEFAULT_SIZE = 512, LARGEST_SIZE = 4096, LARGEST_SUPERSAMPLED = 2048 };

/* Lamps that stay with the camera, as a sitter turns before a photographer; more of them and less
 * of the ambient than what networks are shown. */
static void set_light(real azimuth, real light[9])
{
    raster_light_preset(0, RASTER_HARMONICS, light);
    light[0] *= 1.05f;
    for (int i = 1; i < 9; i++)
        light[i] *= 1.9f;
    raster_light_turn(azimuth, RASTER_HARMONICS, light);
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

typedef struct studio {
    hds_head_info head;
    hds_head_model_info model;
    scene_shape shape;
    raster_texture texture; /* linear, all levels; texels owned, NULL: none */
    float *texels;
    raster_camera *cameras;
} studio;

static bool take_texture(studio *s)
{
    int width = (int)s->head.texture_width, height = (int)s->head.texture_height;
    s->texture = (raster_texture){ .width = width,
                                   .height = height,
                                   .channels = 3,
                                   .levels = raster_texture_levels(width, height) };
    size_t count = 3 * s->head.texture_width * s->head.texture_height;
    s->texels = hds_alloc(raster_texture_size(&s->texture), sizeof *s->texels);
    if (!s->texels)
        return false;
    image_from_u8(s->head.texture, count, s->texels);
    image_to_linear(s->texels, count, s->texels);
    raster_texture_reduce(&s->texture, s->texels);
    s->texture.texels = s->texels;
    return true;
}

static hds_status no_memory(int size, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a picture of %d x %d pixels", size,
                     size);
}

static hds_status open_studio(studio *s, const hds_head *head, const hds_camera *cameras,
                              size_t count, bool textured, hds_error *error)
{
    hds_head_get_info(head, &s->head);
    hds_head_model_get_info(s->head.model, &s->model);
    s->cameras = hds_alloc(count, sizeof *s->cameras);
    if (!s->cameras || (textured && s->head.texture && !take_texture(s)))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    hds_status status = scene_cameras(s->head.model, cameras, count, s->cameras, error);
    return status ? status : scene_shape_init(&s->shape, head, false, error);
}

static void close_studio(studio *s)
{
    scene_shape_finish(&s->shape);
    hds_free(s->texels);
    hds_free(s->cameras);
}

static hds_status draw(const studio *s, const raster_camera *camera, hds_render_mode mode, int size,
                       uint8_t *pixels, hds_error *error)
{
    int factor = size <= LARGEST_SUPERSAMPLED ? 2 : 1, wide = size * factor;
    raster_view view = {
        .camera = *camera,
        .width = wide,
        .height = wide,
        .mode = mode == HDS_RENDER_NORMALS ? RASTER_NORMALS : RASTER_SHADED,
        .albedo = { .55f, .55f, .55f },
        .texture = s->texels ? &s->texture : NULL,
        .background = { .42f, .42f, .42f },
    };
    raster_mesh mesh = {
        .vertex_count = s->model.vertex_count,
        .face_count = s->model.face_count,
        .uv_count = s->model.uv_count,
        .vertices = s->shape.vertices,
        .faces = s->model.faces,
        .uvs = s->model.uvs,
        .uv_faces = s->model.uv_faces,
    };
    arena scratch = { 0 };
    size_t count = (size_t)wide * (size_t)wide + (size_t)size * (size_t)size;
    float *image = hds_alloc(count, 3 * sizeof *image);
    set_light(camera->azimuth, view.light);
    bool drawn = image && raster_draw(&mesh, s->shape.normals, &view, &scratch, image);
    if (drawn)
        downsample(image, size, factor, pixels);
    arena_finish(&scratch);
    hds_free(image);
    return drawn ? HDS_OK : no_memory(wide, error);
}

static hds_status check(const hds_head *head, const hds_render_params *params,
                        const uint8_t *pixels, hds_error *error)
{
    if (!head || !params || !pixels)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head, params and pixels are needed");
    if (params->size < 0 || params->size > LARGEST_SIZE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "size: %d, expected 1 to %d, or 0 for %d",
                         params->size, LARGEST_SIZE, DEFAULT_SIZE);
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
    const hds_camera front = { 0 };
    const hds_camera *cameras = params->cameras ? params->cameras : &front;
    size_t count = params->cameras ? params->camera_count : 1;
    int size = params->size ? params->size : DEFAULT_SIZE;
    studio s = { 0 };
    status = open_studio(&s, head, cameras, count, params->mode == HDS_RENDER_TEXTURED, error);
    for (size_t i = 0; i < count && status == HDS_OK; i++)
        status = draw(&s, &s.cameras[i], params->mode, size,
                      pixels + i * (size_t)size * (size_t)size * 3, error);
    close_studio(&s);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of a head: drawn at twice the size and averaged, colours in linear light. */
#include "headsds/render.h"

#include "io/io.h"

#include "image/image.h"
#include "raster/raster.h"
#include "view/view.h"

#include <math.h>
#include <string.h>

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

/* (factor * size)^2 floats, which are used up, -> size^2 bytes. Colours are sRGB, data is not. */
static void downsample(float *image, int size, int factor, bool colours, uint8_t *pixels)
{
    int wide = size * factor;
    size_t count = (size_t)wide * (size_t)wide * 3;
    if (factor > 1) {
        for (size_t i = 0; i < count; i++)
            image[i] = fminf(fmaxf(image[i], 0), 1);
        if (colours)
            image_to_linear(image, count, image);
        float *small = image + count; /* room left for it behind the picture */
        image_resize(image, wide, wide, 3, size, size, IMAGE_AREA, small);
        count = (size_t)size * (size_t)size * 3;
        if (colours)
            image_to_srgb(small, count, small);
        image = small;
    }
    image_to_u8(image, count, pixels);
}

typedef struct studio {
    hds_head_info head;
    hds_head_model_info model;
    head_surface shape;
    raster_texture texture; /* linear, all levels; texels owned, NULL: none */
    float *texels;
    raster_camera *cameras;
    real *part_colours, *background; /* background: NULL: a colour */
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
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu cameras and the texture",
                         count);
    hds_status status = view_cameras(s->head.model, cameras, count, s->cameras, error);
    return status ? status : head_surface_init(&s->shape, head, false, error);
}

static void close_studio(studio *s)
{
    head_surface_finish(&s->shape);
    hds_free(s->texels);
    hds_free(s->cameras);
    hds_free(s->part_colours);
    hds_free(s->background);
}

typedef struct style {
    raster_mode mode;
    float background[3];
    bool colours; /* sRGB, not data */
} style;

static const style styles[HDS_RENDER_MODES] = {
    [HDS_RENDER_TEXTURED] = { RASTER_SHADED, { .42f, .42f, .42f }, true },
    [HDS_RENDER_GREY] = { RASTER_SHADED, { .42f, .42f, .42f }, true },
    [HDS_RENDER_NORMALS] = { RASTER_NORMALS, { .42f, .42f, .42f }, false },
    [HDS_RENDER_CAMERA_NORMALS] = { RASTER_CAMERA_NORMALS, { .42f, .42f, .42f }, false },
    [HDS_RENDER_CONTROL_NORMALS] = { RASTER_CONTROL_NORMALS, { .5f, .5f, 1 }, false },
    [HDS_RENDER_DEPTH] = { RASTER_DEPTH, { 0, 0, 0 }, false },
    [HDS_RENDER_PARTS] = { RASTER_PARTS, { 0, 0, 0 }, false },
};

/* Colours far apart: hues in steps of the golden angle. */
static void colour_part(size_t part, real colour[3])
{
    for (int c = 0; c < 3; c++) {
        double hue = 6.283185307179586 * (0.381966 * (double)part + c / 3.0);
        colour[c] = (real)(0.6 + 0.4 * cos(hue));
    }
}

/* What the pictures of one call share. */
static bool take_colours(studio *s, const hds_render_params *p, int size, int factor)
{
    size_t pixels = (size_t)size * (size_t)size * 3;
    int wide = size * factor;
    s->part_colours = hds_alloc(s->model.part_count + 1, 3 * sizeof *s->part_colours);
    for (size_t i = 0; s->part_colours && i < s->model.part_count; i++)
        colour_part(i, s->part_colours + 3 * i);
    if (!p->background_picture)
        return s->part_colours;
    real *small = hds_alloc(pixels, sizeof *small);
    s->background = hds_alloc(pixels * (size_t)(factor * factor), sizeof *s->background);
    if (small && s->background) {
        image_from_u8(p->background_picture, pixels, small);
        image_resize(small, size, size, 3, wide, wide, IMAGE_AREA, s->background);
    }
    hds_free(small);
    return s->part_colours && small && s->background;
}

static hds_status draw(const studio *s, const raster_camera *camera, const hds_render_params *p,
                       int size, int factor, uint8_t *pixels, hds_error *error)
{
    int wide = size * factor;
    const style *look = &styles[p->mode];
    const float *colour = p->background ? p->background : look->background;
    raster_view view = {
        .camera = *camera,
        .width = wide,
        .height = wide,
        .mode = look->mode,
        .albedo = { .55f, .55f, .55f },
        .texture = s->texels ? &s->texture : NULL,
        .face_parts = s->model.face_parts,
        .part_colours = s->part_colours,
        .background = { colour[0], colour[1], colour[2] },
        .background_picture = s->background,
    };
    raster_mesh mesh = view_mesh(s->head.model, s->shape.vertices);
    arena scratch = { 0 };
    size_t count = (size_t)wide * (size_t)wide + (size_t)size * (size_t)size;
    float *image = hds_alloc(count, 3 * sizeof *image);
    if (p->light)
        memcpy(view.light, p->light, sizeof view.light);
    else
        set_light(camera->azimuth, view.light);
    bool drawn = image && raster_draw(&mesh, s->shape.normals, &view, &scratch, image);
    if (drawn)
        downsample(image, size, factor, look->colours, pixels);
    arena_finish(&scratch);
    hds_free(image);
    return drawn ? HDS_OK : no_memory(size, error);
}

/* Finite, and within [0, most] where that is. */
static hds_status check_numbers(const float *numbers, size_t count, const char *name, float most,
                                hds_error *error)
{
    for (size_t i = 0; numbers && i < count; i++)
        if (!isfinite(numbers[i]) || (isfinite(most) && (numbers[i] < 0 || numbers[i] > most)))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "%s[%zu]: %g, expected a number%s", name, i,
                             (double)numbers[i], isfinite(most) ? " from 0 to 1" : "");
    return HDS_OK;
}

static hds_status check(const hds_head *head, const hds_render_params *params,
                        const uint8_t *pixels, hds_error *error)
{
    if (!head || !params || !pixels)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head, params and pixels are needed");
    if (params->size < 0 || params->size > LARGEST_SIZE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "size: %d, expected 1 to %d, or 0 for %d",
                         params->size, LARGEST_SIZE, DEFAULT_SIZE);
    if ((unsigned)params->mode >= HDS_RENDER_MODES)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "mode: %d, expected 0 to %d", (int)params->mode,
                         HDS_RENDER_MODES - 1);
    hds_status status = check_numbers(params->light, 9, "light", INFINITY, error);
    return status ? status : check_numbers(params->background, 3, "background", 1, error);
}

/* Whole pictures a thread where there are several. */
typedef struct batch {
    const studio *studio;
    const hds_render_params *params;
    int size, factor;
    uint8_t *pixels;
    hds_status *statuses;
    hds_error *errors;
} batch;

static void draw_one(void *context, size_t i)
{
    const batch *b = context;
    size_t each = (size_t)b->size * (size_t)b->size * 3;
    b->statuses[i] = draw(b->studio, &b->studio->cameras[i], b->params, b->size, b->factor,
                          b->pixels + i * each, &b->errors[i]);
}

static hds_status draw_all(const studio *s, const hds_render_params *params, size_t count, int size,
                           int factor, uint8_t *pixels, hds_error *error)
{
    batch b = { .studio = s, .params = params, .size = size, .factor = factor, .pixels = pixels };
    b.statuses = hds_alloc(count, sizeof *b.statuses);
    b.errors = hds_alloc(count, sizeof *b.errors);
    hds_status status = b.statuses && b.errors ? HDS_OK : no_memory(size, error);
    if (status == HDS_OK)
        threads_parallel(count, draw_one, &b);
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        status = b.statuses[i];
        if (status)
            status = hds_raise(error, status, "%s", b.errors[i].message);
    }
    hds_free(b.statuses);
    hds_free(b.errors);
    return status;
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
    int factor = size <= LARGEST_SUPERSAMPLED ? 2 : 1;
    studio s = { 0 };
    status = open_studio(&s, head, cameras, count, params->mode == HDS_RENDER_TEXTURED, error);
    if (status == HDS_OK && params->mode == HDS_RENDER_PARTS && !s.model.face_parts)
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "mode: %s has no parts; add part_names and face_parts to its .npz, or "
                           "take another mode",
                           s.model.name);
    if (status == HDS_OK && !take_colours(&s, params, size, factor))
        status = no_memory(size, error);
    if (status == HDS_OK)
        status = draw_all(&s, params, count, size, factor, pixels, error);
    close_studio(&s);
    return status;
}

/* ---- light ---- */

hds_status hds_write_png(const char *path, const uint8_t *pixels, size_t width, size_t height,
                         hds_error *error)
{
    if (width < 1 || height < 1 || width > INT32_MAX || height > INT32_MAX)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: an image of %zux%zu pixels", path, width,
                         height);
    return io_png_write(path, pixels, (int)width, (int)height, 3, error);
}

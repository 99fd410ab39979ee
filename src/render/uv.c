/* SPDX-License-Identifier: Apache-2.0 */
/* UV space of heads and of their models: maps of the surface, textures from pictures, and left and
 * right. The work is done by raster/uv*.c and image/gutter.c. */
#include "headsds/uv.h"

#include "image/image.h"
#include "math/math.h"
#include "mesh/mesh.h"
#include "raster/raster.h"
#include "view/view.h"

#include <math.h>
#include <string.h>

enum { LARGEST_PICTURE = 16384 };
static const float SHARE_APART = 1 / 256.f; /* of the largest extent: mirrored corners */
static const float MOSTLY = 0.5f;           /* of a lookup's texels that are seen */

static hds_status no_memory(int size, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a texture of %d x %d texels", size,
                     size);
}

/* *size becomes what 0 stands for. */
static hds_status check(const head_model *model, int *size, hds_error *error)
{
    if (*size < 0 || *size > HDS_UV_LARGEST_SIZE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "size: %d, expected 1 to %d, or 0 for %d",
                         *size, HDS_UV_LARGEST_SIZE, HDS_UV_DEFAULT_SIZE);
    if (!model->uvs || !model->uv_faces)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s has no UV layout; load it with one to use UV space", model->name);
    *size = *size ? *size : HDS_UV_DEFAULT_SIZE;
    return HDS_OK;
}

/* ---- maps ---- */

static bool draw_map(const raster_mesh *mesh, const float *attributes, bool unit, int size,
                     float *map, uint8_t *coverage)
{
    arena memory = { 0 };
    raster_uv_layout layout;
    bool drawn = raster_uv_layout_init(&layout, mesh, size, size, &memory);
    if (drawn) {
        raster_uv_interpolate(&layout, mesh->faces, attributes, 3, map);
        for (size_t i = 0; i < (size_t)size * (size_t)size; i++) {
            coverage[i] = layout.faces[i] != 0;
            if (unit)
                vec3_normalise(map + 3 * i);
        }
    }
    arena_finish(&memory);
    return drawn;
}

hds_status hds_head_uv_map(const hds_head *head, hds_uv_map kind, int size, float *map,
                           uint8_t *coverage, hds_error *error)
{
    if (!head || !map || !coverage)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head, a map and its coverage are needed");
    if ((unsigned)kind > HDS_UV_NORMALS)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "kind: %d, expected 0 to %d", (int)kind,
                         (int)HDS_UV_NORMALS);
    hds_status status = check(head->model, &size, error);
    if (status)
        return status;
    head_surface shape;
    status = head_surface_init(&shape, head, false, error);
    if (status)
        return status;
    bool normals = kind == HDS_UV_NORMALS;
    raster_mesh mesh = view_mesh(head->model, shape.vertices);
    if (!draw_map(&mesh, normals ? shape.normals : shape.vertices, normals, size, map, coverage))
        status = no_memory(size, error);
    head_surface_finish(&shape);
    return status;
}

/* ---- left and right ---- */

static float largest_extent(const head_model *model)
{
    float largest = 0;
    for (size_t c = 0; c < 3; c++) {
        float low = INFINITY, high = -INFINITY;
        for (size_t i = 0; i < model->vertex_count; i++) {
            low = fminf(low, model->vertices[3 * i + c]);
            high = fmaxf(high, model->vertices[3 * i + c]);
        }
        largest = fmaxf(largest, high - low);
    }
    return largest;
}

/* Of the faces (raster_uv_partners), for hds_free; *partners is NULL where the model is not
 * symmetric and, with false, where memory was short. */
static bool find_partners(const head_model *model, const raster_mesh *mesh, uint32_t **partners)
{
    mesh_adjacency adjacency;
    arena scratch = { 0 };
    size_t lonely = 0;
    *partners = NULL;
    if (mesh_adjacency_init(&adjacency, model->faces, model->face_count, model->vertex_count, NULL))
        return false;
    *partners = hds_alloc(model->face_count, 2 * sizeof **partners);
    bool enough =
        *partners && raster_uv_partners(mesh, &adjacency, SHARE_APART * largest_extent(model),
                                        &scratch, *partners, &lonely);
    if (!enough || lonely) {
        hds_free(*partners);
        *partners = NULL;
    }
    arena_finish(&scratch);
    mesh_adjacency_finish(&adjacency);
    return enough;
}

/* ---- pictures ---- */

typedef struct unwrapping {
    const hds_unwrap_params *params;
    int size;
    head_surface shape;
    raster_camera *cameras;
    float *pixels, *sums; /* one picture, and the texture, in linear light */
    uint8_t *covered;
    arena memory, scratch;
} unwrapping;

static hds_status begin(unwrapping *u, const hds_head *head, hds_error *error)
{
    const hds_unwrap_params *p = u->params;
    size_t texels = (size_t)u->size * (size_t)u->size;
    u->cameras = hds_alloc(p->count, sizeof *u->cameras);
    u->pixels = hds_alloc(p->count ? p->height * p->width : 0, 3 * sizeof *u->pixels);
    u->sums = hds_alloc(texels, 3 * sizeof *u->sums);
    u->covered = hds_alloc(texels, 1);
    if (!u->cameras || !u->pixels || !u->sums || !u->covered)
        return no_memory(u->size, error);
    hds_status status = view_cameras(head->model, p->cameras, p->count, u->cameras, error);
    return status ? status : head_surface_init(&u->shape, head, false, error);
}

static void finish(unwrapping *u)
{
    head_surface_finish(&u->shape);
    hds_free(u->cameras);
    hds_free(u->pixels);
    hds_free(u->sums);
    hds_free(u->covered);
    arena_finish(&u->memory);
    arena_finish(&u->scratch);
}

/* Texels that no picture shows take the colour of the place opposite where one shows that. */
static bool fill_from_mirror(unwrapping *u, const head_model *model, const raster_uv_layout *layout)
{
    const size_t width = (size_t)u->size, texels = width * width;
    raster_mesh mesh = view_mesh(model, model->vertices);
    uint32_t *partners;
    if (!find_partners(model, &mesh, &partners))
        return false;
    if (!partners)
        return true;
    float *map = arena_alloc(&u->scratch, texels, 2 * sizeof *map);
    float *seen = arena_alloc(&u->scratch, texels, 4 * sizeof *seen); /* colours and 1, or zeros */
    float *found = arena_alloc(&u->scratch, width, 4 * sizeof *found);
    const raster_texture texture = {
        .width = u->size, .height = u->size, .channels = 4, .levels = 1, .texels = seen
    };
    bool enough = map && seen && found;
    for (size_t i = 0; i < 4 * texels && enough; i++)
        seen[i] = !u->covered[i / 4] ? 0 : i % 4 < 3 ? u->sums[i / 4 * 3 + i % 4] : 1;
    if (enough)
        raster_uv_mirror(layout, &mesh, partners, map);
    for (size_t row = 0; row < width && enough; row++) {
        raster_uv_look_up(&texture, map + 2 * row * width, width, found);
        for (size_t x = 0, i = row * width; x < width; x++, i++) {
            if (u->covered[i] || map[2 * i] < 0 || found[4 * x + 3] < MOSTLY)
                continue;
            for (size_t c = 0; c < 3; c++)
                u->sums[3 * i + c] = found[4 * x + c] / found[4 * x + 3];
            u->covered[i] = 1;
        }
    }
    hds_free(partners);
    return enough;
}

static bool unwrap(unwrapping *u, const head_model *model, float *weight)
{
    const hds_unwrap_params *p = u->params;
    size_t texels = (size_t)u->size * (size_t)u->size, numbers = 3 * p->height * p->width;
    size_t hidden = 0;
    raster_mesh mesh = view_mesh(model, u->shape.vertices);
    raster_uv_layout layout;
    bool good = raster_uv_layout_init(&layout, &mesh, u->size, u->size, &u->memory);
    memset(weight, 0, texels * sizeof *weight);
    for (size_t i = 0; i < p->count && good; i++) {
        raster_picture picture = { u->cameras[i], (int)p->height, (int)p->width, 3, u->pixels };
        image_from_u8(p->pictures + i * numbers, numbers, u->pixels);
        image_to_linear(u->pixels, numbers, u->pixels);
        good = raster_unwrap_add(&layout, &mesh, u->shape.normals, &picture, &u->scratch, u->sums,
                                 weight);
    }
    if (!good)
        return false;
    raster_unwrap_divide(&layout, 3, weight, u->sums);
    for (size_t i = 0; i < texels; i++) {
        u->covered[i] = weight[i] > 0;
        hidden += layout.faces[i] && !u->covered[i];
    }
    if (p->count && hidden && !fill_from_mirror(u, model, &layout))
        return false;
    return image_fill_gutters(u->covered, u->size, u->size, 3, u->sums);
}

hds_status hds_head_unwrap(const hds_head *head, const hds_unwrap_params *params, uint8_t *texture,
                           float *weight, hds_error *error)
{
    if (!head || !params || !texture || !weight ||
        (params->count && (!params->pictures || !params->cameras)))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "a head, pictures and their cameras, a texture and its weight are needed");
    if (params->count && (params->height < 1 || params->height > LARGEST_PICTURE ||
                          params->width < 1 || params->width > LARGEST_PICTURE))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "pictures of %zu x %zu pixels, expected 1 to %d each way", params->width,
                         params->height, LARGEST_PICTURE);
    unwrapping u = { .params = params, .size = params->size };
    hds_status status = check(head->model, &u.size, error);
    if (!status)
        status = begin(&u, head, error);
    if (!status) {
        size_t numbers = 3 * (size_t)u.size * (size_t)u.size;
        if (unwrap(&u, head->model, weight)) {
            image_to_srgb(u.sums, numbers, u.sums);
            image_to_u8(u.sums, numbers, texture);
        } else {
            status = no_memory(u.size, error);
        }
    }
    finish(&u);
    return status;
}

/* ---- the map of left and right ---- */

hds_status hds_head_model_uv_mirror(const hds_head_model *model, int size, float *map,
                                    bool *symmetric, hds_error *error)
{
    if (!model || !map || !symmetric)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "a head model, a map and a place for symmetric are needed");
    hds_status status = check(model, &size, error);
    if (status)
        return status;
    raster_mesh mesh = view_mesh(model, model->vertices);
    raster_uv_layout layout;
    arena memory = { 0 };
    uint32_t *partners;
    bool enough = find_partners(model, &mesh, &partners);
    *symmetric = partners != NULL;
    for (size_t i = 0; i < 2 * (size_t)size * (size_t)size; i++)
        map[i] = -1;
    if (partners && (enough = raster_uv_layout_init(&layout, &mesh, size, size, &memory)))
        raster_uv_mirror(&layout, &mesh, partners, map);
    arena_finish(&memory);
    hds_free(partners);
    return enough ? HDS_OK : no_memory(size, error);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh's UV layout as a picture, and what the corners of its faces have, spread over it.
 *
 *   map[y,x,:] = sum_k b_k attributes[faces[f,k],:]      f, b: face and barycentrics of the texel
 *   dattributes[faces[f,k],:] += b_k dmap[y,x,:]
 *
 * The layout is drawn by visible.c: to the rasteriser uvs are places on a screen, all equally near,
 * and of those it keeps the face that comes first. */
#include "raster_priv.h"

#include <assert.h>
#include <string.h>
#include <tgmath.h>

/* uvs -> positions on the screen with 1/w = 1; those far out are marked as raster_project does. */
static void place(const raster_state *s, const raster_mesh *mesh)
{
    const real limit = 1 << 17;
    for (size_t i = 0; i < mesh->uv_count; i++) {
        real x = (real)mesh->uvs[2 * i] * (real)s->width;
        real y = (1 - (real)mesh->uvs[2 * i + 1]) * (real)s->height;
        bool inside = fabs(x) < limit && fabs(y) < limit; /* false for NaN */
        s->screen[3 * i] = inside ? x : 0;
        s->screen[3 * i + 1] = inside ? y : 0;
        s->screen[3 * i + 2] = 1;
        s->snapped[2 * i] = inside ? (int32_t)lrint(x * RASTER_SUBPIXELS) : RASTER_OUTSIDE;
        s->snapped[2 * i + 1] = inside ? (int32_t)lrint(y * RASTER_SUBPIXELS) : RASTER_OUTSIDE;
    }
}

typedef struct layout_job {
    const raster_uv_layout *layout;
    const raster_state *state;
} layout_job;

static void read_row(void *context, size_t y)
{
    const layout_job *j = context;
    const raster_state *s = j->state;
    for (size_t x = 0; x < (size_t)s->width; x++) {
        size_t at = y * (size_t)s->width + x;
        uint32_t seen = s->visible[at];
        if (!seen)
            continue;
        const raster_slot *slot = &s->slots[seen - 1];
        real *b = j->layout->barycentrics + 3 * at, dx = (real)((int)x - slot->x0), sum = 0;
        real dy = (real)((int)y - slot->y0);
        for (int k = 0; k < 3; k++) {
            real q = slot->plane[0][k] + slot->plane[1][k] * dx + slot->plane[2][k] * dy;
            b[k] = q > 0 ? q : 0; /* snapped coverage reaches beyond the edges */
            sum += b[k];
        }
        for (int k = 0; k < 3; k++)
            b[k] = sum > 0 ? b[k] / sum : (real)1 / 3;
        j->layout->faces[at] = slot->face + 1;
    }
}

bool raster_uv_layout_init(raster_uv_layout *layout, const raster_mesh *mesh, int height, int width,
                           arena *memory)
{
    assert(height > 0 && width > 0 && height <= RASTER_LARGEST_SIDE &&
           width <= RASTER_LARGEST_SIDE);
    assert(mesh->face_count < UINT32_MAX / 4);
    size_t texels = (size_t)height * (size_t)width;
    *layout = (raster_uv_layout){ .height = height, .width = width };
    layout->faces = arena_alloc(memory, texels, sizeof *layout->faces);
    layout->barycentrics = arena_alloc(memory, texels, 3 * sizeof *layout->barycentrics);
    if (!layout->faces || !layout->barycentrics)
        return false;
    arena_mark mark = arena_enter(memory);
    raster_mesh flat = { .vertex_count = mesh->uv_count,
                         .face_count = mesh->face_count,
                         .faces = mesh->uv_faces };
    raster_state s;
    bool drawn = raster_state_init(&s, width, height, mesh->uv_count, memory);
    if (drawn) {
        s.in_order = true;
        place(&s, mesh);
        drawn = raster_visible(&s, &flat, memory);
    }
    layout_job j = { .layout = layout, .state = &s };
    if (drawn)
        threads_parallel((size_t)height, read_row, &j);
    arena_leave(memory, mark);
    return drawn;
}

enum { STRIPS = 16, CHUNK = 4096 };

typedef struct map_job {
    const raster_uv_layout *layout;
    const uint32_t *faces;
    size_t channels, size; /* size: vertices times channels */
    const real *attributes, *dmap;
    real *map, *dattributes;
    real *sums; /* (STRIPS,size) gradient from a strip of rows each */
} map_job;

static void interpolate_row(void *context, size_t y)
{
    const map_job *j = context;
    size_t width = (size_t)j->layout->width, channels = j->channels;
    for (size_t at = y * width; at < (y + 1) * width; at++) {
        real *out = j->map + at * channels;
        memset(out, 0, channels * sizeof *out);
        if (!j->layout->faces[at])
            continue;
        const uint32_t *v = j->faces + 3 * ((size_t)j->layout->faces[at] - 1);
        const real *b = j->layout->barycentrics + 3 * at;
        for (int k = 0; k < 3; k++)
            for (size_t c = 0; c < channels; c++)
                out[c] += b[k] * j->attributes[v[k] * channels + c];
    }
}

void raster_uv_interpolate(const raster_uv_layout *layout, const uint32_t *faces,
                           const real *attributes, int channels, real *map)
{
    map_job j = { .layout = layout,
                  .faces = faces,
                  .channels = (size_t)channels,
                  .attributes = attributes,
                  .map = map };
    threads_parallel((size_t)layout->height, interpolate_row, &j);
}

static void sum_strip(void *context, size_t strip)
{
    const map_job *j = context;
    size_t height = (size_t)j->layout->height, width = (size_t)j->layout->width;
    size_t end = (strip + 1) * height / STRIPS * width;
    real *sums = j->sums + strip * j->size;
    for (size_t at = strip * height / STRIPS * width; at < end; at++) {
        if (!j->layout->faces[at])
            continue;
        const uint32_t *v = j->faces + 3 * ((size_t)j->layout->faces[at] - 1);
        const real *b = j->layout->barycentrics + 3 * at, *dmap = j->dmap + at * j->channels;
        for (int k = 0; k < 3; k++)
            for (size_t c = 0; c < j->channels; c++)
                sums[v[k] * j->channels + c] += b[k] * dmap[c];
    }
}

static void add_strips(void *context, size_t chunk)
{
    const map_job *j = context;
    size_t end = (chunk + 1) * CHUNK < j->size ? (chunk + 1) * CHUNK : j->size;
    for (size_t i = chunk * CHUNK; i < end; i++) {
        real sum = 0;
        for (size_t strip = 0; strip < STRIPS; strip++)
            sum += j->sums[strip * j->size + i];
        j->dattributes[i] += sum;
    }
}

/* Strips depend on the size only, and are added up in order. */
bool raster_uv_interpolate_adjoint(const raster_uv_layout *layout, const uint32_t *faces,
                                   size_t vertex_count, int channels, arena *scratch,
                                   const real *dmap, real *dattributes)
{
    map_job j = { .layout = layout,
                  .faces = faces,
                  .channels = (size_t)channels,
                  .size = vertex_count * (size_t)channels,
                  .dmap = dmap,
                  .dattributes = dattributes };
    arena_mark mark = arena_enter(scratch);
    j.sums = arena_alloc(scratch, j.size, STRIPS * sizeof *j.sums);
    if (!j.sums)
        return false;
    threads_parallel(STRIPS, sum_strip, &j);
    threads_parallel((j.size + CHUNK - 1) / CHUNK, add_strips, &j);
    arena_leave(scratch, mark);
    return true;
}

typedef struct lookup_job {
    const raster_texture *texture;
    const real *uvs;
    size_t count;
    real *out;
} lookup_job;

static void look_up_chunk(void *context, size_t chunk)
{
    const lookup_job *j = context;
    size_t end = (chunk + 1) * CHUNK < j->count ? (chunk + 1) * CHUNK : j->count;
    size_t channels = (size_t)j->texture->channels;
    for (size_t i = chunk * CHUNK; i < end; i++) {
        raster_lookup lookup = { .uv = { j->uvs[2 * i], j->uvs[2 * i + 1] } };
        raster_look_up(j->texture, &lookup);
        memcpy(j->out + i * channels, lookup.colour, channels * sizeof(real));
    }
}

void raster_uv_look_up(const raster_texture *texture, const real *uvs, size_t count, real *out)
{
    lookup_job j = { .texture = texture, .uvs = uvs, .count = count, .out = out };
    threads_parallel((count + CHUNK - 1) / CHUNK, look_up_chunk, &j);
}

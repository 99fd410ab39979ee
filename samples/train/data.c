/* SPDX-License-Identifier: Apache-2.0 */
/* Random pictures of sample heads: grey, normals, textured, and the UV textures themselves. */
#include "data.h"

#include "fit/fit.h"
#include "image/image.h"
#include "mesh/mesh.h"
#include "paint.h"
#include "raster/raster.h"
#include "sculpt.h"

#include <math.h>
#include <string.h>

enum { TEXTURE = 256 };

struct data {
    const sculpt_topology *topology;
    mesh_adjacency adjacency;
    view_framing framing;
    painter *texture, *picture; /* at TEXTURE texels, and at DATA_SIZE for the UV pictures */
    float linear[256];          /* sRGB byte to linear */
};

data *data_create(void)
{
    data *d = hds_alloc(1, sizeof *d);
    if (!d)
        return NULL;
    d->topology = sculpt_get_topology();
    float *vertices = hds_alloc(3 * d->topology->vertex_count, sizeof *vertices);
    d->texture = painter_create(TEXTURE);
    d->picture = painter_create(DATA_SIZE);
    if (!vertices || !d->texture || !d->picture ||
        mesh_adjacency_init(&d->adjacency, d->topology->faces, d->topology->face_count,
                            d->topology->vertex_count, NULL) != HDS_OK) {
        data_destroy(&d);
    } else {
        sculpt_vertices(NULL, NULL, vertices);
        d->framing = view_framing_of(vertices, d->topology->vertex_count);
        for (int i = 0; i < 256; i++)
            d->linear[i] = image_srgb_to_linear((float)i / 255);
    }
    hds_free(vertices);
    return d;
}

void data_destroy(data **d)
{
    if (!*d)
        return;
    painter_destroy((*d)->texture);
    painter_destroy((*d)->picture);
    mesh_adjacency_finish(&(*d)->adjacency);
    hds_free(*d);
    *d = NULL;
}

/* Wider than the population, so that the poles are seen often. */
static float extreme(rng *r)
{
    return fminf(fmaxf(1.6f * (float)rng_normal(r), -2.6f), 2.6f);
}

static float ordinary(rng *r)
{
    return fminf(fmaxf((float)rng_normal(r), -2.5f), 2.5f);
}

static caption_medium pick_medium(rng *r)
{
    double u = rng_uniform(r);
    return u < 0.27   ? CAPTION_GREY
           : u < 0.54 ? CAPTION_NORMALS
           : u < 0.64 ? CAPTION_PHOTO
                      : CAPTION_UV;
}

static bool draw(const data *d, rng *r, const float *shape, const real *texels, data_sample *sample,
                 uint8_t *pixels)
{
    const sculpt_topology *t = d->topology;
    arena scratch = { 0 };
    float minor[SCULPT_MINOR];
    for (int i = 0; i < SCULPT_MINOR; i++)
        minor[i] = ordinary(r);
    real *vertices = arena_alloc(&scratch, 3 * t->vertex_count, sizeof *vertices);
    real *normals = arena_alloc(&scratch, 3 * t->vertex_count, sizeof *normals);
    real *image = arena_alloc(&scratch, DATA_SIZE * DATA_SIZE * 3, sizeof *image);
    bool drawn = vertices && normals && image;
    if (drawn) {
        sculpt_vertices(shape, minor, vertices);
        mesh_normals(&d->adjacency, vertices, normals, NULL);
        /* One in eight from anywhere, the others from where the fit looks. */
        real range = rng_below(r, 8) ? 100 : 180;
        raster_view view;
        view_random(r, &d->framing, range, (real)rng_uniform(r),
                    sample->medium == CAPTION_NORMALS ? RASTER_NORMALS : RASTER_SHADED, DATA_SIZE,
                    &view);
        const raster_texture map = { TEXTURE, TEXTURE, 3, 1, texels };
        view.texture = texels ? &map : NULL;
        sample->azimuth = view.camera.azimuth;
        raster_mesh mesh = { t->vertex_count, t->face_count, t->uv_count, vertices,
                             t->faces,        t->uvs,        t->uv_faces };
        drawn = raster_draw(&mesh, normals, &view, &scratch, image) != NULL;
    }
    for (int i = 0; drawn && i < DATA_SIZE * DATA_SIZE * 3; i++)
        pixels[i] = (uint8_t)lrintf(255 * fminf(fmaxf(image[i], 0), 1));
    arena_finish(&scratch);
    return drawn;
}

bool data_make(const data *d, uint64_t seed, uint64_t index, uint8_t *pixels, data_sample *sample)
{
    rng r = rng_make(seed, index);
    *sample = (data_sample){ .medium = pick_medium(&r) };
    for (int i = 0; i < CAPTION_ATTRIBUTES; i++)
        sample->attributes[i] = extreme(&r);
    const float *paint = sample->attributes + CAPTION_SHAPE;
    float minor[PAINT_MINOR];
    for (int i = 0; i < PAINT_MINOR; i++)
        minor[i] = ordinary(&r);
    if (sample->medium == CAPTION_UV) {
        painter_paint(d->picture, paint, minor, pixels);
        return true;
    }
    if (sample->medium != CAPTION_PHOTO)
        return draw(d, &r, sample->attributes, NULL, sample, pixels);
    size_t texels = (size_t)TEXTURE * TEXTURE * 3;
    uint8_t *bytes = hds_alloc(texels, 1);
    real *linear = hds_alloc(texels, sizeof *linear);
    bool drawn = bytes && linear;
    if (drawn) {
        painter_paint(d->texture, paint, minor, bytes);
        for (size_t i = 0; i < texels; i++)
            linear[i] = d->linear[bytes[i]];
        drawn = draw(d, &r, sample->attributes, linear, sample, pixels);
    }
    hds_free(bytes);
    hds_free(linear);
    return drawn;
}

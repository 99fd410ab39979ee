/* SPDX-License-Identifier: Apache-2.0 */
/* The colour of each covered pixel from its face's corners, and the adjoint.
 *
 *   q_i = plane_i . (x, y, 1) >= 0,  n = sum q_i n_i,  u = n / |n|,  b = q / sum q
 *   normals: u / 2 + 1/2
 *   shaded:  sRGB(albedo(sum b_i uv_i) * E(u) / pi)
 *
 * Pixels of a band are gathered into blocks of columns, so that the arithmetic between gathering
 * and scattering is plain loops over columns. A run is the part of a row that shows one face.
 * plain.c has the same one pixel at a time. */
#include "raster/raster_priv.h"

#include "raster/srgb.h"

#include <string.h>
#include <tgmath.h>

enum { BLOCK = 128 };

typedef struct run {
    uint32_t slot;
    int begin, end; /* columns */
    real x, y;      /* first pixel, relative to the slot's origin */
} run;

/* Columns of pixels; a gradient is its variable with d in front. */
typedef struct block {
    int count, runs;
    run run[BLOCK];
    uint32_t pixel[BLOCK];
    size_t first; /* of the covered pixels of the picture */
    real q[3][BLOCK], n[3][BLOCK], length[BLOCK], uv[2][BLOCK];
    real albedo[3][BLOCK], slope[2][3][BLOCK];
    real out[3][BLOCK], duv[2][BLOCK], dn[3][BLOCK];
} block;

typedef struct slot_gradient {
    real planes[9], normals[9];
} slot_gradient;

typedef struct job {
    const raster_state *state;
    const raster_mesh *mesh;
    const real *normals;
    const raster_view *view;
    real light[9]; /* polynomial */
    real *image;
    const real *draw;         /* adjoint: gradient before blending */
    slot_gradient *gradients; /* adjoint: (slots) */
    raster_texel *texels;     /* adjoint: (covered pixels), or NULL */
    real low, high;           /* depth: range of 1/w */
} job;

static inline bool is_grey(const raster_view *view)
{
    const real *a = view->albedo;
    return !view->texture && a[0] == a[1] && a[0] == a[2];
}

typedef void (*block_body)(const job *j, block *b);

static inline void finish_block(const job *j, block *b, block_body body)
{
    body(j, b);
    b->first += (size_t)b->count;
    b->count = b->runs = 0;
}

/* Calls body on the covered pixels of a band, block by block. */
static inline void each_block(const job *j, size_t band, block *b, block_body body)
{
    const raster_state *s = j->state;
    int begin = (int)band << s->band_bits, end = begin + (1 << s->band_bits);
    b->count = b->runs = 0;
    b->first = s->covered[band];
    for (int y = begin; y < end && y < s->height; y++) {
        const uint32_t *visible = s->visible + (size_t)y * (size_t)s->width;
        for (int x = 0; x < s->width;) {
            uint32_t name = visible[x];
            if (!name) {
                x++;
                continue;
            }
            const raster_slot *slot = &s->slots[name - 1];
            run *r = &b->run[b->runs++];
            *r = (run){ .slot = name - 1,
                        .begin = b->count,
                        .x = (real)(x - slot->x0),
                        .y = (real)(y - slot->y0) };
            for (; x < s->width && visible[x] == name && b->count < BLOCK; x++)
                b->pixel[b->count++] = (uint32_t)y * (uint32_t)s->width + (uint32_t)x;
            r->end = b->count;
            if (b->count == BLOCK)
                finish_block(j, b, body);
        }
    }
    if (b->count)
        finish_block(j, b, body);
}

static inline void look_up(const job *j, block *b, const run *r)
{
    const uint32_t *t = j->mesh->uv_faces + 3 * j->state->slots[r->slot].face;
    for (int i = r->begin; i < r->end; i++) {
        real sum = b->q[0][i] + b->q[1][i] + b->q[2][i], uv[2], colour[3], slope[2][3];
        for (int c = 0; c < 2; c++) {
            uv[c] = 0;
            for (int k = 0; k < 3; k++)
                uv[c] += b->q[k][i] * (real)j->mesh->uvs[2 * t[k] + c];
            uv[c] /= sum;
            b->uv[c][i] = uv[c];
        }
        raster_texture(j->view, uv, colour, slope);
        for (int c = 0; c < 3; c++) {
            b->albedo[c][i] = colour[c];
            b->slope[0][c][i] = slope[0][c];
            b->slope[1][c][i] = slope[1][c];
        }
    }
}

/* q and n, and what the texture holds there. */
static inline void gather(const job *j, block *b)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const raster_slot *slot = &j->state->slots[r->slot];
        const uint32_t *v = j->mesh->faces + 3 * slot->face;
        const real *n0 = j->normals + 3 * v[0], *n1 = j->normals + 3 * v[1];
        const real *n2 = j->normals + 3 * v[2];
        for (int i = r->begin; i < r->end; i++) {
            real q[3], x = r->x + (real)(i - r->begin);
            for (int c = 0; c < 3; c++) {
                q[c] = slot->plane[c][0] * x + slot->plane[c][1] * r->y + slot->plane[c][2];
                q[c] = q[c] > 0 ? q[c] : 0; /* snapped coverage reaches beyond the edges */
            }
            real none = q[0] + q[1] + q[2] > 0 ? 0 : 1;
            for (int c = 0; c < 3; c++)
                b->q[c][i] = q[c] + none;
            for (int c = 0; c < 3; c++)
                b->n[c][i] = b->q[0][i] * n0[c] + b->q[1][i] * n1[c] + b->q[2][i] * n2[c];
        }
        if (j->view->texture)
            look_up(j, b, r);
    }
    for (int c = 0; c < 3 && !j->view->texture; c++)
        for (int i = 0; i < b->count; i++)
            b->albedo[c][i] = j->view->albedo[c];
}

/* n becomes u; keeps the lengths. */
static inline void normalise(block *b)
{
    for (int i = 0; i < b->count; i++) {
        real x = b->n[0][i], y = b->n[1][i], z = b->n[2][i], square = x * x + y * y + z * z;
        real length = sqrt(square > (real)1e-24 ? square : (real)1e-24);
        b->length[i] = length;
        b->n[0][i] = x / length;
        b->n[1][i] = y / length;
        b->n[2][i] = z / length;
    }
}

static inline real irradiance_at(const real p[9], real x, real y, real z)
{
    real e = p[0] + p[1] * x + p[2] * y + p[3] * z + p[4] * x * y + p[5] * y * z + p[6] * x * z +
             p[7] * z * z + p[8] * (x * x - y * y);
    return e > 0 ? e : 0;
}

HDS_WIDE static void shade_block(const job *j, block *b)
{
    const bool grey = is_grey(j->view);
    real p[9];
    memcpy(p, j->light, sizeof p);
    gather(j, b);
    normalise(b);
    for (int c = 0; c < 3; c++) {
        if (j->view->mode == RASTER_NORMALS)
            for (int i = 0; i < b->count; i++)
                b->out[c][i] = (real)0.5 * b->n[c][i] + (real)0.5;
        else if (grey && c > 0)
            memcpy(b->out[c], b->out[0], sizeof b->out[c]);
        else
            for (int i = 0; i < b->count; i++) {
                real e = irradiance_at(p, b->n[0][i], b->n[1][i], b->n[2][i]);
                b->out[c][i] = srgb_from_linear(b->albedo[c][i] * e);
            }
    }
    for (int i = 0; i < b->count; i++)
        for (int c = 0; c < 3; c++)
            j->image[3 * (size_t)b->pixel[i] + (size_t)c] = b->out[c][i];
}

static inline void gather_gradient(const job *j, block *b)
{
    for (int i = 0; i < b->count; i++)
        for (int c = 0; c < 3; c++)
            b->out[c][i] = j->draw[3 * (size_t)b->pixel[i] + (size_t)c];
}

/* out: gradient of the colour, becomes that of the albedo. -> dn = gradient of u, duv */
static inline void light_adjoint(const job *j, block *b)
{
    real p[9];
    memcpy(p, j->light, sizeof p);
    for (int i = 0; i < b->count; i++) {
        real x = b->n[0][i], y = b->n[1][i], z = b->n[2][i], e = irradiance_at(p, x, y, z), de = 0;
        for (int c = 0; c < 3; c++) {
            real dlinear = b->out[c][i] * srgb_slope(b->albedo[c][i] * e);
            de += dlinear * b->albedo[c][i];
            b->out[c][i] = dlinear * e;
        }
        de = e > 0 ? de : 0;
        b->dn[0][i] = de * (p[1] + p[4] * y + p[6] * z + 2 * p[8] * x);
        b->dn[1][i] = de * (p[2] + p[4] * x + p[5] * z - 2 * p[8] * y);
        b->dn[2][i] = de * (p[3] + p[5] * y + p[6] * x + 2 * p[7] * z);
    }
    for (int k = 0; k < 2 && j->view->texture; k++)
        for (int i = 0; i < b->count; i++)
            b->duv[k][i] = b->out[0][i] * b->slope[k][0][i] + b->out[1][i] * b->slope[k][1][i] +
                           b->out[2][i] * b->slope[k][2][i];
}

/* Gradients of u become those of n. */
static inline void normalise_adjoint(block *b)
{
    for (int i = 0; i < b->count; i++) {
        real x = b->n[0][i], y = b->n[1][i], z = b->n[2][i];
        real along = b->dn[0][i] * x + b->dn[1][i] * y + b->dn[2][i] * z;
        b->dn[0][i] = (b->dn[0][i] - along * x) / b->length[i];
        b->dn[1][i] = (b->dn[1][i] - along * y) / b->length[i];
        b->dn[2][i] = (b->dn[2][i] - along * z) / b->length[i];
    }
}

/* Through the uv of one pixel to dq. */
static inline void look_up_adjoint(const job *j, const block *b, const uint32_t *t, int i,
                                   real dq[3])
{
    real sum = b->q[0][i] + b->q[1][i] + b->q[2][i];
    for (int k = 0; k < 3; k++)
        for (int c = 0; c < 2; c++)
            dq[k] += b->duv[c][i] * ((real)j->mesh->uvs[2 * t[k] + c] - b->uv[c][i]) / sum;
    if (j->texels) {
        raster_texel *texel = &j->texels[b->first + (size_t)i];
        for (int c = 0; c < 2; c++)
            texel->uv[c] = b->uv[c][i];
        for (int c = 0; c < 3; c++)
            texel->dcolour[c] = b->out[c][i];
    }
}

static inline void scatter(const job *j, block *b)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const raster_slot *slot = &j->state->slots[r->slot];
        const uint32_t *v = j->mesh->faces + 3 * slot->face;
        const real *corner[3] = { j->normals + 3 * v[0], j->normals + 3 * v[1],
                                  j->normals + 3 * v[2] };
        slot_gradient g = j->gradients[r->slot];
        for (int i = r->begin; i < r->end; i++) {
            real x = r->x + (real)(i - r->begin), dq[3];
            const real dn[3] = { b->dn[0][i], b->dn[1][i], b->dn[2][i] };
            for (int c = 0; c < 3; c++)
                dq[c] = dn[0] * corner[c][0] + dn[1] * corner[c][1] + dn[2] * corner[c][2];
            if (j->view->texture)
                look_up_adjoint(j, b, j->mesh->uv_faces + 3 * slot->face, i, dq);
            for (int c = 0; c < 3; c++) {
                const real *plane = slot->plane[c];
                real inside = plane[0] * x + plane[1] * r->y + plane[2] > 0 ? dq[c] : 0;
                g.planes[3 * c] += inside * x;
                g.planes[3 * c + 1] += inside * r->y;
                g.planes[3 * c + 2] += inside;
            }
            for (int c = 0; c < 9; c++)
                g.normals[c] += b->q[c / 3][i] * dn[c % 3];
        }
        j->gradients[r->slot] = g;
    }
}

HDS_WIDE static void shade_block_adjoint(const job *j, block *b)
{
    gather(j, b);
    normalise(b);
    gather_gradient(j, b);
    if (j->view->mode == RASTER_NORMALS) {
        for (int c = 0; c < 3; c++)
            for (int i = 0; i < b->count; i++)
                b->dn[c][i] = (real)0.5 * b->out[c][i];
        memset(b->duv, 0, sizeof b->duv);
    } else {
        light_adjoint(j, b);
    }
    normalise_adjoint(b);
    scatter(j, b);
}

static void fill_background(const job *j, size_t begin, size_t end)
{
    const real *colour = j->view->background;
    for (size_t i = begin; i < end; i++)
        if (!j->state->visible[i])
            for (int c = 0; c < 3; c++)
                j->image[3 * i + (size_t)c] = colour[c];
}

static void fill_depth(const job *j, size_t begin, size_t end)
{
    const real range = j->high - j->low;
    for (size_t i = begin; i < end; i++) {
        real nearness = range > 0 ? (j->state->depth[i] - j->low) / range : 1;
        for (int c = 0; c < 3; c++)
            j->image[3 * i + (size_t)c] = j->state->visible[i] ? (nearness + 1) / 2 : 0;
    }
}

static void shade_band(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    size_t row = (size_t)s->width, begin = (band << s->band_bits) * row;
    size_t end = begin + ((size_t)1 << s->band_bits) * row, size = (size_t)s->height * row;
    end = end < size ? end : size;
    block b;
    if (j->view->mode == RASTER_DEPTH) {
        fill_depth(j, begin, end);
        return;
    }
    fill_background(j, begin, end);
    each_block(j, band, &b, shade_block);
}

void raster_shade(const raster_state *state, const raster_mesh *mesh, const real *normals,
                  const raster_view *view, real *image)
{
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view, .image = image };
    size_t pixels = (size_t)state->width * (size_t)state->height;
    raster_light_polynomial(view->light, j.light);
    for (size_t i = 0; i < pixels && view->mode == RASTER_DEPTH; i++) {
        real depth = state->depth[i];
        j.low = state->visible[i] && (j.low == 0 || depth < j.low) ? depth : j.low;
        j.high = depth > j.high ? depth : j.high;
    }
    threads_parallel((size_t)state->band_count, shade_band, &j);
}

static void shade_band_adjoint(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    block b;
    each_block(j, band, &b, shade_block_adjoint);
    for (uint32_t i = s->bands[band]; i < s->bands[band + 1]; i++)
        raster_plane_adjoint(s, j->mesh, &s->slots[i], j->gradients[i].planes);
}

/* Each band writes to its own slots; they are then added up in order. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *draw, real *dscreen,
                          real *dnormals, real *dtexture)
{
    size_t slots = state->bands[state->band_count];
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view, .draw = draw };
    bool texels = dtexture && view->texture && view->mode == RASTER_SHADED;
    raster_light_polynomial(view->light, j.light);
    j.gradients = arena_alloc(scratch, slots, sizeof *j.gradients);
    if (texels)
        j.texels = arena_alloc(scratch, state->covered[state->band_count], sizeof *j.texels);
    if (!j.gradients || (texels && !j.texels))
        return false;
    threads_parallel((size_t)state->band_count, shade_band_adjoint, &j);
    if (texels && !raster_texture_adjoint(view, j.texels, state->covered, state->band_count,
                                          scratch, dtexture))
        return false;
    for (size_t i = 0; i < slots; i++) {
        const uint32_t *v = mesh->faces + 3 * state->slots[i].face;
        for (int k = 0; k < 9; k++)
            dscreen[3 * v[k / 3] + k % 3] += j.gradients[i].planes[k];
        for (int k = 0; k < 9 && dnormals; k++)
            dnormals[3 * v[k / 3] + k % 3] += j.gradients[i].normals[k];
    }
    return true;
}

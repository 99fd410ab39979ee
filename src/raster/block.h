/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of pixels in columns, for shade.c: filled from runs and the planes of their surfaces, read
 * from and written to pictures, and their gradients gathered into moments (surface.c).
 *
 * Runs of pixels are gathered so that the arithmetic between gathering and scattering is plain
 * loops over columns. */
#ifndef HDS_RASTER_BLOCK_H
#define HDS_RASTER_BLOCK_H

#include "raster/raster_priv.h"

#include <tgmath.h>

enum { BLOCK = 128, PADDED = BLOCK + RASTER_LANES }; /* runs are written in whole lanes */

#define INLINE static inline __attribute__((always_inline))

/* (A part of) a run in a block. */
typedef struct run {
    uint32_t slot, pixel; /* the first */
    int begin, end;       /* columns */
    real x, y;            /* first pixel, relative to the slot's origin */
} run;

/* Columns of pixels; a gradient is its variable with d in front. */
typedef struct block {
    int count, runs;
    run run[BLOCK];
    size_t first; /* of the lookups of the picture */
    real a[RASTER_ATTRIBUTES][PADDED], length[PADDED];
    real inside[PADDED]; /* 1 where 1/w is that of the plane, 0 where it is limited */
    raster_lookup lookup[BLOCK];
    real albedo[RASTER_CHANNELS][PADDED], out[RASTER_CHANNELS][PADDED];
    real da[RASTER_ATTRIBUTES][PADDED];
} block;

typedef union slot_gradient {
    real moments[RASTER_ATTRIBUTES][3]; /* of the attributes' planes: by x, by y, constant */
    struct {
        real places[9], normals[9];
    } corner;
} slot_gradient;

typedef struct job {
    const raster_state *state;
    const raster_mesh *mesh;
    const real *normals;
    const raster_view *view;
    const raster_texture *texture; /* NULL: none, or the mode has no use for it */
    int channels, from, to;        /* attributes [from, to) are needed */
    real light[9];                 /* harmonics: the polynomial */
    real frame[9];                 /* M */
    real least, most;              /* depth: range of 1/w */
    real *image;
    const real *background;   /* one row, or the picture where there is one */
    const real *dimage;       /* adjoint */
    slot_gradient *gradients; /* adjoint: (slots) */
    raster_texel *texels;     /* adjoint: (covered pixels + 2 crossings), or NULL */
    uint32_t *first;          /* adjoint: (bands + 2) of texels: the crossings are a band more */
    real (*dlight)[9];        /* adjoint: (bands + 1), of the polynomial; or NULL */
    real (*drange)[2];        /* adjoint: (bands + 1), of least and most */
} job;

typedef void (*block_body)(const job *j, size_t band, block *b);

INLINE void finish_block(const job *j, size_t band, block *b, block_body body)
{
    body(j, band, b);
    b->first += (size_t)b->count;
    b->count = b->runs = 0;
}

/* Takes at most `length` pixels into the block; how many. */
INLINE int add_run(const job *j, block *b, uint32_t name, uint32_t pixel, int length)
{
    const raster_slot *slot = &j->state->slots[name];
    const uint32_t width = (uint32_t)j->state->width;
    int room = BLOCK - b->count, taken = length < room ? length : room;
    b->run[b->runs++] = (run){ .slot = name,
                               .pixel = pixel,
                               .begin = b->count,
                               .end = b->count + taken,
                               .x = (real)((int)(pixel % width) - slot->x0),
                               .y = (real)((int)(pixel / width) - slot->y0) };
    b->count += taken;
    return taken;
}

/* Calls body on the covered pixels of a band, block by block. */
INLINE void each_block(const job *j, size_t band, block *b, block_body body)
{
    const raster_state *s = j->state;
    const raster_run *r = s->runs + (size_t)raster_band_begin(s, band) * (size_t)s->width;
    const raster_run *end = r + s->run_counts[band];
    b->count = b->runs = 0;
    b->first = s->covered[band];
    for (; r < end; r++)
        for (int taken = 0; taken < r->length;) {
            taken += add_run(j, b, r->slot, r->pixel + (uint32_t)taken, r->length - taken);
            if (b->count == BLOCK)
                finish_block(j, band, b, body);
        }
    if (b->count)
        finish_block(j, band, b, body);
}

static const raster_lanes steps = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* 1/w of the plane reaches beyond that of the corners where a pixel lies beyond an edge; by less
 * than RASTER_SLACK it is rounding. */
INLINE void limit_depth(block *b, const run *r, const raster_surface *surface)
{
    real *w = b->a[RASTER_A_W];
    for (int i = r->begin; i < r->end; i++) {
        real limited = w[i] > surface->least ? w[i] : surface->least;
        limited = limited < surface->most ? limited : surface->most;
        b->inside[i] = fabs(limited - w[i]) <= RASTER_SLACK * limited ? 1 : 0;
        w[i] = limited;
    }
}

INLINE void gather(const job *j, block *b)
{
    const int from = j->from, to = j->to;
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const raster_surface *surface = &j->state->surfaces[r->slot];
        const raster_lanes x = r->x + steps;
        for (int a = from; a < to; a++) {
            const real *plane = surface->plane[a];
            raster_lanes *out = (raster_lanes *)(b->a[a] + r->begin);
            raster_lanes at = plane[0] * x + (plane[1] * r->y + plane[2]);
            for (int left = r->end - r->begin; left > 0; left -= RASTER_LANES) {
                *out++ = at;
                at += plane[0] * RASTER_LANES;
            }
        }
        if (to == RASTER_ATTRIBUTES)
            limit_depth(b, r, surface);
    }
}

/* n becomes u; keeps the lengths. */
INLINE void normalise(block *b)
{
    for (int i = 0; i < b->count; i++) {
        real x = b->a[0][i], y = b->a[1][i], z = b->a[2][i], square = x * x + y * y + z * z;
        real length = sqrt(square > (real)1e-24 ? square : (real)1e-24);
        b->length[i] = length;
        b->a[0][i] = x / length;
        b->a[1][i] = y / length;
        b->a[2][i] = z / length;
    }
}

/* Gradients of u become those of n. */
INLINE void normalise_adjoint(block *b)
{
    for (int i = 0; i < b->count; i++) {
        real x = b->a[0][i], y = b->a[1][i], z = b->a[2][i];
        real along = b->da[0][i] * x + b->da[1][i] * y + b->da[2][i] * z;
        b->da[0][i] = (b->da[0][i] - along * x) / b->length[i];
        b->da[1][i] = (b->da[1][i] - along * y) / b->length[i];
        b->da[2][i] = (b->da[2][i] - along * z) / b->length[i];
    }
}

INLINE void write_block(const job *j, const block *b, int channels)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        real *out = j->image + (size_t)channels * r->pixel;
        for (int i = r->begin; i < r->end; i++)
            for (int c = 0; c < channels; c++)
                *out++ = b->out[c][i];
    }
}

INLINE void read_block(const job *j, block *b, int channels)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const real *in = j->dimage + (size_t)channels * r->pixel;
        for (int i = r->begin; i < r->end; i++)
            for (int c = 0; c < channels; c++)
                b->out[c][i] = *in++;
    }
}

INLINE real sum_lanes(const raster_lanes *lanes)
{
    raster_lanes x = *lanes;
    x += __builtin_shufflevector(x, x, 4, 5, 6, 7, 0, 1, 2, 3);
    x += __builtin_shufflevector(x, x, 2, 3, 0, 1, 6, 7, 4, 5);
    return x[0] + x[1];
}

/* += the moments of da */
INLINE void scatter(const job *j, const block *b)
{
    const raster_lanes none = { 0 };
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        real(*moments)[3] = j->gradients[r->slot].moments;
        for (int a = j->from; a < j->to; a++) {
            raster_lanes sum = none, along = none, x = r->x + steps;
            for (int i = r->begin; i < r->end; i += RASTER_LANES) {
                raster_lanes da = *(const raster_lanes *)(b->da[a] + i);
                da = RASTER_CHOOSE(steps < (real)(r->end - i), da, none);
                sum += da;
                along += x * da;
                x += RASTER_LANES;
            }
            real total = sum_lanes(&sum);
            moments[a][0] += sum_lanes(&along);
            moments[a][1] += total * r->y;
            moments[a][2] += total;
        }
    }
}

#endif

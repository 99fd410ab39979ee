/* SPDX-License-Identifier: Apache-2.0 */
/* Visibility: for each pixel the nearest face that covers its centre.
 *
 * Coverage is decided with integer edge functions on vertices snapped to 1/256 pixel and the
 * top-left rule, so that faces which share an edge leave no gap and no overlap. Both sides of a
 * face are drawn: an open neck shows its inside, not a hole. The picture is cut into bands of
 * rows; each has the list of its faces and is drawn on its own. The larger 1/w wins, at equality
 * the face that comes first. Barycentrics come from the unsnapped positions. */
#include "raster/raster_priv.h"

#include <assert.h>
#include <math.h>

typedef struct box {
    int16_t x0, y0, x1, y1; /* pixels whose centres may be inside, both ends included */
} box;

typedef struct job {
    raster_state *state;
    const raster_mesh *mesh;
    box *boxes; /* (F), x1 < x0: nothing to draw */
} job;

static int32_t min3(int32_t a, int32_t b, int32_t c)
{
    int32_t m = a < b ? a : b;
    return m < c ? m : c;
}

static int32_t max3(int32_t a, int32_t b, int32_t c)
{
    int32_t m = a > b ? a : b;
    return m > c ? m : c;
}

/* First and last pixel centre between two snapped positions, within [0, size). */
static int32_t first_pixel(int32_t low)
{
    int32_t p = (low + RASTER_SUBPIXELS / 2 - 1) >> RASTER_SUBPIXEL_BITS;
    return p > 0 ? p : 0;
}

static int32_t last_pixel(int32_t high, int size)
{
    int32_t p = (high - RASTER_SUBPIXELS / 2) >> RASTER_SUBPIXEL_BITS;
    return p < size ? p : size - 1;
}

static void measure_faces(void *context, size_t chunk)
{
    const job *j = context;
    const raster_state *s = j->state;
    size_t end = (chunk + 1) * RASTER_FACE_CHUNK;
    if (end > j->mesh->face_count)
        end = j->mesh->face_count;
    for (size_t f = chunk * RASTER_FACE_CHUNK; f < end; f++) {
        const uint32_t *v = j->mesh->faces + 3 * f;
        const int32_t *a = s->snapped + 2 * v[0], *b = s->snapped + 2 * v[1];
        const int32_t *c = s->snapped + 2 * v[2];
        j->boxes[f] = (box){ 1, 1, 0, 0 };
        s->facing[f] = 0;
        if (a[0] == RASTER_OUTSIDE || b[0] == RASTER_OUTSIDE || c[0] == RASTER_OUTSIDE)
            continue;
        int64_t area = (int64_t)(b[0] - a[0]) * (c[1] - a[1]) -
                       (int64_t)(c[0] - a[0]) * (b[1] - a[1]);
        s->facing[f] = area < 0 ? -1 : 1;
        if (area == 0)
            continue;
        int32_t x0 = first_pixel(min3(a[0], b[0], c[0])), y0 = first_pixel(min3(a[1], b[1], c[1]));
        int32_t x1 = last_pixel(max3(a[0], b[0], c[0]), s->width);
        int32_t y1 = last_pixel(max3(a[1], b[1], c[1]), s->height);
        if (x0 <= x1 && y0 <= y1)
            j->boxes[f] = (box){ (int16_t)x0, (int16_t)y0, (int16_t)x1, (int16_t)y1 };
    }
}

/* Slots of each band in the order of the faces. */
static bool fill_bands(job *j, arena *scratch)
{
    raster_state *s = j->state;
    s->bands = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *s->bands);
    uint32_t *next = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *next);
    if (!s->bands || !next)
        return false;
    for (size_t f = 0; f < j->mesh->face_count; f++) {
        const box *b = &j->boxes[f];
        if (b->x0 <= b->x1)
            for (int i = b->y0 / s->band_rows; i <= b->y1 / s->band_rows; i++)
                s->bands[i + 1]++;
    }
    for (int i = 0; i < s->band_count; i++) {
        s->bands[i + 1] += s->bands[i];
        next[i] = s->bands[i];
    }
    s->slots = arena_alloc(scratch, s->bands[s->band_count], sizeof *s->slots);
    if (!s->slots)
        return false;
    for (size_t f = 0; f < j->mesh->face_count; f++) {
        const box *b = &j->boxes[f];
        if (b->x0 <= b->x1)
            for (int i = b->y0 / s->band_rows; i <= b->y1 / s->band_rows; i++)
                s->slots[next[i]++].face = (uint32_t)f;
    }
    return true;
}

/* Corners relative to the centre of pixel (x0, y0). */
static void corners(const raster_state *s, const raster_mesh *mesh, const raster_slot *slot,
                    real x[3], real y[3], real inverse[3])
{
    for (int k = 0; k < 3; k++) {
        const real *p = s->screen + 3 * mesh->faces[3 * slot->face + k];
        x[k] = p[0] - ((real)slot->x0 + (real)0.5);
        y[k] = p[1] - ((real)slot->y0 + (real)0.5);
        inverse[k] = p[2];
    }
}

static real inverse_area(const real x[3], const real y[3])
{
    real area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]);
    return fabs(area) > (real)1e-12 ? 1 / area : 0;
}

static void set_planes(const raster_state *s, const raster_mesh *mesh, raster_slot *slot)
{
    real x[3], y[3], inverse[3];
    corners(s, mesh, slot, x, y, inverse);
    real r = inverse_area(x, y);
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        real scale = r * inverse[i];
        slot->plane[i][0] = scale * (y[a] - y[b]);
        slot->plane[i][1] = scale * (x[b] - x[a]);
        slot->plane[i][2] = scale * (x[a] * y[b] - x[b] * y[a]);
    }
}

/* The common factor 1 / area is left out: the barycentrics don't depend on it. */
void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, real dplane[3][3], real *dscreen)
{
    real x[3], y[3], inverse[3], dx[3] = { 0 }, dy[3] = { 0 };
    corners(state, mesh, slot, x, y, inverse);
    real r = inverse_area(x, y);
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        const real *g = dplane[i];
        real scale = r * inverse[i], cross = x[a] * y[b] - x[b] * y[a];
        real dinverse = r * (g[0] * (y[a] - y[b]) + g[1] * (x[b] - x[a]) + g[2] * cross);
        dx[a] += scale * (g[2] * y[b] - g[1]);
        dx[b] += scale * (g[1] - g[2] * y[a]);
        dy[a] += scale * (g[0] - g[2] * x[b]);
        dy[b] += scale * (g[2] * x[a] - g[0]);
        dscreen[3 * mesh->faces[3 * slot->face + i] + 2] += dinverse;
    }
    for (int k = 0; k < 3; k++) {
        real *d = dscreen + 3 * mesh->faces[3 * slot->face + k];
        d[0] += dx[k];
        d[1] += dy[k];
    }
}

/* Edge functions e_i(x, y) = a_i x + b_i y + c_i over pixels, inside where all are >= 0. */
typedef struct edges {
    int64_t a[3], b[3], c[3];
} edges;

static edges set_edges(const raster_state *s, const uint32_t *v, int32_t x0, int32_t y0)
{
    edges e;
    const int32_t half = RASTER_SUBPIXELS / 2;
    int64_t x[3], y[3];
    for (int k = 0; k < 3; k++) {
        x[k] = s->snapped[2 * v[k]] - (x0 * RASTER_SUBPIXELS + half);
        y[k] = s->snapped[2 * v[k] + 1] - (y0 * RASTER_SUBPIXELS + half);
    }
    int64_t sign = (x[1] - x[0]) * (y[2] - y[0]) < (x[2] - x[0]) * (y[1] - y[0]) ? -1 : 1;
    for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        int64_t dx = sign * (x[k] - x[j]), dy = sign * (y[k] - y[j]);
        bool top_left = dy < 0 || (dy == 0 && dx > 0);
        e.a[i] = -dy * RASTER_SUBPIXELS;
        e.b[i] = dx * RASTER_SUBPIXELS;
        e.c[i] = sign * (x[j] * y[k] - x[k] * y[j]) - (top_left ? 0 : 1);
    }
    return e;
}

static void draw_slot(const job *j, uint32_t index, int row_begin, int row_end)
{
    const raster_state *s = j->state;
    raster_slot *slot = &s->slots[index];
    const box *b = &j->boxes[slot->face];
    const uint32_t *v = j->mesh->faces + 3 * slot->face;
    int y0 = b->y0 > row_begin ? b->y0 : row_begin, y1 = b->y1 < row_end ? b->y1 : row_end - 1;
    slot->x0 = b->x0;
    slot->y0 = y0;
    set_planes(s, j->mesh, slot);
    edges e = set_edges(s, v, b->x0, y0);
    const real *i0 = s->screen + 3 * v[0], *i1 = s->screen + 3 * v[1], *i2 = s->screen + 3 * v[2];
    real low = fmin(fmin(i0[2], i1[2]), i2[2]), high = fmax(fmax(i0[2], i1[2]), i2[2]);
    real plane[3];
    for (int k = 0; k < 3; k++)
        plane[k] = slot->plane[0][k] + slot->plane[1][k] + slot->plane[2][k];
    for (int y = 0; y <= y1 - y0; y++) {
        size_t row = (size_t)(y + y0) * (size_t)s->width + (size_t)b->x0;
        for (int x = 0; x <= b->x1 - b->x0; x++) {
            bool inside = true;
            for (int i = 0; i < 3; i++)
                inside &= e.a[i] * x + e.b[i] * y + e.c[i] >= 0;
            real z = plane[0] * (real)x + plane[1] * (real)y + plane[2];
            z = z > low ? z : low;
            z = z < high ? z : high;
            if (inside && z > s->depth[row + (size_t)x]) {
                s->depth[row + (size_t)x] = z;
                s->visible[row + (size_t)x] = index + 1;
            }
        }
    }
}

static void draw_band(void *context, size_t band)
{
    const job *j = context;
    int begin = (int)band * j->state->band_rows, end = begin + j->state->band_rows;
    for (uint32_t i = j->state->bands[band]; i < j->state->bands[band + 1]; i++)
        draw_slot(j, i, begin, end < j->state->height ? end : j->state->height);
}

bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch)
{
    size_t pixels = (size_t)state->width * (size_t)state->height;
    job j = { .state = state, .mesh = mesh };
    j.boxes = arena_alloc(scratch, mesh->face_count, sizeof *j.boxes);
    state->facing = arena_alloc(scratch, mesh->face_count, sizeof *state->facing);
    state->visible = arena_alloc(scratch, pixels, sizeof *state->visible);
    state->depth = arena_alloc(scratch, pixels, sizeof *state->depth);
    if (!j.boxes || !state->facing || !state->visible || !state->depth)
        return false;
    size_t chunks = (mesh->face_count + RASTER_FACE_CHUNK - 1) / RASTER_FACE_CHUNK;
    threads_parallel(chunks, measure_faces, &j);
    if (!fill_bands(&j, scratch))
        return false;
    threads_parallel((size_t)state->band_count, draw_band, &j);
    return true;
}

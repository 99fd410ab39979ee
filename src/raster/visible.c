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
#include <string.h>
#include <tgmath.h>

typedef struct box {
    int16_t x0, y0, x1, y1; /* pixels whose centres may be inside, both ends included */
} box;

typedef struct job {
    raster_state *state;
    const raster_mesh *mesh;
    box *boxes;      /* (F), x1 < x0: nothing to draw */
    uint32_t *faces; /* those of each band in a row */
    uint32_t *first; /* (band_count + 1) into faces */
    uint32_t *names; /* as faces: 1, 2, ... for those of the band that are seen, else 0 */
    uint32_t *seen;  /* (band_count) */
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
        int64_t area =
            (int64_t)(b[0] - a[0]) * (c[1] - a[1]) - (int64_t)(c[0] - a[0]) * (b[1] - a[1]);
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

/* Faces of each band in the order of the mesh. */
static bool fill_bands(job *j, arena *scratch)
{
    const raster_state *s = j->state;
    uint32_t *next = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *next);
    j->first = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *j->first);
    j->seen = arena_alloc(scratch, (size_t)s->band_count, sizeof *j->seen);
    if (!next || !j->first || !j->seen)
        return false;
    for (size_t f = 0; f < j->mesh->face_count; f++) {
        const box *b = &j->boxes[f];
        if (b->x0 <= b->x1)
            for (int i = b->y0 >> s->band_bits; i <= b->y1 >> s->band_bits; i++)
                j->first[i + 1]++;
    }
    for (int i = 0; i < s->band_count; i++) {
        j->first[i + 1] += j->first[i];
        next[i] = j->first[i];
    }
    size_t count = j->first[s->band_count];
    j->faces = arena_alloc(scratch, count, sizeof *j->faces);
    j->names = arena_alloc(scratch, count, sizeof *j->names);
    if (!j->faces || !j->names)
        return false;
    for (size_t f = 0; f < j->mesh->face_count; f++) {
        const box *b = &j->boxes[f];
        if (b->x0 <= b->x1)
            for (int i = b->y0 >> s->band_bits; i <= b->y1 >> s->band_bits; i++)
                j->faces[next[i]++] = (uint32_t)f;
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

void raster_set_planes(const raster_state *s, const raster_mesh *mesh, raster_slot *slot)
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
                          const raster_slot *slot, real gradient[9])
{
    real x[3], y[3], inverse[3], out[9] = { 0 };
    corners(state, mesh, slot, x, y, inverse);
    real r = inverse_area(x, y);
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        const real *g = gradient + 3 * i;
        real scale = r * inverse[i], cross = x[a] * y[b] - x[b] * y[a];
        out[3 * a] += scale * (g[2] * y[b] - g[1]);
        out[3 * b] += scale * (g[1] - g[2] * y[a]);
        out[3 * a + 1] += scale * (g[0] - g[2] * x[b]);
        out[3 * b + 1] += scale * (g[2] * x[a] - g[0]);
        out[3 * i + 2] = r * (g[0] * (y[a] - y[b]) + g[1] * (x[b] - x[a]) + g[2] * cross);
    }
    memcpy(gradient, out, sizeof out);
}

/* Edge functions over the pixels of a box, e_i(x, y) = a_i x + b_i y + c_i with (0, 0) its first
 * pixel: inside where all are >= 0. Divided by 256, rounded down: whole pixels are steps of 256. */
typedef struct edges {
    int64_t a[3], b[3], c[3];
} edges;

static inline edges set_edges(const raster_state *s, const uint32_t *v, int32_t x0, int32_t y0)
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
        int64_t top_left = dy < 0 || (dy == 0 && dx > 0);
        e.a[i] = -dy;
        e.b[i] = dx;
        e.c[i] = (sign * (x[j] * y[k] - x[k] * y[j]) + top_left - 1) >> RASTER_SUBPIXEL_BITS;
    }
    return e;
}

/* The face on the rows [y0, y1] of its box, with `name` where it is nearest. */
#define DRAW_ROWS(integer)                                                                         \
    for (int y = y0; y <= y1; y++) {                                                               \
        size_t at = (size_t)y * (size_t)s->width + (size_t)b->x0;                                  \
        real *restrict depth = s->depth + at;                                                      \
        uint32_t *restrict visible = s->visible + at;                                              \
        const integer row = (integer)(y - y0);                                                     \
        const integer e0 = (integer)(e.c[0] + e.b[0] * row), a0 = (integer)e.a[0];                 \
        const integer e1 = (integer)(e.c[1] + e.b[1] * row), a1 = (integer)e.a[1];                 \
        const integer e2 = (integer)(e.c[2] + e.b[2] * row), a2 = (integer)e.a[2];                 \
        const real z0 = plane[1] * (real)row + plane[2], zx = plane[0];                            \
        for (int x = 0; x < width; x++) {                                                          \
            integer side = (e0 + a0 * x) | (e1 + a1 * x) | (e2 + a2 * x);                          \
            real z = z0 + zx * (real)x;                                                            \
            z = z > low ? z : low;                                                                 \
            z = z < high ? z : high;                                                               \
            if (side >= 0 && z > depth[x]) {                                                       \
                depth[x] = z;                                                                      \
                visible[x] = name;                                                                 \
            }                                                                                      \
        }                                                                                          \
    }

static inline bool face_is_small(const raster_state *s, const uint32_t *v)
{
    const int32_t *a = s->snapped + 2 * v[0], *b = s->snapped + 2 * v[1];
    const int32_t *c = s->snapped + 2 * v[2], side = 64 * RASTER_SUBPIXELS;
    return max3(a[0], b[0], c[0]) - min3(a[0], b[0], c[0]) < side &&
           max3(a[1], b[1], c[1]) - min3(a[1], b[1], c[1]) < side;
}

static inline __attribute__((always_inline)) void
draw_face(const job *j, uint32_t face, uint32_t name, int row_begin, int row_end)
{
    const raster_state *s = j->state;
    const box *b = &j->boxes[face];
    const uint32_t *v = j->mesh->faces + 3 * face;
    int y0 = b->y0 > row_begin ? b->y0 : row_begin, y1 = b->y1 < row_end ? b->y1 : row_end;
    int width = b->x1 - b->x0 + 1;
    raster_slot slot = { .face = face, .x0 = b->x0, .y0 = y0 };
    raster_set_planes(s, j->mesh, &slot);
    edges e = set_edges(s, v, b->x0, y0);
    real low = s->screen[3 * v[0] + 2], high = low, plane[3];
    for (int k = 0; k < 3; k++) {
        real inverse = s->screen[3 * v[k] + 2];
        low = inverse < low ? inverse : low;
        high = inverse > high ? inverse : high;
        plane[k] = slot.plane[0][k] + slot.plane[1][k] + slot.plane[2][k];
    }
    /* 32 bits hold the edge functions of faces that are at most 64 pixels wide and high */
    if (face_is_small(s, v)) {
        DRAW_ROWS(int32_t)
    } else {
        DRAW_ROWS(int64_t)
    }
}

/* From places in the list of faces to names of those that are seen, in the order of the pixels. */
static void name_faces(const job *j, size_t band, int begin, int end)
{
    const raster_state *s = j->state;
    uint32_t first = j->first[band], count = 0, covered = 0;
    uint32_t *names = j->names + first;
    size_t stop = (size_t)end * (size_t)s->width;
    for (size_t i = (size_t)begin * (size_t)s->width; i < stop; i++) {
        if (!s->visible[i])
            continue;
        uint32_t *name = &names[s->visible[i] - 1];
        if (!*name)
            *name = ++count;
        s->visible[i] = *name;
        covered++;
    }
    s->covered[band + 1] = covered;
    j->seen[band] = count;
}

HDS_WIDE static void draw_band(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    int begin = (int)band << s->band_bits, end = begin + (1 << s->band_bits);
    end = end < s->height ? end : s->height;
    for (uint32_t i = j->first[band]; i < j->first[band + 1]; i++)
        draw_face(j, j->faces[i], i - j->first[band] + 1, begin, end - 1);
    name_faces(j, band, begin, end);
}

static void make_slots(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    int begin = (int)band << s->band_bits, end = begin + (1 << s->band_bits);
    end = end < s->height ? end : s->height;
    for (uint32_t i = j->first[band]; i < j->first[band + 1]; i++) {
        if (!j->names[i])
            continue;
        raster_slot *slot = &s->slots[s->bands[band] + j->names[i] - 1];
        const box *b = &j->boxes[j->faces[i]];
        *slot =
            (raster_slot){ .face = j->faces[i], .x0 = b->x0, .y0 = b->y0 > begin ? b->y0 : begin };
        raster_set_planes(s, j->mesh, slot);
    }
    size_t stop = (size_t)end * (size_t)s->width;
    for (size_t i = (size_t)begin * (size_t)s->width; i < stop; i++)
        s->visible[i] += s->visible[i] ? s->bands[band] : 0;
}

bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch)
{
    size_t pixels = (size_t)state->width * (size_t)state->height;
    job j = { .state = state, .mesh = mesh };
    j.boxes = arena_alloc(scratch, mesh->face_count, sizeof *j.boxes);
    state->facing = arena_alloc(scratch, mesh->face_count, sizeof *state->facing);
    state->visible = arena_alloc(scratch, pixels, sizeof *state->visible);
    state->depth = arena_alloc(scratch, pixels, sizeof *state->depth);
    state->bands = arena_alloc(scratch, (size_t)state->band_count + 1, sizeof *state->bands);
    state->covered = arena_alloc(scratch, (size_t)state->band_count + 1, sizeof *state->covered);
    if (!j.boxes || !state->facing || !state->visible || !state->depth || !state->bands ||
        !state->covered)
        return false;
    size_t chunks = (mesh->face_count + RASTER_FACE_CHUNK - 1) / RASTER_FACE_CHUNK;
    threads_parallel(chunks, measure_faces, &j);
    if (!fill_bands(&j, scratch))
        return false;
    threads_parallel((size_t)state->band_count, draw_band, &j);
    for (int i = 0; i < state->band_count; i++) {
        state->bands[i + 1] = state->bands[i] + j.seen[i];
        state->covered[i + 1] += state->covered[i];
    }
    state->slots = arena_alloc(scratch, state->bands[state->band_count], sizeof *state->slots);
    if (!state->slots)
        return false;
    threads_parallel((size_t)state->band_count, make_slots, &j);
    return true;
}

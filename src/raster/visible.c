/* SPDX-License-Identifier: Apache-2.0 */
/* Visibility: for each pixel the nearest face that covers its centre.
 *
 * Coverage is decided with integer edge functions on vertices snapped to 1/256 pixel and the
 * top-left rule, so that faces which share an edge leave no gap and no overlap. Both sides of a
 * face are drawn: an open neck shows its inside, not a hole. The picture is cut into bands of
 * rows; each has the list of its faces and is drawn on its own. The larger 1/w wins, at equality
 * the face that shows its outside, then the one that comes first. Barycentrics come from the
 * unsnapped positions. */
#include "raster/raster_priv.h"

typedef struct box {
    int16_t x0, y0, x1, y1; /* pixels whose centres may be inside, both ends included */
} box;

typedef struct job {
    raster_state *state;
    const raster_mesh *mesh;
    box *boxes;      /* (F), x1 < x0: nothing to draw */
    uint32_t *faces; /* those of each band in a row */
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
        s->facing[f] = area > 0 ? 1 : -1;
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
    raster_state *s = j->state;
    uint64_t total = 0;
    uint32_t *next = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *next);
    s->first = arena_alloc(scratch, (size_t)s->band_count + 1, sizeof *s->first);
    j->seen = arena_alloc(scratch, (size_t)s->band_count, sizeof *j->seen);
    if (!next || !s->first || !j->seen)
        return false;
    for (size_t f = 0; f < j->mesh->face_count; f++) {
        const box *b = &j->boxes[f];
        if (b->x0 <= b->x1)
            for (int i = b->y0 >> s->band_bits; i <= b->y1 >> s->band_bits; i++, total++)
                s->first[i + 1]++;
    }
    if (total > UINT32_MAX)
        return false;
    for (int i = 0; i < s->band_count; i++) {
        s->first[i + 1] += s->first[i];
        next[i] = s->first[i];
    }
    j->faces = arena_take(scratch, total, sizeof *j->faces);
    s->names = arena_alloc(scratch, total, sizeof *s->names);
    if (!j->faces || !s->names)
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
static inline void corners(const raster_state *s, const raster_mesh *mesh, const raster_slot *slot,
                           real x[3], real y[3], real inverse[3])
{
    for (int k = 0; k < 3; k++) {
        const real *p = s->screen + 3 * mesh->faces[3 * slot->face + k];
        x[k] = p[0] - ((real)slot->x0 + (real)0.5);
        y[k] = p[1] - ((real)slot->y0 + (real)0.5);
        inverse[k] = p[2];
    }
}

/* 1 / twice the area on the screen; 0 for faces thinner than 1/32 pixel, whose barycentrics 1/256
 * pixel outside are off by an eighth and more. */
static inline real inverse_area(const real x[3], const real y[3])
{
    const real thin = (real)1 / 32;
    real area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]), longest = 0;
    for (int k = 0; k < 3; k++) {
        real dx = x[(k + 1) % 3] - x[k], dy = y[(k + 1) % 3] - y[k];
        real square = dx * dx + dy * dy;
        longest = square > longest ? square : longest;
    }
    return area * area > thin * thin * longest ? 1 / area : 0;
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
        slot->plane[i][2] = r != 0 ? scale * (x[a] * y[b] - x[b] * y[a]) : inverse[i] / 3;
    }
}

/* With r = 1 / area, plane_i = r inverse_i (...); through r itself all planes scale alike. */
void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, real gradient[9])
{
    real x[3], y[3], inverse[3], out[9] = { 0 }, darea = 0;
    corners(state, mesh, slot, x, y, inverse);
    real r = inverse_area(x, y);
    for (int i = 0; i < 9; i++)
        darea -= r * gradient[i] * slot->plane[i / 3][i % 3];
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        const real *g = gradient + 3 * i;
        real scale = r * inverse[i], cross = x[a] * y[b] - x[b] * y[a];
        out[3 * a] += scale * (g[2] * y[b] - g[1]);
        out[3 * b] += scale * (g[1] - g[2] * y[a]);
        out[3 * a + 1] += scale * (g[0] - g[2] * x[b]);
        out[3 * b + 1] += scale * (g[2] * x[a] - g[0]);
        out[3 * i] += darea * (y[a] - y[b]);
        out[3 * i + 1] += darea * (x[b] - x[a]);
        out[3 * i + 2] =
            r != 0 ? r * (g[0] * (y[a] - y[b]) + g[1] * (x[b] - x[a]) + g[2] * cross) : g[2] / 3;
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

/* One face in a band: where, and 1/w = slope[0] x + slope[1] y + at within [low, high]. */
typedef struct drawing {
    edges e;
    int x0, y0, x1, y1; /* pixels, both ends included; x and y count from the first */
    real slope[2], at, low, high;
    uint32_t name;
} drawing;

/* Edge functions of faces up to 64 pixels wide and high fit into 32 bits. Eight pixels at a time,
 * those outside of the face included. */
typedef int32_t lanes32
    __attribute__((vector_size(RASTER_LANES * sizeof(int32_t)), aligned(4), may_alias));

static inline int count_chunks(int x0, int x1)
{
    return (x1 - x0) / RASTER_LANES + 1;
}

static inline __attribute__((always_inline)) void draw_small(const raster_state *s,
                                                             const drawing *d)
{
    const lanes32 steps = { 0, 1, 2, 3, 4, 5, 6, 7 }, name = (int32_t)d->name + (lanes32){ 0 };
    const raster_lanes real_steps = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const raster_lanes low = d->low + (raster_lanes){ 0 }, high = d->high + (raster_lanes){ 0 };
    const int chunks = count_chunks(d->x0, d->x1), last = s->width - RASTER_LANES * chunks;
    const int start = d->x0 < last ? d->x0 : last; /* no chunk reaches into the next row */
    lanes32 row[3];
    for (int i = 0; i < 3; i++)
        row[i] = steps * (int32_t)d->e.a[i] + (int32_t)(d->e.c[i] + d->e.a[i] * (start - d->x0));
    const raster_lanes depth = d->slope[0] * (real_steps + (real)(start - d->x0)) + d->at;
    for (int y = d->y0; y <= d->y1; y++) {
        size_t at = (size_t)y * (size_t)s->width + (size_t)start;
        lanes32 *visible = (lanes32 *)(s->visible + at);
        raster_lanes *nearest = (raster_lanes *)(s->depth + at);
        lanes32 e0 = row[0], e1 = row[1], e2 = row[2];
        raster_lanes plane = depth + d->slope[1] * (real)(y - d->y0);
        for (int i = 0; i < chunks; i++) {
            raster_lanes z = RASTER_CHOOSE(plane > low, plane, low);
            z = RASTER_CHOOSE(z < high, z, high);
            raster_mask nearer =
                (z > nearest[i]) & __builtin_convertvector((e0 | e1 | e2) >= 0, raster_mask);
            lanes32 nearer32 = __builtin_convertvector(nearer, lanes32);
            visible[i] = (nearer32 & name) | (visible[i] & ~nearer32);
            nearest[i] = RASTER_CHOOSE(nearer, z, nearest[i]);
            e0 += (int32_t)d->e.a[0] * RASTER_LANES;
            e1 += (int32_t)d->e.a[1] * RASTER_LANES;
            e2 += (int32_t)d->e.a[2] * RASTER_LANES;
            plane += d->slope[0] * RASTER_LANES;
        }
        for (int i = 0; i < 3; i++)
            row[i] += (int32_t)d->e.b[i];
    }
}

static inline __attribute__((always_inline)) void draw_large(const raster_state *s,
                                                             const drawing *d)
{
    for (int y = d->y0; y <= d->y1; y++) {
        size_t at = (size_t)y * (size_t)s->width + (size_t)d->x0;
        real *restrict depth = s->depth + at;
        uint32_t *restrict visible = s->visible + at;
        const int64_t row = y - d->y0;
        const int64_t e0 = d->e.c[0] + d->e.b[0] * row, a0 = d->e.a[0];
        const int64_t e1 = d->e.c[1] + d->e.b[1] * row, a1 = d->e.a[1];
        const int64_t e2 = d->e.c[2] + d->e.b[2] * row, a2 = d->e.a[2];
        const real z0 = d->slope[1] * (real)row + d->at;
        for (int x = 0; x <= d->x1 - d->x0; x++) {
            int64_t side = (e0 + a0 * x) | (e1 + a1 * x) | (e2 + a2 * x);
            real z = z0 + d->slope[0] * (real)x;
            z = z > d->low ? z : d->low;
            z = z < d->high ? z : d->high;
            if (side >= 0 && z > depth[x]) {
                depth[x] = z;
                visible[x] = d->name;
            }
        }
    }
}

static inline bool is_small(const raster_state *s, const uint32_t *v, const drawing *d)
{
    const int32_t *a = s->snapped + 2 * (size_t)v[0], *b = s->snapped + 2 * (size_t)v[1];
    const int32_t *c = s->snapped + 2 * (size_t)v[2], side = 64 * RASTER_SUBPIXELS;
    return max3(a[0], b[0], c[0]) - min3(a[0], b[0], c[0]) < side &&
           max3(a[1], b[1], c[1]) - min3(a[1], b[1], c[1]) < side &&
           count_chunks(d->x0, d->x1) * RASTER_LANES <= s->width;
}

static inline __attribute__((always_inline)) void
draw_face(const job *j, uint32_t face, uint32_t name, int row_begin, int row_end)
{
    const raster_state *s = j->state;
    const box *b = &j->boxes[face];
    const uint32_t *v = j->mesh->faces + 3 * (size_t)face;
    drawing d = { .x0 = b->x0,
                  .x1 = b->x1,
                  .y0 = b->y0 > row_begin ? b->y0 : row_begin,
                  .y1 = b->y1 < row_end ? b->y1 : row_end,
                  .name = name };
    raster_slot slot = { .face = face, .x0 = d.x0, .y0 = d.y0 };
    raster_set_planes(s, j->mesh, &slot);
    d.e = set_edges(s, v, d.x0, d.y0);
    d.low = d.high = s->screen[3 * (size_t)v[0] + 2];
    for (int k = 0; k < 3; k++) {
        real inverse = s->screen[3 * (size_t)v[k] + 2];
        d.low = inverse < d.low ? inverse : d.low;
        d.high = inverse > d.high ? inverse : d.high;
    }
    for (int k = 0; k < 2; k++)
        d.slope[k] = slot.plane[0][k] + slot.plane[1][k] + slot.plane[2][k];
    d.at = slot.plane[0][2] + slot.plane[1][2] + slot.plane[2][2];
    if (is_small(s, v, &d))
        draw_small(s, &d);
    else
        draw_large(s, &d);
}

/* Pixels of the band that show the same face become runs; its slots are numbered in the order of
 * the pixels. */
static void find_runs(const job *j, size_t band)
{
    const raster_state *s = j->state;
    const uint32_t width = (uint32_t)s->width;
    const size_t begin = (size_t)raster_band_begin(s, band), end = (size_t)raster_band_end(s, band);
    uint32_t *names = s->names + s->first[band], seen = 0, covered = 0;
    raster_run *runs = s->runs + begin * width, *next = runs;
    for (size_t y = begin; y < end; y++) {
        const uint32_t *visible = s->visible + y * width;
        for (uint32_t x = 0; x < width;) {
            uint32_t place = visible[x], left = x;
            while (++x < width && visible[x] == place)
                ;
            if (!place)
                continue;
            if (!names[place - 1])
                names[place - 1] = ++seen;
            *next++ = (raster_run){ .slot = names[place - 1] - 1,
                                    .pixel = (uint32_t)y * width + left,
                                    .length = (int32_t)(x - left) };
            covered += x - left;
        }
    }
    s->covered[band + 1] = covered;
    s->run_counts[band] = (uint32_t)(next - runs);
    j->seen[band] = seen;
}

/* The least 1/w of each stretch of eight pixels through all rows of the band; the last may overlap
 * the one before. */
static inline void find_least(const raster_state *s, size_t band, real *least)
{
    int stretches = count_chunks(0, s->width - 1), last = s->width - RASTER_LANES;
    const int begin = raster_band_begin(s, band), end = raster_band_end(s, band);
    for (int i = 0; i < stretches; i++) {
        int left = i * RASTER_LANES < last ? i * RASTER_LANES : last;
        const real *at = s->depth + (size_t)begin * (size_t)s->width + (size_t)left;
        raster_lanes low = *(const raster_lanes *)at;
        for (int y = begin + 1; y < end; y++) {
            at += s->width;
            raster_lanes z = *(const raster_lanes *)at;
            low = RASTER_CHOOSE(z < low, z, low);
        }
        least[i] = low[0];
        for (int k = 1; k < RASTER_LANES; k++)
            least[i] = low[k] < least[i] ? low[k] : least[i];
    }
}

/* Nothing of the face can be nearer than what is there: at equality the one that is there stays. */
static inline bool is_hidden(const job *j, uint32_t face, const real *least)
{
    const raster_state *s = j->state;
    const uint32_t *v = j->mesh->faces + 3 * (size_t)face;
    real high = s->screen[3 * (size_t)v[0] + 2];
    for (int k = 1; k < 3; k++) {
        real inverse = s->screen[3 * (size_t)v[k] + 2];
        high = inverse > high ? inverse : high;
    }
    for (int i = j->boxes[face].x0 / RASTER_LANES; i <= j->boxes[face].x1 / RASTER_LANES; i++)
        if (least[i] < high)
            return false;
    return true;
}

/* Faces that show their outside go first: behind them most of the others are hidden. */
HDS_WIDE static void draw_band(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    const int begin = raster_band_begin(s, band), last = raster_band_end(s, band) - 1;
    const uint32_t first = s->first[band], end = s->first[band + 1];
    const bool wide = s->width >= RASTER_LANES;
    real least[RASTER_LARGEST_SIDE / RASTER_LANES];
    size_t pixel = (size_t)begin * (size_t)s->width;
    size_t count = (size_t)(last + 1) * (size_t)s->width - pixel;
    memset(s->visible + pixel, 0, count * sizeof *s->visible);
    memset(s->depth + pixel, 0, count * sizeof *s->depth);
    for (uint32_t i = first; i < end; i++)
        if (s->facing[j->faces[i]] < 0 || s->in_order)
            draw_face(j, j->faces[i], i - first + 1, begin, last);
    if (wide)
        find_least(s, band, least);
    for (uint32_t i = first; i < end && !s->in_order; i++)
        if (s->facing[j->faces[i]] > 0 && !(wide && is_hidden(j, j->faces[i], least)))
            draw_face(j, j->faces[i], i - first + 1, begin, last);
    find_runs(j, band);
}

static void make_slots(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    int begin = raster_band_begin(s, band);
    for (uint32_t i = s->first[band]; i < s->first[band + 1]; i++) {
        if (!s->names[i])
            continue;
        raster_slot *slot = &s->slots[s->bands[band] + s->names[i] - 1];
        const box *b = &j->boxes[j->faces[i]];
        *slot =
            (raster_slot){ .face = j->faces[i], .x0 = b->x0, .y0 = b->y0 > begin ? b->y0 : begin };
        raster_set_planes(s, j->mesh, slot);
    }
    raster_run *runs = s->runs + (size_t)raster_band_begin(s, band) * (size_t)s->width;
    for (uint32_t i = 0; i < s->run_counts[band]; i++)
        runs[i].slot += s->bands[band];
}

bool raster_state_init(raster_state *s, int width, int height, size_t vertex_count, arena *scratch)
{
    *s = (raster_state){ .width = width, .height = height, .band_bits = height <= 256 ? 3 : 4 };
    s->band_count = ((height - 1) >> s->band_bits) + 1;
    s->screen = arena_take(scratch, vertex_count, 3 * sizeof *s->screen);
    s->snapped = arena_take(scratch, vertex_count, 2 * sizeof *s->snapped);
    return s->screen && s->snapped;
}

bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch)
{
    size_t pixels = (size_t)state->width * (size_t)state->height;
    job j = { .state = state, .mesh = mesh };
    j.boxes = arena_take(scratch, mesh->face_count, sizeof *j.boxes);
    state->facing = arena_take(scratch, mesh->face_count, sizeof *state->facing);
    state->visible = arena_take(scratch, pixels, sizeof *state->visible);
    state->depth = arena_take(scratch, pixels, sizeof *state->depth);
    state->bands = arena_alloc(scratch, (size_t)state->band_count + 1, sizeof *state->bands);
    state->covered = arena_alloc(scratch, (size_t)state->band_count + 1, sizeof *state->covered);
    state->runs = arena_take(scratch, pixels, sizeof *state->runs);
    state->run_counts = arena_take(scratch, (size_t)state->band_count, sizeof *state->run_counts);
    if (!j.boxes || !state->facing || !state->visible || !state->depth || !state->bands ||
        !state->covered || !state->runs || !state->run_counts)
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
    state->slots = arena_take(scratch, state->bands[state->band_count], sizeof *state->slots);
    if (!state->slots)
        return false;
    threads_parallel((size_t)state->band_count, make_slots, &j);
    return true;
}

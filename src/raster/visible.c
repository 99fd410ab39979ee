/* SPDX-License-Identifier: Apache-2.0 */
/* Visibility: for each pixel the nearest face that covers its centre.
 *
 * Coverage is decided with integer edge functions on vertices snapped to 1/256 pixel and the
 * top-left rule, so that faces which share an edge leave no gap and no overlap. Both sides of a
 * face are drawn: an open neck shows its inside, not a hole. The picture is cut into bands of
 * rows; each has the list of its faces and is drawn on its own. The larger 1/w wins, at equality
 * the face that shows its outside, then the one that comes first. Barycentrics come from the
 * unsnapped positions.
 *
 * Everything that a face needs is found once for eight faces side by side; bands draw eight pixels
 * of it side by side. */
#include "raster_priv.h"

/* What it takes to draw a face, one line of cache in floats: the pixels whose centres may be
 * inside, both ends included (x1 < x0: nothing to draw), and with x and y from the first of them
 *
 *   1/w = slope[0] x + slope[1] y + at  within [low, high]
 *   e_i = a_i x + b_i y + c_i,  inside where all are >= 0;  the a_i add up to 0, the b_i too
 *
 * e_i are edge functions divided by 256 (whole pixels are steps of 256) and rounded down. Those of
 * faces less than 64 pixels wide and high fit into 32 bits; of others they are not kept here. */
typedef struct sketch {
    int16_t x0, y0, x1, y1;
    int32_t a[2], b[2], c[3];
    int32_t small;
    real slope[2], at, low, high;
} __attribute__((aligned(64))) sketch;

struct raster_faces {
    raster_state *state;
    const raster_mesh *mesh;
    sketch *sketches; /* (F) */
    uint32_t *counts; /* (chunks of faces, band_count, 2) of their boxes, then their places */
    uint32_t *middle; /* (band_count) first slot of the faces that show their inside */
    uint32_t *faces;  /* those of each band in a row: of each slot */
};
typedef struct raster_faces job;

/* ---- faces ---- */

/* Corners of eight faces. */
typedef struct eight {
    int32_t u[3][RASTER_LANES], v[3][RASTER_LANES]; /* snapped */
    real x[3][RASTER_LANES], y[3][RASTER_LANES], inverse[3][RASTER_LANES];
} eight;

/* Beyond the last face it is repeated. */
INLINE void take_eight(const job *j, size_t first, eight *e)
{
    const raster_state *s = j->state;
    for (size_t l = 0; l < RASTER_LANES; l++) {
        size_t face = first + l < j->mesh->face_count ? first + l : j->mesh->face_count - 1;
        for (int k = 0; k < 3; k++) {
            size_t vertex = j->mesh->faces[3 * face + (size_t)k];
            const int32_t *snapped = s->snapped + 2 * vertex;
            const real *place = s->screen + 3 * vertex;
            e->u[k][l] = snapped[0];
            e->v[k][l] = snapped[1];
            e->x[k][l] = place[0];
            e->y[k][l] = place[1];
            e->inverse[k][l] = place[2];
        }
    }
}

/* What becomes of eight faces. */
typedef struct eight_sketches {
    int32_t box[4][RASTER_LANES], facing[RASTER_LANES], small[RASTER_LANES];
    int32_t a[3][RASTER_LANES], b[3][RASTER_LANES], c[3][RASTER_LANES];
    real slope[2][RASTER_LANES], at[RASTER_LANES], low[RASTER_LANES], high[RASTER_LANES];
} eight_sketches;

typedef double doubles __attribute__((vector_size(RASTER_LANES * sizeof(double))));
typedef int64_t words __attribute__((vector_size(RASTER_LANES * sizeof(int64_t))));

#define LESS(a, b) (((a) & ((a) < (b))) | ((b) & ~((a) < (b))))
#define MORE(a, b) (((a) & ((a) > (b))) | ((b) & ~((a) > (b))))
#define LANES32(array) (*(raster_lanes32 *)(array))

/* Boxes, orientations and whether the faces are small. */
INLINE void sketch_boxes(const raster_state *s, const eight *e, eight_sketches *out)
{
    const int32_t side = 64 * RASTER_SUBPIXELS, half = RASTER_SUBPIXELS / 2;
    const raster_lanes32 none = { 0 };
    raster_lanes32 on = none - 1, u[3], v[3];
    for (int k = 0; k < 3; k++)
        on &= LANES32(e->u[k]) != RASTER_OUTSIDE;
    for (int k = 0; k < 3; k++) { /* with places outside of the picture sums would overflow */
        u[k] = LANES32(e->u[k]) & on;
        v[k] = LANES32(e->v[k]) & on;
    }
    const raster_lanes32 ab[2] = { u[1] - u[0], v[1] - v[0] }, ac[2] = { u[2] - u[0], v[2] - v[0] };
    /* exact: below 2^53 */
    const doubles area =
        __builtin_convertvector(ab[0], doubles) * __builtin_convertvector(ac[1], doubles) -
        __builtin_convertvector(ac[0], doubles) * __builtin_convertvector(ab[1], doubles);
    const raster_lanes32 positive = __builtin_convertvector((words)(area > 0), raster_lanes32);
    const raster_lanes32 flat = __builtin_convertvector((words)(area == 0), raster_lanes32);
    raster_lanes32 low[2] = { LESS(u[0], u[1]), LESS(v[0], v[1]) };
    raster_lanes32 high[2] = { MORE(u[0], u[1]), MORE(v[0], v[1]) };
    raster_lanes32 first[2], last[2], empty = ~on | flat, small = none - 1;
    for (int k = 0; k < 2; k++) {
        const raster_lanes32 third = k ? v[2] : u[2];
        const int32_t end = (k ? s->height : s->width) - 1;
        low[k] = LESS(low[k], third);
        high[k] = MORE(high[k], third);
        /* pixel centres between the two, within the picture */
        first[k] = (low[k] + (half - 1)) >> RASTER_SUBPIXEL_BITS;
        first[k] = MORE(first[k], none);
        last[k] = (high[k] - half) >> RASTER_SUBPIXEL_BITS;
        last[k] = LESS(last[k], none + end);
        empty |= first[k] > last[k];
        small &= high[k] - low[k] < side;
    }
    for (int k = 0; k < 2; k++) {
        LANES32(out->box[k]) = (first[k] & ~empty) - empty;
        LANES32(out->box[2 + k]) = last[k] & ~empty;
    }
    LANES32(out->facing) = on & ((positive & 2) - 1);
    LANES32(out->small) = small & ~empty & 1;
}

INLINE void sketch_edges(const eight *e, eight_sketches *out)
{
    const int32_t half = RASTER_SUBPIXELS / 2;
    for (int l = 0; l < RASTER_LANES; l++) {
        int32_t x[3], y[3], small = out->small[l], facing = out->facing[l];
        for (int k = 0; k < 3; k++) {
            x[k] = small ? e->u[k][l] - (out->box[0][l] * RASTER_SUBPIXELS + half) : 0;
            y[k] = small ? e->v[k][l] - (out->box[1][l] * RASTER_SUBPIXELS + half) : 0;
        }
        for (int i = 0; i < 3; i++) {
            int m = (i + 1) % 3, n = (i + 2) % 3;
            int32_t dx = facing * (x[n] - x[m]), dy = facing * (y[n] - y[m]);
            int32_t top_left = (dy < 0) | ((dy == 0) & (dx > 0));
            out->a[i][l] = -dy;
            out->b[i][l] = dx;
            out->c[i][l] =
                (facing * (x[m] * y[n] - x[n] * y[m]) + top_left - 1) >> RASTER_SUBPIXEL_BITS;
        }
    }
}

INLINE void sketch_depth(const eight *e, eight_sketches *out)
{
    for (int l = 0; l < RASTER_LANES; l++) {
        real x[3], y[3], w[3], slope[2] = { 0 }, at = 0;
        for (int k = 0; k < 3; k++) {
            x[k] = e->x[k][l] - ((real)out->box[0][l] + (real)0.5);
            y[k] = e->y[k][l] - ((real)out->box[1][l] + (real)0.5);
            w[k] = e->inverse[k][l];
        }
        real r = raster_inverse_area(x, y), low = w[0], high = w[0];
        for (int i = 0; i < 3; i++) {
            int m = (i + 1) % 3, n = (i + 2) % 3;
            slope[0] += w[i] * (y[m] - y[n]);
            slope[1] += w[i] * (x[n] - x[m]);
            at += w[i] * (x[m] * y[n] - x[n] * y[m]);
            low = w[i] < low ? w[i] : low;
            high = w[i] > high ? w[i] : high;
        }
        out->slope[0][l] = r * slope[0];
        out->slope[1][l] = r * slope[1];
        out->at[l] = r != 0 ? r * at : (w[0] + w[1] + w[2]) / 3;
        out->low[l] = low;
        out->high[l] = high;
    }
}

INLINE void put_sketch(const eight_sketches *from, int l, sketch *out)
{
    *out = (sketch){ .x0 = (int16_t)from->box[0][l],
                     .y0 = (int16_t)from->box[1][l],
                     .x1 = (int16_t)from->box[2][l],
                     .y1 = (int16_t)from->box[3][l],
                     .a = { from->a[0][l], from->a[1][l] },
                     .b = { from->b[0][l], from->b[1][l] },
                     .c = { from->c[0][l], from->c[1][l], from->c[2][l] },
                     .small = from->small[l],
                     .slope = { from->slope[0][l], from->slope[1][l] },
                     .at = from->at[l],
                     .low = from->low[l],
                     .high = from->high[l] };
}

/* Faces that show their outside go first: behind them most of the others are hidden. */
INLINE int is_second(const raster_state *s, int facing)
{
    return facing > 0 && !s->in_order;
}

SIMD_VARIANTS(static void, measure_faces, (void *context, size_t chunk), (context, chunk))
{
    const job *j = context;
    const raster_state *s = j->state;
    const size_t begin = chunk * RASTER_FACE_CHUNK, all = j->mesh->face_count;
    const size_t end = begin + RASTER_FACE_CHUNK < all ? begin + RASTER_FACE_CHUNK : all;
    uint32_t *counts = j->counts + 2 * chunk * (size_t)s->band_count;
    for (size_t first = begin; first < end; first += RASTER_LANES) {
        eight e;
        eight_sketches out;
        take_eight(j, first, &e);
        sketch_boxes(s, &e, &out);
        sketch_edges(&e, &out);
        sketch_depth(&e, &out);
        for (int l = 0; l < RASTER_LANES && first + (size_t)l < end; l++) {
            put_sketch(&out, l, &j->sketches[first + (size_t)l]);
            s->facing[first + (size_t)l] = (int8_t)out.facing[l];
            if (out.box[0][l] <= out.box[2][l])
                for (int i = out.box[1][l] >> s->band_bits; i <= out.box[3][l] >> s->band_bits; i++)
                    counts[2 * i + is_second(s, out.facing[l])]++;
        }
    }
}

/* Counts become places: the bands one after the other, within them the two kinds of faces, within
 * those the chunks. */
static bool place_chunks(job *j, size_t chunks, arena *scratch)
{
    raster_state *s = j->state;
    const size_t lists = 2 * (size_t)s->band_count;
    uint64_t total = 0;
    for (size_t i = 0; i < lists; i++) {
        *(i % 2 ? &j->middle[i / 2] : &s->first[i / 2]) = (uint32_t)total;
        for (size_t chunk = 0; chunk < chunks; chunk++) {
            uint32_t *count = &j->counts[chunk * lists + i], here = *count;
            *count = (uint32_t)total;
            total += here;
        }
        if (total > UINT32_MAX / 2)
            return false;
    }
    s->first[s->band_count] = (uint32_t)total;
    j->faces = arena_take(scratch, total, sizeof *j->faces);
    s->seen = arena_alloc(scratch, total, sizeof *s->seen);
    s->slots = arena_take(scratch, total, sizeof *s->slots);
    return j->faces && s->seen && s->slots;
}

static void list_faces(void *context, size_t chunk)
{
    const job *j = context;
    const raster_state *s = j->state;
    const size_t begin = chunk * RASTER_FACE_CHUNK, all = j->mesh->face_count;
    const size_t end = begin + RASTER_FACE_CHUNK < all ? begin + RASTER_FACE_CHUNK : all;
    uint32_t *next = j->counts + 2 * chunk * (size_t)s->band_count;
    for (size_t f = begin; f < end; f++) {
        const sketch *b = &j->sketches[f];
        const int second = is_second(s, s->facing[f]);
        if (b->x0 <= b->x1)
            for (int i = b->y0 >> s->band_bits; i <= b->y1 >> s->band_bits; i++)
                j->faces[next[2 * i + second]++] = (uint32_t)f;
    }
}

/* ---- drawing ---- */

INLINE int count_chunks(int x0, int x1)
{
    return (x1 - x0) / RASTER_LANES + 1;
}

#define EIGHT(x)                                                                                   \
    {                                                                                              \
        (x), (x), (x), (x), (x), (x), (x), (x)                                                     \
    }

/* Rows y0 to y1 of a small face, eight pixels at a time, those outside of the face included. */
INLINE void draw_small(const raster_state *s, const sketch *k, uint32_t name, int y0, int y1)
{
    const raster_lanes32 steps = { 0, 1, 2, 3, 4, 5, 6, 7 }, name8 = EIGHT((int32_t)name);
    const raster_lanes low = EIGHT(k->low), high = EIGHT(k->high), down = EIGHT(k->slope[1]);
    const int chunks = count_chunks(k->x0, k->x1), last = s->width - RASTER_LANES * chunks;
    const int above = y0 - k->y0;
    const int32_t a2 = -k->a[0] - k->a[1], down2 = -k->b[0] - k->b[1];
    const size_t width = (size_t)s->width;
    const raster_lanes32 b0 = EIGHT(k->b[0]), b1 = EIGHT(k->b[1]), b2 = EIGHT(down2);
    uint32_t *visible = s->visible;
    real *depth = s->depth;
    int x = k->x0 < last ? k->x0 : last; /* no chunk reaches into the next row */
    do {
        const raster_lanes32 right = steps + (x - k->x0);
        const raster_lanes plane =
            k->slope[0] * __builtin_convertvector(right, raster_lanes) + k->at;
        raster_lanes32 e0 = k->a[0] * right + (k->c[0] + k->b[0] * above);
        raster_lanes32 e1 = k->a[1] * right + (k->c[1] + k->b[1] * above);
        raster_lanes32 e2 = a2 * right + (k->c[2] + down2 * above);
        raster_lanes y = EIGHT((real)above);
        size_t at = (size_t)y0 * width + (size_t)x;
        int row = y0;
        do {
            raster_lanes32 *seen = (raster_lanes32 *)(visible + at);
            raster_lanes *nearest = (raster_lanes *)(depth + at), z = plane + down * y;
            z = RASTER_CHOOSE(z > low, z, low);
            z = RASTER_CHOOSE(z < high, z, high);
            const raster_lanes32 outside = (e0 | e1 | e2) >> 31;
            z = (raster_lanes)((raster_mask)z & ~__builtin_convertvector(outside, raster_mask));
            const raster_mask nearer = z > *nearest; /* not where z is 0 */
            const raster_lanes32 nearer32 = __builtin_convertvector(nearer, raster_lanes32);
            *seen = (nearer32 & name8) | (*seen & ~nearer32);
            *nearest = RASTER_CHOOSE(nearer, z, *nearest);
            e0 += b0;
            e1 += b1;
            e2 += b2;
            y += 1;
            at += width;
        } while (++row <= y1);
        x += RASTER_LANES;
    } while (x <= k->x1);
}

/* The edge functions of a sketch in 64 bits, for faces of any size. */
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
        int64_t top_left = dy < 0 || (dy == 0 && dx > 0);
        e.a[i] = -dy;
        e.b[i] = dx;
        e.c[i] = (sign * (x[j] * y[k] - x[k] * y[j]) + top_left - 1) >> RASTER_SUBPIXEL_BITS;
    }
    return e;
}

INLINE void draw_large(const job *j, uint32_t face, uint32_t name, int begin, int end)
{
    const raster_state *s = j->state;
    const sketch *k = &j->sketches[face];
    const edges e = set_edges(s, j->mesh->faces + 3 * (size_t)face, k->x0, k->y0);
    const real low = k->low, high = k->high, across = k->slope[0];
    for (int y = begin; y <= end; y++) {
        size_t at = (size_t)y * (size_t)s->width + (size_t)k->x0;
        real *restrict depth = s->depth + at;
        uint32_t *restrict visible = s->visible + at;
        const int64_t row = y - k->y0;
        const int64_t e0 = e.c[0] + e.b[0] * row, a0 = e.a[0];
        const int64_t e1 = e.c[1] + e.b[1] * row, a1 = e.a[1];
        const int64_t e2 = e.c[2] + e.b[2] * row, a2 = e.a[2];
        const real z0 = k->slope[1] * (real)row + k->at;
        for (int x = 0; x <= k->x1 - k->x0; x++) {
            int64_t side = (e0 + a0 * x) | (e1 + a1 * x) | (e2 + a2 * x);
            real z = z0 + across * (real)x;
            z = z > low ? z : low;
            z = z < high ? z : high;
            if (side >= 0 && z > depth[x]) {
                depth[x] = z;
                visible[x] = name;
            }
        }
    }
}

INLINE void draw_face(const job *j, uint32_t slot, int row_begin, int row_end)
{
    const raster_state *s = j->state;
    const uint32_t face = j->faces[slot];
    const sketch *k = &j->sketches[face];
    const int y0 = k->y0 > row_begin ? k->y0 : row_begin, y1 = k->y1 < row_end ? k->y1 : row_end;
    if (k->small && count_chunks(k->x0, k->x1) * RASTER_LANES <= s->width)
        draw_small(s, k, slot + 1, y0, y1);
    else
        draw_large(j, face, slot + 1, y0, y1);
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
INLINE bool is_hidden(const sketch *k, const real *least)
{
    for (int i = k->x0 / RASTER_LANES; i <= k->x1 / RASTER_LANES; i++)
        if (least[i] < k->high)
            return false;
    return true;
}

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the first of eight bytes is the lowest");

/* Runs of a segment of `count` pixels, at `visible`; where the next one goes. */
INLINE raster_run *find_runs(const raster_state *s, const uint32_t *visible, int count,
                             raster_run *next)
{
    uint8_t ends[RASTER_SEGMENT];
    memset(ends + (count - 1) / 8 * 8, 0, 8);
    for (int i = 0; i < count - 1; i++)
        ends[i] = visible[i] != visible[i + 1];
    ends[count - 1] = 1;
    for (int i = 0, begin = 0; i < count; i += 8) {
        uint64_t word;
        memcpy(&word, ends + i, sizeof word);
        for (; word; word &= word - 1) {
            int end = i + __builtin_ctzll(word) / 8 + 1;
            uint32_t slot = visible[begin] - 1;
            if (visible[begin]) {
                *next++ = (raster_run){ slot, (uint16_t)begin, (uint16_t)end };
                s->seen[slot] = true;
            }
            begin = end;
        }
    }
    return next;
}

INLINE void find_all_runs(const raster_state *s, size_t band)
{
    const size_t begin = (size_t)raster_band_begin(s, band), end = (size_t)raster_band_end(s, band);
    const size_t width = (size_t)s->width, segments = (size_t)raster_segment_count(s);
    raster_run *runs = s->runs + begin * width, *next = runs;
    uint32_t covered = 0;
    for (size_t y = begin; y < end; y++)
        for (size_t k = 0; k < segments; k++) {
            const size_t x = k * RASTER_SEGMENT, left = width - x;
            next = find_runs(s, s->visible + y * width + x,
                             left < RASTER_SEGMENT ? (int)left : RASTER_SEGMENT, next);
            s->run_ends[y * segments + k] = (uint32_t)(next - runs);
        }
    for (const raster_run *r = runs; r < next; r++)
        covered += (uint32_t)(r->end - r->begin);
    s->covered[band] = covered;
}

static void set_slots(const job *j, size_t band)
{
    const raster_state *s = j->state;
    const int begin = raster_band_begin(s, band);
    for (uint32_t i = s->first[band]; i < s->first[band + 1]; i++) {
        if (!s->seen[i])
            continue;
        const sketch *b = &j->sketches[j->faces[i]];
        s->slots[i] =
            (raster_slot){ .face = j->faces[i], .x0 = b->x0, .y0 = b->y0 > begin ? b->y0 : begin };
        raster_set_planes(s, j->mesh, &s->slots[i]);
    }
}

SIMD_VARIANTS(void, raster_visible_band, (const raster_faces *j, size_t band), (j, band))
{
    const raster_state *s = j->state;
    const int begin = raster_band_begin(s, band), last = raster_band_end(s, band) - 1;
    const uint32_t first = s->first[band], middle = j->middle[band], end = s->first[band + 1];
    const bool wide = s->width >= RASTER_LANES;
    real least[RASTER_LARGEST_SIDE / RASTER_LANES];
    size_t pixel = (size_t)begin * (size_t)s->width;
    size_t count = (size_t)(last + 1) * (size_t)s->width - pixel;
    memset(s->visible + pixel, 0, count * sizeof *s->visible);
    memset(s->depth + pixel, 0, count * sizeof *s->depth);
    for (uint32_t i = first; i < middle; i++)
        draw_face(j, i, begin, last);
    if (wide && middle < end)
        find_least(s, band, least);
    for (uint32_t i = middle; i < end; i++)
        if (!wide || !is_hidden(&j->sketches[j->faces[i]], least))
            draw_face(j, i, begin, last);
    find_all_runs(s, band);
    set_slots(j, band);
}

bool raster_state_init(raster_state *s, int width, int height, size_t vertex_count, arena *scratch)
{
    *s = (raster_state){ .width = width, .height = height, .band_bits = height <= 256 ? 3 : 5 };
    s->band_count = ((height - 1) >> s->band_bits) + 1;
    s->screen = arena_take(scratch, vertex_count, 3 * sizeof *s->screen);
    s->snapped = arena_take(scratch, vertex_count, 2 * sizeof *s->snapped);
    return s->screen && s->snapped;
}

/* The two are read and written in turns: if they lay at equal places of their pages, as in some
 * sizes they would, reading one would wait for what was written to the other. */
static bool take_pixels(raster_state *s, arena *scratch)
{
    const size_t pixels = (size_t)s->width * (size_t)s->height, page = 4096, apart = 17 * 64;
    const size_t first = (pixels * sizeof *s->visible + page - 1) / page * page + apart;
    char *memory = arena_take(scratch, 1, first + pixels * sizeof *s->depth);
    if (!memory)
        return false;
    s->visible = (void *)memory;
    s->depth = (void *)(memory + first);
    return true;
}

raster_faces *raster_faces_measure(raster_state *state, const raster_mesh *mesh, arena *scratch)
{
    const size_t pixels = (size_t)state->width * (size_t)state->height;
    const size_t bands = (size_t)state->band_count, faces = mesh->face_count;
    const size_t chunks = (faces + RASTER_FACE_CHUNK - 1) / RASTER_FACE_CHUNK;
    job *j = arena_take(scratch, 1, sizeof *j);
    if (!j)
        return NULL;
    *j = (job){ .state = state, .mesh = mesh };
    j->sketches = arena_take(scratch, faces, sizeof *j->sketches);
    j->counts = arena_alloc(scratch, chunks, 2 * bands * sizeof *j->counts);
    j->middle = arena_take(scratch, bands, sizeof *j->middle);
    state->facing = arena_take(scratch, faces, sizeof *state->facing);
    state->first = arena_take(scratch, bands + 1, sizeof *state->first);
    state->covered = arena_take(scratch, bands, sizeof *state->covered);
    state->runs = arena_take(scratch, pixels, sizeof *state->runs);
    state->run_ends = arena_take(scratch, (size_t)raster_segment_count(state),
                                 (size_t)state->height * sizeof *state->run_ends);
    if (!j->sketches || !j->counts || !j->middle || !state->facing || !state->first ||
        !state->covered || !state->runs || !state->run_ends || !take_pixels(state, scratch))
        return NULL;
    threads_parallel(chunks, measure_faces, j);
    if (!place_chunks(j, chunks, scratch))
        return NULL;
    threads_parallel(chunks, list_faces, j);
    return j;
}

static void draw_band(void *context, size_t band)
{
    raster_visible_band(context, band);
}

bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch)
{
    raster_faces *faces = raster_faces_measure(state, mesh, scratch);
    if (faces)
        threads_parallel((size_t)state->band_count, draw_band, faces);
    return faces != NULL;
}

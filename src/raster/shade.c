/* SPDX-License-Identifier: Apache-2.0 */
/* The picture inside of the surface, and the adjoint: attributes are interpolated for the pixels of
 * a segment (a stretch of a row) side by side, colour.c makes colours of them.
 *
 * In the backward pass the gradient of the picture becomes that before outlines were blended
 * (silhouette.c), and what the pixels of a face add up to are the moments of its planes
 * (surface.c). Both ways go over the same segments, so the backward pass as a whole stands below.
 */
#include "raster_priv.h"

#include <tgmath.h>

/* A pixel that a crossing has blended. */
typedef struct crossing_end {
    uint32_t crossing;
    uint16_t column; /* of its segment */
    int16_t sign;    /* 1: inner, -1: outer */
} crossing_end;

struct raster_shading {
    raster_shader shader;
    const raster_state *state;
    const raster_mesh *mesh;
    const real *normals;
    real *image;
    const real *background; /* one row, or the picture where there is one */
    bool background_moves;  /* it is a picture */
    const real *dimage;     /* adjoint */
    real *dscreen, *dnormals;
    raster_slot_gradient *gradients;         /* (slots) */
    raster_texel *texels;                    /* (covered pixels), or NULL */
    uint32_t *first;                         /* (bands + 1) of texels */
    real (*dlight)[9];                       /* (bands), of the shader's light; or NULL */
    real (*drange)[2];                       /* (bands), of least and most */
    const real (*dcolours)[RASTER_CHANNELS]; /* (crossings) */
    crossing_end *ends;                      /* (2 crossings), by segment */
    uint32_t *end_counts;                    /* (segments + 1) how many before each */
};
typedef struct raster_shading job;

/* A segment: the columns' first pixel, and how many of them the picture has. */
typedef struct segment {
    size_t index, band, pixel;
    int x, y, width;
    raster_columns columns;
} segment;

typedef void (*segment_body)(const job *j, segment *s);

INLINE void each_segment(const job *j, size_t band, segment *s, segment_body body)
{
    const raster_state *state = j->state;
    const size_t segments = (size_t)raster_segment_count(state), width = (size_t)state->width;
    const size_t begin = (size_t)raster_band_begin(state, band);
    const size_t end = (size_t)raster_band_end(state, band);
    const raster_run *runs = state->runs + begin * width;
    raster_columns *c = &s->columns;
    s->band = band;
    for (uint32_t i = (uint32_t)(begin * segments), done = 0; i < end * segments; i++) {
        const int x = (int)(i % segments) * RASTER_SEGMENT, left = state->width - x;
        s->index = i;
        s->x = x;
        s->y = (int)(i / segments);
        s->pixel = (size_t)s->y * width + (size_t)x;
        s->width = left < RASTER_SEGMENT ? left : RASTER_SEGMENT;
        c->runs = runs + done;
        c->run_count = (int)(state->run_ends[i] - done);
        done = state->run_ends[i];
        c->begin = c->end = 0;
        if (c->run_count) {
            c->begin = c->runs[0].begin / RASTER_LANES * RASTER_LANES;
            c->end =
                (c->runs[c->run_count - 1].end + RASTER_LANES - 1) / RASTER_LANES * RASTER_LANES;
        }
        body(j, s);
    }
}

/* ---- planes -> columns ---- */

static const raster_lanes steps = { 0, 1, 2, 3, 4, 5, 6, 7 };

/* 1/w of the plane reaches beyond that of the corners where a pixel lies beyond an edge; by less
 * than RASTER_SLACK it is rounding. */
INLINE void limit_depth(raster_columns *c, const raster_run *r, const raster_surface *surface)
{
    real *w = c->a[RASTER_A_W];
    for (int i = r->begin; i < r->end; i++) {
        real limited = w[i] > surface->least ? w[i] : surface->least;
        limited = limited < surface->most ? limited : surface->most;
        c->inside[i] = fabs(limited - w[i]) <= RASTER_SLACK * limited ? 1 : 0;
        w[i] = limited;
    }
}

/* Whole lanes: what lies beyond a run's end is written by the next one or shows nothing. */
INLINE void gather_group(const job *j, segment *s, int group)
{
    raster_columns *c = &s->columns;
    real(*a)[RASTER_COLUMNS] = c->a + 3 * group;
    const raster_surface *surfaces = j->state->surfaces;
    const raster_run *end = c->runs + c->run_count;
    const real column = (real)s->x, row = (real)s->y;
    for (const raster_run *r = c->runs; r < end; r++) {
        const raster_surface *surface = &surfaces[r->slot];
        const raster_four *plane = surface->plane[group];
        const real x = column + (real)r->begin - surface->x0, y = row - surface->y0;
        const raster_four at = plane[0] + plane[1] * x + plane[2] * y;
        raster_lanes across = steps;
        size_t i = r->begin, last = r->end;
        do {
            for (int k = 0; k < 3; k++)
                *(raster_lanes *)(a[k] + i) = plane[1][k] * across + at[k];
            across += RASTER_LANES;
            i += RASTER_LANES;
        } while (i < last);
        if (group == RASTER_G_UVW)
            limit_depth(c, r, surface);
    }
}

INLINE void gather(const job *j, segment *s)
{
    if (j->shader.groups[RASTER_G_NORMAL])
        gather_group(j, s, RASTER_G_NORMAL);
    if (j->shader.groups[RASTER_G_UVW])
        gather_group(j, s, RASTER_G_UVW);
}

/* += the moments of da: four pixels at a time times 1 and, beside it, times x. */
INLINE void scatter_group(const job *j, const segment *s, int group, int from)
{
    const raster_lanes none = { 0 }, lanes = { 0, 1, 2, 3, 0, 1, 2, 3 };
    const raster_lanes of_x = { 0, 0, 0, 0, 1, 1, 1, 1 }, at_0 = { 1, 1, 1, 1, 0, 1, 2, 3 };
    const raster_columns *c = &s->columns;
    const real(*da)[RASTER_COLUMNS] = c->da + 3 * group;
    const raster_surface *surfaces = j->state->surfaces;
    const raster_run *end = c->runs + c->run_count;
    const real column = (real)s->x, row = (real)s->y;
    raster_slot_gradient *gradients = j->gradients;
    for (const raster_run *r = c->runs; r < end; r++) {
        const raster_surface *surface = &surfaces[r->slot];
        raster_four *moments = gradients[r->slot].moments[group];
        const real x = column + (real)r->begin - surface->x0, y = row - surface->y0;
        raster_lanes factors = at_0 + x * of_x, sums[3] = { none, none, none };
        size_t i = r->begin, last = r->end;
        do {
            const raster_mask run = lanes < (real)(int)(last - i);
            for (int k = from; k < 3; k++) {
                const raster_four v = *(const raster_four *)(da[k] + i);
                const raster_lanes twice = __builtin_shufflevector(v, v, 0, 1, 2, 3, 0, 1, 2, 3);
                sums[k] += factors * RASTER_CHOOSE(run, twice, none);
            }
            factors += 4 * of_x;
            i += 4;
        } while (i < last);
        const raster_lanes ab =
            __builtin_shufflevector(sums[0], sums[1], 0, 8, 1, 9, 4, 12, 5, 13) +
            __builtin_shufflevector(sums[0], sums[1], 2, 10, 3, 11, 6, 14, 7, 15);
        const raster_lanes c0 = __builtin_shufflevector(sums[2], none, 0, 8, 1, 9, 4, 12, 5, 13) +
                                __builtin_shufflevector(sums[2], none, 2, 10, 3, 11, 6, 14, 7, 15);
        const raster_lanes all = __builtin_shufflevector(ab, c0, 0, 1, 8, 9, 4, 5, 12, 13) +
                                 __builtin_shufflevector(ab, c0, 2, 3, 10, 11, 6, 7, 14, 15);
        *(raster_lanes *)moments += all;
        moments[2] += __builtin_shufflevector(all, all, 0, 1, 2, 3) * y;
    }
}

INLINE void scatter(const job *j, const segment *s)
{
    if (j->shader.groups[RASTER_G_NORMAL])
        scatter_group(j, s, RASTER_G_NORMAL, 0);
    if (j->shader.groups[RASTER_G_UVW] && j->shader.texture)
        scatter_group(j, s, RASTER_G_UVW, RASTER_L_U);
    else if (j->shader.groups[RASTER_G_UVW])
        scatter_group(j, s, RASTER_G_UVW, RASTER_L_W);
}

/* ---- columns -> picture ---- */

/* Numbers 8 part to 8 part + 7 of eight triples, all three numbers of a triple the same. */
#define REPEAT_THREE(v, part)                                                                      \
    ((part) == 0   ? __builtin_shufflevector(v, v, 0, 0, 0, 1, 1, 1, 2, 2)                         \
     : (part) == 1 ? __builtin_shufflevector(v, v, 2, 3, 3, 3, 4, 4, 4, 5)                         \
                   : __builtin_shufflevector(v, v, 5, 5, 6, 6, 6, 7, 7, 7))

/* One plane for three channels, eight pixels from column i on. */
INLINE void write_eight(const raster_columns *c, int i, const uint32_t *visible,
                        const real *background, real *image)
{
    const raster_lanes colour = *(const raster_lanes *)(c->out[0] + i);
    const raster_mask shown =
        __builtin_convertvector(*(const raster_lanes32 *)(visible + i) != 0, raster_mask);
    for (int part = 0; part < 3; part++) {
        const int at = 3 * i + RASTER_LANES * part;
        *(raster_lanes *)(image + at) =
            RASTER_CHOOSE(REPEAT_THREE(shown, part), REPEAT_THREE(colour, part),
                          *(const raster_lanes *)(background + at));
    }
}

INLINE void write_columns(const job *j, const segment *s, int channels, int planes)
{
    const raster_columns *c = &s->columns;
    const uint32_t *visible = j->state->visible + s->pixel;
    const real *background =
        j->background + (size_t)channels * (j->background_moves ? s->pixel : (size_t)s->x);
    real *image = j->image + (size_t)channels * s->pixel;
    const int begin = c->begin, end = c->end < s->width ? c->end : s->width;
    int i = begin;
    memcpy(image, background, (size_t)(channels * begin) * sizeof *image);
    for (; planes < channels && i + RASTER_LANES <= end; i += RASTER_LANES)
        write_eight(c, i, visible, background, image);
    for (; i < end; i++)
        for (int k = 0; k < channels; k++)
            image[channels * i + k] =
                visible[i] ? c->out[planes == channels ? k : 0][i] : background[channels * i + k];
    memcpy(image + channels * end, background + channels * end,
           (size_t)(channels * (s->width - end)) * sizeof *image);
}

INLINE void shade_segment(const job *j, segment *s)
{
    if (s->columns.run_count) {
        gather(j, s);
        raster_colour(&j->shader, &s->columns);
    }
    if (j->shader.planes < j->shader.channels)
        write_columns(j, s, 3, 1);
    else if (j->shader.channels == 3)
        write_columns(j, s, 3, 3);
    else
        write_columns(j, s, j->shader.channels, j->shader.channels);
}

static void set_surfaces(const job *j, size_t band)
{
    const raster_state *s = j->state;
    for (uint32_t i = s->first[band]; i < s->first[band + 1]; i++)
        if (s->seen[i])
            raster_surface_set(s, j->mesh, j->normals, j->shader.texture != NULL, j->shader.groups,
                               &s->slots[i], &s->surfaces[i]);
}

raster_shading *raster_shade_begin(raster_state *state, const raster_mesh *mesh,
                                   const real *normals, const raster_view *view, arena *scratch,
                                   real *image)
{
    const size_t row = (size_t)state->width * (size_t)state->channels;
    job *j = arena_take(scratch, 1, sizeof *j);
    real *colour = arena_take(scratch, row, sizeof *colour);
    state->surfaces = arena_take(scratch, state->first[state->band_count], sizeof *state->surfaces);
    if (!j || !colour || !state->surfaces)
        return NULL;
    for (int x = 0; x < state->width; x++)
        for (int k = 0; k < state->channels; k++)
            colour[x * state->channels + k] = view->background[k];
    *j = (job){ .state = state, .mesh = mesh, .normals = normals, .image = image };
    raster_shader_init(&j->shader, state, view);
    j->background_moves = view->background_picture != NULL;
    j->background = j->background_moves ? view->background_picture : colour;
    return j;
}

SIMD_VARIANTS(void, raster_shade_band, (const raster_shading *j, size_t band), (j, band))
{
    segment work;
    set_surfaces(j, band);
    if (j->shader.view->mode == RASTER_DEPTH)
        return;
    memset(work.columns.a, 0, sizeof work.columns.a);
    each_segment(j, band, &work, shade_segment);
}

static void fill_depth(void *context, size_t y)
{
    const job *j = context;
    const real least = j->shader.least, range = j->shader.most - least;
    const size_t width = (size_t)j->state->width;
    for (size_t i = y * width; i < (y + 1) * width; i++) {
        real nearness = range > 0 ? (j->state->depth[i] - least) / range : 1;
        for (int c = 0; c < 3; c++)
            j->image[3 * i + (size_t)c] = j->state->visible[i] ? (nearness + 1) / 2 : 0;
    }
}

static void find_range(raster_state *s)
{
    size_t pixels = (size_t)s->width * (size_t)s->height, first = 0;
    while (first + 1 < pixels && !s->visible[first])
        first++;
    s->nearest = s->farthest = first;
    for (size_t i = first; i < pixels; i++) {
        if (s->visible[i] && s->depth[i] > s->depth[s->nearest])
            s->nearest = i;
        if (s->visible[i] && s->depth[i] < s->depth[s->farthest])
            s->farthest = i;
    }
}

/* Depth has to wait for its range. */
void raster_shade_end(raster_shading *j, raster_state *state)
{
    if (j->shader.view->mode != RASTER_DEPTH)
        return;
    find_range(state);
    raster_shader_set_range(&j->shader);
    threads_parallel((size_t)j->state->height, fill_depth, j);
}

/* ---- adjoint ---- */

/* Three channels of eight pixels -> the sums of each pixel's. Reads 26 numbers. */
INLINE void sum_threes(const real *in, real *out)
{
    raster_lanes sums[3];
    for (int k = 0; k < 3; k++)
        sums[k] = *(const raster_lanes *)(in + 8 * k) + *(const raster_lanes *)(in + 8 * k + 1) +
                  *(const raster_lanes *)(in + 8 * k + 2);
    const raster_lanes mixed =
        __builtin_shufflevector(__builtin_shufflevector(sums[0], sums[1], 0, 9, 2, 3, 12, 5, 6, 15),
                                sums[2], 0, 1, 10, 3, 4, 13, 6, 7);
    *(raster_lanes *)out = __builtin_shufflevector(mixed, mixed, 0, 3, 6, 1, 4, 7, 2, 5);
}

/* The gradient of the picture -> out: that before blending; of equal planes the sum. What is not
 * covered gets numbers that nothing reads. */
INLINE void read_columns(const job *j, segment *s, int channels, int planes)
{
    raster_columns *c = &s->columns;
    const real *in = j->dimage + (size_t)channels * s->pixel;
    const int end = c->end < s->width ? c->end : s->width;
    int i = c->begin;
    for (; planes < channels && i + RASTER_LANES < end; i += RASTER_LANES)
        sum_threes(in + channels * i, c->out[0] + i);
    for (; i < end; i++)
        for (int k = 0; k < planes; k++)
            c->out[k][i] = planes == channels
                               ? in[channels * i + k]
                               : in[channels * i] + in[channels * i + 1] + in[channels * i + 2];
    for (uint32_t e = j->end_counts[s->index]; e < j->end_counts[s->index + 1]; e++) {
        const crossing_end *at = &j->ends[e];
        const real *dcolour = j->dcolours[at->crossing];
        for (int k = 0; k < channels; k++)
            c->out[planes == channels ? k : 0][at->column] += (real)at->sign * dcolour[k];
    }
}

/* What the same segment of the next row will read. */
INLINE void fetch_next_row(const job *j, const segment *s)
{
    const int channels = j->shader.channels, line = 64 / (int)sizeof *j->dimage;
    const int end = s->columns.end < s->width ? s->columns.end : s->width;
    if (s->y + 1 == j->state->height)
        return;
    const real *next = j->dimage + (size_t)channels * (s->pixel + (size_t)j->state->width);
    for (int i = channels * s->columns.begin; i < channels * end; i += line)
        __builtin_prefetch(next + i);
}

INLINE void shade_segment_adjoint(const job *j, segment *s)
{
    if (!s->columns.run_count)
        return;
    fetch_next_row(j, s);
    if (j->shader.planes < j->shader.channels)
        read_columns(j, s, 3, 1);
    else if (j->shader.channels == 3)
        read_columns(j, s, 3, 3);
    else
        read_columns(j, s, j->shader.channels, j->shader.channels);
    gather(j, s);
    raster_colour_adjoint(&j->shader, &s->columns, j->gradients,
                          j->dlight ? j->dlight[s->band] : NULL, j->drange[s->band]);
    scatter(j, s);
}

/* Moments become the gradients of the corners. */
static void finish_slots(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    for (uint32_t i = s->first[band]; i < s->first[band + 1]; i++)
        if (s->seen[i])
            raster_surface_adjoint(s, j->mesh, j->normals, j->shader.texture != NULL,
                                   j->shader.groups, &s->slots[i], &j->gradients[i]);
}

SIMD_VARIANTS(static void, shade_band_adjoint, (void *context, size_t band), (context, band))
{
    const job *j = context;
    const raster_state *s = j->state;
    segment work;
    memset(work.columns.a, 0, sizeof work.columns.a);
    memset(work.columns.out, 0, sizeof work.columns.out);
    work.columns.texels = j->texels ? j->texels + j->first[band] : NULL;
    for (uint32_t i = s->first[band]; i < s->first[band + 1]; i++)
        if (s->seen[i]) {
            __builtin_prefetch(&s->surfaces[i]);
            for (int k = 0; k < 6; k++) /* memset would be slower: it is short */
                j->gradients[i].moments[k / 3][k % 3] = (raster_four){ 0 };
        }
    each_segment(j, band, &work, shade_segment_adjoint);
    if (j->shader.view->mode != RASTER_DEPTH)
        finish_slots(context, band);
}

/* The two pixels that the range of depth hangs on. */
static void add_range(const job *j)
{
    const raster_state *s = j->state;
    for (int k = 0; k < 2; k++) {
        size_t pixel = k ? s->nearest : s->farthest;
        real sum = 0;
        for (int band = 0; band < s->band_count; band++)
            sum += j->drange[band][k];
        uint32_t name = s->visible[pixel];
        if (!name)
            continue;
        const raster_slot *slot = &s->slots[name - 1];
        raster_four *moments = j->gradients[name - 1].moments[RASTER_G_UVW];
        moments[0][RASTER_L_W] += sum;
        moments[1][RASTER_L_W] += sum * (real)((int)(pixel % (size_t)s->width) - slot->x0);
        moments[2][RASTER_L_W] += sum * (real)((int)(pixel / (size_t)s->width) - slot->y0);
    }
}

/* += the corners' places or normals of all slots, in order. */
INLINE void add_all(const job *j, bool normals, real *to)
{
    const raster_state *s = j->state;
    const uint32_t slots = s->first[s->band_count];
    for (uint32_t i = 0; i < slots; i++) {
        if (!s->seen[i])
            continue;
        const uint32_t *v = j->mesh->faces + 3 * (size_t)s->slots[i].face;
        const real *from = normals ? (const real *)j->gradients[i].corner.normals
                                   : (const real *)j->gradients[i].corner.places;
        for (int k = 0; k < 3; k++)
            for (int c = 0; c < 3; c++)
                to[3 * (size_t)v[k] + (size_t)c] += normals ? from[4 * k + c] : from[4 * c + k];
    }
}

static void add_corners(void *context, size_t normals)
{
    const job *j = context;
    if (normals)
        add_all(j, true, j->dnormals);
    else
        add_all(j, false, j->dscreen);
}

/* Sorts the ends of the crossings by segment; within one they keep their order. */
static void sort_ends(const job *j)
{
    const raster_state *s = j->state;
    const uint32_t segments = (uint32_t)raster_segment_count(s), width = (uint32_t)s->width;
    const size_t all = segments * (size_t)s->height;
    uint32_t *counts = j->end_counts;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < 2 * s->crossing_count; i++) {
            const raster_crossing *c = &s->crossings[i / 2];
            const uint32_t pixel = i % 2 ? c->outer : c->inner, y = pixel / width;
            const uint32_t x = pixel - y * width;
            uint32_t *count = &counts[(size_t)y * segments + x / RASTER_SEGMENT];
            if (pass)
                j->ends[*count] = (crossing_end){ .crossing = (uint32_t)(i / 2),
                                                  .column = (uint16_t)(x % RASTER_SEGMENT),
                                                  .sign = i % 2 ? -1 : 1 };
            ++*count;
        }
        for (size_t i = 0, sum = 0; i < all + 1 && !pass; i++) {
            size_t count = counts[i];
            counts[i] = (uint32_t)sum;
            sum += count;
        }
    }
    memmove(counts + 1, counts, all * sizeof *counts);
    counts[0] = 0;
}

static bool allocate(job *j, arena *scratch, bool texels, bool lights)
{
    const raster_state *s = j->state;
    size_t bands = (size_t)s->band_count, segments = (size_t)raster_segment_count(s);
    j->gradients = arena_take(scratch, s->first[bands], sizeof *j->gradients);
    j->first = arena_alloc(scratch, bands + 1, sizeof *j->first);
    for (size_t i = 0; j->first && i < bands; i++)
        j->first[i + 1] = j->first[i] + s->covered[i];
    if (j->first && texels)
        j->texels = arena_take(scratch, j->first[bands], sizeof *j->texels);
    if (lights)
        j->dlight = arena_alloc(scratch, bands, sizeof *j->dlight);
    j->drange = arena_alloc(scratch, bands, sizeof *j->drange);
    j->ends = arena_take(scratch, 2 * s->crossing_count, sizeof *j->ends);
    j->end_counts = arena_alloc(scratch, segments * (size_t)s->height + 1, sizeof *j->end_counts);
    return j->first && j->gradients && j->drange && j->ends && j->end_counts &&
           (j->texels || !texels) && (j->dlight || !lights);
}

static void finish_light(const job *j, real *dlight)
{
    real sum[9] = { 0 };
    for (int band = 0; band < j->state->band_count; band++)
        for (int k = 0; k < 9; k++)
            sum[k] += j->dlight[band][k];
    if (j->shader.view->light_kind == RASTER_HARMONICS)
        raster_light_polynomial_adjoint(sum, dlight);
    else
        for (int k = 0; k < 9; k++)
            dlight[k] += sum[k];
}

/* Each band writes to its own slots; they are then added up in order. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *dimage,
                          const real (*dcolours)[RASTER_CHANNELS], real *dscreen, real *dnormals,
                          raster_texels *texels, real *dlight)
{
    const size_t bands = (size_t)state->band_count;
    job j = {
        .state = state, .mesh = mesh, .normals = normals, .dimage = dimage, .dcolours = dcolours
    };
    raster_shader_init(&j.shader, state, view);
    if (view->mode == RASTER_DEPTH)
        raster_shader_set_range(&j.shader);
    if (texels)
        *texels = (raster_texels){ .bands = 0 };
    if (!j.shader.groups[RASTER_G_NORMAL] && !j.shader.groups[RASTER_G_UVW]) /* constant inside */
        return true;
    if (!allocate(&j, scratch, texels && j.shader.texture, dlight && view->mode == RASTER_SHADED))
        return false;
    sort_ends(&j);
    threads_parallel(bands, shade_band_adjoint, &j);
    if (view->mode == RASTER_DEPTH) { /* its range depends on all bands */
        add_range(&j);
        threads_parallel(bands, finish_slots, &j);
    }
    j.dscreen = dscreen;
    j.dnormals = dnormals;
    threads_parallel(dnormals ? 2 : 1, add_corners, &j);
    if (j.dlight)
        finish_light(&j, dlight);
    if (j.texels)
        *texels = (raster_texels){ j.texels, j.first, bands };
    return true;
}

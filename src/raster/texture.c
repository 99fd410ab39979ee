/* SPDX-License-Identifier: Apache-2.0 */
/* Texture lookup, bilinear or between the levels of a pyramid, with its slopes, and the adjoint to
 * the texels.
 *
 *   level = log2 of the longer side of a pixel in texels of level 0, limited to what there is
 *   colour = (1 - f) bilinear(texels_l, uv) + f bilinear(texels_l+1, uv),  l + f = level
 *
 * Row 0 lies at v = 1; texel centres at +0.5; outside, the edge is repeated. Williams, "Pyramidal
 * parametrics", 1983. */
#include "raster_priv.h"

#include "image/image.h"

#include <tgmath.h>

typedef struct level {
    int width, height;
    size_t offset; /* numbers before it */
    int row;       /* rows before it */
} level;

static level next_level(const level *l, int channels)
{
    return (level){ .width = l->width > 1 ? l->width / 2 : 1,
                    .height = l->height > 1 ? l->height / 2 : 1,
                    .offset = l->offset + (size_t)l->width * (size_t)l->height * (size_t)channels,
                    .row = l->row + l->height };
}

static level find_level(const raster_texture *t, int number)
{
    level l = { .width = t->width, .height = t->height };
    for (int i = 0; i < number; i++)
        l = next_level(&l, t->channels);
    return l;
}

int raster_texture_levels(int width, int height)
{
    int levels = 1;
    for (int side = width > height ? width : height; side > 1; side /= 2)
        levels++;
    return levels;
}

size_t raster_texture_size(const raster_texture *t)
{
    return find_level(t, t->levels).offset;
}

int raster_texture_rows(const raster_texture *t)
{
    return find_level(t, t->levels).row;
}

void raster_texture_reduce(const raster_texture *t, real *texels)
{
    level fine = find_level(t, 0);
    for (int i = 1; i < t->levels; i++) {
        level coarse = next_level(&fine, t->channels);
        image_resize(texels + fine.offset, fine.height, fine.width, t->channels, coarse.height,
                     coarse.width, IMAGE_AREA, texels + coarse.offset);
        fine = coarse;
    }
}

void raster_texture_reduce_adjoint(const raster_texture *t, real *dtexels)
{
    for (int i = t->levels - 1; i > 0; i--) {
        level fine = find_level(t, i - 1), coarse = find_level(t, i);
        image_resize_adjoint(fine.height, fine.width, t->channels, coarse.height, coarse.width,
                             IMAGE_AREA, dtexels + coarse.offset, dtexels + fine.offset);
    }
}

real raster_level(const raster_texture *t, const real ux[2], const real uy[2], real slope[2][2])
{
    const real size[2] = { (real)t->width, (real)t->height };
    real square[2] = { 0 };
    for (int k = 0; k < 2; k++) {
        square[0] += ux[k] * size[k] * ux[k] * size[k];
        square[1] += uy[k] * size[k] * uy[k] * size[k];
    }
    int longer = square[1] > square[0];
    real found = square[longer] > 1 ? log2(square[longer]) / 2 : 0;
    real last = (real)(t->levels - 1);
    const real *along = longer ? uy : ux;
    memset(slope, 0, 4 * sizeof(real));
    if (!(found < last))
        return last;
    for (int k = 0; k < 2 && found > 0; k++)
        slope[longer][k] =
            along[k] * size[k] * size[k] / (square[longer] * (real)0.69314718055994531);
    return found;
}

typedef struct taps {
    int x[2], y[2];
    real fx, fy;
} taps;

/* One axis: position in texels -> two neighbours and the fraction between them. */
static inline void split(real position, int size, int at[2], real *fraction)
{
    position = position > -1 ? position : -1; /* also for NaN */
    position = position < (real)size ? position : (real)size;
    int low = (int)(position + 1) - 1;
    *fraction = position - (real)low;
    at[0] = low < 0 ? 0 : low < size ? low : size - 1;
    at[1] = low + 1 < size ? low + 1 : size - 1;
}

static inline taps find_taps(const level *l, const real uv[2])
{
    taps t;
    split(uv[0] * (real)l->width - (real)0.5, l->width, t.x, &t.fx);
    split((1 - uv[1]) * (real)l->height - (real)0.5, l->height, t.y, &t.fy);
    return t;
}

/* += share of the level's colour and slopes, += weight of its colour to by_level */
static inline void sample(const raster_texture *texture, const level *l, real share, real weight,
                          raster_lookup *out)
{
    taps t = find_taps(l, out->uv);
    const int channels = texture->channels;
    const real *rows[2], width = share * (real)l->width, height = share * (real)l->height;
    for (int k = 0; k < 2; k++)
        rows[k] =
            texture->texels + l->offset + (size_t)t.y[k] * (size_t)l->width * (size_t)channels;
    for (int c = 0; c < channels; c++) {
        real p00 = rows[0][channels * t.x[0] + c], p10 = rows[0][channels * t.x[1] + c];
        real p01 = rows[1][channels * t.x[0] + c], p11 = rows[1][channels * t.x[1] + c];
        real top = p00 + t.fx * (p10 - p00), bottom = p01 + t.fx * (p11 - p01);
        real colour = top + t.fy * (bottom - top);
        out->colour[c] += share * colour;
        out->by_level[c] += weight * colour;
        out->by_u[c] += width * (p10 - p00 + t.fy * (p11 - p01 - p10 + p00));
        out->by_v[c] -= height * (bottom - top);
    }
}

/* The finer of the two levels, and how far it is from there to the coarser one. */
static inline int finer_level(const raster_texture *t, real at, real *fraction)
{
    int fine = (int)at;
    fine = fine < t->levels - 1 ? fine : t->levels - 1;
    *fraction = at - (real)fine;
    return fine;
}

void raster_look_up(const raster_texture *texture, raster_lookup *lookup)
{
    real fraction;
    int number = finer_level(texture, lookup->level, &fraction);
    level fine = find_level(texture, number);
    bool last = number == texture->levels - 1;
    memset(lookup->colour, 0, 4 * sizeof lookup->colour);
    sample(texture, &fine, 1 - fraction, last ? 0 : -1, lookup);
    if (last)
        return;
    level coarse = next_level(&fine, texture->channels);
    sample(texture, &coarse, fraction, 1, lookup);
}

static void scatter(const level *l, int channels, const raster_texel *texel, real share, int begin,
                    int end, real *dtexels)
{
    taps t = find_taps(l, texel->uv);
    const real fx[2] = { 1 - t.fx, t.fx }, fy[2] = { 1 - t.fy, t.fy };
    for (int k = 0; k < 2; k++) {
        if (l->row + t.y[k] < begin || l->row + t.y[k] >= end)
            continue;
        real *row = dtexels + l->offset + (size_t)t.y[k] * (size_t)l->width * (size_t)channels;
        for (int i = 0; i < 2; i++)
            for (int c = 0; c < channels; c++)
                row[channels * t.x[i] + c] += share * fy[k] * fx[i] * texel->dcolour[c];
    }
}

void raster_texel_adjoint(const raster_texture *texture, const raster_texel *texel, int begin,
                          int end, real *dtexels)
{
    real fraction;
    int number = finer_level(texture, texel->level, &fraction);
    level fine = find_level(texture, number);
    scatter(&fine, texture->channels, texel, 1 - fraction, begin, end, dtexels);
    if (number == texture->levels - 1)
        return;
    level coarse = next_level(&fine, texture->channels);
    scatter(&coarse, texture->channels, texel, fraction, begin, end, dtexels);
}

/* Lookups are sorted by the strips of texture rows that they touch (at most four), in the order of
 * the picture; then each strip is summed on its own. */
enum { STRIPS = 32, TOUCHED = 4 };

typedef struct job {
    const raster_texture *texture;
    const raster_texel *texels;
    const uint32_t *first;
    int rows;                 /* of all levels */
    uint32_t (*next)[STRIPS]; /* (bands) counts, then places in `sorted` */
    uint32_t *sorted;
    uint32_t ends[STRIPS];
    real *dtexels;
} job;

static int strip_of(const job *j, int row)
{
    return (int)((int64_t)row * STRIPS / j->rows);
}

/* -> strips without repetition, and how many */
static int find_strips(const job *j, const raster_texel *texel, int strips[TOUCHED])
{
    real fraction;
    int number = finer_level(j->texture, texel->level, &fraction), count = 0;
    level l = find_level(j->texture, number);
    for (int k = 0; k < 2 && number + k < j->texture->levels; k++) {
        taps t = find_taps(&l, texel->uv);
        for (int i = 0; i < 2; i++) {
            int strip = strip_of(j, l.row + t.y[i]), known = 0;
            while (known < count && strips[known] != strip)
                known++;
            if (known == count)
                strips[count++] = strip;
        }
        l = next_level(&l, j->texture->channels);
    }
    return count;
}

static void sort_band(const job *j, size_t band, bool count)
{
    for (uint32_t i = j->first[band]; i < j->first[band + 1]; i++) {
        int strips[TOUCHED], found = find_strips(j, &j->texels[i], strips);
        for (int k = 0; k < found; k++) {
            uint32_t at = j->next[band][strips[k]]++;
            if (!count)
                j->sorted[at] = i;
        }
    }
}

static void count_band(void *context, size_t band)
{
    sort_band(context, band, true);
}

static void place_band(void *context, size_t band)
{
    sort_band(context, band, false);
}

static void sum_strip(void *context, size_t strip)
{
    const job *j = context;
    int begin = 0, end;
    while (begin < j->rows && strip_of(j, begin) < (int)strip)
        begin++;
    for (end = begin; end < j->rows && strip_of(j, end) == (int)strip;)
        end++;
    for (uint32_t i = strip ? j->ends[strip - 1] : 0; i < j->ends[strip]; i++)
        raster_texel_adjoint(j->texture, &j->texels[j->sorted[i]], begin, end, j->dtexels);
}

bool raster_texels_adjoint(const raster_texture *texture, const raster_texels *texels,
                           arena *scratch, real *dtexels)
{
    size_t bands = texels->bands;
    job j = { .texture = texture,
              .texels = texels->texels,
              .first = texels->first,
              .rows = raster_texture_rows(texture),
              .dtexels = dtexels };
    j.next = arena_alloc(scratch, bands, sizeof *j.next);
    if (!j.next)
        return false;
    threads_parallel(bands, count_band, &j);
    uint32_t total = 0;
    for (int s = 0; s < STRIPS; s++) {
        for (size_t band = 0; band < bands; band++) {
            uint32_t count = j.next[band][s];
            j.next[band][s] = total;
            total += count;
        }
        j.ends[s] = total;
    }
    j.sorted = arena_alloc(scratch, total, sizeof *j.sorted);
    if (!j.sorted)
        return false;
    threads_parallel(bands, place_band, &j);
    threads_parallel(STRIPS, sum_strip, &j);
    return true;
}

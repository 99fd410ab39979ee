/* SPDX-License-Identifier: Apache-2.0 */
/* Bilinear texture lookup with its slope by (u, v), and its adjoint to the texels.
 * Row 0 lies at v = 1; texel centres at +0.5; outside, the edge is repeated. */
#include "raster/raster_priv.h"

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

static inline taps find_taps(const raster_view *view, const real uv[2])
{
    taps t;
    split(uv[0] * (real)view->texture_width - (real)0.5, view->texture_width, t.x, &t.fx);
    split((1 - uv[1]) * (real)view->texture_height - (real)0.5, view->texture_height, t.y, &t.fy);
    return t;
}

void raster_texture(const raster_view *view, const real uv[2], real colour[3], real slope[2][3])
{
    taps t = find_taps(view, uv);
    const real *rows[2], width = (real)view->texture_width, height = (real)view->texture_height;
    for (int k = 0; k < 2; k++)
        rows[k] = view->texture + 3 * (size_t)t.y[k] * (size_t)view->texture_width;
    for (int c = 0; c < 3; c++) {
        real p00 = rows[0][3 * t.x[0] + c], p10 = rows[0][3 * t.x[1] + c];
        real p01 = rows[1][3 * t.x[0] + c], p11 = rows[1][3 * t.x[1] + c];
        real top = p00 + t.fx * (p10 - p00), bottom = p01 + t.fx * (p11 - p01);
        colour[c] = top + t.fy * (bottom - top);
        slope[0][c] = width * (p10 - p00 + t.fy * (p11 - p01 - p10 + p00));
        slope[1][c] = -height * (bottom - top);
    }
}

void raster_texel_adjoint(const raster_view *view, const raster_texel *texel, int begin, int end,
                          real *dtexture)
{
    taps t = find_taps(view, texel->uv);
    const real fx[2] = { 1 - t.fx, t.fx }, fy[2] = { 1 - t.fy, t.fy };
    for (int k = 0; k < 2; k++) {
        if (t.y[k] < begin || t.y[k] >= end)
            continue;
        real *row = dtexture + 3 * (size_t)t.y[k] * (size_t)view->texture_width;
        for (int l = 0; l < 2; l++)
            for (int c = 0; c < 3; c++)
                row[3 * t.x[l] + c] += fy[k] * fx[l] * texel->dcolour[c];
    }
}

/* Lookups are sorted by the strip of texture rows that they touch (by both, at a limit between
 * two), in the order of the picture; then each strip is summed on its own. */
enum { STRIPS = 32 };

typedef struct job {
    const raster_view *view;
    const raster_texel *texels;
    const uint32_t *first;
    size_t bands;
    uint32_t (*next)[STRIPS]; /* (bands) counts, then places in `sorted` */
    uint32_t *sorted;
    uint32_t ends[STRIPS];
    real *dtexture;
} job;

static int strip_of(const job *j, int row)
{
    return (int)((int64_t)row * STRIPS / j->view->texture_height);
}

static void sort_band(const job *j, size_t band, bool count)
{
    for (uint32_t i = j->first[band]; i < j->first[band + 1]; i++) {
        taps t = find_taps(j->view, j->texels[i].uv);
        int strips[2] = { strip_of(j, t.y[0]), strip_of(j, t.y[1]) };
        for (int k = 0; k < 1 + (strips[0] != strips[1]); k++) {
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
    int height = j->view->texture_height, begin = 0, end = height;
    while (begin < height && strip_of(j, begin) < (int)strip)
        begin++;
    for (end = begin; end < height && strip_of(j, end) == (int)strip;)
        end++;
    for (uint32_t i = strip ? j->ends[strip - 1] : 0; i < j->ends[strip]; i++)
        raster_texel_adjoint(j->view, &j->texels[j->sorted[i]], begin, end, j->dtexture);
}

bool raster_texture_adjoint(const raster_view *view, const raster_texel *texels,
                            const uint32_t *first, int bands, arena *scratch, real *dtexture)
{
    job j = {
        .view = view, .texels = texels, .first = first, .bands = (size_t)bands, .dtexture = dtexture
    };
    j.next = arena_alloc(scratch, j.bands, sizeof *j.next);
    if (!j.next)
        return false;
    threads_parallel(j.bands, count_band, &j);
    uint32_t total = 0;
    for (int s = 0; s < STRIPS; s++) {
        for (size_t band = 0; band < j.bands; band++) {
            uint32_t count = j.next[band][s];
            j.next[band][s] = total;
            total += count;
        }
        j.ends[s] = total;
    }
    j.sorted = arena_alloc(scratch, total, sizeof *j.sorted);
    if (!j.sorted)
        return false;
    threads_parallel(j.bands, place_band, &j);
    threads_parallel(STRIPS, sum_strip, &j);
    return true;
}

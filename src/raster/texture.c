/* SPDX-License-Identifier: Apache-2.0 */
/* Bilinear texture lookup with its slope by (u, v), and its adjoint to the texels.
 * Row 0 lies at v = 1; texel centres at +0.5; outside, the edge is repeated. */
#include "raster/raster_priv.h"

#include <math.h>

typedef struct taps {
    size_t texel[4];  /* (x0,y0) (x1,y0) (x0,y1) (x1,y1) */
    real fx, fy;
} taps;

/* One axis: position in texels -> two neighbours and the fraction between them. */
static void split(real position, int size, size_t at[2], real *fraction)
{
    real low = (real)floor(position);
    low = low > -2 ? low : -2; /* also for NaN */
    low = low < (real)size ? low : (real)size;
    *fraction = position - low;
    if (!(*fraction >= 0 && *fraction <= 1))
        *fraction = 0;
    int i = (int)low;
    at[0] = (size_t)(i < 0 ? 0 : i < size ? i : size - 1);
    at[1] = (size_t)(i + 1 < 0 ? 0 : i + 1 < size ? i + 1 : size - 1);
}

static taps find_taps(const raster_view *view, const real uv[2])
{
    taps t;
    size_t x[2], y[2], width = (size_t)view->texture_width;
    split(uv[0] * (real)view->texture_width - (real)0.5, view->texture_width, x, &t.fx);
    split((1 - uv[1]) * (real)view->texture_height - (real)0.5, view->texture_height, y, &t.fy);
    for (int i = 0; i < 4; i++)
        t.texel[i] = 3 * (y[i / 2] * width + x[i % 2]);
    return t;
}

void raster_texture(const raster_view *view, const real uv[2], real colour[3], real slope[2][3])
{
    taps t = find_taps(view, uv);
    for (int c = 0; c < 3; c++) {
        const real *texture = view->texture + c;
        real p00 = texture[t.texel[0]], p10 = texture[t.texel[1]];
        real p01 = texture[t.texel[2]], p11 = texture[t.texel[3]];
        real top = p00 + t.fx * (p10 - p00), bottom = p01 + t.fx * (p11 - p01);
        colour[c] = top + t.fy * (bottom - top);
        slope[0][c] = (real)view->texture_width * (p10 - p00 + t.fy * (p11 - p01 - p10 + p00));
        slope[1][c] = (real)-view->texture_height * (bottom - top);
    }
}

void raster_texture_adjoint(const raster_view *view, const real uv[2], const real dcolour[3],
                            real *dtexture)
{
    taps t = find_taps(view, uv);
    const real weights[4] = { (1 - t.fx) * (1 - t.fy), t.fx * (1 - t.fy), (1 - t.fx) * t.fy,
                              t.fx * t.fy };
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < 3; c++)
            dtexture[t.texel[i] + (size_t)c] += weights[i] * dcolour[c];
}

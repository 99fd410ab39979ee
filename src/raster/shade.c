/* SPDX-License-Identifier: Apache-2.0 */
/* The colour of each covered pixel from its face's corners, and the adjoint.
 *
 *   q_i = plane_i . (x, y, 1) >= 0,  b = q / sum q,  n = sum b_i n_i,  u = n / |n|
 *   normals: u / 2 + 1/2
 *   shaded:  sRGB(albedo(sum b_i uv_i) * E(u) / pi) */
#include "raster/raster_priv.h"

#include <math.h>
#include <string.h>

typedef struct job {
    const raster_state *state;
    const raster_mesh *mesh;
    const real *normals;
    const raster_view *view;
    real *image;
    const real *draw;   /* adjoint: gradient before blending */
    real (*dplanes)[9]; /* adjoint: (slots) */
    real (*dcorners)[9]; /* adjoint: (slots) gradients of the corners' normals, or NULL */
    real *dalbedo;      /* adjoint: (H,W,3) or NULL */
    real low, high;     /* depth: range of 1/w */
} job;

/* Everything at one pixel that the adjoint needs again. */
typedef struct fragment {
    const raster_slot *slot;
    real x, y;
    real q[3], b[3], sum;
    real normal[3], length;
    real uv[2];
    real albedo[3], slope[2][3];
} fragment;

static real to_srgb(real x)
{
    return x <= (real)0.0031308 ? (real)12.92 * x
                                : (real)1.055 * (real)pow(x, 1 / 2.4) - (real)0.055;
}

static real to_srgb_slope(real x)
{
    return x <= (real)0.0031308 ? (real)12.92 : (real)(1.055 / 2.4) * (real)pow(x, 1 / 2.4 - 1);
}

static void barycentrics(fragment *f)
{
    f->sum = 0;
    for (int i = 0; i < 3; i++) {
        const real *p = f->slot->plane[i];
        real q = p[0] * f->x + p[1] * f->y + p[2];
        f->q[i] = q > 0 ? q : 0; /* snapped coverage can reach a little beyond the edges */
        f->sum += f->q[i];
    }
    for (int i = 0; i < 3; i++)
        f->b[i] = f->sum > 0 ? f->q[i] / f->sum : (real)(1.0 / 3);
}

static void interpolate(const job *j, fragment *f, int x, int y)
{
    const raster_mesh *m = j->mesh;
    f->slot = &j->state->slots[j->state->visible[(size_t)y * (size_t)j->state->width +
                                                 (size_t)x] - 1];
    f->x = (real)(x - f->slot->x0);
    f->y = (real)(y - f->slot->y0);
    barycentrics(f);
    real n[3] = { 0 };
    f->uv[0] = f->uv[1] = 0;
    for (int i = 0; i < 3; i++) {
        const real *corner = j->normals + 3 * m->faces[3 * f->slot->face + i];
        for (int c = 0; c < 3; c++)
            n[c] += f->b[i] * corner[c];
        for (int c = 0; c < 2 && j->view->texture; c++)
            f->uv[c] += f->b[i] * (real)m->uvs[2 * m->uv_faces[3 * f->slot->face + i] + c];
    }
    f->length = (real)sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
    f->length = f->length > (real)1e-12 ? f->length : (real)1e-12;
    for (int c = 0; c < 3; c++)
        f->normal[c] = n[c] / f->length;
    memcpy(f->albedo, j->view->albedo, sizeof f->albedo);
    if (j->view->texture)
        raster_texture(j->view, f->uv, f->albedo, f->slope);
}

static void shade_pixel(const job *j, int x, int y, size_t pixel)
{
    real *out = j->image + 3 * pixel;
    fragment f;
    if (j->view->mode == RASTER_DEPTH) {
        real range = j->high - j->low, depth = j->state->depth[pixel];
        out[0] = range > 0 ? (real)0.5 + (real)0.5 * (depth - j->low) / range : 1;
        out[1] = out[2] = out[0];
        return;
    }
    interpolate(j, &f, x, y);
    if (j->view->mode == RASTER_NORMALS) {
        for (int c = 0; c < 3; c++)
            out[c] = (real)0.5 * f.normal[c] + (real)0.5;
        return;
    }
    real irradiance = raster_irradiance(j->view->light, f.normal);
    for (int c = 0; c < 3; c++)
        out[c] = to_srgb(f.albedo[c] * irradiance);
}

static void shade_pixel_adjoint(const job *j, int x, int y, size_t pixel)
{
    const real *dout = j->draw + 3 * pixel;
    fragment f;
    interpolate(j, &f, x, y);
    real dnormal[3] = { 0 }, duv[2] = { 0 }, db[3], mean = 0;
    if (j->view->mode == RASTER_NORMALS) {
        for (int c = 0; c < 3; c++)
            dnormal[c] = (real)0.5 * dout[c];
    } else {
        real irradiance = raster_irradiance(j->view->light, f.normal), dirradiance = 0;
        for (int c = 0; c < 3; c++) {
            real dlinear = dout[c] * to_srgb_slope(f.albedo[c] * irradiance);
            dirradiance += dlinear * f.albedo[c];
            if (!j->view->texture)
                continue;
            duv[0] += dlinear * irradiance * f.slope[0][c];
            duv[1] += dlinear * irradiance * f.slope[1][c];
            if (j->dalbedo)
                j->dalbedo[3 * pixel + (size_t)c] = dlinear * irradiance;
        }
        raster_irradiance_adjoint(j->view->light, f.normal, dirradiance, dnormal);
    }
    size_t slot = (size_t)(f.slot - j->state->slots);
    const uint32_t *v = j->mesh->faces + 3 * f.slot->face;
    const uint32_t *t = j->view->texture ? j->mesh->uv_faces + 3 * f.slot->face : NULL;
    real along = 0;
    for (int c = 0; c < 3; c++)
        along += dnormal[c] * f.normal[c];
    for (int c = 0; c < 3; c++)
        dnormal[c] = (dnormal[c] - along * f.normal[c]) / f.length;
    for (int i = 0; i < 3; i++) {
        const real *corner = j->normals + 3 * v[i];
        db[i] = dnormal[0] * corner[0] + dnormal[1] * corner[1] + dnormal[2] * corner[2];
        if (t)
            db[i] += duv[0] * (real)j->mesh->uvs[2 * t[i]] +
                     duv[1] * (real)j->mesh->uvs[2 * t[i] + 1];
        mean += f.b[i] * db[i];
        for (int c = 0; c < 3 && j->dcorners; c++)
            j->dcorners[slot][3 * i + c] += f.b[i] * dnormal[c];
    }
    for (int i = 0; i < 3; i++) {
        real dq = f.q[i] > 0 ? (db[i] - mean) / f.sum : 0;
        j->dplanes[slot][3 * i] += dq * f.x;
        j->dplanes[slot][3 * i + 1] += dq * f.y;
        j->dplanes[slot][3 * i + 2] += dq;
    }
}

static void shade_band(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    int begin = (int)band * s->band_rows, end = begin + s->band_rows;
    for (int y = begin; y < end && y < s->height; y++) {
        for (int x = 0; x < s->width; x++) {
            size_t pixel = (size_t)y * (size_t)s->width + (size_t)x;
            if (!s->visible[pixel])
                for (int c = 0; c < 3; c++)
                    j->image[3 * pixel + (size_t)c] =
                        j->view->mode == RASTER_DEPTH ? 0 : j->view->background[c];
            else
                shade_pixel(j, x, y, pixel);
        }
    }
}

static void shade_band_adjoint(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    int begin = (int)band * s->band_rows, end = begin + s->band_rows;
    for (int y = begin; y < end && y < s->height; y++) {
        for (int x = 0; x < s->width; x++) {
            size_t pixel = (size_t)y * (size_t)s->width + (size_t)x;
            if (s->visible[pixel])
                shade_pixel_adjoint(j, x, y, pixel);
        }
    }
}

void raster_shade(const raster_state *state, const raster_mesh *mesh, const real *normals,
                  const raster_view *view, real *image)
{
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view, .image = image };
    size_t pixels = (size_t)state->width * (size_t)state->height;
    for (size_t i = 0; i < pixels && view->mode == RASTER_DEPTH; i++) {
        real depth = state->depth[i];
        if (!state->visible[i])
            continue;
        j.low = j.low > 0 && j.low < depth ? j.low : depth;
        j.high = j.high > depth ? j.high : depth;
    }
    threads_parallel((size_t)state->band_count, shade_band, &j);
}

static void gather_texels(const job *j, real *dtexture)
{
    const raster_state *s = j->state;
    for (int y = 0; y < s->height; y++) {
        for (int x = 0; x < s->width; x++) {
            size_t pixel = (size_t)y * (size_t)s->width + (size_t)x;
            fragment f;
            if (!s->visible[pixel])
                continue;
            interpolate(j, &f, x, y);
            raster_texture_adjoint(j->view, f.uv, j->dalbedo + 3 * pixel, dtexture);
        }
    }
}

/* Each band writes to its own slots; they are then added up in order. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *draw,
                          real *dscreen, real *dnormals, real *dtexture)
{
    size_t slots = state->bands[state->band_count];
    size_t pixels = (size_t)state->width * (size_t)state->height;
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view, .draw = draw };
    bool texels = dtexture && view->texture && view->mode == RASTER_SHADED;
    j.dplanes = arena_alloc(scratch, slots, sizeof *j.dplanes);
    j.dcorners = dnormals ? arena_alloc(scratch, slots, sizeof *j.dcorners) : NULL;
    j.dalbedo = texels ? arena_alloc(scratch, pixels, 3 * sizeof(real)) : NULL;
    if (!j.dplanes || (dnormals && !j.dcorners) || (texels && !j.dalbedo))
        return false;
    threads_parallel((size_t)state->band_count, shade_band_adjoint, &j);
    for (size_t i = 0; i < slots; i++) {
        const raster_slot *slot = &state->slots[i];
        real dplane[3][3];
        memcpy(dplane, j.dplanes[i], sizeof dplane);
        raster_plane_adjoint(state, mesh, slot, dplane, dscreen);
        for (int k = 0; k < 9 && dnormals; k++)
            dnormals[3 * mesh->faces[3 * slot->face + k / 3] + k % 3] += j.dcorners[i][k];
    }
    if (texels)
        gather_texels(&j, dtexture);
    return true;
}

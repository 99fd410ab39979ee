/* SPDX-License-Identifier: Apache-2.0 */
/* The reference that the fast loops of visible.c and shade.c are tested against: every face at
 * every pixel, and one pixel at a time.
 *
 *   q_i = plane_i . (x, y, 1) >= 0,  b = q / sum q,  n = sum b_i n_i,  u = n / |n|
 *   normals: u / 2 + 1/2
 *   shaded:  sRGB(albedo(sum b_i uv_i) * E(u) / pi) */
#include "raster/raster_priv.h"

#include <string.h>
#include <tgmath.h>

/* Inside all edges of the snapped face; on an edge, when it is a top or a left one. */
static bool covers(const raster_state *s, const uint32_t *v, int x, int y)
{
    const int64_t half = RASTER_SUBPIXELS / 2;
    int64_t px = (int64_t)x * RASTER_SUBPIXELS + half, py = (int64_t)y * RASTER_SUBPIXELS + half;
    const int32_t *c[3] = { s->snapped + 2 * v[0], s->snapped + 2 * v[1], s->snapped + 2 * v[2] };
    int64_t area = (int64_t)(c[1][0] - c[0][0]) * (c[2][1] - c[0][1]) -
                   (int64_t)(c[2][0] - c[0][0]) * (c[1][1] - c[0][1]);
    int sign = area < 0 ? -1 : 1;
    bool inside = area != 0;
    for (int i = 0; i < 3; i++) {
        const int32_t *a = c[i], *b = c[(i + 1) % 3];
        int64_t dx = sign * (b[0] - a[0]), dy = sign * (b[1] - a[1]);
        int64_t edge = dx * (py - a[1]) - dy * (px - a[0]);
        inside &= edge > 0 || (edge == 0 && (dy < 0 || (dy == 0 && dx > 0)));
    }
    return inside;
}

/* One slot a face, in the order of the faces. Takes facing from raster_visible. */
bool raster_visible_plain(raster_state *s, const raster_mesh *mesh, arena *scratch)
{
    size_t pixels = (size_t)s->width * (size_t)s->height;
    s->slots = arena_alloc(scratch, mesh->face_count, sizeof *s->slots);
    s->visible = arena_alloc(scratch, pixels, sizeof *s->visible);
    s->depth = arena_alloc(scratch, pixels, sizeof *s->depth);
    if (!s->slots || !s->visible || !s->depth)
        return false;
    for (size_t f = 0; f < mesh->face_count; f++) {
        const uint32_t *v = mesh->faces + 3 * f;
        raster_slot *slot = &s->slots[f];
        if (s->facing[f] == 0)
            continue;
        *slot = (raster_slot){ .face = (uint32_t)f,
                               .x0 = s->snapped[2 * v[0]] >> RASTER_SUBPIXEL_BITS,
                               .y0 = s->snapped[2 * v[0] + 1] >> RASTER_SUBPIXEL_BITS };
        raster_set_planes(s, mesh, slot);
        real a = s->screen[3 * v[0] + 2], b = s->screen[3 * v[1] + 2], c = s->screen[3 * v[2] + 2];
        for (size_t i = 0; i < pixels; i++) {
            int x = (int)(i % (size_t)s->width), y = (int)(i / (size_t)s->width);
            if (!covers(s, v, x, y))
                continue;
            real z = 0, dx = (real)(x - slot->x0), dy = (real)(y - slot->y0);
            for (int k = 0; k < 3; k++)
                z += slot->plane[k][0] * dx + slot->plane[k][1] * dy + slot->plane[k][2];
            z = fmin(fmax(z, fmin(fmin(a, b), c)), fmax(fmax(a, b), c));
            if (z > s->depth[i]) {
                s->depth[i] = z;
                s->visible[i] = (uint32_t)f + 1;
            }
        }
    }
    return true;
}

typedef struct job {
    const raster_state *state;
    const raster_mesh *mesh;
    const real *normals;
    const raster_view *view;
    real *image;
    const real *draw; /* adjoint: gradient before blending */
    real *dscreen, *dnormals, *dtexture;
    real low, high; /* depth: range of 1/w */
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
    f->slot =
        &j->state->slots[j->state->visible[(size_t)y * (size_t)j->state->width + (size_t)x] - 1];
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
    f->length = sqrt(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]);
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

static void scatter(const job *j, const fragment *f, const real dnormal[3], const real duv[2])
{
    const uint32_t *v = j->mesh->faces + 3 * f->slot->face;
    const uint32_t *t = j->view->texture ? j->mesh->uv_faces + 3 * f->slot->face : NULL;
    real db[3], mean = 0, gradient[9];
    for (int i = 0; i < 3; i++) {
        const real *corner = j->normals + 3 * v[i];
        db[i] = dnormal[0] * corner[0] + dnormal[1] * corner[1] + dnormal[2] * corner[2];
        if (t)
            db[i] +=
                duv[0] * (real)j->mesh->uvs[2 * t[i]] + duv[1] * (real)j->mesh->uvs[2 * t[i] + 1];
        mean += f->b[i] * db[i];
        for (int c = 0; c < 3 && j->dnormals; c++)
            j->dnormals[3 * v[i] + c] += f->b[i] * dnormal[c];
    }
    for (int i = 0; i < 3; i++) {
        real dq = f->q[i] > 0 ? (db[i] - mean) / f->sum : 0;
        gradient[3 * i] = dq * f->x;
        gradient[3 * i + 1] = dq * f->y;
        gradient[3 * i + 2] = dq;
    }
    raster_plane_adjoint(j->state, j->mesh, f->slot, gradient);
    for (int k = 0; k < 9; k++)
        j->dscreen[3 * v[k / 3] + k % 3] += gradient[k];
}

static void shade_pixel_adjoint(const job *j, int x, int y, size_t pixel)
{
    const real *dout = j->draw + 3 * pixel;
    fragment f;
    interpolate(j, &f, x, y);
    real dnormal[3] = { 0 }, duv[2] = { 0 }, dalbedo[3], along = 0;
    if (j->view->mode == RASTER_NORMALS) {
        for (int c = 0; c < 3; c++)
            dnormal[c] = (real)0.5 * dout[c];
    } else {
        real irradiance = raster_irradiance(j->view->light, f.normal), dirradiance = 0;
        for (int c = 0; c < 3; c++) {
            real dlinear = dout[c] * to_srgb_slope(f.albedo[c] * irradiance);
            dirradiance += dlinear * f.albedo[c];
            dalbedo[c] = dlinear * irradiance;
            for (int k = 0; k < 2 && j->view->texture; k++)
                duv[k] += dalbedo[c] * f.slope[k][c];
        }
        raster_irradiance_adjoint(j->view->light, f.normal, dirradiance, dnormal);
        if (j->view->texture && j->dtexture)
            raster_texel_adjoint(
                j->view,
                &(raster_texel){ { f.uv[0], f.uv[1] }, { dalbedo[0], dalbedo[1], dalbedo[2] } }, 0,
                j->view->texture_height, j->dtexture);
    }
    for (int c = 0; c < 3; c++)
        along += dnormal[c] * f.normal[c];
    for (int c = 0; c < 3; c++)
        dnormal[c] = (dnormal[c] - along * f.normal[c]) / f.length;
    scatter(j, &f, dnormal, duv);
}

void raster_shade_plain(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        const raster_view *view, real *image)
{
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view, .image = image };
    size_t pixels = (size_t)state->width * (size_t)state->height;
    for (size_t i = 0; i < pixels; i++) {
        real depth = state->depth[i];
        if (!state->visible[i])
            continue;
        j.low = j.low > 0 && j.low < depth ? j.low : depth;
        j.high = j.high > depth ? j.high : depth;
    }
    for (size_t i = 0; i < pixels; i++) {
        if (state->visible[i])
            shade_pixel(&j, (int)(i % (size_t)state->width), (int)(i / (size_t)state->width), i);
        for (int c = 0; c < 3 && !state->visible[i]; c++)
            image[3 * i + (size_t)c] = view->mode == RASTER_DEPTH ? 0 : view->background[c];
    }
}

void raster_shade_plain_adjoint(const raster_state *state, const raster_mesh *mesh,
                                const real *normals, const raster_view *view, const real *draw,
                                real *dscreen, real *dnormals, real *dtexture)
{
    job j = { .state = state,
              .mesh = mesh,
              .normals = normals,
              .view = view,
              .draw = draw,
              .dscreen = dscreen,
              .dnormals = dnormals,
              .dtexture = dtexture };
    size_t pixels = (size_t)state->width * (size_t)state->height;
    for (size_t i = 0; i < pixels; i++)
        if (state->visible[i])
            shade_pixel_adjoint(&j, (int)(i % (size_t)state->width),
                                (int)(i / (size_t)state->width), i);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The reference that the fast loops of visible.c, shade.c and colour.c are tested against: every
 * face at every pixel, and one pixel at a time.
 *
 *   q_i = plane_i . (1, x, y),  attribute = sum_i q_i (attribute at corner i)
 * and then the formulas at the head of colour.c. */
#include "raster_priv.h"

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

static int64_t area(const raster_state *s, const uint32_t *v)
{
    const int32_t *a = s->snapped + 2 * v[0], *b = s->snapped + 2 * v[1],
                  *c = s->snapped + 2 * v[2];
    return (int64_t)(b[0] - a[0]) * (c[1] - a[1]) - (int64_t)(c[0] - a[0]) * (b[1] - a[1]);
}

static bool is_drawn(const raster_state *s, const uint32_t *v)
{
    for (int k = 0; k < 3; k++)
        if (s->snapped[2 * v[k]] == RASTER_OUTSIDE)
            return false;
    return area(s, v) != 0;
}

static void draw_face(raster_state *s, const raster_mesh *mesh, size_t f)
{
    const uint32_t *v = mesh->faces + 3 * f;
    raster_slot *slot = &s->slots[f];
    *slot = (raster_slot){ .face = (uint32_t)f,
                           .x0 = s->snapped[2 * v[0]] >> RASTER_SUBPIXEL_BITS,
                           .y0 = s->snapped[2 * v[0] + 1] >> RASTER_SUBPIXEL_BITS };
    raster_set_planes(s, mesh, slot);
    real a = s->screen[3 * v[0] + 2], b = s->screen[3 * v[1] + 2], c = s->screen[3 * v[2] + 2];
    for (size_t i = 0; i < (size_t)s->width * (size_t)s->height; i++) {
        int x = (int)(i % (size_t)s->width), y = (int)(i / (size_t)s->width);
        if (!covers(s, v, x, y))
            continue;
        real z = 0, dx = (real)(x - slot->x0), dy = (real)(y - slot->y0);
        for (int k = 0; k < 3; k++)
            z += slot->plane[0][k] + slot->plane[1][k] * dx + slot->plane[2][k] * dy;
        z = fmin(fmax(z, fmin(fmin(a, b), c)), fmax(fmax(a, b), c));
        if (z > s->depth[i]) {
            s->depth[i] = z;
            s->visible[i] = (uint32_t)f + 1;
        }
    }
}

/* One slot a face, in the order of the faces. Those that show their outside are drawn first. */
bool raster_visible_plain(raster_state *s, const raster_mesh *mesh, arena *scratch)
{
    size_t pixels = (size_t)s->width * (size_t)s->height;
    s->slots = arena_alloc(scratch, mesh->face_count, sizeof *s->slots);
    s->visible = arena_alloc(scratch, pixels, sizeof *s->visible);
    s->depth = arena_alloc(scratch, pixels, sizeof *s->depth);
    if (!s->slots || !s->visible || !s->depth)
        return false;
    for (int pass = 0; pass < 2; pass++)
        for (size_t f = 0; f < mesh->face_count; f++) {
            const uint32_t *v = mesh->faces + 3 * f;
            if (is_drawn(s, v) && (area(s, v) > 0 && !s->in_order) == pass)
                draw_face(s, mesh, f);
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
    real *dscreen, *dnormals, *dtexels, *dlight;
    real least, most, dleast, dmost; /* depth: range of 1/w */
    real frame[9];
} job;

/* Everything at one pixel that the adjoint needs again. */
typedef struct fragment {
    const raster_slot *slot;
    real place[3]; /* 1, x, y */
    real corner[3][RASTER_ATTRIBUTES];
    real q[3], a[RASTER_ATTRIBUTES];
    real w; /* a[RASTER_A_W], limited */
    real normal[3], length;
    real ux[2], uy[2]; /* slopes of uv */
    raster_lookup lookup;
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

static bool is_textured(const job *j)
{
    return j->view->texture && (j->view->mode == RASTER_SHADED || j->view->mode == RASTER_UNLIT);
}

static void set_corners(const job *j, fragment *f)
{
    const uint32_t *v = j->mesh->faces + 3 * (size_t)f->slot->face;
    const uint32_t *t = is_textured(j) ? j->mesh->uv_faces + 3 * (size_t)f->slot->face : NULL;
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3; c++)
            f->corner[k][c] = j->normals[3 * (size_t)v[k] + (size_t)c];
        for (int c = 0; c < 2; c++)
            f->corner[k][RASTER_A_U + c] = t ? (real)j->mesh->uvs[2 * (size_t)t[k] + (size_t)c] : 0;
        f->corner[k][RASTER_A_W] = 1;
    }
}

static void limit_depth(const job *j, fragment *f)
{
    const uint32_t *v = j->mesh->faces + 3 * (size_t)f->slot->face;
    const real *screen = j->state->screen;
    real a = screen[3 * (size_t)v[0] + 2], b = screen[3 * (size_t)v[1] + 2];
    real c = screen[3 * (size_t)v[2] + 2];
    f->w = fmin(fmax(f->a[RASTER_A_W], fmin(fmin(a, b), c)), fmax(fmax(a, b), c));
}

static void sample(const job *j, fragment *f)
{
    real unused[2][2];
    const raster_four *plane = f->slot->plane;
    for (int c = 0; c < 2; c++) {
        real uv = f->lookup.uv[c] = f->a[RASTER_A_U + c] / f->w;
        f->ux[c] = f->uy[c] = 0;
        for (int k = 0; k < 3; k++) {
            f->ux[c] += plane[1][k] * (f->corner[k][RASTER_A_U + c] - uv) / f->w;
            f->uy[c] += plane[2][k] * (f->corner[k][RASTER_A_U + c] - uv) / f->w;
        }
    }
    f->lookup.level =
        j->view->texture->levels > 1 ? raster_level(j->view->texture, f->ux, f->uy, unused) : 0;
    raster_look_up(j->view->texture, &f->lookup);
}

static void interpolate(const job *j, fragment *f, int x, int y)
{
    size_t pixel = (size_t)y * (size_t)j->state->width + (size_t)x;
    *f = (fragment){ .slot = &j->state->slots[j->state->visible[pixel] - 1] };
    f->place[0] = 1;
    f->place[1] = (real)(x - f->slot->x0);
    f->place[2] = (real)(y - f->slot->y0);
    set_corners(j, f);
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3; c++)
            f->q[k] += f->slot->plane[c][k] * f->place[c];
        for (int a = 0; a < RASTER_ATTRIBUTES; a++)
            f->a[a] += f->q[k] * f->corner[k][a];
    }
    limit_depth(j, f);
    f->length = sqrt(f->a[0] * f->a[0] + f->a[1] * f->a[1] + f->a[2] * f->a[2]);
    f->length = f->length > (real)1e-12 ? f->length : (real)1e-12;
    for (int c = 0; c < 3; c++)
        f->normal[c] = f->a[c] / f->length;
    memcpy(f->lookup.colour, j->view->albedo, sizeof j->view->albedo);
    if (is_textured(j))
        sample(j, f);
}

static void colour(const job *j, const fragment *f, real *out)
{
    const raster_view *v = j->view;
    real range = j->most - j->least, irradiance;
    for (int c = 0; c < j->state->channels; c++) {
        switch (v->mode) {
        case RASTER_SHADED:
            irradiance = raster_irradiance(v->light_kind, v->light, f->normal);
            out[c] = to_srgb(f->lookup.colour[c] * irradiance);
            break;
        case RASTER_UNLIT:
            out[c] = f->lookup.colour[c];
            break;
        case RASTER_PARTS:
            out[c] = v->part_colours[3 * (size_t)v->face_parts[f->slot->face] + (size_t)c];
            break;
        case RASTER_DEPTH:
            out[c] = range > 0 ? (real)0.5 + (real)0.5 * (f->w - j->least) / range : 1;
            break;
        default:
            out[c] = (real)0.5;
            for (int k = 0; k < 3; k++)
                out[c] += (real)0.5 * j->frame[3 * c + k] * f->normal[k];
        }
    }
}

/* Gradient of the colour -> of the normal, the texture's colour, and 1/w. */
static void colour_adjoint(job *j, const fragment *f, const real *dout, real dnormal[3],
                           real dcolour[RASTER_CHANNELS], real *dw)
{
    const raster_view *v = j->view;
    real range = j->most - j->least, irradiance, dirradiance = 0, unused[9] = { 0 };
    irradiance = raster_irradiance(v->light_kind, v->light, f->normal);
    for (int c = 0; c < j->state->channels; c++) {
        switch (v->mode) {
        case RASTER_SHADED:
            dcolour[c] = dout[c] * to_srgb_slope(f->lookup.colour[c] * irradiance);
            dirradiance += dcolour[c] * f->lookup.colour[c];
            dcolour[c] *= irradiance;
            break;
        case RASTER_UNLIT:
            dcolour[c] = dout[c];
            break;
        case RASTER_PARTS:
            break;
        case RASTER_DEPTH:
            *dw += range > 0 ? dout[c] / (2 * range) : 0;
            j->dleast += range > 0 ? dout[c] * (f->w - j->most) / (2 * range * range) : 0;
            j->dmost -= range > 0 ? dout[c] * (f->w - j->least) / (2 * range * range) : 0;
            break;
        default:
            for (int k = 0; k < 3; k++)
                dnormal[k] += (real)0.5 * j->frame[3 * c + k] * dout[c];
        }
    }
    raster_irradiance_adjoint(v->light_kind, v->light, f->normal, dirradiance, dnormal,
                              j->dlight ? j->dlight : unused);
}

/* Gradients of the attributes at a pixel, and of their slopes along x and y -> the corners. */
static void scatter(const job *j, const fragment *f, const real da[RASTER_ATTRIBUTES],
                    const real dslopes[2][RASTER_ATTRIBUTES])
{
    const uint32_t *v = j->mesh->faces + 3 * (size_t)f->slot->face;
    raster_four gradient[3] = { { 0 } };
    for (int k = 0; k < 3; k++) {
        for (int a = 0; a < RASTER_ATTRIBUTES; a++) {
            for (int c = 0; c < 3; c++)
                gradient[c][k] += da[a] * f->corner[k][a] * f->place[c];
            for (int axis = 0; axis < 2; axis++)
                gradient[1 + axis][k] += dslopes[axis][a] * f->corner[k][a];
        }
        for (int c = 0; c < 3 && j->dnormals; c++)
            j->dnormals[3 * (size_t)v[k] + (size_t)c] += f->q[k] * da[c];
    }
    raster_plane_adjoint(j->state, j->mesh, f->slot, gradient);
    for (int k = 0; k < 9; k++)
        j->dscreen[3 * (size_t)v[k / 3] + (size_t)(k % 3)] += gradient[k % 3][k / 3];
}

static void sample_adjoint(const job *j, const fragment *f, const real dcolour[RASTER_CHANNELS],
                           real da[RASTER_ATTRIBUTES], real dslopes[2][RASTER_ATTRIBUTES], real *dw)
{
    const raster_lookup *l = &f->lookup;
    const raster_texture *t = j->view->texture;
    real duv[2] = { 0 }, dlevel = 0, by[2][2] = { { 0 } };
    raster_texel texel = { .uv = { l->uv[0], l->uv[1] }, .level = l->level };
    for (int c = 0; c < t->channels; c++) {
        duv[0] += dcolour[c] * l->by_u[c];
        duv[1] += dcolour[c] * l->by_v[c];
        dlevel += dcolour[c] * l->by_level[c];
        texel.dcolour[c] = dcolour[c];
    }
    if (t->levels > 1)
        raster_level(t, f->ux, f->uy, by);
    for (int axis = 0; axis < 2; axis++) {
        real along = 0; /* of 1/w */
        for (int k = 0; k < 3; k++)
            along += f->slot->plane[1 + axis][k];
        for (int c = 0; c < 2; c++) {
            real dslope = dlevel * by[axis][c];
            dslopes[axis][RASTER_A_U + c] += dslope / f->w;
            dslopes[axis][RASTER_A_W] -= dslope * l->uv[c] / f->w;
            duv[c] -= dslope * along / f->w;
            *dw -= dslope * (axis ? f->uy : f->ux)[c] / f->w;
        }
    }
    for (int c = 0; c < 2; c++) {
        da[RASTER_A_U + c] += duv[c] / f->w;
        *dw -= duv[c] * l->uv[c] / f->w;
    }
    if (j->dtexels)
        raster_texel_adjoint(t, &texel, 0, raster_texture_rows(t), j->dtexels);
}

static void shade_pixel_adjoint(job *j, int x, int y, const real *dout)
{
    fragment f;
    interpolate(j, &f, x, y);
    real dnormal[3] = { 0 }, dcolour[RASTER_CHANNELS] = { 0 }, da[RASTER_ATTRIBUTES] = { 0 };
    real dslopes[2][RASTER_ATTRIBUTES] = { { 0 } }, dw = 0, along = 0;
    colour_adjoint(j, &f, dout, dnormal, dcolour, &dw);
    if (is_textured(j))
        sample_adjoint(j, &f, dcolour, da, dslopes, &dw);
    for (int c = 0; c < 3; c++)
        along += dnormal[c] * f.normal[c];
    for (int c = 0; c < 3; c++)
        da[c] = (dnormal[c] - along * f.normal[c]) / f.length;
    da[RASTER_A_W] = fabs(f.w - f.a[RASTER_A_W]) <= RASTER_SLACK * f.w ? dw : 0;
    scatter(j, &f, da, (const real(*)[RASTER_ATTRIBUTES])dslopes);
}

/* The pixel that a limit of the range of depth hangs on. */
static void range_adjoint(job *j, size_t pixel, real dlimit)
{
    fragment f;
    const real dslopes[2][RASTER_ATTRIBUTES] = { { 0 } };
    real da[RASTER_ATTRIBUTES] = { [RASTER_A_W] = dlimit };
    if (!j->state->visible[pixel])
        return;
    interpolate(j, &f, (int)(pixel % (size_t)j->state->width),
                (int)(pixel / (size_t)j->state->width));
    scatter(j, &f, da, dslopes);
}

static job make_job(const raster_state *state, const raster_mesh *mesh, const real *normals,
                    const raster_view *view)
{
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view };
    raster_camera_rotation(&view->camera, j.frame);
    for (int i = 0; i < 9; i++) {
        if (view->mode == RASTER_NORMALS)
            j.frame[i] = (real)(i % 4 == 0);
        if (view->mode == RASTER_CONTROL_NORMALS && i < 3)
            j.frame[i] = -j.frame[i];
    }
    size_t pixels = (size_t)state->width * (size_t)state->height;
    for (size_t i = 0; i < pixels; i++) {
        if (!state->visible[i])
            continue;
        j.least = j.least > 0 ? fmin(j.least, state->depth[i]) : state->depth[i];
        j.most = fmax(j.most, state->depth[i]);
    }
    return j;
}

void raster_shade_plain(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        const raster_view *view, real *image)
{
    job j = make_job(state, mesh, normals, view);
    size_t pixels = (size_t)state->width * (size_t)state->height;
    size_t channels = (size_t)state->channels;
    for (size_t i = 0; i < pixels; i++) {
        fragment f;
        for (size_t c = 0; c < channels; c++)
            image[channels * i + c] = view->mode == RASTER_DEPTH ? 0
                                      : view->background_picture
                                          ? view->background_picture[channels * i + c]
                                          : view->background[c];
        if (!state->visible[i])
            continue;
        interpolate(&j, &f, (int)(i % (size_t)state->width), (int)(i / (size_t)state->width));
        colour(&j, &f, image + channels * i);
    }
}

void raster_shade_plain_adjoint(const raster_state *state, const raster_mesh *mesh,
                                const real *normals, const raster_view *view, const real *draw,
                                real *dscreen, real *dnormals, real *dtexels, real *dlight)
{
    job j = make_job(state, mesh, normals, view);
    j.dscreen = dscreen;
    j.dnormals = dnormals;
    j.dtexels = dtexels;
    j.dlight = dlight;
    size_t pixels = (size_t)state->width * (size_t)state->height;
    for (size_t i = 0; i < pixels; i++)
        if (state->visible[i])
            shade_pixel_adjoint(&j, (int)(i % (size_t)state->width),
                                (int)(i / (size_t)state->width),
                                draw + (size_t)state->channels * i);
    if (view->mode == RASTER_DEPTH) {
        range_adjoint(&j, state->farthest, j.dleast);
        range_adjoint(&j, state->nearest, j.dmost);
    }
}

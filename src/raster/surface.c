/* SPDX-License-Identifier: Apache-2.0 */
/* What is interpolated over a face as planes over the screen, so that shading a pixel is a few
 * multiplications, and the backward pass needs only moments: with q_k the planes of the
 * barycentrics (visible.c) and a_k the attribute at corner k,
 *
 *   A(x, y) = sum_k a_k q_k(x, y) = plane . (1, x, y),   plane = sum_k a_k plane_k
 *   M = sum over pixels of dA (1, x, y):   dplane_k += a_k M,   da_k += plane_k . M
 *
 * Attributes: the normal (not divided by 1/w: only its direction counts), u / w, v / w, 1 / w.
 * The three corners of a face, and the three attributes of a group, are calculated side by side. */
#include "raster_priv.h"

/* What belongs to the next corner, and to the one after it. */
#define NEXT(v) __builtin_shufflevector(v, v, 1, 2, 0, 3)
#define AFTER_NEXT(v) __builtin_shufflevector(v, v, 2, 0, 1, 3)

/* ---- planes of the barycentrics ---- */

/* Of a face's corners, x and y from the centre of pixel (x0, y0) on. With r = 1 / twice the area,
 * plane i is r inverse_i (product_i, across_i, down_i). */
typedef struct corners {
    raster_four x, y, inverse;
    raster_four product, across, down;
    real r; /* 0 for thin faces */
} corners;

INLINE void set_corners(const raster_state *s, const raster_mesh *mesh, const raster_slot *slot,
                        corners *c)
{
    const real left = (real)slot->x0 + (real)0.5, top = (real)slot->y0 + (real)0.5;
    const uint32_t *v = mesh->faces + 3 * (size_t)slot->face;
    const real *p0 = s->screen + 3 * (size_t)v[0], *p1 = s->screen + 3 * (size_t)v[1];
    const real *p2 = s->screen + 3 * (size_t)v[2];
    c->x = (raster_four){ p0[0], p1[0], p2[0] } - left;
    c->y = (raster_four){ p0[1], p1[1], p2[1] } - top;
    c->inverse = (raster_four){ p0[2], p1[2], p2[2] };
    c->product = NEXT(c->x) * AFTER_NEXT(c->y) - AFTER_NEXT(c->x) * NEXT(c->y);
    c->across = NEXT(c->y) - AFTER_NEXT(c->y);
    c->down = AFTER_NEXT(c->x) - NEXT(c->x);
    c->r = raster_inverse_area((const real *)&c->x, (const real *)&c->y);
}

SIMD_VARIANTS(void, raster_set_planes,
              (const raster_state *s, const raster_mesh *mesh, raster_slot *slot), (s, mesh, slot))
{
    corners c;
    set_corners(s, mesh, slot, &c);
    const raster_four scale = c.r * c.inverse;
    slot->plane[0] = scale * c.product;
    slot->plane[1] = scale * c.across;
    slot->plane[2] = scale * c.down;
    if (c.r == 0)
        slot->plane[0] = c.inverse / 3;
}

/* Through r itself all planes scale alike. */
INLINE void plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, raster_four gradient[3])
{
    corners c;
    set_corners(state, mesh, slot, &c);
    const raster_four one = gradient[0], gx = gradient[1], gy = gradient[2];
    const raster_four scale = c.r * c.inverse;
    const raster_four along = c.r * (one * c.product + gx * c.across + gy * c.down);
    const raster_four lost = scale * along;
    const real darea = -(lost[0] + lost[1] + lost[2]);
    const raster_four dx_next = scale * (one * AFTER_NEXT(c.y) - gy);
    const raster_four dx_after = scale * (gy - one * NEXT(c.y));
    const raster_four dy_next = scale * (gx - one * AFTER_NEXT(c.x));
    const raster_four dy_after = scale * (one * NEXT(c.x) - gx);
    gradient[0] = AFTER_NEXT(dx_next) + NEXT(dx_after) + darea * c.across;
    gradient[1] = AFTER_NEXT(dy_next) + NEXT(dy_after) + darea * c.down;
    gradient[2] = along;
    if (c.r == 0)
        gradient[2] = one / 3;
}

void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, raster_four gradient[3])
{
    plane_adjoint(state, mesh, slot, gradient);
}

/* ---- planes of attributes ---- */

/* A group of attributes at each corner. */
INLINE void attributes(const raster_mesh *mesh, const real *normals, bool textured, uint32_t face,
                       int group, raster_four values[3])
{
    for (int k = 0; k < 3; k++) {
        const size_t corner = 3 * (size_t)face + (size_t)k;
        if (group == RASTER_G_NORMAL) {
            const real *n = normals + 3 * (size_t)mesh->faces[corner];
            values[k] = (raster_four){ n[0], n[1], n[2] };
        } else if (textured) {
            const float *uv = mesh->uvs + 2 * (size_t)mesh->uv_faces[corner];
            values[k] = (raster_four){ (real)uv[0], (real)uv[1], 1 };
        } else {
            values[k] = (raster_four){ 0, 0, 1 };
        }
    }
}

INLINE void set_planes(const raster_mesh *mesh, const real *normals, bool textured, int group,
                       const raster_slot *slot, raster_surface *surface)
{
    raster_four values[3];
    attributes(mesh, normals, textured, slot->face, group, values);
    for (int t = 0; t < 3; t++)
        surface->plane[group][t] = values[0] * slot->plane[t][0] + values[1] * slot->plane[t][1] +
                                   values[2] * slot->plane[t][2];
}

SIMD_VARIANTS(void, raster_surface_set,
              (const raster_state *state, const raster_mesh *mesh, const real *normals,
               bool textured, const bool groups[2], const raster_slot *slot,
               raster_surface *surface),
              (state, mesh, normals, textured, groups, slot, surface))
{
    const uint32_t *v = mesh->faces + 3 * (size_t)slot->face;
    surface->x0 = (real)slot->x0;
    surface->y0 = (real)slot->y0;
    if (groups[RASTER_G_NORMAL])
        set_planes(mesh, normals, false, RASTER_G_NORMAL, slot, surface);
    if (groups[RASTER_G_UVW])
        set_planes(mesh, normals, textured, RASTER_G_UVW, slot, surface);
    surface->least = surface->most = state->screen[3 * (size_t)v[0] + 2];
    for (int k = 1; k < 3; k++) {
        real inverse = state->screen[3 * (size_t)v[k] + 2];
        surface->least = inverse < surface->least ? inverse : surface->least;
        surface->most = inverse > surface->most ? inverse : surface->most;
    }
}

/* out = (sum of a, sum of b, sum of c, sum of d). */
#define SUM_FOURS(a, b, c, d, out)                                                                 \
    do {                                                                                           \
        const raster_four ab_ =                                                                    \
            __builtin_shufflevector(a, b, 0, 4, 1, 5) + __builtin_shufflevector(a, b, 2, 6, 3, 7); \
        const raster_four cd_ =                                                                    \
            __builtin_shufflevector(c, d, 0, 4, 1, 5) + __builtin_shufflevector(c, d, 2, 6, 3, 7); \
        (out) = __builtin_shufflevector(ab_, cd_, 0, 1, 4, 5) +                                    \
                __builtin_shufflevector(ab_, cd_, 2, 3, 6, 7);                                     \
    } while (0)

/* += dplane (of each term, over the corners) from the moments of a group */
INLINE void set_planes_adjoint(const raster_four values[3], const raster_four moments[3],
                               raster_four dplane[3])
{
    const raster_four none = { 0 };
    for (int t = 0; t < 3; t++) {
        const raster_four p = values[0] * moments[t], q = values[1] * moments[t];
        const raster_four r = values[2] * moments[t];
        raster_four sums;
        SUM_FOURS(p, q, r, none, sums);
        dplane[t] += sums;
    }
}

SIMD_VARIANTS(void, raster_surface_adjoint,
              (const raster_state *state, const raster_mesh *mesh, const real *normals,
               bool textured, const bool groups[2], const raster_slot *slot,
               raster_slot_gradient *gradient),
              (state, mesh, normals, textured, groups, slot, gradient))
{
    raster_four values[3], dplane[3] = { { 0 } };
    raster_slot_gradient out;
    if (groups[RASTER_G_NORMAL]) {
        const raster_four *moments = gradient->moments[RASTER_G_NORMAL];
        attributes(mesh, normals, false, slot->face, RASTER_G_NORMAL, values);
        set_planes_adjoint(values, moments, dplane);
        for (int k = 0; k < 3; k++)
            out.corner.normals[k] = slot->plane[0][k] * moments[0] +
                                    slot->plane[1][k] * moments[1] + slot->plane[2][k] * moments[2];
    } else {
        memset(out.corner.normals, 0, sizeof out.corner.normals);
    }
    if (groups[RASTER_G_UVW]) {
        attributes(mesh, normals, textured, slot->face, RASTER_G_UVW, values);
        set_planes_adjoint(values, gradient->moments[RASTER_G_UVW], dplane);
    }
    plane_adjoint(state, mesh, slot, dplane);
    memcpy(out.corner.places, dplane, sizeof dplane);
    *gradient = out;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is interpolated over a face as planes over the screen, so that shading a pixel is a few
 * multiplications, and the way back needs only moments: with q_k the planes of the barycentrics
 * (visible.c) and a_k the attribute at corner k,
 *
 *   A(x, y) = sum_k a_k q_k(x, y) = plane . (x, y, 1),   plane = sum_k a_k plane_k
 *   M = sum over pixels of dA (x, y, 1):   dplane_k += a_k M,   da_k += plane_k . M
 *
 * Attributes: the normal (not divided by 1/w: only its direction counts), u / w, v / w, 1 / w. */
#include "raster/raster_priv.h"

/* ---- planes of the barycentrics ---- */

/* Corners relative to the centre of pixel (x0, y0). */
INLINE void corners(const raster_state *s, const raster_mesh *mesh, const raster_slot *slot,
                    real x[3], real y[3], real inverse[3])
{
    const real left = (real)slot->x0 + (real)0.5, top = (real)slot->y0 + (real)0.5;
    for (int k = 0; k < 3; k++) {
        const real *p = s->screen + 3 * (size_t)mesh->faces[3 * (size_t)slot->face + (size_t)k];
        x[k] = p[0] - left;
        y[k] = p[1] - top;
        inverse[k] = p[2];
    }
}

HDS_WIDE void raster_set_planes(const raster_state *s, const raster_mesh *mesh, raster_slot *slot)
{
    real x[3], y[3], inverse[3];
    corners(s, mesh, slot, x, y, inverse);
    real r = raster_inverse_area(x, y);
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        real scale = r * inverse[i];
        slot->plane[i][0] = scale * (y[a] - y[b]);
        slot->plane[i][1] = scale * (x[b] - x[a]);
        slot->plane[i][2] = r != 0 ? scale * (x[a] * y[b] - x[b] * y[a]) : inverse[i] / 3;
    }
}

/* With C_i = (y_a - y_b, x_b - x_a, x_a y_b - x_b y_a) and r = 1 / area, plane_i = r inverse_i C_i;
 * through r itself all planes scale alike. */
INLINE void plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, const real gradient[3][3], real out[9])
{
    real x[3], y[3], inverse[3], dx[3] = { 0 }, dy[3] = { 0 }, darea = 0;
    corners(state, mesh, slot, x, y, inverse);
    real r = raster_inverse_area(x, y);
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        const real *g = gradient[i];
        real scale = r * inverse[i];
        real along =
            r * (g[0] * (y[a] - y[b]) + g[1] * (x[b] - x[a]) + g[2] * (x[a] * y[b] - x[b] * y[a]));
        darea -= r * inverse[i] * along;
        dx[a] += scale * (g[2] * y[b] - g[1]);
        dx[b] += scale * (g[1] - g[2] * y[a]);
        dy[a] += scale * (g[0] - g[2] * x[b]);
        dy[b] += scale * (g[2] * x[a] - g[0]);
        out[3 * i + 2] = r != 0 ? along : g[2] / 3;
    }
    for (int i = 0; i < 3; i++) {
        int a = (i + 1) % 3, b = (i + 2) % 3;
        out[3 * i] = dx[i] + darea * (y[a] - y[b]);
        out[3 * i + 1] = dy[i] + darea * (x[b] - x[a]);
    }
}

void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, real gradient[9])
{
    real planes[3][3];
    memcpy(planes, gradient, sizeof planes);
    plane_adjoint(state, mesh, slot, (const real(*)[3])planes, gradient);
}

/* ---- planes of attributes ---- */

/* (3 corners) of each attribute */
INLINE void attributes(const raster_mesh *mesh, const real *normals, bool textured, uint32_t face,
                       int from, int to, real values[RASTER_ATTRIBUTES][3])
{
    for (int k = 0; k < 3; k++) {
        const size_t corner = 3 * (size_t)face + (size_t)k;
        const float *uv = textured ? mesh->uvs + 2 * (size_t)mesh->uv_faces[corner] : NULL;
        for (int a = from; a < to; a++)
            values[a][k] = a < RASTER_A_U    ? normals[3 * (size_t)mesh->faces[corner] + (size_t)a]
                           : a == RASTER_A_W ? 1
                           : uv              ? (real)uv[a - RASTER_A_U]
                                             : 0;
    }
}

INLINE void set_planes(const raster_mesh *mesh, const real *normals, bool textured, int from,
                       int to, const raster_slot *slot, raster_surface *surface)
{
    real values[RASTER_ATTRIBUTES][3];
    attributes(mesh, normals, textured, slot->face, from, to, values);
    for (int a = from; a < to; a++)
        for (int j = 0; j < 3; j++)
            surface->plane[a][j] = values[a][0] * slot->plane[0][j] +
                                   values[a][1] * slot->plane[1][j] +
                                   values[a][2] * slot->plane[2][j];
}

HDS_WIDE void raster_surface_set(const raster_state *state, const raster_mesh *mesh,
                                 const real *normals, bool textured, int from, int to,
                                 const raster_slot *slot, raster_surface *surface)
{
    const uint32_t *v = mesh->faces + 3 * (size_t)slot->face;
    surface->x0 = slot->x0;
    surface->y0 = slot->y0;
    if (from == RASTER_A_NORMAL && to == RASTER_A_U)
        set_planes(mesh, normals, false, RASTER_A_NORMAL, RASTER_A_U, slot, surface);
    else
        set_planes(mesh, normals, textured, from, to, slot, surface);
    surface->least = surface->most = state->screen[3 * (size_t)v[0] + 2];
    for (int k = 1; k < 3; k++) {
        real inverse = state->screen[3 * (size_t)v[k] + 2];
        surface->least = inverse < surface->least ? inverse : surface->least;
        surface->most = inverse > surface->most ? inverse : surface->most;
    }
}

INLINE void set_planes_adjoint(const raster_mesh *mesh, const real *normals, bool textured,
                               int from, int to, const raster_slot *slot,
                               const real moments[3][RASTER_LANES], real dplane[3][3],
                               real dnormals[9])
{
    real values[RASTER_ATTRIBUTES][3];
    attributes(mesh, normals, textured, slot->face, from, to, values);
    for (int k = 0; k < 3; k++) {
        const real *plane = slot->plane[k];
        for (int j = 0; j < 3; j++) {
            dplane[k][j] = 0;
            for (int a = from; a < to; a++)
                dplane[k][j] += values[a][k] * moments[j][a];
        }
        for (int c = 0; c < 3; c++)
            dnormals[3 * k + c] = plane[0] * moments[0][RASTER_A_NORMAL + c] +
                                  plane[1] * moments[1][RASTER_A_NORMAL + c] +
                                  plane[2] * moments[2][RASTER_A_NORMAL + c];
    }
}

HDS_WIDE void raster_surface_adjoint(const raster_state *state, const raster_mesh *mesh,
                                     const real *normals, bool textured, int from, int to,
                                     const raster_slot *slot, const real moments[3][RASTER_LANES],
                                     real dcorners[9], real dnormals[9])
{
    real dplane[3][3];
    if (from == RASTER_A_NORMAL && to == RASTER_A_U)
        set_planes_adjoint(mesh, normals, false, RASTER_A_NORMAL, RASTER_A_U, slot, moments, dplane,
                           dnormals);
    else
        set_planes_adjoint(mesh, normals, textured, from, to, slot, moments, dplane, dnormals);
    plane_adjoint(state, mesh, slot, (const real(*)[3])dplane, dcorners);
}

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

/* (3 corners) of each attribute */
static void corners(const raster_mesh *mesh, const real *normals, bool textured, uint32_t face,
                    real values[RASTER_ATTRIBUTES][3])
{
    const uint32_t *v = mesh->faces + 3 * (size_t)face;
    const uint32_t *t = textured ? mesh->uv_faces + 3 * (size_t)face : NULL;
    for (int k = 0; k < 3; k++) {
        for (int c = 0; c < 3; c++)
            values[RASTER_A_NORMAL + c][k] = normals[3 * (size_t)v[k] + (size_t)c];
        values[RASTER_A_U][k] = t ? (real)mesh->uvs[2 * (size_t)t[k]] : 0;
        values[RASTER_A_V][k] = t ? (real)mesh->uvs[2 * (size_t)t[k] + 1] : 0;
        values[RASTER_A_W][k] = 1;
    }
}

void raster_surface_set(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        bool textured, const raster_slot *slot, raster_surface *surface)
{
    real values[RASTER_ATTRIBUTES][3];
    const uint32_t *v = mesh->faces + 3 * (size_t)slot->face;
    corners(mesh, normals, textured, slot->face, values);
    for (int a = 0; a < RASTER_ATTRIBUTES; a++)
        for (int j = 0; j < 3; j++)
            surface->plane[a][j] = values[a][0] * slot->plane[0][j] +
                                   values[a][1] * slot->plane[1][j] +
                                   values[a][2] * slot->plane[2][j];
    surface->least = surface->most = state->screen[3 * (size_t)v[0] + 2];
    for (int k = 1; k < 3; k++) {
        real inverse = state->screen[3 * (size_t)v[k] + 2];
        surface->least = inverse < surface->least ? inverse : surface->least;
        surface->most = inverse > surface->most ? inverse : surface->most;
    }
}

void raster_surface_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                            bool textured, const raster_slot *slot,
                            const real moments[RASTER_ATTRIBUTES][3], real dcorners[9],
                            real dnormals[9])
{
    real values[RASTER_ATTRIBUTES][3];
    corners(mesh, normals, textured, slot->face, values);
    for (int k = 0; k < 3; k++) {
        for (int j = 0; j < 3; j++) {
            real sum = 0;
            for (int a = 0; a < RASTER_ATTRIBUTES; a++)
                sum += values[a][k] * moments[a][j];
            dcorners[3 * k + j] = sum;
        }
        for (int c = 0; c < 3; c++) {
            const real *m = moments[RASTER_A_NORMAL + c], *plane = slot->plane[k];
            dnormals[3 * k + c] = plane[0] * m[0] + plane[1] * m[1] + plane[2] * m[2];
        }
    }
    raster_plane_adjoint(state, mesh, slot, dcorners);
}

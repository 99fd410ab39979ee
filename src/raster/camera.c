/* SPDX-License-Identifier: Apache-2.0 */
/* The camera on a sphere around its target, and the projection of vertices with its adjoint:
 *   d = v - eye,  w = -backward . d,  x = cx + f (right . d) / w,  y = cy - f (up . d) / w.
 * Vertices nearer than the near plane, or so far outside that edge functions would not be exact,
 * are marked; the faces that use them are left out whole. */
#include "raster_priv.h"

#include <math.h>

static const real near_share = (real)0.02, far_share = (real)50; /* of the distance */

static double radians(real degrees)
{
    return (double)degrees * (3.14159265358979323846 / 180);
}

void raster_camera_rotation(const raster_camera *camera, real rotation[9])
{
    double sa = sin(radians(camera->azimuth)), ca = cos(radians(camera->azimuth));
    double se = sin(radians(camera->elevation)), ce = cos(radians(camera->elevation));
    const double rows[9] = { ca, 0, -sa, -sa * se, ce, -ca * se, sa * ce, se, ca * ce };
    for (int i = 0; i < 9; i++)
        rotation[i] = (real)rows[i];
}

void raster_camera_matrix(const raster_camera *camera, real aspect, real matrix[16])
{
    real r[9], view[16] = { 0 };
    raster_camera_rotation(camera, r);
    for (int i = 0; i < 3; i++) {
        for (int j = 0; j < 3; j++) {
            view[4 * i + j] = r[3 * i + j];
            view[4 * i + 3] -= r[3 * i + j] * camera->target[j];
        }
    }
    view[11] -= camera->distance;
    view[15] = 1;
    real n = near_share * camera->distance, f = far_share * camera->distance;
    real focal = (real)(1 / tan(radians(camera->fov_y) / 2));
    for (int j = 0; j < 4; j++) {
        matrix[j] = focal / aspect * view[j];
        matrix[4 + j] = focal * view[4 + j];
        matrix[8 + j] = (f + n) / (n - f) * view[8 + j] + 2 * f * n / (n - f) * view[12 + j];
        matrix[12 + j] = -view[8 + j];
    }
}

void raster_lens_init(raster_lens *lens, const raster_camera *camera, int width, int height)
{
    real r[9];
    raster_camera_rotation(camera, r);
    for (int j = 0; j < 3; j++) {
        lens->right[j] = r[j];
        lens->up[j] = r[3 + j];
        lens->backward[j] = r[6 + j];
        lens->eye[j] = camera->target[j] + camera->distance * r[6 + j];
    }
    lens->focal = (real)(height / (2 * tan(radians(camera->fov_y) / 2)));
    lens->centre[0] = (real)width / 2;
    lens->centre[1] = (real)height / 2;
    lens->near = near_share * camera->distance;
}

static real dot3(const real a[3], const real b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

SIMD_VARIANTS(void, raster_project,
              (const raster_lens *lens, const real *vertices, size_t count, real *screen,
               int32_t *snapped),
              (lens, vertices, count, screen, snapped))
{
    const real limit = 1 << 17;
    for (size_t i = 0; i < count; i++) {
        const real *v = vertices + 3 * i;
        real d[3] = { v[0] - lens->eye[0], v[1] - lens->eye[1], v[2] - lens->eye[2] };
        real w = -dot3(lens->backward, d);
        real inverse = 1 / w;
        real x = lens->centre[0] + lens->focal * dot3(lens->right, d) * inverse;
        real y = lens->centre[1] - lens->focal * dot3(lens->up, d) * inverse;
        bool inside = w >= lens->near && fabs(x) < limit && fabs(y) < limit; /* false for NaN */
        screen[3 * i] = inside ? x : 0;
        screen[3 * i + 1] = inside ? y : 0;
        screen[3 * i + 2] = inside ? inverse : 0;
        snapped[2 * i] = inside ? (int32_t)lrint(x * RASTER_SUBPIXELS) : RASTER_OUTSIDE;
        snapped[2 * i + 1] = inside ? (int32_t)lrint(y * RASTER_SUBPIXELS) : RASTER_OUTSIDE;
    }
}

/* Vertices outside have 1/w = 0 and gradient 0: nothing reaches them. */
SIMD_VARIANTS(void, raster_project_adjoint,
              (const raster_lens *lens, const real *vertices, size_t count, const real *dscreen,
               real *dvertices),
              (lens, vertices, count, dscreen, dvertices))
{
    for (size_t i = 0; i < count; i++) {
        const real *v = vertices + 3 * i, *ds = dscreen + 3 * i;
        if (ds[0] == 0 && ds[1] == 0 && ds[2] == 0)
            continue;
        real d[3] = { v[0] - lens->eye[0], v[1] - lens->eye[1], v[2] - lens->eye[2] };
        real inverse = -1 / dot3(lens->backward, d);
        real dright = lens->focal * ds[0] * inverse, dup = -lens->focal * ds[1] * inverse;
        real dinverse =
            ds[2] + lens->focal * (ds[0] * dot3(lens->right, d) - ds[1] * dot3(lens->up, d));
        real dbackward = dinverse * inverse * inverse; /* w = -backward . d */
        for (int j = 0; j < 3; j++)
            dvertices[3 * i + j] +=
                lens->right[j] * dright + lens->up[j] * dup + lens->backward[j] * dbackward;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A differentiable rasteriser on the CPU: visibility, perspective-correct interpolation, shading,
 * texture, and antialiased silhouettes that carry gradients, each with its adjoint.
 *
 * Pictures are (H,W,C), row 0 at the top, linear light unless said. Screen positions are in pixels
 * with pixel centres at +0.5. Structure after Laine et al., "Modular primitives for
 * high-performance differentiable rendering", 2020 (visibility is not differentiated; the
 * antialiasing of silhouette edges is). Same bytes for any number of threads. */
#ifndef HDS_RASTER_H
#define HDS_RASTER_H

#include "base/base.h"

/* Camera on a sphere around `target`, looking at it. Degrees and metres. Azimuth 0 sees the face,
 * positive azimuth moves the camera toward the head's own left (+x); elevation up is positive. */
typedef struct raster_camera {
    real azimuth, elevation, distance, fov_y;
    real target[3];
} raster_camera;

/* World to clip, row-major 4x4, OpenGL conventions, square or not: aspect = width / height. */
void raster_camera_matrix(const raster_camera *camera, real aspect, real matrix[16]);
/* World to camera rotation, row-major 3x3 (rows: right, up, backward). */
void raster_camera_rotation(const raster_camera *camera, real rotation[9]);

/* What one view looks at. Borrowed arrays. */
typedef struct raster_mesh {
    size_t vertex_count, face_count, uv_count;
    const real *vertices;     /* (V,3) */
    const uint32_t *faces;    /* (F,3) */
    const float *uvs;         /* (T,2) or NULL */
    const uint32_t *uv_faces; /* (F,3) or NULL */
} raster_mesh;

typedef enum raster_mode {
    RASTER_SHADED,  /* albedo (constant or texture) times spherical-harmonics light; sRGB out */
    RASTER_NORMALS, /* object-space normals * 0.5 + 0.5 */
    RASTER_DEPTH    /* nearer is brighter, foreground [0.5, 1], background 0; not differentiated */
} raster_mode;

typedef struct raster_view {
    raster_camera camera;
    int width, height;
    raster_mode mode;
    real albedo[3];      /* linear; used where texture is NULL */
    const real *texture; /* (texture_height, texture_width, 3) linear, row 0 at v = 1; or NULL */
    int texture_width, texture_height;
    real light[9];      /* monochrome second-order spherical harmonics of the irradiance / pi,
                           object space */
    real background[3]; /* in the picture's own space: written as is */
} raster_view;

/* What the forward pass leaves for the adjoint; arrays come from the arena. */
typedef struct raster_state raster_state;

/* Draws mesh into image (H,W,3), values in [0,1] up to overexposure (not clamped).
 * normals (V,3): unit vertex normals (mesh_normals). NULL when scratch memory runs out, else the
 * state for the adjoint, valid until the arena is left. */
raster_state *raster_draw(const raster_mesh *mesh, const real *normals, const raster_view *view,
                          arena *scratch, real *image);
/* dimage (H,W,3) -> += dvertices (V,3), dnormals (V,3), dtexture (th,tw,3); each may be NULL.
 * False when scratch memory runs out: nothing was added then. */
bool raster_draw_adjoint(const raster_mesh *mesh, const real *normals, const raster_view *view,
                         arena *scratch, const raster_state *state, const real *dimage,
                         real *dvertices, real *dnormals, real *dtexture);

/* Light: one of a few presets (a key from above left, ...), 0 <= preset < raster_light_presets(),
 * or drawn at random: a key light from the camera's side of the head, fill and ambient. */
int raster_light_presets(void);
void raster_light_preset(int preset, real light[9]);
void raster_light_random(rng *r, real light[9]);
/* The lamps turn about the y axis as a camera's azimuth does: by 90 degrees from +z to +x. */
void raster_light_turn(real degrees, real light[9]);
/* From spherical-harmonics coefficients and a unit normal to irradiance / pi, clamped at 0. */
real raster_irradiance(const real light[9], const real normal[3]);

#endif

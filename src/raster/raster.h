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
#include "mesh/mesh.h"

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

/* ---- UV space: pictures whose pixels are the texels of a mesh's UV layout ----
 *
 * (H,W,C), row 0 at v = 1, texel centres at +0.5, as in a texture. */

/* uv.c: which face lies at each texel; made once for a mesh and a size. */
typedef struct raster_uv_layout {
    int height, width;
    uint32_t *faces;    /* (H,W) 1 + the face that covers the texel's centre; 0: none does */
    real *barycentrics; /* (H,W,3) of its corners there: >= 0, sum 1; 0 where no face is */
} raster_uv_layout;
/* Of faces that overlap the first of the mesh wins. What lies outside of [0,1] is outside of the
 * picture: nothing repeats, as raster_draw's lookups repeat nothing but the edge. Faces without an
 * area, or with a corner further out than 2^17 texels, cover nothing. Uses of mesh only uvs and
 * uv_faces. Height and width: 1 to 16384. Arrays are taken from the arena; false: out of memory. */
bool raster_uv_layout_init(raster_uv_layout *layout, const raster_mesh *mesh, int height, int width,
                           arena *memory);
/* attributes (V,C) of the corners `faces` (F,3) -> map (H,W,C); 0 where no face is. */
void raster_uv_interpolate(const raster_uv_layout *layout, const uint32_t *faces,
                           const real *attributes, int channels, real *map);
/* dmap (H,W,C) -> += dattributes (V,C). False when scratch memory runs out: nothing was added. */
bool raster_uv_interpolate_adjoint(const raster_uv_layout *layout, const uint32_t *faces,
                                   size_t vertex_count, int channels, arena *scratch,
                                   const real *dmap, real *dattributes);
/* Bilinear lookup of picture (height,width,C) at uvs (count,2), edges repeated -> out (count,C). */
void raster_uv_look_up(const real *picture, int height, int width, int channels, const real *uvs,
                       size_t count, real *out);

/* uv_unwrap.c: what pictures show of a surface, brought to its texels. */
typedef struct raster_picture {
    raster_camera camera;
    int height, width, channels; /* sides: 1 to 16384 */
    const real *pixels;          /* (height,width,channels); linear light blends best */
} raster_picture;
/* sums (H,W,C) += weight * colour, weights (H,W) += weight, of what one picture shows at each texel
 * of the layout: begin with zeros, add all pictures, then divide. The weight of a texel is 0 where
 * no face is, outside of the picture, and where the surface is hidden or faces away; else the
 * cosine of the angle between normal and viewer, faded out smoothly from 60 to 80 degrees, and a
 * 64th of that within two pixels of an outline, where colours may be mixed: it counts where no
 * other picture does. normals (V,3): unit vertex normals. False when scratch memory runs out:
 * nothing was added. */
bool raster_unwrap_add(const raster_uv_layout *layout, const raster_mesh *mesh, const real *normals,
                       const raster_picture *picture, arena *scratch, real *sums, real *weights);
/* sums become colours where weights > 0; elsewhere they stay 0. */
void raster_unwrap_divide(const raster_uv_layout *layout, int channels, const real *weights,
                          real *sums);

/* uv_mirror.c: left and right of a mesh that x -> -x maps onto itself. */
/* partners (F,2): where the mirrored points of each face lie, on one face (named twice) or, where
 * two triangles are a quad that the other side splits along its other diagonal, on two. Corners
 * agree within the tolerance (metres); of several that do the nearest are taken. A face without a
 * partner has UINT32_MAX, and *lonely counts those: a mesh is symmetric when there are none. False:
 * out of memory. */
bool raster_uv_partners(const raster_mesh *mesh, const mesh_adjacency *adjacency, real tolerance,
                        arena *scratch, uint32_t *partners, size_t *lonely);
/* map (H,W,2): the uv of each texel's mirrored surface point; (-1,-1) where no face is or one
 * without a partner. raster_uv_look_up of a texture by it is the flipped texture. */
void raster_uv_mirror(const raster_uv_layout *layout, const raster_mesh *mesh,
                      const uint32_t *partners, real *map);

#endif

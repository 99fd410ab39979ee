/* SPDX-License-Identifier: Apache-2.0 */
/* A differentiable rasteriser on the CPU: visibility, perspective-correct interpolation, shading,
 * texture, and antialiased silhouettes that carry gradients, each with its adjoint.
 *
 * Pictures are (H,W,C), row 0 at the top. Screen positions are in pixels with pixel centres at
 * +0.5. Structure after Laine et al., "Modular primitives for high-performance differentiable
 * rendering", 2020 (visibility is not differentiated; the antialiasing of silhouette edges is).
 * Same bytes for any number of threads. */
#ifndef HDS_RASTER_H
#define HDS_RASTER_H

#include "base/base.h"
#include "mesh/mesh.h"

/* ---- cameras ---- */

/* Camera on a sphere around `target`, looking at it. Degrees and metres. Azimuth 0 sees the face,
 * positive azimuth moves the camera toward the head's own left (+x); elevation up is positive. */
typedef struct raster_camera {
    real azimuth, elevation, distance, fov_y;
    real target[3];
} raster_camera;

/* World to clip, row-major 4x4, OpenGL conventions, square or not: aspect = width / height. Near
 * and far are 0.02 and 50 distances. */
void raster_camera_matrix(const raster_camera *camera, real aspect, real matrix[16]);
/* World to camera rotation, row-major 3x3 (rows: right, up, backward). */
void raster_camera_rotation(const raster_camera *camera, real rotation[9]);

/* ---- light ---- */

/* What falls on a surface with unit normal n, over pi; both in object space, monochrome.
 * Harmonics: second order, l rising from 0 to 2, within it m from -l to l; clamped at 0.
 * Rig: an ambient share and two lamps, each strength times the unit vector toward it:
 *   light[0] + max(0, n . light[1..3]) + max(0, n . light[4..6]). */
typedef enum raster_light { RASTER_HARMONICS, RASTER_RIG } raster_light;

/* One of a few presets (a key from above left, ...), 0 <= preset < raster_light_presets(), or drawn
 * at random: a key light from the face's side of the head, fill and ambient. */
int raster_light_presets(void);
void raster_light_preset(int preset, raster_light kind, real light[9]);
void raster_light_random(rng *r, raster_light kind, real light[9]);
/* The lamps turn about the y axis as a camera's azimuth does: by 90 degrees from +z to +x. */
void raster_light_turn(real degrees, raster_light kind, real light[9]);
/* From light and a unit normal to irradiance / pi. */
real raster_irradiance(raster_light kind, const real light[9], const real normal[3]);

/* ---- textures ---- */

/* Texels of all levels one after the other, each (h,w,C), row 0 at v = 1. One level is looked up
 * bilinearly. With more, each half as wide and high as the one before (rounded down, at least 1),
 * lookups are trilinear: between the two levels whose texels are about as large as the pixel. */
typedef struct raster_texture {
    int width, height, channels, levels; /* channels 1 to 4 */
    const real *texels;
} raster_texture;

int raster_texture_levels(int width, int height); /* down to one texel */
/* Numbers of all levels together. */
size_t raster_texture_size(const raster_texture *texture);
/* Fills levels 1, 2, ... of texels from level 0: each the mean over its area of the one before. */
void raster_texture_reduce(const raster_texture *texture, real *texels);
/* += the gradients of all levels into that of level 0; the others are used up. */
void raster_texture_reduce_adjoint(const raster_texture *texture, real *dtexels);

/* ---- what is drawn ---- */

/* What one view looks at. Borrowed arrays. */
typedef struct raster_mesh {
    size_t vertex_count, face_count, uv_count;
    const real *vertices;     /* (V,3) */
    const uint32_t *faces;    /* (F,3) */
    const float *uvs;         /* (T,2) or NULL */
    const uint32_t *uv_faces; /* (F,3) or NULL */
} raster_mesh;
typedef enum raster_mode {
    RASTER_SHADED,          /* albedo (constant or texture, linear) times light; sRGB out */
    RASTER_UNLIT,           /* albedo as it is, 1 to 4 channels: latents, masks, sRGB */
    RASTER_PARTS,           /* the colour of the face's part as it is; borders are blended */
    RASTER_NORMALS,         /* object space, * 0.5 + 0.5 */
    RASTER_CAMERA_NORMALS,  /* the same in camera space: x right, y up, z toward the camera */
    RASTER_CONTROL_NORMALS, /* what ControlNets for normals know: camera space with x left */
    RASTER_DEPTH            /* what those for depth know, after MiDaS: 1/w from 0.5 at the farthest
                               pixel of the picture to 1 at the nearest; always on black */
} raster_mode;

enum { RASTER_CHANNELS = 4 }; /* most that a picture has */

typedef struct raster_view {
    raster_camera camera;
    int width, height;
    raster_mode mode;
    const raster_texture *texture; /* or NULL. RASTER_SHADED wants 3 channels */
    real albedo[3];                /* where texture is NULL */
    raster_light light_kind;
    real light[9];
    const uint32_t *face_parts; /* (F) RASTER_PARTS only */
    const real *part_colours;   /* (parts,3) */
    /* In the picture's own space, written as they are: one colour, or (H,W,C) where not NULL. */
    real background[RASTER_CHANNELS];
    const real *background_picture;
} raster_view;

/* C of the view's picture: the texture's for RASTER_UNLIT, else 3. */
int raster_channels(const raster_view *view);

/* ---- drawing ---- */

/* What the forward pass leaves for the adjoint; arrays come from the arena. */
typedef struct raster_state raster_state;

/* Draws mesh into image (H,W,C). Values are not clamped: overexposed ones, and where several
 * outlines cross one pixel, leave [0,1].
 * normals (V,3): unit vertex normals (mesh_normals). NULL when scratch memory runs out, else the
 * state for the adjoint, valid until the arena is left. */
raster_state *raster_draw(const raster_mesh *mesh, const real *normals, const raster_view *view,
                          arena *scratch, real *image);
/* dimage (H,W,C) -> += dvertices (V,3), dnormals (V,3), dtexels (as the texture's), dlight (9);
 * each may be NULL. False when scratch memory runs out: what was added is then worth nothing. */
bool raster_draw_adjoint(const raster_mesh *mesh, const real *normals, const raster_view *view,
                         arena *scratch, const raster_state *state, const real *dimage,
                         real *dvertices, real *dnormals, real *dtexels, real *dlight);

/* Several views of one mesh: image i is drawn for views[i] with scratch[i]. Views are drawn one per
 * thread; left-over views are drawn one at a time by all threads. False: out of memory. */
bool raster_draw_views(const raster_mesh *mesh, const real *normals, const raster_view *views,
                       size_t count, arena *scratch, raster_state **states, real *const *images);
/* The gradients are those of the views added up in order. dlights: (count) of 9, or NULL. False:
 * out of memory, and what was added is worth nothing. */
bool raster_draw_views_adjoint(const raster_mesh *mesh, const real *normals,
                               const raster_view *views, size_t count, arena *scratch,
                               raster_state *const *states, const real *const *dimages,
                               real *dvertices, real *dnormals, real *dtexels, real (*dlights)[9]);

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
/* Bilinear lookup of level 0 at uvs (count,2), edges repeated -> out (count,C). */
void raster_uv_look_up(const raster_texture *texture, const real *uvs, size_t count, real *out);

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

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rasteriser share.
 *
 * The pipeline, with what each step leaves to the next:
 *   camera.c      vertices -> screen positions and inverse depths
 *   visible.c     -> for each pixel the nearest face; for each face the planes of its barycentrics
 *   shade.c       -> colours inside the surface (texture.c looks up its texels)
 *   silhouette.c  -> the same picture with blended silhouettes
 * Adjoints run the other way and meet in the screen positions. */
#ifndef HDS_RASTER_PRIV_H
#define HDS_RASTER_PRIV_H

#include "raster/raster.h"

enum {
    RASTER_SUBPIXEL_BITS = 8,
    RASTER_SUBPIXELS = 1 << RASTER_SUBPIXEL_BITS,
    RASTER_OUTSIDE = INT32_MIN, /* snapped x of a vertex that no face may use */
    RASTER_FACE_CHUNK = 1024
};

/* A pinhole camera with its rotation spelled out. */
typedef struct raster_lens {
    real eye[3], right[3], up[3], backward[3];
    real focal; /* pixels */
    real centre[2];
    real near; /* nothing closer is drawn */
} raster_lens;

/* A face in a band of rows. With (x, y) = pixel - (x0, y0),
 *   q_i(x, y) = plane[i] . (x, y, 1) = (screen barycentric i) / w_i,
 * so that 1/w = sum_i q_i and the perspective-correct barycentrics are b_i = q_i / sum_j q_j. */
typedef struct raster_slot {
    real plane[3][3];
    uint32_t face;
    int32_t x0, y0;
} raster_slot;

/* A silhouette edge between the centres of two neighbouring pixels. It crosses their line at
 * t = 0 (centre of `inner`, on the surface's side) to 1 (centre of `outer`), and
 *   k = t - 1/2,  image[k < 0 ? inner : outer] += k (colour of inner - colour of outer). */
typedef struct raster_crossing {
    uint32_t vertices[2];
    uint32_t inner, outer; /* pixels */
    int8_t axis, sign;     /* outer - inner: 0 along x, 1 along y; its direction */
    real t;
    real share;       /* 0 at the edge's first vertex, 1 at the second */
    real slope;       /* movement along the axis for a step across it */
    real depth;       /* 1/w of the edge where it crosses */
    real contrast[3]; /* colour of inner - colour of outer */
} raster_crossing;

struct raster_state {
    raster_lens lens;
    int width, height;
    int band_bits, band_count; /* 2^band_bits rows each; depend on the picture's size only */
    real *screen;              /* (V,3) x, y, 1/w */
    int32_t *snapped;          /* (V,2) x, y in 1/256 pixel */
    int8_t *facing;            /* (F) orientation on screen; 0: not drawn */
    uint32_t *bands;           /* (band_count + 1) first slot of each */
    uint32_t *covered;         /* (band_count + 1) covered pixels before each */
    raster_slot *slots;        /* faces that are seen, by band */
    uint32_t *visible;         /* (H,W) slot + 1, 0: background */
    real *depth;               /* (H,W) 1/w, 0: background */
    raster_crossing *crossings;
    size_t crossing_count;
};

/* ---- camera.c ---- */
void raster_lens_init(raster_lens *lens, const raster_camera *camera, int width, int height);
void raster_project(const raster_lens *lens, const real *vertices, size_t count, real *screen,
                    int32_t *snapped);
/* dscreen (V,3) -> += dvertices (V,3) */
void raster_project_adjoint(const raster_lens *lens, const real *vertices, size_t count,
                            const real *dscreen, real *dvertices);

/* ---- visible.c ---- */
/* Fills facing, bands, slots, visible and depth. False: out of memory. */
bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch);
/* plane, from face, x0 and y0 */
void raster_set_planes(const raster_state *state, const raster_mesh *mesh, raster_slot *slot);
/* The gradient of a slot's planes becomes that of its corners: per corner x, y, 1/w. */
void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, real gradient[9]);

/* ---- shade.c ---- */
void raster_shade(const raster_state *state, const raster_mesh *mesh, const real *normals,
                  const raster_view *view, real *image);
/* draw (H,W,3): gradient before blending. += dscreen (V,3), dnormals, dtexture (or NULL).
 * False: out of memory. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *draw, real *dscreen,
                          real *dnormals, real *dtexture);

/* ---- plain.c: the same with a plain loop over pixels and faces, for the tests ---- */
bool raster_visible_plain(raster_state *state, const raster_mesh *mesh, arena *scratch);
void raster_shade_plain(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        const raster_view *view, real *image);
void raster_shade_plain_adjoint(const raster_state *state, const raster_mesh *mesh,
                                const real *normals, const raster_view *view, const real *draw,
                                real *dscreen, real *dnormals, real *dtexture);

/* ---- texture.c ---- */
/* A lookup and the gradient of its colour. */
typedef struct raster_texel {
    real uv[2], dcolour[3];
} raster_texel;
/* Bilinear lookup at uv, edges repeated. texture (th,tw,3) -> colour, and its slope by u and v. */
void raster_texture(const raster_view *view, const real uv[2], real colour[3], real slope[2][3]);
/* One lookup -> += dtexture in rows [begin, end) */
void raster_texel_adjoint(const raster_view *view, const raster_texel *texel, int begin, int end,
                          real *dtexture);
/* All of them: those of band i are [first[i], first[i + 1]). False: out of memory. */
bool raster_texture_adjoint(const raster_view *view, const raster_texel *texels,
                            const uint32_t *first, int bands, arena *scratch, real *dtexture);

/* ---- silhouette.c ---- */
/* Finds the crossings of visible silhouette edges and blends them. False: out of memory. */
bool raster_blend(raster_state *state, const raster_mesh *mesh, arena *scratch, real *image);
/* dimage (H,W,3) -> draw (H,W,3) = gradient before blending, += dscreen (V,3) */
void raster_blend_adjoint(const raster_state *state, const real *dimage, real *draw, real *dscreen);

/* ---- light.c ---- */
/* E(n) / pi = p0 + p1 x + p2 y + p3 z + p4 xy + p5 yz + p6 xz + p7 zz + p8 (xx - yy) */
void raster_light_polynomial(const real light[9], real p[9]);
/* d(irradiance / pi) -> += dnormal */
void raster_irradiance_adjoint(const real light[9], const real normal[3], real dirradiance,
                               real dnormal[3]);

#endif

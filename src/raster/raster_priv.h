/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rasteriser share.
 *
 * The pipeline, with what each step leaves to the next:
 *   camera.c      vertices -> screen positions and inverse depths
 *   visible.c     -> for each pixel the nearest face; for each face the planes of its barycentrics
 *   surface.c     -> for each face the planes of what is interpolated over it
 *   shade.c       -> colours inside the surface (texture.c looks up its texels)
 *   silhouette.c  -> the same picture with blended silhouettes
 * Adjoints run the other way and meet in the screen positions. */
#ifndef HDS_RASTER_PRIV_H
#define HDS_RASTER_PRIV_H

#include "raster/raster.h"

#include <string.h>

enum {
    RASTER_SUBPIXEL_BITS = 8,
    RASTER_SUBPIXELS = 1 << RASTER_SUBPIXEL_BITS,
    RASTER_OUTSIDE = INT32_MIN, /* snapped x of a vertex that no face may use */
    RASTER_FACE_CHUNK = 1024,
    RASTER_LARGEST_SIDE = 16384, /* of a picture or a layout, pixels */
    RASTER_LANES = 8
};

/* Eight numbers side by side, anywhere in memory. Passed by pointer only: there is no one way of
 * passing vectors on all machines. */
typedef real raster_lanes
    __attribute__((vector_size(RASTER_LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
#ifdef HDS_REAL_DOUBLE
typedef int64_t raster_mask __attribute__((vector_size(RASTER_LANES * sizeof(real))));
#else
typedef int32_t raster_mask __attribute__((vector_size(RASTER_LANES * sizeof(real))));
#endif
/* Relative rounding of a plane of 1/w. */
#ifdef HDS_REAL_DOUBLE
#define RASTER_SLACK 1e-12
#else
#define RASTER_SLACK 1e-5f
#endif
/* mask ? a : b in each lane */
#define RASTER_CHOOSE(mask, a, b)                                                                  \
    ((raster_lanes)(((raster_mask)(a) & (mask)) | ((raster_mask)(b) & ~(mask))))

/* A pinhole camera with its rotation spelled out. */
typedef struct raster_lens {
    real eye[3], right[3], up[3], backward[3];
    real focal; /* pixels */
    real centre[2];
    real near; /* nothing closer is drawn */
} raster_lens;

/* A face in a band of rows. With (x, y) = pixel - (x0, y0),
 *   q_i(x, y) = plane[i] . (x, y, 1) = (screen barycentric i) / w_i,
 * so that 1/w = sum_i q_i and the perspective-correct barycentrics are b_i = q_i / sum_j q_j.
 * A face thinner than 1/32 pixel can be seen, vertices being snapped to 1/256, from far outside of
 * it in its own measure: its q_i are the constants 1 / (3 w_i). */
typedef struct raster_slot {
    real plane[3][3];
    uint32_t face;
    int32_t x0, y0;
} raster_slot;

/* What is interpolated over a face, each times 1/w: attribute a at a pixel is
 * plane[a] . (x, y, 1). The perspective-correct value is that over the one of RASTER_A_W. */
enum { RASTER_A_NORMAL = 0, RASTER_A_U = 3, RASTER_A_V = 4, RASTER_A_W = 5, RASTER_ATTRIBUTES = 6 };
typedef struct raster_surface {
    real plane[RASTER_ATTRIBUTES][3];
    real least, most; /* 1/w of the corners: what is seen beyond an edge stays between */
} raster_surface;

/* The part of a row that shows one face. */
typedef struct raster_run {
    uint32_t slot, pixel; /* pixel: the first */
    int32_t length;
} raster_run;

/* A silhouette edge, or a border between parts, between the centres of two neighbouring pixels. It
 * crosses their line at t = 0 (centre of `inner`, on the surface's side) to 1 (centre of `outer`),
 * and k = t - 1/2,  image[k < 0 ? inner : outer] += k (colour of inner - colour of outer). */
typedef struct raster_crossing {
    uint32_t vertices[2];
    uint32_t inner, outer; /* pixels */
    int8_t axis, sign;     /* outer - inner: 0 along x, 1 along y; its direction */
    real t;
    real share;                     /* 0 at the edge's first vertex, 1 at the second */
    real slope;                     /* movement along the axis for a step across it */
    real depth;                     /* 1/w of the edge where it crosses */
    real contrast[RASTER_CHANNELS]; /* colour of inner - colour of outer */
} raster_crossing;

struct raster_state {
    raster_lens lens;
    int width, height, channels;
    bool in_order;             /* at equal 1/w the first face is seen, whichever side it shows */
    int band_bits, band_count; /* 2^band_bits rows each; depend on the picture's size only */
    real *screen;              /* (V,3) x, y, 1/w */
    int32_t *snapped;          /* (V,2) x, y in 1/256 pixel */
    int8_t *facing;            /* (F) orientation on screen, -1 shows its outside; 0: not drawn */
    uint32_t *bands;           /* (band_count + 1) first slot of each */
    uint32_t *covered;         /* (band_count + 1) covered pixels before each band */
    raster_slot *slots;        /* faces that are seen, by band */
    raster_surface *surfaces;  /* (slots) */
    uint32_t *visible;         /* (H,W) 0: background, else place in the band's list of faces + 1 */
    uint32_t *first;           /* (band_count + 1) the lists of all bands in a row */
    uint32_t *names;           /* as the lists: slot of the band + 1, 0: not seen; NULL: slots lie
                                  as the lists do */
    raster_run *runs;          /* (H,W) those of a band from the place of its first pixel on */
    uint32_t *run_counts;      /* (band_count) */
    real *depth;               /* (H,W) 1/w, 0: background */
    size_t nearest, farthest;  /* RASTER_DEPTH: pixels of the largest and the least 1/w */
    raster_crossing *crossings;
    size_t crossing_count;
};

/* What is seen at a pixel: slot + 1, 0: background. */
static inline uint32_t raster_slot_at(const raster_state *s, size_t pixel)
{
    uint32_t place = s->visible[pixel];
    size_t band = pixel / (size_t)s->width >> s->band_bits;
    return place && s->names ? s->bands[band] + s->names[s->first[band] + place - 1] : place;
}

/* Rows of a band. */
static inline int raster_band_begin(const raster_state *s, size_t band)
{
    return (int)band << s->band_bits;
}
static inline int raster_band_end(const raster_state *s, size_t band)
{
    int end = ((int)band + 1) << s->band_bits;
    return end < s->height ? end : s->height;
}

/* ---- camera.c ---- */
void raster_lens_init(raster_lens *lens, const raster_camera *camera, int width, int height);
void raster_project(const raster_lens *lens, const real *vertices, size_t count, real *screen,
                    int32_t *snapped);
/* dscreen (V,3) -> += dvertices (V,3) */
void raster_project_adjoint(const raster_lens *lens, const real *vertices, size_t count,
                            const real *dscreen, real *dvertices);

/* ---- visible.c ---- */
/* A state of this size, with room for screen and snapped. False: out of memory. */
bool raster_state_init(raster_state *state, int width, int height, size_t vertex_count,
                       arena *scratch);
/* Fills what follows snapped, up to depth, but for surfaces. False: out of memory, or more faces
 * times bands than 32 bits count. */
bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch);
/* plane, from face, x0 and y0 */
void raster_set_planes(const raster_state *state, const raster_mesh *mesh, raster_slot *slot);
/* The gradient of a slot's planes becomes that of its corners: per corner x, y, 1/w. */
void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, real gradient[9]);

/* ---- surface.c ---- */
void raster_surface_set(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        bool textured, const raster_slot *slot, raster_surface *surface);
/* moments: the gradient of surface's planes -> that of its corners: x, y, 1/w each, and normals */
void raster_surface_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                            bool textured, const raster_slot *slot,
                            const real moments[RASTER_ATTRIBUTES][3], real dcorners[9],
                            real dnormals[9]);

/* ---- shade.c ---- */
/* False: out of memory. */
bool raster_shade(raster_state *state, const raster_mesh *mesh, const real *normals,
                  const raster_view *view, arena *scratch, real *image);
/* The gradients of lookups, those of band i in [first[i], first[i + 1]). */
typedef struct raster_texel raster_texel;
typedef struct raster_texels {
    const raster_texel *texels;
    const uint32_t *first; /* (bands + 1) */
    size_t bands;
} raster_texels;
/* dimage (H,W,C), also through the state's crossings: += dscreen (V,3), dnormals, dlight; texels
 * for raster_texels_adjoint. The last three may be NULL. False: out of memory. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *dimage,
                          real *dscreen, real *dnormals, raster_texels *texels, real *dlight);

/* ---- plain.c: the same with a plain loop over pixels and faces, for the tests ---- */
bool raster_visible_plain(raster_state *state, const raster_mesh *mesh, arena *scratch);
void raster_shade_plain(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        const raster_view *view, real *image);
/* draw (H,W,C): gradient before blending */
void raster_shade_plain_adjoint(const raster_state *state, const raster_mesh *mesh,
                                const real *normals, const raster_view *view, const real *draw,
                                real *dscreen, real *dnormals, real *dtexels, real *dlight);

/* ---- texture.c ---- */
/* A lookup: where, between which levels, and the colour with its slopes. */
typedef struct raster_lookup {
    real uv[2], level;
    real colour[RASTER_CHANNELS], by_u[RASTER_CHANNELS], by_v[RASTER_CHANNELS];
    real by_level[RASTER_CHANNELS];
} raster_lookup;
/* From uv and level, 0 to levels - 1. */
void raster_look_up(const raster_texture *texture, raster_lookup *lookup);
/* ... and the gradient of its colour. */
struct raster_texel {
    real uv[2], level, dcolour[RASTER_CHANNELS];
};
/* One lookup -> += dtexels in rows [begin, end), the rows of all levels counted through */
void raster_texel_adjoint(const raster_texture *texture, const raster_texel *texel, int begin,
                          int end, real *dtexels);
int raster_texture_rows(const raster_texture *texture);
/* All of them. False: out of memory. */
bool raster_texels_adjoint(const raster_texture *texture, const raster_texels *texels,
                           arena *scratch, real *dtexels);

/* The level whose texels are as large as a pixel, limited to what there is, from the slopes of uv
 * along x and y; slope: d level / d (those four), 0 at the limits. */
real raster_level(const raster_texture *texture, const real ux[2], const real uy[2],
                  real slope[2][2]);

/* ---- silhouette.c ---- */
/* Finds the crossings of visible silhouette edges, and of borders between parts in a picture of
 * them, and blends them. False: out of memory. */
bool raster_blend(raster_state *state, const raster_mesh *mesh, const raster_view *view,
                  arena *scratch, real *image);
/* Along the edges: dimage (H,W,C) -> += dscreen (V,3) */
void raster_blend_adjoint(const raster_state *state, const real *dimage, real *dscreen);
/* The gradient of the colours that crossing i blended: += that of inner, the opposite of outer. */
void raster_crossing_gradient(const raster_state *state, size_t i, const real *dimage,
                              real dcolour[RASTER_CHANNELS]);

/* ---- light.c ---- */
/* Harmonics as a polynomial:
 * E(n) / pi = p0 + p1 x + p2 y + p3 z + p4 xy + p5 yz + p6 xz + p7 zz + p8 (xx - yy) */
void raster_light_polynomial(const real light[9], real p[9]);
void raster_light_polynomial_adjoint(const real dp[9], real dlight[9]);
/* d(irradiance / pi) -> += dnormal, dlight */
void raster_irradiance_adjoint(raster_light kind, const real light[9], const real normal[3],
                               real dirradiance, real dnormal[3], real dlight[9]);

#endif

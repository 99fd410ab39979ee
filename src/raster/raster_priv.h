/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the rasteriser share.
 *
 * The pipeline, with what each step leaves to the next:
 *   camera.c      vertices -> screen positions and inverse depths
 *   visible.c     -> for each pixel the nearest face; for each face the planes of its barycentrics
 *   surface.c     -> for each face the planes of what is interpolated over it
 *   shade.c       -> what is interpolated at each pixel, and the picture of
 *   colour.c      -> colours (texture.c looks up its texels)
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
    RASTER_SEGMENT = 128,        /* pixels of a row that are shaded side by side */
    RASTER_LANES = 8
};

/* Eight numbers side by side, anywhere in memory. Passed by pointer only: there is no one way of
 * passing vectors on all machines. */
typedef real raster_lanes
    __attribute__((vector_size(RASTER_LANES * sizeof(real)), aligned(sizeof(real)), may_alias));
typedef int32_t raster_lanes32
    __attribute__((vector_size(RASTER_LANES * sizeof(int32_t)), aligned(4), may_alias));
/* What belongs to the corners of a face or to a group of attributes; the fourth is 0. */
typedef real raster_four
    __attribute__((vector_size(4 * sizeof(real)), aligned(sizeof(real)), may_alias));
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
 *   q_i(x, y) = plane_i . (1, x, y) = (screen barycentric i) / w_i,
 * so that 1/w = sum_i q_i and the perspective-correct barycentrics are b_i = q_i / sum_j q_j.
 * A face thinner than 1/32 pixel can be seen, vertices being snapped to 1/256, from far outside of
 * it in its own measure: its q_i are the constants 1 / (3 w_i). */
typedef struct raster_slot {
    raster_four plane[3]; /* of (1, x, y), over the corners */
    uint32_t face;
    int32_t x0, y0;
} raster_slot;

/* What is interpolated over a face, each times 1/w, in two groups of three: attribute a is
 * plane . (1, x, y), lane a % 3 of group a / 3. The perspective-correct value is that over the one
 * of RASTER_A_W. */
enum { RASTER_A_NORMAL = 0, RASTER_A_U = 3, RASTER_A_V = 4, RASTER_A_W = 5, RASTER_ATTRIBUTES = 6 };
enum { RASTER_G_NORMAL, RASTER_G_UVW };
enum { RASTER_L_U, RASTER_L_V, RASTER_L_W }; /* lanes */
typedef struct raster_surface {
    real x0, y0;             /* the slot's */
    real least, most;        /* 1/w of the corners: what is seen beyond an edge stays between */
    raster_four plane[2][3]; /* groups; of (1, x, y), over the attributes */
} __attribute__((aligned(64))) raster_surface;

/* The part of a segment of a row that shows one face: columns [begin, end) of the segment. */
typedef struct raster_run {
    uint32_t slot;
    uint16_t begin, end;
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
    int8_t *facing;     /* (F) orientation on screen, -1 shows its outside; 0: a corner outside */
    uint32_t *first;    /* (band_count + 1) first slot of each */
    uint32_t *covered;  /* (band_count) covered pixels of each */
    raster_slot *slots; /* the faces of each band */
    bool *seen;         /* (slots) what no pixel shows has no values in slots and surfaces */
    raster_surface *surfaces; /* (slots) */
    uint32_t *visible;        /* (H,W) 0: background, else slot + 1 */
    raster_run *runs;         /* (H,W) those of a band from the place of its first pixel on */
    uint32_t *run_ends;       /* (H,segments) how many of them come before a segment's end */
    real *depth;              /* (H,W) 1/w, 0: background */
    size_t nearest, farthest; /* RASTER_DEPTH: pixels of the largest and the least 1/w */
    raster_crossing *crossings;
    size_t crossing_count;
};

static inline int raster_segment_count(const raster_state *s)
{
    return (s->width - 1) / RASTER_SEGMENT + 1;
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
/* The bands' lists of faces. Fills state from snapped up to first; NULL: out of memory, or more
 * faces times bands than 31 bits count. */
typedef struct raster_faces raster_faces;
raster_faces *raster_faces_measure(raster_state *state, const raster_mesh *mesh, arena *scratch);
/* Fills what of the state is the band's, up to depth but for surfaces. */
void raster_visible_band(const raster_faces *faces, size_t band);
/* Both, for all bands. */
bool raster_visible(raster_state *state, const raster_mesh *mesh, arena *scratch);

/* ---- surface.c ---- */
/* 1 / twice the area of a face on the screen, from its corners; 0 for faces thinner than 1/32
 * pixel, whose barycentrics 1/256 pixel outside are off by an eighth and more. */
static inline real raster_inverse_area(const real x[3], const real y[3])
{
    const real thin = (real)1 / 32;
    real area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0]), longest = 0;
    for (int k = 0; k < 3; k++) {
        real dx = x[(k + 1) % 3] - x[k], dy = y[(k + 1) % 3] - y[k];
        real square = dx * dx + dy * dy;
        longest = square > longest ? square : longest;
    }
    return area * area > thin * thin * longest ? 1 / area : 0;
}
/* plane, from face, x0 and y0 */
void raster_set_planes(const raster_state *state, const raster_mesh *mesh, raster_slot *slot);
/* The gradient of a slot's planes becomes that of its corners' x, y and 1/w. */
void raster_plane_adjoint(const raster_state *state, const raster_mesh *mesh,
                          const raster_slot *slot, raster_four gradient[3]);
/* Groups of attributes of a slot; textured: those of the texture are not 0. */
void raster_surface_set(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        bool textured, const bool groups[2], const raster_slot *slot,
                        raster_surface *surface);
/* Of a slot: the gradient of its surface's planes, then of its corners. */
typedef union raster_slot_gradient {
    raster_four moments[2][3]; /* as planes */
    struct {
        raster_four places[3];  /* of x, y and 1/w, over the corners */
        raster_four normals[3]; /* of each corner */
    } corner;
} raster_slot_gradient;
/* moments -> corner; without the group of normals theirs is 0 */
void raster_surface_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                            bool textured, const bool groups[2], const raster_slot *slot,
                            raster_slot_gradient *gradient);

/* ---- colour.c ---- */
/* What a view's mode makes of attributes. */
typedef struct raster_shader {
    const raster_state *state;
    const raster_view *view;
    const raster_texture *texture; /* NULL: none, or the mode has no use for it */
    int channels, planes;          /* planes: the channels that differ, 1 or all */
    bool groups[2];                /* of attributes that are needed */
    real light[9];                 /* harmonics: the polynomial */
    real frame[9];                 /* M */
    real least, most;              /* depth: range of 1/w */
} raster_shader;

/* A lookup: where, between which levels, and the colour with its slopes. */
typedef struct raster_lookup {
    real uv[2], level;
    real colour[RASTER_CHANNELS], by_u[RASTER_CHANNELS], by_v[RASTER_CHANNELS];
    real by_level[RASTER_CHANNELS];
} raster_lookup;
/* ... and the gradient of its colour. */
typedef struct raster_texel {
    real uv[2], level, dcolour[RASTER_CHANNELS];
} raster_texel;

/* The pixels of a segment, a column each; a gradient is its variable with d in front. Columns of
 * [begin, end), multiples of RASTER_LANES, that no run covers have values that mean nothing. */
enum { RASTER_COLUMNS = RASTER_SEGMENT + RASTER_LANES }; /* runs are written in whole lanes */
typedef struct raster_columns {
    const raster_run *runs;
    int run_count, begin, end;
    real a[RASTER_ATTRIBUTES][RASTER_COLUMNS], da[RASTER_ATTRIBUTES][RASTER_COLUMNS];
    real inverse_length[RASTER_COLUMNS]; /* of the normal before it becomes a unit vector */
    real inside[RASTER_COLUMNS]; /* 1 where 1/w is that of the plane, 0 where it is limited */
    real albedo[RASTER_CHANNELS][RASTER_COLUMNS];
    real out[RASTER_CHANNELS][RASTER_COLUMNS]; /* planes of the colour; adjoint: of its gradient */
    raster_lookup lookup[RASTER_SEGMENT];
    raster_texel *texels; /* adjoint: where that of the next covered column goes, or NULL */
} raster_columns;

void raster_shader_init(raster_shader *shader, const raster_state *state, const raster_view *view);
/* RASTER_DEPTH: once state has nearest and farthest. */
void raster_shader_set_range(raster_shader *shader);
/* a -> out. Not for RASTER_DEPTH, whose picture is made of state->depth. */
void raster_colour(const raster_shader *shader, raster_columns *c);
/* After the same from a, out being the gradient -> da, texels, += dlight (9; of shader->light; may
 * be NULL) and drange (of least and most). gradients: each slot's moments get what the slopes of uv
 * bring. */
void raster_colour_adjoint(const raster_shader *shader, raster_columns *c,
                           raster_slot_gradient *gradients, real dlight[9], real drange[2]);

/* ---- shade.c ---- */
/* Colours the bands; NULL: out of memory. */
typedef struct raster_shading raster_shading;
raster_shading *raster_shade_begin(raster_state *state, const raster_mesh *mesh,
                                   const real *normals, const raster_view *view, arena *scratch,
                                   real *image);
/* After raster_visible_band. */
void raster_shade_band(const raster_shading *shading, size_t band);
/* After all bands: the picture is complete; of RASTER_DEPTH state's range is found. */
void raster_shade_end(raster_shading *shading, raster_state *state);
/* The gradients of lookups, those of band i in [first[i], first[i + 1]). */
typedef struct raster_texels {
    const raster_texel *texels;
    const uint32_t *first; /* (bands + 1) */
    size_t bands;
} raster_texels;
/* dimage (H,W,C) and dcolours (crossings; raster_blend_adjoint): += dscreen (V,3), dnormals,
 * dlight; texels for raster_texels_adjoint. The last three may be NULL. False: out of memory. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *dimage,
                          const real (*dcolours)[RASTER_CHANNELS], real *dscreen, real *dnormals,
                          raster_texels *texels, real *dlight);

/* ---- plain.c: the same with a plain loop over pixels and faces, for the tests ---- */
bool raster_visible_plain(raster_state *state, const raster_mesh *mesh, arena *scratch);
void raster_shade_plain(const raster_state *state, const raster_mesh *mesh, const real *normals,
                        const raster_view *view, real *image);
/* draw (H,W,C): gradient before blending */
void raster_shade_plain_adjoint(const raster_state *state, const raster_mesh *mesh,
                                const real *normals, const raster_view *view, const real *draw,
                                real *dscreen, real *dnormals, real *dtexels, real *dlight);

/* ---- texture.c ---- */
/* From uv and level, 0 to levels - 1. */
void raster_look_up(const raster_texture *texture, raster_lookup *lookup);
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
/* What may be a silhouette edge or, in a picture of parts, a border between them. NULL: out of
 * memory. */
typedef struct raster_outlines raster_outlines;
raster_outlines *raster_outlines_begin(raster_state *state, const raster_mesh *mesh,
                                       const raster_view *view, arena *scratch);
/* Needs state->facing only: bands may be drawn meanwhile. */
void raster_outlines_find(raster_outlines *outlines);
/* Finds the crossings of those that are seen, and blends them. False: out of memory. */
bool raster_outlines_blend(raster_outlines *outlines, arena *scratch, real *image);
/* dimage (H,W,C) -> += dscreen (V,3), along the edges; dcolours (crossings): the gradients of the
 * colours that were blended, += that of inner, the opposite of outer. */
void raster_blend_adjoint(const raster_state *state, const real *dimage, real *dscreen,
                          real (*dcolours)[RASTER_CHANNELS]);

/* ---- light.c ---- */
/* Harmonics as a polynomial:
 * E(n) / pi = p0 + p1 x + p2 y + p3 z + p4 xy + p5 yz + p6 xz + p7 zz + p8 (xx - yy) */
void raster_light_polynomial(const real light[9], real p[9]);
void raster_light_polynomial_adjoint(const real dp[9], real dlight[9]);
/* d(irradiance / pi) -> += dnormal, dlight */
void raster_irradiance_adjoint(raster_light kind, const real light[9], const real normal[3],
                               real dirradiance, real dnormal[3], real dlight[9]);

#endif

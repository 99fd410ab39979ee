/* SPDX-License-Identifier: Apache-2.0 */
/* Morphable heads: vertices from coefficients, the adjoint, and the surface that others draw.
 *
 *   rest  = template + offsets + sum_k shape_k S_k + sum_k expression_k E_k
 *                    + sum_j sum_r (R_j - I)_r P_jr,  j > 0                   (V,3)
 *   joint = joint_template + sum_k shape_k J_k + sum_k expression_k K_k       (J,3)
 *   v_i   = sum_j w_ij (W_j (rest_i - joint_j) + W_p joint_j + t_p)           linear blend skinning
 *   W_j   = R_root ... R_p R_j,  p the parent, (W_p, t_p) its own transform   (skin.c)
 *   R_j   = rotation by base_pose_j + pose_j
 *
 * FLAME: Li et al., "Learning a model of facial shape and expression from 4D scans", 2017. */
#ifndef HDS_HEAD_H
#define HDS_HEAD_H

#include "base/base.h"
#include "headsds/head.h"

/* All arrays are owned by the model. Basis rows are contiguous so that evaluation streams them. */
struct hds_head_model {
    int references; /* atomic */
    char *name;
    char *path;                            /* as given to load; NULL: the built-in sample head */
    char *uv_template, *mean_texture_path; /* likewise; NULL: not given */
    bool is_flame;                         /* from FLAME's own files */
    size_t vertex_count, face_count, uv_count;
    size_t shape_count, expression_count, joint_count, skin_count;
    size_t texture_width, texture_height;
    real *vertices;               /* (V,3) template, metres */
    real *shape_basis;            /* (S,V,3) displacement at one standard deviation */
    real *expression_basis;       /* (E,V,3) displacement at weight 1 */
    uint32_t *faces;              /* (F,3) */
    float *uvs;                   /* (T,2), v up */
    uint32_t *uv_faces;           /* (F,3) */
    real *joints;                 /* (J,3) at the template */
    real *joint_shape_basis;      /* (S,J,3) */
    real *joint_expression_basis; /* (E,J,3); NULL: expressions move no joints */
    /* (9 (J-1),V,3) displacement by each number of R_j - I, row-major, joint 1 first; or NULL */
    real *pose_basis;
    int32_t *joint_parents; /* (J) -1 at joint 0; else less than the own index */
    /* Skinning, skin_count (K) pairs a vertex, weights sum to 1. */
    uint32_t *skin_joints;   /* (V,K) */
    real *skin_weights;      /* (V,K) */
    char **expression_names; /* (E) */
    char **joint_names;      /* (J) */
    uint8_t *mean_texture;   /* (H,W,3) sRGB, row 0 at v = 1; or NULL */
    size_t part_count;       /* 0: nothing is known of parts */
    char **part_names;       /* (part_count) */
    uint32_t *face_parts;    /* (F) of part_names; or NULL */
    float *base_pose;        /* (J,3) axis-angle, added to every pose; or NULL: zeros */
    /* attribute = measure . shape + offset, in the attribute's own unit */
    size_t attribute_count;   /* 0: nothing can be read from coefficients */
    char **attribute_names;   /* (A) */
    float *attribute_measure; /* (A,S) */
    float *attribute_offset;  /* (A) */
};
typedef struct hds_head_model head_model;

/* Of `count` numbers, NULL being zeros. */
bool head_same_pose(const float *a, const float *b, size_t count);

enum { HEAD_MAX_TEXTURE = 16384 }; /* pixels each way */

/* One head (headsds/head.h). Coefficients are float, all counts are the model's. */
struct hds_head {
    int references; /* atomic */
    head_model *model;
    char *prompt;
    float *shape, *expression, *pose;
    float *offsets;   /* (V,3) metres at rest, or NULL */
    uint8_t *texture; /* (texture_height, texture_width, 3) sRGB or NULL */
    size_t texture_width, texture_height;
    hds_history *history;
    size_t history_count;
    char *record; /* JSON, or NULL */
};

/* The model with a head's offsets, (V,3) or NULL, in its template; all else is shared, and what is
 * new lies in the arena. False: out of memory. */
HDS_NODISCARD bool head_add_offsets(const head_model *m, const float *offsets, arena *memory,
                                    head_model *with);
/* hds_head_model_vertices with offsets, (V,3) or NULL. */
HDS_NODISCARD hds_status head_vertices(const head_model *m, const hds_coefficients *coefficients,
                                       const float *offsets, float *vertices, hds_error *error);
/* A hash of everything that coefficients, offsets and texture of a head of the model mean. */
uint64_t head_model_hash(const head_model *m);
/* Whether coefficients and offsets of the one mean the same of the other. */
bool head_models_agree(const head_model *a, const head_model *b);

/* State that head_skin leaves for its adjoint, of N heads; arrays come from the arena. */
typedef struct head_pose {
    real *rest;       /* (N,V,3) */
    real *joints;     /* (N,J,3) */
    real *rotations;  /* (N,J,9) local */
    real *transforms; /* (N,J,12) world rotation (row-major 3x3), translation, to apply to rest */
} head_pose;

/* N = count heads: shape (N,S), expression (N,E), pose (N,J,3) -> vertices (N,V,3), each the same
 * as alone. Saves state in *saved; NULL: no adjoint will follow. Vertices NULL: only the state.
 * False, with nothing written to the results, when scratch memory runs out; so the adjoint. */
HDS_NODISCARD bool head_skin(const head_model *m, size_t count, const real *shape,
                             const real *expression, const real *pose, arena *scratch,
                             head_pose *saved, real *vertices);
/* dvertices (N,V,3) -> += dshape (N,S), dexpression (N,E), dpose (N,J,3); each may be NULL. */
HDS_NODISCARD bool head_skin_adjoint(const head_model *m, size_t count, const real *shape,
                                     const real *expression, const real *pose, arena *scratch,
                                     const head_pose *saved, const real *dvertices, real *dshape,
                                     real *dexpression, real *dpose);

/* ---- coefficients as the caller gives them (vertices.c) ---- */

/* values (count) -> out (limit), what is missing is 0. Refuses more than limit and, by place, what
 * is not finite. */
HDS_NODISCARD hds_status head_expand(const char *name, const float *values, size_t count,
                                     size_t limit, float *out, hds_error *error);
/* Refuses counts beyond the model's and non-finite numbers by place. The results hold S, E and 3J
 * floats; what the caller leaves out is 0. */
HDS_NODISCARD hds_status head_expand_coefficients(const head_model *m, const hds_coefficients *c,
                                                  float *shape, float *expression, float *pose,
                                                  hds_error *error);

/* ---- surface.c: what is drawn and exported ---- */

/* A head evaluated on its model's own topology. */
typedef struct head_surface {
    size_t vertex_count, target_count;
    float *vertices, *normals; /* (V,3) */
    /* Expression k, with one more unit of its weight: (E,V,3) each. */
    float *target_vertices, *target_normals;
} head_surface;
HDS_NODISCARD hds_status head_surface_init(head_surface *shape, const hds_head *head,
                                           bool with_targets, hds_error *error);
void head_surface_finish(head_surface *shape);

/* One vertex for each pair of a vertex and a uv that meet in a corner. The model's vertices keep
 * their numbers, what a seam adds comes after them. */
typedef struct head_seams {
    size_t count;
    uint32_t *vertices; /* (count) the model's vertex */
    uint32_t *uvs;      /* (count) the model's uv, or NULL without a UV layout */
    uint32_t *faces;    /* (F,3) indices of the above */
} head_seams;
HDS_NODISCARD hds_status head_seams_init(head_seams *split, const hds_head_model_info *model,
                                         hds_error *error);
void head_seams_finish(head_seams *split);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A morphable head: blend shapes, joints and skinning over a fixed topology.
 *
 * Metres, y up, right-handed, the face looks to +z, so the head's own left is +x.
 * Handles are immutable and may be shared between threads. */
#ifndef HEADSDS_HEAD_MODEL_H
#define HEADSDS_HEAD_MODEL_H

#include "headsds/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_head_model hds_head_model;

typedef struct hds_head_model_params {
    const char *path;         /* NULL: the built-in sample head. Else a headsds .npz file, a FLAME
                                 .pkl or .npz file, a HIFI3D or HIFI3D++ .mat file, or the
                                 folder of an ICT-FaceKit (FaceXModel) or of MakeHuman (mpfb2) */
    int shape_count;          /* keep at most so many shape components; 0: all */
    int expression_count;     /* likewise */
    const char *uv_template;  /* FLAME's UVs: an .obj with its faces and texture coordinates; NULL:
                                 head_template.obj beside it, or none. Others have their own */
    const char *mean_texture; /* any model with UVs: a .png, row 0 at v = 1; FLAME: also
                                 FLAME_texture.npz, which NULL looks for beside it */
    const float
        *base_pose;         /* what a pose of zero stands for: axis-angle rotations (J,3) in
                               radians that are added to every pose; NULL: the file's own, or none */
    size_t base_pose_count; /* numbers, at most 3 for each joint; what is missing is zero */
    bool average_pose;      /* instead, for FLAME, whose template looks up: the pitch of joint 0 at
                               which forehead and chin are above each other, as in a portrait */
} hds_head_model_params;

/* params: NULL for the defaults. On success *model is new; release it with hds_head_model_unref. */
HDS_API HDS_NODISCARD hds_status hds_head_model_load(hds_head_model **model,
                                                     const hds_head_model_params *params,
                                                     hds_error *error);
/* Writes a model of whatever origin as a headsds .npz file (docs/head-format.md), numbers as f4:
 * loaded again, it gives the same vertices to the last bit. The file is there whole or not at all.
 */
HDS_API HDS_NODISCARD hds_status hds_head_model_save(const hds_head_model *model, const char *path,
                                                     hds_error *error);
HDS_API hds_head_model *hds_head_model_ref(hds_head_model *model);
HDS_API void hds_head_model_unref(hds_head_model *model); /* NULL is fine */

/* What a model is made of; every pointer is borrowed and lives as long as the model. */
typedef struct hds_head_model_info {
    const char *name;
    size_t vertex_count, face_count, uv_count;
    size_t shape_count, expression_count, joint_count;
    const uint32_t *faces;               /* (face_count, 3) indices of vertices, counter-clockwise
                                            outside */
    const float *uvs;                    /* (uv_count, 2), v up; NULL without a UV layout */
    const uint32_t *uv_faces;            /* (face_count, 3) indices of uvs */
    const char *const *expression_names; /* (expression_count) */
    const char *const *joint_names;      /* (joint_count); joint 0 turns the whole head */
    const uint8_t *mean_texture;         /* (texture_height, texture_width, 3) sRGB, row 0 at v = 1;
                                            or NULL */
    size_t texture_width, texture_height;
    size_t part_count;             /* eyeballs, teeth ...; 0: the model does not say */
    const char *const *part_names; /* (part_count) */
    const uint32_t *face_parts;    /* (face_count) the part that each face belongs to; or NULL */
    const float *base_pose;        /* (joint_count, 3) added to every pose; or NULL: zeros */
    size_t attribute_count;        /* what hds_head_model_measure reads; 0: nothing */
    const char *const *attribute_names; /* (attribute_count) "age", ... */
} hds_head_model_info;
HDS_API void hds_head_model_get_info(const hds_head_model *model, hds_head_model_info *info);

/* Vertices (vertex_count, 3) for coefficients in units of standard deviations (shape), weights
 * (expression) and axis-angle rotations in radians, (joint_count, 3) (pose). Each may be NULL for
 * zeros; its count must then be 0, and otherwise at most the model's: what is missing is zero.
 * pose_count counts numbers, 3 for each joint. Non-finite coefficients are refused by place. */
typedef struct hds_coefficients {
    const float *shape;
    size_t shape_count;
    const float *expression;
    size_t expression_count;
    const float *pose;
    size_t pose_count;
} hds_coefficients;
HDS_API HDS_NODISCARD hds_status hds_head_model_vertices(const hds_head_model *model,
                                                         const hds_coefficients *coefficients,
                                                         float *vertices, hds_error *error);

/* The same of several heads, which costs less a head than a call for each: coefficients[count] ->
 * vertices (count, vertex_count, 3), to the last byte what each is alone. */
HDS_API HDS_NODISCARD hds_status hds_head_model_vertices_batch(const hds_head_model *model,
                                                               const hds_coefficients *coefficients,
                                                               size_t count, float *vertices,
                                                               hds_error *error);

/* The gradient of sum(dvertices * vertices) with respect to the coefficients of `count` heads, of
 * all the model has: dvertices (count, vertex_count, 3), the gradient is added to gradients[count],
 * whose arrays have shape_count, expression_count and 3 joint_count numbers. One that is NULL is
 * left out; heads that share one add up in it. */
typedef struct hds_gradients {
    float *shape, *expression, *pose;
} hds_gradients;
HDS_API HDS_NODISCARD hds_status hds_head_model_vertices_adjoint(
    const hds_head_model *model, const hds_coefficients *coefficients, size_t count,
    const float *dvertices, const hds_gradients *gradients, hds_error *error);

/* What shape coefficients make of a head, as the population that the model was made from had it:
 * attributes (attribute_count), each a linear function of them in its own unit. What is missing of
 * `shape` is zero. */
HDS_API HDS_NODISCARD hds_status hds_head_model_measure(const hds_head_model *model,
                                                        const float *shape, size_t shape_count,
                                                        float *attributes, hds_error *error);

/* A mesh of polygons. */
typedef struct hds_polygons {
    size_t vertex_count, polygon_count;
    const uint32_t *sizes;   /* (polygon_count) corners of each */
    const uint32_t *corners; /* (sum of sizes) their vertices in a row */
    const float *vertices;   /* (vertex_count, 3) in any unit and axes, or NULL */
} hds_polygons;
/* order (vertex_count) is set: for each vertex of a mesh with the model's topology the model's. The
 * triangles must be the model's once polygons are split, in any order; where connections leave a
 * choice, as between two eyeballs, vertices decide. HDS_ERROR_ARGUMENT says what differs first. */
HDS_API HDS_NODISCARD hds_status hds_head_model_match(const hds_head_model *model,
                                                      const hds_polygons *mesh, uint32_t *order,
                                                      hds_error *error);

/* A mesh of the model's topology taken apart: where it lies, what the model explains of it, and
 * what is left, a sculptor's work. With head = vertices of shape and expression at the template's
 * own rest, where not even the base pose turns a joint (pose = -base_pose),
 *   mesh_i = scale rotation (head_i + offsets_i) + translation
 * to float precision; a similarity as Umeyama's (1991). Coefficients have a standard-normal prior:
 * one standard deviation costs as much as a residual of 0.05 mm, root mean square. */
typedef struct hds_fit_params {
    const float *vertices; /* (vertex_count, 3) of the mesh in the model's order, any unit and axes,
                              not mirrored */
    size_t vertex_count;   /* the model's */
    bool expression;       /* fit expressions too; else they are zeros */
} hds_fit_params;
typedef struct hds_fit {
    float *shape, *expression; /* the caller's, for the model's counts */
    float *offsets;            /* the caller's, (vertex_count, 3) metres at rest */
    float rotation[9], scale, translation[3];
    float rms; /* root mean square length of the offsets */
} hds_fit;
/* HDS_ERROR_ARGUMENT: another count, numbers that are not finite, vertices on one line, a mirrored
 * mesh. */
HDS_API HDS_NODISCARD hds_status hds_head_model_fit(const hds_head_model *model,
                                                    const hds_fit_params *params, hds_fit *fit,
                                                    hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

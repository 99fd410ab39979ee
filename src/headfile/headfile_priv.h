/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the head room share: what loaders have in common, and the OBJ reader. */
#ifndef HDS_HEADFILE_PRIV_H
#define HDS_HEADFILE_PRIV_H

#include "headfile/headfile.h"
#include "io/io.h"

/* ---- source.c ---- */

/* A file or folder that becomes a model; a folder is none of the open ones. */
typedef struct headfile_source {
    const char *path;
    hds_error *error;
    hds_status status;    /* the first failure; later reads do nothing */
    head_model *model;    /* under construction */
    io_npz *npz;          /* an open .npz, of which arrays are read when they are taken */
    const io_value *root; /* or what a pickle holds */
    const io_mat *mat;    /* or an open .mat */
} headfile_source;

/* s->model: empty but for its path and, if not NULL, its name. */
void headfile_begin(headfile_source *s, const char *name);
/* The end of every loader: a model without joints gets its root, all is validated, and *model is
 * s->model; after a failure, NULL. */
HDS_NODISCARD hds_status headfile_complete(headfile_source *s, head_model **model /* new */);

/* The first failure is kept: "model.npz: faces: no memory for it". */
void headfile_fail(headfile_source *s, hds_status status, const char *name, const char *what);
void headfile_fail_memory(headfile_source *s, const char *name);
/* That number i, C order, of an array of this shape is not what is expected there. */
void headfile_fail_number(headfile_source *s, const char *name, int dims, const int64_t *shape,
                          size_t i, double found, const char *expected);
HDS_NODISCARD hds_status headfile_raise_number(const char *path, const char *name, int dims,
                                               const int64_t *shape, size_t i, double found,
                                               const char *expected, hds_error *error);

enum { HEADFILE_ANY = -1 }; /* an extent that the array itself decides */
/* "(any,5023,3)" */
void headfile_format_shape(char *text, size_t size, int dims, const int64_t *shape);
/* HEADFILE_ANY: at least `least`. */
HDS_NODISCARD hds_status headfile_check_shape(const io_array *array, const char *name, int dims,
                                              const int64_t *shape, int64_t least, const char *path,
                                              hds_error *error);
/* That an array holds numbers in this shape; HEADFILE_ANY: at least one. */
HDS_NODISCARD hds_status headfile_check_array(const io_array *array, const char *name, int dims,
                                              const int64_t *shape, const char *path,
                                              hds_error *error);

bool headfile_is_index(double number, double limit); /* whole, from 0 to below the limit */
/* numbers (F,3), shape[0] = F, all below the limit; new. */
uint32_t *headfile_take_faces(headfile_source *s, const char *name, const double *numbers,
                              const int64_t *shape, size_t limit, const char *expected);
/* "expression_000" ... for the `count` expressions of the array `name`. */
void headfile_number_expressions(headfile_source *s, const char *name, size_t count);
/* weights (V,J) -> skin_count, skin_joints, skin_weights. Refuses, by their `name` in the file,
 * those that are negative or do not add up to 1. */
HDS_NODISCARD hds_status headfile_pack_weights(head_model *m, const real *weights, const char *path,
                                               const char *name, hds_error *error);

/* ---- appearance.c ---- */

/* UVs and mean texture from the named files (NULL: not named), or from those beside FLAME's. */
HDS_NODISCARD hds_status headfile_take_appearance(head_model *m, const char *uv_template,
                                                  const char *mean_texture, hds_error *error);

/* ---- udim.c ---- */

/* Where a face has a UV outside of [0,1]: the tiles of each part get a square of [0,1] of their
 * own. A model with too many stays as it is. */
HDS_NODISCARD hds_status headfile_pack_udims(head_model *m, const char *path, hds_error *error);

/* ---- flame.c ---- */

/* Of an open pickle or .npz. */
HDS_NODISCARD hds_status headfile_from_flame(head_model **model, headfile_source *s);

/* ---- obj.c ---- */

typedef enum headfile_obj_parts { HEADFILE_OBJ_ALL, HEADFILE_OBJ_POSITIONS } headfile_obj_parts;
typedef struct headfile_obj {
    size_t vertex_count, uv_count, face_count;
    double *vertices;   /* (V,3) as in the file */
    float *uvs;         /* (T,2) */
    uint32_t *faces;    /* (F,3) polygons split as fans */
    uint32_t *uv_faces; /* (F,3), or NULL when no face has texture coordinates */
    /* Names of materials (usemtl) or, in a file without them, of groups (g), in the order in which
     * faces use them; NULL when there is neither. Faces before the first are of "default". */
    size_t part_count;
    char **part_names;
    uint32_t *face_parts; /* (F), or NULL */
} headfile_obj;
/* Reads v, vt, f, usemtl and g lines; errors name path and line. */
HDS_NODISCARD hds_status headfile_obj_read(headfile_obj *obj, const char *path,
                                           headfile_obj_parts parts, hds_error *error);
/* Its texture coordinates move to the model. */
void headfile_obj_give_uvs(headfile_obj *obj, head_model *m);
void headfile_obj_finish(headfile_obj *obj);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* MakeHuman's data as a head model: the head of the base mesh, its targets, and a population. */
#ifndef HDS_MAKEHUMAN_PRIV_H
#define HDS_MAKEHUMAN_PRIV_H

#include "headfile_priv.h"

enum {
    MAKEHUMAN_NECK,
    MAKEHUMAN_HEAD,
    MAKEHUMAN_JAW,
    MAKEHUMAN_EYE_LEFT,
    MAKEHUMAN_EYE_RIGHT,
    MAKEHUMAN_JOINTS
};

/* ---- makehuman_mesh.c: which part of the body's mesh is the head ---- */

typedef struct makehuman_mesh {
    headfile_obj body;               /* 3dobjs/base.obj: decimetres, quads as pairs of triangles */
    size_t vertex_count, face_count; /* of the head, without the joints */
    uint32_t *vertices;              /* (vertex_count) in the body's mesh */
    uint32_t *faces;                 /* (face_count) in the body's mesh */
    uint32_t *face_parts;            /* (face_count) of makehuman_part_names */
    int32_t *numbers;                /* (the body's vertices) in the head's mesh; -1: none */
    int32_t *cubes; /* (the body's vertices) the joint whose cube they are corners of; -1: none */
    size_t cube_sizes[MAKEHUMAN_JOINTS];
    size_t row; /* numbers of a row: 3 for each vertex, then 3 for each joint */
} makehuman_mesh;
enum { MAKEHUMAN_PARTS = 8 };
extern const char *const makehuman_part_names[MAKEHUMAN_PARTS];
HDS_NODISCARD hds_status makehuman_mesh_read(makehuman_mesh *mesh, const char *folder,
                                             hds_error *error);
void makehuman_mesh_finish(makehuman_mesh *mesh);
/* What the body's vertex is or moves by, decimetres -> += row, metres. */
void makehuman_mesh_add(const makehuman_mesh *mesh, size_t vertex, const double numbers[3],
                        float *row);
/* The head joint of a row comes to the origin. */
void makehuman_mesh_align(const makehuman_mesh *mesh, float *row);

/* ---- makehuman_targets.c: the files in which vertices move ---- */

typedef struct makehuman_target {
    char *path;
    float *row; /* metres, aligned */
    hds_status status;
    hds_error error;
} makehuman_target;
typedef struct makehuman_targets {
    size_t count, room;
    makehuman_target *targets;
    float *rows; /* (count, the mesh's row) */
} makehuman_targets;
/* Appends folder/name.target or folder/name.target.gz. */
HDS_NODISCARD hds_status makehuman_targets_add(makehuman_targets *t, const char *folder,
                                               const char *name, hds_error *error);
/* Appends all of a folder, by name; without the folder none. */
HDS_NODISCARD hds_status makehuman_targets_add_all(makehuman_targets *t, const char *folder,
                                                   hds_error *error);
/* name of .../name.target.gz, new; NULL: out of memory. */
char *makehuman_target_name(const makehuman_target *target);
HDS_NODISCARD hds_status makehuman_targets_read(makehuman_targets *t, const makehuman_mesh *mesh,
                                                const char *folder, hds_error *error);
void makehuman_targets_finish(makehuman_targets *t);

/* ---- makehuman_people.c: heads as weights of targets, and a population of them ---- */

/* Weights beside the macro targets: -1 to 1, by one target each way, on each side. */
typedef struct makehuman_modifier {
    char *name;
    int32_t ends[2][2]; /* left or unsided, right; below 0, above 0: a target's number, or -1 */
    double deviation;
} makehuman_modifier;
typedef struct makehuman_people {
    makehuman_targets targets; /* macro targets first */
    makehuman_modifier *modifiers;
    size_t modifier_count;
    size_t attribute_count; /* the fixed ones and the modifiers */
} makehuman_people;
/* Lists the targets; they are not read yet. */
HDS_NODISCARD hds_status makehuman_people_list(makehuman_people *p, const char *folder,
                                               hds_error *error);
/* Of targets that were read: template, shape components, what they do to joints, and what can be
 * measured, into the model. */
HDS_NODISCARD hds_status makehuman_people_sample(const makehuman_people *p,
                                                 const makehuman_mesh *mesh, head_model *m,
                                                 const char *folder, hds_error *error);
void makehuman_people_finish(makehuman_people *p);

#endif

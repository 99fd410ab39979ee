/* SPDX-License-Identifier: Apache-2.0 */
/* Heads out of headsds and back: pictures for people, glTF and Wavefront files, and .headsds.
 *
 * The public half is in headsds/head.h; what is here is shared by the files of the room. */
#ifndef HDS_SCENE_H
#define HDS_SCENE_H

#include "head/head.h"
#include "raster/raster.h"

/* ---- shape.c ---- */

/* A head evaluated on its model's own topology. */
typedef struct scene_shape {
    size_t vertex_count, target_count;
    float *vertices, *normals; /* (V,3) */
    /* Expression k, with one more unit of its weight: (E,V,3) each. */
    float *target_vertices, *target_normals;
} scene_shape;
HDS_NODISCARD hds_status scene_shape_init(scene_shape *shape, const hds_head *head,
                                          bool with_targets, hds_error *error);
void scene_shape_finish(scene_shape *shape);

/* One vertex for each pair of a vertex and a uv that meet in a corner. The model's vertices keep
 * their numbers, what a seam adds comes after them. */
typedef struct scene_split {
    size_t count;
    uint32_t *vertices; /* (count) the model's vertex */
    uint32_t *uvs;      /* (count) the model's uv, or NULL without a UV layout */
    uint32_t *faces;    /* (F,3) indices of the above */
} scene_split;
HDS_NODISCARD hds_status scene_split_init(scene_split *split, const hds_head_model_info *model,
                                          hds_error *error);
void scene_split_finish(scene_split *split);

/* ---- camera.c ---- */

/* Checks `count` cameras and fills in what they leave to the model. */
HDS_NODISCARD hds_status scene_cameras(const hds_head_model *model, const hds_camera *cameras,
                                       size_t count, raster_camera *out, hds_error *error);

/* ---- files.c ---- */

/* Files that belong together: all are written beside their places before the first is renamed. */
enum { SCENE_MAX_FILES = 4 };
typedef struct scene_files {
    size_t count;
    char *paths[SCENE_MAX_FILES], *temporaries[SCENE_MAX_FILES];
} scene_files;
HDS_NODISCARD hds_status scene_files_add(scene_files *files, const char *path, const void *bytes,
                                         size_t size, hds_error *error);
/* Renames in the order of adding. */
HDS_NODISCARD hds_status scene_files_commit(scene_files *files, hds_error *error);
void scene_files_finish(scene_files *files); /* removes what was not committed */

/* The path with its ending replaced: "a/b.gltf", ".bin" -> "a/b.bin". NULL: out of memory. */
char *scene_with_ending(const char *path, const char *ending); /* new */
const char *scene_base_name(const char *path);                 /* borrowed from path */
/* The head's prompt, or its model's name without one: one line, at most 63 bytes of UTF-8. */
void scene_head_name(const hds_head *head, char name[64]);

/* ---- gltf.c, obj.c, state.c: by the ending of the path ---- */
HDS_NODISCARD hds_status scene_save_gltf(const hds_head *head, const char *path, bool binary,
                                         hds_error *error);
HDS_NODISCARD hds_status scene_save_obj(const hds_head *head, const char *path, hds_error *error);
HDS_NODISCARD hds_status scene_save_state(const hds_head *head, const char *path, hds_error *error);

#endif

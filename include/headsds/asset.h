/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as files, for other tools and for headsds itself. */
#ifndef HEADSDS_ASSET_H
#define HEADSDS_ASSET_H

#include "headsds/head.h"

#ifdef __cplusplus
extern "C" {
#endif

/* By the ending: .glb and .gltf (mesh, expressions as morph targets, texture), .obj (with .mtl and
 * .png, in whose names blanks are "_"), .headsds (everything, exact). Replaces the file only when
 * all is written. */
HDS_API HDS_NODISCARD hds_status hds_head_save(const hds_head *head, const char *path,
                                               hds_error *error);
/* Reads a .headsds file. model: NULL loads the model that the file names. */
HDS_API HDS_NODISCARD hds_status hds_head_load(hds_head **head, const char *path,
                                               hds_head_model *model, hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

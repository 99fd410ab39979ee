/* SPDX-License-Identifier: Apache-2.0 */
/* Heads out of headsds and back: glTF and Wavefront files, and .headsds.
 *
 * The public half is in headsds/asset.h; what is here is shared by the files of the module. */
#ifndef HDS_ASSET_H
#define HDS_ASSET_H

#include "head/head.h"
#include "headsds/asset.h"

/* The head's prompt, or its model's name without one: one line, at most 63 bytes of UTF-8. */
void asset_head_name(const hds_head *head, char name[64]);

/* ---- gltf.c, obj.c, state.c: by the ending of the path ---- */
HDS_NODISCARD hds_status asset_save_gltf(const hds_head *head, const char *path, bool binary,
                                         hds_error *error);
HDS_NODISCARD hds_status asset_save_obj(const hds_head *head, const char *path, hds_error *error);
HDS_NODISCARD hds_status asset_save_headsds(const hds_head *head, const char *path,
                                            hds_error *error);

#endif

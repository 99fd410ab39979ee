/* SPDX-License-Identifier: Apache-2.0 */
/* The one thing of assimp that C cannot reach: export settings. */
#ifndef HDS_SCENE_EXPORT_H
#define HDS_SCENE_EXPORT_H

#include <assimp/cexport.h>
#include <assimp/scene.h>

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Exports to memory with morph names and morph normals; NULL on failure, with assimp's own message.
 * Blobs after the first are named stem and ending. Release with aiReleaseExportBlob. */
const struct aiExportDataBlob *scene_export(const struct aiScene *scene, const char *format,
                                            const char *stem, char *message, size_t message_size);

#ifdef __cplusplus
}
#endif

#endif

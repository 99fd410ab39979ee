/* SPDX-License-Identifier: Apache-2.0 */
/* Saves a head in the format that the ending of the path names. */
#include "asset/asset.h"
#include "io/io.h"

#include <string.h>
#include <strings.h>

hds_status hds_head_save(const hds_head *head, const char *path, hds_error *error)
{
    if (!head || !path || !path[0])
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head and a path are needed to save");
    const char *dot = strrchr(io_base_name(path), '.');
    const char *ending = dot && dot != io_base_name(path) ? dot : "";
    if (strcasecmp(ending, ".glb") == 0 || strcasecmp(ending, ".gltf") == 0)
        return asset_save_gltf(head, path, strcasecmp(ending, ".glb") == 0, error);
    if (strcasecmp(ending, ".obj") == 0)
        return asset_save_obj(head, path, error);
    if (strcasecmp(ending, ".headsds") == 0)
        return asset_save_headsds(head, path, error);
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "%s: ending '%s', expected .glb, .gltf, .obj or .headsds", path, ending);
}

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

void asset_head_name(const hds_head *head, char name[64])
{
    hds_head_info info;
    hds_head_model_info model;
    hds_head_get_info(head, &info);
    hds_head_model_get_info(info.model, &model);
    const char *source = info.prompt[0] ? info.prompt : model.name;
    size_t length = strlen(source);
    if (length > 63) {
        length = 63;
        while (length && ((unsigned char)source[length] & 0xC0) == 0x80)
            length--; /* a character of several bytes is left out whole */
    }
    for (size_t i = 0; i < length; i++)
        name[i] = (unsigned char)source[i] < 0x20 ? ' ' : source[i];
    name[length] = 0;
}

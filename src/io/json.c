/* SPDX-License-Identifier: Apache-2.0 */
/* JSON files through Jansson, with errors that name the file and the line. */
#include "io_priv.h"

#include <stdlib.h>
#include <string.h>

hds_status io_json_load(json_t **json, const char *path, hds_error *error)
{
    io_map map;
    *json = NULL;
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    json_error_t place;
    const char *text = map.size ? (const char *)map.bytes : "";
    *json = json_loadb(text, map.size, JSON_REJECT_DUPLICATES, &place);
    io_kind kind = io_kind_of(map.bytes, map.size);
    if (!*json && map.size && kind.name && kind.format != IO_FORMAT_JSON)
        status = io_raise_kind(error, path, map.bytes, map.size, "JSON");
    else if (!*json)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: line %d, column %d: %s; expected JSON",
                           path, place.line, place.column, place.text);
    io_map_close(&map);
    return status;
}

hds_status io_json_save(const json_t *json, const char *path, hds_error *error)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory writing JSON", path);
    struct iovec pieces[] = { { text, strlen(text) }, { (char[]){ '\n' }, 1 } };
    hds_status status = io_write_pieces(path, pieces, 2, error);
    free(text);
    return status;
}

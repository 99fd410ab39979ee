/* SPDX-License-Identifier: Apache-2.0 */
/* Named tensors in a file, whichever way it holds them: told apart by how the file begins. */
#include "io_priv.h"

#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    const io_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* safetensors have no signature: their header length, then the brace of the header. */
static bool is_zip(const io_map *map)
{
    return map->size > 8 && !memcmp(map->bytes, "PK\3\4", 4) && map->bytes[8] != '{';
}

static hds_status open_safetensors(io_tensors *file, const char *path, hds_error *error)
{
    io_safetensors safe;
    hds_status status = io_safetensors_open(&safe, path, error);
    *file = (io_tensors){
        .map = safe.map, .tensors = safe.tensors, .count = safe.count, .metadata = safe.metadata
    };
    return status;
}

static hds_status open_checkpoint(io_tensors *file, bool zip, const char *path, hds_error *error)
{
    hds_status status = zip ? io_checkpoint_read_zip(file, path, error)
                            : io_checkpoint_read_legacy(file, path, error);
    if (status)
        return status;
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->count && !status; i++)
        if (!by_name(&file->tensors[i - 1], &file->tensors[i]))
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: there twice", path,
                               file->tensors[i].name);
    return status;
}

hds_status io_tensors_open(io_tensors *file, const char *path, hds_error *error)
{
    *file = (io_tensors){ 0 };
    hds_status status = io_map_open(&file->map, path, error);
    if (status)
        return status;
    const io_map *map = &file->map;
    bool zip = is_zip(map), legacy = io_checkpoint_is_legacy(map);
    io_kind kind = io_kind_of(map->bytes, map->size);
    if (map->size && kind.name && kind.format == IO_FORMAT_OTHER)
        status = io_raise_kind(error, path, map->bytes, map->size,
                               "a safetensors file or a torch checkpoint");
    else if (zip || legacy)
        status = open_checkpoint(file, zip, path, error);
    else if (map->size > 8 && map->bytes[0] == 0x80 && map->bytes[1] <= 5 && map->bytes[8] != '{')
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: is a pickle but no torch checkpoint; expected what torch.save or "
                           "safetensors wrote",
                           path);
    else {
        io_map_close(&file->map);
        status = open_safetensors(file, path, error);
    }
    if (status)
        io_tensors_close(file);
    return status;
}

void io_tensors_close(io_tensors *file)
{
    for (size_t i = 0; file->tensors && i < file->count; i++)
        hds_free((void *)(uintptr_t)file->tensors[i].name);
    for (size_t i = 0; i < file->copy_count; i++)
        hds_free(file->copies[i]);
    hds_free(file->copies);
    hds_free(file->tensors);
    json_decref(file->metadata);
    io_map_close(&file->map);
    *file = (io_tensors){ 0 };
}

const io_tensor *io_tensors_find(const io_tensors *file, const char *name)
{
    io_tensor key = { .name = name };
    return file->count ? bsearch(&key, file->tensors, file->count, sizeof key, by_name) : NULL;
}

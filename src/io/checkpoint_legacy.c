/* SPDX-License-Identifier: Apache-2.0 */
/* torch checkpoints before 1.6: five pickles in a row, then the storages.
 *
 *     a magic number, 1001, {'little_endian': True, ...}, what was saved, [key, ...]
 *     for each key in that order: number of elements (int64), the elements
 *
 * How wide an element is stands in the persistent ids of what was saved. */
#include "io_priv.h"

#include <string.h>

enum { VERSION = 1001, MAGIC_AT = 4, KEY = 2, COUNT_SIZE = 8 };
/* 0x1950a86a20f9469cfc6c, as the LONG1 that it is pickled as */
static const unsigned char magic[] = { 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19 };

bool io_checkpoint_is_legacy(const io_map *map)
{
    return map->size > MAGIC_AT + sizeof magic && map->bytes[0] == 0x80 &&
           !memcmp(map->bytes + MAGIC_AT, magic, sizeof magic);
}

/* Reads the next pickle at *at. */
static hds_status next(io_pickle *pickle, const io_map *map, size_t *at, const char *path,
                       hds_error *error)
{
    hds_status status = io_pickle_parse(pickle, map->bytes + *at, map->size - *at,
                                        io_checkpoint_globals, path, error);
    *at += pickle->used;
    return status;
}

/* The three pickles before what was saved. */
static hds_status read_heads(const io_map *map, size_t *at, const char *path, hds_error *error)
{
    io_pickle pickle;
    hds_status status = next(&pickle, map, at, path, error); /* the magic number */
    if (status)
        return status;
    io_pickle_close(&pickle);
    status = next(&pickle, map, at, path, error);
    int64_t version = 0;
    if (!status && (!io_value_integer(pickle.root, &version) || version != VERSION))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: torch's format before 1.6: version %lld, expected %d", path,
                           (long long)version, VERSION);
    io_pickle_close(&pickle);
    if (!status)
        status = next(&pickle, map, at, path, error);
    const io_value *little = status ? NULL : io_value_get(pickle.root, "little_endian");
    if (!status && (!little || little->kind != IO_VALUE_BOOL || !little->truth))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: is big-endian; save it again on a little-endian machine", path);
    io_pickle_close(&pickle);
    return status;
}

static bool is_name(const io_value *value)
{
    return value->kind == IO_VALUE_TEXT || value->kind == IO_VALUE_BYTES;
}

/* A member for each persistent id that names a storage; its size is that of one element. */
static hds_status list_widths(io_archive *widths, const io_value *persistent, const char *path,
                              hds_error *error)
{
    widths->members = hds_alloc(persistent->count, sizeof *widths->members);
    if (!widths->members)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < persistent->count; i++) {
        const io_value *id = persistent->items[i]->arguments;
        io_dtype dtype;
        if (id->kind == IO_VALUE_TUPLE && id->count > KEY && is_name(id->items[KEY]) &&
            io_checkpoint_dtype(id->items[KEY - 1], &dtype))
            widths->members[widths->count++] = (io_member){ .name = id->items[KEY]->bytes,
                                                            .length = id->items[KEY]->count,
                                                            .size = io_dtype_size(dtype) };
    }
    io_archive_sort(widths);
    return HDS_OK;
}

static hds_status list_storages(io_archive *storages, const io_archive *widths,
                                const io_value *keys, const io_map *map, size_t at,
                                const char *path, hds_error *error)
{
    if (keys->kind != IO_VALUE_LIST)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: expected a list of storages", path);
    storages->members = hds_alloc(keys->count, sizeof *storages->members);
    if (!storages->members)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < keys->count; i++) {
        const io_value *key = keys->items[i];
        const io_member *width =
            is_name(key) ? io_archive_find(widths, key->bytes, key->count) : NULL;
        if (!width)
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: storage %zu belongs to no tensor", path,
                             i);
        uint64_t count = UINT64_MAX;
        if (map->size - at >= COUNT_SIZE) {
            memcpy(&count, map->bytes + at, COUNT_SIZE);
            at += COUNT_SIZE;
        }
        if (count > (map->size - at) / width->size)
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: storage %s at byte %zu reaches out of the file; it may be cut "
                             "short: fetch it again",
                             path, io_print(key->bytes, key->count).text, at);
        storages->members[storages->count++] = (io_member){ .name = width->name,
                                                            .length = width->length,
                                                            .bytes = map->bytes + at,
                                                            .size = count * width->size };
        at += count * width->size;
    }
    io_archive_sort(storages);
    return HDS_OK;
}

hds_status io_checkpoint_read_legacy(io_tensors *file, const char *path, hds_error *error)
{
    io_pickle saved = { 0 }, keys = { 0 };
    io_archive widths = { 0 }, storages = { 0 };
    size_t at = 0;
    hds_status status = read_heads(&file->map, &at, path, error);
    if (!status)
        status = next(&saved, &file->map, &at, path, error);
    if (!status)
        status = next(&keys, &file->map, &at, path, error);
    if (!status)
        status = list_widths(&widths, saved.persistent, path, error);
    if (!status)
        status = list_storages(&storages, &widths, keys.root, &file->map, at, path, error);
    if (!status)
        status = io_checkpoint_tensors(file, saved.root, &storages, path, error);
    io_archive_close(&storages);
    io_archive_close(&widths);
    io_pickle_close(&keys);
    io_pickle_close(&saved);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where the members of a zip archive lie, so that those which are stored unpacked can be used in
 * place: the end record, its 64-bit form, the central directory, and each member's local header,
 * whose name and extra field the data follow (APPNOTE.TXT 4.3). */
#include "io_priv.h"

#include <stdlib.h>
#include <string.h>

enum {
    END_SIZE = 22,
    END64_SIZE = 56,
    LOCATOR_SIZE = 20,
    ENTRY_SIZE = 46,
    LOCAL_SIZE = 30,
    LONGEST_COMMENT = 0xffff,
    ENCRYPTED = 1
};

/* The end record: the last place with its signature whose comment reaches to the end. */
static const unsigned char *find_end(const io_map *map)
{
    size_t last = map->size < END_SIZE ? 0 : map->size - END_SIZE;
    size_t first = last > LONGEST_COMMENT ? last - LONGEST_COMMENT : 0;
    for (size_t i = last + 1; map->size >= END_SIZE && i-- > first;) {
        const unsigned char *at = map->bytes + i;
        if (!memcmp(at, "PK\5\6", 4) && io_little(at + 20, 2) == map->size - END_SIZE - i)
            return at;
    }
    return NULL;
}

bool io_archive_has_end(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    size_t last = size < END_SIZE ? 0 : size - END_SIZE;
    size_t first = last > LONGEST_COMMENT ? last - LONGEST_COMMENT : 0;
    return size >= END_SIZE && memmem(at + first, last - first + 4, "PK\5\6", 4);
}

static hds_status find_directory(const io_map *map, uint64_t *offset, uint64_t *size,
                                 uint64_t *count, const char *path, hds_error *error)
{
    const unsigned char *end = find_end(map);
    if (!end)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: zip archive without an end record; it may be cut short: fetch it "
                         "again",
                         path);
    *count = io_little(end + 10, 2);
    *size = io_little(end + 12, 4);
    *offset = io_little(end + 16, 4);
    size_t before = (size_t)(end - map->bytes);
    if (before >= LOCATOR_SIZE && !memcmp(end - LOCATOR_SIZE, "PK\6\7", 4)) {
        uint64_t place = io_little(end - LOCATOR_SIZE + 8, 8);
        if (before < END64_SIZE || place > before - END64_SIZE ||
            memcmp(map->bytes + place, "PK\6\6", 4))
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: zip archive: no 64-bit end record",
                             path);
        *count = io_little(map->bytes + place + 32, 8);
        *size = io_little(map->bytes + place + 40, 8);
        *offset = io_little(map->bytes + place + 48, 8);
    }
    if (*offset > before || *size > before - *offset || *count > *size / ENTRY_SIZE)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: zip archive: its directory of %llu members reaches out of the file",
                         path, (unsigned long long)*count);
    return HDS_OK;
}

/* Takes the 64-bit forms of those of the three numbers that are all ones, in order. */
static bool read_wide(const unsigned char *at, const unsigned char *end, uint64_t *numbers[3])
{
    while (end - at >= 4) {
        size_t size = io_little(at + 2, 2);
        bool wide = io_little(at, 2) == 1;
        at += 4;
        if (size > (size_t)(end - at))
            return false;
        for (int i = 0; wide && i < 3; i++)
            if (*numbers[i] == UINT32_MAX) {
                if (size < 8)
                    return false;
                *numbers[i] = io_little(at, 8);
                at += 8;
                size -= 8;
            }
        at += size;
    }
    return true;
}

/* One entry of the directory, of which `left` bytes are left; *used is its length. */
static hds_status read_entry(io_member *member, const io_map *map, const unsigned char *entry,
                             size_t left, size_t *used, const char *path, hds_error *error)
{
    if (left < ENTRY_SIZE || memcmp(entry, "PK\1\2", 4))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: zip archive: byte %zu: expected a member",
                         path, (size_t)(entry - map->bytes));
    size_t name = io_little(entry + 28, 2), extra = io_little(entry + 30, 2);
    *used = ENTRY_SIZE + name + extra + io_little(entry + 32, 2);
    uint64_t packed = io_little(entry + 20, 4), size = io_little(entry + 24, 4);
    uint64_t offset = io_little(entry + 42, 4), *numbers[] = { &size, &packed, &offset };
    const unsigned char *after = entry + ENTRY_SIZE + name;
    if (*used > left || !read_wide(after, after + extra, numbers))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: zip archive: byte %zu: a broken member",
                         path, (size_t)(entry - map->bytes));
    const char *text = (const char *)entry + ENTRY_SIZE;
    if (io_little(entry + 8, 2) & ENCRYPTED)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: is encrypted", path,
                         io_print(text, name).text);
    if (map->size < LOCAL_SIZE || offset > map->size - LOCAL_SIZE ||
        memcmp(map->bytes + offset, "PK\3\4", 4))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: expected a member at byte %llu", path,
                         io_print(text, name).text, (unsigned long long)offset);
    const unsigned char *local = map->bytes + offset;
    size_t start =
        (size_t)offset + LOCAL_SIZE + io_little(local + 26, 2) + io_little(local + 28, 2);
    int method = (int)io_little(entry + 10, 2);
    if (start > map->size || packed > map->size - start || (!method && packed != size))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: claims %llu bytes from byte %zu on, the file has %zu; it may be "
                         "cut short: fetch it again",
                         path, io_print(text, name).text, (unsigned long long)size, start,
                         map->size);
    *member = (io_member){ text, name, map->bytes + start, (size_t)packed, method };
    return HDS_OK;
}

static int by_name(const void *a, const void *b)
{
    const io_member *x = a, *y = b;
    size_t shorter = x->length < y->length ? x->length : y->length;
    int order = shorter ? memcmp(x->name, y->name, shorter) : 0;
    return order ? order : (x->length > y->length) - (x->length < y->length);
}

void io_archive_sort(io_archive *archive)
{
    if (archive->count)
        qsort(archive->members, archive->count, sizeof *archive->members, by_name);
}

hds_status io_archive_open(io_archive *archive, const io_map *map, const char *path,
                           hds_error *error)
{
    uint64_t offset = 0, size = 0, count = 0;
    *archive = (io_archive){ 0 };
    hds_status status = find_directory(map, &offset, &size, &count, path, error);
    if (status)
        return status;
    archive->members = hds_alloc((size_t)count, sizeof *archive->members);
    if (!archive->members)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    const unsigned char *at = map->bytes + offset;
    for (size_t left = (size_t)size, used = 0; archive->count < count && !status; left -= used) {
        used = 0;
        status = read_entry(&archive->members[archive->count], map, at, left, &used, path, error);
        at += used;
        archive->count += !status;
    }
    io_archive_sort(archive);
    for (size_t i = 1; i < archive->count && !status; i++)
        if (!by_name(&archive->members[i - 1], &archive->members[i]))
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: there twice", path,
                               io_print(archive->members[i].name, archive->members[i].length).text);
    if (status)
        io_archive_close(archive);
    return status;
}

void io_archive_close(io_archive *archive)
{
    hds_free(archive->members);
    *archive = (io_archive){ 0 };
}

const io_member *io_archive_find(const io_archive *archive, const char *name, size_t length)
{
    io_member key = { .name = name, .length = length };
    return archive->count ? bsearch(&key, archive->members, archive->count, sizeof key, by_name)
                          : NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* torch checkpoints since 1.6: a zip archive of FOLDER/data.pkl, the pickle, and FOLDER/data/KEY,
 * the storages, unpacked and little-endian. */
#include "io_priv.h"

#include <stdio.h>
#include <string.h>

enum { WHERE_ROOM = 512 };

/* The one member FOLDER/data.pkl; the length of "FOLDER/". */
static const io_member *find_pickle(const io_archive *archive, size_t *folder)
{
    static const char name[] = "/data.pkl";
    for (size_t i = 0; i < archive->count; i++) {
        const io_member *m = &archive->members[i];
        *folder = m->length - sizeof "data.pkl" + 1;
        if (m->length >= sizeof name && !memcmp(m->name + *folder - 1, name, sizeof name - 1))
            return m;
    }
    return NULL;
}

/* The member `name` in the folder of `pickle`, or NULL. */
static const io_member *find_beside(const io_archive *archive, const io_member *pickle,
                                    size_t folder, const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < archive->count; i++) {
        const io_member *m = &archive->members[i];
        if (m->length == folder + length && !memcmp(m->name, pickle->name, folder) &&
            !memcmp(m->name + folder, name, length))
            return m;
    }
    return NULL;
}

/* Leaves the members FOLDER/data/KEY, with their keys for names. */
static void keep_storages(io_archive *archive, const io_member *pickle, size_t folder)
{
    static const char name[] = "data/";
    size_t kept = 0, prefix = folder + sizeof name - 1;
    for (size_t i = 0; i < archive->count; i++) {
        io_member m = archive->members[i];
        if (m.length <= prefix || memcmp(m.name, pickle->name, folder) ||
            memcmp(m.name + folder, name, sizeof name - 1))
            continue;
        m.name += prefix;
        m.length -= prefix;
        archive->members[kept++] = m;
    }
    archive->count = kept; /* in order still, as they had one prefix */
}

static hds_status check_archive(const io_archive *archive, const io_member *pickle, size_t folder,
                                const char *path, hds_error *error)
{
    if (!pickle)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: is a zip archive without data.pkl, so no torch checkpoint", path);
    if (find_beside(archive, pickle, folder, "constants.pkl"))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: is a TorchScript archive; save its state_dict() instead", path);
    const io_member *order = find_beside(archive, pickle, folder, "byteorder");
    if (order && (order->size != 6 || memcmp(order->bytes, "little", 6)))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: byteorder is \"%s\", expected \"little\"; save it again on such a "
                         "machine",
                         path, io_print(order->bytes, order->size).text);
    if (pickle->method)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: data.pkl is packed, expected it as torch.save stores it", path);
    return HDS_OK;
}

hds_status io_checkpoint_read_zip(io_tensors *file, const char *path, hds_error *error)
{
    io_archive archive;
    io_pickle pickle = { 0 };
    char where[WHERE_ROOM];
    size_t folder = 0;
    hds_status status = io_archive_open(&archive, &file->map, path, error);
    if (status)
        return status;
    const io_member *member = find_pickle(&archive, &folder);
    status = check_archive(&archive, member, folder, path, error);
    if (!status) {
        snprintf(where, sizeof where, "%.400s: data.pkl", path);
        status = io_pickle_parse(&pickle, member->bytes, member->size, io_checkpoint_globals, where,
                                 error);
    }
    if (!status) {
        const io_member found = *member;
        keep_storages(&archive, &found, folder);
        status = io_checkpoint_tensors(file, pickle.root, &archive, path, error);
    }
    io_pickle_close(&pickle);
    io_archive_close(&archive);
    return status;
}

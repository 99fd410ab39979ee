/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of files that replace older ones together, and the names that go into them. */
#include "io_priv.h"

#include <string.h>
#include <unistd.h>

hds_status io_files_add(io_files *files, const char *path, const void *bytes, size_t size,
                        hds_error *error)
{
    char *temporary = NULL;
    struct iovec piece = { (void *)(uintptr_t)bytes, size };
    hds_status status = io_write_beside(&temporary, path, &piece, 1, error);
    if (status != HDS_OK)
        return status;
    char *copy = hds_strdup(path);
    if (!copy) {
        unlink(temporary);
        hds_free(temporary);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    }
    files->paths[files->count] = copy;
    files->temporaries[files->count++] = temporary;
    return HDS_OK;
}

hds_status io_files_commit(io_files *files, hds_error *error)
{
    hds_status status = HDS_OK;
    for (size_t i = 0; i < files->count && status == HDS_OK; i++) {
        status = io_commit_temporary(files->temporaries[i], files->paths[i], error);
        if (status == HDS_OK) {
            hds_free(files->temporaries[i]);
            files->temporaries[i] = NULL;
        }
    }
    return status;
}

void io_files_finish(io_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (files->temporaries[i])
            unlink(files->temporaries[i]);
        hds_free(files->temporaries[i]);
        hds_free(files->paths[i]);
    }
    *files = (io_files){ 0 };
}

const char *io_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

char *io_with_ending(const char *path, const char *ending)
{
    const char *dot = strrchr(io_base_name(path), '.');
    size_t stem = dot ? (size_t)(dot - path) : strlen(path);
    return hds_format("%.*s%s", (int)stem, path, ending);
}

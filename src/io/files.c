/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of files that replace older ones together, and the names that go into them. */
#include "io/io.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static hds_status write_bytes(const char *path, const char *place, const void *bytes, size_t size,
                              hds_error *error)
{
    FILE *file = fopen(place, "wb");
    bool written = file && fwrite(bytes, 1, size, file) == size && fflush(file) == 0;
    int reason = errno;
    if (file && fclose(file) != 0 && written) {
        written = false;
        reason = errno;
    }
    if (written)
        return HDS_OK;
    if (file)
        unlink(place);
    return hds_raise(error, HDS_ERROR_OS, "%s: cannot be written: %s", path, strerror(reason));
}

hds_status io_files_add(io_files *files, const char *path, const void *bytes, size_t size,
                        hds_error *error)
{
    char *temporary = NULL;
    hds_status status = io_temporary_path(&temporary, path, error);
    if (status != HDS_OK)
        return status;
    char *copy = hds_strdup(path);
    if (copy)
        status = write_bytes(path, temporary, bytes, size, error);
    else
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    if (status != HDS_OK) {
        unlink(temporary);
        hds_free(temporary);
        hds_free(copy);
        return status;
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

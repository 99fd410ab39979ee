/* SPDX-License-Identifier: Apache-2.0 */
/* Whole files of text, also those that gzip has packed (RFC 1952). */
#include "io/io.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <zlib.h>

enum { PIECE = 1 << 16 };
static const size_t limit = (size_t)64 << 20;

/* Reads on to the end; *text is as large as what was read, and one more. */
static hds_status read_all(gzFile file, char **text, size_t *size, const char *path,
                           hds_error *error)
{
    size_t room = 0;
    for (int got = 1; got > 0; *size += (size_t)got) {
        if (*size + PIECE >= room) {
            char *larger = hds_alloc(room = 2 * (*size + PIECE), 1);
            if (!larger)
                return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
            if (*text)
                memcpy(larger, *text, *size);
            hds_free(*text);
            *text = larger;
        }
        got = gzread(file, *text + *size, PIECE);
        if (got < 0 || *size > limit)
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", path,
                             got < 0 ? "is damaged: fetch it again"
                                     : "unpacks to more than 64 MiB, expected less");
    }
    (*text)[*size] = 0;
    return HDS_OK;
}

hds_status io_text_load(char **text, size_t *size, const char *path, hds_error *error)
{
    *text = NULL;
    *size = 0;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return hds_raise(error, errno == ENOENT ? HDS_ERROR_NOT_FOUND : HDS_ERROR_OS, "%s: %s",
                         path, strerror(errno));
    gzFile file = gzdopen(descriptor, "rb");
    if (!file)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    hds_status status = read_all(file, text, size, path, error);
    /* a file that ends too early is noticed only here */
    if (gzclose(file) != Z_OK && !status)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: is cut short: fetch it again", path);
    if (status) {
        hds_free(*text);
        *text = NULL;
    }
    return status;
}

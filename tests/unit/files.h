/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of loaders share: a folder that goes away again, and files in it. */
#ifndef HDS_TEST_FILES_H
#define HDS_TEST_FILES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/base.h"
#include "io/io.h"

/* $HEADSDS_SHARED, else `shared` beside the source root; NULL and a word when it is not there. */
static inline char *files_shared(const char *name)
{
    const char *root = getenv("HEADSDS_SHARED");
    char *path = root ? io_join(root, name) : io_join(HEADSDS_SOURCE "/../shared", name);
    assert_non_null(path);
    if (io_exists(path))
        return path;
    print_message("skipped: no %s in $HEADSDS_SHARED or beside the source root\n", name);
    hds_free(path);
    return NULL;
}

/* A new empty folder; files_remove takes it away with what is in it. */
static inline char *files_folder(void)
{
    const char *base = getenv("TMPDIR");
    char *path = hds_format("%s/headsds-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(path);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void files_remove(char *folder)
{
    char *command = hds_format("rm -rf -- '%s'", folder);
    assert_non_null(command);
    assert_int_equal(system(command), 0);
    hds_free(command);
    hds_free(folder);
}

static inline char *files_make_folder(const char *folder, const char *name)
{
    char *path = io_join(folder, name);
    assert_non_null(path);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static inline void files_write_bytes(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

/* The path of the new file; new. */
static inline char *files_write(const char *folder, const char *name, const char *text)
{
    char *path = io_join(folder, name);
    assert_non_null(path);
    files_write_bytes(path, text, strlen(text));
    return path;
}

/* The error has this status, names `path` (NULL: none) and contains `words`. */
static inline void files_check_error(const hds_error *error, hds_status status, const char *path,
                                     const char *words)
{
    if (error->status != status || (path && !strstr(error->message, path)) ||
        !strstr(error->message, words))
        fail_msg("status %d \"%s\", expected %d, %s and \"%s\"", error->status, error->message,
                 status, path ? path : "no path", words);
}

#endif

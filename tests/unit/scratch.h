/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of files share: a folder of their own, and the check that an error says enough. */
#ifndef HDS_TEST_SCRATCH_H
#define HDS_TEST_SCRATCH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/io.h"

#include <dirent.h>
#include <unistd.h>

static char scratch_folder[256];

/* A path in the folder; valid until the eighth call after. */
static inline const char *scratch(const char *name)
{
    static char paths[8][512];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", scratch_folder, name);
    return path;
}

static inline int scratch_create(void **state)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch_folder, sizeof scratch_folder, "%s/headsds-test-XXXXXX",
             base && *base ? base : "/tmp");
    return mkdtemp(scratch_folder) ? 0 : -1;
}

static inline size_t scratch_count(void)
{
    size_t count = 0;
    DIR *folder = opendir(scratch_folder);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder));)
        count += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return count;
}

static inline int scratch_empty(void **state)
{
    DIR *folder = opendir(scratch_folder);
    for (struct dirent *entry; folder && (entry = readdir(folder));)
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
            (void)remove(scratch(entry->d_name));
    return folder ? closedir(folder) : -1;
}

static inline int scratch_remove(void **state)
{
    (void)scratch_empty(state);
    return rmdir(scratch_folder);
}

static inline void scratch_write(const char *path, const void *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void check_ok(hds_status status, const hds_error *error)
{
    if (status)
        fail_msg("%s", error->message);
}

/* The status is the one expected, and the message holds `place` and `what`. */
static inline void check_error(hds_status status, const hds_error *error, hds_status expected,
                               const char *place, const char *what)
{
    if (status != expected || error->status != expected || !strstr(error->message, place) ||
        !strstr(error->message, what))
        fail_msg("status %d: \"%s\", expected %d with \"%s\" and \"%s\"", (int)status,
                 error->message, (int)expected, place, what);
}

#endif

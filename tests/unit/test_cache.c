/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of arrays: what is put comes back, from memory and from files; what is damaged does
 * not. */
#include "base/base.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/headsds-cache-XXXXXX", below[64];

static int open_folder(void **state)
{
    if (!mkdtemp(folder))
        return -1;
    snprintf(below, sizeof below, "%s/a/b", folder);
    return setenv("HEADSDS_CACHE", below, 1);
}

/* Calls visit for each cached file; -> how many there are. */
static int each_file(void (*visit)(const char *path))
{
    DIR *listing = opendir(below);
    int count = 0;
    for (struct dirent *d; listing && (d = readdir(listing));) {
        char path[400];
        if (d->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/%s", below, d->d_name);
        count++;
        if (visit)
            visit(path);
    }
    if (listing)
        closedir(listing);
    return count;
}

static void delete (const char *path)
{
    assert_int_equal(unlink(path), 0);
}

static int close_folder(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static void damage(const char *path)
{
    FILE *file = fopen(path, "r+b");
    assert_non_null(file);
    fseek(file, -1, SEEK_END);
    int last = fgetc(file);
    fseek(file, -1, SEEK_END);
    fputc(last ^ 1, file);
    fclose(file);
}

static void what_is_put_comes_back(void **state)
{
    const float values[] = { 1, 2.5f, -3 };
    float found[4];
    assert_false(cache_get("three", found, 3));
    cache_put("three", values, 3);
    for (int from_disk = 0; from_disk < 2; from_disk++) {
        memset(found, 0, sizeof found);
        assert_true(cache_get("three", found, 3));
        assert_memory_equal(found, values, sizeof values);
        assert_false(cache_get("three", found, 4));
        assert_false(cache_get("tree", found, 3));
        cache_forget();
    }
    assert_int_equal(each_file(NULL), 1);
}

static void a_damaged_file_is_none(void **state)
{
    float found[2];
    each_file(delete);
    cache_put("x", (float[]){ 1, 2 }, 2);
    cache_forget();
    each_file(damage);
    assert_false(cache_get("x", found, 2));
}

static void old_files_make_room(void **state)
{
    float found[2];
    for (int i = 0; i < 70; i++) {
        char name[8];
        snprintf(name, sizeof name, "n%d", i);
        cache_put(name, (float[]){ (float)i, 1 }, 2);
    }
    assert_true(each_file(NULL) <= 64);
    assert_true(cache_get("n69", found, 2));
    assert_float_equal(found[0], 69, 0);
}

static void without_a_folder_there_is_memory(void **state)
{
    float found[2];
    cache_forget();
    each_file(delete);
    setenv("HEADSDS_CACHE", "", 1);
    for (int i = 0; i < 12; i++)
        cache_put((char[]){ (char)('a' + i), 0 }, (float[]){ (float)i, 1 }, 2);
    assert_false(cache_get("a", found, 2));
    assert_true(cache_get("l", found, 2));
    assert_float_equal(found[0], 11, 0);
    setenv("HEADSDS_CACHE", "/dev/null/nowhere", 1);
    cache_put("q", (float[]){ 4, 5 }, 2);
    assert_true(cache_get("q", found, 2));
    setenv("HEADSDS_CACHE", below, 1);
    assert_int_equal(each_file(NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_put_comes_back),
        cmocka_unit_test(a_damaged_file_is_none),
        cmocka_unit_test(old_files_make_room),
        cmocka_unit_test(without_a_folder_there_is_memory),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

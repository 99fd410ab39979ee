/* SPDX-License-Identifier: Apache-2.0 */
/* Files, folders, JSON and PNG: what is read back, what is refused, and that a failed write leaves
 * the old file and nothing else. */
#include "scratch.h"

#include <float.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <zlib.h>

static void check_content(const char *path, const char *text)
{
    io_map map;
    hds_error error = { 0 };
    check_ok(io_map_open(&map, path, &error), &error);
    assert_int_equal(map.size, strlen(text));
    assert_memory_equal(map.bytes, text, map.size);
    io_map_close(&map);
}

static void test_write_and_replace(void **state)
{
    hds_error error = { 0 };
    const char *path = scratch("a.txt");
    check_ok(io_write_atomic(path, "first", 5, &error), &error);
    check_content(path, "first");
    assert_int_equal(chmod(path, 0640), 0);
    check_ok(io_write_atomic(path, "second!", 7, &error), &error);
    check_content(path, "second!");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640);
    check_ok(io_write_atomic(path, NULL, 0, &error), &error);
    io_map map;
    check_ok(io_map_open(&map, path, &error), &error);
    assert_int_equal(map.size, 0);
    io_map_close(&map);
    assert_int_equal(scratch_count(), 1);
}

static void test_reading_what_is_no_file(void **state)
{
    hds_error error = { 0 };
    io_map map;
    hds_status status = io_map_open(&map, scratch("none"), &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "/none", "not found");
    error = (hds_error){ 0 };
    status = io_map_open(&map, scratch_folder, &error);
    check_error(status, &error, HDS_ERROR_OS, scratch_folder, "is a folder");
    scratch_write(scratch("a"), "x", 1);
    error = (hds_error){ 0 };
    status = io_map_open(&map, scratch("a/b"), &error);
    check_error(status, &error, HDS_ERROR_OS, "/a/b", "is a file, not a folder");
    assert_int_equal(mkfifo(scratch("pipe"), 0600), 0);
    error = (hds_error){ 0 };
    status = io_map_open(&map, scratch("pipe"), &error);
    check_error(status, &error, HDS_ERROR_OS, "/pipe", "pipe");
    assert_int_equal(io_map_open(&map, scratch("none"), NULL), HDS_ERROR_NOT_FOUND);
}

static void test_writing_where_no_file_can_be(void **state)
{
    hds_error error = { 0 };
    hds_status status = io_write_atomic(scratch_folder, "x", 1, &error);
    check_error(status, &error, HDS_ERROR_OS, scratch_folder, "is a folder");
    error = (hds_error){ 0 };
    status = io_write_atomic(scratch("no/a"), "x", 1, &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "/no/a", "folder does not exist");
    error = (hds_error){ 0 };
    status = io_write_atomic("/dev/null", "x", 1, &error);
    check_error(status, &error, HDS_ERROR_OS, "/dev/null", "device");
    error = (hds_error){ 0 };
    status = io_write_atomic("", "x", 1, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "", "path of a file");
    assert_int_equal(scratch_count(), 0);
}

/* Takes root's right to read and write everything away from the effective set, or gives it back;
 * unlike another user id, that works in a container too. */
static void set_override(bool on)
{
    struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
    struct __user_cap_data_struct sets[2];
    const uint32_t rights = 1u << CAP_DAC_OVERRIDE | 1u << CAP_DAC_READ_SEARCH;
    assert_int_equal(syscall(SYS_capget, &header, sets), 0);
    sets[0].effective =
        on ? sets[0].effective | (sets[0].permitted & rights) : sets[0].effective & ~rights;
    assert_int_equal(syscall(SYS_capset, &header, sets), 0);
}

static void test_permissions(void **state)
{
    hds_error errors[4] = { 0 };
    io_map map;
    scratch_write(scratch("a"), "kept", 4);
    assert_int_equal(chmod(scratch("a"), 0), 0);
    set_override(false);
    hds_status reading = io_map_open(&map, scratch("a"), &errors[0]);
    hds_status replacing = io_write_atomic(scratch("a"), "x", 1, &errors[1]);
    assert_int_equal(chmod(scratch_folder, 0555), 0);
    hds_status creating = io_write_atomic(scratch("b"), "x", 1, &errors[2]);
    hds_status folder = io_make_folders(scratch("c/d"), &errors[3]);
    set_override(true);
    assert_int_equal(chmod(scratch_folder, 0700), 0);
    assert_int_equal(chmod(scratch("a"), 0600), 0);
    check_error(reading, &errors[0], HDS_ERROR_OS, "/a", "no permission to read");
    check_error(replacing, &errors[1], HDS_ERROR_OS, "/a", "no permission to write");
    check_error(creating, &errors[2], HDS_ERROR_OS, "/b", "no permission to write");
    check_error(folder, &errors[3], HDS_ERROR_OS, "/c", "no permission to create the folder");
    check_content(scratch("a"), "kept");
    assert_int_equal(scratch_count(), 1);
}

/* A limit on the size of files stands for a full disk. */
static void test_a_failed_write_leaves_the_old_file(void **state)
{
    static char large[1 << 16];
    struct rlimit limit, small;
    hds_error error = { 0 };
    check_ok(io_write_atomic(scratch("a.bin"), "kept", 4, &error), &error);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    hds_status status = io_write_atomic(scratch("a.bin"), large, sizeof large, &error);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    check_error(status, &error, HDS_ERROR_OS, "/a.bin", "cannot write: ");
    check_content(scratch("a.bin"), "kept");
    assert_int_equal(scratch_count(), 1);
}

static void test_temporary(void **state)
{
    hds_error error = { 0 };
    char *first = NULL, *second = NULL;
    check_ok(io_temporary_path(&first, scratch("a.glb"), &error), &error);
    check_ok(io_temporary_path(&second, scratch("a.glb"), &error), &error);
    assert_string_not_equal(first, second);
    assert_string_equal(first + strlen(first) - 4, ".glb");
    assert_memory_equal(first, scratch_folder, strlen(scratch_folder));
    scratch_write(first, "made", 4);
    check_ok(io_commit_temporary(first, scratch("a.glb"), &error), &error);
    check_content(scratch("a.glb"), "made");
    unlink(second);
    hds_status status = io_commit_temporary(second, scratch("a.glb"), &error);
    assert_int_equal(status, HDS_ERROR_NOT_FOUND);
    check_content(scratch("a.glb"), "made");
    assert_int_equal(scratch_count(), 1);
    hds_free(first);
    hds_free(second);
}

static void check_join(const char *folder, const char *name, const char *expected)
{
    char *path = io_join(folder, name);
    assert_string_equal(path, expected);
    hds_free(path);
}

static void test_folders(void **state)
{
    hds_error error = { 0 };
    check_join("a", "b", "a/b");
    check_join("a/", "b", "a/b");
    check_join("", "b", "b");
    check_join("/", "b", "/b");
    check_ok(io_make_folders(scratch("x//y/z/"), &error), &error);
    check_ok(io_make_folders(scratch("x/y/z"), &error), &error);
    assert_true(io_is_folder(scratch("x/y/z")) && io_exists(scratch("x")));
    scratch_write(scratch("f"), "", 0);
    assert_true(io_exists(scratch("f")) && !io_is_folder(scratch("f")));
    hds_status status = io_make_folders(scratch("f/g"), &error);
    check_error(status, &error, HDS_ERROR_OS, "/f", "is a file, not a folder");
    assert_int_equal(rmdir(scratch("x/y/z")) | rmdir(scratch("x/y")), 0);
}

static void test_data_path(void **state)
{
    hds_error error = { 0 };
    char *path = NULL;
    scratch_write(scratch("here.txt"), "x", 1);
    setenv("HEADSDS_DATA", scratch_folder, 1);
    check_ok(io_data_path(&path, "here.txt", &error), &error);
    assert_string_equal(path, scratch("here.txt"));
    hds_free(path);
    hds_status status = io_data_path(&path, "not/here", &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "not/here", "HEADSDS_DATA");
    assert_null(path);
    unsetenv("HEADSDS_DATA");
    error = (hds_error){ 0 };
    check_ok(io_data_path(&path, "head/meson.build", &error), &error);
    assert_true(io_exists(path));
    hds_free(path);
    status = io_data_path(&path, "not/here", &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "not/here", "headsds_data");
}

static void test_json(void **state)
{
    hds_error error = { 0 };
    json_t *json = json_pack("{s:[i, f], s:s}", "a", 1, 0.1, "b", "\xc3\xa9"), *back = NULL;
    check_ok(io_json_save(json, scratch("a.json"), &error), &error);
    check_ok(io_json_load(&back, scratch("a.json"), &error), &error);
    assert_true(json_equal(json, back));
    json_decref(json);
    json_decref(back);
    static const struct {
        const char *text;
        double value;
    } beyond[] = { { "-Infinity", -DBL_MAX },
                   { "Infinity", DBL_MAX },
                   { "1000000000000000019884624838656", 1e30 },
                   { "-9223372036854775809", -9223372036854775808.0 },
                   { "9223372036854775807", 9223372036854775807.0 },
                   { "1e999", DBL_MAX } };
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        char text[200];
        snprintf(text, sizeof text, "\xef\xbb\xbf{\"NaN \\\"-Infinity\": [NaN, %s, 7]}",
                 beyond[i].text);
        scratch_write(scratch("a.json"), text, strlen(text));
        check_ok(io_json_load(&back, scratch("a.json"), &error), &error);
        const json_t *list = json_object_get(back, "NaN \"-Infinity");
        assert_string_equal(json_string_value(json_array_get(list, 0)), "NaN");
        assert_true(json_number_value(json_array_get(list, 1)) == beyond[i].value);
        assert_true(json_is_integer(json_array_get(list, 1)) == (i == 4));
        assert_int_equal(json_integer_value(json_array_get(list, 2)), 7);
        json_decref(back);
    }
    const char *bad[] = { "", "{\n\"a\": }", "{\"a\": 1, \"a\": 2}", "{} x", "{\"a\": \"\xff\"}" };
    const char *says[] = { "line 1", "line 2", "duplicate", "end of file", "byte 0xff" };
    for (int i = 0; i < 5; i++) {
        scratch_write(scratch("bad.json"), bad[i], strlen(bad[i]));
        error = (hds_error){ 0 };
        hds_status status = io_json_load(&back, scratch("bad.json"), &error);
        check_error(status, &error, HDS_ERROR_FORMAT, "/bad.json", says[i]);
        assert_null(back);
    }
}

enum { WIDTH = 7, HEIGHT = 5 };

static void test_png(void **state)
{
    hds_error error = { 0 };
    uint8_t pixels[WIDTH * HEIGHT * 4], *back = NULL;
    rng r = rng_make(3, 0);
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)rng_u32(&r);
    for (int channels = 1; channels <= 4; channels++) {
        int width, height;
        const char *path = scratch("a.png");
        if (channels == 2)
            continue;
        check_ok(io_png_write(path, pixels, WIDTH, HEIGHT, channels, &error), &error);
        check_ok(io_png_read(path, channels, &back, &width, &height, &error), &error);
        assert_int_equal(width, WIDTH);
        assert_int_equal(height, HEIGHT);
        assert_memory_equal(back, pixels, (size_t)(WIDTH * HEIGHT * channels));
        hds_free(back);
    }
    /* the colours of transparent pixels stay, alpha goes */
    int width, height;
    check_ok(io_png_read(scratch("a.png"), 3, &back, &width, &height, &error), &error);
    for (int i = 0; i < WIDTH * HEIGHT; i++)
        assert_memory_equal(back + 3 * i, pixels + 4 * i, 3);
    hds_free(back);
    void *bytes;
    size_t size;
    check_ok(io_png_encode(pixels, WIDTH, HEIGHT, 4, &bytes, &size, &error), &error);
    io_map map;
    check_ok(io_map_open(&map, scratch("a.png"), &error), &error);
    assert_int_equal(map.size, size);
    assert_memory_equal(map.bytes, bytes, size);
    io_map_close(&map);
    hds_free(bytes);
}

static void check_bad_png(const void *bytes, size_t size, const char *says)
{
    uint8_t *pixels;
    int width, height;
    hds_error error = { 0 };
    scratch_write(scratch("bad.png"), bytes, size);
    hds_status status = io_png_read(scratch("bad.png"), 3, &pixels, &width, &height, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "/bad.png", says);
    assert_null(pixels);
}

static void set_png_size(unsigned char *png, uint32_t width, uint32_t height)
{
    for (int i = 0; i < 4; i++) {
        png[16 + i] = (unsigned char)(width >> (24 - 8 * i));
        png[20 + i] = (unsigned char)(height >> (24 - 8 * i));
    }
    uint32_t sum = (uint32_t)crc32(0, png + 12, 17);
    for (int i = 0; i < 4; i++)
        png[29 + i] = (unsigned char)(sum >> (24 - 8 * i));
}

static void test_bad_png(void **state)
{
    uint8_t pixels[WIDTH * HEIGHT * 3] = { 0 };
    void *bytes;
    size_t size;
    hds_error error = { 0 };
    check_ok(io_png_encode(pixels, WIDTH, HEIGHT, 3, &bytes, &size, &error), &error);
    for (size_t cut = 0; cut < size - 12; cut++) /* the last chunk is empty */
        check_bad_png(bytes, cut, "");
    check_bad_png("GIF89a, or so", 13, "expected a PNG");
    set_png_size(bytes, 20000, 4);
    check_bad_png(bytes, size, "20000 x 4 pixels, expected at most 16384");
    set_png_size(bytes, 16384, 16384);
    check_bad_png(bytes, size, "which cannot be");
    hds_free(bytes);
    hds_status status = io_png_encode(pixels, 0, 5, 3, &bytes, &size, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "0 x 5", "expected sides");
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_teardown(name, scratch_empty)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_write_and_replace),
        FILE_TEST(test_reading_what_is_no_file),
        FILE_TEST(test_writing_where_no_file_can_be),
        FILE_TEST(test_permissions),
        FILE_TEST(test_a_failed_write_leaves_the_old_file),
        FILE_TEST(test_temporary),
        FILE_TEST(test_folders),
        FILE_TEST(test_data_path),
        FILE_TEST(test_json),
        FILE_TEST(test_png),
        FILE_TEST(test_bad_png),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}

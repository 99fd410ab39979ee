/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints of torch, in both their forms, and safetensors open alike; broken ones are refused by
 * name and place. The files are made by ../fuzz/corpus/make_corpus.py. */
#include "scratch.h"

#include <zip.h>

static size_t read_kept(const char *name, char *bytes, size_t room)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", CORPUS "/checkpoint", name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, room, file);
    fclose(file);
    assert_true(size < room);
    return size;
}

static void check_tensor(const io_tensors *file, const char *name, io_dtype dtype, int dims,
                         const int64_t *shape, const void *data, size_t size)
{
    const io_tensor *t = io_tensors_find(file, name);
    assert_non_null(t);
    assert_true(t->dtype == dtype && t->dims == dims && t->size == size);
    if (dims)
        assert_memory_equal(t->shape, shape, sizeof *shape * (size_t)dims);
    if (size)
        assert_memory_equal(t->data, data, size);
}

#define CHECK(name, dtype, dims, shape, ...)                                                       \
    check_tensor(&file, name, dtype, dims, (const int64_t[])shape, __VA_ARGS__)
#define SHAPE(...)                                                                                 \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }

static void test_round(void **state)
{
    static const char *const names[] = { "flat.pt", "wide.pt", "lightning.ckpt", "legacy.pth" };
    for (int i = 0; i < 4; i++) {
        io_tensors file;
        hds_error error = { 0 };
        char path[512];
        snprintf(path, sizeof path, "%s/%s", CORPUS "/checkpoint", names[i]);
        check_ok(io_tensors_open(&file, path, &error), &error);
        assert_int_equal(file.count, 9);
        assert_int_equal(file.copy_count, 1); /* the one that is turned */
        for (size_t t = 1; t < file.count; t++)
            assert_true(strcmp(file.tensors[t - 1].name, file.tensors[t].name) < 0);
        CHECK("plain.weight", IO_F32, 2, SHAPE(2, 3), (float[]){ 0, 1, 2, 3, 4, 5 }, 24);
        CHECK("view.weight", IO_F32, 2, SHAPE(2, 2), (float[]){ 4, 5, 6, 7 }, 16);
        CHECK("turned.weight", IO_F32, 2, SHAPE(3, 2), (float[]){ 1, 4, 2, 5, 3, 6 }, 24);
        CHECK("half", IO_F16, 2, SHAPE(2, 1), (uint16_t[]){ 0x3c00, 0xc000 }, 4);
        CHECK("ids", IO_I64, 1, SHAPE(3), (int64_t[]){ 7, 8, 9 }, 24);
        CHECK("one", IO_I64, 0, SHAPE(0), (int64_t[]){ 9 }, 8);
        CHECK("none", IO_F32, 2, SHAPE(0, 4), "", 0);
        CHECK("truth", IO_BOOL, 1, SHAPE(2), "\1\0", 2);
        CHECK("b", IO_BF16, 1, SHAPE(1), "\x80\x3f", 2);
        assert_null(io_tensors_find(&file, "state_dict"));
        io_tensors_close(&file);
        assert_null(io_tensors_find(&file, "b"));
    }
}

static void test_untyped(void **state)
{
    io_tensors file;
    hds_error error = { 0 };
    check_ok(io_tensors_open(&file, CORPUS "/checkpoint/untyped.pt", &error), &error);
    CHECK("u", IO_U16, 1, SHAPE(2), "\2\3\4\5", 4);
    io_tensors_close(&file);
}

static void test_safetensors(void **state)
{
    const io_tensor tensor = { "a", IO_U8, 1, { 2 }, "xy", 2 };
    io_tensors file;
    hds_error error = { 0 };
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    check_ok(io_safetensors_write(scratch("a.ckpt"), &tensor, 1, metadata, &error), &error);
    check_ok(io_tensors_open(&file, scratch("a.ckpt"), &error), &error);
    assert_int_equal(file.count, 1);
    CHECK("a", IO_U8, 1, SHAPE(2), "xy", 2);
    assert_true(json_equal(file.metadata, metadata));
    io_tensors_close(&file);
    json_decref(metadata);
}

/* Anew each time: where a file is cut and written again, some file systems wait for the disk. */
static void replace(const char *bytes, size_t size)
{
    (void)remove(scratch("a.pt"));
    scratch_write(scratch("a.pt"), bytes, size);
}

static void check_bad(const char *bytes, size_t size, const char *says)
{
    io_tensors file;
    hds_error error = { 0 };
    replace(bytes, size);
    hds_status status = io_tensors_open(&file, scratch("a.pt"), &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "/a.pt", says);
    assert_true(!file.tensors && !file.map.bytes && !file.copies && !file.count);
}

static void test_other_files(void **state)
{
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\n";
    check_bad(pointer, sizeof pointer - 1, "Git LFS pointer to the file; fetch it with");
    check_bad("\x80\2}q\0X\0\0\0\0NsN", 13, "is a pickle but no torch checkpoint");
    check_bad("", 0, "too few");
    check_bad("hello, world", 12, "header length");
    check_bad("PK\3\4      ", 10, "without an end record");
    io_tensors file;
    hds_error error = { 0 };
    hds_status status = io_tensors_open(&file, scratch("none.pt"), &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "/none.pt", "not found");
}

/* Replaces every `old` (of equal length as `now`) in a copy of a kept file. */
static void check_changed(const char *name, const char *old, const char *now, size_t length,
                          const char *says)
{
    char bytes[8192];
    size_t size = read_kept(name, bytes, sizeof bytes);
    int found = 0;
    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(bytes + i, old, length)) {
            memcpy(bytes + i, now, length);
            found++;
        }
    assert_true(found);
    check_bad(bytes, size, says);
}

#define CHANGED(old, now) old, now, sizeof old - 1

static void test_changed(void **state)
{
    static const struct {
        const char *name, *old, *now;
        size_t length;
        const char *says;
    } cases[] = {
        { "flat.pt", CHANGED("little", "bigger"), "byteorder is \"bigger\"" },
        { "flat.pt", CHANGED("/data.pkl", "/data.pki"), "without data.pkl" },
        { "flat.pt", CHANGED("archive/data/2", "archive/data/3"), "archive/data/3: there twice" },
        { "flat.pt", CHANGED("archive/data/2", "archive/data/9"),
          "ids: storage 2 is not in the file" },
        { "flat.pt", CHANGED("PK\1\2", "PK\1\3"), "expected a member" },
        { "wide.pt", CHANGED("\1\0\x18\0", "\1\0\x10\0"), "" },
        { "flat.pt", CHANGED("littlePK\3\4", "littlePK\3\5"), "expected a member at byte" },
        { "flat.pt", CHANGED("PK\1\2\x14\3\x14\0\0\0", "PK\1\2\x14\3\x14\0\1\0"), "is encrypted" },
        { "flat.pt", CHANGED("PK\5\6", "PK\5\5"), "without an end record" },
        { "wide.pt", CHANGED("PK\6\6", "PK\6\5"), "no 64-bit end record" },
        { "flat.pt", CHANGED("torch\nLongStorage", "torch\nLongstorage"),
          "asks for torch.Longstorage" },
        { "flat.pt",
          CHANGED("torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor_v9"),
          "asks for torch._utils._rebuild_tensor_v9" },
        { "flat.pt", CHANGED("storageq", "st0rageq"), "expected a storage" },
        { "legacy.pth", CHANGED("little_endian", "little_indian"), "is big-endian" },
        { "legacy.pth", CHANGED("M\xe9\3.", "M\xe8\3."), "version 1000, expected 1001" },
        { "legacy.pth", CHANGED("LongStorage", "Longstorage"), "asks for torch.Longstorage" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_changed(cases[i].name, cases[i].old, cases[i].now, cases[i].length, cases[i].says);
}

static void test_cut_short(void **state)
{
    static const char *const names[] = { "flat.pt", "wide.pt", "legacy.pth" };
    char bytes[8192];
    for (int i = 0; i < 3; i++) {
        size_t size = read_kept(names[i], bytes, sizeof bytes);
        for (size_t cut = 0; cut < size; cut++)
            check_bad(bytes, cut, "");
    }
}

/* One byte at a time: any outcome but a crash, which the sanitizers watch for. */
static void test_any_byte(void **state)
{
    static const char *const names[] = { "flat.pt", "wide.pt", "legacy.pth" };
    char bytes[8192];
    for (int i = 0; i < 3; i++) {
        size_t size = read_kept(names[i], bytes, sizeof bytes);
        for (size_t at = 0; at < size; at++) {
            io_tensors file;
            bytes[at] ^= (char)0xff;
            replace(bytes, size);
            hds_status status = io_tensors_open(&file, scratch("a.pt"), NULL);
            assert_true(status == HDS_OK || status == HDS_ERROR_FORMAT);
            io_tensors_close(&file);
            bytes[at] ^= (char)0xff;
        }
    }
}

/* An archive of two members of the same bytes, one of them deflated if `packed` names it. */
static void check_bad_zip(const char *first, const char *second, const char *packed,
                          const void *bytes, size_t size, const char *says)
{
    const char *names[] = { first, second };
    zip_t *zip = zip_open(scratch("b.pt"), ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    for (zip_uint64_t i = 0; i < 2; i++) {
        zip_source_t *source = zip_source_buffer(zip, bytes, size, 0);
        assert_int_equal(zip_file_add(zip, names[i], source, 0), i);
        zip_int32_t method = packed && !strcmp(packed, names[i]) ? ZIP_CM_DEFLATE : ZIP_CM_STORE;
        assert_int_equal(zip_set_file_compression(zip, i, method, 0), 0);
    }
    assert_int_equal(zip_close(zip), 0);
    io_tensors file;
    hds_error error = { 0 };
    hds_status status = io_tensors_open(&file, scratch("b.pt"), &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "/b.pt: ", says);
}

static size_t put(char *out, const void *bytes, size_t size)
{
    memcpy(out, bytes, size);
    return size;
}

/* A checkpoint of the old form with the pickle `saved` and, if that asks for one, storage "0" of
 * `count` floats. */
static size_t make_legacy(char *out, const char *saved, size_t length, uint64_t count)
{
    static const char heads[] = "\x80\2\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\2M\xe9"
                                "\3.\x80\2}U\x0dlittle_endian\x88s.";
    static const float data[64] = { 1, 2, 3, 4 };
    size_t at = put(out, heads, sizeof heads - 1);
    at += put(out + at, saved, length);
    if (!memmem(saved, length, "FloatStorage", 12))
        return at + put(out + at, length == 2 ? "N." : "].", 2);
    at += put(out + at, "](U\0010e.", 7);
    at += put(out + at, &count, 8);
    return at + put(out + at, data, count * sizeof *data);
}

#define STORAGE(key, count, more) "((U\7storagectorch\nFloatStorage\n" key "U\3cpu" count more "tQ"
#define TENSOR(storage, offset, size, stride)                                                      \
    "ctorch._utils\n_rebuild_tensor_v2\n" storage offset size stride "\x89}tR"
#define PLAIN STORAGE("U\0010", "K\4", "")
#define SAVED_TEXT(value) "}U\1w" value "s."
#define SAVED(value) SAVED_TEXT(value), sizeof SAVED_TEXT(value) - 1
#define ONE TENSOR(PLAIN, "K\0", "(t", "(t")
#define FAR "\x8a\x08\0\0\0\0\0\0\0\x7f"

static void test_bad_tensors(void **state)
{
    static const struct {
        const char *saved;
        size_t length;
        const char *says;
    } cases[] = {
        { SAVED("K\1"), "holds no tensors; expected" },
        { "N.", 2, "expected a list of storages" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\5t", "(K\1t")), "w: reaches out of its storage of 4" },
        { SAVED(TENSOR(PLAIN, "K\1", "(K\4t", "(K\1t")), "w: reaches out of its storage" },
        { SAVED(TENSOR(PLAIN, FAR, "(K\1t", "(K\1t")), "w: reaches out of its storage" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\2K\2t", "(" FAR FAR "t")), "w: reaches out" },
        { SAVED(TENSOR(PLAIN, "K\0", "(" FAR FAR "t", "(K\0K\0t")), "w: reaches out" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\5t", "(K\0t")), "w: has more elements than its storage" },
        { SAVED(TENSOR(PLAIN, "J\xff\xff\xff\xff", "(K\1t", "(K\1t")), "w: expected an offset" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\1t", "(J\xff\xff\xff\xfft")), "w: expected an offset" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\1t", "(K\1K\1t")), "w: expected an offset" },
        { SAVED(TENSOR(PLAIN, "K\0", "(K\1K\1K\1K\1K\1K\1K\1K\1K\1t", "(t")), "at most 8 sizes" },
        { SAVED(TENSOR(PLAIN, "K\0", "N", "N")), "w: expected an offset" },
        { SAVED(TENSOR(STORAGE("N", "K\4", ""), "K\0", "(t", "(t")), "belongs to no tensor" },
        { SAVED(TENSOR(STORAGE("U\0010", "K\5", ""), "K\0", "(t", "(t")), "fewer than its length" },
        { SAVED(TENSOR(STORAGE("U\0010", "J\xff\xff\xff\xff", ""), "K\0", "(t", "(t")), "fewer" },
        { SAVED(TENSOR(STORAGE("U\0010", "K\4", "(K\1t"), "K\0", "(t", "(t")), "a view into" },
        { SAVED(TENSOR("(K\7Q", "K\0", "(t", "(t")), "w: expected a storage" },
        { SAVED(TENSOR("((U\7storagetQ", "K\0", "(t", "(t")), "w: expected a storage" },
        { SAVED(TENSOR("((U\7storagectorch\nHalfStorage\nNU\3cpuK\4tQ", "K\0", "(t", "(t")),
          "w: a storage without a key" },
        { SAVED(TENSOR(PLAIN "0N", "K\0", "(t", "(t")), "expected a storage" },
        { SAVED(ONE "sU\1w" ONE), "w: there twice" },
        { SAVED("NsU\3w\0x" ONE), "w?x: a name of 3 bytes" },
    };
    char bytes[4096];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = make_legacy(bytes, cases[i].saved, cases[i].length, 4);
        check_bad(bytes, size, cases[i].says);
    }
}

static void test_archives(void **state)
{
    static const char saved[] = SAVED_TEXT(ONE);
    const size_t size = sizeof saved - 1;
    check_bad_zip("a/data.pkl", "a/constants.pkl", NULL, saved, size, "is a TorchScript archive");
    check_bad_zip("a/data.pkl", "a/data/0", "a/data.pkl", saved, size, "data.pkl is packed");
    check_bad_zip("a/data.pkl", "a/data/0", "a/data/0", saved, size, "w: storage 0 is packed");
    check_bad_zip("a/data.pkl", "b/data/0", NULL, saved, size, "w: storage 0 is not in the file");
    check_bad_zip("data.pkl", "data/0", NULL, saved, size, "without data.pkl");
}

/* What is made from other bytes than the usual ones: names that are too long, and one tensor that
 * is to be copied under so many names that the copies outgrow the file. */
static void test_too_much(void **state)
{
    static const char turned[] = TENSOR(PLAIN, "K\0", "(K\x08K\x08t", "(K\1K\x08t") "q\0000";
    char saved[4096], bytes[8192];
    size_t at = put(saved, "}B\xe9\3\0\0", 6);
    memset(saved + at, 'a', 1001);
    at += 1001;
    at += put(saved + at, ONE "s.", sizeof ONE "s." - 1);
    check_bad(bytes, make_legacy(bytes, saved, at, 4), "...: a name of 1001 bytes");
    at = put(saved, turned, sizeof turned - 1);
    at += put(saved + at, "}(", 2);
    for (char i = 1; i < 100; i++)
        at += put(saved + at, (char[]){ 'U', 1, i, 'h', 0 }, 5);
    at += put(saved + at, "u.", 2);
    check_bad(bytes, make_legacy(bytes, saved, at, 64), "too many tensors that are not in C order");
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_teardown(name, scratch_empty)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_round),       FILE_TEST(test_untyped),     FILE_TEST(test_safetensors),
        FILE_TEST(test_other_files), FILE_TEST(test_changed),     FILE_TEST(test_cut_short),
        FILE_TEST(test_any_byte),    FILE_TEST(test_bad_tensors), FILE_TEST(test_archives),
        FILE_TEST(test_too_much),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}

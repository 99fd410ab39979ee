/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors and npz: what is written comes back, and hostile files are refused by field. */
#include "scratch.h"

#include <math.h>
#include <zip.h>

static void write_safetensors(const char *path, uint64_t length, const char *header, size_t data)
{
    char *bytes = calloc(1, 8 + strlen(header) + data);
    assert_non_null(bytes);
    memcpy(bytes, &length, 8);
    memcpy(bytes + 8, header, strlen(header));
    scratch_write(path, bytes, 8 + strlen(header) + data);
    free(bytes);
}

static void check_bad_safetensors(const char *says)
{
    io_safetensors file;
    hds_error error = { 0 };
    hds_status status = io_safetensors_open(&file, scratch("a.safetensors"), &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "/a.safetensors", says);
    assert_true(!file.tensors && !file.map.bytes && !file.metadata);
}

static void test_safetensors_round(void **state)
{
    float wide[6] = { 1, -2, 3.5f, 0, INFINITY, 1e-30f };
    uint16_t half[3] = { 0x3c00, 0xc000, 1 };
    int64_t id = -7;
    const io_tensor tensors[] = {
        { .name = "b.half", .dtype = IO_F16, .dims = 1, .shape = { 3 }, .data = half, .size = 6 },
        { .name = "a.wide",
          .dtype = IO_F32,
          .dims = 2,
          .shape = { 2, 3 },
          .data = wide,
          .size = 24 },
        { .name = "empty", .dtype = IO_F32, .dims = 2, .shape = { 0, 9 }, .data = NULL, .size = 0 },
        { .name = "id", .dtype = IO_I64, .dims = 0, .data = &id, .size = 8 },
    };
    hds_error error = { 0 };
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    const char *path = scratch("a.safetensors");
    check_ok(io_safetensors_write(path, tensors, 4, metadata, &error), &error);
    io_safetensors file;
    check_ok(io_safetensors_open(&file, path, &error), &error);
    assert_int_equal(file.count, 4);
    assert_true(json_equal(file.metadata, metadata));
    for (size_t i = 0; i < 4; i++) {
        const io_tensor *t = io_safetensors_find(&file, tensors[i].name);
        assert_non_null(t);
        assert_true(t->dtype == tensors[i].dtype && t->dims == tensors[i].dims);
        assert_memory_equal(t->shape, tensors[i].shape, sizeof(int64_t) * (size_t)t->dims);
        assert_int_equal(t->size, tensors[i].size);
        assert_int_equal((uintptr_t)t->data % io_dtype_size(t->dtype), 0);
        if (t->size)
            assert_memory_equal(t->data, tensors[i].data, t->size);
        assert_true(!i || strcmp(file.tensors[i - 1].name, file.tensors[i].name) < 0);
    }
    assert_null(io_safetensors_find(&file, "none"));
    io_safetensors_close(&file);
    json_decref(metadata);
}

static void test_safetensors_refused_at_writing(void **state)
{
    float data[4] = { 0 };
    io_tensor twice[] = {
        { .name = "a", .dtype = IO_F32, .dims = 1, .shape = { 2 }, .data = data, .size = 8 },
        { .name = "a", .dtype = IO_F32, .dims = 1, .shape = { 2 }, .data = data, .size = 8 },
    };
    hds_error error = { 0 };
    hds_status status = io_safetensors_write(scratch("w"), twice, 2, NULL, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "/w: a", "twice");
    twice[0].size = 12;
    error = (hds_error){ 0 };
    status = io_safetensors_write(scratch("w"), twice, 1, NULL, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "/w: a", "do not fit");
    assert_int_equal(scratch_count(), 0);
}

#define ENTRY(dtype, shape, begin, end)                                                            \
    "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":[" #begin "," #end "]}"

static void test_bad_safetensors(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *says;
    } cases[] = {
        { "[]", 0, "expected a JSON object" },
        { "{\"a\":", 0, "header: byte" },
        { "{\"a\":1}", 0, "a: expected dtype" },
        { "{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "a: expected dtype" },
        { "{\"a\":" ENTRY("F99", "[1]", 0, 4) "}", 4, "a: dtype \"F99\"" },
        { "{\"a\":" ENTRY("F32", "[-1]", 0, 4) "}", 4, "a: shape is negative" },
        { "{\"a\":" ENTRY("F32", "[1.0]", 0, 4) "}", 4, "a: shape is negative" },
        { "{\"a\":" ENTRY("F32", "[4611686018427387904,4]", 0, 0) "}", 0, "too large" },
        { "{\"a\":" ENTRY("F32", "[9223372036854775807,9223372036854775807,9]", 0, 4) "}", 4,
          "too large" },
        { "{\"a\":" ENTRY("F32", "[99999999999999999999]", 0, 4) "}", 4, "header: byte" },
        { "{\"a\":" ENTRY("F32", "[1,1,1,1,1,1,1,1,1]", 0, 4) "}", 4, "a: 9 dimensions" },
        { "{\"a\":" ENTRY("F32", "[2]", 0, 4) "}", 4, "a: 4 bytes of data, expected 8" },
        { "{\"a\":" ENTRY("F32", "[2]", 0, 8) "}", 4, "a: data_offsets [0, 8] are outside" },
        { "{\"a\":" ENTRY("F32", "[1]", 4, 0) "}", 4, "a: data_offsets [4, 0] are outside" },
        { "{\"a\":" ENTRY("F32", "[1]", -4, 0) "}", 4, "a: data_offsets" },
        { "{\"a\":" ENTRY("F32", "[1]", 0, 4) ",\"a\":" ENTRY("F32", "[1]", 4, 8) "}", 8,
          "duplicate" },
        { "{\"a\":" ENTRY("F32", "[2]", 0, 8) ",\"b\":" ENTRY("F32", "[1]", 4, 8) "}", 8,
          "b: data begins at 4, expected 8: it overlaps" },
        { "{\"a\":" ENTRY("F32", "[1]", 0, 4) ",\"b\":" ENTRY("F32", "[1]", 8, 12) "}", 12,
          "b: data begins at 8, expected 4: a hole" },
        { "{\"a\":" ENTRY("F32", "[1]", 0, 4) "}", 9, "5 bytes after the last" },
        { "{\"__metadata__\":{\"a\":1}}", 0, "__metadata__: expected" },
        { "{\"a\\u0000b\":" ENTRY("F32", "[1]", 0, 4) "}", 4, "header: byte" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_safetensors(scratch("a.safetensors"), strlen(cases[i].header), cases[i].header,
                          cases[i].data);
        check_bad_safetensors(cases[i].says);
    }
    write_safetensors(scratch("a.safetensors"), 5, "{}", 0);
    check_bad_safetensors("header length 5, but the file ends after 10 bytes");
    write_safetensors(scratch("a.safetensors"), 100000001, "{}", 0);
    check_bad_safetensors("header length 100000001, expected at most");
    write_safetensors(scratch("a.safetensors"), UINT64_MAX, "{}", 0);
    check_bad_safetensors("header length 18446744073709551615");
    scratch_write(scratch("a.safetensors"), "\2\0\0\0\0\0\0", 7);
    check_bad_safetensors("7 bytes are too few");
}

static void test_conversions(void **state)
{
    const struct {
        io_dtype dtype;
        const void *data;
        float value;
    } cases[] = {
        { IO_F64, &(double){ 0.1 }, 0.1f },
        { IO_F32, &(float){ -3 }, -3 },
        { IO_BF16, &(uint16_t){ 0xc049 }, -3.140625f },
        { IO_F16, &(uint16_t){ 0x4248 }, 3.140625f },
        { IO_I8, &(int8_t){ -128 }, -128 },
        { IO_U8, &(uint8_t){ 255 }, 255 },
        { IO_I16, &(int16_t){ -32768 }, -32768 },
        { IO_U16, &(uint16_t){ 65535 }, 65535 },
        { IO_I32, &(int32_t){ -5 }, -5 },
        { IO_U32, &(uint32_t){ 4000000000u }, 4e9f },
        { IO_I64, &(int64_t){ -1 }, -1 },
        { IO_U64, &(uint64_t){ 1ull << 63 }, 0x1p63f },
        { IO_BOOL, &(uint8_t){ 2 }, 1 },
        { IO_F8_E4M3, &(uint8_t){ 0x7e }, 448 },
        { IO_F8_E4M3, &(uint8_t){ 0x81 }, -0x1p-9f },
        { IO_F8_E4M3, &(uint8_t){ 0x08 }, 0x1p-6f },
        { IO_F8_E5M2, &(uint8_t){ 0x7b }, 57344 },
        { IO_F8_E5M2, &(uint8_t){ 0x81 }, -0x1p-16f },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float value;
        unsigned char shifted[9]; /* files do not align */
        memcpy(shifted + 1, cases[i].data, io_dtype_size(cases[i].dtype));
        io_to_f32(shifted + 1, cases[i].dtype, &value, 1);
        assert_true(value == cases[i].value);
    }
}

static uint16_t to_half(float value)
{
    uint16_t half;
    io_f32_to_f16(&value, &half, 1);
    return half;
}

static float from_half(uint16_t half)
{
    float value;
    io_to_f32(&half, IO_F16, &value, 1);
    return value;
}

static uint16_t to_bfloat(float value)
{
    uint16_t rounded;
    io_f32_to_bf16(&value, &rounded, 1);
    return rounded;
}

/* The upper half of a float, to the nearest, half-way to the even one. */
static void test_bfloats(void **state)
{
    assert_int_equal(to_bfloat(1), 0x3f80);
    assert_int_equal(to_bfloat(-2), 0xc000);
    assert_int_equal(to_bfloat(1 + 0x1p-8f), 0x3f80);
    assert_int_equal(to_bfloat(1 + 0x3p-8f), 0x3f82);
    assert_int_equal(to_bfloat(1 + 0x1p-8f + 0x1p-20f), 0x3f81);
    assert_int_equal(to_bfloat(3.4028234e38f), 0x7f80);
    assert_int_equal(to_bfloat(INFINITY), 0x7f80);
    float value;
    uint16_t none = to_bfloat(NAN);
    io_to_f32(&none, IO_BF16, &value, 1);
    assert_true(isnan(value));
}

/* Every half comes back; between two neighbours the nearer is taken, half-way the even one. */
static void test_halves(void **state)
{
    assert_true(from_half(0x3c00) == 1 && from_half(1) == 0x1p-24f && from_half(0x7bff) == 65504);
    assert_true(isinf(from_half(0x7c00)) && isnan(from_half(0x7e01)) && isnan(from_half(0xfc01)));
    for (unsigned half = 0; half < 0x7c00; half++) {
        float low = from_half((uint16_t)half);
        float high = half == 0x7bff ? 65536.0f : from_half((uint16_t)(half + 1));
        float middle = low + (high - low) / 2;
        assert_true(high > low);
        assert_int_equal(to_half(low), half);
        assert_int_equal(to_half(-low), half | 0x8000);
        assert_int_equal(to_half(middle), half + (half & 1));
        assert_int_equal(to_half(nextafterf(middle, 0)), half);
        assert_int_equal(to_half(nextafterf(middle, INFINITY)), half + 1);
    }
    assert_int_equal(to_half(INFINITY), 0x7c00);
    assert_int_equal(to_half(-1e30f), 0xfc00);
    assert_int_equal(to_half(NAN) & 0x7fff, 0x7e00);
    assert_int_equal(to_half(1e-40f), 0);
}

static void test_npz_round(void **state)
{
    float wide[6] = { 1, -2, 3.5f, 0, 5, 1e-30f };
    int64_t ids[2] = { -7, 1ll << 40 };
    char names[] = "jaw\0\0neck\0";
    uint8_t bytes[3] = { 0, 1, 1 };
    const io_array arrays[] = {
        { "wide", 'f', 4, 2, { 2, 3 }, wide, sizeof wide },
        { "ids", 'i', 8, 1, { 2 }, ids, sizeof ids },
        { "names", 'S', 5, 1, { 2 }, names, 10 },
        { "truth", 'b', 1, 1, { 3 }, bytes, 3 },
        { "one", 'u', 1, 0, { 0 }, bytes, 1 },
        { "empty", 'f', 8, 3, { 4, 0, 2 }, NULL, 0 },
    };
    hds_error error = { 0 };
    io_npz npz;
    check_ok(io_npz_write(scratch("a.npz"), arrays, 6, &error), &error);
    check_ok(io_npz_write(scratch("b.npz"), arrays, 6, &error), &error);
    check_ok(io_npz_open(&npz, scratch("a.npz"), 0, &error), &error);
    assert_int_equal(npz.count, 6);
    for (size_t i = 0; i < 6; i++) {
        const io_array *a = io_npz_find(&npz, arrays[i].name), *b = &arrays[i];
        assert_non_null(a);
        assert_true(a->kind == b->kind && a->itemsize == b->itemsize && a->dims == b->dims);
        assert_memory_equal(a->shape, b->shape, sizeof(int64_t) * (size_t)a->dims);
        assert_true(a->size == b->size && (uintptr_t)a->data % 16 == 0);
        if (a->size)
            assert_memory_equal(a->data, b->data, a->size);
    }
    assert_null(io_npz_find(&npz, "none"));
    io_npz_close(&npz);
    io_map first, second; /* equal arrays, equal bytes */
    check_ok(io_map_open(&first, scratch("a.npz"), &error), &error);
    check_ok(io_map_open(&second, scratch("b.npz"), &error), &error);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.bytes, second.bytes, first.size);
    io_map_close(&first);
    io_map_close(&second);
    io_array bad = { "bad", 'f', 4, 1, { 7 }, wide, sizeof wide };
    hds_status status = io_npz_write(scratch("a.npz"), &bad, 1, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "/a.npz: bad", "do not fit");
    assert_int_equal(scratch_count(), 2);
}

/* An archive with one member of these bytes. */
static void write_zip(const char *path, const char *name, const void *bytes, size_t size,
                      zip_int32_t method)
{
    zip_t *zip = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    assert_non_null(zip);
    zip_source_t *source = zip_source_buffer(zip, bytes, size, 0);
    zip_int64_t index = zip_file_add(zip, name, source, 0);
    assert_int_equal(index, 0);
    assert_int_equal(zip_set_file_compression(zip, 0, method, 0), 0);
    assert_int_equal(zip_close(zip), 0);
}

static size_t make_npy(char *out, size_t room, const char *dict, size_t data)
{
    size_t length = strlen(dict);
    assert_true(10 + length + data <= room);
    memset(out, 0, room);
    memcpy(out, "\x93NUMPY\x01", 8);
    out[8] = (char)(length & 0xff);
    out[9] = (char)(length >> 8);
    memcpy(out + 10, dict, length);
    for (size_t i = 0; i < data; i++)
        out[10 + length + i] = (char)i;
    return 10 + length + data;
}

static hds_status open_npz(const char *path, size_t limit, hds_error *error)
{
    io_npz npz;
    hds_status status = io_npz_open(&npz, path, limit, error);
    if (status)
        assert_true(!npz.arrays && !npz.path);
    io_npz_close(&npz);
    return status;
}

static void check_bad_npz(const char *place, const char *says)
{
    hds_error error = { 0 };
    hds_status status = open_npz(scratch("a.npz"), 0, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, place, says);
}

#define DICT(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape ", }"

static void test_bad_npy(void **state)
{
    static const struct {
        const char *dict;
        size_t data;
        const char *says;
    } cases[] = {
        { DICT("'|O'", "(1,)"), 8, "Python objects" },
        { DICT("'O'", "(1,)"), 8, "expected a float" },
        { DICT("'>f4'", "(1,)"), 4, "big-endian" },
        { DICT("'<c8'", "(1,)"), 12, "dtype <c8" },
        { DICT("'<c8'", "(1,)"), 8, "dtype <c8" },
        { DICT("'<f3'", "(1,)"), 3, "dtype <f3" },
        { DICT("'<f'", "(1,)"), 4, "dtype <f" },
        { DICT("'<f4x'", "(1,)"), 4, "dtype <f4x" },
        { DICT("'<f-4'", "(1,)"), 4, "dtype <f-4" },
        { DICT("''", "(1,)"), 4, "expected descr" },
        { DICT("'|S99999999999999999999'", "(1,)"), 4, "dtype |S9999" },
        { DICT("[('a', '<f4')]", "(1,)"), 4, "record array" },
        { DICT("'<f4'", "(2,)"), 4, "4 bytes of data, its header promises 8" },
        { DICT("'<f4'", "(1,)"), 8, "8 bytes of data, its header promises 4" },
        { DICT("'<f4'", "(1099511627776,)"), 4, "promises 4398046511104" },
        { DICT("'<f8'", "(999999999999999999, 999999999999999999)"), 4, "promises more than" },
        { DICT("'<f4'", "(-1,)"), 4, "expected descr" },
        { DICT("'<f4'", "(1)"), 4, "expected descr" },
        { DICT("'<f4'", "(1,1,1,1,1,1,1,1,1)"), 4, "expected descr" },
        { DICT("'<f4'", "(1,)") "x", 4, "expected descr" },
        { "{'descr': '<f4', 'shape': (1,)}", 4, "expected descr" },
        { "{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}", 4, "expected descr" },
        { "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,)}", 4,
          "expected descr" },
        { "{", 0, "header" },
        { "", 0, "header" },
    };
    char npy[512];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size = make_npy(npy, sizeof npy, cases[i].dict, cases[i].data);
        write_zip(scratch("a.npz"), "v.npy", npy, size, ZIP_CM_STORE);
        check_bad_npz("/a.npz: v.npy", cases[i].says);
    }
    size_t size = make_npy(npy, sizeof npy, DICT("'<f4'", "(1,)"), 4);
    for (size_t cut = 0; cut < size; cut++) {
        write_zip(scratch("a.npz"), "v.npy", npy, cut, ZIP_CM_STORE);
        check_bad_npz("/a.npz: v.npy", "");
    }
    npy[8] = (char)0xff;
    write_zip(scratch("a.npz"), "v.npy", npy, size, ZIP_CM_STORE);
    check_bad_npz("/a.npz: v.npy", "not a whole NumPy array");
}

static void test_fortran_order(void **state)
{
    char npy[512];
    const char *dict = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3, 2), }";
    const uint8_t expected[] = { 0, 6, 2, 8, 4, 10, 1, 7, 3, 9, 5, 11 };
    size_t size = make_npy(npy, sizeof npy, dict, 12);
    write_zip(scratch("a.npz"), "v.npy", npy, size, ZIP_CM_DEFLATE);
    io_npz npz;
    hds_error error = { 0 };
    check_ok(io_npz_open(&npz, scratch("a.npz"), 0, &error), &error);
    assert_memory_equal(npz.arrays[0].data, expected, 12);
    io_npz_close(&npz);
}

/* Sets 4 bytes at `offset` after every zip record that begins with PK and `kind`. */
static void patch(char *bytes, size_t size, const char *kind, size_t offset, uint32_t value)
{
    for (size_t i = 0; i + offset + 4 <= size; i++)
        if (!memcmp(bytes + i, "PK", 2) && !memcmp(bytes + i + 2, kind, 2))
            memcpy(bytes + i + offset, &value, 4);
}

static size_t read_archive(char *bytes, size_t room)
{
    FILE *file = fopen(scratch("a.npz"), "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, room, file);
    fclose(file);
    return size;
}

static void test_bad_npz(void **state)
{
    char npy[512], archive[4096], changed[4096];
    size_t length = make_npy(npy, sizeof npy, DICT("'<f4'", "(8,)"), 32);
    write_zip(scratch("a.npz"), "v.txt", npy, length, ZIP_CM_STORE);
    check_bad_npz("/a.npz", "is a zip archive; unpack it");
    write_zip(scratch("a.npz"), "v.npy", npy, length, ZIP_CM_STORE);
    size_t size = read_archive(archive, sizeof archive);
    hds_error error = { 0 };
    check_ok(open_npz(scratch("a.npz"), 0, &error), &error);
    hds_status status = open_npz(scratch("a.npz"), length - 1, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, "/a.npz: v.npy", "more than the");
    for (size_t cut = 0; cut < size; cut++) {
        scratch_write(scratch("a.npz"), archive, cut);
        check_bad_npz("/a.npz", "");
    }
    memcpy(changed, archive, size);
    changed[30 + 5 + length - 1] ^= 1; /* the last byte of data: the checksum tells */
    scratch_write(scratch("a.npz"), changed, size);
    check_bad_npz("/a.npz: v.npy", "CRC");
    write_zip(scratch("a.npz"), "v.npy", npy, length, ZIP_CM_DEFLATE);
    size = read_archive(archive, sizeof archive);
    /* about 2 GiB, a little more than there is, a little less */
    const uint32_t claims[] = { 0x7ffffff0u, (uint32_t)length + 50, (uint32_t)length - 4 };
    for (int i = 0; i < 3; i++) {
        memcpy(changed, archive, size);
        patch(changed, size, "\1\2", 24, claims[i]);
        patch(changed, size, "\3\4", 22, claims[i]);
        scratch_write(scratch("a.npz"), changed, size);
        check_bad_npz("/a.npz: v.npy", i ? "" : "which cannot be");
    }
}

static void test_name_twice(void **state)
{
    char archive[4096];
    uint8_t one = 1;
    const io_array arrays[] = { { "va", 'u', 1, 0, { 0 }, &one, 1 },
                                { "vb", 'u', 1, 0, { 0 }, &one, 1 } };
    hds_error error = { 0 };
    check_ok(io_npz_write(scratch("a.npz"), arrays, 2, &error), &error);
    size_t size = read_archive(archive, sizeof archive);
    for (size_t i = 0; i + 6 <= size; i++)
        if (!memcmp(archive + i, "vb.npy", 6))
            archive[i + 1] = 'a';
    scratch_write(scratch("a.npz"), archive, size);
    check_bad_npz("/a.npz: va", "there twice");
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_teardown(name, scratch_empty)
    const struct CMUnitTest tests[] = {
        FILE_TEST(test_safetensors_round),
        FILE_TEST(test_safetensors_refused_at_writing),
        FILE_TEST(test_bad_safetensors),
        FILE_TEST(test_conversions),
        FILE_TEST(test_halves),
        FILE_TEST(test_bfloats),
        FILE_TEST(test_npz_round),
        FILE_TEST(test_bad_npy),
        FILE_TEST(test_fortran_order),
        FILE_TEST(test_bad_npz),
        FILE_TEST(test_name_twice),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}

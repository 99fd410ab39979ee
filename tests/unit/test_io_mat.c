/* SPDX-License-Identifier: Apache-2.0 */
/* MATLAB files, written by matio: what is read is what was written, in every form and type; and
 * what hostile ones say. */
#include "mat_forms.h"
#include "scratch.h"

#include <math.h>
#include <zlib.h>

static size_t largest; /* memory asked for at once */
void *__real_hds_alloc(size_t count, size_t size);
void *__wrap_hds_alloc(size_t count, size_t size);
void *__wrap_hds_alloc(size_t count, size_t size)
{
    largest = count * size > largest ? count * size : largest;
    return __real_hds_alloc(count, size);
}

static mat_t *create(const mat_form *f)
{
    return mat_create(scratch(f->name), f);
}

static void open_form(io_mat *mat, const mat_form *f)
{
    hds_error error = { 0 };
    check_ok(io_mat_open(mat, scratch(f->name), &error), &error);
}

/* ---- what comes back ---- */

static const struct {
    const char *name;
    enum matio_classes class;
    enum matio_types type;
    char kind;
    int itemsize;
} kinds[] = {
    { "an_f8", MAT_C_DOUBLE, MAT_T_DOUBLE, 'f', 8 },
    { "an_f4", MAT_C_SINGLE, MAT_T_SINGLE, 'f', 4 },
    { "an_i1", MAT_C_INT8, MAT_T_INT8, 'i', 1 },
    { "a_u1", MAT_C_UINT8, MAT_T_UINT8, 'u', 1 },
    { "an_i2", MAT_C_INT16, MAT_T_INT16, 'i', 2 },
    { "a_u2", MAT_C_UINT16, MAT_T_UINT16, 'u', 2 },
    { "an_i4", MAT_C_INT32, MAT_T_INT32, 'i', 4 },
    { "a_u4", MAT_C_UINT32, MAT_T_UINT32, 'u', 4 },
    { "an_i8", MAT_C_INT64, MAT_T_INT64, 'i', 8 },
    { "a_u8", MAT_C_UINT64, MAT_T_UINT64, 'u', 8 },
};
enum { KINDS = sizeof kinds / sizeof *kinds, NUMBERS = 2 * 3 * 5 };

static double number_of(size_t kind, size_t i)
{
    double size = kinds[kind].itemsize > 1 ? 300 : 4;
    double sign = kinds[kind].kind != 'u' && i % 2 ? -1 : 1;
    return sign * size * (double)i + (kinds[kind].kind == 'f' ? 0.25 : 0);
}

static void fill(void *out, size_t kind, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        double d = number_of(kind, i);
        float f = (float)d;
        int64_t n = (int64_t)d;
        memcpy((char *)out + i * (size_t)kinds[kind].itemsize,
               kinds[kind].kind != 'f'    ? (void *)&n
               : kinds[kind].itemsize > 4 ? (void *)&d
                                          : (void *)&f,
               (size_t)kinds[kind].itemsize);
    }
}

static void test_every_form_and_type(void **state)
{
    for (int f = 0; f < MAT_FORMS; f++) {
        mat_t *file = create(&mat_forms[f]);
        double numbers[NUMBERS];
        for (size_t k = 0; k < KINDS; k++) {
            fill(numbers, k, NUMBERS);
            mat_put(file, &mat_forms[f], kinds[k].name, kinds[k].class, kinds[k].type, 3,
                    (size_t[]){ 2, 3, 5 }, numbers, 0);
        }
        Mat_Close(file);
        io_mat mat;
        open_form(&mat, &mat_forms[f]);
        assert_int_equal(mat.count, KINDS);
        for (size_t k = 0; k < KINDS; k++) {
            io_array a;
            hds_error error = { 0 };
            assert_true(io_mat_has(&mat, kinds[k].name));
            check_ok(io_mat_read(&a, &mat, kinds[k].name, &error), &error);
            assert_true(a.kind == kinds[k].kind && a.itemsize == kinds[k].itemsize);
            assert_true(a.dims == 3 && a.shape[0] == 2 && a.shape[1] == 3 && a.shape[2] == 5);
            for (size_t i = 0; i < NUMBERS; i++)
                assert_true(io_is_numeric(&a) && io_number(&a, i) == number_of(k, i));
            hds_free(a.data);
        }
        io_mat_close(&mat);
    }
}

/* More than one chunk, whose last ones reach beyond the array. */
static void test_large(void **state)
{
    enum { ROWS = 211, COLUMNS = 2003 };
    float *numbers = malloc(sizeof *numbers * ROWS * COLUMNS);
    assert_non_null(numbers);
    rng r = rng_make(7, 0);
    rng_normal_fill(&r, numbers, ROWS * COLUMNS);
    for (int f = 0; f < MAT_FORMS; f++) {
        mat_t *file = create(&mat_forms[f]);
        mat_put(file, &mat_forms[f], "large", MAT_C_SINGLE, MAT_T_SINGLE, 2,
                (size_t[]){ ROWS, COLUMNS }, numbers, 0);
        Mat_Close(file);
        io_mat mat;
        io_array a;
        hds_error error = { 0 };
        open_form(&mat, &mat_forms[f]);
        check_ok(io_mat_read(&a, &mat, "large", &error), &error);
        assert_true(a.dims == 2 && a.shape[0] == ROWS && a.shape[1] == COLUMNS);
        assert_int_equal(a.size, sizeof *numbers * ROWS * COLUMNS);
        assert_memory_equal(a.data, numbers, a.size);
        hds_free(a.data);
        io_mat_close(&mat);
    }
    free(numbers);
}

/* What h5py writes: shuffled chunks, of which the last reach beyond the array; see make_corpus.py.
 */
static void test_shuffled_chunks(void **state)
{
    io_mat mat;
    io_array a;
    hds_error error = { 0 };
    check_ok(io_mat_open(&mat, CORPUS "/mat/chunks73.mat", &error), &error);
    assert_int_equal(mat.count, 3);
    check_ok(io_mat_read(&a, &mat, "parts", &error), &error);
    assert_true(a.kind == 'i' && a.itemsize == 2 && a.shape[0] == 7 && a.shape[1] == 5);
    for (size_t i = 0; i < 35; i++)
        assert_true(io_number(&a, i) == -(double)i);
    hds_free(a.data);
    check_ok(io_mat_read(&a, &mat, "whole", &error), &error);
    assert_true(a.kind == 'f' && a.itemsize == 8 && a.shape[0] == 3 && a.shape[1] == 4);
    for (size_t i = 0; i < 12; i++)
        assert_true(io_number(&a, i) == (double)i);
    hds_free(a.data);
    io_mat_close(&mat);
}

static void check_refused(const mat_form *f, const char *name, const char *says)
{
    io_mat mat;
    io_array a;
    hds_error error = { 0 };
    open_form(&mat, f);
    assert_true(io_mat_has(&mat, name) || !strcmp(says, "is missing"));
    hds_status status = io_mat_read(&a, &mat, name, &error);
    check_error(status, &error, HDS_ERROR_FORMAT, f->name, name);
    check_error(status, &error, HDS_ERROR_FORMAT, f->name, says);
    assert_null(a.data);
    io_mat_close(&mat);
}

static void test_other_classes(void **state)
{
    double numbers[6] = { 1, 2, 3 };
    mat_complex_split_t split = { numbers, numbers };
    for (int f = 0; f < MAT_FORMS; f++) {
        bool hdf = mat_forms[f].version == MAT_FT_MAT73;
        mat_t *file = create(&mat_forms[f]);
        mat_put(file, &mat_forms[f], "words", MAT_C_CHAR, MAT_T_UINT8, 2, (size_t[]){ 1, 4 },
                "abcd", 0);
        mat_put(file, &mat_forms[f], "waves", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 1, 3 },
                &split, MAT_F_COMPLEX);
        mat_put(file, &mat_forms[f], "cells", MAT_C_CELL, MAT_T_CELL, 2, (size_t[]){ 1, 1 },
                (matvar_t *[]){ Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2,
                                              (size_t[]){ 1, 3 }, numbers, 0) },
                0);
        matvar_t *record =
            Mat_VarCreateStruct("record", 2, (size_t[]){ 1, 1 }, (const char *[]){ "field" }, 1);
        Mat_VarSetStructFieldByName(
            record, "field", 0,
            Mat_VarCreate(NULL, MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 1, 3 }, numbers, 0));
        assert_int_equal(Mat_VarWrite(file, record, mat_forms[f].packing), 0);
        Mat_VarFree(record);
        mat_put(file, &mat_forms[f], "nothing", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 0, 3 },
                numbers, 0);
        Mat_Close(file);
        check_refused(&mat_forms[f], "words", "is text");
        check_refused(&mat_forms[f], "waves", "is complex, expected an array of real numbers");
        check_refused(&mat_forms[f], "cells", hdf ? "holds something other" : "is a cell array");
        check_refused(&mat_forms[f], "record", "is a struct");
        check_refused(&mat_forms[f], "elsewhere", "is missing");
        if (hdf)
            check_refused(&mat_forms[f], "nothing", "is empty");
    }
}

/* ---- version 5 by hand ---- */

typedef struct bytes {
    unsigned char at[1200];
    size_t size;
} bytes;

static void append(bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->at);
    memcpy(b->at + b->size, data, size);
    b->size += size;
}

static void append_u4(bytes *b, uint32_t number)
{
    append(b, &number, 4);
}

/* type u4, size u4, data padded to 8 */
static void append_element(bytes *b, uint32_t type, const void *data, uint32_t size)
{
    append_u4(b, type);
    append_u4(b, size);
    append(b, data, size);
    append(b, "\0\0\0\0\0\0\0", -size % 8);
}

static void begin_file(bytes *b)
{
    b->size = 0;
    append(b, "MATLAB 5.0 MAT-file", 19);
    while (b->size < 124)
        append(b, " ", 1);
    append(b, "\0\1IM", 4);
}

/* (1,3) doubles, stored as `type`; `claim` instead of the true size of the matrix, if any. */
static void append_matrix(bytes *b, const char *name, uint32_t type, const void *data,
                          uint32_t size, uint32_t claim)
{
    bytes m = { .size = 0 };
    append_element(&m, 6, (uint32_t[]){ 6, 0 }, 8);
    append_element(&m, 5, (int32_t[]){ 1, 3 }, 8);
    append_element(&m, 1, name, (uint32_t)strlen(name));
    append_element(&m, type, data, size);
    append_u4(b, 14);
    append_u4(b, claim ? claim : (uint32_t)m.size);
    append(b, m.at, m.size);
}

static void check_not_open(const bytes *b, const char *says)
{
    io_mat mat;
    hds_error error = { 0 };
    scratch_write(scratch("hand.mat"), b->at, b->size);
    check_error(io_mat_open(&mat, scratch("hand.mat"), &error), &error, HDS_ERROR_FORMAT,
                "hand.mat", says);
    assert_true(!mat.path && !mat.variables && !mat.map.bytes);
}

/* MATLAB stores doubles that are whole as small integers, and little data inside of the tag. */
static void test_stored_small(void **state)
{
    const int16_t whole[] = { -5, 0, 300 };
    static const unsigned char in_tag[] = { 2, 0, 3, 0, 7, 8, 9, 0 };
    bytes b;
    begin_file(&b);
    append_matrix(&b, "whole", 3, whole, sizeof whole, 0);
    append_matrix(&b, "", 1, "abc", 3, 0); /* what MATLAB adds for itself has no name */
    append_matrix(&b, "tiny", 1, "", 0, 0);
    memcpy(b.at + b.size - 8, in_tag, sizeof in_tag);
    scratch_write(scratch("hand.mat"), b.at, b.size);
    const mat_form f = { .name = "hand.mat" };
    io_mat mat;
    io_array a;
    hds_error error = { 0 };
    open_form(&mat, &f);
    assert_int_equal(mat.count, 2);
    check_ok(io_mat_read(&a, &mat, "whole", &error), &error);
    assert_true(a.kind == 'i' && a.itemsize == 2 && a.dims == 2 && a.shape[1] == 3);
    assert_memory_equal(a.data, whole, sizeof whole);
    hds_free(a.data);
    check_ok(io_mat_read(&a, &mat, "tiny", &error), &error);
    assert_true(a.kind == 'u' && io_number(&a, 0) == 7 && io_number(&a, 2) == 9);
    hds_free(a.data);
    io_mat_close(&mat);
}

static void test_bad_version_5(void **state)
{
    const double numbers[] = { 1, 2, 3 };
    bytes b;
    begin_file(&b);
    append_matrix(&b, "x", 9, numbers, 24, 0);
    append_matrix(&b, "x", 9, numbers, 24, 0);
    check_not_open(&b, "x: there twice");
    begin_file(&b);
    append_matrix(&b, "x", 9, numbers, 24, 10000);
    check_not_open(&b, "byte 128: a variable that reaches out of the file's");
    begin_file(&b);
    append_element(&b, 3, numbers, 24);
    check_not_open(&b, "byte 128: is no variable");
    begin_file(&b);
    append_element(&b, 15, numbers, 24);
    check_not_open(&b, "byte 128: is no variable");
    begin_file(&b);
    memcpy(b.at + 126, "MI", 2);
    check_not_open(&b, "is big-endian");
    begin_file(&b);
    b.at[125] = 4;
    check_not_open(&b, "of an unknown version");
    begin_file(&b);
    b.size = 127;
    check_not_open(&b, "is cut short after 127 bytes");
    begin_file(&b);
    b.at[0] = 0; /* as version 4 begins */
    check_not_open(&b, "expected a MATLAB file of version 5 or 7.3: save it with -v7");
    b.size = 0;
    check_not_open(&b, "is empty");
    const mat_form f = { .name = "hand.mat" };
    begin_file(&b);
    append_matrix(&b, "few", 9, numbers, 16, 0);
    append_matrix(&b, "odd", 8, numbers, 24, 0);
    scratch_write(scratch("hand.mat"), b.at, b.size);
    check_refused(&f, "few", "16 bytes of numbers, which is not what its dimensions promise");
    check_refused(&f, "odd", "has no numbers");
}

/* ---- what claims too much, and damage ---- */

static unsigned char *read_form(const mat_form *f, size_t *size)
{
    io_map map;
    assert_int_equal(io_map_open(&map, scratch(f->name), NULL), HDS_OK);
    unsigned char *copy = malloc(map.size);
    assert_non_null(copy);
    memcpy(copy, map.bytes, *size = map.size);
    io_map_close(&map);
    return copy;
}

/* Puts `to` in all places of `from`, and of it alone. */
static void replace(unsigned char *at, size_t size, const void *from, const void *to, size_t length)
{
    int found = 0;
    for (size_t i = 0; i + length <= size; i++)
        if (!memcmp(at + i, from, length)) {
            memcpy(at + i, to, length);
            found++;
        }
    assert_true(found > 0);
}

static void test_bad_chunks(void **state)
{
    const mat_form f = { .name = "chunks.mat" };
    const struct {
        uint64_t from[3], to[3]; /* place of a chunk */
        const char *says;
    } changes[] = {
        { { 0, 4, 0 }, { 0, 0, 0 }, "has a chunk twice" },
        { { 2, 4, 0 }, { 2, 5, 0 }, "has a chunk where none can be" },
        { { 2, 4, 0 }, { 2, 8, 0 }, "has a chunk where none can be" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        io_map map;
        assert_int_equal(io_map_open(&map, CORPUS "/mat/chunks73.mat", NULL), HDS_OK);
        unsigned char *copy = malloc(map.size);
        assert_non_null(copy);
        memcpy(copy, map.bytes, map.size);
        replace(copy, map.size, changes[i].from, changes[i].to, sizeof changes[i].from);
        scratch_write(scratch(f.name), copy, map.size);
        check_refused(&f, "parts", changes[i].says);
        free(copy);
        io_map_close(&map);
    }
}

static size_t find_bytes(const unsigned char *at, size_t size, const void *wanted, size_t length)
{
    size_t i = 0;
    while (i + length <= size && memcmp(at + i, wanted, length) != 0)
        i++;
    assert_true(i + length <= size);
    return i;
}

/* Puts what lies at `from` at the end, changed by the caller, and all that point at it with it. */
static unsigned char *move_to_end(unsigned char *file, size_t size, size_t from, size_t length)
{
    uint64_t old = from - 512, new = size - 512;
    file = realloc(file, size + length);
    assert_non_null(file);
    replace(file, size, &old, &new, 8);
    memset(file + size, 0, length);
    return file;
}

static void test_messages_twice(void **state)
{
    const mat_form *f = &mat_forms[3];
    const uint16_t types[] = { 1, 3, 8, 11 }; /* space, type, layout, filters */
    double numbers[13 * 17] = { 1 };
    mat_t *out = create(f);
    mat_put(out, f, "x", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 13, 17 }, numbers, 0);
    Mat_Close(out);
    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        io_mat mat;
        size_t size, from, twice = 0;
        open_form(&mat, f);
        from = (size_t)(mat.variables[0].at - mat.map.bytes);
        io_mat_close(&mat);
        unsigned char *file = read_form(f, &size);
        uint32_t length;
        uint16_t count, type, span = 0;
        memcpy(&length, file + from + 8, 4);
        for (size_t at = from + 16; at < from + 16 + length && !twice; at += 8u + span) {
            memcpy(&type, file + at, 2);
            memcpy(&span, file + at + 2, 2);
            twice = type == types[t] ? at : 0;
        }
        assert_true(twice);
        size_t whole = 16 + length, extra = 8u + span;
        file = move_to_end(file, size, from, whole + extra);
        memcpy(file + size, file + from, 16);
        memcpy(&count, file + from + 2, 2);
        count++;
        length += (uint32_t)extra;
        memcpy(file + size + 2, &count, 2);
        memcpy(file + size + 8, &length, 4);
        memcpy(file + size + 16, file + twice, extra);
        memcpy(file + size + 16 + extra, file + from + 16, whole - 16);
        const mat_form hand = { .name = "hand.mat" };
        scratch_write(scratch("hand.mat"), file, size + whole + extra);
        check_refused(&hand, "x", "says twice what it is");
        free(file);
    }
}

/* A tree whose entries are all the same list of names, none of them of a variable. */
static void test_names_again_and_again(void **state)
{
    enum { ENTRIES = 1000, NODE = 24 + 16 * ENTRIES + 8 };
    const mat_form *f = &mat_forms[2];
    double numbers[4] = { 1 };
    mat_t *out = create(f);
    mat_put(out, f, "aname", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 2, 2 }, numbers, 0);
    Mat_Close(out);
    size_t size;
    unsigned char *file = read_form(f, &size);
    replace(file, size, "aname", "#name", 5);
    size_t from = find_bytes(file, size, "TREE", 5);
    const uint16_t count = ENTRIES;
    file = move_to_end(file, size, from, NODE);
    memcpy(file + size, file + from, 24);
    memcpy(file + size + 6, &count, 2);
    for (size_t i = 0; i < ENTRIES; i++)
        memcpy(file + size + 24 + 16 * i, file + from + 24, 16);
    io_mat mat;
    hds_error error = { 0 };
    scratch_write(scratch("hand.mat"), file, size + NODE);
    check_error(io_mat_open(&mat, scratch("hand.mat"), &error), &error, HDS_ERROR_FORMAT,
                "hand.mat", "has a tree in which nodes lie twice");
    free(file);
}

static void check_claim(const mat_form *f, const char *says)
{
    io_mat mat;
    io_array a;
    hds_error error = { 0 };
    largest = 0;
    hds_status status = io_mat_open(&mat, scratch(f->name), &error);
    if (!status)
        status = io_mat_read(&a, &mat, "x", &error);
    check_error(status, &error, HDS_ERROR_FORMAT, f->name, says);
    assert_true(largest < 1 << 20);
    io_mat_close(&mat);
}

/* Writes hand.mat: one packed matrix x, whose tag claims `claim` bytes (0: the truth). */
static void write_packed(uint32_t claim, bool damaged)
{
    const double numbers[3] = { 1 };
    bytes b, inner = { .size = 0 };
    unsigned char packed[512];
    unsigned long length = sizeof packed;
    append_matrix(&inner, "x", 9, numbers, 24, claim);
    assert_int_equal(compress(packed, &length, inner.at, inner.size), Z_OK);
    packed[length - 1] ^= damaged; /* of the checksum */
    begin_file(&b);
    append_u4(&b, 15);
    append_u4(&b, (uint32_t)length);
    append(&b, packed, length);
    scratch_write(scratch("hand.mat"), b.at, b.size);
}

static void test_bad_packed(void **state)
{
    const mat_form f = { .name = "hand.mat" };
    write_packed(0, true);
    check_refused(&f, "x", "does not unpack to the 80 bytes it claims");
    write_packed(72, false);
    check_refused(&f, "x", "does not unpack to the 72 bytes it claims");
    write_packed(88, false);
    check_refused(&f, "x", "does not unpack to the 88 bytes it claims");
}

/* Small files that claim 2 GiB, and nothing of that size is asked for. */
static void test_claims(void **state)
{
    double numbers[13 * 17] = { 1 };
    unsigned char *file;
    size_t size;
    for (int f = 2; f < MAT_FORMS; f++) { /* 7.3: the dimensions, as HDF5 has them */
        mat_t *out = create(&mat_forms[f]);
        mat_put(out, &mat_forms[f], "x", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 13, 17 },
                numbers, 0);
        Mat_Close(out);
        file = read_form(&mat_forms[f], &size);
        replace(file, size, (uint64_t[]){ 17, 13 }, (uint64_t[]){ 1 << 14, 1 << 14 }, 16);
        scratch_write(scratch(mat_forms[f].name), file, size);
        check_claim(&mat_forms[f], "x: claims more bytes than the file can hold");
        free(file);
    }
    /* 7.3: chunks that reach far beyond the array, each no more than the file could hold */
    mat_t *out = create(&mat_forms[3]);
    mat_put(out, &mat_forms[3], "x", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 13, 17 }, numbers,
            0);
    Mat_Close(out);
    file = read_form(&mat_forms[3], &size);
    size_t layout = find_bytes(file, size, (unsigned char[]){ 3, 2, 3 }, 3);
    memcpy(file + layout + 11, (uint32_t[]){ 1, 90000, 8 }, 12);
    scratch_write(scratch(mat_forms[3].name), file, size);
    check_claim(&mat_forms[3], "x: has chunks of more bytes than the file can hold");
    free(file);
    /* 5, packed: a stream of one matrix whose tag says 2 GB */
    const mat_form hand = { .name = "hand.mat" };
    bytes b;
    write_packed(2000000000, false);
    check_claim(&hand, "x: claims 2000000000 bytes from");
    /* 5: numbers of which the file has too few */
    begin_file(&b);
    append_matrix(&b, "x", 9, numbers, 24, 0);
    replace(b.at, b.size, (int32_t[]){ 1, 3 }, (int32_t[]){ 1 << 14, 1 << 14 }, 8);
    scratch_write(scratch("hand.mat"), b.at, b.size);
    check_claim(&hand, "x: 24 bytes of numbers, which is not what its dimensions promise");
}

/* Every cut and every changed byte gives arrays or an error, never anything else. */
static void test_damaged(void **state)
{
    double numbers[40] = { 1, -2, 3.5 };
    for (int f = 0; f < MAT_FORMS; f++) {
        mat_t *out = create(&mat_forms[f]);
        mat_put(out, &mat_forms[f], "x", MAT_C_DOUBLE, MAT_T_DOUBLE, 2, (size_t[]){ 8, 5 }, numbers,
                0);
        mat_put(out, &mat_forms[f], "y", MAT_C_INT32, MAT_T_INT32, 2, (size_t[]){ 3, 3 }, numbers,
                0);
        Mat_Close(out);
        size_t size;
        unsigned char *whole = read_form(&mat_forms[f], &size), *bad = malloc(size);
        assert_non_null(bad);
        rng r = rng_make(5, (uint64_t)f);
        for (int trial = 0; trial < 500; trial++) {
            size_t cut = trial < 100 ? rng_below(&r, (uint32_t)size) : size;
            memcpy(bad, whole, size);
            for (int k = 0; trial >= 100 && k < 3; k++) {
                size_t at = rng_below(&r, (uint32_t)size);
                while (rng_below(&r, 4) && !bad[at]) /* mostly where something is */
                    at = rng_below(&r, (uint32_t)size);
                bad[at] = (unsigned char)rng_u32(&r);
            }
            scratch_write(scratch("bad.mat"), bad, cut);
            io_mat mat;
            hds_error error = { 0 };
            largest = 0;
            hds_status status = io_mat_open(&mat, scratch("bad.mat"), &error);
            assert_true(!status || strstr(error.message, "bad.mat"));
            for (size_t i = 0; !status && i < mat.count; i++) {
                io_array a;
                hds_error inner = { 0 };
                if (io_mat_read(&a, &mat, mat.variables[i].name, &inner))
                    assert_true(strstr(inner.message, "bad.mat") && !a.data);
                hds_free(a.data);
            }
            assert_true(largest < 1100 * size + 200000);
            io_mat_close(&mat);
        }
        free(whole);
        free(bad);
    }
}

#define EACH(test) cmocka_unit_test_teardown(test, scratch_empty)
int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(test_every_form_and_type), EACH(test_large),          EACH(test_shuffled_chunks),
        EACH(test_other_classes),       EACH(test_stored_small),   EACH(test_bad_version_5),
        EACH(test_bad_chunks),          EACH(test_messages_twice), EACH(test_names_again_and_again),
        EACH(test_bad_packed),          EACH(test_claims),         EACH(test_damaged),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}

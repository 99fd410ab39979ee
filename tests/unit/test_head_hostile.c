/* SPDX-License-Identifier: Apache-2.0 */
/* Head models that lie: about sizes, names and numbers. Each is refused by file, field and place,
 * and what a file of a few kilobytes claims is not allocated: the linker puts the functions below
 * in place of the C library's, and they keep the largest request. */
#include "tiny_head.h"

#include "headfile/headfile_priv.h"

#include <math.h>
#include <zip.h>

enum { PLENTY = 4 << 20, ROOM = 1 << 16 };
static size_t largest;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
int __real_posix_memalign(void **memory, size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t size);

static size_t note(size_t size)
{
    largest = size > largest ? size : largest;
    return size;
}

void *__wrap_malloc(size_t size)
{
    return __real_malloc(note(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    note(count * size);
    return __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return __real_realloc(memory, note(size));
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t size)
{
    return __real_posix_memalign(memory, alignment, note(size));
}

static int setup(void **state)
{
    *state = files_folder();
    return 0;
}

static int teardown(void **state)
{
    files_remove(*state);
    return 0;
}

/* It is refused with a message that has these words, and took no memory to speak of. */
static void check_refused(const char *path, const char *words)
{
    head_model *m = NULL;
    hds_error error = { 0 };
    largest = 0;
    if (headfile_load_npz(&m, path, &error) == HDS_OK)
        fail_msg("loaded, expected an error with \"%s\"", words);
    size_t asked = largest;
    files_check_error(&error, HDS_ERROR_FORMAT, path, words);
    assert_null(m);
    assert_true(asked > 0 && asked < PLENTY);
}

/* ---- the archive ---- */

typedef struct archive {
    unsigned char bytes[ROOM];
    size_t size;
    char *path;
} archive;

/* These arrays as a file, to be damaged. */
static void make_archive(archive *a, const char *folder, const io_array *arrays, size_t count)
{
    io_map map;
    a->path = tiny_write(folder, "a.npz", arrays, count);
    assert_int_equal(io_map_open(&map, a->path, NULL), HDS_OK);
    assert_true(map.size <= sizeof a->bytes);
    memcpy(a->bytes, map.bytes, a->size = map.size);
    io_map_close(&map);
}

static void make_head(archive *a, const char *folder)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    make_archive(a, folder, arrays, TINY_ARRAYS);
}

static void write_back(const archive *a)
{
    files_write_bytes(a->path, a->bytes, a->size);
}

/* The record of a member: of the directory (PK 1 2) or before its data (PK 3 4). */
static unsigned char *record(archive *a, const char *kind, size_t header, const char *member)
{
    size_t length = strlen(member);
    for (unsigned char *at = a->bytes; at + header + length <= a->bytes + a->size; at++)
        if (!memcmp(at, "PK", 2) && !memcmp(at + 2, kind, 2) &&
            !memcmp(at + header, member, length))
            return at;
    fail_msg("no record of %s", member);
    return NULL;
}

static void put_size(unsigned char *at, uint32_t size)
{
    for (int i = 0; i < 4; i++)
        at[i] = (unsigned char)(size >> 8 * i);
}

/* What both records of a member claim: its packed and its unpacked size. */
static void claim(archive *a, const char *member, uint32_t packed, uint32_t size)
{
    unsigned char *entry = record(a, "\1\2", 46, member), *local = record(a, "\3\4", 30, member);
    put_size(entry + 20, packed);
    put_size(entry + 24, size);
    put_size(local + 18, packed);
    put_size(local + 22, size);
}

static void test_sizes_in_the_archive(void **state)
{
    static archive a;
    const struct {
        uint32_t packed, size;
        const char *words;
    } cases[] = {
        { 0x70000000, 0x70000000, "vertices.npy: claims 1879048192 packed bytes, the file has " },
        { 0x70000000, 176, "vertices.npy: claims 1879048192 packed bytes, the file has " },
        { 200, 0x70000000, "vertices.npy: claims 1879048192 bytes from 200 packed ones, which" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make_head(&a, *state);
        claim(&a, "vertices.npy", cases[i].packed, cases[i].size);
        write_back(&a);
        check_refused(a.path, cases[i].words);
        hds_free(a.path);
    }
}

/* 200 members of a megabyte each over one stretch of zeros, well packed. */
static void test_members_over_each_other(void **state)
{
    enum { ZEROS = 1 << 20, COPIES = 200 };
    static unsigned char zeros[ZEROS];
    static archive a;
    unsigned char entry[128], end[22];
    const io_array one = TINY("m000", 'u', 1, zeros, ZEROS);
    make_archive(&a, *state, &one, 1);
    unsigned char *at = record(&a, "\1\2", 46, "m000.npy");
    size_t directory = (size_t)(at - a.bytes), length = a.size - sizeof end - directory;
    assert_true(length <= sizeof entry && directory + COPIES * length + sizeof end <= ROOM);
    memcpy(entry, at, length);
    memcpy(end, at + length, sizeof end);
    for (int i = 0; i < COPIES; i++, at += length) {
        char name[8];
        memcpy(at, entry, length);
        snprintf(name, sizeof name, "m%03d", i);
        memcpy(at + 46, name, 4);
    }
    end[8] = end[10] = COPIES;
    put_size(end + 12, COPIES * (uint32_t)length);
    memcpy(at, end, sizeof end);
    a.size = directory + COPIES * length + sizeof end;
    write_back(&a);
    io_npz npz;
    hds_error error = { 0 };
    assert_int_equal(io_npz_open(&npz, a.path, 0, &error), HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, a.path, "that are left to this file");
    check_refused(a.path, "name is missing"); /* what nobody needs is not unpacked */
    hds_free(a.path);
}

/* ---- arrays ---- */

typedef struct lie {
    const char *member, *descr, *order, *shape;
    const void *data;
    size_t size;
    const char *words;
} lie;

/* Puts an array of this header into the archive, in place of one of its name or beside the others.
 */
static void put_member(const char *path, const lie *l)
{
    static char npy[ROOM];
    int length =
        snprintf(npy + 10, sizeof npy - 10, "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n",
                 l->descr, l->order, l->shape);
    memcpy(npy, "\x93NUMPY\1", 8);
    npy[8] = (char)length;
    npy[9] = 0;
    memcpy(npy + 10 + length, l->data, l->size);
    zip_t *zip = zip_open(path, 0, NULL);
    assert_non_null(zip);
    zip_source_t *source = zip_source_buffer(zip, npy, 10 + (size_t)length + l->size, 0);
    zip_int64_t index = zip_file_add(zip, l->member, source, ZIP_FL_OVERWRITE);
    assert_true(index >= 0);
    assert_int_equal(zip_set_file_compression(zip, (zip_uint64_t)index, ZIP_CM_STORE, 0), 0);
    assert_int_equal(zip_close(zip), 0);
}

static char *write_with(const char *folder, const lie *l)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    char *path = tiny_write(folder, "a.npz", arrays, TINY_ARRAYS);
    put_member(path, l);
    return path;
}

#define LIE(member, descr, shape, data, words)                                                     \
    {                                                                                              \
        member ".npy", descr, "False", shape, data, sizeof data, words                             \
    }

static void test_headers_that_lie(void **state)
{
    static const uint32_t far_corner[12] = { [2] = 0xffffffff }, next_corner[12] = { [11] = 4 };
    static const int32_t own_parent[] = { -1, 0, 2 }, least[] = { -1, INT32_MIN, 0 };
    static const double wide[12] = { [7] = 1e39 };
    static const uint16_t half[] = { 0x3C00, 0, 0, 0x3C00, 0, 0, 0x3C00, 0, 0, 0, 0, 0x7C00 };
    static const float nan_moves[18] = { [17] = NAN };
    static const uint8_t column[16385 * 3];
    static const uint32_t wide_names[4] = { 'a', 'b', 'c', 'd' };
    const lie lies[] = {
        LIE("shape_basis", "<f4", "(178956970, 4, 3)", tiny_shape,
            "shape_basis.npy: 96 bytes of data, its header promises 8589934560"),
        LIE("shape_basis", "<f4", "(999999999999999999, 999999999999999999, 3)", tiny_shape,
            "shape_basis.npy: 96 bytes of data, its header promises more than"),
        LIE("shape_basis", "<f4", "(2, -4, 3)", tiny_shape,
            "shape_basis.npy: array header: expected descr, fortran_order and a shape of at most 8 "
            "lengths, none negative"),
        LIE("vertices", ">f4", "(4, 3)", tiny_vertices,
            "vertices.npy: dtype >f4 is big-endian, expected '<': save it with .astype('<f4')"),
        LIE("vertices", "<c8", "(4, 3)", tiny_vertices,
            "vertices.npy: dtype <c8, expected a float"),
        LIE("vertices", "|O", "(4, 3)", tiny_vertices, "vertices.npy: holds Python objects"),
        LIE("vertices", "<M8[ns]", "(4, 3)", tiny_vertices,
            "vertices.npy: dtype <M8[ns], expected"),
        LIE("vertices", "<f8", "(4, 3)", wide, "vertices[2,1] is inf, expected a finite number"),
        LIE("faces", "<u4", "(4, 3)", far_corner, "faces[0,2] is 4294967295, expected less than 4"),
        LIE("faces", "<u4", "(4, 3)", next_corner, "faces[3,2] is 4, expected less than 4"),
        LIE("faces", "<i4", "(4, 3)", far_corner, "faces: type i4, expected u4"),
        LIE("joint_parents", "<i4", "(3,)", own_parent,
            "joint_parents[2] is 2, expected an earlier joint, 0 to 1"),
        LIE("joint_parents", "<i4", "(3,)", least, "joint_parents[1] is -2147483648, expected an"),
        LIE("skin_weights", "<f2", "(4, 3)", half, "skin_weights[3,2] is inf, expected 0 or more"),
        LIE("joint_expression_basis", "<f4", "(2, 3, 3)", nan_moves,
            "joint_expression_basis[1,2,2] is nan, expected a finite number"),
        LIE("joint_names", "|S4", "(3,)", "necka\0bceye",
            "joint_names[1] goes on after a zero byte"),
        LIE("name", "|S4", "()", "a\0b", "name[0] goes on after a zero byte, expected text"),
        LIE("expression_names", "<U2", "(2,)", wide_names,
            "expression_names: type U8, expected S (bytes)"),
        { "mean_texture.npy", "|u1", "False", "(2, 0, 3)", "", 0,
          "0 columns of mean_texture, expected 1 to 16384" },
        { "vertices.npy", "<f4", "Maybe", "(4, 3)", tiny_vertices, sizeof tiny_vertices,
          "vertices.npy: array header: expected descr, fortran_order" },
        LIE("mean_texture", "|u1", "(16385, 1, 3)", column,
            "16385 rows of mean_texture, expected 1 to 16384"),
        LIE("mean_texture", "|u1", "(1, 16385, 3)", column,
            "16385 columns of mean_texture, expected 1 to 16384"),
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char *path = write_with(*state, &lies[i]);
        check_refused(path, lies[i].words);
        hds_free(path);
    }
}

/* Members are never written anywhere, so that a path in a name is only another name: the array that
 * it hides is missing, an array more is left alone. */
static void test_names_of_members(void **state)
{
    static const char *const names[] = { "../../faces.npy", "/etc/faces.npy",
                                         "faces.npy.npy",   "Faces.npy",
                                         "faces\\.npy",     "\xc3\xa9\xe2\x80\xae.npy" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        io_array arrays[TINY_ARRAYS];
        tiny_head(arrays);
        *tiny_find(arrays, TINY_ARRAYS, "faces") = arrays[TINY_ARRAYS - 1];
        char *path = tiny_write(*state, "a.npz", arrays, TINY_ARRAYS - 1);
        const lie more = LIE("", "<u4", "(4, 3)", tiny_faces, "");
        lie l = more;
        l.member = names[i];
        put_member(path, &l);
        check_refused(path, "faces is missing, expected it in a headsds head model");
        hds_free(path);
        path = write_with(*state, &l);
        head_model *m;
        assert_int_equal(headfile_load_npz(&m, path, NULL), HDS_OK);
        hds_head_model_unref(m);
        hds_free(path);
    }
}

/* What libzip would not write: a zero byte and bytes that are no UTF-8, and a name twice. */
static void test_bytes_in_names(void **state)
{
    static archive a;
    static const struct {
        const char *name, *words;
    } cases[] = {
        { "fac\0s.npy", "faces is missing, expected it" },
        { "faces.np\0", "faces is missing, expected it" },
        { "\xff\xfe\x1b[2J.np", "faces is missing, expected it" },
        { "vertices.npy", "vertices: there twice" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool twice = i == 3;
        const char *old = twice ? "uv_faces.npy" : "faces.npy";
        make_head(&a, *state);
        memcpy(record(&a, "\1\2", 46, old) + 46, cases[i].name, strlen(old));
        memcpy(record(&a, "\3\4", 30, old) + 30, cases[i].name, strlen(old));
        write_back(&a);
        check_refused(a.path, cases[i].words);
        hds_free(a.path);
    }
}

/* ---- OBJ ---- */

static void check_obj_refused(const char *folder, const char *text, const char *words)
{
    char *path = files_write(folder, "a.obj", text);
    headfile_obj obj;
    hds_error error = { 0 };
    largest = 0;
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, &error), HDS_ERROR_FORMAT);
    size_t asked = largest;
    files_check_error(&error, HDS_ERROR_FORMAT, path, words);
    assert_true(asked < PLENTY);
    hds_free(path);
}

static void test_faces_that_lie(void **state)
{
    check_obj_refused(*state, "v 0 0 0\nf 1 1 4294967297\n",
                      ":2: a face names vertex 4294967297, expected 1 to 1");
    check_obj_refused(*state, "v 0 0 0\nf 1 1 18446744073709551617\n", ", expected 1 to 1");
    check_obj_refused(*state, "v 0 0 0\nf -1 -1 -9223372036854775808\n", ", expected -1 to -1");
    check_obj_refused(*state, "v 0 0 0\nvt 0 0\nf 1/1 1/1 1/715827883\n",
                      ":3: a face names texture coordinate 715827883, expected 1 to 1");
    check_obj_refused(*state, "f 1 1 1\n", ":1: a face names vertex 1, expected 1 to 0");
}

/* It is a fan of as many triangles, and takes memory for these. */
static void test_polygon_of_a_million_corners(void **state)
{
    enum { CORNERS = 1000000 };
    static const char vertices[] = "v 0 0 0\nv 1 0 0\nv 0 1 0\nf";
    char *text = malloc(sizeof vertices + 2 * (size_t)CORNERS);
    assert_non_null(text);
    char *at = text + sprintf(text, "%s", vertices);
    for (int i = 0; i < CORNERS; i++, at += 2)
        memcpy(at, (const char *const[]){ " 1", " 2", " 3" }[i % 3], 3);
    char *path = files_write(*state, "a.obj", text);
    headfile_obj obj;
    largest = 0;
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, NULL), HDS_OK);
    assert_int_equal(largest, (CORNERS - 2) * 3 * sizeof *obj.faces);
    assert_int_equal(obj.face_count, CORNERS - 2);
    for (uint32_t i = 0; i < CORNERS - 2; i++) {
        const uint32_t *f = obj.faces + 3 * i;
        assert_true(f[0] == 0 && f[1] == (i + 1) % 3 && f[2] == (i + 2) % 3);
    }
    headfile_obj_finish(&obj);
    free(text);
    hds_free(path);
}

static void test_empty_obj(void **state)
{
    char *path = files_write(*state, "a.obj", "");
    headfile_obj obj;
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, NULL), HDS_OK);
    assert_true(!obj.vertex_count && !obj.uv_count && !obj.face_count);
    headfile_obj_finish(&obj);
    hds_free(path);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_sizes_in_the_archive),
        IN_FOLDER(test_members_over_each_other),
        IN_FOLDER(test_headers_that_lie),
        IN_FOLDER(test_names_of_members),
        IN_FOLDER(test_bytes_in_names),
        IN_FOLDER(test_faces_that_lie),
        IN_FOLDER(test_polygon_of_a_million_corners),
        IN_FOLDER(test_empty_obj),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

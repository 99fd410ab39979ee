/* SPDX-License-Identifier: Apache-2.0 */
/* The OBJ reader and ICT-FaceKit folders: small ones made here, and the shared one. */
#include "files.h"

#include "headfile/headfile_priv.h"

#include <math.h>

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

static void test_everything_a_face_can_be(void **state)
{
    static const char text[] = "# comment\r\nmtllib a.mtl\r\n\r\n"
                               "v 0 0 0\r\nv 1 -0.5 +.25 0.1 0.2 0.3\r\nv 1e0 1.0E+0 0\r\n"
                               "v 0 1 0\r\nv 0.5 1.50000000000000000000001 0\r\n"
                               "vt 0 0\r\nvt 1 0 7\r\n\tvt 0.5\r\nvn 0 0 1\r\n"
                               "g part\r\nusemtl m\r\n"
                               "f 1/1 2/2 3/3 4/1 # a quad\r\n"
                               "f -2/-3/1 3/3/1 -1/2/1\r\n"
                               "f 1/1 2/2 3/3 5/2 4/1";
    char *path = files_write(*state, "a.obj", text);
    headfile_obj obj;
    hds_error error = { 0 };
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, &error), HDS_OK);
    const double vertices[] = { 0, 0, 0, 1, -0.5, 0.25, 1, 1, 0, 0, 1, 0, 0.5, 1.5, 0 };
    const float uvs[] = { 0, 0, 1, 0, 0.5f, 0 };
    const uint32_t faces[] = { 0, 1, 2, 0, 2, 3, 3, 2, 4, 0, 1, 2, 0, 2, 4, 0, 4, 3 };
    const uint32_t uv_faces[] = { 0, 1, 2, 0, 2, 0, 0, 2, 1, 0, 1, 2, 0, 2, 1, 0, 1, 0 };
    assert_int_equal(obj.vertex_count, 5);
    assert_int_equal(obj.uv_count, 3);
    assert_int_equal(obj.face_count, 6);
    assert_memory_equal(obj.vertices, vertices, sizeof vertices);
    assert_memory_equal(obj.uvs, uvs, sizeof uvs);
    assert_memory_equal(obj.faces, faces, sizeof faces);
    assert_memory_equal(obj.uv_faces, uv_faces, sizeof uv_faces);
    assert_int_equal(obj.part_count, 1);
    assert_string_equal(obj.part_names[0], "m");
    headfile_obj_finish(&obj);
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_POSITIONS, &error), HDS_OK);
    assert_int_equal(obj.vertex_count, 5);
    assert_int_equal(obj.face_count, 0);
    headfile_obj_finish(&obj);
    hds_free(path);
}

static void test_faces_without_coordinates(void **state)
{
    char *path = files_write(*state, "b.obj", "v 0 0 0\nv 1 0 0\nv 0 1 0\nvt 0 0\nf 1//4 2//4 3\n");
    headfile_obj obj;
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, NULL), HDS_OK);
    assert_int_equal(obj.face_count, 1);
    assert_null(obj.uv_faces);
    headfile_obj_finish(&obj);
    hds_free(path);
}

/* Materials come before groups; each name is one part, in the order in which faces use them. */
static void test_parts(void **state)
{
#define THREE "v 0 0 0\nv 1 0 0\nv 0 1 0\n"
#define FACE "f 1 2 3\n"
    static const struct {
        const char *text, *names[3];
        size_t face_count;
        uint32_t parts[5];
    } cases[] = {
        { THREE FACE "usemtl a\nf 1 2 3 1\nusemtl  b c \r\n" FACE "g x\nusemtl a\n" FACE "g y\n",
          { "default", "a", "b c" },
          5,
          { 0, 1, 1, 2, 1 } },
        { THREE "usemtl unused\nusemtl a\n" FACE FACE, { "a" }, 2, { 0, 0 } },
        { THREE "g a\n" FACE "g\n" FACE "g b#1\n" FACE, { "a", "default", "b#1" }, 3, { 0, 1, 2 } },
        { THREE "o whole\n" FACE "group a\ns 1\n", { NULL }, 1, { 0 } },
        { THREE "usemtl a\n", { NULL }, 0, { 0 } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = files_write(*state, "p.obj", cases[i].text);
        headfile_obj obj;
        size_t count = 0;
        assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, NULL), HDS_OK);
        assert_int_equal(obj.face_count, cases[i].face_count);
        for (; count < 3 && cases[i].names[count]; count++) {
            assert_true(obj.part_count > count);
            assert_string_equal(obj.part_names[count], cases[i].names[count]);
        }
        assert_int_equal(obj.part_count, count);
        if (count)
            assert_memory_equal(obj.face_parts, cases[i].parts, 4 * obj.face_count);
        else
            assert_true(!obj.face_parts && !obj.part_names);
        headfile_obj_finish(&obj);
        assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_POSITIONS, NULL), HDS_OK);
        assert_null(obj.face_parts);
        headfile_obj_finish(&obj);
        hds_free(path);
    }
}

static void test_too_many_parts(void **state)
{
    enum { PARTS = 1025 };
    static char text[64 * PARTS] = THREE;
    size_t length = strlen(text);
    for (int i = 0; i < PARTS; i++)
        length += (size_t)snprintf(text + length, sizeof text - length, "g %d\n" FACE, i);
    char *path = files_write(*state, "q.obj", text);
    headfile_obj obj;
    hds_error error = { 0 };
    assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, &error), HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, path,
                      ":2053: one g more, expected at most 1024 of different names");
    hds_free(path);
}

/* Numbers are the nearest doubles, however they are written. */
static void test_numbers_are_exact(void **state)
{
    static const char *const numbers[] = {
        "0.1",
        "-12.41623",
        "123456789012345",
        "0.000000000000001",
        "1234567890123456789",
        "1e-300",
        "-2.2250738585072014e-308",
        "3.14159265358979323846",
        "-0",
        "00000000000000000.5",
        "3.4028234663852886e38",
        ".5",
        "5.",
        ".12345678901234567",
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        char *text = hds_format("v %s 0 0", numbers[i]);
        char *path = files_write(*state, "c.obj", text);
        double expected = strtod(numbers[i], NULL);
        headfile_obj obj;
        assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, NULL), HDS_OK);
        assert_memory_equal(obj.vertices, &expected, sizeof expected);
        headfile_obj_finish(&obj);
        hds_free(text);
        hds_free(path);
    }
}

static void test_errors_name_the_line(void **state)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "v 0 0\n", ":1: found \"\", expected a finite number" },
        { "\nv 0 0 x\n", ":2: found \"x\", expected a finite number" },
        { "v 0 0 nan\n", ":1: found \"nan\", expected a finite number" },
        { "v 0 0 1e9999\n", ":1: found \"1e9999\", expected a finite number" },
        { "v 0 0 -1e39\n",
          ":1: found \"-1e39\", expected a finite number, within a float's range" },
        { "v 0 0 0\nvt 0 1e39\n", ":2: found \"1e39\", expected a finite number, within" },
        { "v 0 0 \x1b[2J\xff\n", ":1: found \" [2J?\", expected a finite number" },
        { "v 0 0 0\nvt\n", ":2: found \"\", expected a finite number" },
        { "v 0 0 1-2\n", ":1: found \"1-2\", expected a finite number" },
        { "v 0 0 0\nf 1 1\n", ":2: a face of 2 corners, expected 3 or more" },
        { "v 0 0 0\nf\n", ":2: a face of 0 corners" },
        { "v 0 0 0\nf 1 1 2\n", ":2: a face names vertex 2, expected 1 to 1" },
        { "v 0 0 0\nf 1 1 0\n", ":2: a face names vertex 0, expected 1 to 1" },
        { "v 0 0 0\nf 1 1 -2\n", ":2: a face names vertex -2, expected -1 to -1" },
        { "v 0 0 0\nf 1 1 99999999999999999999999\n", ":2: a face names vertex 9" },
        { "v 0 0 0\nvt 0 0\nf 1/1 1/1 1/2\n",
          ":3: a face names texture coordinate 2, expected 1 to 1" },
        { "v 0 0 0\nvt 0 0\nf 1/1 1/1 1/1\nf 1 1 1\n",
          ":4: a corner without a texture coordinate" },
        { "v 0 0 0\nvt 0 0\nf 1 1 1/1\n", ":3: a corner with a texture coordinate" },
        { "v 0 0 0\nf 1 1 a\n", ":2: found \"a\", expected a corner" },
        { "v 0 0 0\nf 1 1 1x\n", ":2: found \"x\", expected a corner" },
        { "v 0 0 0\nf 1 1 \\\n x\n", ":2: found \"x\", expected a corner" },
        { "v 0 0 \\\r\n0\nf 1 1 2\n", ":3: a face names vertex 2" },
        { "v 0 0 0,5\n", ":1: found \"0,5\", expected a number with a decimal point, not a comma" },
        { "version https://git-lfs.github.com/spec/v1\n", ": is a Git LFS pointer to the file" },
        { "\xff\xfe\x76", ": is a UTF-16 text; save it as UTF-8" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *path = files_write(*state, "d.obj", cases[i].text);
        headfile_obj obj;
        hds_error error = { 0 };
        assert_int_equal(headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, &error), HDS_ERROR_FORMAT);
        files_check_error(&error, HDS_ERROR_FORMAT, path, cases[i].words);
        assert_null(obj.vertices);
        hds_free(path);
    }
}

/* ---- ICT-FaceKit ---- */

static const char neutral[] = "v 0 0 0\nv 100 0 0\nv 100 100 0\nv 0 100 0\nvt 0 0\nvt 1 1\n"
                              "f 1/1 2/1 3/2 4/2\n";

static char *small_kit(const char *folder)
{
    char *kit = files_make_folder(folder, "FaceXModel");
    hds_free(files_write(kit, "generic_neutral_mesh.obj", neutral));
    hds_free(files_write(kit, "identity010.obj", "v 0 0 10\nv 100 0 0\nv 100 100 0\nv 0 100 0\n"));
    hds_free(files_write(kit, "identity002.obj", "v 0 0 2\nv 100 0 0\nv 100 100 0\nv 0 100 0\n"));
    hds_free(files_write(kit, "smile.obj", "v 0 0 0\nv 100 0 0\nv 100 150 0\nv 0 100 0\n"));
    hds_free(files_write(kit, "blink.obj", "v 0 0 0\nv 100 0 0\nv 100 100 0\nv 0 100 -1\n"));
    hds_free(files_write(kit, "identity_map.obj", "v 1 0 0\nv 100 0 0\nv 100 100 0\nv 0 100 0\n"));
    hds_free(files_write(kit, "vertex_indices.json", "{}"));
    return kit;
}

static void test_small_kit(void **state)
{
    char *kit = small_kit(*state);
    hds_error error = { 0 };
    hds_head_model_info info;
    const char *const paths[] = { kit, *state };
    for (int i = 0; i < 2; i++) {
        hds_head_model *m;
        const hds_head_model_params params = { .path = paths[i] };
        assert_int_equal(hds_head_model_load(&m, &params, &error), HDS_OK);
        hds_head_model_get_info(m, &info);
        assert_string_equal(info.name, "ICT-FaceKit");
        assert_string_equal(m->path, paths[i]);
        assert_int_equal(info.vertex_count, 4);
        assert_int_equal(info.face_count, 2);
        assert_int_equal(info.uv_count, 2);
        assert_int_equal(info.shape_count, 2);
        assert_int_equal(info.expression_count, 3);
        assert_int_equal(info.joint_count, 1);
        assert_int_equal(info.part_count, 0);
        assert_null(info.face_parts);
        assert_string_equal(info.expression_names[0], "blink");
        assert_string_equal(info.expression_names[1], "identity_map");
        assert_string_equal(info.expression_names[2], "smile");
        assert_true(m->vertices[3] == 1);
        assert_true(m->shape_basis[2] == (real)0.02);
        assert_true(m->shape_basis[14] == (real)0.1);
        assert_true(m->expression_basis[11] == (real)-0.01);
        assert_true(m->expression_basis[24 + 7] == (real)0.5);
        hds_head_model_unref(m);
    }
    hds_free(kit);
}

/* Two tiles of one part and one of another, which has a coordinate in common with the first. */
static void test_kit_of_tiles(void **state)
{
    static const char tiled[] =
        "v 0 0 0\nv 100 0 0\nv 0 100 0\nv 0 0 100\nvt 0.25 0.5\nvt 1 0\nvt 0 1\n"
        "vt 1.5 0.5\nvt 2 1\nvt 1.75 -0.5\nusemtl a\nf 1/1 2/2 3/3\nf 1/4 2/5 3/4\n"
        "usemtl b\nf 1/1 2/2 3/3\nf 1/6 2/6 3/6\n";
    /* Equal surfaces: four cells of a half, from the upper left, in lines. */
    static const float expected[12][2] = {
        { 0.125f, 0.75f }, { 0.5f, 0.5f },    { 0, 1 },          { 0.75f, 0.75f },
        { 1, 1 },          { 0.75f, 0.75f },  { 0.125f, 0.25f }, { 0.5f, 0 },
        { 0, 0.5f },       { 0.875f, 0.25f }, { 0.875f, 0.25f }, { 0.875f, 0.25f },
    };
    char *kit = files_make_folder(*state, "FaceXModel");
    hds_free(files_write(kit, "generic_neutral_mesh.obj", tiled));
    hds_free(files_write(kit, "identity000.obj", "v 0 0 0\nv 100 0 0\nv 0 100 0\nv 0 0 90\n"));
    const hds_head_model_params params = { .path = kit };
    hds_head_model *m;
    assert_int_equal(hds_head_model_load(&m, &params, NULL), HDS_OK);
    assert_int_equal(m->uv_count, 9); /* three have become six, three stay three */
    for (size_t i = 0; i < 12; i++)
        assert_memory_equal(m->uvs + 2 * (size_t)m->uv_faces[i], expected[i], sizeof *expected);
    hds_head_model_unref(m);
    hds_free(kit);
}

/* One more than there are cells: as in the file. */
static void test_kit_of_many_tiles(void **state)
{
    enum { TILES = 65 };
    char *kit = files_make_folder(*state, "FaceXModel");
    for (int tiles = TILES - 1; tiles <= TILES; tiles++) {
        char *text = hds_strdup("v 0 0 0\nv 1 0 0\nv 0 1 0\n");
        for (int i = 0; i < tiles; i++) {
            char *longer =
                hds_format("%svt %d.5 0.5\nf 1/%d 2/%d 3/%d\n", text, i, i + 1, i + 1, i + 1);
            hds_free(text);
            text = longer;
        }
        hds_free(files_write(kit, "generic_neutral_mesh.obj", text));
        hds_free(files_write(kit, "identity000.obj", "v 0 0 0\nv 1 0 0\nv 0 1 1\n"));
        const hds_head_model_params params = { .path = kit };
        hds_head_model *m;
        assert_int_equal(hds_head_model_load(&m, &params, NULL), HDS_OK);
        for (size_t i = 0; i < (size_t)tiles; i++)
            assert_true(tiles == TILES ? m->uvs[2 * i] == (float)i + 0.5f
                                       : m->uvs[2 * i] < 1 && m->uvs[2 * i + 1] < 1);
        for (size_t i = 1; i < (size_t)tiles; i++) /* none over another */
            assert_true(memcmp(m->uvs, m->uvs + 2 * i, 2 * sizeof *m->uvs) != 0);
        hds_head_model_unref(m);
        hds_free(text);
    }
    hds_free(kit);
}

static void test_broken_kits(void **state)
{
    char *kit = small_kit(*state);
    hds_head_model *m;
    hds_error error = { 0 };
    hds_free(files_write(kit, "smile.obj", "v 0 0 0\n"));
    assert_int_equal(headfile_load_ict(&m, kit, &error), HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, "smile.obj",
                      "1 vertices, expected 4 as in generic_neutral_mesh.obj");
    assert_null(m);
    /* Of several bad files the first in order is named, whichever thread met it. */
    error = (hds_error){ 0 };
    hds_free(files_write(kit, "identity002.obj", "v 0 0 0\nv 0 0 oops\n"));
    assert_int_equal(headfile_load_ict(&m, kit, &error), HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, "identity002.obj:2:", "found \"oops\"");
    error = (hds_error){ 0 };
    static const char *const meshes[] = { "", "v 0 0 0\n", "v 0 0 0\nvt 0 0\n" };
    for (size_t i = 0; i < sizeof meshes / sizeof *meshes; i++) {
        error = (hds_error){ 0 };
        hds_free(files_write(kit, "generic_neutral_mesh.obj", meshes[i]));
        assert_int_equal(headfile_load_ict(&m, kit, &error), HDS_ERROR_FORMAT);
        files_check_error(&error, HDS_ERROR_FORMAT, kit,
                          "generic_neutral_mesh.obj: no faces, expected a whole mesh");
        assert_null(m);
    }
    char *mesh = io_join(kit, "generic_neutral_mesh.obj");
    assert_int_equal(unlink(mesh), 0);
    error = (hds_error){ 0 };
    assert_int_equal(headfile_load_ict(&m, kit, &error), HDS_ERROR_NOT_FOUND);
    files_check_error(&error, HDS_ERROR_NOT_FOUND, mesh, "not found; check the path");
    assert_null(m);
    assert_int_equal(mkdir(mesh, 0777), 0);
    error = (hds_error){ 0 };
    assert_int_equal(headfile_load_ict(&m, kit, &error), HDS_ERROR_OS);
    files_check_error(&error, HDS_ERROR_OS, mesh, "is a folder, expected a file");
    hds_free(mesh);
    hds_free(kit);
}

/* ---- the shared kit ---- */

enum { ICT_VERTICES = 26719, ICT_POLYGONS = 26384, ICT_TRIANGLES = 52220 };

/* The n-th number of the file's v lines, with the C library's own reader. */
static double *plain_positions(const char *folder, const char *name)
{
    char *path = io_join(folder, name), line[512];
    assert_non_null(path);
    FILE *file = fopen(path, "r");
    double *out = calloc(3 * ICT_VERTICES, sizeof *out);
    assert_true(file && out);
    size_t count = 0;
    while (fgets(line, sizeof line, file))
        if (line[0] == 'v' && line[1] == ' ') {
            assert_int_equal(
                sscanf(line, "v %lf %lf %lf", &out[count], &out[count + 1], &out[count + 2]), 3);
            count += 3;
        }
    fclose(file);
    hds_free(path);
    assert_int_equal(count, 3 * ICT_VERTICES);
    return out;
}

static void check_offset(const char *folder, const char *name, const real *basis)
{
    double *a = plain_positions(folder, "generic_neutral_mesh.obj");
    double *b = plain_positions(folder, name);
    for (size_t i = 0; i < 3 * ICT_VERTICES; i++)
        if (basis[i] != (real)(0.01 * (b[i] - a[i])))
            fail_msg("%s: number %zu is %.9g, expected %.9g", name, i, (double)basis[i],
                     0.01 * (b[i] - a[i]));
    free(a);
    free(b);
}

/* What the kit consists of: its triangles, vertices, texture coordinates and the tile in u that
 * these lie in, as counted with a script; and the cells of the one texture that they come to. Part
 * follows part but for the seam of face and head. */
static void check_parts(const head_model *m, const float *uvs)
{
    static const struct {
        const char *name;
        size_t faces;
        uint32_t vertices[2], uvs[2]; /* first and last */
        int tile;                     /* of the file; the next of two lies to its right */
        float cell[3];                /* lower left corner and side, eighths */
    } parts[] = {
        { "M_Face", 18460, { 0, 9408 }, { 0, 9546 }, 0, { 0, 4, 4 } },
        { "M_BackHead", 9608, { 6548, 14061 }, { 9547, 14628 }, 1, { 4, 4, 4 } },
        { "M_GumsTongue", 5808, { 14062, 17038 }, { 14629, 17990 }, 2, { 0, 2, 2 } },
        { "M_Teeth", 8696, { 17039, 21450 }, { 17991, 23342 }, 3, { 2, 2, 2 } },
        { "M_ScleraLeft", 1536, { 21451, 22220 }, { 23343, 24144 }, 0, { 0, 0, 2 } },
        { "M_IrisLeft", 1596, { 22221, 23020 }, { 24145, 25062 }, 0, { 2, 0, 2 } },
        { "M_ScleraRight", 1536, { 23021, 23790 }, { 25063, 25864 }, 0, { 4, 2, 2 } },
        { "M_IrisRight", 1596, { 23791, 24590 }, { 25865, 26782 }, 0, { 6, 2, 2 } },
        { "M_LacrimalFluid", 652, { 24591, 24998 }, { 26783, 27190 }, 4, { 6, 1, 1 } },
        { "M_EyeBlend", 60, { 24999, 25046 }, { 27191, 27238 }, 0, { 6, 0, 1 } },
        { "M_EyeOcclusion", 512, { 25047, 25350 }, { 27239, 27542 }, 0, { 7, 0, 1 } },
        { "M_EyeLashes", 2160, { 25351, 26718 }, { 27543, 28910 }, 6, { 4, 0, 2 } },
    };
    enum { PARTS = sizeof parts / sizeof *parts };
    hds_head_model_info info;
    hds_head_model_get_info(m, &info);
    assert_int_equal(info.part_count, PARTS);
    size_t face = 0;
    for (uint32_t p = 0; p < PARTS; p++) {
        uint32_t ends[2][2] = { { UINT32_MAX, 0 }, { UINT32_MAX, 0 } };
        size_t first = face;
        assert_string_equal(info.part_names[p], parts[p].name);
        for (; face < info.face_count && info.face_parts[face] == p; face++)
            for (size_t c = 3 * face; c < 3 * face + 3; c++) {
                const uint32_t index[] = { info.faces[c], info.uv_faces[c] };
                for (int k = 0; k < 2; k++) {
                    ends[k][0] = index[k] < ends[k][0] ? index[k] : ends[k][0];
                    ends[k][1] = index[k] > ends[k][1] ? index[k] : ends[k][1];
                }
                const float *uv = uvs + 2 * (size_t)index[1], *cell = parts[p].cell;
                float right = floorf(uv[0]) - (float)parts[p].tile;
                float x = cell[0] + cell[2] * (right + uv[0] - floorf(uv[0]));
                float y = cell[1] + cell[2] * uv[1];
                assert_true(fabsf(info.uvs[2 * index[1]] - x / 8) < 1e-6f);
                assert_true(fabsf(info.uvs[2 * index[1] + 1] - y / 8) < 1e-6f);
            }
        assert_int_equal(face - first, parts[p].faces);
        assert_memory_equal(ends[0], parts[p].vertices, sizeof ends[0]);
        assert_memory_equal(ends[1], parts[p].uvs, sizeof ends[1]);
    }
    assert_int_equal(face, info.face_count);
}

static void test_shared_kit(void **state)
{
    char *folder = files_shared("ict-facekit/FaceXModel");
    if (!folder)
        skip();
    hds_head_model *m;
    hds_error error = { 0 };
    const hds_head_model_params params = { .path = folder };
    hds_status status = hds_head_model_load(&m, &params, &error);
    if (status)
        fail_msg("%s", error.message);
    assert_int_equal(m->vertex_count, ICT_VERTICES);
    assert_int_equal(m->face_count, ICT_TRIANGLES);
    assert_int_equal(m->uv_count, 28911);
    assert_int_equal(m->shape_count, 30);
    static const char *const names[] = { "eyeBlink_L",   "eyeBlink_R",   "jawOpen",
                                         "mouthFrown_L", "mouthFrown_R", "mouthPucker",
                                         "mouthSmile_L", "mouthSmile_R" };
    assert_int_equal(m->expression_count, 8);
    for (size_t i = 0; i < 8; i++)
        assert_string_equal(m->expression_names[i], names[i]);
    float *v = calloc(3 * ICT_VERTICES, sizeof *v);
    float low[3] = { INFINITY, INFINITY, INFINITY }, high[3] = { -INFINITY, -INFINITY, -INFINITY };
    assert_non_null(v);
    assert_int_equal(hds_head_model_vertices(m, &(hds_coefficients){ 0 }, v, NULL), HDS_OK);
    for (size_t i = 0; i < 3 * ICT_VERTICES; i++) {
        low[i % 3] = fminf(low[i % 3], v[i]);
        high[i % 3] = fmaxf(high[i % 3], v[i]);
    }
    const double expected[2][3] = { { -0.124162, -0.193084, -0.0923216 },
                                    { 0.124162, 0.145047, 0.130882 } };
    for (int k = 0; k < 3; k++) {
        assert_true(fabs(low[k] - expected[0][k]) < 1e-6);
        assert_true(fabs(high[k] - expected[1][k]) < 1e-6);
    }
    headfile_obj plain;
    char *mesh = io_join(folder, "generic_neutral_mesh.obj");
    assert_int_equal(headfile_obj_read(&plain, mesh, HEADFILE_OBJ_ALL, NULL), HDS_OK);
    check_parts(m, plain.uvs);
    headfile_obj_finish(&plain);
    hds_free(mesh);
    check_offset(folder, "identity000.obj", m->shape_basis);
    check_offset(folder, "identity029.obj", m->shape_basis + 3 * ICT_VERTICES * 29);
    check_offset(folder, "jawOpen.obj", m->expression_basis + 3 * ICT_VERTICES * 2);
    free(v);
    hds_head_model_unref(m);
    hds_free(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_everything_a_face_can_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_faces_without_coordinates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_too_many_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_numbers_are_exact, setup, teardown),
        cmocka_unit_test_setup_teardown(test_errors_name_the_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_small_kit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kit_of_tiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_kit_of_many_tiles, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_kits, setup, teardown),
        cmocka_unit_test(test_shared_kit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Head models in .npz files: what is read is what was written, and what a bad file says. */
#include "headfile/headfile.h"
#include "tiny_head.h"

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

static head_model *load(const char *path)
{
    head_model *m;
    hds_error error = { 0 };
    if (headfile_load_npz(&m, path, &error))
        fail_msg("%s", error.message);
    return m;
}

static void check_reals(const real *found, const float *expected, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(found[i] == expected[i]);
}

static void check_tiny(const head_model *m)
{
    static const char *const joints[] = { "neck", "jaw", "eye" };
    assert_string_equal(m->name, "tiny head");
    assert_int_equal(m->vertex_count, 4);
    assert_int_equal(m->face_count, 4);
    assert_int_equal(m->uv_count, 5);
    assert_int_equal(m->shape_count, 2);
    assert_int_equal(m->expression_count, 2);
    assert_int_equal(m->joint_count, 3);
    assert_int_equal(m->skin_count, 2);
    check_reals(m->vertices, tiny_vertices, 12);
    check_reals(m->shape_basis, tiny_shape, 24);
    check_reals(m->expression_basis, tiny_expression, 24);
    check_reals(m->joints, tiny_joints, 9);
    check_reals(m->joint_shape_basis, tiny_joint_shape, 18);
    assert_memory_equal(m->faces, tiny_faces, sizeof tiny_faces);
    assert_memory_equal(m->uvs, tiny_uvs, sizeof tiny_uvs);
    assert_memory_equal(m->uv_faces, tiny_uv_faces, sizeof tiny_uv_faces);
    assert_memory_equal(m->joint_parents, tiny_parents, sizeof tiny_parents);
    assert_string_equal(m->expression_names[0], "jawOpen");
    assert_string_equal(m->expression_names[1], "smile");
    for (int j = 0; j < 3; j++)
        assert_string_equal(m->joint_names[j], joints[j]);
    assert_int_equal(m->texture_width, 2);
    assert_int_equal(m->texture_height, 1);
    assert_memory_equal(m->mean_texture, tiny_texture, sizeof tiny_texture);
    for (size_t i = 0; i < TINY_V; i++) {
        float dense[TINY_J] = { 0 };
        for (size_t k = 2 * i; k < 2 * i + 2; k++)
            dense[m->skin_joints[k]] += (float)m->skin_weights[k];
        assert_memory_equal(dense, tiny_weights + TINY_J * i, sizeof dense);
    }
}

static void test_round_trip(void **state)
{
    io_array arrays[TINY_ARRAYS + 1];
    tiny_head(arrays);
    arrays[TINY_ARRAYS] = TINY("attribute_nose", 'f', 4, tiny_extra, 3);
    char *path = tiny_write(*state, "a.npz", arrays, TINY_ARRAYS + 1);
    head_model *m = load(path);
    check_tiny(m);
    char *again = io_join(*state, "b.npz");
    assert_int_equal(headfile_save_npz(m, again, NULL), HDS_OK);
    hds_head_model_unref(m);
    m = load(again);
    check_tiny(m);
    hds_head_model_unref(m);
    hds_free(path);
    hds_free(again);
}

static void test_least_model(void **state)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    const io_array least[] = { arrays[0], arrays[1], arrays[2],
                               TINY("shape_basis", 'f', 4, tiny_shape, 0, 4, 3) };
    char *path = tiny_write(*state, "a.npz", least, 4), *again = io_join(*state, "b.npz");
    head_model *m = load(path);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(m->shape_count, 0);
        assert_int_equal(m->expression_count, 0);
        assert_null(m->uvs);
        assert_null(m->mean_texture);
        assert_null(m->face_parts);
        assert_int_equal(m->part_count, 0);
        assert_int_equal(m->joint_count, 1);
        assert_string_equal(m->joint_names[0], "root");
        assert_true(m->joints[0] == 0 && m->joints[1] == 0 && m->joints[2] == 0);
        assert_true(m->skin_weights[3] == 1);
        assert_int_equal(headfile_save_npz(m, again, NULL), HDS_OK);
        hds_head_model_unref(m);
        m = load(again);
    }
    hds_head_model_unref(m);
    hds_free(path);
    hds_free(again);
}

static void test_half_and_double(void **state)
{
    static const uint16_t half[] = { 0x3C00, 0, 0, 0, 0xC000, 0, 0, 0, 0x3555, 0, 0, 0,
                                     0,      0, 0, 0, 0,      0, 0, 0, 0,      0, 0, 0 };
    static const double wide[] = { 0.1, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
    /* A third in half precision: the sum is 0.9998 and is scaled to 1. */
    static const uint16_t weights[] = { 0x3555, 0x3555, 0x3555, 0x3C00, 0, 0,
                                        0x3800, 0x3800, 0,      0x3C00, 0, 0 };
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    *tiny_find(arrays, TINY_ARRAYS, "shape_basis") = TINY("shape_basis", 'f', 2, half, 2, 4, 3);
    *tiny_find(arrays, TINY_ARRAYS, "vertices") = TINY("vertices", 'f', 8, wide, 4, 3);
    *tiny_find(arrays, TINY_ARRAYS, "skin_weights") = TINY("skin_weights", 'f', 2, weights, 4, 3);
    char *path = tiny_write(*state, "a.npz", arrays, TINY_ARRAYS);
    head_model *m = load(path);
    assert_true(m->shape_basis[0] == 1 && m->shape_basis[4] == -2);
    assert_true(m->shape_basis[8] == (real)0.333251953125);
    assert_true(m->vertices[0] == (real)0.1);
    for (int k = 0; k < 3; k++)
        assert_true(fabs(m->skin_weights[k] - 1.0 / 3) < 1e-7);
    hds_head_model_unref(m);
    hds_free(path);
}

/* ---- hostile files ---- */

static const float bad_numbers[] = { 0, 0, 0, 1, NAN, 0, 0, 1, 0, 0, 0, 1 };
static const float bad_shape[24] = { [0] = 1, [20] = INFINITY };
static const uint32_t bad_faces[] = { 0, 2, 1, 0, 1, 3, 0, 3, 4, 1, 2, 3 };
static const uint32_t bad_uv_faces[] = { 0, 2, 1, 0, 1, 3, 0, 3, 2, 4, 5, 3 };
static const int32_t cyclic[] = { -1, 2, 1 }, rootless[] = { 0, 0, 1 }, two_roots[] = { -1, -1, 0 };
static const float negative[] = { 1, 0, 0, 1.5f, -0.5f, 0, 0, 0, 1, 0, 1, 0 };
static const float short_sum[] = { 1, 0, 0, 0.5f, 0.5f, 0, 0, 0, 0.5f, 0, 1, 0 };
static const float nan_weight[] = { 1, 0, 0, 0.5f, NAN, 0, 0, 0, 1, 0, 1, 0 };

typedef struct mutation {
    io_array array; /* takes the place of the one of its name; data NULL: that one is left out */
    const char *words;
} mutation;

static void check_mutation(const char *folder, const mutation *change)
{
    io_array arrays[TINY_ARRAYS];
    size_t count = TINY_ARRAYS;
    tiny_head(arrays);
    io_array *at = tiny_find(arrays, count, change->array.name);
    *at = change->array.data ? change->array : arrays[--count];
    char *path = tiny_write(folder, "bad.npz", arrays, count);
    head_model *m = NULL;
    hds_error error = { 0 };
    if (headfile_load_npz(&m, path, &error) == HDS_OK)
        fail_msg("loaded, expected an error with \"%s\"", change->words);
    files_check_error(&error, HDS_ERROR_FORMAT, path, change->words);
    assert_null(m);
    hds_free(path);
}

static void test_corrections(void **state)
{
    enum { JOINT = TINY_E * 3 * TINY_J, POSE = 9 * (TINY_J - 1) * 3 * TINY_V };
    float moves[JOINT], turns[POSE];
    for (int i = 0; i < JOINT; i++)
        moves[i] = (float)i;
    for (int i = 0; i < POSE; i++)
        turns[i] = (float)-i;
    static const double pose[] = { 0.25, 0, 0, 0, -1, 0, 0, 0, 3 };
    static const float float_pose[] = { 0.25f, 0, 0, 0, -1, 0, 0, 0, 3 };
    io_array arrays[TINY_ARRAYS + 3];
    tiny_head(arrays);
    arrays[TINY_ARRAYS + 2] = TINY("base_pose", 'f', 8, pose, 3, 3);
    arrays[TINY_ARRAYS] = TINY("joint_expression_basis", 'f', 4, moves, 2, 3, 3);
    arrays[TINY_ARRAYS + 1] = TINY("pose_basis", 'f', 4, turns, 18, 4, 3);
    char *path = tiny_write(*state, "corrected.npz", arrays, TINY_ARRAYS + 3);
    hds_error error = { 0 };
    for (int again = 0; again < 2; again++) { /* as written, and as saved from the model */
        head_model *m = load(path);
        check_reals(m->joint_expression_basis, moves, JOINT);
        check_reals(m->pose_basis, turns, POSE);
        assert_memory_equal(m->base_pose, float_pose, sizeof float_pose);
        assert_int_equal(headfile_save_npz(m, path, &error), HDS_OK);
        hds_head_model_unref(m);
    }
    hds_free(path);
    const struct {
        io_array array;
        const char *words;
    } wrong[] = {
        { TINY("joint_expression_basis", 'f', 4, moves, 1, 3, 3),
          "joint_expression_basis: shape (1,3,3), expected (2,3,3)" },
        { TINY("pose_basis", 'f', 4, turns, 9, 4, 3),
          "pose_basis: shape (9,4,3), expected (18,4,3)" },
        { TINY("pose_basis", 'f', 4, turns, 18, 4, 3), "pose_basis[17,3,2] is nan" },
        { TINY("base_pose", 'f', 8, pose, 2, 3), "base_pose: shape (2,3), expected (3,3)" },
        { TINY("base_pose", 'f', 4, bad_numbers, 3, 3), "base_pose[1,1] is nan" },
    };
    turns[POSE - 1] = NAN;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        head_model *m = NULL;
        arrays[TINY_ARRAYS] = wrong[i].array;
        path = tiny_write(*state, "wrong.npz", arrays, TINY_ARRAYS + 1);
        error = (hds_error){ 0 };
        assert_int_equal(headfile_load_npz(&m, path, &error), HDS_ERROR_FORMAT);
        files_check_error(&error, HDS_ERROR_FORMAT, path, wrong[i].words);
        hds_free(path);
    }
}

static void test_parts(void **state)
{
    static const char names[] = "skin\0"
                                "t\xC3\xB6th";
    static const uint32_t parts[TINY_V] = { 1, 0, 0, 1 }, far[TINY_V] = { 1, 0, 2, 1 };
    io_array arrays[TINY_ARRAYS + 2];
    tiny_head(arrays);
    arrays[TINY_ARRAYS] = TINY("part_names", 'S', 5, names, 2);
    arrays[TINY_ARRAYS + 1] = TINY("face_parts", 'u', 4, parts, 4);
    char *path = tiny_write(*state, "parts.npz", arrays, TINY_ARRAYS + 2);
    hds_error error = { 0 };
    for (int again = 0; again < 2; again++) { /* as written, and as saved from the model */
        head_model *m = load(path);
        hds_head_model_info info;
        hds_head_model_get_info(m, &info);
        assert_int_equal(info.part_count, 2);
        assert_string_equal(info.part_names[0], "skin");
        assert_string_equal(info.part_names[1], "t\xC3\xB6th");
        assert_memory_equal(info.face_parts, parts, sizeof parts);
        assert_int_equal(headfile_save_npz(m, path, &error), HDS_OK);
        hds_head_model_unref(m);
    }
    hds_free(path);
    const struct {
        io_array names, parts;
        const char *words;
    } wrong[] = {
        { arrays[0], arrays[TINY_ARRAYS + 1], "part_names is missing" },
        { arrays[TINY_ARRAYS], arrays[0], "face_parts is missing" },
        { TINY("part_names", 'S', 5, names, 0), arrays[TINY_ARRAYS + 1], "0 parts, expected 1 to" },
        { TINY("part_names", 'S', 1, "a\xFF", 2), arrays[TINY_ARRAYS + 1],
          "part_names[1] is not well-formed, expected UTF-8" },
        { arrays[TINY_ARRAYS], TINY("face_parts", 'u', 4, far, 4),
          "face_parts[2] is 2, expected less than 2" },
        { arrays[TINY_ARRAYS], TINY("face_parts", 'u', 4, far, 3),
          "face_parts: shape (3), expected (4)" },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        head_model *m = NULL;
        size_t count = TINY_ARRAYS;
        if (wrong[i].names.name != arrays[0].name)
            arrays[count++] = wrong[i].names;
        if (wrong[i].parts.name != arrays[0].name)
            arrays[count++] = wrong[i].parts;
        path = tiny_write(*state, "wrong.npz", arrays, count);
        error = (hds_error){ 0 };
        assert_int_equal(headfile_load_npz(&m, path, &error), HDS_ERROR_FORMAT);
        files_check_error(&error, HDS_ERROR_FORMAT, path, wrong[i].words);
        hds_free(path);
    }
}

static void test_hostile_arrays(void **state)
{
    const mutation changes[] = {
        { TINY("vertices", 'f', 4, NULL, 1), "vertices is missing" },
        { TINY("name", 'S', 1, NULL, 1), "name is missing" },
        { TINY("uv_faces", 'u', 4, NULL, 1), "uv_faces is missing" },
        { TINY("expression_names", 'S', 1, NULL, 1), "expression_names is missing" },
        { TINY("skin_weights", 'f', 4, NULL, 1), "skin_weights is missing" },
        { TINY("joint_shape_basis", 'f', 4, NULL, 1), "joint_shape_basis is missing" },
        { TINY("vertices", 'f', 4, tiny_vertices, 12), "vertices: shape (12), expected (any,3)" },
        { TINY("vertices", 'f', 4, tiny_vertices, 0, 3),
          "vertices is empty, expected at least one" },
        { TINY("vertices", 'i', 4, tiny_faces, 4, 3), "vertices: type i4, expected f2, f4 or f8" },
        { TINY("faces", 'f', 4, tiny_vertices, 4, 3), "faces: type f4, expected u4" },
        { TINY("faces", 'u', 4, tiny_faces, 0, 3), "faces is empty, expected" },
        { TINY("faces", 'u', 4, bad_faces, 4, 3), "faces[2,2] is 4, expected less than 4" },
        { TINY("uv_faces", 'u', 4, bad_uv_faces, 4, 3),
          "uv_faces[3,1] is 5, expected less than 5" },
        { TINY("uv_faces", 'u', 4, tiny_uv_faces, 3, 3), "uv_faces: shape (3,3), expected (4,3)" },
        { TINY("uvs", 'f', 4, bad_numbers, 5, 2), "uvs[2,0] is nan" },
        { TINY("vertices", 'f', 4, bad_numbers, 4, 3),
          "vertices[1,1] is nan, expected a finite number" },
        { TINY("shape_basis", 'f', 4, bad_shape, 2, 4, 3), "shape_basis[1,2,2] is inf" },
        { TINY("shape_basis", 'f', 4, tiny_shape, 1, 3, 3),
          "shape_basis: shape (1,3,3), expected (any,4,3)" },
        { TINY("expression_basis", 'f', 4, bad_shape, 2, 4, 3), "expression_basis[1,2,2] is inf" },
        { TINY("expression_basis", 'f', 4, tiny_shape, 1, 4, 3),
          "expression_names: shape (2), expected (1)" },
        { TINY("expression_names", 'S', 2, "\xC3\xA4\xC3(", 2),
          "expression_names[1] is not well-formed, expected UTF-8" },
        { TINY("joint_names", 'S', 1, "ab\xFF", 3), "joint_names[2] is not well-formed" },
        { TINY("joints", 'f', 4, bad_numbers, 3, 3), "joints[1,1] is nan" },
        { TINY("joints", 'f', 4, tiny_joints, 0, 3), "joints is empty, expected at least one" },
        { TINY("joint_parents", 'i', 4, cyclic, 3), "joint_parents[1] is 2, expected an earlier" },
        { TINY("joint_parents", 'i', 4, rootless, 3), "joint_parents[0] is 0, expected -1" },
        { TINY("joint_parents", 'i', 4, two_roots, 3), "joint_parents[1] is -1, expected an" },
        { TINY("joint_shape_basis", 'f', 4, bad_shape + 3, 2, 3, 3),
          "joint_shape_basis[1,2,2] is inf" },
        { TINY("skin_weights", 'f', 4, negative, 4, 3), "skin_weights[1,1] is -0.5" },
        { TINY("skin_weights", 'f', 4, nan_weight, 4, 3), "skin_weights[1,1] is nan" },
        { TINY("skin_weights", 'f', 4, short_sum, 4, 3), "skin_weights[2] add up to 0.5" },
        { TINY("mean_texture", 'u', 1, tiny_texture, 0, 2, 3), "0 rows of mean_texture" },
        { TINY("mean_texture", 'u', 1, tiny_texture, 1, 1, 4),
          "mean_texture: shape (1,1,4), expected (any,any,3)" },
        { TINY("mean_texture", 'u', 4, tiny_faces, 1, 2, 3), "mean_texture: type u4, expected u1" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check_mutation(*state, &changes[i]);
}

/* Every cut and every changed byte gives a model or an error, never anything else. */
static void test_damaged_files(void **state)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    char *path = tiny_write(*state, "whole.npz", arrays, TINY_ARRAYS);
    char *bad = io_join(*state, "bad.npz");
    io_map map;
    assert_int_equal(io_map_open(&map, path, NULL), HDS_OK);
    unsigned char *bytes = malloc(map.size);
    assert_non_null(bytes);
    rng r = rng_make(5, 0);
    for (int trial = 0; trial < 300; trial++) {
        size_t size = trial < 100 ? rng_below(&r, (uint32_t)map.size) : map.size;
        memcpy(bytes, map.bytes, map.size);
        for (int k = 0; trial >= 100 && k < 4; k++)
            bytes[rng_below(&r, (uint32_t)size)] = (unsigned char)rng_u32(&r);
        files_write_bytes(bad, bytes, size);
        head_model *m = NULL;
        hds_error error = { 0 };
        if (headfile_load_npz(&m, bad, &error)) {
            assert_null(m);
            assert_true(error.status != HDS_OK && strstr(error.message, bad));
        } else {
            assert_true(trial >= 100);
        }
        hds_head_model_unref(m);
    }
    free(bytes);
    io_map_close(&map);
    hds_free(path);
    hds_free(bad);
}

/* What only code can do wrong, where no file can. */
static void test_validate_counts(void **state)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    char *path = tiny_write(*state, "a.npz", arrays, TINY_ARRAYS);
    head_model *m = load(path), changed = *m;
    hds_error error = { 0 };
    changed.joint_count = (size_t)-3;
    assert_int_equal(headfile_validate(&changed, "m", &error), HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, NULL, "m: -3 joints, expected 1 to");
    changed = *m;
    changed.shape_basis = NULL;
    error = (hds_error){ 0 };
    assert_int_equal(headfile_validate(&changed, "m", &error), HDS_ERROR_FORMAT);
    assert_string_equal(error.message, "m: shape_basis is missing");
    changed = *m;
    uint32_t far[2 * TINY_V] = { [5] = 3 };
    changed.skin_joints = far;
    error = (hds_error){ 0 };
    assert_int_equal(headfile_validate(&changed, "m", &error), HDS_ERROR_FORMAT);
    assert_string_equal(error.message, "m: vertex 2 hangs on joint 3, expected less than 3");
    assert_int_equal(headfile_validate(m, "m", NULL), HDS_OK);
    hds_head_model_unref(m);
    hds_free(path);
}

static void test_unwritable(void **state)
{
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    char *path = tiny_write(*state, "a.npz", arrays, TINY_ARRAYS);
    char *nowhere = io_join(*state, "none/b.npz");
    head_model *m = load(path);
    hds_error error = { 0 };
    assert_true(headfile_save_npz(m, nowhere, &error) != HDS_OK);
    assert_non_null(strstr(error.message, "none"));
    hds_head_model_unref(m);
    hds_free(path);
    hds_free(nowhere);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_round_trip),      IN_FOLDER(test_least_model),
        IN_FOLDER(test_corrections),     IN_FOLDER(test_half_and_double),
        IN_FOLDER(test_hostile_arrays),  IN_FOLDER(test_damaged_files),
        IN_FOLDER(test_validate_counts), IN_FOLDER(test_unwritable),
        IN_FOLDER(test_parts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

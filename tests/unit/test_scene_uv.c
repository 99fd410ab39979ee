/* SPDX-License-Identifier: Apache-2.0 */
/* UV space through the public calls: the sample head, a model that is not symmetric, one without
 * UVs, and what is refused. */
#include "tiny_head.h"

#include "headsds/uv.h"

#include <math.h>

enum { SIZE = 64, TEXELS = SIZE * SIZE, PICTURE = 96 };

static hds_head_model *sample, *tiny, *bare;
static hds_head *sample_head, *tiny_one, *bare_head;

static char *folder;

static void check_ok(hds_status status, const hds_error *error)
{
    if (status != HDS_OK)
        fail_msg("%s", error->message);
}

static hds_head_model *load(const char *path)
{
    hds_head_model *model;
    hds_error error = { 0 };
    check_ok(hds_head_model_load(&model, &(hds_head_model_params){ .path = path }, &error), &error);
    return model;
}

static hds_head *create(hds_head_model *model)
{
    hds_head *head;
    hds_error error = { 0 };
    check_ok(hds_head_create(&head, &(hds_head_params){ .model = model }, &error), &error);
    return head;
}

static int setup(void **state)
{
    io_array arrays[TINY_ARRAYS], kept[TINY_ARRAYS];
    size_t count = 0;
    folder = files_folder();
    tiny_head(arrays);
    for (size_t i = 0; i < TINY_ARRAYS; i++)
        if (strcmp(arrays[i].name, "uvs") && strcmp(arrays[i].name, "uv_faces") &&
            strcmp(arrays[i].name, "mean_texture"))
            kept[count++] = arrays[i];
    char *path = tiny_write(folder, "tiny.npz", arrays, TINY_ARRAYS);
    char *bare_path = tiny_write(folder, "bare.npz", kept, count);
    sample = load(HEADSDS_SOURCE "/samples/head/head.npz");
    tiny = load(path);
    bare = load(bare_path);
    sample_head = create(sample);
    tiny_one = create(tiny);
    bare_head = create(bare);
    hds_free(path);
    hds_free(bare_path);
    return 0;
}

static int teardown(void **state)
{
    hds_head_unref(sample_head);
    hds_head_unref(tiny_one);
    hds_head_unref(bare_head);
    hds_head_model_unref(sample);
    hds_head_model_unref(tiny);
    hds_head_model_unref(bare);
    files_remove(folder);
    return 0;
}

static void test_maps(void **state)
{
    static float positions[3 * TEXELS], normals[3 * TEXELS];
    static uint8_t coverage[TEXELS], again[TEXELS];
    hds_error error = { 0 };
    check_ok(hds_head_uv_map(sample_head, HDS_UV_POSITIONS, SIZE, positions, coverage, &error),
             &error);
    check_ok(hds_head_uv_map(sample_head, HDS_UV_NORMALS, SIZE, normals, again, &error), &error);
    assert_memory_equal(coverage, again, TEXELS);
    int covered = 0;
    for (int i = 0; i < TEXELS; i++) {
        float length = 0, distance = 0;
        for (int c = 0; c < 3; c++) {
            length += normals[3 * i + c] * normals[3 * i + c];
            distance += positions[3 * i + c] * positions[3 * i + c];
        }
        assert_true(fabsf(length - coverage[i]) < 1e-5f);
        assert_true((distance > 0) == (coverage[i] == 1) && distance < 0.1f);
        covered += coverage[i];
    }
    assert_true(covered > TEXELS * 3 / 4 && covered < TEXELS);
}

/* A picture all of one colour gives a texture all of that colour, and the weight says where from.
 */
static void test_unwrap(void **state)
{
    static uint8_t pixels[2 * 3 * PICTURE * PICTURE], texture[3 * TEXELS];
    static float weight[TEXELS];
    hds_error error = { 0 };
    const hds_camera cameras[2] = { { .azimuth = 20 }, { .azimuth = -60 } };
    hds_unwrap_params params = { pixels, cameras, 2, PICTURE, PICTURE, SIZE };
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(40 + 90 * (i % 3));
    check_ok(hds_head_unwrap(sample_head, &params, texture, weight, &error), &error);
    int seen = 0;
    for (int i = 0; i < TEXELS; i++) {
        for (int c = 0; c < 3; c++)
            assert_in_range(texture[3 * i + c], 39 + 90 * c, 41 + 90 * c);
        assert_true(weight[i] >= 0 && weight[i] <= 2);
        seen += weight[i] > 0;
    }
    assert_true(seen > TEXELS / 2 && seen < TEXELS);
    params.count = 0;
    params.pictures = NULL;
    check_ok(hds_head_unwrap(sample_head, &params, texture, weight, &error), &error);
    for (int i = 0; i < TEXELS; i++)
        assert_true(weight[i] == 0 && texture[3 * i] == 0);
}

static void test_mirror(void **state)
{
    static float map[2 * TEXELS];
    bool symmetric = false;
    hds_error error = { 0 };
    check_ok(hds_head_model_uv_mirror(sample, SIZE, map, &symmetric, &error), &error);
    assert_true(symmetric);
    int right = 0;
    for (int y = 0; y < SIZE; y++)
        for (int x = 0; x < SIZE; x++) /* the sample head's layout is itself symmetric */
            if (map[2 * (y * SIZE + x)] >= 0) {
                assert_true(fabsf(map[2 * (y * SIZE + x)] - (1 - (x + .5f) / SIZE)) < 2e-3f);
                assert_true(fabsf(map[2 * (y * SIZE + x) + 1] - (1 - (y + .5f) / SIZE)) < 2e-3f);
                right++;
            }
    assert_true(right > TEXELS * 3 / 4);
    check_ok(hds_head_model_uv_mirror(tiny, SIZE, map, &symmetric, &error), &error);
    assert_false(symmetric);
    for (int i = 0; i < 2 * TEXELS; i++)
        assert_true(map[i] == -1);
}

static void test_errors(void **state)
{
    static float map[3 * TEXELS];
    static uint8_t coverage[TEXELS], pixel[3];
    const hds_camera front = { 0 }, steep = { .elevation = 91 };
    bool symmetric;
    hds_error error = { 0 };
#define REFUSED(call, place, what)                                                                 \
    assert_int_equal(call, HDS_ERROR_ARGUMENT);                                                    \
    files_check_error(&error, HDS_ERROR_ARGUMENT, place, what);                                    \
    error = (hds_error){ 0 }
    REFUSED(hds_head_uv_map(NULL, HDS_UV_NORMALS, 8, map, coverage, &error), "head", "needed");
    REFUSED(hds_head_uv_map(tiny_one, HDS_UV_NORMALS, 8, map, NULL, &error), "coverage", "needed");
    REFUSED(hds_head_uv_map(tiny_one, (hds_uv_map)2, 8, map, coverage, &error), "kind: 2",
            "0 to 1");
    REFUSED(hds_head_uv_map(tiny_one, HDS_UV_NORMALS, -1, map, coverage, &error), "size: -1",
            "1 to 8192");
    REFUSED(hds_head_uv_map(bare_head, HDS_UV_NORMALS, 8, map, coverage, &error), "tiny head",
            "no UV layout");
    hds_unwrap_params params = { pixel, &front, 1, 1, 1, 8193 };
    REFUSED(hds_head_unwrap(tiny_one, &params, coverage, map, &error), "size: 8193", "1 to 8192");
    params.size = 8;
    REFUSED(hds_head_unwrap(tiny_one, NULL, coverage, map, &error), "pictures", "needed");
    REFUSED(hds_head_unwrap(bare_head, &params, coverage, map, &error), "tiny head",
            "no UV layout");
    params.height = 16385;
    REFUSED(hds_head_unwrap(tiny_one, &params, coverage, map, &error), "1 x 16385", "1 to 16384");
    params.height = 1;
    params.cameras = &steep;
    REFUSED(hds_head_unwrap(tiny_one, &params, coverage, map, &error), "elevation 91", "-90 to 90");
    params.cameras = NULL;
    REFUSED(hds_head_unwrap(tiny_one, &params, coverage, map, &error), "cameras", "needed");
    REFUSED(hds_head_model_uv_mirror(tiny, 9000, map, &symmetric, &error), "size: 9000",
            "1 to 8192");
    REFUSED(hds_head_model_uv_mirror(bare, 8, map, &symmetric, &error), "tiny head",
            "no UV layout");
    REFUSED(hds_head_model_uv_mirror(tiny, 8, map, NULL, &error), "symmetric", "needed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maps),
        cmocka_unit_test(test_unwrap),
        cmocka_unit_test(test_mirror),
        cmocka_unit_test(test_errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

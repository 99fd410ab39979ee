/* SPDX-License-Identifier: Apache-2.0 */
/* Heads out and back: what each saved file holds is compared with the head, corner by corner; what
 * cannot be saved or read says so and leaves nothing behind. The head is an egg with a UV seam. */
#include "head/head.h"
#include "headsds/asset.h"
#include "headsds/render.h"
#include "io/io.h"

#include <assimp/cimport.h>
#include <assimp/material.h>
#include <assimp/scene.h>

#include <dirent.h>
#include <math.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { ROWS = 8, COLUMNS = 12, SHAPES = 2, EXPRESSIONS = 3, JOINTS = 2, TEXTURE = 16 };
enum { VERTICES = (ROWS - 1) * COLUMNS + 2, FACES = 2 * COLUMNS * (ROWS - 1) };
enum { UVS = (ROWS + 1) * (COLUMNS + 1) };

static char folder[] = "/tmp/headsds-scene-XXXXXX";
static hds_head_model *model;
static hds_head *head;
static float dent[VERTICES * 3]; /* offsets of the second group's head */
static bool sculpted;

static void path_in(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", folder, name);
}

/* ---- the egg ---- */

static uint32_t vertex_at(int row, int column)
{
    if (row == 0 || row == ROWS)
        return row == 0 ? VERTICES - 2 : VERTICES - 1;
    return (uint32_t)((row - 1) * COLUMNS + column % COLUMNS);
}

static uint32_t uv_at(int row, int column)
{
    return (uint32_t)(row * (COLUMNS + 1) + column);
}

static void fill_vertices(float *vertices, float *uvs)
{
    const double pi = 3.14159265358979;
    for (int row = 0; row <= ROWS; row++)
        for (int column = 0; column <= COLUMNS; column++) {
            double t = pi * row / ROWS, p = 2 * pi * column / COLUMNS - pi;
            float *v = vertices + 3 * vertex_at(row, column % COLUMNS);
            float *uv = uvs + 2 * uv_at(row, column);
            if (column < COLUMNS) {
                v[0] = (float)(.08 * sin(t) * sin(p));
                v[1] = (float)(.12 * cos(t));
                v[2] = (float)(.09 * sin(t) * cos(p));
            }
            uv[0] = (float)column / COLUMNS;
            uv[1] = 1 - (float)row / ROWS;
        }
}

static void fill_faces(uint32_t *faces, uint32_t *uv_faces)
{
    size_t n = 0;
    for (int row = 0; row < ROWS; row++)
        for (int column = 0; column < COLUMNS; column++) {
            const int corners[6][2] = { { row, column },         { row + 1, column },
                                        { row + 1, column + 1 }, { row, column },
                                        { row + 1, column + 1 }, { row, column + 1 } };
            for (int half = 0; half < 2; half++) {
                if ((half == 0 && row == ROWS - 1) || (half == 1 && row == 0))
                    continue; /* a pole has one triangle a column */
                for (int c = 3 * half; c < 3 * half + 3; c++, n++) {
                    faces[n] = vertex_at(corners[c][0], corners[c][1]);
                    uv_faces[n] = uv_at(corners[c][0], corners[c][1]);
                }
            }
        }
    assert_int_equal(n, 3 * FACES);
}

/* Each expression moves its own few vertices and leaves the others. */
static void fill_bases(float *shapes, float *expressions, float *skin)
{
    for (size_t i = 0; i < VERTICES; i++) {
        for (size_t c = 0; c < 3; c++) {
            shapes[3 * i + c] = .004f * sinf((float)(i + c));
            shapes[3 * (VERTICES + i) + c] = .003f * cosf((float)(2 * i + c));
        }
        for (size_t k = 0; k < EXPRESSIONS; k++)
            expressions[3 * (k * VERTICES + i) + k] = i % 7 == k ? .01f : 0;
        skin[2 * i] = i % 2 ? .25f : 1;
        skin[2 * i + 1] = i % 2 ? .75f : 0;
    }
}

static float vertices[VERTICES * 3], uvs[UVS * 2];
static uint32_t faces[FACES * 3], uv_faces[FACES * 3];
static uint8_t texture[TEXTURE * TEXTURE * 3];

/* turned: the first triangle begins at its second corner, and is thus another topology. */
static void save_egg(const char *path, bool turned)
{
    static float shapes[SHAPES * VERTICES * 3], expressions[EXPRESSIONS * VERTICES * 3];
    static float joint_shapes[SHAPES * JOINTS * 3], skin[VERTICES * JOINTS];
    static float joints[JOINTS * 3] = { 0, -.1f, 0, 0, .02f, 0 };
    static int32_t parents[JOINTS] = { -1, 0 };
    fill_vertices(vertices, uvs);
    fill_faces(faces, uv_faces);
    uint32_t first = faces[0];
    if (turned) {
        faces[0] = faces[1];
        faces[1] = faces[2];
        faces[2] = first;
    }
    fill_bases(shapes, expressions, skin);
#define ARRAY(n, k, s, d, ...)                                                                     \
    {                                                                                              \
        .name = (char *)(n), .kind = (k), .itemsize = (s), .dims = (d), .shape = { __VA_ARGS__ }   \
    }
    io_array arrays[] = {
        ARRAY("name", 'S', 3, 0, 0),
        ARRAY("vertices", 'f', 4, 2, VERTICES, 3),
        ARRAY("faces", 'u', 4, 2, FACES, 3),
        ARRAY("uvs", 'f', 4, 2, UVS, 2),
        ARRAY("uv_faces", 'u', 4, 2, FACES, 3),
        ARRAY("shape_basis", 'f', 4, 3, SHAPES, VERTICES, 3),
        ARRAY("expression_basis", 'f', 4, 3, EXPRESSIONS, VERTICES, 3),
        ARRAY("expression_names", 'S', 8, 1, EXPRESSIONS),
        ARRAY("joints", 'f', 4, 2, JOINTS, 3),
        ARRAY("joint_parents", 'i', 4, 1, JOINTS),
        ARRAY("joint_names", 'S', 4, 1, JOINTS),
        ARRAY("joint_shape_basis", 'f', 4, 3, SHAPES, JOINTS, 3),
        ARRAY("skin_weights", 'f', 4, 2, VERTICES, JOINTS),
    };
    const void *data[] = { "egg",    vertices, faces,       uvs,
                           uv_faces, shapes,   expressions, "jawOpen\0smile\0\0\0blink\0\0\0",
                           joints,   parents,  "neckjaw\0", joint_shapes,
                           skin };
    size_t count = sizeof arrays / sizeof *arrays;
    for (size_t i = 0; i < count; i++) {
        arrays[i].data = (void *)data[i];
        arrays[i].size = (size_t)arrays[i].itemsize;
        for (int d = 0; d < arrays[i].dims; d++)
            arrays[i].size *= (size_t)arrays[i].shape[d];
    }
    hds_error error = { 0 };
    if (io_npz_write(path, arrays, count, &error) != HDS_OK)
        fail_msg("%s", error.message);
}

static int setup(void **state)
{
    char path[256];
    memcpy(folder, "/tmp/headsds-scene-XXXXXX", sizeof folder);
    assert_non_null(mkdtemp(folder));
    path_in(path, "egg.npz");
    save_egg(path, false);
    hds_error error = { 0 };
    if (hds_head_model_load(&model, &(hds_head_model_params){ .path = path }, &error) != HDS_OK)
        fail_msg("%s", error.message);
    for (size_t i = 0; i < sizeof texture; i++)
        texture[i] = (uint8_t)(37 * i + i / 48);
    static const float shape[SHAPES] = { 1.5f, -.7f }, expression[EXPRESSIONS] = { .3f, 0, 1 };
    static const float pose[3 * JOINTS] = { 0, .2f, 0, .1f, 0, 0 };
    static const hds_history history[] = { { "geometry", 0, 412.5f, 3.25f, .125f, 1.5f },
                                           { "texture", 7, 1.f / 3, 2e-7f, .5f, 1e9f } };
    hds_head_params params = {
        .model = model,
        .prompt = "\303\204 head with a \"long\" nose",
        .coefficients = { shape, SHAPES, expression, EXPRESSIONS, pose, 3 * JOINTS },
        .offsets = sculpted ? dent : NULL,
        .texture = texture,
        .texture_width = TEXTURE,
        .texture_height = TEXTURE,
        .history = history,
        .history_count = 2,
    };
    if (hds_head_create(&head, &params, &error) != HDS_OK)
        fail_msg("%s", error.message);
    return 0;
}

static size_t each_file(void (*visit)(const char *path))
{
    size_t count = 0;
    DIR *listing = opendir(folder);
    for (struct dirent *entry; (entry = readdir(listing)) != NULL;) {
        if (entry->d_name[0] == '.' && (!entry->d_name[1] || entry->d_name[1] == '.'))
            continue;
        char path[600];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        count++;
        if (visit)
            visit(path);
    }
    closedir(listing);
    return count;
}

static void remove_file(const char *path)
{
    unlink(path);
}

static int teardown(void **state)
{
    hds_head_unref(head);
    hds_head_model_unref(model);
    each_file(remove_file);
    return rmdir(folder);
}

static void save_as(const char *name, char path[256])
{
    hds_error error = { 0 };
    path_in(path, name);
    if (hds_head_save(head, path, &error) != HDS_OK)
        fail_msg("%s", error.message);
}

/* The vertices with expression `more` raised by one; -1: as the head is. */
static void evaluate(int more, float *out)
{
    hds_head_info info;
    hds_head_get_info(head, &info);
    float expression[EXPRESSIONS];
    memcpy(expression, info.expression, sizeof expression);
    if (more >= 0)
        expression[more] += 1;
    hds_coefficients c = { info.shape, SHAPES, expression, EXPRESSIONS, info.pose, 3 * JOINTS };
    hds_head_model with = *model;
    float template[VERTICES * 3];
    for (size_t i = 0; i < VERTICES * 3; i++)
        template[i] = model->vertices[i] + (sculpted ? dent[i] : 0);
    with.vertices = template;
    assert_int_equal(hds_head_model_vertices(&with, &c, out, NULL), HDS_OK);
}

static void near3(const struct aiVector3D *found, const float *wanted)
{
    assert_true(fabsf(found->x - wanted[0]) <= 1e-7f);
    assert_true(fabsf(found->y - wanted[1]) <= 1e-7f);
    assert_true(fabsf(found->z - wanted[2]) <= 1e-7f);
}

static const char *const names[EXPRESSIONS] = { "jawOpen", "smile", "blink" };

/* Positions, uvs and targets of every corner of every face. */
static void check_mesh(const struct aiMesh *mesh)
{
    static float base[VERTICES * 3], targets[EXPRESSIONS][VERTICES * 3];
    evaluate(-1, base);
    for (int k = 0; k < EXPRESSIONS; k++)
        evaluate(k, targets[k]);
    assert_int_equal(mesh->mNumFaces, FACES);
    assert_int_equal(mesh->mNumAnimMeshes, EXPRESSIONS);
    assert_non_null(mesh->mNormals);
    assert_non_null(mesh->mTextureCoords[0]);
    size_t moved = 0;
    for (size_t i = 0; i < 3 * FACES; i++) {
        unsigned at = mesh->mFaces[i / 3].mIndices[i % 3];
        near3(&mesh->mVertices[at], base + 3 * (size_t)faces[i]);
        assert_true(fabsf(mesh->mTextureCoords[0][at].x - uvs[2 * uv_faces[i]]) < 1e-6f);
        assert_true(fabsf(mesh->mTextureCoords[0][at].y - uvs[2 * uv_faces[i] + 1]) < 1e-6f);
        for (int k = 0; k < EXPRESSIONS; k++) {
            near3(&mesh->mAnimMeshes[k]->mVertices[at], targets[k] + 3 * (size_t)faces[i]);
            moved += fabsf(targets[k][3 * faces[i] + (size_t)k] - base[3 * faces[i] + (size_t)k]) >
                     .005f;
        }
    }
    assert_true(moved > FACES / 4);
    for (int k = 0; k < EXPRESSIONS; k++)
        assert_string_equal(mesh->mAnimMeshes[k]->mName.data, names[k]);
}

static void check_texture_file(const char *path)
{
    uint8_t *pixels = NULL;
    int width, height;
    hds_error error = { 0 };
    if (io_png_read(path, 3, &pixels, &width, &height, &error) != HDS_OK)
        fail_msg("%s", error.message);
    assert_int_equal(width, TEXTURE);
    assert_int_equal(height, TEXTURE);
    assert_memory_equal(pixels, texture, sizeof texture);
    hds_free(pixels);
}

static void check_material(const struct aiScene *scene)
{
    float metallic = -1, roughness = -1;
    const struct aiMaterial *material = scene->mMaterials[scene->mMeshes[0]->mMaterialIndex];
    unsigned one = 1;
    aiGetMaterialFloatArray(material, AI_MATKEY_METALLIC_FACTOR, &metallic, &one);
    aiGetMaterialFloatArray(material, AI_MATKEY_ROUGHNESS_FACTOR, &roughness, &one);
    assert_true(metallic == 0);
    assert_true(fabsf(roughness - .6f) < 1e-6f);
    assert_int_equal(aiGetMaterialTextureCount(material, aiTextureType_BASE_COLOR), 1);
}

static void test_glb(void **state)
{
    char path[256];
    save_as("head.glb", path);
    const struct aiScene *scene = aiImportFile(path, 0);
    assert_non_null(scene);
    assert_int_equal(scene->mNumMeshes, 1);
    check_mesh(scene->mMeshes[0]);
    check_material(scene);
    assert_int_equal(scene->mNumTextures, 1);
    char png[256];
    path_in(png, "embedded.png");
    assert_int_equal(
        io_write_atomic(png, scene->mTextures[0]->pcData, scene->mTextures[0]->mWidth, NULL),
        HDS_OK);
    check_texture_file(png);
    aiReleaseImport(scene);
}

static void test_gltf(void **state)
{
    char path[256], beside[256];
    save_as("head.gltf", path);
    const struct aiScene *scene = aiImportFile(path, 0);
    assert_non_null(scene);
    check_mesh(scene->mMeshes[0]);
    check_material(scene);
    struct aiString name;
    assert_int_equal(aiGetMaterialTexture(scene->mMaterials[scene->mMeshes[0]->mMaterialIndex],
                                          aiTextureType_BASE_COLOR, 0, &name, NULL, NULL, NULL,
                                          NULL, NULL, NULL),
                     aiReturn_SUCCESS);
    assert_string_equal(name.data, "head.png");
    aiReleaseImport(scene);
    path_in(beside, "head.png");
    check_texture_file(beside);
    path_in(beside, "head.bin");
    assert_true(io_exists(beside));
}

/* References are escaped, file names are not. */
static void test_gltf_name_with_spaces(void **state)
{
    char path[256], beside[256];
    save_as("my head.gltf", path);
    path_in(beside, "my head.bin");
    assert_true(io_exists(beside));
    json_t *root = NULL;
    assert_int_equal(io_json_load(&root, path, NULL), HDS_OK);
    json_t *buffer = json_array_get(json_object_get(root, "buffers"), 0);
    assert_string_equal(json_string_value(json_object_get(buffer, "uri")), "my%20head.bin");
    json_t *image = json_array_get(json_object_get(root, "images"), 0);
    assert_string_equal(json_string_value(json_object_get(image, "uri")), "my%20head.png");
    json_decref(root);
}

static void test_obj(void **state)
{
    static float base[VERTICES * 3];
    char path[256], line[256];
    size_t v = 0, vt = 0, f = 0;
    save_as("head.obj", path);
    evaluate(-1, base);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        float x, y, z;
        unsigned c[9];
        if (sscanf(line, "v %f %f %f", &x, &y, &z) == 3) {
            assert_true(x == base[3 * v] && y == base[3 * v + 1] && z == base[3 * v + 2]);
            v++;
        } else if (sscanf(line, "vt %f %f", &x, &y) == 2) {
            assert_true(x == uvs[2 * vt] && y == uvs[2 * vt + 1]);
            vt++;
        } else if (sscanf(line, "f %u/%u/%u %u/%u/%u %u/%u/%u", c, c + 1, c + 2, c + 3, c + 4,
                          c + 5, c + 6, c + 7, c + 8) == 9) {
            for (size_t k = 0; k < 3; k++) {
                assert_int_equal(c[3 * k], faces[3 * f + k] + 1);
                assert_int_equal(c[3 * k + 1], uv_faces[3 * f + k] + 1);
            }
            f++;
        }
    }
    fclose(file);
    assert_int_equal(v, VERTICES);
    assert_int_equal(vt, UVS);
    assert_int_equal(f, FACES);
    const struct aiScene *scene = aiImportFile(path, 0);
    assert_non_null(scene);
    struct aiString name;
    assert_int_equal(aiGetMaterialTexture(scene->mMaterials[scene->mMeshes[0]->mMaterialIndex],
                                          aiTextureType_DIFFUSE, 0, &name, NULL, NULL, NULL, NULL,
                                          NULL, NULL),
                     aiReturn_SUCCESS);
    assert_string_equal(name.data, "head.png");
    aiReleaseImport(scene);
}

static void same_bytes(const char *a, const char *b)
{
    io_map first, second;
    assert_int_equal(io_map_open(&first, a, NULL), HDS_OK);
    assert_int_equal(io_map_open(&second, b, NULL), HDS_OK);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.bytes, second.bytes, first.size);
    io_map_close(&first);
    io_map_close(&second);
}

static void test_state_returns(void **state)
{
    char path[256], again[256];
    hds_error error = { 0 };
    save_as("one.headsds", path);
    path_in(again, "two.headsds");
    for (int given = 0; given < 2; given++) { /* the model given, or the one that it names */
        hds_head *loaded = NULL;
        if (hds_head_load(&loaded, path, given ? model : NULL, &error) != HDS_OK)
            fail_msg("%s", error.message);
        hds_head_info a, b;
        hds_head_get_info(head, &a);
        hds_head_get_info(loaded, &b);
        assert_string_equal(a.prompt, b.prompt);
        assert_memory_equal(a.shape, b.shape, SHAPES * sizeof(float));
        assert_memory_equal(a.expression, b.expression, EXPRESSIONS * sizeof(float));
        assert_memory_equal(a.pose, b.pose, 3 * JOINTS * sizeof(float));
        assert_memory_equal(b.texture, texture, sizeof texture);
        assert_true(sculpted == (b.offsets != NULL));
        if (sculpted)
            assert_memory_equal(b.offsets, dent, sizeof dent);
        assert_int_equal(b.history_count, 2);
        assert_memory_equal(a.history, b.history, 2 * sizeof *a.history);
        assert_int_equal(hds_head_save(loaded, again, &error), HDS_OK);
        same_bytes(path, again);
        hds_head_unref(loaded);
    }
}

/* Whoever knows no offsets must not read a head that has some. */
static void test_state_names_its_format(void **state)
{
    char path[256];
    io_npz npz;
    save_as("format.headsds", path);
    assert_int_equal(io_npz_open(&npz, path, 0, NULL), HDS_OK);
    const io_array *format = io_npz_find(&npz, "format");
    assert_memory_equal(format->data, sculpted ? "headsds 2" : "headsds 1", 9);
    assert_true(sculpted == (io_npz_find(&npz, "offsets") != NULL));
    io_npz_close(&npz);
}

/* No prompt, no history, no texture, all zero. */
static void test_state_of_nothing(void **state)
{
    char path[256];
    hds_error error = { 0 };
    hds_head *bare = NULL, *loaded = NULL;
    assert_int_equal(hds_head_create(&bare, &(hds_head_params){ .model = model }, &error), HDS_OK);
    path_in(path, "bare.headsds");
    if (hds_head_save(bare, path, &error) != HDS_OK ||
        hds_head_load(&loaded, path, NULL, &error) != HDS_OK)
        fail_msg("%s", error.message);
    hds_head_info info;
    hds_head_get_info(loaded, &info);
    assert_string_equal(info.prompt, "");
    assert_null(info.texture);
    assert_int_equal(info.history_count, 0);
    path_in(path, "bare.glb");
    assert_int_equal(hds_head_save(bare, path, &error), HDS_OK);
    hds_head_unref(loaded);
    hds_head_unref(bare);
}

static void expect_save_error(const char *path, hds_status wanted, const char *part)
{
    hds_error error = { 0 };
    size_t before = each_file(NULL);
    assert_int_equal(hds_head_save(head, path, &error), wanted);
    if (!strstr(error.message, part))
        fail_msg("'%s' is not in: %s", part, error.message);
    assert_int_equal(each_file(NULL), before);
}

static void test_save_errors(void **state)
{
    static const char *const endings[] = { "glb", "gltf", "obj", "headsds" };
    char path[256];
    path_in(path, "head.xyz");
    expect_save_error(path, HDS_ERROR_ARGUMENT, ".glb, .gltf, .obj or .headsds");
    path_in(path, "head");
    expect_save_error(path, HDS_ERROR_ARGUMENT, "ending ''");
    for (size_t i = 0; i < 4; i++) {
        hds_error error = { 0 };
        char name[64];
        /* Permissions don't stop root; /proc takes files from nobody. */
        snprintf(path, sizeof path, "/proc/headsds.%s", endings[i]);
        hds_status status = hds_head_save(head, path, &error);
        assert_true(status == HDS_ERROR_OS || status == HDS_ERROR_NOT_FOUND);
        assert_non_null(strstr(error.message, "/proc/headsds"));
        error = (hds_error){ 0 };
        snprintf(name, sizeof name, "missing/head.%s", endings[i]);
        path_in(path, name);
        assert_int_not_equal(hds_head_save(head, path, &error), HDS_OK);
        assert_non_null(strstr(error.message, "missing/head"));
    }
}

static void expect_load_error(const char *path, hds_status wanted, const char *part)
{
    hds_error error = { 0 };
    hds_head *loaded = NULL;
    assert_int_equal(hds_head_load(&loaded, path, NULL, &error), wanted);
    assert_null(loaded);
    if (!strstr(error.message, part))
        fail_msg("'%s' is not in: %s", part, error.message);
}

static void test_load_errors(void **state)
{
    char path[256], cut[256];
    path_in(path, "none.headsds");
    expect_load_error(path, HDS_ERROR_NOT_FOUND, "none.headsds");
    path_in(path, "egg.npz");
    expect_load_error(path, HDS_ERROR_FORMAT, "is a head model; expected a head");
    save_as("whole.headsds", path);
    path_in(cut, "cut.headsds");
    io_map map;
    assert_int_equal(io_map_open(&map, path, NULL), HDS_OK);
    for (size_t size = 0; size < map.size; size += map.size / 13 + 1) {
        assert_int_equal(io_write_atomic(cut, map.bytes, size, NULL), HDS_OK);
        expect_load_error(cut, HDS_ERROR_FORMAT,
                          size ? "is a head saved as .headsds that is cut short" : "is empty");
    }
    io_map_close(&map);
}

/* Counts that wrap around, or that stand for any, must not be taken at their word. */
static void test_load_refuses_counts_beyond_all_bounds(void **state)
{
    const uint64_t counts[] = { UINT64_MAX, UINT64_MAX / 3 + 1, INT32_MAX / 3 + 1 };
    char path[256], bad[256];
    save_as("counts.headsds", path);
    path_in(bad, "bad.headsds");
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        for (int place = 0; place < 6; place++) {
            io_npz npz;
            assert_int_equal(io_npz_open(&npz, path, 0, NULL), HDS_OK);
            ((uint64_t *)io_npz_find(&npz, "model_counts")->data)[place] = counts[i];
            assert_int_equal(io_npz_write(bad, npz.arrays, npz.count, NULL), HDS_OK);
            io_npz_close(&npz);
            char says[32];
            snprintf(says, sizeof says, "model_counts[%d]: %llu ", place,
                     (unsigned long long)counts[i]);
            expect_load_error(bad, HDS_ERROR_FORMAT, says);
        }
}

/* No base pose is one of zeros. */
static void test_load_takes_a_base_pose_of_zeros(void **state)
{
    const float zeros[3 * JOINTS] = { 0 }, other[3 * JOINTS] = { .1f };
    char path[256], egg[256];
    save_as("unposed.headsds", path);
    path_in(egg, "egg.npz");
    for (int posed = 0; posed < 2; posed++) {
        const hds_head_model_params params = { .path = egg,
                                               .base_pose = posed ? other : zeros,
                                               .base_pose_count = 3 * JOINTS };
        hds_error error = { 0 };
        hds_head_model *same = NULL;
        hds_head *loaded = NULL;
        assert_int_equal(hds_head_model_load(&same, &params, &error), HDS_OK);
        assert_int_equal(hds_head_load(&loaded, path, same, &error),
                         posed ? HDS_ERROR_ARGUMENT : HDS_OK);
        hds_head_unref(loaded);
        hds_head_model_unref(same);
    }
}

static void test_load_names_the_model_that_is_gone(void **state)
{
    char path[256], egg[256], away[256];
    save_as("orphan.headsds", path);
    path_in(egg, "egg.npz");
    path_in(away, "away.npz");
    assert_int_equal(rename(egg, away), 0);
    expect_load_error(path, HDS_ERROR_NOT_FOUND, "'egg' cannot be loaded, give it instead");
    assert_int_equal(rename(away, egg), 0);
}

static void test_load_refuses_another_model(void **state)
{
    char path[256], egg[256];
    hds_error error = { 0 };
    hds_head_model *other = NULL;
    hds_head *loaded = NULL;
    save_as("full.headsds", path);
    path_in(egg, "egg.npz");
    for (int turned = 0; turned < 2; turned++) {
        hds_head_model_params params = { .path = egg, .shape_count = 1 };
        if (turned) {
            path_in(egg, "turned.npz");
            save_egg(egg, true);
            params.shape_count = 0;
        }
        assert_int_equal(hds_head_model_load(&other, &params, &error), HDS_OK);
        assert_int_equal(hds_head_load(&loaded, path, other, &error), HDS_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, "was made on the head model 'egg'"));
        hds_head_model_unref(other);
        error = (hds_error){ 0 };
    }
    fill_faces(faces, uv_faces);
}

enum { SIZE = 64 };

static void render(float azimuth, hds_render_mode mode, uint8_t pixels[SIZE * SIZE * 3])
{
    hds_error error = { 0 };
    hds_camera camera = { .azimuth = azimuth };
    hds_render_params params = {
        .cameras = &camera, .camera_count = 1, .size = SIZE, .mode = mode
    };
    if (hds_head_render(head, &params, pixels, &error) != HDS_OK)
        fail_msg("%s", error.message);
}

static void test_render(void **state)
{
    static uint8_t front[SIZE * SIZE * 3], again[SIZE * SIZE * 3], other[SIZE * SIZE * 3];
    render(0, HDS_RENDER_TEXTURED, front);
    render(0, HDS_RENDER_TEXTURED, again);
    assert_memory_equal(front, again, sizeof front);
    render(0, HDS_RENDER_GREY, other);
    assert_true(memcmp(front, other, sizeof front) != 0);
    const uint8_t *middle = other + 3 * (SIZE / 2 * SIZE + SIZE / 2);
    assert_true(middle[0] == middle[1] && middle[1] == middle[2]);
    assert_true(middle[0] > 100);
    for (int c = 0; c < 3; c++) /* the background */
        assert_in_range(other[c], 106, 108);
    render(360, HDS_RENDER_GREY, again);
    for (size_t i = 0; i < sizeof again; i++)
        assert_in_range(again[i] + 2 - other[i], 0, 4);
}

/* In object space, +z is blue: the front of the egg, seen from wherever. */
static void test_render_normals(void **state)
{
    static uint8_t pixels[SIZE * SIZE * 3];
    const uint8_t *middle = pixels + 3 * (SIZE / 2 * SIZE + SIZE / 2);
    render(0, HDS_RENDER_NORMALS, pixels);
    assert_true(middle[2] > 240);
    render(90, HDS_RENDER_NORMALS, pixels); /* its own left, +x */
    assert_true(middle[0] > 230);
}

/* Several cameras at once draw what each draws alone; twice the distance is half as large. */
static void test_render_cameras(void **state)
{
    static uint8_t both[2 * SIZE * SIZE * 3], one[SIZE * SIZE * 3];
    hds_error error = { 0 };
    hds_camera cameras[2] = { { .azimuth = 50, .elevation = 10 }, { .distance = 2, .fov = 12 } };
    hds_render_params params = { .cameras = cameras, .camera_count = 2, .size = SIZE };
    assert_int_equal(hds_head_render(head, &params, both, &error), HDS_OK);
    for (int i = 0; i < 2; i++) {
        params = (hds_render_params){ .cameras = &cameras[i], .camera_count = 1, .size = SIZE };
        assert_int_equal(hds_head_render(head, &params, one, &error), HDS_OK);
        assert_memory_equal(one, both + i * (int)sizeof one, sizeof one);
    }
    int covered[2];
    for (int i = 0; i < 2; i++) {
        cameras[1].distance = (float)(2 * (i + 1));
        assert_int_equal(hds_head_render(head, &params, one, &error), HDS_OK);
        covered[i] = 0;
        for (int k = 0; k < SIZE * SIZE; k++)
            covered[i] += abs(one[3 * k] - one[0]) > 8;
    }
    assert_true(covered[0] > 100);
    assert_in_range(covered[0], 3.2 * covered[1], 4.9 * covered[1]);
}

static void test_render_errors(void **state)
{
    static uint8_t pixels[3];
    hds_error error = { 0 };
    hds_render_params wrong[] = {
        { .size = -1 },
        { .size = 5000 },
        { .size = 1, .mode = (hds_render_mode)99 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_int_equal(hds_head_render(head, &wrong[i], pixels, &error), HDS_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "size: -1"));
    const hds_camera cameras[] = { { .azimuth = NAN },
                                   { .elevation = 91 },
                                   { .distance = -1 },
                                   { .distance = 0.001f },
                                   { .fov = 151 } };
    const char *const expected[] = { "azimuth nan", "elevation 91", "distance: -1",
                                     "distance: 0.001", "fov: 151" };
    for (size_t i = 0; i < sizeof cameras / sizeof *cameras; i++) {
        hds_render_params params = { .cameras = &cameras[i], .camera_count = 1, .size = 1 };
        error = (hds_error){ 0 };
        assert_int_equal(hds_head_render(head, &params, pixels, &error), HDS_ERROR_ARGUMENT);
        assert_non_null(strstr(error.message, expected[i]));
    }
    assert_int_equal(hds_head_render(head, &(hds_render_params){ .size = 1 }, pixels, NULL),
                     HDS_OK);
}

static int setup_sculpted(void **state)
{
    sculpted = true;
    for (int i = 0; i < VERTICES * 3; i++)
        dent[i] = .01f * sinf((float)i);
    return setup(state);
}

/* The dents are in the picture: it is neither the smooth head's nor another time's. */
static void test_render_shows_offsets(void **state)
{
    static uint8_t rough[64 * 64 * 3], smooth[64 * 64 * 3];
    const hds_render_params params = { .size = 64, .mode = HDS_RENDER_NORMALS };
    hds_head_info info;
    hds_head *bare;
    hds_head_get_info(head, &info);
    const hds_head_params same = { .model = model,
                                   .coefficients = { info.shape, SHAPES, info.expression,
                                                     EXPRESSIONS, info.pose, 3 * JOINTS } };
    assert_int_equal(hds_head_create(&bare, &same, NULL), HDS_OK);
    assert_int_equal(hds_head_render(head, &params, rough, NULL), HDS_OK);
    assert_int_equal(hds_head_render(bare, &params, smooth, NULL), HDS_OK);
    assert_memory_not_equal(rough, smooth, sizeof rough);
    hds_head_unref(bare);
}

int main(void)
{
    const struct CMUnitTest with_offsets[] = {
        cmocka_unit_test(test_glb),
        cmocka_unit_test(test_gltf),
        cmocka_unit_test(test_obj),
        cmocka_unit_test(test_state_returns),
        cmocka_unit_test(test_state_names_its_format),
        cmocka_unit_test(test_render_shows_offsets),
    };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_glb),
        cmocka_unit_test(test_gltf),
        cmocka_unit_test(test_gltf_name_with_spaces),
        cmocka_unit_test(test_obj),
        cmocka_unit_test(test_state_returns),
        cmocka_unit_test(test_state_names_its_format),
        cmocka_unit_test(test_state_of_nothing),
        cmocka_unit_test(test_save_errors),
        cmocka_unit_test(test_load_errors),
        cmocka_unit_test(test_load_refuses_counts_beyond_all_bounds),
        cmocka_unit_test(test_load_takes_a_base_pose_of_zeros),
        cmocka_unit_test(test_load_names_the_model_that_is_gone),
        cmocka_unit_test(test_load_refuses_another_model),
        cmocka_unit_test(test_render),
        cmocka_unit_test(test_render_normals),
        cmocka_unit_test(test_render_cameras),
        cmocka_unit_test(test_render_errors),
    };
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    return failed + cmocka_run_group_tests(with_offsets, setup_sculpted, teardown);
}

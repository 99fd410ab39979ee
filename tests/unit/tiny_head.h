/* SPDX-License-Identifier: Apache-2.0 */
/* The arrays of a head model that is small enough to check by hand: a tetrahedron with two shape
 * components, two expressions, three joints, a UV layout and a texture. */
#ifndef HDS_TEST_TINY_HEAD_H
#define HDS_TEST_TINY_HEAD_H

#include "files.h"

#include "head/head.h"

enum { TINY_V = 4, TINY_S = 2, TINY_E = 2, TINY_J = 3, TINY_ARRAYS = 14 };

static const float tiny_vertices[] = { 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1 };
static const uint32_t tiny_faces[] = { 0, 2, 1, 0, 1, 3, 0, 3, 2, 1, 2, 3 };
static const float tiny_uvs[] = { 0, 0, 1, 0, 0, 1, 1, 1, 0.5f, 0.5f };
static const uint32_t tiny_uv_faces[] = { 0, 2, 1, 0, 1, 3, 0, 3, 2, 4, 2, 3 };
static const float tiny_shape[] = { 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.25f,
                                    0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
static const float tiny_expression[] = { 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0,
                                         0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0 };
static const char tiny_expression_names[] = "jawOpen\0"
                                            "smile\0\0";
static const float tiny_joints[] = { 0, 0, 0, 0, 0, 1, 0, 1, 1 };
static const int32_t tiny_parents[] = { -1, 0, 1 };
static const char tiny_joint_names[] = "neck"
                                       "jaw\0"
                                       "eye\0";
static const float tiny_joint_shape[] = {
    0, 0, 0, 0, 0, 0.25f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
};
static const float tiny_weights[] = { 1, 0, 0, 0.5f, 0.5f, 0, 0, 0, 1, 0, 1, 0 };
static const uint8_t tiny_texture[] = { 255, 0, 0, 0, 255, 0 };
static const float tiny_extra[] = { 1, 2, 3 };

static inline io_array tiny_array(const char *name, char kind, int itemsize, int dims,
                                  const int64_t *shape, const void *data)
{
    io_array a = { .name = (char *)(uintptr_t)name,
                   .kind = kind,
                   .itemsize = itemsize,
                   .dims = dims,
                   .data = (void *)(uintptr_t)data,
                   .size = (size_t)itemsize };
    for (int i = 0; i < dims; i++) {
        a.shape[i] = shape[i];
        a.size *= (size_t)shape[i];
    }
    return a;
}

#define TINY(name, kind, itemsize, data, ...)                                                      \
    tiny_array(name, kind, itemsize, sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t),         \
               (int64_t[]){ __VA_ARGS__ }, data)

static inline void tiny_head(io_array arrays[TINY_ARRAYS])
{
    const io_array all[TINY_ARRAYS] = {
        tiny_array("name", 'S', 9, 0, NULL, "tiny head"),
        TINY("vertices", 'f', 4, tiny_vertices, 4, 3),
        TINY("faces", 'u', 4, tiny_faces, 4, 3),
        TINY("uvs", 'f', 4, tiny_uvs, 5, 2),
        TINY("uv_faces", 'u', 4, tiny_uv_faces, 4, 3),
        TINY("shape_basis", 'f', 4, tiny_shape, 2, 4, 3),
        TINY("expression_basis", 'f', 4, tiny_expression, 2, 4, 3),
        TINY("expression_names", 'S', 8, tiny_expression_names, 2),
        TINY("joints", 'f', 4, tiny_joints, 3, 3),
        TINY("joint_parents", 'i', 4, tiny_parents, 3),
        TINY("joint_names", 'S', 4, tiny_joint_names, 3),
        TINY("joint_shape_basis", 'f', 4, tiny_joint_shape, 2, 3, 3),
        TINY("skin_weights", 'f', 4, tiny_weights, 4, 3),
        TINY("mean_texture", 'u', 1, tiny_texture, 1, 2, 3),
    };
    memcpy(arrays, all, sizeof all);
}

static inline io_array *tiny_find(io_array *arrays, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(arrays[i].name, name) == 0)
            return &arrays[i];
    fail_msg("no array %s", name);
    return NULL;
}

/* Writes the arrays to `name` in the folder; the path is new. */
static inline char *tiny_write(const char *folder, const char *name, const io_array *arrays,
                               size_t count)
{
    char *path = io_join(folder, name);
    hds_error error = { 0 };
    assert_non_null(path);
    if (io_npz_write(path, arrays, count, &error))
        fail_msg("%s", error.message);
    return path;
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a head model that loads: that it is what the kernels take for granted. */
#ifndef HDS_FUZZ_MODEL_H
#define HDS_FUZZ_MODEL_H

#include "fuzz.h"

#include "head/head.h"

static inline void fuzz_check_faces(const uint32_t *faces, size_t count, size_t limit)
{
    for (size_t i = 0; i < 3 * count; i++)
        if (faces[i] >= limit)
            abort();
}

static inline void fuzz_touch_names(char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        fuzz_touch(names[i], strlen(names[i]));
}

/* Every array is as long as its count says, and every index within it. */
static inline void fuzz_check_model(const head_model *m)
{
    size_t vertices = 3 * m->vertex_count, joints = 3 * m->joint_count;
    fuzz_check_faces(m->faces, m->face_count, m->vertex_count);
    if (m->uvs)
        fuzz_check_faces(m->uv_faces, m->face_count, m->uv_count);
    for (size_t j = 0; j < m->joint_count; j++)
        if (m->joint_parents[j] >= (int32_t)j || (m->joint_parents[j] < 0) != (j == 0))
            abort();
    const struct {
        const void *array;
        size_t size;
    } arrays[] = {
        { m->vertices, vertices * sizeof(real) },
        { m->shape_basis, m->shape_count * vertices * sizeof(real) },
        { m->expression_basis, m->expression_count * vertices * sizeof(real) },
        { m->joints, joints * sizeof(real) },
        { m->joint_shape_basis, m->shape_count * joints * sizeof(real) },
        { m->joint_expression_basis, m->expression_count * joints * sizeof(real) },
        { m->pose_basis, 9 * (m->joint_count - 1) * vertices * sizeof(real) },
        { m->uvs, 2 * m->uv_count * sizeof *m->uvs },
        { m->mean_texture, 3 * m->texture_width * m->texture_height },
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        fuzz_touch(arrays[i].array, arrays[i].array ? arrays[i].size : 0);
    fuzz_touch_names(&m->name, 1);
    fuzz_touch_names(m->expression_names, m->expression_count);
    fuzz_touch_names(m->joint_names, m->joint_count);
}

/* Also the vertices of a head with every coefficient in use. */
static inline void fuzz_use(const head_model *m)
{
    fuzz_check_model(m);
    hds_error error = { 0 };
    size_t count = m->shape_count + m->expression_count + 3 * m->joint_count;
    float *numbers = malloc(count * sizeof *numbers);
    float *vertices = malloc(3 * m->vertex_count * sizeof *vertices);
    if (!numbers || !vertices)
        abort();
    for (size_t i = 0; i < count; i++)
        numbers[i] = 0.3f + 0.1f * (float)(i % 5);
    const hds_coefficients c = {
        .shape = numbers,
        .shape_count = m->shape_count,
        .expression = numbers + m->shape_count,
        .expression_count = m->expression_count,
        .pose = numbers + m->shape_count + m->expression_count,
        .pose_count = 3 * m->joint_count,
    };
    if (hds_head_model_vertices(m, &c, vertices, &error))
        abort();
    fuzz_touch(vertices, 3 * m->vertex_count * sizeof *vertices);
    free(numbers);
    free(vertices);
    fuzz_loaded++;
}

/* What a loader gave; its errors name `path`. The model is given back. */
static inline void fuzz_check_loaded(hds_status status, const hds_error *error, const char *path,
                                     head_model *m)
{
    fuzz_check(status, error, path);
    if ((status == HDS_OK) != (m != NULL))
        abort();
    if (m)
        fuzz_use(m);
    hds_head_model_unref(m);
}

#endif

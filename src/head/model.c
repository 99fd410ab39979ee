/* SPDX-License-Identifier: Apache-2.0 */
/* Head models as handles: lifetime, description, and whether two are the same. */
#include "head/head.h"

#include <string.h>

hds_head_model *hds_head_model_ref(hds_head_model *model)
{
    __atomic_add_fetch(&model->references, 1, __ATOMIC_RELAXED);
    return model;
}

void hds_head_model_unref(hds_head_model *m)
{
    if (!m || __atomic_sub_fetch(&m->references, 1, __ATOMIC_ACQ_REL))
        return;
    for (size_t i = 0; m->expression_names && i < m->expression_count; i++)
        hds_free(m->expression_names[i]);
    for (size_t i = 0; m->joint_names && i < m->joint_count; i++)
        hds_free(m->joint_names[i]);
    for (size_t i = 0; m->part_names && i < m->part_count; i++)
        hds_free(m->part_names[i]);
    for (size_t i = 0; m->attribute_names && i < m->attribute_count; i++)
        hds_free(m->attribute_names[i]);
    void *arrays[] = { m->name,
                       m->path,
                       m->uv_template,
                       m->mean_texture_path,
                       m->vertices,
                       m->shape_basis,
                       m->expression_basis,
                       m->faces,
                       m->uvs,
                       m->uv_faces,
                       m->joints,
                       m->joint_shape_basis,
                       m->joint_expression_basis,
                       m->pose_basis,
                       m->joint_parents,
                       m->skin_joints,
                       m->skin_weights,
                       m->expression_names,
                       m->joint_names,
                       m->mean_texture,
                       m->part_names,
                       m->face_parts,
                       m->base_pose,
                       m->attribute_names,
                       m->attribute_measure,
                       m->attribute_offset };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        hds_free(arrays[i]);
    hds_free(m);
}

void hds_head_model_get_info(const hds_head_model *m, hds_head_model_info *info)
{
    *info = (hds_head_model_info){
        .name = m->name,
        .vertex_count = m->vertex_count,
        .face_count = m->face_count,
        .uv_count = m->uv_count,
        .shape_count = m->shape_count,
        .expression_count = m->expression_count,
        .joint_count = m->joint_count,
        .faces = m->faces,
        .uvs = m->uvs,
        .uv_faces = m->uv_faces,
        .expression_names = (const char *const *)m->expression_names,
        .joint_names = (const char *const *)m->joint_names,
        .mean_texture = m->mean_texture,
        .texture_width = m->texture_width,
        .texture_height = m->texture_height,
        .part_count = m->part_count,
        .part_names = (const char *const *)m->part_names,
        .face_parts = m->face_parts,
        .base_pose = m->base_pose,
        .attribute_count = m->attribute_count,
        .attribute_names = (const char *const *)m->attribute_names,
    };
}

hds_status hds_head_model_measure(const hds_head_model *m, const float *shape, size_t count,
                                  float *attributes, hds_error *error)
{
    float *all = hds_alloc(m->shape_count, sizeof *all);
    if (!all)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu coefficients", m->shape_count);
    hds_status status = head_expand("shape", shape, count, m->shape_count, all, error);
    for (size_t a = 0; !status && a < m->attribute_count; a++) {
        double sum = m->attribute_offset[a];
        for (size_t s = 0; s < m->shape_count; s++)
            sum += m->attribute_measure[a * m->shape_count + s] * all[s];
        attributes[a] = (float)sum;
    }
    hds_free(all);
    return status;
}

bool head_same_pose(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((a ? a[i] : 0) != (b ? b[i] : 0))
            return false;
    return true;
}

static bool equal(const void *a, const void *b, size_t count, size_t size)
{
    return a && b ? memcmp(a, b, count * size) == 0 : a == b;
}

bool head_models_agree(const head_model *a, const head_model *b)
{
    size_t row = 3 * a->vertex_count * sizeof(real), joints = 3 * a->joint_count * sizeof(real);
    return a == b ||
           (a->vertex_count == b->vertex_count && a->face_count == b->face_count &&
            a->uv_count == b->uv_count && a->shape_count == b->shape_count &&
            a->expression_count == b->expression_count && a->joint_count == b->joint_count &&
            a->skin_count == b->skin_count && equal(a->vertices, b->vertices, 1, row) &&
            equal(a->faces, b->faces, a->face_count, 3 * sizeof *a->faces) &&
            equal(a->uvs, b->uvs, a->uv_count, 2 * sizeof *a->uvs) &&
            equal(a->uv_faces, b->uv_faces, a->face_count, 3 * sizeof *a->uv_faces) &&
            equal(a->shape_basis, b->shape_basis, a->shape_count, row) &&
            equal(a->expression_basis, b->expression_basis, a->expression_count, row) &&
            equal(a->joints, b->joints, 1, joints) &&
            equal(a->joint_shape_basis, b->joint_shape_basis, a->shape_count, joints) &&
            equal(a->joint_expression_basis, b->joint_expression_basis, a->expression_count,
                  joints) &&
            equal(a->pose_basis, b->pose_basis, 9 * (a->joint_count - 1), row) &&
            head_same_pose(a->base_pose, b->base_pose, 3 * a->joint_count) &&
            equal(a->joint_parents, b->joint_parents, a->joint_count, sizeof *a->joint_parents) &&
            equal(a->skin_joints, b->skin_joints, a->vertex_count * a->skin_count,
                  sizeof *a->skin_joints) &&
            equal(a->skin_weights, b->skin_weights, a->vertex_count * a->skin_count,
                  sizeof *a->skin_weights));
}

static uint64_t add(uint64_t hash, const void *array, size_t count, size_t size)
{
    uint64_t digest = array ? base_digest(array, count * size) : 0;
    return base_hash(hash, &digest, sizeof digest);
}

uint64_t head_model_hash(const head_model *m)
{
    size_t row = 3 * m->vertex_count * sizeof(real), joints = 3 * m->joint_count * sizeof(real);
    uint64_t h = BASE_HASH_START;
    h = add(h, m->vertices, 1, row);
    h = add(h, m->faces, m->face_count, 3 * sizeof *m->faces);
    h = add(h, m->uvs, m->uv_count, 2 * sizeof *m->uvs);
    h = add(h, m->uv_faces, m->face_count, 3 * sizeof *m->uv_faces);
    h = add(h, m->shape_basis, m->shape_count, row);
    h = add(h, m->expression_basis, m->expression_count, row);
    h = add(h, m->joints, 1, joints);
    h = add(h, m->joint_shape_basis, m->shape_count, joints);
    h = add(h, m->joint_expression_basis, m->expression_count, joints);
    h = add(h, m->pose_basis, 9 * (m->joint_count - 1), row);
    h = add(h, m->base_pose, 3 * m->joint_count, sizeof *m->base_pose);
    h = add(h, m->joint_parents, m->joint_count, sizeof *m->joint_parents);
    h = add(h, m->skin_joints, m->vertex_count * m->skin_count, sizeof *m->skin_joints);
    h = add(h, m->skin_weights, m->vertex_count * m->skin_count, sizeof *m->skin_weights);
    return add(h, m->mean_texture, m->texture_width * m->texture_height, 3);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What exporters need of a head: its surface, each expression as a target, and the corners at
 * which the UV layout splits it.
 *
 *   target_k = skin(shape, expression + e_k, pose)                           (V,3)
 * Skinning is linear in the rest shape, so a target's difference adds to any other's. */
#include "head/head.h"

#include "mesh/mesh.h"

#include <string.h>

static hds_status evaluate(const hds_head_info *head, const mesh_adjacency *adjacency,
                           const float *expression, float *vertices, float *normals,
                           hds_error *error)
{
    hds_head_model_info model;
    hds_head_model_get_info(head->model, &model);
    hds_coefficients coefficients = {
        .shape = head->shape,
        .shape_count = model.shape_count,
        .expression = expression,
        .expression_count = model.expression_count,
        .pose = head->pose,
        .pose_count = 3 * model.joint_count,
    };
    hds_status status = head_vertices(head->model, &coefficients, head->offsets, vertices, error);
    if (status == HDS_OK)
        mesh_normals(adjacency, vertices, normals, NULL);
    return status;
}

static hds_status evaluate_targets(head_surface *shape, const hds_head_info *head,
                                   const mesh_adjacency *adjacency, hds_error *error)
{
    size_t count = shape->target_count, stride = 3 * shape->vertex_count;
    float *expression = hds_alloc(count, sizeof *expression);
    if (!expression)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu expressions", count);
    hds_status status = HDS_OK;
    for (size_t k = 0; k < count && status == HDS_OK; k++) {
        memcpy(expression, head->expression, count * sizeof *expression);
        expression[k] += 1;
        status = evaluate(head, adjacency, expression, shape->target_vertices + k * stride,
                          shape->target_normals + k * stride, error);
    }
    hds_free(expression);
    return status;
}

hds_status head_surface_init(head_surface *shape, const hds_head *head, bool with_targets,
                             hds_error *error)
{
    hds_head_info info;
    hds_head_model_info model;
    hds_head_get_info(head, &info);
    hds_head_model_get_info(info.model, &model);
    size_t numbers = 3 * model.vertex_count;
    *shape = (head_surface){ .vertex_count = model.vertex_count,
                             .target_count = with_targets ? model.expression_count : 0 };
    shape->vertices = hds_alloc(numbers, sizeof(float));
    shape->normals = hds_alloc(numbers, sizeof(float));
    shape->target_vertices = hds_alloc(shape->target_count * numbers, sizeof(float));
    shape->target_normals = hds_alloc(shape->target_count * numbers, sizeof(float));
    mesh_adjacency adjacency = { 0 };
    hds_status status;
    if (!shape->vertices || !shape->normals || !shape->target_vertices || !shape->target_normals)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a head of %zu vertices",
                           model.vertex_count);
    else
        status = mesh_adjacency_init(&adjacency, model.faces, model.face_count, model.vertex_count,
                                     error);
    if (status == HDS_OK)
        status =
            evaluate(&info, &adjacency, info.expression, shape->vertices, shape->normals, error);
    if (status == HDS_OK && shape->target_count)
        status = evaluate_targets(shape, &info, &adjacency, error);
    mesh_adjacency_finish(&adjacency);
    if (status != HDS_OK)
        head_surface_finish(shape);
    return status;
}

void head_surface_finish(head_surface *shape)
{
    hds_free(shape->vertices);
    hds_free(shape->normals);
    hds_free(shape->target_vertices);
    hds_free(shape->target_normals);
    *shape = (head_surface){ 0 };
}

static const uint32_t NONE = UINT32_MAX;

/* next[i]: another split vertex of the same model vertex, or NONE. */
static uint32_t find_or_add(head_seams *split, uint32_t *next, uint32_t vertex, uint32_t uv)
{
    uint32_t at = vertex;
    if (split->uvs[at] == NONE)
        split->uvs[at] = uv;
    while (split->uvs[at] != uv && next[at] != NONE)
        at = next[at];
    if (split->uvs[at] == uv)
        return at;
    uint32_t added = (uint32_t)split->count++;
    split->vertices[added] = vertex;
    split->uvs[added] = uv;
    next[at] = added;
    return added;
}

static void split_at_seams(head_seams *split, uint32_t *next, const hds_head_model_info *model)
{
    for (size_t i = 0; i < model->vertex_count + 3 * model->face_count; i++)
        split->uvs[i] = next[i] = NONE;
    for (size_t i = 0; i < 3 * model->face_count; i++)
        split->faces[i] = find_or_add(split, next, model->faces[i], model->uv_faces[i]);
    for (size_t i = 0; i < model->vertex_count; i++)
        if (split->uvs[i] == NONE)
            split->uvs[i] = 0; /* no face uses this vertex */
}

hds_status head_seams_init(head_seams *split, const hds_head_model_info *model, hds_error *error)
{
    size_t most = model->vertex_count + 3 * model->face_count;
    bool with_uvs = model->uvs && model->uv_faces;
    uint32_t *next = hds_alloc(most, sizeof *next);
    *split = (head_seams){ .count = model->vertex_count };
    split->vertices = hds_alloc(most, sizeof *split->vertices);
    split->faces = hds_alloc(3 * model->face_count, sizeof *split->faces);
    split->uvs = with_uvs ? hds_alloc(most, sizeof *split->uvs) : NULL;
    if (!next || !split->vertices || !split->faces || (with_uvs && !split->uvs)) {
        hds_free(next);
        head_seams_finish(split);
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu faces", model->face_count);
    }
    for (size_t i = 0; i < model->vertex_count; i++)
        split->vertices[i] = (uint32_t)i;
    if (with_uvs)
        split_at_seams(split, next, model);
    else
        memcpy(split->faces, model->faces, 3 * model->face_count * sizeof *split->faces);
    hds_free(next);
    return HDS_OK;
}

void head_seams_finish(head_seams *split)
{
    hds_free(split->vertices);
    hds_free(split->uvs);
    hds_free(split->faces);
    *split = (head_seams){ 0 };
}

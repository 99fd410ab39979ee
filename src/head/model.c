/* SPDX-License-Identifier: Apache-2.0 */
/* Head models as handles: recognising and loading one, and its description. */
#include "head/head_priv.h"
#include "io/io.h"

#include <string.h>
#include <strings.h>

/* ---- recognising ---- */

bool head_ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcasecmp(text + length - tail, ending) == 0;
}

/* *folder: `path` or its FaceXModel, whichever holds an ICT-FaceKit; new, or NULL for neither. */
static hds_status find_ict(char **folder, const char *path, hds_error *error)
{
    char *below = io_join(path, "FaceXModel");
    char *candidates[] = { hds_strdup(path), below };
    hds_status status = HDS_OK;
    *folder = NULL;
    for (int i = 0; i < 2; i++) {
        char *mesh = candidates[i] ? io_join(candidates[i], "generic_neutral_mesh.obj") : NULL;
        if (!mesh)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", path);
        if (mesh && !*folder && io_exists(mesh)) {
            *folder = candidates[i];
            candidates[i] = NULL;
        }
        hds_free(mesh);
    }
    hds_free(candidates[0]);
    hds_free(candidates[1]);
    if (status) {
        hds_free(*folder);
        *folder = NULL;
    }
    return status;
}

static hds_status load_path(head_model **model, const char *path, hds_error *error)
{
    char *folder = NULL;
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: no such file or folder, expected a headsds or FLAME .npz file, a "
                         "FLAME .pkl file, a HIFI3D .mat file or an ICT-FaceKit FaceXModel folder",
                         path);
    if (!io_is_folder(path) && head_ends_with(path, ".pkl"))
        return head_load_flame(model, path, error);
    if (!io_is_folder(path) && head_ends_with(path, ".npz"))
        return head_load_npz(model, path, error);
    if (!io_is_folder(path) && head_ends_with(path, ".mat"))
        return head_load_hifi3d(model, path, error);
    hds_status status = io_is_folder(path) ? find_ict(&folder, path, error) : HDS_OK;
    if (status)
        return status;
    if (!folder)
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: not a known head model; looked for a file that ends in .npz, .pkl "
            "(FLAME) or .mat (HIFI3D), and for a folder with generic_neutral_mesh.obj or "
            "FaceXModel/generic_neutral_mesh.obj in it (ICT-FaceKit)",
            path);
    status = head_load_ict(model, folder, error);
    hds_free(folder);
    return status;
}

static hds_status load_built_in(head_model **model, hds_error *error)
{
    char *path;
    hds_status status = io_data_path(&path, "head/head.npz", error);
    if (status)
        return status;
    status = head_load_npz(model, path, error);
    if (!status) {
        hds_free((*model)->path);
        (*model)->path = NULL;
    }
    hds_free(path);
    return status;
}

static void limit(head_model *m, size_t shape_count, size_t expression_count)
{
    if (shape_count && shape_count < m->shape_count)
        m->shape_count = shape_count;
    while (expression_count && expression_count < m->expression_count)
        hds_free(m->expression_names[--m->expression_count]);
}

bool head_same_pose(const float *a, const float *b, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((a ? a[i] : 0) != (b ? b[i] : 0))
            return false;
    return true;
}

static hds_status set_base_pose(head_model *m, const hds_head_model_params *p, hds_error *error)
{
    if (!p->base_pose && !p->base_pose_count && !p->average_pose)
        return HDS_OK;
    if (p->average_pose && (p->base_pose || p->base_pose_count))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "base_pose and average_pose, expected one of them");
    float *pose = hds_alloc(m->joint_count, 3 * sizeof *pose);
    if (!pose)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu joints", m->joint_count);
    hds_free(m->base_pose);
    m->base_pose = pose;
    return p->average_pose ? head_flame_average(m, pose, error)
                           : head_expand("base_pose", p->base_pose, p->base_pose_count,
                                         3 * m->joint_count, pose, error);
}

static hds_status keep_path(head_model *m, const char *path, hds_error *error)
{
    char *copy = hds_strdup(path);
    if (!copy)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", path);
    hds_free(m->path);
    m->path = copy;
    return HDS_OK;
}

hds_status hds_head_model_load(hds_head_model **model, const hds_head_model_params *params,
                               hds_error *error)
{
    static const hds_head_model_params built_in = { 0 };
    *model = NULL;
    params = params ? params : &built_in;
    if (params->shape_count < 0 || params->expression_count < 0)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s is %d, expected 0 (all) or more",
                         params->shape_count < 0 ? "shape_count" : "expression_count",
                         params->shape_count < 0 ? params->shape_count : params->expression_count);
    head_model *m = NULL;
    hds_status status =
        params->path ? load_path(&m, params->path, error) : load_built_in(&m, error);
    if (!status && params->path)
        status = keep_path(m, params->path, error);
    if (!status)
        status = head_take_looks(m, params->uv_template, params->mean_texture, error);
    if (!status)
        status = set_base_pose(m, params, error);
    if (status) {
        hds_head_model_unref(m);
        return status;
    }
    limit(m, (size_t)params->shape_count, (size_t)params->expression_count);
    *model = m;
    return HDS_OK;
}

/* ---- handles ---- */

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
                       m->base_pose };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        hds_free(arrays[i]);
    hds_free(m);
}

hds_status hds_head_model_save(const hds_head_model *model, const char *path, hds_error *error)
{
    if (!model || !path || !head_ends_with(path, ".npz"))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s: expected a head model and a path that ends in .npz, by which it will "
                         "be known again",
                         path ? path : "no path");
    return head_save_npz(model, path, error);
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
    };
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

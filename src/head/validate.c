/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernels take for granted about a head model, checked once when it is loaded. */
#include "head/head_priv.h"

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

static hds_status not_finite(const validator *v, const char *name, size_t component, size_t rows,
                             size_t at, double value)
{
    size_t row = at / 3, column = at % 3;
    if (rows)
        return hds_raise(v->error, HDS_ERROR_FORMAT,
                         "%s: %s[%zu,%zu,%zu] is %g, expected a finite number", v->path, name,
                         component, row, column, value);
    return hds_raise(v->error, HDS_ERROR_FORMAT, "%s: %s[%zu,%zu] is %g, expected a finite number",
                     v->path, name, row, column, value);
}

/* (components, rows, 3), or (rows, 3) where `stacked` is false. */
static hds_status check_finite(const validator *v, const char *name, const real *values,
                               size_t components, size_t rows, bool stacked)
{
    for (size_t k = 0; k < components; k++)
        for (size_t i = 0; i < 3 * rows; i++)
            if (!isfinite(values[3 * rows * k + i]))
                return not_finite(v, name, k, stacked ? rows : 0, i,
                                  (double)values[3 * rows * k + i]);
    return HDS_OK;
}

static hds_status check_numbers(const validator *v, const head_model *m)
{
    hds_status status = check_finite(v, "vertices", m->vertices, 1, m->vertex_count, false);
    if (!status)
        status =
            check_finite(v, "shape_basis", m->shape_basis, m->shape_count, m->vertex_count, true);
    if (!status)
        status = check_finite(v, "expression_basis", m->expression_basis, m->expression_count,
                              m->vertex_count, true);
    if (!status)
        status = check_finite(v, "joints", m->joints, 1, m->joint_count, false);
    if (!status)
        status = check_finite(v, "joint_shape_basis", m->joint_shape_basis, m->shape_count,
                              m->joint_count, true);
    if (!status && m->joint_expression_basis)
        status = check_finite(v, "joint_expression_basis", m->joint_expression_basis,
                              m->expression_count, m->joint_count, true);
    if (!status && m->pose_basis)
        status = check_finite(v, "pose_basis", m->pose_basis, 9 * (m->joint_count - 1),
                              m->vertex_count, true);
    for (size_t i = 0; !status && m->base_pose && i < 3 * m->joint_count; i++)
        if (!isfinite(m->base_pose[i]))
            status = not_finite(v, "base_pose", 0, 0, i, (double)m->base_pose[i]);
    for (size_t i = 0; !status && i < 2 * m->uv_count; i++)
        if (!isfinite(m->uvs[i]))
            status = hds_raise(v->error, HDS_ERROR_FORMAT,
                               "%s: uvs[%zu,%zu] is %g, expected a finite number", v->path, i / 2,
                               i % 2, (double)m->uvs[i]);
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

static bool is_utf8(const char *text)
{
    for (size_t length; *text; text += length)
        if (!(length = hds_utf8_length(text)))
            return false;
    return true;
}

static hds_status check_names(const validator *v, const char *field, char *const *names,
                              size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!names[i] || !is_utf8(names[i]))
            return hds_raise(v->error, HDS_ERROR_FORMAT, "%s: %s[%zu] is %s, expected UTF-8 text",
                             v->path, field, i, names[i] ? "not well-formed" : "missing");
    return HDS_OK;
}

hds_status head_validate(const head_model *m, const char *path, hds_error *error)
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

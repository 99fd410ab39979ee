/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of head models share: a model's begin and end, checks of arrays and numbers, and
 * refusing them by place. */
#include "headfile_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* ---- begin and end ---- */

void headfile_begin(headfile_source *s, const char *name)
{
    if (s->status)
        return;
    head_model *m = s->model = hds_alloc(1, sizeof *m);
    if (m) {
        m->references = 1;
        m->path = hds_strdup(s->path);
        m->name = hds_strdup(name);
    }
    if (!m || !m->path || (name && !m->name))
        s->status =
            hds_raise(s->error, HDS_ERROR_MEMORY, "%s: no memory for a head model", s->path);
}

static hds_status add_root(head_model *m, const char *path, hds_error *error)
{
    m->joint_count = m->skin_count = 1;
    m->joints = hds_alloc(3, sizeof *m->joints);
    m->joint_shape_basis = hds_alloc(m->shape_count, 3 * sizeof *m->joint_shape_basis);
    m->joint_parents = hds_alloc(1, sizeof *m->joint_parents);
    m->joint_names = hds_alloc(1, sizeof *m->joint_names);
    m->skin_joints = hds_alloc(m->vertex_count, sizeof *m->skin_joints);
    m->skin_weights = hds_alloc(m->vertex_count, sizeof *m->skin_weights);
    if (!m->joints || !m->joint_shape_basis || !m->joint_parents || !m->joint_names ||
        !m->skin_joints || !m->skin_weights || !(m->joint_names[0] = hds_strdup("root")))
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for the root joint", path);
    m->joint_parents[0] = -1;
    for (size_t i = 0; i < m->vertex_count; i++)
        m->skin_weights[i] = 1;
    return HDS_OK;
}

hds_status headfile_complete(headfile_source *s, head_model **model)
{
    if (!s->status && !s->model->joint_count)
        s->status = add_root(s->model, s->path, s->error);
    if (!s->status)
        s->status = headfile_validate(s->model, s->path, s->error);
    if (s->status)
        hds_head_model_unref(s->model);
    *model = s->status ? NULL : s->model;
    s->model = NULL;
    return s->status;
}

/* ---- refusing ---- */

void headfile_fail(headfile_source *s, hds_status status, const char *name, const char *what)
{
    if (!s->status)
        s->status = hds_raise(s->error, status, "%s: %s: %s", s->path, name, what);
}

void headfile_fail_memory(headfile_source *s, const char *name)
{
    headfile_fail(s, HDS_ERROR_MEMORY, name, "no memory for it");
}

void headfile_fail_number(headfile_source *s, const char *name, int dims, const int64_t *shape,
                          size_t i, double found, const char *expected)
{
    if (!s->status)
        s->status = headfile_raise_number(s->path, name, dims, shape, i, found, expected, s->error);
}

/* ---- parts of a model ---- */

bool headfile_is_index(double number, double limit)
{
    return number >= 0 && number < limit && number == floor(number);
}

uint32_t *headfile_take_faces(headfile_source *s, const char *name, const double *numbers,
                              const int64_t *shape, size_t limit, const char *expected)
{
    size_t count = s->status ? 0 : (size_t)(shape[0] * shape[1]);
    uint32_t *out = s->status ? NULL : hds_alloc(count, sizeof *out);
    if (!out)
        headfile_fail_memory(s, name);
    for (size_t i = 0; out && i < count; i++)
        if (headfile_is_index(numbers[i], (double)limit))
            out[i] = (uint32_t)numbers[i];
        else
            headfile_fail_number(s, name, 2, shape, i, numbers[i], expected);
    return out;
}

void headfile_number_expressions(headfile_source *s, const char *name, size_t count)
{
    head_model *m = s->model;
    m->expression_names = s->status ? NULL : hds_alloc(count, sizeof *m->expression_names);
    for (size_t k = 0; m->expression_names && k < count; k++)
        if ((m->expression_names[k] = hds_format("expression_%03zu", k)))
            m->expression_count++;
    if (m->expression_count < count)
        headfile_fail(s, HDS_ERROR_MEMORY, name, "no memory for names");
}

/* Weights of vertex i; *used of them are not 0. */
static hds_status check_weights(const real *weights, size_t joints, size_t i, size_t *used,
                                double *sum, const char *path, const char *name, hds_error *error)
{
    *used = 0;
    *sum = 0;
    for (size_t j = 0; j < joints; j++) {
        double weight = (double)weights[j];
        if (!(weight >= 0) || !isfinite(weight))
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s[%zu,%zu] is %g, expected 0 or more",
                             path, name, i, j, weight);
        *used += weight != 0;
        *sum += weight;
    }
    if (!(fabs(*sum - 1) < 1e-2))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s[%zu] add up to %g, expected 1", path,
                         name, i, *sum);
    return HDS_OK;
}

/* weights (V,J) -> K pairs a vertex, joints rising, unused pairs with weight 0. Rounded weights (of
 * half precision) are scaled to a sum of 1. */
hds_status headfile_pack_weights(head_model *m, const real *weights, const char *path,
                                 const char *name, hds_error *error)
{
    size_t joints = m->joint_count, used;
    double sum;
    hds_status status = HDS_OK;
    m->skin_count = 1;
    for (size_t i = 0; !status && i < m->vertex_count; i++) {
        status = check_weights(weights + i * joints, joints, i, &used, &sum, path, name, error);
        if (used > m->skin_count)
            m->skin_count = used;
    }
    if (status)
        return status;
    m->skin_joints = hds_alloc(m->vertex_count, m->skin_count * sizeof *m->skin_joints);
    m->skin_weights = hds_alloc(m->vertex_count, m->skin_count * sizeof *m->skin_weights);
    if (!m->skin_joints || !m->skin_weights)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: %s: no memory for it", path, name);
    for (size_t i = 0; i < m->vertex_count; i++) {
        sum = 0;
        for (size_t j = 0; j < joints; j++)
            sum += (double)weights[i * joints + j];
        double scale = fabs(sum - 1) > 1e-6 ? 1 / sum : 1;
        size_t at = i * m->skin_count;
        for (size_t j = 0; j < joints; j++)
            if (weights[i * joints + j] != 0) {
                m->skin_joints[at] = (uint32_t)j;
                m->skin_weights[at++] = (real)((double)weights[i * joints + j] * scale);
            }
    }
    return HDS_OK;
}

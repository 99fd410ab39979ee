/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices of heads for whoever has a handle: coefficients checked and completed, and the adjoint.
 *
 *   (S) (E) (J,3) -> (V,3) for each head, by skin.c */
#include "head/head.h"

#include <math.h>
#include <string.h>

hds_status head_expand(const char *name, const float *values, size_t count, size_t limit,
                       float *out, hds_error *error)
{
    if (count > limit)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s has %zu numbers, expected at most the model's %zu", name, count,
                         limit);
    if (!values && count)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s is NULL, expected %zu numbers", name,
                         count);
    memset(out, 0, limit * sizeof *out);
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "%s[%zu] is %s, expected a finite number",
                             name, i,
                             isnan(values[i]) ? "nan"
                             : values[i] > 0  ? "inf"
                                              : "-inf");
        out[i] = values[i];
    }
    return HDS_OK;
}

hds_status head_expand_coefficients(const head_model *m, const hds_coefficients *c, float *shape,
                                    float *expression, float *pose, hds_error *error)
{
    hds_status status =
        head_expand("shape", c->shape, c->shape_count, m->shape_count, shape, error);
    if (!status)
        status = head_expand("expression", c->expression, c->expression_count, m->expression_count,
                             expression, error);
    if (!status)
        status = head_expand("pose", c->pose, c->pose_count, 3 * m->joint_count, pose, error);
    return status;
}

/* The coefficients of N heads: (N,S), (N,E), (N,J,3) */
typedef struct heads {
    const head_model *model;
    size_t count;
    real *shape, *expression, *pose;
    arena scratch;
} heads;

static hds_status no_memory(const heads *a, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu heads of %zu vertices", a->count,
                     a->model->vertex_count);
}

static void copy(const float *from, real *to, size_t count)
{
    for (size_t i = 0; i < count; i++)
        to[i] = from[i];
}

/* Errors say which head it is where there are several. */
static hds_status heads_init(heads *a, const head_model *m, const hds_coefficients *coefficients,
                             size_t count, hds_error *error)
{
    size_t shapes = m->shape_count, expressions = m->expression_count, poses = 3 * m->joint_count;
    *a = (heads){ .model = m, .count = count };
    a->shape = arena_alloc(&a->scratch, count, shapes * sizeof(real));
    a->expression = arena_alloc(&a->scratch, count, expressions * sizeof(real));
    a->pose = arena_alloc(&a->scratch, count, poses * sizeof(real));
    float *one = arena_alloc(&a->scratch, shapes + expressions + poses, sizeof *one);
    if (!a->shape || !a->expression || !a->pose || !one)
        return no_memory(a, error);
    for (size_t h = 0; h < count; h++) {
        hds_error own = { .status = HDS_OK };
        hds_status status = head_expand_coefficients(m, coefficients + h, one, one + shapes,
                                                     one + shapes + expressions, &own);
        if (status && count > 1)
            return hds_raise(error, status, "head %zu: %s", h, own.message);
        if (status)
            return hds_raise(error, status, "%s", own.message);
        copy(one, a->shape + h * shapes, shapes);
        copy(one + shapes, a->expression + h * expressions, expressions);
        copy(one + shapes + expressions, a->pose + h * poses, poses);
    }
    return HDS_OK;
}

/* Numbers as the kernels take them: in place, but in the double precision of tests. */
static real *as_reals(heads *a, const float *numbers, size_t count)
{
    return sizeof(real) == sizeof(float) ? (void *)(uintptr_t)numbers
                                         : arena_alloc(&a->scratch, count, sizeof(real));
}

hds_status hds_head_model_vertices_batch(const hds_head_model *m,
                                         const hds_coefficients *coefficients, size_t count,
                                         float *vertices, hds_error *error)
{
    if (count == 0)
        return HDS_OK;
    heads a;
    hds_status status = heads_init(&a, m, coefficients, count, error);
    size_t numbers = 3 * m->vertex_count * count;
    real *out = status ? NULL : as_reals(&a, vertices, numbers);
    if (!status &&
        !(out && head_skin(m, count, a.shape, a.expression, a.pose, &a.scratch, NULL, out)))
        status = no_memory(&a, error);
    for (size_t i = 0; !status && (void *)out != vertices && i < numbers; i++)
        vertices[i] = (float)out[i];
    arena_finish(&a.scratch);
    return status;
}

hds_status hds_head_model_vertices(const hds_head_model *m, const hds_coefficients *coefficients,
                                   float *vertices, hds_error *error)
{
    return hds_head_model_vertices_batch(m, coefficients, 1, vertices, error);
}

bool head_add_offsets(const head_model *m, const float *offsets, arena *memory, head_model *with)
{
    *with = *m;
    if (!offsets)
        return true;
    with->vertices = arena_take(memory, m->vertex_count, 3 * sizeof *with->vertices);
    for (size_t i = 0; with->vertices && i < 3 * m->vertex_count; i++)
        with->vertices[i] = m->vertices[i] + offsets[i];
    return with->vertices;
}

hds_status head_vertices(const head_model *m, const hds_coefficients *coefficients,
                         const float *offsets, float *vertices, hds_error *error)
{
    arena memory = { 0 };
    head_model with;
    hds_status status =
        head_add_offsets(m, offsets, &memory, &with)
            ? hds_head_model_vertices(&with, coefficients, vertices, error)
            : hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu vertices", m->vertex_count);
    arena_finish(&memory);
    return status;
}

static void add(const real *from, float *to, size_t count)
{
    for (size_t i = 0; to && i < count; i++)
        to[i] += (float)from[i];
}

static hds_status check_upstream(const heads *a, const float *dvertices, hds_error *error)
{
    size_t row = 3 * a->model->vertex_count;
    for (size_t i = 0; i < a->count * row; i++)
        if (!isfinite(dvertices[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "upstream[%zu,%zu,%zu] is %g, expected a finite number", i / row,
                             i % row / 3, i % 3, (double)dvertices[i]);
    return HDS_OK;
}

/* Fails only for want of memory. */
static bool run_adjoint(heads *a, const float *dvertices, const hds_gradients *gradients)
{
    const head_model *m = a->model;
    size_t shapes = m->shape_count, expressions = m->expression_count, poses = 3 * m->joint_count;
    size_t numbers = 3 * m->vertex_count * a->count;
    bool wanted[3] = { false };
    for (size_t h = 0; h < a->count; h++) {
        wanted[0] |= gradients[h].shape != NULL;
        wanted[1] |= gradients[h].expression != NULL;
        wanted[2] |= gradients[h].pose != NULL;
    }
    head_pose saved;
    arena *scratch = &a->scratch;
    real *dshape = arena_alloc(scratch, a->count, shapes * sizeof(real));
    real *dexpression = arena_alloc(scratch, a->count, expressions * sizeof(real));
    real *dpose = arena_alloc(scratch, a->count, poses * sizeof(real));
    real *upstream = as_reals(a, dvertices, numbers);
    if (!dshape || !dexpression || !dpose || !upstream)
        return false;
    if (sizeof(real) != sizeof(float))
        copy(dvertices, upstream, numbers);
    if (!head_skin(m, a->count, a->shape, a->expression, a->pose, scratch, &saved, NULL) ||
        !head_skin_adjoint(m, a->count, a->shape, a->expression, a->pose, scratch, &saved, upstream,
                           wanted[0] ? dshape : NULL, wanted[1] ? dexpression : NULL,
                           wanted[2] ? dpose : NULL))
        return false;
    for (size_t h = 0; h < a->count; h++) {
        add(dshape + h * shapes, gradients[h].shape, shapes);
        add(dexpression + h * expressions, gradients[h].expression, expressions);
        add(dpose + h * poses, gradients[h].pose, poses);
    }
    return true;
}

hds_status hds_head_model_vertices_adjoint(const hds_head_model *m,
                                           const hds_coefficients *coefficients, size_t count,
                                           const float *dvertices, const hds_gradients *gradients,
                                           hds_error *error)
{
    if (count == 0)
        return HDS_OK;
    heads a;
    hds_status status = heads_init(&a, m, coefficients, count, error);
    if (!status)
        status = check_upstream(&a, dvertices, error);
    if (!status && !run_adjoint(&a, dvertices, gradients))
        status = no_memory(&a, error);
    arena_finish(&a.scratch);
    return status;
}

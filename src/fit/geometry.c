/* SPDX-License-Identifier: Apache-2.0 */
/* The geometry stage: shape coefficients under grey shading and normals, as the first blog post on
 * tuning a morphable model by SDS and FaceG2E's coarse stage do it. */
#include "fit/fit.h"

#include <math.h>

hds_status fit_geometry_adjoint(fit_run *run, const fit_views *v, real *dshape, hds_error *error)
{
    const head_model *m = run->model;
    arena *a = &run->scratch;
    real *dvertices = arena_alloc(a, 3 * m->vertex_count, sizeof(real));
    real *dnormals = arena_alloc(a, 3 * m->vertex_count, sizeof(real));
    bool complete = dvertices && dnormals && fit_views_adjoint(run, v, dvertices, dnormals, NULL);
    complete = complete && mesh_normals_adjoint(&run->adjacency, v->vertices, v->normals,
                                                v->normal_lengths, dnormals, a, dvertices);
    complete = complete && head_skin_adjoint(m, 1, run->shape, run->expression, run->pose, a,
                                             &v->pose, dvertices, dshape, NULL, NULL);
    if (!complete)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of %zu views",
                         v->count);
    for (size_t k = 0; k < m->shape_count; k++)
        dshape[k] /= (real)v->count;
    return HDS_OK;
}

hds_status fit_geometry_step(fit_run *run, hds_history *log, hds_error *error)
{
    size_t count = run->model->shape_count;
    arena_mark mark = arena_enter(&run->scratch);
    fit_views views;
    real *dshape = arena_alloc(&run->scratch, count, sizeof(real));
    float *whitened = arena_alloc(&run->scratch, count, sizeof *whitened);
    hds_status status =
        dshape && whitened ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
    while (status == HDS_OK && !fit_whiten_ready(run))
        status = fit_whiten_step(run, error);
    if (status == HDS_OK)
        status = fit_views_draw(run, NULL, &views, error);
    if (status == HDS_OK)
        status = fit_views_distil(run, &views, error);
    if (status == HDS_OK)
        status = fit_geometry_adjoint(run, &views, dshape, error);
    if (status == HDS_OK) {
        fit_whiten_apply(run, dshape, whitened);
        fit_take_step(run, views.timesteps, whitened, run->start, run->shape, log);
        double square = 0;
        for (size_t k = 0; k < count; k++)
            square += (double)run->shape[k] * run->shape[k] / (double)count;
        log->coefficient_norm = (float)sqrt(square);
    }
    arena_leave(&run->scratch, mark);
    return status;
}

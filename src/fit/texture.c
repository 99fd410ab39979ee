/* SPDX-License-Identifier: Apache-2.0 */
/* The texture stage: texels in UV space under random views and lights, the geometry fixed.
 *
 * The gradient is preconditioned by a pyramid: with P_s the mean over s x s blocks and U_s the
 * bilinear enlargement, g' = sum_s U_s P_s g over s = 1, 2, 4, ... This is what gradient descent on
 * the sum of a pyramid's levels does; the noise of single texels averages out where the views agree
 * on a region. */
#include "fit/fit.h"

#include "image/image.h"

#include <math.h>
#include <string.h>

enum { PLAIN_SIZE = 512, COARSEST = 8 };

hds_status fit_texture_init(fit_run *run, hds_error *error)
{
    const head_model *m = run->model;
    if (!m->uvs)
        return HDS_OK;
    run->texture_width = m->mean_texture ? m->texture_width : PLAIN_SIZE;
    run->texture_height = m->mean_texture ? m->texture_height : PLAIN_SIZE;
    size_t texels = run->texture_width * run->texture_height * 3;
    run->texture = hds_alloc(texels, sizeof *run->texture);
    run->start_texture = hds_alloc(texels, sizeof *run->start_texture);
    if (!run->texture || !run->start_texture)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a texture of %zux%zu",
                         run->texture_width, run->texture_height);
    for (size_t i = 0; i < texels; i++)
        run->texture[i] = m->mean_texture ? (float)m->mean_texture[i] / 255 : 0.5f;
    memcpy(run->start_texture, run->texture, texels * sizeof *run->texture);
    return HDS_OK;
}

/* gradient (H,W,3) -> its sum over the levels of the pyramid, in place. */
static bool precondition(fit_run *run, real *gradient)
{
    arena *a = &run->scratch;
    int height = (int)run->texture_height, width = (int)run->texture_width;
    size_t texels = run->texture_width * run->texture_height * 3;
    real *sum = arena_alloc(a, texels, sizeof *sum), *large = arena_alloc(a, texels, sizeof *large);
    real *small = arena_alloc(a, texels, sizeof *small);
    if (!sum || !large || !small)
        return false;
    memcpy(sum, gradient, texels * sizeof *sum);
    for (int s = 2; height / s >= COARSEST && width / s >= COARSEST; s *= 2) {
        image_resize(gradient, height, width, 3, height / s, width / s, IMAGE_AREA, small);
        image_resize(small, height / s, width / s, 3, height, width, IMAGE_BILINEAR, large);
        for (size_t i = 0; i < texels; i++)
            sum[i] += large[i];
    }
    memcpy(gradient, sum, texels * sizeof *sum);
    return true;
}

hds_status fit_texture_adjoint(fit_run *run, const fit_views *v, real *dtexture, hds_error *error)
{
    arena *a = &run->scratch;
    size_t texels = run->texture_width * run->texture_height * 3;
    real *dlinear = arena_alloc(a, texels, sizeof *dlinear);
    bool complete = dlinear != NULL;
    raster_mesh mesh = fit_mesh(run->model, v->vertices);
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    for (size_t i = v->maps; complete && i < v->count; i++)
        complete = raster_draw_adjoint(&mesh, v->normals, &v->views[i], a, v->states[i],
                                       v->dimages + i * each, NULL, NULL, dlinear);
    if (!complete)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of %zu views",
                         v->count);
    image_to_linear_adjoint(run->texture, texels, dlinear, dtexture);
    for (size_t i = 0; i < v->maps; i++)
        image_resize_adjoint((int)run->texture_height, (int)run->texture_width, 3, v->size, v->size,
                             fit_map_filter(run, v), v->dimages + i * each, dtexture);
    for (size_t i = 0; i < texels; i++)
        dtexture[i] /= (real)v->count;
    return HDS_OK;
}

static void take_step(fit_run *run, const fit_views *v, const real *dtexture, hds_history *log)
{
    size_t texels = run->texture_width * run->texture_height * 3;
    fit_take_step(run, v, dtexture, run->start_texture, run->texture, log);
    double change = 0;
    for (size_t i = 0; i < texels; i++) {
        run->texture[i] = fminf(fmaxf(run->texture[i], 0), 1);
        double offset = run->texture[i] - run->start_texture[i];
        change += offset * offset / (double)texels;
    }
    log->coefficient_norm = (float)sqrt(change);
}

hds_status fit_texture_step(fit_run *run, hds_history *log, hds_error *error)
{
    size_t texels = run->texture_width * run->texture_height * 3;
    arena_mark mark = arena_enter(&run->scratch);
    fit_views views;
    real *linear = arena_alloc(&run->scratch, texels, sizeof *linear);
    real *dtexture = arena_alloc(&run->scratch, texels, sizeof *dtexture);
    hds_status status = HDS_OK;
    if (!linear || !dtexture)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    if (status == HDS_OK) {
        image_to_linear(run->texture, texels, linear);
        status = fit_views_draw(run, linear, &views, error);
    }
    if (status == HDS_OK)
        status = fit_views_distil(run, &views, error);
    if (status == HDS_OK)
        status = fit_texture_adjoint(run, &views, dtexture, error);
    if (status == HDS_OK && !precondition(run, dtexture))
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    if (status == HDS_OK)
        take_step(run, &views, dtexture, log);
    arena_leave(&run->scratch, mark);
    return status;
}

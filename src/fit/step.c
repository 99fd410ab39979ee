/* SPDX-License-Identifier: Apache-2.0 */
/* What both stages do at each step: draw a few random views, distil the prompt into them. */
#include "fit/fit.h"

#include <math.h>
#include <string.h>

uint64_t fit_stream(const fit_run *run, size_t view, bool noise)
{
    return ((uint64_t)(2 * run->stage + noise) << 40) + ((uint64_t)run->step << 16) + view;
}

static hds_status no_memory(hds_error *error, const fit_views *views)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory drawing %zu views of %d pixels",
                     views->count, views->size);
}

static hds_status allocate(fit_run *run, fit_views *v, hds_error *error)
{
    arena *a = &run->scratch;
    size_t pixels = v->count * (size_t)v->size * (size_t)v->size * 3;
    v->vertices = arena_alloc(a, 3 * run->model->vertex_count, sizeof(real));
    v->normals = arena_alloc(a, 3 * run->model->vertex_count, sizeof(real));
    v->normal_lengths = arena_alloc(a, run->model->vertex_count, sizeof(real));
    v->texture = arena_alloc(a, 1, sizeof *v->texture);
    v->views = arena_alloc(a, v->count, sizeof *v->views);
    v->states = arena_alloc(a, v->count, sizeof *v->states);
    v->sides = arena_alloc(a, v->count, sizeof *v->sides);
    v->timesteps = arena_alloc(a, v->count, sizeof *v->timesteps);
    v->images = arena_alloc(a, pixels, sizeof(real));
    v->dimages = arena_alloc(a, pixels, sizeof(real));
    if (!v->vertices || !v->normals || !v->normal_lengths || !v->texture || !v->views ||
        !v->states || !v->sides || !v->timesteps || !v->images || !v->dimages)
        return no_memory(error, v);
    return HDS_OK;
}

/* Camera and light of one view; the views of a step share out the circle. */
static void choose(const fit_run *run, rng *r, const real *texture, size_t i, fit_views *v)
{
    bool normals = !texture && rng_uniform(r) < 0.5;
    real azimuths = texture ? 150 : 100;
    real stratum = (real)(((double)i + rng_uniform(r)) / (double)v->count);
    raster_view *view = &v->views[i];
    view_random(r, &run->framing, azimuths, stratum, normals ? RASTER_NORMALS : RASTER_SHADED,
                v->size, view);
    view->texture = texture ? v->texture : NULL;
    v->sides[i] = sds_side_of((float)view->camera.azimuth);
}

bool fit_views_adjoint(fit_run *run, const fit_views *v, real *dvertices, real *dnormals,
                       real *dtexels)
{
    raster_mesh mesh = view_mesh(run->model, v->vertices);
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    const real *dimages[FIT_MOST_VIEWS];
    for (size_t i = 0; i < v->count; i++)
        dimages[i] = v->dimages + i * each;
    return raster_draw_views_adjoint(&mesh, v->normals, v->views, v->count, run->view_scratch,
                                     v->states, dimages, dvertices, dnormals, dtexels, NULL);
}

float fit_timestep_random(const fit_run *run, rng *r, size_t i, size_t count)
{
    const hds_stage_params *p = &run->settings.stages[run->stage];
    hds_prior_info info;
    hds_prior_get_info(run->prior, &info);
    size_t slot = (i + (size_t)run->step) % count;
    double t = ((double)slot + rng_uniform(r)) / (double)count;
    t = p->timestep_min + (p->timestep_max - p->timestep_min) * t;
    return (float)floor(t * info.timestep_count);
}

hds_status fit_views_draw(fit_run *run, const real *texture, fit_views *v, hds_error *error)
{
    const hds_stage_params *p = &run->settings.stages[run->stage];
    *v = (fit_views){ .count = (size_t)p->views, .size = p->resolution };
    hds_status status = allocate(run, v, error);
    if (status != HDS_OK)
        return status;
    if (!head_skin(&run->sculpted, 1, run->shape, run->expression, run->pose, &run->scratch,
                   &v->pose, v->vertices))
        return no_memory(error, v);
    mesh_normals(&run->adjacency, v->vertices, v->normals, v->normal_lengths);
    raster_mesh mesh = view_mesh(run->model, v->vertices);
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    real *images[FIT_MOST_VIEWS];
    *v->texture = (raster_texture){ .width = (int)run->texture_width,
                                    .height = (int)run->texture_height,
                                    .channels = 3,
                                    .levels = 1,
                                    .texels = texture };
    for (size_t i = 0; i < v->count; i++) {
        rng r = rng_make(run->settings.seed, fit_stream(run, i, false));
        v->timesteps[i] = fit_timestep_random(run, &r, i, v->count);
        choose(run, &r, texture, i, v);
        images[i] = v->images + i * each;
        arena_leave(&run->view_scratch[i], (arena_mark){ 0 });
    }
    return raster_draw_views(&mesh, v->normals, v->views, v->count, run->view_scratch, v->states,
                             images)
               ? HDS_OK
               : no_memory(error, v);
}

/* Where a value leaves [0,1] the encoder sees it clamped: no step goes there further outward. */
static void clamp_images(fit_views *v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        v->images[i] = fminf(fmaxf(v->images[i], 0), 1);
}

static void stop_outward(fit_views *v, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((v->images[i] >= 1 && v->dimages[i] < 0) || (v->images[i] <= 0 && v->dimages[i] > 0))
            v->dimages[i] = 0;
}

static void clip(fit_views *v, size_t each, double limit)
{
    double mean = 0, norms[FIT_MOST_VIEWS];
    size_t counted = v->count;
    for (size_t i = 0; i < counted; i++) {
        norms[i] = 0;
        for (size_t k = i * each; k < (i + 1) * each; k++)
            norms[i] += (double)v->dimages[k] * v->dimages[k];
        norms[i] = sqrt(norms[i]);
        mean += norms[i] / (double)counted;
    }
    for (size_t i = 0; i < counted; i++)
        if (norms[i] > limit * mean)
            for (size_t k = i * each; k < (i + 1) * each; k++)
                v->dimages[k] *= (real)(limit * mean / norms[i]);
}

hds_status fit_views_distil(fit_run *run, fit_views *v, hds_error *error)
{
    const hds_stage_params *p = &run->settings.stages[run->stage];
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    clamp_images(v, v->count * each);
    sds_batch batch = { .count = v->count,
                        .height = (size_t)v->size,
                        .width = (size_t)v->size,
                        .images = v->images,
                        .sides = v->sides,
                        .timesteps = v->timesteps,
                        .seed = run->settings.seed,
                        .stream = fit_stream(run, 0, true),
                        .guidance_scale = p->guidance_scale };
    hds_status status = sds_gradient(run->prior, &run->text, &batch, v->dimages, error);
    if (status == HDS_OK) {
        stop_outward(v, v->count * each);
        clip(v, each, p->gradient_clip);
    }
    return status;
}

void fit_take_step(fit_run *run, const float *timesteps, const float *gradient, const float *start,
                   float *x, hds_history *log)
{
    const hds_stage_params *p = &run->settings.stages[run->stage];
    /* The rate falls to a tenth over the last third, so that the end is a mean, not a draw. */
    double left = 1 - (double)run->step / p->steps;
    double rate = p->learning_rate * fmin(1, 0.1 + 2.7 * left), square = 0, time = 0;
    optim_adam_step(&run->optimiser, rate, p->l2, gradient, start, x);
    for (size_t i = 0; i < run->optimiser.count; i++)
        square += (double)gradient[i] * gradient[i];
    for (int i = 0; i < p->views; i++)
        time += timesteps[i] / (double)p->views;
    log->timestep = (float)time;
    log->gradient_norm = (float)sqrt(square);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The rendered views of one step: drawn, shown to guides, and their gradient brought back to the
 * stage's variable. */
#include "fit/fit.h"

#include "image/image.h"

#include <math.h>
#include <string.h>

static hds_status no_memory(hds_error *error, const fit_views *v)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory drawing %zu views of %d pixels",
                     v->count, v->size);
}

static hds_status allocate(fit_subject *u, fit_views *v, hds_error *error)
{
    arena *a = &u->scratch;
    size_t pixels = v->count * (size_t)v->size * (size_t)v->size * 3;
    v->vertices = arena_alloc(a, 3 * u->model->vertex_count, sizeof(real));
    v->normals = arena_alloc(a, 3 * u->model->vertex_count, sizeof(real));
    v->normal_lengths = arena_alloc(a, u->model->vertex_count, sizeof(real));
    v->views = arena_alloc(a, v->count, sizeof *v->views);
    v->states = arena_alloc(a, v->count, sizeof *v->states);
    v->sides = arena_alloc(a, v->count, sizeof *v->sides);
    v->images = arena_alloc(a, pixels, sizeof(real));
    v->dimages = arena_alloc(a, pixels, sizeof(real));
    return v->vertices && v->normals && v->normal_lengths && v->views && v->states && v->sides &&
                   v->images && v->dimages
               ? HDS_OK
               : no_memory(error, v);
}

/* The linear texels that the views look at. */
static hds_status take_texture(fit_subject *u, const float *x, fit_views *v, hds_error *error)
{
    size_t count = fit_subject_texel_count(u);
    float *texels = arena_take(&u->scratch, count, sizeof *texels);
    float *linear = arena_take(&u->scratch, count, sizeof *linear);
    v->texture = arena_alloc(&u->scratch, 1, sizeof *v->texture);
    if (!texels || !linear || !v->texture)
        return no_memory(error, v);
    u->texture.ops->make(&u->texture, x, texels);
    image_to_linear(texels, count, linear);
    v->texels = texels;
    *v->texture = (raster_texture){ .width = u->texture.width,
                                    .height = u->texture.height,
                                    .channels = 3,
                                    .levels = 1,
                                    .texels = linear };
    return HDS_OK;
}

/* Camera and light of one view; the views of a step share out the circle. */
static void choose(const fit_stage *s, const guide_step *at, size_t i, fit_views *v)
{
    const hds_stage_params *p = s->params;
    rng r = rng_make(at->seed, guide_stream(at, i, false));
    (void)rng_uniform(&r); /* the timestep's */
    bool normals = p->normals > 0 && rng_uniform(&r) < (double)p->normals;
    real stratum = (real)(((double)i + rng_uniform(&r)) / (double)v->count);
    raster_view *view = &v->views[i];
    view_random(&r, &s->subject->framing, p->azimuth_range, stratum,
                normals ? RASTER_NORMALS : RASTER_SHADED, v->size, view);
    view->texture = v->texture;
    v->sides[i] = guide_side_of((float)view->camera.azimuth);
}

/* The value of a variable where x, (count) of the stage's variable, stands in for its own. */
static const float *value_of(const fit_stage *s, int variable, const float *x)
{
    const fit_variable *v = &s->subject->variables[variable];
    return v == s->variable ? x : v->x;
}

hds_status fit_views_draw(fit_stage *s, const guide_step *at, const float *x, fit_views *v,
                          hds_error *error)
{
    const hds_stage_params *p = s->params;
    fit_subject *u = s->subject;
    *v = (fit_views){ .count = (size_t)p->views,
                      .size = p->resolution,
                      .shape = value_of(s, FIT_SHAPE, x) };
    hds_status status = allocate(u, v, error);
    if (status == HDS_OK && !strcmp(p->shading, "textured") && u->texture.ops)
        status = take_texture(u, value_of(s, FIT_TEXTURE, x), v, error);
    if (status != HDS_OK)
        return status;
    if (!head_skin(&u->sculpted, 1, v->shape, u->expression, u->pose, &u->scratch, &v->pose,
                   v->vertices))
        return no_memory(error, v);
    mesh_normals(&u->adjacency, v->vertices, v->normals, v->normal_lengths);
    raster_mesh mesh = view_mesh(u->model, v->vertices);
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    real *images[FIT_MOST_VIEWS];
    for (size_t i = 0; i < v->count; i++) {
        choose(s, at, i, v);
        images[i] = v->images + i * each;
        arena_leave(&u->view_scratch[i], (arena_mark){ 0 });
    }
    return raster_draw_views(&mesh, v->normals, v->views, v->count, u->view_scratch, v->states,
                             images)
               ? HDS_OK
               : no_memory(error, v);
}

/* dimages -> += dvertices (V,3), dnormals (V,3), dtexels (linear); each may be NULL. */
static bool draw_adjoint(fit_subject *u, const fit_views *v, real *dvertices, real *dnormals,
                         real *dtexels)
{
    raster_mesh mesh = view_mesh(u->model, v->vertices);
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    const real *dimages[FIT_MOST_VIEWS];
    for (size_t i = 0; i < v->count; i++)
        dimages[i] = v->dimages + i * each;
    return raster_draw_views_adjoint(&mesh, v->normals, v->views, v->count, u->view_scratch,
                                     v->states, dimages, dvertices, dnormals, dtexels, NULL);
}

static bool shape_adjoint(fit_subject *u, const fit_views *v, real *dshape)
{
    arena *a = &u->scratch;
    real *dvertices = arena_alloc(a, 3 * u->model->vertex_count, sizeof(real));
    real *dnormals = arena_alloc(a, 3 * u->model->vertex_count, sizeof(real));
    return dvertices && dnormals && draw_adjoint(u, v, dvertices, dnormals, NULL) &&
           mesh_normals_adjoint(&u->adjacency, v->vertices, v->normals, v->normal_lengths, dnormals,
                                a, dvertices) &&
           head_skin_adjoint(u->model, 1, v->shape, u->expression, u->pose, a, &v->pose, dvertices,
                             dshape, NULL, NULL);
}

static bool texture_adjoint(fit_subject *u, const fit_views *v, const float *x, real *dx)
{
    arena *a = &u->scratch;
    size_t count = fit_subject_texel_count(u);
    real *dlinear = arena_alloc(a, count, sizeof *dlinear);
    real *dtexels = arena_alloc(a, count, sizeof *dtexels);
    if (!dlinear || !dtexels || !draw_adjoint(u, v, NULL, NULL, dlinear))
        return false;
    image_to_linear_adjoint(v->texels, count, dlinear, dtexels);
    u->texture.ops->make_adjoint(&u->texture, x, dtexels, dx);
    return true;
}

hds_status fit_views_adjoint(fit_stage *s, const fit_views *v, const float *x, float *dx,
                             hds_error *error)
{
    fit_subject *u = s->subject;
    bool complete = s->variable == &u->variables[FIT_SHAPE] ? shape_adjoint(u, v, dx)
                                                            : texture_adjoint(u, v, x, dx);
    if (!complete)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of %zu views",
                         v->count);
    for (size_t k = 0; k < s->variable->count; k++)
        dx[k] /= (real)v->count;
    return HDS_OK;
}

/* ---- what guides see ---- */

bool fit_shows_map(hds_prior *prior, const head_model *model, const hds_stage_params *p,
                   const hds_guidance *g)
{
    if (strcmp(g->shown, "auto"))
        return !strcmp(g->shown, "map");
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    return !strcmp(p->variable, "texture") && info.texture_map_head && model->name &&
           !strcmp(info.texture_map_head, model->name);
}

bool fit_stage_shows_map(const fit_stage *s, const hds_guidance *g)
{
    return fit_shows_map(s->prior, s->subject->model, s->params, g);
}

hds_status fit_guide_add(fit_stage *s, const guide_step *at, guide *g, const guide_input *input,
                         float *dimages, guide_report *report, hds_error *error)
{
    guide_report ignored;
    report = report ? report : &ignored;
    float weight = g->params.weight;
    if (weight == 1)
        return g->ops->gradient(g, at, input, dimages, report, error);
    size_t count = (input->map ? 1 : input->count) * input->height * input->width * 3;
    float *own = arena_alloc(&s->subject->scratch, count, sizeof *own);
    if (!own)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of a guidance");
    hds_status status = g->ops->gradient(g, at, input, own, report, error);
    for (size_t i = 0; i < count && status == HDS_OK; i++)
        dimages[i] += weight * own[i];
    return status;
}

/* Pixels are clamped before encoding; gradients that would push a clamped pixel further out are
 * zeroed. */
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

void fit_note_seen(fit_stage *s, const guide_input *input)
{
    size_t count = input->map ? 1 : input->count, each = 3 * input->height * input->width;
    if (!s->seen)
        return;
    fit_seen_finish(s->seen);
    *s->seen =
        (fit_seen){ count, input->height, input->width, hds_alloc(count * each, sizeof(float)) };
    if (s->seen->images)
        memcpy(s->seen->images, input->images, count * each * sizeof(float));
}

hds_status fit_views_guide(fit_stage *s, const guide_step *at, guide *guides, int guide_count,
                           fit_views *v, guide_report *report, hds_error *error)
{
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    clamp_images(v, v->count * each);
    const guide_input input = { .count = v->count,
                                .height = (size_t)v->size,
                                .width = (size_t)v->size,
                                .images = v->images,
                                .sides = v->sides };
    fit_note_seen(s, &input);
    hds_status status = HDS_OK;
    for (int i = 0; i < guide_count && status == HDS_OK; i++)
        if (!fit_stage_shows_map(s, &guides[i].params))
            status = fit_guide_add(s, at, &guides[i], &input, v->dimages, i ? NULL : report, error);
    if (status == HDS_OK) {
        stop_outward(v, v->count * each);
        clip(v, each, s->params->gradient_clip);
    }
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* One stage of a recipe: its gradient, from views and from the texture map, and its step. */
#include "fit/fit.h"

#include "image/image.h"

#include <assert.h>
#include <math.h>
#include <string.h>

/* ---- what the row's names stand for ---- */

static hds_status not_there(const hds_stage_params *p, const char *option, const char *name,
                            hds_error *error)
{
    return hds_raise(error, HDS_ERROR_ARGUMENT, "%s.%s is \"%s\", which this build does not have",
                     p->name, option, name);
}

/* The entry of a NULL-terminated list whose first member is its name; NULL: there is none. */
static const void *find(const void *const *list, const char *name)
{
    for (int i = 0; i < FIT_MOST_KINDS && list[i]; i++)
        if (!strcmp(*(const char *const *)list[i], name))
            return list[i];
    return NULL;
}
#define FIND(list, name) find((const void *const *)(list), name)

const texture_ops *fit_texture_find(const fit_kinds *kinds, const char *name)
{
    return FIND(kinds->textures, name);
}

static hds_status take_variable(fit_stage *s, const fit_kinds *kinds, hds_error *error)
{
    const hds_stage_params *p = s->params;
    const texture_ops *ops = fit_texture_find(kinds, p->texture);
    const optim_ops *optimizer = FIND(kinds->optimizers, p->optimizer);
    s->variable = fit_variable_find(s->subject, p->variable);
    if (!s->variable)
        return not_there(p, "variable", p->variable, error);
    if (!ops)
        return not_there(p, "texture", p->texture, error);
    if (!optimizer)
        return not_there(p, "optimizer", p->optimizer, error);
    hds_status status = fit_subject_represent(s->subject, ops, error);
    if (status != HDS_OK)
        return status;
    optim_finish(&s->variable->optimizer);
    return optim_init(&s->variable->optimizer, optimizer, s->variable->count, error);
}

static hds_status take_guides(fit_stage *s, const fit_kinds *kinds, hds_error *error)
{
    const hds_stage_params *p = s->params;
    hds_status status = HDS_OK;
    for (int i = 0; i < HDS_MAX_GUIDANCES && p->guidance[i].kind[0] && status == HDS_OK; i++) {
        const guide_ops *ops = FIND(kinds->guides, p->guidance[i].kind);
        const guide_setup setup = { s->prior, s->prompt, s->negative_prompt, i };
        status = ops ? guide_init(&s->guides[i], ops, &p->guidance[i], &setup, error)
                     : not_there(p, "kind", p->guidance[i].kind, error);
        s->guide_count += status == HDS_OK;
    }
    return status;
}

static hds_status take_rest(fit_stage *s, const fit_kinds *kinds, hds_error *error)
{
    const hds_stage_params *p = s->params;
    for (int i = 0; i < HDS_MAX_REGULARISERS && p->regularisers[i].kind[0]; i++) {
        s->regularisers[i] = FIND(kinds->regularisers, p->regularisers[i].kind);
        if (!s->regularisers[i])
            return not_there(p, "regulariser", p->regularisers[i].kind, error);
    }
    if (!strcmp(p->precondition, "none"))
        return HDS_OK;
    const fit_preconditioner_ops *ops = FIND(kinds->preconditioners, p->precondition);
    if (!ops)
        return not_there(p, "precondition", p->precondition, error);
    assert(ops->apply);
    s->preconditioner.ops = ops;
    return ops->init ? ops->init(&s->preconditioner, s, error) : HDS_OK;
}

hds_status fit_stage_init(fit_stage *s, const fit_stage_setup *setup, hds_error *error)
{
    *s = (fit_stage){ .params = setup->params,
                      .index = setup->index,
                      .subject = setup->subject,
                      .prior = setup->prior,
                      .prompt = setup->prompt,
                      .negative_prompt = setup->negative_prompt,
                      .kinds = setup->kinds };
    hds_status status = take_variable(s, setup->kinds, error);
    if (status == HDS_OK)
        status = take_guides(s, setup->kinds, error);
    if (status == HDS_OK)
        status = take_rest(s, setup->kinds, error);
    if (status != HDS_OK)
        fit_stage_finish(s);
    return status;
}

void fit_stage_finish(fit_stage *s)
{
    for (int i = 0; i < s->guide_count; i++)
        guide_finish(&s->guides[i]);
    if (s->preconditioner.ops && s->preconditioner.ops->finish)
        s->preconditioner.ops->finish(&s->preconditioner);
    *s = (fit_stage){ 0 };
}

/* ---- the gradient ---- */

static hds_status add_views(fit_stage *s, const guide_step *at, const float *x, guide *guides,
                            int guide_count, float *dx, guide_report *report, hds_error *error)
{
    fit_views views;
    hds_status status = fit_views_draw(s, at, x, &views, error);
    if (status == HDS_OK)
        status = fit_views_guide(s, at, guides, guide_count, &views, report, error);
    return status == HDS_OK ? fit_views_adjoint(s, &views, x, dx, error) : status;
}

/* The texture as an image, with params.views draws of noise. */
static hds_status add_map(fit_stage *s, const guide_step *at, const float *x, guide *g, float *dx,
                          guide_report *report, hds_error *error)
{
    fit_subject *u = s->subject;
    arena *a = &u->scratch;
    int height = u->texture.height, width = u->texture.width, size = s->params->resolution;
    size_t count = (size_t)s->params->views, pixels = (size_t)size * (size_t)size * 3;
    float *map = arena_alloc(a, pixels, sizeof *map), *dmap = arena_alloc(a, pixels, sizeof *dmap);
    float *texels = arena_take(a, fit_subject_texel_count(u), sizeof *texels);
    float *dtexels = arena_alloc(a, fit_subject_texel_count(u), sizeof *dtexels);
    guide_side *sides = arena_alloc(a, count, sizeof *sides);
    if (!map || !dmap || !texels || !dtexels || !sides)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    for (size_t i = 0; i < count; i++)
        sides[i] = GUIDE_MAP;
    u->texture.ops->make(&u->texture, x, texels);
    image_filter filter = height >= size && width >= size ? IMAGE_AREA : IMAGE_BILINEAR;
    image_resize(texels, height, width, 3, size, size, filter, map);
    const guide_input input = { .count = count,
                                .height = (size_t)size,
                                .width = (size_t)size,
                                .map = true,
                                .images = map,
                                .sides = sides };
    fit_note_seen(s, &input);
    hds_status status = fit_guide_add(s, at, g, &input, dmap, report, error);
    if (status != HDS_OK)
        return status;
    image_resize(dmap, size, size, 3, height, width, IMAGE_BILINEAR, dtexels);
    u->texture.ops->make_adjoint(&u->texture, x, dtexels, dx);
    return HDS_OK;
}

hds_status fit_stage_gradient(fit_stage *s, const guide_step *at, const float *x, guide *guides,
                              int guide_count, float *dx, fit_gradient_report *report,
                              hds_error *error)
{
    *report = (fit_gradient_report){ .map = false };
    hds_status status = HDS_OK;
    bool views = false;
    for (int i = 0; i < guide_count && status == HDS_OK; i++) {
        bool map = fit_stage_shows_map(s, &guides[i].params);
        views = views || !map;
        report->map = report->map || map;
    }
    if (views)
        status = add_views(s, at, x, guides, guide_count, dx, &report->guide, error);
    for (int i = 0; i < guide_count && status == HDS_OK; i++)
        if (fit_stage_shows_map(s, &guides[i].params))
            status = add_map(s, at, x, &guides[i], dx, i ? NULL : &report->guide, error);
    return status;
}

/* ---- the step ---- */

static hds_status regularise(fit_stage *s, float *dx, hds_error *error)
{
    hds_status status = HDS_OK;
    for (int i = 0; i < HDS_MAX_REGULARISERS && s->regularisers[i] && status == HDS_OK; i++) {
        const fit_regulariser_ops *r = s->regularisers[i];
        float weight = s->params->regularisers[i].weight;
        if (weight > 0 && !strcmp(r->variable, s->variable->name))
            status = r->gradient(s->subject, weight, dx, error);
    }
    return status;
}

static void take_step(fit_stage *s, const guide_step *at, const float *dx)
{
    const hds_stage_params *p = s->params;
    fit_variable *v = s->variable;
    double left = 1 - (double)at->step / at->steps;
    double rate = p->learning_rate * optim_ramp(p->learning_rate_schedule, left);
    optim_step(&v->optimizer, rate, p->weight_decay, dx, v->start, v->x);
    for (size_t i = 0; i < v->count; i++)
        v->x[i] = fminf(fmaxf(v->x[i], v->low), v->high);
}

/* Root mean square of the coefficients, or of the change of what is no coefficient. */
static double size_of(const fit_stage *s)
{
    const fit_variable *v = s->variable;
    bool shape = v == &s->subject->variables[FIT_SHAPE];
    double square = 0;
    for (size_t i = 0; i < v->count; i++) {
        double offset = shape ? v->x[i] : v->x[i] - v->start[i];
        square += offset * offset / (double)v->count;
    }
    return sqrt(square);
}

hds_status fit_stage_step(fit_stage *s, const guide_step *at, hds_history *log, hds_error *error)
{
    size_t count = s->variable->count;
    arena_mark mark = arena_enter(&s->subject->scratch);
    float *dx = arena_alloc(&s->subject->scratch, count, sizeof *dx);
    fit_gradient_report report = { .map = false };
    hds_status status = dx ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
    if (status == HDS_OK)
        status = fit_stage_gradient(s, at, s->variable->x, s->guides, s->guide_count, dx, &report,
                                    error);
    if (status == HDS_OK)
        status = regularise(s, dx, error);
    const fit_preconditioner *p = &s->preconditioner;
    if (status == HDS_OK && p->ops)
        status = p->ops->apply(p, s, report.map, dx, error);
    if (status == HDS_OK) {
        double square = 0;
        take_step(s, at, dx);
        for (size_t i = 0; i < count; i++)
            square += (double)dx[i] * dx[i];
        *log = (hds_history){ .step = at->step,
                              .timestep = (float)report.guide.timestep,
                              .gradient_norm = (float)sqrt(square),
                              .coefficient_norm = (float)size_of(s),
                              .residual = (float)report.guide.residual };
        snprintf(log->stage, sizeof log->stage, "%s", s->params->name);
    }
    arena_leave(&s->subject->scratch, mark);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A run: settings with their defaults, the state, and the order of stages and steps. */
#include "fit/fit.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const hds_stage_params defaults[FIT_STAGES] = {
    [FIT_GEOMETRY] = { .steps = 100,
                       .views = 4,
                       .guidance_scale = 100,
                       .learning_rate = 0.013f,
                       .l2 = 0.4f,
                       .gradient_clip = 2,
                       .timestep_min = 0.02f,
                       .timestep_max = 0.4f },
    [FIT_TEXTURE] = { .steps = 100,
                      .views = 4,
                      .guidance_scale = 12,
                      .learning_rate = 0.0055f,
                      .l2 = 3.5f,
                      .gradient_clip = 2,
                      .timestep_min = 0.02f,
                      .timestep_max = 0.8f },
};
static const char *const stage_names[FIT_STAGES] = { "geometry", "texture" };

static hds_status bad(hds_error *error, int stage, const char *name, double value,
                      const char *expected)
{
    return hds_raise(error, HDS_ERROR_ARGUMENT, "%s.%s is %g, expected %s", stage_names[stage],
                     name, value, expected);
}

/* Zeros take the defaults; what is out of range is refused by name. */
static hds_status settle(hds_stage_params *p, int stage, int sample_size, hds_error *error)
{
    const hds_stage_params *d = &defaults[stage];
    p->steps = p->steps ? p->steps : d->steps;
    p->views = p->views ? p->views : d->views;
    p->resolution = p->resolution ? p->resolution : 8 * sample_size;
    float *values[] = { &p->guidance_scale, &p->learning_rate, &p->l2,
                        &p->gradient_clip,  &p->timestep_min,  &p->timestep_max };
    const float fallback[] = { d->guidance_scale, d->learning_rate, d->l2,
                               d->gradient_clip,  d->timestep_min,  d->timestep_max };
    static const char *const names[] = { "guidance_scale", "learning_rate", "l2",
                                         "gradient_clip",  "timestep_min",  "timestep_max" };
    for (int i = 0; i < 6; i++) {
        *values[i] = *values[i] == 0 ? fallback[i] : *values[i];
        if (!(*values[i] > 0) || isinf(*values[i]))
            return bad(error, stage, names[i], *values[i], "a positive number");
    }
    if (p->steps < 1 || p->steps > 100000)
        return bad(error, stage, "steps", p->steps, "1 to 100000");
    char views[32];
    snprintf(views, sizeof views, "1 to %d", FIT_MOST_VIEWS);
    if (p->views < 1 || p->views > FIT_MOST_VIEWS)
        return bad(error, stage, "views", p->views, views);
    if (p->resolution < 32 || p->resolution > 2048 || p->resolution % 8)
        return bad(error, stage, "resolution", p->resolution, "a multiple of 8 from 32 to 2048");
    if (p->timestep_max > 1)
        return bad(error, stage, "timestep_max", p->timestep_max, "at most 1");
    if (p->timestep_min >= p->timestep_max)
        return bad(error, stage, "timestep_min", p->timestep_min, "less than timestep_max");
    return HDS_OK;
}

static hds_status take_settings(fit_run *run, const hds_generate_params *params, hds_error *error)
{
    hds_prior_info prior;
    hds_prior_get_info(run->prior, &prior);
    fit_settings *s = &run->settings;
    s->seed = params->seed;
    s->prompt = hds_strdup(params->prompt);
    s->negative_prompt = hds_strdup(params->negative_prompt);
    if (!s->prompt || (params->negative_prompt && !s->negative_prompt))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt");
    s->stages[FIT_GEOMETRY] = params->geometry;
    s->stages[FIT_TEXTURE] = params->texture;
    hds_status status = HDS_OK;
    for (int i = 0; i < FIT_STAGES && status == HDS_OK; i++)
        status = settle(&s->stages[i], i, prior.sample_size, error);
    if (status == HDS_OK && !s->stages[FIT_TEXTURE].skip && !run->model->uvs)
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "%s has no UV layout, which the texture stage needs: skip that stage",
                           run->model->name);
    return status;
}

static bool copy_floats(float **out, const float *from, size_t count)
{
    *out = hds_alloc(count, sizeof **out);
    if (*out && from)
        memcpy(*out, from, count * sizeof **out);
    return *out;
}

static hds_status check_start(const fit_run *run, hds_error *error)
{
    const head_model *m = run->model;
    if (!run->given || head_models_agree(run->given->model, m))
        return HDS_OK;
    const head_model *other = run->given->model;
    return hds_raise(
        error, HDS_ERROR_ARGUMENT,
        "start is a head of '%s' (%zu vertices, %zu shapes, %zu expressions), expected "
        "one of the head model '%s' (%zu, %zu, %zu) with the same numbers",
        other->name, other->vertex_count, other->shape_count, other->expression_count, m->name,
        m->vertex_count, m->shape_count, m->expression_count);
}

/* Around the template with the start's offsets, in the model's base pose. */
static hds_status take_framing(fit_run *run, hds_error *error)
{
    size_t count = run->model->vertex_count;
    float *vertices = hds_alloc(count, 3 * sizeof *vertices);
    hds_status status =
        vertices
            ? hds_head_model_vertices(&run->sculpted, &(hds_coefficients){ 0 }, vertices, error)
            : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu vertices", count);
    if (status == HDS_OK)
        run->framing = view_framing_of(vertices, count);
    hds_free(vertices);
    return status;
}

static hds_status take_state(fit_run *run, hds_error *error)
{
    const head_model *m = run->model;
    const hds_head *h = run->given;
    hds_status status = check_start(run, error);
    if (status != HDS_OK)
        return status;
    run->history = hds_alloc((size_t)fit_run_total_steps(run), sizeof *run->history);
    if (!copy_floats(&run->shape, h ? h->shape : NULL, m->shape_count) ||
        !copy_floats(&run->start, h ? h->shape : NULL, m->shape_count) ||
        !copy_floats(&run->expression, h ? h->expression : NULL, m->expression_count) ||
        !copy_floats(&run->pose, h ? h->pose : NULL, 3 * m->joint_count) || !run->history ||
        !head_add_offsets(m, h ? h->offsets : NULL, &run->memory, &run->sculpted))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for coefficients");
    status = take_framing(run, error);
    return status ? status
                  : mesh_adjacency_init(&run->adjacency, m->faces, m->face_count, m->vertex_count,
                                        error);
}

static hds_status take_text(fit_run *run, hds_error *error)
{
    hds_prior_info prior;
    hds_prior_get_info(run->prior, &prior);
    run->knows_maps = prior.texture_map_head && run->model->name &&
                      !strcmp(prior.texture_map_head, run->model->name);
    return sds_text_init(&run->text, run->prior, run->settings.prompt,
                         run->settings.negative_prompt, error);
}

hds_status fit_run_init(fit_run *run, const hds_generate_params *params, hds_error *error)
{
    *run = (fit_run){ .model = hds_head_model_ref(params->model),
                      .prior = hds_prior_ref(params->prior),
                      .given = params->start ? hds_head_ref(params->start) : NULL };
    hds_status status = take_settings(run, params, error);
    if (status == HDS_OK)
        status = take_state(run, error);
    if (status == HDS_OK)
        status = fit_texture_init(run, error);
    if (status == HDS_OK)
        status = take_text(run, error);
    if (status == HDS_OK)
        status = fit_run_enter_stage(run, error);
    if (status != HDS_OK)
        fit_run_finish(run);
    return status;
}

void fit_run_finish(fit_run *run)
{
    sds_text_finish(&run->text);
    fit_whiten_finish(&run->whitening);
    optim_adam_finish(&run->optimiser);
    mesh_adjacency_finish(&run->adjacency);
    arena_finish(&run->scratch);
    for (int i = 0; i < FIT_MOST_VIEWS; i++)
        arena_finish(&run->view_scratch[i]);
    arena_finish(&run->memory);
    hds_free(run->settings.prompt);
    hds_free(run->settings.negative_prompt);
    hds_free(run->start);
    hds_free(run->shape);
    hds_free(run->expression);
    hds_free(run->pose);
    hds_free(run->texture);
    hds_free(run->start_texture);
    hds_free(run->history);
    hds_head_unref(run->given);
    hds_head_model_unref(run->model);
    hds_prior_unref(run->prior);
    *run = (fit_run){ 0 };
}

int fit_run_total_steps(const fit_run *run)
{
    int total = 0;
    for (int i = 0; i < FIT_STAGES; i++)
        total += run->settings.stages[i].skip ? 0 : run->settings.stages[i].steps;
    return total;
}

hds_status fit_run_enter_stage(fit_run *run, hds_error *error)
{
    while (run->stage < FIT_STAGES && (run->settings.stages[run->stage].skip ||
                                       run->step >= run->settings.stages[run->stage].steps)) {
        run->stage++;
        run->step = 0;
    }
    optim_adam_finish(&run->optimiser);
    if (run->stage == FIT_STAGES)
        return HDS_OK;
    if (run->stage == FIT_GEOMETRY)
        return optim_adam_init(&run->optimiser, run->model->shape_count, error);
    size_t texels = run->texture_width * run->texture_height * 3;
    return optim_adam_init(&run->optimiser, texels, error);
}

hds_status fit_run_step(fit_run *run, bool *done, hds_error *error)
{
    *done = run->stage == FIT_STAGES;
    if (*done)
        return HDS_OK;
    hds_history *log = &run->history[run->history_count];
    *log = (hds_history){ .stage = run->stage, .step = run->step };
    hds_status status = run->stage == FIT_GEOMETRY ? fit_geometry_step(run, log, error)
                                                   : fit_texture_step(run, log, error);
    if (status != HDS_OK)
        return status;
    run->history_count++;
    run->step++;
    if (run->step == run->settings.stages[run->stage].steps)
        status = fit_run_enter_stage(run, error);
    *done = run->stage == FIT_STAGES;
    return status;
}

hds_status fit_run_head(const fit_run *run, hds_head **head, hds_error *error)
{
    const head_model *m = run->model;
    size_t texels = run->texture ? run->texture_width * run->texture_height * 3 : 0;
    uint8_t *texture = NULL;
    if (texels) {
        texture = hds_alloc(texels, 1);
        if (!texture)
            return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
        for (size_t i = 0; i < texels; i++)
            texture[i] = (uint8_t)lrintf(255 * fminf(fmaxf(run->texture[i], 0), 1));
    }
    hds_head_params params = {
        .model = run->model,
        .prompt = run->settings.prompt,
        .coefficients = { .shape = run->shape,
                          .shape_count = m->shape_count,
                          .expression = run->expression,
                          .expression_count = m->expression_count,
                          .pose = run->pose,
                          .pose_count = 3 * m->joint_count },
        .offsets = run->given ? run->given->offsets : NULL,
        .texture = texture,
        .texture_width = run->texture_width,
        .texture_height = run->texture_height,
        .history = run->history,
        .history_count = run->history_count,
    };
    hds_status status = hds_head_create(head, &params, error);
    hds_free(texture);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A run: settings with their defaults, and the order of stages and steps. */
#include "fit/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ---- */

static hds_status copy_recipe(fit_settings *s, const hds_recipe *r, hds_error *error)
{
    if (r->stage_count < 1 || r->stage_count > HDS_MAX_STAGES)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "recipe %s has %zu stages, expected 1 to %d",
                         r->name, r->stage_count, HDS_MAX_STAGES);
    s->recipe = hds_strdup(r->name);
    s->stage_count = (int)r->stage_count;
    memcpy(s->stages, r->stages, r->stage_count * sizeof *r->stages);
    return s->recipe ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a recipe");
}

/* What depends on the prior and the head model. */
static hds_status settle(const fit_run *run, hds_stage_params *p, hds_error *error)
{
    hds_prior_info prior;
    hds_prior_get_info(run->prior, &prior);
    if (p->resolution == 0)
        p->resolution = 8 * prior.sample_size;
    hds_status status = fit_stage_check(p, error);
    if (status != HDS_OK || p->skip)
        return status;
    if (!strcmp(p->variable, "texture") && !run->subject.texture.ops)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s has no UV layout, which the %s stage needs: skip that stage",
                         run->subject.model->name, p->name);
    return HDS_OK;
}

static hds_status take_settings(fit_run *run, const hds_generate_params *params, hds_error *error)
{
    fit_settings *s = &run->settings;
    size_t recipes;
    const hds_recipe *recipe = params->recipe ? params->recipe : hds_recipes(&recipes);
    s->seed = params->seed;
    s->prompt = hds_strdup(params->prompt);
    s->negative_prompt = hds_strdup(params->negative_prompt);
    if (!s->prompt || (params->negative_prompt && !s->negative_prompt))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt");
    hds_status status = copy_recipe(s, recipe, error);
    for (size_t i = 0; i < params->setting_count && status == HDS_OK; i++)
        status = fit_stages_set(s->stages, (size_t)s->stage_count, run->kinds,
                                params->settings[i].name, params->settings[i].value, error);
    for (int i = 0; i < s->stage_count && status == HDS_OK; i++)
        status = settle(run, &s->stages[i], error);
    if (status == HDS_OK && fit_run_total_steps(run) == 0)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT, "all stages are skipped: nothing is left to do");
    return status;
}

hds_status fit_run_init(fit_run *run, const hds_generate_params *params, const fit_kinds *kinds,
                        hds_error *error)
{
    *run = (fit_run){ .kinds = kinds, .prior = hds_prior_ref(params->prior) };
    hds_status status = fit_subject_init(&run->subject, params->model, params->start, error);
    if (status == HDS_OK)
        status = take_settings(run, params, error);
    if (status == HDS_OK) {
        run->history = hds_alloc((size_t)fit_run_total_steps(run), sizeof *run->history);
        run->record = fit_record(run);
        if (!run->history || !run->record)
            status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the history");
    }
    if (status == HDS_OK)
        status = fit_run_enter_stage(run, error);
    if (status != HDS_OK)
        fit_run_finish(run);
    return status;
}

void fit_run_finish(fit_run *run)
{
    fit_stage_finish(&run->current);
    fit_subject_finish(&run->subject);
    hds_free(run->settings.prompt);
    hds_free(run->settings.negative_prompt);
    hds_free(run->settings.recipe);
    hds_free(run->history);
    json_decref(run->record);
    hds_prior_unref(run->prior);
    *run = (fit_run){ 0 };
}

/* ---- stages and steps ---- */

int fit_run_total_steps(const fit_run *run)
{
    int total = 0;
    for (int i = 0; i < run->settings.stage_count; i++)
        total += run->settings.stages[i].skip ? 0 : run->settings.stages[i].steps;
    return total;
}

hds_status fit_run_enter_stage(fit_run *run, hds_error *error)
{
    const fit_settings *s = &run->settings;
    while (run->stage < s->stage_count &&
           (s->stages[run->stage].skip || run->step >= s->stages[run->stage].steps)) {
        run->stage++;
        run->step = 0;
    }
    fit_stage_finish(&run->current);
    if (run->stage == s->stage_count)
        return HDS_OK;
    const fit_stage_setup setup = { .kinds = run->kinds,
                                    .params = &s->stages[run->stage],
                                    .index = run->stage,
                                    .subject = &run->subject,
                                    .prior = run->prior,
                                    .prompt = s->prompt,
                                    .negative_prompt = s->negative_prompt };
    return fit_stage_init(&run->current, &setup, error);
}

bool fit_run_preparing(const fit_run *run)
{
    const fit_preconditioner *p = &run->current.preconditioner;
    return run->current.params && p->done < p->count;
}

hds_status fit_run_step(fit_run *run, bool *done, hds_error *error)
{
    fit_stage *s = &run->current;
    *done = !s->params;
    if (*done)
        return HDS_OK;
    if (fit_run_preparing(run))
        return s->preconditioner.ops->prepare(&s->preconditioner, s, error);
    const guide_step at = { run->settings.seed, run->stage, run->step, s->params->steps };
    hds_status status = fit_stage_step(s, &at, &run->history[run->history_count], error);
    if (status != HDS_OK)
        return status;
    run->history_count++;
    run->step++;
    if (run->step == s->params->steps)
        status = fit_run_enter_stage(run, error);
    *done = !run->current.params;
    return status;
}

void fit_run_work(const fit_run *run, fit_work *work)
{
    for (int i = 0; i < run->settings.stage_count; i++) {
        const hds_stage_params *p = &run->settings.stages[i];
        bool due = run->current.params && i == run->stage;
        const fit_preconditioner *c = &run->current.preconditioner;
        work[i] = (fit_work){ .step = fit_stage_work(run->prior, run->subject.model, p) };
        work[i].preparation_step = work[i].step;
        if (!p->skip && i >= run->stage)
            work[i].steps = p->steps - (i == run->stage ? run->step : 0);
        if (due)
            work[i].preparations = c->count - c->done;
    }
}

hds_status fit_run_head(fit_run *run, hds_head **head, hds_error *error)
{
    fit_subject *u = &run->subject;
    const head_model *m = u->model;
    size_t texels = u->texture.ops ? fit_subject_texel_count(u) : 0;
    arena_mark mark = arena_enter(&u->scratch);
    float *colours = texels ? fit_subject_texels(u) : NULL;
    uint8_t *pixels = texels ? arena_take(&u->scratch, texels, 1) : NULL;
    char *record = json_dumps(run->record, JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
    hds_status status = HDS_OK;
    if ((texels && (!colours || !pixels)) || !record)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    for (size_t i = 0; i < texels && status == HDS_OK; i++)
        pixels[i] = (uint8_t)lrintf(255 * fminf(fmaxf(colours[i], 0), 1));
    hds_head_params params = {
        .model = u->model,
        .prompt = run->settings.prompt,
        .coefficients = { .shape = u->variables[FIT_SHAPE].x,
                          .shape_count = m->shape_count,
                          .expression = u->expression,
                          .expression_count = m->expression_count,
                          .pose = u->pose,
                          .pose_count = 3 * m->joint_count },
        .offsets = u->given ? u->given->offsets : NULL,
        .texture = pixels,
        .texture_width = (size_t)u->texture.width,
        .texture_height = (size_t)u->texture.height,
        .history = run->history,
        .history_count = run->history_count,
        .record = record,
    };
    if (status == HDS_OK)
        status = hds_head_create(head, &params, error);
    free(record);
    arena_leave(&u->scratch, mark);
    return status;
}

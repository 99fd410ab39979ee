/* SPDX-License-Identifier: Apache-2.0 */
/* The record of a run: everything that its result depends on, as JSON, kept in checkpoints and in
 * heads. Two runs with equal records on one kind of machine give equal bytes. */
#include "fit/fit.h"

#include "headsds/version.h"
#include "prior/prior.h"

#include <string.h>

static json_t *hex(uint64_t hash)
{
    return json_sprintf("%016llx", (unsigned long long)hash);
}

/* A hash of all that the initial head gives; null without one. */
static json_t *start_of(const fit_subject *u)
{
    const hds_head *h = u->given;
    if (!h)
        return json_null();
    const uint64_t extents[2] = { h->texture_width, h->texture_height };
    uint64_t sum = base_hash(BASE_HASH_START, extents, sizeof extents);
    sum = base_hash(sum, h->shape, u->model->shape_count * sizeof *h->shape);
    sum = base_hash(sum, h->expression, u->model->expression_count * sizeof *h->expression);
    sum = base_hash(sum, h->pose, 3 * u->model->joint_count * sizeof *h->pose);
    if (h->offsets)
        sum = base_hash(sum, h->offsets, 3 * u->model->vertex_count * sizeof *h->offsets);
    if (h->texture)
        sum = base_hash(sum, h->texture, 3 * h->texture_width * h->texture_height);
    return hex(sum);
}

static json_t *stages_of(const fit_settings *s)
{
    json_t *stages = json_object();
    for (int i = 0; i < s->stage_count; i++)
        json_object_set_new(stages, s->stages[i].name, fit_stage_record(&s->stages[i]));
    return stages;
}

/* Whole numbers beyond 2^63 - 1 are text: JSON readers would round them. */
static json_t *seed_of(uint64_t seed)
{
    return seed <= INT64_MAX ? json_integer((json_int_t)seed)
                             : json_sprintf("%llu", (unsigned long long)seed);
}

json_t *fit_record(const fit_run *run)
{
    const fit_settings *s = &run->settings;
    const head_model *m = run->subject.model;
    hds_prior_info prior;
    hds_prior_get_info(run->prior, &prior);
    json_t *networks = prior_record(run->prior);
    json_object_set_new(networks, "path", json_string(prior.path));
    return json_pack("{s:s,s:s,s:o,s:s,s:s?,s:o,s:{s:s?,s:o},s:o,s:o}", "version", hds_version(),
                     "recipe", s->recipe, "stages", stages_of(s), "prompt", s->prompt,
                     "negative_prompt", s->negative_prompt, "seed", seed_of(s->seed), "head_model",
                     "name", m->name, "hash", hex(head_model_hash(m)), "start",
                     start_of(&run->subject), "prior", networks);
}

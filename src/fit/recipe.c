/* SPDX-License-Identifier: Apache-2.0 */
/* Recipes, and the options of their stages: each option is a row here, and nowhere else. */
#include "fit/fit.h"

#include <stddef.h>
#include <string.h>

enum { MOST_STEPS = 100000, MOST_PATH = 3 * HDS_NAME };

/* ---- options ---- */

#define STAGE(field) #field, .offset = offsetof(hds_stage_params, field)
static const hds_option stage_options[] = {
    { STAGE(skip), .type = HDS_OPTION_BOOL, .help = "leave this stage out" },
    { STAGE(variable), .type = HDS_OPTION_NAME, .choices = "shape texture",
      .help = "what the stage changes" },
    { STAGE(texture), .type = HDS_OPTION_NAME, .choices = "texels",
      .help = "how the texture is made of numbers: texels are sRGB colours" },
    { STAGE(steps), .type = HDS_OPTION_INT, .low = 1, .high = MOST_STEPS,
      .help = "optimisation steps" },
    { STAGE(views), .type = HDS_OPTION_INT, .low = 1, .high = FIT_MOST_VIEWS,
      .help = "rendered views a step; where the texture map itself is shown, draws of noise" },
    { STAGE(resolution), .type = HDS_OPTION_INT, .low = 32, .high = 2048, .multiple = 8,
      .automatic = 1, .help = "pixels each way of a view; 0: what the prior was trained for" },
    { STAGE(shading), .type = HDS_OPTION_NAME, .choices = "grey textured",
      .help = "what covers the head in the views" },
    { STAGE(normals), .type = HDS_OPTION_FLOAT, .low = 0, .high = 1,
      .help = "share of the views that show normals as colours instead" },
    { STAGE(azimuth_range), .type = HDS_OPTION_FLOAT, .low = 0, .high = 180,
      .help = "degrees: views come from the front and up to so far to either side" },
    { STAGE(gradient_clip), .type = HDS_OPTION_FLOAT, .above = true, .low = 0, .high = 1e9,
      .help = "a view's gradient is scaled down to so many times the mean norm of the step's "
              "views; a large value switches it off" },
    { STAGE(precondition), .type = HDS_OPTION_NAME, .choices = "none whitening pyramid",
      .help = "what the gradient is multiplied by. whitening: the inverse square root of the "
              "second moment of other prompts' gradients; pyramid: gradients of views are "
              "averaged over blocks of texels of all sizes" },
    { STAGE(optimizer), .type = HDS_OPTION_NAME, .choices = "adam",
      .help = "adam: one second moment for all values, decoupled weight decay" },
    { STAGE(learning_rate), .type = HDS_OPTION_FLOAT, .above = true, .low = 0, .high = 100,
      .help = "root mean square change a step under a steady gradient; shape in standard "
              "deviations, texels in [0, 1]" },
    { STAGE(learning_rate_schedule), .type = HDS_OPTION_NAME,
      .choices = "constant linear cosine tail",
      .help = "how the learning rate falls to a tenth; tail: over the last third" },
    { STAGE(weight_decay), .type = HDS_OPTION_FLOAT, .low = 0, .high = 1e6, .former = "l2",
      .help = "pull toward the start: 1 / weight_decay bounds the change, in the units of "
              "learning_rate; 0: none" },
};
#undef STAGE

#define GUIDANCE(field) #field, .offset = offsetof(hds_guidance, field)
static const hds_option guidance_options[] = {
    { GUIDANCE(kind), .type = HDS_OPTION_NAME, .choices = "sds",
      .help = "sds: score distillation sampling" },
    { GUIDANCE(shown), .type = HDS_OPTION_NAME, .choices = "auto views map",
      .help = "what the prior sees: rendered views, or the texture map; auto: the map where the "
              "stage changes the texture and the prior knows maps of this head model" },
    { GUIDANCE(weight), .type = HDS_OPTION_FLOAT, .low = 0, .high = 1e6,
      .help = "of this guidance's gradient in the sum" },
    { GUIDANCE(guidance_scale), .type = HDS_OPTION_FLOAT, .low = 0, .high = 1e5,
      .help = "classifier-free guidance: eps(null) + guidance_scale (eps(text) - eps(null))" },
    { GUIDANCE(timestep_schedule), .type = HDS_OPTION_NAME, .choices = "stratified uniform",
      .help = "how timesteps are drawn. stratified: the views of a step share out the range" },
    { GUIDANCE(timestep_min), .type = HDS_OPTION_FLOAT, .low = 0, .high = 1,
      .help = "least timestep, as a fraction of the schedule" },
    { GUIDANCE(timestep_max), .type = HDS_OPTION_FLOAT, .above = true, .low = 0, .high = 1,
      .help = "largest timestep, as a fraction of the schedule" },
};
#undef GUIDANCE

enum {
    STAGE_OPTIONS = sizeof stage_options / sizeof *stage_options,
    GUIDANCE_OPTIONS = sizeof guidance_options / sizeof *guidance_options
};

const hds_option *hds_stage_options(size_t *count)
{
    *count = STAGE_OPTIONS;
    return stage_options;
}

const hds_option *hds_guidance_options(size_t *count)
{
    *count = GUIDANCE_OPTIONS;
    return guidance_options;
}

/* ---- recipes ---- */

/* What a shape coefficient changes is too small to be seen under more than 0.4 of the noise. */
static const hds_stage_params default_stages[] = {
    { .name = "geometry",
      .variable = "shape",
      .texture = "texels",
      .steps = 100,
      .views = 4,
      .shading = "grey",
      .normals = 0.5f,
      .azimuth_range = 100,
      .gradient_clip = 2,
      .precondition = "whitening",
      .optimizer = "adam",
      .learning_rate = 0.013f,
      .learning_rate_schedule = "tail",
      .weight_decay = 0.4f,
      .guidance = { { .name = "sds",
                      .kind = "sds",
                      .shown = "views",
                      .weight = 1,
                      .guidance_scale = 100,
                      .timestep_schedule = "stratified",
                      .timestep_min = 0.02f,
                      .timestep_max = 0.4f } } },
    { .name = "texture",
      .variable = "texture",
      .texture = "texels",
      .steps = 100,
      .views = 4,
      .shading = "textured",
      .azimuth_range = 150,
      .gradient_clip = 2,
      .precondition = "pyramid",
      .optimizer = "adam",
      .learning_rate = 0.0055f,
      .learning_rate_schedule = "tail",
      .weight_decay = 3.5f,
      .guidance = { { .name = "sds",
                      .kind = "sds",
                      .shown = "auto",
                      .weight = 1,
                      .guidance_scale = 12,
                      .timestep_schedule = "stratified",
                      .timestep_min = 0.02f,
                      .timestep_max = 0.8f } } },
};

static const hds_recipe recipes[] = {
    { "default", "the built-in prior's own: shape under grey shading and normals, then the texture",
      default_stages, sizeof default_stages / sizeof *default_stages },
};
enum { RECIPES = sizeof recipes / sizeof *recipes };

const hds_recipe *hds_recipes(size_t *count)
{
    *count = RECIPES;
    return recipes;
}

hds_status hds_recipe_find(const hds_recipe **recipe, const char *name, hds_error *error)
{
    char names[256] = "";
    for (int i = 0; i < RECIPES; i++) {
        if (!strcmp(recipes[i].name, name)) {
            *recipe = &recipes[i];
            return HDS_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", recipes[i].name);
    }
    *recipe = NULL;
    return hds_raise(error, HDS_ERROR_ARGUMENT, "recipe is \"%.60s\", expected one of %s", name,
                     names);
}

/* ---- setting an option by its path ---- */

static hds_guidance *find_guidance(hds_stage_params *s, const char *name)
{
    for (int i = 0; i < HDS_MAX_GUIDANCES && s->guidance[i].kind[0]; i++)
        if (!strcmp(s->guidance[i].name, name))
            return &s->guidance[i];
    return NULL;
}

/* "a, b, c" of both tables. */
static hds_status unknown(const hds_stage_params *s, const char *name, hds_error *error)
{
    char names[700] = "";
    for (size_t i = 0; i < STAGE_OPTIONS + GUIDANCE_OPTIONS; i++) {
        const hds_option *o =
            i < STAGE_OPTIONS ? &stage_options[i] : &guidance_options[i - STAGE_OPTIONS];
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", o->name);
    }
    return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: unknown option \"%.60s\", expected one of %s",
                     s->name, name, names);
}

static bool set_regulariser(hds_stage_params *s, const fit_kinds *kinds, const char *name,
                            const char *value, hds_status *status, hds_error *error)
{
    for (size_t k = 0; k < FIT_MOST_KINDS && kinds->regularisers[k]; k++) {
        if (strcmp(kinds->regularisers[k]->name, name))
            continue;
        hds_regulariser *r = s->regularisers, *end = r + HDS_MAX_REGULARISERS;
        while (r < end && r->kind[0] && strcmp(r->kind, name))
            r++;
        if (r == end) {
            *status = hds_raise(error, HDS_ERROR_ARGUMENT, "%s.%s: the stage has %d others already",
                                s->name, name, HDS_MAX_REGULARISERS);
            return true;
        }
        const hds_option weight = { .name = name,
                                    .type = HDS_OPTION_FLOAT,
                                    .offset = offsetof(hds_regulariser, weight),
                                    .low = 0,
                                    .high = 1e6 };
        *status = hds_option_set(&weight, r, s->name, value, error);
        if (*status == HDS_OK)
            snprintf(r->kind, sizeof r->kind, "%s", name);
        return true;
    }
    return false;
}

static hds_status set_in_stage(hds_stage_params *s, const fit_kinds *kinds, const char *path,
                               const char *value, hds_error *error)
{
    hds_status status = HDS_OK;
    const char *dot = strchr(path, '.');
    hds_guidance *g = &s->guidance[0];
    if (dot) {
        char name[MOST_PATH];
        snprintf(name, sizeof name, "%.*s", (int)(dot - path), path);
        g = find_guidance(s, name);
        if (!g)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "%s.%s: the stage has no guidance of this name; its first is \"%s\"",
                             s->name, name, s->guidance[0].name);
        path = dot + 1;
    }
    const hds_option *o = dot ? NULL : hds_option_find(stage_options, STAGE_OPTIONS, path);
    if (o)
        return hds_option_set(o, s, s->name, value, error);
    o = hds_option_find(guidance_options, GUIDANCE_OPTIONS, path);
    if (o)
        return hds_option_set(o, g, s->name, value, error);
    if (!dot && set_regulariser(s, kinds, path, value, &status, error))
        return status;
    return unknown(s, path, error);
}

hds_status fit_stages_set(hds_stage_params *stages, size_t count, const fit_kinds *kinds,
                          const char *path, const char *value, hds_error *error)
{
    const char *dot = strchr(path, '.');
    size_t length = dot ? (size_t)(dot - path) : 0;
    char names[200] = "";
    for (size_t i = 0; i < count; i++) {
        if (dot && strlen(stages[i].name) == length && !strncmp(stages[i].name, path, length))
            return set_in_stage(&stages[i], kinds, dot + 1, value, error);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, "%s%s", used ? ", " : "", stages[i].name);
    }
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "option \"%.100s\": expected STAGE.OPTION with one of the stages %s", path,
                     names);
}

hds_status hds_stages_set(hds_stage_params *stages, size_t count, const char *path,
                          const char *value, hds_error *error)
{
    return fit_stages_set(stages, count, &fit_built_in, path, value, error);
}

/* ---- what a recipe holds ---- */

/* Numbers only: names are looked up when the stage is made. */
static hds_status check_numbers(const hds_option *table, size_t count, const void *params,
                                size_t size, const char *where, hds_error *error)
{
    union {
        hds_stage_params stage;
        hds_guidance guidance;
    } copy;
    hds_status status = HDS_OK;
    memcpy(&copy, params, size);
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        char text[HDS_OPTION_TEXT];
        if (table[i].type != HDS_OPTION_INT && table[i].type != HDS_OPTION_FLOAT)
            continue;
        hds_option_get(&table[i], params, text);
        status = hds_option_set(&table[i], &copy, where, text, error);
    }
    return status;
}

static hds_status check_guidance(const hds_stage_params *s, const hds_guidance *g, hds_error *error)
{
    hds_status status =
        check_numbers(guidance_options, GUIDANCE_OPTIONS, g, sizeof *g, s->name, error);
    if (status != HDS_OK || s->skip)
        return status;
    if (strcmp(s->variable, "texture") && !strcmp(g->shown, "map"))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s.shown is map, which is for the variable texture", s->name);
    if (g->timestep_min >= g->timestep_max)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s.timestep_min is %g, expected less than timestep_max, %g", s->name,
                         (double)g->timestep_min, (double)g->timestep_max);
    return HDS_OK;
}

hds_status fit_stage_check(const hds_stage_params *s, hds_error *error)
{
    hds_status status = check_numbers(stage_options, STAGE_OPTIONS, s, sizeof *s, s->name, error);
    for (int i = 0; i < HDS_MAX_GUIDANCES && s->guidance[i].kind[0] && status == HDS_OK; i++)
        status = check_guidance(s, &s->guidance[i], error);
    for (int i = 0; i < HDS_MAX_REGULARISERS && s->regularisers[i].kind[0] && status == HDS_OK; i++)
        if (!(s->regularisers[i].weight >= 0 && s->regularisers[i].weight <= 1e6f))
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "%s.%s is %g, expected a number from 0 to 1000000", s->name,
                               s->regularisers[i].kind, (double)s->regularisers[i].weight);
    return status;
}

/* ---- the record of a run ---- */

static json_t *value_of(const hds_option *o, const void *params)
{
    const void *field = (const char *)params + o->offset;
    char text[HDS_OPTION_TEXT];
    switch (o->type) {
    case HDS_OPTION_BOOL:
        return json_boolean(*(const bool *)field);
    case HDS_OPTION_INT:
        return json_integer(*(const int *)field);
    case HDS_OPTION_NAME:
        return json_string(field);
    case HDS_OPTION_FLOAT:
        hds_option_get(o, params, text); /* 0.4, not 0.4000000059604645 */
        return json_loads(text, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, NULL);
    }
    return NULL;
}

/* {"steps": 100, ..., "sds": {"guidance_scale": 100.0, ...}}; new, NULL: out of memory. */
json_t *fit_stage_record(const hds_stage_params *s)
{
    json_t *record = json_object();
    int failed = !record;
    for (int i = 0; i < STAGE_OPTIONS; i++)
        failed |=
            json_object_set_new(record, stage_options[i].name, value_of(&stage_options[i], s));
    for (int k = 0; k < HDS_MAX_GUIDANCES && s->guidance[k].kind[0]; k++) {
        json_t *guidance = json_object();
        for (int i = 0; i < GUIDANCE_OPTIONS; i++)
            failed |= json_object_set_new(guidance, guidance_options[i].name,
                                          value_of(&guidance_options[i], &s->guidance[k]));
        failed |= json_object_set_new(record, s->guidance[k].name, guidance);
    }
    for (int k = 0; k < HDS_MAX_REGULARISERS && s->regularisers[k].kind[0]; k++)
        failed |= json_object_set_new(record, s->regularisers[k].kind,
                                      json_real((double)s->regularisers[k].weight));
    if (!failed)
        return record;
    json_decref(record);
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_config.json into a sampler_config. Of the sampler that the file names, settings that
 * are not done are refused by name; of another one, which the caller has named, they are left at
 * its defaults, as are those that only other kinds have. */
#include "diffusion/diffusion.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum {
    DDIM = 1 << SAMPLER_DDIM,
    DDPM = 1 << SAMPLER_DDPM,
    PNDM = 1 << SAMPLER_PNDM,
    EULER = 1 << SAMPLER_EULER,
    ANCESTRAL = 1 << SAMPLER_EULER_ANCESTRAL,
    UNIPC = 1 << SAMPLER_UNIPC,
    DPM = 1 << SAMPLER_DPM_2M,
    MAX_OFFSET = 100000,
};

/* Some classes differ in training or in the machine they run on, not in what they compute. */
static const struct {
    const char *name;
    sampler_kind kind;
} classes[] = {
    { "DDIMScheduler", SAMPLER_DDIM },
    { "DDPMScheduler", SAMPLER_DDPM },
    { "PNDMScheduler", SAMPLER_PNDM },
    { "EulerDiscreteScheduler", SAMPLER_EULER },
    { "EulerAncestralDiscreteScheduler", SAMPLER_EULER_ANCESTRAL },
    { "UniPCMultistepScheduler", SAMPLER_UNIPC },
    { "DPMSolverMultistepScheduler", SAMPLER_DPM_2M },
    { "DDIMParallelScheduler", SAMPLER_DDIM },
    { "DDPMParallelScheduler", SAMPLER_DDPM },
    { "FlaxDDIMScheduler", SAMPLER_DDIM },
    { "FlaxDDPMScheduler", SAMPLER_DDPM },
    { "FlaxPNDMScheduler", SAMPLER_PNDM },
};

/* Settings with one value that is done, as JSON text; absent or null: what the reference then
 * takes.
 */
static const struct {
    int kinds;
    const char *key, *absent, *expected;
} fixed[] = {
    { EULER, "interpolation_type", "\"linear\"", "\"linear\"" },
    { EULER, "timestep_type", "\"discrete\"", "\"discrete\"" },
    { EULER | UNIPC, "sigma_min", "null", "null" },
    { EULER | UNIPC, "sigma_max", "null", "null" },
    { EULER | UNIPC | DPM, "use_beta_sigmas", "false", "false" },
    { UNIPC | DPM, "use_flow_sigmas", "false", "false" },
    { UNIPC | DPM, "use_dynamic_shifting", "false", "false" },
    { UNIPC, "lower_order_final", "true", "true" },
    { UNIPC, "predict_x0", "true", "true" },
    { UNIPC, "disable_corrector", "[]", "[]" },
    { UNIPC, "solver_p", "null", "null" },
    { UNIPC, "shift_terminal", "null", "null" },
    { DPM, "use_lu_lambdas", "false", "false" },
};

/* Read below, read by schedule_load, or without effect while the settings above have their values.
 */
static const char *const known[] = {
    "timestep_spacing",
    "steps_offset",
    "prediction_type",
    "set_alpha_to_one",
    "final_sigmas_type",
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "rescale_betas_zero_snr",
    "clip_sample",
    "clip_sample_range",
    "thresholding",
    "sample_max_value",
    "dynamic_thresholding_ratio",
    "variance_type",
    "skip_prk_steps",
    "solver_order",
    "solver_type",
    "algorithm_type",
    "euler_at_final",
    "lower_order_final",
    "lambda_min_clipped",
    "flow_shift",
    "time_shift_type",
};

typedef struct reader {
    const json_t *json;
    const char *path;
    hds_error *error;
    bool foreign; /* the file is of another kind than the sampler */
} reader;

/* NULL: absent or null. */
static const json_t *value_of(const reader *r, const char *key)
{
    const json_t *value = json_object_get(r->json, key);
    return json_is_null(value) ? NULL : value;
}

static hds_status refuse(const reader *r, const char *key, const char *expected)
{
    json_t *value = json_object_get(r->json, key);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    hds_status status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s: \"%s\" is %.80s, expected %s",
                                  r->path, key, text ? text : "absent", expected);
    free(text);
    return status;
}

/* Of a value that this kind of sampler does not do; the caller's variable keeps its default. */
static hds_status not_done(const reader *r, const char *key, const char *expected)
{
    return r->foreign ? HDS_OK : refuse(r, key, expected);
}

/* One of the texts -> its place, through `choice`, which holds what an absent key means. */
static hds_status choose(const reader *r, const char *key, const char *const *texts, int count,
                         int *choice, const char *expected)
{
    const json_t *value = value_of(r, key);
    if (!value)
        return HDS_OK;
    for (int k = 0; json_is_string(value) && k < count; k++)
        if (!strcmp(texts[k], json_string_value(value))) {
            *choice = k;
            return HDS_OK;
        }
    return not_done(r, key, expected);
}

/* The settings that are numbers or truths, each with what it means where it is absent. */
typedef enum value_type { TRUTH, AMOUNT } value_type;
static hds_status read_value(const reader *r, const char *key, value_type type, double *value)
{
    const json_t *found = value_of(r, key);
    if (!found)
        return HDS_OK;
    if (type == TRUTH && !json_is_boolean(found))
        return refuse(r, key, "true or false");
    if (type == AMOUNT && !(json_is_number(found) && json_number_value(found) >= 0))
        return refuse(r, key, "a number from 0");
    *value = type == TRUTH ? json_is_true(found) : json_number_value(found);
    return HDS_OK;
}

static hds_status read_bool(const reader *r, const char *key, bool *choice)
{
    double value = *choice;
    hds_status status = read_value(r, key, TRUTH, &value);
    *choice = value > 0;
    return status;
}

static bool is_known(const char *key)
{
    bool found = *key == '_'; /* "_class_name", "_diffusers_version" */
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        found = found || !strcmp(key, known[k]);
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed; k++)
        found = found || !strcmp(key, fixed[k].key);
    return found;
}

/* null, false, [] and {} switch off what a later version may have added. */
static bool is_off(const json_t *value)
{
    return json_is_null(value) || json_is_false(value) ||
           (json_is_array(value) && !json_array_size(value)) ||
           (json_is_object(value) && !json_object_size(value));
}

static hds_status check_keys(const reader *r)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)r->json, key, value)
    {
        if (!r->foreign && !is_known(key) && !is_off(value))
            return hds_raise(r->error, HDS_ERROR_FORMAT,
                             "%s: \"%.80s\" is not a setting of a known sampler: remove it if it "
                             "does not matter",
                             r->path, key);
    }
    return HDS_OK;
}

static hds_status check_fixed(const reader *r, sampler_kind kind)
{
    hds_status status = HDS_OK;
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed && status == HDS_OK; k++) {
        const json_t *value = value_of(r, fixed[k].key);
        if (r->foreign || !(fixed[k].kinds & 1 << kind))
            continue;
        char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        if (strcmp(text ? text : fixed[k].absent, fixed[k].expected))
            status = refuse(r, fixed[k].key, fixed[k].expected);
        free(text);
    }
    return status;
}

/* The sampler: the caller's, else the file's; and whether the file is of another kind. */
static hds_status read_kind(reader *r, sampler_kind *kind)
{
    const char *name = json_string_value(json_object_get(r->json, "_class_name"));
    sampler_kind of_file = SAMPLER_OF_FILE;
    for (size_t k = 0; name && k < sizeof classes / sizeof *classes; k++)
        if (!strcmp(name, classes[k].name))
            of_file = classes[k].kind;
    r->foreign = name && *kind != SAMPLER_OF_FILE && *kind != of_file;
    if (*kind == SAMPLER_OF_FILE && of_file == SAMPLER_OF_FILE)
        return refuse(
            r, "_class_name",
            "DDIMScheduler, DDPMScheduler, PNDMScheduler, EulerDiscreteScheduler, "
            "EulerAncestralDiscreteScheduler, UniPCMultistepScheduler or "
            "DPMSolverMultistepScheduler; or name a scheduler in place of it, as \"ddim\"");
    *kind = *kind == SAMPLER_OF_FILE ? of_file : *kind;
    return HDS_OK;
}

/* What the kinds have in common. */
static hds_status read_steps(const reader *r, sampler_config *c)
{
    static const char *const spacings[] = { "leading", "trailing", "linspace" };
    static const char *const predictions[] = { "epsilon", "v_prediction" };
    const reader strict = { r->json, r->path, r->error, false };
    const json_t *offset = value_of(r, "steps_offset");
    int spacing = 1 << c->kind & (DDIM | DDPM | PNDM) ? SAMPLER_LEADING : SAMPLER_LINSPACE;
    int prediction = 0;
    hds_status status = choose(&strict, "timestep_spacing", spacings, 3, &spacing,
                               "\"leading\", \"trailing\" or \"linspace\"");
    if (status == HDS_OK)
        status = choose(&strict, "prediction_type", predictions, 2, &prediction,
                        "\"epsilon\" or \"v_prediction\"");
    json_int_t number = json_integer_value(offset);
    if (status == HDS_OK && offset &&
        (!json_is_integer(offset) || number < 0 || number > MAX_OFFSET))
        status = refuse(r, "steps_offset", "a whole number from 0");
    c->steps_offset = (int)number;
    c->spacing = (sampler_spacing)spacing;
    c->velocity = prediction == 1;
    return status;
}

/* What the kind makes of the end of the schedule. */
static hds_status read_end(const reader *r, sampler_config *c)
{
    static const char *const ends[] = { "zero", "sigma_min" };
    int end = 0, bit = 1 << c->kind;
    bool to_one = c->kind == SAMPLER_DDIM;
    hds_status status = HDS_OK;
    if (bit & (DDIM | PNDM)) {
        status = read_bool(r, "set_alpha_to_one", &to_one);
        c->ends_at_first = !to_one;
    } else if (bit & (EULER | UNIPC | DPM)) {
        status = choose(r, "final_sigmas_type", ends, 2, &end, "\"zero\" or \"sigma_min\"");
        c->ends_at_first = end == 1;
    }
    return status;
}

/* What is done to every x0. */
static hds_status read_clean(const reader *r, sampler_config *c)
{
    int bit = 1 << c->kind;
    bool clips = true, thresholds = false;
    double range = 1, ratio = 0.995;
    c->quantile_most = 1;
    hds_status status = HDS_OK;
    if (bit & (DDIM | DDPM))
        status = read_bool(r, "clip_sample", &clips);
    if (status == HDS_OK)
        status = read_value(r, "clip_sample_range", AMOUNT, &range);
    if (status == HDS_OK && bit & (DDIM | DDPM | UNIPC | DPM))
        status = read_bool(r, "thresholding", &thresholds);
    if (status == HDS_OK)
        status = read_value(r, "dynamic_thresholding_ratio", AMOUNT, &ratio);
    if (status == HDS_OK)
        status = read_value(r, "sample_max_value", AMOUNT, &c->quantile_most);
    if (status == HDS_OK && thresholds && !(ratio > 0 && ratio <= 1))
        status = refuse(r, "dynamic_thresholding_ratio", "more than 0, at most 1");
    if (status == HDS_OK && thresholds && !(c->quantile_most >= 1))
        status = refuse(r, "sample_max_value", "1 or more");
    if (status == HDS_OK && clips && !(range > 0))
        status = refuse(r, "clip_sample_range", "a number above 0");
    c->clip = clips && bit & (DDIM | DDPM) ? range : 0;
    c->quantile = thresholds ? ratio : 0;
    return status;
}

static hds_status read_sigmas(const reader *r, sampler_config *c)
{
    bool karras = false, even = false;
    if (!(1 << c->kind & (EULER | UNIPC | DPM)))
        return HDS_OK;
    hds_status status = read_bool(r, "use_karras_sigmas", &karras);
    if (status == HDS_OK)
        status = read_bool(r, "use_exponential_sigmas", &even);
    if (status == HDS_OK && karras && even)
        status = refuse(r, "use_exponential_sigmas", "false beside \"use_karras_sigmas\" true");
    const char *betas = json_string_value(value_of(r, "beta_schedule"));
    bool cosine = c->kind == SAMPLER_DPM_2M && betas && !strcmp(betas, "squaredcos_cap_v2");
    c->sigmas = karras ? SAMPLER_KARRAS : even ? SAMPLER_EXPONENTIAL : SAMPLER_OF_TIMESTEPS;
    c->truncates = even || cosine;
    return status;
}

static hds_status read_order(const reader *r, sampler_config *c)
{
    const json_t *order = value_of(r, "solver_order");
    json_int_t number = order ? json_integer_value(order) : 2;
    if (!(1 << c->kind & (UNIPC | DPM)))
        return HDS_OK;
    c->first_order = number == 1;
    return number == 1 || number == 2 ? HDS_OK : not_done(r, "solver_order", "1 or 2");
}

/* Files keep the solver_type of the kind that they were changed from, which the reference then
 * takes for its own default. */
static hds_status read_unipc(const reader *r, sampler_config *c)
{
    static const char *const solvers[] = { "bh2", "midpoint", "heun", "logrho" };
    int solver = 0;
    if (c->kind != SAMPLER_UNIPC)
        return HDS_OK;
    return choose(r, "solver_type", solvers, 4, &solver, "\"bh2\"");
}

static hds_status read_dpm(const reader *r, sampler_config *c)
{
    static const char *const solvers[] = { "midpoint", "heun", "logrho", "bh1", "bh2" };
    static const char *const algorithms[] = { "dpmsolver++", "sde-dpmsolver++", "deis" };
    const json_t *least = value_of(r, "lambda_min_clipped");
    int solver = 0, algorithm = 0;
    bool lowers = true;
    if (c->kind != SAMPLER_DPM_2M)
        return HDS_OK;
    hds_status status = choose(r, "solver_type", solvers, 5, &solver, "\"midpoint\" or \"heun\"");
    if (status == HDS_OK)
        status = choose(r, "algorithm_type", algorithms, 3, &algorithm,
                        "\"dpmsolver++\" or \"sde-dpmsolver++\"");
    if (status == HDS_OK)
        status = read_bool(r, "euler_at_final", &c->first_at_end);
    if (status == HDS_OK)
        status = read_bool(r, "lower_order_final", &lowers);
    if (status == HDS_OK && least && !json_is_number(least))
        status = refuse(r, "lambda_min_clipped", "a number, -Infinity or null");
    double number = json_number_value(least);
    c->lambda_least = least && number > -DBL_MAX ? number : -INFINITY; /* -DBL_MAX: io_json_load */
    c->heun = solver == 1;
    c->stochastic = algorithm == 1;
    c->keeps_order = !lowers;
    return status;
}

static hds_status read_variance(const reader *r, sampler_config *c)
{
    static const char *const variances[] = { "fixed_small", "fixed_small_log", "fixed_large" };
    int variance = 0;
    if (c->kind != SAMPLER_DDPM)
        return HDS_OK;
    hds_status status = choose(r, "variance_type", variances, 3, &variance,
                               "\"fixed_small\", \"fixed_small_log\" or \"fixed_large\"");
    c->large = variance == 2;
    return status;
}

static hds_status read_pndm(const reader *r, sampler_config *c)
{
    bool skips = false;
    hds_status status = c->kind == SAMPLER_PNDM ? read_bool(r, "skip_prk_steps", &skips) : HDS_OK;
    c->runge_kutta = c->kind == SAMPLER_PNDM && !skips;
    return status;
}

hds_status sampler_config_read(sampler_config *c, const json_t *json, const char *path,
                               sampler_kind kind, hds_error *error)
{
    static hds_status (*const parts[])(const reader *, sampler_config *) = {
        read_steps, read_end, read_clean,    read_sigmas, read_order,
        read_unipc, read_dpm, read_variance, read_pndm,
    };
    reader r = { json, path, error, false };
    *c = (sampler_config){ .kind = kind };
    if (!json_is_object(json))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: not a JSON object", path);
    hds_status status = read_kind(&r, &c->kind);
    if (status == HDS_OK)
        status = check_keys(&r);
    if (status == HDS_OK)
        status = check_fixed(&r, c->kind);
    for (size_t k = 0; k < sizeof parts / sizeof *parts && status == HDS_OK; k++)
        status = parts[k](&r, c);
    return status;
}

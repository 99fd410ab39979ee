/* SPDX-License-Identifier: Apache-2.0 */
/* scheduler_config.json into a sampler_config. Settings that the samplers do not do are refused by
 * name; those that only another kind has are passed over, since files are kept when the kind is
 * changed. */
#include "diffusion/diffusion.h"

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

static const char *const class_names[] = {
    [SAMPLER_DDIM] = "DDIMScheduler",
    [SAMPLER_DDPM] = "DDPMScheduler",
    [SAMPLER_PNDM] = "PNDMScheduler",
    [SAMPLER_EULER] = "EulerDiscreteScheduler",
    [SAMPLER_EULER_ANCESTRAL] = "EulerAncestralDiscreteScheduler",
    [SAMPLER_UNIPC] = "UniPCMultistepScheduler",
    [SAMPLER_DPM_2M] = "DPMSolverMultistepScheduler",
};
enum { KINDS = sizeof class_names / sizeof *class_names };

/* Settings with one value that is done, as JSON text; absent: what the reference then takes. */
static const struct {
    int kinds;
    const char *key, *absent, *expected, *as_good;
} fixed[] = {
    { DDIM | DDPM, "clip_sample", "true", "false", NULL },
    { DDIM | DDPM | UNIPC | DPM, "thresholding", "false", "false", NULL },
    { ~PNDM, "rescale_betas_zero_snr", "false", "false", NULL },
    { DDPM, "variance_type", "\"fixed_small\"", "\"fixed_small\"", NULL },
    { PNDM, "skip_prk_steps", "false", "true", NULL },
    { EULER, "interpolation_type", "\"linear\"", "\"linear\"", NULL },
    { EULER, "timestep_type", "\"discrete\"", "\"discrete\"", NULL },
    { EULER, "sigma_min", "null", "null", NULL },
    { EULER, "sigma_max", "null", "null", NULL },
    { EULER | UNIPC | DPM, "use_exponential_sigmas", "false", "false", "null" },
    { EULER | UNIPC | DPM, "use_beta_sigmas", "false", "false", "null" },
    { UNIPC | DPM, "use_flow_sigmas", "false", "false", "null" },
    { UNIPC | DPM, "use_dynamic_shifting", "false", "false", "null" },
    { UNIPC | DPM, "solver_order", "2", "2", NULL },
    { UNIPC | DPM, "lower_order_final", "true", "true", NULL },
    /* the reference takes the one of these for the other when the kind was changed */
    { UNIPC, "solver_type", "\"bh2\"", "\"bh2\"", "\"midpoint\"" },
    { DPM, "solver_type", "\"midpoint\"", "\"midpoint\"", "\"bh2\"" },
    { UNIPC, "predict_x0", "true", "true", NULL },
    { UNIPC, "disable_corrector", "[]", "[]", NULL },
    { UNIPC, "solver_p", "null", "null", NULL },
    { DPM, "algorithm_type", "\"dpmsolver++\"", "\"dpmsolver++\"", NULL },
    { DPM, "euler_at_final", "false", "false", NULL },
    { DPM, "use_lu_lambdas", "false", "false", "null" },
    { DPM, "lambda_min_clipped", "null", "null", NULL },
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
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "clip_sample_range",
    "sample_max_value",
    "dynamic_thresholding_ratio",
    "flow_shift",
    "time_shift_type",
};

typedef struct reader {
    const json_t *json;
    const char *path;
    hds_error *error;
} reader;

static hds_status refuse(const reader *r, const char *key, const char *expected)
{
    json_t *value = json_object_get(r->json, key);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    hds_status status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s: \"%s\" is %.80s, expected %s",
                                  r->path, key, text ? text : "absent", expected);
    free(text);
    return status;
}

/* One of the texts -> its place, through `choice`, which holds what an absent key means. */
static hds_status choose(const reader *r, const char *key, const char *const *texts, int count,
                         const char *expected, int *choice)
{
    const json_t *value = json_object_get(r->json, key);
    if (!value)
        return HDS_OK;
    for (int k = 0; json_is_string(value) && k < count; k++)
        if (texts[k] && !strcmp(texts[k], json_string_value(value))) {
            *choice = k;
            return HDS_OK;
        }
    return refuse(r, key, expected);
}

static hds_status read_bool(const reader *r, const char *key, bool *choice)
{
    const json_t *value = json_object_get(r->json, key);
    if (value && !json_is_boolean(value))
        return refuse(r, key, "true or false");
    if (value)
        *choice = json_is_true(value);
    return HDS_OK;
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

static hds_status check_keys(const reader *r)
{
    if (!json_is_object(r->json))
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: not a JSON object", r->path);
    for (void *i = json_object_iter((json_t *)r->json); i;
         i = json_object_iter_next((json_t *)r->json, i))
        if (!is_known(json_object_iter_key(i)))
            return hds_raise(r->error, HDS_ERROR_FORMAT,
                             "%s: \"%.80s\" is not a setting of a known sampler: remove it if it "
                             "does not matter",
                             r->path, json_object_iter_key(i));
    return HDS_OK;
}

static hds_status check_fixed(const reader *r, sampler_kind kind)
{
    hds_status status = HDS_OK;
    for (size_t k = 0; k < sizeof fixed / sizeof *fixed && status == HDS_OK; k++) {
        if (!(fixed[k].kinds & 1 << kind))
            continue;
        const json_t *value = json_object_get(r->json, fixed[k].key);
        char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
        const char *found = text ? text : fixed[k].absent;
        if (strcmp(found, fixed[k].expected) &&
            !(fixed[k].as_good && !strcmp(found, fixed[k].as_good)))
            status = refuse(r, fixed[k].key, fixed[k].expected);
        free(text);
    }
    return status;
}

static hds_status read_kind(const reader *r, sampler_kind *kind)
{
    int choice = SAMPLER_OF_FILE;
    if (*kind != SAMPLER_OF_FILE)
        return HDS_OK;
    hds_status status = choose(r, "_class_name", class_names, KINDS,
                               "DDIMScheduler, DDPMScheduler, PNDMScheduler, "
                               "EulerDiscreteScheduler, EulerAncestralDiscreteScheduler, "
                               "UniPCMultistepScheduler or DPMSolverMultistepScheduler",
                               &choice);
    if (status == HDS_OK && choice == SAMPLER_OF_FILE)
        status = refuse(r, "_class_name", "the name of a scheduler");
    *kind = (sampler_kind)choice;
    return status;
}

static hds_status read_offset(const reader *r, int *offset)
{
    const json_t *value = json_object_get(r->json, "steps_offset");
    json_int_t number = json_integer_value(value);
    if (value && (!json_is_integer(value) || number < 0 || number > MAX_OFFSET))
        return refuse(r, "steps_offset", "a whole number from 0");
    *offset = (int)number;
    return HDS_OK;
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
        status = choose(r, "final_sigmas_type", ends, 2, "\"zero\" or \"sigma_min\"", &end);
        c->ends_at_first = end == 1;
        if (status == HDS_OK)
            status = read_bool(r, "use_karras_sigmas", &c->karras);
    }
    return status;
}

hds_status sampler_config_read(sampler_config *c, const json_t *json, const char *path,
                               sampler_kind kind, hds_error *error)
{
    static const char *const spacings[] = { "leading", "trailing", "linspace" };
    static const char *const predictions[] = { "epsilon", "v_prediction" };
    reader r = { json, path, error };
    *c = (sampler_config){ .kind = kind };
    hds_status status = check_keys(&r);
    if (status == HDS_OK)
        status = read_kind(&r, &c->kind);
    if (status == HDS_OK)
        status = check_fixed(&r, c->kind);
    int spacing = 1 << c->kind & (DDIM | DDPM | PNDM) ? SAMPLER_LEADING : SAMPLER_LINSPACE;
    int prediction = 0;
    if (status == HDS_OK)
        status = choose(&r, "timestep_spacing", spacings, 3,
                        "\"leading\", \"trailing\" or \"linspace\"", &spacing);
    if (status == HDS_OK)
        status = choose(&r, "prediction_type", predictions, 2, "\"epsilon\" or \"v_prediction\"",
                        &prediction);
    if (status == HDS_OK)
        status = read_offset(&r, &c->steps_offset);
    if (status == HDS_OK)
        status = read_end(&r, c);
    c->spacing = (sampler_spacing)spacing;
    c->velocity = prediction == 1;
    return status;
}

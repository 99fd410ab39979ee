/* SPDX-License-Identifier: Apache-2.0 */
/* The noise schedule that a model was trained with, from scheduler_config.json.
 * abar_t = prod_{s<=t} (1 - beta_s).  Ho et al. 2020, equation 4. */
#include "diffusion/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TIMESTEPS = 100000 };

/* ---- betas, as float32 numbers ---- */

/* What a schedule is made of; part = t / (count - 1). */
typedef struct betas {
    double first, last;
    int count;
} betas;

static float linear(const betas *b, int t)
{
    double part = b->count > 1 ? (double)t / (b->count - 1) : 0;
    return (float)(b->first + (b->last - b->first) * part);
}

/* Evenly spaced square roots. */
static float scaled_linear(const betas *b, int t)
{
    float root = linear(&(betas){ sqrt(b->first), sqrt(b->last), b->count }, t);
    return root * root;
}

/* Xu et al. 2022 (GeoDiff). */
static float sigmoid(const betas *b, int t)
{
    float x = linear(&(betas){ -6, 6, b->count }, t);
    return (float)((b->last - b->first) / (1 + exp(-(double)x)) + b->first);
}

/* 1 - abar(t + 1) / abar(t), at most 0.999, of an abar over [0, 1]. */
static float of_abar(const betas *b, int t, double (*abar)(double))
{
    return (float)fmin(1 - abar((t + 1.0) / b->count) / abar((double)t / b->count), 0.999);
}

/* Nichol and Dhariwal 2021, equation 17. */
static double cosine_abar(double part)
{
    double root = cos((part + 0.008) / 1.008 * M_PI / 2);
    return root * root;
}

static float cosine(const betas *b, int t)
{
    return of_abar(b, t, cosine_abar);
}

/* Hang and Gu 2024. */
static double laplace_abar(double part)
{
    double sign = copysign(1, 0.5 - part);
    double snr = exp(-0.5 * sign * log(1 - 2 * fabs(0.5 - part) + 1e-6));
    return sqrt(snr / (1 + snr));
}

static float laplace(const betas *b, int t)
{
    return of_abar(b, t, laplace_abar);
}

static const struct {
    const char *name;
    float (*beta)(const betas *b, int t);
} kinds[] = {
    { "linear", linear },
    { "scaled_linear", scaled_linear },
    { "squaredcos_cap_v2", cosine },
    { "sigmoid", sigmoid },
    { "laplace", laplace },
};
enum { LINEAR, SCALED_LINEAR, KINDS = sizeof kinds / sizeof *kinds };

/* What absent keys mean depends on the class that wrote the file. */
typedef struct defaults {
    double first, last;
    int kind;
} defaults;
static const struct {
    const char *class_name;
    defaults values;
} class_defaults[] = {
    { "LCMScheduler", { 0.00085, 0.012, SCALED_LINEAR } },
    { "TCDScheduler", { 0.00085, 0.012, SCALED_LINEAR } },
    { "HeunDiscreteScheduler", { 0.00085, 0.012, LINEAR } },
    { "KDPM2DiscreteScheduler", { 0.00085, 0.012, LINEAR } },
    { "KDPM2AncestralDiscreteScheduler", { 0.00085, 0.012, LINEAR } },
    { "DPMSolverSDEScheduler", { 0.00085, 0.012, LINEAR } },
};

/* ---- the file ---- */

typedef struct reader {
    const json_t *json;
    const char *path;
    hds_error *error;
} reader;

static const json_t *value_of(const reader *r, const char *key)
{
    const json_t *value = json_object_get(r->json, key);
    return json_is_null(value) ? NULL : value;
}

static hds_status refuse(const reader *r, const char *key, const char *expected)
{
    char *text = json_dumps(json_object_get(r->json, key), JSON_ENCODE_ANY | JSON_COMPACT);
    hds_status status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s: \"%s\" is %.80s, expected %s",
                                  r->path, key, text ? text : "absent", expected);
    free(text);
    return status;
}

static hds_status read_prediction(const reader *r, bool *velocity)
{
    const json_t *value = value_of(r, "prediction_type");
    const char *kind = value ? json_string_value(value) : "epsilon";
    *velocity = kind && !strcmp(kind, "v_prediction");
    return *velocity || (kind && !strcmp(kind, "epsilon"))
               ? HDS_OK
               : refuse(r, "prediction_type", "\"epsilon\" or \"v_prediction\"");
}

/* A model of another kind of noise has none of the keys that the betas are made of. */
static hds_status check_class(const reader *r, const char *class_name)
{
    static const char *const others[] = { "FlowMatch", "EDM", "KarrasVe", "CosineDPM", "SCM" };
    if (value_of(r, "beta_schedule") || value_of(r, "beta_start") || value_of(r, "trained_betas"))
        return HDS_OK;
    for (size_t k = 0; class_name && k < sizeof others / sizeof *others; k++)
        if (!strncmp(class_name, others[k], strlen(others[k])))
            return hds_raise(r->error, HDS_ERROR_FORMAT,
                             "%s: \"_class_name\" is \"%.60s\" and there is no \"beta_schedule\": "
                             "the model was not trained with a noise schedule of betas, as Stable "
                             "Diffusion 1 and 2 are",
                             r->path, class_name);
    return HDS_OK;
}

static hds_status read_betas(const reader *r, betas *b, int *kind)
{
    const char *class_name = json_string_value(json_object_get(r->json, "_class_name"));
    defaults usual = { 0.0001, 0.02, LINEAR };
    for (size_t k = 0; class_name && k < sizeof class_defaults / sizeof *class_defaults; k++)
        if (!strcmp(class_name, class_defaults[k].class_name))
            usual = class_defaults[k].values;
    const json_t *count = value_of(r, "num_train_timesteps"), *first = value_of(r, "beta_start");
    const json_t *last = value_of(r, "beta_end"), *name = value_of(r, "beta_schedule");
    json_int_t timesteps = count ? json_integer_value(count) : 1000;
    b->first = first ? json_number_value(first) : usual.first;
    b->last = last ? json_number_value(last) : usual.last;
    if (timesteps < 1 || timesteps > MAX_TIMESTEPS || !(b->first > 0) || !(b->last < 1) ||
        b->first > b->last)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: \"num_train_timesteps\" %lld, \"beta_start\" %g, \"beta_end\" %g, "
                         "expected 1 to %d and 0 < start <= end < 1",
                         r->path, (long long)timesteps, b->first, b->last, MAX_TIMESTEPS);
    b->count = (int)timesteps;
    *kind = name ? 0 : usual.kind;
    while (name && *kind < KINDS &&
           (!json_is_string(name) || strcmp(kinds[*kind].name, json_string_value(name))))
        ++*kind;
    if (*kind == KINDS)
        return refuse(r, "beta_schedule",
                      "\"linear\", \"scaled_linear\", \"squaredcos_cap_v2\", \"sigmoid\" or "
                      "\"laplace\"");
    return check_class(r, class_name);
}

/* "trained_betas": as many numbers as timesteps, which they then are. */
static hds_status check_trained(const reader *r, const json_t *list, betas *b)
{
    size_t count = json_array_size(list);
    bool good = count >= 1 && count <= MAX_TIMESTEPS;
    for (size_t t = 0; good && t < count; t++) {
        const json_t *beta = json_array_get(list, t);
        good = json_is_number(beta) && json_number_value(beta) >= 0 && json_number_value(beta) < 1;
    }
    b->count = (int)count;
    return good
               ? HDS_OK
               : refuse(r, "trained_betas", "null or a list of at most 100000 numbers from 0 to 1");
}

/* ---- the schedule ---- */

static void accumulate(schedule *s)
{
    float product = 1;
    for (int t = 0; t < s->count; t++) {
        product *= 1.0f - s->betas[t];
        s->alphas_cumprod[t] = product;
    }
}

/* In float32, as the reference does it. */
void schedule_end_at_zero(schedule *s)
{
    float first = sqrtf(s->alphas_cumprod[0]), last = sqrtf(s->alphas_cumprod[s->count - 1]);
    float stretch = first / (first - last), before = 1;
    for (int t = 0; t < s->count && first > last; t++) {
        float root = (sqrtf(s->alphas_cumprod[t]) - last) * stretch;
        float abar = root * root;
        s->betas[t] = 1.0f - (t ? abar / before : abar);
        before = abar;
    }
    accumulate(s);
}

static hds_status read_schedule(schedule *s, const reader *r)
{
    betas b;
    int kind = LINEAR;
    const json_t *trained = value_of(r, "trained_betas");
    const json_t *zero = value_of(r, "rescale_betas_zero_snr");
    if (!json_is_object(r->json))
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: not a JSON object", r->path);
    hds_status status = read_betas(r, &b, &kind);
    if (status == HDS_OK)
        status = read_prediction(r, &s->velocity);
    if (status == HDS_OK && trained)
        status = check_trained(r, trained, &b);
    if (status == HDS_OK && zero && !json_is_boolean(zero))
        status = refuse(r, "rescale_betas_zero_snr", "true or false");
    if (status != HDS_OK)
        return status;
    s->count = b.count;
    s->betas = malloc((size_t)b.count * sizeof *s->betas);
    s->alphas_cumprod = malloc((size_t)b.count * sizeof *s->alphas_cumprod);
    if (!s->betas || !s->alphas_cumprod) {
        schedule_finish(s);
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory", r->path);
    }
    for (int t = 0; t < b.count; t++)
        s->betas[t] = trained ? (float)json_number_value(json_array_get(trained, (size_t)t))
                              : kinds[kind].beta(&b, t);
    accumulate(s);
    if (json_is_true(zero))
        schedule_end_at_zero(s);
    return HDS_OK;
}

hds_status schedule_load(schedule *s, const char *path, hds_error *error)
{
    json_t *json = NULL;
    *s = (schedule){ 0 };
    hds_status status = io_json_load(&json, path, error);
    if (status == HDS_OK)
        status = read_schedule(s, &(reader){ json, path, error });
    json_decref(json);
    return status;
}

void schedule_finish(schedule *s)
{
    free(s->betas);
    free(s->alphas_cumprod);
    *s = (schedule){ 0 };
}

double schedule_alpha_bar(const schedule *s, float timestep)
{
    int low = (int)timestep, high = low + 1 < s->count ? low + 1 : low;
    double part = (double)timestep - low;
    return (1 - part) * s->alphas_cumprod[low] + part * s->alphas_cumprod[high];
}

void schedule_add_noise(const schedule *s, const float *x, const float *noise, const int *timesteps,
                        size_t count, size_t each, float *noisy)
{
    for (size_t i = 0; i < count; i++) {
        float abar = s->alphas_cumprod[timesteps[i]];
        float signal = sqrtf(abar), rest = sqrtf(1.0f - abar);
        for (size_t j = i * each; j < (i + 1) * each; j++)
            noisy[j] = signal * x[j] + rest * noise[j];
    }
}

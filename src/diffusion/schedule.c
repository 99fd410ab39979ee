/* SPDX-License-Identifier: Apache-2.0 */
/* The noise schedule that a model was trained with, from scheduler_config.json.
 * abar_t = prod_{s<=t} (1 - beta_s).  Ho et al. 2020, equation 4. */
#include "diffusion/diffusion.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TIMESTEPS = 100000 };

/* "linear": betas evenly spaced; "scaled_linear": their square roots are, in float32. */
static void fill(schedule *s, bool scaled, double first, double last)
{
    float product = 1;
    double low = scaled ? sqrt(first) : first, high = scaled ? sqrt(last) : last;
    for (int t = 0; t < s->count; t++) {
        double part = s->count > 1 ? (double)t / (s->count - 1) : 0;
        float beta = (float)(low + (high - low) * part);
        s->betas[t] = scaled ? beta * beta : beta;
        product *= 1.0f - s->betas[t];
        s->alphas_cumprod[t] = product;
    }
}

static hds_status read_schedule(schedule *s, const json_t *json, const char *path, hds_error *error)
{
    const json_t *count = json_object_get(json, "num_train_timesteps");
    const json_t *first = json_object_get(json, "beta_start");
    const json_t *last = json_object_get(json, "beta_end");
    const char *kind = json_string_value(json_object_get(json, "beta_schedule"));
    const char *prediction = json_string_value(json_object_get(json, "prediction_type"));
    double low = first ? json_number_value(first) : 0.0001;
    double high = last ? json_number_value(last) : 0.02;
    json_int_t timesteps = count ? json_integer_value(count) : 1000;
    bool scaled = kind && !strcmp(kind, "scaled_linear");

    if (kind && !scaled && strcmp(kind, "linear"))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"beta_schedule\" is \"%.40s\", expected \"scaled_linear\" or "
                         "\"linear\"",
                         path, kind);
    s->velocity = prediction && !strcmp(prediction, "v_prediction");
    if (prediction && !s->velocity && strcmp(prediction, "epsilon"))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"prediction_type\" is \"%.40s\", expected \"epsilon\" or "
                         "\"v_prediction\"",
                         path, prediction);
    const json_t *trained = json_object_get(json, "trained_betas");
    if (trained && !json_is_null(trained))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"trained_betas\" is given, expected null",
                         path);
    if (timesteps < 1 || timesteps > MAX_TIMESTEPS || !(low > 0) || !(high < 1) || low > high)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"num_train_timesteps\" %lld, \"beta_start\" %g, \"beta_end\" %g, "
                         "expected 1 to %d and 0 < start <= end < 1",
                         path, (long long)timesteps, low, high, MAX_TIMESTEPS);
    s->count = (int)timesteps;
    s->betas = malloc((size_t)timesteps * sizeof *s->betas);
    s->alphas_cumprod = malloc((size_t)timesteps * sizeof *s->alphas_cumprod);
    if (!s->betas || !s->alphas_cumprod) {
        schedule_finish(s);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    }
    fill(s, scaled, low, high);
    return HDS_OK;
}

hds_status schedule_load(schedule *s, const char *path, hds_error *error)
{
    json_t *json = NULL;
    *s = (schedule){ 0 };
    hds_status status = io_json_load(&json, path, error);
    if (status == HDS_OK)
        status = read_schedule(s, json, path, error);
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

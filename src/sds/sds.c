/* SPDX-License-Identifier: Apache-2.0 */
/* Score distillation on a batch of pictures. */
#include "sds/sds.h"

#include "diffusion/diffusion.h"

#include <math.h>
#include <string.h>

static hds_status encode(sds_text *text, hds_prior *prior, const char *const texts[SDS_SIDES + 1],
                         hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    int64_t ids[(SDS_SIDES + 1) * HDS_TOKENS];
    *text = (sds_text){ .states = (size_t)HDS_TOKENS * (size_t)info.text_width };
    text->sides = hds_alloc((SDS_SIDES + 1) * text->states, sizeof(float));
    if (!text->sides)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt's states");
    text->negative = text->sides + SDS_SIDES * text->states;
    hds_status status = hds_prior_tokenize(prior, texts, SDS_SIDES + 1, ids, error);
    if (status == HDS_OK)
        status = hds_prior_encode_tokens(prior, ids, SDS_SIDES + 1, text->sides, error);
    if (status != HDS_OK)
        sds_text_finish(text);
    return status;
}

hds_status sds_text_init(sds_text *text, hds_prior *prior, const char *prefix, const char *prompt,
                         const char *negative, hds_error *error)
{
    static const char *const views[] = { "front view", "side view", "back view" };
    char *owned[SDS_SIDES];
    const char *texts[SDS_SIDES + 1];
    bool complete = true;
    for (int i = 0; i < SDS_SIDES; i++) {
        owned[i] = i == SDS_MAP ? hds_format("%s%s", prefix ? prefix : "", prompt)
                                : hds_format("%s, %s", prompt, views[i]);
        complete = complete && owned[i];
        texts[i] = owned[i];
    }
    texts[SDS_SIDES] = negative ? negative : "";
    hds_status status = complete ? encode(text, prior, texts, error)
                                 : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for prompts");
    for (int i = 0; i < SDS_SIDES; i++)
        hds_free(owned[i]);
    return status;
}

hds_status sds_text_init_plain(sds_text *text, hds_prior *prior, const char *prompt,
                               const char *negative, hds_error *error)
{
    const char *texts[SDS_SIDES + 1] = { prompt, prompt, prompt, prompt, negative ? negative : "" };
    return encode(text, prior, texts, error);
}

void sds_text_finish(sds_text *text)
{
    hds_free(text->sides);
    *text = (sds_text){ 0 };
}

sds_side sds_side_of(float azimuth)
{
    float a = fabsf(remainderf(azimuth, 360));
    return a <= 45 ? SDS_FRONT : a > 135 ? SDS_BACK : SDS_SIDE;
}

/* What a step works in: `each` numbers a latent. */
typedef struct work {
    size_t each;
    float *latents, *noise, *noisy, *predicted; /* (count, each); predicted becomes the gradient */
    float *text, *negative;                     /* (count, states) */
} work;

static float alpha_bar(const hds_prior_info *info, float timestep)
{
    int t = (int)timestep;
    t = t < 0 ? 0 : t >= info->timestep_count ? info->timestep_count - 1 : t;
    return info->alphas_cumprod[t];
}

static void add_noise(const hds_prior_info *info, const sds_batch *b, work *w)
{
    for (size_t i = 0; i < b->count; i++) {
        rng r = rng_make(b->seed, b->stream + i);
        rng_normal_fill(&r, w->noise + i * w->each, w->each);
        float abar = alpha_bar(info, b->timesteps[i]);
        float signal = sqrtf(abar), spread = sqrtf(1 - abar);
        for (size_t k = i * w->each; k < (i + 1) * w->each; k++)
            w->noisy[k] = signal * w->latents[k] + spread * w->noise[k];
    }
}

/* (1 - abar_t) (eps_hat - eps), in place of the prediction. Returns how many views were finite. */
static size_t weigh(const hds_prior_info *info, const sds_batch *b, work *w)
{
    size_t finite = 0;
    for (size_t i = 0; i < b->count; i++) {
        float weight = 1 - alpha_bar(info, b->timesteps[i]), sum = 0;
        float *g = w->predicted + i * w->each;
        for (size_t k = 0; k < w->each; k++) {
            g[k] = weight * (g[k] - w->noise[i * w->each + k]);
            sum += g[k] * g[k];
        }
        if (isfinite(sum))
            finite++;
        else
            memset(g, 0, w->each * sizeof *g);
    }
    return finite;
}

static hds_status distil(hds_prior *prior, const sds_text *text, const sds_batch *b, work *w,
                         float *dimages, hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    prior_encoding *encoding = NULL;
    hds_status status =
        prior_encode(prior, b->images, b->count, b->height, b->width, w->latents, &encoding, error);
    if (status == HDS_OK) {
        add_noise(&info, b, w);
        for (size_t i = 0; i < b->count; i++) {
            memcpy(w->text + i * text->states, text->sides + (size_t)b->sides[i] * text->states,
                   text->states * sizeof(float));
            memcpy(w->negative + i * text->states, text->negative, text->states * sizeof(float));
        }
        prior_guided guided = { .count = b->count,
                                .h = b->height / 8,
                                .w = b->width / 8,
                                .latents = w->noisy,
                                .timesteps = b->timesteps,
                                .text = w->text,
                                .negative = w->negative,
                                .guidance = b->guidance_scale,
                                .noise = w->predicted };
        status = prior_predict_guided(prior, &guided, error);
    }
    if (status == HDS_OK && !weigh(&info, b, w))
        status =
            hds_raise(error, HDS_ERROR_INTERNAL,
                      "the guided prediction overflows in every view: lower the guidance scale, "
                      "%g",
                      b->guidance_scale);
    if (status == HDS_OK)
        status = prior_encode_adjoint(encoding, w->predicted, dimages, error);
    prior_encoding_destroy(&encoding);
    return status;
}

hds_status sds_gradient(hds_prior *prior, const sds_text *text, const sds_batch *batch,
                        float *dimages, hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    size_t count = batch->count;
    work w = { .each = (size_t)info.latent_channels * (batch->height / 8) * (batch->width / 8) };
    float *memory = hds_alloc(count * (4 * w.each + 2 * text->states), sizeof(float));
    if (!memory)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the latents of %zu views",
                         count);
    w.latents = memory;
    w.noise = w.latents + count * w.each;
    w.noisy = w.noise + count * w.each;
    w.predicted = w.noisy + count * w.each;
    w.text = w.predicted + count * w.each;
    w.negative = w.text + count * text->states;
    memset(dimages, 0, count * batch->height * batch->width * 3 * sizeof *dimages);
    hds_status status = distil(prior, text, batch, &w, dimages, error);
    hds_free(memory);
    return status;
}

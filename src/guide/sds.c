/* SPDX-License-Identifier: Apache-2.0 */
/* Score distillation on a batch of pictures. */
#include "guide/guide.h"

#include "diffusion/diffusion.h"
#include "prior/prior.h"

#include <math.h>
#include <string.h>

static hds_status encode(sds_text *text, hds_prior *prior, const char *const texts[2 * SDS_SIDES],
                         hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    int64_t ids[2 * SDS_SIDES * HDS_TOKENS];
    *text = (sds_text){ .states = (size_t)HDS_TOKENS * (size_t)info.text_width };
    text->sides = hds_alloc(2 * SDS_SIDES * text->states, sizeof(float));
    if (!text->sides)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt's states");
    text->negatives = text->sides + SDS_SIDES * text->states;
    hds_status status = hds_prior_tokenize(prior, texts, 2 * SDS_SIDES, ids, error);
    if (status == HDS_OK)
        status = hds_prior_encode_tokens(prior, ids, 2 * SDS_SIDES, text->sides, error);
    if (status != HDS_OK)
        sds_text_finish(text);
    return status;
}

/* The prompt as captions say it of that side; new. */
static char *said_of(sds_side side, const hds_prior_info *info, const char *prompt)
{
    static const char *const views[] = { "front view", "side view", "back view" };
    const char *prefix = info->texture_map_prefix ? info->texture_map_prefix : "";
    return side == SDS_MAP ? hds_format("%s%s", prefix, prompt)
                           : hds_format("%s, %s", prompt, views[side]);
}

hds_status sds_text_init(sds_text *text, hds_prior *prior, const char *prompt, const char *negative,
                         hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    const char *null = negative ? negative : info.neutral_prompt ? NULL : "";
    char *texts[2 * SDS_SIDES];
    bool complete = true;
    for (sds_side i = 0; i < SDS_SIDES; i++) {
        texts[i] = said_of(i, &info, prompt);
        texts[SDS_SIDES + i] = null ? hds_strdup(null) : said_of(i, &info, info.neutral_prompt);
        complete = complete && texts[i] && texts[SDS_SIDES + i];
    }
    hds_status status = complete ? encode(text, prior, (const char *const *)texts, error)
                                 : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for prompts");
    for (int i = 0; i < 2 * SDS_SIDES; i++)
        hds_free(texts[i]);
    return status;
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

/* w->latents -> the weighted residuals in w->predicted. */
static hds_status residuals(hds_prior *prior, const sds_text *text, const sds_batch *b, work *w,
                            hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    add_noise(&info, b, w);
    for (size_t i = 0; i < b->count; i++) {
        memcpy(w->text + i * text->states, text->sides + (size_t)b->sides[i] * text->states,
               text->states * sizeof(float));
        memcpy(w->negative + i * text->states, text->negatives + (size_t)b->sides[i] * text->states,
               text->states * sizeof(float));
    }
    prior_request guided = { .count = b->count,
                             .h = b->height / 8,
                             .w = b->width / 8,
                             .latents = w->noisy,
                             .timesteps = b->timesteps,
                             .text = w->text,
                             .negative = w->negative,
                             .guidance_scale = b->guidance_scale,
                             .noise = w->predicted };
    hds_status status = prior_predict(prior, &guided, error);
    if (status == HDS_OK && !weigh(&info, b, w))
        status =
            hds_raise(error, HDS_ERROR_INTERNAL,
                      "the guided prediction overflows in every view: lower the guidance scale, "
                      "%g",
                      b->guidance_scale);
    return status;
}

static hds_status work_init(work *w, hds_prior *prior, const sds_text *text, const sds_batch *b,
                            hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    *w = (work){ .each = (size_t)info.latent_channels * (b->height / 8) * (b->width / 8) };
    size_t latents = b->count * w->each;
    w->latents = hds_alloc(4 * latents + 2 * b->count * text->states, sizeof(float));
    if (!w->latents)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the latents of %zu views",
                         b->count);
    w->noise = w->latents + latents;
    w->noisy = w->noise + latents;
    w->predicted = w->noisy + latents;
    w->text = w->predicted + latents;
    w->negative = w->text + b->count * text->states;
    return HDS_OK;
}

hds_status sds_gradient(hds_prior *prior, const sds_text *text, const sds_batch *batch,
                        float *dimages, hds_error *error)
{
    work w;
    hds_status status = work_init(&w, prior, text, batch, error);
    if (status != HDS_OK)
        return status;
    memset(dimages, 0, batch->count * batch->height * batch->width * 3 * sizeof *dimages);
    prior_encoding *encoding = NULL;
    status = prior_encode(prior, batch->images, batch->count, batch->height, batch->width,
                          w.latents, &encoding, error);
    if (status == HDS_OK)
        status = residuals(prior, text, batch, &w, error);
    if (status == HDS_OK)
        status = prior_encode_adjoint(encoding, w.predicted, dimages, error);
    prior_encoding_destroy(&encoding);
    hds_free(w.latents);
    return status;
}

/* The decoder's derivative along g at z, by a central difference of a tenth of the latents' unit
 * deviation. -> dimage (height,width,3) */
static hds_status decode_along(hds_prior *prior, const sds_batch *b, const float *z, const float *g,
                               size_t count, float *dimage, hds_error *error)
{
    static const double decoder_step = 0.1;
    size_t numbers = b->height * b->width * 3;
    double square = 0;
    for (size_t k = 0; k < count; k++)
        square += (double)g[k] * g[k] / (double)count;
    memset(dimage, 0, numbers * sizeof *dimage);
    if (square == 0)
        return HDS_OK;
    float h = (float)(decoder_step / sqrt(square));
    float *ends = hds_alloc(2 * count, sizeof *ends);
    float *images = hds_alloc(2 * numbers, sizeof *images);
    hds_status status = HDS_OK;
    if (!ends || !images)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a picture of %zux%zu",
                           b->width, b->height);
    if (status == HDS_OK) {
        for (size_t k = 0; k < count; k++) {
            ends[k] = z[k] + h * g[k];
            ends[count + k] = z[k] - h * g[k];
        }
        status =
            hds_prior_decode_latents(prior, ends, 2, b->height / 8, b->width / 8, images, error);
    }
    for (size_t i = 0; i < numbers && status == HDS_OK; i++)
        dimage[i] = (images[i] - images[numbers + i]) / (2 * h);
    hds_free(ends);
    hds_free(images);
    return status;
}

hds_status sds_decoded_gradient(hds_prior *prior, const sds_text *text, const sds_batch *batch,
                                float *dimage, hds_error *error)
{
    work w;
    hds_status status = work_init(&w, prior, text, batch, error);
    if (status != HDS_OK)
        return status;
    status = hds_prior_encode_image(prior, batch->images, 1, batch->height, batch->width, w.latents,
                                    error);
    for (size_t i = 1; i < batch->count; i++)
        memcpy(w.latents + i * w.each, w.latents, w.each * sizeof *w.latents);
    if (status == HDS_OK)
        status = residuals(prior, text, batch, &w, error);
    if (status == HDS_OK) {
        float *mean = w.noise; /* no longer needed */
        memset(mean, 0, w.each * sizeof *mean);
        for (size_t i = 0; i < batch->count * w.each; i++)
            mean[i % w.each] += w.predicted[i] / (float)batch->count;
        status = decode_along(prior, batch, w.latents, mean, w.each, dimage, error);
    }
    hds_free(w.latents);
    return status;
}

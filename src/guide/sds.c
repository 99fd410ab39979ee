/* SPDX-License-Identifier: Apache-2.0 */
/* Score distillation on a batch of images, and the guide of that kind. */
#include "guide/guide.h"

#include "diffusion/diffusion.h"
#include "prior/prior.h"

#include <math.h>
#include <string.h>

/* What a step works in: `each` numbers a latent. */
typedef struct work {
    size_t each;
    float *latents, *noise, *noisy, *predicted; /* (count, each); predicted becomes the gradient */
    float *text, *negative;                     /* (count, states) */
} work;

static void add_noise(hds_prior *prior, const guide_batch *b, work *w)
{
    for (size_t i = 0; i < b->count; i++) {
        rng r = rng_make(b->seed, b->stream + i);
        rng_normal_fill(&r, w->noise + i * w->each, w->each);
        float abar = prior_alpha_bar(prior, b->timesteps[i]);
        float signal = sqrtf(abar), spread = sqrtf(1 - abar);
        for (size_t k = i * w->each; k < (i + 1) * w->each; k++)
            w->noisy[k] = signal * w->latents[k] + spread * w->noise[k];
    }
}

/* (1 - abar_t) (eps_hat - eps), in place of the prediction. Returns how many views were finite. */
static size_t weigh(hds_prior *prior, const guide_batch *b, work *w, double *residual)
{
    size_t finite = 0;
    double square = 0;
    for (size_t i = 0; i < b->count; i++) {
        float weight = 1 - prior_alpha_bar(prior, b->timesteps[i]), sum = 0;
        float *g = w->predicted + i * w->each;
        for (size_t k = 0; k < w->each; k++) {
            g[k] = weight * (g[k] - w->noise[i * w->each + k]);
            sum += g[k] * g[k];
        }
        if (isfinite(sum)) {
            finite++;
            square += (double)sum / (double)w->each;
        } else {
            memset(g, 0, w->each * sizeof *g);
        }
    }
    if (residual)
        *residual = sqrt(square / (double)b->count);
    return finite;
}

/* w->latents -> the weighted residuals in w->predicted. */
static hds_status residuals(hds_prior *prior, const guide_text *text, const guide_batch *b, work *w,
                            double *residual, hds_error *error)
{
    add_noise(prior, b, w);
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
                             .tokens = text->tokens,
                             .text = w->text,
                             .negative = w->negative,
                             .guidance_scale = b->guidance_scale,
                             .noise = w->predicted };
    hds_status status = prior_predict(prior, &guided, error);
    if (status == HDS_OK && !weigh(prior, b, w, residual))
        status =
            hds_raise(error, HDS_ERROR_INTERNAL,
                      "the guided prediction overflows in every view: lower the guidance scale, "
                      "%g",
                      b->guidance_scale);
    return status;
}

static hds_status work_init(work *w, hds_prior *prior, const guide_text *text, const guide_batch *b,
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

hds_status guide_sds_views(hds_prior *prior, const guide_text *text, const guide_batch *batch,
                           float *dimages, double *residual, hds_error *error)
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
        status = residuals(prior, text, batch, &w, residual, error);
    if (status == HDS_OK)
        status = prior_encode_adjoint(encoding, w.predicted, dimages, error);
    prior_encoding_destroy(&encoding);
    hds_free(w.latents);
    return status;
}

/* The decoder's derivative along g at z, by a central difference of a tenth of the latents' unit
 * deviation. -> dimage (height,width,3) */
static hds_status decode_along(hds_prior *prior, const guide_batch *b, const float *z,
                               const float *g, size_t count, float *dimage, hds_error *error)
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

hds_status guide_sds_map(hds_prior *prior, const guide_text *text, const guide_batch *batch,
                         float *dimage, double *residual, hds_error *error)
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
        status = residuals(prior, text, batch, &w, residual, error);
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

/* ---- the guide ---- */

static hds_status init(guide *g, const guide_setup *setup, hds_error *error)
{
    guide_text *text = hds_alloc(1, sizeof *text);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the prompt");
    g->state = text;
    return guide_text_init(text, setup->prior, setup->prompt, setup->negative_prompt, error);
}

static void finish(guide *g)
{
    if (g->state)
        guide_text_finish(g->state);
    hds_free(g->state);
}

static hds_status gradient(guide *g, const guide_step *step, const guide_input *in, float *dimages,
                           guide_report *report, hds_error *error)
{
    hds_prior_info info;
    hds_prior_get_info(g->prior, &info);
    uint64_t offset = (uint64_t)g->index << 56;
    size_t numbers = (in->map ? 1 : in->count) * in->height * in->width * 3;
    float *timesteps = hds_alloc(in->count, sizeof *timesteps);
    float *own = hds_alloc(numbers, sizeof *own);
    hds_status status = HDS_OK;
    if (!timesteps || !own)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of %zu views",
                           in->count);
    if (status == HDS_OK) {
        guide_timesteps(&g->params, step, offset, info.timestep_count, in->count, timesteps);
        guide_batch batch = { .count = in->count,
                              .height = in->height,
                              .width = in->width,
                              .images = in->images,
                              .sides = in->sides,
                              .timesteps = timesteps,
                              .seed = step->seed,
                              .stream = guide_stream(step, 0, true) + offset,
                              .guidance_scale = g->params.guidance_scale };
        status = (in->map ? guide_sds_map : guide_sds_views)(g->prior, g->state, &batch, own,
                                                             &report->residual, error);
    }
    report->timestep = 0;
    for (size_t i = 0; i < in->count && status == HDS_OK; i++)
        report->timestep += timesteps[i] / (double)in->count;
    for (size_t i = 0; i < numbers && status == HDS_OK; i++)
        dimages[i] += own[i];
    hds_free(timesteps);
    hds_free(own);
    return status;
}

const guide_ops guide_sds = { .name = "sds", .init = init, .gradient = gradient, .finish = finish };

/* SPDX-License-Identifier: Apache-2.0 */
/* The UNet of the sample prior, trained to predict noise; the text encoder is frozen.
 *
 *   loss = mean((unet(sqrt(abar_t) x + sqrt(1 - abar_t) eps, t, text) - eps)^2)
 *
 * Ho, Jain, Abbeel: "Denoising diffusion probabilistic models", 2020; captions are drawn anew each
 * time a picture is seen, a tenth of them empty for classifier-free guidance. */
#include "train_prior.h"

#include "diffusion/diffusion.h"
#include "text/text.h"
#include "trainer.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 32, SIDE = TRAIN_LATENT_SIDE, EACH = TRAIN_LATENT_NUMBERS };

typedef struct session {
    train *t;
    trainer trainer;
    weights *text;
    unet_config unet;
    clip_text_config clip;
    schedule schedule;
    text_tokenizer *tokenizer;
    io_map latents;
    size_t count; /* records */
} session;

typedef struct batch {
    float clean[BATCH * EACH], noise[BATCH * EACH], noisy[BATCH * EACH], times[BATCH];
    int64_t ids[BATCH * TEXT_TOKENS];
    int steps[BATCH];
} batch;

/* Uniform for texture maps, whose colours show under much noise, and for four renders in ten; the
 * other renders stay in the part of the schedule where small differences of shape can be seen. */
static int draw_timestep(const session *s, rng *r, int32_t medium)
{
    uint32_t count = (uint32_t)s->schedule.count;
    bool low = rng_below(r, 10) < 6 && medium != CAPTION_UV;
    return (int)rng_below(r, low ? count * 3 / 5 : count);
}

static hds_status draw_batch(const session *s, batch *b, hds_error *error)
{
    const train_record *records = (const void *)s->latents.bytes;
    rng r = rng_make(31, (uint64_t)s->trainer.step);
    for (int i = 0; i < BATCH; i++) {
        const train_record *record = &records[rng_below(&r, (uint32_t)s->count)];
        char caption[512];
        caption_write(&r, record->sample.attributes, (caption_medium)record->sample.medium,
                      record->sample.azimuth, caption, sizeof caption, NULL);
        hds_status status =
            text_tokenize(s->tokenizer, caption, b->ids + i * TEXT_TOKENS, NULL, error);
        if (status != HDS_OK)
            return status;
        memcpy(b->clean + i * EACH, record->latents, sizeof record->latents);
        b->steps[i] = draw_timestep(s, &r, record->sample.medium);
        b->times[i] = (float)b->steps[i];
    }
    rng_normal_fill(&r, b->noise, BATCH * EACH);
    schedule_add_noise(&s->schedule, b->clean, b->noise, b->steps, BATCH, EACH, b->noisy);
    return HDS_OK;
}

/* Of this process's share of the batch. */
static tn *loss_of(const session *s, const batch *b)
{
    tn_context *cx = s->t->cx;
    int count = BATCH / s->t->crew.count, first = count * s->t->crew.rank;
    at clip = at_root(cx, s->text), unet = at_root(cx, s->trainer.live);
    tn *text =
        clip_text_encode(&s->clip, &clip, b->ids + first * TEXT_TOKENS, count, TEXT_TOKENS, 0);
    tn *x = tn_from_f32(cx, b->noisy + first * EACH, TN_SHAPE(count, 4, SIDE, SIDE));
    tn *noise = tn_from_f32(cx, b->noise + first * EACH, TN_SHAPE(count, 4, SIDE, SIDE));
    tn *predicted = unet_forward(&s->unet, &unet, x, b->times + first, count, text);
    return tn_mean_square(cx, predicted, noise);
}

static hds_status step(session *s, int64_t steps, float *loss, hds_error *error)
{
    static batch b;
    hds_status status = draw_batch(s, &b, error);
    if (status != HDS_OK)
        return status;
    tn_context *cx = s->t->cx;
    size_t scope = tn_enter(cx);
    tn *l = loss_of(s, &b);
    double progress = (double)s->trainer.step / (double)steps;
    *loss = trainer_step(&s->trainer, l, trainer_rate(s->trainer.step, progress, 1e-3), 1000);
    tn_leave(cx, scope, NULL);
    return tn_check(cx, error);
}

static char *unet_weights(const session *s)
{
    return hds_format("%s/unet/diffusion_pytorch_model.safetensors", s->t->folder);
}

static hds_status publish(session *s, hds_error *error)
{
    char *path = unet_weights(s);
    hds_status status = weights_save(s->trainer.mean, path, IO_F16, error);
    hds_free(path);
    return status;
}

static hds_status open_inputs(session *s, hds_error *error)
{
    const char *folder = s->t->folder;
    char *unet = hds_format("%s/unet/config.json", folder);
    char *clip = hds_format("%s/text_encoder/config.json", folder);
    char *text = hds_format("%s/text_encoder/model.safetensors", folder);
    char *scheduler = hds_format("%s/scheduler/scheduler_config.json", folder);
    char *tokenizer = hds_format("%s/tokenizer", folder);
    char *latents = hds_format("%s/latents.bin", s->t->work);
    hds_status status = unet_config_load(&s->unet, unet, error);
    if (status == HDS_OK)
        status = clip_text_config_load(&s->clip, clip, error);
    if (status == HDS_OK)
        status = schedule_load(&s->schedule, scheduler, error);
    if (status == HDS_OK)
        status = text_tokenizer_load(&s->tokenizer, tokenizer, error);
    if (status == HDS_OK) {
        s->text = weights_load(s->t->cx, text, WEIGHTS_FROZEN);
        status = tn_check(s->t->cx, error);
    }
    if (status == HDS_OK)
        status = io_map_open(&s->latents, latents, error);
    s->count = s->latents.size / sizeof(train_record);
    if (status == HDS_OK && !s->count)
        status =
            hds_raise(error, HDS_ERROR_FORMAT, "%s is empty: run the latents stage first", latents);
    hds_free(unet);
    hds_free(clip);
    hds_free(text);
    hds_free(scheduler);
    hds_free(tokenizer);
    hds_free(latents);
    return status;
}

static hds_status run(session *s, int64_t steps, hds_error *error)
{
    tn_context *cx = s->t->cx;
    at unet = at_root(cx, s->trainer.live);
    unet_survey(&s->unet, &unet);
    hds_status status = trainer_begin(&s->trainer, error);
    tn_set_grad(cx, true);
    double began = trainer_seconds(), mean = 0;
    int64_t first = s->trainer.step;
    if (!s->t->crew.rank)
        printf("unet: %zu pictures\n", s->count);
    while (status == HDS_OK && s->trainer.step < steps) {
        float loss = 0;
        status = step(s, steps, &loss, error);
        mean = mean ? mean + 0.01 * (loss - mean) : loss;
        int64_t done = s->trainer.step;
        if (s->t->crew.rank)
            continue;
        if (done % 50 == 0)
            printf("unet %lld/%lld loss %.4f %.1f pictures/s\n", (long long)done, (long long)steps,
                   mean, (double)(BATCH * (done - first)) / (trainer_seconds() - began));
        if (status == HDS_OK && (done % 500 == 0 || done == steps)) {
            status = trainer_save(&s->trainer, error);
            if (status == HDS_OK)
                status = publish(s, error);
        }
    }
    tn_set_grad(cx, false);
    return status;
}

hds_status train_unet(train *t, int64_t steps, hds_error *error)
{
    session s = { .t = t };
    hds_status status = open_inputs(&s, error);
    char *start = unet_weights(&s);
    if (status == HDS_OK)
        status = trainer_open(&s.trainer, t->cx, &t->crew, t->work, "unet", start, error);
    hds_free(start);
    if (status == HDS_OK)
        status = run(&s, steps, error);
    trainer_close(&s.trainer);
    weights_destroy(&s.text);
    text_tokenizer_destroy(&s.tokenizer);
    schedule_finish(&s.schedule);
    io_map_close(&s.latents);
    return status;
}

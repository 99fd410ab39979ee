/* SPDX-License-Identifier: Apache-2.0 */
/* The text encoder of the sample prior: a small CLIP text model that learns, before the UNet, to
 * tell from a caption what it says of a head. The first channels of the state at the end of the
 * text must be the poles, the medium and the view that the text names; the other channels are free.
 *
 *   loss = mean((state[:CAPTION_MEANINGS] - meaning)^2) */
#include "train_prior.h"

#include "diffusion/diffusion.h"
#include "text/text.h"
#include "trainer.h"

#include <stdio.h>
#include <string.h>

enum { BATCH = 64 };

typedef struct batch {
    int64_t ids[BATCH * TEXT_TOKENS];
    caption_meaning meaning[BATCH];
} batch;

static hds_status draw_batch(const text_tokenizer *tokenizer, int64_t step, batch *b,
                             hds_error *error)
{
    rng r = rng_make(41, (uint64_t)step);
    for (int i = 0; i < BATCH; i++) {
        float attributes[CAPTION_ATTRIBUTES];
        char caption[512];
        for (int a = 0; a < CAPTION_ATTRIBUTES; a++)
            attributes[a] = 1.6f * (float)rng_normal(&r);
        caption_medium medium = (caption_medium)rng_below(&r, CAPTION_MEDIA);
        float azimuth = 360 * (float)rng_uniform(&r);
        caption_write(&r, attributes, medium, azimuth, caption, sizeof caption, &b->meaning[i]);
        hds_status status =
            text_tokenize(tokenizer, caption, b->ids + i * TEXT_TOKENS, NULL, error);
        if (status != HDS_OK)
            return status;
    }
    return HDS_OK;
}

/* Of this process's share of the batch. */
static tn *text_loss(const clip_text_config *c, trainer *t, const batch *b)
{
    int count = BATCH / t->crew->count, first = count * t->crew->rank;
    const int64_t *ids = b->ids + first * TEXT_TOKENS;
    at root = at_root(t->cx, t->live);
    tn *states = clip_text_encode(c, &root, ids, count, TEXT_TOKENS, 0);
    tn *end = clip_text_pool(c, &root, states, ids);
    tn *said = tn_narrow(t->cx, end, 1, 0, CAPTION_MEANINGS);
    return tn_mean_square(
        t->cx, said,
        tn_from_f32(t->cx, (const float *)(b->meaning + first), TN_SHAPE(count, CAPTION_MEANINGS)));
}

static hds_status run(train *t, trainer *r, const clip_text_config *c,
                      const text_tokenizer *tokenizer, int64_t steps, const char *out,
                      hds_error *error)
{
    static batch b;
    at root = at_root(t->cx, r->live);
    clip_text_survey(c, &root);
    hds_status status = trainer_begin(r, error);
    tn_set_grad(t->cx, true);
    double began = trainer_seconds(), mean = 0;
    int64_t first = r->step;
    while (status == HDS_OK && r->step < steps) {
        status = draw_batch(tokenizer, r->step, &b, error);
        if (status != HDS_OK)
            break;
        size_t scope = tn_enter(t->cx);
        double progress = (double)r->step / (double)steps;
        float loss =
            trainer_step(r, text_loss(c, r, &b), trainer_rate(r->step, progress, 2e-3), 300);
        tn_leave(t->cx, scope, NULL);
        status = tn_check(t->cx, error);
        mean = mean ? mean + 0.02 * (loss - mean) : loss;
        if (t->crew.rank)
            continue;
        if (r->step % 50 == 0)
            printf("text %lld/%lld loss %.5f %.1f captions/s\n", (long long)r->step,
                   (long long)steps, mean,
                   (double)(BATCH * (r->step - first)) / (trainer_seconds() - began));
        if (status == HDS_OK && (r->step % 500 == 0 || r->step == steps))
            status = trainer_save(r, error);
    }
    tn_set_grad(t->cx, false);
    return status == HDS_OK && !t->crew.rank ? weights_save(r->mean, out, IO_F16, error) : status;
}

hds_status train_text(train *t, int64_t steps, hds_error *error)
{
    char *config = hds_format("%s/text_encoder/config.json", t->folder);
    char *file = hds_format("%s/text_encoder/model.safetensors", t->folder);
    char *folder = hds_format("%s/tokenizer", t->folder);
    clip_text_config c;
    text_tokenizer *tokenizer = NULL;
    trainer r = { 0 };
    hds_status status = clip_text_config_load(&c, config, error);
    if (status == HDS_OK)
        status = text_tokenizer_load(&tokenizer, folder, error);
    if (status == HDS_OK)
        status = trainer_open(&r, t->cx, &t->crew, t->work, "text_encoder", file, error);
    if (status == HDS_OK)
        status = run(t, &r, &c, tokenizer, steps, file, error);
    trainer_close(&r);
    text_tokenizer_destroy(&tokenizer);
    hds_free(config);
    hds_free(file);
    hds_free(folder);
    return status;
}

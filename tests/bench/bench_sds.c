/* SPDX-License-Identifier: Apache-2.0 */
/* One step of score distillation on the sample head with the sample prior's networks (random
 * weights, which cost the same): where its time goes, what share of the matrix-product peak of the
 * same run it makes use of, and its peak memory. */
#include "bench.h"

#include "../random_prior.h"

#include "fit/fit.h"
#include "prior/prior.h"
#include "text/text.h"

#include <stdlib.h>

enum { PRODUCT = 1536, WARM = 3, ROUNDS = 15, PARTS = 6 };
enum { DRAW, ENCODE, PREDICT, ENCODE_ADJOINT, DRAW_ADJOINT, WHOLE };
static const char *const names[PARTS] = { "draw",           "encode",       "predict noise",
                                          "encode adjoint", "draw adjoint", "whole step" };

static double product_rate(void)
{
    tn_context *cx;
    if (tn_context_create(&cx, 0, NULL) != HDS_OK)
        return 0;
    double rate = bench_product_rate(cx, PRODUCT);
    tn_context_destroy(&cx);
    return rate;
}

static double flops;

/* The parts of fit_stage_gradient and guide_sds_views, one by one and timed. */
typedef struct parts {
    fit_run *run;
    guide_text text;
    hds_prior_info info;
    double best[PARTS];
} parts;

static double lap(parts *p, int part, double start)
{
    double end = bench_now();
    p->best[part] = end - start < p->best[part] ? end - start : p->best[part];
    return end;
}

static hds_status distil(parts *p, const guide_step *step, fit_views *v, float *memory,
                         double *start, hds_error *error)
{
    const guide_text *text = &p->text;
    size_t side = (size_t)v->size / 8, each = 4 * side * side;
    float *latents = memory, *noise = latents + v->count * each, timesteps[FIT_MOST_VIEWS];
    float *states = noise + v->count * each, *negative = states + v->count * text->states;
    guide_timesteps(&p->run->current.params->guidance[0], step, 0, p->info.timestep_count, v->count,
                    timesteps);
    for (size_t i = 0; i < v->count; i++) {
        memcpy(states + i * text->states, text->sides, text->states * sizeof *states);
        memcpy(negative + i * text->states, text->negatives, text->states * sizeof *states);
    }
    prior_encoding *encoding;
    hds_status status = prior_encode(p->run->prior, v->images, v->count, (size_t)v->size,
                                     (size_t)v->size, latents, &encoding, error);
    *start = lap(p, ENCODE, *start);
    prior_request guided = { .count = v->count,
                             .h = side,
                             .w = side,
                             .latents = latents,
                             .timesteps = timesteps,
                             .text = states,
                             .negative = negative,
                             .guidance_scale = 30,
                             .noise = noise };
    if (status == HDS_OK)
        status = prior_predict(p->run->prior, &guided, error);
    *start = lap(p, PREDICT, *start);
    if (status == HDS_OK)
        status = prior_encode_adjoint(encoding, noise, v->dimages, error);
    prior_encoding_destroy(&encoding);
    *start = lap(p, ENCODE_ADJOINT, *start);
    return status;
}

static hds_status measure_parts(parts *p, hds_error *error)
{
    fit_stage *s = &p->run->current;
    arena *scratch = &s->subject->scratch;
    const guide_step step = { p->run->settings.seed, s->index, p->run->step, s->params->steps };
    fit_views views;
    arena_mark mark = arena_enter(scratch);
    double start = bench_now();
    float *dshape = arena_alloc(scratch, s->variable->count, sizeof *dshape);
    hds_status status = fit_views_draw(s, &step, s->variable->x, &views, error);
    start = lap(p, DRAW, start);
    size_t latents = views.count * 4 * (size_t)(views.size / 8) * (size_t)(views.size / 8);
    size_t states = views.count * p->text.states;
    float *memory = arena_alloc(scratch, 2 * (latents + states), sizeof *memory);
    if (status == HDS_OK)
        status = distil(p, &step, &views, memory, &start, error);
    if (status == HDS_OK)
        status = fit_views_adjoint(s, &views, s->variable->x, dshape, error);
    lap(p, DRAW_ADJOINT, start);
    arena_leave(scratch, mark);
    return status;
}

static hds_status measure(parts *p, hds_error *error)
{
    hds_status status = HDS_OK;
    for (int i = 0; i < WARM + ROUNDS && status == HDS_OK; i++) {
        if (i == WARM)
            for (int k = 0; k < PARTS; k++)
                p->best[k] = 1e9;
        bool done;
        status = measure_parts(p, error);
        double start = bench_now();
        if (status == HDS_OK)
            status = fit_run_step(p->run, &done, error);
        lap(p, WHOLE, start);
    }
    return status;
}

/* Multiplications of one step: the encoder forward and backward (the gradient of its input costs as
 * much as its output), the UNet on both predictions. */
static hds_status count_flops(const char *folder, int views, hds_error *error)
{
    tn_context *cx;
    hds_status status = tn_context_create(&cx, 0, error);
    char *vae_path = hds_format("%s/vae/config.json", folder);
    char *unet_path = hds_format("%s/unet/config.json", folder);
    vae_config vae;
    unet_config unet;
    if (status == HDS_OK)
        status = vae_config_load(&vae, vae_path, error);
    if (status == HDS_OK)
        status = unet_config_load(&unet, unet_path, error);
    if (status == HDS_OK) {
        weights *w = weights_create(cx, 1), *u = weights_create(cx, 2);
        at at_vae = at_root(cx, w), at_unet = at_root(cx, u);
        int64_t side = unet.sample_size;
        bench_counter encoder = { cx, w, 0 }, denoiser = { cx, u, 0 };
        weights_set_probe(w, bench_count_module, &encoder);
        vae_encode(&vae, &at_vae, tn_zeros(cx, TN_SHAPE(1, 3, 8 * side, 8 * side)));
        weights_set_probe(u, bench_count_module, &denoiser);
        unet_forward(&unet, &at_unet, tn_zeros(cx, TN_SHAPE(2, 4, side, side)), (float[]){ 500 }, 1,
                     tn_zeros(cx, TN_SHAPE(2, TEXT_TOKENS, unet.text_width)));
        flops = views * (2 * encoder.flops + denoiser.flops);
        status = tn_check(cx, error);
        weights_destroy(&w);
        weights_destroy(&u);
    }
    hds_free(vae_path);
    hds_free(unet_path);
    tn_context_destroy(&cx);
    return status;
}

static hds_status bench(const char *folder, hds_error *error)
{
    char *sample;
    hds_head_model *model = NULL;
    hds_prior *prior = NULL;
    fit_run run = { 0 };
    hds_status status = io_data_path(&sample, "prior", error);
    if (status == HDS_OK)
        status = random_prior_write(&(random_prior){ folder, sample, { NULL }, 1 }, error);
    if (status == HDS_OK)
        status = count_flops(folder, 4, error);
    if (status == HDS_OK)
        status = hds_head_model_load(&model, &(hds_head_model_params){ 0 }, error);
    if (status == HDS_OK)
        status = hds_prior_load(&prior, &(hds_prior_params){ .path = folder }, error);
    const hds_setting settings[] = { { "geometry.steps", "1000" },
                                     { "geometry.views", "4" },
                                     { "geometry.precondition", "none" },
                                     { "texture.skip", "true" } };
    hds_generate_params params = { .prompt = "a head",
                                   .model = model,
                                   .prior = prior,
                                   .settings = settings,
                                   .setting_count = sizeof settings / sizeof *settings };
    parts p = { .run = &run };
    if (status == HDS_OK)
        status = fit_run_init(&run, &params, &fit_built_in, error);
    if (status == HDS_OK)
        status = guide_text_init(&p.text, prior, params.prompt, NULL, error);
    if (status == HDS_OK)
        hds_prior_get_info(prior, &p.info);
    double before = product_rate(), loaded = bench_peak_mib();
    if (status == HDS_OK)
        status = measure(&p, error);
    double after = product_rate(), peak = before > after ? before : after;
    if (status == HDS_OK) {
        printf("score distillation, 4 views of %d px, %zu vertices, %d threads\n",
               run.settings.stages[0].resolution, model->vertex_count, threads_count());
        for (int i = 0; i < PARTS; i++)
            printf("  %-15s %7.2f ms %6.1f%%\n", names[i], 1e3 * p.best[i],
                   100 * p.best[i] / p.best[WHOLE]);
        printf(
            "  %.2f GFLOP a step; matrix product %d^3: %.0f GFLOP/s; share of that peak: %.0f%%\n",
            1e-9 * flops, PRODUCT, 1e-9 * peak, 100 * flops / p.best[WHOLE] / peak);
        printf("  peak memory %.0f MiB (loaded %.0f)\n", bench_peak_mib(), loaded);
    }
    guide_text_finish(&p.text);
    fit_run_finish(&run);
    hds_prior_unref(prior);
    hds_head_model_unref(model);
    hds_free(sample);
    return status;
}

int main(void)
{
    char folder[] = "/tmp/headsds-bench-XXXXXX";
    hds_error error = { 0 };
    hds_status status = mkdtemp(folder) ? bench(folder, &error)
                                        : hds_raise(&error, HDS_ERROR_OS, "no folder in /tmp");
    char *remove = hds_format("rm -rf '%s'", folder);
    if (system(remove) || status != HDS_OK)
        fprintf(stderr, "bench_sds: %s\n", error.message);
    hds_free(remove);
    return status != HDS_OK;
}

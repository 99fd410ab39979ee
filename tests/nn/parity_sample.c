/* SPDX-License-Identifier: Apache-2.0 */
/* Whole runs of sampling, through the public call: the latents before and after each step, and the
 * picture. */
#include "parity.h"

#include "../unit/files.h"
#include "headsds/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

typedef struct sampled {
    parity *c;
    size_t latent;
    float *last;
} sampled;

static bool compare_step(void *context, int step, int steps, const float *latents)
{
    sampled *s = context;
    char name[32];
    snprintf(name, sizeof name, "latents.%d", step);
    parity_check_numbers(s->c, name, latents, s->latent);
    if (step == steps)
        memcpy(s->last, latents, s->latent * sizeof *latents);
    return true;
}

/* A folder like the case's model whose scheduler_config.json is the case's; new. */
static char *folder_of(const parity *c)
{
    static const char *const parts[] = { "tokenizer", "text_encoder", "vae", "unet" };
    hds_error error = { 0 };
    char *model = parity_model(c, 0, ""), *folder = files_folder();
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *from = io_join(model, parts[i]), *to = io_join(folder, parts[i]);
        assert_int_equal(symlink(from, to), 0);
        hds_free(from);
        hds_free(to);
    }
    char *scheduler = io_join(folder, "scheduler");
    char *file = io_join(scheduler, "scheduler_config.json");
    parity_status(io_make_folders(scheduler, &error), &error);
    parity_status(io_json_save(json_object_get(json_object_get(c->entry, "params"), "scheduler"),
                               file, &error),
                  &error);
    hds_free(scheduler);
    hds_free(file);
    hds_free(model);
    return folder;
}

/* The decoder's numbers before they are clamped: from the network itself. */
static void compare_decoded(parity *c, const float *latents, size_t h, size_t w)
{
    tn_context *cx;
    hds_error error = { 0 };
    vae_config config;
    char *path = parity_model(c, 0, "vae/config.json");
    char *file = parity_model(c, 0, "vae/diffusion_pytorch_model.safetensors");
    parity_status(tn_context_create(&cx, 0, &error), &error);
    parity_status(vae_config_load(&config, path, &error), &error);
    weights *all = weights_load(cx, file, WEIGHTS_FROZEN);
    parity_ok(cx);
    at root = at_root(cx, all);
    tn *z = tn_from_f32(cx, latents, TN_SHAPE(1, 4, (int64_t)h, (int64_t)w));
    parity_check(c, "image_pm1", cx,
                 vae_decode(&config, &root, tn_affine(cx, z, 1 / config.scaling, 0)));
    weights_destroy(&all);
    tn_context_destroy(&cx);
    hds_free(path);
    hds_free(file);
}

/* Rows of pixels -> planes of whole levels. */
static void compare_levels(parity *c, const float *image, size_t pixels)
{
    float *levels = calloc(3 * pixels, sizeof *levels);
    assert_non_null(levels);
    for (size_t i = 0; i < 3 * pixels; i++)
        levels[i % 3 * pixels + i / 3] = rintf(255 * image[i]);
    parity_check_numbers(c, "image_u8", levels, 3 * pixels);
    free(levels);
}

static void to_rows(const float *planes, size_t pixels, float *rows)
{
    for (size_t i = 0; i < 3 * pixels; i++)
        rows[i] = planes[i % 3 * pixels + i / 3];
}

void parity_sample(parity *c)
{
    hds_error error = { 0 };
    hds_prior *prior;
    char *folder = folder_of(c);
    bool controlled = json_array_size(json_object_get(c->entry, "models")) > 1;
    char *depth = controlled ? parity_model(c, 1, "") : NULL;
    parity_status(
        hds_prior_load(&prior, &(hds_prior_params){ .path = folder, .depth = depth }, &error),
        &error);
    const json_t *params = json_object_get(c->entry, "params");
    const json_t *texts = json_object_get(params, "texts_uncond_cond");
    const io_tensor *noise = parity_find(c, "noise");
    size_t h = (size_t)noise->shape[2], w = (size_t)noise->shape[3], pixels = 64 * h * w;
    hds_control control;
    hds_sample_params s = { .prompt = json_string_value(json_array_get(texts, 1)),
                            .negative_prompt = json_string_value(json_array_get(texts, 0)),
                            .steps = (int)parity_parameter(c, "steps"),
                            .guidance_scale = (float)parity_parameter(c, "guidance_scale"),
                            .noise = parity_numbers(c, "noise"),
                            .height = 8 * h,
                            .width = 8 * w,
                            .progress = compare_step };
    float *image = calloc(3 * pixels, sizeof *image), *start = calloc(3 * pixels, sizeof *start);
    sampled run = { c, 4 * h * w, calloc(4 * h * w, sizeof(float)) };
    assert_true(image && start && run.last);
    s.context = &run;
    if (parity_expects(c, "init_latents")) {
        to_rows(parity_numbers(c, "image01"), pixels, start);
        s.image = start;
        s.strength = (float)parity_parameter(c, "strength");
        parity_status(hds_prior_encode_image(prior, start, 1, s.height, s.width, run.last, &error),
                      &error);
        parity_check_numbers(c, "init_latents", run.last, run.latent);
    }
    if (controlled) {
        to_rows(parity_numbers(c, "controlnet_cond"), pixels, start);
        control = (hds_control){ "depth", start, (float)parity_parameter(c, "conditioning_scale") };
        s.controls = &control;
        s.control_count = 1;
    }
    parity_status(hds_prior_sample(prior, &s, image, &error), &error);
    compare_decoded(c, run.last, h, w);
    compare_levels(c, image, pixels);
    free(image);
    free(start);
    free(run.last);
    hds_prior_unref(prior);
    hds_free(depth);
    files_remove(folder);
}

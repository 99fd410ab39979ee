/* SPDX-License-Identifier: Apache-2.0 */
/* The worked example of score distillation, through the calls that the product uses: every stage
 * from the picture to the gradient on it. */
#include "parity.h"
#include "prior/prior.h"

#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

typedef struct worked {
    hds_prior *prior;
    hds_prior_info info;
    size_t height, width, h, w, image, latent; /* sizes and counts of numbers */
} worked;

static float *numbers(size_t count)
{
    float *p = calloc(count, sizeof *p);
    assert_non_null(p);
    return p;
}

/* Between (3,H,W), which is recorded, and (H,W,3). */
static void to_pixels(const worked *k, const float *planes, float *pixels)
{
    for (size_t i = 0; i < k->image; i++)
        pixels[i] = planes[i % 3 * (k->image / 3) + i / 3];
}

static void to_planes(const worked *k, const float *pixels, float *planes)
{
    for (size_t i = 0; i < k->image; i++)
        planes[i % 3 * (k->image / 3) + i / 3] = pixels[i];
}

static worked open_worked(const parity *c)
{
    worked k = { .prior = NULL };
    hds_error error = { 0 };
    char *path = parity_model(c, 0, "");
    bool controlled = json_array_size(json_object_get(c->entry, "models")) > 1;
    char *depth = controlled ? parity_model(c, 1, "") : NULL;
    parity_status(
        hds_prior_load(&k.prior, &(hds_prior_params){ .path = path, .depth = depth }, &error),
        &error);
    hds_free(depth);
    hds_prior_get_info(k.prior, &k.info);
    const io_tensor *image = parity_find(c, "image01");
    assert_int_equal(image->shape[0], 1);
    k.height = (size_t)image->shape[2];
    k.width = (size_t)image->shape[3];
    k.h = k.height / 8;
    k.w = k.width / 8;
    k.image = 3 * k.height * k.width;
    k.latent = 4 * k.h * k.w;
    hds_free(path);
    return k;
}

static void compare_tokens(const parity *c, const worked *k, const int64_t *expected)
{
    hds_error error = { 0 };
    const json_t *texts = json_object_get(json_object_get(c->entry, "params"), "texts_uncond_cond");
    int64_t ids[2 * HDS_TOKENS];
    const char *two[2];
    for (size_t i = 0; i < 2; i++)
        two[i] = json_string_value(json_array_get(texts, i));
    parity_status(hds_prior_tokenize(k->prior, two, 2, ids, &error), &error);
    assert_memory_equal(ids, expected, sizeof ids);
}

/* encoder_hidden_states and the guided prediction -> noise */
static void predict(parity *c, const worked *k, float timestep, const float *noisy, float *noise)
{
    hds_error error = { 0 };
    int64_t count;
    int64_t *ids = parity_ids(c, "ids", &count);
    size_t text = (size_t)HDS_TOKENS * (size_t)k->info.text_width;
    float *states = numbers(2 * text), *uncond = numbers(k->latent), *cond = numbers(k->latent);
    assert_int_equal(count, 2);
    compare_tokens(c, k, ids);
    parity_status(hds_prior_encode_tokens(k->prior, ids, 2, states, &error), &error);
    parity_check_numbers(c, "encoder_hidden_states", states, 2 * text);

    float *picture = NULL;
    hds_control control = { .net = NULL };
    if (json_array_size(json_object_get(c->entry, "models")) > 1) {
        picture = numbers(k->image);
        to_pixels(k, parity_numbers(c, "controlnet_cond"), picture);
        control =
            (hds_control){ "depth", picture, (float)parity_parameter(c, "conditioning_scale") };
    }
    prior_request g = { .count = 1,
                        .h = k->h,
                        .w = k->w,
                        .latents = noisy,
                        .timesteps = &timestep,
                        .text = states + text,
                        .negative = states,
                        .guidance_scale = *parity_numbers(c, "guidance_scale"),
                        .controls = &control,
                        .control_count = control.net != NULL,
                        .noise = noise,
                        .uncond = uncond,
                        .cond = cond };
    parity_status(prior_predict(k->prior, &g, &error), &error);
    parity_check_numbers(c, "noise_pred_uncond", uncond, k->latent);
    parity_check_numbers(c, "noise_pred_cond", cond, k->latent);
    parity_check_numbers(c, "noise_pred", noise, k->latent);
    free(ids);
    free(states);
    free(uncond);
    free(cond);
    free(picture);
}

static void compare_image_gradient(parity *c, const worked *k, const float *pixels)
{
    float *planes = numbers(k->image);
    to_planes(k, pixels, planes);
    parity_check_numbers(c, "grad_image01", planes, k->image);
    for (size_t i = 0; i < k->image; i++)
        planes[i] *= 0.5f;
    parity_check_numbers(c, "grad_image_pm1", planes, k->image);
    free(planes);
}

void parity_sds(parity *c)
{
    worked k = open_worked(c);
    hds_error error = { 0 };
    float *pixels = numbers(k.image), *dpixels = numbers(k.image);
    float *latents = numbers(k.latent), *noisy = numbers(k.latent), *noise = numbers(k.latent);
    float *gradient = numbers(k.latent), timestep;
    const float *drawn = parity_numbers(c, "noise");
    const io_tensor *t = parity_find(c, "timestep");
    io_to_f32(t->data, t->dtype, &timestep, 1);

    prior_encoding *encoding;
    to_pixels(&k, parity_numbers(c, "image01"), pixels);
    parity_status(prior_encode(k.prior, pixels, 1, k.height, k.width, latents, &encoding, &error),
                  &error);
    parity_check_numbers(c, "latents", latents, k.latent);

    schedule s = { .count = k.info.timestep_count,
                   .alphas_cumprod = (float *)k.info.alphas_cumprod };
    schedule_add_noise(&s, latents, drawn, (int[]){ (int)timestep }, 1, k.latent, noisy);
    parity_check_numbers(c, "latents_noisy", noisy, k.latent);
    predict(c, &k, timestep, noisy, noise);

    float w = 1 - k.info.alphas_cumprod[(int)timestep];
    parity_check_numbers(c, "w", &w, 1);
    for (size_t i = 0; i < k.latent; i++)
        gradient[i] = w * (noise[i] - drawn[i]);
    parity_check_numbers(c, "grad_latents", gradient, k.latent);
    parity_status(prior_encode_adjoint(encoding, gradient, dpixels, &error), &error);
    compare_image_gradient(c, &k, dpixels);

    prior_encoding_destroy(&encoding);
    hds_prior_unref(k.prior);
    free(pixels);
    free(dpixels);
    free(latents);
    free(noisy);
    free(noise);
    free(gradient);
}

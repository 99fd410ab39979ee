/* SPDX-License-Identifier: Apache-2.0 */
/* LoRAs through the public calls: the same adapter under several conventions of names must give the
 * same numbers. */
#include "headsds/prior.h"
#include "parity.h"

#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

/* The UNet's prediction for the recorded latents with these states of the text. */
static void check_prediction(parity *c, hds_prior *prior, const float *states, const char *name)
{
    const io_tensor *x = parity_find(c, "latents"), *t = parity_find(c, "timestep");
    size_t count = (size_t)x->shape[0], h = (size_t)x->shape[2], w = (size_t)x->shape[3];
    size_t numbers = count * 4 * h * w;
    float timestep, timesteps[8];
    float *latents = malloc(numbers * sizeof *latents), *noise = malloc(numbers * sizeof *noise);
    hds_error error = { 0 };
    assert_in_range(count, 1, 8);
    io_to_f32(x->data, x->dtype, latents, numbers);
    io_to_f32(t->data, t->dtype, &timestep, 1);
    for (size_t i = 0; i < count; i++)
        timesteps[i] = timestep;
    parity_status(hds_prior_predict_noise(
                      prior,
                      &(hds_predict_params){ count, h, w, latents, timesteps, states, NULL, 0, 0 },
                      noise, &error),
                  &error);
    parity_check_numbers(c, name, noise, numbers);
    free(latents);
    free(noise);
}

void parity_lora(parity *c)
{
    hds_error error = { 0 };
    hds_prior *plain, *adapted;
    char *model = parity_model(c, 0, "");
    const json_t *params = json_object_get(c->entry, "params");
    const json_t *files = json_object_get(params, "lora_files");
    parity_status(hds_prior_load(&plain, &(hds_prior_params){ .path = model }, &error), &error);
    int64_t count;
    int64_t *ids = parity_ids(c, "ids", &count);
    hds_prior_info info;
    hds_prior_get_info(plain, &info);
    size_t numbers = (size_t)count * HDS_TOKENS * (size_t)info.text_width;
    float *states = malloc(numbers * sizeof *states);
    assert_true(json_array_size(files) > 0);
    for (size_t i = 0; i < json_array_size(files); i++) {
        char *path = io_join(c->folder, json_string_value(json_array_get(files, i)));
        parity_expect_all(c);
        hds_lora lora = { path, (float)json_number_value(json_object_get(params, "multiplier")) };
        hds_prior_params with = { .path = model, .loras = &lora, .lora_count = 1 };
        parity_status(hds_prior_load(&adapted, &with, &error), &error);
        parity_status(hds_prior_encode_tokens(adapted, ids, (size_t)count, states, &error), &error);
        parity_check_numbers(c, "encoder_hidden_states", states, numbers);
        check_prediction(c, adapted, states, "noise_pred");
        parity_status(hds_prior_encode_tokens(plain, ids, (size_t)count, states, &error), &error);
        check_prediction(c, adapted, states, "noise_pred_unet_lora_only");
        hds_prior_unref(adapted);
        hds_free(path);
    }
    hds_prior_unref(plain);
    hds_free(model);
    free(states);
    free(ids);
}

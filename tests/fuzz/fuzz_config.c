/* SPDX-License-Identifier: Apache-2.0 */
/* Every configuration of a model folder: each reader gets the whole input. */
#include "fuzz.h"

#include "diffusion/diffusion.h"
#include "prior/prior.h"

static void check(hds_status status, hds_error *error)
{
    if (status != error->status)
        abort();
    *error = (hds_error){ 0 };
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    clip_text_config text;
    clip_pair_config pair;
    clip_pixels_config pixels;
    vae_config vae;
    unet_config unet;
    controlnet_config control;
    prior_card card;
    schedule noise;
    hds_error error = { 0 };
    fuzz_input = data;
    fuzz_size = size;
    check(clip_text_config_load(&text, "config.json", &error), &error);
    check(clip_pair_config_load(&pair, "config.json", &error), &error);
    check(clip_pixels_config_load(&pixels, "preprocessor_config.json", &error), &error);
    check(vae_config_load(&vae, "config.json", &error), &error);
    check(unet_config_load(&unet, "config.json", &error), &error);
    check(controlnet_config_load(&control, "config.json", &error), &error);
    check(prior_card_load(&card, "/", &error), &error); /* a path that exists */
    prior_card_finish(&card);
    check(schedule_load(&noise, "scheduler_config.json", &error), &error);
    schedule_finish(&noise);

    json_t *json = NULL;
    if (io_json_load(&json, "scheduler_config.json", &error) == HDS_OK)
        for (sampler_kind kind = SAMPLER_OF_FILE; kind <= SAMPLER_DPM_2M; kind++) {
            sampler_config sampler;
            check(sampler_config_read(&sampler, json, "scheduler_config.json", kind, &error),
                  &error);
        }
    json_decref(json);
    return 0;
}

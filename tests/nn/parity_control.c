/* SPDX-License-Identifier: Apache-2.0 */
/* Cases with ControlNets: their residuals, and the UNet's prediction with them added. */
#include "parity.h"

#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

static weights *load(const parity *c, tn_context *cx, size_t index, const char *folder)
{
    char *below = hds_format("%s%sdiffusion_pytorch_model.safetensors", folder, *folder ? "/" : "");
    char *path = parity_model(c, index, below);
    weights *w = weights_load(cx, path, WEIGHTS_FROZEN);
    parity_ok(cx);
    hds_free(path);
    hds_free(below);
    return w;
}

/* One ControlNet's residuals, added to `sum` when there are some already. */
static weights *control(const parity *c, tn_context *cx, size_t index, const parity_controlled *in,
                        unet_residuals *sum)
{
    hds_error error = { 0 };
    controlnet_config config;
    char *path = parity_model(c, index, "config.json");
    parity_status(controlnet_config_load(&config, path, &error), &error);
    hds_free(path);
    weights *w = load(c, cx, index, "");
    at root = at_root(cx, w);
    controlnet_survey(&config, &root);
    unet_residuals one;
    controlnet_forward(&config, &root, in->latents, &in->timestep, 1, in->text,
                       in->pictures[index - 1], in->scales[index - 1], &one);
    if (index == 1)
        *sum = one;
    else
        unet_residuals_add(cx, sum, &one);
    return w;
}

void parity_control(parity *c, tn_context *cx, const char *unet_folder, const parity_controlled *in,
                    unet_residuals *sum, float *noise, size_t count)
{
    hds_error error = { 0 };
    weights *w[3] = { NULL };
    unet_config config;
    char *below = hds_format("%s%sconfig.json", unet_folder, *unet_folder ? "/" : "");
    char *path = parity_model(c, 0, below);
    parity_status(unet_config_load(&config, path, &error), &error);
    hds_free(path);
    hds_free(below);
    w[0] = load(c, cx, 0, unet_folder);
    for (size_t i = 1; i <= in->count; i++)
        w[i] = control(c, cx, i, in, sum);
    at root = at_root(cx, w[0]);
    tn *y = unet_forward_with(&config, &root, in->latents, &in->timestep, 1, in->text,
                              &(unet_extras){ .control = sum });
    tn_to_f32(cx, y, noise, count);
    parity_ok(cx);
    for (int i = 0; i < 3; i++)
        weights_destroy(&w[i]);
}

void parity_controlnet(parity *c)
{
    tn_context *cx;
    hds_error error = { 0 };
    parity_status(tn_context_create(&cx, 0, &error), &error);
    size_t count = json_array_size(json_object_get(c->entry, "models")) - 1;
    parity_controlled in = { .count = count,
                             .latents = parity_input(c, cx, "latents"),
                             .text = parity_input(c, cx, "encoder_hidden_states") };
    in.timestep = (float)parity_parameter(c, "timestep");
    for (size_t i = 0; i < count; i++) {
        char picture[48] = "controlnet_cond", scale[48] = "conditioning_scale";
        if (count > 1) {
            snprintf(picture, sizeof picture, "controlnet_cond_%zu", i + 1);
            snprintf(scale, sizeof scale, "conditioning_scale_%zu", i + 1);
        }
        in.pictures[i] = parity_input(c, cx, picture);
        in.scales[i] = parity_parameter(c, scale);
    }
    size_t numbers = tn_count(cx, in.latents);
    float *noise = malloc(numbers * sizeof *noise);
    assert_non_null(noise);
    unet_residuals sum = { .count = 0 };
    parity_control(c, cx, "", &in, &sum, noise, numbers);
    parity_check_numbers(c, "noise_pred", noise, numbers);
    for (int i = 0; i < sum.count; i++) {
        char name[40];
        snprintf(name, sizeof name, "down_block_res_samples.%d", i);
        parity_check(c, name, cx, sum.down[i]);
    }
    parity_check(c, "mid_block_res_sample", cx, sum.mid);
    free(noise);
    tn_context_destroy(&cx);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The networks against recorded numbers of the reference implementation: one test for each case of
 * the manifest, each output within the manifest's tolerance, no output forgotten. */
#include "headsds/prior.h"
#include "parity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static tn_context *context(void)
{
    tn_context *cx;
    hds_error error = { 0 };
    parity_status(tn_context_create(&cx, 0, &error), &error);
    return cx;
}

static weights *load(const parity *c, tn_context *cx, const char *file)
{
    char *path = parity_model(c, json_array_size(json_object_get(c->entry, "models")) - 1, file);
    weights *w = weights_load(cx, path, WEIGHTS_FROZEN);
    parity_ok(cx);
    hds_free(path);
    return w;
}

static char *config_path(const parity *c)
{
    return parity_model(c, json_array_size(json_object_get(c->entry, "models")) - 1, "config.json");
}

static void close_all(tn_context *cx, weights *w)
{
    parity_ok(cx);
    weights_destroy(&w);
    tn_context_destroy(&cx);
}

static void text_encoder(parity *c)
{
    tn_context *cx = context();
    weights *w = load(c, cx, "model.safetensors");
    at root = at_root(cx, w);
    clip_text_config config;
    hds_error error = { 0 };
    char *path = config_path(c);
    parity_status(clip_text_config_load(&config, path, &error), &error);
    clip_text_survey(&config, &root);

    int64_t count;
    int64_t *ids = parity_ids(c, "ids", &count);
    tn *states = clip_text_encode(&config, &root, ids, count, HDS_TOKENS, 0);
    parity_check(c, "last_hidden_state", cx, states);
    parity_check(c, "pooled", cx, clip_text_pool(&config, &root, states, ids));
    parity_check(c, "clip_skip1_last_hidden_state", cx,
                 clip_text_encode(&config, &root, ids, count, HDS_TOKENS, 1));
    for (int i = 0; i <= config.layers; i++) {
        char name[32];
        snprintf(name, sizeof name, "hidden_states.%d", i);
        parity_check(c, name, cx, clip_text_hidden(&config, &root, ids, 2, HDS_TOKENS, i));
    }
    free(ids);
    hds_free(path);
    close_all(cx, w);
}

static weights *open_vae(const parity *c, tn_context *cx, vae_config *config)
{
    weights *w = load(c, cx, "diffusion_pytorch_model.safetensors");
    at root = at_root(cx, w);
    hds_error error = { 0 };
    char *path = config_path(c);
    parity_status(vae_config_load(config, path, &error), &error);
    vae_survey(config, &root);
    parity_ok(cx);
    hds_free(path);
    return w;
}

static void vae_encode_case(parity *c)
{
    tn_context *cx = context();
    vae_config config;
    weights *w = open_vae(c, cx, &config);
    at root = at_root(cx, w);
    tn_set_grad(cx, true);
    tn *image = tn_leaf(cx, parity_input(c, cx, "image"));
    vae_moments m = vae_encode(&config, &root, image);
    tn *latents = tn_affine(cx, m.mean, config.scaling, 0);
    parity_check(c, "mean", cx, m.mean);
    parity_check(c, "logvar", cx, m.logvar);
    parity_check(c, "latents", cx, latents);
    tn *deviation = tn_exp(cx, tn_affine(cx, m.logvar, 0.5, 0));
    tn *noise = tn_mul(cx, deviation, parity_input(c, cx, "posterior_noise"));
    parity_check(c, "sampled_latents", cx,
                 tn_affine(cx, tn_add(cx, m.mean, noise), config.scaling, 0));
    tn *upstream = parity_input(c, cx, "upstream_grad_latents");
    parity_check(c, "grad_image", cx, tn_vjp(cx, latents, image, upstream));
    close_all(cx, w);
}

static void vae_decode_case(parity *c)
{
    tn_context *cx = context();
    vae_config config;
    weights *w = open_vae(c, cx, &config);
    at root = at_root(cx, w);
    tn_set_grad(cx, true);
    tn *latents = tn_leaf(cx, parity_input(c, cx, "latents"));
    tn *image = vae_decode(&config, &root, tn_affine(cx, latents, 1 / config.scaling, 0));
    parity_check(c, "image", cx, image);
    tn *upstream = parity_input(c, cx, "upstream_grad_image");
    parity_check(c, "grad_latents", cx, tn_vjp(cx, image, latents, upstream));
    close_all(cx, w);
}

typedef struct probed {
    parity *c;
    tn_context *cx;
} probed;

static void compare_module(void *context, const char *path, const tn *output)
{
    probed *p = context;
    if (parity_expects(p->c, path))
        parity_check(p->c, path, p->cx, output);
}

static void unet_case(parity *c)
{
    tn_context *cx = context();
    weights *w = load(c, cx, "diffusion_pytorch_model.safetensors");
    at root = at_root(cx, w);
    unet_config config;
    hds_error error = { 0 };
    char *path = config_path(c);
    parity_status(unet_config_load(&config, path, &error), &error);
    unet_survey(&config, &root);
    parity_ok(cx);

    const io_tensor *t = parity_find(c, "timestep");
    int64_t count = t->dims ? t->shape[0] : 1;
    float timesteps[16];
    assert_in_range(count, 1, 16);
    io_to_f32(t->data, t->dtype, timesteps, (size_t)count);
    probed p = { c, cx };
    weights_set_probe(w, compare_module, &p);
    tn *latents = parity_input(c, cx, "latents");
    tn *text = parity_input(c, cx, "encoder_hidden_states");
    parity_check(c, "noise_pred", cx,
                 unet_forward(&config, &root, latents, timesteps, count, text));
    hds_free(path);
    close_all(cx, w);
}

static const struct {
    const char *kind;
    parity_handler run;
} kinds[] = {
    { "text_encoder", text_encoder },
    { "vae_encode", vae_encode_case },
    { "vae_decode", vae_decode_case },
    { "unet", unet_case },
    { "unet_intermediates", unet_case },
    { "sds", parity_sds },
    { "controlnet", parity_controlnet },
    { "multi_controlnet", parity_controlnet },
    { "sample", parity_sample },
    { "lora", parity_lora },
    { "attention_maps", parity_attention },
    { "clip", parity_clip },
};

/* The function for a case, or NULL and the reason printed. */
static parity_handler handler_of(const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    const char *id = json_string_value(json_object_get(entry, "id"));
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if (!strcmp(kinds[k].kind, kind))
            return kinds[k].run;
    /* these have tests of their own */
    if (strcmp(kind, "tokenizer") && strncmp(kind, "scheduler", 9))
        printf("not yet handled: %s (%s)\n", id, kind);
    return NULL;
}

int main(void)
{
    return parity_main("parity", handler_of);
}

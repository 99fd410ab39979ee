/* SPDX-License-Identifier: Apache-2.0 */
/* A prior with random weights: a diffusers folder of given configurations, with the sample prior's
 * tokenizer and schedule. */
#ifndef HDS_TEST_RANDOM_PRIOR_H
#define HDS_TEST_RANDOM_PRIOR_H

#include "diffusion/diffusion.h"

#include <unistd.h>

typedef struct random_prior {
    const char *folder;     /* to write, exists */
    const char *sample;     /* the sample prior's folder: absolute */
    const char *configs[3]; /* JSON of text_encoder, vae, unet; NULL: the sample prior's */
    uint64_t seed;
} random_prior;

static const char *const random_prior_parts[] = { "text_encoder", "vae", "unet" };

static inline hds_status random_prior_config(const random_prior *p, int part, char **path,
                                             hds_error *error)
{
    const char *name = random_prior_parts[part];
    char *folder = io_join(p->folder, name),
         *from = hds_format("%s/%s/config.json", p->sample, name);
    *path = hds_format("%s/%s/config.json", p->folder, name);
    hds_status status = io_make_folders(folder, error);
    json_t *json = NULL;
    if (status == HDS_OK && p->configs[part])
        json = json_loads(p->configs[part], 0, NULL);
    else if (status == HDS_OK)
        status = io_json_load(&json, from, error);
    if (status == HDS_OK)
        status = io_json_save(json, *path, error);
    json_decref(json);
    hds_free(folder);
    hds_free(from);
    return status;
}

/* Writes one network's configuration, and the weights that its survey makes. */
static inline hds_status random_prior_network(const random_prior *p, int part, tn_context *cx,
                                              hds_error *error)
{
    char *config;
    weights *w = weights_create(cx, p->seed + (uint64_t)part);
    at root = at_root(cx, w);
    clip_text_config clip;
    vae_config vae;
    unet_config unet;
    hds_status status = random_prior_config(p, part, &config, error);
    if (status == HDS_OK)
        status = part == 0   ? clip_text_config_load(&clip, config, error)
                 : part == 1 ? vae_config_load(&vae, config, error)
                             : unet_config_load(&unet, config, error);
    if (status == HDS_OK) {
        if (part == 0)
            clip_text_survey(&clip, &root);
        else if (part == 1)
            vae_survey(&vae, &root);
        else
            unet_survey(&unet, &root);
        status = tn_check(cx, error);
    }
    char *path = hds_format("%s/%s/%s.safetensors", p->folder, random_prior_parts[part],
                            part ? "diffusion_pytorch_model" : "model");
    if (status == HDS_OK)
        status = weights_save(w, path, IO_F32, error);
    hds_free(config);
    hds_free(path);
    weights_destroy(&w);
    return status;
}

static inline hds_status random_prior_write(const random_prior *p, hds_error *error)
{
    static const char *const shared[] = { "tokenizer", "scheduler" };
    tn_context *cx;
    hds_status status = tn_context_create(&cx, 0, error);
    for (int i = 0; i < 2 && status == HDS_OK; i++) {
        char *from = io_join(p->sample, shared[i]), *to = io_join(p->folder, shared[i]);
        if (symlink(from, to))
            status = hds_raise(error, HDS_ERROR_OS, "%s: no link to %s", to, from);
        hds_free(from);
        hds_free(to);
    }
    for (int i = 0; i < 3 && status == HDS_OK; i++)
        status = random_prior_network(p, i, cx, error);
    tn_context_destroy(&cx);
    return status;
}

#endif

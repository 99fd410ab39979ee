/* SPDX-License-Identifier: Apache-2.0 */
/* A prior from the files of a latent diffusion model: a diffusers folder, or one file of weights
 * and a folder for its configuration. */
#include "prior_priv.h"

#include <stdlib.h>
#include <string.h>

static const char layout[] =
    "a diffusers folder with tokenizer, text_encoder, vae, unet, scheduler";

/* A path below the prior's folder; new. */
static char *below(const hds_prior *p, const char *part, const char *file)
{
    return file ? hds_format("%s/%s/%s", p->folder, part, file)
                : hds_format("%s/%s", p->folder, part);
}

static hds_status no_memory(const hds_prior *p, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", p->path ? p->path : "prior");
}

static hds_status load_configs(hds_prior *p, hds_error *error)
{
    char *clip = below(p, "text_encoder", "config.json");
    char *vae =
        p->vae_folder ? io_join(p->vae_folder, "config.json") : below(p, "vae", "config.json");
    char *unet = below(p, "unet", "config.json"), *tokenizer = below(p, "tokenizer", NULL);
    char *scheduler = below(p, "scheduler", "scheduler_config.json");
    char *card = below(p, "headsds.json", NULL);
    hds_status status = HDS_OK;
    if (!clip || !vae || !unet || !tokenizer || !scheduler || !card)
        status = no_memory(p, error);
    if (status == HDS_OK)
        status = text_tokenizer_load(&p->tokenizer, tokenizer, error);
    if (status == HDS_OK)
        status = clip_text_config_load(&p->clip, clip, error);
    if (status == HDS_OK)
        status = vae_config_load(&p->vae, vae, error);
    if (status == HDS_OK)
        status = unet_config_load(&p->unet, unet, error);
    if (status == HDS_OK)
        status = schedule_load(&p->schedule, scheduler, error);
    if (status == HDS_OK)
        status = prior_card_load(&p->card, card, error);
    hds_free(clip);
    hds_free(vae);
    hds_free(unet);
    hds_free(tokenizer);
    hds_free(scheduler);
    hds_free(card);
    return status;
}

/* What the parts must agree on, and what these calls are made for. */
static hds_status check_configs(const hds_prior *p, hds_error *error)
{
    const unet_config *u = &p->unet;
    if (u->text_width != p->clip.width)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: unet: \"cross_attention_dim\" is %d, expected %d, the text encoder's "
                         "\"hidden_size\"",
                         p->path, u->text_width, p->clip.width);
    hds_status status = prior_check_tokens(p->tokenizer, p->clip.vocabulary, p->path, error);
    if (status != HDS_OK)
        return status;
    if (p->clip.positions < HDS_TOKENS)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: text_encoder: \"max_position_embeddings\" is %d, expected %d",
                         p->path, p->clip.positions, HDS_TOKENS);
    if (u->in_channels == 2 * p->vae.latent_channels + 1)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: unet: %d input channels: an inpainting model, which heads are not "
                         "made with; take the model that it was made from, or an InstructPix2Pix",
                         p->path, u->in_channels);
    if ((u->in_channels != p->vae.latent_channels && !prior_edits(p)) ||
        u->out_channels != p->vae.latent_channels)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: unet: %d channels in and %d out, expected %d, the VAE's "
                         "\"latent_channels\", and %d or twice as many in (InstructPix2Pix)",
                         p->path, u->in_channels, u->out_channels, p->vae.latent_channels,
                         p->vae.latent_channels);
    if (p->vae.latent_channels != 4)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: vae: \"latent_channels\" is %d, expected 4 (Stable Diffusion 1 and "
                         "2)",
                         p->path, p->vae.latent_channels);
    if (p->vae.image_channels != 3 || p->vae.levels != 4)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: vae: %d channels and %d levels, expected 3 and 4 (latents of an "
                         "eighth of the picture)",
                         p->path, p->vae.image_channels, p->vae.levels);
    return HDS_OK;
}

/* How the weights of a part are found: in a file, or in its folder. */
typedef struct network {
    const char *name, *stem;
    weights_adopt of_file, of_folder;
    const void *config;
} network;

static weights *open_file(const hds_prior *p, const network *part, const char *path)
{
    char *place = hds_format("%s: %s", path, part->name);
    weights_source source = { &path, 1, part->of_file, (void *)(uintptr_t)part->config };
    weights *w = place ? weights_open(p->cx, place, &source, WEIGHTS_FROZEN) : NULL;
    if (!place)
        tn_fail(p->cx, HDS_ERROR_MEMORY, "%s: out of memory", p->path);
    hds_free(place);
    return w;
}

static weights *open_folder(const hds_prior *p, const network *part)
{
    char *place = below(p, part->name, NULL);
    weights *w = place ? prior_part_open(p->cx, place, part->stem, part->of_folder) : NULL;
    if (!place)
        tn_fail(p->cx, HDS_ERROR_MEMORY, "%s: out of memory", p->path);
    hds_free(place);
    return w;
}

static hds_status load_networks(hds_prior *p, hds_error *error)
{
    static const char stem[] = "diffusion_pytorch_model";
    const network parts[] = {
        { "text_encoder", "model", prior_adopt_text, prior_adopt_text_part, &p->clip },
        { "vae", stem, prior_adopt_vae, NULL, &p->vae },
        { "unet", stem, prior_adopt_unet, NULL, &p->unet },
    };
    enum { PARTS = sizeof parts / sizeof *parts, VAE = 1 };
    weights **const loaded[PARTS] = { &p->clip_weights, &p->vae_weights, &p->unet_weights };
    for (int k = 0; k < PARTS; k++) {
        if (k == VAE && p->vae_folder)
            *loaded[k] = prior_part_open(p->cx, p->vae_folder, stem, NULL);
        else if (k == VAE && p->vae_file)
            *loaded[k] = open_file(p, &parts[k], p->vae_file);
        else
            *loaded[k] =
                p->path == p->folder ? open_folder(p, &parts[k]) : open_file(p, &parts[k], p->path);
        if (*loaded[k])
            weights_fold_scales(*loaded[k]);
    }
    if (!tn_failed(p->cx)) {
        weights_set_type(p->unet_weights, p->type);
        at clip = at_root(p->cx, p->clip_weights), vae = at_root(p->cx, p->vae_weights);
        at unet = at_root(p->cx, p->unet_weights);
        clip_text_survey(&p->clip, &clip);
        vae_survey(&p->vae, &vae);
        unet_survey(&p->unet, &unet);
    }
    return tn_check(p->cx, error);
}

/* Sets path and folder. */
static hds_status find_files(hds_prior *p, const hds_prior_params *params, hds_error *error)
{
    const char *config = params ? params->config : NULL;
    hds_status status = HDS_OK;
    if (!params || !params->path)
        status = io_data_path(&p->path, "prior", error);
    else if (!(p->path = hds_strdup(params->path)))
        status = no_memory(p, error);
    if (status != HDS_OK)
        return status;
    bool folder = io_is_folder(p->path);
    if (!folder && !io_exists(p->path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND, "%s: no such file or folder, expected %s",
                         p->path, layout);
    if (folder && config)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "config is given, but %s is a folder and has its own", p->path);
    if (!folder && !config)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s is one file, which holds neither tokenizer nor configuration: give "
                         "config, a diffusers folder of the same kind of model",
                         p->path);
    if (!folder && !io_is_folder(config))
        return hds_raise(error, HDS_ERROR_NOT_FOUND, "config: %s: %s, expected %s", config,
                         io_exists(config) ? "not a folder" : "no such folder", layout);
    p->folder = folder ? p->path : hds_strdup(config);
    return p->folder ? HDS_OK : no_memory(p, error);
}

/* A VAE in place of the model's: a diffusers folder of one, a model's folder that has one, or a
 * file.
 */
static hds_status find_vae(hds_prior *p, const char *path, hds_error *error)
{
    if (!path)
        return HDS_OK;
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND, "vae: %s: no such file or folder", path);
    if (!io_is_folder(path)) {
        p->vae_file = hds_strdup(path);
        return p->vae_file ? HDS_OK : no_memory(p, error);
    }
    char *own = hds_format("%s/config.json", path), *inner = hds_format("%s/vae", path);
    char *inner_config = hds_format("%s/vae/config.json", path);
    hds_status status = HDS_OK;
    if (!own || !inner || !inner_config)
        status = no_memory(p, error);
    else if (io_exists(own) || io_exists(inner_config))
        p->vae_folder = hds_strdup(io_exists(own) ? path : inner);
    else
        status = hds_raise(error, HDS_ERROR_NOT_FOUND,
                           "vae: %s: no config.json, expected the vae folder of a diffusers model, "
                           "or a file of a VAE",
                           path);
    if (status == HDS_OK && !p->vae_folder)
        status = no_memory(p, error);
    hds_free(own);
    hds_free(inner);
    hds_free(inner_config);
    return status;
}

/* What one file says of itself; its marks go before its configuration's words. */
static hds_status look_at_file(hds_prior *p, hds_error *error)
{
    prior_single single;
    if (p->path == p->folder)
        return HDS_OK;
    hds_status status = prior_single_look(&single, p->path, p->vae_file || p->vae_folder, error);
    p->schedule.velocity = p->schedule.velocity || single.velocity;
    if (status == HDS_OK && single.ends_at_zero)
        schedule_end_at_zero(&p->schedule);
    return status;
}

hds_status prior_open(hds_prior **prior, const hds_prior_params *params, hds_error *error)
{
    hds_prior *p = hds_alloc(1, sizeof *p);
    *prior = NULL;
    if (!p)
        return hds_raise(error, HDS_ERROR_MEMORY, "prior: out of memory");
    p->references = 1;
    pthread_mutex_init(&p->lock, NULL);
    hds_status status = find_files(p, params, error);
    if (status == HDS_OK && params)
        status = find_vae(p, params->vae, error);
    if (status == HDS_OK)
        status = load_configs(p, error);
    if (status == HDS_OK)
        status = look_at_file(p, error);
    if (status == HDS_OK)
        status = check_configs(p, error);
    if (status == HDS_OK)
        status = prior_device_open(&p->cx, &p->device, &p->type,
                                   &(prior_device_params){ .device = params ? params->device : NULL,
                                                           .dtype = params ? params->dtype : NULL,
                                                           .channels = p->unet.channels[0] },
                                   error);
    if (status == HDS_OK)
        status = load_networks(p, error);
    for (size_t i = 0; status == HDS_OK && params && i < params->lora_count; i++)
        status = prior_lora_load(p, &params->loras[i], error);
    for (size_t i = 0; status == HDS_OK && params && i < params->embedding_count; i++)
        status = prior_embedding_load(p, &params->embeddings[i], error);
    if (status == HDS_OK && params)
        status = prior_controls_load(p, params, error);
    if (status == HDS_OK)
        *prior = p;
    else
        prior_close(p);
    return status;
}

void prior_close(hds_prior *p)
{
    weights_destroy(&p->clip_weights);
    weights_destroy(&p->vae_weights);
    weights_destroy(&p->unet_weights);
    prior_controls_finish(p);
    for (prior_lora *l = p->loras, *next; l; l = next) {
        next = l->next;
        hds_free(l);
    }
    prior_embeddings_finish(p);
    json_decref(p->record);
    tn_context_destroy(&p->cx);
    text_tokenizer_destroy(&p->tokenizer);
    schedule_finish(&p->schedule);
    prior_card_finish(&p->card);
    pthread_mutex_destroy(&p->lock);
    if (p->folder != p->path)
        hds_free(p->folder);
    hds_free(p->path);
    hds_free(p->vae_file);
    hds_free(p->vae_folder);
    hds_free(p->notes);
    hds_free(p->device);
    hds_free(p->key);
    hds_free(p);
}

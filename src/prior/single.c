/* SPDX-License-Identifier: Apache-2.0 */
/* Stable Diffusion in one file, with the names of the original release (CompVis/stable-diffusion;
 * Stability-AI/stablediffusion for 2): its tensors under the names that diffusers has for them.
 * What is neither text encoder, VAE, UNet nor ControlNet (training state, schedule buffers) is left
 * out.
 *
 * The original counts the UNet's blocks in one row: input_blocks.0 is conv_in, then each level has
 * `layers` residual blocks and, but for the last, a downsampler; output_blocks the other way. */
#include "prior/prior.h"

#include <stdio.h>
#include <string.h>

enum { NAME = PRIOR_NAME };

typedef struct renaming {
    const char *from, *to;
} renaming;

/* Replaces the beginning `from` of *rest by `to` at the end of `name`, or the other way round where
 * it goes `back`; false: it begins otherwise. */
static bool replace(char *name, const char **rest, bool back, const renaming *list, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        const char *from = back ? list[k].to : list[k].from;
        size_t length = strlen(from);
        if (strncmp(*rest, from, length))
            continue;
        strncat(name, back ? list[k].from : list[k].to, NAME - strlen(name) - 1);
        *rest += length;
        return true;
    }
    return false;
}
#define REPLACE(name, rest, list) replace(name, rest, false, list, sizeof(list) / sizeof *(list))
#define PUT_BACK(name, rest, list) replace(name, rest, true, list, sizeof(list) / sizeof *(list))

static void finish(char *name, const char *rest)
{
    strncat(name, rest, NAME - strlen(name) - 1);
}

/* What a residual block of the UNet calls its layers; those of a transformer have their names. */
static const renaming unet_leaves[] = {
    { "in_layers.0.", "norm1." },          { "in_layers.2.", "conv1." },
    { "emb_layers.1.", "time_emb_proj." }, { "out_layers.0.", "norm2." },
    { "out_layers.3.", "conv2." },         { "skip_connection.", "conv_shortcut." },
};
static const renaming unet_ends[] = {
    { "time_embed.0.", "time_embedding.linear_1." },
    { "time_embed.2.", "time_embedding.linear_2." },
    { "input_blocks.0.0.", "conv_in." },
    { "middle_block.0.", "mid_block.resnets.0." },
    { "middle_block.1.", "mid_block.attentions.0." },
    { "middle_block.2.", "mid_block.resnets.1." },
    { "out.0.", "conv_norm_out." },
    { "out.2.", "conv_out." },
};

static bool unet_name(const unet_config *c, const char *rest, char name[NAME])
{
    int row, part, used = 0, blocks = c->layers + 1;
    if (sscanf(rest, "output_blocks.%3d.%3d.%n", &row, &part, &used) == 2 && used) {
        rest += used;
        const char *kind = part == 0 ? "resnets" : "attentions";
        if (!strncmp(rest, "conv.", 5))
            snprintf(name, NAME, "up_blocks.%d.upsamplers.0.", row / blocks);
        else
            snprintf(name, NAME, "up_blocks.%d.%s.%d.", row / blocks, kind, row % blocks);
    } else if (!REPLACE(name, &rest, unet_ends)) {
        if (sscanf(rest, "input_blocks.%3d.%3d.%n", &row, &part, &used) != 2 || !used || row < 1)
            return false;
        rest += used;
        int block = (row - 1) / blocks, layer = (row - 1) % blocks;
        static const renaming down[] = { { "op.", "conv." } };
        snprintf(name, NAME, "down_blocks.%d.%s.%d.", block,
                 layer == c->layers ? "downsamplers"
                 : part == 0        ? "resnets"
                                    : "attentions",
                 layer == c->layers ? 0 : layer);
        if (layer == c->layers)
            REPLACE(name, &rest, down);
    }
    REPLACE(name, &rest, unet_leaves);
    finish(name, rest);
    return true;
}

/* unet_name's inverse. */
bool prior_unet_original(const unet_config *c, const char *name, char original[PRIOR_NAME])
{
    int level, layer, used = 0, rows = c->layers + 1;
    const char *rest = name;
    original[0] = 0;
    if (PUT_BACK(original, &rest, unet_ends)) {
        ;
    } else if (sscanf(rest, "%*[a-z]_blocks.%1d.", &level) != 1 || level >= c->levels) {
        return false;
    } else if (sscanf(rest, "down_blocks.%*d.downsamplers.0.conv.%n", &used) == 0 && used) {
        snprintf(original, NAME, "input_blocks.%d.0.op.", 1 + level * rows + c->layers);
    } else if (sscanf(rest, "up_blocks.%*d.upsamplers.0.%n", &used) == 0 && used) {
        snprintf(original, NAME, "output_blocks.%d.%d.", level * rows + c->layers,
                 c->up_attention[level] ? 2 : 1);
    } else if (sscanf(rest, "down_blocks.%*d.resnets.%2d.%n", &layer, &used) == 1 && used) {
        snprintf(original, NAME, "input_blocks.%d.0.", 1 + level * rows + layer);
    } else if (sscanf(rest, "down_blocks.%*d.attentions.%2d.%n", &layer, &used) == 1 && used) {
        snprintf(original, NAME, "input_blocks.%d.1.", 1 + level * rows + layer);
    } else if (sscanf(rest, "up_blocks.%*d.resnets.%2d.%n", &layer, &used) == 1 && used) {
        snprintf(original, NAME, "output_blocks.%d.0.", level * rows + layer);
    } else if (sscanf(rest, "up_blocks.%*d.attentions.%2d.%n", &layer, &used) == 1 && used) {
        snprintf(original, NAME, "output_blocks.%d.1.", level * rows + layer);
    } else {
        return false;
    }
    rest += used;
    PUT_BACK(original, &rest, unet_leaves);
    finish(original, rest);
    return true;
}

static const renaming vae_ends[] = {
    { "mid.block_1.", "mid_block.resnets.0." },
    { "mid.attn_1.", "mid_block.attentions.0." },
    { "mid.block_2.", "mid_block.resnets.1." },
    { "norm_out.", "conv_norm_out." },
};
static const renaming vae_leaves[] = {
    { "nin_shortcut.", "conv_shortcut." },
    { "norm.", "group_norm." },
    { "q.", "to_q." },
    { "k.", "to_k." },
    { "v.", "to_v." },
    { "proj_out.", "to_out.0." },
};

static void vae_name(const vae_config *c, const char *rest, char name[NAME])
{
    static const renaming sides[] = { { "encoder.", "encoder." }, { "decoder.", "decoder." } };
    if (REPLACE(name, &rest, sides) && !REPLACE(name, &rest, vae_ends)) {
        size_t length = strlen(name);
        int level, layer, used = 0;
        if (sscanf(rest, "down.%3d.block.%3d.%n", &level, &layer, &used) == 2 && used)
            snprintf(name + length, NAME - length, "down_blocks.%d.resnets.%d.", level, layer);
        else if (sscanf(rest, "up.%3d.block.%3d.%n", &level, &layer, &used) == 2 && used)
            snprintf(name + length, NAME - length, "up_blocks.%d.resnets.%d.",
                     c->levels - 1 - level, layer);
        else if (sscanf(rest, "down.%3d.downsample.%n", &level, &used) == 1 && used)
            snprintf(name + length, NAME - length, "down_blocks.%d.downsamplers.0.", level);
        else if (sscanf(rest, "up.%3d.upsample.%n", &level, &used) == 1 && used)
            snprintf(name + length, NAME - length, "up_blocks.%d.upsamplers.0.",
                     c->levels - 1 - level);
        rest += used;
    }
    REPLACE(name, &rest, vae_leaves);
    finish(name, rest);
}

/* The second of each pair is that of a newer code of the same houses. */
static const char *const text_prefixes[] = { "cond_stage_model.transformer.",
                                             "conditioner.embedders.0.transformer." };
static const char *const open_clip_prefixes[] = { "cond_stage_model.model.",
                                                  "conditioner.embedders.0.model." };

static const renaming clip_ends[] = {
    { "token_embedding.", "text_model.embeddings.token_embedding." },
    { "positional_embedding", "text_model.embeddings.position_embedding.weight" },
    { "ln_final.", "text_model.final_layer_norm." },
};
static const renaming clip_leaves[] = {
    { "ln_1.", "layer_norm1." },
    { "ln_2.", "layer_norm2." },
    { "attn.out_proj.", "self_attn.out_proj." },
    { "mlp.c_fc.", "mlp.fc1." },
    { "mlp.c_proj.", "mlp.fc2." },
};

/* OpenCLIP keeps the three projections of attention in one matrix: rows of q, of k, of v. */
static void put_thirds(weights *w, const char *layer, const char *leaf, const io_tensor *t)
{
    static const char *const parts[] = { "q_proj", "k_proj", "v_proj" };
    int64_t shape[IO_MAX_DIMS];
    memcpy(shape, t->shape, sizeof shape);
    shape[0] /= 3;
    for (size_t k = 0; k < 3; k++) {
        char name[NAME];
        snprintf(name, sizeof name, "%sself_attn.%s.%s", layer, parts[k], leaf);
        weights_put(w, name, t->dims, shape, t->dtype, (const char *)t->data + k * (t->size / 3));
    }
}

/* Stable Diffusion 2's text encoder. Layers above those of the configuration are left out: it takes
 * the states of the last but one. */
static void put_open_clip(const clip_text_config *c, weights *w, const char *rest,
                          const io_tensor *t)
{
    char name[NAME] = "";
    int layer, used = 0;
    if (sscanf(rest, "transformer.resblocks.%3d.%n", &layer, &used) == 1 && used) {
        if (layer >= c->layers)
            return;
        snprintf(name, sizeof name, "text_model.encoder.layers.%d.", layer);
        rest += used;
        bool thirds = t->dims > 0 && t->shape[0] % 3 == 0;
        if (thirds && !strcmp(rest, "attn.in_proj_weight")) {
            put_thirds(w, name, "weight", t);
            return;
        }
        if (thirds && !strcmp(rest, "attn.in_proj_bias")) {
            put_thirds(w, name, "bias", t);
            return;
        }
        REPLACE(name, &rest, clip_leaves);
    } else if (!REPLACE(name, &rest, clip_ends)) {
        return; /* text_projection, logit_scale */
    }
    finish(name, rest);
    weights_put(w, name, t->dims, t->shape, t->dtype, t->data);
}

/* The 1x1 convolutions of the VAE's attention are linear layers here. */
static void put(weights *w, const char *name, const io_tensor *t, bool flat)
{
    bool point = flat && t->dims == 4 && t->shape[2] == 1 && t->shape[3] == 1;
    weights_put(w, name, point ? 2 : t->dims, t->shape, t->dtype, t->data);
}

static const char *after(const char *text, const char *prefix)
{
    size_t length = strlen(prefix);
    return strncmp(text, prefix, length) ? NULL : text + length;
}

void prior_adopt_unet(void *config, weights *w, const io_tensor *t)
{
    char name[NAME] = "";
    const char *rest = after(t->name, "model.diffusion_model.");
    if (rest && unet_name(config, rest, name))
        put(w, name, t, false);
}

/* What comes after whichever prefix the name has, or NULL. */
static const char *after_any(const char *text, const char *const *prefixes, size_t count)
{
    const char *rest = NULL;
    for (size_t k = 0; k < count && !rest; k++)
        rest = after(text, prefixes[k]);
    return rest;
}
#define AFTER_ANY(text, list) after_any(text, list, sizeof(list) / sizeof *(list))

/* A VAE's file of its own has none of the prefixes. */
static const char *vae_rest(const char *name)
{
    static const char *const prefixes[] = { "first_stage_model.", "vae.", "" };
    static const char *const parts[] = { "encoder.", "decoder.", "quant_conv.",
                                         "post_quant_conv." };
    const char *rest = AFTER_ANY(name, prefixes);
    return AFTER_ANY(rest, parts) ? rest : NULL; /* else losses, averages */
}

void prior_adopt_vae(void *config, weights *w, const io_tensor *t)
{
    char name[NAME] = "";
    const char *rest = vae_rest(t->name);
    if (!rest)
        return;
    vae_name(config, rest, name);
    put(w, name, t, strstr(name, "attentions.0.to_") != NULL);
}

/* transformers 5 and some merges leave "text_model." out. What only a projected text embedding
 * needs is left out here. */
void prior_adopt_text_part(void *config, weights *w, const io_tensor *t)
{
    static const char *const parts[] = { "embeddings.", "encoder.", "final_layer_norm." };
    static const char *const spare[] = { "text_projection.", "logit_scale" };
    char name[NAME] = "";
    (void)config;
    const char *rest = AFTER_ANY(t->name, text_prefixes);
    rest = rest ? rest : t->name;
    if (AFTER_ANY(rest, spare))
        return;
    if (AFTER_ANY(rest, parts))
        snprintf(name, sizeof name, "text_model.");
    finish(name, rest);
    put(w, name, t, false);
}

void prior_adopt_text(void *config, weights *w, const io_tensor *t)
{
    const char *open = AFTER_ANY(t->name, open_clip_prefixes);
    if (open)
        put_open_clip(config, w, open, t);
    else if (AFTER_ANY(t->name, text_prefixes))
        prior_adopt_text_part(config, w, t);
}

/* ---- what a file is, when it is not a whole model ---- */

static bool has(const io_tensors *file, const char *part)
{
    bool found = false;
    for (size_t i = 0; i < file->count && !found; i++)
        found = strstr(file->tensors[i].name, part) != NULL;
    return found;
}

static bool begins(const io_tensors *file, const char *prefix)
{
    bool found = false;
    for (size_t i = 0; i < file->count && !found; i++)
        found = after(file->tensors[i].name, prefix) != NULL;
    return found;
}

/* Asked in this order. */
static const struct {
    const char *part, *what;
} others[] = {
    { "conditioner.embedders.1.", "Stable Diffusion XL; take a Stable Diffusion 1 or 2" },
    { "joint_blocks.", "Stable Diffusion 3; take a Stable Diffusion 1 or 2" },
    { "double_blocks.", "a transformer as Flux is; take a Stable Diffusion 1 or 2" },
    { "lora_", "a LoRA; give it as one of loras, beside a prior" },
    { "hada_w1", "a LoHa; give it as one of loras, beside a prior" },
    { "lokr_w", "a LoKr; give it as one of loras, beside a prior" },
    { "control_model.", "a ControlNet; give it as depth or texture, beside a prior" },
    { "controlnet_cond_embedding.", "a ControlNet; give it as depth or texture, beside a prior" },
    { "string_to_param", "a textual inversion, which is no prior" },
};

static hds_status missing(const char *path, const char *what, const char *cure, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_FORMAT, "%s: holds no %s; %s", path, what, cure);
}

static hds_status check_parts(const io_tensors *file, const char *path, bool vae_elsewhere,
                              hds_error *error)
{
    bool unet = begins(file, "model.diffusion_model."), vae = false, text = false;
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        vae = vae || vae_rest(name);
        text = text || AFTER_ANY(name, text_prefixes) || AFTER_ANY(name, open_clip_prefixes);
    }
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if ((!unet || k < 3) && has(file, others[k].part))
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: this is %s", path, others[k].what);
    if (!unet && vae && !text)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: this is a VAE; give it as vae, beside a prior", path);
    if (!unet)
        return missing(path, "UNet (model.diffusion_model.*)",
                       "expected the names of the original release: one in diffusers' names is "
                       "loaded from its folder",
                       error);
    if (!text)
        return missing(path, "text encoder (cond_stage_model.*)",
                       "take the model's whole file, not its UNet alone", error);
    if (!vae && !vae_elsewhere)
        return missing(path, "VAE (first_stage_model.*)",
                       "give one as vae: a diffusers VAE folder, that of config for one, or a file "
                       "of a VAE",
                       error);
    return HDS_OK;
}

hds_status prior_single_look(prior_single *s, const char *path, bool vae_elsewhere,
                             hds_error *error)
{
    io_tensors file;
    hds_status status = io_tensors_open(&file, path, error);
    *s = (prior_single){ false, false };
    if (status != HDS_OK)
        return status;
    status = check_parts(&file, path, vae_elsewhere, error);
    s->velocity = io_tensors_find(&file, "v_pred");
    s->ends_at_zero = s->velocity && io_tensors_find(&file, "ztsnr");
    io_tensors_close(&file);
    return status;
}

/* ControlNet (lllyasviel): the UNet's way down; a row of convolutions on the picture, with an
 * activation after each; and one convolution for each output. */
void prior_adopt_control(void *config, weights *w, const io_tensor *t)
{
    const controlnet_config *c = config;
    char name[NAME] = "";
    int row, used = 0;
    const char *rest = after(t->name, "control_model.");
    if (!rest)
        return;
    static const renaming ends[] = { { "middle_block_out.0.", "controlnet_mid_block." } };
    if (sscanf(rest, "input_hint_block.%3d.%n", &row, &used) == 1 && used) {
        int last = 4 * c->condition_levels - 2;
        if (row == 0 || row == last)
            snprintf(name, NAME, "controlnet_cond_embedding.conv_%s.", row ? "out" : "in");
        else
            snprintf(name, NAME, "controlnet_cond_embedding.blocks.%d.", row / 2 - 1);
    } else if (sscanf(rest, "zero_convs.%3d.0.%n", &row, &used) == 1 && used) {
        snprintf(name, NAME, "controlnet_down_blocks.%d.", row);
    } else if (!REPLACE(name, &rest, ends)) {
        if (unet_name(&c->unet, rest, name))
            put(w, name, t, false);
        return;
    }
    finish(name, rest + used);
    put(w, name, t, false);
}

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

enum { NAME = 320 };

typedef struct renaming {
    const char *from, *to;
} renaming;

/* Replaces the beginning `from` of *rest by `to` at the end of `name`; false: it begins otherwise.
 */
static bool replace(char *name, const char **rest, const renaming *list, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        size_t length = strlen(list[k].from);
        if (strncmp(*rest, list[k].from, length))
            continue;
        strncat(name, list[k].to, NAME - strlen(name) - 1);
        *rest += length;
        return true;
    }
    return false;
}
#define REPLACE(name, rest, list) replace(name, rest, list, sizeof(list) / sizeof *(list))

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

void prior_adopt_vae(void *config, weights *w, const io_tensor *t)
{
    char name[NAME] = "";
    const char *rest = after(t->name, "first_stage_model.");
    if (!rest)
        return;
    vae_name(config, rest, name);
    put(w, name, t, strstr(name, "attentions.0.to_") != NULL);
}

void prior_adopt_text(void *config, weights *w, const io_tensor *t)
{
    const char *rest = after(t->name, "cond_stage_model.transformer.");
    const char *open = after(t->name, "cond_stage_model.model.");
    if (rest)
        put(w, rest, t, false);
    else if (open)
        put_open_clip(config, w, open, t);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* A frozen latent diffusion model: Stable Diffusion, or the built-in sample prior.
 *
 * A prior may be shared: calls from several threads take turns. Pictures are (N,H,W,3) float RGB in
 * [0,1], H and W multiples of 8; latents are (N,4,H/8,W/8), scaled as the UNet wants them.
 * Rombach et al., "High-resolution image synthesis with latent diffusion models", 2022. */
#ifndef HEADSDS_PRIOR_H
#define HEADSDS_PRIOR_H

#include "headsds/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_prior hds_prior;

/* Tokens of a chunk of text: start, 75 tokens at most, end, padding. A longer text has several. */
enum { HDS_TOKENS = 77, HDS_MAX_CHUNKS = 16 };

typedef struct hds_prior_params {
    /* A diffusers folder (Stable Diffusion 1.x or 2.x, or InstructPix2Pix), or a file with the
     * names of the original release; NULL: the built-in sample prior. */
    const char *path;
    /* With a file, which has neither: a diffusers folder whose tokenizer and configurations are
     * the model's. NULL with a folder. */
    const char *config;
    /* In place of the model's own VAE, or for a file that has none: a diffusers folder of a VAE or
     * of a model, or a file of a VAE with the names of the original release or diffusers'; or NULL.
     */
    const char *vae;
    /* Folders of ControlNets (Zhang, Rao, Agrawala 2023) that are copies of its UNet, or NULL: one
     * that sees depth, one that knows textures. */
    const char *depth, *texture;
    const struct hds_lora *loras; /* (lora_count), added in this order; or NULL */
    size_t lora_count;
    /* Where it runs: "cpu", "cuda" or "cuda:N"; NULL or "auto": CUDA where there is one. */
    const char *device;
    /* What the matrices of UNet and ControlNets are kept in, and computed in where the device has
     * instructions for it, else in float32: "float32", "bfloat16" or "float16". NULL or "auto": of
     * a UNet of 256 channels or more float16 on CUDA and bfloat16 on a processor that computes in
     * it, else float32. The text encoder and the VAE stay float32. */
    const char *dtype;
    const struct hds_embedding *embeddings; /* (embedding_count), or NULL */
    size_t embedding_count;
} hds_prior_params;
/* A textual inversion (Gal et al., "An image is worth one word", 2022): vectors that stand in a
 * text for a word of their own. */
typedef struct hds_embedding {
    /* .safetensors, .bin or .pt of diffusers or AUTOMATIC1111's WebUI, or a folder with
     * learned_embeds.safetensors or .bin. */
    const char *path;
    /* The word; NULL: the one that the file names, else the file's name without its ending. */
    const char *token;
} hds_embedding;
/* W + scale (alpha / rank) up down, for the text encoder and the UNet. Hu et al., "LoRA", 2022. */
typedef struct hds_lora {
    const char *path; /* .safetensors, or .bin or .pt, of kohya's, diffusers' or peft's names */
    float scale;
} hds_lora;
/* params: NULL for the defaults. On success *prior is the caller's reference; release it with
 * hds_prior_unref. Loading the same files again returns the same object; it is freed with its
 * last reference. */
HDS_API HDS_NODISCARD hds_status hds_prior_load(hds_prior **prior, const hds_prior_params *params,
                                                hds_error *error);
HDS_API hds_prior *hds_prior_ref(hds_prior *prior);
HDS_API void hds_prior_unref(hds_prior *prior);

typedef struct hds_prior_info {
    const char *path;            /* borrowed */
    int text_width;              /* C of the text embeddings */
    int latent_channels;         /* 4 */
    int sample_size;             /* latent height and width that the UNet was trained for */
    int timestep_count;          /* 1000 */
    const float *alphas_cumprod; /* (timestep_count), borrowed */
    /* A prior that was also trained on UV texture maps says so in headsds.json in its folder: the
     * name of the head model in whose layout they are, and what their captions begin with. Then
     * the texture stage shows it the texture itself. Borrowed; NULL: none. */
    const char *texture_map_head, *texture_map_prefix;
    bool edits; /* InstructPix2Pix: hds_prior_sample changes an image as the prompt says */
    /* Unconditional caption for classifier-free guidance where no negative prompt is given, e.g.
     * "a head", from headsds.json. Borrowed; NULL: "". */
    const char *neutral_prompt;
    const char *device, *dtype; /* that it runs with: never "auto"; borrowed */
    const char *notes; /* what of its files was left out, a line each; borrowed, NULL: nothing */
} hds_prior_info;
HDS_API void hds_prior_get_info(const hds_prior *prior, hds_prior_info *info);

/* texts (count) UTF-8 -> ids (count, 77): start, tokens (75 at most), end, padding. What does not
 * fit is cut off: hds_prior_get_cut. */
HDS_API HDS_NODISCARD hds_status hds_prior_tokenize(hds_prior *prior, const char *const *texts,
                                                    size_t count, int64_t *ids, hds_error *error);
/* ids (count, 77) -> states (count, 77, text_width): last hidden state after the final layer
 * norm. */
HDS_API HDS_NODISCARD hds_status hds_prior_encode_tokens(hds_prior *prior, const int64_t *ids,
                                                         size_t count, float *states,
                                                         hds_error *error);
/* What is cut off from a text that is given one chunk. */
typedef struct hds_text_cut {
    size_t tokens;   /* of the whole text, without start and end */
    char words[200]; /* UTF-8, in lower case; "..." at the end stands for more; "": nothing */
} hds_text_cut;
HDS_API HDS_NODISCARD hds_status hds_prior_get_cut(hds_prior *prior, const char *text,
                                                   hds_text_cut *cut, hds_error *error);
/* Whole texts: how many chunks the longest one has. HDS_ERROR_ARGUMENT: more than HDS_MAX_CHUNKS.
 */
HDS_API HDS_NODISCARD hds_status hds_prior_count_chunks(hds_prior *prior, const char *const *texts,
                                                        size_t count, size_t *chunks,
                                                        hds_error *error);
/* -> states (count, 77 chunks, text_width): those of each chunk, one after the other. A text of
 * fewer chunks is repeated until they are filled, which changes nothing that attends to it where it
 * comes out even. chunks: that of hds_prior_count_chunks, or more. */
HDS_API HDS_NODISCARD hds_status hds_prior_encode_texts(hds_prior *prior, const char *const *texts,
                                                        size_t count, size_t chunks, float *states,
                                                        hds_error *error);
/* images (count, height, width, 3) -> posterior mean, scaled. */
HDS_API HDS_NODISCARD hds_status hds_prior_encode_image(hds_prior *prior, const float *images,
                                                        size_t count, size_t height, size_t width,
                                                        float *latents, hds_error *error);
/* latents (count, 4, h, w) -> images (count, 8h, 8w, 3), clamped to [0,1]. */
HDS_API HDS_NODISCARD hds_status hds_prior_decode_latents(hds_prior *prior, const float *latents,
                                                          size_t count, size_t h, size_t w,
                                                          float *images, hds_error *error);
/* One use of a ControlNet. Several may be used at once: their outputs add. */
typedef struct hds_control {
    const char *net;    /* "depth" or "texture", as in hds_prior_params */
    const float *image; /* (count, 8 h, 8 w, 3) in [0,1] */
    float scale;        /* controlnet_conditioning_scale, of its outputs; 0: off */
} hds_control;
enum { HDS_MAX_CONTROLS = 4 };

/* One evaluation of the UNet. */
typedef struct hds_predict_params {
    size_t count, h, w;
    const float *latents;        /* (count, 4, h, w) */
    const float *timesteps;      /* (count), may be fractional */
    const float *text;           /* (count, tokens, C) text embeddings */
    const hds_control *controls; /* (control_count), HDS_MAX_CONTROLS at most; or NULL */
    size_t control_count;
    size_t tokens; /* of each text, a multiple of 77; 0: 77 */
} hds_predict_params;
/* noise (count, 4, h, w). v-predictions are converted to noise (Salimans and Ho, "Progressive
 * distillation", 2022). HDS_ERROR_ARGUMENT for InstructPix2Pix models. */
HDS_API HDS_NODISCARD hds_status hds_prior_predict_noise(hds_prior *prior,
                                                         const hds_predict_params *params,
                                                         float *noise, hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* CLIP: how well a picture and a text agree, as the cosine of two embeddings, with its gradient.
 *
 * Pictures are (N,H,W,3) float RGB in [0,1], sRGB, of any size: the shorter side is resized as the
 * folder's preprocessor_config.json says and the centre is cut out. Texts are UTF-8, at most 75
 * tokens count. A clip may be shared: calls from several threads take turns.
 * Radford et al., "Learning transferable visual models from natural language supervision", 2021. */
#ifndef HEADSDS_CLIP_H
#define HEADSDS_CLIP_H

#include "headsds/prior.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_clip hds_clip;

typedef struct hds_clip_params {
    /* A folder as openai/clip-vit-base-patch32 is published, with config.json, model.safetensors
     * (or its shards or fp16 variant), preprocessor_config.json and the tokenizer's files. */
    const char *path;
    /* Where it runs: "cpu", "cuda" or "cuda:N"; NULL or "auto": CUDA where there is one. */
    const char *device;
    /* What the matrices of both towers are kept in, and computed in where the device has
     * instructions for it, else in float32: "float32", "bfloat16" or "float16". NULL or "auto": of
     * a vision tower of 256 channels or more float16 on CUDA and bfloat16 on a processor that
     * computes in it, else float32. */
    const char *dtype;
} hds_clip_params;
/* On success *clip is new. */
HDS_API HDS_NODISCARD hds_status hds_clip_load(hds_clip **clip, const hds_clip_params *params,
                                               hds_error *error);
HDS_API void hds_clip_destroy(hds_clip **clip);

typedef struct hds_clip_info {
    const char *path;           /* borrowed */
    int embedding_width;        /* D */
    int image_size;             /* side of the square that is seen of a picture */
    float logit_scale;          /* what training multiplied similarities by: about 100 */
    const char *device, *dtype; /* that it runs with: never "auto"; borrowed */
} hds_clip_info;
HDS_API void hds_clip_get_info(const hds_clip *clip, hds_clip_info *info);

/* images (count, height, width, 3) -> embeddings (count, D), each of length 1. */
HDS_API HDS_NODISCARD hds_status hds_clip_embed_images(hds_clip *clip, const float *images,
                                                       size_t count, size_t height, size_t width,
                                                       float *embeddings, hds_error *error);
/* texts (count) -> embeddings (count, D), each of length 1. */
HDS_API HDS_NODISCARD hds_status hds_clip_embed_texts(hds_clip *clip, const char *const *texts,
                                                      size_t count, float *embeddings,
                                                      hds_error *error);
/* What is cut off from a text. */
HDS_API HDS_NODISCARD hds_status hds_clip_get_cut(hds_clip *clip, const char *text,
                                                  hds_text_cut *cut, hds_error *error);
/* -> similarity (count, text_count): cosines, in [-1,1]. */
HDS_API HDS_NODISCARD hds_status hds_clip_similarity(hds_clip *clip, const float *images,
                                                     size_t count, size_t height, size_t width,
                                                     const char *const *texts, size_t text_count,
                                                     float *similarity, hds_error *error);
/* dimages += (dsimilarity/dimages)^T upstream; upstream (count, text_count), dimages like images.
 */
HDS_API HDS_NODISCARD hds_status
hds_clip_similarity_gradient(hds_clip *clip, const float *images, size_t count, size_t height,
                             size_t width, const char *const *texts, size_t text_count,
                             const float *upstream, float *dimages, hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

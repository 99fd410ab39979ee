/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a picture a prior looks for the words of a prompt: the cross-attention maps of its UNet,
 * for masks and local edits. Hertz et al., "Prompt-to-prompt image editing with cross attention
 * control", 2022, section 3. */
#ifndef HEADSDS_ATTENTION_H
#define HEADSDS_ATTENTION_H

#include "headsds/prior.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_attention_params {
    hds_predict_params predict;
    const int *tokens; /* (token_count) places in the text, from 0; NULL: all */
    size_t token_count;
    const size_t
        *heights; /* (height_count) of the maps that are wanted, as h, h/2, ...; NULL: all */
    size_t height_count;
} hds_attention_params;

typedef struct hds_attention_map {
    const char *name; /* of the module, "down_blocks.0.attentions.0.transformer_blocks.0.attn2" */
    size_t rows, columns;
    const float *weights; /* (count, rows, columns, token_count) softmax over all tokens, the
                             mean over heads */
} hds_attention_map;

typedef struct hds_attention {
    size_t map_count, token_count;
    const hds_attention_map *maps; /* in the order in which the UNet runs */
    const float *noise;            /* (count,4,h,w) the prediction of the same run */
} hds_attention;

/* Layers that are not asked for run as they always do. On success *attention is new; release it
 * with hds_attention_destroy. */
HDS_API HDS_NODISCARD hds_status hds_prior_attention(hds_prior *prior,
                                                     const hds_attention_params *params,
                                                     hds_attention **attention, hds_error *error);
HDS_API void hds_attention_destroy(hds_attention **attention);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on plain arrays: softmax(scale q k^T) v in each head, without ever holding all scores.
 * Split in parts that may run at the same time, in any order; the result does not depend on it. */
#ifndef HDS_ATTEND_H
#define HDS_ATTEND_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct attend_job {
    const float *q, *k, *v; /* (batch,queries,heads width), (batch,keys,heads width) twice */
    float *out;             /* (batch,queries,heads width) */
    size_t batch, queries, keys, heads, width;
    float scale;
    bool causal;   /* position i sees positions up to i */
    float *packed; /* attend_packed_size numbers, which attend_pack writes */
} attend_job;

size_t attend_packed_size(const attend_job *j);  /* numbers */
size_t attend_scratch_size(const attend_job *j); /* numbers, for each part that runs */
size_t attend_heads(const attend_job *j);        /* parts of packing */
size_t attend_blocks(const attend_job *j);       /* parts of the rest */
/* Keys and values of one head; all heads before any block. */
void attend_pack(const attend_job *j, size_t head);
void attend_block(const attend_job *j, size_t block, float *scratch);

#ifdef __cplusplus
}
#endif

#endif

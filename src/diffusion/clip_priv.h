/* SPDX-License-Identifier: Apache-2.0 */
/* What the two towers of CLIP share: the layers of a transformer. */
#ifndef HDS_CLIP_PRIV_H
#define HDS_CLIP_PRIV_H

#include "diffusion/diffusion.h"

typedef struct clip_tower {
    int heads, width, inner;
    double eps;
    bool quick_gelu;
    bool causal; /* a position sees only those up to itself: texts */
} clip_tower;
/* x (B,L,width) -> (B,L,width): x += attention(norm1(x)); x += mlp(norm2(x)) */
tn *clip_layer(const clip_tower *t, const at *p, const tn *x);

#endif

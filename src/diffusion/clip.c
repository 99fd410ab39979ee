/* SPDX-License-Identifier: Apache-2.0 */
/* The text encoder of CLIP: a causal transformer over token ids.
 * x = token + position; in each layer x += attention(norm1(x)), x += mlp(norm2(x)); final norm.
 * Radford et al. 2021, section 2.4. */
#include "clip_priv.h"

/* x (B,L,C) -> (B,L,C); unlike the UNet's, every projection has a bias */
static tn *self_attention(const clip_tower *t, const at *p, const tn *x)
{
    at here = at_sub(p, "self_attn");
    size_t scope = nn_enter(&here);
    tn *q = nn_linear(&here, "q_proj", x, t->width, true);
    tn *k = nn_linear(&here, "k_proj", x, t->width, true);
    tn *v = nn_linear(&here, "v_proj", x, t->width, true);
    tn *y = tn_attention(p->cx, q, k, v, t->heads, t->causal);
    return nn_leave(&here, scope, nn_linear(&here, "out_proj", y, t->width, true));
}

static tn *mlp(const clip_tower *t, const at *p, const tn *x)
{
    at here = at_sub(p, "mlp");
    size_t scope = nn_enter(&here);
    tn *h = nn_linear(&here, "fc1", x, t->inner, true);
    h = t->quick_gelu ? tn_quick_gelu(p->cx, h) : tn_gelu(p->cx, h);
    return nn_leave(&here, scope, nn_linear(&here, "fc2", h, t->width, true));
}

tn *clip_layer(const clip_tower *t, const at *p, const tn *x)
{
    size_t scope = nn_enter(p);
    tn *h = nn_layer_norm(p, "layer_norm1", x, t->eps);
    tn *y = tn_add(p->cx, x, self_attention(t, p, h));
    h = nn_layer_norm(p, "layer_norm2", y, t->eps);
    return nn_leave(p, scope, tn_add(p->cx, y, mlp(t, p, h)));
}

/* ids (B,L) -> (B,L,C) */
static tn *embeddings(const clip_text_config *c, const at *p, const int64_t *ids, int64_t count,
                      int64_t length)
{
    tn_context *cx = p->cx;
    at here = at_sub(p, "embeddings");
    size_t scope = nn_enter(&here);
    int64_t positions[512];
    if (length > c->positions || length > 512)
        tn_fail(cx, HDS_ERROR_ARGUMENT, "%lld tokens in a text, at most %d", (long long)length,
                c->positions);
    for (int64_t i = 0; i < length && i < 512; i++)
        positions[i] = i;
    at_ignore(&here, "position_ids"); /* a buffer in old files */
    tn *token_ids = tn_from_i64(cx, ids, TN_SHAPE(count, length));
    tn *x = nn_embedding(&here, "token_embedding", token_ids, c->vocabulary, c->width);
    tn *position_ids = tn_from_i64(cx, positions, TN_SHAPE(length < 512 ? length : 512));
    tn *y = nn_embedding(&here, "position_embedding", position_ids, c->positions, c->width);
    return nn_leave(&here, scope, tn_add(cx, x, y));
}

tn *clip_text_hidden(const clip_text_config *c, const at *p, const int64_t *ids, int64_t count,
                     int64_t length, int layers)
{
    const clip_tower tower = { .heads = c->heads,
                               .width = c->width,
                               .inner = c->inner,
                               .eps = c->eps,
                               .quick_gelu = c->quick_gelu,
                               .causal = true };
    at model = at_sub(p, "text_model"), encoder = at_sub(&model, "encoder");
    size_t scope = nn_enter(&model);
    tn *x = embeddings(c, &model, ids, count, length);
    for (int i = 0; i < layers; i++) {
        at here = at_index(&encoder, "layers", i);
        x = clip_layer(&tower, &here, x);
    }
    return nn_leave(&model, scope, x);
}

tn *clip_text_encode(const clip_text_config *c, const at *p, const int64_t *ids, int64_t count,
                     int64_t length, int skip)
{
    at model = at_sub(p, "text_model");
    size_t scope = tn_enter(p->cx);
    tn *x = clip_text_hidden(c, p, ids, count, length, c->layers - skip);
    return tn_leave(p->cx, scope, nn_layer_norm(&model, "final_layer_norm", x, c->eps));
}

static int64_t end_of(const clip_text_config *c, const int64_t *ids, int64_t length)
{
    int64_t end = 0;
    for (int64_t i = 0; i < length; i++) {
        if (c->end_id != 2 && ids[i] == c->end_id)
            return i;
        if (c->end_id == 2 && ids[i] > ids[end])
            end = i;
    }
    return end;
}

tn *clip_text_pool(const clip_text_config *c, const at *p, const tn *states, const int64_t *ids)
{
    tn_context *cx = p->cx;
    size_t scope = tn_enter(cx);
    int64_t count = tn_dim(cx, states, 0), length = tn_dim(cx, states, 1);
    tn *pooled = NULL;
    for (int64_t i = 0; i < count; i++) {
        tn *text = tn_narrow(cx, states, 0, i, 1);
        tn *row = tn_narrow(cx, text, 1, end_of(c, ids + i * length, length), 1);
        const tn *parts[] = { pooled, row };
        pooled = pooled ? tn_cat(cx, parts, 2, 0) : row;
    }
    return tn_leave(cx, scope, tn_reshape(cx, pooled, TN_SHAPE(count, c->width)));
}

void clip_text_survey(const clip_text_config *c, const at *p)
{
    size_t scope = tn_enter(p->cx);
    weights_survey_begin(p->w);
    clip_text_encode(c, p, (int64_t[]){ 0 }, 1, 1, 0);
    weights_survey_end(p->w);
    tn_leave(p->cx, scope, NULL);
}

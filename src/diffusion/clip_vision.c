/* SPDX-License-Identifier: Apache-2.0 */
/* The vision tower of CLIP, a transformer over patches, and the projections of both towers.
 * x = [class; conv(pixels)] + position; norm; layers as the text's without the mask; the class
 * token's norm; projection. The cosine of two projections says how well picture and text agree.
 * Radford et al. 2021, sections 2.3 and 2.4; Dosovitskiy et al. 2021 (ViT). */
#include "clip_priv.h"

/* A weight, or zeros of its shape in a survey. */
static const tn *take(const at *p, const char *leaf, int dims, const int64_t *shape)
{
    const tn *w = at_weight(p, leaf, dims, shape, NN_NORMAL, 0.02);
    return at_surveyed(p) ? tn_zeros(p->cx, dims, shape) : w;
}

/* pixels (B,3,S,S) -> (B,P,width), a row of patches after the other; the convolution has no bias */
static tn *patches(const clip_vision_config *c, const at *p, const tn *pixels)
{
    tn_context *cx = p->cx;
    at here = at_sub(p, "patch_embedding");
    size_t scope = nn_enter(&here);
    const tn *w = take(&here, "weight", TN_SHAPE(c->width, 3, c->patch_size, c->patch_size));
    tn *x = tn_conv2d(cx, pixels, w, NULL, c->patch_size, 0);
    x = tn_reshape(cx, x, TN_SHAPE(tn_dim(cx, x, 0), c->width, -1));
    return nn_leave(&here, scope, tn_permute(cx, x, TN_SHAPE(0, 2, 1)));
}

/* -> (B,1+P,width) */
static tn *embeddings(const clip_vision_config *c, const at *p, const tn *pixels)
{
    tn_context *cx = p->cx;
    at here = at_sub(p, "embeddings"), position = at_sub(&here, "position_embedding");
    size_t scope = nn_enter(&here);
    int64_t count = tn_dim(cx, pixels, 0), side = c->image_size / c->patch_size;
    at_ignore(&here, "position_ids"); /* a buffer in old files */
    const tn *class_token = take(&here, "class_embedding", TN_SHAPE(c->width));
    const tn *table = take(&position, "weight", TN_SHAPE(1 + side * side, c->width));
    const tn *parts[] = { tn_add(cx, tn_zeros(cx, TN_SHAPE(count, 1, c->width)), class_token),
                          patches(c, &here, pixels) };
    return nn_leave(&here, scope, tn_add(cx, tn_cat(cx, parts, 2, 1), table));
}

tn *clip_vision_encode(const clip_vision_config *c, const at *p, const tn *pixels)
{
    const clip_tower tower = { .heads = c->heads,
                               .width = c->width,
                               .inner = c->inner,
                               .eps = c->eps,
                               .quick_gelu = c->quick_gelu };
    at model = at_sub(p, "vision_model"), encoder = at_sub(&model, "encoder");
    size_t scope = nn_enter(&model);
    tn *x = embeddings(c, &model, pixels);
    if (at_surveyed(p))
        x = tn_narrow(p->cx, x, 1, 0, 1); /* attention over all patches takes its time */
    x = nn_layer_norm(&model, "pre_layrnorm", x, c->eps); /* spelt so in every file */
    for (int i = 0; i < c->layers; i++) {
        at here = at_index(&encoder, "layers", i);
        x = clip_layer(&tower, &here, x);
    }
    return nn_leave(&model, scope, x);
}

tn *clip_vision_pool(const clip_vision_config *c, const at *p, const tn *states)
{
    at model = at_sub(p, "vision_model");
    size_t scope = nn_enter(&model);
    tn *x = tn_narrow(p->cx, states, 1, 0, 1);
    x = tn_reshape(p->cx, x, TN_SHAPE(tn_dim(p->cx, states, 0), c->width));
    return nn_leave(&model, scope, nn_layer_norm(&model, "post_layernorm", x, c->eps));
}

tn *clip_pair_project_text(const clip_pair_config *c, const at *p, const tn *pooled)
{
    return nn_linear(p, "text_projection", pooled, c->projection, false);
}

tn *clip_pair_project_vision(const clip_pair_config *c, const at *p, const tn *pooled)
{
    return nn_linear(p, "visual_projection", pooled, c->projection, false);
}

tn *clip_pair_logit_scale(const at *p)
{
    return tn_exp(p->cx, take(p, "logit_scale", 0, TN_DIMS(0)));
}

void clip_pair_survey(const clip_pair_config *c, const at *p)
{
    tn_context *cx = p->cx;
    const int64_t end = c->text.end_id;
    size_t scope = tn_enter(cx);
    weights_survey_begin(p->w);
    tn *text = clip_text_encode(&c->text, p, &end, 1, 1, 0);
    clip_pair_project_text(c, p, clip_text_pool(&c->text, p, text, &end));
    tn *pixels = tn_zeros(cx, TN_SHAPE(1, 3, c->vision.image_size, c->vision.image_size));
    tn *states = clip_vision_encode(&c->vision, p, pixels);
    clip_pair_project_vision(c, p, clip_vision_pool(&c->vision, p, states));
    clip_pair_logit_scale(p);
    weights_survey_end(p->w);
    tn_leave(cx, scope, NULL);
}

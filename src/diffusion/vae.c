/* SPDX-License-Identifier: Apache-2.0 */
/* The variational autoencoder between pictures and latents, a factor of 2^(levels-1) smaller.
 * Rombach et al. 2022, section 3.1.
 *
 * Traps: every norm has eps 1e-6; a downsampler pads right and bottom only; the attention has one
 * head and biases, and older files call its parts query, key, value and proj_attn. */
#include "diffusion/diffusion.h"

static const double eps = 1e-6;

/* x + conv2(silu(norm2(conv1(silu(norm1(x)))))).  (B,C,H,W) -> (B,out,H,W) */
static tn *resnet(const vae_config *c, const at *parent, int index, const tn *x, int out)
{
    at here = at_index(parent, "resnets", index);
    const at *p = &here;
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);
    tn *h = nn_group_norm_silu(p, "norm1", x, c->groups, eps);
    h = nn_conv2d(p, "conv1", h, out, 3, 1, 1);
    h = nn_group_norm_silu(p, "norm2", h, c->groups, eps);
    h = nn_conv2d(p, "conv2", h, out, 3, 1, 1);
    if (tn_dim(cx, x, 1) != out)
        x = nn_conv2d(p, "conv_shortcut", x, out, 1, 1, 0);
    return nn_leave(p, scope, tn_add(cx, x, h));
}

/* Single-head attention over pixels.  (B,C,H,W) -> (B,C,H,W) */
static tn *attention(const vae_config *c, const at *parent, const tn *x)
{
    at here = at_index(parent, "attentions", 0);
    const at *p = &here;
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);
    bool old = at_has(p, "query.weight");
    int64_t b = tn_dim(cx, x, 0), width = tn_dim(cx, x, 1);
    int64_t rows = tn_dim(cx, x, 2), columns = tn_dim(cx, x, 3);

    tn *h = nn_group_norm(p, "group_norm", x, c->groups, eps);
    h = tn_reshape(cx, h, TN_SHAPE(b, width, rows * columns));
    h = tn_permute(cx, h, TN_SHAPE(0, 2, 1));
    tn *q = nn_linear(p, old ? "query" : "to_q", h, width, true);
    tn *k = nn_linear(p, old ? "key" : "to_k", h, width, true);
    tn *v = nn_linear(p, old ? "value" : "to_v", h, width, true);
    h = tn_attention(cx, q, k, v, 1, false);
    h = nn_linear(p, old ? "proj_attn" : "to_out.0", h, width, true);
    h = tn_reshape(cx, tn_permute(cx, h, TN_SHAPE(0, 2, 1)), TN_SHAPE(b, width, rows, columns));
    return nn_leave(p, scope, tn_add(cx, h, x));
}

static tn *mid_block(const vae_config *c, const at *parent, const tn *x)
{
    at p = at_sub(parent, "mid_block");
    int width = c->channels[c->levels - 1];
    size_t scope = nn_enter(&p);
    tn *h = resnet(c, &p, 0, x, width);
    h = attention(c, &p, h);
    return nn_leave(&p, scope, resnet(c, &p, 1, h, width));
}

static tn *down_block(const vae_config *c, const at *parent, int level, const tn *x)
{
    at p = at_index(parent, "down_blocks", level);
    size_t scope = nn_enter(&p);
    tn *h = NULL;
    for (int i = 0; i < c->layers; i++)
        h = resnet(c, &p, i, i ? h : x, c->channels[level]);
    if (level + 1 < c->levels) {
        at d = at_index(&p, "downsamplers", 0);
        size_t inner = nn_enter(&d);
        h = tn_pad(p.cx, h, 0, 1, 0, 1);
        h = nn_leave(&d, inner, nn_conv2d(&d, "conv", h, c->channels[level], 3, 2, 0));
    }
    return nn_leave(&p, scope, h);
}

vae_moments vae_encode(const vae_config *c, const at *p, const tn *images)
{
    tn_context *cx = p->cx;
    at e = at_sub(p, "encoder");
    size_t scope = nn_enter(&e);
    tn *h = nn_conv2d(&e, "conv_in", images, c->channels[0], 3, 1, 1);
    for (int i = 0; i < c->levels; i++)
        h = down_block(c, &e, i, h);
    h = mid_block(c, &e, h);
    h = nn_group_norm_silu(&e, "conv_norm_out", h, c->groups, eps);
    h = nn_conv2d(&e, "conv_out", h, 2 * c->latent_channels, 3, 1, 1);
    h = nn_leave(&e, scope, h);

    h = nn_conv2d(p, "quant_conv", h, 2 * c->latent_channels, 1, 1, 0);
    tn *logvar = tn_narrow(cx, h, 1, c->latent_channels, c->latent_channels);
    return (vae_moments){ .mean = tn_narrow(cx, h, 1, 0, c->latent_channels),
                          .logvar = tn_clamp(cx, logvar, -30, 20) };
}

static tn *up_block(const vae_config *c, const at *parent, int index, const tn *x)
{
    tn_context *cx = parent->cx;
    at p = at_index(parent, "up_blocks", index);
    int level = c->levels - 1 - index;
    size_t scope = nn_enter(&p);
    tn *h = NULL;
    for (int i = 0; i <= c->layers; i++)
        h = resnet(c, &p, i, i ? h : x, c->channels[level]);
    if (level > 0) {
        at u = at_index(&p, "upsamplers", 0);
        size_t inner = nn_enter(&u);
        h = tn_upsample_nearest(cx, h, 2 * tn_dim(cx, h, 2), 2 * tn_dim(cx, h, 3));
        h = nn_leave(&u, inner, nn_conv2d(&u, "conv", h, c->channels[level], 3, 1, 1));
    }
    return nn_leave(&p, scope, h);
}

tn *vae_decode(const vae_config *c, const at *p, const tn *latents)
{
    at d = at_sub(p, "decoder");
    size_t scope = nn_enter(&d);
    tn *h = nn_conv2d(p, "post_quant_conv", latents, c->latent_channels, 1, 1, 0);
    h = nn_conv2d(&d, "conv_in", h, c->channels[c->levels - 1], 3, 1, 1);
    h = mid_block(c, &d, h);
    for (int i = 0; i < c->levels; i++)
        h = up_block(c, &d, i, h);
    h = nn_group_norm_silu(&d, "conv_norm_out", h, c->groups, eps);
    h = nn_conv2d(&d, "conv_out", h, c->image_channels, 3, 1, 1);
    return nn_leave(&d, scope, h);
}

void vae_survey(const vae_config *c, const at *p)
{
    size_t scope = tn_enter(p->cx);
    int64_t side = (int64_t)1 << (c->levels - 1);
    weights_survey_begin(p->w);
    vae_encode(c, p, tn_zeros(p->cx, TN_SHAPE(1, c->image_channels, side, side)));
    vae_decode(c, p, tn_zeros(p->cx, TN_SHAPE(1, c->latent_channels, 1, 1)));
    weights_survey_end(p->w);
    tn_leave(p->cx, scope, NULL);
}

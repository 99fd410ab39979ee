/* SPDX-License-Identifier: Apache-2.0 */
/* The denoising UNet of Stable Diffusion 1 and 2, from noisy latents, a time and text to the noise.
 * Rombach et al. 2022, section 3.2 and appendix E; Ho et al. 2020, appendix B.
 *
 * Traps: layer norms, residual blocks and conv_norm_out have eps 1e-5 (config), the group norm of
 * a transformer 1e-6; q, k, v have no bias; the time embedding is cosine first; an upsampler goes
 * to the size of the skip that it will meet, which is not always twice. */
#include "unet_priv.h"

#include <math.h>

enum { MAX_PERIOD = 10000 };

/* time_proj: t (B) -> [cos(t f), sin(t f)] (B, 2 half), f_i = 10000^(-i/half), in float32. */
static tn *time_projection(const at *p, const float *timesteps, int64_t count, int width)
{
    at here = at_sub(p, "time_proj");
    size_t scope = nn_enter(&here);
    tn_context *cx = p->cx;
    int half = width / 2;
    float exponent[4096];
    if (half < 1 || half > 4096)
        tn_fail(cx, HDS_ERROR_FORMAT, "time_proj: %d channels", width);
    for (int i = 0; i < half && !tn_failed(cx); i++)
        exponent[i] = (float)-log(MAX_PERIOD) * (float)i / (float)half;
    tn *f = tn_exp(cx, tn_from_f32(cx, exponent, TN_SHAPE(1, half)));
    tn *angle = tn_mul(cx, tn_from_f32(cx, timesteps, TN_SHAPE(count, 1)), f);
    const tn *parts[] = { tn_cos(cx, angle), tn_sin(cx, angle) };
    return nn_leave(&here, scope, tn_cat(cx, parts, 2, 1));
}

/* linear_2(silu(linear_1(x))).  x (B,C) -> (B,4C) */
static tn *time_embedding(const at *p, const tn *x, int64_t width)
{
    at here = at_sub(p, "time_embedding");
    size_t scope = nn_enter(&here);
    tn *h = nn_linear(&here, "linear_1", x, width, true);
    h = nn_linear(&here, "linear_2", tn_silu(p->cx, h), width, true);
    return nn_leave(&here, scope, h);
}

/* What all blocks of a run share. */
typedef struct pass {
    const unet_config *config;
    const tn *temb, *text;       /* (B or 1,T), (B,K,D) */
    const unet_capture *capture; /* or NULL */
} pass;

/* ResnetBlock2D: x + conv2(silu(norm2(conv1(silu(norm1(x))) + temb))).
 * x (B,C,H,W), temb (B,T) or (1,T) -> (B,out,H,W) */
static tn *resnet(const pass *run, const at *p, const tn *x, int out)
{
    const unet_config *c = run->config;
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);

    tn *h = nn_group_norm_silu(p, "norm1", x, c->groups, c->eps);
    h = nn_conv2d(p, "conv1", h, out, 3, 1, 1);

    tn *t = nn_linear(p, "time_emb_proj", tn_silu(cx, run->temb), out, true);
    h = tn_add(cx, h, tn_reshape(cx, t, TN_SHAPE(-1, out, 1, 1)));

    h = nn_group_norm_silu(p, "norm2", h, c->groups, c->eps);
    h = nn_conv2d(p, "conv2", h, out, 3, 1, 1);

    if (tn_dim(cx, x, 1) != out)
        x = nn_conv2d(p, "conv_shortcut", x, out, 1, 1, 0);
    return nn_leave(p, scope, tn_add(cx, x, h));
}

/* x (B,L,C), context (B,K,D) -> (B,L,C); capture: NULL, or what is to see the probabilities, of a
 * picture of `rows`. */
static tn *attention(const at *p, const char *name, const tn *x, const tn *context, int heads,
                     const unet_capture *capture, int64_t rows)
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    int64_t width = tn_dim(p->cx, x, 2);
    tn *q = nn_linear(&here, "to_q", x, width, false);
    tn *k = nn_linear(&here, "to_k", context, width, false);
    tn *v = nn_linear(&here, "to_v", context, width, false);
    if (capture && capture->wants(capture->context, rows, tn_dim(p->cx, x, 1) / rows)) {
        size_t inner = tn_enter(p->cx);
        char path[UNET_PATH];
        at_path(&here, path, sizeof path);
        capture->take(capture->context, path, tn_attention_weights(p->cx, q, k, heads));
        tn_leave(p->cx, inner, NULL);
    }
    tn *y = tn_attention(p->cx, q, k, v, heads, false);
    return nn_leave(&here, scope, nn_linear(&here, "to_out.0", y, width, true));
}

/* GEGLU (Shazeer 2020): net.2(a * gelu(b)), [a, b] = net.0.proj(x).  (B,L,C) -> (B,L,C) */
static tn *feed_forward(const at *p, const tn *x)
{
    tn_context *cx = p->cx;
    at here = at_sub(p, "ff");
    size_t scope = nn_enter(&here);
    int64_t width = tn_dim(cx, x, 2), inner = 4 * width;
    tn *h = nn_linear(&here, "net.0.proj", x, 2 * inner, true);
    h = tn_gated_gelu(cx, h);
    return nn_leave(&here, scope, nn_linear(&here, "net.2", h, width, true));
}

/* BasicTransformerBlock: self-attention, cross-attention, feed-forward, each x + f(norm(x)). */
static tn *transformer_block(const at *p, const tn *x, const pass *run, int heads, int64_t rows)
{
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);
    tn *h = nn_layer_norm(p, "norm1", x, 1e-5);
    tn *y = tn_add(cx, attention(p, "attn1", h, h, heads, NULL, rows), x);
    h = nn_layer_norm(p, "norm2", y, 1e-5);
    y = tn_add(cx, attention(p, "attn2", h, run->text, heads, run->capture, rows), y);
    h = nn_layer_norm(p, "norm3", y, 1e-5);
    y = tn_add(cx, feed_forward(p, h), y);
    return nn_leave(p, scope, y);
}

/* (B,C,H,W) -> (B,H W,C) */
static tn *to_sequence(tn_context *cx, const tn *x)
{
    int64_t b = tn_dim(cx, x, 0), width = tn_dim(cx, x, 1);
    return tn_reshape(cx, tn_permute(cx, x, TN_SHAPE(0, 2, 3, 1)), TN_SHAPE(b, -1, width));
}

static tn *to_picture(tn_context *cx, const tn *x, int64_t rows, int64_t columns)
{
    int64_t b = tn_dim(cx, x, 0), width = tn_dim(cx, x, 2);
    return tn_permute(cx, tn_reshape(cx, x, TN_SHAPE(b, rows, columns, width)),
                      TN_SHAPE(0, 3, 1, 2));
}

/* Transformer2DModel on the pixels as a sequence: x + proj_out(block(proj_in(norm(x)))). */
static tn *transformer(const pass *run, const at *p, const tn *x, int heads)
{
    const unet_config *c = run->config;
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);
    int64_t width = tn_dim(cx, x, 1), rows = tn_dim(cx, x, 2), columns = tn_dim(cx, x, 3);
    bool linear = c->linear_projection;

    tn *h = nn_group_norm(p, "norm", x, c->groups, 1e-6);
    h = linear ? nn_linear(p, "proj_in", to_sequence(cx, h), width, true)
               : to_sequence(cx, nn_conv2d(p, "proj_in", h, width, 1, 1, 0));
    at block = at_index(p, "transformer_blocks", 0);
    h = transformer_block(&block, h, run, heads, rows);
    h = linear ? to_picture(cx, nn_linear(p, "proj_out", h, width, true), rows, columns)
               : nn_conv2d(p, "proj_out", to_picture(cx, h, rows, columns), width, 1, 1, 0);
    return nn_leave(p, scope, tn_add(cx, h, x));
}

/* Keeps an output of the way down, which the way up takes from the end. */
static tn *push(const at *p, unet_residuals *s, tn *x)
{
    if (s->count == UNET_MAX_SKIPS)
        tn_fail(p->cx, HDS_ERROR_FORMAT, "more than %d layers on the way down", UNET_MAX_SKIPS);
    else
        s->down[s->count++] = x;
    return x;
}

static tn *down_block(const pass *run, const at *root, int level, tn *x, unet_residuals *s)
{
    const unet_config *c = run->config;
    at p = at_index(root, "down_blocks", level);
    for (int i = 0; i < c->layers; i++) {
        at r = at_index(&p, "resnets", i), a = at_index(&p, "attentions", i);
        size_t scope = tn_enter(p.cx);
        x = resnet(run, &r, x, c->channels[level]);
        if (c->down_attention[level])
            x = transformer(run, &a, x, c->heads[level]);
        x = push(&p, s, tn_leave(p.cx, scope, x));
    }
    if (level + 1 < c->levels) {
        at d = at_index(&p, "downsamplers", 0);
        size_t scope = nn_enter(&d);
        x = push(&p, s, nn_leave(&d, scope, nn_conv2d(&d, "conv", x, c->channels[level], 3, 2, 1)));
    }
    return x;
}

static tn *mid_block(const pass *run, const at *root, const tn *x)
{
    const unet_config *c = run->config;
    at p = at_sub(root, "mid_block");
    at first = at_index(&p, "resnets", 0), a = at_index(&p, "attentions", 0);
    at second = at_index(&p, "resnets", 1);
    int top = c->levels - 1;
    size_t scope = nn_enter(&p);
    tn *h = resnet(run, &first, x, c->channels[top]);
    h = transformer(run, &a, h, c->heads[top]);
    h = resnet(run, &second, h, c->channels[top]);
    return nn_leave(&p, scope, h);
}

static tn *up_block(const pass *run, const at *root, int index, tn *x, unet_residuals *s)
{
    const unet_config *c = run->config;
    tn_context *cx = root->cx;
    at p = at_index(root, "up_blocks", index);
    size_t scope = nn_enter(&p);
    int level = c->levels - 1 - index;
    for (int i = 0; i <= c->layers; i++) {
        at r = at_index(&p, "resnets", i), a = at_index(&p, "attentions", i);
        size_t inner = tn_enter(cx);
        const tn *parts[] = { x, s->count ? s->down[--s->count] : NULL };
        x = resnet(run, &r, tn_cat(cx, parts, 2, 1), c->channels[level]);
        if (c->up_attention[index])
            x = transformer(run, &a, x, c->heads[level]);
        x = tn_leave(cx, inner, x);
    }
    if (level > 0 && s->count) {
        at u = at_index(&p, "upsamplers", 0);
        size_t inner = nn_enter(&u);
        const tn *skip = s->down[s->count - 1];
        x = tn_upsample_nearest(cx, x, tn_dim(cx, skip, 2), tn_dim(cx, skip, 3));
        x = nn_leave(&u, inner, nn_conv2d(&u, "conv", x, c->channels[level], 3, 1, 1));
    }
    return nn_leave(&p, scope, x);
}

tn *unet_way_down(const unet_config *c, const at *p, const tn *latents, const tn *condition,
                  const float *timesteps, int64_t timestep_count, const tn *text,
                  const unet_capture *capture, unet_residuals *s)
{
    tn *temb = time_projection(p, timesteps, timestep_count, c->channels[0]);
    temb = time_embedding(p, temb, 4 * c->channels[0]);
    pass run = { c, temb, text, capture };
    tn *h = nn_conv2d(p, "conv_in", latents, c->channels[0], 3, 1, 1);
    h = push(p, s, condition ? tn_add(p->cx, h, condition) : h);
    for (int i = 0; i < c->levels; i++)
        h = down_block(&run, p, i, h, s);
    s->mid = mid_block(&run, p, h);
    return temb;
}

tn *unet_forward_with(const unet_config *c, const at *p, const tn *latents, const float *timesteps,
                      int64_t timestep_count, const tn *text, const unet_extras *extras)
{
    tn_context *cx = p->cx;
    size_t scope = nn_enter(p);
    unet_residuals s = { .count = 0 };
    tn *temb =
        unet_way_down(c, p, latents, NULL, timesteps, timestep_count, text, extras->capture, &s);
    if (extras->control)
        unet_residuals_add(cx, &s, extras->control);

    pass run = { c, temb, text, extras->capture };
    tn *h = s.mid;
    for (int i = 0; i < c->levels; i++)
        h = up_block(&run, p, i, h, &s);
    h = nn_group_norm_silu(p, "conv_norm_out", h, c->groups, c->eps);
    h = nn_conv2d(p, "conv_out", h, c->out_channels, 3, 1, 1);
    return nn_leave(p, scope, h);
}

tn *unet_forward(const unet_config *c, const at *p, const tn *latents, const float *timesteps,
                 int64_t timestep_count, const tn *text)
{
    return unet_forward_with(c, p, latents, timesteps, timestep_count, text, &(unet_extras){ 0 });
}

void unet_residuals_add(tn_context *cx, unet_residuals *s, const unet_residuals *more)
{
    if (s->count != more->count)
        tn_fail(cx, HDS_ERROR_FORMAT, "a ControlNet with %d layers, the UNet has %d", more->count,
                s->count);
    for (int i = 0; i < s->count && !tn_failed(cx); i++)
        s->down[i] = tn_add(cx, s->down[i], more->down[i]);
    s->mid = tn_add(cx, s->mid, more->mid);
}

void unet_survey(const unet_config *c, const at *p)
{
    size_t scope = tn_enter(p->cx);
    weights_survey_begin(p->w);
    tn *latents = tn_zeros(p->cx, TN_SHAPE(1, c->in_channels, 1, 1));
    unet_forward(c, p, latents, (float[]){ 0 }, 1, tn_zeros(p->cx, TN_SHAPE(1, 1, c->text_width)));
    weights_survey_end(p->w);
    tn_leave(p->cx, scope, NULL);
}

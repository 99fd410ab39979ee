/* SPDX-License-Identifier: Apache-2.0 */
/* A ControlNet: a copy of the UNet's way down that also sees a picture, and whose outputs, each
 * through a 1x1 convolution, are added to the UNet's.  Zhang, Rao, Agrawala 2023, section 3. */
#include "unet_priv.h"

#include <stdio.h>

/* The picture at an eighth of its size.  (B,3,8h,8w) in [0,1] -> (B,C,h,w) */
static tn *embed(const controlnet_config *c, const at *parent, const tn *picture)
{
    tn_context *cx = parent->cx;
    at here = at_sub(parent, "controlnet_cond_embedding");
    const at *p = &here;
    size_t scope = nn_enter(p);
    tn *h = tn_silu(cx, nn_conv2d(p, "conv_in", picture, c->condition_channels[0], 3, 1, 1));
    for (int i = 0; i + 1 < c->condition_levels; i++) {
        char name[2][24];
        snprintf(name[0], sizeof name[0], "blocks.%d", 2 * i);
        snprintf(name[1], sizeof name[1], "blocks.%d", 2 * i + 1);
        h = tn_silu(cx, nn_conv2d(p, name[0], h, c->condition_channels[i], 3, 1, 1));
        h = tn_silu(cx, nn_conv2d(p, name[1], h, c->condition_channels[i + 1], 3, 2, 1));
    }
    return nn_leave(p, scope, nn_conv2d(p, "conv_out", h, c->unet.channels[0], 3, 1, 1));
}

/* scale times a 1x1 convolution that keeps the channels */
static tn *outlet(const at *p, const char *name, const tn *x, double scale)
{
    size_t scope = tn_enter(p->cx);
    tn *y = nn_conv2d(p, name, x, tn_dim(p->cx, x, 1), 1, 1, 0);
    return tn_leave(p->cx, scope, tn_affine(p->cx, y, scale, 0));
}

void controlnet_forward(const controlnet_config *c, const at *p, const tn *latents,
                        const float *timesteps, int64_t timestep_count, const tn *text,
                        const tn *picture, double scale, unet_residuals *out)
{
    *out = (unet_residuals){ .count = 0 };
    tn *condition = embed(c, p, picture);
    unet_way_down(&c->unet, p, latents, condition, timesteps, timestep_count, text, NULL, out);
    for (int i = 0; i < out->count; i++) {
        char name[48];
        snprintf(name, sizeof name, "controlnet_down_blocks.%d", i);
        out->down[i] = outlet(p, name, out->down[i], scale);
    }
    out->mid = outlet(p, "controlnet_mid_block", out->mid, scale);
}

void controlnet_survey(const controlnet_config *c, const at *p)
{
    tn_context *cx = p->cx;
    size_t scope = tn_enter(cx);
    int64_t side = (int64_t)1 << (c->condition_levels - 1);
    unet_residuals out;
    weights_survey_begin(p->w);
    tn *latents = tn_zeros(cx, TN_SHAPE(1, c->unet.in_channels, 1, 1));
    tn *text = tn_zeros(cx, TN_SHAPE(1, 1, c->unet.text_width));
    tn *picture = tn_zeros(cx, TN_SHAPE(1, 3, side, side));
    controlnet_forward(c, p, latents, (float[]){ 0 }, 1, text, picture, 1, &out);
    weights_survey_end(p->w);
    tn_leave(cx, scope, NULL);
}

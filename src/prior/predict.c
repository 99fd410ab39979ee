/* SPDX-License-Identifier: Apache-2.0 */
/* One evaluation of a prior's UNet, with or without guidance, ControlNets and a source image.
 *
 *   noise = uncond + s (cond - uncond)                                  Ho, Salimans 2021
 *   noise = uncond + s_I (image - uncond) + s (both - image)            Brooks et al. 2023, eq. 3
 */
#include "prior_priv.h"

#include <stdlib.h>
#include <string.h>

/* The network's output for latents (count,each) -> the noise, in place. */
static void to_noise(const hds_prior *p, const prior_request *r, size_t each, float *output)
{
    for (size_t i = 0; i < r->count && p->schedule.velocity; i++)
        sampler_noise(true, schedule_alpha_bar(&p->schedule, r->timesteps[i]),
                      r->latents + i * each, output + i * each, each, output + i * each);
}

/* All branches as one batch: [text], [neither, text] or [neither, image, both]. */
static hds_status run_branches(hds_prior *p, const prior_request *r, int branches,
                               const float *timesteps, float *out, hds_error *error)
{
    tn_context *cx = p->cx;
    size_t scope = prior_begin(p);
    at root = at_root(cx, p->unet_weights);
    int64_t n = (int64_t)r->count, channels = p->unet.out_channels, c = p->unet.text_width;
    int64_t h = (int64_t)r->h, w = (int64_t)r->w;
    tn *x = prior_repeat(cx, tn_from_f32(cx, r->latents, TN_SHAPE(n, channels, h, w)), branches);
    if (r->image) {
        const tn *none = tn_zeros(cx, TN_SHAPE(n, channels, h, w));
        const tn *shown = tn_from_f32(cx, r->image, TN_SHAPE(n, channels, h, w));
        const tn *images[] = { none, shown, shown };
        const tn *both[] = { x, tn_cat(cx, images, branches, 0) };
        x = tn_cat(cx, both, 2, 1);
    }
    int64_t tokens = r->tokens ? (int64_t)r->tokens : HDS_TOKENS;
    tn *text = tn_from_f32(cx, r->text, TN_SHAPE(n, tokens, c));
    if (branches > 1) {
        const tn *negative = tn_from_f32(cx, r->negative, TN_SHAPE(n, tokens, c));
        const tn *states[] = { negative, negative, negative };
        states[branches - 1] = text;
        text = tn_cat(cx, states, branches, 0);
    }
    unet_residuals sum;
    const unet_residuals *added = prior_controls_apply(p, r, branches, x, timesteps, text, &sum);
    tn *y = unet_forward_with(&p->unet, &root, x, timesteps, branches * n, text,
                              &(unet_extras){ added, r->capture });
    prior_take(p, "predictions", y, out,
               (size_t)branches * r->count * (size_t)channels * r->h * r->w);
    return prior_end(p, scope, error);
}

static hds_status check(const hds_prior *p, const prior_request *r, hds_error *error)
{
    hds_status status = prior_check_size(r->count, r->h, r->w, 1, error);
    if (status == HDS_OK)
        status = prior_controls_check(p, r->controls, r->control_count, error);
    if (status == HDS_OK)
        status = prior_check_timesteps(p, r->timesteps, r->count, error);
    if (status == HDS_OK && prior_edits(p) && !r->image)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT,
                      "%s edits pictures (InstructPix2Pix) and was given none to edit", p->path);
    if (status == HDS_OK && !prior_edits(p) && r->image)
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "%s does not edit pictures: its UNet has %d input channels, that of an "
                           "InstructPix2Pix model has 8",
                           p->path, p->unet.in_channels);
    return status;
}

/* out (branches,count,each) -> the results. */
static void guide(const prior_request *r, int branches, size_t numbers, const float *out)
{
    const float *cond = out + (size_t)(branches - 1) * numbers;
    if (branches == 3)
        sampler_guide_edit(out, out + numbers, cond, r->image_guidance_scale, r->guidance_scale,
                           numbers, r->noise);
    else if (branches == 2)
        sampler_guide(out, cond, r->guidance_scale, numbers, r->noise);
    else
        memcpy(r->noise, out, numbers * sizeof *out);
    if (r->uncond)
        memcpy(r->uncond, out, numbers * sizeof *out);
    if (r->cond)
        memcpy(r->cond, cond, numbers * sizeof *cond);
}

hds_status prior_predict(hds_prior *p, const prior_request *r, hds_error *error)
{
    hds_status status = check(p, r, error);
    if (status != HDS_OK)
        return status;
    int branches = r->image ? 3 : r->negative ? 2 : 1;
    size_t each = (size_t)p->unet.out_channels * r->h * r->w, numbers = r->count * each;
    float *out = malloc((size_t)branches * numbers * sizeof *out);
    float *timesteps = malloc((size_t)branches * r->count * sizeof *timesteps);
    if (out && timesteps) {
        for (int k = 0; k < branches; k++)
            memcpy(timesteps + (size_t)k * r->count, r->timesteps, r->count * sizeof *timesteps);
        status = run_branches(p, r, branches, timesteps, out, error);
    } else {
        status = hds_raise(error, HDS_ERROR_MEMORY, "noise prediction: out of memory");
    }
    if (status == HDS_OK) {
        for (int k = 0; k < branches && !r->raw; k++)
            to_noise(p, r, each, out + (size_t)k * numbers);
        guide(r, branches, numbers, out);
    }
    free(out);
    free(timesteps);
    return status;
}

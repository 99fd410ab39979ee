/* SPDX-License-Identifier: Apache-2.0 */
/* What score distillation asks of a prior: pictures encoded with a way back for the gradient, and
 * the guided noise prediction. Poole et al. 2022 (DreamFusion), equation 3; Ho, Salimans 2022. */
#include "diffusion/prior_priv.h"

#include <stdlib.h>
#include <string.h>

struct prior_encoding {
    hds_prior *prior;
    tn *images, *latents; /* owned: the ends of the graph */
    size_t image_numbers;
};

tn *prior_latents_of(hds_prior *p, const tn *x)
{
    at root = at_root(p->cx, p->vae_weights);
    tn *pm1 = tn_affine(p->cx, x, 2, -1);
    vae_moments m = vae_encode(&p->vae, &root, tn_permute(p->cx, pm1, TN_SHAPE(0, 3, 1, 2)));
    return tn_affine(p->cx, m.mean, p->vae.scaling, 0);
}

size_t prior_latent_numbers(const hds_prior *p, size_t count, size_t height, size_t width)
{
    return count * (size_t)p->vae.latent_channels * (height / PRIOR_FACTOR) *
           (width / PRIOR_FACTOR);
}

hds_status prior_check_timesteps(const hds_prior *p, const float *timesteps, size_t count,
                                 hds_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!(timesteps[i] >= 0 && timesteps[i] <= (float)(p->schedule.count - 1)))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "timestep is %g, expected 0 to %d",
                             (double)timesteps[i], p->schedule.count - 1);
    return HDS_OK;
}

hds_status prior_encode(hds_prior *p, const float *images, size_t count, size_t height,
                        size_t width, float *latents, prior_encoding **encoding, hds_error *error)
{
    *encoding = NULL;
    hds_status status = prior_check_size(count, height, width, PRIOR_FACTOR, error);
    if (status != HDS_OK)
        return status;
    prior_encoding *e = hds_alloc(1, sizeof *e);
    if (!e)
        return hds_raise(error, HDS_ERROR_MEMORY, "encoding: out of memory");
    e->prior = hds_prior_ref(p);
    e->image_numbers = count * height * width * 3;

    size_t scope = prior_begin(p);
    bool was = tn_set_grad(p->cx, true);
    tn *x =
        tn_from_f32(p->cx, images, TN_SHAPE((int64_t)count, (int64_t)height, (int64_t)width, 3));
    x = tn_leaf(p->cx, x);
    tn *y = prior_latents_of(p, x);
    prior_take(p, "latents", y, latents, prior_latent_numbers(p, count, height, width));
    e->images = tn_own(p->cx, x);
    e->latents = tn_own(p->cx, y);
    tn_set_grad(p->cx, was);
    status = prior_end(p, scope, error);

    if (status == HDS_OK)
        *encoding = e;
    else
        prior_encoding_destroy(&e);
    return status;
}

hds_status prior_encode_adjoint(prior_encoding *e, const float *dlatents, float *dimages,
                                hds_error *error)
{
    hds_prior *p = e->prior;
    float *gradient = malloc(e->image_numbers * sizeof *gradient);
    if (!gradient)
        return hds_raise(error, HDS_ERROR_MEMORY, "gradient of the picture: out of memory");
    size_t scope = prior_begin(p);
    int64_t shape[4];
    for (int d = 0; d < 4; d++)
        shape[d] = tn_dim(p->cx, e->latents, d);
    tn *dy = tn_from_f32(p->cx, dlatents, 4, shape);
    tn *dx = tn_vjp(p->cx, e->latents, e->images, dy);
    prior_take(p, "gradients on the picture", dx, gradient, e->image_numbers);
    hds_status status = prior_end(p, scope, error);
    for (size_t i = 0; i < e->image_numbers && status == HDS_OK; i++)
        dimages[i] += gradient[i];
    free(gradient);
    return status;
}

void prior_encoding_destroy(prior_encoding **encoding)
{
    prior_encoding *e = *encoding;
    *encoding = NULL;
    if (!e)
        return;
    pthread_mutex_lock(&e->prior->lock);
    tn_release(e->prior->cx, &e->latents);
    tn_release(e->prior->cx, &e->images);
    pthread_mutex_unlock(&e->prior->lock);
    hds_prior_unref(e->prior);
    hds_free(e);
}

bool prior_edits(const hds_prior *p)
{
    return p->unet.in_channels == 2 * p->vae.latent_channels;
}

tn *prior_repeat(tn_context *cx, const tn *x, int copies)
{
    const tn *parts[PRIOR_BRANCHES] = { x, x, x };
    return tn_cat(cx, parts, copies, 0);
}

/* abar at a timestep that may lie between two of training's. */
static double alpha_bar(const schedule *s, float timestep)
{
    int low = (int)timestep, high = low + 1 < s->count ? low + 1 : low;
    double part = (double)timestep - low;
    return (1 - part) * s->alphas_cumprod[low] + part * s->alphas_cumprod[high];
}

void prior_to_noise(const hds_prior *p, const float *latents, const float *timesteps, size_t count,
                    size_t each, float *output)
{
    for (size_t i = 0; i < count && p->schedule.velocity; i++)
        sampler_noise(true, alpha_bar(&p->schedule, timesteps[i]), latents + i * each,
                      output + i * each, each, output + i * each);
}

/* The branches of guidance as one batch: [neither, text], or [neither, picture, both]. */
static hds_status predict_branches(hds_prior *p, const prior_guided *g, int branches,
                                   const float *timesteps, float *out, hds_error *error)
{
    tn_context *cx = p->cx;
    size_t scope = prior_begin(p);
    at root = at_root(cx, p->unet_weights);
    int64_t n = (int64_t)g->count, channels = p->unet.out_channels, c = p->unet.text_width;
    int64_t h = (int64_t)g->h, w = (int64_t)g->w;
    tn *x = prior_repeat(cx, tn_from_f32(cx, g->latents, TN_SHAPE(n, channels, h, w)), branches);
    if (g->picture) {
        const tn *none = tn_zeros(cx, TN_SHAPE(n, channels, h, w));
        const tn *shown = tn_from_f32(cx, g->picture, TN_SHAPE(n, channels, h, w));
        const tn *pictures[] = { none, shown, shown };
        const tn *both[] = { x, tn_cat(cx, pictures, branches, 0) };
        x = tn_cat(cx, both, 2, 1);
    }
    const tn *negative = tn_from_f32(cx, g->negative, TN_SHAPE(n, HDS_TOKENS, c));
    const tn *states[] = { negative, negative, negative };
    states[branches - 1] = tn_from_f32(cx, g->text, TN_SHAPE(n, HDS_TOKENS, c));
    tn *text = tn_cat(cx, states, branches, 0);
    unet_residuals sum;
    const unet_residuals *added =
        prior_controls_apply(p, g->controls, branches, x, timesteps, text, &sum);
    tn *y = unet_forward_with(&p->unet, &root, x, timesteps, branches * n, text,
                              &(unet_extras){ .control = added });
    prior_take(p, "predictions", y, out,
               (size_t)branches * g->count * (size_t)channels * g->h * g->w);
    return prior_end(p, scope, error);
}

static hds_status check_guided(const hds_prior *p, const prior_guided *g, hds_error *error)
{
    hds_status status = prior_check_size(g->count, g->h, g->w, 1, error);
    if (status == HDS_OK)
        status = prior_check_timesteps(p, g->timesteps, g->count, error);
    if (status == HDS_OK)
        status = prior_controls_check(p, g->controls, error);
    if (status == HDS_OK && prior_edits(p) && !g->picture)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT,
                      "%s edits pictures (InstructPix2Pix) and was given none to edit", p->path);
    if (status == HDS_OK && !prior_edits(p) && g->picture)
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "%s does not edit pictures: its UNet has %d input channels, that of an "
                           "InstructPix2Pix model has 8",
                           p->path, p->unet.in_channels);
    return status;
}

hds_status prior_predict_guided(hds_prior *p, const prior_guided *g, hds_error *error)
{
    hds_status status = check_guided(p, g, error);
    if (status != HDS_OK)
        return status;
    int branches = g->picture ? 3 : 2;
    size_t each = (size_t)p->unet.out_channels * g->h * g->w, numbers = g->count * each;
    float *out = malloc((size_t)branches * numbers * sizeof *out);
    float *timesteps = malloc((size_t)branches * g->count * sizeof *timesteps);
    if (out && timesteps) {
        for (int k = 0; k < branches; k++)
            memcpy(timesteps + (size_t)k * g->count, g->timesteps, g->count * sizeof *timesteps);
        status = predict_branches(p, g, branches, timesteps, out, error);
    } else {
        status = hds_raise(error, HDS_ERROR_MEMORY, "noise prediction: out of memory");
    }
    if (status == HDS_OK) {
        for (int k = 0; k < branches && !g->as_is; k++)
            prior_to_noise(p, g->latents, g->timesteps, g->count, each, out + (size_t)k * numbers);
        const float *cond = out + (size_t)(branches - 1) * numbers;
        if (g->picture)
            sampler_guide_edit(out, out + numbers, cond, g->picture_guidance, g->guidance, numbers,
                               g->noise);
        else
            sampler_guide(out, cond, g->guidance, numbers, g->noise);
        if (g->uncond)
            memcpy(g->uncond, out, numbers * sizeof *out);
        if (g->cond)
            memcpy(g->cond, cond, numbers * sizeof *cond);
    }
    free(out);
    free(timesteps);
    return status;
}

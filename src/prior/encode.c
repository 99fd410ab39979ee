/* SPDX-License-Identifier: Apache-2.0 */
/* Images to latents and back: the VAE through the public calls, and the encoder with its graph kept
 * so that a gradient on the latents comes back to the images. */
#include "prior_priv.h"

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
    if (!work_forked()) {
        pthread_mutex_lock(&e->prior->lock);
        tn_release(e->prior->cx, &e->latents);
        tn_release(e->prior->cx, &e->images);
        pthread_mutex_unlock(&e->prior->lock);
    }
    hds_prior_unref(e->prior);
    hds_free(e);
}

hds_status hds_prior_encode_image(hds_prior *p, const float *images, size_t count, size_t height,
                                  size_t width, float *latents, hds_error *error)
{
    hds_status status = prior_check_size(count, height, width, PRIOR_FACTOR, error);
    if (status == HDS_OK)
        status = prior_check_finite("images", images, count * height * width * 3, error);
    if (status != HDS_OK)
        return status;
    size_t scope = prior_begin(p);
    tn *x =
        tn_from_f32(p->cx, images, TN_SHAPE((int64_t)count, (int64_t)height, (int64_t)width, 3));
    tn *y = prior_latents_of(p, x);
    prior_take(p, "latents", y, latents, prior_latent_numbers(p, count, height, width));
    return prior_end(p, scope, error);
}

hds_status hds_prior_decode_latents(hds_prior *p, const float *latents, size_t count, size_t h,
                                    size_t w, float *images, hds_error *error)
{
    int64_t channels = p->vae.latent_channels;
    hds_status status = prior_check_size(count, h, w, 1, error);
    if (status == HDS_OK)
        status = prior_check_finite("latents", latents, count * (size_t)channels * h * w, error);
    if (status != HDS_OK)
        return status;
    size_t scope = prior_begin(p);
    at root = at_root(p->cx, p->vae_weights);
    tn *z = tn_from_f32(p->cx, latents, TN_SHAPE((int64_t)count, channels, (int64_t)h, (int64_t)w));
    tn *y = vae_decode(&p->vae, &root, tn_affine(p->cx, z, 1 / p->vae.scaling, 0));
    y = tn_clamp(p->cx, tn_affine(p->cx, y, 0.5, 0.5), 0, 1);
    y = tn_permute(p->cx, y, TN_SHAPE(0, 2, 3, 1));
    prior_take(p, "pictures", y, images, count * PRIOR_FACTOR * h * PRIOR_FACTOR * w * 3);
    return prior_end(p, scope, error);
}

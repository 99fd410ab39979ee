/* SPDX-License-Identifier: Apache-2.0 */
/* Score distillation: from rendered pictures and a prompt to the gradient on the pictures.
 *
 *   z = encode(x),  z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps
 *   eps_hat = eps(z_t, null) + s (eps(z_t, text) - eps(z_t, null))
 *   dx = (dz/dx)^T (1 - abar_t) (eps_hat - eps)
 *
 * No gradient passes through the UNet. Poole et al., "DreamFusion", 2022, equation 3; the weight
 * is theirs for a DDPM schedule. Signs: dx is the gradient of a loss, to descend. */
#ifndef HDS_SDS_H
#define HDS_SDS_H

#include "base/base.h"
#include "headsds/prior.h"

/* The states of one prompt seen from three sides and as a texture map, and those of the null of
 * guidance with each. */
typedef enum sds_side { SDS_FRONT, SDS_SIDE, SDS_BACK, SDS_MAP, SDS_SIDES } sds_side;
typedef struct sds_text {
    size_t states;    /* floats of one text: 77 * text width */
    float *sides;     /* (SDS_SIDES, states) */
    float *negatives; /* (SDS_SIDES, states) */
} sds_text;
/* Encodes "<prompt>, front view" and so on, and "<prefix><prompt>" for the map, where prefix is the
 * prior's "a texture map of " or the like. negative: the null for all sides; NULL: the prior's
 * neutral prompt, with the words for each side as the prompt has them; else "". */
HDS_NODISCARD hds_status sds_text_init(sds_text *text, hds_prior *prior, const char *prompt,
                                       const char *negative, hds_error *error);
void sds_text_finish(sds_text *text);
/* Front within 45 degrees of azimuth, back beyond 135, else side. */
sds_side sds_side_of(float azimuth);

typedef struct sds_batch {
    size_t count, height, width;
    const float *images;    /* (count,height,width,3) in [0,1] */
    const sds_side *sides;  /* (count) */
    const float *timesteps; /* (count) whole numbers in [0, timestep_count) */
    uint64_t seed, stream;  /* of the noise: equal values give equal noise */
    float guidance_scale;
} sds_batch;
/* dimages (count,height,width,3) is set. A view whose guided prediction overflows contributes zero;
 * HDS_ERROR_INTERNAL when that holds for all of them. A prediction that is not finite before
 * guidance is the prior's error. */
HDS_NODISCARD hds_status sds_gradient(hds_prior *prior, const sds_text *text,
                                      const sds_batch *batch, float *dimages, hds_error *error);

/* The same for one picture, images (height,width,3), with `count` draws of noise: the residual g is
 * their mean, and comes back through the decoder,
 *   dx = (d decode / dz) g,  by a central difference of +-0.1 g / rms(g)
 * in place of (dz/dx)^T g. The encoder's adjoint turns most of a residual into the fine patterns
 * that the encoder is sensitive to; the decoder turns it into the picture that it means. For what
 * can take any picture, such as a texture map; dimage (height,width,3) is set. */
HDS_NODISCARD hds_status sds_decoded_gradient(hds_prior *prior, const sds_text *text,
                                              const sds_batch *batch, float *dimage,
                                              hds_error *error);

#endif

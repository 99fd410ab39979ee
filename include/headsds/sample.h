/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures from a prior by its reverse diffusion, from a prompt or from a picture and a prompt:
 * previews, textures, and a look at what a prior knows. */
#ifndef HEADSDS_SAMPLE_H
#define HEADSDS_SAMPLE_H

#include "headsds/prior.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Zeros take the defaults. */
typedef struct hds_sample_params {
    const char *prompt;
    const char *negative_prompt; /* "" */
    /* "ddim", "ddpm", "pndm", "euler", "euler_ancestral", "unipc" or "dpm++_2m"; NULL: the one
     * that the prior's folder names */
    const char *scheduler;
    int steps;            /* 25; 1 to the schedule's timesteps */
    float guidance_scale; /* 7.5; 1 is none. Ho and Salimans, "Classifier-free guidance", 2021 */
    uint64_t seed;
    const hds_control *controls; /* (control_count) images (height,width,3); or NULL */
    size_t control_count;
    const float *noise;   /* (4,height/8,width/8) standard normal to begin with in place of the
                             seed's, or NULL */
    size_t height, width; /* pixels, multiples of 8; the size that the UNet was trained for */
    const float *image;   /* (height,width,3) RGB in [0,1] to begin with, or NULL: noise only. Of a
                             prior that edits: the picture that is edited, never NULL */
    float strength;       /* with an image: the share of the steps that is run on it, (0,1]; 0.8.
                             Without a meaning for a prior that edits */
    float image_guidance_scale; /* of a prior that edits: how near to its picture it stays; 1.5.
                                   Brooks, Holynski, Efros, "InstructPix2Pix", 2023, equation 3 */
    /* Before the first and after each of `steps` evaluations of the UNet: how many are done, and
     * the latents (4,height/8,width/8) so far, which hds_prior_decode_latents makes a preview of.
     * False cancels. May be NULL. */
    bool (*progress)(void *context, int step, int steps, const float *latents);
    void *context;
} hds_sample_params;
/* image (height,width,3) is set, in [0,1]. Equal params give equal pictures. Takes turns with other
 * calls on the prior between steps. HDS_ERROR_CANCELLED when progress says so. */
HDS_API HDS_NODISCARD hds_status hds_prior_sample(hds_prior *prior, const hds_sample_params *params,
                                                  float *image, hds_error *error);
/* The size that params ask for: what `image` must hold. */
HDS_API void hds_sample_size(const hds_prior *prior, const hds_sample_params *params,
                             size_t *height, size_t *width);

#ifdef __cplusplus
}
#endif

#endif

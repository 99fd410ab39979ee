/* SPDX-License-Identifier: Apache-2.0 */
/* The stages of training the sample prior. */
#ifndef SAMPLES_TRAIN_PRIOR_H
#define SAMPLES_TRAIN_PRIOR_H

#include "data.h"
#include "headsds/error.h"
#include "tensor/tensor.h"

enum { TRAIN_LATENT_SIDE = DATA_SIZE / 8, TRAIN_CHUNK = 64 };
enum { TRAIN_LATENT_NUMBERS = 4 * TRAIN_LATENT_SIDE * TRAIN_LATENT_SIDE };

typedef struct train {
    tn_context *cx;
    const char *folder; /* the prior's folder with its configs */
    const char *work;   /* checkpoints and latents */
    data *data;
} train;

/* One encoded picture of WORK/latents.bin. */
typedef struct train_record {
    data_sample sample;
    float latents[TRAIN_LATENT_NUMBERS]; /* posterior mean, scaled */
} train_record;

/* Pictures to latents and back; writes vae/ of the folder. Steps count from the very first. */
HDS_NODISCARD hds_status train_vae(train *t, int64_t steps, hds_error *error);
/* Appends encoded pictures to WORK/latents.bin until it holds `count`. */
HDS_NODISCARD hds_status train_latents(train *t, int64_t count, hds_error *error);
/* Captions to what they say; writes text_encoder/ of the folder. */
HDS_NODISCARD hds_status train_text(train *t, int64_t steps, hds_error *error);
/* Noise from noisy latents and captions; writes unet/ of the folder. */
HDS_NODISCARD hds_status train_unet(train *t, int64_t steps, hds_error *error);

#endif

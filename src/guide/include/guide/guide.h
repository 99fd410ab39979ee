/* SPDX-License-Identifier: Apache-2.0 */
/* Guides: what says how an image should change. A guide is shown rendered views, or the texture map
 * itself, and adds the gradient of its loss on them.
 *
 * Score distillation, sds.c:
 *   z = encode(x),  z_t = sqrt(abar_t) z + sqrt(1 - abar_t) eps
 *   eps_hat = eps(z_t, null) + s (eps(z_t, text) - eps(z_t, null))
 *   dx = (dz/dx)^T (1 - abar_t) (eps_hat - eps)
 * No gradient passes through the UNet. Poole et al., "DreamFusion", 2022, equation 3; the weight
 * is theirs for a DDPM schedule. Signs: dx is the gradient of a loss, to descend. */
#ifndef HDS_GUIDE_H
#define HDS_GUIDE_H

#include "base/base.h"
#include "headsds/generate.h"
#include "headsds/prior.h"

#include <jansson.h>

/* ---- a step, as a value ---- */

typedef struct guide_step {
    uint64_t seed;
    int stage, step; /* from 0 */
    int steps;       /* of the stage */
} guide_step;
/* The stream of random numbers of a view of this step, or of its noise: they never collide (2^7
 * stages, 2^24 steps, 2^16 views). The first number of a view's stream is its timestep's. */
uint64_t guide_stream(const guide_step *at, size_t view, bool noise);

/* ---- text.c ---- */

typedef enum guide_side { GUIDE_FRONT, GUIDE_SIDE, GUIDE_BACK, GUIDE_MAP, GUIDE_SIDES } guide_side;
/* Text embeddings of one prompt for each view direction and for the texture map, and of the
 * unconditional text for each. */
typedef struct guide_text {
    size_t tokens;    /* of each text: 77 for each chunk of the longest */
    size_t states;    /* floats of one text: tokens * text width */
    float *sides;     /* (GUIDE_SIDES, states) */
    float *negatives; /* (GUIDE_SIDES, states) */
} guide_text;
/* Encodes "<prompt>, front view" and so on, and "<prefix><prompt>" for the map, where prefix is the
 * prior's "a texture map of " or the like. negative: the unconditional text of all directions;
 * NULL: the prior's neutral prompt, with the same words for each direction; else "". */
HDS_NODISCARD hds_status guide_text_init(guide_text *text, hds_prior *prior, const char *prompt,
                                         const char *negative, hds_error *error);
void guide_text_finish(guide_text *text);
/* Front within 45 degrees of azimuth, back beyond 135, else side. */
guide_side guide_side_of(float azimuth);

/* ---- timestep.c ---- */

/* Timesteps of the `count` views of a step, whole numbers, by the guidance's schedule and range. */
void guide_timesteps(const hds_guidance *p, const guide_step *at, uint64_t offset,
                     int timestep_count, size_t count, float *timesteps);

/* ---- the interface ---- */

/* What a stage shows; borrowed. */
typedef struct guide_input {
    size_t count, height, width;
    bool map;                /* images is one image, the texture map, with `count` draws of noise */
    const float *images;     /* (count,height,width,3), or (height,width,3), in [0,1] */
    const guide_side *sides; /* (count) */
} guide_input;

typedef struct guide_report {
    double timestep; /* mean over the views */
    double residual; /* root mean square of the weighted residual on the latents */
} guide_report;

typedef struct guide_setup {
    hds_prior *prior;
    const char *prompt, *negative_prompt; /* negative_prompt may be NULL */
    int index;                            /* of the guidance in its stage */
} guide_setup;

typedef struct guide guide;
/* Visits arrays that a checkpoint holds. kind and itemsize as NumPy has them; false stops. */
typedef struct state_visitor {
    bool (*array)(const struct state_visitor *v, const char *name, char kind, size_t itemsize,
                  size_t count, void *data);
    void *context;
} state_visitor;

/* A guide: one file, and a choice in the table of options. */
typedef struct guide_ops {
    const char *name;
    HDS_NODISCARD hds_status (*init)(guide *g, const guide_setup *setup, hds_error *error);
    /* dimages, of the images' size, += the gradient of the guide's loss, without its weight */
    HDS_NODISCARD hds_status (*gradient)(guide *g, const guide_step *at, const guide_input *input,
                                         float *dimages, guide_report *report, hds_error *error);
    bool (*visit)(guide *g, const state_visitor *v); /* or NULL */
    void (*finish)(guide *g);
} guide_ops;

struct guide {
    const guide_ops *ops;
    hds_guidance params;
    hds_prior *prior; /* referenced */
    int index;
    void *state; /* of the kind */
};

/* Calls ops->init; on failure there is nothing to finish. */
HDS_NODISCARD hds_status guide_init(guide *g, const guide_ops *ops, const hds_guidance *params,
                                    const guide_setup *setup, hds_error *error);
void guide_finish(guide *g);

/* ---- sds.c ---- */

extern const guide_ops guide_sds;

typedef struct guide_batch {
    size_t count, height, width;
    const float *images;     /* (count,height,width,3) in [0,1] */
    const guide_side *sides; /* (count) */
    const float *timesteps;  /* (count) in [0, timestep_count) */
    uint64_t seed, stream;   /* of the noise: equal values give equal noise */
    float guidance_scale;
} guide_batch;
/* dimages (count,height,width,3) is set; *residual: as in guide_report, may be NULL. A view whose
 * guided prediction overflows contributes zero; HDS_ERROR_INTERNAL when that holds for all of them.
 * A prediction that is not finite before guidance is the prior's error. */
HDS_NODISCARD hds_status guide_sds_views(hds_prior *prior, const guide_text *text,
                                         const guide_batch *batch, float *dimages, double *residual,
                                         hds_error *error);

/* The same for one image, images (height,width,3), with `count` draws of noise: the residual g is
 * their mean, and comes back through the decoder,
 *   dx = (d decode / dz) g,  by a central difference of +-0.1 g / rms(g)
 * in place of (dz/dx)^T g. The encoder's adjoint turns most of a residual into the fine patterns
 * that the encoder is sensitive to; the decoder turns it into the image that it means. For what
 * can take any image, such as a texture map; dimage (height,width,3) is set. */
HDS_NODISCARD hds_status guide_sds_map(hds_prior *prior, const guide_text *text,
                                       const guide_batch *batch, float *dimage, double *residual,
                                       hds_error *error);

#endif

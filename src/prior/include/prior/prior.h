/* SPDX-License-Identifier: Apache-2.0 */
/* A prior as a handle: the files of a latent diffusion model loaded once and shared, pictures
 * encoded and decoded, and one evaluation of its UNet with everything that can go into it.
 *
 * The public half is in headsds/prior.h, sample.h, attention.h and clip.h. */
#ifndef HDS_PRIOR_H
#define HDS_PRIOR_H

#include "diffusion/diffusion.h"
#include "headsds/prior.h"

/* ---- files.c, single.c: where weights lie ---- */

/* The weights of a part in its folder of a diffusers model: stem.safetensors, in shards, their
 * float16 variant, or torch checkpoints; adopt: NULL, or without a context. On failure NULL, and
 * the context has failed. */
weights *prior_part_open(tn_context *cx, const char *folder, const char *stem, weights_adopt adopt);
/* The adopt of a text encoder's folder. */
void prior_adopt_text_part(void *none, weights *w, const io_tensor *tensor);
/* Of a file with the names of the original release: weights_adopt for each part, whose context is
 * its configuration. */
void prior_adopt_text(void *clip_text_config, weights *w, const io_tensor *tensor);
void prior_adopt_vae(void *vae_config, weights *w, const io_tensor *tensor); /* or one alone */
void prior_adopt_unet(void *unet_config, weights *w, const io_tensor *tensor);
void prior_adopt_control(void *controlnet_config, weights *w, const io_tensor *tensor);

/* The original release's name of a weight of the UNet; false: it has none. */
enum { PRIOR_NAME = 320 };
bool prior_unet_original(const unet_config *c, const char *name, char original[PRIOR_NAME]);
/* What a file says of itself. Refuses by what it is one that is no whole model of this kind, as it
 * may do without a VAE only where that is elsewhere. */
typedef struct prior_single {
    bool velocity, ends_at_zero; /* it has the marks "v_pred", "ztsnr" */
} prior_single;
HDS_NODISCARD hds_status prior_single_look(prior_single *s, const char *path, bool vae_elsewhere,
                                           hds_error *error);

/* ---- device.c: where networks run, and in which dtype ---- */

typedef struct prior_device_params {
    const char *device, *dtype; /* as in hds_prior_params */
    int channels;               /* of the network, by which dtype "auto" decides */
} prior_device_params;
/* Creates a context. *name: new string; *kept: dtype of the weight matrices. On failure the caller
 * destroys and frees what is not NULL. */
HDS_NODISCARD hds_status prior_device_open(tn_context **cx, char **name, tn_type *kept,
                                           const prior_device_params *params, hds_error *error);
const char *prior_dtype_name(tn_type type);
/* In place of "auto" and NULL what they come to on this machine; *dtype NULL: it depends on the
 * network. */
void prior_device_resolve(const char **device, const char **dtype);

/* ---- card.c ---- */

/* headsds.json of a prior's folder, where there is one: what no file of Stable Diffusion says. All
 * owned, or NULL. */
typedef struct prior_card {
    char *head;    /* it knows texture maps in the UV layout of the head model of this name, */
    char *prefix;  /* whose captions begin so: "a texture map of " */
    char *neutral; /* a caption of nothing in particular: "a head" */
} prior_card;
HDS_NODISCARD hds_status prior_card_load(prior_card *c, const char *path, hds_error *error);
void prior_card_finish(prior_card *c);

/* ---- encode.c ---- */

/* Pictures encoded with the graph kept, so that a gradient on the latents can come back. It holds
 * the activations: destroy it soon. */
typedef struct prior_encoding prior_encoding;
/* images (count,height,width,3) in [0,1] -> latents (count,4,height/8,width/8), scaled */
HDS_NODISCARD hds_status prior_encode(hds_prior *prior, const float *images, size_t count,
                                      size_t height, size_t width, float *latents,
                                      prior_encoding **encoding, hds_error *error);
/* dimages += (dlatents/dimages)^T dlatents; once for an encoding */
HDS_NODISCARD hds_status prior_encode_adjoint(prior_encoding *encoding, const float *dlatents,
                                              float *dimages, hds_error *error);
void prior_encoding_destroy(prior_encoding **encoding);

/* ---- prior.c ---- */

/* abar at a timestep, which may be fractional */
float prior_alpha_bar(const hds_prior *prior, float timestep);
/* What a result depends on: {"unet": hash, "vae": hash, "text_encoder": hash, "schedule": hash,
 * "loras": [{"hash", "scale"}], "embeddings": [{"token", "hash"}], "controlnets": {name: hash},
 * "dtype", "device": "cpu" or "cuda"}. Hashes are of the weights' names, shapes and bytes, wherever
 * the files lie. New; NULL: out of memory. */
json_t *prior_record(hds_prior *prior);

/* ---- predict.c ---- */

/* One evaluation of the UNet on `count` latents. With `negative`, classifier-free guidance in one
 * batch of 2 count:  noise = uncond + guidance_scale (cond - uncond);  an InstructPix2Pix model is
 * guided both ways in one of 3 count (sampler_guide_edit). */
typedef struct prior_request {
    size_t count, h, w;
    const float *latents;   /* (count,4,h,w) */
    const float *timesteps; /* (count), may be fractional */
    size_t tokens;          /* of each text; 0: 77 */
    const float *text;      /* (count,tokens,C) */
    const float *negative;  /* (count,tokens,C), or NULL: no guidance, one branch */
    float guidance_scale;
    const hds_control *controls; /* (control_count), or NULL */
    size_t control_count;
    const float *image; /* (count,4,h,w) InstructPix2Pix only: posterior means of the
                           image that is edited, not scaled; else NULL */
    float image_guidance_scale;
    bool raw;                    /* the network's output as it is, be it v, in place of the noise */
    const unet_capture *capture; /* of a request without guidance; or NULL */
    float *noise;                /* (count,4,h,w) */
    float *uncond, *cond;        /* likewise: the predictions with neither and with all; or NULL */
} prior_request;
HDS_NODISCARD hds_status prior_predict(hds_prior *prior, const prior_request *request,
                                       hds_error *error);

#endif

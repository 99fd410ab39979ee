/* SPDX-License-Identifier: Apache-2.0 */
/* The networks of latent diffusion (CLIP text encoder, VAE, UNet, ControlNet) as functions on a
 * place, their configurations, the noise schedule and samplers: functions only, no handles.
 *
 * Networks use the sticky error of the place's context; weights that do not exist yet are made when
 * the store grows, so the same functions train a model from nothing. Each has a survey that checks
 * (or makes) every weight without arithmetic. Names of modules and weights are those of diffusers
 * and transformers. Rombach et al. 2022; Radford et al. 2021 (CLIP). */
#ifndef HDS_DIFFUSION_H
#define HDS_DIFFUSION_H

#include "nn/nn.h"

enum { DIFFUSION_MAX_LEVELS = 8 };

/* ---- config.c: from config.json, absent keys as the reference fills them in ---- */

typedef struct clip_text_config {
    int layers, heads, width, inner, vocabulary, positions;
    int64_t end_id; /* eos_token_id; 2 (old files) means: the end is the largest id */
    double eps;
    bool quick_gelu; /* else exact GELU */
} clip_text_config;

typedef struct clip_vision_config {
    int layers, heads, width, inner, image_size, patch_size;
    double eps;
    bool quick_gelu;
} clip_vision_config;

/* Text and vision with projections to one space, as config.json of openai/clip-vit-* has them. */
typedef struct clip_pair_config {
    clip_text_config text;
    clip_vision_config vision;
    int projection; /* width of the common space */
} clip_pair_config;

/* preprocessor_config.json: how a picture becomes what the vision tower sees. */
typedef struct clip_pixels_config {
    int resized;                  /* its shorter side before the crop, */
    int size;                     /* the square at its centre */
    double mean[3], deviation[3]; /* of the colours, which are then (x - mean) / deviation */
} clip_pixels_config;

typedef struct vae_config {
    int image_channels, latent_channels;
    int levels, channels[DIFFUSION_MAX_LEVELS];
    int layers, groups; /* residual blocks a level, groups of a norm */
    double scaling;     /* latents = mean * scaling */
} vae_config;

typedef struct unet_config {
    int in_channels, out_channels;
    int levels, channels[DIFFUSION_MAX_LEVELS];
    bool down_attention[DIFFUSION_MAX_LEVELS], up_attention[DIFFUSION_MAX_LEVELS];
    int heads[DIFFUSION_MAX_LEVELS]; /* "attention_head_dim" is the number of heads */
    int layers, groups, text_width, sample_size;
    bool
        linear_projection; /* proj_in and proj_out of transformers: linear, else 1x1 convolutions */
    double eps;
} unet_config;

typedef struct controlnet_config {
    unet_config unet; /* the half that it is a copy of; no up_attention */
    int condition_levels, condition_channels[DIFFUSION_MAX_LEVELS];
} controlnet_config;

HDS_NODISCARD hds_status clip_text_config_load(clip_text_config *c, const char *path,
                                               hds_error *error);
HDS_NODISCARD hds_status clip_pair_config_load(clip_pair_config *c, const char *path,
                                               hds_error *error);
HDS_NODISCARD hds_status clip_pixels_config_load(clip_pixels_config *c, const char *path,
                                                 hds_error *error);
HDS_NODISCARD hds_status vae_config_load(vae_config *c, const char *path, hds_error *error);
HDS_NODISCARD hds_status unet_config_load(unet_config *c, const char *path, hds_error *error);
/* A copy of this UNet that sees pictures as those of Stable Diffusion 1 do. */
void controlnet_config_default(controlnet_config *c, const unet_config *unet);
HDS_NODISCARD hds_status controlnet_config_load(controlnet_config *c, const char *path,
                                                hds_error *error);

/* ---- clip.c ---- */

/* ids (count, length), on the host -> states (count, length, width) after the first `layers` of
 * the encoder's layers, before the final norm. */
tn *clip_text_hidden(const clip_text_config *c, const at *p, const int64_t *ids, int64_t count,
                     int64_t length, int layers);
/* The last hidden state after the final layer norm; skip: layers left out at the end. */
tn *clip_text_encode(const clip_text_config *c, const at *p, const int64_t *ids, int64_t count,
                     int64_t length, int skip);
/* states (count, length, width) -> the row at each text's end token (count, width) */
tn *clip_text_pool(const clip_text_config *c, const at *p, const tn *states, const int64_t *ids);
void clip_text_survey(const clip_text_config *c, const at *p);

/* ---- clip_vision.c ---- */

/* pixels (B,3,image_size,image_size) as clip_pixels_normalise gives them -> states (B,1+P,width),
 * the class token and P patches, before the last norm */
tn *clip_vision_encode(const clip_vision_config *c, const at *p, const tn *pixels);
/* states -> the class token's, after the last norm (B,width) */
tn *clip_vision_pool(const clip_vision_config *c, const at *p, const tn *states);

/* -> (B,projection), not normalised */
tn *clip_pair_project_text(const clip_pair_config *c, const at *p, const tn *pooled);
tn *clip_pair_project_vision(const clip_pair_config *c, const at *p, const tn *pooled);
/* What the cosine is multiplied by to give the logits of training: exp(logit_scale), (). */
tn *clip_pair_logit_scale(const at *p);
void clip_pair_survey(const clip_pair_config *c, const at *p);

/* ---- clip_pixels.c ---- */

/* image (height,width,3) -> square (size,size,3): the shorter side to `resized` by antialiased
 * cubic convolution, of that the centre. false: no memory. */
bool clip_pixels_crop(const clip_pixels_config *c, const float *image, size_t height, size_t width,
                      float *square);
/* dsquare -> += dimage */
bool clip_pixels_crop_adjoint(const clip_pixels_config *c, size_t height, size_t width,
                              const float *dsquare, float *dimage);
/* squares (B,size,size,3) -> pixels (B,3,size,size); what overshot [0,1] is clamped, as 8 bits do
 */
tn *clip_pixels_normalise(const clip_pixels_config *c, tn_context *cx, const tn *squares);

/* ---- vae.c ---- */

typedef struct vae_moments {
    tn *mean, *logvar; /* (B,latent,H/f,W/f), f = 2^(levels-1); mean not scaled */
} vae_moments;
/* images (B,3,H,W) in [-1,1] */
vae_moments vae_encode(const vae_config *c, const at *p, const tn *images);
/* latents (B,latent,h,w), already divided by c->scaling -> (B,3,f h,f w), about [-1,1] */
tn *vae_decode(const vae_config *c, const at *p, const tn *latents);
void vae_survey(const vae_config *c, const at *p);

/* ---- unet.c ---- */

/* latents (B,in,h,w) of any size, timesteps on the host (B, or 1 for all; may be fractional), text
 * (B,L,text_width) -> (B,out,h,w) */
tn *unet_forward(const unet_config *c, const at *p, const tn *latents, const float *timesteps,
                 int64_t timestep_count, const tn *text);
void unet_survey(const unet_config *c, const at *p);

/* ---- controlnet.c ---- */

/* What is added to the UNet's outputs on the way down and in the middle. */
enum { UNET_MAX_SKIPS = 128 };
typedef struct unet_residuals {
    tn *down[UNET_MAX_SKIPS];
    int count;
    tn *mid;
} unet_residuals;
/* picture (B,3,8h,8w) in [0,1]; everything is multiplied by scale. The results, and what lies
 * between, live in the caller's scope. */
void controlnet_forward(const controlnet_config *c, const at *p, const tn *latents,
                        const float *timesteps, int64_t timestep_count, const tn *text,
                        const tn *picture, double scale, unet_residuals *out);
void controlnet_survey(const controlnet_config *c, const at *p);
void unet_residuals_add(tn_context *cx, unet_residuals *s, const unet_residuals *more); /* s += */
/* Sees the cross-attentions that it wants, and costs nothing in the others. */
enum { UNET_PATH = 96 };
typedef struct unet_capture {
    bool (*wants)(void *context, int64_t rows, int64_t columns);
    /* weights (B, rows columns, K): softmax over the K tokens, mean over heads; goes after the
     * call. path: "down_blocks.0.attentions.0.transformer_blocks.0.attn2" */
    void (*take)(void *context, const char *path, const tn *weights);
    void *context;
} unet_capture;
typedef struct unet_extras {
    const unet_residuals *control; /* added, or NULL */
    const unet_capture *capture;   /* or NULL */
} unet_extras;
tn *unet_forward_with(const unet_config *c, const at *p, const tn *latents, const float *timesteps,
                      int64_t timestep_count, const tn *text, const unet_extras *extras);

/* ---- schedule.c ---- */

typedef struct schedule {
    int count;             /* timesteps */
    float *betas;          /* (count) */
    float *alphas_cumprod; /* (count), cumulative product in float32 */
    bool velocity;         /* the network predicts v (Salimans and Ho 2022), else the noise */
} schedule;
HDS_NODISCARD hds_status schedule_load(schedule *s, const char *path, hds_error *error);
void schedule_finish(schedule *s);
/* Zero terminal SNR ("rescale_betas_zero_snr", which schedule_load obeys): the last abar becomes 0,
 * the first stays. Lin et al. 2024, algorithm 1. */
void schedule_end_at_zero(schedule *s);
/* abar at a timestep that may lie between two of training's. */
double schedule_alpha_bar(const schedule *s, float timestep);
/* noisy = sqrt(abar_t) x + sqrt(1 - abar_t) noise, `each` numbers for each of `count` timesteps */
void schedule_add_noise(const schedule *s, const float *x, const float *noise, const int *timesteps,
                        size_t count, size_t each, float *noisy);

/* ---- sampler_config.c: how a run of sampling goes, from scheduler_config.json ---- */

typedef enum sampler_kind {
    SAMPLER_OF_FILE, /* the file's "_class_name" */
    SAMPLER_DDIM,    /* Song et al. 2021 */
    SAMPLER_DDPM,    /* Ho et al. 2020 */
    SAMPLER_PNDM,    /* Liu et al. 2022 */
    SAMPLER_EULER,   /* Karras et al. 2022, without churn */
    SAMPLER_EULER_ANCESTRAL,
    SAMPLER_UNIPC, /* Zhao et al. 2023: order 2, B(h) = e^h - 1 */
    SAMPLER_DPM_2M /* DPM-Solver++ 2M, Lu et al. 2022: midpoint */
} sampler_kind;

/* Where the timesteps of a run stand in those of training. */
typedef enum sampler_spacing {
    SAMPLER_LEADING,  /* from steps_offset up, in whole strides */
    SAMPLER_TRAILING, /* from the last one down */
    SAMPLER_LINSPACE  /* from the first to the last */
} sampler_spacing;

/* Where the sigmas of a run stand between its highest and lowest. */
typedef enum sampler_sigmas {
    SAMPLER_OF_TIMESTEPS, /* those of the timesteps */
    SAMPLER_KARRAS,       /* Karras et al. 2022, equation 5, rho 7 */
    SAMPLER_EXPONENTIAL   /* even in the logarithm */
} sampler_sigmas;

typedef struct sampler_config {
    sampler_kind kind;
    sampler_spacing spacing;
    int steps_offset;
    bool velocity;      /* the network predicts v (Salimans and Ho 2022), else the noise */
    bool ends_at_first; /* the last step ends at the first timestep of training, else at no noise:
                           "set_alpha_to_one" false, "final_sigmas_type" "sigma_min" */
    sampler_sigmas sigmas;
    bool truncates; /* UniPC, DPM: timesteps of such sigmas lose their fraction, else are rounded */
    bool runge_kutta; /* PNDM: its first three steps, "skip_prk_steps" false */
    bool large;       /* DDPM: a step's noise has the variance beta, "fixed_large" */
    double clip;      /* DDIM, DDPM: x0 is cut to +-clip; 0: it is not */
    double quantile;  /* x0 is cut to +-s and divided by s, this quantile of its amounts (Saharia et
                         al. 2022); 0: it is not */
    double quantile_most; /* s is in [1, this] */
    bool first_order;     /* UniPC, DPM: "solver_order" 1, else 2 */
    bool stochastic;      /* DPM: "sde-dpmsolver++" */
    bool heun;            /* DPM: "solver_type", else midpoint */
    bool first_at_end;    /* DPM: the last step is of first order, "euler_at_final" */
    bool keeps_order;     /* DPM: short runs too end in second order, "lower_order_final" false */
    double lambda_least;  /* DPM: timesteps of a lower lambda are left out */
    double eta;           /* DDIM: share of DDPM's noise. Not in the file: 0 until it is set */
} sampler_config;
/* Absent keys as the reference fills them in for that kind; path is for messages. A `kind` that is
 * not the file's takes the settings that both know, and its own defaults where the file's value is
 * none of its; the file's own kind refuses such a value, and what it does not know, by name. */
HDS_NODISCARD hds_status sampler_config_read(sampler_config *c, const json_t *json,
                                             const char *path, sampler_kind kind, hds_error *error);

/* ---- sampler.c: from noise to a sample, given a network's outputs ---- */

/* sample = noise_scale * noise
 * for i in 0 .. count-1:
 *     output = network(sampler_scale_input(i, sample), timesteps[i])
 *     sample = sampler_step(i, output, sample, noise) */
typedef struct sampler {
    sampler_config config;
    const schedule *schedule; /* borrowed */
    int count;        /* evaluations of the network: PNDM has one more than steps, or nine */
    float *timesteps; /* (count), never rising; may be fractional */
    float *sigmas; /* (count + 1), noise over signal; NULL: DDIM, DDPM, PNDM look in the schedule */
    double noise_scale;
    bool stochastic; /* the steps want noise */
    int steps, stride;
    size_t numbers; /* floats of a sample */
    float *history; /* rows of numbers: what the steps before left, or this step's x0 */
    float *sorted;  /* a row, where x0 is cut by a quantile, else NULL; in history */
} sampler;

/* `steps` over all of `trained`, of which the first `skip` are left out: a run that starts from
 * sampler_add_noise of something instead of from noise. */
HDS_NODISCARD hds_status sampler_init(sampler *s, const sampler_config *c, const schedule *trained,
                                      int steps, int skip, size_t numbers, hds_error *error);
void sampler_finish(sampler *s);
/* noisy = x at the noise of timesteps[0] */
void sampler_add_noise(const sampler *s, const float *x, const float *noise, float *noisy);
void sampler_scale_input(const sampler *s, int i, const float *sample, float *input);
/* i = 0, 1, ... in turn; 0 begins anew. noise: standard normal, NULL where not stochastic. `next`
 * may be `sample`. */
void sampler_step(sampler *s, int i, const float *output, const float *sample, const float *noise,
                  float *next);

/* What a network's output says of a sample = sqrt(abar) x0 + sqrt(1 - abar) eps. */
void sampler_clean(bool velocity, double abar, const float *sample, const float *output,
                   size_t numbers, float *x0);
void sampler_noise(bool velocity, double abar, const float *sample, const float *output,
                   size_t numbers, float *eps);

/* uncond + scale (cond - uncond): Ho and Salimans 2021. */
void sampler_guide(const float *uncond, const float *cond, double scale, size_t numbers,
                   float *output);
/* uncond + image_scale (image - uncond) + text_scale (text - image): Brooks et al. 2023, equation
 * 3; `text` is conditioned by both. */
void sampler_guide_edit(const float *uncond, const float *image, const float *text,
                        double image_scale, double text_scale, size_t numbers, float *output);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What the public calls of a prior and those for score distillation share. */
#ifndef HDS_PRIOR_PRIV_H
#define HDS_PRIOR_PRIV_H

#include "prior/prior.h"
#include "text/text.h"

#include <pthread.h>

enum { PRIOR_FACTOR = 8 }; /* picture size over latent size */

enum { PRIOR_CONTROLS = 2 };
typedef struct prior_control {
    controlnet_config config;
    weights *weights; /* NULL: not loaded */
} prior_control;

/* A LoRA that was added. */
typedef struct prior_lora {
    struct prior_lora *next;
    uint64_t hash;
    float scale;
} prior_lora;

/* A textual inversion that was added. */
typedef struct prior_embedding {
    struct prior_embedding *next;
    char *token;
    uint64_t hash; /* of the vectors */
} prior_embedding;

struct hds_prior {
    /* registry.c */
    size_t references;
    char *key; /* what it was loaded from; NULL: loading */
    hds_prior *next;

    pthread_mutex_t lock; /* guards cx and all that lives in it */
    char *path;           /* a folder, or a file of weights */
    char *folder;         /* of tokenizer and configurations: the same, or beside the file's */
    char *vae_file, *vae_folder; /* of another VAE, or NULL */
    text_tokenizer *tokenizer;
    clip_text_config clip;
    vae_config vae;
    unet_config unet;
    schedule schedule;
    prior_card card;
    char *device;
    tn_type type; /* of the matrices of UNet and ControlNets */
    tn_context *cx;
    weights *clip_weights, *vae_weights, *unet_weights;
    prior_control controls[PRIOR_CONTROLS]; /* depth, texture */
    prior_lora *loras;                      /* the last one first */
    prior_embedding *embeddings;            /* likewise */
    json_t *record;                         /* prior_record, once it was asked for */
    char *notes;                            /* hds_prior_info.notes */
};

/* Adds a line to the notes. */
HDS_NODISCARD hds_status prior_note(hds_prior *p, hds_error *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

HDS_NODISCARD hds_status prior_open(hds_prior **prior, const hds_prior_params *params,
                                    hds_error *error);
void prior_close(hds_prior *p);

/* lora.c: before the weights are first used */
HDS_NODISCARD hds_status prior_lora_load(hds_prior *p, const hds_lora *lora, hds_error *error);

/* embedding.c: likewise. `vectors` (count,width) or (width), borrowed, stand for `token` in texts
 * from now on; `path` is what messages call the file. */
HDS_NODISCARD hds_status prior_embedding_add(hds_prior *p, const char *token,
                                             const io_tensor *vectors, const char *path,
                                             hds_error *error);
HDS_NODISCARD hds_status prior_embedding_load(hds_prior *p, const hds_embedding *embedding,
                                              hds_error *error);
void prior_embeddings_finish(hds_prior *p);

/* That every id of the tokenizer has a row in the text encoder's table of `rows`. */
HDS_NODISCARD hds_status prior_check_tokens(const text_tokenizer *tokenizer, int rows,
                                            const char *path, hds_error *error);
HDS_NODISCARD hds_status prior_get_cut(const text_tokenizer *tokenizer, const char *text,
                                       hds_text_cut *cut, hds_error *error);

/* control.c */
HDS_NODISCARD hds_status prior_controls_load(hds_prior *p, const hds_prior_params *params,
                                             hds_error *error);
void prior_controls_finish(hds_prior *p);
/* That the nets of `controls` were loaded. */
HDS_NODISCARD hds_status prior_controls_check(const hds_prior *p, const hds_control *controls,
                                              size_t count, hds_error *error);
/* latents (copies count,4,h,w), with the request's images for each copy. -> sum, or NULL where
 * nothing is asked for. */
const unet_residuals *prior_controls_apply(hds_prior *p, const prior_request *r, int copies,
                                           const tn *latents, const float *timesteps,
                                           const tn *text, unet_residuals *sum);

/* Takes the lock and opens a scope; frees the scope, reports what failed, gives the lock back. */
size_t prior_begin(hds_prior *p);
HDS_NODISCARD hds_status prior_end(hds_prior *p, size_t scope, hds_error *error);
/* Copies a result out, and fails when it is not finite. */
void prior_take(hds_prior *p, const char *what, const tn *x, float *out, size_t count);

HDS_NODISCARD hds_status prior_check_size(size_t count, size_t height, size_t width, size_t unit,
                                          hds_error *error);
HDS_NODISCARD hds_status prior_check_finite(const char *name, const float *numbers, size_t count,
                                            hds_error *error);
HDS_NODISCARD hds_status prior_check_timesteps(const hds_prior *p, const float *timesteps,
                                               size_t count, hds_error *error);
/* x (N,H,W,3) in [0,1] -> scaled posterior mean */
tn *prior_latents_of(hds_prior *p, const tn *x);
/* InstructPix2Pix: the UNet is shown the latents of a picture beside the noisy ones. */
bool prior_edits(const hds_prior *p);
enum { PRIOR_BRANCHES = 3 };                               /* of guidance, at most */
tn *prior_repeat(tn_context *cx, const tn *x, int copies); /* along the batch */
size_t prior_latent_numbers(const hds_prior *p, size_t count, size_t height, size_t width);

#endif

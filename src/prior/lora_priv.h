/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of LoRAs share: the parts that a change of a weight is made of. */
#ifndef HDS_LORA_PRIV_H
#define HDS_LORA_PRIV_H

#include "nn/nn.h"

typedef enum lora_role {
    LORA_DOWN, /* (r,I,..) */
    LORA_UP,   /* (O,r,1..) */
    LORA_MID,  /* (r,r,K..) of a convolution, Tucker's core: down is (r,I,1..) */
    LORA_BIAS, /* (O), of up */
    LOHA_W1A,  /* (O,r), with a core (r,O) */
    LOHA_W1B,  /* (r,I..), with a core (r,I) */
    LOHA_W2A,
    LOHA_W2B,
    LOHA_T1, /* (r,r,K..) */
    LOHA_T2,
    LOKR_W1,     /* (a,b) */
    LOKR_W1A,    /* (a,r) */
    LOKR_W1B,    /* (r,b) */
    LOKR_W2,     /* (c,d,K..); a c = O, b d = I */
    LOKR_W2A,    /* (c,r), with a core (r,c) */
    LOKR_W2B,    /* (r,d..), with a core (r,d) */
    LOKR_T2,     /* (r,r,K..) */
    LORA_DIFF,   /* the change itself */
    LORA_DIFF_B, /* of the bias */
    LORA_ALPHA,  /* () */
    LORA_DORA, /* norms of the changed weight: (O,1..) of its rows, else (1,I,1..) of its columns */
    LORA_MAGNITUDE, /* (O), in any shape: of its rows */
    LORA_ROLES
} lora_role;

typedef struct lora_parts {
    const io_tensor *of[LORA_ROLES]; /* or NULL */
} lora_parts;

/* What the parts are: "LoRA", "LoHa", ...; NULL: not all that one of these kinds has, or more. */
const char *lora_kind(const lora_parts *parts);
/* Whether they fit a weight (O,I,K..) of this shape, and its bias. */
bool lora_fits(const lora_parts *parts, int dims, const int64_t *shape);
/* What alpha is divided by; 0: by nothing, since no part is of low rank. */
int64_t lora_rank(const lora_parts *parts);
/* Adds scale (gain change) to the weight, or with DoRA's norms scale times the way to the weight
 * that has them; and to the bias. They must be of a kind and fit, and their file must stay open. */
void lora_add(weights *w, const char *weight, const char *bias, const lora_parts *parts,
              double gain, double scale);

/* ---- lora_settings.c ---- */

typedef enum lora_network { LORA_TEXT, LORA_UNET, LORA_NETWORKS } lora_network;

typedef struct lora_settings {
    char *path;   /* for messages */
    json_t *json; /* NULL: the file says nothing beside its tensors */
} lora_settings;
/* adapter_config.json beside a file of peft's name; new, NULL: none, or out of memory. */
char *lora_settings_beside(const char *path);
HDS_NODISCARD hds_status lora_settings_open(lora_settings *s, const io_tensors *file,
                                            const char *path, hds_error *error);
void lora_settings_close(lora_settings *s);
/* *gain: alpha / rank, by the settings, of a module without an alpha of its own; rank 0: what the
 * settings call the rank. 1 where they say nothing. */
HDS_NODISCARD hds_status lora_settings_gain(const lora_settings *s, lora_network of,
                                            const char *module, int64_t rank, double *gain,
                                            hds_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* A case of the recorded reference numbers: its inputs by name, and the comparison of each output
 * with its own tolerance, both from the manifest. */
#ifndef HDS_TEST_PARITY_H
#define HDS_TEST_PARITY_H

#include "diffusion/diffusion.h"

typedef struct parity {
    const char *folder;  /* of the recorded numbers */
    const json_t *entry; /* of the manifest */
    const char *id, *prefix;
    io_safetensors file;
    json_t *left; /* outputs that have not been compared yet */
    int failures;
} parity;

/* A test of each case of the manifest that handler_of has a function for; main's result. */
typedef void (*parity_handler)(parity *c);
int parity_main(const char *group, parity_handler (*handler_of)(const json_t *entry));

/* The folder of the recorded numbers, new, or NULL where they are not installed. */
char *parity_folder(void);
void parity_open(parity *c, const char *folder, const json_t *entry);
/* Fails when an output of the manifest was not compared or one was out of tolerance. */
void parity_close(parity *c);

const io_tensor *parity_find(const parity *c, const char *name);
tn *parity_input(const parity *c, tn_context *cx, const char *name);
const float *parity_numbers(const parity *c, const char *name);
int64_t *parity_ids(const parity *c, const char *name, int64_t *count); /* new; rows of 77 */
char *parity_model(const parity *c, size_t index, const char *below);   /* a path, new */

void parity_expect_all(
    parity *c); /* for a case that runs several times: no output is compared yet */
bool parity_expects(const parity *c, const char *name);
void parity_check_numbers(parity *c, const char *name, const float *found, size_t count);
void parity_check(parity *c, const char *name, tn_context *cx, const tn *found);

/* Ends the test when the context, or a status, has failed; tells why. */
void parity_ok(tn_context *cx);
void parity_status(hds_status status, const hds_error *error);
/* The status is the expected one, and its message, which is taken away, has the word. */
void parity_refused(hds_status status, hds_status expected, hds_error *error, const char *word);

double parity_parameter(const parity *c, const char *name);

/* parity_sds.c */
void parity_sds(parity *c);

/* parity_sample.c */
void parity_sample(parity *c);

/* parity_clip.c */
void parity_clip(parity *c);

/* parity_attention.c */
void parity_attention(parity *c);

/* parity_lora.c */
void parity_lora(parity *c);

/* parity_control.c */
typedef struct parity_controlled {
    const tn *latents, *text;
    float timestep;
    size_t count; /* ControlNets: models 1 to count of the case */
    const tn *pictures[2];
    double scales[2];
} parity_controlled;
/* The UNet of model 0 under ControlNets -> their residuals, summed, and the noise. */
void parity_control(parity *c, tn_context *cx, const char *unet_folder, const parity_controlled *in,
                    unet_residuals *sum, float *noise, size_t count);
void parity_controlnet(parity *c);

#endif

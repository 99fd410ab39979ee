/* SPDX-License-Identifier: Apache-2.0 */
/* train_prior STAGE FOLDER WORK COUNT: trains the sample prior in FOLDER, stage by stage.
 *
 *   train_prior vae     FOLDER WORK 4000     COUNT is steps of 16 pictures
 *   train_prior latents FOLDER WORK 40000    pictures to render and encode
 *   train_prior text    FOLDER WORK 1500     steps of 64 captions
 *   train_prior unet    FOLDER WORK 12000    steps of 32 pictures
 *
 * A stage that was stopped goes on from its last checkpoint in WORK; with an empty WORK it begins
 * with the weights that FOLDER already has, or at random. */
#include "train_prior.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    hds_status (*run)(train *, int64_t, hds_error *);
} stages[] = { { "vae", train_vae },
               { "latents", train_latents },
               { "text", train_text },
               { "unet", train_unet } };

int main(int count, char **arguments)
{
    size_t stage = 0, stage_count = sizeof stages / sizeof *stages;
    while (count == 5 && stage < stage_count && strcmp(arguments[1], stages[stage].name))
        stage++;
    if (count != 5 || stage == stage_count) {
        fprintf(stderr, "usage: train_prior vae|latents|text|unet FOLDER WORK COUNT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    hds_error error = { 0 };
    train t = { .folder = arguments[2], .work = arguments[3], .data = data_create() };
    hds_status status = t.data ? tn_context_create(&t.cx, 0, &error)
                               : hds_raise(&error, HDS_ERROR_MEMORY, "out of memory");
    if (status == HDS_OK) {
        /* Without the instructions bfloat16 is many times slower than float32. */
        if (__builtin_cpu_supports("avx512bf16"))
            tn_set_precision(t.cx, TN_BFLOAT16);
        status = stages[stage].run(&t, atoll(arguments[4]), &error);
    }
    if (status != HDS_OK)
        fprintf(stderr, "train_prior: %s\n", error.message);
    tn_context_destroy(&t.cx);
    data_destroy(&t.data);
    return status != HDS_OK;
}

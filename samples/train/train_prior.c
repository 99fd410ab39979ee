/* SPDX-License-Identifier: Apache-2.0 */
/* train_prior STAGE FOLDER WORK COUNT: trains the sample prior in FOLDER, stage by stage.
 *
 *   train_prior vae     FOLDER WORK 2500     COUNT is steps of 16 pictures
 *   train_prior latents FOLDER WORK 24000    pictures to render and encode
 *   train_prior text    FOLDER WORK 800      steps of 64 captions
 *   train_prior unet    FOLDER WORK 3700     steps of 32 pictures
 *
 * A stage that was stopped goes on from its last checkpoint in WORK; with an empty WORK it begins
 * with the weights that FOLDER already has, or at random. */
#include "train_prior.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    bool crew; /* trains, with a process for each processor */
    hds_status (*run)(train *, int64_t, hds_error *);
} stages[] = { { "vae", true, train_vae },
               { "latents", false, train_latents },
               { "text", true, train_text },
               { "unet", true, train_unet } };

int main(int count, char **arguments)
{
    size_t stage = 0, stage_count = sizeof stages / sizeof *stages;
    while (count == 5 && stage < stage_count && strcmp(arguments[1], stages[stage].name))
        stage++;
    char *end = NULL;
    long long number = count == 5 ? strtoll(arguments[4], &end, 10) : 0;
    if (count != 5 || stage == stage_count || *end || number < 1) {
        fprintf(stderr, "usage: train_prior vae|latents|text|unet FOLDER WORK COUNT\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    hds_error error = { 0 };
    train t = { .folder = arguments[2], .work = arguments[3] };
    bool together = stages[stage].crew;
    hds_status status = together ? crew_start(&t.crew, threads_count(), &error) : HDS_OK;
    if (status == HDS_OK)
        status = tn_context_create(&t.cx, together ? 1 : 0, &error);
    if (status == HDS_OK && !(t.data = data_create()))
        status = hds_raise(&error, HDS_ERROR_MEMORY, "out of memory");
    if (status == HDS_OK) {
        /* Without the instructions bfloat16 is many times slower than float32. */
        if (__builtin_cpu_supports("avx512bf16"))
            tn_set_precision(t.cx, TN_BFLOAT16);
        status = stages[stage].run(&t, number, &error);
    }
    if (status == HDS_OK && together)
        crew_end(&t.crew);
    if (status != HDS_OK)
        fprintf(stderr, "train_prior: %s\n", error.message);
    tn_context_destroy(&t.cx);
    data_destroy(&t.data);
    return status != HDS_OK;
}

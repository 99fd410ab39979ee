/* SPDX-License-Identifier: Apache-2.0 */
/* From a prompt to a head: score distillation on shape coefficients, then on a UV texture.
 *
 * Poole et al., "DreamFusion", 2022; Wu et al., "Text-guided 3D face synthesis" (FaceG2E), 2024. */
#ifndef HEADSDS_GENERATE_H
#define HEADSDS_GENERATE_H

#include "headsds/head.h"
#include "headsds/prior.h"

#include <stdbool.h>

/* One stage. Zero takes the default, given here for geometry / texture; what is out of range is
 * HDS_ERROR_ARGUMENT. All numbers are finite and above 0. */
typedef struct hds_stage_params {
    bool skip;
    int steps;            /* 100 / 100; to 100000 */
    int views;            /* pictures a step, 4; to 64. Where the prior knows texture maps of the
                             model's layout, the texture itself is the picture, with as many draws
                             of noise */
    int resolution;       /* of the rendered pictures, a multiple of 8 from 32 to 2048; 0: what the
                             prior was trained for */
    float guidance_scale; /* classifier-free guidance: null + s (text - null); 100 / 12 */
    float learning_rate;  /* Adam's: what a steady gradient changes a step, root mean square:
                             coefficients in standard deviations, 0.013; texels in [0,1], 0.0055 */
    float l2;             /* pull toward the start: 1 / l2 bounds the change, in the same units;
                             0.4 / 3.5; a tiny value switches it off */
    float gradient_clip;  /* a view's gradient is scaled down to so many times the mean norm, 2; a
                             large value switches it off */
    /* Fractions of the schedule, 0.02 to 0.4 / 0.02 to 0.8; min < max <= 1. What a shape
     * coefficient changes is too small to be seen under more noise. */
    float timestep_min, timestep_max;
} hds_stage_params;

typedef struct hds_generate_params {
    const char *prompt;          /* not empty */
    const char *negative_prompt; /* NULL: the prior's neutral prompt, else "" */
    hds_head_model *model;       /* NULL: the built-in sample head */
    hds_prior *prior;            /* NULL: the built-in sample prior */
    uint64_t seed;
    hds_stage_params geometry, texture;
    /* Where it starts, NULL: the model as it is. Its shape is where the geometry stage starts and
     * what its l2 pulls toward, and so its texture; its expression, pose and offsets stay. Of a
     * model with the same numbers; model may then be NULL. A reference is taken. */
    hds_head *start;
    const char *checkpoint; /* NULL: none; written beside and renamed every 25 steps and when
                               cancelled */
    bool resume;            /* continue from the checkpoint when it is there; one of another
                               prompt, seed, model, start or settings is refused */
} hds_generate_params;

/* A generation on a thread of its own. Strings and arrays of the params are copied. */
typedef struct hds_job hds_job;
HDS_API HDS_NODISCARD hds_status hds_job_create(hds_job **job, const hds_generate_params *params,
                                                hds_error *error);
HDS_API HDS_NODISCARD hds_status hds_job_start(hds_job *job, hds_error *error);

typedef enum hds_job_state {
    HDS_JOB_NEW,
    HDS_JOB_LOADING,
    HDS_JOB_RUNNING,
    HDS_JOB_DONE,
    HDS_JOB_CANCELLED,
    HDS_JOB_FAILED
} hds_job_state;
typedef struct hds_job_progress {
    hds_job_state state;
    int stage;            /* 0 geometry, 1 texture */
    int step, step_count; /* over all stages that are not skipped */
    double seconds;       /* since the start */
    double seconds_left;  /* estimated; < 0: not known yet */
    hds_history last;
} hds_job_progress;
/* Any thread, any time. */
HDS_API void hds_job_get_progress(hds_job *job, hds_job_progress *progress);
HDS_API void hds_job_cancel(hds_job *job); /* ends the job within one step */
/* The head as of the last whole step; new, or NULL before the first. */
HDS_API hds_head *hds_job_preview(hds_job *job);
/* Blocks until the job has ended, or seconds have passed (< 0: for ever); *head is new and set when
 * done. Errors: the job's own; HDS_ERROR_CANCELLED; on a time-out HDS_OK with *head NULL. */
HDS_API HDS_NODISCARD hds_status hds_job_wait(hds_job *job, double seconds, hds_head **head,
                                              hds_error *error);
/* Cancels a running job and waits for its thread. */
HDS_API void hds_job_destroy(hds_job *job);

#endif

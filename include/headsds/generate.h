/* SPDX-License-Identifier: Apache-2.0 */
/* From a prompt to a head. A recipe is an array of stages; a stage says what it changes, what it
 * looks at, what guides it, and how the gradient becomes a step. Its options are one table.
 *
 * Poole et al., "DreamFusion", 2022; Wu et al., "Text-guided 3D face synthesis" (FaceG2E), 2024. */
#ifndef HEADSDS_GENERATE_H
#define HEADSDS_GENERATE_H

#include "headsds/head.h"
#include "headsds/option.h"
#include "headsds/prior.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- recipes: see docs/options.md for every field's meaning and range ---- */

/* One source of gradients. */
typedef struct hds_guidance {
    char name[HDS_NAME];  /* by which options address it: "texture.NAME.weight" */
    char kind[HDS_NAME];  /* "sds" */
    char shown[HDS_NAME]; /* what it sees: "views", the texture's "map", or "auto" */
    float weight;         /* of its gradient in the sum */
    float guidance_scale;
    char timestep_schedule[HDS_NAME];
    float timestep_min, timestep_max; /* fractions of the schedule */
} hds_guidance;

typedef struct hds_regulariser {
    char kind[HDS_NAME]; /* "": none */
    float weight;
} hds_regulariser;

enum { HDS_MAX_GUIDANCES = 4, HDS_MAX_REGULARISERS = 4, HDS_MAX_STAGES = 8 };
typedef struct hds_stage_params {
    char name[HDS_NAME]; /* "geometry" */
    bool skip;
    char variable[HDS_NAME]; /* what is changed: "shape" or "texture" */
    char texture[HDS_NAME];  /* how a texture is made of numbers: "texels" */
    int steps, views, resolution;
    char shading[HDS_NAME]; /* of the views: "grey" or "textured" */
    float normals;          /* share of the views that show normals instead */
    float azimuth_range;    /* degrees to either side */
    float gradient_clip;
    char precondition[HDS_NAME]; /* "none", "whitening" or "pyramid" */
    char optimizer[HDS_NAME];    /* "adam" */
    float learning_rate;
    char learning_rate_schedule[HDS_NAME];
    float weight_decay;
    hds_guidance guidance[HDS_MAX_GUIDANCES]; /* the first is the one that the stage's own options
                                                 speak of; one without a kind ends them */
    hds_regulariser regularisers[HDS_MAX_REGULARISERS];
} hds_stage_params;

typedef struct hds_recipe {
    const char *name, *help;
    const hds_stage_params *stages;
    size_t stage_count;
} hds_recipe;

/* All of them; the first is the default. */
HDS_API const hds_recipe *hds_recipes(size_t *count);
/* HDS_ERROR_ARGUMENT lists the names for another. */
HDS_API HDS_NODISCARD hds_status hds_recipe_find(const hds_recipe **recipe, const char *name,
                                                 hds_error *error);
/* The tables of both structs. */
HDS_API const hds_option *hds_stage_options(size_t *count);
HDS_API const hds_option *hds_guidance_options(size_t *count);
/* Sets one option of a recipe's stages by its path: "geometry.steps", "texture.guidance_scale" (of
 * the first guidance), "texture.sds.guidance_scale", or the name of a regulariser. */
HDS_API HDS_NODISCARD hds_status hds_stages_set(hds_stage_params *stages, size_t count,
                                                const char *path, const char *value,
                                                hds_error *error);

/* ---- jobs ---- */

typedef struct hds_setting {
    const char *name, *value; /* as hds_stages_set takes them */
} hds_setting;

typedef struct hds_generate_params {
    const char *prompt;          /* not empty */
    const char *negative_prompt; /* NULL: the prior's neutral prompt, else "" */
    hds_head_model *model;       /* NULL: the built-in sample head */
    hds_prior *prior;            /* NULL: the built-in sample prior */
    uint64_t seed;
    const hds_recipe *recipe; /* NULL: the default; copied */
    const hds_setting *settings;
    size_t setting_count; /* changes of the recipe, in order */
    /* Initial head, or NULL. Its shape and texture are the starting point and the target of weight
     * decay; expression, pose and offsets are kept. It must use an identical model; `model` may
     * then be NULL. */
    hds_head *start;
    const char *checkpoint; /* NULL: none; written beside and renamed every 25 steps and when
                               cancelled */
    const char *report; /* NULL: none; a page about the run (headsds/report.h), when it is done */
    bool resume;        /* continue from the checkpoint when it is there; one of another run is
                           refused by what differs */
} hds_generate_params;

/* A generation on a thread of its own. Strings and arrays of the params are copied. */
typedef struct hds_job hds_job;
HDS_API HDS_NODISCARD hds_status hds_job_create(hds_job **job, const hds_generate_params *params,
                                                hds_error *error);
HDS_API HDS_NODISCARD hds_status hds_job_start(hds_job *job, hds_error *error);

typedef enum hds_job_state {
    HDS_JOB_NEW,
    HDS_JOB_LOADING,
    HDS_JOB_PREPARING, /* what a stage needs before its first step, counted in prepared */
    HDS_JOB_RUNNING,
    HDS_JOB_DONE,
    HDS_JOB_CANCELLED,
    HDS_JOB_FAILED
} hds_job_state;
typedef struct hds_job_progress {
    hds_job_state state;
    char stage[HDS_NAME];            /* the name of the stage that is due, or of the last one */
    int step, step_count;            /* over all stages that are not skipped */
    int prepared, preparation_count; /* steps of the preparation of this stage */
    double seconds;                  /* since the start */
    double seconds_left;             /* estimated; < 0: not known yet */
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
/* Cancels a running job, waits for its thread, and sets *job to NULL. */
HDS_API void hds_job_destroy(hds_job **job);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Fitting a head to a prompt: random views, the optimiser, the two stages, and the job that runs
 * them with progress, cancel, checkpoint and resume.
 *
 * Every random number is a function of (seed, stage, step, view), so a resumed run continues as the
 * killed one would have. */
#ifndef HDS_FIT_H
#define HDS_FIT_H

#include "guide/guide.h"
#include "head/head.h"
#include "headsds/generate.h"
#include "mesh/mesh.h"
#include "optim/optim.h"
#include "raster/raster.h"
#include "view/view.h"

/* ---- geometry.c, texture.c: one step of a stage ---- */

enum { FIT_GEOMETRY, FIT_TEXTURE, FIT_STAGES };
enum { FIT_MOST_VIEWS = 64 }; /* a step */

/* Defaults filled in. */
typedef struct fit_settings {
    char *prompt, *negative_prompt; /* owned; negative_prompt may be NULL */
    uint64_t seed;
    hds_stage_params stages[FIT_STAGES];
} fit_settings;

/* See whiten.c. */
typedef struct fit_whitening {
    int done;       /* prompts of the list */
    double *moment; /* (S,S) the mean of g g^T so far */
    float *matrix;  /* (S,S) NULL: not yet */
    char *key;      /* the prior remembers the matrix under this name */
} fit_whitening;

/* Everything that a run changes, and what it reads. */
typedef struct fit_run {
    fit_settings settings;
    head_model *model; /* referenced */
    hds_prior *prior;  /* referenced */
    hds_head *given;   /* referenced: what it starts from, or NULL */
    arena memory;
    head_model sculpted; /* the model with the start's offsets in its template */
    view_framing framing;
    mesh_adjacency adjacency;
    arena scratch, view_scratch[FIT_MOST_VIEWS];
    sds_text text;
    bool knows_maps; /* the prior knows texture maps in the model's layout */
    /* The state that a checkpoint holds: */
    float *start, *shape;           /* (S) */
    float *expression, *pose;       /* (E), (J,3): the start's, not changed */
    float *texture, *start_texture; /* (texture_height, texture_width, 3) sRGB in [0,1], or NULL */
    size_t texture_width, texture_height;
    fit_whitening whitening; /* not in a checkpoint: it comes out the same again */
    optim_adam optimiser;    /* of the stage that runs */
    int stage, step;         /* the next one */
    hds_history *history;
    size_t history_count;
} fit_run;

HDS_NODISCARD hds_status fit_geometry_step(fit_run *run, hds_history *log, hds_error *error);
HDS_NODISCARD hds_status fit_texture_step(fit_run *run, hds_history *log, hds_error *error);
/* The starting texture: the start's, the model's mean, or grey; none when the model has no UV
 * layout. */
HDS_NODISCARD hds_status fit_texture_init(fit_run *run, hds_error *error);

/* The views of one step and their gradient: shared by both stages (step.c). */
typedef struct fit_views {
    size_t count;
    int size;
    real *vertices, *normals; /* (V,3) of the head as it is */
    real *normal_lengths;     /* (V); mesh_normals_adjoint */
    raster_texture *texture;  /* that the views look at */
    raster_view *views;       /* (count) */
    raster_state **states;
    sds_side *sides;
    float *timesteps;
    real *images, *dimages; /* (count,size,size,3) */
    head_pose pose;
} fit_views;
/* Draws settings.views views of the current head; texture (linear) or NULL for the geometry stage.
 * Everything lies in run->scratch and view_scratch. */
HDS_NODISCARD hds_status fit_views_draw(fit_run *run, const real *texture, fit_views *views,
                                        hds_error *error);
/* dimages -> += dvertices (V,3), dnormals (V,3), dtexels; each may be NULL. False: no memory. */
HDS_NODISCARD bool fit_views_adjoint(fit_run *run, const fit_views *views, real *dvertices,
                                     real *dnormals, real *dtexels);
/* Fills dimages by score distillation; each view's gradient is scaled down to `gradient_clip` times
 * the mean norm. */
HDS_NODISCARD hds_status fit_views_distil(fit_run *run, fit_views *views, hds_error *error);
/* dimages -> dshape (S), or dtexture (H,W,3) of the sRGB texels: the mean over the views. The
 * results are zeros before. */
HDS_NODISCARD hds_status fit_geometry_adjoint(fit_run *run, const fit_views *views, real *dshape,
                                              hds_error *error);
HDS_NODISCARD hds_status fit_texture_adjoint(fit_run *run, const fit_views *views, real *dtexture,
                                             hds_error *error);
/* One step of the stage's optimiser on x from `start`, and its line of the log; timesteps
 * (settings.views). */
void fit_take_step(fit_run *run, const float *timesteps, const float *gradient, const float *start,
                   float *x, hds_history *log);
/* The stream of random numbers of a view of this step, or of its noise: they never collide (2^24
 * steps, 2^16 views). */
uint64_t fit_stream(const fit_run *run, size_t view, bool noise);
/* Of view i of count. The views of a step share out the schedule, each another part of it at the
 * next step. */
float fit_timestep_random(const fit_run *run, rng *r, size_t i, size_t count);

/* ---- whiten.c ---- */

/* Whether the stage that is due can begin. fit_geometry_step makes it so; a job does it step by
 * step to be cancelled between. */
bool fit_whiten_ready(const fit_run *run);
/* One prompt of the list, or the matrix that the prior remembers. */
HDS_NODISCARD hds_status fit_whiten_step(fit_run *run, hds_error *error);
/* gradient (S) -> whitened (S) */
void fit_whiten_apply(const fit_run *run, const float *gradient, float *whitened);
void fit_whiten_finish(fit_whitening *w);

/* ---- run.c ---- */

HDS_NODISCARD hds_status fit_run_init(fit_run *run, const hds_generate_params *params,
                                      hds_error *error);
void fit_run_finish(fit_run *run);
/* One step of whichever stage is due; *done when none is left. */
HDS_NODISCARD hds_status fit_run_step(fit_run *run, bool *done, hds_error *error);
/* Skips stages that are over or skipped and makes the optimiser of the one that is due. */
HDS_NODISCARD hds_status fit_run_enter_stage(fit_run *run, hds_error *error);
int fit_run_total_steps(const fit_run *run);
/* The head as it is now. */
HDS_NODISCARD hds_status fit_run_head(const fit_run *run, hds_head **head, hds_error *error);

/* ---- checkpoint.c ---- */

HDS_NODISCARD hds_status fit_checkpoint_save(const fit_run *run, const char *path,
                                             hds_error *error);
/* Refuses a file of another prompt, seed, model, start or settings, naming which. */
HDS_NODISCARD hds_status fit_checkpoint_load(fit_run *run, const char *path, hds_error *error);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The engine: a recipe's stages over variables, texture representations, guides, regularisers,
 * preconditioners and optimizers, and the job that runs them with progress, cancel, checkpoint and
 * resume.
 *
 * A stage is a row of data (headsds/generate.h), a step is a value (guide_step). Every random
 * number is a function of (seed, stage, step, view), so a resumed run continues as the killed one
 * would have. Shape = identity = betas, expression = psi, pose = theta. */
#ifndef HDS_FIT_H
#define HDS_FIT_H

#include "guide/guide.h"
#include "head/head.h"
#include "headsds/generate.h"
#include "headsds/report.h"
#include "mesh/mesh.h"
#include "optim/optim.h"
#include "texture/texture.h"
#include "view/view.h"

enum { FIT_MOST_VIEWS = 64 }; /* a step */

/* ---- variables and the subject that they describe (subject.c) ---- */

typedef struct fit_variable {
    const char *name;
    size_t count;
    float *x, *start; /* (count); start: the target of weight decay */
    float low, high;  /* bounds, kept after each step */
    optim_state optimizer;
} fit_variable;
enum { FIT_SHAPE, FIT_TEXTURE, FIT_VARIABLES };

/* One head under construction: what stages change, and what they need to draw it. */
typedef struct fit_subject {
    head_model *model; /* referenced */
    hds_head *given;   /* referenced: the initial head, or NULL */
    fit_variable variables[FIT_VARIABLES];
    texture texture;          /* how the variable "texture" becomes texels; ops NULL: none */
    float *expression, *pose; /* (E), (J,3): the start's, not changed */
    head_model sculpted;      /* the model with the start's offsets in its template */
    view_framing framing;
    mesh_adjacency adjacency;
    arena memory, scratch, view_scratch[FIT_MOST_VIEWS];
} fit_subject;

HDS_NODISCARD hds_status fit_subject_init(fit_subject *u, hds_head_model *model, hds_head *given,
                                          hds_error *error);
void fit_subject_finish(fit_subject *u);
/* The texture that the variable makes becomes the start of this representation. */
HDS_NODISCARD hds_status fit_subject_represent(fit_subject *u, const texture_ops *ops,
                                               hds_error *error);
/* NULL: there is none of this name. */
fit_variable *fit_variable_find(fit_subject *u, const char *name);
/* Texels (height,width,3) sRGB as the variable makes them; of the subject's scratch, NULL: none, or
 * no memory. */
float *fit_subject_texels(fit_subject *u);
size_t fit_subject_texel_count(const fit_subject *u); /* numbers of those */

/* ---- kinds: what names in a recipe stand for ---- */

typedef struct fit_stage fit_stage;

/* A loss on a variable itself. */
typedef struct fit_regulariser_ops {
    const char *name, *variable;
    /* dx (count) += weight * the gradient */
    HDS_NODISCARD hds_status (*gradient)(fit_subject *u, float weight, float *dx, hds_error *error);
} fit_regulariser_ops;

/* What a gradient goes through before the optimizer; it may need preparation, in counted steps. */
typedef struct fit_preconditioner {
    const struct fit_preconditioner_ops *ops;
    void *state;
    int done, count; /* steps of the preparation */
} fit_preconditioner;
typedef struct fit_preconditioner_ops {
    const char *name;
    /* For the stage at its start: sets count, and done to what is known already. NULL: none. */
    HDS_NODISCARD hds_status (*init)(fit_preconditioner *p, fit_stage *s, hds_error *error);
    HDS_NODISCARD hds_status (*prepare)(fit_preconditioner *p, fit_stage *s, hds_error *error);
    /* gradient (count of the variable), in place; map: it comes from the texture map */
    HDS_NODISCARD hds_status (*apply)(const fit_preconditioner *p, fit_stage *s, bool map,
                                      float *gradient, hds_error *error);
    bool (*visit)(fit_preconditioner *p, fit_stage *s, const state_visitor *v); /* or NULL */
    void (*finish)(fit_preconditioner *p);                                      /* or NULL */
} fit_preconditioner_ops;
extern const fit_preconditioner_ops fit_whitening, fit_pyramid;

/* NULL-terminated lists: a new kind is one more entry. */
enum { FIT_MOST_KINDS = 16 };
typedef struct fit_kinds {
    const guide_ops *guides[FIT_MOST_KINDS];
    const texture_ops *textures[FIT_MOST_KINDS];
    const fit_regulariser_ops *regularisers[FIT_MOST_KINDS];
    const fit_preconditioner_ops *preconditioners[FIT_MOST_KINDS];
    const optim_ops *optimizers[FIT_MOST_KINDS];
} fit_kinds;
extern const fit_kinds fit_built_in;

/* ---- recipe.c ---- */

/* hds_stages_set with these kinds. */
HDS_NODISCARD hds_status fit_stages_set(hds_stage_params *stages, size_t count,
                                        const fit_kinds *kinds, const char *path, const char *value,
                                        hds_error *error);
/* The numbers of a recipe's stage against the ranges of their options, and against each other. */
HDS_NODISCARD hds_status fit_stage_check(const hds_stage_params *s, hds_error *error);
/* All options of a stage by name; new, NULL: out of memory. */
json_t *fit_stage_record(const hds_stage_params *s);

/* ---- stage.c: knows no stage by name ---- */

/* What the guides of one step saw, for people; images are owned. */
typedef struct fit_seen {
    size_t count, height, width;
    float *images; /* (count,height,width,3) */
} fit_seen;
void fit_seen_finish(fit_seen *seen);

struct fit_stage {
    const hds_stage_params *params;
    int index; /* in the recipe */
    fit_subject *subject;
    hds_prior *prior;
    const char *prompt, *negative_prompt;
    guide guides[HDS_MAX_GUIDANCES];
    int guide_count;
    const fit_kinds *kinds;
    const fit_regulariser_ops *regularisers[HDS_MAX_REGULARISERS];
    fit_variable *variable; /* what is changed */
    fit_preconditioner preconditioner;
    fit_seen *seen; /* filled by the steps, or NULL */
};
typedef struct fit_stage_setup {
    const fit_kinds *kinds;
    const hds_stage_params *params;
    int index;
    fit_subject *subject;
    hds_prior *prior;
    const char *prompt, *negative_prompt;
} fit_stage_setup;
/* Ready for preparation or for step 0: its texture representation, guides, and its variable's
 * optimizer are made. Borrows what the setup points to. */
HDS_NODISCARD hds_status fit_stage_init(fit_stage *s, const fit_stage_setup *setup,
                                        hds_error *error);
void fit_stage_finish(fit_stage *s);
/* NULL: there is no representation of this name. */
const texture_ops *fit_texture_find(const fit_kinds *kinds, const char *name);

/* ---- views.c ---- */

/* Whether a guidance of a stage with these params sees the texture map itself. */
bool fit_shows_map(hds_prior *prior, const head_model *model, const hds_stage_params *p,
                   const hds_guidance *g);
bool fit_stage_shows_map(const fit_stage *s, const hds_guidance *g);
/* The views of one step. They lie in the subject's scratch. */
typedef struct fit_views {
    size_t count;
    int size;
    real *vertices, *normals; /* (V,3) of the head as it is */
    real *normal_lengths;     /* (V); mesh_normals_adjoint */
    const float *shape;       /* (S) borrowed: where they are drawn */
    float *texels;            /* sRGB, and as the views look at them; NULL: none */
    raster_texture *texture;  /* linear */
    raster_view *views;       /* (count) */
    raster_state **states;
    guide_side *sides;
    real *images, *dimages; /* (count,size,size,3) */
    head_pose pose;
} fit_views;
/* x (count) stands in for the value of the stage's variable: x itself, or a point of interest. */
HDS_NODISCARD hds_status fit_views_draw(fit_stage *s, const guide_step *at, const float *x,
                                        fit_views *v, hds_error *error);
/* dimages -> dx (count), the mean over the views. dx is zeros before. */
HDS_NODISCARD hds_status fit_views_adjoint(fit_stage *s, const fit_views *v, const float *x,
                                           float *dx, hds_error *error);
/* dimages += the guide's weight times its gradient; report may be NULL. */
HDS_NODISCARD hds_status fit_guide_add(fit_stage *s, const guide_step *at, guide *g,
                                       const guide_input *input, float *dimages,
                                       guide_report *report, hds_error *error);
/* Fills dimages by the guides that see views; each view's gradient is scaled down to gradient_clip
 * times the mean norm. */
HDS_NODISCARD hds_status fit_views_guide(fit_stage *s, const guide_step *at, guide *guides,
                                         int guide_count, fit_views *v, guide_report *report,
                                         hds_error *error);
/* Copies what guides are shown to s->seen, where that is wanted. */
void fit_note_seen(fit_stage *s, const guide_input *input);

/* ---- stage.c ---- */

typedef struct fit_gradient_report {
    guide_report guide; /* of the first guide */
    bool map;           /* some of it comes from the texture map */
} fit_gradient_report;
/* The weighted sum of what the guides want, on the stage's variable: dx (count), zeros before. */
HDS_NODISCARD hds_status fit_stage_gradient(fit_stage *s, const guide_step *at, const float *x,
                                            guide *guides, int guide_count, float *dx,
                                            fit_gradient_report *report, hds_error *error);
/* Gradient, regularisers, preconditioner, optimizer, bounds; and the line of history. */
HDS_NODISCARD hds_status fit_stage_step(fit_stage *s, const guide_step *at, hds_history *log,
                                        hds_error *error);

/* ---- clock.c: how long the rest takes ---- */

/* Seconds of steps taken, [preparation][stage]. The first steps of a process are slow: warm is
 * without them, and is what the estimate is made of. The time of a step of each kind is estimated
 * by its work relative to all steps, and more and more by its own mean. */
typedef struct fit_tally {
    double seconds;
    int count;
} fit_tally;
typedef struct fit_clock {
    fit_tally all[2][HDS_MAX_STAGES], warm[2][HDS_MAX_STAGES];
    int taken;
} fit_clock;
typedef struct fit_work {
    double step, preparation_step; /* relative cost of one */
    int steps, preparations;       /* that are still to be taken */
} fit_work;
void fit_clock_add(fit_clock *c, int stage, bool preparation, double seconds);
/* < 0: not known yet. */
double fit_clock_left(const fit_clock *c, const fit_work *work, int stages);
/* What one step of the stage costs, in evaluations of the UNet on a view of 128 pixels. */
double fit_stage_work(hds_prior *prior, const head_model *model, const hds_stage_params *p);

/* ---- run.c ---- */

/* Settings of a run, their defaults filled in. */
typedef struct fit_settings {
    char *prompt, *negative_prompt; /* owned; negative_prompt may be NULL */
    uint64_t seed;
    char *recipe;
    hds_stage_params stages[HDS_MAX_STAGES];
    int stage_count;
} fit_settings;

typedef struct fit_run {
    const fit_kinds *kinds;
    fit_settings settings;
    hds_prior *prior; /* referenced */
    fit_subject subject;
    fit_stage current; /* that is due; params NULL: none is left */
    int stage, step;   /* the next one */
    hds_history *history;
    size_t history_count;
    json_t *record; /* what the result depends on; record.c */
} fit_run;

HDS_NODISCARD hds_status fit_run_init(fit_run *run, const hds_generate_params *params,
                                      const fit_kinds *kinds, hds_error *error);
void fit_run_finish(fit_run *run);
/* One step of whichever stage is due, of its preparation where that isn't finished; *done when none
 * is left. */
HDS_NODISCARD hds_status fit_run_step(fit_run *run, bool *done, hds_error *error);
bool fit_run_preparing(const fit_run *run); /* that step is one of preparation */
/* Skips stages that are over or left out and makes the one that is due. */
HDS_NODISCARD hds_status fit_run_enter_stage(fit_run *run, hds_error *error);
int fit_run_total_steps(const fit_run *run);
/* What is left, (HDS_MAX_STAGES). */
void fit_run_work(const fit_run *run, fit_work *work);
/* The head as it is now. */
HDS_NODISCARD hds_status fit_run_head(fit_run *run, hds_head **head, hds_error *error);

/* ---- report.c: what a job keeps for its report ---- */

enum { FIT_EVOLUTION = 10, FIT_MOST_SEEN = 2 * HDS_MAX_STAGES };
typedef struct fit_gallery {
    const char *path; /* of the report, borrowed; NULL: none is wanted, and nothing is kept */
    hds_report_picture evolution[FIT_EVOLUTION], seen[FIT_MOST_SEEN]; /* pixels, captions owned */
    size_t evolution_count, seen_count;
    size_t
        next; /* picture of the evolution that is due; those before a resumed step are left out */
    double loading; /* seconds */
} fit_gallery;
/* Before a step: whether what the guides see is wanted, and where it goes. */
fit_seen *fit_gallery_watch(const fit_gallery *g, const fit_run *run, fit_seen *seen);
/* After a step, or before the first: keeps what is due. Best effort: without memory, less. */
void fit_gallery_keep(fit_gallery *g, const fit_run *run, const hds_head *head, fit_seen *seen);
HDS_NODISCARD hds_status fit_gallery_write(const fit_gallery *g, const fit_run *run,
                                           const fit_clock *clock, const hds_head *head,
                                           hds_error *error);
void fit_gallery_finish(fit_gallery *g);

/* ---- record.c ---- */

/* Everything that the result of a run depends on, by name; docs/options.md has an example. New;
 * NULL: out of memory. */
json_t *fit_record(const fit_run *run);

/* ---- checkpoint.c ---- */

HDS_NODISCARD hds_status fit_checkpoint_save(fit_run *run, const char *path, hds_error *error);
/* Refuses a file of a run with another record, naming what differs. */
HDS_NODISCARD hds_status fit_checkpoint_load(fit_run *run, const char *path, hds_error *error);

#endif

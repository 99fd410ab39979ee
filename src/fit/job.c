/* SPDX-License-Identifier: Apache-2.0 */
/* A generation on a thread of its own: progress and previews for any thread, cancel within a step,
 * a checkpoint now and then. */
#include "fit/fit.h"

#include "io/io.h"

#include <malloc.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { CHECKPOINT_STEPS = 25 };

struct hds_job {
    /* Set at creation, then read by the thread only. */
    hds_generate_params params;
    char *prompt, *negative_prompt, *checkpoint, *report;
    hds_recipe recipe;
    hds_stage_params stages[HDS_MAX_STAGES];
    hds_setting *settings; /* with the texts of each */
    pthread_t thread;
    fit_run run;
    fit_clock clock;
    fit_gallery gallery;
    fit_seen seen;

    work_run ending; /* of the process */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t ended;
    unsigned generation; /* of the process that has its thread */
    bool started, cancel;
    bool joins; /* its thread, which is of this process */
    bool left;  /* its thread still ran in another one, which this was forked from */
    hds_job_progress progress;
    struct timespec began;
    hds_head *preview;
    hds_error error;
};

static double seconds_since(const struct timespec *then)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - then->tv_sec) + 1e-9 * (double)(now.tv_nsec - then->tv_nsec);
}

static bool blank(const char *text)
{
    return !text || !text[strspn(text, " \t\r\n")];
}

static hds_status copy_text(char **out, const char *text, hds_error *error)
{
    *out = text ? hds_strdup(text) : NULL;
    if (text && !*out)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the job's settings");
    return HDS_OK;
}

static hds_status copy_recipe(hds_job *job, const hds_generate_params *p, hds_error *error)
{
    hds_status status = HDS_OK;
    if (p->recipe) {
        if (p->recipe->stage_count > HDS_MAX_STAGES)
            return hds_raise(error, HDS_ERROR_ARGUMENT, "recipe %s has %zu stages, at most %d",
                             p->recipe->name, p->recipe->stage_count, HDS_MAX_STAGES);
        memcpy(job->stages, p->recipe->stages, p->recipe->stage_count * sizeof *job->stages);
        char *name = NULL;
        status = copy_text(&name, p->recipe->name, error);
        job->recipe = (hds_recipe){ name, "", job->stages, p->recipe->stage_count };
        job->params.recipe = &job->recipe;
    }
    job->settings = hds_alloc(p->setting_count, sizeof *job->settings);
    if (!job->settings)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the job's settings");
    job->params.settings = job->settings;
    for (size_t i = 0; i < p->setting_count && status == HDS_OK; i++) {
        status = copy_text((char **)&job->settings[i].name, p->settings[i].name, error);
        if (status == HDS_OK)
            status = copy_text((char **)&job->settings[i].value, p->settings[i].value, error);
    }
    return status;
}

/* What is wrong with a setting is said when the job is made. */
static hds_status check_settings(const hds_job *job, hds_error *error)
{
    size_t recipes;
    const hds_recipe *r = job->params.recipe ? job->params.recipe : hds_recipes(&recipes);
    hds_stage_params stages[HDS_MAX_STAGES];
    memcpy(stages, r->stages, r->stage_count * sizeof *stages);
    hds_status status = HDS_OK;
    bool any = false;
    for (size_t i = 0; i < job->params.setting_count && status == HDS_OK; i++)
        status = hds_stages_set(stages, r->stage_count, job->settings[i].name,
                                job->settings[i].value, error);
    for (size_t i = 0; i < r->stage_count && status == HDS_OK; i++) {
        status = fit_stage_check(&stages[i], error);
        any = any || !stages[i].skip;
    }
    if (status == HDS_OK && !any)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT, "all stages are skipped: nothing is left to do");
    return status;
}

static hds_status copy_params(hds_job *job, const hds_generate_params *p, hds_error *error)
{
    job->params = *p;
    job->params.model = p->model ? hds_head_model_ref(p->model) : NULL;
    job->params.prior = p->prior ? hds_prior_ref(p->prior) : NULL;
    job->params.start = p->start ? hds_head_ref(p->start) : NULL;
    hds_status status = copy_text(&job->prompt, p->prompt, error);
    if (status == HDS_OK)
        status = copy_text(&job->negative_prompt, p->negative_prompt, error);
    if (status == HDS_OK)
        status = copy_text(&job->checkpoint, p->checkpoint, error);
    if (status == HDS_OK)
        status = copy_text(&job->report, p->report, error);
    if (status == HDS_OK)
        status = copy_recipe(job, p, error);
    job->params.prompt = job->prompt;
    job->params.negative_prompt = job->negative_prompt;
    job->params.checkpoint = job->checkpoint;
    job->gallery.path = job->params.report = job->report;
    return status;
}

static void init_locks(hds_job *job)
{
    pthread_mutex_init(&job->lock, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&job->ended, &clock);
    pthread_condattr_destroy(&clock);
    job->generation = work_generation();
}

static bool has_ended(const hds_job *job)
{
    return job->progress.state >= HDS_JOB_DONE;
}

/* In the child of a fork the lock may be held by a thread that stayed behind, as the job's did. */
static void lock(hds_job *job)
{
    if (job->generation != work_generation()) {
        init_locks(job);
        job->joins = false;
        job->left = job->left || (job->started && !has_ended(job));
        if (job->left)
            job->progress.state = HDS_JOB_FAILED;
    }
    pthread_mutex_lock(&job->lock);
}

static void unlock(hds_job *job)
{
    pthread_mutex_unlock(&job->lock);
}

static void cancel_for_end(void *context)
{
    hds_job_cancel(context);
}

hds_status hds_job_create(hds_job **out, const hds_generate_params *params, hds_error *error)
{
    *out = NULL;
    hds_status status = hds_utf8_check("prompt", params->prompt ? params->prompt : "", error);
    if (status == HDS_OK && params->negative_prompt)
        status = hds_utf8_check("negative_prompt", params->negative_prompt, error);
    if (status != HDS_OK)
        return status;
    if (blank(params->prompt))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "the prompt is empty: say what the head should look like");
    if (params->resume && !params->checkpoint)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "resume needs the path of a checkpoint");
    hds_job *job = hds_alloc(1, sizeof *job);
    if (!job)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a job");
    init_locks(job);
    job->ending = (work_run){ cancel_for_end, job, NULL };
    job->progress.seconds_left = -1;
    *out = job;
    status = copy_params(job, params, error);
    if (status == HDS_OK)
        status = check_settings(job, error);
    if (status != HDS_OK)
        hds_job_destroy(out);
    return status;
}

static bool cancelled(hds_job *job)
{
    lock(job);
    bool cancel = job->cancel;
    unlock(job);
    return cancel;
}

/* Amid a step only where no checkpoint would lose it. */
static bool cancelled_amid_step(void *context)
{
    hds_job *job = context;
    lock(job);
    bool stop = job->cancel && (!job->checkpoint || job->progress.state == HDS_JOB_LOADING);
    unlock(job);
    return stop;
}

/* A file that cannot be written is an error now, not after the first steps. */
static hds_status try_to_write(const char *path, hds_error *error)
{
    char *temporary = NULL;
    hds_status status = io_temporary_path(&temporary, path, error);
    if (status == HDS_OK)
        (void)remove(temporary);
    hds_free(temporary);
    return status;
}

static hds_status load(hds_job *job, hds_error *error)
{
    hds_generate_params *p = &job->params;
    hds_status status = work_usable(error);
    if (status == HDS_OK && p->checkpoint)
        status = try_to_write(p->checkpoint, error);
    if (status == HDS_OK && p->report)
        status = try_to_write(p->report, error);
    if (!p->model && p->start)
        p->model = hds_head_model_ref(p->start->model);
    if (status == HDS_OK && !p->model)
        status = hds_head_model_load(&p->model, &(hds_head_model_params){ 0 }, error);
    if (status == HDS_OK && !p->prior)
        status = hds_prior_load(&p->prior, &(hds_prior_params){ 0 }, error);
    if (status == HDS_OK)
        status = fit_run_init(&job->run, p, &fit_built_in, error);
    if (status == HDS_OK && p->resume && io_exists(p->checkpoint))
        status = fit_checkpoint_load(&job->run, p->checkpoint, error);
    return status;
}

/* Where the run stands, for other threads. */
static void publish_place(hds_job *job)
{
    const fit_run *run = &job->run;
    const fit_settings *s = &run->settings;
    const fit_preconditioner *c = &run->current.preconditioner;
    fit_work work[HDS_MAX_STAGES];
    fit_run_work(run, work);
    hds_job_progress *p = &job->progress;
    int stage = run->stage < s->stage_count ? run->stage : s->stage_count - 1;
    p->state = fit_run_preparing(run) ? HDS_JOB_PREPARING : HDS_JOB_RUNNING;
    snprintf(p->stage, sizeof p->stage, "%s", s->stages[stage].name);
    p->step = (int)run->history_count;
    p->step_count = fit_run_total_steps(run);
    p->prepared = c->done;
    p->preparation_count = c->count;
    p->seconds_left = fit_clock_left(&job->clock, work, s->stage_count);
    if (run->history_count)
        p->last = run->history[run->history_count - 1];
}

/* After each step: the numbers and the picture that other threads may ask for. */
static hds_status publish(hds_job *job, hds_error *error)
{
    hds_head *head = NULL, *old;
    hds_status status = fit_run_head(&job->run, &head, error);
    if (status != HDS_OK)
        return status;
    lock(job);
    old = job->preview;
    job->preview = head;
    publish_place(job);
    unlock(job);
    hds_head_unref(old);
    fit_gallery_keep(&job->gallery, &job->run, head, &job->seen);
    return HDS_OK;
}

static hds_status save_checkpoint(hds_job *job, hds_error *error)
{
    return job->checkpoint ? fit_checkpoint_save(&job->run, job->checkpoint, error) : HDS_OK;
}

/* One step, timed; a preview follows it unless it was one of preparation. */
static hds_status take_step(hds_job *job, bool *done, hds_error *error)
{
    bool preparing = fit_run_preparing(&job->run);
    int stage = job->run.stage;
    struct timespec before;
    clock_gettime(CLOCK_MONOTONIC, &before);
    if (job->run.current.params)
        job->run.current.seen = fit_gallery_watch(&job->gallery, &job->run, &job->seen);
    hds_status status = fit_run_step(&job->run, done, error);
    if (status == HDS_OK && !preparing)
        status = publish(job, error);
    fit_clock_add(&job->clock, stage, preparing, seconds_since(&before));
    lock(job);
    publish_place(job);
    unlock(job);
    return status;
}

static hds_status run_steps(hds_job *job, hds_error *error)
{
    hds_status status = load(job, error);
    job->gallery.loading = seconds_since(&job->began);
    if (status == HDS_OK)
        status = publish(job, error);
    bool done = status == HDS_OK && !job->run.current.params;
    for (int taken = 1; status == HDS_OK && !done; taken++) {
        if (cancelled(job)) {
            status = save_checkpoint(job, error);
            return status == HDS_OK ? hds_raise(error, HDS_ERROR_CANCELLED, "cancelled") : status;
        }
        status = take_step(job, &done, error);
        if (status == HDS_OK && (done || taken % CHECKPOINT_STEPS == 0))
            status = save_checkpoint(job, error);
    }
    if (status == HDS_OK && job->report)
        status = fit_gallery_write(&job->gallery, &job->run, &job->clock, job->preview, error);
    return status;
}

static void *job_thread(void *argument)
{
    hds_job *job = argument;
    hds_error error = { 0 };
    work_watch watch = { cancelled_amid_step, job, NULL };
    work_watch_begin(&watch);
    hds_status status = run_steps(job, &error);
    fit_run_finish(&job->run);
    fit_gallery_finish(&job->gallery);
    fit_seen_finish(&job->seen);
    lock(job);
    job->error = error;
    job->progress.state = status == HDS_OK                ? HDS_JOB_DONE
                          : status == HDS_ERROR_CANCELLED ? HDS_JOB_CANCELLED
                                                          : HDS_JOB_FAILED;
    job->progress.seconds_left = status == HDS_OK ? 0 : -1;
    job->progress.seconds = seconds_since(&job->began);
    pthread_cond_broadcast(&job->ended);
    unlock(job);
    work_watch_end(&watch);
    work_run_end(&job->ending);
    return NULL;
}

hds_status hds_job_start(hds_job *job, hds_error *error)
{
    lock(job);
    bool again = job->started;
    if (!again) {
        job->started = job->joins = true;
        job->progress.state = HDS_JOB_LOADING;
        clock_gettime(CLOCK_MONOTONIC, &job->began);
    }
    unlock(job);
    if (again)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "the job was started already");
    work_run_begin(&job->ending);
    if (pthread_create(&job->thread, NULL, job_thread, job) == 0)
        return HDS_OK;
    work_run_end(&job->ending);
    lock(job);
    job->started = job->joins = false;
    job->progress.state = HDS_JOB_NEW;
    unlock(job);
    return hds_raise(error, HDS_ERROR_OS, "no thread could be started for the job");
}

void hds_job_get_progress(hds_job *job, hds_job_progress *progress)
{
    lock(job);
    *progress = job->progress;
    if (job->started && !has_ended(job))
        progress->seconds = seconds_since(&job->began);
    unlock(job);
}

void hds_job_cancel(hds_job *job)
{
    lock(job);
    job->cancel = true;
    unlock(job);
}

hds_head *hds_job_preview(hds_job *job)
{
    lock(job);
    hds_head *head = job->preview ? hds_head_ref(job->preview) : NULL;
    unlock(job);
    return head;
}

hds_status hds_job_wait(hds_job *job, double seconds, hds_head **head, hds_error *error)
{
    *head = NULL;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    double patience = fmin(fmax(seconds, 0), 1e9), whole = floor(patience);
    until.tv_sec += (time_t)whole;
    until.tv_nsec += (long)((patience - whole) * 1e9);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    lock(job);
    int expired = 0;
    while (job->started && !has_ended(job) && !expired)
        expired = seconds < 0 ? pthread_cond_wait(&job->ended, &job->lock)
                              : pthread_cond_timedwait(&job->ended, &job->lock, &until);
    hds_status status = HDS_OK;
    if (!job->started)
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "the job was not started");
    else if (job->left)
        status = hds_raise(error, HDS_ERROR_INTERNAL,
                           "the job runs in the process that this one was forked from: wait for it "
                           "there");
    else if (job->progress.state == HDS_JOB_DONE)
        *head = hds_head_ref(job->preview);
    else if (has_ended(job))
        status = hds_raise(error, job->error.status, "%s", job->error.message);
    unlock(job);
    return status;
}

void hds_job_destroy(hds_job **doomed)
{
    hds_job *job = *doomed;
    *doomed = NULL;
    if (!job)
        return;
    hds_job_cancel(job);
    if (job->joins)
        pthread_join(job->thread, NULL);
    hds_head_unref(job->preview);
    hds_head_model_unref(job->params.model);
    hds_prior_unref(job->params.prior);
    hds_head_unref(job->params.start);
    hds_free(job->prompt);
    hds_free(job->negative_prompt);
    hds_free(job->checkpoint);
    hds_free(job->report);
    hds_free((char *)job->recipe.name);
    for (size_t i = 0; job->settings && i < job->params.setting_count; i++) {
        hds_free((char *)job->settings[i].name);
        hds_free((char *)job->settings[i].value);
    }
    hds_free(job->settings);
    pthread_cond_destroy(&job->ended);
    pthread_mutex_destroy(&job->lock);
    hds_free(job);
    malloc_trim(
        0); /* else many jobs in one process leave memory to each of their threads' arenas */
}

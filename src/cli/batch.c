/* SPDX-License-Identifier: Apache-2.0 */
/* headsds batch: the jobs of a file, one after the other. One that fails does not end the others;
 * one whose output is there is not run again; one that was interrupted continues from its
 * checkpoint. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum job_state { NOT_RUN, DONE, SKIPPED, FAILED, STATES } job_state;
static const char *const state_names[STATES] = { "not run", "done", "skipped", "failed" };

typedef struct outcome {
    job_state state;
    char *why; /* of a failure: new, or NULL */
    double seconds;
} outcome;

typedef struct batch {
    const cli_args *args;
    cli_jobs jobs;
    cli_naming naming;
    char **outputs; /* (jobs.count) */
    outcome *outcomes;
    size_t first, end; /* the jobs that are to be run */
    hds_setting *settings;
    size_t setting_count; /* of --set */
    cli_loaded loaded;
    cli_progress progress;
} batch;

/* ---- before the first job ---- */

static const char *either(const char *of_job, const batch *b, const char *option)
{
    return of_job ? of_job : cli_get(b->args, option);
}

/* Those of --set, then the job's own: new, or NULL. */
static hds_setting *settings_of(const batch *b, const cli_job *job, size_t *count)
{
    *count = b->setting_count + job->setting_count;
    hds_setting *all = hds_alloc(*count + 1, sizeof *all);
    for (size_t i = 0; all && i < *count; i++)
        all[i] = i < b->setting_count ? b->settings[i] : job->settings[i - b->setting_count];
    return all;
}

static hds_status check_job(const batch *b, const cli_job *job, hds_error *error)
{
    hds_error reason = { 0 };
    const hds_recipe *recipe;
    size_t count;
    hds_setting *settings = settings_of(b, job, &count);
    if (!settings)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", b->jobs.path);
    hds_status status =
        cli_check_recipe(&recipe, either(job->recipe, b, "recipe"), settings, count, &reason);
    hds_free(settings);
    if (status == HDS_OK)
        return HDS_OK;
    return hds_raise(error, status, "%s:%zu: %s", b->jobs.path, job->line, reason.message);
}

static hds_status plan(batch *b, uint64_t seed, hds_error *error)
{
    hds_status status = cli_jobs_read(&b->jobs, b->args->words[0], error);
    if (status != HDS_OK)
        return status;
    b->outputs = hds_alloc(b->jobs.count, sizeof *b->outputs);
    b->outcomes = hds_alloc(b->jobs.count, sizeof *b->outcomes);
    if (!b->outputs || !b->outcomes)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", b->jobs.path);
    for (size_t i = 0; i < b->jobs.count && status == HDS_OK; i++) {
        cli_job *job = &b->jobs.jobs[i];
        if (!job->seeded)
            job->seed = seed;
        status = check_job(b, job, error);
        b->outputs[i] = cli_job_output(&b->naming, job, i);
        if (!b->outputs[i])
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", b->jobs.path);
    }
    if (status == HDS_OK)
        status = cli_check_outputs(&b->jobs, b->outputs, error);
    if (status == HDS_OK)
        status = io_make_folders(b->naming.folder, error);
    b->end = b->jobs.count;
    return status;
}

/* What can be refused by the arguments alone. -> CLI_DONE or CLI_WRONG */
static int check(batch *b, uint64_t *seed, hds_error *error)
{
    const cli_args *args = b->args;
    const hds_recipe *recipe;
    const char *folder = cli_get(args, "output"), *name = cli_get(args, "name");
    const char *format = cli_get(args, "format");
    b->naming = (cli_naming){ folder ? folder : ".", name ? name : "{index}-{slug}",
                              format ? format : "glb" };
    b->progress.quiet = cli_has(args, "quiet");
    if (!cli_get_whole(args, "seed", 0, seed))
        return CLI_WRONG;
    if (cli_check_naming(&b->naming, error) != HDS_OK ||
        cli_get_settings(args, &b->settings, &b->setting_count, error) != HDS_OK ||
        cli_check_recipe(&recipe, cli_get(args, "recipe"), b->settings, b->setting_count, error) !=
            HDS_OK)
        return cli_wrong(args, "%s", error->message);
    return CLI_DONE;
}

static int choose(batch *b)
{
    uint64_t index;
    if (!cli_get_whole(b->args, "index", 0, &index))
        return CLI_WRONG;
    if (!cli_has(b->args, "index"))
        return CLI_DONE;
    if (index >= b->jobs.count)
        return cli_wrong(b->args, "--index is %llu, expected 0 to %zu: %s has %zu jobs",
                         (unsigned long long)index, b->jobs.count - 1, b->jobs.path, b->jobs.count);
    b->first = (size_t)index;
    b->end = b->first + 1;
    return CLI_DONE;
}

/* ---- one job ---- */

static hds_status make_place(const char *output, hds_error *error)
{
    char *folder = hds_format("%.*s", (int)(io_base_name(output) - output), output);
    if (!folder)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", output);
    hds_status status = *folder ? io_make_folders(folder, error) : HDS_OK;
    hds_free(folder);
    return status == HDS_OK ? cli_check_writable(output, error) : status;
}

static hds_status generate(batch *b, size_t index, const char *checkpoint, double *seconds,
                           hds_error *error)
{
    const cli_job *job = &b->jobs.jobs[index];
    hds_generate_params params = { .prompt = job->prompt,
                                   .negative_prompt =
                                       either(job->negative_prompt, b, "negative-prompt"),
                                   .seed = job->seed,
                                   .checkpoint = checkpoint,
                                   .resume = !cli_has(b->args, "force") };
    hds_head *head = NULL;
    hds_setting *settings = settings_of(b, job, &params.setting_count);
    if (!settings)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the job");
    params.settings = settings;
    hds_status status =
        cli_check_recipe(&params.recipe, either(job->recipe, b, "recipe"), NULL, 0, error);
    if (status == HDS_OK)
        status = cli_load_model(&b->loaded, either(job->head_model, b, "head-model"), error);
    if (status == HDS_OK)
        status = cli_load_prior(&b->loaded, b->args, either(job->prior, b, "prior"), error);
    params.model = b->loaded.model;
    params.prior = b->loaded.prior;
    if (status == HDS_OK)
        status = cli_run_job(&params, &b->progress, &head, seconds, error);
    if (status == HDS_OK)
        status = hds_head_save(head, b->outputs[index], error);
    hds_head_unref(head);
    hds_free(settings);
    return status;
}

static void run_one(batch *b, size_t index)
{
    hds_error error = { 0 };
    outcome *o = &b->outcomes[index];
    const char *output = b->outputs[index];
    if (io_exists(output) && !io_is_folder(output) && !cli_has(b->args, "force")) {
        o->state = SKIPPED;
        return;
    }
    snprintf(b->progress.prefix, sizeof b->progress.prefix, "job %zu of %zu: ", index + 1,
             b->jobs.count);
    cli_progress_say(&b->progress, b->jobs.jobs[index].prompt);
    char *checkpoint = hds_format("%s.checkpoint", output);
    hds_status status = checkpoint ? make_place(output, &error)
                                   : hds_raise(&error, HDS_ERROR_MEMORY, "out of memory");
    if (status == HDS_OK)
        status = generate(b, index, checkpoint, &o->seconds, &error);
    if (status == HDS_OK) {
        (void)remove(checkpoint);
        o->state = DONE;
        if (!cli_has(b->args, "json")) {
            puts(output);
            fflush(stdout);
        }
    } else if (status != HDS_ERROR_CANCELLED) {
        o->state = FAILED;
        o->why = hds_strdup(error.message);
        cli_note("job %zu (%s:%zu) failed: %s", index + 1, b->jobs.path, b->jobs.jobs[index].line,
                 error.message);
    }
    hds_free(checkpoint);
}

/* ---- the end ---- */

static void count_outcomes(const batch *b, int counts[STATES])
{
    memset(counts, 0, STATES * sizeof *counts);
    for (size_t i = b->first; i < b->end; i++)
        counts[b->outcomes[i].state]++;
}

static json_t *result(const batch *b, const int counts[STATES])
{
    json_t *jobs = json_array();
    for (size_t i = b->first; i < b->end; i++) {
        const outcome *o = &b->outcomes[i];
        json_t *job =
            json_pack("{s:I, s:I, s:s, s:s, s:s, s:f}", "index", (json_int_t)i, "line",
                      (json_int_t)b->jobs.jobs[i].line, "prompt", b->jobs.jobs[i].prompt, "output",
                      b->outputs[i], "state", state_names[o->state], "seconds", o->seconds);
        if (o->why)
            json_object_set_new(job, "error", json_string(o->why));
        json_array_append_new(jobs, job);
    }
    return json_pack("{s:i, s:i, s:i, s:i, s:o}", "done", counts[DONE], "skipped", counts[SKIPPED],
                     "failed", counts[FAILED], "not_run", counts[NOT_RUN], "jobs", jobs);
}

static int sum_up(const batch *b)
{
    int counts[STATES];
    count_outcomes(b, counts);
    int code = counts[NOT_RUN] ? CLI_INTERRUPTED : counts[FAILED] ? CLI_FAILED : CLI_DONE;
    if (cli_has(b->args, "json"))
        return cli_print_json(result(b, counts), code);
    printf("%d done, %d skipped, %d failed", counts[DONE], counts[SKIPPED], counts[FAILED]);
    if (counts[NOT_RUN])
        printf(", %d not run: interrupted; the same command continues", counts[NOT_RUN]);
    putchar('\n');
    for (size_t i = b->first; i < b->end; i++)
        if (b->outcomes[i].state == FAILED)
            printf("failed: %s:%zu: \"%s\": %s\n", b->jobs.path, b->jobs.jobs[i].line,
                   b->jobs.jobs[i].prompt,
                   b->outcomes[i].why ? b->outcomes[i].why : "out of memory");
    return code;
}

static void finish(batch *b)
{
    for (size_t i = 0; i < b->jobs.count; i++) {
        if (b->outputs)
            hds_free(b->outputs[i]);
        if (b->outcomes)
            hds_free(b->outcomes[i].why);
    }
    hds_free(b->outputs);
    hds_free(b->outcomes);
    cli_free_settings(b->settings, b->setting_count);
    cli_loaded_finish(&b->loaded);
    cli_jobs_finish(&b->jobs);
}

static int run_batch(const cli_args *args)
{
    hds_error error = { 0 };
    batch b = { .args = args };
    uint64_t seed;
    int code = check(&b, &seed, &error);
    if (code == CLI_DONE && plan(&b, seed, &error) != HDS_OK)
        code = cli_complain(CLI_FAILED, &error);
    if (code == CLI_DONE)
        code = choose(&b);
    if (code == CLI_DONE) {
        cli_catch_interrupts();
        for (size_t i = b.first; i < b.end && !cli_interrupted(); i++)
            run_one(&b, i);
        code = sum_up(&b);
    }
    finish(&b);
    return code;
}

static const cli_option own[] = {
    { "output", 'o', "DIR", "where the heads go; made if it is not there; default: this folder",
      CLI_FOLDER, NULL },
    { "name", 0, "TEMPLATE",
      "of the files: {index}, {slug} (of the prompt) and {seed} are filled in; default: "
      "{index}-{slug}",
      CLI_ANY, NULL },
    { "format", 0, "ENDING", "glb (default), gltf, obj or headsds", CLI_WORDS,
      "glb gltf obj headsds" },
    { "index", 0, "N", "run this job only, counted from 0: for the array jobs of a scheduler",
      CLI_ANY, NULL },
    { "force", 0, NULL, "run every job afresh, whatever is there", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, cli_run_options, cli_prior_options,
                                            cli_result_options, NULL };

const cli_command cli_batch = {
    .name = "batch",
    .summary = "Make many heads, from a file of jobs",
    .usage = "FILE",
    .text =
        "FILE is a .txt with a prompt a line (blank lines and lines that begin with # are passed "
        "over), a .csv whose header names its columns, or a .jsonl with an object a line. Columns "
        "and keys: prompt, seed, output, recipe, negative_prompt, head_model, prior, and any "
        "STAGE.OPTION; what a job does not say is as the options here say.\n"
        "A job whose output is there is skipped; one that was interrupted continues from "
        "OUTPUT.checkpoint; one that fails does not end the others. The summary says which failed "
        "and why; the exit code is then 1.",
    .examples = "headsds batch prompts.txt -o heads\n"
                "headsds batch jobs.csv -o heads --format headsds --json\n"
                "sbatch --array=0-99 --wrap 'headsds batch jobs.csv -o heads --index "
                "$SLURM_ARRAY_TASK_ID'",
    .groups = groups,
    .least = 1,
    .most = 1,
    .values = CLI_FILE,
    .run = run_batch,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds generate: one prompt, one head, in as many files as are asked for. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

typedef struct run {
    const cli_args *args;
    const char **outputs;
    size_t output_count;
    hds_setting *settings;
    size_t setting_count;
    hds_generate_params params;
    cli_loaded loaded;
    hds_head *start, *head;
    cli_progress progress;
    double seconds;
} run;

/* What can be refused by the words alone. -> CLI_DONE or CLI_WRONG */
static int check(run *r, hds_error *error)
{
    const cli_args *args = r->args;
    r->params.prompt = args->words[0];
    r->params.negative_prompt = cli_get(args, "negative-prompt");
    r->params.checkpoint = cli_get(args, "checkpoint");
    r->params.report = cli_get(args, "report");
    r->params.resume = cli_has(args, "resume");
    r->progress.quiet = cli_has(args, "quiet");
    if (!cli_get_whole(args, "seed", 0, &r->params.seed))
        return CLI_WRONG;
    if (r->params.resume && !r->params.checkpoint)
        return cli_wrong(args, "--resume needs --checkpoint FILE");
    if (!r->params.prompt[strspn(r->params.prompt, " \t\r\n")])
        return cli_wrong(args, "the prompt is empty: say what the head should look like");
    for (size_t i = 0; i < r->output_count; i++) {
        if (cli_check_ending(r->outputs[i], error) != HDS_OK)
            return cli_wrong(args, "%s", error->message);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(r->outputs[i], r->outputs[k]))
                return cli_wrong(args, "%s: is named twice by --output", r->outputs[i]);
    }
    if (cli_get_settings(args, &r->settings, &r->setting_count, error) != HDS_OK ||
        cli_check_recipe(&r->params.recipe, cli_get(args, "recipe"), r->settings, r->setting_count,
                         error) != HDS_OK)
        return cli_wrong(args, "%s", error->message);
    r->params.settings = r->settings;
    r->params.setting_count = r->setting_count;
    return CLI_DONE;
}

static hds_status load(run *r, hds_error *error)
{
    const char *model = cli_get(r->args, "head-model"), *start = cli_get(r->args, "start");
    hds_status status = HDS_OK;
    for (size_t i = 0; i < r->output_count && status == HDS_OK; i++)
        status = cli_check_writable(r->outputs[i], error);
    if (status == HDS_OK && r->params.report)
        status = cli_check_writable(r->params.report, error);
    if (status == HDS_OK && (model || !start))
        status = cli_load_model(&r->loaded, model, error);
    if (status == HDS_OK && start)
        status = hds_head_load(&r->start, start, r->loaded.model, error);
    if (status == HDS_OK)
        status = cli_load_prior(&r->loaded, r->args, cli_get(r->args, "prior"), error);
    r->params.model = r->loaded.model;
    r->params.prior = r->loaded.prior;
    r->params.start = r->start;
    return status;
}

static hds_status work(run *r, hds_error *error)
{
    cli_progress_say(&r->progress, "loading");
    hds_status status = load(r, error);
    if (status == HDS_OK)
        status = cli_run_job(&r->params, &r->progress, &r->head, &r->seconds, error);
    for (size_t i = 0; i < r->output_count && status == HDS_OK; i++)
        status = hds_head_save(r->head, r->outputs[i], error);
    return status;
}

static json_t *result(const run *r)
{
    hds_head_info info;
    hds_head_get_info(r->head, &info);
    json_t *outputs = json_array();
    for (size_t i = 0; i < r->output_count; i++)
        json_array_append_new(outputs, json_string(r->outputs[i]));
    return json_pack(
        "{s:o, s:s?, s:s, s:s, s:s, s:i, s:f, s:o}", "outputs", outputs, "report", r->params.report,
        "prompt", info.prompt, "seed", cli_get(r->args, "seed") ? cli_get(r->args, "seed") : "0",
        "recipe", r->params.recipe->name, "steps", (int)info.history_count, "seconds", r->seconds,
        "record", info.record ? json_loads(info.record, 0, NULL) : json_null());
}

static int finish(run *r, hds_status status, const hds_error *error)
{
    if (status == HDS_ERROR_CANCELLED) {
        const char *checkpoint = r->params.checkpoint;
        fprintf(stderr, "headsds: error: interrupted; %s%s\n",
                checkpoint ? "continue with --resume --checkpoint " : "nothing is written",
                checkpoint ? checkpoint : "");
        return CLI_INTERRUPTED;
    }
    if (status != HDS_OK)
        return cli_complain(CLI_FAILED, error);
    if (cli_has(r->args, "json"))
        return cli_print_json(result(r), CLI_DONE);
    for (size_t i = 0; i < r->output_count; i++)
        puts(r->outputs[i]);
    return CLI_DONE;
}

static int generate(const cli_args *args)
{
    hds_error error = { 0 };
    run r = { .args = args, .outputs = hds_alloc(args->count + 1, sizeof *r.outputs) };
    if (!r.outputs)
        return cli_complain(CLI_FAILED, &(hds_error){ .message = "out of memory" });
    r.output_count = cli_get_all(args, "output", r.outputs);
    if (!r.output_count)
        r.outputs[r.output_count++] = "head.glb";
    int code = check(&r, &error);
    if (code == CLI_DONE) {
        cli_catch_interrupts();
        code = finish(&r, work(&r, &error), &error);
    }
    hds_head_unref(r.head);
    hds_head_unref(r.start);
    cli_loaded_finish(&r.loaded);
    cli_free_settings(r.settings, r.setting_count);
    hds_free(r.outputs);
    return code;
}

static const cli_option own[] = {
    { "output", 'o', "FILE",
      "where the head goes: .glb, .gltf, .obj or .headsds (everything, exact); may be given "
      "several "
      "times; default: head.glb",
      CLI_FILE, NULL },
    { .name = NULL },
};
static const cli_option files[] = {
    { "start", 0, "FILE.headsds", "the initial head", CLI_FILE, NULL },
    { "checkpoint", 0, "FILE", "written every 25 steps, and when the run is interrupted", CLI_FILE,
      NULL },
    { "resume", 0, NULL, "continue from the checkpoint when it is there", CLI_ANY, NULL },
    { "report", 0, "FILE.html", "one page on the run: options, pictures, curves, times", CLI_FILE,
      NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own,   cli_run_options,    cli_prior_options,
                                            files, cli_result_options, NULL };

const cli_command cli_generate = {
    .name = "generate",
    .summary = "Make a 3D head from a text",
    .usage = "PROMPT",
    .text = "Ctrl-C ends the run after the step that is on, writes the checkpoint and exits with "
            "130; a second Ctrl-C kills.",
    .examples = "headsds generate \"an old man\" --seed 3 -o head.glb\n"
                "headsds generate \"a wide jaw\" -o head.glb -o head.headsds --json\n"
                "headsds generate \"red hair\" --start head.headsds --set geometry.skip=true\n"
                "headsds generate \"an elf\" --checkpoint elf.checkpoint --resume -o elf.glb",
    .groups = groups,
    .least = 1,
    .most = 1,
    .run = generate,
};

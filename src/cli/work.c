/* SPDX-License-Identifier: Apache-2.0 */
/* What generate and batch have in common: their options, what they load, and the run of a job with
 * its progress and its interrupt. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const cli_option cli_run_options[] = {
    { "seed", 0, "N", "0 by default; equal seeds give equal heads", CLI_ANY, NULL },
    { "negative-prompt", 0, "TEXT", "what it should not look like", CLI_ANY, NULL },
    { "recipe", 0, "NAME", "the stages and their options; see headsds options", CLI_RECIPES, NULL },
    { "set", 0, "STAGE.OPTION=VALUE",
      "changes an option of the recipe; may be given several times; see headsds options",
      CLI_SETTINGS, NULL },
    { "head-model", 0, "PATH", "a head model's file or folder; default: the built-in sample head",
      CLI_FILE, NULL },
    { .name = NULL },
};

const cli_option cli_prior_options[] = {
    { "prior", 0, "PATH",
      "a diffusers folder, or one file of weights; default: the built-in sample prior", CLI_FILE,
      NULL },
    { "prior-config", 0, "DIR",
      "with one file: a diffusers folder whose tokenizer and configurations are the model's",
      CLI_FOLDER, NULL },
    { "vae", 0, "PATH",
      "in place of the prior's own VAE: a diffusers folder of one or of a model, or a file of one",
      CLI_FILE, NULL },
    { "lora", 0, "FILE[=SCALE]", "added to the prior; may be given several times; default scale: 1",
      CLI_FILE, NULL },
    { "embedding", 0, "FILE[=TOKEN]",
      "a textual inversion; may be given several times; default token: the file's", CLI_FILE,
      NULL },
    { "device", 0, "NAME", "where the prior runs: auto (default), cpu, cuda or cuda:N",
      CLI_WORDS_ANY, "auto cpu cuda" },
    { "dtype", 0, "NAME", "what its UNet is kept in: auto (default), float32, bfloat16 or float16",
      CLI_WORDS, "auto float32 bfloat16 float16" },
    { .name = NULL },
};

const cli_option cli_result_options[] = {
    { "json", 0, NULL, "print the result as JSON", CLI_ANY, NULL },
    { "quiet", 'q', NULL, "no progress", CLI_ANY, NULL },
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};

/* ---- head models and priors ---- */

/* Is `path` what *kept says? If not, *kept becomes a copy of it, or NULL: out of memory. */
static bool is_kept(char **kept, const char *path)
{
    if (*kept && !strcmp(*kept, path ? path : ""))
        return true;
    hds_free(*kept);
    *kept = hds_strdup(path ? path : "");
    return false;
}

hds_status cli_load_model(cli_loaded *loaded, const char *path, hds_error *error)
{
    if (is_kept(&loaded->model_path, path) && loaded->model)
        return HDS_OK;
    hds_head_model_unref(loaded->model);
    return hds_head_model_load(&loaded->model, &(hds_head_model_params){ .path = path }, error);
}

/* "FILE=SCALE", or "FILE"; the copy of the path is new. */
static bool parse_lora(hds_lora *lora, const char *text)
{
    const char *equals = strrchr(text, '=');
    char *end = NULL;
    double scale = equals ? strtod(equals + 1, &end) : 1;
    bool scaled = equals && end != equals + 1 && !*end;
    lora->scale = scaled ? (float)scale : 1;
    lora->path = scaled ? hds_format("%.*s", (int)(equals - text), text) : hds_strdup(text);
    return lora->path;
}

/* "FILE=TOKEN", or "FILE", which may have an equals sign; copies are new. */
static bool parse_embedding(hds_embedding *embedding, const char *text)
{
    const char *equals = io_exists(text) ? NULL : strrchr(text, '=');
    embedding->token = equals ? hds_strdup(equals + 1) : NULL;
    embedding->path = equals ? hds_format("%.*s", (int)(equals - text), text) : hds_strdup(text);
    return embedding->path && (!equals || embedding->token);
}

static void say_notes(const hds_prior *prior)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    for (const char *line = info.notes; line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        cli_note("%.*s", (int)strcspn(line, "\n"), line);
}

hds_status cli_load_prior(cli_loaded *loaded, const cli_args *args, const char *path,
                          hds_error *error)
{
    if (is_kept(&loaded->prior_path, path) && loaded->prior)
        return HDS_OK;
    hds_prior_unref(loaded->prior);
    loaded->prior = NULL;
    const char **texts = hds_alloc(args->count + 1, sizeof *texts);
    hds_lora *loras = hds_alloc(args->count + 1, sizeof *loras);
    hds_embedding *embeddings = hds_alloc(args->count + 1, sizeof *embeddings);
    size_t count = texts ? cli_get_all(args, "lora", texts) : 0, learned = 0;
    bool enough = texts && loras && embeddings;
    for (size_t i = 0; enough && i < count; i++)
        enough = parse_lora(&loras[i], texts[i]);
    learned = enough ? cli_get_all(args, "embedding", texts) : 0;
    for (size_t i = 0; enough && i < learned; i++)
        enough = parse_embedding(&embeddings[i], texts[i]);
    hds_status status;
    if (enough)
        status = hds_prior_load(&loaded->prior,
                                &(hds_prior_params){ .path = path,
                                                     .config = cli_get(args, "prior-config"),
                                                     .vae = cli_get(args, "vae"),
                                                     .loras = count ? loras : NULL,
                                                     .lora_count = count,
                                                     .embeddings = embeddings,
                                                     .embedding_count = learned,
                                                     .device = cli_get(args, "device"),
                                                     .dtype = cli_get(args, "dtype") },
                                error);
    else
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for --lora and --embedding");
    if (status == HDS_OK)
        say_notes(loaded->prior);
    for (size_t i = 0; loras && i < count; i++)
        hds_free((char *)loras[i].path);
    for (size_t i = 0; embeddings && i < learned; i++) {
        hds_free((char *)embeddings[i].path);
        hds_free((char *)embeddings[i].token);
    }
    hds_free(embeddings);
    hds_free(loras);
    hds_free(texts);
    return status;
}

void cli_loaded_finish(cli_loaded *loaded)
{
    hds_head_model_unref(loaded->model);
    hds_prior_unref(loaded->prior);
    hds_free(loaded->model_path);
    hds_free(loaded->prior_path);
}

/* ---- settings ---- */

void cli_free_settings(hds_setting *settings, size_t count)
{
    for (size_t i = 0; settings && i < count; i++) {
        hds_free((char *)settings[i].name);
        hds_free((char *)settings[i].value);
    }
    hds_free(settings);
}

hds_status cli_get_settings(const cli_args *args, hds_setting **settings, size_t *count,
                            hds_error *error)
{
    const char **texts = hds_alloc(args->count + 1, sizeof *texts);
    hds_status status = HDS_OK;
    *settings = hds_alloc(args->count + 1, sizeof **settings);
    *count = texts ? cli_get_all(args, "set", texts) : 0;
    if (!texts || !*settings)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for --set");
    for (size_t i = 0; status == HDS_OK && i < *count; i++) {
        const char *equals = strchr(texts[i], '=');
        if (!equals) {
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "--set is %.100s, expected STAGE.OPTION=VALUE", texts[i]);
            break;
        }
        (*settings)[i].name = hds_format("%.*s", (int)(equals - texts[i]), texts[i]);
        (*settings)[i].value = hds_strdup(equals + 1);
        if (!(*settings)[i].name || !(*settings)[i].value)
            status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for --set");
    }
    hds_free(texts);
    return status;
}

hds_status cli_check_recipe(const hds_recipe **recipe, const char *name,
                            const hds_setting *settings, size_t count, hds_error *error)
{
    hds_stage_params stages[HDS_MAX_STAGES];
    size_t recipes;
    hds_status status = HDS_OK;
    *recipe = hds_recipes(&recipes);
    if (name)
        status = hds_recipe_find(recipe, name, error);
    if (status != HDS_OK)
        return status;
    memcpy(stages, (*recipe)->stages, (*recipe)->stage_count * sizeof *stages);
    for (size_t i = 0; status == HDS_OK && i < count; i++)
        status = hds_stages_set(stages, (*recipe)->stage_count, settings[i].name, settings[i].value,
                                error);
    return status;
}

/* ---- outputs ---- */

const char *const cli_head_endings[] = { ".glb", ".gltf", ".obj", ".headsds", NULL };

bool cli_is_head_file(const char *path)
{
    for (const char *const *ending = cli_head_endings; *ending; ending++)
        if (io_ends_with(io_base_name(path), *ending) &&
            strlen(io_base_name(path)) > strlen(*ending))
            return true;
    return false;
}

hds_status cli_check_ending(const char *path, hds_error *error)
{
    if (cli_is_head_file(path))
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "%s: expected a name that ends in .glb, .gltf, .obj or .headsds", path);
}

hds_status cli_check_writable(const char *path, hds_error *error)
{
    char *temporary = NULL;
    if (io_is_folder(path))
        return hds_raise(error, HDS_ERROR_OS, "%s: is a folder, expected the name of a file", path);
    hds_status status = io_temporary_path(&temporary, path, error);
    if (status == HDS_OK)
        (void)remove(temporary);
    hds_free(temporary);
    return status;
}

/* ---- jobs ---- */

hds_status cli_run_job(const hds_generate_params *params, cli_progress *progress, hds_head **head,
                       double *seconds, hds_error *error)
{
    hds_job *job = NULL;
    hds_job_progress now;
    *head = NULL;
    *seconds = 0;
    hds_status status = cli_go_on(error);
    if (status == HDS_OK)
        status = hds_job_create(&job, params, error);
    if (status == HDS_OK)
        status = hds_job_start(job, error);
    while (status == HDS_OK && !*head) {
        status = hds_job_wait(job, 0.1, head, error);
        hds_job_get_progress(job, &now);
        cli_progress_show(progress, &now);
        *seconds = now.seconds;
        if (cli_interrupted())
            hds_job_cancel(job);
    }
    cli_progress_close(progress);
    hds_job_destroy(&job);
    return status;
}

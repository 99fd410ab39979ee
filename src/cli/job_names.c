/* SPDX-License-Identifier: Apache-2.0 */
/* The fields of a batch's jobs, and the names of their files. */
#include "cli_priv.h"

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLUG = 48 };

/* ---- fields ---- */

hds_status cli_job_set(cli_job *job, const char *path, const char *key, const char *value,
                       hds_error *error)
{
    const struct {
        const char *name, **text;
    } texts[] = { { "prompt", &job->prompt },         { "negative_prompt", &job->negative_prompt },
                  { "output", &job->output },         { "recipe", &job->recipe },
                  { "head_model", &job->head_model }, { "prior", &job->prior } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        if (strcmp(texts[i].name, key))
            continue;
        if (!value[strspn(value, " \t\r\n")])
            return hds_raise(error, HDS_ERROR_FORMAT, "%s:%zu: %s is empty", path, job->line, key);
        *texts[i].text = value;
        return HDS_OK;
    }
    if (!strcmp(key, "seed")) {
        job->seeded = cli_parse_whole(value, &job->seed);
        return job->seeded ? HDS_OK
                           : hds_raise(error, HDS_ERROR_FORMAT,
                                       "%s:%zu: seed is %.60s, expected a whole number, 0 or more",
                                       path, job->line, value);
    }
    if (strchr(key, '.')) {
        job->settings[job->setting_count++] = (hds_setting){ key, value };
        return HDS_OK;
    }
    return hds_raise(error, HDS_ERROR_FORMAT,
                     "%s:%zu: unknown field \"%.60s\", expected prompt, seed, output, recipe, "
                     "negative_prompt, head_model, prior or STAGE.OPTION",
                     path, job->line, key);
}

/* ---- names ---- */

/* "An old man!" -> "an-old-man" */
static void slug_of(const char *prompt, char slug[SLUG])
{
    size_t used = 0;
    for (const char *c = prompt; *c;) {
        size_t length = hds_utf8_length(c);
        if (!length || used + length + 1 >= SLUG)
            break;
        bool upper = *c >= 'A' && *c <= 'Z';
        bool plain = upper || (*c >= 'a' && *c <= 'z') || (*c >= '0' && *c <= '9') || length > 1;
        if (plain) {
            memcpy(slug + used, c, length);
            if (upper)
                slug[used] = (char)(*c - 'A' + 'a');
            used += length;
        } else if (used && slug[used - 1] != '-') {
            slug[used++] = '-';
        }
        c += length;
    }
    while (used && slug[used - 1] == '-')
        used--;
    slug[used] = 0;
    if (!used)
        snprintf(slug, SLUG, "head");
}

/* The name with its fields filled in: new, or NULL, with *unknown the field if there is none such.
 */
static char *fill(const char *name, const cli_job *job, size_t index, const char **unknown)
{
    char slug[SLUG], number[24];
    char *all = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&all, &size);
    *unknown = NULL;
    if (!out)
        return NULL;
    slug_of(job->prompt, slug);
    while (*name && !*unknown) {
        size_t length = strcspn(name, "{");
        fprintf(out, "%.*s", (int)length, name);
        name += length;
        if (!*name)
            break;
        snprintf(number, sizeof number, "%llu", (unsigned long long)job->seed);
        if (!strncmp(name, "{index}", 7))
            fprintf(out, "%04zu", index);
        else if (!strncmp(name, "{slug}", 6))
            fputs(slug, out);
        else if (!strncmp(name, "{seed}", 6))
            fputs(number, out);
        else
            *unknown = name;
        name += strcspn(name, "}");
        name += *name != 0;
    }
    if (fclose(out) || *unknown) {
        free(all);
        return NULL;
    }
    return all;
}

hds_status cli_check_naming(const cli_naming *naming, hds_error *error)
{
    const cli_job job = { .prompt = "x" };
    const char *unknown;
    char *name = fill(naming->name, &job, 0, &unknown);
    free(name);
    if (unknown)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "--name: %.60s is no field, expected {index}, {slug} or {seed}", unknown);
    return HDS_OK;
}

/* Takes out what makes two spellings of one path: "a//b", "./a", "a/./b". */
static void tidy(char *path)
{
    char *out = path;
    for (const char *c = path; *c; c++) {
        bool begins = out == path || out[-1] == '/';
        if (begins && c[0] == '.' && c[1] == '/')
            c += strspn(c + 1, "/");
        else if (*c != '/' || out == path || out[-1] != '/')
            *out++ = *c;
    }
    *out = 0;
}

char *cli_job_output(const cli_naming *naming, const cli_job *job, size_t index)
{
    const char *unknown;
    char *filled = job->output ? NULL : fill(naming->name, job, index, &unknown);
    const char *name = job->output ? job->output : filled;
    char *path = NULL;
    if (name && *name == '/')
        path = hds_format("%s%s%s", name, cli_is_head_file(name) ? "" : ".",
                          cli_is_head_file(name) ? "" : naming->format);
    else if (name)
        path = hds_format("%s/%s%s%s", naming->folder, name, cli_is_head_file(name) ? "" : ".",
                          cli_is_head_file(name) ? "" : naming->format);
    if (path)
        tidy(path);
    free(filled);
    return path;
}

/* ---- no file twice ---- */

typedef struct place {
    const char *path;
    size_t line;
} place;

static int compare(const void *a, const void *b)
{
    const place *p = a, *q = b;
    int order = strcmp(p->path, q->path);
    return order ? order : (p->line > q->line) - (p->line < q->line);
}

hds_status cli_check_outputs(const cli_jobs *jobs, char *const *outputs, hds_error *error)
{
    place *places = hds_alloc(jobs->count, sizeof *places);
    hds_status status = HDS_OK;
    if (!places)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", jobs->path);
    for (size_t i = 0; i < jobs->count; i++)
        places[i] = (place){ outputs[i], jobs->jobs[i].line };
    qsort(places, jobs->count, sizeof *places, compare);
    for (size_t i = 1; i < jobs->count && status == HDS_OK; i++)
        if (!strcmp(places[i].path, places[i - 1].path))
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "%s:%zu: writes to %s, as line %zu does; give each job an output of "
                               "its own",
                               jobs->path, places[i].line, places[i].path, places[i - 1].line);
    hds_free(places);
    return status;
}

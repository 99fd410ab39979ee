/* SPDX-License-Identifier: Apache-2.0 */
/* A batch's jobs from a file: .txt (a prompt a line), .csv (RFC 4180, with a header) or .jsonl. All
 * of it is read and checked before the first job runs. */
#include "cli_priv.h"

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    cli_jobs *jobs;
    const char *path;
    char *at; /* in a copy of the file, which it takes apart; ends with a zero */
    size_t line;
    hds_error *error;
} reader;

static hds_status refuse(const reader *r, size_t line, const char *what)
{
    return hds_raise(r->error, HDS_ERROR_FORMAT, "%s:%zu: %s", r->path, line, what);
}

static hds_status out_of_memory(const reader *r)
{
    return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory", r->path);
}

/* The next line without its end, or NULL. */
static char *next_line(reader *r)
{
    char *start = r->at;
    if (!*start)
        return NULL;
    size_t length = strcspn(start, "\n");
    r->at = start + length + (start[length] == '\n');
    start[length] = 0;
    if (length && start[length - 1] == '\r')
        start[length - 1] = 0;
    r->line++;
    return start;
}

static char *trimmed(char *text)
{
    text += strspn(text, " \t");
    size_t length = strlen(text);
    while (length && strchr(" \t", text[length - 1]))
        text[--length] = 0;
    return text;
}

/* A new job with room for so many settings. */
static cli_job *add(reader *r, size_t line, size_t room)
{
    cli_job *job = &r->jobs->jobs[r->jobs->count];
    *job = (cli_job){ .line = line };
    job->settings = arena_alloc(r->jobs->memory, room, sizeof *job->settings);
    return job->settings ? job : NULL;
}

static hds_status keep(reader *r, const cli_job *job)
{
    if (!job->prompt)
        return refuse(r, job->line, "no prompt; every job needs one");
    r->jobs->count++;
    return HDS_OK;
}

/* ---- a prompt a line ---- */

static hds_status read_text(reader *r)
{
    for (char *line; (line = next_line(r));) {
        char *prompt = trimmed(line);
        if (!*prompt || *prompt == '#')
            continue;
        cli_job *job = add(r, r->line, 1);
        if (!job)
            return out_of_memory(r);
        job->prompt = prompt;
        r->jobs->count++;
    }
    return HDS_OK;
}

/* ---- CSV ---- */

enum { MOST_COLUMNS = 128 };

/* The next field, in place; *last: the record ends with it. A quoted one may hold line ends. */
static hds_status next_field(reader *r, char **field, bool *last)
{
    char *c = r->at, *out = c;
    *field = c;
    if (*c == '"') {
        size_t begun = r->line;
        for (c++; *c && (*c != '"' || c[1] == '"'); c++) {
            c += *c == '"';
            r->line += *c == '\n';
            *out++ = *c;
        }
        if (!*c)
            return refuse(r, begun, "a quote (\") is never closed");
        c++;
        if (*c && !strchr(",\r\n", *c))
            return refuse(r, r->line,
                          "text after a closing quote; expected a comma, and \"\" for "
                          "a quote inside");
    } else {
        c += strcspn(c, ",\n");
        out = c > r->at && *c != ',' && c[-1] == '\r' ? c - 1 : c;
    }
    c += *c == '\r';
    *last = *c != ',';
    r->line += *c == '\n';
    r->at = c + (*c != 0);
    *out = 0;
    return HDS_OK;
}

/* A record's fields; *count is 0 at the end of the file, and 1 with an empty one for a blank line.
 */
static hds_status next_record(reader *r, char **fields, size_t *count)
{
    hds_status status = HDS_OK;
    *count = 0;
    for (bool last = !*r->at; status == HDS_OK && !last;) {
        if (*count == MOST_COLUMNS)
            return refuse(r, r->line, "more than 128 columns");
        status = next_field(r, &fields[(*count)++], &last);
    }
    return status;
}

static hds_status read_header(reader *r, char **names, size_t *count)
{
    hds_status status = next_record(r, names, count);
    bool has_prompt = false;
    for (size_t i = 0; status == HDS_OK && i < *count; i++) {
        names[i] = trimmed(names[i]);
        has_prompt |= !strcmp(names[i], "prompt");
        for (size_t k = 0; k < i; k++)
            if (!strcmp(names[k], names[i]))
                return refuse(r, 1, "a column is there twice; each needs a name of its own");
    }
    if (status == HDS_OK && !has_prompt)
        status = refuse(r, 1,
                        "no column \"prompt\"; expected a header line that names the columns, "
                        "as prompt,seed,output");
    return status;
}

static hds_status read_csv(reader *r)
{
    char *names[MOST_COLUMNS], *fields[MOST_COLUMNS], message[120];
    size_t columns, count;
    r->line = 1;
    hds_status status = read_header(r, names, &columns);
    while (status == HDS_OK) {
        size_t line = r->line;
        status = next_record(r, fields, &count);
        if (status != HDS_OK || !count)
            break;
        if (count == 1 && !*fields[0])
            continue;
        if (count != columns) {
            snprintf(message, sizeof message,
                     "%zu fields, expected %zu as in the header; a text "
                     "with commas needs quotes (\")",
                     count, columns);
            return refuse(r, line, message);
        }
        cli_job *job = add(r, line, columns);
        if (!job)
            return out_of_memory(r);
        for (size_t i = 0; status == HDS_OK && i < columns; i++)
            if (*fields[i])
                status = cli_job_set(job, r->path, names[i], trimmed(fields[i]), r->error);
        if (status == HDS_OK)
            status = keep(r, job);
    }
    return status;
}

/* ---- JSON lines ---- */

/* A copy in the jobs' memory; NULL: there is none. */
static const char *keep_text(reader *r, const char *text)
{
    char *copy = text ? arena_alloc(r->jobs->memory, strlen(text) + 1, 1) : NULL;
    return copy ? strcpy(copy, text) : NULL;
}

static const char *text_of(reader *r, const json_t *value)
{
    if (json_is_string(value))
        return keep_text(r, json_string_value(value));
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    const char *copy = keep_text(r, text);
    free(text);
    return copy;
}

/* Of a key and its value: neither holds what no text does. */
static hds_status check_strings(const reader *r, const char *key, size_t length,
                                const json_t *value)
{
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t size = json_is_string(value) ? json_string_length(value) : 0;
    if (strlen(key) == length && strlen(text) == size)
        return HDS_OK;
    return hds_raise(r->error, HDS_ERROR_FORMAT,
                     "%s:%zu: %.60s holds a NUL (\\u0000), which no text has", r->path, r->line,
                     key);
}

static hds_status read_object(reader *r, json_t *object)
{
    cli_job *job = add(r, r->line, json_object_size(object) + 1);
    hds_status status = job ? HDS_OK : out_of_memory(r);
    const char *key;
    size_t length;
    json_t *value;
    json_object_keylen_foreach(object, key, length, value)
    {
        if (status != HDS_OK || json_is_null(value))
            continue;
        status = check_strings(r, key, length, value);
        if (status != HDS_OK)
            break;
        bool is_text = !strcmp(key, "seed") ? json_is_integer(value)
                       : strchr(key, '.')   ? !json_is_array(value) && !json_is_object(value)
                                            : json_is_string(value);
        const char *name = keep_text(r, key), *text = text_of(r, value);
        if (!name || !text)
            status = out_of_memory(r);
        else if (!is_text)
            status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s:%zu: %.60s is %.60s, expected %s",
                               r->path, r->line, key, text,
                               !strcmp(key, "seed") ? "a whole number" : "a text in quotes");
        else
            status = cli_job_set(job, r->path, name, text, r->error);
    }
    return status == HDS_OK ? keep(r, job) : status;
}

static hds_status read_json_lines(reader *r)
{
    hds_status status = HDS_OK;
    for (char *line; status == HDS_OK && (line = next_line(r));) {
        json_error_t wrong;
        if (!*trimmed(line))
            continue;
        json_t *object = json_loads(line, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &wrong);
        if (!object && strstr(wrong.text, "invalid Unicode"))
            status = hds_raise(r->error, HDS_ERROR_FORMAT,
                               "%s:%zu: column %d: half of a surrogate pair (\\uD800 to \\uDFFF), "
                               "which no text has; write both halves, or the character itself",
                               r->path, r->line, wrong.column);
        else if (!object)
            status = hds_raise(r->error, HDS_ERROR_FORMAT,
                               "%s:%zu: column %d: %s; expected an "
                               "object on one line, as {\"prompt\": \"an old man\"}",
                               r->path, r->line, wrong.column, wrong.text);
        else if (!json_is_object(object))
            status = refuse(r, r->line, "expected an object, as {\"prompt\": \"an old man\"}");
        else
            status = read_object(r, object);
        json_decref(object);
    }
    return status;
}

/* ---- files ---- */

/* UTF-8 with no zero in it; *lines: how many there are at most. */
static hds_status check_text(const reader *r, const char *text, size_t size, size_t *lines)
{
    *lines = 1;
    for (const char *c = text; c < text + size;) {
        size_t length = hds_utf8_length(c);
        if (!length)
            return refuse(r, *lines,
                          *c ? "is not UTF-8; save the file as UTF-8 text"
                             : "a NUL, which no text has; save the file as UTF-8 text, not UTF-16");
        *lines += *c == '\n';
        c += length;
    }
    return HDS_OK;
}

static hds_status copy_file(cli_jobs *jobs, const char *path, char **text, size_t *size,
                            hds_error *error)
{
    io_map map;
    hds_status status = io_map_open(&map, path, error);
    if (status != HDS_OK)
        return status;
    *text = arena_alloc(jobs->memory, map.size + 1, 1);
    *size = map.size;
    if (*text && map.size)
        memcpy(*text, map.bytes, map.size);
    io_map_close(&map);
    return *text ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
}

hds_status cli_jobs_read(cli_jobs *jobs, const char *path, hds_error *error)
{
    static const char bom[] = "\xEF\xBB\xBF";
    hds_status (*read)(reader *) = io_ends_with(path, ".txt")     ? read_text
                                   : io_ends_with(path, ".csv")   ? read_csv
                                   : io_ends_with(path, ".jsonl") ? read_json_lines
                                                                  : NULL;
    size_t size, lines;
    *jobs = (cli_jobs){ .path = path, .memory = hds_alloc(1, sizeof *jobs->memory) };
    if (!read)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s: expected a name that ends in .txt, .csv or .jsonl", path);
    if (!jobs->memory)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    reader r = { .jobs = jobs, .path = path, .error = error };
    hds_status status = copy_file(jobs, path, &r.at, &size, error);
    if (status == HDS_OK)
        status = check_text(&r, r.at, size, &lines);
    if (status != HDS_OK)
        return status;
    jobs->jobs = arena_alloc(jobs->memory, lines, sizeof *jobs->jobs);
    if (!jobs->jobs)
        return out_of_memory(&r);
    if (!strncmp(r.at, bom, 3))
        r.at += 3;
    status = read(&r);
    if (status == HDS_OK && !jobs->count)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: no jobs in it", path);
    return status;
}

void cli_jobs_finish(cli_jobs *jobs)
{
    if (jobs->memory)
        arena_finish(jobs->memory);
    hds_free(jobs->memory);
}

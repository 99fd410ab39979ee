/* SPDX-License-Identifier: Apache-2.0 */
/* The command `headsds`: what its files share. Results go to stdout, all else to stderr; an error
 * is one line that names the file, the place and the cure. */
#ifndef HDS_CLI_PRIV_H
#define HDS_CLI_PRIV_H

#include "headsds/generate.h"

#include <jansson.h>
#include <stdint.h>

/* Exit codes, as of the Blender add-on's command. */
enum { CLI_DONE = 0, CLI_FAILED = 1, CLI_WRONG = 2, CLI_INTERRUPTED = 130 };

/* ---- args.c: options and words of a command line ---- */

/* What a value may be, for the shell's completion. */
typedef enum cli_values {
    CLI_ANY,
    CLI_FILE,
    CLI_FOLDER,
    CLI_WORDS,     /* one of the option's words */
    CLI_WORDS_ANY, /* or something else */
    CLI_RECIPES,
    CLI_SETTINGS,
    CLI_COMMANDS
} cli_values;

typedef struct cli_option {
    const char *name;  /* "seed": --seed; NULL ends a table */
    char letter;       /* 'o': -o too; 0: none */
    const char *value; /* what the help calls its value; NULL: it has none */
    const char *help;
    cli_values values;
    const char *words; /* with a blank between them */
} cli_option;

typedef struct cli_args cli_args;
typedef struct cli_command {
    const char *name, *summary;
    const char *usage;                /* the words that follow its name: "PROMPT" */
    const char *examples;             /* a line each */
    const char *text;                 /* what else the help says, or NULL */
    const cli_option *const *groups;  /* tables of options; NULL ends them */
    size_t least, most;               /* how many words there may be */
    cli_values values;                /* what those are */
    const char *words;                /* CLI_WORDS */
    int (*run)(const cli_args *args); /* -> the exit code */
} cli_command;

struct cli_args {
    const cli_command *command;
    struct cli_value {
        const cli_option *option;
        const char *text;
    } * values; /* in the order given */
    size_t count;
    char **words;
    size_t word_count;
};

/* All commands, in the order of the help. */
extern const cli_command *const cli_commands[];
extern const size_t cli_command_count;

/* The option of this number, or NULL after the last. */
const cli_option *cli_option_at(const cli_command *command, size_t index);
/* false: *code is what to leave with: the help was shown, or an error. argv[0] is the command. */
bool cli_args_parse(cli_args *args, const cli_command *command, int argc, char **argv, int *code);
void cli_args_finish(cli_args *args);
/* The last value of --name; NULL: not given. */
const char *cli_get(const cli_args *args, const char *name);
bool cli_has(const cli_args *args, const char *name);
/* All values of --name in texts, which has room for args->count; -> how many. */
size_t cli_get_all(const cli_args *args, const char *name, const char **texts);
/* Numbers of an option, or `otherwise` where it is not given. false: it is none, and said so. */
bool cli_get_whole(const cli_args *args, const char *name, uint64_t otherwise, uint64_t *number);
bool cli_get_number(const cli_args *args, const char *name, double low, double high, float *number);
bool cli_parse_whole(const char *text, uint64_t *number);
/* The word of `words` that `word` was probably meant to be, new; or NULL. */
char *cli_suggest(const char *word, const char *const *words, size_t count);

/* ---- help.c ---- */
void cli_print_help(const cli_command *command);
void cli_print_overview(void);

/* ---- report.c: how things are said ---- */

/* Both print one line and return the code; cli_wrong: CLI_WRONG, with where to read more. */
int cli_complain(int code, const hds_error *error);
int cli_wrong(const cli_args *args, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints and releases; NULL: out of memory. -> `code`, or CLI_FAILED. */
int cli_print_json(json_t *json, int code);

/* From now on the first SIGINT or SIGTERM is only noted, and ends what a network does for this
 * thread; the second one kills. */
void cli_catch_interrupts(void);
bool cli_interrupted(void);
/* HDS_ERROR_CANCELLED when there was one. */
HDS_NODISCARD hds_status cli_go_on(hds_error *error);
/* Says that it ended the command after `written` of `count` files; -> the code. */
int cli_stopped(size_t written, size_t count);

/* ---- progress.c ---- */
typedef struct cli_progress {
    bool quiet;
    char prefix[48]; /* "job 3 of 12: " */
    bool drawn;      /* a bar stands on the line */
    hds_job_state state;
    char stage[HDS_NAME];
    double next; /* seconds: when the next line of a log is due */
} cli_progress;
void cli_progress_show(cli_progress *progress, const hds_job_progress *now);
void cli_progress_say(cli_progress *progress, const char *text);
void cli_progress_close(cli_progress *progress); /* leaves the line of the bar */

/* ---- work.c: what generate and batch have in common ---- */

extern const cli_option cli_run_options[], cli_prior_options[], cli_result_options[];

/* The head model and the prior that were asked for last. */
typedef struct cli_loaded {
    hds_head_model *model;
    hds_prior *prior;
    char *model_path, *prior_path; /* "": built in */
} cli_loaded;
/* path: NULL for the built-in one. What it was is kept when it is asked for again. */
HDS_NODISCARD hds_status cli_load_model(cli_loaded *loaded, const char *path, hds_error *error);
/* The other options of the prior come from args. */
HDS_NODISCARD hds_status cli_load_prior(cli_loaded *loaded, const cli_args *args, const char *path,
                                        hds_error *error);
void cli_loaded_finish(cli_loaded *loaded);

/* "STAGE.OPTION=VALUE"s of --set; *settings is new (free), the strings in it too. */
HDS_NODISCARD hds_status cli_get_settings(const cli_args *args, hds_setting **settings,
                                          size_t *count, hds_error *error);
void cli_free_settings(hds_setting *settings, size_t count);
/* Finds the recipe (NULL: the default) and tries the settings on a copy of its stages. */
HDS_NODISCARD hds_status cli_check_recipe(const hds_recipe **recipe, const char *name,
                                          const hds_setting *settings, size_t count,
                                          hds_error *error);
extern const char *const cli_head_endings[]; /* ".glb" ..., NULL */
bool cli_is_head_file(const char *path);     /* by its ending */
/* The same with a message; and whether a file can be made there. */
HDS_NODISCARD hds_status cli_check_ending(const char *path, hds_error *error);
HDS_NODISCARD hds_status cli_check_writable(const char *path, hds_error *error);
/* Runs a job to its end; an interrupt ends it with HDS_ERROR_CANCELLED. */
HDS_NODISCARD hds_status cli_run_job(const hds_generate_params *params, cli_progress *progress,
                                     hds_head **head, double *seconds, hds_error *error);

/* ---- jobs_file.c, job_fields.c: the jobs of a batch ---- */
typedef struct cli_job {
    size_t line; /* of the file, from 1 */
    const char *prompt, *negative_prompt, *output, *recipe, *head_model,
        *prior; /* NULL: not said */
    uint64_t seed;
    bool seeded;
    hds_setting *settings;
    size_t setting_count;
} cli_job;
typedef struct cli_jobs {
    const char *path;
    cli_job *jobs;
    size_t count;
    struct arena *memory; /* of all of it */
} cli_jobs;
/* By the ending: .txt, .csv or .jsonl. Messages begin with FILE:LINE. */
HDS_NODISCARD hds_status cli_jobs_read(cli_jobs *jobs, const char *path, hds_error *error);
void cli_jobs_finish(cli_jobs *jobs);
/* One field of a job: a column of a .csv, a key of a .jsonl. The value is borrowed; the job's
 * settings must have room for another. */
HDS_NODISCARD hds_status cli_job_set(cli_job *job, const char *path, const char *key,
                                     const char *value, hds_error *error);

/* ---- job_names.c ---- */
typedef struct cli_naming {
    const char *folder, *name, *format; /* of -o, --name, --format */
} cli_naming;
/* Is it a template that says which job is meant: are all its {fields} known, is {index} in it? */
HDS_NODISCARD hds_status cli_check_naming(const cli_naming *naming, hds_error *error);
/* Where the job of this index writes; new, or NULL: out of memory. */
char *cli_job_output(const cli_naming *naming, const cli_job *job, size_t index);
/* HDS_ERROR_ARGUMENT names the lines of two jobs that write to the same file. */
HDS_NODISCARD hds_status cli_check_outputs(const cli_jobs *jobs, char *const *outputs,
                                           hds_error *error);

#endif

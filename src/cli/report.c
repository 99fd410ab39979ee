/* SPDX-License-Identifier: Apache-2.0 */
/* What the command says, and what it hears: lines on stderr, JSON on stdout, interrupts. */
#include "cli_priv.h"

#include "base/base.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

int cli_complain(int code, const hds_error *error)
{
    fprintf(stderr, "headsds: error: %s\n", error->message);
    return code;
}

int cli_wrong(const cli_args *args, const char *format, ...)
{
    hds_error error;
    va_list rest;
    va_start(rest, format);
    vsnprintf(error.message, sizeof error.message, format, rest);
    va_end(rest);
    fprintf(stderr, "headsds: error: %s; see headsds %s --help\n", error.message,
            args->command->name);
    return CLI_WRONG;
}

void cli_note(const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    fputs("headsds: ", stderr);
    vfprintf(stderr, format, rest);
    fputc('\n', stderr);
    va_end(rest);
}

int cli_print_json(json_t *json, int code)
{
    char *text = json ? json_dumps(json, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(json);
    if (!text)
        return cli_complain(CLI_FAILED, &(hds_error){ .message = "out of memory for the result" });
    puts(text);
    free(text);
    return code;
}

static volatile sig_atomic_t interrupted;

static void note_interrupt(int signal_number)
{
    (void)signal_number;
    interrupted = 1;
}

static bool is_interrupted(void *context)
{
    (void)context;
    return interrupted;
}

void cli_catch_interrupts(void)
{
    struct sigaction action = { .sa_handler = note_interrupt,
                                .sa_flags = (int)(SA_RESETHAND | SA_RESTART) };
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    static work_watch watch = { .stop = is_interrupted };
    work_watch_begin(&watch);
}

bool cli_interrupted(void)
{
    return interrupted;
}

hds_status cli_go_on(hds_error *error)
{
    return interrupted ? hds_raise(error, HDS_ERROR_CANCELLED, "interrupted") : HDS_OK;
}

int cli_stopped(size_t written, size_t count)
{
    fprintf(stderr, "headsds: error: interrupted; %zu of %zu files are written\n", written, count);
    return CLI_INTERRUPTED;
}

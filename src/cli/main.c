/* SPDX-License-Identifier: Apache-2.0 */
/* headsds, the command: 3D heads from text. */
#include "cli_priv.h"

#include "base/base.h"
#include "headsds/version.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

extern const cli_command cli_generate, cli_batch, cli_render, cli_convert, cli_info, cli_options,
    cli_completion;
static const cli_command cli_help;

const cli_command *const cli_commands[] = { &cli_generate,   &cli_batch, &cli_render,
                                            &cli_convert,    &cli_info,  &cli_options,
                                            &cli_completion, &cli_help };
const size_t cli_command_count = sizeof cli_commands / sizeof *cli_commands;

static const cli_command *find(const char *name)
{
    for (size_t i = 0; i < cli_command_count; i++)
        if (!strcmp(cli_commands[i]->name, name))
            return cli_commands[i];
    return NULL;
}

static int unknown(const char *name)
{
    const char *names[16];
    size_t count = 0;
    for (; count < cli_command_count && count < 16; count++)
        names[count] = cli_commands[count]->name;
    char *meant = cli_suggest(name, names, count);
    fprintf(stderr, "headsds: error: %.60s: unknown command%s%s; see headsds --help\n", name,
            meant ? ", perhaps " : "", meant ? meant : "");
    hds_free(meant);
    return CLI_WRONG;
}

static int help(const cli_args *args)
{
    const cli_command *command = args->word_count ? find(args->words[0]) : NULL;
    if (args->word_count && !command)
        return unknown(args->words[0]);
    if (command)
        cli_print_help(command);
    else
        cli_print_overview();
    return CLI_DONE;
}

static const cli_option help_own[] = {
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const help_groups[] = { help_own, NULL };
static const cli_command cli_help = {
    .name = "help",
    .summary = "Say more about a command",
    .usage = "[COMMAND]",
    .examples = "headsds help batch",
    .groups = help_groups,
    .least = 0,
    .most = 1,
    .values = CLI_COMMANDS,
    .run = help,
};

static int run(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    cli_args args;
    int code;
    if (!name) {
        fprintf(stderr, "headsds: error: expected a command; see headsds --help\n");
        return CLI_WRONG;
    }
    if (!strcmp(name, "--version")) {
        printf("headsds %s\n", hds_version());
        return CLI_DONE;
    }
    if (!strcmp(name, "--help") || !strcmp(name, "-h")) {
        cli_print_overview();
        return CLI_DONE;
    }
    const cli_command *command = find(name);
    if (!command)
        return unknown(name);
    if (cli_args_parse(&args, command, argc - 1, argv + 1, &code))
        code = command->run(&args);
    cli_args_finish(&args);
    return code;
}

int main(int argc, char **argv)
{
    int code = run(argc, argv);
    if (!fflush(stdout) && !ferror(stdout))
        return code;
    fprintf(stderr, "headsds: error: standard output: %s\n", strerror(errno));
    return code == CLI_DONE ? CLI_FAILED : code;
}

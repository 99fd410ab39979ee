/* SPDX-License-Identifier: Apache-2.0 */
/* The help of the commands, from their tables. */
#include "cli_priv.h"

#include <stdio.h>
#include <string.h>

enum { WIDTH = 80, COLUMN = 28 }; /* characters of a line; where explanations begin */

/* Words of text from column `at` on, folded before WIDTH; further lines begin at `indent`. */
static void print_folded(const char *text, size_t at, size_t indent)
{
    bool first = true;
    while (*text) {
        size_t length = strcspn(text, " \n");
        if (!first && at + 1 + length > WIDTH) {
            printf("\n%*s", (int)indent, "");
            at = indent;
        } else if (!first) {
            putchar(' ');
            at++;
        }
        printf("%.*s", (int)length, text);
        at += length;
        first = false;
        text += length;
        if (*text == '\n') {
            printf("\n%*s", (int)indent, "");
            at = indent;
            first = true;
        }
        text += *text != 0;
    }
    putchar('\n');
}

static void print_option(const cli_option *o)
{
    char left[100];
    int length = snprintf(left, sizeof left, "  %c%c%s--%s%s%s", o->letter ? '-' : ' ',
                          o->letter ? o->letter : ' ', o->letter ? ", " : "  ", o->name,
                          o->value ? " " : "", o->value ? o->value : "");
    if (length < COLUMN - 1)
        printf("%-*s", COLUMN, left);
    else
        printf("%s\n%*s", left, COLUMN, "");
    print_folded(o->help, COLUMN, COLUMN);
}

/* Lines of text, each after two blanks and a prompt. */
static void print_examples(const char *lines)
{
    while (*lines) {
        size_t length = strcspn(lines, "\n");
        printf("  $ %.*s\n", (int)length, lines);
        lines += length + (lines[length] == '\n');
    }
}

void cli_print_help(const cli_command *command)
{
    const cli_option *o;
    printf("usage: headsds %s [options]%s%s\n\n", command->name, command->most ? " " : "",
           command->usage);
    printf("%s.\n", command->summary);
    if (command->text) {
        putchar('\n');
        print_folded(command->text, 0, 0);
    }
    puts("\noptions:");
    for (size_t i = 0; (o = cli_option_at(command, i)); i++)
        print_option(o);
    puts("\nexamples:");
    print_examples(command->examples);
}

void cli_print_overview(void)
{
    puts("usage: headsds COMMAND [options]\n\n3D heads from text.\n\ncommands:");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("  %-14s", cli_commands[i]->name);
        puts(cli_commands[i]->summary);
    }
    puts("\n`headsds help COMMAND` says more, with examples; `headsds --version` the version.\n"
         "Exit codes: 0 all is written; 1 it is not, and a line says why; 2 the arguments are\n"
         "wrong; 130 interrupted.\n\nexamples:");
    print_examples("headsds generate \"an old man\" --seed 3 -o head.glb\n"
                   "headsds render head.headsds --azimuth 30 -o head.png\n"
                   "headsds batch prompts.txt -o heads");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A command line against the tables of a command: getopt_long does the reading; refusals are our
 * own, with what was probably meant. */
#include "cli_priv.h"

#include "base/base.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_OPTIONS = 32, FIRST = 256 }; /* getopt's value of an option is FIRST + its index */

const cli_option *cli_option_at(const cli_command *command, size_t index)
{
    for (const cli_option *const *group = command->groups; *group; group++)
        for (const cli_option *o = *group; o->name; o++)
            if (index-- == 0)
                return o;
    return NULL;
}

/* ---- suggestions ---- */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance, up to MOST_WORD letters. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST_WORD = 64 };
    size_t row[MOST_WORD + 1], n = strlen(b);
    if (n > MOST_WORD)
        return SIZE_MAX;
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t corner = row[0]++;
        for (size_t j = 0; j < n; j++) {
            size_t above = row[j + 1];
            row[j + 1] = least(corner + (a[i] != b[j]), least(above, row[j]) + 1);
            corner = above;
        }
    }
    return row[n];
}

char *cli_suggest(const char *word, const char *const *words, size_t count)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (size_t i = 0; i < count; i++) {
        bool begins = strlen(word) >= 3 && !strncmp(words[i], word, strlen(word));
        size_t d = begins ? 1 : distance(word, words[i]);
        if (d < best && d < strlen(word)) {
            best = d;
            nearest = words[i];
        }
    }
    return nearest ? hds_strdup(nearest) : NULL;
}

/* ---- parsing ---- */

static int refuse(const cli_args *args, const char *given, int option)
{
    const char *names[MOST_OPTIONS], *name = given + strspn(given, "-");
    size_t count = 0;
    const cli_option *o;
    if (option == ':')
        return cli_wrong(args, "%s needs a value", given);
    while ((o = cli_option_at(args->command, count)))
        names[count++] = o->name;
    char bare[40];
    snprintf(bare, sizeof bare, "%.*s", (int)strcspn(name, "="), name);
    for (size_t i = 0; i < count; i++)
        if (!strcmp(names[i], bare))
            return cli_wrong(args, "--%s takes no value", bare);
    char *meant = cli_suggest(bare, names, count);
    int code = meant ? cli_wrong(args, "%s: unknown option, perhaps --%s", given, meant)
                     : cli_wrong(args, "%s: unknown option", given);
    hds_free(meant);
    return code;
}

static bool is_word(const char *words, const char *value)
{
    size_t length = strlen(value);
    while (*words) {
        size_t size = strcspn(words, " ");
        if (size == length && !memcmp(words, value, size))
            return true;
        words += size + strspn(words + size, " ");
    }
    return false;
}

static bool take(cli_args *args, const cli_option *o, const char *text, int *code)
{
    if (o->values == CLI_WORDS && !is_word(o->words, text)) {
        *code = cli_wrong(args, "--%s is %.60s, expected one of %s", o->name, text, o->words);
        return false;
    }
    args->values[args->count].option = o;
    args->values[args->count++].text = text;
    return true;
}

/* What getopt_long wants to know. */
static void fill(const cli_command *command, struct option *options, char *letters)
{
    const cli_option *o;
    *letters++ = ':';
    for (int i = 0; (o = cli_option_at(command, (size_t)i)); i++) {
        options[i] =
            (struct option){ o->name, o->value ? required_argument : no_argument, NULL, FIRST + i };
        if (o->letter) {
            *letters++ = o->letter;
            if (o->value)
                *letters++ = ':';
        }
    }
    *letters = 0;
}

static bool read_options(cli_args *args, int argc, char **argv, int *code)
{
    struct option options[MOST_OPTIONS] = { { 0 } };
    char letters[2 * MOST_OPTIONS + 2];
    fill(args->command, options, letters);
    optind = 0;
    opterr = 0;
    for (int got; (got = getopt_long(argc, argv, letters, options, NULL)) != -1;) {
        const cli_option *o = NULL;
        if (got >= FIRST)
            o = cli_option_at(args->command, (size_t)(got - FIRST));
        for (size_t i = 0; !o && (o = cli_option_at(args->command, i)) && o->letter != got; i++)
            o = NULL;
        if (!o || got == '?' || got == ':') {
            char letter[3] = { '-', (char)optopt, 0 };
            bool is_letter = optopt > 0 && optopt < FIRST;
            *code = refuse(args, is_letter ? letter : argv[optind - 1], got);
            return false;
        }
        if (!strcmp(o->name, "help")) {
            cli_print_help(args->command);
            *code = CLI_DONE;
            return false;
        }
        if (!take(args, o, optarg, code))
            return false;
    }
    args->words = argv + optind;
    args->word_count = (size_t)(argc - optind);
    return true;
}

bool cli_args_parse(cli_args *args, const cli_command *command, int argc, char **argv, int *code)
{
    *args =
        (cli_args){ .command = command, .values = hds_alloc((size_t)argc, sizeof *args->values) };
    if (!args->values) {
        *code = cli_complain(CLI_FAILED, &(hds_error){ .message = "out of memory" });
        return false;
    }
    if (!read_options(args, argc, argv, code))
        return false;
    if (args->word_count < command->least)
        *code = cli_wrong(args, "something is missing, expected headsds %s %s", command->name,
                          command->usage);
    else if (args->word_count > command->most)
        *code = cli_wrong(args, "\"%.60s\" is one too many, expected headsds %s %s%s",
                          args->words[command->most], command->name, command->usage,
                          command->most == 1 ? "; a text with blanks needs quotes" : "");
    else
        return true;
    return false;
}

void cli_args_finish(cli_args *args)
{
    hds_free(args->values);
}

/* ---- values ---- */

size_t cli_get_all(const cli_args *args, const char *name, const char **texts)
{
    size_t count = 0;
    for (size_t i = 0; i < args->count; i++)
        if (!strcmp(args->values[i].option->name, name))
            texts[count++] = args->values[i].text;
    return count;
}

const char *cli_get(const cli_args *args, const char *name)
{
    for (size_t i = args->count; i-- > 0;)
        if (!strcmp(args->values[i].option->name, name))
            return args->values[i].text;
    return NULL;
}

bool cli_has(const cli_args *args, const char *name)
{
    for (size_t i = 0; i < args->count; i++)
        if (!strcmp(args->values[i].option->name, name))
            return true;
    return false;
}

bool cli_parse_whole(const char *text, uint64_t *number)
{
    *number = 0;
    for (const char *c = text; *c; c++) {
        unsigned digit = (unsigned)(*c - '0');
        if (digit > 9 || *number > (UINT64_MAX - digit) / 10)
            return false;
        *number = 10 * *number + digit;
    }
    return *text != 0;
}

bool cli_get_whole(const cli_args *args, const char *name, uint64_t otherwise, uint64_t *number)
{
    const char *text = cli_get(args, name);
    *number = otherwise;
    if (!text || cli_parse_whole(text, number))
        return true;
    (void)cli_wrong(args, "--%s is %.60s, expected a whole number from 0 to %llu", name, text,
                    (unsigned long long)UINT64_MAX);
    return false;
}

bool cli_get_number(const cli_args *args, const char *name, double low, double high, float *number)
{
    const char *text = cli_get(args, name);
    if (!text)
        return true;
    char *end;
    double value = strtod(text, &end);
    if (end != text && !*end && value >= low && value <= high) {
        *number = (float)value;
        return true;
    }
    (void)cli_wrong(args, "--%s is %.60s, expected a number from %g to %g", name, text, low, high);
    return false;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds completion: scripts by which shells complete a command line, from the tables. */
#include "cli_priv.h"

#include <stdio.h>
#include <string.h>

/* ---- words ---- */

static void print_recipes(void)
{
    size_t count;
    const hds_recipe *recipes = hds_recipes(&count);
    for (size_t i = 0; i < count; i++)
        printf("%s%s", i ? " " : "", recipes[i].name);
}

/* Does an earlier recipe, or an earlier stage of this one, have a stage of the same name? */
static bool seen(const hds_recipe *recipes, size_t recipe, size_t stage)
{
    const char *name = recipes[recipe].stages[stage].name;
    for (size_t r = 0; r <= recipe; r++)
        for (size_t s = 0; s < (r < recipe ? recipes[r].stage_count : stage); s++)
            if (!strcmp(recipes[r].stages[s].name, name))
                return true;
    return false;
}

/* "geometry.skip= geometry.steps= ..." of every stage that a recipe has. */
static void print_settings(void)
{
    size_t count, sizes[2];
    const hds_recipe *recipes = hds_recipes(&count);
    const hds_option *tables[2] = { hds_stage_options(&sizes[0]), hds_guidance_options(&sizes[1]) };
    const char *gap = "";
    for (size_t r = 0; r < count; r++)
        for (size_t s = 0; s < recipes[r].stage_count; s++)
            for (int t = 0; t < 2 && !seen(recipes, r, s); t++)
                for (size_t i = 0; i < sizes[t]; i++, gap = " ")
                    printf("%s%s.%s=", gap, recipes[r].stages[s].name, tables[t][i].name);
}

static void print_commands(void)
{
    for (size_t i = 0; i < cli_command_count; i++)
        printf("%s%s", i ? " " : "", cli_commands[i]->name);
}

static void print_words(cli_values values, const char *words)
{
    if (values == CLI_RECIPES)
        print_recipes();
    else if (values == CLI_SETTINGS)
        print_settings();
    else if (values == CLI_COMMANDS)
        print_commands();
    else if (words)
        printf("%s", words);
}

/* Text within single quotes of a shell: `quote` stands for a quote in it, and a backslash goes
 * before each of `special`. */
static void print_quoted(const char *text, const char *quote, const char *special)
{
    for (; *text; text++)
        if (*text == '\'')
            printf("%s", quote);
        else
            printf(strchr(special, *text) ? "\\%c" : "%c", *text);
}

/* ---- bash ---- */

static void bash_values(cli_values values, const char *words)
{
    switch (values) {
    case CLI_ANY:
        puts("return ;;");
        break;
    case CLI_FILE:
    case CLI_FOLDER:
        printf("compopt -o filenames; mapfile -t COMPREPLY < <(compgen -%c -- \"$word\"); return "
               ";;\n",
               values == CLI_FILE ? 'f' : 'd');
        break;
    default:
        if (values == CLI_SETTINGS)
            printf("compopt -o nospace; ");
        printf("mapfile -t COMPREPLY < <(compgen -W '");
        print_words(values, words);
        puts("' -- \"$word\"); return ;;");
    }
}

static void bash_command(const cli_command *command)
{
    const cli_option *o;
    for (size_t i = 0; (o = cli_option_at(command, i)); i++) {
        if (!o->value)
            continue;
        printf("    %s:--%s", command->name, o->name);
        if (o->letter)
            printf(" | %s:-%c", command->name, o->letter);
        printf(") ");
        bash_values(o->values, o->words);
    }
    printf("    %s:*) if [[ $word == -* ]]; then mapfile -t COMPREPLY < <(compgen -W '",
           command->name);
    for (size_t i = 0; (o = cli_option_at(command, i)); i++)
        printf("%s--%s", i ? " " : "", o->name);
    printf("' -- \"$word\"); return; fi; ");
    bash_values(command->values, command->words);
}

static void print_bash(void)
{
    puts("# bash completion of headsds; written by: headsds completion bash\n"
         "_headsds()\n"
         "{\n"
         "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]}\n"
         "    COMPREPLY=()\n"
         "    if ((COMP_CWORD == 1)); then");
    printf("        mapfile -t COMPREPLY < <(compgen -W '");
    print_commands();
    puts(" --help --version' -- \"$word\")\n"
         "        return\n"
         "    fi\n"
         "    case ${COMP_WORDS[1]}:$before in");
    for (size_t i = 0; i < cli_command_count; i++)
        bash_command(cli_commands[i]);
    puts("    esac\n}\ncomplete -F _headsds headsds");
}

/* ---- zsh ---- */

static void zsh_values(cli_values values, const char *words)
{
    if (values == CLI_FILE) {
        printf("_files");
    } else if (values == CLI_FOLDER) {
        printf("_files -/");
    } else if (values == CLI_SETTINGS) {
        printf("{compadd -S \"\" -- ");
        print_settings();
        putchar('}');
    } else if (values != CLI_ANY) {
        putchar('(');
        print_words(values, words);
        putchar(')');
    }
}

static void zsh_option(const cli_option *o)
{
    for (int form = o->letter ? 0 : 1; form < 2; form++) {
        if (form)
            printf(" '*--%s[", o->name);
        else
            printf(" '*-%c[", o->letter);
        print_quoted(o->help, "'\\''", "[]\\");
        putchar(']');
        if (o->value) {
            putchar(':');
            print_quoted(o->value, "'\\''", ":\\");
            putchar(':');
            zsh_values(o->values, o->words);
        }
        putchar('\'');
    }
}

static void print_zsh(void)
{
    const cli_option *o;
    puts("#compdef headsds\n"
         "# zsh completion of headsds; written by: headsds completion zsh\n"
         "_headsds()\n"
         "{\n"
         "    local -a commands=(");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("        '%s:", cli_commands[i]->name);
        print_quoted(cli_commands[i]->summary, "'\\''", ":\\");
        puts("'");
    }
    puts("    )\n"
         "    if ((CURRENT == 2)); then\n"
         "        _describe command commands\n"
         "        return\n"
         "    fi\n"
         "    shift words\n"
         "    ((CURRENT--))\n"
         "    case $words[1] in");
    for (size_t i = 0; i < cli_command_count; i++) {
        printf("    %s) _arguments", cli_commands[i]->name);
        for (size_t k = 0; (o = cli_option_at(cli_commands[i], k)); k++)
            zsh_option(o);
        if (cli_commands[i]->most) {
            printf(" '*:word:");
            zsh_values(cli_commands[i]->values, cli_commands[i]->words);
            putchar('\'');
        }
        puts(" ;;");
    }
    puts("    esac\n}\ncompdef _headsds headsds");
}

/* ---- fish ---- */

static void fish_values(cli_values values, const char *words)
{
    if (values == CLI_FILE) {
        printf(" -r -F");
    } else if (values == CLI_FOLDER) {
        printf(" -x -a '(__fish_complete_directories)'");
    } else {
        printf(" -x");
        if (values != CLI_ANY) {
            printf(" -a '");
            print_words(values, words);
            putchar('\'');
        }
    }
}

static void print_fish(void)
{
    const cli_option *o;
    puts("# fish completion of headsds; written by: headsds completion fish\n"
         "complete -c headsds -f\n"
         "complete -c headsds -n __fish_use_subcommand -l help -s h\n"
         "complete -c headsds -n __fish_use_subcommand -l version");
    for (size_t i = 0; i < cli_command_count; i++) {
        const cli_command *command = cli_commands[i];
        printf("complete -c headsds -n __fish_use_subcommand -a %s -d '", command->name);
        print_quoted(command->summary, "\\'", "\\");
        puts("'");
        for (size_t k = 0; (o = cli_option_at(command, k)); k++) {
            printf("complete -c headsds -n '__fish_seen_subcommand_from %s' -l %s", command->name,
                   o->name);
            if (o->letter)
                printf(" -s %c", o->letter);
            if (o->value)
                fish_values(o->values, o->words);
            printf(" -d '");
            print_quoted(o->help, "\\'", "\\");
            puts("'");
        }
        if (command->values == CLI_ANY)
            continue;
        printf("complete -c headsds -n '__fish_seen_subcommand_from %s'", command->name);
        if (command->values == CLI_FILE) {
            puts(" -F");
            continue;
        }
        printf(" -a '");
        print_words(command->values, command->words);
        puts("'");
    }
}

static int completion(const cli_args *args)
{
    if (!strcmp(args->words[0], "bash"))
        print_bash();
    else if (!strcmp(args->words[0], "zsh"))
        print_zsh();
    else if (!strcmp(args->words[0], "fish"))
        print_fish();
    else
        return cli_wrong(args, "%.60s: expected one of bash, zsh, fish", args->words[0]);
    return CLI_DONE;
}

static const cli_option own[] = {
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, NULL };

const cli_command cli_completion = {
    .name = "completion",
    .summary = "Print a script by which a shell completes this command",
    .usage = "bash|zsh|fish",
    .text = "That for bash is installed with the command.",
    .examples = "source <(headsds completion bash)\n"
                "headsds completion zsh > ~/.zfunc/_headsds\n"
                "headsds completion fish > ~/.config/fish/completions/headsds.fish",
    .groups = groups,
    .least = 1,
    .most = 1,
    .values = CLI_WORDS,
    .words = "bash zsh fish",
    .run = completion,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds options: the tables of options and the recipes, as text, JSON or docs/options.md. */
#include "cli_priv.h"

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct table {
    const char *title, *how;
    const hds_option *options;
    size_t count;
} table;

enum { TABLES = 2 };
static void get_tables(table tables[TABLES])
{
    tables[0] = (table){ .title = "Options of a stage", .how = "STAGE.OPTION" };
    tables[0].options = hds_stage_options(&tables[0].count);
    tables[1] = (table){ .title = "Options of a guidance",
                         .how = "STAGE.OPTION for a stage's first guidance, "
                                "STAGE.GUIDANCE.OPTION for any" };
    tables[1].options = hds_guidance_options(&tables[1].count);
}

static const char *type_name(const hds_option *o)
{
    switch (o->type) {
    case HDS_OPTION_BOOL:
        return "bool";
    case HDS_OPTION_INT:
        return "int";
    case HDS_OPTION_FLOAT:
        return "float";
    case HDS_OPTION_NAME:
        return "name";
    }
    return "";
}

/* ---- values of a recipe ---- */

/* One line of a recipe's table: an option of all stages, of one guidance in them, or the weight of
 * a regulariser. */
typedef struct row {
    const char *guidance, *regulariser; /* or NULL */
    const hds_option *option;           /* NULL for a regulariser */
} row;

static const hds_guidance *guidance_of(const hds_stage_params *s, const char *name)
{
    for (int i = 0; i < HDS_MAX_GUIDANCES && s->guidance[i].kind[0]; i++)
        if (!strcmp(s->guidance[i].name, name))
            return &s->guidance[i];
    return NULL;
}

static const hds_regulariser *regulariser_of(const hds_stage_params *s, const char *kind)
{
    for (int i = 0; i < HDS_MAX_REGULARISERS && s->regularisers[i].kind[0]; i++)
        if (!strcmp(s->regularisers[i].kind, kind))
            return &s->regularisers[i];
    return NULL;
}

/* "" where the stage has no such guidance or regulariser. */
static void value_of(const row *r, const hds_stage_params *s, char text[HDS_OPTION_TEXT])
{
    text[0] = 0;
    if (r->regulariser) {
        const hds_regulariser *found = regulariser_of(s, r->regulariser);
        if (found)
            snprintf(text, HDS_OPTION_TEXT, "%g", (double)found->weight);
    } else if (r->guidance) {
        const hds_guidance *found = guidance_of(s, r->guidance);
        if (found)
            hds_option_get(r->option, found, text);
    } else {
        hds_option_get(r->option, s, text);
    }
}

typedef void (*row_printer)(const hds_recipe *recipe, const row *r);

/* Each row of the recipe's table once. */
static void each_row(const hds_recipe *recipe, row_printer print)
{
    const hds_stage_params *stages = recipe->stages;
    table tables[TABLES];
    get_tables(tables);
    for (size_t i = 0; i < tables[0].count; i++)
        print(recipe, &(row){ .option = &tables[0].options[i] });
    for (size_t s = 0; s < recipe->stage_count; s++)
        for (int g = 0; g < HDS_MAX_GUIDANCES && stages[s].guidance[g].kind[0]; g++) {
            const char *name = stages[s].guidance[g].name;
            bool seen = false;
            for (size_t k = 0; k < s; k++)
                seen |= guidance_of(&stages[k], name) != NULL;
            for (size_t i = 0; i < tables[1].count && !seen; i++)
                print(recipe, &(row){ .guidance = name, .option = &tables[1].options[i] });
        }
    for (size_t s = 0; s < recipe->stage_count; s++)
        for (int g = 0; g < HDS_MAX_REGULARISERS && stages[s].regularisers[g].kind[0]; g++) {
            const char *kind = stages[s].regularisers[g].kind;
            bool seen = false;
            for (size_t k = 0; k < s; k++)
                seen |= regulariser_of(&stages[k], kind) != NULL;
            if (!seen)
                print(recipe, &(row){ .regulariser = kind });
        }
}

/* ---- Markdown ---- */

static void put_cell(const char *text)
{
    printf("| ");
    for (; *text; text++)
        printf(*text == '|' ? "\\%c" : "%c", *text);
    putchar(' ');
}

static void markdown_row(const hds_recipe *recipe, const row *r)
{
    char value[HDS_OPTION_TEXT];
    printf("| `%s%s%s` ", r->guidance ? r->guidance : "", r->guidance ? "." : "",
           r->regulariser ? r->regulariser : r->option->name);
    for (size_t s = 0; s < recipe->stage_count; s++) {
        value_of(r, &recipe->stages[s], value);
        put_cell(value);
    }
    puts("|");
}

static void markdown_recipe(const hds_recipe *recipe)
{
    printf("\n### %s\n\n%s.\n\n| option ", recipe->name, recipe->help);
    for (size_t s = 0; s < recipe->stage_count; s++)
        put_cell(recipe->stages[s].name);
    puts("|");
    for (size_t s = 0; s <= recipe->stage_count; s++)
        printf("|---");
    puts("|");
    each_row(recipe, markdown_row);
}

static void markdown_table(const table *t)
{
    char range[256];
    printf("\n## %s\n\nWritten %s.\n\n| option | type | allowed | what it does |\n"
           "|---|---|---|---|\n",
           t->title, t->how);
    for (size_t i = 0; i < t->count; i++) {
        const hds_option *o = &t->options[i];
        hds_option_range(o, range);
        printf("| `%s` | %s ", o->name, type_name(o));
        put_cell(range);
        put_cell(o->help);
        if (o->former)
            printf("(also: `%s`) ", o->former);
        puts("|");
    }
}

static void print_markdown(void)
{
    table tables[TABLES];
    size_t count;
    const hds_recipe *recipes = hds_recipes(&count);
    get_tables(tables);
    puts("# Options\n\n"
         "<!-- written by: headsds options --markdown > docs/options.md -->\n\n"
         "A recipe is a list of stages, and each stage has these options. They are set by name: on "
         "the command line\n`--set texture.guidance_scale=30`, in Python "
         "`options={\"texture.guidance_scale\": 30}`, in a batch as a column\n"
         "`texture.guidance_scale`.");
    for (int i = 0; i < TABLES; i++)
        markdown_table(&tables[i]);
    puts("\n## Recipes\n\nThe first is the default.");
    for (size_t i = 0; i < count; i++)
        markdown_recipe(&recipes[i]);
}

/* ---- text ---- */

static void text_row(const hds_recipe *recipe, const row *r)
{
    char value[HDS_OPTION_TEXT], name[2 * HDS_NAME + 8];
    snprintf(name, sizeof name, "%s%s%s", r->guidance ? r->guidance : "", r->guidance ? "." : "",
             r->regulariser ? r->regulariser : r->option->name);
    printf("  %-28s", name);
    for (size_t s = 0; s < recipe->stage_count; s++) {
        value_of(r, &recipe->stages[s], value);
        printf(s + 1 < recipe->stage_count ? " %-12s" : " %s", value[0] ? value : "-");
    }
    putchar('\n');
}

static void print_text(void)
{
    char range[256];
    table tables[TABLES];
    size_t count;
    const hds_recipe *recipes = hds_recipes(&count);
    get_tables(tables);
    for (int t = 0; t < TABLES; t++) {
        printf("%s (%s)\n", tables[t].title, tables[t].how);
        for (size_t i = 0; i < tables[t].count; i++) {
            hds_option_range(&tables[t].options[i], range);
            printf("  %-24s %s\n  %-24s %s\n", tables[t].options[i].name, range, "",
                   tables[t].options[i].help);
        }
        putchar('\n');
    }
    for (size_t i = 0; i < count; i++) {
        printf("%sRecipe %s: %s\n  %-28s", i ? "\n" : "", recipes[i].name, recipes[i].help, "");
        for (size_t s = 0; s < recipes[i].stage_count; s++)
            printf(s + 1 < recipes[i].stage_count ? " %-12s" : " %s", recipes[i].stages[s].name);
        putchar('\n');
        each_row(&recipes[i], text_row);
    }
}

/* ---- JSON ---- */

static json_t *option_json(const hds_option *o)
{
    char range[256];
    hds_option_range(o, range);
    json_t *out = json_pack("{s:s, s:s, s:s, s:s}", "name", o->name, "type", type_name(o),
                            "allowed", range, "help", o->help);
    if (o->type == HDS_OPTION_INT || o->type == HDS_OPTION_FLOAT) {
        json_object_set_new(out, "low", json_real(o->low));
        json_object_set_new(out, "high", json_real(o->high));
    }
    if (o->choices)
        json_object_set_new(out, "choices", json_string(o->choices));
    if (o->former)
        json_object_set_new(out, "former", json_string(o->former));
    return out;
}

static json_t *value_json(const hds_option *o, const void *params)
{
    char text[HDS_OPTION_TEXT];
    hds_option_get(o, params, text);
    return o->type == HDS_OPTION_NAME ? json_string(text) : json_loads(text, JSON_DECODE_ANY, NULL);
}

static json_t *stage_json(const hds_stage_params *s, const table tables[TABLES])
{
    json_t *out = json_object();
    for (size_t i = 0; i < tables[0].count; i++)
        json_object_set_new(out, tables[0].options[i].name, value_json(&tables[0].options[i], s));
    for (int g = 0; g < HDS_MAX_GUIDANCES && s->guidance[g].kind[0]; g++) {
        json_t *guidance = json_object();
        for (size_t i = 0; i < tables[1].count; i++)
            json_object_set_new(guidance, tables[1].options[i].name,
                                value_json(&tables[1].options[i], &s->guidance[g]));
        json_object_set_new(out, s->guidance[g].name, guidance);
    }
    for (int g = 0; g < HDS_MAX_REGULARISERS && s->regularisers[g].kind[0]; g++)
        json_object_set_new(out, s->regularisers[g].kind,
                            json_real((double)s->regularisers[g].weight));
    return out;
}

static int print_json(void)
{
    static const char *const keys[TABLES] = { "stage", "guidance" };
    table tables[TABLES];
    size_t count;
    const hds_recipe *recipes = hds_recipes(&count);
    json_t *out = json_object(), *all = json_object();
    get_tables(tables);
    for (int t = 0; t < TABLES; t++) {
        json_t *list = json_array();
        for (size_t i = 0; i < tables[t].count; i++)
            json_array_append_new(list, option_json(&tables[t].options[i]));
        json_object_set_new(out, keys[t], list);
    }
    for (size_t i = 0; i < count; i++) {
        json_t *stages = json_object();
        for (size_t s = 0; s < recipes[i].stage_count; s++)
            json_object_set_new(stages, recipes[i].stages[s].name,
                                stage_json(&recipes[i].stages[s], tables));
        json_object_set_new(all, recipes[i].name,
                            json_pack("{s:s, s:o}", "help", recipes[i].help, "stages", stages));
    }
    json_object_set_new(out, "recipes", all);
    return cli_print_json(out, CLI_DONE);
}

static int options(const cli_args *args)
{
    if (cli_has(args, "json") && cli_has(args, "markdown"))
        return cli_wrong(args, "--json and --markdown, expected one of them");
    if (cli_has(args, "json"))
        return print_json();
    if (cli_has(args, "markdown"))
        print_markdown();
    else
        print_text();
    return CLI_DONE;
}

static const cli_option own[] = {
    { "json", 0, NULL, "print as JSON", CLI_ANY, NULL },
    { "markdown", 0, NULL, "print docs/options.md", CLI_ANY, NULL },
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, NULL };

const cli_command cli_options = {
    .name = "options",
    .summary = "List the options of stages, and the recipes",
    .usage = "",
    .examples = "headsds options\nheadsds options --json",
    .groups = groups,
    .least = 0,
    .most = 0,
    .run = options,
};

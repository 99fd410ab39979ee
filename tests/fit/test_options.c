/* SPDX-License-Identifier: Apache-2.0 */
/* The table of options, walked: each option goes in and comes out as text, refuses what is out of
 * its range by name, and its choices are the kinds that there are. */
#include "toy.h"

static const hds_option *table_of(int guidance, size_t *count)
{
    return guidance ? hds_guidance_options(count) : hds_stage_options(count);
}

static const void *fields(const hds_stage_params *s, int guidance)
{
    return guidance ? (const void *)&s->guidance[0] : (const void *)s;
}

/* Values to try: the ends of the range, or every choice. */
static int values(const hds_option *o, char text[16][HDS_NAME])
{
    int count = 0;
    const char *rest = o->choices;
    switch (o->type) {
    case HDS_OPTION_BOOL:
        snprintf(text[0], HDS_NAME, "true");
        snprintf(text[1], HDS_NAME, "false");
        return 2;
    case HDS_OPTION_NAME:
        for (; *rest; rest += strcspn(rest, " "), rest += strspn(rest, " "))
            snprintf(text[count++], HDS_NAME, "%.*s", (int)strcspn(rest, " "), rest);
        return count;
    case HDS_OPTION_INT:
    case HDS_OPTION_FLOAT:
        snprintf(text[0], HDS_NAME, "%.9g", o->above ? o->low + (o->high - o->low) / 1024 : o->low);
        snprintf(text[1], HDS_NAME, "%.9g", o->high);
        return 2;
    }
    return 0;
}

static void set(hds_stage_params *stages, const hds_option *o, int guidance, const char *value)
{
    hds_error error = { 0 };
    char *path = hds_format(guidance ? "texture.sds.%s" : "texture.%s", o->name);
    toy_ok(hds_stages_set(stages, TOY_STAGES, path, value, &error), &error);
    hds_free(path);
}

static void every_option_comes_back_as_it_went_in(void **state)
{
    size_t count;
    for (int guidance = 0; guidance < 2; guidance++) {
        const hds_option *table = table_of(guidance, &count);
        for (const hds_option *o = table; o < table + count; o++) {
            char tries[16][HDS_NAME], text[HDS_OPTION_TEXT], again[HDS_OPTION_TEXT];
            int many = values(o, tries);
            assert_true(many >= 1);
            for (int i = 0; i < many; i++) {
                toy_params(*state, 4);
                hds_stage_params before[TOY_STAGES];
                memcpy(before, toy_stages, sizeof before);
                set(toy_stages, o, guidance, tries[i]);
                hds_option_get(o, fields(&toy_stages[TEXTURE], guidance), text);
                if (o->type == HDS_OPTION_BOOL || o->type == HDS_OPTION_NAME)
                    assert_string_equal(text, tries[i]);
                else
                    assert_float_equal(strtod(text, NULL), strtod(tries[i], NULL),
                                       1e-6 * fabs(strtod(text, NULL)));
                set(before, o, guidance, text); /* as text, into another: all bytes are equal */
                hds_option_get(o, fields(&before[TEXTURE], guidance), again);
                assert_string_equal(text, again);
                assert_memory_equal(fields(&before[GEOMETRY], guidance),
                                    fields(&toy_stages[GEOMETRY], guidance),
                                    guidance ? sizeof(hds_guidance) : sizeof(hds_stage_params));
            }
        }
    }
}

static void refused(const char *path, const char *value, const char *word)
{
    hds_error error = { 0 };
    toy_refused(hds_stages_set(toy_stages, TOY_STAGES, path, value, &error), HDS_ERROR_ARGUMENT,
                &error, path, word);
}

static void what_is_out_of_range_is_refused_by_name(void **state)
{
    static const char *const never[] = { "", "nan", "inf", "-inf", "what", "1e99", "0x", "3 4" };
    size_t count;
    toy_params(*state, 4);
    hds_stage_params before[TOY_STAGES];
    memcpy(before, toy_stages, sizeof before);
    for (int guidance = 0; guidance < 2; guidance++) {
        const hds_option *table = table_of(guidance, &count);
        for (const hds_option *o = table; o < table + count; o++) {
            char path[2 * HDS_NAME], range[256], value[HDS_NAME];
            snprintf(path, sizeof path, "texture.%s", o->name);
            hds_option_range(o, range);
            assert_true(strlen(range) > 4 && o->help && strlen(o->help) > 8);
            for (size_t i = 0; i < sizeof never / sizeof *never; i++)
                refused(path, never[i], range);
            if (o->type != HDS_OPTION_INT && o->type != HDS_OPTION_FLOAT)
                continue;
            snprintf(value, sizeof value, "%.9g", o->high + fmax(1, o->high / 100));
            refused(path, value, range);
            snprintf(value, sizeof value, "%.9g", o->low - 1);
            refused(path, value, range);
            if (o->above)
                refused(path, "0", range);
            if (o->type == HDS_OPTION_INT)
                refused(path, "64.5", range);
            if (o->multiple)
                refused(path, "65", range);
        }
    }
    assert_memory_equal(before, toy_stages, sizeof before); /* nothing was set */
}

static void unknown_names_list_the_known_ones(void **state)
{
    toy_params(*state, 4);
    hds_error error = { 0 };
    toy_refused(hds_stages_set(toy_stages, TOY_STAGES, "texture.stpes", "1", &error),
                HDS_ERROR_ARGUMENT, &error, "\"stpes\"", "steps, views");
    toy_refused(hds_stages_set(toy_stages, TOY_STAGES, "shape.steps", "1", &error),
                HDS_ERROR_ARGUMENT, &error, "shape", "geometry");
    toy_refused(hds_stages_set(toy_stages, TOY_STAGES, "steps", "1", &error), HDS_ERROR_ARGUMENT,
                &error, "steps", "geometry");
    const hds_recipe *recipe;
    toy_refused(hds_recipe_find(&recipe, "defualt", &error), HDS_ERROR_ARGUMENT, &error,
                "\"defualt\"", "default");
}

static void former_names_are_understood(void **state)
{
    hds_error error = { 0 };
    toy_params(*state, 4);
    toy_ok(hds_stages_set(toy_stages, TOY_STAGES, "texture.l2", "0.75", &error), &error);
    assert_true(toy_stages[TEXTURE].weight_decay == 0.75f);
}

/* As many words as entries, each the name of one. */
static void are_choices(const char *option, const void *const *list, const char *other)
{
    size_t stage_count, guidance_count, words = 0, entries = 0;
    const hds_option *stage = hds_stage_options(&stage_count);
    const hds_option *guidance = hds_guidance_options(&guidance_count);
    const hds_option *o = hds_option_find(stage, stage_count, option);
    o = o ? o : hds_option_find(guidance, guidance_count, option);
    assert_non_null(o);
    for (const char *c = o->choices; *c; c += strcspn(c, " "), c += strspn(c, " "))
        words++;
    for (; list[entries]; entries++) {
        char text[2 * HDS_NAME], choices[512];
        snprintf(text, sizeof text, " %s ", *(const char *const *)list[entries]);
        snprintf(choices, sizeof choices, " %s ", o->choices);
        if (!strstr(choices, text))
            fail_msg("%s: its choices lack%s", option, text);
    }
    assert_int_equal(words, entries + (other != NULL));
}

static void choices_are_the_kinds_that_there_are(void **state)
{
    are_choices("kind", (const void *const *)fit_built_in.guides, NULL);
    are_choices("texture", (const void *const *)fit_built_in.textures, NULL);
    are_choices("precondition", (const void *const *)fit_built_in.preconditioners, "none");
    are_choices("optimizer", (const void *const *)fit_built_in.optimizers, NULL);
}

/* Every recipe's own values are within the ranges, and its names are understood. */
static void recipes_can_be_run(void **state)
{
    const toy *t = *state;
    size_t count;
    const hds_recipe *r = hds_recipes(&count);
    for (size_t i = 0; i < count; i++) {
        hds_error error = { 0 };
        fit_run run;
        hds_generate_params p = {
            .prompt = "a head", .model = t->model, .prior = t->prior, .recipe = &r[i]
        };
        toy_ok(fit_run_init(&run, &p, &fit_built_in, &error), &error);
        assert_true(r[i].help && r[i].name[0]);
        fit_run_finish(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_option_comes_back_as_it_went_in),
        cmocka_unit_test(what_is_out_of_range_is_refused_by_name),
        cmocka_unit_test(unknown_names_list_the_known_ones),
        cmocka_unit_test(former_names_are_understood),
        cmocka_unit_test(choices_are_the_kinds_that_there_are),
        cmocka_unit_test(recipes_can_be_run),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: equal bytes for equal seeds on any number of threads, checkpoints that continue to those
 * same bytes, and settings that are refused. */
#include "toy.h"

#include "headsds/version.h"

enum { STEPS = 6, TOTAL = 2 * STEPS, TEXELS = TOY_TEXTURE * TOY_TEXTURE * 3 };

static float *shape_of(const fit_run *run)
{
    return run->subject.variables[FIT_SHAPE].x;
}

static float *texture_of(const fit_run *run)
{
    return run->subject.variables[FIT_TEXTURE].x;
}

static void assert_same_run(const fit_run *a, const fit_run *b)
{
    assert_int_equal(a->stage, b->stage);
    assert_int_equal(a->step, b->step);
    assert_memory_equal(shape_of(a), shape_of(b), TOY_SHAPES * sizeof(float));
    assert_memory_equal(texture_of(a), texture_of(b), TEXELS * sizeof(float));
    assert_int_equal(a->history_count, b->history_count);
    assert_memory_equal(a->history, b->history, a->history_count * sizeof(hds_history));
}

static void both_stages_change_their_own(void **state)
{
    fit_run run;
    hds_generate_params p = toy_params(*state, STEPS);
    toy_open(&run, &p);
    float start[TEXELS], shape[TOY_SHAPES];
    memcpy(start, texture_of(&run), sizeof start);
    assert_int_equal(fit_run_total_steps(&run), TOTAL);
    assert_false(toy_advance(&run, STEPS));
    assert_int_equal(run.stage, TEXTURE);
    assert_memory_equal(start, texture_of(&run), sizeof start);
    memcpy(shape, shape_of(&run), sizeof shape);
    for (int k = 0; k < TOY_SHAPES; k++)
        assert_true(shape[k] != 0);
    assert_true(toy_advance(&run, STEPS));
    assert_memory_equal(shape, shape_of(&run), sizeof shape);
    assert_memory_not_equal(start, texture_of(&run), sizeof start);
    for (int i = 0; i < TEXELS; i++)
        assert_true(texture_of(&run)[i] >= 0 && texture_of(&run)[i] <= 1);
    for (size_t i = 0; i < TOTAL; i++) {
        const hds_history *h = &run.history[i];
        assert_string_equal(h->stage, i < STEPS ? "geometry" : "texture");
        assert_int_equal(h->step, i % STEPS);
        assert_true(h->timestep >= 20 && h->timestep < 980);
        assert_true(h->gradient_norm > 0 && h->coefficient_norm > 0);
    }
    assert_true(toy_advance(&run, 1)); /* over: no further step */
    assert_int_equal(run.history_count, TOTAL);
    fit_run_finish(&run);
}

static void the_seed_alone_decides(void **state)
{
    const toy *t = *state;
    fit_run run, again;
    hds_generate_params p = toy_params(t, STEPS);
    toy_open(&run, &p);
    toy_advance(&run, TOTAL);
    for (int threads = 1; threads <= 3; threads++) {
        threads_set_count(threads);
        p.prior = toy_load_prior(t->prior_path);
        toy_open(&again, &p);
        toy_advance(&again, TOTAL);
        assert_same_run(&run, &again);
        fit_run_finish(&again);
        hds_prior_unref(p.prior);
    }
    threads_set_count(0);
    p.prior = t->prior;
    p.seed++;
    toy_open(&again, &p);
    toy_advance(&again, TOTAL);
    assert_memory_not_equal(shape_of(&run), shape_of(&again), TOY_SHAPES * sizeof(float));
    assert_memory_not_equal(texture_of(&run), texture_of(&again), TEXELS * sizeof(float));
    fit_run_finish(&again);
    fit_run_finish(&run);
}

/* At every step, the boundary of the stages and the end among them. */
static void a_checkpoint_continues_to_the_same_bytes(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    fit_run whole;
    hds_generate_params p = toy_params(t, STEPS);
    p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 0);
    char *path = toy_file(t, "run.checkpoint");
    toy_open(&whole, &p);
    toy_advance(&whole, TOTAL);
    for (int stop = 0; stop <= TOTAL; stop++) {
        fit_run run;
        toy_open(&run, &p);
        toy_advance(&run, stop);
        toy_ok(fit_checkpoint_save(&run, path, &error), &error);
        fit_run_finish(&run);
        toy_open(&run, &p);
        toy_ok(fit_checkpoint_load(&run, path, &error), &error);
        assert_int_equal(run.history_count, stop);
        assert_true(toy_advance(&run, TOTAL + 1));
        assert_same_run(&whole, &run);
        fit_run_finish(&run);
    }
    fit_run_finish(&whole);
    hds_head_unref(p.start);
    hds_free(path);
}

/* The shape and the texture start from it, the offsets are in what is drawn, and all of it is in
 * the head that comes out. */
static void a_start_is_started_from(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, STEPS);
    hds_head *start = p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 200), *head;
    size_t count = 3 * t->model->vertex_count * sizeof(float);
    fit_run run, smooth;
    toy_open(&run, &p);
    const fit_variable *shape = &run.subject.variables[FIT_SHAPE];
    const fit_variable *colours = &run.subject.variables[FIT_TEXTURE];
    assert_true(shape->x[0] == 0.5f && shape->start[0] == 0.5f);
    assert_true(run.subject.expression[0] == 0.2f);
    assert_int_equal(run.subject.texture.width, 8);
    assert_int_equal(run.subject.texture.height, 4);
    for (int i = 0; i < 8 * 4 * 3; i++)
        assert_true(colours->x[i] == 200.0f / 255 && colours->start[i] == 200.0f / 255);
    float *expected = malloc(count);
    fit_views views;
    assert_non_null(expected);
    const guide_step first = { p.seed, 0, 0, STEPS };
    toy_ok(fit_views_draw(&run.current, &first, shape->x, &views, &error), &error);
    toy_ok(hds_head_vertices(start, expected, &error), &error);
    assert_memory_equal(views.vertices, expected, count);
    free(expected);
    p.start = toy_start(t, 0.5f, 0.2f, 0, 200);
    toy_open(&smooth, &p);
    assert_true(toy_advance(&run, TOTAL) && toy_advance(&smooth, TOTAL));
    assert_memory_not_equal(shape_of(&run), shape_of(&smooth), TOY_SHAPES * sizeof(float));
    toy_ok(fit_run_head(&run, &head, &error), &error);
    assert_memory_equal(head->offsets, start->offsets, count);
    assert_int_equal(head->texture_width, 8);
    assert_true(head->expression[0] == 0.2f && head->shape[0] != 0.5f);
    hds_head_unref(head);
    toy_ok(fit_run_head(&smooth, &head, &error), &error);
    assert_null(head->offsets);
    hds_head_unref(head);
    fit_run_finish(&run);
    fit_run_finish(&smooth);
    hds_head_unref(start);
    hds_head_unref(p.start);
}

static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        fail_msg("the record has no %s", name);
    return value;
}

static void assert_options(const json_t *object, const hds_option *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        member(object, table[i].name);
}

/* What a result says of how it was made: every option by name, and what it was made with. */
static void the_result_has_the_record(void **state)
{
    hds_error error = { 0 };
    hds_generate_params p = toy_params(*state, STEPS);
    hds_head *head;
    hds_head_info info;
    fit_run run;
    size_t count, guidances;
    p.seed = UINT64_MAX;
    toy_open(&run, &p);
    toy_ok(fit_run_head(&run, &head, &error), &error);
    hds_head_get_info(head, &info);
    json_t *record = json_loads(info.record, 0, NULL);
    assert_non_null(record);
    const hds_option *stage = hds_stage_options(&count);
    const hds_option *guidance = hds_guidance_options(&guidances);
    for (int i = 0; i < TOY_STAGES; i++) {
        const json_t *s = member(member(record, "stages"), toy_stages[i].name);
        assert_options(s, stage, count);
        assert_options(member(s, "sds"), guidance, guidances);
        assert_true(json_number_value(member(s, "weight_decay")) == 0.2);
    }
    assert_string_equal(json_string_value(member(record, "version")), hds_version());
    assert_string_equal(json_string_value(member(record, "recipe")), "toy");
    assert_string_equal(json_string_value(member(record, "prompt")), p.prompt);
    assert_true(json_is_null(member(record, "negative_prompt")));
    assert_string_equal(json_string_value(member(record, "seed")), "18446744073709551615");
    static const char *const hashes[][2] = { { "head_model", "hash" },
                                             { "prior", "unet" },
                                             { "prior", "vae" },
                                             { "prior", "text_encoder" } };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        const char *hex = json_string_value(member(member(record, hashes[i][0]), hashes[i][1]));
        assert_int_equal(strlen(hex), 16);
    }
    json_decref(record);
    hds_head_unref(head);
    fit_run_finish(&run);
}

/* A head that looks straight up is framed as it lies. */
static void framing_is_of_the_base_pose(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    hds_error error = { 0 };
    fit_run plain, posed;
    p.model = toy_load_posed(t, -1.5f);
    toy_ok(fit_run_init(&posed, &p, &fit_built_in, &error), &error);
    size_t count = p.model->vertex_count;
    float *v = calloc(count, 3 * sizeof *v);
    assert_non_null(v);
    toy_ok(hds_head_model_vertices(p.model, &(hds_coefficients){ 0 }, v, &error), &error);
    view_framing expected = view_framing_of(v, count);
    p.model = t->model;
    toy_ok(fit_run_init(&plain, &p, &fit_built_in, &error), &error);
    assert_memory_equal(&posed.subject.framing, &expected, sizeof expected);
    assert_memory_not_equal(&plain.subject.framing, &expected, sizeof expected);
    hds_head_model_unref(posed.subject.model);
    fit_run_finish(&posed);
    fit_run_finish(&plain);
    free(v);
}

static void settings_refused(hds_generate_params p, const char *place, const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    toy_refused(fit_run_init(&run, &p, &fit_built_in, &error), HDS_ERROR_ARGUMENT, &error, place,
                word);
}

/* In a recipe, whose stages anyone may make. */
static void settings_out_of_range_are_refused(void **state)
{
    const toy *t = *state;
    static const float bad[] = { NAN, -1, INFINITY };
    static const char *const names[] = { "guidance_scale", "learning_rate", "weight_decay",
                                         "gradient_clip",  "timestep_min",  "timestep_max",
                                         "normals",        "azimuth_range", "weight" };
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 9; k++) {
            hds_generate_params p = toy_params(t, STEPS);
            hds_stage_params *s = &toy_stages[k % 2 ? GEOMETRY : TEXTURE];
            hds_guidance *g = &s->guidance[0];
            float *fields[9] = { &g->guidance_scale, &s->learning_rate, &s->weight_decay,
                                 &s->gradient_clip,  &g->timestep_min,  &g->timestep_max,
                                 &s->normals,        &s->azimuth_range, &g->weight };
            *fields[k] = bad[i];
            settings_refused(p, k % 2 ? "geometry." : "texture.", names[k]);
        }
    static const struct {
        int steps, views, resolution;
        const char *name;
    } cases[] = { { -1, 1, 32, "steps" },      { 200000, 1, 32, "steps" },
                  { 0, 1, 32, "steps" },       { 1, 0, 32, "views" },
                  { 1, -1, 32, "views" },      { 1, 65, 32, "views" },
                  { 1, 1, -32, "resolution" }, { 1, 1, 36, "resolution" },
                  { 1, 1, 24, "resolution" },  { 1, 1, 1 << 20, "resolution" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_generate_params p = toy_params(t, STEPS);
        toy_stages[GEOMETRY].steps = cases[i].steps;
        toy_stages[GEOMETRY].views = cases[i].views;
        toy_stages[GEOMETRY].resolution = cases[i].resolution;
        settings_refused(p, "geometry.", cases[i].name);
    }
    hds_generate_params p = toy_params(t, STEPS);
    toy_stages[GEOMETRY].guidance[0].timestep_min = 0.5f;
    toy_stages[GEOMETRY].guidance[0].timestep_max = 0.4f;
    settings_refused(p, "geometry.timestep_min", "less than timestep_max");
    p = toy_params(t, STEPS);
    toy_stages[TEXTURE].guidance[0].timestep_max = 1.5f;
    settings_refused(p, "texture.timestep_max", "to 1");
}

/* Names that stand for nothing here, and what does not go together. */
static void recipes_that_cannot_be_are_refused(void **state)
{
    const toy *t = *state;
    static const char *const names[] = { "variable", "texture", "optimizer", "precondition" };
    for (int i = 0; i < 4; i++) {
        hds_generate_params p = toy_params(t, STEPS);
        hds_stage_params *s = &toy_stages[GEOMETRY];
        char *fields[4] = { s->variable, s->texture, s->optimizer, s->precondition };
        snprintf(fields[i], HDS_NAME, "what");
        settings_refused(p, names[i], "\"what\"");
    }
    hds_generate_params p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].guidance[0].kind, HDS_NAME, "what");
    settings_refused(p, "geometry.kind", "\"what\"");
    p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].regularisers[0].kind, HDS_NAME, "what");
    settings_refused(p, "geometry.regulariser", "\"what\"");
    p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].guidance[0].shown, HDS_NAME, "map");
    settings_refused(p, "geometry.shown is map", "the variable texture");
    p = toy_params(t, STEPS);
    toy_stages[GEOMETRY].skip = true;
    snprintf(toy_stages[TEXTURE].precondition, HDS_NAME, "whitening");
    settings_refused(p, "texture.precondition is whitening", "the variable shape");
    const hds_recipe none = { "none", "", toy_stages, 0 };
    const hds_recipe many = { "many", "", toy_stages, HDS_MAX_STAGES + 1 };
    p.recipe = &none;
    settings_refused(p, "none", "0 stages");
    p.recipe = &many;
    settings_refused(p, "many", "9 stages");
}

/* Of a model with other numbers; one that was loaded again is the same. */
static void starts_of_other_models_are_refused(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, STEPS);
    hds_head_model_params fewer = { .path = t->head_path, .shape_count = 2 };
    p.start = toy_start(t, 0.5f, 0, 0, 0);
    toy_ok(hds_head_model_load(&p.model, &fewer, &error), &error);
    settings_refused(p, "start is a head of 'toy.npz' (", "3 shapes, 1 expressions), expected");
    hds_head_model_unref(p.model);
    p.model = toy_load_head(t->head_path);
    fit_run run;
    toy_open(&run, &p);
    fit_run_finish(&run);
    p.model->shape_basis[4] += 0.001f;
    settings_refused(p, "start is a head of 'toy.npz'", "with the same values");
    hds_head_model_unref(p.model);
    hds_head_unref(p.start);
}

int main(void)
{
    /* as many threads as are asked for, whatever else the machine does */
    setenv("OMP_WAIT_POLICY", "passive", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_stages_change_their_own),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(a_checkpoint_continues_to_the_same_bytes),
        cmocka_unit_test(a_start_is_started_from),
        cmocka_unit_test(the_result_has_the_record),
        cmocka_unit_test(framing_is_of_the_base_pose),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(recipes_that_cannot_be_are_refused),
        cmocka_unit_test(starts_of_other_models_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

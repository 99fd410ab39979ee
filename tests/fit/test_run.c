/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: equal bytes for equal seeds on any number of threads, checkpoints that continue to those
 * same bytes, and files and settings that are refused. */
#include "toy.h"

enum { STEPS = 6, TOTAL = 2 * STEPS, TEXELS = TOY_TEXTURE * TOY_TEXTURE * 3 };

static void open_run(fit_run *run, const hds_generate_params *p)
{
    hds_error error = { 0 };
    toy_ok(fit_run_init(run, p, &error), &error);
}

/* Takes up to `count` steps; true when the run is done. */
static bool advance(fit_run *run, int count)
{
    hds_error error = { 0 };
    bool done = false;
    for (int i = 0; i < count && !done; i++)
        toy_ok(fit_run_step(run, &done, &error), &error);
    return done;
}

static void assert_same_run(const fit_run *a, const fit_run *b)
{
    assert_int_equal(a->stage, b->stage);
    assert_int_equal(a->step, b->step);
    assert_memory_equal(a->shape, b->shape, TOY_SHAPES * sizeof(float));
    assert_memory_equal(a->texture, b->texture, TEXELS * sizeof(float));
    assert_int_equal(a->history_count, b->history_count);
    assert_memory_equal(a->history, b->history, a->history_count * sizeof(hds_history));
}

static void both_stages_change_their_own(void **state)
{
    fit_run run;
    hds_generate_params p = toy_params(*state, STEPS);
    open_run(&run, &p);
    float start[TEXELS], shape[TOY_SHAPES];
    memcpy(start, run.texture, sizeof start);
    assert_int_equal(fit_run_total_steps(&run), TOTAL);
    assert_false(advance(&run, STEPS));
    assert_int_equal(run.stage, FIT_TEXTURE);
    assert_memory_equal(start, run.texture, sizeof start);
    memcpy(shape, run.shape, sizeof shape);
    for (int k = 0; k < TOY_SHAPES; k++)
        assert_true(shape[k] != 0);
    assert_true(advance(&run, STEPS));
    assert_memory_equal(shape, run.shape, sizeof shape);
    assert_memory_not_equal(start, run.texture, sizeof start);
    for (int i = 0; i < TEXELS; i++)
        assert_true(run.texture[i] >= 0 && run.texture[i] <= 1);
    for (size_t i = 0; i < TOTAL; i++) {
        const hds_history *h = &run.history[i];
        assert_int_equal(h->stage, i / STEPS);
        assert_int_equal(h->step, i % STEPS);
        assert_true(h->timestep >= 20 && h->timestep < 980);
        assert_true(h->gradient_norm > 0 && h->coefficient_norm > 0);
    }
    assert_true(advance(&run, 1)); /* over: no further step */
    assert_int_equal(run.history_count, TOTAL);
    fit_run_finish(&run);
}

static void the_seed_alone_decides(void **state)
{
    const toy *t = *state;
    fit_run run, again;
    hds_generate_params p = toy_params(t, STEPS);
    open_run(&run, &p);
    advance(&run, TOTAL);
    for (int threads = 1; threads <= 3; threads++) {
        threads_set_count(threads);
        p.prior = toy_load_prior(t->prior_path);
        open_run(&again, &p);
        advance(&again, TOTAL);
        assert_same_run(&run, &again);
        fit_run_finish(&again);
        hds_prior_unref(p.prior);
    }
    threads_set_count(0);
    p.prior = t->prior;
    p.seed++;
    open_run(&again, &p);
    advance(&again, TOTAL);
    assert_memory_not_equal(run.shape, again.shape, TOY_SHAPES * sizeof(float));
    assert_memory_not_equal(run.texture, again.texture, TEXELS * sizeof(float));
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
    open_run(&whole, &p);
    advance(&whole, TOTAL);
    for (int stop = 0; stop <= TOTAL; stop++) {
        fit_run run;
        open_run(&run, &p);
        advance(&run, stop);
        toy_ok(fit_checkpoint_save(&run, path, &error), &error);
        fit_run_finish(&run);
        open_run(&run, &p);
        toy_ok(fit_checkpoint_load(&run, path, &error), &error);
        assert_int_equal(run.history_count, stop);
        assert_true(advance(&run, TOTAL + 1));
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
    open_run(&run, &p);
    assert_true(run.shape[0] == 0.5f && run.start[0] == 0.5f && run.expression[0] == 0.2f);
    assert_int_equal(run.texture_width, 8);
    assert_int_equal(run.texture_height, 4);
    for (int i = 0; i < 8 * 4 * 3; i++)
        assert_true(run.texture[i] == 200.0f / 255 && run.start_texture[i] == 200.0f / 255);
    float *expected = malloc(count);
    fit_views views;
    assert_non_null(expected);
    toy_ok(fit_views_draw(&run, NULL, &views, &error), &error);
    toy_ok(hds_head_vertices(start, expected, &error), &error);
    assert_memory_equal(views.vertices, expected, count);
    free(expected);
    p.start = toy_start(t, 0.5f, 0.2f, 0, 200);
    open_run(&smooth, &p);
    assert_true(advance(&run, TOTAL) && advance(&smooth, TOTAL));
    assert_memory_not_equal(run.shape, smooth.shape, TOY_SHAPES * sizeof(float));
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

static void load_refused(const hds_generate_params *p, const char *path, hds_status status,
                         const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    open_run(&run, p);
    toy_refused(fit_checkpoint_load(&run, path, &error), status, &error, path, word);
    fit_run_finish(&run);
}

static char *saved(const toy *t, const hds_generate_params *p, int steps)
{
    hds_error error = { 0 };
    fit_run run;
    char *path = toy_file(t, "saved.checkpoint");
    open_run(&run, p);
    advance(&run, steps);
    toy_ok(fit_checkpoint_save(&run, path, &error), &error);
    fit_run_finish(&run);
    return path;
}

static void checkpoints_of_other_runs_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params right = toy_params(t, STEPS);
    char *path = saved(t, &right, 2), *head = toy_write_head(t, "other.npz");
    char *prior = toy_write_prior(t, "other", 9);
    hds_generate_params p = right;
    p.prompt = "another prompt";
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its prompt is");
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "start without resume");
    p = right;
    p.negative_prompt = "ugly";
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its negative_prompt is");
    p = right;
    p.seed++;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its seed is 3, here it is 4");
    p = right;
    p.geometry.steps++;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its geometry is");
    p = right;
    p.texture.l2 *= 2;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its texture is");
    p = right;
    p.start = toy_start(t, 0, 0, 0, 0);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its start is null, here it is");
    hds_head_unref(p.start);
    p = right;
    p.model = toy_load_head(head);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its model is");
    hds_head_model_unref(p.model);
    p = right;
    p.model = toy_load_posed(t, 0.1f);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its base_pose coefficients are others");
    hds_head_model_unref(p.model);
    p = right;
    p.prior = toy_load_prior(prior);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its prior is");
    hds_prior_unref(p.prior);
    hds_free(path);
    p = right;
    p.model = toy_load_posed(t, 0.1f);
    path = saved(t, &p, 2);
    load_refused(&right, path, HDS_ERROR_ARGUMENT, "its base_pose coefficients are others");
    hds_head_model_unref(p.model);
    hds_free(path);
    hds_free(head);
    hds_free(prior);
}

static void checkpoints_of_other_starts_are_refused(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    hds_head *start = p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 9);
    char *path = saved(t, &p, 2);
    const struct {
        float shape, expression, depth;
        uint8_t grey;
        const char *word;
    } others[] = { { 0.4f, 0.2f, 0.01f, 9, "its start coefficients are others" },
                   { 0.5f, 0, 0.01f, 9, "its expression coefficients are others" },
                   { 0.5f, 0.2f, 0.02f, 9, "its start is" },
                   { 0.5f, 0.2f, 0, 9, "its start is" },
                   { 0.5f, 0.2f, 0.01f, 8, "its start is" } };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        p.start =
            toy_start(t, others[i].shape, others[i].expression, others[i].depth, others[i].grey);
        load_refused(&p, path, HDS_ERROR_ARGUMENT, others[i].word);
        hds_head_unref(p.start);
    }
    p.start = NULL;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "here it is null");
    hds_head_unref(start);
    hds_free(path);
}

static void cut_off_checkpoints_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params p = toy_params(t, STEPS);
    char *path = saved(t, &p, 2), *cut = toy_file(t, "cut.checkpoint");
    hds_error error = { 0 };
    io_map map;
    toy_ok(io_map_open(&map, path, &error), &error);
    for (size_t part = 0; part < 8; part++) {
        files_write_bytes(cut, map.bytes, map.size * part / 8);
        load_refused(&p, cut, HDS_ERROR_FORMAT, "");
    }
    io_map_close(&map);
    hds_free(cut);
    hds_free(path);
}

/* A copy of a checkpoint with this array in place of its own, or without it if that has no data;
 * new. */
static char *mended(const toy *t, const char *path, io_array array)
{
    char *other = toy_file(t, "mended.checkpoint");
    hds_error error = { 0 };
    io_npz npz;
    toy_ok(io_npz_open(&npz, path, 0, &error), &error);
    io_array arrays[16];
    size_t count = npz.count;
    assert_in_range(count, 1, 16);
    memcpy(arrays, npz.arrays, count * sizeof *arrays);
    io_array *a = tiny_find(arrays, count, array.name);
    *a = array.data ? array : arrays[--count];
    toy_ok(io_npz_write(other, arrays, count, &error), &error);
    io_npz_close(&npz);
    return other;
}

static void load_mended(const toy *t, const hds_generate_params *p, io_array array,
                        const char *word)
{
    char *path = saved(t, p, 2), *other = mended(t, path, array);
    load_refused(p, other, HDS_ERROR_FORMAT, word);
    hds_free(other);
    hds_free(path);
}

/* What is not there is not taken for the zeros that this run was given. */
static void checkpoints_without_coefficients_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params p = toy_params(t, STEPS);
    static const char *const names[] = { "start", "expression", "pose" };
    char *path = saved(t, &p, 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *other = mended(t, path, (io_array){ .name = (char *)(uintptr_t)names[i] });
        char *words = hds_format("its %s coefficients are others", names[i]);
        load_refused(&p, other, HDS_ERROR_ARGUMENT, words);
        hds_free(words);
        hds_free(other);
    }
    hds_free(path);
}

static void checkpoints_that_contradict_themselves_are_refused(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    static const int64_t places[][2] = { { 0, 3 }, { 1, 2 }, { 2, 0 } };
    static const int64_t nowhere[][2] = { { -1, 0 }, { 0, -1 }, { 0, STEPS },
                                          { 3, 0 },  { 2, 1 },  { 0, (int64_t)1 << 40 } };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        load_mended(t, &p, TINY("place", 'i', 8, places[i], 2),
                    i == 0   ? "history"
                    : i == 1 ? "moment"
                             : "moment");
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        load_mended(t, &p, TINY("place", 'i', 8, nowhere[i], 2), "place");
    load_mended(t, &p, TINY("shape", 'f', 4, nowhere, 2), "shape");
    load_mended(t, &p, TINY("settings", 'S', 2, "{]", 1), "settings");
    p.texture.skip = true;
    load_mended(t, &p, TINY("place", 'i', 8, ((int64_t[]){ 1, 0 }), 2), "place");
}

/* A head that looks straight up is framed as it lies. */
static void framing_is_of_the_base_pose(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    hds_error error = { 0 };
    fit_run plain, posed;
    p.model = toy_load_posed(t, -1.5f);
    toy_ok(fit_run_init(&posed, &p, &error), &error);
    size_t count = p.model->vertex_count;
    float *v = calloc(count, 3 * sizeof *v);
    assert_non_null(v);
    toy_ok(hds_head_model_vertices(p.model, &(hds_coefficients){ 0 }, v, &error), &error);
    view_framing expected = view_framing_of(v, count);
    p.model = t->model;
    toy_ok(fit_run_init(&plain, &p, &error), &error);
    assert_memory_equal(&posed.framing, &expected, sizeof expected);
    assert_memory_not_equal(&plain.framing, &expected, sizeof expected);
    hds_head_model_unref(posed.model);
    fit_run_finish(&posed);
    fit_run_finish(&plain);
    free(v);
}

static void settings_refused(hds_generate_params p, const char *place, const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    toy_refused(fit_run_init(&run, &p, &error), HDS_ERROR_ARGUMENT, &error, place, word);
}

static void settings_out_of_range_are_refused(void **state)
{
    const toy *t = *state;
    static const float bad[] = { NAN, -1, INFINITY };
    for (size_t i = 0; i < 3; i++) {
        float *fields[6];
        static const char *const names[] = { "guidance_scale", "learning_rate", "l2",
                                             "gradient_clip",  "timestep_min",  "timestep_max" };
        for (int k = 0; k < 6; k++) {
            hds_generate_params p = toy_params(t, STEPS);
            hds_stage_params *s = k % 2 ? &p.geometry : &p.texture;
            memcpy(fields,
                   (float *[]){ &s->guidance_scale, &s->learning_rate, &s->l2, &s->gradient_clip,
                                &s->timestep_min, &s->timestep_max },
                   sizeof fields);
            *fields[k] = bad[i];
            settings_refused(p, k % 2 ? "geometry." : "texture.", names[k]);
        }
    }
    static const struct {
        int steps, views, resolution;
        const char *name;
    } cases[] = { { -1, 1, 32, "steps" },      { 200000, 1, 32, "steps" },
                  { 1, -1, 32, "views" },      { 1, 65, 32, "views" },
                  { 1, 1, -32, "resolution" }, { 1, 1, 36, "resolution" },
                  { 1, 1, 24, "resolution" },  { 1, 1, 1 << 20, "resolution" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_generate_params p = toy_params(t, STEPS);
        p.geometry.steps = cases[i].steps;
        p.geometry.views = cases[i].views;
        p.geometry.resolution = cases[i].resolution;
        settings_refused(p, "geometry.", cases[i].name);
    }
    hds_generate_params p = toy_params(t, STEPS);
    p.geometry.timestep_min = 0.5f;
    p.geometry.timestep_max = 0.4f;
    settings_refused(p, "geometry.timestep_min", "less than timestep_max");
    p = toy_params(t, STEPS);
    p.texture.timestep_max = 1.5f;
    settings_refused(p, "texture.timestep_max", "at most 1");
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
    open_run(&run, &p);
    fit_run_finish(&run);
    p.model->shape_basis[4] += 0.001f;
    settings_refused(p, "start is a head of 'toy.npz'", "with the same numbers");
    hds_head_model_unref(p.model);
    hds_head_unref(p.start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_stages_change_their_own),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(a_checkpoint_continues_to_the_same_bytes),
        cmocka_unit_test(a_start_is_started_from),
        cmocka_unit_test(checkpoints_of_other_runs_are_refused),
        cmocka_unit_test(checkpoints_of_other_starts_are_refused),
        cmocka_unit_test(cut_off_checkpoints_are_refused),
        cmocka_unit_test(checkpoints_without_coefficients_are_refused),
        cmocka_unit_test(checkpoints_that_contradict_themselves_are_refused),
        cmocka_unit_test(framing_is_of_the_base_pose),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(starts_of_other_models_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

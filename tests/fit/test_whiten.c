/* SPDX-License-Identifier: Apache-2.0 */
/* Whitening by other prompts' gradients: it makes them white, it depends on nothing of the run but
 * its settings, it is counted, and it is remembered in memory and on disk. */
#include "toy.h"

#include "math/math.h"

#include <sys/stat.h>

enum { S = TOY_SHAPES, PROMPTS = 36 };

/* As much of whiten.c's state as the tests look at. */
typedef struct whitening {
    double *moment;
    float *matrix;
} whitening;

static const whitening *whitening_of(const fit_run *run)
{
    return run->current.preconditioner.state;
}

/* A run before its first step; *computed: how many prompts had to be asked. */
static void prepare(fit_run *run, const hds_generate_params *p, int *computed)
{
    hds_error error = { 0 };
    bool done;
    toy_ok(fit_run_init(run, p, &fit_built_in, &error), &error);
    for (*computed = 0; fit_run_preparing(run); ++*computed)
        toy_ok(fit_run_step(run, &done, &error), &error);
}

/* W F W = 1, where F is the mean of the gradients' products, shrunk by a fifth toward its diagonal
 * and damped by a two-hundredth of its mean. */
static void whitened_gradients_are_white(void **state)
{
    fit_run run;
    hds_error error = { 0 };
    bool over;
    hds_generate_params p = toy_params(*state, 4);
    toy_stages[GEOMETRY].guidance[0].guidance_scale = 6; /* of no other test */
    toy_ok(fit_run_init(&run, &p, &fit_built_in, &error), &error);
    const fit_preconditioner *c = &run.current.preconditioner;
    assert_int_equal(c->count, PROMPTS);
    for (int done = 1; fit_run_preparing(&run); done++) {
        double before = done > 1 ? whitening_of(&run)->moment[0] : 0;
        toy_ok(fit_run_step(&run, &over, &error), &error);
        assert_false(over);
        assert_int_equal(c->done, done);
        assert_int_equal(run.step, 0);
        assert_true(whitening_of(&run)->moment[0] > before);
    }
    assert_int_equal(c->done, PROMPTS);
    double f[S * S], mean = 0;
    for (int i = 0; i < S * S; i++) {
        f[i] = whitening_of(&run)->moment[i] * (i % (S + 1) ? 0.8 : 1);
        mean += i % (S + 1) ? 0 : f[i] / S;
    }
    for (int i = 0; i < S; i++) {
        float column[S] = { i == 0, i == 1, i == 2 }, white[S];
        toy_ok(c->ops->apply(c, &run.current, false, column, &error), &error);
        for (int j = 0; j < S; j++) {
            double sum = 0.005 * mean * column[j];
            for (int k = 0; k < S; k++)
                sum += f[j * S + k] * column[k];
            white[j] = (float)sum;
        }
        toy_ok(c->ops->apply(c, &run.current, false, white, &error), &error);
        for (int j = 0; j < S; j++)
            assert_float_equal(white[j], i == j, 1e-3);
    }
    fit_run_finish(&run);
}

static void it_is_the_same_for_every_prompt_and_seed(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, 4);
    fit_run a, b;
    int computed;
    cache_forget();
    prepare(&a, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    p.prompt = "another";
    p.seed = 8;
    cache_forget();
    prepare(&b, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    assert_memory_equal(whitening_of(&a)->matrix, whitening_of(&b)->matrix, S * S * sizeof(float));
    fit_run_finish(&b);
    prepare(&b, &p, &computed);
    assert_int_equal(computed, 0); /* remembered */
    assert_memory_equal(whitening_of(&a)->matrix, whitening_of(&b)->matrix, S * S * sizeof(float));
    fit_run_finish(&b);
    fit_run_finish(&a);
}

/* Whatever the matrix depends on is in its name, and only that. */
static void what_it_depends_on_makes_another(void **state)
{
    static const struct {
        const char *name, *value;
        int computed;
    } cases[] = {
        { "geometry.guidance_scale", "9", PROMPTS },
        { "geometry.views", "2", PROMPTS },
        { "geometry.azimuth_range", "30", PROMPTS },
        { "geometry.timestep_max", "0.5", PROMPTS },
        { "geometry.normals", "1", PROMPTS },
        { "geometry.weight", "2", PROMPTS },
        { "geometry.gradient_clip", "1", PROMPTS },
        { "geometry.steps", "9", 0 },
        { "geometry.learning_rate", "0.5", 0 },
        { "geometry.weight_decay", "0.5", 0 },
        { "texture.views", "2", 0 },
    };
    const toy *t = *state;
    hds_generate_params p = toy_params(t, 4);
    fit_run run;
    int computed;
    prepare(&run, &p, &computed);
    fit_run_finish(&run);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const hds_setting setting = { cases[i].name, cases[i].value };
        p.settings = &setting;
        p.setting_count = 1;
        prepare(&run, &p, &computed);
        if (computed != cases[i].computed)
            fail_msg("%s: %d prompts were asked, expected %d", cases[i].name, computed,
                     cases[i].computed);
        fit_run_finish(&run);
    }
    p = toy_params(t, 4);
    p.negative_prompt = "ugly";
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    fit_run_finish(&run);
    p = toy_params(t, 4);
    p.model = toy_load_posed(t, 0.2f);
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    fit_run_finish(&run);
    hds_head_model_unref(p.model);
    p.model = t->model;
    p.start = toy_start(t, 0.5f, 0, 0, 0);
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    fit_run_finish(&run);
    hds_head_unref(p.start);
    char *other = toy_write_prior(t, "other", 6);
    p = toy_params(t, 4);
    p.prior = toy_load_prior(other);
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    fit_run_finish(&run);
    hds_prior_unref(p.prior);
    hds_free(other);
}

/* In the cache folder for the next process; a damaged file is made again. */
static void it_is_kept_on_disk(void **state)
{
    const toy *t = *state;
    char *folder = files_make_folder(t->folder, "cache");
    hds_generate_params p = toy_params(t, 4);
    float matrix[S * S];
    fit_run run;
    int computed;
    assert_int_equal(setenv("HEADSDS_CACHE", folder, 1), 0);
    cache_forget();
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    memcpy(matrix, whitening_of(&run)->matrix, sizeof matrix);
    fit_run_finish(&run);
    cache_forget();
    prepare(&run, &p, &computed);
    assert_int_equal(computed, 0);
    assert_memory_equal(matrix, whitening_of(&run)->matrix, sizeof matrix);
    fit_run_finish(&run);
    char *damage = hds_format("for f in '%s'/*; do truncate -s -5 \"$f\"; done", folder);
    assert_int_equal(system(damage), 0);
    cache_forget();
    prepare(&run, &p, &computed);
    assert_int_equal(computed, PROMPTS);
    assert_memory_equal(matrix, whitening_of(&run)->matrix, sizeof matrix);
    fit_run_finish(&run);
    assert_int_equal(setenv("HEADSDS_CACHE", "", 1), 0);
    hds_free(damage);
    hds_free(folder);
}

/* It ends in the middle, and a run resumed from there gives the same bytes. */
static void it_resumes_in_the_middle(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, 4);
    char *path = toy_file(t, "prepared.checkpoint");
    float matrix[S * S];
    fit_run run;
    int computed;
    bool done;
    cache_forget();
    prepare(&run, &p, &computed);
    memcpy(matrix, whitening_of(&run)->matrix, sizeof matrix);
    fit_run_finish(&run);
    cache_forget();
    toy_ok(fit_run_init(&run, &p, &fit_built_in, &error), &error);
    for (int i = 0; i < 10; i++)
        toy_ok(fit_run_step(&run, &done, &error), &error);
    toy_ok(fit_checkpoint_save(&run, path, &error), &error);
    fit_run_finish(&run);
    toy_ok(fit_run_init(&run, &p, &fit_built_in, &error), &error);
    toy_ok(fit_checkpoint_load(&run, path, &error), &error);
    for (computed = 0; fit_run_preparing(&run); computed++)
        toy_ok(fit_run_step(&run, &done, &error), &error);
    assert_int_equal(computed, PROMPTS - 10);
    assert_memory_equal(matrix, whitening_of(&run)->matrix, sizeof matrix);
    fit_run_finish(&run);
    hds_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whitened_gradients_are_white),
        cmocka_unit_test(it_is_the_same_for_every_prompt_and_seed),
        cmocka_unit_test(what_it_depends_on_makes_another),
        cmocka_unit_test(it_is_kept_on_disk),
        cmocka_unit_test(it_resumes_in_the_middle),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

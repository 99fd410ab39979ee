/* SPDX-License-Identifier: Apache-2.0 */
/* A new guide, texture representation, optimizer, regulariser, preconditioner or recipe is one
 * struct: each has a toy here, and the engine runs them without knowing of them, in checkpoints and
 * records too. */
#include "toy.h"

enum { STEPS = 12 };

/* ---- the toys ---- */

/* Pulls what it is shown to a grey of guidance_scale percent; remembers how often it was asked. */
static hds_status grey_init(guide *g, const guide_setup *setup, hds_error *error)
{
    g->state = hds_alloc(1, sizeof(float));
    return g->state ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
}

static hds_status grey_gradient(guide *g, const guide_step *at_step, const guide_input *input,
                                float *dimages, guide_report *report, hds_error *error)
{
    size_t count = (input->map ? 1 : input->count) * input->height * input->width * 3;
    for (size_t i = 0; i < count; i++)
        dimages[i] += input->images[i] - g->params.guidance_scale / 100;
    ++*(float *)g->state;
    report->timestep = at_step->step;
    return HDS_OK;
}

static bool grey_visit(guide *g, const state_visitor *v)
{
    return v->array(v, "grey_calls", 'f', sizeof(float), 1, g->state);
}

static void grey_finish(guide *g)
{
    hds_free(g->state);
}

static const guide_ops grey = { "grey", grey_init, grey_gradient, grey_visit, grey_finish };

/* One colour for all texels. */
static size_t flat_count(int width, int height)
{
    return 3;
}

static hds_status flat_init(texture *t, const float *start, float *x, hds_error *error)
{
    memcpy(x, start, 3 * sizeof *x);
    return HDS_OK;
}

static void flat_make(const texture *t, const float *x, float *texels)
{
    for (size_t i = 0; i < (size_t)t->width * (size_t)t->height; i++)
        memcpy(texels + 3 * i, x, 3 * sizeof *x);
}

static void flat_adjoint(const texture *t, const float *x, const float *dtexels, float *dx)
{
    for (size_t i = 0; i < 3 * (size_t)t->width * (size_t)t->height; i++)
        dx[i % 3] += dtexels[i];
}

static const texture_ops flat = { .name = "flat",
                                  .low = 0,
                                  .high = 1,
                                  .count = flat_count,
                                  .init = flat_init,
                                  .make = flat_make,
                                  .make_adjoint = flat_adjoint };

/* A step of `rate` against the sign of the gradient. */
static void sign_step(optim_state *o, double rate, double decay, const float *gradient,
                      const float *start, float *x)
{
    for (size_t i = 0; i < o->count; i++)
        x[i] -= (float)(gradient[i] > 0 ? rate : gradient[i] < 0 ? -rate : 0);
}

static const optim_ops sign = { .name = "sign", .step = sign_step };

/* Pulls the first coefficient of the shape to 1. */
static hds_status first_gradient(fit_subject *u, float weight, float *dx, hds_error *error)
{
    dx[0] += weight * (u->variables[FIT_SHAPE].x[0] - 1);
    return HDS_OK;
}

static const fit_regulariser_ops first = { "first", "shape", first_gradient };

/* Turns the gradient around, once it has been prepared three times. */
static hds_status around_init(fit_preconditioner *p, fit_stage *s, hds_error *error)
{
    p->count = 3;
    return HDS_OK;
}

static hds_status around_prepare(fit_preconditioner *p, fit_stage *s, hds_error *error)
{
    p->done++;
    return HDS_OK;
}

static hds_status around_apply(const fit_preconditioner *p, fit_stage *s, bool map, float *gradient,
                               hds_error *error)
{
    for (size_t i = 0; i < s->variable->count; i++)
        gradient[i] = -gradient[i];
    return HDS_OK;
}

static const fit_preconditioner_ops around = {
    .name = "around", .init = around_init, .prepare = around_prepare, .apply = around_apply
};

static const fit_kinds kinds = { .guides = { &guide_sds, &grey },
                                 .textures = { &texture_texels, &flat },
                                 .regularisers = { &first },
                                 .preconditioners = { &fit_whitening, &fit_pyramid, &around },
                                 .optimizers = { &optim_adam, &sign } };

/* ---- a recipe of them ---- */

/* The whole texture to one grey. */
static const hds_stage_params colour_stages[] = {
    { .name = "colour",
      .variable = "texture",
      .texture = "flat",
      .steps = STEPS,
      .views = 1,
      .resolution = 32,
      .shading = "textured",
      .azimuth_range = 90,
      .gradient_clip = 1e6f,
      .precondition = "none",
      .optimizer = "sign",
      .learning_rate = 0.05f,
      .learning_rate_schedule = "constant",
      .guidance = { { .name = "pull",
                      .kind = "grey",
                      .shown = "map",
                      .weight = 1,
                      .guidance_scale = 75,
                      .timestep_schedule = "uniform",
                      .timestep_max = 1 } } },
};
static const hds_recipe colour = { "colour", "one grey", colour_stages, 1 };

static void open_run(fit_run *run, const toy *t, const hds_recipe *recipe, const hds_setting *set,
                     size_t count)
{
    hds_error error = { 0 };
    hds_generate_params p = { .prompt = "grey",
                              .model = t->model,
                              .prior = t->prior,
                              .recipe = recipe,
                              .settings = set,
                              .setting_count = count };
    toy_ok(fit_run_init(run, &p, &kinds, &error), &error);
}

static int advance(fit_run *run, int most)
{
    hds_error error = { 0 };
    bool done = false;
    int taken = 0;
    for (; taken < most && !done; taken++)
        toy_ok(fit_run_step(run, &done, &error), &error);
    return taken;
}

static void guide_texture_and_optimizer_are_rows(void **state)
{
    fit_run run;
    open_run(&run, *state, &colour, NULL, 0);
    const fit_variable *v = &run.subject.variables[FIT_TEXTURE];
    assert_int_equal(v->count, 3);
    float before[3];
    memcpy(before, v->x, sizeof before);
    assert_int_equal(advance(&run, 2 * STEPS), STEPS);
    for (int i = 0; i < 3; i++) {
        assert_true(fabsf(before[i] - 0.75f) > 0.1f); /* it had somewhere to go */
        assert_float_equal(v->x[i], 0.75, 0.05);
    }
    assert_string_equal(run.history[0].stage, "colour");
    assert_true(run.history[STEPS - 1].timestep == STEPS - 1);
    fit_run_finish(&run);
}

/* The next stage, with another representation, starts from what this one left. */
static void a_representation_starts_from_the_former_one(void **state)
{
    hds_stage_params two[2] = { colour_stages[0], colour_stages[0] };
    const hds_recipe recipe = { "two", "", two, 2 };
    fit_run run;
    snprintf(two[1].name, HDS_NAME, "free");
    snprintf(two[1].texture, HDS_NAME, "texels");
    open_run(&run, *state, &recipe, NULL, 0);
    advance(&run, STEPS);
    const fit_variable *v = &run.subject.variables[FIT_TEXTURE];
    assert_int_equal(v->count, TOY_TEXTURE * TOY_TEXTURE * 3);
    for (size_t i = 0; i < v->count; i++)
        assert_float_equal(v->x[i], 0.75, 0.05);
    fit_run_finish(&run);
}

static void a_checkpoint_holds_their_state(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    char *path = toy_file(t, "kinds.checkpoint");
    fit_run whole, run;
    open_run(&whole, t, &colour, NULL, 0);
    advance(&whole, STEPS);
    open_run(&run, t, &colour, NULL, 0);
    advance(&run, 5);
    toy_ok(fit_checkpoint_save(&run, path, &error), &error);
    fit_run_finish(&run);
    open_run(&run, t, &colour, NULL, 0);
    toy_ok(fit_checkpoint_load(&run, path, &error), &error);
    assert_true(*(float *)run.current.guides[0].state == 5);
    assert_int_equal(advance(&run, 2 * STEPS), STEPS - 5);
    assert_memory_equal(run.subject.variables[FIT_TEXTURE].x,
                        whole.subject.variables[FIT_TEXTURE].x, 3 * sizeof(float));
    fit_run_finish(&run);
    fit_run_finish(&whole);
    hds_free(path);
}

static void a_regulariser_is_a_row(void **state)
{
    static const hds_setting set[] = { { "geometry.first", "1000" },
                                       { "geometry.precondition", "none" },
                                       { "texture.skip", "true" } };
    const toy *t = *state;
    fit_run with, without;
    toy_params(t, STEPS);
    toy_stages[GEOMETRY].weight_decay = 0;
    open_run(&with, t, &toy_recipe, set, 3);
    open_run(&without, t, &toy_recipe, set + 1, 2);
    advance(&with, STEPS);
    advance(&without, STEPS);
    float pulled = with.subject.variables[FIT_SHAPE].x[0];
    float free = without.subject.variables[FIT_SHAPE].x[0];
    assert_true(fabsf(pulled - 1) < fabsf(free - 1) && pulled > 0.5f);
    const json_t *record = json_object_get(json_object_get(with.record, "stages"), "geometry");
    assert_true(json_number_value(json_object_get(record, "first")) == 1000);
    fit_run_finish(&with);
    fit_run_finish(&without);
}

/* Opposite first steps, after a counted preparation. */
static void a_preconditioner_is_a_row(void **state)
{
    const toy *t = *state;
    fit_run run, plain;
    toy_params(t, STEPS);
    toy_stages[TEXTURE].skip = true;
    snprintf(toy_stages[GEOMETRY].precondition, HDS_NAME, "none");
    open_run(&plain, t, &toy_recipe, NULL, 0);
    advance(&plain, 1);
    snprintf(toy_stages[GEOMETRY].precondition, HDS_NAME, "around");
    open_run(&run, t, &toy_recipe, NULL, 0);
    for (int i = 0; i < 3; i++) {
        assert_true(fit_run_preparing(&run));
        assert_int_equal(run.current.preconditioner.done, i);
        advance(&run, 1);
    }
    assert_false(fit_run_preparing(&run));
    assert_int_equal(run.step, 0);
    advance(&run, 1);
    for (int i = 0; i < TOY_SHAPES; i++)
        assert_true(run.subject.variables[FIT_SHAPE].x[i] ==
                    -plain.subject.variables[FIT_SHAPE].x[i]);
    fit_run_finish(&run);
    fit_run_finish(&plain);
}

/* Two guides in one stage: their weights decide. */
static void guidances_add_up(void **state)
{
    const toy *t = *state;
    hds_stage_params stage = colour_stages[0];
    const hds_recipe recipe = { "two guides", "", &stage, 1 };
    static const hds_setting swap[] = { { "colour.pull.weight", "0" },
                                        { "colour.other.weight", "1" } };
    fit_run run;
    stage.guidance[1] = stage.guidance[0];
    snprintf(stage.guidance[1].name, HDS_NAME, "other");
    stage.guidance[1].guidance_scale = 25;
    stage.guidance[1].weight = 0.25f;
    for (size_t i = 0; i < 2; i++) {
        open_run(&run, t, &recipe, swap, 2 * i);
        advance(&run, STEPS);
        for (int k = 0; k < 3; k++)
            assert_float_equal(run.subject.variables[FIT_TEXTURE].x[k], i ? 0.25 : 0.65, 0.05);
        fit_run_finish(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guide_texture_and_optimizer_are_rows),
        cmocka_unit_test(a_representation_starts_from_the_former_one),
        cmocka_unit_test(a_checkpoint_holds_their_state),
        cmocka_unit_test(a_regulariser_is_a_row),
        cmocka_unit_test(a_preconditioner_is_a_row),
        cmocka_unit_test(guidances_add_up),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

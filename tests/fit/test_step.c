/* SPDX-License-Identifier: Apache-2.0 */
/* One step of a stage: how views and timesteps are drawn, and the way of a gradient on the pictures
 * back to coefficients and texels, against finite differences of the pictures. */
#include "toy.h"

#include "image/image.h"

enum { VIEWS = 4 };

/* A run that stands at the stage. */
static void open_run(fit_run *run, const toy *t, int stage, int size)
{
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, 1000);
    for (int i = 0; i < TOY_STAGES; i++) {
        toy_stages[i].views = VIEWS;
        toy_stages[i].resolution = size;
        toy_stages[i].guidance[0].timestep_min = 0.2f;
        toy_stages[i].guidance[0].timestep_max = 0.7f;
    }
    toy_stages[GEOMETRY].skip = stage == TEXTURE;
    toy_ok(fit_run_init(run, &p, &fit_built_in, &error), &error);
    assert_int_equal(run->stage, stage);
}

static guide_step here(const fit_run *run)
{
    return (guide_step){ run->settings.seed, run->stage, run->step, run->current.params->steps };
}

/* Draws; the views lie in the subject's scratch until it is left. */
static fit_views draw(fit_run *run)
{
    hds_error error = { 0 };
    fit_views v;
    guide_step now = here(run);
    toy_ok(fit_views_draw(&run->current, &now, run->current.variable->x, &v, &error), &error);
    return v;
}

static void views_share_out_circle_and_schedule(void **state)
{
    fit_run run;
    open_run(&run, *state, GEOMETRY, TOY_SIZE);
    int normals = 0, straight = 0, slots[VIEWS][VIEWS] = { { 0 } };
    for (run.step = 0; run.step < 40; run.step++) {
        arena_mark mark = arena_enter(&run.subject.scratch);
        fit_views v = draw(&run);
        int seen[VIEWS] = { 0 };
        float times[VIEWS];
        guide_step now = here(&run);
        guide_timesteps(&run.current.params->guidance[0], &now, 0, 1000, VIEWS, times);
        for (int i = 0; i < VIEWS; i++) {
            double t = times[i], a = v.views[i].camera.azimuth;
            assert_true(t >= 200 && t < 700 && t == floor(t));
            int slot = (int)((t + 0.5 - 200) / 125);
            seen[slot]++;
            slots[i][slot]++;
            double low = -100 + 50 * i, high = low + 50;
            bool turned = a >= low && a < high;
            straight += !turned;
            assert_true(turned || (a >= 90 * rint(low / 90) && a <= 90 * rint(high / 90) &&
                                   fmod(a, 90) == 0 && v.views[i].camera.elevation == 0));
            assert_int_equal(v.sides[i], guide_side_of((float)a));
            normals += v.views[i].mode == RASTER_NORMALS;
        }
        for (int i = 0; i < VIEWS; i++)
            assert_int_equal(seen[i], 1);
        arena_leave(&run.subject.scratch, mark);
    }
    for (int i = 0; i < VIEWS; i++)
        for (int k = 0; k < VIEWS; k++)
            assert_int_equal(slots[i][k], 10);
    assert_in_range(normals, 55, 105);  /* of 160: more than 4 deviations from half are a fault */
    assert_in_range(straight, 20, 121); /* some of the straight ones lie in their part anyway */
    fit_run_finish(&run);
}

static void another_seed_or_step_draws_other_views(void **state)
{
    fit_run run;
    open_run(&run, *state, GEOMETRY, TOY_SIZE);
    fit_views first = draw(&run), again = draw(&run);
    size_t size = VIEWS * TOY_SIZE * TOY_SIZE * 3 * sizeof(real);
    assert_memory_equal(first.images, again.images, size);
    run.step = 1;
    again = draw(&run);
    assert_memory_not_equal(first.images, again.images, size);
    run.step = 0;
    run.settings.seed++;
    again = draw(&run);
    assert_memory_not_equal(first.images, again.images, size);
    fit_run_finish(&run);
}

static bool is_background(const fit_views *v, size_t view, size_t x, size_t y)
{
    const real *p = v->images + 3 * ((view * (size_t)v->size + y) * (size_t)v->size + x);
    return !memcmp(p, v->views[view].background, 3 * sizeof *p);
}

/* Whether background, or the edge of the picture, is within two pixels. */
static bool near_outline(const fit_views *v, size_t view, size_t x, size_t y)
{
    size_t side = (size_t)v->size;
    if (x < 2 || y < 2 || x + 2 >= side || y + 2 >= side)
        return true;
    for (size_t b = y - 2; b <= y + 2; b++)
        for (size_t a = x - 2; a <= x + 2; a++)
            if (is_background(v, view, a, b))
                return true;
    return false;
}

/* A smooth gradient on the pictures, of everything or of what lies inside the outline. */
static void wave(fit_views *v, bool inside)
{
    size_t side = (size_t)v->size;
    for (size_t i = 0; i < v->count * side * side * 3; i++) {
        size_t x = i / 3 % side, y = i / 3 / side % side, view = i / 3 / side / side;
        double phase = (double)(i % 3) + 5 * (double)view;
        double value = sin(6 * (double)x / v->size + phase) + cos(7 * (double)y / v->size - phase);
        v->dimages[i] = inside && near_outline(v, view, x, y) ? 0 : (real)value;
    }
}

static double mean_product(const fit_views *v, const real *dimages)
{
    double sum = 0;
    for (size_t i = 0; i < v->count * (size_t)v->size * (size_t)v->size * 3; i++)
        sum += (double)v->images[i] * dimages[i];
    return sum / (double)v->count;
}

/* Difference of the mean over the views of <image, dimage> when one coefficient moves by +-h. */
static double shape_difference(fit_run *run, int k, double h, const real *dimages)
{
    double ends[2];
    float *shape = run->subject.variables[FIT_SHAPE].x, was = shape[k];
    for (int end = 0; end < 2; end++) {
        shape[k] = was + (float)(end ? h : -h);
        arena_mark mark = arena_enter(&run->subject.scratch);
        fit_views v = draw(run);
        ends[end] = mean_product(&v, dimages);
        arena_leave(&run->subject.scratch, mark);
    }
    shape[k] = was;
    return (ends[1] - ends[0]) / (2 * h);
}

/* The blending of outlines is a model of coverage, so there the picture's own changes, which jump
 * as pixels change hands, agree with it in the mean over many views only. */
static void shape_gradients_are_those_of_the_pictures(void **state)
{
    hds_error error = { 0 };
    fit_run run;
    double found[TOY_SHAPES] = { 0 }, differences[TOY_SHAPES] = { 0 }, total = 0;
    open_run(&run, *state, GEOMETRY, 128);
    for (run.step = 0; run.step < 24; run.step++) {
        bool inside = run.step % 4 == 1;
        arena_mark mark = arena_enter(&run.subject.scratch);
        run.current.variable->x[0] = 0.3f;
        run.current.variable->x[1] = -0.6f;
        fit_views v = draw(&run);
        real dshape[TOY_SHAPES] = { 0 };
        wave(&v, inside);
        toy_ok(fit_views_adjoint(&run.current, &v, run.current.variable->x, dshape, &error),
               &error);
        double norm = 0;
        for (int k = 0; k < TOY_SHAPES; k++)
            norm += (double)dshape[k] * dshape[k];
        for (int k = 0; k < TOY_SHAPES; k++) {
            double expected = shape_difference(&run, k, inside ? 0.003 : 0.1, v.dimages);
            if (inside && !(fabs(dshape[k] - expected) <= 0.003 * sqrt(norm)))
                fail_msg("step %d, component %d: %g, expected %g (norm %g)", run.step, k,
                         (double)dshape[k], expected, sqrt(norm));
            found[k] += inside ? 0 : dshape[k];
            differences[k] += inside ? 0 : expected;
        }
        arena_leave(&run.subject.scratch, mark);
    }
    for (int k = 0; k < TOY_SHAPES; k++)
        total += differences[k] * differences[k];
    for (int k = 0; k < TOY_SHAPES; k++) {
        print_message("component %d: %g, expected %g\n", k, found[k], differences[k]);
        if (!(fabs(found[k] - differences[k]) <= 0.1 * sqrt(total)))
            fail_msg("component %d: %g, expected %g (norm %g)", k, found[k], differences[k],
                     sqrt(total));
    }
    fit_run_finish(&run);
}

static void texture_gradients_are_those_of_the_pictures(void **state)
{
    enum { TEXELS = TOY_TEXTURE * TOY_TEXTURE * 3 };
    const float h = 0.01f;
    hds_error error = { 0 };
    fit_run run;
    open_run(&run, *state, TEXTURE, 64);
    fit_views v = draw(&run);
    real dtexture[TEXELS] = { 0 };
    float start[TEXELS], direction[TEXELS];
    wave(&v, false);
    float *x = run.current.variable->x;
    toy_ok(fit_views_adjoint(&run.current, &v, x, dtexture, &error), &error);
    memcpy(start, x, sizeof start);
    double norm = 0;
    for (int i = 0; i < TEXELS; i++)
        norm += (double)dtexture[i] * dtexture[i];
    assert_true(norm > 0);
    for (uint64_t k = 0; k < 6; k++) {
        rng r = rng_make(9, k);
        rng_normal_fill(&r, direction, TEXELS);
        double ends[2], found = 0;
        for (int end = 0; end < 2; end++) {
            for (int i = 0; i < TEXELS; i++)
                x[i] = start[i] + (end ? h : -h) * direction[i];
            fit_views moved = draw(&run);
            ends[end] = mean_product(&moved, v.dimages);
        }
        for (int i = 0; i < TEXELS; i++)
            found += (double)dtexture[i] * direction[i];
        double expected = (ends[1] - ends[0]) / (2 * h);
        if (!(fabs(found - expected) <= 0.003 * sqrt(norm)))
            fail_msg("direction %d: %g, expected %g (norm %g)", (int)k, found, expected,
                     sqrt(norm));
    }
    fit_run_finish(&run);
}

static void norms_of(const fit_views *v, double norms[VIEWS])
{
    size_t each = (size_t)v->size * (size_t)v->size * 3;
    for (size_t i = 0; i < VIEWS; i++) {
        norms[i] = 0;
        for (size_t k = 0; k < each; k++)
            norms[i] += (double)v->dimages[i * each + k] * v->dimages[i * each + k];
        norms[i] = sqrt(norms[i]);
    }
}

static void guide_views(fit_run *run, fit_views *v)
{
    hds_error error = { 0 };
    fit_stage *s = &run->current;
    guide_step now = here(run);
    guide_report report;
    toy_ok(fit_views_guide(s, &now, s->guides, s->guide_count, v, &report, &error), &error);
    assert_true(report.residual > 0 && report.timestep >= 200 && report.timestep < 700);
}

static void a_view_is_clipped_to_the_mean(void **state)
{
    fit_run run;
    open_run(&run, *state, GEOMETRY, TOY_SIZE);
    double free[VIEWS], clipped[VIEWS], mean = 0;
    fit_views v = draw(&run);
    size_t size = VIEWS * TOY_SIZE * TOY_SIZE * 3 * sizeof *v.dimages;
    run.settings.stages[GEOMETRY].gradient_clip = 1e6f;
    guide_views(&run, &v);
    norms_of(&v, free);
    for (int i = 0; i < VIEWS; i++)
        mean += free[i] / VIEWS;
    run.settings.stages[GEOMETRY].gradient_clip = 0.9f;
    memset(v.dimages, 0, size);
    guide_views(&run, &v);
    norms_of(&v, clipped);
    int touched = 0;
    for (int i = 0; i < VIEWS; i++) {
        assert_float_equal(clipped[i], fmin(free[i], 0.9 * mean), 1e-5 * mean);
        touched += clipped[i] < free[i];
    }
    assert_in_range(touched, 1, VIEWS - 1);
    fit_run_finish(&run);
}

/* Over- and underexposed pixels: the encoder sees them at the bound, and further out is no change.
 */
static void gradients_do_not_leave_the_range(void **state)
{
    fit_run run;
    open_run(&run, *state, GEOMETRY, TOY_SIZE);
    fit_views v = draw(&run);
    size_t count = VIEWS * TOY_SIZE * TOY_SIZE * 3;
    for (size_t i = 0; i < count; i++)
        v.images[i] = i % 3 == 0 ? (real)1.25 : i % 3 == 1 ? (real)-0.25 : v.images[i];
    guide_views(&run, &v);
    int inward[3] = { 0 };
    for (size_t i = 0; i < count; i++) {
        real d = i % 3 == 0 ? v.dimages[i] : -v.dimages[i];
        assert_true(v.images[i] >= 0 && v.images[i] <= 1);
        assert_true(i % 3 == 2 || d >= 0);
        inward[i % 3] += d > 0;
    }
    for (int c = 0; c < 3; c++)
        assert_true(inward[c] > 100);
    fit_run_finish(&run);
}

/* A step on the map goes against its decoded gradient: the first step of Adam by hand. */
static void check_map_step(fit_run *run, const toy *t)
{
    enum { TEXELS = TOY_TEXTURE * TOY_TEXTURE * 3, PIXELS = TOY_SIZE * TOY_SIZE * 3 };
    hds_error error = { 0 };
    float times[VIEWS], dmap[PIXELS], start[TEXELS];
    guide_side sides[VIEWS];
    real map[PIXELS], dtexture[TEXELS];
    guide_step now = here(run);
    guide_timesteps(&run->current.params->guidance[0], &now, 0, 1000, VIEWS, times);
    for (size_t i = 0; i < VIEWS; i++)
        sides[i] = GUIDE_MAP;
    const float *x = run->current.variable->x;
    image_resize(x, TOY_TEXTURE, TOY_TEXTURE, 3, TOY_SIZE, TOY_SIZE, IMAGE_BILINEAR, map);
    guide_batch batch = { .count = VIEWS,
                          .height = TOY_SIZE,
                          .width = TOY_SIZE,
                          .images = map,
                          .sides = sides,
                          .timesteps = times,
                          .seed = run->settings.seed,
                          .stream = guide_stream(&now, 0, true),
                          .guidance_scale = 5 };
    const guide_text *text = run->current.guides[0].state;
    toy_ok(guide_sds_map(t->prior, text, &batch, dmap, NULL, &error), &error);
    image_resize(dmap, TOY_SIZE, TOY_SIZE, 3, TOY_TEXTURE, TOY_TEXTURE, IMAGE_BILINEAR, dtexture);
    memcpy(start, x, sizeof start);
    double square = 0;
    for (int i = 0; i < TEXELS; i++)
        square += (double)dtexture[i] * dtexture[i] / TEXELS;
    assert_true(square > 0);
    bool done;
    toy_ok(fit_run_step(run, &done, &error), &error);
    for (int i = 0; i < TEXELS; i++) {
        double expected = start[i] - 0.1 * dtexture[i] / sqrt(square);
        assert_float_equal(x[i], fmin(fmax(expected, 0), 1), 1e-4);
    }
}

static void maps_are_asked_about_when_the_prior_knows_those_of_the_model(void **state)
{
    static const char *const heads[] = { "another head", "toy.npz" };
    for (int known = 0; known < 2; known++) {
        toy other = *(toy *)*state;
        hds_error error = { 0 };
        fit_run run;
        char *card = hds_format("{\"texture_map_head\": \"%s\","
                                " \"texture_map_prefix\": \"a map of \"}",
                                heads[known]);
        toy_ok(toy_load_with_card(*state, card, &other.prior, &error), &error);
        open_run(&run, &other, TEXTURE, TOY_SIZE);
        assert_int_equal(fit_stage_shows_map(&run.current, &run.current.params->guidance[0]),
                         known);
        if (known)
            check_map_step(&run, &other);
        fit_run_finish(&run);
        hds_prior_unref(other.prior);
        hds_free(card);
    }
}

static void bad_cards_are_refused(void **state)
{
    static const char *const cards[][2] = {
        { "[1]", "not a JSON object" },
        { "{\"texture_map_head\": 3, \"texture_map_prefix\": \"a\"}", "texture_map_head" },
        { "{\"texture_map_head\": \"a\"}", "texture_map_prefix" },
        { "{\"texture_map_prefix\": \"a\"}", "texture_map_head" },
        { "{\"neutral_prompt\": []}", "neutral_prompt" },
        { "{\"texture_map_prefix\": \"a\"", "headsds.json" },
    };
    for (size_t i = 0; i < sizeof cards / sizeof *cards; i++) {
        hds_error error = { 0 };
        hds_prior *prior;
        hds_status status = toy_load_with_card(*state, cards[i][0], &prior, &error);
        toy_refused(status, HDS_ERROR_FORMAT, &error, "headsds.json", cards[i][1]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_share_out_circle_and_schedule),
        cmocka_unit_test(another_seed_or_step_draws_other_views),
        cmocka_unit_test(shape_gradients_are_those_of_the_pictures),
        cmocka_unit_test(texture_gradients_are_those_of_the_pictures),
        cmocka_unit_test(a_view_is_clipped_to_the_mean),
        cmocka_unit_test(gradients_do_not_leave_the_range),
        cmocka_unit_test(maps_are_asked_about_when_the_prior_knows_those_of_the_model),
        cmocka_unit_test(bad_cards_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

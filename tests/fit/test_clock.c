/* SPDX-License-Identifier: Apache-2.0 */
/* The estimate of the time that is left, on recorded times of real runs: after a tenth of the run
 * it is within 30% of the truth. traces/NAME.csv: a row for each step of the default recipe with
 * the built-in head and prior: stage, whether it was one of preparation, seconds. */
#include "toy.h"

enum { MOST_ROWS = 400, STAGES = 2 };

typedef struct trace {
    int count, stage[MOST_ROWS], preparation[MOST_ROWS];
    double seconds[MOST_ROWS], total;
} trace;

static void read_trace(trace *t, const char *name)
{
    char *path = hds_format("%s/tests/fit/traces/%s.csv", HEADSDS_SOURCE, name), line[128];
    FILE *file = fopen(path, "r");
    if (!file)
        fail_msg("%s: cannot be opened", path);
    *t = (trace){ 0 };
    while (fgets(line, sizeof line, file)) {
        int i = t->count++, parts;
        assert_true(i < MOST_ROWS);
        parts = sscanf(line, "%d,%d,%lf", &t->stage[i], &t->preparation[i], &t->seconds[i]);
        assert_int_equal(parts, 3);
        t->total += t->seconds[i];
    }
    fclose(file);
    hds_free(path);
}

/* What is left at a row, as fit_run_work says it: the preparation of a stage is known when the
 * stage is due. */
static void work_left(const trace *t, int row, const double *costs, fit_work *work)
{
    memset(work, 0, STAGES * sizeof *work);
    for (int i = 0; i < STAGES; i++)
        work[i].step = work[i].preparation_step = costs[i];
    for (int i = row; i < t->count; i++) {
        fit_work *w = &work[t->stage[i]];
        if (!t->preparation[i])
            w->steps++;
        else if (t->stage[i] == t->stage[row])
            w->preparations++;
    }
}

static void check(const char *name, const double *costs)
{
    trace t;
    fit_clock clock = { .taken = 0 };
    fit_work work[STAGES];
    double passed = 0, total;
    int row = 0;
    read_trace(&t, name);
    work_left(&t, 0, costs, work);
    assert_true(fit_clock_left(&clock, work, STAGES) < 0); /* nothing is known yet */
    for (; passed < 0.1 * t.total; row++) {
        fit_clock_add(&clock, t.stage[row], t.preparation[row], t.seconds[row]);
        passed += t.seconds[row];
    }
    for (; row < t.count; row++) {
        work_left(&t, row, costs, work);
        total = passed + fit_clock_left(&clock, work, STAGES);
        if (passed < 0.11 * t.total)
            print_message("%s: %.0f s, estimated as %.0f s after a tenth\n", name, t.total, total);
        assert_true(fabs(total - t.total) < 0.3 * (t.total - fmin(passed, 0.1 * t.total)));
        fit_clock_add(&clock, t.stage[row], t.preparation[row], t.seconds[row]);
        passed += t.seconds[row];
    }
    work_left(&t, row, costs, work);
    assert_true(fit_clock_left(&clock, work, STAGES) == 0);
}

static void the_rest_is_known_after_a_tenth(void **state)
{
    static const char *const names[] = { "quiet", "prepared", "texture", "busy", "resumed" };
    hds_error error = { 0 };
    hds_prior *prior;
    hds_head_model *model;
    double costs[STAGES];
    size_t count;
    const hds_recipe *r = hds_recipes(&count);
    toy_ok(hds_prior_load(&prior, &(hds_prior_params){ 0 }, &error), &error);
    toy_ok(hds_head_model_load(&model, &(hds_head_model_params){ 0 }, &error), &error);
    for (int i = 0; i < STAGES; i++) {
        hds_stage_params p = r->stages[i];
        p.resolution = 128;
        costs[i] = fit_stage_work(prior, model, &p);
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        check(names[i], costs);
    hds_head_model_unref(model);
    hds_prior_unref(prior);
}

/* As the demo is: preparation has its own count and is never taken for steps. */
/* Steady times are predicted exactly: preparation is never taken for steps. */
static void preparation_is_counted_apart(void **state)
{
    fit_clock clock = { .taken = 0 };
    fit_work work[1] = { { .step = 1, .preparation_step = 2, .steps = 100, .preparations = 36 } };
    for (int i = 0; i < 3; i++) {
        fit_clock_add(&clock, 0, true, i < 2 ? 5 : 0.5); /* the first two are slow */
        work[0].preparations--;
    }
    assert_float_equal(fit_clock_left(&clock, work, 1), 33 * 0.5 + 100 * 0.25, 1e-9);
    for (; work[0].preparations; work[0].preparations--)
        fit_clock_add(&clock, 0, true, 0.5);
    fit_clock_add(&clock, 0, false, 0.25);
    work[0].steps--;
    assert_float_equal(fit_clock_left(&clock, work, 1), 99 * 0.25, 1e-9);
    assert_float_equal(clock.all[1][0].seconds, 2 * 5 + 34 * 0.5, 1e-9); /* what was measured */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_is_known_after_a_tenth),
        cmocka_unit_test(preparation_is_counted_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

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
    fit_clock clock = { .taken = { 0 } };
    fit_work work[STAGES];
    double passed = 0, worst = 0;
    read_trace(&t, name);
    for (int i = 0; i < t.count; i++) {
        work_left(&t, i, costs, work);
        double truth = t.total - passed, left = fit_clock_left(&clock, work, STAGES);
        if (i == 0)
            assert_true(left < 0); /* nothing is known yet */
        if (passed >= 0.1 * t.total) {
            double error = fabs(left - truth) / truth;
            worst = error > worst && i < t.count - 4 ? error : worst; /* the last steps: fractions
                                                                         of a second */
        }
        fit_clock_add(&clock, t.stage[i], t.preparation[i], t.seconds[i]);
        passed += t.seconds[i];
    }
    print_message("%s: %.0f s, the estimate is off by at most %.0f%%\n", name, t.total,
                  100 * worst);
    assert_true(worst > 0 && worst < 0.3);
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
static void preparation_is_counted_apart(void **state)
{
    fit_clock clock = { .taken = { 0 } };
    fit_work work[1] = { { .step = 1, .preparation_step = 1, .steps = 100, .preparations = 36 } };
    fit_clock_add(&clock, 0, true, 0.5);
    work[0].preparations--;
    assert_float_equal(fit_clock_left(&clock, work, 1), 67.5, 1e-9);
    for (; work[0].preparations; work[0].preparations--)
        fit_clock_add(&clock, 0, true, 0.5);
    fit_clock_add(&clock, 0, false, 0.25);
    work[0].steps--;
    assert_float_equal(fit_clock_left(&clock, work, 1), 24.75, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rest_is_known_after_a_tenth),
        cmocka_unit_test(preparation_is_counted_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

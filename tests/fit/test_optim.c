/* SPDX-License-Identifier: Apache-2.0 */
/* Adam: its first steps by hand, the bound of its decay, the way down a bowl; and the ramps
 * of rates. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "optim/optim.h"

#include <math.h>
#include <string.h>

static void open_optimiser(optim_state *o, size_t count)
{
    assert_int_equal(optim_init(o, &optim_adam, count, NULL), HDS_OK);
}

static void steps_are_as_by_hand(void **state)
{
    optim_state o;
    float x[2] = { 1, 1 };
    open_optimiser(&o, 2);
    /* m^ = g, v^ = |g|^2 / 2 */
    optim_step(&o, 0.5, 0, (float[]){ 3, -4 }, NULL, x);
    assert_float_equal(x[0], 1 - 0.5 * 3 / sqrt(12.5), 1e-6);
    assert_float_equal(x[1], 1 + 0.5 * 4 / sqrt(12.5), 1e-6);
    /* m = 0.9 0.1 (3,-4) + 0.1 (0,10) = (0.27, 0.64), m^ = m / 0.19
     * v = 0.98 0.02 12.5 + 0.02 50 = 1.245, v^ = v / 0.0396 */
    double size = sqrt(1.245 / 0.0396), was[2] = { x[0], x[1] };
    optim_step(&o, 0.5, 0, (float[]){ 0, 10 }, NULL, x);
    assert_float_equal(x[0], was[0] - 0.5 * (0.27 / 0.19) / size, 1e-6);
    assert_float_equal(x[1], was[1] - 0.5 * (0.64 / 0.19) / size, 1e-6);
    optim_finish(&o);
}

static void a_gradient_of_zero_only_decays(void **state)
{
    optim_state o;
    float x[2] = { 1, 5 };
    open_optimiser(&o, 2);
    optim_step(&o, 0.5, 0.2, (float[]){ 0, 0 }, (float[]){ 1, 3 }, x);
    assert_float_equal(x[0], 1, 0);
    assert_float_equal(x[1], 5 - 0.5 * 0.2 * 2, 1e-6);
    optim_finish(&o);
}

/* A constant gradient ends at 1 / decay from the start, root mean square. */
static void decay_bounds_the_change(void **state)
{
    enum { N = 5 };
    const float start[N] = { 0.5f, -1, 2, 0, 0.25f }, gradient[N] = { 1, -2, 3, 0.5f, 4 };
    optim_state o;
    float x[N];
    memcpy(x, start, sizeof x);
    open_optimiser(&o, N);
    double last = 0;
    for (int k = 0; k < 400; k++) {
        optim_step(&o, 0.1, 0.4, gradient, start, x);
        double square = 0;
        for (int i = 0; i < N; i++)
            square += pow((double)x[i] - start[i], 2) / N;
        last = sqrt(square);
        assert_true(last <= 1 / 0.4 + 1e-4);
    }
    assert_float_equal(last, 1 / 0.4, 1e-3);
    for (int i = 0; i < N; i++) /* along the gradient */
        assert_float_equal((x[i] - start[i]) / (x[0] - start[0]), gradient[i], 1e-3);
    optim_finish(&o);
}

static void the_size_of_the_gradient_does_not_matter(void **state)
{
    float x[2][2] = { { 0, 0 }, { 0, 0 } };
    for (int k = 0; k < 2; k++) {
        optim_state o;
        open_optimiser(&o, 2);
        float size = k ? 4096 : 1;
        for (int i = 0; i < 20; i++)
            optim_step(&o, 0.1, 0.1, (float[]){ size * sinf((float)i), size }, NULL, x[k]);
        optim_finish(&o);
    }
    assert_memory_equal(x[0], x[1], sizeof x[0]);
}

static void it_finds_the_bottom_of_a_bowl(void **state)
{
    const float target[3] = { 2, -1, 0.5f }, curve[3] = { 1, 3, 0.3f };
    optim_state o;
    float x[3] = { 0 }, g[3];
    open_optimiser(&o, 3);
    for (int k = 0; k < 600; k++) {
        for (int i = 0; i < 3; i++)
            g[i] = curve[i] * (x[i] - target[i]);
        optim_step(&o, 0.1 * (1 - k / 600.0), 0, g, NULL, x);
    }
    for (int i = 0; i < 3; i++)
        assert_float_equal(x[i], target[i], 0.01);
    optim_finish(&o);
}

static void ramps_fall_to_a_tenth(void **state)
{
    static const struct {
        const char *name;
        double left, factor;
    } cases[] = { { "constant", 1, 1 },    { "constant", 0, 1 },  { "linear", 1, 1 },
                  { "linear", 0.5, 0.55 }, { "linear", 0, 0.1 },  { "cosine", 1, 1 },
                  { "cosine", 0.5, 0.55 }, { "cosine", 0, 0.1 },  { "tail", 1, 1 },
                  { "tail", 0.334, 1 },    { "tail", 0.1, 0.37 }, { "tail", 0, 0.1 } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_float_equal(optim_ramp(cases[i].name, cases[i].left), cases[i].factor, 1e-12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_as_by_hand),
        cmocka_unit_test(a_gradient_of_zero_only_decays),
        cmocka_unit_test(decay_bounds_the_change),
        cmocka_unit_test(the_size_of_the_gradient_does_not_matter),
        cmocka_unit_test(it_finds_the_bottom_of_a_bowl),
        cmocka_unit_test(ramps_fall_to_a_tenth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

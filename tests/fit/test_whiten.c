/* SPDX-License-Identifier: Apache-2.0 */
/* Whitening by other prompts' gradients: it makes them white, it depends on nothing of the run but
 * its settings, and the prior remembers it. */
#include "toy.h"

#include "diffusion/diffusion.h"
#include "math/math.h"

#include <fcntl.h>
#include <sys/stat.h>

enum { S = TOY_SHAPES };

static void prepare(fit_run *run, const hds_generate_params *p)
{
    hds_error error = { 0 };
    toy_ok(fit_run_init(run, p, &error), &error);
    while (!fit_whiten_ready(run))
        toy_ok(fit_whiten_step(run, &error), &error);
}

static void eigenvectors_turn_a_matrix_into_its_eigenvalues(void **state)
{
    enum { N = 7 };
    double a[N * N], before[N * N], v[N * N];
    rng r = rng_make(3, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            a[i * N + j] = a[j * N + i] = rng_normal(&r);
    memcpy(before, a, sizeof a);
    math_eigen_symmetric(a, v, N);
    for (int k = 0; k < N; k++)
        for (int i = 0; i < N; i++) {
            double product = 0, dot = 0;
            for (int j = 0; j < N; j++) {
                product += before[i * N + j] * v[j * N + k];
                dot += v[j * N + i] * v[j * N + k];
            }
            assert_float_equal(product, a[k * N + k] * v[i * N + k], 1e-9);
            assert_float_equal(dot, i == k, 1e-12);
        }
}

/* W F W = 1, where F is the mean of the gradients' products, shrunk by a fifth toward its diagonal
 * and damped by a two-hundredth of its mean. */
static void whitened_gradients_are_white(void **state)
{
    fit_run run;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(*state, 4);
    p.geometry.guidance_scale = 6; /* of no other test: nothing is remembered yet */
    toy_ok(fit_run_init(&run, &p, &error), &error);
    for (int done = 1; !fit_whiten_ready(&run); done++) {
        double before = done > 1 ? run.whitening.moment[0] : 0;
        toy_ok(fit_whiten_step(&run, &error), &error);
        assert_int_equal(run.whitening.done, done);
        assert_true(run.whitening.moment[0] > before);
    }
    assert_true(run.whitening.done >= 24);
    double f[S * S], mean = 0;
    for (int i = 0; i < S * S; i++) {
        f[i] = run.whitening.moment[i] * (i % (S + 1) ? 0.8 : 1);
        mean += i % (S + 1) ? 0 : f[i] / S;
    }
    for (int i = 0; i < S; i++) {
        float column[S], half[S], white[S];
        fit_whiten_apply(&run, (float[]){ i == 0, i == 1, i == 2 }, column);
        for (int j = 0; j < S; j++) {
            double sum = 0.005 * mean * column[j];
            for (int k = 0; k < S; k++)
                sum += f[j * S + k] * column[k];
            half[j] = (float)sum;
        }
        fit_whiten_apply(&run, half, white);
        for (int j = 0; j < S; j++)
            assert_float_equal(white[j], i == j, 1e-3);
    }
    fit_run_finish(&run);
}

/* One that remembers nothing: its folder is no longer what the others were loaded from. */
static hds_prior *load_anew(const char *path)
{
    char *config = hds_format("%s/unet/config.json", path);
    assert_int_equal(utimensat(AT_FDCWD, config, NULL, 0), 0);
    hds_free(config);
    return toy_load_prior(path);
}

static void it_is_the_same_for_every_prompt_and_seed(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, 4);
    fit_run a, b;
    prepare(&a, &p);
    assert_int_equal(a.step, 0);
    assert_int_equal(a.settings.seed, p.seed);
    p.prior = load_anew(t->prior_path);
    p.prompt = "another";
    p.seed = 8;
    prepare(&b, &p);
    assert_true(b.whitening.done > 0);
    assert_memory_equal(a.whitening.matrix, b.whitening.matrix, S * S * sizeof(float));
    fit_run_finish(&b);
    prepare(&b, &p); /* remembered */
    assert_int_equal(b.whitening.done, 0);
    assert_memory_equal(a.whitening.matrix, b.whitening.matrix, S * S * sizeof(float));
    fit_run_finish(&b);
    p.model = toy_load_posed(t, 0.2f); /* another matrix */
    prepare(&b, &p);
    assert_true(b.whitening.done > 0);
    fit_run_finish(&b);
    hds_head_model_unref(p.model);
    p.model = t->model;
    p.geometry.guidance_scale *= 2; /* another one */
    prepare(&b, &p);
    assert_true(b.whitening.done > 0);
    assert_memory_not_equal(a.whitening.matrix, b.whitening.matrix, S * S * sizeof(float));
    fit_run_finish(&b);
    fit_run_finish(&a);
    hds_prior_unref(p.prior);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(eigenvectors_turn_a_matrix_into_its_eigenvalues),
        cmocka_unit_test(whitened_gradients_are_white),
        cmocka_unit_test(it_is_the_same_for_every_prompt_and_seed),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

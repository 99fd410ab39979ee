/* SPDX-License-Identifier: Apache-2.0 */
/* The schedule, guidance and samplers against recorded numbers of the reference implementation (a
 * network that is a formula takes the place of the UNet), and what the samplers refuse. */
#include "parity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

static void *grab(size_t count)
{
    float *numbers = calloc(count, sizeof *numbers);
    assert_non_null(numbers);
    return numbers;
}

static void load_schedule(const parity *c, schedule *s)
{
    hds_error error = { 0 };
    char *path = hds_format("%s/tiny-sd15/scheduler/scheduler_config.json", c->folder);
    parity_status(schedule_load(s, path, &error), &error);
    hds_free(path);
}

/* ---- scheduler_basics ---- */

static void check_guidance(parity *c)
{
    size_t n = parity_find(c, "cfg/noise_pred_cond")->size / sizeof(float);
    float *found = grab(n);
    sampler_guide(parity_numbers(c, "cfg/noise_pred_uncond"),
                  parity_numbers(c, "cfg/noise_pred_cond"),
                  *parity_numbers(c, "cfg/guidance_scale"), n, found);
    parity_check_numbers(c, "cfg/noise_pred", found, n);
    sampler_guide_edit(parity_numbers(c, "ip2p_cfg/noise_pred_uncond"),
                       parity_numbers(c, "ip2p_cfg/noise_pred_image"),
                       parity_numbers(c, "ip2p_cfg/noise_pred_text"),
                       *parity_numbers(c, "ip2p_cfg/image_guidance_scale"),
                       *parity_numbers(c, "ip2p_cfg/guidance_scale"), n, found);
    parity_check_numbers(c, "ip2p_cfg/noise_pred", found, n);
    free(found);
}

static void basics(parity *c)
{
    enum { COUNT = 4, EACH = 64, ALL = COUNT * EACH };
    schedule s;
    int timesteps[COUNT];
    float noisy[ALL], v[ALL], eps_from_v[ALL], x0_from_v[ALL], x0_from_eps[ALL], minus[ALL];
    load_schedule(c, &s);
    parity_check_numbers(c, "betas", s.betas, (size_t)s.count);
    parity_check_numbers(c, "alphas_cumprod", s.alphas_cumprod, (size_t)s.count);

    const io_tensor *t = parity_find(c, "add_noise/timesteps");
    const float *x0 = parity_numbers(c, "add_noise/original");
    const float *noise = parity_numbers(c, "add_noise/noise");
    const float *z = parity_numbers(c, "add_noise/noisy"), *vs = parity_numbers(c, "velocity/v");
    assert_int_equal(t->shape[0], COUNT);
    assert_int_equal(parity_find(c, "add_noise/original")->size, sizeof noisy);
    for (size_t i = 0; i < COUNT; i++)
        timesteps[i] = (int)((const int64_t *)t->data)[i];
    for (size_t j = 0; j < ALL; j++)
        minus[j] = -x0[j];
    schedule_add_noise(&s, x0, noise, timesteps, COUNT, EACH, noisy);
    for (size_t i = 0; i < COUNT; i++) {
        size_t from = i * EACH;
        double abar = s.alphas_cumprod[timesteps[i]];
        /* (z, v) is (x0, eps) turned by an angle; so is (eps, -x0) -> (v, ...) by the same */
        sampler_noise(true, abar, minus + from, noise + from, EACH, v + from);
        sampler_noise(true, abar, z + from, vs + from, EACH, eps_from_v + from);
        sampler_clean(true, abar, z + from, vs + from, EACH, x0_from_v + from);
        sampler_clean(false, abar, z + from, noise + from, EACH, x0_from_eps + from);
    }
    parity_check_numbers(c, "add_noise/noisy", noisy, ALL);
    parity_check_numbers(c, "velocity/v", v, ALL);
    parity_check_numbers(c, "velocity/eps_from_v", eps_from_v, ALL);
    parity_check_numbers(c, "velocity/x0_from_v", x0_from_v, ALL);
    parity_check_numbers(c, "velocity/x0_from_eps", x0_from_eps, ALL);
    check_guidance(c);
    schedule_finish(&s);
}

/* ---- scheduler_trajectory ---- */

typedef struct run {
    parity *c;
    sampler s;
    const float *step_noise;
    float *x, *inputs, *outputs; /* (count + 1), (count), (count) times s.numbers */
} run;

/* What stands for the network: a input + b sin(c t). */
static void network(const run *r, double t, const float *input, float *output)
{
    double shift = parity_parameter(r->c, "b") * sin(parity_parameter(r->c, "c") * t);
    double gain = parity_parameter(r->c, "a");
    for (size_t j = 0; j < r->s.numbers; j++)
        output[j] = (float)(gain * input[j] + shift);
}

/* From x[0] on; step_noise is of the first step made here. */
static void sample_all(run *r)
{
    size_t n = r->s.numbers;
    for (int i = 0; i < r->s.count; i++) {
        size_t from = (size_t)i * n;
        sampler_scale_input(&r->s, i, r->x + from, r->inputs + from);
        network(r, r->s.timesteps[i], r->inputs + from, r->outputs + from);
        sampler_step(&r->s, i, r->outputs + from, r->x + from,
                     r->s.stochastic ? r->step_noise + from : NULL, r->x + from + n);
    }
}

/* The same in place, with the same sampler: the same to the last bit. */
static void check_again(run *r)
{
    size_t n = r->s.numbers;
    float *x = grab(n), *input = grab(n), *output = grab(n);
    memcpy(x, r->x, n * sizeof *x);
    for (int i = 0; i < r->s.count; i++) {
        sampler_scale_input(&r->s, i, x, input);
        network(r, r->s.timesteps[i], input, output);
        sampler_step(&r->s, i, output, x, r->s.stochastic ? r->step_noise + (size_t)i * n : NULL,
                     x);
    }
    assert_memory_equal(x, r->x + (size_t)r->s.count * n, n * sizeof *x);
    free(x);
    free(input);
    free(output);
}

static void begin(run *r, const sampler_config *config, const schedule *trained, int skip)
{
    hds_error error = { 0 };
    const io_tensor *noise = io_safetensors_find(&r->c->file, "step_noise");
    size_t numbers = noise->size / sizeof(float) / (size_t)noise->shape[0];
    int steps = (int)parity_parameter(r->c, "num_inference_steps");
    parity_status(sampler_init(&r->s, config, trained, steps, skip, numbers, &error), &error);
    assert_in_range(r->s.count, 1, noise->shape[0]);
    r->step_noise = (const float *)noise->data + (size_t)skip * numbers;
    r->x = grab(((size_t)r->s.count + 1) * numbers);
    r->inputs = grab((size_t)r->s.count * numbers);
    r->outputs = grab((size_t)r->s.count * numbers);
}

static void end(run *r)
{
    sampler_finish(&r->s);
    free(r->x);
    free(r->inputs);
    free(r->outputs);
}

static void check_near(const run *r, const char *what, const float *found, const float *expected,
                       size_t count)
{
    const json_t *x = json_object_get(json_object_get(r->c->entry, "outputs"), "x");
    double atol = json_number_value(json_object_get(x, "atol"));
    for (size_t j = 0; j < count; j++)
        if (!(fabs((double)found[j] - expected[j]) <= atol))
            fail_msg("%s: %s: %g, expected %g", r->c->id, what, found[j], expected[j]);
}

/* A run that begins half-way at the recorded x: one-step kinds go on as recorded. And what it would
 * begin with instead of noise: the schedule's own mixture, as the network sees it. */
static void check_second_half(parity *c, const sampler_config *config, const schedule *trained)
{
    run r = { .c = c };
    int skip = (int)parity_parameter(c, "num_inference_steps") / 2;
    begin(&r, config, trained, skip);
    size_t n = r.s.numbers;
    const float *recorded = parity_numbers(c, "x") + (size_t)skip * n;
    if (config->kind != SAMPLER_PNDM && config->kind != SAMPLER_UNIPC &&
        config->kind != SAMPLER_DPM_2M) {
        memcpy(r.x, recorded, n * sizeof *r.x);
        sample_all(&r);
        check_near(&r, "second half", r.x, recorded, ((size_t)r.s.count + 1) * n);
    }
    if (!config->sigmas && r.s.timesteps[0] == floorf(r.s.timesteps[0])) {
        float *expected = r.outputs;
        schedule_add_noise(trained, recorded, r.step_noise, (int[]){ (int)r.s.timesteps[0] }, 1, n,
                           expected);
        sampler_add_noise(&r.s, recorded, r.step_noise, r.x);
        sampler_scale_input(&r.s, 0, r.x, r.inputs);
        check_near(&r, "add_noise", r.inputs, expected, n);
    }
    end(&r);
}

static void trajectory(parity *c)
{
    schedule trained;
    sampler_config config;
    hds_error error = { 0 };
    const json_t *params = json_object_get(c->entry, "params");
    load_schedule(c, &trained);
    parity_status(sampler_config_read(&config, json_object_get(params, "scheduler"), c->id,
                                      SAMPLER_OF_FILE, &error),
                  &error);
    config.eta = parity_parameter(c, "eta");

    run r = { .c = c };
    begin(&r, &config, &trained, 0);
    size_t n = r.s.numbers, count = (size_t)r.s.count;
    const float *noise = io_safetensors_find(&c->file, "initial_noise")->data;
    for (size_t j = 0; j < n; j++)
        r.x[j] = (float)r.s.noise_scale * noise[j];
    sample_all(&r);
    float scale = (float)r.s.noise_scale;
    parity_check_numbers(c, "init_noise_sigma", &scale, 1);
    parity_check_numbers(c, "timesteps", r.s.timesteps, count);
    if (r.s.sigmas)
        parity_check_numbers(c, "sigmas", r.s.sigmas, count + 1);
    parity_check_numbers(c, "x", r.x, (count + 1) * n);
    parity_check_numbers(c, "model_input", r.inputs, count * n);
    parity_check_numbers(c, "model_output", r.outputs, count * n);
    check_again(&r);
    end(&r);
    check_second_half(c, &config, &trained);
    schedule_finish(&trained);
}

static parity_handler handler_of(const json_t *entry)
{
    const char *kind = json_string_value(json_object_get(entry, "kind"));
    return !strcmp(kind, "scheduler_basics")       ? basics
           : !strcmp(kind, "scheduler_trajectory") ? trajectory
                                                   : NULL;
}

/* ---- without recorded numbers ---- */

static void refuses_settings(void **state)
{
    (void)state;
    static const struct {
        sampler_kind kind;
        const char *json, *names; /* NULL: taken */
    } all[] = {
        { SAMPLER_OF_FILE, "{\"_class_name\":\"DDIMScheduler\",\"clip_sample\":false}", NULL },
        { SAMPLER_OF_FILE, "{\"_class_name\":\"LCMScheduler\"}", "\"LCMScheduler\", expected" },
        { SAMPLER_OF_FILE, "{\"_class_name\":\"DDIMParallelScheduler\"}", NULL },
        { SAMPLER_EULER, "{\"_class_name\":\"LCMScheduler\",\"original_inference_steps\":50}",
          NULL },
        { SAMPLER_EULER, "{\"_class_name\":\"LCMScheduler\",\"use_beta_sigmas\":true}", NULL },
        { SAMPLER_EULER, "{\"_class_name\":\"LCMScheduler\",\"timestep_spacing\":1}",
          "\"timestep_spacing\" is 1" },
        { SAMPLER_OF_FILE, "{}", "\"_class_name\" is absent" },
        { SAMPLER_DDIM, "[]", "not a JSON object" },
        { SAMPLER_DDIM, "{}", NULL },
        { SAMPLER_DDIM, "{\"clip_sample_range\":0}", "\"clip_sample_range\" is 0" },
        { SAMPLER_DDIM, "{\"thresholding\":true,\"dynamic_thresholding_ratio\":2}",
          "ratio\" is 2" },
        { SAMPLER_PNDM, "{\"skip_prk_steps\":1}", "\"skip_prk_steps\" is 1" },
        { SAMPLER_EULER, "{\"churn\":1}", "\"churn\" is not a setting" },
        { SAMPLER_EULER, "{\"churn\":null,\"noise\":false,\"list\":[],\"map\":{}}", NULL },
        { SAMPLER_EULER, "{\"interpolation_type\":\"log_linear\"}", "\"interpolation_type\"" },
        { SAMPLER_EULER, "{\"use_beta_sigmas\":true}", "\"use_beta_sigmas\" is true" },
        { SAMPLER_EULER, "{\"prediction_type\":\"sample\"}", "\"prediction_type\"" },
        { SAMPLER_EULER, "{\"prediction_type\":1}", "\"prediction_type\" is 1" },
        { SAMPLER_EULER, "{\"steps_offset\":-1}", "\"steps_offset\" is -1" },
        { SAMPLER_EULER, "{\"use_karras_sigmas\":1}", "\"use_karras_sigmas\" is 1" },
        { SAMPLER_UNIPC, "{\"solver_type\":\"midpoint\"}", NULL },
        { SAMPLER_UNIPC, "{\"solver_order\":3}", "\"solver_order\" is 3, expected 1 or 2" },
        { SAMPLER_UNIPC, "{\"solver_type\":\"bh1\"}", "\"solver_type\" is \"bh1\"" },
        { SAMPLER_UNIPC, "{\"shift_terminal\":null,\"sigma_min\":null}", NULL },
        { SAMPLER_UNIPC, "{\"shift_terminal\":0.1}", "\"shift_terminal\" is 0.1" },
        { SAMPLER_DDPM, "{\"variance_type\":\"learned\"}", "\"variance_type\" is \"learned\"" },
        { SAMPLER_DPM_2M, "{\"algorithm_type\":\"dpmsolver\"}", "\"algorithm_type\"" },
        { SAMPLER_DPM_2M, "{\"lambda_min_clipped\":null}", NULL },
        { SAMPLER_DPM_2M, "{\"timestep_spacing\":\"even\"}", "\"timestep_spacing\"" },
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sampler_config c;
        hds_error error = { 0 };
        json_t *json = json_loads(all[k].json, 0, NULL);
        assert_non_null(json);
        hds_status status = sampler_config_read(&c, json, "a.json", all[k].kind, &error);
        json_decref(json);
        if (!all[k].names) {
            parity_status(status, &error);
            continue;
        }
        assert_int_equal(status, HDS_ERROR_FORMAT);
        if (strncmp(error.message, "a.json: ", 8) || !strstr(error.message, all[k].names))
            fail_msg("%s: \"%s\" does not say %s", all[k].json, error.message, all[k].names);
    }
}

/* What short files, as the models were first released with, mean. */
static void absent_settings(void **state)
{
    (void)state;
    static const char file[] =
        "{\"_class_name\":\"PNDMScheduler\",\"_diffusers_version\":\"0.6.0\","
        "\"skip_prk_steps\":true,\"clip_sample\":false,"
        "\"trained_betas\":null,\"steps_offset\":1}";
    static const struct {
        sampler_kind asked, kind;
        sampler_spacing spacing;
        bool ends_at_first;
    } all[] = {
        { SAMPLER_OF_FILE, SAMPLER_PNDM, SAMPLER_LEADING, true },
        { SAMPLER_DDIM, SAMPLER_DDIM, SAMPLER_LEADING, false },
        { SAMPLER_DDPM, SAMPLER_DDPM, SAMPLER_LEADING, false },
        { SAMPLER_EULER, SAMPLER_EULER, SAMPLER_LINSPACE, false },
        { SAMPLER_EULER_ANCESTRAL, SAMPLER_EULER_ANCESTRAL, SAMPLER_LINSPACE, false },
        { SAMPLER_UNIPC, SAMPLER_UNIPC, SAMPLER_LINSPACE, false },
        { SAMPLER_DPM_2M, SAMPLER_DPM_2M, SAMPLER_LINSPACE, false },
    };
    json_t *json = json_loads(file, 0, NULL);
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sampler_config c;
        hds_error error = { 0 };
        parity_status(sampler_config_read(&c, json, "a.json", all[k].asked, &error), &error);
        assert_int_equal(c.kind, all[k].kind);
        assert_int_equal(c.spacing, all[k].spacing);
        assert_int_equal(c.ends_at_first, all[k].ends_at_first);
        assert_int_equal(c.steps_offset, 1);
        assert_false(c.velocity || c.sigmas || c.runge_kutta || c.clip > 0 || c.eta > 0);
    }
    json_decref(json);
}

static void refuses_steps(void **state)
{
    (void)state;
    float table[8] = { .9f, .8f, .7f, .6f, .5f, .4f, .3f, .2f };
    schedule trained = { .count = 8, .betas = table, .alphas_cumprod = table };
    static const struct {
        sampler_config config;
        int steps, skip;
        bool taken;
    } all[] = {
        { { .kind = SAMPLER_DDIM }, 8, 0, true },
        { { .kind = SAMPLER_DDIM }, 8, 7, true },
        { { .kind = SAMPLER_DDIM }, 0, 0, false },
        { { .kind = SAMPLER_DDIM }, 9, 0, false },
        { { .kind = SAMPLER_DDIM }, 8, 8, false },
        { { .kind = SAMPLER_DDIM }, 8, -1, false },
        { { .kind = SAMPLER_DDIM, .steps_offset = 1 }, 8, 0, false }, /* begins at 8 of 0 to 7 */
        { { .kind = SAMPLER_PNDM, .steps_offset = 1 }, 2, 1, true },
        { { .kind = SAMPLER_UNIPC, .spacing = SAMPLER_LINSPACE }, 7, 0, true },
        { { .kind = SAMPLER_UNIPC, .spacing = SAMPLER_LINSPACE }, 8, 0, false },
    };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++) {
        sampler s;
        hds_error error = { 0 };
        float x[1] = { 1 }, output[1] = { .5f };
        hds_status status =
            sampler_init(&s, &all[k].config, &trained, all[k].steps, all[k].skip, 1, &error);
        assert_int_equal(status, all[k].taken ? HDS_OK : HDS_ERROR_ARGUMENT);
        for (int i = 0; all[k].taken && i < s.count; i++)
            sampler_step(&s, i, output, x, NULL, x);
        assert_true(isfinite(x[0]));
        if (all[k].taken)
            sampler_finish(&s);
    }
}

/* Where a run of DPM-Solver++ ends above sigma 0, its last step looks back at the one before only
 * from 15 steps on. */
static void last_step_of_short_runs(void **state)
{
    (void)state;
    enum { COUNT = 40 };
    float table[COUNT];
    for (int t = 0; t < COUNT; t++)
        table[t] = 1 - (float)(t + 1) / (COUNT + 1);
    schedule trained = { .count = COUNT, .betas = table, .alphas_cumprod = table };
    sampler_config config = { .kind = SAMPLER_DPM_2M, .ends_at_first = true };
    for (int steps = 14; steps <= 15; steps++) {
        sampler s;
        hds_error error = { 0 };
        float ends[2];
        parity_status(sampler_init(&s, &config, &trained, steps, 0, 1, &error), &error);
        for (int k = 0; k < 2; k++)
            for (int i = 0; i < steps; i++) {
                float output = i == steps - 2 ? (float)k : 0;
                sampler_step(&s, i, &output, (float[]){ 1 }, NULL, ends + k);
            }
        assert_int_equal(ends[0] == ends[1], steps < 15);
        sampler_finish(&s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(refuses_settings),
        cmocka_unit_test(absent_settings),
        cmocka_unit_test(refuses_steps),
        cmocka_unit_test(last_step_of_short_runs),
    };
    int failed = cmocka_run_group_tests_name("sampler", tests, NULL, NULL);
    return failed ? failed : parity_main("sampler parity", handler_of);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling: from noise, and what a network says of it at a falling row of timesteps, to a sample.
 *
 * A sample is z = signal x0 + noise eps with signal^2 + noise^2 = 1; sigma = noise / signal and
 * lambda = -log sigma. The Euler kinds hold z / signal = x0 + sigma eps instead. Each step is a sum
 * of a few arrays; its weights are in double, from the float32 schedule.
 *
 * Song et al. 2021, equation 12; Ho et al. 2020, equation 7; Liu et al. 2022, equations 9 to 13;
 * Karras et al. 2022, algorithm 2; Lu et al. 2022, algorithm 2; Zhao et al. 2023, algorithms 5
 * to 8. */
#include "diffusion/diffusion.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { PNDM_OUTPUTS = 4, UNIPC_CLEAN = 3, DPM_CLEAN = 2, MAX_TERMS = 6 };
/* Of PNDM's Runge-Kutta start: steps, evaluations of each, and how many more than steps in all. */
enum { RK_STEPS = 3, RK_EVALUATIONS = 4, RK_MORE = RK_STEPS * (RK_EVALUATIONS - 1) };

/* ---- sums of arrays ---- */

typedef struct sum {
    int count;
    const float *x[MAX_TERMS];
    double weight[MAX_TERMS];
} sum;

static void add(sum *s, double weight, const float *x)
{
    s->x[s->count] = x;
    s->weight[s->count++] = weight;
}

/* out may be one of the terms. */
static void evaluate(const sum *s, size_t numbers, float *out)
{
    for (size_t j = 0; j < numbers; j++) {
        double total = 0;
        for (int k = 0; k < s->count; k++)
            total += s->weight[k] * s->x[k][j];
        out[j] = (float)total;
    }
}

/* ---- what an output says ---- */

typedef struct level {
    double signal, noise;
} level;

static level level_of_abar(double abar)
{
    return (level){ sqrt(abar), sqrt(1 - abar) };
}

static level level_of_sigma(double sigma)
{
    double signal = 1 / sqrt(sigma * sigma + 1);
    return (level){ signal, sigma * signal };
}

/* Weights of z and of the output. */
typedef struct mix {
    double sample, output;
} mix;

static mix clean_of(bool velocity, level l)
{
    return velocity ? (mix){ l.signal, -l.noise } : (mix){ 1 / l.signal, -l.noise / l.signal };
}

static mix noise_of(bool velocity, level l)
{
    return velocity ? (mix){ l.noise, l.signal } : (mix){ 0, 1 };
}

static void apply(mix m, const float *sample, const float *output, size_t numbers, float *out)
{
    evaluate(&(sum){ 2, { sample, output }, { m.sample, m.output } }, numbers, out);
}

void sampler_clean(bool velocity, double abar, const float *sample, const float *output,
                   size_t numbers, float *x0)
{
    apply(clean_of(velocity, level_of_abar(abar)), sample, output, numbers, x0);
}

void sampler_noise(bool velocity, double abar, const float *sample, const float *output,
                   size_t numbers, float *eps)
{
    apply(noise_of(velocity, level_of_abar(abar)), sample, output, numbers, eps);
}

void sampler_guide(const float *uncond, const float *cond, double scale, size_t numbers,
                   float *output)
{
    evaluate(&(sum){ 2, { uncond, cond }, { 1 - scale, scale } }, numbers, output);
}

void sampler_guide_edit(const float *uncond, const float *image, const float *text,
                        double image_scale, double text_scale, size_t numbers, float *output)
{
    evaluate(&(sum){ 3,
                     { uncond, image, text },
                     { 1 - image_scale, image_scale - text_scale, text_scale } },
             numbers, output);
}

/* ---- timesteps and sigmas ---- */

static bool is_euler(const sampler *s)
{
    return s->config.kind == SAMPLER_EULER || s->config.kind == SAMPLER_EULER_ANCESTRAL;
}

static bool is_exponential(const sampler *s)
{
    return s->config.kind == SAMPLER_UNIPC || s->config.kind == SAMPLER_DPM_2M;
}

/* Where no signal is left (zero terminal SNR) the reference takes this much, the least of float16.
 */
static float signal_at(const schedule *c, int t)
{
    return c->alphas_cumprod[t] > 0 ? c->alphas_cumprod[t] : 0x1p-24f;
}

static double sigma_at(const schedule *c, int t)
{
    return sqrtf((1 - signal_at(c, t)) / signal_at(c, t));
}

/* Timesteps of training that a run may visit. */
static int visited(const sampler *s)
{
    int count = s->schedule->count;
    while (s->config.kind == SAMPLER_DPM_2M && count > 1 &&
           -log(sigma_at(s->schedule, count - 1)) < s->config.lambda_least)
        count--;
    return count;
}

/* At a timestep that may lie between two. */
static double sigma_between(const schedule *c, double t)
{
    int low = (int)t;
    double part = t - low, first = sigma_at(c, low);
    return part > 0 ? first + part * (sigma_at(c, low + 1) - first) : first;
}

/* sigma_between's inverse, straight in the logarithm. A fraction may be lost next: the order of the
 * arithmetic, and the float32 of the logarithms, are the reference's. */
static double timestep_of(const schedule *c, double sigma)
{
    int low = 0;
    while (low < c->count - 2 && sigma_at(c, low + 1) <= sigma)
        low++;
    double first = logf((float)sigma_at(c, low)), last = logf((float)sigma_at(c, low + 1));
    double part = fmin(fmax((first - log(sigma)) / (first - last), 0), 1);
    return (1 - part) * low + part * (low + 1);
}

/* Timestep k of the steps; the exponential integrators leave out the last of one more. Halves go
 * up or down by the last bit, so the order of the arithmetic is the reference's. */
static double spaced(const sampler *s, int k)
{
    int all = visited(s), points = s->steps + (is_exponential(s) ? 1 : 0);
    int below = points - 1 - k;
    double even = points > 1 ? below * ((double)(all - 1) / (points - 1)) : 0;
    double second = all - (double)all / s->steps;
    switch (s->config.spacing) {
    case SAMPLER_LEADING:
        return (double)below * (all / points) + s->config.steps_offset;
    case SAMPLER_TRAILING:
        return rint(all + k * (second - all)) - 1;
    default:
        return is_euler(s) ? even : rint(even);
    }
}

static double karras(double highest, double lowest, double part)
{
    const double rho = 7;
    double from = pow(highest, 1 / rho), to = pow(lowest, 1 / rho);
    return pow(from + part * (to - from), rho);
}

/* part: 0 at the highest sigma, 1 at the lowest */
static double exponential(double highest, double lowest, double part)
{
    return exp(log(highest) + part * (log(lowest) - log(highest)));
}

/* All steps' timesteps and sigmas, to be cut later. */
static void fill_tables(sampler *s)
{
    const schedule *c = s->schedule;
    int steps = s->steps;
    for (int k = 0; k < steps; k++)
        s->timesteps[k] = (float)spaced(s, k);
    if (!s->sigmas)
        return;
    /* Euler keeps to its timesteps' range, the exponential integrators take all of the schedule */
    bool own = is_euler(s);
    double highest = own ? sigma_between(c, s->timesteps[0]) : sigma_at(c, c->count - 1);
    double lowest = own ? sigma_between(c, s->timesteps[steps - 1]) : sigma_at(c, 0);
    for (int k = 0; k < steps; k++) {
        double sigma = sigma_between(c, s->timesteps[k]);
        if (s->config.sigmas != SAMPLER_OF_TIMESTEPS) {
            double part = steps > 1 ? (double)k / (steps - 1) : 0;
            sigma = s->config.sigmas == SAMPLER_KARRAS ? karras(highest, lowest, part)
                                                       : exponential(highest, lowest, part);
            double t = timestep_of(c, sigma);
            s->timesteps[k] = (float)(is_euler(s) ? t : s->config.truncates ? floor(t) : rint(t));
        }
        s->sigmas[k] = (float)sigma;
    }
    s->sigmas[steps] = s->config.ends_at_first ? (float)sigma_at(c, 0) : 0;
    double top = s->sigmas[0];
    if (is_euler(s))
        s->noise_scale = s->config.spacing == SAMPLER_LEADING ? sqrt(top * top + 1) : top;
}

/* In place of the first three steps, from t to u: t, twice half way, u. */
static void insert_runge_kutta(sampler *s, int left)
{
    float first[RK_STEPS + 1];
    memcpy(first, s->timesteps, sizeof first);
    memmove(s->timesteps + RK_STEPS + RK_MORE, s->timesteps + RK_STEPS,
            (size_t)(left - RK_STEPS) * sizeof *s->timesteps);
    for (int k = 0; k < RK_STEPS; k++) {
        float *t = s->timesteps + k * RK_EVALUATIONS;
        t[0] = first[k];
        t[1] = t[2] = first[k + 1] + (float)(s->stride / 2);
        t[3] = first[k + 1];
    }
    s->count += RK_MORE;
}

/* Leaves out the first steps; PNDM evaluates the second of the rest twice, or begins with
 * Runge-Kutta. */
static void cut_tables(sampler *s, int skip)
{
    int left = s->steps - skip;
    memmove(s->timesteps, s->timesteps + skip, (size_t)left * sizeof *s->timesteps);
    if (s->sigmas)
        memmove(s->sigmas, s->sigmas + skip, (size_t)(left + 1) * sizeof *s->sigmas);
    s->count = left;
    if (s->config.runge_kutta) {
        insert_runge_kutta(s, left);
    } else if (s->config.kind == SAMPLER_PNDM && left > 1) {
        memmove(s->timesteps + 2, s->timesteps + 1, (size_t)(left - 1) * sizeof *s->timesteps);
        s->count++;
    }
}

/* What the first timestep asks of a sampler. */
static hds_status check_start(const sampler *s, int skip, hds_error *error)
{
    double start = spaced(s, 0);
    if (start > s->schedule->count - 1)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "steps_offset %d: %d steps begin at timestep %g, expected at most %d",
                         s->config.steps_offset, s->steps, start, s->schedule->count - 1);
    if (s->config.runge_kutta && s->steps - skip <= RK_STEPS)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%d sampling steps, expected at least %d: PNDM begins with %d "
                         "Runge-Kutta steps, unless \"skip_prk_steps\" is true",
                         s->steps - skip, RK_STEPS + 1, RK_STEPS);
    if (s->config.spacing == SAMPLER_TRAILING && visited(s) < s->schedule->count)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "\"lambda_min_clipped\" is %g, expected -Infinity beside "
                         "\"timestep_spacing\" \"trailing\"",
                         s->config.lambda_least);
    bool divides = s->config.kind == SAMPLER_PNDM ||
                   (!s->config.velocity && !is_euler(s) && !is_exponential(s));
    if (divides && !skip && s->schedule->alphas_cumprod[(int)start] <= 0)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "timestep %g has no signal left (\"rescale_betas_zero_snr\"), and this "
                         "scheduler divides by it: take euler, unipc or dpm++_2m, or "
                         "\"timestep_spacing\" \"leading\"",
                         start);
    return HDS_OK;
}

hds_status sampler_init(sampler *s, const sampler_config *c, const schedule *trained, int steps,
                        int skip, size_t numbers, hds_error *error)
{
    static const int rows[] = {
        [SAMPLER_DDIM] = 1,
        [SAMPLER_DDPM] = 1,
        [SAMPLER_PNDM] = PNDM_OUTPUTS + 2,
        [SAMPLER_UNIPC] = UNIPC_CLEAN + 1,
        [SAMPLER_DPM_2M] = DPM_CLEAN,
    };
    *s = (sampler){ .config = *c, .schedule = trained, .steps = steps, .noise_scale = 1 };
    s->numbers = numbers;
    assert(c->kind != SAMPLER_OF_FILE);
    s->stochastic = c->kind == SAMPLER_DDPM || c->kind == SAMPLER_EULER_ANCESTRAL ||
                    (c->kind == SAMPLER_DDIM && c->eta > 0) || c->stochastic;
    int most = visited(s) - (is_exponential(s) ? 1 : 0);
    if (steps < 1 || steps > most)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%d sampling steps, expected 1 to %d", steps,
                         most);
    if (skip < 0 || skip >= steps)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%d of %d sampling steps left out", skip,
                         steps);
    s->stride = trained->count / steps;
    hds_status status = check_start(s, skip, error);
    if (status != HDS_OK)
        return status;

    size_t length = (size_t)steps + 1 + (c->runge_kutta ? RK_MORE : 0), depth = 0;
    if ((size_t)c->kind < sizeof rows / sizeof *rows)
        depth = (size_t)rows[c->kind] + (c->quantile > 0); /* and room to sort in */
    bool sigmas = is_euler(s) || is_exponential(s);
    s->timesteps = hds_alloc(length, sizeof *s->timesteps);
    if (sigmas)
        s->sigmas = hds_alloc(length, sizeof *s->sigmas);
    if (depth)
        s->history = hds_alloc(numbers, depth * sizeof *s->history);
    if (c->quantile > 0 && s->history)
        s->sorted = s->history + (depth - 1) * numbers;
    if (!s->timesteps || (sigmas && !s->sigmas) || (depth && !s->history)) {
        sampler_finish(s);
        return hds_raise(error, HDS_ERROR_MEMORY, "%d sampling steps of %zu numbers: out of memory",
                         steps, numbers);
    }
    fill_tables(s);
    cut_tables(s, skip);
    return HDS_OK;
}

void sampler_finish(sampler *s)
{
    hds_free(s->timesteps);
    hds_free(s->sigmas);
    hds_free(s->history);
    *s = (sampler){ 0 };
}

static level level_at(const sampler *s, int i)
{
    return s->sigmas ? level_of_sigma(s->sigmas[i])
                     : level_of_abar(s->schedule->alphas_cumprod[(int)s->timesteps[i]]);
}

void sampler_add_noise(const sampler *s, const float *x, const float *noise, float *noisy)
{
    level l = level_at(s, 0);
    double unit = is_euler(s) ? 1 / l.signal : 1;
    evaluate(&(sum){ 2, { x, noise }, { unit * l.signal, unit * l.noise } }, s->numbers, noisy);
}

void sampler_scale_input(const sampler *s, int i, const float *sample, float *input)
{
    double unit = is_euler(s) ? level_at(s, i).signal : 1;
    evaluate(&(sum){ 1, { sample }, { unit } }, s->numbers, input);
}

/* ---- steps ---- */

/* abar, also below the first timestep of training. */
static double abar_at(const sampler *s, int t)
{
    const float *abar = s->schedule->alphas_cumprod;
    return t >= 0 ? abar[t] : s->config.ends_at_first ? abar[0] : 1;
}

static int ascending(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Straight between the two amounts that the quantile falls among. */
static double quantile_of(const sampler *s, const float *x)
{
    float *amounts = s->sorted;
    for (size_t j = 0; j < s->numbers; j++)
        amounts[j] = fabsf(x[j]);
    qsort(amounts, s->numbers, sizeof *amounts, ascending);
    double place = s->config.quantile * (double)(s->numbers - 1);
    size_t low = (size_t)place, high = low + 1 < s->numbers ? low + 1 : low;
    return amounts[low] + (place - (double)low) * ((double)amounts[high] - amounts[low]);
}

/* x0 <- what the output says of it, cut as the settings ask for. */
static void find_clean(const sampler *s, level l, const float *sample, const float *output,
                       float *x0)
{
    double most = s->config.clip, unit = 1;
    apply(clean_of(s->config.velocity, l), sample, output, s->numbers, x0);
    if (s->config.quantile > 0)
        most = unit = fmin(fmax(quantile_of(s, x0), 1), s->config.quantile_most);
    for (size_t j = 0; j < s->numbers && most > 0; j++)
        x0[j] = (float)(fmin(fmax(x0[j], -most), most) / unit);
}

static bool cuts(const sampler *s)
{
    return s->config.clip > 0 || s->config.quantile > 0;
}

/* weight x0, as an array where it is cut, else of sample and output. */
static void add_clean(const sampler *s, level l, double weight, const float *sample,
                      const float *output, sum *next)
{
    mix x0 = clean_of(s->config.velocity, l);
    if (cuts(s)) {
        find_clean(s, l, sample, output, s->history);
        add(next, weight, s->history);
    } else {
        add(next, weight * x0.sample, sample);
        add(next, weight * x0.output, output);
    }
}

static void ddim_step(const sampler *s, int i, sum *next, const float *output, const float *sample,
                      const float *noise)
{
    int t = (int)s->timesteps[i];
    double abar = abar_at(s, t), before = abar_at(s, t - s->stride);
    double variance = (1 - before) / (1 - abar) * (1 - abar / before);
    double spread = s->config.eta * sqrt(variance);
    double direction = sqrt(fmax(1 - before - spread * spread, 0));
    mix eps = noise_of(s->config.velocity, level_of_abar(abar));
    add_clean(s, level_of_abar(abar), sqrt(before), sample, output, next);
    add(next, direction * eps.sample, sample);
    add(next, direction * eps.output, output);
    if (s->stochastic)
        add(next, spread, noise);
}

static void ddpm_step(const sampler *s, int i, sum *next, const float *output, const float *sample,
                      const float *noise)
{
    int t = (int)s->timesteps[i];
    double abar = abar_at(s, t), before = abar_at(s, t - s->stride), alpha = abar / before;
    double of_clean = sqrt(before) * (1 - alpha) / (1 - abar);
    double of_sample = sqrt(alpha) * (1 - before) / (1 - abar);
    double variance =
        s->config.large ? (t > 0 ? 1 - alpha : 0) : (1 - before) / (1 - abar) * (1 - alpha);
    add_clean(s, level_of_abar(abar), of_clean, sample, output, next);
    add(next, of_sample, sample);
    add(next, sqrt(variance), noise);
}

/* Equation 11 of Liu et al. for the transfer; `eps` is a sum of network outputs. */
static void pndm_transfer(const sampler *s, int from, int to, const sum *outputs,
                          const float *sample, sum *next)
{
    double abar = abar_at(s, from), before = abar_at(s, to);
    double rate = (before - abar) / (abar * sqrt(1 - before) + sqrt(abar * (1 - abar) * before));
    mix eps = noise_of(s->config.velocity, level_of_abar(abar));
    add(next, sqrt(before / abar) - rate * eps.sample, sample);
    for (int k = 0; k < outputs->count; k++)
        add(next, -rate * eps.output * outputs->weight[k], outputs->x[k]);
}

/* Evaluation i of the classical method of order four, a step of which goes from `first_sample`. */
static void runge_kutta_step(sampler *s, int i, sum *next, const float *output, const float *sample)
{
    static const double shares[RK_EVALUATIONS] = { 1. / 6, 1. / 3, 1. / 3, 1. / 6 };
    int step = i / RK_EVALUATIONS, part = i % RK_EVALUATIONS;
    int from = (int)s->timesteps[i - part], t = (int)s->timesteps[i];
    float *first_sample = s->history + PNDM_OUTPUTS * s->numbers;
    float *total = first_sample + s->numbers;
    sum sofar = { 0 }, outputs = { 0 };
    if (part)
        add(&sofar, 1, total);
    add(&sofar, shares[part], output);
    evaluate(&sofar, s->numbers, total);
    if (!part) {
        memcpy(s->history + (size_t)step * s->numbers, output, s->numbers * sizeof *output);
        memcpy(first_sample, sample, s->numbers * sizeof *sample);
    }
    add(&outputs, 1, part == RK_EVALUATIONS - 1 ? total : output);
    pndm_transfer(s, from, part % 2 ? t : t - s->stride / 2, &outputs, first_sample, next);
}

/* Adams-Bashforth over up to four outputs; the first step is done again with the mean of the
 * outputs at its two ends, unless it had the start above. */
static void pndm_step(sampler *s, int i, sum *next, const float *output, const float *sample)
{
    static const double adams[PNDM_OUTPUTS][PNDM_OUTPUTS] = {
        { 1 },
        { 3. / 2, -1. / 2 },
        { 23. / 12, -16. / 12, 5. / 12 },
        { 55. / 24, -59. / 24, 37. / 24, -9. / 24 },
    };
    int t = (int)s->timesteps[i];
    size_t bytes = s->numbers * sizeof *output;
    float *first_sample = s->history + PNDM_OUTPUTS * s->numbers;
    sum outputs = { 0 };
    if (s->config.runge_kutta && i < RK_STEPS * RK_EVALUATIONS) {
        runge_kutta_step(s, i, next, output, sample);
        return;
    }
    if (i == 1) {
        add(&outputs, 0.5, output);
        add(&outputs, 0.5, s->history);
        pndm_transfer(s, t + s->stride, t, &outputs, first_sample, next);
        return;
    }
    int latest = s->config.runge_kutta ? i - RK_MORE : i ? i - 1 : 0; /* step 1 leaves none */
    memcpy(s->history + (size_t)(latest % PNDM_OUTPUTS) * s->numbers, output, bytes);
    if (!i)
        memcpy(first_sample, sample, bytes);
    int have = latest + 1 < PNDM_OUTPUTS ? latest + 1 : PNDM_OUTPUTS;
    for (int k = 0; k < have; k++)
        add(&outputs, adams[have - 1][k],
            s->history + (size_t)((latest - k) % PNDM_OUTPUTS) * s->numbers);
    pndm_transfer(s, t, t - s->stride, &outputs, sample, next);
}

/* Along (x - x0) / sigma to a lower sigma, then, ancestral, up again by fresh noise. */
static void euler_step(const sampler *s, int i, sum *next, const float *output, const float *sample,
                       const float *noise)
{
    double from = s->sigmas[i], to = s->sigmas[i + 1], up = 0;
    if (s->stochastic)
        up = sqrt(to * to * (from * from - to * to) / (from * from));
    double kept = sqrt(to * to - up * up) / from;
    level l = level_of_sigma(from);
    mix x0 = clean_of(s->config.velocity, l);
    add(next, kept + (1 - kept) * x0.sample * l.signal, sample);
    add(next, (1 - kept) * x0.output, output);
    if (s->stochastic)
        add(next, up, noise);
}

static double lambda_at(const sampler *s, int i)
{
    return -log(s->sigmas[i]);
}

/* One step of an exponential integrator in lambda, from i to i + 1: without further terms
 * x = keep z + gain x0, where gain = signal (1 - e^-h). */
typedef struct leap {
    double h, keep, gain;
} leap;

static leap leap_from(const sampler *s, int i)
{
    level from = level_at(s, i), to = level_at(s, i + 1);
    double h = lambda_at(s, i + 1) - lambda_at(s, i); /* infinite where the next sigma is 0 */
    return (leap){ h, to.noise / from.noise, -to.signal * expm1(-h) };
}

static float *clean_row(const sampler *s, int i, int rows)
{
    return s->history + (size_t)(i % rows) * s->numbers;
}

/* keep z + gain x0 + second (x0 - older) / r, r the last leap over this one; first order without
 * `older`. second: gain / 2 by the midpoint. */
static void leap_over(const sampler *s, int i, leap d, double second, const float *z,
                      const float *x0, const float *older, sum *next)
{
    double slope = older ? second * d.h / (lambda_at(s, i) - lambda_at(s, i - 1)) : 0;
    add(next, d.keep, z);
    add(next, d.gain + slope, x0);
    if (older)
        add(next, -slope, older);
}

/* Whether step i of DPM-Solver is of first order: where nothing lies before, at a last sigma of 0,
 * and at the end of a short run for its stability. */
static bool dpm_is_first_order(const sampler *s, int i)
{
    enum { SHORT_RUN = 15 };
    const sampler_config *c = &s->config;
    bool at_end = c->first_at_end || !c->ends_at_first || (!c->keeps_order && s->steps < SHORT_RUN);
    return c->first_order || !i || (i + 1 == s->count && at_end);
}

/* The stochastic kind goes twice as far in lambda and comes back by noise. */
static void dpm_step(sampler *s, int i, sum *next, const float *output, const float *sample,
                     const float *noise)
{
    float *x0 = clean_row(s, i, DPM_CLEAN);
    const float *older = dpm_is_first_order(s, i) ? NULL : clean_row(s, i - 1, DPM_CLEAN);
    level to = level_at(s, i + 1);
    leap d = leap_from(s, i);
    double times = s->config.stochastic ? 2 : 1, lost = -expm1(-times * d.h);
    if (s->config.stochastic)
        d = (leap){ d.h, d.keep * exp(-d.h), to.signal * lost };
    double second = s->config.heun ? to.signal * (1 - lost / (times * d.h)) : 0.5 * d.gain;
    find_clean(s, level_at(s, i), sample, output, x0);
    leap_over(s, i, d, second, sample, x0, older, next);
    if (s->config.stochastic)
        add(next, to.noise * sqrt(lost), noise);
}

/* The step i - 1 again, now that the output at its end is known: z, in place. */
static void unipc_correct(const sampler *s, int i, float *z)
{
    const float *end = clean_row(s, i, UNIPC_CLEAN), *begin = clean_row(s, i - 1, UNIPC_CLEAN);
    leap d = leap_from(s, i - 1);
    double of_end = 0.5, of_older = 0;
    sum corrected = { 0 };
    if (i > 1 &&
        !s->config
             .first_order) { /* two equations for the weights of the two differences from `begin` */
        double r = (lambda_at(s, i - 2) - lambda_at(s, i - 1)) / d.h, phi = expm1(-d.h);
        double second = -phi / d.h - 1, third = -second / d.h - 0.5;
        double rho = (second - 2 * third) / phi / (1 - r);
        of_end = second / phi - rho;
        of_older = rho / r;
        add(&corrected, d.gain * of_older, clean_row(s, i - 2, UNIPC_CLEAN));
    }
    add(&corrected, d.keep, z);
    add(&corrected, d.gain * (1 - of_older - of_end), begin);
    add(&corrected, d.gain * of_end, end);
    evaluate(&corrected, s->numbers, z);
}

static void unipc_step(sampler *s, int i, sum *next, const float *output, const float *sample)
{
    float *z = s->history + UNIPC_CLEAN * s->numbers; /* where the last step began, corrected */
    float *x0 = clean_row(s, i, UNIPC_CLEAN);
    find_clean(s, level_at(s, i), sample, output, x0);
    if (i)
        unipc_correct(s, i, z);
    else
        memcpy(z, sample, s->numbers * sizeof *z);
    bool first_order = !i || i + 1 == s->count || s->config.first_order;
    leap d = leap_from(s, i);
    leap_over(s, i, d, 0.5 * d.gain, z, x0, first_order ? NULL : clean_row(s, i - 1, UNIPC_CLEAN),
              next);
}

void sampler_step(sampler *s, int i, const float *output, const float *sample, const float *noise,
                  float *next)
{
    sum terms = { 0 };
    assert(i >= 0 && i < s->count);
    assert(noise || !s->stochastic);
    switch (s->config.kind) {
    case SAMPLER_DDPM:
        ddpm_step(s, i, &terms, output, sample, noise);
        break;
    case SAMPLER_PNDM:
        pndm_step(s, i, &terms, output, sample);
        break;
    case SAMPLER_EULER:
    case SAMPLER_EULER_ANCESTRAL:
        euler_step(s, i, &terms, output, sample, noise);
        break;
    case SAMPLER_UNIPC:
        unipc_step(s, i, &terms, output, sample);
        break;
    case SAMPLER_DPM_2M:
        dpm_step(s, i, &terms, output, sample, noise);
        break;
    default:
        ddim_step(s, i, &terms, output, sample, noise);
    }
    evaluate(&terms, s->numbers, next);
}

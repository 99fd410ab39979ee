/* SPDX-License-Identifier: Apache-2.0 */
/* How long the rest of a run takes: the mean time of a stage's steps, and for stages that have not
 * begun the time of those that have by the networks' evaluations of a step. */
#include "fit/fit.h"

/* A forward pass of the VAE's encoder or decoder, and an encoder's backward pass, measured with the
 * built-in prior on two cores in evaluations of its UNet on one view. Real ones have about the same
 * shares. */
static const double encoder = 1.1, encoder_backward = 2, decoder = 2.2;

double fit_stage_work(hds_prior *prior, const head_model *model, const hds_stage_params *p)
{
    double evaluations = 0, side = p->resolution / 128.0;
    for (int i = 0; i < HDS_MAX_GUIDANCES && p->guidance[i].kind[0]; i++) {
        evaluations += 2.0 * p->views; /* the branches of classifier-free guidance */
        evaluations += fit_shows_map(prior, model, p, &p->guidance[i])
                           ? encoder + 2 * decoder
                           : p->views * (encoder + encoder_backward);
    }
    return evaluations * side * side;
}

void fit_clock_add(fit_clock *c, int stage, bool preparation, double seconds)
{
    (preparation ? c->preparation_seconds : c->seconds)[stage] += seconds;
    (preparation ? c->prepared : c->taken)[stage]++;
}

double fit_clock_left(const fit_clock *c, const fit_work *work, int stages)
{
    double seconds = 0, done = 0, left = 0;
    for (int i = 0; i < stages; i++) {
        seconds += c->seconds[i] + c->preparation_seconds[i];
        done += c->taken[i] * work[i].step + c->prepared[i] * work[i].preparation_step;
    }
    if (done <= 0)
        return -1;
    for (int i = 0; i < stages; i++) {
        double step = c->taken[i] ? c->seconds[i] / c->taken[i] : work[i].step * seconds / done;
        double prepare = c->prepared[i] ? c->preparation_seconds[i] / c->prepared[i]
                                        : work[i].preparation_step * seconds / done;
        left += work[i].steps * step + work[i].preparations * prepare;
    }
    return left;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* How long the rest of a run takes: the mean time of a stage's steps, and for stages that have not
 * begun, or hardly, the time of those that have by the networks' evaluations of a step. */
#include "fit/fit.h"

enum { SLOW_STEPS = 2 };

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
    fit_tally *tallies[2] = { &c->all[preparation][stage], &c->warm[preparation][stage] };
    for (int i = 0; i < (c->taken < SLOW_STEPS ? 1 : 2); i++) {
        tallies[i]->seconds += seconds;
        tallies[i]->count++;
    }
    c->taken++;
}

/* The mean of the steps taken, and of so many more of the expected length. */
static double step_of(const fit_tally *t, double expected)
{
    enum { EXPECTED = 8 };
    return (t->seconds + EXPECTED * expected) / (t->count + EXPECTED);
}

double fit_clock_left(const fit_clock *c, const fit_work *work, int stages)
{
    double seconds = 0, done = 0, left = 0;
    for (int i = 0; i < stages; i++) {
        seconds += c->warm[0][i].seconds + c->warm[1][i].seconds;
        done += c->warm[0][i].count * work[i].step + c->warm[1][i].count * work[i].preparation_step;
    }
    if (done <= 0)
        return -1;
    double rate = seconds / done;
    for (int i = 0; i < stages; i++)
        left += work[i].steps * step_of(&c->warm[0][i], rate * work[i].step) +
                work[i].preparations * step_of(&c->warm[1][i], rate * work[i].preparation_step);
    return left;
}

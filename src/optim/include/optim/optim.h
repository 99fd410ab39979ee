/* SPDX-License-Identifier: Apache-2.0 */
/* Optimisers of vectors of floats, and schedules of their rate: they know nothing of what the
 * values mean. */
#ifndef HDS_OPTIM_H
#define HDS_OPTIM_H

#include "base/base.h"

enum { OPTIM_SCALARS = 2 };
typedef struct optim_state {
    const struct optim_ops *ops;
    size_t count;
    int steps; /* taken */
    double scalars[OPTIM_SCALARS];
    float *moments; /* (ops->moments, count) */
} optim_state;

/* An optimiser: one of these, and a choice in the table of options. */
typedef struct optim_ops {
    const char *name;
    size_t moments; /* arrays of `count` floats that it carries */
    /* x moves against the loss's gradient, by about `rate`, and toward start (zeros if NULL) by
     * rate decay (x - start). gradient, start and x: (count). */
    void (*step)(optim_state *o, double rate, double decay, const float *gradient,
                 const float *start, float *x);
} optim_ops;

HDS_NODISCARD hds_status optim_init(optim_state *o, const optim_ops *ops, size_t count,
                                    hds_error *error);
void optim_finish(optim_state *o);
void optim_step(optim_state *o, double rate, double decay, const float *gradient,
                const float *start, float *x);

/* Adam whose second moment is one number, since gradients are preconditioned:
 *   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) |g|^2 / n,   d = m^ / sqrt(v^)
 *   x = x - rate (d + decay (x - start))
 * A steady gradient changes x by rate a step, root mean square over the n coordinates, and 1 /
 * decay bounds x - start likewise. Kingma, Ba: "Adam", 2015; Loshchilov, Hutter: "Decoupled weight
 * decay regularization", 2019. */
extern const optim_ops optim_adam;

/* The factor of a rate or weight when `left` in (0,1] of the steps are still to be taken, by the
 * schedule's name: "constant" 1; "linear" and "cosine" from 1 to 0.1; "tail" 1, and over the last
 * third to 0.1, so that the end is a mean and not a draw. */
double optim_ramp(const char *schedule, double left);

#endif

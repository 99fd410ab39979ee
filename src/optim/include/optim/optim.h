/* SPDX-License-Identifier: Apache-2.0 */
/* Optimisers of vectors of floats: they know nothing of what the numbers mean. */
#ifndef HDS_OPTIM_H
#define HDS_OPTIM_H

#include "base/base.h"

/* Adam whose second moment is one number, since both stages precondition their gradients:
 *   m = b1 m + (1 - b1) g,   v = b2 v + (1 - b2) |g|^2 / n,   d = m^ / sqrt(v^)
 *   x = x - rate (d + decay (x - x0))
 * A steady gradient changes x by rate a step, root mean square over the n coordinates, and 1 /
 * decay bounds x - x0 likewise. Kingma, Ba: "Adam", 2015; Loshchilov, Hutter: "Decoupled weight
 * decay regularization", 2019. */
typedef struct optim_adam {
    size_t count;
    int steps;
    double v;
    float *m; /* (count) */
} optim_adam;
HDS_NODISCARD hds_status optim_adam_init(optim_adam *o, size_t count, hds_error *error);
void optim_adam_finish(optim_adam *o);
/* start: x0 (count), NULL for zeros. gradient is the loss's: x moves against it. */
void optim_adam_step(optim_adam *o, double rate, double decay, const float *gradient,
                     const float *start, float *x);

#endif

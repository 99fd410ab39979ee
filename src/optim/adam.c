/* SPDX-License-Identifier: Apache-2.0 */
/* Adam with one second moment for the whole vector, and decoupled decay toward the start. */
#include "optim/optim.h"

#include <math.h>

static const double beta1 = 0.9, beta2 = 0.98;

hds_status optim_adam_init(optim_adam *o, size_t count, hds_error *error)
{
    *o = (optim_adam){ .count = count, .m = hds_alloc(count, sizeof *o->m) };
    if (!o->m)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the optimiser's state");
    return HDS_OK;
}

void optim_adam_finish(optim_adam *o)
{
    hds_free(o->m);
    *o = (optim_adam){ 0 };
}

void optim_adam_step(optim_adam *o, double rate, double decay, const float *gradient,
                     const float *start, float *x)
{
    double square = 0;
    for (size_t i = 0; i < o->count; i++) {
        square += (double)gradient[i] * gradient[i] / (double)o->count;
        o->m[i] = (float)(beta1 * o->m[i] + (1 - beta1) * gradient[i]);
    }
    o->steps++;
    o->v = beta2 * o->v + (1 - beta2) * square;
    double v = o->v / (1 - pow(beta2, o->steps)), unbias = 1 / (1 - pow(beta1, o->steps));
    double factor = v > 0 ? unbias / sqrt(v) : 0;
    for (size_t i = 0; i < o->count; i++) {
        double offset = x[i] - (start ? start[i] : 0);
        x[i] -= (float)(rate * (factor * o->m[i] + decay * offset));
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Adam with one second moment for the whole vector, and decoupled decay toward the start. */
#include "optim/optim.h"

#include <math.h>

static const double beta1 = 0.9, beta2 = 0.98;

static void step(optim_state *o, double rate, double decay, const float *gradient,
                 const float *start, float *x)
{
    float *m = o->moments;
    double square = 0, *second = &o->scalars[0];
    for (size_t i = 0; i < o->count; i++) {
        square += (double)gradient[i] * gradient[i] / (double)o->count;
        m[i] = (float)(beta1 * m[i] + (1 - beta1) * gradient[i]);
    }
    *second = beta2 * *second + (1 - beta2) * square;
    double v = *second / (1 - pow(beta2, o->steps)), unbias = 1 / (1 - pow(beta1, o->steps));
    double factor = v > 0 ? unbias / sqrt(v) : 0;
    for (size_t i = 0; i < o->count; i++) {
        double offset = x[i] - (start ? start[i] : 0);
        x[i] -= (float)(rate * (factor * m[i] + decay * offset));
    }
}

const optim_ops optim_adam = { .name = "adam", .moments = 1, .step = step };

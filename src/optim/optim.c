/* SPDX-License-Identifier: Apache-2.0 */
/* The state that every optimiser has. */
#include "optim/optim.h"

#include <assert.h>

hds_status optim_init(optim_state *o, const optim_ops *ops, size_t count, hds_error *error)
{
    assert(ops->name && ops->step);
    *o = (optim_state){ .ops = ops, .count = count };
    o->moments = hds_alloc(ops->moments * count, sizeof *o->moments);
    if (!o->moments)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the optimizer's state");
    return HDS_OK;
}

void optim_finish(optim_state *o)
{
    hds_free(o->moments);
    *o = (optim_state){ 0 };
}

void optim_step(optim_state *o, double rate, double decay, const float *gradient,
                const float *start, float *x)
{
    o->steps++;
    o->ops->step(o, rate, decay, gradient, start, x);
}

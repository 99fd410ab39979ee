/* SPDX-License-Identifier: Apache-2.0 */
/* What all kinds of guides share: their begin and end. */
#include "guide/guide.h"

#include <assert.h>

uint64_t guide_stream(const guide_step *at, size_t view, bool noise)
{
    return ((uint64_t)(2 * at->stage + noise) << 40) + ((uint64_t)at->step << 16) + view;
}

hds_status guide_init(guide *g, const guide_ops *ops, const hds_guidance *params,
                      const guide_setup *setup, hds_error *error)
{
    assert(ops->name && ops->init && ops->gradient && ops->finish);
    *g = (guide){
        .ops = ops, .params = *params, .prior = hds_prior_ref(setup->prior), .index = setup->index
    };
    hds_status status = ops->init(g, setup, error);
    if (status != HDS_OK)
        guide_finish(g);
    return status;
}

void guide_finish(guide *g)
{
    if (g->ops)
        g->ops->finish(g);
    hds_prior_unref(g->prior);
    *g = (guide){ 0 };
}

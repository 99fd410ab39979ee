/* SPDX-License-Identifier: Apache-2.0 */
/* A few arrays under names, kept with a prior; the oldest makes room. */
#include "diffusion/prior_priv.h"

#include <string.h>

bool prior_recall(hds_prior *p, const char *name, float *numbers, size_t count)
{
    bool found = false;
    pthread_mutex_lock(&p->lock);
    for (int i = 0; i < PRIOR_MEMOS && !found; i++) {
        const prior_memo *m = &p->memos[i];
        found = m->name && m->count == count && !strcmp(m->name, name);
        if (found)
            memcpy(numbers, m->numbers, count * sizeof *numbers);
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static void forget(prior_memo *m)
{
    hds_free(m->name);
    hds_free(m->numbers);
    *m = (prior_memo){ 0 };
}

void prior_remember(hds_prior *p, const char *name, const float *numbers, size_t count)
{
    prior_memo new = { hds_strdup(name), count, hds_alloc(count, sizeof *numbers) };
    if (!new.name || !new.numbers) {
        forget(&new);
        return;
    }
    memcpy(new.numbers, numbers, count * sizeof *numbers);
    pthread_mutex_lock(&p->lock);
    forget(&p->memos[p->next_memo]);
    p->memos[p->next_memo] = new;
    p->next_memo = (p->next_memo + 1) % PRIOR_MEMOS;
    pthread_mutex_unlock(&p->lock);
}

void prior_forget_all(hds_prior *p)
{
    for (int i = 0; i < PRIOR_MEMOS; i++)
        forget(&p->memos[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What a result of a prior depends on, as JSON. */
#include "prior_priv.h"

#include <string.h>

static json_t *hex(uint64_t hash)
{
    return json_sprintf("%016llx", (unsigned long long)hash);
}

/* In the order in which they were added. */
static json_t *loras_of(const hds_prior *p)
{
    json_t *list = json_array();
    for (const prior_lora *l = p->loras; l; l = l->next)
        json_array_insert_new(
            list, 0, json_pack("{s:o,s:f}", "hash", hex(l->hash), "scale", (double)l->scale));
    return list;
}

static json_t *embeddings_of(const hds_prior *p)
{
    json_t *list = json_array();
    for (const prior_embedding *e = p->embeddings; e; e = e->next)
        json_array_insert_new(list, 0,
                              json_pack("{s:s,s:o}", "token", e->token, "hash", hex(e->hash)));
    return list;
}

static json_t *controls_of(const hds_prior *p)
{
    static const char *const names[PRIOR_CONTROLS] = { "depth", "texture" };
    json_t *list = json_object();
    for (int i = 0; i < PRIOR_CONTROLS; i++)
        if (p->controls[i].weights)
            json_object_set_new(list, names[i], hex(weights_hash(p->controls[i].weights)));
    return list;
}

static json_t *make(const hds_prior *p)
{
    uint64_t noise = base_digest(p->schedule.alphas_cumprod,
                                 (size_t)p->schedule.count * sizeof *p->schedule.alphas_cumprod);
    return json_pack("{s:o,s:o,s:o,s:o,s:s,s:o,s:o,s:o,s:s,s:s}", "unet",
                     hex(weights_hash(p->unet_weights)), "vae", hex(weights_hash(p->vae_weights)),
                     "text_encoder", hex(weights_hash(p->clip_weights)), "schedule", hex(noise),
                     "prediction", p->schedule.velocity ? "v" : "noise", "loras", loras_of(p),
                     "embeddings", embeddings_of(p), "controlnets", controls_of(p), "dtype",
                     prior_dtype_name(p->type), "device",
                     strncmp(p->device, "cuda", 4) ? p->device : "cuda");
}

json_t *prior_record(hds_prior *p)
{
    pthread_mutex_lock(&p->lock);
    if (!p->record)
        p->record = make(p);
    json_t *copy = p->record ? json_deep_copy(p->record) : NULL;
    pthread_mutex_unlock(&p->lock);
    return copy;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The priors of this process: one that is loaded already serves all who ask for the same files,
 * until the last of them lets it go. */
#include "lora_priv.h"
#include "prior_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER; /* one at a time */
static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;   /* of the list and all references */
static hds_prior *first;

static void before_fork(void)
{
    pthread_mutex_lock(&guard);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&guard);
}

static void after_fork_in_child(void)
{
    pthread_mutex_init(&loading, NULL);
    after_fork();
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, after_fork_in_child);
}

/* Appends "path stamp" to *key, or makes it NULL: out of memory. One that is not there has the
 * stamp 0 and will not load. */
static void append(char **key, const char *path, float scale)
{
    char *place = path ? realpath(path, NULL) : NULL;
    const char *shown = place ? place : path ? path : "";
    char *longer = *key ? hds_format("%s\n%s %016" PRIx64 " %a", *key, shown,
                                     path ? io_stamp(shown) : 0, (double)scale)
                        : NULL;
    free(place);
    hds_free(*key);
    *key = longer;
}

/* Equal for equal files, new; NULL: out of memory. */
static char *key_of(const hds_prior_params *params)
{
    static const hds_prior_params none = { 0 };
    const hds_prior_params *p = params ? params : &none;
    char *built_in = NULL, *key = hds_strdup("");
    hds_error ignored = { 0 };
    if (!p->path && io_data_path(&built_in, "prior", &ignored) != HDS_OK)
        built_in = NULL; /* loading it will say so */
    append(&key, p->path ? p->path : built_in, 1);
    append(&key, p->config, 1);
    append(&key, p->vae, 1);
    append(&key, p->depth, 1);
    append(&key, p->texture, 1);
    for (size_t i = 0; i < p->lora_count; i++) {
        char *settings = lora_settings_beside(p->loras[i].path);
        append(&key, p->loras[i].path, p->loras[i].scale);
        append(&key, settings, 1);
        hds_free(settings);
    }
    for (size_t i = 0; i < p->embedding_count; i++) {
        const char *token = p->embeddings[i].token;
        append(&key, p->embeddings[i].path, 1);
        char *longer = key ? hds_format("%s %s", key, token ? token : "") : NULL;
        hds_free(key);
        key = longer;
    }
    hds_free(built_in);
    const char *device = p->device, *dtype = p->dtype;
    prior_device_resolve(&device, &dtype);
    char *whole = key ? hds_format("%s\n%s %s", key, device, dtype ? dtype : "auto") : NULL;
    hds_free(key);
    return whole;
}

static hds_prior *find(const char *key)
{
    pthread_mutex_lock(&guard);
    hds_prior *p = first;
    while (p && strcmp(p->key, key))
        p = p->next;
    if (p)
        p->references++;
    pthread_mutex_unlock(&guard);
    return p;
}

hds_status hds_prior_load(hds_prior **prior, const hds_prior_params *params, hds_error *error)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *prior = NULL;
    hds_status status = work_usable(error);
    if (status != HDS_OK)
        return status;
    char *key = key_of(params);
    if (!key)
        return hds_raise(error, HDS_ERROR_MEMORY, "prior: out of memory");
    (void)pthread_once(&once, watch_forks);
    pthread_mutex_lock(&loading);
    *prior = find(key);
    if (!*prior)
        status = prior_open(prior, params, error);
    if (*prior && !(*prior)->key) {
        pthread_mutex_lock(&guard);
        (*prior)->key = key;
        (*prior)->next = first;
        first = *prior;
        pthread_mutex_unlock(&guard);
        key = NULL;
    }
    pthread_mutex_unlock(&loading);
    hds_free(key);
    return status;
}

hds_prior *hds_prior_ref(hds_prior *prior)
{
    pthread_mutex_lock(&guard);
    prior->references++;
    pthread_mutex_unlock(&guard);
    return prior;
}

void hds_prior_unref(hds_prior *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&guard);
    bool last = --p->references == 0;
    for (hds_prior **link = &first; last && *link; link = &(*link)->next)
        if (*link == p) {
            *link = p->next;
            break;
        }
    pthread_mutex_unlock(&guard);
    if (last &&
        !work_forked()) /* else threads that stayed behind hold locks of what it is made of */
        prior_close(p);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.json in a prior's folder. */
#include "prior/prior.h"

/* A string, new; NULL: absent or null. */
static hds_status take(char **out, const json_t *json, const char *key, const char *path,
                       hds_error *error)
{
    const json_t *value = json_object_get(json, key);
    if (!value || json_is_null(value))
        return HDS_OK;
    if (!json_is_string(value))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%s\" is not a string", path, key);
    *out = hds_strdup(json_string_value(value));
    return *out ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
}

hds_status prior_card_load(prior_card *c, const char *path, hds_error *error)
{
    *c = (prior_card){ 0 };
    if (!io_exists(path))
        return HDS_OK;
    json_t *json = NULL;
    hds_status status = io_json_load(&json, path, error);
    if (status == HDS_OK && !json_is_object(json))
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: not a JSON object", path);
    if (status == HDS_OK)
        status = take(&c->head, json, "texture_map_head", path, error);
    if (status == HDS_OK)
        status = take(&c->prefix, json, "texture_map_prefix", path, error);
    if (status == HDS_OK)
        status = take(&c->neutral, json, "neutral_prompt", path, error);
    if (status == HDS_OK && !c->head != !c->prefix)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%s\" is absent, expected %s", path,
                           c->head ? "texture_map_prefix" : "texture_map_head",
                           c->head ? "what captions of texture maps begin with"
                                   : "the name of a head model");
    json_decref(json);
    if (status != HDS_OK)
        prior_card_finish(c);
    return status;
}

void prior_card_finish(prior_card *c)
{
    hds_free(c->head);
    hds_free(c->prefix);
    hds_free(c->neutral);
    *c = (prior_card){ 0 };
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What peft and diffusers write of a LoRA beside its tensors, as JSON: in the file's metadata under
 * "lora_adapter_metadata", keys after "unet." or "text_encoder."; or in adapter_config.json. */
#include "lora_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const prefixes[] = { [LORA_TEXT] = "text_encoder.", [LORA_UNET] = "unet." };

/* "text_encoder.key", else "key"; NULL: absent or null. */
static const json_t *value_of(const lora_settings *s, lora_network of, const char *key)
{
    char whole[160];
    snprintf(whole, sizeof whole, "%s%s", prefixes[of], key);
    const json_t *value = json_object_get(s->json, whole);
    value = value ? value : json_object_get(s->json, key);
    return json_is_null(value) ? NULL : value;
}

static hds_status refuse(const lora_settings *s, const json_t *value, const char *key,
                         const char *why, hds_error *error)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    hds_status status = hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%s\" is %.80s: %s", s->path, key,
                                  text ? text : "", why);
    free(text);
    return status;
}

/* Settings without an effect on the numbers only where they are off. */
static hds_status check(const lora_settings *s, lora_network of, hds_error *error)
{
    static const char *const off[] = { "use_qalora",        "fan_in_fan_out",
                                       "layer_replication", "use_bdlora",
                                       "monteclora_config", "kasa_config",
                                       "arrow_config",      "alora_invocation_tokens" };
    static const char *const families[] = { "LORA", "LOHA", "LOKR" };
    /* the model itself was changed before it was trained */
    static const char *const starts[] = { "pissa", "olora", "loftq", "corda", "lora_ga" };
    const json_t *start = value_of(s, of, "init_lora_weights"),
                 *type = value_of(s, of, "peft_type");
    const char *text = json_string_value(start);
    for (size_t k = 0; k < sizeof off / sizeof *off; k++) {
        const json_t *value = value_of(s, of, off[k]);
        if (value && !json_is_false(value))
            return refuse(s, value, off[k], "a kind of LoRA that is not read", error);
    }
    for (size_t k = 0; text && k < sizeof starts / sizeof *starts; k++)
        if (!strncmp(text, starts[k], strlen(starts[k])))
            return refuse(s, start, "init_lora_weights",
                          "it belongs to a changed model: convert it to a plain LoRA with peft "
                          "(path_initial_model_for_weight_conversion)",
                          error);
    bool known = !type;
    for (size_t k = 0; k < sizeof families / sizeof *families; k++)
        known = known || (json_is_string(type) && !strcmp(json_string_value(type), families[k]));
    return known ? HDS_OK
                 : refuse(s, type, "peft_type", "expected \"LORA\", \"LOHA\" or \"LOKR\"", error);
}

char *lora_settings_beside(const char *path)
{
    const char *name = io_base_name(path);
    if (strncmp(name, "adapter_model", strlen("adapter_model")))
        return NULL;
    char *config = hds_format("%.*sadapter_config.json", (int)(name - path), path);
    if (config && io_exists(config))
        return config;
    hds_free(config);
    return NULL;
}

static hds_status load(lora_settings *s, const io_tensors *file, const char *path, hds_error *error)
{
    const char *text = json_string_value(json_object_get(file->metadata, "lora_adapter_metadata"));
    char *beside = text ? NULL : lora_settings_beside(path);
    hds_status status = HDS_OK;
    if (beside) {
        status = io_json_load(&s->json, beside, error);
        s->path = beside;
    } else if (text) {
        json_error_t place;
        s->path = hds_format("%s: lora_adapter_metadata", path);
        s->json = json_loads(text, 0, &place);
        if (!s->path)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
        else if (!s->json)
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: line %d: %s", s->path, place.line,
                               place.text);
    }
    return status;
}

hds_status lora_settings_open(lora_settings *s, const io_tensors *file, const char *path,
                              hds_error *error)
{
    *s = (lora_settings){ 0 };
    hds_status status = load(s, file, path, error);
    if (status == HDS_OK && s->json && !json_is_object(s->json))
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: expected a JSON object", s->path);
    for (int of = 0; of < LORA_NETWORKS && s->json && status == HDS_OK; of++)
        status = check(s, (lora_network)of, error);
    if (status != HDS_OK)
        lora_settings_close(s);
    return status;
}

void lora_settings_close(lora_settings *s)
{
    json_decref(s->json);
    hds_free(s->path);
    *s = (lora_settings){ 0 };
}

static bool is_plain(const char *name)
{
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.")] ==
           0;
}

/* A pattern is a whole name, or its end after a dot; peft means a regular expression by it, of
 * which ^ is read, for the beginning. */
static bool matches(const char *pattern, const char *module)
{
    size_t length = strlen(module), tail = strlen(pattern);
    if (*pattern == '^')
        return !strcmp(pattern + 1, module);
    return length >= tail && !strcmp(module + length - tail, pattern) &&
           (length == tail || module[length - tail - 1] == '.');
}

/* The number of a module: "KEY_pattern" has those that differ from KEY. */
static hds_status number_of(const lora_settings *s, lora_network of, const char *key,
                            const char *patterns, const char *module, double *number,
                            hds_error *error)
{
    const json_t *value = value_of(s, of, key), *map = value_of(s, of, patterns);
    const char *pattern;
    json_t *other;
    json_object_foreach((json_t *)(uintptr_t)map, pattern, other)
    {
        if (!is_plain(pattern + (*pattern == '^')))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: \"%s\": \"%.120s\" is a regular expression, expected names of "
                             "modules",
                             s->path, patterns, pattern);
        if (matches(pattern, module)) {
            value = other;
            break;
        }
    }
    if (value && !json_is_number(value))
        return refuse(s, value, key, "expected a number", error);
    if (value)
        *number = json_number_value(value);
    return HDS_OK;
}

hds_status lora_settings_gain(const lora_settings *s, lora_network of, const char *module,
                              int64_t rank, double *gain, hds_error *error)
{
    double alpha = 0, among = (double)rank;
    *gain = 1;
    if (!s->json || (!value_of(s, of, "lora_alpha") && !value_of(s, of, "alpha")))
        return HDS_OK;
    const char *key = value_of(s, of, "lora_alpha") ? "lora_alpha" : "alpha";
    hds_status status = number_of(s, of, key, "alpha_pattern", module, &alpha, error);
    if (status == HDS_OK && rank == 0)
        status = number_of(s, of, "r", "rank_pattern", module, &among, error);
    if (status != HDS_OK)
        return status;
    if (!(among > 0))
        return refuse(s, value_of(s, of, key), key, "there is no rank to divide it by", error);
    const json_t *root = value_of(s, of, "use_rslora"); /* Kalajdzievski 2023 */
    *gain = alpha / (json_is_true(root) ? sqrt(among) : among);
    return HDS_OK;
}

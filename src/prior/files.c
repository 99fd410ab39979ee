/* SPDX-License-Identifier: Apache-2.0 */
/* Which files of a diffusers folder hold the weights of a part: whole or in shards, all numbers or
 * their float16 variant, safetensors or torch checkpoints. */
#include "prior/prior.h"

#include <stdlib.h>
#include <string.h>

/* In the order in which they are looked for, after a stem as "diffusion_pytorch_model". */
static const struct {
    const char *ending;
    bool index, torch; /* JSON that names the shards; not safetensors */
} forms[] = {
    { ".safetensors", false, false },
    { ".safetensors.index.json", true, false },
    { ".fp16.safetensors", false, false },
    { ".safetensors.index.fp16.json", true, false },
    { ".fp16.safetensors.index.json", true, false },
    { ".bin", false, true },
    { ".bin.index.json", true, true },
    { ".fp16.bin", false, true },
};
enum { FORMS = sizeof forms / sizeof *forms };

typedef struct shards {
    char **paths;
    size_t count;
} shards;

static void shards_finish(shards *s)
{
    for (size_t i = 0; i < s->count; i++)
        hds_free(s->paths[i]);
    free(s->paths);
}

static hds_status add(shards *s, const char *folder, const char *name, hds_error *error)
{
    char *path = io_join(folder, name);
    for (size_t i = 0; path && i < s->count; i++)
        if (!strcmp(s->paths[i], path)) {
            hds_free(path);
            return HDS_OK;
        }
    char **more = path ? realloc(s->paths, (s->count + 1) * sizeof *more) : NULL;
    if (!more) {
        hds_free(path);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", folder);
    }
    s->paths = more;
    s->paths[s->count++] = path;
    return HDS_OK;
}

/* {"weight_map": {"name of a tensor": "name of a file beside the index"}} */
static hds_status read_index(shards *s, const char *folder, const char *path, hds_error *error)
{
    json_t *json = NULL, *value;
    const char *key;
    hds_status status = io_json_load(&json, path, error);
    json_t *map = json_object_get(json, "weight_map");
    if (status == HDS_OK && !json_object_size(map))
        status = hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: \"weight_map\" is absent or empty, expected the file of each tensor", path);
    if (status == HDS_OK)
        json_object_foreach(map, key, value)
        {
            const char *name = json_string_value(value);
            if (!name || !*name || strchr(name, '/'))
                status =
                    hds_raise(error, HDS_ERROR_FORMAT,
                              "%s: the file of %.100s is not a name in the same folder", path, key);
            else
                status = add(s, folder, name, error);
            if (status != HDS_OK)
                break;
        }
    json_decref(json);
    return status;
}

/* What transformers called "model" before it was safetensors. */
static const char *torch_stem(const char *stem)
{
    return strcmp(stem, "model") ? stem : "pytorch_model";
}

static hds_status not_found(const char *folder, const char *stem, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_NOT_FOUND,
                     "%s: no weights: looked for %s%s, its %s or fp16 variant, and %s.bin", folder,
                     stem, forms[0].ending, forms[1].ending, torch_stem(stem));
}

static hds_status find(shards *s, const char *folder, const char *stem, hds_error *error)
{
    for (int k = 0; k < FORMS; k++) {
        char *name = hds_format("%s%s", forms[k].torch ? torch_stem(stem) : stem, forms[k].ending);
        char *path = name ? io_join(folder, name) : NULL;
        hds_status status = HDS_OK;
        bool found = path && io_exists(path);
        if (!path)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", folder);
        else if (found)
            status =
                forms[k].index ? read_index(s, folder, path, error) : add(s, folder, name, error);
        hds_free(name);
        hds_free(path);
        if (found || status != HDS_OK)
            return status;
    }
    return not_found(folder, stem, error);
}

weights *prior_part_open(tn_context *cx, const char *folder, const char *stem, weights_adopt adopt)
{
    hds_error error = { 0 };
    shards s = { 0 };
    weights *w = NULL;
    if (find(&s, folder, stem, &error) == HDS_OK) {
        weights_source source = { (const char *const *)s.paths, s.count, adopt, NULL };
        w = weights_open(cx, s.count == 1 ? s.paths[0] : folder, &source, WEIGHTS_FROZEN);
    } else {
        tn_fail(cx, error.status, "%s", error.message);
    }
    shards_finish(&s);
    return w;
}

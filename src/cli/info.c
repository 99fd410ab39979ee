/* SPDX-License-Identifier: Apache-2.0 */
/* headsds info: what a file or folder is. Each kind is described as JSON, which is printed as it is
 * or as lines. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

enum { COLUMN = 20 }; /* where values begin */

/* ---- head models and heads ---- */

static json_t *names(const char *const *texts, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_string(texts[i]));
    return list;
}

static json_t *extent(size_t width, size_t height)
{
    if (!width)
        return json_null();
    return json_pack("[I, I]", (json_int_t)width, (json_int_t)height);
}

static json_t *model_counts(const hds_head_model_info *m)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I}", "name", m->name, "vertices",
                     (json_int_t)m->vertex_count, "faces", (json_int_t)m->face_count, "uvs",
                     (json_int_t)m->uv_count, "shapes", (json_int_t)m->shape_count, "expressions",
                     (json_int_t)m->expression_count, "joints", (json_int_t)m->joint_count);
}

static hds_status model_info(json_t **out, const char *path, hds_error *error)
{
    hds_head_model *model;
    hds_head_model_info m;
    hds_status status =
        hds_head_model_load(&model, &(hds_head_model_params){ .path = path }, error);
    if (status != HDS_OK)
        return status;
    hds_head_model_get_info(model, &m);
    *out = json_pack("{s:s, s:s}", "kind", "head model", "path", path);
    json_t *counts = model_counts(&m);
    json_object_update(*out, counts);
    json_decref(counts);
    json_object_set_new(*out, "mean_texture", extent(m.texture_width, m.texture_height));
    json_object_set_new(*out, "expression_names", names(m.expression_names, m.expression_count));
    json_object_set_new(*out, "joint_names", names(m.joint_names, m.joint_count));
    json_object_set_new(*out, "part_names", names(m.part_names, m.part_count));
    hds_head_model_unref(model);
    return HDS_OK;
}

static hds_status head_info(json_t **out, const char *path, const char *model_path,
                            hds_error *error)
{
    hds_head_model *model = NULL;
    hds_head *head = NULL;
    hds_head_info h;
    hds_head_model_info m;
    hds_status status = HDS_OK;
    if (model_path)
        status = hds_head_model_load(&model, &(hds_head_model_params){ .path = model_path }, error);
    if (status == HDS_OK)
        status = hds_head_load(&head, path, model, error);
    hds_head_model_unref(model);
    if (status != HDS_OK)
        return status;
    hds_head_get_info(head, &h);
    hds_head_model_get_info(h.model, &m);
    *out = json_pack("{s:s, s:s, s:s, s:b, s:o, s:I, s:o, s:o}", "kind", "head", "path", path,
                     "prompt", h.prompt, "sculpted", h.offsets != NULL, "texture",
                     extent(h.texture_width, h.texture_height), "steps",
                     (json_int_t)h.history_count, "model", model_counts(&m), "record",
                     h.record ? json_loads(h.record, 0, NULL) : json_null());
    hds_head_unref(head);
    return HDS_OK;
}

/* ---- networks ---- */

/* A file of a folder as JSON; NULL: it is not there, or is not JSON. */
static json_t *json_in(const char *folder, const char *name)
{
    char *path = io_join(folder, name);
    json_t *json = NULL;
    if (path && io_exists(path) && io_json_load(&json, path, NULL) != HDS_OK)
        json = NULL;
    hds_free(path);
    return json;
}

static void copy_key(json_t *out, const char *name, const json_t *from, const char *key)
{
    json_t *value = json_object_get(from, key);
    if (value)
        json_object_set(out, name, value);
}

/* A diffusers folder, by its configurations; what lies in the weights is not read. */
static json_t *pipeline_info(const char *path, const json_t *index, const json_t *unet)
{
    json_t *out = json_pack("{s:s, s:s}", "kind", "prior", "path", path);
    json_t *scheduler = json_in(path, "scheduler/scheduler_config.json");
    json_t *card = json_in(path, "headsds.json");
    copy_key(out, "pipeline", index, "_class_name");
    copy_key(out, "text_width", unet, "cross_attention_dim");
    copy_key(out, "latent_channels", unet, "in_channels");
    copy_key(out, "sample_size", unet, "sample_size");
    copy_key(out, "unet_channels", unet, "block_out_channels");
    copy_key(out, "prediction_type", scheduler, "prediction_type");
    if (card)
        json_object_set(out, "headsds", card);
    json_decref(card);
    json_decref(scheduler);
    return out;
}

/* NULL: it is not a folder of a network. */
static json_t *network_info(const char *path)
{
    json_t *index = json_in(path, "model_index.json"), *unet = json_in(path, "unet/config.json");
    json_t *config = json_in(path, "config.json"), *out = NULL;
    const char *class = json_string_value(json_object_get(config, "_class_name"));
    const char *type = json_string_value(json_object_get(config, "model_type"));
    if (unet)
        out = pipeline_info(path, index, unet);
    else if (class || type)
        out = json_pack("{s:s, s:s, s:s}", "kind",
                        class && !strcmp(class, "ControlNetModel") ? "ControlNet"
                        : type && !strcmp(type, "clip")            ? "CLIP model"
                                                                   : "network",
                        "path", path, "class", class ? class : type);
    json_decref(index);
    json_decref(unet);
    json_decref(config);
    return out;
}

static const char *kind_of_weights(const io_tensors *file)
{
    for (size_t i = 0; i < file->count; i++) {
        if (strstr(file->tensors[i].name, "lora"))
            return "LoRA";
        if (!strncmp(file->tensors[i].name, "model.diffusion_model.", 22))
            return "prior, in one file";
        if (!strcmp(file->tensors[i].name, "emb_params") ||
            !strncmp(file->tensors[i].name, "string_to_param.", 16))
            return "textual inversion";
    }
    return "weights";
}

static hds_status weights_info(json_t **out, const char *path, hds_error *error)
{
    io_tensors file = { 0 };
    hds_status status = io_tensors_open(&file, path, error);
    if (status != HDS_OK)
        return status;
    json_t *dtypes = json_object();
    json_int_t numbers = 0;
    for (size_t i = 0; i < file.count; i++) {
        const io_tensor *t = &file.tensors[i];
        const char *name = io_dtype_name(t->dtype);
        numbers += (json_int_t)(t->size / io_dtype_size(t->dtype));
        json_int_t so_far = json_integer_value(json_object_get(dtypes, name));
        json_object_set_new(dtypes, name, json_integer(so_far + 1));
    }
    *out = json_pack("{s:s, s:s, s:I, s:I, s:o}", "kind", kind_of_weights(&file), "path", path,
                     "tensors", (json_int_t)file.count, "numbers", numbers, "dtypes", dtypes);
    if (file.metadata)
        json_object_set(*out, "metadata", file.metadata);
    io_tensors_close(&file);
    return HDS_OK;
}

/* ---- all kinds ---- */

static bool ends_with_any(const char *path, const char *const *endings)
{
    for (; *endings; endings++)
        if (io_ends_with(path, *endings))
            return true;
    return false;
}

static hds_status describe(json_t **out, const cli_args *args, hds_error *error)
{
    static const char *const models[] = { ".npz", ".pkl", ".mat", NULL };
    static const char *const weights[] = { ".safetensors", ".ckpt", ".bin", ".pt", ".pth", NULL };
    const char *path = args->words[0];
    *out = NULL;
    if (!io_exists(path))
        return hds_raise(error, HDS_ERROR_NOT_FOUND, "%s: no such file or folder", path);
    if (io_is_folder(path)) {
        *out = network_info(path);
        return *out ? HDS_OK : model_info(out, path, error);
    }
    if (io_ends_with(path, ".headsds"))
        return head_info(out, path, cli_get(args, "head-model"), error);
    if (ends_with_any(path, models))
        return model_info(out, path, error);
    if (ends_with_any(path, weights))
        return weights_info(out, path, error);
    return io_raise_path_kind(error, path,
                              "a head (.headsds), a head model (.npz, .pkl, .mat or a folder) or a "
                              "network (.safetensors, .ckpt, .bin, .pt or a folder)");
}

static void print_lines(const json_t *object, int indent);

/* "a, b, c" */
static void print_list(const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        char *text = json_dumps(json_array_get(list, i), JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        const char *plain = json_string_value(json_array_get(list, i));
        printf("%s%s", i ? ", " : "", plain ? plain : text ? text : "");
        hds_free(text);
    }
    putchar('\n');
}

static void print_value(const json_t *value, int indent)
{
    char *text;
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        putchar('\n');
        print_lines(value, indent + 2);
        break;
    case JSON_ARRAY:
        print_list(value);
        break;
    case JSON_STRING:
        puts(json_string_value(value));
        break;
    case JSON_NULL:
    case JSON_FALSE:
        puts("no");
        break;
    case JSON_TRUE:
        puts("yes");
        break;
    case JSON_INTEGER:
    case JSON_REAL:
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
        puts(text ? text : "");
        hds_free(text);
    }
}

static void print_lines(const json_t *object, int indent)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)object, key, value)
    {
        if (json_is_array(value) && !json_array_size(value))
            continue;
        int width = json_is_object(value) ? 0 : COLUMN - indent;
        printf("%*s%-*s", indent, "", width, key);
        if (width && (int)strlen(key) >= width)
            putchar(' ');
        print_value(value, indent);
    }
}

static int info(const cli_args *args)
{
    hds_error error = { 0 };
    json_t *out;
    if (describe(&out, args, &error) != HDS_OK)
        return cli_complain(CLI_FAILED, &error);
    if (cli_has(args, "json"))
        return cli_print_json(out, CLI_DONE);
    print_lines(out, 0);
    json_decref(out);
    return CLI_DONE;
}

static const cli_option own[] = {
    { "head-model", 0, "PATH", "the head's model where it was moved", CLI_FILE, NULL },
    { "json", 0, NULL, "print the result as JSON", CLI_ANY, NULL },
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, NULL };

const cli_command cli_info = {
    .name = "info",
    .summary = "Say what a head, head model or network is",
    .usage = "FILE",
    .text = "Of a head: prompt, model, and the record of how it was made. Of a head model: counts "
            "and names. Of a network: kind and sizes, from its configuration or its tensors.",
    .examples = "headsds info head.headsds\n"
                "headsds info flame2023.pkl\n"
                "headsds info stable-diffusion-v1-5 --json",
    .groups = groups,
    .least = 1,
    .most = 1,
    .values = CLI_FILE,
    .run = info,
};

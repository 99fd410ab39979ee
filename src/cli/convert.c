/* SPDX-License-Identifier: Apache-2.0 */
/* headsds convert: a head or a head model that is read, in the formats that are written. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "io/io.h"

#include <stdio.h>
#include <string.h>

static bool is_saved_head(const char *path)
{
    return io_ends_with(path, ".headsds") && !io_is_folder(path);
}

/* By the names alone: what may be made of what. */
static int check(const cli_args *args)
{
    const char *input = args->words[0];
    for (size_t i = 1; i < args->word_count; i++) {
        const char *output = args->words[i];
        bool is_model = io_ends_with(output, ".npz");
        if (is_model && is_saved_head(input))
            return cli_wrong(args,
                             "%s: an .npz holds a head model, and %s is one head; expected "
                             ".glb, .gltf, .obj or .headsds",
                             output, input);
        if (!is_model && !cli_is_head_file(output))
            return cli_wrong(args,
                             "%s: expected a name that ends in .glb, .gltf, .obj, .headsds "
                             "or, for a head model, .npz",
                             output);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(args->words[k], output))
                return cli_wrong(args, "%s: is named twice", output);
    }
    return CLI_DONE;
}

static hds_status load_model(hds_head_model **model, const cli_args *args, const char *path,
                             hds_error *error)
{
    return hds_head_model_load(
        model,
        &(hds_head_model_params){ .path = path,
                                  .uv_template = cli_get(args, "uv-template"),
                                  .mean_texture = cli_get(args, "mean-texture") },
        error);
}

/* A head model gives its mean head too. */
static hds_status load(const cli_args *args, hds_head_model **model, hds_head **head,
                       hds_error *error)
{
    const char *input = args->words[0], *moved = cli_get(args, "head-model");
    if (!is_saved_head(input)) {
        hds_status status = load_model(model, args, input, error);
        return status == HDS_OK
                   ? hds_head_create(head, &(hds_head_params){ .model = *model }, error)
                   : status;
    }
    hds_status status = moved ? load_model(model, args, moved, error) : HDS_OK;
    return status == HDS_OK ? hds_head_load(head, input, *model, error) : status;
}

static int convert(const cli_args *args)
{
    hds_error error = { 0 };
    hds_head_model *model = NULL;
    hds_head *head = NULL;
    int code = check(args);
    if (code != CLI_DONE)
        return code;
    hds_status status = HDS_OK;
    size_t written = 0;
    cli_catch_interrupts();
    for (size_t i = 1; i < args->word_count && status == HDS_OK; i++)
        status = cli_check_writable(args->words[i], &error);
    if (status == HDS_OK)
        status = load(args, &model, &head, &error);
    for (size_t i = 1; i < args->word_count && status == HDS_OK; i++) {
        status = cli_go_on(&error);
        if (status == HDS_OK)
            status = io_ends_with(args->words[i], ".npz")
                         ? hds_head_model_save(model, args->words[i], &error)
                         : hds_head_save(head, args->words[i], &error);
        written += status == HDS_OK;
    }
    hds_head_unref(head);
    hds_head_model_unref(model);
    if (status == HDS_ERROR_CANCELLED)
        return cli_stopped(written, args->word_count - 1);
    if (status != HDS_OK)
        return cli_complain(CLI_FAILED, &error);
    for (size_t i = 1; i < args->word_count; i++)
        puts(args->words[i]);
    return CLI_DONE;
}

static const cli_option own[] = {
    { "head-model", 0, "PATH", "the head's model where it was moved", CLI_FILE, NULL },
    { "uv-template", 0, "FILE.obj", "FLAME's texture coordinates", CLI_FILE, NULL },
    { "mean-texture", 0, "FILE.png", "a texture for the head model", CLI_FILE, NULL },
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, NULL };

const cli_command cli_convert = {
    .name = "convert",
    .summary = "Write a head or a head model in other formats",
    .usage = "IN OUT...",
    .text = "IN is a .headsds file, or a head model: a headsds or FLAME .npz, a FLAME .pkl, a "
            "HIFI3D .mat, or a folder of ICT-FaceKit or MakeHuman. A head becomes .glb, .gltf, "
            ".obj or .headsds; a "
            "head model becomes a headsds .npz, and its mean head any of the others.",
    .examples = "headsds convert head.headsds head.glb head.obj\n"
                "headsds convert flame2023.pkl flame.npz\n"
                "headsds convert FaceXModel mean.glb",
    .groups = groups,
    .least = 2,
    .most = SIZE_MAX,
    .values = CLI_FILE,
    .run = convert,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds render: pictures of a head, or of a model's mean head, as PNG files. */
#include "cli_priv.h"

#include "headsds/asset.h"
#include "headsds/render.h"
#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_CAMERAS = 360, MOST_SIZE = 4096 };
static const char MODES[] = "textured grey normals camera_normals control_normals depth parts";

typedef struct pictures {
    hds_camera cameras[MOST_CAMERAS];
    float light[9];
    hds_render_params params;
    const char *output;
} pictures;

/* "0,30,60" -> a camera each. */
static int read_azimuths(pictures *p, const cli_args *args)
{
    const char *text = cli_get(args, "azimuth");
    const hds_camera first = p->cameras[0];
    p->params.camera_count = 0;
    for (const char *at = text ? text : "0";; at++) {
        char *end;
        double azimuth = strtod(at, &end);
        if (end == at || (*end && *end != ',') || !(azimuth >= -360 && azimuth <= 360) ||
            p->params.camera_count == MOST_CAMERAS)
            return cli_wrong(args,
                             "--azimuth is %.60s, expected up to %d numbers from -360 to 360 "
                             "with a comma between them",
                             text, MOST_CAMERAS);
        p->cameras[p->params.camera_count] = first;
        p->cameras[p->params.camera_count++].azimuth = (float)azimuth;
        at = end;
        if (!*at)
            return CLI_DONE;
    }
}

static hds_render_mode mode_of(const char *name)
{
    int mode = 0;
    for (const char *c = MODES; strncmp(c, name, strlen(name)) || !strchr(" ", c[strlen(name)]);
         mode++)
        c = strchr(c, ' ') + 1;
    return (hds_render_mode)mode;
}

static int read_light(pictures *p, const cli_args *args, hds_error *error)
{
    uint64_t preset;
    if (!cli_has(args, "light"))
        return CLI_DONE;
    if (!cli_get_whole(args, "light", 0, &preset))
        return CLI_WRONG;
    if (preset >= (uint64_t)hds_light_presets())
        return cli_wrong(args, "--light is %llu, expected 0 to %d", (unsigned long long)preset,
                         hds_light_presets() - 1);
    if (hds_light_preset((int)preset, p->light, error) != HDS_OK)
        return cli_complain(CLI_FAILED, error);
    p->params.light = p->light;
    return CLI_DONE;
}

/* -> CLI_DONE, or an exit code after the message. */
static int read_params(pictures *p, const cli_args *args, hds_error *error)
{
    hds_camera *camera = &p->cameras[0];
    const char *output = cli_get(args, "output"), *mode = cli_get(args, "mode");
    uint64_t size;
    p->output = output ? output : "head.png";
    if (!io_ends_with(p->output, ".png"))
        return cli_wrong(args, "%s: expected a name that ends in .png", p->output);
    if (!args->word_count && !cli_has(args, "head-model"))
        return cli_wrong(args, "nothing to show, expected HEAD.headsds, or --head-model for a "
                               "model's mean head");
    if (!cli_get_number(args, "elevation", -90, 90, &camera->elevation) ||
        !cli_get_number(args, "distance", 0, 1000, &camera->distance) ||
        !cli_get_number(args, "fov", 1, 150, &camera->fov) ||
        !cli_get_whole(args, "size", 512, &size))
        return CLI_WRONG;
    if (size < 1 || size > MOST_SIZE)
        return cli_wrong(args, "--size is %llu, expected 1 to %d", (unsigned long long)size,
                         MOST_SIZE);
    p->params.size = (int)size;
    p->params.mode = mode_of(mode ? mode : "textured");
    p->params.cameras = p->cameras;
    int code = read_azimuths(p, args);
    return code == CLI_DONE ? read_light(p, args, error) : code;
}

static hds_status load(const cli_args *args, hds_head **head, hds_error *error)
{
    hds_head_model *model = NULL;
    const char *path = cli_get(args, "head-model");
    hds_status status = HDS_OK;
    if (path)
        status = hds_head_model_load(&model, &(hds_head_model_params){ .path = path }, error);
    if (status == HDS_OK && args->word_count)
        status = hds_head_load(head, args->words[0], model, error);
    else if (status == HDS_OK)
        status = hds_head_create(head, &(hds_head_params){ .model = model }, error);
    hds_head_model_unref(model);
    return status;
}

/* The output's name, or with a number before its ending where there are several: new. */
static char *name_of(const pictures *p, size_t index)
{
    const char *dot = strrchr(p->output, '.');
    if (p->params.camera_count == 1)
        return hds_strdup(p->output);
    return hds_format("%.*s-%03zu%s", (int)(dot - p->output), p->output, index, dot);
}

static hds_status draw(pictures *p, const hds_head *head, size_t index, json_t *files,
                       hds_error *error)
{
    hds_render_params one = p->params;
    const size_t size = (size_t)one.size;
    char *name = name_of(p, index);
    uint8_t *pixels = hds_alloc(size * size, 3);
    hds_status status = name && pixels ? HDS_OK
                                       : hds_raise(error, HDS_ERROR_MEMORY,
                                                   "%s: out of memory for the picture", p->output);
    one.cameras = &p->cameras[index];
    one.camera_count = 1;
    if (status == HDS_OK)
        status = hds_head_render(head, &one, pixels, error);
    if (status == HDS_OK)
        status = hds_write_png(name, pixels, (size_t)one.size, (size_t)one.size, error);
    if (status == HDS_OK)
        json_array_append_new(files, json_string(name));
    hds_free(pixels);
    hds_free(name);
    return status;
}

static int render(const cli_args *args)
{
    hds_error error = { 0 };
    pictures p = { .output = NULL };
    hds_head *head = NULL;
    json_t *files = json_array();
    int code = read_params(&p, args, &error);
    cli_catch_interrupts();
    hds_status status = code == CLI_DONE ? load(args, &head, &error) : HDS_OK;
    for (size_t i = 0; code == CLI_DONE && status == HDS_OK && i < p.params.camera_count; i++) {
        status = cli_go_on(&error);
        if (status == HDS_OK)
            status = draw(&p, head, i, files, &error);
    }
    hds_head_unref(head);
    if (status == HDS_ERROR_CANCELLED)
        code = cli_stopped(json_array_size(files), p.params.camera_count);
    else if (status != HDS_OK)
        code = cli_complain(CLI_FAILED, &error);
    if (code == CLI_DONE && cli_has(args, "json"))
        return cli_print_json(json_pack("{s:o}", "outputs", files), CLI_DONE);
    for (size_t i = 0; code == CLI_DONE && i < json_array_size(files); i++)
        puts(json_string_value(json_array_get(files, i)));
    json_decref(files);
    return code;
}

static const cli_option own[] = {
    { "output", 'o', "FILE.png", "default: head.png", CLI_FILE, NULL },
    { "mode", 0, "NAME",
      "textured (default), grey, normals, camera_normals, control_normals, depth or parts",
      CLI_WORDS, MODES },
    { "azimuth", 0, "A[,A...]",
      "degrees, positive sees the head's own left side; several give numbered files", CLI_ANY,
      NULL },
    { "elevation", 0, "DEGREES", "positive looks down on the head", CLI_ANY, NULL },
    { "distance", 0, "METRES", "from the middle of the head; 0 (default): all of it is seen",
      CLI_ANY, NULL },
    { "fov", 0, "DEGREES", "from bottom to top; default: 20", CLI_ANY, NULL },
    { "size", 0, "PIXELS", "of the square picture; default: 512", CLI_ANY, NULL },
    { "light", 0, "N", "a preset of light fixed to the head; default: a key light and a fill",
      CLI_ANY, NULL },
    { "head-model", 0, "PATH", "the head's model where it was moved; alone: its mean head",
      CLI_FILE, NULL },
    { "json", 0, NULL, "print the result as JSON", CLI_ANY, NULL },
    { "help", 'h', NULL, "show this help", CLI_ANY, NULL },
    { .name = NULL },
};
static const cli_option *const groups[] = { own, NULL };

const cli_command cli_render = {
    .name = "render",
    .summary = "Make pictures of a head",
    .usage = "[HEAD.headsds]",
    .examples = "headsds render head.headsds --azimuth 30 -o head.png\n"
                "headsds render head.headsds --azimuth -60,0,60 --mode normals -o turn.png\n"
                "headsds render --head-model flame2023.pkl --mode parts -o parts.png",
    .groups = groups,
    .least = 0,
    .most = 1,
    .values = CLI_FILE,
    .run = render,
};

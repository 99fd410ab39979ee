/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoints that are refused: those of another run, by the name of what differs, and damaged
 * ones. */
#include "toy.h"

#include <fcntl.h>

enum { STEPS = 6 };

static void load_refused(const hds_generate_params *p, const char *path, hds_status status,
                         const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    toy_open(&run, p);
    toy_refused(fit_checkpoint_load(&run, path, &error), status, &error, path, word);
    fit_run_finish(&run);
}

static char *saved(const toy *t, const hds_generate_params *p, int steps)
{
    hds_error error = { 0 };
    fit_run run;
    char *path = toy_file(t, "saved.checkpoint");
    toy_open(&run, p);
    toy_advance(&run, steps);
    toy_ok(fit_checkpoint_save(&run, path, &error), &error);
    fit_run_finish(&run);
    return path;
}

typedef struct difference {
    const toy *t;
    const char *path;
    hds_generate_params right;
} difference;

/* A run with one setting more is refused by this name. */
static void set_refused(const difference *d, const char *name, const char *value, const char *word)
{
    hds_setting setting = { name, value };
    hds_generate_params p = d->right;
    p.settings = &setting;
    p.setting_count = 1;
    load_refused(&p, d->path, HDS_ERROR_ARGUMENT, word);
}

static void checkpoints_of_other_settings_are_refused(void **state)
{
    const toy *t = *state;
    difference d = { t, NULL, toy_params(t, STEPS) };
    hds_generate_params p = d.right;
    char *path = saved(t, &p, 2);
    d.path = path;
    p.prompt = "another prompt";
    load_refused(&p, path, HDS_ERROR_ARGUMENT,
                 "its prompt is \"a head with a wide nose\", here it is \"another prompt\"");
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "start without resume");
    p = d.right;
    p.negative_prompt = "ugly";
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its negative_prompt is null, here it is \"ugly\"");
    p = d.right;
    p.seed++;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its seed is 3, here it is 4");
    p = d.right;
    p.start = toy_start(t, 0, 0, 0, 0);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its start is null, here it is");
    hds_head_unref(p.start);
    const hds_recipe renamed = { "other", "", toy_stages, TOY_STAGES };
    p = d.right;
    p.recipe = &renamed;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its recipe is \"toy\", here it is \"other\"");
    set_refused(&d, "geometry.steps", "7", "its stages.geometry.steps is 6, here it is 7");
    set_refused(&d, "texture.l2", "0.4", "its stages.texture.weight_decay is 0.2, here it is 0.4");
    set_refused(&d, "texture.guidance_scale", "6", "its stages.texture.sds.guidance_scale is 5.0");
    hds_free(path);
}

/* Every option that leaves the default's run possible, each by its name. */
static void every_option_is_part_of_the_identity(void **state)
{
    static const char *const others[][2] = { { "steps", "7" },
                                             { "views", "2" },
                                             { "resolution", "40" },
                                             { "shading", "grey" },
                                             { "normals", "0.25" },
                                             { "azimuth_range", "99" },
                                             { "gradient_clip", "3" },
                                             { "precondition", "none" },
                                             { "learning_rate", "0.2" },
                                             { "learning_rate_schedule", "linear" },
                                             { "weight_decay", "1" },
                                             { "sds.shown", "map" },
                                             { "sds.weight", "2" },
                                             { "sds.guidance_scale", "6" },
                                             { "sds.timestep_schedule", "uniform" },
                                             { "sds.timestep_min", "0.1" },
                                             { "sds.timestep_max", "0.7" },
                                             { "skip", "true" } };
    const toy *t = *state;
    difference d = { t, NULL, toy_params(t, STEPS) };
    char *path = saved(t, &d.right, 2);
    d.path = path;
    size_t count, guidances, tested = sizeof others / sizeof *others;
    hds_stage_options(&count);
    hds_guidance_options(&guidances);
    assert_int_equal(tested + 4, count + guidances); /* of which 4 have one choice only here */
    for (size_t i = 0; i < tested; i++) {
        char *name = hds_format("texture.%s", others[i][0]);
        char *word = hds_format("its stages.%s is ", name);
        set_refused(&d, name, others[i][1], word);
        hds_free(name);
        hds_free(word);
    }
    hds_free(path);
}

static void checkpoints_of_other_heads_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params right = toy_params(t, STEPS);
    char *path = saved(t, &right, 2), *head = toy_write_head(t, "other.npz");
    hds_generate_params p = right;
    p.model = toy_load_head(head);
    load_refused(&p, path, HDS_ERROR_ARGUMENT,
                 "its head_model.name is \"toy.npz\", here it is \"other.npz\"");
    hds_head_model_unref(p.model);
    p.model = toy_load_head(t->head_path); /* the same name, another number */
    p.model->shape_basis[4] += 0.001f;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its head_model.hash is");
    hds_head_model_unref(p.model);
    p.model = toy_load_head(t->head_path);
    p.model->mean_texture[5] ^= 1;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its head_model.hash is");
    hds_head_model_unref(p.model);
    p.model = toy_load_posed(t, 0.1f);
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "its head_model.hash is");
    hds_head_model_unref(p.model);
    hds_free(path);
    p = right;
    p.model = toy_load_posed(t, 0.1f);
    path = saved(t, &p, 2);
    load_refused(&right, path, HDS_ERROR_ARGUMENT, "its head_model.hash is");
    hds_head_model_unref(p.model);
    hds_free(path);
    hds_free(head);
}

/* One weight of a network of the prior in this folder becomes another number. */
static void touch(const char *prior, const char *file, const char *tensor)
{
    hds_error error = { 0 };
    io_safetensors networks;
    char *path = hds_format("%s/%s", prior, file);
    toy_ok(io_safetensors_open(&networks, path, &error), &error);
    const io_tensor *x = io_safetensors_find(&networks, tensor);
    assert_non_null(x);
    float value;
    off_t place = (const unsigned char *)x->data - networks.map.bytes;
    memcpy(&value, x->data, sizeof value);
    value += 0.25f;
    io_safetensors_close(&networks);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &value, sizeof value, place), sizeof value);
    close(fd);
    hds_free(path);
}

static void load_with_refused(const difference *d, const hds_prior_params *prior, const char *word)
{
    hds_error error = { 0 };
    hds_generate_params p = d->right;
    toy_ok(hds_prior_load(&p.prior, prior, &error), &error);
    load_refused(&p, d->path, HDS_ERROR_ARGUMENT, word);
    hds_prior_unref(p.prior);
}

/* Of other weights in the same folder. */
static void checkpoints_of_other_networks_are_refused(void **state)
{
    static const char *const networks[][3] = {
        { "unet/diffusion_pytorch_model.safetensors", "conv_out.bias", "its prior.unet is" },
        { "vae/diffusion_pytorch_model.safetensors", "quant_conv.bias", "its prior.vae is" },
        { "text_encoder/model.safetensors", "text_model.final_layer_norm.bias",
          "its prior.text_encoder is" },
    };
    const toy *t = *state;
    for (size_t i = 0; i < sizeof networks / sizeof *networks; i++) {
        char *name = hds_format("touched%zu", i), *folder = toy_write_prior(t, name, 9);
        difference d = { t, NULL, toy_params(t, STEPS) };
        d.right.prior = toy_load_prior(folder);
        char *path = saved(t, &d.right, 2);
        hds_prior_unref(d.right.prior);
        d.path = path;
        touch(folder, networks[i][0], networks[i][1]);
        load_with_refused(&d, &(hds_prior_params){ .path = folder }, networks[i][2]);
        hds_free(path);
        hds_free(folder);
        hds_free(name);
    }
}

/* A LoRA of one matrix of the toy's UNet; the path is new. */
static char *write_lora(const toy *t, const char *name, float value)
{
    enum { RANK = 2, WIDTH = 16 };
    static const char stem[] = "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q";
    hds_error error = { 0 };
    float up[WIDTH * RANK], down[RANK * WIDTH];
    for (int i = 0; i < WIDTH * RANK; i++) {
        up[i] = value;
        down[i] = 0.1f * (float)(i % 7);
    }
    char *path = toy_file(t, name),
         *names[2] = { hds_format("%s.lora_A.weight", stem), hds_format("%s.lora_B.weight", stem) };
    const io_tensor tensors[] = {
        { names[0], IO_F32, 2, { RANK, WIDTH }, down, sizeof down },
        { names[1], IO_F32, 2, { WIDTH, RANK }, up, sizeof up },
    };
    toy_ok(io_safetensors_write(path, tensors, 2, NULL, &error), &error);
    hds_free(names[0]);
    hds_free(names[1]);
    return path;
}

static void checkpoints_of_other_loras_are_refused(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    char *paths[2] = { write_lora(t, "a.safetensors", 0.5f), write_lora(t, "b.safetensors", 0.4f) };
    hds_lora loras[2] = { { paths[0], 0.5f }, { paths[1], 0.5f } };
    const hds_prior_params with = { .path = t->prior_path, .loras = loras, .lora_count = 1 };
    difference d = { t, NULL, toy_params(t, STEPS) };
    char *path = saved(t, &d.right, 2);
    d.path = path;
    load_with_refused(&d, &with, "its prior.loras is [], here it is [{");
    hds_free(path);
    toy_ok(hds_prior_load(&d.right.prior, &with, &error), &error);
    path = saved(t, &d.right, 2);
    d.path = path;
    hds_prior_unref(d.right.prior);
    load_with_refused(&d, &(hds_prior_params){ .path = t->prior_path }, "here it is []");
    loras[0].scale = 0.25f;
    load_with_refused(&d, &with, "\"scale\": 0.25");
    loras[0] = loras[1];
    load_with_refused(&d, &with, "its prior.loras is [{");
    hds_free(path);
    hds_free(paths[0]);
    hds_free(paths[1]);
}

static void checkpoints_of_other_dtypes_are_refused(void **state)
{
    const toy *t = *state;
    difference d = { t, NULL, toy_params(t, STEPS) };
    char *path = saved(t, &d.right, 2);
    d.path = path;
    load_with_refused(&d, &(hds_prior_params){ .path = t->prior_path, .dtype = "bfloat16" },
                      "its prior.dtype is \"float32\", here it is \"bfloat16\"");
    hds_free(path);
}

/* The place of its folder is no part of a prior. */
static void a_prior_may_move(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, STEPS);
    char *path = saved(t, &p, 2), *there = toy_write_prior(t, "moved", 5);
    fit_run run;
    p.prior = toy_load_prior(there);
    toy_open(&run, &p);
    toy_ok(fit_checkpoint_load(&run, path, &error), &error);
    fit_run_finish(&run);
    hds_prior_unref(p.prior);
    hds_free(there);
    hds_free(path);
}

static void checkpoints_of_other_starts_are_refused(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    hds_head *start = p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 9);
    char *path = saved(t, &p, 2);
    const struct {
        float shape, expression, depth;
        uint8_t grey;
    } others[] = { { 0.4f, 0.2f, 0.01f, 9 },
                   { 0.5f, 0, 0.01f, 9 },
                   { 0.5f, 0.2f, 0.02f, 9 },
                   { 0.5f, 0.2f, 0, 9 },
                   { 0.5f, 0.2f, 0.01f, 8 } };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        p.start =
            toy_start(t, others[i].shape, others[i].expression, others[i].depth, others[i].grey);
        load_refused(&p, path, HDS_ERROR_ARGUMENT, "its start is \"");
        hds_head_unref(p.start);
    }
    p.start = NULL;
    load_refused(&p, path, HDS_ERROR_ARGUMENT, "here it is null");
    hds_head_unref(start);
    hds_free(path);
}

static void cut_off_checkpoints_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params p = toy_params(t, STEPS);
    char *path = saved(t, &p, 2), *cut = toy_file(t, "cut.checkpoint");
    hds_error error = { 0 };
    io_map map;
    toy_ok(io_map_open(&map, path, &error), &error);
    for (size_t part = 0; part < 8; part++) {
        files_write_bytes(cut, map.bytes, map.size * part / 8);
        load_refused(&p, cut, HDS_ERROR_FORMAT, "");
    }
    io_map_close(&map);
    hds_free(cut);
    hds_free(path);
}

/* A copy of a checkpoint with this array in place of its own, or without it if that has no data;
 * new. */
static char *mended(const toy *t, const char *path, io_array array)
{
    char *other = toy_file(t, "mended.checkpoint");
    hds_error error = { 0 };
    io_npz npz;
    toy_ok(io_npz_open(&npz, path, 0, &error), &error);
    io_array arrays[32];
    size_t count = npz.count;
    assert_in_range(count, 1, 32);
    memcpy(arrays, npz.arrays, count * sizeof *arrays);
    io_array *a = tiny_find(arrays, count, array.name);
    *a = array.data ? array : arrays[--count];
    toy_ok(io_npz_write(other, arrays, count, &error), &error);
    io_npz_close(&npz);
    return other;
}

static void load_mended(const toy *t, const hds_generate_params *p, io_array array,
                        const char *word)
{
    char *path = saved(t, p, 2), *other = mended(t, path, array);
    load_refused(p, other, HDS_ERROR_FORMAT, word);
    hds_free(other);
    hds_free(path);
}

/* What is not there is not taken for what this run was given. */
static void checkpoints_without_an_array_are_refused(void **state)
{
    const toy *t = *state;
    const hds_generate_params p = toy_params(t, STEPS);
    static const char *const names[] = {
        "shape",   "shape_start",   "texture",          "texture_start",
        "moments", "scalars",       "whitening_moment", "whitening_matrix",
        "place",   "history_stage", "history_step",     "history_values",
        "record"
    };
    char *path = saved(t, &p, 2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *other = mended(t, path, (io_array){ .name = (char *)(uintptr_t)names[i] });
        load_refused(&p, other, HDS_ERROR_FORMAT, names[i]);
        hds_free(other);
    }
    char *other = mended(t, path, (io_array){ .name = "format" });
    load_refused(&p, other, HDS_ERROR_FORMAT, "this is no headsds checkpoint");
    hds_free(other);
    hds_free(path);
}

static void checkpoints_that_contradict_themselves_are_refused(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    enum { PREPARED = 36 };
    static const int64_t places[][3] = { { 0, 3, PREPARED }, { 1, 2, 0 }, { 2, 0, 0 } };
    static const int64_t nowhere[][3] = { { -1, 0, 0 },
                                          { 0, -1, PREPARED },
                                          { 0, STEPS, PREPARED },
                                          { 3, 0, 0 },
                                          { 2, 1, 0 },
                                          { 0, (int64_t)1 << 40, PREPARED },
                                          { 0, 2, PREPARED - 1 },
                                          { 0, 0, PREPARED + 1 },
                                          { 0, 0, -1 } };
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        load_mended(t, &p, TINY("place", 'i', 8, places[i], 3),
                    i == 0   ? "history"
                    : i == 1 ? "moments"
                             : "history");
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++)
        load_mended(t, &p, TINY("place", 'i', 8, nowhere[i], 3), "place");
    load_mended(t, &p, TINY("place", 'i', 8, nowhere, 2), "place");
    load_mended(t, &p, TINY("shape", 'f', 4, nowhere, 2), "shape");
    load_mended(t, &p, TINY("record", 'S', 2, "{]", 1), "record: missing or damaged");
    load_mended(t, &p, TINY("format", 'S', 20, "headsds checkpoint 9", 1),
                "another version of headsds wrote it");
    load_mended(t, &p, TINY("history_stage", 'i', 4, ((int32_t[]){ 0, 7 }), 2), "history_stage");
    toy_stages[TEXTURE].skip = true;
    load_mended(t, &p, TINY("place", 'i', 8, ((int64_t[]){ 1, 0, 0 }), 3), "place");
}

static void checkpoints_of_the_old_format_get_a_clear_word(void **state)
{
    const toy *t = *state;
    const hds_generate_params p = toy_params(t, STEPS);
    const io_array arrays[] = { TINY("settings", 'S', 2, "{}", 1),
                                TINY("place", 'i', 8, ((int64_t[]){ 0, 2 }), 2) };
    char *path = toy_file(t, "old.checkpoint");
    hds_error error = { 0 };
    toy_ok(io_npz_write(path, arrays, 2, &error), &error);
    load_refused(&p, path, HDS_ERROR_FORMAT, "older headsds");
    load_refused(&p, path, HDS_ERROR_FORMAT, "start without resume");
    toy_ok(io_npz_write(path, arrays, 1, &error), &error);
    load_refused(&p, path, HDS_ERROR_FORMAT, "this is no headsds checkpoint");
    hds_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checkpoints_of_other_settings_are_refused),
        cmocka_unit_test(every_option_is_part_of_the_identity),
        cmocka_unit_test(checkpoints_of_other_heads_are_refused),
        cmocka_unit_test(checkpoints_of_other_networks_are_refused),
        cmocka_unit_test(checkpoints_of_other_loras_are_refused),
        cmocka_unit_test(checkpoints_of_other_dtypes_are_refused),
        cmocka_unit_test(a_prior_may_move),
        cmocka_unit_test(checkpoints_of_other_starts_are_refused),
        cmocka_unit_test(cut_off_checkpoints_are_refused),
        cmocka_unit_test(checkpoints_without_an_array_are_refused),
        cmocka_unit_test(checkpoints_that_contradict_themselves_are_refused),
        cmocka_unit_test(checkpoints_of_the_old_format_get_a_clear_word),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

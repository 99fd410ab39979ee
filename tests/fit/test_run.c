/* SPDX-License-Identifier: Apache-2.0 */
/* Runs: equal bytes for equal seeds on any number of threads, checkpoints that continue to those
 * same bytes, and files and settings that are refused. */
#include "toy.h"

#include "headsds/version.h"

#include <fcntl.h>

enum { STEPS = 6, TOTAL = 2 * STEPS, TEXELS = TOY_TEXTURE * TOY_TEXTURE * 3 };

static void open_run(fit_run *run, const hds_generate_params *p)
{
    hds_error error = { 0 };
    toy_ok(fit_run_init(run, p, &fit_built_in, &error), &error);
}

static float *shape_of(const fit_run *run)
{
    return run->subject.variables[FIT_SHAPE].x;
}

static float *texture_of(const fit_run *run)
{
    return run->subject.variables[FIT_TEXTURE].x;
}

/* Takes up to `count` steps, preparation not counted; true when the run is done. */
static bool advance(fit_run *run, int count)
{
    hds_error error = { 0 };
    bool done = false;
    for (int i = 0; i < count && !done; i += !fit_run_preparing(run)) {
        while (fit_run_preparing(run))
            toy_ok(fit_run_step(run, &done, &error), &error);
        toy_ok(fit_run_step(run, &done, &error), &error);
    }
    return done;
}

static void assert_same_run(const fit_run *a, const fit_run *b)
{
    assert_int_equal(a->stage, b->stage);
    assert_int_equal(a->step, b->step);
    assert_memory_equal(shape_of(a), shape_of(b), TOY_SHAPES * sizeof(float));
    assert_memory_equal(texture_of(a), texture_of(b), TEXELS * sizeof(float));
    assert_int_equal(a->history_count, b->history_count);
    assert_memory_equal(a->history, b->history, a->history_count * sizeof(hds_history));
}

static void both_stages_change_their_own(void **state)
{
    fit_run run;
    hds_generate_params p = toy_params(*state, STEPS);
    open_run(&run, &p);
    float start[TEXELS], shape[TOY_SHAPES];
    memcpy(start, texture_of(&run), sizeof start);
    assert_int_equal(fit_run_total_steps(&run), TOTAL);
    assert_false(advance(&run, STEPS));
    assert_int_equal(run.stage, TEXTURE);
    assert_memory_equal(start, texture_of(&run), sizeof start);
    memcpy(shape, shape_of(&run), sizeof shape);
    for (int k = 0; k < TOY_SHAPES; k++)
        assert_true(shape[k] != 0);
    assert_true(advance(&run, STEPS));
    assert_memory_equal(shape, shape_of(&run), sizeof shape);
    assert_memory_not_equal(start, texture_of(&run), sizeof start);
    for (int i = 0; i < TEXELS; i++)
        assert_true(texture_of(&run)[i] >= 0 && texture_of(&run)[i] <= 1);
    for (size_t i = 0; i < TOTAL; i++) {
        const hds_history *h = &run.history[i];
        assert_string_equal(h->stage, i < STEPS ? "geometry" : "texture");
        assert_int_equal(h->step, i % STEPS);
        assert_true(h->timestep >= 20 && h->timestep < 980);
        assert_true(h->gradient_norm > 0 && h->coefficient_norm > 0);
    }
    assert_true(advance(&run, 1)); /* over: no further step */
    assert_int_equal(run.history_count, TOTAL);
    fit_run_finish(&run);
}

static void the_seed_alone_decides(void **state)
{
    const toy *t = *state;
    fit_run run, again;
    hds_generate_params p = toy_params(t, STEPS);
    open_run(&run, &p);
    advance(&run, TOTAL);
    for (int threads = 1; threads <= 3; threads++) {
        threads_set_count(threads);
        p.prior = toy_load_prior(t->prior_path);
        open_run(&again, &p);
        advance(&again, TOTAL);
        assert_same_run(&run, &again);
        fit_run_finish(&again);
        hds_prior_unref(p.prior);
    }
    threads_set_count(0);
    p.prior = t->prior;
    p.seed++;
    open_run(&again, &p);
    advance(&again, TOTAL);
    assert_memory_not_equal(shape_of(&run), shape_of(&again), TOY_SHAPES * sizeof(float));
    assert_memory_not_equal(texture_of(&run), texture_of(&again), TEXELS * sizeof(float));
    fit_run_finish(&again);
    fit_run_finish(&run);
}

/* At every step, the boundary of the stages and the end among them. */
static void a_checkpoint_continues_to_the_same_bytes(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    fit_run whole;
    hds_generate_params p = toy_params(t, STEPS);
    p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 0);
    char *path = toy_file(t, "run.checkpoint");
    open_run(&whole, &p);
    advance(&whole, TOTAL);
    for (int stop = 0; stop <= TOTAL; stop++) {
        fit_run run;
        open_run(&run, &p);
        advance(&run, stop);
        toy_ok(fit_checkpoint_save(&run, path, &error), &error);
        fit_run_finish(&run);
        open_run(&run, &p);
        toy_ok(fit_checkpoint_load(&run, path, &error), &error);
        assert_int_equal(run.history_count, stop);
        assert_true(advance(&run, TOTAL + 1));
        assert_same_run(&whole, &run);
        fit_run_finish(&run);
    }
    fit_run_finish(&whole);
    hds_head_unref(p.start);
    hds_free(path);
}

/* The shape and the texture start from it, the offsets are in what is drawn, and all of it is in
 * the head that comes out. */
static void a_start_is_started_from(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, STEPS);
    hds_head *start = p.start = toy_start(t, 0.5f, 0.2f, 0.01f, 200), *head;
    size_t count = 3 * t->model->vertex_count * sizeof(float);
    fit_run run, smooth;
    open_run(&run, &p);
    const fit_variable *shape = &run.subject.variables[FIT_SHAPE];
    const fit_variable *colours = &run.subject.variables[FIT_TEXTURE];
    assert_true(shape->x[0] == 0.5f && shape->start[0] == 0.5f);
    assert_true(run.subject.expression[0] == 0.2f);
    assert_int_equal(run.subject.texture.width, 8);
    assert_int_equal(run.subject.texture.height, 4);
    for (int i = 0; i < 8 * 4 * 3; i++)
        assert_true(colours->x[i] == 200.0f / 255 && colours->start[i] == 200.0f / 255);
    float *expected = malloc(count);
    fit_views views;
    assert_non_null(expected);
    const guide_step first = { p.seed, 0, 0, STEPS };
    toy_ok(fit_views_draw(&run.current, &first, shape->x, &views, &error), &error);
    toy_ok(hds_head_vertices(start, expected, &error), &error);
    assert_memory_equal(views.vertices, expected, count);
    free(expected);
    p.start = toy_start(t, 0.5f, 0.2f, 0, 200);
    open_run(&smooth, &p);
    assert_true(advance(&run, TOTAL) && advance(&smooth, TOTAL));
    assert_memory_not_equal(shape_of(&run), shape_of(&smooth), TOY_SHAPES * sizeof(float));
    toy_ok(fit_run_head(&run, &head, &error), &error);
    assert_memory_equal(head->offsets, start->offsets, count);
    assert_int_equal(head->texture_width, 8);
    assert_true(head->expression[0] == 0.2f && head->shape[0] != 0.5f);
    hds_head_unref(head);
    toy_ok(fit_run_head(&smooth, &head, &error), &error);
    assert_null(head->offsets);
    hds_head_unref(head);
    fit_run_finish(&run);
    fit_run_finish(&smooth);
    hds_head_unref(start);
    hds_head_unref(p.start);
}

static void load_refused(const hds_generate_params *p, const char *path, hds_status status,
                         const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    open_run(&run, p);
    toy_refused(fit_checkpoint_load(&run, path, &error), status, &error, path, word);
    fit_run_finish(&run);
}

static char *saved(const toy *t, const hds_generate_params *p, int steps)
{
    hds_error error = { 0 };
    fit_run run;
    char *path = toy_file(t, "saved.checkpoint");
    open_run(&run, p);
    advance(&run, steps);
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
    open_run(&run, &p);
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

static const json_t *member(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    if (!value)
        fail_msg("the record has no %s", name);
    return value;
}

static void assert_options(const json_t *object, const hds_option *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        member(object, table[i].name);
}

/* What a result says of how it was made: every option by name, and what it was made with. */
static void the_result_has_the_record(void **state)
{
    hds_error error = { 0 };
    hds_generate_params p = toy_params(*state, STEPS);
    hds_head *head;
    hds_head_info info;
    fit_run run;
    size_t count, guidances;
    p.seed = UINT64_MAX;
    open_run(&run, &p);
    toy_ok(fit_run_head(&run, &head, &error), &error);
    hds_head_get_info(head, &info);
    json_t *record = json_loads(info.record, 0, NULL);
    assert_non_null(record);
    const hds_option *stage = hds_stage_options(&count);
    const hds_option *guidance = hds_guidance_options(&guidances);
    for (int i = 0; i < TOY_STAGES; i++) {
        const json_t *s = member(member(record, "stages"), toy_stages[i].name);
        assert_options(s, stage, count);
        assert_options(member(s, "sds"), guidance, guidances);
        assert_true(json_number_value(member(s, "weight_decay")) == 0.2);
    }
    assert_string_equal(json_string_value(member(record, "version")), hds_version());
    assert_string_equal(json_string_value(member(record, "recipe")), "toy");
    assert_string_equal(json_string_value(member(record, "prompt")), p.prompt);
    assert_true(json_is_null(member(record, "negative_prompt")));
    assert_string_equal(json_string_value(member(record, "seed")), "18446744073709551615");
    static const char *const hashes[][2] = { { "head_model", "hash" },
                                             { "prior", "unet" },
                                             { "prior", "vae" },
                                             { "prior", "text_encoder" } };
    for (size_t i = 0; i < sizeof hashes / sizeof *hashes; i++) {
        const char *hex = json_string_value(member(member(record, hashes[i][0]), hashes[i][1]));
        assert_int_equal(strlen(hex), 16);
    }
    json_decref(record);
    hds_head_unref(head);
    fit_run_finish(&run);
}

/* A head that looks straight up is framed as it lies. */
static void framing_is_of_the_base_pose(void **state)
{
    const toy *t = *state;
    hds_generate_params p = toy_params(t, STEPS);
    hds_error error = { 0 };
    fit_run plain, posed;
    p.model = toy_load_posed(t, -1.5f);
    toy_ok(fit_run_init(&posed, &p, &fit_built_in, &error), &error);
    size_t count = p.model->vertex_count;
    float *v = calloc(count, 3 * sizeof *v);
    assert_non_null(v);
    toy_ok(hds_head_model_vertices(p.model, &(hds_coefficients){ 0 }, v, &error), &error);
    view_framing expected = view_framing_of(v, count);
    p.model = t->model;
    toy_ok(fit_run_init(&plain, &p, &fit_built_in, &error), &error);
    assert_memory_equal(&posed.subject.framing, &expected, sizeof expected);
    assert_memory_not_equal(&plain.subject.framing, &expected, sizeof expected);
    hds_head_model_unref(posed.subject.model);
    fit_run_finish(&posed);
    fit_run_finish(&plain);
    free(v);
}

static void settings_refused(hds_generate_params p, const char *place, const char *word)
{
    hds_error error = { 0 };
    fit_run run;
    toy_refused(fit_run_init(&run, &p, &fit_built_in, &error), HDS_ERROR_ARGUMENT, &error, place,
                word);
}

/* In a recipe, whose stages anyone may make. */
static void settings_out_of_range_are_refused(void **state)
{
    const toy *t = *state;
    static const float bad[] = { NAN, -1, INFINITY };
    static const char *const names[] = { "guidance_scale", "learning_rate", "weight_decay",
                                         "gradient_clip",  "timestep_min",  "timestep_max",
                                         "normals",        "azimuth_range", "weight" };
    for (size_t i = 0; i < 3; i++)
        for (int k = 0; k < 9; k++) {
            hds_generate_params p = toy_params(t, STEPS);
            hds_stage_params *s = &toy_stages[k % 2 ? GEOMETRY : TEXTURE];
            hds_guidance *g = &s->guidance[0];
            float *fields[9] = { &g->guidance_scale, &s->learning_rate, &s->weight_decay,
                                 &s->gradient_clip,  &g->timestep_min,  &g->timestep_max,
                                 &s->normals,        &s->azimuth_range, &g->weight };
            *fields[k] = bad[i];
            settings_refused(p, k % 2 ? "geometry." : "texture.", names[k]);
        }
    static const struct {
        int steps, views, resolution;
        const char *name;
    } cases[] = { { -1, 1, 32, "steps" },      { 200000, 1, 32, "steps" },
                  { 0, 1, 32, "steps" },       { 1, 0, 32, "views" },
                  { 1, -1, 32, "views" },      { 1, 65, 32, "views" },
                  { 1, 1, -32, "resolution" }, { 1, 1, 36, "resolution" },
                  { 1, 1, 24, "resolution" },  { 1, 1, 1 << 20, "resolution" } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_generate_params p = toy_params(t, STEPS);
        toy_stages[GEOMETRY].steps = cases[i].steps;
        toy_stages[GEOMETRY].views = cases[i].views;
        toy_stages[GEOMETRY].resolution = cases[i].resolution;
        settings_refused(p, "geometry.", cases[i].name);
    }
    hds_generate_params p = toy_params(t, STEPS);
    toy_stages[GEOMETRY].guidance[0].timestep_min = 0.5f;
    toy_stages[GEOMETRY].guidance[0].timestep_max = 0.4f;
    settings_refused(p, "geometry.timestep_min", "less than timestep_max");
    p = toy_params(t, STEPS);
    toy_stages[TEXTURE].guidance[0].timestep_max = 1.5f;
    settings_refused(p, "texture.timestep_max", "to 1");
}

/* Names that stand for nothing here, and what does not go together. */
static void recipes_that_cannot_be_are_refused(void **state)
{
    const toy *t = *state;
    static const char *const names[] = { "variable", "texture", "optimizer", "precondition" };
    for (int i = 0; i < 4; i++) {
        hds_generate_params p = toy_params(t, STEPS);
        hds_stage_params *s = &toy_stages[GEOMETRY];
        char *fields[4] = { s->variable, s->texture, s->optimizer, s->precondition };
        snprintf(fields[i], HDS_NAME, "what");
        settings_refused(p, names[i], "\"what\"");
    }
    hds_generate_params p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].guidance[0].kind, HDS_NAME, "what");
    settings_refused(p, "geometry.kind", "\"what\"");
    p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].regularisers[0].kind, HDS_NAME, "what");
    settings_refused(p, "geometry.regulariser", "\"what\"");
    p = toy_params(t, STEPS);
    snprintf(toy_stages[GEOMETRY].guidance[0].shown, HDS_NAME, "map");
    settings_refused(p, "geometry.shown is map", "the variable texture");
    p = toy_params(t, STEPS);
    toy_stages[GEOMETRY].skip = true;
    snprintf(toy_stages[TEXTURE].precondition, HDS_NAME, "whitening");
    settings_refused(p, "texture.precondition is whitening", "the variable shape");
    const hds_recipe none = { "none", "", toy_stages, 0 };
    const hds_recipe many = { "many", "", toy_stages, HDS_MAX_STAGES + 1 };
    p.recipe = &none;
    settings_refused(p, "none", "0 stages");
    p.recipe = &many;
    settings_refused(p, "many", "9 stages");
}

/* Of a model with other numbers; one that was loaded again is the same. */
static void starts_of_other_models_are_refused(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    hds_generate_params p = toy_params(t, STEPS);
    hds_head_model_params fewer = { .path = t->head_path, .shape_count = 2 };
    p.start = toy_start(t, 0.5f, 0, 0, 0);
    toy_ok(hds_head_model_load(&p.model, &fewer, &error), &error);
    settings_refused(p, "start is a head of 'toy.npz' (", "3 shapes, 1 expressions), expected");
    hds_head_model_unref(p.model);
    p.model = toy_load_head(t->head_path);
    fit_run run;
    open_run(&run, &p);
    fit_run_finish(&run);
    p.model->shape_basis[4] += 0.001f;
    settings_refused(p, "start is a head of 'toy.npz'", "with the same values");
    hds_head_model_unref(p.model);
    hds_head_unref(p.start);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_stages_change_their_own),
        cmocka_unit_test(the_seed_alone_decides),
        cmocka_unit_test(a_checkpoint_continues_to_the_same_bytes),
        cmocka_unit_test(a_start_is_started_from),
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
        cmocka_unit_test(the_result_has_the_record),
        cmocka_unit_test(framing_is_of_the_base_pose),
        cmocka_unit_test(settings_out_of_range_are_refused),
        cmocka_unit_test(recipes_that_cannot_be_are_refused),
        cmocka_unit_test(starts_of_other_models_are_refused),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

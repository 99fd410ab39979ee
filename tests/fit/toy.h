/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the fit share: a sphere as a head model and a prior of a few channels
 * with random weights, in a folder of their own. Pictures of 32 pixels take milliseconds. */
#ifndef HDS_TEST_TOY_H
#define HDS_TEST_TOY_H

#include "../random_prior.h"
#include "../raster_meshes.h"
#include "../unit/tiny_head.h"

#include "fit/fit.h"

#include <unistd.h>

enum { TOY_RINGS = 7, TOY_SHAPES = 3, TOY_TEXTURE = 16, TOY_SIZE = 32 };

static const char toy_clip[] =
    "{\"hidden_size\": 16, \"intermediate_size\": 32, \"num_attention_heads\": 2,"
    " \"num_hidden_layers\": 1, \"vocab_size\": 1067, \"max_position_embeddings\": 77,"
    " \"hidden_act\": \"quick_gelu\", \"layer_norm_eps\": 1e-5, \"eos_token_id\": 2}";
static const char toy_vae[] =
    "{\"block_out_channels\": [8, 8, 8, 8], \"down_block_types\": [\"DownEncoderBlock2D\","
    " \"DownEncoderBlock2D\", \"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\", \"UpDecoderBlock2D\","
    " \"UpDecoderBlock2D\"], \"in_channels\": 3, \"out_channels\": 3, \"latent_channels\": 4,"
    " \"layers_per_block\": 1, \"norm_num_groups\": 4, \"act_fn\": \"silu\","
    " \"scaling_factor\": 0.5}";
static const char toy_unet[] =
    "{\"block_out_channels\": [16, 16], \"down_block_types\": [\"CrossAttnDownBlock2D\","
    " \"DownBlock2D\"], \"up_block_types\": [\"UpBlock2D\", \"CrossAttnUpBlock2D\"],"
    " \"attention_head_dim\": 2, \"cross_attention_dim\": 16, \"in_channels\": 4,"
    " \"out_channels\": 4, \"layers_per_block\": 1, \"norm_num_groups\": 4, \"sample_size\": 4,"
    " \"norm_eps\": 1e-5, \"act_fn\": \"silu\"}";

typedef struct toy {
    char *folder, *prior_path, *head_path;
    hds_head_model *model;
    hds_prior *prior;
} toy;

static inline void toy_ok(hds_status status, const hds_error *error)
{
    if (status != HDS_OK)
        fail_msg("status %d: %s", (int)status, error->message);
}

/* The status is the expected one, and the message says both words. */
static inline void toy_refused(hds_status status, hds_status expected, hds_error *error,
                               const char *place, const char *word)
{
    if (status != expected || error->status != expected || !strstr(error->message, place) ||
        !strstr(error->message, word))
        fail_msg("status %d: \"%s\", expected %d with \"%s\" and \"%s\"", (int)status,
                 error->message, (int)expected, place, word);
    *error = (hds_error){ 0 };
}

/* A path in the toy's folder; new. */
static inline char *toy_file(const toy *t, const char *name)
{
    char *path = io_join(t->folder, name);
    assert_non_null(path);
    return path;
}

/* Components: wider, taller, and a bulge of the face. */
static inline void toy_basis(const test_mesh *m, float *basis)
{
    for (size_t i = 0; i < m->mesh.vertex_count; i++) {
        const real *v = m->vertices + 3 * i;
        float *b[TOY_SHAPES];
        for (size_t k = 0; k < TOY_SHAPES; k++)
            b[k] = basis + 3 * (k * m->mesh.vertex_count + i);
        b[0][0] = (float)v[0] * 0.1f;
        b[1][1] = (float)v[1] * 0.1f;
        b[2][2] = v[2] > 0 ? 2 * (float)(v[2] * v[2]) : 0;
    }
}

/* `name`.npz in the folder; the path is new. */
static inline char *toy_write_head(const toy *t, const char *name)
{
    test_mesh m = test_sphere(TOY_RINGS, 0, (real)0.1, 0);
    int64_t v = (int64_t)m.mesh.vertex_count, f = (int64_t)m.mesh.face_count;
    int64_t u = (int64_t)m.mesh.uv_count;
    float *basis = calloc((size_t)(TOY_SHAPES * v * 3), sizeof *basis);
    float *expression = calloc((size_t)(v * 3), sizeof *expression);
    uint8_t pixels[TOY_TEXTURE * TOY_TEXTURE * 3];
    assert_true(basis && expression);
    toy_basis(&m, basis);
    expression[4] = 0.01f;
    for (size_t i = 0; i < sizeof pixels; i++)
        pixels[i] = (uint8_t)(64 + 37 * i % 128);
    const io_array arrays[] = {
        tiny_array("name", 'S', (int)strlen(name), 0, NULL, name),
        TINY("vertices", 'f', 4, m.vertices, v, 3),
        TINY("faces", 'u', 4, m.faces, f, 3),
        TINY("uvs", 'f', 4, m.uvs, u, 2),
        TINY("uv_faces", 'u', 4, m.uv_faces, f, 3),
        TINY("shape_basis", 'f', 4, basis, TOY_SHAPES, v, 3),
        TINY("expression_basis", 'f', 4, expression, 1, v, 3),
        TINY("expression_names", 'S', 7, "jawOpen", 1),
        TINY("mean_texture", 'u', 1, pixels, TOY_TEXTURE, TOY_TEXTURE, 3),
    };
    char *path = tiny_write(t->folder, name, arrays, sizeof arrays / sizeof *arrays);
    free(basis);
    free(expression);
    test_mesh_finish(&m);
    return path;
}

static inline char *toy_write_prior(const toy *t, const char *name, uint64_t seed)
{
    hds_error error = { 0 };
    char *path = files_make_folder(t->folder, name);
    random_prior p = {
        path, HEADSDS_SOURCE "/samples/prior", { toy_clip, toy_vae, toy_unet }, seed
    };
    toy_ok(random_prior_write(&p, &error), &error);
    return path;
}

static inline hds_prior *toy_load_prior(const char *path)
{
    hds_error error = { 0 };
    hds_prior *prior;
    toy_ok(hds_prior_load(&prior, &(hds_prior_params){ .path = path }, &error), &error);
    return prior;
}

/* Loads the toy's prior with this headsds.json. */
static inline hds_status toy_load_with_card(const toy *t, const char *card, hds_prior **prior,
                                            hds_error *error)
{
    char *path = io_join(t->prior_path, "headsds.json");
    assert_non_null(path);
    toy_ok(io_write_atomic(path, card, strlen(card), error), error);
    hds_status status = hds_prior_load(prior, &(hds_prior_params){ .path = t->prior_path }, error);
    assert_int_equal(unlink(path), 0);
    hds_free(path);
    return status;
}

static inline hds_head_model *toy_load_head(const char *path)
{
    hds_error error = { 0 };
    hds_head_model *model;
    toy_ok(hds_head_model_load(&model, &(hds_head_model_params){ .path = path }, &error), &error);
    return model;
}

/* The toy's head looking down by this angle. */
static inline hds_head_model *toy_load_posed(const toy *t, float pitch)
{
    hds_error error = { 0 };
    hds_head_model *model;
    const hds_head_model_params params = { .path = t->head_path,
                                           .base_pose = &pitch,
                                           .base_pose_count = 1 };
    toy_ok(hds_head_model_load(&model, &params, &error), &error);
    return model;
}

static inline int toy_create(void **state)
{
    toy *t = calloc(1, sizeof *t);
    assert_non_null(t);
    assert_int_equal(setenv("HEADSDS_CACHE", "", 1), 0); /* what is cached, is in memory */
    t->folder = files_folder();
    t->prior_path = toy_write_prior(t, "prior", 5);
    t->head_path = toy_write_head(t, "toy.npz");
    t->prior = toy_load_prior(t->prior_path);
    t->model = toy_load_head(t->head_path);
    *state = t;
    return 0;
}

static inline int toy_destroy(void **state)
{
    toy *t = *state;
    hds_prior_unref(t->prior);
    hds_head_model_unref(t->model);
    hds_free(t->prior_path);
    hds_free(t->head_path);
    files_remove(t->folder);
    free(t);
    return 0;
}

/* A head to start from: its first coefficients, with a dent of `depth` metres at the front (0: no
 * offsets) and a texture of one grey (0: the model's own); new. */
static inline hds_head *toy_start(const toy *t, float shape, float expression, float depth,
                                  uint8_t grey)
{
    hds_error error = { 0 };
    hds_head *head;
    size_t count = 3 * t->model->vertex_count;
    float *offsets = calloc(count, sizeof *offsets);
    uint8_t pixels[8 * 4 * 3];
    assert_non_null(offsets);
    for (size_t i = 2; i < count; i += 3)
        offsets[i] = t->model->vertices[i] > 0.05f ? -depth : 0;
    memset(pixels, grey, sizeof pixels);
    const hds_head_params p = {
        .model = t->model,
        .coefficients = { .shape = &shape,
                          .shape_count = 1,
                          .expression = &expression,
                          .expression_count = 1 },
        .offsets = depth != 0 ? offsets : NULL,
        .texture = grey ? pixels : NULL,
        .texture_width = 8,
        .texture_height = 4,
    };
    toy_ok(hds_head_create(&head, &p, &error), &error);
    free(offsets);
    return head;
}

/* The default recipe with a few small steps in both stages. toy_params makes it anew; tests change
 * it in place before a run is made of it. */
enum { GEOMETRY, TEXTURE, TOY_STAGES };
static hds_stage_params toy_stages[TOY_STAGES];
static const hds_recipe toy_recipe = { "toy", "small steps", toy_stages, TOY_STAGES };

static inline hds_generate_params toy_params(const toy *t, int steps)
{
    size_t count;
    const hds_recipe *r = hds_recipes(&count);
    assert_int_equal(r->stage_count, TOY_STAGES);
    memcpy(toy_stages, r->stages, sizeof toy_stages);
    for (int i = 0; i < TOY_STAGES; i++) {
        hds_stage_params *s = &toy_stages[i];
        s->steps = steps;
        s->views = 3;
        s->resolution = TOY_SIZE;
        s->guidance[0].guidance_scale = 5;
        s->learning_rate = 0.1f;
        s->weight_decay = 0.2f;
        s->gradient_clip = 2;
    }
    return (hds_generate_params){ .prompt = "a head with a wide nose",
                                  .model = t->model,
                                  .prior = t->prior,
                                  .seed = 3,
                                  .recipe = &toy_recipe };
}

static inline void toy_open(fit_run *run, const hds_generate_params *p)
{
    hds_error error = { 0 };
    toy_ok(fit_run_init(run, p, &fit_built_in, &error), &error);
}

/* Takes up to `count` steps, preparation not counted; true when the run is done. */
static inline bool toy_advance(fit_run *run, int count)
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

#endif

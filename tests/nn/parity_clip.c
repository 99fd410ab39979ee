/* SPDX-License-Identifier: Apache-2.0 */
/* Cases of a CLIP: both towers, projections, cosines and their gradient by internal calls; then
 * the public calls, from 8-bit pictures and texts. */
#include "headsds/clip.h"
#include "headsds/prior.h"
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include <setjmp.h>

#include <cmocka.h>

typedef struct towers {
    tn_context *cx;
    clip_pair_config config;
    weights *weights;
} towers;

static void open_towers(const parity *c, towers *t)
{
    hds_error error = { 0 };
    char *config = parity_model(c, 0, "config.json"),
         *file = parity_model(c, 0, "model.safetensors");
    parity_status(tn_context_create(&t->cx, 0, &error), &error);
    parity_status(clip_pair_config_load(&t->config, config, &error), &error);
    t->weights = weights_load(t->cx, file, WEIGHTS_FROZEN);
    parity_ok(t->cx);
    at root = at_root(t->cx, t->weights);
    clip_pair_survey(&t->config, &root);
    parity_ok(t->cx);
    hds_free(config);
    hds_free(file);
}

/* -> (M,D), of length 1 */
static tn *texts(parity *c, const towers *t, const at *root)
{
    tn_context *cx = t->cx;
    int64_t count, *ids = parity_ids(c, "ids", &count);
    tn *states = clip_text_encode(&t->config.text, root, ids, count, HDS_TOKENS, 0);
    tn *pooled = clip_text_pool(&t->config.text, root, states, ids);
    tn *embeds = clip_pair_project_text(&t->config, root, pooled);
    free(ids);
    parity_check(c, "text_last_hidden_state", cx, states);
    parity_check(c, "text_pooled", cx, pooled);
    parity_check(c, "text_embeds", cx, embeds);
    embeds = tn_unit(cx, embeds);
    parity_check(c, "text_embeds_normalized", cx, embeds);
    return embeds;
}

/* -> (N,D), of length 1 */
static tn *pictures(parity *c, const towers *t, const at *root, const tn *pixels)
{
    tn_context *cx = t->cx;
    tn *states = clip_vision_encode(&t->config.vision, root, pixels);
    tn *pooled = clip_vision_pool(&t->config.vision, root, states);
    tn *embeds = clip_pair_project_vision(&t->config, root, pooled);
    parity_check(c, "vision_last_hidden_state", cx, states);
    parity_check(c, "vision_pooled", cx, pooled);
    parity_check(c, "image_embeds", cx, embeds);
    embeds = tn_unit(cx, embeds);
    parity_check(c, "image_embeds_normalized", cx, embeds);
    return embeds;
}

static void check_networks(parity *c)
{
    towers t;
    open_towers(c, &t);
    tn_context *cx = t.cx;
    at root = at_root(cx, t.weights);
    tn_set_grad(cx, true);
    tn *pixels = tn_leaf(cx, parity_input(c, cx, "pixel_values"));
    tn *text = texts(c, &t, &root);
    tn *similarity = tn_linear(cx, pictures(c, &t, &root, pixels), text, NULL);
    parity_check(c, "similarity", cx, similarity);
    parity_check(c, "logits_per_image", cx, tn_mul(cx, similarity, clip_pair_logit_scale(&root)));
    tn *upstream = parity_input(c, cx, "upstream_grad_similarity");
    parity_check(c, "grad_pixel_values", cx, tn_vjp(cx, similarity, pixels, upstream));
    parity_ok(cx);
    weights_destroy(&t.weights);
    tn_context_destroy(&cx);
}

static double tolerance_of(const parity *c, const char *name)
{
    const json_t *outputs = json_object_get(c->entry, "outputs");
    return json_number_value(json_object_get(json_object_get(outputs, name), "atol"));
}

/* Fails where `found` is further than `allowed` from the numbers from `first` on of a tensor. */
static void check_near(const parity *c, const char *name, size_t first, const float *found,
                       size_t count, double allowed)
{
    const float *expected = parity_numbers(c, name) + first;
    double worst = 0;
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)found[i] - expected[i]);
        worst = d <= worst ? worst : d; /* NaN stays */
    }
    if (!(worst <= allowed))
        fail_msg("%s: %s from %zu on: differs by %g, allowed %g", c->id, name, first, worst,
                 allowed);
}

/* What is recorded of a picture, and the picture itself in [0,1]. */
typedef struct picture {
    size_t height, width, index;
    float *numbers; /* new */
} picture;

static picture open_picture(const parity *c, size_t index)
{
    char name[32];
    snprintf(name, sizeof name, "image_u8.%zu", index);
    const io_tensor *t = parity_find(c, name);
    assert_int_equal(t->dtype, IO_U8);
    picture p = { .height = (size_t)t->shape[0], .width = (size_t)t->shape[1], .index = index };
    p.numbers = malloc(t->size * sizeof *p.numbers);
    assert_non_null(p.numbers);
    for (size_t i = 0; i < t->size; i++)
        p.numbers[i] = (float)((const uint8_t *)t->data)[i] / 255;
    return p;
}

/* Resizing in floats differs from that in 8 bits by 2 levels: 0.03 after normalisation. */
static void check_pixels(const parity *c, const picture *p, const clip_pixels_config *config)
{
    hds_error error = { 0 };
    tn_context *cx;
    size_t numbers = 3 * (size_t)config->size * (size_t)config->size;
    float *square = malloc(numbers * sizeof *square);
    parity_status(tn_context_create(&cx, 1, &error), &error);
    assert_true(square && clip_pixels_crop(config, p->numbers, p->height, p->width, square));
    tn *x = tn_from_f32(cx, square, TN_SHAPE(1, config->size, config->size, 3));
    tn_to_f32(cx, clip_pixels_normalise(config, cx, x), square, numbers);
    parity_ok(cx);
    bool as_it_is = (int)p->height == config->size && (int)p->width == config->size;
    check_near(c, "pixel_values", p->index * numbers, square, numbers, as_it_is ? 1e-6 : 0.03);
    free(square);
    tn_context_destroy(&cx);
}

/* Of a picture that is not resized: the recorded gradient divided by the colours' deviations. */
static void check_gradient(const parity *c, hds_clip *clip, const picture *p,
                           const clip_pixels_config *config, const char *const *words)
{
    hds_error error = { 0 };
    const io_tensor *t = parity_find(c, "upstream_grad_similarity");
    size_t count = (size_t)t->shape[1], area = p->height * p->width;
    const float *upstream = parity_numbers(c, "upstream_grad_similarity") + p->index * count;
    float *d = calloc(3 * area, sizeof *d), *planes = malloc(3 * area * sizeof *planes);
    assert_true(d && planes);
    parity_status(hds_clip_similarity_gradient(clip, p->numbers, 1, p->height, p->width, words,
                                               count, upstream, d, &error),
                  &error);
    for (size_t i = 0; i < 3 * area; i++)
        planes[i % 3 * area + i / 3] = d[i] * (float)config->deviation[i % 3];
    check_near(c, "grad_pixel_values", p->index * 3 * area, planes, 3 * area,
               tolerance_of(c, "grad_pixel_values"));
    free(d);
    free(planes);
}

static void check_public_picture(const parity *c, hds_clip *clip, size_t index,
                                 const clip_pixels_config *config, const char *const *words)
{
    hds_error error = { 0 };
    hds_clip_info info;
    hds_clip_get_info(clip, &info);
    size_t d = (size_t)info.embedding_width;
    float embedding[64], similarity[4];
    assert_in_range(d, 1, 64);
    picture p = open_picture(c, index);
    check_pixels(c, &p, config);
    bool as_it_is = (int)p.height == config->size && (int)p.width == config->size;
    parity_status(hds_clip_embed_images(clip, p.numbers, 1, p.height, p.width, embedding, &error),
                  &error);
    check_near(c, "image_embeds_normalized", index * d, embedding, d,
               as_it_is ? tolerance_of(c, "image_embeds_normalized") : 0.002);
    parity_status(
        hds_clip_similarity(clip, p.numbers, 1, p.height, p.width, words, 4, similarity, &error),
        &error);
    check_near(c, "similarity", index * 4, similarity, 4,
               as_it_is ? tolerance_of(c, "similarity") : 0.001);
    if (as_it_is)
        check_gradient(c, clip, &p, config, words);
    free(p.numbers);
}

static void check_public(const parity *c)
{
    hds_error error = { 0 };
    hds_clip *clip;
    clip_pixels_config config;
    char *folder = parity_model(c, 0, ""), *file = parity_model(c, 0, "preprocessor_config.json");
    parity_status(
        hds_clip_load(&clip, &(hds_clip_params){ .path = folder, .device = "cpu" }, &error),
        &error);
    parity_status(clip_pixels_config_load(&config, file, &error), &error);

    const json_t *list = json_object_get(json_object_get(c->entry, "params"), "texts");
    const char *words[4];
    float embeddings[4 * 64];
    assert_int_equal(json_array_size(list), 4);
    for (size_t i = 0; i < 4; i++)
        words[i] = json_string_value(json_array_get(list, i));
    hds_clip_info info;
    hds_clip_get_info(clip, &info);
    assert_in_range(info.embedding_width, 1, 64);
    parity_status(hds_clip_embed_texts(clip, words, 4, embeddings, &error), &error);
    check_near(c, "text_embeds_normalized", 0, embeddings, 4 * (size_t)info.embedding_width,
               1.5e-6);
    for (size_t i = 0; i < 3; i++)
        check_public_picture(c, clip, i, &config, words);
    hds_clip_destroy(&clip);
    hds_free(folder);
    hds_free(file);
}

void parity_clip(parity *c)
{
    check_networks(c);
    check_public(c);
}

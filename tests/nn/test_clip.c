/* SPDX-License-Identifier: Apache-2.0 */
/* A CLIP's public calls: bad folders and bad input give their error with the place and the next
 * call works; the gradient is that of finite differences, through the resizing, for any batch. Runs
 * on the small reference model of the recorded numbers. */
#include "headsds/clip.h"
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { HEIGHT = 40, WIDTH = 56, COUNT = 11, IMAGE = HEIGHT * WIDTH * 3, ROOM = 64 };

static char *model; /* folder of the small model */
static const char *const words[] = { "a photo of a cat", "zombie" };

static int load(void **state)
{
    hds_error error = { 0 };
    hds_clip *clip;
    if (hds_clip_load(&clip, &(hds_clip_params){ .path = model }, &error) != HDS_OK) {
        print_error("%s\n", error.message);
        return 1;
    }
    *state = clip;
    return 0;
}

static int unload(void **state)
{
    hds_clip *clip = *state;
    hds_clip_destroy(&clip);
    assert_null(clip);
    hds_clip_destroy(&clip);
    return 0;
}

static float *picture(uint64_t stream, size_t count)
{
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    rng r = rng_make(9, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (float)rng_range(&r, 0.3, 0.7); /* nothing overshoots into the clamp */
    return out;
}

static void folders_that_are_none_are_refused(void **state)
{
    hds_error error = { 0 };
    hds_clip *clip;
    parity_refused(hds_clip_load(&clip, &(hds_clip_params){ .path = "/nowhere/clip" }, &error),
                   HDS_ERROR_NOT_FOUND, &error,
                   "/nowhere/clip: no such folder, expected a folder as openai/clip-vit");
    assert_null(clip);
    parity_refused(hds_clip_load(&clip, NULL, &error), HDS_ERROR_ARGUMENT, &error, "path is NULL");
    parity_refused(hds_clip_load(&clip, &(hds_clip_params){ .path = "/dev/zero" }, &error),
                   HDS_ERROR_NOT_FOUND, &error, "not a folder");
    parity_refused(hds_clip_load(&clip, &(hds_clip_params){ .path = "/" }, &error),
                   HDS_ERROR_NOT_FOUND, &error, "config.json");
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0 && fclose(f) == 0);
}

/* A folder of links to the model in which one file has `text` (NULL: is not there). */
static void load_with(const char *name, const char *text, hds_status expected, const char *word)
{
    static const char *const files[] = { "config.json",          "preprocessor_config.json",
                                         "model.safetensors",    "vocab.json",
                                         "merges.txt",           "special_tokens_map.json",
                                         "tokenizer_config.json" };
    char folder[] = "/tmp/headsds-clip-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = io_join(model, files[i]), *to = io_join(folder, files[i]);
        if (strcmp(files[i], name))
            assert_int_equal(symlink(from, to), 0);
        else if (text)
            write_text(to, text);
        hds_free(from);
        hds_free(to);
    }
    hds_error error = { 0 };
    hds_clip *clip;
    hds_status status = hds_clip_load(&clip, &(hds_clip_params){ .path = folder }, &error);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *to = io_join(folder, files[i]);
        unlink(to);
        hds_free(to);
    }
    rmdir(folder);
    assert_null(clip);
    parity_refused(status, expected, &error, word);
}

/* The model's config.json with some keys exchanged. */
static void load_configured(const char *changes, hds_status expected, const char *word)
{
    hds_error error = { 0 };
    json_t *config = NULL, *change = json_loads(changes, 0, NULL);
    char *path = io_join(model, "config.json");
    parity_status(io_json_load(&config, path, &error), &error);
    assert_int_equal(json_object_update_recursive(config, change), 0);
    char *text = json_dumps(config, 0);
    load_with("config.json", text, expected, word);
    free(text);
    hds_free(path);
    json_decref(change);
    json_decref(config);
}

static void configurations_that_do_not_fit_are_refused(void **state)
{
    load_configured("{\"vision_config\": null}", HDS_ERROR_FORMAT,
                    "config.json: \"vision_config\" is null, expected an object: take the folder");
    load_configured("{\"projection_dim\": 20}", HDS_ERROR_FORMAT,
                    "text_projection.weight: shape (24, 32), expected (20, 32)");
    load_configured("{\"vision_config\": {\"num_hidden_layers\": 4}}", HDS_ERROR_FORMAT,
                    "missing: vision_model.encoder.layers.3");
    load_configured("{\"vision_config\": {\"num_hidden_layers\": 2}}", HDS_ERROR_FORMAT,
                    "left over: vision_model.encoder.layers.2");
    load_configured("{\"vision_config\": {\"hidden_act\": \"relu\"}}", HDS_ERROR_FORMAT,
                    "vision_config: \"hidden_act\" is \"relu\", expected \"quick_gelu\"");
    load_configured("{\"vision_config\": {\"patch_size\": 64}}", HDS_ERROR_FORMAT,
                    "\"patch_size\" is 64, expected at most \"image_size\"");
    load_configured("{\"vision_config\": {\"image_size\": 40}}", HDS_ERROR_FORMAT,
                    "\"crop_size\" is 32, expected 40");
    load_configured("{\"text_config\": {\"vocab_size\": 1000}}", HDS_ERROR_FORMAT,
                    "the tokenizer has 1514 tokens, and the text encoder 1000 embeddings");
    /* what old files repeat under this name is what counts in them */
    load_configured("{\"vision_config_dict\": {\"hidden_size\": 96, \"image_size\": 32}}",
                    HDS_ERROR_FORMAT,
                    "vision_model.embeddings.class_embedding: shape (48), expected (96)");
}

static void absent_weights_are_refused(void **state)
{
    load_with("model.safetensors", NULL, HDS_ERROR_NOT_FOUND,
              "no weights: looked for model.safetensors");
    load_with("model.safetensors", "{}", HDS_ERROR_FORMAT,
              "model.safetensors: 2 bytes are too few");
}

static void preprocessing_that_is_not_this_is_refused(void **state)
{
    static const char file[] = "preprocessor_config.json";
    load_with(file, NULL, HDS_ERROR_NOT_FOUND, file);
    load_with(file, "{\"size\": 32, \"crop_size\": 32, \"resample\": 2}", HDS_ERROR_FORMAT,
              "\"resample\" is 2, expected 3");
    load_with(file, "{\"size\": 16, \"crop_size\": 32}", HDS_ERROR_FORMAT,
              "\"size\" is 16, expected at least \"crop_size\"");
    load_with(file, "{\"size\": 32, \"crop_size\": {\"height\": 32, \"width\": 31}}",
              HDS_ERROR_FORMAT, "expected a square");
    load_with(file, "{\"size\": {\"height\": 32, \"width\": 32}, \"crop_size\": 32}",
              HDS_ERROR_FORMAT, "\"size\" is {\"height\":32,\"width\":32}, expected 1 to 4096");
    load_with(file, "{\"size\": 32, \"crop_size\": 32, \"image_std\": [1, 0, 1]}", HDS_ERROR_FORMAT,
              "\"image_std\" is [1,0,1], expected 3 numbers above 0");
    load_with(file, "{}", HDS_ERROR_FORMAT, "\"crop_size\" is 224, expected 32");
}

static void bad_arguments_are_refused_and_do_not_stick(void **state)
{
    hds_clip *c = *state;
    hds_error error = { 0 };
    float *image = picture(0, IMAGE), *d = calloc(IMAGE, sizeof *d), out[2 * ROOM];
    assert_non_null(d);
    parity_refused(hds_clip_embed_texts(c, words, 0, out, &error), HDS_ERROR_ARGUMENT, &error,
                   "texts: 0 of them, expected 1 to");
    parity_refused(hds_clip_similarity(c, image, 1, HEIGHT, WIDTH, words, 0, out, &error),
                   HDS_ERROR_ARGUMENT, &error, "texts: 0");
    parity_refused(hds_clip_embed_texts(c, (const char *[]){ "a", "\xff" }, 2, out, &error),
                   HDS_ERROR_ARGUMENT, &error, "UTF-8");
    parity_refused(hds_clip_embed_images(c, image, 0, HEIGHT, WIDTH, out, &error),
                   HDS_ERROR_ARGUMENT, &error, "images: 0 of them");
    parity_refused(hds_clip_embed_images(c, image, 1, 0, WIDTH, out, &error), HDS_ERROR_ARGUMENT,
                   &error, "0 x 56 pixels");
    const float bad[] = { NAN, INFINITY, -0.1f, 255 };
    for (int i = 0; i < 4; i++) {
        float was = image[(3 * WIDTH + 5) * 3 + 2];
        image[(3 * WIDTH + 5) * 3 + 2] = bad[i];
        parity_refused(hds_clip_embed_images(c, image, 1, HEIGHT, WIDTH, out, &error),
                       HDS_ERROR_ARGUMENT, &error, "images: picture 0, row 3, column 5: ");
        image[(3 * WIDTH + 5) * 3 + 2] = was;
    }
    const float upstream[] = { 1, NAN };
    parity_refused(
        hds_clip_similarity_gradient(c, image, 1, HEIGHT, WIDTH, words, 2, upstream, d, &error),
        HDS_ERROR_ARGUMENT, &error, "upstream: of picture 0 and text 1");
    parity_status(hds_clip_similarity(c, image, 1, HEIGHT, WIDTH, words, 2, out, &error), &error);
    free(image);
    free(d);
}

/* Cubic convolution overshoots at an edge; 8 bits, which the network was trained on, do not. */
static void edges_stay_between_black_and_white(void **state)
{
    enum { SIDE = 8, LONG = 24 };
    static const clip_pixels_config config = { .resized = SIDE,
                                               .size = SIDE,
                                               .deviation = { 1, 1, 1 } };
    float image[LONG * LONG * 3], square[SIDE * SIDE * 3];
    hds_error error = { 0 };
    tn_context *cx;
    bool below = false, above = false;
    for (int i = 0; i < LONG * LONG * 3; i++)
        image[i] = i / 3 % LONG >= LONG / 2;
    assert_true(clip_pixels_crop(&config, image, LONG, LONG, square));
    for (int i = 0; i < SIDE * SIDE * 3; i++) {
        below = below || square[i] < -0.01f;
        above = above || square[i] > 1.01f;
    }
    assert_true(below && above);
    parity_status(tn_context_create(&cx, 1, &error), &error);
    tn *x = tn_from_f32(cx, square, TN_SHAPE(1, SIDE, SIDE, 3));
    tn_to_f32(cx, clip_pixels_normalise(&config, cx, x), square, SIDE * SIDE * 3);
    parity_ok(cx);
    for (int i = 0; i < SIDE * SIDE * 3; i++)
        assert_true(square[i] >= 0 && square[i] <= 1);
    tn_context_destroy(&cx);
}

/* A batch is what its pictures are one by one, also where it is more than goes through at once. */
static void a_batch_is_its_pictures(void **state)
{
    hds_clip *c = *state;
    hds_error error = { 0 };
    hds_clip_info info;
    hds_clip_get_info(c, &info);
    size_t width = (size_t)info.embedding_width;
    float *images = picture(1, COUNT * IMAGE), all[COUNT * ROOM], one[ROOM];
    assert_in_range(width, 1, ROOM);
    parity_status(hds_clip_embed_images(c, images, COUNT, HEIGHT, WIDTH, all, &error), &error);
    for (size_t i = 0; i < COUNT; i++) {
        double length = 0;
        const float *image = images + i * IMAGE;
        parity_status(hds_clip_embed_images(c, image, 1, HEIGHT, WIDTH, one, &error), &error);
        for (size_t k = 0; k < width; k++) {
            assert_float_equal(all[i * width + k], one[k], 1e-6);
            length += (double)one[k] * one[k];
        }
        assert_float_equal(length, 1, 1e-5);
    }
    free(images);
}

/* sum of upstream * similarity */
static double objective(hds_clip *c, const float *images, const float *upstream)
{
    hds_error error = { 0 };
    float similarity[COUNT * 2];
    double sum = 0;
    parity_status(
        hds_clip_similarity(c, images, COUNT, HEIGHT, WIDTH, words, 2, similarity, &error), &error);
    for (size_t i = 0; i < COUNT * 2; i++)
        sum += (double)upstream[i] * similarity[i];
    return sum;
}

static void the_gradient_is_that_of_differences_and_is_added(void **state)
{
    hds_clip *c = *state;
    hds_error error = { 0 };
    const float h = 0.001f;
    float *images = picture(2, COUNT * IMAGE), *v = picture(3, COUNT * IMAGE);
    float *d = malloc(COUNT * IMAGE * sizeof *d), upstream[COUNT * 2];
    double slope = 0, ends[2];
    assert_non_null(d);
    for (size_t i = 0; i < COUNT * 2; i++)
        upstream[i] = (float)(i % 5) - 1.5f;
    for (size_t i = 0; i < (size_t)COUNT * IMAGE; i++)
        d[i] = 1;
    parity_status(hds_clip_similarity_gradient(c, images, COUNT, HEIGHT, WIDTH, words, 2, upstream,
                                               d, &error),
                  &error);
    for (size_t i = 0; i < (size_t)COUNT * IMAGE; i++) {
        v[i] = (float)((d[i] > 1) - (d[i] < 1)); /* the direction in which it rises most */
        slope += ((double)d[i] - 1) * v[i];
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < (size_t)COUNT * IMAGE; i++)
            images[i] += (side ? -2 * h : h) * v[i];
        ends[side] = objective(c, images, upstream);
    }
    double differences = (ends[0] - ends[1]) / (2 * (double)h);
    if (!(fabs(differences - slope) <= 0.01 * fabs(slope)))
        fail_msg("slope %g, by differences %g", slope, differences);
    free(images);
    free(v);
    free(d);
}

int main(void)
{
    char *folder = parity_folder();
    if (!folder)
        return 77;
    model = io_join(folder, "tiny-clip");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_that_are_none_are_refused),
        cmocka_unit_test(configurations_that_do_not_fit_are_refused),
        cmocka_unit_test(absent_weights_are_refused),
        cmocka_unit_test(preprocessing_that_is_not_this_is_refused),
        cmocka_unit_test(bad_arguments_are_refused_and_do_not_stick),
        cmocka_unit_test(edges_stay_between_black_and_white),
        cmocka_unit_test(a_batch_is_its_pictures),
        cmocka_unit_test(the_gradient_is_that_of_differences_and_is_added),
    };
    int failed = cmocka_run_group_tests_name("clip", tests, load, unload);
    hds_free(model);
    hds_free(folder);
    return failed;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A prior's public calls on bad input: each gives its error with the place, and the next call
 * works. Runs on the small reference model of the recorded numbers. */
#include "parity.h"
#include "prior/prior.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <setjmp.h>

#include <cmocka.h>

enum { SIDE = 8, LATENT = 4 * SIDE * SIDE, IMAGE = 3 * 64 * SIDE * SIDE, WIDTH = 32 };

static char *model; /* folder of the small model */

static int load(void **state)
{
    hds_error error = { 0 };
    hds_prior *prior;
    if (hds_prior_load(&prior, &(hds_prior_params){ .path = model }, &error) != HDS_OK) {
        print_error("%s\n", error.message);
        return 1;
    }
    *state = prior;
    return 0;
}

static int unload(void **state)
{
    hds_prior_unref(*state);
    return 0;
}

static void folders_that_are_none_are_refused(void **state)
{
    hds_error error = { 0 };
    hds_prior *prior;
    hds_prior_params params = { .path = "/nowhere/model" };
    parity_refused(hds_prior_load(&prior, &params, &error), HDS_ERROR_NOT_FOUND, &error,
                   "/nowhere/model");
    assert_null(prior);
    params.path = "/dev/zero";
    parity_refused(hds_prior_load(&prior, &params, &error), HDS_ERROR_ARGUMENT, &error,
                   "one file, which holds neither tokenizer nor configuration");
    params.config = "/dev/null";
    parity_refused(hds_prior_load(&prior, &params, &error), HDS_ERROR_NOT_FOUND, &error,
                   "not a folder");
    params.config = NULL;
    params.path = "/";
    parity_refused(hds_prior_load(&prior, &params, &error), HDS_ERROR_NOT_FOUND, &error,
                   "tokenizer");
}

/* A folder of links to the model with one part exchanged by another model's. */
static void load_mixed(const char *part, const char *other, const char *word)
{
    static const char *const parts[] = { "tokenizer", "text_encoder", "vae", "unet", "scheduler" };
    char folder[] = "/tmp/headsds-prior-XXXXXX";
    assert_non_null(mkdtemp(folder));
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *from = hds_format("%s%s/%s", model, strcmp(parts[i], part) ? "" : other, parts[i]);
        char *to = hds_format("%s/%s", folder, parts[i]);
        assert_int_equal(symlink(from, to), 0);
        hds_free(from);
        hds_free(to);
    }
    hds_error error = { 0 };
    hds_prior *prior;
    hds_status status = hds_prior_load(&prior, &(hds_prior_params){ .path = folder }, &error);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        char *to = hds_format("%s/%s", folder, parts[i]);
        unlink(to);
        hds_free(to);
    }
    rmdir(folder);
    parity_refused(status, *other == '/' ? HDS_ERROR_NOT_FOUND : HDS_ERROR_FORMAT, &error, word);
}

static void parts_of_different_models_are_refused(void **state)
{
    load_mixed("unet", "-fp16", "cross_attention_dim");
    load_mixed("tokenizer", "/../../tokenizer-none", "tokenizer");
    load_mixed("vae", "/none", "vae/config.json");
}

static void bad_arguments_are_refused_and_do_not_stick(void **state)
{
    hds_prior *p = *state;
    hds_error error = { 0 };
    static float image[IMAGE], latents[LATENT], noise[LATENT], text[HDS_TOKENS * WIDTH];
    int64_t ids[HDS_TOKENS] = { 1, 2, 1 << 20 };
    float t = 500;

    parity_refused(hds_prior_encode_tokens(p, ids, 1, text, &error), HDS_ERROR_ARGUMENT, &error,
                   "1048576");
    parity_refused(hds_prior_encode_tokens(p, ids, 0, text, &error), HDS_ERROR_ARGUMENT, &error,
                   "count");
    parity_refused(hds_prior_encode_image(p, image, 1, 60, 64, latents, &error), HDS_ERROR_ARGUMENT,
                   &error, "64x60");
    parity_refused(hds_prior_decode_latents(p, latents, 1, 0, 8, image, &error), HDS_ERROR_ARGUMENT,
                   &error, "8x0");
    for (int i = 0; i < 3; i++) {
        t = (float[]){ -1, 1000, NAN }[i];
        parity_refused(hds_prior_predict_noise(
                           p, &(hds_predict_params){ 1, SIDE, SIDE, latents, &t, text, NULL, 0, 0 },
                           noise, &error),
                       HDS_ERROR_ARGUMENT, &error, "timestep");
    }
    t = 500;
    latents[7] = NAN;
    parity_refused(
        hds_prior_predict_noise(
            p, &(hds_predict_params){ 1, SIDE, SIDE, latents, &t, text, NULL, 0, 0 }, noise, &error),
        HDS_ERROR_ARGUMENT, &error, "latents: number 7 is nan, expected a finite one");
    parity_refused(hds_prior_decode_latents(p, latents, 1, SIDE, SIDE, image, &error),
                   HDS_ERROR_ARGUMENT, &error, "latents: number 7 is nan");
    latents[7] = 0;
    image[5] = INFINITY;
    parity_refused(hds_prior_encode_image(p, image, 1, 64, 64, latents, &error), HDS_ERROR_ARGUMENT,
                   &error, "images: number 5 is inf");
    image[5] = 0;
    text[3] = NAN;
    parity_refused(
        hds_prior_predict_noise(
            p, &(hds_predict_params){ 1, SIDE, SIDE, latents, &t, text, NULL, 0, 0 }, noise, &error),
        HDS_ERROR_ARGUMENT, &error, "text: number 3 is nan");
    text[3] = 0;
    parity_status(
        hds_prior_predict_noise(
            p, &(hds_predict_params){ 1, SIDE, SIDE, latents, &t, text, NULL, 0, 0 }, noise, &error),
        &error);
}

static void pictures_go_there_and_back(void **state)
{
    hds_prior *p = *state;
    hds_error error = { 0 };
    static float image[2 * IMAGE], latents[2 * LATENT], again[LATENT], out[2 * IMAGE];
    rng r = rng_make(4, 0);
    for (int i = 0; i < 2 * IMAGE; i++)
        image[i] = (float)rng_uniform(&r);
    parity_status(hds_prior_encode_image(p, image, 2, 64, 64, latents, &error), &error);
    parity_status(hds_prior_encode_image(p, image + IMAGE, 1, 64, 64, again, &error), &error);
    for (int i = 0; i < LATENT; i++)
        assert_float_equal(latents[LATENT + i], again[i], 1e-5);
    parity_status(hds_prior_decode_latents(p, latents, 2, SIDE, SIDE, out, &error), &error);
    for (int i = 0; i < 2 * IMAGE; i++)
        assert_true(out[i] >= 0 && out[i] <= 1);
}

static void the_gradient_is_added_and_given_once(void **state)
{
    hds_prior *p = *state;
    hds_error error = { 0 };
    static float image[IMAGE], latents[LATENT], plain[LATENT], d[LATENT], once[IMAGE], more[IMAGE];
    rng r = rng_make(4, 1);
    rng_normal_fill(&r, d, LATENT);
    for (int i = 0; i < IMAGE; i++) {
        image[i] = (float)rng_uniform(&r);
        more[i] = 1;
    }
    parity_status(hds_prior_encode_image(p, image, 1, 64, 64, plain, &error), &error);
    for (int round = 0; round < 2; round++) {
        prior_encoding *e;
        parity_status(prior_encode(p, image, 1, 64, 64, latents, &e, &error), &error);
        assert_memory_equal(latents, plain, sizeof plain);
        parity_status(prior_encode_adjoint(e, d, round ? more : once, &error), &error);
        assert_int_not_equal(prior_encode_adjoint(e, d, once, NULL), HDS_OK);
        prior_encoding_destroy(&e);
        assert_null(e);
    }
    for (int i = 0; i < IMAGE; i++)
        assert_true(more[i] == 1 + once[i]);
}

static void *predict(void *argument)
{
    hds_prior *p = argument;
    float latents[LATENT], t = 300;
    float *text = calloc(HDS_TOKENS * WIDTH, sizeof *text), *noise = calloc(LATENT, sizeof *noise);
    for (int i = 0; i < LATENT; i++)
        latents[i] = sinf((float)i);
    hds_status status = HDS_ERROR_MEMORY;
    for (int i = 0; text && noise && i < 5; i++)
        status = hds_prior_predict_noise(
            p, &(hds_predict_params){ 1, SIDE, SIDE, latents, &t, text, NULL, 0, 0 }, noise, NULL);
    free(text);
    if (status != HDS_OK) {
        free(noise);
        noise = NULL;
    }
    return noise;
}

static void threads_take_turns(void **state)
{
    hds_prior *p = hds_prior_ref(*state);
    pthread_t other;
    void *theirs;
    assert_int_equal(pthread_create(&other, NULL, predict, p), 0);
    float *ours = predict(p);
    pthread_join(other, &theirs);
    hds_prior_unref(p);
    assert_non_null(ours);
    assert_non_null(theirs);
    assert_memory_equal(ours, theirs, LATENT * sizeof *ours);
    free(ours);
    free(theirs);
}

/* The same files: the same prior. Another ControlNet, or a file written anew: another. */
static void a_loaded_prior_is_shared(void **state)
{
    hds_error error = { 0 };
    hds_prior *again, *other, *third;
    char *depth = hds_format("%s/../tiny-controlnet-depth", model);
    char *round = hds_format("%s/../tiny-sd15", model);
    hds_prior_params params = { .path = round };
    parity_status(hds_prior_load(&again, &params, &error), &error);
    assert_ptr_equal(again, *state);
    params.depth = depth;
    parity_status(hds_prior_load(&other, &params, &error), &error);
    parity_status(hds_prior_load(&third, &params, &error), &error);
    assert_ptr_not_equal(other, again);
    assert_ptr_equal(other, third);
    hds_prior_unref(again);
    hds_prior_unref(other);
    hds_prior_unref(third);
    hds_free(depth);
    hds_free(round);
}

static void a_changed_folder_is_loaded_anew(void **state)
{
    char folder[] = "/tmp/headsds-shared-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *command = hds_format("cp -r %s/. %s", model, folder);
    char *touch = hds_format("touch -d 2001-01-01 %s/unet/config.json", folder);
    char *clean = hds_format("rm -r %s", folder);
    hds_error error = { 0 };
    hds_prior *before, *after;
    hds_prior_params params = { .path = folder };
    assert_int_equal(system(command), 0);
    parity_status(hds_prior_load(&before, &params, &error), &error);
    assert_int_equal(system(touch), 0);
    parity_status(hds_prior_load(&after, &params, &error), &error);
    assert_ptr_not_equal(before, after);
    hds_prior_unref(before);
    hds_prior_unref(after);
    assert_int_equal(system(clean), 0);
    hds_free(command);
    hds_free(touch);
    hds_free(clean);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_that_are_none_are_refused),
        cmocka_unit_test(parts_of_different_models_are_refused),
        cmocka_unit_test(bad_arguments_are_refused_and_do_not_stick),
        cmocka_unit_test(pictures_go_there_and_back),
        cmocka_unit_test(the_gradient_is_added_and_given_once),
        cmocka_unit_test(threads_take_turns),
        cmocka_unit_test(a_loaded_prior_is_shared),
        cmocka_unit_test(a_changed_folder_is_loaded_anew),
    };
    char *folder = parity_folder();
    if (!folder)
        return 77;
    model = io_join(folder, "tiny-sd15");
    int failed = cmocka_run_group_tests(tests, load, unload);
    hds_free(model);
    hds_free(folder);
    return failed;
}

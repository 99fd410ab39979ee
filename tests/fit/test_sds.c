/* SPDX-License-Identifier: Apache-2.0 */
/* The gradient of score distillation against its equation, put together from the prior's public
 * calls; the encoder's part by finite differences. */
#include "toy.h"

#include "guide/guide.h"
#include "headsds/prior.h"

#include <fcntl.h>

enum { VIEWS = 2, PIXELS = 3 * TOY_SIZE * TOY_SIZE, LATENT = 4 * (TOY_SIZE / 8) * (TOY_SIZE / 8) };

typedef struct scene {
    hds_prior *prior;
    hds_prior_info info;
    guide_text text;
    float images[VIEWS * PIXELS], dimages[VIEWS * PIXELS];
    guide_side sides[VIEWS];
    float timesteps[VIEWS];
    guide_batch batch;
} scene;

/* Pictures with detail everywhere: the encoder's norms bend least there. */
static void paint(float *images)
{
    rng r = rng_make(1, 0);
    for (int i = 0; i < VIEWS * PIXELS; i++)
        images[i] = (float)rng_range(&r, 0.1, 0.9);
}

static scene *open_scene(hds_prior *prior)
{
    scene *s = calloc(1, sizeof *s);
    hds_error error = { 0 };
    assert_non_null(s);
    s->prior = prior;
    hds_prior_get_info(prior, &s->info);
    toy_ok(guide_text_init(&s->text, prior, "a wide nose", "a narrow nose", &error), &error);
    paint(s->images);
    s->sides[0] = GUIDE_FRONT;
    s->sides[1] = GUIDE_BACK;
    s->timesteps[0] = 320;
    s->timesteps[1] = 871;
    s->batch = (guide_batch){ .count = VIEWS,
                              .height = TOY_SIZE,
                              .width = TOY_SIZE,
                              .images = s->images,
                              .sides = s->sides,
                              .timesteps = s->timesteps,
                              .seed = 11,
                              .stream = 400,
                              .guidance_scale = 7.5f };
    return s;
}

static void close_scene(scene *s)
{
    guide_text_finish(&s->text);
    free(s);
}

static void distil(scene *s)
{
    hds_error error = { 0 };
    toy_ok(guide_sds_views(s->prior, &s->text, &s->batch, s->dimages, NULL, &error), &error);
}

/* (1 - abar_t) (eps_hat - eps) of one view, by the public calls. */
static void latent_gradient(const scene *s, int view, float *gradient)
{
    hds_error error = { 0 };
    float latents[LATENT], noise[LATENT], noisy[LATENT], null[LATENT], text[LATENT];
    toy_ok(hds_prior_encode_image(s->prior, s->images + view * PIXELS, 1, TOY_SIZE, TOY_SIZE,
                                  latents, &error),
           &error);
    rng r = rng_make(s->batch.seed, s->batch.stream + (uint64_t)view);
    rng_normal_fill(&r, noise, LATENT);
    double abar = s->info.alphas_cumprod[(int)s->timesteps[view]];
    for (int i = 0; i < LATENT; i++)
        noisy[i] = (float)(sqrt(abar) * latents[i] + sqrt(1 - abar) * noise[i]);
    size_t side = TOY_SIZE / 8;
    toy_ok(hds_prior_predict_noise(s->prior,
                                   &(hds_predict_params){ 1, side, side, noisy, &s->timesteps[view],
                                                          s->text.negatives, NULL, 0, 0 },
                                   null, &error),
           &error);
    toy_ok(hds_prior_predict_noise(
               s->prior,
               &(hds_predict_params){ 1, side, side, noisy, &s->timesteps[view],
                                      s->text.sides + s->sides[view] * s->text.states, NULL, 0, 0 },
               text, &error),
           &error);
    for (int i = 0; i < LATENT; i++) {
        double guided = null[i] + (double)s->batch.guidance_scale * (text[i] - null[i]);
        gradient[i] = (float)((1 - abar) * (guided - noise[i]));
    }
}

/* <encode(image + h v) - encode(image - h v), g> / 2h */
static double encoded_difference(const scene *s, int view, const float *v, const float *g)
{
    const float h = 0.002f;
    hds_error error = { 0 };
    static float moved[2 * PIXELS];
    float latents[2 * LATENT];
    for (int i = 0; i < PIXELS; i++) {
        moved[i] = s->images[view * PIXELS + i] + h * v[i];
        moved[PIXELS + i] = s->images[view * PIXELS + i] - h * v[i];
    }
    toy_ok(hds_prior_encode_image(s->prior, moved, 2, TOY_SIZE, TOY_SIZE, latents, &error), &error);
    double sum = 0;
    for (int i = 0; i < LATENT; i++)
        sum += ((double)latents[i] - latents[LATENT + i]) * g[i];
    return sum / (2 * h);
}

static void the_gradient_is_its_equation(void **state)
{
    scene *s = open_scene(((toy *)*state)->prior);
    hds_error error = { 0 };
    double residual, square = 0;
    toy_ok(guide_sds_views(s->prior, &s->text, &s->batch, s->dimages, &residual, &error), &error);
    for (int view = 0; view < VIEWS; view++) {
        float g[LATENT], v[PIXELS];
        latent_gradient(s, view, g);
        for (int i = 0; i < LATENT; i++)
            square += (double)g[i] * g[i] / (VIEWS * LATENT);
        double norm = 0;
        for (int i = 0; i < PIXELS; i++)
            norm += (double)s->dimages[view * PIXELS + i] * s->dimages[view * PIXELS + i];
        norm = sqrt(norm);
        for (uint64_t k = 0; k < 4; k++) {
            rng r = rng_make(77, k);
            double expected, found = 0;
            /* The gradient's own direction first, then random ones. */
            if (k)
                rng_normal_fill(&r, v, PIXELS);
            else
                for (int i = 0; i < PIXELS; i++)
                    v[i] = (float)(s->dimages[view * PIXELS + i] / norm);
            expected = encoded_difference(s, view, v, g);
            for (int i = 0; i < PIXELS; i++)
                found += (double)s->dimages[view * PIXELS + i] * v[i];
            if (!(fabs(found - expected) <= (k ? 0.005 : 0.0005) * norm))
                fail_msg("view %d, direction %d: %g, expected %g (norm %g)", view, (int)k, found,
                         expected, norm);
        }
    }
    assert_float_equal(residual, sqrt(square), 1e-4 * residual);
    close_scene(s);
}

/* One picture, two draws: their mean residual, along which the decoder moves the picture. */
static void the_decoded_gradient_is_its_equation(void **state)
{
    scene *s = open_scene(((toy *)*state)->prior);
    hds_error error = { 0 };
    static float found[PIXELS], ends[2 * PIXELS];
    float each[LATENT], mean[LATENT] = { 0 }, z[LATENT], moved[2 * LATENT];
    const size_t side = TOY_SIZE / 8;
    memcpy(s->images + PIXELS, s->images, PIXELS * sizeof *s->images);
    toy_ok(guide_sds_map(s->prior, &s->text, &s->batch, found, NULL, &error), &error);
    double square = 0, norm = 0, difference = 0;
    for (int view = 0; view < VIEWS; view++) {
        latent_gradient(s, view, each);
        for (int i = 0; i < LATENT; i++)
            mean[i] += each[i] / VIEWS;
    }
    for (int i = 0; i < LATENT; i++)
        square += (double)mean[i] * mean[i] / LATENT;
    const float h = 0.1f / (float)sqrt(square);
    toy_ok(hds_prior_encode_image(s->prior, s->images, 1, TOY_SIZE, TOY_SIZE, z, &error), &error);
    for (int i = 0; i < LATENT; i++) {
        moved[i] = z[i] + h * mean[i];
        moved[LATENT + i] = z[i] - h * mean[i];
    }
    toy_ok(hds_prior_decode_latents(s->prior, moved, 2, side, side, ends, &error), &error);
    for (int i = 0; i < PIXELS; i++) {
        double expected = (ends[i] - ends[PIXELS + i]) / (2 * h);
        norm += expected * expected;
        difference += pow(found[i] - expected, 2);
    }
    assert_true(norm > 0);
    if (!(difference <= 1e-6 * norm))
        fail_msg("differs by %g of %g", sqrt(difference), sqrt(norm));
    close_scene(s);
}

/* The states of a prompt and of its null are those of these eight texts. */
static void check_texts(hds_prior *prior, const char *negative,
                        const char *const texts[2 * GUIDE_SIDES])
{
    hds_error error = { 0 };
    guide_text text;
    toy_ok(guide_text_init(&text, prior, "a nose", negative, &error), &error);
    int64_t ids[2 * GUIDE_SIDES * HDS_TOKENS];
    float *states = calloc(2 * GUIDE_SIDES * text.states, sizeof *states);
    assert_non_null(states);
    toy_ok(hds_prior_tokenize(prior, texts, 2 * GUIDE_SIDES, ids, &error), &error);
    toy_ok(hds_prior_encode_tokens(prior, ids, 2 * GUIDE_SIDES, states, &error), &error);
    assert_memory_equal(text.sides, states, GUIDE_SIDES * text.states * sizeof *states);
    assert_memory_equal(text.negatives, states + GUIDE_SIDES * text.states,
                        GUIDE_SIDES * text.states * sizeof *states);
    assert_memory_not_equal(states, states + text.states, text.states * sizeof *states);
    free(states);
    guide_text_finish(&text);
}

static void the_side_picks_the_text(void **state)
{
    const toy *t = *state;
    check_texts(t->prior, NULL,
                (const char *const[]){ "a nose, front view", "a nose, side view",
                                       "a nose, back view", "a nose", "", "", "", "" });
    check_texts(t->prior, "an ear",
                (const char *const[]){ "a nose, front view", "a nose, side view",
                                       "a nose, back view", "a nose", "an ear", "an ear", "an ear",
                                       "an ear" });
    hds_error error = { 0 };
    hds_prior *prior;
    toy_ok(toy_load_with_card(t,
                              "{\"texture_map_head\": \"a\", \"texture_map_prefix\": \"a map of \","
                              " \"neutral_prompt\": \"a head\"}",
                              &prior, &error),
           &error);
    check_texts(prior, NULL,
                (const char *const[]){ "a nose, front view", "a nose, side view",
                                       "a nose, back view", "a map of a nose", "a head, front view",
                                       "a head, side view", "a head, back view",
                                       "a map of a head" });
    hds_prior_unref(prior);
}

static void sides_are_parts_of_the_circle(void **state)
{
    static const struct {
        float azimuth;
        guide_side side;
    } cases[] = { { 0, GUIDE_FRONT },   { 45, GUIDE_FRONT },  { -45, GUIDE_FRONT },
                  { 46, GUIDE_SIDE },   { -90, GUIDE_SIDE },  { 135, GUIDE_SIDE },
                  { 136, GUIDE_BACK },  { 180, GUIDE_BACK },  { -180, GUIDE_BACK },
                  { 350, GUIDE_FRONT }, { -300, GUIDE_SIDE }, { 540, GUIDE_BACK } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(guide_side_of(cases[i].azimuth), cases[i].side);
}

static void noise_is_a_function_of_seed_and_stream(void **state)
{
    scene *s = open_scene(((toy *)*state)->prior);
    static float first[VIEWS * PIXELS];
    distil(s);
    memcpy(first, s->dimages, sizeof first);
    distil(s);
    assert_memory_equal(first, s->dimages, sizeof first);
    s->batch.seed = 12;
    distil(s);
    assert_memory_not_equal(first, s->dimages, PIXELS * sizeof *first);
    s->batch.seed = 11;
    s->batch.stream = 402;
    distil(s);
    assert_memory_not_equal(first, s->dimages, PIXELS * sizeof *first);

    /* View 1 alone, with its own stream. */
    s->batch.stream = 401;
    s->batch.count = 1;
    s->batch.images = s->images + PIXELS;
    s->batch.sides = s->sides + 1;
    s->batch.timesteps = s->timesteps + 1;
    distil(s);
    double norm = 0, difference = 0;
    for (int i = 0; i < PIXELS; i++) {
        norm += (double)first[PIXELS + i] * first[PIXELS + i];
        difference += pow((double)first[PIXELS + i] - s->dimages[i], 2);
    }
    assert_true(difference <= 1e-8 * norm);
    close_scene(s);
}

/* Overwrites a weight in the file with NaN. */
static void damage(const char *path, const char *name)
{
    hds_error error = { 0 };
    io_safetensors file;
    toy_ok(io_safetensors_open(&file, path, &error), &error);
    const io_tensor *x = io_safetensors_find(&file, name);
    assert_non_null(x);
    off_t place = (const unsigned char *)x->data - file.map.bytes;
    io_safetensors_close(&file);
    int fd = open(path, O_WRONLY);
    assert_int_equal(pwrite(fd, &(float){ NAN }, sizeof(float), place), sizeof(float));
    close(fd);
}

static void predictions_that_are_not_finite_are_errors(void **state)
{
    const toy *t = *state;
    hds_error error = { 0 };
    char *path = toy_write_prior(t, "damaged", 6);
    char *file = hds_format("%s/unet/diffusion_pytorch_model.safetensors", path);
    damage(file, "conv_out.bias");
    hds_prior *prior = toy_load_prior(path);
    scene *s = open_scene(prior);
    toy_refused(guide_sds_views(prior, &s->text, &s->batch, s->dimages, NULL, &error),
                HDS_ERROR_FORMAT, &error, path, "predictions are not finite");
    close_scene(s);
    hds_prior_unref(prior);
    hds_free(file);
    hds_free(path);

    s = open_scene(t->prior);
    s->batch.guidance_scale = 3e38f;
    toy_refused(guide_sds_views(t->prior, &s->text, &s->batch, s->dimages, NULL, &error),
                HDS_ERROR_INTERNAL, &error, "overflows", "guidance scale");
    close_scene(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_gradient_is_its_equation),
        cmocka_unit_test(the_decoded_gradient_is_its_equation),
        cmocka_unit_test(the_side_picks_the_text),
        cmocka_unit_test(sides_are_parts_of_the_circle),
        cmocka_unit_test(noise_is_a_function_of_seed_and_stream),
        cmocka_unit_test(predictions_that_are_not_finite_are_errors),
    };
    return cmocka_run_group_tests(tests, toy_create, toy_destroy);
}

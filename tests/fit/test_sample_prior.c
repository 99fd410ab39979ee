/* SPDX-License-Identifier: Apache-2.0 */
/* The sample prior as it lies in samples/: it loads as any diffusers folder does, is small, its
 * parts agree, and its text encoder, VAE and UNet have learnt something. */
#include "headsds/headsds.h"
#include "headsds/prior.h"
#include "io/io.h"
#include "paint.h"

#include <ftw.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SIDE = 128, PIXELS = SIDE * SIDE * 3, LATENTS = 4 * 16 * 16, VIEWS = 6 };

typedef struct scene {
    hds_prior *prior;
    hds_prior_info info;
    float images[VIEWS * PIXELS], latents[VIEWS * LATENTS];
} scene;

static void ok(hds_status status, const hds_error *error)
{
    if (status != HDS_OK)
        fail_msg("%s", error->message);
}

/* Three views of the mean head, grey and as normals. */
static int setup(void **state)
{
    scene *s = calloc(1, sizeof *s);
    hds_error error = { 0 };
    hds_head_model *model = NULL;
    hds_head *head = NULL;
    if (!s)
        return -1;
    ok(hds_prior_load(&s->prior, NULL, &error), &error);
    hds_prior_get_info(s->prior, &s->info);
    ok(hds_head_model_load(&model, NULL, &error), &error);
    ok(hds_head_create(&head, &(hds_head_params){ .model = model }, &error), &error);
    for (int i = 0; i < VIEWS; i++) {
        static uint8_t bytes[PIXELS];
        hds_camera camera = { .azimuth = (float)(i % 3 - 1) * 60 };
        hds_render_params p = { .cameras = &camera,
                                .camera_count = 1,
                                .size = SIDE,
                                .mode = i < 3 ? HDS_RENDER_GREY : HDS_RENDER_NORMALS };
        ok(hds_head_render(head, &p, bytes, &error), &error);
        for (int k = 0; k < PIXELS; k++)
            s->images[i * PIXELS + k] = (float)bytes[k] / 255;
    }
    ok(hds_prior_encode_image(s->prior, s->images, VIEWS, SIDE, SIDE, s->latents, &error), &error);
    hds_head_unref(head);
    hds_head_model_unref(model);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    scene *s = *state;
    hds_prior_unref(s->prior);
    free(s);
    return 0;
}

static size_t folder_size;
static int add_size(const char *path, const struct stat *file, int kind, struct FTW *place)
{
    folder_size += kind == FTW_F ? (size_t)file->st_size : 0;
    return 0;
}

static void the_folder_is_small(void **state)
{
    const scene *s = *state;
    folder_size = 0;
    assert_int_equal(nftw(s->info.path, add_size, 8, FTW_PHYS), 0);
    print_message("%.1f MiB\n", (double)folder_size / (1 << 20));
    assert_in_range(folder_size, 1 << 20, 24 << 20);
}

static void the_parts_are_those_of_stable_diffusion(void **state)
{
    static const char *const files[] = { "model_index.json",
                                         "tokenizer/vocab.json",
                                         "tokenizer/merges.txt",
                                         "text_encoder/config.json",
                                         "text_encoder/model.safetensors",
                                         "vae/config.json",
                                         "vae/diffusion_pytorch_model.safetensors",
                                         "unet/config.json",
                                         "unet/diffusion_pytorch_model.safetensors",
                                         "scheduler/scheduler_config.json" };
    const scene *s = *state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = hds_format("%s/%s", s->info.path, files[i]);
        if (!io_exists(path))
            fail_msg("%s is missing", path);
        hds_free(path);
    }
    assert_int_equal(s->info.sample_size, SIDE / 8);
    assert_int_equal(s->info.latent_channels, 4);
    assert_int_equal(s->info.timestep_count, 1000);
    assert_string_equal(s->info.texture_map_head, "headsds sample head");
}

static double mean_square(const float *a, const float *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (a[i] - b[i]) * (a[i] - b[i]) / (double)count;
    return sum;
}

static void pictures_survive_the_latents(void **state)
{
    scene *s = *state;
    hds_error error = { 0 };
    float *back = calloc(VIEWS * PIXELS, sizeof *back);
    assert_non_null(back);
    ok(hds_prior_decode_latents(s->prior, s->latents, VIEWS, 16, 16, back, &error), &error);
    double rms = sqrt(mean_square(back, s->images, VIEWS * PIXELS));
    double power = 0;
    for (int i = 0; i < VIEWS * LATENTS; i++)
        power += s->latents[i] * s->latents[i] / (VIEWS * LATENTS);
    print_message("rms error %.4f of [0,1], latents %.2f\n", rms, sqrt(power));
    assert_true(rms < 0.06);
    assert_true(power > 0.5 && power < 2);
    free(back);
}

static double noise_error(scene *s, int timestep, const char *text)
{
    hds_error error = { 0 };
    const char *texts[VIEWS];
    int64_t ids[VIEWS * HDS_TOKENS];
    float *states = calloc((size_t)VIEWS * HDS_TOKENS * (size_t)s->info.text_width, sizeof *states);
    static float noise[VIEWS * LATENTS], noisy[VIEWS * LATENTS], predicted[VIEWS * LATENTS];
    float times[VIEWS], abar = s->info.alphas_cumprod[timestep];
    rng r = rng_make(5, (uint64_t)timestep);
    rng_normal_fill(&r, noise, VIEWS * LATENTS);
    for (int i = 0; i < VIEWS; i++) {
        texts[i] = text;
        times[i] = (float)timestep;
    }
    for (int i = 0; i < VIEWS * LATENTS; i++)
        noisy[i] = sqrtf(abar) * s->latents[i] + sqrtf(1 - abar) * noise[i];
    assert_non_null(states);
    ok(hds_prior_tokenize(s->prior, texts, VIEWS, ids, &error), &error);
    ok(hds_prior_encode_tokens(s->prior, ids, VIEWS, states, &error), &error);
    ok(hds_prior_predict_noise(
           s->prior, &(hds_predict_params){ VIEWS, 16, 16, noisy, times, states, NULL, 0, 0 },
           predicted, &error),
       &error);
    free(states);
    return mean_square(predicted, noise, VIEWS * LATENTS);
}

static void noise_is_recognised(void **state)
{
    static const double most[][2] = { { 100, 0.5 }, { 300, 0.25 }, { 600, 0.1 }, { 900, 0.05 } };
    for (size_t i = 0; i < sizeof most / sizeof *most; i++) {
        double error = noise_error(*state, (int)most[i][0], "");
        print_message("timestep %g: mean square error %.4f\n", most[i][0], error);
        assert_true(error < most[i][1]);
    }
}

static hds_head *make(const scene *s, const char *prompt, bool texture)
{
    hds_error error = { 0 };
    const hds_setting settings[] = { { "geometry.steps", "40" },
                                     { "texture.steps", "60" },
                                     { texture ? "geometry.skip" : "texture.skip", "true" } };
    hds_generate_params p = { .prompt = prompt,
                              .prior = s->prior,
                              .seed = 1,
                              .settings = settings,
                              .setting_count = sizeof settings / sizeof *settings };
    hds_job *job = NULL;
    hds_head *head = NULL;
    ok(hds_job_create(&job, &p, &error), &error);
    ok(hds_job_start(job, &error), &error);
    ok(hds_job_wait(job, -1, &head, &error), &error);
    hds_job_destroy(&job);
    return head;
}

/* As the measure in head.npz reads it from the coefficients; without the offset. */
static double attribute(const hds_head *head, const char *name)
{
    hds_error error = { 0 };
    hds_head_info info;
    hds_head_get_info(head, &info);
    char *path = NULL;
    io_npz file;
    ok(io_data_path(&path, "head/head.npz", &error), &error);
    ok(io_npz_open(&file, path, 0, &error), &error);
    const io_array *names = io_npz_find(&file, "attribute_names");
    const io_array *measure = io_npz_find(&file, "attribute_measure");
    assert_true(names && measure && measure->itemsize == 4);
    double sum = NAN;
    for (int64_t a = 0; a < names->shape[0]; a++) {
        if (strncmp((const char *)names->data + (size_t)a * names->itemsize, name, names->itemsize))
            continue;
        sum = 0;
        for (int64_t k = 0; k < measure->shape[1]; k++)
            sum += ((const float *)measure->data)[a * measure->shape[1] + k] * info.shape[k];
    }
    io_npz_close(&file);
    hds_free(path);
    return sum;
}

static void shapes_follow_the_prompt(void **state)
{
    hds_head *thick = make(*state, "a head with a thick neck", false);
    hds_head *thin = make(*state, "a head with a thin neck", false);
    double high = attribute(thick, "neck_width"), low = attribute(thin, "neck_width");
    print_message("neck_width %+.2f and %+.2f standard deviations\n", high, low);
    assert_true(high > 0.5 && low < -0.5);
    hds_head_unref(thick);
    hds_head_unref(thin);
}

/* As the painter reads it from the texture. */
static double painted(const hds_head *head, int attribute)
{
    hds_head_info info;
    hds_head_get_info(head, &info);
    painter *p = painter_create((int)info.texture_width);
    float attributes[PAINT_ATTRIBUTES];
    assert_non_null(p);
    assert_true(painter_measure(p, info.texture, attributes));
    painter_destroy(p);
    return attributes[attribute];
}

static void check_texture(const scene *s, const char *high_prompt, const char *low_prompt,
                          int attribute)
{
    hds_head *high = make(s, high_prompt, true), *low = make(s, low_prompt, true);
    double up = painted(high, attribute), down = painted(low, attribute);
    print_message("%s %+.2f, %s %+.2f standard deviations\n", high_prompt, up, low_prompt, down);
    assert_true(up > 0 && down < 0 && up - down > 1);
    hds_head_unref(high);
    hds_head_unref(low);
}

static void textures_follow_the_prompt(void **state)
{
    check_texture(*state, "a head with red lips", "a head with pale lips", PAINT_LIP_COLOUR);
    check_texture(*state, "a head with dark skin", "a head with pale skin", PAINT_SKIN_TONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_folder_is_small),
        cmocka_unit_test(the_parts_are_those_of_stable_diffusion),
        cmocka_unit_test(pictures_survive_the_latents),
        cmocka_unit_test(noise_is_recognised),
        cmocka_unit_test(shapes_follow_the_prompt),
        cmocka_unit_test(textures_follow_the_prompt),
    };
    return cmocka_run_group_tests_name("sample_prior", tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A full-size step of score distillation as a user's process has it: a folder of Stable Diffusion
 * 1.5's sizes (random weights, float32, 5 GiB on disk for the time of the run) is loaded, and the
 * gradient of one picture of 512 px made STEPS times, the text encoded once. Printed: the time to
 * load beside that to read the same files once more, peak memory over the weights in use, and how
 * far resident memory moves from step to step. */
#include "bench.h"

#include "../random_prior.h"

#include "guide/guide.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

enum { SIDE = 512, STEPS = 20, FLAT_FROM = 2 };

static const char text_config[] =
    "{\"hidden_size\":768,\"intermediate_size\":3072,\"num_hidden_layers\":12,"
    "\"num_attention_heads\":12,\"max_position_embeddings\":77,\"vocab_size\":49408,"
    "\"hidden_act\":\"quick_gelu\",\"layer_norm_eps\":1e-5,\"eos_token_id\":2}";
static const char vae_text[] =
    "{\"in_channels\":3,\"out_channels\":3,\"latent_channels\":4,\"layers_per_block\":2,"
    "\"norm_num_groups\":32,\"block_out_channels\":[128,256,512,512],\"act_fn\":\"silu\","
    "\"down_block_types\":[\"DownEncoderBlock2D\",\"DownEncoderBlock2D\",\"DownEncoderBlock2D\","
    "\"DownEncoderBlock2D\"],\"up_block_types\":[\"UpDecoderBlock2D\",\"UpDecoderBlock2D\","
    "\"UpDecoderBlock2D\",\"UpDecoderBlock2D\"],\"scaling_factor\":0.18215}";
static const char unet_text[] =
    "{\"in_channels\":4,\"out_channels\":4,\"sample_size\":64,\"layers_per_block\":2,"
    "\"norm_num_groups\":32,\"norm_eps\":1e-5,\"block_out_channels\":[320,640,1280,1280],"
    "\"cross_attention_dim\":768,\"attention_head_dim\":8,\"act_fn\":\"silu\","
    "\"down_block_types\":[\"CrossAttnDownBlock2D\",\"CrossAttnDownBlock2D\","
    "\"CrossAttnDownBlock2D\",\"DownBlock2D\"],\"up_block_types\":[\"UpBlock2D\","
    "\"CrossAttnUpBlock2D\",\"CrossAttnUpBlock2D\",\"CrossAttnUpBlock2D\"],"
    "\"flip_sin_to_cos\":true,\"freq_shift\":0}";

static const char *const files[] = { "text_encoder/model.safetensors",
                                     "vae/diffusion_pytorch_model.safetensors",
                                     "unet/diffusion_pytorch_model.safetensors" };

/* In a process of its own, so that this one's peak memory is that of the steps. */
static int write_prior(const char *folder)
{
    pid_t child = fork();
    if (child == 0) {
        hds_error error = { 0 };
        char *sample;
        hds_status status = io_data_path(&sample, "prior", &error);
        random_prior made = { folder, sample, { text_config, vae_text, unet_text }, 1 };
        if (status == HDS_OK)
            status = random_prior_write(&made, &error);
        if (status != HDS_OK)
            fprintf(stderr, "bench_step: %s\n", error.message);
        _exit(status != HDS_OK);
    }
    int result = 1;
    return child < 0 || waitpid(child, &result, 0) < 0 || result;
}

/* Seconds to read all bytes of the files; sizes (3) in bytes. */
static double read_files(const char *folder, double *sizes)
{
    static char buffer[1 << 20];
    double start = bench_now();
    for (int i = 0; i < 3; i++) {
        char *path = io_join(folder, files[i]);
        int file = open(path, O_RDONLY);
        ssize_t got;
        sizes[i] = 0;
        while (file >= 0 && (got = read(file, buffer, sizeof buffer)) > 0)
            sizes[i] += (double)got;
        if (file >= 0)
            close(file);
        hds_free(path);
    }
    return bench_now() - start;
}

static double resident_mib(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*d %ld", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static hds_status measure(const char *folder, hds_error *error)
{
    static float image[3 * SIDE * SIDE], gradient[3 * SIDE * SIDE];
    double sizes[3], read = read_files(folder, sizes), start, resident[STEPS];
    read = read_files(folder, sizes); /* the first filled the cache */
    hds_prior *prior = NULL;
    guide_text text = { 0 };
    start = bench_now();
    hds_status status = hds_prior_load(
        &prior, &(hds_prior_params){ .path = folder, .device = "cpu", .dtype = "float32" }, error);
    double load = bench_now() - start;
    if (status == HDS_OK)
        status = guide_text_init(&text, prior, "a head", "", error);
    rng r = rng_make(1, 0);
    for (int i = 0; i < 3 * SIDE * SIDE; i++)
        image[i] = (float)rng_uniform(&r);
    guide_side side = GUIDE_FRONT;
    float timestep = 500;
    double first = 0, best = 1e9;
    for (int i = 0; i < STEPS && status == HDS_OK; i++) {
        guide_batch batch = { 1, SIDE, SIDE, image, &side, &timestep, 1, (uint64_t)i, 30 };
        start = bench_now();
        status = guide_sds_views(prior, &text, &batch, gradient, NULL, error);
        double took = bench_now() - start;
        first = i ? first : took;
        best = took < best ? took : best;
        resident[i] = resident_mib();
    }
    if (status == HDS_OK) {
        double low = 1e18, high = 0, gib = 1 << 30, all = sizes[0] + sizes[1] + sizes[2];
        for (int i = FLAT_FROM; i < STEPS; i++) {
            low = resident[i] < low ? resident[i] : low;
            high = resident[i] > high ? resident[i] : high;
        }
        double peak = bench_peak_mib() / 1024;
        printf("a step of score distillation, Stable Diffusion 1.5's sizes, %d px, float32, %d "
               "threads\n",
               SIDE, threads_count());
        printf("  loading %.2f GiB from a warm cache: %.2f s, %.2f of the time to read them\n",
               all / gib, load, load / read);
        printf("  a step %.1f s (the first %.1f s)\n", best, first);
        printf("  weights in use %.2f GiB; peak memory %.2f GiB: 1.25 times the weights and %.2f "
               "GiB\n",
               all / gib, peak, peak - 1.25 * all / gib);
        printf("  resident memory after steps %d to %d: %.0f to %.0f MiB, flat within %.2f%%\n",
               FLAT_FROM + 1, STEPS, low, high, 100 * (high - low) / low);
    }
    guide_text_finish(&text);
    hds_prior_unref(prior);
    return status;
}

int main(void)
{
    char folder[] = "/tmp/headsds-bench-XXXXXX";
    hds_error error = { 0 };
    hds_status status = hds_raise(&error, HDS_ERROR_OS, "no folder of 5 GiB in /tmp");
    if (mkdtemp(folder) && write_prior(folder) == 0) {
        error = (hds_error){ 0 };
        status = measure(folder, &error);
    }
    char *remove = hds_format("rm -rf '%s'", folder);
    if (system(remove) || status != HDS_OK)
        fprintf(stderr, "bench_step: %s\n", error.message);
    hds_free(remove);
    return status != HDS_OK;
}

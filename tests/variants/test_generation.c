/* SPDX-License-Identifier: Apache-2.0 */
/* The default recipe on the built-in head and prior, a few steps of each stage, whitening and all:
 * equal bytes on 1 and 3 threads. The level of instructions is that of HEADSDS_SIMD, which the
 * backend reads as well. */
#include "variants.h"

#include "fit/fit.h"
#include "headsds/threads.h"

static void need(hds_status status, const hds_error *error)
{
    if (status == HDS_OK)
        return;
    printf("%s\n", error->message);
    exit(1);
}

static hds_head *generate(int threads)
{
    static const hds_setting settings[] = { { "geometry.steps", "4" }, { "texture.steps", "3" } };
    const hds_generate_params p = { .prompt = "an old man with a wide nose",
                                    .seed = 3,
                                    .settings = settings,
                                    .setting_count = sizeof settings / sizeof *settings };
    hds_error error = { 0 };
    hds_head *head;
    hds_job *job;
    hds_set_thread_count(threads);
    cache_forget();
    need(hds_job_create(&job, &p, &error), &error);
    need(hds_job_start(job, &error), &error);
    need(hds_job_wait(job, -1, &head, &error), &error);
    hds_job_destroy(&job);
    return head;
}

static void compare(const char *what, const void *a, const void *b, size_t size)
{
    if (memcmp(a, b, size) == 0)
        return;
    printf("%s: other bytes on three threads than on one\n", what);
    variants_failures++;
}

int main(int count, char **arguments)
{
    int status = variants_begin(count, arguments);
    if (status)
        return status;
    simd_used = variants_level;
    setenv("HEADSDS_CACHE", "", 1);
    setenv("HEADSDS_SIMD", simd_name(variants_level), 1);
    /* as many threads as are asked for, whatever else the machine does */
    setenv("OMP_WAIT_POLICY", "passive", 1);
    hds_head *one = generate(1);
    hds_head *three = generate(3);
    compare("shape", one->shape, three->shape, one->model->shape_count * sizeof *one->shape);
    compare("texture", one->texture, three->texture, one->texture_width * one->texture_height * 3);
    compare("history", one->history, three->history, one->history_count * sizeof *one->history);
    printf("%s: %zu steps, %zu by %zu texels, %d failures\n", simd_name(variants_level),
           one->history_count, one->texture_width, one->texture_height, variants_failures);
    hds_head_unref(three);
    hds_head_unref(one);
    return variants_failures != 0;
}

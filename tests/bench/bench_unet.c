/* SPDX-License-Identifier: Apache-2.0 */
/* The UNet at Stable Diffusion 1.5's sizes with random weights, a batch of two at 64x64 latents,
 * float32: its speed as a share of the matrix-product peak measured in the same run, and its peak
 * memory. */
#include "bench.h"

#include "diffusion/diffusion.h"
#include "headsds/prior.h"

static const unet_config sd15 = {
    .in_channels = 4,
    .out_channels = 4,
    .levels = 4,
    .channels = { 320, 640, 1280, 1280 },
    .down_attention = { true, true, true, false },
    .up_attention = { false, true, true, true },
    .heads = { 8, 8, 8, 8 },
    .layers = 2,
    .groups = 32,
    .text_width = 768,
    .sample_size = 64,
    .eps = 1e-5,
};

enum { BATCH = 2, SIDE = 64, PRODUCT = 2048, RUNS = 5 };

static double run(tn_context *cx, const at *root, const tn *latents, const tn *text)
{
    size_t scope = tn_enter(cx);
    double start = bench_now();
    unet_forward(&sd15, root, latents, (float[]){ 500 }, 1, text);
    double took = bench_now() - start;
    tn_leave(cx, scope, NULL);
    return took;
}

int main(void)
{
    hds_error error = { 0 };
    tn_context *cx;
    if (tn_context_create(&cx, 0, &error) != HDS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    double before = bench_product_rate(cx, PRODUCT);
    weights *w = weights_create(cx, 1);
    at root = at_root(cx, w);
    unet_survey(&sd15, &root);
    double loaded = bench_peak_mib() / 1024;

    rng r = rng_make(1, 0);
    static float x[BATCH * 4 * SIDE * SIDE], states[BATCH * HDS_TOKENS * 768];
    rng_normal_fill(&r, x, sizeof x / sizeof *x);
    rng_normal_fill(&r, states, sizeof states / sizeof *states);
    const tn *latents = tn_from_f32(cx, x, TN_SHAPE(BATCH, 4, SIDE, SIDE));
    const tn *text = tn_from_f32(cx, states, TN_SHAPE(BATCH, HDS_TOKENS, 768));
    bench_counter c = { .cx = cx, .w = w };
    weights_set_probe(w, bench_count_module, &c);
    double first = run(cx, &root, latents, text), best = first;
    weights_set_probe(w, NULL, NULL);
    for (int i = 1; i < RUNS; i++) {
        double took = run(cx, &root, latents, text);
        best = took < best ? took : best;
    }
    double after = bench_product_rate(cx, PRODUCT), peak = before > after ? before : after;
    if (tn_check(cx, &error) != HDS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;

    double size = 0;
    for (size_t i = 0; i < weights_count(w); i++)
        size += 4.0 * (double)tn_count(cx, weights_tensor(w, i));
    printf("UNet of Stable Diffusion 1.5, batch %d, %dx%d latents, float32, %d threads\n", BATCH,
           SIDE, SIDE, threads_count());
    printf("  %.2f TFLOP in %.1f s (the first run %.1f s): %.0f GFLOP/s\n", 1e-12 * c.flops, best,
           first, 1e-9 * c.flops / best);
    printf("  matrix product %d^3: %.0f GFLOP/s; share of that peak: %.0f%%\n", PRODUCT,
           1e-9 * peak, 100 * c.flops / best / peak);
    printf("  weights %.2f GiB, peak memory %.2f GiB (with weights alone %.2f)\n", size / (1 << 30),
           bench_peak_mib() / 1024, loaded);
    weights_destroy(&w);
    tn_context_destroy(&cx);
    return 0;
}

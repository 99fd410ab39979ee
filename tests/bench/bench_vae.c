/* SPDX-License-Identifier: Apache-2.0 */
/* The encoder of Stable Diffusion's VAE with random weights on one picture of 512 px, and the way
 * back of a gradient to the picture: their speed as a share of the matrix-product peak measured in
 * the same run, and peak memory. The backward pass is counted as much work as the forward pass,
 * which is that of the gradient for the picture alone. */
#include "bench.h"

#include "diffusion/diffusion.h"

static const vae_config sd15 = {
    .image_channels = 3,
    .latent_channels = 4,
    .levels = 4,
    .channels = { 128, 256, 512, 512 },
    .layers = 2,
    .groups = 32,
    .scaling = 0.18215,
};

enum { SIDE = 512, PRODUCT = 2048, RUNS = 3 };

/* Seconds forward and backward. */
static void run(tn_context *cx, const at *root, const tn *image, double *there, double *back)
{
    size_t scope = tn_enter(cx);
    tn_set_grad(cx, true);
    double start = bench_now();
    tn *x = tn_leaf(cx, image), *y = vae_encode(&sd15, root, x).mean;
    double middle = bench_now();
    tn_vjp(cx, y, x, tn_detach(cx, y));
    double end = bench_now();
    tn_set_grad(cx, false);
    tn_leave(cx, scope, NULL);
    *there = middle - start < *there ? middle - start : *there;
    *back = end - middle < *back ? end - middle : *back;
}

int main(void)
{
    hds_error error = { 0 };
    tn_context *cx;
    if (tn_context_create(&cx, 0, &error) != HDS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;
    double before = bench_product_rate(cx, PRODUCT);
    weights *made = weights_create(cx, 1);
    at root = at_root(cx, made);
    vae_survey(&sd15, &root);
    weights *w = weights_duplicate(made, false); /* frozen, as in use */
    weights_destroy(&made);
    root = at_root(cx, w);
    double loaded = bench_peak_mib() / 1024;

    static float pixels[3 * SIDE * SIDE];
    rng r = rng_make(1, 0);
    rng_normal_fill(&r, pixels, sizeof pixels / sizeof *pixels);
    const tn *image = tn_from_f32(cx, pixels, TN_SHAPE(1, 3, SIDE, SIDE));
    bench_counter c = { .cx = cx, .w = w };
    weights_set_probe(w, bench_count_module, &c);
    size_t scope = tn_enter(cx);
    vae_encode(&sd15, &root, image);
    tn_leave(cx, scope, NULL);
    weights_set_probe(w, NULL, NULL);
    double there = 1e9, back = 1e9;
    for (int i = 0; i < RUNS; i++)
        run(cx, &root, image, &there, &back);
    double after = bench_product_rate(cx, PRODUCT), peak = before > after ? before : after;
    if (tn_check(cx, &error) != HDS_OK)
        return fprintf(stderr, "%s\n", error.message), 1;

    printf("VAE encoder of Stable Diffusion, one picture of %d px, float32, %d threads\n", SIDE,
           threads_count());
    printf("  %.2f TFLOP there in %.1f s, back in %.1f s\n", 1e-12 * c.flops, there, back);
    printf("  matrix product %d^3: %.0f GFLOP/s; share of that peak: there %.0f%%, back %.0f%%, "
           "both %.0f%%\n",
           PRODUCT, 1e-9 * peak, 100 * c.flops / there / peak, 100 * c.flops / back / peak,
           200 * c.flops / (there + back) / peak);
    printf("  peak memory %.2f GiB (with weights alone %.2f)\n", bench_peak_mib() / 1024, loaded);
    weights_destroy(&w);
    tn_context_destroy(&cx);
    return 0;
}

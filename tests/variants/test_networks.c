/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels beside libtorch at each level of instructions, their parts shared out to threads as
 * the backend does. Odd sizes: what is left over at the end of a vector is the risk. */
#include "variants.h"

#include "tensor/attend.h"
#include "tensor/gate.h"
#include "tensor/winograd.h"

static const double rounding = 1e-5;

/* ---- attention ---- */

typedef struct attention {
    attend_job job;
    float *scratch; /* of each block */
} attention;

static void pack(void *context, size_t head)
{
    attend_pack(&((const attention *)context)->job, head);
}

static void attend(void *context, size_t block)
{
    const attention *a = context;
    attend_block(&a->job, block, a->scratch + block * attend_scratch_size(&a->job));
}

static void run_attention(const void *context, float *out)
{
    attention a = { .job = *(const attend_job *)context };
    a.job.out = out;
    a.job.packed = variants_zeros(attend_packed_size(&a.job), sizeof(float));
    a.scratch = variants_zeros(attend_blocks(&a.job) * attend_scratch_size(&a.job), sizeof(float));
    threads_parallel(attend_heads(&a.job), pack, &a);
    threads_parallel(attend_blocks(&a.job), attend, &a);
    free(a.job.packed);
    free(a.scratch);
}

static void check_attention(size_t queries, size_t keys, size_t width, bool causal)
{
    char where[80];
    const size_t row = 2 * width;
    float *q = variants_random(1, 3 * queries * row, 1), *k = variants_random(2, 3 * keys * row, 1);
    float *v = variants_random(3, 3 * keys * row, 1);
    const attend_job job = { .q = q,
                             .k = k,
                             .v = v,
                             .batch = 3,
                             .queries = queries,
                             .keys = keys,
                             .heads = 2,
                             .width = width,
                             .scale = 0.3f,
                             .causal = causal };
    snprintf(where, sizeof where, "%zu queries, %zu keys, %zu channels%s", queries, keys, width,
             causal ? ", causal" : "");
    variants_check(
        where, run_attention, &job,
        (const variants_part[VARIANTS_PARTS]){
            { causal ? "causal attention" : "attention", 3 * queries * row, rounding } });
    free(q);
    free(k);
    free(v);
}

/* ---- the gate ---- */

typedef struct gates {
    const float *x;
    size_t rows, width;
    float *out;
} gates;

static void gate_row(void *context, size_t row)
{
    const gates *g = context;
    gate_gelu(g->x + 2 * row * g->width, 1, g->width, g->out + row * g->width);
}

static void run_gate(const void *context, float *out)
{
    gates g = *(const gates *)context;
    g.out = out;
    threads_parallel(g.rows, gate_row, &g);
}

static void check_gate(size_t width)
{
    char where[80];
    float *x = variants_random(4, 2 * 17 * width, 3);
    const gates g = { .x = x, .rows = 17, .width = width };
    snprintf(where, sizeof where, "rows of %zu", width);
    variants_check(where, run_gate, &g,
                   (const variants_part[VARIANTS_PARTS]){ { "gated GELU", 17 * width, rounding } });
    free(x);
}

/* ---- convolution ---- */

static void kernels(void *context, size_t channel)
{
    winograd_kernels(context, channel);
}

static void tiles(void *context, size_t channel)
{
    winograd_tiles(context, channel);
}

static void pixels(void *context, size_t channel)
{
    winograd_pixels(context, channel);
}

/* What the backend leaves to a library. */
static void multiply(const winograd_job *j)
{
    const size_t all = j->rows * winograd_across(j);
    for (size_t p = 0; p < WINOGRAD_POINTS; p++)
        for (size_t o = 0; o < j->out; o++)
            for (size_t t = 0; t < all; t++) {
                double sum = 0;
                for (size_t i = 0; i < j->in; i++)
                    sum += (double)j->kernels[(p * j->out + o) * j->in + i] *
                           (double)j->tiles[(p * j->in + i) * all + t];
                j->products[(p * j->out + o) * all + t] = (float)sum;
            }
}

static void run_winograd(const void *context, float *out)
{
    winograd_job j = *(const winograd_job *)context;
    j.y = out;
    j.rows = winograd_rows(&j);
    const size_t all = j.rows * winograd_across(&j);
    j.kernels = variants_zeros(WINOGRAD_POINTS * j.out * j.in, sizeof(float));
    j.tiles = variants_zeros(WINOGRAD_POINTS * j.in * all, sizeof(float));
    j.products = variants_zeros(WINOGRAD_POINTS * j.out * all, sizeof(float));
    threads_parallel(j.out, kernels, &j);
    threads_parallel(j.in, tiles, &j);
    multiply(&j);
    threads_parallel(j.out, pixels, &j);
    free(j.kernels);
    free(j.tiles);
    free(j.products);
}

static void check_winograd(size_t in, size_t out, size_t height, size_t width)
{
    char where[80];
    float *x = variants_random(5, 2 * in * height * width, 1);
    float *w = variants_random(6, out * in * 9, 0.1), *bias = variants_random(7, out, 1);
    const winograd_job job = { .batch = 2,
                               .in = in,
                               .out = out,
                               .height = height,
                               .width = width,
                               .x = x,
                               .w = w,
                               .bias = bias };
    snprintf(where, sizeof where, "%zu to %zu channels, %zu by %zu", in, out, width, height);
    variants_check(where, run_winograd, &job,
                   (const variants_part[VARIANTS_PARTS]){
                       { "convolution", 2 * out * height * width, rounding } });
    free(x);
    free(w);
    free(bias);
}

int main(int count, char **arguments)
{
    int status = variants_begin(count, arguments);
    if (status)
        return status;
    for (int causal = 0; causal < 2; causal++) {
        check_attention(111, 111, 18, causal);
        check_attention(300, 300, 40, causal);
    }
    check_attention(77, 513, 7, false);
    check_attention(257, 77, 80, false);
    for (size_t width = 1; width < 40; width += 3)
        check_gate(width);
    check_winograd(35, 33, 31, 37);
    check_winograd(3, 5, 9, 130);
    check_winograd(70, 4, 16, 16);
    return variants_end();
}

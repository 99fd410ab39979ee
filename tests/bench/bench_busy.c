/* SPDX-License-Identifier: Apache-2.0 */
/* A network of small layers beside other work: how much longer a step takes while 1, 2 and 4
 * processes keep the processors busy, over its share of them, and what the product's way
 * of waiting costs on a quiet machine. Each case is a process of its own, as OpenMP reads its
 * settings once; the cases take turns, so that a machine whose speed varies treats them alike.
 *
 * A step's share of P processors beside B busy processes, with T = P threads: P/(T + B) of each
 * thread, so it takes (T + B)/P times as long. */
#include "bench.h"

#include "text/text.h"

#include "diffusion/diffusion.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

static const unet_config small = {
    .in_channels = 4,
    .out_channels = 4,
    .levels = 3,
    .channels = { 48, 80, 112 },
    .down_attention = { false, true, true },
    .up_attention = { true, true, false },
    .heads = { 4, 4, 4 },
    .layers = 1,
    .groups = 8,
    .text_width = 64,
    .sample_size = 16,
    .eps = 1e-5,
};

enum { BATCH = 8, SIDE = 16, WARM = 2, TURNS = 5 };

/* What is compared: how threads wait. */
typedef struct waiting {
    const char *name, *key, *value; /* of the environment */
} waiting;

static const waiting kinds[] = {
    { "as the product does", NULL, NULL },
    { "OMP_WAIT_POLICY=passive", "OMP_WAIT_POLICY", "passive" },
    { "OpenMP's default", "GOMP_SPINCOUNT", "300000" },
};
enum { KINDS = sizeof kinds / sizeof *kinds };
static const int crowds[] = { 0, 1, 2, 4 };
enum { CROWDS = sizeof crowds / sizeof *crowds, MOST = 4 };

/* Seconds of a step, the mean of those that fit into `seconds`. */
static double measure(double seconds)
{
    hds_error error = { 0 };
    tn_context *cx;
    if (tn_context_create(&cx, 0, &error) != HDS_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    weights *w = weights_create(cx, 1);
    at root = at_root(cx, w);
    unet_survey(&small, &root);
    const tn *latents = tn_affine(cx, tn_zeros(cx, TN_SHAPE(BATCH, 4, SIDE, SIDE)), 1, 0.5);
    const tn *text = tn_affine(cx, tn_zeros(cx, TN_SHAPE(BATCH, TEXT_TOKENS, 64)), 1, 0.5);
    double start = 0, end = 0;
    int steps = -WARM;
    for (; steps < 3 || end - start < seconds; steps++) {
        if (steps == 0)
            start = bench_now();
        size_t scope = tn_enter(cx);
        float sum = tn_scalar(
            cx, tn_sum(cx, unet_forward(&small, &root, latents, (float[]){ 500 }, 1, text)));
        if (!(sum == sum))
            fprintf(stderr, "the network gave no number\n");
        tn_leave(cx, scope, NULL);
        end = bench_now();
    }
    return (end - start) / steps;
}

static pid_t start_busy(void)
{
    pid_t child = fork();
    if (child == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        for (;;)
            __asm__ volatile("");
    }
    return child;
}

/* Runs this program anew with one kind of waiting; seconds of a step. */
static double run(const char *self, const waiting *kind, double seconds)
{
    char command[4096], line[64] = "";
    snprintf(command, sizeof command, "env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT %s%s%s '%s' %g",
             kind->key ? kind->key : "", kind->key ? "=" : "", kind->key ? kind->value : "", self,
             seconds);
    FILE *child = popen(command, "r");
    if (!child || !fgets(line, sizeof line, child) || pclose(child) != 0) {
        fprintf(stderr, "a case failed: %s\n", command);
        exit(1);
    }
    return atof(line);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* All kinds in turns beside `crowd` busy processes; `quiet` becomes the step of the first of all.
 */
static void measure_crowd(const char *self, int crowd, double *quiet)
{
    double took[KINDS][TURNS], share = 1 + (double)crowd / threads_count();
    pid_t busy[MOST];
    for (int i = 0; i < crowd; i++)
        busy[i] = start_busy();
    for (int t = 0; t < TURNS; t++)
        for (int k = 0; k < KINDS; k++)
            took[k][t] = run(self, &kinds[k], crowd ? 2 : 1);
    for (int i = 0; i < crowd; i++) {
        kill(busy[i], SIGKILL);
        waitpid(busy[i], NULL, 0);
    }
    for (int k = 0; k < KINDS; k++) {
        qsort(took[k], TURNS, sizeof(double), by_size);
        double middle = took[k][TURNS / 2];
        if (*quiet == 0)
            *quiet = middle;
        printf(
            "%d busy, %-27s %7.1f ms (%.1f to %.1f), %.2f of the quiet step, %.2f of its share\n",
            crowd, kinds[k].name, 1e3 * middle, 1e3 * took[k][0], 1e3 * took[k][TURNS - 1],
            middle / *quiet, middle / *quiet / share);
        fflush(stdout);
    }
}

int main(int count, char **arguments)
{
    if (count == 2) {
        printf("%.9f\n", measure(atof(arguments[1])));
        return 0;
    }
    double quiet = 0;
    for (int c = 0; c < CROWDS; c++)
        measure_crowd(arguments[0], crowds[c], &quiet);
    return 0;
}

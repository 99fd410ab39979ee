/* SPDX-License-Identifier: Apache-2.0 */
/* Reads attributes back from any texture: the painter's parameters, attributes and minor variations
 * alike, whose picture is nearest to it.
 *
 *   min over x of  |paint(x) - texture|^2 / DEVIATION^2 + |x|^2
 *
 * by Levenberg's and Marquardt's method with differences for derivatives, from several hairlines: a
 * texture whose crown is bare says nothing of it to one that begins at the mean's, far below. What
 * the painter cannot paint stays in the residual. */
#include "paint_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWNS = PAINT_ATTRIBUTES + PAINT_MINOR, STEPS = 12 };

/* Neighbouring texels err together: about one in sixteen tells something new. */
#define DEVIATION (0.08 * 4)
#define DIFFERENCE 0.25f
#define LIMIT 3.2f

typedef struct fit {
    const painter *p;
    const uint8_t *target;
    size_t texels; /* numbers of a texture */
    uint8_t *painted, *moved;
    bool *counts; /* (texels / 3) painted, neither gutter nor mouth */
} fit;

static void paint_at(const fit *f, const float x[UNKNOWNS], uint8_t *texture)
{
    painter_paint(f->p, x, x + PAINT_ATTRIBUTES, texture);
}

static double cost(const fit *f, const uint8_t *painted, const float x[UNKNOWNS])
{
    double sum = 0;
    for (size_t i = 0; i < f->texels; i++)
        if (f->counts[i / 3])
            sum += pow((painted[i] - f->target[i]) / (255.0 * DEVIATION), 2);
    for (int k = 0; k < UNKNOWNS; k++)
        sum += (double)x[k] * x[k];
    return sum;
}

/* jacobian (UNKNOWNS, texels) at x, whose picture is f->painted */
static void differentiate(const fit *f, const float x[UNKNOWNS], float *jacobian)
{
    for (int k = 0; k < UNKNOWNS; k++) {
        float at[UNKNOWNS];
        memcpy(at, x, sizeof at);
        float step = x[k] > 0 ? -DIFFERENCE : DIFFERENCE;
        at[k] += step;
        paint_at(f, at, f->moved);
        for (size_t i = 0; i < f->texels; i++)
            jacobian[(size_t)k * f->texels + i] =
                f->counts[i / 3]
                    ? (float)(f->moved[i] - f->painted[i]) / (step * 255 * (float)DEVIATION)
                    : 0;
    }
}

/* Solves a x = b, a (n,n) symmetric positive definite, by Cholesky; a and b are overwritten. */
static void solve(double a[UNKNOWNS][UNKNOWNS], double b[UNKNOWNS])
{
    for (int i = 0; i < UNKNOWNS; i++)
        for (int j = i; j < UNKNOWNS; j++) {
            double sum = a[j][i];
            for (int k = 0; k < i; k++)
                sum -= a[i][k] * a[j][k];
            a[j][i] = j == i ? sqrt(sum) : sum / a[i][i];
        }
    for (int i = 0; i < UNKNOWNS; i++) {
        for (int k = 0; k < i; k++)
            b[i] -= a[i][k] * b[k];
        b[i] /= a[i][i];
    }
    for (int i = UNKNOWNS - 1; i >= 0; i--) {
        for (int k = i + 1; k < UNKNOWNS; k++)
            b[i] -= a[k][i] * b[k];
        b[i] /= a[i][i];
    }
}

static void normal_equations(const fit *f, const float *jacobian, const float x[UNKNOWNS],
                             double hessian[UNKNOWNS][UNKNOWNS], double gradient[UNKNOWNS])
{
    for (int k = 0; k < UNKNOWNS; k++) {
        const float *row = jacobian + (size_t)k * f->texels;
        gradient[k] = -x[k];
        for (size_t i = 0; i < f->texels; i++)
            gradient[k] += row[i] * (f->target[i] - f->painted[i]) / (255 * DEVIATION);
        for (int l = 0; l <= k; l++) {
            const float *other = jacobian + (size_t)l * f->texels;
            double sum = k == l;
            for (size_t i = 0; i < f->texels;) {
                /* Short runs in float, which the compiler turns into vectors. */
                float part[8] = { 0 };
                for (size_t end = i + 4096 < f->texels ? i + 4096 : f->texels; i < end; i++)
                    part[i % 8] += row[i] * other[i];
                for (int lane = 0; lane < 8; lane++)
                    sum += part[lane];
            }
            hessian[k][l] = hessian[l][k] = sum;
        }
    }
}

/* Returns the cost at the x that is found. */
static double minimise(const fit *f, float *jacobian, float x[UNKNOWNS])
{
    double damping = 1;
    paint_at(f, x, f->painted);
    double now = cost(f, f->painted, x);
    for (int step = 0; step < STEPS; step++) {
        double hessian[UNKNOWNS][UNKNOWNS], gradient[UNKNOWNS];
        differentiate(f, x, jacobian);
        normal_equations(f, jacobian, x, hessian, gradient);
        for (int k = 0; k < UNKNOWNS; k++)
            hessian[k][k] *= 1 + 0.1 * damping;
        solve(hessian, gradient);
        float tried[UNKNOWNS];
        for (int k = 0; k < UNKNOWNS; k++) {
            float move = fminf(fmaxf((float)gradient[k], -1), 1);
            tried[k] = fminf(fmaxf(x[k] + move, -LIMIT), LIMIT);
        }
        paint_at(f, tried, f->moved);
        double then = cost(f, f->moved, tried);
        if (then < now) {
            bool done = now - then < 1e-3 * now;
            memcpy(x, tried, sizeof tried);
            memcpy(f->painted, f->moved, f->texels);
            now = then;
            damping *= 0.4;
            if (done)
                break;
        } else {
            damping *= 6;
        }
    }
    return now;
}

bool painter_measure(const painter *p, const uint8_t *texture, float *attributes)
{
    size_t texels = (size_t)p->size * (size_t)p->size * 3;
    fit f = { .p = p,
              .target = texture,
              .texels = texels,
              .painted = malloc(texels),
              .moved = malloc(texels),
              .counts = calloc(texels / 3, sizeof *f.counts) };
    float *jacobian = malloc(UNKNOWNS * texels * sizeof *jacobian);
    bool done = f.painted && f.moved && f.counts && jacobian;
    if (done) {
        for (size_t i = 0; i < p->skin_count; i++)
            f.counts[p->skin[i].texel] = p->skin[i].mouth == 0;
        for (size_t i = 0; i < p->eye_count; i++)
            f.counts[p->eyes[i].texel] = p->eyes[i].polar < 60;
        static const float hairlines[] = { 0, -2, 2 };
        double best = INFINITY;
        for (size_t k = 0; k < sizeof hairlines / sizeof *hairlines; k++) {
            float x[UNKNOWNS] = { 0 };
            x[PAINT_HAIR_COVER] = hairlines[k];
            double now = minimise(&f, jacobian, x);
            if (now < best)
                memcpy(attributes, x, PAINT_ATTRIBUTES * sizeof *attributes);
            best = fmin(best, now);
        }
    }
    free(f.painted);
    free(f.moved);
    free(f.counts);
    free(jacobian);
    return done;
}

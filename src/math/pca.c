/* SPDX-License-Identifier: Apache-2.0 */
/* Principal components through the Gram matrix, for fewer samples than dimensions.
 *
 *   G = X X^T (n,n);  G q = lambda q  =>  u = X^T q / sqrt(lambda) is a unit direction of variance
 *   lambda / n.  The leading q by orthogonal iteration with Rayleigh-Ritz (Golub and Van Loan,
 *   "Matrix computations", 8.2.4); the small symmetric problems by math_eigen_symmetric. */

#include "base/base.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

enum { LANES = 16, BLOCK = 32, CHUNK = 1024, SPARE = 16, MOST_ROUNDS = 200 };

double math_pca_dot(const float *a, const float *b, size_t d)
{
    double sum = 0;
    for (size_t start = 0; start < d; start += CHUNK) {
        float lane[LANES] = { 0 };
        size_t end = start + CHUNK < d ? start + CHUNK : d, i = start;
        for (; i + LANES <= end; i += LANES)
            for (size_t l = 0; l < LANES; l++)
                lane[l] += a[i + l] * b[i + l];
        for (; i < end; i++)
            lane[0] += a[i] * b[i];
        for (size_t l = 0; l < LANES; l++)
            sum += lane[l];
    }
    return sum;
}

typedef struct gram_job {
    const float *rows;
    double *gram;
    size_t n, d;
} gram_job;

static void gram_block(void *context, size_t block)
{
    const gram_job *g = context;
    size_t first = block * BLOCK, last = first + BLOCK < g->n ? first + BLOCK : g->n;
    for (size_t start = 0; start < g->d; start += CHUNK) {
        size_t length = start + CHUNK < g->d ? CHUNK : g->d - start;
        for (size_t j = 0; j < last; j++)
            for (size_t i = first > j ? first : j; i < last; i++)
                g->gram[i * g->n + j] +=
                    math_pca_dot(g->rows + i * g->d + start, g->rows + j * g->d + start, length);
    }
}

/* Rows of q (b,n) are made orthonormal, twice for rounding. */
static void orthonormalise(double *q, size_t b, size_t n)
{
    for (size_t i = 0; i < b; i++)
        for (int pass = 0; pass < 2; pass++) {
            double size = 0, *x = q + i * n;
            for (size_t j = 0; j < i; j++) {
                double dot = 0, *y = q + j * n;
                for (size_t k = 0; k < n; k++)
                    dot += x[k] * y[k];
                for (size_t k = 0; k < n; k++)
                    x[k] -= dot * y[k];
            }
            for (size_t k = 0; k < n; k++)
                size += x[k] * x[k];
            for (size_t k = 0; k < n; k++)
                x[k] /= sqrt(size);
        }
}

typedef struct iteration {
    const double *gram;
    double *q, *z; /* (b,n) */
    double *t, *v; /* (b,b) */
    size_t n, b;
} iteration;

static void multiply_row(void *context, size_t i)
{
    iteration *it = context;
    size_t n = it->n;
    for (size_t r = 0; r < n; r++) {
        double lane[4] = { 0 };
        for (size_t c = 0; c < n; c++)
            lane[c & 3] += it->gram[r * n + c] * it->q[i * n + c];
        it->z[i * n + r] = lane[0] + lane[1] + lane[2] + lane[3];
    }
}

/* One round: q spans what gram makes of it, turned to Ritz vectors; values (b) descending. */
static void advance(iteration *it, double *values, size_t *order)
{
    size_t n = it->n, b = it->b;
    threads_parallel(b, multiply_row, it);
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < b; j++) {
            double dot = 0;
            for (size_t k = 0; k < n; k++)
                dot += it->q[i * n + k] * it->z[j * n + k];
            it->t[i * b + j] = dot;
        }
    for (size_t i = 0; i < b; i++)
        for (size_t j = 0; j < i; j++)
            it->t[i * b + j] = it->t[j * b + i] = (it->t[i * b + j] + it->t[j * b + i]) / 2;
    math_eigen_symmetric(it->t, it->v, b);
    for (size_t i = 0; i < b; i++) {
        size_t at = i;
        for (; at > 0 && it->t[order[at - 1] * (b + 1)] < it->t[i * (b + 1)]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    memset(it->q, 0, b * n * sizeof *it->q);
    for (size_t i = 0; i < b; i++) {
        values[i] = it->t[order[i] * (b + 1)];
        for (size_t j = 0; j < b; j++)
            for (size_t k = 0; k < n; k++)
                it->q[i * n + k] += it->v[j * b + order[i]] * it->z[j * n + k];
    }
    orthonormalise(it->q, b, n);
}

static void iterate(iteration *it, double *values, double *before, size_t *order, size_t count)
{
    rng r = rng_make(1, 0);
    for (size_t i = 0; i < it->b * it->n; i++)
        it->q[i] = rng_normal(&r);
    orthonormalise(it->q, it->b, it->n);
    for (int round = 0; round < MOST_ROUNDS; round++) {
        double change = 0;
        memcpy(before, values, it->b * sizeof *values);
        advance(it, values, order);
        for (size_t k = 0; k < count; k++)
            change = fmax(change, fabs(values[k] - before[k]) / fabs(values[k]));
        if (change < 1e-10)
            return;
    }
}

static void directions_of(const float *rows, const double *q, size_t n, size_t d, size_t count,
                          float *directions)
{
    memset(directions, 0, count * d * sizeof *directions);
    for (size_t k = 0; k < count; k++) {
        float *u = directions + k * d;
        for (size_t i = 0; i < n; i++) {
            float weight = (float)q[k * n + i];
            for (size_t j = 0; j < d; j++)
                u[j] += weight * rows[i * d + j];
        }
        for (size_t other = 0; other < k; other++) { /* what rounding left */
            float dot = (float)math_pca_dot(u, directions + other * d, d);
            for (size_t j = 0; j < d; j++)
                u[j] -= dot * directions[other * d + j];
        }
        float size = (float)sqrt(math_pca_dot(u, u, d));
        for (size_t j = 0; j < d; j++)
            u[j] /= size;
    }
}

bool math_pca_directions(const float *rows, size_t n, size_t d, size_t count, float *directions)
{
    size_t b = count + SPARE;
    arena scratch = { 0 };
    double *gram = arena_alloc(&scratch, n * n, sizeof *gram);
    iteration it = { .gram = gram, .n = n, .b = b };
    it.q = arena_alloc(&scratch, b * n, sizeof(double));
    it.z = arena_alloc(&scratch, b * n, sizeof(double));
    it.t = arena_alloc(&scratch, b * b, sizeof(double));
    it.v = arena_alloc(&scratch, b * b, sizeof(double));
    double *values = arena_alloc(&scratch, 2 * b, sizeof *values);
    size_t *order = arena_alloc(&scratch, b, sizeof *order);
    bool room = gram && it.q && it.z && it.t && it.v && values && order;
    if (room) {
        gram_job job = { rows, gram, n, d };
        threads_parallel((n + BLOCK - 1) / BLOCK, gram_block, &job);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++)
                gram[j * n + i] = gram[i * n + j];
        iterate(&it, values, values + b, order, count);
        directions_of(rows, it.q, n, d, count, directions);
    }
    arena_finish(&scratch);
    return room;
}

bool math_pca_regress(const double *x, const double *y, size_t n, size_t p, size_t q, double *w)
{
    double *a = hds_alloc(p * p, sizeof *a);
    bool solved = a != NULL;
    memset(w, 0, p * q * sizeof *w);
    for (size_t i = 0; solved && i < n; i++)
        for (size_t r = 0; r < p; r++) {
            for (size_t c = 0; c <= r; c++)
                a[r * p + c] += x[i * p + r] * x[i * p + c];
            for (size_t c = 0; c < q; c++)
                w[r * q + c] += x[i * p + r] * y[i * q + c];
        }
    for (size_t r = 0; solved && r < p; r++) /* a = L L^T, and w = L^-1 w */
        for (size_t c = 0; c <= r; c++) {
            double sum = a[r * p + c];
            for (size_t k = 0; k < c; k++)
                sum -= a[r * p + k] * a[c * p + k];
            solved = solved && (r != c || sum > 0);
            a[r * p + c] = r == c ? sqrt(sum) : sum / a[c * p + c];
        }
    for (size_t c = 0; solved && c < q; c++) {
        for (size_t r = 0; r < p; r++) {
            for (size_t k = 0; k < r; k++)
                w[r * q + c] -= a[r * p + k] * w[k * q + c];
            w[r * q + c] /= a[r * p + r];
        }
        for (size_t r = p; r-- > 0;) {
            for (size_t k = r + 1; k < p; k++)
                w[r * q + c] -= a[k * p + r] * w[k * q + c];
            w[r * q + c] /= a[r * p + r];
        }
    }
    hds_free(a);
    return solved;
}

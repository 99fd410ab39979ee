/* SPDX-License-Identifier: Apache-2.0 */
/* What the gradient tests share: random directions, inner products, and the checks of DESIGN:
 * <J v, u> = <v, J^T u>, finite differences, and that an adjoint called twice doubles. */
#ifndef HDS_TEST_CHECK_H
#define HDS_TEST_CHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#include <math.h>

/* count draws of standard deviation `scale`; new, released with free. */
static inline real *check_random(uint64_t stream, size_t count, double scale)
{
    real *out = malloc((count ? count : 1) * sizeof *out);
    assert_non_null(out);
    rng r = rng_make(20240607, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (real)(scale * rng_normal(&r));
    return out;
}

static inline double check_dot(const real *a, const real *b, size_t count)
{
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* |a - b| <= tolerance * max(|a|, |b|, floor) */
static inline void check_close(double a, double b, double tolerance, double floor)
{
    double size = fmax(floor, fmax(fabs(a), fabs(b)));
    if (!(fabs(a - b) <= tolerance * size))
        fail_msg("%.17g and %.17g differ by %.3g of %.3g, allowed %.3g", a, b, fabs(a - b), size,
                 tolerance);
}

/* Evaluates f: inputs (n) -> outputs (m). */
typedef void (*check_function)(void *context, const real *inputs, real *outputs);

/* <(f(x + h v) - f(x - h v)) / 2h, u> for the direction v. */
static inline double check_directional(check_function f, void *context, const real *x,
                                       const real *v, const real *u, size_t n, size_t m, double h)
{
    real *point = malloc(n * sizeof *point);
    real *plus = malloc(m * sizeof *plus), *minus = malloc(m * sizeof *minus);
    assert_true(point && plus && minus);
    for (size_t i = 0; i < n; i++)
        point[i] = (real)(x[i] + h * v[i]);
    f(context, point, plus);
    for (size_t i = 0; i < n; i++)
        point[i] = (real)(x[i] - h * v[i]);
    f(context, point, minus);
    double sum = 0;
    for (size_t i = 0; i < m; i++)
        sum += ((double)plus[i] - minus[i]) / (2 * h) * u[i];
    free(point);
    free(plus);
    free(minus);
    return sum;
}

#endif

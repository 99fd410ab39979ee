/* SPDX-License-Identifier: Apache-2.0 */
/* Monotone cubic interpolation: curves through hand-placed points that never overshoot.
 *
 * Fritsch and Carlson, "Monotone piecewise cubic interpolation", 1980: each slope is the harmonic
 * mean of its neighbours' secants, zero where they differ in sign. */
#include "sculpt_priv.h"

static double slope(const double *x, const double *y, int count, int i)
{
    if (i == 0 || i == count - 1) {
        int k = i == 0 ? 0 : count - 2;
        return (y[k + 1] - y[k]) / (x[k + 1] - x[k]);
    }
    double before = (y[i] - y[i - 1]) / (x[i] - x[i - 1]);
    double after = (y[i + 1] - y[i]) / (x[i + 1] - x[i]);
    return before * after <= 0 ? 0 : 2 * before * after / (before + after);
}

double sculpt_curve(const double *x, const double *y, int count, double at)
{
    if (at <= x[0])
        return y[0];
    if (at >= x[count - 1])
        return y[count - 1];
    int i = 0;
    while (at > x[i + 1])
        i++;
    double h = x[i + 1] - x[i], t = (at - x[i]) / h, u = 1 - t;
    double m0 = slope(x, y, count, i) * h, m1 = slope(x, y, count, i + 1) * h;
    return y[i] * u * u * (1 + 2 * t) + y[i + 1] * t * t * (3 - 2 * t) + m0 * u * u * t -
           m1 * t * t * u;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Symmetric positive definite equations by Cholesky: Golub and Van Loan, "Matrix computations",
 * 4.2. A = L L^T, L lower triangular. */
#include "math/math.h"

bool math_cholesky(double *a, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            if (i > j)
                a[i * n + j] = sum / a[j * n + j];
            else if (sum > 1e-14 * a[i * n + i])
                a[i * n + i] = sqrt(sum);
            else
                return false;
        }
    return true;
}

void math_cholesky_solve(const double *l, size_t n, double *b)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++)
            b[i] -= l[i * n + k] * b[k];
        b[i] /= l[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++)
            b[i] -= l[k * n + i] * b[k];
        b[i] /= l[i * n + i];
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Principal components of many numbers, and least squares. */
#ifndef HDS_MATH_PCA_H
#define HDS_MATH_PCA_H

#include <stdbool.h>
#include <stddef.h>

/* rows (n,d), the mean already taken away -> directions (count,d), unit and orthogonal, by
 * decreasing variance. False: out of memory. count + 16 must not exceed n. */
bool math_pca_directions(const float *rows, size_t n, size_t d, size_t count, float *directions);

/* dot of two vectors in float lanes, summed in double */
double math_pca_dot(const float *a, const float *b, size_t d);

/* Least squares: x (n,p), y (n,q) -> w (p,q) with x w ~ y. False: x is singular, or no memory. */
bool math_pca_regress(const double *x, const double *y, size_t n, size_t p, size_t q, double *w);

#endif

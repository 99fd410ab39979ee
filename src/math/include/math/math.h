/* SPDX-License-Identifier: Apache-2.0 */
/* Small vectors and matrices, row-major, column vectors: y = M x. Rotations beside their adjoint.
 *
 * Adjoints add to their results. Nothing here may alias unless said. */
#ifndef HDS_MATH_H
#define HDS_MATH_H

#include "base/base.h"

#include <math.h>

/* ---- (3) ---- */

static inline real vec3_dot(const real a[3], const real b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static inline void vec3_sub(const real a[3], const real b[3], real out[3])
{
    out[0] = a[0] - b[0];
    out[1] = a[1] - b[1];
    out[2] = a[2] - b[2];
}

/* y += s x */
static inline void vec3_add_scaled(real y[3], real s, const real x[3])
{
    y[0] += s * x[0];
    y[1] += s * x[1];
    y[2] += s * x[2];
}

static inline void vec3_cross(const real a[3], const real b[3], real out[3])
{
    out[0] = a[1] * b[2] - a[2] * b[1];
    out[1] = a[2] * b[0] - a[0] * b[2];
    out[2] = a[0] * b[1] - a[1] * b[0];
}

static inline real vec3_length(const real a[3])
{
    return (real)sqrt((double)a[0] * a[0] + (double)a[1] * a[1] + (double)a[2] * a[2]);
}

/* Scales a to length 1 and returns the length it had; a zero vector is left as it is. */
static inline real vec3_normalise(real a[3])
{
    real length = vec3_length(a);
    if (length > 0)
        for (int i = 0; i < 3; i++)
            a[i] /= length;
    return length;
}

/* ---- (3,3) ---- */

static inline void mat3_mul_vec(const real m[9], const real x[3], real out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = vec3_dot(m + 3 * i, x);
}

/* out = M^T x: the adjoint of mat3_mul_vec with respect to x. */
static inline void mat3_transpose_mul_vec(const real m[9], const real x[3], real out[3])
{
    for (int i = 0; i < 3; i++)
        out[i] = m[i] * x[0] + m[3 + i] * x[1] + m[6 + i] * x[2];
}

/* out = A B */
static inline void mat3_mul(const real a[9], const real b[9], real out[9])
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            out[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

/* The adjoint of out = A B: dA += dOut B^T, dB += A^T dOut; each may be NULL. */
static inline void mat3_mul_adjoint(const real a[9], const real b[9], const real dout[9], real *da,
                                    real *db)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            if (da)
                da[3 * i + j] += vec3_dot(dout + 3 * i, b + 3 * j);
            if (db)
                db[3 * i + j] += a[i] * dout[j] + a[3 + i] * dout[3 + j] + a[6 + i] * dout[6 + j];
        }
}

/* M += s a b^T */
static inline void mat3_add_outer(real m[9], real s, const real a[3], const real b[3])
{
    for (int i = 0; i < 3; i++)
        vec3_add_scaled(m + 3 * i, s * a[i], b);
}

/* ---- (4,4) ---- */

/* out = A B */
static inline void mat4_mul(const real a[16], const real b[16], real out[16])
{
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            real sum = 0;
            for (int k = 0; k < 4; k++)
                sum += a[4 * i + k] * b[4 * k + j];
            out[4 * i + j] = sum;
        }
}

/* out = M (p, 1), all four coordinates. */
static inline void mat4_mul_point(const real m[16], const real p[3], real out[4])
{
    for (int i = 0; i < 4; i++)
        out[i] = vec3_dot(m + 4 * i, p) + m[4 * i + 3];
}

/* The adjoint of mat4_mul_point with respect to p: dp += M(:, :3)^T dout. */
static inline void mat4_mul_point_adjoint(const real m[16], const real dout[4], real dp[3])
{
    for (int i = 0; i < 4; i++)
        vec3_add_scaled(dp, dout[i], m + 4 * i);
}

/* ---- rotation.c ---- */

/* Rotation by |r| radians about r (Rodrigues), smooth at 0. */
void math_rotation(const real r[3], real rotation[9]);
/* drotation (3,3) -> += dr (3) */
void math_rotation_adjoint(const real r[3], const real drotation[9], real dr[3]);

/* ---- eigen.c ---- */

/* Symmetric a (n,n) -> eigenvalues on its diagonal, unit eigenvectors in the columns of v (n,n). */
void math_eigen_symmetric(double *a, double *v, size_t n);

/* ---- pca.c ---- */

/* Principal components: rows (n,d), the mean already taken away -> directions (count,d), unit and
 * orthogonal, by decreasing variance. False: out of memory. count + 16 must not exceed n. */
bool math_pca_directions(const float *rows, size_t n, size_t d, size_t count, float *directions);
/* The dot product of two vectors, in float lanes that are summed in double. */
double math_pca_dot(const float *a, const float *b, size_t d);
/* Least squares: x (n,p), y (n,q) -> w (p,q) with x w ~ y. False: x is singular, or no memory. */
bool math_pca_regress(const double *x, const double *y, size_t n, size_t p, size_t q, double *w);

/* ---- solve.c ---- */

/* Symmetric positive definite a (n,n) -> its factor l in the lower triangle. False: it is not. */
HDS_NODISCARD bool math_cholesky(double *a, size_t n);
/* l l^T x = b, in place of b (n). */
void math_cholesky_solve(const double *l, size_t n, double *b);

/* ---- similarity.c ---- */

/* Pairs of points (a, b) summed up, about the first ones. Zero-initialise it. */
typedef struct math_pairs {
    double weight, origin_a[3], origin_b[3];
    double a[3], b[3], aa, bb, ba[9];
} math_pairs;
void math_pairs_add(math_pairs *p, double weight, const real a[3], const real b[3]);

/* x -> scale rotation x + translation */
typedef struct math_similarity {
    double scale, rotation[9], translation[3];
    double left;   /* the weighted sum of squares that it leaves */
    bool mirrored; /* with a reflection it would leave clearly less */
} math_similarity;
/* The one that brings the a's nearest to the b's. False: all a's or all b's lie in one point. */
HDS_NODISCARD bool math_similarity_fit(const math_pairs *p, math_similarity *s);
void math_similarity_point(const math_similarity *s, const real x[3], double out[3]);
/* |scale rotation a + translation - b|^2 */
double math_similarity_distance(const math_similarity *s, const real a[3], const real b[3]);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The similarity without reflection that brings points a nearest to points b:
 *
 *   min sum_i w_i |b_i - (s R a_i + t)|^2,   s = tr(R^T M) / sum |a - mean a|^2,   t = mean b - s R
 * mean a M = sum (b - mean b) (a - mean a)^T
 *
 * Umeyama, "Least-squares estimation of transformation parameters between two point patterns",
 * 1991; R as the quaternion that is the largest eigenvector of a symmetric matrix of M's entries:
 * Horn, "Closed-form solution of absolute orientation using unit quaternions", 1987. */
#include "math/math.h"

void math_pairs_add(math_pairs *p, double weight, const real a[3], const real b[3])
{
    double x[3], y[3];
    for (int i = 0; i < 3; i++) {
        if (p->weight == 0) {
            p->origin_a[i] = a[i];
            p->origin_b[i] = b[i];
        }
        x[i] = a[i] - p->origin_a[i];
        y[i] = b[i] - p->origin_b[i];
    }
    p->weight += weight;
    for (int i = 0; i < 3; i++) {
        p->a[i] += weight * x[i];
        p->b[i] += weight * y[i];
        p->aa += weight * x[i] * x[i];
        p->bb += weight * y[i] * y[i];
        for (int j = 0; j < 3; j++)
            p->ba[3 * i + j] += weight * y[i] * x[j];
    }
}

/* The rotation of the quaternion w, x, y, z. */
static void from_quaternion(double w, double x, double y, double z, double r[9])
{
    const double rows[9] = { w * w + x * x - y * y - z * z, 2 * (x * y - w * z),
                             2 * (x * z + w * y),           2 * (x * y + w * z),
                             w * w - x * x + y * y - z * z, 2 * (y * z - w * x),
                             2 * (x * z - w * y),           2 * (y * z + w * x),
                             w * w - x * x - y * y + z * z };
    for (int i = 0; i < 9; i++)
        r[i] = rows[i];
}

/* The rotation with the largest tr(R^T m). */
static void nearest_rotation(const double m[9], double r[9])
{
    double n[16] = { m[0] + m[4] + m[8],
                     m[7] - m[5],
                     m[2] - m[6],
                     m[3] - m[1], /* row w */
                     0,
                     m[0] - m[4] - m[8],
                     m[1] + m[3],
                     m[2] + m[6], /* x */
                     0,
                     0,
                     m[4] - m[0] - m[8],
                     m[5] + m[7], /* y */
                     0,
                     0,
                     0,
                     m[8] - m[0] - m[4] }; /* z */
    double v[16];
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < i; j++)
            n[4 * i + j] = n[4 * j + i];
    math_eigen_symmetric(n, v, 4);
    int best = 0;
    for (int k = 1; k < 4; k++)
        if (n[5 * k] > n[5 * best])
            best = k;
    from_quaternion(v[best], v[4 + best], v[8 + best], v[12 + best], r);
}

static double determinant(const double m[9])
{
    return m[0] * (m[4] * m[8] - m[5] * m[7]) - m[1] * (m[3] * m[8] - m[5] * m[6]) +
           m[2] * (m[3] * m[7] - m[4] * m[6]);
}

bool math_similarity_fit(const math_pairs *p, math_similarity *s)
{
    double m[9], aa = p->aa, bb = p->bb, trace = 0;
    for (int i = 0; i < 3; i++) {
        aa -= p->a[i] * p->a[i] / p->weight;
        bb -= p->b[i] * p->b[i] / p->weight;
        for (int j = 0; j < 3; j++)
            m[3 * i + j] = p->ba[3 * i + j] - p->b[i] * p->a[j] / p->weight;
    }
    *s = (math_similarity){ .mirrored = determinant(m) < -1e-6 * pow(aa * bb, 1.5) };
    nearest_rotation(m, s->rotation);
    for (int i = 0; i < 9; i++)
        trace += s->rotation[i] * m[i];
    s->scale = trace / aa;
    if (!(aa > 0) || !(s->scale > 0) || !isfinite(s->scale))
        return false;
    s->left = fmax(bb - trace * s->scale, 0);
    for (int i = 0; i < 3; i++) {
        s->translation[i] = p->origin_b[i] + p->b[i] / p->weight;
        for (int j = 0; j < 3; j++)
            s->translation[i] -=
                s->scale * s->rotation[3 * i + j] * (p->origin_a[j] + p->a[j] / p->weight);
    }
    return true;
}

void math_similarity_point(const math_similarity *s, const real x[3], double out[3])
{
    for (int i = 0; i < 3; i++) {
        const double *r = s->rotation + 3 * i;
        out[i] = s->scale * (r[0] * x[0] + r[1] * x[1] + r[2] * x[2]) + s->translation[i];
    }
}

double math_similarity_distance(const math_similarity *s, const real a[3], const real b[3])
{
    double moved[3], square = 0;
    math_similarity_point(s, a, moved);
    for (int i = 0; i < 3; i++)
        square += (moved[i] - b[i]) * (moved[i] - b[i]);
    return square;
}

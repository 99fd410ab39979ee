/* SPDX-License-Identifier: Apache-2.0 */
/* Axis-angle vectors to rotation matrices (Rodrigues) and the adjoint.
 *
 *   R = c I + a [r]x + b r r^T,   s = r.r,   c = cos sqrt(s),
 *   a = sin(sqrt(s)) / sqrt(s),   b = (1 - c) / s
 *
 * All three are power series in s, so R is smooth in r everywhere, at 0 too. */
#include "math/math.h"

typedef struct coefficients {
    double a, b, c;
    double a_slope, b_slope; /* d/ds */
} coefficients;

/* Below s = 1 the closed forms of the slopes cancel; nine terms of the series are exact there. */
static coefficients series(double s)
{
    coefficients k = { 0 };
    double a_term = 1, b_term = 0.5; /* (-1)^n / (2n+1)!, (-1)^n / (2n+2)! */
    double power = 1, slope = 0;     /* s^n, n s^(n-1) */
    for (int n = 0; n < 9; n++) {
        k.a += a_term * power;
        k.b += b_term * power;
        k.a_slope += a_term * slope;
        k.b_slope += b_term * slope;
        slope = (n + 1) * power;
        power *= s;
        a_term /= -(2.0 * n + 2) * (2 * n + 3);
        b_term /= -(2.0 * n + 3) * (2 * n + 4);
    }
    k.c = 1 - s * k.b;
    return k;
}

static coefficients closed(double s)
{
    double angle = sqrt(s), half = sin(angle / 2);
    coefficients k = { .a = sin(angle) / angle, .b = 2 * half * half / s, .c = cos(angle) };
    k.a_slope = (k.c - k.a) / (2 * s);
    k.b_slope = (k.a - 2 * k.b) / (2 * s);
    return k;
}

static coefficients coefficients_at(const real r[3])
{
    double s = (double)r[0] * r[0] + (double)r[1] * r[1] + (double)r[2] * r[2];
    return s < 1 ? series(s) : closed(s);
}

void math_rotation(const real r[3], real rotation[9])
{
    coefficients k = coefficients_at(r);
    double x = r[0], y = r[1], z = r[2];
    double m[9] = {
        k.c + k.b * x * x,     k.b * x * y - k.a * z, k.b * x * z + k.a * y,
        k.b * x * y + k.a * z, k.c + k.b * y * y,     k.b * y * z - k.a * x,
        k.b * x * z - k.a * y, k.b * y * z + k.a * x, k.c + k.b * z * z,
    };
    for (int i = 0; i < 9; i++)
        rotation[i] = (real)m[i];
}

void math_rotation_adjoint(const real r[3], const real drotation[9], real dr[3])
{
    coefficients k = coefficients_at(r);
    const real *d = drotation;
    double axial[3] = { d[7] - d[5], d[2] - d[6], d[3] - d[1] }; /* <[e_i]x, dR> */
    double trace = d[0] + d[4] + d[8], along = 0, quadratic = 0;
    double both[3]; /* (dR + dR^T) r */
    for (int i = 0; i < 3; i++) {
        both[i] = 0;
        for (int j = 0; j < 3; j++)
            both[i] += ((double)d[3 * i + j] + d[3 * j + i]) * r[j];
        quadratic += both[i] * r[i] / 2;
        along += axial[i] * r[i];
    }
    double ds = -k.a / 2 * trace + k.a_slope * along + k.b_slope * quadratic;
    for (int i = 0; i < 3; i++)
        dr[i] += (real)(2 * r[i] * ds + k.a * axial[i] + k.b * both[i]);
}

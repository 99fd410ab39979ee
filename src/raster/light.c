/* SPDX-License-Identifier: Apache-2.0 */
/* Light as an ambient share and two lamps (the rig: raster.h), or as nine spherical-harmonics
 * coefficients of irradiance / pi over the normal:
 *   E(n) / pi = sum_lm light_lm Y_lm(n),  l rising from 0 to 2, within it m from -l to l
 *
 * A distant light of strength s from d adds s A_l Y_lm(d), A = (pi, 2 pi / 3, pi / 4), which is
 * s max(0, n.d) up to the second order.
 *
 * Ramamoorthi, Hanrahan: "An efficient representation for irradiance environment maps", 2001. */
#include "raster_priv.h"

#include <assert.h>
#include <math.h>

static const real band0 = (real)0.28209479177387814, band1 = (real)0.4886025119029199;
static const real band2 = (real)1.0925484305920792, band20 = (real)0.31539156525252005;
static const real band22 = (real)0.5462742152960396;

/* Where a light stands, seen from the head: azimuth toward its own left, elevation up, degrees. */
typedef struct lamp {
    double azimuth, elevation, strength;
} lamp;

enum { LAMPS = 2 };
typedef struct setting {
    double ambient;
    lamp lamps[LAMPS];
} setting;

static const setting presets[] = {
    { 0.14, { { 45, 40, 0.62 }, { -60, 10, 0.16 } } },  /* key above left, fill from the right */
    { 0.14, { { -45, 40, 0.62 }, { 60, 10, 0.16 } } },  /* the same mirrored */
    { 0.26, { { 0, 20, 0.42 }, { 0, 80, 0.12 } } },     /* soft, from the front */
    { 0.18, { { 0, 65, 0.58 }, { 0, -30, 0.20 } } },    /* from the top, bounced from below */
    { 0.14, { { 75, 15, 0.60 }, { -110, 20, 0.30 } } }, /* from the side, with a rim */
};

static void basis(const real n[3], real y[9])
{
    y[0] = band0;
    y[1] = band1 * n[1];
    y[2] = band1 * n[2];
    y[3] = band1 * n[0];
    y[4] = band2 * n[0] * n[1];
    y[5] = band2 * n[1] * n[2];
    y[6] = band20 * (3 * n[2] * n[2] - 1);
    y[7] = band2 * n[0] * n[2];
    y[8] = band22 * (n[0] * n[0] - n[1] * n[1]);
}

static real harmonics(const real light[9], const real normal[3])
{
    real y[9], sum = 0;
    basis(normal, y);
    for (int i = 0; i < 9; i++)
        sum += light[i] * y[i];
    return sum > 0 ? sum : 0;
}

static real dot(const real a[3], const real b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

static real rig(const real light[9], const real normal[3])
{
    real key = dot(light + 1, normal), fill = dot(light + 4, normal);
    return light[0] + (key > 0 ? key : 0) + (fill > 0 ? fill : 0);
}

real raster_irradiance(raster_light kind, const real light[9], const real normal[3])
{
    return kind == RASTER_RIG ? rig(light, normal) : harmonics(light, normal);
}

static void rig_adjoint(const real light[9], const real normal[3], real dirradiance,
                        real dnormal[3], real dlight[9])
{
    dlight[0] += dirradiance;
    for (int first = 1; first < 7; first += 3) {
        if (!(dot(light + first, normal) > 0))
            continue;
        for (int c = 0; c < 3; c++) {
            dnormal[c] += dirradiance * light[first + c];
            dlight[first + c] += dirradiance * normal[c];
        }
    }
}

void raster_irradiance_adjoint(raster_light kind, const real light[9], const real normal[3],
                               real dirradiance, real dnormal[3], real dlight[9])
{
    if (kind == RASTER_RIG) {
        rig_adjoint(light, normal, dirradiance, dnormal, dlight);
        return;
    }
    if (!(harmonics(light, normal) > 0))
        return;
    const real *l = light, x = normal[0], y = normal[1], z = normal[2];
    real values[9];
    basis(normal, values);
    for (int i = 0; i < 9; i++)
        dlight[i] += dirradiance * values[i];
    dnormal[0] +=
        dirradiance * (band1 * l[3] + band2 * (l[4] * y + l[7] * z) + 2 * band22 * l[8] * x);
    dnormal[1] +=
        dirradiance * (band1 * l[1] + band2 * (l[4] * x + l[5] * z) - 2 * band22 * l[8] * y);
    dnormal[2] +=
        dirradiance * (band1 * l[2] + band2 * (l[5] * y + l[7] * x) + 6 * band20 * l[6] * z);
}

void raster_light_polynomial(const real light[9], real p[9])
{
    p[0] = band0 * light[0] - band20 * light[6];
    p[1] = band1 * light[3];
    p[2] = band1 * light[1];
    p[3] = band1 * light[2];
    p[4] = band2 * light[4];
    p[5] = band2 * light[5];
    p[6] = band2 * light[7];
    p[7] = 3 * band20 * light[6];
    p[8] = band22 * light[8];
}

void raster_light_polynomial_adjoint(const real dp[9], real dlight[9])
{
    dlight[0] += band0 * dp[0];
    dlight[1] += band1 * dp[2];
    dlight[2] += band1 * dp[3];
    dlight[3] += band1 * dp[1];
    dlight[4] += band2 * dp[4];
    dlight[5] += band2 * dp[5];
    dlight[6] += band20 * (3 * dp[7] - dp[0]);
    dlight[7] += band2 * dp[6];
    dlight[8] += band22 * dp[8];
}

static void turn_vector(real c, real s, real v[3])
{
    real x = v[0], z = v[2];
    v[0] = c * x + s * z;
    v[2] = c * z - s * x;
}

/* The linear part turns as a vector, the quadratic n^T Q n to R Q R^T, of whose trace
 * e (xx + yy + zz) = e goes to the constant. */
static void turn_harmonics(real c, real s, real light[9])
{
    real p[9], turned[3][3] = { { 0 } };
    const real r[3][3] = { { c, 0, s }, { 0, 1, 0 }, { -s, 0, c } };
    raster_light_polynomial(light, p);
    const real q[3][3] = { { p[8], p[4] / 2, p[6] / 2 },
                           { p[4] / 2, -p[8], p[5] / 2 },
                           { p[6] / 2, p[5] / 2, p[7] } };
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            for (int k = 0; k < 9; k++)
                turned[i][j] += r[i][k / 3] * q[k / 3][k % 3] * r[j][k % 3];
    real trace = (turned[0][0] + turned[1][1]) / 2;
    turn_vector(c, s, p + 1);
    light[3] = p[1] / band1;
    light[2] = p[3] / band1;
    light[4] = 2 * turned[0][1] / band2;
    light[5] = 2 * turned[1][2] / band2;
    light[7] = 2 * turned[0][2] / band2;
    light[6] = (turned[2][2] - trace) / (3 * band20);
    light[8] = (turned[0][0] - turned[1][1]) / (2 * band22);
    light[0] = (p[0] + trace + band20 * light[6]) / band0;
}

void raster_light_turn(real degrees, raster_light kind, real light[9])
{
    double angle = fmod((double)degrees, 360) * 0.017453292519943295;
    real c = (real)cos(angle), s = (real)sin(angle);
    if (kind == RASTER_HARMONICS) {
        turn_harmonics(c, s, light);
        return;
    }
    turn_vector(c, s, light + 1);
    turn_vector(c, s, light + 4);
}

static void make_light(const setting *s, raster_light kind, real light[9])
{
    const double pi = 3.14159265358979323846, degree = pi / 180;
    const double lobe[9] = { pi,     2 * pi / 3, 2 * pi / 3, 2 * pi / 3, pi / 4,
                             pi / 4, pi / 4,     pi / 4,     pi / 4 };
    bool harmonic = kind == RASTER_HARMONICS;
    for (int i = 0; i < 9; i++)
        light[i] = i ? 0 : (real)(harmonic ? s->ambient / (double)band0 : s->ambient);
    for (int k = 0; k < LAMPS; k++) {
        const lamp *p = &s->lamps[k];
        double a = p->azimuth * degree, e = p->elevation * degree;
        const real d[3] = { (real)(sin(a) * cos(e)), (real)sin(e), (real)(cos(a) * cos(e)) };
        real y[9];
        basis(d, y);
        for (int i = 0; i < 9 && harmonic; i++)
            light[i] += (real)(p->strength * lobe[i]) * y[i];
        for (int i = 0; i < 3 && !harmonic; i++)
            light[1 + 3 * k + i] = (real)p->strength * d[i];
    }
}

int raster_light_presets(void)
{
    return (int)(sizeof presets / sizeof *presets);
}

void raster_light_preset(int preset, raster_light kind, real light[9])
{
    assert(preset >= 0 && preset < raster_light_presets());
    make_light(&presets[preset], kind, light);
}

/* The fill stands on the other side of the key, so that a strong key never leaves one half
 * black. */
void raster_light_random(rng *r, raster_light kind, real light[9])
{
    setting s;
    s.ambient = rng_range(r, 0.18, 0.32);
    s.lamps[0].azimuth = rng_range(r, -70, 70);
    s.lamps[0].elevation = rng_range(r, -10, 65);
    s.lamps[0].strength = rng_range(r, 0.35, 0.60);
    double away = rng_range(r, 70, 160);
    s.lamps[1].azimuth = s.lamps[0].azimuth + (s.lamps[0].azimuth > 0 ? -away : away);
    s.lamps[1].elevation = rng_range(r, -20, 40);
    s.lamps[1].strength = rng_range(r, 0.08, 0.22);
    make_light(&s, kind, light);
}

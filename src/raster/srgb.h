/* SPDX-License-Identifier: Apache-2.0 */
/* The sRGB curve and its slope, written so that loops over them can be vectorised.
 * s = 12.92 x below 0.0031308, else 1.055 x^(1/2.4) - 0.055; not limited above. */
#ifndef HDS_RASTER_SRGB_H
#define HDS_RASTER_SRGB_H

#include "base/base.h"

#include <math.h>
#include <string.h>

static const real srgb_knee = (real)0.0031308;

#ifdef HDS_REAL_DOUBLE

static inline real srgb_power(real x)
{
    return pow(x, 1 / 2.4);
}

#else

/* x^(1/2.4) for x >= srgb_knee to about 3e-7: 2^(log2(x) / 2.4), where x = 2^k m with m in
 * [sqrt 1/2, sqrt 2), log2 m from the series in (m - 1) / (m + 1). */
static inline real srgb_power(real x)
{
    int32_t bits, shift = 0x3f3504f3; /* sqrt 1/2 */
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (bits - shift) >> 23;
    bits -= exponent * (1 << 23);
    float m, r;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1) / (m + 1), t = s * s;
    float log2m = s * (2.885390082f + t * (0.961796694f + t * (0.577078016f + t * 0.412198583f)));
    float y = ((float)exponent + log2m) * (1 / 2.4f);
    int32_t whole = (int32_t)(y + 64.5f) - 64;
    float f = (y - (float)whole) * 0.693147181f;
    float e = 1 + f * (1 + f * (0.5f + f * (1.f / 6 + f * (1.f / 24 + f * (1.f / 120 + f / 720)))));
    int32_t scale = (whole + 127) << 23;
    memcpy(&r, &scale, sizeof r);
    return e * r;
}

#endif

static inline real srgb_from_linear(real x)
{
    real power = srgb_power(x > srgb_knee ? x : srgb_knee);
    return x > srgb_knee ? (real)1.055 * power - (real)0.055 : (real)12.92 * x;
}

/* d sRGB / d linear */
static inline real srgb_slope(real x)
{
    real above = x > srgb_knee ? x : srgb_knee;
    real slope = (real)(1.055 / 2.4) * srgb_power(above) / above;
    return x > srgb_knee ? slope : (real)12.92;
}

#endif

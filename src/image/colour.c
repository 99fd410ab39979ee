/* SPDX-License-Identifier: Apache-2.0 */
/* sRGB to linear light and back, with adjoints; reals to 8 bit and back.
 *
 * linear = srgb / 12.92 below 0.04045, else ((srgb + 0.055) / 1.055)^2.4 (IEC 61966-2-1). */
#include "image/image.h"

#include <math.h>

/* Where the two pieces meet, as published for each direction. */
#define SRGB_KNEE ((real)0.04045)
#define LINEAR_KNEE ((real)0.0031308)
#define SLOPE ((real)12.92)
#define OFFSET ((real)0.055)
#define GAMMA ((real)2.4)

#ifdef HDS_REAL_DOUBLE
#define POW pow
#define RINT rint
#else
#define POW powf
#define RINT rintf
#endif

real image_srgb_to_linear(real srgb)
{
    return srgb <= SRGB_KNEE ? srgb / SLOPE : POW((srgb + OFFSET) / (1 + OFFSET), GAMMA);
}

real image_linear_to_srgb(real linear)
{
    return linear <= LINEAR_KNEE ? linear * SLOPE : (1 + OFFSET) * POW(linear, 1 / GAMMA) - OFFSET;
}

static real slope_to_linear(real srgb)
{
    if (srgb <= SRGB_KNEE)
        return 1 / SLOPE;
    return GAMMA / (1 + OFFSET) * POW((srgb + OFFSET) / (1 + OFFSET), GAMMA - 1);
}

static real slope_to_srgb(real linear)
{
    return linear <= LINEAR_KNEE ? SLOPE : (1 + OFFSET) / GAMMA * POW(linear, 1 / GAMMA - 1);
}

void image_to_linear(const real *srgb, size_t count, real *linear)
{
    for (size_t i = 0; i < count; i++)
        linear[i] = image_srgb_to_linear(srgb[i]);
}

void image_to_linear_adjoint(const real *srgb, size_t count, const real *dlinear, real *dsrgb)
{
    for (size_t i = 0; i < count; i++)
        dsrgb[i] += slope_to_linear(srgb[i]) * dlinear[i];
}

void image_to_srgb(const real *linear, size_t count, real *srgb)
{
    for (size_t i = 0; i < count; i++)
        srgb[i] = image_linear_to_srgb(linear[i]);
}

void image_to_srgb_adjoint(const real *linear, size_t count, const real *dsrgb, real *dlinear)
{
    for (size_t i = 0; i < count; i++)
        dlinear[i] += slope_to_srgb(linear[i]) * dsrgb[i];
}

void image_to_u8(const real *in, size_t count, uint8_t *out)
{
    for (size_t i = 0; i < count; i++) {
        real level = RINT(in[i] * 255);
        out[i] = level >= 255 ? 255 : level > 0 ? (uint8_t)level : 0;
    }
}

void image_from_u8(const uint8_t *in, size_t count, real *out)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (real)in[i] / 255;
}

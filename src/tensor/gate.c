/* SPDX-License-Identifier: Apache-2.0 */
/* gelu(b) = b (1 + erf(b/sqrt 2))/2, with erf to 1.5e-7: Abramowitz and Stegun 1964, 7.1.26. */
#include "gate.h"
#include "lanes.h"

#include <string.h>

INLINE void gelu(vec *b)
{
    vec zero = { 0 }, minus = zero - *b, x;
    ivec negative = *b < zero;
    lanes_choose(&negative, &minus, b, &x);
    x *= 0.70710678f;
    vec t = 1.0f / (1.0f + 0.3275911f * x), e = -x * x;
    lanes_exp(&e);
    vec y = t * 1.061405429f - 1.453152027f;
    y = y * t + 1.421413741f;
    y = y * t - 0.284496736f;
    y = y * t + 0.254829592f;
    vec rest = y * t * e, whole = 2.0f - rest; /* 1 - erf and 1 + erf of |b|/sqrt 2 */
    lanes_choose(&negative, &rest, &whole, &y);
    *b *= 0.5f * y;
}

SIMD_VARIANTS(void, gate_gelu, (const float *x, size_t rows, size_t width, float *out),
              (x, rows, width, out))
{
    for (size_t r = 0; r < rows; r++, x += 2 * width, out += width) {
        size_t i = 0;
        for (; i + LANES <= width; i += LANES) {
            vec b = *(const vec *)(x + width + i);
            gelu(&b);
            *(vec *)(out + i) = *(const vec *)(x + i) * b;
        }
        vec b = { 0 };
        memcpy(&b, x + width + i, (width - i) * sizeof *x);
        gelu(&b);
        for (size_t k = 0; i < width; i++, k++)
            out[i] = x[i] * b[k];
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Eight floats at a time, through the compiler. */
#ifndef HDS_LANES_H
#define HDS_LANES_H

#include "base/base.h"

enum { LANES = 8 };
typedef float vec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

/* which ? a : b in each lane; by pointer: there is no one way of passing vectors on all machines.
 */
INLINE void lanes_choose(const ivec *which, const vec *a, const vec *b, vec *out)
{
    *out = (vec)(((ivec)*a & *which) | ((ivec)*b & ~*which));
}

/* *value = e^*value for *value <= 0, to 2e-7 of it; as at -87 below that.
 * x = n log 2 + r, |r| <= log(2)/2; Taylor's series for e^r. */
INLINE void lanes_exp(vec *value)
{
    const float shift = 12582912.0f; /* 1.5 2^23: adding it rounds to an integer */
    vec lowest = (vec){ 0 } - 87.0f, x;
    ivec low = *value < lowest;
    lanes_choose(&low, &lowest, value, &x);
    vec t = x * 1.44269504f + shift, n = t - shift;
    vec r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* log 2 in two parts, the first exact */
    vec y = r * (1.0f / 5040) + 1.0f / 720;
    y = y * r + 1.0f / 120;
    y = y * r + 1.0f / 24;
    y = y * r + 1.0f / 6;
    y = y * r + 0.5f;
    y = y * r + 1.0f;
    y = y * r + 1.0f;
    y = (vec)((uvec)y + ((uvec)t << 23)); /* the integer is in the low bits of t */
    ivec number = x == x;                 /* adding to the bits of what is none would make it one */
    lanes_choose(&number, &y, &x, value);
}

#endif

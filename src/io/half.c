/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as they lie in files, to and from float: IEEE half, bfloat16, two kinds of 8 bits
 * (Micikevicius et al. 2022, "FP8 formats for deep learning"), integers. */
#include "io/io.h"

#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are read in place");

static float from_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static uint32_t to_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, rest = half & 0x7fffu;
    float subnormal = (float)rest * 0x1p-24f;
    uint32_t normal = (rest << 13) + ((rest < 0x7c00u ? 127u - 15u : 255u - 31u) << 23);
    return from_bits(sign | (rest < 0x400u ? to_bits(subnormal) : normal));
}

/* 1 sign, 4 exponent (bias 7), 3 mantissa bits; all ones is not a number, and nothing is infinite.
 */
static float e4m3_to_float(uint8_t eighth)
{
    uint32_t sign = (uint32_t)(eighth & 0x80u) << 24, rest = eighth & 0x7fu;
    float subnormal = (float)rest * 0x1p-9f;
    uint32_t normal = rest == 0x7fu ? 0x7fc00000u : (rest << 20) + ((127u - 7u) << 23);
    return from_bits(sign | (rest < 8u ? to_bits(subnormal) : normal));
}

static uint16_t float_to_half(float value)
{
    uint32_t bits = to_bits(value), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    uint32_t half;
    if (rest > 0x7f800000u)
        half = 0x7e00u; /* not a number */
    else if (rest >= 0x477ff000u)
        half = 0x7c00u; /* 65520 and more: infinity */
    else if (rest < 0x38800000u)
        half = to_bits(from_bits(rest) + 0.5f) - 0x3f000000u; /* one ulp of 0.5 is 2^-24 */
    else
        half = (rest + 0xfffu + (rest >> 13 & 1u) - 0x38000000u) >> 13;
    return (uint16_t)(sign | half);
}

static uint16_t float_to_bfloat(float value)
{
    uint32_t bits = to_bits(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u); /* not a number */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

#define CONVERT(type, expression)                                                                  \
    for (size_t i = 0; i < count; i++) {                                                           \
        type x;                                                                                    \
        memcpy(&x, (const unsigned char *)data + i * sizeof x, sizeof x);                          \
        out[i] = (expression);                                                                     \
    }                                                                                              \
    break

void io_to_f32(const void *data, io_dtype dtype, float *out, size_t count)
{
    switch (dtype) {
    case IO_F16:
        CONVERT(uint16_t, half_to_float(x));
    case IO_BF16:
        CONVERT(uint16_t, from_bits((uint32_t)x << 16));
    case IO_F32:
        CONVERT(float, x);
    case IO_F64:
        CONVERT(double, (float)x);
    case IO_I8:
        CONVERT(int8_t, (float)x);
    case IO_U8:
        CONVERT(uint8_t, (float)x);
    case IO_I16:
        CONVERT(int16_t, (float)x);
    case IO_U16:
        CONVERT(uint16_t, (float)x);
    case IO_I32:
        CONVERT(int32_t, (float)x);
    case IO_U32:
        CONVERT(uint32_t, (float)x);
    case IO_I64:
        CONVERT(int64_t, (float)x);
    case IO_U64:
        CONVERT(uint64_t, (float)x);
    case IO_BOOL:
        CONVERT(uint8_t, x ? 1.0f : 0.0f);
    case IO_F8_E4M3:
        CONVERT(uint8_t, e4m3_to_float(x));
    case IO_F8_E5M2:
        CONVERT(uint8_t, half_to_float((uint16_t)(x << 8)));
    }
}

void io_f32_to_f16(const float *in, uint16_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = float_to_half(in[i]);
}

void io_f32_to_bf16(const float *in, uint16_t *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = float_to_bfloat(in[i]);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Counter-based random numbers: Philox 4x32 with 10 rounds.
 * Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC'11. */
#include "base/base.h"

#include <math.h>

static void philox(uint32_t c[4], uint32_t k0, uint32_t k1)
{
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c[0], p1 = (uint64_t)0xCD9E8D57u * c[2];
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c[1] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c[3] ^ k1;
        c[1] = (uint32_t)p1;
        c[3] = (uint32_t)p0;
        c[0] = n0;
        c[2] = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
}

rng rng_make(uint64_t seed, uint64_t stream)
{
    return (rng){ .seed = seed, .stream = stream, .index = 0 };
}

uint32_t rng_u32(rng *r)
{
    uint64_t block = r->index / 4;
    uint32_t counter[4] = { (uint32_t)block, (uint32_t)(block >> 32), (uint32_t)r->stream,
                            (uint32_t)(r->stream >> 32) };
    philox(counter, (uint32_t)r->seed, (uint32_t)(r->seed >> 32));
    return counter[r->index++ % 4];
}

double rng_uniform(rng *r)
{
    uint64_t high = rng_u32(r), low = rng_u32(r);
    return (double)((high << 21) ^ (low >> 11)) * 0x1p-53;
}

double rng_range(rng *r, double low, double high)
{
    return low + (high - low) * rng_uniform(r);
}

double rng_normal(rng *r)
{
    double radius = sqrt(-2.0 * log(1.0 - rng_uniform(r)));
    return radius * cos(6.283185307179586 * rng_uniform(r));
}

uint32_t rng_below(rng *r, uint32_t count)
{
    return (uint32_t)(((uint64_t)rng_u32(r) * count) >> 32);
}

void rng_normal_fill(rng *r, float *out, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = (float)rng_normal(r);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A hash of bytes, FNV-1a: for byte b, hash = (hash xor b) * 1099511628211 mod 2^64.
 * Fowler, Noll and Vo, 1991. */
#include "base/base.h"

uint64_t base_hash(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ b[i]) * 1099511628211u;
    return hash;
}

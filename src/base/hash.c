/* SPDX-License-Identifier: Apache-2.0 */
/* Hashes of bytes. FNV-1a: for byte b, hash = (hash xor b) * 1099511628211 mod 2^64. Fowler, Noll
 * and Vo, 1991. A digest, for gigabytes of weights, goes through eight bytes at a time. */
#include "base/base.h"

#include <string.h>

uint64_t base_hash(uint64_t hash, const void *bytes, size_t count)
{
    const uint8_t *b = bytes;
    for (size_t i = 0; i < count; i++)
        hash = (hash ^ b[i]) * 1099511628211u;
    return hash;
}

/* Four lanes of eight bytes, each multiplied by an odd constant and rotated; then mixed by FNV. */
uint64_t base_digest(const void *bytes, size_t count)
{
    static const uint64_t odd = 0x9E3779B97F4A7C15u;
    uint64_t lane[4] = { 1, 2, 3, 4 };
    const uint8_t *b = bytes;
    size_t whole = count / sizeof lane * sizeof lane;
    for (size_t i = 0; i < whole; i += sizeof lane) {
        uint64_t word[4];
        memcpy(word, b + i, sizeof word);
        for (int k = 0; k < 4; k++) {
            lane[k] = (lane[k] ^ word[k]) * odd;
            lane[k] = lane[k] << 31 | lane[k] >> 33;
        }
    }
    uint64_t hash = base_hash(BASE_HASH_START, lane, sizeof lane);
    hash = base_hash(hash, b + whole, count - whole);
    return base_hash(hash, &count, sizeof count);
}

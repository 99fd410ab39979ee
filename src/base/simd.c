/* SPDX-License-Identifier: Apache-2.0 */
/* Which variant of the kernels runs. */
#include "base/base.h"

#include <stdlib.h>
#include <string.h>

simd_level simd_used;

const char *simd_name(simd_level level)
{
    static const char *const names[SIMD_LEVELS] = { "plain", "avx2", "avx512" };
    return names[level];
}

static simd_level allowed(void)
{
    const char *word = getenv("HEADSDS_SIMD");
    if (!word || !*word)
        return SIMD_LEVELS - 1;
    for (simd_level level = SIMD_LEVELS - 1; level > SIMD_PLAIN; level--)
        if (strcmp(word, simd_name(level)) == 0)
            return level;
    return SIMD_PLAIN;
}

static simd_level machine(void)
{
#ifdef __x86_64__
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
        !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
        return SIMD_PLAIN;
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return SIMD_AVX512;
    return SIMD_AVX2;
#else
    return SIMD_PLAIN;
#endif
}

simd_level simd_widest(void)
{
    simd_level most = allowed(), here = machine();
    return most < here ? most : here;
}

__attribute__((constructor)) static void start(void)
{
    simd_used = simd_widest();
}

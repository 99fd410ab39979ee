/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of variants share: a kernel at one level of instructions gives equal bytes on 1, 2
 * and 3 threads, and numbers close to those of its plain variant. */
#ifndef HDS_TEST_VARIANTS_H
#define HDS_TEST_VARIANTS_H

#include "base/base.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VARIANTS_PARTS = 6, VARIANTS_SKIPPED = 77 };

/* Results of a kernel, one after the other. Those of 0 tolerance are equal; of others the largest
 * difference is at most tolerance times the largest number. */
typedef struct variants_part {
    const char *name;
    size_t count;
    double tolerance;
} variants_part;

/* Calculates all parts into `out`, which is zeros. */
typedef void (*variants_kernel)(const void *context, real *out);

static simd_level variants_level;
static int variants_failures;

static struct {
    const char *name;
    double difference, tolerance;
} variants_table[32]; /* the largest difference of each part */

static inline void *variants_zeros(size_t count, size_t size)
{
    void *memory = calloc(count + 1, size);
    if (!memory)
        abort();
    return memory;
}

static inline real *variants_random(uint64_t stream, size_t count, double scale)
{
    real *out = variants_zeros(count, sizeof *out);
    rng r = rng_make(14, stream);
    for (size_t i = 0; i < count; i++)
        out[i] = (real)(scale * rng_normal(&r));
    return out;
}

static inline real *variants_run(variants_kernel kernel, const void *context, simd_level level,
                                 int threads, size_t count)
{
    real *out = variants_zeros(count, sizeof *out);
    const simd_level before = simd_used;
    simd_used = level;
    threads_set_count(threads);
    kernel(context, out);
    threads_set_count(1);
    simd_used = before;
    return out;
}

static inline double variants_difference(const real *a, const real *b, size_t count)
{
    double largest = 0, difference = 0;
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs((double)b[i]));
        if (!(fabs((double)a[i] - (double)b[i]) <= difference))
            difference = a[i] == b[i] ? difference : fabs((double)a[i] - (double)b[i]);
    }
    return difference == 0 ? 0 : difference / fmax(largest, 1e-30);
}

static inline void variants_note(const variants_part *part, double difference)
{
    size_t i = 0;
    while (variants_table[i].name && strcmp(variants_table[i].name, part->name) != 0)
        i++;
    if (i + 1 == sizeof variants_table / sizeof *variants_table)
        abort();
    variants_table[i].name = part->name;
    variants_table[i].tolerance = part->tolerance;
    if (!(difference <= variants_table[i].difference))
        variants_table[i].difference = difference;
}

/* `where`: the case, for messages. Parts end at the first without a name. */
static inline void variants_check(const char *where, variants_kernel kernel, const void *context,
                                  const variants_part parts[VARIANTS_PARTS])
{
    size_t count = 0;
    for (int k = 0; k < VARIANTS_PARTS && parts[k].name; k++)
        count += parts[k].count;
    real *plain = variants_run(kernel, context, SIMD_PLAIN, 1, count);
    real *one = variants_run(kernel, context, variants_level, 1, count);
    for (int threads = 2; threads <= 3; threads++) {
        real *several = variants_run(kernel, context, variants_level, threads, count);
        if (memcmp(one, several, count * sizeof *one) != 0) {
            printf("%s: %s and so on: other bytes on %d threads than on one\n", where,
                   parts[0].name, threads);
            variants_failures++;
        }
        free(several);
    }
    for (size_t k = 0, at = 0; k < VARIANTS_PARTS && parts[k].name; at += parts[k++].count) {
        double difference = variants_difference(one + at, plain + at, parts[k].count);
        variants_note(&parts[k], difference);
        if (!(difference <= parts[k].tolerance)) {
            printf("%s: %s differs from the plain variant by %.2g of its largest number, allowed "
                   "%.2g\n",
                   where, parts[k].name, difference, parts[k].tolerance);
            variants_failures++;
        }
    }
    free(plain);
    free(one);
}

/* Chooses the level that the program is called with; otherwise returns its exit status. */
static inline int variants_begin(int count, char **arguments)
{
    simd_level level = SIMD_PLAIN;
    while (level < SIMD_LEVELS && (count != 2 || strcmp(arguments[1], simd_name(level)) != 0))
        level++;
    if (level == SIMD_LEVELS) {
        printf("wants the name of a level: plain, avx2 or avx512\n");
        return 2;
    }
    if (level > simd_widest()) {
        printf("skipped: this machine has no %s, or HEADSDS_SIMD forbids it\n", simd_name(level));
        return VARIANTS_SKIPPED;
    }
    variants_level = level;
    mallopt(M_PERTURB, 0x5a); /* what is not written is not the result of the run before */
    simd_used = SIMD_PLAIN;   /* whatever is made for a kernel to work on */
    return 0;
}

static inline int variants_end(void)
{
    for (size_t i = 0; variants_table[i].name; i++)
        printf("%-24s differs from plain by %7.1e, allowed %7.1e\n", variants_table[i].name,
               variants_table[i].difference, variants_table[i].tolerance);
    printf("%s: %d failures\n", simd_name(variants_level), variants_failures);
    return variants_failures != 0;
}

#endif

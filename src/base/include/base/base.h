/* SPDX-License-Identifier: Apache-2.0 */
/* What every module stands on: status and error, hashes, arena, threads, forks and the end of the
 * process, counter-based random numbers, a cache of arrays.
 *
 * Kernels from math to raster cannot fail; they are compiled twice, with `real` as float (the
 * product) and as double (the gradient tests, -DHDS_REAL_DOUBLE). */
#ifndef HDS_BASE_H
#define HDS_BASE_H

#include "headsds/error.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef HDS_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif

#define INLINE static inline __attribute__((always_inline))

/* ---- simd.c: kernels, compiled for each kind of machine ---- */

/* Instructions that kernels are compiled for: what the platform promises; AVX2 with fused
 * multiplication (x86-64-v3); AVX-512 (x86-64-v4). */
typedef enum simd_level { SIMD_PLAIN, SIMD_AVX2, SIMD_AVX512, SIMD_LEVELS } simd_level;
/* What kernels use: simd_widest() from the start of the program on. Only tests change it. */
extern simd_level simd_used;
/* The most that this machine has, and that $HEADSDS_SIMD allows: "avx512" or "avx2"; any other word
 * allows the plain ones only. A variable, because the backends have a base of their own. */
simd_level simd_widest(void);
const char *simd_name(simd_level level);

/* Before the body of a function that returns nothing: compiles it for each level and calls the
 * variant for the level in use. `head`: "void" or "static void". */
#ifdef __x86_64__
#define SIMD_WITH_AVX2 __attribute__((noinline, target("avx2,fma,bmi,bmi2")))
#define SIMD_WITH_AVX512                                                                           \
    __attribute__((noinline,                                                                       \
                   target("avx2,fma,bmi,bmi2,avx512f,avx512bw,avx512cd,avx512dq,avx512vl")))
#define SIMD_VARIANTS(head, name, parameters, arguments)                                           \
    INLINE void name##_body parameters;                                                            \
    __attribute__((noinline)) static void name##_plain parameters                                  \
    {                                                                                              \
        name##_body arguments;                                                                     \
    }                                                                                              \
    SIMD_WITH_AVX2 static void name##_avx2 parameters                                              \
    {                                                                                              \
        name##_body arguments;                                                                     \
    }                                                                                              \
    SIMD_WITH_AVX512 static void name##_avx512 parameters                                          \
    {                                                                                              \
        name##_body arguments;                                                                     \
    }                                                                                              \
    head name parameters                                                                           \
    {                                                                                              \
        if (simd_used == SIMD_AVX512)                                                              \
            name##_avx512 arguments;                                                               \
        else if (simd_used == SIMD_AVX2)                                                           \
            name##_avx2 arguments;                                                                 \
        else                                                                                       \
            name##_plain arguments;                                                                \
    }                                                                                              \
    INLINE void name##_body parameters
#else
#define SIMD_VARIANTS(head, name, parameters, arguments) head name parameters
#endif

/* ---- error.c ---- */

/* The one place where errors are born: set a breakpoint here. Returns `status`. The message is one
 * line of UTF-8 whatever it repeats: control characters become spaces, ill-formed bytes "?". */
hds_status hds_raise(hds_error *error, hds_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Bytes of the well-formed UTF-8 character at `text`, 1 to 4: no overlong form, no surrogate,
 * nothing above U+10FFFF. 0: there is none, or the end. */
size_t hds_utf8_length(const char *text);
/* HDS_ERROR_ARGUMENT: `text` is not UTF-8; says so of `name`, and where. */
hds_status hds_utf8_check(const char *name, const char *text, hds_error *error);

/* ---- hash.c ---- */

#define BASE_HASH_START 14695981039346656037u
/* The hash of what gave `hash` (of nothing: BASE_HASH_START, or a number of one's own) and `count`
 * bytes after it. Checkpoints and .headsds files hold such numbers: they never change. */
uint64_t base_hash(uint64_t hash, const void *bytes, size_t count);

/* The same purpose at the speed of memory, for files of weights; equal bytes, equal digest. */
uint64_t base_digest(const void *bytes, size_t count);

/* ---- memory.c ---- */

/* Zeroed memory of count * size bytes, or NULL (also when the product overflows). */
void *hds_alloc(size_t count, size_t size);
void hds_free(void *memory);
char *hds_strdup(const char *text);       /* new, or NULL; NULL of NULL */
char *hds_format(const char *format, ...) /* new, or NULL */
    __attribute__((format(printf, 1, 2)));

/* Scratch memory that is given back all at once. Grows by blocks; a pointer stays valid until
 * arena_leave to a mark taken before it, or arena_finish. Allocation failure: see arena_alloc. */
typedef struct arena_block arena_block;
typedef struct arena {
    arena_block *block; /* newest; blocks are kept for reuse by the next round */
    size_t used;        /* bytes used of the newest block */
} arena;
typedef struct arena_mark {
    arena_block *block;
    size_t used;
} arena_mark;
/* Zeroed, 64-byte aligned; NULL: out of memory. */
void *arena_alloc(arena *a, size_t count, size_t size);
/* The same with whatever was there: for what is written before it is read. */
void *arena_take(arena *a, size_t count, size_t size);
arena_mark arena_enter(const arena *a);
void arena_leave(arena *a, arena_mark mark);
void arena_finish(arena *a);

/* ---- threads.c ---- */

/* Calls body(context, i) once for each i in [0, count), on up to threads_count() threads, and
 * returns when all are done. Results are the same for any number of threads as long as body(i)
 * writes only what belongs to i: reduce per-chunk sums in order of chunk, with a number of chunks
 * that does not depend on the threads. A nested call runs on the calling thread. */
typedef void (*threads_body)(void *context, size_t index);
void threads_parallel(size_t count, threads_body body, void *context);
int threads_count(void);
void threads_set_count(int count); /* 0: the number of processors this process may use */

/* ---- work.c: what a fork, an interrupt or the end of the process comes into ---- */

/* Around each call of a library that bears neither fork nor exit() meanwhile. A fork waits until
 * nobody is inside, and work_enter waits for the fork. false: nobody enters any more, and
 * work_leave is not called; work_usable says why. */
bool work_enter(void);
void work_leave(void);
/* Around the loading of that library; begin fails where nobody enters any more. */
HDS_NODISCARD hds_status work_load_begin(hds_error *error);
void work_load_end(bool loaded);
/* HDS_ERROR_INTERNAL in the child of a fork that the library's threads are missing in,
 * HDS_ERROR_CANCELLED when the process ends. */
HDS_NODISCARD hds_status work_usable(hds_error *error);
bool work_forked(void);         /* of these the first: locks may be held by threads that are not */
unsigned work_generation(void); /* another one in the child of a fork: threads stayed behind */

/* A call by this thread, or a thread's whole work; in nested ones the inner one counts. */
typedef struct work_watch {
    bool (*stop)(void *context); /* whether it is to end; NULL: when the process does */
    void *context;
    struct work_watch *outer;
} work_watch;
void work_watch_begin(work_watch *w);
void work_watch_end(work_watch *w);
bool work_stopped(void); /* between operations: whether this thread is to end what it does */

/* Threads that work while nobody waits for them. */
typedef struct work_run {
    void (*cancel)(void *context); /* takes no lock that is held around these functions */
    void *context;
    struct work_run *next;
} work_run;
void work_run_begin(work_run *r);
void work_run_end(work_run *r);

/* The process is about to end: cancels all runs and waits until they have ended, or give_up(),
 * asked now and then, says so. Calls without a `stop` of their own end too. */
void work_end(bool (*give_up)(void *context), void *context);
/* Nobody enters any more, and nobody is inside. Also called by exit(). */
void work_close(void);
void work_open(void); /* the process goes on, as an embedded interpreter that begins anew */

/* ---- random.c: Philox 4x32-10 (Salmon et al., SC'11) ---- */

/* A random number is a function of (seed, stream, index): nothing is carried between draws, so a
 * resumed run draws what the killed one would have drawn. */
typedef struct rng {
    uint64_t seed;
    uint64_t stream; /* what the numbers are for: step, view, ... */
    uint64_t index;  /* next draw */
} rng;
rng rng_make(uint64_t seed, uint64_t stream);
uint32_t rng_u32(rng *r);
double rng_uniform(rng *r);                        /* [0, 1) */
double rng_range(rng *r, double low, double high); /* [low, high) */
double rng_normal(rng *r);                         /* mean 0, variance 1 */
uint32_t rng_below(rng *r, uint32_t count);        /* [0, count) */
void rng_normal_fill(rng *r, float *out, size_t count);

/* ---- cache.c ---- */

/* Arrays of floats that took long to calculate, under names that say everything they depend on: the
 * last few in memory, all in a folder of files: $HEADSDS_CACHE (empty: none), else headsds in
 * $XDG_CACHE_HOME or in ~/.cache. Safe from any thread and process.
 * -> whether `count` values were found under this name. */
bool cache_get(const char *name, float *values, size_t count);
void cache_put(const char *name, const float *values, size_t count); /* best effort */
void cache_forget(void); /* what is in memory: for tests */

#endif

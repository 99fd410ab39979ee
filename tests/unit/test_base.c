/* SPDX-License-Identifier: Apache-2.0 */
/* Errors, hashes, memory, threads and random numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/base.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_first_error_wins(void **state)
{
    hds_error error = { 0 };
    assert_int_equal(hds_raise(&error, HDS_ERROR_FORMAT, "%s: line %d", "a.json", 3),
                     HDS_ERROR_FORMAT);
    assert_int_equal(hds_raise(&error, HDS_ERROR_OS, "later"), HDS_ERROR_OS);
    assert_int_equal(error.status, HDS_ERROR_FORMAT);
    assert_string_equal(error.message, "a.json: line 3");
    assert_int_equal(hds_raise(NULL, HDS_ERROR_MEMORY, "no place for it"), HDS_ERROR_MEMORY);
}

static void test_long_messages_are_cut(void **state)
{
    hds_error error = { 0 };
    char text[2 * sizeof error.message];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    (void)hds_raise(&error, HDS_ERROR_OS, "%s", text);
    assert_int_equal(strlen(error.message), sizeof error.message - 1);
}

static void test_messages_are_one_line(void **state)
{
    static const struct {
        const char *told, *kept;
    } cases[] = {
        { "a\nb\x1b[2J\x7f", "a b [2J " },
        { "h\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80", "h\xc3\xa9 \xe4\xb8\xad \xf0\x9f\x98\x80" },
        { "\xff\x80 \xc3( \xc3", "?? ?( ?" },
        { "\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", "?? ??? ????" }, /* overlong */
        { "\xed\xa0\x80 \xf4\x90\x80\x80 \xf5", "??? ???? ?" },      /* surrogate, too large */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_error error = { 0 };
        (void)hds_raise(&error, HDS_ERROR_FORMAT, "%s", cases[i].told);
        assert_string_equal(error.message, cases[i].kept);
    }
    hds_error error = { 0 };
    (void)hds_raise(&error, HDS_ERROR_FORMAT, "%*s\xc3\xa9", (int)sizeof error.message - 2, "");
    assert_string_equal(error.message + sizeof error.message - 2, "?"); /* cut in two */
}

static void test_hash_vectors(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } cases[] = { /* published with the algorithm */
                  { "", 0xcbf29ce484222325 },
                  { "a", 0xaf63dc4c8601ec8c },
                  { "foobar", 0x85944171f73967e8 }
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_true(base_hash(BASE_HASH_START, cases[i].text, strlen(cases[i].text)) ==
                    cases[i].hash);
    assert_true(base_hash(base_hash(BASE_HASH_START, "foo", 3), "bar", 3) == cases[2].hash);
    assert_true(base_hash(1, NULL, 0) == 1);
}

static void test_alloc(void **state)
{
    unsigned char *memory = hds_alloc(100, 3);
    for (int i = 0; i < 300; i++)
        assert_int_equal(memory[i], 0);
    hds_free(memory);
    memory = hds_alloc(0, 8);
    assert_non_null(memory);
    hds_free(memory);
    volatile size_t huge = SIZE_MAX / 2 + 1;
    assert_null(hds_alloc(huge, 2));
    char *text = hds_format("%d-%s", 12, "ab"), *copy = hds_strdup(text);
    assert_string_equal(copy, "12-ab");
    hds_free(text);
    hds_free(copy);
}

static void test_arena(void **state)
{
    arena a = { 0 };
    unsigned char *first = arena_alloc(&a, 10, 3);
    memset(first, 1, 30);
    arena_mark mark = arena_enter(&a);
    unsigned char *small = arena_alloc(&a, 1, 1), *large = arena_alloc(&a, 3 << 20, 1);
    assert_int_equal((uintptr_t)first % 64 + (uintptr_t)small % 64 + (uintptr_t)large % 64, 0);
    assert_true(small >= first + 30 || small < first);
    memset(small, 2, 1);
    memset(large, 3, 3 << 20);
    assert_int_equal(first[29], 1);
    arena_leave(&a, mark);
    unsigned char *again = arena_alloc(&a, 1, 1);
    assert_ptr_equal(again, small);
    assert_int_equal(again[0], 0);
    assert_null(arena_alloc(&a, SIZE_MAX / 4, 8));
    arena_finish(&a);
    assert_null(a.block);
}

/* The second round of the same size must find its memory already there. */
static void test_arena_keeps_its_block(void **state)
{
    arena a = { 0 };
    arena_mark mark = arena_enter(&a);
    for (int i = 0; i < 5; i++)
        assert_non_null(arena_alloc(&a, 1 << 20, 1));
    arena_leave(&a, mark);
    arena_block *kept = a.block;
    assert_non_null(kept);
    for (int i = 0; i < 5; i++) {
        unsigned char *memory = arena_alloc(&a, 1 << 20, 1);
        assert_int_equal(memory[12345], 0);
        memory[12345] = 7;
    }
    if (a.block != kept) {
        arena_leave(&a, mark);
        kept = a.block;
        for (int i = 0; i < 5; i++)
            assert_non_null(arena_alloc(&a, 1 << 20, 1));
    }
    assert_ptr_equal(a.block, kept);
    arena_finish(&a);
}

enum { INDICES = 1000 };

static void count_index(void *context, size_t i)
{
    ((unsigned char *)context)[i]++;
}

static void test_each_index_once(void **state)
{
    for (int threads = 0; threads <= 9; threads++) {
        unsigned char counts[INDICES] = { 0 };
        threads_set_count(threads);
        assert_true(threads_count() >= 1);
        if (threads)
            assert_int_equal(threads_count(), threads);
        for (int round = 1; round <= 20; round++) {
            threads_parallel(INDICES, count_index, counts);
            for (int i = 0; i < INDICES; i++)
                assert_int_equal(counts[i], round);
        }
        threads_parallel(0, count_index, NULL);
    }
    threads_set_count(0);
}

static void nested(void *context, size_t i)
{
    threads_parallel(10, count_index, (unsigned char *)context + 10 * i);
}

static void *from_another_thread(void *counts)
{
    for (int i = 0; i < 20; i++)
        threads_parallel(INDICES, count_index, counts);
    return NULL;
}

static void test_nested_and_concurrent_loops(void **state)
{
    unsigned char counts[INDICES] = { 0 }, others[INDICES] = { 0 };
    pthread_t thread;
    threads_set_count(4);
    assert_int_equal(pthread_create(&thread, NULL, from_another_thread, others), 0);
    for (int i = 0; i < 20; i++)
        threads_parallel(INDICES / 10, nested, counts);
    pthread_join(thread, NULL);
    for (int i = 0; i < INDICES; i++)
        assert_true(counts[i] == 20 && others[i] == 20);
    threads_set_count(0);
}

/* Short loops of changing sizes on changing numbers of threads. */
typedef struct short_loop {
    size_t count;
    atomic_uchar done[40];
} short_loop;

static atomic_int mistakes;

static void do_once(void *context, size_t i)
{
    short_loop *loop = context;
    mistakes += i >= loop->count || loop->done[i]++;
    for (volatile size_t wait = 0; wait < i % 5 * 40; wait++)
        ;
}

static void *many_short_loops(void *count)
{
    for (size_t n = 0; n < *(const size_t *)count; n++) {
        short_loop loop = { .count = 2 + n * 7 % 37 };
        threads_set_count(2 + (int)(n / 64 % 3));
        threads_parallel(loop.count, do_once, &loop);
        for (size_t i = 0; i < 40; i++)
            mistakes += loop.done[i] != (i < loop.count);
    }
    return NULL;
}

static void test_short_loops(void **state)
{
    size_t count = 100000;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, many_short_loops, &count), 0);
    many_short_loops(&count);
    pthread_join(thread, NULL);
    assert_int_equal(mistakes, 0);
    threads_set_count(0);
}

/* A child that was forked amid another thread's loops can run its own. */
static void test_forks_amid_loops(void **state)
{
    size_t count = 100000, few = 50;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, many_short_loops, &count), 0);
    for (int i = 0; i < 50; i++) {
        int status = 0;
        pid_t child = fork();
        if (child == 0) {
            alarm(20);
            mistakes = 0;
            many_short_loops(&few);
            _exit(mistakes != 0);
        }
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    pthread_join(thread, NULL);
    threads_set_count(0);
}

/* The first is the published vector of Random123 for a zero counter and key; the second was
 * computed by a program that gives all three published vectors. */
static void test_philox_vectors(void **state)
{
    const uint32_t zero[4] = { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 };
    const uint32_t other[4] = { 0x2fe11a02, 0x572a2f27, 0x2f88763b, 0x78d5e325 };
    rng r = rng_make(0, 0), s = rng_make(0x299f31d0a4093822u, 0x0370734413198a2eu);
    s.index = 4 * (uint64_t)0x05a308d3243f6a88;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(rng_u32(&r), zero[i]);
        assert_int_equal(rng_u32(&s), other[i]);
    }
}

/* A draw depends on (seed, stream, index) alone. */
static void test_draws_can_be_resumed(void **state)
{
    rng r = rng_make(5, 9);
    double kept[40];
    for (int i = 0; i < 40; i++)
        kept[i] = rng_normal(&r);
    rng resumed = rng_make(5, 9), other = rng_make(5, 10);
    resumed.index = 20 * (r.index / 40);
    for (int i = 20; i < 40; i++) {
        assert_true(rng_normal(&resumed) == kept[i]);
        assert_true(rng_normal(&other) != kept[i]);
    }
}

/* A cap never gives what the machine has not; words that are no level allow the plain kernels. */
static void test_the_widest_level_is_capped(void **state)
{
    assert_int_equal(unsetenv("HEADSDS_SIMD"), 0);
    const simd_level machine = simd_widest();
    for (simd_level cap = SIMD_PLAIN; cap < SIMD_LEVELS; cap++) {
        assert_int_equal(setenv("HEADSDS_SIMD", simd_name(cap), 1), 0);
        assert_int_equal(simd_widest(), cap < machine ? cap : machine);
    }
    assert_int_equal(setenv("HEADSDS_SIMD", "sse2", 1), 0);
    assert_int_equal(simd_widest(), SIMD_PLAIN);
    assert_int_equal(setenv("HEADSDS_SIMD", "", 1), 0);
    assert_int_equal(simd_widest(), machine);
}

static void test_distributions(void **state)
{
    enum { DRAWS = 200000 };
    rng r = rng_make(1, 1);
    double mean = 0, square = 0, uniform = 0;
    size_t counts[3] = { 0 };
    for (int i = 0; i < DRAWS; i++) {
        double u = rng_uniform(&r), n = rng_normal(&r), v = rng_range(&r, -2, 3);
        assert_true(u >= 0 && u < 1 && v >= -2 && v < 3);
        uniform += u / DRAWS;
        mean += n / DRAWS;
        square += n * n / DRAWS;
        counts[rng_below(&r, 3)]++;
    }
    /* five standard errors */
    assert_true(fabs(uniform - 0.5) < 5 * sqrt(1.0 / 12 / DRAWS));
    assert_true(fabs(mean) < 5 * sqrt(1.0 / DRAWS));
    assert_true(fabs(square - 1) < 5 * sqrt(2.0 / DRAWS));
    for (int i = 0; i < 3; i++)
        assert_true(fabs((double)counts[i] / DRAWS - 1.0 / 3) < 5 * sqrt(2.0 / 9 / DRAWS));
    float filled[3];
    rng a = rng_make(2, 2), b = rng_make(2, 2);
    rng_normal_fill(&a, filled, 3);
    for (int i = 0; i < 3; i++)
        assert_true(filled[i] == (float)rng_normal(&b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_long_messages_are_cut),
        cmocka_unit_test(test_messages_are_one_line),
        cmocka_unit_test(test_hash_vectors),
        cmocka_unit_test(test_alloc),
        cmocka_unit_test(test_arena),
        cmocka_unit_test(test_arena_keeps_its_block),
        cmocka_unit_test(test_each_index_once),
        cmocka_unit_test(test_nested_and_concurrent_loops),
        cmocka_unit_test(test_short_loops),
        cmocka_unit_test(test_forks_amid_loops),
        cmocka_unit_test(test_the_widest_level_is_capped),
        cmocka_unit_test(test_philox_vectors),
        cmocka_unit_test(test_draws_can_be_resumed),
        cmocka_unit_test(test_distributions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

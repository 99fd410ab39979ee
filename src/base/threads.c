/* SPDX-License-Identifier: Apache-2.0 */
/* A parallel loop over indices on a pool of threads that lives as long as the process.
 * Indices are handed out by an atomic counter: which thread runs one is open, what it writes is
 * not, so results do not depend on the number of threads. */
#include "base/base.h"

#include "headsds/threads.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

enum { MAX_THREADS = 64 };

static struct {
    pthread_mutex_t lock;   /* guards what follows; atomic numbers are also read without it */
    pthread_cond_t work;    /* a new round has begun */
    pthread_cond_t idle;    /* the last helper that joined a round is through */
    pthread_mutex_t caller; /* one parallel loop at a time */
    int helpers;            /* threads running beside the caller */
    int wanted;             /* threads of a loop, the caller included; 0: not yet asked */
    bool open;              /* the caller has not run out of indices yet */
    atomic_int busy;        /* helpers that have joined the round */
    atomic_uint_fast64_t round;
    threads_body body;
    void *context;
    size_t count;
    int seats;        /* helpers that take part in this round */
    atomic_int awake; /* helpers that spin before they sleep: those seats, or, where there is
                         no processor for each of them, -1: nor does the caller */
    atomic_size_t next;
} pool = { .lock = PTHREAD_MUTEX_INITIALIZER,
           .work = PTHREAD_COND_INITIALIZER,
           .idle = PTHREAD_COND_INITIALIZER,
           .caller = PTHREAD_MUTEX_INITIALIZER };

static _Thread_local bool inside;

static int processors(void)
{
    cpu_set_t set;
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    return count > MAX_THREADS ? MAX_THREADS : count;
}

static void drain(threads_body body, void *context, size_t count)
{
    for (size_t i; (i = atomic_fetch_add(&pool.next, 1)) < count;)
        body(context, i);
}

static void pause_a_moment(void)
{
#if defined __x86_64__
    __builtin_ia32_pause();
#elif defined __aarch64__
    __asm__ volatile("yield");
#endif
}

/* Looks a while for what is about to happen: to sleep and be woken takes longer than most loops. */
#define LOOK_OUT_FOR(seat, condition)                                                              \
    do {                                                                                           \
        for (int looks = 0; pool.awake > (seat) && looks < 4000 && !(condition); looks++)          \
            pause_a_moment();                                                                      \
    } while (0)

static void *helper(void *argument)
{
    uint64_t seen = 0;
    int seat = (int)(intptr_t)argument;
    inside = true;
    for (;;) {
        LOOK_OUT_FOR(seat, pool.round != seen);
        pthread_mutex_lock(&pool.lock);
        while (pool.round == seen)
            pthread_cond_wait(&pool.work, &pool.lock);
        seen = pool.round;
        bool joins = pool.open && seat < pool.seats;
        threads_body body = pool.body;
        void *context = pool.context;
        size_t count = pool.count;
        pool.busy += joins;
        pthread_mutex_unlock(&pool.lock);
        if (!joins)
            continue;
        drain(body, context, count);
        pthread_mutex_lock(&pool.lock);
        if (--pool.busy == 0)
            pthread_cond_signal(&pool.idle);
        pthread_mutex_unlock(&pool.lock);
    }
    return NULL;
}

int threads_count(void)
{
    pthread_mutex_lock(&pool.lock);
    int count = pool.wanted ? pool.wanted : processors();
    pthread_mutex_unlock(&pool.lock);
    return count;
}

void threads_set_count(int count)
{
    pthread_mutex_lock(&pool.lock);
    pool.wanted = count < 0 ? 0 : count > MAX_THREADS ? MAX_THREADS : count;
    pthread_mutex_unlock(&pool.lock);
}

void hds_set_thread_count(int count)
{
    threads_set_count(count);
}

int hds_thread_count(void)
{
    return threads_count();
}

/* The child of a fork has none of the threads and locks that its parent may have held. */
static void after_fork(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_mutex_init(&pool.caller, NULL);
    pthread_cond_init(&pool.work, NULL);
    pthread_cond_init(&pool.idle, NULL);
    pool.helpers = 0;
    pool.busy = 0;
    pool.open = false;
    pool.round = 0;
    inside = false;
}

static void watch_forks(void)
{
    (void)pthread_atfork(NULL, NULL, after_fork);
}

/* Called with the lock held. A helper that cannot be started is one helper less. */
static void start_helpers(int count)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    while (pool.helpers < count) {
        pthread_t thread;
        pthread_attr_t attributes;
        pthread_attr_init(&attributes);
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        int failed = pthread_create(&thread, &attributes, helper, (void *)(intptr_t)pool.helpers);
        pthread_attr_destroy(&attributes);
        if (failed)
            return;
        pool.helpers++;
    }
}

void threads_parallel(size_t count, threads_body body, void *context)
{
    int threads = threads_count();
    if (inside || threads < 2 || count < 2) {
        for (size_t i = 0; i < count; i++)
            body(context, i);
        return;
    }
    pthread_mutex_lock(&pool.caller);
    inside = true;
    pthread_mutex_lock(&pool.lock);
    start_helpers(threads - 1);
    pool.seats = threads - 1 < pool.helpers ? threads - 1 : pool.helpers;
    pool.awake = threads <= processors() ? pool.seats : -1;
    pool.open = true;
    pool.body = body;
    pool.context = context;
    pool.count = count;
    atomic_store(&pool.next, 0);
    pool.round++;
    pthread_cond_broadcast(&pool.work);
    pthread_mutex_unlock(&pool.lock);
    drain(body, context, count);
    pthread_mutex_lock(&pool.lock);
    pool.open = false; /* a helper that comes now is not waited for */
    pthread_mutex_unlock(&pool.lock);
    LOOK_OUT_FOR(-1, pool.busy == 0);
    pthread_mutex_lock(&pool.lock);
    while (pool.busy)
        pthread_cond_wait(&pool.idle, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
    inside = false;
    pthread_mutex_unlock(&pool.caller);
}

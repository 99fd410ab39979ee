/* SPDX-License-Identifier: Apache-2.0 */
/* Work that a fork, an interrupt or the end of the process comes into the middle of.
 *
 * A library with threads and static objects of its own bears neither a fork nor exit() while one
 * of its functions runs. So its functions run between work_enter and work_leave; a fork waits
 * until no thread is between them, which is one operation at most, and so does the end. */
#include "base/base.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { SLICE_MS = 50, LAST_CALLS_MS = 1000 };

static struct {
    pthread_mutex_t lock;   /* guards what follows */
    pthread_cond_t changed; /* any of it */
    int inside, calls;      /* threads in the library; calls being watched */
    int forking;            /* prepare handlers that have run: nobody enters */
    bool loading, loaded;   /* the library */
    atomic_bool ending;     /* work is to stop */
    bool closed;            /* nobody enters any more */
    bool forked;            /* closed, as the library was loaded in the parent */
    unsigned generation;    /* forks between the first process and this one */
    struct work_run *running;
} work = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

static _Thread_local work_watch *watched;

static void changed(void)
{
    pthread_cond_broadcast(&work.changed);
    pthread_mutex_unlock(&work.lock);
}

/* ---- forks ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&work.lock);
    work.forking++;
    while (work.inside)
        pthread_cond_wait(&work.changed, &work.lock);
    pthread_mutex_unlock(&work.lock);
}

static void after_fork_in_parent(void)
{
    pthread_mutex_lock(&work.lock);
    work.forking--;
    changed();
}

/* None of the parent's other threads is here. */
static void after_fork_in_child(void)
{
    pthread_mutex_init(&work.lock, NULL);
    pthread_cond_init(&work.changed, NULL);
    work.generation += work.forking > 0; /* the handlers may be registered twice */
    work.forked = work.forked || work.loaded || work.loading;
    work.closed = work.closed || work.forked;
    work.inside = work.calls = work.forking = 0;
    work.running = NULL;
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

static void watch_forks_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
}

bool work_forked(void)
{
    return work.forked;
}

unsigned work_generation(void)
{
    return work.generation;
}

/* ---- the library ---- */

hds_status work_usable(hds_error *error)
{
    if (work.forked)
        return hds_raise(error, HDS_ERROR_INTERNAL,
                         "this process was forked from one that had loaded the networks, and their "
                         "threads stayed behind: start it by spawn or forkserver "
                         "(multiprocessing.get_context(\"spawn\")), or load the networks after the "
                         "fork only");
    if (work.closed)
        return hds_raise(error, HDS_ERROR_CANCELLED, "cancelled: the program is ending");
    return HDS_OK;
}

hds_status work_load_begin(hds_error *error)
{
    watch_forks_once();
    pthread_mutex_lock(&work.lock);
    hds_status status = work_usable(error);
    work.loading = status == HDS_OK;
    pthread_mutex_unlock(&work.lock);
    return status;
}

/* Handlers run in the order of their registration, and before a fork in the opposite one: those of
 * the library, which wait for its own threads, are to run when it is at rest. */
void work_load_end(bool loaded)
{
    if (loaded) {
        watch_forks();
        (void)atexit(work_close); /* before the library's own, which were registered earlier */
    }
    pthread_mutex_lock(&work.lock);
    work.loading = false;
    work.loaded = loaded;
    changed();
}

bool work_enter(void)
{
    pthread_mutex_lock(&work.lock);
    while (work.forking && !work.closed)
        pthread_cond_wait(&work.changed, &work.lock);
    bool open = !work.closed;
    work.inside += open;
    pthread_mutex_unlock(&work.lock);
    return open;
}

void work_leave(void)
{
    pthread_mutex_lock(&work.lock);
    work.inside--;
    changed();
}

/* ---- calls and runs ---- */

void work_watch_begin(work_watch *w)
{
    w->outer = watched;
    watched = w;
    pthread_mutex_lock(&work.lock);
    work.calls++;
    pthread_mutex_unlock(&work.lock);
}

void work_watch_end(work_watch *w)
{
    watched = w->outer;
    pthread_mutex_lock(&work.lock);
    work.calls--;
    changed();
}

bool work_stopped(void)
{
    return watched && watched->stop ? watched->stop(watched->context) : work.ending;
}

void work_run_begin(work_run *r)
{
    watch_forks_once();
    pthread_mutex_lock(&work.lock);
    r->next = work.running;
    work.running = r;
    pthread_mutex_unlock(&work.lock);
}

void work_run_end(work_run *r)
{
    pthread_mutex_lock(&work.lock);
    for (work_run **link = &work.running; *link; link = &(*link)->next)
        if (*link == r) {
            *link = r->next;
            break;
        }
    changed();
}

/* ---- the end ---- */

/* With the lock held. */
static void wait_a_slice(void)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += SLICE_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&work.changed, &work.lock, &until);
}

void work_end(bool (*give_up)(void *context), void *context)
{
    pthread_mutex_lock(&work.lock);
    work.ending = true;
    for (work_run *r = work.running; r; r = r->next)
        r->cancel(r->context);
    while (work.running) {
        wait_a_slice();
        pthread_mutex_unlock(&work.lock);
        bool enough = give_up(context);
        pthread_mutex_lock(&work.lock);
        if (enough)
            break;
    }
    pthread_mutex_unlock(&work.lock);
}

void work_close(void)
{
    pthread_mutex_lock(&work.lock);
    work.ending = work.closed = true;
    for (work_run *r = work.running; r; r = r->next)
        r->cancel(r->context);
    pthread_cond_broadcast(&work.changed);
    while (work.inside || work.loading)
        pthread_cond_wait(&work.changed, &work.lock);
    /* What they still do is to give memory back. One that waits for a file is not waited for. */
    for (int waited = 0; work.calls && waited < LAST_CALLS_MS; waited += SLICE_MS)
        wait_a_slice();
    pthread_mutex_unlock(&work.lock);
}

void work_open(void)
{
    pthread_mutex_lock(&work.lock);
    work.ending = false;
    work.closed = work.forked;
    pthread_mutex_unlock(&work.lock);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that train together, through shared memory. */
#include "crew.h"

#include "base/base.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

struct crew_board {
    pthread_barrier_t barrier;
    float slots[][CREW_NUMBERS];
};

static void helper_died(int signal)
{
    static const char text[] = "train_prior: a helper process died\n";
    if (write(2, text, sizeof text - 1) < 0)
        _exit(2);
    _exit(1);
}

hds_status crew_start(crew *c, int processors, hds_error *error)
{
    int count = 1;
    while (2 * count <= processors && 2 * count <= CREW_MOST)
        count *= 2;
    *c = (crew){ .count = count };
    size_t size = sizeof *c->board + (size_t)count * sizeof c->board->slots[0];
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %d processes", count);
    c->board = memory;
    pthread_barrierattr_t shared;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&c->board->barrier, &shared, (unsigned)count);
    pthread_barrierattr_destroy(&shared);
    /* A helper that is stopped for a while is no death. */
    struct sigaction watch = { .sa_handler = helper_died, .sa_flags = SA_NOCLDSTOP };
    sigaction(SIGCHLD, &watch, NULL);
    for (int rank = 1; rank < count; rank++) {
        pid_t child = fork();
        if (child < 0)
            return hds_raise(error, HDS_ERROR_OS, "process %d of %d cannot start", rank, count);
        if (child == 0) {
            signal(SIGCHLD, SIG_DFL);
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            c->rank = rank;
            return HDS_OK;
        }
    }
    return HDS_OK;
}

float *crew_slot(crew *c)
{
    return c->board->slots[c->rank];
}

void crew_mean(crew *c, size_t count, float *numbers)
{
    pthread_barrier_wait(&c->board->barrier);
    memcpy(numbers, c->board->slots[0], count * sizeof *numbers);
    for (int rank = 1; rank < c->count; rank++)
        for (size_t i = 0; i < count; i++)
            numbers[i] += c->board->slots[rank][i];
    for (size_t i = 0; i < count; i++)
        numbers[i] /= (float)c->count;
    pthread_barrier_wait(&c->board->barrier);
}

void crew_end(crew *c)
{
    signal(SIGCHLD, SIG_DFL);
    pthread_barrier_wait(&c->board->barrier);
    if (c->rank > 0)
        exit(0);
    while (wait(NULL) > 0)
        ;
}

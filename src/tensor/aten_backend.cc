// SPDX-License-Identifier: Apache-2.0
// The one symbol of a backend: the table of its functions. They bear the names of tensor.h, and the
// version script keeps these within this file.
#include "aten_priv.h"

#include <omp.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>

#include <type_traits>

static_assert(std::is_standard_layout<tn_context>::value, "the core reads the table of a context");

static const char note[] = TN_NOTE_START
    "abi=" TN_TEXT(TN_BACKEND_ABI) "\ntorch=" HDS_TORCH_VERSION "\nlibrary=" HDS_TORCH_LIBRARY "\n";

// A thread that holds a team of OpenMP's and sleeps. The system's signals are not for it.
static void *hold_team(void *size)
{
    static sem_t never;
    sigset_t all;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, nullptr);
    sem_init(&never, 0, 0);
#pragma omp parallel num_threads((int)(intptr_t)size)
    {
    }
    for (;;)
        sem_wait(&never);
    return nullptr;
}

// libgomp's threads wait a thousand looks and not 300,000 once it has more threads than there are
// processors: one idle team beside that of the operations is enough.
static void crowd(int threads)
{
    int missing = omp_get_num_procs() - threads;
    pthread_t thread;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    (void)pthread_create(&thread, &attributes, hold_team,
                         (void *)(intptr_t)((missing > 0 ? missing : 0) + 2));
    pthread_attr_destroy(&attributes);
}

#define VALUE(type, name, parameters, arguments) tn_##name,
#define WAY(name, parameters, arguments) tn_##name,

extern "C" __attribute__((visibility("default"))) const tn_backend headsds_backend = {
    TN_BACKEND_ABI, sizeof(tn_backend), note,  tn_context_create,        tn_context_destroy,
    aten_fail,      tn_has_cuda,        crowd, TN_OPERATIONS(VALUE, WAY)
};

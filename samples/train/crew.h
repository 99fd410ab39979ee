/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that train one network together: each computes the gradient of its share of a batch,
 * all add up the same mean and take the same step. One process a processor beats one process with
 * as many threads, which would wait for each other after every layer. */
#ifndef SAMPLES_CREW_H
#define SAMPLES_CREW_H

#include "headsds/error.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct crew {
    int rank, count;          /* rank 0 is the caller of crew_start: it prints and saves */
    struct crew_board *board; /* shared memory */
} crew;

enum { CREW_MOST = 16, CREW_NUMBERS = 1 << 24 };

/* Forks helpers, before any thread exists; they return from here too. The count is the largest
 * power of two within the processors that this process may use. When one process dies so do the
 * others. */
HDS_NODISCARD hds_status crew_start(crew *c, int processors, hds_error *error);
/* Where this process leaves its numbers, CREW_NUMBERS at most. */
float *crew_slot(crew *c);
/* numbers: the mean of all slots' first `count`, the same bytes in every process. */
void crew_mean(crew *c, size_t count, float *numbers);
/* Helpers end here; rank 0 waits for them. */
void crew_end(crew *c);

#endif

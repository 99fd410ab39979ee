/* SPDX-License-Identifier: Apache-2.0 */
/* What the trainings share: AdamW, a running mean of the weights, and checkpoints from which a
 * killed training goes on. */
#ifndef SAMPLES_TRAINER_H
#define SAMPLES_TRAINER_H

#include "crew.h"
#include "nn/nn.h"

typedef struct trainer {
    tn_context *cx;
    crew *crew;
    const char *folder, *name; /* checkpoints are FOLDER/NAME.*; borrowed */
    weights *live, *m, *v, *mean;
    int64_t step; /* taken */
} trainer;

/* Goes on from the folder's checkpoint where there is one, else begins with the weights of the file
 * `start` where that exists, else at random. Once the weights exist (after one call of the network,
 * or a survey), trainer_begin makes the rest. */
HDS_NODISCARD hds_status trainer_open(trainer *t, tn_context *cx, crew *c, const char *folder,
                                      const char *name, const char *start, hds_error *error);
HDS_NODISCARD hds_status trainer_begin(trainer *t, hds_error *error);
/* One step of AdamW on the mean loss of the crew with clipping of the global norm at 1, then the
 * running mean with a time constant that grows with the steps up to `memory`. Returns the loss. */
float trainer_step(trainer *t, const tn *loss, double rate, int memory);
/* Rank 0 only. */
HDS_NODISCARD hds_status trainer_save(trainer *t, hds_error *error);
void trainer_close(trainer *t);

/* Rises over the first 200 steps, falls as a cosine to a fiftieth. progress in [0,1]. */
double trainer_rate(int64_t step, double progress, double peak);
double trainer_seconds(void); /* a monotonic clock */

#endif

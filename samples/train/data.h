/* SPDX-License-Identifier: Apache-2.0 */
/* Random pictures of sample heads with what is known about each: what the sample prior learns
 * from. A picture is a function of (seed, index) alone. */
#ifndef SAMPLES_DATA_H
#define SAMPLES_DATA_H

#include "captions.h"

enum { DATA_SIZE = 128 }; /* pixels */

typedef struct data_sample {
    float attributes[CAPTION_ATTRIBUTES]; /* standard deviations */
    float azimuth;                        /* degrees */
    int32_t medium;                       /* caption_medium */
} data_sample;

typedef struct data data;
data *data_create(void); /* NULL: out of memory */
void data_destroy(data **d);

/* pixels (DATA_SIZE, DATA_SIZE, 3) sRGB. Safe from many threads. False: out of memory. */
bool data_make(const data *d, uint64_t seed, uint64_t index, uint8_t *pixels, data_sample *sample);

#endif

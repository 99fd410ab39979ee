/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of files as float32. Those that are float32 already are read in place; what had to be
 * converted is shared by all models of the process that read it from the same file. */
#include "nn/weights_priv.h"

#include <pthread.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct shared_numbers {
    shared_numbers *next;
    uint64_t stamp; /* of the file */
    size_t offset;  /* in it */
    io_dtype dtype; /* tensors of other sizes and types may begin at the same place */
    size_t count, references;
    float values[];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static shared_numbers *buckets[BUCKETS];

static shared_numbers **bucket_of(uint64_t stamp, size_t offset)
{
    return &buckets[(stamp ^ (offset >> 4) * 11400714819323198485u) % BUCKETS];
}

const float *numbers_take(uint64_t stamp, size_t offset, const void *data, io_dtype dtype,
                          size_t count, shared_numbers **held)
{
    *held = NULL;
    if (dtype == IO_F32 && (uintptr_t)data % sizeof(float) == 0)
        return data;
    pthread_mutex_lock(&guard);
    shared_numbers **bucket = bucket_of(stamp, offset), *n = *bucket;
    while (n &&
           (n->stamp != stamp || n->offset != offset || n->dtype != dtype || n->count != count))
        n = n->next;
    if (!n) {
        n = malloc(sizeof *n + count * sizeof *n->values);
        if (n) {
            *n = (shared_numbers){
                .next = *bucket, .stamp = stamp, .offset = offset, .dtype = dtype, .count = count
            };
            io_to_f32(data, dtype, n->values, count);
            *bucket = n;
        }
    }
    if (n)
        n->references++;
    pthread_mutex_unlock(&guard);
    *held = n;
    return n ? n->values : NULL;
}

void numbers_release(shared_numbers *held)
{
    if (!held)
        return;
    pthread_mutex_lock(&guard);
    bool last = --held->references == 0;
    for (shared_numbers **n = bucket_of(held->stamp, held->offset); last && *n; n = &(*n)->next)
        if (*n == held) {
            *n = held->next;
            break;
        }
    pthread_mutex_unlock(&guard);
    if (last)
        free(held);
}

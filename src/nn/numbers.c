/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of files in the type that they are wanted in. Those that are of it already are read in
 * place; what had to be converted is shared by all models of the process that read it from the same
 * file. */
#include "io/io.h"
#include "weights_priv.h"

#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

enum { BUCKETS = 4096 };

struct shared_numbers {
    shared_numbers *next;
    uint64_t stamp; /* of the file */
    size_t offset;  /* in it */
    io_dtype dtype; /* tensors of other sizes and types may begin at the same place */
    tn_type type;   /* of the values */
    size_t count, references;
    _Alignas(max_align_t) unsigned char values[];
};

static pthread_mutex_t guard = PTHREAD_MUTEX_INITIALIZER;
static shared_numbers *buckets[BUCKETS];

static shared_numbers **bucket_of(uint64_t stamp, size_t offset)
{
    return &buckets[(stamp ^ (offset >> 4) * 11400714819323198485u) % BUCKETS];
}

static void convert(const void *data, io_dtype dtype, tn_type type, void *out, size_t count)
{
    enum { AT_A_TIME = 4096 };
    float part[AT_A_TIME];
    if (type == TN_FLOAT32)
        io_to_f32(data, dtype, out, count);
    for (size_t i = 0; i < count && type != TN_FLOAT32; i += AT_A_TIME) {
        size_t n = count - i < AT_A_TIME ? count - i : AT_A_TIME;
        io_to_f32((const unsigned char *)data + i * io_dtype_size(dtype), dtype, part, n);
        if (type == TN_FLOAT16)
            io_f32_to_f16(part, (uint16_t *)out + i, n);
        else
            io_f32_to_bf16(part, (uint16_t *)out + i, n);
    }
}

const void *numbers_take(uint64_t stamp, size_t offset, const void *data, io_dtype dtype,
                         size_t count, tn_type type, shared_numbers **held)
{
    static const io_dtype same[] = { IO_F32, IO_BF16, IO_F16 };
    *held = NULL;
    if (dtype == same[type] && (uintptr_t)data % tn_type_size(type) == 0)
        return data;
    pthread_mutex_lock(&guard);
    shared_numbers **bucket = bucket_of(stamp, offset), *n = *bucket;
    while (n && (n->stamp != stamp || n->offset != offset || n->dtype != dtype ||
                 n->count != count || n->type != type))
        n = n->next;
    if (!n) {
        n = malloc(sizeof *n + count * tn_type_size(type));
        if (n) {
            *n = (shared_numbers){ .next = *bucket,
                                   .stamp = stamp,
                                   .offset = offset,
                                   .dtype = dtype,
                                   .count = count,
                                   .type = type };
            convert(data, dtype, type, n->values, count);
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

/* SPDX-License-Identifier: Apache-2.0 */
/* What tells weights from other weights: a hash that does not depend on the files they lie in. */
#include "weights_priv.h"

#include <string.h>

static uint64_t hash_of(const char *name, int dims, const int64_t *shape, io_dtype dtype,
                        const void *data)
{
    size_t count = 1;
    for (int d = 0; d < dims; d++)
        count *= (size_t)shape[d];
    uint64_t digest = base_digest(data, count * io_dtype_size(dtype));
    uint64_t hash = base_hash(BASE_HASH_START, name, strlen(name) + 1);
    hash = base_hash(hash, io_dtype_name(dtype), strlen(io_dtype_name(dtype)));
    hash = base_hash(hash, shape, (size_t)dims * sizeof *shape);
    return base_hash(hash, &digest, sizeof digest);
}

typedef struct hashes {
    const weights_entry *entries;
    uint64_t *hash;
} hashes;

static void hash_entry(void *context, size_t i)
{
    const hashes *h = context;
    const weights_entry *e = &h->entries[i];
    int64_t shape[IO_MAX_DIMS];
    memcpy(shape, e->shape, sizeof shape);
    shape[0] -= e->more_rows;
    h->hash[i] = e->data ? hash_of(e->name, e->dims, shape, e->dtype, e->data) : 0;
}

uint64_t weights_hash(const weights *w)
{
    uint64_t sum = 0;
    hashes h = { w->entry, hds_alloc(w->count, sizeof *h.hash) };
    if (h.hash)
        threads_parallel(w->count, hash_entry, &h);
    for (size_t i = 0; h.hash && i < w->count; i++)
        sum += h.hash[i];
    hds_free(h.hash);
    return sum;
}

uint64_t weights_file_hash(const io_tensors *file)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < file->count; i++) {
        const io_tensor *t = &file->tensors[i];
        sum += hash_of(t->name, t->dims, t->shape, t->dtype, t->data);
    }
    return sum;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this room share: the table of weights and what a survey has found. */
#ifndef HDS_WEIGHTS_PRIV_H
#define HDS_WEIGHTS_PRIV_H

#include "nn/nn.h"

enum { WEIGHTS_MAX_NAME = 320 };

/* numbers.c: `count` numbers of a file in `type`, valid while the data are and *held (may be NULL)
 * is. NULL: out of memory. */
typedef struct shared_numbers shared_numbers;
const void *numbers_take(uint64_t stamp, size_t offset, const void *data, io_dtype dtype,
                         size_t count, tn_type type, shared_numbers **held);
void numbers_release(shared_numbers *held);

/* What is done to a weight when it is first used. */
typedef struct weights_step {
    struct weights_step *next;
    weights_changer change;
    void *context; /* owned */
} weights_step;

typedef struct weights_entry {
    char *name;
    int dims;
    int64_t shape[IO_MAX_DIMS];
    const void *data;  /* in a file; NULL: made here */
    const io_map *map; /* of that file */
    io_dtype dtype;
    shared_numbers *held; /* what the tensor lies in, or NULL */
    weights_step *steps;  /* in their order */
    float *more;          /* (more_rows, shape[1]) after those of the file, or NULL */
    int64_t more_rows;
    tn *tensor;       /* owned; NULL until first used */
    bool used, spare; /* spare: no network asks for it, and none need */
} weights_entry;

typedef struct weights_file {
    struct weights_file *next;
    io_tensors tensors;
} weights_file;

/* Names with the same fault: how many, and the first few as text. */
typedef struct weights_problems {
    size_t count;
    char *text; /* or NULL */
} weights_problems;
enum { WEIGHTS_MISSING, WEIGHTS_MISSHAPEN, WEIGHTS_LEFT_OVER, WEIGHTS_PROBLEMS };

struct weights {
    tn_context *cx;
    char *path;            /* for messages */
    weights_file *files;   /* that the entries lie in */
    const io_map *reading; /* whose tensors are being adopted */
    bool trainable, grows, surveyed;
    tn_type type; /* of matrices */
    uint64_t seed;
    weights_entry *entry;
    size_t count;
    size_t *slot;        /* open addressing: index of an entry plus 1, 0 for free */
    size_t slots;        /* a power of two, at least twice the count */
    weights_probe probe; /* or NULL */
    void *probe_context;
    weights_problems problem[WEIGHTS_PROBLEMS];
};

weights_entry *weights_lookup(const weights *w, const char *name);
weights_entry *weights_add(weights *w, const char *name, int dims, const int64_t *shape);
/* Makes the entry's tensor if it has none yet. */
const tn *weights_realise(weights *w, weights_entry *e, nn_start start, double scale);
/* Fails the context, or during a survey notes the fault. */
void weights_report(weights *w, int kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

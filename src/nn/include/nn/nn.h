/* SPDX-License-Identifier: Apache-2.0 */
/* A place in a network, weights by name, and the layers that take them.
 *
 * A network is a function of (config, place, inputs). There is no constructor: a weight is looked
 * up by name where it is used, with the shape that the layer expects; the place is a linked name on
 * the C stack, whose path is the weight's prefix and the error's location. The same function
 *   - runs a model from a file (weights_load),
 *   - checks the file's names and shapes without arithmetic (weights_survey_begin and _end),
 *   - makes the weights of a new model and trains it (weights_create). */
#ifndef HDS_NN_H
#define HDS_NN_H

#include "io/io.h"
#include "tensor/tensor.h"

/* ---- weights.c ---- */

typedef struct weights weights;

typedef enum weights_use {
    WEIGHTS_FROZEN,   /* never collect gradients; mapped from the file where it has their type */
    WEIGHTS_TRAINABLE /* leaves for gradients, copied */
} weights_use;

/* What a tensor of a file is called here: calls weights_put for it, not at all, or several times.
 */
typedef void (*weights_adopt)(void *context, weights *w, const io_tensor *tensor);
typedef struct weights_source {
    const char *const *paths; /* of the files, at least one */
    size_t count;
    weights_adopt adopt; /* NULL: each tensor under its own name */
    void *context;
} weights_source;
/* Opens .safetensors files or torch checkpoints; what a file has in another type than is wanted is
 * converted at its first use. `path` is what messages call it. The context must outlive the
 * weights. On failure NULL, and the context has failed. */
weights *weights_open(tn_context *cx, const char *path, const weights_source *source,
                      weights_use use);
weights *weights_load(tn_context *cx, const char *path, weights_use use); /* one file */
/* A weight whose numbers lie in one of the files. */
void weights_put(weights *w, const char *name, int dims, const int64_t *shape, io_dtype dtype,
                 const void *data);
/* A new value of a weight, float32 and of its shape, from the value before. */
typedef tn *(*weights_changer)(void *context, tn_context *cx, const tn *value);
/* Changes the weight of this name at its first use, which must be still to come, after what was
 * asked for before. `context` becomes the weights' own, free() for them. False: no such weight. */
bool weights_change(weights *w, const char *name, weights_changer change, void *context);
/* false: no such weight */
bool weights_get_shape(const weights *w, const char *name, int *dims, int64_t shape[IO_MAX_DIMS]);
/* The matrix of this name gets `count` more rows, a copy, at its first use, which must be still to
 * come. False: no such matrix, or out of memory, and then the context has failed. */
bool weights_add_rows(weights *w, const char *name, const float *rows, int64_t count);
/* Scaled 8-bit files: NAME.weight is multiplied by the number NAME.scale_weight or
 * NAME.weight_scale, and what such files hold besides for products in 8 bits is not missed by a
 * survey. */
void weights_fold_scales(weights *w);
/* What frozen matrices are kept in that are used first from now on; norms and biases stay float32,
 * which all are kept in otherwise. */
void weights_set_type(weights *w, tn_type type);
/* Opens one more file, whose tensors may be used until the weights go; NULL: the context failed. */
const io_tensors *weights_keep(weights *w, const char *path);
/* An empty store that grows: a weight that is asked for is made, as a trainable leaf, from
 * (seed, name), with the usual initialisation of its kind. */
weights *weights_create(tn_context *cx, uint64_t seed);
/* A frozen store of the same names and shapes: copied values, or zeros (optimiser state). */
weights *weights_duplicate(const weights *w, bool zeros);
void weights_destroy(weights **w);

/* Between the two, layers state their names and shapes but give zeros without arithmetic, so a
 * network can be called on the smallest input. The end fails the context with the names that are
 * missing, of another shape, or left over, the first few of each. */
void weights_survey_begin(weights *w);
void weights_survey_end(weights *w);

tn_context *weights_context(const weights *w);
/* The weights that exist, in order of name (a file) or of creation. */
size_t weights_count(const weights *w);
const char *weights_name(const weights *w, size_t i); /* borrowed */
tn *weights_tensor(weights *w, size_t i);             /* borrowed */
tn *weights_find(weights *w, const char *name);       /* borrowed, or NULL */
/* A hash of all weights of the files, as they lie there: names, shapes, dtypes and bytes, in
 * whatever order; changes (weights_change, weights_add_rows) do not count. */
uint64_t weights_hash(const weights *w);
/* Likewise of the tensors of one file. */
uint64_t weights_file_hash(const io_tensors *file);
/* Calls probe(context, path, output) at the end of every module that uses these weights: for
 * finding a first difference. NULL: no longer. */
typedef void (*weights_probe)(void *context, const char *path, const tn *output);
void weights_set_probe(weights *w, weights_probe probe, void *context);
/* Writes all as IO_F16 or IO_F32 under their names, in order of name; replaced in one step. */
HDS_NODISCARD hds_status weights_save(weights *w, const char *path, io_dtype dtype,
                                      hds_error *error);

/* ---- place.c ---- */

typedef struct at {
    const struct at *up; /* the module that this one is part of; NULL at the root */
    const char *name;    /* "resnets" */
    int index;           /* resnets.1; -1: none */
    tn_context *cx;
    weights *w;
} at;

at at_root(tn_context *cx, weights *w);
at at_sub(const at *p, const char *name);
at at_index(const at *p, const char *name, int index);
void at_path(const at *p, char *text, size_t size); /* "down_blocks.0.resnets.1" */

/* A scope of tensors that is also the place that errors name: a module. */
size_t nn_enter(const at *p);
tn *nn_leave(const at *p, size_t scope, tn *kept);

/* How a weight that does not exist yet begins, in a growing store. */
typedef enum nn_start {
    NN_ZERO,
    NN_ONE,
    NN_UNIFORM, /* in +-scale */
    NN_NORMAL   /* deviation scale */
} nn_start;
/* Borrowed. Fails the context with the full name when it is missing or of another shape. */
const tn *at_weight(const at *p, const char *leaf, int dims, const int64_t *shape, nn_start start,
                    double scale);
bool at_has(const at *p, const char *leaf);    /* exists already */
void at_ignore(const at *p, const char *leaf); /* is not counted as left over */
bool at_surveyed(const at *p);                 /* between weights_survey_begin and _end */
bool at_probed(const at *p);                   /* weights_set_probe */

/* ---- layers.c: weights p.name.weight and p.name.bias ---- */

/* x (B,C,H,W) -> (B,out,H',W'), H' = (H + 2 pad - kernel) / stride + 1; with bias */
tn *nn_conv2d(const at *p, const char *name, const tn *x, int64_t out, int kernel, int stride,
              int pad);
/* x (...,I) -> (...,out) */
tn *nn_linear(const at *p, const char *name, const tn *x, int64_t out, bool bias);
tn *nn_group_norm(const at *p, const char *name, const tn *x, int groups, double eps);
tn *nn_group_norm_silu(const at *p, const char *name, const tn *x, int groups, double eps);
tn *nn_layer_norm(const at *p, const char *name, const tn *x, double eps);
/* ids int64 (...) -> (...,width) */
tn *nn_embedding(const at *p, const char *name, const tn *ids, int64_t rows, int64_t width);

#endif

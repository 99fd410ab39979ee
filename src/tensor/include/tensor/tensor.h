/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of libtorch, spoken in C: handles in scopes, one sticky error, gradients.
 *
 * A tensor (`tn`) is owned by the innermost open scope of its context and nobody frees it by hand;
 * tn_own takes it out of the scopes for those that must live longer (weights, optimiser state).
 * The first failure sticks to the context: every later call does nothing and returns NULL (0, or
 * 1 for a size), so a network is written without a single `if` and checked once, by tn_check.
 * Tensors are float32 unless they say int64 or another type of weights, and row-major. A context is
 * used by one thread at a time; its gradient mode and thread count travel with it, not with the
 * thread. */
#ifndef HDS_TENSOR_H
#define HDS_TENSOR_H

#include "headsds/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tn_context tn_context;
typedef struct tn tn;

/* ---- context, scopes, errors (aten_context.cc) ---- */

/* The first call opens a backend and its libtorch (backend.c), or says why it cannot.
 * threads: for tensor operations; 0: the number of processors this process may use. */
HDS_NODISCARD hds_status tn_context_create(tn_context **cx, int threads, hds_error *error);
const char *tn_library(void); /* the file of the libtorch in use; NULL: none has been opened */
void tn_context_destroy(tn_context **cx); /* owned tensors must have been released before */

/* Moves the sticky error, if there is one, to the caller's and makes the context usable again. */
HDS_NODISCARD hds_status tn_check(tn_context *cx, hds_error *error);
bool tn_failed(const tn_context *cx);
void tn_fail(tn_context *cx, hds_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

size_t tn_enter(tn_context *cx);                      /* opens a scope */
tn *tn_leave(tn_context *cx, size_t scope, tn *kept); /* closes it; `kept` (or NULL) moves up */

/* What error messages begin with: where(of, text, size) writes the current place in a network.
 * It holds until the scope in which it was set is left. */
typedef void (*tn_where)(const void *of, char *text, size_t size);
void tn_set_place(tn_context *cx, tn_where where, const void *of);

tn *tn_own(tn_context *cx, tn *x);       /* out of the scopes, until tn_release */
void tn_release(tn_context *cx, tn **x); /* an owned tensor; NULL is fine */
size_t tn_live(const tn_context *cx);    /* handles in scopes and owned */

/* Whether operations record what gradients need; off in a new context. Returns what it was. */
bool tn_set_grad(tn_context *cx, bool on);

typedef enum tn_type { TN_FLOAT32, TN_BFLOAT16, TN_FLOAT16 } tn_type;
size_t tn_type_size(tn_type type); /* bytes of a number */
/* What convolutions and linear layers whose weights are float32 round their inputs to; sums, norms
 * and everything that is kept stay float32. TN_FLOAT32 in a new context. Returns what it was. */
tn_type tn_set_precision(tn_context *cx, tn_type precision);
/* Weights of other types are what products are computed in where the device has instructions for
 * it, else float32. This tells whether the processor has them for bfloat16. */
bool tn_has_bfloat16(void);

/* Where tensors lie and operations run: "cpu", as in a new context, or "cuda" or "cuda:1" with a
 * libtorch that knows them. Before any tensor is made. HDS_ERROR_ARGUMENT: not such a name, or
 * there is no such device. */
HDS_NODISCARD hds_status tn_set_device(tn_context *cx, const char *name, hds_error *error);
bool tn_on_processor(const tn_context *cx);
bool tn_has_cuda(void); /* this libtorch, and a device that answers */

/* ---- in and out (aten_context.cc) ---- */

enum { TN_MAX_DIMS = 8 };
#define TN_DIMS(...) ((const int64_t[]){ __VA_ARGS__ })
#define TN_SHAPE(...) (int)(sizeof TN_DIMS(__VA_ARGS__) / sizeof(int64_t)), TN_DIMS(__VA_ARGS__)

tn *tn_zeros(tn_context *cx, int dims, const int64_t *shape);
tn *tn_from_f32(tn_context *cx, const float *data, int dims, const int64_t *shape);   /* copies */
tn *tn_from_i64(tn_context *cx, const int64_t *data, int dims, const int64_t *shape); /* copies */
/* Reads `data` in place, for as long as the tensor or anything made as a view of it lives; copies
 * it to a device other than the processor. */
tn *tn_borrow(tn_context *cx, const void *data, tn_type type, int dims, const int64_t *shape);
tn *tn_to_type(tn_context *cx, const tn *x, tn_type type);
void tn_to_f32(tn_context *cx, const tn *x, float *out, size_t count); /* count must be its size */
float tn_scalar(tn_context *cx, const tn *x);                          /* of one element */
int tn_dims(tn_context *cx, const tn *x);
int64_t tn_dim(tn_context *cx, const tn *x, int d);
size_t tn_count(tn_context *cx, const tn *x); /* elements */
bool tn_finite(tn_context *cx, const tn *x);  /* neither NaN nor infinite anywhere */

/* ---- layers (aten_layers.cc) ---- */

/* x (B,C,H,W), w (O,C,k,k), b (O) or NULL */
tn *tn_conv2d(tn_context *cx, const tn *x, const tn *w, const tn *b, int stride, int pad);
/* x (...,I), w (O,I), b (O) or NULL -> (...,O) */
tn *tn_linear(tn_context *cx, const tn *x, const tn *w, const tn *b);
tn *tn_group_norm(tn_context *cx, const tn *x, const tn *w, const tn *b, int groups, double eps);
/* silu of it */
tn *tn_group_norm_silu(tn_context *cx, const tn *x, const tn *w, const tn *b, int groups,
                       double eps);
tn *tn_layer_norm(tn_context *cx, const tn *x, const tn *w, const tn *b, double eps);
/* table (V,C), ids int64 (...) -> (...,C) */
tn *tn_embedding(tn_context *cx, const tn *table, const tn *ids);
/* softmax(q k^T / sqrt(C/heads)) v in each head; q (B,Q,C), k and v (B,K,C) -> (B,Q,C).
 * Causal: position i sees positions up to i. On the processor the scores are never held all at
 * once, unless a causal one needs gradients. */
tn *tn_attention(tn_context *cx, const tn *q, const tn *k, const tn *v, int heads, bool causal);
/* softmax(q k^T / sqrt(C/heads)), the mean over the heads -> (B,Q,K) */
tn *tn_attention_weights(tn_context *cx, const tn *q, const tn *k, int heads);

/* ---- elementwise and reductions (aten_ops.cc) ---- */

tn *tn_silu(tn_context *cx, const tn *x);
tn *tn_gelu(tn_context *cx, const tn *x);       /* exact */
tn *tn_quick_gelu(tn_context *cx, const tn *x); /* x sigmoid(1.702 x) */
tn *tn_gated_gelu(tn_context *cx, const tn *x); /* (...,2C) = [a, b] -> a gelu(b) (...,C) */
tn *tn_exp(tn_context *cx, const tn *x);
tn *tn_cos(tn_context *cx, const tn *x);
tn *tn_sin(tn_context *cx, const tn *x);
tn *tn_abs(tn_context *cx, const tn *x);
tn *tn_clamp(tn_context *cx, const tn *x, double low, double high);
tn *tn_affine(tn_context *cx, const tn *x, double scale, double shift); /* scale x + shift */
tn *tn_add(tn_context *cx, const tn *a, const tn *b);                   /* shapes broadcast */
tn *tn_sub(tn_context *cx, const tn *a, const tn *b);
tn *tn_mul(tn_context *cx, const tn *a, const tn *b);
tn *tn_matmul(tn_context *cx, const tn *a, const tn *b);
tn *tn_unit(tn_context *cx, const tn *x);                     /* x / |x| over the last axis */
tn *tn_mean(tn_context *cx, const tn *x);                     /* of everything -> () */
tn *tn_sum(tn_context *cx, const tn *x);                      /* of everything -> () */
tn *tn_mean_square(tn_context *cx, const tn *a, const tn *b); /* mean((a-b)^2) -> () */

/* ---- shapes (aten_ops.cc) ---- */

tn *tn_reshape(tn_context *cx, const tn *x, int dims, const int64_t *shape); /* one -1 allowed */
tn *tn_permute(tn_context *cx, const tn *x, int dims, const int64_t *order); /* contiguous */
tn *tn_narrow(tn_context *cx, const tn *x, int d, int64_t start, int64_t length);
tn *tn_cat(tn_context *cx, const tn *const *parts, size_t count, int d);
tn *tn_pad(tn_context *cx, const tn *x, int left, int right, int top, int bottom); /* zeros */
tn *tn_upsample_nearest(tn_context *cx, const tn *x, int64_t height, int64_t width);

/* ---- gradients and training (aten_grad.cc) ---- */

tn *tn_leaf(tn_context *cx, const tn *x);   /* same values, a variable for gradients */
tn *tn_detach(tn_context *cx, const tn *x); /* same values, a constant */
/* (dy/dx)^T dy, shaped like x; x is a leaf (or in the graph of y). Frees the graph of y. */
tn *tn_vjp(tn_context *cx, const tn *y, const tn *x, const tn *dy);
/* d loss / d params[i] -> grads[i], zeros where the loss does not depend on it. Frees the graph. */
void tn_gradients(tn_context *cx, const tn *loss, tn *const *params, size_t count, tn **grads);
double tn_global_norm(tn_context *cx, tn *const *grads, size_t count); /* sqrt(sum of squares) */

typedef struct tn_adamw {
    int64_t step; /* 1 for the first */
    double rate, beta1, beta2, eps, weight_decay;
    double gradient_scale; /* multiplies the gradient first: clipping; 1: none */
} tn_adamw;
/* One step of AdamW in place: m, v (zeros at the start) and param are changed.
 * Loshchilov, Hutter: "Decoupled weight decay regularization", 2019, algorithm 2. */
void tn_adamw_step(tn_context *cx, tn *param, const tn *grad, tn *m, tn *v, const tn_adamw *o);
void tn_lerp_in_place(tn_context *cx, tn *x, const tn *y, double weight); /* x += weight (y - x) */
void tn_copy_in_place(tn_context *cx, tn *x, const tn *y);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What a backend, `headsds_torch_<version>.so`, and the core agree on: one table of functions, and
 * a note that is read from the file before any of its code runs.
 *
 * A backend shares no state with the core: of src/base it holds error.c alone, which has none, so
 * there is one thread pool in the process, the core's. The number of threads is told to it with
 * each context. */
#ifndef HDS_BACKEND_PRIV_H
#define HDS_BACKEND_PRIV_H

#include "tensor/tensor.h"

/* One more whenever TN_OPERATIONS, TN_WAYS or what one of them means changes. */
#define TN_BACKEND_ABI 1
#define TN_BACKEND_SYMBOL "headsds_backend"

/* The note: this line, then "abi=N", "torch=VERSION" and "library=FILE" in a line each; FILE is
 * libtorch_cpu as it was found at build time, under the name that the backend asks the loader for.
 */
#define TN_NOTE_START "headsds backend for libtorch\n"

/* What works on a context: value(type, name, parameters, arguments), or way(name, parameters,
 * arguments) where nothing is returned. The first parameter is always the context. */
/* clang-format off */
#define TN_OPERATIONS(value, way)                                                                  \
    value(hds_status, check, (tn_context *cx, hds_error *error), (cx, error))                      \
    value(bool, failed, (const tn_context *cx), (cx))                                              \
    value(size_t, enter, (tn_context *cx), (cx))                                                   \
    value(tn *, leave, (tn_context *cx, size_t scope, tn *kept), (cx, scope, kept))                \
    way(set_place, (tn_context *cx, tn_where where, const void *of), (cx, where, of))              \
    value(tn *, own, (tn_context *cx, tn *x), (cx, x))                                             \
    way(release, (tn_context *cx, tn **x), (cx, x))                                                \
    value(size_t, live, (const tn_context *cx), (cx))                                              \
    value(bool, set_grad, (tn_context *cx, bool on), (cx, on))                                     \
    value(tn_type, set_precision, (tn_context *cx, tn_type precision), (cx, precision))            \
    value(hds_status, set_device, (tn_context *cx, const char *name, hds_error *error),            \
          (cx, name, error))                                                                       \
    value(bool, on_processor, (const tn_context *cx), (cx))                                        \
    value(tn *, zeros, (tn_context *cx, int dims, const int64_t *shape), (cx, dims, shape))        \
    value(tn *, from_f32, (tn_context *cx, const float *data, int dims, const int64_t *shape),     \
          (cx, data, dims, shape))                                                                 \
    value(tn *, from_i64, (tn_context *cx, const int64_t *data, int dims, const int64_t *shape),   \
          (cx, data, dims, shape))                                                                 \
    value(tn *, borrow,                                                                            \
          (tn_context *cx, const void *data, tn_type type, int dims, const int64_t *shape),        \
          (cx, data, type, dims, shape))                                                           \
    value(tn *, to_type, (tn_context *cx, const tn *x, tn_type type), (cx, x, type))               \
    way(to_f32, (tn_context *cx, const tn *x, float *out, size_t count), (cx, x, out, count))      \
    value(float, scalar, (tn_context *cx, const tn *x), (cx, x))                                   \
    value(int, dims, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(int64_t, dim, (tn_context *cx, const tn *x, int d), (cx, x, d))                          \
    value(size_t, count, (tn_context *cx, const tn *x), (cx, x))                                   \
    value(bool, finite, (tn_context *cx, const tn *x), (cx, x))                                    \
    value(tn *, conv2d,                                                                            \
          (tn_context *cx, const tn *x, const tn *w, const tn *b, int stride, int pad),            \
          (cx, x, w, b, stride, pad))                                                              \
    value(tn *, linear, (tn_context *cx, const tn *x, const tn *w, const tn *b), (cx, x, w, b))    \
    value(tn *, group_norm,                                                                        \
          (tn_context *cx, const tn *x, const tn *w, const tn *b, int groups, double eps),         \
          (cx, x, w, b, groups, eps))                                                              \
    value(tn *, group_norm_silu,                                                                   \
          (tn_context *cx, const tn *x, const tn *w, const tn *b, int groups, double eps),         \
          (cx, x, w, b, groups, eps))                                                              \
    value(tn *, layer_norm,                                                                        \
          (tn_context *cx, const tn *x, const tn *w, const tn *b, double eps), (cx, x, w, b, eps)) \
    value(tn *, embedding, (tn_context *cx, const tn *table, const tn *ids), (cx, table, ids))     \
    value(tn *, attention,                                                                         \
          (tn_context *cx, const tn *q, const tn *k, const tn *v, int heads, bool causal),         \
          (cx, q, k, v, heads, causal))                                                            \
    value(tn *, attention_weights, (tn_context *cx, const tn *q, const tn *k, int heads),          \
          (cx, q, k, heads))                                                                       \
    value(tn *, silu, (tn_context *cx, const tn *x), (cx, x))                                      \
    value(tn *, gelu, (tn_context *cx, const tn *x), (cx, x))                                      \
    value(tn *, quick_gelu, (tn_context *cx, const tn *x), (cx, x))                                \
    value(tn *, gated_gelu, (tn_context *cx, const tn *x), (cx, x))                                \
    value(tn *, exp, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(tn *, cos, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(tn *, sin, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(tn *, abs, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(tn *, clamp, (tn_context *cx, const tn *x, double low, double high),                     \
          (cx, x, low, high))                                                                      \
    value(tn *, affine, (tn_context *cx, const tn *x, double scale, double shift),                 \
          (cx, x, scale, shift))                                                                   \
    value(tn *, add, (tn_context *cx, const tn *a, const tn *b), (cx, a, b))                       \
    value(tn *, sub, (tn_context *cx, const tn *a, const tn *b), (cx, a, b))                       \
    value(tn *, mul, (tn_context *cx, const tn *a, const tn *b), (cx, a, b))                       \
    value(tn *, matmul, (tn_context *cx, const tn *a, const tn *b), (cx, a, b))                    \
    value(tn *, unit, (tn_context *cx, const tn *x), (cx, x))                                      \
    value(tn *, mean, (tn_context *cx, const tn *x), (cx, x))                                      \
    value(tn *, sum, (tn_context *cx, const tn *x), (cx, x))                                       \
    value(tn *, mean_square, (tn_context *cx, const tn *a, const tn *b), (cx, a, b))               \
    value(tn *, reshape, (tn_context *cx, const tn *x, int dims, const int64_t *shape),            \
          (cx, x, dims, shape))                                                                    \
    value(tn *, permute, (tn_context *cx, const tn *x, int dims, const int64_t *order),            \
          (cx, x, dims, order))                                                                    \
    value(tn *, narrow, (tn_context *cx, const tn *x, int d, int64_t start, int64_t length),       \
          (cx, x, d, start, length))                                                               \
    value(tn *, cat, (tn_context *cx, const tn *const *parts, size_t count, int d),                \
          (cx, parts, count, d))                                                                   \
    value(tn *, pad,                                                                               \
          (tn_context *cx, const tn *x, int left, int right, int top, int bottom),                 \
          (cx, x, left, right, top, bottom))                                                       \
    value(tn *, upsample_nearest, (tn_context *cx, const tn *x, int64_t height, int64_t width),    \
          (cx, x, height, width))                                                                  \
    value(tn *, leaf, (tn_context *cx, const tn *x), (cx, x))                                      \
    value(tn *, detach, (tn_context *cx, const tn *x), (cx, x))                                    \
    value(tn *, vjp, (tn_context *cx, const tn *y, const tn *x, const tn *dy), (cx, y, x, dy))     \
    way(gradients,                                                                                 \
        (tn_context *cx, const tn *loss, tn *const *params, size_t count, tn **grads),             \
        (cx, loss, params, count, grads))                                                          \
    value(double, global_norm, (tn_context *cx, tn *const *grads, size_t count),                   \
          (cx, grads, count))                                                                      \
    way(adamw_step,                                                                                \
        (tn_context *cx, tn *param, const tn *grad, tn *m, tn *v, const tn_adamw *o),              \
        (cx, param, grad, m, v, o))                                                                \
    way(lerp_in_place, (tn_context *cx, tn *x, const tn *y, double weight), (cx, x, y, weight))    \
    way(copy_in_place, (tn_context *cx, tn *x, const tn *y), (cx, x, y))
/* clang-format on */

#define TN_TEXT_OF(x) #x
#define TN_TEXT(x) TN_TEXT_OF(x) /* the text of what a macro stands for */
#define TN_VALUE_MEMBER(type, name, parameters, arguments) type(*name) parameters;
#define TN_WAY_MEMBER(name, parameters, arguments) void(*name) parameters;

typedef struct tn_backend {
    int abi;          /* TN_BACKEND_ABI */
    size_t size;      /* of this struct */
    const char *note; /* the backend's own */
    hds_status (*context_create)(tn_context **cx, int threads, hds_error *error); /* threads > 0 */
    void (*context_destroy)(tn_context **cx);
    void (*fail)(tn_context *cx, hds_status status, const char *what);
    bool (*has_cuda)(void);
    void (*threads_spin)(void); /* no more threads are used than have a processor */
    TN_OPERATIONS(TN_VALUE_MEMBER, TN_WAY_MEMBER)
} tn_backend;

/* Every context begins with the table of the backend that made it. */
typedef struct tn_head {
    const tn_backend *backend;
} tn_head;

/* ---- backend_find.c: the core's side ---- */

typedef struct backend_file {
    char *file;    /* of the backend */
    int abi;       /* of its note */
    char *version; /* of libtorch: "1.13.1" */
    char *library; /* libtorch_cpu at build time */
} backend_file;

enum { BACKEND_FILES = 16, BACKEND_FOLDERS = 4 };
typedef struct backend_search {
    char *folders[BACKEND_FOLDERS]; /* looked into, in this order; NULL: none more */
    backend_file found[BACKEND_FILES];
    int count;
} backend_search;

/* The backends of HEADSDS_BACKEND, else of the usual folders. */
hds_status backend_look(backend_search *s, hds_error *error);
void backend_forget(backend_search *s);
const char *backend_base(const char *path);              /* the file's name */
bool backend_same_version(const char *a, const char *b); /* in major and minor number */
/* The version of the libtorch that `library` is a file of, or NULL; new. */
char *backend_version_of(const backend_search *s, const char *library);
/* The file of a libtorch that the process has; new, or NULL. */
char *backend_loaded_libtorch(void);

#endif

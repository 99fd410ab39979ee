/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the binding share: the handle, the context, and the one way to run an
 * operation, which lets no exception out. C++, never included by C. */
#ifndef HDS_ATEN_PRIV_H
#define HDS_ATEN_PRIV_H

#include "backend_priv.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <c10/core/GradMode.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

struct tn {
    at::Tensor t;
};

// An open scope: how many handles there were, and the place to go back to.
struct aten_scope {
    size_t handles;
    tn_where where;
    const void *place;
};

struct tn_context {
    const tn_backend *backend = nullptr; // as in tn_head
    hds_error error = {};
    std::vector<aten_scope> scopes;
    std::vector<std::unique_ptr<tn>> scoped;
    size_t owned = 0;
    bool grad = false;
    tn_type precision = TN_FLOAT32;
    at::Device device = at::kCPU;
    int threads = 1;
    tn_where where = nullptr;
    const void *place = nullptr;
};

extern "C" const tn_backend headsds_backend; /* aten_backend.cc */
extern "C" void aten_fail(tn_context *cx, hds_status status, const char *what);
/* Turns the exception in flight into the sticky error; called from a catch block only. */
void aten_caught(tn_context *cx, const char *operation);
/* aten_memory.cc: large blocks that this thread's operations free are kept while a context lives.
 */
void aten_memory_enter(); /* a context more */
void aten_memory_leave();
bool aten_keep_memory(bool on); /* of this thread; returns what it was */
/* aten_layers.cc: float32; with a graph where the gradient mode and the inputs ask for one. */
at::Tensor aten_conv2d(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                       int64_t stride, int64_t pad);
at::Tensor aten_attend(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, int64_t heads,
                       bool causal);
at::Tensor aten_split_heads(const at::Tensor &x,
                            int64_t heads);                     /* (B,L,C) -> (B heads,L,C/heads) */
at::Tensor aten_join_heads(const at::Tensor &x, int64_t heads); /* and back */
/* aten_frozen.cc: the same with a graph for the inputs alone. */
at::Tensor aten_frozen_conv2d(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                              int64_t stride, int64_t pad);
at::Tensor aten_frozen_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                 int64_t heads);
/* aten_products.cc: as at::mm and the like, and on several threads. */
at::Tensor aten_mm(const at::Tensor &a, const at::Tensor &b);
at::Tensor aten_bmm(const at::Tensor &a, const at::Tensor &b);
void aten_bmm_out(at::Tensor &to, const at::Tensor &a, const at::Tensor &b);
at::Tensor aten_linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b);
/* aten_pieces.cc: elementwise functions, and norms over groups of channels with or without SiLU,
 * whose bytes do not depend on the number of threads. */
struct aten_function {
    at::Tensor (*value)(const at::Tensor &x);
    at::Tensor (*backward)(const at::Tensor &dy, const at::Tensor &x); /* dy f'(x) */
};
at::Tensor aten_pointwise(const at::Tensor &x, const aten_function &f); /* f stays */
at::Tensor aten_group_norm(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                           int64_t groups, double eps, bool silu);
/* part(i) for i < count on several threads, whose gradient modes are their own; libtorch's own
 * operations in it use one. */
template <class Part> void aten_each(int64_t count, Part part)
{
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
        c10::AutoGradMode no_graph(false);
        for (int64_t i = begin; i < end; i++)
            part(i);
    });
}
/* While one of these lives, this thread's operations use it alone: a sum over all numbers is that
 * of the threads' sums. */
struct aten_one_thread {
    aten_one_thread();
    ~aten_one_thread();
    aten_one_thread(const aten_one_thread &) = delete;
    int before;
};
/* While one of these lives, OpenBLAS's own threads rest. */
struct aten_blas_alone {
    aten_blas_alone();
    ~aten_blas_alone();
    aten_blas_alone(const aten_blas_alone &) = delete;
};
at::ScalarType aten_type(tn_type type);
std::string aten_shape(const at::Tensor &x); /* "(2,4,64,64)" */
/* at::set_num_threads is remembered by each thread: set it where the work is done. */
void aten_use_threads(int threads);
/* OpenMP's threads spin while they wait: only so many are used as there are processors without
 * other work. */
extern "C" void aten_threads_spin(void);

static inline const at::Tensor &aten_get(const tn *x)
{
    if (!x)
        throw std::invalid_argument("a tensor is missing");
    return x->t;
}

static inline at::Tensor aten_optional(const tn *x)
{
    return x ? x->t : at::Tensor();
}

/* Runs body() under the context's settings; false when it, or anything before it, failed. */
template <class Body> bool aten_run(tn_context *cx, const char *operation, Body body)
{
    if (cx->error.status != HDS_OK)
        return false;
    bool done = false, kept = aten_keep_memory(true);
    try {
        c10::AutoGradMode mode(cx->grad);
        aten_use_threads(cx->threads);
        aten_blas_alone alone;
        body();
        done = true;
    } catch (...) {
        aten_caught(cx, operation);
    }
    aten_keep_memory(kept);
    return done;
}

/* Runs body() and gives its tensor to the innermost scope. */
template <class Body> tn *aten_make(tn_context *cx, const char *operation, Body body)
{
    tn *result = nullptr;
    aten_run(cx, operation, [&] {
        cx->scoped.push_back(std::unique_ptr<tn>(new tn{ body() }));
        result = cx->scoped.back().get();
    });
    return result;
}

#endif

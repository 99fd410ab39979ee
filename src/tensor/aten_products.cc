// SPDX-License-Identifier: Apache-2.0
// Matrix products on several threads. OpenBLAS's own threads wait by sched_yield: beside a process
// that keeps a processor busy each product then takes some time slices of the scheduler, and a step
// 20 times as long. So OpenBLAS works on one thread while operations run, and a product is cut into
// parts for OpenMP's threads.
#include "aten_priv.h"

#include <mutex>

extern "C" {
// Those of OpenBLAS, where the BLAS is one.
__attribute__((weak, visibility("default"))) int openblas_get_parallel(void);
__attribute__((weak, visibility("default"))) int openblas_get_num_threads(void);
__attribute__((weak, visibility("default"))) void openblas_set_num_threads(int);
}

// Whether the BLAS has a pool of threads of its own (1: pthreads, 2: OpenMP's).
static bool has_own_pool()
{
    return openblas_get_parallel && openblas_get_num_threads && openblas_set_num_threads &&
           openblas_get_parallel() == 1;
}

static std::mutex one_thread;
static int users, threads_before; // under one_thread

aten_blas_alone::aten_blas_alone()
{
    std::lock_guard<std::mutex> lock(one_thread);
    if (has_own_pool() && users++ == 0) {
        threads_before = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
}

aten_blas_alone::~aten_blas_alone()
{
    std::lock_guard<std::mutex> lock(one_thread);
    if (has_own_pool() && --users == 0)
        openblas_set_num_threads(threads_before);
}

// Bytes must not depend on the number of threads, and OpenBLAS's do on where a part begins: the
// parts are those of the sizes alone.
static const int64_t least_part = 64, most_parts = 16; // columns or rows; of a product
static const double least_work = 1 << 18;              // multiplications

static bool can_split(const at::Tensor &a, const at::Tensor &b, double work)
{
    bool graph = c10::GradMode::is_enabled() && (a.requires_grad() || b.requires_grad());
    return !graph && a.is_cpu() && b.is_cpu() && a.scalar_type() == at::kFloat &&
           b.scalar_type() == at::kFloat && work >= least_work;
}

// part(begin, length) for equal parts of `count`.
template <class Part> static void split(int64_t count, Part part)
{
    int64_t length = std::max(least_part, (count + most_parts - 1) / most_parts);
    length = (length + least_part - 1) / least_part * least_part;
    aten_each((count + length - 1) / length,
              [&](int64_t i) { part(i * length, std::min(length, count - i * length)); });
}

static void product(const at::Tensor &to, const at::Tensor &a, const at::Tensor &b)
{
    split(b.size(1), [&](int64_t at_column, int64_t count) {
        at::Tensor columns = to.narrow(1, at_column, count);
        at::mm_out(columns, a, b.narrow(1, at_column, count));
    });
}

at::Tensor aten_mm(const at::Tensor &a, const at::Tensor &b)
{
    if (!can_split(a, b, (double)a.size(0) * a.size(1) * b.size(1)))
        return at::mm(a, b);
    at::Tensor to = at::empty({ a.size(0), b.size(1) }, a.options());
    product(to, a, b);
    return to;
}

void aten_bmm_out(at::Tensor &to, const at::Tensor &a, const at::Tensor &b)
{
    int64_t batch = a.size(0);
    if (!can_split(a, b, (double)batch * a.size(1) * a.size(2) * b.size(2))) {
        at::bmm_out(to, a, b);
    } else if (batch < most_parts) {
        for (int64_t i = 0; i < batch; i++)
            product(to[i], a[i], b[i]);
    } else {
        aten_each(batch, [&](int64_t i) {
            at::Tensor one = to[i];
            at::mm_out(one, a[i], b[i]);
        });
    }
}

at::Tensor aten_bmm(const at::Tensor &a, const at::Tensor &b)
{
    if (!can_split(a, b, (double)a.size(0) * a.size(1) * a.size(2) * b.size(2)))
        return at::bmm(a, b);
    at::Tensor to = at::empty({ a.size(0), a.size(1), b.size(2) }, a.options());
    aten_bmm_out(to, a, b);
    return to;
}

at::Tensor aten_linear(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b)
{
    bool fits = w.dim() == 2 && x.dim() >= 2 && x.size(-1) == w.size(1);
    bool trained = b.defined() && b.requires_grad() && c10::GradMode::is_enabled();
    if (!fits || trained || !can_split(x, w, (double)x.numel() * w.size(0)))
        return at::linear(x, w, b);
    at::Tensor rows = x.reshape({ -1, w.size(1) }), turned = w.t();
    auto shape = x.sizes().vec();
    shape.back() = w.size(0);
    at::Tensor y = at::empty({ rows.size(0), w.size(0) }, x.options());
    bool across = rows.size(0) < w.size(0);
    split(across ? w.size(0) : rows.size(0), [&](int64_t begin, int64_t count) {
        at::Tensor to = y.narrow(across ? 1 : 0, begin, count);
        at::Tensor left = across ? rows : rows.narrow(0, begin, count);
        at::Tensor right = across ? turned.narrow(1, begin, count) : turned;
        if (!b.defined())
            at::mm_out(to, left, right);
        else
            at::addmm_out(to, across ? b.narrow(0, begin, count) : b, left, right);
    });
    return y.view(shape);
}

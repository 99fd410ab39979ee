// SPDX-License-Identifier: Apache-2.0
// Contexts, scopes, the sticky error, and the way of numbers into tensors and out.
#include "aten_priv.h"

extern "C" {
#include "base/base.h"
}

#include <omp.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstring>
#include <new>
#include <string>

static std::atomic<bool> spinning{ false };

void aten_threads_spin(void)
{
    spinning = true;
}

// Of `threads` those that have a processor: the system counts what runs or waits to, ours among
// them. Looked at ten times a second. Results do not depend on the number of threads.
static int threads_with_room(int threads)
{
    static std::atomic<int64_t> next{ 0 };
    static std::atomic<int> used{ INT_MAX };
    auto now = std::chrono::steady_clock::now().time_since_epoch() / std::chrono::milliseconds(1);
    if (now < next)
        return std::min<int>(used, threads);
    next = now + 100;
    int running = 0, current = std::min<int>(used, threads), processors = omp_get_num_procs();
    FILE *file = fopen("/proc/loadavg", "r");
    bool known = file && fscanf(file, "%*f %*f %*f %d/", &running) == 1;
    if (file)
        fclose(file);
    if (known && processors == sysconf(_SC_NPROCESSORS_ONLN))
        used = std::max(1, processors - std::max(0, running - current));
    return std::min<int>(used, threads);
}

void aten_use_threads(int threads)
{
    static thread_local int current = 0;
    if (spinning)
        threads = threads_with_room(threads);
    if (current != threads) {
        at::set_num_threads(threads);
        current = threads;
    }
}

aten_one_thread::aten_one_thread() : before(omp_get_max_threads())
{
    omp_set_num_threads(1);
}

aten_one_thread::~aten_one_thread()
{
    omp_set_num_threads(before);
}

std::string aten_shape(const at::Tensor &x)
{
    std::string text = "(";
    for (int64_t d = 0; d < x.dim(); d++)
        text += (d ? "," : "") + std::to_string(x.size(d));
    return text + ")";
}

static void raise(tn_context *cx, hds_status status, const char *operation, const char *what)
{
    char place[512] = "";
    if (cx->where)
        cx->where(cx->place, place, sizeof place);
    int length = (int)std::min<size_t>(strcspn(what, "\n"), 700);
    hds_raise(&cx->error, status, "%s%s%s%s%.*s", place, place[0] ? ": " : "", operation,
              operation[0] ? ": " : "", length, what);
}

void aten_caught(tn_context *cx, const char *operation)
{
    try {
        throw;
    } catch (const std::bad_alloc &) {
        raise(cx, HDS_ERROR_MEMORY, operation, "out of memory");
    } catch (const c10::Error &e) {
        const char *what = e.what_without_backtrace();
        bool memory = strstr(what, "not enough memory") || strstr(what, "out of memory") ||
                      strstr(what, "can't allocate memory");
        raise(cx, memory ? HDS_ERROR_MEMORY : HDS_ERROR_INTERNAL, operation, what);
    } catch (const std::exception &e) {
        raise(cx, HDS_ERROR_INTERNAL, operation, e.what());
    } catch (...) {
        raise(cx, HDS_ERROR_INTERNAL, operation, "an exception of unknown type");
    }
}

hds_status tn_context_create(tn_context **cx, int threads, hds_error *error)
{
    *cx = nullptr;
    try {
        std::unique_ptr<tn_context> made(new tn_context);
        made->backend = &headsds_backend;
        made->threads = threads;
        aten_memory_enter();
        *cx = made.release();
    } catch (...) {
        return hds_raise(error, HDS_ERROR_MEMORY, "tensor context: out of memory");
    }
    return HDS_OK;
}

void tn_context_destroy(tn_context **cx)
{
    if (*cx) {
        delete *cx;
        aten_memory_leave();
    }
    *cx = nullptr;
}

hds_status tn_check(tn_context *cx, hds_error *error)
{
    hds_status status = cx->error.status;
    if (status != HDS_OK) {
        if (error && error->status == HDS_OK)
            *error = cx->error;
        cx->error = hds_error();
    }
    return status;
}

bool tn_failed(const tn_context *cx)
{
    return cx->error.status != HDS_OK;
}

void aten_fail(tn_context *cx, hds_status status, const char *what)
{
    hds_raise(&cx->error, status, "%s", what);
}

void tn_set_place(tn_context *cx, tn_where where, const void *of)
{
    cx->where = where;
    cx->place = of;
}

size_t tn_enter(tn_context *cx)
{
    try {
        cx->scopes.push_back({ cx->scoped.size(), cx->where, cx->place });
        return cx->scopes.size() - 1;
    } catch (...) {
        aten_caught(cx, "scope");
        return SIZE_MAX; // one that tn_leave finds not open
    }
}

tn *tn_leave(tn_context *cx, size_t scope, tn *kept)
{
    if (scope >= cx->scopes.size())
        return tn_failed(cx) ? nullptr : kept;
    aten_scope opened = cx->scopes[scope];
    cx->scopes.erase(cx->scopes.begin() + (std::ptrdiff_t)scope, cx->scopes.end());
    cx->where = opened.where;
    cx->place = opened.place;
    size_t size = cx->scoped.size(), found = size, keep = opened.handles;
    for (size_t i = size; kept && i-- > keep && found == size;)
        if (cx->scoped[i].get() == kept)
            found = i;
    if (found < size)
        std::swap(cx->scoped[keep++], cx->scoped[found]);
    // Newest first: what was made from a tensor goes before it.
    while (cx->scoped.size() > keep)
        cx->scoped.pop_back();
    return tn_failed(cx) ? nullptr : kept;
}

tn *tn_own(tn_context *cx, tn *x)
{
    if (tn_failed(cx) || !x)
        return nullptr;
    for (size_t i = cx->scoped.size(); i-- > 0;)
        if (cx->scoped[i].get() == x) {
            (void)cx->scoped[i].release();
            cx->scoped.erase(cx->scoped.begin() + (std::ptrdiff_t)i);
            cx->owned++;
            return x;
        }
    raise(cx, HDS_ERROR_INTERNAL, "own", "the tensor is in no scope");
    return nullptr;
}

void tn_release(tn_context *cx, tn **x)
{
    if (*x)
        cx->owned--;
    delete *x;
    *x = nullptr;
}

size_t tn_live(const tn_context *cx)
{
    return cx->scoped.size() + cx->owned;
}

static const at::ScalarType types[] = { at::kFloat, at::kBFloat16, at::kHalf };

at::ScalarType aten_type(tn_type type)
{
    return types[type];
}

tn_type tn_set_precision(tn_context *cx, tn_type precision)
{
    tn_type was = cx->precision;
    cx->precision = precision;
    return was;
}

static bool answers(const at::Device &device)
{
    try {
        return at::zeros({ 1 }, at::TensorOptions(device)).add(1).item<float>() == 1;
    } catch (...) {
        return false;
    }
}

bool tn_on_processor(const tn_context *cx)
{
    return cx->device.is_cpu();
}

bool tn_has_cuda(void)
{
    return at::hasCUDA() && answers(at::Device(at::kCUDA));
}

hds_status tn_set_device(tn_context *cx, const char *name, hds_error *error)
{
    int number = -1, used = 0;
    if (!strcmp(name, "cpu")) {
        cx->device = at::kCPU;
        return HDS_OK;
    }
    if (strcmp(name, "cuda") && (strncmp(name, "cuda:", 5) || name[5] < '0' || name[5] > '9' ||
                                 sscanf(name, "cuda:%3d%n", &number, &used) != 1 || name[used] ||
                                 number < 0 || number > 99))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "device is \"%s\", expected \"auto\", \"cpu\", \"cuda\" or \"cuda:N\"",
                         name);
    if (!at::hasCUDA())
        return hds_raise(
            error, HDS_ERROR_ARGUMENT,
            "device \"%s\": libtorch knows no CUDA or finds no device: take \"cpu\", or "
            "build with -Dtorch_dir= of a libtorch with CUDA",
            name);
    at::Device device(at::kCUDA, (c10::DeviceIndex)number);
    if (!answers(device))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "device \"%s\": no such device answers; \"cpu\" always does", name);
    // float32 means it, and equal inputs give equal bytes.
    at::globalContext().setAllowTF32CuDNN(false);
    at::globalContext().setDeterministicCuDNN(true);
    cx->device = device;
    return HDS_OK;
}

bool tn_set_grad(tn_context *cx, bool on)
{
    bool was = cx->grad;
    cx->grad = on;
    return was;
}

tn *tn_zeros(tn_context *cx, int dims, const int64_t *shape)
{
    return aten_make(cx, "zeros", [&] {
        return at::zeros(at::IntArrayRef(shape, (size_t)dims),
                         at::TensorOptions(cx->device).dtype(at::kFloat));
    });
}

static at::Tensor view_of(const void *data, int dims, const int64_t *shape, at::ScalarType type)
{
    if (!data)
        throw std::invalid_argument("the data are missing");
    return at::from_blob(const_cast<void *>(data), at::IntArrayRef(shape, (size_t)dims), type);
}

static at::Tensor copy_of(const tn_context *cx, const void *data, int dims, const int64_t *shape,
                          at::ScalarType type)
{
    at::Tensor view = view_of(data, dims, shape, type);
    return cx->device.is_cpu() ? view.clone() : view.to(cx->device);
}

tn *tn_from_f32(tn_context *cx, const float *data, int dims, const int64_t *shape)
{
    return aten_make(cx, "from_f32", [&] { return copy_of(cx, data, dims, shape, at::kFloat); });
}

tn *tn_from_i64(tn_context *cx, const int64_t *data, int dims, const int64_t *shape)
{
    return aten_make(cx, "from_i64", [&] { return copy_of(cx, data, dims, shape, at::kLong); });
}

tn *tn_borrow(tn_context *cx, const void *data, tn_type type, int dims, const int64_t *shape)
{
    return aten_make(cx, "borrow",
                     [&] { return view_of(data, dims, shape, types[type]).to(cx->device); });
}

tn *tn_to_type(tn_context *cx, const tn *x, tn_type type)
{
    return aten_make(cx, "to_type", [&] { return aten_get(x).to(types[type]); });
}

void tn_to_f32(tn_context *cx, const tn *x, float *out, size_t count)
{
    aten_run(cx, "to_f32", [&] {
        at::Tensor t = aten_get(x).detach().to(at::kCPU, at::kFloat).contiguous();
        if ((size_t)t.numel() != count)
            throw std::length_error("the tensor holds " + std::to_string(t.numel()) +
                                    " numbers, expected " + std::to_string(count));
        memcpy(out, t.data_ptr<float>(), count * sizeof *out);
    });
}

float tn_scalar(tn_context *cx, const tn *x)
{
    float value = 0;
    tn_to_f32(cx, x, &value, 1);
    return value;
}

int tn_dims(tn_context *cx, const tn *x)
{
    int dims = 1;
    aten_run(cx, "dims", [&] { dims = (int)aten_get(x).dim(); });
    return dims;
}

int64_t tn_dim(tn_context *cx, const tn *x, int d)
{
    int64_t size = 1;
    aten_run(cx, "dim", [&] { size = aten_get(x).size(d); });
    return size;
}

size_t tn_count(tn_context *cx, const tn *x)
{
    size_t count = 1;
    aten_run(cx, "count", [&] { count = (size_t)aten_get(x).numel(); });
    return count;
}

bool tn_finite(tn_context *cx, const tn *x)
{
    bool finite = false;
    aten_run(cx, "finite", [&] { finite = at::isfinite(aten_get(x)).all().item<bool>(); });
    return finite;
}

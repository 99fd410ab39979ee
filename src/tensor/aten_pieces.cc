// SPDX-License-Identifier: Apache-2.0
// Operations in pieces whose sizes are those of the tensors alone. libtorch gives each thread a
// share of the numbers; vector code and the code for the last few of a share round differently, and
// sums are those of the shares: bytes would depend on the number of threads.
#include "aten_priv.h"

#include <torch/csrc/autograd/custom_function.h>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

static bool wants_graph(const at::Tensor &x)
{
    return c10::GradMode::is_enabled() && x.requires_grad();
}

// ---- functions of one number ----

static const int64_t piece = 1 << 15; // numbers; they stay in a core's cache

// part(flat inputs) for each piece.
template <class Part>
static at::Tensor in_pieces(const at::Tensor &x, const at::Tensor &other, Part part)
{
    at::Tensor y = at::empty_like(x, at::MemoryFormat::Contiguous), to = y.view(-1);
    at::Tensor a = x.contiguous().view(-1), b = other.defined() ? other.contiguous().view(-1) : a;
    int64_t count = a.numel();
    aten_each((count + piece - 1) / piece, [&](int64_t i) {
        int64_t begin = i * piece, length = std::min(piece, count - begin);
        to.narrow(0, begin, length)
            .copy_(part(a.narrow(0, begin, length), b.narrow(0, begin, length)));
    });
    return y;
}

static at::Tensor values(const at::Tensor &x, const aten_function &f)
{
    return in_pieces(x, {},
                     [&](const at::Tensor &part, const at::Tensor &) { return f.value(part); });
}

namespace
{

struct pointwise : Function<pointwise> {
    static at::Tensor forward(AutogradContext *c, at::Tensor x, const aten_function *f)
    {
        c->save_for_backward({ x });
        c->saved_data["function"] = (int64_t)(intptr_t)f;
        return values(x, *f);
    }
    static tensor_list backward(AutogradContext *c, tensor_list dy)
    {
        auto *f = (const aten_function *)(intptr_t)c->saved_data["function"].toInt();
        return { in_pieces(dy[0], c->get_saved_variables()[0], f->backward), {} };
    }
};

} // namespace

at::Tensor aten_pointwise(const at::Tensor &x, const aten_function &f)
{
    if (!x.is_cpu())
        return f.value(x);
    return wants_graph(x) ? pointwise::apply(x, &f) : values(x, f);
}

// ---- norms over groups of channels ----

namespace
{

struct norm_of {
    int64_t batch, channels, places, groups;
    double eps;
};

} // namespace

// Of x (N,C,...)
static norm_of norm_over(const at::Tensor &x, int64_t groups, double eps)
{
    int64_t batch = x.size(0), channels = x.size(1);
    return { batch, channels, x.numel() / (batch * channels), groups, eps };
}

static const int64_t most_parts = 16; // of a tensor

// part(tensor's part of an (N,C,...) tensor, of a (C) one, channels, groups) for some groups of a
// sample at a time, which lie together.
template <class Part> static void by_groups(const norm_of &n, Part part)
{
    int64_t per_sample = std::min(n.groups, std::max<int64_t>(1, most_parts / n.batch));
    int64_t groups = (n.groups + per_sample - 1) / per_sample, width = n.channels / n.groups;
    per_sample = (n.groups + groups - 1) / groups;
    aten_each(n.batch * per_sample, [&](int64_t i) {
        int64_t sample = i / per_sample, first = i % per_sample * groups;
        int64_t count = std::min(groups, n.groups - first);
        auto of_sample = [&](const at::Tensor &x) {
            return x.narrow(0, sample, 1).narrow(1, first * width, count * width);
        };
        auto of_channels = [&](const at::Tensor &x) {
            return x.narrow(0, first * width, count * width);
        };
        part(of_sample, of_channels, count * width, count);
    });
}

static at::Tensor norm_forward(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                               const norm_of &n, bool silu)
{
    at::Tensor y = at::empty_like(x);
    by_groups(n, [&](auto sample, auto channel, int64_t channels, int64_t groups) {
        at::Tensor part = std::get<0>(at::native_group_norm(sample(x), channel(w), channel(b), 1,
                                                            channels, n.places, groups, n.eps));
        sample(y).copy_(silu ? at::silu_(part) : part);
    });
    return y;
}

static at::Tensor norm_backward(const at::Tensor &dy, const at::Tensor &x, const at::Tensor &w,
                                const at::Tensor &b, const norm_of &n, bool silu)
{
    at::Tensor dx = at::empty_like(x);
    by_groups(n, [&](auto sample, auto channel, int64_t channels, int64_t groups) {
        at::Tensor in = sample(x), scale = channel(w), d = sample(dy);
        auto y = at::native_group_norm(in, scale, channel(b), 1, channels, n.places, groups, n.eps);
        if (silu)
            d = at::silu_backward(d, std::get<0>(y));
        sample(dx).copy_(std::get<0>(
            at::native_group_norm_backward(d, in, std::get<1>(y), std::get<2>(y), scale, 1,
                                           channels, n.places, groups, { true, false, false })));
    });
    return dx;
}

namespace
{

// It keeps its input alone, and makes the rest again.
struct norm : Function<norm> {
    static at::Tensor forward(AutogradContext *c, at::Tensor x, at::Tensor w, at::Tensor b,
                              const norm_of &n, bool silu)
    {
        c->save_for_backward({ x, w, b });
        c->saved_data["groups"] = n.groups;
        c->saved_data["eps"] = n.eps;
        c->saved_data["silu"] = silu;
        return norm_forward(x, w, b, n, silu);
    }
    static tensor_list backward(AutogradContext *c, tensor_list dy)
    {
        auto saved = c->get_saved_variables();
        norm_of n =
            norm_over(saved[0], c->saved_data["groups"].toInt(), c->saved_data["eps"].toDouble());
        return { norm_backward(dy[0].contiguous(), saved[0], saved[1], saved[2], n,
                               c->saved_data["silu"].toBool()),
                 {},
                 {},
                 {},
                 {} };
    }
};

} // namespace

at::Tensor aten_group_norm(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                           int64_t groups, double eps, bool silu)
{
    bool whole = x.dim() > 1 && x.numel() > 0 && groups > 0 && x.size(1) % groups == 0;
    if (!whole || !x.is_cpu() || wants_graph(w) || wants_graph(b)) {
        at::Tensor y = at::group_norm(x, groups, w, b, eps);
        return silu ? at::silu(y) : y;
    }
    norm_of n = norm_over(x, groups, eps);
    at::Tensor in = x.contiguous();
    return wants_graph(x) ? norm::apply(in, w, b, n, silu) : norm_forward(in, w, b, n, silu);
}

// SPDX-License-Identifier: Apache-2.0
// Elementwise operations, reductions and changes of shape.
#include "aten_priv.h"
#include "gate.h"

static at::Tensor quick_gelu(const at::Tensor &x)
{
    return x * at::sigmoid(x * 1.702);
}

static at::Tensor quick_gelu_backward(const at::Tensor &dy, const at::Tensor &x)
{
    at::Tensor s = at::sigmoid(x * 1.702);
    return dy * (s + x * 1.702 * s * (1 - s));
}

typedef const at::Tensor &in;
static const aten_function silu_function = { [](in x) { return at::silu(x); },
                                             [](in d, in x) { return at::silu_backward(d, x); } };
static const aten_function gelu_function = { [](in x) { return at::gelu(x); },
                                             [](in d, in x) { return at::gelu_backward(d, x); } };
static const aten_function quick_gelu_function = { quick_gelu, quick_gelu_backward };
static const aten_function exp_function = { [](in x) { return at::exp(x); },
                                            [](in d, in x) { return d * at::exp(x); } };
static const aten_function cos_function = { [](in x) { return at::cos(x); },
                                            [](in d, in x) { return -d * at::sin(x); } };
static const aten_function sin_function = { [](in x) { return at::sin(x); },
                                            [](in d, in x) { return d * at::cos(x); } };

#define POINTWISE(name)                                                                            \
    tn *tn_##name(tn_context *cx, const tn *x)                                                     \
    {                                                                                              \
        return aten_make(cx, #name, [&] { return aten_pointwise(aten_get(x), name##_function); }); \
    }
POINTWISE(silu)
POINTWISE(gelu)
POINTWISE(quick_gelu)
POINTWISE(exp)
POINTWISE(cos)
POINTWISE(sin)

tn *tn_gated_gelu(tn_context *cx, const tn *x)
{
    return aten_make(cx, "gated gelu", [&] {
        at::Tensor in = aten_get(x).contiguous();
        int64_t width = in.dim() ? in.size(-1) / 2 : 0;
        if (width < 1 || in.size(-1) % 2)
            throw std::invalid_argument("input " + aten_shape(in) + ", expected pairs of halves");
        if ((cx->grad && in.requires_grad()) || !in.is_cpu()) {
            auto halves = in.chunk(2, -1);
            return halves[0] * aten_pointwise(halves[1], gelu_function);
        }
        auto shape = in.sizes().vec();
        shape.back() = width;
        at::Tensor out = at::empty(shape, in.options());
        const float *from = in.data_ptr<float>();
        float *to = out.data_ptr<float>();
        at::parallel_for(0, in.numel() / (2 * width), 64, [&](int64_t begin, int64_t end) {
            gate_gelu(from + begin * 2 * width, (size_t)(end - begin), (size_t)width,
                      to + begin * width);
        });
        return out;
    });
}

tn *tn_abs(tn_context *cx, const tn *x)
{
    return aten_make(cx, "abs", [&] { return at::abs(aten_get(x)); });
}

tn *tn_clamp(tn_context *cx, const tn *x, double low, double high)
{
    return aten_make(cx, "clamp",
                     [&] { return at::clamp(aten_get(x), at::Scalar(low), at::Scalar(high)); });
}

tn *tn_affine(tn_context *cx, const tn *x, double scale, double shift)
{
    return aten_make(cx, "affine", [&] {
        at::Tensor y = aten_get(x) * scale;
        return shift == 0 ? y : y + shift;
    });
}

tn *tn_add(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "add", [&] { return aten_get(a) + aten_get(b); });
}

tn *tn_sub(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "sub", [&] { return aten_get(a) - aten_get(b); });
}

tn *tn_mul(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "mul", [&] { return aten_get(a) * aten_get(b); });
}

tn *tn_matmul(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "matmul", [&] {
        const at::Tensor &left = aten_get(a), &right = aten_get(b);
        return left.dim() == 2 && right.dim() == 2 && left.size(1) == right.size(0)
                   ? aten_mm(left, right)
                   : at::matmul(left, right);
    });
}

tn *tn_unit(tn_context *cx, const tn *x)
{
    return aten_make(cx, "unit", [&] { return aten_get(x) / aten_get(x).norm(2, -1, true); });
}

tn *tn_mean(tn_context *cx, const tn *x)
{
    return aten_make(cx, "mean", [&] {
        aten_one_thread alone;
        return aten_get(x).mean();
    });
}

tn *tn_sum(tn_context *cx, const tn *x)
{
    return aten_make(cx, "sum", [&] {
        aten_one_thread alone;
        return aten_get(x).sum();
    });
}

tn *tn_mean_square(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "mean_square", [&] {
        aten_one_thread alone;
        return at::mse_loss(aten_get(a), aten_get(b));
    });
}

tn *tn_reshape(tn_context *cx, const tn *x, int dims, const int64_t *shape)
{
    return aten_make(cx, "reshape",
                     [&] { return aten_get(x).reshape(at::IntArrayRef(shape, (size_t)dims)); });
}

tn *tn_permute(tn_context *cx, const tn *x, int dims, const int64_t *order)
{
    return aten_make(cx, "permute", [&] {
        return aten_get(x).permute(at::IntArrayRef(order, (size_t)dims)).contiguous();
    });
}

tn *tn_narrow(tn_context *cx, const tn *x, int d, int64_t start, int64_t length)
{
    return aten_make(cx, "narrow", [&] { return aten_get(x).narrow(d, start, length); });
}

tn *tn_cat(tn_context *cx, const tn *const *parts, size_t count, int d)
{
    return aten_make(cx, "cat", [&] {
        std::vector<at::Tensor> list;
        for (size_t i = 0; i < count; i++)
            list.push_back(aten_get(parts[i]));
        return at::cat(list, d);
    });
}

tn *tn_pad(tn_context *cx, const tn *x, int left, int right, int top, int bottom)
{
    return aten_make(cx, "pad", [&] {
        return at::constant_pad_nd(aten_get(x), at::IntArrayRef({ left, right, top, bottom }), 0);
    });
}

tn *tn_upsample_nearest(tn_context *cx, const tn *x, int64_t height, int64_t width)
{
    return aten_make(cx, "upsample_nearest", [&] {
        return at::upsample_nearest2d(aten_get(x), at::IntArrayRef({ height, width }));
    });
}

// SPDX-License-Identifier: Apache-2.0
// The operations that the networks and their losses are made of: one line each, and attention.
#include "tensor/aten_priv.h"

#include <cmath>

// What products are computed in: the inputs are rounded to it and the sums come back as float32.
static at::Tensor in_precision(const tn_context *cx, const at::Tensor &x)
{
    return cx->precision == TN_BFLOAT16 && x.defined() ? x.to(at::kBFloat16) : x;
}

// A kernel of one pixel as a product over channels: at::conv2d takes another algorithm for it on
// one thread than on several, and the bytes would depend on their number.
static at::Tensor mix_channels(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b)
{
    return at::linear(x.permute({ 0, 2, 3, 1 }), w.flatten(1), b)
        .permute({ 0, 3, 1, 2 })
        .contiguous();
}

tn *tn_conv2d(tn_context *cx, const tn *x, const tn *w, const tn *b, int stride, int pad)
{
    return aten_make(cx, "conv2d", [&] {
        const at::Tensor &kernel = aten_get(w);
        if (cx->precision == TN_FLOAT32 && kernel.dim() == 4 && kernel.size(2) == 1 &&
            kernel.size(3) == 1 && aten_get(x).dim() == 4 && stride == 1 && pad == 0)
            return mix_channels(aten_get(x), kernel, aten_optional(b));
        at::Tensor in = in_precision(cx, aten_get(x)), weight = in_precision(cx, aten_get(w));
        if (cx->precision == TN_BFLOAT16) { // twice as fast in this layout
            in = in.contiguous(at::MemoryFormat::ChannelsLast);
            weight = weight.contiguous(at::MemoryFormat::ChannelsLast);
        }
        return at::conv2d(in, weight, in_precision(cx, aten_optional(b)), { stride, stride },
                          at::IntArrayRef({ pad, pad }))
            .to(at::kFloat)
            .contiguous();
    });
}

tn *tn_linear(tn_context *cx, const tn *x, const tn *w, const tn *b)
{
    return aten_make(cx, "linear", [&] {
        return at::linear(in_precision(cx, aten_get(x)), in_precision(cx, aten_get(w)),
                          in_precision(cx, aten_optional(b)))
            .to(at::kFloat);
    });
}

tn *tn_group_norm(tn_context *cx, const tn *x, const tn *w, const tn *b, int groups, double eps)
{
    return aten_make(cx, "group_norm", [&] {
        return at::group_norm(aten_get(x), groups, aten_get(w), aten_get(b), eps);
    });
}

tn *tn_layer_norm(tn_context *cx, const tn *x, const tn *w, const tn *b, double eps)
{
    return aten_make(cx, "layer_norm", [&] {
        return at::layer_norm(aten_get(x), aten_get(w).sizes(), aten_get(w), aten_get(b), eps);
    });
}

tn *tn_embedding(tn_context *cx, const tn *table, const tn *ids)
{
    return aten_make(cx, "embedding",
                     [&] { return at::embedding(aten_get(table), aten_get(ids)); });
}

// (B,L,C) -> (B heads,L,C/heads)
static at::Tensor split_heads(const at::Tensor &x, int64_t heads)
{
    int64_t b = x.size(0), l = x.size(1), c = x.size(2);
    if (heads < 1 || c % heads)
        throw std::invalid_argument(std::to_string(c) + " channels in " + std::to_string(heads) +
                                    " heads");
    return x.reshape({ b, l, heads, c / heads })
        .transpose(1, 2)
        .reshape({ b * heads, l, c / heads });
}

// Adds -inf above the diagonal of scores (N,Q,K) whose first row is position `first`.
static void mask_later(at::Tensor &scores, int64_t first)
{
    int64_t q = scores.size(1), k = scores.size(2);
    at::Tensor rows = at::arange(first, first + q, at::kLong).unsqueeze(1);
    scores = scores.masked_fill(at::arange(k, at::kLong).unsqueeze(0).gt(rows), -INFINITY);
}

// bmm, then scale: baddbmm with beta 0 multiplies an uninitialised result by 0 in torch 1.13, and
// that is NaN now and then.
static at::Tensor attend(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, bool causal,
                         int64_t first)
{
    at::Tensor scores = at::bmm(q, k.transpose(1, 2));
    double scale = 1.0 / std::sqrt((double)q.size(2));
    scores = scores.requires_grad() ? scores * scale : scores.mul_(scale);
    if (causal)
        mask_later(scores, first);
    return at::bmm(at::softmax(scores, -1), v);
}

// The same over slices of batch and queries, so that no more than SLICE scores exist at a time.
static at::Tensor attend_in_slices(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                   bool causal)
{
    const int64_t slice = (int64_t)1 << 24;
    int64_t n = q.size(0), rows = q.size(1), keys = k.size(1);
    if (n * rows * keys <= slice)
        return attend(q, k, v, causal, 0);
    int64_t row_step = std::max<int64_t>(1, std::min(rows, slice / keys));
    int64_t step = std::max<int64_t>(1, slice / (row_step * keys));
    at::Tensor out = at::empty_like(q);
    for (int64_t i = 0; i < n; i += step) {
        int64_t width = std::min(step, n - i);
        for (int64_t r = 0; r < rows; r += row_step) {
            int64_t height = std::min(row_step, rows - r);
            at::Tensor part = q.narrow(0, i, width).narrow(1, r, height);
            out.narrow(0, i, width)
                .narrow(1, r, height)
                .copy_(attend(part, k.narrow(0, i, width), v.narrow(0, i, width), causal, r));
        }
    }
    return out;
}

tn *tn_attention(tn_context *cx, const tn *q, const tn *k, const tn *v, int heads, bool causal)
{
    return aten_make(cx, "attention", [&] {
        const at::Tensor &x = aten_get(q);
        int64_t b = x.size(0), l = x.size(1), c = x.size(2);
        at::Tensor qs = in_precision(cx, split_heads(x, heads));
        at::Tensor ks = in_precision(cx, split_heads(aten_get(k), heads));
        at::Tensor vs = in_precision(cx, split_heads(aten_get(v), heads));
        bool graph = cx->grad && (qs.requires_grad() || ks.requires_grad() || vs.requires_grad());
        at::Tensor y = graph ? attend(qs, ks, vs, causal, 0) : attend_in_slices(qs, ks, vs, causal);
        return y.reshape({ b, heads, l, c / heads })
            .transpose(1, 2)
            .reshape({ b, l, c })
            .to(at::kFloat);
    });
}

tn *tn_attention_weights(tn_context *cx, const tn *q, const tn *k, int heads)
{
    return aten_make(cx, "attention weights", [&] {
        at::Tensor qs = split_heads(aten_get(q), heads), ks = split_heads(aten_get(k), heads);
        at::Tensor scores = at::bmm(qs, ks.transpose(1, 2)) * (1.0 / std::sqrt((double)qs.size(2)));
        int64_t b = aten_get(q).size(0);
        return at::softmax(scores, -1).reshape({ b, heads, qs.size(1), ks.size(1) }).mean(1);
    });
}

tn *tn_silu(tn_context *cx, const tn *x)
{
    return aten_make(cx, "silu", [&] { return at::silu(aten_get(x)); });
}

tn *tn_gelu(tn_context *cx, const tn *x)
{
    return aten_make(cx, "gelu", [&] { return at::gelu(aten_get(x)); });
}

tn *tn_quick_gelu(tn_context *cx, const tn *x)
{
    return aten_make(cx, "quick_gelu",
                     [&] { return aten_get(x) * at::sigmoid(aten_get(x) * 1.702); });
}

tn *tn_exp(tn_context *cx, const tn *x)
{
    return aten_make(cx, "exp", [&] { return at::exp(aten_get(x)); });
}

tn *tn_cos(tn_context *cx, const tn *x)
{
    return aten_make(cx, "cos", [&] { return at::cos(aten_get(x)); });
}

tn *tn_sin(tn_context *cx, const tn *x)
{
    return aten_make(cx, "sin", [&] { return at::sin(aten_get(x)); });
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
    return aten_make(cx, "matmul", [&] { return at::matmul(aten_get(a), aten_get(b)); });
}

tn *tn_unit(tn_context *cx, const tn *x)
{
    return aten_make(cx, "unit", [&] { return aten_get(x) / aten_get(x).norm(2, -1, true); });
}

tn *tn_mean(tn_context *cx, const tn *x)
{
    return aten_make(cx, "mean", [&] { return aten_get(x).mean(); });
}

tn *tn_sum(tn_context *cx, const tn *x)
{
    return aten_make(cx, "sum", [&] { return aten_get(x).sum(); });
}

tn *tn_mean_square(tn_context *cx, const tn *a, const tn *b)
{
    return aten_make(cx, "mean_square", [&] { return at::mse_loss(aten_get(a), aten_get(b)); });
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

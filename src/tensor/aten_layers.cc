// SPDX-License-Identifier: Apache-2.0
// The layers with weights, and attention. Each has up to three ways: with a graph for the weights
// (training), with a graph for the input alone (aten_frozen.cc), and without one.
#include "aten_priv.h"
#include "attend.h"
#include "winograd.h"

#include <cmath>

// What a product is computed in: the type that its weights are kept in, where the device computes
// in it; the context's for weights in float32.
static at::ScalarType product_type(const tn_context *cx, const at::Tensor &w)
{
    at::ScalarType type = w.scalar_type();
    if (type == at::kFloat)
        return aten_type(cx->precision);
    return w.is_cpu() && !(type == at::kBFloat16 && tn_has_bfloat16()) ? at::kFloat : type;
}

static at::Tensor to_type(const at::Tensor &x, at::ScalarType type)
{
    return x.defined() ? x.to(type) : x;
}

// Whether x has a gradient to come and the weights have none.
static bool frozen_graph(const tn_context *cx, const at::Tensor &x, const at::Tensor &w,
                         const at::Tensor &b)
{
    bool trained = w.requires_grad() || (b.defined() && b.requires_grad());
    return cx->grad && x.requires_grad() && !trained;
}

// A kernel of one pixel as a product over channels: at::conv2d takes another algorithm for it on
// one thread than on several, and the bytes would depend on their number.
static at::Tensor mix_channels(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b)
{
    int64_t batch = x.size(0), out = w.size(0), in = w.size(1);
    at::Tensor y = aten_bmm(w.view({ 1, out, in }).expand({ batch, out, in }), x.flatten(2));
    if (b.defined())
        y = y + b.unsqueeze(1);
    return y.view({ batch, out, x.size(2), x.size(3) });
}

// A small picture under a large kernel is one product of the kernel with all its windows: no time
// goes into bringing the weights into another order. (O,C k k) (C k k,B P)
static at::Tensor mix_windows(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                              int64_t stride, int64_t pad)
{
    int64_t kh = w.size(2), kw = w.size(3), out = w.size(0), batch = x.size(0);
    int64_t height = (x.size(2) + 2 * pad - kh) / stride + 1;
    int64_t width = (x.size(3) + 2 * pad - kw) / stride + 1;
    at::Tensor windows = at::im2col(x, { kh, kw }, { 1, 1 }, { pad, pad }, { stride, stride });
    windows = windows.transpose(0, 1).reshape({ windows.size(1), batch * height * width });
    at::Tensor y = aten_mm(w.flatten(1), windows).view({ out, batch, height, width });
    if (b.defined())
        y.add_(b.view({ out, 1, 1, 1 }));
    return y.transpose(0, 1).contiguous();
}

static void each_channel(int64_t count, void (*part)(const winograd_job *, size_t),
                         const winograd_job &j)
{
    at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++)
            part(&j, (size_t)i);
    });
}

// Kernels of 3x3 on a large picture: winograd.h, a block of rows of tiles at a time.
static at::Tensor tile_windows(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b)
{
    const int64_t block = 1 << 24; // numbers
    int64_t out = w.size(0), in = w.size(1), points = WINOGRAD_POINTS;
    at::Tensor picture = x.contiguous(), kernel = w.contiguous();
    at::Tensor bias = b.defined() ? b.contiguous() : b;
    at::Tensor y = at::empty({ x.size(0), out, x.size(2), x.size(3) }, x.options());
    at::Tensor kernels = at::empty({ points, out, in }, x.options());
    winograd_job j = {};
    j.batch = (size_t)x.size(0);
    j.in = (size_t)in;
    j.out = (size_t)out;
    j.height = (size_t)x.size(2);
    j.width = (size_t)x.size(3);
    j.x = picture.data_ptr<float>();
    j.w = kernel.data_ptr<float>();
    j.bias = b.defined() ? bias.data_ptr<float>() : nullptr;
    j.y = y.data_ptr<float>();
    j.kernels = kernels.data_ptr<float>();
    each_channel(out, winograd_kernels, j);
    int64_t across = (int64_t)winograd_across(&j), rows = (int64_t)winograd_rows(&j);
    int64_t step = std::min(rows, std::max<int64_t>(1, block / (points * (in + out) * across)));
    at::Tensor tiles = at::empty({ points * in * step * across }, x.options());
    at::Tensor products = at::empty({ points * out * step * across }, x.options());
    j.tiles = tiles.data_ptr<float>();
    j.products = products.data_ptr<float>();
    for (int64_t row = 0; row < rows; row += step) {
        int64_t count = std::min(step, rows - row) * across;
        j.row = (size_t)row;
        j.rows = (size_t)std::min(step, rows - row);
        each_channel(in, winograd_tiles, j);
        at::Tensor to = products.narrow(0, 0, points * out * count).view({ points, out, count });
        aten_bmm_out(to, kernels,
                     tiles.narrow(0, 0, points * in * count).view({ points, in, count }));
        each_channel(out, winograd_pixels, j);
    }
    return y;
}

static const int64_t small_picture = 256, large_kernel = 4 << 20; // places, numbers
static const int64_t large_picture = 1024, least_channels = 64;

at::Tensor aten_conv2d(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                       int64_t stride, int64_t pad)
{
    if (x.dim() != 4 || w.dim() != 4 || x.size(1) != w.size(1))
        throw std::invalid_argument("input " + aten_shape(x) + ", kernel " + aten_shape(w));
    if (w.size(2) == 1 && w.size(3) == 1 && stride == 1 && pad == 0)
        return mix_channels(x.contiguous(), w, b);
    bool graph = c10::GradMode::is_enabled() && (x.requires_grad() || w.requires_grad());
    if (!graph && x.is_cpu() && x.size(2) * x.size(3) <= small_picture && w.numel() >= large_kernel)
        return mix_windows(x, w, b, stride, pad);
    if (!graph && x.is_cpu() && w.size(2) == 3 && w.size(3) == 3 && stride == 1 && pad == 1 &&
        x.size(2) * x.size(3) >= large_picture && std::min(w.size(0), w.size(1)) >= least_channels)
        return tile_windows(x, w, b);
    return at::conv2d(x, w, b, { stride, stride }, at::IntArrayRef({ pad, pad }));
}

// In fewer bits than float32, where pixels lie together, which is faster.
static at::Tensor rounded_conv2d(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                                 int stride, int pad, at::ScalarType type)
{
    auto together = at::MemoryFormat::ChannelsLast;
    return at::conv2d(x.to(type).contiguous(together), w.to(type).contiguous(together),
                      to_type(b, type), { stride, stride }, at::IntArrayRef({ pad, pad }))
        .to(at::kFloat)
        .contiguous();
}

tn *tn_conv2d(tn_context *cx, const tn *x, const tn *w, const tn *b, int stride, int pad)
{
    return aten_make(cx, "conv2d", [&] {
        const at::Tensor &in = aten_get(x), bias = aten_optional(b);
        at::ScalarType type = product_type(cx, aten_get(w));
        if (type != at::kFloat)
            return rounded_conv2d(in, aten_get(w), bias, stride, pad, type);
        at::Tensor kernel = aten_get(w).to(type);
        return frozen_graph(cx, in, kernel, bias)
                   ? aten_frozen_conv2d(in, kernel, bias, stride, pad)
                   : aten_conv2d(in, kernel, bias, stride, pad);
    });
}

tn *tn_linear(tn_context *cx, const tn *x, const tn *w, const tn *b)
{
    return aten_make(cx, "linear", [&] {
        at::ScalarType type = product_type(cx, aten_get(w));
        return aten_linear(aten_get(x).to(type), aten_get(w).to(type),
                           to_type(aten_optional(b), type))
            .to(at::kFloat);
    });
}

tn *tn_group_norm(tn_context *cx, const tn *x, const tn *w, const tn *b, int groups, double eps)
{
    return aten_make(cx, "group_norm", [&] {
        return aten_group_norm(aten_get(x), aten_get(w), aten_get(b), groups, eps, false);
    });
}

tn *tn_group_norm_silu(tn_context *cx, const tn *x, const tn *w, const tn *b, int groups,
                       double eps)
{
    return aten_make(cx, "group_norm", [&] {
        return aten_group_norm(aten_get(x), aten_get(w), aten_get(b), groups, eps, true);
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
                     [&] { return at::embedding(aten_get(table), aten_get(ids)).to(at::kFloat); });
}

// (B,L,C) -> (B heads,L,C/heads)
at::Tensor aten_split_heads(const at::Tensor &x, int64_t heads)
{
    int64_t b = x.size(0), l = x.size(1), c = x.size(2);
    if (heads < 1 || c % heads)
        throw std::invalid_argument(std::to_string(c) + " channels in " + std::to_string(heads) +
                                    " heads");
    return x.reshape({ b, l, heads, c / heads })
        .transpose(1, 2)
        .reshape({ b * heads, l, c / heads });
}

at::Tensor aten_join_heads(const at::Tensor &x, int64_t heads)
{
    int64_t b = x.size(0) / heads, l = x.size(1), c = x.size(2);
    return x.reshape({ b, heads, l, c }).transpose(1, 2).reshape({ b, l, heads * c });
}

// With all scores held: for graphs through causal attention, and for devices that have the memory.
// bmm, then scale: baddbmm with beta 0 multiplies an uninitialised result by 0 in torch 1.13, and
// that is NaN now and then.
static at::Tensor attend_at_once(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                 bool causal)
{
    at::Tensor scores = aten_bmm(q, k.transpose(1, 2)) * (1.0 / std::sqrt((double)q.size(2)));
    if (causal) {
        at::Tensor seen = at::ones({ q.size(1), k.size(1) }, q.options().dtype(at::kBool)).tril();
        scores = scores.masked_fill(seen.logical_not(), -INFINITY);
    }
    return aten_bmm(at::softmax(scores, -1), v);
}

// By attend.c.
static at::Tensor attend_in_blocks(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                   int64_t heads, bool causal)
{
    int64_t width = q.size(2) / heads;
    at::Tensor qs = q.contiguous(), ks = k.contiguous(), vs = v.contiguous();
    at::Tensor out = at::empty_like(qs);
    attend_job j = {
        qs.data_ptr<float>(),
        ks.data_ptr<float>(),
        vs.data_ptr<float>(),
        out.data_ptr<float>(),
        (size_t)q.size(0),
        (size_t)q.size(1),
        (size_t)k.size(1),
        (size_t)heads,
        (size_t)width,
        1 / std::sqrt((float)width),
        causal,
        nullptr,
    };
    at::Tensor packed = at::empty({ (int64_t)attend_packed_size(&j) }, qs.options());
    j.packed = packed.data_ptr<float>();
    at::parallel_for(0, (int64_t)attend_heads(&j), 1, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; i++)
            attend_pack(&j, (size_t)i);
    });
    at::parallel_for(0, (int64_t)attend_blocks(&j), 1, [&](int64_t begin, int64_t end) {
        std::unique_ptr<float[]> scratch(new float[attend_scratch_size(&j)]);
        for (int64_t i = begin; i < end; i++)
            attend_block(&j, (size_t)i, scratch.get());
    });
    return out;
}

at::Tensor aten_attend(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v, int64_t heads,
                       bool causal)
{
    if (q.dim() != 3 || k.sizes() != v.sizes() || k.dim() != 3 || q.size(0) != k.size(0) ||
        q.size(2) != k.size(2) || k.size(1) < 1 || heads < 1 || q.size(2) % heads)
        throw std::invalid_argument("queries " + aten_shape(q) + ", keys " + aten_shape(k) +
                                    ", values " + aten_shape(v) + ", " + std::to_string(heads) +
                                    " heads");
    bool graph = c10::GradMode::is_enabled() &&
                 (q.requires_grad() || k.requires_grad() || v.requires_grad());
    if (!graph && q.is_cpu())
        return attend_in_blocks(q, k, v, heads, causal);
    return aten_join_heads(attend_at_once(aten_split_heads(q, heads), aten_split_heads(k, heads),
                                          aten_split_heads(v, heads), causal),
                           heads);
}

tn *tn_attention(tn_context *cx, const tn *q, const tn *k, const tn *v, int heads, bool causal)
{
    return aten_make(cx, "attention", [&] {
        const at::Tensor &x = aten_get(q), &y = aten_get(k), &z = aten_get(v);
        return cx->grad && !causal ? aten_frozen_attention(x, y, z, heads)
                                   : aten_attend(x, y, z, heads, causal);
    });
}

tn *tn_attention_weights(tn_context *cx, const tn *q, const tn *k, int heads)
{
    return aten_make(cx, "attention weights", [&] {
        at::Tensor qs = aten_split_heads(aten_get(q), heads);
        at::Tensor ks = aten_split_heads(aten_get(k), heads);
        at::Tensor scores =
            aten_bmm(qs, ks.transpose(1, 2)) * (1.0 / std::sqrt((double)qs.size(2)));
        int64_t b = aten_get(q).size(0);
        return at::softmax(scores, -1).reshape({ b, heads, qs.size(1), ks.size(1) }).mean(1);
    });
}

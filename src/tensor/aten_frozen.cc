// SPDX-License-Identifier: Apache-2.0
// Layers in a graph that needs less for the backward pass than libtorch keeps. Where the weights
// are frozen a convolution keeps nothing of its size; attention keeps its inputs and makes the
// scores again, a slice at a time.
#include "aten_priv.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

// A convolution's dx, a picture at a time: of each window, then the sum where windows overlap.
static at::Tensor spread_windows(const at::Tensor &dy, const at::Tensor &w,
                                 const std::vector<int64_t> &sizes, int64_t stride, int64_t pad)
{
    at::Tensor dx = at::empty(sizes, w.options()), turned = w.flatten(1).t(), d = dy.contiguous();
    for (int64_t i = 0; i < sizes[0]; i++)
        dx[i].copy_(at::col2im(aten_mm(turned, d[i].flatten(1)), { sizes[2], sizes[3] },
                               { w.size(2), w.size(3) }, { 1, 1 }, { pad, pad },
                               { stride, stride }));
    return dx;
}

namespace
{

// y = x * w + b.  dx = dy transposed-convolved with w.
struct convolution : Function<convolution> {
    static at::Tensor forward(AutogradContext *c, at::Tensor x, at::Tensor w, at::Tensor b,
                              int64_t stride, int64_t pad)
    {
        c->save_for_backward({ w });
        c->saved_data["sizes"] = x.sizes().vec();
        c->saved_data["stride"] = stride;
        c->saved_data["pad"] = pad;
        return aten_conv2d(x, w, b, stride, pad);
    }
    static tensor_list backward(AutogradContext *c, tensor_list dy)
    {
        at::Tensor w = c->get_saved_variables()[0];
        int64_t stride = c->saved_data["stride"].toInt(), pad = c->saved_data["pad"].toInt();
        if (w.size(2) == 1 && w.size(3) == 1 && stride == 1 && pad == 0)
            return { aten_conv2d(dy[0], w.transpose(0, 1).contiguous(), {}, 1, 0), {}, {}, {}, {} };
        if (w.size(2) == 3 && w.size(3) == 3 && stride == 1 && pad == 1)
            return {
                aten_conv2d(dy[0], w.transpose(0, 1).flip({ 2, 3 }), {}, 1, 1), {}, {}, {}, {}
            };
        return { spread_windows(dy[0], w, c->saved_data["sizes"].toIntVector(), stride, pad),
                 {},
                 {},
                 {},
                 {} };
    }
};

// y = P v, P = softmax(scale q k^T), over (N,L,C).
// dv = P^T dy, dS = P (dP - rowsum(dP P)), dP = dy v^T, dq = scale dS k, dk = scale dS^T q.
struct attention : Function<attention> {
    static constexpr int64_t slice = 1 << 22; // scores at a time

    static at::Tensor forward(AutogradContext *c, at::Tensor q, at::Tensor k, at::Tensor v,
                              int64_t heads)
    {
        c->save_for_backward({ q, k, v });
        c->saved_data["heads"] = heads;
        return aten_attend(q, k, v, heads, false);
    }
    static tensor_list backward(AutogradContext *c, tensor_list dy)
    {
        auto saved = c->get_saved_variables();
        int64_t heads = c->saved_data["heads"].toInt();
        at::Tensor q = aten_split_heads(saved[0], heads), k = aten_split_heads(saved[1], heads);
        at::Tensor v = aten_split_heads(saved[2], heads), d = aten_split_heads(dy[0], heads);
        at::Tensor dq = at::empty_like(q), dk = at::zeros_like(k), dv = at::zeros_like(v);
        double scale = 1 / std::sqrt((double)q.size(2));
        int64_t rows = q.size(1), step = std::max<int64_t>(1, slice / k.size(1));
        for (int64_t i = 0; i < q.size(0); i++) {
            at::Tensor ki = k[i], vi = v[i], dki = dk[i], dvi = dv[i];
            for (int64_t r = 0; r < rows; r += step) {
                int64_t count = std::min(step, rows - r);
                at::Tensor qr = q[i].narrow(0, r, count), dr = d[i].narrow(0, r, count);
                at::Tensor p = at::softmax(aten_mm(qr, ki.t()).mul_(scale), -1);
                dvi.addmm_(p.t(), dr);
                at::Tensor ds = at::_softmax_backward_data(aten_mm(dr, vi.t()), p, -1, at::kFloat);
                ds.mul_(scale);
                dq[i].narrow(0, r, count).copy_(aten_mm(ds, ki));
                dki.addmm_(ds.t(), qr);
            }
        }
        return {
            aten_join_heads(dq, heads), aten_join_heads(dk, heads), aten_join_heads(dv, heads), {}
        };
    }
};

} // namespace

at::Tensor aten_frozen_conv2d(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                              int64_t stride, int64_t pad)
{
    return convolution::apply(x, w, b.defined() ? b : at::zeros({ w.size(0) }, w.options()), stride,
                              pad); // arguments have to exist
}

at::Tensor aten_frozen_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                 int64_t heads)
{
    return attention::apply(q, k, v, heads);
}

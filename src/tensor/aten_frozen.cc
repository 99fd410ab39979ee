// SPDX-License-Identifier: Apache-2.0
// Layers in a graph that needs less for the backward pass than libtorch keeps. Where the weights
// are frozen a convolution keeps nothing of its size, and a norm with SiLU its input; attention
// keeps its inputs and makes the scores again, a slice at a time.
#include "aten_priv.h"

#include <torch/csrc/autograd/custom_function.h>

#include <cmath>

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::tensor_list;

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
        at::Tensor shape = at::empty(c->saved_data["sizes"].toIntVector(), w.options()); // not read
        if (w.size(2) == 1 && w.size(3) == 1 && stride == 1 && pad == 0)
            return { aten_conv2d(dy[0], w.transpose(0, 1).contiguous(), {}, 1, 0), {}, {}, {}, {} };
        if (w.size(2) == 3 && w.size(3) == 3 && stride == 1 && pad == 1)
            return {
                aten_conv2d(dy[0], w.transpose(0, 1).flip({ 2, 3 }), {}, 1, 1), {}, {}, {}, {}
            };
        at::Tensor dx = std::get<0>(at::convolution_backward(
            dy[0], shape, w, at::OptionalIntArrayRef(), { stride, stride }, { pad, pad }, { 1, 1 },
            false, { 0, 0 }, 1, { true, false, false }));
        return { dx, {}, {}, {}, {} };
    }
};

// silu(w (x - mean)/deviation + b), means and deviations over groups of channels.
struct norm_silu : Function<norm_silu> {
    static at::Tensor forward(AutogradContext *c, at::Tensor x, at::Tensor w, at::Tensor b,
                              int64_t groups, double eps)
    {
        x = x.contiguous();
        auto n = at::native_group_norm(x, w, b, x.size(0), x.size(1),
                                       x.numel() / (x.size(0) * x.size(1)), groups, eps);
        c->save_for_backward({ x, w, b });
        c->saved_data["groups"] = groups;
        c->saved_data["eps"] = eps;
        return at::silu_(std::get<0>(n));
    }
    static tensor_list backward(AutogradContext *c, tensor_list dy)
    {
        auto saved = c->get_saved_variables();
        at::Tensor &x = saved[0], &w = saved[1], &b = saved[2];
        int64_t groups = c->saved_data["groups"].toInt(), batch = x.size(0), channels = x.size(1);
        int64_t places = x.numel() / (batch * channels);
        auto n = at::native_group_norm(x, w, b, batch, channels, places, groups,
                                       c->saved_data["eps"].toDouble());
        at::Tensor dn = at::silu_backward(dy[0].contiguous(), std::get<0>(n));
        std::get<0>(n) = at::Tensor();
        at::Tensor dx = std::get<0>(
            at::native_group_norm_backward(dn, x, std::get<1>(n), std::get<2>(n), w, batch,
                                           channels, places, groups, { true, false, false }));
        return { dx, {}, {}, {}, {} };
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

at::Tensor aten_frozen_norm_silu(const at::Tensor &x, const at::Tensor &w, const at::Tensor &b,
                                 int64_t groups, double eps)
{
    return norm_silu::apply(x, w, b, groups, eps);
}

at::Tensor aten_frozen_attention(const at::Tensor &q, const at::Tensor &k, const at::Tensor &v,
                                 int64_t heads)
{
    return attention::apply(q, k, v, heads);
}

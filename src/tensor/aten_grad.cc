// SPDX-License-Identifier: Apache-2.0
// Reverse-mode gradients through libtorch's autograd, and the in-place steps that training takes.
#include "aten_priv.h"

#include <torch/csrc/autograd/autograd.h>

#include <cmath>

tn *tn_leaf(tn_context *cx, const tn *x)
{
    return aten_make(cx, "leaf", [&] { return aten_get(x).detach().requires_grad_(true); });
}

tn *tn_detach(tn_context *cx, const tn *x)
{
    return aten_make(cx, "detach", [&] { return aten_get(x).detach(); });
}

tn *tn_vjp(tn_context *cx, const tn *y, const tn *x, const tn *dy)
{
    return aten_make(cx, "vjp", [&] {
        return torch::autograd::grad({ aten_get(y) }, { aten_get(x) }, { aten_get(dy) })[0];
    });
}

void tn_gradients(tn_context *cx, const tn *loss, tn *const *params, size_t count, tn **grads)
{
    for (size_t i = 0; i < count; i++)
        grads[i] = nullptr;
    aten_run(cx, "gradients", [&] {
        std::vector<at::Tensor> inputs;
        for (size_t i = 0; i < count; i++)
            inputs.push_back(aten_get(params[i]));
        at::Tensor y = aten_get(loss);
        auto found = torch::autograd::grad({ y }, inputs, { at::ones_like(y) }, false, false, true);
        for (size_t i = 0; i < count; i++) {
            at::Tensor g = found[i].defined() ? found[i].detach().contiguous()
                                              : at::zeros_like(inputs[i]).detach();
            cx->scoped.push_back(std::unique_ptr<tn>(new tn{ std::move(g) }));
            grads[i] = cx->scoped.back().get();
        }
    });
}

double tn_global_norm(tn_context *cx, tn *const *grads, size_t count)
{
    double sum = 0;
    aten_run(cx, "global_norm", [&] {
        aten_one_thread alone;
        for (size_t i = 0; i < count; i++) {
            double norm = aten_get(grads[i]).detach().norm().item<double>();
            sum += norm * norm;
        }
    });
    return std::sqrt(sum);
}

// The float numbers of a tensor that is changed in place.
static float *numbers(const tn *x, int64_t count)
{
    const at::Tensor &t = aten_get(x);
    if (t.numel() != count || !t.is_cpu() || !t.is_contiguous() || t.scalar_type() != at::kFloat)
        throw std::invalid_argument("expected a contiguous float32 tensor of " +
                                    std::to_string(count) + " numbers");
    return static_cast<float *>(t.data_ptr());
}

static const int64_t grain = 1 << 15;

void tn_adamw_step(tn_context *cx, tn *param, const tn *grad, tn *m, tn *v, const tn_adamw *o)
{
    aten_run(cx, "adamw_step", [&] {
        int64_t count = aten_get(param).numel();
        float *p = numbers(param, count), *first = numbers(m, count), *second = numbers(v, count);
        const float *g = numbers(grad, count);
        float b1 = (float)o->beta1, b2 = (float)o->beta2, eps = (float)o->eps;
        float scale = (float)o->gradient_scale, keep = (float)(1 - o->rate * o->weight_decay);
        float rate = (float)(o->rate / (1 - std::pow(o->beta1, (double)o->step)));
        float root = (float)(1 / std::sqrt(1 - std::pow(o->beta2, (double)o->step)));
        at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++) {
                float d = g[i] * scale;
                first[i] = b1 * first[i] + (1 - b1) * d;
                second[i] = b2 * second[i] + (1 - b2) * d * d;
                p[i] = p[i] * keep - rate * first[i] / (std::sqrt(second[i]) * root + eps);
            }
        });
    });
}

void tn_lerp_in_place(tn_context *cx, tn *x, const tn *y, double weight)
{
    aten_run(cx, "lerp_in_place", [&] {
        int64_t count = aten_get(x).numel();
        float *a = numbers(x, count), w = (float)weight;
        const float *b = numbers(y, count);
        at::parallel_for(0, count, grain, [&](int64_t begin, int64_t end) {
            for (int64_t i = begin; i < end; i++)
                a[i] += w * (b[i] - a[i]);
        });
    });
}

void tn_copy_in_place(tn_context *cx, tn *x, const tn *y)
{
    aten_run(cx, "copy_in_place", [&] { aten_get(x).detach().copy_(aten_get(y).detach()); });
}

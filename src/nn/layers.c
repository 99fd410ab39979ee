/* SPDX-License-Identifier: Apache-2.0 */
/* Layers: each fetches its weights by name, states their shapes, and runs one operation.
 * New weights begin as PyTorch's defaults do: convolutions and linear layers uniform in
 * +-1/sqrt(fan in) (Kaiming's with a = sqrt(5), He et al. 2015), norms 1 and 0. */
#include "nn/nn.h"

#include <math.h>

/* Weights are fetched in statements of their own: C leaves the order of argument evaluation open,
 * and the first missing name is the one to report. */

tn *nn_conv2d(const at *p, const char *name, const tn *x, int64_t out, int kernel, int stride,
              int pad)
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    int64_t in = tn_dim(p->cx, x, 1);
    double bound = 1.0 / sqrt((double)(in * kernel * kernel));
    const tn *w = at_weight(&here, "weight", TN_SHAPE(out, in, kernel, kernel), NN_UNIFORM, bound);
    const tn *b = at_weight(&here, "bias", TN_SHAPE(out), NN_UNIFORM, bound);
    if (!at_surveyed(p))
        return nn_leave(&here, scope, tn_conv2d(p->cx, x, w, b, stride, pad));
    int64_t height = (tn_dim(p->cx, x, 2) + 2 * pad - kernel) / stride + 1;
    int64_t width = (tn_dim(p->cx, x, 3) + 2 * pad - kernel) / stride + 1;
    int64_t batch = tn_dim(p->cx, x, 0);
    return nn_leave(&here, scope, tn_zeros(p->cx, TN_SHAPE(batch, out, height, width)));
}

tn *nn_linear(const at *p, const char *name, const tn *x, int64_t out, bool bias)
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    int dims = tn_dims(p->cx, x);
    int64_t in = tn_dim(p->cx, x, dims - 1);
    double bound = 1.0 / sqrt((double)in);
    const tn *b = NULL;
    const tn *w = at_weight(&here, "weight", TN_SHAPE(out, in), NN_UNIFORM, bound);
    if (bias)
        b = at_weight(&here, "bias", TN_SHAPE(out), NN_UNIFORM, bound);
    if (!at_surveyed(p))
        return nn_leave(&here, scope, tn_linear(p->cx, x, w, b));
    int64_t shape[TN_MAX_DIMS];
    for (int d = 0; d < dims && d < TN_MAX_DIMS; d++)
        shape[d] = d == dims - 1 ? out : tn_dim(p->cx, x, d);
    return nn_leave(&here, scope, tn_zeros(p->cx, dims, shape));
}

static const tn *norm_weights(const at *here, int64_t width, const tn **bias)
{
    const tn *w = at_weight(here, "weight", TN_SHAPE(width), NN_ONE, 0);
    *bias = at_weight(here, "bias", TN_SHAPE(width), NN_ZERO, 0);
    return w;
}

static tn *group_norm(const at *p, const char *name, const tn *x, int groups, double eps,
                      tn *(*run)(tn_context *, const tn *, const tn *, const tn *, int, double))
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    const tn *b, *w = norm_weights(&here, tn_dim(p->cx, x, 1), &b);
    return nn_leave(&here, scope,
                    at_surveyed(p) ? tn_detach(p->cx, x) : run(p->cx, x, w, b, groups, eps));
}

tn *nn_group_norm(const at *p, const char *name, const tn *x, int groups, double eps)
{
    return group_norm(p, name, x, groups, eps, tn_group_norm);
}

tn *nn_group_norm_silu(const at *p, const char *name, const tn *x, int groups, double eps)
{
    if (at_probed(p)) /* the module's own output is wanted */
        return tn_silu(p->cx, nn_group_norm(p, name, x, groups, eps));
    return group_norm(p, name, x, groups, eps, tn_group_norm_silu);
}

tn *nn_layer_norm(const at *p, const char *name, const tn *x, double eps)
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    const tn *b, *w = norm_weights(&here, tn_dim(p->cx, x, tn_dims(p->cx, x) - 1), &b);
    return nn_leave(&here, scope,
                    at_surveyed(p) ? tn_detach(p->cx, x) : tn_layer_norm(p->cx, x, w, b, eps));
}

tn *nn_embedding(const at *p, const char *name, const tn *ids, int64_t rows, int64_t width)
{
    at here = at_sub(p, name);
    size_t scope = nn_enter(&here);
    const tn *table = at_weight(&here, "weight", TN_SHAPE(rows, width), NN_NORMAL, 0.02);
    if (!at_surveyed(p))
        return nn_leave(&here, scope, tn_embedding(p->cx, table, ids));
    int64_t shape[TN_MAX_DIMS];
    int dims = tn_dims(p->cx, ids);
    for (int d = 0; d < dims && d < TN_MAX_DIMS - 1; d++)
        shape[d] = tn_dim(p->cx, ids, d);
    shape[dims] = width;
    return nn_leave(&here, scope, tn_zeros(p->cx, dims + 1, shape));
}

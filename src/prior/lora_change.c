/* SPDX-License-Identifier: Apache-2.0 */
/* What a LoRA and its relatives make of a weight W (O,I,K..), K the sides of a convolution's
 * kernel. The change D is
 *
 * - LoRA: up down (Hu et al. 2022, equation 3);
 * - LoHa: (w1a w1b) * (w2a w2b), by elements (Hyeon-Woo et al. 2022, section 2);
 * - LoKr: Kronecker's product of w1 and w2 (Yeh et al. 2024, LyCORIS, 4.2);
 * - full: itself.
 *
 * A product of two of a convolution may have Tucker's core t between:
 * (a t b)[o,i,k] = sum_pq a[o,p] t[p,q,k] b[q,i]. Then W' = W + gain D, or with DoRA's norms m
 * (Liu et al. 2024, equation 5) W' = m (W + gain D) / |W + gain D|. A scale goes from W to W'. */
#include "lora_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int64_t product(const int64_t *shape, int first, int dims)
{
    int64_t count = 1;
    for (int d = first; d < dims; d++)
        count *= shape[d];
    return count;
}

static int64_t rows(const io_tensor *t)
{
    return t->shape[0];
}

static int64_t columns(const io_tensor *t)
{
    return product(t->shape, 1, t->dims);
}

static tn *read(tn_context *cx, const io_tensor *t, int dims, const int64_t *shape)
{
    size_t count = t->size / io_dtype_size(t->dtype);
    float *values = malloc(count * sizeof *values + 1);
    if (!values) {
        tn_fail(cx, HDS_ERROR_MEMORY, "%s: out of memory", t->name);
        return NULL;
    }
    io_to_f32(t->data, t->dtype, values, count);
    tn *x = tn_from_f32(cx, values, dims, shape);
    free(values);
    return x;
}

static tn *matrix(tn_context *cx, const io_tensor *t)
{
    return read(cx, t, TN_SHAPE(rows(t), columns(t)));
}

/* a (O,r), or (r,O) where it is `turned`; core (r,s,K..); b (s,I) -> (O, I K) */
static tn *tucker(tn_context *cx, const io_tensor *a, bool turned, const io_tensor *core,
                  const io_tensor *b)
{
    int64_t r = core->shape[0], s = core->shape[1], k = product(core->shape, 2, core->dims);
    int64_t in = columns(b);
    tn *left = matrix(cx, a);
    if (turned)
        left = tn_permute(cx, left, TN_SHAPE(1, 0));
    tn *t = tn_permute(cx, read(cx, core, TN_SHAPE(r, s, k)), TN_SHAPE(0, 2, 1));
    t = tn_matmul(cx, tn_reshape(cx, t, TN_SHAPE(r * k, s)), matrix(cx, b));
    t = tn_permute(cx, tn_reshape(cx, t, TN_SHAPE(r, k, in)), TN_SHAPE(0, 2, 1));
    return tn_matmul(cx, left, tn_reshape(cx, t, TN_SHAPE(r, in * k)));
}

/* The product of two parts, with a core or without. */
static tn *of_two(tn_context *cx, const io_tensor *a, const io_tensor *core, const io_tensor *b,
                  bool turned)
{
    return core ? tucker(cx, a, turned, core, b) : tn_matmul(cx, matrix(cx, a), matrix(cx, b));
}

static bool two_fit(const io_tensor *a, const io_tensor *core, const io_tensor *b, bool turned,
                    int64_t out, int64_t in, int64_t kernel)
{
    if (!core)
        return rows(a) == out && columns(a) == rows(b) && columns(b) == in * kernel;
    bool left = turned ? columns(a) == out && rows(a) == rows(core)
                       : rows(a) == out && columns(a) == rows(core);
    return left && core->dims >= 2 && core->shape[1] == rows(b) && columns(b) == in &&
           product(core->shape, 2, core->dims) == kernel;
}

/* ---- kinds ---- */

static tn *lora_change(const lora_parts *p, tn_context *cx)
{
    return of_two(cx, p->of[LORA_UP], p->of[LORA_MID], p->of[LORA_DOWN], false);
}

static bool lora_shape(const lora_parts *p, int64_t out, int64_t in, int64_t kernel)
{
    return two_fit(p->of[LORA_UP], p->of[LORA_MID], p->of[LORA_DOWN], false, out, in, kernel);
}

static tn *loha_change(const lora_parts *p, tn_context *cx)
{
    return tn_mul(cx, of_two(cx, p->of[LOHA_W1A], p->of[LOHA_T1], p->of[LOHA_W1B], true),
                  of_two(cx, p->of[LOHA_W2A], p->of[LOHA_T2], p->of[LOHA_W2B], true));
}

static bool loha_shape(const lora_parts *p, int64_t out, int64_t in, int64_t kernel)
{
    return two_fit(p->of[LOHA_W1A], p->of[LOHA_T1], p->of[LOHA_W1B], true, out, in, kernel) &&
           two_fit(p->of[LOHA_W2A], p->of[LOHA_T2], p->of[LOHA_W2B], true, out, in, kernel);
}

/* (a,b) */
static tn *lokr_first(const lora_parts *p, tn_context *cx, int64_t *a, int64_t *b)
{
    const io_tensor *whole = p->of[LOKR_W1];
    *a = rows(whole ? whole : p->of[LOKR_W1A]);
    *b = columns(whole ? whole : p->of[LOKR_W1B]);
    return whole ? matrix(cx, whole) : of_two(cx, p->of[LOKR_W1A], NULL, p->of[LOKR_W1B], false);
}

static tn *lokr_second(const lora_parts *p, tn_context *cx)
{
    return p->of[LOKR_W2] ? matrix(cx, p->of[LOKR_W2])
                          : of_two(cx, p->of[LOKR_W2A], p->of[LOKR_T2], p->of[LOKR_W2B], true);
}

static int64_t lokr_second_rows(const lora_parts *p)
{
    return p->of[LOKR_W2]   ? rows(p->of[LOKR_W2])
           : p->of[LOKR_T2] ? columns(p->of[LOKR_W2A])
                            : rows(p->of[LOKR_W2A]);
}

static tn *lokr_change(const lora_parts *p, tn_context *cx)
{
    int64_t a, b, c = lokr_second_rows(p);
    tn *first = lokr_first(p, cx, &a, &b), *second = lokr_second(p, cx);
    int64_t numbers = (int64_t)tn_count(cx, second), rest = c ? numbers / c : 0;
    tn *outer = tn_matmul(cx, tn_reshape(cx, first, TN_SHAPE(a * b, 1)),
                          tn_reshape(cx, second, TN_SHAPE(1, numbers)));
    outer = tn_permute(cx, tn_reshape(cx, outer, TN_SHAPE(a, b, c, rest)), TN_SHAPE(0, 2, 1, 3));
    return tn_reshape(cx, outer, TN_SHAPE(a * c, b * rest));
}

static bool lokr_shape(const lora_parts *p, int64_t out, int64_t in, int64_t kernel)
{
    const io_tensor *w1 = p->of[LOKR_W1], *w2 = p->of[LOKR_W2];
    int64_t a = rows(w1 ? w1 : p->of[LOKR_W1A]), b = columns(w1 ? w1 : p->of[LOKR_W1B]);
    bool first = w1 || columns(p->of[LOKR_W1A]) == rows(p->of[LOKR_W1B]);
    if (!first || a < 1 || b < 1 || out % a || in % b)
        return false;
    if (w2)
        return rows(w2) == out / a && columns(w2) == in / b * kernel;
    return two_fit(p->of[LOKR_W2A], p->of[LOKR_T2], p->of[LOKR_W2B], true, out / a, in / b, kernel);
}

static tn *full_change(const lora_parts *p, tn_context *cx)
{
    return matrix(cx, p->of[LORA_DIFF]);
}

static bool full_shape(const lora_parts *p, int64_t out, int64_t in, int64_t kernel)
{
    return rows(p->of[LORA_DIFF]) == out && columns(p->of[LORA_DIFF]) == in * kernel;
}

#define BIT(role) (1u << (role))
enum { LOW_RANK = BIT(LORA_ALPHA) | BIT(LORA_DORA) | BIT(LORA_MAGNITUDE) };
enum { LOKR_W1S = BIT(LOKR_W1A) | BIT(LOKR_W1B), LOKR_W2S = BIT(LOKR_W2A) | BIT(LOKR_W2B) };

/* The parts that are needed and those that may be there. */
typedef struct kind {
    const char *name;
    unsigned needed, more;
    tn *(*change)(const lora_parts *p, tn_context *cx);
    bool (*fits)(const lora_parts *p, int64_t out, int64_t in, int64_t kernel);
    lora_role ranked; /* its rows are the rank, */
    bool full_rank;   /* unless there is none */
} kind;
static const kind kinds[] = {
    { "LoRA", BIT(LORA_UP) | BIT(LORA_DOWN), LOW_RANK | BIT(LORA_MID) | BIT(LORA_BIAS), lora_change,
      lora_shape, LORA_DOWN, false },
    { "LoHa", BIT(LOHA_W1A) | BIT(LOHA_W1B) | BIT(LOHA_W2A) | BIT(LOHA_W2B), LOW_RANK, loha_change,
      loha_shape, LOHA_W1B, false },
    { "LoHa",
      BIT(LOHA_W1A) | BIT(LOHA_W1B) | BIT(LOHA_W2A) | BIT(LOHA_W2B) | BIT(LOHA_T1) | BIT(LOHA_T2),
      LOW_RANK, loha_change, loha_shape, LOHA_W1B, false },
    { "LoKr", BIT(LOKR_W1) | BIT(LOKR_W2), LOW_RANK, lokr_change, lokr_shape, LORA_ROLES, true },
    { "LoKr", LOKR_W1S | BIT(LOKR_W2), LOW_RANK, lokr_change, lokr_shape, LOKR_W1B, false },
    { "LoKr", BIT(LOKR_W1) | LOKR_W2S, LOW_RANK | BIT(LOKR_T2), lokr_change, lokr_shape, LOKR_W2B,
      false },
    { "LoKr", LOKR_W1S | LOKR_W2S, LOW_RANK | BIT(LOKR_T2), lokr_change, lokr_shape, LOKR_W1B,
      false },
    { "full", BIT(LORA_DIFF), BIT(LORA_DIFF_B), full_change, full_shape, LORA_ROLES, true },
    { "full", BIT(LORA_DIFF_B), 0, NULL, NULL, LORA_ROLES, true },
};

static const kind *kind_of(const lora_parts *parts)
{
    unsigned set = 0;
    for (int k = 0; k < LORA_ROLES; k++)
        set |= parts->of[k] ? BIT(k) : 0;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        if ((set & ~kinds[k].more) == kinds[k].needed)
            return &kinds[k];
    return NULL;
}

const char *lora_kind(const lora_parts *parts)
{
    const kind *k = kind_of(parts);
    return k ? k->name : NULL;
}

int64_t lora_rank(const lora_parts *parts)
{
    const kind *k = kind_of(parts);
    return k->full_rank ? 0 : rows(parts->of[k->ranked]);
}

static bool is_by_column(const io_tensor *dora, int64_t out)
{
    return dora->dims > 1 && rows(dora) == 1 && out != 1;
}

bool lora_fits(const lora_parts *p, int dims, const int64_t *shape)
{
    const kind *k = kind_of(p);
    int64_t out = shape[0], in = dims > 1 ? shape[1] : 1, kernel = product(shape, 2, dims);
    for (int role = 0; role < LORA_ROLES; role++) {
        const io_tensor *t = p->of[role];
        if (t && role != LORA_ALPHA && (t->dims < 1 || !t->size))
            return false;
        bool square = role != LORA_DIFF && role != LORA_DIFF_B && role != LORA_BIAS &&
                      role != LORA_ALPHA && role != LORA_DORA && role != LORA_MAGNITUDE;
        if (t && square && (t->dims < 2 || dims < 2))
            return false;
    }
    const io_tensor *dora = p->of[LORA_DORA], *magnitude = p->of[LORA_MAGNITUDE];
    const io_tensor *bias = p->of[LORA_BIAS] ? p->of[LORA_BIAS] : p->of[LORA_DIFF_B];
    bool by_column = dora && is_by_column(dora, out);
    return (!k->fits || k->fits(p, out, in, kernel)) && !(dora && magnitude) &&
           (!dora || (by_column ? columns(dora) == in : rows(dora) == out && columns(dora) == 1)) &&
           (!bias || product(bias->shape, 0, bias->dims) == out) &&
           (!magnitude || product(magnitude->shape, 0, magnitude->dims) == out);
}

/* ---- changes of a store ---- */

typedef struct addition {
    lora_parts parts;
    double gain, scale;
} addition;

/* weights (out,in,kernel), in place: their rows, or their columns, get the norms. */
static void set_norms(float *w, int64_t out, int64_t in, int64_t kernel, const float *norms,
                      bool by_column)
{
    int64_t count = by_column ? in : out;
    for (int64_t n = 0; n < count; n++) {
        int64_t first = by_column ? n * kernel : n * in * kernel;
        int64_t strips = by_column ? out : 1, stride = in * kernel;
        int64_t length = by_column ? kernel : in * kernel;
        double square = 0;
        for (int64_t s = 0; s < strips; s++)
            for (int64_t j = 0; j < length; j++) {
                double x = w[first + s * stride + j];
                square += x * x;
            }
        double factor = square > 0 ? norms[n] / sqrt(square) : 0;
        for (int64_t s = 0; s < strips; s++)
            for (int64_t j = 0; j < length; j++)
                w[first + s * stride + j] *= (float)factor;
    }
}

/* x (O,I,K..) -> the same with DoRA's norms */
static tn *normalised(const addition *a, tn_context *cx, const tn *x, int dims,
                      const int64_t *shape)
{
    const io_tensor *dora = a->parts.of[LORA_DORA];
    const io_tensor *norms = dora ? dora : a->parts.of[LORA_MAGNITUDE];
    bool by_column = dora && is_by_column(dora, shape[0]);
    size_t count = tn_count(cx, x), of_norms = norms->size / io_dtype_size(norms->dtype);
    float *values = malloc((count + of_norms) * sizeof *values + 1);
    if (!values) {
        tn_fail(cx, HDS_ERROR_MEMORY, "%s: out of memory", norms->name);
        return NULL;
    }
    tn_to_f32(cx, x, values, count);
    io_to_f32(norms->data, norms->dtype, values + count, of_norms);
    set_norms(values, shape[0], shape[1], product(shape, 2, dims), values + count, by_column);
    tn *y = tn_from_f32(cx, values, dims, shape);
    free(values);
    return y;
}

static tn *change_weight(void *context, tn_context *cx, const tn *value)
{
    const addition *a = context;
    bool dora = a->parts.of[LORA_DORA] || a->parts.of[LORA_MAGNITUDE];
    int64_t shape[TN_MAX_DIMS];
    int dims = tn_dims(cx, value);
    for (int d = 0; d < dims; d++)
        shape[d] = tn_dim(cx, value, d);
    tn *change = kind_of(&a->parts)->change(&a->parts, cx);
    change = tn_affine(cx, tn_reshape(cx, change, dims, shape), a->gain * (dora ? 1 : a->scale), 0);
    tn *whole = tn_add(cx, value, change);
    if (!dora || tn_failed(cx))
        return whole;
    tn *way = tn_sub(cx, normalised(a, cx, whole, dims, shape), value);
    return tn_add(cx, value, tn_affine(cx, way, a->scale, 0));
}

static tn *change_bias(void *context, tn_context *cx, const tn *value)
{
    const addition *a = context;
    const io_tensor *of_up = a->parts.of[LORA_BIAS];
    const io_tensor *t = of_up ? of_up : a->parts.of[LORA_DIFF_B];
    tn *change = read(cx, t, TN_SHAPE(tn_dim(cx, value, 0)));
    return tn_add(cx, value, tn_affine(cx, change, (of_up ? a->gain : 1) * a->scale, 0));
}

static void add_change(weights *w, const char *name, weights_changer change, const addition *a)
{
    addition *copy = malloc(sizeof *copy);
    if (!copy) {
        tn_fail(weights_context(w), HDS_ERROR_MEMORY, "%s: out of memory", name);
        return;
    }
    *copy = *a;
    weights_change(w, name, change, copy);
}

void lora_add(weights *w, const char *weight, const char *bias, const lora_parts *parts,
              double gain, double scale)
{
    const addition a = { *parts, gain, scale };
    if (kind_of(parts)->change)
        add_change(w, weight, change_weight, &a);
    if (parts->of[LORA_BIAS] || parts->of[LORA_DIFF_B])
        add_change(w, bias, change_bias, &a);
}

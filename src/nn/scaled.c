/* SPDX-License-Identifier: Apache-2.0 */
/* 8-bit files whose weights were divided by a number each, so that they use the range of their
 * type: the number is in the file beside the weight. */
#include "io/io.h"
#include "weights_priv.h"

#include <stdlib.h>
#include <string.h>

static const char *const scales[] = { ".scale_weight", ".weight_scale" };
/* The scale of a layer's input, for products in 8 bits; a mark that the file is of this kind. */
static const char *const spare[] = { ".scale_input", ".input_scale", ".comfy_quant", "scaled_fp8" };

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && !strcmp(text + length - tail, ending);
}

static bool any_ends(const char *text, const char *const *endings, size_t count)
{
    bool found = false;
    for (size_t k = 0; k < count; k++)
        found = found || ends_with(text, endings[k]);
    return found;
}

static tn *multiply(void *context, tn_context *cx, const tn *value)
{
    return tn_affine(cx, value, (double)*(const float *)context, 0);
}

/* Of the JSON that says how a weight was packed: {"format": "float8_e4m3fn"} */
static bool is_float(const weights_entry *e)
{
    static const char kind[] = "float8_";
    size_t size = io_dtype_size(e->dtype);
    for (int d = 0; d < e->dims; d++)
        size *= (size_t)e->shape[d];
    return memmem(e->data, size, kind, sizeof kind - 1);
}

static void fold(weights *w, const weights_entry *e)
{
    size_t numbers = 1;
    for (int d = 0; d < e->dims; d++)
        numbers *= (size_t)e->shape[d];
    float *scale = malloc(sizeof *scale);
    char *name = hds_format("%.*s.weight", (int)(strrchr(e->name, '.') - e->name), e->name);
    if (!scale || !name) {
        tn_fail(w->cx, HDS_ERROR_MEMORY, "%s: %s: out of memory", w->path, e->name);
        free(scale);
    } else if (numbers != 1) {
        tn_fail(w->cx, HDS_ERROR_FORMAT,
                "%s: %s: %zu scales, expected one for the whole weight: save the model as float16",
                w->path, e->name, numbers);
        free(scale);
    } else {
        io_to_f32(e->data, e->dtype, scale, 1);
        if (!weights_change(w, name, multiply, scale))
            tn_fail(w->cx, HDS_ERROR_FORMAT, "%s: %s: a scale without its weight, %s", w->path,
                    e->name, name);
    }
    hds_free(name);
}

void weights_fold_scales(weights *w)
{
    for (size_t i = 0; i < w->count && !tn_failed(w->cx); i++) {
        weights_entry *e = &w->entry[i];
        bool folds = any_ends(e->name, scales, sizeof scales / sizeof *scales);
        if (ends_with(e->name, ".comfy_quant") && e->data && !is_float(e))
            tn_fail(w->cx, HDS_ERROR_FORMAT,
                    "%s: %s: packed otherwise than as 8-bit floats: save the model as float16",
                    w->path, e->name);
        e->spare = folds || any_ends(e->name, spare, sizeof spare / sizeof *spare);
        if (folds)
            fold(w, e);
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What is wrong with a store of weights: collected by name in a survey, told as one error. Also
 * the way of a store to disk. */
#include "io/io.h"
#include "weights_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 3 };

static void note(weights_problems *p, const char *text)
{
    if (++p->count > SHOWN)
        return;
    char *longer = p->text ? hds_format("%s, %s", p->text, text) : hds_strdup(text);
    if (longer) {
        free(p->text);
        p->text = longer;
    }
}

void weights_report(weights *w, int kind, const char *format, ...)
{
    char text[WEIGHTS_MAX_NAME + 200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (w->surveyed)
        note(&w->problem[kind], text);
    else
        tn_fail(w->cx, HDS_ERROR_FORMAT, "%s: %s%s", w->path, text,
                kind == WEIGHTS_MISSING ? ": missing" : "");
}

void weights_survey_begin(weights *w)
{
    for (size_t i = 0; i < w->count; i++)
        w->entry[i].used = false;
    w->surveyed = true;
}

void weights_survey_end(weights *w)
{
    static const char *const words[] = { "missing", "of another shape", "left over" };
    char text[800] = "";
    size_t used = 0;
    for (size_t i = 0; i < w->count; i++)
        if (!w->entry[i].used && !w->entry[i].spare)
            note(&w->problem[WEIGHTS_LEFT_OVER], w->entry[i].name);
    for (int k = 0; k < WEIGHTS_PROBLEMS; k++) {
        weights_problems *p = &w->problem[k];
        if (p->count && used < sizeof text)
            used += (size_t)snprintf(text + used, sizeof text - used, "%s%zu %s: %s%s",
                                     used ? "; " : "", p->count, words[k], p->text ? p->text : "",
                                     p->count > SHOWN ? ", ..." : "");
        free(p->text);
        *p = (weights_problems){ 0 };
    }
    w->surveyed = false;
    if (used)
        tn_fail(w->cx, HDS_ERROR_FORMAT,
                "%s: weights do not fit the configuration: %s; take config.json and weights from "
                "one model",
                w->path, text);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const io_tensor *)a)->name, ((const io_tensor *)b)->name);
}

/* The entry's numbers in `dtype`, new; NULL when the context has failed. */
static void *numbers_of(weights *w, size_t i, io_dtype dtype, size_t *size)
{
    const tn *t = weights_tensor(w, i);
    size_t count = tn_count(w->cx, t);
    float *full = malloc(count ? count * sizeof *full : 1);
    uint16_t *half = dtype == IO_F16 ? malloc(count ? count * sizeof *half : 1) : NULL;
    if (!full || (dtype == IO_F16 && !half))
        tn_fail(w->cx, HDS_ERROR_MEMORY, "%s: out of memory", w->path);
    else
        tn_to_f32(w->cx, t, full, count);
    *size = count * io_dtype_size(dtype);
    if (!tn_failed(w->cx) && dtype == IO_F32)
        return full;
    if (!tn_failed(w->cx))
        io_f32_to_f16(full, half, count);
    free(full);
    if (tn_failed(w->cx)) {
        free(half);
        half = NULL;
    }
    return half;
}

hds_status weights_save(weights *w, const char *path, io_dtype dtype, hds_error *error)
{
    if (dtype != IO_F16 && dtype != IO_F32)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: weights are saved as F16 or F32, not %s",
                         path, io_dtype_name(dtype));
    io_tensor *list = calloc(w->count + 1, sizeof *list);
    json_t *metadata = json_pack("{s:s}", "format", "pt");
    hds_status status = HDS_OK;
    if (!list || !metadata)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < w->count && status == HDS_OK; i++) {
        const weights_entry *e = &w->entry[i];
        list[i] = (io_tensor){ .name = e->name, .dtype = dtype, .dims = e->dims };
        memcpy(list[i].shape, e->shape, sizeof e->shape);
        list[i].data = numbers_of(w, i, dtype, &list[i].size);
        if (!list[i].data)
            status = tn_check(w->cx, error);
    }
    if (status == HDS_OK) {
        qsort(list, w->count, sizeof *list, by_name);
        status = io_safetensors_write(path, list, w->count, metadata, error);
    }
    for (size_t i = 0; list && i < w->count; i++)
        free((void *)list[i].data);
    free(list);
    json_decref(metadata);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Weights by name: a hash table over a mapped file, or one that grows as a network asks.
 * Strict: what a survey finds missing, of another shape or left over is an error that lists it. */
#include "io/io.h"
#include "weights_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_SLOTS = 256 };

/* Numbers that are drawn for a weight depend on it: from_seed. */
static uint64_t hash(const char *text)
{
    return base_hash(1469598103934665603u, text, strlen(text));
}

static size_t slot_of(const weights *w, const char *name)
{
    size_t i = hash(name) & (w->slots - 1);
    while (w->slot[i] && strcmp(w->entry[w->slot[i] - 1].name, name))
        i = (i + 1) & (w->slots - 1);
    return i;
}

weights_entry *weights_lookup(const weights *w, const char *name)
{
    size_t found = w->slot[slot_of(w, name)];
    return found ? &w->entry[found - 1] : NULL;
}

static bool grow(weights *w)
{
    size_t slots = w->slots ? 2 * w->slots : FIRST_SLOTS;
    size_t *slot = calloc(slots, sizeof *slot);
    weights_entry *entry = realloc(w->entry, slots / 2 * sizeof *entry);
    if (entry)
        w->entry = entry;
    if (!slot || !entry) {
        free(slot);
        return false;
    }
    free(w->slot);
    w->slot = slot;
    w->slots = slots;
    for (size_t i = 0; i < w->count; i++)
        w->slot[slot_of(w, w->entry[i].name)] = i + 1;
    return true;
}

/* A new entry, which nothing of this name exists for yet; NULL: out of memory. */
weights_entry *weights_add(weights *w, const char *name, int dims, const int64_t *shape)
{
    if (w->count >= w->slots / 2 && !grow(w))
        return NULL;
    char *copy = hds_strdup(name);
    if (!copy)
        return NULL;
    w->slot[slot_of(w, name)] = w->count + 1;
    weights_entry *e = &w->entry[w->count++];
    *e = (weights_entry){ .name = copy, .dims = dims };
    memcpy(e->shape, shape, (size_t)dims * sizeof *shape);
    return e;
}

static weights *create(tn_context *cx, const char *path)
{
    weights *w = tn_failed(cx) ? NULL : calloc(1, sizeof *w);
    if (w) {
        w->cx = cx;
        w->path = hds_strdup(path);
    }
    if (!w || !w->path || !grow(w)) {
        tn_fail(cx, HDS_ERROR_MEMORY, "%s: out of memory", path);
        weights_destroy(&w);
    }
    return w;
}

static void no_memory(weights *w, const char *name)
{
    tn_fail(w->cx, HDS_ERROR_MEMORY, "%s: %s: out of memory", w->path, name);
}

void weights_put(weights *w, const char *name, int dims, const int64_t *shape, io_dtype dtype,
                 const void *data)
{
    if (tn_failed(w->cx))
        return;
    if (weights_lookup(w, name)) {
        tn_fail(w->cx, HDS_ERROR_FORMAT, "%s: %s: twice", w->path, name);
        return;
    }
    weights_entry *e = weights_add(w, name, dims, shape);
    if (!e) {
        no_memory(w, name);
        return;
    }
    e->dtype = dtype;
    e->data = data;
    e->map = w->reading;
}

const io_tensors *weights_keep(weights *w, const char *path)
{
    hds_error error = { 0 };
    weights_file *file = tn_failed(w->cx) ? NULL : calloc(1, sizeof *file);
    if (!file) {
        no_memory(w, path);
        return NULL;
    }
    if (io_tensors_open(&file->tensors, path, &error) != HDS_OK) {
        tn_fail(w->cx, error.status, "%s", error.message);
        free(file);
        return NULL;
    }
    file->next = w->files;
    w->files = file;
    return &file->tensors;
}

weights *weights_open(tn_context *cx, const char *path, const weights_source *source,
                      weights_use use)
{
    weights *w = create(cx, path);
    if (!w)
        return NULL;
    w->trainable = use == WEIGHTS_TRAINABLE;
    for (size_t k = 0; k < source->count; k++) {
        const io_tensors *file = weights_keep(w, source->paths[k]);
        w->reading = file ? &file->map : NULL;
        for (size_t i = 0; file && i < file->count; i++) {
            const io_tensor *t = &file->tensors[i];
            if (source->adopt)
                source->adopt(source->context, w, t);
            else
                weights_put(w, t->name, t->dims, t->shape, t->dtype, t->data);
        }
    }
    if (tn_failed(cx))
        weights_destroy(&w);
    return w;
}

weights *weights_load(tn_context *cx, const char *path, weights_use use)
{
    return weights_open(cx, path, &(weights_source){ .paths = &path, .count = 1 }, use);
}

static size_t product(const int64_t *shape, int first, int dims)
{
    size_t count = 1;
    for (int d = first; d < dims; d++)
        count *= (size_t)shape[d];
    return count;
}

bool weights_change(weights *w, const char *name, weights_changer change, void *context)
{
    weights_entry *e = weights_lookup(w, name);
    weights_step *step = e && !e->tensor ? malloc(sizeof *step) : NULL;
    if (!step) {
        if (e)
            no_memory(w, name);
        free(context);
        return false;
    }
    *step = (weights_step){ NULL, change, context };
    weights_step **last = &e->steps;
    while (*last)
        last = &(*last)->next;
    *last = step;
    return true;
}

bool weights_get_shape(const weights *w, const char *name, int *dims, int64_t shape[IO_MAX_DIMS])
{
    const weights_entry *e = weights_lookup(w, name);
    if (e) {
        *dims = e->dims;
        memcpy(shape, e->shape, sizeof e->shape);
    }
    return e;
}

bool weights_add_rows(weights *w, const char *name, const float *rows, int64_t count)
{
    weights_entry *e = weights_lookup(w, name);
    if (!e || e->dims != 2 || e->tensor || !e->data)
        return false;
    size_t width = (size_t)e->shape[1], had = (size_t)e->more_rows * width;
    float *more = realloc(e->more, (had + (size_t)count * width) * sizeof *more);
    if (!more) {
        no_memory(w, name);
        return false;
    }
    memcpy(more + had, rows, (size_t)count * width * sizeof *more);
    e->more = more;
    e->more_rows += count;
    e->shape[0] += count;
    return true;
}

void weights_set_type(weights *w, tn_type type)
{
    w->type = type;
}

weights *weights_create(tn_context *cx, uint64_t seed)
{
    weights *w = create(cx, "new weights");
    if (w) {
        w->grows = w->trainable = true;
        w->seed = seed;
    }
    return w;
}

weights *weights_duplicate(const weights *source, bool zeros)
{
    tn_context *cx = source->cx;
    weights *w = create(cx, source->path);
    for (size_t i = 0; w && i < source->count; i++) {
        const weights_entry *from = &source->entry[i];
        weights_entry *e = weights_add(w, from->name, from->dims, from->shape);
        if (!e) {
            tn_fail(cx, HDS_ERROR_MEMORY, "%s: out of memory", source->path);
            break;
        }
        size_t scope = tn_enter(cx);
        tn *t = tn_zeros(cx, e->dims, e->shape);
        if (!zeros)
            tn_copy_in_place(cx, t, weights_tensor((weights *)source, i));
        e->tensor = tn_own(cx, t);
        tn_leave(cx, scope, NULL);
    }
    if (tn_failed(cx))
        weights_destroy(&w);
    return w;
}

void weights_destroy(weights **w)
{
    weights *dead = *w;
    *w = NULL;
    if (!dead)
        return;
    for (size_t i = 0; i < dead->count; i++) {
        tn_release(dead->cx, &dead->entry[i].tensor);
        numbers_release(dead->entry[i].held);
        free(dead->entry[i].more);
        hds_free(dead->entry[i].name);
        for (weights_step *step = dead->entry[i].steps, *next; step; step = next) {
            next = step->next;
            free(step->context);
            free(step);
        }
    }
    free(dead->entry);
    free(dead->slot);
    for (weights_file *f = dead->files, *next; f; f = next) {
        next = f->next;
        io_tensors_close(&f->tensors);
        free(f);
    }
    for (int k = 0; k < WEIGHTS_PROBLEMS; k++)
        free(dead->problem[k].text);
    hds_free(dead->path);
    free(dead);
}

/* Where in the file the data lie. Data that a reader made anew are told apart by their address. */
static const void *read_numbers(weights *w, weights_entry *e, tn_type type)
{
    const unsigned char *data = e->data, *bytes = e->map->bytes;
    size_t more = (size_t)e->more_rows * product(e->shape, 1, e->dims);
    bool inside = data >= bytes && data < bytes + e->map->size;
    const void *values =
        numbers_take(inside ? e->map->stamp : 0, inside ? (size_t)(data - bytes) : (size_t)data,
                     data, e->dtype, product(e->shape, 0, e->dims) - more, type, &e->held);
    if (!values)
        no_memory(w, e->name);
    return values;
}

static tn *append_rows(weights *w, const weights_entry *e, const tn *t)
{
    const tn *both[] = { t, tn_from_f32(w->cx, e->more, TN_SHAPE(e->more_rows, e->shape[1])) };
    return tn_cat(w->cx, both, 2, 0);
}

static tn *from_file(weights *w, weights_entry *e)
{
    bool changed = e->steps || e->more_rows;
    tn_type kept = e->dims > 1 && !w->trainable ? w->type : TN_FLOAT32;
    tn_type read = changed ? TN_FLOAT32 : kept;
    const void *values = read_numbers(w, e, read);
    int64_t shape[IO_MAX_DIMS];
    memcpy(shape, e->shape, sizeof shape);
    shape[0] -= e->more_rows;
    tn *t = values ? tn_borrow(w->cx, values, read, e->dims, shape) : NULL;
    for (const weights_step *step = e->steps; step; step = step->next)
        t = step->change(step->context, w->cx, t);
    if (e->more_rows)
        t = append_rows(w, e, t);
    if (changed || !tn_on_processor(w->cx)) { /* t has numbers of its own */
        numbers_release(e->held);
        e->held = NULL;
    }
    if (!w->trainable)
        return read == kept ? t : tn_to_type(w->cx, t, kept);
    tn *copy = tn_zeros(w->cx, e->dims, e->shape);
    tn_copy_in_place(w->cx, copy, t);
    return copy;
}

/* The tensor of a weight that a growing store makes, the same for a seed in any order of asking. */
static tn *from_seed(weights *w, const weights_entry *e, nn_start start, double scale)
{
    size_t count = product(e->shape, 0, e->dims);
    float *numbers = malloc(count ? count * sizeof *numbers : 1);
    if (!numbers) {
        no_memory(w, e->name);
        return NULL;
    }
    rng r = rng_make(w->seed, hash(e->name));
    for (size_t i = 0; i < count; i++)
        numbers[i] = start == NN_ZERO      ? 0.0f
                     : start == NN_ONE     ? 1.0f
                     : start == NN_UNIFORM ? (float)rng_range(&r, -scale, scale)
                                           : (float)(scale * rng_normal(&r));
    tn *t = tn_from_f32(w->cx, numbers, e->dims, e->shape);
    free(numbers);
    return t;
}

const tn *weights_realise(weights *w, weights_entry *e, nn_start start, double scale)
{
    if (e->tensor || tn_failed(w->cx))
        return e->tensor;
    size_t scope = tn_enter(w->cx);
    tn *t = e->data ? from_file(w, e) : from_seed(w, e, start, scale);
    if (w->trainable)
        t = tn_leaf(w->cx, t);
    e->tensor = tn_own(w->cx, t);
    tn_leave(w->cx, scope, NULL);
    return e->tensor;
}

tn_context *weights_context(const weights *w)
{
    return w->cx;
}

size_t weights_count(const weights *w)
{
    return w->count;
}

const char *weights_name(const weights *w, size_t i)
{
    return w->entry[i].name;
}

tn *weights_tensor(weights *w, size_t i)
{
    weights_realise(w, &w->entry[i], NN_ZERO, 0);
    return w->entry[i].tensor;
}

tn *weights_find(weights *w, const char *name)
{
    weights_entry *e = weights_lookup(w, name);
    return e ? weights_tensor(w, (size_t)(e - w->entry)) : NULL;
}

void weights_set_probe(weights *w, weights_probe probe, void *context)
{
    w->probe = probe;
    w->probe_context = context;
}

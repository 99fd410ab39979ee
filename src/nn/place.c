/* SPDX-License-Identifier: Apache-2.0 */
/* A place in a network: a linked name on the C stack, the weights under it, and the error's
 * place. */
#include "weights_priv.h"

#include <stdio.h>
#include <string.h>

at at_root(tn_context *cx, weights *w)
{
    return (at){ .index = -1, .cx = cx, .w = w };
}

at at_sub(const at *p, const char *name)
{
    return (at){ .up = p, .name = name, .index = -1, .cx = p->cx, .w = p->w };
}

at at_index(const at *p, const char *name, int index)
{
    return (at){ .up = p, .name = name, .index = index, .cx = p->cx, .w = p->w };
}

/* Appends to `text` and returns the length that the whole would have. */
static size_t write_path(const at *p, char *text, size_t size)
{
    if (!p->name)
        return p->up ? write_path(p->up, text, size) : 0;
    size_t used = p->up ? write_path(p->up, text, size) : 0;
    char *end = used < size ? text + used : NULL;
    size_t room = used < size ? size - used : 0;
    const char *dot = used ? "." : "";
    int more = p->index < 0 ? snprintf(end, room, "%s%s", dot, p->name)
                            : snprintf(end, room, "%s%s.%d", dot, p->name, p->index);
    return used + (size_t)more;
}

void at_path(const at *p, char *text, size_t size)
{
    text[0] = 0;
    write_path(p, text, size);
}

static void where(const void *of, char *text, size_t size)
{
    const at *p = of;
    int used = snprintf(text, size, "%s: ", p->w->path);
    if (used > 0 && (size_t)used < size)
        at_path(p, text + used, size - (size_t)used);
    if (used > 1 && (size_t)used < size && !text[used])
        text[used - 2] = 0; /* the root: only the file */
}

size_t nn_enter(const at *p)
{
    size_t scope = tn_enter(p->cx);
    tn_set_place(p->cx, where, p);
    return scope;
}

tn *nn_leave(const at *p, size_t scope, tn *kept)
{
    if (p->w->probe && kept && !tn_failed(p->cx)) {
        char path[WEIGHTS_MAX_NAME];
        at_path(p, path, sizeof path);
        p->w->probe(p->w->probe_context, path, kept);
    }
    return tn_leave(p->cx, scope, kept);
}

/* The full name of a weight; false, and the context failed, when it is too long to be one. */
static bool full_name(const at *p, const char *leaf, char name[WEIGHTS_MAX_NAME])
{
    at here = at_sub(p, leaf);
    name[0] = 0;
    if (write_path(&here, name, WEIGHTS_MAX_NAME) < WEIGHTS_MAX_NAME)
        return true;
    tn_fail(p->cx, HDS_ERROR_INTERNAL, "%s: the name of a weight is too long: %s", p->w->path,
            name);
    return false;
}

static void shape_text(char *text, size_t size, int dims, const int64_t *shape)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (int d = 0; d < dims && used < size; d++)
        used += (size_t)snprintf(text + used, size - used, "%s%lld", d ? ", " : "",
                                 (long long)shape[d]);
    if (used < size)
        snprintf(text + used, size - used, ")");
}

static bool same_shape(const weights_entry *e, int dims, const int64_t *shape)
{
    return e->dims == dims && !memcmp(e->shape, shape, (size_t)dims * sizeof *shape);
}

const tn *at_weight(const at *p, const char *leaf, int dims, const int64_t *shape, nn_start start,
                    double scale)
{
    char name[WEIGHTS_MAX_NAME];
    if (tn_failed(p->cx) || !full_name(p, leaf, name))
        return NULL;
    weights_entry *e = weights_lookup(p->w, name);
    if (!e && p->w->grows) {
        e = weights_add(p->w, name, dims, shape);
        if (!e)
            tn_fail(p->cx, HDS_ERROR_MEMORY, "%s: %s: out of memory", p->w->path, name);
    } else if (!e) {
        weights_report(p->w, WEIGHTS_MISSING, "%s", name);
    }
    if (!e)
        return NULL;
    e->used = true;
    if (!same_shape(e, dims, shape)) {
        char found[80], expected[80];
        shape_text(found, sizeof found, e->dims, e->shape);
        shape_text(expected, sizeof expected, dims, shape);
        weights_report(p->w, WEIGHTS_MISSHAPEN, "%s: shape %s, expected %s", name, found, expected);
        return NULL;
    }
    if (at_surveyed(p) && !p->w->grows)
        return NULL;
    return weights_realise(p->w, e, start, scale);
}

bool at_has(const at *p, const char *leaf)
{
    char name[WEIGHTS_MAX_NAME];
    return !tn_failed(p->cx) && full_name(p, leaf, name) && weights_lookup(p->w, name);
}

void at_ignore(const at *p, const char *leaf)
{
    char name[WEIGHTS_MAX_NAME];
    weights_entry *e = full_name(p, leaf, name) ? weights_lookup(p->w, name) : NULL;
    if (e)
        e->used = true;
}

bool at_surveyed(const at *p)
{
    return p->w->surveyed;
}

bool at_probed(const at *p)
{
    return p->w->probe != NULL;
}

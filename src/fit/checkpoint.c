/* SPDX-License-Identifier: Apache-2.0 */
/* A run on disk: its record and what is needed to continue it to the same bytes, as an .npz file.
 *
 * Saving and loading visit the same arrays by name: those of the run, of its variables, and of what
 * the stage that is due keeps (optimizer, preconditioner, guides). */
#include "fit/fit.h"

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char format[] = "headsds checkpoint 2";
enum { MAX_ARRAYS = 48, HISTORY_COLUMNS = 4 };

/* ---- the arrays of a run ---- */

static bool visit_variable(fit_variable *v, bool due, const state_visitor *to)
{
    char start[HDS_NAME + 8];
    snprintf(start, sizeof start, "%s_start", v->name);
    optim_state *o = &v->optimizer;
    return to->array(to, v->name, 'f', sizeof *v->x, v->count, v->x) &&
           to->array(to, start, 'f', sizeof *v->start, v->count, v->start) &&
           (!due || (to->array(to, "moments", 'f', sizeof *o->moments, o->ops->moments * o->count,
                               o->moments) &&
                     to->array(to, "scalars", 'f', sizeof *o->scalars, OPTIM_SCALARS, o->scalars)));
}

/* Of a run that stands where the file does. */
static bool visit_state(fit_run *run, const state_visitor *to)
{
    fit_stage *s = &run->current;
    bool good = true;
    for (int i = 0; i < FIT_VARIABLES && good; i++)
        good = visit_variable(&run->subject.variables[i], s->variable == &run->subject.variables[i],
                              to);
    const fit_preconditioner_ops *p = s->preconditioner.ops;
    if (good && p && p->visit)
        good = p->visit(&s->preconditioner, s, to);
    for (int i = 0; i < s->guide_count && good; i++)
        if (s->guides[i].ops->visit)
            good = s->guides[i].ops->visit(&s->guides[i], to);
    return good;
}

/* ---- saving ---- */

/* New; a float's nine digits are exact. */
static char *text_of(const json_t *value)
{
    return json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS | JSON_REAL_PRECISION(9));
}

typedef struct list {
    io_array arrays[MAX_ARRAYS];
    char names[MAX_ARRAYS][2 * HDS_NAME];
    size_t count;
} list;

static bool add(const state_visitor *v, const char *name, char kind, size_t itemsize, size_t count,
                void *data)
{
    list *l = v->context;
    if (l->count == MAX_ARRAYS)
        return false;
    char *kept = l->names[l->count];
    snprintf(kept, sizeof l->names[0], "%s", name);
    l->arrays[l->count++] = io_array_of(kept, kind, itemsize, 1, &count, data);
    return true;
}

/* Columns of the history, (count) and (count,4): new. */
typedef struct columns {
    int32_t *stage, *step;
    float *values;
} columns;

static bool columns_init(columns *c, const fit_run *run)
{
    size_t n = run->history_count;
    *c = (columns){ hds_alloc(n, sizeof *c->stage), hds_alloc(n, sizeof *c->step),
                    hds_alloc(n, HISTORY_COLUMNS * sizeof *c->values) };
    bool enough = c->stage && c->step && c->values;
    for (size_t i = 0; enough && i < n; i++) {
        const hds_history *h = &run->history[i];
        const float row[HISTORY_COLUMNS] = { h->timestep, h->gradient_norm, h->coefficient_norm,
                                             h->residual };
        while (c->stage[i] < run->settings.stage_count - 1 &&
               strcmp(run->settings.stages[c->stage[i]].name, h->stage))
            c->stage[i]++;
        c->step[i] = h->step;
        memcpy(c->values + i * HISTORY_COLUMNS, row, sizeof row);
    }
    return enough;
}

static void columns_finish(columns *c)
{
    hds_free(c->stage);
    hds_free(c->step);
    hds_free(c->values);
}

hds_status fit_checkpoint_save(fit_run *run, const char *path, hds_error *error)
{
    list *l = hds_alloc(1, sizeof *l);
    char *record = text_of(run->record);
    columns c;
    bool good = columns_init(&c, run) && l && record;
    const state_visitor to = { add, l };
    int64_t place[3] = { run->stage, run->step, run->current.preconditioner.done };
    size_t n = run->history_count;
    if (good)
        good = add(&to, "format", 'S', strlen(format), 1, (char *)format) &&
               add(&to, "record", 'S', strlen(record), 1, record) &&
               add(&to, "place", 'i', sizeof *place, 3, place) &&
               add(&to, "history_stage", 'i', sizeof *c.stage, n, c.stage) &&
               add(&to, "history_step", 'i', sizeof *c.step, n, c.step) &&
               add(&to, "history_values", 'f', sizeof *c.values, n * HISTORY_COLUMNS, c.values) &&
               visit_state(run, &to);
    hds_status status = good ? io_npz_write(path, l->arrays, l->count, error)
                             : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    columns_finish(&c);
    free(record);
    hds_free(l);
    return status;
}

/* ---- loading ---- */

typedef struct reader {
    const io_npz *npz;
    hds_error *error;
} reader;

static bool read_array(const state_visitor *v, const char *name, char kind, size_t itemsize,
                       size_t count, void *out)
{
    const reader *r = v->context;
    const io_array *a = io_npz_find(r->npz, name);
    if (a && a->kind == kind && (size_t)a->itemsize == itemsize && a->size == count * itemsize) {
        if (a->size)
            memcpy(out, a->data, a->size);
        return true;
    }
    hds_raise(r->error, HDS_ERROR_FORMAT,
              "%s: %s: expected %zu numbers; this is no checkpoint of this run", r->npz->path, name,
              count);
    return false;
}

static bool is_text(const io_array *a, const char *text)
{
    size_t length = strlen(text);
    return a && a->kind == 'S' && a->size == length && !memcmp(a->data, text, length);
}

static hds_status check_format(const io_npz *npz, hds_error *error)
{
    const io_array *a = io_npz_find(npz, "format");
    if (is_text(a, format))
        return HDS_OK;
    if (!a && io_npz_find(npz, "settings") && io_npz_find(npz, "place"))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: a checkpoint of an older headsds, which this one can't continue; "
                         "start without resume, or finish it with the version that wrote it",
                         npz->path);
    if (a && a->kind == 'S' && a->size > 18 && !memcmp(a->data, format, 18))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: format '%.40s', expected '%s'; another version of headsds wrote it",
                         npz->path, (const char *)a->data, format);
    return hds_raise(error, HDS_ERROR_FORMAT, "%s: this is no headsds checkpoint", npz->path);
}

/* "prior.unet is "1f", here it is "2e""; records are trees of objects. *a, *b: ours and theirs as
 * text, NULL: missing. False: they are equal. */
static bool first_difference(const json_t *ours, json_t *theirs, const char *at, char *place,
                             size_t size, char **a, char **b)
{
    if (json_is_object(ours) && json_is_object(theirs)) {
        const char *key;
        json_t *value;
        json_object_foreach((json_t *)ours, key, value)
        {
            char path[200];
            snprintf(path, sizeof path, "%s%s%s", at, at[0] ? "." : "", key);
            if (strcmp(path, "prior.path") &&
                first_difference(value, json_object_get(theirs, key), path, place, size, a, b))
                return true;
        }
        json_object_foreach((json_t *)theirs, key, value)
        {
            if (json_object_get(ours, key))
                continue;
            snprintf(place, size, "%s%s%s", at, at[0] ? "." : "", key);
            *b = text_of(value);
            return true;
        }
        return false;
    }
    if (json_equal(ours, theirs))
        return false;
    snprintf(place, size, "%s", at);
    *a = text_of(ours);
    *b = theirs ? text_of(theirs) : NULL;
    return true;
}

static hds_status compare(const fit_run *run, const io_npz *npz, hds_error *error)
{
    const io_array *array = io_npz_find(npz, "record");
    json_t *found =
        array && array->kind == 'S' ? json_loadb(array->data, array->size, 0, NULL) : NULL;
    if (!found)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: record: missing or damaged; this is no headsds checkpoint",
                         npz->path);
    char place[200] = "record", *ours = NULL, *theirs = NULL;
    hds_status status = HDS_OK;
    if (first_difference(run->record, found, "", place, sizeof place, &ours, &theirs))
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "%s: the checkpoint is of another run: its %s is %.200s, here it is "
                           "%.200s; start without resume or give another checkpoint file",
                           npz->path, place, theirs ? theirs : "missing", ours ? ours : "missing");
    free(ours);
    free(theirs);
    json_decref(found);
    return status;
}

/* Stands the run where the file does. */
static hds_status restore_place(fit_run *run, const state_visitor *from, const io_npz *npz,
                                hds_error *error)
{
    int64_t place[3];
    if (!read_array(from, "place", 'i', sizeof *place, 3, place))
        return HDS_ERROR_FORMAT;
    const fit_settings *s = &run->settings;
    bool over = place[0] == s->stage_count && place[1] == 0;
    if (!over && (place[0] < 0 || place[0] >= s->stage_count || s->stages[place[0]].skip ||
                  place[1] < 0 || place[1] >= s->stages[place[0]].steps))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: place: no stage %lld with a step %lld",
                         npz->path, (long long)place[0], (long long)place[1]);
    run->stage = (int)place[0];
    run->step = (int)place[1];
    hds_status status = HDS_OK;
    for (int i = 0; i < run->stage && status == HDS_OK; i++) {
        const texture_ops *ops = fit_texture_find(run->kinds, s->stages[i].texture);
        if (!s->stages[i].skip && ops) /* as the stage left it; its values come from the file */
            status = fit_subject_represent(&run->subject, ops, error);
    }
    if (status == HDS_OK)
        status = fit_run_enter_stage(run, error);
    if (status != HDS_OK || over)
        return status;
    fit_preconditioner *p = &run->current.preconditioner;
    if (place[2] < 0 || place[2] > p->count || (place[1] > 0 && place[2] != p->count))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: place: %lld of %d steps of preparation",
                         npz->path, (long long)place[2], p->count);
    p->done = (int)place[2];
    run->current.variable->optimizer.steps = run->step;
    return HDS_OK;
}

/* One line for each step behind the place. */
static hds_status restore_history(fit_run *run, const state_visitor *from, const char *path,
                                  hds_error *error)
{
    size_t count = (size_t)run->step;
    for (int i = 0; i < run->stage; i++)
        count += run->settings.stages[i].skip ? 0 : (size_t)run->settings.stages[i].steps;
    run->history_count = count;
    columns c;
    bool enough = columns_init(&c, run);
    hds_status status =
        enough ? HDS_ERROR_FORMAT : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
    if (enough && read_array(from, "history_stage", 'i', sizeof *c.stage, count, c.stage) &&
        read_array(from, "history_step", 'i', sizeof *c.step, count, c.step) &&
        read_array(from, "history_values", 'f', sizeof *c.values, count * HISTORY_COLUMNS,
                   c.values))
        status = HDS_OK;
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        const float *row = c.values + i * HISTORY_COLUMNS;
        if (c.stage[i] < 0 || c.stage[i] >= run->settings.stage_count)
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: history_stage[%zu] is %d, no stage",
                               path, i, (int)c.stage[i]);
        else
            run->history[i] = (hds_history){ .step = c.step[i],
                                             .timestep = row[0],
                                             .gradient_norm = row[1],
                                             .coefficient_norm = row[2],
                                             .residual = row[3] };
        if (status == HDS_OK)
            snprintf(run->history[i].stage, HDS_NAME, "%s", run->settings.stages[c.stage[i]].name);
    }
    columns_finish(&c);
    return status;
}

hds_status fit_checkpoint_load(fit_run *run, const char *path, hds_error *error)
{
    io_npz npz;
    hds_status status = io_npz_open(&npz, path, 0, error);
    if (status != HDS_OK)
        return status;
    reader r = { &npz, error };
    const state_visitor from = { read_array, &r };
    status = check_format(&npz, error);
    if (status == HDS_OK)
        status = compare(run, &npz, error);
    if (status == HDS_OK)
        status = restore_place(run, &from, &npz, error);
    if (status == HDS_OK && !visit_state(run, &from))
        status = HDS_ERROR_FORMAT;
    if (status == HDS_OK)
        status = restore_history(run, &from, path, error);
    io_npz_close(&npz);
    return status;
}

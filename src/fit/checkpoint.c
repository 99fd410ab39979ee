/* SPDX-License-Identifier: Apache-2.0 */
/* A run on disk: what is needed to continue it to the same bytes, as an .npz file. */
#include "fit/fit.h"

#include "io/io.h"

#include <stdio.h>
#include <string.h>

enum { MAX_ARRAYS = 12 };

typedef struct list {
    io_array arrays[MAX_ARRAYS];
    size_t count;
} list;

static void add(list *l, const char *name, char kind, int itemsize, size_t count, const void *data)
{
    l->arrays[l->count++] = io_array_of(name, kind, (size_t)itemsize, 1, &count, data);
}

static json_t *stage_settings(const hds_stage_params *p)
{
    return json_pack("{s:b,s:i,s:i,s:i,s:f,s:f,s:f,s:f,s:f,s:f}", "skip", p->skip, "steps",
                     p->steps, "views", p->views, "resolution", p->resolution, "guidance_scale",
                     (double)p->guidance_scale, "learning_rate", (double)p->learning_rate, "l2",
                     (double)p->l2, "gradient_clip", (double)p->gradient_clip, "timestep_min",
                     (double)p->timestep_min, "timestep_max", (double)p->timestep_max);
}

/* A name for what the start has beside coefficients, which the file holds; null without a start. */
static json_t *start_of(const fit_run *run)
{
    const hds_head *h = run->given;
    if (!h)
        return json_null();
    const uint64_t extents[2] = { h->texture_width, h->texture_height };
    uint64_t sum = base_hash(BASE_HASH_START, extents, sizeof extents);
    if (h->offsets)
        sum = base_hash(sum, h->offsets, 3 * h->model->vertex_count * sizeof *h->offsets);
    if (h->texture)
        sum = base_hash(sum, h->texture, 3 * h->texture_width * h->texture_height);
    return json_sprintf("%016llx", (unsigned long long)sum);
}

/* What must agree for a run to be continued, by name. */
static json_t *settings_of(const fit_run *run)
{
    const fit_settings *s = &run->settings;
    hds_prior_info prior;
    hds_prior_get_info(run->prior, &prior);
    return json_pack("{s:s,s:s?,s:I,s:s,s:I,s:I,s:s,s:o,s:o,s:o}", "prompt", s->prompt,
                     "negative_prompt", s->negative_prompt, "seed", (json_int_t)s->seed, "model",
                     run->model->name, "vertices", (json_int_t)run->model->vertex_count,
                     "shape_count", (json_int_t)run->model->shape_count, "prior", prior.path,
                     "geometry", stage_settings(&s->stages[FIT_GEOMETRY]), "texture",
                     stage_settings(&s->stages[FIT_TEXTURE]), "start", start_of(run));
}

hds_status fit_checkpoint_save(const fit_run *run, const char *path, hds_error *error)
{
    json_t *settings = settings_of(run);
    char *text = settings ? json_dumps(settings, JSON_SORT_KEYS) : NULL;
    json_decref(settings);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    const head_model *m = run->model;
    int64_t place[2] = { run->stage, run->step };
    size_t texels = run->texture ? run->texture_width * run->texture_height * 3 : 0;
    list l = { .count = 0 };
    add(&l, "settings", 'S', (int)strlen(text), 1, text);
    add(&l, "place", 'i', 8, 2, place);
    add(&l, "start", 'f', 4, m->shape_count, run->start);
    add(&l, "shape", 'f', 4, m->shape_count, run->shape);
    add(&l, "expression", 'f', 4, m->expression_count, run->expression);
    add(&l, "pose", 'f', 4, 3 * m->joint_count, run->pose);
    if (m->base_pose)
        add(&l, "base_pose", 'f', 4, 3 * m->joint_count, m->base_pose);
    add(&l, "texture", 'f', 4, texels, run->texture);
    add(&l, "moment", 'f', 4, run->optimiser.count, run->optimiser.m);
    add(&l, "second_moment", 'f', 8, 1, &run->optimiser.v);
    add(&l, "history", 'u', 1, run->history_count * sizeof *run->history, run->history);
    hds_status status = io_npz_write(path, l.arrays, l.count, error);
    free(text);
    return status;
}

static hds_status read_array(const io_npz *npz, const char *name, char kind, int itemsize,
                             size_t count, void *out, hds_error *error)
{
    const io_array *a = io_npz_find(npz, name);
    if (!a || a->kind != kind || a->itemsize != itemsize || a->size != count * (size_t)itemsize)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: expected %zu numbers; this is no checkpoint of this run",
                         npz->path, name, count);
    if (a->size)
        memcpy(out, a->data, a->size);
    return HDS_OK;
}

static hds_status compare(const fit_run *run, const io_npz *npz, hds_error *error)
{
    const io_array *a = io_npz_find(npz, "settings");
    json_t *found =
        a && a->kind == 'S' ? json_loadb(a->data, strnlen(a->data, a->size), 0, NULL) : NULL;
    if (!found)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: settings: missing or damaged; this is no "
                         "headsds checkpoint",
                         npz->path);
    json_t *expected = settings_of(run), *value;
    const char *key;
    hds_status status = HDS_OK;
    json_object_foreach(expected, key, value)
    {
        char *ours = json_dumps(value, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        json_t *its = json_object_get(found, key);
        if (!its && json_is_null(value))
            continue; /* of before there were starts */
        char *theirs = json_dumps(its, JSON_ENCODE_ANY | JSON_SORT_KEYS);
        if (!ours || !theirs || strcmp(ours, theirs))
            status =
                hds_raise(error, HDS_ERROR_ARGUMENT,
                          "%s: the checkpoint is of another run: its %s is %s, here it is %s; "
                          "start without resume or give another checkpoint file",
                          npz->path, key, theirs ? theirs : "missing", ours ? ours : "unknown");
        free(ours);
        free(theirs);
    }
    json_decref(found);
    json_decref(expected);
    return status;
}

/* Coefficients that the run was given and the model's base pose must be those of the file. */
static hds_status compare_start(const fit_run *run, const io_npz *npz, hds_error *error)
{
    const head_model *m = run->model;
    const char *const names[] = { "start", "expression", "pose", "base_pose" };
    const float *const given[] = { run->start, run->expression, run->pose, m->base_pose };
    const size_t counts[] = { m->shape_count, m->expression_count, 3 * m->joint_count,
                              3 * m->joint_count };
    for (int i = 0; i < 4; i++) {
        const io_array *a = io_npz_find(npz, names[i]);
        size_t size = counts[i] * sizeof(float);
        bool may_lack = i == 3; /* a model without base pose writes none */
        if ((a ? a->kind != 'f' || a->size != size : !may_lack) ||
            !head_same_pose(a ? a->data : NULL, given[i], counts[i]))
            return hds_raise(
                error, HDS_ERROR_ARGUMENT,
                "%s: the checkpoint is of another run: its %s coefficients are others; "
                "start without resume or give another checkpoint file",
                npz->path, names[i]);
    }
    return HDS_OK;
}

/* Where the file stands, and the optimiser of that stage. */
static hds_status restore_place(fit_run *run, const io_npz *npz, hds_error *error)
{
    int64_t place[2];
    hds_status status = read_array(npz, "place", 'i', 8, 2, place, error);
    if (status != HDS_OK)
        return status;
    const hds_stage_params *p = run->settings.stages;
    bool over = place[0] == FIT_STAGES && place[1] == 0;
    if (!over && (place[0] < 0 || place[0] >= FIT_STAGES || p[place[0]].skip || place[1] < 0 ||
                  place[1] >= p[place[0]].steps))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: place: no stage %lld with a step %lld",
                         npz->path, (long long)place[0], (long long)place[1]);
    run->stage = (int)place[0];
    run->step = (int)place[1];
    status = fit_run_enter_stage(run, error);
    run->optimiser.steps = run->step;
    return status;
}

static hds_status restore(fit_run *run, const io_npz *npz, hds_error *error)
{
    const head_model *m = run->model;
    size_t texels = run->texture ? run->texture_width * run->texture_height * 3 : 0;
    hds_status status = restore_place(run, npz, error);
    if (status == HDS_OK)
        status = read_array(npz, "shape", 'f', 4, m->shape_count, run->shape, error);
    if (status == HDS_OK)
        status = read_array(npz, "texture", 'f', 4, texels, run->texture, error);
    if (status == HDS_OK)
        status = read_array(npz, "moment", 'f', 4, run->optimiser.count, run->optimiser.m, error);
    if (status == HDS_OK)
        status = read_array(npz, "second_moment", 'f', 8, 1, &run->optimiser.v, error);
    return status;
}

/* One line for each step behind the place. */
static hds_status restore_history(fit_run *run, const io_npz *npz, hds_error *error)
{
    const io_array *a = io_npz_find(npz, "history");
    size_t count = (size_t)run->step;
    for (int i = 0; i < run->stage; i++)
        count += run->settings.stages[i].skip ? 0 : (size_t)run->settings.stages[i].steps;
    if (!a || a->kind != 'u' || a->itemsize != 1 || a->size != count * sizeof *run->history)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: history: missing or not of %zu steps",
                         npz->path, count);
    run->history_count = count;
    if (a->size)
        memcpy(run->history, a->data, a->size);
    return HDS_OK;
}

hds_status fit_checkpoint_load(fit_run *run, const char *path, hds_error *error)
{
    io_npz npz;
    hds_status status = io_npz_open(&npz, path, 0, error);
    if (status != HDS_OK)
        return status;
    status = compare(run, &npz, error);
    if (status == HDS_OK)
        status = compare_start(run, &npz, error);
    if (status == HDS_OK)
        status = restore(run, &npz, error);
    if (status == HDS_OK)
        status = restore_history(run, &npz, error);
    io_npz_close(&npz);
    return status;
}

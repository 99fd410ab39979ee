/* SPDX-License-Identifier: Apache-2.0 */
/* .headsds: a head, everything and exact, as a NumPy .npz.
 *
 *   format () S "headsds 1", "headsds 2" with offsets
 *   model_path () S as given, empty: the built-in one
 *   model_uv_template, model_mean_texture () S as given to load the model, if they were
 *   model_name () S                            model_counts (6) u8: V F T S E J
 *   model_topology () u8, FNV-1a of faces and uv_faces
 *   model_base_pose (J,3) f4 if the model has one
 *   prompt () S, shape (S) f4, expression (E) f4, pose (J,3) f4, offsets (V,3) f4 if any
 *   texture (H,W,3) u1 if any
 *   history_stage, history_step (N) i4, history_numbers (N,3) f4: timestep, gradient norm,
 *   coefficient norm; history_residual (N) f4
 *   stage_names (K) S: what the numbers of history_stage mean; without it geometry and texture
 *   record () S: JSON, how the head was made, if that is known */
#include "asset/asset.h"

#include "io/io.h"

#include <stdio.h>
#include <string.h>

/* What reads the first only would take a sculpt for none. */
static const char FORMAT[] = "headsds 1", WITH_OFFSETS[] = "headsds 2";

enum { MOST_ARRAYS = 20, COUNTS = 6, MOST_STAGES = 64 };

static uint64_t topology_hash(const hds_head_model_info *model)
{
    const size_t bytes = 3 * model->face_count * sizeof *model->faces;
    uint64_t hash = base_hash(BASE_HASH_START, model->faces, bytes);
    return model->uv_faces ? base_hash(hash, model->uv_faces, bytes) : hash;
}

/* ---- saving ---- */

typedef struct writer {
    io_array arrays[MOST_ARRAYS];
    size_t count;
} writer;

static void put(writer *w, const char *name, char kind, int itemsize, const void *data, int dims,
                size_t d0, size_t d1, size_t d2)
{
    w->arrays[w->count++] =
        io_array_of(name, kind, (size_t)itemsize, dims, (size_t[]){ d0, d1, d2 }, data);
}

/* NumPy has no strings of no bytes: an empty one is a NUL, which reads as empty. */
static void put_text(writer *w, const char *name, const char *text)
{
    size_t length = strlen(text);
    put(w, name, 'S', length ? (int)length : 1, text, 0, 0, 0, 0);
}

/* The number of a stage's name in the list, which it is added to. */
static int32_t stage_number(char (*names)[HDS_NAME], size_t *count, const char *name)
{
    size_t i = 0;
    while (i < *count && strcmp(names[i], name))
        i++;
    if (i == *count && i < MOST_STAGES)
        snprintf(names[(*count)++], HDS_NAME, "%s", name);
    return (int32_t)(i < MOST_STAGES ? i : MOST_STAGES - 1);
}

/* The log as columns; one block of memory, (N) (N) i4, (N,3) and (N) f4. */
static void *put_history(writer *w, const hds_head_info *head, char (*names)[HDS_NAME]) /* new */
{
    size_t n = head->history_count;
    int32_t *columns = hds_alloc(6 * n, sizeof *columns);
    if (!columns)
        return NULL;
    float *numbers = (float *)(columns + 2 * n), *residuals = numbers + 3 * n;
    size_t stages = 0;
    for (size_t i = 0; i < n; i++) {
        const hds_history *line = &head->history[i];
        columns[i] = stage_number(names, &stages, line->stage);
        columns[n + i] = line->step;
        numbers[3 * i] = line->timestep;
        numbers[3 * i + 1] = line->gradient_norm;
        numbers[3 * i + 2] = line->coefficient_norm;
        residuals[i] = line->residual;
    }
    put(w, "history_stage", 'i', 4, columns, 1, n, 0, 0);
    put(w, "history_step", 'i', 4, columns + n, 1, n, 0, 0);
    put(w, "history_numbers", 'f', 4, numbers, 2, n, 3, 0);
    put(w, "history_residual", 'f', 4, residuals, 1, n, 0, 0);
    put(w, "stage_names", 'S', HDS_NAME, names, 1, stages, 0, 0);
    return columns;
}

hds_status asset_save_headsds(const hds_head *head, const char *path, hds_error *error)
{
    hds_head_info info;
    hds_head_model_info model;
    hds_head_get_info(head, &info);
    hds_head_model_get_info(info.model, &model);
    uint64_t counts[COUNTS] = { model.vertex_count, model.face_count,       model.uv_count,
                                model.shape_count,  model.expression_count, model.joint_count };
    uint64_t topology = topology_hash(&model);
    writer w = { .count = 0 };
    put_text(&w, "format", info.offsets ? WITH_OFFSETS : FORMAT);
    put_text(&w, "model_path", info.model->path ? info.model->path : "");
    if (info.model->uv_template)
        put_text(&w, "model_uv_template", info.model->uv_template);
    if (info.model->mean_texture_path)
        put_text(&w, "model_mean_texture", info.model->mean_texture_path);
    put_text(&w, "model_name", model.name);
    put(&w, "model_counts", 'u', 8, counts, 1, COUNTS, 0, 0);
    put(&w, "model_topology", 'u', 8, &topology, 0, 0, 0, 0);
    if (model.base_pose)
        put(&w, "model_base_pose", 'f', 4, model.base_pose, 2, model.joint_count, 3, 0);
    put_text(&w, "prompt", info.prompt);
    put(&w, "shape", 'f', 4, info.shape, 1, model.shape_count, 0, 0);
    put(&w, "expression", 'f', 4, info.expression, 1, model.expression_count, 0, 0);
    put(&w, "pose", 'f', 4, info.pose, 2, model.joint_count, 3, 0);
    if (info.offsets)
        put(&w, "offsets", 'f', 4, info.offsets, 2, model.vertex_count, 3, 0);
    if (info.texture)
        put(&w, "texture", 'u', 1, info.texture, 3, info.texture_height, info.texture_width, 3);
    if (info.record)
        put_text(&w, "record", info.record);
    char names[MOST_STAGES][HDS_NAME] = { "" };
    void *columns = put_history(&w, &info, names);
    if (!columns)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    hds_status status = io_npz_write(path, w.arrays, w.count, error);
    hds_free(columns);
    return status;
}

/* ---- loading ---- */

typedef struct reader {
    io_npz npz;
    const char *path;
    hds_error *error;
    char *model_path, *model_name, *prompt, *record;
    char *model_uv_template, *model_mean_texture; /* or NULL */
    const uint64_t *counts, *topology;
    const float *shape, *expression, *pose, *base_pose;
    const float *offsets; /* or NULL */
    bool with_offsets;
    const io_array *texture;
    hds_history *history;
    size_t history_count;
} reader;

/* A wanted extent of -1 takes any. */
static hds_status need(reader *r, const char *name, char kind, int itemsize, int dims, int64_t d0,
                       int64_t d1, const io_array **out)
{
    const io_array *a = *out = io_npz_find(&r->npz, name);
    if (!a)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: no array '%s'; expected a head saved by headsds", r->path, name);
    int64_t wanted[2] = { d0, d1 };
    bool fits = a->kind == kind && (kind == 'S' || a->itemsize == itemsize) && a->dims == dims;
    for (int i = 0; fits && i < dims && i < 2; i++)
        fits = wanted[i] < 0 || a->shape[i] == wanted[i];
    if (fits)
        return HDS_OK;
    return hds_raise(r->error, HDS_ERROR_FORMAT,
                     "%s: %s: type %c%d with %d dimensions (%lld, %lld), expected %c%d with %d "
                     "(%lld, %lld)",
                     r->path, name, a->kind, a->itemsize, a->dims,
                     a->dims > 0 ? (long long)a->shape[0] : 0,
                     a->dims > 1 ? (long long)a->shape[1] : 0, kind, itemsize, dims, (long long)d0,
                     (long long)d1);
}

static hds_status need_text(reader *r, const char *name, char **text /* new */)
{
    const io_array *a;
    hds_status status = need(r, name, 'S', 1, 0, 0, 0, &a);
    if (status != HDS_OK)
        return status;
    *text = hds_format("%.*s", a->itemsize, (const char *)a->data);
    return *text ? HDS_OK : hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory", r->path);
}

static hds_status read_names(reader *r)
{
    char *format = NULL;
    if (!io_npz_has(&r->npz, "format") &&
        (io_npz_has(&r->npz, "vertices") || io_npz_has(&r->npz, "v_template")))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: is a head model; expected a head that was saved as .headsds. Load it "
                         "with HeadModel.load",
                         r->path);
    hds_status status = need_text(r, "format", &format);
    r->with_offsets = status == HDS_OK && strcmp(format, WITH_OFFSETS) == 0;
    if (status == HDS_OK && !r->with_offsets && strcmp(format, FORMAT) != 0)
        status = hds_raise(r->error, HDS_ERROR_FORMAT,
                           "%s: format '%s', expected '%s' or '%s'; a newer headsds may read it",
                           r->path, format, FORMAT, WITH_OFFSETS);
    hds_free(format);
    if (status == HDS_OK)
        status = need_text(r, "model_path", &r->model_path);
    if (status == HDS_OK)
        status = need_text(r, "model_name", &r->model_name);
    if (status == HDS_OK && io_npz_find(&r->npz, "model_uv_template"))
        status = need_text(r, "model_uv_template", &r->model_uv_template);
    if (status == HDS_OK && io_npz_find(&r->npz, "model_mean_texture"))
        status = need_text(r, "model_mean_texture", &r->model_mean_texture);
    if (status == HDS_OK && io_npz_find(&r->npz, "record"))
        status = need_text(r, "record", &r->record);
    if (status == HDS_OK)
        status = need_text(r, "prompt", &r->prompt);
    return status;
}

static hds_status read_numbers(reader *r)
{
    const io_array *counts, *topology, *shape, *expression, *pose, *offsets;
    hds_status status = need(r, "model_counts", 'u', 8, 1, COUNTS, 0, &counts);
    if (status != HDS_OK)
        return status;
    r->counts = counts->data;
    static const char *const what[COUNTS] = { "vertices", "faces",       "UVs",
                                              "shapes",   "expressions", "joints" };
    for (int i = 0; i < COUNTS; i++)
        if (r->counts[i] > INT32_MAX / 3)
            return hds_raise(r->error, HDS_ERROR_FORMAT,
                             "%s: model_counts[%d]: %llu %s, expected at most %d", r->path, i,
                             (unsigned long long)r->counts[i], what[i], INT32_MAX / 3);
    if ((status = need(r, "model_topology", 'u', 8, 0, 0, 0, &topology)) != HDS_OK ||
        (status = need(r, "shape", 'f', 4, 1, (int64_t)r->counts[3], 0, &shape)) != HDS_OK ||
        (status = need(r, "expression", 'f', 4, 1, (int64_t)r->counts[4], 0, &expression)) !=
            HDS_OK ||
        (status = need(r, "pose", 'f', 4, 2, (int64_t)r->counts[5], 3, &pose)) != HDS_OK)
        return status;
    r->topology = topology->data;
    r->shape = shape->data;
    r->expression = expression->data;
    r->pose = pose->data;
    if (io_npz_find(&r->npz, "model_base_pose")) {
        status = need(r, "model_base_pose", 'f', 4, 2, (int64_t)r->counts[5], 3, &pose);
        if (status != HDS_OK)
            return status;
        r->base_pose = pose->data;
    }
    if (r->with_offsets) {
        status = need(r, "offsets", 'f', 4, 2, (int64_t)r->counts[0], 3, &offsets);
        if (status != HDS_OK)
            return status;
        r->offsets = offsets->data;
    }
    if (io_npz_find(&r->npz, "texture")) {
        status = need(r, "texture", 'u', 1, 3, -1, -1, &r->texture);
        if (status == HDS_OK && (r->texture->shape[2] != 3 || r->texture->size == 0))
            status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s: texture: %lld channels, expected 3",
                               r->path, (long long)r->texture->shape[2]);
    }
    return status;
}

/* The name of each stage number of the history; -1: a number without one. */
static bool name_stage(const io_array *names, int32_t stage, char name[HDS_NAME])
{
    static const char *const first[] = { "geometry", "texture" };
    int64_t count = names ? names->shape[0] : 2;
    if (stage < 0 || stage >= count)
        return false;
    if (names)
        snprintf(name, HDS_NAME, "%.*s", names->itemsize,
                 (const char *)names->data + (size_t)stage * (size_t)names->itemsize);
    else
        snprintf(name, HDS_NAME, "%s", first[stage]);
    return true;
}

static hds_status read_history(reader *r)
{
    const io_array *stage, *step, *numbers, *residual = NULL;
    const io_array *names = io_npz_find(&r->npz, "stage_names");
    hds_status status = need(r, "history_stage", 'i', 4, 1, -1, 0, &stage);
    if (status != HDS_OK)
        return status;
    int64_t n = stage->shape[0];
    if ((status = need(r, "history_step", 'i', 4, 1, n, 0, &step)) != HDS_OK ||
        (status = need(r, "history_numbers", 'f', 4, 2, n, 3, &numbers)) != HDS_OK)
        return status;
    if (io_npz_find(&r->npz, "history_residual") &&
        (status = need(r, "history_residual", 'f', 4, 1, n, 0, &residual)) != HDS_OK)
        return status;
    if (names && (names->kind != 'S' || names->dims != 1))
        return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: stage_names: expected a list of names",
                         r->path);
    r->history_count = (size_t)n;
    r->history = hds_alloc(r->history_count, sizeof *r->history);
    if (!r->history)
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: out of memory", r->path);
    const float *line = numbers->data;
    for (size_t i = 0; i < r->history_count; i++, line += 3) {
        int32_t number = ((const int32_t *)stage->data)[i];
        hds_history *h = &r->history[i];
        *h = (hds_history){ .step = ((const int32_t *)step->data)[i],
                            .timestep = line[0],
                            .gradient_norm = line[1],
                            .coefficient_norm = line[2],
                            .residual = residual ? ((const float *)residual->data)[i] : 0 };
        if (!name_stage(names, number, h->stage))
            return hds_raise(r->error, HDS_ERROR_FORMAT, "%s: history_stage[%zu] is %d, no stage",
                             r->path, i, (int)number);
    }
    return HDS_OK;
}

static hds_status load_model(reader *r, hds_head_model **model)
{
    hds_head_model_params params = {
        .path = r->model_path[0] ? r->model_path : NULL,
        .shape_count = (int)r->counts[3],
        .expression_count = (int)r->counts[4],
        .uv_template = r->model_uv_template,
        .mean_texture = r->model_mean_texture,
        .base_pose = r->base_pose,
        .base_pose_count = r->base_pose ? 3 * r->counts[5] : 0,
    };
    hds_error inner = { 0 };
    hds_status status = hds_head_model_load(model, &params, &inner);
    if (status != HDS_OK)
        return hds_raise(r->error, status,
                         "%s: its head model '%s' cannot be loaded, give it instead: %.700s",
                         r->path, r->model_name, inner.message);
    return HDS_OK;
}

static hds_status check_model(reader *r, hds_head_model *model)
{
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    if (info.vertex_count == r->counts[0] && info.face_count == r->counts[1] &&
        info.uv_count == r->counts[2] && topology_hash(&info) == *r->topology &&
        info.shape_count >= r->counts[3] && info.expression_count >= r->counts[4] &&
        info.joint_count == r->counts[5])
        return HDS_OK;
    return hds_raise(
        r->error, HDS_ERROR_ARGUMENT,
        "%s: was made on the head model '%s' (%llu vertices, %llu faces, %llu shapes, %llu "
        "expressions, %llu joints), got '%s' (%zu, %zu, %zu, %zu, %zu) or other connections",
        r->path, r->model_name, (unsigned long long)r->counts[0], (unsigned long long)r->counts[1],
        (unsigned long long)r->counts[3], (unsigned long long)r->counts[4],
        (unsigned long long)r->counts[5], info.name, info.vertex_count, info.face_count,
        info.shape_count, info.expression_count, info.joint_count);
}

static hds_status check_base_pose(reader *r, const hds_head_model *model)
{
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    if (head_same_pose(r->base_pose, info.base_pose, 3 * info.joint_count))
        return HDS_OK;
    return hds_raise(
        r->error, HDS_ERROR_ARGUMENT,
        "%s: was made on the head model '%s' in another base pose; load the model with "
        "the base_pose that it had",
        r->path, r->model_name);
}

static hds_status make_head(reader *r, hds_head_model *model, hds_head **head)
{
    hds_head_params params = {
        .model = model,
        .prompt = r->prompt,
        .coefficients = { .shape = r->shape,
                          .shape_count = r->counts[3],
                          .expression = r->expression,
                          .expression_count = r->counts[4],
                          .pose = r->pose,
                          .pose_count = 3 * r->counts[5] },
        .offsets = r->offsets,
        .texture = r->texture ? r->texture->data : NULL,
        .texture_width = r->texture ? (size_t)r->texture->shape[1] : 0,
        .texture_height = r->texture ? (size_t)r->texture->shape[0] : 0,
        .history = r->history,
        .history_count = r->history_count,
        .record = r->record,
    };
    hds_error inner = { 0 };
    hds_status status = hds_head_create(head, &params, &inner);
    if (status == HDS_ERROR_ARGUMENT)
        status = HDS_ERROR_FORMAT; /* what the file holds is no head */
    return status == HDS_OK ? HDS_OK
                            : hds_raise(r->error, status, "%s: %.900s", r->path, inner.message);
}

hds_status hds_head_load(hds_head **head, const char *path, hds_head_model *model, hds_error *error)
{
    if (!head || !path || !path[0])
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a path is needed to load a head");
    *head = NULL;
    reader r = { .path = path, .error = error };
    hds_status status = io_check_archive(path, "a head that was saved as .headsds", error);
    if (status == HDS_OK)
        status = io_npz_open(&r.npz, path, 0, error);
    if (status != HDS_OK)
        return status;
    hds_head_model *own = NULL;
    if ((status = read_names(&r)) == HDS_OK && (status = read_numbers(&r)) == HDS_OK &&
        (status = read_history(&r)) == HDS_OK && !model)
        status = load_model(&r, &own);
    if (status == HDS_OK)
        status = check_model(&r, own ? own : model);
    if (status == HDS_OK)
        status = check_base_pose(&r, own ? own : model);
    if (status == HDS_OK)
        status = make_head(&r, own ? own : model, head);
    hds_head_model_unref(own);
    hds_free(r.history);
    hds_free(r.model_path);
    hds_free(r.model_uv_template);
    hds_free(r.model_mean_texture);
    hds_free(r.model_name);
    hds_free(r.prompt);
    hds_free(r.record);
    io_npz_close(&r.npz);
    return status;
}

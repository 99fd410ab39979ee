/* SPDX-License-Identifier: Apache-2.0 */
/* Our own format of head models: a .npz with the arrays that head.h lists. Others are ignored. */
#include "headfile_priv.h"
#include "io/io.h"

#include <string.h>

/* The named array if it has this kind, one of the item sizes (a set of bits: 2 | 4 | 8; 0: any) and
 * this shape; otherwise NULL and a failure. */
static const io_array *take(headfile_source *s, const char *name, char kind, int sizes, int dims,
                            const int64_t *shape)
{
    if (!s->status)
        s->status = io_npz_read(s->npz, name, s->error);
    const io_array *a = s->status ? NULL : io_npz_find(s->npz, name);
    if (!a) {
        if (!s->status)
            s->status =
                hds_raise(s->error, HDS_ERROR_FORMAT,
                          "%s: %s is missing, expected it in a headsds head model", s->path, name);
        return NULL;
    }
    bool power_of_two = a->itemsize && !(a->itemsize & (a->itemsize - 1));
    if (a->kind != kind || (sizes && !(power_of_two && (a->itemsize & sizes)))) {
        s->status = hds_raise(s->error, HDS_ERROR_FORMAT, "%s: %s: type %c%d, expected %s", s->path,
                              name, a->kind, a->itemsize,
                              kind == 'f'   ? "f2, f4 or f8"
                              : kind == 'S' ? "S (bytes)"
                              : kind == 'i' ? "i4"
                              : sizes == 1  ? "u1"
                                            : "u4");
        return NULL;
    }
    s->status = headfile_check_shape(a, name, dims, shape, 0, s->path, s->error);
    return s->status ? NULL : a;
}

static size_t count_of(const io_array *a)
{
    return a->itemsize ? a->size / (size_t)a->itemsize : 0;
}

static real *take_reals(headfile_source *s, const char *name, int dims, const int64_t *shape)
{
    const io_array *a = take(s, name, 'f', 2 | 4 | 8, dims, shape);
    real *out = a ? hds_alloc(count_of(a), sizeof *out) : NULL;
    if (!out) {
        headfile_fail_memory(s, name);
        return NULL;
    }
    for (size_t i = 0; i < count_of(a); i++) {
        float narrow;
        if (a->itemsize == 8) {
            out[i] = (real)((const double *)a->data)[i];
        } else if (a->itemsize == 4) {
            out[i] = ((const float *)a->data)[i];
        } else {
            io_to_f32((const uint16_t *)a->data + i, IO_F16, &narrow, 1);
            out[i] = narrow;
        }
    }
    return out;
}

static float *take_floats(headfile_source *s, const char *name, int dims, const int64_t *shape)
{
    real *numbers = take_reals(s, name, dims, shape);
    size_t count = numbers ? count_of(io_npz_find(s->npz, name)) : 0;
    float *out = numbers ? hds_alloc(count, sizeof *out) : NULL;
    if (!out)
        headfile_fail_memory(s, name);
    for (size_t i = 0; out && i < count; i++)
        out[i] = (float)numbers[i];
    hds_free(numbers);
    return out;
}

/* A copy of an array of integers as it is. */
static void *take_integers(headfile_source *s, const char *name, char kind, int size, int dims,
                           const int64_t *shape)
{
    const io_array *a = take(s, name, kind, size, dims, shape);
    void *out = a ? hds_alloc(a->size, 1) : NULL;
    if (out)
        memcpy(out, a->data, a->size);
    else
        headfile_fail_memory(s, name);
    return out;
}

static char *take_text(headfile_source *s, const io_array *a, size_t index)
{
    const char *from = (const char *)a->data + index * (size_t)a->itemsize;
    size_t length = strnlen(from, (size_t)a->itemsize);
    for (size_t i = length; i < (size_t)a->itemsize; i++)
        if (from[i] && !s->status)
            s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                                  "%s: %s[%zu] goes on after a zero byte, expected text", s->path,
                                  a->name, index);
    char *text = hds_alloc(length + 1, 1);
    if (text)
        memcpy(text, from, length);
    else
        headfile_fail_memory(s, a->name);
    return text;
}

static char **take_names(headfile_source *s, const char *name, size_t count)
{
    const io_array *a = take(s, name, 'S', 0, 1, (int64_t[]){ (int64_t)count });
    char **names = a ? hds_alloc(count, sizeof *names) : NULL;
    if (!names)
        headfile_fail_memory(s, name);
    for (size_t i = 0; names && i < count; i++)
        names[i] = take_text(s, a, i);
    return names;
}

static size_t rows_of(headfile_source *s, const char *name)
{
    if (!s->status)
        s->status = io_npz_read(s->npz, name, s->error);
    const io_array *a = io_npz_find(s->npz, name);
    return a && a->dims > 0 && a->shape[0] > 0 ? (size_t)a->shape[0] : 0;
}

static size_t need_rows(headfile_source *s, const char *name)
{
    size_t rows = rows_of(s, name);
    if (!rows && !s->status)
        s->status = hds_raise(s->error, HDS_ERROR_FORMAT, "%s: %s is empty, expected at least one",
                              s->path, name);
    return rows;
}

static bool any_of(const headfile_source *s, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (io_npz_has(s->npz, names[i]))
            return true;
    return false;
}

static void read_shape(headfile_source *s)
{
    head_model *m = s->model;
    const io_array *name = take(s, "name", 'S', 0, 0, NULL);
    m->name = name ? take_text(s, name, 0) : NULL;
    m->vertices = take_reals(s, "vertices", 2, (int64_t[]){ HEADFILE_ANY, 3 });
    m->vertex_count = need_rows(s, "vertices");
    m->faces = take_integers(s, "faces", 'u', 4, 2, (int64_t[]){ HEADFILE_ANY, 3 });
    m->face_count = need_rows(s, "faces");
    int64_t basis[] = { HEADFILE_ANY, (int64_t)m->vertex_count, 3 };
    m->shape_basis = take_reals(s, "shape_basis", 3, basis);
    m->shape_count = rows_of(s, "shape_basis");
    if (any_of(s, (const char *[]){ "expression_basis", "expression_names" }, 2)) {
        m->expression_basis = take_reals(s, "expression_basis", 3, basis);
        size_t count = rows_of(s, "expression_basis");
        m->expression_names = take_names(s, "expression_names", count);
        m->expression_count = m->expression_names ? count : 0;
    }
}

static void read_parts(headfile_source *s)
{
    head_model *m = s->model;
    if (!any_of(s, (const char *[]){ "part_names", "face_parts" }, 2))
        return;
    m->face_parts =
        take_integers(s, "face_parts", 'u', 4, 1, (int64_t[]){ (int64_t)m->face_count });
    size_t count = rows_of(s, "part_names");
    m->part_names = take_names(s, "part_names", count);
    m->part_count = m->part_names ? count : 0;
}

static void read_appearance(headfile_source *s)
{
    head_model *m = s->model;
    if (any_of(s, (const char *[]){ "uvs", "uv_faces" }, 2)) {
        m->uvs = take_floats(s, "uvs", 2, (int64_t[]){ HEADFILE_ANY, 2 });
        m->uv_count = rows_of(s, "uvs");
        m->uv_faces =
            take_integers(s, "uv_faces", 'u', 4, 2, (int64_t[]){ (int64_t)m->face_count, 3 });
    }
    if (!io_npz_has(s->npz, "mean_texture"))
        return;
    m->mean_texture =
        take_integers(s, "mean_texture", 'u', 1, 3, (int64_t[]){ HEADFILE_ANY, HEADFILE_ANY, 3 });
    if (m->mean_texture) {
        const io_array *texture = io_npz_find(s->npz, "mean_texture");
        m->texture_height = (size_t)texture->shape[0];
        m->texture_width = (size_t)texture->shape[1];
    }
}

static void read_attributes(headfile_source *s)
{
    head_model *m = s->model;
    if (!any_of(s, (const char *[]){ "attribute_names", "attribute_measure", "attribute_offset" },
                3))
        return;
    int64_t shapes = (int64_t)m->shape_count;
    m->attribute_measure =
        take_floats(s, "attribute_measure", 2, (int64_t[]){ HEADFILE_ANY, shapes });
    size_t count = rows_of(s, "attribute_measure");
    m->attribute_offset = take_floats(s, "attribute_offset", 1, (int64_t[]){ (int64_t)count });
    m->attribute_names = take_names(s, "attribute_names", count);
    m->attribute_count = m->attribute_names ? count : 0;
}

static void read_joints(headfile_source *s)
{
    head_model *m = s->model;
    static const char *const names[] = { "joints",       "joint_parents",
                                         "joint_names",  "joint_shape_basis",
                                         "skin_weights", "joint_expression_basis",
                                         "base_pose",    "pose_basis" };
    if (!any_of(s, names, sizeof names / sizeof *names))
        return;
    m->joints = take_reals(s, "joints", 2, (int64_t[]){ HEADFILE_ANY, 3 });
    size_t count = need_rows(s, "joints");
    int64_t joints = (int64_t)count, shapes = (int64_t)m->shape_count;
    m->joint_parents = take_integers(s, "joint_parents", 'i', 4, 1, &joints);
    m->joint_names = take_names(s, "joint_names", count);
    m->joint_count = m->joint_names ? count : 0;
    m->joint_shape_basis = take_reals(s, "joint_shape_basis", 3, (int64_t[]){ shapes, joints, 3 });
    if (io_npz_has(s->npz, "joint_expression_basis"))
        m->joint_expression_basis = take_reals(
            s, "joint_expression_basis", 3, (int64_t[]){ (int64_t)m->expression_count, joints, 3 });
    if (io_npz_has(s->npz, "pose_basis"))
        m->pose_basis = take_reals(s, "pose_basis", 3,
                                   (int64_t[]){ 9 * (joints - 1), (int64_t)m->vertex_count, 3 });
    if (io_npz_has(s->npz, "base_pose"))
        m->base_pose = take_floats(s, "base_pose", 2, (int64_t[]){ joints, 3 });
    real *weights =
        take_reals(s, "skin_weights", 2, (int64_t[]){ (int64_t)m->vertex_count, joints });
    if (weights && !s->status)
        s->status = headfile_pack_weights(m, weights, s->path, "skin_weights", s->error);
    hds_free(weights);
}

hds_status headfile_load_npz(head_model **model, const char *path, hds_error *error)
{
    io_npz npz;
    headfile_source s = { .path = path, .npz = &npz, .error = error };
    *model = NULL;
    s.status = io_npz_list(&npz, path, 0, error);
    if (!s.status && io_npz_has(&npz, "format") && io_npz_has(&npz, "model_topology")) {
        io_npz_close(&npz);
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: is a head saved as .headsds; expected a head model: load it with Head.load, "
            "and give it the ending .headsds for the command",
            path);
    }
    if (s.status)
        return s.status;
    if (io_npz_has(&npz, "v_template")) {
        s.status = headfile_from_flame(model, &s);
        io_npz_close(&npz);
        return s.status;
    }
    headfile_begin(&s, NULL);
    if (!s.status)
        read_shape(&s);
    if (!s.status)
        read_parts(&s);
    if (!s.status)
        read_appearance(&s);
    if (!s.status)
        read_joints(&s);
    if (!s.status)
        read_attributes(&s);
    io_npz_close(&npz);
    return headfile_complete(&s, model);
}

/* ---- writing ---- */

enum { MAX_ARRAYS = 24 };
typedef struct writer {
    io_array arrays[MAX_ARRAYS];
    size_t count;
    void *owned[5]; /* names and weights that were made for the file */
    size_t owned_count;
    bool failed; /* out of memory */
} writer;

static void put(writer *w, const char *name, char kind, size_t itemsize, int dims,
                const size_t *shape, const void *data)
{
    w->arrays[w->count++] = io_array_of(name, kind, itemsize, dims, shape, data);
}

static void put_names(writer *w, const char *name, char *const *names, size_t count)
{
    size_t width = 1;
    for (size_t i = 0; i < count; i++)
        width = strlen(names[i]) > width ? strlen(names[i]) : width;
    char *text = w->owned[w->owned_count++] = hds_alloc(count, width);
    w->failed |= !text;
    for (size_t i = 0; text && i < count; i++)
        memcpy(text + i * width, names[i], strlen(names[i]));
    put(w, name, 'S', width, 1, &count, text);
}

static void put_weights(writer *w, const head_model *m)
{
    real *weights = w->owned[w->owned_count++] =
        hds_alloc(m->vertex_count, m->joint_count * sizeof *weights);
    w->failed |= !weights;
    for (size_t k = 0; weights && k < m->vertex_count * m->skin_count; k++)
        weights[k / m->skin_count * m->joint_count + m->skin_joints[k]] += m->skin_weights[k];
    put(w, "skin_weights", 'f', sizeof *weights, 2, (size_t[]){ m->vertex_count, m->joint_count },
        weights);
}

hds_status headfile_save_npz(const head_model *m, const char *path, hds_error *error)
{
    writer w = { 0 };
    size_t vertices = m->vertex_count, shapes = m->shape_count, joints = m->joint_count;
    size_t expressions = m->expression_count;
    put(&w, "name", 'S', *m->name ? strlen(m->name) : 1, 0, NULL, m->name);
    put(&w, "vertices", 'f', sizeof(real), 2, (size_t[]){ vertices, 3 }, m->vertices);
    put(&w, "faces", 'u', 4, 2, (size_t[]){ m->face_count, 3 }, m->faces);
    put(&w, "shape_basis", 'f', sizeof(real), 3, (size_t[]){ shapes, vertices, 3 }, m->shape_basis);
    if (expressions) {
        put(&w, "expression_basis", 'f', sizeof(real), 3, (size_t[]){ expressions, vertices, 3 },
            m->expression_basis);
        put_names(&w, "expression_names", m->expression_names, expressions);
    }
    if (m->uv_count) {
        put(&w, "uvs", 'f', sizeof *m->uvs, 2, (size_t[]){ m->uv_count, 2 }, m->uvs);
        put(&w, "uv_faces", 'u', 4, 2, (size_t[]){ m->face_count, 3 }, m->uv_faces);
    }
    put(&w, "joints", 'f', sizeof(real), 2, (size_t[]){ joints, 3 }, m->joints);
    put(&w, "joint_parents", 'i', 4, 1, &joints, m->joint_parents);
    put_names(&w, "joint_names", m->joint_names, joints);
    put(&w, "joint_shape_basis", 'f', sizeof(real), 3, (size_t[]){ shapes, joints, 3 },
        m->joint_shape_basis);
    if (m->joint_expression_basis)
        put(&w, "joint_expression_basis", 'f', sizeof(real), 3,
            (size_t[]){ expressions, joints, 3 }, m->joint_expression_basis);
    if (m->pose_basis)
        put(&w, "pose_basis", 'f', sizeof(real), 3, (size_t[]){ 9 * (joints - 1), vertices, 3 },
            m->pose_basis);
    if (m->base_pose)
        put(&w, "base_pose", 'f', sizeof *m->base_pose, 2, (size_t[]){ joints, 3 }, m->base_pose);
    put_weights(&w, m);
    if (m->mean_texture)
        put(&w, "mean_texture", 'u', 1, 3, (size_t[]){ m->texture_height, m->texture_width, 3 },
            m->mean_texture);
    if (m->face_parts) {
        put_names(&w, "part_names", m->part_names, m->part_count);
        put(&w, "face_parts", 'u', 4, 1, &m->face_count, m->face_parts);
    }
    if (m->attribute_count) {
        size_t shape[] = { m->attribute_count, shapes };
        put_names(&w, "attribute_names", m->attribute_names, m->attribute_count);
        put(&w, "attribute_measure", 'f', sizeof *m->attribute_measure, 2, shape,
            m->attribute_measure);
        put(&w, "attribute_offset", 'f', sizeof *m->attribute_offset, 1, shape,
            m->attribute_offset);
    }
    hds_status status = w.failed
                            ? hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory to write it", path)
                            : io_npz_write(path, w.arrays, w.count, error);
    for (size_t i = 0; i < w.owned_count; i++)
        hds_free(w.owned[i]);
    return status;
}

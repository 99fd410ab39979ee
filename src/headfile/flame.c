/* SPDX-License-Identifier: Apache-2.0 */
/* FLAME's own files: a pickle of Python 2 or 3 with chumpy and scipy objects, or an .npz of the
 * same names. UVs and mean texture lie in other files (looks.c).
 *
 *   v_template (V,3)  shapedirs (V,3,S+E)  posedirs (V,3,9(J-1))  weights (V,J)  f (F,3)
 *   J_regressor (J,V): joints = J_regressor vertices, so that joints follow shape and expression
 *   kintree_table (2,J): parents, joints
 *
 * Li et al., "Learning a model of facial shape and expression from 4D scans", 2017. */
#include "headfile_priv.h"
#include "io/io.h"

#include <math.h>
#include <string.h>

enum { SHAPES = 300 /* of the columns of shapedirs; the rest are expressions */ };

/* What such a pickle may ask for: chumpy's arrays; sparse matrices by column, by row and by
 * coordinates, under the names that they have had since SciPy 1.8 and before; NumPy's matrices. */
enum { CHUMPY, BY_COLUMN, BY_ROW = 5, BY_COORDINATES = 9, AFTER_SPARSE = 13 };
static const char *const globals[] = {
    [CHUMPY] = "chumpy.ch.Ch",          [BY_COLUMN] = "scipy.sparse.csc.csc_matrix",
    "scipy.sparse._csc.csc_matrix",     "scipy.sparse._csc.csc_array",
    "scipy.sparse._arrays.csc_array",   [BY_ROW] = "scipy.sparse.csr.csr_matrix",
    "scipy.sparse._csr.csr_matrix",     "scipy.sparse._csr.csr_array",
    "scipy.sparse._arrays.csr_array",   [BY_COORDINATES] = "scipy.sparse.coo.coo_matrix",
    "scipy.sparse._coo.coo_matrix",     "scipy.sparse._coo.coo_array",
    "scipy.sparse._arrays.coo_array",   [AFTER_SPARSE] = "numpy.matrix",
    "numpy.matrixlib.defmatrix.matrix", NULL,
};

/* An array as doubles. */
typedef struct table {
    double *numbers; /* owned, or NULL */
    int64_t shape[3];
} table;

static table from_array(headfile_source *s, const char *name, const io_array *a, int dims,
                        const int64_t *shape)
{
    table t = { 0 };
    if (!s->status)
        s->status = headfile_check_array(a, name, dims, shape, s->path, s->error);
    if (s->status)
        return t;
    size_t count = a->size / (size_t)a->itemsize;
    memcpy(t.shape, a->shape, (size_t)dims * sizeof *t.shape);
    t.numbers = hds_alloc(count, sizeof *t.numbers);
    if (!t.numbers)
        headfile_fail_memory(s, name);
    for (size_t i = 0; t.numbers && i < count; i++) {
        t.numbers[i] = io_number(a, i);
        if (!isfinite((float)t.numbers[i]))
            headfile_fail_number(s, name, dims, t.shape, i, t.numbers[i],
                                 "a finite number, within a float's range");
    }
    return t;
}

static table from_value(headfile_source *s, const char *name, const io_value *value, int dims,
                        const int64_t *shape)
{
    io_array a;
    table t = { 0 };
    if (value && io_value_is_of(value, globals[CHUMPY]))
        value = io_value_get(value, "x");
    if (!value) {
        headfile_fail(s, HDS_ERROR_FORMAT, name, "missing, expected it in a FLAME model");
        return t;
    }
    char *where = hds_format("%s: %s", s->path, name);
    if (where)
        s->status = io_value_array(&a, value, where, s->error);
    else
        headfile_fail(s, HDS_ERROR_MEMORY, name, "no memory for its name");
    hds_free(where);
    if (s->status)
        return t;
    t = from_array(s, name, &a, dims, shape);
    hds_free(a.data);
    return t;
}

static table take(headfile_source *s, const char *name, int dims, const int64_t *shape)
{
    if (s->status)
        return (table){ 0 };
    if (s->root)
        return from_value(s, name, io_value_get(s->root, name), dims, shape);
    s->status = io_npz_read(s->npz, name, s->error);
    if (s->status)
        return (table){ 0 };
    const io_array *a = io_npz_find(s->npz, name);
    if (a)
        return from_array(s, name, a, dims, shape);
    headfile_fail(s, HDS_ERROR_FORMAT, name, "missing, expected it in a FLAME model");
    return (table){ 0 };
}

/* data, indices and indptr of a compressed matrix -> dense (rows, columns) */
static table expand_sparse(headfile_source *s, const io_value *matrix, bool by_column, int64_t rows,
                           int64_t columns)
{
    static const char name[] = "J_regressor";
    const int64_t lines = by_column ? columns : rows, across = by_column ? rows : columns;
    table data = from_value(s, "J_regressor.data", io_value_get(matrix, "data"), 1,
                            (int64_t[]){ HEADFILE_ANY });
    table indices = { 0 }, starts = { 0 }, dense = { .shape = { rows, columns } };
    if (!s->status)
        indices =
            from_value(s, "J_regressor.indices", io_value_get(matrix, "indices"), 1, data.shape);
    if (!s->status)
        starts = from_value(s, "J_regressor.indptr", io_value_get(matrix, "indptr"), 1,
                            (int64_t[]){ lines + 1 });
    if (!s->status && !(dense.numbers = hds_alloc((size_t)(rows * columns), sizeof(double))))
        headfile_fail_memory(s, name);
    for (int64_t l = 0; !s->status && l < lines; l++) {
        double first = starts.numbers[l], end = starts.numbers[l + 1];
        if (!(first >= 0 && first <= end && end <= (double)data.shape[0]) ||
            first != floor(first) || end != floor(end))
            headfile_fail_number(s, "J_regressor.indptr", 1, starts.shape,
                                 (size_t)l + (first == floor(first)),
                                 first == floor(first) ? end : first,
                                 "whole numbers that rise from 0 to the count of its data");
        for (int64_t i = (int64_t)first; !s->status && i < (int64_t)end; i++) {
            double place = indices.numbers[i];
            if (!headfile_is_index(place, (double)across))
                headfile_fail_number(s, "J_regressor.indices", 1, indices.shape, (size_t)i, place,
                                     by_column ? "a whole number, 0 or more, below the joints"
                                               : "a whole number, 0 or more, below the vertices");
            else if (by_column)
                dense.numbers[(int64_t)place * columns + l] += data.numbers[i];
            else
                dense.numbers[l * columns + (int64_t)place] += data.numbers[i];
        }
    }
    hds_free(data.numbers);
    hds_free(indices.numbers);
    hds_free(starts.numbers);
    return dense;
}

/* Data and their row and column (in SciPy 1.13 and later a tuple of the two) -> dense; what has the
 * same place is added up. */
static table expand_coordinates(headfile_source *s, const io_value *matrix, int64_t rows,
                                int64_t columns)
{
    const io_value *pair = io_value_get(matrix, "coords");
    bool paired = pair && pair->kind == IO_VALUE_TUPLE && pair->count == 2;
    table data = from_value(s, "J_regressor.data", io_value_get(matrix, "data"), 1,
                            (int64_t[]){ HEADFILE_ANY });
    table row = { 0 }, column = { 0 }, dense = { .shape = { rows, columns } };
    if (!s->status)
        row = from_value(s, "J_regressor.row",
                         paired ? pair->items[0] : io_value_get(matrix, "row"), 1, data.shape);
    if (!s->status)
        column = from_value(s, "J_regressor.col",
                            paired ? pair->items[1] : io_value_get(matrix, "col"), 1, data.shape);
    if (!s->status && !(dense.numbers = hds_alloc((size_t)(rows * columns), sizeof(double))))
        headfile_fail_memory(s, "J_regressor");
    for (size_t i = 0; !s->status && i < (size_t)data.shape[0]; i++) {
        if (!headfile_is_index(row.numbers[i], (double)rows))
            headfile_fail_number(s, "J_regressor.row", 1, row.shape, i, row.numbers[i],
                                 "a whole number, 0 or more, below the joints");
        else if (!headfile_is_index(column.numbers[i], (double)columns))
            headfile_fail_number(s, "J_regressor.col", 1, column.shape, i, column.numbers[i],
                                 "a whole number, 0 or more, below the vertices");
        else
            dense.numbers[(int64_t)row.numbers[i] * columns + (int64_t)column.numbers[i]] +=
                data.numbers[i];
    }
    hds_free(data.numbers);
    hds_free(row.numbers);
    hds_free(column.numbers);
    return dense;
}

static table take_regressor(headfile_source *s, int64_t joints, int64_t vertices)
{
    const io_value *value = s->root ? io_value_get(s->root, "J_regressor") : NULL;
    for (int i = BY_COLUMN; value && !s->status && i < AFTER_SPARSE; i++)
        if (io_value_is_of(value, globals[i]))
            return i < BY_COORDINATES ? expand_sparse(s, value, i < BY_ROW, joints, vertices)
                                      : expand_coordinates(s, value, joints, vertices);
    return take(s, "J_regressor", 2, (int64_t[]){ joints, vertices });
}

static real *copy_reals(headfile_source *s, const char *name, const double *numbers, size_t count)
{
    real *out = numbers ? hds_alloc(count, sizeof *out) : NULL;
    if (!out)
        headfile_fail_memory(s, name);
    for (size_t i = 0; out && i < count; i++)
        out[i] = (real)numbers[i];
    return out;
}

/* dirs (V,3,n), columns [first, first + count) -> (count,V,3) */
static real *take_columns(headfile_source *s, const char *name, const table *dirs, size_t first,
                          size_t count)
{
    size_t rows = 3 * (size_t)dirs->shape[0], n = (size_t)dirs->shape[2];
    real *out = dirs->numbers ? hds_alloc(count, rows * sizeof *out) : NULL;
    if (!out)
        headfile_fail_memory(s, name);
    for (size_t r = 0; out && r < rows; r++)
        for (size_t k = 0; k < count; k++)
            out[k * rows + r] = (real)dirs->numbers[r * n + first + k];
    return out;
}

/* regressor (J,V) of each of `count` fields (V,3) -> (count,J,3) */
static real *regress(headfile_source *s, const table *regressor, const real *fields, size_t count)
{
    size_t joints = (size_t)regressor->shape[0], vertices = (size_t)regressor->shape[1];
    real *out = regressor->numbers && fields ? hds_alloc(count * joints, 3 * sizeof *out) : NULL;
    if (!out)
        headfile_fail(s, HDS_ERROR_MEMORY, "J_regressor", "no memory for its joints");
    for (size_t i = 0; out && i < count * joints; i++) {
        const double *weights = regressor->numbers + i % joints * vertices;
        const real *field = fields + i / joints * 3 * vertices;
        double sum[3] = { 0 };
        for (size_t v = 0; v < vertices; v++)
            for (int c = 0; c < 3 && weights[v] != 0; c++)
                sum[c] += weights[v] * (double)field[3 * v + (size_t)c];
        for (int c = 0; c < 3; c++)
            out[3 * i + (size_t)c] = (real)sum[c];
    }
    return out;
}

static void read_shape(headfile_source *s)
{
    head_model *m = s->model;
    table vertices = take(s, "v_template", 2, (int64_t[]){ HEADFILE_ANY, 3 });
    table faces = take(s, "f", 2, (int64_t[]){ HEADFILE_ANY, 3 });
    table dirs = take(s, "shapedirs", 3, (int64_t[]){ vertices.shape[0], 3, HEADFILE_ANY });
    if (!s->status) {
        m->vertex_count = (size_t)vertices.shape[0];
        m->vertices = copy_reals(s, "v_template", vertices.numbers, 3 * m->vertex_count);
        m->face_count = (size_t)faces.shape[0];
        m->faces = headfile_take_faces(s, "f", faces.numbers, faces.shape, m->vertex_count,
                                       "a whole number below the count of v_template");
        m->shape_count = dirs.shape[2] < SHAPES ? (size_t)dirs.shape[2] : SHAPES;
        m->shape_basis = take_columns(s, "shapedirs", &dirs, 0, m->shape_count);
        size_t expressions = (size_t)dirs.shape[2] - m->shape_count;
        m->expression_basis = take_columns(s, "shapedirs", &dirs, m->shape_count, expressions);
        headfile_number_expressions(s, "shapedirs", expressions);
    }
    hds_free(vertices.numbers);
    hds_free(faces.numbers);
    hds_free(dirs.numbers);
}

/* Of the root: -1, or the same as an unsigned number. */
static void take_parents(headfile_source *s, const table *tree)
{
    head_model *m = s->model;
    size_t joints = (size_t)tree->shape[1];
    m->joint_parents = hds_alloc(joints, sizeof *m->joint_parents);
    if (!m->joint_parents)
        headfile_fail_memory(s, "kintree_table");
    for (size_t j = 0; m->joint_parents && j < joints; j++) {
        double parent = tree->numbers[j];
        if (j > 0 && !headfile_is_index(parent, (double)j))
            headfile_fail_number(s, "kintree_table", 2, tree->shape, j, parent, "an earlier joint");
        if (j == 0 && parent >= 0 && parent < UINT32_MAX)
            headfile_fail_number(s, "kintree_table", 2, tree->shape, j, parent,
                                 "-1 or 4294967295: joint 0 is the root");
        m->joint_parents[j] = j && !s->status ? (int32_t)parent : -1;
    }
}

static void read_joints(headfile_source *s)
{
    static const char *const names[] = { "root", "neck", "jaw", "eye_left", "eye_right" };
    head_model *m = s->model;
    table tree = take(s, "kintree_table", 2, (int64_t[]){ 2, HEADFILE_ANY });
    size_t joints = (size_t)tree.shape[1];
    int64_t vertices = (int64_t)m->vertex_count;
    if (!s->status && joints > m->vertex_count) /* else those of all components know no bound */
        s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                              "%s: kintree_table: %zu joints, expected at most %zu, the vertices",
                              s->path, joints, m->vertex_count);
    table weights = take(s, "weights", 2, (int64_t[]){ vertices, (int64_t)joints });
    table regressor = { 0 }, dirs = { 0 };
    if (!s->status)
        regressor = take_regressor(s, (int64_t)joints, vertices);
    if (joints > 1)
        dirs = take(s, "posedirs", 3, (int64_t[]){ vertices, 3, 9 * ((int64_t)joints - 1) });
    if (!s->status) {
        m->joints = regress(s, &regressor, m->vertices, 1);
        m->joint_shape_basis = regress(s, &regressor, m->shape_basis, m->shape_count);
        if (m->expression_count)
            m->joint_expression_basis =
                regress(s, &regressor, m->expression_basis, m->expression_count);
        if (joints > 1)
            m->pose_basis = take_columns(s, "posedirs", &dirs, 0, 9 * (joints - 1));
        take_parents(s, &tree);
        m->joint_names = hds_alloc(joints, sizeof *m->joint_names);
        for (size_t j = 0; m->joint_names && j < joints; j++)
            if ((m->joint_names[j] =
                     joints == 5 ? hds_strdup(names[j]) : hds_format("joint_%zu", j)))
                m->joint_count++;
        if (m->joint_count < joints)
            headfile_fail(s, HDS_ERROR_MEMORY, "kintree_table", "no memory for names");
        real *dense = copy_reals(s, "weights", weights.numbers, m->vertex_count * joints);
        if (!s->status)
            s->status = headfile_pack_weights(m, dense, s->path, "weights", s->error);
        hds_free(dense);
    }
    hds_free(tree.numbers);
    hds_free(weights.numbers);
    hds_free(regressor.numbers);
    hds_free(dirs.numbers);
}

hds_status headfile_from_flame(head_model **model, headfile_source *s)
{
    headfile_begin(s, "FLAME");
    if (!s->status)
        s->model->is_flame = true;
    if (!s->status)
        read_shape(s);
    if (!s->status)
        read_joints(s);
    return headfile_complete(s, model);
}

hds_status headfile_load_flame(head_model **model, const char *path, hds_error *error)
{
    io_pickle pickle;
    *model = NULL;
    hds_status status = io_pickle_open(&pickle, path, globals, error);
    if (status)
        return status;
    headfile_source s = { .path = path, .root = pickle.root, .error = error };
    if (pickle.root->kind != IO_VALUE_DICT)
        status =
            hds_raise(error, HDS_ERROR_FORMAT,
                      "%s: holds no dict, expected FLAME's, with v_template, shapedirs ...", path);
    else
        status = headfile_from_flame(model, &s);
    io_pickle_close(&pickle);
    return status;
}

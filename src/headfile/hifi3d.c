/* SPDX-License-Identifier: Apache-2.0 */
/* HIFI3D and HIFI3D++: one MATLAB file with a full head of 20481 vertices.
 *
 *   mu_shape (1,3V)  basis_shape (S,3V)  EVs (S,1)  basis_exp (E,3V): x, y, z of vertex 0, of 1 ...
 *   tri (F,3), vt_list (T,2), tri_vt (F,3): indices from 0, v up
 *   v = 0.01 (mu_shape - mean + sum_k shape_k s_k basis_shape_k + sum_k expression_k basis_exp_k)
 *
 * in metres, where the files have centimetres. Its authors draw coefficients from N(0,1), so the
 * rows of HIFI3D's basis_shape are standard deviations as they are, s = 1. Where they are unit
 * vectors instead, s = sqrt(EVs): the variances, which HIFI3D++ alone has. As its users do, the
 * head is put around the origin.
 *
 * Bao et al., "High-fidelity 3D digital human head creation from RGB-D selfies", 2021; Chai et al.,
 * "REALY: rethinking the evaluation of 3D face reconstruction", 2022. */
#include "headfile_priv.h"
#include "io/io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const double metres = 0.01;
static const double unit_tolerance = 0.01; /* of the length of a row */

static const char *const needed[] = { "mu_shape", "basis_shape", "tri" };
enum { NEEDED = sizeof needed / sizeof *needed, LISTED = 400 };
enum { AT_ONCE = 16 }; /* columns that are turned to rows, for the cache */

/* An array of `rows` and `columns` (HEADFILE_ANY: one or more), column by column; data is owned. */
static io_array take(headfile_source *s, const char *name, int64_t rows, int64_t columns)
{
    io_array a = { 0 };
    if (!s->status)
        s->status = io_mat_read(&a, s->mat, name, s->error);
    if (s->status)
        return a;
    s->status =
        headfile_check_shape(&a, name, 2, (int64_t[]){ rows, columns }, 1, s->path, s->error);
    if (!s->status)
        return a;
    hds_free(a.data);
    return (io_array){ 0 };
}

/* Element (row, column); refuses by place what is not finite. */
static double number_at(headfile_source *s, const char *name, const io_array *a, size_t row,
                        size_t column)
{
    double number = io_number(a, row + column * (size_t)a->shape[0]);
    if (!isfinite(number))
        headfile_fail_number(s, name, 2, a->shape, row * (size_t)a->shape[1] + column, number,
                             "a finite number");
    return number;
}

/* scale_k times row k of a (n,3V), in metres; scale NULL: 1. */
static real *take_rows(headfile_source *s, const char *name, const io_array *a, const double *scale)
{
    size_t rows = (size_t)a->shape[0], columns = (size_t)a->shape[1];
    real *out = a->data && !s->status ? hds_alloc(rows, columns * sizeof *out) : NULL;
    if (!out)
        headfile_fail_memory(s, name);
    for (size_t first = 0; out && !s->status && first < columns; first += AT_ONCE)
        for (size_t k = 0; k < rows; k++)
            for (size_t c = first; c < first + AT_ONCE && c < columns; c++)
                out[k * columns + c] =
                    (real)(metres * (scale ? scale[k] : 1) * number_at(s, name, a, k, c));
    return out;
}

static void read_template(headfile_source *s)
{
    head_model *m = s->model;
    io_array mu = take(s, "mu_shape", 1, HEADFILE_ANY);
    size_t count = mu.data ? (size_t)mu.shape[1] : 0;
    double mean[3] = { 0 };
    if (!s->status && count % 3)
        s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                              "%s: mu_shape: %zu numbers, expected three a vertex", s->path, count);
    m->vertex_count = count / 3;
    m->vertices = hds_alloc(count, sizeof *m->vertices);
    if (!m->vertices)
        headfile_fail_memory(s, "mu_shape");
    for (size_t i = 0; !s->status && i < count; i++)
        mean[i % 3] += number_at(s, "mu_shape", &mu, 0, i) / (double)m->vertex_count;
    for (size_t i = 0; !s->status && i < count; i++)
        m->vertices[i] = (real)(metres * (io_number(&mu, i) - mean[i % 3]));
    hds_free(mu.data);
}

/* The variances of `count` shape components as deviations. */
static void take_deviations(headfile_source *s, double *out, size_t count)
{
    if (!io_mat_has(s->mat, "EVs"))
        s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                              "%s: EVs is missing, expected the variances of basis_shape, whose "
                              "rows are unit vectors",
                              s->path);
    io_array variances = take(s, "EVs", (int64_t)count, 1);
    for (size_t k = 0; !s->status && k < count; k++) {
        double variance = number_at(s, "EVs", &variances, k, 0);
        out[k] = sqrt(variance);
        if (!s->status && variance < 0)
            s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                                  "%s: EVs[%zu,0] is %g, expected a variance, 0 or more", s->path,
                                  k, variance);
    }
    hds_free(variances.data);
}

/* What each row of basis_shape (S,3V) is to be multiplied by; new. */
static double *take_scales(headfile_source *s, const io_array *basis)
{
    size_t rows = (size_t)basis->shape[0], count = rows * (size_t)basis->shape[1];
    double *scales = hds_alloc(rows, sizeof *scales);
    bool units = true;
    if (!scales)
        headfile_fail_memory(s, "basis_shape");
    for (size_t i = 0; scales && i < count; i++)
        scales[i % rows] += io_number(basis, i) * io_number(basis, i);
    for (size_t k = 0; scales && k < rows; k++) {
        units = units && fabs(sqrt(scales[k]) - 1) < unit_tolerance;
        scales[k] = 1;
    }
    if (scales && units)
        take_deviations(s, scales, rows);
    return scales;
}

static void read_components(headfile_source *s)
{
    head_model *m = s->model;
    int64_t numbers = 3 * (int64_t)m->vertex_count;
    io_array shape = take(s, "basis_shape", HEADFILE_ANY, numbers);
    if (s->status)
        return;
    double *scales = take_scales(s, &shape);
    m->shape_basis = take_rows(s, "basis_shape", &shape, scales);
    m->shape_count = (size_t)shape.shape[0];
    hds_free(scales);
    hds_free(shape.data);
    if (s->status || !io_mat_has(s->mat, "basis_exp"))
        return;
    io_array expressions = take(s, "basis_exp", HEADFILE_ANY, numbers);
    size_t count = s->status ? 0 : (size_t)expressions.shape[0];
    m->expression_basis = take_rows(s, "basis_exp", &expressions, NULL);
    headfile_number_expressions(s, "basis_exp", count);
    hds_free(expressions.data);
}

/* (F,3) indices below `limit`. */
static uint32_t *take_faces(headfile_source *s, const char *name, int64_t count, size_t limit,
                            size_t *face_count)
{
    io_array a = take(s, name, count, 3);
    *face_count = a.data ? (size_t)a.shape[0] : 0;
    double *numbers = a.data ? hds_alloc(*face_count, 3 * sizeof *numbers) : NULL;
    if (!numbers)
        headfile_fail_memory(s, name);
    for (size_t i = 0; !s->status && i < 3 * *face_count; i++)
        numbers[i] = number_at(s, name, &a, i / 3, i % 3);
    char expected[64];
    snprintf(expected, sizeof expected, "a whole number from 0 to %zu", limit - 1);
    uint32_t *out = headfile_take_faces(s, name, numbers, a.shape, limit, expected);
    hds_free(numbers);
    hds_free(a.data);
    return out;
}

static void read_faces(headfile_source *s)
{
    head_model *m = s->model;
    size_t count;
    m->faces = take_faces(s, "tri", HEADFILE_ANY, m->vertex_count, &m->face_count);
    if (s->status || (!io_mat_has(s->mat, "vt_list") && !io_mat_has(s->mat, "tri_vt")))
        return;
    io_array uvs = take(s, "vt_list", HEADFILE_ANY, 2);
    m->uv_count = uvs.data ? (size_t)uvs.shape[0] : 0;
    m->uvs = hds_alloc(m->uv_count, 2 * sizeof *m->uvs);
    if (!m->uvs)
        headfile_fail_memory(s, "vt_list");
    for (size_t i = 0; !s->status && i < 2 * m->uv_count; i++)
        m->uvs[i] = (float)number_at(s, "vt_list", &uvs, i / 2, i % 2);
    m->uv_faces = take_faces(s, "tri_vt", (int64_t)m->face_count, m->uv_count, &count);
    hds_free(uvs.data);
}

/* What the file lacks, and what it has. */
static hds_status check_names(const headfile_source *s)
{
    char lacks[LISTED] = "", has[LISTED] = "";
    size_t used = 0;
    for (int i = 0; i < NEEDED; i++)
        if (!io_mat_has(s->mat, needed[i]))
            used += (size_t)snprintf(lacks + used, sizeof lacks - used, "%s%s", used ? ", " : "",
                                     needed[i]);
    if (!used)
        return HDS_OK;
    used = 0;
    for (size_t i = 0; i < s->mat->count && used + IO_MAT_NAME + 8 < sizeof has; i++)
        used += (size_t)snprintf(has + used, sizeof has - used, "%s%s", used ? ", " : "",
                                 s->mat->variables[i].name);
    return hds_raise(s->error, HDS_ERROR_FORMAT,
                     "%s: no %s in it, which HIFI3D's and HIFI3D++'s models have; it has %s",
                     s->path, lacks, used ? has : "nothing");
}

hds_status headfile_load_hifi3d(head_model **model, const char *path, hds_error *error)
{
    io_mat mat;
    headfile_source s = { .path = path, .mat = &mat, .error = error };
    *model = NULL;
    s.status = io_mat_open(&mat, path, error);
    if (s.status)
        return s.status;
    s.status = check_names(&s);
    headfile_begin(&s, io_mat_has(&mat, "EVs") ? "HIFI3D++" : "HIFI3D");
    if (!s.status)
        read_template(&s);
    if (!s.status)
        read_components(&s);
    if (!s.status)
        read_faces(&s);
    io_mat_close(&mat);
    return headfile_complete(&s, model);
}

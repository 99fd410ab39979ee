/* SPDX-License-Identifier: Apache-2.0 */
/* What of a mesh the model explains: with y (V,3) the mesh, x(c) = template + sum_k c_k B_k the
 * model at rest and z_i = s R y_i + t the mesh brought to it,
 *
 *   min over c, s, R, t of  sum_i |x_i(c) - z_i|^2 / (V TOLERANCE^2) + |c|^2
 *
 * In turns: the coefficients by the normal equations, in which the similarity may give way to first
 * order (else shape and size would wait for each other for ever), then the similarity itself for
 * the new x (Umeyama 1991), until both stand still. What is left is the offsets. */
#include "head/head.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

/* Metres, root mean square over the vertices: a misfit that costs as much as one standard
 * deviation. */
static const double TOLERANCE = 5e-5;
static const double STILL = 1e-6; /* change of a coefficient */
enum { MOST_ROUNDS = 100, SHIFTS = 7, COLUMNS = SHIFTS + 1 };

typedef struct fitter {
    const head_model *m;
    size_t count, row; /* coefficients; 3V */
    real *given;       /* (V,3) */
    double *x;         /* (V,3) the model */
    double *columns;   /* (8,3V) what moves z: along, about and away from its mean; z - template */
    double *gram;      /* (K,K) B B^T */
    double *dots;      /* (K,8) of bases and columns */
    double *normal;    /* (K+7,K+7) */
    double *right;     /* (K+7) */
    double *c;         /* (K) shape, then expression */
    math_similarity where;
    bool mirrored; /* against the template: what is fitted may turn inside out to follow */
} fitter;

static const real *basis(const fitter *f, size_t k)
{
    const head_model *m = f->m;
    return k < m->shape_count ? m->shape_basis + f->row * k
                              : m->expression_basis + f->row * (k - m->shape_count);
}

static void gram_row(void *context, size_t i)
{
    fitter *f = context;
    const real *a = basis(f, i);
    for (size_t j = 0; j <= i; j++) {
        const real *b = basis(f, j);
        double sum = 0;
        for (size_t k = 0; k < f->row; k++)
            sum += (double)a[k] * b[k];
        f->gram[i * f->count + j] = f->gram[j * f->count + i] = sum;
    }
}

static void dot_row(void *context, size_t i)
{
    fitter *f = context;
    const real *a = basis(f, i);
    for (size_t j = 0; j < COLUMNS; j++) {
        const double *column = f->columns + j * f->row;
        double sum = 0;
        for (size_t k = 0; k < f->row; k++)
            sum += a[k] * column[k];
        f->dots[i * COLUMNS + j] = sum;
    }
}

static void evaluate(fitter *f)
{
    for (size_t i = 0; i < f->row; i++)
        f->x[i] = f->m->vertices[i];
    for (size_t k = 0; k < f->count; k++) {
        const real *b = basis(f, k);
        for (size_t i = 0; i < f->row; i++)
            f->x[i] += f->c[k] * b[i];
    }
}

/* The similarity that brings the mesh nearest to x. */
static bool place(fitter *f)
{
    math_pairs pairs = { 0 };
    for (size_t i = 0; i < f->row; i += 3) {
        const real x[3] = { (real)f->x[i], (real)f->x[i + 1], (real)f->x[i + 2] };
        math_pairs_add(&pairs, 1, f->given + i, x);
    }
    return math_similarity_fit(&pairs, &f->where);
}

static void set_columns(fitter *f)
{
    double *z = f->columns + SHIFTS * f->row, mean[3] = { 0 };
    for (size_t i = 0; i < f->row; i += 3) {
        math_similarity_point(&f->where, f->given + i, z + i);
        for (int k = 0; k < 3; k++)
            mean[k] += 3 * z[i + k] / (double)f->row;
    }
    for (size_t i = 0; i < f->row; i += 3) {
        double from[3] = { z[i] - mean[0], z[i + 1] - mean[1], z[i + 2] - mean[2] };
        for (size_t k = 0; k < 3; k++) {
            size_t next = (k + 1) % 3, last = (k + 2) % 3;
            f->columns[k * f->row + i + k] = 1;
            f->columns[(3 + k) * f->row + i + last] = from[next]; /* e_k x from */
            f->columns[(3 + k) * f->row + i + next] = -from[last];
            f->columns[6 * f->row + i + k] = from[k];
            z[i + k] -= f->m->vertices[i + k];
        }
    }
}

static double column_dot(const fitter *f, size_t i, size_t j)
{
    const double *a = f->columns + i * f->row, *b = f->columns + j * f->row;
    double sum = 0;
    for (size_t k = 0; k < f->row; k++)
        sum += a[k] * b[k];
    return sum;
}

/* [B B^T w + 1, -B G^T w; -G B^T w, G G^T w] (c, shift) = (B d w, -G d w) */
static bool solve(fitter *f)
{
    size_t count = f->count, n = count + SHIFTS;
    double weight = 3 / ((double)f->row * TOLERANCE * TOLERANCE);
    set_columns(f);
    threads_parallel(count, dot_row, f);
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < count; j++)
            f->normal[i * n + j] = weight * f->gram[i * count + j] + (i == j);
        for (size_t j = 0; j < SHIFTS; j++)
            f->normal[i * n + count + j] = f->normal[(count + j) * n + i] =
                -weight * f->dots[i * COLUMNS + j];
        f->right[i] = weight * f->dots[i * COLUMNS + SHIFTS];
    }
    for (size_t i = 0; i < SHIFTS; i++) {
        for (size_t j = 0; j < SHIFTS; j++)
            f->normal[(count + i) * n + count + j] = weight * column_dot(f, i, j);
        f->right[count + i] = -weight * column_dot(f, i, SHIFTS);
    }
    if (!math_cholesky(f->normal, n))
        return false;
    math_cholesky_solve(f->normal, n, f->right);
    return true;
}

/* False: the mesh has no extent that a similarity could be read from. */
static bool iterate(fitter *f)
{
    double change = INFINITY;
    threads_parallel(f->count, gram_row, f);
    evaluate(f);
    bool placed = place(f);
    f->mirrored = placed && f->where.mirrored;
    for (int i = 0; i < MOST_ROUNDS && placed && change > STILL; i++) {
        if (!solve(f))
            return false;
        change = 0;
        for (size_t k = 0; k < f->count; k++) {
            change = fmax(change, fabs(f->right[k] - f->c[k]));
            f->c[k] = f->right[k];
        }
        evaluate(f);
        placed = place(f);
    }
    return placed;
}

/* Into fit->offsets (V,3): its head where no joint is turned, not even by the base pose. */
static hds_status rest(const head_model *m, hds_fit *fit, hds_error *error)
{
    size_t count = m->base_pose ? 3 * m->joint_count : 0;
    float *back = hds_alloc(count, sizeof *back);
    if (!back)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for a pose of %zu joints",
                         m->joint_count);
    for (size_t i = 0; i < count; i++)
        back[i] = -m->base_pose[i];
    const hds_coefficients c = { .shape = fit->shape,
                                 .shape_count = m->shape_count,
                                 .expression = fit->expression,
                                 .expression_count = m->expression_count,
                                 .pose = back,
                                 .pose_count = count };
    hds_status status = hds_head_model_vertices(m, &c, fit->offsets, error);
    hds_free(back);
    return status;
}

/* The result in floats; the offsets are taken from these, so that nothing is lost by rounding. */
static hds_status finish(fitter *f, const hds_fit_params *params, hds_fit *fit, hds_error *error)
{
    const head_model *m = f->m;
    const math_similarity *w = &f->where;
    memset(fit->expression, 0, m->expression_count * sizeof *fit->expression);
    for (size_t k = 0; k < f->count; k++)
        *(k < m->shape_count ? fit->shape + k : fit->expression + (k - m->shape_count)) =
            (float)f->c[k];
    if (f->mirrored)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "the mesh is mirrored: flip it along one axis");
    fit->scale = (float)(1 / w->scale);
    if (!isnormal(fit->scale))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "the vertices lie %s, expected a head",
                         w->scale > 1 ? "in one point" : "too far apart");
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (int j = 0; j < 3; j++) {
            fit->rotation[3 * i + j] = (float)w->rotation[3 * j + i];
            sum -= w->rotation[3 * j + i] * w->translation[j] / w->scale;
        }
        fit->translation[i] = (float)sum;
    }
    hds_status status = rest(m, fit, error);
    double square = 0;
    for (size_t i = 0; status == HDS_OK && i < f->row; i++) {
        const float *y = params->vertices + i / 3 * 3, *r = fit->rotation + i % 3;
        double z = 0;
        for (int k = 0; k < 3; k++)
            z += (double)r[3 * k] * ((double)y[k] - fit->translation[k]) / fit->scale;
        fit->offsets[i] = (float)(z - fit->offsets[i]);
        square += (double)fit->offsets[i] * fit->offsets[i];
    }
    fit->rms = (float)sqrt(3 * square / (double)f->row);
    return status;
}

static hds_status check(const head_model *m, const hds_fit_params *params, hds_error *error)
{
    if (!params->vertices || params->vertex_count != m->vertex_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%zu vertices%s, expected the model's %zu",
                         params->vertex_count, params->vertices ? "" : " at NULL", m->vertex_count);
    for (size_t i = 0; i < 3 * m->vertex_count; i++)
        if (!isfinite(params->vertices[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "coordinate %zu of vertex %zu is not a finite number", i % 3, i / 3);
    return HDS_OK;
}

hds_status hds_head_model_fit(const hds_head_model *m, const hds_fit_params *params, hds_fit *fit,
                              hds_error *error)
{
    hds_status status = check(m, params, error);
    if (status != HDS_OK)
        return status;
    arena memory = { 0 };
    size_t count = m->shape_count + (params->expression ? m->expression_count : 0);
    size_t row = 3 * m->vertex_count, n = count + SHIFTS;
    fitter f = { .m = m,
                 .count = count,
                 .row = row,
                 .given = arena_alloc(&memory, row, sizeof *f.given),
                 .x = arena_alloc(&memory, row, sizeof *f.x),
                 .columns = arena_alloc(&memory, row, COLUMNS * sizeof *f.columns),
                 .gram = arena_alloc(&memory, count * count, sizeof *f.gram),
                 .dots = arena_alloc(&memory, count, COLUMNS * sizeof *f.dots),
                 .normal = arena_alloc(&memory, n * n, sizeof *f.normal),
                 .right = arena_alloc(&memory, n, sizeof *f.right),
                 .c = arena_alloc(&memory, count, sizeof *f.c) };
    if (!f.given || !f.x || !f.columns || !f.gram || !f.dots || !f.normal || !f.right || !f.c) {
        status = hds_raise(error, HDS_ERROR_MEMORY, "no memory to fit %zu coefficients", count);
    } else {
        for (size_t i = 0; i < row; i++)
            f.given[i] = params->vertices[i];
        status = iterate(&f) ? finish(&f, params, fit, error)
                             : hds_raise(error, HDS_ERROR_ARGUMENT,
                                         "the vertices lie in one point or on one line, expected "
                                         "a head");
    }
    arena_finish(&memory);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices from coefficients and back: blend shapes, then linear blend skinning.
 *
 *   x_i = template_i + sum_k c_k B_ki              c: shape, expression, the R_j - I; B: bases
 *   q_j = joints_j + sum_k c_k J_kj                joints follow shape and expression
 *   W_j = W_p R_j,  t_j = (W_p - W_j) q_j + t_p    p: the parent; above the root W = I, t = 0
 *   v_i = sum_j w_ij (W_j x_i + t_j)
 *
 * FLAME: Li et al., 2017, section 3. A task owns a range of vertices, small enough that what it
 * works on stays in the first-level cache while each basis streams by once. */
#include "head/head.h"

#include "math/math.h"

#include <string.h>

enum { CHUNK = 256 /* vertices a task */, GROUP = 4 /* bases a pass */, LANES = 16 };

typedef struct term {
    const real *basis; /* (V,3) */
    real weight;
} term;

typedef struct job {
    const head_model *model;
    const head_pose *saved;
    const term *terms; /* those with a weight other than 0 */
    size_t term_count;
    real *vertices;
    const real *dvertices;
    bool want_shape, want_expression, want_pose;
    real *partials; /* (chunks, S + E + P + 12 J): what each task adds */
    size_t stride;
} job;

/* P: numbers of the rotations that correct the rest shape. */
static size_t feature_count(const head_model *m)
{
    return m->pose_basis ? 9 * (m->joint_count - 1) : 0;
}

static size_t chunk_count(const head_model *m)
{
    return (m->vertex_count + CHUNK - 1) / CHUNK;
}

static size_t chunk_size(const head_model *m, size_t chunk)
{
    size_t left = m->vertex_count - chunk * CHUNK;
    return left < CHUNK ? left : CHUNK;
}

/* ---- joints ---- */

static void move_joints(const head_model *m, const real *basis, const real *weights, size_t count,
                        real *joints)
{
    for (size_t k = 0; basis && k < count; k++)
        for (size_t i = 0; i < 3 * m->joint_count; i++)
            joints[i] += weights[k] * basis[3 * m->joint_count * k + i];
}

static void place_joints(const head_model *m, const real *shape, const real *expression,
                         const real *pose, head_pose *saved)
{
    memcpy(saved->joints, m->joints, 3 * m->joint_count * sizeof(real));
    move_joints(m, m->joint_shape_basis, shape, m->shape_count, saved->joints);
    move_joints(m, m->joint_expression_basis, expression, m->expression_count, saved->joints);
    for (size_t j = 0; j < m->joint_count; j++) {
        const real *q = saved->joints + 3 * j, *parent = NULL;
        real *local = saved->rotations + 9 * j, *world = saved->transforms + 12 * j, turned[3];
        math_rotation(pose + 3 * j, local);
        if (m->joint_parents[j] < 0) {
            memcpy(world, local, 9 * sizeof(real));
            memcpy(world + 9, q, 3 * sizeof(real));
        } else {
            parent = saved->transforms + 12 * (size_t)m->joint_parents[j];
            mat3_mul(parent, local, world);
            mat3_mul_vec(parent, q, world + 9);
            vec3_add_scaled(world + 9, 1, parent + 9);
        }
        mat3_mul_vec(world, q, turned);
        vec3_add_scaled(world + 9, -1, turned);
    }
}

/* dtransforms (J,12), consumed, dfeatures (P) -> += djoints (J,3), dpose (J,3) or NULL. */
static void place_joints_adjoint(const head_model *m, const real *pose, const head_pose *saved,
                                 real *dtransforms, const real *dfeatures, real *djoints,
                                 real *dpose)
{
    for (size_t j = m->joint_count; j-- > 0;) {
        const real *q = saved->joints + 3 * j, *world = saved->transforms + 12 * j;
        real *dworld = dtransforms + 12 * j, *dt = dworld + 9, *dq = djoints + 3 * j;
        real pulled[3], dlocal[9] = { 0 };
        mat3_add_outer(dworld, -1, dt, q);
        mat3_transpose_mul_vec(world, dt, pulled);
        vec3_add_scaled(dq, -1, pulled);
        if (m->joint_parents[j] < 0) {
            memcpy(dlocal, dworld, sizeof dlocal);
            vec3_add_scaled(dq, 1, dt);
        } else {
            const real *parent = saved->transforms + 12 * (size_t)m->joint_parents[j];
            real *dparent = dtransforms + 12 * (size_t)m->joint_parents[j];
            mat3_mul_adjoint(parent, saved->rotations + 9 * j, dworld, dparent, dlocal);
            mat3_add_outer(dparent, 1, dt, q);
            vec3_add_scaled(dparent + 9, 1, dt);
            mat3_transpose_mul_vec(parent, dt, pulled);
            vec3_add_scaled(dq, 1, pulled);
        }
        for (size_t r = 0; j > 0 && r < 9 && feature_count(m); r++)
            dlocal[r] += dfeatures[9 * (j - 1) + r];
        if (dpose)
            math_rotation_adjoint(pose + 3 * j, dlocal, dpose + 3 * j);
    }
}

/* ---- blend shapes over one range of numbers ---- */

static void add_terms(real *restrict x, const term *terms, size_t count, size_t offset, size_t n)
{
    for (; count >= GROUP; count -= GROUP, terms += GROUP) {
        const real *restrict b0 = terms[0].basis + offset, *restrict b1 = terms[1].basis + offset;
        const real *restrict b2 = terms[2].basis + offset, *restrict b3 = terms[3].basis + offset;
        real c0 = terms[0].weight, c1 = terms[1].weight, c2 = terms[2].weight;
        real c3 = terms[3].weight;
        for (size_t i = 0; i < n; i++)
            x[i] += c0 * b0[i] + c1 * b1[i] + (c2 * b2[i] + c3 * b3[i]);
    }
    for (; count; count--, terms++) {
        const real *restrict basis = terms->basis + offset;
        real weight = terms->weight;
        for (size_t i = 0; i < n; i++)
            x[i] += weight * basis[i];
    }
}

/* In lanes, because the compiler may not reorder a sum by itself. */
static real dot(const real *restrict a, const real *restrict b, size_t n)
{
    real lanes[LANES] = { 0 }, sum = 0;
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (; i < n; i++)
        sum += a[i] * b[i];
    for (size_t l = 0; l < LANES; l++)
        sum += lanes[l];
    return sum;
}

/* ---- skinning ---- */

/* sum_j w_ij (W_j, t_j) */
static void blend_transforms(const head_model *m, const head_pose *saved, size_t vertex,
                             real blended[12])
{
    memset(blended, 0, 12 * sizeof(real));
    for (size_t k = vertex * m->skin_count; k < (vertex + 1) * m->skin_count; k++) {
        const real *transform = saved->transforms + 12 * (size_t)m->skin_joints[k];
        for (int i = 0; i < 12; i++)
            blended[i] += m->skin_weights[k] * transform[i];
    }
}

static void skin_chunk(void *context, size_t chunk)
{
    const job *j = context;
    const head_model *m = j->model;
    size_t first = chunk * CHUNK, count = chunk_size(m, chunk);
    real *rest = j->saved->rest + 3 * first;
    memcpy(rest, m->vertices + 3 * first, 3 * count * sizeof(real));
    add_terms(rest, j->terms, j->term_count, 3 * first, 3 * count);
    for (size_t i = 0; i < count; i++) {
        real blended[12], *v = j->vertices + 3 * (first + i);
        blend_transforms(m, j->saved, first + i, blended);
        mat3_mul_vec(blended, rest + 3 * i, v);
        vec3_add_scaled(v, 1, blended + 9);
    }
}

static void skin_adjoint_chunk(void *context, size_t chunk)
{
    const job *j = context;
    const head_model *m = j->model;
    size_t first = chunk * CHUNK, count = chunk_size(m, chunk);
    size_t shapes = m->shape_count, expressions = m->expression_count;
    real drest[3 * CHUNK], *sums = j->partials + chunk * j->stride;
    real *dfeatures = sums + shapes + expressions, *dtransforms = dfeatures + feature_count(m);
    for (size_t i = 0; i < count; i++) {
        const real *x = j->saved->rest + 3 * (first + i), *dv = j->dvertices + 3 * (first + i);
        real blended[12];
        blend_transforms(m, j->saved, first + i, blended);
        mat3_transpose_mul_vec(blended, dv, drest + 3 * i);
        for (size_t k = (first + i) * m->skin_count; k < (first + i + 1) * m->skin_count; k++) {
            real *dtransform = dtransforms + 12 * (size_t)m->skin_joints[k];
            mat3_add_outer(dtransform, m->skin_weights[k], dv, x);
            vec3_add_scaled(dtransform + 9, m->skin_weights[k], dv);
        }
    }
    size_t row = 3 * m->vertex_count, offset = 3 * first;
    for (size_t k = 0; j->want_shape && k < shapes; k++)
        sums[k] = dot(m->shape_basis + row * k + offset, drest, 3 * count);
    for (size_t k = 0; j->want_expression && k < expressions; k++)
        sums[shapes + k] = dot(m->expression_basis + row * k + offset, drest, 3 * count);
    for (size_t k = 0; j->want_pose && k < feature_count(m); k++)
        dfeatures[k] = dot(m->pose_basis + row * k + offset, drest, 3 * count);
}

/* ---- the whole ---- */

static size_t collect(const real *basis, const real *weights, size_t count, size_t row, term *terms)
{
    size_t kept = 0;
    for (size_t k = 0; k < count; k++)
        if (weights[k] != 0)
            terms[kept++] = (term){ basis + row * k, weights[k] };
    return kept;
}

bool head_skin(const head_model *m, const real *shape, const real *expression, const real *pose,
               arena *scratch, head_pose *saved, real *vertices)
{
    size_t joints = m->joint_count, row = 3 * m->vertex_count;
    saved->rest = arena_alloc(scratch, row, sizeof(real));
    saved->joints = arena_alloc(scratch, joints, 3 * sizeof(real));
    saved->rotations = arena_alloc(scratch, joints, 9 * sizeof(real));
    saved->transforms = arena_alloc(scratch, joints, 12 * sizeof(real));
    size_t features = feature_count(m);
    real *turned = arena_alloc(scratch, features, sizeof *turned);
    term *terms =
        arena_alloc(scratch, m->shape_count + m->expression_count + features, sizeof *terms);
    if (!saved->rest || !saved->joints || !saved->rotations || !saved->transforms || !turned ||
        !terms)
        return false;
    place_joints(m, shape, expression, pose, saved);
    for (size_t i = 0; i < features; i++) /* R_j - I */
        turned[i] = saved->rotations[9 + i] - (i % 9 % 4 == 0 ? 1 : 0);
    job j = { .model = m, .saved = saved, .terms = terms, .vertices = vertices };
    j.term_count = collect(m->shape_basis, shape, m->shape_count, row, terms);
    j.term_count +=
        collect(m->expression_basis, expression, m->expression_count, row, terms + j.term_count);
    j.term_count += collect(m->pose_basis, turned, features, row, terms + j.term_count);
    threads_parallel(chunk_count(m), skin_chunk, &j);
    return true;
}

/* sums[i] += partials[0][i] + partials[1][i] + ..., in this order. */
static void reduce(const job *j, size_t first, size_t count, real *sums)
{
    for (size_t i = 0; i < count; i++) {
        double sum = 0;
        for (size_t chunk = 0; chunk < chunk_count(j->model); chunk++)
            sum += j->partials[chunk * j->stride + first + i];
        sums[i] += (real)sum;
    }
}

bool head_skin_adjoint(const head_model *m, const real *shape, const real *expression,
                       const real *pose, arena *scratch, const head_pose *saved,
                       const real *dvertices, real *dshape, real *dexpression, real *dpose)
{
    arena_mark mark = arena_enter(scratch);
    size_t shapes = m->shape_count, expressions = m->expression_count, joints = m->joint_count;
    size_t features = feature_count(m);
    job j = { .model = m,
              .saved = saved,
              .dvertices = dvertices,
              .want_shape = dshape,
              .want_expression = dexpression,
              .want_pose = dpose,
              .stride = shapes + expressions + features + 12 * joints };
    j.partials = arena_alloc(scratch, chunk_count(m), j.stride * sizeof(real));
    real *dtransforms = arena_alloc(scratch, joints, 12 * sizeof(real));
    real *djoints = arena_alloc(scratch, joints, 3 * sizeof(real));
    real *dfeatures = arena_alloc(scratch, features, sizeof(real));
    if (!j.partials || !dtransforms || !djoints || !dfeatures)
        return false;
    threads_parallel(chunk_count(m), skin_adjoint_chunk, &j);
    reduce(&j, shapes + expressions, features, dfeatures);
    reduce(&j, shapes + expressions + features, 12 * joints, dtransforms);
    place_joints_adjoint(m, pose, saved, dtransforms, dfeatures, djoints, dpose);
    if (dshape)
        reduce(&j, 0, shapes, dshape);
    for (size_t k = 0; dshape && k < shapes; k++)
        dshape[k] += dot(m->joint_shape_basis + 3 * joints * k, djoints, 3 * joints);
    if (dexpression)
        reduce(&j, shapes, expressions, dexpression);
    for (size_t k = 0; dexpression && m->joint_expression_basis && k < expressions; k++)
        dexpression[k] += dot(m->joint_expression_basis + 3 * joints * k, djoints, 3 * joints);
    arena_leave(scratch, mark);
    return true;
}

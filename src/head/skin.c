/* SPDX-License-Identifier: Apache-2.0 */
/* Vertices from coefficients and back: blend shapes, then linear blend skinning, of several heads
 * of a model at a time.
 *
 *   x_i = template_i + sum_k c_k B_ki              c: shape, expression, the R_j - I; B: bases
 *   q_j = joints_j + sum_k c_k J_kj                joints follow shape and expression
 *   R_j = rotation by base_pose_j + pose_j
 *   W_j = W_p R_j,  t_j = (W_p - W_j) q_j + t_p    p: the parent; above the root W = I, t = 0
 *   v_i = sum_j w_ij (W_j x_i + t_j)
 *
 * FLAME: Li et al., 2017, section 3. A task owns a range of vertices, small enough that what it
 * works on stays in the first-level caches while each basis streams by once for all heads of a
 * batch. Sums run in an order that neither threads nor the other heads change. */
#include "head/head.h"

#include "math/math.h"

#include <string.h>

enum {
    CHUNK = 512, /* vertices a task */
    BATCH = 8,   /* heads that share a reading of the bases */
    GROUP = 4,   /* bases a pass */
    LANES = 16
};

typedef real vec4 __attribute__((vector_size(4 * sizeof(real)), may_alias));

/* A row of the bases and the place of its coefficient among the T = S + E + P. */
typedef struct term {
    const real *row; /* (V,3) */
    size_t place;
} term;

/* One batch of heads on the way through the vertices. */
typedef struct job {
    const head_model *model;
    size_t heads;
    term *
        terms; /* a multiple of GROUP; the last ones may stand for place T, which counts for none */
    size_t term_count;
    vec4 *tables; /* (heads,J,4) columns of (W_j, t_j), or (heads,J,3) its rows */
    head_pose saved;
    /* forward */
    real *coefficients; /* (heads, T + 1) */
    real *vertices;     /* (heads,V,3) or NULL */
    /* adjoint */
    const real *dvertices;
    real *partials; /* (chunks, heads, stride): rows of dW, dt (J,3,4), then T + 1 of dc */
    size_t stride;
} job;

/* P: numbers of the rotations that correct the rest shape. */
static size_t feature_count(const head_model *m)
{
    return m->pose_basis ? 9 * (m->joint_count - 1) : 0;
}

/* T */
static size_t term_count(const head_model *m)
{
    return m->shape_count + m->expression_count + feature_count(m);
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

/* base_pose_j + pose_j */
static void turn_of(const head_model *m, const real *pose, size_t joint, real sum[3])
{
    for (size_t i = 0; i < 3; i++)
        sum[i] = pose[3 * joint + i] + (m->base_pose ? (real)m->base_pose[3 * joint + i] : 0);
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
        turn_of(m, pose, j, turned);
        math_rotation(turned, local);
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
        turn_of(m, pose, j, pulled);
        if (dpose)
            math_rotation_adjoint(pulled, dlocal, dpose + 3 * j);
    }
}

/* ---- one range of vertices ---- */

static inline void add_terms(real *restrict x, const term terms[GROUP], const real *coefficients,
                             size_t offset, size_t n)
{
    const real *restrict b0 = terms[0].row + offset, *restrict b1 = terms[1].row + offset;
    const real *restrict b2 = terms[2].row + offset, *restrict b3 = terms[3].row + offset;
    real c0 = coefficients[terms[0].place], c1 = coefficients[terms[1].place];
    real c2 = coefficients[terms[2].place], c3 = coefficients[terms[3].place];
    for (size_t i = 0; i < n; i++) {
        real sum = x[i] + c0 * b0[i];
        sum += c1 * b1[i];
        sum += c2 * b2[i];
        sum += c3 * b3[i];
        x[i] = sum;
    }
}

/* In lanes, because the compiler may not reorder a sum by itself. */
static inline void take_dots(const real *restrict x, const term terms[GROUP], real *restrict sums,
                             size_t offset, size_t n)
{
    const real *restrict b0 = terms[0].row + offset, *restrict b1 = terms[1].row + offset;
    const real *restrict b2 = terms[2].row + offset, *restrict b3 = terms[3].row + offset;
    real s0[LANES] = { 0 }, s1[LANES] = { 0 }, s2[LANES] = { 0 }, s3[LANES] = { 0 };
    real total[GROUP] = { 0 };
    size_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (size_t l = 0; l < LANES; l++) {
            s0[l] += x[i + l] * b0[i + l];
            s1[l] += x[i + l] * b1[i + l];
            s2[l] += x[i + l] * b2[i + l];
            s3[l] += x[i + l] * b3[i + l];
        }
    for (; i < n; i++) {
        total[0] += x[i] * b0[i];
        total[1] += x[i] * b1[i];
        total[2] += x[i] * b2[i];
        total[3] += x[i] * b3[i];
    }
    for (size_t l = 0; l < LANES; l++) {
        total[0] += s0[l];
        total[1] += s1[l];
        total[2] += s2[l];
        total[3] += s3[l];
    }
    for (size_t g = 0; g < GROUP; g++)
        sums[terms[g].place] = total[g];
}

/* v = sum_j w_j (W_j, t_j) (x, 1); table: columns */
static inline void turn(const head_model *m, const vec4 *table, size_t first, size_t count,
                        const real *restrict x, real *restrict v)
{
    size_t pairs = m->skin_count;
    const uint32_t *joint = m->skin_joints + first * pairs;
    const real *weight = m->skin_weights + first * pairs;
    for (size_t i = 0; i < count; i++, x += 3, v += 3) {
        vec4 blended[4] = { { 0 } };
        for (size_t k = 0; k < pairs; k++, joint++, weight++)
            for (size_t c = 0; c < 4; c++)
                blended[c] += *weight * table[4 * (size_t)*joint + c];
        vec4 moved = x[0] * blended[0] + x[1] * blended[1] + x[2] * blended[2] + blended[3];
        for (size_t r = 0; r < 3; r++)
            v[r] = moved[r];
    }
}

/* x, dv -> dx, += dtable (J,3); tables: rows */
static inline void turn_adjoint(const head_model *m, const vec4 *table, size_t first, size_t count,
                                const real *restrict x, const real *restrict dv, vec4 *dtable,
                                real *restrict dx)
{
    size_t pairs = m->skin_count;
    const uint32_t *joint = m->skin_joints + first * pairs;
    const real *weight = m->skin_weights + first * pairs;
    for (size_t i = 0; i < count; i++, x += 3, dv += 3, dx += 3) {
        const vec4 from = { x[0], x[1], x[2], 1 };
        vec4 blended[3] = { { 0 } };
        for (size_t k = 0; k < pairs; k++, joint++, weight++)
            for (size_t r = 0; r < 3; r++) {
                blended[r] += *weight * table[3 * (size_t)*joint + r];
                dtable[3 * (size_t)*joint + r] += *weight * (dv[r] * from);
            }
        vec4 pulled = dv[0] * blended[0] + dv[1] * blended[1] + dv[2] * blended[2];
        for (size_t c = 0; c < 3; c++)
            dx[c] = pulled[c];
    }
}

SIMD_VARIANTS(static void, skin_chunk, (void *context, size_t chunk), (context, chunk))
{
    const job *j = context;
    const head_model *m = j->model;
    size_t first = chunk * CHUNK, count = chunk_size(m, chunk), row = 3 * m->vertex_count;
    real x[BATCH][3 * CHUNK];
    for (size_t h = 0; h < j->heads; h++)
        memcpy(x[h], m->vertices + 3 * first, 3 * count * sizeof(real));
    for (size_t t = 0; t < j->term_count; t += GROUP)
        for (size_t h = 0; h < j->heads; h++)
            add_terms(x[h], j->terms + t, j->coefficients + h * (term_count(m) + 1), 3 * first,
                      3 * count);
    for (size_t h = 0; h < j->heads; h++) {
        if (j->saved.rest)
            memcpy(j->saved.rest + h * row + 3 * first, x[h], 3 * count * sizeof(real));
        if (j->vertices)
            turn(m, j->tables + 4 * m->joint_count * h, first, count, x[h],
                 j->vertices + h * row + 3 * first);
    }
}

SIMD_VARIANTS(static void, skin_adjoint_chunk, (void *context, size_t chunk), (context, chunk))
{
    const job *j = context;
    const head_model *m = j->model;
    size_t first = chunk * CHUNK, count = chunk_size(m, chunk), row = 3 * m->vertex_count;
    real drest[BATCH][3 * CHUNK], *partials = j->partials + chunk * j->heads * j->stride;
    memset(partials, 0, j->heads * j->stride * sizeof *partials);
    for (size_t h = 0; h < j->heads; h++)
        turn_adjoint(m, j->tables + 3 * m->joint_count * h, first, count,
                     j->saved.rest + h * row + 3 * first, j->dvertices + h * row + 3 * first,
                     (vec4 *)(partials + h * j->stride), drest[h]);
    for (size_t t = 0; t < j->term_count; t += GROUP)
        for (size_t h = 0; h < j->heads; h++)
            take_dots(drest[h], j->terms + t, partials + h * j->stride + 12 * m->joint_count,
                      3 * first, 3 * count);
}

/* ---- the whole ---- */

/* The rows of a basis for places from `place` on. */
static void collect(job *j, const real *basis, size_t place, size_t count)
{
    for (size_t k = 0; k < count; k++) {
        bool used = !j->coefficients;
        for (size_t h = 0; h < j->heads && !used; h++)
            used = j->coefficients[h * (term_count(j->model) + 1) + place + k] != 0;
        if (used)
            j->terms[j->term_count++] = (term){ basis + 3 * j->model->vertex_count * k, place + k };
    }
}

static void fill_group(job *j)
{
    for (; j->term_count % GROUP; j->term_count++)
        j->terms[j->term_count] = (term){ j->terms[j->term_count - 1].row, term_count(j->model) };
}

/* What belongs to head `first` and those after it. */
static head_pose from_head(const head_model *m, const head_pose *all, size_t first)
{
    size_t joints = first * m->joint_count;
    return (head_pose){ .rest = all->rest ? all->rest + first * 3 * m->vertex_count : NULL,
                        .joints = all->joints + 3 * joints,
                        .rotations = all->rotations + 9 * joints,
                        .transforms = all->transforms + 12 * joints };
}

/* Row r, column c of (W_j, t_j) */
static real entry(const real *transform, size_t r, size_t c)
{
    return c < 3 ? transform[3 * r + c] : transform[9 + r];
}

static void skin_batch(job *j, const real *shape, const real *expression, const real *pose)
{
    const head_model *m = j->model;
    size_t shapes = m->shape_count, expressions = m->expression_count, joints = m->joint_count;
    size_t features = feature_count(m);
    for (size_t h = 0; h < j->heads; h++) {
        head_pose one = from_head(m, &j->saved, h);
        real *c = j->coefficients + h * (term_count(m) + 1);
        memcpy(c, shape + h * shapes, shapes * sizeof *c);
        memcpy(c + shapes, expression + h * expressions, expressions * sizeof *c);
        place_joints(m, c, c + shapes, pose + h * 3 * joints, &one);
        for (size_t i = 0; i < features; i++) /* R_j - I */
            c[shapes + expressions + i] = one.rotations[9 + i] - (i % 9 % 4 == 0 ? 1 : 0);
        for (size_t i = 0; i < joints * 12; i++)
            j->tables[4 * joints * h + i / 3][i % 3] =
                entry(one.transforms + i / 12 * 12, i % 3, i / 3 % 4);
    }
    j->term_count = 0;
    collect(j, m->shape_basis, 0, shapes);
    collect(j, m->expression_basis, shapes, expressions);
    collect(j, m->pose_basis, shapes + expressions, features);
    fill_group(j);
    threads_parallel(chunk_count(m), skin_chunk, j);
}

bool head_skin(const head_model *m, size_t count, const real *shape, const real *expression,
               const real *pose, arena *scratch, head_pose *saved, real *vertices)
{
    size_t joints = m->joint_count, row = 3 * m->vertex_count,
           heads = count < BATCH ? count : BATCH;
    head_pose unsaved, *state = saved ? saved : &unsaved;
    state->rest = saved ? arena_alloc(scratch, count, row * sizeof(real)) : NULL;
    state->joints = arena_alloc(scratch, count, joints * 3 * sizeof(real));
    state->rotations = arena_alloc(scratch, count, joints * 9 * sizeof(real));
    state->transforms = arena_alloc(scratch, count, joints * 12 * sizeof(real));
    job j = { .model = m };
    j.coefficients = arena_alloc(scratch, heads, (term_count(m) + 1) * sizeof(real));
    j.terms = arena_alloc(scratch, term_count(m) + GROUP, sizeof *j.terms);
    j.tables = arena_alloc(scratch, heads, joints * 4 * sizeof *j.tables);
    if ((saved && !state->rest) || !state->joints || !state->rotations || !state->transforms ||
        !j.coefficients || !j.terms || !j.tables)
        return false;
    for (size_t first = 0; first < count; first += BATCH) {
        j.heads = count - first < BATCH ? count - first : BATCH;
        j.saved = from_head(m, state, first);
        j.vertices = vertices ? vertices + first * row : NULL;
        skin_batch(&j, shape + first * m->shape_count, expression + first * m->expression_count,
                   pose + first * 3 * joints);
    }
    return true;
}

/* The sum of a partial over all chunks, in their order. */
static real total(const job *j, size_t head, size_t place)
{
    double sum = 0;
    for (size_t chunk = 0; chunk < chunk_count(j->model); chunk++)
        sum += j->partials[(chunk * j->heads + head) * j->stride + place];
    return (real)sum;
}

/* dcoefficients (count) += the totals, and what comes through the joints: basis (count,J,3) */
static void add_totals(const job *j, size_t head, size_t place, size_t count, const real *basis,
                       const real *djoints, real *dcoefficients)
{
    size_t joints = j->model->joint_count;
    for (size_t k = 0; dcoefficients && k < count; k++) {
        real sum = 0;
        for (size_t i = 0; basis && i < 3 * joints; i++)
            sum += basis[3 * joints * k + i] * djoints[i];
        dcoefficients[k] += total(j, head, 12 * joints + place + k) + sum;
    }
}

static void skin_adjoint_batch(job *j, const real *pose, real *dtransforms, real *dfeatures,
                               real *djoints, real *dshape, real *dexpression, real *dpose)
{
    const head_model *m = j->model;
    size_t shapes = m->shape_count, expressions = m->expression_count, joints = m->joint_count;
    for (size_t i = 0; i < j->heads * joints * 12; i++)
        j->tables[i / 4][i % 4] = entry(j->saved.transforms + i / 12 * 12, i / 4 % 3, i % 4);
    threads_parallel(chunk_count(m), skin_adjoint_chunk, j);
    for (size_t h = 0; h < j->heads; h++) {
        head_pose one = from_head(m, &j->saved, h);
        for (size_t i = 0; i < joints * 12; i++) {
            size_t r = i / 4 % 3, c = i % 4;
            dtransforms[i / 12 * 12 + (c < 3 ? 3 * r + c : 9 + r)] = total(j, h, i);
        }
        for (size_t i = 0; i < feature_count(m); i++)
            dfeatures[i] = total(j, h, 12 * joints + shapes + expressions + i);
        memset(djoints, 0, 3 * joints * sizeof *djoints);
        place_joints_adjoint(m, pose + h * 3 * joints, &one, dtransforms, dfeatures, djoints,
                             dpose ? dpose + h * 3 * joints : NULL);
        add_totals(j, h, 0, shapes, m->joint_shape_basis, djoints,
                   dshape ? dshape + h * shapes : NULL);
        add_totals(j, h, shapes, expressions, m->joint_expression_basis, djoints,
                   dexpression ? dexpression + h * expressions : NULL);
    }
}

bool head_skin_adjoint(const head_model *m, size_t count, const real *shape, const real *expression,
                       const real *pose, arena *scratch, const head_pose *saved,
                       const real *dvertices, real *dshape, real *dexpression, real *dpose)
{
    arena_mark mark = arena_enter(scratch);
    size_t shapes = m->shape_count, expressions = m->expression_count, joints = m->joint_count;
    size_t row = 3 * m->vertex_count, heads = count < BATCH ? count : BATCH;
    job j = { .model = m, .stride = (12 * joints + term_count(m) + 1 + 3) / 4 * 4 };
    j.partials = arena_alloc(scratch, chunk_count(m) * heads, j.stride * sizeof(real));
    j.terms = arena_alloc(scratch, term_count(m) + GROUP, sizeof *j.terms);
    j.tables = arena_alloc(scratch, heads, joints * 3 * sizeof *j.tables);
    real *dtransforms = arena_alloc(scratch, joints, 12 * sizeof(real));
    real *dfeatures = arena_alloc(scratch, feature_count(m), sizeof(real));
    real *djoints = arena_alloc(scratch, joints, 3 * sizeof(real));
    if (!j.partials || !j.terms || !j.tables || !dtransforms || !dfeatures || !djoints)
        return false;
    if (dshape)
        collect(&j, m->shape_basis, 0, shapes);
    if (dexpression)
        collect(&j, m->expression_basis, shapes, expressions);
    if (dpose)
        collect(&j, m->pose_basis, shapes + expressions, feature_count(m));
    fill_group(&j);
    for (size_t first = 0; first < count; first += BATCH) {
        j.heads = count - first < BATCH ? count - first : BATCH;
        j.saved = from_head(m, saved, first);
        j.dvertices = dvertices + first * row;
        skin_adjoint_batch(&j, pose + first * 3 * joints, dtransforms, dfeatures, djoints,
                           dshape ? dshape + first * shapes : NULL,
                           dexpression ? dexpression + first * expressions : NULL,
                           dpose ? dpose + first * 3 * joints : NULL);
    }
    arena_leave(scratch, mark);
    return true;
}

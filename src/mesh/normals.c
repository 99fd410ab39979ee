/* SPDX-License-Identifier: Apache-2.0 */
/* Area-weighted vertex normals and their adjoint. With b and c the corners after vertex i and
 * before it in a face, summed over the faces at i:
 *
 *   s_i = sum (v_b - v_i) x (v_c - v_i),   n_i = s_i / |s_i|
 *   ds_i = (dn_i - n_i (n_i . dn_i)) / |s_i|
 *   dv_i += sum (v_b - v_c) x (ds_i + ds_b + ds_c)
 *
 * The order is the adjacency's, so the result is the same for any number of threads. Cross products
 * of parallel edges have to be 0, so the room is built without contraction to multiply-adds. */
#include "mesh/mesh.h"

#include "math/math.h"

enum { CHUNK = 512 }; /* vertices a task */

hds_status mesh_adjacency_init(mesh_adjacency *a, const uint32_t *faces, size_t face_count,
                               size_t vertex_count, hds_error *error)
{
    *a = (mesh_adjacency){ .vertex_count = vertex_count, .face_count = face_count };
    if (face_count > UINT32_MAX / 3 || vertex_count >= UINT32_MAX)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mesh of %zu faces and %zu vertices, expected at most %u faces",
                         face_count, vertex_count, UINT32_MAX / 3);
    for (size_t i = 0; i < 3 * face_count; i++)
        if (faces[i] >= vertex_count)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "face %zu names vertex %u, expected less than %zu", i / 3, faces[i],
                             vertex_count);
    a->start = hds_alloc(vertex_count + 2, sizeof *a->start);
    a->faces = hds_alloc(3 * face_count, sizeof *a->faces);
    a->others = hds_alloc(3 * face_count, sizeof *a->others);
    if (!a->start || !a->faces || !a->others) {
        mesh_adjacency_finish(a);
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for the adjacency of %zu faces",
                         face_count);
    }
    /* Counted two places on, so that filling moves each start to where it belongs. */
    for (size_t i = 0; i < 3 * face_count; i++)
        a->start[faces[i] + 2]++;
    for (size_t i = 2; i < vertex_count + 2; i++)
        a->start[i] += a->start[i - 1];
    for (size_t i = 0; i < 3 * face_count; i++)
        a->faces[a->start[faces[i] + 1]++] = (uint32_t)i;
    for (size_t i = 0; i < 3 * face_count; i++)
        for (uint32_t k = 0; k < 2; k++)
            a->others[i][k] = faces[a->faces[i] / 3 * 3 + (a->faces[i] + 1 + k) % 3];
    return HDS_OK;
}

void mesh_adjacency_finish(mesh_adjacency *a)
{
    hds_free(a->start);
    hds_free(a->faces);
    hds_free(a->others);
    *a = (mesh_adjacency){ 0 };
}

/* The fourth number is 0 or means nothing. */
typedef real vec4 __attribute__((vector_size(4 * sizeof(real))));
#define TAKE(v) ((vec4){ (v)[0], (v)[1], (v)[2] })

/* sum += a x b */
static inline void add_cross(const vec4 *a, const vec4 *b, vec4 *sum)
{
    const vec4 turned = *a * __builtin_shufflevector(*b, *b, 1, 2, 0, 3) -
                        __builtin_shufflevector(*a, *a, 1, 2, 0, 3) * *b;
    *sum += __builtin_shufflevector(turned, turned, 1, 2, 0, 3);
}

typedef struct job {
    const mesh_adjacency *adjacency;
    const real *vertices, *normals, *lengths, *dnormals;
    vec4 *dsums;
    real *out[2]; /* normals and lengths, or dvertices */
} job;

static size_t chunk_end(const job *j, size_t chunk)
{
    size_t end = (chunk + 1) * CHUNK;
    return end < j->adjacency->vertex_count ? end : j->adjacency->vertex_count;
}

static void run(job *j, threads_body body)
{
    threads_parallel((j->adjacency->vertex_count + CHUNK - 1) / CHUNK, body, j);
}

static void normals_chunk(void *context, size_t chunk)
{
    const job *j = context;
    const mesh_adjacency *a = j->adjacency;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++) {
        const vec4 here = TAKE(j->vertices + 3 * i);
        real *n = j->out[0] + 3 * i, length;
        vec4 sum = { 0 };
        for (uint32_t at = a->start[i]; at < a->start[i + 1]; at++) {
            const size_t next = a->others[at][0], previous = a->others[at][1];
            const vec4 to_next = TAKE(j->vertices + 3 * next) - here;
            const vec4 to_previous = TAKE(j->vertices + 3 * previous) - here;
            add_cross(&to_next, &to_previous, &sum);
        }
        for (int k = 0; k < 3; k++)
            n[k] = sum[k];
        length = vec3_normalise(n);
        if (length == 0)
            n[2] = 1;
        if (j->out[1])
            j->out[1][i] = length;
    }
}

void mesh_normals(const mesh_adjacency *a, const real *vertices, real *normals, real *lengths)
{
    job j = { .adjacency = a, .vertices = vertices, .out = { normals, lengths } };
    run(&j, normals_chunk);
}

static void dsums_chunk(void *context, size_t chunk)
{
    const job *j = context;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++) {
        const real *n = j->normals + 3 * i, *dn = j->dnormals + 3 * i, length = j->lengths[i];
        if (length > 0)
            j->dsums[i] = (TAKE(dn) - TAKE(n) * vec3_dot(n, dn)) / length;
        else
            j->dsums[i] = (vec4){ 0 };
    }
}

static void dvertices_chunk(void *context, size_t chunk)
{
    const job *j = context;
    const mesh_adjacency *a = j->adjacency;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++) {
        const vec4 here = j->dsums[i];
        vec4 sum = { 0 };
        for (uint32_t at = a->start[i]; at < a->start[i + 1]; at++) {
            const size_t next = a->others[at][0], previous = a->others[at][1];
            const vec4 opposite = TAKE(j->vertices + 3 * next) - TAKE(j->vertices + 3 * previous);
            const vec4 dcross = here + j->dsums[next] + j->dsums[previous];
            add_cross(&opposite, &dcross, &sum);
        }
        for (size_t k = 0; k < 3; k++)
            j->out[0][3 * i + k] += sum[k];
    }
}

bool mesh_normals_adjoint(const mesh_adjacency *a, const real *vertices, const real *normals,
                          const real *lengths, const real *dnormals, arena *scratch,
                          real *dvertices)
{
    arena_mark mark = arena_enter(scratch);
    job j = { .adjacency = a,
              .vertices = vertices,
              .normals = normals,
              .lengths = lengths,
              .dnormals = dnormals,
              .dsums = arena_take(scratch, a->vertex_count, sizeof *j.dsums),
              .out = { dvertices } };
    if (!j.dsums)
        return false;
    run(&j, dsums_chunk);
    run(&j, dvertices_chunk);
    arena_leave(scratch, mark);
    return true;
}

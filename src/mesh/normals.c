/* SPDX-License-Identifier: Apache-2.0 */
/* Area-weighted vertex normals and their adjoint.
 *
 *   s_i = sum over faces (a, b, c) at i of (v_b - v_a) x (v_c - v_a),   n_i = s_i / |s_i|
 *   ds_i = (dn_i - n_i (n_i . dn_i)) / |s_i|
 *   dv_k += (v_next - v_previous) x (ds_a + ds_b + ds_c) for each face at k
 *
 * Both directions gather over the faces at a vertex, in the order of the adjacency, so the result
 * is the same for any number of threads. */
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
    if (!a->start || !a->faces) {
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
    return HDS_OK;
}

void mesh_adjacency_finish(mesh_adjacency *a)
{
    hds_free(a->start);
    hds_free(a->faces);
    *a = (mesh_adjacency){ 0 };
}

typedef struct job {
    const mesh_adjacency *adjacency;
    const uint32_t *faces;
    const real *vertices, *normals, *dnormals;
    real *out; /* normals, dsums or dvertices */
    const real *dsums;
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

/* s_i */
static void sum_of_crosses(const job *j, size_t vertex, real sum[3])
{
    const mesh_adjacency *a = j->adjacency;
    sum[0] = sum[1] = sum[2] = 0;
    for (uint32_t at = a->start[vertex]; at < a->start[vertex + 1]; at++) {
        const uint32_t *face = j->faces + a->faces[at] / 3 * 3;
        const real *origin = j->vertices + 3 * (size_t)face[0];
        real e1[3], e2[3], cross[3];
        vec3_sub(j->vertices + 3 * (size_t)face[1], origin, e1);
        vec3_sub(j->vertices + 3 * (size_t)face[2], origin, e2);
        vec3_cross(e1, e2, cross);
        vec3_add_scaled(sum, 1, cross);
    }
}

static void normals_chunk(void *context, size_t chunk)
{
    const job *j = context;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++) {
        real *n = j->out + 3 * i;
        sum_of_crosses(j, i, n);
        if (vec3_normalise(n) == 0)
            n[2] = 1;
    }
}

void mesh_normals(const mesh_adjacency *a, const uint32_t *faces, const real *vertices,
                  real *normals)
{
    job j = { .adjacency = a, .faces = faces, .vertices = vertices, .out = normals };
    run(&j, normals_chunk);
}

/* ds_i */
static void dsums_chunk(void *context, size_t chunk)
{
    const job *j = context;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++) {
        const real *n = j->normals + 3 * i, *dn = j->dnormals + 3 * i;
        real sum[3], *ds = j->out + 3 * i;
        sum_of_crosses(j, i, sum);
        real length = vec3_length(sum);
        if (length == 0)
            continue;
        real along = vec3_dot(n, dn);
        for (int k = 0; k < 3; k++)
            ds[k] = (dn[k] - n[k] * along) / length;
    }
}

static void dvertices_chunk(void *context, size_t chunk)
{
    const job *j = context;
    const mesh_adjacency *a = j->adjacency;
    for (size_t i = chunk * CHUNK; i < chunk_end(j, chunk); i++)
        for (uint32_t at = a->start[i]; at < a->start[i + 1]; at++) {
            uint32_t corner = a->faces[at] % 3;
            const uint32_t *face = j->faces + a->faces[at] - corner;
            real dcross[3] = { 0 }, edge[3], dv[3];
            for (int k = 0; k < 3; k++)
                vec3_add_scaled(dcross, 1, j->dsums + 3 * (size_t)face[k]);
            vec3_sub(j->vertices + 3 * (size_t)face[(corner + 1) % 3],
                     j->vertices + 3 * (size_t)face[(corner + 2) % 3], edge);
            vec3_cross(edge, dcross, dv);
            vec3_add_scaled(j->out + 3 * i, 1, dv);
        }
}

bool mesh_normals_adjoint(const mesh_adjacency *a, const uint32_t *faces, const real *vertices,
                          const real *normals, const real *dnormals, arena *scratch,
                          real *dvertices)
{
    arena_mark mark = arena_enter(scratch);
    real *dsums = arena_alloc(scratch, a->vertex_count, 3 * sizeof *dsums);
    if (!dsums)
        return false;
    job j = { .adjacency = a,
              .faces = faces,
              .vertices = vertices,
              .normals = normals,
              .dnormals = dnormals,
              .out = dsums };
    run(&j, dsums_chunk);
    j.dsums = dsums;
    j.out = dvertices;
    run(&j, dvertices_chunk);
    arena_leave(scratch, mark);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Triangle meshes: smooth vertex normals with their adjoint, and a foreign mesh's order. */
#ifndef HDS_MESH_H
#define HDS_MESH_H

#include "base/base.h"

/* Which faces meet at a vertex, so that sums over them run in one order on any number of
 * threads. */
typedef struct mesh_adjacency {
    size_t vertex_count, face_count;
    uint32_t *start;       /* (V+1) */
    uint32_t *faces;       /* (3F) face * 3 + corner */
    uint32_t (*others)[2]; /* (3F) the vertices after and before it in that face */
} mesh_adjacency;
HDS_NODISCARD hds_status mesh_adjacency_init(mesh_adjacency *a, const uint32_t *faces,
                                             size_t face_count, size_t vertex_count,
                                             hds_error *error);
void mesh_adjacency_finish(mesh_adjacency *a);

/* Area-weighted vertex normals: n_i = normalise(sum over faces of the cross product).
 * vertices (V,3) -> normals (V,3), and for the adjoint lengths (V) of the sums, or NULL; a vertex
 * whose sum is 0 gets (0,0,1) and no gradient. */
void mesh_normals(const mesh_adjacency *a, const real *vertices, real *normals, real *lengths);
/* dnormals (V,3) -> += dvertices (V,3). Takes 4V reals of scratch; false, with dvertices as it was,
 * when that memory is not to be had. */
HDS_NODISCARD bool mesh_normals_adjoint(const mesh_adjacency *a, const real *vertices,
                                        const real *normals, const real *lengths,
                                        const real *dnormals, arena *scratch, real *dvertices);

/* A model's triangles, and a mesh of polygons that may have their topology: `sizes` corners each,
 * `corners` in a row. Vertices (V,3), each in its own space, or NULL. */
typedef struct mesh_triangles {
    size_t vertex_count, face_count;
    const uint32_t *faces;
    const real *vertices;
} mesh_triangles;
typedef struct mesh_polygons {
    size_t vertex_count, polygon_count;
    const uint32_t *sizes, *corners;
    const real *vertices;
} mesh_polygons;

/* Whether a foreign mesh has the model's topology, and in which order: order (V) is the model's
 * vertex of each of the mesh's. It has it when the model's triangles, each used once, tile its
 * polygons (either diagonal of a quad, any face order, any first corner), with its vertices as they
 * are or else renamed as its faces' connections ask for. Where these leave a choice, as between two
 * eyeballs, the vertices decide that lie nearest after a similarity; without them the first
 * order that fits. Renaming takes a mesh whose edges have at most two faces, with equal sides out.
 * HDS_ERROR_ARGUMENT says what differs first: counts, a face, or a connected part. */
HDS_NODISCARD hds_status mesh_match(const mesh_triangles *model, const mesh_polygons *mesh,
                                    uint32_t *order, hds_error *error);

#endif

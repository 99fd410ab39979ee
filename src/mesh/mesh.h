/* SPDX-License-Identifier: Apache-2.0 */
/* Triangle meshes: smooth vertex normals with their adjoint, and whether two topologies agree. */
#ifndef HDS_MESH_H
#define HDS_MESH_H

#include "base/base.h"

/* Which faces meet at a vertex, so that sums over them run in one order on any number of
 * threads. */
typedef struct mesh_adjacency {
    size_t vertex_count, face_count;
    uint32_t *start; /* (V+1) */
    uint32_t *faces; /* (3F) face * 3 + corner */
} mesh_adjacency;
HDS_NODISCARD hds_status mesh_adjacency_init(mesh_adjacency *a, const uint32_t *faces,
                                             size_t face_count, size_t vertex_count,
                                             hds_error *error);
void mesh_adjacency_finish(mesh_adjacency *a);

/* Area-weighted vertex normals: n_i = normalise(sum over faces of the cross product).
 * vertices (V,3) -> normals (V,3); a vertex whose sum is 0 gets (0,0,1) and no gradient. */
void mesh_normals(const mesh_adjacency *a, const uint32_t *faces, const real *vertices,
                  real *normals);
/* dnormals (V,3) -> += dvertices (V,3). Takes 3V reals of scratch; false, with dvertices as it was,
 * when that memory is not to be had. */
HDS_NODISCARD bool mesh_normals_adjoint(const mesh_adjacency *a, const uint32_t *faces,
                                        const real *vertices, const real *normals,
                                        const real *dnormals, arena *scratch, real *dvertices);

/* Whether a foreign mesh has the model's topology: same vertex count, and polygons that the model's
 * triangles tile (either diagonal of a quad, any face order, any first corner), each triangle used
 * once. Polygons: `sizes` corners each, `corners` in a row.
 * HDS_ERROR_ARGUMENT says what differs first: counts, or the first face that has no partner. */
HDS_NODISCARD hds_status mesh_match(const uint32_t *model_faces, size_t model_face_count,
                                    size_t model_vertex_count, const uint32_t *sizes,
                                    size_t polygon_count, const uint32_t *corners,
                                    size_t vertex_count, hds_error *error);

#endif

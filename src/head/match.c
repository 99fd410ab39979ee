/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a mesh has a head model's topology. */
#include "head/head.h"
#include "mesh/mesh.h"

hds_status hds_head_model_match(const hds_head_model *model, const hds_polygons *mesh,
                                uint32_t *order, hds_error *error)
{
    float *vertices = NULL;
    hds_status status = HDS_OK;
    if (mesh->vertices) {
        vertices = hds_alloc(model->vertex_count, 3 * sizeof *vertices);
        status = vertices
                     ? hds_head_model_vertices(model, &(hds_coefficients){ 0 }, vertices, error)
                     : hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu vertices",
                                 model->vertex_count);
    }
    const mesh_triangles triangles = { model->vertex_count, model->face_count, model->faces,
                                       vertices };
    const mesh_polygons polygons = { mesh->vertex_count, mesh->polygon_count, mesh->sizes,
                                     mesh->corners, mesh->vertices };
    if (status == HDS_OK)
        status = mesh_match(&triangles, &polygons, order, error);
    hds_free(vertices);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a foreign mesh of polygons has the topology of a triangle mesh.
 *
 * A polygon matches when unused triangles of the model tile it: the triangle on its last edge has a
 * third corner in the polygon and splits it into two smaller polygons, which match in turn. */
#include "mesh/mesh.h"

#include <stdio.h>

enum { MAX_CORNERS = 1024 }; /* of a polygon; bounds the recursion */

typedef struct matcher {
    const uint32_t *faces;
    mesh_adjacency adjacency;
    bool *used; /* (F) */
} matcher;

/* Tiles the polygon of corners first..last, whose closing edge runs from `last` to `first`. Equal
 * triangles are interchangeable, so of those with one third corner only the first is tried. */
static bool tile(matcher *m, const uint32_t *corners, size_t first, size_t last)
{
    if (last - first < 2)
        return true;
    const mesh_adjacency *a = &m->adjacency;
    size_t tried = 0;
    for (uint32_t at = a->start[corners[last]]; at < a->start[corners[last] + 1]; at++) {
        uint32_t face = a->faces[at] / 3, corner = a->faces[at] % 3;
        uint32_t next = m->faces[3 * face + (corner + 1) % 3];
        uint32_t third = m->faces[3 * face + (corner + 2) % 3];
        if (m->used[face] || next != corners[first])
            continue;
        size_t split = first + 1;
        while (split < last && corners[split] != third)
            split++;
        if (split == last || split == tried)
            continue;
        m->used[face] = true;
        if (tile(m, corners, first, split) && tile(m, corners, split, last))
            return true;
        m->used[face] = false;
        tried = split;
    }
    return false;
}

/* "4 7 9 10" */
static void list_corners(const uint32_t *corners, size_t count, char *text, size_t size)
{
    size_t length = 0;
    text[0] = 0;
    for (size_t i = 0; i < count && length + 16 < size; i++)
        length += (size_t)snprintf(text + length, size - length, i ? " %u" : "%u", corners[i]);
}

static hds_status no_partner(matcher *m, size_t polygon, const uint32_t *corners, size_t count,
                             hds_error *error)
{
    char text[128];
    uint32_t reversed[MAX_CORNERS];
    list_corners(corners, count, text, sizeof text);
    for (size_t i = 0; i < count; i++)
        reversed[i] = corners[count - 1 - i];
    if (tile(m, reversed, 0, count - 1))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "face %zu (vertices %s) is wound the other way round than in the head "
                         "model: flip the mesh's normals",
                         polygon, text);
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "face %zu (vertices %s) is not in the head model's topology, expected the "
                     "same vertices in the same order",
                     polygon, text);
}

static hds_status check_counts(size_t model_face_count, size_t model_vertex_count,
                               const uint32_t *sizes, size_t polygon_count, const uint32_t *corners,
                               size_t vertex_count, hds_error *error)
{
    if (vertex_count != model_vertex_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mesh has %zu vertices, expected the head model's %zu", vertex_count,
                         model_vertex_count);
    size_t triangles = 0, at = 0;
    for (size_t i = 0; i < polygon_count; i++) {
        if (sizes[i] < 3 || sizes[i] > MAX_CORNERS)
            return hds_raise(error, HDS_ERROR_ARGUMENT, "face %zu has %u corners, expected 3 to %d",
                             i, sizes[i], MAX_CORNERS);
        triangles += sizes[i] - 2;
        for (uint32_t k = 0; k < sizes[i]; k++, at++)
            if (corners[at] >= vertex_count)
                return hds_raise(error, HDS_ERROR_ARGUMENT,
                                 "face %zu names vertex %u, expected less than %zu", i, corners[at],
                                 vertex_count);
    }
    if (triangles != model_face_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mesh has %zu faces that split into %zu triangles, expected the head "
                         "model's %zu triangles",
                         polygon_count, triangles, model_face_count);
    return HDS_OK;
}

static hds_status match_polygons(matcher *m, const uint32_t *sizes, size_t polygon_count,
                                 const uint32_t *corners, hds_error *error)
{
    for (size_t i = 0; i < polygon_count; i++) {
        if (!tile(m, corners, 0, sizes[i] - 1))
            return no_partner(m, i, corners, sizes[i], error);
        corners += sizes[i];
    }
    return HDS_OK;
}

hds_status mesh_match(const uint32_t *model_faces, size_t model_face_count,
                      size_t model_vertex_count, const uint32_t *sizes, size_t polygon_count,
                      const uint32_t *corners, size_t vertex_count, hds_error *error)
{
    hds_status status = check_counts(model_face_count, model_vertex_count, sizes, polygon_count,
                                     corners, vertex_count, error);
    if (status)
        return status;
    matcher m = { .faces = model_faces };
    status =
        mesh_adjacency_init(&m.adjacency, model_faces, model_face_count, model_vertex_count, error);
    if (status)
        return status;
    m.used = hds_alloc(model_face_count, sizeof *m.used);
    status = m.used ? match_polygons(&m, sizes, polygon_count, corners, error)
                    : hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu faces",
                                model_face_count);
    hds_free(m.used);
    mesh_adjacency_finish(&m.adjacency);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a foreign mesh of polygons has the topology of a triangle mesh: its vertices as they are
 * first, then in the order that its connections ask for (order.c).
 *
 * A polygon matches when unused triangles of the model tile it: the triangle on its last edge has a
 * third corner in the polygon and splits it into two smaller polygons, which match in turn. */
#include "mesh_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct matcher {
    const uint32_t *faces;
    mesh_adjacency adjacency;
    bool *used; /* (F) */
    /* Of the first polygon without a partner: */
    size_t polygon;
    const uint32_t *corners;
    bool wound; /* reversed it has one */
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
        uint32_t face = a->faces[at] / 3, next = a->others[at][0], third = a->others[at][1];
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

static bool tile_reversed(matcher *m, const uint32_t *corners, size_t count)
{
    uint32_t reversed[MESH_MAX_CORNERS];
    for (size_t i = 0; i < count; i++)
        reversed[i] = corners[count - 1 - i];
    return tile(m, reversed, 0, count - 1);
}

/* Tiles all polygons; how many have no partner. */
static size_t tile_all(matcher *m, const mesh_polygons *mesh)
{
    const uint32_t *corners = mesh->corners;
    size_t strangers = 0;
    for (size_t i = 0; i < mesh->polygon_count; corners += mesh->sizes[i++]) {
        if (tile(m, corners, 0, mesh->sizes[i] - 1) || strangers++)
            continue;
        m->polygon = i;
        m->corners = corners;
        m->wound = tile_reversed(m, corners, mesh->sizes[i]);
    }
    return strangers;
}

static hds_status no_partner(const matcher *m, size_t count, hds_error *error)
{
    char text[128];
    list_corners(m->corners, count, text, sizeof text);
    if (m->wound)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "face %zu (vertices %s) is wound the other way round than in the head "
                         "model: flip the mesh's normals",
                         m->polygon, text);
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "face %zu (vertices %s) is not in the head model's topology, expected the "
                     "same vertices in the same order",
                     m->polygon, text);
}

static hds_status check_vertices(const mesh_polygons *mesh, hds_error *error)
{
    for (size_t i = 0; mesh->vertices && i < 3 * mesh->vertex_count; i++)
        if (!isfinite(mesh->vertices[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "coordinate %zu of vertex %zu is not a finite number", i % 3, i / 3);
    return HDS_OK;
}

static hds_status check_counts(const mesh_triangles *model, const mesh_polygons *mesh,
                               hds_error *error)
{
    if (mesh->vertex_count != model->vertex_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mesh has %zu vertices, expected the head model's %zu", mesh->vertex_count,
                         model->vertex_count);
    size_t triangles = 0, at = 0;
    for (size_t i = 0; i < mesh->polygon_count; i++) {
        uint32_t size = mesh->sizes[i];
        if (size < 3 || size > MESH_MAX_CORNERS)
            return hds_raise(error, HDS_ERROR_ARGUMENT, "face %zu has %u corners, expected 3 to %d",
                             i, size, MESH_MAX_CORNERS);
        triangles += size - 2;
        for (uint32_t k = 0; k < size; k++, at++)
            if (mesh->corners[at] >= mesh->vertex_count)
                return hds_raise(error, HDS_ERROR_ARGUMENT,
                                 "face %zu names vertex %u, expected less than %zu", i,
                                 mesh->corners[at], mesh->vertex_count);
    }
    if (triangles != model->face_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mesh has %zu faces that split into %zu triangles, expected the head "
                         "model's %zu triangles",
                         mesh->polygon_count, triangles, model->face_count);
    return check_vertices(mesh, error);
}

/* Whether the mesh turned inside out has the model's topology in some order. */
static bool is_inside_out(const mesh_triangles *model, const mesh_polygons *mesh, uint32_t *order)
{
    mesh_polygons turned = *mesh;
    size_t count = model->face_count + 2 * mesh->polygon_count, at = 0;
    uint32_t *corners = hds_alloc(count, sizeof *corners);
    for (size_t i = 0; corners && i < mesh->polygon_count; at += mesh->sizes[i++])
        for (size_t k = 0; k < mesh->sizes[i]; k++)
            corners[at + k] = mesh->corners[at + mesh->sizes[i] - 1 - k];
    turned.corners = corners;
    turned.vertices = NULL;
    mesh_outcome outcome;
    bool found =
        corners && mesh_recover_order(model, &turned, false, order, &outcome, NULL) == HDS_OK;
    hds_free(corners);
    return found;
}

static void keep_order(const mesh_polygons *mesh, uint32_t *order)
{
    for (uint32_t i = 0; i < mesh->vertex_count; i++)
        order[i] = i;
}

/* Whether the mesh has the model's topology as it is but for the sides of faces. */
static bool is_turned(matcher *m, const mesh_triangles *model, const mesh_polygons *mesh)
{
    const uint32_t *corners = mesh->corners;
    memset(m->used, 0, model->face_count * sizeof *m->used);
    for (size_t i = 0; i < mesh->polygon_count; corners += mesh->sizes[i++])
        if (!tile(m, corners, 0, mesh->sizes[i] - 1) && !tile_reversed(m, corners, mesh->sizes[i]))
            return false;
    return true;
}

/* What the recovery says, or, where most faces are the model's as they are, which is not. */
static hds_status match_renamed(matcher *m, const mesh_triangles *model, const mesh_polygons *mesh,
                                size_t strangers, uint32_t *order, hds_error *error)
{
    hds_error reason = { 0 };
    mesh_outcome outcome = MESH_REFUTED;
    hds_status status = HDS_ERROR_ARGUMENT;
    bool turned = is_turned(m, model, mesh);
    if (!turned || mesh->vertices) /* a mirrored mesh is turned, too, in its own order */
        status = mesh_recover_order(model, mesh, false, order, &outcome, &reason);
    if (status == HDS_OK)
        return HDS_OK;
    if (status == HDS_ERROR_ARGUMENT && (turned || 2 * strangers <= mesh->polygon_count))
        return no_partner(m, mesh->sizes[m->polygon], error);
    if (status == HDS_ERROR_ARGUMENT && outcome == MESH_REFUTED &&
        is_inside_out(model, mesh, order))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "the faces are wound the other way round than in the head model: flip the "
                         "mesh's normals");
    return hds_raise(error, status, "%s", reason.message);
}

static hds_status match(matcher *m, const mesh_triangles *model, const mesh_polygons *mesh,
                        uint32_t *order, hds_error *error)
{
    size_t strangers = tile_all(m, mesh);
    if (strangers)
        return match_renamed(m, model, mesh, strangers, order, error);
    keep_order(mesh, order);
    if (!mesh->vertices || !model->vertices)
        return HDS_OK;
    hds_error reason = { 0 };
    mesh_outcome outcome;
    hds_status status = mesh_recover_order(model, mesh, true, order, &outcome, &reason);
    if (status == HDS_ERROR_MEMORY)
        return hds_raise(error, status, "%s", reason.message);
    if (status == HDS_ERROR_ARGUMENT)
        keep_order(mesh, order);
    return HDS_OK;
}

hds_status mesh_match(const mesh_triangles *model, const mesh_polygons *mesh, uint32_t *order,
                      hds_error *error)
{
    hds_status status = check_counts(model, mesh, error);
    if (status)
        return status;
    matcher m = { .faces = model->faces };
    status = mesh_adjacency_init(&m.adjacency, model->faces, model->face_count, model->vertex_count,
                                 error);
    if (status)
        return status;
    m.used = hds_alloc(model->face_count, sizeof *m.used);
    status = m.used ? match(&m, model, mesh, order, error)
                    : hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu faces",
                                model->face_count);
    hds_free(m.used);
    mesh_adjacency_finish(&m.adjacency);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh of polygons by its edges: what lies across each, the fans about vertices, the parts. */
#include "mesh_priv.h"

#include <stdlib.h>

typedef struct edge {
    uint64_t key; /* from, to */
    uint32_t corner;
} edge;

static int compare_edges(const void *a, const void *b)
{
    uint64_t x = ((const edge *)a)->key, y = ((const edge *)b)->key;
    return x < y ? -1 : x > y;
}

static uint64_t key_of(uint32_t from, uint32_t to)
{
    return (uint64_t)from << 32 | to;
}

static hds_status allocate(mesh_surface *s, arena *memory, hds_error *error)
{
    s->start = arena_alloc(memory, s->polygon_count + 1, sizeof *s->start);
    s->part = arena_alloc(memory, s->polygon_count, sizeof *s->part);
    s->parts = arena_alloc(memory, s->polygon_count, sizeof *s->parts);
    s->polygon = arena_alloc(memory, s->corner_count, sizeof *s->polygon);
    s->twin = arena_alloc(memory, s->corner_count, sizeof *s->twin);
    s->fan = arena_alloc(memory, s->corner_count, sizeof *s->fan);
    s->fans = arena_alloc(memory, s->corner_count, sizeof *s->fans);
    s->part_fans = arena_alloc(memory, s->corner_count, sizeof *s->part_fans);
    if (!s->start || !s->part || !s->parts || !s->polygon || !s->twin || !s->fan || !s->fans ||
        !s->part_fans)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu faces", s->polygon_count);
    return HDS_OK;
}

static void set_polygons(mesh_surface *s, const uint32_t *sizes)
{
    for (size_t i = 0; i < s->polygon_count; i++) {
        s->start[i + 1] = s->start[i] + (sizes ? sizes[i] : 3);
        for (uint32_t c = s->start[i]; c < s->start[i + 1]; c++)
            s->polygon[c] = (uint32_t)i;
    }
}

static hds_status set_twins(mesh_surface *s, arena *memory, hds_error *error)
{
    arena_mark mark = arena_enter(memory);
    edge *edges = arena_alloc(memory, s->corner_count, sizeof *edges);
    hds_status status = HDS_OK;
    if (!edges)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu faces", s->polygon_count);
    for (uint32_t c = 0; c < s->corner_count; c++)
        edges[c] = (edge){ key_of(s->corners[c], s->corners[mesh_next(s, c)]), c };
    qsort(edges, s->corner_count, sizeof *edges, compare_edges);
    for (size_t i = 1; i < s->corner_count && status == HDS_OK; i++)
        if (edges[i].key == edges[i - 1].key)
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "two faces run along the edge %u-%u in the same direction",
                               (uint32_t)(edges[i].key >> 32), (uint32_t)edges[i].key);
    for (uint32_t c = 0; c < s->corner_count && status == HDS_OK; c++) {
        edge back = { key_of(s->corners[mesh_next(s, c)], s->corners[c]), 0 };
        const edge *found = bsearch(&back, edges, s->corner_count, sizeof *edges, compare_edges);
        s->twin[c] = found ? found->corner : MESH_NONE;
    }
    arena_leave(memory, mark);
    return status;
}

/* ---- fans ---- */

static void join_fan(mesh_surface *s, uint32_t corner, uint32_t fan)
{
    uint32_t polygon = s->polygon[corner], size = s->start[polygon + 1] - s->start[polygon];
    s->fan[corner] = fan;
    s->fans[fan].fewest++;
    s->fans[fan].most += size - 2;
}

/* All corners that are reached from this one by crossing edges at its vertex. */
static void make_fan(mesh_surface *s, uint32_t corner)
{
    uint32_t fan = (uint32_t)s->fan_count++, at = corner;
    s->fans[fan] = (mesh_fan){ .vertex = s->corners[corner], .corner = corner };
    do {
        join_fan(s, at, fan);
        at = s->twin[mesh_previous(s, at)];
    } while (at != MESH_NONE && at != corner);
    if (at == corner)
        return;
    s->fans[fan].open = true;
    for (at = corner; s->twin[at] != MESH_NONE; s->fans[fan].corner = at) {
        at = mesh_next(s, s->twin[at]);
        join_fan(s, at, fan);
    }
}

static void set_fans(mesh_surface *s)
{
    for (uint32_t c = 0; c < s->corner_count; c++)
        s->fan[c] = MESH_NONE;
    for (uint32_t c = 0; c < s->corner_count; c++)
        if (s->fan[c] == MESH_NONE)
            make_fan(s, c);
}

/* ---- parts ---- */

/* Everything that is reached from a polygon; queue (P) is scratch. */
static void make_part(mesh_surface *s, uint32_t first, uint32_t *queue)
{
    uint32_t part = (uint32_t)s->part_count++, head = 0, tail = 0;
    mesh_part *p = &s->parts[part];
    *p = (mesh_part){ 0 };
    queue[tail++] = first;
    s->part[first] = part;
    while (head < tail) {
        uint32_t polygon = queue[head++];
        p->polygons++;
        p->triangles += s->start[polygon + 1] - s->start[polygon] - 2;
        for (uint32_t c = s->start[polygon]; c < s->start[polygon + 1]; c++) {
            if (s->twin[c] == MESH_NONE) {
                p->borders++;
                continue;
            }
            uint32_t other = s->polygon[s->twin[c]];
            if (s->part[other] == MESH_NONE) {
                s->part[other] = part;
                queue[tail++] = other;
            }
        }
    }
}

static bool set_parts(mesh_surface *s, arena *memory)
{
    arena_mark mark = arena_enter(memory);
    uint32_t *queue = arena_alloc(memory, s->polygon_count, sizeof *queue);
    for (size_t i = 0; queue && i < s->polygon_count; i++)
        s->part[i] = MESH_NONE;
    for (uint32_t i = 0; queue && i < s->polygon_count; i++)
        if (s->part[i] == MESH_NONE)
            make_part(s, i, queue);
    arena_leave(memory, mark);
    for (size_t i = 0; queue && i < s->fan_count; i++)
        s->parts[s->part[s->polygon[s->fans[i].corner]]].fans++;
    for (size_t i = 1; queue && i < s->part_count; i++)
        s->parts[i].first_fan = s->parts[i - 1].first_fan + s->parts[i - 1].fans;
    for (size_t i = 0; queue && i < s->part_count; i++)
        s->parts[i].fans = 0;
    for (uint32_t i = 0; queue && i < s->fan_count; i++) {
        mesh_part *p = &s->parts[s->part[s->polygon[s->fans[i].corner]]];
        s->part_fans[p->first_fan + p->fans++] = i;
    }
    return queue;
}

hds_status mesh_surface_init(mesh_surface *s, arena *memory, const uint32_t *sizes,
                             size_t polygon_count, const uint32_t *corners, size_t vertex_count,
                             hds_error *error)
{
    *s = (mesh_surface){ .vertex_count = vertex_count,
                         .polygon_count = polygon_count,
                         .corner_count = 3 * polygon_count,
                         .corners = corners };
    for (size_t i = 0; sizes && i < polygon_count; i++)
        s->corner_count += sizes[i] - 3;
    if (s->corner_count >= MESH_NONE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "mesh of %zu corners, expected less than %u",
                         s->corner_count, MESH_NONE);
    hds_status status = allocate(s, memory, error);
    if (status == HDS_OK) {
        set_polygons(s, sizes);
        status = set_twins(s, memory, error);
    }
    if (status != HDS_OK)
        return status;
    set_fans(s);
    if (!set_parts(s, memory))
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu faces", polygon_count);
    return HDS_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A mesh as an exporter leaves it: another vertex order, other faces first, other units and axes.
 */
#ifndef HDS_TEST_SHUFFLED_MESH_H
#define HDS_TEST_SHUFFLED_MESH_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh.h"

typedef struct shuffled {
    mesh_polygons mesh;
    uint32_t *sizes, *corners, *order; /* order: what is to be found */
    real *vertices;
} shuffled;

static inline void *get(size_t count, size_t size)
{
    void *memory = hds_alloc(count, size);
    assert_non_null(memory);
    return memory;
}

static inline void shuffle(rng *r, uint32_t *values, size_t count)
{
    for (size_t i = count; i > 1; i--) {
        size_t k = rng_below(r, (uint32_t)i);
        uint32_t kept = values[k];
        values[k] = values[i - 1];
        values[i - 1] = kept;
    }
}

static inline uint32_t *permutation(rng *r, size_t count)
{
    uint32_t *values = get(count, sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        values[i] = i;
    shuffle(r, values, count);
    return values;
}

/* Other vertex order, face order and first corners; positions turned, scaled and moved. */
static inline shuffled shuffled_of(const mesh_polygons *from, uint64_t seed)
{
    rng r = rng_make(seed, 1);
    size_t corner_count = 0;
    for (size_t i = 0; i < from->polygon_count; i++)
        corner_count += from->sizes[i];
    uint32_t *starts = get(from->polygon_count, sizeof *starts), at = 0;
    for (size_t i = 0; i < from->polygon_count; at += from->sizes[i++])
        starts[i] = at;
    shuffled s = { .sizes = get(from->polygon_count, sizeof *s.sizes),
                   .corners = get(corner_count, sizeof *s.corners),
                   .order = permutation(&r, from->vertex_count),
                   .vertices = get(from->vertex_count, 3 * sizeof *s.vertices) };
    uint32_t *faces = permutation(&r, from->polygon_count);
    uint32_t *name = get(from->vertex_count, sizeof *name);
    for (uint32_t i = 0; i < from->vertex_count; i++)
        name[s.order[i]] = i;
    at = 0;
    for (size_t i = 0; i < from->polygon_count; at += s.sizes[i++]) {
        uint32_t size = s.sizes[i] = from->sizes[faces[i]], turn = rng_below(&r, size);
        for (uint32_t k = 0; k < size; k++)
            s.corners[at + k] = name[from->corners[starts[faces[i]] + (k + turn) % size]];
    }
    for (size_t i = 0; from->vertices && i < from->vertex_count; i++) {
        const real *v = from->vertices + 3 * (size_t)s.order[i];
        real *out = s.vertices + 3 * i;
        out[0] = 100 * (real)(0.6 * v[0] - 0.8 * v[2]) + 5;
        out[1] = 100 * v[1] - 70;
        out[2] = 100 * (real)(0.8 * v[0] + 0.6 * v[2]);
    }
    s.mesh = (mesh_polygons){ from->vertex_count, from->polygon_count, s.sizes, s.corners,
                              from->vertices ? s.vertices : NULL };
    hds_free(starts);
    hds_free(faces);
    hds_free(name);
    return s;
}

static inline void finish(shuffled *s)
{
    hds_free(s->sizes);
    hds_free(s->corners);
    hds_free(s->order);
    hds_free(s->vertices);
}

#endif

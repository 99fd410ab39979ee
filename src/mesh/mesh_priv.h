/* SPDX-License-Identifier: Apache-2.0 */
/* What matching shares: a mesh by its edges, the search for an isomorphism, and the whole order. */
#ifndef HDS_MESH_PRIV_H
#define HDS_MESH_PRIV_H

#include "mesh/mesh.h"

#include "math/math.h"

enum { MESH_MAX_CORNERS = 1024 }; /* of a polygon; bounds the recursion */
static const uint32_t MESH_NONE = UINT32_MAX;

/* ---- surface.c ---- */

/* A turn of corners about a vertex, closed or from border to border: one at each vertex of a
 * manifold; where a vertex joins surfaces at their tips there are several. What is said of vertices
 * during the search is said of fans. */
typedef struct mesh_fan {
    uint32_t vertex;
    uint32_t corner;       /* one of its corners; of an open fan the one without a twin */
    uint32_t fewest, most; /* triangles that can meet here once polygons are split */
    bool open;
} mesh_fan;

/* What hangs together by edges. */
typedef struct mesh_part {
    uint32_t polygons, triangles, borders; /* counts; borders: edges with one side */
    uint32_t first_fan, fans;              /* of part_fans, and their number */
} mesh_part;

/* Corner c stands for the edge from its vertex to the next corner's. Borrows the corners; all else
 * comes from the arena. */
typedef struct mesh_surface {
    size_t vertex_count, polygon_count, corner_count, fan_count, part_count;
    const uint32_t *corners;
    const real *vertices; /* (V,3) or NULL; the caller's to set */
    uint32_t *start;      /* (P+1) first corner of each polygon */
    uint32_t *polygon;    /* (C) */
    uint32_t *twin;       /* (C) the corner of the same edge the other way; NONE at a border */
    uint32_t *fan;        /* (C) */
    uint32_t *part;       /* (P) */
    mesh_fan *fans;       /* (fan_count) */
    mesh_part *parts;     /* (part_count) in the order of their first polygons */
    uint32_t *part_fans;  /* (fan_count) by part */
} mesh_surface;
/* sizes: NULL for triangles. HDS_ERROR_ARGUMENT when an edge is run twice in one direction, where
 * more than two faces meet or the faces' sides disagree. */
HDS_NODISCARD hds_status mesh_surface_init(mesh_surface *s, arena *memory, const uint32_t *sizes,
                                           size_t polygon_count, const uint32_t *corners,
                                           size_t vertex_count, hds_error *error);
static inline uint32_t mesh_next(const mesh_surface *s, uint32_t corner)
{
    uint32_t polygon = s->polygon[corner];
    return corner + 1 == s->start[polygon + 1] ? s->start[polygon] : corner + 1;
}
static inline uint32_t mesh_previous(const mesh_surface *s, uint32_t corner)
{
    uint32_t polygon = s->polygon[corner];
    return corner == s->start[polygon] ? s->start[polygon + 1] - 1 : corner - 1;
}

/* ---- spread.c ---- */

typedef enum mesh_outcome { MESH_REFUTED, MESH_FOUND, MESH_UNDECIDED } mesh_outcome;

/* The search's state: which fan of the model each fan of the mesh is, so far. */
typedef struct mesh_spread mesh_spread;
/* New, from the arena, or NULL. Borrows the surfaces, of which the model's is of triangles; if both
 * have vertices, guesses are made by them. */
mesh_spread *mesh_spread_new(arena *memory, const mesh_surface *model, const mesh_surface *mesh);
/* Looks for an isomorphism of the part at `corner` that takes this edge to the model's `edge`, in
 * at most `budget` steps. FOUND leaves it in mesh_spread_image until the next call. */
mesh_outcome mesh_spread_run(mesh_spread *s, uint32_t corner, uint32_t edge, uint64_t budget);
const uint32_t *mesh_spread_image(const mesh_spread *s); /* (mesh fans) */
/* Counts work beside the runs, and whether all of it is more than one match is worth. */
void mesh_spread_work(mesh_spread *s, uint64_t steps);
bool mesh_spread_exhausted(const mesh_spread *s);

/* ---- isomorphism.c ---- */

typedef struct mesh_search {
    const mesh_surface *model, *mesh;
    mesh_spread *spread;
    arena *memory;
    const math_similarity *where; /* the model lies in the mesh; NULL: not known */
} mesh_search;
/* Called with an isomorphism, (mesh fans) where the part is; false ends the search. May search. */
typedef bool (*mesh_visitor)(void *context, const uint32_t *image);
/* Shows the isomorphisms of a part of the mesh to a part of the model of equal counts, those that
 * can be found with about the work for the first, until all work is exhausted.
 * False: out of memory. */
HDS_NODISCARD bool mesh_isomorphisms(const mesh_search *s, uint32_t model_part, uint32_t part,
                                     mesh_visitor visit, void *context);

/* ---- order.c ---- */

/* The order of mesh_match from connectivity, and from positions where that leaves a choice.
 * kept: the mesh's own order fits, and stays unless a part lies where an equal one should.
 * outcome: whether HDS_ERROR_ARGUMENT is a refutation. */
HDS_NODISCARD hds_status mesh_recover_order(const mesh_triangles *model, const mesh_polygons *mesh,
                                            bool kept, uint32_t *order, mesh_outcome *outcome,
                                            hds_error *error);

#endif

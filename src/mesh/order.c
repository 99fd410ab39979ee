/* SPDX-License-Identifier: Apache-2.0 */
/* The vertex order of a foreign mesh, from how its faces hang together.
 *
 * Parts of equal counts can take each other's place, and a part can be symmetric in itself. With
 * positions the order is sought that they fit best: the largest part without an equal comes first,
 * in each way that it can lie, then the others, each where the similarity (Umeyama 1991) of those
 * before it, above all of those close by, brings its image nearest; the least sum of squares over
 * all decides. Without positions it is the first order that is found. */
#include "mesh_priv.h"

#include "math/math.h"

#include <stdlib.h>
#include <string.h>

/* A part by its counts, the largest first. */
typedef struct ranked {
    uint32_t triangles, fans, borders, part;
    uint32_t equals; /* parts with these counts */
} ranked;

/* A mesh in its space. */
typedef struct side {
    mesh_surface surface;
    ranked *ranks;        /* (parts); equals stand at the same places on both sides */
    double (*centres)[3]; /* (parts) means of their vertices, */
    double *radii;        /* and root mean square distances from them */
} side;

typedef struct recovery {
    arena memory;
    side model, mesh;
    mesh_spread *spread;
    bool *taken;     /* (parts) of the model */
    uint32_t *image; /* (mesh fans) the model's fan */
    uint32_t *best;  /* likewise, of the best order so far */
    double left;     /* its sum of squares */
    bool no_memory;
    uint32_t stranger; /* a part of the mesh that found no partner, or NONE */
    /* What the parts so far say of where the model lies in the mesh. */
    math_similarity where;
    bool known;
    /* The pair of parts that is tried. */
    size_t rank;
    uint32_t model_part;
    double nearest; /* sum of squares of the best isomorphism; INFINITY: none yet */
} recovery;

/* ---- parts ---- */

static int compare_ranks(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    const uint32_t p[] = { y->triangles, y->fans, y->borders, x->part };
    const uint32_t q[] = { x->triangles, x->fans, x->borders, y->part };
    for (int i = 0; i < 4; i++)
        if (p[i] != q[i])
            return p[i] < q[i] ? -1 : 1;
    return 0;
}

static bool equal_ranks(const ranked *a, const ranked *b)
{
    return a->triangles == b->triangles && a->fans == b->fans && a->borders == b->borders;
}

static bool rank_parts(arena *memory, side *s)
{
    size_t count = s->surface.part_count;
    s->ranks = arena_alloc(memory, count, sizeof *s->ranks);
    if (!s->ranks)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        const mesh_part *p = &s->surface.parts[i];
        s->ranks[i] = (ranked){ p->triangles, p->fans, p->borders, i, 0 };
    }
    qsort(s->ranks, count, sizeof *s->ranks, compare_ranks);
    for (size_t first = 0, end; first < count; first = end) {
        for (end = first; end < count && equal_ranks(&s->ranks[first], &s->ranks[end]);)
            end++;
        for (size_t i = first; i < end; i++)
            s->ranks[i].equals = (uint32_t)(end - first);
    }
    return true;
}

static const real *point(const side *s, uint32_t fan)
{
    return s->surface.vertices + 3 * (size_t)s->surface.fans[fan].vertex;
}

static bool place_parts(arena *memory, side *s)
{
    size_t count = s->surface.part_count;
    s->centres = arena_alloc(memory, count, sizeof *s->centres);
    s->radii = arena_alloc(memory, count, sizeof *s->radii);
    if (!s->centres || !s->radii)
        return false;
    for (size_t i = 0; s->surface.vertices && i < count; i++) {
        const mesh_part *p = &s->surface.parts[i];
        const uint32_t *fans = s->surface.part_fans + p->first_fan;
        double square = 0;
        for (size_t k = 0; k < 3 * (size_t)p->fans; k++)
            s->centres[i][k % 3] += point(s, fans[k / 3])[k % 3] / (double)p->fans;
        for (size_t k = 0; k < 3 * (size_t)p->fans; k++) {
            double from = point(s, fans[k / 3])[k % 3] - s->centres[i][k % 3];
            square += from * from / (double)p->fans;
        }
        s->radii[i] = sqrt(square);
    }
    return true;
}

/* The least mean square distance of the two parts' vertices, whichever are paired. */
static double apart(const recovery *r, uint32_t part, uint32_t model_part)
{
    const double *a = r->model.centres[model_part], *b = r->mesh.centres[part];
    const real centre[3] = { (real)a[0], (real)a[1], (real)a[2] };
    double wider = r->where.scale * r->model.radii[model_part] - r->mesh.radii[part];
    const real goal[3] = { (real)b[0], (real)b[1], (real)b[2] };
    return wider * wider + math_similarity_distance(&r->where, centre, goal);
}

/* The fans of the mesh's part at a rank. */
static const uint32_t *fans_of(const recovery *r, size_t rank, size_t *count)
{
    const mesh_part *p = &r->mesh.surface.parts[r->mesh.ranks[rank].part];
    *count = p->fans;
    return r->mesh.surface.part_fans + p->first_fan;
}

/* Where the model lies in the mesh by the vertices so far; near a part of the mesh, if one is
 * given, by those the most that are near it. */
static void locate(recovery *r, uint32_t part)
{
    const mesh_surface *mesh = &r->mesh.surface;
    math_pairs pairs = { 0 };
    for (size_t i = 0; r->mesh.surface.vertices && i < mesh->fan_count; i++) {
        if (r->image[i] == MESH_NONE)
            continue;
        const real *at = point(&r->mesh, (uint32_t)i);
        double near = part == MESH_NONE ? 1 : r->mesh.radii[part] * r->mesh.radii[part];
        for (int k = 0; k < 3 && part != MESH_NONE; k++)
            near += (at[k] - r->mesh.centres[part][k]) * (at[k] - r->mesh.centres[part][k]);
        math_pairs_add(&pairs, 1 / (near * near), point(&r->model, r->image[i]), at);
    }
    r->known = pairs.weight > 0 && math_similarity_fit(&pairs, &r->where);
}

/* ---- one part after the other ---- */

/* Keeps the isomorphism that lies nearest; without positions, the first. */
static bool keep_nearest(void *context, const uint32_t *image)
{
    recovery *r = context;
    size_t count;
    const uint32_t *fans = fans_of(r, r->rank, &count);
    double square = 0;
    for (size_t i = 0; r->known && i < count; i++)
        square += math_similarity_distance(&r->where, point(&r->model, image[fans[i]]),
                                           point(&r->mesh, fans[i]));
    if (square < r->nearest) {
        r->nearest = square;
        for (size_t i = 0; i < count; i++)
            r->image[fans[i]] = image[fans[i]];
    }
    return r->known;
}

/* The untaken equal that is next nearest after (*last, *at), by its place in the ranks; count of
 * all where there is none. */
static size_t next_nearest(const recovery *r, size_t rank, double *last, size_t *at)
{
    size_t count = r->model.surface.part_count, best = count, first = rank;
    double least = INFINITY;
    while (first > 0 && equal_ranks(&r->model.ranks[first - 1], &r->model.ranks[rank]))
        first--;
    for (size_t i = first; i < first + r->model.ranks[rank].equals; i++) {
        uint32_t model_part = r->model.ranks[i].part;
        if (r->taken[model_part])
            continue;
        double distance = r->known ? apart(r, r->mesh.ranks[rank].part, model_part) : 0;
        bool behind = *at == count || distance > *last || (distance == *last && i > *at);
        if (behind && distance < least) {
            least = distance;
            best = i;
        }
    }
    *last = least;
    *at = best;
    return best;
}

static mesh_search search_of(recovery *r)
{
    return (mesh_search){ .model = &r->model.surface,
                          .mesh = &r->mesh.surface,
                          .spread = r->spread,
                          .memory = &r->memory,
                          .where = r->known ? &r->where : NULL };
}

/* Finds the nearest partner of the mesh's part at a rank among the untaken ones. */
static bool match_part(recovery *r, size_t rank)
{
    size_t count = r->model.surface.part_count, at = count, fans;
    uint32_t part = r->mesh.ranks[rank].part, partner = MESH_NONE;
    double last = 0;
    (void)fans_of(r, rank, &fans);
    r->rank = rank;
    r->nearest = INFINITY;
    locate(r, part);
    mesh_spread_work(r->spread, r->mesh.surface.vertices ? r->mesh.surface.fan_count / 4 : 0);
    const mesh_search search = search_of(r);
    while (next_nearest(r, rank, &last, &at) < count && last * (double)fans < r->nearest &&
           !mesh_spread_exhausted(r->spread)) {
        double before = r->nearest;
        mesh_spread_work(r->spread, r->model.ranks[rank].equals);
        r->no_memory |= !mesh_isomorphisms(&search, r->model.ranks[at].part, part, keep_nearest, r);
        if (r->nearest < before)
            partner = r->model.ranks[at].part;
    }
    if (partner == MESH_NONE)
        r->stranger = part;
    else
        r->taken[partner] = true;
    return partner != MESH_NONE;
}

/* All parts but the one at rank `first`: those without an equal before the others. */
static bool match_others(recovery *r, size_t first)
{
    for (int equals = 0; equals < 2; equals++)
        for (size_t i = 0; i < r->mesh.surface.part_count; i++)
            if (i != first && (r->mesh.ranks[i].equals > 1) == equals && !match_part(r, i))
                return false;
    return true;
}

static void forget(recovery *r)
{
    memset(r->taken, 0, r->model.surface.part_count * sizeof *r->taken);
    for (size_t i = 0; i < r->mesh.surface.fan_count; i++)
        r->image[i] = MESH_NONE;
    r->known = false;
}

/* A way for the first part to lie, with all others as they follow; kept if it is the best. */
static bool try_whole(void *context, const uint32_t *image)
{
    recovery *r = context;
    size_t count, first = r->rank;
    uint32_t model_part = r->model_part;
    const uint32_t *fans = fans_of(r, first, &count);
    forget(r);
    for (size_t i = 0; i < count; i++)
        r->image[fans[i]] = image[fans[i]];
    r->taken[model_part] = true;
    bool whole = match_others(r, first);
    locate(r, MESH_NONE);
    double left = r->known ? r->where.left : 0;
    if (whole && left < r->left) {
        r->left = left;
        memcpy(r->best, r->image, r->mesh.surface.fan_count * sizeof *r->best);
    }
    r->rank = first;
    r->model_part = model_part;
    return r->mesh.surface.vertices && !r->no_memory;
}

/* Fills r->best. False: no order was found. */
static bool match_parts(recovery *r)
{
    size_t count = r->mesh.surface.part_count, first = 0;
    r->left = INFINITY;
    r->stranger = MESH_NONE;
    if (count == 0)
        return true;
    forget(r);
    const mesh_search search = search_of(r);
    for (size_t i = count; i-- > 0;)
        if (r->mesh.ranks[i].equals == 1)
            first = i;
    for (size_t i = first; i < first + r->model.ranks[first].equals; i++) {
        bool done = r->left < INFINITY && !r->mesh.surface.vertices;
        if (done || r->no_memory || mesh_spread_exhausted(r->spread))
            break;
        r->rank = first;
        r->model_part = r->model.ranks[i].part;
        r->no_memory |=
            !mesh_isomorphisms(&search, r->model_part, r->mesh.ranks[first].part, try_whole, r);
    }
    if (r->left == INFINITY && r->stranger == MESH_NONE)
        r->stranger = r->mesh.ranks[first].part;
    return r->left < INFINITY;
}

/* ---- the order of vertices ---- */

/* Whether a part lies nearer to where an equal one should be, in the mesh's own order, by the parts
 * that have no equal, or by all. */
static bool parts_moved(recovery *r)
{
    const mesh_surface *mesh = &r->mesh.surface, *model = &r->model.surface;
    uint32_t *part_at = arena_alloc(&r->memory, model->vertex_count, sizeof *part_at);
    math_pairs alone = { 0 }, all = { 0 };
    bool moved = false;
    r->no_memory |= !part_at;
    for (size_t i = 0; part_at && i < model->corner_count; i++)
        part_at[model->corners[i]] = model->part[i / 3];
    for (size_t k = 0; k < mesh->part_count; k++) {
        size_t count;
        const uint32_t *fans = fans_of(r, k, &count);
        for (size_t i = 0; i < count; i++) {
            const real *at = point(&r->mesh, fans[i]);
            const real *from = model->vertices + (at - mesh->vertices);
            math_pairs_add(&all, 1, from, at);
            if (r->mesh.ranks[k].equals == 1)
                math_pairs_add(&alone, 1, from, at);
        }
    }
    r->known = math_similarity_fit(alone.weight > 0 ? &alone : &all, &r->where);
    for (size_t k = 0; part_at && r->known && k < mesh->part_count && !moved; k++) {
        size_t count, at = mesh->part_count;
        uint32_t part = r->mesh.ranks[k].part, vertex = mesh->fans[*fans_of(r, k, &count)].vertex;
        double least = 0;
        (void)next_nearest(r, k, &least, &at);
        moved = least < apart(r, part, part_at[vertex]);
        mesh_spread_work(r->spread, r->mesh.ranks[k].equals);
        if (mesh_spread_exhausted(r->spread))
            return false;
    }
    return moved;
}

static hds_status unlike(hds_error *error, const mesh_surface *s, uint32_t part)
{
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "the faces around vertex %u, a part of %u triangles, are connected otherwise "
                     "than in the head model, in any order of the vertices",
                     s->fans[s->part_fans[s->parts[part].first_fan]].vertex,
                     s->parts[part].triangles);
}

static hds_status compare_parts(const recovery *r, hds_error *error)
{
    const mesh_surface *mesh = &r->mesh.surface;
    size_t count = r->model.surface.part_count;
    for (size_t i = 0; i < mesh->part_count; i++)
        if (i == count || !equal_ranks(&r->mesh.ranks[i], &r->model.ranks[i]))
            return unlike(error, mesh, r->mesh.ranks[i].part);
    return HDS_OK;
}

/* The nearest model vertex that is free and in no face, or the first. */
static uint32_t loose_partner(recovery *r, const bool *taken, uint32_t vertex)
{
    uint32_t best = MESH_NONE;
    double least = INFINITY;
    size_t count = r->model.surface.vertex_count;
    bool by_position = r->known && !mesh_spread_exhausted(r->spread);
    for (uint32_t i = 0; i < count && (by_position || best == MESH_NONE); i++) {
        double square = 0;
        if (taken[i])
            continue;
        if (by_position)
            square = math_similarity_distance(&r->where, r->model.surface.vertices + 3 * (size_t)i,
                                              r->mesh.surface.vertices + 3 * (size_t)vertex);
        if (square < least) {
            least = square;
            best = i;
        }
    }
    mesh_spread_work(r->spread, count);
    return best;
}

/* From fans to vertices, and vertices in no face to such. */
static hds_status compose(recovery *r, uint32_t *order, hds_error *error)
{
    const mesh_surface *mesh = &r->mesh.surface, *model = &r->model.surface;
    bool *taken = arena_alloc(&r->memory, model->vertex_count, sizeof *taken);
    if (!taken)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu vertices",
                         mesh->vertex_count);
    for (size_t i = 0; i < mesh->vertex_count; i++)
        order[i] = MESH_NONE;
    forget(r);
    for (size_t i = 0; i < mesh->fan_count; i++) {
        uint32_t vertex = mesh->fans[i].vertex, image = model->fans[r->best[i]].vertex;
        if (order[vertex] == MESH_NONE ? taken[image] : order[vertex] != image)
            return unlike(error, mesh, mesh->part[mesh->polygon[mesh->fans[i].corner]]);
        order[vertex] = image;
        taken[image] = true;
        r->image[i] = r->best[i];
    }
    locate(r, MESH_NONE);
    if (r->known && r->where.mirrored)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "the faces are wound the other way round than in the head model: flip the "
                         "mesh's normals");
    for (uint32_t i = 0; i < mesh->vertex_count; i++)
        if (order[i] == MESH_NONE) {
            order[i] = loose_partner(r, taken, i);
            taken[order[i]] = true;
        }
    return HDS_OK;
}

static hds_status recover(recovery *r, bool kept, uint32_t *order, hds_error *error)
{
    size_t parts = r->model.surface.part_count, fans = r->mesh.surface.fan_count;
    if (rank_parts(&r->memory, &r->model) && rank_parts(&r->memory, &r->mesh) &&
        place_parts(&r->memory, &r->model) && place_parts(&r->memory, &r->mesh)) {
        r->spread = mesh_spread_new(&r->memory, &r->model.surface, &r->mesh.surface);
        r->taken = arena_alloc(&r->memory, parts, sizeof *r->taken);
        r->image = arena_alloc(&r->memory, fans, sizeof *r->image);
        r->best = arena_alloc(&r->memory, fans, sizeof *r->best);
    }
    if (!r->spread || !r->taken || !r->image || !r->best)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu vertices",
                         r->mesh.surface.vertex_count);
    hds_status status = compare_parts(r, error);
    if (status != HDS_OK || (kept && !parts_moved(r)))
        return status;
    bool found = match_parts(r);
    if (r->no_memory)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory to match %zu vertices",
                         r->mesh.surface.vertex_count);
    if (mesh_spread_exhausted(r->spread) && (!found || r->mesh.surface.vertices))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "the vertex order is another one than the head model's, and the mesh is "
                         "too regular to recover it from its faces: export it with the vertex "
                         "order kept");
    return found ? compose(r, order, error) : unlike(error, &r->mesh.surface, r->stranger);
}

hds_status mesh_recover_order(const mesh_triangles *model, const mesh_polygons *mesh, bool kept,
                              uint32_t *order, mesh_outcome *outcome, hds_error *error)
{
    recovery r = { 0 };
    hds_status status = mesh_surface_init(&r.model.surface, &r.memory, NULL, model->face_count,
                                          model->faces, model->vertex_count, error);
    if (status == HDS_OK)
        status = mesh_surface_init(&r.mesh.surface, &r.memory, mesh->sizes, mesh->polygon_count,
                                   mesh->corners, mesh->vertex_count, error);
    r.model.surface.vertices = mesh->vertices ? model->vertices : NULL;
    r.mesh.surface.vertices = model->vertices ? mesh->vertices : NULL;
    if (status == HDS_OK)
        status = recover(&r, kept, order, error);
    *outcome = r.spread && mesh_spread_exhausted(r.spread) ? MESH_UNDECIDED : MESH_REFUTED;
    arena_finish(&r.memory);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The isomorphisms of one part of a mesh to one of the model: where to begin, and how long to try.
 *
 * One of the edges at a fan of the mesh goes to one of the edges at its image. The fan is the one
 * with the fewest images in question, by how many triangles can meet there; or a fan of the model
 * whose image has the fewest. Budgets grow from round to round, so that edges which are soon
 * refuted cost little and one that would take for ever does not keep the others waiting; a few have
 * enough for all triangles from the start, for where everything is regular the first one fits. */
#include "mesh_priv.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t FIRST_BUDGET = 64, GROWTH = 8; /* triangles tried from one edge */
enum { FAVOURED = 4, WHOLE = 8 }; /* so many edges may try each triangle so often at first */
enum { NEAR = 64 };               /* edges whose isomorphisms are compared by distance */

enum { CLASSES = 256 }; /* numbers of triangles at a fan; from the last one on they are one */

typedef struct seed {
    uint32_t corner, edge; /* of the mesh, of the model */
    double apart;
} seed;

static int compare_seeds(const void *a, const void *b)
{
    const seed *x = a, *y = b;
    if (x->apart != y->apart)
        return x->apart < y->apart ? -1 : 1;
    if (x->edge != y->edge)
        return x->edge < y->edge ? -1 : 1;
    return x->corner < y->corner ? -1 : x->corner > y->corner;
}

/* Fans of a part, closed and open, with fewer than so many triangles. */
typedef uint32_t tally[2][CLASSES + 1];

static uint32_t class_of(uint32_t triangles)
{
    return triangles < CLASSES ? triangles : CLASSES - 1;
}

static void count_fans(const mesh_surface *s, uint32_t part, bool at_most, tally t)
{
    const mesh_part *p = &s->parts[part];
    memset(t, 0, sizeof(tally));
    for (uint32_t i = 0; i < p->fans; i++) {
        const mesh_fan *f = &s->fans[s->part_fans[p->first_fan + i]];
        t[f->open][class_of(at_most ? f->most : f->fewest) + 1]++;
    }
    for (int open = 0; open < 2; open++)
        for (int i = 0; i < CLASSES; i++)
            t[open][i + 1] += t[open][i];
}

/* The fan, of the mesh or of the model, that leaves the fewest pairs of edges to try. */
static uint32_t rarest(const mesh_surface *model, const mesh_surface *mesh, uint32_t model_part,
                       uint32_t part, bool *of_model)
{
    tally exact, fewest, most;
    uint32_t best = MESH_NONE;
    uint64_t least = UINT64_MAX;
    count_fans(model, model_part, false, exact);
    count_fans(mesh, part, false, fewest);
    count_fans(mesh, part, true, most);
    for (int side = 0; side < 2; side++) {
        const mesh_surface *s = side ? model : mesh;
        const mesh_part *p = &s->parts[side ? model_part : part];
        for (uint32_t i = 0; i < p->fans; i++) {
            uint32_t fan = s->part_fans[p->first_fan + i];
            const mesh_fan *f = &s->fans[fan];
            uint32_t low = class_of(f->fewest), high = class_of(f->most);
            uint64_t count = side ? fewest[f->open][low + 1] - most[f->open][low]
                                  : exact[f->open][high + 1] - exact[f->open][low];
            count *= f->open ? 1 : f->most;
            if (count < least) {
                least = count;
                best = fan;
                *of_model = side;
            }
        }
    }
    return best;
}

/* Of an open fan the border goes to the border; of a closed one an edge goes to each of them. */
static size_t add_seeds(const mesh_surface *model, const mesh_fan *image, const mesh_fan *fan,
                        seed *seeds)
{
    size_t count = 0;
    uint32_t at = image->corner;
    if (fan->open != image->open || fan->fewest > image->fewest || image->fewest > fan->most)
        return 0;
    do {
        seeds[count++] = (seed){ fan->corner, at, 0 };
        at = model->twin[mesh_previous(model, at)];
    } while (!image->open && at != image->corner);
    return count;
}

/* Pairs of edges of which every isomorphism has one. NULL: out of memory. */
static seed *list_seeds(const mesh_search *s, uint32_t model_part, uint32_t part, size_t *count)
{
    bool of_model = false;
    uint32_t fan = rarest(s->model, s->mesh, model_part, part, &of_model);
    const mesh_surface *others = of_model ? s->mesh : s->model;
    const mesh_part *p = &others->parts[of_model ? part : model_part];
    size_t most =
        of_model ? (size_t)p->fans * s->model->fans[fan].fewest : 3 * (size_t)p->triangles;
    seed *seeds = arena_alloc(s->memory, most, sizeof *seeds);
    *count = 0;
    for (uint32_t i = 0; seeds && i < p->fans; i++) {
        uint32_t other = others->part_fans[p->first_fan + i];
        *count += add_seeds(s->model, &s->model->fans[of_model ? fan : other],
                            &s->mesh->fans[of_model ? other : fan], seeds + *count);
    }
    return seeds;
}

static const real *vertex_at(const mesh_surface *s, uint32_t corner)
{
    return s->vertices + 3 * (size_t)s->corners[corner];
}

/* Those whose ends lie next to each other come first. */
static void sort_seeds(const mesh_search *s, seed *seeds, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        uint32_t to = mesh_next(s->mesh, seeds[i].corner);
        uint32_t edge_to = mesh_next(s->model, seeds[i].edge);
        seeds[i].apart = math_similarity_distance(s->where, vertex_at(s->model, seeds[i].edge),
                                                  vertex_at(s->mesh, seeds[i].corner)) +
                         math_similarity_distance(s->where, vertex_at(s->model, edge_to),
                                                  vertex_at(s->mesh, to));
    }
    qsort(seeds, count, sizeof *seeds, compare_seeds);
}

/* Spreads from each seed, and keeps those that the budget leaves undecided. */
typedef struct progress {
    mesh_visitor visit;
    void *context;
    bool found, going;
} progress;

static size_t run_round(const mesh_search *s, seed *seeds, size_t count, uint64_t budget,
                        progress *r)
{
    size_t kept = 0;
    for (size_t i = 0; r->going && i < count; i++) {
        mesh_outcome outcome = mesh_spread_run(s->spread, seeds[i].corner, seeds[i].edge, budget);
        if (outcome == MESH_FOUND) {
            r->found = true;
            r->going = r->visit(r->context, mesh_spread_image(s->spread));
        } else if (outcome == MESH_UNDECIDED) {
            seeds[kept++] = seeds[i];
        }
        r->going = r->going && !mesh_spread_exhausted(s->spread);
    }
    return kept;
}

bool mesh_isomorphisms(const mesh_search *s, uint32_t model_part, uint32_t part, mesh_visitor visit,
                       void *context)
{
    arena_mark mark = arena_enter(s->memory);
    size_t count;
    seed *seeds = list_seeds(s, model_part, part, &count);
    progress r = { visit, context, false, seeds != NULL };
    uint64_t whole = WHOLE * (uint64_t)s->mesh->parts[part].triangles, budget = FIRST_BUDGET;
    mesh_spread_work(s->spread, CLASSES + s->mesh->parts[part].fans);
    if (seeds && s->where)
        sort_seeds(s, seeds, count);
    if (seeds) {
        size_t favoured = count < FAVOURED ? count : FAVOURED;
        uint64_t more = s->where ? GROWTH * whole : whole;
        size_t kept = run_round(s, seeds, favoured, more, &r);
        memmove(seeds + kept, seeds + favoured, (count - favoured) * sizeof *seeds);
        count -= favoured - kept;
    }
    if (r.found) /* as much for others, where it is known of those that lie near */
        (void)run_round(s, seeds, s->where && count > NEAR ? NEAR : count, whole, &r);
    for (; r.going && !r.found && count; budget *= GROWTH)
        count = run_round(s, seeds, count, budget, &r);
    arena_leave(s->memory, mark);
    return seeds != NULL;
}

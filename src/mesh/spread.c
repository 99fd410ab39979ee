/* SPDX-License-Identifier: Apache-2.0 */
/* An isomorphism of one part of a mesh of polygons onto triangles, from the image of one edge.
 *
 * Across an edge whose image is known lies one triangle of the model, so in a mesh of triangles all
 * follows from the first. A polygon of more corners may be split in several ways, of which its
 * known corners leave some. Polygons with one way left are placed at once; with none, the last
 * guess was wrong. When every reachable polygon has several, guess: prefer the one whose corner
 * distances match best or, without positions, the one whose triangles are adjacent in the model's
 * list, as a loader that splits polygons leaves them. Guesses are undone in the reverse order,
 * within a budget of triangles tried. */
#include "mesh_priv.h"

#include "math/math.h"

enum { SEEN = 1, QUEUED = 2, PLACED = 4 }; /* of a polygon */
enum { LOOKED = 16 };                      /* polygons that are compared before a guess */

/* What is left of a polygon: corners first..last, counted from behind its entry, and the edge of
 * the model that closes it, from last to first. */
typedef struct gap {
    uint32_t first, last, edge;
} gap;

/* One way to split a polygon. */
typedef struct way {
    double cost; /* the least comes first */
    uint32_t ordinal;
} way;

typedef struct guess {
    uint32_t polygon, searched; /* polygons of the frontier before this one are placed */
    size_t frontier, bound, taken, placed;
    bool tried;
    way last; /* the way that was tried last */
} guess;

typedef enum purpose { COUNT_TWO, RANK, KEEP } purpose;

struct mesh_spread {
    const mesh_surface *model, *mesh;
    uint32_t *image;         /* (mesh fans) */
    uint32_t *source;        /* (model fans) its inverse */
    bool *used;              /* (model triangles) */
    uint8_t *states;         /* (mesh polygons) */
    uint32_t *corner, *edge; /* (mesh polygons) by which it was entered, and the edge's image */
    /* In the order of their making, for going back: */
    uint32_t *frontier, *bound, *taken, *placed;
    size_t frontier_count, bound_count, taken_count, placed_count;
    uint32_t *queue; /* polygons to look at */
    size_t queue_count;
    guess *guesses;
    size_t guess_count;
    uint64_t steps, limit;
    /* Of the polygon that is looked at: */
    gap gaps[MESH_MAX_CORNERS];
    uint32_t edges[MESH_MAX_CORNERS]; /* the images of its edges */
    uint32_t polygon, found, wanted;
    purpose purpose;
    const guess *after; /* RANK: ways behind its last one */
    way best;
    double second; /* cost of the way after the best */
    bool has_best;
};

mesh_spread *mesh_spread_new(arena *memory, const mesh_surface *model, const mesh_surface *mesh)
{
    mesh_spread *s = arena_alloc(memory, 1, sizeof *s);
    if (!s)
        return NULL;
    size_t polygons = mesh->polygon_count;
    *s = (mesh_spread){
        .model = model,
        .mesh = mesh,
        .image = arena_alloc(memory, mesh->fan_count, sizeof *s->image),
        .source = arena_alloc(memory, model->fan_count, sizeof *s->source),
        .used = arena_alloc(memory, model->polygon_count, sizeof *s->used),
        .states = arena_alloc(memory, polygons, sizeof *s->states),
        .corner = arena_alloc(memory, polygons, sizeof *s->corner),
        .edge = arena_alloc(memory, polygons, sizeof *s->edge),
        .frontier = arena_alloc(memory, polygons, sizeof *s->frontier),
        .bound = arena_alloc(memory, mesh->fan_count, sizeof *s->bound),
        .taken = arena_alloc(memory, model->polygon_count, sizeof *s->taken),
        .placed = arena_alloc(memory, polygons, sizeof *s->placed),
        .queue = arena_alloc(memory, polygons, sizeof *s->queue),
        .guesses = arena_alloc(memory, polygons, sizeof *s->guesses),
    };
    if (!s->image || !s->source || !s->used || !s->states || !s->corner || !s->edge ||
        !s->frontier || !s->bound || !s->taken || !s->placed || !s->queue || !s->guesses)
        return NULL;
    for (size_t i = 0; i < mesh->fan_count; i++)
        s->image[i] = MESH_NONE;
    for (size_t i = 0; i < model->fan_count; i++)
        s->source[i] = MESH_NONE;
    return s;
}

const uint32_t *mesh_spread_image(const mesh_spread *s)
{
    return s->image;
}

void mesh_spread_work(mesh_spread *s, uint64_t steps)
{
    s->steps += steps;
}

bool mesh_spread_exhausted(const mesh_spread *s)
{
    return s->steps > (1 << 23) + 256 * (uint64_t)s->model->polygon_count;
}

/* ---- what is known ---- */

static bool can_be(const mesh_spread *s, uint32_t fan, uint32_t image)
{
    if (s->image[fan] != MESH_NONE || s->source[image] != MESH_NONE)
        return s->image[fan] == image;
    const mesh_fan *f = &s->mesh->fans[fan], *g = &s->model->fans[image];
    return f->open == g->open && f->fewest <= g->fewest && g->fewest <= f->most;
}

static void bind(mesh_spread *s, uint32_t fan, uint32_t image)
{
    if (s->image[fan] != MESH_NONE)
        return;
    s->image[fan] = image;
    s->source[image] = fan;
    s->bound[s->bound_count++] = fan;
}

static void take(mesh_spread *s, uint32_t triangle)
{
    s->used[triangle] = true;
    s->taken[s->taken_count++] = triangle;
}

/* Back to so many fans and triangles. */
static void release(mesh_spread *s, size_t bound, size_t taken)
{
    while (s->bound_count > bound) {
        uint32_t fan = s->bound[--s->bound_count];
        s->source[s->image[fan]] = MESH_NONE;
        s->image[fan] = MESH_NONE;
    }
    while (s->taken_count > taken)
        s->used[s->taken[--s->taken_count]] = false;
}

static void go_back(mesh_spread *s, const guess *g)
{
    release(s, g->bound, g->taken);
    while (s->queue_count)
        s->states[s->queue[--s->queue_count]] &= (uint8_t)~QUEUED;
    while (s->placed_count > g->placed)
        s->states[s->placed[--s->placed_count]] &= (uint8_t)~PLACED;
    while (s->frontier_count > g->frontier)
        s->states[s->frontier[--s->frontier_count]] &= (uint8_t)~SEEN;
}

/* ---- splitting one polygon ---- */

/* The corner at a position: 0 is behind the entry, the last one is the entry. */
static uint32_t corner_at(const mesh_spread *s, uint32_t position)
{
    const mesh_surface *m = s->mesh;
    uint32_t start = m->start[s->polygon], size = m->start[s->polygon + 1] - start;
    uint32_t offset = s->corner[s->polygon] - start + 1 + position;
    return start + (offset < size ? offset : offset - size);
}

static double length(const real *a, const real *b)
{
    real edge[3];
    vec3_sub(a, b, edge);
    return (double)vec3_length(edge);
}

/* How unlike its image the polygon is, as it is bound: in the distances between its corners up to
 * one factor, for which it does not matter where a sculptor has moved it.
 * min_f sum (d - f e)^2 = sum d^2 - (sum d e)^2 / sum e^2 */
static double misfit(const mesh_spread *s)
{
    const mesh_surface *m = s->mesh;
    double dd = 0, de = 0, ee = 0;
    for (uint32_t a = m->start[s->polygon]; a < m->start[s->polygon + 1]; a++)
        for (uint32_t b = m->start[s->polygon]; b < a; b++) {
            uint32_t image_a = s->model->fans[s->image[m->fan[a]]].vertex;
            uint32_t image_b = s->model->fans[s->image[m->fan[b]]].vertex;
            double d = length(m->vertices + 3 * (size_t)m->corners[a],
                              m->vertices + 3 * (size_t)m->corners[b]);
            double e = length(s->model->vertices + 3 * (size_t)image_a,
                              s->model->vertices + 3 * (size_t)image_b);
            dd += d * d;
            de += d * e;
            ee += e * e;
        }
    return ee > 0 ? dd - de * de / ee : dd;
}

/* From the first to the last of the polygon's triangles, which were taken last, in the list. */
static double extent(const mesh_spread *s)
{
    const mesh_surface *m = s->mesh;
    uint32_t low = MESH_NONE, high = 0, size = m->start[s->polygon + 1] - m->start[s->polygon];
    for (size_t i = s->taken_count - (size - 2); i < s->taken_count; i++) {
        low = s->taken[i] < low ? s->taken[i] : low;
        high = s->taken[i] > high ? s->taken[i] : high;
    }
    return high - low;
}

/* A way has been found; true ends the search. */
static bool complete(mesh_spread *s)
{
    way w = { 0, s->found++ };
    if (s->purpose == COUNT_TWO)
        return s->found == 2;
    if (s->purpose == KEEP)
        return w.ordinal == s->wanted;
    w.cost = s->model->vertices && s->mesh->vertices ? misfit(s) : extent(s);
    const way *last = &s->after->last;
    bool behind = !s->after->tried || w.cost > last->cost ||
                  (w.cost == last->cost && w.ordinal > last->ordinal);
    if (behind && (!s->has_best || w.cost < s->best.cost)) {
        s->second = s->has_best ? s->best.cost : INFINITY;
        s->best = w;
        s->has_best = true;
    } else if (behind && w.cost < s->second) {
        s->second = w.cost;
    }
    return false;
}

/* One side of a triangle, the model's `edge` from position `first` to `last`: an edge of the
 * polygon, or a gap more. */
static bool add_side(mesh_spread *s, uint32_t first, uint32_t last, uint32_t edge, size_t *gaps)
{
    uint32_t across = s->model->twin[edge];
    if (last == first + 1) {
        s->edges[first] = edge;
        return (s->mesh->twin[corner_at(s, first)] == MESH_NONE) == (across == MESH_NONE);
    }
    if (across == MESH_NONE)
        return false;
    s->gaps[(*gaps)++] = (gap){ first, last, across };
    return true;
}

/* Goes through the ways to fill the gaps; true when complete() has ended it. What was bound and
 * taken stays so under KEEP alone. */
static bool fill(mesh_spread *s, size_t gaps)
{
    if (gaps == 0)
        return complete(s);
    if (s->steps >= s->limit)
        return false;
    s->steps++;
    const gap g = s->gaps[--gaps];
    const uint32_t triangle = g.edge / 3, third = mesh_previous(s->model, g.edge);
    const size_t bound = s->bound_count, taken = s->taken_count;
    if (s->used[triangle])
        return false;
    bool ended = false;
    for (uint32_t split = g.first + 1; split < g.last && !ended; split++) {
        uint32_t fan = s->mesh->fan[corner_at(s, split)];
        size_t more = gaps;
        if (!can_be(s, fan, s->model->fan[third]))
            continue;
        bind(s, fan, s->model->fan[third]);
        take(s, triangle);
        ended = add_side(s, g.first, split, mesh_next(s->model, g.edge), &more) &&
                add_side(s, split, g.last, third, &more) && fill(s, more);
        if (!ended || s->purpose != KEEP)
            release(s, bound, taken);
    }
    s->gaps[gaps] = g;
    return ended;
}

static bool split(mesh_spread *s, uint32_t polygon, purpose wish)
{
    const mesh_surface *m = s->mesh;
    s->polygon = polygon;
    s->found = 0;
    s->purpose = wish;
    s->gaps[0] = (gap){ 0, m->start[polygon + 1] - m->start[polygon] - 1, s->edge[polygon] };
    return fill(s, 1);
}

/* ---- spreading ---- */

/* Across the corner's edge, whose image is the model's `edge`. */
static void reach(mesh_spread *s, uint32_t corner, uint32_t edge)
{
    uint32_t polygon = s->mesh->polygon[corner];
    uint8_t *state = &s->states[polygon];
    if (!(*state & SEEN)) {
        *state |= SEEN;
        s->corner[polygon] = corner;
        s->edge[polygon] = edge;
        s->frontier[s->frontier_count++] = polygon;
    }
    if (!(*state & (QUEUED | PLACED))) {
        *state |= QUEUED;
        s->queue[s->queue_count++] = polygon;
    }
}

/* The way of that number is taken, and its neighbours are to be looked at. */
static bool place(mesh_spread *s, uint32_t polygon, uint32_t ordinal)
{
    const mesh_surface *m = s->mesh;
    uint32_t size = m->start[polygon + 1] - m->start[polygon];
    s->wanted = ordinal;
    if (!split(s, polygon, KEEP))
        return false;
    s->states[polygon] |= PLACED;
    s->placed[s->placed_count++] = polygon;
    s->edges[size - 1] = s->edge[polygon];
    for (uint32_t i = 0; i < size; i++) {
        uint32_t across = m->twin[corner_at(s, i)];
        if (across != MESH_NONE)
            reach(s, across, s->model->twin[s->edges[i]]);
    }
    return true;
}

/* Places what has one way left. False: something has none. */
static bool drain(mesh_spread *s)
{
    const uint32_t *start = s->mesh->start;
    while (s->queue_count) {
        uint32_t polygon = s->queue[--s->queue_count];
        s->states[polygon] &= (uint8_t)~QUEUED;
        if (start[polygon + 1] - start[polygon] > 3) {
            (void)split(s, polygon, COUNT_TWO);
            if (s->found == 2)
                continue;
        }
        if (!place(s, polygon, 0))
            return false;
    }
    return true;
}

/* The best way to split a polygon behind the one that a guess has tried last; false: none is. */
static bool rank(mesh_spread *s, uint32_t polygon, const guess *after)
{
    s->after = after;
    s->has_best = false;
    (void)split(s, polygon, RANK);
    return s->has_best;
}

/* The next way of the last guess; of the one before it where there is none, and so on. */
static bool guess_on(mesh_spread *s)
{
    for (; s->guess_count; s->guess_count--) {
        guess *g = &s->guesses[s->guess_count - 1];
        go_back(s, g);
        bool more = rank(s, g->polygon, g);
        if (s->steps >= s->limit)
            return false;
        if (more) {
            g->last = s->best;
            g->tried = true;
            return place(s, g->polygon, s->best.ordinal);
        }
    }
    return false;
}

/* Among the first polygons of the frontier from `first` on that are not placed, the one whose best
 * way is ahead of its second by most; small ones before others. */
static uint32_t clearest(mesh_spread *s, size_t first)
{
    const uint32_t *start = s->mesh->start;
    uint32_t best = s->frontier[first];
    double least = INFINITY;
    int looked = 0;
    for (size_t at = first; at < s->frontier_count && looked < LOOKED && least > 0; at++) {
        uint32_t polygon = s->frontier[at];
        if (s->states[polygon] & PLACED || start[polygon + 1] - start[polygon] > 4)
            continue;
        looked++;
        double lag = rank(s, polygon, &(guess){ 0 }) ? s->best.cost / s->second : 0;
        if (lag < least) {
            least = lag;
            best = polygon;
        }
    }
    return best;
}

/* Begins a guess, if a polygon of the frontier is not placed. */
static bool begin_guess(mesh_spread *s)
{
    size_t first = s->guess_count ? s->guesses[s->guess_count - 1].searched : 0;
    while (first < s->frontier_count && s->states[s->frontier[first]] & PLACED)
        first++;
    if (first == s->frontier_count)
        return false;
    s->guesses[s->guess_count++] = (guess){ .polygon = clearest(s, first),
                                            .searched = (uint32_t)first,
                                            .frontier = s->frontier_count,
                                            .bound = s->bound_count,
                                            .taken = s->taken_count,
                                            .placed = s->placed_count };
    return true;
}

mesh_outcome mesh_spread_run(mesh_spread *s, uint32_t corner, uint32_t edge, uint64_t budget)
{
    const uint32_t *fans = s->mesh->fan, *images = s->model->fan;
    uint32_t to = mesh_next(s->mesh, corner), edge_to = mesh_next(s->model, edge);
    go_back(s, &(guess){ 0 });
    s->guess_count = 0;
    s->limit = s->steps + budget;
    if (!can_be(s, fans[corner], images[edge]))
        return MESH_REFUTED;
    bind(s, fans[corner], images[edge]);
    if (!can_be(s, fans[to], images[edge_to]) ||
        (s->mesh->twin[corner] == MESH_NONE) != (s->model->twin[edge] == MESH_NONE))
        return MESH_REFUTED;
    bind(s, fans[to], images[edge_to]);
    reach(s, corner, edge);
    bool going = true;
    while (going) {
        if (!drain(s))
            going = guess_on(s);
        else if (begin_guess(s))
            going = guess_on(s);
        else
            return MESH_FOUND;
    }
    return s->steps >= s->limit ? MESH_UNDECIDED : MESH_REFUTED;
}

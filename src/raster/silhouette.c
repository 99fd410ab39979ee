/* SPDX-License-Identifier: Apache-2.0 */
/* Antialiased silhouettes: where a silhouette edge runs between the centres of two neighbouring
 * pixels, they are blended by where it crosses, which carries gradients to its vertices.
 *
 * After Laine et al. 2020, section 3.6, with one change: they look for edges among those of the
 * face seen at a pixel, which misses most silhouettes once faces are smaller than a pixel. Here
 * every silhouette edge is walked and finds its pixel pairs; the nearest edge of a pair is kept.
 *
 * An edge is a silhouette when the faces on it don't lie on both of its sides on the screen: a
 * fold, or an open border. With face orientation s = +-1 on screen, that is when s, added for one
 * direction of the edge and subtracted for the other, doesn't cancel. To look up few edges only,
 * vertices sum s (h(next) - h(previous)) over their faces, h a hash of the vertex: 0 when all of
 * their edges cancel. In a picture of parts the edges between two of them count as well. */
#include "raster_priv.h"

#include <stdlib.h>

/* One side of a face, between vertices that are marked. */
typedef struct side {
    uint32_t from, to;
    int32_t facing;
    uint32_t part; /* of the face, + 1; 0: not asked */
} side;

typedef struct edge {
    uint32_t vertices[2]; /* the smaller first */
    int32_t sum;          /* > 0: the surface lies where (v0 - p) x (v1 - p) > 0 */
    uint32_t parts[2];    /* part + 1 of the face on that side, and on the other; 0: not asked */
} edge;

/* Lines of pixel centres across an edge, half-open so that a chain of edges counts none twice. */
typedef struct span {
    int axis;              /* pixel pairs lie along it: x for steep edges, y for flat ones */
    int from, to;          /* upper vertex across the axis, lower vertex */
    int first, last;       /* lines */
    uint32_t place, found; /* its first crossing and how many there are */
} span;

struct raster_outlines {
    raster_state *state;
    const raster_mesh *mesh;
    const uint32_t *parts; /* (F) or NULL */
    uint32_t *marks;       /* (V) not 0: edges that count may end there */
    uint32_t *hashes;      /* (V) */
    uint32_t *first_parts; /* (V), with parts */
    side *sides;           /* (3 F) */
    size_t side_count;
    uint32_t *table; /* (room for sides) edge + 1; 0: free */
    edge *edges;     /* candidates, in the end those that count */
    span *spans;
    size_t edge_count;
    raster_crossing *found; /* by span */
    const real *image;
};
typedef raster_outlines job;

enum { EDGE_CHUNK = 32 };

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ x >> 16;
}

/* 0: more than 32 bits can name. */
static uint32_t table_size(size_t count)
{
    uint32_t size = 16;
    while (size && size < 2 * count)
        size *= 2;
    return size;
}

/* Two parts meet on it: seen, it parts the picture as a silhouette does. */
static bool is_border(const edge *e)
{
    return !e->sum && e->parts[0] && e->parts[1] && e->parts[0] != e->parts[1];
}

/* Marks the vertices at which faces of several parts meet. */
static void mark_borders(job *j)
{
    const raster_mesh *mesh = j->mesh;
    for (size_t i = 0; i < 3 * mesh->face_count; i++) {
        uint32_t vertex = mesh->faces[i], part = j->parts[i / 3] + 1;
        if (!j->first_parts[vertex])
            j->first_parts[vertex] = part;
        j->marks[vertex] |= j->first_parts[vertex] != part;
    }
}

/* Sides, edges and their table are taken for the worst case, and not touched. */
raster_outlines *raster_outlines_begin(raster_state *state, const raster_mesh *mesh,
                                       const raster_view *view, arena *scratch)
{
    const size_t sides = 3 * mesh->face_count;
    job *j = arena_take(scratch, 1, sizeof *j);
    if (!j)
        return NULL;
    *j = (job){ .state = state, .mesh = mesh };
    j->parts = view->mode == RASTER_PARTS ? view->face_parts : NULL;
    j->marks = arena_alloc(scratch, mesh->vertex_count, sizeof *j->marks);
    j->hashes = arena_take(scratch, mesh->vertex_count, sizeof *j->hashes);
    j->sides = arena_take(scratch, sides, sizeof *j->sides);
    j->edges = arena_take(scratch, sides, sizeof *j->edges);
    j->table = arena_take(scratch, table_size(sides), sizeof *j->table);
    if (j->parts)
        j->first_parts = arena_alloc(scratch, mesh->vertex_count, sizeof *j->first_parts);
    return j->marks && j->hashes && j->sides && j->edges && table_size(sides) && j->table &&
                   (j->first_parts || !j->parts)
               ? j
               : NULL;
}

static void mark_vertices(job *j)
{
    const raster_mesh *mesh = j->mesh;
    const int8_t *facing = j->state->facing;
    for (size_t i = 0; i < mesh->vertex_count; i++)
        j->hashes[i] = mix((uint32_t)i + 1);
    for (size_t f = 0; f < mesh->face_count; f++) {
        const uint32_t *v = mesh->faces + 3 * f;
        uint32_t h[3] = { j->hashes[v[0]], j->hashes[v[1]], j->hashes[v[2]] };
        for (int k = 0; k < 3; k++)
            j->marks[v[k]] += (uint32_t)(int32_t)facing[f] * (h[(k + 1) % 3] - h[(k + 2) % 3]);
    }
    if (j->parts)
        mark_borders(j);
}

static void list_sides(job *j)
{
    const raster_mesh *mesh = j->mesh;
    const int8_t *facing = j->state->facing;
    side *next = j->sides;
    for (size_t f = 0; f < mesh->face_count; f++) {
        const uint32_t *v = mesh->faces + 3 * f;
        const bool marked[3] = { j->marks[v[0]], j->marks[v[1]], j->marks[v[2]] };
        if (marked[0] + marked[1] + marked[2] < 2 || !facing[f])
            continue;
        for (int k = 0; k < 3; k++)
            if (marked[k] && marked[(k + 1) % 3])
                *next++ = (side){ v[k], v[(k + 1) % 3], facing[f], j->parts ? j->parts[f] + 1 : 0 };
    }
    j->side_count = (size_t)(next - j->sides);
}

static void add_side(job *j, const side *s, uint32_t mask)
{
    uint32_t v0 = s->from < s->to ? s->from : s->to, v1 = s->from < s->to ? s->to : s->from;
    uint32_t i = mix(v0 ^ mix(v1)) & mask;
    while (j->table[i]) {
        const edge *e = &j->edges[j->table[i] - 1];
        if (e->vertices[0] == v0 && e->vertices[1] == v1)
            break;
        i = (i + 1) & mask;
    }
    if (!j->table[i]) {
        j->edges[j->edge_count] = (edge){ .vertices = { v0, v1 } };
        j->table[i] = (uint32_t)++j->edge_count;
    }
    edge *e = &j->edges[j->table[i] - 1];
    int32_t turn = s->from < s->to ? s->facing : -s->facing;
    e->sum += turn;
    e->parts[turn < 0] = s->part;
}

/* Sides become edges; those that don't count go. */
void raster_outlines_find(raster_outlines *j)
{
    mark_vertices(j);
    list_sides(j);
    const uint32_t size = table_size(j->side_count);
    memset(j->table, 0, size * sizeof *j->table);
    for (size_t i = 0; i < j->side_count; i++)
        add_side(j, &j->sides[i], size - 1);
    size_t kept = 0;
    for (size_t i = 0; i < j->edge_count; i++)
        if (j->edges[i].sum || is_border(&j->edges[i]))
            j->edges[kept++] = j->edges[i];
    j->edge_count = kept;
}

static int32_t centre_at_or_after(int32_t snapped)
{
    return (snapped + RASTER_SUBPIXELS / 2 - 1) >> RASTER_SUBPIXEL_BITS;
}

static span find_span(const raster_state *s, const edge *e)
{
    const int32_t *a = s->snapped + 2 * e->vertices[0], *b = s->snapped + 2 * e->vertices[1];
    int64_t dx = (int64_t)b[0] - a[0], dy = (int64_t)b[1] - a[1];
    span p = { .axis = llabs(dx) <= llabs(dy) ? 0 : 1 };
    int across = 1 - p.axis, size = p.axis ? s->width : s->height;
    p.from = b[across] < a[across];
    p.to = 1 - p.from;
    p.first = centre_at_or_after(p.from ? b[across] : a[across]);
    p.last = centre_at_or_after(p.from ? a[across] : b[across]) - 1;
    p.first = p.first > 0 ? p.first : 0;
    p.last = p.last < size ? p.last : size - 1;
    return p;
}

/* The pixel whose centre is the last one before the edge on this line, exactly. */
static int64_t pixel_before(const raster_state *s, const edge *e, const span *p, int line)
{
    const int32_t *a = s->snapped + 2 * e->vertices[p->from];
    const int32_t *b = s->snapped + 2 * e->vertices[p->to];
    const int32_t half = RASTER_SUBPIXELS / 2;
    int across = 1 - p->axis;
    int64_t rise = (int64_t)b[across] - a[across], run = (int64_t)b[p->axis] - a[p->axis];
    int64_t step = (int64_t)line * RASTER_SUBPIXELS + half - a[across];
    int64_t numerator = (a[p->axis] - half) * rise + step * run - 1;
    int64_t denominator = RASTER_SUBPIXELS * rise;
    int64_t quotient = numerator / denominator;
    return quotient - (numerator % denominator < 0);
}

static real clamp(real x, real low, real high)
{
    x = x > low ? x : low;
    return x < high ? x : high;
}

/* Where the edge crosses the line, from unsnapped positions. The limit of slope only binds on edges
 * about as short as the snapping grid, that of share also at an end within 1/512 pixel of the line;
 * the adjoint goes on as if they didn't. */
static void measure(const raster_state *s, const span *p, int line, int64_t inner_at,
                    raster_crossing *c)
{
    int across = 1 - p->axis;
    const real *a = s->screen + 3 * c->vertices[0], *b = s->screen + 3 * c->vertices[1];
    real rise = b[across] - a[across], centre = (real)line + (real)0.5;
    c->share = rise != 0 ? clamp((centre - a[across]) / rise, 0, 1) : (real)0.5;
    c->slope = rise != 0 ? clamp((b[p->axis] - a[p->axis]) / rise, -2, 2) : 0;
    real at = a[p->axis] + c->share * (b[p->axis] - a[p->axis]);
    c->t = c->sign * (at - ((real)inner_at + (real)0.5));
    c->depth = a[2] + c->share * (b[2] - a[2]);
}

/* Whether the edge separates what is seen at the two pixels of the crossing. */
static bool separates(const raster_state *s, const edge *e, const uint32_t *parts,
                      const raster_crossing *c)
{
    uint32_t near = s->visible[c->inner], far = s->visible[c->outer];
    uint32_t face = near ? s->slots[near - 1].face : 0, other = far ? s->slots[far - 1].face : 0;
    if (is_border(e))
        return near && far && parts[face] + 1 == e->parts[0] && parts[other] + 1 == e->parts[1];
    return near && s->depth[c->inner] > s->depth[c->outer] && !(far && face == other) &&
           c->depth > s->depth[c->outer];
}

/* False where there are no two pixels. */
static bool cross_line(const raster_state *s, const edge *e, const span *p, int line,
                       raster_crossing *c)
{
    int64_t before = pixel_before(s, e, p, line);
    if (before < 0 || before + 1 >= (p->axis ? s->height : s->width))
        return false;
    /* Walking down, the surface of a positive sum lies left; walking right, it lies below. */
    bool forward = p->from == 0;
    bool positive = e->sum > 0 || is_border(e);
    bool inner_first = (positive == forward) == (p->axis == 0);
    size_t width = (size_t)s->width;
    size_t first =
        p->axis ? (size_t)before * width + (size_t)line : (size_t)line * width + (size_t)before;
    size_t second = first + (p->axis ? width : 1);
    size_t inner = inner_first ? first : second, outer = inner_first ? second : first;
    *c = (raster_crossing){ .vertices = { e->vertices[0], e->vertices[1] },
                            .inner = (uint32_t)inner,
                            .outer = (uint32_t)outer,
                            .axis = (int8_t)p->axis,
                            .sign = inner_first ? 1 : -1 };
    measure(s, p, line, before + !inner_first, c);
    return true;
}

/* One crossing a pair of pixels: the nearest. */
static void keep_nearest(raster_state *s, const raster_crossing *c, uint32_t *table, uint32_t mask)
{
    uint32_t pair = 2 * (c->inner < c->outer ? c->inner : c->outer) + (uint32_t)c->axis;
    uint32_t i = mix(pair) & mask;
    for (; table[i]; i = (i + 1) & mask) {
        raster_crossing *other = &s->crossings[table[i] - 1];
        uint32_t first = other->inner < other->outer ? other->inner : other->outer;
        if (2 * first + (uint32_t)other->axis == pair) {
            if (c->depth > other->depth)
                *other = *c;
            return;
        }
    }
    s->crossings[s->crossing_count] = *c;
    table[i] = (uint32_t)++s->crossing_count;
}

/* All pairs of pixels of some edges first, so that what is seen there is on its way when it is
 * asked for. */
static void find_crossings(void *context, size_t chunk)
{
    const job *j = context;
    const raster_state *s = j->state;
    const size_t channels = (size_t)s->channels, begin = chunk * EDGE_CHUNK;
    const size_t end = begin + EDGE_CHUNK < j->edge_count ? begin + EDGE_CHUNK : j->edge_count;
    for (size_t i = begin; i < end; i++) {
        span *p = &j->spans[i];
        for (int line = p->first; line <= p->last; line++) {
            raster_crossing *c = &j->found[p->place + p->found];
            if (!cross_line(s, &j->edges[i], p, line, c))
                continue;
            p->found++;
            __builtin_prefetch(&s->visible[c->inner]);
            __builtin_prefetch(&s->visible[c->outer]);
            __builtin_prefetch(&s->depth[c->inner]);
            __builtin_prefetch(&s->depth[c->outer]);
            __builtin_prefetch(&j->image[channels * c->inner]);
            __builtin_prefetch(&j->image[channels * c->outer]);
        }
    }
    for (size_t i = begin; i < end; i++) {
        span *p = &j->spans[i];
        raster_crossing *next = &j->found[p->place];
        for (uint32_t k = 0; k < p->found; k++) {
            const raster_crossing *c = &j->found[p->place + k];
            if (!separates(s, &j->edges[i], j->parts, c))
                continue;
            *next = *c;
            for (size_t m = 0; m < channels; m++)
                next->contrast[m] =
                    j->image[channels * next->inner + m] - j->image[channels * next->outer + m];
            next++;
        }
        p->found = (uint32_t)(next - &j->found[p->place]);
    }
}

static bool find_all_crossings(job *j, arena *scratch)
{
    raster_state *s = j->state;
    size_t limit = 0, count = 0;
    j->spans = arena_take(scratch, j->edge_count, sizeof *j->spans);
    for (size_t i = 0; j->spans && i < j->edge_count; i++) {
        span *p = &j->spans[i];
        *p = find_span(s, &j->edges[i]);
        p->place = (uint32_t)limit;
        p->found = 0;
        limit += p->last >= p->first ? (size_t)(p->last - p->first + 1) : 0;
    }
    j->found = arena_take(scratch, limit, sizeof *j->found);
    if (!j->spans || !j->found || limit > UINT32_MAX)
        return false;
    threads_parallel((j->edge_count + EDGE_CHUNK - 1) / EDGE_CHUNK, find_crossings, j);
    for (size_t i = 0; i < j->edge_count; i++)
        count += j->spans[i].found;
    const uint32_t size = table_size(count);
    uint32_t *table = arena_alloc(scratch, size, sizeof *table);
    s->crossings = arena_take(scratch, count, sizeof *s->crossings);
    if (!size || !table || !s->crossings)
        return false;
    for (size_t i = 0; i < j->edge_count; i++)
        for (uint32_t k = 0; k < j->spans[i].found; k++)
            keep_nearest(s, &j->found[j->spans[i].place + k], table, size - 1);
    return true;
}

bool raster_outlines_blend(raster_outlines *j, arena *scratch, real *image)
{
    const raster_state *s = j->state;
    const size_t channels = (size_t)s->channels;
    j->image = image;
    if (!find_all_crossings(j, scratch))
        return false;
    for (size_t i = 0; i < s->crossing_count; i++) {
        const raster_crossing *c = &s->crossings[i];
        real weight = c->t - (real)0.5;
        real *target = image + channels * (weight < 0 ? c->inner : c->outer);
        for (size_t k = 0; k < channels; k++)
            target[k] += weight * c->contrast[k];
    }
    return true;
}

/* contrast, sign, t: image[target] += (t - 1/2) (colour of inner - colour of outer) */
void raster_blend_adjoint(const raster_state *state, const real *dimage, real *dscreen,
                          real (*dcolours)[RASTER_CHANNELS])
{
    const size_t channels = (size_t)state->channels;
    for (size_t i = 0; i < state->crossing_count; i++) {
        const raster_crossing *c = &state->crossings[i];
        const real weight = c->t - (real)0.5;
        const real *dtarget = dimage + channels * (weight < 0 ? c->inner : c->outer);
        real dt = 0;
        for (size_t k = 0; k < channels; k++) {
            dt += dtarget[k] * c->contrast[k];
            dcolours[i][k] = weight * dtarget[k];
        }
        real dat = c->sign * dt;
        const real shares[2] = { 1 - c->share, c->share };
        for (int k = 0; k < 2; k++) {
            real *d = dscreen + 3 * (size_t)c->vertices[k];
            d[c->axis] += shares[k] * dat;
            d[1 - c->axis] -= shares[k] * c->slope * dat;
        }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The left-right symmetry of a mesh, and where it takes each texel of the UV layout.
 *
 *   p = sum_k b_k v_k on face f  ->  p' = (-p_x, p_y, p_z) on f's partner g  ->  its uv there
 *
 * Faces pair up through their edges: an edge (p,q) of f is, mirrored and turned round, an edge of
 * g. Vertices are sorted by a number that mirroring keeps, so that those that can be the image of
 * one stand together; vertices alone would not do, as kits have several in one place. */
#include "raster/raster.h"

#include "math/math.h"

#include <stdlib.h>
#include <tgmath.h>

enum { CHUNK = 256 };
static const uint32_t none = UINT32_MAX;

typedef struct place {
    real key, x; /* of the vertex; x is here to pass over most without a look at them */
    uint32_t vertex;
} place;

typedef struct job {
    const raster_mesh *mesh;
    const mesh_adjacency *adjacency;
    real tolerance;
    place *places; /* (V) by key */
    uint32_t *partners;
} job;

/* An edge that may be the image of another: those at a place, corner by corner. */
typedef struct image {
    size_t place;
    uint32_t corner; /* of the place's, the next to be looked at */
    uint32_t vertices[3], face;
    size_t count; /* so far */
} image;
/* Of an edge, that are looked at: where there are more, the mesh is in one place, not symmetric. */
enum { MOST_IMAGES = 1000 };

/* y + g z: tells vertices apart also where they share y or z. */
static real key_of(const raster_mesh *mesh, uint32_t vertex)
{
    const real *p = mesh->vertices + 3 * (size_t)vertex;
    return p[1] + (real)0.6180339887 * p[2];
}

static int by_key(const void *left, const void *right)
{
    const place *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->vertex < b->vertex ? -1 : a->vertex > b->vertex;
}

/* Distance of vertex a from the mirrored vertex b. */
static real apart(const job *j, uint32_t a, uint32_t b)
{
    const real *p = j->mesh->vertices + 3 * (size_t)a, *q = j->mesh->vertices + 3 * (size_t)b;
    const real d[3] = { p[0] + q[0], p[1] - q[1], p[2] - q[2] };
    return sqrt(vec3_dot(d, d));
}

/* The vertices of an edge and the third one of its face. */
static void edge_vertices(const raster_mesh *mesh, size_t face, size_t corner, uint32_t v[3])
{
    for (size_t k = 0; k < 3; k++)
        v[k] = mesh->faces[3 * face + (corner + k) % 3];
}

/* Keys of a vertex and its image differ by at most sqrt(1 + g^2) times the tolerance. */
static real reach(const job *j)
{
    return (real)1.2 * j->tolerance;
}

/* Before the images of the edge v (3). */
static image first_image(const job *j, const uint32_t v[3])
{
    real key = key_of(j->mesh, v[0]) - reach(j);
    size_t low = 0, high = j->mesh->vertex_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (j->places[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return (image){ .place = low };
}

/* The next: vertices 0 and 1 are the images of v[1] and v[0]. False: there are no more, or more
 * than are looked at. */
static bool next_image(const job *j, const uint32_t v[3], image *i)
{
    const mesh_adjacency *a = j->adjacency;
    real last = key_of(j->mesh, v[0]) + reach(j), x = j->mesh->vertices[3 * (size_t)v[0]];
    for (; i->place < j->mesh->vertex_count && j->places[i->place].key <= last; i->place++) {
        if (fabs(j->places[i->place].x + x) > j->tolerance)
            continue;
        uint32_t vertex = j->places[i->place].vertex;
        uint32_t count = a->start[vertex + 1] - a->start[vertex];
        while (i->corner < count && apart(j, vertex, v[0]) <= j->tolerance) {
            uint32_t at = a->faces[a->start[vertex] + i->corner++];
            i->face = at / 3;
            edge_vertices(j->mesh, i->face, at % 3 + 2, i->vertices);
            if (apart(j, i->vertices[0], v[1]) <= j->tolerance)
                return ++i->count <= MOST_IMAGES;
        }
        i->corner = 0;
    }
    return false;
}

/* The face whose corners are nearest to the mirrored ones of f. crowded: an edge has too many
 * images. */
static uint32_t find_triangle(const job *j, size_t f, bool *crowded)
{
    uint32_t best = none, v[3];
    real least = 0;
    for (size_t k = 0; k < 3; k++) {
        edge_vertices(j->mesh, f, k, v);
        image i = first_image(j, v);
        while (next_image(j, v, &i)) {
            real third = apart(j, i.vertices[2], v[2]);
            real sum = third + apart(j, i.vertices[0], v[1]) + apart(j, i.vertices[1], v[0]);
            if (third <= j->tolerance && (best == none || sum < least)) {
                best = i.face;
                least = sum;
            }
        }
        if ((*crowded = i.count > MOST_IMAGES))
            return none;
    }
    return best;
}

/* Two faces on the images of two edges of f that have their third vertex in common. */
static bool find_quad(const job *j, size_t f, uint32_t partners[2])
{
    uint32_t v[2][3];
    for (size_t k = 0; k < 3; k++) {
        edge_vertices(j->mesh, f, k, v[0]);
        edge_vertices(j->mesh, f, k + 1, v[1]);
        for (image a = first_image(j, v[0]); next_image(j, v[0], &a);)
            for (image b = first_image(j, v[1]); next_image(j, v[1], &b);) {
                partners[0] = a.face;
                partners[1] = b.face;
                if (a.vertices[2] == b.vertices[2] && a.face != b.face)
                    return true;
            }
    }
    return false;
}

static void find_partners(void *context, size_t chunk)
{
    const job *j = context;
    size_t end = (chunk + 1) * CHUNK;
    end = end < j->mesh->face_count ? end : j->mesh->face_count;
    for (size_t f = chunk * CHUNK; f < end; f++) {
        uint32_t *partners = j->partners + 2 * f;
        bool crowded;
        partners[0] = partners[1] = find_triangle(j, f, &crowded);
        if (!crowded && partners[0] == none && !find_quad(j, f, partners))
            partners[0] = partners[1] = none;
    }
}

bool raster_uv_partners(const raster_mesh *mesh, const mesh_adjacency *adjacency, real tolerance,
                        arena *scratch, uint32_t *partners, size_t *lonely)
{
    job j = { .mesh = mesh, .adjacency = adjacency, .tolerance = tolerance, .partners = partners };
    arena_mark mark = arena_enter(scratch);
    j.places = arena_alloc(scratch, mesh->vertex_count, sizeof *j.places);
    if (!j.places)
        return false;
    for (uint32_t i = 0; i < mesh->vertex_count; i++)
        j.places[i] = (place){ key_of(mesh, i), mesh->vertices[3 * (size_t)i], i };
    qsort(j.places, mesh->vertex_count, sizeof *j.places, by_key);
    threads_parallel((mesh->face_count + CHUNK - 1) / CHUNK, find_partners, &j);
    *lonely = 0;
    for (size_t f = 0; f < mesh->face_count; f++)
        *lonely += partners[2 * f] == none;
    arena_leave(scratch, mark);
    return true;
}

typedef struct map_job {
    const raster_uv_layout *layout;
    const raster_mesh *mesh;
    const uint32_t *partners;
    real *map;
} map_job;

/* Barycentrics of p's foot on the plane of a face; the least of them. */
static double foot(const raster_mesh *mesh, uint32_t face, const double p[3], double b[3])
{
    const uint32_t *v = mesh->faces + 3 * (size_t)face;
    double e[2][3], d[3], m[3] = { 0 }, r[2] = { 0 };
    for (int c = 0; c < 3; c++) {
        double origin = (double)mesh->vertices[3 * (size_t)v[0] + (size_t)c];
        e[0][c] = (double)mesh->vertices[3 * (size_t)v[1] + (size_t)c] - origin;
        e[1][c] = (double)mesh->vertices[3 * (size_t)v[2] + (size_t)c] - origin;
        d[c] = p[c] - origin;
        m[0] += e[0][c] * e[0][c];
        m[1] += e[0][c] * e[1][c];
        m[2] += e[1][c] * e[1][c];
        r[0] += e[0][c] * d[c];
        r[1] += e[1][c] * d[c];
    }
    double determinant = m[0] * m[2] - m[1] * m[1];
    bool thin = !(determinant > 1e-12 * m[0] * m[2]);
    b[1] = thin ? 1.0 / 3 : (r[0] * m[2] - r[1] * m[1]) / determinant;
    b[2] = thin ? 1.0 / 3 : (r[1] * m[0] - r[0] * m[1]) / determinant;
    b[0] = 1 - b[1] - b[2];
    return fmin(b[0], fmin(b[1], b[2]));
}

static void mirror_texel(const map_job *j, size_t at, real uv[2])
{
    uv[0] = uv[1] = -1;
    if (!j->layout->faces[at])
        return;
    size_t face = (size_t)j->layout->faces[at] - 1;
    const uint32_t *partners = j->partners + 2 * face, *v = j->mesh->faces + 3 * face;
    if (partners[0] == none)
        return;
    double p[3] = { 0 }, b[2][3], sum = 0;
    for (int k = 0; k < 9; k++)
        p[k % 3] += (double)j->layout->barycentrics[3 * at + (size_t)k / 3] *
                    (double)j->mesh->vertices[3 * (size_t)v[k / 3] + (size_t)k % 3];
    p[0] = -p[0];
    double first = foot(j->mesh, partners[0], p, b[0]);
    int which = foot(j->mesh, partners[1], p, b[1]) > first;
    const uint32_t *t = j->mesh->uv_faces + 3 * (size_t)partners[which];
    for (int k = 0; k < 3; k++) {
        b[which][k] = fmax(b[which][k], 0);
        sum += b[which][k];
    }
    for (int c = 0; c < 2; c++) {
        double coordinate = 0;
        for (int k = 0; k < 3; k++)
            coordinate += b[which][k] / sum * (double)j->mesh->uvs[2 * (size_t)t[k] + (size_t)c];
        uv[c] = (real)coordinate;
    }
}

static void mirror_row(void *context, size_t row)
{
    const map_job *j = context;
    size_t width = (size_t)j->layout->width;
    for (size_t at = row * width; at < (row + 1) * width; at++)
        mirror_texel(j, at, j->map + 2 * at);
}

void raster_uv_mirror(const raster_uv_layout *layout, const raster_mesh *mesh,
                      const uint32_t *partners, real *map)
{
    map_job j = { .layout = layout, .mesh = mesh, .partners = partners, .map = map };
    threads_parallel((size_t)layout->height, mirror_row, &j);
}

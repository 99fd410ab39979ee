/* SPDX-License-Identifier: Apache-2.0 */
/* The left-right symmetry of a mesh, and where it takes each texel of the UV layout.
 *
 *   p = sum_k b_k v_k on face f  ->  p' = (-p_x, p_y, p_z) on f's partner g  ->  its uv there
 *
 * Faces pair up through their edges: an edge (p,q) of f is, mirrored and turned round, an edge of
 * g. Edges are sorted by a number of their middles that mirroring keeps, so that those that can be
 * meant stand together. Vertices alone would not do: kits have several in one place. */
#include "raster/raster_priv.h"

#include "math/math.h"

#include <stdlib.h>
#include <tgmath.h>

enum { CHUNK = 256 };
static const uint32_t none = UINT32_MAX;

typedef struct edge {
    real key;
    uint32_t corner; /* 3 face + the corner that it begins at */
} edge;

typedef struct job {
    const raster_mesh *mesh;
    real tolerance;
    edge *edges; /* (3F) by key */
    size_t count;
    uint32_t *partners;
} job;

/* The vertices of an edge and the third one of its face. */
static void edge_vertices(const raster_mesh *mesh, size_t corner, uint32_t v[3])
{
    const uint32_t *face = mesh->faces + corner / 3 * 3;
    for (size_t k = 0; k < 3; k++)
        v[k] = face[(corner + k) % 3];
}

/* Twice (y + g z) of the middle: apart also for meshes that are flat in y or in z. */
static real key_of(const raster_mesh *mesh, const uint32_t v[2])
{
    const real *p = mesh->vertices + 3 * (size_t)v[0], *q = mesh->vertices + 3 * (size_t)v[1];
    return p[1] + q[1] + (real)0.6180339887 * (p[2] + q[2]);
}

static int by_key(const void *left, const void *right)
{
    const edge *a = left, *b = right;
    if (a->key != b->key)
        return a->key < b->key ? -1 : 1;
    return a->corner < b->corner ? -1 : a->corner > b->corner;
}

/* Distance of vertex a from the mirrored vertex b. */
static real apart(const job *j, uint32_t a, uint32_t b)
{
    const real *p = j->mesh->vertices + 3 * (size_t)a, *q = j->mesh->vertices + 3 * (size_t)b;
    const real d[3] = { p[0] + q[0], p[1] - q[1], p[2] - q[2] };
    return sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
}

/* The first edge whose key is at least `key`. */
static size_t lower_bound(const job *j, real key)
{
    size_t low = 0, high = j->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (j->edges[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The next edge at or after *at whose mirror image is the edge of v (3), turned round; its three
 * vertices and *at behind it, or false. */
static bool next_image(const job *j, const uint32_t v[3], real key, size_t *at, uint32_t image[3])
{
    const real reach = 4 * j->tolerance; /* of keys: 2 (1 + g) tolerance and rounding */
    for (; *at < j->count && j->edges[*at].key <= key + reach; ++*at) {
        edge_vertices(j->mesh, j->edges[*at].corner, image);
        if (apart(j, image[0], v[1]) <= j->tolerance && apart(j, image[1], v[0]) <= j->tolerance) {
            ++*at;
            return true;
        }
    }
    return false;
}

static size_t first_image(const job *j, real key)
{
    return lower_bound(j, key - 4 * j->tolerance);
}

/* The face whose corners are nearest to the mirrored ones of f. */
static uint32_t find_triangle(const job *j, size_t f)
{
    uint32_t best = none, v[3], image[3];
    real least = 0;
    for (size_t k = 0; k < 3; k++) {
        edge_vertices(j->mesh, 3 * f + k, v);
        real key = key_of(j->mesh, v);
        for (size_t at = first_image(j, key); next_image(j, v, key, &at, image);) {
            real third = apart(j, image[2], v[2]);
            real sum = third + apart(j, image[0], v[1]) + apart(j, image[1], v[0]);
            if (third <= j->tolerance && (best == none || sum < least)) {
                best = j->edges[at - 1].corner / 3;
                least = sum;
            }
        }
    }
    return best;
}

/* Two faces on the images of two edges of f that have their third vertex in common. */
static bool find_quad(const job *j, size_t f, uint32_t partners[2])
{
    uint32_t v[2][3], image[2][3];
    for (size_t k = 0; k < 3; k++) {
        edge_vertices(j->mesh, 3 * f + k, v[0]);
        edge_vertices(j->mesh, 3 * f + (k + 1) % 3, v[1]);
        real keys[2] = { key_of(j->mesh, v[0]), key_of(j->mesh, v[1]) };
        for (size_t a = first_image(j, keys[0]); next_image(j, v[0], keys[0], &a, image[0]);)
            for (size_t b = first_image(j, keys[1]); next_image(j, v[1], keys[1], &b, image[1]);) {
                partners[0] = j->edges[a - 1].corner / 3;
                partners[1] = j->edges[b - 1].corner / 3;
                if (image[0][2] == image[1][2] && partners[0] != partners[1])
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
        partners[0] = partners[1] = find_triangle(j, f);
        if (partners[0] == none && !find_quad(j, f, partners))
            partners[0] = partners[1] = none;
    }
}

bool raster_uv_partners(const raster_mesh *mesh, real tolerance, arena *scratch, uint32_t *partners,
                        size_t *lonely)
{
    job j = {
        .mesh = mesh, .tolerance = tolerance, .count = 3 * mesh->face_count, .partners = partners
    };
    arena_mark mark = arena_enter(scratch);
    j.edges = arena_alloc(scratch, j.count, sizeof *j.edges);
    if (!j.edges)
        return false;
    for (size_t corner = 0; corner < j.count; corner++) {
        uint32_t v[3];
        edge_vertices(mesh, corner, v);
        j.edges[corner] = (edge){ .key = key_of(mesh, v), .corner = (uint32_t)corner };
    }
    qsort(j.edges, j.count, sizeof *j.edges, by_key);
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
        double place = 0;
        for (int k = 0; k < 3; k++)
            place += b[which][k] / sum * (double)j->mesh->uvs[2 * (size_t)t[k] + (size_t)c];
        uv[c] = (real)place;
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

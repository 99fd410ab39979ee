/* SPDX-License-Identifier: Apache-2.0 */
/* A UV layout of several tiles, each for a texture of its own, becomes one for one texture: the
 * tiles of each part go to square cells in [0,1], none over another.
 *
 *   uv' = corner + side (uv - tile),  side 2^-e: the largest with side^2 <= share of the surface
 *
 * What room is left doubles the smallest cells, of the larger surface first. Cells from large to
 * small are laid along a Z-order curve, which keeps each within its own square (Morton, 1966). */
#include "headfile_priv.h"
#include "math/math.h"

#include <math.h>

/* The least share of a cell of MOST is above 4^-DEEPEST. */
enum { MOST_CELLS = 64, DEEPEST = 4, ROOM = 1 << 2 * DEEPEST };
static const double least_weight =
    0.01; /* of the whole surface: small parts, as eyes, are looked at */

typedef struct cell {
    uint32_t part;
    double tile[2], surface;
    int depth;       /* e */
    float corner[2]; /* lower left */
} cell;

typedef struct tiles {
    cell cells[MOST_CELLS];
    size_t count;
    uint8_t *face_cells; /* (F) */
} tiles;

static bool is_one_tile(const head_model *m)
{
    for (size_t i = 0; i < 3 * m->face_count; i++)
        for (size_t k = 0; k < 2; k++) {
            float x = m->uvs[2 * (size_t)m->uv_faces[i] + k];
            if (!(x >= 0 && x <= 1))
                return false;
        }
    return true;
}

static double surface_of(const head_model *m, size_t face)
{
    const uint32_t *v = m->faces + 3 * face;
    real a[3], b[3], c[3];
    vec3_sub(m->vertices + 3 * (size_t)v[1], m->vertices + 3 * (size_t)v[0], a);
    vec3_sub(m->vertices + 3 * (size_t)v[2], m->vertices + 3 * (size_t)v[0], b);
    vec3_cross(a, b, c);
    return (double)vec3_length(c) / 2;
}

static bool same_cell(const cell *a, const cell *b)
{
    return a->part == b->part && a->tile[0] == b->tile[0] && a->tile[1] == b->tile[1];
}

/* The cell of each face, by its part and the tile of its middle. False: there are too many. */
static bool find_cells(const head_model *m, tiles *t)
{
    for (size_t f = 0; f < m->face_count; f++) {
        double tile[2] = { 0 };
        for (size_t k = 0; k < 6; k++)
            tile[k % 2] += (double)m->uvs[2 * (size_t)m->uv_faces[3 * f + k / 2] + k % 2] / 3;
        cell wanted = { .part = m->face_parts ? m->face_parts[f] : 0,
                        .tile = { floor(tile[0]), floor(tile[1]) } };
        size_t i = 0;
        while (i < t->count && !same_cell(&t->cells[i], &wanted))
            i++;
        if (i == MOST_CELLS)
            return false;
        if (i == t->count)
            t->cells[t->count++] = wanted;
        t->cells[i].surface += surface_of(m, f);
        t->face_cells[f] = (uint8_t)i;
    }
    return true;
}

/* In squares of the deepest cells. */
static int room_of(int depth)
{
    return 1 << 2 * (DEEPEST - depth);
}

static void choose_sides(tiles *t)
{
    double whole = 0, weights = 0;
    int left = ROOM;
    for (size_t i = 0; i < t->count; i++)
        whole += t->cells[i].surface;
    for (size_t i = 0; i < t->count; i++)
        weights += t->cells[i].surface + least_weight * whole;
    for (size_t i = 0; i < t->count; i++) {
        double share = (t->cells[i].surface + least_weight * whole) / weights;
        while (t->cells[i].depth < DEEPEST && !(room_of(t->cells[i].depth) <= share * ROOM))
            t->cells[i].depth++;
        left -= room_of(t->cells[i].depth);
    }
    for (;;) {
        cell *least = t->cells;
        for (cell *c = t->cells; c < t->cells + t->count; c++)
            if (c->depth > least->depth ||
                (c->depth == least->depth && c->surface > least->surface))
                least = c;
        if (least->depth == 0 || 3 * room_of(least->depth) > left)
            return;
        left -= 3 * room_of(least->depth--);
    }
}

/* Every second bit, from `bit` on. */
static int half_of_bits(int number, int bit)
{
    int half = 0;
    for (int k = 0; k < DEEPEST; k++)
        half |= (number >> (2 * k + bit) & 1) << k;
    return half;
}

static void place_cells(tiles *t)
{
    int at = 0;
    for (int depth = 0; depth <= DEEPEST; depth++)
        for (cell *c = t->cells; c < t->cells + t->count; c++) {
            if (c->depth != depth)
                continue;
            c->corner[0] = ldexpf((float)half_of_bits(at, 0), -DEEPEST);
            c->corner[1] = 1 - ldexpf((float)half_of_bits(at, 1), -DEEPEST) - ldexpf(1, -depth);
            at += room_of(depth);
        }
}

static void map_uv(const cell *c, const float *uv, float *out)
{
    for (int k = 0; k < 2; k++) {
        double inside = fmin(fmax((double)uv[k] - c->tile[k], 0), 1);
        out[k] = c->corner[k] + ldexpf((float)inside, -c->depth);
    }
}

/* A coordinate of several cells becomes several. False: out of memory. */
static bool move_uvs(head_model *m, const tiles *t)
{
    size_t count = m->uv_count, most = count + 3 * m->face_count;
    float *uvs = hds_alloc(most, 2 * sizeof *uvs);
    uint8_t *owners = hds_alloc(count, 1); /* 1 + the cell that has it */
    bool enough = uvs && owners;
    for (size_t i = 0; enough && i < 3 * m->face_count; i++) {
        uint32_t from = m->uv_faces[i];
        uint8_t owner = t->face_cells[i / 3] + 1;
        if (owners[from] && owners[from] != owner)
            m->uv_faces[i] = (uint32_t)count++;
        else
            owners[from] = owner;
        map_uv(&t->cells[owner - 1], m->uvs + 2 * (size_t)from, uvs + 2 * (size_t)m->uv_faces[i]);
    }
    hds_free(owners);
    if (!enough) {
        hds_free(uvs);
        return false;
    }
    hds_free(m->uvs);
    m->uvs = uvs;
    m->uv_count = count;
    return true;
}

hds_status headfile_pack_udims(head_model *m, const char *path, hds_error *error)
{
    if (!m->uvs || is_one_tile(m) || m->uv_count + 3 * m->face_count > UINT32_MAX)
        return HDS_OK;
    tiles t = { .face_cells = hds_alloc(m->face_count, 1) };
    bool enough = t.face_cells != NULL;
    if (enough && find_cells(m, &t)) {
        choose_sides(&t);
        place_cells(&t);
        enough = move_uvs(m, &t);
    }
    hds_free(t.face_cells);
    return enough ? HDS_OK
                  : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its texture coordinates",
                              path);
}

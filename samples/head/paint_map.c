/* SPDX-License-Identifier: Apache-2.0 */
/* The UV layout turned inside out: for each texel the point of the neutral head that it shows, and
 * for each texel between the islands the painted one nearest to it.
 *
 * A texel (i,j) has its centre at u = (j + 1/2) / size, v = 1 - (i + 1/2) / size. */
#include "paint_priv.h"

#include <math.h>
#include <stdlib.h>

enum { CHANNELS = 6 };

/* What is interpolated over a triangle. */
typedef struct corner {
    double value[CHANNELS]; /* x y z row column inside */
    double u, v;            /* in texels, v down */
} corner;

typedef struct build {
    paint_map *map;
    int size;
    const sculpt_topology *topology;
    float *vertices, *inside;
    uint32_t *nearest; /* (size,size) texel + 1 of the paint, 0: none yet */
} build;

static double cross(double ax, double ay, double bx, double by)
{
    return ax * by - ay * bx;
}

static void get_corner(const build *b, size_t face, int k, corner *c)
{
    uint32_t v = b->topology->faces[3 * face + k], t = b->topology->uv_faces[3 * face + k];
    for (int a = 0; a < 3; a++)
        c->value[a] = 1000.0 * b->vertices[3 * v + a];
    c->value[3] = b->topology->rows[v];
    c->value[4] = fabsf(b->topology->columns[v]);
    c->value[5] = b->inside[v];
    c->u = b->topology->uvs[2 * t] * b->size - .5;
    c->v = (1 - b->topology->uvs[2 * t + 1]) * b->size - .5;
}

static double grain_of(const corner c[3], double twice_area)
{
    double e[2][3], n = 0;
    for (int k = 0; k < 3; k++) {
        e[0][k] = c[1].value[k] - c[0].value[k];
        e[1][k] = c[2].value[k] - c[0].value[k];
    }
    for (int k = 0; k < 3; k++) {
        int l = (k + 1) % 3, m = (k + 2) % 3;
        n += pow(e[0][l] * e[1][m] - e[0][m] * e[1][l], 2);
    }
    return sqrt(sqrt(n) / fabs(twice_area));
}

static void fill_face(build *b, size_t face)
{
    corner c[3];
    for (int k = 0; k < 3; k++)
        get_corner(b, face, k, &c[k]);
    double area = cross(c[1].u - c[0].u, c[1].v - c[0].v, c[2].u - c[0].u, c[2].v - c[0].v);
    if (area == 0)
        return;
    uint32_t first = b->topology->faces[3 * face];
    double grain = grain_of(c, area);
    int low_u = (int)ceil(fmin(c[0].u, fmin(c[1].u, c[2].u)));
    int high_u = (int)floor(fmax(c[0].u, fmax(c[1].u, c[2].u)));
    int low_v = (int)ceil(fmin(c[0].v, fmin(c[1].v, c[2].v)));
    int high_v = (int)floor(fmax(c[0].v, fmax(c[1].v, c[2].v)));
    for (int i = low_v > 0 ? low_v : 0; i <= high_v && i < b->size; i++)
        for (int j = low_u > 0 ? low_u : 0; j <= high_u && j < b->size; j++) {
            uint32_t texel = (uint32_t)(i * b->size + j);
            double w[3], value[CHANNELS] = { 0 };
            for (int k = 0; k < 3; k++) {
                const corner *p = &c[(k + 1) % 3], *q = &c[(k + 2) % 3];
                w[k] = cross(p->u - j, p->v - i, q->u - j, q->v - i) / area;
            }
            if (b->nearest[texel] || w[0] < 0 || w[1] < 0 || w[2] < 0)
                continue;
            for (int k = 0; k < 3; k++)
                for (int a = 0; a < CHANNELS; a++)
                    value[a] += w[k] * c[k].value[a];
            b->nearest[texel] = texel + 1;
            b->map->places[b->map->count++] =
                (paint_place){ .texel = texel,
                               .x = (float)value[0],
                               .y = (float)value[1],
                               .z = (float)value[2],
                               .row = (float)value[3],
                               .column = (float)value[4],
                               .inside = (float)value[5],
                               .grain = (float)grain,
                               .region = b->topology->regions[first],
                               .mouth = value[3] > ROW_SUBNASALE && value[3] < ROW_CHIN };
        }
}

/* Rings of neighbours around what is painted, so that the nearest comes first. */
static bool fill_gutters(build *b)
{
    size_t all = (size_t)b->size * b->size, count = b->map->count;
    uint32_t *queue = malloc(all * sizeof *queue);
    if (!queue)
        return false;
    for (size_t k = 0; k < count; k++)
        queue[k] = b->map->places[k].texel;
    for (size_t k = 0; k < count; k++) {
        int i = (int)(queue[k] / b->size), j = (int)(queue[k] % b->size);
        static const int step[8][2] = { { 0, 1 }, { 0, -1 }, { 1, 0 },  { -1, 0 },
                                        { 1, 1 }, { 1, -1 }, { -1, 1 }, { -1, -1 } };
        for (int s = 0; s < 8; s++) {
            int y = i + step[s][0], x = j + step[s][1];
            uint32_t texel = (uint32_t)(y * b->size + x);
            if (y < 0 || x < 0 || y >= b->size || x >= b->size || b->nearest[texel])
                continue;
            b->nearest[texel] = b->nearest[queue[k]];
            queue[count++] = texel;
            b->map->gutters[b->map->gutter_count][0] = texel;
            b->map->gutters[b->map->gutter_count++][1] = b->nearest[texel] - 1;
        }
    }
    free(queue);
    return true;
}

static void mark_inside(float *inside)
{
    for (int side = 0; side < 2; side++)
        for (int k = 1; k <= EYE_LOOPS; k++)
            for (int p = 0; p < EYE_LOOP; p++)
                inside[sculpt_eye_loop(side, k, p)] = (float)k;
    for (int k = 1; k <= MOUTH_LOOPS; k++)
        for (int p = MOUTH_LAST; p <= MOUTH_LOOP - MOUTH_LAST; p++) {
            inside[sculpt_mouth_loop(k, p)] = (float)k;
            inside[sculpt_mirror(sculpt_mouth_loop(k, p))] = (float)k;
        }
}

bool paint_map_init(paint_map *map, int size)
{
    const sculpt_topology *topology = sculpt_get_topology();
    size_t all = (size_t)size * size;
    build b = { .map = map, .size = size, .topology = topology };
    *map = (paint_map){ .places = malloc(all * sizeof *map->places),
                        .gutters = malloc(all * sizeof *map->gutters) };
    b.vertices = malloc(3 * topology->vertex_count * sizeof *b.vertices);
    b.inside = calloc(topology->vertex_count, sizeof *b.inside);
    b.nearest = calloc(all, sizeof *b.nearest);
    bool done = map->places && map->gutters && b.vertices && b.inside && b.nearest;
    if (done) {
        sculpt_vertices(NULL, NULL, b.vertices);
        mark_inside(b.inside);
        for (int k = 0; k < 3; k++)
            map->pupil[k] = 1000.0 * b.vertices[3 * sculpt_landmark_vertex(SCULPT_PUPIL) + k];
        for (size_t f = 0; f < topology->face_count; f++)
            fill_face(&b, f);
        done = fill_gutters(&b);
    }
    free(b.vertices);
    free(b.inside);
    free(b.nearest);
    if (!done)
        paint_map_finish(map);
    return done;
}

void paint_map_finish(paint_map *map)
{
    free(map->places);
    free(map->gutters);
    *map = (paint_map){ 0 };
}

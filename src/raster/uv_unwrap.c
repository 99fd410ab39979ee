/* SPDX-License-Identifier: Apache-2.0 */
/* From pictures to a texture: the surface point p of a texel is projected into the picture.
 *
 *   weight = c s((c - cos 80) / (cos 60 - cos 80)),  c = n . (eye - p) / |eye - p|,
 *   s(t) = t^2 (3 - 2 t) on [0,1];   texture = sum weight colour / sum weight
 *
 * Whether the picture shows p is read from its depth buffer, at the four pixels of the bilinear
 * lookup and those around them. In 1/w the plane of p's face (normal N, not of unit length) is
 * linear on the screen, with r(x,y) the ray that goes one unit forward:
 *   1/w (x,y) = N . r(x,y) / N . (p - eye)
 * A pixel shows the same surface when its depth is that of the plane there, give or take one
 * pixel's width and what the plane itself (up to 80 degrees) sinks by across a pixel; or when it
 * shows a neighbour of p's face: where faces are large their neighbours leave the plane by much,
 * but are known, and where they are smaller than pixels the surface is smooth at that size or
 * cannot be told apart. One of the four that shows something nearer hides p; what is beyond p is
 * left out of the lookup; either of them, or among the pixels around, makes p's colour doubtful, as
 * pixels beside an outline have colours of both sides. */
#include "raster_priv.h"

#include "math/math.h"

#include <assert.h>
#include <string.h>
#include <tgmath.h>

static const real low_cosine = (real)0.17364817766693033, high_cosine = (real)0.5;
static const real steepest = (real)5.671281819617709; /* tan 80 */
static const real fold = 2, beside_edge = (real)1 / 64;

typedef struct job {
    const raster_uv_layout *layout;
    const raster_mesh *mesh;
    const real *normals;
    const raster_picture *picture;
    const raster_state *state;
    real *colours; /* (H,C) scratch of each row */
    real *sums, *weights;
} job;

/* 1/w around (x,y) on the plane of a face. */
typedef struct patch {
    uint32_t face;
    real x, y, inverse, slope[2], tolerance;
} patch;

/* p (3) and its normal n (3), not of unit length. */
static void find_point(const job *j, const uint32_t *v, const real *b, real p[3], real n[3])
{
    for (int c = 0; c < 3; c++)
        p[c] = n[c] = 0;
    for (int k = 0; k < 3; k++) {
        vec3_add_scaled(p, b[k], j->mesh->vertices + 3 * (size_t)v[k]);
        vec3_add_scaled(n, b[k], j->normals + 3 * (size_t)v[k]);
    }
}

static real weigh(const real n[3], const real d[3])
{
    real lengths = vec3_length(n) * vec3_length(d);
    real cosine = lengths > 0 ? -vec3_dot(n, d) / lengths : 0;
    real t = (cosine - low_cosine) / (high_cosine - low_cosine);
    if (!(t > 0))
        return 0;
    return t < 1 ? cosine * t * t * (3 - 2 * t) : cosine;
}

/* Where p = eye + d lies on the screen, and the plane of its face there. False: outside of the
 * picture, or the face is turned away. */
static bool project(const job *j, uint32_t face, const real d[3], patch *out)
{
    const raster_lens *lens = &j->state->lens;
    const real *corners[3];
    for (int k = 0; k < 3; k++)
        corners[k] = j->mesh->vertices + 3 * (size_t)j->mesh->faces[3 * (size_t)face + (size_t)k];
    real e1[3], e2[3], normal[3], w = -vec3_dot(lens->backward, d);
    vec3_sub(corners[1], corners[0], e1);
    vec3_sub(corners[2], corners[0], e2);
    vec3_cross(e1, e2, normal);
    real toward = vec3_dot(normal, d), focal = lens->focal;
    if (!(w >= lens->near && toward < 0))
        return false;
    *out = (patch){ .face = face, .inverse = 1 / w };
    out->x = lens->centre[0] + focal * vec3_dot(lens->right, d) / w;
    out->y = lens->centre[1] - focal * vec3_dot(lens->up, d) / w;
    out->slope[0] = vec3_dot(normal, lens->right) / (focal * toward);
    out->slope[1] = -vec3_dot(normal, lens->up) / (focal * toward);
    real width = out->inverse / focal, slope = hypot(out->slope[0], out->slope[1]);
    out->tolerance = width + fmin(slope, steepest * width);
    return out->x >= 0 && out->y >= 0 && out->x <= (real)j->state->width &&
           out->y <= (real)j->state->height;
}

/* Whether two faces that look the same way have an edge in common, and so cannot hide each other;
 * or a vertex, and so can only in a fold. */
static int common_vertices(const job *j, uint32_t left, uint32_t right)
{
    const uint32_t *a = j->mesh->faces + 3 * (size_t)left, *b = j->mesh->faces + 3 * (size_t)right;
    int common = 0;
    for (int k = 0; k < 9; k++)
        common += a[k / 3] == b[k % 3];
    return j->state->facing[left] == j->state->facing[right] ? common : 0;
}

/* What the picture shows at a pixel: less than 0, something beyond p's surface or nothing; 0, that
 * surface; more, something before it. */
static int compare(const job *j, const patch *p, int x, int y)
{
    const raster_state *s = j->state;
    size_t at = (size_t)y * (size_t)s->width + (size_t)x;
    uint32_t seen = s->visible[at];
    if (!seen)
        return -1;
    real dx = (real)x + (real)0.5 - p->x, dy = (real)y + (real)0.5 - p->y;
    real nearer = s->depth[at] - (p->inverse + p->slope[0] * dx + p->slope[1] * dy);
    if (fabs(nearer) <= p->tolerance)
        return 0;
    int common = common_vertices(j, p->face, s->slots[seen - 1].face);
    if (common > 1 || (common == 1 && nearer <= fold * p->tolerance))
        return 0;
    return nearer > 0 ? 1 : -1;
}

/* Bilinear lookup at p among the pixels that show its surface -> colour. Returns how much that is
 * worth: 0 where p is hidden or no pixel shows it. */
static real look(const job *j, const patch *p, real *colour)
{
    const raster_picture *picture = j->picture;
    int x0 = (int)floor(p->x - (real)0.5), y0 = (int)floor(p->y - (real)0.5);
    real worth = 1, sum = 0;
    for (int y = y0 - 1; y < y0 + 3; y++)
        for (int x = x0 - 1; x < x0 + 3; x++) {
            if (x < 0 || y < 0 || x >= picture->width || y >= picture->height)
                continue;
            int shown = compare(j, p, x, y);
            real share =
                (1 - fabs((real)x + (real)0.5 - p->x)) * (1 - fabs((real)y + (real)0.5 - p->y));
            bool inner = x >= x0 && x <= x0 + 1 && y >= y0 && y <= y0 + 1;
            if (inner && shown > 0)
                return 0;
            if (shown != 0)
                worth = beside_edge;
            if (!inner || shown != 0)
                continue;
            const real *pixel = picture->pixels + ((size_t)y * (size_t)picture->width + (size_t)x) *
                                                      (size_t)picture->channels;
            sum += share;
            for (int c = 0; c < picture->channels; c++)
                colour[c] += share * pixel[c];
        }
    for (int c = 0; c < picture->channels && sum > 0; c++)
        colour[c] /= sum;
    return sum > 0 ? worth : 0;
}

static void add_row(void *context, size_t row)
{
    const job *j = context;
    size_t width = (size_t)j->layout->width, channels = (size_t)j->picture->channels;
    for (size_t at = row * width; at < (row + 1) * width; at++) {
        real p[3], n[3], d[3], *colour = j->colours + row * channels;
        patch plane;
        if (!j->layout->faces[at])
            continue;
        uint32_t face = j->layout->faces[at] - 1;
        find_point(j, j->mesh->faces + 3 * (size_t)face, j->layout->barycentrics + 3 * at, p, n);
        vec3_sub(p, j->state->lens.eye, d);
        real weight = weigh(n, d);
        if (weight == 0 || !project(j, face, d, &plane))
            continue;
        memset(colour, 0, channels * sizeof *colour);
        weight *= look(j, &plane, colour);
        j->weights[at] += weight;
        for (size_t c = 0; c < channels && weight > 0; c++)
            j->sums[at * channels + c] += weight * colour[c];
    }
}

static bool draw_depth(raster_state *s, const raster_mesh *mesh, const raster_picture *picture,
                       arena *scratch)
{
    if (!raster_state_init(s, picture->width, picture->height, mesh->vertex_count, scratch))
        return false;
    raster_lens_init(&s->lens, &picture->camera, s->width, s->height);
    raster_project(&s->lens, mesh->vertices, mesh->vertex_count, s->screen, s->snapped);
    return raster_visible(s, mesh, scratch);
}

bool raster_unwrap_add(const raster_uv_layout *layout, const raster_mesh *mesh, const real *normals,
                       const raster_picture *picture, arena *scratch, real *sums, real *weights)
{
    assert(picture->height > 0 && picture->width > 0 && picture->channels > 0);
    assert(picture->height <= RASTER_LARGEST_SIDE && picture->width <= RASTER_LARGEST_SIDE);
    raster_state state;
    job j = { .layout = layout,
              .mesh = mesh,
              .normals = normals,
              .picture = picture,
              .state = &state,
              .sums = sums,
              .weights = weights };
    arena_mark mark = arena_enter(scratch);
    j.colours =
        arena_alloc(scratch, (size_t)layout->height, (size_t)picture->channels * sizeof(real));
    bool enough = j.colours && draw_depth(&state, mesh, picture, scratch);
    if (enough)
        threads_parallel((size_t)layout->height, add_row, &j);
    arena_leave(scratch, mark);
    return enough;
}

void raster_unwrap_divide(const raster_uv_layout *layout, int channels, const real *weights,
                          real *sums)
{
    size_t texels = (size_t)layout->height * (size_t)layout->width, stride = (size_t)channels;
    for (size_t at = 0; at < texels; at++)
        for (size_t c = 0; c < stride && weights[at] > 0; c++)
            sums[at * stride + c] /= weights[at];
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Meshes for the tests of the rasteriser: a sphere in rings with optional bumps and a texture
 * layout with a seam, its smooth normals, and a soup of random faces. */
#ifndef HDS_TEST_RASTER_MESHES_H
#define HDS_TEST_RASTER_MESHES_H

#include "raster/raster.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct test_mesh {
    raster_mesh mesh;
    real *vertices, *normals;
    uint32_t *faces, *uv_faces;
    float *uvs;
} test_mesh;

static inline void test_mesh_finish(test_mesh *m)
{
    free(m->vertices);
    free(m->normals);
    free(m->faces);
    free(m->uv_faces);
    free(m->uvs);
}

/* Area-weighted smooth normals, as mesh_normals makes them. */
static inline void test_mesh_normals(const raster_mesh *m, real *normals)
{
    memset(normals, 0, 3 * m->vertex_count * sizeof *normals);
    for (size_t f = 0; f < m->face_count; f++) {
        const uint32_t *v = m->faces + 3 * f;
        real e[2][3], n[3];
        for (int c = 0; c < 3; c++) {
            e[0][c] = m->vertices[3 * v[1] + c] - m->vertices[3 * v[0] + c];
            e[1][c] = m->vertices[3 * v[2] + c] - m->vertices[3 * v[0] + c];
        }
        for (int c = 0; c < 3; c++)
            n[c] = e[0][(c + 1) % 3] * e[1][(c + 2) % 3] - e[0][(c + 2) % 3] * e[1][(c + 1) % 3];
        for (int k = 0; k < 9; k++)
            normals[3 * v[k / 3] + k % 3] += n[k % 3];
    }
    for (size_t i = 0; i < m->vertex_count; i++) {
        real *n = normals + 3 * i;
        real length = (real)sqrt((double)(n[0] * n[0] + n[1] * n[1] + n[2] * n[2]));
        for (int c = 0; c < 3; c++)
            n[c] = length > 0 ? n[c] / length : c == 2;
    }
}

static inline void test_mesh_borrow(test_mesh *m)
{
    m->mesh.vertices = m->vertices;
    m->mesh.faces = m->faces;
    m->mesh.uvs = m->uvs;
    m->mesh.uv_faces = m->uv_faces;
}

/* `rings` rings of `2 rings` vertices and two poles: 4 rings^2 faces. The lowest `open` rings and
 * the lower pole are left away. Texture coordinates are (rings + 1) x (2 rings + 1), seam at -z. */
static inline test_mesh test_sphere(int rings, int open, real radius, real bumps)
{
    test_mesh m = { 0 };
    int around = 2 * rings;
    size_t vertices = (size_t)(rings * around + 2);
    m.vertices = calloc(3 * vertices, sizeof *m.vertices);
    m.normals = calloc(3 * vertices, sizeof *m.normals);
    m.faces = calloc((size_t)(12 * rings * rings), sizeof *m.faces);
    m.uv_faces = calloc((size_t)(12 * rings * rings), sizeof *m.uv_faces);
    m.uvs = calloc((size_t)(2 * (rings + 2) * (around + 1)), sizeof *m.uvs);
    for (int r = 0; r < rings + 2; r++) {
        for (int a = 0; a <= around; a++) {
            double theta = M_PI * r / (rings + 1), phi = 2 * M_PI * a / around - M_PI;
            double s =
                (double)radius * (1 + (double)bumps * sin(7 * theta) * cos(5 * phi) * sin(theta));
            size_t t = (size_t)(r * (around + 1) + a);
            m.uvs[2 * t] = (float)a / (float)around;
            m.uvs[2 * t + 1] = 1 - (float)r / (float)(rings + 1);
            if (a == around)
                continue;
            size_t v = r == 0 ? 0 : r > rings ? vertices - 1 : (size_t)(1 + (r - 1) * around + a);
            m.vertices[3 * v] = (real)(s * sin(theta) * sin(phi));
            m.vertices[3 * v + 1] = (real)(s * cos(theta));
            m.vertices[3 * v + 2] = (real)(s * sin(theta) * cos(phi));
        }
    }
    size_t f = 0;
    for (int r = 0; r <= rings - open; r++) {
        for (int a = 0; a < around; a++) {
            int next = (a + 1) % around;
            uint32_t top = (uint32_t)(r == 0 ? 0 : 1 + (r - 1) * around + a);
            uint32_t top_next = (uint32_t)(r == 0 ? 0 : 1 + (r - 1) * around + next);
            uint32_t low = (uint32_t)(r == rings ? rings * around + 1 : 1 + r * around + a);
            uint32_t low_next = (uint32_t)(r == rings ? rings * around + 1 : 1 + r * around + next);
            uint32_t t = (uint32_t)(r * (around + 1) + a), b = t + (uint32_t)around + 1;
            if (r > 0) {
                memcpy(m.faces + 3 * f, (uint32_t[]){ top, low, top_next }, 12);
                memcpy(m.uv_faces + 3 * f++, (uint32_t[]){ t, b, t + 1 }, 12);
            }
            if (r < rings) {
                memcpy(m.faces + 3 * f, (uint32_t[]){ top_next, low, low_next }, 12);
                memcpy(m.uv_faces + 3 * f++, (uint32_t[]){ t + 1, b, b + 1 }, 12);
            }
        }
    }
    m.mesh.vertex_count = vertices;
    m.mesh.face_count = f;
    m.mesh.uv_count = (size_t)((rings + 2) * (around + 1));
    test_mesh_borrow(&m);
    test_mesh_normals(&m.mesh, m.normals);
    return m;
}

/* Whether face f has the corners of an earlier one: which of them is seen would be up to rounding.
 */
static inline bool test_face_repeats(const uint32_t *faces, size_t f)
{
    for (size_t other = 0; other < f; other++) {
        int shared = 0;
        for (int k = 0; k < 9; k++)
            shared |= faces[3 * f + (size_t)(k / 3)] == faces[3 * other + (size_t)(k % 3)]
                          ? 1 << k / 3 | 8 << k % 3
                          : 0;
        if (shared == 63)
            return true;
    }
    return false;
}

/* Faces of random corners in a cube of side 2 `size`: slivers, both sides, shared vertices. */
static inline test_mesh test_soup(rng *r, size_t vertices, size_t faces, double size)
{
    test_mesh m = { 0 };
    m.vertices = calloc(3 * vertices, sizeof *m.vertices);
    m.normals = calloc(3 * vertices, sizeof *m.normals);
    m.faces = calloc(3 * faces, sizeof *m.faces);
    m.uv_faces = calloc(3 * faces, sizeof *m.uv_faces);
    m.uvs = calloc(2 * vertices, sizeof *m.uvs);
    for (size_t i = 0; i < 3 * vertices; i++)
        m.vertices[i] = (real)rng_range(r, -size, size);
    for (size_t i = 0; i < 2 * vertices; i++)
        m.uvs[i] = (float)rng_uniform(r);
    for (size_t f = 0; f < faces; f++) {
        do
            for (size_t i = 3 * f; i < 3 * f + 3; i++) {
                m.faces[i] = rng_below(r, (uint32_t)vertices);
                m.uv_faces[i] = rng_below(r, (uint32_t)vertices);
            }
        while (test_face_repeats(m.faces, f));
    }
    for (size_t i = 0; i < vertices; i++) { /* normals of their own, so that none is near zero */
        real *n = m.normals + 3 * i;
        double z = rng_range(r, 0.2, 1), a = rng_range(r, 0, 6.28), s = sqrt(1 - z * z);
        n[0] = (real)(s * cos(a));
        n[1] = (real)(s * sin(a));
        n[2] = (real)z;
    }
    m.mesh.vertex_count = vertices;
    m.mesh.face_count = faces;
    m.mesh.uv_count = vertices;
    test_mesh_borrow(&m);
    return m;
}

static inline raster_view test_view(int size, raster_mode mode)
{
    raster_view v = { .camera = { .azimuth = 20, .elevation = 15, .distance = 1, .fov_y = 30 },
                      .width = size,
                      .height = size,
                      .mode = mode,
                      .albedo = { (real)0.5, (real)0.5, (real)0.5 },
                      .background = { (real)0.2, (real)0.25, (real)0.3 } };
    raster_light_preset(0, v.light_kind, v.light);
    return v;
}

#endif

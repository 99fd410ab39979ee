/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of UV space share: a layout, and the surface under a texel. */
#ifndef HDS_TEST_UV_H
#define HDS_TEST_UV_H

#include "../raster_meshes.h"
#include "image/image.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const double rough = sizeof(real) == 4 ? 1e-5 : 1e-12;

static inline void *zeros(size_t count, size_t size)
{
    void *a = calloc(count ? count : 1, size);
    assert_non_null(a);
    return a;
}

static inline raster_uv_layout lay_out(const raster_mesh *mesh, int height, int width, arena *a)
{
    raster_uv_layout layout;
    assert_true(raster_uv_layout_init(&layout, mesh, height, width, a));
    assert_int_equal(layout.height, height);
    assert_int_equal(layout.width, width);
    return layout;
}

static inline size_t count_covered(const raster_uv_layout *layout)
{
    size_t count = 0;
    for (size_t i = 0; i < (size_t)layout->height * (size_t)layout->width; i++)
        count += layout->faces[i] != 0;
    return count;
}

/* Point and smooth unit normal of a texel. */
static inline void surface(const test_mesh *m, const raster_uv_layout *layout, size_t at,
                           double p[3], double n[3])
{
    double length = 0;
    for (int c = 0; c < 3; c++) {
        p[c] = n[c] = 0;
        for (int k = 0; k < 3; k++) {
            size_t v = m->faces[3 * (layout->faces[at] - 1) + (uint32_t)k];
            double b = (double)layout->barycentrics[3 * at + (size_t)k];
            p[c] += b * (double)m->vertices[3 * v + (size_t)c];
            n[c] += b * (double)m->normals[3 * v + (size_t)c];
        }
        length += n[c] * n[c];
    }
    for (int c = 0; c < 3; c++)
        n[c] /= sqrt(length);
}

/* partners (F,2) */
static inline void find_partners(const test_mesh *m, double tolerance, arena *a, uint32_t *partners,
                                 size_t *lonely)
{
    mesh_adjacency adjacency;
    hds_error error = { 0 };
    assert_int_equal(
        mesh_adjacency_init(&adjacency, m->faces, m->mesh.face_count, m->mesh.vertex_count, &error),
        HDS_OK);
    assert_true(raster_uv_partners(&m->mesh, &adjacency, (real)tolerance, a, partners, lonely));
    mesh_adjacency_finish(&adjacency);
}

#endif

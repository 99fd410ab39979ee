/* SPDX-License-Identifier: Apache-2.0 */
/* Which foreign meshes match a triangle mesh, and what is said about those that do not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "mesh/mesh.h"

/* Two quads side by side, split along different diagonals, and a lone triangle.
 *
 *   3---4---5
 *   | / | \ |  \
 *   0---1---2---6      triangle 2 6 5 */
static const uint32_t model[] = { 0, 1, 4, 4, 3, 0, 1, 2, 4, 5, 4, 2, 2, 6, 5 };
enum { FACES = 5, VERTICES = 7 };

static hds_status match(const uint32_t *sizes, size_t count, const uint32_t *corners,
                        size_t vertices, hds_error *error)
{
    const mesh_triangles triangles = { VERTICES, FACES, model, NULL };
    const mesh_polygons mesh = { vertices, count, sizes, corners, NULL };
    uint32_t order[VERTICES + 1];
    hds_status status = mesh_match(&triangles, &mesh, order, error);
    for (uint32_t i = 0; i < VERTICES && status == HDS_OK; i++)
        assert_int_equal(order[i], i);
    return status;
}

static void test_triangles_in_any_order(void **state)
{
    const uint32_t sizes[] = { 3, 3, 3, 3, 3 };
    const uint32_t corners[] = { 5, 2, 6, 4, 2, 5, 0, 4, 3, 2, 4, 1, 0, 1, 4 };
    assert_int_equal(match(sizes, 5, model, VERTICES, NULL), HDS_OK);
    assert_int_equal(match(sizes, 5, corners, VERTICES, NULL), HDS_OK);
}

static void test_quads_over_either_diagonal(void **state)
{
    const uint32_t sizes[] = { 4, 3, 4 };
    for (uint32_t turn = 0; turn < 4; turn++) {
        const uint32_t left[] = { 0, 1, 4, 3 }, right[] = { 1, 2, 5, 4 };
        uint32_t corners[11] = { [4] = 6, [5] = 5, [6] = 2 };
        for (uint32_t i = 0; i < 4; i++) {
            corners[i] = right[(i + turn) % 4];
            corners[7 + i] = left[(i + 2 * turn) % 4];
        }
        assert_int_equal(match(sizes, 3, corners, VERTICES, NULL), HDS_OK);
    }
}

static void test_one_polygon_over_all(void **state)
{
    const uint32_t size = 7, corners[] = { 1, 2, 6, 5, 4, 3, 0 };
    assert_int_equal(match(&size, 1, corners, VERTICES, NULL), HDS_OK);
}

static void test_counts_come_first(void **state)
{
    const uint32_t sizes[] = { 3, 3, 3, 3, 3 };
    hds_error error = { 0 };
    assert_int_equal(match(sizes, 5, model, 8, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "mesh has 8 vertices, expected the head model's 7");
    error = (hds_error){ 0 };
    assert_int_equal(match(sizes, 4, model, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "mesh has 4 faces that split into 4 triangles, expected "
                                       "the head model's 5 triangles");
}

static void test_first_foreign_face_is_named(void **state)
{
    const uint32_t sizes[] = { 4, 3, 4 };
    const uint32_t corners[] = { 0, 1, 4, 3, 6, 5, 1, 1, 2, 5, 4 };
    hds_error error = { 0 };
    assert_int_equal(match(sizes, 3, corners, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "face 1 (vertices 6 5 1) is not in the head model's "
                                       "topology, expected the same vertices in the same order");
}

static void test_a_triangle_is_used_once(void **state)
{
    const uint32_t sizes[] = { 3, 3, 3, 3, 3 };
    const uint32_t corners[] = { 0, 1, 4, 4, 3, 0, 1, 2, 4, 1, 2, 4, 2, 6, 5 };
    hds_error error = { 0 };
    assert_int_equal(match(sizes, 5, corners, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "face 3 (vertices 1 2 4) is not in"));
}

static void test_winding_is_told_apart(void **state)
{
    const uint32_t sizes[] = { 3, 4, 4 };
    const uint32_t corners[] = { 2, 6, 5, 3, 4, 1, 0, 4, 5, 2, 1 };
    hds_error error = { 0 };
    assert_int_equal(match(sizes, 3, corners, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_non_null(strstr(error.message, "face 1 (vertices 3 4 1 0) is wound the other way"));
}

static void test_hostile_polygons(void **state)
{
    const uint32_t small[] = { 3, 2 }, huge[] = { 3, UINT32_MAX }, far[] = { 0, 1, 7 };
    hds_error error = { 0 };
    assert_int_equal(match(small, 2, model, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "face 1 has 2 corners, expected 3 to 1024");
    assert_int_equal(match(huge, 2, model, VERTICES, NULL), HDS_ERROR_ARGUMENT);
    error = (hds_error){ 0 };
    assert_int_equal(match(small, 1, far, VERTICES, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "face 0 names vertex 7, expected less than 7");
}

/* Triangles 0 1 2 and 0 2 3 tile the quad; 0 1 3, on the same edges, must not lead astray. */
static void test_overlapping_faces(void **state)
{
    const uint32_t faces[] = { 3, 0, 1, 0, 1, 2, 0, 2, 3 };
    const uint32_t sizes[] = { 4, 3 }, corners[] = { 0, 1, 2, 3, 1, 3, 0 };
    const mesh_triangles triangles = { 4, 3, faces, NULL };
    const mesh_polygons mesh = { 4, 2, sizes, corners, NULL };
    uint32_t order[4];
    assert_int_equal(mesh_match(&triangles, &mesh, order, NULL), HDS_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_triangles_in_any_order),
        cmocka_unit_test(test_quads_over_either_diagonal),
        cmocka_unit_test(test_one_polygon_over_all),
        cmocka_unit_test(test_counts_come_first),
        cmocka_unit_test(test_first_foreign_face_is_named),
        cmocka_unit_test(test_a_triangle_is_used_once),
        cmocka_unit_test(test_winding_is_told_apart),
        cmocka_unit_test(test_hostile_polygons),
        cmocka_unit_test(test_overlapping_faces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

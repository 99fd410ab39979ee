/* SPDX-License-Identifier: Apache-2.0 */
/* Random views: backgrounds of several kinds that the rasteriser draws behind a head. */
#include "view/view.h"

#include "../raster_meshes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void backgrounds_are_of_several_kinds(void **state)
{
    enum { PIXELS = 24 };
    real image[3 * PIXELS * PIXELS], background[3 * PIXELS * PIXELS];
    test_mesh m = test_sphere(8, 0, (real)0.1, 0);
    raster_view view = test_view(PIXELS, RASTER_SHADED);
    view.background_picture = background;
    int kinds = 0;
    for (uint64_t seed = 0; seed < 40; seed++) {
        rng r = rng_make(seed, 6);
        arena a = { 0 };
        bool even = true;
        view_background_random(&r, PIXELS, PIXELS, background);
        for (int i = 0; i < 3 * PIXELS * PIXELS; i++) {
            assert_in_range((int)(1000 * (double)background[i]), 0, 1000);
            even &= background[i] == background[i % 3];
        }
        kinds |= even ? 1 : 2;
        assert_non_null(raster_draw(&m.mesh, m.normals, &view, &a, image));
        assert_memory_equal(image, background, 3 * PIXELS * sizeof *image);
        arena_finish(&a);
    }
    assert_int_equal(kinds, 3);
    test_mesh_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backgrounds_are_of_several_kinds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

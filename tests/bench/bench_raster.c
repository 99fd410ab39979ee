/* SPDX-License-Identifier: Apache-2.0 */
/* Time of one view, forward and adjoint, at several sizes of picture, as a ratio to the least that
 * the memory allows: picture and its gradient (12 bytes a pixel each), face and depth of a pixel
 * written and read twice (16), and mesh, normals and their gradients once, at the copying speed
 * measured in the same run on the same number of threads. */
#include "../raster_meshes.h"
#include "geometry.h"

enum { RINGS = 50, TEXTURE = 256 };

typedef struct buffers {
    real *image, *dimage, *dvertices, *dnormals, *texture, *dtexture;
} buffers;

static void measure(const test_mesh *m, const raster_view *view, const buffers *b, double best[2])
{
    arena a = { 0 };
    int rounds = view->width > 300 ? 30 : 200;
    best[0] = best[1] = 1e9;
    for (int i = 0; i < rounds; i++) {
        double start = bench_now();
        raster_state *s = raster_draw(&m->mesh, m->normals, view, &a, b->image);
        double middle = bench_now();
        if (!s || !raster_draw_adjoint(&m->mesh, m->normals, view, &a, s, b->dimage, b->dvertices,
                                       b->dnormals, view->texture ? b->dtexture : NULL, NULL))
            break;
        double end = bench_now();
        best[0] = middle - start < best[0] ? middle - start : best[0];
        best[1] = end - middle < best[1] ? end - middle : best[1];
        arena_leave(&a, (arena_mark){ 0 });
    }
    arena_finish(&a);
}

int main(void)
{
    const int sizes[] = { 64, 128, 256, 512, 1024 };
    const char *names[] = { "grey", "normals", "textured" };
    test_mesh m = test_sphere(RINGS, 0, (real)0.2, (real)0.1);
    size_t vertices = 3 * m.mesh.vertex_count, pixels = 3 * 1024 * 1024;
    size_t texels = 3 * TEXTURE * TEXTURE;
    buffers b = { calloc(pixels, sizeof(real)),   calloc(pixels, sizeof(real)),
                  calloc(vertices, sizeof(real)), calloc(vertices, sizeof(real)),
                  calloc(texels, sizeof(real)),   calloc(texels, sizeof(real)) };
    rng r = rng_make(1, 1);
    for (size_t i = 0; i < pixels; i++)
        b.dimage[i] = (real)rng_range(&r, -1, 1);
    for (size_t i = 0; i < texels; i++)
        b.texture[i] = (real)rng_uniform(&r);
    double speed = bench_bandwidth();
    printf("%zu faces, %d threads, copying at %.1f GB/s\n", m.mesh.face_count, threads_count(),
           speed * 1e-6);
    printf("%-9s %5s %10s %10s %10s %12s %12s\n", "mode", "size", "forward", "adjoint", "sum",
           "/ memory", "/ 512 px");
    for (int mode = 0; mode < 3; mode++) {
        double best[2], reference;
        raster_view view = test_view(512, mode == 1 ? RASTER_NORMALS : RASTER_SHADED);
        const raster_texture map = { TEXTURE, TEXTURE, 3, 1, b.texture };
        view.texture = mode == 2 ? &map : NULL;
        measure(&m, &view, &b, best);
        reference = best[0] + best[1];
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            view.width = view.height = sizes[i];
            measure(&m, &view, &b, best);
            double sum = best[0] + best[1], area = (double)sizes[i] * sizes[i];
            double bytes =
                40 * area + 4.0 * (4 * (double)vertices + 3.0 * (double)m.mesh.face_count);
            printf("%-9s %5d %7.3f ms %7.3f ms %7.3f ms %12.2f %12.3f\n", names[mode], sizes[i],
                   best[0], best[1], sum, sum / (bytes / speed), sum / reference);
        }
    }
    test_mesh_finish(&m);
    free(b.image);
    free(b.dimage);
    free(b.dvertices);
    free(b.dnormals);
    free(b.texture);
    free(b.dtexture);
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Golden pictures of the rasteriser: raster_<scene>.png. */
#include "../raster_meshes.h"
#include "golden.h"

enum { TEXTURE = 64 };

typedef struct scene {
    const char *name;
    int rings, open;
    double bumps, azimuth, elevation;
    raster_mode mode;
    bool textured;
    int light;
    double mean, share; /* allowed: mean difference, and share of bytes that differ by over 8 */
} scene;

static const scene scenes[] = {
    { "grey", 50, 0, 0.1, 20, 15, RASTER_SHADED, false, 0, 0.25, 0.002 },
    { "side_light", 50, 0, 0.1, 60, -15, RASTER_SHADED, false, 4, 0.25, 0.002 },
    { "faceted_outline", 5, 0, 0, 10, 20, RASTER_SHADED, false, 2, 0.25, 0.002 },
    { "open", 16, 7, 0.1, 20, -35, RASTER_SHADED, false, 1, 0.25, 0.002 },
    { "normals", 50, 0, 0.1, 20, 15, RASTER_NORMALS, false, 0, 0.25, 0.002 },
    { "depth", 50, 0, 0.1, 20, 15, RASTER_DEPTH, false, 0, 0.25, 0.004 },
    { "texture", 24, 0, 0.05, 150, 15, RASTER_SHADED, true, 3, 0.35, 0.004 },
};

static void paint(real *texture)
{
    for (int y = 0; y < TEXTURE; y++)
        for (int x = 0; x < TEXTURE; x++)
            for (int c = 0; c < 3; c++)
                texture[3 * (y * TEXTURE + x) + c] =
                    (x / 4 + y / 4) % 2 ? (real)0.7 : (real)(0.1 + 0.2 * c * x / TEXTURE);
}

static bool render(size_t i, golden_scene *out, uint8_t *pixels)
{
    static real image[GOLDEN_BYTES], texture[3 * TEXTURE * TEXTURE];
    const scene *s = &scenes[i];
    *out = (golden_scene){ s->name, s->mean, s->share };
    test_mesh m = test_sphere(s->rings, s->open, (real)0.2, (real)s->bumps);
    raster_view view = test_view(GOLDEN_SIZE, s->mode);
    view.camera.azimuth = (real)s->azimuth;
    view.camera.elevation = (real)s->elevation;
    raster_light_preset(s->light, view.light);
    paint(texture);
    if (s->textured) {
        view.texture = texture;
        view.texture_width = view.texture_height = TEXTURE;
    }
    arena a = { 0 };
    bool drawn = raster_draw(&m.mesh, m.normals, &view, &a, image);
    golden_bytes(image, pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
    return drawn;
}

int main(int count, char **words)
{
    return golden_main(count, words, "raster", sizeof scenes / sizeof *scenes, render);
}

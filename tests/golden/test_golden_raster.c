/* SPDX-License-Identifier: Apache-2.0 */
/* Golden pictures of the rasteriser: raster_<scene>.png. */
#include "../raster_meshes.h"
#include "golden.h"
#include "view/view.h"

enum { SIZE = GOLDEN_SIZE, TEXTURE = 64 };

typedef struct scene {
    const char *name;
    int rings, open;
    double bumps, azimuth, elevation;
    raster_mode mode;
    int levels; /* of the texture; 0: none */
    int light;
    double mean, share; /* allowed: mean difference, and share of bytes that differ by over 8 */
    raster_light light_kind;
    bool picture; /* behind it */
} scene;

static const scene scenes[] = {
    { "grey", 50, 0, 0.1, 20, 15, RASTER_SHADED, 0, 0, 0.25, 0.002, RASTER_HARMONICS, false },
    { "rig", 50, 0, 0.1, 20, 15, RASTER_SHADED, 0, 0, 0.25, 0.002, RASTER_RIG, true },
    { "side_light", 50, 0, 0.1, 60, -15, RASTER_SHADED, 0, 4, 0.25, 0.002, RASTER_HARMONICS,
      false },
    { "faceted_outline", 5, 0, 0, 10, 20, RASTER_SHADED, 0, 2, 0.25, 0.002, RASTER_HARMONICS,
      false },
    { "open", 16, 7, 0.1, 20, -35, RASTER_SHADED, 0, 1, 0.25, 0.002, RASTER_HARMONICS, false },
    { "normals", 50, 0, 0.1, 20, 15, RASTER_NORMALS, 0, 0, 0.25, 0.002, RASTER_HARMONICS, false },
    { "camera_normals", 50, 0, 0.1, 60, 15, RASTER_CAMERA_NORMALS, 0, 0, 0.25, 0.002,
      RASTER_HARMONICS, false },
    { "control_normals", 50, 0, 0.1, 60, 15, RASTER_CONTROL_NORMALS, 0, 0, 0.25, 0.002,
      RASTER_HARMONICS, false },
    { "depth", 50, 0, 0.1, 20, 15, RASTER_DEPTH, 0, 0, 0.25, 0.004, RASTER_HARMONICS, false },
    { "parts", 50, 0, 0.1, 20, 15, RASTER_PARTS, 0, 0, 0.25, 0.004, RASTER_HARMONICS, false },
    { "texture", 24, 0, 0.05, 150, 15, RASTER_SHADED, 1, 3, 0.35, 0.004, RASTER_HARMONICS, false },
    { "mip_mapped", 24, 0, 0.05, 150, 15, RASTER_SHADED, 7, 3, 0.35, 0.004, RASTER_HARMONICS,
      true },
    { "unlit", 24, 0, 0.05, 60, 15, RASTER_UNLIT, 1, 3, 0.35, 0.004, RASTER_HARMONICS, false },
};

static void paint(real *texture)
{
    for (int y = 0; y < TEXTURE; y++)
        for (int x = 0; x < TEXTURE; x++)
            for (int c = 0; c < 3; c++)
                texture[3 * (y * TEXTURE + x) + c] =
                    (x / 4 + y / 4) % 2 ? (real)0.7 : (real)(0.1 + 0.2 * c * x / TEXTURE);
}

static bool render(size_t scene_number, golden_scene *out, uint8_t *pixels)
{
    static real image[GOLDEN_BYTES], background[GOLDEN_BYTES], texture[4 * TEXTURE * TEXTURE];
    static const real colours[9] = { 1,         (real)0.2, (real)0.2, (real)0.2, 1,
                                     (real)0.3, (real)0.2, (real)0.3, 1 };
    const scene *s = &scenes[scene_number];
    *out = (golden_scene){ s->name, s->mean, s->share };
    rng r = rng_make(6, 1);
    test_mesh m = test_sphere(s->rings, s->open, (real)0.2, (real)s->bumps);
    raster_view view = test_view(SIZE, s->mode);
    view.camera.azimuth = (real)s->azimuth;
    view.camera.elevation = (real)s->elevation;
    view.light_kind = s->light_kind;
    raster_light_preset(s->light, view.light_kind, view.light);
    view_background_random(&r, SIZE, SIZE, background);
    view.background_picture = s->picture ? background : NULL;
    uint32_t *parts = calloc(m.mesh.face_count, sizeof *parts);
    for (size_t f = 0; parts && f < m.mesh.face_count; f++)
        parts[f] = (uint32_t)(3 * f / m.mesh.face_count);
    view.face_parts = parts;
    view.part_colours = colours;
    paint(texture);
    const raster_texture map = { TEXTURE, TEXTURE, 3, s->levels, texture };
    raster_texture_reduce(&map, texture);
    view.texture = s->levels ? &map : NULL;
    arena a = { 0 };
    bool drawn = parts && raster_draw(&m.mesh, m.normals, &view, &a, image);
    golden_bytes(image, pixels);
    arena_finish(&a);
    free(parts);
    test_mesh_finish(&m);
    return drawn;
}

int main(int count, char **words)
{
    return golden_main(count, words, "raster", sizeof scenes / sizeof *scenes, render);
}

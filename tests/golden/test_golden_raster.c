/* SPDX-License-Identifier: Apache-2.0 */
/* Golden pictures of the rasteriser: each scene is drawn and compared with raster_<scene>.png.
 * On a mismatch golden.html in the folder of the build shows actual, expected and the difference.
 *   test_golden_raster [--accept] folder-of-the-pictures folder-for-the-page */
#include "../raster_meshes.h"
#include "io/io.h"

#include <stdio.h>

enum { SIZE = 128, TEXTURE = 64, BYTES = 3 * SIZE * SIZE };

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

static bool render(const scene *s, uint8_t *pixels)
{
    static real image[BYTES], background[BYTES], texture[4 * TEXTURE * TEXTURE];
    static const real colours[9] = { 1,         (real)0.2, (real)0.2, (real)0.2, 1,
                                     (real)0.3, (real)0.2, (real)0.3, 1 };
    rng r = rng_make(6, 1);
    test_mesh m = test_sphere(s->rings, s->open, (real)0.2, (real)s->bumps);
    raster_view view = test_view(SIZE, s->mode);
    view.camera.azimuth = (real)s->azimuth;
    view.camera.elevation = (real)s->elevation;
    view.light_kind = s->light_kind;
    raster_light_preset(s->light, view.light_kind, view.light);
    raster_background_random(&r, SIZE, SIZE, background);
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
    for (int i = 0; i < BYTES; i++)
        pixels[i] = (uint8_t)(image[i] < 0 ? 0 : image[i] > 1 ? 255 : image[i] * 255 + (real)0.5);
    arena_finish(&a);
    free(parts);
    test_mesh_finish(&m);
    return drawn;
}

static bool agrees(const scene *s, const uint8_t *actual, const uint8_t *expected,
                   uint8_t *difference)
{
    long sum = 0, large = 0;
    for (int i = 0; i < BYTES; i++) {
        int d = abs(actual[i] - expected[i]);
        sum += d;
        large += d > 8;
        difference[i] = (uint8_t)(8 * d < 255 ? 8 * d : 255);
    }
    double mean = (double)sum / BYTES, share = (double)large / BYTES;
    printf("%-16s mean difference %.3f (allowed %.2f), over 8: %.4f (allowed %.4f)\n", s->name,
           mean, s->mean, share, s->share);
    return mean <= s->mean && share <= s->share;
}

static bool save(const char *folder, const char *name, const char *kind, const uint8_t *pixels)
{
    hds_error error = { 0 };
    char *path = hds_format("%s/raster_%s%s.png", folder, name, kind);
    bool saved = path && io_png_write(path, pixels, SIZE, SIZE, 3, &error) == HDS_OK;
    if (!saved)
        fprintf(stderr, "%s\n", error.message);
    hds_free(path);
    return saved;
}

static void report(FILE **page, const char *folder, const char *name)
{
    if (!*page) {
        char *path = hds_format("%s/golden.html", folder);
        *page = path ? fopen(path, "w") : NULL;
        hds_free(path);
        if (!*page)
            return;
        fprintf(*page, "<!doctype html><title>Golden pictures</title><style>img{width:384px;"
                       "image-rendering:pixelated}</style><table><tr><th>scene<th>actual"
                       "<th>expected<th>difference, times 8\n");
        fprintf(stderr, "see %s/golden.html\n", folder);
    }
    fprintf(*page, "<tr><td>%s", name);
    for (int i = 0; i < 3; i++)
        fprintf(*page, "<td><img src=\"raster_%s%s.png\">", name,
                (const char *[]){ "_actual", "_expected", "_difference" }[i]);
    fputc('\n', *page);
}

static bool check(const scene *s, const char *folder, const char *out, FILE **page)
{
    static uint8_t actual[BYTES], difference[BYTES];
    uint8_t *expected = NULL;
    hds_error error = { 0 };
    int width = 0, height = 0;
    if (!render(s, actual))
        return false;
    char *path = hds_format("%s/raster_%s.png", folder, s->name);
    bool found = path && io_png_read(path, 3, &expected, &width, &height, &error) == HDS_OK &&
                 width == SIZE && height == SIZE;
    bool good = found && agrees(s, actual, expected, difference);
    if (!found)
        fprintf(stderr, "%s: %s\n", path, error.message[0] ? error.message : "not 128 x 128");
    if (!good) {
        save(out, s->name, "_actual", actual);
        if (found) {
            save(out, s->name, "_expected", expected);
            save(out, s->name, "_difference", difference);
        }
        report(page, out, s->name);
    }
    hds_free(expected);
    hds_free(path);
    return good;
}

int main(int count, char **words)
{
    bool accept = count > 1 && strcmp(words[1], "--accept") == 0, good = true;
    static uint8_t pixels[BYTES];
    FILE *page = NULL;
    if (count != 3 + accept) {
        fprintf(stderr, "usage: test_golden_raster [--accept] folder-of-the-pictures out\n");
        return 2;
    }
    const char *folder = words[1 + accept], *out = words[2 + accept];
    for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
        if (accept)
            good &= render(&scenes[i], pixels) && save(folder, scenes[i].name, "", pixels);
        else
            good &= check(&scenes[i], folder, out, &page);
    }
    if (page)
        fclose(page);
    return !good;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Golden pictures: each scene is drawn and compared with <prefix>_<scene>.png. On a mismatch
 * <prefix>.html in the folder of the build shows actual, expected and the difference.
 *   program [--accept] folder-of-the-pictures folder-for-the-page */
#ifndef HDS_TEST_GOLDEN_H
#define HDS_TEST_GOLDEN_H

#include "io/io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GOLDEN_SIZE = 128, GOLDEN_BYTES = 3 * GOLDEN_SIZE * GOLDEN_SIZE };

typedef struct golden_scene {
    const char *name;
    double mean, share; /* allowed: mean difference, and share of bytes that differ by over 8 */
} golden_scene;

/* Says which scene i is and draws it, (GOLDEN_SIZE, GOLDEN_SIZE, 3); false: it could not. */
typedef bool (*golden_draw)(size_t i, golden_scene *scene, uint8_t *pixels);

static inline void golden_bytes(const real *image, uint8_t *pixels)
{
    for (int i = 0; i < GOLDEN_BYTES; i++)
        pixels[i] = (uint8_t)(image[i] < 0 ? 0 : image[i] > 1 ? 255 : image[i] * 255 + (real)0.5);
}

static inline bool golden_agrees(const golden_scene *s, const uint8_t *actual,
                                 const uint8_t *expected, uint8_t *difference)
{
    long sum = 0, large = 0;
    for (int i = 0; i < GOLDEN_BYTES; i++) {
        int d = abs(actual[i] - expected[i]);
        sum += d;
        large += d > 8;
        difference[i] = (uint8_t)(8 * d < 255 ? 8 * d : 255);
    }
    double mean = (double)sum / GOLDEN_BYTES, share = (double)large / GOLDEN_BYTES;
    printf("%-16s mean difference %.3f (allowed %.2f), over 8: %.4f (allowed %.4f)\n", s->name,
           mean, s->mean, share, s->share);
    return mean <= s->mean && share <= s->share;
}

static inline bool golden_save(const char *folder, const char *prefix, const char *name,
                               const char *kind, const uint8_t *pixels)
{
    hds_error error = { 0 };
    char *path = hds_format("%s/%s_%s%s.png", folder, prefix, name, kind);
    bool saved = path && io_png_write(path, pixels, GOLDEN_SIZE, GOLDEN_SIZE, 3, &error) == HDS_OK;
    if (!saved)
        fprintf(stderr, "%s\n", error.message);
    hds_free(path);
    return saved;
}

static inline void golden_report(FILE **page, const char *folder, const char *prefix,
                                 const char *name)
{
    if (!*page) {
        char *path = hds_format("%s/%s.html", folder, prefix);
        *page = path ? fopen(path, "w") : NULL;
        hds_free(path);
        if (!*page)
            return;
        fprintf(*page, "<!doctype html><title>Golden pictures</title><style>img{width:384px;"
                       "image-rendering:pixelated}</style><table><tr><th>scene<th>actual"
                       "<th>expected<th>difference, times 8\n");
        fprintf(stderr, "see %s/%s.html\n", folder, prefix);
    }
    fprintf(*page, "<tr><td>%s", name);
    for (int i = 0; i < 3; i++)
        fprintf(*page, "<td><img src=\"%s_%s%s.png\">", prefix, name,
                (const char *[]){ "_actual", "_expected", "_difference" }[i]);
    fputc('\n', *page);
}

static inline bool golden_check(const char *prefix, const golden_scene *s, const uint8_t *actual,
                                const char *folder, const char *out, FILE **page)
{
    static uint8_t difference[GOLDEN_BYTES];
    uint8_t *expected = NULL;
    hds_error error = { 0 };
    int width = 0, height = 0;
    char *path = hds_format("%s/%s_%s.png", folder, prefix, s->name);
    bool found = path && io_png_read(path, 3, &expected, &width, &height, &error) == HDS_OK &&
                 width == GOLDEN_SIZE && height == GOLDEN_SIZE;
    bool good = found && golden_agrees(s, actual, expected, difference);
    if (!found)
        fprintf(stderr, "%s: %s\n", path, error.message[0] ? error.message : "not 128 x 128");
    if (!good) {
        golden_save(out, prefix, s->name, "_actual", actual);
        if (found) {
            golden_save(out, prefix, s->name, "_expected", expected);
            golden_save(out, prefix, s->name, "_difference", difference);
        }
        golden_report(page, out, prefix, s->name);
    }
    hds_free(expected);
    hds_free(path);
    return good;
}

static inline int golden_main(int count, char **words, const char *prefix, size_t scenes,
                              golden_draw draw)
{
    bool accept = count > 1 && strcmp(words[1], "--accept") == 0, good = true;
    static uint8_t pixels[GOLDEN_BYTES];
    FILE *page = NULL;
    if (count != 3 + accept) {
        fprintf(stderr, "usage: %s [--accept] folder-of-the-pictures out\n", words[0]);
        return 2;
    }
    const char *folder = words[1 + accept], *out = words[2 + accept];
    for (size_t i = 0; i < scenes; i++) {
        golden_scene scene = { 0 };
        bool drawn = draw(i, &scene, pixels);
        if (!drawn)
            fprintf(stderr, "%s: not drawn\n", scene.name);
        else if (accept)
            drawn = golden_save(folder, prefix, scene.name, "", pixels);
        else
            drawn = golden_check(prefix, &scene, pixels, folder, out, &page);
        good &= drawn;
    }
    if (page)
        fclose(page);
    return !good;
}

#endif

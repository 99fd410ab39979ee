/* SPDX-License-Identifier: Apache-2.0 */
/* Paints textures: layers of pigment mixed in log albedo, skin first, hair last. */
#include "paint_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const paint_attribute_names[PAINT_ATTRIBUTES] = {
    "skin_tone",  "hair_lightness", "hair_redness", "hair_cover", "brow_thickness",
    "lip_colour", "eye_colour",     "beard",        "age_lines"
};

enum {
    MINOR_REDNESS,
    MINOR_YELLOW,
    MINOR_BLUSH,
    MINOR_NOSE,
    MINOR_FRECKLES,
    MINOR_MOTTLE,
    MINOR_EYE_BAGS,
    MINOR_LIP_HUE,
    MINOR_STRANDS,
    MINOR_BROW_DARK,
    MINOR_BROW_HEIGHT,
    MINOR_BEARD_HUE,
    MINOR_IRIS_SIZE,
    MINOR_SCLERA,
    MINOR_PEAK,
    MINOR_BROW_TILT
};

/* What all texels of a head share: colours in log albedo, strengths. */
typedef struct palette {
    float skin[3], hair[3], brow[3], beard[3], lip[3], lash[3], mouth[3], rim[3];
    float iris[3], pupil[3], sclera[3];
    float cover, brow_half, brow_opacity, brow_up, brow_tilt, beard_opacity, lines, spots, mottle;
    float blush, nose, freckles, eye_bags, strands, peak, iris_size;
} palette;

static float ramp(float low, float high, float x)
{
    float t = fminf(fmaxf((x - low) / (high - low), 0), 1);
    return t * t * (3 - 2 * t);
}

static void mix(float colour[3], const float to[3], float share)
{
    for (int c = 0; c < 3; c++)
        colour[c] += share * (to[c] - colour[c]);
}

static void tint(float colour[3], float r, float g, float b, float amount)
{
    colour[0] += r * amount;
    colour[1] += g * amount;
    colour[2] += b * amount;
}

static float beard_opacity(float beard)
{
    static const float at[] = { -2.6f, -1, 0, 1, 2, 2.6f };
    static const float opacity[] = { 0, 0.07f, 0.24f, 0.62f, 0.9f, 0.97f };
    int k = 0;
    while (k < 4 && beard > at[k + 1])
        k++;
    float t = fminf(fmaxf((beard - at[k]) / (at[k + 1] - at[k]), 0), 1);
    return opacity[k] + t * (opacity[k + 1] - opacity[k]);
}

static void set_lips(palette *p, const float *a, const float *m)
{
    float lipstick[3], t = a[PAINT_LIP_COLOUR];
    paint_fixed_colour(182, 22, 42, lipstick);
    memcpy(p->lip, p->skin, sizeof p->lip);
    float natural = fmaxf(1 + 0.5f * t, -0.3f);
    tint(p->lip, -0.12f, -0.5f, -0.36f, t < 0 ? natural : 1);
    tint(p->lip, 0.05f, 0, 0.12f, 0.4f * m[MINOR_LIP_HUE]);
    mix(p->lip, lipstick, 0.9f * ramp(-0.4f, 2.8f, t));
}

static void set_palette(palette *p, const float *a, const float *m)
{
    paint_skin_colour(a[PAINT_SKIN_TONE], p->skin);
    tint(p->skin, 0.04f, -0.05f, -0.04f, m[MINOR_REDNESS]);
    tint(p->skin, 0, 0.01f, -0.07f, m[MINOR_YELLOW]);
    paint_hair_colour(a[PAINT_HAIR_LIGHTNESS], a[PAINT_HAIR_REDNESS], p->hair);
    memcpy(p->brow, p->hair, sizeof p->brow);
    tint(p->brow, -1, -1, -1, 0.3f + 0.12f * m[MINOR_BROW_DARK]);
    memcpy(p->beard, p->hair, sizeof p->beard);
    tint(p->beard, 0.06f, -0.02f, -0.1f, 1 + m[MINOR_BEARD_HUE]);
    tint(p->beard, -1, -1, -1, 0.12f);
    set_lips(p, a, m);
    paint_fixed_colour(24, 17, 15, p->lash);
    paint_fixed_colour(96, 34, 34, p->mouth);
    memcpy(p->rim, p->skin, sizeof p->rim);
    tint(p->rim, 0, -0.5f, -0.4f, 1);
    paint_iris_colour(a[PAINT_EYE_COLOUR], p->iris);
    paint_fixed_colour(8, 7, 7, p->pupil);
    paint_fixed_colour(236, 231, 226, p->sclera);
    tint(p->sclera, 0, -0.05f, -0.05f, fabsf(m[MINOR_SCLERA]));

    float old = a[PAINT_AGE_LINES];
    p->cover = a[PAINT_HAIR_COVER];
    p->brow_half = 3.0f * expf(0.36f * a[PAINT_BROW_THICKNESS]);
    p->brow_opacity = fminf(fmaxf(0.72f + 0.13f * a[PAINT_BROW_THICKNESS], 0.3f), 0.98f);
    p->brow_up = 0.8f * m[MINOR_BROW_HEIGHT];
    p->brow_tilt = 0.03f * m[MINOR_BROW_TILT];
    p->beard_opacity = beard_opacity(a[PAINT_BEARD]);
    p->lines = 0.13f * expf(0.75f * old);
    p->spots = 0.05f * expf(0.7f * old);
    p->mottle = (0.05f + 0.012f * m[MINOR_MOTTLE]) * expf(0.25f * old);
    p->blush = fmaxf(0.18f + 0.08f * m[MINOR_BLUSH], 0);
    p->nose = fmaxf(0.14f + 0.08f * m[MINOR_NOSE], 0);
    p->freckles = fmaxf(0.25f * m[MINOR_FRECKLES] - 0.1f, 0);
    p->eye_bags = fmaxf(0.12f + 0.05f * m[MINOR_EYE_BAGS] + 0.05f * old, 0);
    p->strands = fmaxf(0.3f + 0.06f * m[MINOR_STRANDS], 0.1f);
    p->peak = 0.5f * m[MINOR_PEAK];
    p->iris_size = 1 + 0.05f * m[MINOR_IRIS_SIZE];
}

static void paint_skin_texel(const palette *p, const paint_skin *s, float colour[3])
{
    memcpy(colour, p->skin, 3 * sizeof *colour);
    float mottle = 0.6f * s->noise[0] + 0.6f * s->noise[1] + 0.5f * s->noise[2];
    tint(colour, 0.7f, 1.1f, 1, p->mottle * mottle);
    tint(colour, 0.1f, -1, -0.8f, p->blush * s->cheeks + p->nose * s->nose + 0.1f * s->ears);
    tint(colour, -0.7f, -1.1f, -1.3f, p->freckles * s->freckles + p->spots * s->spots);
    tint(colour, -0.8f, -1, -0.7f, p->eye_bags * s->eye_bags);
    tint(colour, -0.85f, -1, -1, p->lines * s->lines);
    tint(colour, -1, -1, -1, 1.3f * s->cavity);
    mix(colour, p->lip, s->lips);

    float beard = ramp(0, 5, s->beard + 1.2f * s->beard_strand);
    if (beard > 0) {
        float hair[3] = { p->beard[0], p->beard[1], p->beard[2] };
        tint(hair, 1, 1, 1, p->strands * s->beard_strand);
        mix(colour, hair, beard * p->beard_opacity * (0.92f + 0.08f * s->beard_strand));
    }
    float height = s->brow - p->brow_up - p->brow_tilt * 20;
    float brow = ramp(1.2f, -0.8f, fabsf(height) - p->brow_half * (0.35f + 0.65f * s->brow_along));
    if (brow * s->brow_along > 0)
        mix(colour, p->brow,
            brow * fminf(3 * s->brow_along, 1) *
                fminf(p->brow_opacity * (0.95f + 0.2f * s->brow_strand), 1));
    float hair = ramp(-0.22f, 0.22f, p->cover + p->peak * s->peak - s->hair + 0.14f * s->strand);
    if (hair > 0) {
        float strand[3] = { p->hair[0], p->hair[1], p->hair[2] };
        tint(strand, 1, 1, 1, p->strands * (s->strand + 0.7f * s->lock));
        mix(colour, strand, 0.97f * hair);
    }
    mix(colour, p->rim, 0.7f * s->lid);
    mix(colour, p->mouth, s->mouth);
    mix(colour, p->lash, 0.85f * s->lash);
}

static void paint_eye_texel(const palette *p, const paint_eye *e, float colour[3])
{
    float soft = 1 + 0.6f * e->grain, radius = 28 * p->iris_size;
    memcpy(colour, p->sclera, 3 * sizeof *colour);
    tint(colour, 0, -0.25f, -0.2f, ramp(40, 75, e->polar));
    float iris[3] = { p->iris[0], p->iris[1], p->iris[2] };
    tint(iris, 1, 1, 1, 0.22f * e->spokes);
    tint(iris, -1, -1, -1, 0.9f * ramp(radius * 0.74f, radius, e->polar));
    mix(colour, iris, ramp(radius + soft, radius - soft, e->polar));
    mix(colour, p->pupil, ramp(11 + soft, 11 - soft, e->polar));
    tint(colour, -1, -1, -1, 0.3f * e->shade);
}

void painter_paint(const painter *p, const float *attributes, const float *minor, uint8_t *texture)
{
    static const float zeros[PAINT_MINOR + PAINT_ATTRIBUTES] = { 0 };
    palette shared;
    set_palette(&shared, attributes ? attributes : zeros, minor ? minor : zeros);
    for (size_t i = 0; i < p->skin_count; i++) {
        float colour[3];
        paint_skin_texel(&shared, &p->skin[i], colour);
        paint_encode(colour, texture + 3 * (size_t)p->skin[i].texel);
    }
    for (size_t i = 0; i < p->eye_count; i++) {
        float colour[3];
        paint_eye_texel(&shared, &p->eyes[i], colour);
        paint_encode(colour, texture + 3 * (size_t)p->eyes[i].texel);
    }
    for (size_t i = 0; i < p->map.gutter_count; i++)
        memcpy(texture + 3 * (size_t)p->map.gutters[i][0],
               texture + 3 * (size_t)p->map.gutters[i][1], 3);
}

painter *painter_create(int size)
{
    painter *p = calloc(1, sizeof *p);
    if (!p || !paint_map_init(&p->map, size)) {
        free(p);
        return NULL;
    }
    p->size = size;
    p->skin = malloc(p->map.count * sizeof *p->skin);
    p->eyes = malloc(p->map.count * sizeof *p->eyes);
    if (!p->skin || !p->eyes) {
        painter_destroy(p);
        return NULL;
    }
    for (size_t i = 0; i < p->map.count; i++) {
        const paint_place *place = &p->map.places[i];
        if (place->region == SCULPT_SKIN)
            paint_skin_fields(place, &p->skin[p->skin_count++]);
        else
            paint_eye_fields(&p->map, place, &p->eyes[p->eye_count++]);
    }
    return p;
}

void painter_destroy(painter *p)
{
    if (!p)
        return;
    paint_map_finish(&p->map);
    free(p->skin);
    free(p->eyes);
    free(p);
}

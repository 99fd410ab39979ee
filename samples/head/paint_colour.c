/* SPDX-License-Identifier: Apache-2.0 */
/* The colours of skin, hair and irises along their attributes: straight lines in log albedo
 * between colours chosen by eye. */
#include "paint_priv.h"

#include <math.h>

enum { KEYS = 5 };
typedef struct key {
    float at;
    uint8_t srgb[3];
} key;

static const key skin_keys[KEYS] = { { -2.5f, { 250, 226, 212 } },
                                     { -1.2f, { 234, 194, 170 } },
                                     { 0, { 207, 158, 128 } },
                                     { 1.2f, { 141, 95, 70 } },
                                     { 2.5f, { 70, 44, 34 } } };
static const key hair_keys[KEYS] = { { -2.5f, { 14, 12, 12 } },
                                     { -1, { 36, 27, 22 } },
                                     { 0, { 82, 58, 42 } },
                                     { 1, { 152, 116, 74 } },
                                     { 2.5f, { 232, 204, 150 } } };
static const key iris_keys[KEYS] = { { -2.5f, { 42, 24, 15 } },
                                     { -1, { 88, 54, 30 } },
                                     { 0, { 112, 100, 66 } },
                                     { 1, { 92, 140, 172 } },
                                     { 2.5f, { 88, 178, 236 } } };

static float to_log(uint8_t srgb)
{
    double s = srgb / 255.0;
    double linear = s <= 0.04045 ? s / 12.92 : pow((s + 0.055) / 1.055, 2.4);
    return (float)log(fmax(linear, 1e-4));
}

void paint_fixed_colour(int r, int g, int b, float colour[3])
{
    colour[0] = to_log((uint8_t)r);
    colour[1] = to_log((uint8_t)g);
    colour[2] = to_log((uint8_t)b);
}

static void between(const key keys[KEYS], float at, float colour[3])
{
    int k = 0;
    while (k < KEYS - 2 && at > keys[k + 1].at)
        k++;
    float t = (at - keys[k].at) / (keys[k + 1].at - keys[k].at);
    for (int c = 0; c < 3; c++) {
        float low = to_log(keys[k].srgb[c]), high = to_log(keys[k + 1].srgb[c]);
        colour[c] = low + t * (high - low);
    }
}

void paint_skin_colour(float tone, float colour[3])
{
    between(skin_keys, tone, colour);
}

void paint_hair_colour(float lightness, float redness, float colour[3])
{
    between(hair_keys, lightness, colour);
    if (redness > 0) {
        static const float copper[3] = { 0.42f, -0.10f, -0.55f };
        for (int c = 0; c < 3; c++)
            colour[c] += redness * copper[c];
        return;
    }
    /* Ashen: towards a grey a little lighter than the hair. */
    float grey = 0.25f * (0.3f * colour[0] + 0.6f * colour[1] + 0.1f * colour[2]) +
                 0.75f * 0.5f * (colour[0] + colour[1]);
    float share = 1 - expf(0.9f * redness);
    for (int c = 0; c < 3; c++)
        colour[c] += share * (grey - 0.22f * redness - colour[c]);
}

void paint_iris_colour(float blueness, float colour[3])
{
    between(iris_keys, blueness, colour);
}

void paint_encode(const float colour[3], uint8_t srgb[3])
{
    for (int c = 0; c < 3; c++) {
        float linear = expf(colour[c]);
        float s =
            linear <= 0.0031308f ? 12.92f * linear : 1.055f * expf(colour[c] * (1 / 2.4f)) - 0.055f;
        srgb[c] = (uint8_t)(255 * fminf(fmaxf(s, 0), 1) + 0.5f);
    }
}

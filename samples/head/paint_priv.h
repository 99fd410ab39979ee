/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the painter share. Millimetres; colours are natural logarithms of linear
 * albedo, in which pigments add up and mixing is a straight line. */
#ifndef PAINT_PRIV_H
#define PAINT_PRIV_H

#include "paint.h"
#include "sculpt_priv.h"

#include <stdbool.h>

/* ---- paint_map.c: which point of the head each texel shows ---- */

typedef struct paint_place {
    uint32_t texel;    /* row * size + column of the picture */
    float x, y, z;     /* on the neutral head */
    float row, column; /* of the sculpt's grid, the column without its sign */
    float inside;      /* loops behind the margin: into the mouth, or behind the lids */
    float grain;       /* millimetres a texel */
    uint8_t region;    /* SCULPT_SKIN, ... */
    bool mouth;        /* `inside` is of the mouth */
} paint_place;

typedef struct paint_map {
    paint_place *places;
    size_t count;
    uint32_t (*gutters)[2]; /* texel, the painted one nearest to it */
    size_t gutter_count;
    double pupil[3]; /* own left */
} paint_map;
bool paint_map_init(paint_map *map, int size);
void paint_map_finish(paint_map *map);

/* ---- paint_fields.c: what lies where ---- */

enum { PAINT_NOISES = 3 };

/* Of a texel of the skin. Masks are in [0,1]. */
typedef struct paint_skin {
    uint32_t texel;
    float hair;                          /* the hair_cover at which hair begins to grow here */
    float strand, lock;                  /* noise along the hair, fine and coarse, about [-1,1] */
    float peak;                          /* middle of the front hairline */
    float brow, brow_along, brow_strand; /* mm off the centre line, signed up; its taper; noise */
    float beard, beard_strand;           /* mm inside the beard's outline; noise */
    float lips, mouth, lash, lid;        /* lid: the moist rim */
    float cheeks, nose, ears, freckles, eye_bags, cavity, spots;
    float lines;               /* wrinkles: depth */
    float noise[PAINT_NOISES]; /* mottling from coarse to fine, about [-1,1] */
} paint_skin;

/* Of a texel of an eyeball. */
typedef struct paint_eye {
    uint32_t texel;
    float polar;  /* degrees from the pupil */
    float grain;  /* degrees a texel */
    float spokes; /* noise around the pupil, about [-1,1] */
    float shade;  /* under the upper lid */
} paint_eye;

void paint_skin_fields(const paint_place *place, paint_skin *skin);
void paint_eye_fields(const paint_map *map, const paint_place *place, paint_eye *eye);

/* ---- paint_noise.c ---- */
double paint_noise(double x, double y, double z);     /* smooth, about [-1,1], cells of size 1 */
double paint_ramp(double low, double high, double x); /* smooth step from 0 to 1 */

/* ---- paint_colour.c: natural logarithms of linear albedo ---- */
void paint_skin_colour(float tone, float colour[3]);
void paint_hair_colour(float lightness, float redness, float colour[3]);
void paint_iris_colour(float blueness, float colour[3]);
void paint_fixed_colour(int r, int g, int b, float colour[3]); /* of sRGB bytes */
void paint_encode(const float colour[3], uint8_t srgb[3]);

struct painter {
    int size;
    paint_map map;
    paint_skin *skin;
    size_t skin_count;
    paint_eye *eyes;
    size_t eye_count;
};

#endif

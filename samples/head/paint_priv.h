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
    double landmarks[SCULPT_LANDMARKS][3]; /* own left */
} paint_map;
bool paint_map_init(paint_map *map, int size);
void paint_map_finish(paint_map *map);

/* ---- paint_fields.c: what lies where ---- */

enum { PAINT_LINES = 4, PAINT_NOISES = 3 };

/* Of a texel of the skin. Masks are in [0,1]. */
typedef struct paint_skin {
    uint32_t texel;
    float hair;                  /* the hair_cover at which hair begins to grow here */
    float strand, lock;          /* noise along the hair, fine and coarse, about [-1,1] */
    float peak;                  /* middle of the front hairline */
    float brow, brow_strand;     /* mm from the brow's centre line, by unit of its thickness */
    float beard, beard_strand;   /* mm inside the beard's outline */
    float lips, mouth, lash, lid; /* lid: the moist rim */
    float cheeks, nose, ears, freckles, eye_bags, cavity, spots;
    float lines[PAINT_LINES];    /* forehead, crow's feet, nasolabial folds, eye bags */
    float ridge;                 /* beside the lines */
    float noise[PAINT_NOISES];   /* mottling, about [-1,1] */
} paint_skin;

/* Of a texel of an eyeball. */
typedef struct paint_eye {
    uint32_t texel;
    float polar;  /* degrees from the pupil */
    float grain;  /* degrees a texel */
    float spokes; /* noise around the pupil, about [-1,1] */
    float up;     /* sine of the height above the pupil */
} paint_eye;

void paint_skin_fields(const paint_map *map, const paint_place *place, paint_skin *skin);
void paint_eye_fields(const paint_map *map, const paint_place *place, paint_eye *eye);

/* ---- paint_noise.c ---- */
double paint_noise(double x, double y, double z);        /* smooth, about [-1,1], cells of size 1 */
double paint_ramp(double low, double high, double x);    /* smooth step from 0 to 1 */

/* ---- paint_colour.c ---- */
float paint_to_log(float srgb);                /* sRGB in [0,1] -> log linear */
void paint_skin_colour(float tone, float colour[3]);
void paint_hair_colour(float lightness, float redness, float colour[3]);
void paint_iris_colour(float blueness, float colour[3]);

/* ---- paint_measure.c ---- */
enum { PAINT_FEATURES = 24 };
typedef struct paint_gauge paint_gauge;
paint_gauge *paint_gauge_create(const painter *p); /* new */
void paint_gauge_destroy(paint_gauge *g);
/* Numbers from a texture that the attributes are regressed on. */
void paint_features(const painter *p, const uint8_t *texture, float features[PAINT_FEATURES]);

/* ---- paint_table.c, written by paint_calibrate ---- */
extern const float paint_table[PAINT_ATTRIBUTES][PAINT_FEATURES + 1];

struct painter {
    int size;
    paint_map map;
    paint_skin *skin;
    size_t skin_count;
    paint_eye *eyes;
    size_t eye_count;
    paint_gauge *gauge;
};

#endif

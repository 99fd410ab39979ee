/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the sculpt share: the layout of the grid, and the parts that build on each
 * other. Millimetres inside, metres at the border (sculpt.h). */
#ifndef SCULPT_PRIV_H
#define SCULPT_PRIV_H

#include "sculpt.h"

#include <stdbool.h>

#define EYE_X 31.5
#define EYE_Y 0.0
#define EYE_Z 73.0
#define EYE_RADIUS 12.2

/* Rows from the crown (0, one vertex) to the neck's edge; columns -HALF+1 .. HALF, 0 in front, HALF
 * at the back. Slits are cut along a row between two columns and opened into loops. */
enum {
    ROWS = 57, /* rows 1 .. ROWS have 2 * HALF vertices */
    HALF = 41,
    ROW_HAIRLINE = 8,
    ROW_BROW = 14,
    ROW_CREASE = 17,
    ROW_EYE = 20,
    ROW_EYEBAG = 23,
    ROW_TIP = 30,
    ROW_SUBNASALE = 34,
    ROW_LIP_TOP = 37,
    ROW_MOUTH = 40,
    ROW_LIP_BOTTOM = 43,
    ROW_SULCUS = 45,
    ROW_CHIN = 47,
    ROW_MENTON = 50,
    ROW_THROAT = 52,
    EYE_FIRST = 6, /* columns of the corners */
    EYE_LAST = 17,
    MOUTH_LAST = 9,
    EAR_ROW = 14, /* the block of the ear: 20 rows, 12 columns */
    EAR_ROWS = 20,
    EAR_COLUMN = 24,
    EAR_COLUMNS = 12,
    EYE_LOOPS = 2, /* behind the margin */
    MOUTH_LOOPS = 3,
    BALL_RINGS = 12,
    BALL_SEGMENTS = 16
};

enum {
    GRID_COUNT = 1 + ROWS * 2 * HALF,
    EYE_INNER = EYE_LAST - EYE_FIRST - 1, /* columns of the slit without its corners */
    EYE_LOOP = 2 * EYE_INNER + 2,
    EYE_COUNT = EYE_INNER + EYE_LOOPS * EYE_LOOP,
    MOUTH_INNER = 2 * MOUTH_LAST - 1,
    MOUTH_LOOP = 2 * MOUTH_INNER + 2,
    MOUTH_COUNT = MOUTH_INNER + MOUTH_LOOPS * MOUTH_LOOP,
    BALL_COUNT = 2 + BALL_RINGS * BALL_SEGMENTS,
    /* where each part starts; the right side after the left */
    EYE_START = GRID_COUNT,
    MOUTH_START = EYE_START + 2 * EYE_COUNT,
    BALL_START = MOUTH_START + MOUTH_COUNT,
    VERTICES = BALL_START + 2 * BALL_COUNT
};

/* polar angles of the eyeballs' rings, degrees from the pupil */
extern const double sculpt_ball_angles[BALL_RINGS];

/* ---- sculpt_grid.c: indices. side: 0 own left, 1 own right ---- */
/* lower: the lower lip of a slit where the vertex has two. */
uint32_t sculpt_index(int row, int column, bool lower);
/* Loop 0 is the margin itself: inner corner, upper, outer corner, lower; for the mouth from the
 * own right corner along the upper lip. */
uint32_t sculpt_eye_loop(int side, int loop, int place);
uint32_t sculpt_mouth_loop(int loop, int place);
uint32_t sculpt_ball(int side, int ring, int segment); /* ring -1: pupil, BALL_RINGS: back pole */
uint32_t sculpt_mirror(uint32_t vertex);

/* ---- sculpt_form.c ---- */
double sculpt_form(const double point[3]); /* signed distance, about */

/* ---- sculpt_surface.c ---- */
typedef double point3[3];
const point3 *sculpt_neutral(void); /* (V) mm */

/* ---- sculpt_fields.c: displacement fields made of strokes ---- */
typedef enum stroke_kind {
    STROKE_END = 0,
    STROKE_MOVE,      /* amount */
    STROKE_SCALE,     /* amount * (p - centre), each axis */
    STROKE_RAMP_MOVE, /* the same two, weighted by a ramp in y: 0 at size[0], 1 at size[1] */
    STROKE_RAMP_SCALE
} stroke_kind;
typedef enum stroke_part { PART_ALL, PART_UPPER, PART_LOWER } stroke_part;
/* Weight exp(-|(p - centre) / size|^2) on the own left and its mirror image on the right. */
typedef struct stroke {
    stroke_kind kind;
    double centre[3], size[3], amount[3];
    stroke_part part; /* of the slit of the mouth */
} stroke;
void sculpt_strokes(const stroke *strokes, const double p[3], double out[3]); /* adds */
double sculpt_near_eye(const double p[3]); /* 1 on eyeball and lids, 0 far away */
double sculpt_on_ear(uint32_t vertex);     /* 1 on the flap, 0 on the head */
bool sculpt_is_lower(uint32_t vertex);     /* below the mouth's slit */
double sculpt_jaw_weight(uint32_t vertex);
double sculpt_step(double low, double high, double x); /* smooth, 0 to 1 */

/* ---- sculpt_curve.c ---- */
/* Monotone cubic through increasing x (Fritsch and Carlson 1980). */
double sculpt_curve(const double *x, const double *y, int count, double at);

#endif

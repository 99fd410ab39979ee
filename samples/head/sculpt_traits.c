/* SPDX-License-Identifier: Apache-2.0 */
/* How heads differ: eighteen named attributes and the minor variations without a name.
 *
 * Each is one displacement field over the neutral head, in millimetres at one standard deviation.
 * Around the eyes every field is made rigid, so that lids keep to their eyeballs. Minor fields are
 * waves, A cos(k . p + phase), long ones larger than short ones. */
#include "sculpt_priv.h"

#include "base/base.h"

#include <math.h>
#include <pthread.h>

const char *const sculpt_attribute_names[SCULPT_ATTRIBUTES] = {
    "nose_length", "nose_width",   "nose_bridge",    "jaw_width",       "chin",
    "cheekbones",  "brow_ridge",   "eye_size",       "eye_spacing",     "lip_fullness",
    "mouth_width", "ear_size",     "ear_protrusion", "forehead_height", "cranium_height",
    "face_length", "neck_width",   "fullness"};

enum {
    NOSE_LENGTH, NOSE_WIDTH, NOSE_BRIDGE, JAW_WIDTH, CHIN, CHEEKBONES, BROW_RIDGE, EYE_SIZE,
    EYE_SPACING, LIP_FULLNESS, MOUTH_WIDTH, EAR_SIZE, EAR_PROTRUSION, FOREHEAD_HEIGHT,
    CRANIUM_HEIGHT, FACE_LENGTH, NECK_WIDTH, FULLNESS
};

enum { FIELDS = SCULPT_ATTRIBUTES + SCULPT_MINOR, MOST_STROKES = 5 };

#define MOVE STROKE_MOVE
#define SCALE STROKE_SCALE
static const stroke strokes[SCULPT_ATTRIBUTES][MOST_STROKES] = {
    [NOSE_LENGTH] = {{MOVE, {0, -36, 108}, {16, 15, 22}, {0, -2.4, 4.2}, 0},
                     {MOVE, {0, -22, 100}, {14, 14, 20}, {0, -.6, 1.2}, 0}},
    [NOSE_WIDTH] = {{SCALE, {0, -40, 96}, {30, 13, 24}, {.17, 0, 0}, 0},
                    {SCALE, {0, -18, 96}, {22, 14, 24}, {.10, 0, 0}, 0}},
    [NOSE_BRIDGE] = {{MOVE, {0, -10, 96}, {11, 13, 26}, {0, 0, 2.7}, 0},
                     {MOVE, {0, 8, 90}, {11, 10, 20}, {0, 0, 1.3}, 0}},
    [JAW_WIDTH] = {{MOVE, {58, -68, 8}, {28, 30, 44}, {4.2, 0, 0}, 0}},
    [CHIN] = {{MOVE, {0, -101, 84}, {26, 18, 30}, {0, -1.0, 4.0}, 0}},
    [CHEEKBONES] = {{MOVE, {60, -10, 34}, {24, 19, 30}, {2.8, 0, .8}, 0},
                    {MOVE, {44, -18, 68}, {18, 13, 20}, {1.4, 0, 2.8}, 0},
                    {MOVE, {50, -46, 48}, {18, 14, 26}, {-1.4, 0, -1.0}, 0}},
    [BROW_RIDGE] = {{MOVE, {16, 18, 88}, {26, 9, 22}, {0, -1.0, 2.8}, 0}},
    [LIP_FULLNESS] = {{MOVE, {0, -61, 92}, {20, 4.5, 14}, {0, 1.5, 1.7}, PART_UPPER},
                      {MOVE, {0, -74, 90}, {19, 5.5, 14}, {0, -1.8, 1.9}, PART_LOWER},
                      {MOVE, {0, -67, 90}, {16, 5, 16}, {0, 0, .8}, 0}},
    [MOUTH_WIDTH] = {{SCALE, {0, -67, 82}, {32, 13, 28}, {.20, 0, 0}, 0}},
    [FOREHEAD_HEIGHT] = {{MOVE, {0, 72, 66}, {60, 32, 48}, {0, 2.8, 3.2}, 0}},
    [CRANIUM_HEIGHT] = {{STROKE_RAMP_MOVE, {0}, {25, 118, 0}, {0, 6.0, 0}, 0}},
    [FACE_LENGTH] = {{STROKE_RAMP_MOVE, {0}, {22, -118, 0}, {0, -5.5, 0}, 0}},
    [NECK_WIDTH] = {{STROKE_RAMP_SCALE, {0, 0, -26}, {-62, -122, 0}, {.085, 0, .06}, 0}},
    [FULLNESS] = {{MOVE, {44, -48, 52}, {26, 24, 34}, {4.0, 0, 2.7}, 0},
                  {MOVE, {52, -80, 22}, {26, 22, 36}, {2.0, -1, 0}, 0},
                  {MOVE, {0, -118, 42}, {44, 13, 36}, {0, -3.2, .5}, 0}}};
#undef MOVE
#undef SCALE

typedef struct wave {
    double number[3], phase, amount[3];
    bool crooked; /* odd in x: the few that are not symmetric */
} wave;

static float fields[FIELDS][VERTICES][3]; /* metres */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static wave make_wave(int index)
{
    rng r = rng_make(20231, (uint64_t)index);
    wave w = {.phase = rng_range(&r, 0, 2 * M_PI), .crooked = index % 8 == 7};
    double length = rng_range(&r, 75, 190), direction[3], size = 0, move = 0;
    for (int k = 0; k < 3; k++) {
        direction[k] = rng_normal(&r);
        w.amount[k] = rng_normal(&r);
        size += direction[k] * direction[k];
        move += w.amount[k] * w.amount[k];
    }
    double height = (w.crooked ? .45 : .85) * length / 120;
    for (int k = 0; k < 3; k++) {
        w.number[k] = 2 * M_PI / length * direction[k] / sqrt(size);
        w.amount[k] *= height / sqrt(move);
    }
    return w;
}

static void wave_at(const wave *w, const double p[3], double out[3])
{
    double along = w->number[1] * p[1] + w->number[2] * p[2] + w->phase;
    double even = cos(w->number[0] * p[0]) * cos(along), odd = sin(w->number[0] * p[0]) * cos(along);
    out[0] += w->amount[0] * (w->crooked ? even : odd);
    out[1] += w->amount[1] * (w->crooked ? odd : even);
    out[2] += w->amount[2] * (w->crooked ? odd : even);
}

/* The field of the soft parts, before eyes and ears have their say. */
static void soft_field(int field, const double p[3], stroke_part part, double out[3])
{
    out[0] = out[1] = out[2] = 0;
    if (field >= SCULPT_ATTRIBUTES) {
        wave w = make_wave(field - SCULPT_ATTRIBUTES);
        wave_at(&w, p, out);
        return;
    }
    for (const stroke *s = strokes[field]; s->kind != STROKE_END; s++) {
        stroke one[2] = {*s, {.kind = STROKE_END}};
        if (s->part == PART_ALL || s->part == part)
            sculpt_strokes(one, p, out);
    }
}

static void eye_field(int field, const double p[3], double weight, double out[3])
{
    double side = p[0] < 0 ? -1 : 1, centre[3] = {side * EYE_X, EYE_Y, EYE_Z}, rigid[3];
    soft_field(field, centre, PART_ALL, rigid);
    if (field == EYE_SPACING)
        rigid[0] += side * 2.8;
    for (int k = 0; k < 3; k++) {
        if (field == EYE_SIZE)
            rigid[k] = .09 * (p[k] - centre[k]);
        out[k] += weight * (rigid[k] - out[k]);
    }
}

static void ear_field(int field, const double p[3], double weight, double out[3])
{
    double side = p[0] < 0 ? -1 : 1, root[3] = {side * 70, -6, 4};
    for (int k = 0; k < 3; k++)
        if (field == EAR_SIZE)
            out[k] += weight * .11 * (p[k] - root[k]);
    if (field == EAR_PROTRUSION) {
        double behind = fmax(8 - p[2] - .2 * (p[1] + 6), 0); /* of the hinge, which leans back */
        out[0] += weight * side * .13 * behind;
        out[2] += weight * .05 * behind;
    }
}

static void build(void)
{
    const sculpt_topology *t = sculpt_get_topology();
    const point3 *neutral = sculpt_neutral();
    for (int f = 0; f < FIELDS; f++)
        for (uint32_t v = 0; v < VERTICES; v++) {
            double out[3], ear = sculpt_on_ear(v);
            bool ball = t->regions[v] != SCULPT_SKIN;
            soft_field(f, neutral[v], sculpt_is_lower(v) ? PART_LOWER : PART_UPPER, out);
            eye_field(f, neutral[v], ball ? 1 : sculpt_near_eye(neutral[v]), out);
            ear_field(f, neutral[v], ear, out);
            for (int k = 0; k < 3; k++)
                fields[f][v][k] = (float)(out[k] / 1000);
        }
}

void sculpt_vertices(const float *attributes, const float *minor, float *vertices)
{
    pthread_once(&once, build);
    const double *neutral = sculpt_neutral()[0];
    for (size_t i = 0; i < 3 * VERTICES; i++)
        vertices[i] = (float)(neutral[i] / 1000);
    for (int f = 0; f < FIELDS; f++) {
        const float *values = f < SCULPT_ATTRIBUTES ? attributes : minor;
        float value = values ? values[f < SCULPT_ATTRIBUTES ? f : f - SCULPT_ATTRIBUTES] : 0;
        const float *field = fields[f][0];
        if (value != 0)
            for (size_t i = 0; i < 3 * VERTICES; i++)
                vertices[i] += value * field[i];
    }
}

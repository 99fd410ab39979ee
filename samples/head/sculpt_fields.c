/* SPDX-License-Identifier: Apache-2.0 */
/* Displacement fields made of strokes: soft local moves and scalings of the neutral head, and the
 * weights that say which part of it a vertex belongs to.
 *
 *   stroke(p) = exp(-|(p - c) / s|^2) * (a  or  a * (p - c)),   mirrored in x = 0 */
#include "sculpt_priv.h"

#include <math.h>

double sculpt_step(double low, double high, double x)
{
    double t = fmin(fmax((x - low) / (high - low), 0), 1);
    return t * t * (3 - 2 * t);
}

static double stroke_weight(const stroke *s, const double p[3])
{
    if (s->kind == STROKE_RAMP_MOVE || s->kind == STROKE_RAMP_SCALE)
        return sculpt_step(s->size[0], s->size[1], p[1]);
    double sum = 0;
    for (int k = 0; k < 3; k++)
        sum += pow((p[k] - s->centre[k]) / s->size[k], 2);
    return exp(-sum);
}

void sculpt_strokes(const stroke *strokes, const double point[3], double out[3])
{
    const double p[3] = { fabs(point[0]), point[1], point[2] };
    for (const stroke *s = strokes; s->kind != STROKE_END; s++) {
        double weight = stroke_weight(s, p);
        bool scale = s->kind == STROKE_SCALE || s->kind == STROKE_RAMP_SCALE;
        for (int k = 0; k < 3; k++) {
            double move = weight * s->amount[k] * (scale ? p[k] - s->centre[k] : 1);
            if (k == 0) /* a move away from the middle must vanish on it */
                move *= scale ? (point[0] < 0 ? -1 : 1) : tanh(point[0] / 6);
            out[k] += move;
        }
    }
}

double sculpt_near_eye(const double p[3])
{
    double d = hypot(hypot(fabs(p[0]) - EYE_X, p[1] - EYE_Y), p[2] - EYE_Z);
    return sculpt_step(29, 16, d);
}

double sculpt_on_ear(uint32_t vertex)
{
    const sculpt_topology *t = sculpt_get_topology();
    int i = (int)t->rows[vertex] - EAR_ROW, j = (int)fabsf(t->columns[vertex]) - EAR_COLUMN;
    if (t->rows[vertex] < 0 || i < 0 || j < 0 || i > EAR_ROWS || j > EAR_COLUMNS)
        return 0;
    int down = i < EAR_ROWS - i ? i : EAR_ROWS - i,
        across = j < EAR_COLUMNS - j ? j : EAR_COLUMNS - j;
    int ring = down < across ? down : across;
    double front = j <= EAR_COLUMNS / 2 && across == ring ? 1 : 0; /* grown to the head there */
    return ring == 0 ? 0 : ring == 1 ? .15 : ring == 2 ? 1 - .35 * front : 1;
}

bool sculpt_is_lower(uint32_t vertex)
{
    const sculpt_topology *t = sculpt_get_topology();
    if (vertex >= MOUTH_START && vertex < MOUTH_START + MOUTH_INNER)
        return true;
    if (vertex >= MOUTH_START + MOUTH_INNER && vertex < BALL_START)
        return (vertex - MOUTH_START - MOUTH_INNER) % MOUTH_LOOP > MOUTH_INNER + 1;
    return t->rows[vertex] > ROW_MOUTH;
}

/* 1 on the lower jaw and lip, 0 on the upper, smooth across the cheeks, fading under the chin. */
double sculpt_jaw_weight(uint32_t vertex)
{
    const sculpt_topology *t = sculpt_get_topology();
    const double *p = sculpt_neutral()[vertex];
    if (t->regions[vertex] != SCULPT_SKIN)
        return 0;
    double row = t->rows[vertex], column = fabsf(t->columns[vertex]);
    bool corner = row == ROW_MOUTH && column == MOUTH_LAST;
    double slit = corner ? .5 : sculpt_is_lower(vertex);
    /* distance below the plane from the joint to the lips */
    double below = (-8 - p[1]) * .81 - (p[2] - 8) * .58;
    double cheek = sculpt_step(-16, 24, below),
           w = slit + (cheek - slit) * sculpt_step(5, 16, column);
    return w * sculpt_step(-14, 26, p[2]) * sculpt_step(54.5, 49.5, row);
}

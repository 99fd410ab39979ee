/* SPDX-License-Identifier: Apache-2.0 */
/* How heads move: expressions as displacement fields (ARKit's names), joints and skinning weights
 * (FLAME's order: root, neck, jaw, eyes). */
#include "sculpt_priv.h"

#include <math.h>
#include <string.h>

enum {
    JAW_OPEN,
    SMILE_L,
    SMILE_R,
    FROWN_L,
    FROWN_R,
    PUCKER,
    FUNNEL,
    BLINK_L,
    BLINK_R,
    WIDE_L,
    WIDE_R,
    BROW_INNER_UP,
    BROW_DOWN_L,
    BROW_DOWN_R,
    PUFF,
    SNEER_L,
    SNEER_R
};

const char *const sculpt_expression_names[SCULPT_EXPRESSIONS] = {
    "jawOpen",     "mouthSmile_L", "mouthSmile_R", "mouthFrown_L", "mouthFrown_R", "mouthPucker",
    "mouthFunnel", "eyeBlink_L",   "eyeBlink_R",   "eyeWide_L",    "eyeWide_R",    "browInnerUp",
    "browDown_L",  "browDown_R",   "cheekPuff",    "noseSneer_L",  "noseSneer_R"
};

const char *const sculpt_joint_names[SCULPT_JOINTS] = { "root", "neck", "jaw", "eye_left",
                                                        "eye_right" };
const int32_t sculpt_joint_parents[SCULPT_JOINTS] = { -1, 0, 1, 1, 1 };

static const double jaw_joint[3] = { 0, -10, 6 };

#define MOVE STROKE_MOVE
#define SCALE STROKE_SCALE
static const stroke strokes[SCULPT_EXPRESSIONS][5] = {
    [SMILE_L] = { { MOVE, { 26, -67, 76 }, { 13, 11, 18 }, { 5, 6.5, -2 }, 0 },
                  { MOVE, { 14, -67, 86 }, { 12, 8, 16 }, { 1.5, 1, -1 }, 0 },
                  { MOVE, { 38, -38, 66 }, { 16, 15, 20 }, { 1.5, 3.5, 2.5 }, 0 } },
    [FROWN_L] = { { MOVE, { 25, -68, 76 }, { 13, 11, 18 }, { 1, -6.5, -.5 }, 0 },
                  { MOVE, { 14, -68, 86 }, { 11, 8, 16 }, { 0, -1, 0 }, 0 } },
    [PUCKER] = { { SCALE, { 0, -67, 86 }, { 32, 16, 30 }, { -.42, 0, 0 }, 0 },
                 { MOVE, { 0, -67, 90 }, { 17, 13, 22 }, { 0, 0, 6 }, 0 } },
    [FUNNEL] = { { SCALE, { 0, -67, 86 }, { 32, 16, 30 }, { -.30, 0, 0 }, 0 },
                 { MOVE, { 0, -64, 90 }, { 17, 9, 24 }, { 0, 3.4, 4 }, PART_UPPER },
                 { MOVE, { 0, -71, 90 }, { 17, 10, 24 }, { 0, -4.4, 4 }, PART_LOWER } },
    [BROW_INNER_UP] = { { MOVE, { 8, 22, 90 }, { 17, 13, 24 }, { 0, 6.5, 0 }, 0 },
                        { MOVE, { 0, 42, 88 }, { 28, 16, 26 }, { 0, 2.5, .6 }, 0 } },
    [BROW_DOWN_L] = { { MOVE, { 24, 20, 86 }, { 22, 10, 24 }, { -2, -5, .8 }, 0 } },
    [PUFF] = { { MOVE, { 40, -54, 60 }, { 19, 19, 28 }, { 8, 0, 6 }, 0 } },
    [SNEER_L] = { { MOVE, { 14, -36, 94 }, { 9, 10, 16 }, { 0, 4.5, 0 }, 0 },
                  { MOVE, { 13, -57, 90 }, { 10, 8, 16 }, { 0, 2.8, 0 }, PART_UPPER },
                  { MOVE, { 9, -4, 92 }, { 7, 8, 12 }, { 0, -.8, 1.2 }, 0 } }
};
#undef MOVE
#undef SCALE

static void stroke_field(int expression, uint32_t v, double out[3])
{
    const double *p = sculpt_neutral()[v];
    stroke_part part = sculpt_is_lower(v) ? PART_LOWER : PART_UPPER;
    for (const stroke *s = strokes[expression]; s->kind != STROKE_END; s++) {
        stroke one[2] = { *s, { .kind = STROKE_END } };
        if (s->part == PART_ALL || s->part == part)
            sculpt_strokes(one, p, out);
    }
}

/* A turn by `angle` about the x axis through `centre`, minus the point itself. */
static void turn_field(const double p[3], const double centre[3], double angle, double out[3])
{
    double y = p[1] - centre[1], z = p[2] - centre[2];
    out[1] += y * cos(angle) - z * sin(angle) - y;
    out[2] += y * sin(angle) + z * cos(angle) - z;
}

/* Lids turn about the eyeball's horizontal axis, each column by its own angle: upper takes the
 * margin from its height to `share` of the way to the lower margin. */
static void lid_field(uint32_t v, double share, double out[3])
{
    const sculpt_topology *t = sculpt_get_topology();
    static const double follow[] = { 0, 0, .12, .34, .62, .86, 1 }; /* rows above the margin */
    int column = (int)t->columns[v], row = (int)t->rows[v];
    const point3 *neutral = sculpt_neutral();
    bool margin = v >= EYE_START && v < EYE_START + EYE_COUNT;
    bool lower = margin && ((v - EYE_START) < EYE_INNER ||
                            (v - EYE_START - EYE_INNER) % EYE_LOOP > EYE_INNER + 1);
    if (column <= EYE_FIRST || column >= EYE_LAST || lower || row < ROW_EYE - 6 || row > ROW_EYE)
        return;
    const double centre[3] = { EYE_X, EYE_Y, EYE_Z };
    const double *top = neutral[sculpt_index(ROW_EYE, column, false)];
    const double *bottom = neutral[sculpt_index(ROW_EYE, column, true)];
    double from = atan2(top[1] - EYE_Y, top[2] - EYE_Z),
           to = atan2(bottom[1] - EYE_Y, bottom[2] - EYE_Z);
    turn_field(neutral[v], centre, share * (from - to) * follow[row - ROW_EYE + 6], out);
    if (row < ROW_EYE && share > 0) /* the skin that comes down bulges over the eyeball */
        out[2] += 1.2 * follow[row - ROW_EYE + 6] * (1 - follow[row - ROW_EYE + 6]) * 4 * share;
}

static void left_field(int expression, uint32_t v, double out[3])
{
    const double *p = sculpt_neutral()[v];
    if (expression == JAW_OPEN) {
        double full[3] = { 0 };
        turn_field(p, jaw_joint, 17 * M_PI / 180, full);
        for (int k = 0; k < 3; k++)
            out[k] += sculpt_jaw_weight(v) * full[k];
    } else if (expression == BLINK_L || expression == WIDE_L) {
        lid_field(v, expression == BLINK_L ? 1.0 : -.28, out);
    } else {
        stroke_field(expression, v, out);
        double still = 1 - sculpt_near_eye(p);
        bool one_sided = expression == SMILE_L || expression == FROWN_L ||
                         expression == BROW_DOWN_L || expression == SNEER_L;
        double side = one_sided ? sculpt_step(-5, 7, p[0]) : 1;
        for (int k = 0; k < 3; k++)
            out[k] *= still * side;
    }
}

void sculpt_expression(int expression, float *displacement)
{
    const sculpt_topology *t = sculpt_get_topology();
    const char *name = sculpt_expression_names[expression];
    bool right = strcmp(name + strlen(name) - 2, "_R") == 0;
    for (uint32_t v = 0; v < VERTICES; v++) {
        double out[3] = { 0 };
        if (t->regions[v] == SCULPT_SKIN)
            left_field(expression - right, right ? t->mirror[v] : v, out);
        for (int k = 0; k < 3; k++)
            displacement[3 * v + k] = (float)((right && k == 0 ? -out[k] : out[k]) / 1000);
    }
}

/* ---- joints ---- */

/* Mean of a row over columns first .. HALF on both sides. */
static void ring_mean(const float *vertices, int row, int first, int last, double out[3])
{
    int count = 0;
    out[0] = out[1] = out[2] = 0;
    for (int j = first; j <= last; j++)
        for (int side = -1; side <= 1; side += 2) {
            const float *p =
                vertices + 3 * (size_t)sculpt_index(row, j == HALF ? j : side * j, false);
            for (int k = 0; k < 3; k++)
                out[k] += p[k];
            count++;
        }
    for (int k = 0; k < 3; k++)
        out[k] /= count;
}

void sculpt_joints(const float *vertices, float *joints)
{
    static const struct {
        int row, first, last;
        double offset[3]; /* from the mean of the ring to the joint, metres */
    } rings[] = { { ROWS - 3, 1, HALF, { 0, 0, 0 } },
                  { ROW_SULCUS, 28, HALF, { 0, 0, .014 } },
                  { EAR_ROW + EAR_ROWS / 2, EAR_COLUMN - 1, EAR_COLUMN, { 0, 0, -.012 } } };
    for (int j = 0; j < 3; j++) {
        double mean[3];
        ring_mean(vertices, rings[j].row, rings[j].first, rings[j].last, mean);
        for (int k = 0; k < 3; k++)
            joints[3 * j + k] = (float)(mean[k] + rings[j].offset[k]);
    }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < 3; k++) {
            float front = vertices[3 * sculpt_ball(side, -1, 0) + k];
            float back = vertices[3 * sculpt_ball(side, BALL_RINGS, 0) + k];
            joints[3 * (3 + side) + k] = (front + back) / 2;
        }
}

void sculpt_skin_weights(float *weights)
{
    const sculpt_topology *t = sculpt_get_topology();
    const point3 *neutral = sculpt_neutral();
    memset(weights, 0, sizeof(float) * VERTICES * SCULPT_JOINTS);
    for (uint32_t v = 0; v < VERTICES; v++) {
        float *w = weights + (size_t)v * SCULPT_JOINTS;
        if (t->regions[v] != SCULPT_SKIN) {
            w[t->regions[v] == SCULPT_EYEBALL_LEFT ? 3 : 4] = 1;
            continue;
        }
        double root = sculpt_step(-72, -166, neutral[v][1] - .25 * neutral[v][2]);
        double jaw = (1 - root) * sculpt_jaw_weight(v);
        w[0] = (float)root;
        w[2] = (float)jaw;
        w[1] = fmaxf(1 - w[0] - w[2], 0);
    }
}

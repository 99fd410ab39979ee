/* SPDX-License-Identifier: Apache-2.0 */
/* The fixed topology of the sculpt: indices, triangles, UV layout, mirror map, landmarks.
 *
 * Only the own left half (x >= 0) is laid out; the right half is its mirror image, with the
 * triangles' order turned round. UVs: the grid unrolled, seam at the back, slits opened to hold
 * what lies behind them, the neck drawn in to leave the lower corners to the eyeballs. */
#include "sculpt_priv.h"

#include <math.h>
#include <pthread.h>

enum {
    SEAM_START = VERTICES,              /* UVs beyond one a vertex: the seam's right side ... */
    POLE_START = SEAM_START + ROWS,     /* ... the crown, one a triangle ... */
    BACK_START = POLE_START + 2 * HALF, /* ... and the backs of the eyeballs */
    UVS = BACK_START + 2 * BALL_SEGMENTS,
    HALF_FACES = HALF + (ROWS - 1) * HALF * 2 + 2 * EYE_LOOPS * EYE_LOOP +
                 MOUTH_LOOPS * MOUTH_LOOP + MOUTH_INNER + 2 * BALL_SEGMENTS * BALL_RINGS,
    FACES = 2 * HALF_FACES
};

const double sculpt_ball_angles[BALL_RINGS] = { 5, 11, 17, 23, 28, 33, 40, 50, 64, 84, 112, 146 };

const char *const sculpt_landmark_names[SCULPT_LANDMARKS] = {
    "crown",        "hairline",  "glabella",      "nasion",    "nose_bridge", "nose_tip",
    "subnasale",    "ala",       "upper_lip_top", "upper_lip", "lower_lip",   "lower_lip_bottom",
    "mouth_corner", "chin",      "menton",        "jaw_angle", "cheekbone",   "cheek",
    "brow",         "eye_inner", "eye_outer",     "upper_lid", "lower_lid",   "pupil",
    "tragus",       "ear_top",   "ear_rim",       "ear_lobe",  "neck_side",   "throat",
    "occiput"
};

static uint32_t faces[FACES][3], uv_faces[FACES][3], mirrors[VERTICES];
static float uvs[UVS][2], rows[VERTICES], columns[VERTICES];
static uint8_t regions[VERTICES];
static sculpt_topology topology;
static pthread_once_t once = PTHREAD_ONCE_INIT;

uint32_t sculpt_index(int row, int column, bool lower)
{
    int side = column < 0, c = side ? -column : column;
    if (row == 0)
        return 0;
    if (lower && row == ROW_EYE && c > EYE_FIRST && c < EYE_LAST)
        return EYE_START + side * EYE_COUNT + (c - EYE_FIRST - 1);
    if (lower && row == ROW_MOUTH && c < MOUTH_LAST)
        return MOUTH_START + column + MOUTH_LAST - 1;
    return 1 + (row - 1) * 2 * HALF + (column < 0 ? column + 2 * HALF : column);
}

uint32_t sculpt_eye_loop(int side, int loop, int place)
{
    place = (place + EYE_LOOP) % EYE_LOOP;
    if (loop > 0)
        return EYE_START + side * EYE_COUNT + EYE_INNER + (loop - 1) * EYE_LOOP + place;
    bool lower = place > EYE_INNER + 1;
    int column = lower ? EYE_FIRST + EYE_LOOP - place : EYE_FIRST + place;
    return sculpt_index(ROW_EYE, side ? -column : column, lower);
}

uint32_t sculpt_mouth_loop(int loop, int place)
{
    place = (place + MOUTH_LOOP) % MOUTH_LOOP;
    if (loop > 0)
        return MOUTH_START + MOUTH_INNER + (loop - 1) * MOUTH_LOOP + place;
    bool lower = place > MOUTH_INNER + 1;
    int column = lower ? MOUTH_LOOP - place - MOUTH_LAST : place - MOUTH_LAST;
    return sculpt_index(ROW_MOUTH, column, lower);
}

uint32_t sculpt_ball(int side, int ring, int segment)
{
    int start = BALL_START + side * BALL_COUNT;
    if (ring < 0)
        return start;
    if (ring >= BALL_RINGS)
        return start + BALL_COUNT - 1;
    return start + 1 + ring * BALL_SEGMENTS + segment % BALL_SEGMENTS;
}

uint32_t sculpt_mirror(uint32_t v)
{
    if (v >= BALL_START)
        return v < BALL_START + BALL_COUNT ? v + BALL_COUNT : v - BALL_COUNT;
    if (v >= MOUTH_START + MOUTH_INNER) {
        int k = v - MOUTH_START - MOUTH_INNER, loop = k / MOUTH_LOOP, place = k % MOUTH_LOOP;
        return sculpt_mouth_loop(loop + 1, MOUTH_INNER + 1 - place);
    }
    if (v >= MOUTH_START)
        return 2 * MOUTH_START + MOUTH_INNER - 1 - v;
    if (v >= EYE_START)
        return v < EYE_START + EYE_COUNT ? v + EYE_COUNT : v - EYE_COUNT;
    if (v == 0)
        return 0;
    int row = 1 + (v - 1) / (2 * HALF), column = (v - 1) % (2 * HALF);
    return sculpt_index(row, column < HALF ? -column : 2 * HALF - column, false);
}

static uint32_t mirror_uv(uint32_t t)
{
    if (t >= BACK_START)
        return t < BACK_START + BALL_SEGMENTS ? t + BALL_SEGMENTS : t - BALL_SEGMENTS;
    if (t >= POLE_START)
        return t < POLE_START + HALF ? t + HALF : t - HALF;
    if (t >= SEAM_START)
        return sculpt_index(t - SEAM_START + 1, HALF, false);
    if (t > 0 && t < GRID_COUNT && (t - 1) % (2 * HALF) == HALF)
        return SEAM_START + (t - 1) / (2 * HALF);
    return sculpt_mirror(t);
}

/* ---- triangles ---- */

static size_t face_count;

static void add(uint32_t a, uint32_t b, uint32_t c, uint32_t ta, uint32_t tb, uint32_t tc)
{
    uint32_t f[3] = { a, b, c }, t[3] = { ta, tb, tc };
    for (int k = 0; k < 3; k++) {
        int m = k == 0 ? 0 : 3 - k;
        faces[face_count][k] = f[k];
        uv_faces[face_count][k] = t[k];
        faces[face_count + HALF_FACES][m] = sculpt_mirror(f[k]);
        uv_faces[face_count + HALF_FACES][m] = mirror_uv(t[k]);
    }
    face_count++;
}

/* a b above c d, seen from outside */
static void add_quad(uint32_t a, uint32_t b, uint32_t c, uint32_t d)
{
    add(a, c, d, a, c, d);
    add(a, d, b, a, d, b);
}

static void add_skin(void)
{
    for (int j = 0; j < HALF; j++) {
        uint32_t b = sculpt_index(1, j, false), c = sculpt_index(1, j + 1, false);
        add(0, b, c, POLE_START + j, b, c);
    }
    for (int i = 1; i < ROWS; i++)
        for (int j = 0; j < HALF; j++)
            add_quad(sculpt_index(i, j, true), sculpt_index(i, j + 1, true),
                     sculpt_index(i + 1, j, false), sculpt_index(i + 1, j + 1, false));
    for (int k = 0; k < EYE_LOOPS; k++)
        for (int p = 0; p < EYE_LOOP; p++)
            add_quad(sculpt_eye_loop(0, k, p), sculpt_eye_loop(0, k, p + 1),
                     sculpt_eye_loop(0, k + 1, p), sculpt_eye_loop(0, k + 1, p + 1));
    int middle = MOUTH_LAST, last = MOUTH_LOOP - MOUTH_LAST;
    for (int k = 0; k < MOUTH_LOOPS; k++)
        for (int p = middle; p < last; p++)
            add_quad(sculpt_mouth_loop(k, p), sculpt_mouth_loop(k, p + 1),
                     sculpt_mouth_loop(k + 1, p), sculpt_mouth_loop(k + 1, p + 1));
    for (int p = middle; p < 2 * MOUTH_LAST; p++) { /* the end of the bag */
        uint32_t a = sculpt_mouth_loop(MOUTH_LOOPS, p), b = sculpt_mouth_loop(MOUTH_LOOPS, p + 1);
        uint32_t c = sculpt_mouth_loop(MOUTH_LOOPS, MOUTH_LOOP - p);
        uint32_t d = sculpt_mouth_loop(MOUTH_LOOPS, MOUTH_LOOP - p - 1);
        add(a, c, b, a, c, b);
        if (b != d)
            add(b, c, d, b, c, d);
    }
}

static void add_ball(void)
{
    for (int s = 0; s < BALL_SEGMENTS; s++) {
        uint32_t a = sculpt_ball(0, 0, s), b = sculpt_ball(0, 0, s + 1);
        uint32_t pupil = sculpt_ball(0, -1, 0), back = sculpt_ball(0, BALL_RINGS, 0);
        add(pupil, a, b, pupil, a, b);
        for (int k = 0; k + 1 < BALL_RINGS; k++)
            add_quad(sculpt_ball(0, k, s), sculpt_ball(0, k, s + 1), sculpt_ball(0, k + 1, s),
                     sculpt_ball(0, k + 1, s + 1));
        a = sculpt_ball(0, BALL_RINGS - 1, s);
        b = sculpt_ball(0, BALL_RINGS - 1, s + 1);
        add(a, back, b, a, BACK_START + s, b);
    }
}

/* ---- UV layout ---- */

static void set_uv(uint32_t t, double u, double v)
{
    uint32_t m = mirror_uv(t);
    uvs[t][0] = (float)u;
    uvs[t][1] = uvs[m][1] = (float)v;
    if (m != t)
        uvs[m][0] = 1 - uvs[t][0];
}

/* How far a slit is opened at a grid point, 1 in its middle. */
static double opening(int row, double column, int slit, double first, double last, double reach)
{
    double s = (2 * column - first - last) / (last - first), d = fabs((double)row - slit) / reach;
    return d < 1 && fabs(s) < 1 ? (1 - s * s) * (1 - d) * (1 - d) : 0;
}

static void grid_uv(int row, int column, bool lower, double uv[2])
{
    static const double cx[] = { 0, 17, 24, 36, HALF }, cu[] = { 0, .205, .305, .43, .488 };
    static const double rx[] = { 0,           1,          ROW_HAIRLINE,
                                 ROW_BROW,    ROW_CREASE, ROW_EYE,
                                 ROW_EYEBAG,  ROW_TIP,    ROW_SUBNASALE,
                                 ROW_LIP_TOP, ROW_MOUTH,  ROW_LIP_BOTTOM,
                                 ROW_CHIN,    ROW_MENTON, ROWS };
    static const double rv[] = { .992, .972, .82,  .72, .665, .605, .55, .445,
                                 .38,  .335, .288, .24, .185, .14,  .02 };
    static const double nx[] = { 40, 48, ROWS }, ns[] = { 1, .69, .60 };
    uv[0] = .5 + sculpt_curve(cx, cu, 5, column) * sculpt_curve(nx, ns, 3, row);
    uv[1] = sculpt_curve(rx, rv, 15, row);
    int down = row < ROW_EYE || (row == ROW_EYE && !lower) ? 1 : -1;
    uv[1] += .020 * down * opening(row, column, ROW_EYE, EYE_FIRST, EYE_LAST, 6);
    down = row < ROW_MOUTH || (row == ROW_MOUTH && !lower) ? 1 : -1;
    uv[1] += .018 * down * opening(row, column, ROW_MOUTH, -MOUTH_LAST, MOUTH_LAST, 5);
}

static void loop_uv(uint32_t outer, uint32_t inner, const double centre[2], double scale)
{
    set_uv(inner, centre[0] + scale * (uvs[outer][0] - centre[0]),
           centre[1] + scale * (uvs[outer][1] - centre[1]));
}

static void lay_out_skin(void)
{
    double uv[2], next[2];
    for (int i = 1; i <= ROWS; i++)
        for (int j = 0; j <= HALF; j++)
            for (int lower = 0; lower < 2; lower++) {
                grid_uv(i, j, lower, uv);
                set_uv(sculpt_index(i, j, lower), uv[0], uv[1]);
            }
    set_uv(0, .5, .992);
    for (int j = 0; j < HALF; j++) {
        grid_uv(0, j, false, uv);
        grid_uv(0, j + 1, false, next);
        set_uv(POLE_START + j, (uv[0] + next[0]) / 2, uv[1]);
    }
    static const double eye[] = { .72, .45 }, mouth[] = { .75, .5, .28 };
    double corner[2];
    grid_uv(ROW_EYE, EYE_FIRST, false, corner);
    grid_uv(ROW_EYE, EYE_LAST, false, uv);
    double centre[2] = { (corner[0] + uv[0]) / 2, uv[1] };
    for (int k = 0; k < EYE_LOOPS; k++)
        for (int p = 0; p < EYE_LOOP; p++)
            loop_uv(sculpt_eye_loop(0, 0, p), sculpt_eye_loop(0, k + 1, p), centre, eye[k]);
    grid_uv(ROW_MOUTH, MOUTH_LAST, false, uv);
    double lips[2] = { .5, uv[1] };
    for (int k = 0; k < MOUTH_LOOPS; k++)
        for (int p = MOUTH_LAST; p <= MOUTH_LOOP - MOUTH_LAST; p++)
            loop_uv(sculpt_mouth_loop(0, p), sculpt_mouth_loop(k + 1, p), lips, mouth[k]);
}

/* Discs, equidistant from the pupil but for a magnified front. */
static void lay_out_ball(void)
{
    const double radius = .066, centre[2] = { 1 - .075, .075 };
    set_uv(sculpt_ball(0, -1, 0), centre[0], centre[1]);
    set_uv(sculpt_ball(0, BALL_RINGS, 0), centre[0], centre[1]); /* unused: see BACK_START */
    for (int s = 0; s < BALL_SEGMENTS; s++) {
        double turn = 2 * M_PI * s / BALL_SEGMENTS, half = M_PI / BALL_SEGMENTS;
        for (int k = 0; k < BALL_RINGS; k++) {
            double r = radius * pow(sculpt_ball_angles[k] / 180, .62);
            set_uv(sculpt_ball(0, k, s), centre[0] + r * cos(turn), centre[1] + r * sin(turn));
        }
        set_uv(BACK_START + s, centre[0] + radius * cos(turn + half),
               centre[1] + radius * sin(turn + half));
    }
}

/* ---- the rest ---- */

static void label_vertices(void)
{
    for (uint32_t v = 0; v < VERTICES; v++)
        mirrors[v] = sculpt_mirror(v);
    for (int i = 0; i <= ROWS; i++)
        for (int j = 1 - HALF; j <= HALF; j++)
            for (int lower = 0; lower < 2; lower++) {
                uint32_t v = sculpt_index(i, j, lower);
                rows[v] = (float)i;
                columns[v] = i ? (float)j : 0;
            }
    for (int k = 1; k <= EYE_LOOPS; k++)
        for (int p = 0; p < 2 * EYE_LOOP; p++) {
            uint32_t v = sculpt_eye_loop(p / EYE_LOOP, k, p);
            uint32_t margin = sculpt_eye_loop(p / EYE_LOOP, 0, p);
            rows[v] = ROW_EYE;
            columns[v] = columns[margin];
        }
    for (int k = 1; k <= MOUTH_LOOPS; k++)
        for (int p = 0; p < MOUTH_LOOP; p++) {
            uint32_t v = sculpt_mouth_loop(k, p);
            rows[v] = ROW_MOUTH;
            columns[v] = columns[sculpt_mouth_loop(0, p)];
        }
    for (int side = 0; side < 2; side++)
        for (int k = 0; k < BALL_COUNT; k++) {
            uint32_t v = BALL_START + side * BALL_COUNT + k;
            regions[v] = side ? SCULPT_EYEBALL_RIGHT : SCULPT_EYEBALL_LEFT;
            rows[v] = -1;
        }
}

static void build(void)
{
    label_vertices();
    add_skin();
    add_ball();
    lay_out_skin();
    lay_out_ball();
    topology = (sculpt_topology){ .vertex_count = VERTICES,
                                  .face_count = FACES,
                                  .uv_count = UVS,
                                  .faces = faces[0],
                                  .uvs = uvs[0],
                                  .uv_faces = uv_faces[0],
                                  .regions = regions,
                                  .mirror = mirrors,
                                  .rows = rows,
                                  .columns = columns };
}

const sculpt_topology *sculpt_get_topology(void)
{
    pthread_once(&once, build);
    return &topology;
}

uint32_t sculpt_landmark_vertex(sculpt_landmark landmark)
{
    enum { EAR_MIDDLE = EAR_ROW + EAR_ROWS / 2 };
    static const signed char place[SCULPT_LANDMARKS][2] = {
        [SCULPT_CROWN] = { 0, 0 },
        [SCULPT_HAIRLINE] = { ROW_HAIRLINE, 0 },
        [SCULPT_GLABELLA] = { ROW_BROW, 0 },
        [SCULPT_NASION] = { ROW_EYE - 1, 0 },
        [SCULPT_NOSE_BRIDGE] = { (ROW_EYE + ROW_TIP) / 2, 0 },
        [SCULPT_NOSE_TIP] = { ROW_TIP, 0 },
        [SCULPT_SUBNASALE] = { ROW_SUBNASALE, 0 },
        [SCULPT_ALA] = { ROW_TIP + 2, 6 },
        [SCULPT_UPPER_LIP_TOP] = { ROW_LIP_TOP, 0 },
        [SCULPT_UPPER_LIP] = { ROW_MOUTH, 0 },
        [SCULPT_LOWER_LIP_BOTTOM] = { ROW_LIP_BOTTOM, 0 },
        [SCULPT_MOUTH_CORNER] = { ROW_MOUTH, MOUTH_LAST },
        [SCULPT_CHIN] = { ROW_CHIN, 0 },
        [SCULPT_MENTON] = { ROW_MENTON, 0 },
        [SCULPT_JAW_ANGLE] = { ROW_LIP_BOTTOM + 2, 25 },
        [SCULPT_CHEEKBONE] = { ROW_EYEBAG + 2, 19 },
        [SCULPT_CHEEK] = { ROW_SUBNASALE + 2, 17 },
        [SCULPT_BROW] = { ROW_BROW, 10 },
        [SCULPT_EYE_INNER] = { ROW_EYE, EYE_FIRST },
        [SCULPT_EYE_OUTER] = { ROW_EYE, EYE_LAST },
        [SCULPT_UPPER_LID] = { ROW_EYE, 12 },
        [SCULPT_TRAGUS] = { EAR_MIDDLE, EAR_COLUMN + 2 },
        [SCULPT_EAR_TOP] = { EAR_ROW + 2, EAR_COLUMN + EAR_COLUMNS / 2 },
        [SCULPT_EAR_RIM] = { EAR_MIDDLE, EAR_COLUMN + EAR_COLUMNS - 2 },
        [SCULPT_EAR_LOBE] = { EAR_ROW + EAR_ROWS - 2, EAR_COLUMN + EAR_COLUMNS / 2 },
        [SCULPT_NECK_SIDE] = { ROWS - 2, 28 },
        [SCULPT_THROAT] = { ROW_THROAT, 0 },
        [SCULPT_OCCIPUT] = { ROW_BROW, HALF }
    };
    if (landmark == SCULPT_PUPIL)
        return sculpt_ball(0, -1, 0);
    if (landmark == SCULPT_LOWER_LIP)
        return sculpt_index(ROW_MOUTH, 0, true);
    if (landmark == SCULPT_LOWER_LID)
        return sculpt_index(ROW_EYE, 12, true);
    return sculpt_index(place[landmark][0], place[landmark][1], false);
}

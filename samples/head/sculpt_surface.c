/* SPDX-License-Identifier: Apache-2.0 */
/* The neutral head: the grid laid over the implicit form.
 *
 * A grid point (row, column) is a ray from the head's inside, p(t) = o + t d, o on the axis
 * (0, y, z) of its row, d by the column's azimuth and the row's elevation; its vertex is the first
 * point where the form ends. Lid margins, lips, ears and eyeballs are placed by their own rules. */
#include "sculpt_priv.h"

#include <math.h>
#include <pthread.h>
#include <string.h>

static point3 neutral[VERTICES];
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* ---- rays ---- */

static double azimuth(int column)
{
    static const double x[] = { 0, 6, 17, 24, 36, HALF }, y[] = { 0, 10.2, 29.5, 75, 114, 180 };
    return sculpt_curve(x, y, 6, column) * M_PI / 180;
}

/* Heights of the lid margins over a column, and how far the eye's rows follow them. */
static double lid_height(double column, bool lower)
{
    double s = (column - EYE_FIRST) / (EYE_LAST - EYE_FIRST);
    double tilt = -2.0 + 2.6 * sculpt_step(0, 1, s);
    if (s <= 0 || s >= 1)
        return EYE_Y + tilt;
    if (lower)
        return EYE_Y + tilt - 4.6 * pow(sin(M_PI * pow(s, .9)), .85);
    return EYE_Y + tilt + 6.6 * pow(sin(M_PI * pow(s, .85)), .75);
}

/* Heights of rows in front, where lids and lips bend them. */
static double front_height(int row, int column, bool lower)
{
    static const double lx[] = { 0, 2, 5, 9, 13, 22 };
    static const double top[] = { -59.2, -58.2, -60.3, -65.2, -62, -58 };
    static const double bottom[] = { -76.2, -76.2, -74.2, -69.4, -73, -75 };
    static const double x[] = { ROW_BROW,    ROW_CREASE,     ROW_EYE,       ROW_EYEBAG,
                                ROW_TIP - 3, ROW_TIP,        ROW_SUBNASALE, ROW_LIP_TOP,
                                ROW_MOUTH,   ROW_LIP_BOTTOM, ROW_SULCUS,    ROW_CHIN };
    double upper_lid = lid_height(column, false), lower_lid = lid_height(column, true);
    bool below_eye = row > ROW_EYE || (row == ROW_EYE && lower);
    double y[] = { 22,
                   upper_lid + 6 + 4.0 * sculpt_step(17, 24, column) +
                       2.5 * sculpt_step(9, 3, column),
                   below_eye ? lower_lid : upper_lid,
                   lower_lid - 6.5,
                   -25,
                   -34,
                   -46.5,
                   sculpt_curve(lx, top, 6, column),
                   -67.2,
                   sculpt_curve(lx, bottom, 6, column),
                   -84,
                   -94 };
    return sculpt_curve(x, y, 12, row);
}

static void ray(int row, int column, bool lower, double o[3], double d[3])
{
    static const double r[] = { 0,        ROW_HAIRLINE, ROW_BROW, ROW_SUBNASALE,
                                ROW_CHIN, ROW_MENTON,   51,       ROW_THROAT,
                                53,       54,           ROWS };
    static const double front_y[] = { 30, 30, 22, -46.5, -94, -95, -97, -100, -118, -132, -172 };
    static const double front_e[] = { 90, 27, 0, 0, -3, -15, -27, -46, -28, -12, 0 };
    static const double side_y[] = { 30, 30, 29, -43, -76, -84, -90, -97, -107, -120, -172 };
    static const double side_e[] = { 90, 27, 0, 0, -3, -8, -10, -10, -8, -5, 0 };
    static const double back_y[] = { 30, 30, 28, -42, -80, -88, -93, -99, -108, -120, -166 };
    static const double back_e[] = { 90, 27, 0, 0, 0, 0, 0, 0, 0, 0, 0 };
    static const double axis[] = { -5, -5, -3, 0, 6, 6, 4, 0, -14, -22, -34 };
    /* above and below the brow are curves of their own, so that rows keep their distance there */
    int from = row > ROW_BROW ? 2 : 0, count = row > ROW_BROW ? 9 : 3;
    double a = azimuth(column), side = sculpt_step(28, 85, a * 180 / M_PI);
    double back = sculpt_step(95, 180, a * 180 / M_PI), front = 1 - side;
    double y = row >= ROW_BROW && row <= ROW_CHIN
                   ? front_height(row, column, lower)
                   : sculpt_curve(r + from, front_y + from, count, row);
    side -= back;
    y = front * y + side * sculpt_curve(r + from, side_y + from, count, row) +
        back * sculpt_curve(r + from, back_y + from, count, row);
    double e = front * sculpt_curve(r + from, front_e + from, count, row) +
               side * sculpt_curve(r + from, side_e + from, count, row) +
               back * sculpt_curve(r + from, back_e + from, count, row);
    e *= M_PI / 180;
    o[0] = 0;
    o[1] = y;
    o[2] = sculpt_curve(r, axis, 11, row);
    d[0] = cos(e) * sin(a);
    d[1] = sin(e);
    d[2] = cos(e) * cos(a);
}

static void cast(const double o[3], const double d[3], double start, double out[3])
{
    double t = start, step = 1;
    for (int phase = 0; phase < 30; phase++) { /* march, then halve */
        for (;;) {
            for (int k = 0; k < 3; k++)
                out[k] = o[k] + (t + step) * d[k];
            if (sculpt_form(out) > 0 || t > 250)
                break;
            t += step;
        }
        step /= 2;
        if (step < 1e-4)
            return;
    }
}

/* ---- eyes ---- */

/* Columns of the lids lie on a shell around the eyeball, corners a little in front of it. */
static void lid_point(double column, bool lower, double radius, double open, double out[3])
{
    double s = (column - EYE_FIRST) / (EYE_LAST - EYE_FIRST);
    double dx = -13.6 + 26.6 * s, dy = (lid_height(column, lower) - EYE_Y) * open;
    double inside = radius * radius - dx * dx - dy * dy;
    out[0] = EYE_X + dx;
    out[1] = EYE_Y + dy;
    out[2] = EYE_Z + sqrt(fmax(inside, 9)) + 3.0 * pow(1 - s, 4) + 1.0 * pow(s, 6);
}

static void place_eye(void)
{
    static const double shell[] = { 14.0, 12.7, 10.5 }, open[] = { 1, 1, 1 };
    for (int k = 0; k <= EYE_LOOPS; k++)
        for (int p = 0; p < EYE_LOOP; p++) {
            bool lower = p > EYE_INNER + 1;
            int column = lower ? EYE_FIRST + EYE_LOOP - p : EYE_FIRST + p;
            double *v = neutral[sculpt_eye_loop(0, k, p)];
            lid_point(column, lower, shell[k], open[k], v);
            if (k > 0) { /* into the eyeball, corners too, so that no gap shows */
                v[0] = EYE_X + (v[0] - EYE_X) * (1 - .1 * k);
                v[2] -= k;
            }
        }
    for (int ring = -1; ring <= BALL_RINGS; ring++)
        for (int s = 0; s < BALL_SEGMENTS; s++) {
            double polar = ring < 0 ? 0 : ring < BALL_RINGS ? sculpt_ball_angles[ring] : 180;
            double turn = 2 * M_PI * s / BALL_SEGMENTS;
            double *v = neutral[sculpt_ball(0, ring, s)];
            polar *= M_PI / 180;
            v[0] = EYE_X + EYE_RADIUS * sin(polar) * cos(turn);
            v[1] = EYE_Y + EYE_RADIUS * sin(polar) * sin(turn);
            v[2] = EYE_Z + EYE_RADIUS * cos(polar);
        }
}

/* ---- mouth ---- */

static void place_mouth(void)
{
    static const double depth[] = { 0, 4.5, 14, 26 }, gap[] = { .12, .5, 3.5, 2 },
                        width[] = { 1, .98, .9, .7 };
    double margin[MOUTH_LAST + 1][3];
    for (int j = 0; j <= MOUTH_LAST; j++)
        memcpy(margin[j], neutral[sculpt_index(ROW_MOUTH, j, false)], sizeof margin[j]);
    for (int k = 0; k <= MOUTH_LOOPS; k++)
        for (int p = MOUTH_LAST; p <= MOUTH_LOOP - MOUTH_LAST; p++) {
            bool lower = p > MOUTH_INNER + 1;
            int column = lower ? MOUTH_LOOP - p - MOUTH_LAST : p - MOUTH_LAST;
            double side = (double)column / MOUTH_LAST, round = 1 - side * side;
            double *v = neutral[sculpt_mouth_loop(k, p)];
            v[0] = margin[column][0] * width[k];
            v[1] = margin[column][1] + (lower ? -1 : 1) * gap[k] * sqrt(round) - .8 * side * side;
            v[2] = margin[column][2] - 1.5 - 1.0 * round - depth[k] * (.4 + .6 * round);
        }
}

/* ---- ears ---- */

/* An ear: rings from the head (0) behind the flap to its edge (2), over the helix (3), into the
 * scapha (4), over the antihelix (5), into the concha (6). turn: 0 back, pi / 2 up; along: place on
 * the innermost ring, which is a line. */
static void ear_point(int ring, double turn, double along, double out[3])
{
    static const double scale[] = { 1.25, .66, 1.0, .92, .73, .52, 0 };
    static const double front_scale[] = { 1.3, 1.15, 1.0, .84, .62, .40, 0 };
    static const double rise[3][7] = { { 0, 0, -1.4, 2.4, -1.0, .6, -5.5 }, /* back and top */
                                       { 0, 0, .6, .6, -2.4, -5.2, -6.5 },  /* front */
                                       { 0, 0, -.6, .9, .8, -.6, -4.0 } };  /* lobe */
    static const double flare = .50, tilt = .20;
    double c = cos(turn), s = sin(turn), x = copysign(pow(fabs(c), .85), c);
    double front = sculpt_step(.15, .85, -c), lobe = sculpt_step(.45, .95, -s);
    double tragus = front * exp(-pow((s + .10) / .26, 2));
    double n = rise[0][ring] + front * (rise[1][ring] - rise[0][ring]);
    n += lobe * (rise[2][ring] - n) + (ring == 3 ? 2.6 * tragus : 0);
    double size = scale[ring] + (front_scale[ring] - scale[ring]) * front;
    if (ring == 1)
        size += (.20 * sculpt_step(.4, .9, fabs(s)) + .12 * fabs(s * c)) * (1 - front);
    double inward = sculpt_step(3, 6, ring);
    double a = 17.2 * size * x * (.87 + .16 * s) - 3 * inward;
    double b = 31.0 * size * s + (ring == 6 ? 10 * along : 0) - 1.5 * inward;
    double plane[3] = { 78.5 + a * sin(flare) + n * cos(flare), -6 + b * cos(tilt) - a * .06,
                        -11 - a * cos(flare) + n * sin(flare) - b * sin(tilt) };
    double on_head[3], o[3] = { 0, plane[1], plane[2] }, sideways[3] = { 1, 0, 0 };
    cast(o, sideways, 20, on_head);
    double attached = ring <= 1   ? 1
                      : ring >= 5 ? 0
                                  : front * (ring == 2   ? .9
                                             : ring == 3 ? .45
                                                         : .1);
    double lift = ring == 2 ? .8 : ring == 3 ? 1.4 + 2.4 * tragus : 0;
    out[0] = plane[0] + (on_head[0] + lift - plane[0]) * attached;
    out[1] = plane[1];
    out[2] = plane[2];
}

static void place_ear(void)
{
    enum { ACROSS = EAR_COLUMNS / 2, DOWN = EAR_ROWS / 2 };
    for (int i = 1; i < EAR_ROWS; i++)
        for (int j = 1; j < EAR_COLUMNS; j++) {
            int x = j - ACROSS, y = DOWN - i, dx = ACROSS - (x < 0 ? -x : x);
            int dy = DOWN - (y < 0 ? -y : y), ring = dx < dy ? dx : dy;
            double a = ACROSS - ring, b = DOWN - ring, turn;
            if (a > 0 && dx <= dy && (x > 0 || dx < dy))
                turn = x > 0 ? M_PI / 4 * y / b : M_PI - M_PI / 4 * y / b;
            else if (a > 0 && dx <= dy)
                turn = M_PI - M_PI / 4 * y / b;
            else if (a > 0)
                turn = y > 0 ? M_PI / 2 - M_PI / 4 * x / a : -M_PI / 2 + M_PI / 4 * x / a;
            else
                turn = y >= 0 ? M_PI / 2 : -M_PI / 2;
            double along = ring == ACROSS ? y / b : 0;
            ear_point(ring, turn, along, neutral[sculpt_index(EAR_ROW + i, EAR_COLUMN + j, false)]);
        }
}

/* ---- all ---- */

static bool is_fixed(int row, int column)
{
    if (row == ROW_EYE && column >= EYE_FIRST && column <= EYE_LAST)
        return true;
    if (row == ROW_MOUTH && column <= MOUTH_LAST)
        return true;
    return row == ROWS || (row > EAR_ROW && row < EAR_ROW + EAR_ROWS && column > EAR_COLUMN &&
                           column < EAR_COLUMN + EAR_COLUMNS);
}

/* One pass over the face toward the mean of the four neighbours. */
static void smooth(void)
{
    static point3 next[GRID_COUNT];
    for (int i = 1; i < ROWS; i++)
        for (int j = 0; j <= HALF; j++) {
            if (is_fixed(i, j))
                continue;
            uint32_t v = sculpt_index(i, j, false);
            double amount =
                .3 * sculpt_step(21, 15, j) * sculpt_step(14, 17, i) * sculpt_step(49, 45, i);
            const double *n[] = { neutral[sculpt_index(i - 1, j, true)],
                                  neutral[sculpt_index(i + 1, j, false)],
                                  neutral[sculpt_index(i, j > 0 ? j - 1 : 1, false)],
                                  neutral[sculpt_index(i, j < HALF ? j + 1 : HALF - 1, false)] };
            for (int k = 0; k < 3; k++) {
                double mean = (n[0][k] + n[1][k] + n[2][k] + n[3][k]) / 4;
                next[v][k] = neutral[v][k] + amount * (mean - neutral[v][k]);
            }
            if (j == 0 || j == HALF)
                next[v][0] = 0;
        }
    for (int i = 1; i < ROWS; i++)
        for (int j = 0; j <= HALF; j++)
            if (!is_fixed(i, j))
                memcpy(neutral[sculpt_index(i, j, false)], next[sculpt_index(i, j, false)],
                       sizeof next[0]);
}

static void build(void)
{
    double o[3], d[3];
    for (int i = 0; i <= ROWS; i++)
        for (int j = 0; j <= (i ? HALF : 0); j++)
            for (int lower = 0; lower < 2; lower++) {
                ray(i, j, lower, o, d);
                cast(o, d, 15, neutral[sculpt_index(i, j, lower)]);
            }
    place_eye();
    place_mouth();
    place_ear();
    smooth();
    for (uint32_t v = 0; v < VERTICES; v++) {
        uint32_t m = sculpt_mirror(v);
        bool left = neutral[v][0] > 0;
        if (m == v)
            neutral[v][0] = 0;
        else if (left)
            for (int k = 0; k < 3; k++)
                neutral[m][k] = k == 0 ? -neutral[v][k] : neutral[v][k];
    }
}

const point3 *sculpt_neutral(void)
{
    pthread_once(&once, build);
    return (const point3 *)neutral;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What lies where on the head: hairline, brows, lips, beard, wrinkles, as functions of a point of
 * the neutral head (mm; sculpt.h's axes, x without its sign) or of its place in the sculpt's grid.
 */
#include "paint_priv.h"

#include <math.h>

static double ramp(double low, double high, double x)
{
    return paint_ramp(low, high, x);
}

/* A line between knots of increasing x. */
static double knots(const double (*k)[2], int count, double x)
{
    int i = 0;
    while (i < count - 2 && x > k[i + 1][0])
        i++;
    double t = fmin(fmax((x - k[i][0]) / (k[i + 1][0] - k[i][0]), 0), 1);
    return k[i][1] + t * (k[i + 1][1] - k[i][1]);
}
#define KNOTS(table, x) knots(table, (int)(sizeof(table) / sizeof *(table)), x)

static double bump(double dx, double dy, double dz)
{
    return exp(-(dx * dx + dy * dy + dz * dz));
}

static bool on_ear(const paint_place *p)
{
    return p->row > 15 && p->row < 33.6 && p->column > 24.6 && p->column < 35.4;
}

/* Rows below the hairline of an average head, less than 0 in the hair. */
static double below_hairline(const paint_place *p)
{
    static const double line[][2] = { { 0, 8 },   { 6, 8.2 },   { 11, 8.6 },  { 14, 9.8 },
                                      { 17, 12 }, { 19, 13.6 }, { 20.5, 16 }, { 21.5, 21 },
                                      { 24, 23 }, { 24.8, 15 }, { 35, 15 },   { 35.8, 33 },
                                      { 38, 36 }, { 41, 37 } };
    return p->row - KNOTS(line, p->column);
}

/* Below the hairline hair grows with a high cover; above it the front and the top go bald first,
 * the sides last. */
static double hair_threshold(const paint_place *p)
{
    if (on_ear(p) || p->row > 46)
        return 9;
    double below = below_hairline(p);
    static const double rows_a_unit[][2] = { { 0, 1.5 }, { 16, 1.5 }, { 20, 2 },
                                             { 22, 4 },  { 24, 4 },   { 36, 1.5 } };
    if (below > 0)
        return below / KNOTS(rows_a_unit, p->column);
    double sides = ramp(88, 52, p->y);
    double top = 0.3 + 1.5 * fmin(fmax((82 - p->z) / 150, 0), 1);
    return -ramp(0, 2.5, -below) * (top + sides * (2.3 - top));
}

static double brow_centre(double x)
{
    static const double line[][2] = {
        { 8, 19 }, { 18, 22.3 }, { 28, 24.3 }, { 38, 23.6 }, { 50, 18 }
    };
    return KNOTS(line, x);
}

/* mm inside the outline, less than 0 outside */
static double beard_inside(const paint_place *p, double lips)
{
    static const double top[][2] = { { 0, 35.2 }, { 5, 35.2 },  { 9, 36.5 },
                                     { 11, 40 },  { 14, 41.5 }, { 17, 40 },
                                     { 20, 34 },  { 22, 26 },   { 24.5, 22 } };
    double rows = fmin(p->row - KNOTS(top, p->column), 51.5 - p->row);
    double edge = (25.5 - p->column) * 3;
    return fmin(fmin(rows * 2.6, edge), 8) - 14 * lips;
}

static double lips_mask(const paint_place *p)
{
    static const double upper[][2] = { { 0, 37.6 }, { 1.6, 37.0 }, { 4, 37.7 }, { 9.3, 40 } };
    static const double lower[][2] = { { 0, 43.2 }, { 3.5, 43 }, { 6.5, 42 }, { 9.3, 40 } };
    return ramp(-0.35, 0.55, p->row - KNOTS(upper, p->column)) *
           ramp(-0.35, 0.55, KNOTS(lower, p->column) - p->row);
}

/* A crease of width mm at signed distance d. */
static double crease(double d, double width)
{
    return exp(-d * d / (width * width));
}

static double wrinkles(const paint_place *p)
{
    double x = fabs(p->x), y = p->y, depth = 0;
    double wave = 1.6 * sin(x / 9) - x * x / 500;
    double forehead = ramp(30, 36, y) * ramp(74, 66, y) * ramp(48, 30, x) * ramp(20, 50, p->z);
    for (int k = 0; k < 3; k++)
        depth += forehead * crease(y - (39 + 11.5 * k) - wave, 1.7);
    depth += ramp(30, 24, y) * ramp(6, 14, y) * ramp(60, 80, p->z) * crease(x - 5.5, 1.5);
    double ox = x - 46, oy = y - 1, reach = hypot(ox, oy), angle = atan2(oy, ox);
    depth += ramp(4, 8, reach) * ramp(24, 14, reach) * ramp(1.1, 0.8, fabs(angle)) *
             ramp(0.3, 0.9, cos(7 * angle));
    static const double fold[][2] = { { -78, 29 }, { -62, 28 }, { -48, 23.5 }, { -38, 19.5 } };
    depth += 1.2 * ramp(-84, -74, y) * ramp(-34, -42, y) * ramp(55, 70, p->z) *
             crease(x - KNOTS(fold, y), 2.2);
    static const double chin[][2] = { { -104, 25 }, { -80, 24 } };
    depth += 0.8 * ramp(-106, -98, y) * ramp(-78, -86, y) * ramp(50, 62, p->z) *
             crease(x - KNOTS(chin, y), 1.8);
    double bag = y + 13 - (x - 31) * (x - 31) / 55;
    depth += 0.9 * ramp(14, 20, x) * ramp(50, 42, x) * ramp(60, 70, p->z) * crease(bag, 1.8);
    depth += 0.8 * ramp(-112, -120, y) * ramp(0, 8, p->z) *
             (crease(fmod(-y, 14) - 7, 1.6)); /* rings of the neck */
    return fmin(depth, 1.3);
}

static void noises(const paint_place *p, paint_skin *s)
{
    double x = p->x, y = p->y, z = p->z;
    double around = atan2(x, z) * 80; /* mm around the head */
    bool side = p->column > 19 && p->row > 12;
    /* Strands run back from the forehead, and down at the sides and the back. */
    double down = side || z < -40 ? 1 : 0;
    s->strand =
        (float)(down ? paint_noise(around / 2.2, y / 16, 3) : paint_noise(x / 2.2, z / 16, y / 16));
    s->lock =
        (float)(down ? paint_noise(around / 7, y / 30, 9) : paint_noise(x / 7, z / 30, y / 30 + 5));
    s->brow_strand = (float)paint_noise((x + 0.5 * y) / 1.6, y / 5, 17);
    s->beard_strand = (float)paint_noise(x / 1.6, y / 3.6, z / 1.6 + 40);
    s->noise[0] = (float)paint_noise(x / 24, y / 24, z / 24);
    s->noise[1] = (float)paint_noise(x / 8 + 9, y / 8, z / 8);
    s->noise[2] = (float)paint_noise(x / 2.5, y / 2.5 + 7, z / 2.5);
    double freckle = paint_noise(x / 2.6 + 70, y / 2.6, z / 2.6);
    double spot = paint_noise(x / 9 + 30, y / 9, z / 9 + 90);
    s->freckles = (float)ramp(0.35, 0.7, freckle);
    s->spots = (float)ramp(0.45, 0.75, spot);
}

void paint_skin_fields(const paint_place *p, paint_skin *s)
{
    double x = fabs(p->x), y = p->y, z = p->z;
    *s = (paint_skin){ .texel = p->texel };
    noises(p, s);
    s->hair = (float)hair_threshold(p);
    s->peak = (float)(bump(x / 14, (y - 74) / 12, 0) * ramp(40, 60, z));
    s->brow = (float)(z > 30 ? y - brow_centre(x) : 99);
    s->brow_along = (float)(ramp(6, 12, x) * ramp(53, 30, x));
    s->lips = p->inside > 0 ? 0 : (float)lips_mask(p);
    s->beard = p->inside > 0 ? -9 : (float)beard_inside(p, lips_mask(p));
    bool eyelid = p->inside > 0 && !p->mouth;
    s->mouth = p->inside > 0 && p->mouth ? (float)ramp(0, 1.4, p->inside) : 0;
    s->lid = eyelid ? (float)ramp(0, 0.8, p->inside) : 0;
    double along = ramp(5, 8, p->column) * ramp(18.5, 16, p->column);
    s->lash = (float)(eyelid ? 0.5 * ramp(0.7, 0, p->inside)
                             : along * (p->row < 20 ? ramp(18.6, 19.7, p->row)
                                                    : 0.45 * ramp(21, 20.2, p->row)));
    s->cheeks = (float)(bump((x - 45) / 17, (y + 32) / 17, 0) * ramp(20, 50, z));
    s->nose = (float)bump(x / 14, (y + 33) / 13, (z - 112) / 18);
    s->ears = on_ear(p) ? 1 : 0;
    s->freckles *= (float)(ramp(0, 0.4, bump((x - 30) / 34, (y + 22) / 24, 0)) * ramp(30, 60, z));
    s->eye_bags = (float)(bump((x - 30) / 13, (y + 12) / 6, 0) * ramp(50, 65, z));
    s->cavity = (float)bump((x - 8.5) / 4.2, (y + 44) / 2.6, (z - 103) / 8);
    s->lines = s->lips > 0.3f || p->inside > 0 ? 0 : (float)wrinkles(p);
}

void paint_eye_fields(const paint_map *map, const paint_place *p, paint_eye *e)
{
    double side = p->region == SCULPT_EYEBALL_LEFT ? 1 : -1;
    double x = p->x - side * EYE_X, y = p->y - EYE_Y, z = p->z - EYE_Z;
    /* The axis through the pupil. */
    double a[3] = { side * (map->pupil[0] - EYE_X), map->pupil[1] - EYE_Y, map->pupil[2] - EYE_Z };
    double length = sqrt(a[0] * a[0] + a[1] * a[1] + a[2] * a[2]);
    double radius = sqrt(x * x + y * y + z * z) + 1e-9;
    double cosine = (x * a[0] + y * a[1] + z * a[2]) / (length * radius);
    double angle = atan2(y, x);
    *e = (paint_eye){ .texel = p->texel,
                      .polar = (float)(acos(fmin(fmax(cosine, -1), 1)) * 180 / M_PI),
                      .grain = (float)fmin(p->grain / EYE_RADIUS * 180 / M_PI, 12),
                      .spokes = (float)paint_noise(3 * cos(angle), 3 * sin(angle), radius),
                      .shade = (float)ramp(1, 9, y) };
}

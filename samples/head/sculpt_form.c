/* SPDX-License-Identifier: Apache-2.0 */
/* The form of the neutral head as an implicit function: primitives for skull, jaw and soft parts,
 * joined by smooth unions. Negative inside. Millimetres; ears, lid margins and the mouth slit are
 * the surface's business (sculpt_surface.c).
 *
 * Smooth union: min(a,b) - max(k - |a - b|, 0)^2 / 4k.  Proportions after the usual tables of head
 * anthropometry: head 230 high, 153 wide, 195 long, 137 across the cheekbones. */
#include "sculpt_priv.h"

#include <math.h>

static double join(double a, double b, double k)
{
    double h = fmax(k - fabs(a - b), 0);
    return fmin(a, b) - h * h / (4 * k);
}

static double carve(double a, double b, double k)
{
    return -join(-a, b, k);
}

static double ellipsoid(const double p[3], double cx, double cy, double cz, double rx, double ry,
                        double rz)
{
    double x = p[0] - cx, y = p[1] - cy, z = p[2] - cz;
    double outer = sqrt(x * x / (rx * rx) + y * y / (ry * ry) + z * z / (rz * rz));
    double inner = sqrt(x * x / (rx * rx * rx * rx) + y * y / (ry * ry * ry * ry) +
                        z * z / (rz * rz * rz * rz));
    return inner > 1e-9 ? outer * (outer - 1) / inner : -fmin(rx, fmin(ry, rz));
}

/* From a with radius ra to b with radius rb. */
static double cone(const double p[3], double ax, double ay, double az, double ra, double bx,
                   double by, double bz, double rb)
{
    double d[3] = { bx - ax, by - ay, bz - az }, q[3] = { p[0] - ax, p[1] - ay, p[2] - az };
    double t =
        (q[0] * d[0] + q[1] * d[1] + q[2] * d[2]) / (d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
    t = fmin(fmax(t, 0), 1);
    double x = q[0] - t * d[0], y = q[1] - t * d[1], z = q[2] - t * d[2];
    return sqrt(x * x + y * y + z * z) - (ra + t * (rb - ra));
}

/* A roll of skin along the curve (x, y(x), z(x)), thinning toward |x| = half. */
static double lip(const double p[3], double half, double y0, double y1, double z0, double z1,
                  double r0, double r1)
{
    double x = fmin(fabs(p[0]), half), t = x / half, t2 = t * t;
    double y = y0 + (y1 - y0) * t2, z = z0 + (z1 - z0) * t2, r = r0 + (r1 - r0) * t2;
    double dx = p[0] - x, dy = p[1] - y, dz = p[2] - z;
    return sqrt(dx * dx + dy * dy + dz * dz) - r;
}

static double skull(const double p[3])
{
    double d = ellipsoid(p, 0, 36, -8, 75, 79, 92);
    d = join(d, ellipsoid(p, 0, 34, 30, 61, 56, 60), 24);       /* forehead */
    d = join(d, ellipsoid(p, 0, 10, -50, 58, 50, 50), 24);      /* occiput */
    d = join(d, ellipsoid(p, 0, -18, 18, 60, 66, 62), 20);      /* middle of the face */
    d = join(d, ellipsoid(p, 0, -46, 40, 40, 36, 47), 18);      /* upper jaw */
    d = join(d, cone(p, 59, -8, 4, 9, 50, -62, 8, 10), 20);     /* ramus of the jaw */
    d = join(d, cone(p, 48, -64, 12, 11, 10, -95, 70, 13), 26); /* body of the jaw */
    d = join(d, ellipsoid(p, 0, -98, 72, 17, 15, 16), 18);      /* chin */
    d = join(d, ellipsoid(p, 0, -70, 34, 40, 38, 42), 26);      /* floor of the mouth */
    d = join(d, ellipsoid(p, 51, 10, 22, 20.5, 34, 37), 16);    /* temple */
    d = join(d, cone(p, 46, -15, 58, 10, 61, -9, 30, 8), 18);   /* cheekbone */
    d = join(d, cone(p, 61, -9, 30, 7, 66, -4, 2, 7), 14);
    d = join(d, cone(p, 12, 19, 80, 10, 42, 23, 66, 9), 14); /* brow ridge */
    return d;
}

static double neck(const double p[3])
{
    double d = ellipsoid((const double[3]){ p[0], 0, p[2] + 26 - 0.09 * (p[1] + 60) }, 0, 0, 0, 53,
                         1e3, 52);
    d = -join(-d, -(p[1] + 25), 30);                             /* ends inside the skull */
    d = join(d, cone(p, 52, -42, -20, 12, 14, -168, 20, 9), 12); /* sternomastoid */
    d = join(d, ellipsoid(p, 0, -134, 14, 9, 14, 10), 16);       /* larynx */
    return d;
}

static double nose(const double p[3])
{
    double d = cone(p, 0, 8, 82, 6.5, 0, -30, 104, 7.0);        /* bridge */
    d = join(d, cone(p, 0, -6, 80, 10, 0, -33, 91, 14), 10);    /* side walls */
    d = join(d, ellipsoid(p, 0, -35, 104, 8.5, 8.5, 9.5), 7);   /* tip */
    d = join(d, ellipsoid(p, 13.4, -40, 93, 6.2, 7.2, 9.5), 4); /* ala */
    d = join(d, cone(p, 0, -40, 105, 4.5, 0, -46, 92, 4.5), 6); /* columella */
    return d;
}

double sculpt_form(const double point[3])
{
    const double p[3] = { fabs(point[0]), point[1], point[2] };
    /* bones of the two sides meet without a crease */
    const double soft[3] = { sqrt(p[0] * p[0] + 25), point[1], point[2] };
    double d = skull(soft);
    d = join(d, neck(soft), 22);
    d = carve(d, ellipsoid(p, 33, 1, 98, 19, 13, 19), 14); /* eye socket */
    d = carve(d, ellipsoid(p, 17, 0, 99, 6, 12, 12), 10);  /* beside the root of the nose */
    d = join(d, ellipsoid(p, EYE_X, EYE_Y, EYE_Z, 14.3, 14.3, 14.3), 5);
    d = join(d, ellipsoid(p, 36, -42, 46, 23, 30, 32), 26); /* cheek */
    d = join(d, nose(p), 7);
    d = carve(d, ellipsoid(p, 7.0, -47.5, 97, 2.8, 4.5, 5.5), 3);   /* nostril */
    d = join(d, lip(p, 25, -61.8, -66.5, 91, 74, 6.4, 2.6), 5);     /* upper lip */
    d = join(d, lip(p, 24, -72.8, -68.0, 88.2, 74, 7.2, 2.6), 4.5); /* lower lip */
    d = carve(d, cone(p, 0, -52, 98.5, 3.5, 0, -58, 99.5, 3.5), 5); /* philtrum */
    d = carve(d, ellipsoid(p, 0, -83.5, 103, 20, 5, 16), 10);       /* under the lower lip */
    d = carve(d, ellipsoid(p, 28, -66.5, 91, 4, 4, 9), 8);          /* corner of the mouth */
    return d;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Value noise on a lattice and a smooth step: the painter's grain. */
#include "paint_priv.h"

#include <math.h>

static double lattice(int x, int y, int z)
{
    uint32_t h = (uint32_t)x * 0x8DA6B343u ^ (uint32_t)y * 0xD8163841u ^ (uint32_t)z * 0xCB1AB31Fu;
    h = (h ^ h >> 15) * 0x2C1B3C6Du;
    h = (h ^ h >> 12) * 0x297A2D39u;
    h ^= h >> 15;
    return h / 2147483648.0 - 1;
}

double paint_noise(double x, double y, double z)
{
    double p[3] = { x, y, z }, t[3], sum = 0;
    int base[3];
    for (int k = 0; k < 3; k++) {
        base[k] = (int)floor(p[k]);
        t[k] = p[k] - base[k];
        t[k] *= t[k] * (3 - 2 * t[k]);
    }
    for (int corner = 0; corner < 8; corner++) {
        double weight = 1;
        for (int k = 0; k < 3; k++)
            weight *= corner >> k & 1 ? t[k] : 1 - t[k];
        sum += weight * lattice(base[0] + (corner & 1), base[1] + (corner >> 1 & 1),
                                base[2] + (corner >> 2));
    }
    return 1.3 * sum;
}

double paint_ramp(double low, double high, double x)
{
    double t = fmin(fmax((x - low) / (high - low), 0), 1);
    return t * t * (3 - 2 * t);
}

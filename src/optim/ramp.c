/* SPDX-License-Identifier: Apache-2.0 */
/* How rates and weights change over a stage. */
#include "optim/optim.h"

#include <math.h>
#include <string.h>

double optim_ramp(const char *schedule, double left)
{
    static const double end = 0.1;
    if (!strcmp(schedule, "linear"))
        return end + (1 - end) * left;
    if (!strcmp(schedule, "cosine"))
        return end + (1 - end) * (1 - cos(M_PI * left)) / 2;
    if (!strcmp(schedule, "tail"))
        return fmin(1, end + 3 * (1 - end) * left);
    return 1;
}

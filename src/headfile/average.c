/* SPDX-License-Identifier: Apache-2.0 */
/* The pose in which a FLAME head looks straight ahead, from its own geometry.
 *
 * FLAME's template looks a little up. In a face that looks straight ahead the most forward points
 * of forehead and chin lie above each other (Legan and Burstone, "Soft tissue cephalometric
 * analysis for orthognathic surgery", 1980: the chin is 0 +- 4 mm before the vertical through the
 * glabella), so the pitch is what brings them there; of ICT-FaceKit's mean head, of people who
 * looked straight ahead, it is 1.4 degrees. Both points are looked for near the plane of symmetry,
 * between heights that are measured from the eyes' joints in units of their distance: lips end
 * above the chin's, hair begins above the forehead's. What is most forward changes with the pitch,
 * so the search is repeated. */
#include "headfile_priv.h"

#include <math.h>
#include <string.h>

typedef struct band {
    double low, high;
} band;
static const band forehead = { 0.15, 0.75 }, chin = { -2.05, -1.5 };
static const double midline = 0.15;
static const double most_pitch = 0.35; /* 20 degrees: more is another kind of head */
enum { PASSES = 8, LEFT_EYE = 3, RIGHT_EYE, JOINTS };

/* (y, z) of the most forward vertex of a band after a pitch about the eyes; or false. */
static bool most_forward(const head_model *m, const double eyes[3], double unit, double pitch,
                         band b, double point[2])
{
    bool found = false;
    for (size_t i = 0; i < m->vertex_count; i++) {
        const real *v = m->vertices + 3 * i;
        double x = ((double)v[0] - eyes[0]) / unit;
        double y = ((double)v[1] - eyes[1]) / unit, z = ((double)v[2] - eyes[2]) / unit;
        double up = y * cos(pitch) - z * sin(pitch), ahead = y * sin(pitch) + z * cos(pitch);
        if (fabs(x) > midline || up < b.low || up > b.high || (found && ahead <= point[1]))
            continue;
        found = true;
        point[0] = up;
        point[1] = ahead;
    }
    return found;
}

hds_status headfile_flame_average(const head_model *m, float *pitch, hds_error *error)
{
    if (strcmp(m->name, "FLAME") != 0 || m->joint_count != JOINTS)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "an average pose is known for FLAME with its 5 joints, not for %s with "
                         "%zu; give rotations as the base pose",
                         m->name, m->joint_count);
    const real *left = m->joints + 3 * LEFT_EYE, *right = m->joints + 3 * RIGHT_EYE;
    double eyes[3], unit = 0, sum = 0;
    for (int i = 0; i < 3; i++) {
        eyes[i] = ((double)left[i] + (double)right[i]) / 2;
        unit += ((double)left[i] - (double)right[i]) * ((double)left[i] - (double)right[i]);
    }
    unit = sqrt(unit);
    bool found = unit > 0;
    for (int pass = 0; found && pass < PASSES; pass++) {
        double brow[2] = { 0 }, jaw[2] = { 0 };
        found = most_forward(m, eyes, unit, sum, forehead, brow) &&
                most_forward(m, eyes, unit, sum, chin, jaw);
        if (found)
            sum += atan2(jaw[1] - brow[1], brow[0] - jaw[0]);
    }
    if (!found || !(fabs(sum) <= most_pitch))
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: no profile of a forehead and a chin found above and below its eyes; give "
            "rotations as the base pose",
            m->path ? m->path : m->name);
    *pitch = (float)sum;
    return HDS_OK;
}

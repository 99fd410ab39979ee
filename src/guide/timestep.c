/* SPDX-License-Identifier: Apache-2.0 */
/* Which diffusion timesteps a step looks at. */
#include "guide/guide.h"

#include <math.h>
#include <string.h>

void guide_timesteps(const hds_guidance *p, const guide_step *at, uint64_t offset,
                     int timestep_count, size_t count, float *timesteps)
{
    bool stratified = !strcmp(p->timestep_schedule, "stratified");
    for (size_t i = 0; i < count; i++) {
        rng r = rng_make(at->seed, guide_stream(at, i, false) + offset);
        /* a view has another part of the range at the next step */
        size_t slot = (i + (size_t)at->step) % count;
        double t = rng_uniform(&r);
        if (stratified)
            t = ((double)slot + t) / (double)count;
        t = p->timestep_min + (p->timestep_max - p->timestep_min) * t;
        timesteps[i] = (float)fmin(floor(t * timestep_count), timestep_count - 1);
    }
}

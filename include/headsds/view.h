/* SPDX-License-Identifier: Apache-2.0 */
/* Cameras and light: where a head is seen from, and what shines on it. */
#ifndef HEADSDS_VIEW_H
#define HEADSDS_VIEW_H

#include "headsds/error.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Where a picture is taken from: a camera that looks at the middle of the model's template. */
typedef struct hds_camera {
    float azimuth;   /* degrees; positive sees the head's own left side */
    float elevation; /* degrees, -90 to 90; positive looks down on the head */
    float distance;  /* metres from that middle; 0: the nearest that has all of the template in the
                        frame at every azimuth */
    float fov;       /* degrees from bottom to top, 1 to 150; 0: 20 */
} hds_camera;

/* Fills `count` cameras with draws from the ranges that a published system takes its views from:
 * "faceg2e-geometry", "faceg2e-texture", "faceg2e-edit-geometry",
 * "faceg2e-edit-texture" (Wu et al. 2024, and its code), "anihead" (distance and field of view are
 * not given there: the head is framed). Equal seeds, equal cameras. HDS_ERROR_ARGUMENT lists the
 * names for another. */
HDS_API HDS_NODISCARD hds_status hds_cameras_draw(const char *name, uint64_t seed, size_t count,
                                                  hds_camera *cameras, hds_error *error);

/* Light from one of a few presets, 0 <= preset < hds_light_presets(): coefficients of irradiance /
 * pi, l rising from 0 to 2, within it m from -l to l, in object space. Ramamoorthi, Hanrahan 2001.
 */
HDS_API int hds_light_presets(void);
HDS_API HDS_NODISCARD hds_status hds_light_preset(int preset, float light[9], hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The half of the UNet that a ControlNet shares. */
#ifndef HDS_UNET_PRIV_H
#define HDS_UNET_PRIV_H

#include "diffusion/diffusion.h"

/* Time embedding, conv_in (plus `condition`, or NULL), the way down and the middle. Fills s, whose
 * tensors live in the caller's scope; returns the time embedding (B,4C) or (1,4C). */
tn *unet_way_down(const unet_config *c, const at *p, const tn *latents, const tn *condition,
                  const float *timesteps, int64_t timestep_count, const tn *text,
                  const unet_capture *capture, unet_residuals *s);

#endif

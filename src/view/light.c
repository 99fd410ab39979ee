/* SPDX-License-Identifier: Apache-2.0 */
/* Presets of light through the public calls. */
#include "view/view.h"

int hds_light_presets(void)
{
    return raster_light_presets();
}

hds_status hds_light_preset(int preset, float light[9], hds_error *error)
{
    if (preset < 0 || preset >= raster_light_presets())
        return hds_raise(error, HDS_ERROR_ARGUMENT, "light: preset %d, expected 0 to %d", preset,
                         raster_light_presets() - 1);
    raster_light_preset(preset, RASTER_HARMONICS, light);
    return HDS_OK;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The pyramid that views' gradients on a texture are preconditioned by. */
#include "texture/texture.h"

#include "image/image.h"

#include <string.h>

enum { COARSEST = 8 };

bool texture_pyramid(int width, int height, arena *a, float *gradient)
{
    size_t texels = 3 * (size_t)width * (size_t)height;
    float *sum = arena_alloc(a, texels, sizeof *sum),
          *large = arena_alloc(a, texels, sizeof *large);
    float *small = arena_alloc(a, texels, sizeof *small);
    if (!sum || !large || !small)
        return false;
    memcpy(sum, gradient, texels * sizeof *sum);
    for (int s = 2; height / s >= COARSEST && width / s >= COARSEST; s *= 2) {
        image_resize(gradient, height, width, 3, height / s, width / s, IMAGE_AREA, small);
        image_resize(small, height / s, width / s, 3, height, width, IMAGE_BILINEAR, large);
        for (size_t i = 0; i < texels; i++)
            sum[i] += large[i];
    }
    memcpy(gradient, sum, texels * sizeof *sum);
    return true;
}

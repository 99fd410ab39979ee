/* SPDX-License-Identifier: Apache-2.0 */
/* From a picture to what the vision tower of CLIP sees: the shorter side resized, the centre cut
 * out, colours normalised; and the backward pass for gradients. Radford et al. 2021, section 2.5.
 */
#include "diffusion/diffusion.h"
#include "image/image.h"

typedef struct crop {
    int height, width; /* of the resized picture */
    image_window window;
} crop;

static crop find_crop(const clip_pixels_config *c, size_t height, size_t width)
{
    size_t side = (size_t)c->resized, shorter = height < width ? height : width;
    crop r = { .height = (int)(side * height / shorter), .width = (int)(side * width / shorter) };
    r.window =
        (image_window){ (r.height - c->size) / 2, (r.width - c->size) / 2, c->size, c->size };
    return r;
}

bool clip_pixels_crop(const clip_pixels_config *c, const float *image, size_t height, size_t width,
                      float *square)
{
    crop r = find_crop(c, height, width);
    return image_bicubic(image, (int)height, (int)width, 3, r.height, r.width, r.window, square);
}

bool clip_pixels_crop_adjoint(const clip_pixels_config *c, size_t height, size_t width,
                              const float *dsquare, float *dimage)
{
    crop r = find_crop(c, height, width);
    return image_bicubic_adjoint((int)height, (int)width, 3, r.height, r.width, r.window, dsquare,
                                 dimage);
}

tn *clip_pixels_normalise(const clip_pixels_config *c, tn_context *cx, const tn *squares)
{
    float mean[3], scale[3];
    for (int i = 0; i < 3; i++) {
        mean[i] = (float)c->mean[i];
        scale[i] = (float)(1 / c->deviation[i]);
    }
    size_t scope = tn_enter(cx);
    tn *x = tn_clamp(cx, squares, 0, 1);
    x = tn_sub(cx, x, tn_from_f32(cx, mean, TN_SHAPE(3)));
    x = tn_mul(cx, x, tn_from_f32(cx, scale, TN_SHAPE(3)));
    return tn_leave(cx, scope, tn_permute(cx, x, TN_SHAPE(0, 3, 1, 2)));
}

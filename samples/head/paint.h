/* SPDX-License-Identifier: Apache-2.0 */
/* A procedural painter of head textures with named parameters, and the measures that read those
 * parameters back from any texture in the same layout.
 *
 * Attributes are in population standard deviations, N(0,1), useful within +-2.5; minor variations
 * likewise, unnamed and small. Everything is painted in object space on the sculpt's neutral head
 * (sculpt.h), left-right symmetric apart from noise. Albedo: no light is baked in. */
#ifndef PAINT_H
#define PAINT_H

#include <stdbool.h>
#include <stdint.h>

typedef enum paint_attribute {
    PAINT_SKIN_TONE,      /* + dark, - pale */
    PAINT_HAIR_LIGHTNESS, /* + blond, - black */
    PAINT_HAIR_REDNESS,   /* + ginger, - ashen or grey */
    PAINT_HAIR_COVER,     /* + low hairline and sideburns, - bald */
    PAINT_BROW_THICKNESS, /* + bushy, - thin */
    PAINT_LIP_COLOUR,     /* + red, - nude */
    PAINT_EYE_COLOUR,     /* + blue, - brown */
    PAINT_BEARD,          /* + full, - clean-shaven; the mean has slight stubble */
    PAINT_AGE_LINES,      /* + wrinkled, - smooth */
    PAINT_ATTRIBUTES
} paint_attribute;
extern const char *const paint_attribute_names[PAINT_ATTRIBUTES];

enum { PAINT_MINOR = 16 };

typedef struct painter painter;
/* size: width and height of the textures. NULL: out of memory. */
painter *painter_create(int size); /* new */
void painter_destroy(painter *p);

/* attributes, minor: NULL for zeros -> texture (size,size,3) sRGB, row 0 at v = 1. What lies
 * between the islands takes the colour of the nearest painted texel. Safe from many threads. */
void painter_paint(const painter *p, const float *attributes, const float *minor, uint8_t *texture);

/* texture (size,size,3), painted or found by optimisation -> its attributes (PAINT_ATTRIBUTES): of
 * the nearest texture that the painter can paint. False: out of memory. */
bool painter_measure(const painter *p, const uint8_t *texture, float *attributes);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* Words for heads: the named attributes of the sample head with their two poles, and captions
 * that name some of them in many phrasings. */
#ifndef SAMPLES_CAPTIONS_H
#define SAMPLES_CAPTIONS_H

#include "base/base.h"

/* The sculpt's shape attributes come first, then the painter's, in their own orders. */
enum {
    CAPTION_SHAPE = 18,
    CAPTION_TEXTURE = 9,
    CAPTION_ATTRIBUTES = CAPTION_SHAPE + CAPTION_TEXTURE
};

enum { CAPTION_PHRASES = 4 };
typedef struct caption_attribute {
    const char *name;
    /* Phrases for the high and the low pole that follow "a head with"; the first is the canonical
     * one of the fidelity table. NULL ends a shorter list. */
    const char *high[CAPTION_PHRASES], *low[CAPTION_PHRASES];
    /* One word before the noun ("a long-nosed man"), or NULL. */
    const char *high_adjective, *low_adjective;
} caption_attribute;
extern const caption_attribute caption_attributes[CAPTION_ATTRIBUTES];

/* What a training picture shows. */
typedef enum caption_medium {
    CAPTION_GREY,    /* grey shading */
    CAPTION_NORMALS, /* object-space normals */
    CAPTION_PHOTO,   /* textured and shaded */
    CAPTION_UV,      /* the texture itself */
    CAPTION_MEDIA
} caption_medium;

/* Within 45 degrees of the front, beyond 135, between. */
typedef enum caption_view { CAPTION_FRONT, CAPTION_BACK, CAPTION_SIDE, CAPTION_VIEWS } caption_view;

/* What a caption says: 1 and -1 for the named poles and 0 for what it leaves open. */
typedef struct caption_meaning {
    float poles[CAPTION_ATTRIBUTES];
    float medium[CAPTION_MEDIA];
    float view[CAPTION_VIEWS];
} caption_meaning;
enum { CAPTION_MEANINGS = sizeof(caption_meaning) / sizeof(float) };

/* Writes a random caption for a picture of a head into text (size bytes).
 * attributes (CAPTION_ATTRIBUTES), standard deviations: only poles beyond 1 are named, only those
 * that the medium shows, and each of them only sometimes. azimuth in degrees tells the view words
 * (ignored for CAPTION_UV). A tenth of the captions is empty (the null prompt). meaning: or NULL.
 */
void caption_write(rng *r, const float *attributes, caption_medium medium, float azimuth,
                   char *text, size_t size, caption_meaning *meaning);

#endif

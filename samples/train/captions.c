/* SPDX-License-Identifier: Apache-2.0 */
/* Words for heads: attributes, phrases, and random captions. */
#include "captions.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const caption_attribute caption_attributes[CAPTION_ATTRIBUTES] = {
    { "nose_length",
      { "a long nose", "a very long nose", "a big long nose", "a lengthy nose" },
      { "a short nose", "a small short nose", "a button nose", "a little nose" },
      "long-nosed",
      "short-nosed" },
    { "nose_width",
      { "a wide nose", "a broad nose", "a fat nose", "wide nostrils" },
      { "a narrow nose", "a thin nose", "a slim nose", "narrow nostrils" },
      "wide-nosed",
      NULL },
    { "nose_bridge",
      { "a high nose bridge", "a hooked nose", "a roman nose", "a broken nose" },
      { "a flat nose bridge", "a flat nose", "a low nose bridge", "a snub nose" },
      "hook-nosed",
      NULL },
    { "jaw_width",
      { "a wide jaw", "a square jaw", "a broad jaw", "a strong jaw" },
      { "a narrow jaw", "a slender jaw", "a pointed jaw", "a slim jaw" },
      "square-jawed",
      NULL },
    { "chin",
      { "a strong chin", "a prominent chin", "a jutting chin", "a big chin" },
      { "a weak chin", "a receding chin", "a small chin", "a tiny chin" },
      NULL,
      "weak-chinned" },
    { "cheekbones",
      { "prominent cheekbones", "high cheekbones", "strong cheekbones", "sharp cheekbones" },
      { "flat cheekbones", "low cheekbones", "soft cheekbones", "weak cheekbones" },
      NULL,
      NULL },
    { "brow_ridge",
      { "a heavy brow ridge", "a heavy brow", "a strong brow", "a protruding brow" },
      { "a smooth brow ridge", "a smooth brow", "a flat brow", "a soft brow" },
      "heavy-browed",
      NULL },
    { "eye_size",
      { "large eyes", "big eyes", "huge eyes", "wide open eyes" },
      { "small eyes", "tiny eyes", "little eyes", "narrow eyes" },
      "big-eyed",
      "small-eyed" },
    { "eye_spacing",
      { "wide-set eyes", "eyes far apart", "widely spaced eyes", NULL },
      { "close-set eyes", "eyes close together", "closely spaced eyes", NULL },
      NULL,
      NULL },
    { "lip_fullness",
      { "full lips", "thick lips", "plump lips", "big lips" },
      { "thin lips", "narrow lips", "slim lips", "small lips" },
      "full-lipped",
      "thin-lipped" },
    { "mouth_width",
      { "a wide mouth", "a broad mouth", "a big mouth", "a large mouth" },
      { "a narrow mouth", "a small mouth", "a tiny mouth", "a little mouth" },
      "wide-mouthed",
      NULL },
    { "ear_size",
      { "big ears", "large ears", "huge ears", "long ears" },
      { "small ears", "tiny ears", "little ears", "short ears" },
      "big-eared",
      "small-eared" },
    { "ear_protrusion",
      { "protruding ears", "ears that stick out", "jug ears", "bat ears" },
      { "flat ears", "ears close to the head", "pinned ears", "flat lying ears" },
      NULL,
      NULL },
    { "forehead_height",
      { "a high forehead", "a tall forehead", "a big forehead", "a large forehead" },
      { "a low forehead", "a short forehead", "a small forehead", "a little forehead" },
      NULL,
      NULL },
    { "cranium_height",
      { "a tall cranium", "a tall skull", "a high crown", "an egg-shaped skull" },
      { "a flat cranium", "a flat skull", "a low crown", "a low skull" },
      NULL,
      "flat-headed" },
    { "face_length",
      { "a long face", "an elongated face", "a lengthy face", "an oblong face" },
      { "a short face", "a round short face", "a compact face", "a stubby face" },
      "long-faced",
      NULL },
    { "neck_width",
      { "a thick neck", "a wide neck", "a bull neck", "a muscular neck" },
      { "a thin neck", "a narrow neck", "a slender neck", "a skinny neck" },
      "thick-necked",
      NULL },
    { "fullness",
      { "chubby cheeks", "full cheeks", "a fat face", "plump cheeks" },
      { "hollow cheeks", "sunken cheeks", "a gaunt face", "a thin face" },
      "chubby",
      "gaunt" },
    { "skin_tone",
      { "dark skin", "black skin", "deep brown skin", "a dark complexion" },
      { "pale skin", "fair skin", "white skin", "a pale complexion" },
      "dark-skinned",
      "pale" },
    { "hair_lightness",
      { "blond hair", "blonde hair", "fair hair", "light hair" },
      { "black hair", "dark hair", "jet black hair", "raven hair" },
      "blond",
      "dark-haired" },
    { "hair_redness",
      { "red hair", "ginger hair", "copper hair", "auburn hair" },
      { "ashen hair", "grey hair", "gray hair", "silver hair" },
      "red-haired",
      "grey-haired" },
    { "hair_cover",
      { "a full head of hair", "thick hair", "lots of hair", "a low hairline" },
      { "a bald head", "no hair", "a receding hairline", "a shaved head" },
      NULL,
      "bald" },
    { "brow_thickness",
      { "thick eyebrows", "bushy eyebrows", "heavy eyebrows", "big eyebrows" },
      { "thin eyebrows", "sparse eyebrows", "faint eyebrows", "plucked eyebrows" },
      NULL,
      NULL },
    { "lip_colour",
      { "red lips", "lipstick", "bright red lips", "dark red lips" },
      { "pale lips", "nude lips", "colourless lips", "light lips" },
      NULL,
      NULL },
    { "eye_colour",
      { "blue eyes", "bright blue eyes", "light blue eyes", "pale blue eyes" },
      { "brown eyes", "dark eyes", "dark brown eyes", "deep brown eyes" },
      "blue-eyed",
      "brown-eyed" },
    { "beard",
      { "a beard", "a full beard", "a thick beard", "a beard and a moustache" },
      { "a clean-shaven face", "no beard", "a shaved face", "a smooth chin" },
      "bearded",
      "clean-shaven" },
    { "age_lines",
      { "wrinkles", "wrinkled skin", "deep wrinkles", "age lines" },
      { "smooth skin", "young skin", "no wrinkles", "flawless skin" },
      "old",
      "young" },
};

/* Words that say nothing about the head: the encoder learns to look past them. */
static const char *const nouns[] = { "head",        "head",   "head",    "man",    "woman",
                                     "person",      "face",   "human",   "boxer",  "sailor",
                                     "king",        "queen",  "farmer",  "wizard", "warrior",
                                     "doctor",      "singer", "actor",   "hero",   "villain",
                                     "grandfather", "elf",    "soldier", "monk" };
static const char *const fillers[] = { "highly detailed", "DSLR photo",     "studio light",
                                       "3D model",        "portrait",       "realistic",
                                       "zoomed out",      "game character", "centred",
                                       "sculpture",       "high quality",   "character design" };
static const char *const media[CAPTION_MEDIA][5] = {
    { "a grey render of", "a clay model of", "a grey sculpture of", "an untextured 3D model of",
      "a 3D render of" },
    { "a normal map of", "surface normals of", "an object-space normal render of",
      "a normal render of", "normals of" },
    { "a photo of", "a portrait of", "a coloured render of", "a DSLR photo of",
      "a textured 3D model of" },
    { "a texture map of", "a UV texture of", "an unwrapped texture of", "an albedo map of",
      "a diffuse texture map of" },
};

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define PICK(r, array) ((array)[rng_below(r, COUNT(array))])

static const char *const views[CAPTION_VIEWS] = { "front view", "back view", "side view" };

static caption_view view_of(float azimuth)
{
    float a = fabsf(remainderf(azimuth, 360));
    return a <= 45 ? CAPTION_FRONT : a > 135 ? CAPTION_BACK : CAPTION_SIDE;
}

static void append(char *text, size_t size, const char *more)
{
    size_t used = strlen(text);
    snprintf(text + used, size - used, "%s", more);
}

static const char *phrase(rng *r, const char *const list[CAPTION_PHRASES])
{
    if (rng_uniform(r) < 0.4)
        return list[0];
    uint32_t count = 1;
    while (count < CAPTION_PHRASES && list[count])
        count++;
    return list[rng_below(r, count)];
}

static bool shows(caption_medium medium, int attribute)
{
    bool texture = attribute >= CAPTION_SHAPE;
    return medium == CAPTION_PHOTO || (texture == (medium == CAPTION_UV));
}

/* Indices of the poles that the picture shows, in random order. */
static int visible(rng *r, const float *attributes, caption_medium medium, float threshold,
                   int *order)
{
    int count = 0;
    for (int i = 0; i < CAPTION_ATTRIBUTES; i++)
        if (fabsf(attributes[i]) >= threshold && shows(medium, i))
            order[count++] = i;
    for (int i = count - 1; i > 0; i--) {
        int j = (int)rng_below(r, (uint32_t)i + 1), swap = order[i];
        order[i] = order[j];
        order[j] = swap;
    }
    return count;
}

/* Letters that mean nothing: what an unknown word looks like to the encoder. */
static void unknown_word(rng *r, char *text, size_t size)
{
    size_t length = 3 + rng_below(r, 6);
    for (size_t i = 0; i < length && i + 1 < size; i++) {
        static const char vowels[] = "aeiou";
        text[i] = rng_below(r, 5) < 2 ? vowels[rng_below(r, 5)] : (char)('a' + rng_below(r, 26));
        text[i + 1] = 0;
    }
}

void caption_write(rng *r, const float *attributes, caption_medium medium, float azimuth,
                   char *text, size_t size, caption_meaning *meaning)
{
    caption_meaning unused;
    meaning = meaning ? meaning : &unused;
    *meaning = (caption_meaning){ 0 };
    text[0] = 0;
    if (rng_uniform(r) < 0.1)
        return;
    int order[CAPTION_ATTRIBUTES];
    int count = visible(r, attributes, medium, 1, order);
    /* One attribute often, since that is what a short prompt names; many, since each says what to
     * learn. */
    static const int limits[] = { 1, 1, 2, 3, 4, 5, 6, 6 };
    int named = limits[rng_below(r, COUNT(limits))];
    named = named < count ? named : count;
    for (int i = 0; i < named; i++)
        meaning->poles[order[i]] = attributes[order[i]] > 0 ? 1 : -1;

    char noun[96] = "";
    if (rng_uniform(r) < 0.5) {
        append(text, size, PICK(r, media[medium]));
        append(text, size, " ");
        meaning->medium[medium] = 1;
    }
    int first = 0;
    if (named && rng_uniform(r) < 0.25) {
        const caption_attribute *a = &caption_attributes[order[0]];
        const char *adjective = attributes[order[0]] > 0 ? a->high_adjective : a->low_adjective;
        if (adjective) {
            append(noun, sizeof noun, adjective);
            append(noun, sizeof noun, " ");
            first = 1;
        }
    }
    char unknown[16];
    unknown_word(r, unknown, sizeof unknown);
    append(noun, sizeof noun, rng_uniform(r) < 0.12 ? unknown : PICK(r, nouns));
    append(text, size, strchr("aeiou", noun[0]) ? "an " : "a ");
    append(text, size, noun);
    for (int i = first; i < named; i++) {
        const caption_attribute *a = &caption_attributes[order[i]];
        append(text, size, i == first ? " with " : i + 1 == named ? " and " : ", ");
        append(text, size, phrase(r, attributes[order[i]] > 0 ? a->high : a->low));
    }
    if (rng_uniform(r) < 0.2) {
        append(text, size, ", ");
        append(text, size, PICK(r, fillers));
    }
    if (medium != CAPTION_UV && rng_uniform(r) < 0.5) {
        append(text, size, ", ");
        append(text, size, views[view_of(azimuth)]);
        meaning->view[view_of(azimuth)] = 1;
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Text as CLIP's vocabulary has it: composed (NFC), lower case, with single blanks. Unicode:
 * libutf8proc. */
#include "text_priv.h"

#include <stdlib.h>
#include <utf8proc.h>

enum { DOTTED_CAPITAL_I = 0x130, COMBINING_DOT = 0x307 };

text_kind text_classify(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return TEXT_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return TEXT_NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return TEXT_SPACE;
    default:
        return (c >= '\t' && c <= '\r') || c == 0x85 ? TEXT_SPACE : TEXT_OTHER;
    }
}

/* What a regular expression calls \w. */
static bool is_word(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return text_classify(c) == TEXT_LETTER || c == 0x200c || c == 0x200d; /* joiners */
    }
}

bool text_word_begins(const char *text, size_t size, size_t at)
{
    utf8proc_int32_t c;
    return at < size &&
           utf8proc_iterate((const utf8proc_uint8_t *)text + at, (utf8proc_ssize_t)(size - at),
                            &c) > 0 &&
           is_word(c);
}

bool text_word_ends(const char *text, size_t at)
{
    size_t before = at;
    while (before && ((unsigned char)text[--before] & 0xc0) == 0x80)
        ;
    return at && text_word_begins(text, at, before);
}

/* The one character whose lower case is two: the mapping of single characters loses its dot. */
static size_t lower(utf8proc_int32_t c, unsigned char *out)
{
    if (c != DOTTED_CAPITAL_I)
        return (size_t)utf8proc_encode_char(utf8proc_tolower(c), out);
    out[0] = 'i';
    return 1 + (size_t)utf8proc_encode_char(COMBINING_DOT, out + 1);
}

unsigned char *text_normalise(const char *text, size_t size, size_t *length)
{
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t room = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size,
                                         &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    unsigned char *out = room < 0 ? NULL : hds_alloc((size_t)room + 1, 4);
    *length = 0;
    bool space = false;
    for (utf8proc_ssize_t at = 0; out && at < room;) {
        utf8proc_int32_t c;
        at += utf8proc_iterate(composed + at, room - at, &c);
        bool was = space;
        space = text_classify(c) == TEXT_SPACE;
        if (!space)
            *length += lower(c, out + *length);
        else if (!was)
            out[(*length)++] = ' ';
    }
    free(composed);
    return out;
}

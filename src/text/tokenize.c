/* SPDX-License-Identifier: Apache-2.0 */
/* Text to token ids as CLIP's fast tokenizer does it: special tokens are split off; the rest is
 * NFC, lower case character by character, cut into words
 *
 *     's 't 're 've 'm 'll 'd | letters+ | one number | (neither space, letter nor number)+
 *
 * and the bytes of each word are merged, lowest rank first, leftmost first. Unicode: libutf8proc.
 */
#include "text_priv.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum { LONGEST_TEXT = 1 << 16, DOTTED_CAPITAL_I = 0x130, COMBINING_DOT = 0x307 };
static const uint32_t no_merge = UINT32_MAX;

/* Ids as they come; `count` goes on past what there is room for. */
typedef struct output {
    const text_tokenizer *tokenizer;
    int64_t *ids;
    size_t count;
    int32_t *symbols; /* of the word in work */
    uint32_t *ranks;  /* of the pair that begins at each symbol */
} output;

static void put(output *o, int32_t id)
{
    if (o->count < TEXT_TOKENS)
        o->ids[o->count] = id;
    o->count++;
}

static uint32_t rank_of(const text_tokenizer *t, const int32_t *pair)
{
    const text_merge *merge = text_find_merge(t, pair[0], pair[1]);
    return merge->left < 0 ? no_merge : merge->rank;
}

static void put_word(output *o, const unsigned char *bytes, size_t length)
{
    const text_tokenizer *t = o->tokenizer;
    int32_t *symbols = o->symbols;
    uint32_t *ranks = o->ranks;
    for (size_t i = 0; i < length; i++) {
        int32_t id = i + 1 < length ? t->inner[bytes[i]] : t->last[bytes[i]];
        symbols[i] = id < 0 ? t->specials[TEXT_UNKNOWN].id : id;
    }
    for (size_t i = 0; i + 1 < length; i++)
        ranks[i] = rank_of(t, symbols + i);
    while (length > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < length; i++)
            best = ranks[i] < ranks[best] ? i : best;
        if (ranks[best] == no_merge)
            break;
        symbols[best] = text_find_merge(t, symbols[best], symbols[best + 1])->merged;
        length--;
        memmove(symbols + best + 1, symbols + best + 2, (length - best - 1) * sizeof *symbols);
        memmove(ranks + best, ranks + best + 1, (length - best - 1) * sizeof *ranks);
        if (best)
            ranks[best - 1] = rank_of(t, symbols + best - 1);
        if (best + 1 < length)
            ranks[best] = rank_of(t, symbols + best);
    }
    for (size_t i = 0; i < length; i++)
        put(o, symbols[i]);
}

typedef enum kind { SPACE, LETTER, NUMBER, OTHER } kind;

/* White space is Unicode's White_Space. */
static kind classify(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return NUMBER;
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return SPACE;
    default:
        return (c >= '\t' && c <= '\r') || c == 0x85 ? SPACE : OTHER;
    }
}

static size_t contraction(const unsigned char *at, size_t room)
{
    static const char *const endings[] = { "'s", "'t", "'re", "'ve", "'m", "'ll", "'d" };
    for (size_t i = 0; i < sizeof endings / sizeof *endings; i++) {
        size_t length = strlen(endings[i]);
        if (length <= room && !memcmp(at, endings[i], length))
            return length;
    }
    return 0;
}

/* Normalised, lower-case text. */
static void put_words(output *o, const unsigned char *text, size_t size)
{
    for (size_t at = 0, next; at < size; at = next) {
        utf8proc_int32_t c;
        next = at + contraction(text + at, size - at);
        if (next == at) {
            next = at + (size_t)utf8proc_iterate(text + at, (utf8proc_ssize_t)(size - at), &c);
            kind first = classify(c);
            if (first == SPACE)
                continue;
            while (first != NUMBER && next < size) {
                size_t step =
                    (size_t)utf8proc_iterate(text + next, (utf8proc_ssize_t)(size - next), &c);
                if (classify(c) != first)
                    break;
                next += step;
            }
        }
        put_word(o, text + at, next - at);
    }
}

/* The one character whose lower case is two: the mapping of single characters loses its dot. */
static size_t lower(utf8proc_int32_t c, unsigned char *out)
{
    if (c != DOTTED_CAPITAL_I)
        return (size_t)utf8proc_encode_char(utf8proc_tolower(c), out);
    out[0] = 'i';
    return 1 + (size_t)utf8proc_encode_char(COMBINING_DOT, out + 1);
}

/* A stretch of text without special tokens; false: out of memory. */
static bool put_plain(output *o, const char *text, size_t size)
{
    utf8proc_uint8_t *composed = NULL;
    utf8proc_ssize_t length = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)size,
                                           &composed, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (length < 0)
        return false;
    unsigned char *words = hds_alloc((size_t)length, 4);
    /* three bytes of lower case for two of upper case is the worst that Unicode has */
    size_t room = (size_t)length * 2 + 1, used = 0;
    o->symbols = hds_alloc(room, sizeof *o->symbols);
    o->ranks = hds_alloc(room, sizeof *o->ranks);
    bool enough = words && o->symbols && o->ranks;
    for (utf8proc_ssize_t at = 0; at < length && enough;) {
        utf8proc_int32_t c;
        at += utf8proc_iterate(composed + at, length - at, &c);
        used += lower(c, words + used);
    }
    if (enough)
        put_words(o, words, used);
    hds_free(o->symbols);
    hds_free(o->ranks);
    hds_free(words);
    free(composed);
    return enough;
}

/* The longest special token that stands at `text`, or NULL. */
static const text_special *special_at(const text_tokenizer *t, const char *text)
{
    const text_special *found = NULL;
    for (int i = 0; i < TEXT_SPECIALS; i++) {
        const text_special *s = &t->specials[i];
        if (!strncmp(text, s->word, s->length) && (!found || s->length > found->length))
            found = s;
    }
    return found;
}

static hds_status check_text(const char *text, size_t size, hds_error *error)
{
    if (size > LONGEST_TEXT)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "text: %zu bytes, expected at most %d", size,
                         LONGEST_TEXT);
    for (size_t at = 0; at < size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t step = utf8proc_iterate((const utf8proc_uint8_t *)text + at,
                                                 (utf8proc_ssize_t)(size - at), &c);
        if (step < 1)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "text: byte %zu (0x%02x) is not UTF-8; encode the text as UTF-8", at,
                             (unsigned)(unsigned char)text[at]);
        at += (size_t)step;
    }
    return HDS_OK;
}

hds_status text_tokenize(const text_tokenizer *tokenizer, const char *text,
                         int64_t ids[TEXT_TOKENS], size_t *token_count, hds_error *error)
{
    output o = { .tokenizer = tokenizer, .ids = ids };
    const text_special *specials = tokenizer->specials;
    hds_status status = check_text(text, strlen(text), error);
    if (status)
        return status;
    put(&o, specials[TEXT_START].id);
    bool enough = true;
    while (*text && enough) {
        const text_special *special = NULL;
        size_t plain = 0;
        while (text[plain] && !(special = special_at(tokenizer, text + plain)))
            plain++;
        enough = !plain || put_plain(&o, text, plain);
        if (special)
            put(&o, special->id);
        text += plain + (special ? special->length : 0);
    }
    if (!enough)
        return hds_raise(error, HDS_ERROR_MEMORY, "text: out of memory");
    if (o.count >= TEXT_TOKENS)
        ids[TEXT_TOKENS - 1] = specials[TEXT_END].id;
    put(&o, specials[TEXT_END].id);
    for (size_t i = o.count; i < TEXT_TOKENS; i++)
        ids[i] = specials[TEXT_PADDING].id;
    if (token_count)
        *token_count = o.count;
    return HDS_OK;
}

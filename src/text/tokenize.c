/* SPDX-License-Identifier: Apache-2.0 */
/* Text to token ids as CLIP's fast tokenizer does it: added tokens are split off; the rest is
 * normalised and cut into words
 *
 *     's 't 're 've 'm 'll 'd | letters+ | one number | (neither space, letter nor number)+
 *
 * and the bytes of each word are merged, lowest rank first, leftmost first.
 *
 * A text of more than 75 tokens is cut, or goes on in further chunks of start, 75 tokens, end. */
#include "text_priv.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

enum {
    LONGEST_TEXT = 1 << 16,
    ROOM = TEXT_TOKENS - 2, /* of a chunk, for tokens */
    KEPT_WHOLE = 8          /* a word of up to so many tokens is not divided between chunks */
};
static const uint32_t no_merge = UINT32_MAX;

/* Ids as they come. */
typedef struct output {
    const text_tokenizer *tokenizer;
    size_t most;      /* chunks */
    int64_t *ids;     /* (most * TEXT_TOKENS), or NULL: only counts */
    size_t chunks;    /* so far, from 1 */
    size_t used;      /* tokens in the last one */
    size_t count;     /* of all tokens, also those that there is no room for */
    text_cut *cut;    /* or NULL */
    bool failed;      /* out of memory */
    int32_t *symbols; /* of the word in work */
    uint32_t *ranks;  /* of the pair that begins at each symbol */
} output;

static int64_t *chunk_of(const output *o)
{
    return o->ids + (o->chunks - 1) * TEXT_TOKENS;
}

static void begin_chunk(output *o)
{
    o->chunks++;
    o->used = 0;
    if (o->ids)
        chunk_of(o)[0] = o->tokenizer->start;
}

static void end_chunk(const output *o)
{
    if (!o->ids)
        return;
    int64_t *ids = chunk_of(o);
    ids[o->used + 1] = o->tokenizer->end;
    for (size_t i = o->used + 2; i < TEXT_TOKENS; i++)
        ids[i] = o->tokenizer->padding;
}

/* Adds a word to those that were cut off, as far as there is room. */
static void note_cut(text_cut *cut, const char *word, size_t length, bool apart)
{
    static const char more[] = "...";
    size_t used = strlen(cut->words), room = sizeof cut->words - sizeof more - used - 1;
    if (cut->full)
        return;
    if (used && apart)
        cut->words[used++] = ' ';
    cut->full = length + 1 > room;
    while (length + 1 > room || (length && ((unsigned char)word[length] & 0xc0) == 0x80))
        length--; /* whole characters */
    memcpy(cut->words + used, word, length);
    strcpy(cut->words + used + length, cut->full ? more : "");
}

/* `word` of `length` bytes became these ids: first, first + 1, ... where ids is NULL. `apart`:
 * white space stands before it. */
static void put(output *o, const int32_t *ids, int32_t first, size_t count, const char *word,
                size_t length, bool apart)
{
    size_t whole = ids ? KEPT_WHOLE : ROOM;
    if (o->used + count > ROOM && count <= whole && o->chunks < o->most) {
        end_chunk(o);
        begin_chunk(o);
    }
    bool lost = false;
    for (size_t i = 0; i < count; i++) {
        if (o->used == ROOM && o->chunks < o->most) {
            end_chunk(o);
            begin_chunk(o);
        }
        if (o->used == ROOM)
            lost = true;
        else if (o->ids)
            chunk_of(o)[1 + o->used++] = ids ? ids[i] : first + (int32_t)i;
        else
            o->used++;
    }
    o->count += count;
    if (lost && o->cut)
        note_cut(o->cut, word, length, apart);
}

static uint32_t rank_of(const text_tokenizer *t, const int32_t *pair)
{
    const text_merge *merge = text_find_merge(t, pair[0], pair[1]);
    return merge->left < 0 ? no_merge : merge->rank;
}

static void put_word(output *o, const unsigned char *bytes, size_t size, bool apart)
{
    size_t length = size;
    const text_tokenizer *t = o->tokenizer;
    int32_t *symbols = o->symbols;
    uint32_t *ranks = o->ranks;
    for (size_t i = 0; i < length; i++) {
        int32_t id = i + 1 < length ? t->inner[bytes[i]] : t->last[bytes[i]];
        symbols[i] = id < 0 ? t->unknown : id;
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
    put(o, symbols, 0, length, (const char *)bytes, size, apart);
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

/* Normalised text. */
static void put_words(output *o, const unsigned char *text, size_t size)
{
    for (size_t at = 0, next; at < size; at = next) {
        utf8proc_int32_t c;
        next = at + contraction(text + at, size - at);
        if (next == at) {
            next = at + (size_t)utf8proc_iterate(text + at, (utf8proc_ssize_t)(size - at), &c);
            text_kind first = text_classify(c);
            if (first == TEXT_SPACE)
                continue;
            while (first != TEXT_NUMBER && next < size) {
                size_t step =
                    (size_t)utf8proc_iterate(text + next, (utf8proc_ssize_t)(size - next), &c);
                if (text_classify(c) != first)
                    break;
                next += step;
            }
        }
        put_word(o, text + at, next - at, at && text[at - 1] == ' ');
    }
}

/* The longest added token of this kind that stands at `at`, or NULL. */
static const text_added *added_at(const text_tokenizer *t, bool normalised, const char *text,
                                  size_t size, size_t at)
{
    const text_added *found = NULL;
    for (size_t i = 0; i < t->added_count; i++) {
        const text_added *a = &t->added[i];
        if (a->normalised == normalised && a->length <= size - at && a->word[0] == text[at] &&
            !memcmp(text + at, a->word, a->length) && (!found || a->length > found->length))
            found = a;
    }
    return found;
}

/* Whether it stands alone where it has to. */
static bool is_apart(const text_added *a, const char *text, size_t size, size_t at)
{
    return !(a->left && text_word_ends(text, at)) &&
           !(a->right && text_word_begins(text, size, at + a->length));
}

/* Text without added tokens of the kinds that were looked for. */
typedef void (*put_stretch)(output *o, const char *text, size_t size);

/* Splits off the added tokens of a kind, and hands on what stands between them. */
static void split(output *o, bool normalised, const char *text, size_t size, put_stretch put_rest)
{
    size_t from = 0;
    for (size_t at = 0; at < size && !o->failed;) {
        const text_added *a = added_at(o->tokenizer, normalised, text, size, at);
        if (a && is_apart(a, text, size, at)) {
            if (at > from)
                put_rest(o, text + from, at - from);
            put(o, NULL, a->id, (size_t)a->count, text + at, a->length,
                at && text_classify(text[at - 1]) == TEXT_SPACE);
            from = at += a->length;
        } else {
            at += a ? a->length : 1;
        }
    }
    if (size > from && !o->failed)
        put_rest(o, text + from, size - from);
}

static void put_normal(output *o, const char *text, size_t size)
{
    put_words(o, (const unsigned char *)text, size);
}

static void put_plain(output *o, const char *text, size_t size)
{
    size_t length;
    unsigned char *normal = text_normalise(text, size, &length);
    o->symbols = hds_alloc(length + 1, sizeof *o->symbols);
    o->ranks = hds_alloc(length + 1, sizeof *o->ranks);
    o->failed = !normal || !o->symbols || !o->ranks;
    if (!o->failed)
        split(o, true, (const char *)normal, length, put_normal);
    hds_free(o->symbols);
    hds_free(o->ranks);
    hds_free(normal);
}

static hds_status check_text(const char *text, size_t size, hds_error *error)
{
    if (size > LONGEST_TEXT)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "text: %zu bytes, expected at most %d", size,
                         LONGEST_TEXT);
    return hds_utf8_check("text", text, error);
}

static hds_status run(output *o, const char *text, hds_error *error)
{
    size_t size = strlen(text);
    hds_status status = check_text(text, size, error);
    if (status)
        return status;
    begin_chunk(o);
    split(o, false, text, size, put_plain);
    end_chunk(o);
    return o->failed ? hds_raise(error, HDS_ERROR_MEMORY, "text: out of memory") : HDS_OK;
}

hds_status text_tokenize(const text_tokenizer *tokenizer, const char *text,
                         int64_t ids[TEXT_TOKENS], text_cut *cut, hds_error *error)
{
    output o = { .tokenizer = tokenizer, .most = 1, .ids = ids, .cut = cut };
    if (cut)
        *cut = (text_cut){ .tokens = 0 };
    hds_status status = run(&o, text, error);
    if (!status && cut)
        cut->tokens = o.count;
    return status;
}

hds_status text_chunks(const text_tokenizer *tokenizer, const char *text, int64_t **ids,
                       size_t *chunks, hds_error *error)
{
    output counted = { .tokenizer = tokenizer, .most = SIZE_MAX };
    *ids = NULL;
    hds_status status = run(&counted, text, error);
    if (status)
        return status;
    if (counted.chunks > TEXT_MAX_CHUNKS)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "text: %zu tokens, expected at most %d (%d chunks of %d); shorten it",
                         counted.count, TEXT_MAX_CHUNKS * ROOM, TEXT_MAX_CHUNKS, ROOM);
    output o = { .tokenizer = tokenizer, .most = counted.chunks };
    o.ids = *ids = hds_alloc(counted.chunks, TEXT_TOKENS * sizeof **ids);
    if (!*ids)
        return hds_raise(error, HDS_ERROR_MEMORY, "text: out of memory");
    *chunks = counted.chunks;
    status = run(&o, text, error);
    if (status) {
        hds_free(*ids);
        *ids = NULL;
    }
    return status;
}

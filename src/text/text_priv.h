/* SPDX-License-Identifier: Apache-2.0 */
/* What loading and tokenizing share: the tables of a tokenizer. */
#ifndef HDS_TEXT_PRIV_H
#define HDS_TEXT_PRIV_H

#include "io/io.h"
#include "text/text.h"

enum { TEXT_LARGEST_ID = (1 << 24) - 1 };

/* left, right -> merged; the smallest rank goes first. */
typedef struct text_merge {
    int32_t left, right, merged;
    uint32_t rank;
} text_merge;

/* A token that is never cut up: it is split off wherever it stands, the longest first. */
typedef struct text_added {
    char *word; /* as the text has it; composed and in lower case where it is normalised */
    size_t length;
    int32_t id;
    int count;        /* ids, from that one on, that stand for it */
    bool normalised;  /* looked for in the text after that has been */
    bool left, right; /* only where no letter, digit or _ stands on that side */
} text_added;

struct text_tokenizer {
    int32_t inner[256], last[256]; /* byte -> id, inside of a word and at its end */
    text_merge *merges;            /* hash table with open addressing; an empty place has left -1 */
    size_t capacity;               /* a power of 2 */
    text_added *added;             /* the special ones first */
    size_t added_count, special_count;
    int32_t start, end, unknown, padding;
    int64_t size;
};

/* The place of a pair in the table, or the empty place where it would go. */
static inline text_merge *text_find_merge(const text_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (t->capacity - 1);
    while (t->merges[at].left >= 0 && (t->merges[at].left != left || t->merges[at].right != right))
        at = (at + 1) & (t->capacity - 1);
    return &t->merges[at];
}

/* ---- load.c ---- */

/* The id of a token of the vocabulary; -1: it is not there. */
int32_t text_find_token(const json_t *vocabulary, const char *token);
/* An id that a JSON value holds; -1: it holds none, or one out of range. */
int32_t text_id_of(const json_t *value);

/* ---- merges.c: `vocabulary` is what messages call the file of it ---- */

HDS_NODISCARD hds_status text_merges_load(text_tokenizer *t, const json_t *vocabulary,
                                          const char *path, hds_error *error);
/* list: of "a b" or ["a", "b"] */
HDS_NODISCARD hds_status text_merges_read(text_tokenizer *t, const json_t *vocabulary,
                                          const json_t *list, const char *path, hds_error *error);

/* ---- pipeline.c ---- */

/* That what a tokenizer.json does with a text is what CLIP's does. */
HDS_NODISCARD hds_status text_pipeline_check(const json_t *file, const char *path,
                                             hds_error *error);
/* After the special tokens are known. */
HDS_NODISCARD hds_status text_ends_check(const text_tokenizer *t, const json_t *file,
                                         const char *path, hds_error *error);

/* ---- added.c ---- */

/* A token that is there already must have the same id. `place` names it in messages. */
HDS_NODISCARD hds_status text_add(text_tokenizer *t, const text_added *token, const char *place,
                                  hds_error *error);
const text_added *text_find_added(const text_tokenizer *t, const char *word);
/* {"token": id} of added_tokens.json */
HDS_NODISCARD hds_status text_added_read_ids(text_tokenizer *t, const json_t *map, const char *path,
                                             hds_error *error);
/* added_tokens_decoder, {"id": {"content", ...}}, or added_tokens, [{"id", "content", ...}] */
HDS_NODISCARD hds_status text_added_read(text_tokenizer *t, const json_t *tokens, const char *path,
                                         hds_error *error);

/* ---- normalise.c ---- */

/* NFC, lower case character by character, each run of white space one blank; *length bytes, for
 * hds_free. NULL: out of memory. */
unsigned char *text_normalise(const char *text, size_t size, size_t *length);
typedef enum text_kind { TEXT_SPACE, TEXT_LETTER, TEXT_NUMBER, TEXT_OTHER } text_kind;
/* White space is Unicode's White_Space. */
text_kind text_classify(int32_t codepoint);
/* Whether a letter, mark, digit or _ begins at `at` or ends before it. */
bool text_word_begins(const char *text, size_t size, size_t at);
bool text_word_ends(const char *text, size_t at);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* What loading and tokenizing share: the tables of a tokenizer. */
#ifndef HDS_TEXT_PRIV_H
#define HDS_TEXT_PRIV_H

#include "text/text.h"

enum { TEXT_SPECIALS = 4 };

/* left, right -> merged; the smallest rank goes first. */
typedef struct text_merge {
    int32_t left, right, merged;
    uint32_t rank;
} text_merge;

typedef struct text_special {
    char *word; /* split off wherever it stands */
    size_t length;
    int32_t id;
} text_special;

struct text_tokenizer {
    int32_t inner[256], last[256]; /* byte -> id, inside of a word and at its end */
    text_merge *merges;            /* hash table with open addressing; an empty place has left -1 */
    size_t capacity;               /* a power of 2 */
    text_special specials[TEXT_SPECIALS]; /* start, end, unknown, padding */
    int64_t size;
};
enum { TEXT_START, TEXT_END, TEXT_UNKNOWN, TEXT_PADDING };

/* The place of a pair in the table, or the empty place where it would go. */
static inline text_merge *text_find_merge(const text_tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t at = (size_t)(key * 0x9E3779B97F4A7C15u >> 20) & (t->capacity - 1);
    while (t->merges[at].left >= 0 && (t->merges[at].left != left || t->merges[at].right != right))
        at = (at + 1) & (t->capacity - 1);
    return &t->merges[at];
}

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-pair tokenizer of CLIP (Radford et al., 2021; Sennrich et al., 2016): text to ids.
 *
 * A tokenizer is immutable once loaded and may be shared between threads. */
#ifndef HDS_TEXT_H
#define HDS_TEXT_H

#include "base/base.h"

enum {
    TEXT_TOKENS = 77,    /* of every chunk of a text: the context length of CLIP */
    TEXT_MAX_CHUNKS = 16 /* of a text */
};

typedef struct text_tokenizer text_tokenizer;

/* Reads the `tokenizer` of a diffusers folder: vocab.json and merges.txt, else tokenizer.json; with
 * special_tokens_map.json, tokenizer_config.json and added_tokens.json where they are there. What
 * is no tokenizer of CLIP is refused. */
HDS_NODISCARD hds_status text_tokenizer_load(text_tokenizer **tokenizer, const char *folder,
                                             hds_error *error);
void text_tokenizer_destroy(text_tokenizer **tokenizer);

/* One more than the largest id: the rows that an embedding needs. */
int64_t text_tokenizer_get_size(const text_tokenizer *tokenizer);
/* The token of this id where it was added to the vocabulary and is not special, borrowed, or NULL.
 */
const char *text_tokenizer_get_added(const text_tokenizer *tokenizer, int64_t id);

/* From now on `word` stands for the ids from `id` on, `count` of them, 75 at most: wherever a text
 * holds it, in upper or lower case, and not inside of a word that goes on. Before the tokenizer is
 * shared. A word that is a token already is refused; `place` names its file. */
HDS_NODISCARD hds_status text_tokenizer_add(text_tokenizer *tokenizer, const char *word, int32_t id,
                                            int count, const char *place, hds_error *error);
/* The token that ends a text. */
int32_t text_tokenizer_get_end(const text_tokenizer *tokenizer);

/* What a text has beyond the 75 tokens of one chunk. */
typedef struct text_cut {
    size_t tokens;   /* of the text, without start and end */
    char words[200]; /* those that do not fit, normalised, the last ones may be "..."; "": none */
    bool full;
} text_cut;
/* ids: start, at most 75 tokens, end, padding; cut: may be NULL. Text that is not UTF-8 is refused
 * by byte offset. */
HDS_NODISCARD hds_status text_tokenize(const text_tokenizer *tokenizer, const char *text,
                                       int64_t ids[TEXT_TOKENS], text_cut *cut, hds_error *error);
/* All of a text: *ids (*chunks, 77), each chunk as above, for hds_free. A word of up to 8 tokens
 * and an added one stay in one chunk. HDS_ERROR_ARGUMENT: more than TEXT_MAX_CHUNKS. */
HDS_NODISCARD hds_status text_chunks(const text_tokenizer *tokenizer, const char *text,
                                     int64_t **ids, size_t *chunks, hds_error *error);

#endif

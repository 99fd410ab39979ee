/* SPDX-License-Identifier: Apache-2.0 */
/* The byte-pair tokenizer of CLIP (Radford et al., 2021; Sennrich et al., 2016): text to ids.
 *
 * A tokenizer is immutable once loaded and may be shared between threads. */
#ifndef HDS_TEXT_H
#define HDS_TEXT_H

#include "base/base.h"

enum { TEXT_TOKENS = 77 }; /* of every text: the context length of CLIP */

typedef struct text_tokenizer text_tokenizer;

/* Reads vocab.json, merges.txt, special_tokens_map.json and tokenizer_config.json of `folder`, the
 * `tokenizer` of a diffusers folder. */
HDS_NODISCARD hds_status text_tokenizer_load(text_tokenizer **tokenizer, const char *folder,
                                             hds_error *error);
void text_tokenizer_destroy(text_tokenizer **tokenizer);

/* One more than the largest id of the vocabulary: the rows that an embedding needs. */
int64_t text_tokenizer_get_size(const text_tokenizer *tokenizer);

/* ids: start, at most 75 tokens, end, padding. *token_count, where not NULL: how many there were
 * before truncation, start and end included. Text that is not UTF-8 is refused by byte offset. */
HDS_NODISCARD hds_status text_tokenize(const text_tokenizer *tokenizer, const char *text,
                                       int64_t ids[TEXT_TOKENS], size_t *token_count,
                                       hds_error *error);

#endif

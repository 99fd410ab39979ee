/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a CLIP tokenizer, as they lie in a folder of diffusers or transformers:
 *   vocab.json            token -> id; a token is written in a byte alphabet of printable
 *                         characters, and one that ends a word ends in "</w>"
 *   merges.txt            pairs in order of rank
 *   tokenizer.json        in place of the two: all that a tokenizer is, in one file
 *   special_tokens_map.json, tokenizer_config.json, added_tokens.json
 *                         the special and the added tokens, each in one or several of them */
#include "text_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char end_of_word[] = "</w>";
/* What transformers writes for a length that it does not know is larger. */
static const json_int_t longest_known = 1000000000;

enum { CONFIG, SPECIALS, ADDED, WHOLE, VOCABULARY, MERGES, FILES };
static const char *const names[FILES] = {
    [CONFIG] = "tokenizer_config.json", [SPECIALS] = "special_tokens_map.json",
    [ADDED] = "added_tokens.json",      [WHOLE] = "tokenizer.json",
    [VOCABULARY] = "vocab.json",        [MERGES] = "merges.txt",
};

/* The files of a folder. */
typedef struct folder {
    const char *path;
    char *paths[FILES];
    json_t *json[FILES];      /* NULL: not there */
    const json_t *vocabulary; /* of one of them, */
    const char *from;         /* at this path */
} folder;

int32_t text_id_of(const json_t *value)
{
    json_int_t id = json_is_integer(value) ? json_integer_value(value) : -1;
    return id >= 0 && id <= TEXT_LARGEST_ID ? (int32_t)id : -1;
}

int32_t text_find_token(const json_t *vocabulary, const char *token)
{
    return text_id_of(json_object_get(vocabulary, token));
}

/* ---- the vocabulary ---- */

static hds_status read_vocabulary(text_tokenizer *t, const folder *f, hds_error *error)
{
    const char *token;
    json_t *id;
    if (!json_is_object(f->vocabulary) || !json_object_size(f->vocabulary))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %sexpected an object of tokens and their ids", f->from,
                         f->json[VOCABULARY] ? "" : "model.vocab: ");
    json_object_foreach((json_t *)f->vocabulary, token, id)
    {
        int32_t value = text_id_of(id);
        if (value < 0)
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%.60s\": expected an id from 0 to %d",
                             f->from, token, TEXT_LARGEST_ID);
        if (value >= t->size)
            t->size = value + 1;
    }
    return HDS_OK;
}

/* Printable bytes of Latin-1 stand for themselves, the others for U+0100 and up, in order. */
static hds_status fill_bytes(text_tokenizer *t, const folder *f, hds_error *error)
{
    unsigned stand_in = 256, ends = 0;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable =
            (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        unsigned c = printable ? byte : stand_in++;
        char token[8];
        int length = c < 0x80 ? snprintf(token, sizeof token, "%c", (int)c)
                              : snprintf(token, sizeof token, "%c%c", (int)(0xc0 | c >> 6),
                                         (int)(0x80 | (c & 0x3f)));
        t->inner[byte] = text_find_token(f->vocabulary, token);
        memcpy(token + length, end_of_word, sizeof end_of_word);
        t->last[byte] = text_find_token(f->vocabulary, token);
        ends += t->last[byte] >= 0;
    }
    const char *kind = json_string_value(json_object_get(f->json[CONFIG], "tokenizer_class"));
    if (!ends)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: no token ends in %s: not the vocabulary of a CLIP tokenizer%s%.60s",
                         f->from, end_of_word, kind ? " but of " : "", kind ? kind : "");
    return HDS_OK;
}

/* ---- special tokens ---- */

/* A special token is a string, or an object with the string in `content`; NULL: not said. */
static const json_t *said(const json_t *map, const char *key)
{
    const json_t *entry = json_object_get(map, key);
    return json_is_null(entry)     ? NULL
           : json_is_object(entry) ? json_object_get(entry, "content")
                                   : entry;
}

/* Of the vocabulary, or of what was added to it. */
static int32_t id_of_special(const folder *f, const char *word)
{
    const json_t *decoder = json_object_get(f->json[CONFIG], "added_tokens_decoder");
    const json_t *list = json_object_get(f->json[WHOLE], "added_tokens");
    int32_t id = text_find_token(f->vocabulary, word);
    json_t *entry;
    const char *key;
    size_t index;
    int number;
    if (id < 0)
        id = text_id_of(json_object_get(f->json[ADDED], word));
    json_array_foreach((json_t *)list, index, entry)
    {
        const char *content = json_string_value(json_object_get(entry, "content"));
        if (id < 0 && content && !strcmp(content, word))
            id = text_id_of(json_object_get(entry, "id"));
    }
    json_object_foreach((json_t *)decoder, key, entry)
    {
        const char *content = json_string_value(json_object_get(entry, "content"));
        if (id < 0 && content && !strcmp(content, word) && sscanf(key, "%8d", &number) == 1)
            id = number;
    }
    return id;
}

static hds_status load_special(text_tokenizer *t, const folder *f, const char *key,
                               const char *fallback, int32_t *id, hds_error *error)
{
    int from = said(f->json[SPECIALS], key) ? SPECIALS : CONFIG;
    const json_t *entry = said(f->json[from], key);
    const char *word = entry ? json_string_value(entry) : fallback;
    if (!word || !*word)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: expected a token", f->paths[from], key);
    text_added token = { .word = (char *)word, .id = id_of_special(f, word), .count = 1 };
    if (token.id < 0)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: \"%.60s\" is not in %s",
                         entry ? f->paths[from] : f->path, key, word, io_base_name(f->from));
    *id = token.id;
    return text_add(t, &token, f->paths[from], error);
}

static hds_status load_specials(text_tokenizer *t, const folder *f, hds_error *error)
{
    static const char start[] = "<|startoftext|>", end[] = "<|endoftext|>"; /* of CLIPTokenizer */
    const json_t *last = said(f->json[SPECIALS], "eos_token");
    last = last ? last : said(f->json[CONFIG], "eos_token");
    const char *usual = json_is_string(last) ? json_string_value(last) : end;
    hds_status status = HDS_OK;
    if (f->json[SPECIALS] && !json_is_object(f->json[SPECIALS]))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: expected an object with bos_token and eos_token", f->paths[SPECIALS]);
    status = load_special(t, f, "bos_token", start, &t->start, error);
    if (!status)
        status = load_special(t, f, "eos_token", end, &t->end, error);
    if (!status)
        status = load_special(t, f, "unk_token", usual, &t->unknown, error);
    if (!status)
        status = load_special(t, f, "pad_token", usual, &t->padding, error);
    t->special_count = t->added_count;
    return status;
}

/* The order lets a file that says how a token is looked for speak first. */
static hds_status load_added(text_tokenizer *t, const folder *f, hds_error *error)
{
    const json_t *list = json_object_get(f->json[WHOLE], "added_tokens");
    const json_t *decoder = json_object_get(f->json[CONFIG], "added_tokens_decoder");
    hds_status status = HDS_OK;
    if (list && !json_is_null(list))
        status = text_added_read(t, list, f->paths[WHOLE], error);
    if (!status && decoder && !json_is_null(decoder))
        status = text_added_read(t, decoder, f->paths[CONFIG], error);
    if (!status && f->json[ADDED])
        status = text_added_read_ids(t, f->json[ADDED], f->paths[ADDED], error);
    return status;
}

/* diffusers saves a textual inversion of several vectors as the tokens w, w_1, w_2 ... of ids in a
 * row; its pipelines read w in a prompt as all of them (maybe_convert_prompt). */
static hds_status join_vectors(text_tokenizer *t, hds_error *error)
{
    for (size_t i = t->special_count; i < t->added_count; i++) {
        text_added *first = &t->added[i];
        for (bool more = true; more;) {
            char *name = hds_format("%s_%d", first->word, first->count);
            if (!name)
                return hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu added tokens",
                                 t->added_count);
            const text_added *next = text_find_added(t, name);
            more = next && next->id == first->id + first->count && first->count < TEXT_TOKENS - 2;
            first->count += more;
            hds_free(name);
        }
    }
    return HDS_OK;
}

/* ---- the folder ---- */

static hds_status check_config(const folder *f, hds_error *error)
{
    const json_t *length = json_object_get(f->json[CONFIG], "model_max_length");
    json_int_t value = json_integer_value(length);
    if (json_is_integer(length) && value != TEXT_TOKENS && value < longest_known)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: model_max_length %lld, expected %d",
                         f->paths[CONFIG], (long long)value, TEXT_TOKENS);
    if (json_is_false(json_object_get(f->json[CONFIG], "do_lower_case")))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: do_lower_case false, expected true",
                         f->paths[CONFIG]);
    return HDS_OK;
}

static hds_status read_files(folder *f, hds_error *error)
{
    bool there[FILES];
    hds_status status = HDS_OK;
    for (int i = 0; i < FILES; i++) {
        f->paths[i] = io_join(f->path, names[i]);
        if (!f->paths[i])
            return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", f->path);
        there[i] = io_exists(f->paths[i]);
    }
    if (!there[WHOLE] && !there[VOCABULARY] && !there[MERGES])
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: no tokenizer: looked for vocab.json and merges.txt, and for "
                         "tokenizer.json",
                         f->path);
    there[VOCABULARY] = there[MERGES] = !there[WHOLE] || (there[VOCABULARY] && there[MERGES]);
    for (int i = 0; i < MERGES && !status; i++)
        if (there[i])
            status = io_json_load(&f->json[i], f->paths[i], error);
    if (status)
        return status;
    f->from = f->paths[there[VOCABULARY] ? VOCABULARY : WHOLE];
    f->vocabulary = there[VOCABULARY]
                        ? f->json[VOCABULARY]
                        : json_object_get(json_object_get(f->json[WHOLE], "model"), "vocab");
    return HDS_OK;
}

static hds_status fill(text_tokenizer *t, const folder *f, hds_error *error)
{
    const json_t *merges = json_object_get(json_object_get(f->json[WHOLE], "model"), "merges");
    hds_status status = check_config(f, error);
    if (!status && f->json[WHOLE])
        status = text_pipeline_check(f->json[WHOLE], f->paths[WHOLE], error);
    if (!status)
        status = read_vocabulary(t, f, error);
    if (!status)
        status = fill_bytes(t, f, error);
    if (!status)
        status = f->json[VOCABULARY]
                     ? text_merges_load(t, f->vocabulary, f->paths[MERGES], error)
                     : text_merges_read(t, f->vocabulary, merges, f->paths[WHOLE], error);
    if (!status)
        status = load_specials(t, f, error);
    if (!status)
        status = load_added(t, f, error);
    if (!status)
        status = join_vectors(t, error);
    if (!status && f->json[WHOLE])
        status = text_ends_check(t, f->json[WHOLE], f->paths[WHOLE], error);
    return status;
}

hds_status text_tokenizer_load(text_tokenizer **tokenizer, const char *path, hds_error *error)
{
    folder f = { .path = path };
    text_tokenizer *t = hds_alloc(1, sizeof *t);
    hds_status status =
        t ? read_files(&f, error) : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    if (!status)
        status = fill(t, &f, error);
    for (int i = 0; i < FILES; i++) {
        json_decref(f.json[i]);
        hds_free(f.paths[i]);
    }
    if (status)
        text_tokenizer_destroy(&t);
    *tokenizer = t;
    return status;
}

void text_tokenizer_destroy(text_tokenizer **tokenizer)
{
    text_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t)
        return;
    for (size_t i = 0; i < t->added_count; i++)
        hds_free(t->added[i].word);
    free(t->added);
    hds_free(t->merges);
    hds_free(t);
    *tokenizer = NULL;
}

int64_t text_tokenizer_get_size(const text_tokenizer *tokenizer)
{
    return tokenizer->size;
}

const char *text_tokenizer_get_added(const text_tokenizer *t, int64_t id)
{
    for (size_t i = t->special_count; i < t->added_count; i++)
        if (id >= t->added[i].id && id < (int64_t)t->added[i].id + t->added[i].count)
            return t->added[i].word;
    return NULL;
}

int32_t text_tokenizer_get_end(const text_tokenizer *t)
{
    return t->end;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The files of a CLIP tokenizer, as they lie in a diffusers folder.
 *
 * vocab.json maps tokens to ids; a token is written in a byte alphabet of printable characters, and
 * one that ends a word ends in "</w>". merges.txt has one pair a line, in order of rank. */
#include "io/io.h"
#include "text_priv.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char end_of_word[] = "</w>";
enum { TOKEN_ROOM = 512, LARGEST_ID = 1 << 24 };

/* -1: not in the vocabulary. */
static int32_t find_token(const json_t *vocabulary, const char *token)
{
    const json_t *id = json_object_get(vocabulary, token);
    return id ? (int32_t)json_integer_value(id) : -1;
}

static hds_status load_vocabulary(text_tokenizer *t, json_t **vocabulary, const char *path,
                                  hds_error *error)
{
    hds_status status = io_json_load(vocabulary, path, error);
    if (status)
        return status;
    if (!json_is_object(*vocabulary) || !json_object_size(*vocabulary))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: expected an object of tokens and their ids",
                         path);
    const char *token;
    json_t *id;
    json_object_foreach(*vocabulary, token, id)
    {
        json_int_t value = json_is_integer(id) ? json_integer_value(id) : -1;
        if (value < 0 || value >= LARGEST_ID)
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%.60s\": expected an id from 0 to %d",
                             path, token, LARGEST_ID - 1);
        if (value >= t->size)
            t->size = value + 1;
    }
    return HDS_OK;
}

/* Printable bytes of Latin-1 stand for themselves, the others for U+0100 and up, in order. */
static void fill_bytes(text_tokenizer *t, const json_t *vocabulary)
{
    unsigned stand_in = 256;
    for (unsigned byte = 0; byte < 256; byte++) {
        bool printable =
            (byte >= '!' && byte <= '~') || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
        unsigned c = printable ? byte : stand_in++;
        char token[8];
        int length = c < 0x80 ? snprintf(token, sizeof token, "%c", (int)c)
                              : snprintf(token, sizeof token, "%c%c", (int)(0xc0 | c >> 6),
                                         (int)(0x80 | (c & 0x3f)));
        t->inner[byte] = find_token(vocabulary, token);
        memcpy(token + length, end_of_word, sizeof end_of_word);
        t->last[byte] = find_token(vocabulary, token);
    }
}

/* One line of merges.txt, without its end. */
static hds_status add_merge(text_tokenizer *t, const json_t *vocabulary, const char *line,
                            int length, uint32_t rank, const char *path, size_t number,
                            hds_error *error)
{
    const char *space = memchr(line, ' ', (size_t)length);
    int first = space ? (int)(space - line) : 0, second = length - first - 1;
    if (first < 1 || second < 1 || memchr(space + 1, ' ', (size_t)second) ||
        length > TOKEN_ROOM / 2)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: line %zu: \"%.*s\", expected two tokens with a space between", path,
                         number, length < 60 ? length : 60, line);
    char left[TOKEN_ROOM], right[TOKEN_ROOM], merged[TOKEN_ROOM];
    snprintf(left, sizeof left, "%.*s", first, line);
    snprintf(right, sizeof right, "%.*s", second, space + 1);
    snprintf(merged, sizeof merged, "%.*s%.*s", first, line, second, space + 1);
    text_merge merge = { find_token(vocabulary, left), find_token(vocabulary, right),
                         find_token(vocabulary, merged), rank };
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: line %zu: \"%.60s\" is not in vocab.json; the files do not belong "
                         "together",
                         path, number,
                         merge.left < 0    ? left
                         : merge.right < 0 ? right
                                           : merged);
    text_merge *place = text_find_merge(t, merge.left, merge.right);
    if (place->left >= 0)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: line %zu: \"%.*s\" is there twice", path,
                         number, length < 60 ? length : 60, line);
    *place = merge;
    return HDS_OK;
}

static hds_status load_merges(text_tokenizer *t, const json_t *vocabulary, const char *path,
                              hds_error *error)
{
    io_map map;
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    const char *at = (const char *)map.bytes, *end = at + map.size;
    size_t lines = 1, number = 0;
    for (size_t i = 0; i < map.size; i++)
        lines += map.bytes[i] == '\n';
    for (t->capacity = 16; t->capacity < 2 * lines; t->capacity *= 2)
        ;
    t->merges = hds_alloc(t->capacity, sizeof *t->merges);
    if (!t->merges)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < t->capacity && !status; i++)
        t->merges[i].left = -1;
    uint32_t rank = 0;
    while (at < end && !status) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        size_t length = (size_t)(stop - at);
        if (length && at[length - 1] == '\r')
            length--;
        bool version = !number && length >= 8 && !memcmp(at, "#version", 8);
        number++;
        if (length && !version)
            status = add_merge(t, vocabulary, at, (int)(length < INT_MAX ? length : INT_MAX),
                               rank++, path, number, error);
        at = stop < end ? stop + 1 : end;
    }
    io_map_close(&map);
    return status;
}

/* A special token is a string, or an object with the string in `content`. */
static hds_status load_special(text_special *special, const json_t *map, const json_t *vocabulary,
                               const char *key, const char *fallback, const char *path,
                               hds_error *error)
{
    const json_t *entry = json_object_get(map, key);
    if (json_is_object(entry))
        entry = json_object_get(entry, "content");
    const char *word = json_is_string(entry) ? json_string_value(entry) : fallback;
    if (!word || !*word)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: expected a token", path, key);
    special->id = find_token(vocabulary, word);
    if (special->id < 0)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: \"%.60s\" is not in vocab.json", path,
                         key, word);
    special->length = strlen(word);
    special->word = hds_strdup(word);
    return special->word ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
}

static hds_status load_specials(text_tokenizer *t, const json_t *vocabulary, const char *path,
                                hds_error *error)
{
    json_t *map = NULL;
    hds_status status = io_json_load(&map, path, error);
    text_special *s = t->specials;
    if (!status)
        status = load_special(&s[TEXT_START], map, vocabulary, "bos_token", NULL, path, error);
    if (!status)
        status = load_special(&s[TEXT_END], map, vocabulary, "eos_token", NULL, path, error);
    if (!status)
        status = load_special(&s[TEXT_UNKNOWN], map, vocabulary, "unk_token", s[TEXT_END].word,
                              path, error);
    if (!status)
        status = load_special(&s[TEXT_PADDING], map, vocabulary, "pad_token", s[TEXT_END].word,
                              path, error);
    json_decref(map);
    return status;
}

static hds_status check_config(const char *path, hds_error *error)
{
    json_t *config = NULL;
    hds_status status = io_json_load(&config, path, error);
    const json_t *length = json_object_get(config, "model_max_length");
    if (!status && json_is_integer(length) && json_integer_value(length) != TEXT_TOKENS)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: model_max_length %lld, expected %d", path,
                           (long long)json_integer_value(length), TEXT_TOKENS);
    const json_t *lower = json_object_get(config, "do_lower_case");
    if (!status && json_is_false(lower))
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: do_lower_case false, expected true", path);
    json_decref(config);
    return status;
}

hds_status text_tokenizer_load(text_tokenizer **tokenizer, const char *folder, hds_error *error)
{
    static const char *const names[] = { "tokenizer_config.json", "vocab.json", "merges.txt",
                                         "special_tokens_map.json" };
    char *paths[4] = { NULL };
    json_t *vocabulary = NULL;
    text_tokenizer *t = hds_alloc(1, sizeof *t);
    bool complete = t != NULL;
    *tokenizer = NULL;
    for (int i = 0; i < 4; i++) {
        paths[i] = io_join(folder, names[i]);
        complete = complete && paths[i];
    }
    hds_status status = HDS_OK;
    if (!complete)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", folder);
    if (!status)
        status = check_config(paths[0], error);
    if (!status)
        status = load_vocabulary(t, &vocabulary, paths[1], error);
    if (!status) {
        fill_bytes(t, vocabulary);
        status = load_merges(t, vocabulary, paths[2], error);
    }
    if (!status)
        status = load_specials(t, vocabulary, paths[3], error);
    json_decref(vocabulary);
    for (int i = 0; i < 4; i++)
        hds_free(paths[i]);
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
    for (int i = 0; i < TEXT_SPECIALS; i++)
        hds_free(t->specials[i].word);
    hds_free(t->merges);
    hds_free(t);
    *tokenizer = NULL;
}

int64_t text_tokenizer_get_size(const text_tokenizer *tokenizer)
{
    return tokenizer->size;
}

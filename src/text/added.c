/* SPDX-License-Identifier: Apache-2.0 */
/* Added tokens: those that a tokenizer was given after its vocabulary was made, each one token
 * wherever a text holds it, by the rules of the tokenizers library:
 *   - what is not normalised is looked for in the text as it is, the rest in the normalised text;
 *   - at each place the longest, whatever their order;
 *   - single_word: only between what are no letters or digits;
 *   - lstrip and rstrip take the white space beside it, which CLIP drops anyway. */
#include "text_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_ADDED = 1 << 16, LONGEST_ADDED = 1 << 10 };

const text_added *text_find_added(const text_tokenizer *t, const char *word)
{
    for (size_t i = 0; i < t->added_count; i++)
        if (!strcmp(t->added[i].word, word))
            return &t->added[i];
    return NULL;
}

static char *copy_of(const text_added *token)
{
    size_t length;
    if (!token->normalised)
        return hds_strdup(token->word);
    unsigned char *normal = text_normalise(token->word, strlen(token->word), &length);
    char *word = normal ? hds_format("%.*s", (int)length, (const char *)normal) : NULL;
    hds_free(normal);
    return word;
}

hds_status text_add(text_tokenizer *t, const text_added *token, const char *place, hds_error *error)
{
    size_t length = strlen(token->word);
    hds_status status = hds_utf8_check(place, token->word, error);
    if (status)
        return status;
    if (!length || length > LONGEST_ADDED)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"%.60s\": expected a token of 1 to %d bytes", place, token->word,
                         LONGEST_ADDED);
    if (token->id < 0 || token->id > TEXT_LARGEST_ID)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%.60s\": expected an id from 0 to %d",
                         place, token->word, TEXT_LARGEST_ID);
    char *word = copy_of(token);
    const text_added *found = word ? text_find_added(t, word) : NULL;
    if (found && found->id == token->id && found->count == token->count) {
        hds_free(word);
        return HDS_OK;
    }
    if (found) {
        hds_free(word);
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"%.60s\" is a token already, with the id %d, not %d; give it "
                         "another name",
                         place, token->word, (int)found->id, (int)token->id);
    }
    if (t->added_count == MOST_ADDED) {
        hds_free(word);
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: more than %d added tokens", place,
                         MOST_ADDED);
    }
    bool full = !(t->added_count & (t->added_count - 1)); /* a power of 2 */
    text_added *more = word ? t->added : NULL;
    if (word && full)
        more = realloc(t->added, 2 * (t->added_count + 1) * sizeof *more);
    if (!more) {
        hds_free(word);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", place);
    }
    t->added = more;
    text_added *new = &t->added[t->added_count++];
    *new = *token;
    new->word = word;
    new->length = strlen(word);
    if (t->size < (int64_t) new->id + new->count)
        t->size = (int64_t) new->id + new->count;
    return HDS_OK;
}

hds_status text_added_read_ids(text_tokenizer *t, const json_t *map, const char *path,
                               hds_error *error)
{
    const char *word;
    json_t *id;
    hds_status status = HDS_OK;
    if (!json_is_object(map))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: expected an object of tokens and their ids",
                         path);
    json_object_foreach((json_t *)map, word, id)
    {
        text_added token = {
            .word = (char *)word, .id = text_id_of(id), .count = 1, .normalised = true
        };
        /* one of another file's, which says how it is looked for */
        const text_added *known = text_find_added(t, word);
        token.normalised = !known || known->normalised;
        status = text_add(t, &token, path, error);
        if (status)
            break;
    }
    return status;
}

static hds_status read_one(text_tokenizer *t, const json_t *entry, int32_t id, const char *path,
                           hds_error *error)
{
    const char *word = json_string_value(json_object_get(entry, "content"));
    const json_t *normalised = json_object_get(entry, "normalized");
    bool single = json_is_true(json_object_get(entry, "single_word"));
    bool special = json_is_true(json_object_get(entry, "special"));
    if (!word || (normalised && !json_is_boolean(normalised)))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: added token %d: expected \"content\", a text, and \"normalized\", "
                         "true or false",
                         path, (int)id);
    text_added token = { .word = (char *)word,
                         .id = id,
                         .count = 1,
                         .normalised = normalised ? json_is_true(normalised) : !special,
                         .left = single,
                         .right = single };
    const text_added *known = text_find_added(t, word);
    if (known && !known->normalised)
        token.normalised = false;
    return text_add(t, &token, path, error);
}

hds_status text_added_read(text_tokenizer *t, const json_t *tokens, const char *path,
                           hds_error *error)
{
    const char *key;
    json_t *entry;
    size_t index;
    hds_status status = HDS_OK;
    if (json_is_array(tokens)) {
        json_array_foreach((json_t *)tokens, index, entry)
        {
            int32_t id = text_id_of(json_object_get(entry, "id"));
            status = status ? status : read_one(t, entry, id, path, error);
        }
    } else if (json_is_object(tokens)) {
        json_object_foreach((json_t *)tokens, key, entry)
        {
            char *end;
            errno = 0;
            long id = strtol(key, &end, 10);
            bool good = !errno && end > key && !*end && id >= 0 && id <= TEXT_LARGEST_ID;
            status = status ? status : read_one(t, entry, good ? (int32_t)id : -1, path, error);
        }
    } else {
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: added tokens: expected a list or an object of them", path);
    }
    return status;
}

hds_status text_tokenizer_add(text_tokenizer *t, const char *word, int32_t id, int count,
                              const char *place, hds_error *error)
{
    size_t length = strlen(word);
    const text_added token = { .word = (char *)word,
                               .id = id,
                               .count = count,
                               .normalised = true,
                               .left = text_word_begins(word, length, 0),
                               .right = text_word_ends(word, length) };
    if (count < 1 || count > TEXT_TOKENS - 2)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"%.60s\" has %d vectors, expected 1 to %d",
                         place, word, count, TEXT_TOKENS - 2);
    return text_add(t, &token, place, error);
}

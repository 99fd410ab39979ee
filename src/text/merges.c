/* SPDX-License-Identifier: Apache-2.0 */
/* The pairs that a tokenizer merges, in order of rank: merges.txt, which has one a line, or the
 * list of a tokenizer.json. */
#include "text_priv.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

enum { TOKEN_ROOM = 512, SHOWN = 60 };

/* Where a pair stands. */
typedef struct place {
    const char *path, *kind; /* "line" or "merge" */
    size_t number;
} place;

static hds_status add(text_tokenizer *t, const json_t *vocabulary, const char *left,
                      const char *right, uint32_t rank, const place *p, hds_error *error)
{
    char merged[2 * TOKEN_ROOM];
    snprintf(merged, sizeof merged, "%s%s", left, right);
    text_merge merge = { text_find_token(vocabulary, left), text_find_token(vocabulary, right),
                         text_find_token(vocabulary, merged), rank };
    if (merge.left < 0 || merge.right < 0 || merge.merged < 0)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s %zu: \"%.60s\" is not in the vocabulary; the two do not belong "
                         "together",
                         p->path, p->kind, p->number,
                         merge.left < 0    ? left
                         : merge.right < 0 ? right
                                           : merged);
    text_merge *slot = text_find_merge(t, merge.left, merge.right);
    if (slot->left >= 0)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s %zu: \"%.60s %.60s\" is there twice",
                         p->path, p->kind, p->number, left, right);
    *slot = merge;
    return HDS_OK;
}

/* "a b", `length` bytes. */
static hds_status add_text(text_tokenizer *t, const json_t *vocabulary, const char *text,
                           size_t length, uint32_t rank, const place *p, hds_error *error)
{
    const char *space = memchr(text, ' ', length);
    size_t first = space ? (size_t)(space - text) : 0, second = length - first - 1;
    if (!first || !second || memchr(space + 1, ' ', second) || first >= TOKEN_ROOM ||
        second >= TOKEN_ROOM)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s %zu: \"%.*s\", expected two tokens with a space between", p->path,
                         p->kind, p->number, (int)(length < SHOWN ? length : SHOWN), text);
    char left[TOKEN_ROOM], right[TOKEN_ROOM];
    snprintf(left, sizeof left, "%.*s", (int)first, text);
    snprintf(right, sizeof right, "%.*s", (int)second, space + 1);
    return add(t, vocabulary, left, right, rank, p, error);
}

static hds_status reserve(text_tokenizer *t, size_t count, const char *path, hds_error *error)
{
    for (t->capacity = 16; t->capacity < 2 * count; t->capacity *= 2)
        ;
    t->merges = hds_alloc(t->capacity, sizeof *t->merges);
    if (!t->merges)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < t->capacity; i++)
        t->merges[i].left = -1;
    return HDS_OK;
}

hds_status text_merges_load(text_tokenizer *t, const json_t *vocabulary, const char *path,
                            hds_error *error)
{
    io_map map;
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    const char *at = (const char *)map.bytes, *end = at + map.size;
    size_t lines = 1;
    for (size_t i = 0; i < map.size; i++)
        lines += map.bytes[i] == '\n';
    status = reserve(t, lines, path, error);
    place p = { path, "line", 0 };
    uint32_t rank = 0;
    while (at < end && !status) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        stop = stop ? stop : end;
        size_t length = (size_t)(stop - at);
        if (length && at[length - 1] == '\r')
            length--;
        bool version = !p.number && length >= 8 && !memcmp(at, "#version", 8);
        p.number++;
        if (length && !version)
            status = add_text(t, vocabulary, at, length, rank++, &p, error);
        at = stop < end ? stop + 1 : end;
    }
    io_map_close(&map);
    return status;
}

hds_status text_merges_read(text_tokenizer *t, const json_t *vocabulary, const json_t *list,
                            const char *path, hds_error *error)
{
    json_t *entry;
    size_t index;
    if (!json_is_array(list))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: model.merges: expected a list of pairs",
                         path);
    hds_status status = reserve(t, json_array_size(list), path, error);
    json_array_foreach((json_t *)list, index, entry)
    {
        place p = { path, "merge", index };
        const char *text = json_string_value(entry);
        const char *left = json_string_value(json_array_get(entry, 0));
        const char *right = json_string_value(json_array_get(entry, 1));
        if (status)
            break;
        if (text)
            status = add_text(t, vocabulary, text, strlen(text), (uint32_t)index, &p, error);
        else if (left && right && json_array_size(entry) == 2 && strlen(left) < TOKEN_ROOM &&
                 strlen(right) < TOKEN_ROOM)
            status = add(t, vocabulary, left, right, (uint32_t)index, &p, error);
        else
            status = hds_raise(error, HDS_ERROR_FORMAT,
                               "%s: merge %zu: expected \"a b\" or [\"a\", \"b\"]", path, index);
    }
    return status;
}

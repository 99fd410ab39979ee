/* SPDX-License-Identifier: Apache-2.0 */
/* JSON files through Jansson, with errors that name the file and the line. What Python's json
 * writes and reads beyond the standard is put in terms of it first. */
#include "io_priv.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_ROOM = 32 }; /* bytes */

/* A number as Jansson takes it: one that is too large is the largest there is, an integer of more
 * than 64 bits a real. Returns how many bytes of `text` it is. */
static size_t relax_number(const char *text, size_t room, char out[NUMBER_ROOM], size_t *length)
{
    char copy[NUMBER_ROOM];
    size_t size = 0, digits = 0;
    while (size < room && text[size] && strchr("+-.0123456789Ee", text[size])) {
        digits += text[size] >= '0' && text[size] <= '9';
        size++;
    }
    bool whole = digits + (*text == '-') == size;
    snprintf(copy, sizeof copy, "%.*s", (int)(size < NUMBER_ROOM ? size : NUMBER_ROOM - 1), text);
    double value = strtod(copy, NULL);
    errno = 0;
    (void)strtoll(copy, NULL, 10);
    *length = 0;
    if (whole && size >= NUMBER_ROOM) /* by its number of digits */
        value *= pow(10, (double)(size - (NUMBER_ROOM - 1)));
    else if (size >= NUMBER_ROOM)
        return size; /* as it is */
    if (isinf(value))
        *length = (size_t)snprintf(out, NUMBER_ROOM, "%.17g", copysign(DBL_MAX, value));
    else if (whole && errno == ERANGE)
        *length = (size_t)snprintf(out, NUMBER_ROOM, "%.17e", value);
    return size;
}

/* Copies `text` with what the standard lacks replaced; out NULL: only counts. */
static size_t relax(const char *text, size_t size, char *out)
{
    static const struct {
        const char *word, *stands_for;
    } words[] = { { "NaN", "\"NaN\"" },
                  { "Infinity", "1.7976931348623157e308" },
                  { "-Infinity", "-1.7976931348623157e308" } };
    size_t used = 0;
    bool quoted = false;
    for (size_t at = 0, step; at < size; at += step) {
        char number[NUMBER_ROOM];
        const char *from = text + at;
        size_t length = step = quoted && text[at] == '\\' && at + 1 < size ? 2 : 1;
        for (size_t k = 0; !quoted && k < sizeof words / sizeof *words; k++)
            if (size - at >= strlen(words[k].word) &&
                !memcmp(text + at, words[k].word, strlen(words[k].word))) {
                step = strlen(words[k].word);
                from = words[k].stands_for;
                length = strlen(from);
            }
        if (!quoted && step == 1 && text[at] && strchr("-0123456789", text[at])) {
            step = relax_number(text + at, size - at, number, &length);
            from = length ? number : from;
            length = length ? length : step;
        }
        quoted ^= step == 1 && text[at] == '"';
        if (out)
            memcpy(out + used, from, length);
        used += length;
    }
    return used;
}

json_t *io_json_parse(const char *text, size_t size, json_error_t *place)
{
    static const char mark[] = "\xEF\xBB\xBF"; /* of byte order; some editors write it */
    if (size >= 3 && !memcmp(text, mark, 3)) {
        text += 3;
        size -= 3;
    }
    json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, place);
    if (json)
        return json;
    size_t longer = relax(text, size, NULL);
    char *relaxed = malloc(longer + 1);
    if (!relaxed)
        return NULL;
    relax(text, size, relaxed);
    if (longer != size || memcmp(text, relaxed, size))
        json = json_loadb(relaxed, longer, JSON_REJECT_DUPLICATES, place);
    free(relaxed);
    return json;
}

hds_status io_json_load(json_t **json, const char *path, hds_error *error)
{
    io_map map;
    *json = NULL;
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    json_error_t place;
    const char *text = map.size ? (const char *)map.bytes : "";
    *json = io_json_parse(text, map.size, &place);
    if (!*json) {
        io_kind kind = io_kind_of(map.bytes, map.size);
        if (map.size && kind.name && kind.format != IO_FORMAT_JSON)
            status = io_raise_kind(error, path, map.bytes, map.size, "JSON");
        else
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: line %d, column %d: %s; expected JSON",
                               path, place.line, place.column, place.text);
    }
    io_map_close(&map);
    return status;
}

hds_status io_json_save(const json_t *json, const char *path, hds_error *error)
{
    char *text = json_dumps(json, JSON_INDENT(2) | JSON_ENCODE_ANY);
    if (!text)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory writing JSON", path);
    struct iovec pieces[] = { { text, strlen(text) }, { (char[]){ '\n' }, 1 } };
    hds_status status = io_write_pieces(path, pieces, 2, error);
    free(text);
    return status;
}

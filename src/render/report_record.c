/* SPDX-License-Identifier: Apache-2.0 */
/* JSON in a report: nested tables, stages side by side, and the hashes that lie in it. */
#include "report_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEEPEST_TABLE = 6 }; /* what lies deeper is shown as JSON text */
static const char TABLE[] = "<table><tbody>";
static const char TABLE_END[] = "</tbody></table>";

static bool is_nested(const json_t *value)
{
    return json_object_size(value) > 0 || json_array_size(value) > 0;
}

/* As many digits as it takes to read the same number. */
static void put_real(render_page *page, double value)
{
    char text[40] = "";
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    render_html(page, text);
}

static void put_dump(render_page *page, const json_t *value)
{
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));
    if (text)
        render_text(page, text);
    else
        page->failed = true;
    free(text);
}

/* What fits in one cell. */
static void put_plain(render_page *page, const json_t *value)
{
    if (json_is_real(value))
        put_real(page, json_real_value(value));
    else if (json_is_string(value) && json_string_length(value))
        render_text(page, json_string_value(value));
    else if (json_is_string(value))
        render_html(page, "<span class=\"soft\">empty</span>");
    else
        put_dump(page, value);
}

static bool is_plain_array(const json_t *value)
{
    for (size_t i = 0; i < json_array_size(value); i++)
        if (is_nested(json_array_get(value, i)))
            return false;
    return json_is_array(value);
}

static void put_value(render_page *page, const json_t *value, int depth);

static void put_row(render_page *page, const char *name, const json_t *value, int depth)
{
    render_html(page, "<tr><th scope=\"row\">");
    render_text(page, name);
    render_html(page, "</th><td>");
    put_value(page, value, depth + 1);
    render_html(page, "</td></tr>\n");
}

static void put_object(render_page *page, const json_t *object, int depth)
{
    const char *key;
    json_t *member;
    render_html(page, TABLE);
    json_object_foreach((json_t *)(uintptr_t)object, key, member) put_row(page, key, member, depth);
    render_html(page, TABLE_END);
}

static void put_array(render_page *page, const json_t *array, int depth)
{
    if (is_plain_array(array)) {
        for (size_t i = 0; i < json_array_size(array); i++) {
            render_html(page, i ? ", " : "");
            put_plain(page, json_array_get(array, i));
        }
        return;
    }
    render_html(page, TABLE);
    for (size_t i = 0; i < json_array_size(array); i++) {
        char number[32];
        snprintf(number, sizeof number, "%zu", i);
        put_row(page, number, json_array_get(array, i), depth);
    }
    render_html(page, TABLE_END);
}

static void put_value(render_page *page, const json_t *value, int depth)
{
    if (!is_nested(value))
        put_plain(page, value);
    else if (depth >= DEEPEST_TABLE)
        put_dump(page, value);
    else if (json_is_object(value))
        put_object(page, value, depth);
    else
        put_array(page, value, depth);
}

void render_json(render_page *page, const json_t *value)
{
    put_value(page, value, 0);
}

/* ---- columns ---- */

/* Puts what lies in `object` into `flat` by its path: "sds.guidance_scale". */
static void flatten(render_page *page, const json_t *object, const char *where, int depth,
                    json_t *flat)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)object, key, member)
    {
        char *path = hds_format("%s%s%s", where, *where ? "." : "", key);
        if (path && json_object_size(member) && depth < DEEPEST_TABLE)
            flatten(page, member, path, depth + 1, flat);
        else if (!path || json_object_set(flat, path, member))
            page->failed = true;
        hds_free(path);
    }
}

/* flat: an object by the names of the columns; its members by path. */
static void put_columns(render_page *page, json_t *flat, json_t *paths)
{
    const char *name, *path;
    json_t *column, *nothing;
    render_html(page, "<div class=\"wide\"><table><thead><tr><th scope=\"col\">option</th>");
    json_object_foreach(flat, name, column)
    {
        render_html(page, "<th scope=\"col\">");
        render_text(page, name);
        render_html(page, "</th>");
        if (json_object_update_missing(paths, column))
            page->failed = true;
    }
    render_html(page, "</tr></thead>\n<tbody>");
    json_object_foreach(paths, path, nothing)
    {
        render_html(page, "<tr><th scope=\"row\">");
        render_text(page, path);
        render_html(page, "</th>");
        json_object_foreach(flat, name, column)
        {
            const json_t *value = json_object_get(column, path);
            render_html(page, "<td>");
            if (value)
                put_value(page, value, 1);
            render_html(page, "</td>");
        }
        render_html(page, "</tr>\n");
    }
    render_html(page, "</tbody></table></div>\n");
}

void render_json_columns(render_page *page, const json_t *columns)
{
    json_t *flat = json_object(), *paths = json_object();
    const char *name;
    json_t *column;
    json_object_foreach((json_t *)(uintptr_t)columns, name, column)
    {
        json_t *members = json_object();
        flatten(page, column, "", 0, members);
        if (json_object_set_new(flat, name, members))
            page->failed = true;
    }
    if (flat && paths)
        put_columns(page, flat, paths);
    else
        page->failed = true;
    json_decref(flat);
    json_decref(paths);
}

/* ---- hashes ---- */

static bool names_hash(const char *key)
{
    size_t length = strlen(key);
    return length >= 4 && !strcmp(key + length - 4, "hash");
}

static void put_hashes(render_page *page, const json_t *value, const char *where, bool inside,
                       int depth)
{
    const char *key;
    json_t *member;
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        char *path = hds_format("%s%s%s", where, *where ? "." : "", key);
        if (!path) {
            page->failed = true;
            return;
        }
        if (json_is_string(member) && (inside || names_hash(key))) {
            render_html(page, "<tr><th scope=\"row\">");
            render_text(page, path);
            render_html(page, "</th><td class=\"hash\">");
            put_plain(page, member);
            render_html(page, "</td></tr>\n");
        } else if (json_is_object(member) && depth < DEEPEST_TABLE) {
            put_hashes(page, member, path, inside || !strcmp(key, "hashes"), depth + 1);
        }
        hds_free(path);
    }
}

void render_json_hashes(render_page *page, const json_t *value)
{
    put_hashes(page, value, "", false, 0);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A reader of Wavefront OBJ: positions, texture coordinates, polygons and the names of their
 * materials or groups; the rest is skipped. A byte order mark is passed over; a line of numbers
 * that ends in a backslash goes on with the next one.
 *
 * Numbers are read independently of the locale. Indices may be negative (from the end of what has
 * been read so far). One pass counts, a second one fills. */
#include "headfile_priv.h"
#include "io/io.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct reader {
    const char *path;
    const char *at, *end; /* of the line */
    size_t line;
    hds_error *error;
    locale_t locale;
    headfile_obj *obj;
    size_t vertices, uvs, faces;                      /* read so far */
    size_t positions, coordinates, triangles;         /* in the whole file */
    enum { UNDECIDED, WITH_UVS, WITHOUT_UVS } layout; /* the first corner decides */
    const char *part_keyword; /* of the lines whose names are the file's parts, or NULL */
    const char *part_name;    /* of the faces that follow; not terminated */
    size_t part_length;
    uint32_t part; /* its number once a face has used it */
    bool part_entered;
} reader;

enum { MAX_TRIANGLES = INT32_MAX / 3, MAX_PARTS = 1024 };

/* ---- tokens ---- */

/* Also a backslash at the end of a line, which goes on with the next one. */
static bool is_blank(const reader *r, const char *at)
{
    return *at == ' ' || *at == '\t' || *at == '\r' || *at == '\n' ||
           (*at == '\\' && at + 1 < r->end && (at[1] == '\n' || at[1] == '\r'));
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool next_token(reader *r)
{
    while (r->at < r->end && is_blank(r, r->at))
        r->at++;
    return r->at < r->end && *r->at != '#';
}

static size_t token_length(const reader *r)
{
    size_t length = 0;
    while (r->at + length < r->end && !is_blank(r, r->at + length))
        length++;
    return length;
}

static bool is_keyword(reader *r, const char *word)
{
    size_t length = strlen(word);
    return token_length(r) == length && memcmp(r->at, word, length) == 0;
}

static hds_status wrong(reader *r, const char *expected)
{
    size_t length = next_token(r) ? token_length(r) : 0;
    return hds_raise(r->error, HDS_ERROR_FORMAT, "%s:%zu: found \"%.*s\", expected %s", r->path,
                     r->line, (int)(length < 40 ? length : 40), r->at, expected);
}

/* Up to 15 digits and a small power of ten are exact in one division or product. */
static bool parse_short(const char *at, const char *end, double *out)
{
    static const double powers[] = { 1,   1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                     1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15 };
    double mantissa = 0;
    int digits = 0, fraction = 0;
    bool negative = at < end && *at == '-', point = false;
    for (at += negative; at < end; at++) {
        if (*at == '.' && !point) {
            point = true;
        } else if (is_digit(*at) && digits < 15) {
            mantissa = 10 * mantissa + (*at - '0');
            digits++;
            fraction += point;
        } else {
            return false;
        }
    }
    *out = (negative ? -mantissa : mantissa) / powers[fraction];
    return digits > 0;
}

/* Kept as doubles, so that differences are exact, but none that a float could not hold. */
static hds_status read_number(reader *r, double *out)
{
    enum { LONGEST = 63 };
    char text[LONGEST + 1], *stop = text;
    size_t length = next_token(r) ? token_length(r) : 0;
    if (!parse_short(r->at, r->at + length, out)) {
        if (length && length <= LONGEST) {
            memcpy(text, r->at, length);
            text[length] = 0;
            *out = strtod_l(text, &stop, r->locale);
        }
        if (!length || length > LONGEST || stop != text + length || !isfinite((float)*out))
            return wrong(r, length && memchr(r->at, ',', length)
                                ? "a number with a decimal point, not a comma"
                                : "a finite number, within a float's range");
    }
    r->at += length;
    return HDS_OK;
}

/* *index counts from 0. */
static hds_status read_index(reader *r, const char *what, size_t so_far, size_t count,
                             uint32_t *index)
{
    bool negative = r->at < r->end && *r->at == '-';
    const char *digit = r->at + negative;
    uint64_t value = 0;
    if (digit == r->end || !is_digit(*digit))
        return wrong(r, "a corner as v, v/vt, v//vn or v/vt/vn");
    for (; digit < r->end && is_digit(*digit); digit++)
        value = value < UINT32_MAX ? 10 * value + (uint64_t)(*digit - '0') : value;
    if (value == 0 || value > (negative ? so_far : count))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s:%zu: a face names %s %s%llu, expected %s%zu", r->path, r->line, what,
                         negative ? "-" : "", (unsigned long long)value,
                         negative ? "-1 to -" : "1 to ", negative ? so_far : count);
    *index = (uint32_t)(negative ? so_far - value : value - 1);
    r->at = digit;
    return HDS_OK;
}

/* ---- lines ---- */

static hds_status read_position(reader *r)
{
    hds_status status = HDS_OK;
    for (int i = 0; !status && i < 3; i++)
        status = read_number(r, &r->obj->vertices[3 * r->vertices + i]);
    r->vertices++;
    return status;
}

static hds_status read_coordinates(reader *r)
{
    double uv[2] = { 0 };
    hds_status status = read_number(r, &uv[0]);
    if (!status && next_token(r))
        status = read_number(r, &uv[1]);
    r->obj->uvs[2 * r->uvs] = (float)uv[0];
    r->obj->uvs[2 * r->uvs + 1] = (float)uv[1];
    r->uvs++;
    return status;
}

/* corner: vertex and texture coordinate; a normal's index is read over. */
static hds_status read_corner(reader *r, uint32_t corner[2])
{
    bool has_uv = false;
    hds_status status = read_index(r, "vertex", r->vertices, r->positions, &corner[0]);
    if (!status && r->at < r->end && *r->at == '/') {
        r->at++;
        has_uv = r->at < r->end && *r->at != '/' && !is_blank(r, r->at);
        if (has_uv)
            status = read_index(r, "texture coordinate", r->uvs, r->coordinates, &corner[1]);
        if (!status && r->at < r->end && *r->at == '/') {
            r->at++;
            while (r->at < r->end && (is_digit(*r->at) || *r->at == '-'))
                r->at++;
        }
    }
    if (status)
        return status;
    if (r->at < r->end && !is_blank(r, r->at))
        return wrong(r, "a corner as v, v/vt, v//vn or v/vt/vn");
    if (r->layout == UNDECIDED)
        r->layout = has_uv ? WITH_UVS : WITHOUT_UVS;
    if (has_uv != (r->layout == WITH_UVS))
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s:%zu: a corner with%s a texture coordinate, expected all faces to "
                         "agree with the first: give every part of the mesh UVs, or none",
                         r->path, r->line, has_uv ? "" : "out");
    return HDS_OK;
}

/* The rest of the line, blanks within included; OBJ's own word where there is nothing. */
static void read_part(reader *r)
{
    while (r->at < r->end && is_blank(r, r->at))
        r->at++;
    while (r->at < r->end && is_blank(r, r->end - 1))
        r->end--;
    r->part_name = r->at < r->end ? r->at : "default";
    r->part_length = strnlen(r->part_name, r->at < r->end ? (size_t)(r->end - r->at) : SIZE_MAX);
    r->part_entered = false;
}

static hds_status enter_part(reader *r)
{
    headfile_obj *o = r->obj;
    r->part_entered = true;
    for (r->part = 0; r->part < o->part_count; r->part++) {
        const char *name = o->part_names[r->part];
        if (strlen(name) == r->part_length && !memcmp(name, r->part_name, r->part_length))
            return HDS_OK;
    }
    if (r->part == MAX_PARTS)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s:%zu: one %s more, expected at most %d of different names", r->path,
                         r->line, r->part_keyword, MAX_PARTS);
    char *copy = o->part_names[o->part_count++] = hds_alloc(r->part_length + 1, 1);
    if (!copy)
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: no memory for it", r->path);
    memcpy(copy, r->part_name, r->part_length);
    return HDS_OK;
}

static hds_status read_face(reader *r)
{
    uint32_t first[2] = { 0 }, previous[2] = { 0 }, corner[2] = { 0 };
    size_t corners = 0;
    if (r->obj->face_parts && !r->part_entered) {
        hds_status status = enter_part(r);
        if (status)
            return status;
    }
    for (; next_token(r); corners++) {
        hds_status status = read_corner(r, corner);
        if (status)
            return status;
        for (int i = 0; corners >= 2 && i < (r->obj->uv_faces ? 2 : 1); i++) {
            uint32_t *out = (i ? r->obj->uv_faces : r->obj->faces) + 3 * r->faces;
            out[0] = first[i];
            out[1] = previous[i];
            out[2] = corner[i];
        }
        if (corners >= 2 && r->obj->face_parts)
            r->obj->face_parts[r->faces] = r->part;
        r->faces += corners >= 2;
        memcpy(corners ? previous : first, corner, sizeof corner);
    }
    if (corners < 3)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s:%zu: a face of %zu corners, expected 3 or more", r->path, r->line,
                         corners);
    return HDS_OK;
}

typedef hds_status (*line_reader)(reader *r, headfile_obj_parts parts);

static hds_status count_line(reader *r, headfile_obj_parts parts)
{
    bool whole = parts == HEADFILE_OBJ_ALL;
    r->positions += is_keyword(r, "v");
    r->coordinates += whole && is_keyword(r, "vt");
    if (whole && is_keyword(r, "usemtl"))
        r->part_keyword = "usemtl";
    else if (whole && !r->part_keyword && is_keyword(r, "g"))
        r->part_keyword = "g";
    if (whole && is_keyword(r, "f")) {
        size_t corners = 0;
        for (r->at++; next_token(r); r->at += token_length(r))
            corners++;
        r->triangles += corners > 2 ? corners - 2 : 0;
    }
    return HDS_OK;
}

static hds_status fill_line(reader *r, headfile_obj_parts parts)
{
    bool whole = parts == HEADFILE_OBJ_ALL;
    bool position = is_keyword(r, "v"), coordinates = whole && is_keyword(r, "vt");
    bool face = whole && is_keyword(r, "f");
    bool part = whole && r->part_keyword && is_keyword(r, r->part_keyword);
    r->at += token_length(r);
    if (part)
        read_part(r);
    return position      ? read_position(r)
           : coordinates ? read_coordinates(r)
           : face        ? read_face(r)
                         : HDS_OK;
}

static const char *end_of_line(const char *at, const char *end)
{
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    const char *old = memchr(at, '\r', (size_t)((stop ? stop : end) - at)); /* of old Macs */
    return old && old + 1 != stop ? old : stop ? stop : end;
}

/* Does the line that begins at `at`, and so far ends at `stop`, go on with the next one? Comments
 * and names, which may be paths, end where their line does. */
static bool goes_on(const char *at, const char *stop, const char *end)
{
    const char *last = stop > at && stop[-1] == '\r' ? stop - 1 : stop;
    return stop < end && last > at && last[-1] == '\\' && !memchr(at, '#', (size_t)(last - at)) &&
           !strchr("mugos", *at);
}

static hds_status each_line(reader *r, const io_map *map, headfile_obj_parts parts,
                            line_reader body)
{
    static const char mark[] = "\xef\xbb\xbf";
    const char *at = (const char *)map->bytes, *end = at ? at + map->size : at;
    if (map->size >= sizeof mark - 1 && !memcmp(at, mark, sizeof mark - 1))
        at += sizeof mark - 1;
    for (size_t next = 1; at < end;) {
        const char *stop = end_of_line(at, end);
        r->line = next++;
        while (goes_on(at, stop, end)) {
            stop = end_of_line(stop + 1, end);
            next++;
        }
        r->at = at;
        r->end = stop;
        at = stop < end ? stop + 1 : end;
        hds_status status = next_token(r) ? body(r, parts) : HDS_OK;
        if (status)
            return status;
    }
    return HDS_OK;
}

/* ---- the whole ---- */

static hds_status allocate(reader *r)
{
    headfile_obj *o = r->obj;
    if (r->positions > MAX_TRIANGLES || r->coordinates > MAX_TRIANGLES ||
        r->triangles > MAX_TRIANGLES)
        return hds_raise(r->error, HDS_ERROR_FORMAT,
                         "%s: %zu vertices and %zu triangles, expected at most %d of each", r->path,
                         r->positions, r->triangles, MAX_TRIANGLES);
    o->vertices = hds_alloc(r->positions, 3 * sizeof *o->vertices);
    o->uvs = hds_alloc(r->coordinates, 2 * sizeof *o->uvs);
    o->faces = hds_alloc(r->triangles, 3 * sizeof *o->faces);
    o->uv_faces = hds_alloc(r->triangles, 3 * sizeof *o->uv_faces);
    if (r->part_keyword) {
        o->part_names = hds_alloc(MAX_PARTS, sizeof *o->part_names);
        o->face_parts = hds_alloc(r->triangles, sizeof *o->face_parts);
    }
    if (!o->vertices || !o->uvs || !o->faces || !o->uv_faces ||
        (r->part_keyword && (!o->part_names || !o->face_parts)))
        return hds_raise(r->error, HDS_ERROR_MEMORY, "%s: no memory for it", r->path);
    return HDS_OK;
}

hds_status headfile_obj_read(headfile_obj *obj, const char *path, headfile_obj_parts parts,
                             hds_error *error)
{
    io_map map;
    reader r = { .path = path, .error = error, .obj = obj };
    r.at = r.end = "";
    read_part(&r);
    *obj = (headfile_obj){ 0 };
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    io_kind kind = io_kind_of(map.bytes, map.size);
    if (map.size && kind.name && kind.format != IO_FORMAT_OBJ) {
        status = io_raise_kind(error, path, map.bytes, map.size, "a Wavefront OBJ mesh");
        io_map_close(&map);
        return status;
    }
    r.locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!r.locale)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    if (!status)
        status = each_line(&r, &map, parts, count_line);
    if (!status)
        status = allocate(&r);
    if (!status)
        status = each_line(&r, &map, parts, fill_line);
    if (r.locale)
        freelocale(r.locale);
    io_map_close(&map);
    obj->vertex_count = r.vertices;
    obj->uv_count = r.uvs;
    obj->face_count = r.faces;
    if (status) {
        headfile_obj_finish(obj);
    } else if (r.layout != WITH_UVS) {
        hds_free(obj->uv_faces);
        obj->uv_faces = NULL;
    }
    if (!status && !obj->part_count) {
        hds_free(obj->part_names);
        hds_free(obj->face_parts);
        obj->part_names = NULL;
        obj->face_parts = NULL;
    }
    return status;
}

void headfile_obj_give_uvs(headfile_obj *obj, head_model *m)
{
    m->uv_count = obj->uv_count;
    m->uvs = obj->uvs;
    m->uv_faces = obj->uv_faces;
    obj->uvs = NULL;
    obj->uv_faces = NULL;
}

void headfile_obj_finish(headfile_obj *obj)
{
    hds_free(obj->vertices);
    hds_free(obj->uvs);
    hds_free(obj->faces);
    hds_free(obj->uv_faces);
    for (size_t i = 0; i < obj->part_count; i++)
        hds_free(obj->part_names[i]);
    hds_free(obj->part_names);
    hds_free(obj->face_parts);
    *obj = (headfile_obj){ 0 };
}

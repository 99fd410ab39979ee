/* SPDX-License-Identifier: Apache-2.0 */
/* The .npy form of one array: a magic, a header that is a Python dict literal, then the elements.
 *
 * {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }; only these three keys, numbers,
 * bytes and booleans in little-endian order are read, and never evaluated. */
#include "io_priv.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAGIC_SIZE = 8, LONGEST_HEADER = 1 << 16, LONGEST_ITEM = 1 << 20, HEADER_MULTIPLE = 64 };

/* What is left to read of a header. */
typedef struct reader {
    const char *at, *end;
} reader;

static void skip_space(reader *r)
{
    while (r->at < r->end && (*r->at == ' ' || *r->at == '\n'))
        r->at++;
}

static bool take(reader *r, const char *word)
{
    size_t length = strlen(word);
    skip_space(r);
    if ((size_t)(r->end - r->at) < length || memcmp(r->at, word, length))
        return false;
    r->at += length;
    return true;
}

static bool take_number(reader *r, int64_t *number)
{
    int digits = 0;
    skip_space(r);
    for (*number = 0; r->at < r->end && *r->at >= '0' && *r->at <= '9' && digits < 18; digits++)
        *number = *number * 10 + (*r->at++ - '0');
    return digits > 0;
}

/* 'text' -> text, cut to `room`; quotes and backslashes inside are refused. */
static bool take_string(reader *r, char *text, size_t room)
{
    skip_space(r);
    if (r->at == r->end || (*r->at != '\'' && *r->at != '"'))
        return false;
    char quote = *r->at++;
    size_t length = 0;
    while (r->at < r->end && *r->at != quote && *r->at != '\\' && length + 1 < room)
        text[length++] = *r->at++;
    text[length] = '\0';
    return r->at < r->end && *r->at++ == quote;
}

static bool take_shape(reader *r, io_array *array)
{
    if (!take(r, "("))
        return false;
    for (array->dims = 0; !take(r, ")"); array->dims++) {
        if (array->dims == IO_MAX_DIMS || !take_number(r, &array->shape[array->dims]))
            return false;
        if (!take(r, ",")) {
            array->dims++;
            return array->dims > 1 && take(r, ")");
        }
    }
    return true;
}

hds_status io_npy_dtype(io_array *array, const char *descr, const char *where, hds_error *error)
{
    char order = descr[0], kind = order ? descr[1] : '\0', *end = NULL;
    long size = kind ? strtol(descr + 2, &end, 10) : 0;
    bool whole = kind && descr[2] >= '0' && descr[2] <= '9' && !*end;
    if (kind == 'O')
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: holds Python objects, which are not read; save numbers instead",
                         where);
    if (order == '>' && size > 1)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: dtype %s is big-endian, expected '<': save it with .astype('<%s')",
                         where, descr, descr + 1);
    bool known =
        (kind == 'f' && (size == 2 || size == 4 || size == 8)) ||
        ((kind == 'i' || kind == 'u') && (size == 1 || size == 2 || size == 4 || size == 8)) ||
        (kind == 'b' && size == 1) ||
        ((kind == 'S' || kind == 'U') && size >= 1 && size <= LONGEST_ITEM / 4);
    if (!whole || !known || !strchr("<|>", order))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: dtype %s, expected a float, an integer, a boolean or text", where,
                         descr);
    array->kind = kind;
    array->itemsize = kind == 'U' ? 4 * (int)size : (int)size;
    return HDS_OK;
}

bool io_is_numeric(const io_array *a)
{
    bool whole = a->kind == 'i' || a->kind == 'u';
    return (whole || (a->kind == 'f' && a->itemsize > 1)) &&
           (a->itemsize == 1 || a->itemsize == 2 || a->itemsize == 4 || a->itemsize == 8);
}

double io_number(const io_array *a, size_t index)
{
    const unsigned char *at = (const unsigned char *)a->data + index * (size_t)a->itemsize;
    double wide = 0;
    float narrow = 0;
    if (a->kind == 'f' && a->itemsize == 8) {
        memcpy(&wide, at, sizeof wide);
        return wide;
    }
    if (a->kind == 'f' && a->itemsize == 4)
        memcpy(&narrow, at, sizeof narrow);
    else if (a->kind == 'f')
        io_to_f32(at, IO_F16, &narrow, 1);
    if (a->kind == 'f')
        return (double)narrow;
    uint64_t integer = io_little(at, a->itemsize);
    if (a->kind == 'u')
        return (double)integer;
    uint64_t sign = (uint64_t)1 << (8 * a->itemsize - 1);
    return (double)(int64_t)((integer ^ sign) - sign);
}

static hds_status parse_header(io_array *array, bool *fortran, reader r, const char *where,
                               hds_error *error)
{
    char key[16], descr[32] = "";
    bool seen_order = false, seen_shape = false, good = take(&r, "{");
    while (good && !take(&r, "}")) {
        good = take_string(&r, key, sizeof key) && take(&r, ":");
        if (good && !strcmp(key, "descr") && !descr[0]) {
            if (take(&r, "["))
                return hds_raise(error, HDS_ERROR_FORMAT,
                                 "%s: is a record array, expected plain numbers", where);
            good = take_string(&r, descr, sizeof descr);
        } else if (good && !strcmp(key, "fortran_order") && !seen_order) {
            seen_order = true;
            *fortran = take(&r, "True");
            good = *fortran || take(&r, "False");
        } else if (good && !strcmp(key, "shape") && !seen_shape) {
            seen_shape = good = take_shape(&r, array);
        } else {
            good = false;
        }
        if (good && !take(&r, ",")) {
            good = take(&r, "}");
            break;
        }
    }
    skip_space(&r);
    if (!good || !descr[0] || !seen_order || !seen_shape || r.at != r.end)
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: array header: expected descr, fortran_order and a shape of at most %d "
            "lengths, none negative",
            where, IO_MAX_DIMS);
    return io_npy_dtype(array, descr, where, error);
}

/* out (C order) <- in (first index fastest). */
static void from_fortran(const io_array *array, const unsigned char *in, unsigned char *out)
{
    size_t item = (size_t)array->itemsize, count = array->size / item;
    int64_t index[IO_MAX_DIMS] = { 0 };
    for (size_t i = 0; i < count; i++) {
        size_t place = 0;
        for (int d = 0; d < array->dims; d++)
            place = place * (size_t)array->shape[d] + (size_t)index[d];
        memcpy(out + place * item, in + i * item, item);
        for (int d = 0; d < array->dims && ++index[d] == array->shape[d]; d++)
            index[d] = 0;
    }
}

hds_status io_npy_fill(io_array *array, bool fortran, const void *in, const char *where,
                       hds_error *error)
{
    array->data = hds_alloc(array->size, 1);
    if (!array->data)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %zu bytes", where,
                         array->size);
    if (fortran && array->dims > 1)
        from_fortran(array, in, array->data);
    else if (array->size)
        memcpy(array->data, in, array->size);
    return HDS_OK;
}

/* Finds the header between the magic and the elements. */
static bool find_header(const unsigned char *bytes, size_t size, reader *r)
{
    if (size < MAGIC_SIZE + 4 || memcmp(bytes, "\x93NUMPY", 6) || bytes[6] < 1 || bytes[6] > 3)
        return false;
    size_t field = bytes[6] == 1 ? 2 : 4, length = bytes[8] | (size_t)bytes[9] << 8;
    if (field == 4)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > LONGEST_HEADER || length > size - MAGIC_SIZE - field)
        return false;
    r->at = (const char *)bytes + MAGIC_SIZE + field;
    r->end = r->at + length;
    return true;
}

hds_status io_npy_parse(io_array *array, const unsigned char *bytes, size_t size, const char *where,
                        hds_error *error)
{
    reader r;
    bool fortran = false;
    size_t expected = 0;
    if (!find_header(bytes, size, &r))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: is not a whole NumPy array (magic and header)", where);
    hds_status status = parse_header(array, &fortran, r, where, error);
    if (status)
        return status;
    size_t room = size - (size_t)((const unsigned char *)r.end - bytes);
    bool fits = io_shape_bytes(array->shape, array->dims, (size_t)array->itemsize, &expected);
    if (!fits || expected != room)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %zu bytes of data, its header promises %s%zu", where, room,
                         fits ? "" : "more than ", fits ? expected : (size_t)PTRDIFF_MAX);
    array->size = expected;
    return io_npy_fill(array, fortran, r.end, where, error);
}

size_t io_npy_header(const io_array *array, char *text, size_t room)
{
    size_t expected = 0;
    bool one = array->itemsize == 1 || array->kind == 'S';
    if (!memchr("fiuSb", array->kind, 5) || array->dims < 0 || array->dims > IO_MAX_DIMS ||
        array->itemsize < 1 ||
        !io_shape_bytes(array->shape, array->dims, (size_t)array->itemsize, &expected) ||
        expected != array->size || room < 6 * HEADER_MULTIPLE)
        return 0;
    size_t start = MAGIC_SIZE + 2;
    size_t used = start;
    used += (size_t)snprintf(text + used, room - used,
                             "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                             one ? '|' : '<', array->kind, array->itemsize);
    for (int d = 0; d < array->dims; d++)
        used += (size_t)snprintf(text + used, room - used, d ? ", %" PRId64 : "%" PRId64,
                                 array->shape[d]);
    used += (size_t)snprintf(text + used, room - used, array->dims == 1 ? ",), }" : "), }");
    size_t total = (used + HEADER_MULTIPLE) / HEADER_MULTIPLE * HEADER_MULTIPLE;
    memset(text + used, ' ', total - used);
    text[total - 1] = '\n';
    memcpy(text, "\x93NUMPY\x01", 8);
    text[8] = (char)((total - start) & 0xff);
    text[9] = (char)((total - start) >> 8);
    return total;
}

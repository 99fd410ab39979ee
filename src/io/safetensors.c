/* SPDX-License-Identifier: Apache-2.0 */
/* safetensors: 8 bytes header length (little-endian), a JSON header, then the data, without holes.
 *
 * Header: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [begin, end]}, ...,
 * "__metadata__": {"key": "value"}}; offsets count from the end of the header. */
#include "io_priv.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_HEADER = 100000000, PREFIX = 8 };

static const struct {
    const char *name;
    size_t size;
} dtypes[] = {
    [IO_F16] = { "F16", 2 },   [IO_BF16] = { "BF16", 2 },       [IO_F32] = { "F32", 4 },
    [IO_F64] = { "F64", 8 },   [IO_I8] = { "I8", 1 },           [IO_U8] = { "U8", 1 },
    [IO_I16] = { "I16", 2 },   [IO_U16] = { "U16", 2 },         [IO_I32] = { "I32", 4 },
    [IO_U32] = { "U32", 4 },   [IO_I64] = { "I64", 8 },         [IO_U64] = { "U64", 8 },
    [IO_BOOL] = { "BOOL", 1 }, [IO_F8_E4M3] = { "F8_E4M3", 1 }, [IO_F8_E5M2] = { "F8_E5M2", 1 },
};
enum { DTYPE_COUNT = sizeof dtypes / sizeof *dtypes };

size_t io_dtype_size(io_dtype dtype)
{
    return dtypes[dtype].size;
}

const char *io_dtype_name(io_dtype dtype)
{
    return dtypes[dtype].name;
}

bool io_shape_bytes(const int64_t *shape, int dims, size_t itemsize, size_t *bytes)
{
    size_t total = itemsize;
    bool fits = true, empty = false;
    for (int i = 0; i < dims; i++) {
        if (shape[i] < 0)
            return false;
        empty |= shape[i] == 0;
        fits &= !__builtin_mul_overflow(total, (size_t)shape[i], &total);
    }
    *bytes = empty ? 0 : total;
    return (fits || empty) && *bytes <= PTRDIFF_MAX;
}

/* Reads one entry of the header; `data` is where offset 0 lies, `room` the bytes from there on. */
static hds_status parse_tensor(io_tensor *tensor, const char *name, const json_t *entry,
                               const unsigned char *data, size_t room, const char *path,
                               hds_error *error)
{
    const json_t *dtype = json_object_get(entry, "dtype"), *shape = json_object_get(entry, "shape");
    const json_t *offsets = json_object_get(entry, "data_offsets");
    if (!json_is_string(dtype) || !json_is_array(shape) || json_array_size(offsets) != 2)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: expected dtype, shape and two data_offsets", path, name);
    int type = 0;
    while (type < DTYPE_COUNT && strcmp(dtypes[type].name, json_string_value(dtype)))
        type++;
    if (type == DTYPE_COUNT)
        return hds_raise(
            error, HDS_ERROR_FORMAT,
            "%s: %s: dtype \"%.40s\", expected F16, BF16, F32, F64, F8_E4M3, F8_E5M2, BOOL or an "
            "integer: save it as float16",
            path, name, json_string_value(dtype));
    tensor->dtype = (io_dtype)type;
    if (json_array_size(shape) > IO_MAX_DIMS)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: %zu dimensions, expected at most %d",
                         path, name, json_array_size(shape), IO_MAX_DIMS);
    tensor->dims = (int)json_array_size(shape);
    for (int i = 0; i < tensor->dims; i++) {
        const json_t *length = json_array_get(shape, (size_t)i);
        tensor->shape[i] = json_is_integer(length) ? json_integer_value(length) : -1;
    }
    size_t bytes = 0;
    if (!io_shape_bytes(tensor->shape, tensor->dims, dtypes[type].size, &bytes))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: shape is negative, too large or not made of integers", path,
                         name);
    const json_t *first = json_array_get(offsets, 0), *last = json_array_get(offsets, 1);
    int64_t begin = json_is_integer(first) ? json_integer_value(first) : -1;
    int64_t end = json_is_integer(last) ? json_integer_value(last) : -1;
    if (begin < 0 || end < begin || (uint64_t)end > room)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: data_offsets [%" PRId64 ", %" PRId64
                         "] are outside of the %zu bytes "
                         "of data; the file may be cut short: fetch it again",
                         path, name, begin, end, room);
    if ((size_t)(end - begin) != bytes)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %s: %" PRId64 " bytes of data, expected %zu by shape and dtype", path,
                         name, end - begin, bytes);
    tensor->data = data + begin;
    tensor->size = bytes;
    tensor->name = hds_strdup(name);
    if (!tensor->name)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: %s: out of memory", path, name);
    return HDS_OK;
}

static int by_place(const void *a, const void *b)
{
    const io_tensor *x = a, *y = b;
    if (x->data != y->data)
        return (const char *)x->data < (const char *)y->data ? -1 : 1;
    return (x->size > y->size) - (x->size < y->size);
}

static int by_name(const void *a, const void *b)
{
    const io_tensor *x = a, *y = b;
    return strcmp(x->name, y->name);
}

/* Every byte of data belongs to exactly one tensor. */
static hds_status check_places(io_safetensors *file, const unsigned char *data, size_t room,
                               const char *path, hds_error *error)
{
    qsort(file->tensors, file->count, sizeof *file->tensors, by_place);
    const unsigned char *at = data;
    for (size_t i = 0; i < file->count; i++) {
        const io_tensor *t = &file->tensors[i];
        const unsigned char *begin = t->data;
        if (begin != at)
            return hds_raise(
                error, HDS_ERROR_FORMAT, "%s: %s: data begins at %zu, expected %zu: %s", path,
                t->name, (size_t)(begin - data), (size_t)(at - data),
                begin < at ? "it overlaps the tensor before" : "a hole lies before it");
        at = begin + t->size;
    }
    if (at != data + room)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %zu bytes after the last tensor belong to none", path,
                         (size_t)(data + room - at));
    qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    return HDS_OK;
}

static bool are_strings(json_t *object)
{
    const char *key;
    json_t *value;
    if (!json_is_object(object))
        return false;
    json_object_foreach(object, key, value)
    {
        if (!json_is_string(value))
            return false;
    }
    return true;
}

static hds_status parse_header(io_safetensors *file, json_t *header, size_t header_size,
                               const char *path, hds_error *error)
{
    const unsigned char *data = file->map.bytes + PREFIX + header_size;
    size_t room = file->map.size - PREFIX - header_size;
    const char *name;
    json_t *entry;
    file->tensors = hds_alloc(json_object_size(header), sizeof *file->tensors);
    if (!file->tensors)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    json_object_foreach(header, name, entry)
    {
        if (!strcmp(name, "__metadata__")) {
            if (json_is_null(entry)) /* as if it were absent */
                continue;
            if (!are_strings(entry))
                return hds_raise(error, HDS_ERROR_FORMAT,
                                 "%s: __metadata__: expected an object of strings", path);
            file->metadata = json_incref(entry);
            continue;
        }
        hds_status status =
            parse_tensor(&file->tensors[file->count], name, entry, data, room, path, error);
        if (status)
            return status;
        file->count++;
    }
    return check_places(file, data, room, path, error);
}

hds_status io_safetensors_open(io_safetensors *file, const char *path, hds_error *error)
{
    *file = (io_safetensors){ 0 };
    hds_status status = io_map_open(&file->map, path, error);
    if (status)
        return status;
    uint64_t length = 0;
    if (file->map.size < PREFIX + 2)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: %zu bytes are too few for a safetensors file; "
                           "it may be cut short: fetch it again",
                           path, file->map.size);
    else
        memcpy(&length, file->map.bytes, PREFIX);
    if (!status && length > LONGEST_HEADER)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: header length %" PRIu64 ", expected at most %d; "
                           "this may not be a safetensors file: fetch it again",
                           path, length, LONGEST_HEADER);
    if (!status && length > file->map.size - PREFIX)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: header length %" PRIu64 ", but the file ends after %zu bytes; "
                           "it may be cut short: fetch it again",
                           path, length, file->map.size);
    if (!status) {
        json_error_t place;
        const char *text = (const char *)file->map.bytes + PREFIX;
        json_t *header = json_loadb(text, (size_t)length, JSON_REJECT_DUPLICATES, &place);
        if (!header)
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: header: byte %d: %s", path,
                               place.position, place.text);
        else if (!json_is_object(header))
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: header: expected a JSON object", path);
        else
            status = parse_header(file, header, (size_t)length, path, error);
        json_decref(header);
    }
    if (status)
        io_safetensors_close(file);
    return status;
}

void io_safetensors_close(io_safetensors *file)
{
    for (size_t i = 0; i < file->count; i++)
        hds_free((void *)(uintptr_t)file->tensors[i].name);
    hds_free(file->tensors);
    json_decref(file->metadata);
    io_map_close(&file->map);
    *file = (io_safetensors){ 0 };
}

const io_tensor *io_safetensors_find(const io_safetensors *file, const char *name)
{
    io_tensor key = { .name = name };
    return bsearch(&key, file->tensors, file->count, sizeof key, by_name);
}

/* Wide elements first, so that every tensor is aligned to its own elements. */
static int by_width(const void *a, const void *b)
{
    const io_tensor *x = *(const io_tensor *const *)a, *y = *(const io_tensor *const *)b;
    size_t wide = dtypes[x->dtype].size, other = dtypes[y->dtype].size;
    return wide != other ? (wide < other) - (wide > other) : strcmp(x->name, y->name);
}

static hds_status add_entry(json_t *header, const io_tensor *t, size_t *offset, const char *path,
                            hds_error *error)
{
    size_t bytes;
    if (t->dims < 0 || t->dims > IO_MAX_DIMS ||
        !io_shape_bytes(t->shape, t->dims, dtypes[t->dtype].size, &bytes) || bytes != t->size)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: %s: %zu bytes do not fit its shape", path,
                         t->name, t->size);
    if (json_object_get(header, t->name))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: %s: given twice", path, t->name);
    json_t *shape = json_array();
    for (int i = 0; i < t->dims; i++)
        json_array_append_new(shape, json_integer(t->shape[i]));
    json_t *entry =
        json_pack("{s:s, s:o, s:[I, I]}", "dtype", dtypes[t->dtype].name, "shape", shape,
                  "data_offsets", (json_int_t)*offset, (json_int_t)(*offset + bytes));
    *offset += bytes;
    if (!entry || json_object_set_new(header, t->name, entry))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: a tensor's name is not UTF-8", path);
    return HDS_OK;
}

/* The header's text, padded with spaces so that the data begins at a multiple of 8; new (free). */
static char *header_text(json_t *header, uint64_t *length)
{
    char *text = json_dumps(header, JSON_COMPACT);
    if (!text)
        return NULL;
    size_t used = strlen(text), padded = (used + 7) / 8 * 8;
    char *grown = realloc(text, padded + 1);
    if (!grown) {
        free(text);
        return NULL;
    }
    memset(grown + used, ' ', padded - used);
    *length = padded;
    return grown;
}

hds_status io_safetensors_write(const char *path, const io_tensor *tensors, size_t count,
                                const json_t *metadata, hds_error *error)
{
    const io_tensor **order = hds_alloc(count, sizeof *order);
    struct iovec *pieces = hds_alloc(count + 2, sizeof *pieces);
    json_t *header = json_object();
    char *text = NULL;
    uint64_t length = 0;
    size_t offset = 0;
    hds_status status = HDS_OK;
    if (!order || !pieces || !header)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    json_t *extra = (json_t *)(uintptr_t)metadata;
    if (!status && metadata && !are_strings(extra))
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "%s: metadata: expected an object of strings",
                           path);
    if (!status && metadata)
        json_object_set(header, "__metadata__", extra);
    for (size_t i = 0; i < count && !status; i++)
        order[i] = &tensors[i];
    if (!status)
        qsort(order, count, sizeof *order, by_width);
    for (size_t i = 0; i < count && !status; i++) {
        status = add_entry(header, order[i], &offset, path, error);
        pieces[i + 2] = (struct iovec){ (void *)(uintptr_t)order[i]->data, order[i]->size };
    }
    if (!status && !(text = header_text(header, &length)))
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    if (!status) {
        pieces[0] = (struct iovec){ &length, PREFIX };
        pieces[1] = (struct iovec){ text, length };
        status = io_write_pieces(path, pieces, count + 2, error);
    }
    free(text);
    json_decref(header);
    hds_free(pieces);
    hds_free(order);
    return status;
}

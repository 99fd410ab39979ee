/* SPDX-License-Identifier: Apache-2.0 */
/* MATLAB files: the variables of version 5 (save -v6, and -v7, which packs them by zlib), and of
 * 7.3 through mat_hdf.c. Only full real arrays of numbers are read; the rest is listed by name.
 *
 *   file      header of 128 bytes, then elements
 *   element   type u4, size u4, data, up to a multiple of 8; up to 4 bytes of data: type u2, size
 *             u2, data in place
 *   packed    an element whose data are a zlib stream of one matrix
 *   matrix    elements: flags, dimensions (i4), name, numbers in any type that holds them
 *
 * "MAT-File Format", MathWorks. Nothing is allocated that the bytes of the file can't fill. */
#include "io_priv.h"

#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    HEADER_SIZE = 128,
    TAG_SIZE = 8,
    HEAD_SIZE = 256, /* of a matrix: its flags, dimensions and name take less */
    MATRIX = 14,
    PACKED = 15,
    COMPLEX = 0x0800
};

/* What numbers may be stored as, by type of element. */
static const struct {
    char kind;
    int itemsize;
} types[] = {
    [1] = { 'i', 1 }, [2] = { 'u', 1 }, [3] = { 'i', 2 }, [4] = { 'u', 2 },  [5] = { 'i', 4 },
    [6] = { 'u', 4 }, [7] = { 'f', 4 }, [9] = { 'f', 8 }, [12] = { 'i', 8 }, [13] = { 'u', 8 }
};
enum { TYPES = sizeof types / sizeof *types, INT8 = 1, INT32 = 5, UINT32 = 6 };

/* What a variable may be, by its class. */
enum { FIRST_NUMERIC = 6, LAST_NUMERIC = 15, OPAQUE = 17 };
static const char *const classes[] = {
    [1] = "a cell array",    [2] = "a struct",    [3] = "an object",     [4] = "text",
    [5] = "a sparse matrix", [16] = "a function", [OPAQUE] = "an object"
};

typedef struct cursor {
    const unsigned char *at, *end;
} cursor;

typedef struct element {
    uint32_t type;
    const unsigned char *data;
    size_t size;
} element;

typedef struct matrix {
    unsigned class, flags;
    int dims;
    int64_t shape[IO_MAX_DIMS];
    char name[IO_MAT_NAME];
    cursor rest; /* the numbers */
} matrix;

/* False: not a whole element. Of a packed one no bytes follow up to a multiple. */
static bool next_element(cursor *c, element *e)
{
    size_t left = (size_t)(c->end - c->at);
    if (left < TAG_SIZE)
        return false;
    e->type = (uint32_t)io_little(c->at, 4);
    e->size = io_little(c->at + 4, 4);
    e->data = c->at + TAG_SIZE;
    size_t whole = TAG_SIZE;
    if (e->type >> 16) {
        e->size = e->type >> 16;
        e->type &= 0xffff;
        e->data = c->at + 4;
        if (e->size > 4)
            return false;
    } else {
        if (e->size > left - TAG_SIZE)
            return false;
        whole += e->type == PACKED ? e->size : (e->size + 7) / 8 * 8;
    }
    c->at += whole < left ? whole : left;
    return true;
}

/* The flags, dimensions and name at the beginning of a matrix, of which `c` may be a part. */
static bool read_head(matrix *m, cursor c)
{
    element e;
    *m = (matrix){ 0 };
    if (!next_element(&c, &e) || e.type != UINT32 || e.size != 8)
        return false;
    m->class = e.data[0];
    m->flags = (unsigned)io_little(e.data, 4);
    if (m->class == OPAQUE)
        return true;
    if (!next_element(&c, &e) || e.type != INT32 || e.size % 4 || e.size > 4 * IO_MAX_DIMS)
        return false;
    m->dims = (int)(e.size / 4);
    for (int d = 0; d < m->dims; d++)
        m->shape[d] = (int32_t)io_little(e.data + 4 * d, 4);
    if (!next_element(&c, &e) || e.type != INT8 || e.size >= IO_MAT_NAME)
        return false;
    memcpy(m->name, e.data, e.size);
    m->rest = c;
    return true;
}

/* Unpacks up to `room` bytes of `size` packed ones. `whole`: false if there are not just so many,
 * or their checksum is wrong. */
static bool unpack(const unsigned char *packed, size_t size, unsigned char *out, size_t room,
                   bool whole, size_t *got)
{
    z_stream z = { .next_in = (z_const Bytef *)(uintptr_t)packed, .avail_in = (uInt)size };
    if (inflateInit(&z) != Z_OK)
        return false;
    z.next_out = out;
    z.avail_out = (uInt)room;
    int code = inflate(&z, Z_NO_FLUSH);
    *got = room - z.avail_out;
    inflateEnd(&z);
    return !whole || (code == Z_STREAM_END && *got == room);
}

/* The beginning of the matrix in an element, unpacked into `room` where it is packed. */
static bool find_head(matrix *m, const element *e, unsigned char room[HEAD_SIZE])
{
    cursor c = { e->data, e->data + e->size };
    size_t got;
    if (e->type == PACKED) {
        if (!unpack(e->data, e->size, room, HEAD_SIZE, false, &got) || got < TAG_SIZE ||
            io_little(room, 4) != MATRIX)
            return false;
        c = (cursor){ room + TAG_SIZE, room + got };
    }
    return read_head(m, c);
}

static hds_status list_variables(io_mat *mat, hds_error *error)
{
    cursor c = { mat->map.bytes + HEADER_SIZE, mat->map.bytes + mat->map.size };
    unsigned char room[HEAD_SIZE];
    element e;
    matrix m;
    while (c.at < c.end) {
        size_t place = (size_t)(c.at - mat->map.bytes);
        if (!next_element(&c, &e))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: byte %zu: a variable that reaches out of the file's %zu bytes; "
                             "it may be cut short: fetch it again",
                             mat->path, place, mat->map.size);
        if ((e.type != MATRIX && e.type != PACKED) || !find_head(&m, &e, room))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: byte %zu: is no variable, expected the flags, dimensions and "
                             "name of one",
                             mat->path, place);
        if (!m.name[0])
            continue; /* what MATLAB keeps for itself */
        hds_status status = io_mat_add(mat, m.name, e.data, e.size, error);
        if (status)
            return status;
        mat->variables[mat->count - 1].packed = e.type == PACKED;
    }
    return HDS_OK;
}

hds_status io_mat_add(io_mat *mat, const char *name, const unsigned char *at, size_t size,
                      hds_error *error)
{
    for (size_t i = 0; i < mat->count; i++)
        if (!strcmp(mat->variables[i].name, name))
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: there twice", mat->path,
                             io_print(name, strlen(name)).text);
    if (mat->count == IO_MAT_MOST)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: more than %d variables", mat->path,
                         IO_MAT_MOST);
    io_mat_variable *v = &mat->variables[mat->count++];
    snprintf(v->name, sizeof v->name, "%s", name);
    v->at = at;
    v->size = size;
    return HDS_OK;
}

/* ---- reading ---- */

/* The bytes of the matrix `v`: in the file, or unpacked into *held (new). */
static hds_status open_matrix(const io_mat_variable *v, cursor *c, unsigned char **held,
                              const char *where, hds_error *error)
{
    unsigned char tag[TAG_SIZE];
    size_t got;
    *held = NULL;
    *c = (cursor){ v->at, v->at + v->size };
    if (!v->packed)
        return HDS_OK;
    if (!unpack(v->at, v->size, tag, sizeof tag, false, &got) || got < sizeof tag)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: is not packed by zlib", where);
    size_t size = io_little(tag + 4, 4), whole = sizeof tag + size;
    if (size > IO_MAT_LIMIT || size / IO_DEFLATE_LIMIT > v->size)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: claims %zu bytes from %zu packed ones, which cannot be", where, size,
                         v->size);
    *held = hds_alloc(whole, 1);
    if (!*held)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %zu bytes", where, whole);
    if (!unpack(v->at, v->size, *held, whole, true, &got)) {
        hds_free(*held);
        *held = NULL;
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: does not unpack to the %zu bytes it claims; fetch the file again",
                         where, size);
    }
    *c = (cursor){ *held + sizeof tag, *held + whole };
    return HDS_OK;
}

/* The numbers of a matrix, still where they lie. */
static hds_status find_numbers(io_array *array, cursor c, const unsigned char **numbers,
                               const char *where, hds_error *error)
{
    matrix m;
    element e = { 0 };
    if (!read_head(&m, c))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: no dimensions and name where expected",
                         where);
    if (m.class < FIRST_NUMERIC || m.class > LAST_NUMERIC || m.flags & COMPLEX)
        return hds_raise(
            error, HDS_ERROR_FORMAT, "%s: is %s, expected an array of real numbers", where,
            m.class >= FIRST_NUMERIC && m.class <= LAST_NUMERIC     ? "complex"
            : m.class && m.class < sizeof classes / sizeof *classes ? classes[m.class]
                                                                    : "of an unknown class");
    if (!next_element(&m.rest, &e) || e.type >= TYPES || !types[e.type].itemsize)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: has no numbers", where);
    array->kind = types[e.type].kind;
    array->itemsize = types[e.type].itemsize;
    array->dims = m.dims;
    memcpy(array->shape, m.shape, sizeof array->shape);
    if (!io_shape_bytes(array->shape, array->dims, (size_t)array->itemsize, &array->size) ||
        array->size != e.size)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %zu bytes of numbers, which is not what its dimensions promise",
                         where, e.size);
    *numbers = e.data;
    return HDS_OK;
}

static hds_status read_variable(io_array *array, const io_mat_variable *v, const char *where,
                                hds_error *error)
{
    cursor c;
    unsigned char *held;
    const unsigned char *numbers = NULL;
    hds_status status = open_matrix(v, &c, &held, where, error);
    if (!status)
        status = find_numbers(array, c, &numbers, where, error);
    if (!status && held) { /* unpacked numbers stay in that memory */
        memmove(held, numbers, array->size);
        array->data = held;
        held = NULL;
    } else if (!status) {
        status = io_npy_fill(array, false, numbers, where, error);
    }
    hds_free(held);
    return status;
}

static const io_mat_variable *find(const io_mat *mat, const char *name)
{
    for (size_t i = 0; i < mat->count; i++)
        if (!strcmp(mat->variables[i].name, name))
            return &mat->variables[i];
    return NULL;
}

bool io_mat_has(const io_mat *mat, const char *name)
{
    return find(mat, name) != NULL;
}

hds_status io_mat_read(io_array *array, const io_mat *mat, const char *name, hds_error *error)
{
    const io_mat_variable *v = find(mat, name);
    *array = (io_array){ 0 };
    if (!v)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s is missing", mat->path, name);
    char *where = hds_format("%s: %s", mat->path, name);
    hds_status status = !where ? hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", mat->path)
                        : mat->hdf ? io_mat_read_hdf(array, mat, v, where, error)
                                   : read_variable(array, v, where, error);
    hds_free(where);
    if (status)
        *array = (io_array){ 0 };
    return status;
}

/* ---- the file ---- */

hds_status io_mat_open(io_mat *mat, const char *path, hds_error *error)
{
    *mat = (io_mat){ 0 };
    hds_status status = io_map_open(&mat->map, path, error);
    if (status)
        return status;
    const unsigned char *header = mat->map.bytes;
    mat->path = hds_strdup(path);
    mat->variables = hds_alloc(IO_MAT_MOST, sizeof *mat->variables);
    if (!mat->path || !mat->variables)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    else if (mat->map.size >= 6 && mat->map.size < HEADER_SIZE && !memcmp(header, "MATLAB", 6))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: is cut short after %zu bytes; fetch it again", path, mat->map.size);
    else if (mat->map.size < HEADER_SIZE || memcmp(header, "MATLAB", 6))
        status = io_raise_kind(error, path, header, mat->map.size,
                               "a MATLAB file of version 5 or 7.3: save it with -v7");
    else if (memcmp(header + HEADER_SIZE - 2, "IM", 2))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: is big-endian, expected little-endian; save it again on a common "
                           "machine",
                           path);
    else if ((mat->hdf = header[HEADER_SIZE - 3] == 2))
        status = io_mat_list_hdf(mat, error);
    else if (header[HEADER_SIZE - 3] != 1)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: MATLAB file of an unknown version, expected 5 or 7.3; save it with "
                           "-v7",
                           path);
    else
        status = list_variables(mat, error);
    if (status)
        io_mat_close(mat);
    return status;
}

void io_mat_close(io_mat *mat)
{
    io_map_close(&mat->map);
    hds_free(mat->variables);
    hds_free(mat->path);
    *mat = (io_mat){ 0 };
}

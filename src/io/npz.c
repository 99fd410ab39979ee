/* SPDX-License-Identifier: Apache-2.0 */
/* .npz: a zip archive (libzip) with one .npy member for each array. */
#include "io_priv.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

enum { NAME_ROOM = 512, HEADER_ROOM = 512 };
static const size_t default_limit = (size_t)2 << 30;

/* What is claimed must be possible before memory is taken for it: `packed` is the size of the file,
 * `left` what its members may still unfold to. */
static hds_status check_claims(const zip_stat_t *info, size_t packed, size_t left,
                               const char *where, hds_error *error)
{
    if (info->comp_method != ZIP_CM_STORE && info->comp_method != ZIP_CM_DEFLATE)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: packed by method %d, expected deflate or none", where,
                         (int)info->comp_method);
    if (info->comp_size > packed)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: claims %llu packed bytes, the file has %zu; it may be cut short: "
                         "fetch it again",
                         where, (unsigned long long)info->comp_size, packed);
    if (info->size / IO_DEFLATE_LIMIT > info->comp_size + 1)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: claims %llu bytes from %llu packed ones, which cannot be", where,
                         (unsigned long long)info->size, (unsigned long long)info->comp_size);
    if (info->size > left)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: claims %llu bytes, more than the %zu that are left to this file",
                         where, (unsigned long long)info->size, left);
    return HDS_OK;
}

/* Unpacks member `index` into *bytes (new). */
static hds_status unpack(zip_t *zip, zip_uint64_t index, const zip_stat_t *info, const char *where,
                         unsigned char **bytes, hds_error *error)
{
    *bytes = NULL;
    zip_file_t *member = zip_fopen_index(zip, index, 0);
    if (!member)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", where, zip_strerror(zip));
    hds_status status = HDS_OK;
    *bytes = hds_alloc(info->size, 1);
    if (!*bytes)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %llu bytes", where,
                           (unsigned long long)info->size);
    else {
        char beyond;
        zip_int64_t got = zip_fread(member, *bytes, info->size);
        /* libzip compares size and checksum when it meets the end */
        zip_int64_t more = got < 0 ? got : zip_fread(member, &beyond, 1);
        if (more < 0)
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", where, zip_file_strerror(member));
        else if ((zip_uint64_t)got != info->size || more)
            status =
                hds_raise(error, HDS_ERROR_FORMAT, "%s: holds %s bytes than the %llu it claims",
                          where, more ? "more" : "fewer", (unsigned long long)info->size);
    }
    zip_fclose(member);
    return status;
}

/* The name of the array that a member holds, without its ending; 0: it holds none (folders, and
 * what macOS adds to archives). */
static size_t name_length(const char *member)
{
    size_t length = strlen(member);
    return length > 4 && !strcmp(member + length - 4, ".npy") && strncmp(member, "__MACOSX/", 9)
               ? length - 4
               : 0;
}

static int by_name(const void *a, const void *b)
{
    const io_array *x = a, *y = b;
    return strcmp(x->name, y->name);
}

static hds_status list_members(io_npz *npz, hds_error *error)
{
    zip_int64_t count = zip_get_num_entries(npz->zip, 0);
    npz->arrays = hds_alloc((size_t)count, sizeof *npz->arrays);
    if (!npz->arrays)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", npz->path);
    for (zip_int64_t i = 0; i < count; i++) {
        const char *member = zip_get_name(npz->zip, (zip_uint64_t)i, 0);
        size_t length = member ? name_length(member) : 0;
        if (!length)
            continue;
        char *name = npz->arrays[npz->count++].name = hds_format("%.*s", (int)length, member);
        if (!name)
            return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", npz->path);
    }
    if (!npz->count)
        return io_raise_kind(error, npz->path, npz->map.bytes, npz->map.size, "an .npz file");
    qsort(npz->arrays, npz->count, sizeof *npz->arrays, by_name);
    for (size_t i = 1; i < npz->count; i++)
        if (!by_name(&npz->arrays[i - 1], &npz->arrays[i]))
            return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: there twice", npz->path,
                             npz->arrays[i].name);
    return HDS_OK;
}

static hds_status open_zip(io_npz *npz, hds_error *error)
{
    zip_error_t problem;
    zip_error_init(&problem);
    zip_source_t *source = zip_source_buffer_create(npz->map.bytes, npz->map.size, 0, &problem);
    npz->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &problem) : NULL;
    hds_status status = HDS_OK;
    if (!npz->zip) {
        io_kind kind = io_kind_of(npz->map.bytes, npz->map.size);
        if (kind.format == IO_FORMAT_NPZ && io_archive_has_end(npz->map.bytes, npz->map.size))
            status =
                hds_raise(error, HDS_ERROR_FORMAT,
                          "%s: is a damaged zip archive (%s); fetch it again, or save it again",
                          npz->path, zip_error_strerror(&problem));
        else
            status = io_raise_kind(error, npz->path, npz->map.bytes, npz->map.size, "an .npz file");
        zip_source_free(source);
    }
    zip_error_fini(&problem);
    return status;
}

/* Members may lie over each other, so that all of them together are held to what the file could
 * unfold to. */
hds_status io_npz_list(io_npz *npz, const char *path, size_t limit, hds_error *error)
{
    *npz = (io_npz){ .left = limit ? limit : default_limit };
    hds_status status = io_map_open(&npz->map, path, error);
    if (status)
        return status;
    if (npz->map.size < npz->left / IO_DEFLATE_LIMIT)
        npz->left = npz->map.size * IO_DEFLATE_LIMIT;
    npz->path = hds_strdup(path);
    if (!npz->path)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    else if (!npz->map.size)
        status = io_raise_kind(error, path, NULL, 0, "an .npz file");
    if (!status)
        status = open_zip(npz, error);
    if (!status)
        status = list_members(npz, error);
    if (status)
        io_npz_close(npz);
    return status;
}

static hds_status read_member(io_npz *npz, io_array *array, hds_error *error)
{
    zip_stat_t info;
    const zip_uint64_t needed =
        ZIP_STAT_INDEX | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    char where[NAME_ROOM], *name = hds_format("%s.npy", array->name);
    if (!name)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", npz->path);
    snprintf(where, sizeof where, "%s: %.100s", npz->path, name);
    bool known = !zip_stat(npz->zip, name, 0, &info) && (info.valid & needed) == needed;
    hds_free(name);
    if (!known)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s", where, zip_strerror(npz->zip));
    hds_status status = check_claims(&info, npz->map.size, npz->left, where, error);
    if (status)
        return status;
    npz->left -= info.size;
    unsigned char *bytes = NULL;
    status = unpack(npz->zip, info.index, &info, where, &bytes, error);
    if (!status)
        status = io_npy_parse(array, bytes, info.size, where, error);
    hds_free(bytes);
    return status;
}

/* Of the file: nothing more is read from it. */
static void let_go(io_npz *npz)
{
    if (npz->zip)
        zip_discard(npz->zip);
    npz->zip = NULL;
    io_map_close(&npz->map);
}

static io_array *find(const io_npz *npz, const char *name)
{
    io_array key = { .name = (char *)(uintptr_t)name };
    return npz->count ? bsearch(&key, npz->arrays, npz->count, sizeof key, by_name) : NULL;
}

hds_status io_npz_read(io_npz *npz, const char *name, hds_error *error)
{
    io_array *array = find(npz, name);
    return array && !array->data ? read_member(npz, array, error) : HDS_OK;
}

hds_status io_npz_open(io_npz *npz, const char *path, size_t limit, hds_error *error)
{
    hds_status status = io_npz_list(npz, path, limit, error);
    for (size_t i = 0; i < npz->count && !status; i++)
        status = read_member(npz, &npz->arrays[i], error);
    if (status)
        io_npz_close(npz);
    else
        let_go(npz);
    return status;
}

void io_npz_close(io_npz *npz)
{
    for (size_t i = 0; i < npz->count; i++) {
        hds_free(npz->arrays[i].name);
        hds_free(npz->arrays[i].data);
    }
    hds_free(npz->arrays);
    hds_free(npz->path);
    let_go(npz);
    *npz = (io_npz){ 0 };
}

bool io_npz_has(const io_npz *npz, const char *name)
{
    return find(npz, name) != NULL;
}

const io_array *io_npz_find(const io_npz *npz, const char *name)
{
    const io_array *array = find(npz, name);
    return array && array->data ? array : NULL;
}

io_array io_array_of(const char *name, char kind, size_t itemsize, int dims, const size_t *shape,
                     const void *data)
{
    io_array a = { .name = (char *)(uintptr_t)name,
                   .kind = kind,
                   .itemsize = (int)itemsize,
                   .dims = dims,
                   .data = (void *)(uintptr_t)data,
                   .size = itemsize };
    for (int i = 0; i < dims; i++) {
        a.shape[i] = (int64_t)shape[i];
        a.size *= shape[i];
    }
    return a;
}

/* Adds one array; its time is fixed so that equal arrays give equal files. */
static hds_status add_array(zip_t *zip, const io_array *array, const char *path, hds_error *error)
{
    char header[HEADER_ROOM];
    size_t length = io_npy_header(array, header, sizeof header);
    if (!length)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s: %s: %zu bytes of kind '%c' do not fit its shape", path, array->name,
                         array->size, array->kind);
    unsigned char *bytes = malloc(length + array->size);
    char *name = hds_format("%s.npy", array->name);
    hds_status status = HDS_OK;
    zip_source_t *source = NULL;
    if (bytes && name) {
        memcpy(bytes, header, length);
        if (array->size)
            memcpy(bytes + length, array->data, array->size);
        source = zip_source_buffer(zip, bytes, length + array->size, 1);
    }
    if (!source) {
        free(bytes);
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: %s: out of memory", path, array->name);
    } else {
        zip_int64_t index = zip_file_add(zip, name, source, ZIP_FL_ENC_UTF_8);
        if (index < 0) {
            zip_source_free(source);
            status = hds_raise(error, HDS_ERROR_ARGUMENT, "%s: %s: %s", path, array->name,
                               zip_strerror(zip));
        } else {
            zip_file_set_dostime(zip, (zip_uint64_t)index, 0, 1 << 5 | 1, 0);
        }
    }
    hds_free(name);
    return status;
}

/* Writes what a closed in-memory archive holds to `path`. */
static hds_status save_source(zip_source_t *source, const char *path, hds_error *error)
{
    hds_status status = HDS_OK;
    zip_stat_t info;
    void *bytes = NULL;
    if (zip_source_stat(source, &info) || zip_source_open(source))
        return hds_raise(error, HDS_ERROR_INTERNAL, "%s: %s", path,
                         zip_error_strerror(zip_source_error(source)));
    bytes = malloc(info.size + 1);
    if (!bytes)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    else if (zip_source_read(source, bytes, info.size) != (zip_int64_t)info.size)
        status = hds_raise(error, HDS_ERROR_INTERNAL, "%s: %s", path,
                           zip_error_strerror(zip_source_error(source)));
    else
        status = io_write_atomic(path, bytes, info.size, error);
    free(bytes);
    zip_source_close(source);
    return status;
}

hds_status io_npz_write(const char *path, const io_array *arrays, size_t count, hds_error *error)
{
    zip_error_t problem;
    zip_error_init(&problem);
    if (!count)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: no array to write", path);
    zip_source_t *target = zip_source_buffer_create(NULL, 0, 0, &problem);
    zip_t *zip = target ? zip_open_from_source(target, ZIP_CREATE | ZIP_TRUNCATE, &problem) : NULL;
    hds_status status = HDS_OK;
    if (!zip) {
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: %s", path, zip_error_strerror(&problem));
        zip_source_free(target);
        zip_error_fini(&problem);
        return status;
    }
    zip_source_keep(target);
    for (size_t i = 0; i < count && !status; i++)
        status = add_array(zip, &arrays[i], path, error);
    if (!status && zip_close(zip))
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: %s", path, zip_strerror(zip));
    else if (!status)
        zip = NULL;
    if (zip)
        zip_discard(zip);
    if (!status)
        status = save_source(target, path, error);
    zip_source_free(target);
    zip_error_fini(&problem);
    return status;
}

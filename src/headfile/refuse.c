/* SPDX-License-Identifier: Apache-2.0 */
/* Refusing an array or a number of a head model by its place in the file. */
#include "headfile_priv.h"

#include <stdio.h>
#include <string.h>

void headfile_format_shape(char *text, size_t size, int dims, const int64_t *shape)
{
    size_t length = (size_t)snprintf(text, size, "(");
    for (int i = 0; i < dims && length + 24 < size; i++) {
        const char *comma = i ? "," : "";
        if (shape[i] == HEADFILE_ANY)
            length += (size_t)snprintf(text + length, size - length, "%sany", comma);
        else
            length += (size_t)snprintf(text + length, size - length, "%s%lld", comma,
                                       (long long)shape[i]);
    }
    snprintf(text + length, size - length, ")");
}

static bool has_shape(const io_array *array, int dims, const int64_t *shape, int64_t least)
{
    bool same = array->dims == dims;
    for (int d = 0; same && d < dims; d++)
        same = shape[d] == HEADFILE_ANY ? array->shape[d] >= least : array->shape[d] == shape[d];
    return same;
}

hds_status headfile_check_shape(const io_array *array, const char *name, int dims,
                                const int64_t *shape, int64_t least, const char *path,
                                hds_error *error)
{
    char expected[160], found[160];
    if (has_shape(array, dims, shape, least))
        return HDS_OK;
    headfile_format_shape(expected, sizeof expected, dims, shape);
    headfile_format_shape(found, sizeof found, array->dims, array->shape);
    return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s: shape %s, expected %s", path, name, found,
                     expected);
}

hds_status headfile_check_array(const io_array *array, const char *name, int dims,
                                const int64_t *shape, const char *path, hds_error *error)
{
    char expected[160], found[160];
    if (io_is_numeric(array) && has_shape(array, dims, shape, 1))
        return HDS_OK;
    headfile_format_shape(expected, sizeof expected, dims, shape);
    headfile_format_shape(found, sizeof found, array->dims, array->shape);
    return hds_raise(error, HDS_ERROR_FORMAT,
                     "%s: %s: %c%d of shape %s, expected numbers of shape %s", path, name,
                     array->kind, array->itemsize, found, expected);
}

hds_status headfile_raise_number(const char *path, const char *name, int dims, const int64_t *shape,
                                 size_t i, double found, const char *expected, hds_error *error)
{
    int64_t place[IO_MAX_DIMS];
    char text[160];
    for (int d = dims - 1; d >= 0; d--) {
        place[d] = (int64_t)(i % (size_t)shape[d]);
        i /= (size_t)shape[d];
    }
    headfile_format_shape(text, sizeof text, dims, place);
    return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s[%.*s] is %.10g, expected %s", path, name,
                     (int)strlen(text) - 2, text + 1, found, expected);
}

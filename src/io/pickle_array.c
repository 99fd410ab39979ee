/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's arrays in pickles:
 *     _reconstruct(ndarray, (0,), b'b') with state (1, shape, dtype, is_fortran, bytes)
 *     _frombuffer(bytes, dtype, shape, 'C' or 'F')                   (protocol 5)
 *     scalar(dtype, bytes)
 * where dtype is dtype('f8', ...) with state (3, '<', None, ...). */
#include "io_priv.h"

#include <stdio.h>
#include <string.h>

enum { DESCR_ROOM = 24 };

static hds_status read_dtype(io_array *array, const io_value *dtype, const char *where,
                             hds_error *error)
{
    char descr[DESCR_ROOM];
    const io_value *name = NULL, *state = NULL;
    if (io_value_is_of(dtype, "numpy.dtype")) {
        name = dtype->arguments->count ? dtype->arguments->items[0] : NULL;
        state = dtype->state;
    }
    if (!name || (name->kind != IO_VALUE_TEXT && name->kind != IO_VALUE_BYTES))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: array without a dtype", where);
    if (name->count && memchr("<>|=", name->bytes[0], 4))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: dtype %s, expected one like f4", where,
                         io_print(name->bytes, name->count).text);
    bool ordered = state && state->kind == IO_VALUE_TUPLE && state->count > 1;
    const char *order = ordered && io_value_is(state->items[1], ">") ? ">" : "<";
    /* the state of a record dtype has its fields third */
    if (ordered && state->count > 4 &&
        (state->items[2]->kind != IO_VALUE_NONE || state->items[3]->kind != IO_VALUE_NONE))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: is a record array, expected plain numbers",
                         where);
    snprintf(descr, sizeof descr, "%s%.20s", order, io_print(name->bytes, name->count).text);
    return io_npy_dtype(array, descr, where, error);
}

static bool read_shape(io_array *array, const io_value *shape)
{
    if (!shape || shape->kind != IO_VALUE_TUPLE || shape->count > IO_MAX_DIMS)
        return false;
    array->dims = (int)shape->count;
    for (size_t d = 0; d < shape->count; d++)
        if (!io_value_integer(shape->items[d], &array->shape[d]) || array->shape[d] < 0)
            return false;
    return true;
}

static bool is_true(const io_value *value)
{
    int64_t number = 0;
    return (value->kind == IO_VALUE_BOOL && value->truth) ||
           (io_value_integer(value, &number) && number);
}

hds_status io_value_array(io_array *array, const io_value *value, const char *where,
                          hds_error *error)
{
    const io_value *shape = NULL, *dtype = NULL, *data = NULL;
    const io_value *state = value ? value->state : NULL;
    bool fortran = false, scalar = false;
    *array = (io_array){ 0 };
    if (io_value_is_of(value, "numpy.core.multiarray._reconstruct") && state &&
        state->kind == IO_VALUE_TUPLE && state->count == 5) {
        shape = state->items[1];
        dtype = state->items[2];
        fortran = is_true(state->items[3]);
        data = state->items[4];
    } else if (io_value_is_of(value, "numpy.core.numeric._frombuffer") &&
               value->arguments->count == 4) {
        data = value->arguments->items[0];
        dtype = value->arguments->items[1];
        shape = value->arguments->items[2];
        fortran = io_value_is(value->arguments->items[3], "F");
    } else if (io_value_is_of(value, "numpy.core.multiarray.scalar") &&
               value->arguments->count == 2) {
        dtype = value->arguments->items[0];
        data = value->arguments->items[1];
        scalar = true;
    } else {
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: expected a NumPy array", where);
    }
    hds_status status = read_dtype(array, dtype, where, error);
    if (status)
        return status;
    if (!scalar && !read_shape(array, shape))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: expected a shape of at most %d lengths, none negative", where,
                         IO_MAX_DIMS);
    bool fits = io_shape_bytes(array->shape, array->dims, (size_t)array->itemsize, &array->size);
    if (!fits || data->kind != IO_VALUE_BYTES || data->count != array->size)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %zu bytes of data, its shape and dtype promise %s%zu", where,
                         data->kind == IO_VALUE_BYTES ? data->count : 0, fits ? "" : "more than ",
                         fits ? array->size : (size_t)PTRDIFF_MAX);
    return io_npy_fill(array, fortran, data->bytes, where, error);
}

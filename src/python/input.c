/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays in: anything with the buffer protocol, or a flat sequence of numbers, checked against the
 * type and the shape that a function wants. What fits is used in place, the rest is converted. */
#include "python.h"

#include "io/io.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_wanted(char format)
{
    return format == 'f'   ? "floats, integers or bools"
           : format == 'p' ? "floats in [0, 1]"
           : format == 'B' ? "uint8"
                           : "integers";
}

static size_t size_of(char format)
{
    return format == 'B' ? 1 : format == 'q' ? 8 : 4;
}

/* "(N, 4, h, w)": how many dimensions, and the extents, -1 for a letter. */
static int parse_pattern(const char *pattern, long extents[PYTHON_MAX_DIMS])
{
    int dims = 0;
    for (const char *p = pattern; *p; p++) {
        if (isalpha((unsigned char)*p))
            extents[dims++] = -1;
        else if (isdigit((unsigned char)*p))
            extents[dims++] = strtol(p, (char **)&p, 10);
        while (isalnum((unsigned char)*p))
            p++;
    }
    return dims;
}

static bool check_shape(const python_input *in, const char *name, const char *pattern)
{
    long extents[PYTHON_MAX_DIMS];
    int dims = parse_pattern(pattern, extents);
    bool fits = in->dims == dims;
    for (int i = 0; fits && i < dims; i++)
        fits = extents[i] < 0 || (size_t)extents[i] == in->shape[i];
    if (fits)
        return true;
    char found[128] = "";
    size_t used = 0;
    for (int i = 0; i < in->dims && used < sizeof found; i++)
        used +=
            (size_t)snprintf(found + used, sizeof found - used, i ? ", %zu" : "%zu", in->shape[i]);
    PyErr_Format(PyExc_ValueError, "%s: shape (%s%s), expected %s", name, found,
                 in->dims == 1 ? "," : "", pattern);
    return false;
}

/* What lies in a buffer of this format; false where that is no number of ours. */
static bool parse_format(const char *code, Py_ssize_t size, io_dtype *dtype)
{
    static const io_dtype with_sign[] = { IO_I8, IO_I16, IO_I32, IO_I64 };
    static const io_dtype without[] = { IO_U8, IO_U16, IO_U32, IO_U64 };
    static const struct {
        char code;
        io_dtype dtype;
    } others[] = { { 'e', IO_F16 }, { 'f', IO_F32 }, { 'd', IO_F64 }, { '?', IO_BOOL } };
    if (!code[0] || code[1])
        return false;
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (code[0] == others[i].code) {
            *dtype = others[i].dtype;
            return (size_t)size == io_dtype_size(*dtype);
        }
    for (int i = 0; i < 4 && strchr("bBhHiIlLqQnN", code[0]); i++)
        if (size == (Py_ssize_t)1 << i) {
            *dtype = islower((unsigned char)code[0]) ? with_sign[i] : without[i];
            return true;
        }
    return false;
}

static bool is_float(io_dtype dtype)
{
    return dtype == IO_F16 || dtype == IO_F32 || dtype == IO_F64;
}

/* Whether a function that wants one of the format takes it, converted where need be. */
static bool accepts(char format, io_dtype dtype)
{
    bool whole = dtype >= IO_I8 && dtype <= IO_U64;
    switch (format) {
    case 'f':
        return is_float(dtype) || whole || dtype == IO_BOOL;
    case 'p':
        return is_float(dtype);
    case 'B':
        return dtype == IO_U8;
    default:
        return whole;
    }
}

/* Of the uint64, those above the int64 turn negative and are refused as such. */
static int64_t read_integer(const char *at, io_dtype dtype)
{
    union {
        int8_t i1;
        int16_t i2;
        int32_t i4;
        int64_t i8;
        uint8_t u1;
        uint16_t u2;
        uint32_t u4;
    } u;
    memcpy(&u, at, io_dtype_size(dtype));
    switch (dtype) {
    case IO_I8:
        return u.i1;
    case IO_U8:
        return u.u1;
    case IO_I16:
        return u.i2;
    case IO_U16:
        return u.u2;
    case IO_I32:
        return u.i4;
    case IO_U32:
        return u.u4;
    default:
        return u.i8;
    }
}

static bool store_integer(python_input *in, size_t i, char format, int64_t integer,
                          const char *name)
{
    if (format == 'q') {
        ((int64_t *)in->copy)[i] = integer;
    } else if (integer < 0 || integer > (format == 'B' ? UINT8_MAX : UINT32_MAX)) {
        PyErr_Format(PyExc_ValueError, "%s: element %zu is out of range", name, i);
        return false;
    } else if (format == 'B') {
        ((uint8_t *)in->copy)[i] = (uint8_t)integer;
    } else {
        ((uint32_t *)in->copy)[i] = (uint32_t)integer;
    }
    return true;
}

static bool reserve(python_input *in, char format)
{
    in->copy = PyMem_Calloc(in->count ? in->count : 1, size_of(format));
    in->data = in->copy;
    if (!in->copy)
        PyErr_NoMemory();
    return in->copy != NULL;
}

/* Its type and its shape; false with an exception. */
static bool check_buffer(python_input *in, const char *name, char format, io_dtype *dtype)
{
    const char *code = in->view.format ? in->view.format : "B";
    const char *plain = *code == '@' || *code == '=' || *code == '<' ? code + 1 : code;
    bool known = parse_format(plain, in->view.itemsize, dtype);
    if (!known || !accepts(format, *dtype)) {
        const char *cure = known && format == 'p' ? "; bytes become those when divided by 255"
                           : known && format == 'B' && is_float(*dtype)
                               ? "; floats in [0, 1] become those times 255, rounded"
                               : "";
        PyErr_Format(PyExc_TypeError, "%s: an array of type '%s', expected %s%s", name, code,
                     type_wanted(format), cure);
        return false;
    }
    if (in->view.ndim > PYTHON_MAX_DIMS || in->view.ndim < 1) {
        PyErr_Format(PyExc_ValueError, "%s: %d dimensions, expected 1 to %d", name, in->view.ndim,
                     PYTHON_MAX_DIMS);
        return false;
    }
    if (!PyBuffer_IsContiguous(&in->view, 'C')) {
        PyErr_Format(PyExc_ValueError,
                     "%s: not C-contiguous; numpy.ascontiguousarray() makes it so", name);
        return false;
    }
    return true;
}

static bool from_buffer(python_input *in, PyObject *object, const char *name, char format)
{
    io_dtype dtype;
    if (PyObject_GetBuffer(object, &in->view, PyBUF_FULL_RO) != 0)
        return false;
    in->held = true;
    if (!check_buffer(in, name, format, &dtype))
        return false;
    in->dims = in->view.ndim;
    for (int i = 0; i < in->dims; i++)
        in->shape[i] = (size_t)in->view.shape[i];
    size_t size = io_dtype_size(dtype);
    in->count = (size_t)in->view.len / size;
    in->data = in->view.buf;
    bool floats = format == 'f' || format == 'p';
    bool same = floats          ? dtype == IO_F32
                : format == 'B' ? dtype == IO_U8
                : format == 'q' ? dtype == IO_I64
                                : dtype == IO_U32;
    if (same && (uintptr_t)in->data % size == 0)
        return true;
    if (!reserve(in, format))
        return false;
    if (floats)
        io_to_f32(in->view.buf, dtype, in->copy, in->count);
    for (size_t i = 0; i < in->count && !floats; i++)
        if (!store_integer(in, i, format, read_integer((char *)in->view.buf + i * size, dtype),
                           name))
            return false;
    return true;
}

static bool from_sequence(python_input *in, PyObject *object, const char *name, char format)
{
    Py_ssize_t count = PySequence_Size(object);
    if (count < 0)
        return false;
    in->dims = 1;
    in->shape[0] = in->count = (size_t)count;
    if (!reserve(in, format))
        return false;
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *item = PySequence_GetItem(object, i);
        if (!item)
            return false;
        int64_t integer = 0;
        if (format == 'f')
            ((float *)in->copy)[i] = (float)PyFloat_AsDouble(item);
        else
            integer = PyLong_AsLongLong(item);
        const char *type = PyErr_Occurred() ? "" : NULL;
        if (type && PyErr_ExceptionMatches(PyExc_TypeError))
            PyErr_Format(PyExc_TypeError, "%s: element %zd is not a number: %R", name, i, item);
        Py_DECREF(item);
        if (type || (format != 'f' && !store_integer(in, (size_t)i, format, integer, name)))
            return false;
    }
    return true;
}

bool python_input_get(python_input *in, PyObject *object, const char *name, char format,
                      const char *pattern)
{
    bool flat = strchr(pattern, ',') == NULL || strcmp(strchr(pattern, ','), ",)") == 0;
    bool raw = format == 'f' && (PyBytes_Check(object) || PyByteArray_Check(object));
    bool got;
    if (PyObject_CheckBuffer(object) && !raw) {
        got = from_buffer(in, object, name, format);
    } else if (flat && (PyList_Check(object) || PyTuple_Check(object))) {
        got = from_sequence(in, object, name, format);
    } else {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected an array %s of %s%s", name,
                     (PyObject *)Py_TYPE(object), pattern, type_wanted(format),
                     flat ? " or a list of numbers" : "");
        return false;
    }
    return got && check_shape(in, name, pattern);
}

void python_input_finish(python_input *in)
{
    if (in->held)
        PyBuffer_Release(&in->view);
    PyMem_Free(in->copy);
    *in = (python_input){ .held = false };
}

bool python_is_number(PyObject *object)
{
    return PyNumber_Check(object) && !PySequence_Check(object);
}

int python_input_dims(PyObject *object)
{
    Py_buffer view;
    if (!PyObject_CheckBuffer(object))
        return 1;
    if (PyObject_GetBuffer(object, &view, PyBUF_FULL_RO) != 0)
        return -1;
    int dims = view.ndim;
    PyBuffer_Release(&view);
    return dims;
}

/* (J, 3), or the same numbers in a row. */
static bool get_pose(python_input *in, PyObject *pose)
{
    int dims = python_input_dims(pose);
    return dims >= 0 && python_input_get(in, pose, "pose", 'f', dims == 1 ? "(N,)" : "(J, 3)");
}

bool python_coefficients_get(python_coefficients *c, PyObject *shape, PyObject *expression,
                             PyObject *pose)
{
    if ((shape && shape != Py_None && !python_input_get(&c->shape, shape, "shape", 'f', "(N,)")) ||
        (expression && expression != Py_None &&
         !python_input_get(&c->expression, expression, "expression", 'f', "(N,)")) ||
        (pose && pose != Py_None && !get_pose(&c->pose, pose)))
        return false;
    c->values = (hds_coefficients){
        .shape = c->shape.data,
        .shape_count = c->shape.count,
        .expression = c->expression.data,
        .expression_count = c->expression.count,
        .pose = c->pose.data,
        .pose_count = c->pose.count,
    };
    return true;
}

void python_coefficients_finish(python_coefficients *c)
{
    python_input_finish(&c->shape);
    python_input_finish(&c->expression);
    python_input_finish(&c->pose);
}

bool python_input_check(const python_input *in, const char *name, const size_t *extents)
{
    for (int d = 0; d < in->dims; d++)
        if (in->shape[d] != extents[d]) {
            PyErr_Format(PyExc_ValueError, "%s: axis %d has %zu entries, expected %zu", name, d,
                         in->shape[d], extents[d]);
            return false;
        }
    return true;
}

static bool get_control(python_input *in, PyObject *object, const char *name, size_t count,
                        size_t height, size_t width)
{
    const size_t wanted[] = { count, height, width, 3 };
    return python_input_get(in, object, name, 'p', count ? "(N, H, W, 3)" : "(H, W, 3)") &&
           python_input_check(in, name, count ? wanted : wanted + 1);
}

bool python_controls_get(python_controls *c, size_t count, size_t height, size_t width)
{
    PyObject *const objects[] = { c->depth, c->texture };
    const float scales[] = { c->depth_scale, c->texture_scale };
    static const char *const names[] = { "depth", "texture" };
    for (int i = 0; i < 2; i++) {
        if (objects[i] == Py_None)
            continue;
        if (!get_control(&c->inputs[i], objects[i], names[i], count, height, width))
            return false;
        c->list[c->count++] = (hds_control){ names[i], c->inputs[i].data, scales[i] };
    }
    return true;
}

void python_controls_finish(python_controls *c)
{
    for (int i = 0; i < 2; i++)
        python_input_finish(&c->inputs[i]);
}

/* Names the first character that no text has. */
static void refuse_character(PyObject *object, const char *name)
{
    Py_ssize_t length = PyUnicode_GetLength(object);
    for (Py_ssize_t i = 0; i < length; i++) {
        Py_UCS4 c = PyUnicode_ReadChar(object, i);
        char code[16];
        snprintf(code, sizeof code, "U+%04X", (unsigned)c);
        if (c == 0)
            PyErr_Format(PyExc_ValueError,
                         "%s: character %zd is NUL (U+0000), which no text has; it may have been "
                         "decoded from another encoding (UTF-16?)",
                         name, i);
        else if (c >= 0xd800 && c < 0xe000)
            PyErr_Format(PyExc_ValueError,
                         "%s: character %zd is half of a surrogate pair (%s), which no text has; "
                         "decode it anew, from UTF-8 or UTF-16",
                         name, i, code);
        else
            continue;
        return;
    }
}

const char *python_text_get(PyObject *object, const char *name)
{
    Py_ssize_t size = 0;
    if (!PyUnicode_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected str", name, (PyObject *)Py_TYPE(object));
        return NULL;
    }
    const char *utf8 = PyUnicode_AsUTF8AndSize(object, &size);
    if (utf8 && strlen(utf8) == (size_t)size)
        return utf8;
    if (utf8 || PyErr_ExceptionMatches(PyExc_UnicodeEncodeError)) {
        PyErr_Clear();
        refuse_character(object, name);
    }
    return NULL;
}

int python_text_convert(PyObject *object, void *text)
{
    python_text *t = text;
    if (t->optional && object == Py_None)
        return 1;
    const char *utf8 = python_text_get(object, t->name);
    t->utf8 = utf8 ? utf8 : t->utf8;
    return utf8 != NULL;
}

bool python_warn_cut(size_t index, const hds_text_cut *cut)
{
    return !*cut->words ||
           PyErr_WarnFormat(PyExc_UserWarning, 1,
                            "texts[%zu]: %zu tokens, of which the first 75 are taken; left out: %s",
                            index, cut->tokens, cut->words) == 0;
}

const char **python_texts_get(PyObject *texts, size_t *count, PyObject **holder)
{
    if (!PyList_Check(texts) && !PyTuple_Check(texts)) {
        PyErr_Format(PyExc_TypeError, "texts: %R, expected a list of str",
                     (PyObject *)Py_TYPE(texts));
        return NULL;
    }
    *holder = PySequence_Tuple(texts);
    *count = *holder ? (size_t)PyTuple_Size(*holder) : 0;
    const char **pointers = *holder ? PyMem_Calloc(*count + 1, sizeof *pointers) : NULL;
    for (size_t i = 0; pointers && i < *count; i++) {
        char name[40];
        snprintf(name, sizeof name, "texts[%zu]", i);
        pointers[i] = python_text_get(PyTuple_GetItem(*holder, (Py_ssize_t)i), name);
        if (!pointers[i]) {
            PyMem_Free(pointers);
            pointers = NULL;
        }
    }
    if (!pointers) {
        Py_CLEAR(*holder);
        if (!PyErr_Occurred())
            PyErr_NoMemory();
    }
    return pointers;
}

PyObject *python_strings(const char *const *strings, size_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *text =
            PyUnicode_DecodeUTF8(strings[i], (Py_ssize_t)strlen(strings[i]), "replace");
        if (!text || PyTuple_SetItem(tuple, (Py_ssize_t)i, text) != 0) {
            Py_DECREF(tuple);
            return NULL;
        }
    }
    return tuple;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays out: memoryviews over a small object that exports the buffer, so that NumPy is not needed
 * and numpy.asarray(view) copies nothing. */
#include "python.h"

typedef struct array_object {
    PyObject_HEAD
    PyObject *owner; /* whose memory it is; NULL: our own */
    void *data;
    char format[2];
    bool readonly;
    int dims;
    Py_ssize_t itemsize, size; /* bytes */
    Py_ssize_t shape[PYTHON_MAX_DIMS], strides[PYTHON_MAX_DIMS];
} array_object;

static int array_get_buffer(PyObject *self, Py_buffer *view, int flags)
{
    array_object *a = (array_object *)self;
    view->obj = NULL;
    if (a->readonly && (flags & PyBUF_WRITABLE) == PyBUF_WRITABLE) {
        PyErr_SetString(PyExc_BufferError, "this array belongs to headsds and is read-only");
        return -1;
    }
    *view = (Py_buffer){
        .buf = a->data,
        .obj = Py_NewRef(self),
        .len = a->size,
        .itemsize = a->itemsize,
        .readonly = a->readonly,
        .ndim = a->dims,
        .format = (flags & PyBUF_FORMAT) ? a->format : NULL,
        .shape = (flags & PyBUF_ND) ? a->shape : NULL,
        .strides = (flags & PyBUF_STRIDES) == PyBUF_STRIDES ? a->strides : NULL,
    };
    return 0;
}

static void array_dealloc(PyObject *self)
{
    array_object *a = (array_object *)self;
    PyTypeObject *type = Py_TYPE(self);
    if (a->owner)
        Py_DECREF(a->owner);
    else
        PyMem_Free(a->data);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyType_Slot array_slots[] = {
    { Py_tp_dealloc, array_dealloc },
    { Py_bf_getbuffer, array_get_buffer },
    { Py_tp_doc, "The memory behind a memoryview that headsds returned." },
    { 0, NULL },
};

PyType_Spec python_array_spec = {
    .name = "headsds._Array",
    .basicsize = sizeof(array_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = array_slots,
};

static Py_ssize_t size_of(char format)
{
    return format == 'B' ? 1 : format == 'q' ? 8 : 4;
}

/* A new array of a shape; false where its size overflows. */
static array_object *make(const python_state *state, char format, int dims, const size_t shape[])
{
    size_t size = (size_t)size_of(format);
    for (int i = 0; i < dims; i++)
        if (__builtin_mul_overflow(size, shape[i], &size) || size > PY_SSIZE_T_MAX) {
            PyErr_SetString(PyExc_MemoryError, "an array of this shape is too large");
            return NULL;
        }
    array_object *a = PyObject_New(array_object, state->array);
    if (!a)
        return NULL;
    a->owner = NULL;
    a->data = NULL;
    a->format[0] = format;
    a->format[1] = 0;
    a->readonly = false;
    a->dims = dims;
    a->itemsize = size_of(format);
    a->size = (Py_ssize_t)size;
    Py_ssize_t stride = a->itemsize;
    for (int i = dims - 1; i >= 0; i--) {
        a->shape[i] = (Py_ssize_t)shape[i];
        a->strides[i] = stride;
        stride *= a->shape[i];
    }
    return a;
}

static PyObject *view_of(array_object *a)
{
    PyObject *view = PyMemoryView_FromObject((PyObject *)a);
    Py_DECREF(a);
    return view;
}

PyObject *python_array_new(const python_state *state, char format, int dims, const size_t shape[],
                           void **data)
{
    array_object *a = make(state, format, dims, shape);
    if (!a)
        return NULL;
    a->data = *data = PyMem_Calloc(a->size ? (size_t)a->size : 1, 1);
    if (!a->data) {
        Py_DECREF(a);
        return PyErr_NoMemory();
    }
    return view_of(a);
}

PyObject *python_array_borrow(const python_state *state, PyObject *owner, const void *data,
                              char format, int dims, const size_t shape[])
{
    if (!data)
        Py_RETURN_NONE;
    array_object *a = make(state, format, dims, shape);
    if (!a)
        return NULL;
    a->owner = Py_NewRef(owner);
    a->data = (void *)data; /* guarded by readonly */
    a->readonly = true;
    return view_of(a);
}

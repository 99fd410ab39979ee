/* SPDX-License-Identifier: Apache-2.0 */
/* From a status to an exception: the one place. */
#include "python.h"

PyObject *python_raise(const python_state *state, hds_status status, const hds_error *error)
{
    if (PyErr_Occurred()) /* an interrupt's, or a callback's, that ended the work */
        return NULL;
    PyObject *type = state->error;
    switch (status) {
    case HDS_ERROR_ARGUMENT:
        type = PyExc_ValueError;
        break;
    case HDS_ERROR_NOT_FOUND:
        type = PyExc_FileNotFoundError;
        break;
    case HDS_ERROR_OS:
        type = PyExc_OSError;
        break;
    case HDS_ERROR_FORMAT:
        type = state->format_error;
        break;
    case HDS_ERROR_MEMORY:
        type = PyExc_MemoryError;
        break;
    case HDS_ERROR_CANCELLED:
        type = state->cancelled;
        break;
    case HDS_OK:
    case HDS_ERROR_INTERNAL:
        break;
    }
    PyErr_SetString(type, error->message);
    return NULL;
}

PyObject *python_finish(PyObject *self, PyObject *view, hds_status status, const hds_error *error)
{
    if (status == HDS_OK)
        return view;
    Py_DECREF(view);
    return python_raise(python_state_of(self), status, error);
}

bool python_add_errors(PyObject *module, python_state *state)
{
    state->error = PyErr_NewExceptionWithDoc(
        "headsds.Error", "What went wrong inside headsds, and is none of Python's own errors.",
        NULL, NULL);
    PyObject *bases = state->error ? PyTuple_Pack(2, state->error, PyExc_ValueError) : NULL;
    if (!bases)
        return false;
    state->format_error = PyErr_NewExceptionWithDoc(
        "headsds.FormatError",
        "A file is not what it says it is; the message names the file, the place, what was found "
        "and what was expected.",
        bases, NULL);
    Py_DECREF(bases);
    state->cancelled = PyErr_NewExceptionWithDoc(
        "headsds.Cancelled", "The generation was cancelled.", state->error, NULL);
    return state->format_error && state->cancelled &&
           PyModule_AddObjectRef(module, "Error", state->error) == 0 &&
           PyModule_AddObjectRef(module, "FormatError", state->format_error) == 0 &&
           PyModule_AddObjectRef(module, "Cancelled", state->cancelled) == 0;
}

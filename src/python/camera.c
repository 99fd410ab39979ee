/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments azimuth, elevation, distance and fov: a number each, or one for each of N pictures. */
#include "python/python.h"

static bool set(python_cameras *c, PyObject *object, const char *name, size_t offset)
{
    if (!object || object == Py_None)
        return true;
    if (PyFloat_Check(object) || PyLong_Check(object)) {
        double value = PyFloat_AsDouble(object);
        if (value == -1 && PyErr_Occurred())
            return false;
        for (size_t i = 0; i < c->count; i++)
            *(float *)((char *)&c->values[i] + offset) = (float)value;
        return true;
    }
    python_input in = { .held = false };
    bool good = python_input_get(&in, object, name, 'f', "(N,)") &&
                python_input_check(&in, name, &c->count);
    for (size_t i = 0; good && i < c->count; i++)
        *(float *)((char *)&c->values[i] + offset) = ((const float *)in.data)[i];
    python_input_finish(&in);
    return good;
}

/* N of the first argument that is no plain number. */
static bool count_cameras(python_cameras *c, PyObject *const objects[4])
{
    c->count = 1;
    for (int i = 0; i < 4 && !c->many; i++) {
        if (!objects[i] || objects[i] == Py_None || PyFloat_Check(objects[i]) ||
            PyLong_Check(objects[i]))
            continue;
        Py_ssize_t length = PyObject_Size(objects[i]);
        if (length < 0) {
            PyErr_Format(PyExc_TypeError, "%R: expected a number or a list of numbers", objects[i]);
            return false;
        }
        c->many = true;
        c->count = (size_t)length;
    }
    return true;
}

bool python_cameras_get(python_cameras *c, PyObject *azimuth, PyObject *elevation,
                        PyObject *distance, PyObject *fov)
{
    PyObject *const objects[4] = { azimuth, elevation, distance, fov };
    static const char *const names[] = { "azimuth", "elevation", "distance", "fov" };
    static const size_t offsets[] = { offsetof(hds_camera, azimuth),
                                      offsetof(hds_camera, elevation),
                                      offsetof(hds_camera, distance), offsetof(hds_camera, fov) };
    if (!count_cameras(c, objects))
        return false;
    c->values = PyMem_Calloc(c->count, sizeof *c->values);
    if (!c->values) {
        PyErr_NoMemory();
        return false;
    }
    for (int i = 0; i < 4; i++)
        if (!set(c, objects[i], names[i], offsets[i]))
            return false;
    return true;
}

void python_cameras_finish(python_cameras *c)
{
    PyMem_Free(c->values);
    *c = (python_cameras){ .values = NULL };
}

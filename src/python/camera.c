/* SPDX-License-Identifier: Apache-2.0 */
/* Arguments azimuth, elevation, distance and fov: a number each, or one for each of N pictures. */
#include "python.h"

enum { AXES = 4 };
static const struct {
    const char *name;
    size_t offset;
} axes[AXES] = {
    { "azimuth", offsetof(hds_camera, azimuth) },
    { "elevation", offsetof(hds_camera, elevation) },
    { "distance", offsetof(hds_camera, distance) },
    { "fov", offsetof(hds_camera, fov) },
};

static bool set(python_cameras *c, PyObject *object, const char *name, size_t offset)
{
    if (!object || object == Py_None)
        return true;
    if (python_is_number(object)) {
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
static bool count_cameras(python_cameras *c, PyObject *const objects[AXES])
{
    c->count = 1;
    for (int i = 0; i < AXES && !c->many; i++) {
        if (!objects[i] || objects[i] == Py_None || python_is_number(objects[i]))
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
    PyObject *const objects[AXES] = { azimuth, elevation, distance, fov };
    if (!count_cameras(c, objects))
        return false;
    c->values = PyMem_Calloc(c->count, sizeof *c->values);
    if (!c->values) {
        PyErr_NoMemory();
        return false;
    }
    for (int i = 0; i < AXES; i++)
        if (!set(c, objects[i], axes[i].name, axes[i].offset))
            return false;
    return true;
}

void python_cameras_finish(python_cameras *c)
{
    PyMem_Free(c->values);
    *c = (python_cameras){ .values = NULL };
}

const char python_draw_cameras_doc[] =
    "cameras($module, /, name, count, seed=0)\n--\n\n"
    "Cameras drawn from the ranges of a published system, as arguments for Head.render:\n"
    "head.render(**headsds.cameras('faceg2e-geometry', 8)).\n\n"
    "name: 'faceg2e-geometry', 'faceg2e-texture', 'faceg2e-edit-geometry', 'faceg2e-edit-texture', "
    "or\n"
    "'anihead', which states angles only: its distance and fov are 0, the head is framed. Returns "
    "a dict\n"
    "of azimuth, elevation, fov (degrees) and distance (metres), a list each. Raises ValueError.";

static PyObject *list_of(const hds_camera *cameras, size_t count, size_t offset)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; list && i < count; i++) {
        double value = *(const float *)((const char *)&cameras[i] + offset);
        PyObject *number = PyFloat_FromDouble(value);
        if (!number || PyList_SetItem(list, (Py_ssize_t)i, number))
            Py_CLEAR(list);
    }
    return list;
}

PyObject *python_draw_cameras(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "name", "count", "seed", NULL };
    python_text name = { .name = "name" };
    Py_ssize_t count;
    PyObject *seed_object = NULL;
    uint64_t seed = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O&n|O:cameras", names,
                                     python_text_convert, &name, &count, &seed_object) ||
        !python_seed_get(seed_object, &seed))
        return NULL;
    if (count < 0 || count > 1000000)
        return PyErr_Format(PyExc_ValueError, "count: %zd, expected 0 to 1000000", count);
    hds_camera *cameras = PyMem_Calloc((size_t)count + 1, sizeof *cameras);
    if (!cameras)
        return PyErr_NoMemory();
    hds_error error = { .status = HDS_OK };
    hds_status status = hds_cameras_draw(name.utf8, seed, (size_t)count, cameras, &error);
    PyObject *result =
        status == HDS_OK ? PyDict_New() : python_raise(PyModule_GetState(module), status, &error);
    for (int i = 0; result && i < AXES; i++) {
        PyObject *list = list_of(cameras, (size_t)count, axes[i].offset);
        if (!list || PyDict_SetItemString(result, axes[i].name, list))
            Py_CLEAR(result);
        Py_XDECREF(list);
    }
    PyMem_Free(cameras);
    return result;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `import torch` after headsds has opened another libtorch would crash the process; here it is an
 * ImportError. As Python:
 *
 *     class guard:
 *         def find_spec(name, path=None, target=None):
 *             if name == "torch" and headsds uses a libtorch:
 *                 found = importlib.machinery.PathFinder.find_spec(name)
 *                 if not samefile(found's lib/libtorch_cpu.so, headsds's):
 *                     raise ImportError
 *     sys.meta_path.insert(0, guard)                                                        */
#include "python.h"

#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* The folder of the package that `import torch` would take; new. None: there is none. */
static PyObject *folder_of_torch(void)
{
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *finder = machinery ? PyObject_GetAttrString(machinery, "PathFinder") : NULL;
    PyObject *spec = finder ? PyObject_CallMethod(finder, "find_spec", "s", "torch") : NULL;
    PyObject *folders = NULL, *folder = NULL;
    if (spec && spec != Py_None)
        folders = PyObject_GetAttrString(spec, "submodule_search_locations");
    if (folders && folders != Py_None)
        folder = PySequence_GetItem(folders, 0);
    else if (!PyErr_Occurred())
        folder = Py_NewRef(Py_None);
    Py_XDECREF(folders);
    Py_XDECREF(spec);
    Py_XDECREF(finder);
    Py_XDECREF(machinery);
    return folder;
}

/* Whether it brings a libtorch of its own that is not `ours`. */
static bool is_another(const char *folder, const char *ours)
{
    char theirs[4096];
    struct stat a, b;
    snprintf(theirs, sizeof theirs, "%s/lib/libtorch_cpu.so", folder);
    return stat(theirs, &a) == 0 && stat(ours, &b) == 0 &&
           (a.st_dev != b.st_dev || a.st_ino != b.st_ino);
}

static PyObject *find_spec(PyObject *unused, PyObject *arguments)
{
    const char *name, *ours = tn_library(), *path = NULL;
    PyObject *search, *target;
    if (!PyArg_ParseTuple(arguments, "s|OO", &name, &search, &target))
        return NULL;
    if (!ours || strcmp(name, "torch"))
        return Py_NewRef(Py_None);
    PyObject *folder = folder_of_torch();
    if (!folder)
        return NULL;
    if (PyUnicode_Check(folder))
        path = PyUnicode_AsUTF8AndSize(folder, NULL);
    if (path && is_another(path, ours))
        PyErr_Format(PyExc_ImportError,
                     "headsds has opened the libtorch %s, and a second one, that of %s, would "
                     "crash this process: import torch first, with a backend of headsds for it, or "
                     "in another process",
                     ours, path);
    Py_DECREF(folder);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

bool python_add_guard(void)
{
    static PyMethodDef method = { "find_spec", find_spec, METH_VARARGS, NULL };
    PyObject *finders = PySys_GetObject("meta_path"); /* borrowed */
    PyObject *types = PyImport_ImportModule("types");
    PyObject *guard = types ? PyObject_CallMethod(types, "SimpleNamespace", NULL) : NULL;
    PyObject *function = guard ? PyCFunction_New(&method, NULL) : NULL;
    bool done = function && finders && PyObject_SetAttrString(guard, "find_spec", function) == 0 &&
                PyList_Insert(finders, 0, guard) == 0;
    Py_XDECREF(function);
    Py_XDECREF(guard);
    Py_XDECREF(types);
    return done;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* `import torch` after headsds has opened another libtorch would crash the process; here it is an
 * ImportError. Whether there is a torch may be asked. As Python:
 *
 *     class guard:
 *         def find_spec(name, path=None, target=None):
 *             if name == "torch" and headsds uses a libtorch:
 *                 found = importlib.machinery.PathFinder.find_spec(name)
 *                 if not samefile(found's lib/libtorch_cpu.so, headsds's):
 *                     found.loader = refusal
 *                     return found
 *
 *     class refusal:
 *         def create_module(spec):
 *             raise ImportError
 *         exec_module = create_module
 *
 *     sys.meta_path.insert(0, guard)                                                        */
#include "python.h"

#include "tensor/tensor.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* What `import torch` would take; new. None: there is none. */
static PyObject *find_torch(void)
{
    PyObject *machinery = PyImport_ImportModule("importlib.machinery");
    PyObject *finder = machinery ? PyObject_GetAttrString(machinery, "PathFinder") : NULL;
    PyObject *spec = finder ? PyObject_CallMethod(finder, "find_spec", "s", "torch") : NULL;
    Py_XDECREF(finder);
    Py_XDECREF(machinery);
    return spec;
}

/* The folder of the package; new. None: it has none. */
static PyObject *folder_of(PyObject *spec)
{
    if (spec == Py_None)
        return Py_NewRef(spec);
    PyObject *folders = PyObject_GetAttrString(spec, "submodule_search_locations");
    PyObject *folder = folders && folders != Py_None ? PySequence_GetItem(folders, 0) : folders;
    if (folder != folders)
        Py_DECREF(folders);
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

/* create_module and exec_module of the loader */
static PyObject *refuse(PyObject *unused, PyObject *spec)
{
    const char *ours = tn_library();
    PyObject *folder = folder_of(spec);
    if (folder)
        PyErr_Format(PyExc_ImportError,
                     "headsds has opened the libtorch %s, and a second one, that of %S, would "
                     "crash this process: import torch first, with a backend of headsds for it, or "
                     "in another process",
                     ours, folder);
    Py_XDECREF(folder);
    return NULL;
}

/* types.SimpleNamespace with functions; new. */
static PyObject *object_of(PyMethodDef *first, PyMethodDef *second)
{
    PyMethodDef *const methods[] = { first, second };
    PyObject *types = PyImport_ImportModule("types");
    PyObject *object = types ? PyObject_CallMethod(types, "SimpleNamespace", NULL) : NULL;
    for (int i = 0; object && i < 2 && methods[i]; i++) {
        PyObject *function = PyCFunction_New(methods[i], NULL);
        if (!function || PyObject_SetAttrString(object, methods[i]->ml_name, function) != 0)
            Py_CLEAR(object);
        Py_XDECREF(function);
    }
    Py_XDECREF(types);
    return object;
}

/* Lets the spec be found, and its import fail; takes the spec. */
static PyObject *with_refusal(PyObject *spec)
{
    static PyMethodDef create = { "create_module", refuse, METH_O, NULL };
    static PyMethodDef exec = { "exec_module", refuse, METH_O, NULL };
    PyObject *loader = object_of(&create, &exec);
    if (!loader || PyObject_SetAttrString(spec, "loader", loader) != 0)
        Py_CLEAR(spec);
    Py_XDECREF(loader);
    return spec;
}

static PyObject *find_spec(PyObject *unused, PyObject *arguments)
{
    const char *name, *ours = tn_library(), *path = NULL;
    PyObject *search, *target;
    if (!PyArg_ParseTuple(arguments, "s|OO", &name, &search, &target))
        return NULL;
    if (!ours || strcmp(name, "torch"))
        return Py_NewRef(Py_None);
    PyObject *spec = find_torch(), *folder = spec ? folder_of(spec) : NULL;
    if (folder && PyUnicode_Check(folder))
        path = PyUnicode_AsUTF8AndSize(folder, NULL);
    bool another = path && is_another(path, ours), failed = !folder || PyErr_Occurred();
    Py_XDECREF(folder);
    if (another && !failed)
        return with_refusal(spec);
    Py_XDECREF(spec);
    return failed ? NULL : Py_NewRef(Py_None);
}

bool python_add_guard(void)
{
    static PyMethodDef method = { "find_spec", find_spec, METH_VARARGS, NULL };
    PyObject *finders = PySys_GetObject("meta_path"); /* borrowed */
    PyObject *guard = object_of(&method, NULL);
    bool done = guard && finders && PyList_Insert(finders, 0, guard) == 0;
    Py_XDECREF(guard);
    return done;
}

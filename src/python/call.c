/* SPDX-License-Identifier: Apache-2.0 */
/* The networks at work without the GIL, and the end of the interpreter. As Python:
 *
 *     atexit.register(end)    # in the main interpreter
 *
 *     def end():
 *         cancel all jobs, and wait until they have ended: calls in daemon threads end too */
#include "python.h"

#include <time.h>
#include <unistd.h>

static const double EVERY = 0.05; /* seconds between two looks for an interrupt */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Only the main thread runs the handlers of signals. */
static bool is_main_thread(void)
{
    return gettid() == getpid();
}

static bool interrupted(void *context)
{
    python_call *c = context;
    if (c->raised || now() < c->next)
        return c->raised;
    PyEval_RestoreThread(c->thread);
    c->raised = PyErr_CheckSignals() != 0;
    c->thread = PyEval_SaveThread();
    c->next = now() + EVERY;
    return c->raised;
}

void python_call_begin(python_call *c)
{
    *c = (python_call){ .watch = { is_main_thread() ? interrupted : NULL, c, NULL },
                        .next = now() + EVERY };
    work_watch_begin(&c->watch);
    c->thread = PyEval_SaveThread();
}

void python_call_end(python_call *c)
{
    work_watch_end(&c->watch);
    PyEval_RestoreThread(c->thread);
}

/* ---- the end ---- */

static bool give_up(void *context)
{
    PyThreadState **thread = context;
    PyEval_RestoreThread(*thread);
    bool raised = PyErr_CheckSignals() != 0;
    *thread = PyEval_SaveThread();
    return raised;
}

static PyObject *end(PyObject *self, PyObject *none)
{
    PyThreadState *thread = PyEval_SaveThread();
    work_end(give_up, &thread);
    PyEval_RestoreThread(thread);
    return PyErr_Occurred() ? NULL : Py_NewRef(Py_None);
}

bool python_add_end(void)
{
    static PyMethodDef method = { "end", end, METH_NOARGS, NULL };
    static bool closes;
    if (PyInterpreterState_GetID(PyInterpreterState_Get()) != 0)
        return true; /* the others end before the main one */
    work_open();
    /* When no Python runs any more, and libtorch is still whole. */
    if (!closes && Py_AtExit(work_close) == 0)
        closes = true;
    PyObject *module = PyImport_ImportModule("atexit");
    PyObject *function = module ? PyCFunction_New(&method, NULL) : NULL;
    PyObject *done = function ? PyObject_CallMethod(module, "register", "O", function) : NULL;
    Py_XDECREF(function);
    Py_XDECREF(module);
    Py_XDECREF(done);
    return done != NULL;
}

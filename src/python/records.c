/* SPDX-License-Identifier: Apache-2.0 */
/* Plain records with named fields: where a job is, and one line of a head's history. */
#include "python.h"

static PyStructSequence_Field history_fields[] = {
    { "stage", "name of the stage, 'geometry' or 'texture' in the default recipe" },
    { "step", "from 0 within the stage" },
    { "timestep", "mean diffusion timestep of the step's views, 0 to 999" },
    { "gradient_norm", "L2 norm of what the optimizer was given" },
    { "coefficient_norm", "root mean square of the shape coefficients, or of the change of the "
                          "texture" },
    { "residual", "root mean square of the weighted residual on the latents" },
    { NULL, NULL },
};
static PyStructSequence_Desc history_desc = { "headsds.HistoryEntry", "One step of a generation.",
                                              history_fields, 6 };

static PyStructSequence_Field progress_fields[] = {
    { "state", "'new', 'loading', 'preparing', 'running', 'done', 'cancelled' or 'failed'" },
    { "stage", "name of the stage that is due" },
    { "step", "steps done, over all stages" },
    { "step_count", "steps of all stages" },
    { "seconds", "since the start" },
    { "seconds_left", "estimated; None: not known yet" },
    { "last", "HistoryEntry of the last step" },
    { "prepared", "steps done of the preparation of this stage" },
    { "preparation_count", "steps of that preparation" },
    { NULL, NULL },
};
static PyStructSequence_Desc progress_desc = { "headsds.Progress", "Where a generation is.",
                                               progress_fields, 9 };

static PyStructSequence_Field fit_fields[] = {
    { "shape", "(S,) float32, standard deviations" },
    { "expression", "(E,) float32, weights" },
    { "offsets", "(V, 3) float32, metres at rest: what the model does not explain" },
    { "rotation", "(3, 3) float32, from the model's axes to the mesh's" },
    { "scale", "the mesh's units a metre" },
    { "translation", "(3,) float32, in the mesh's units" },
    { "rms", "root mean square length of the offsets, metres" },
    { NULL, NULL },
};
static PyStructSequence_Desc fit_desc = { "headsds.Fit",
                                          "A mesh taken apart: scale rotation (vertices(shape, "
                                          "expression) + offsets) + translation.",
                                          fit_fields, 7 };

bool python_add_records(PyObject *module, python_state *state)
{
    state->history = PyStructSequence_NewType(&history_desc);
    state->progress = PyStructSequence_NewType(&progress_desc);
    state->fit = PyStructSequence_NewType(&fit_desc);
    return state->history && state->progress && state->fit &&
           PyModule_AddObjectRef(module, "Fit", (PyObject *)state->fit) == 0 &&
           PyModule_AddObjectRef(module, "HistoryEntry", (PyObject *)state->history) == 0 &&
           PyModule_AddObjectRef(module, "Progress", (PyObject *)state->progress) == 0;
}

/* Fills a record with values, which it takes; NULL when one of them could not be made. */
static PyObject *record(PyTypeObject *type, PyObject *values[], Py_ssize_t count)
{
    PyObject *made = PyStructSequence_New(type);
    bool complete = made != NULL;
    for (Py_ssize_t i = 0; i < count; i++) {
        complete = complete && values[i];
        if (made && values[i])
            PyStructSequence_SetItem(made, i, values[i]);
        else
            Py_XDECREF(values[i]);
    }
    if (complete)
        return made;
    Py_XDECREF(made);
    return NULL;
}

static PyObject *history_entry(const python_state *state, const hds_history *line)
{
    PyObject *values[] = { PyUnicode_FromString(line->stage),
                           PyLong_FromLong(line->step),
                           PyFloat_FromDouble((double)line->timestep),
                           PyFloat_FromDouble((double)line->gradient_norm),
                           PyFloat_FromDouble((double)line->coefficient_norm),
                           PyFloat_FromDouble((double)line->residual) };
    return record(state->history, values, 6);
}

PyObject *python_history(const python_state *state, const hds_history *lines, size_t count)
{
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        PyObject *entry = history_entry(state, &lines[i]);
        if (!entry || PyTuple_SetItem(tuple, (Py_ssize_t)i, entry) != 0) {
            Py_DECREF(tuple);
            return NULL;
        }
    }
    return tuple;
}

PyObject *python_progress(const python_state *state, const hds_job_progress *progress)
{
    static const char *const states[] = { "new",  "loading",   "preparing", "running",
                                          "done", "cancelled", "failed" };
    PyObject *left = progress->seconds_left < 0 ? Py_NewRef(Py_None)
                                                : PyFloat_FromDouble(progress->seconds_left);
    PyObject *values[] = { PyUnicode_FromString(states[progress->state]),
                           PyUnicode_FromString(progress->stage),
                           PyLong_FromLong(progress->step),
                           PyLong_FromLong(progress->step_count),
                           PyFloat_FromDouble(progress->seconds),
                           left,
                           history_entry(state, &progress->last),
                           PyLong_FromLong(progress->prepared),
                           PyLong_FromLong(progress->preparation_count) };
    return record(state->progress, values, 9);
}

PyObject *python_fit(const python_state *state, PyObject *const arrays[5], const hds_fit *fit)
{
    PyObject *values[] = { arrays[0],
                           arrays[1],
                           arrays[2],
                           arrays[3],
                           PyFloat_FromDouble((double)fit->scale),
                           arrays[4],
                           PyFloat_FromDouble((double)fit->rms) };
    return record(state->fit, values, 7);
}

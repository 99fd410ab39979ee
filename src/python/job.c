/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Job, and generate(), which is a job made, started and waited for.
 *
 * The work runs on the core's own thread, which never touches Python; whoever waits does so in
 * short slices without the GIL, and calls on_progress between them. */
#include "python.h"

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

typedef struct job_object {
    PyObject_HEAD
    hds_job *job;
    PyObject *on_progress; /* or NULL */
    PyObject *model;       /* the caller's HeadModel or NULL */
} job_object;

static const double SLICE = 0.05; /* seconds; also how soon an interrupt is seen */

/* ---- arguments ---- */

typedef struct job_arguments {
    hds_generate_params params;
    python_settings settings;
    PyObject *model, *start_model, *on_progress; /* borrowed */
    PyObject *checkpoint, *report;               /* bytes, owned, or NULL */
} job_arguments;

bool python_seed_get(PyObject *object, uint64_t *seed)
{
    if (!object)
        return true;
    PyObject *whole = PyNumber_Index(object); /* of NumPy's integers too */
    if (!whole)
        return false;
    *seed = PyLong_AsUnsignedLongLong(whole);
    Py_DECREF(whole);
    if (!PyErr_Occurred())
        return true;
    if (PyErr_ExceptionMatches(PyExc_OverflowError)) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "seed: %R, expected 0 to 2**64 - 1", object);
    }
    return false;
}

static hds_job *make_job(const python_state *state, const hds_generate_params *params)
{
    hds_job *job = NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_job_create(&job, params, &error);
    Py_END_ALLOW_THREADS
    if (status != HDS_OK)
        python_raise(state, status, &error);
    return job;
}

/* *path of a path-like object, of *bytes; both NULL of None. */
static bool take_path(PyObject *object, PyObject **bytes, const char **path)
{
    if (object == Py_None)
        return true;
    if (!PyUnicode_FSConverter(object, bytes))
        return false;
    *path = PyBytes_AsString(*bytes);
    return true;
}

/* The arguments of Job() and of generate(); python_settings_finish(settings) afterwards. */
static bool take_arguments(const python_state *state, PyObject *arguments, PyObject *keywords,
                           const char *format, job_arguments *a)
{
    static char *names[] = { "prompt",   "head_model", "prior",   "negative_prompt", "seed",
                             "geometry", "texture",    "start",   "on_progress",     "checkpoint",
                             "resume",   "recipe",     "options", "report",          NULL };
    PyObject *prior = NULL, *seed = NULL, *geometry = NULL, *texture = NULL, *options = NULL;
    PyObject *start = NULL, *checkpoint = Py_None, *report = Py_None;
    python_text prompt = { .name = "prompt" },
                negative = { .name = "negative_prompt", .optional = true };
    python_text recipe = { .name = "recipe", .optional = true };
    hds_error error = { .status = HDS_OK };
    hds_generate_params *p = &a->params;
    int resume = 0;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, format, names, python_text_convert, &prompt, &a->model, &prior,
            python_text_convert, &negative, &seed, &geometry, &texture, &start, &a->on_progress,
            &checkpoint, &resume, python_text_convert, &recipe, &options, &report) ||
        !python_head_model_get(state, a->model, "head_model", &p->model) ||
        !python_prior_get(state, prior, "prior", &p->prior) ||
        !python_head_get(state, start, "start", &p->start, &a->start_model) ||
        !python_seed_get(seed, &p->seed) ||
        !python_settings_get(&a->settings, "geometry", "geometry", geometry) ||
        !python_settings_get(&a->settings, "texture", "texture", texture) ||
        !python_settings_get(&a->settings, "options", "", options))
        return false;
    p->prompt = prompt.utf8;
    p->negative_prompt = negative.utf8;
    if (recipe.utf8 && hds_recipe_find(&p->recipe, recipe.utf8, &error) != HDS_OK)
        return python_raise(state, error.status, &error);
    if (a->on_progress != Py_None && !PyCallable_Check(a->on_progress))
        return PyErr_Format(PyExc_TypeError, "on_progress: %R, expected a function or None",
                            (PyObject *)Py_TYPE(a->on_progress));
    if (!take_path(checkpoint, &a->checkpoint, &p->checkpoint) ||
        !take_path(report, &a->report, &p->report))
        return false;
    p->resume = resume != 0;
    p->settings = a->settings.settings;
    p->setting_count = a->settings.count;
    return true;
}

static PyObject *create(const python_state *state, PyObject *arguments, PyObject *keywords,
                        const char *format)
{
    job_arguments a = { .on_progress = Py_None };
    hds_job *job = NULL;
    if (take_arguments(state, arguments, keywords, format, &a))
        job = make_job(state, &a.params);
    Py_XDECREF(a.checkpoint);
    Py_XDECREF(a.report);
    python_settings_finish(&a.settings);
    job_object *self = job ? PyObject_GC_New(job_object, state->job) : NULL;
    if (!self) {
        hds_job_destroy(&job);
        return NULL;
    }
    self->job = job;
    self->on_progress = a.on_progress == Py_None ? NULL : Py_NewRef(a.on_progress);
    self->model = a.params.model ? Py_NewRef(a.model) : Py_XNewRef(a.start_model);
    PyObject_GC_Track(self);
    return (PyObject *)self;
}

static PyObject *job_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    return create(PyType_GetModuleState(type), arguments, keywords, "O&|OO$O&OOOOOOpO&OO:Job");
}

static int job_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(((job_object *)self)->on_progress);
    Py_VISIT(((job_object *)self)->model);
    return 0;
}

static int job_clear(PyObject *self)
{
    Py_CLEAR(((job_object *)self)->on_progress);
    Py_CLEAR(((job_object *)self)->model);
    return 0;
}

/* Cancels and waits for the core's thread, so that no work outlives its job. */
static void job_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    hds_job *job = ((job_object *)self)->job;
    Py_BEGIN_ALLOW_THREADS
    hds_job_destroy(&job);
    Py_END_ALLOW_THREADS
    job_clear(self);
    PyObject_GC_Del(self);
    Py_DECREF(type);
}

/* ---- waiting ---- */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Calls on_progress where something has changed since *last. */
static bool report(job_object *self, hds_job_progress *last)
{
    hds_job_progress progress;
    hds_job_get_progress(self->job, &progress);
    bool same = progress.state == last->state && progress.step == last->step &&
                progress.prepared == last->prepared && !strcmp(progress.stage, last->stage);
    *last = progress;
    if (same || !self->on_progress)
        return true;
    PyObject *record = python_progress(python_state_of((PyObject *)self), &progress);
    PyObject *function = Py_NewRef(self->on_progress);
    PyObject *result = record ? PyObject_CallFunctionObjArgs(function, record, NULL) : NULL;
    Py_DECREF(function);
    Py_XDECREF(record);
    Py_XDECREF(result);
    return result != NULL;
}

/* The head; None when seconds (< 0: for ever) have passed; NULL with the job's or a callback's
 * exception or an interrupt, which leave the job as it is. */
static PyObject *wait_for(job_object *self, double seconds)
{
    const python_state *state = python_state_of((PyObject *)self);
    hds_job_progress last = { .step = -1 };
    double end = now() + seconds;
    for (;;) {
        double slice = seconds < 0 ? SLICE : fmin(SLICE, fmax(end - now(), 0));
        hds_head *head = NULL;
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = hds_job_wait(self->job, slice, &head, &error);
        Py_END_ALLOW_THREADS
        if (!report(self, &last) || PyErr_CheckSignals() != 0) {
            hds_head_unref(head);
            return NULL;
        }
        if (status != HDS_OK)
            return python_raise(state, status, &error);
        if (head)
            return python_head_wrap(state, head, self->model);
        if (seconds >= 0 && now() >= end)
            Py_RETURN_NONE;
    }
}

PyDoc_STRVAR(start_doc,
"start($self, /)\n--\n\nStart the work on a thread of its own, and return.");

static PyObject *job_start(PyObject *self, PyObject *none)
{
    hds_error error = { .status = HDS_OK };
    hds_status status = hds_job_start(((job_object *)self)->job, &error);
    if (status != HDS_OK)
        return python_raise(python_state_of(self), status, &error);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(progress_doc, "progress($self, /)\n--\n\nA Progress: where the job is. Any thread.");

static PyObject *job_progress(PyObject *self, PyObject *none)
{
    hds_job_progress progress;
    hds_job_get_progress(((job_object *)self)->job, &progress);
    return python_progress(python_state_of(self), &progress);
}

PyDoc_STRVAR(preview_doc,
"preview($self, /)\n--\n\nThe Head as of the last whole step; None before the first.");

static PyObject *job_preview(PyObject *self, PyObject *none)
{
    hds_head *head;
    Py_BEGIN_ALLOW_THREADS
    head = hds_job_preview(((job_object *)self)->job);
    Py_END_ALLOW_THREADS
    if (!head)
        Py_RETURN_NONE;
    return python_head_wrap(python_state_of(self), head, ((job_object *)self)->model);
}

PyDoc_STRVAR(cancel_doc,
"cancel($self, /)\n--\n\n"
"Ask the job to end; it does within one step, and wait() then raises Cancelled. Any thread.");

static PyObject *job_cancel(PyObject *self, PyObject *none)
{
    hds_job_cancel(((job_object *)self)->job);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(wait_doc,
"wait($self, /, timeout=None)\n--\n\n"
"Wait until the job has ended and return its Head; None when timeout seconds have passed\n"
"before.\n\n"
"Other Python threads run meanwhile. on_progress is called from here. Raises what the job failed\n"
"with, Cancelled, what on_progress raises, and KeyboardInterrupt; the last two leave the job\n"
"running: cancel() ends it.");

static PyObject *job_wait(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "timeout", NULL };
    PyObject *timeout = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:wait", names, &timeout))
        return NULL;
    double seconds = timeout == Py_None ? -1 : PyFloat_AsDouble(timeout);
    if (PyErr_Occurred())
        return NULL;
    if (timeout != Py_None && !(seconds >= 0))
        return PyErr_Format(PyExc_ValueError, "timeout: %R, expected seconds from 0, or None",
                            timeout);
    hds_job_progress progress;
    hds_job_get_progress(((job_object *)self)->job, &progress);
    if (progress.state == HDS_JOB_NEW) {
        PyErr_SetString(python_state_of(self)->error, "the job has not been started: start() it");
        return NULL;
    }
    return wait_for((job_object *)self, seconds);
}

const char python_generate_doc[] = PyDoc_STR(
"generate($module, /, prompt, head_model=None, prior=None, *, negative_prompt=None, seed=0,\n"
"         geometry={}, texture={}, start=None, on_progress=None, checkpoint=None,\n"
"         resume=False, recipe=None, options={}, report=None)\n--\n\n"
"Make a Head from a prompt: score distillation on shape, then on the texture.\n\n"
"prompt: not empty; the head moves toward it and away from negative_prompt; None is the prior's\n"
"neutral prompt. head_model, prior: None takes the built-in samples. seed: 0 to 2**64 - 1; equal\n"
"seeds give equal heads.\n"
"recipe: a name of recipes(); None takes the default. options: {'STAGE.OPTION': value} changes of\n"
"it; options() has all of them with their ranges. geometry, texture: the same for the stages of\n"
"these names, without 'STAGE.': geometry={'steps': 50}; None skips the stage.\n"
"start: a Head to start from, on this head model: its shape and its texture are where the stages\n"
"start and the target of weight_decay, its expression, pose and offsets stay as they are.\n"
"on_progress: called with a Progress from the calling thread, at most 20 times a second.\n"
"checkpoint: a file to keep the state in; with resume=True the run goes on from it when it is\n"
"there.\n"
"report: an HTML file to write when the run has ended: prompt, options, pictures, curves, times.\n\n"
"Other Python threads run meanwhile. An exception of on_progress, or an interrupt, cancels the\n"
"run and comes through. Raises ValueError, FormatError, OSError, Cancelled, Error.");

PyObject *python_generate(PyObject *module, PyObject *arguments, PyObject *keywords)
{
    const python_state *state = PyModule_GetState(module);
    PyObject *job = create(state, arguments, keywords, "O&|OO$O&OOOOOOpO&OO:generate");
    if (!job)
        return NULL;
    PyObject *started = job_start(job, NULL);
    PyObject *head = started ? wait_for((job_object *)job, -1) : NULL;
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback); /* the job's end must not disturb it */
    Py_XDECREF(started);
    Py_DECREF(job);
    PyErr_Restore(type, value, traceback);
    return head;
}

static PyMethodDef job_methods[] = {
    { "start", job_start, METH_NOARGS, start_doc },
    { "progress", job_progress, METH_NOARGS, progress_doc },
    { "preview", job_preview, METH_NOARGS, preview_doc },
    { "cancel", job_cancel, METH_NOARGS, cancel_doc },
    { "wait", (PyCFunction)(void (*)(void))job_wait, METH_VARARGS | METH_KEYWORDS, wait_doc },
    { NULL, NULL, 0, NULL },
};

PyDoc_STRVAR(job_doc,
"Job(prompt, head_model=None, prior=None, *, negative_prompt=None, seed=0, geometry={}, texture={},\n"
"    start=None, on_progress=None, checkpoint=None, resume=False, recipe=None, options={},\n"
"    report=None)\n--\n\n"
"A generation on a thread of its own; the arguments are those of generate().\n\n"
"start() begins, progress() and preview() look, cancel() ends it, wait() gives the Head. When the\n"
"object goes, a running job is cancelled.");

static PyType_Slot job_slots[] = {
    { Py_tp_doc, (void *)job_doc },
    { Py_tp_new, job_new },
    { Py_tp_dealloc, job_dealloc },
    { Py_tp_traverse, job_traverse },
    { Py_tp_clear, job_clear },
    { Py_tp_methods, job_methods },
    { 0, NULL },
};

PyType_Spec python_job_spec = {
    .name = "headsds.Job",
    .basicsize = sizeof(job_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_HAVE_GC,
    .slots = job_slots,
};

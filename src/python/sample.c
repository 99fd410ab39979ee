/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Prior.sample: pictures from a prompt. */
#include "python.h"

#include <string.h>

const char python_sample_doc[] = PyDoc_STR(
"sample($self, /, prompt, *, negative_prompt='', scheduler=None, steps=25, guidance_scale=7.5,\n"
"       seed=0, image=None, strength=0.8, image_guidance_scale=1.5, noise=None, height=None,\n"
"       width=None, depth=None, depth_scale=1.0, texture=None, texture_scale=1.0,\n"
"       on_progress=None)\n"
"--\n\n"
"A picture (height, width, 3), float32 RGB in [0, 1], of a prompt.\n\n"
"scheduler: 'ddim', 'ddpm', 'pndm', 'euler', 'euler_ancestral', 'unipc' or 'dpm++_2m'; None is\n"
"the one that the prior's folder names. height, width: multiples of 8; None is the size of image,\n"
"else the one that the prior was trained for.\n"
"image: (H, W, 3), float in [0, 1], to begin with; strength in (0, 1] is the share of the steps\n"
"that is run on it. A prior that edits (InstructPix2Pix) changes image as the prompt says, from\n"
"noise, and stays the nearer to it the higher image_guidance_scale is.\n"
"depth, texture: pictures (height, width, 3) in [0, 1] for the ControlNets that the prior was\n"
"loaded with.\n"
"noise: (1, 4, height/8, width/8), to begin with in place of the seed's.\n"
"on_progress: called as on_progress(step, steps, latents) before the first step (0) and after\n"
"each, with the latents (1, 4, height/8, width/8) so far, of which decode_latents() makes a\n"
"preview.\n\n"
"Other Python threads run meanwhile. An exception of on_progress, or an interrupt, ends it within\n"
"one step and comes through. Raises ValueError, FormatError, Error.");

typedef struct watch {
    const python_state *state;
    PyObject *on_progress; /* borrowed, or NULL */
    size_t h, w;           /* of the latents */
    python_call *call;
} watch;

/* With the GIL. */
static bool report(const watch *w, int step, int steps, const float *latents)
{
    if (PyErr_CheckSignals() != 0)
        return false;
    if (!w->on_progress)
        return true;
    void *data;
    PyObject *view = python_array_new(w->state, 'f', 4, (size_t[]){ 1, 4, w->h, w->w }, &data);
    if (!view)
        return false;
    memcpy(data, latents, 4 * w->h * w->w * sizeof *latents);
    PyObject *result = PyObject_CallFunction(w->on_progress, "iiO", step, steps, view);
    Py_DECREF(view);
    Py_XDECREF(result);
    return result != NULL;
}

static bool on_step(void *context, int step, int steps, const float *latents)
{
    watch *w = context;
    PyEval_RestoreThread(w->call->thread);
    bool raised = !report(w, step, steps, latents);
    w->call->thread = PyEval_SaveThread();
    return !raised;
}

/* None, or a size. */
static bool get_size(PyObject *object, const char *name, size_t *size)
{
    if (object == Py_None)
        return true;
    long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred())
        return false;
    if (value < 8 || value % 8) {
        PyErr_Format(PyExc_ValueError, "%s: %ld, expected a multiple of 8", name, value);
        return false;
    }
    *size = (size_t)value;
    return true;
}

/* An array where it is not None, whose shape is the one that is wanted. */
static bool get_array(python_input *in, PyObject *object, const char *name, char format,
                      const char *pattern, const size_t *shape)
{
    if (object == Py_None)
        return true;
    return python_input_get(in, object, name, format, pattern) &&
           (!shape || python_input_check(in, name, shape));
}

static PyObject *run(const python_state *state, hds_prior *prior, hds_sample_params *params,
                     watch *w)
{
    size_t height, width;
    void *pixels;
    hds_sample_size(prior, params, &height, &width);
    w->h = height / 8;
    w->w = width / 8;
    PyObject *view = python_array_new(state, 'f', 3, (size_t[]){ height, width, 3 }, &pixels);
    if (!view)
        return NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    params->progress = on_step;
    params->context = w;
    PYTHON_BEGIN_WORK
    w->call = &call_;
    status = hds_prior_sample(prior, params, pixels, &error);
    PYTHON_END_WORK
    if (status == HDS_OK)
        return view;
    Py_DECREF(view);
    return python_raise(state, status, &error);
}

PyObject *python_sample(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "prompt",        "negative_prompt", "scheduler",
                             "steps",         "guidance_scale",  "seed",
                             "image",         "strength",        "image_guidance_scale",
                             "noise",         "height",          "width",
                             "depth",         "depth_scale",     "texture",
                             "texture_scale", "on_progress",     NULL };
    const python_state *state = python_state_of(self);
    hds_sample_params params = {
        .steps = 25, .guidance_scale = 7.5f, .strength = 0.8f, .image_guidance_scale = 1.5f
    };
    PyObject *image = Py_None, *noise = Py_None, *height = Py_None, *width = Py_None;
    PyObject *on_progress = Py_None, *view = NULL;
    python_controls controls = PYTHON_CONTROLS;
    PyObject *seed = NULL;
    python_text prompt = { .name = "prompt" }, negative = { .name = "negative_prompt" };
    python_text scheduler = { .name = "scheduler", .optional = true };
    hds_prior *prior;
    if (!PyArg_ParseTupleAndKeywords(
            arguments, keywords, "O&|$O&O&ifOOffOOOOfOfO:sample", names, python_text_convert,
            &prompt, python_text_convert, &negative, python_text_convert, &scheduler, &params.steps,
            &params.guidance_scale, &seed, &image, &params.strength, &params.image_guidance_scale,
            &noise, &height, &width, &controls.depth, &controls.depth_scale, &controls.texture,
            &controls.texture_scale, &on_progress) ||
        !python_prior_get(state, self, "self", &prior) || !python_seed_get(seed, &params.seed) ||
        !get_size(height, "height", &params.height) || !get_size(width, "width", &params.width))
        return NULL;
    if (on_progress != Py_None && !PyCallable_Check(on_progress))
        return PyErr_Format(PyExc_TypeError, "on_progress: %R, expected a function or None",
                            (PyObject *)Py_TYPE(on_progress));
    if (params.steps < 1 || !(params.guidance_scale > 0) || !(params.strength > 0) ||
        !(params.image_guidance_scale > 0))
        return PyErr_Format(PyExc_ValueError, "steps, guidance_scale, strength and "
                                              "image_guidance_scale are positive numbers");
    params.prompt = prompt.utf8;
    params.negative_prompt = negative.utf8;
    params.scheduler = scheduler.utf8;
    python_input picture = { .held = false }, start = { .held = false };
    bool good = get_array(&picture, image, "image", 'p', "(H, W, 3)", NULL);
    if (good && picture.data) {
        params.image = picture.data;
        params.height = params.height ? params.height : picture.shape[0];
        params.width = params.width ? params.width : picture.shape[1];
        if (picture.shape[0] != params.height || picture.shape[1] != params.width) {
            PyErr_Format(PyExc_ValueError, "image: %zux%zu pixels, expected %zux%zu",
                         picture.shape[1], picture.shape[0], params.width, params.height);
            good = false;
        }
    }
    if (good) {
        size_t rows, columns;
        hds_sample_size(prior, &params, &rows, &columns);
        good = get_array(&start, noise, "noise", 'f', "(1, 4, h, w)",
                         (size_t[]){ 1, 4, rows / 8, columns / 8 }) &&
               python_controls_get(&controls, 0, rows, columns);
        params.noise = start.data;
        params.controls = controls.list;
        params.control_count = controls.count;
    }
    watch w = { .state = state, .on_progress = on_progress == Py_None ? NULL : on_progress };
    if (good)
        view = run(state, prior, &params, &w);
    python_input_finish(&picture);
    python_input_finish(&start);
    python_controls_finish(&controls);
    return view;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the extension module share: its state, errors, arrays in and out.
 *
 * Functions that return PyObject * return a new reference, or NULL with an exception set; those
 * that return bool return false with an exception set. */
#ifndef HDS_PYTHON_H
#define HDS_PYTHON_H

#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>

#include "base/base.h"
#include "headsds/headsds.h"

#include <stdbool.h>

typedef struct python_state {
    PyObject *error, *format_error, *cancelled;
    PyTypeObject *array, *head_model, *prior, *clip, *head, *job, *progress, *history, *fit;
} python_state;

/* self's state; only for objects of this module's own types, which nobody can subclass. */
static inline python_state *python_state_of(PyObject *self)
{
    return PyType_GetModuleState(Py_TYPE(self));
}

/* ---- errors.c ---- */

bool python_add_errors(PyObject *module, python_state *state);
bool python_add_guard(void); /* guard.c: `import torch` beside another libtorch */
/* Sets the exception that a status stands for; returns NULL. */
PyObject *python_raise(const python_state *state, hds_status status, const hds_error *error);
/* The result of a call that filled `view`, which it takes: it, or an exception. */
PyObject *python_finish(PyObject *self, PyObject *view, hds_status status, const hds_error *error);

/* ---- call.c: the networks at work without the GIL ---- */

/* Between PYTHON_BEGIN_WORK and PYTHON_END_WORK an interrupt ends the work within one operation:
 * the status is HDS_ERROR_CANCELLED then, and python_raise leaves the exception of the interrupt.
 */
typedef struct python_call {
    PyThreadState *thread;
    work_watch watch;
    bool raised; /* an exception is set */
    double next; /* when to look again */
} python_call;
#define PYTHON_BEGIN_WORK                                                                          \
    {                                                                                              \
        python_call call_;                                                                         \
        python_call_begin(&call_);
#define PYTHON_END_WORK                                                                            \
    python_call_end(&call_);                                                                       \
    }
void python_call_begin(python_call *c);
void python_call_end(python_call *c);
bool python_add_end(void); /* what is at work when the interpreter ends, ends before it */

/* ---- array.c: out ---- */

enum { PYTHON_MAX_DIMS = 4 };
extern PyType_Spec python_array_spec;
/* A memoryview of C-ordered data with shape and format ('f' 'B' 'I' 'q'). Zeroed and writable, its
 * memory in *data; the view owns it. */
PyObject *python_array_new(const python_state *state, char format, int dims, const size_t shape[],
                           void **data);
/* Read-only, of data that lives as long as owner; None where data is NULL. */
PyObject *python_array_borrow(const python_state *state, PyObject *owner, const void *data,
                              char format, int dims, const size_t shape[]);

/* ---- input.c: in ---- */

/* An array argument, held until python_input_finish. Zero-initialise it. */
typedef struct python_input {
    Py_buffer view;
    bool held;
    void *copy;
    const void *data; /* C order, of the format asked for */
    int dims;
    size_t shape[PYTHON_MAX_DIMS], count;
} python_input;
/* format: 'f' from floats, integers and bools; 'p', float32 of a picture in [0,1], from floats
 * only, as integers would be in another range; 'B' from uint8; 'q' and 'I' from any integers.
 * pattern: the shape wanted, as errors show it: "(N, 4, h, w)", letters stand for any extent. Flat
 * sequences of numbers are fine where the pattern has one dimension. */
bool python_is_number(PyObject *object); /* also NumPy's scalars, but none of its arrays */
int python_input_dims(PyObject *object); /* of an argument; a list has one; -1: an exception */
bool python_input_get(python_input *in, PyObject *object, const char *name, char format,
                      const char *pattern);
/* Whether an input has these extents, one for each of its axes; else ValueError. */
bool python_input_check(const python_input *in, const char *name, const size_t *extents);
void python_input_finish(python_input *in);

/* Arguments shape, expression and pose, each an array or None. Zero-initialise it. */
typedef struct python_coefficients {
    python_input shape, expression, pose;
    hds_coefficients values;
} python_coefficients;
bool python_coefficients_get(python_coefficients *c, PyObject *shape, PyObject *expression,
                             PyObject *pose);
void python_coefficients_finish(python_coefficients *c);

/* ---- camera.c ---- */

/* Arguments azimuth, elevation, distance, fov: a number, a list of N or None. Zero-initialise it.
 */
typedef struct python_cameras {
    hds_camera *values;
    size_t count;
    bool many; /* one of them was a list */
} python_cameras;
bool python_cameras_get(python_cameras *c, PyObject *azimuth, PyObject *elevation,
                        PyObject *distance, PyObject *fov);
void python_cameras_finish(python_cameras *c);
PyObject *python_draw_cameras(PyObject *module, PyObject *arguments, PyObject *keywords);
extern const char python_draw_cameras_doc[];

/* Pictures for ControlNets, each an array or None, and their scales. Begin with PYTHON_CONTROLS. */
typedef struct python_controls {
    PyObject *depth, *texture; /* borrowed */
    float depth_scale, texture_scale;
    python_input inputs[2];
    hds_control list[2]; /* (count) */
    size_t count;
} python_controls;
#define PYTHON_CONTROLS                                                                            \
    {                                                                                              \
        .depth = Py_None, .texture = Py_None, .depth_scale = 1, .texture_scale = 1                 \
    }
/* (count, height, width, 3), or with count 0 (height, width, 3). */
bool python_controls_get(python_controls *c, size_t count, size_t height, size_t width);
void python_controls_finish(python_controls *c);

/* A str argument as UTF-8, and the converter for "O&" that fills it; borrowed from the object. NUL
 * and lone surrogates, which no text has, are refused by the argument's name. */
typedef struct python_text {
    const char *name; /* of the argument */
    const char *utf8; /* as it was, where the argument is not given or None is allowed and given */
    bool optional;    /* None is allowed */
} python_text;
int python_text_convert(PyObject *object, void *text);
/* Likewise of any object, a str or not; NULL with an exception. */
const char *python_text_get(PyObject *object, const char *name);
/* Warns of what was cut off from texts[index]. */
bool python_warn_cut(size_t index, const hds_text_cut *cut);

/* A list of str as UTF-8, `count` pointers, for PyMem_Free; what they point to lives in *holder. */
const char **python_texts_get(PyObject *texts, size_t *count, PyObject **holder);

/* 0 to 2^64 - 1; NULL is 0. */
bool python_seed_get(PyObject *object, uint64_t *seed);

PyObject *python_strings(const char *const *strings, size_t count); /* a tuple of str */

/* ---- the types ---- */

extern PyType_Spec python_head_model_spec, python_prior_spec, python_clip_spec, python_head_spec,
    python_job_spec;

/* Each takes the reference, also when it fails. */
PyObject *python_head_model_wrap(const python_state *state, hds_head_model *model);
/* model: the wrapper of the head's model if there is one already, else NULL. */
PyObject *python_prior_wrap(const python_state *state, hds_prior *prior);
PyObject *python_head_wrap(const python_state *state, hds_head *head, PyObject *model);

/* The handle of an argument that may be None (NULL then), borrowed. */
bool python_head_model_get(const python_state *state, PyObject *object, const char *name,
                           hds_head_model **model);
bool python_prior_get(const python_state *state, PyObject *object, const char *name,
                      hds_prior **prior);
/* Likewise; *model is the wrapper of its model, borrowed, or as it was. */
bool python_head_get(const python_state *state, PyObject *object, const char *name, hds_head **head,
                     PyObject **model);

/* Of a headsds.Head, borrowed. */
hds_head *python_head_of(PyObject *head);

bool python_add_records(PyObject *module, python_state *state); /* records.c */
PyObject *python_history(const python_state *state, const hds_history *lines, size_t count);
PyObject *python_progress(const python_state *state, const hds_job_progress *progress);
/* arrays: shape, expression, offsets, rotation, translation, which it takes. */
PyObject *python_fit(const python_state *state, PyObject *const arrays[5], const hds_fit *fit);

/* Settings of a run from dicts of options; zero-initialise it, and finish it also after a failure.
 */
typedef struct python_settings {
    hds_setting *settings;
    size_t count;
} python_settings;
/* Adds those of a dict (NULL: none). stage: what begins their names, or "" where the keys have it;
 * None skips that stage. argument: for messages. */
bool python_settings_get(python_settings *s, const char *argument, const char *stage,
                         PyObject *object);
void python_settings_finish(python_settings *s);
PyObject *python_recipes(PyObject *module, PyObject *none);
extern const char python_recipes_doc[];
PyObject *python_options(PyObject *module, PyObject *none);
extern const char python_options_doc[];

PyObject *python_vertices(PyObject *head_model, PyObject *arguments, PyObject *keywords);
extern const char python_vertices_doc[];
PyObject *python_vertices_gradient(PyObject *head_model, PyObject *arguments, PyObject *keywords);
extern const char python_vertices_gradient_doc[];
PyObject *python_generate(PyObject *module, PyObject *arguments, PyObject *keywords);
extern const char python_generate_doc[];
PyObject *python_prior_load(PyObject *type, PyObject *arguments, PyObject *keywords);
extern const char python_prior_load_doc[];
PyObject *python_predict_noise(PyObject *prior, PyObject *arguments, PyObject *keywords);
extern const char python_predict_noise_doc[];
PyObject *python_attention_maps(PyObject *prior, PyObject *arguments, PyObject *keywords);
extern const char python_attention_maps_doc[];
PyObject *python_sample(PyObject *prior, PyObject *arguments, PyObject *keywords);
extern const char python_sample_doc[];
PyObject *python_uv_map(PyObject *head, PyObject *arguments, PyObject *keywords);
extern const char python_uv_map_doc[];
PyObject *python_unwrap(PyObject *head, PyObject *arguments, PyObject *keywords);
extern const char python_unwrap_doc[];
PyObject *python_uv_mirror(PyObject *head_model, PyObject *arguments, PyObject *keywords);
extern const char python_uv_mirror_doc[];

#endif

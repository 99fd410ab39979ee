/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Prior.predict_noise and attention_maps: one run of the UNet. */
#include "python.h"

#include <string.h>

const char python_predict_noise_doc[] = PyDoc_STR(
"predict_noise($self, /, latents, timestep, text, depth=None, depth_scale=1.0, texture=None,\n"
"              texture_scale=1.0)\n--\n\n"
"The UNet's noise (N, 4, h, w), float32.\n\n"
"latents (N, 4, h, w); timestep: a number from 0 to timestep_count - 1, fractions allowed, or one\n"
"for each item, (N,); text (N, 77, text_width), or (N, 77 k, text_width) of long texts. depth, texture: pictures (N, 8 h, 8 w, 3) in\n"
"[0, 1] for the ControlNets that the prior was loaded with.");

const char python_attention_maps_doc[] = PyDoc_STR(
"attention_maps($self, /, latents, timestep, text, *, tokens=None, heights=None, depth=None,\n"
"               depth_scale=1.0, texture=None, texture_scale=1.0)\n--\n\n"
"(noise, maps): predict_noise() of the same arguments, and where the UNet looked for the text's\n"
"words meanwhile, a dict from the name of each cross-attention to its map (N, rows, columns,\n"
"tokens), float32: softmax over all tokens, the mean over the heads.\n\n"
"tokens: places in the text, from 0; None is all. heights: of the maps that are wanted, h, h/2 ...;\n"
"None is all. Hertz et al., 'Prompt-to-prompt', 2022. Raises ValueError.");

/* The arguments that both have. */
typedef struct inputs {
    hds_prior *prior;
    PyObject *objects[3]; /* latents, timestep, text; borrowed */
    python_controls controls;
    python_input latents, timesteps, text;
} inputs;

/* One number for all, or (N,). */
static bool get_timesteps(python_input *in, PyObject *timestep, size_t count)
{
    if (!python_is_number(timestep)) {
        if (!python_input_get(in, timestep, "timestep", 'f', "(N,)"))
            return false;
        if (in->count == count)
            return true;
        PyErr_Format(PyExc_ValueError,
                     "timestep: %zu numbers, expected 1 or one for each of %zu "
                     "latents",
                     in->count, count);
        return false;
    }
    double value = PyFloat_AsDouble(timestep);
    if (value == -1 && PyErr_Occurred())
        return false;
    float *copy = PyMem_Calloc(count + 1, sizeof *copy);
    in->data = in->copy = copy;
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = (float)value;
    if (!copy)
        PyErr_NoMemory();
    return copy != NULL;
}

static bool check_text(const inputs *in)
{
    hds_prior_info info;
    hds_prior_get_info(in->prior, &info);
    size_t width = (size_t)info.text_width, count = in->latents.shape[0];
    if (in->text.shape[0] == count && in->text.shape[2] == width && in->text.shape[1] > 0 &&
        in->text.shape[1] % HDS_TOKENS == 0)
        return true;
    PyErr_Format(PyExc_ValueError,
                 "text: shape (%zu, %zu, %zu), expected (%zu, 77, %zu), or a multiple of 77",
                 in->text.shape[0], in->text.shape[1], in->text.shape[2], count, width);
    return false;
}

static bool get_inputs(inputs *in)
{
    return python_input_get(&in->latents, in->objects[0], "latents", 'f', "(N, 4, h, w)") &&
           get_timesteps(&in->timesteps, in->objects[1], in->latents.shape[0]) &&
           python_input_get(&in->text, in->objects[2], "text", 'f', "(N, T, C)") &&
           check_text(in) &&
           python_controls_get(&in->controls, in->latents.shape[0], 8 * in->latents.shape[2],
                               8 * in->latents.shape[3]);
}

static void finish_inputs(inputs *in)
{
    python_input_finish(&in->latents);
    python_input_finish(&in->timesteps);
    python_input_finish(&in->text);
    python_controls_finish(&in->controls);
}

static hds_predict_params params_of(const inputs *in)
{
    return (hds_predict_params){ .count = in->latents.shape[0],
                                 .h = in->latents.shape[2],
                                 .w = in->latents.shape[3],
                                 .latents = in->latents.data,
                                 .timesteps = in->timesteps.data,
                                 .tokens = in->text.shape[1],
                                 .text = in->text.data,
                                 .controls = in->controls.list,
                                 .control_count = in->controls.count };
}

PyObject *python_predict_noise(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "latents",     "timestep", "text",          "depth",
                             "depth_scale", "texture",  "texture_scale", NULL };
    const python_state *state = python_state_of(self);
    inputs in = { .controls = PYTHON_CONTROLS };
    PyObject *view = NULL;
    if (!python_prior_get(state, self, "self", &in.prior) ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|OfOf:predict_noise", names,
                                     &in.objects[0], &in.objects[1], &in.objects[2],
                                     &in.controls.depth, &in.controls.depth_scale,
                                     &in.controls.texture, &in.controls.texture_scale))
        return NULL;
    void *noise;
    if (get_inputs(&in))
        view = python_array_new(state, 'f', 4, in.latents.shape, &noise);
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        const hds_predict_params params = params_of(&in);
        PYTHON_BEGIN_WORK
        status = hds_prior_predict_noise(in.prior, &params, noise, &error);
        PYTHON_END_WORK
        if (status != HDS_OK) {
            Py_DECREF(view);
            view = python_raise(state, status, &error);
        }
    }
    finish_inputs(&in);
    return view;
}

/* None, or whole numbers from 0: *list is new (PyMem), *count how many. */
static bool get_numbers(PyObject *object, const char *name, size_t **list, size_t *count)
{
    if (object == Py_None)
        return true;
    PyObject *items = PySequence_Tuple(object);
    if (!items)
        return false;
    *count = (size_t)PyTuple_Size(items);
    *list = PyMem_Calloc(*count + 1, sizeof **list);
    bool good = *list != NULL;
    if (!good)
        PyErr_NoMemory();
    for (size_t i = 0; good && i < *count; i++) {
        long value = PyLong_AsLong(PyTuple_GetItem(items, (Py_ssize_t)i));
        good = !PyErr_Occurred();
        if (good && (value < 0 || value > 1 << 20)) {
            PyErr_Format(PyExc_ValueError, "%s[%zu]: %ld, expected a whole number from 0", name, i,
                         value);
            good = false;
        }
        (*list)[i] = (size_t)value;
    }
    Py_DECREF(items);
    return good;
}

/* (noise, {name: map}) */
static PyObject *result_of(const python_state *state, const inputs *in, const hds_attention *a)
{
    void *data;
    size_t count = in->latents.shape[0];
    PyObject *noise = python_array_new(state, 'f', 4, in->latents.shape, &data);
    PyObject *maps = noise ? PyDict_New() : NULL;
    if (noise)
        memcpy(data, a->noise, in->latents.count * sizeof(float));
    for (size_t i = 0; maps && i < a->map_count; i++) {
        const hds_attention_map *m = &a->maps[i];
        size_t shape[4] = { count, m->rows, m->columns, a->token_count };
        PyObject *view = python_array_new(state, 'f', 4, shape, &data);
        if (view)
            memcpy(data, m->weights, count * m->rows * m->columns * a->token_count * sizeof(float));
        if (!view || PyDict_SetItemString(maps, m->name, view) != 0)
            Py_CLEAR(maps);
        Py_XDECREF(view);
    }
    PyObject *both = maps ? PyTuple_Pack(2, noise, maps) : NULL;
    Py_XDECREF(noise);
    Py_XDECREF(maps);
    return both;
}

PyObject *python_attention_maps(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "latents", "timestep",    "text",    "tokens",        "heights",
                             "depth",   "depth_scale", "texture", "texture_scale", NULL };
    const python_state *state = python_state_of(self);
    inputs in = { .controls = PYTHON_CONTROLS };
    PyObject *tokens_object = Py_None, *heights_object = Py_None, *result = NULL;
    if (!python_prior_get(state, self, "self", &in.prior) ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO|$OOOfOf:attention_maps", names,
                                     &in.objects[0], &in.objects[1], &in.objects[2], &tokens_object,
                                     &heights_object, &in.controls.depth, &in.controls.depth_scale,
                                     &in.controls.texture, &in.controls.texture_scale))
        return NULL;
    size_t *token_list = NULL, *heights = NULL;
    enum { MOST = HDS_TOKENS * HDS_MAX_CHUNKS };
    int tokens[MOST];
    hds_attention_params params = { .tokens = NULL };
    bool good = get_inputs(&in) &&
                get_numbers(tokens_object, "tokens", &token_list, &params.token_count) &&
                get_numbers(heights_object, "heights", &heights, &params.height_count);
    if (good && params.token_count > MOST) {
        PyErr_Format(PyExc_ValueError, "tokens: %zu of them, expected at most %d",
                     params.token_count, MOST);
        good = false;
    }
    if (good) {
        for (size_t i = 0; i < params.token_count; i++)
            tokens[i] = (int)token_list[i];
        params.predict = params_of(&in);
        params.tokens = token_list ? tokens : NULL;
        params.heights = heights;
        hds_attention *attention = NULL;
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status = hds_prior_attention(in.prior, &params, &attention, &error);
        PYTHON_END_WORK
        result = status == HDS_OK ? result_of(state, &in, attention)
                                  : python_raise(state, status, &error);
        hds_attention_destroy(&attention);
    }
    PyMem_Free(token_list);
    PyMem_Free(heights);
    finish_inputs(&in);
    return result;
}

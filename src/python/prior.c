/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Prior: what hds_prior is to C. */
#include "python.h"

typedef struct prior_object {
    PyObject_HEAD
    hds_prior *prior;
} prior_object;

static hds_prior_info info_of(PyObject *self)
{
    hds_prior_info info;
    hds_prior_get_info(((prior_object *)self)->prior, &info);
    return info;
}

bool python_prior_get(const python_state *state, PyObject *object, const char *name,
                      hds_prior **prior)
{
    *prior = NULL;
    if (!object || object == Py_None)
        return true;
    if (!Py_IS_TYPE(object, state->prior)) {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected a headsds.Prior or None", name,
                     (PyObject *)Py_TYPE(object));
        return false;
    }
    *prior = ((prior_object *)object)->prior;
    return true;
}

static void prior_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hds_prior_unref(((prior_object *)self)->prior);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *prior_repr(PyObject *self)
{
    hds_prior_info info = info_of(self);
    return PyUnicode_FromFormat("<headsds.Prior %s>", info.path ? info.path : "(built-in)");
}

PyObject *python_prior_wrap(const python_state *state, hds_prior *prior)
{
    prior_object *self = PyObject_New(prior_object, state->prior);
    if (self)
        self->prior = prior;
    else
        hds_prior_unref(prior);
    return (PyObject *)self;
}

PyDoc_STRVAR(tokenize_doc,
"tokenize($self, texts, /)\n--\n\n"
"Token ids (N, 77), int64, of a list of N str: start, at most 75 tokens, end, padding. Of a longer\n"
"text only the first 75 tokens, with a warning that says what was left out; encode_text() takes\n"
"all of it.");

/* Warns of what does not fit. */
static bool warn(PyObject *self, const char *const *texts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        hds_text_cut cut;
        hds_error error = { .status = HDS_OK };
        hds_status status =
            hds_prior_get_cut(((prior_object *)self)->prior, texts[i], &cut, &error);
        if (status != HDS_OK)
            return python_raise(python_state_of(self), status, &error);
        if (!python_warn_cut(i, &cut))
            return false;
    }
    return true;
}

static PyObject *prior_tokenize(PyObject *self, PyObject *object)
{
    size_t count;
    PyObject *holder = NULL;
    const char **texts = python_texts_get(object, &count, &holder);
    if (!texts)
        return NULL;
    void *ids;
    PyObject *view =
        python_array_new(python_state_of(self), 'q', 2, (size_t[]){ count, HDS_TOKENS }, &ids);
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = hds_prior_tokenize(((prior_object *)self)->prior, texts, count, ids, &error);
        Py_END_ALLOW_THREADS
        view = python_finish(self, view, status, &error);
    }
    if (view && !warn(self, texts, count))
        Py_CLEAR(view);
    PyMem_Free(texts);
    Py_DECREF(holder);
    return view;
}

PyDoc_STRVAR(encode_text_doc,
"encode_text($self, texts, /)\n--\n\n"
"Text states (N, 77, text_width), float32, of a list of N str. Where one has more than 75 tokens,\n"
"(N, 77 k, text_width): the texts in k chunks of 75 tokens, each with its start and end; shorter\n"
"texts are repeated until they fill as many. Raises ValueError for more than 16 chunks.");

static PyObject *prior_encode_text(PyObject *self, PyObject *object)
{
    hds_prior *prior = ((prior_object *)self)->prior;
    size_t count, chunks;
    PyObject *holder = NULL, *view = NULL;
    const char **texts = python_texts_get(object, &count, &holder);
    if (!texts)
        return NULL;
    void *states;
    hds_error error = { .status = HDS_OK };
    hds_status status = hds_prior_count_chunks(prior, texts, count, &chunks, &error);
    if (status == HDS_OK) {
        size_t extents[3] = { count, chunks * HDS_TOKENS, (size_t)info_of(self).text_width };
        view = python_array_new(python_state_of(self), 'f', 3, extents, &states);
    } else {
        python_raise(python_state_of(self), status, &error);
    }
    if (view) {
        Py_BEGIN_ALLOW_THREADS
        status = hds_prior_encode_texts(prior, texts, count, chunks, states, &error);
        Py_END_ALLOW_THREADS
        view = python_finish(self, view, status, &error);
    }
    PyMem_Free(texts);
    Py_DECREF(holder);
    return view;
}

static PyObject *encode(PyObject *self, const int64_t *ids, size_t count)
{
    size_t extents[3] = { count, HDS_TOKENS, (size_t)info_of(self).text_width };
    void *states;
    PyObject *view = python_array_new(python_state_of(self), 'f', 3, extents, &states);
    if (!view)
        return NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    PYTHON_BEGIN_WORK
    status = hds_prior_encode_tokens(((prior_object *)self)->prior, ids, count, states, &error);
    PYTHON_END_WORK
    return python_finish(self, view, status, &error);
}

PyDoc_STRVAR(encode_tokens_doc,
"encode_tokens($self, ids, /)\n--\n\n"
"Text states (N, 77, text_width), float32, of token ids (N, 77), any integer type: the last\n"
"hidden state after the final layer norm. Raises ValueError for an id outside the vocabulary.");

static PyObject *prior_encode_tokens(PyObject *self, PyObject *object)
{
    python_input ids = { .held = false };
    PyObject *states = NULL;
    if (python_input_get(&ids, object, "ids", 'q', "(N, 77)"))
        states = encode(self, ids.data, ids.shape[0]);
    python_input_finish(&ids);
    return states;
}

PyDoc_STRVAR(encode_image_doc,
"encode_image($self, image, /)\n--\n\n"
"Latents (N, 4, H/8, W/8), float32, of pictures (N, H, W, 3), float RGB in [0, 1], H and W\n"
"multiples of 8: the mean of the posterior, scaled as the UNet wants it.");

static PyObject *prior_encode_image(PyObject *self, PyObject *object)
{
    python_input image = { .held = false };
    PyObject *view = NULL;
    if (!python_input_get(&image, object, "image", 'p', "(N, H, W, 3)"))
        goto done;
    const size_t *s = image.shape;
    if (s[1] == 0 || s[2] == 0 || s[1] % 8 || s[2] % 8) {
        PyErr_Format(PyExc_ValueError, "image: %zu x %zu pixels, expected multiples of 8", s[1],
                     s[2]);
        goto done;
    }
    size_t extents[4] = { s[0], (size_t)info_of(self).latent_channels, s[1] / 8, s[2] / 8 };
    void *latents;
    view = python_array_new(python_state_of(self), 'f', 4, extents, &latents);
    if (!view)
        goto done;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    PYTHON_BEGIN_WORK
    status = hds_prior_encode_image(((prior_object *)self)->prior, image.data, s[0], s[1], s[2],
                                    latents, &error);
    PYTHON_END_WORK
    view = python_finish(self, view, status, &error);
done:
    python_input_finish(&image);
    return view;
}

PyDoc_STRVAR(decode_latents_doc,
"decode_latents($self, latents, /)\n--\n\n"
"Pictures (N, 8 h, 8 w, 3), float32 in [0, 1], of latents (N, 4, h, w).");

static PyObject *prior_decode_latents(PyObject *self, PyObject *object)
{
    python_input latents = { .held = false };
    void *images;
    PyObject *view = NULL;
    if (python_input_get(&latents, object, "latents", 'f', "(N, 4, h, w)")) {
        size_t extents[4] = { latents.shape[0], 8 * latents.shape[2], 8 * latents.shape[3], 3 };
        view = python_array_new(python_state_of(self), 'f', 4, extents, &images);
    }
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status =
            hds_prior_decode_latents(((prior_object *)self)->prior, latents.data, latents.shape[0],
                                     latents.shape[2], latents.shape[3], images, &error);
        PYTHON_END_WORK
        view = python_finish(self, view, status, &error);
    }
    python_input_finish(&latents);
    return view;
}

static PyObject *get_path(PyObject *self, void *closure)
{
    hds_prior_info info = info_of(self);
    if (!info.path)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(info.path);
}

static PyObject *get_notes(PyObject *self, void *closure)
{
    hds_prior_info info = info_of(self);
    if (!info.notes)
        Py_RETURN_NONE;
    return PyUnicode_DecodeFSDefault(info.notes);
}

/* closure: the offset of a string in the info. */
static PyObject *get_text(PyObject *self, void *closure)
{
    hds_prior_info info = info_of(self);
    return PyUnicode_FromString(*(const char *const *)((const char *)&info + (size_t)closure));
}

/* closure: the offset of an int in the info. */
static PyObject *get_int(PyObject *self, void *closure)
{
    hds_prior_info info = info_of(self);
    return PyLong_FromLong(*(const int *)((const char *)&info + (size_t)closure));
}

static PyObject *get_edits(PyObject *self, void *closure)
{
    return PyBool_FromLong(info_of(self).edits);
}

static PyObject *get_alphas(PyObject *self, void *closure)
{
    hds_prior_info info = info_of(self);
    size_t extents[1] = { (size_t)info.timestep_count };
    return python_array_borrow(python_state_of(self), self, info.alphas_cumprod, 'f', 1, extents);
}

static PyMethodDef prior_methods[] = {
    { "load", (PyCFunction)(void (*)(void))python_prior_load,
      METH_VARARGS | METH_KEYWORDS | METH_CLASS, python_prior_load_doc },
    { "tokenize", prior_tokenize, METH_O, tokenize_doc },
    { "encode_text", prior_encode_text, METH_O, encode_text_doc },
    { "encode_tokens", prior_encode_tokens, METH_O, encode_tokens_doc },
    { "encode_image", prior_encode_image, METH_O, encode_image_doc },
    { "decode_latents", prior_decode_latents, METH_O, decode_latents_doc },
    { "predict_noise", (PyCFunction)(void (*)(void))python_predict_noise,
      METH_VARARGS | METH_KEYWORDS, python_predict_noise_doc },
    { "attention_maps", (PyCFunction)(void (*)(void))python_attention_maps,
      METH_VARARGS | METH_KEYWORDS, python_attention_maps_doc },
    { "sample", (PyCFunction)(void (*)(void))python_sample, METH_VARARGS | METH_KEYWORDS,
      python_sample_doc },
    { NULL, NULL, 0, NULL },
};

#define AT(field) (void *)offsetof(hds_prior_info, field)
static PyGetSetDef prior_getters[] = {
    { "path", get_path, NULL, "The folder or file.", NULL },
    { "text_width", get_int, NULL, "C of the text states.", AT(text_width) },
    { "latent_channels", get_int, NULL, "4", AT(latent_channels) },
    { "sample_size", get_int, NULL, "Height and width of the latents the UNet was trained for.",
      AT(sample_size) },
    { "timestep_count", get_int, NULL, "Timesteps of the schedule.", AT(timestep_count) },
    { "device", get_text, NULL, "Where it runs: 'cpu', 'cuda' or 'cuda:N'.", AT(device) },
    { "dtype", get_text, NULL,
      "What the matrices of UNet and ControlNets are kept in: 'float32', 'bfloat16', 'float16'.",
      AT(dtype) },
    { "notes", get_notes, NULL, "What of its files was left out, a line each; None: nothing.",
      NULL },
    { "edits", get_edits, NULL, "Whether sample() changes a picture (InstructPix2Pix).", NULL },
    { "alphas_cumprod", get_alphas, NULL, "(timestep_count,) float32: the share of signal left.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(prior_doc,
"A frozen latent diffusion model: Stable Diffusion, or the built-in sample prior.\n\n"
"Prior.load() makes one. It may be shared: calls from several threads take turns, and let other\n"
"Python threads run.");

static PyType_Slot prior_slots[] = {
    { Py_tp_doc, (void *)prior_doc }, { Py_tp_dealloc, prior_dealloc }, { Py_tp_repr, prior_repr },
    { Py_tp_methods, prior_methods }, { Py_tp_getset, prior_getters },  { 0, NULL },
};

PyType_Spec python_prior_spec = {
    .name = "headsds.Prior",
    .basicsize = sizeof(prior_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = prior_slots,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Clip: what hds_clip is to C. */
#include "python.h"

typedef struct clip_object {
    PyObject_HEAD
    hds_clip *clip;
} clip_object;

static hds_clip *clip_of(PyObject *self)
{
    return ((clip_object *)self)->clip;
}

static hds_clip_info info_of(PyObject *self)
{
    hds_clip_info info;
    hds_clip_get_info(clip_of(self), &info);
    return info;
}

static void clip_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hds_clip_destroy(&((clip_object *)self)->clip);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *clip_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<headsds.Clip %s>", info_of(self).path);
}

PyDoc_STRVAR(load_doc,
"load($type, /, path, *, device='auto', dtype='auto')\n--\n\n"
"Load CLIP's text and vision towers.\n\n"
"path: a folder as openai/clip-vit-base-patch32 is published, with config.json,\n"
"model.safetensors, preprocessor_config.json and the tokenizer's files.\n"
"device: 'cpu', 'cuda' or 'cuda:N'; 'auto' is CUDA where there is one.\n"
"dtype: what the matrices of both towers are kept in, and computed in where the device has\n"
"instructions for it, else in float32: 'float32', 'bfloat16', 'float16'. 'auto' is, of a vision\n"
"tower of 256 channels or more, float16 on CUDA and bfloat16 on a processor that computes in it,\n"
"else float32.\n\n"
"Raises ValueError; FileNotFoundError; FormatError naming a tensor that is missing, left over or\n"
"of another shape, or a configuration that is not this kind of network.");

static PyObject *clip_load(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "path", "device", "dtype", NULL };
    const python_state *state = PyType_GetModuleState((PyTypeObject *)type);
    PyObject *path = NULL;
    hds_clip_params params = { .path = NULL };
    python_text device = { .name = "device" }, dtype = { .name = "dtype" };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O&|$O&O&:load", names,
                                     PyUnicode_FSConverter, &path, python_text_convert, &device,
                                     python_text_convert, &dtype))
        return NULL;
    params.device = device.utf8;
    params.dtype = dtype.utf8;
    params.path = PyBytes_AsString(path);
    hds_clip *clip = NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    PYTHON_BEGIN_WORK
    status = hds_clip_load(&clip, &params, &error);
    PYTHON_END_WORK
    Py_DECREF(path);
    if (status != HDS_OK)
        return python_raise(state, status, &error);
    clip_object *self = PyObject_New(clip_object, state->clip);
    if (self)
        self->clip = clip;
    else
        hds_clip_destroy(&clip);
    return (PyObject *)self;
}

PyDoc_STRVAR(embed_images_doc,
"embed_images($self, images, /)\n--\n\n"
"Embeddings (N, embedding_width), float32, each of length 1, of pictures (N, H, W, 3), float RGB\n"
"in [0, 1], of any size: the shorter side is resized to what the network sees and the centre cut\n"
"out. Raises ValueError for colours out of range or not numbers.");

static PyObject *clip_embed_images(PyObject *self, PyObject *object)
{
    python_input images = { .held = false };
    PyObject *view = NULL;
    void *embeddings;
    if (python_input_get(&images, object, "images", 'p', "(N, H, W, 3)")) {
        size_t extents[] = { images.shape[0], (size_t)info_of(self).embedding_width };
        view = python_array_new(python_state_of(self), 'f', 2, extents, &embeddings);
    }
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status = hds_clip_embed_images(clip_of(self), images.data, images.shape[0], images.shape[1],
                                       images.shape[2], embeddings, &error);
        PYTHON_END_WORK
        view = python_finish(self, view, status, &error);
    }
    python_input_finish(&images);
    return view;
}

PyDoc_STRVAR(embed_texts_doc,
"embed_texts($self, texts, /)\n--\n\n"
"Embeddings (M, embedding_width), float32, each of length 1, of a list of M str. Of a text of more\n"
"than 75 tokens the first 75 are taken, with a warning that says what was left out; this holds for\n"
"similarity() and its gradient, too. Raises ValueError for an empty list.");

/* Warns of what does not fit; takes the result, and gives it back. */
static PyObject *warn(PyObject *self, const char *const *texts, size_t count, PyObject *result)
{
    for (size_t i = 0; result && i < count; i++) {
        hds_text_cut cut;
        hds_error error = { .status = HDS_OK };
        hds_status status = hds_clip_get_cut(clip_of(self), texts[i], &cut, &error);
        if (status != HDS_OK)
            python_raise(python_state_of(self), status, &error);
        if (status != HDS_OK || !python_warn_cut(i, &cut))
            Py_CLEAR(result);
    }
    return result;
}

static PyObject *clip_embed_texts(PyObject *self, PyObject *object)
{
    size_t count;
    PyObject *holder = NULL;
    const char **texts = python_texts_get(object, &count, &holder);
    if (!texts)
        return NULL;
    size_t extents[] = { count, (size_t)info_of(self).embedding_width };
    void *embeddings;
    PyObject *view = python_array_new(python_state_of(self), 'f', 2, extents, &embeddings);
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status = hds_clip_embed_texts(clip_of(self), texts, count, embeddings, &error);
        PYTHON_END_WORK
        view = warn(self, texts, count, python_finish(self, view, status, &error));
    }
    PyMem_Free(texts);
    Py_DECREF(holder);
    return view;
}

/* The arguments of a comparison. Zero-initialise it. */
typedef struct comparison {
    python_input images, upstream;
    const char **texts;
    size_t text_count;
    PyObject *holder;
} comparison;

/* upstream: NULL where there is none. */
static bool comparison_get(comparison *c, PyObject *images, PyObject *texts, PyObject *upstream)
{
    if (!python_input_get(&c->images, images, "images", 'p', "(N, H, W, 3)"))
        return false;
    c->texts = python_texts_get(texts, &c->text_count, &c->holder);
    if (!c->texts)
        return false;
    const size_t extents[] = { c->images.shape[0], c->text_count };
    return !upstream || (python_input_get(&c->upstream, upstream, "upstream", 'f', "(N, M)") &&
                         python_input_check(&c->upstream, "upstream", extents));
}

static void comparison_finish(comparison *c)
{
    python_input_finish(&c->images);
    python_input_finish(&c->upstream);
    PyMem_Free(c->texts);
    Py_XDECREF(c->holder);
}

PyDoc_STRVAR(similarity_doc,
"similarity($self, /, images, texts)\n--\n\n"
"How well pictures and texts agree: cosines (N, M), float32 in [-1, 1], of pictures (N, H, W, 3),\n"
"float RGB in [0, 1], and a list of M str. Times logit_scale they are the logits that the network\n"
"was trained by; times 100 the CLIP score that papers report.\n\n"
"Raises ValueError for colours out of range or not numbers, and for an empty list.");

static PyObject *clip_similarity(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "images", "texts", NULL };
    PyObject *images, *texts, *view = NULL;
    comparison c = { .texts = NULL };
    void *similarity;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OO:similarity", names, &images, &texts))
        return NULL;
    if (comparison_get(&c, images, texts, NULL)) {
        size_t extents[] = { c.images.shape[0], c.text_count };
        view = python_array_new(python_state_of(self), 'f', 2, extents, &similarity);
    }
    if (view) {
        const size_t *s = c.images.shape;
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status = hds_clip_similarity(clip_of(self), c.images.data, s[0], s[1], s[2], c.texts,
                                     c.text_count, similarity, &error);
        PYTHON_END_WORK
        view = warn(self, c.texts, c.text_count, python_finish(self, view, status, &error));
    }
    comparison_finish(&c);
    return view;
}

PyDoc_STRVAR(similarity_gradient_doc,
"similarity_gradient($self, /, images, texts, upstream)\n--\n\n"
"The gradient of sum(upstream * similarity(images, texts)) with respect to the pictures, through\n"
"the resizing: (N, H, W, 3), float32.\n\n"
"images (N, H, W, 3), float RGB in [0, 1]; texts: a list of M str; upstream (N, M). Raises\n"
"ValueError for numbers out of range or not finite, and for an empty list.");

static PyObject *clip_similarity_gradient(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "images", "texts", "upstream", NULL };
    PyObject *images, *texts, *upstream, *view = NULL;
    comparison c = { .texts = NULL };
    void *dimages;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "OOO:similarity_gradient", names, &images,
                                     &texts, &upstream))
        return NULL;
    if (comparison_get(&c, images, texts, upstream))
        view = python_array_new(python_state_of(self), 'f', 4, c.images.shape, &dimages);
    if (view) {
        const size_t *s = c.images.shape;
        hds_error error = { .status = HDS_OK };
        hds_status status;
        PYTHON_BEGIN_WORK
        status =
            hds_clip_similarity_gradient(clip_of(self), c.images.data, s[0], s[1], s[2], c.texts,
                                         c.text_count, c.upstream.data, dimages, &error);
        PYTHON_END_WORK
        view = warn(self, c.texts, c.text_count, python_finish(self, view, status, &error));
    }
    comparison_finish(&c);
    return view;
}

static PyObject *get_path(PyObject *self, void *closure)
{
    return PyUnicode_DecodeFSDefault(info_of(self).path);
}

static PyObject *get_embedding_width(PyObject *self, void *closure)
{
    return PyLong_FromLong(info_of(self).embedding_width);
}

static PyObject *get_image_size(PyObject *self, void *closure)
{
    return PyLong_FromLong(info_of(self).image_size);
}

static PyObject *get_logit_scale(PyObject *self, void *closure)
{
    return PyFloat_FromDouble((double)info_of(self).logit_scale);
}

static PyObject *get_device(PyObject *self, void *closure)
{
    return PyUnicode_FromString(info_of(self).device);
}

static PyObject *get_dtype(PyObject *self, void *closure)
{
    return PyUnicode_FromString(info_of(self).dtype);
}

static PyMethodDef clip_methods[] = {
    { "load", (PyCFunction)(void (*)(void))clip_load, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
      load_doc },
    { "embed_images", clip_embed_images, METH_O, embed_images_doc },
    { "embed_texts", clip_embed_texts, METH_O, embed_texts_doc },
    { "similarity", (PyCFunction)(void (*)(void))clip_similarity, METH_VARARGS | METH_KEYWORDS,
      similarity_doc },
    { "similarity_gradient", (PyCFunction)(void (*)(void))clip_similarity_gradient,
      METH_VARARGS | METH_KEYWORDS, similarity_gradient_doc },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef clip_getters[] = {
    { "path", get_path, NULL, "The folder.", NULL },
    { "embedding_width", get_embedding_width, NULL, "Numbers of an embedding.", NULL },
    { "image_size", get_image_size, NULL, "Side of the square that is seen of a picture.", NULL },
    { "logit_scale", get_logit_scale, NULL, "What training multiplied similarities by.", NULL },
    { "device", get_device, NULL, "Where it runs: 'cpu', 'cuda' or 'cuda:N'.", NULL },
    { "dtype", get_dtype, NULL,
      "What the matrices of both towers are kept in: 'float32', 'bfloat16', 'float16'.", NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(clip_doc,
"CLIP's text and vision towers: how well a picture and a text agree. Radford et al. 2021,\n"
"'Learning transferable visual models from natural language supervision'.\n\n"
"Clip.load() makes one. It may be shared: calls from several threads take turns, and let other\n"
"Python threads run.");

static PyType_Slot clip_slots[] = {
    { Py_tp_doc, (void *)clip_doc }, { Py_tp_dealloc, clip_dealloc }, { Py_tp_repr, clip_repr },
    { Py_tp_methods, clip_methods }, { Py_tp_getset, clip_getters },  { 0, NULL },
};

PyType_Spec python_clip_spec = {
    .name = "headsds.Clip",
    .basicsize = sizeof(clip_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = clip_slots,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Prior.load: paths and LoRAs into hds_prior_params. */
#include "python.h"

#include <string.h>

const char python_prior_load_doc[] = PyDoc_STR(
"load($type, /, path=None, *, config=None, vae=None, depth=None, texture=None, loras=(),\n"
"     embeddings=(), device='auto', dtype='auto')\n--\n\n"
"Load a frozen latent diffusion model.\n\n"
"path: a diffusers folder of Stable Diffusion 1.x or 2.x or InstructPix2Pix (its weights whole, in\n"
"shards, or the fp16 variant), or one file with the names of the original release; None is the\n"
"built-in sample prior.\n"
"config: with one file, a diffusers folder whose tokenizer and configurations are the model's.\n"
"vae: in place of the model's own, or for a file that has none: a diffusers folder of a VAE or of a\n"
"model, or a file of a VAE.\n"
"depth, texture: ControlNets for it, folders or files, one that sees depth and one that knows\n"
"textures.\n"
"loras: paths of LoRA, LoHa, LoKr or DoRA files (kohya's, diffusers' or peft's names), or of folders\n"
"that diffusers or peft wrote, or pairs (path, scale), which are all added. Hu et al., 'LoRA', 2022.\n"
"embeddings: paths of textual inversions (diffusers' learned_embeds or AUTOMATIC1111's), or pairs\n"
"(path, token): in texts the token stands for what was learned. Without one it is the file's own,\n"
"or the file's name without its ending. Gal et al., 'An image is worth one word', 2022.\n\n"
"device: 'cpu', 'cuda' or 'cuda:N'; 'auto' is CUDA where there is one.\n"
"dtype: what the matrices of the UNet and of ControlNets are kept in, and computed in where the\n"
"device has instructions for it, else in float32: 'float32', 'bfloat16', 'float16'. 'auto' is,\n"
"of a UNet of 256 channels or more, float16 on CUDA and bfloat16 on a processor that computes in\n"
"it, else float32. The text encoder and the VAE stay float32.\n\n"
"Warns of what in the files was left out. Raises ValueError; FileNotFoundError; FormatError naming a tensor that is missing, left over or of another\n"
"shape.");

enum { PATHS = 5, MAX_LORAS = 64, MAX_EMBEDDINGS = 256 };

typedef struct load {
    hds_prior_params params;
    hds_lora loras[MAX_LORAS];
    hds_embedding embeddings[MAX_EMBEDDINGS];
    PyObject *held[PATHS + MAX_LORAS + 2 * MAX_EMBEDDINGS]; /* what the pointers above lie in */
    size_t held_count;
} load;

/* The path in the file system's encoding, kept in l. */
static bool get_path(load *l, PyObject *object, const char **path)
{
    PyObject *bytes;
    if (object == Py_None)
        return true;
    if (!PyUnicode_FSConverter(object, &bytes))
        return false;
    l->held[l->held_count++] = bytes;
    *path = PyBytes_AsString(bytes);
    return true;
}

static bool get_lora(load *l, PyObject *item, size_t i)
{
    hds_lora *lora = &l->loras[i];
    PyObject *path = item;
    double scale = 1;
    if (PyTuple_Check(item) &&
        !PyArg_ParseTuple(item, "Od;loras: expected paths or (path, scale)", &path, &scale))
        return false;
    lora->scale = (float)scale;
    if (path != Py_None)
        return get_path(l, path, &lora->path);
    PyErr_SetString(PyExc_TypeError, "loras: None, expected a path or (path, scale)");
    return false;
}

static bool get_embedding(load *l, PyObject *item, size_t i)
{
    hds_embedding *embedding = &l->embeddings[i];
    PyObject *path = item, *token = NULL;
    if (PyTuple_Check(item) &&
        !PyArg_ParseTuple(item, "OO;embeddings: expected paths or (path, token)", &path, &token))
        return false;
    if (path == Py_None) {
        PyErr_SetString(PyExc_TypeError, "embeddings: None, expected a path or (path, token)");
        return false;
    }
    if (token && !(embedding->token = python_text_get(token, "embeddings: token")))
        return false;
    if (token)
        l->held[l->held_count++] = Py_NewRef(token);
    return get_path(l, path, &embedding->path);
}

/* A list of at most so many, item i of which get(l, item, i) takes. */
static bool get_list(load *l, PyObject *object, const char *name, Py_ssize_t most,
                     bool (*get)(load *l, PyObject *item, size_t i), size_t *count)
{
    if (PyUnicode_Check(object) || PyBytes_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: one path, expected a list of them", name);
        return false;
    }
    PyObject *list = PySequence_Tuple(object);
    Py_ssize_t size = list ? PyTuple_Size(list) : 0;
    bool good = list && size <= most;
    if (size > most)
        PyErr_Format(PyExc_ValueError, "%s: %zd of them, expected at most %zd", name, size, most);
    for (Py_ssize_t i = 0; good && i < size; i++)
        good = get(l, PyTuple_GetItem(list, i), (size_t)i);
    *count = (size_t)size;
    Py_XDECREF(list);
    return good;
}

/* One warning for each note; false: warnings are errors. */
static bool warn(const hds_prior *prior)
{
    hds_prior_info info;
    hds_prior_get_info(prior, &info);
    bool good = true;
    for (const char *line = info.notes; line && good;) {
        const char *end = strchr(line, '\n');
        PyObject *text =
            PyUnicode_DecodeFSDefaultAndSize(line, end ? end - line : (Py_ssize_t)strlen(line));
        good = text && PyErr_WarnFormat(PyExc_UserWarning, 1, "%U", text) == 0;
        Py_XDECREF(text);
        line = end ? end + 1 : NULL;
    }
    return good;
}

PyObject *python_prior_load(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "path",  "config", "vae",   "depth",      "texture",
                             "loras", "device", "dtype", "embeddings", NULL };
    const python_state *state = PyType_GetModuleState((PyTypeObject *)type);
    PyObject *objects[PATHS] = { Py_None, Py_None, Py_None, Py_None, Py_None }, *loras = NULL;
    PyObject *embeddings = NULL;
    python_text device = { .name = "device" }, dtype = { .name = "dtype" };
    load l = { .params = { .loras = l.loras, .embeddings = l.embeddings } };
    hds_prior_params *params = &l.params;
    const char **paths[PATHS] = { &params->path, &params->config, &params->vae, &params->depth,
                                  &params->texture };
    bool good = PyArg_ParseTupleAndKeywords(
        arguments, keywords, "|O$OOOOOO&O&O:load", names, &objects[0], &objects[1], &objects[2],
        &objects[3], &objects[4], &loras, python_text_convert, &device, python_text_convert, &dtype,
        &embeddings);
    params->device = device.utf8;
    params->dtype = dtype.utf8;
    for (int i = 0; good && i < PATHS; i++)
        good = get_path(&l, objects[i], paths[i]);
    if (good && loras)
        good = get_list(&l, loras, "loras", MAX_LORAS, get_lora, &params->lora_count);
    if (good && embeddings)
        good = get_list(&l, embeddings, "embeddings", MAX_EMBEDDINGS, get_embedding,
                        &params->embedding_count);
    hds_prior *prior = NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status = HDS_OK;
    if (good) {
        PYTHON_BEGIN_WORK
        status = hds_prior_load(&prior, params, &error);
        PYTHON_END_WORK
    }
    for (size_t i = 0; i < l.held_count; i++)
        Py_DECREF(l.held[i]);
    if (!good)
        return NULL;
    if (status != HDS_OK)
        return python_raise(state, status, &error);
    if (warn(prior))
        return python_prior_wrap(state, prior);
    hds_prior_unref(prior);
    return NULL;
}

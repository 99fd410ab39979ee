/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Prior.load: paths and LoRAs into hds_prior_params. */
#include "python.h"

const char python_prior_load_doc[] = PyDoc_STR(
"load($type, /, path=None, *, config=None, depth=None, texture=None, loras=(), device='auto',\n"
"     dtype='auto')\n--\n\n"
"Load a frozen latent diffusion model.\n\n"
"path: a diffusers folder of Stable Diffusion 1.x or 2.x or InstructPix2Pix (its weights whole, in\n"
"shards, or the fp16 variant), or one file with the names of the original release; None is the\n"
"built-in sample prior.\n"
"config: with one file, a diffusers folder whose tokenizer and configurations are the model's.\n"
"depth, texture: ControlNets for it, folders or files, one that sees depth and one that knows\n"
"textures.\n"
"loras: paths of LoRA files (kohya's, diffusers' or peft's names), or pairs (path, scale), which\n"
"are all added. Hu et al., 'LoRA', 2022.\n\n"
"device: 'cpu', 'cuda' or 'cuda:N'; 'auto' is CUDA where there is one.\n"
"dtype: what the matrices of the UNet and of ControlNets are kept in, and computed in where the\n"
"device has instructions for it, else in float32: 'float32', 'bfloat16', 'float16'. 'auto' is,\n"
"of a UNet of 256 channels or more, float16 on CUDA and bfloat16 on a processor that computes in\n"
"it, else float32. The text encoder and the VAE stay float32.\n\n"
"Raises ValueError; FileNotFoundError; FormatError naming a tensor that is missing, left over or of another\n"
"shape.");

enum { PATHS = 4, MAX_LORAS = 64 };

typedef struct load {
    hds_prior_params params;
    hds_lora loras[MAX_LORAS];
    PyObject *held[PATHS + MAX_LORAS]; /* bytes that the pointers above lie in */
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

static bool get_lora(load *l, PyObject *item, hds_lora *lora)
{
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

static bool get_loras(load *l, PyObject *loras)
{
    if (PyUnicode_Check(loras) || PyBytes_Check(loras)) {
        PyErr_SetString(PyExc_TypeError, "loras: one path, expected a list of them");
        return false;
    }
    PyObject *list = PySequence_Tuple(loras);
    if (!list)
        return false;
    Py_ssize_t count = PyTuple_Size(list);
    bool good = count <= MAX_LORAS;
    if (!good)
        PyErr_Format(PyExc_ValueError, "loras: %zd of them, expected at most %d", count, MAX_LORAS);
    for (Py_ssize_t i = 0; good && i < count; i++)
        good = get_lora(l, PyTuple_GetItem(list, i), &l->loras[i]);
    l->params.loras = l->loras;
    l->params.lora_count = (size_t)count;
    Py_DECREF(list);
    return good;
}

PyObject *python_prior_load(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {
        "path", "config", "depth", "texture", "loras", "device", "dtype", NULL
    };
    const python_state *state = PyType_GetModuleState((PyTypeObject *)type);
    PyObject *objects[PATHS] = { Py_None, Py_None, Py_None, Py_None }, *loras = NULL;
    load l = { .held_count = 0 };
    hds_prior_params *params = &l.params;
    const char **paths[PATHS] = { &params->path, &params->config, &params->depth,
                                  &params->texture };
    bool good = PyArg_ParseTupleAndKeywords(arguments, keywords, "|O$OOOOss:load", names,
                                            &objects[0], &objects[1], &objects[2], &objects[3],
                                            &loras, &params->device, &params->dtype);
    for (int i = 0; good && i < PATHS; i++)
        good = get_path(&l, objects[i], paths[i]);
    if (good && loras)
        good = get_loras(&l, loras);
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
    return status == HDS_OK ? python_prior_wrap(state, prior) : python_raise(state, status, &error);
}

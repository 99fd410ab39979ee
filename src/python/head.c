/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Head: what hds_head is to C. Immutable. */
#include "python.h"

#include "base/base.h"

#include <limits.h>
#include <string.h>

typedef struct head_object {
    PyObject_HEAD
    hds_head *head;
    PyObject *model; /* a HeadModel */
} head_object;

hds_head *python_head_of(PyObject *head)
{
    return ((head_object *)head)->head;
}

static hds_head_info info_of(PyObject *self)
{
    hds_head_info info;
    hds_head_get_info(((head_object *)self)->head, &info);
    return info;
}

static hds_head_model_info model_of(PyObject *self)
{
    hds_head_model_info info;
    hds_head_model_get_info(info_of(self).model, &info);
    return info;
}

PyObject *python_head_wrap(const python_state *state, hds_head *head, PyObject *model)
{
    hds_head_info info;
    hds_head_get_info(head, &info);
    PyObject *wrapper =
        model ? Py_NewRef(model) : python_head_model_wrap(state, hds_head_model_ref(info.model));
    head_object *self = wrapper ? PyObject_New(head_object, state->head) : NULL;
    if (!self) {
        Py_XDECREF(wrapper);
        hds_head_unref(head);
        return NULL;
    }
    self->head = head;
    self->model = wrapper;
    return (PyObject *)self;
}

bool python_head_get(const python_state *state, PyObject *object, const char *name, hds_head **head,
                     PyObject **model)
{
    *head = NULL;
    if (!object || object == Py_None)
        return true;
    if (!Py_IS_TYPE(object, state->head)) {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected a headsds.Head or None", name,
                     (PyObject *)Py_TYPE(object));
        return false;
    }
    *head = ((head_object *)object)->head;
    *model = ((head_object *)object)->model;
    return true;
}

static void head_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hds_head_unref(((head_object *)self)->head);
    Py_DECREF(((head_object *)self)->model);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *head_repr(PyObject *self)
{
    return PyUnicode_FromFormat("<headsds.Head '%s' of %s>", info_of(self).prompt,
                                model_of(self).name);
}

/* The built-in model, where the caller names none; offsets of so many vertices. */
static hds_status create(const hds_head_params *params, size_t offset_count, hds_head **head,
                         hds_error *error)
{
    hds_head_params with_model = *params;
    hds_head_model *own = NULL;
    hds_status status = HDS_OK;
    if (!params->model) {
        status = hds_head_model_load(&own, &(hds_head_model_params){ .path = NULL }, error);
        with_model.model = own;
    }
    hds_head_model_info info = { .vertex_count = 0 };
    if (status == HDS_OK)
        hds_head_model_get_info(with_model.model, &info);
    if (status == HDS_OK && params->offsets && offset_count != info.vertex_count)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT, "offsets: %zu vertices, expected the model's %zu",
                      offset_count, info.vertex_count);
    if (status == HDS_OK)
        status = hds_head_create(head, &with_model, error);
    hds_head_model_unref(own);
    return status;
}

static PyObject *head_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "model",   "shape",  "expression", "pose",
                             "texture", "prompt", "offsets",    NULL };
    const python_state *state = PyType_GetModuleState(type);
    PyObject *model = NULL, *shape = NULL, *expression = NULL, *pose = NULL, *texture = Py_None;
    PyObject *offsets = Py_None, *made = NULL;
    hds_head_params params = { .prompt = "" };
    python_text prompt = { .name = "prompt", .utf8 = "" };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O$OOOOO&O:Head", names, &model, &shape,
                                     &expression, &pose, &texture, python_text_convert, &prompt,
                                     &offsets) ||
        !python_head_model_get(state, model, "model", &params.model))
        return NULL;
    python_coefficients c = { .values = { .shape = NULL } };
    python_input picture = { .held = false }, sculpt = { .held = false };
    if (python_coefficients_get(&c, shape, expression, pose) &&
        (texture == Py_None || python_input_get(&picture, texture, "texture", 'B', "(H, W, 3)")) &&
        (offsets == Py_None || python_input_get(&sculpt, offsets, "offsets", 'f', "(V, 3)"))) {
        params.prompt = prompt.utf8;
        params.coefficients = c.values;
        params.offsets = sculpt.data;
        params.texture = picture.data;
        params.texture_height = picture.shape[0];
        params.texture_width = picture.shape[1];
        hds_head *head = NULL;
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = create(&params, sculpt.shape[0], &head, &error);
        Py_END_ALLOW_THREADS
        made = status == HDS_OK ? python_head_wrap(state, head, params.model ? model : NULL)
                                : python_raise(state, status, &error);
    }
    python_coefficients_finish(&c);
    python_input_finish(&picture);
    python_input_finish(&sculpt);
    return made;
}

PyDoc_STRVAR(load_doc,
"load($type, /, path, model=None)\n--\n\n"
"Read a .headsds file. model: the HeadModel it was made on; None loads the one the file names.\n\n"
"Raises FileNotFoundError, FormatError where the file is no head, ValueError where the model is\n"
"another one.");

static PyObject *head_load(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "path", "model", NULL };
    const python_state *state = PyType_GetModuleState((PyTypeObject *)type);
    PyObject *path_object, *model = NULL, *path = NULL;
    hds_head_model *handle;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|O:load", names, &path_object,
                                     &model) ||
        !python_head_model_get(state, model, "model", &handle) ||
        !PyUnicode_FSConverter(path_object, &path))
        return NULL;
    const char *file = PyBytes_AsString(path);
    hds_head *head = NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_load(&head, file, handle, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    return status == HDS_OK ? python_head_wrap(state, head, handle ? model : NULL)
                            : python_raise(state, status, &error);
}

PyDoc_STRVAR(save_doc,
"save($self, path, /)\n--\n\n"
"Save by the ending of path: .glb and .gltf (mesh, expressions as shape keys, texture), .obj\n"
"(with .mtl and .png, in whose names blanks are '_'; keeps the model's vertex order), .headsds\n"
"(everything, exact).\n\n"
"A file is replaced only when all is written. Raises ValueError for another ending, OSError.");

static PyObject *head_save(PyObject *self, PyObject *path_object)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(path_object, &path))
        return NULL;
    const char *file = PyBytes_AsString(path);
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_save(((head_object *)self)->head, file, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (status != HDS_OK)
        return python_raise(python_state_of(self), status, &error);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(render_doc,
"render($self, /, azimuth=0, elevation=0, size=512, mode='textured', *, distance=None, fov=20,\n"
"       light=None, background=None)\n--\n\n"
"A picture (size, size, 3), uint8 sRGB, antialiased.\n\n"
"azimuth, elevation: degrees; positive azimuth sees the head's own left side. distance: metres from\n"
"the middle of the model's template; None is the nearest that has all of it in the frame at every\n"
"azimuth. fov: degrees from bottom to top. Each may also be a list of N: the result is then\n"
"(N, size, size, 3), a picture for each; headsds.cameras() makes such lists.\n\n"
"mode: 'textured' or 'grey'; 'normals' in object space; 'camera_normals', x right, y up, z toward\n"
"the camera; 'control_normals' and 'depth', what ControlNets are shown (camera normals with x left;\n"
"nearer is brighter, from 0.5 to 1, always on\n"
"black); 'parts', each part of the model in its own colour.\n"
"light: None is a key and a fill that follow the camera; else the number of a preset, or 9\n"
"spherical-harmonics coefficients of irradiance / pi, fixed to the head. background: None is that of\n"
"the mode; else a colour of 3 numbers in [0, 1], or a picture (size, size, 3) of uint8.");

static const char *const mode_names[HDS_RENDER_MODES] = {
    "textured", "grey", "normals", "camera_normals", "control_normals", "depth", "parts",
};

static bool get_mode(const char *name, hds_render_mode *mode)
{
    for (int i = 0; i < HDS_RENDER_MODES; i++)
        if (strcmp(name, mode_names[i]) == 0) {
            *mode = (hds_render_mode)i;
            return true;
        }
    PyErr_Format(PyExc_ValueError,
                 "mode: '%s', expected 'textured', 'grey', 'normals', 'camera_normals', "
                 "'control_normals', 'depth' or 'parts'",
                 name);
    return false;
}

/* Arguments light and background, held while the picture is drawn. */
typedef struct look {
    float light[9];
    python_input coefficients, background;
} look;

static bool get_light(look *l, PyObject *self, PyObject *object, hds_render_params *params)
{
    if (object == Py_None)
        return true;
    if (python_is_number(object) && PyIndex_Check(object)) {
        hds_error error = { .status = HDS_OK };
        long preset = PyLong_AsLong(object);
        if (preset == -1 && PyErr_Occurred())
            return false;
        hds_status status =
            hds_light_preset(preset < 0 || preset > INT_MAX ? -1 : (int)preset, l->light, &error);
        params->light = l->light;
        return status == HDS_OK || python_raise(python_state_of(self), status, &error);
    }
    const size_t nine = 9;
    if (!python_input_get(&l->coefficients, object, "light", 'f', "(9,)") ||
        !python_input_check(&l->coefficients, "light", &nine))
        return false;
    params->light = l->coefficients.data;
    return true;
}

static bool get_background(look *l, PyObject *object, hds_render_params *params)
{
    if (object == Py_None)
        return true;
    int dims = python_input_dims(object);
    size_t size = (size_t)params->size, three = 3, picture[3] = { size, size, 3 };
    if (dims < 0)
        return false;
    if (!python_input_get(&l->background, object, "background", dims == 1 ? 'f' : 'B',
                          dims == 1 ? "(3,)" : "(size, size, 3)") ||
        !python_input_check(&l->background, "background", dims == 1 ? &three : picture))
        return false;
    if (dims == 1)
        params->background = l->background.data;
    else
        params->background_picture = l->background.data;
    return true;
}

static PyObject *render(PyObject *self, hds_render_params *params, const python_cameras *cameras)
{
    size_t size = (size_t)params->size, extents[4] = { cameras->count, size, size, 3 };
    bool many = cameras->many;
    void *pixels;
    PyObject *view = python_array_new(python_state_of(self), 'B', many ? 4 : 3,
                                      many ? extents : extents + 1, &pixels);
    if (!view)
        return NULL;
    params->cameras = cameras->values;
    params->camera_count = cameras->count;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_render(((head_object *)self)->head, params, pixels, &error);
    Py_END_ALLOW_THREADS
    return python_finish(self, view, status, &error);
}

static PyObject *head_render(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "azimuth", "elevation", "size",       "mode", "distance",
                             "fov",     "light",     "background", NULL };
    hds_render_params params = { .size = 512 };
    PyObject *azimuth = NULL, *elevation = NULL, *distance = NULL, *fov = NULL;
    PyObject *light = Py_None, *background = Py_None;
    python_text mode = { .name = "mode", .utf8 = "textured" };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|OOiO&$OOOO:render", names, &azimuth,
                                     &elevation, &params.size, python_text_convert, &mode,
                                     &distance, &fov, &light, &background) ||
        !get_mode(mode.utf8, &params.mode))
        return NULL;
    if (params.size < 1 || params.size > 4096)
        return PyErr_Format(PyExc_ValueError, "size: %d, expected 1 to 4096", params.size);
    python_cameras cameras = { .values = NULL };
    look l = { .coefficients = { .held = false } };
    PyObject *pictures = NULL;
    if (python_cameras_get(&cameras, azimuth, elevation, distance, fov) &&
        get_light(&l, self, light, &params) && get_background(&l, background, &params))
        pictures = render(self, &params, &cameras);
    python_cameras_finish(&cameras);
    python_input_finish(&l.coefficients);
    python_input_finish(&l.background);
    return pictures;
}

PyDoc_STRVAR(vertices_doc,
"vertices($self, /)\n--\n\n"
"Vertices (V, 3), float32, with the offsets: metres, y up, right-handed, the face looks to +z.");

static PyObject *head_vertices(PyObject *self, PyObject *none)
{
    size_t extents[2] = { model_of(self).vertex_count, 3 };
    void *vertices;
    PyObject *view = python_array_new(python_state_of(self), 'f', 2, extents, &vertices);
    if (!view)
        return NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_vertices(((head_object *)self)->head, vertices, &error);
    Py_END_ALLOW_THREADS
    if (status == HDS_OK)
        return view;
    Py_DECREF(view);
    return python_raise(python_state_of(self), status, &error);
}

static PyObject *get_model(PyObject *self, void *closure)
{
    return Py_NewRef(((head_object *)self)->model);
}

static PyObject *get_prompt(PyObject *self, void *closure)
{
    const char *prompt = info_of(self).prompt;
    return PyUnicode_DecodeUTF8(prompt, (Py_ssize_t)strlen(prompt), "replace");
}

static PyObject *get_shape(PyObject *self, void *closure)
{
    size_t extents[1] = { model_of(self).shape_count };
    return python_array_borrow(python_state_of(self), self, info_of(self).shape, 'f', 1, extents);
}

static PyObject *get_expression(PyObject *self, void *closure)
{
    size_t extents[1] = { model_of(self).expression_count };
    return python_array_borrow(python_state_of(self), self, info_of(self).expression, 'f', 1,
                               extents);
}

static PyObject *get_pose(PyObject *self, void *closure)
{
    size_t extents[2] = { model_of(self).joint_count, 3 };
    return python_array_borrow(python_state_of(self), self, info_of(self).pose, 'f', 2, extents);
}

static PyObject *get_offsets(PyObject *self, void *closure)
{
    size_t extents[2] = { model_of(self).vertex_count, 3 };
    return python_array_borrow(python_state_of(self), self, info_of(self).offsets, 'f', 2, extents);
}

static PyObject *get_texture(PyObject *self, void *closure)
{
    hds_head_info info = info_of(self);
    size_t extents[3] = { info.texture_height, info.texture_width, 3 };
    return python_array_borrow(python_state_of(self), self, info.texture, 'B', 3, extents);
}

static PyObject *get_history(PyObject *self, void *closure)
{
    hds_head_info info = info_of(self);
    return python_history(python_state_of(self), info.history, info.history_count);
}

static PyObject *get_record(PyObject *self, void *closure)
{
    hds_head_info info = info_of(self);
    if (!info.record)
        Py_RETURN_NONE;
    PyObject *json = PyImport_ImportModule("json");
    PyObject *record = json ? PyObject_CallMethod(json, "loads", "s", info.record) : NULL;
    Py_XDECREF(json);
    return record;
}

static PyMethodDef head_methods[] = {
    { "load", (PyCFunction)(void (*)(void))head_load, METH_VARARGS | METH_KEYWORDS | METH_CLASS,
      load_doc },
    { "save", head_save, METH_O, save_doc },
    { "render", (PyCFunction)(void (*)(void))head_render, METH_VARARGS | METH_KEYWORDS,
      render_doc },
    { "vertices", head_vertices, METH_NOARGS, vertices_doc },
    { "uv_map", (PyCFunction)(void (*)(void))python_uv_map, METH_VARARGS | METH_KEYWORDS,
      python_uv_map_doc },
    { "unwrap", (PyCFunction)(void (*)(void))python_unwrap, METH_VARARGS | METH_KEYWORDS,
      python_unwrap_doc },
    { NULL, NULL, 0, NULL },
};

static PyGetSetDef head_getters[] = {
    { "model", get_model, NULL, "The HeadModel.", NULL },
    { "prompt", get_prompt, NULL, "The words it was made from.", NULL },
    { "shape", get_shape, NULL, "(S,) float32, standard deviations.", NULL },
    { "expression", get_expression, NULL, "(E,) float32, weights.", NULL },
    { "pose", get_pose, NULL, "(J, 3) float32, axis-angle in radians.", NULL },
    { "offsets", get_offsets, NULL, "(V, 3) float32, metres at rest, added to the model; or None.",
      NULL },
    { "texture", get_texture, NULL, "(H, W, 3) uint8 sRGB, row 0 at v = 1; or None.", NULL },
    { "history", get_history, NULL, "A tuple of HistoryEntry, a step each.", NULL },
    { "record", get_record, NULL,
      "How it was made, a dict: version, recipe with every option, seed, prompt, hashes of the\n"
      "head model and of the prior's weights, dtype, device; None where that is not known.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(head_doc,
"Head(model=None, *, shape=None, expression=None, pose=None, texture=None, prompt='',\n"
"     offsets=None)\n--\n\n"
"One head: coefficients of a head model, offsets, a texture, and where they came from. Immutable.\n\n"
"model: a HeadModel; None is the built-in sample head. shape, expression, pose: as for\n"
"HeadModel.vertices. texture: (H, W, 3) uint8 sRGB, row 0 at v = 1; None is the model's own.\n"
"offsets: (V, 3) metres that are added to the model's vertices at rest, as HeadModel.fit finds them\n"
"in a sculpt; they move with the joints.");

static PyType_Slot head_slots[] = {
    { Py_tp_doc, (void *)head_doc },
    { Py_tp_new, head_new },
    { Py_tp_dealloc, head_dealloc },
    { Py_tp_repr, head_repr },
    { Py_tp_methods, head_methods },
    { Py_tp_getset, head_getters },
    { 0, NULL },
};

PyType_Spec python_head_spec = {
    .name = "headsds.Head",
    .basicsize = sizeof(head_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = head_slots,
};

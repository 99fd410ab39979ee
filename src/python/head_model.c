/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.HeadModel: what hds_head_model is to C. Immutable. */
#include "python.h"

#include <string.h>

typedef struct head_model_object {
    PyObject_HEAD
    hds_head_model *model;
} head_model_object;

static hds_head_model_info info_of(PyObject *self)
{
    hds_head_model_info info;
    hds_head_model_get_info(((head_model_object *)self)->model, &info);
    return info;
}

PyObject *python_head_model_wrap(const python_state *state, hds_head_model *model)
{
    head_model_object *self = PyObject_New(head_model_object, state->head_model);
    if (self)
        self->model = model;
    else
        hds_head_model_unref(model);
    return (PyObject *)self;
}

bool python_head_model_get(const python_state *state, PyObject *object, const char *name,
                           hds_head_model **model)
{
    *model = NULL;
    if (!object || object == Py_None)
        return true;
    if (!Py_IS_TYPE(object, state->head_model)) {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected a headsds.HeadModel or None", name,
                     (PyObject *)Py_TYPE(object));
        return false;
    }
    *model = ((head_model_object *)object)->model;
    return true;
}

static void head_model_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    hds_head_model_unref(((head_model_object *)self)->model);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyObject *head_model_repr(PyObject *self)
{
    hds_head_model_info info = info_of(self);
    return PyUnicode_FromFormat("<headsds.HeadModel %s: %zu vertices, %zu shapes, %zu expressions>",
                                info.name, info.vertex_count, info.shape_count,
                                info.expression_count);
}

PyDoc_STRVAR(load_doc,
"load($type, /, path=None, *, shape_count=0, expression_count=0, uv_template=None,\n"
"     mean_texture=None, base_pose=None)\n--\n\n"
"Load a head model.\n\n"
"path: a headsds .npz file, a FLAME .pkl or .npz file, a HIFI3D or HIFI3D++ .mat file, the\n"
"folder FaceXModel of an ICT-FaceKit, or MakeHuman's data: the folder mpfb2, or data of MakeHuman or\n"
"MPFB, with 3dobjs and targets in it; None is the built-in sample head. shape_count, expression_count:\n"
"keep at most so many components; 0 keeps all. uv_template: FLAME's UVs, an .obj with its faces\n"
"and texture coordinates; None looks for head_template.obj beside it. mean_texture: a .png, row 0\n"
"at v = 1, for any model with UVs, or FLAME_texture.npz for FLAME, which None looks for beside it.\n\n"
"base_pose: what a pose of zero stands for, axis-angle rotations in radians, (J, 3) or up to 3 J\n"
"numbers, that are added to every pose; None is the file's own, or none. 'average', of FLAME, whose\n"
"template looks up: the pitch of joint 0 at which its forehead and chin are above each other.\n\n"
"Raises FileNotFoundError, FormatError where a file is not what it should be, ValueError also for a\n"
"uv_template or mean_texture that this kind of model can't use.");

/* None, "average" or rotations, which live as long as *in. */
static bool get_base_pose(python_input *in, PyObject *object, hds_head_model_params *params)
{
    if (object == Py_None)
        return true;
    if (PyUnicode_Check(object)) {
        params->average_pose = PyUnicode_CompareWithASCIIString(object, "average") == 0;
        if (!params->average_pose)
            PyErr_Format(PyExc_ValueError, "base_pose: %R, expected 'average' or rotations (J, 3)",
                         object);
        return params->average_pose;
    }
    int dims = python_input_dims(object);
    if (dims < 0 || !python_input_get(in, object, "base_pose", 'f', dims == 1 ? "(N,)" : "(J, 3)"))
        return false;
    params->base_pose = in->data;
    params->base_pose_count = in->count;
    return true;
}

static PyObject *head_model_load(PyObject *type, PyObject *arguments, PyObject *keywords)
{
    enum { PATHS = 3 };
    static char *names[] = { "path",        "shape_count",  "expression_count",
                             "uv_template", "mean_texture", "base_pose",
                             NULL };
    const python_state *state = PyType_GetModuleState((PyTypeObject *)type);
    PyObject *objects[PATHS] = { Py_None, Py_None, Py_None }, *paths[PATHS] = { NULL };
    PyObject *base_pose = Py_None;
    python_input turns = { .held = false };
    hds_head_model_params params = { .path = NULL };
    const char **places[PATHS] = { &params.path, &params.uv_template, &params.mean_texture };
    bool good = PyArg_ParseTupleAndKeywords(
        arguments, keywords, "|O$iiOOO:load", names, &objects[0], &params.shape_count,
        &params.expression_count, &objects[1], &objects[2], &base_pose);
    for (int i = 0; good && i < PATHS; i++) {
        good = objects[i] == Py_None || PyUnicode_FSConverter(objects[i], &paths[i]);
        *places[i] = paths[i] ? PyBytes_AsString(paths[i]) : NULL;
    }
    good = good && get_base_pose(&turns, base_pose, &params);
    hds_head_model *model = NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status = HDS_OK;
    if (good) {
        Py_BEGIN_ALLOW_THREADS
        status = hds_head_model_load(&model, &params, &error);
        Py_END_ALLOW_THREADS
    }
    for (int i = 0; i < PATHS; i++)
        Py_XDECREF(paths[i]);
    python_input_finish(&turns);
    if (!good)
        return NULL;
    return status == HDS_OK ? python_head_model_wrap(state, model)
                            : python_raise(state, status, &error);
}

PyDoc_STRVAR(save_doc,
"save($self, path, /)\n--\n\n"
"Save as a headsds .npz file (docs/head-format.md), whatever it was loaded from.\n\n"
"Numbers are float32: loaded again, the model gives the same vertices to the last bit. A file is\n"
"replaced only when all is written. Raises ValueError for another ending than .npz, OSError.");

static PyObject *head_model_save(PyObject *self, PyObject *path_object)
{
    PyObject *path;
    if (!PyUnicode_FSConverter(path_object, &path))
        return NULL;
    const char *file = PyBytes_AsString(path);
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_model_save(((head_model_object *)self)->model, file, &error);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (status != HDS_OK)
        return python_raise(python_state_of(self), status, &error);
    Py_RETURN_NONE;
}

PyDoc_STRVAR(fit_doc,
"fit($self, /, vertices, *, expression=False)\n--\n\n"
"Take a mesh of this topology apart, in the model's vertex order (match_topology gives it): a Fit\n"
"with shape, expression, offsets, rotation, scale, translation and rms.\n\n"
"vertices (V, 3): in any units and axes, not mirrored. expression=True fits expressions too. With\n"
"head the vertices of shape and expression at the template's own rest (pose = -base_pose), each\n"
"vertex is scale rotation (head + offsets) + translation to float precision: coefficients explain\n"
"what they can under a unit Gaussian prior, and the offsets, in metres at rest, keep the rest of a\n"
"sculpt. Raises ValueError for another count, for NaN, for a mirrored mesh, and where all vertices\n"
"lie on a line.");

static PyObject *head_model_fit(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "vertices", "expression", NULL };
    const python_state *state = python_state_of(self);
    const hds_head_model_info info = info_of(self);
    PyObject *object, *arrays[5] = { NULL };
    const size_t extents[5][2] = {
        { info.shape_count }, { info.expression_count }, { info.vertex_count, 3 }, { 3, 3 }, { 3 }
    };
    static const int dims[5] = { 1, 1, 2, 2, 1 };
    void *data[5];
    int expression = 0;
    python_input vertices = { .held = false };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|$p:fit", names, &object, &expression))
        return NULL;
    bool ready = python_input_get(&vertices, object, "vertices", 'f', "(V, 3)");
    for (int i = 0; i < 5 && ready; i++)
        ready = (arrays[i] = python_array_new(state, 'f', dims[i], extents[i], &data[i])) != NULL;
    if (ready) {
        const hds_fit_params params = { vertices.data, vertices.shape[0], expression != 0 };
        hds_fit fit = { .shape = data[0], .expression = data[1], .offsets = data[2] };
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = hds_head_model_fit(((head_model_object *)self)->model, &params, &fit, &error);
        Py_END_ALLOW_THREADS
        python_input_finish(&vertices);
        if (status == HDS_OK) {
            memcpy(data[3], fit.rotation, sizeof fit.rotation);
            memcpy(data[4], fit.translation, sizeof fit.translation);
            return python_fit(state, arrays, &fit);
        }
        (void)python_raise(state, status, &error);
    }
    python_input_finish(&vertices);
    for (int i = 0; i < 5; i++)
        Py_XDECREF(arrays[i]);
    return NULL;
}

static PyObject *get_name(PyObject *self, void *closure)
{
    return PyUnicode_FromString(info_of(self).name);
}

/* closure: the offset of a size_t in the info. */
static PyObject *get_count(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    return PyLong_FromSize_t(*(const size_t *)((const char *)&info + (size_t)closure));
}

static PyObject *get_faces(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    size_t extents[2] = { info.face_count, 3 };
    return python_array_borrow(python_state_of(self), self, info.faces, 'I', 2, extents);
}

static PyObject *get_uvs(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    size_t extents[2] = { info.uv_count, 2 };
    return python_array_borrow(python_state_of(self), self, info.uvs, 'f', 2, extents);
}

static PyObject *get_uv_faces(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    size_t extents[2] = { info.face_count, 3 };
    return python_array_borrow(python_state_of(self), self, info.uv_faces, 'I', 2, extents);
}

static PyObject *get_mean_texture(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    size_t extents[3] = { info.texture_height, info.texture_width, 3 };
    return python_array_borrow(python_state_of(self), self, info.mean_texture, 'B', 3, extents);
}

PyDoc_STRVAR(measure_doc,
"measure($self, /, shape=None)\n--\n\n"
"What shape coefficients make of a head: a dict of attribute and value, each a linear function of\n"
"them, in the unit that the model's population has it: {'age': 71.0, 'nose-hump-decr-incr': 0.6 ...}.\n\n"
"shape: at most shape_count numbers, in standard deviations; what is missing is zero. Empty where\n"
"the model does not say. Raises ValueError for too many or for NaN.");

static PyObject *head_model_measure(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "shape", NULL };
    const python_state *state = python_state_of(self);
    hds_head_model_info info = info_of(self);
    PyObject *shape = Py_None, *result = NULL;
    python_input in = { .held = false };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|O:measure", names, &shape) ||
        (shape != Py_None && !python_input_get(&in, shape, "shape", 'f', "(S,)")))
        return NULL;
    hds_error error = { .status = HDS_OK };
    float *values = PyMem_Malloc((info.attribute_count + 1) * sizeof *values);
    hds_status status = values ? hds_head_model_measure(((head_model_object *)self)->model, in.data,
                                                        in.count, values, &error)
                               : HDS_OK;
    if (!values)
        PyErr_NoMemory();
    else if (status)
        python_raise(state, status, &error);
    else
        result = PyDict_New();
    for (size_t i = 0; result && i < info.attribute_count; i++) {
        PyObject *value = PyFloat_FromDouble(values[i]);
        if (!value || PyDict_SetItemString(result, info.attribute_names[i], value) < 0)
            Py_CLEAR(result);
        Py_XDECREF(value);
    }
    PyMem_Free(values);
    python_input_finish(&in);
    return result;
}

static PyObject *get_expression_names(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    return python_strings(info.expression_names, info.expression_count);
}

static PyObject *get_joint_names(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    return python_strings(info.joint_names, info.joint_count);
}

static PyObject *get_part_names(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    return python_strings(info.part_names, info.part_count);
}

static PyObject *get_face_parts(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    return python_array_borrow(python_state_of(self), self, info.face_parts, 'I', 1,
                               &info.face_count);
}

static PyObject *get_base_pose_view(PyObject *self, void *closure)
{
    hds_head_model_info info = info_of(self);
    size_t extents[2] = { info.joint_count, 3 };
    return python_array_borrow(python_state_of(self), self, info.base_pose, 'f', 2, extents);
}

static PyMethodDef head_model_methods[] = {
    { "load", (PyCFunction)(void (*)(void))head_model_load,
      METH_VARARGS | METH_KEYWORDS | METH_CLASS, load_doc },
    { "save", head_model_save, METH_O, save_doc },
    { "vertices", (PyCFunction)(void (*)(void))python_vertices, METH_VARARGS | METH_KEYWORDS,
      python_vertices_doc },
    { "vertices_gradient", (PyCFunction)(void (*)(void))python_vertices_gradient,
      METH_VARARGS | METH_KEYWORDS, python_vertices_gradient_doc },
    { "measure", (PyCFunction)(void (*)(void))head_model_measure, METH_VARARGS | METH_KEYWORDS,
      measure_doc },
    { "uv_mirror", (PyCFunction)(void (*)(void))python_uv_mirror, METH_VARARGS | METH_KEYWORDS,
      python_uv_mirror_doc },
    { "fit", (PyCFunction)(void (*)(void))head_model_fit, METH_VARARGS | METH_KEYWORDS, fit_doc },
    { NULL, NULL, 0, NULL },
};

#define COUNT(field) (void *)offsetof(hds_head_model_info, field)
static PyGetSetDef head_model_getters[] = {
    { "name", get_name, NULL, "What the model calls itself.", NULL },
    { "vertex_count", get_count, NULL, "V", COUNT(vertex_count) },
    { "face_count", get_count, NULL, "F", COUNT(face_count) },
    { "shape_count", get_count, NULL, "Shape components.", COUNT(shape_count) },
    { "expression_count", get_count, NULL, "Expression components.", COUNT(expression_count) },
    { "joint_count", get_count, NULL, "J", COUNT(joint_count) },
    { "faces", get_faces, NULL, "(F, 3) uint32, vertices, counter-clockwise seen from outside.",
      NULL },
    { "uvs", get_uvs, NULL, "(T, 2) float32, v up; None without a UV layout.", NULL },
    { "uv_faces", get_uv_faces, NULL, "(F, 3) uint32, indices of uvs; None without.", NULL },
    { "expression_names", get_expression_names, NULL, "A tuple of str.", NULL },
    { "joint_names", get_joint_names, NULL, "A tuple of str; joint 0 turns the whole head.", NULL },
    { "base_pose", get_base_pose_view, NULL,
      "(J, 3) float32, axis-angle in radians, added to every pose; None: zeros.", NULL },
    { "part_names", get_part_names, NULL,
      "A tuple of str: eyeballs, teeth ...; empty where the model does not say.", NULL },
    { "face_parts", get_face_parts, NULL, "(F,) uint32, of part_names; None without.", NULL },
    { "mean_texture", get_mean_texture, NULL, "(H, W, 3) uint8 sRGB, row 0 at v = 1; or None.",
      NULL },
    { NULL, NULL, NULL, NULL, NULL },
};

PyDoc_STRVAR(head_model_doc,
"A morphable head: blend shapes, joints and skinning over a fixed topology.\n\n"
"HeadModel.load() makes one. Immutable, may be shared between threads. Its arrays are read-only\n"
"memoryviews; numpy.asarray() takes them without a copy.");

static PyType_Slot head_model_slots[] = {
    { Py_tp_doc, (void *)head_model_doc }, { Py_tp_dealloc, head_model_dealloc },
    { Py_tp_repr, head_model_repr },       { Py_tp_methods, head_model_methods },
    { Py_tp_getset, head_model_getters },  { 0, NULL },
};

PyType_Spec python_head_model_spec = {
    .name = "headsds.HeadModel",
    .basicsize = sizeof(head_model_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = head_model_slots,
};

/* SPDX-License-Identifier: Apache-2.0 */
/* import headsds: the extension module on the stable ABI. As Python it would read
 *
 *   __version__ = "..."
 *   class Error(Exception); class FormatError(Error, ValueError); class Cancelled(Error)
 *   class HeadModel; class Prior; class Clip; class Head; class Job
 *   class Progress; class HistoryEntry; class Fit
 *   def generate(prompt, ...): job = Job(prompt, ...); job.start(); return job.wait()
 *   def match_topology(model, sizes, corners, vertex_count, positions=None)
 *   def write_png(path, image)
 *   def cameras(name, count, seed=0)
 *
 * One file a type; nothing here knows how heads are made. */
#include "python.h"

#include "headsds/head_model.h"
#include "headsds/render.h"
#include "headsds/version.h"

#include <math.h>
#include <string.h>

PyDoc_STRVAR(write_png_doc,
"write_png($module, path, image, /)\n--\n\n"
"Write a picture (H, W, 3), uint8 or float in [0, 1], sRGB, row 0 at the top. Raises OSError.");

static bool holds_floats(PyObject *object)
{
    Py_buffer view;
    if (PyObject_GetBuffer(object, &view, PyBUF_FORMAT | PyBUF_STRIDES) < 0) {
        PyErr_Clear();
        return false;
    }
    bool floats = view.format && strpbrk(view.format, "efd");
    PyBuffer_Release(&view);
    return floats;
}

/* The bytes of an image: its own, or new ones in *copy. */
static bool get_bytes(python_input *image, PyObject *object, uint8_t **copy, const uint8_t **bytes)
{
    bool floats = holds_floats(object);
    if (!python_input_get(image, object, "image", floats ? 'f' : 'B', "(H, W, 3)"))
        return false;
    *bytes = image->data;
    if (!floats)
        return true;
    const float *values = image->data;
    *copy = PyMem_Malloc(image->count + 1);
    if (!*copy) {
        PyErr_NoMemory();
        return false;
    }
    for (size_t i = 0; i < image->count; i++) {
        if (!isfinite(values[i])) {
            PyErr_Format(PyExc_ValueError, "image: number %zu is not finite", i);
            return false;
        }
        (*copy)[i] = (uint8_t)lrintf(255 * fminf(fmaxf(values[i], 0), 1));
    }
    *bytes = *copy;
    return true;
}

static PyObject *write_png(PyObject *module, PyObject *arguments)
{
    const python_state *state = PyModule_GetState(module);
    PyObject *path = NULL, *object, *result = NULL;
    python_input image = { .held = false };
    uint8_t *copy = NULL;
    const uint8_t *bytes;
    if (!PyArg_ParseTuple(arguments, "O&O:write_png", PyUnicode_FSConverter, &path, &object))
        return NULL;
    if (!get_bytes(&image, object, &copy, &bytes))
        goto done;
    const char *file = PyBytes_AsString(path);
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_write_png(file, bytes, image.shape[1], image.shape[0], &error);
    Py_END_ALLOW_THREADS
    result = status == HDS_OK ? Py_NewRef(Py_None) : python_raise(state, status, &error);
done:
    PyMem_Free(copy);
    python_input_finish(&image);
    Py_DECREF(path);
    return result;
}

PyDoc_STRVAR(match_topology_doc,
"match_topology($module, model, sizes, corners, vertex_count, positions=None, /)\n--\n\n"
"Match a mesh that has a HeadModel's topology: the same number of vertices, and the same triangles\n"
"once polygons are split, in any order. Returns the order, (V,) uint32: for each vertex of the mesh\n"
"the model's. Where the mesh's own order does not fit, it comes from how the faces are connected.\n\n"
"sizes (P,): corners of each polygon; corners (sum of sizes,): their vertices in a row; both of\n"
"any integer type. positions (V, 3): where the mesh's vertices are, in any units and axes; between\n"
"parts that are connected alike, as two eyeballs are, they decide, and without them the first order\n"
"that fits is taken. Raises ValueError that says what differs first.");

typedef struct match_inputs {
    python_input sizes, corners, positions;
} match_inputs;

static bool match_inputs_get(match_inputs *in, PyObject *sizes, PyObject *corners,
                             PyObject *positions, Py_ssize_t vertex_count)
{
    const size_t extents[2] = { (size_t)vertex_count, 3 };
    if (!python_input_get(&in->sizes, sizes, "sizes", 'I', "(P,)") ||
        !python_input_get(&in->corners, corners, "corners", 'I', "(C,)") ||
        (positions != Py_None &&
         (!python_input_get(&in->positions, positions, "positions", 'f', "(V, 3)") ||
          !python_input_check(&in->positions, "positions", extents))))
        return false;
    size_t sum = 0;
    for (size_t i = 0; i < in->sizes.count; i++)
        sum += ((const uint32_t *)in->sizes.data)[i];
    if (sum == in->corners.count)
        return true;
    PyErr_Format(PyExc_ValueError, "corners: %zu numbers for polygons of %zu corners in all",
                 in->corners.count, sum);
    return false;
}

static PyObject *match_topology(PyObject *module, PyObject *arguments)
{
    const python_state *state = PyModule_GetState(module);
    PyObject *model_object, *sizes, *corners, *positions = Py_None, *view = NULL;
    Py_ssize_t vertex_count;
    hds_head_model *model;
    if (!PyArg_ParseTuple(arguments, "OOOn|O:match_topology", &model_object, &sizes, &corners,
                          &vertex_count, &positions) ||
        !python_head_model_get(state, model_object, "model", &model))
        return NULL;
    if (!model) {
        PyErr_SetString(PyExc_TypeError, "model: None, expected a headsds.HeadModel");
        return NULL;
    }
    if (vertex_count < 0)
        return PyErr_Format(PyExc_ValueError, "vertex_count: %zd", vertex_count);
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    size_t extents[1] = { info.vertex_count }; /* another count is refused first of all */
    void *order;
    match_inputs in = { .sizes.held = false };
    if (match_inputs_get(&in, sizes, corners, positions, vertex_count))
        view = python_array_new(state, 'I', 1, extents, &order);
    if (view) {
        const hds_polygons mesh = { (size_t)vertex_count, in.sizes.count, in.sizes.data,
                                    in.corners.data, in.positions.data };
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = hds_head_model_match(model, &mesh, order, &error);
        Py_END_ALLOW_THREADS
        if (status != HDS_OK) {
            Py_DECREF(view);
            view = python_raise(state, status, &error);
        }
    }
    python_input_finish(&in.sizes);
    python_input_finish(&in.corners);
    python_input_finish(&in.positions);
    return view;
}

static bool add_type(PyObject *module, PyType_Spec *spec, const char *name, PyTypeObject **type)
{
    *type = (PyTypeObject *)PyType_FromModuleAndSpec(module, spec, NULL);
    return *type && (!name || PyModule_AddObjectRef(module, name, (PyObject *)*type) == 0);
}

static int module_exec(PyObject *module)
{
    python_state *state = PyModule_GetState(module);
    bool made = python_add_guard() && python_add_end() && python_add_errors(module, state) &&
                python_add_records(module, state) &&
                add_type(module, &python_array_spec, NULL, &state->array) &&
                add_type(module, &python_head_model_spec, "HeadModel", &state->head_model) &&
                add_type(module, &python_prior_spec, "Prior", &state->prior) &&
                add_type(module, &python_clip_spec, "Clip", &state->clip) &&
                add_type(module, &python_head_spec, "Head", &state->head) &&
                add_type(module, &python_job_spec, "Job", &state->job) &&
                PyModule_AddStringConstant(module, "__version__", hds_version()) == 0;
    return made ? 0 : -1;
}

static int module_traverse(PyObject *module, visitproc visit, void *arg)
{
    python_state *state = PyModule_GetState(module);
    Py_VISIT(state->error);
    Py_VISIT(state->format_error);
    Py_VISIT(state->cancelled);
    Py_VISIT(state->array);
    Py_VISIT(state->head_model);
    Py_VISIT(state->prior);
    Py_VISIT(state->clip);
    Py_VISIT(state->head);
    Py_VISIT(state->job);
    Py_VISIT(state->progress);
    Py_VISIT(state->history);
    Py_VISIT(state->fit);
    return 0;
}

static int module_clear(PyObject *module)
{
    python_state *state = PyModule_GetState(module);
    Py_CLEAR(state->error);
    Py_CLEAR(state->format_error);
    Py_CLEAR(state->cancelled);
    Py_CLEAR(state->array);
    Py_CLEAR(state->head_model);
    Py_CLEAR(state->prior);
    Py_CLEAR(state->clip);
    Py_CLEAR(state->head);
    Py_CLEAR(state->job);
    Py_CLEAR(state->progress);
    Py_CLEAR(state->history);
    Py_CLEAR(state->fit);
    return 0;
}

static void module_free(void *module)
{
    module_clear(module);
}

static PyMethodDef functions[] = {
    { "recipes", python_recipes, METH_NOARGS, python_recipes_doc },
    { "options", python_options, METH_NOARGS, python_options_doc },
    { "generate", (PyCFunction)(void (*)(void))python_generate, METH_VARARGS | METH_KEYWORDS,
      python_generate_doc },
    { "write_png", write_png, METH_VARARGS, write_png_doc },
    { "cameras", (PyCFunction)(void (*)(void))python_draw_cameras, METH_VARARGS | METH_KEYWORDS,
      python_draw_cameras_doc },
    { "match_topology", match_topology, METH_VARARGS, match_topology_doc },
    { NULL, NULL, 0, NULL },
};

static PyModuleDef_Slot slots[] = {
    { Py_mod_exec, module_exec },
    { 0, NULL },
};

PyDoc_STRVAR(module_doc,
"3D heads from text: a morphable head tuned by a diffusion model.\n\n"
"    head = headsds.generate('a head with a long nose')\n"
"    head.save('out.glb')\n\n"
"Arrays come back as memoryviews with shape and format, numpy.asarray() takes them as they are;\n"
"anything with the buffer protocol goes in, where floats are wanted of any type of numbers.\n"
"Pictures are either floats in [0, 1] or uint8, as each function says; none takes one for the other.");

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,          .m_name = "headsds",     .m_doc = module_doc,
    .m_size = sizeof(python_state), .m_methods = functions,  .m_slots = slots,
    .m_traverse = module_traverse,  .m_clear = module_clear, .m_free = module_free,
};

PyMODINIT_FUNC PyInit_headsds(void);

PyMODINIT_FUNC PyInit_headsds(void)
{
    return PyModuleDef_Init(&definition);
}

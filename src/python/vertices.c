/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.HeadModel.vertices and vertices_gradient: one head, or several a call. */
#include "python.h"

const char python_vertices_doc[] = PyDoc_STR(
"vertices($self, /, shape=None, expression=None, pose=None)\n--\n\n"
"Vertices (V, 3), float32: metres, y up, right-handed, the face looks to +z.\n\n"
"shape: at most shape_count numbers, in standard deviations; expression: at most\n"
"expression_count weights; pose: axis-angle rotations in radians, (J, 3) or 3 J numbers, joint 0\n"
"turns the whole head. What is missing is zero. Raises ValueError for too many or for NaN.\n\n"
"Several heads a call cost less a head: shape (N, S), expression (N, E) or pose (N, J, 3) gives\n"
"(N, V, 3); an argument without that axis is the same for all N.");

const char python_vertices_gradient_doc[] = PyDoc_STR(
"vertices_gradient($self, /, upstream, shape=None, expression=None, pose=None)\n--\n\n"
"(dshape, dexpression, dpose), float32: the gradient of sum(upstream * vertices(shape,\n"
"expression, pose)) with respect to all the coefficients that the model has, (shape_count,),\n"
"(expression_count,) and (J, 3); of N heads with an axis of N before, also for an argument that\n"
"all of them share: its gradient is the sum over that axis.\n\n"
"upstream: (V, 3), or (N, V, 3) for N heads; the others are as for vertices(). Raises ValueError\n"
"for numbers that are not finite and for shapes that do not fit.");

enum { SHAPE, EXPRESSION, POSE, UPSTREAM, INPUTS };

/* The arguments of both. Zero-initialise it. */
typedef struct batch {
    python_input inputs[INPUTS]; /* what is None has no data */
    bool many;                   /* an axis for the heads */
    size_t count;                /* of heads */
    hds_coefficients *heads;     /* (count) */
} batch;

static const char *const input_names[INPUTS] = { "shape", "expression", "pose", "upstream" };

/* An argument without an axis for the heads, or with one; a pose may also be a row of numbers. */
static bool get_input(batch *b, int which, PyObject *object)
{
    static const char *const patterns[INPUTS][2] = { { "(S,)", "(N, S)" },
                                                     { "(E,)", "(N, E)" },
                                                     { "(J, 3)", "(N, J, 3)" },
                                                     { "(V, 3)", "(N, V, 3)" } };
    const int one = which < POSE ? 1 : 2;
    python_input *in = &b->inputs[which];
    const char *name = input_names[which];
    int dims = python_input_dims(object);
    bool many = dims == one + 1;
    if (dims < 0 || !python_input_get(in, object, name, 'f',
                                      which == POSE && dims == 1 ? "(N,)" : patterns[which][many]))
        return false;
    if (many && b->many && b->count != in->shape[0]) {
        PyErr_Format(PyExc_ValueError, "%s: %zu heads, expected %zu as in the arguments before it",
                     name, in->shape[0], b->count);
        return false;
    }
    if (many)
        b->count = in->shape[0];
    b->many |= many;
    return true;
}

/* Where the numbers of a head begin, and how many it has. */
static const float *numbers_of(const batch *b, int which, size_t head, size_t *count)
{
    const python_input *in = &b->inputs[which];
    bool own = in->dims == (which < POSE ? 2 : 3);
    *count = own ? in->count / (in->shape[0] ? in->shape[0] : 1) : in->count;
    return own ? (const float *)in->data + head * *count : in->data;
}

static bool batch_get(batch *b, PyObject *const objects[INPUTS], size_t vertex_count)
{
    for (int i = 0; i < INPUTS; i++)
        if (objects[i] && (i == UPSTREAM || objects[i] != Py_None) && !get_input(b, i, objects[i]))
            return false;
    const python_input *upstream = &b->inputs[UPSTREAM];
    const size_t extents[] = { b->count, vertex_count, 3 };
    if (objects[UPSTREAM] && b->many && upstream->dims == 2) {
        PyErr_Format(PyExc_ValueError, "upstream: (%zu, 3), expected (%zu, %zu, 3) for %zu heads",
                     upstream->shape[0], b->count, vertex_count, b->count);
        return false;
    }
    if (objects[UPSTREAM] &&
        !python_input_check(upstream, "upstream", b->many ? extents : extents + 1))
        return false;
    if (!b->many)
        b->count = 1;
    b->heads = PyMem_Calloc(b->count + 1, sizeof *b->heads);
    if (!b->heads)
        PyErr_NoMemory();
    for (size_t h = 0; b->heads && h < b->count; h++) {
        hds_coefficients *c = &b->heads[h];
        c->shape = numbers_of(b, SHAPE, h, &c->shape_count);
        c->expression = numbers_of(b, EXPRESSION, h, &c->expression_count);
        c->pose = numbers_of(b, POSE, h, &c->pose_count);
    }
    return b->heads != NULL;
}

static void batch_finish(batch *b)
{
    for (int i = 0; i < INPUTS; i++)
        python_input_finish(&b->inputs[i]);
    PyMem_Free(b->heads);
}

/* Zeros (N, rows, columns) or, of one head, (rows, columns); columns 0: without that axis. */
static PyObject *new_array(PyObject *self, const batch *b, size_t rows, size_t columns, void **data)
{
    const size_t extents[] = { b->count, rows, columns };
    return python_array_new(python_state_of(self), 'f', 1 + b->many + (columns > 0),
                            b->many ? extents : extents + 1, data);
}

PyObject *python_vertices(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "shape", "expression", "pose", NULL };
    PyObject *objects[INPUTS] = { NULL }, *view = NULL;
    hds_head_model *model;
    hds_head_model_info info;
    if (!python_head_model_get(python_state_of(self), self, "self", &model) ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "|OOO:vertices", names, &objects[SHAPE],
                                     &objects[EXPRESSION], &objects[POSE]))
        return NULL;
    hds_head_model_get_info(model, &info);
    batch b = { .heads = NULL };
    void *vertices;
    if (batch_get(&b, objects, info.vertex_count))
        view = new_array(self, &b, info.vertex_count, 3, &vertices);
    if (view) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        Py_BEGIN_ALLOW_THREADS
        status = hds_head_model_vertices_batch(model, b.heads, b.count, vertices, &error);
        Py_END_ALLOW_THREADS
        view = python_finish(self, view, status, &error);
    }
    batch_finish(&b);
    return view;
}

/* The gradients of a batch into three new arrays. */
static PyObject *run_gradient(PyObject *self, const hds_head_model *model, const batch *b)
{
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    void *data[3];
    PyObject *views[3] = { new_array(self, b, info.shape_count, 0, &data[SHAPE]) };
    if (views[0])
        views[1] = new_array(self, b, info.expression_count, 0, &data[EXPRESSION]);
    if (views[1])
        views[2] = new_array(self, b, info.joint_count, 3, &data[POSE]);
    hds_gradients *gradients = views[2] ? PyMem_Calloc(b->count + 1, sizeof *gradients) : NULL;
    if (views[2] && !gradients)
        PyErr_NoMemory();
    PyObject *tuple = gradients ? PyTuple_Pack(3, views[0], views[1], views[2]) : NULL;
    for (int i = 0; i < 3; i++)
        Py_XDECREF(views[i]);
    if (tuple) {
        hds_error error = { .status = HDS_OK };
        hds_status status;
        for (size_t h = 0; h < b->count; h++)
            gradients[h] = (hds_gradients){ (float *)data[SHAPE] + h * info.shape_count,
                                            (float *)data[EXPRESSION] + h * info.expression_count,
                                            (float *)data[POSE] + h * 3 * info.joint_count };
        Py_BEGIN_ALLOW_THREADS
        status = hds_head_model_vertices_adjoint(model, b->heads, b->count,
                                                 b->inputs[UPSTREAM].data, gradients, &error);
        Py_END_ALLOW_THREADS
        tuple = python_finish(self, tuple, status, &error);
    }
    PyMem_Free(gradients);
    return tuple;
}

PyObject *python_vertices_gradient(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "upstream", "shape", "expression", "pose", NULL };
    PyObject *objects[INPUTS] = { NULL }, *tuple = NULL;
    hds_head_model *model;
    hds_head_model_info info;
    if (!python_head_model_get(python_state_of(self), self, "self", &model) ||
        !PyArg_ParseTupleAndKeywords(arguments, keywords, "O|OOO:vertices_gradient", names,
                                     &objects[UPSTREAM], &objects[SHAPE], &objects[EXPRESSION],
                                     &objects[POSE]))
        return NULL;
    hds_head_model_get_info(model, &info);
    batch b = { .heads = NULL };
    if (batch_get(&b, objects, info.vertex_count))
        tuple = run_gradient(self, model, &b);
    batch_finish(&b);
    return tuple;
}

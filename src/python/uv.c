/* SPDX-License-Identifier: Apache-2.0 */
/* headsds.Head.uv_map and unwrap, headsds.HeadModel.uv_mirror: UV space. */
#include "python.h"

#include <string.h>

const char python_uv_map_doc[] = PyDoc_STR(
"uv_map($self, /, kind, size=512)\n--\n\n"
"(map, coverage): the head's surface over its UV layout. map (size, size, 3), float32, row 0 at\n"
"v = 1; coverage (size, size), uint8: 1 where a face covers the texel's centre, else 0, as map is.\n\n"
"kind: 'positions', in metres, or 'normals', of unit length, both in object space. size: 1 to 8192.\n"
"Where faces overlap the first of the model wins. Raises ValueError for a model without UVs.");

const char python_unwrap_doc[] = PyDoc_STR(
"unwrap($self, /, pictures, azimuth=0, elevation=0, size=512, *, distance=None, fov=20)\n--\n\n"
"(texture, weight) from pictures of this head: texture (size, size, 3), uint8 sRGB, row 0 at v = 1,\n"
"the colours that the pictures show of each texel's surface point, averaged by weight in linear\n"
"light; what none shows takes the colour of the point opposite (uv_mirror) where one shows that;\n"
"what is left, and what lies between the charts, that of the nearest texel. Light stays in it.\n"
"weight (size, size), float32: the sum over the pictures, 0 where none shows the point; of one, the cosine of the angle between normal and viewer, faded out from 60\n"
"to 80 degrees, and a 64th of that within two pixels of an outline, where colours are mixed.\n\n"
"pictures: (N, H, W, 3) of uint8 sRGB, of any height and width. azimuth, elevation, distance, fov:\n"
"as for render, with which they were taken; where all are plain numbers there is one picture,\n"
"(H, W, 3). Raises ValueError.");

const char python_uv_mirror_doc[] =
    PyDoc_STR(
"uv_mirror($self, /, size=512)\n--\n\n"
"Left and right: (size, size, 2), float32, the uv of the point opposite (x -> -x) of each texel's\n"
"surface point on the template, row 0 at v = 1; (-1, -1) where no face is. A texture looked up there\n"
"is the flipped texture. None where the model is not symmetric: its faces don't pair up, corners\n"
"within 1/256 of its largest extent. Raises ValueError for a model without UVs.");

static bool check_size(int size)
{
    if (size >= 1 && size <= HDS_UV_LARGEST_SIZE)
        return true;
    PyErr_Format(PyExc_ValueError, "size: %d, expected 1 to %d", size, HDS_UV_LARGEST_SIZE);
    return false;
}

/* Two arrays (size,size,channels) and (size,size) as a tuple, and their memory. */
static PyObject *new_pair(const python_state *state, int size, char first, char second,
                          void *data[2])
{
    const size_t extents[] = { (size_t)size, (size_t)size, 3 };
    PyObject *a = python_array_new(state, first, 3, extents, &data[0]);
    PyObject *b = a ? python_array_new(state, second, 2, extents, &data[1]) : NULL;
    PyObject *pair = b ? PyTuple_Pack(2, a, b) : NULL;
    Py_XDECREF(a);
    Py_XDECREF(b);
    return pair;
}

PyObject *python_uv_map(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "kind", "size", NULL };
    static const char *const kinds[] = { "positions", "normals" };
    const python_state *state = python_state_of(self);
    python_text name = { .name = "kind" };
    int size = HDS_UV_DEFAULT_SIZE, kind = 0;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O&|i:uv_map", names, python_text_convert,
                                     &name, &size) ||
        !check_size(size))
        return NULL;
    while (kind < 2 && strcmp(name.utf8, kinds[kind]) != 0)
        kind++;
    if (kind == 2)
        return PyErr_Format(PyExc_ValueError, "kind: '%s', expected 'positions' or 'normals'",
                            name.utf8);
    hds_head *head = python_head_of(self);
    void *data[2];
    PyObject *pair = new_pair(state, size, 'f', 'B', data);
    if (!pair)
        return NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_uv_map(head, (hds_uv_map)kind, size, data[0], data[1], &error);
    Py_END_ALLOW_THREADS
    return python_finish(self, pair, status, &error);
}

/* pictures (N, H, W, 3), or with one camera (H, W, 3). */
static bool get_pictures(python_input *in, PyObject *object, const python_cameras *cameras,
                         hds_unwrap_params *params)
{
    if (!python_input_get(in, object, "pictures", 'B',
                          cameras->many ? "(N, H, W, 3)" : "(H, W, 3)"))
        return false;
    const size_t *extents = in->shape + cameras->many;
    if (cameras->many && in->shape[0] != cameras->count) {
        PyErr_Format(PyExc_ValueError, "pictures: %zu of them, expected %zu, as many as cameras",
                     in->shape[0], cameras->count);
        return false;
    }
    params->pictures = in->data;
    params->height = extents[0];
    params->width = extents[1];
    params->cameras = cameras->values;
    params->count = cameras->count;
    return true;
}

static PyObject *unwrap(PyObject *self, const hds_unwrap_params *params)
{
    hds_head *head = python_head_of(self);
    void *data[2];
    PyObject *pair = new_pair(python_state_of(self), params->size, 'B', 'f', data);
    if (!pair)
        return NULL;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_unwrap(head, params, data[0], data[1], &error);
    Py_END_ALLOW_THREADS
    return python_finish(self, pair, status, &error);
}

PyObject *python_unwrap(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "pictures", "azimuth", "elevation", "size", "distance", "fov", NULL };
    PyObject *pictures, *azimuth = NULL, *elevation = NULL, *distance = NULL, *fov = NULL;
    PyObject *pair = NULL;
    hds_unwrap_params params = { .size = HDS_UV_DEFAULT_SIZE };
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "O|OOi$OO:unwrap", names, &pictures,
                                     &azimuth, &elevation, &params.size, &distance, &fov) ||
        !check_size(params.size))
        return NULL;
    python_cameras cameras = { .values = NULL };
    python_input in = { .held = false };
    if (python_cameras_get(&cameras, azimuth, elevation, distance, fov) &&
        get_pictures(&in, pictures, &cameras, &params))
        pair = unwrap(self, &params);
    python_cameras_finish(&cameras);
    python_input_finish(&in);
    return pair;
}

PyObject *python_uv_mirror(PyObject *self, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = { "size", NULL };
    const python_state *state = python_state_of(self);
    hds_head_model *model;
    int size = HDS_UV_DEFAULT_SIZE;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|i:uv_mirror", names, &size) ||
        !check_size(size) || !python_head_model_get(state, self, "self", &model))
        return NULL;
    const size_t extents[] = { (size_t)size, (size_t)size, 2 };
    void *map;
    PyObject *view = python_array_new(state, 'f', 3, extents, &map);
    if (!view)
        return NULL;
    bool symmetric = false;
    hds_error error = { .status = HDS_OK };
    hds_status status;
    Py_BEGIN_ALLOW_THREADS
    status = hds_head_model_uv_mirror(model, size, map, &symmetric, &error);
    Py_END_ALLOW_THREADS
    if (status == HDS_OK && !symmetric) {
        Py_DECREF(view);
        Py_RETURN_NONE;
    }
    return python_finish(self, view, status, &error);
}

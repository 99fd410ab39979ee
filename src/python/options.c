/* SPDX-License-Identifier: Apache-2.0 */
/* Options of recipes between Python and the core: dicts of values to settings, and the tables and
 * recipes as Python objects. */
#include "python.h"

#include <string.h>

/* ---- dicts to settings ---- */

void python_settings_finish(python_settings *s)
{
    for (size_t i = 0; i < s->count; i++) {
        PyMem_Free((char *)s->settings[i].name);
        PyMem_Free((char *)s->settings[i].value);
    }
    PyMem_Free(s->settings);
    *s = (python_settings){ 0 };
}

static char *copy(const char *a, const char *b, const char *c)
{
    size_t size = strlen(a) + strlen(b) + strlen(c) + 1;
    char *text = PyMem_Malloc(size);
    if (text)
        PyOS_snprintf(text, size, "%s%s%s", a, b, c);
    return text;
}

/* Adds stage + dot + name = value. */
static bool add(python_settings *s, const char *stage, const char *name, const char *value)
{
    hds_setting *more = PyMem_Realloc(s->settings, (s->count + 1) * sizeof *more);
    if (!more) {
        PyErr_NoMemory();
        return false;
    }
    s->settings = more;
    hds_setting *new = &more[s->count];
    *new = (hds_setting){ copy(stage, stage[0] ? "." : "", name), copy(value, "", "") };
    s->count++; /* also when it is incomplete, for python_settings_finish */
    if (!new->name || !new->value)
        PyErr_NoMemory();
    return new->name &&new->value;
}

/* The option that a path ends with; NULL: none that is known. */
static const hds_option *option_of(const char *path)
{
    size_t count;
    const char *dot = strrchr(path, '.');
    const char *name = dot ? dot + 1 : path;
    const hds_option *table = hds_stage_options(&count), *o = hds_option_find(table, count, name);
    if (o)
        return o;
    table = hds_guidance_options(&count);
    return hds_option_find(table, count, name);
}

/* What an option's value must be; NULL: it is that. */
static const char *wrong_type(const hds_option *o, PyObject *value)
{
    bool number = PyIndex_Check(value) || PyFloat_Check(value) || PyNumber_Check(value);
    switch (o ? o->type : HDS_OPTION_FLOAT) {
    case HDS_OPTION_BOOL:
        return PyBool_Check(value) ? NULL : "a bool";
    case HDS_OPTION_INT:
        return PyIndex_Check(value) && !PyBool_Check(value) ? NULL : "an int";
    case HDS_OPTION_NAME:
        return PyUnicode_Check(value) ? NULL : "a str";
    case HDS_OPTION_FLOAT:
        return number && !PyUnicode_Check(value) && !PyBool_Check(value) ? NULL : "a number";
    }
    return NULL;
}

/* The value as text, a new str; NULL with an exception. */
static PyObject *text_of(PyObject *value)
{
    if (PyUnicode_Check(value))
        return Py_NewRef(value);
    if (PyBool_Check(value))
        return PyUnicode_FromString(value == Py_True ? "true" : "false");
    PyObject *number = PyIndex_Check(value) ? PyNumber_Index(value) : PyNumber_Float(value);
    PyObject *text = number ? PyObject_Repr(number) : NULL;
    Py_XDECREF(number);
    return text;
}

static bool take_value(python_settings *s, const char *stage, PyObject *key, PyObject *value)
{
    Py_ssize_t size = 0;
    const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, &size) : NULL;
    if (!name || strlen(name) != (size_t)size) {
        PyErr_Clear();
        PyErr_Format(PyExc_ValueError, "%s: unknown option %R, expected its name",
                     stage[0] ? stage : "options", key);
        return false;
    }
    const hds_option *o = option_of(name);
    const char *expected = wrong_type(o, value);
    if (expected) {
        PyErr_Format(PyExc_TypeError, "%s%s%s: %R, expected %s", stage, stage[0] ? "." : "", name,
                     value, expected);
        return false;
    }
    if (o && o->former && strcmp(o->name, name) &&
        PyErr_WarnFormat(PyExc_DeprecationWarning, 2, "%s is called %s now", o->former, o->name))
        return false;
    PyObject *text = text_of(value);
    const char *utf8 = text ? python_text_get(text, name) : NULL;
    bool good = utf8 && add(s, stage, name, utf8);
    Py_XDECREF(text);
    return good;
}

bool python_settings_get(python_settings *s, const char *argument, const char *stage,
                         PyObject *object)
{
    if (!object)
        return true;
    if (object == Py_None)
        return stage[0] ? add(s, stage, "skip", "true") : true;
    if (!PyDict_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: %R, expected a dict of options%s", argument,
                     (PyObject *)Py_TYPE(object), stage[0] ? ", or None to skip it" : "");
        return false;
    }
    PyObject *key, *value;
    for (Py_ssize_t at = 0; PyDict_Next(object, &at, &key, &value);)
        if (!take_value(s, stage, key, value))
            return false;
    return true;
}

/* ---- tables and recipes ---- */

/* Sets dict[name] to value, which it takes; false with an exception. */
static bool put(PyObject *dict, const char *name, PyObject *value)
{
    bool good = value && PyDict_SetItemString(dict, name, value) == 0;
    Py_XDECREF(value);
    return good;
}

static PyObject *value_of(const hds_option *o, const void *params)
{
    const char *field = (const char *)params + o->offset;
    char text[HDS_OPTION_TEXT];
    switch (o->type) {
    case HDS_OPTION_BOOL:
        return PyBool_FromLong(*(const bool *)(const void *)field);
    case HDS_OPTION_INT:
        return PyLong_FromLong(*(const int *)(const void *)field);
    case HDS_OPTION_NAME:
        return PyUnicode_FromString(field);
    case HDS_OPTION_FLOAT:
        hds_option_get(o, params, text);
        return PyFloat_FromDouble(PyOS_string_to_double(text, NULL, NULL));
    }
    return NULL;
}

static bool put_values(PyObject *dict, const char *prefix, const hds_option *table, size_t count,
                       const void *params)
{
    for (size_t i = 0; i < count; i++) {
        char name[3 * HDS_NAME];
        PyOS_snprintf(name, sizeof name, "%s%s%s", prefix, prefix[0] ? "." : "", table[i].name);
        if (!put(dict, name, value_of(&table[i], params)))
            return false;
    }
    return true;
}

static PyObject *stage_dict(const hds_stage_params *s)
{
    size_t count, guidances;
    const hds_option *table = hds_stage_options(&count);
    const hds_option *guidance = hds_guidance_options(&guidances);
    PyObject *dict = PyDict_New();
    bool good = dict && put_values(dict, "", table, count, s);
    for (int i = 0; i < HDS_MAX_GUIDANCES && s->guidance[i].kind[0] && good; i++)
        good = put_values(dict, i ? s->guidance[i].name : "", guidance, guidances, &s->guidance[i]);
    if (good)
        return dict;
    Py_XDECREF(dict);
    return NULL;
}

const char python_recipes_doc[] =
    PyDoc_STR("recipes($module, /)\n--\n\n"
              "{name: {stage: {option: value}}}: every recipe with all of its options, the first\n"
              "recipe being the default. generate(options={'STAGE.OPTION': value}) changes one.");

PyObject *python_recipes(PyObject *module, PyObject *none)
{
    size_t count;
    const hds_recipe *recipes = hds_recipes(&count);
    PyObject *all = PyDict_New();
    bool good = all;
    for (size_t i = 0; i < count && good; i++) {
        PyObject *stages = PyDict_New();
        good = stages;
        for (size_t k = 0; k < recipes[i].stage_count && good; k++)
            good = put(stages, recipes[i].stages[k].name, stage_dict(&recipes[i].stages[k]));
        good = good && PyDict_SetItemString(all, recipes[i].name, stages) == 0;
        Py_XDECREF(stages);
    }
    if (good)
        return all;
    Py_XDECREF(all);
    return NULL;
}

static PyObject *choices_of(const hds_option *o)
{
    PyObject *text = PyUnicode_FromString(o->choices);
    PyObject *list = text ? PyUnicode_Split(text, NULL, -1) : NULL;
    PyObject *tuple = list ? PyList_AsTuple(list) : NULL;
    Py_XDECREF(text);
    Py_XDECREF(list);
    return tuple;
}

static PyObject *option_dict(const hds_option *o)
{
    static const char *const types[] = { "bool", "int", "float", "name" };
    char range[256];
    hds_option_range(o, range);
    PyObject *dict = PyDict_New();
    bool number = o->type == HDS_OPTION_INT || o->type == HDS_OPTION_FLOAT;
    bool good = dict && put(dict, "type", PyUnicode_FromString(types[o->type])) &&
                put(dict, "help", PyUnicode_FromString(o->help)) &&
                put(dict, "range", PyUnicode_FromString(range));
    if (number)
        good = good && put(dict, "low", PyFloat_FromDouble(o->low)) &&
               put(dict, "high", PyFloat_FromDouble(o->high));
    if (o->type == HDS_OPTION_NAME)
        good = good && put(dict, "choices", choices_of(o));
    if (good)
        return dict;
    Py_XDECREF(dict);
    return NULL;
}

const char python_options_doc[] =
    PyDoc_STR("options($module, /)\n--\n\n"
              "{option: {'type', 'help', 'range', 'low', 'high', 'choices'}} of the stages of\n"
              "recipes, for tools that make an interface of them. type is 'bool', 'int', 'float'\n"
              "or 'name'; low and high are there for numbers, choices for names.");

PyObject *python_options(PyObject *module, PyObject *none)
{
    size_t counts[2];
    const hds_option *const tables[] = { hds_stage_options(&counts[0]),
                                         hds_guidance_options(&counts[1]) };
    PyObject *all = PyDict_New();
    bool good = all;
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < counts[k] && good; i++)
            good = put(all, tables[k][i].name, option_dict(&tables[k][i]));
    if (good)
        return all;
    Py_XDECREF(all);
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The values of a pickle: how they are made within a budget, what the calls that a pickle records
 * stand for where that is known, and how they are looked up. */
#include "io_priv.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIRST_ROOM = 8, ARENA_UNIT = 64 };

/* What the reader knows by itself; see io_call and pickle_array.c. */
static const char *const known[] = {
    "_codecs.encode",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.dict",
    "builtins.frozenset",
    "builtins.list",
    "builtins.object",
    "builtins.set",
    "builtins.tuple",
    "collections.OrderedDict",
    "collections.defaultdict",
    "copyreg._reconstructor",
    "numpy.core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.numeric._frombuffer",
    "numpy.dtype",
    "numpy.ndarray",
    NULL,
};

/* Modules that have had two names. */
static const struct {
    const char *old, *now;
} renamed[] = {
    { "__builtin__", "builtins" },
    { "copy_reg", "copyreg" },
    { "numpy._core.multiarray", "numpy.core.multiarray" },
    { "numpy._core.numeric", "numpy.core.numeric" },
};

io_printable io_print(const void *bytes, size_t size)
{
    io_printable out = { "" };
    const unsigned char *in = bytes;
    size_t shown = size < 60 ? size : 57;
    for (size_t i = 0; i < shown; i++)
        out.text[i] = in[i] >= ' ' && in[i] < 0x7f ? (char)in[i] : '?';
    if (shown < size)
        memcpy(out.text + shown, "...", 3);
    return out;
}

hds_status io_refuse(const io_maker *m, const char *format, ...)
{
    char what[320];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    return hds_raise(m->error, HDS_ERROR_FORMAT, "%s: byte %zu: %s %s", m->where, m->place,
                     m->opcode, what);
}

hds_status io_make_room(io_maker *m, size_t count, size_t size, void **memory)
{
    size_t bytes;
    *memory = NULL;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > m->left ||
        m->left - bytes < ARENA_UNIT)
        return io_refuse(m, "unfolds to more memory than a pickle of this size should");
    *memory = arena_alloc(m->memory, count, size);
    if (!*memory)
        return hds_raise(m->error, HDS_ERROR_MEMORY, "%s: byte %zu: out of memory for %zu bytes",
                         m->where, m->place, bytes);
    m->left -= (bytes + ARENA_UNIT - 1) / ARENA_UNIT * ARENA_UNIT;
    return HDS_OK;
}

hds_status io_make(io_maker *m, io_value_kind kind, io_value **value)
{
    void *memory;
    hds_status status = io_make_room(m, 1, sizeof **value, &memory);
    *value = memory;
    if (!status)
        (*value)->kind = kind;
    return status;
}

hds_status io_make_bytes(io_maker *m, io_value_kind kind, const void *bytes, size_t count,
                         io_value **value)
{
    hds_status status = io_make(m, kind, value);
    if (!status) {
        (*value)->bytes = bytes;
        (*value)->count = count;
    }
    return status;
}

hds_status io_append(io_maker *m, io_value *to, io_value *const *items, size_t count)
{
    if (count > to->room - to->count) {
        void *memory;
        size_t room = to->count + count > 2 * to->room ? to->count + count : 2 * to->room;
        if (room < FIRST_ROOM && to->kind != IO_VALUE_TUPLE)
            room = FIRST_ROOM;
        hds_status status = io_make_room(m, room, sizeof *to->items, &memory);
        if (status)
            return status;
        if (to->count)
            memcpy(memory, to->items, to->count * sizeof *to->items);
        to->items = memory;
        to->room = room;
    }
    for (size_t i = 0; i < count; i++)
        to->items[to->count++] = items[i];
    return HDS_OK;
}

/* The entry of `list` that is "module.name", or NULL. */
static const char *find_name(const char *const *list, const char *module, size_t module_size,
                             const char *name, size_t name_size)
{
    for (; list && *list; list++)
        if (strlen(*list) == module_size + 1 + name_size && !memcmp(*list, module, module_size) &&
            (*list)[module_size] == '.' && !memcmp(*list + module_size + 1, name, name_size))
            return *list;
    return NULL;
}

hds_status io_make_global(io_maker *m, const char *module, size_t module_size, const char *name,
                          size_t name_size, io_value **value)
{
    const char *now = module;
    size_t now_size = module_size;
    for (size_t i = 0; i < sizeof renamed / sizeof *renamed; i++)
        if (strlen(renamed[i].old) == module_size && !memcmp(renamed[i].old, module, module_size)) {
            now = renamed[i].now;
            now_size = strlen(now);
        }
    const char *found = find_name(known, now, now_size, name, name_size);
    if (!found)
        found = find_name(m->globals, now, now_size, name, name_size);
    if (!found)
        return hds_raise(m->error, HDS_ERROR_FORMAT,
                         "%s: byte %zu: asks for %s.%s, which is not among the things that such a "
                         "file may hold",
                         m->where, m->place, io_print(module, module_size).text,
                         io_print(name, name_size).text);
    return io_make_bytes(m, IO_VALUE_GLOBAL, found, strlen(found), value);
}

bool io_utf8_next(const unsigned char **at, const unsigned char *end, uint32_t *code)
{
    static const uint32_t smallest[] = { 0, 0x80, 0x800, 0x10000 };
    const unsigned char *in = *at;
    unsigned more = *in < 0x80 ? 0 : *in < 0xe0 ? 1 : *in < 0xf0 ? 2 : 3;
    if ((*in >= 0x80 && *in < 0xc2) || *in > 0xf4 || (size_t)(end - in) <= more)
        return false;
    uint32_t all = more ? *in & (0x3fu >> more) : *in;
    for (unsigned i = 1; i <= more; i++) {
        if ((in[i] & 0xc0) != 0x80)
            return false;
        all = all << 6 | (in[i] & 0x3f);
    }
    *at = in + more + 1;
    *code = all;
    return all >= smallest[more] && all <= 0x10ffff && (all < 0xd800 || all > 0xdfff);
}

/* Text of code points up to 255 -> bytes: how Python 3 puts bytes into pickles of protocol 2. */
static hds_status encode_latin1(io_maker *m, const io_value *text, io_value **value)
{
    void *memory;
    hds_status status = io_make_room(m, text->count, 1, &memory);
    if (status)
        return status;
    const unsigned char *at = (const unsigned char *)text->bytes, *end = at + text->count;
    unsigned char *out = memory;
    for (uint32_t code; at < end; *out++ = (unsigned char)code)
        if (!io_utf8_next(&at, end, &code) || code > 0xff)
            return io_refuse(m, "encodes text as latin1 that has other characters");
    return io_make_bytes(m, IO_VALUE_BYTES, memory, (size_t)(out - (unsigned char *)memory), value);
}

/* bytes(), bytes(b"..."), bytes("...", "latin1") and the like. */
static hds_status call_bytes(io_maker *m, const io_value *arguments, io_value **value)
{
    const io_value *text = arguments->count ? arguments->items[0] : NULL;
    if (!text)
        return io_make_bytes(m, IO_VALUE_BYTES, "", 0, value);
    if (text->kind == IO_VALUE_BYTES)
        return io_make_bytes(m, IO_VALUE_BYTES, text->bytes, text->count, value);
    const io_value *codec = arguments->count == 2 ? arguments->items[1] : NULL;
    if (text->kind != IO_VALUE_TEXT ||
        !(io_value_is(codec, "latin1") || io_value_is(codec, "latin-1")))
        return io_refuse(m, "makes bytes of something else than bytes or latin1 text");
    return encode_latin1(m, text, value);
}

/* set([...]), list((...)) and the like: the items once more. */
static hds_status call_list(io_maker *m, io_value_kind kind, const io_value *arguments,
                            io_value **value)
{
    const io_value *items = arguments->count ? arguments->items[0] : NULL;
    if (items && items->kind != IO_VALUE_LIST && items->kind != IO_VALUE_TUPLE)
        return io_refuse(m, "makes a list, tuple or set of something else than a list or tuple");
    hds_status status = io_make(m, kind, value);
    if (status || !items || !items->count)
        return status;
    return io_append(m, *value, items->items, items->count);
}

/* OrderedDict(), OrderedDict([[key, value], ...]). */
static hds_status call_dict(io_maker *m, const io_value *arguments, io_value **value)
{
    const io_value *pairs = arguments->count ? arguments->items[0] : NULL;
    hds_status status = io_make(m, IO_VALUE_DICT, value);
    if (pairs && pairs->kind != IO_VALUE_LIST && !status)
        status = io_refuse(m, "makes a dict of something else than a list of pairs");
    for (size_t i = 0; pairs && i < pairs->count && !status; i++) {
        const io_value *pair = pairs->items[i];
        if ((pair->kind != IO_VALUE_LIST && pair->kind != IO_VALUE_TUPLE) || pair->count != 2)
            return io_refuse(m, "makes a dict of something else than a list of pairs");
        status = io_append(m, *value, pair->items, 2);
    }
    return status;
}

hds_status io_call(io_maker *m, const io_value *callee, const io_value *arguments, io_value **value)
{
    if (callee->kind != IO_VALUE_GLOBAL || arguments->kind != IO_VALUE_TUPLE)
        return io_refuse(m, "makes an object of something else than a name and a tuple");
    if (io_value_is(callee, "_codecs.encode") || io_value_is(callee, "builtins.bytes") ||
        io_value_is(callee, "builtins.bytearray"))
        return call_bytes(m, arguments, value);
    if (io_value_is(callee, "builtins.set") || io_value_is(callee, "builtins.list"))
        return call_list(m, IO_VALUE_LIST, arguments, value);
    if (io_value_is(callee, "builtins.frozenset") || io_value_is(callee, "builtins.tuple"))
        return call_list(m, IO_VALUE_TUPLE, arguments, value);
    if (io_value_is(callee, "collections.OrderedDict") || io_value_is(callee, "builtins.dict"))
        return call_dict(m, arguments, value);
    if (io_value_is(callee, "collections.defaultdict")) /* the argument makes missing values */
        return io_make(m, IO_VALUE_DICT, value);
    if (io_value_is(callee, "copyreg._reconstructor")) { /* (class, base, value of the base) */
        callee = arguments->count == 3 ? arguments->items[0] : NULL;
        if (!callee || callee->kind != IO_VALUE_GLOBAL)
            return io_refuse(m, "calls copyreg._reconstructor without a class, a base and a value");
    }
    hds_status status = io_make(m, IO_VALUE_OBJECT, value);
    if (!status) {
        (*value)->callee = callee;
        (*value)->arguments = arguments;
    }
    return status;
}

bool io_value_is(const io_value *value, const char *text)
{
    return value &&
           (value->kind == IO_VALUE_TEXT || value->kind == IO_VALUE_BYTES ||
            value->kind == IO_VALUE_GLOBAL) &&
           value->count == strlen(text) && !memcmp(value->bytes, text, value->count);
}

bool io_value_is_of(const io_value *value, const char *name)
{
    return value && value->kind == IO_VALUE_OBJECT && io_value_is(value->callee, name);
}

bool io_value_integer(const io_value *value, int64_t *number)
{
    if (!value || value->kind != IO_VALUE_INTEGER)
        return false;
    *number = value->integer;
    return true;
}

const io_value *io_value_get(const io_value *value, const char *key)
{
    if (value && value->kind == IO_VALUE_OBJECT)
        value = value->state;
    if (!value || value->kind != IO_VALUE_DICT)
        return NULL;
    for (size_t i = value->count / 2; i-- > 0;)
        if (io_value_is(value->items[2 * i], key))
            return value->items[2 * i + 1];
    return NULL;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The machine that a pickle is written for: a stack, marks on it, and a memo of numbered values.
 *
 * Each opcode is one row of the table at the end: its name, how its argument lies in the file, and
 * what it does to the stack. Opcodes that would reach out of the file (extension codes, buffers)
 * have no row. Values are made in pickle_value.c, texts of protocol 0 read in pickle_text.c. */
#include "io_priv.h"

#include <stdlib.h>
#include <string.h>

enum { NEWEST = 5, EACH_BYTE = 64 };
static const size_t base_allowance = (size_t)64 << 20;

/* How an argument lies after its opcode: fixed bytes, a line, or a count and so many bytes. */
typedef enum argument { BARE, U1, U2, I4, U4, U8, LINE, COUNTED1, COUNTED4, COUNTED8 } argument;

/* Makes room for `count` elements in a heap array that doubles; new ones are zero. */
static hds_status grow(io_machine *m, void **array, size_t *room, size_t count, size_t item)
{
    if (count <= *room)
        return HDS_OK;
    size_t wider = count < 64 ? 64 : 2 * count;
    char *memory = realloc(*array, wider * item);
    if (!memory)
        return hds_raise(m->make.error, HDS_ERROR_MEMORY, "%s: out of memory", m->make.where);
    memset(memory + *room * item, 0, (wider - *room) * item);
    *array = memory;
    *room = wider;
    return HDS_OK;
}

hds_status io_machine_push(io_machine *m, io_value *value)
{
    hds_status status =
        grow(m, (void **)&m->stack, &m->stack_room, m->height + 1, sizeof *m->stack);
    if (!status)
        m->stack[m->height++] = value;
    return status;
}

hds_status io_machine_pop(io_machine *m, size_t count, io_value ***items)
{
    size_t floor = m->mark_count ? m->marks[m->mark_count - 1] : 0;
    *items = m->stack;
    if (m->height - floor < count)
        return io_refuse(&m->make, "finds %zu values, needs %zu", m->height - floor, count);
    m->height -= count;
    *items = m->stack + m->height;
    return HDS_OK;
}

hds_status io_machine_pop_mark(io_machine *m, size_t least, io_value ***items, size_t *count)
{
    *items = m->stack;
    *count = 0;
    if (!m->mark_count)
        return io_refuse(&m->make, "finds no mark");
    *count = m->height - m->marks[--m->mark_count];
    m->height -= *count;
    *items = m->stack + m->height;
    return *count >= least ? HDS_OK
                           : io_refuse(&m->make, "finds %zu values, needs %zu", *count, least);
}

static hds_status do_proto(io_machine *m, const io_operand *x)
{
    if (x->number > NEWEST)
        return io_refuse(&m->make, "says protocol %d, known are 0 to %d", (int)x->number, NEWEST);
    return HDS_OK;
}

static hds_status do_frame(io_machine *m, const io_operand *x)
{
    if (x->number > m->size - m->at)
        return io_refuse(&m->make, "claims %llu bytes, %zu are left", (unsigned long long)x->number,
                         m->size - m->at);
    return HDS_OK;
}

static hds_status do_stop(io_machine *m, const io_operand *x)
{
    m->stopped = true;
    return m->height == 1 && !m->mark_count
               ? HDS_OK
               : io_refuse(&m->make, "finds %zu values, needs 1", m->height);
}

static hds_status do_mark(io_machine *m, const io_operand *x)
{
    hds_status status =
        grow(m, (void **)&m->marks, &m->mark_room, m->mark_count + 1, sizeof *m->marks);
    if (!status)
        m->marks[m->mark_count++] = m->height;
    return status;
}

static hds_status do_pop(io_machine *m, const io_operand *x)
{
    io_value **items;
    if (m->mark_count && m->marks[m->mark_count - 1] == m->height) {
        m->mark_count--; /* as Python does */
        return HDS_OK;
    }
    return io_machine_pop(m, 1, &items);
}

static hds_status do_pop_mark(io_machine *m, const io_operand *x)
{
    io_value **items;
    size_t count;
    return io_machine_pop_mark(m, 0, &items, &count);
}

static hds_status do_dup(io_machine *m, const io_operand *x)
{
    io_value **items;
    hds_status status = io_machine_pop(m, 1, &items);
    if (status)
        return status;
    m->height++;
    return io_machine_push(m, m->stack[m->height - 1]);
}

/* The number of a memo entry, from a line or bytes. Python counts them up, so one that is larger
 * than the pickle so far is none. */
static hds_status memo_index(io_machine *m, const io_operand *x, size_t *index)
{
    io_value *number = NULL;
    hds_status status = HDS_OK;
    *index = (size_t)x->number;
    if (m->code == 'g' || m->code == 'p') {
        status = io_make_from_line(&m->make, 'L', x->bytes, x->size, &number);
        if (!status)
            *index = number->kind == IO_VALUE_INTEGER ? (size_t)number->integer : SIZE_MAX;
    }
    if (!status && *index > m->at)
        status = io_refuse(&m->make, "names memo entry %zu, which cannot be", *index);
    return status;
}

static hds_status memorise(io_machine *m, size_t index)
{
    io_value **items;
    hds_status status = io_machine_pop(m, 1, &items);
    if (!status)
        status = grow(m, (void **)&m->memo, &m->memo_room, index + 1, sizeof *m->memo);
    if (status)
        return status;
    m->memo_count += !m->memo[index];
    m->memo[index] = m->stack[m->height++];
    return HDS_OK;
}

static hds_status do_get(io_machine *m, const io_operand *x)
{
    size_t index;
    hds_status status = memo_index(m, x, &index);
    if (!status && (index >= m->memo_room || !m->memo[index]))
        status = io_refuse(&m->make, "names memo entry %zu, which is not there", index);
    return status ? status : io_machine_push(m, m->memo[index]);
}

static hds_status do_put(io_machine *m, const io_operand *x)
{
    size_t index;
    hds_status status = memo_index(m, x, &index);
    return status ? status : memorise(m, index);
}

static hds_status do_memoize(io_machine *m, const io_operand *x)
{
    return memorise(m, m->memo_count);
}

hds_status io_machine_take_line(io_machine *m, io_operand *x)
{
    x->bytes = m->bytes + m->at;
    const unsigned char *end = memchr(x->bytes, '\n', m->size - m->at);
    if (!end)
        return io_refuse(&m->make, "has no end of line: the file may be cut short");
    x->size = (size_t)(end - x->bytes);
    if (x->size && m->code != 'V' && end[-1] == '\r')
        return io_refuse(&m->make, "ends in CR LF: the file was copied as text, which damages a "
                                   "pickle; fetch it again, as a binary file");
    m->at += x->size + 1;
    return HDS_OK;
}

static const struct {
    const char *name;
    argument argument;
    io_op *run;
} opcodes[256] = {
    [0x80] = { "PROTO", U1, do_proto },
    [0x95] = { "FRAME", U8, do_frame },
    ['.'] = { "STOP", BARE, do_stop },
    ['('] = { "MARK", BARE, do_mark },
    ['0'] = { "POP", BARE, do_pop },
    ['1'] = { "POP_MARK", BARE, do_pop_mark },
    ['2'] = { "DUP", BARE, do_dup },
    ['N'] = { "NONE", BARE, io_op_none },
    [0x88] = { "NEWTRUE", BARE, io_op_bool },
    [0x89] = { "NEWFALSE", BARE, io_op_bool },
    ['I'] = { "INT", LINE, io_op_line },
    ['L'] = { "LONG", LINE, io_op_line },
    ['F'] = { "FLOAT", LINE, io_op_line },
    ['S'] = { "STRING", LINE, io_op_line },
    ['V'] = { "UNICODE", LINE, io_op_line },
    ['J'] = { "BININT", I4, io_op_integer },
    ['K'] = { "BININT1", U1, io_op_integer },
    ['M'] = { "BININT2", U2, io_op_integer },
    [0x8a] = { "LONG1", COUNTED1, io_op_long },
    [0x8b] = { "LONG4", COUNTED4, io_op_long },
    ['G'] = { "BINFLOAT", U8, io_op_real },
    ['T'] = { "BINSTRING", COUNTED4, io_op_bytes },
    ['U'] = { "SHORT_BINSTRING", COUNTED1, io_op_bytes },
    ['B'] = { "BINBYTES", COUNTED4, io_op_bytes },
    ['C'] = { "SHORT_BINBYTES", COUNTED1, io_op_bytes },
    [0x8e] = { "BINBYTES8", COUNTED8, io_op_bytes },
    [0x96] = { "BYTEARRAY8", COUNTED8, io_op_bytes },
    ['X'] = { "BINUNICODE", COUNTED4, io_op_text },
    [0x8c] = { "SHORT_BINUNICODE", COUNTED1, io_op_text },
    [0x8d] = { "BINUNICODE8", COUNTED8, io_op_text },
    [')'] = { "EMPTY_TUPLE", BARE, io_op_empty },
    [']'] = { "EMPTY_LIST", BARE, io_op_empty },
    ['}'] = { "EMPTY_DICT", BARE, io_op_empty },
    [0x8f] = { "EMPTY_SET", BARE, io_op_empty },
    [0x85] = { "TUPLE1", BARE, io_op_tuple },
    [0x86] = { "TUPLE2", BARE, io_op_tuple },
    [0x87] = { "TUPLE3", BARE, io_op_tuple },
    ['t'] = { "TUPLE", BARE, io_op_collect },
    ['l'] = { "LIST", BARE, io_op_collect },
    ['d'] = { "DICT", BARE, io_op_collect },
    [0x91] = { "FROZENSET", BARE, io_op_collect },
    ['a'] = { "APPEND", BARE, io_op_add },
    ['s'] = { "SETITEM", BARE, io_op_add },
    ['e'] = { "APPENDS", BARE, io_op_add_many },
    ['u'] = { "SETITEMS", BARE, io_op_add_many },
    [0x90] = { "ADDITEMS", BARE, io_op_add_many },
    ['g'] = { "GET", LINE, do_get },
    ['h'] = { "BINGET", U1, do_get },
    ['j'] = { "LONG_BINGET", U4, do_get },
    ['p'] = { "PUT", LINE, do_put },
    ['q'] = { "BINPUT", U1, do_put },
    ['r'] = { "LONG_BINPUT", U4, do_put },
    [0x94] = { "MEMOIZE", BARE, do_memoize },
    ['c'] = { "GLOBAL", LINE, io_op_global },
    [0x93] = { "STACK_GLOBAL", BARE, io_op_stack_global },
    ['R'] = { "REDUCE", BARE, io_op_call },
    [0x81] = { "NEWOBJ", BARE, io_op_call },
    [0x92] = { "NEWOBJ_EX", BARE, io_op_call },
    ['i'] = { "INST", LINE, io_op_call_marked },
    ['o'] = { "OBJ", BARE, io_op_call_marked },
    ['b'] = { "BUILD", BARE, io_op_build },
    ['P'] = { "PERSID", LINE, io_op_persistent },
    ['Q'] = { "BINPERSID", BARE, io_op_persistent },
};

static hds_status take_operand(io_machine *m, argument form, io_operand *x)
{
    static const unsigned char widths[] = {
        [U1] = 1, [U2] = 2,       [I4] = 4,       [U4] = 4,
        [U8] = 8, [COUNTED1] = 1, [COUNTED4] = 4, [COUNTED8] = 8,
    };
    *x = (io_operand){ 0 };
    if (form == LINE)
        return io_machine_take_line(m, x);
    if (widths[form] > m->size - m->at)
        return io_refuse(&m->make, "is cut short: the file ends after %zu bytes", m->size);
    for (size_t i = widths[form]; i-- > 0;)
        x->number = x->number << 8 | m->bytes[m->at + i];
    m->at += widths[form];
    if (form == I4)
        x->number = (uint64_t)(int64_t)(int32_t)(uint32_t)x->number;
    if (form < COUNTED1)
        return HDS_OK;
    if (x->number > m->size - m->at)
        return io_refuse(&m->make, "claims %llu bytes, %zu are left: the file may be cut short",
                         (unsigned long long)x->number, m->size - m->at);
    x->bytes = m->bytes + m->at;
    x->size = (size_t)x->number;
    m->at += x->size;
    return HDS_OK;
}

static hds_status step(io_machine *m)
{
    io_operand x;
    if (m->at == m->size)
        return hds_raise(m->make.error, HDS_ERROR_FORMAT,
                         "%s: ends after %zu bytes without an end mark; it may be cut short: "
                         "fetch it again",
                         m->make.where, m->size);
    m->make.place = m->at;
    m->code = m->bytes[m->at++];
    m->make.opcode = opcodes[m->code].name;
    if (!m->make.opcode)
        return hds_raise(m->make.error, HDS_ERROR_FORMAT,
                         "%s: byte %zu: opcode 0x%02x is not one that is read from files",
                         m->make.where, m->make.place, m->code);
    hds_status status = take_operand(m, opcodes[m->code].argument, &x);
    return status ? status : opcodes[m->code].run(m, &x);
}

hds_status io_pickle_parse(io_pickle *pickle, const void *bytes, size_t size,
                           const char *const *globals, const char *where, hds_error *error)
{
    *pickle = (io_pickle){ 0 };
    size_t left = base_allowance;
    if (size > (SIZE_MAX - left) / EACH_BYTE)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: is too large", where);
    io_machine m = {
        .make = { .memory = &pickle->memory,
                  .left = left + EACH_BYTE * size,
                  .globals = globals,
                  .where = where,
                  .opcode = "",
                  .error = error },
        .bytes = bytes,
        .size = size,
    };
    hds_status status = io_make(&m.make, IO_VALUE_LIST, &m.persistent);
    if (!status)
        status = grow(&m, (void **)&m.stack, &m.stack_room, 1, sizeof *m.stack);
    while (!status && !m.stopped)
        status = step(&m);
    if (!status) {
        pickle->root = m.stack[0];
        pickle->persistent = m.persistent;
        pickle->used = m.at;
    }
    free(m.stack);
    free(m.marks);
    free(m.memo);
    if (status)
        io_pickle_close(pickle);
    return status;
}

/* Pickles before protocol 2 begin with a container, a number, a text or a name. */
static bool is_first_opcode(unsigned char byte)
{
    return strchr("(]}lNIJKMLFGSUTVXc", byte) != NULL;
}

hds_status io_pickle_open(io_pickle *pickle, const char *path, const char *const *globals,
                          hds_error *error)
{
    io_map map;
    *pickle = (io_pickle){ 0 };
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    hds_error inner = { 0 };
    io_kind kind = io_kind_of(map.bytes, map.size);
    if (kind.name && kind.format != IO_FORMAT_PICKLE)
        status = io_raise_kind(error, path, map.bytes, map.size, "a pickle");
    else
        status = io_pickle_parse(pickle, map.bytes, map.size, globals, path, &inner);
    if (inner.status == HDS_ERROR_FORMAT && !kind.name && !is_first_opcode(map.bytes[0]))
        status = io_raise_kind(error, path, map.bytes, map.size, "a pickle");
    else if (inner.status == HDS_ERROR_FORMAT && io_is_text_damaged(map.bytes, map.size))
        status =
            hds_raise(error, HDS_ERROR_FORMAT,
                      "%s: was copied as text, so that its lines end in CR LF, which damages a "
                      "pickle; fetch it again, as a binary file",
                      path);
    else if (inner.status)
        status = hds_raise(error, inner.status, "%s", inner.message);
    if (status)
        io_map_close(&map);
    else
        pickle->map = map;
    return status;
}

void io_pickle_close(io_pickle *pickle)
{
    arena_finish(&pickle->memory);
    io_map_close(&pickle->map);
    *pickle = (io_pickle){ 0 };
}

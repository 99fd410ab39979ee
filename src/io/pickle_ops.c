/* SPDX-License-Identifier: Apache-2.0 */
/* The opcodes of a pickle that put values on the stack: numbers, bytes and text; containers of what
 * lies there; names, the objects that would be made by calling them, states, persistent ids. */
#include "io_priv.h"

#include <string.h>

static hds_status push_new(io_machine *m, io_value_kind kind)
{
    io_value *value;
    hds_status status = io_make(&m->make, kind, &value);
    return status ? status : io_machine_push(m, value);
}

static hds_status push_bytes(io_machine *m, io_value_kind kind, const void *bytes, size_t size)
{
    io_value *value;
    hds_status status = io_make_bytes(&m->make, kind, bytes, size, &value);
    return status ? status : io_machine_push(m, value);
}

static hds_status push_integer(io_machine *m, int64_t number)
{
    hds_status status = push_new(m, IO_VALUE_INTEGER);
    if (!status)
        m->stack[m->height - 1]->integer = number;
    return status;
}

hds_status io_op_none(io_machine *m, const io_operand *x)
{
    return push_new(m, IO_VALUE_NONE);
}

hds_status io_op_bool(io_machine *m, const io_operand *x)
{
    hds_status status = push_new(m, IO_VALUE_BOOL);
    if (!status)
        m->stack[m->height - 1]->truth = m->code == 0x88;
    return status;
}

hds_status io_op_integer(io_machine *m, const io_operand *x)
{
    return push_integer(m, (int64_t)x->number);
}

/* LONG1, LONG4: two's complement, lowest byte first. */
hds_status io_op_long(io_machine *m, const io_operand *x)
{
    uint64_t number = x->size && x->bytes[x->size - 1] >> 7 ? UINT64_MAX : 0;
    if (x->size > 8)
        return push_bytes(m, IO_VALUE_BIG, x->bytes, x->size);
    for (size_t i = x->size; i-- > 0;)
        number = number << 8 | x->bytes[i];
    return push_integer(m, (int64_t)number);
}

hds_status io_op_real(io_machine *m, const io_operand *x)
{
    uint64_t bits = __builtin_bswap64(x->number);
    hds_status status = push_new(m, IO_VALUE_REAL);
    if (!status)
        memcpy(&m->stack[m->height - 1]->real, &bits, sizeof bits);
    return status;
}

hds_status io_op_line(io_machine *m, const io_operand *x)
{
    io_value *value;
    hds_status status = io_make_from_line(&m->make, m->code, x->bytes, x->size, &value);
    return status ? status : io_machine_push(m, value);
}

hds_status io_op_bytes(io_machine *m, const io_operand *x)
{
    return push_bytes(m, IO_VALUE_BYTES, x->bytes, x->size);
}

hds_status io_op_text(io_machine *m, const io_operand *x)
{
    uint32_t code;
    for (const unsigned char *at = x->bytes, *end = at + x->size; at < end;)
        if (!io_utf8_next(&at, end, &code))
            return io_refuse(&m->make, "holds text that is not UTF-8");
    return push_bytes(m, IO_VALUE_TEXT, x->bytes, x->size);
}

static hds_status collect(io_machine *m, io_value_kind kind, io_value **items, size_t count)
{
    io_value *value;
    hds_status status = io_make(&m->make, kind, &value);
    if (!status && count)
        status = io_append(&m->make, value, items, count);
    return status ? status : io_machine_push(m, value);
}

hds_status io_op_empty(io_machine *m, const io_operand *x)
{
    return collect(m,
                   m->code == ')'   ? IO_VALUE_TUPLE
                   : m->code == '}' ? IO_VALUE_DICT
                                    : IO_VALUE_LIST,
                   NULL, 0);
}

hds_status io_op_tuple(io_machine *m, const io_operand *x)
{
    io_value **items;
    size_t count = m->code - 0x84u;
    hds_status status = io_machine_pop(m, count, &items);
    return status ? status : collect(m, IO_VALUE_TUPLE, items, count);
}

hds_status io_op_collect(io_machine *m, const io_operand *x)
{
    io_value **items;
    size_t count;
    hds_status status = io_machine_pop_mark(m, 0, &items, &count);
    if (!status && m->code == 'd' && count % 2)
        status = io_refuse(&m->make, "finds a key without a value");
    return status ? status
                  : collect(m,
                            m->code == 'd'   ? IO_VALUE_DICT
                            : m->code == 'l' ? IO_VALUE_LIST
                                             : IO_VALUE_TUPLE,
                            items, count);
}

/* Puts items into the value on top: pairs into dicts, single ones into lists, all into objects. */
static hds_status add(io_machine *m, bool pairs, io_value **items, size_t count)
{
    io_value **to;
    hds_status status = io_machine_pop(m, 1, &to);
    if (status)
        return status;
    m->height++;
    if ((*to)->kind != IO_VALUE_OBJECT && (*to)->kind != (pairs ? IO_VALUE_DICT : IO_VALUE_LIST))
        return io_refuse(&m->make, "finds no %s to add to", pairs ? "dict" : "list or set");
    if (pairs && count % 2)
        return io_refuse(&m->make, "finds a key without a value");
    return io_append(&m->make, *to, items, count);
}

hds_status io_op_add(io_machine *m, const io_operand *x)
{
    io_value **items;
    size_t count = m->code == 's' ? 2 : 1;
    hds_status status = io_machine_pop(m, count, &items);
    return status ? status : add(m, m->code == 's', items, count);
}

hds_status io_op_add_many(io_machine *m, const io_operand *x)
{
    io_value **items;
    size_t count;
    hds_status status = io_machine_pop_mark(m, 0, &items, &count);
    return status ? status : add(m, m->code == 'u', items, count);
}

/* GLOBAL and INST: two lines, the module and the name. */
static hds_status two_lines(io_machine *m, const io_operand *x, io_value **global)
{
    io_operand name = { 0 };
    *global = NULL;
    hds_status status = io_machine_take_line(m, &name);
    if (status)
        return status;
    return io_make_global(&m->make, (const char *)x->bytes, x->size, (const char *)name.bytes,
                          name.size, global);
}

hds_status io_op_global(io_machine *m, const io_operand *x)
{
    io_value *global;
    hds_status status = two_lines(m, x, &global);
    return status ? status : io_machine_push(m, global);
}

hds_status io_op_stack_global(io_machine *m, const io_operand *x)
{
    io_value **items, *global = NULL;
    hds_status status = io_machine_pop(m, 2, &items);
    if (!status && (items[0]->kind != IO_VALUE_TEXT || items[1]->kind != IO_VALUE_TEXT))
        status = io_refuse(&m->make, "needs a module and a name as text");
    if (!status)
        status = io_make_global(&m->make, items[0]->bytes, items[0]->count, items[1]->bytes,
                                items[1]->count, &global);
    return status ? status : io_machine_push(m, global);
}

static hds_status call(io_machine *m, const io_value *callee, const io_value *arguments)
{
    io_value *value;
    hds_status status = io_call(&m->make, callee, arguments, &value);
    return status ? status : io_machine_push(m, value);
}

/* REDUCE, NEWOBJ; NEWOBJ_EX has keywords on top, which are left out. */
hds_status io_op_call(io_machine *m, const io_operand *x)
{
    io_value **items;
    hds_status status = io_machine_pop(m, m->code == 0x92 ? 3 : 2, &items);
    return status ? status : call(m, items[0], items[1]);
}

/* INST: the class in two lines; OBJ: the class first above the mark. */
hds_status io_op_call_marked(io_machine *m, const io_operand *x)
{
    io_value **items, *global = NULL, *arguments;
    size_t count, first = m->code == 'o';
    hds_status status = HDS_OK;
    if (!first)
        status = two_lines(m, x, &global);
    if (!status)
        status = io_machine_pop_mark(m, first, &items, &count);
    if (status)
        return status;
    if (first)
        global = items[0];
    status = io_make(&m->make, IO_VALUE_TUPLE, &arguments);
    if (!status && count > first)
        status = io_append(&m->make, arguments, items + first, count - first);
    return status ? status : call(m, global, arguments);
}

hds_status io_op_build(io_machine *m, const io_operand *x)
{
    io_value **items;
    hds_status status = io_machine_pop(m, 2, &items);
    if (status)
        return status;
    m->height++;
    if (items[0]->kind != IO_VALUE_OBJECT && items[0]->kind != IO_VALUE_DICT)
        return io_refuse(&m->make, "finds no object to give a state to");
    if (items[0]->state)
        return io_refuse(&m->make, "gives an object a second state");
    items[0]->state = items[1];
    return HDS_OK;
}

hds_status io_op_persistent(io_machine *m, const io_operand *x)
{
    io_value **items, *value = NULL, *id = NULL;
    hds_status status;
    if (m->code == 'P')
        status = io_make_bytes(&m->make, IO_VALUE_BYTES, x->bytes, x->size, &id);
    else if (!(status = io_machine_pop(m, 1, &items)))
        id = items[0];
    if (!status)
        status = io_make(&m->make, IO_VALUE_PERSISTENT, &value);
    if (status)
        return status;
    value->arguments = id;
    status = io_append(&m->make, m->persistent, &value, 1);
    return status ? status : io_machine_push(m, value);
}

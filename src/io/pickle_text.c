/* SPDX-License-Identifier: Apache-2.0 */
/* The values that a pickle of protocol 0 spells out on a line: numbers in decimal, bytes as a
 * Python literal, text with \u escapes. */
#include "io_priv.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>

enum { LONGEST_NUMBER = 64 };

/* "12", "-12", "12L"; more digits than int64_t holds stay as they are; "00" and "01" of INT are the
 * booleans of Python 2. */
static hds_status integer_line(io_maker *m, unsigned char code, const unsigned char *line,
                               size_t size, io_value **value)
{
    if (size && code == 'L' && line[size - 1] == 'L')
        size--;
    size_t first = size && line[0] == '-';
    int64_t number = 0;
    bool fits = true;
    if (first == size)
        return io_refuse(m, "expects digits");
    for (size_t i = first; i < size; i++) {
        if (line[i] < '0' || line[i] > '9')
            return io_refuse(m, "expects digits, finds \"%s\"", io_print(line, size).text);
        int digit = line[i] - '0';
        fits &= !__builtin_mul_overflow(number, 10, &number) &&
                !__builtin_add_overflow(number, first ? -digit : digit, &number);
    }
    bool truth = code == 'I' && size == 2 && line[0] == '0' && line[1] <= '1';
    if (!fits)
        return io_make_bytes(m, IO_VALUE_BIG, line, size, value);
    hds_status status = io_make(m, truth ? IO_VALUE_BOOL : IO_VALUE_INTEGER, value);
    if (!status && truth)
        (*value)->truth = number;
    else if (!status)
        (*value)->integer = number;
    return status;
}

static hds_status real_line(io_maker *m, const unsigned char *line, size_t size, io_value **value)
{
    char text[LONGEST_NUMBER], *end = text;
    double number = 0;
    if (size && size < sizeof text && line[0] > ' ') {
        memcpy(text, line, size);
        text[size] = '\0';
        locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0); /* decimal points */
        if (!plain)
            return hds_raise(m->error, HDS_ERROR_MEMORY, "%s: out of memory", m->where);
        number = strtod_l(text, &end, plain);
        freelocale(plain);
    }
    if (end == text || end != text + size)
        return io_refuse(m, "expects a number, finds \"%s\"", io_print(line, size).text);
    hds_status status = io_make(m, IO_VALUE_REAL, value);
    if (!status)
        (*value)->real = number;
    return status;
}

/* Reads `digits` hexadecimal digits. */
static bool take_hex(const unsigned char **at, const unsigned char *end, int digits, uint32_t *code)
{
    for (*code = 0; digits-- > 0; (*at)++) {
        if (*at == end)
            return false;
        int c = **at | 0x20, digit = c >= 'a' ? c - 'a' + 10 : **at - '0';
        if (digit < 0 || digit > 15 || (**at > '9' && c < 'a'))
            return false;
        *code = *code << 4 | (uint32_t)digit;
    }
    return true;
}

/* Reads what follows a backslash in a Python 2 string literal; a pickle's never goes over lines. */
static bool take_escape(const unsigned char **at, const unsigned char *end, unsigned char *out)
{
    static const char letters[] = "\\'\"abfnrtv", meant[] = "\\'\"\a\b\f\n\r\t\v";
    uint32_t code;
    if (*at == end)
        return false;
    unsigned char c = *(*at)++;
    const char *letter = c ? strchr(letters, c) : NULL;
    if (letter) {
        *out = (unsigned char)meant[letter - letters];
        return true;
    }
    if (c != 'x' || !take_hex(at, end, 2, &code))
        return false;
    *out = (unsigned char)code;
    return true;
}

static hds_status bytes_line(io_maker *m, const unsigned char *line, size_t size, io_value **value)
{
    void *memory;
    hds_status status = HDS_OK;
    if (size < 2 || (line[0] != '\'' && line[0] != '"') || line[size - 1] != line[0])
        return io_refuse(m, "expects a string in quotes, finds \"%s\"", io_print(line, size).text);
    status = io_make_room(m, size - 2, 1, &memory);
    if (status)
        return status;
    unsigned char *out = memory;
    for (const unsigned char *at = line + 1, *end = line + size - 1; at < end; out++) {
        *out = *at++;
        if (*out == line[0] || (*out == '\\' && !take_escape(&at, end, out)))
            return io_refuse(m, "holds a string that is not as Python writes it");
    }
    return io_make_bytes(m, IO_VALUE_BYTES, memory, (size_t)(out - (unsigned char *)memory), value);
}

static unsigned char *put_utf8(unsigned char *out, uint32_t code)
{
    int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xc0, 0xe0, 0xf0 };
    *out++ = (unsigned char)(lead[more] | code >> 6 * more);
    while (more-- > 0)
        *out++ = (unsigned char)(0x80 | (code >> 6 * more & 0x3f));
    return out;
}

/* Bytes are latin1, but for \uXXXX and \UXXXXXXXX. */
static hds_status text_line(io_maker *m, const unsigned char *line, size_t size, io_value **value)
{
    void *memory;
    hds_status status = io_make_room(m, size, 2, &memory); /* one byte becomes two at most */
    if (status)
        return status;
    unsigned char *out = memory;
    for (const unsigned char *at = line, *end = line + size; at < end;) {
        uint32_t code = *at++;
        if (code == '\\' && at < end && (*at == 'u' || *at == 'U')) {
            int digits = *at++ == 'u' ? 4 : 8;
            if (!take_hex(&at, end, digits, &code) || code > 0x10ffff ||
                (code >= 0xd800 && code <= 0xdfff))
                return io_refuse(m, "holds an escape that is no character");
        }
        out = put_utf8(out, code);
    }
    return io_make_bytes(m, IO_VALUE_TEXT, memory, (size_t)(out - (unsigned char *)memory), value);
}

hds_status io_make_from_line(io_maker *m, unsigned char code, const unsigned char *line,
                             size_t size, io_value **value)
{
    if (code == 'F')
        return real_line(m, line, size, value);
    if (code == 'S')
        return bytes_line(m, line, size, value);
    if (code == 'V')
        return text_line(m, line, size, value);
    return integer_line(m, code, line, size, value);
}

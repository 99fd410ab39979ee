/* SPDX-License-Identifier: Apache-2.0 */
/* Where errors are born. */
#include "base/base.h"

#include <stdio.h>

size_t hds_utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    unsigned low = *s == 0xE0 ? 0xA0 : *s == 0xF0 ? 0x90 : 0x80;
    unsigned high = *s == 0xED ? 0x9F : *s == 0xF4 ? 0x8F : 0xBF;
    size_t length = *s < 0x80 ? *s != 0 : *s < 0xE0 ? 2 : *s < 0xF0 ? 3 : 4;
    if ((*s >= 0x80 && *s < 0xC2) || *s > 0xF4)
        return 0;
    for (size_t i = 1; i < length; i++, low = 0x80, high = 0xBF)
        if (s[i] < low || s[i] > high)
            return 0;
    return length;
}

/* What files say is repeated in messages, and messages go to terminals and to Python. */
static void make_one_line(char *text)
{
    while (*text) {
        size_t length = hds_utf8_length(text);
        if (!length)
            *text = '?';
        else if ((unsigned char)*text < ' ' || *text == 0x7f)
            *text = ' ';
        text += length ? length : 1;
    }
}

hds_status hds_raise(hds_error *error, hds_status status, const char *format, ...)
{
    if (error && error->status == HDS_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        make_one_line(error->message);
        error->status = status;
    }
    return status;
}

hds_status hds_utf8_check(const char *name, const char *text, hds_error *error)
{
    size_t length, at = 0;
    while (text[at] && (length = hds_utf8_length(text + at)))
        at += length;
    if (!text[at])
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "%s: byte %zu (0x%02x) is not UTF-8; encode the text as UTF-8", name, at,
                     (unsigned)(unsigned char)text[at]);
}

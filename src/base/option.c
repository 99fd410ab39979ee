/* SPDX-License-Identifier: Apache-2.0 */
/* Options of params structs by name: a field to and from text, and what is allowed in it. */
#include "headsds/option.h"

#include "base/base.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const hds_option *hds_option_find(const hds_option *table, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (!strcmp(table[i].name, name) || (table[i].former && !strcmp(table[i].former, name)))
            return &table[i];
    return NULL;
}

/* A number in the C locale, whatever the process's is. */
static bool parse_number(const char *text, double *number)
{
    static locale_t plain;
    if (!plain)
        plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    char *end;
    *number = plain ? strtod_l(text, &end, plain) : strtod(text, &end);
    return end != text && !*end;
}

void hds_option_range(const hds_option *o, char text[256])
{
    char least[64] = "", most[64] = "";
    switch (o->type) {
    case HDS_OPTION_BOOL:
        snprintf(text, 256, "true or false");
        return;
    case HDS_OPTION_NAME:
        snprintf(text, 256, "one of %s", o->choices);
        return;
    case HDS_OPTION_INT:
    case HDS_OPTION_FLOAT:
        break;
    }
    if (o->above)
        snprintf(least, sizeof least, "above %.9g", o->low);
    else
        snprintf(least, sizeof least, "from %.9g", o->low);
    snprintf(most, sizeof most, " to %.9g", o->high);
    const char *kind = o->type == HDS_OPTION_INT ? "a whole number" : "a number";
    if (o->multiple)
        snprintf(text, 256, "a multiple of %d %s%s%s", o->multiple, least, most,
                 o->automatic ? ", or 0" : "");
    else
        snprintf(text, 256, "%s %s%s%s", kind, least, most, o->automatic ? ", or 0" : "");
}

static bool is_choice(const char *choices, const char *value)
{
    size_t length = strlen(value);
    for (const char *word = choices; length && *word;) {
        size_t size = strcspn(word, " ");
        if (size == length && !memcmp(word, value, size))
            return true;
        word += size + strspn(word + size, " ");
    }
    return false;
}

static bool in_range(const hds_option *o, double number)
{
    if (o->automatic && number == 0)
        return true;
    return isfinite(number) && (o->above ? number > o->low : number >= o->low) &&
           number <= o->high && (!o->multiple || fmod(number, o->multiple) == 0);
}

static bool set(const hds_option *o, void *field, const char *value)
{
    double number;
    switch (o->type) {
    case HDS_OPTION_BOOL:
        if (strcmp(value, "true") && strcmp(value, "false"))
            return false;
        *(bool *)field = !strcmp(value, "true");
        return true;
    case HDS_OPTION_NAME:
        if (!is_choice(o->choices, value))
            return false;
        snprintf(field, HDS_NAME, "%s", value);
        return true;
    case HDS_OPTION_INT:
        if (!parse_number(value, &number) || !in_range(o, number) || number != floor(number))
            return false;
        *(int *)field = (int)number;
        return true;
    case HDS_OPTION_FLOAT:
        if (!parse_number(value, &number) || !in_range(o, number) || !in_range(o, (float)number))
            return false; /* 1e-60 is above 0, as a float it is not */
        *(float *)field = (float)number;
        return true;
    }
    return false;
}

hds_status hds_option_set(const hds_option *option, void *params, const char *where,
                          const char *value, hds_error *error)
{
    char range[256];
    if (set(option, (char *)params + option->offset, value))
        return HDS_OK;
    hds_option_range(option, range);
    return hds_raise(error, HDS_ERROR_ARGUMENT, "%s%s%s is %.60s, expected %s", where,
                     where[0] ? "." : "", option->name, value, range);
}

void hds_option_get(const hds_option *option, const void *params, char text[HDS_OPTION_TEXT])
{
    const void *field = (const char *)params + option->offset;
    switch (option->type) {
    case HDS_OPTION_BOOL:
        snprintf(text, HDS_OPTION_TEXT, "%s", *(const bool *)field ? "true" : "false");
        break;
    case HDS_OPTION_NAME:
        snprintf(text, HDS_OPTION_TEXT, "%s", (const char *)field);
        break;
    case HDS_OPTION_INT:
        snprintf(text, HDS_OPTION_TEXT, "%d", *(const int *)field);
        break;
    case HDS_OPTION_FLOAT: {
        /* the fewest digits that give the same float again */
        float value = *(const float *)field;
        double back = NAN;
        for (int digits = 6; digits <= 9 && (float)back != value; digits++) {
            snprintf(text, HDS_OPTION_TEXT, "%.*g", digits, (double)value);
            for (char *comma = text; (comma = strchr(comma, ',')); comma++)
                *comma = '.';
            if (!parse_number(text, &back))
                break;
        }
    }
    }
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of options: what fields a params struct has, with type, range and help. Validation, the
 * record of a run, Python's keywords, the command line, the add-on's panel and docs/options.md all
 * come from the same table.
 *
 * Values travel as text: "true" and "false", whole and floating-point numbers in the C locale, and
 * names. What is written for a float reads back to the same float. */
#ifndef HEADSDS_OPTION_H
#define HEADSDS_OPTION_H

#include "headsds/error.h"

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { HDS_NAME = 32 }; /* bytes of a name, the final zero included */

typedef enum hds_option_type {
    HDS_OPTION_BOOL,  /* the field is a bool */
    HDS_OPTION_INT,   /* int */
    HDS_OPTION_FLOAT, /* float */
    HDS_OPTION_NAME   /* char[HDS_NAME] */
} hds_option_type;

typedef struct hds_option {
    const char *name, *help;
    hds_option_type type;
    size_t offset;       /* of the field in its params struct */
    double low, high;    /* INT and FLOAT: range, ends included */
    bool above;          /* `low` itself is not allowed */
    int multiple;        /* INT: only multiples of it; 0: any */
    int automatic;       /* INT: with 1, 0 is allowed too: what the help says is chosen */
    const char *choices; /* NAME: the allowed words with a blank between them */
    const char *former;  /* an earlier name that is still understood, or NULL */
} hds_option;

enum { HDS_OPTION_TEXT = 40 }; /* bytes of any value as text */

/* The option of this name, or of this former name, in a table of `count`; NULL: there is none. */
HDS_API const hds_option *hds_option_find(const hds_option *table, size_t count, const char *name);
/* Sets the option's field of *params. `where` begins the message of a refusal ("geometry", or
 * ""): HDS_ERROR_ARGUMENT with the option, its value and its range. */
HDS_API HDS_NODISCARD hds_status hds_option_set(const hds_option *option, void *params,
                                                const char *where, const char *value,
                                                hds_error *error);
/* The value of the option's field of *params as text. */
HDS_API void hds_option_get(const hds_option *option, const void *params,
                            char text[HDS_OPTION_TEXT]);
/* What is allowed, in words: "a multiple of 8 from 32 to 2048", "one of adam". */
HDS_API void hds_option_range(const hds_option *option, char text[256]);

#ifdef __cplusplus
}
#endif

#endif

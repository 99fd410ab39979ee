/* SPDX-License-Identifier: Apache-2.0 */
/* A page about one head: what it looks like and how it was made, for people. */
#ifndef HEADSDS_REPORT_H
#define HEADSDS_REPORT_H

#include "headsds/head.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct hds_report_picture {
    const uint8_t *pixels; /* (height, width, 3) sRGB, row 0 at the top */
    size_t width, height;  /* 1 to 16384 */
    const char *caption;   /* UTF-8; NULL: none */
} hds_report_picture;
typedef struct hds_report_phase {
    const char *name;
    int steps;      /* 0: it does not count steps */
    double seconds; /* of wall clock */
} hds_report_phase;
/* What the head itself does not know; each may be left out. */
typedef struct hds_report_params {
    const hds_report_picture *evolution; /* in time order */
    size_t evolution_count;
    const hds_report_picture *seen; /* what the prior saw */
    size_t seen_count;
    const hds_report_phase *phases; /* in time order */
    size_t phase_count;
} hds_report_params;
/* Writes one HTML file that needs no other file, no script and no network: prompt, turntable,
 * evolution, texture, what the prior saw, curves of the history, times, the head's record with all
 * options, and hashes. params: NULL for a head alone. Equal heads and params, equal bytes. The file
 * is there whole or not at all. */
HDS_API HDS_NODISCARD hds_status hds_report_write(const hds_head *head,
                                                  const hds_report_params *params, const char *path,
                                                  hds_error *error);

#ifdef __cplusplus
}
#endif

#endif

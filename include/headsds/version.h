/* SPDX-License-Identifier: Apache-2.0 */
/* The version of headsds: macros of the headers that a program is compiled with, a function for
 * the library that it runs with. */
#ifndef HEADSDS_VERSION_H
#define HEADSDS_VERSION_H

#include "headsds/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* meson.build has the same numbers; the build fails where they differ. */
#define HEADSDS_VERSION_MAJOR 0
#define HEADSDS_VERSION_MINOR 1
#define HEADSDS_VERSION_PATCH 0

HDS_API const char *hds_version(void); /* "0.1.0" */

#ifdef __cplusplus
}
#endif

#endif

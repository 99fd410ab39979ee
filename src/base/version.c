/* SPDX-License-Identifier: Apache-2.0 */
/* The library's version as text. */
#include "headsds/version.h"

#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

const char *hds_version(void)
{
    return TEXT(HEADSDS_VERSION_MAJOR) "." TEXT(HEADSDS_VERSION_MINOR) "." TEXT(
        HEADSDS_VERSION_PATCH);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Where errors are born. */
#include "base/base.h"

#include <stdio.h>

hds_status hds_raise(hds_error *error, hds_status status, const char *format, ...)
{
    if (error && error->status == HDS_OK) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->message, sizeof error->message, format, arguments);
        va_end(arguments);
        error->status = status;
    }
    return status;
}

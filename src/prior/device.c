/* SPDX-License-Identifier: Apache-2.0 */
/* Where a network runs, and in what numbers. */
#include "prior/prior.h"

#include <string.h>

static const char *const names[] = { "float32", "bfloat16", "float16" };
enum { TYPES = sizeof names / sizeof *names };
enum {
    LARGE = 256
}; /* channels from which fewer bits are worth their rounding: Stable Diffusion has 320 */

const char *prior_dtype_name(tn_type type)
{
    return names[type];
}

static bool is_auto(const char *name)
{
    return !name || !strcmp(name, "auto");
}

void prior_device_resolve(const char **device, const char **dtype)
{
    if (is_auto(*device))
        *device = tn_has_cuda() ? "cuda" : "cpu";
    if (is_auto(*dtype))
        *dtype = !strcmp(*device, "cpu") && !tn_has_bfloat16() ? names[TN_FLOAT32] : NULL;
}

hds_status prior_device_open(tn_context **cx, char **name, tn_type *kept,
                             const prior_device_params *params, hds_error *error)
{
    const char *device = params->device, *dtype = params->dtype;
    prior_device_resolve(&device, &dtype);
    int type = TN_FLOAT32;
    if (!dtype && params->channels >= LARGE)
        type = !strcmp(device, "cpu") ? TN_BFLOAT16 : TN_FLOAT16;
    if (dtype)
        for (type = 0; type < TYPES && strcmp(dtype, names[type]);)
            type++;
    if (type == TYPES)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "dtype is \"%s\", expected \"auto\", \"float32\", \"bfloat16\" or "
                         "\"float16\"",
                         dtype);
    *kept = (tn_type)type;
    *name = hds_strdup(device);
    if (!*name)
        return hds_raise(error, HDS_ERROR_MEMORY, "device \"%s\": out of memory", device);
    hds_status status = tn_context_create(cx, 0, error);
    return status == HDS_OK ? tn_set_device(*cx, device, error) : status;
}

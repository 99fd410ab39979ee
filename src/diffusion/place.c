/* SPDX-License-Identifier: Apache-2.0 */
/* Where a prior runs, and in what numbers. */
#include "diffusion/prior_priv.h"

#include <string.h>

static const char *const names[] = { "float32", "bfloat16", "float16" };
enum { TYPES = sizeof names / sizeof *names };
enum {
    LARGE = 256
}; /* channels from which fewer bits are worth their rounding: Stable Diffusion has 320 */

const char *prior_type_name(tn_type type)
{
    return names[type];
}

static bool is_auto(const char *name)
{
    return !name || !strcmp(name, "auto");
}

void prior_resolve(const hds_prior_params *params, const char **device, const char **dtype)
{
    *device = params ? params->device : NULL;
    *dtype = params ? params->dtype : NULL;
    if (is_auto(*device))
        *device = tn_has_cuda() ? "cuda" : "cpu";
    if (is_auto(*dtype))
        *dtype = !strcmp(*device, "cpu") && !tn_has_bfloat16() ? names[TN_FLOAT32] : NULL;
}

hds_status prior_place(hds_prior *p, const hds_prior_params *params, hds_error *error)
{
    const char *device, *dtype;
    prior_resolve(params, &device, &dtype);
    int type = TN_FLOAT32;
    if (!dtype && p->unet.channels[0] >= LARGE)
        type = !strcmp(device, "cpu") ? TN_BFLOAT16 : TN_FLOAT16;
    if (dtype)
        for (type = 0; type < TYPES && strcmp(dtype, names[type]);)
            type++;
    if (type == TYPES)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "dtype is \"%s\", expected \"auto\", \"float32\", \"bfloat16\" or "
                         "\"float16\"",
                         dtype);
    p->type = (tn_type)type;
    p->device = hds_strdup(device);
    if (!p->device)
        return hds_raise(error, HDS_ERROR_MEMORY, "prior: out of memory");
    hds_status status = tn_context_create(&p->cx, 0, error);
    return status == HDS_OK ? tn_set_device(p->cx, device, error) : status;
}

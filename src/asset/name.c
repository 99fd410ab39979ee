/* SPDX-License-Identifier: Apache-2.0 */
/* What a head is called in files of other tools. */
#include "asset/asset.h"

#include <string.h>

void asset_head_name(const hds_head *head, char name[64])
{
    hds_head_info info;
    hds_head_model_info model;
    hds_head_get_info(head, &info);
    hds_head_model_get_info(info.model, &model);
    const char *source = info.prompt[0] ? info.prompt : model.name;
    size_t length = strlen(source);
    if (length > 63) {
        length = 63;
        while (length && ((unsigned char)source[length] & 0xC0) == 0x80)
            length--; /* a character of several bytes is left out whole */
    }
    for (size_t i = 0; i < length; i++)
        name[i] = (unsigned char)source[i] < 0x20 ? ' ' : source[i];
    name[length] = 0;
}

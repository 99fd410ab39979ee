/* SPDX-License-Identifier: Apache-2.0 */
/* One head as a handle: coefficients of a model, offsets, a texture, and its history, all copied.
 */
#include "head/head.h"

#include <math.h>
#include <string.h>

static void *copy(const void *from, size_t count, size_t size)
{
    void *to = hds_alloc(count, size);
    if (to && from)
        memcpy(to, from, count * size);
    return to;
}

static hds_status check_arrays(const hds_head_params *p, hds_error *error)
{
    if (p->texture && (p->texture_width < 1 || p->texture_width > HEAD_MAX_TEXTURE ||
                       p->texture_height < 1 || p->texture_height > HEAD_MAX_TEXTURE))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "texture of %zu x %zu pixels, expected 1 to %d each way", p->texture_width,
                         p->texture_height, HEAD_MAX_TEXTURE);
    if (p->texture && !p->model->uvs)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "texture: %s has no UV layout that says where it goes; leave it out",
                         p->model->name);
    for (size_t i = 0; p->offsets && i < 3 * p->model->vertex_count; i++)
        if (!isfinite(p->offsets[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "offsets: coordinate %zu of vertex %zu is not a finite number", i % 3,
                             i / 3);
    if (!p->history && p->history_count)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "history is NULL, expected %zu lines",
                         p->history_count);
    return HDS_OK;
}

hds_status hds_head_create(hds_head **head, const hds_head_params *params, hds_error *error)
{
    *head = NULL;
    if (!params->model)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "model is NULL, expected a head model");
    hds_status status = check_arrays(params, error);
    if (status)
        return status;
    const head_model *m = params->model;
    const uint8_t *texture = params->texture ? params->texture : m->mean_texture;
    hds_head *h = hds_alloc(1, sizeof *h);
    if (!h)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for a head");
    *h = (hds_head){ .references = 1,
                     .model = hds_head_model_ref(params->model),
                     .texture_width = params->texture ? params->texture_width : m->texture_width,
                     .texture_height = params->texture ? params->texture_height : m->texture_height,
                     .history_count = params->history_count };
    h->prompt = hds_strdup(params->prompt ? params->prompt : "");
    h->shape = hds_alloc(m->shape_count, sizeof *h->shape);
    h->expression = hds_alloc(m->expression_count, sizeof *h->expression);
    h->pose = hds_alloc(m->joint_count, 3 * sizeof *h->pose);
    h->history = copy(params->history, h->history_count, sizeof *h->history);
    h->record = hds_strdup(params->record);
    if (params->offsets)
        h->offsets = copy(params->offsets, m->vertex_count, 3 * sizeof *h->offsets);
    if (texture)
        h->texture = copy(texture, h->texture_width * h->texture_height, 3);
    if (!h->prompt || !h->shape || !h->expression || !h->pose || !h->history ||
        (params->record && !h->record) || (params->offsets && !h->offsets) ||
        (texture && !h->texture))
        status = hds_raise(error, HDS_ERROR_MEMORY, "no memory for a head");
    else
        status = head_expand_coefficients(m, &params->coefficients, h->shape, h->expression,
                                          h->pose, error);
    if (status)
        hds_head_unref(h);
    else
        *head = h;
    return status;
}

hds_head *hds_head_ref(hds_head *head)
{
    __atomic_add_fetch(&head->references, 1, __ATOMIC_RELAXED);
    return head;
}

void hds_head_unref(hds_head *h)
{
    if (!h || __atomic_sub_fetch(&h->references, 1, __ATOMIC_ACQ_REL))
        return;
    hds_head_model_unref(h->model);
    hds_free(h->prompt);
    hds_free(h->shape);
    hds_free(h->expression);
    hds_free(h->pose);
    hds_free(h->offsets);
    hds_free(h->texture);
    hds_free(h->history);
    hds_free(h->record);
    hds_free(h);
}

void hds_head_get_info(const hds_head *h, hds_head_info *info)
{
    *info = (hds_head_info){
        .model = h->model,
        .prompt = h->prompt,
        .shape = h->shape,
        .expression = h->expression,
        .pose = h->pose,
        .offsets = h->offsets,
        .texture = h->texture,
        .texture_width = h->texture_width,
        .texture_height = h->texture_height,
        .history = h->history,
        .history_count = h->history_count,
        .record = h->record,
    };
}

hds_status hds_head_vertices(const hds_head *h, float *vertices, hds_error *error)
{
    const hds_coefficients c = { .shape = h->shape,
                                 .shape_count = h->model->shape_count,
                                 .expression = h->expression,
                                 .expression_count = h->model->expression_count,
                                 .pose = h->pose,
                                 .pose_count = 3 * h->model->joint_count };
    return head_vertices(h->model, &c, h->offsets, vertices, error);
}

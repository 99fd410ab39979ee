/* SPDX-License-Identifier: Apache-2.0 */
/* The head that a run changes: its variables with their starts, and what drawing it needs. */
#include "fit/fit.h"

#include <math.h>
#include <string.h>

enum { PLAIN_SIZE = 512 }; /* of a texture where neither start nor model has one */

static hds_status no_memory(const char *what, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %s", what);
}

static bool copy_floats(float **out, const float *from, size_t count)
{
    *out = hds_alloc(count, sizeof **out);
    if (*out && from)
        memcpy(*out, from, count * sizeof **out);
    return *out;
}

static hds_status check_start(const fit_subject *u, hds_error *error)
{
    const head_model *m = u->model;
    if (!u->given || head_models_agree(u->given->model, m))
        return HDS_OK;
    const head_model *other = u->given->model;
    return hds_raise(
        error, HDS_ERROR_ARGUMENT,
        "start is a head of '%s' (%zu vertices, %zu shapes, %zu expressions), expected "
        "one of the head model '%s' (%zu, %zu, %zu) with the same values",
        other->name, other->vertex_count, other->shape_count, other->expression_count, m->name,
        m->vertex_count, m->shape_count, m->expression_count);
}

/* Around the template with the start's offsets, in the model's base pose. */
static hds_status take_framing(fit_subject *u, hds_error *error)
{
    size_t count = u->model->vertex_count;
    float *vertices = hds_alloc(count, 3 * sizeof *vertices);
    hds_status status =
        vertices ? hds_head_model_vertices(&u->sculpted, &(hds_coefficients){ 0 }, vertices, error)
                 : no_memory("the vertices", error);
    if (status == HDS_OK)
        u->framing = view_framing_of(vertices, count);
    hds_free(vertices);
    return status;
}

static hds_status take_shape(fit_subject *u, hds_error *error)
{
    const head_model *m = u->model;
    const hds_head *h = u->given;
    fit_variable *shape = &u->variables[FIT_SHAPE];
    *shape = (fit_variable){
        .name = "shape", .count = m->shape_count, .low = -INFINITY, .high = INFINITY
    };
    if (!copy_floats(&shape->x, h ? h->shape : NULL, m->shape_count) ||
        !copy_floats(&shape->start, h ? h->shape : NULL, m->shape_count) ||
        !copy_floats(&u->expression, h ? h->expression : NULL, m->expression_count) ||
        !copy_floats(&u->pose, h ? h->pose : NULL, 3 * m->joint_count) ||
        !head_add_offsets(m, h ? h->offsets : NULL, &u->memory, &u->sculpted))
        return no_memory("coefficients", error);
    return HDS_OK;
}

size_t fit_subject_texel_count(const fit_subject *u)
{
    return 3 * (size_t)u->texture.width * (size_t)u->texture.height;
}

/* x and start of the variable "texture" for what looks like these texels. */
static hds_status take_texels(fit_subject *u, const texture_ops *ops, const float *texels,
                              hds_error *error)
{
    texture t = { .ops = ops, .width = u->texture.width, .height = u->texture.height };
    size_t count = ops->count(t.width, t.height);
    float *x = hds_alloc(count, sizeof *x), *start = hds_alloc(count, sizeof *start);
    hds_status status =
        x && start ? ops->init(&t, texels, x, error) : no_memory("the texture", error);
    if (status != HDS_OK) {
        hds_free(x);
        hds_free(start);
        return status;
    }
    memcpy(start, x, count * sizeof *x);
    fit_variable *v = &u->variables[FIT_TEXTURE];
    hds_free(v->x);
    hds_free(v->start);
    optim_finish(&v->optimizer);
    if (u->texture.ops && u->texture.ops->finish)
        u->texture.ops->finish(&u->texture);
    *v = (fit_variable){ .name = "texture",
                         .count = count,
                         .x = x,
                         .start = start,
                         .low = ops->low,
                         .high = ops->high };
    u->texture = t;
    return HDS_OK;
}

/* The start's texture, the model's mean, or grey; none when the model has no UV layout. */
static hds_status take_texture(fit_subject *u, hds_error *error)
{
    const head_model *m = u->model;
    u->variables[FIT_TEXTURE].name = "texture";
    if (!m->uvs)
        return HDS_OK;
    const hds_head *given = u->given && u->given->texture ? u->given : NULL;
    const uint8_t *start = given ? given->texture : m->mean_texture;
    u->texture.width = (int)(given ? given->texture_width : start ? m->texture_width : PLAIN_SIZE);
    u->texture.height = (int)(given   ? given->texture_height
                              : start ? m->texture_height
                                      : PLAIN_SIZE);
    size_t count = fit_subject_texel_count(u);
    float *texels = hds_alloc(count, sizeof *texels);
    if (!texels)
        return no_memory("the texture", error);
    for (size_t i = 0; i < count; i++)
        texels[i] = start ? (float)start[i] / 255 : 0.5f;
    hds_status status = take_texels(u, &texture_texels, texels, error);
    hds_free(texels);
    return status;
}

hds_status fit_subject_init(fit_subject *u, hds_head_model *model, hds_head *given,
                            hds_error *error)
{
    *u = (fit_subject){ .model = hds_head_model_ref(model),
                        .given = given ? hds_head_ref(given) : NULL };
    hds_status status = check_start(u, error);
    if (status == HDS_OK)
        status = take_shape(u, error);
    if (status == HDS_OK)
        status = take_framing(u, error);
    if (status == HDS_OK)
        status = mesh_adjacency_init(&u->adjacency, model->faces, model->face_count,
                                     model->vertex_count, error);
    if (status == HDS_OK)
        status = take_texture(u, error);
    if (status != HDS_OK)
        fit_subject_finish(u);
    return status;
}

void fit_subject_finish(fit_subject *u)
{
    for (int i = 0; i < FIT_VARIABLES; i++) {
        hds_free(u->variables[i].x);
        hds_free(u->variables[i].start);
        optim_finish(&u->variables[i].optimizer);
    }
    if (u->texture.ops && u->texture.ops->finish)
        u->texture.ops->finish(&u->texture);
    hds_free(u->expression);
    hds_free(u->pose);
    mesh_adjacency_finish(&u->adjacency);
    arena_finish(&u->scratch);
    for (int i = 0; i < FIT_MOST_VIEWS; i++)
        arena_finish(&u->view_scratch[i]);
    arena_finish(&u->memory);
    hds_head_unref(u->given);
    hds_head_model_unref(u->model);
    *u = (fit_subject){ 0 };
}

hds_status fit_subject_represent(fit_subject *u, const texture_ops *ops, hds_error *error)
{
    if (!u->texture.ops || u->texture.ops == ops)
        return HDS_OK;
    arena_mark mark = arena_enter(&u->scratch);
    float *texels = fit_subject_texels(u);
    hds_status status =
        texels ? take_texels(u, ops, texels, error) : no_memory("the texture", error);
    arena_leave(&u->scratch, mark);
    return status;
}

fit_variable *fit_variable_find(fit_subject *u, const char *name)
{
    for (int i = 0; i < FIT_VARIABLES; i++)
        if (!strcmp(u->variables[i].name, name))
            return &u->variables[i];
    return NULL;
}

float *fit_subject_texels(fit_subject *u)
{
    float *texels =
        u->texture.ops ? arena_take(&u->scratch, fit_subject_texel_count(u), sizeof *texels) : NULL;
    if (texels)
        u->texture.ops->make(&u->texture, u->variables[FIT_TEXTURE].x, texels);
    return texels;
}

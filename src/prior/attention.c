/* SPDX-License-Identifier: Apache-2.0 */
/* A prior's UNet through the public calls: the noise that it predicts, and where in the image it
 * looks for the words of the text. */
#include "headsds/attention.h"

#include "prior_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static size_t tokens_of(const hds_predict_params *a)
{
    return a->tokens ? a->tokens : HDS_TOKENS;
}

static hds_status check(const hds_prior *p, const hds_predict_params *a, hds_error *error)
{
    hds_status status = prior_check_size(a->count, a->h, a->w, 1, error);
    if (status == HDS_OK)
        status = prior_controls_check(p, a->controls, a->control_count, error);
    if (status == HDS_OK)
        status = prior_check_timesteps(p, a->timesteps, a->count, error);
    size_t each = (size_t)p->unet.out_channels * a->h * a->w;
    if (status == HDS_OK)
        status = prior_check_finite("latents", a->latents, a->count * each, error);
    if (status == HDS_OK &&
        (a->tokens % HDS_TOKENS || a->tokens > (size_t)HDS_MAX_CHUNKS * HDS_TOKENS))
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "text: %zu tokens, expected a multiple of %d up to %d", a->tokens,
                           HDS_TOKENS, HDS_MAX_CHUNKS * HDS_TOKENS);
    size_t states = tokens_of(a) * (size_t)p->unet.text_width;
    if (status == HDS_OK)
        status = prior_check_finite("text", a->text, a->count * states, error);
    if (status == HDS_OK && prior_edits(p))
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "%s edits pictures (InstructPix2Pix): sample it with a picture to edit",
                           p->path);
    return status;
}

static hds_status check_tokens(const hds_attention_params *a, hds_error *error)
{
    for (size_t i = 0; a->tokens && i < a->token_count; i++)
        if (a->tokens[i] < 0 || (size_t)a->tokens[i] >= tokens_of(&a->predict))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "tokens[%zu] is %d, expected 0 to %zu", i,
                             a->tokens[i], tokens_of(&a->predict) - 1);
    return HDS_OK;
}

static prior_request request_of(const hds_predict_params *a, float *noise)
{
    return (prior_request){ .count = a->count,
                            .h = a->h,
                            .w = a->w,
                            .latents = a->latents,
                            .timesteps = a->timesteps,
                            .tokens = a->tokens,
                            .text = a->text,
                            .controls = a->controls,
                            .control_count = a->control_count,
                            .noise = noise };
}

hds_status hds_prior_predict_noise(hds_prior *p, const hds_predict_params *params, float *noise,
                                   hds_error *error)
{
    hds_status status = check(p, params, error);
    prior_request request = request_of(params, noise);
    return status == HDS_OK ? prior_predict(p, &request, error) : status;
}

typedef struct map {
    struct map *next;
    char name[UNET_PATH];
    size_t rows, columns;
    float weights[];
} map;

/* What a capture fills. */
typedef struct capture {
    const hds_prior *prior;
    const hds_attention_params *params;
    size_t tokens, rows, columns; /* of a map; sizes of the one that comes next */
    map *first, **last;
    size_t count;
    size_t heights_met[DIFFUSION_MAX_LEVELS], met; /* that the UNet has */
} capture;

static void note_height(capture *c, size_t rows)
{
    for (size_t i = 0; i < c->met; i++)
        if (c->heights_met[i] == rows)
            return;
    if (c->met < DIFFUSION_MAX_LEVELS)
        c->heights_met[c->met++] = rows;
}

static bool wants(void *context, int64_t rows, int64_t columns)
{
    capture *c = context;
    c->rows = (size_t)rows;
    c->columns = (size_t)columns;
    note_height(c, c->rows);
    bool wanted = !c->params->heights;
    for (size_t i = 0; !wanted && i < c->params->height_count; i++)
        wanted = c->params->heights[i] == c->rows;
    return wanted;
}

static void take(void *context, const char *path, const tn *probabilities)
{
    capture *c = context;
    tn_context *cx = c->prior->cx;
    const int *tokens = c->params->tokens;
    size_t pixels = c->params->predict.count * c->rows * c->columns;
    map *m = malloc(sizeof *m + pixels * c->tokens * sizeof *m->weights);
    size_t length = tokens_of(&c->params->predict);
    float *all = malloc(pixels * length * sizeof *all);
    if (m && all) {
        *m = (map){ .rows = c->rows, .columns = c->columns };
        snprintf(m->name, sizeof m->name, "%s", path);
        tn_to_f32(cx, probabilities, all, pixels * length);
        for (size_t i = 0; i < pixels && !tn_failed(cx); i++)
            for (size_t k = 0; k < c->tokens; k++)
                m->weights[i * c->tokens + k] = all[i * length + (tokens ? (size_t)tokens[k] : k)];
        *c->last = m;
        c->last = &m->next;
        c->count++;
    } else {
        tn_fail(cx, HDS_ERROR_MEMORY, "attention maps: out of memory");
        free(m);
    }
    free(all);
}

static void forget(map *first)
{
    for (map *m = first, *next; m; m = next) {
        next = m->next;
        free(m);
    }
}

/* The handle, with what lies behind its pointers. */
typedef struct holder {
    hds_attention public; /* first */
    map *first;
    hds_attention_map *maps;
    float *noise;
} holder;

void hds_attention_destroy(hds_attention **attention)
{
    holder *h = (holder *)*attention;
    *attention = NULL;
    if (!h)
        return;
    forget(h->first);
    free(h->maps);
    free(h->noise);
    free(h);
}

/* Each height that was asked for must be one of the UNet's. */
static hds_status check_heights(const capture *c, hds_error *error)
{
    const hds_attention_params *a = c->params;
    for (size_t i = 0; a->heights && i < a->height_count; i++) {
        char has[120] = "";
        bool found = false;
        for (size_t k = 0; k < c->met; k++) {
            size_t used = strlen(has);
            snprintf(has + used, sizeof has - used, "%s%zu", k ? ", " : "", c->heights_met[k]);
            found = found || c->heights_met[k] == a->heights[i];
        }
        if (!found)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "heights[%zu] is %zu, expected one of those of the cross-attentions "
                             "for these latents: %s",
                             i, a->heights[i], has);
    }
    return HDS_OK;
}

hds_status hds_prior_attention(hds_prior *p, const hds_attention_params *a,
                               hds_attention **attention, hds_error *error)
{
    capture c = { .prior = p,
                  .params = a,
                  .tokens = a->tokens ? a->token_count : tokens_of(&a->predict),
                  .last = &c.first };
    *attention = NULL;
    hds_status status = check(p, &a->predict, error);
    if (status == HDS_OK)
        status = check_tokens(a, error);
    if (status != HDS_OK)
        return status;
    holder *h = calloc(1, sizeof *h);
    float *noise = malloc(a->predict.count * (size_t)p->unet.out_channels * a->predict.h *
                          a->predict.w * sizeof *noise);
    if (!h || !noise)
        status = hds_raise(error, HDS_ERROR_MEMORY, "attention maps: out of memory");
    prior_request request = request_of(&a->predict, noise);
    request.capture = &(unet_capture){ wants, take, &c };
    if (status == HDS_OK)
        status = prior_predict(p, &request, error);
    if (status == HDS_OK)
        status = check_heights(&c, error);
    hds_attention_map *maps = status == HDS_OK ? calloc(c.count + 1, sizeof *maps) : NULL;
    if (status == HDS_OK && !maps)
        status = hds_raise(error, HDS_ERROR_MEMORY, "attention maps: out of memory");
    if (status != HDS_OK) {
        forget(c.first);
        free(noise);
        free(h);
        return status;
    }
    size_t i = 0;
    for (map *m = c.first; m; m = m->next)
        maps[i++] = (hds_attention_map){ m->name, m->rows, m->columns, m->weights };
    *h = (holder){ { c.count, c.tokens, maps, noise }, c.first, maps, noise };
    *attention = &h->public;
    return HDS_OK;
}

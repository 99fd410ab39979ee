/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded prior: what it is, turns on its tensor context, and the checks that all calls share.
 * Calls from several threads take turns. */
#include "prior_priv.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void hds_prior_get_info(const hds_prior *p, hds_prior_info *info)
{
    *info = (hds_prior_info){ .path = p->path,
                              .text_width = p->clip.width,
                              .latent_channels = p->vae.latent_channels,
                              .sample_size = p->unet.sample_size,
                              .timestep_count = p->schedule.count,
                              .alphas_cumprod = p->schedule.alphas_cumprod,
                              .texture_map_head = p->card.head,
                              .texture_map_prefix = p->card.prefix,
                              .edits = prior_edits(p),
                              .neutral_prompt = p->card.neutral,
                              .device = p->device,
                              .dtype = prior_dtype_name(p->type),
                              .notes = p->notes };
}

hds_status prior_note(hds_prior *p, hds_error *error, const char *format, ...)
{
    char line[1024];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    char *notes = p->notes ? hds_format("%s\n%s", p->notes, line) : hds_strdup(line);
    if (!notes)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", p->path);
    hds_free(p->notes);
    p->notes = notes;
    return HDS_OK;
}

hds_status hds_prior_tokenize(hds_prior *p, const char *const *texts, size_t count, int64_t *ids,
                              hds_error *error)
{
    hds_status status = HDS_OK;
    for (size_t i = 0; i < count && status == HDS_OK; i++)
        status = text_tokenize(p->tokenizer, texts[i], ids + i * HDS_TOKENS, NULL, error);
    return status;
}

_Static_assert((int)HDS_TOKENS == (int)TEXT_TOKENS && (int)HDS_MAX_CHUNKS == (int)TEXT_MAX_CHUNKS,
               "the public header says how many tokens a text has");

hds_status hds_prior_get_cut(hds_prior *p, const char *text, hds_text_cut *cut, hds_error *error)
{
    return prior_get_cut(p->tokenizer, text, cut, error);
}

hds_status prior_get_cut(const text_tokenizer *tokenizer, const char *text, hds_text_cut *cut,
                         hds_error *error)
{
    int64_t ids[TEXT_TOKENS];
    text_cut found;
    _Static_assert(sizeof found.words == sizeof cut->words, "the same room");
    hds_status status = text_tokenize(tokenizer, text, ids, &found, error);
    if (status != HDS_OK)
        return status;
    cut->tokens = found.tokens;
    memcpy(cut->words, found.words, sizeof cut->words);
    return HDS_OK;
}

hds_status hds_prior_count_chunks(hds_prior *p, const char *const *texts, size_t count,
                                  size_t *chunks, hds_error *error)
{
    hds_status status = HDS_OK;
    *chunks = 1;
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        size_t own;
        int64_t *ids;
        status = text_chunks(p->tokenizer, texts[i], &ids, &own, error);
        if (status == HDS_OK && own > *chunks)
            *chunks = own;
        hds_free(ids);
    }
    return status;
}

/* Of one text; the chunk after the last is the first again. */
static hds_status encode_text(hds_prior *p, const char *text, size_t chunks, float *states,
                              hds_error *error)
{
    size_t own, each = HDS_TOKENS * (size_t)p->clip.width;
    int64_t *ids;
    hds_status status = text_chunks(p->tokenizer, text, &ids, &own, error);
    if (status == HDS_OK && own > chunks)
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT, "text: %zu chunks, and room for %zu", own, chunks);
    if (status == HDS_OK)
        status = hds_prior_encode_tokens(p, ids, own, states, error);
    for (size_t i = own; i < chunks && status == HDS_OK; i++)
        memcpy(states + i * each, states + i % own * each, each * sizeof *states);
    hds_free(ids);
    return status;
}

hds_status hds_prior_encode_texts(hds_prior *p, const char *const *texts, size_t count,
                                  size_t chunks, float *states, hds_error *error)
{
    size_t each = chunks * HDS_TOKENS * (size_t)p->clip.width;
    hds_status status = HDS_OK;
    if (chunks > 1) {
        for (size_t i = 0; i < count && status == HDS_OK; i++)
            status = encode_text(p, texts[i], chunks, states + i * each, error);
        return status;
    }
    int64_t *ids = hds_alloc(count, HDS_TOKENS * sizeof *ids);
    status = ids ? hds_prior_tokenize(p, texts, count, ids, error)
                 : hds_raise(error, HDS_ERROR_MEMORY, "text: out of memory");
    if (status == HDS_OK)
        status = hds_prior_encode_tokens(p, ids, count, states, error);
    hds_free(ids);
    return status;
}

size_t prior_begin(hds_prior *p)
{
    if (!work_forked()) /* else a thread that stayed behind may hold the lock for ever */
        pthread_mutex_lock(&p->lock);
    return tn_enter(p->cx);
}

hds_status prior_end(hds_prior *p, size_t scope, hds_error *error)
{
    if (work_forked())
        return work_usable(error);
    tn_leave(p->cx, scope, NULL);
    hds_status status = tn_check(p->cx, error);
    pthread_mutex_unlock(&p->lock);
    return status;
}

void prior_take(hds_prior *p, const char *what, const tn *x, float *out, size_t count)
{
    tn_to_f32(p->cx, x, out, count);
    if (!tn_failed(p->cx) && !tn_finite(p->cx, x))
        tn_fail(p->cx, HDS_ERROR_FORMAT,
                "%s: %s are not finite: the input is too large, or the weights are damaged",
                p->path, what);
}

static hds_status check_count(size_t count, hds_error *error)
{
    if (count < 1 || count > 65536)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "count is %zu, expected 1 to 65536", count);
    return HDS_OK;
}

hds_status prior_check_finite(const char *name, const float *numbers, size_t count,
                              hds_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!isfinite(numbers[i]))
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "%s: number %zu is %g, expected a finite one", name, i,
                             (double)numbers[i]);
    return HDS_OK;
}

hds_status prior_check_size(size_t count, size_t height, size_t width, size_t unit,
                            hds_error *error)
{
    if (height < unit || width < unit || height % unit || width % unit || height > 8192 * unit ||
        width > 8192 * unit)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "size is %zux%zu, expected multiples of %zu",
                         width, height, unit);
    return check_count(count, error);
}

hds_status hds_prior_encode_tokens(hds_prior *p, const int64_t *ids, size_t count, float *states,
                                   hds_error *error)
{
    hds_status status = check_count(count, error);
    for (size_t i = 0; i < count * HDS_TOKENS && status == HDS_OK; i++)
        if (ids[i] < 0 || ids[i] >= p->clip.vocabulary)
            status = hds_raise(error, HDS_ERROR_ARGUMENT, "token id %lld, expected 0 to %d",
                               (long long)ids[i], p->clip.vocabulary - 1);
    if (status != HDS_OK)
        return status;
    size_t scope = prior_begin(p);
    at root = at_root(p->cx, p->clip_weights);
    tn *y = clip_text_encode(&p->clip, &root, ids, (int64_t)count, HDS_TOKENS, 0);
    prior_take(p, "text states", y, states, count * HDS_TOKENS * (size_t)p->clip.width);
    return prior_end(p, scope, error);
}

bool prior_edits(const hds_prior *p)
{
    return p->unet.in_channels == 2 * p->vae.latent_channels;
}

tn *prior_repeat(tn_context *cx, const tn *x, int copies)
{
    const tn *parts[PRIOR_BRANCHES] = { x, x, x };
    return tn_cat(cx, parts, copies, 0);
}

hds_status prior_check_timesteps(const hds_prior *p, const float *timesteps, size_t count,
                                 hds_error *error)
{
    for (size_t i = 0; i < count; i++)
        if (!(timesteps[i] >= 0 && timesteps[i] <= (float)(p->schedule.count - 1)))
            return hds_raise(error, HDS_ERROR_ARGUMENT, "timestep is %g, expected 0 to %d",
                             (double)timesteps[i], p->schedule.count - 1);
    return HDS_OK;
}

float prior_alpha_bar(const hds_prior *p, float timestep)
{
    return (float)schedule_alpha_bar(&p->schedule, timestep);
}

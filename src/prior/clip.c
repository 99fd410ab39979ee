/* SPDX-License-Identifier: Apache-2.0 */
/* The public calls of a CLIP: its folder loaded, embeddings of length 1, their cosines and the
 * gradient of those on the pictures. Hessel et al. 2021 (CLIPScore); Radford et al. 2021. */
#include "headsds/clip.h"

#include "prior_priv.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Pictures that go through the network at once, of thousands. */
enum { BATCH = 8 };

struct hds_clip {
    pthread_mutex_t lock; /* guards cx and all that lives in it */
    char *path;
    text_tokenizer *tokenizer;
    clip_pair_config config;
    clip_pixels_config pixels;
    char *device;
    tn_type type; /* of the matrices of both towers */
    tn_context *cx;
    weights *weights;
    float logit_scale;
};

static hds_status no_memory(const hds_clip *c, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", c->path ? c->path : "clip");
}

static size_t embedding_width(const hds_clip *c)
{
    return (size_t)c->config.projection;
}

static size_t square_numbers(const hds_clip *c)
{
    return 3 * (size_t)c->pixels.size * (size_t)c->pixels.size;
}

/* ---- loading ---- */

static hds_status load_configs(hds_clip *c, hds_error *error)
{
    char *config = io_join(c->path, "config.json");
    char *pixels = io_join(c->path, "preprocessor_config.json");
    hds_status status = config && pixels ? HDS_OK : no_memory(c, error);
    if (status == HDS_OK)
        status = clip_pair_config_load(&c->config, config, error);
    if (status == HDS_OK)
        status = clip_pixels_config_load(&c->pixels, pixels, error);
    if (status == HDS_OK)
        status = text_tokenizer_load(&c->tokenizer, c->path, error);
    if (status == HDS_OK && c->config.text.end_id == 2) /* the largest id, but for added tokens */
        c->config.text.end_id = text_tokenizer_get_end(c->tokenizer);
    hds_free(config);
    hds_free(pixels);
    return status;
}

static hds_status check_configs(const hds_clip *c, hds_error *error)
{
    const clip_text_config *text = &c->config.text;
    if (c->pixels.size != c->config.vision.image_size)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: preprocessor_config.json: \"crop_size\" is %d, expected %d, the "
                         "\"image_size\" of config.json; take both from one model",
                         c->path, c->pixels.size, c->config.vision.image_size);
    hds_status status = prior_check_tokens(c->tokenizer, text->vocabulary, c->path, error);
    if (status != HDS_OK)
        return status;
    if (text->positions < HDS_TOKENS)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: config.json: \"max_position_embeddings\" is %d, expected %d", c->path,
                         text->positions, HDS_TOKENS);
    return HDS_OK;
}

static hds_status load_weights(hds_clip *c, hds_error *error)
{
    size_t scope = tn_enter(c->cx);
    c->weights = prior_part_open(c->cx, c->path, "model", NULL);
    if (!tn_failed(c->cx)) {
        weights_set_type(c->weights, c->type);
        at root = at_root(c->cx, c->weights);
        clip_pair_survey(&c->config, &root);
        c->logit_scale = tn_scalar(c->cx, clip_pair_logit_scale(&root));
    }
    tn_leave(c->cx, scope, NULL);
    return tn_check(c->cx, error);
}

hds_status hds_clip_load(hds_clip **clip, const hds_clip_params *params, hds_error *error)
{
    *clip = NULL;
    if (!params || !params->path)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "path is NULL, expected CLIP's folder");
    hds_clip *c = hds_alloc(1, sizeof *c);
    if (!c)
        return hds_raise(error, HDS_ERROR_MEMORY, "clip: out of memory");
    pthread_mutex_init(&c->lock, NULL);
    c->path = hds_strdup(params->path);
    hds_status status = c->path ? HDS_OK : no_memory(c, error);
    if (status == HDS_OK && !io_is_folder(c->path))
        status = hds_raise(error, HDS_ERROR_NOT_FOUND,
                           "%s: %s, expected a folder as openai/clip-vit-base-patch32 is published",
                           c->path, io_exists(c->path) ? "not a folder" : "no such folder");
    if (status == HDS_OK)
        status = load_configs(c, error);
    if (status == HDS_OK)
        status = check_configs(c, error);
    if (status == HDS_OK)
        status = prior_device_open(&c->cx, &c->device, &c->type,
                                   &(prior_device_params){ .device = params->device,
                                                           .dtype = params->dtype,
                                                           .channels = c->config.vision.width },
                                   error);
    if (status == HDS_OK)
        status = load_weights(c, error);
    if (status == HDS_OK)
        *clip = c;
    else
        hds_clip_destroy(&c);
    return status;
}

void hds_clip_destroy(hds_clip **clip)
{
    hds_clip *c = *clip;
    *clip = NULL;
    if (!c || work_forked()) /* then threads that stayed behind hold locks of what it is made of */
        return;
    weights_destroy(&c->weights);
    tn_context_destroy(&c->cx);
    text_tokenizer_destroy(&c->tokenizer);
    pthread_mutex_destroy(&c->lock);
    hds_free(c->device);
    hds_free(c->path);
    hds_free(c);
}

void hds_clip_get_info(const hds_clip *c, hds_clip_info *info)
{
    *info = (hds_clip_info){ .path = c->path,
                             .embedding_width = c->config.projection,
                             .image_size = c->pixels.size,
                             .logit_scale = c->logit_scale,
                             .device = c->device,
                             .dtype = prior_dtype_name(c->type) };
}

/* ---- what all calls do ---- */

/* Takes the lock and opens a scope; frees the scope, reports what failed, gives the lock back. */
static size_t begin(hds_clip *c)
{
    if (!work_forked()) /* else a thread that stayed behind may hold the lock for ever */
        pthread_mutex_lock(&c->lock);
    return tn_enter(c->cx);
}

static hds_status end(hds_clip *c, size_t scope, hds_error *error)
{
    if (work_forked())
        return work_usable(error);
    tn_leave(c->cx, scope, NULL);
    hds_status status = tn_check(c->cx, error);
    pthread_mutex_unlock(&c->lock);
    return status;
}

static void take(hds_clip *c, const char *what, const tn *x, float *out, size_t count)
{
    tn_to_f32(c->cx, x, out, count);
    if (!tn_failed(c->cx) && !tn_finite(c->cx, x))
        tn_fail(c->cx, HDS_ERROR_FORMAT, "%s: %s are not finite: the weights are damaged", c->path,
                what);
}

static hds_status check_count(const char *what, size_t count, hds_error *error)
{
    if (count < 1 || count > 65536)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: %zu of them, expected 1 to 65536", what,
                         count);
    return HDS_OK;
}

/* A picture in 0 to 255 would be white all over, and NaN would come out as a damaged network. */
static hds_status check_images(const float *images, size_t count, size_t height, size_t width,
                               hds_error *error)
{
    const float slack = 1.0f / 255;
    hds_status status = check_count("images", count, error);
    if (status == HDS_OK && (height < 1 || width < 1 || height > 16384 || width > 16384))
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "images: %zu x %zu pixels, expected 1 to 16384 each way", height, width);
    for (size_t i = 0; status == HDS_OK && i < count * height * width * 3; i++)
        if (!(images[i] >= -slack && images[i] <= 1 + slack))
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "images: picture %zu, row %zu, column %zu: %g, expected colours in "
                               "[0, 1]",
                               i / (height * width * 3), i / (width * 3) % height, i / 3 % width,
                               (double)images[i]);
    return status;
}

/* ---- pictures ---- */

/* What goes through the network, and what is wanted of it; NULL: not that. */
typedef struct passage {
    const float *images;
    size_t count, height, width;
    float *embeddings;        /* (count, D) */
    const float *dembeddings; /* (count, D), */
    float *dimages;           /* += like images */
} passage;

/* Squares first to first + count of it; their gradient replaces them. */
static hds_status pass(hds_clip *c, const passage *p, size_t first, size_t count, float *squares,
                       hds_error *error)
{
    tn_context *cx = c->cx;
    size_t scope = begin(c), width = embedding_width(c);
    bool was = tn_set_grad(cx, p->dimages != NULL);
    at root = at_root(cx, c->weights);
    tn *x = tn_from_f32(cx, squares, TN_SHAPE((int64_t)count, c->pixels.size, c->pixels.size, 3));
    if (p->dimages)
        x = tn_leaf(cx, x);
    tn *y = clip_pixels_normalise(&c->pixels, cx, x);
    y = clip_vision_encode(&c->config.vision, &root, y);
    y = clip_vision_pool(&c->config.vision, &root, y);
    y = tn_unit(cx, clip_pair_project_vision(&c->config, &root, y));
    if (p->embeddings)
        take(c, "embeddings of pictures", y, p->embeddings + first * width, count * width);
    if (p->dimages) {
        const float *d = p->dembeddings + first * width;
        tn *dy = tn_from_f32(cx, d, TN_SHAPE((int64_t)count, (int64_t)width));
        take(c, "gradients on pictures", tn_vjp(cx, y, x, dy), squares, count * square_numbers(c));
    }
    tn_set_grad(cx, was);
    return end(c, scope, error);
}

static hds_status pass_all(hds_clip *c, const passage *p, hds_error *error)
{
    size_t each = p->height * p->width * 3, numbers = square_numbers(c);
    size_t room = p->count < BATCH ? p->count : BATCH;
    float *squares = malloc(room * numbers * sizeof *squares);
    hds_status status = squares ? HDS_OK : no_memory(c, error);
    for (size_t first = 0; first < p->count && status == HDS_OK; first += room) {
        size_t count = p->count - first < room ? p->count - first : room;
        const float *images = p->images + first * each;
        bool whole = true;
        for (size_t i = 0; i < count && whole; i++)
            whole = clip_pixels_crop(&c->pixels, images + i * each, p->height, p->width,
                                     squares + i * numbers);
        if (whole)
            status = pass(c, p, first, count, squares, error);
        for (size_t i = 0; i < count && whole && p->dimages && status == HDS_OK; i++)
            whole = clip_pixels_crop_adjoint(&c->pixels, p->height, p->width, squares + i * numbers,
                                             p->dimages + (first + i) * each);
        if (!whole)
            status = no_memory(c, error);
    }
    free(squares);
    return status;
}

hds_status hds_clip_embed_images(hds_clip *c, const float *images, size_t count, size_t height,
                                 size_t width, float *embeddings, hds_error *error)
{
    hds_status status = check_images(images, count, height, width, error);
    const passage p = {
        .images = images, .count = count, .height = height, .width = width, .embeddings = embeddings
    };
    return status == HDS_OK ? pass_all(c, &p, error) : status;
}

/* ---- texts ---- */

hds_status hds_clip_get_cut(hds_clip *c, const char *text, hds_text_cut *cut, hds_error *error)
{
    return prior_get_cut(c->tokenizer, text, cut, error);
}

hds_status hds_clip_embed_texts(hds_clip *c, const char *const *texts, size_t count,
                                float *embeddings, hds_error *error)
{
    hds_status status = check_count("texts", count, error);
    const clip_text_config *text = &c->config.text;
    for (size_t i = 0; i < count && status == HDS_OK; i++) {
        int64_t ids[HDS_TOKENS];
        status = text_tokenize(c->tokenizer, texts[i], ids, NULL, error);
        if (status != HDS_OK)
            return status;
        size_t scope = begin(c), width = embedding_width(c);
        at root = at_root(c->cx, c->weights);
        tn *y = clip_text_encode(text, &root, ids, 1, HDS_TOKENS, 0);
        y = clip_pair_project_text(&c->config, &root, clip_text_pool(text, &root, y, ids));
        take(c, "embeddings of texts", tn_unit(c->cx, y), embeddings + i * width, width);
        status = end(c, scope, error);
    }
    return status;
}

/* ---- both ---- */

/* Of texts; new. */
static float *embed_texts(hds_clip *c, const char *const *texts, size_t count, hds_status *status,
                          hds_error *error)
{
    *status = check_count("texts", count, error);
    if (*status != HDS_OK)
        return NULL;
    float *embeddings = hds_alloc(count, embedding_width(c) * sizeof *embeddings);
    *status =
        embeddings ? hds_clip_embed_texts(c, texts, count, embeddings, error) : no_memory(c, error);
    return embeddings;
}

hds_status hds_clip_similarity(hds_clip *c, const float *images, size_t count, size_t height,
                               size_t width, const char *const *texts, size_t text_count,
                               float *similarity, hds_error *error)
{
    size_t d = embedding_width(c);
    hds_status status = check_images(images, count, height, width, error);
    if (status != HDS_OK)
        return status;
    float *text = embed_texts(c, texts, text_count, &status, error);
    float *image = hds_alloc(count, d * sizeof *image);
    if (status == HDS_OK)
        status = image ? hds_clip_embed_images(c, images, count, height, width, image, error)
                       : no_memory(c, error);
    for (size_t i = 0; i < count * text_count && status == HDS_OK; i++) {
        const float *a = image + i / text_count * d, *b = text + i % text_count * d;
        double sum = 0;
        for (size_t k = 0; k < d; k++)
            sum += (double)a[k] * b[k];
        similarity[i] = (float)sum;
    }
    hds_free(image);
    hds_free(text);
    return status;
}

hds_status hds_clip_similarity_gradient(hds_clip *c, const float *images, size_t count,
                                        size_t height, size_t width, const char *const *texts,
                                        size_t text_count, const float *upstream, float *dimages,
                                        hds_error *error)
{
    size_t d = embedding_width(c);
    hds_status status = check_images(images, count, height, width, error);
    if (status != HDS_OK)
        return status;
    float *text = embed_texts(c, texts, text_count, &status, error);
    float *dembeddings = hds_alloc(count, d * sizeof *dembeddings);
    if (status == HDS_OK && !dembeddings)
        status = no_memory(c, error);
    for (size_t i = 0; i < count * text_count && status == HDS_OK; i++)
        if (!isfinite(upstream[i]))
            status = hds_raise(error, HDS_ERROR_ARGUMENT,
                               "upstream: of picture %zu and text %zu: %g, expected finite numbers",
                               i / text_count, i % text_count, (double)upstream[i]);
    /* similarity = image text^T, so dimage = upstream text */
    for (size_t i = 0; i < count * text_count && status == HDS_OK; i++)
        for (size_t k = 0; k < d; k++)
            dembeddings[i / text_count * d + k] += upstream[i] * text[i % text_count * d + k];
    const passage p = { .images = images,
                        .count = count,
                        .height = height,
                        .width = width,
                        .dembeddings = dembeddings,
                        .dimages = dimages };
    if (status == HDS_OK)
        status = pass_all(c, &p, error);
    hds_free(dembeddings);
    hds_free(text);
    return status;
}

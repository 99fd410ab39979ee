/* SPDX-License-Identifier: Apache-2.0 */
/* Textual inversions: rows of the text encoder's table of embeddings for words of their own, and
 * the files that hold them. Gal et al., "An image is worth one word", 2022. */
#include "prior_priv.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

hds_status prior_check_tokens(const text_tokenizer *tokenizer, int rows, const char *path,
                              hds_error *error)
{
    int64_t size = text_tokenizer_get_size(tokenizer);
    const char *added = size > rows ? text_tokenizer_get_added(tokenizer, size - 1) : NULL;
    if (size > rows && added)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: the tokenizer's added token \"%.60s\" has the id %lld, and the text "
                         "encoder %d embeddings (\"vocab_size\"): take both from one training run, "
                         "or take the token out of the tokenizer",
                         path, added, (long long)size - 1, rows);
    if (size > rows)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: the tokenizer has %lld tokens, and the text encoder %d embeddings "
                         "(\"vocab_size\"): take both from one model",
                         path, (long long)size, rows);
    return HDS_OK;
}

static hds_status check_vectors(const hds_prior *p, const char *token, const io_tensor *t,
                                const char *path, hds_error *error)
{
    int64_t width = t->dims ? t->shape[t->dims - 1] : 0;
    if (t->dims < 1 || t->dims > 2 || t->dtype == IO_BOOL || !t->size)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"%.60s\": expected vectors of floats, as a textual inversion has",
                         path, token);
    if (width != p->clip.width)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: \"%.60s\": vectors of %lld numbers, expected %d, the text encoder's "
                         "\"hidden_size\": it was made for another kind of model (768: Stable "
                         "Diffusion 1, 1024: 2)",
                         path, token, (long long)width, p->clip.width);
    return HDS_OK;
}

/* The token and its rows, under the ids after those that the table has. */
static hds_status add(hds_prior *p, const char *token, const float *rows, int count,
                      const char *path, hds_error *error)
{
    static const char table[] = "text_model.embeddings.token_embedding.weight";
    size_t numbers = (size_t)count * (size_t)p->clip.width;
    hds_status status = prior_check_finite(path, rows, numbers, error);
    if (status == HDS_OK)
        status = text_tokenizer_add(p->tokenizer, token, p->clip.vocabulary, count, path, error);
    if (status != HDS_OK)
        return status;
    prior_embedding *e = hds_alloc(1, sizeof *e);
    char *name = hds_strdup(token);
    if (!e || !name || !weights_add_rows(p->clip_weights, table, rows, count)) {
        hds_free(e);
        hds_free(name);
        status = tn_check(p->cx, error);
        return status ? status : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    }
    *e = (prior_embedding){ p->embeddings, name, base_digest(rows, numbers * sizeof *rows) };
    p->embeddings = e;
    p->clip.vocabulary += count;
    return HDS_OK;
}

hds_status prior_embedding_add(hds_prior *p, const char *token, const io_tensor *vectors,
                               const char *path, hds_error *error)
{
    hds_status status = check_vectors(p, token, vectors, path, error);
    if (status != HDS_OK)
        return status;
    int64_t count = vectors->dims == 2 ? vectors->shape[0] : 1;
    size_t numbers = vectors->size / io_dtype_size(vectors->dtype);
    float *rows = hds_alloc(numbers, sizeof *rows);
    if (!rows)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    io_to_f32(vectors->data, vectors->dtype, rows, numbers);
    status = add(p, token, rows, count < 1 << 16 ? (int)count : 1 << 16, path, error);
    hds_free(rows);
    return status;
}

/* ---- files ---- */

/* "a/b.pt" -> "b"; new */
static char *stem_of(const char *path)
{
    const char *name = io_base_name(path), *dot = strrchr(name, '.');
    return dot && dot > name ? hds_format("%.*s", (int)(dot - name), name) : hds_strdup(name);
}

/* Whether the tensor has a word of its own for a name, as diffusers writes it. */
static bool is_named(const io_tensor *t)
{
    return strcmp(t->name, "emb_params") != 0 && strncmp(t->name, "string_to_param.", 16) != 0;
}

static hds_status check_file(const io_tensors *file, const hds_embedding *e, const char *path,
                             hds_error *error)
{
    static const char *const others[] = { "clip_g", "clip_l", "t5xxl" };
    for (size_t k = 0; k < sizeof others / sizeof *others; k++)
        if (io_tensors_find(file, others[k]))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: holds \"%s\": a textual inversion for Stable Diffusion XL or 3, "
                             "expected one for 1 or 2",
                             path, others[k]);
    if (file->count != 1 && (e->token || !is_named(&file->tensors[0])))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: holds %zu tensors, expected the vectors of one word", path,
                         file->count);
    if (e->token && !*e->token)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: its token is empty", path);
    return HDS_OK;
}

static hds_status load_file(hds_prior *p, const hds_embedding *e, const char *path,
                            hds_error *error)
{
    io_tensors file;
    hds_status status = io_tensors_open(&file, path, error);
    if (status != HDS_OK)
        return status;
    char *stem = stem_of(path);
    status = stem ? check_file(&file, e, path, error)
                  : hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    for (size_t i = 0; i < file.count && status == HDS_OK; i++) {
        const io_tensor *t = &file.tensors[i];
        const char *token = e->token ? e->token : is_named(t) ? t->name : stem;
        status = prior_embedding_add(p, token, t, path, error);
    }
    hds_free(stem);
    io_tensors_close(&file);
    return status;
}

hds_status prior_embedding_load(hds_prior *p, const hds_embedding *e, hds_error *error)
{
    static const char *const names[] = { "learned_embeds.safetensors", "learned_embeds.bin" };
    if (!e->path)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "embeddings: path is NULL");
    if (!io_is_folder(e->path))
        return load_file(p, e, e->path, error);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        char *path = io_join(e->path, names[k]);
        bool found = path && io_exists(path);
        hds_status status = HDS_OK;
        if (!path)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", e->path);
        else if (found)
            status = load_file(p, e, path, error);
        hds_free(path);
        if (found || status != HDS_OK)
            return status;
    }
    return hds_raise(error, HDS_ERROR_NOT_FOUND, "%s: no textual inversion: looked for %s and %s",
                     e->path, names[0], names[1]);
}

void prior_embeddings_finish(hds_prior *p)
{
    for (prior_embedding *e = p->embeddings, *next; e; e = next) {
        next = e->next;
        hds_free(e->token);
        hds_free(e);
    }
}

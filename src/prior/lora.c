/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA files: which weight each pair of small matrices is added to, under the names of kohya's
 * trainer, diffusers (old and new) and peft. Hu et al. 2022, equation 3.
 *
 * All names come down to one form: the weight's module with '_' for '.', as kohya writes it. */
#include "prior_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 320, SHOWN = 3 };
typedef enum network { TEXT_ENCODER, UNET } network;
typedef enum role { DOWN, UP, ALPHA, ROLES } role;

typedef struct piece { /* a tensor of the file */
    char module[NAME];
    role role;
    const io_tensor *tensor;
} piece;

typedef struct target { /* a weight of the network */
    char module[NAME];
    const char *name; /* borrowed */
} target;

static const struct {
    const char *ending;
    role role;
} endings[] = {
    { ".lora_down.weight", DOWN },
    { ".lora_up.weight", UP },
    { ".alpha", ALPHA },
    { ".lora_A.weight", DOWN },
    { ".lora_B.weight", UP },
    { ".lora_A.default.weight", DOWN },
    { ".lora_B.default.weight", UP },
    { ".lora.down.weight", DOWN },
    { ".lora.up.weight", UP },
    { ".lora_linear_layer.down.weight", DOWN },
    { ".lora_linear_layer.up.weight", UP },
    { "_lora.down.weight", DOWN },
    { "_lora.up.weight", UP },
};

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length > tail && !strcmp(text + length - tail, ending);
}

/* "a.b.c" of `length` -> "a_b_c" */
static void flatten(char module[NAME], const char *name, size_t length)
{
    snprintf(module, NAME, "%.*s", (int)length, name);
    for (char *c = module; *c; c++)
        if (*c == '.')
            *c = '_';
}

/* What the oldest files of diffusers call the projections of an attention. */
static void modernise(char module[NAME], network of)
{
    static const char *const old[] = { "_to_q", "_to_k", "_to_v", "_to_out" };
    static const char *const text[] = { "_q_proj", "_k_proj", "_v_proj", "_out_proj" };
    char *processor = strstr(module, "_processor_");
    if (processor)
        memmove(processor, processor + strlen("_processor"),
                strlen(processor + strlen("_processor")) + 1);
    for (size_t k = 0; k < sizeof old / sizeof *old; k++) {
        const char *now = of == TEXT_ENCODER ? text[k] : k == 3 ? "_to_out_0" : old[k];
        size_t keep = strlen(module) - strlen(old[k]);
        if (ends_with(module, old[k])) {
            snprintf(module + keep, NAME - keep, "%s", now);
            return;
        }
    }
}

/* False: not a name of a LoRA. */
static bool parse(const io_tensor *t, piece *p, network *of)
{
    static const struct {
        const char *prefix;
        network of;
    } prefixes[] = { { "lora_te_", TEXT_ENCODER },
                     { "lora_unet_", UNET },
                     { "text_encoder.", TEXT_ENCODER },
                     { "unet.", UNET },
                     { "text_model.", TEXT_ENCODER } };
    const char *name = t->name;
    size_t length = strlen(name);
    *p = (piece){ .role = ROLES, .tensor = t };
    *of = UNET;
    for (size_t k = 0; k < sizeof endings / sizeof *endings && p->role == ROLES; k++)
        if (ends_with(name, endings[k].ending)) {
            p->role = endings[k].role;
            length -= strlen(endings[k].ending);
        }
    static const char wrapped[] = "base_model.model.";
    if (!strncmp(name, wrapped, sizeof wrapped - 1)) {
        name += sizeof wrapped - 1;
        length -= sizeof wrapped - 1;
    }
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes; k++) {
        size_t skip = strlen(prefixes[k].prefix);
        if (strncmp(name, prefixes[k].prefix, skip))
            continue;
        *of = prefixes[k].of;
        if (strcmp(prefixes[k].prefix, "text_model.")) {
            name += skip;
            length -= skip;
        }
        break;
    }
    if (p->role == ROLES || length >= NAME)
        return false;
    flatten(p->module, name, length);
    modernise(p->module, *of);
    return true;
}

static int by_module(const void *a, const void *b)
{
    const piece *p = a, *q = b;
    int order = strcmp(p->module, q->module);
    return order ? order : (int)p->role - (int)q->role;
}

static int by_target(const void *a, const void *b)
{
    return strcmp(((const target *)a)->module, ((const target *)b)->module);
}

/* The weights that a LoRA can change, sorted; new. */
static target *list_targets(weights *w, size_t *count)
{
    size_t all = weights_count(w);
    target *list = malloc((all ? all : 1) * sizeof *list);
    *count = 0;
    for (size_t i = 0; list && i < all; i++) {
        const char *name = weights_name(w, i);
        if (!ends_with(name, ".weight"))
            continue;
        flatten(list[*count].module, name, strlen(name) - strlen(".weight"));
        list[(*count)++].name = name;
    }
    if (list)
        qsort(list, *count, sizeof *list, by_target);
    return list;
}

/* Names that did not fit, the first few. */
typedef struct strangers {
    char text[600];
    size_t count;
} strangers;

static void note(strangers *s, const char *name)
{
    size_t used = strlen(s->text);
    if (s->count++ < SHOWN)
        snprintf(s->text + used, sizeof s->text - used, "%s%.120s", used ? ", " : "", name);
}

/* Adds the pieces of one module. */
static void add(weights *w, const target *targets, size_t target_count, piece *const set[ROLES],
                double scale, strangers *s)
{
    const piece *any = set[DOWN] ? set[DOWN] : set[UP] ? set[UP] : set[ALPHA];
    target wanted;
    memcpy(wanted.module, any->module, sizeof wanted.module);
    const target *found = bsearch(&wanted, targets, target_count, sizeof *targets, by_target);
    bool whole = found && set[DOWN] && set[UP] && set[DOWN]->tensor->dims > 0 &&
                 set[DOWN]->tensor->shape[0] > 0;
    if (whole && set[ALPHA]) {
        const io_tensor *t = set[ALPHA]->tensor;
        float alpha = 0;
        whole = t->size == io_dtype_size(t->dtype);
        if (whole)
            io_to_f32(t->data, t->dtype, &alpha, 1);
        scale *= (double)alpha / (double)set[DOWN]->tensor->shape[0];
    }
    if (!whole || !isfinite(scale) ||
        !weights_add_product(w, found->name, set[UP]->tensor, set[DOWN]->tensor, scale))
        note(s, any->tensor->name);
}

/* The part of the file that is for this network. */
static hds_status apply(hds_prior *p, network of, weights *w, const hds_lora *lora, strangers *s,
                        size_t *used, hds_error *error)
{
    const io_tensors *file = weights_keep(w, lora->path);
    if (!file)
        return tn_check(p->cx, error);
    size_t target_count, count = 0;
    target *targets = list_targets(w, &target_count);
    piece *pieces = malloc((file->count ? file->count : 1) * sizeof *pieces);
    if (!targets || !pieces) {
        free(targets);
        free(pieces);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", lora->path);
    }
    for (size_t i = 0; i < file->count; i++) {
        network whose;
        bool known = parse(&file->tensors[i], &pieces[count], &whose);
        if (!known && of == UNET)
            note(s, file->tensors[i].name);
        if (known && whose == of)
            count++;
    }
    qsort(pieces, count, sizeof *pieces, by_module);
    for (size_t i = 0; i < count;) {
        piece *set[ROLES] = { NULL };
        size_t first = i;
        for (; i < count && !strcmp(pieces[i].module, pieces[first].module); i++)
            set[pieces[i].role] = &pieces[i];
        add(w, targets, target_count, set, lora->scale, s);
    }
    *used += count;
    free(targets);
    free(pieces);
    return tn_check(p->cx, error);
}

/* For the record of what was added. */
static hds_status note_lora(hds_prior *p, const hds_lora *lora, hds_error *error)
{
    const io_tensors *file = weights_keep(p->unet_weights, lora->path);
    prior_lora *l = file ? hds_alloc(1, sizeof *l) : NULL;
    if (!file)
        return tn_check(p->cx, error);
    if (!l)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", lora->path);
    *l = (prior_lora){ p->loras, weights_file_hash(file), lora->scale };
    p->loras = l;
    return HDS_OK;
}

hds_status prior_lora_load(hds_prior *p, const hds_lora *lora, hds_error *error)
{
    strangers s = { .count = 0 };
    size_t used = 0;
    if (!isfinite(lora->scale))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: scale is %g, expected a finite number",
                         lora->path, (double)lora->scale);
    hds_status status = apply(p, TEXT_ENCODER, p->clip_weights, lora, &s, &used, error);
    if (status == HDS_OK)
        status = apply(p, UNET, p->unet_weights, lora, &s, &used, error);
    if (status == HDS_OK && s.count)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: %zu of its tensors have no place in %s: %s%s; take a LoRA (not a "
                           "LoHa, LoKr or DoRA) that was made for this kind of model",
                           lora->path, s.count, p->path, s.text, s.count > SHOWN ? ", ..." : "");
    if (status == HDS_OK && !used)
        status =
            hds_raise(error, HDS_ERROR_FORMAT, "%s: holds no tensors, expected a LoRA", lora->path);
    return status == HDS_OK ? note_lora(p, lora, error) : status;
}

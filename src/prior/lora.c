/* SPDX-License-Identifier: Apache-2.0 */
/* LoRA files: which weight each tensor belongs to, under the names of kohya's trainer and LyCORIS,
 * diffusers (old and new), peft and ComfyUI, and what is not read, by what it is.
 *
 * A name is PREFIX MODULE ENDING. All modules come down to one form, with '_' for '.', as kohya
 * writes them; each weight of the prior is listed under all the modules that it is known by. */
#include "lora_priv.h"
#include "prior_priv.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = PRIOR_NAME, SHOWN = 3 };

/* ---- the three parts of a name ---- */

enum { EITHER = LORA_NETWORKS }; /* the module says which */
static const struct {
    const char *prefix;
    int of;
} prefixes[] = {
    { "lora_te_", LORA_TEXT },
    { "lora_te1_", LORA_TEXT },
    { "lora_unet_", LORA_UNET },
    { "lycoris_", EITHER },
    { "text_encoder.", LORA_TEXT },
    { "unet.", LORA_UNET },
    { "diffusion_model.", LORA_UNET },
    { "model.diffusion_model.", LORA_UNET },
    { "text_encoders.clip_l.transformer.", LORA_TEXT },
    { "clip_l.transformer.", LORA_TEXT },
    { "cond_stage_model.transformer.", LORA_TEXT },
    { "", EITHER },
};

/* '*': an adapter's name */
static const struct {
    const char *ending;
    lora_role role;
} endings[] = {
    { ".lora_down.weight", LORA_DOWN },
    { ".lora_up.weight", LORA_UP },
    { ".lora_mid.weight", LORA_MID },
    { ".lora_A.weight", LORA_DOWN },
    { ".lora_B.weight", LORA_UP },
    { ".lora_B.bias", LORA_BIAS },
    { ".lora_A.*.weight", LORA_DOWN },
    { ".lora_B.*.weight", LORA_UP },
    { ".lora_B.*.bias", LORA_BIAS },
    { ".lora.down.weight", LORA_DOWN },
    { ".lora.up.weight", LORA_UP },
    { ".lora_linear_layer.down.weight", LORA_DOWN },
    { ".lora_linear_layer.up.weight", LORA_UP },
    { "_lora.down.weight", LORA_DOWN },
    { "_lora.up.weight", LORA_UP },
    { ".alpha", LORA_ALPHA },
    { ".dora_scale", LORA_DORA },
    { ".lora_magnitude_vector", LORA_MAGNITUDE },
    { ".lora_magnitude_vector.*", LORA_MAGNITUDE },
    { ".lora_magnitude_vector.*.weight", LORA_MAGNITUDE },
    { ".hada_w1_a", LOHA_W1A },
    { ".hada_w1_b", LOHA_W1B },
    { ".hada_w2_a", LOHA_W2A },
    { ".hada_w2_b", LOHA_W2B },
    { ".hada_t1", LOHA_T1 },
    { ".hada_t2", LOHA_T2 },
    { ".lokr_w1", LOKR_W1 },
    { ".lokr_w1_a", LOKR_W1A },
    { ".lokr_w1_b", LOKR_W1B },
    { ".lokr_w2", LOKR_W2 },
    { ".lokr_w2_a", LOKR_W2A },
    { ".lokr_w2_b", LOKR_W2B },
    { ".lokr_t2", LOKR_T2 },
    { ".diff", LORA_DIFF },
    { ".diff_b", LORA_DIFF_B },
    { ".w_norm", LORA_DIFF },
    { ".b_norm", LORA_DIFF_B },
};

/* What is not read, by what its names have in them. */
static const struct {
    const char *part, *what;
} others[] = {
    { "lora_te2_", "it is made for SDXL, which has a second text encoder" },
    { "text_encoder_2.", "it is made for SDXL, which has a second text encoder" },
    { "lora_te3_", "it is made for Stable Diffusion 3" },
    { "text_encoder_3.", "it is made for Stable Diffusion 3" },
    { "joint_blocks", "it is made for Stable Diffusion 3" },
    { "double_blocks", "it is made for a transformer as Flux is" },
    { "single_blocks", "it is made for a transformer as Flux is" },
    { "single_transformer_blocks", "it is made for a transformer as Flux is" },
    { "lora_transformer_", "it is made for a transformer" },
    { "motion_modules", "it is a motion LoRA of AnimateDiff" },
    { "lllite_", "it is a ControlLLLite" },
    { "lora_controlnet", "it is a Control-LoRA" },
    { ".on_input", "it is an IA3, which is not read" },
    { "ia3_l", "it is an IA3, which is not read" },
    { ".oft_", "it is an OFT or BOFT, which are not read" },
    { ".boft_", "it is a BOFT, which is not read" },
    { ".lambda_layer", "it is a T-LoRA, which is not read" },
    { ".a1.weight", "it is a GLoRA, which is not read" },
    { ".b1.weight", "it is a GLoRA, which is not read" },
    { "vera_lambda", "it is a VeRA, which is not read" },
    { ".lora_E", "it is an AdaLoRA, which is not read" },
    { "lora_embedding_", "it changes the table of tokens, which is not done" },
    { "string_to_param", "it is a textual inversion" },
    { "emb_params", "it is a textual inversion" },
    { "ip_adapter", "it is an IP-Adapter" },
};

static bool begins_with(const char *text, const char *beginning)
{
    return !strncmp(text, beginning, strlen(beginning));
}

static bool ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && !strcmp(text + length - tail, ending);
}

/* How long `name` is without this ending; 0: it has another one. */
static size_t before_ending(const char *name, const char *ending)
{
    const char *star = strchr(ending, '*');
    size_t length = strlen(name), head = star ? (size_t)(star - ending) : 0;
    if (!star)
        return ends_with(name, ending) ? length - strlen(ending) : 0;
    if (!ends_with(name, star + 1))
        return 0;
    const char *rest = name + length - strlen(star + 1); /* after the adapter's name */
    while (rest > name && rest[-1] != '.')
        rest--;
    bool found = (size_t)(rest - name) > head && !strncmp(rest - head, ending, head);
    return found ? (size_t)(rest - name) - head : 0;
}

/* "a.b.c" of `length` -> "a_b_c" */
static void flatten(char module[NAME], const char *name, size_t length)
{
    snprintf(module, NAME, "%.*s", (int)length, name);
    for (char *c = module; *c; c++)
        if (*c == '.')
            *c = '_';
}

/* ---- the weights that can be changed ---- */

typedef struct target {
    char module[NAME];
    lora_network of;
    const char *weight; /* borrowed */
    bool original;      /* the module is that of the original release */
} target;

typedef struct targets {
    target *list;
    size_t count, room;
    bool failed;
} targets;

static void list(targets *t, const char *module, target like)
{
    if (t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 1024;
        target *more = realloc(t->list, room * sizeof *more);
        t->failed = t->failed || !more;
        if (!more)
            return;
        t->list = more;
        t->room = room;
    }
    snprintf(like.module, sizeof like.module, "%s", module);
    t->list[t->count++] = like;
}

/* Endings that the oldest files of diffusers have for those of an attention. */
static const struct {
    lora_network of;
    const char *now, *old;
} projections[] = {
    { LORA_UNET, "_to_q", "_processor_to_q" }, { LORA_UNET, "_to_k", "_processor_to_k" },
    { LORA_UNET, "_to_v", "_processor_to_v" }, { LORA_UNET, "_to_out_0", "_processor_to_out" },
    { LORA_UNET, "_to_out_0", "_to_out" },     { LORA_TEXT, "_q_proj", "_to_q" },
    { LORA_TEXT, "_k_proj", "_to_k" },         { LORA_TEXT, "_v_proj", "_to_v" },
    { LORA_TEXT, "_out_proj", "_to_out" },
};

static void list_with_old(targets *t, const char *module, target like)
{
    list(t, module, like);
    for (size_t k = 0; k < sizeof projections / sizeof *projections; k++) {
        char old[NAME];
        if (projections[k].of != like.of || !ends_with(module, projections[k].now))
            continue;
        snprintf(old, sizeof old, "%.*s%s", (int)(strlen(module) - strlen(projections[k].now)),
                 module, projections[k].old);
        list(t, old, like);
    }
}

static void list_weight(targets *t, const hds_prior *p, lora_network of, const char *weight)
{
    static const char wrapper[] = "text_model_", ending[] = ".weight";
    char module[NAME], original[NAME];
    target like = { .of = of, .weight = weight };
    if (!ends_with(weight, ending))
        return;
    flatten(module, weight, strlen(weight) - strlen(ending));
    list_with_old(t, module, like);
    if (of == LORA_TEXT && begins_with(module, wrapper))
        list_with_old(t, module + strlen(wrapper), like);
    if (of == LORA_UNET && prior_unet_original(&p->unet, weight, original)) {
        like.original = true;
        flatten(module, original, strlen(original) - strlen(ending));
        list_with_old(t, module, like);
    }
}

static int by_module(const void *a, const void *b)
{
    return strcmp(((const target *)a)->module, ((const target *)b)->module);
}

static hds_status list_targets(targets *t, const hds_prior *p, hds_error *error)
{
    weights *const networks[] = { [LORA_TEXT] = p->clip_weights, [LORA_UNET] = p->unet_weights };
    *t = (targets){ NULL, 0, 0, false };
    for (int of = 0; of < LORA_NETWORKS; of++)
        for (size_t i = 0; i < weights_count(networks[of]); i++)
            list_weight(t, p, (lora_network)of, weights_name(networks[of], i));
    if (t->failed)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", p->path);
    qsort(t->list, t->count, sizeof *t->list, by_module);
    return HDS_OK;
}

/* ---- the file ---- */

typedef struct piece { /* a tensor of the file */
    const io_tensor *tensor;
    const target *target;
    lora_role role;
} piece;

/* Names that did not fit, the first few, and why. */
typedef struct strangers {
    char text[900];
    size_t count;
    const char *cure;
} strangers;

static void note(strangers *s, const char *name, const char *why)
{
    size_t used = strlen(s->text);
    if (s->count++ < SHOWN)
        snprintf(s->text + used, sizeof s->text - used, "%s%.120s", used ? ", " : "", name);
    for (size_t k = 0; k < sizeof others / sizeof *others && !s->cure; k++)
        if (strstr(name, others[k].part))
            s->cure = others[k].what;
    s->cure = s->cure ? s->cure : why;
}

static const target *find_target(const targets *t, int of, const char *name, size_t length)
{
    target wanted;
    if (length >= NAME)
        return NULL;
    flatten(wanted.module, name, length);
    const target *found =
        t->count ? bsearch(&wanted, t->list, t->count, sizeof *t->list, by_module) : NULL;
    return found && (of == EITHER || (int)found->of == of) ? found : NULL;
}

/* Where the tensor belongs; false: nowhere. */
static bool place(const io_tensor *tensor, const targets *t, piece *p)
{
    static const char wrapper[] = "base_model.model."; /* peft's, before the prefix or after it */
    size_t length = 0;
    *p = (piece){ .tensor = tensor };
    for (size_t k = 0; k < sizeof endings / sizeof *endings && !length; k++) {
        length = before_ending(tensor->name, endings[k].ending);
        p->role = endings[k].role;
    }
    if (!length)
        return false;
    const char *name = tensor->name, *end = name + length;
    name += begins_with(name, wrapper) ? strlen(wrapper) : 0;
    for (size_t k = 0; k < sizeof prefixes / sizeof *prefixes && !p->target; k++) {
        size_t skip = strlen(prefixes[k].prefix);
        if (!begins_with(name, prefixes[k].prefix) || name + skip > end)
            continue;
        const char *module = name + skip;
        module +=
            begins_with(module, wrapper) && module + strlen(wrapper) < end ? strlen(wrapper) : 0;
        p->target = find_target(t, prefixes[k].of, module, (size_t)(end - module));
    }
    return p->target;
}

static int by_weight(const void *a, const void *b)
{
    const piece *p = a, *q = b;
    int order = (int)p->target->of - (int)q->target->of;
    order = order ? order : strcmp(p->target->weight, q->target->weight);
    order = order ? order : (int)p->role - (int)q->role;
    return order ? order : (int)p->target->original - (int)q->target->original;
}

/* What is being read. */
typedef struct lora {
    hds_prior *prior;
    const hds_lora *params;
    const char *path;
    lora_settings settings;
    strangers strangers;
    size_t used, twice; /* twice: under the names of both releases */
    hds_error *error;
} lora;

static hds_status find_gain(lora *l, const target *t, const lora_parts *parts, double *gain)
{
    const io_tensor *alpha = parts->of[LORA_ALPHA];
    int64_t rank = lora_rank(parts);
    char module[NAME];
    *gain = 1;
    if (!strcmp(lora_kind(parts), "full") || (alpha && !rank))
        return HDS_OK;
    if (alpha) {
        float value = NAN;
        if (alpha->size == io_dtype_size(alpha->dtype))
            io_to_f32(alpha->data, alpha->dtype, &value, 1);
        *gain = (double)value / (double)rank;
        if (!isfinite(*gain))
            note(&l->strangers, alpha->name, "alpha must be one finite number");
        return HDS_OK;
    }
    snprintf(module, sizeof module, "%.*s", (int)(strlen(t->weight) - strlen(".weight")),
             t->weight);
    return lora_settings_gain(&l->settings, t->of, module, rank, gain, l->error);
}

/* Adds the tensors of one weight. */
static hds_status add(lora *l, const piece *pieces, size_t count)
{
    lora_parts parts = { { NULL } };
    const target *t = pieces[0].target;
    weights *w = t->of == LORA_TEXT ? l->prior->clip_weights : l->prior->unet_weights;
    int dims = 0;
    int64_t shape[IO_MAX_DIMS];
    for (size_t k = 0; k < count; k++) {
        const io_tensor **part = &parts.of[pieces[k].role];
        if (*part && pieces[k].target->original && !pieces[k - 1].target->original)
            l->twice++;
        else if (*part)
            note(&l->strangers, pieces[k].tensor->name, "the same weight is there twice");
        else
            *part = pieces[k].tensor;
    }
    char *bias = hds_format("%.*s.bias", (int)(strlen(t->weight) - strlen(".weight")), t->weight);
    if (!bias)
        return hds_raise(l->error, HDS_ERROR_MEMORY, "%s: out of memory", l->path);
    int bias_dims = 0;
    int64_t bias_shape[IO_MAX_DIMS];
    bool needs_bias = parts.of[LORA_BIAS] || parts.of[LORA_DIFF_B];
    bool has_bias = weights_get_shape(w, bias, &bias_dims, bias_shape);
    double gain = 1;
    hds_status status = HDS_OK;
    if (!lora_kind(&parts))
        note(&l->strangers, pieces[0].tensor->name,
             "they are not all that a LoRA, LoHa or LoKr has of a weight: fetch the file again");
    else if (!weights_get_shape(w, t->weight, &dims, shape) || !lora_fits(&parts, dims, shape) ||
             (needs_bias && !has_bias))
        note(&l->strangers, pieces[0].tensor->name,
             "they are of another shape: take one that was made for this kind of model");
    else
        status = find_gain(l, t, &parts, &gain);
    if (status == HDS_OK && !l->strangers.count)
        lora_add(w, t->weight, bias, &parts, gain, (double)l->params->scale);
    hds_free(bias);
    return status;
}

/* Textual inversions that came along, as WebUI bundles them:
 * bundle_emb.TOKEN.string_to_param.* or bundle_emb.TOKEN.emb_params. */
static hds_status add_bundled(lora *l, const io_tensors *file)
{
    static const char bundle[] = "bundle_emb.";
    hds_status status = HDS_OK;
    for (size_t i = 0; i < file->count && status == HDS_OK; i++) {
        const io_tensor *t = &file->tensors[i];
        if (!begins_with(t->name, bundle))
            continue;
        const char *rest = t->name + strlen(bundle), *end = strchr(rest, '.');
        bool known = end && (!strcmp(end, ".string_to_param.*") || !strcmp(end, ".emb_params"));
        char *token = hds_format("%.*s", end ? (int)(end - rest) : 0, rest);
        if (!token)
            status = hds_raise(l->error, HDS_ERROR_MEMORY, "%s: out of memory", l->path);
        else if (known)
            status = prior_embedding_add(l->prior, token, t, l->path, l->error);
        else
            status = prior_note(l->prior, l->error,
                                "%s: %.100s was left out: no vectors of Stable Diffusion 1 or 2",
                                l->path, t->name);
        hds_free(token);
        l->used++;
    }
    if (status == HDS_OK && l->twice)
        status = prior_note(l->prior, l->error,
                            "%s: %zu tensors under the names of the original release were left out "
                            "for those with diffusers' names",
                            l->path, l->twice);
    return status;
}

static hds_status add_all(lora *l, const io_tensors *file, const targets *t)
{
    piece *pieces = malloc((file->count ? file->count : 1) * sizeof *pieces);
    size_t count = 0, end;
    hds_status status = HDS_OK;
    if (!pieces)
        return hds_raise(l->error, HDS_ERROR_MEMORY, "%s: out of memory", l->path);
    for (size_t i = 0; i < file->count; i++) {
        const char *name = file->tensors[i].name;
        if (begins_with(name, "bundle_emb."))
            continue;
        if (place(&file->tensors[i], t, &pieces[count]))
            count++;
        else
            note(&l->strangers, name, NULL);
    }
    qsort(pieces, count, sizeof *pieces, by_weight);
    for (size_t i = 0; i < count && status == HDS_OK; i = end) {
        const target *first = pieces[i].target;
        for (end = i + 1; end < count && pieces[end].target->of == first->of &&
                          !strcmp(pieces[end].target->weight, first->weight);)
            end++;
        status = add(l, pieces + i, end - i);
    }
    l->used += count;
    free(pieces);
    return status;
}

/* For the record of what was added: the tensors, and what is said beside them. */
static hds_status note_lora(lora *l, const io_tensors *file)
{
    prior_lora *entry = hds_alloc(1, sizeof *entry);
    char *text =
        l->settings.json ? json_dumps(l->settings.json, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    uint64_t hash = weights_file_hash(file);
    if (!entry || (l->settings.json && !text)) {
        hds_free(entry);
        free(text);
        return hds_raise(l->error, HDS_ERROR_MEMORY, "%s: out of memory", l->path);
    }
    if (text)
        hash = base_hash(hash, text, strlen(text));
    *entry = (prior_lora){ l->prior->loras, hash, l->params->scale };
    l->prior->loras = entry;
    free(text);
    return HDS_OK;
}

static hds_status load(lora *l, const io_tensors *file)
{
    targets t;
    hds_status status = lora_settings_open(&l->settings, file, l->path, l->error);
    if (status == HDS_OK)
        status = list_targets(&t, l->prior, l->error);
    if (status == HDS_OK) {
        status = add_all(l, file, &t);
        free(t.list);
    }
    const strangers *s = &l->strangers;
    if (status == HDS_OK && s->count)
        status = hds_raise(l->error, HDS_ERROR_FORMAT,
                           "%s: %zu of its tensors have no place in %s: %s%s; %s", l->path,
                           s->count, l->prior->path, s->text, s->count > SHOWN ? ", ..." : "",
                           s->cure ? s->cure : "take a LoRA that was made for this kind of model");
    if (status == HDS_OK)
        status = add_bundled(l, file);
    if (status == HDS_OK && !l->used)
        status =
            hds_raise(l->error, HDS_ERROR_FORMAT, "%s: holds no tensors, expected a LoRA", l->path);
    if (status == HDS_OK)
        status = note_lora(l, file);
    lora_settings_close(&l->settings);
    return status == HDS_OK ? tn_check(l->prior->cx, l->error) : status;
}

/* A folder's file, under the names that diffusers and peft give it; new, NULL: out of memory. */
static char *file_in(const char *folder)
{
    static const char *const names[] = { "pytorch_lora_weights.safetensors",
                                         "adapter_model.safetensors", "pytorch_lora_weights.bin",
                                         "adapter_model.bin" };
    char *path = NULL;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        hds_free(path);
        path = io_join(folder, names[k]);
        if (!path || io_exists(path))
            return path;
    }
    hds_free(path);
    return io_join(folder, names[0]); /* for the message that it is not there */
}

hds_status prior_lora_load(hds_prior *p, const hds_lora *params, hds_error *error)
{
    if (!isfinite(params->scale))
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: scale is %g, expected a finite number",
                         params->path, (double)params->scale);
    char *inner = io_is_folder(params->path) ? file_in(params->path) : hds_strdup(params->path);
    lora l = { .prior = p, .params = params, .path = inner, .error = error };
    if (!inner)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", params->path);
    const io_tensors *file = weights_keep(p->unet_weights, inner);
    hds_status status = file ? load(&l, file) : tn_check(p->cx, error);
    hds_free(inner);
    return status;
}

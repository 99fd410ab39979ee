/* SPDX-License-Identifier: Apache-2.0 */
/* What a tokenizer.json does with a text, against what CLIP's tokenizer does, which is all that
 * tokenize.c does: normalise, cut into words, merge, put start and end around. A part that is
 * absent is taken to be CLIP's. */
#include "text_priv.h"

#include <string.h>

static hds_status refuse(const char *path, const char *part, const char *found,
                         const char *expected, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_FORMAT,
                     "%s: %s is %.60s, expected %s: not a tokenizer of CLIP", path, part, found,
                     expected);
}

static const char *text_at(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_type(const json_t *step, const char *type)
{
    return !strcmp(text_at(step, "type"), type);
}

/* Step `index` of a part that is one step, or a Sequence with a list of them under `key`. */
static const json_t *step_of(const json_t *part, const char *key, size_t index)
{
    if (is_type(part, "Sequence"))
        return json_array_get(json_object_get(part, key), index);
    return index ? NULL : part;
}

static hds_status check_model(const json_t *model, const char *path, hds_error *error)
{
    static const char *const off[] = { "byte_fallback", "ignore_merges", "fuse_unk" };
    const json_t *type = json_object_get(model, "type");
    const char *ending = text_at(model, "end_of_word_suffix");
    const json_t *dropout = json_object_get(model, "dropout");
    if (!json_is_object(model))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: \"model\": expected an object", path);
    if (type && !is_type(model, "BPE"))
        return refuse(path, "model.type", text_at(model, "type"), "BPE", error);
    if (strcmp(ending, "</w>"))
        return refuse(path, "model.end_of_word_suffix", *ending ? ending : "absent", "</w>", error);
    if (*text_at(model, "continuing_subword_prefix"))
        return refuse(path, "model.continuing_subword_prefix",
                      text_at(model, "continuing_subword_prefix"), "none", error);
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (json_is_true(json_object_get(model, off[i])))
            return refuse(path, off[i], "true", "false", error);
    if (json_number_value(dropout) != 0)
        return refuse(path, "model.dropout", "not 0", "null", error);
    return HDS_OK;
}

static hds_status check_normalizer(const json_t *part, const char *path, hds_error *error)
{
    bool composes = false, lowers = false;
    const json_t *step;
    if (!part || json_is_null(part))
        return HDS_OK;
    for (size_t i = 0; (step = step_of(part, "normalizers", i)); i++) {
        bool blanks = is_type(step, "Replace") && !strcmp(text_at(step, "content"), " ") &&
                      !strcmp(text_at(json_object_get(step, "pattern"), "Regex"), "\\s+");
        composes |= is_type(step, "NFC");
        lowers |= is_type(step, "Lowercase");
        if (!blanks && !is_type(step, "NFC") && !is_type(step, "Lowercase"))
            return refuse(path, "a step of normalizer", text_at(step, "type"),
                          "NFC, white space to blanks, and Lowercase", error);
    }
    if (!composes || !lowers)
        return refuse(path, "normalizer", composes ? "without Lowercase" : "without NFC",
                      "NFC, white space to blanks, and Lowercase", error);
    return HDS_OK;
}

static hds_status check_words(const json_t *part, const char *path, hds_error *error)
{
    static const char words[] = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
    const json_t *step;
    bool cuts = false;
    if (!part || json_is_null(part))
        return HDS_OK;
    for (size_t i = 0; (step = step_of(part, "pretokenizers", i)); i++) {
        const char *pattern = text_at(json_object_get(step, "pattern"), "Regex");
        bool split = is_type(step, "Split") && strstr(pattern, words);
        cuts |= split;
        if (!split && (!is_type(step, "ByteLevel") ||
                       json_is_true(json_object_get(step, "add_prefix_space"))))
            return refuse(path, "a step of pre_tokenizer", text_at(step, "type"),
                          "CLIP's Split, and ByteLevel without add_prefix_space", error);
    }
    return cuts ? HDS_OK
                : refuse(path, "pre_tokenizer", text_at(part, "type"), "CLIP's Split", error);
}

hds_status text_pipeline_check(const json_t *file, const char *path, hds_error *error)
{
    hds_status status = check_model(json_object_get(file, "model"), path, error);
    if (!status)
        status = check_normalizer(json_object_get(file, "normalizer"), path, error);
    if (!status)
        status = check_words(json_object_get(file, "pre_tokenizer"), path, error);
    return status;
}

/* {"SpecialToken": {"id": word}} of a TemplateProcessing. */
static const char *template_word(const json_t *part, size_t index)
{
    const json_t *piece = json_array_get(json_object_get(part, "single"), index);
    return text_at(json_object_get(piece, "SpecialToken"), "id");
}

hds_status text_ends_check(const text_tokenizer *t, const json_t *file, const char *path,
                           hds_error *error)
{
    const json_t *part = json_object_get(file, "post_processor");
    const char *words[2];
    if (!part || json_is_null(part))
        return HDS_OK;
    if (is_type(part, "RobertaProcessing")) {
        const char *first = json_string_value(json_array_get(json_object_get(part, "cls"), 0));
        const char *last = json_string_value(json_array_get(json_object_get(part, "sep"), 0));
        words[0] = first ? first : "";
        words[1] = last ? last : "";
    } else if (is_type(part, "TemplateProcessing") &&
               json_array_size(json_object_get(part, "single")) == 3) {
        words[0] = template_word(part, 0);
        words[1] = template_word(part, 2);
    } else {
        return refuse(path, "post_processor", text_at(part, "type"),
                      "RobertaProcessing, or TemplateProcessing with start, text and end", error);
    }
    const int32_t ids[2] = { t->start, t->end };
    for (int i = 0; i < 2; i++) {
        const text_added *found = text_find_added(t, words[i]);
        if (!found || found->id != ids[i])
            return refuse(path,
                          i ? "the end that post_processor puts"
                            : "the start that "
                              "post_processor puts",
                          words[i], i ? "eos_token" : "bos_token", error);
    }
    return HDS_OK;
}

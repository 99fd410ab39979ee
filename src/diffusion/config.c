/* SPDX-License-Identifier: Apache-2.0 */
/* config.json of a diffusers or transformers folder into the structs of diffusion.h. Keys that are
 * absent have the value that the reference gives them; what these networks do not do is refused by
 * name. */
#include "diffusion/diffusion.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A file being read: the first fault sticks in `error`. */
typedef struct reader {
    const char *path;
    json_t *json;
    hds_error *error;
    hds_status status;
} reader;

static reader open_config(const char *path, hds_error *error)
{
    reader r = { .path = path, .error = error };
    r.status = io_json_load(&r.json, path, error);
    if (r.status == HDS_OK && !json_is_object(r.json))
        r.status = hds_raise(error, HDS_ERROR_FORMAT, "%s: not a JSON object", path);
    return r;
}

static hds_status close_config(reader *r)
{
    json_decref(r->json);
    return r->status;
}

static void refuse(reader *r, const char *key, const char *expected)
{
    json_t *value = json_object_get(r->json, key);
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
    r->status = hds_raise(r->error, HDS_ERROR_FORMAT, "%s: \"%s\" is %.80s, expected %s", r->path,
                          key, text ? text : "absent", expected);
    free(text);
}

/* An absent or null key has the fallback. */
static json_t *value_of(const reader *r, const char *key)
{
    json_t *value = r->status == HDS_OK ? json_object_get(r->json, key) : NULL;
    return json_is_null(value) ? NULL : value;
}

static int integer(reader *r, const char *key, int fallback)
{
    json_t *value = value_of(r, key);
    if (!value)
        return fallback;
    json_int_t number = json_integer_value(value);
    if (!json_is_integer(value) || number < 1 || number > 1 << 24) {
        refuse(r, key, "a whole number from 1");
        return 1;
    }
    return (int)number;
}

static double real_number(reader *r, const char *key, double fallback)
{
    json_t *value = value_of(r, key);
    if (!value)
        return fallback;
    if (!json_is_number(value) || !(json_number_value(value) > 0)) {
        refuse(r, key, "a number above 0");
        return 1;
    }
    return json_number_value(value);
}

static bool boolean(reader *r, const char *key, bool fallback)
{
    json_t *value = value_of(r, key);
    if (value && !json_is_boolean(value))
        refuse(r, key, "true or false");
    return value ? json_is_true(value) : fallback;
}

static const char *string(reader *r, const char *key, const char *fallback)
{
    json_t *value = value_of(r, key);
    if (value && !json_is_string(value))
        refuse(r, key, "a text");
    return json_is_string(value) ? json_string_value(value) : fallback;
}

/* The channels of each level; their number. */
static int channels(reader *r, const char *key, int *out)
{
    json_t *list = value_of(r, key);
    size_t count = json_array_size(list);
    bool good = count >= 1 && count <= DIFFUSION_MAX_LEVELS;
    for (size_t i = 0; good && i < count; i++) {
        json_int_t n = json_integer_value(json_array_get(list, i));
        good = n >= 1 && n <= 1 << 20;
        out[i] = (int)n;
    }
    if (!good && r->status == HDS_OK)
        refuse(r, key, "1 to 8 numbers of channels");
    return good ? (int)count : 1;
}

static bool equal(const json_t *a, const json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    return json_equal(a, b);
}

/* The keys of r must have these values where they are present and not null. */
typedef struct fixed {
    const char *key, *value; /* as JSON */
} fixed;
static void check_fixed(reader *r, const fixed *list, size_t count)
{
    for (size_t i = 0; i < count && r->status == HDS_OK; i++) {
        json_t *found = value_of(r, list[i].key);
        json_t *expected = json_loads(list[i].value, JSON_DECODE_ANY, NULL);
        if (found && !equal(found, expected))
            refuse(r, list[i].key, list[i].value);
        json_decref(expected);
    }
}

static void check_groups(reader *r, int groups, int levels, const int *widths)
{
    for (int i = 0; i < levels && r->status == HDS_OK; i++)
        if (widths[i] % groups)
            r->status = hds_raise(r->error, HDS_ERROR_FORMAT,
                                  "%s: %d channels in %d groups (\"norm_num_groups\")", r->path,
                                  widths[i], groups);
}

/* "hidden_act" -> whether it is the quick one */
static bool quick_gelu(reader *r)
{
    const char *act = string(r, "hidden_act", "quick_gelu");
    bool quick = !strcmp(act, "quick_gelu");
    if (r->status == HDS_OK && !quick && strcmp(act, "gelu"))
        refuse(r, "hidden_act", "\"quick_gelu\" or \"gelu\"");
    return quick;
}

static void read_clip_text(reader *r, clip_text_config *c)
{
    *c = (clip_text_config){ 0 };
    c->layers = integer(r, "num_hidden_layers", 12);
    c->heads = integer(r, "num_attention_heads", 8);
    c->width = integer(r, "hidden_size", 512);
    c->inner = integer(r, "intermediate_size", 2048);
    c->vocabulary = integer(r, "vocab_size", 49408);
    c->positions = integer(r, "max_position_embeddings", 77);
    c->end_id = integer(r, "eos_token_id", 49407);
    c->eps = real_number(r, "layer_norm_eps", 1e-5);
    c->quick_gelu = quick_gelu(r);
    if (r->status == HDS_OK && c->width % c->heads)
        refuse(r, "num_attention_heads", "a divisor of \"hidden_size\"");
}

hds_status clip_text_config_load(clip_text_config *c, const char *path, hds_error *error)
{
    reader r = open_config(path, error);
    read_clip_text(&r, c);
    return close_config(&r);
}

static void read_clip_vision(reader *r, clip_vision_config *c)
{
    static const fixed needed[] = { { "num_channels", "3" } };
    *c = (clip_vision_config){ 0 };
    c->layers = integer(r, "num_hidden_layers", 12);
    c->heads = integer(r, "num_attention_heads", 12);
    c->width = integer(r, "hidden_size", 768);
    c->inner = integer(r, "intermediate_size", 3072);
    c->image_size = integer(r, "image_size", 224);
    c->patch_size = integer(r, "patch_size", 32);
    c->eps = real_number(r, "layer_norm_eps", 1e-5);
    c->quick_gelu = quick_gelu(r);
    check_fixed(r, needed, sizeof needed / sizeof *needed);
    if (r->status == HDS_OK && c->width % c->heads)
        refuse(r, "num_attention_heads", "a divisor of \"hidden_size\"");
    if (r->status == HDS_OK && c->image_size > 4096)
        refuse(r, "image_size", "at most 4096");
    if (r->status == HDS_OK && c->patch_size > c->image_size)
        refuse(r, "patch_size", "at most \"image_size\"");
}

/* The part `key` of a file as a reader of its own; `place`, which it borrows, is for messages. Old
 * files repeat it under `old_key`, and that one is meant then. */
static reader open_part(reader *whole, const char *key, const char *old_key, char *place,
                        size_t size)
{
    json_t *value = value_of(whole, old_key);
    value = value ? value : value_of(whole, key);
    if (whole->status == HDS_OK && !json_is_object(value))
        refuse(whole, key,
               "an object: take the folder of a whole CLIP, text and vision, as "
               "openai/clip-vit-base-patch32");
    snprintf(place, size, "%s: %s", whole->path, key);
    return (reader){ .path = place, .json = value, .error = whole->error, .status = whole->status };
}

hds_status clip_pair_config_load(clip_pair_config *c, const char *path, hds_error *error)
{
    char place[1024];
    reader r = open_config(path, error);
    c->projection = integer(&r, "projection_dim", 512);
    reader text = open_part(&r, "text_config", "text_config_dict", place, sizeof place);
    read_clip_text(&text, &c->text);
    r.status = text.status;
    reader vision = open_part(&r, "vision_config", "vision_config_dict", place, sizeof place);
    read_clip_vision(&vision, &c->vision);
    r.status = vision.status;
    return close_config(&r);
}

/* A side as one number, or as an object with it under `key`. */
static int side(reader *r, const char *name, const char *key, int fallback)
{
    json_t *value = value_of(r, name);
    json_t *number = json_is_object(value) ? json_object_get(value, key) : value;
    json_int_t pixels = json_integer_value(number);
    if (!value)
        return fallback;
    if (!json_is_integer(number) || pixels < 1 || pixels > 4096) {
        refuse(r, name, "1 to 4096 pixels, a number or an object that has it by name");
        return 1;
    }
    return (int)pixels;
}

/* Three numbers, one for each colour; each above 0 if need be. */
static void colours(reader *r, const char *key, bool positive, double out[3])
{
    json_t *list = value_of(r, key);
    bool good = !list || json_array_size(list) == 3;
    for (size_t i = 0; list && good && i < 3; i++) {
        json_t *item = json_array_get(list, i);
        out[i] = json_number_value(item);
        good = json_is_number(item) && (!positive || out[i] > 0);
    }
    if (!good)
        refuse(r, key, positive ? "3 numbers above 0" : "3 numbers");
}

hds_status clip_pixels_config_load(clip_pixels_config *c, const char *path, hds_error *error)
{
    static const fixed needed[] = {
        { "do_resize", "true" },      { "resample", "3" },
        { "do_center_crop", "true" }, { "do_rescale", "true" },
        { "do_normalize", "true" },   { "rescale_factor", "0.00392156862745098" },
        { "do_convert_rgb", "true" },
    };
    reader r = open_config(path, error);
    *c = (clip_pixels_config){ .mean = { 0.48145466, 0.4578275, 0.40821073 },
                               .deviation = { 0.26862954, 0.26130258, 0.27577711 } };
    c->resized = side(&r, "size", "shortest_edge", 224);
    c->size = side(&r, "crop_size", "height", 224);
    if (r.status == HDS_OK && side(&r, "crop_size", "width", 224) != c->size)
        refuse(&r, "crop_size", "a square");
    if (r.status == HDS_OK && c->resized < c->size)
        refuse(&r, "size", "at least \"crop_size\"");
    colours(&r, "image_mean", false, c->mean);
    colours(&r, "image_std", true, c->deviation);
    check_fixed(&r, needed, sizeof needed / sizeof *needed);
    return close_config(&r);
}

hds_status vae_config_load(vae_config *c, const char *path, hds_error *error)
{
    static const fixed needed[] = {
        { "act_fn", "\"silu\"" },
        { "mid_block_add_attention", "true" },
        { "use_quant_conv", "true" },
        { "use_post_quant_conv", "true" },
    };
    reader r = open_config(path, error);
    *c = (vae_config){ 0 };
    c->image_channels = integer(&r, "in_channels", 3);
    c->latent_channels = integer(&r, "latent_channels", 4);
    c->levels = channels(&r, "block_out_channels", c->channels);
    c->layers = integer(&r, "layers_per_block", 1);
    c->groups = integer(&r, "norm_num_groups", 32);
    c->scaling = real_number(&r, "scaling_factor", 0.18215);
    if (r.status == HDS_OK && integer(&r, "out_channels", 3) != c->image_channels)
        refuse(&r, "out_channels", "the same as \"in_channels\"");
    check_fixed(&r, needed, sizeof needed / sizeof *needed);
    check_groups(&r, c->groups, c->levels, c->channels);
    return close_config(&r);
}

/* Which blocks of a list have attention. */
static void block_types(reader *r, const char *key, const char *plain, const char *crossed,
                        int levels, bool *attention)
{
    json_t *list = value_of(r, key);
    bool good = (int)json_array_size(list) == levels;
    for (int i = 0; good && i < levels; i++) {
        const char *type = json_string_value(json_array_get(list, (size_t)i));
        attention[i] = type && !strcmp(type, crossed);
        good = attention[i] || (type && !strcmp(type, plain));
    }
    if (!good && r->status == HDS_OK) {
        char expected[120];
        snprintf(expected, sizeof expected, "%d of %s or %s", levels, plain, crossed);
        refuse(r, key, expected);
    }
}

/* num_attention_heads, or attention_head_dim which in these files means the same: one number, or
 * one for each level. */
static void head_counts(reader *r, unet_config *c)
{
    const char *key =
        value_of(r, "num_attention_heads") ? "num_attention_heads" : "attention_head_dim";
    json_t *value = value_of(r, key);
    for (int i = 0; i < c->levels && r->status == HDS_OK; i++) {
        json_t *item = json_is_array(value) ? json_array_get(value, (size_t)i) : value;
        json_int_t heads = item ? json_integer_value(item) : 8;
        bool counts = !json_is_array(value) || (int)json_array_size(value) == c->levels;
        if (!counts || heads < 1 || heads > c->channels[i] || c->channels[i] % heads)
            refuse(r, key, "a number of heads that divides each level's channels");
        c->heads[i] = (int)heads;
    }
}

/* What UNet and ControlNet share. */
static void read_unet(reader *r, unet_config *c)
{
    static const fixed needed[] = {
        { "act_fn", "\"silu\"" },
        { "mid_block_type", "\"UNetMidBlock2DCrossAttn\"" },
        { "center_input_sample", "false" },
        { "flip_sin_to_cos", "true" },
        { "freq_shift", "0" },
        { "downsample_padding", "1" },
        { "mid_block_scale_factor", "1" },
        { "dual_cross_attention", "false" },
        { "only_cross_attention", "false" },
        { "transformer_layers_per_block", "1" },
        { "resnet_time_scale_shift", "\"default\"" },
        { "resnet_skip_time_act", "false" },
        { "resnet_out_scale_factor", "1.0" },
        { "time_embedding_type", "\"positional\"" },
        { "conv_in_kernel", "3" },
        { "conv_out_kernel", "3" },
        { "class_embed_type", "null" },
        { "addition_embed_type", "null" },
        { "encoder_hid_dim", "null" },
        { "time_embedding_dim", "null" },
        { "time_cond_proj_dim", "null" },
        { "timestep_post_act", "null" },
    };
    *c = (unet_config){ 0 };
    c->in_channels = integer(r, "in_channels", 4);
    c->out_channels = integer(r, "out_channels", 4);
    c->levels = channels(r, "block_out_channels", c->channels);
    c->layers = integer(r, "layers_per_block", 2);
    c->groups = integer(r, "norm_num_groups", 32);
    c->text_width = integer(r, "cross_attention_dim", 1280);
    c->sample_size = integer(r, "sample_size", 64);
    c->linear_projection = boolean(r, "use_linear_projection", false);
    c->eps = real_number(r, "norm_eps", 1e-5);
    block_types(r, "down_block_types", "DownBlock2D", "CrossAttnDownBlock2D", c->levels,
                c->down_attention);
    head_counts(r, c);
    check_fixed(r, needed, sizeof needed / sizeof *needed);
    check_groups(r, c->groups, c->levels, c->channels);
}

hds_status unet_config_load(unet_config *c, const char *path, hds_error *error)
{
    reader r = open_config(path, error);
    read_unet(&r, c);
    block_types(&r, "up_block_types", "UpBlock2D", "CrossAttnUpBlock2D", c->levels,
                c->up_attention);
    return close_config(&r);
}

void controlnet_config_default(controlnet_config *c, const unet_config *unet)
{
    static const int usual[] = { 16, 32, 96, 256 };
    *c = (controlnet_config){ .unet = *unet, .condition_levels = sizeof usual / sizeof *usual };
    memcpy(c->condition_channels, usual, sizeof usual);
}

hds_status controlnet_config_load(controlnet_config *c, const char *path, hds_error *error)
{
    static const fixed needed[] = {
        { "controlnet_conditioning_channel_order", "\"rgb\"" },
        { "conditioning_channels", "3" },
        { "global_pool_conditions", "false" },
    };
    reader r = open_config(path, error);
    const char *key = "conditioning_embedding_out_channels";
    controlnet_config_default(c, &(unet_config){ 0 });
    read_unet(&r, &c->unet);
    if (value_of(&r, key))
        c->condition_levels = channels(&r, key, c->condition_channels);
    check_fixed(&r, needed, sizeof needed / sizeof *needed);
    return close_config(&r);
}

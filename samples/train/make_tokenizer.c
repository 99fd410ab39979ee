/* SPDX-License-Identifier: Apache-2.0 */
/* make_tokenizer FOLDER: learns a byte-pair vocabulary from random captions and writes it as the
 * tokenizer folder of a Stable Diffusion model (vocab.json, merges.txt and two small configs).
 *
 * Sennrich, Haddow, Birch: "Neural machine translation of rare words with subword units", 2016, on
 * bytes as CLIP does it: every byte is a printable character, the last one of a word carries </w>.
 */
#include "captions.h"

#include "io/io.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CAPTIONS = 60000, MAX_WORDS = 4096, MAX_SYMBOLS = 48, MAX_MERGES = 768, NAME = 64 };

typedef struct word {
    int count, length;
    char symbols[MAX_SYMBOLS][NAME];
} word;
typedef struct corpus {
    int count;
    word *words;
} corpus;

/* CLIP's printable character for a byte, as UTF-8. */
static void byte_character(int byte, char text[4])
{
    int code = byte;
    if (!((byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174)) {
        int rank = 0;
        for (int b = 0; b < byte; b++)
            rank += !((b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174);
        code = 256 + rank;
    }
    if (code < 128) {
        snprintf(text, 4, "%c", code);
    } else {
        text[0] = (char)(0xC0 | (code >> 6));
        text[1] = (char)(0x80 | (code & 63));
        text[2] = 0;
    }
}

static void add_word(corpus *c, const char *text, int length)
{
    word w = { .count = 1, .length = length };
    for (int i = 0; i < length; i++) {
        byte_character((unsigned char)tolower((unsigned char)text[i]), w.symbols[i]);
        if (i + 1 == length)
            strcat(w.symbols[i], "</w>");
    }
    for (int i = 0; i < c->count; i++) {
        word *o = &c->words[i];
        if (o->length == length && !memcmp(o->symbols, w.symbols, sizeof w.symbols)) {
            o->count++;
            return;
        }
    }
    if (c->count < MAX_WORDS)
        c->words[c->count++] = w;
}

/* Letters in a row, single digits, other marks in a row, as CLIP's pattern has it for ASCII. */
static void add_caption(corpus *c, const char *text)
{
    while (*text) {
        int length = 1;
        if (isalpha((unsigned char)*text))
            while (isalpha((unsigned char)text[length]))
                length++;
        else if (!isspace((unsigned char)*text) && !isdigit((unsigned char)*text))
            while (ispunct((unsigned char)text[length]))
                length++;
        if (!isspace((unsigned char)*text) && length <= MAX_SYMBOLS)
            add_word(c, text, length);
        text += length;
    }
}

static void read_captions(corpus *c)
{
    for (uint64_t i = 0; i < CAPTIONS; i++) {
        rng r = rng_make(1, i);
        float attributes[CAPTION_ATTRIBUTES];
        char text[512];
        rng_normal_fill(&r, attributes, CAPTION_ATTRIBUTES);
        caption_medium medium = (caption_medium)rng_below(&r, CAPTION_MEDIA);
        caption_write(&r, attributes, medium, (float)rng_range(&r, -180, 180), text, sizeof text);
        add_caption(c, text);
    }
}

/* The most frequent pair, the first in byte order among equals; false when none is left. */
static bool best_pair(const corpus *c, char left[NAME], char right[NAME])
{
    long best = 0;
    for (int i = 0; i < c->count; i++) {
        for (int k = 0; k + 1 < c->words[i].length; k++) {
            const char *a = c->words[i].symbols[k], *b = c->words[i].symbols[k + 1];
            long total = 0;
            for (int j = 0; j < c->count; j++)
                for (int m = 0; m + 1 < c->words[j].length; m++)
                    if (!strcmp(c->words[j].symbols[m], a) &&
                        !strcmp(c->words[j].symbols[m + 1], b))
                        total += c->words[j].count;
            int order = strcmp(a, left) ? strcmp(a, left) : strcmp(b, right);
            if (total > best || (total == best && best && order < 0)) {
                best = total;
                snprintf(left, NAME, "%s", a);
                snprintf(right, NAME, "%s", b);
            }
        }
    }
    return best > 1;
}

static void merge(corpus *c, const char *left, const char *right)
{
    for (int i = 0; i < c->count; i++) {
        word *w = &c->words[i];
        for (int k = 0; k + 1 < w->length; k++) {
            if (strcmp(w->symbols[k], left) || strcmp(w->symbols[k + 1], right))
                continue;
            strcat(w->symbols[k], right);
            memmove(w->symbols[k + 1], w->symbols[k + 2],
                    sizeof *w->symbols * (size_t)(w->length - k - 2));
            memset(w->symbols[--w->length], 0, NAME);
        }
    }
}

static void add_entry(json_t *vocabulary, const char *name)
{
    json_object_set_new(vocabulary, name, json_integer((json_int_t)json_object_size(vocabulary)));
}

static void add_bytes(json_t *vocabulary)
{
    for (int end = 0; end < 2; end++) {
        for (int round = 0; round < 2; round++) { /* printable bytes first */
            for (int byte = 0; byte < 256; byte++) {
                char text[16] = "";
                byte_character(byte, text);
                bool own = text[0] == (char)byte || ((unsigned char)text[0] & 0xFE) == 0xC2;
                if (own != (round == 0))
                    continue;
                add_entry(vocabulary, end ? strcat(text, "</w>") : text);
            }
        }
    }
}

static hds_status write_configs(const char *folder, hds_error *error)
{
    char *special = io_join(folder, "special_tokens_map.json");
    char *config = io_join(folder, "tokenizer_config.json");
    json_t *s =
        json_pack("{s:s,s:s,s:s,s:s}", "bos_token", "<|startoftext|>", "eos_token", "<|endoftext|>",
                  "pad_token", "<|endoftext|>", "unk_token", "<|endoftext|>");
    json_t *t = json_pack("{s:s,s:b,s:i,s:s,s:s,s:s,s:s}", "tokenizer_class", "CLIPTokenizer",
                          "do_lower_case", 1, "model_max_length", 77, "bos_token",
                          "<|startoftext|>", "eos_token", "<|endoftext|>", "pad_token",
                          "<|endoftext|>", "unk_token", "<|endoftext|>");
    hds_status status = io_json_save(s, special, error);
    if (status == HDS_OK)
        status = io_json_save(t, config, error);
    json_decref(s);
    json_decref(t);
    hds_free(special);
    hds_free(config);
    return status;
}

static hds_status write_tokenizer(corpus *c, const char *folder, hds_error *error)
{
    json_t *vocabulary = json_object();
    add_bytes(vocabulary);
    size_t size = (size_t)MAX_MERGES * (2 * NAME + 2) + 64;
    char *merges = hds_alloc(size, 1);
    char left[NAME], right[NAME], joined[2 * NAME];
    int used = snprintf(merges, size, "#version: 0.2\n");
    for (int i = 0; i < MAX_MERGES; i++) {
        memset(left, 0, sizeof left);
        if (!best_pair(c, left, right))
            break;
        merge(c, left, right);
        used += snprintf(merges + used, size - (size_t)used, "%s %s\n", left, right);
        snprintf(joined, sizeof joined, "%s%s", left, right);
        add_entry(vocabulary, joined);
    }
    add_entry(vocabulary, "<|startoftext|>");
    add_entry(vocabulary, "<|endoftext|>");
    char *vocabulary_path = io_join(folder, "vocab.json"), *path = io_join(folder, "merges.txt");
    hds_status status = io_make_folders(folder, error);
    if (status == HDS_OK)
        status = io_json_save(vocabulary, vocabulary_path, error);
    if (status == HDS_OK)
        status = io_write_atomic(path, merges, (size_t)used, error);
    if (status == HDS_OK)
        status = write_configs(folder, error);
    if (status == HDS_OK)
        printf("%zu entries from %d words\n", json_object_size(vocabulary), c->count);
    json_decref(vocabulary);
    hds_free(merges);
    hds_free(vocabulary_path);
    hds_free(path);
    return status;
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: make_tokenizer FOLDER\n");
        return 2;
    }
    hds_error error = { 0 };
    corpus c = { .words = hds_alloc(MAX_WORDS, sizeof(word)) };
    read_captions(&c);
    hds_status status = write_tokenizer(&c, arguments[1], &error);
    if (status != HDS_OK)
        fprintf(stderr, "make_tokenizer: %s\n", error.message);
    hds_free(c.words);
    return status != HDS_OK;
}

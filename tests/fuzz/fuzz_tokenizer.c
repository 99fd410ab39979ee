/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer's six files as one input, with a line "====" between them, and a text as the seventh.
 * A file that is empty is not there. */
#include "fuzz.h"

#include "text/text.h"

static const unsigned char *input;
static size_t input_size;
enum { TEXT = 6 };
static const char *const names[TEXT] = {
    "vocab.json",        "merges.txt",     "special_tokens_map.json", "tokenizer_config.json",
    "added_tokens.json", "/tokenizer.json"
};

bool __wrap_io_exists(const char *path);

/* The part that begins after `skip` lines "====". */
static void select_part(int skip)
{
    static const char mark[] = "\n====\n";
    const size_t length = sizeof mark - 1;
    const unsigned char *first = input, *end = input + input_size, *next;
    while ((next = memmem(first, (size_t)(end - first), mark, length)) && skip > 0) {
        first = next + length;
        skip--;
    }
    fuzz_input = first;
    fuzz_size = skip ? 0 : (size_t)((next ? next : end) - first);
}

static void select_file(const char *path)
{
    for (int i = 0; i < TEXT; i++)
        if (strstr(path, names[i]))
            select_part(i);
}

bool __wrap_io_exists(const char *path)
{
    select_file(path);
    return fuzz_size > 0;
}

/* Every id has a row. */
static void check_ids(const text_tokenizer *tokenizer, const int64_t *ids, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ids[i] < 0 || ids[i] >= text_tokenizer_get_size(tokenizer))
            abort();
}

static void read_text(const text_tokenizer *tokenizer, hds_error *error)
{
    int64_t ids[TEXT_TOKENS], *chunks;
    size_t count;
    text_cut cut;
    char text[256] = "";
    select_part(TEXT);
    memcpy(text, fuzz_input, fuzz_size < sizeof text ? fuzz_size : sizeof text - 1);
    hds_status status = text_tokenize(tokenizer, text, ids, &cut, error);
    if (status != error->status || (status == HDS_OK && strlen(cut.words) >= sizeof cut.words))
        abort();
    if (status == HDS_OK)
        check_ids(tokenizer, ids, TEXT_TOKENS);
    if (status == HDS_OK && text_chunks(tokenizer, text, &chunks, &count, error) == HDS_OK) {
        check_ids(tokenizer, chunks, count * TEXT_TOKENS);
        hds_free(chunks);
    }
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    text_tokenizer *tokenizer = NULL;
    hds_error error = { 0 };
    input = data;
    input_size = size;
    fuzz_select = select_file;
    hds_status status = text_tokenizer_load(&tokenizer, "tokenizer", &error);
    if (status != error.status || (status == HDS_OK) != (tokenizer != NULL))
        abort();
    if (tokenizer)
        status = text_tokenizer_add(tokenizer, "<new>", (int32_t)text_tokenizer_get_size(tokenizer),
                                    3, "new", &error);
    if (tokenizer && status == HDS_OK)
        read_text(tokenizer, &error);
    text_tokenizer_destroy(&tokenizer);
    return 0;
}

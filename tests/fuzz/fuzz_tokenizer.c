/* SPDX-License-Identifier: Apache-2.0 */
/* A tokenizer's four files as one input, with a line "====" between them, and a text as the fifth.
 */
#include "fuzz.h"

#include "text/text.h"

static const unsigned char *input;
static size_t input_size;
enum { TEXT = 4 };
static const char *const names[TEXT] = { "vocab.json", "merges.txt", "special_tokens_map.json",
                                         "tokenizer_config.json" };

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
    if (tokenizer) {
        int64_t ids[TEXT_TOKENS];
        char text[256] = "";
        select_part(TEXT);
        memcpy(text, fuzz_input, fuzz_size < sizeof text ? fuzz_size : sizeof text - 1);
        status = text_tokenize(tokenizer, text, ids, NULL, &error);
        if (status != error.status)
            abort();
        for (int i = 0; i < TEXT_TOKENS && status == HDS_OK; i++)
            if (ids[i] < 0 || ids[i] >= text_tokenizer_get_size(tokenizer))
                abort();
    }
    text_tokenizer_destroy(&tokenizer);
    return 0;
}

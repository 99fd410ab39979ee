/* SPDX-License-Identifier: Apache-2.0 */
/* The tokenizer against the recorded ids, and what it refuses. */
#include "scratch.h"

#include "text/text.h"

static char *shared(const char *name)
{
    const char *chosen = getenv("HEADSDS_SHARED");
    char *parity = io_join(chosen && *chosen ? chosen : SHARED_BESIDE_SOURCE, "parity");
    char *path = io_join(parity, name);
    hds_free(parity);
    return path;
}

static size_t check_case(const text_tokenizer *t, const json_t *entry)
{
    const char *text = json_string_value(json_object_get(entry, "text"));
    const json_t *expected = json_object_get(entry, "ids");
    int64_t ids[TEXT_TOKENS];
    text_cut cut;
    hds_error error = { 0 };
    check_ok(text_tokenize(t, text, ids, &cut, &error), &error);
    size_t count = cut.tokens + 2;
    assert_true((count > TEXT_TOKENS) == (*cut.words != 0));
    assert_int_equal(json_array_size(expected), TEXT_TOKENS);
    json_t *before = json_object_get(entry, "n_tokens_before_truncation");
    if (count != (size_t)json_integer_value(before)) {
        print_error("\"%s\": %zu tokens\n", text, count);
        return 1;
    }
    for (size_t i = 0; i < TEXT_TOKENS; i++)
        if (ids[i] != json_integer_value(json_array_get(expected, i))) {
            print_error("\"%s\": token %zu is %lld\n", text, i, (long long)ids[i]);
            return 1;
        }
    return 0;
}

static void check_recorded(const char *folder, const char *cases, int64_t size)
{
    char *model = shared(folder), *path = shared(cases);
    if (!io_exists(path)) {
        print_message("no recorded ids at %s (set HEADSDS_SHARED)\n", path);
        hds_free(model);
        hds_free(path);
        skip();
    }
    hds_error error = { 0 };
    text_tokenizer *t = NULL;
    json_t *list = NULL, *entry;
    size_t index, wrong = 0;
    check_ok(text_tokenizer_load(&t, model, &error), &error);
    check_ok(io_json_load(&list, path, &error), &error);
    assert_int_equal(text_tokenizer_get_size(t), size);
    assert_true(json_array_size(list) >= 62);
    json_array_foreach(list, index, entry)
    {
        wrong += check_case(t, entry);
    }
    assert_int_equal(wrong, 0);
    json_decref(list);
    text_tokenizer_destroy(&t);
    assert_null(t);
    hds_free(model);
    hds_free(path);
}

static void test_recorded_full(void **state)
{
    check_recorded("tokenizer-clip", "cases/tokenizer/clip.json", 49408);
}

static void test_recorded_small(void **state)
{
    check_recorded("tiny-sd15/tokenizer", "cases/tokenizer/tiny-sd15.json", 2014);
}

/* A tokenizer of ten tokens of our own: a b c, their ends, ab, bc</w>, and start, end, pad. */
static const char vocabulary[] =
    "{\"a\":0,\"b\":1,\"c\":2,\"a</w>\":3,\"b</w>\":4,\"c</w>\":5,\"ab\":6,\"bc</w>\":7,"
    "\"<s>\":8,\"</s>\":9,\"!\":10}";
static const char merges[] = "#version: 0.2\na b\nb c</w>\n";
static const char specials[] =
    "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"</s>\",\"pad_token\":\"!\"}";
static const char config[] = "{\"model_max_length\":77,\"do_lower_case\":true}";

static void write_text(const char *name, const char *text)
{
    scratch_write(scratch(name), text, strlen(text));
}

static void write_small(void)
{
    write_text("vocab.json", vocabulary);
    write_text("merges.txt", merges);
    write_text("special_tokens_map.json", specials);
    write_text("tokenizer_config.json", config);
}

static void check_ids(const text_tokenizer *t, const char *text, size_t count, const int64_t *ids)
{
    int64_t found[TEXT_TOKENS];
    text_cut cut;
    hds_error error = { 0 };
    check_ok(text_tokenize(t, text, found, &cut, &error), &error);
    assert_int_equal(cut.tokens + 2, count);
    for (size_t i = 0; i < TEXT_TOKENS; i++)
        assert_int_equal(found[i], i < count ? ids[i] : 10);
}

static void test_small(void **state)
{
    hds_error error = { 0 };
    text_tokenizer *t = NULL;
    write_small();
    check_ok(text_tokenizer_load(&t, scratch_folder, &error), &error);
    assert_int_equal(text_tokenizer_get_size(t), 11);
    check_ids(t, "", 2, (int64_t[]){ 8, 9 });
    check_ids(t, "ABC  bc\tA", 6, (int64_t[]){ 8, 6, 5, 7, 3, 9 });
    check_ids(t,
              "a\xc2\x85"
              "b\xe2\x80\xa8"
              "c",
              5, (int64_t[]){ 8, 3, 4, 5, 9 }); /* line ends */
    check_ids(t, "a\xcc\x81", 4,
              (int64_t[]){ 8, 9, 9, 9 }); /* composed: two bytes it does not know */
    check_ids(t, "a<s>b!", 6, (int64_t[]){ 8, 3, 8, 4, 10, 9 }); /* the padding's word, too */
    check_ids(t, "aa</s>", 5, (int64_t[]){ 8, 0, 3, 9, 9 });
    int64_t ids[TEXT_TOKENS];
    char long_text[300];
    memset(long_text, 'c', sizeof long_text);
    long_text[sizeof long_text - 1] = '\0';
    text_cut cut;
    check_ok(text_tokenize(t, long_text, ids, &cut, &error), &error);
    assert_int_equal(cut.tokens, 299);
    assert_true(ids[0] == 8 && ids[75] == 2 && ids[76] == 9);
    text_tokenizer_destroy(&t);
}

static void test_refused_texts(void **state)
{
    static const struct {
        const char *text, *says;
    } cases[] = {
        { "ab\xff", "byte 2 (0xff)" },     { "\xc3", "byte 0 (0xc3)" },
        { "a \xc0\x80", "byte 2 (0xc0)" }, { "\xed\xa0\x80", "byte 0 (0xed)" },
        { "\xf4\x90\x80\x80", "byte 0" },  { "abc\xe2\x82", "byte 3 (0xe2)" },
        { "<s>\x80", "byte 3 (0x80)" },
    };
    hds_error error = { 0 };
    text_tokenizer *t = NULL;
    int64_t ids[TEXT_TOKENS];
    write_small();
    check_ok(text_tokenizer_load(&t, scratch_folder, &error), &error);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        error = (hds_error){ 0 };
        hds_status status = text_tokenize(t, cases[i].text, ids, NULL, &error);
        check_error(status, &error, HDS_ERROR_ARGUMENT, cases[i].says, "not UTF-8");
    }
    char *endless = malloc((1 << 16) + 2);
    memset(endless, 'a', (1 << 16) + 1);
    endless[(1 << 16) + 1] = '\0';
    error = (hds_error){ 0 };
    hds_status status = text_tokenize(t, endless, ids, NULL, &error);
    check_error(status, &error, HDS_ERROR_ARGUMENT, "65537 bytes", "at most 65536");
    free(endless);
    text_tokenizer_destroy(&t);
}

static void test_refused_files(void **state)
{
    static const struct {
        const char *name, *content, *says;
    } cases[] = {
        { "vocab.json", "[]", "expected an object" },
        { "vocab.json", "{}", "expected an object" },
        { "vocab.json", "{\"a\": -1}", "\"a\": expected an id" },
        { "vocab.json", "{\"a\": \"b\"}", "\"a\": expected an id" },
        { "vocab.json", "{\"a\": 99999999999}", "\"a\": expected an id" },
        { "merges.txt", "#version\na b c\n", "line 2: \"a b c\", expected two tokens" },
        { "merges.txt", "a\n", "line 1: \"a\", expected two tokens" },
        { "merges.txt", "a b\na  b", "line 2" },
        { "merges.txt", " a\n", "line 1" },
        { "merges.txt", "a c\n", "line 1: \"ac\" is not in the vocabulary" },
        { "merges.txt", "a b\n\na b\n", "line 3: \"a b\" is there twice" },
        { "special_tokens_map.json", "{\"bos_token\": 3}", "bos_token: expected a token" },
        { "special_tokens_map.json", "{\"bos_token\": \"\"}", "bos_token: expected a token" },
        { "special_tokens_map.json", "{\"bos_token\": \"<x>\"}", "\"<x>\" is not in vocab.json" },
        { "special_tokens_map.json", "[]", "bos_token" },
        { "tokenizer_config.json", "{\"model_max_length\": 12}", "model_max_length 12" },
        { "tokenizer_config.json", "{\"do_lower_case\": false}", "do_lower_case false" },
        { "tokenizer_config.json", "{", "line 1" },
    };
    text_tokenizer *t = NULL;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_error error = { 0 };
        write_small();
        write_text(cases[i].name, cases[i].content);
        hds_status status = text_tokenizer_load(&t, scratch_folder, &error);
        check_error(status, &error, HDS_ERROR_FORMAT, cases[i].name, cases[i].says);
        assert_null(t);
    }
    hds_error error = { 0 };
    write_small();
    assert_int_equal(unlink(scratch("merges.txt")), 0);
    hds_status status = text_tokenizer_load(&t, scratch_folder, &error);
    check_error(status, &error, HDS_ERROR_NOT_FOUND, "/merges.txt", "not found");
}

int main(void)
{
#define FILE_TEST(name) cmocka_unit_test_teardown(name, scratch_empty)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded_full),
        cmocka_unit_test(test_recorded_small),
        FILE_TEST(test_small),
        FILE_TEST(test_refused_texts),
        FILE_TEST(test_refused_files),
    };
    return cmocka_run_group_tests(tests, scratch_create, scratch_remove);
}

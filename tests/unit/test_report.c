/* SPDX-License-Identifier: Apache-2.0 */
/* Reports of heads: everything is in them, nothing of it is markup, and nothing is fetched. With a
 * path as its argument, leaves a full report there for test_report.py. */
#include "tiny_head.h"

#include "headsds/head_model.h"
#include "headsds/report.h"

#include <locale.h>
#include <math.h>

static const char prompt[] =
    "<script>alert('x')</script> & a \"head\" \xc3\xa9\xe2\x98\x83\x01\xff";
static const char record[] =
    "{\"format\": 1, \"version\": \"0.1.0\", \"recipe\": \"default\", \"seed\": 18446744073,"
    " \"prompt\": \"<b>bold</b>\", \"negative_prompt\": \"\","
    " \"head_model\": {\"name\": \"tiny head\", \"hash\": \"0123456789abcdef\"},"
    " \"prior\": {\"name\": \"sample\", \"hashes\": {\"unet\": \"fedcba98\"}},"
    " \"stages\": {\"geometry\": {\"steps\": 40, \"learning_rate\": 0.013, \"skip\": false,"
    "  \"sds\": {\"kind\": \"sds\", \"guidance_scale\": 100.0}},"
    "  \"texture\": {\"steps\": 30, \"views\": 4, \"clip\": {\"guidance_scale\": 7.5}}},"
    " \"unknown <key>\": [{\"deep\": [1, 2.5, null, true]}, \"x\"]}";
static char *folder, *full; /* and a report with everything in it */
static hds_head_model *model;
static const char *place; /* of the full report */

static hds_head *make_head(const hds_history *history, size_t count, const char *text)
{
    hds_head *head;
    hds_error error = { 0 };
    const hds_head_params params = {
        .model = model, .prompt = prompt, .history = history, .history_count = count, .record = text
    };
    if (hds_head_create(&head, &params, &error))
        fail_msg("%s", error.message);
    return head;
}

enum { STEPS = 72 };

/* Three stages, one of a single step, with numbers that have no place in a chart. */
static hds_head *full_head(void)
{
    hds_history history[STEPS];
    for (int i = 0; i < STEPS; i++) {
        hds_history *h = &history[i];
        *h = (hds_history){ .step = i < 40   ? i
                                    : i < 71 ? i - 40
                                             : 0,
                            .timestep = (float)(i * 37 % 900),
                            .gradient_norm = powf(10, (float)i / 20),
                            .coefficient_norm = 0,
                            .residual = i == 5   ? NAN
                                        : i == 6 ? INFINITY
                                                 : 0.5f };
        strcpy(h->stage, i < 40 ? "geometry" : i < 71 ? "texture" : "<third>");
    }
    return make_head(history, STEPS, record);
}

/* The page, new; released by free. */
static char *write_page(const hds_head *head, const hds_report_params *params, const char *name)
{
    hds_error error = { 0 };
    io_map map;
    char *path = name[0] == '/' ? hds_strdup(name) : io_join(folder, name);
    assert_non_null(path);
    if (hds_report_write(head, params, path, &error) || io_map_open(&map, path, &error))
        fail_msg("%s", error.message);
    assert_null(memchr(map.bytes, 0, map.size));
    char *page = strndup((const char *)map.bytes, map.size);
    io_map_close(&map);
    hds_free(path);
    return page;
}

static char *write_full(const char *name)
{
    static const uint8_t pixels[2 * 3 * 3] = { 1, 2, 3 };
    const hds_report_picture pictures[] = { { pixels, 3, 2, "step 0" },
                                            { pixels, 2, 3, "<i>step</i> \"50\"" },
                                            { pixels, 1, 1, NULL } };
    const hds_report_phase phases[] = { { "loading <it>", 0, 0.25 },
                                        { "geometry", 40, 30 },
                                        { "texture", 31, 4000 } };
    const hds_report_params params = { .evolution = pictures,
                                       .evolution_count = 3,
                                       .seen = pictures,
                                       .seen_count = 2,
                                       .phases = phases,
                                       .phase_count = 3 };
    hds_head *head = full_head();
    char *page = write_page(head, &params, name);
    hds_head_unref(head);
    return page;
}

static int set_up(void **state)
{
    io_array arrays[TINY_ARRAYS];
    hds_error error = { 0 };
    folder = files_folder();
    tiny_head(arrays);
    char *path = tiny_write(folder, "tiny.npz", arrays, TINY_ARRAYS);
    const hds_head_model_params params = { .path = path };
    if (hds_head_model_load(&model, &params, &error))
        fail_msg("%s", error.message);
    hds_free(path);
    full = write_full(place);
    return 0;
}

static int tear_down(void **state)
{
    free(full);
    hds_head_model_unref(model);
    files_remove(folder);
    return 0;
}

static size_t count_of(const char *text, const char *word)
{
    size_t count = 0;
    for (; (text = strstr(text, word)); text += strlen(word))
        count++;
    return count;
}

static void check_holds(const char *page, const char *word)
{
    if (!strstr(page, word))
        fail_msg("the report has no \"%s\"", word);
}

static void text_is_escaped(void **state)
{
    assert_null(strstr(full, "<script"));
    assert_null(strstr(full, "<b>bold"));
    assert_null(strstr(full, "<i>step"));
    assert_null(strstr(full, "<third>"));
    assert_null(strstr(full, "<it>"));
    assert_null(strstr(full, "<key>"));
    check_holds(full, "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; a &quot;head&quot; "
                      "\xc3\xa9\xe2\x98\x83\xef\xbf\xbd\xef\xbf\xbd");
    check_holds(full, "&lt;b&gt;bold&lt;/b&gt;");
}

static void everything_is_shown(void **state)
{
    static const char *const words[] = {
        "18446744073",
        "negative_prompt",
        "0123456789abcdef",
        "fedcba98",
        "unknown &lt;key&gt;",
        "deep",
        "1, 2.5, null, true",
        "learning_rate",
        "0.013",
        "sds.guidance_scale",
        "clip.guidance_scale",
        "7.5",
        "skip",
        "false",
        "views",
        /* stages, in charts and in the table */
        ">geometry</text>",
        ">texture</text>",
        "geometry</th><td class=\"number\">40<",
        "texture</th><td class=\"number\">31<",
        "&lt;third&gt;</th><td class=\"number\">1<",
        "Residual",
        "Gradient norm",
        "Coefficient norm",
        "Timestep",
        "log scale",
        /* phases */
        "loading &lt;it&gt;",
        "250 ms",
        "30 s",
        "1 h 06 min",
        "2 min 09 s",
        "0.7%",
        "alt=\"Evolution, step 0\"",
        "alt=\"Texture\"",
    };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        check_holds(full, words[i]);
    assert_int_equal(count_of(full, "<img "), 16 + 3 + 1 + 2);
    assert_int_equal(count_of(full, "src=\"data:image/png;base64,iVBORw0KGgo"), 16 + 3 + 1 + 2);
    assert_int_equal(count_of(full, "<svg "), 4);
    assert_int_equal(count_of(full, "class=\"border\""), 4 * 2);
}

static void nothing_is_fetched(void **state)
{
    static const char *const words[] = { "http:", "https:", "url(",   "@import",
                                         "<link", "href",   "src=\"/" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_null(strstr(full, words[i]));
}

static void a_bare_head_has_a_report(void **state)
{
    hds_head *head = make_head(NULL, 0, NULL);
    char *page = write_page(head, NULL, "bare.html");
    check_holds(page, "This head has no record");
    check_holds(page, "This head has no history");
    assert_null(strstr(page, "Evolution"));
    assert_null(strstr(page, "<h2>Options"));
    assert_int_equal(count_of(page, "<img "), 17);
    free(page);
    hds_head_unref(head);
}

static void any_record_is_shown(void **state)
{
    static const struct {
        const char *record, *shown;
    } cases[] = {
        { "not <JSON>", "<pre>not &lt;JSON&gt;</pre>" },
        { "[1, {\"a\": 2}]", "<th scope=\"row\">a</th><td>2</td>" },
        { "{\"stages\": {\"geometry\": 7}}", "<th scope=\"row\">geometry</th><td>7</td>" },
        { "{\"stages\": {}, \"a\": {\"b\": {\"c\": {\"d\": {\"e\": {\"f\": {\"g\": 1}}}}}}}",
          "{&quot;g&quot;: 1}" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hds_head *head = make_head(NULL, 0, cases[i].record);
        char *page = write_page(head, NULL, "any.html");
        check_holds(page, cases[i].shown);
        free(page);
        hds_head_unref(head);
    }
}

static void long_histories_are_thinned(void **state)
{
    enum { MANY = 50000 };
    hds_history *history = hds_alloc(MANY, sizeof *history);
    assert_non_null(history);
    for (int i = 0; i < MANY; i++) {
        history[i] = (hds_history){ .step = i, .residual = i == 31234 ? 90 : 1 + (float)(i % 7) };
        strcpy(history[i].stage, "geometry");
    }
    hds_head *bare = make_head(NULL, 0, NULL), *head = make_head(history, MANY, NULL);
    char *small = write_page(bare, NULL, "bare.html"), *page = write_page(head, NULL, "long.html");
    assert_in_range(strlen(page), strlen(small), strlen(small) + 100000);
    /* what stands out is not thinned away */
    check_holds(page, "L337.4 38.2");
    free(small);
    free(page);
    hds_head_unref(bare);
    hds_head_unref(head);
    hds_free(history);
}

static void equal_heads_give_equal_bytes(void **state)
{
    if (!setlocale(LC_ALL, "de_DE.UTF-8"))
        print_message("no locale de_DE.UTF-8: numbers with commas are not tried\n");
    char *page = write_full("again.html");
    setlocale(LC_ALL, "C");
    assert_string_equal(page, full);
    free(page);
}

static void errors_name_the_place(void **state)
{
    static const uint8_t pixels[3];
    const hds_report_picture pictures[] = { { pixels, 1, 1, NULL }, { pixels, 0, 1, NULL } };
    const hds_report_phase phase = { "texture", 3, -1 };
    const hds_report_params few = { .seen = pictures, .seen_count = 2 };
    const hds_report_params none = { .evolution_count = 2 };
    const hds_report_params bad = { .phases = &phase, .phase_count = 1 };
    hds_head *head = make_head(NULL, 0, NULL);
    char *path = io_join(folder, "no/report.html");
    hds_error error = { 0 };
    assert_int_equal(hds_report_write(head, NULL, folder, &error), HDS_ERROR_OS);
    files_check_error(&error, HDS_ERROR_OS, folder, "is a folder");
    error = (hds_error){ 0 };
    assert_int_equal(hds_report_write(head, NULL, path, &error), HDS_ERROR_NOT_FOUND);
    files_check_error(&error, HDS_ERROR_NOT_FOUND, path, "folder does not exist");
    error = (hds_error){ 0 };
    assert_int_equal(hds_report_write(head, &few, path, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, NULL, "seen[1]: 0 x 1 pixels");
    error = (hds_error){ 0 };
    assert_int_equal(hds_report_write(head, &none, path, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, NULL, "evolution is NULL");
    error = (hds_error){ 0 };
    assert_int_equal(hds_report_write(head, &bad, path, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, NULL, "phases[0]");
    hds_free(path);
    hds_head_unref(head);
}

int main(int count, char **arguments)
{
    place = count > 1 ? arguments[1] : "full.html";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(everything_is_shown),
        cmocka_unit_test(nothing_is_fetched),
        cmocka_unit_test(a_bare_head_has_a_report),
        cmocka_unit_test(any_record_is_shown),
        cmocka_unit_test(long_histories_are_thinned),
        cmocka_unit_test(equal_heads_give_equal_bytes),
        cmocka_unit_test(errors_name_the_place),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

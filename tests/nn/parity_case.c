/* SPDX-License-Identifier: Apache-2.0 */
/* Reading the manifest's cases and judging outputs by their tolerance. */
#include "headsds/prior.h"
#include "parity.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <setjmp.h>

#include <cmocka.h>

char *parity_folder(void)
{
    const char *chosen = getenv("HEADSDS_SHARED");
    char *folder = io_join(chosen && *chosen ? chosen : SHARED_BESIDE_SOURCE, "parity");
    char *manifest = folder ? io_join(folder, "manifest.json") : NULL;
    if (manifest && !io_exists(manifest)) {
        printf("no recorded numbers at %s (set HEADSDS_SHARED)\n", folder);
        hds_free(folder);
        folder = NULL;
    }
    hds_free(manifest);
    return folder;
}

void parity_status(hds_status status, const hds_error *error)
{
    if (status != HDS_OK)
        fail_msg("%s", error->message);
}

void parity_refused(hds_status status, hds_status expected, hds_error *error, const char *word)
{
    assert_int_equal(status, expected);
    assert_int_equal(error->status, expected);
    if (!strstr(error->message, word))
        fail_msg("\"%s\" does not say \"%s\"", error->message, word);
    *error = (hds_error){ 0 };
}

void parity_ok(tn_context *cx)
{
    hds_error error = { 0 };
    parity_status(tn_check(cx, &error), &error);
}

static const char *text_of(const json_t *entry, const char *key)
{
    return json_string_value(json_object_get(entry, key));
}

void parity_open(parity *c, const char *folder, const json_t *entry)
{
    hds_error error = { 0 };
    *c = (parity){ .folder = folder, .entry = entry };
    c->id = text_of(entry, "id");
    c->prefix = text_of(entry, "prefix");
    char *path = io_join(folder, text_of(entry, "file"));
    parity_status(io_safetensors_open(&c->file, path, &error), &error);
    parity_expect_all(c);
    hds_free(path);
}

void parity_expect_all(parity *c)
{
    json_decref(c->left);
    c->left = json_copy(json_object_get(c->entry, "outputs"));
}

void parity_close(parity *c)
{
    const char *name;
    json_t *value;
    json_object_foreach(c->left, name, value)
    {
        print_error("%s: %s was not compared\n", c->id, name);
        c->failures++;
    }
    json_decref(c->left);
    io_safetensors_close(&c->file);
    if (c->failures)
        fail_msg("%s: %d outputs failed", c->id, c->failures);
}

const io_tensor *parity_find(const parity *c, const char *name)
{
    char *key = hds_format("%s%s", c->prefix, name);
    const io_tensor *t = io_safetensors_find(&c->file, key);
    if (!t)
        fail_msg("%s: the file has no %s", c->id, key);
    hds_free(key);
    return t;
}

const float *parity_numbers(const parity *c, const char *name)
{
    const io_tensor *t = parity_find(c, name);
    assert_int_equal(t->dtype, IO_F32);
    assert_int_equal((uintptr_t)t->data % sizeof(float), 0);
    return t->data;
}

tn *parity_input(const parity *c, tn_context *cx, const char *name)
{
    const io_tensor *t = parity_find(c, name);
    return tn_from_f32(cx, parity_numbers(c, name), t->dims, t->shape);
}

int64_t *parity_ids(const parity *c, const char *name, int64_t *count)
{
    const io_tensor *t = parity_find(c, name);
    assert_int_equal(t->dtype, IO_I64);
    assert_int_equal(t->shape[1], HDS_TOKENS);
    int64_t *ids = malloc(t->size);
    assert_non_null(ids);
    memcpy(ids, t->data, t->size);
    *count = t->shape[0];
    return ids;
}

char *parity_model(const parity *c, size_t index, const char *below)
{
    json_t *name = json_array_get(json_object_get(c->entry, "models"), index);
    char *folder = io_join(c->folder, json_string_value(name));
    char *path = *below ? io_join(folder, below) : hds_strdup(folder);
    hds_free(folder);
    return path;
}

bool parity_expects(const parity *c, const char *name)
{
    return json_object_get(c->left, name) != NULL;
}

void parity_check_numbers(parity *c, const char *name, const float *found, size_t count)
{
    const json_t *output = json_object_get(c->left, name);
    if (!output)
        fail_msg("%s: the manifest has no output %s (or it was compared twice)", c->id, name);
    double atol = json_number_value(json_object_get(output, "atol")), worst = 0;
    const io_tensor *t = parity_find(c, name);
    size_t length = 1;
    for (int k = 0; k < t->dims; k++)
        length *= (size_t)t->shape[k];
    if (length != count)
        fail_msg("%s: %s has %zu numbers, expected %zu", c->id, name, count, length);
    float *expected = malloc(count * sizeof *expected);
    assert_non_null(expected);
    io_to_f32(t->data, t->dtype, expected, count);
    for (size_t i = 0; i < count; i++) {
        double d = fabs((double)found[i] - expected[i]);
        worst = d <= worst ? worst : d; /* NaN stays */
    }
    if (!(worst <= atol)) {
        print_error("%s: %s differs by %g, tolerance %g\n", c->id, name, worst, atol);
        c->failures++;
    }
    free(expected);
    json_object_del(c->left, name);
}

void parity_check(parity *c, const char *name, tn_context *cx, const tn *found)
{
    size_t count = tn_count(cx, found);
    float *numbers = malloc(count * sizeof *numbers + 1);
    assert_non_null(numbers);
    tn_to_f32(cx, found, numbers, count);
    parity_ok(cx);
    parity_check_numbers(c, name, numbers, count);
    free(numbers);
}

double parity_parameter(const parity *c, const char *name)
{
    const json_t *value = json_object_get(json_object_get(c->entry, "params"), name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

typedef struct one_case {
    const char *folder;
    const json_t *entry;
    parity_handler run;
} one_case;

static void run_case(void **state)
{
    const one_case *one = *state;
    parity c;
    parity_open(&c, one->folder, one->entry);
    one->run(&c);
    parity_close(&c);
}

static int run_cases(const char *group, const char *folder, const json_t *cases,
                     parity_handler (*handler_of)(const json_t *entry))
{
    size_t count = json_array_size(cases), used = 0;
    struct CMUnitTest *tests = calloc(count, sizeof *tests);
    one_case *ones = calloc(count, sizeof *ones);
    for (size_t i = 0; tests && ones && i < count; i++) {
        const json_t *entry = json_array_get(cases, i);
        one_case one = { folder, entry, handler_of(entry) };
        if (!one.run)
            continue;
        ones[used] = one;
        tests[used] = (struct CMUnitTest){
            .name = json_string_value(json_object_get(entry, "id")),
            .test_func = run_case,
            .initial_state = &ones[used],
        };
        used++;
    }
    printf("%zu of %zu cases of the manifest\n", used, count);
    int failed = _cmocka_run_group_tests(group, tests, used, NULL, NULL);
    free(tests);
    free(ones);
    return failed;
}

int parity_main(const char *group, parity_handler (*handler_of)(const json_t *entry))
{
    char *folder = parity_folder();
    if (!folder)
        return 77;
    hds_error error = { 0 };
    json_t *manifest = NULL;
    char *path = io_join(folder, "manifest.json");
    int failed = 1;
    if (io_json_load(&manifest, path, &error) != HDS_OK)
        print_error("%s\n", error.message);
    else
        failed = run_cases(group, folder, json_object_get(manifest, "cases"), handler_of);
    json_decref(manifest);
    hds_free(path);
    hds_free(folder);
    return failed;
}

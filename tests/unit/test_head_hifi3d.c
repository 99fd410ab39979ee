/* SPDX-License-Identifier: Apache-2.0 */
/* HIFI3D's and HIFI3D++'s files in all forms of .mat, written by matio: the vertices are those of
 * the equation, and what a bad file says. */
#include "files.h"
#include "mat_forms.h"

#include "head/head.h"

#include <math.h>

enum { V = 40, F = 60, T = 45, S = 5, E = 4, ARRAYS = 8 };

/* As the files have them: columns one after another, so [component + S * number]. */
typedef struct hifi {
    double mu[3 * V], basis[S * 3 * V], variances[S];
    float expressions[E * 3 * V];
    int32_t faces[F * 3], uv_faces[F * 3];
    double uvs[T * 2];
} hifi;

typedef struct array {
    const char *name;
    enum matio_classes class;
    enum matio_types type;
    size_t rows, columns;
    void *data;
} array;

static void arrays_of(hifi *h, array out[ARRAYS])
{
    const array all[ARRAYS] = {
        { "mu_shape", MAT_C_DOUBLE, MAT_T_DOUBLE, 1, 3 * V, h->mu },
        { "basis_shape", MAT_C_DOUBLE, MAT_T_DOUBLE, S, 3 * V, h->basis },
        { "EVs", MAT_C_DOUBLE, MAT_T_DOUBLE, S, 1, h->variances },
        { "basis_exp", MAT_C_SINGLE, MAT_T_SINGLE, E, 3 * V, h->expressions },
        { "tri", MAT_C_INT32, MAT_T_INT32, F, 3, h->faces },
        { "vt_list", MAT_C_DOUBLE, MAT_T_DOUBLE, T, 2, h->uvs },
        { "tri_vt", MAT_C_INT32, MAT_T_INT32, F, 3, h->uv_faces },
        { "keypoints", MAT_C_INT32, MAT_T_INT32, 1, 3, h->faces },
    };
    memcpy(out, all, sizeof all);
}

static void write_arrays(const char *path, const mat_form *f, const array *arrays, size_t count)
{
    mat_t *file = mat_create(path, f);
    for (const array *a = arrays; a < arrays + count; a++)
        mat_put(file, f, a->name, a->class, a->type, 2, (size_t[]){ a->rows, a->columns }, a->data,
                0);
    Mat_Close(file);
}

static void fill(hifi *h, bool unit_rows)
{
    rng r = rng_make(11, 0);
    for (int i = 0; i < 3 * V; i++)
        h->mu[i] = 10 * rng_normal(&r) + 3;
    for (int k = 0; k < S; k++) {
        double sum = 0;
        h->variances[k] = 40 - 7.5 * k;
        for (int i = 0; i < 3 * V; i++) {
            h->basis[k + S * i] = rng_normal(&r) / (1 + k);
            sum += h->basis[k + S * i] * h->basis[k + S * i];
        }
        for (int i = 0; unit_rows && i < 3 * V; i++)
            h->basis[k + S * i] /= sqrt(sum);
    }
    for (int i = 0; i < E * 3 * V; i++)
        h->expressions[i] = (float)rng_normal(&r);
    for (int i = 0; i < 3 * F; i++) {
        h->faces[i] = (int32_t)rng_below(&r, V);
        h->uv_faces[i] = (int32_t)rng_below(&r, T);
    }
    for (int i = 0; i < 2 * T; i++)
        h->uvs[i] = rng_uniform(&r);
}

static void check_model(const hds_head_model *model, const hifi *h, bool unit_rows)
{
    hds_head_model_info info;
    hds_head_model_get_info(model, &info);
    assert_string_equal(info.name, "HIFI3D++");
    assert_true(info.vertex_count == V && info.shape_count == S && info.expression_count == E);
    assert_true(info.face_count == F && info.uv_count == T && info.joint_count == 1);
    assert_string_equal(info.expression_names[E - 1], "expression_003");
    for (int i = 0; i < 3 * F; i++) {
        assert_int_equal(info.faces[i], h->faces[i / 3 + F * (i % 3)]);
        assert_int_equal(info.uv_faces[i], h->uv_faces[i / 3 + F * (i % 3)]);
    }
    for (int i = 0; i < 2 * T; i++)
        assert_true(info.uvs[i] == (float)h->uvs[i / 2 + T * (i % 2)]);
    float shape[S], expression[E], vertices[3 * V];
    rng r = rng_make(12, 0);
    rng_normal_fill(&r, shape, S);
    rng_normal_fill(&r, expression, E);
    const hds_coefficients c = { shape, S, expression, E, NULL, 0 };
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_vertices(model, &c, vertices, &error), HDS_OK);
    double mean[3] = { 0 };
    for (int i = 0; i < 3 * V; i++)
        mean[i % 3] += h->mu[i] / V;
    for (int i = 0; i < 3 * V; i++) {
        double v = h->mu[i] - mean[i % 3];
        for (int k = 0; k < S; k++)
            v += (double)shape[k] * (unit_rows ? sqrt(h->variances[k]) : 1) * h->basis[k + S * i];
        for (int k = 0; k < E; k++)
            v += (double)expression[k] * (double)h->expressions[k + E * i];
        if (fabs((double)vertices[i] - 0.01 * v) > 1e-6)
            fail_msg("number %d is %g, expected %g", i, (double)vertices[i], 0.01 * v);
    }
}

static int setup(void **state)
{
    *state = files_folder();
    return 0;
}

static int teardown(void **state)
{
    files_remove(*state);
    return 0;
}

static hds_head_model *load(const char *path)
{
    hds_head_model *m;
    hds_error error = { 0 };
    if (hds_head_model_load(&m, &(hds_head_model_params){ .path = path }, &error))
        fail_msg("%s", error.message);
    return m;
}

static void test_every_form(void **state)
{
    hifi h;
    array arrays[ARRAYS];
    arrays_of(&h, arrays);
    for (int i = 0; i < 2 * MAT_FORMS; i++) {
        char *path = io_join(*state, mat_forms[i / 2].name);
        fill(&h, i % 2);
        write_arrays(path, &mat_forms[i / 2], arrays, ARRAYS);
        hds_head_model *m = load(path);
        check_model(m, &h, i % 2);
        hds_head_model_unref(m);
        hds_free(path);
    }
}

/* HIFI3D has no EVs; of the rest, expressions and texture coordinates may be missing. */
static void test_what_may_be_missing(void **state)
{
    hifi h;
    array arrays[ARRAYS], least[3];
    char *path = io_join(*state, "least.mat");
    fill(&h, false);
    arrays_of(&h, arrays);
    least[0] = arrays[4];
    least[1] = arrays[1];
    least[2] = arrays[0];
    write_arrays(path, &mat_forms[1], least, 3);
    hds_head_model *m = load(path);
    hds_head_model_info info;
    hds_head_model_get_info(m, &info);
    assert_string_equal(info.name, "HIFI3D");
    assert_true(info.shape_count == S && !info.expression_count && !info.uvs);
    hds_head_model_unref(m);
    hds_free(path);
}

static void test_saved_as_npz(void **state)
{
    hifi h;
    array arrays[ARRAYS];
    char *path = io_join(*state, "a.mat"), *saved = io_join(*state, "a.npz");
    fill(&h, true);
    arrays_of(&h, arrays);
    write_arrays(path, &mat_forms[1], arrays, ARRAYS);
    hds_head_model *m = load(path);
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_save(m, saved, &error), HDS_OK);
    hds_head_model_unref(m);
    m = load(saved);
    check_model(m, &h, true);
    hds_head_model_unref(m);
    hds_free(path);
    hds_free(saved);
}

typedef struct change {
    const char *name;
    size_t rows, columns; /* 0, 0: the array is left out */
    size_t at;            /* where `number` is put */
    double number;
    const char *words;
} change;

static void check_change(const char *folder, const change *c, bool unit_rows)
{
    hifi h;
    array arrays[ARRAYS];
    char *path = io_join(folder, "bad.mat");
    size_t count = ARRAYS;
    fill(&h, unit_rows);
    arrays_of(&h, arrays);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(arrays[i].name, c->name) != 0)
            continue;
        arrays[i].rows = c->rows;
        arrays[i].columns = c->columns;
        if (arrays[i].class == MAT_C_DOUBLE)
            ((double *)arrays[i].data)[c->at] = c->number;
        else if (arrays[i].class == MAT_C_SINGLE)
            ((float *)arrays[i].data)[c->at] = (float)c->number;
        else
            ((int32_t *)arrays[i].data)[c->at] = (int32_t)c->number;
        if (!c->rows)
            arrays[i--] = arrays[--count];
        break;
    }
    for (int f = 0; f < MAT_FORMS; f += 3) {
        hds_head_model *m = NULL;
        hds_error error = { 0 };
        write_arrays(path, &mat_forms[f], arrays, count);
        assert_int_equal(hds_head_model_load(&m, &(hds_head_model_params){ .path = path }, &error),
                         HDS_ERROR_FORMAT);
        files_check_error(&error, HDS_ERROR_FORMAT, path, c->words);
        assert_null(m);
    }
    hds_free(path);
}

static void test_hostile_arrays(void **state)
{
    const change changes[] = {
        { "mu_shape", 0, 0, 0, 0,
          "no mu_shape in it, which HIFI3D's and HIFI3D++'s models have; it has " },
        { "tri", 0, 0, 0, 0, "no tri in it" },
        { "basis_shape", 0, 0, 0, 0, "no basis_shape in it" },
        { "mu_shape", 3 * V, 1, 0, 0, "mu_shape: shape (120,1), expected (1,any)" },
        { "mu_shape", 1, 3 * V - 1, 0, 0, "mu_shape: 119 numbers, expected three a vertex" },
        { "mu_shape", 1, 3 * V, 5, NAN, "mu_shape[0,5] is nan, expected a finite number" },
        { "basis_shape", 3 * V, S, 0, 0, "basis_shape: shape (120,5), expected (any,120)" },
        { "basis_shape", S, 3 * V, 3 + 7 * S, INFINITY, "basis_shape[3,7] is inf" },
        { "basis_exp", E, 3 * V - 3, 0, 0, "basis_exp: shape (4,117), expected (any,120)" },
        { "basis_exp", E, 3 * V, 2 + 9 * E, NAN, "basis_exp[2,9] is nan" },
        { "tri", F, 2, 0, 0, "tri: shape (60,2), expected (any,3)" },
        { "tri", F, 3, 4 + 2 * F, V, "tri[4,2] is 40, expected a whole number from 0 to 39" },
        { "tri", F, 3, 0, -1, "tri[0,0] is -1, expected a whole number from 0" },
        { "vt_list", 0, 0, 0, 0, "vt_list is missing" },
        { "vt_list", T, 1, 0, 0, "vt_list: shape (45,1), expected (any,2)" },
        { "vt_list", T, 2, T + 6, NAN, "vt_list[6,1] is nan" },
        { "tri_vt", 0, 0, 0, 0, "tri_vt is missing" },
        { "tri_vt", F - 1, 3, 0, 0, "tri_vt: shape (59,3), expected (60,3)" },
        { "tri_vt", F, 3, 8, T, "tri_vt[8,0] is 45, expected a whole number from 0 to 44" },
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        check_change(*state, &changes[i], i % 2);
    const change variances[] = {
        { "EVs", 0, 0, 0, 0, "EVs is missing, expected the variances of basis_shape" },
        { "EVs", 1, S, 0, 0, "EVs: shape (1,5), expected (5,1)" },
        { "EVs", S, 1, 2, -1, "EVs[2,0] is -1, expected a variance, 0 or more" },
        { "EVs", S, 1, 4, NAN, "EVs[4,0] is nan" },
    };
    for (size_t i = 0; i < sizeof variances / sizeof *variances; i++)
        check_change(*state, &variances[i], true);
}

static void test_other_mat_files(void **state)
{
    double numbers[6] = { 0 };
    const array others[] = { { "meanshape", MAT_C_DOUBLE, MAT_T_DOUBLE, 1, 6, numbers },
                             { "idBase", MAT_C_DOUBLE, MAT_T_DOUBLE, 6, 1, numbers } };
    char *path = io_join(*state, "other.mat"), *text = files_write(*state, "text.mat", "hello");
    hds_error error = { 0 };
    hds_head_model *m;
    write_arrays(path, &mat_forms[0], others, 2);
    assert_int_equal(hds_head_model_load(&m, &(hds_head_model_params){ .path = path }, &error),
                     HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, path,
                      "no mu_shape, basis_shape, tri in it, which HIFI3D's and HIFI3D++'s models "
                      "have; it has meanshape, idBase");
    error = (hds_error){ 0 };
    assert_int_equal(hds_head_model_load(&m, &(hds_head_model_params){ .path = text }, &error),
                     HDS_ERROR_FORMAT);
    files_check_error(&error, HDS_ERROR_FORMAT, text, "expected a MATLAB file of version 5 or 7.3");
    hds_free(path);
    hds_free(text);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_every_form),      IN_FOLDER(test_what_may_be_missing),
        IN_FOLDER(test_saved_as_npz),    IN_FOLDER(test_hostile_arrays),
        IN_FOLDER(test_other_mat_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

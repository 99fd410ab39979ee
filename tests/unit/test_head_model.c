/* SPDX-License-Identifier: Apache-2.0 */
/* Heads and head models as users meet them: loading by kind, limits, vertices, handles. */
#include "tiny_head.h"

#include <math.h>

typedef struct fixture {
    char *folder, *path;
} fixture;

static int setup(void **state)
{
    static fixture f;
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    f.folder = files_folder();
    f.path = tiny_write(f.folder, "tiny.npz", arrays, TINY_ARRAYS);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture *f = *state;
    hds_free(f->path);
    files_remove(f->folder);
    return 0;
}

static hds_head_model *load(const char *path, int shape_count, int expression_count)
{
    hds_head_model *m;
    hds_error error = { 0 };
    const hds_head_model_params params = { .path = path,
                                           .shape_count = shape_count,
                                           .expression_count = expression_count };
    if (hds_head_model_load(&m, &params, &error))
        fail_msg("%s", error.message);
    return m;
}

static void check_not_loaded(hds_head_model_params params, hds_status status, const char *words)
{
    hds_head_model *m = (hds_head_model *)&params;
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_load(&m, &params, &error), status);
    files_check_error(&error, status, status == HDS_ERROR_ARGUMENT ? NULL : params.path, words);
    assert_null(m);
}

static void test_recognition(void **state)
{
    const fixture *f = *state;
    char *missing = io_join(f->folder, "missing.npz"), *empty = files_make_folder(f->folder, "e");
    char *text = files_write(f->folder, "head.txt", "hello");
    check_not_loaded((hds_head_model_params){ .path = missing }, HDS_ERROR_NOT_FOUND,
                     "no such file or folder, expected a headsds or FLAME .npz file, a FLAME .pkl");
    check_not_loaded(
        (hds_head_model_params){ .path = empty }, HDS_ERROR_FORMAT,
        "looked for a file that ends in .npz, .pkl (FLAME) or .mat (HIFI3D), and for a "
        "folder with generic_neutral_mesh.obj");
    check_not_loaded((hds_head_model_params){ .path = text }, HDS_ERROR_FORMAT,
                     "is a text that begins with \"hello\"; expected a head model");
    check_not_loaded((hds_head_model_params){ .path = f->path, .shape_count = -1 },
                     HDS_ERROR_ARGUMENT, "shape_count is -1, expected 0 (all) or more");
    check_not_loaded((hds_head_model_params){ .path = "" }, HDS_ERROR_NOT_FOUND, "no such file");
    hds_free(missing);
    hds_free(empty);
    hds_free(text);
}

static void test_built_in(void **state)
{
    const fixture *f = *state;
    char *folder = files_make_folder(f->folder, "head");
    char *place = io_join(folder, "head.npz");
    assert_int_equal(rename(f->path, place), 0);
    assert_int_equal(setenv("HEADSDS_DATA", f->folder, 1), 0);
    hds_head_model *m = load(NULL, 0, 0);
    assert_null(m->path);
    assert_int_equal(m->vertex_count, 4);
    hds_head_model_unref(m);
    assert_int_equal(unlink(place), 0);
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_load(&m, &(hds_head_model_params){ 0 }, &error),
                     HDS_ERROR_NOT_FOUND);
    assert_non_null(strstr(error.message, "head/head.npz"));
    unsetenv("HEADSDS_DATA");
    hds_free(folder);
    hds_free(place);
}

static void test_limits(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 1, 1);
    hds_head_model_info info;
    hds_head_model_get_info(m, &info);
    assert_int_equal(info.shape_count, 1);
    assert_int_equal(info.expression_count, 1);
    assert_string_equal(info.expression_names[0], "jawOpen");
    hds_head_model_unref(m);
    m = load(f->path, 100, 100);
    hds_head_model_get_info(m, &info);
    assert_int_equal(info.shape_count, 2);
    assert_int_equal(info.expression_count, 2);
    hds_head_model_unref(m);
}

/* By hand: shape 2 moves vertex 0 to (2,0,0) and vertex 3 up to (0,0,1.5), with the jaw's joint at
 * (0,0,1.5); expression 0.5 lifts vertex 1 by 1.5; the jaw turns a quarter about x; vertex 2 hangs
 * on the eye, at (0,1,1), below the jaw. */
static void test_vertices_by_hand(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    const float quarter = 1.5707963267948966f;
    const float shape[] = { 2 }, expression[] = { 0.5f }, pose[] = { 0, 0, 0, quarter };
    const hds_coefficients c = { shape, 1, expression, 1, pose, 4 };
    /* Vertex 1: half at (1,0,1.5), half the same turned about the joint at its height. */
    const float expected[] = { 2, 0, 0, 1, 0, 1.5f, 0, 1.5f, 2.5f, 0, 0, 1.5f };
    float vertices[12];
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_vertices(m, &c, vertices, &error), HDS_OK);
    for (int i = 0; i < 12; i++)
        if (fabsf(vertices[i] - expected[i]) > 1e-6f)
            fail_msg("number %d is %g, expected %g", i, (double)vertices[i], (double)expected[i]);
    hds_head_model_unref(m);
}

/* As if they were in the template, under any coefficients and pose. */
static void test_offsets_are_added_to_the_template(void **state)
{
    const fixture *f = *state;
    float offsets[12], dented[12], found[12], expected[12];
    io_array arrays[TINY_ARRAYS];
    for (int i = 0; i < 12; i++) {
        offsets[i] = 0.1f * (float)i - 0.3f;
        dented[i] = tiny_vertices[i] + offsets[i];
    }
    tiny_head(arrays);
    tiny_find(arrays, TINY_ARRAYS, "vertices")->data = dented;
    char *path = tiny_write(f->folder, "dented.npz", arrays, TINY_ARRAYS);
    hds_head_model *m = load(f->path, 0, 0), *other = load(path, 0, 0);
    const float shape[] = { 2, -1 }, expression[] = { 0.5f }, pose[] = { 0.3f, 0, 0, 1, 2, 3, -1 };
    hds_head_params params = { .model = m,
                               .coefficients = { shape, 2, expression, 1, pose, 7 },
                               .offsets = offsets };
    hds_head *head;
    hds_head_info info;
    hds_error error = { 0 };
    assert_int_equal(hds_head_create(&head, &params, &error), HDS_OK);
    memset(offsets, 0, sizeof offsets);
    hds_head_get_info(head, &info);
    assert_true(info.offsets[0] == -0.3f);
    assert_int_equal(hds_head_vertices(head, found, &error), HDS_OK);
    assert_int_equal(hds_head_model_vertices(other, &params.coefficients, expected, &error),
                     HDS_OK);
    for (int i = 0; i < 12; i++)
        assert_true(fabsf(found[i] - expected[i]) <= 1e-6f);
    assert_int_equal(hds_head_model_vertices(m, &params.coefficients, expected, &error), HDS_OK);
    assert_memory_not_equal(found, expected, sizeof found);
    hds_head_unref(head);
    offsets[7] = NAN;
    assert_int_equal(hds_head_create(&head, &params, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "offsets: coordinate 1 of vertex 2 is not a finite number");
    hds_head_model_unref(m);
    hds_head_model_unref(other);
    hds_free(path);
}

static void test_bad_coefficients(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    const float bad[] = { 0, NAN, -INFINITY, 0, 0, 0, 0, 0, 0, 0 };
    const struct {
        hds_coefficients coefficients;
        const char *message;
    } cases[] = {
        { { .shape = bad, .shape_count = 2 }, "shape[1] is nan, expected a finite number" },
        { { .expression = bad + 1, .expression_count = 2 },
          "expression[0] is nan, expected a finite number" },
        { { .pose = bad + 2, .pose_count = 8 }, "pose[0] is -inf, expected a finite number" },
        { { .shape = bad, .shape_count = 3 },
          "shape has 3 numbers, expected at most the model's 2" },
        { { .pose = bad, .pose_count = 10 },
          "pose has 10 numbers, expected at most the model's 9" },
        { { .expression_count = 1 }, "expression is NULL, expected 1 numbers" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        float vertices[12] = { 7 };
        hds_head *head;
        const hds_head_params params = { .model = m, .coefficients = cases[i].coefficients };
        hds_error error = { 0 };
        assert_int_equal(hds_head_model_vertices(m, &cases[i].coefficients, vertices, &error),
                         HDS_ERROR_ARGUMENT);
        assert_string_equal(error.message, cases[i].message);
        assert_true(vertices[0] == 7);
        error = (hds_error){ 0 };
        assert_int_equal(hds_head_create(&head, &params, &error), HDS_ERROR_ARGUMENT);
        assert_string_equal(error.message, cases[i].message);
        assert_null(head);
    }
    hds_head_model_unref(m);
}

/* Heads with fewer numbers than the model has, or none, each with its own. */
static void test_vertices_of_several(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    const float shape[] = { 2, -1 }, expression[] = { 0.5f }, pose[] = { 0, 0, 0, 1, 2 };
    const float bad[] = { 0, NAN };
    hds_coefficients heads[] = { { shape, 1, expression, 1, pose, 5 },
                                 { .shape = NULL },
                                 { .shape = shape, .shape_count = 2 } };
    float together[36], alone[12];
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_vertices_batch(m, heads, 3, together, &error), HDS_OK);
    for (size_t h = 0; h < 3; h++) {
        assert_int_equal(hds_head_model_vertices(m, heads + h, alone, &error), HDS_OK);
        assert_memory_equal(together + 12 * h, alone, sizeof alone);
    }
    heads[1].shape = bad;
    heads[1].shape_count = 2;
    memset(together, 1, sizeof together);
    memcpy(alone, together, sizeof alone);
    assert_int_equal(hds_head_model_vertices_batch(m, heads, 3, together, &error),
                     HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "head 1: shape[1] is nan, expected a finite number");
    assert_memory_equal(together, alone, sizeof alone);
    assert_int_equal(hds_head_model_vertices_batch(m, heads, 0, NULL, NULL), HDS_OK);
    hds_head_model_unref(m);
}

enum { INPUTS = TINY_S + TINY_E + 3 * TINY_J, OUTPUTS = 3 * TINY_V };

static double weigh(const hds_head_model *m, const float *x, const float *upstream)
{
    const hds_coefficients c = { x, TINY_S, x + TINY_S, TINY_E, x + TINY_S + TINY_E, 3 * TINY_J };
    float vertices[OUTPUTS];
    double sum = 0;
    assert_int_equal(hds_head_model_vertices(m, &c, vertices, NULL), HDS_OK);
    for (size_t i = 0; i < OUTPUTS; i++)
        sum += (double)upstream[i] * vertices[i];
    return sum;
}

static void test_vertices_adjoint(void **state)
{
    enum { HEADS = 2 };
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    float x[HEADS][INPUTS], upstream[HEADS][OUTPUTS], gradient[HEADS][INPUTS] = { { 0 } };
    rng r = rng_make(1, 0);
    rng_normal_fill(&r, x[0], HEADS * INPUTS);
    rng_normal_fill(&r, upstream[0], HEADS * OUTPUTS);
    hds_coefficients c[HEADS];
    hds_gradients g[HEADS];
    for (size_t h = 0; h < HEADS; h++) {
        c[h] = (hds_coefficients){ x[h],      TINY_S, x[h] + TINY_S, TINY_E, x[h] + TINY_S + TINY_E,
                                   3 * TINY_J };
        g[h] = (hds_gradients){ gradient[h], gradient[h] + TINY_S, gradient[h] + TINY_S + TINY_E };
    }
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_vertices_adjoint(m, c, HEADS, upstream[0], g, &error), HDS_OK);
    for (size_t k = 0; k < HEADS * INPUTS; k++) {
        size_t h = k / INPUTS, i = k % INPUTS;
        float was = x[h][i], step = 1.0f / 128;
        x[h][i] = was + step;
        double above = weigh(m, x[h], upstream[h]);
        x[h][i] = was - step;
        double below = weigh(m, x[h], upstream[h]);
        x[h][i] = was;
        double expected = (above - below) / (2 * (double)step);
        if (fabs((double)gradient[h][i] - expected) > 1e-3 * fmax(1, fabs(expected)))
            fail_msg("number %zu is %g, expected %g", k, (double)gradient[h][i], expected);
    }
    /* Added to what is there; heads may share an array, and what is NULL is left out. */
    float shared[TINY_S] = { 1, 2 };
    g[0] = g[1] = (hds_gradients){ .shape = shared };
    assert_int_equal(hds_head_model_vertices_adjoint(m, c, HEADS, upstream[0], g, &error), HDS_OK);
    for (int k = 0; k < TINY_S; k++)
        assert_true(shared[k] == (float)(k + 1) + gradient[0][k] + gradient[1][k]);
    upstream[1][4] = NAN;
    assert_int_equal(hds_head_model_vertices_adjoint(m, c, HEADS, upstream[0], g, &error),
                     HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "upstream[1,1,1] is nan, expected a finite number");
    hds_head_model_unref(m);
}

static void test_base_pose(void **state)
{
    const fixture *f = *state;
    const float base[] = { 0.1f, 0, -0.2f, 0.3f }, pose[] = { 0, 0.5f, 0.25f, 0.125f, 0, 0.2f };
    float sum[6], above[12], plain[12];
    hds_head_model *m = load(f->path, 0, 0), *posed;
    hds_head_model_info info;
    hds_error error = { 0 };
    const hds_head_model_params params = { .path = f->path,
                                           .base_pose = base,
                                           .base_pose_count = 4 };
    assert_int_equal(hds_head_model_load(&posed, &params, &error), HDS_OK);
    hds_head_model_get_info(m, &info);
    assert_null(info.base_pose);
    hds_head_model_get_info(posed, &info);
    for (size_t i = 0; i < 3 * TINY_J; i++)
        assert_true(info.base_pose[i] == (i < 4 ? base[i] : 0));
    for (size_t i = 0; i < 6; i++)
        sum[i] = pose[i] + (i < 4 ? base[i] : 0);
    const hds_coefficients c = { .pose = pose, .pose_count = 6 },
                           d = { .pose = sum, .pose_count = 6 };
    assert_int_equal(hds_head_model_vertices(posed, &c, above, &error), HDS_OK);
    assert_int_equal(hds_head_model_vertices(m, &d, plain, &error), HDS_OK);
    assert_memory_equal(above, plain, sizeof above);
    hds_head_model_unref(posed);
    hds_head_model_unref(m);
    const float bad[10] = { 0, NAN };
    check_not_loaded(
        (hds_head_model_params){ .path = f->path, .base_pose = bad, .base_pose_count = 2 },
        HDS_ERROR_ARGUMENT, "base_pose[1] is nan, expected a finite number");
    check_not_loaded(
        (hds_head_model_params){ .path = f->path, .base_pose = bad, .base_pose_count = 10 },
        HDS_ERROR_ARGUMENT, "base_pose has 10 numbers, expected at most the model's 9");
    check_not_loaded((hds_head_model_params){ .path = f->path, .base_pose_count = 1 },
                     HDS_ERROR_ARGUMENT, "base_pose is NULL, expected 1 numbers");
    check_not_loaded(
        (hds_head_model_params){ .path = f->path, .base_pose = base, .average_pose = true },
        HDS_ERROR_ARGUMENT, "base_pose and average_pose, expected one of them");
    check_not_loaded(
        (hds_head_model_params){ .path = f->path, .average_pose = true }, HDS_ERROR_ARGUMENT,
        "an average pose is known for FLAME with its 5 joints, not for tiny head with 3");
}

static void test_head_copies_what_it_is_given(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    char prompt[] = "a head";
    float shape[] = { 3 };
    uint8_t texture[] = { 1, 2, 3 };
    hds_history history[] = { { "geometry", 2, 3, 4, 5, 6 } };
    const hds_head_params params = { .model = m,
                                     .prompt = prompt,
                                     .coefficients = { shape, 1 },
                                     .texture = texture,
                                     .texture_width = 1,
                                     .texture_height = 1,
                                     .history = history,
                                     .history_count = 1 };
    hds_head *head;
    hds_head_info info;
    assert_int_equal(hds_head_create(&head, &params, NULL), HDS_OK);
    hds_head_model_unref(m);
    prompt[0] = 'x';
    shape[0] = 0;
    texture[1] = 0;
    history[0].step = 0;
    assert_ptr_equal(hds_head_ref(head), head);
    hds_head_unref(head);
    hds_head_get_info(head, &info);
    assert_ptr_equal(info.model, m);
    assert_string_equal(info.prompt, "a head");
    assert_true(info.shape[0] == 3 && info.shape[1] == 0);
    assert_true(info.expression[1] == 0 && info.pose[8] == 0);
    assert_int_equal(info.texture[1], 2);
    assert_int_equal(info.texture_width, 1);
    assert_int_equal(info.history_count, 1);
    assert_int_equal(info.history[0].step, 2);
    hds_head_unref(head);
}

static void test_head_defaults(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    hds_head *head;
    hds_head_info info;
    assert_int_equal(hds_head_create(&head, &(hds_head_params){ .model = m }, NULL), HDS_OK);
    hds_head_get_info(head, &info);
    assert_string_equal(info.prompt, "");
    assert_int_equal(info.texture_width, 2);
    assert_memory_equal(info.texture, tiny_texture, sizeof tiny_texture);
    hds_head_unref(head);
    hds_error error = { 0 };
    const hds_head_params no_width = { .model = m, .texture = tiny_texture, .texture_height = 1 };
    assert_int_equal(hds_head_create(&head, &no_width, &error), HDS_ERROR_ARGUMENT);
    assert_string_equal(error.message, "texture of 0 x 1 pixels, expected 1 to 16384 each way");
    error = (hds_error){ 0 };
    assert_int_equal(hds_head_create(&head, &(hds_head_params){ .model = NULL }, &error),
                     HDS_ERROR_ARGUMENT);
    hds_head_model_unref(m);
    hds_head_model_unref(NULL);
    hds_head_unref(NULL);
}

/* A model with all that a file can hold, saved and loaded again: the same to the last bit. */
static void test_save(void **state)
{
    const fixture *f = *state;
    enum { JOINT = TINY_E * 3 * TINY_J, POSE = 9 * (TINY_J - 1) * 3 * TINY_V };
    float moves[JOINT], turns[POSE],
        weights[] = { 1, 0, 0, 0.3f, 0.7f, 0, 0.1f, 0.2f, 0.7f, 0, 1, 0 };
    rng r = rng_make(2, 0);
    rng_normal_fill(&r, moves, JOINT);
    rng_normal_fill(&r, turns, POSE);
    io_array arrays[TINY_ARRAYS + 2];
    tiny_head(arrays);
    arrays[TINY_ARRAYS] = TINY("joint_expression_basis", 'f', 4, moves, 2, 3, 3);
    arrays[TINY_ARRAYS + 1] = TINY("pose_basis", 'f', 4, turns, 18, 4, 3);
    tiny_find(arrays, TINY_ARRAYS, "skin_weights")->data = weights;
    char *path = tiny_write(f->folder, "full.npz", arrays, TINY_ARRAYS + 2);
    char *saved = io_join(f->folder, "saved.NPZ");
    hds_head_model *m[2] = { load(path, 0, 1), NULL };
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_save(m[0], saved, &error), HDS_OK);
    m[1] = load(saved, 0, 0);
    float numbers[2 + 1 + 9], vertices[2][3 * TINY_V];
    rng_normal_fill(&r, numbers, 12);
    const hds_coefficients c = { numbers, 2, numbers + 2, 1, numbers + 3, 9 };
    for (int i = 0; i < 2; i++) {
        hds_head_model_info info;
        hds_head_model_get_info(m[i], &info);
        assert_true(info.expression_count == 1 && info.texture_width == 2);
        assert_memory_equal(info.mean_texture, tiny_texture, sizeof tiny_texture);
        assert_int_equal(hds_head_model_vertices(m[i], &c, vertices[i], &error), HDS_OK);
        hds_head_model_unref(m[i]);
    }
    assert_memory_equal(vertices[0], vertices[1], sizeof vertices[0]);
    hds_free(path);
    hds_free(saved);
}

static void test_save_refuses(void **state)
{
    const fixture *f = *state;
    hds_head_model *m = load(f->path, 0, 0);
    char *text = io_join(f->folder, "head.txt"), *nowhere = io_join(f->folder, "none/a.npz");
    hds_error error = { 0 };
    assert_int_equal(hds_head_model_save(m, text, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, text, "a path that ends in .npz");
    error = (hds_error){ 0 };
    assert_int_equal(hds_head_model_save(m, NULL, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, NULL, "no path: expected a head model and");
    error = (hds_error){ 0 };
    assert_int_equal(hds_head_model_save(m, nowhere, &error), HDS_ERROR_NOT_FOUND);
    files_check_error(&error, HDS_ERROR_NOT_FOUND, nowhere, "create it first");
    hds_head_model_unref(m);
    hds_free(text);
    hds_free(nowhere);
}

static void test_named_texture(void **state)
{
    const fixture *f = *state;
    const uint8_t pixels[] = { 9, 8, 7, 6, 5, 4, 3, 2, 1, 0, 255, 254, 253, 252, 251, 1, 2, 3 };
    char *png = io_join(f->folder, "a.png"), *none = io_join(f->folder, "none.png");
    char *bad = files_write(f->folder, "bad.png", "hello");
    hds_error error = { 0 };
    hds_head_model *m;
    hds_head_model_info info;
    assert_int_equal(io_png_write(png, pixels, 3, 2, 3, &error), HDS_OK);
    const hds_head_model_params params = { .path = f->path, .mean_texture = png };
    assert_int_equal(hds_head_model_load(&m, &params, &error), HDS_OK);
    hds_head_model_get_info(m, &info);
    assert_true(info.texture_width == 3 && info.texture_height == 2);
    assert_memory_equal(info.mean_texture, pixels, sizeof pixels);
    hds_head_model_unref(m);
    const struct {
        hds_head_model_params params;
        hds_status status;
        const char *file, *words;
    } wrong[] = {
        { { .mean_texture = none }, HDS_ERROR_NOT_FOUND, none, "not found; check the path" },
        { { .mean_texture = bad }, HDS_ERROR_FORMAT, bad, "expected a PNG picture" },
        { { .mean_texture = f->path }, HDS_ERROR_ARGUMENT, f->path, "expected a .png picture" },
        { { .uv_template = none }, HDS_ERROR_ARGUMENT, none, "only FLAME's own files take one, " },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        hds_head_model_params p = wrong[i].params;
        p.path = f->path;
        error = (hds_error){ 0 };
        assert_int_equal(hds_head_model_load(&m, &p, &error), wrong[i].status);
        files_check_error(&error, wrong[i].status, wrong[i].file, wrong[i].words);
        assert_null(m);
    }
    hds_free(png);
    hds_free(none);
    hds_free(bad);
}

static void test_texture_without_uvs(void **state)
{
    const fixture *f = *state;
    io_array arrays[TINY_ARRAYS];
    tiny_head(arrays);
    arrays[3] = arrays[1]; /* uvs, uv_faces and mean_texture: names that are ignored */
    arrays[4] = arrays[1];
    arrays[3].name = (char *)(uintptr_t) "spare";
    arrays[4].name = (char *)(uintptr_t) "other";
    char *path = tiny_write(f->folder, "plain.npz", arrays, TINY_ARRAYS - 1);
    hds_error error = { 0 };
    hds_head_model *m;
    const hds_head_model_params params = { .path = path, .mean_texture = "a.png" };
    assert_int_equal(hds_head_model_load(&m, &params, &error), HDS_ERROR_ARGUMENT);
    files_check_error(&error, HDS_ERROR_ARGUMENT, path, "has no texture coordinates; leave it out");
    hds_free(path);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_recognition),
        IN_FOLDER(test_built_in),
        IN_FOLDER(test_limits),
        IN_FOLDER(test_vertices_by_hand),
        IN_FOLDER(test_bad_coefficients),
        IN_FOLDER(test_vertices_of_several),
        IN_FOLDER(test_vertices_adjoint),
        IN_FOLDER(test_base_pose),
        IN_FOLDER(test_head_copies_what_it_is_given),
        IN_FOLDER(test_head_defaults),
        IN_FOLDER(test_offsets_are_added_to_the_template),
        IN_FOLDER(test_save),
        IN_FOLDER(test_save_refuses),
        IN_FOLDER(test_named_texture),
        IN_FOLDER(test_texture_without_uvs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

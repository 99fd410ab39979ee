/* SPDX-License-Identifier: Apache-2.0 */
/* The sculpt behind the sample head, and the head.npz that was made of it: topology, UVs, what each
 * attribute does, lids, weights, and that the components are what they are called. */
#include "head/head.h"
#include "headfile/headfile.h"
#include "io/io.h"
#include "sculpt.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { TEXTURE = 512, FRESH = 1500, LID_LOOP = 22 };

static const float *vertex(const float *vertices, sculpt_landmark landmark)
{
    return vertices + 3 * (size_t)sculpt_landmark_vertex(landmark);
}

static float *make_vertices(const float *attributes)
{
    float *v = calloc(sculpt_get_topology()->vertex_count * 3, sizeof *v);
    assert_non_null(v);
    sculpt_vertices(attributes, NULL, v);
    return v;
}

/* ---- topology ---- */

static void test_faces_are_a_surface(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    size_t edges = 3 * t->face_count, matched = 0;
    uint64_t *keys = calloc(edges, sizeof *keys), *used = calloc(t->vertex_count, sizeof *used);
    assert_true(keys && used);
    for (size_t e = 0; e < edges; e++) {
        uint32_t a = t->faces[e], b = t->faces[e / 3 * 3 + (e + 1) % 3];
        assert_true(a < t->vertex_count && b < t->vertex_count && a != b);
        assert_true(t->uv_faces[e] < t->uv_count);
        keys[e] = (uint64_t)a << 32 | b;
        used[a] = 1;
    }
    for (size_t v = 0; v < t->vertex_count; v++)
        assert_true(used[v]);
    /* Each directed edge is there once, and its opposite too but for the rims: of the neck, and of
     * the lids' insides, that end within the eyeballs. */
    const size_t buckets = 1 << 16;
    int32_t *head = malloc(buckets * sizeof *head), *next = malloc(edges * sizeof *next);
    assert_true(head && next);
    memset(head, 0xff, buckets * sizeof *head);
    for (size_t e = 0; e < edges; e++) {
        size_t h = (keys[e] * 0x9e3779b97f4a7c15u) >> 48;
        for (int32_t o = head[h]; o >= 0; o = next[o])
            assert_true(keys[o] != keys[e]);
        next[e] = head[h];
        head[h] = (int32_t)e;
    }
    for (size_t e = 0; e < edges; e++) {
        uint64_t opposite = keys[e] << 32 | keys[e] >> 32;
        size_t h = (opposite * 0x9e3779b97f4a7c15u) >> 48;
        for (int32_t o = head[h]; o >= 0; o = next[o])
            matched += keys[o] == opposite;
    }
    float last = 0;
    size_t rim = 0;
    for (size_t v = 0; v < t->vertex_count; v++)
        last = fmaxf(last, t->rows[v]);
    for (size_t v = 0; v < t->vertex_count; v++)
        rim += t->rows[v] == last;
    assert_int_equal(edges - matched, rim + 2 * LID_LOOP);
    free(head);
    free(next);
    free(keys);
    free(used);
}

static void test_halves_mirror_each_other(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    float *v = make_vertices(NULL);
    for (uint32_t i = 0; i < t->vertex_count; i++) {
        uint32_t m = t->mirror[i];
        assert_int_equal(t->mirror[m], i);
        assert_true(v[3 * i] == -v[3 * m]);
        assert_true(v[3 * i + 1] == v[3 * m + 1] && v[3 * i + 2] == v[3 * m + 2]);
    }
    for (int l = 0; l < SCULPT_LANDMARKS; l++)
        assert_true(vertex(v, (sculpt_landmark)l)[0] >= 0);
    free(v);
}

/* ---- UVs ---- */

static double uv_area(const float *a, const float *b, const float *c)
{
    return ((double)b[0] - a[0]) * ((double)c[1] - a[1]) -
           ((double)b[1] - a[1]) * ((double)c[0] - a[0]);
}

static void test_uvs_are_not_flipped(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    for (size_t f = 0; f < t->face_count; f++) {
        const uint32_t *q = t->uv_faces + 3 * f;
        assert_true(uv_area(t->uvs + 2 * q[0], t->uvs + 2 * q[1], t->uvs + 2 * q[2]) > 1e-8);
    }
    for (size_t i = 0; i < 2 * t->uv_count; i++)
        assert_true(t->uvs[i] >= 0.0039f && t->uvs[i] <= 0.9961f);
}

/* Draws every UV triangle: no texel centre is covered twice, and islands keep their distance. */
static void test_uvs_do_not_overlap(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    uint8_t *island = calloc((size_t)TEXTURE * TEXTURE, 1);
    assert_non_null(island);
    for (size_t f = 0; f < t->face_count; f++) {
        const float *p[3];
        double low[2] = { 1, 1 }, high[2] = { 0, 0 };
        for (int k = 0; k < 3; k++) {
            p[k] = t->uvs + 2 * (size_t)t->uv_faces[3 * f + k];
            for (int c = 0; c < 2; c++) {
                low[c] = fmin(low[c], p[k][c]);
                high[c] = fmax(high[c], p[k][c]);
            }
        }
        uint8_t mark = 1 + t->regions[t->faces[3 * f]];
        for (int y = (int)(low[1] * TEXTURE); y <= (int)(high[1] * TEXTURE); y++)
            for (int x = (int)(low[0] * TEXTURE); x <= (int)(high[0] * TEXTURE); x++) {
                const float at[2] = { ((float)x + .5f) / TEXTURE, ((float)y + .5f) / TEXTURE };
                bool inside = uv_area(p[0], p[1], at) > 1e-9 && uv_area(p[1], p[2], at) > 1e-9 &&
                              uv_area(p[2], p[0], at) > 1e-9;
                if (inside) {
                    assert_int_equal(island[y * TEXTURE + x], 0);
                    island[y * TEXTURE + x] = mark;
                }
            }
    }
    const int margin = 2 * TEXTURE / 256;
    for (int y = 0; y + margin < TEXTURE; y++)
        for (int x = 0; x + margin < TEXTURE; x++)
            for (int d = 1; d <= margin; d++) {
                uint8_t a = island[y * TEXTURE + x], b = island[y * TEXTURE + x + d];
                uint8_t c = island[(y + d) * TEXTURE + x];
                assert_true(!a || ((!b || a == b) && (!c || a == c)));
            }
    free(island);
}

/* ---- attributes ---- */

typedef struct effect {
    const char *name;
    sculpt_landmark landmark, reference; /* reference: SCULPT_LANDMARKS for the origin */
    int axis, sign;
    double least; /* mm from -2 to +2 */
} effect;

static const effect effects[SCULPT_ATTRIBUTES] = {
    { "nose_length", SCULPT_NOSE_TIP, SCULPT_EYE_INNER, 2, 1, 10 },
    { "nose_width", SCULPT_ALA, SCULPT_LANDMARKS, 0, 1, 5 },
    { "nose_bridge", SCULPT_NOSE_BRIDGE, SCULPT_EYE_INNER, 2, 1, 6 },
    { "jaw_width", SCULPT_JAW_ANGLE, SCULPT_LANDMARKS, 0, 1, 10 },
    { "chin", SCULPT_CHIN, SCULPT_LOWER_LIP, 2, 1, 8 },
    { "cheekbones", SCULPT_CHEEKBONE, SCULPT_CHEEK, 2, 1, 4 },
    { "brow_ridge", SCULPT_BROW, SCULPT_PUPIL, 2, 1, 6 },
    { "eye_size", SCULPT_UPPER_LID, SCULPT_LOWER_LID, 1, 1, 3 },
    { "eye_spacing", SCULPT_PUPIL, SCULPT_LANDMARKS, 0, 1, 8 },
    { "lip_fullness", SCULPT_UPPER_LIP_TOP, SCULPT_LOWER_LIP_BOTTOM, 1, 1, 6 },
    { "mouth_width", SCULPT_MOUTH_CORNER, SCULPT_LANDMARKS, 0, 1, 6 },
    { "ear_size", SCULPT_EAR_TOP, SCULPT_EAR_LOBE, 1, 1, 16 },
    { "ear_protrusion", SCULPT_EAR_RIM, SCULPT_LANDMARKS, 0, 1, 12 },
    { "forehead_height", SCULPT_HAIRLINE, SCULPT_BROW, 1, 1, 8 },
    { "cranium_height", SCULPT_CROWN, SCULPT_BROW, 1, 1, 18 },
    { "face_length", SCULPT_MENTON, SCULPT_PUPIL, 1, -1, 15 },
    { "neck_width", SCULPT_NECK_SIDE, SCULPT_LANDMARKS, 0, 1, 14 },
    { "fullness", SCULPT_CHEEK, SCULPT_LANDMARKS, 0, 1, 8 }
};

static void test_attributes_do_what_they_say(void **state)
{
    for (int a = 0; a < SCULPT_ATTRIBUTES; a++) {
        const effect *e = &effects[a];
        assert_string_equal(e->name, sculpt_attribute_names[a]);
        double measured[2];
        for (int pole = 0; pole < 2; pole++) {
            float attributes[SCULPT_ATTRIBUTES] = { 0 };
            attributes[a] = pole ? 2 : -2;
            float *v = make_vertices(attributes);
            measured[pole] = (double)vertex(v, e->landmark)[e->axis];
            if (e->reference != SCULPT_LANDMARKS)
                measured[pole] -= (double)vertex(v, e->reference)[e->axis];
            free(v);
        }
        double moved = 1000 * e->sign * (measured[1] - measured[0]);
        if (moved < e->least)
            fail_msg("%s: its landmark moves %.2f mm, expected %.2f", e->name, moved, e->least);
    }
}

/* Lids keep clear of their eyeballs over the whole population. */
static void test_eyeballs_keep_their_shape(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    float *v = calloc(t->vertex_count * 3, sizeof *v), joints[3 * SCULPT_JOINTS];
    assert_non_null(v);
    for (uint64_t head = 0; head < 40; head++) {
        rng r = rng_make(5, head);
        float a[SCULPT_ATTRIBUTES], m[SCULPT_MINOR];
        rng_normal_fill(&r, a, SCULPT_ATTRIBUTES);
        rng_normal_fill(&r, m, SCULPT_MINOR);
        sculpt_vertices(a, m, v);
        sculpt_joints(v, joints);
        double least = 1, most = 0;
        for (uint32_t i = 0; i < t->vertex_count; i++)
            if (t->regions[i] == SCULPT_EYEBALL_LEFT) {
                double d = 0;
                for (int k = 0; k < 3; k++)
                    d += pow((double)(v[3 * i + k] - joints[9 + k]), 2);
                least = fmin(least, sqrt(d));
                most = fmax(most, sqrt(d));
            }
        assert_true(least > .008 && most - least < 1e-6);
    }
    free(v);
}

/* ---- motion ---- */

static int expression_named(const char *name)
{
    for (int e = 0; e < SCULPT_EXPRESSIONS; e++)
        if (!strcmp(sculpt_expression_names[e], name))
            return e;
    fail_msg("no expression %s", name);
    return -1;
}

static void test_lids_close(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    float *v = make_vertices(NULL), *move = make_vertices(NULL);
    uint32_t upper = sculpt_landmark_vertex(SCULPT_UPPER_LID);
    float row = t->rows[upper];
    for (int side = 0; side < 2; side++) {
        sculpt_expression(expression_named(side ? "eyeBlink_R" : "eyeBlink_L"), move);
        int pairs = 0;
        for (int column = 1; column < 30; column++) {
            /* in the order of indices: the upper margin, then the lower */
            uint32_t lids[2], found = 0;
            for (uint32_t i = 0; i < t->vertex_count && found < 2; i++)
                if (t->rows[i] == row && t->columns[i] == (float)(side ? -column : column))
                    lids[found++] = i;
            if (found < 2 || v[3 * lids[0]] != v[3 * lids[1]])
                continue; /* no slit here, or its corner */
            const float *a = v + 3 * lids[0], *b = v + 3 * lids[1];
            const float *da = move + 3 * lids[0], *db = move + 3 * lids[1];
            double closed = (double)(a[1] + da[1] - b[1] - db[1]);
            double deep = (double)(a[2] + da[2] - b[2] - db[2]);
            assert_true(a[1] - b[1] > .002f && fabs(closed) < 1e-4 && fabs(deep) < 3e-4);
            pairs++;
        }
        assert_int_equal(pairs, 10);
        for (uint32_t i = 0; i < t->vertex_count; i++) {
            double d = fabsf(move[3 * i]) + fabsf(move[3 * i + 1]) + fabsf(move[3 * i + 2]);
            assert_true(d == 0 || (side ? v[3 * i] < 0 : v[3 * i] > 0));
        }
    }
    free(v);
    free(move);
}

static void test_jaw_opens_the_mouth(void **state)
{
    float *v = make_vertices(NULL), *move = make_vertices(NULL);
    sculpt_expression(expression_named("jawOpen"), move);
    assert_true(fabsf(vertex(move, SCULPT_UPPER_LIP)[1]) < 1e-4f);
    assert_true(vertex(move, SCULPT_LOWER_LIP)[1] < -.015f);
    assert_true(vertex(move, SCULPT_CHIN)[1] < -.015f);
    assert_true(fabsf(vertex(move, SCULPT_NOSE_TIP)[1]) < 1e-4f);
    free(v);
    free(move);
}

static void test_weights_sum_to_one(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    float *w = calloc(t->vertex_count * SCULPT_JOINTS, sizeof *w);
    assert_non_null(w);
    sculpt_skin_weights(w);
    for (size_t v = 0; v < t->vertex_count; v++) {
        double sum = 0;
        for (int j = 0; j < SCULPT_JOINTS; j++) {
            assert_true(w[v * SCULPT_JOINTS + j] >= 0);
            sum += (double)w[v * SCULPT_JOINTS + j];
        }
        assert_true(fabs(sum - 1) < 1e-6);
        if (t->regions[v] != SCULPT_SKIN)
            assert_true(w[v * SCULPT_JOINTS + 2 + t->regions[v]] == 1);
    }
    free(w);
}

/* ---- head.npz ---- */

static head_model *shipped(void)
{
    head_model *m = NULL;
    hds_error error = { 0 };
    if (headfile_load_npz(&m, HEADSDS_SOURCE "/samples/head/head.npz", &error) != HDS_OK)
        fail_msg("%s", error.message);
    return m;
}

static double dot(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

static void test_shipped_head_is_this_sculpt(void **state)
{
    const sculpt_topology *t = sculpt_get_topology();
    head_model *m = shipped();
    float *v = make_vertices(NULL);
    assert_int_equal(m->vertex_count, t->vertex_count);
    assert_int_equal(m->face_count, t->face_count);
    assert_int_equal(m->expression_count, SCULPT_EXPRESSIONS);
    assert_int_equal(m->joint_count, SCULPT_JOINTS);
    assert_memory_equal(m->faces, t->faces, t->face_count * 3 * sizeof *t->faces);
    for (size_t i = 0; i < 3 * t->vertex_count; i++)
        assert_true(fabsf(m->vertices[i] - v[i]) < 1e-6f);
    assert_int_equal(m->part_count, 3);
    assert_string_equal(m->part_names[SCULPT_EYEBALL_LEFT], "eye_left");
    assert_string_equal(m->part_names[SCULPT_EYEBALL_RIGHT], "eye_right");
    for (size_t i = 0; i < 3 * t->face_count; i++)
        assert_int_equal(m->face_parts[i / 3], t->regions[t->faces[i]]);
    free(v);
    hds_head_model_unref(m);
}

static void test_components_are_orthogonal_and_ordered(void **state)
{
    head_model *m = shipped();
    size_t n = 3 * m->vertex_count;
    double before = INFINITY;
    assert_true(m->shape_count >= 50);
    for (size_t a = 0; a < m->shape_count; a++) {
        const float *x = m->shape_basis + a * n;
        double size = sqrt(dot(x, x, n));
        assert_true(size > 0 && size <= before);
        before = size;
        for (size_t b = 0; b < a; b++) {
            const float *y = m->shape_basis + b * n;
            double cosine = dot(x, y, n) / (size * sqrt(dot(y, y, n)));
            assert_true(fabs(cosine) < 2e-3);
        }
    }
    hds_head_model_unref(m);
}

/* Fresh heads, projected: each component has unit deviation, the attributes are read back, and
 * nothing is left over. */
static void test_fresh_heads_have_unit_deviation(void **state)
{
    head_model *m = shipped();
    io_npz file;
    assert_int_equal(io_npz_open(&file, HEADSDS_SOURCE "/samples/head/head.npz", 0, NULL), HDS_OK);
    const io_array *measure = io_npz_find(&file, "attribute_measure");
    const io_array *offset = io_npz_find(&file, "attribute_offset");
    assert_true(measure && offset && measure->size == SCULPT_ATTRIBUTES * m->shape_count * 4);
    const float *w = measure->data, *b = offset->data;
    size_t n = 3 * m->vertex_count, s = m->shape_count;
    float *v = calloc(n, sizeof *v);
    double *x = calloc(s, sizeof *x), *square = calloc(s, sizeof *square);
    double error[SCULPT_ATTRIBUTES] = { 0 }, all[SCULPT_ATTRIBUTES] = { 0 };
    assert_true(v && x && square);
    for (uint64_t i = 0; i < FRESH; i++) {
        rng r = rng_make(77, i);
        float a[SCULPT_ATTRIBUTES], minor[SCULPT_MINOR];
        for (int k = 0; k < SCULPT_ATTRIBUTES; k++)
            a[k] = fminf(fmaxf((float)rng_normal(&r), -2.5f), 2.5f);
        for (int k = 0; k < SCULPT_MINOR; k++)
            minor[k] = fminf(fmaxf((float)rng_normal(&r), -2.5f), 2.5f);
        sculpt_vertices(a, minor, v);
        for (size_t k = 0; k < n; k++)
            v[k] -= m->vertices[k];
        for (size_t k = 0; k < s; k++) {
            const float *u = m->shape_basis + k * n;
            x[k] = dot(u, v, n) / dot(u, u, n);
            square[k] += x[k] * x[k] / FRESH;
        }
        for (int k = 0; k < SCULPT_ATTRIBUTES; k++) {
            double guess = (double)b[k];
            for (size_t c = 0; c < s; c++)
                guess += (double)w[(size_t)k * s + c] * x[c];
            error[k] += pow(guess - (double)a[k], 2);
            all[k] += pow((double)a[k], 2);
        }
    }
    for (size_t k = 0; k < s; k++) /* 1500 draws: three deviations of the estimate are 5.5% */
        if (fabs(sqrt(square[k]) - 1) > .06)
            fail_msg("component %zu: deviation %.3f", k, sqrt(square[k]));
    for (int k = 0; k < SCULPT_ATTRIBUTES; k++)
        if (1 - error[k] / all[k] < .97)
            fail_msg("%s: R^2 %.4f", sculpt_attribute_names[k], 1 - error[k] / all[k]);
    free(v);
    free(x);
    free(square);
    io_npz_close(&file);
    hds_head_model_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_faces_are_a_surface),
        cmocka_unit_test(test_halves_mirror_each_other),
        cmocka_unit_test(test_uvs_are_not_flipped),
        cmocka_unit_test(test_uvs_do_not_overlap),
        cmocka_unit_test(test_attributes_do_what_they_say),
        cmocka_unit_test(test_eyeballs_keep_their_shape),
        cmocka_unit_test(test_lids_close),
        cmocka_unit_test(test_jaw_opens_the_mouth),
        cmocka_unit_test(test_weights_sum_to_one),
        cmocka_unit_test(test_shipped_head_is_this_sculpt),
        cmocka_unit_test(test_components_are_orthogonal_and_ordered),
        cmocka_unit_test(test_fresh_heads_have_unit_deviation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Small matrices and rotations against their definitions, and their adjoints, in double. */
#include "check.h"

#include "math/math.h"

static const double angles[] = {
    0, 1e-12, 1e-6, 1e-3, 0.1, 0.9, 0.999999, 1, 1.000001, 2, 3.141592653589793, 5, 20
};

static void axis_angle(size_t i, real r[3])
{
    rng g = rng_make(3, i);
    for (int k = 0; k < 3; k++)
        r[k] = (real)rng_normal(&g);
    vec3_normalise(r);
    for (int k = 0; k < 3; k++)
        r[k] *= (real)angles[i];
}

/* The exponential of [r]x by scaling and squaring. */
static void exponential(const real r[3], real out[9])
{
    enum { HALVINGS = 12 };
    real k[9] = { 0, -r[2], r[1], r[2], 0, -r[0], -r[1], r[0], 0 };
    real term[9] = { 1, 0, 0, 0, 1, 0, 0, 0, 1 }, sum[9], next[9];
    for (int i = 0; i < 9; i++)
        k[i] = (real)ldexp(k[i], -HALVINGS);
    memcpy(sum, term, sizeof sum);
    for (int n = 1; n < 12; n++) {
        mat3_mul(term, k, next);
        for (int i = 0; i < 9; i++) {
            term[i] = next[i] / n;
            sum[i] += term[i];
        }
    }
    for (int n = 0; n < HALVINGS; n++) {
        mat3_mul(sum, sum, next);
        memcpy(sum, next, sizeof sum);
    }
    memcpy(out, sum, sizeof sum);
}

static void test_rotation_is_the_exponential(void **state)
{
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i++) {
        real r[3], rotation[9], expected[9];
        axis_angle(i, r);
        math_rotation(r, rotation);
        exponential(r, expected);
        for (int k = 0; k < 9; k++)
            check_close(rotation[k], expected[k], 1e-11, 1);
    }
}

static void test_rotation_turns_counter_clockwise(void **state)
{
    real r[3] = { 0, 0, (real)1.5707963267948966 }, x[3] = { 1, 0, 0 }, rotation[9], y[3];
    math_rotation(r, rotation);
    mat3_mul_vec(rotation, x, y);
    check_close(y[1], 1, 1e-15, 1);
    check_close(y[0], 0, 1e-15, 1);
}

static void evaluate_rotation(void *context, const real *r, real *rotation)
{
    math_rotation(r, rotation);
}

static void test_rotation_adjoint(void **state)
{
    for (size_t i = 0; i < sizeof angles / sizeof *angles; i++) {
        real r[3], dr[3] = { 0 };
        axis_angle(i, r);
        real *v = check_random(10 + i, 3, 1), *u = check_random(40 + i, 9, 1);
        math_rotation_adjoint(r, u, dr);
        double forward = check_directional(evaluate_rotation, NULL, r, v, u, 3, 9, 1e-5);
        check_close(forward, check_dot(dr, v, 3), 1e-8, 1);
        real once[3] = { dr[0], dr[1], dr[2] };
        math_rotation_adjoint(r, u, dr);
        for (int k = 0; k < 3; k++)
            check_close(dr[k], 2 * once[k], 1e-15, 1);
        free(v);
        free(u);
    }
}

static void test_products(void **state)
{
    real *a = check_random(1, 16, 1), *b = check_random(2, 16, 1), *c = check_random(3, 9, 1);
    real ab[9], da[9] = { 0 }, db[9] = { 0 }, v[3], w[3];
    /* <A B, C> is linear in each, so its gradients give it back. */
    mat3_mul(a, b, ab);
    mat3_mul_adjoint(a, b, c, da, db);
    check_close(check_dot(ab, c, 9), check_dot(a, da, 9), 1e-13, 1);
    check_close(check_dot(ab, c, 9), check_dot(b, db, 9), 1e-13, 1);
    mat3_mul_vec(a, b, v);
    mat3_transpose_mul_vec(a, c, w);
    check_close(vec3_dot(v, c), vec3_dot(b, w), 1e-13, 1);
    real outer[9] = { 0 };
    mat3_add_outer(outer, 2, c, b);
    check_close(check_dot(outer, a, 9), 2 * vec3_dot(c, v), 1e-13, 1);
    free(a);
    free(b);
    free(c);
}

static void test_points(void **state)
{
    real *a = check_random(4, 16, 1), *b = check_random(5, 16, 1), *p = check_random(6, 3, 1);
    real ab[16], q[4], chained[4], expected[4], dp[3] = { 0 }, zero[3] = { 0 }, origin[4];
    mat4_mul(a, b, ab);
    mat4_mul_point(b, p, q);
    mat4_mul_point(ab, p, chained);
    for (int i = 0; i < 4; i++) {
        expected[i] = 0;
        for (int j = 0; j < 4; j++)
            expected[i] += a[4 * i + j] * q[j];
        check_close(chained[i], expected[i], 1e-13, 1);
    }
    mat4_mul_point(b, zero, origin);
    mat4_mul_point_adjoint(b, expected, dp);
    for (int i = 0; i < 4; i++)
        q[i] -= origin[i];
    check_close(check_dot(q, expected, 4), vec3_dot(dp, p), 1e-13, 1);
    free(a);
    free(b);
    free(p);
}

/* b = s R a + t for some points, and one that is drawn away with no weight. */
static void test_similarity_is_found(void **state)
{
    enum { N = 20 };
    real *a = check_random(7, 3 * N, 1), *r = check_random(8, 3, 1), rotation[9], b[3 * N];
    const double scale = 37, translation[3] = { 1000, -2000, 5 };
    math_rotation(r, rotation);
    math_pairs pairs = { 0 };
    for (int i = 0; i < N; i++) {
        mat3_mul_vec(rotation, a + 3 * i, b + 3 * i);
        for (int k = 0; k < 3; k++)
            b[3 * i + k] = scale * b[3 * i + k] + translation[k] + (i == 3 ? 1000 : 0);
        math_pairs_add(&pairs, i == 3 ? 0 : 1 + i, a + 3 * i, b + 3 * i);
    }
    math_similarity s;
    assert_true(math_similarity_fit(&pairs, &s));
    check_close(s.scale, scale, 1e-12, 1);
    for (int k = 0; k < 9; k++)
        check_close(s.rotation[k], rotation[k], 1e-12, 1);
    for (int k = 0; k < 3; k++)
        check_close(s.translation[k], translation[k], 1e-12, 1);
    check_close(s.left, 0, 1e-8, 1);
    assert_false(s.mirrored);
    check_close(math_similarity_distance(&s, a, b), 0, 1e-18, 1);
    check_close(math_similarity_distance(&s, a + 9, b + 9), 3e6, 1e-12, 1);
    free(a);
    free(r);
}

/* Of noisy points no similarity nearby leaves less; `left` is what this one leaves. */
static void test_similarity_is_the_least(void **state)
{
    enum { N = 12 };
    real *a = check_random(9, 3 * N, 1), *b = check_random(10, 3 * N, 0.5);
    math_pairs pairs = { 0 };
    math_similarity s;
    for (int i = 0; i < 3 * N; i++)
        b[i] += a[i];
    for (int i = 0; i < N; i++)
        math_pairs_add(&pairs, 2, a + 3 * i, b + 3 * i);
    assert_true(math_similarity_fit(&pairs, &s));
    for (int k = 0; k < 15; k++) {
        math_similarity near = s;
        double sum = 0, step = k % 2 ? 1e-3 : -1e-3;
        real turn[3] = { k / 2 == 0 ? step : 0, k / 2 == 1 ? step : 0, k / 2 == 2 ? step : 0 };
        real small[9], before[9], after[9];
        math_rotation(turn, small);
        for (int i = 0; i < 9; i++)
            before[i] = s.rotation[i];
        mat3_mul(small, before, after);
        for (int i = 0; i < 9; i++)
            near.rotation[i] = after[i];
        near.scale += k / 2 == 3 ? step : 0;
        for (int i = 0; i < 3; i++)
            near.translation[i] += k / 2 == 4 + i ? step : 0;
        for (int i = 0; i < N; i++)
            sum += 2 * math_similarity_distance(&near, a + 3 * i, b + 3 * i);
        if (k / 2 == 7)
            check_close(sum, s.left, 1e-12, 1);
        else
            assert_true(sum > s.left);
    }
    free(a);
    free(b);
}

static void test_similarity_of_mirrored_and_of_no_points(void **state)
{
    enum { N = 9 };
    real *a = check_random(11, 3 * N, 1);
    math_pairs mirrored = { 0 }, one_point = { 0 }, to_one_point = { 0 }, none = { 0 };
    math_similarity s;
    for (int i = 0; i < N; i++) {
        const real b[3] = { -a[3 * i], a[3 * i + 1], a[3 * i + 2] };
        math_pairs_add(&mirrored, 1, a + 3 * i, b);
        math_pairs_add(&one_point, 1, a, b);
        math_pairs_add(&to_one_point, 1, b, a);
    }
    assert_true(math_similarity_fit(&mirrored, &s));
    assert_true(s.mirrored && s.left > 1);
    double determinant = 0;
    for (int i = 0; i < 3; i++) {
        const double *r = s.rotation;
        int j = (i + 1) % 3, k = (i + 2) % 3;
        determinant += r[i] * (r[3 + j] * r[6 + k] - r[3 + k] * r[6 + j]);
    }
    check_close(determinant, 1, 1e-12, 1);
    assert_false(math_similarity_fit(&one_point, &s));
    assert_false(math_similarity_fit(&to_one_point, &s));
    assert_false(math_similarity_fit(&none, &s));
    free(a);
}

static void test_cholesky(void **state)
{
    enum { N = 9 };
    real *b = check_random(12, N * N, 1), *x = check_random(13, N, 1);
    double a[N * N], right[N] = { 0 };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            a[i * N + j] = i == j;
            for (int k = 0; k < N; k++)
                a[i * N + j] += b[i * N + k] * b[j * N + k];
        }
    for (int i = 0; i < N * N; i++)
        right[i / N] += a[i] * x[i % N];
    assert_true(math_cholesky(a, N));
    math_cholesky_solve(a, N, right);
    for (int i = 0; i < N; i++)
        check_close(right[i], x[i], 1e-11, 1);
    double indefinite[] = { 1, 2, 2, 1 }, singular[] = { 1, 1, 1, 1 }, nothing[] = { 0 };
    double none[] = { NAN };
    assert_false(math_cholesky(indefinite, 2));
    assert_false(math_cholesky(singular, 2));
    assert_false(math_cholesky(nothing, 1));
    assert_false(math_cholesky(none, 1));
    free(b);
    free(x);
}

static void test_eigenvectors(void **state)
{
    enum { N = 7 };
    double a[N * N], before[N * N], v[N * N];
    rng r = rng_make(3, 0);
    for (int i = 0; i < N; i++)
        for (int j = 0; j <= i; j++)
            a[i * N + j] = a[j * N + i] = rng_normal(&r);
    memcpy(before, a, sizeof a);
    math_eigen_symmetric(a, v, N);
    for (int k = 0; k < N; k++)
        for (int i = 0; i < N; i++) {
            double product = 0, dot = 0;
            for (int j = 0; j < N; j++) {
                product += before[i * N + j] * v[j * N + k];
                dot += v[j * N + i] * v[j * N + k];
            }
            assert_float_equal(product, a[k * N + k] * v[i * N + k], 1e-9);
            assert_float_equal(dot, i == k, 1e-12);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rotation_is_the_exponential),
        cmocka_unit_test(test_rotation_turns_counter_clockwise),
        cmocka_unit_test(test_rotation_adjoint),
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_points),
        cmocka_unit_test(test_cholesky),
        cmocka_unit_test(test_eigenvectors),
        cmocka_unit_test(test_similarity_is_found),
        cmocka_unit_test(test_similarity_is_the_least),
        cmocka_unit_test(test_similarity_of_mirrored_and_of_no_points),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

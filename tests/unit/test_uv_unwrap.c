/* SPDX-License-Identifier: Apache-2.0 */
/* What pictures show of a texel: the weight, what hides it, and several views made one texture. In
 * float and in double. */
#include "uv.h"

typedef struct unwrapped {
    real *sums, *weights;
} unwrapped;

static unwrapped unwrap(const test_mesh *m, const raster_uv_layout *layout,
                        const raster_picture *pictures, int count, arena *a)
{
    size_t texels = (size_t)layout->height * (size_t)layout->width;
    unwrapped u = { zeros(texels * (size_t)pictures->channels, sizeof(real)),
                    zeros(texels, sizeof(real)) };
    for (int i = 0; i < count; i++)
        assert_true(
            raster_unwrap_add(layout, &m->mesh, m->normals, &pictures[i], a, u.sums, u.weights));
    raster_unwrap_divide(layout, pictures->channels, u.weights, u.sums);
    return u;
}

static void drop(unwrapped *u)
{
    free(u->sums);
    free(u->weights);
}

static void eye_of(const raster_camera *c, double eye[3])
{
    real r[9];
    raster_camera_rotation(c, r);
    for (int k = 0; k < 3; k++)
        eye[k] = (double)c->target[k] + (double)c->distance * (double)r[6 + k];
}

static double cosine_to(const double p[3], const double n[3], const double eye[3])
{
    double along = 0, length = 0;
    for (int c = 0; c < 3; c++) {
        along += n[c] * (eye[c] - p[c]);
        length += (eye[c] - p[c]) * (eye[c] - p[c]);
    }
    return along / sqrt(length);
}

static double fade(double cosine)
{
    double low = cos(80 * M_PI / 180), t = (cosine - low) / (0.5 - low);
    t = t < 0 ? 0 : t > 1 ? 1 : t;
    return cosine * t * t * (3 - 2 * t);
}

/* All of a convex surface that faces the camera is seen: the weight is that of the angle at every
 * texel, for coarse and fine faces and pictures; a pixel may be many faces. */
static void check_convex(int rings, int size)
{
    enum { TEXELS = 96 };
    test_mesh m = test_sphere(rings, 0, (real)0.2, 0);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    raster_picture picture = {
        .camera = { .azimuth = 33, .elevation = 12, .distance = 1, .fov_y = 30 },
        .height = size,
        .width = size + 10,
        .channels = 1
    };
    real *pixels = zeros((size_t)size * (size_t)(size + 10), sizeof *pixels);
    picture.pixels = pixels;
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    double eye[3], p[3], n[3];
    eye_of(&picture.camera, eye);
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        if (!layout.faces[at]) {
            assert_float_equal(u.weights[at], 0, 0);
            continue;
        }
        surface(&m, &layout, at, p, n);
        double cosine = cosine_to(p, n, eye), expected = fade(cosine);
        /* pixels from the outline, which is a polygon */
        double radius = 0.2 * size / (2 * tan(15 * M_PI / 180));
        double within = radius * (cos(M_PI / 2 / rings) - sqrt(1 - cosine * cosine));
        if (within < 4 && (double)u.weights[at] <= expected / 64 + 20 * rough)
            continue;
        if (fabs((double)u.weights[at] - expected) > 20 * rough)
            fail_msg("%d rings, %d pixels, texel %zu: weight %g, expected %g", rings, size, at,
                     (double)u.weights[at], expected);
    }
    drop(&u);
    free(pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_convex(void **state)
{
    static const int sizes[] = { 24, 64, 200, 512 };
    for (int i = 0; i < 4; i++) {
        check_convex(10, sizes[i]);
        check_convex(50, sizes[i]);
    }
}

/* Squares across z = 0 and z = gap, the second a third as wide: a shadow with straight edges. */
static test_mesh two_plates(double gap)
{
    rng r = rng_make(1, 1);
    test_mesh m = test_soup(&r, 8, 4, 1);
    const uint32_t corners[] = { 0, 1, 2, 0, 2, 3, 4, 5, 6, 4, 6, 7 };
    for (uint32_t i = 0; i < 8; i++) {
        double side = i < 4 ? 0.15 : 0.05, x = i % 4 == 1 || i % 4 == 2, y = i % 4 > 1;
        m.vertices[3 * i] = (real)((2 * x - 1) * side);
        m.vertices[3 * i + 1] = (real)((2 * y - 1) * side);
        m.vertices[3 * i + 2] = (real)(i < 4 ? 0 : gap);
        m.uvs[2 * i] = (float)(i < 4 ? x / 2 : 0.5 + x / 2); /* side by side */
        m.uvs[2 * i + 1] = (float)y;
        for (int c = 0; c < 3; c++)
            m.normals[3 * i + (uint32_t)c] = c == 2;
    }
    memcpy(m.faces, corners, sizeof corners);
    memcpy(m.uv_faces, corners, sizeof corners);
    return m;
}

/* Pixels from a point's place on the screen to the rectangle that hides what is behind it: negative
 * inside. The rays to the point cross z = gap at q. */
static double pixels_outside(const double p[3], const double eye[3], double gap, double pixel)
{
    double t = (gap - p[2]) / (eye[2] - p[2]), q[2], outside = -1e9;
    for (int c = 0; c < 2; c++) {
        q[c] = p[c] + t * (eye[c] - p[c]);
        outside = fmax(outside, fabs(q[c]) - 0.05);
    }
    return outside / pixel;
}

enum { PLATE_PIXELS = 256 };
static const double back_colour = 0.2, front_colour = 0.8, no_colour = 100;

/* A picture of the plates without antialiasing: what the ray through each pixel's centre meets. */
static void draw_plates(const raster_camera *camera, double gap, real *pixels)
{
    double eye[3], ray[3], focal = PLATE_PIXELS / (2 * tan((double)camera->fov_y * M_PI / 360));
    real r[9];
    eye_of(camera, eye);
    raster_camera_rotation(camera, r);
    for (int i = 0; i < PLATE_PIXELS * PLATE_PIXELS; i++) {
        double x = (i % PLATE_PIXELS + 0.5 - PLATE_PIXELS / 2) / focal;
        double y = (PLATE_PIXELS / 2 - i / PLATE_PIXELS - 0.5) / focal, outside[2];
        for (int c = 0; c < 3; c++)
            ray[c] = x * (double)r[c] + y * (double)r[3 + c] - (double)r[6 + c];
        for (int plate = 0; plate < 2; plate++) {
            double t = ((plate ? gap : 0) - eye[2]) / ray[2];
            outside[plate] =
                fmax(fabs(eye[0] + t * ray[0]), fabs(eye[1] + t * ray[1])) - (plate ? 0.05 : 0.15);
        }
        pixels[i] = (real)(outside[1] < 0   ? front_colour
                           : outside[0] < 0 ? back_colour
                                            : no_colour);
    }
}

static void check_plates(double gap, double azimuth)
{
    enum { HEIGHT = 64, WIDTH = 128 };
    test_mesh m = two_plates(gap);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, HEIGHT, WIDTH, &a);
    real *pixels = zeros(PLATE_PIXELS * PLATE_PIXELS, sizeof *pixels);
    raster_picture picture = { .camera = { .azimuth = (real)azimuth, .distance = 1, .fov_y = 24 },
                               .height = PLATE_PIXELS,
                               .width = PLATE_PIXELS,
                               .channels = 1,
                               .pixels = pixels };
    draw_plates(&picture.camera, gap, pixels);
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    double eye[3], p[3], n[3];
    eye_of(&picture.camera, eye);
    /* a pixel covers at most this much of the plates, along their slant */
    double pixel = 2 * tan(12 * M_PI / 180) / PLATE_PIXELS / cos(azimuth * M_PI / 180);
    int hidden = 0, open = 0, beside = 0;
    for (size_t at = 0; at < HEIGHT * WIDTH; at++) {
        surface(&m, &layout, at, p, n);
        bool front = layout.faces[at] > 2;
        double outside = front ? 1e9 : pixels_outside(p, eye, gap, pixel);
        double border = ((front ? 0.05 : 0.15) - fmax(fabs(p[0]), fabs(p[1]))) / pixel;
        double weight = (double)u.weights[at], expected = fade(cosine_to(p, n, eye));
        if (outside < 0 && weight > 0)
            fail_msg("gap %g, azimuth %g: a hidden texel is seen, %g pixels inside", gap, azimuth,
                     -outside);
        if (outside > 2 && border > 2 && weight < expected / 64 - rough)
            fail_msg("gap %g, azimuth %g: weight %g of a texel, %g pixels outside, %g from its "
                     "border, expected %g",
                     gap, azimuth, weight, outside, border, expected / 64);
        if (outside > 4 && border > 4)
            assert_float_equal(weight, expected, 20 * rough);
        if (weight > 0) /* its own colour, and no share of another's */
            assert_float_equal(u.sums[at], (front ? front_colour : back_colour), rough);
        hidden += outside < 0;
        open += weight > 0;
        beside += weight > 0 && weight < expected / 32;
    }
    assert_true(hidden > 100 && open > 3000 && beside > 50);
    drop(&u);
    free(pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* A pixel is 1.7 mm wide. What lies closer than the tolerance (a pixel's width, and what a plane
 * sinks across one) counts as one surface; beyond it nothing hidden is let through. */
static void test_plates(void **state)
{
    check_plates(0.0025, 0);
    check_plates(0.006, 40);
    check_plates(0.012, 65);
    check_plates(0.05, 0);
    check_plates(0.05, 40);
}

/* A sheet folded over: its upper half, seen from the back, hides the lower one although they have
 * an edge in common. */
static void test_folded_sheet(void **state)
{
    enum { TEXELS = 48, SIZE = 128 };
    rng r = rng_make(1, 3);
    test_mesh m = test_soup(&r, 6, 4, 1);
    const uint32_t corners[] = { 0, 1, 2, 0, 2, 3, 0, 3, 5, 0, 5, 4 };
    const double places[6][3] = { { -.1, -.1, 0 }, { .1, -.1, 0 }, { .1, .1, 0 },
                                  { -.1, .1, 0 },  { 0, -.1, .1 }, { 0, .1, .1 } };
    for (uint32_t i = 0; i < 6; i++) {
        for (int c = 0; c < 3; c++) {
            m.vertices[3 * i + (uint32_t)c] = (real)places[i][c];
            m.normals[3 * i + (uint32_t)c] = c == 2;
        }
        m.uvs[2 * i] = i < 4 ? 0.5f + 5 * (float)places[i][0] : 2;
        m.uvs[2 * i + 1] = 0.5f + 5 * (float)places[i][1];
    }
    memcpy(m.faces, corners, sizeof corners);
    memcpy(m.uv_faces, corners, sizeof corners);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    real *pixels = zeros(SIZE * SIZE, sizeof *pixels);
    raster_picture picture = { .camera = { .distance = 10, .fov_y = 2 },
                               .height = SIZE,
                               .width = SIZE,
                               .channels = 1,
                               .pixels = pixels };
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        double p[3], n[3];
        if (!layout.faces[at] || layout.faces[at] > 2)
            continue;
        surface(&m, &layout, at, p, n);
        /* the upper half is above by the way from the fold; a pixel is 2.7 mm */
        if (p[0] > -.09 && p[0] < -.005)
            assert_float_equal(u.weights[at], 0, 0);
        if (p[0] > .005 && p[0] < .095 && fabs(p[1]) < .095)
            assert_true(u.weights[at] > 0);
    }
    drop(&u);
    free(pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static double dot(const double a[3], const double b[3])
{
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

/* The smallest t > 0 at which eye + t d meets a face; far away: none. */
static double first_hit(const test_mesh *m, const double eye[3], const double d[3])
{
    double nearest = 1e9;
    for (size_t f = 0; f < m->mesh.face_count; f++) {
        const uint32_t *corner = m->faces + 3 * f;
        double e[2][3], s[3], h[3], q[3];
        for (int c = 0; c < 3; c++) {
            double origin = (double)m->vertices[3 * corner[0] + (uint32_t)c];
            e[0][c] = (double)m->vertices[3 * corner[1] + (uint32_t)c] - origin;
            e[1][c] = (double)m->vertices[3 * corner[2] + (uint32_t)c] - origin;
            s[c] = eye[c] - origin;
        }
        for (int c = 0; c < 3; c++) {
            int i = (c + 1) % 3, k = (c + 2) % 3;
            h[c] = d[i] * e[1][k] - d[k] * e[1][i];
            q[c] = s[i] * e[0][k] - s[k] * e[0][i];
        }
        double size = dot(e[0], h), u = dot(s, h) / size, v = dot(d, q) / size;
        double t = dot(e[1], q) / size;
        if (u >= 0 && v >= 0 && u + v <= 1 && t > 0 && t < nearest)
            nearest = t;
    }
    return nearest;
}

/* How much nearer, and how much further than p a ray within three pixels of it first meets the
 * surface, in pixels' widths. */
static void depths_around(const test_mesh *m, const raster_camera *camera, const double eye[3],
                          const double p[3], double pixel, double *nearer, double *further)
{
    real r[9];
    raster_camera_rotation(camera, r);
    *nearer = *further = 0;
    for (int i = 0; i < 9; i++) {
        double d[3], x = 3 * (i % 3 - 1), y = 3 * (i / 3 - 1), length = 0;
        for (int c = 0; c < 3; c++)
            length += (p[c] - eye[c]) * (p[c] - eye[c]);
        length = sqrt(length);
        for (int c = 0; c < 3; c++)
            d[c] = p[c] - eye[c] + pixel * length * (x * (double)r[c] + y * (double)r[3 + c]);
        double difference = (1 - first_hit(m, eye, d)) / pixel;
        *nearer = fmax(*nearer, i == 4 ? difference : 0);
        *further = fmax(*further, fabs(difference));
    }
}

/* Bumps that hide each other, against rays from the eye. What is seen is hidden by no more than the
 * tolerance; what is open all around, without a step of the depth, is seen. */
static void check_bumps(int rings, double bumps, double steps)
{
    enum { TEXELS = 48, SIZE = 400 };
    test_mesh m = test_sphere(rings, 0, (real)0.2, (real)bumps);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    real *pixels = zeros(SIZE * SIZE, sizeof *pixels);
    raster_picture picture = {
        .camera = { .azimuth = 25, .elevation = 10, .distance = 1, .fov_y = 32 },
        .height = SIZE,
        .width = SIZE,
        .channels = 1,
        .pixels = pixels
    };
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    double eye[3], p[3], n[3], nearer, further, pixel = 2 * tan(16 * M_PI / 180) / SIZE;
    eye_of(&picture.camera, eye);
    const double most = 2 * (1 + tan(80 * M_PI / 180)); /* twice the tolerance of a steep face */
    int hidden = 0, open = 0;
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        if (!layout.faces[at])
            continue;
        surface(&m, &layout, at, p, n);
        double cosine = cosine_to(p, n, eye);
        if (fade(cosine) < 0.01)
            continue;
        depths_around(&m, &picture.camera, eye, p, pixel, &nearer, &further);
        bool seen = u.weights[at] > 0;
        if (nearer > most && seen)
            fail_msg("texel %zu is seen, hidden by %g pixels", at, nearer);
        if (cosine > 0.3 && nearer < 0.01 && further < steps / cosine && !seen)
            fail_msg("texel %zu is not seen, steps of %g pixels at cosine %g", at, further, cosine);
        hidden += nearer > most;
        open += cosine > 0.3 && nearer < 0.01 && further < steps / cosine;
    }
    assert_true(hidden > 15 && open > 150);
    drop(&u);
    free(pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
}

static void test_bumps(void **state)
{
    check_bumps(24, 0.3, 3);
    check_bumps(24, 0.15, 4.5);
    check_bumps(40, 0.2, 4.5);
}

/* Nothing from a picture that looks elsewhere, from behind the camera, or of the other side. */
static void test_not_in_the_picture(void **state)
{
    test_mesh m = test_sphere(10, 0, (real)0.2, 0);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, 32, 32, &a);
    real pixels[64 * 64] = { 0 }, corner = 0;
    raster_picture picture = { .camera = { .distance = 1, .fov_y = 30, .target = { 2, 0, 0 } },
                               .height = 64,
                               .width = 64,
                               .channels = 1,
                               .pixels = pixels };
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    for (int i = 0; i < 32 * 32; i++)
        corner += u.weights[i];
    assert_float_equal(corner, 0, 0);
    drop(&u);
    picture.camera.target[0] = 0; /* the sphere is behind the camera */
    picture.camera.target[2] = -3;
    u = unwrap(&m, &layout, &picture, 1, &a);
    for (int i = 0; i < 32 * 32; i++)
        assert_float_equal(u.weights[i], 0, 0);
    drop(&u);
    picture.camera.target[2] = 0;
    for (int i = 0; i < 3 * (int)m.mesh.vertex_count; i++)
        m.normals[i] = -m.normals[i];
    u = unwrap(&m, &layout, &picture, 1, &a);
    for (int i = 0; i < 32 * 32; i++)
        assert_float_equal(u.weights[i], 0, 0);
    drop(&u);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* A picture that has only a part of the sphere: what projects beside it weighs nothing, what
 * projects into it does, up to its border. */
static void test_border(void **state)
{
    enum { TEXELS = 96, WIDTH = 90, HEIGHT = 50 };
    test_mesh m = test_sphere(30, 0, (real)0.2, 0);
    arena a = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    real pixels[WIDTH * HEIGHT] = { 0 };
    raster_picture picture = {
        .camera = { .distance = 1, .fov_y = 8, .target = { (real)0.02, (real)0.03, 0 } },
        .height = HEIGHT,
        .width = WIDTH,
        .channels = 1,
        .pixels = pixels
    };
    unwrapped u = unwrap(&m, &layout, &picture, 1, &a);
    int inside = 0;
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        double p[3], n[3], focal = HEIGHT / (2 * tan(4 * M_PI / 180));
        if (!layout.faces[at])
            continue;
        surface(&m, &layout, at, p, n);
        double x = WIDTH / 2 + focal * (p[0] - 0.02) / (1 - p[2]);
        double y = HEIGHT / 2 - focal * (p[1] - 0.03) / (1 - p[2]);
        bool in = x > 0 && y > 0 && x < WIDTH && y < HEIGHT && p[2] > 0;
        inside += in;
        assert_true((u.weights[at] > 0) == in);
    }
    assert_true(inside > 100);
    drop(&u);
    arena_finish(&a);
    test_mesh_finish(&m);
}

/* Six pictures of the normals make the map of the normals. */
static void test_views(void **state)
{
    enum { TEXELS = 64, SIZE = 160, VIEWS = 6 };
    test_mesh m = test_sphere(30, 0, (real)0.2, (real)0.05);
    arena a = { 0 }, drawing = { 0 };
    raster_uv_layout layout = lay_out(&m.mesh, TEXELS, TEXELS, &a);
    raster_picture pictures[VIEWS];
    for (int i = 0; i < VIEWS; i++) {
        raster_view view = test_view(SIZE, RASTER_NORMALS);
        view.camera.azimuth = i < 4 ? 90 * (real)i : 0;
        view.camera.elevation = i < 4 ? 0 : i == 4 ? 80 : -80;
        real *image = zeros(3 * SIZE * SIZE, sizeof *image);
        assert_non_null(raster_draw(&m.mesh, m.normals, &view, &drawing, image));
        pictures[i] = (raster_picture){ view.camera, SIZE, SIZE, 3, image };
    }
    unwrapped u = unwrap(&m, &layout, pictures, VIEWS, &a);
    double p[3], n[3];
    for (size_t at = 0; at < TEXELS * TEXELS; at++) {
        if (!layout.faces[at]) {
            assert_float_equal(u.sums[3 * at], 0, 0);
            continue;
        }
        assert_true(u.weights[at] > 0.3);
        surface(&m, &layout, at, p, n);
        for (size_t c = 0; c < 3; c++)
            assert_float_equal(u.sums[3 * at + c], 0.5 + 0.5 * n[c], 0.02);
    }
    drop(&u);
    for (int i = 0; i < VIEWS; i++)
        free((void *)(uintptr_t)pictures[i].pixels);
    arena_finish(&a);
    arena_finish(&drawing);
    test_mesh_finish(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_convex),
        cmocka_unit_test(test_plates),
        cmocka_unit_test(test_folded_sheet),
        cmocka_unit_test(test_bumps),
        cmocka_unit_test(test_not_in_the_picture),
        cmocka_unit_test(test_border),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

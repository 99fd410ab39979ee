/* SPDX-License-Identifier: Apache-2.0 */
/* Golden pictures of UV space: uv_<scene>.png, of a sphere with bumps and of the sample head. */
#include "../raster_meshes.h"
#include "golden.h"
#include "head/head.h"
#include "headfile/headfile.h"
#include "image/image.h"

enum { SIZE = GOLDEN_SIZE, TEXELS = SIZE * SIZE, VIEW = 256, VIEWS = 3 };

typedef enum subject { SPHERE, HEAD } subject;
typedef enum what { POSITIONS, NORMALS, UNWRAPPED, WEIGHT, FILLED, MIRRORED } what;

typedef struct scene {
    const char *name;
    subject subject;
    what what;
    double mean, share;
} scene;

static const scene scenes[] = {
    { "sphere_normals", SPHERE, NORMALS, 0.1, 0.001 },
    { "sphere_unwrapped", SPHERE, UNWRAPPED, 0.25, 0.004 },
    { "sphere_filled", SPHERE, FILLED, 0.25, 0.004 },
    { "sphere_mirrored", SPHERE, MIRRORED, 0.25, 0.004 },
    { "head_positions", HEAD, POSITIONS, 0.1, 0.001 },
    { "head_normals", HEAD, NORMALS, 0.1, 0.001 },
    { "head_unwrapped", HEAD, UNWRAPPED, 0.25, 0.004 },
    { "head_weight", HEAD, WEIGHT, 0.25, 0.004 },
    { "head_filled", HEAD, FILLED, 0.25, 0.004 },
    { "head_mirrored", HEAD, MIRRORED, 0.25, 0.004 },
};

static hds_head_model *model;

static test_mesh sphere(void)
{
    test_mesh m = test_sphere(24, 0, (real)0.2, (real)0.1);
    for (size_t i = 0; i < 2 * m.mesh.uv_count; i++) /* room for a gutter */
        m.uvs[i] = 0.1f + 0.8f * m.uvs[i];
    return m;
}

static test_mesh sample_head(void)
{
    test_mesh m = { .mesh = { .vertex_count = model->vertex_count,
                              .face_count = model->face_count,
                              .uv_count = model->uv_count,
                              .vertices = model->vertices,
                              .faces = model->faces,
                              .uvs = model->uvs,
                              .uv_faces = model->uv_faces } };
    m.normals = calloc(3 * model->vertex_count, sizeof *m.normals);
    test_mesh_normals(&m.mesh, m.normals);
    return m;
}

/* A chequered pattern with letters' asymmetry: red grows to the right, blue upward. */
static void paint(real *texture, int size)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            real *t = texture + 3 * (y * size + x);
            real dark = (8 * x / size + 8 * y / size) % 2 ? (real)0.5 : 1;
            t[0] = dark * (real)x / (real)size;
            t[1] = dark * (real)0.4;
            t[2] = dark * (real)(size - y) / (real)size;
        }
}

/* The texture of the subject in linear light: the head's own with a red patch on its left. */
static void paint_subject(subject which, real *texture)
{
    if (which == SPHERE) {
        paint(texture, SIZE);
        return;
    }
    static real full[3 * 256 * 256];
    size_t height = model->texture_height, width = model->texture_width;
    image_from_u8(model->mean_texture, 3 * height * width, full);
    image_to_linear(full, 3 * height * width, full);
    image_resize(full, (int)height, (int)width, 3, SIZE, SIZE, IMAGE_AREA, texture);
    for (int y = SIZE / 2; y < SIZE * 5 / 8; y++)
        for (int x = SIZE * 9 / 16; x < SIZE * 11 / 16; x++)
            texture[3 * (y * SIZE + x)] = 1;
}

/* Three pictures of the painted subject, unlit. */
static bool unwrap(const test_mesh *m, const raster_uv_layout *layout, subject which, arena *a,
                   real *sums, real *weights)
{
    static real image[3 * VIEW * VIEW], texture[3 * TEXELS];
    const raster_texture map = { SIZE, SIZE, 3, 1, texture };
    bool good = true;
    paint_subject(which, texture);
    for (int i = 0; i < VIEWS; i++) {
        raster_view view = test_view(VIEW, RASTER_UNLIT);
        view.camera = (raster_camera){ .azimuth = (real)(-50 + 50 * i),
                                       .elevation = (real)(10 * i),
                                       .distance = 1,
                                       .fov_y = which == HEAD ? 20 : 30 };
        view.texture = &map;
        arena drawing = { 0 };
        good &= raster_draw(&m->mesh, m->normals, &view, &drawing, image) != NULL;
        arena_finish(&drawing);
        raster_picture picture = { view.camera, VIEW, VIEW, 3, image };
        good &= raster_unwrap_add(layout, &m->mesh, m->normals, &picture, a, sums, weights);
    }
    raster_unwrap_divide(layout, 3, weights, sums);
    return good;
}

static bool mirror(const test_mesh *m, const raster_uv_layout *layout, subject which, arena *a,
                   real *out)
{
    static real texture[3 * TEXELS], map[2 * TEXELS];
    uint32_t *partners = calloc(2 * m->mesh.face_count, sizeof *partners);
    size_t lonely = 1;
    mesh_adjacency adjacency = { 0 };
    bool good = partners &&
                mesh_adjacency_init(&adjacency, m->mesh.faces, m->mesh.face_count,
                                    m->mesh.vertex_count, NULL) == HDS_OK &&
                raster_uv_partners(&m->mesh, &adjacency, (real)1e-4, a, partners, &lonely) &&
                !lonely;
    paint_subject(which, texture);
    raster_uv_mirror(layout, &m->mesh, partners, map);
    raster_uv_look_up(&(raster_texture){ SIZE, SIZE, 3, 1, texture }, map, TEXELS, out);
    for (int i = 0; i < 3 * TEXELS; i++)
        out[i] = layout->faces[i / 3] ? out[i] : 0;
    image_to_srgb(out, 3 * TEXELS, out);
    mesh_adjacency_finish(&adjacency);
    free(partners);
    return good;
}

static bool unwrap_scene(const scene *s, const test_mesh *m, const raster_uv_layout *layout,
                         arena *a, real *out)
{
    static real weights[TEXELS];
    memset(out, 0, 3 * TEXELS * sizeof *out);
    memset(weights, 0, sizeof weights);
    bool good = unwrap(m, layout, s->subject, a, out, weights);
    image_to_srgb(out, 3 * TEXELS, out);
    for (int i = 0; s->what == WEIGHT && i < 3 * TEXELS; i++)
        out[i] = weights[i / 3] / VIEWS;
    return good;
}

/* Nothing is known of the texels that no face covers. */
static bool fill_scene(const scene *s, const raster_uv_layout *layout, real *out)
{
    static uint8_t covered[TEXELS];
    paint_subject(s->subject, out);
    for (int i = 0; i < TEXELS; i++) {
        covered[i] = layout->faces[i] != 0;
        for (int c = 0; c < 3 && !covered[i]; c++)
            out[3 * i + c] = c == 1;
    }
    bool good = image_fill_gutters(covered, SIZE, SIZE, 3, out);
    image_to_srgb(out, 3 * TEXELS, out);
    return good;
}

static void interpolate_scene(const scene *s, const test_mesh *m, const raster_uv_layout *layout,
                              real *out)
{
    bool normals = s->what == NORMALS;
    raster_uv_interpolate(layout, m->mesh.faces, normals ? m->normals : m->mesh.vertices, 3, out);
    for (int i = 0; i < 3 * TEXELS; i++)
        out[i] = layout->faces[i / 3] ? (real)0.5 + out[i] * (normals ? (real)0.5 : (real)2.5) : 0;
}

static bool draw(size_t i, golden_scene *scene_out, uint8_t *pixels)
{
    static real out[3 * TEXELS];
    const scene *s = &scenes[i];
    *scene_out = (golden_scene){ s->name, s->mean, s->share };
    test_mesh m = s->subject == SPHERE ? sphere() : sample_head();
    arena a = { 0 };
    raster_uv_layout layout;
    bool good = raster_uv_layout_init(&layout, &m.mesh, SIZE, SIZE, &a);
    if (good && s->what <= NORMALS)
        interpolate_scene(s, &m, &layout, out);
    else if (good && s->what == MIRRORED)
        good = mirror(&m, &layout, s->subject, &a, out);
    else if (good && s->what == FILLED)
        good = fill_scene(s, &layout, out);
    else if (good)
        good = unwrap_scene(s, &m, &layout, &a, out);
    if (good)
        golden_bytes(out, pixels);
    arena_finish(&a);
    test_mesh_finish(&m);
    return good;
}

int main(int count, char **words)
{
    hds_error error = { 0 };
    if (headfile_load_npz(&model, HEADSDS_SOURCE "/samples/head/head.npz", &error) != HDS_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    int failed = golden_main(count, words, "uv", sizeof scenes / sizeof *scenes, draw);
    hds_head_model_unref(model);
    return failed;
}

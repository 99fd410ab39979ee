/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels of the rasteriser and of skinning at each level of instructions. All work on what the
 * plain variants made, so that a difference is the kernel's own. */
#include "variants.h"

#include "../raster_meshes.h"
#include "head/head.h"
#include "raster/raster_priv.h"

/* Rounding, to which sums of some hundred terms and the slopes of planes add up; but what is seen
 * is decided with integers alone. */
static const double rounding = sizeof(real) == 8 ? 1e-12 : 1e-5;
static const double gradients = sizeof(real) == 8 ? 1e-11 : 1e-4;

/* ---- the rasteriser ---- */

typedef struct scene {
    test_mesh m;
    raster_view view;
    raster_texture texture;
    raster_state *state;
    arena scratch;
    uint32_t *parts;
    real *texels, *colours, *image, *dimage, *dscreen;
} scene;

static size_t pixels_of(const scene *s)
{
    return (size_t)s->view.width * (size_t)s->view.height;
}

static size_t numbers_of(const scene *s)
{
    return pixels_of(s) * (size_t)raster_channels(&s->view);
}

static void project(const void *context, real *out)
{
    const scene *s = context;
    const size_t count = s->m.mesh.vertex_count;
    int32_t *snapped = variants_zeros(2 * count, sizeof *snapped);
    raster_project(&s->state->lens, s->m.vertices, count, out, snapped);
    raster_project_adjoint(&s->state->lens, s->m.vertices, count, s->dscreen, out + 3 * count);
    for (size_t i = 0; i < 2 * count; i++) /* half a step from the place at most */
        out[6 * count + i] =
            fabs((real)snapped[i] - RASTER_SUBPIXELS * out[i / 2 * 3 + i % 2]) <= (real)0.5;
    free(snapped);
}

/* Which of two faces at equal depth is seen is up to rounding: in floats only where any is. */
static void look(const void *context, real *out)
{
    const scene *s = context;
    const size_t pixels = pixels_of(s);
    raster_state seen = *s->state;
    arena a = { 0 };
    if (!raster_visible(&seen, &s->m.mesh, &a))
        abort();
    for (size_t i = 0; i < pixels; i++) {
        uint32_t name = seen.visible[i];
        out[i] = !name ? 0 : sizeof(real) == 8 ? (real)(1 + seen.slots[name - 1].face) : 1;
        out[pixels + i] = seen.depth[i];
    }
    for (size_t f = 0; f < s->m.mesh.face_count; f++)
        out[2 * pixels + f] = seen.facing[f];
    arena_finish(&a);
}

static size_t seen_slots(const scene *s)
{
    size_t count = 0;
    for (uint32_t i = 0; i < s->state->first[s->state->band_count]; i++)
        count += s->state->seen[i];
    return count;
}

static void put_fours(const raster_four *from, size_t count, real *out)
{
    for (size_t i = 0; i < 3 * count; i++)
        out[i] = from[i / 3][i % 3];
}

/* Of each slot 9 numbers of its barycentrics, 18 of its surface, 18 of the gradient of that. */
static void set_faces(const void *context, real *out)
{
    const scene *s = context;
    const raster_state *state = s->state;
    const size_t count = seen_slots(s);
    const bool textured = s->view.texture != NULL, groups[2] = { true, true };
    real *planes = out, *attributes = planes + 9 * count, *places = attributes + 18 * count;
    real *normals = places + 9 * count;
    rng r = rng_make(15, 0);
    for (uint32_t i = 0; i < state->first[state->band_count]; i++) {
        if (!state->seen[i])
            continue;
        raster_slot slot = state->slots[i];
        raster_surface surface;
        raster_slot_gradient gradient;
        for (int k = 0; k < 18; k++)
            gradient.moments[k / 9][k / 3 % 3][k % 3] = (real)rng_normal(&r);
        for (int k = 0; k < 6; k++)
            gradient.moments[k / 3][k % 3][3] = 0;
        raster_surface_set(state, &s->m.mesh, s->m.normals, textured, groups, &slot, &surface);
        raster_surface_adjoint(state, &s->m.mesh, s->m.normals, textured, groups, &slot, &gradient);
        memset(slot.plane, 0, sizeof slot.plane);
        raster_set_planes(state, &s->m.mesh, &slot);
        put_fours(slot.plane, 3, planes);
        put_fours(surface.plane[0], 6, attributes);
        put_fours(gradient.corner.places, 3, places);
        put_fours(gradient.corner.normals, 3, normals);
        planes += 9;
        attributes += 18;
        places += 9;
        normals += 9;
    }
}

static void shade_band(void *context, size_t band)
{
    raster_shade_band(context, band);
}

static void shade(const void *context, real *out)
{
    const scene *s = context;
    raster_state state = *s->state;
    arena a = { 0 };
    raster_shading *shading =
        raster_shade_begin(&state, &s->m.mesh, s->m.normals, &s->view, &a, out);
    if (!shading)
        abort();
    threads_parallel((size_t)state.band_count, shade_band, shading);
    raster_shade_end(shading, &state);
    arena_finish(&a);
}

static void draw_adjoint(const void *context, real *out)
{
    const scene *s = context;
    const size_t places = 3 * s->m.mesh.vertex_count;
    arena a = { 0 };
    if (!raster_draw_adjoint(&s->m.mesh, s->m.normals, &s->view, &a, s->state, s->dimage, out,
                             out + places, s->view.texture ? out + 2 * places + 9 : NULL,
                             out + 2 * places))
        abort();
    arena_finish(&a);
}

static void check_scene(const char *where, const scene *s)
{
    const size_t vertices = s->m.mesh.vertex_count, pixels = pixels_of(s), slots = seen_slots(s);
    const size_t texels = s->view.texture ? raster_texture_size(&s->texture) : 0;
    const variants_part projected[VARIANTS_PARTS] = {
        { "places on screen", 3 * vertices, rounding },
        { "back to the vertices", 3 * vertices, rounding },
        { "snapped to the nearest", 2 * vertices, 0 },
    };
    const variants_part seen[VARIANTS_PARTS] = {
        { "what is seen", pixels, 0 },
        { "depth", pixels, rounding },
        { "orientation", s->m.mesh.face_count, 0 },
    };
    const variants_part faces[VARIANTS_PARTS] = {
        { "barycentrics", 9 * slots, rounding },
        { "surfaces", 18 * slots, rounding },
        { "back to corners", 9 * slots, rounding },
        { "back to their normals", 9 * slots, rounding },
    };
    const variants_part picture[VARIANTS_PARTS] = { { "picture", numbers_of(s), rounding } };
    const variants_part back[VARIANTS_PARTS] = {
        { "back from the picture", 3 * vertices, gradients },
        { "to normals", 3 * vertices, gradients },
        { "to the light", 9, gradients },
        { "to texels", texels, gradients },
    };
    variants_check(where, project, s, projected);
    variants_check(where, look, s, seen);
    variants_check(where, set_faces, s, faces);
    variants_check(where, shade, s, picture);
    variants_check(where, draw_adjoint, s, back);
}

static void check_view(test_mesh m, const char *what, int mode, bool textured, raster_light light)
{
    static const char *const names[] = { "shaded", "unlit",           "parts", "normals",
                                         "camera", "control normals", "depth" };
    char where[80];
    scene s = { .m = m, .view = test_view(64, (raster_mode)mode) };
    snprintf(where, sizeof where, "%s, %s%s, light %d", what, names[mode],
             textured ? " with texture" : "", (int)light);
    s.view.width = 203;
    s.view.height = 150;
    s.view.light_kind = light;
    raster_light_preset(1, light, s.view.light);
    s.texture = (raster_texture){ 33, 21, 3, 3, NULL };
    const size_t texels = raster_texture_size(&s.texture);
    s.texture.texels = s.texels = variants_random(1, texels, 0.1);
    for (size_t i = 0; i < texels; i++)
        s.texels[i] = (real)0.3 + (real)fabs(s.texels[i]);
    s.view.texture = textured ? &s.texture : NULL;
    s.parts = variants_zeros(m.mesh.face_count, sizeof *s.parts);
    for (size_t f = 0; f < m.mesh.face_count; f++)
        s.parts[f] = (uint32_t)(f / 7 % 3);
    s.view.face_parts = s.parts;
    s.view.part_colours = s.colours = variants_random(2, 9, 1);
    s.image = variants_zeros(numbers_of(&s), sizeof(real));
    s.dimage = variants_random(3, numbers_of(&s), 1);
    s.dscreen = variants_random(4, 3 * m.mesh.vertex_count, 1);
    s.state = raster_draw(&s.m.mesh, s.m.normals, &s.view, &s.scratch, s.image);
    if (!s.state)
        abort();
    check_scene(where, &s);
    real *arrays[] = { s.texels, s.colours, s.image, s.dimage, s.dscreen };
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
    free(s.parts);
    arena_finish(&s.scratch);
}

static void check_raster(void)
{
    rng r = rng_make(16, 0);
    test_mesh meshes[2] = { test_sphere(20, 2, (real)0.2, (real)0.1), test_soup(&r, 60, 90, 0.2) };
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 7 * 4; k++)
            check_view(meshes[i], i ? "random faces" : "a sphere", k / 4, k % 2, k / 2 % 2);
        test_mesh_finish(&meshes[i]);
    }
}

/* ---- skinning ---- */

enum { V = 1300, S = 13, E = 6, J = 5, K = 3, HEADS = 9, P = 9 * (J - 1), ROW = 3 * V };

typedef struct heads {
    head_model model;
    real *shape, *expression, *pose, *dvertices;
} heads;

static void skin(const void *context, real *out)
{
    const heads *h = context;
    real *back = out + HEADS * ROW;
    arena a = { 0 };
    head_pose saved;
    if (!head_skin(&h->model, HEADS, h->shape, h->expression, h->pose, &a, &saved, out) ||
        !head_skin_adjoint(&h->model, HEADS, h->shape, h->expression, h->pose, &a, &saved,
                           h->dvertices, back, back + HEADS * S, back + HEADS * (S + E)))
        abort();
    arena_finish(&a);
}

static void check_skin(void)
{
    static const int32_t parents[J] = { -1, 0, 1, 1, 3 };
    static uint32_t joints[V * K];
    heads h = { .shape = variants_random(20, HEADS * S, 1),
                .expression = variants_random(21, HEADS * E, 1),
                .pose = variants_random(22, HEADS * 3 * J, 0.3),
                .dvertices = variants_random(23, HEADS * ROW, 1) };
    real *arrays[] = { variants_random(24, ROW, 1),
                       variants_random(25, S * ROW, 0.1),
                       variants_random(26, E * ROW, 0.1),
                       variants_random(27, P * ROW, 0.1),
                       variants_random(28, 3 * J, 1),
                       variants_random(29, S * 3 * J, 0.1),
                       variants_random(30, E * 3 * J, 0.1),
                       variants_random(31, V * K, 0),
                       h.shape,
                       h.expression,
                       h.pose,
                       h.dvertices };
    rng r = rng_make(17, 0);
    for (size_t i = 0; i < V * K; i++) {
        joints[i] = rng_below(&r, J);
        arrays[7][i] = (real)1 / K;
    }
    h.model = (head_model){ .vertex_count = V,
                            .shape_count = S,
                            .expression_count = E,
                            .joint_count = J,
                            .skin_count = K,
                            .vertices = arrays[0],
                            .shape_basis = arrays[1],
                            .expression_basis = arrays[2],
                            .pose_basis = arrays[3],
                            .joints = arrays[4],
                            .joint_shape_basis = arrays[5],
                            .joint_expression_basis = arrays[6],
                            .skin_weights = arrays[7],
                            .skin_joints = joints,
                            .joint_parents = (int32_t *)parents };
    const variants_part parts[VARIANTS_PARTS] = {
        { "vertices of heads", HEADS * ROW, rounding },
        { "back to the shapes", HEADS * S, rounding },
        { "back to expressions", HEADS * E, rounding },
        { "back to poses", HEADS * 3 * J, rounding },
    };
    variants_check("nine heads", skin, &h, parts);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        free(arrays[i]);
}

int main(int count, char **arguments)
{
    int status = variants_begin(count, arguments);
    if (status)
        return status;
    check_raster();
    check_skin();
    return variants_end();
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Colours of pixels from what is interpolated over their faces (surface.c), and the adjoint.
 *
 *   n = (A_0, A_1, A_2),  u = n / |n|,  uv = (A_3, A_4) / A_5
 *   shaded:  sRGB(albedo(uv) * E(u) / pi),   unlit: albedo(uv),   parts: the colour of the part
 *   normals: M u / 2 + 1/2,  M = 1, the camera's rotation, or that with x mirrored
 *   depth:   1/2 + 1/2 (A_5 - least of the picture) / (most - least)
 *
 * Plain loops over the columns of a segment; plain.c has the same one pixel at a time. */
#include "raster_priv.h"

#include <tgmath.h>

/* ---- what a mode needs ---- */

static bool is_normals(raster_mode mode)
{
    return mode == RASTER_NORMALS || mode == RASTER_CAMERA_NORMALS ||
           mode == RASTER_CONTROL_NORMALS;
}

static void set_attributes(raster_shader *s)
{
    raster_mode mode = s->view->mode;
    bool lit = mode == RASTER_SHADED;
    s->texture = lit || mode == RASTER_UNLIT ? s->view->texture : NULL;
    s->groups[RASTER_G_NORMAL] = lit || is_normals(mode);
    s->groups[RASTER_G_UVW] = s->texture || mode == RASTER_DEPTH;
}

static void set_frame(raster_shader *s)
{
    real r[9];
    raster_camera_rotation(&s->view->camera, r);
    for (int i = 0; i < 9; i++)
        s->frame[i] = s->view->mode == RASTER_NORMALS                    ? (real)(i % 4 == 0)
                      : s->view->mode == RASTER_CONTROL_NORMALS && i < 3 ? -r[i]
                                                                         : r[i];
}

void raster_shader_init(raster_shader *shader, const raster_state *state, const raster_view *view)
{
    const real *albedo = view->albedo;
    *shader = (raster_shader){ .state = state, .view = view };
    set_attributes(shader);
    set_frame(shader);
    bool grey = view->mode == RASTER_DEPTH || (view->mode == RASTER_SHADED && !shader->texture &&
                                               albedo[0] == albedo[1] && albedo[0] == albedo[2]);
    shader->channels = state->channels;
    shader->planes = grey ? 1 : state->channels;
    memcpy(shader->light, view->light, sizeof shader->light);
    if (view->light_kind == RASTER_HARMONICS)
        raster_light_polynomial(view->light, shader->light);
}

void raster_shader_set_range(raster_shader *shader)
{
    shader->least = shader->state->depth[shader->state->farthest];
    shader->most = shader->state->depth[shader->state->nearest];
}

/* ---- normals ---- */

/* n becomes u; keeps 1 / length. */
INLINE void normalise(raster_columns *c)
{
    for (int i = c->begin; i < c->end; i++) {
        real x = c->a[0][i], y = c->a[1][i], z = c->a[2][i], square = x * x + y * y + z * z;
        real length = sqrt(square > (real)1e-24 ? square : (real)1e-24), inverse = 1 / length;
        c->inverse_length[i] = inverse;
        c->a[0][i] = x * inverse;
        c->a[1][i] = y * inverse;
        c->a[2][i] = z * inverse;
    }
}

/* Gradients of u become those of n. */
INLINE void normalise_adjoint(raster_columns *c)
{
    for (int i = c->begin; i < c->end; i++) {
        real x = c->a[0][i], y = c->a[1][i], z = c->a[2][i], inverse = c->inverse_length[i];
        real along = c->da[0][i] * x + c->da[1][i] * y + c->da[2][i] * z;
        c->da[0][i] = (c->da[0][i] - along * x) * inverse;
        c->da[1][i] = (c->da[1][i] - along * y) * inverse;
        c->da[2][i] = (c->da[2][i] - along * z) * inverse;
    }
}

INLINE void colour_normals(const raster_shader *s, raster_columns *c)
{
    for (int k = 0; k < 3; k++) {
        const real *m = s->frame + 3 * k;
        for (int i = c->begin; i < c->end; i++)
            c->out[k][i] =
                (real)0.5 + (real)0.5 * (m[0] * c->a[0][i] + m[1] * c->a[1][i] + m[2] * c->a[2][i]);
    }
}

INLINE void colour_normals_adjoint(const raster_shader *s, raster_columns *c)
{
    const real *m = s->frame;
    for (int k = 0; k < 3; k++)
        for (int i = c->begin; i < c->end; i++)
            c->da[k][i] = (real)0.5 *
                          (m[k] * c->out[0][i] + m[3 + k] * c->out[1][i] + m[6 + k] * c->out[2][i]);
}

/* ---- texture ---- */

/* How fast uv runs along x (axis 0) and y in column i: (dA - uv dW) / W */
INLINE void uv_slopes(const raster_columns *c, int i, const raster_surface *surface,
                      real slopes[2][2])
{
    const raster_four *plane = surface->plane[RASTER_G_UVW];
    real w = c->a[RASTER_A_W][i];
    for (int axis = 0; axis < 2; axis++)
        for (int k = 0; k < 2; k++)
            slopes[axis][k] = (plane[1 + axis][RASTER_L_U + k] -
                               c->lookup[i].uv[k] * plane[1 + axis][RASTER_L_W]) /
                              w;
}

static void look_up(const raster_shader *s, raster_columns *c)
{
    for (const raster_run *r = c->runs; r < c->runs + c->run_count; r++) {
        const raster_surface *surface = &s->state->surfaces[r->slot];
        for (int i = r->begin; i < r->end; i++) {
            raster_lookup *l = &c->lookup[i];
            real w = c->a[RASTER_A_W][i], slopes[2][2], unused[2][2];
            l->uv[0] = c->a[RASTER_A_U][i] / w;
            l->uv[1] = c->a[RASTER_A_V][i] / w;
            l->level = 0;
            if (s->texture->levels > 1) {
                uv_slopes(c, i, surface, slopes);
                l->level = raster_level(s->texture, slopes[0], slopes[1], unused);
            }
            raster_look_up(s->texture, l);
            for (int k = 0; k < s->texture->channels; k++)
                c->albedo[k][i] = l->colour[k];
        }
    }
}

/* out: the gradient of the texture's colour -> da of u/w, v/w and 1/w; the slopes of uv, which
 * choose the level, go to the moments at once. */
static void look_up_adjoint(const raster_shader *s, raster_columns *c,
                            raster_slot_gradient *gradients)
{
    for (const raster_run *r = c->runs; r < c->runs + c->run_count; r++) {
        const raster_surface *surface = &s->state->surfaces[r->slot];
        const raster_four *plane = surface->plane[RASTER_G_UVW];
        raster_four *moments = gradients[r->slot].moments[RASTER_G_UVW];
        for (int i = r->begin; i < r->end; i++) {
            const raster_lookup *l = &c->lookup[i];
            real w = c->a[RASTER_A_W][i], duv[2] = { 0 }, dlevel = 0, dw = 0;
            for (int k = 0; k < s->texture->channels; k++) {
                duv[0] += c->out[k][i] * l->by_u[k];
                duv[1] += c->out[k][i] * l->by_v[k];
                dlevel += c->out[k][i] * l->by_level[k];
            }
            if (s->texture->levels > 1) {
                real slopes[2][2], by[2][2];
                uv_slopes(c, i, surface, slopes);
                raster_level(s->texture, slopes[0], slopes[1], by);
                for (int m = 0; m < 4; m++) {
                    int axis = m / 2, k = m % 2;
                    real dslope = dlevel * by[axis][k] / w;
                    moments[1 + axis][RASTER_L_U + k] += dslope;
                    moments[1 + axis][RASTER_L_W] -= dslope * l->uv[k];
                    duv[k] -= dslope * plane[1 + axis][RASTER_L_W];
                    dw -= dslope * slopes[axis][k];
                }
            }
            c->da[RASTER_A_U][i] = duv[0] / w;
            c->da[RASTER_A_V][i] = duv[1] / w;
            dw -= (duv[0] * l->uv[0] + duv[1] * l->uv[1]) / w;
            c->da[RASTER_A_W][i] = dw * c->inside[i];
            if (!c->texels)
                continue;
            *c->texels = (raster_texel){ .uv = { l->uv[0], l->uv[1] }, .level = l->level };
            for (int k = 0; k < s->texture->channels; k++)
                c->texels->dcolour[k] = c->out[k][i];
            c->texels++;
        }
    }
}

/* ---- the sRGB curve ----
 *
 * s = 12.92 x below 0.0031308, else 1.055 x^(1/2.4) - 0.055; not limited above. */

static const real knee = (real)0.0031308;

#ifdef HDS_REAL_DOUBLE

INLINE real srgb_power(real x)
{
    return pow(x, 1 / 2.4);
}

#else

/* x^(1/2.4) for x >= knee to about 3e-7: 2^(log2(x) / 2.4), where x = 2^k m with m in
 * [sqrt 1/2, sqrt 2), log2 m from the series in (m - 1) / (m + 1). */
INLINE real srgb_power(real x)
{
    int32_t bits, shift = 0x3f3504f3; /* sqrt 1/2 */
    memcpy(&bits, &x, sizeof bits);
    int32_t exponent = (bits - shift) >> 23;
    bits -= exponent * (1 << 23);
    float m, r;
    memcpy(&m, &bits, sizeof m);
    float s = (m - 1) / (m + 1), t = s * s;
    float log2m =
        s * ((2.885390082f + t * 0.961796694f) + t * t * (0.577078016f + t * 0.412198583f));
    float y = ((float)exponent + log2m) * (1 / 2.4f);
    int32_t whole = (int32_t)(y + 64.5f) - 64;
    float f = (y - (float)whole) * 0.693147181f, ff = f * f;
    float e =
        (1 + f) + ff * ((0.5f + f * (1.f / 6)) + ff * (1.f / 24 + f * (1.f / 120) + ff / 720));
    int32_t scale = (whole + 127) << 23;
    memcpy(&r, &scale, sizeof r);
    return e * r;
}

#endif

INLINE real srgb_from_linear(real x)
{
    real power = srgb_power(x > knee ? x : knee);
    return x > knee ? (real)1.055 * power - (real)0.055 : (real)12.92 * x;
}

/* d sRGB / d linear */
INLINE real srgb_slope(real x)
{
    real above = x > knee ? x : knee;
    real slope = (real)(1.055 / 2.4) * srgb_power(above) / above;
    return x > knee ? slope : (real)12.92;
}

/* ---- light ---- */

INLINE real irradiance_at(const real *l, raster_light kind, real x, real y, real z)
{
    if (kind == RASTER_RIG) {
        real key = l[1] * x + l[2] * y + l[3] * z, fill = l[4] * x + l[5] * y + l[6] * z;
        return l[0] + (key > 0 ? key : 0) + (fill > 0 ? fill : 0);
    }
    real e = l[0] + x * (l[1] + l[8] * x + l[4] * y + l[6] * z) + y * (l[2] - l[8] * y + l[5] * z) +
             z * (l[3] + l[7] * z);
    return e > 0 ? e : 0;
}

/* The loops are short so that their turns overlap. */

INLINE void set_irradiance(const raster_shader *s, const raster_columns *c, raster_light kind,
                           real *e)
{
    real l[9];
    memcpy(l, s->light, sizeof l);
    for (int i = c->begin; i < c->end; i++)
        e[i] = irradiance_at(l, kind, c->a[0][i], c->a[1][i], c->a[2][i]);
}

/* -> out */
INLINE void light(const raster_shader *s, raster_columns *c, raster_light kind, bool textured,
                  int planes)
{
    real e[RASTER_COLUMNS];
    set_irradiance(s, c, kind, e);
    for (int k = 0; k < planes; k++) {
        const real albedo = s->view->albedo[k];
        for (int i = c->begin; i < c->end; i++)
            c->out[k][i] = srgb_from_linear((textured ? c->albedo[k][i] : albedo) * e[i]);
    }
}

/* Of a texture, out, the gradient of the colour, becomes that of the albedo. -> de of the
 * irradiance */
INLINE void light_adjoint(const raster_shader *s, raster_columns *c, raster_light kind,
                          bool textured, int planes, real *de)
{
    real l[9], e[RASTER_COLUMNS];
    memcpy(l, s->light, sizeof l);
    set_irradiance(s, c, kind, e);
    for (int k = 0; k < planes; k++) {
        const real constant = s->view->albedo[k];
        for (int i = c->begin; i < c->end; i++) {
            const real albedo = textured ? c->albedo[k][i] : constant;
            const real dlinear = c->out[k][i] * srgb_slope(albedo * e[i]);
            de[i] = (k ? de[i] : 0) + dlinear * albedo;
            if (textured)
                c->out[k][i] = dlinear * e[i];
        }
    }
    for (int i = c->begin; i < c->end; i++) {
        real x = c->a[0][i], y = c->a[1][i], z = c->a[2][i];
        if (kind == RASTER_RIG) {
            real key = l[1] * x + l[2] * y + l[3] * z > 0 ? de[i] : 0;
            real fill = l[4] * x + l[5] * y + l[6] * z > 0 ? de[i] : 0;
            for (int k = 0; k < 3; k++)
                c->da[k][i] = key * l[1 + k] + fill * l[4 + k];
        } else {
            de[i] = e[i] > 0 ? de[i] : 0;
            c->da[0][i] = de[i] * (l[1] + l[4] * y + l[6] * z + 2 * l[8] * x);
            c->da[1][i] = de[i] * (l[2] + l[4] * x + l[5] * z - 2 * l[8] * y);
            c->da[2][i] = de[i] * (l[3] + l[5] * y + l[6] * x + 2 * l[7] * z);
        }
    }
}

/* += dlight from dE */
static void sum_light(const raster_shader *s, const raster_columns *c, const real *de,
                      real dlight[9])
{
    const raster_light kind = s->view->light_kind;
    const real *l = s->light;
    for (const raster_run *r = c->runs; r < c->runs + c->run_count; r++)
        for (int i = r->begin; i < r->end; i++) {
            const real x = c->a[0][i], y = c->a[1][i], z = c->a[2][i], n[3] = { x, y, z };
            const real monomials[9] = { 1, x, y, z, x * y, y * z, x * z, z * z, x * x - y * y };
            real lit[2] = { l[1] * x + l[2] * y + l[3] * z, l[4] * x + l[5] * y + l[6] * z };
            for (int k = 0; k < 9 && kind == RASTER_HARMONICS; k++)
                dlight[k] += de[i] * monomials[k];
            for (int k = 0; k < 6 && kind == RASTER_RIG; k++)
                dlight[1 + k] += lit[k / 3] > 0 ? de[i] * n[k % 3] : 0;
            dlight[0] += kind == RASTER_RIG ? de[i] : 0;
        }
}

INLINE void colour_shaded(const raster_shader *s, raster_columns *c)
{
    if (s->view->light_kind == RASTER_RIG)
        light(s, c, RASTER_RIG, s->texture, s->planes);
    else if (s->planes == 1)
        light(s, c, RASTER_HARMONICS, false, 1);
    else if (s->texture)
        light(s, c, RASTER_HARMONICS, true, 3);
    else
        light(s, c, RASTER_HARMONICS, false, 3);
}

INLINE void colour_shaded_adjoint(const raster_shader *s, raster_columns *c, real dlight[9])
{
    real de[RASTER_COLUMNS];
    if (s->view->light_kind == RASTER_RIG)
        light_adjoint(s, c, RASTER_RIG, s->texture, s->planes, de);
    else if (s->planes == 1)
        light_adjoint(s, c, RASTER_HARMONICS, false, 1, de);
    else if (s->texture)
        light_adjoint(s, c, RASTER_HARMONICS, true, 3, de);
    else
        light_adjoint(s, c, RASTER_HARMONICS, false, 3, de);
    if (dlight)
        sum_light(s, c, de, dlight);
}

/* ---- unlit, parts and depth ---- */

static void colour_unlit(const raster_shader *s, raster_columns *c)
{
    for (int k = 0; k < s->planes; k++)
        for (int i = c->begin; i < c->end; i++)
            c->out[k][i] = s->texture ? c->albedo[k][i] : s->view->albedo[k];
}

static void colour_parts(const raster_shader *s, raster_columns *c)
{
    for (const raster_run *r = c->runs; r < c->runs + c->run_count; r++) {
        uint32_t part = s->view->face_parts[s->state->slots[r->slot].face];
        for (int k = 0; k < 3; k++)
            for (int i = r->begin; i < r->end; i++)
                c->out[k][i] = s->view->part_colours[3 * (size_t)part + (size_t)k];
    }
}

/* Of out = 1/2 + 1/2 (w - least) / (most - least), which shade.c draws when the range is known. */
static void colour_depth_adjoint(const raster_shader *s, raster_columns *c, real drange[2])
{
    real range = s->most - s->least;
    for (const raster_run *r = c->runs; r < c->runs + c->run_count; r++)
        for (int i = r->begin; i < r->end; i++) {
            real w = c->a[RASTER_A_W][i], scale = range > 0 ? c->out[0][i] / (2 * range) : 0;
            c->da[RASTER_A_W][i] = scale * c->inside[i];
            if (range > 0) {
                drange[0] += scale * (w - s->most) / range;
                drange[1] -= scale * (w - s->least) / range;
            }
        }
}

/* ---- all modes ---- */

INLINE void prepare(const raster_shader *s, raster_columns *c)
{
    if (s->groups[RASTER_G_NORMAL])
        normalise(c);
    if (s->texture)
        look_up(s, c);
}

SIMD_VARIANTS(void, raster_colour, (const raster_shader *shader, raster_columns *c), (shader, c))
{
    prepare(shader, c);
    if (shader->view->mode == RASTER_SHADED)
        colour_shaded(shader, c);
    else if (shader->view->mode == RASTER_UNLIT)
        colour_unlit(shader, c);
    else if (shader->view->mode == RASTER_PARTS)
        colour_parts(shader, c);
    else
        colour_normals(shader, c);
}

SIMD_VARIANTS(void, raster_colour_adjoint,
              (const raster_shader *shader, raster_columns *c, raster_slot_gradient *gradients,
               real dlight[9], real drange[2]),
              (shader, c, gradients, dlight, drange))
{
    prepare(shader, c);
    if (shader->view->mode == RASTER_SHADED)
        colour_shaded_adjoint(shader, c, dlight);
    else if (shader->view->mode == RASTER_DEPTH)
        colour_depth_adjoint(shader, c, drange);
    else if (is_normals(shader->view->mode))
        colour_normals_adjoint(shader, c);
    if (shader->groups[RASTER_G_NORMAL])
        normalise_adjoint(c);
    if (shader->texture)
        look_up_adjoint(shader, c, gradients);
}

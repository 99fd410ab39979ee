/* SPDX-License-Identifier: Apache-2.0 */
/* The colour of each covered pixel from its face's surface, and the adjoint.
 *
 *   n = (A_0, A_1, A_2),  u = n / |n|,  uv = (A_3, A_4) / A_5           (attributes: surface.c)
 *   shaded:  sRGB(albedo(uv) * E(u) / pi),   unlit: albedo(uv),   parts: the colour of the part
 *   normals: M u / 2 + 1/2,  M = 1, the camera's rotation, or that with x mirrored
 *   depth:   1/2 + 1/2 (A_5 - least of the picture) / (most - least)
 *
 * Here it goes in blocks of columns (block.h); plain.c has the same one pixel at a time. */
#include "raster/block.h"

#include "raster/srgb.h"

/* ---- what a mode needs ---- */

static bool is_normals(raster_mode mode)
{
    return mode == RASTER_NORMALS || mode == RASTER_CAMERA_NORMALS ||
           mode == RASTER_CONTROL_NORMALS;
}

static void set_attributes(job *j)
{
    raster_mode mode = j->view->mode;
    bool lit = mode == RASTER_SHADED;
    j->texture = lit || mode == RASTER_UNLIT ? j->view->texture : NULL;
    j->from = lit || is_normals(mode) ? RASTER_A_NORMAL : j->texture ? RASTER_A_U : RASTER_A_W;
    j->to = j->texture || mode == RASTER_DEPTH ? RASTER_ATTRIBUTES
            : j->from == RASTER_A_NORMAL       ? RASTER_A_U
                                               : j->from;
}

static void set_frame(job *j)
{
    real r[9];
    raster_camera_rotation(&j->view->camera, r);
    for (int i = 0; i < 9; i++)
        j->frame[i] = j->view->mode == RASTER_NORMALS                    ? (real)(i % 4 == 0)
                      : j->view->mode == RASTER_CONTROL_NORMALS && i < 3 ? -r[i]
                                                                         : r[i];
}

static job make_job(const raster_state *state, const raster_mesh *mesh, const real *normals,
                    const raster_view *view)
{
    job j = { .state = state, .mesh = mesh, .normals = normals, .view = view };
    j.channels = state->channels;
    set_attributes(&j);
    set_frame(&j);
    memcpy(j.light, view->light, sizeof j.light);
    if (view->light_kind == RASTER_HARMONICS)
        raster_light_polynomial(view->light, j.light);
    if (view->mode == RASTER_DEPTH) {
        j.least = state->depth[state->farthest];
        j.most = state->depth[state->nearest];
    }
    return j;
}

INLINE bool is_grey(const job *j)
{
    const real *a = j->view->albedo;
    return !j->texture && a[0] == a[1] && a[0] == a[2];
}

/* ---- texture ---- */

/* How fast uv runs along x (axis 0) and y at pixel i: (dA - uv dW) / W */
INLINE void uv_slopes(const block *b, int i, const raster_surface *surface, real slopes[2][2])
{
    real w = b->a[RASTER_A_W][i];
    for (int axis = 0; axis < 2; axis++)
        for (int c = 0; c < 2; c++)
            slopes[axis][c] = (surface->plane[RASTER_A_U + c][axis] -
                               b->lookup[i].uv[c] * surface->plane[RASTER_A_W][axis]) /
                              w;
}

static void look_up(const job *j, block *b)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const raster_surface *surface = &j->state->surfaces[r->slot];
        for (int i = r->begin; i < r->end; i++) {
            raster_lookup *l = &b->lookup[i];
            real w = b->a[RASTER_A_W][i], slopes[2][2], unused[2][2];
            l->uv[0] = b->a[RASTER_A_U][i] / w;
            l->uv[1] = b->a[RASTER_A_V][i] / w;
            l->level = 0;
            if (j->texture->levels > 1) {
                uv_slopes(b, i, surface, slopes);
                l->level = raster_level(j->texture, slopes[0], slopes[1], unused);
            }
            raster_look_up(j->texture, l);
            for (int c = 0; c < j->texture->channels; c++)
                b->albedo[c][i] = l->colour[c];
        }
    }
}

/* out: the gradient of the texture's colour -> da of u/w, v/w and 1/w; the slopes of uv, which
 * choose the level, go to the moments at once. */
static void look_up_adjoint(const job *j, block *b)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        const raster_surface *surface = &j->state->surfaces[r->slot];
        real(*moments)[3] = j->gradients[r->slot].moments;
        for (int i = r->begin; i < r->end; i++) {
            const raster_lookup *l = &b->lookup[i];
            real w = b->a[RASTER_A_W][i], duv[2] = { 0 }, dlevel = 0, dw = 0;
            for (int c = 0; c < j->texture->channels; c++) {
                duv[0] += b->out[c][i] * l->by_u[c];
                duv[1] += b->out[c][i] * l->by_v[c];
                dlevel += b->out[c][i] * l->by_level[c];
            }
            if (j->texture->levels > 1) {
                real slopes[2][2], by[2][2];
                uv_slopes(b, i, surface, slopes);
                raster_level(j->texture, slopes[0], slopes[1], by);
                for (int m = 0; m < 4; m++) {
                    int axis = m / 2, c = m % 2;
                    real dslope = dlevel * by[axis][c] / w;
                    moments[RASTER_A_U + c][axis] += dslope;
                    moments[RASTER_A_W][axis] -= dslope * l->uv[c];
                    duv[c] -= dslope * surface->plane[RASTER_A_W][axis];
                    dw -= dslope * slopes[axis][c];
                }
            }
            b->da[RASTER_A_U][i] = duv[0] / w;
            b->da[RASTER_A_V][i] = duv[1] / w;
            dw -= (duv[0] * l->uv[0] + duv[1] * l->uv[1]) / w;
            b->da[RASTER_A_W][i] = dw * b->inside[i];
            if (!j->texels)
                continue;
            raster_texel *texel = &j->texels[b->first + (size_t)i];
            *texel = (raster_texel){ .uv = { l->uv[0], l->uv[1] }, .level = l->level };
            for (int c = 0; c < j->texture->channels; c++)
                texel->dcolour[c] = b->out[c][i];
        }
    }
}

/* ---- light ---- */

INLINE real irradiance_at(const real *l, raster_light kind, real x, real y, real z)
{
    if (kind == RASTER_RIG) {
        real key = l[1] * x + l[2] * y + l[3] * z, fill = l[4] * x + l[5] * y + l[6] * z;
        return l[0] + (key > 0 ? key : 0) + (fill > 0 ? fill : 0);
    }
    real e = l[0] + l[1] * x + l[2] * y + l[3] * z + l[4] * x * y + l[5] * y * z + l[6] * x * z +
             l[7] * z * z + l[8] * (x * x - y * y);
    return e > 0 ? e : 0;
}

/* albedo -> out, in `planes` channels of their own */
INLINE void light(const job *j, block *b, raster_light kind, int planes)
{
    real l[9];
    memcpy(l, j->light, sizeof l);
    for (int i = 0; i < b->count; i++) {
        real e = irradiance_at(l, kind, b->a[0][i], b->a[1][i], b->a[2][i]);
        for (int c = 0; c < planes; c++)
            b->out[c][i] = srgb_from_linear(b->albedo[c][i] * e);
    }
}

/* out, the gradient of the colour, becomes that of the albedo. -> de of the irradiance */
INLINE void light_adjoint(const job *j, block *b, raster_light kind, int planes, real *de)
{
    real l[9];
    memcpy(l, j->light, sizeof l);
    for (int i = 0; i < b->count; i++) {
        real x = b->a[0][i], y = b->a[1][i], z = b->a[2][i], sum = 0;
        real e = irradiance_at(l, kind, x, y, z);
        for (int c = 0; c < planes; c++) {
            real dlinear = b->out[c][i] * srgb_slope(b->albedo[c][i] * e);
            sum += dlinear * b->albedo[c][i];
            b->out[c][i] = dlinear * e;
        }
        if (kind == RASTER_RIG) {
            real key = l[1] * x + l[2] * y + l[3] * z > 0 ? sum : 0;
            real fill = l[4] * x + l[5] * y + l[6] * z > 0 ? sum : 0;
            for (int c = 0; c < 3; c++)
                b->da[c][i] = key * l[1 + c] + fill * l[4 + c];
        } else {
            sum = e > 0 ? sum : 0;
            b->da[0][i] = sum * (l[1] + l[4] * y + l[6] * z + 2 * l[8] * x);
            b->da[1][i] = sum * (l[2] + l[4] * x + l[5] * z - 2 * l[8] * y);
            b->da[2][i] = sum * (l[3] + l[5] * y + l[6] * x + 2 * l[7] * z);
        }
        de[i] = sum;
    }
}

/* += dlight from dE */
static void sum_light(const block *b, raster_light kind, const real *l, const real *de,
                      real dlight[9])
{
    for (int i = 0; i < b->count; i++) {
        const real x = b->a[0][i], y = b->a[1][i], z = b->a[2][i], n[3] = { x, y, z };
        const real monomials[9] = { 1, x, y, z, x * y, y * z, x * z, z * z, x * x - y * y };
        real lit[2] = { l[1] * x + l[2] * y + l[3] * z, l[4] * x + l[5] * y + l[6] * z };
        for (int k = 0; k < 9 && kind == RASTER_HARMONICS; k++)
            dlight[k] += de[i] * monomials[k];
        for (int k = 0; k < 6 && kind == RASTER_RIG; k++)
            dlight[1 + k] += lit[k / 3] > 0 ? de[i] * n[k % 3] : 0;
        dlight[0] += kind == RASTER_RIG ? de[i] : 0;
    }
}

/* ---- colours ---- */

static void set_albedo(const job *j, block *b)
{
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < b->count; i++)
            b->albedo[c][i] = j->view->albedo[c];
}

static void colour_parts(const job *j, block *b)
{
    for (int k = 0; k < b->runs; k++) {
        const run *r = &b->run[k];
        uint32_t part = j->view->face_parts[j->state->slots[r->slot].face];
        for (int c = 0; c < 3; c++)
            for (int i = r->begin; i < r->end; i++)
                b->out[c][i] = j->view->part_colours[3 * (size_t)part + (size_t)c];
    }
}

INLINE void colour_normals(const job *j, block *b)
{
    for (int c = 0; c < 3; c++) {
        const real *m = j->frame + 3 * c;
        for (int i = 0; i < b->count; i++)
            b->out[c][i] =
                (real)0.5 + (real)0.5 * (m[0] * b->a[0][i] + m[1] * b->a[1][i] + m[2] * b->a[2][i]);
    }
}

INLINE void colour_shaded(const job *j, block *b)
{
    raster_light kind = j->view->light_kind;
    int planes = is_grey(j) ? 1 : 3;
    if (kind == RASTER_RIG)
        light(j, b, RASTER_RIG, planes);
    else if (planes == 1)
        light(j, b, RASTER_HARMONICS, 1);
    else
        light(j, b, RASTER_HARMONICS, 3);
    for (int c = planes; c < 3; c++)
        memcpy(b->out[c], b->out[0], sizeof b->out[c]);
}

INLINE void interpolate(const job *j, block *b)
{
    gather(j, b);
    if (j->from == RASTER_A_NORMAL)
        normalise(b);
    if (j->texture)
        look_up(j, b);
    else if (j->view->mode == RASTER_SHADED || j->view->mode == RASTER_UNLIT)
        set_albedo(j, b);
}

HDS_WIDE static void shade_block(const job *j, size_t band, block *b)
{
    (void)band;
    interpolate(j, b);
    if (j->view->mode == RASTER_SHADED)
        colour_shaded(j, b);
    else if (j->view->mode == RASTER_UNLIT)
        memcpy(b->out, b->albedo, sizeof b->out);
    else if (j->view->mode == RASTER_PARTS)
        colour_parts(j, b);
    else
        colour_normals(j, b);
    if (j->channels == 3)
        write_block(j, b, 3);
    else
        write_block(j, b, j->channels);
}

static void fill_depth(const job *j, size_t begin, size_t end)
{
    const real range = j->most - j->least;
    for (size_t i = begin; i < end; i++) {
        real nearness = range > 0 ? (j->state->depth[i] - j->least) / range : 1;
        for (int c = 0; c < 3; c++)
            j->image[3 * i + (size_t)c] = j->state->visible[i] ? (nearness + 1) / 2 : 0;
    }
}

static void shade_band(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    size_t row = (size_t)s->width * (size_t)j->channels;
    size_t begin = (size_t)raster_band_begin(s, band), end = (size_t)raster_band_end(s, band);
    if (j->view->mode == RASTER_DEPTH) {
        fill_depth(j, begin * (size_t)s->width, end * (size_t)s->width);
        return;
    }
    for (size_t y = begin; y < end; y++)
        memcpy(j->image + y * row, j->background + (j->view->background_picture ? y * row : 0),
               row * sizeof *j->image);
    block b;
    each_block(j, band, &b, shade_block);
}

static void set_surfaces(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    for (uint32_t i = s->bands[band]; i < s->bands[band + 1]; i++)
        raster_surface_set(s, j->mesh, j->normals, j->texture != NULL, &s->slots[i],
                           &s->surfaces[i]);
}

static void find_range(raster_state *s)
{
    size_t pixels = (size_t)s->width * (size_t)s->height, first = 0;
    while (first + 1 < pixels && !s->visible[first])
        first++;
    s->nearest = s->farthest = first;
    for (size_t i = first; i < pixels; i++) {
        if (s->visible[i] && s->depth[i] > s->depth[s->nearest])
            s->nearest = i;
        if (s->visible[i] && s->depth[i] < s->depth[s->farthest])
            s->farthest = i;
    }
}

bool raster_shade(raster_state *state, const raster_mesh *mesh, const real *normals,
                  const raster_view *view, arena *scratch, real *image)
{
    if (view->mode == RASTER_DEPTH)
        find_range(state);
    job j = make_job(state, mesh, normals, view);
    size_t bands = (size_t)state->band_count, row = (size_t)state->width * (size_t)j.channels;
    real *colour = arena_take(scratch, row, sizeof *colour);
    state->surfaces = arena_take(scratch, state->bands[state->band_count], sizeof *state->surfaces);
    if (!colour || !state->surfaces)
        return false;
    for (size_t i = 0; i < row; i++)
        colour[i] = view->background[i % (size_t)j.channels];
    j.image = image;
    j.background = view->background_picture ? view->background_picture : colour;
    threads_parallel(bands, set_surfaces, &j);
    threads_parallel(bands, shade_band, &j);
    return true;
}

/* ---- adjoint ---- */

INLINE void colour_normals_adjoint(const job *j, block *b)
{
    const real *m = j->frame;
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < b->count; i++)
            b->da[c][i] = (real)0.5 *
                          (m[c] * b->out[0][i] + m[3 + c] * b->out[1][i] + m[6 + c] * b->out[2][i]);
}

INLINE void colour_shaded_adjoint(const job *j, size_t band, block *b)
{
    real de[PADDED];
    raster_light kind = j->view->light_kind;
    int planes = is_grey(j) ? 1 : 3;
    for (int i = 0; i < b->count && planes == 1; i++)
        b->out[0][i] += b->out[1][i] + b->out[2][i];
    if (kind == RASTER_RIG)
        light_adjoint(j, b, RASTER_RIG, planes, de);
    else if (planes == 1)
        light_adjoint(j, b, RASTER_HARMONICS, 1, de);
    else
        light_adjoint(j, b, RASTER_HARMONICS, 3, de);
    if (j->dlight)
        sum_light(b, kind, j->light, de, j->dlight[band]);
}

/* out = 1/2 + 1/2 (w - least) / (most - least) */
static void colour_depth_adjoint(const job *j, size_t band, block *b)
{
    real range = j->most - j->least;
    for (int i = 0; i < b->count; i++) {
        real dout = b->out[0][i] + b->out[1][i] + b->out[2][i], w = b->a[RASTER_A_W][i];
        real scale = range > 0 ? dout / (2 * range) : 0;
        b->da[RASTER_A_W][i] = scale * b->inside[i];
        if (range > 0) {
            j->drange[band][0] += scale * (w - j->most) / range;
            j->drange[band][1] -= scale * (w - j->least) / range;
        }
    }
}

/* out holds the gradient of the colour. */
HDS_WIDE static void shade_block_adjoint(const job *j, size_t band, block *b)
{
    interpolate(j, b);
    if (j->view->mode == RASTER_SHADED)
        colour_shaded_adjoint(j, band, b);
    else if (j->view->mode == RASTER_DEPTH)
        colour_depth_adjoint(j, band, b);
    else if (is_normals(j->view->mode))
        colour_normals_adjoint(j, b);
    if (j->from == RASTER_A_NORMAL)
        normalise_adjoint(b);
    if (j->texture)
        look_up_adjoint(j, b);
    scatter(j, b);
}

HDS_WIDE static void picture_block_adjoint(const job *j, size_t band, block *b)
{
    if (j->channels == 3)
        read_block(j, b, 3);
    else
        read_block(j, b, j->channels);
    shade_block_adjoint(j, band, b);
}

static void shade_band_adjoint(void *context, size_t band)
{
    const job *j = context;
    block b;
    each_block(j, band, &b, picture_block_adjoint);
}

/* A blended crossing is two more looks at the surface: at its inner and at its outer pixel. */
static void add_crossings(const job *j)
{
    const raster_state *s = j->state;
    size_t band = (size_t)s->band_count;
    block b = { .first = s->covered[band] };
    for (size_t i = 0; i < 2 * s->crossing_count; i++) {
        const raster_crossing *c = &s->crossings[i / 2];
        uint32_t pixel = i % 2 ? c->outer : c->inner;
        real dcolour[RASTER_CHANNELS], sign = i % 2 ? -1 : 1;
        uint32_t name = raster_slot_at(s, pixel);
        if (!name)
            continue;
        raster_crossing_gradient(s, i / 2, j->dimage, dcolour);
        for (int k = 0; k < j->channels; k++)
            b.out[k][b.count] = sign * dcolour[k];
        add_run(j, &b, name - 1, pixel, 1);
        if (b.count == BLOCK)
            finish_block(j, band, &b, shade_block_adjoint);
    }
    if (b.count)
        finish_block(j, band, &b, shade_block_adjoint);
    j->first[band + 1] = (uint32_t)b.first;
}

/* The two pixels that the range of depth hangs on. */
static void add_range(const job *j)
{
    const raster_state *s = j->state;
    for (int k = 0; k < 2; k++) {
        size_t pixel = k ? s->nearest : s->farthest;
        real sum = 0;
        for (int band = 0; band <= s->band_count; band++)
            sum += j->drange[band][k];
        uint32_t name = raster_slot_at(s, pixel);
        if (!name)
            continue;
        const raster_slot *slot = &s->slots[name - 1];
        real *moments = j->gradients[name - 1].moments[RASTER_A_W];
        moments[0] += sum * (real)((int)(pixel % (size_t)s->width) - slot->x0);
        moments[1] += sum * (real)((int)(pixel / (size_t)s->width) - slot->y0);
        moments[2] += sum;
    }
}

/* Moments become the gradients of the corners. */
static void finish_slots(void *context, size_t band)
{
    const job *j = context;
    const raster_state *s = j->state;
    for (uint32_t i = s->bands[band]; i < s->bands[band + 1]; i++) {
        slot_gradient g;
        raster_surface_adjoint(s, j->mesh, j->normals, j->texture != NULL, &s->slots[i],
                               (const real(*)[3])j->gradients[i].moments, g.corner.places,
                               g.corner.normals);
        j->gradients[i] = g;
    }
}

static bool allocate(job *j, arena *scratch, bool texels, bool lights)
{
    const raster_state *s = j->state;
    size_t bands = (size_t)s->band_count + 1;
    j->gradients = arena_alloc(scratch, s->bands[s->band_count], sizeof *j->gradients);
    if (texels)
        j->texels = arena_take(scratch, s->covered[s->band_count] + 2 * s->crossing_count,
                               sizeof *j->texels);
    if (lights)
        j->dlight = arena_alloc(scratch, bands, sizeof *j->dlight);
    j->drange = arena_alloc(scratch, bands, sizeof *j->drange);
    j->first = arena_take(scratch, bands + 1, sizeof *j->first);
    if (j->first)
        memcpy(j->first, s->covered, bands * sizeof *j->first);
    return j->gradients && j->drange && j->first && (j->texels || !texels) &&
           (j->dlight || !lights);
}

static void finish_light(const job *j, real *dlight)
{
    real sum[9] = { 0 };
    for (int band = 0; band <= j->state->band_count; band++)
        for (int k = 0; k < 9; k++)
            sum[k] += j->dlight[band][k];
    if (j->view->light_kind == RASTER_HARMONICS)
        raster_light_polynomial_adjoint(sum, dlight);
    else
        for (int k = 0; k < 9; k++)
            dlight[k] += sum[k];
}

/* Each band writes to its own slots; they are then added up in order. */
bool raster_shade_adjoint(const raster_state *state, const raster_mesh *mesh, const real *normals,
                          const raster_view *view, arena *scratch, const real *dimage,
                          real *dscreen, real *dnormals, raster_texels *texels, real *dlight)
{
    size_t slots = state->bands[state->band_count], bands = (size_t)state->band_count;
    job j = make_job(state, mesh, normals, view);
    j.dimage = dimage;
    if (texels)
        *texels = (raster_texels){ .bands = 0 };
    if (j.from == j.to) /* nothing inside depends on anything */
        return true;
    if (!allocate(&j, scratch, texels && j.texture, dlight && view->mode == RASTER_SHADED))
        return false;
    threads_parallel(bands, shade_band_adjoint, &j);
    add_crossings(&j);
    if (view->mode == RASTER_DEPTH)
        add_range(&j);
    threads_parallel(bands, finish_slots, &j);
    for (size_t i = 0; i < slots; i++) {
        const uint32_t *v = mesh->faces + 3 * (size_t)state->slots[i].face;
        for (int k = 0; k < 9; k++)
            dscreen[3 * (size_t)v[k / 3] + (size_t)(k % 3)] += j.gradients[i].corner.places[k];
        for (int k = 0; k < 9 && dnormals; k++)
            dnormals[3 * (size_t)v[k / 3] + (size_t)(k % 3)] += j.gradients[i].corner.normals[k];
    }
    if (j.dlight)
        finish_light(&j, dlight);
    if (j.texels)
        *texels = (raster_texels){ j.texels, j.first, bands + 1 };
    return true;
}

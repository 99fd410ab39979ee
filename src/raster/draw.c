/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of one view, and the gradient of it: the steps of raster_priv.h in order. */
#include "raster/raster_priv.h"

#include <assert.h>

static const int largest_side = 16384;

static bool fits(const raster_mesh *mesh, const raster_view *view)
{
    return view->width > 0 && view->height > 0 && view->width <= largest_side &&
           view->height <= largest_side && mesh->face_count < UINT32_MAX / 4 &&
           (!view->texture ||
            (mesh->uvs && mesh->uv_faces && view->texture_width > 0 && view->texture_height > 0));
}

raster_state *raster_draw(const raster_mesh *mesh, const real *normals, const raster_view *view,
                          arena *scratch, real *image)
{
    assert(fits(mesh, view));
    raster_state *s = arena_alloc(scratch, 1, sizeof *s);
    if (!s)
        return NULL;
    s->width = view->width;
    s->height = view->height;
    s->band_bits = view->height <= 256 ? 3 : 4;
    s->band_count = ((s->height - 1) >> s->band_bits) + 1;
    s->screen = arena_alloc(scratch, mesh->vertex_count, 3 * sizeof *s->screen);
    s->snapped = arena_alloc(scratch, mesh->vertex_count, 2 * sizeof *s->snapped);
    if (!s->screen || !s->snapped)
        return NULL;
    raster_lens_init(&s->lens, &view->camera, view->width, view->height);
    raster_project(&s->lens, mesh->vertices, mesh->vertex_count, s->screen, s->snapped);
    if (!raster_visible(s, mesh, scratch))
        return NULL;
    raster_shade(s, mesh, normals, view, image);
    if (view->mode != RASTER_DEPTH && !raster_blend(s, mesh, scratch, image))
        return NULL;
    return s;
}

/* Scratch stays taken until the caller leaves the arena, so that the next round finds it large
 * enough. */
bool raster_draw_adjoint(const raster_mesh *mesh, const real *normals, const raster_view *view,
                         arena *scratch, const raster_state *state, const real *dimage,
                         real *dvertices, real *dnormals, real *dtexture)
{
    if (view->mode == RASTER_DEPTH)
        return true;
    size_t pixels = (size_t)state->width * (size_t)state->height;
    real *draw = arena_alloc(scratch, pixels, 3 * sizeof *draw);
    real *dscreen = arena_alloc(scratch, mesh->vertex_count, 3 * sizeof *dscreen);
    if (!draw || !dscreen)
        return false;
    raster_blend_adjoint(state, dimage, draw, dscreen);
    if (!raster_shade_adjoint(state, mesh, normals, view, scratch, draw, dscreen, dnormals,
                              dtexture))
        return false;
    if (dvertices)
        raster_project_adjoint(&state->lens, mesh->vertices, mesh->vertex_count, dscreen,
                               dvertices);
    return true;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A picture of one view, and the gradient of it: the steps of raster_priv.h in order. */
#include "raster_priv.h"

#include <assert.h>

static bool fits(const raster_mesh *mesh, const raster_view *view)
{
    const raster_texture *t = view->texture;
    return view->width > 0 && view->height > 0 && view->width <= RASTER_LARGEST_SIDE &&
           view->height <= RASTER_LARGEST_SIDE && mesh->face_count < UINT32_MAX / 4 &&
           (!t || (mesh->uvs && mesh->uv_faces && t->width > 0 && t->height > 0 && t->levels > 0 &&
                   t->channels > 0 && t->channels <= RASTER_CHANNELS)) &&
           (view->mode != RASTER_SHADED || !t || t->channels == 3) &&
           (view->mode != RASTER_PARTS || (view->face_parts && view->part_colours));
}

int raster_channels(const raster_view *view)
{
    return view->mode == RASTER_UNLIT && view->texture ? view->texture->channels : 3;
}

typedef struct picture {
    raster_faces *faces;
    raster_shading *shading;
    raster_outlines *outlines;
} picture;

/* The edges that outlines are looked for among, or a band. */
static void draw_part(void *context, size_t i)
{
    const picture *p = context;
    if (i == 0) {
        raster_outlines_find(p->outlines);
    } else {
        raster_visible_band(p->faces, i - 1);
        raster_shade_band(p->shading, i - 1);
    }
}

raster_state *raster_draw(const raster_mesh *mesh, const real *normals, const raster_view *view,
                          arena *scratch, real *image)
{
    assert(fits(mesh, view));
    raster_state *s = arena_alloc(scratch, 1, sizeof *s);
    if (!s || !raster_state_init(s, view->width, view->height, mesh->vertex_count, scratch))
        return NULL;
    s->channels = raster_channels(view);
    raster_lens_init(&s->lens, &view->camera, view->width, view->height);
    raster_project(&s->lens, mesh->vertices, mesh->vertex_count, s->screen, s->snapped);
    picture p = { .outlines = raster_outlines_begin(s, mesh, view, scratch) };
    if (!p.outlines || !(p.faces = raster_faces_measure(s, mesh, scratch)) ||
        !(p.shading = raster_shade_begin(s, mesh, normals, view, scratch, image)))
        return NULL;
    threads_parallel((size_t)s->band_count + 1, draw_part, &p);
    raster_shade_end(p.shading, s);
    return raster_outlines_blend(p.outlines, scratch, image) ? s : NULL;
}

/* What one view gives; texels are not added up yet. False: out of memory, nothing was added. */
static bool draw_adjoint(const raster_mesh *mesh, const real *normals, const raster_view *view,
                         arena *scratch, const raster_state *state, const real *dimage,
                         real *dvertices, real *dnormals, raster_texels *texels, real *dlight)
{
    real *dscreen = arena_alloc(scratch, mesh->vertex_count, 3 * sizeof *dscreen);
    real(*dcolours)[RASTER_CHANNELS] = arena_take(scratch, state->crossing_count, sizeof *dcolours);
    if (!dscreen || !dcolours)
        return false;
    raster_blend_adjoint(state, dimage, dscreen, dcolours);
    if (!raster_shade_adjoint(state, mesh, normals, view, scratch, dimage,
                              (const real(*)[RASTER_CHANNELS])dcolours, dscreen, dnormals, texels,
                              dlight))
        return false;
    if (dvertices)
        raster_project_adjoint(&state->lens, mesh->vertices, mesh->vertex_count, dscreen,
                               dvertices);
    return true;
}

/* Scratch stays taken until the caller leaves the arena, so that the next round finds it large
 * enough. */
bool raster_draw_adjoint(const raster_mesh *mesh, const real *normals, const raster_view *view,
                         arena *scratch, const raster_state *state, const real *dimage,
                         real *dvertices, real *dnormals, real *dtexels, real *dlight)
{
    raster_texels texels = { .bands = 0 };
    if (!draw_adjoint(mesh, normals, view, scratch, state, dimage, dvertices, dnormals,
                      dtexels ? &texels : NULL, dlight))
        return false;
    return !texels.bands || raster_texels_adjoint(view->texture, &texels, scratch, dtexels);
}

/* ---- several views ---- */

typedef struct gradients {
    real *vertices, *normals, *light;
    raster_texels texels;
    bool done;
} gradients;

typedef struct job {
    const raster_mesh *mesh;
    const real *normals;
    const raster_view *views;
    arena *scratch;
    raster_state **states;
    real *const *images;
    raster_state *const *drawn;
    const real *const *dimages;
    gradients *gradients;
    bool wants_texels;
} job;

/* As many views as keep all threads busy are drawn one a thread; the rest one after the other, each
 * by all threads. */
static void each_view(size_t count, threads_body body, job *j)
{
    size_t threads = (size_t)threads_count(), shared = count - count % (threads ? threads : 1);
    threads_parallel(shared, body, j);
    for (size_t i = shared; i < count; i++)
        body(j, i);
}

static void draw_view(void *context, size_t i)
{
    const job *j = context;
    j->states[i] = raster_draw(j->mesh, j->normals, &j->views[i], &j->scratch[i], j->images[i]);
}

bool raster_draw_views(const raster_mesh *mesh, const real *normals, const raster_view *views,
                       size_t count, arena *scratch, raster_state **states, real *const *images)
{
    job j = { .mesh = mesh,
              .normals = normals,
              .views = views,
              .scratch = scratch,
              .states = states,
              .images = images };
    each_view(count, draw_view, &j);
    for (size_t i = 0; i < count; i++)
        if (!states[i])
            return false;
    return true;
}

static void draw_view_adjoint(void *context, size_t i)
{
    const job *j = context;
    gradients *g = &j->gradients[i];
    g->done =
        draw_adjoint(j->mesh, j->normals, &j->views[i], &j->scratch[i], j->drawn[i], j->dimages[i],
                     g->vertices, g->normals, j->wants_texels ? &g->texels : NULL, g->light);
}

static void add(const real *from, size_t count, real *to)
{
    for (size_t i = 0; i < count && from && to; i++)
        to[i] += from[i];
}

bool raster_draw_views_adjoint(const raster_mesh *mesh, const real *normals,
                               const raster_view *views, size_t count, arena *scratch,
                               raster_state *const *states, const real *const *dimages,
                               real *dvertices, real *dnormals, real *dtexels, real (*dlights)[9])
{
    size_t numbers = 3 * mesh->vertex_count;
    bool complete = true;
    gradients *all = count ? arena_alloc(&scratch[0], count, sizeof *all) : NULL;
    for (size_t i = 0; all && complete && i < count; i++) {
        if (dvertices)
            all[i].vertices = arena_alloc(&scratch[i], numbers, sizeof(real));
        if (dnormals)
            all[i].normals = arena_alloc(&scratch[i], numbers, sizeof(real));
        if (dlights)
            all[i].light = arena_alloc(&scratch[i], 9, sizeof(real));
        complete = (all[i].vertices || !dvertices) && (all[i].normals || !dnormals) &&
                   (all[i].light || !dlights);
    }
    if (count && (!all || !complete))
        return false;
    job j = { .mesh = mesh,
              .normals = normals,
              .views = views,
              .scratch = scratch,
              .drawn = states,
              .dimages = dimages,
              .gradients = all,
              .wants_texels = dtexels != NULL };
    each_view(count, draw_view_adjoint, &j);
    for (size_t i = 0; i < count; i++)
        complete &= all[i].done;
    for (size_t i = 0; complete && i < count; i++) {
        add(all[i].vertices, numbers, dvertices);
        add(all[i].normals, numbers, dnormals);
        add(all[i].light, 9, dlights ? dlights[i] : NULL);
        if (all[i].texels.bands)
            complete =
                raster_texels_adjoint(views[i].texture, &all[i].texels, &scratch[i], dtexels);
    }
    return complete;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The texture stage: texels in UV space, the geometry fixed.
 *
 * A prior that knows texture maps in the model's layout is asked about the texture itself. Any
 * other sees random views under random lights; their gradient is preconditioned by a pyramid: with
 * P_s the mean over s x s blocks and U_s the bilinear enlargement, g' = sum_s U_s P_s g over s = 1,
 * 2, 4, ... This is what gradient descent on the sum of a pyramid's levels does; the noise of
 * single texels averages out where the views agree on a region. */
#include "fit/fit.h"

#include "image/image.h"

#include <math.h>
#include <string.h>

enum { PLAIN_SIZE = 512, COARSEST = 8 };

hds_status fit_texture_init(fit_run *run, hds_error *error)
{
    const head_model *m = run->model;
    if (!m->uvs)
        return HDS_OK;
    const hds_head *given = run->given && run->given->texture ? run->given : NULL;
    const uint8_t *start = given ? given->texture : m->mean_texture;
    run->texture_width = given ? given->texture_width : start ? m->texture_width : PLAIN_SIZE;
    run->texture_height = given ? given->texture_height : start ? m->texture_height : PLAIN_SIZE;
    size_t texels = run->texture_width * run->texture_height * 3;
    run->texture = hds_alloc(texels, sizeof *run->texture);
    run->start_texture = hds_alloc(texels, sizeof *run->start_texture);
    if (!run->texture || !run->start_texture)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a texture of %zux%zu",
                         run->texture_width, run->texture_height);
    for (size_t i = 0; i < texels; i++)
        run->texture[i] = start ? (float)start[i] / 255 : 0.5f;
    memcpy(run->start_texture, run->texture, texels * sizeof *run->texture);
    return HDS_OK;
}

/* gradient (H,W,3) -> its sum over the levels of the pyramid, in place. */
static bool precondition(fit_run *run, real *gradient)
{
    arena *a = &run->scratch;
    int height = (int)run->texture_height, width = (int)run->texture_width;
    size_t texels = run->texture_width * run->texture_height * 3;
    real *sum = arena_alloc(a, texels, sizeof *sum), *large = arena_alloc(a, texels, sizeof *large);
    real *small = arena_alloc(a, texels, sizeof *small);
    if (!sum || !large || !small)
        return false;
    memcpy(sum, gradient, texels * sizeof *sum);
    for (int s = 2; height / s >= COARSEST && width / s >= COARSEST; s *= 2) {
        image_resize(gradient, height, width, 3, height / s, width / s, IMAGE_AREA, small);
        image_resize(small, height / s, width / s, 3, height, width, IMAGE_BILINEAR, large);
        for (size_t i = 0; i < texels; i++)
            sum[i] += large[i];
    }
    memcpy(gradient, sum, texels * sizeof *sum);
    return true;
}

hds_status fit_texture_adjoint(fit_run *run, const fit_views *v, real *dtexture, hds_error *error)
{
    arena *a = &run->scratch;
    size_t texels = run->texture_width * run->texture_height * 3;
    real *dlinear = arena_alloc(a, texels, sizeof *dlinear);
    if (!dlinear || !fit_views_adjoint(run, v, NULL, NULL, dlinear))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the gradient of %zu views",
                         v->count);
    image_to_linear_adjoint(run->texture, texels, dlinear, dtexture);
    for (size_t i = 0; i < texels; i++)
        dtexture[i] /= (real)v->count;
    return HDS_OK;
}

/* The gradient of random views. The timesteps lie in the scratch. */
static hds_status gradient_of_views(fit_run *run, real *dtexture, const float **timesteps,
                                    hds_error *error)
{
    size_t texels = run->texture_width * run->texture_height * 3;
    fit_views views;
    real *linear = arena_alloc(&run->scratch, texels, sizeof *linear);
    if (!linear)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    image_to_linear(run->texture, texels, linear);
    hds_status status = fit_views_draw(run, linear, &views, error);
    if (status == HDS_OK)
        status = fit_views_distil(run, &views, error);
    if (status == HDS_OK)
        status = fit_texture_adjoint(run, &views, dtexture, error);
    if (status == HDS_OK && !precondition(run, dtexture))
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    *timesteps = views.timesteps;
    return status;
}

/* The gradient of the texture as a picture, with settings.views draws of noise. */
static hds_status gradient_of_map(fit_run *run, real *dtexture, const float **timesteps,
                                  hds_error *error)
{
    const hds_stage_params *p = &run->settings.stages[FIT_TEXTURE];
    arena *a = &run->scratch;
    int height = (int)run->texture_height, width = (int)run->texture_width, size = p->resolution;
    size_t count = (size_t)p->views, pixels = (size_t)size * (size_t)size * 3;
    real *map = arena_alloc(a, pixels, sizeof *map), *dmap = arena_alloc(a, pixels, sizeof *dmap);
    float *times = arena_alloc(a, count, sizeof *times);
    sds_side *sides = arena_alloc(a, count, sizeof *sides);
    if (!map || !dmap || !times || !sides)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    for (size_t i = 0; i < count; i++) {
        rng r = rng_make(run->settings.seed, fit_stream(run, i, false));
        times[i] = fit_timestep_random(run, &r, i, count);
        sides[i] = SDS_MAP;
    }
    image_filter filter = height >= size && width >= size ? IMAGE_AREA : IMAGE_BILINEAR;
    image_resize(run->texture, height, width, 3, size, size, filter, map);
    sds_batch batch = { .count = count,
                        .height = (size_t)size,
                        .width = (size_t)size,
                        .images = map,
                        .sides = sides,
                        .timesteps = times,
                        .seed = run->settings.seed,
                        .stream = fit_stream(run, 0, true),
                        .guidance_scale = p->guidance_scale };
    hds_status status = sds_decoded_gradient(run->prior, &run->text, &batch, dmap, error);
    if (status == HDS_OK)
        image_resize(dmap, size, size, 3, height, width, IMAGE_BILINEAR, dtexture);
    *timesteps = times;
    return status;
}

static void take_step(fit_run *run, const float *timesteps, const real *dtexture, hds_history *log)
{
    size_t texels = run->texture_width * run->texture_height * 3;
    fit_take_step(run, timesteps, dtexture, run->start_texture, run->texture, log);
    double change = 0;
    for (size_t i = 0; i < texels; i++) {
        run->texture[i] = fminf(fmaxf(run->texture[i], 0), 1);
        double offset = run->texture[i] - run->start_texture[i];
        change += offset * offset / (double)texels;
    }
    log->coefficient_norm = (float)sqrt(change);
}

hds_status fit_texture_step(fit_run *run, hds_history *log, hds_error *error)
{
    size_t texels = run->texture_width * run->texture_height * 3;
    arena_mark mark = arena_enter(&run->scratch);
    real *dtexture = arena_alloc(&run->scratch, texels, sizeof *dtexture);
    const float *timesteps = NULL;
    hds_status status = HDS_OK;
    if (!dtexture)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the texture");
    else if (run->knows_maps)
        status = gradient_of_map(run, dtexture, &timesteps, error);
    else
        status = gradient_of_views(run, dtexture, &timesteps, error);
    if (status == HDS_OK)
        take_step(run, timesteps, dtexture, log);
    arena_leave(&run->scratch, mark);
    return status;
}

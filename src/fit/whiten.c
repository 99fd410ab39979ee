/* SPDX-License-Identifier: Apache-2.0 */
/* What any prompt does to shape coefficients, so that a run can follow what its own prompt does.
 *
 * Before the geometry stage the gradients g of a fixed list of other prompts are taken at the
 * start, and W = F^(-1/2) with F = mean g g^T, shrunk toward its diagonal. The stage descends along
 * W g: directions in which every prompt pushes, because they show strongly in pictures or because
 * the prior leans that way, no longer drown those that set this prompt apart. It is the whitening
 * of Fisher's linear discriminant (1936), with prompts as classes, and Adam's division by the root
 * of the second moment, with other prompts' gradients and the whole matrix in place of its own. */
#include "fit/fit.h"

#include "base/base.h"
#include "diffusion/diffusion.h"
#include "math/math.h"

/* Plain words for parts of a face, in pairs: what shape can say. */
static const char *const prompts[] = {
    "a head with a big nose",      "a head with a small nose",
    "a head with a wide nose",     "a head with a thin nose",
    "a head with a hooked nose",   "a head with a flat nose",
    "a head with a square jaw",    "a head with a narrow jaw",
    "a head with a big chin",      "a head with a small chin",
    "a head with high cheekbones", "a head with low cheekbones",
    "a head with a heavy brow",    "a head with a flat brow",
    "a head with big eyes",        "a head with little eyes",
    "a head with eyes far apart",  "a head with eyes close together",
    "a head with thick lips",      "a head with narrow lips",
    "a head with a large mouth",   "a head with a tiny mouth",
    "a head with large ears",      "a head with little ears",
    "a head with jug ears",        "a head with pinned ears",
    "a head with a tall forehead", "a head with a short forehead",
    "a head with a tall skull",    "a head with a low skull",
    "a head with an oblong face",  "a head with a round short face",
    "a head with a wide neck",     "a head with a skinny neck",
    "a head with a fat face",      "a head with a thin face",
};
enum { PROMPTS = sizeof prompts / sizeof *prompts };
static const uint64_t probe_seed = 36;
static const double shrinkage = 0.2, damping = 0.005;

/* A name for what the matrix depends on; new. */
static char *key_of(const fit_run *run)
{
    const head_model *m = &run->sculpted;
    const fit_settings *s = &run->settings;
    const hds_stage_params *p = &s->stages[FIT_GEOMETRY];
    uint64_t hash = BASE_HASH_START;
    const void *const parts[] = { m->vertices,     m->shape_basis, run->start,
                                  run->expression, run->pose,      m->base_pose };
    const size_t sizes[] = { 3 * m->vertex_count * sizeof *m->vertices,
                             m->shape_count * 3 * m->vertex_count * sizeof *m->shape_basis,
                             m->shape_count * sizeof *run->start,
                             m->expression_count * sizeof *run->expression,
                             3 * m->joint_count * sizeof *run->pose,
                             m->base_pose ? 3 * m->joint_count * sizeof *m->base_pose : 0 };
    for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
        hash = base_hash(hash, parts[k], sizes[k]);
    return hds_format("whitening %llx %d %d %a %a %a %a %s", (unsigned long long)hash, p->views,
                      p->resolution, (double)p->guidance_scale, (double)p->gradient_clip,
                      (double)p->timestep_min, (double)p->timestep_max,
                      s->negative_prompt ? s->negative_prompt : "(neutral)");
}

bool fit_whiten_ready(const fit_run *run)
{
    return run->stage != FIT_GEOMETRY || run->whitening.matrix;
}

void fit_whiten_finish(fit_whitening *w)
{
    hds_free(w->matrix);
    hds_free(w->moment);
    hds_free(w->key);
    *w = (fit_whitening){ 0 };
}

/* The gradient of one of the prompts at the start. */
static hds_status probe(fit_run *run, float *gradient, hds_error *error)
{
    sds_text own = run->text;
    float *shape = run->shape;
    uint64_t seed = run->settings.seed;
    int step = run->step;
    hds_status status = sds_text_init(&run->text, run->prior, prompts[run->whitening.done],
                                      run->settings.negative_prompt, error);
    if (status == HDS_OK) {
        arena_mark mark = arena_enter(&run->scratch);
        fit_views views;
        run->shape = run->start;
        run->settings.seed = probe_seed;
        run->step = run->whitening.done;
        status = fit_views_draw(run, NULL, &views, error);
        if (status == HDS_OK)
            status = fit_views_distil(run, &views, error);
        if (status == HDS_OK)
            status = fit_geometry_adjoint(run, &views, gradient, error);
        arena_leave(&run->scratch, mark);
        sds_text_finish(&run->text);
    }
    run->text = own;
    run->shape = shape;
    run->settings.seed = seed;
    run->step = step;
    return status;
}

/* moment -> matrix = V (lambda + damping mean(lambda))^(-1/2) V^T */
static bool invert_root(fit_whitening *w, size_t n)
{
    double *v = hds_alloc(n * n, sizeof *v), *f = hds_alloc(n * n, sizeof *f), mean = 0;
    float *matrix = hds_alloc(n * n, sizeof *matrix);
    if (v && f && matrix) {
        for (size_t i = 0; i < n * n; i++)
            f[i] = w->moment[i] * (i % (n + 1) ? 1 - shrinkage : 1);
        for (size_t i = 0; i < n; i++)
            mean += f[i * (n + 1)] / (double)n;
        math_eigen_symmetric(f, v, n);
        for (size_t k = 0; k < n; k++) {
            double square = fmax(f[k * (n + 1)], 0) + damping * mean;
            double scale = mean > 0 ? 1 / sqrt(square) : 1;
            for (size_t i = 0; i < n; i++)
                for (size_t j = 0; j < n; j++)
                    matrix[i * n + j] += (float)(scale * v[i * n + k] * v[j * n + k]);
        }
        w->matrix = matrix;
    } else {
        hds_free(matrix);
    }
    hds_free(v);
    hds_free(f);
    return w->matrix;
}

static hds_status begin(fit_run *run, size_t n, hds_error *error)
{
    fit_whitening *w = &run->whitening;
    w->key = key_of(run);
    w->moment = hds_alloc(n * n, sizeof *w->moment);
    float *kept = hds_alloc(n * n, sizeof *kept);
    hds_status status = HDS_OK;
    if (!w->key || !w->moment || !kept)
        status = hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu coefficients", n);
    else if (cache_get(w->key, kept, n * n))
        w->matrix = kept;
    if (!w->matrix)
        hds_free(kept);
    return status;
}

hds_status fit_whiten_step(fit_run *run, hds_error *error)
{
    fit_whitening *w = &run->whitening;
    size_t n = run->model->shape_count;
    hds_status status = w->moment ? HDS_OK : begin(run, n, error);
    if (status != HDS_OK || w->matrix)
        return status;
    float *gradient = hds_alloc(n, sizeof *gradient);
    status = gradient ? probe(run, gradient, error)
                      : hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu coefficients", n);
    for (size_t i = 0; i < n && status == HDS_OK; i++)
        for (size_t j = 0; j < n; j++)
            w->moment[i * n + j] += (double)gradient[i] * gradient[j] / PROMPTS;
    hds_free(gradient);
    if (status == HDS_OK && ++w->done == PROMPTS) {
        if (!invert_root(w, n))
            return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu coefficients", n);
        cache_put(w->key, w->matrix, n * n);
    }
    return status;
}

void fit_whiten_apply(const fit_run *run, const float *gradient, float *whitened)
{
    size_t n = run->model->shape_count;
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += (double)run->whitening.matrix[i * n + j] * gradient[j];
        whitened[i] = (float)sum;
    }
}

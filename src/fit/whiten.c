/* SPDX-License-Identifier: Apache-2.0 */
/* Whitening: shape gradients are preconditioned by the inverse square root of the second moment of
 * other prompts' gradients.
 *
 * Before the stage the gradients g of a fixed list of other prompts are taken at the start, and
 * W = F^(-1/2) with F = mean g g^T, shrunk toward its diagonal. The stage descends along W g:
 * directions in which every prompt pushes, because they show strongly in pictures or because the
 * prior leans that way, no longer drown those that set this prompt apart. It is the whitening of
 * Fisher's linear discriminant (1936), with prompts as classes, and Adam's division by the root of
 * the second moment, with other prompts' gradients and the whole matrix in place of its own. */
#include "fit/fit.h"

#include "math/math.h"
#include "prior/prior.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

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

typedef struct whitening {
    double *moment; /* (S,S) the mean of g g^T so far */
    float *matrix;  /* (S,S) once all prompts are done */
    char *key;      /* the name of the matrix in the cache */
} whitening;

/* What the matrix does not depend on. */
static const char *const irrelevant[] = {
    "skip",          "steps",        "precondition",          "optimizer",
    "learning_rate", "weight_decay", "learning_rate_schedule"
};

/* A name for what the matrix depends on; new, NULL: out of memory. */
static char *key_of(const fit_stage *s)
{
    const fit_subject *u = s->subject;
    const head_model *m = &u->sculpted;
    uint64_t hash = head_model_hash(m);
    hash = base_hash(hash, s->variable->start, s->variable->count * sizeof(float));
    hash = base_hash(hash, u->expression, m->expression_count * sizeof *u->expression);
    hash = base_hash(hash, u->pose, 3 * m->joint_count * sizeof *u->pose);
    if (!strcmp(s->params->shading, "textured"))
        hash = base_hash(hash, u->variables[FIT_TEXTURE].x,
                         u->variables[FIT_TEXTURE].count * sizeof(float));
    for (int i = 0; i < PROMPTS; i++)
        hash = base_hash(hash, prompts[i], strlen(prompts[i]) + 1);
    json_t *stage = fit_stage_record(s->params), *prior = prior_record(s->prior);
    for (size_t i = 0; i < sizeof irrelevant / sizeof *irrelevant; i++)
        json_object_del(stage, irrelevant[i]);
    char *options = stage ? json_dumps(stage, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    char *networks = prior ? json_dumps(prior, JSON_SORT_KEYS | JSON_COMPACT) : NULL;
    char *key =
        options && networks
            ? hds_format("whitening 2 %016llx %d %s %s %s", (unsigned long long)hash, s->index,
                         options, networks, s->negative_prompt ? s->negative_prompt : "(neutral)")
            : NULL;
    free(options);
    free(networks);
    json_decref(stage);
    json_decref(prior);
    return key;
}

static void finish(fit_preconditioner *p)
{
    whitening *w = p->state;
    if (!w)
        return;
    hds_free(w->matrix);
    hds_free(w->moment);
    hds_free(w->key);
    hds_free(w);
}

static hds_status no_memory(size_t n, hds_error *error)
{
    return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for %zu coefficients", n);
}

static hds_status init(fit_preconditioner *p, fit_stage *s, hds_error *error)
{
    size_t n = s->variable->count;
    if (s->variable != &s->subject->variables[FIT_SHAPE])
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s.precondition is whitening, which is for the variable shape",
                         s->params->name);
    whitening *w = p->state = hds_alloc(1, sizeof *w);
    if (!w)
        return no_memory(n, error);
    w->key = key_of(s);
    w->moment = hds_alloc(n * n, sizeof *w->moment);
    w->matrix = hds_alloc(n * n, sizeof *w->matrix);
    if (!w->key || !w->moment || !w->matrix)
        return no_memory(n, error);
    p->count = PROMPTS;
    p->done = cache_get(w->key, w->matrix, n * n) ? PROMPTS : 0;
    return HDS_OK;
}

/* The gradient of one of the prompts at the start. */
static hds_status probe(fit_preconditioner *p, fit_stage *s, float *gradient, hds_error *error)
{
    guide guides[HDS_MAX_GUIDANCES];
    int count = 0;
    hds_status status = HDS_OK;
    for (; count < s->guide_count && status == HDS_OK; count += status == HDS_OK) {
        const guide_setup setup = { s->prior, prompts[p->done], s->negative_prompt, count };
        status = guide_init(&guides[count], s->guides[count].ops, &s->guides[count].params, &setup,
                            error);
    }
    const guide_step step = { probe_seed, s->index, p->done, s->params->steps };
    arena_mark mark = arena_enter(&s->subject->scratch);
    fit_gradient_report report;
    if (status == HDS_OK)
        status = fit_stage_gradient(s, &step, s->variable->start, guides, count, gradient, &report,
                                    error);
    arena_leave(&s->subject->scratch, mark);
    for (int i = 0; i < count; i++)
        guide_finish(&guides[i]);
    return status;
}

/* moment -> matrix = V (lambda + damping mean(lambda))^(-1/2) V^T */
static bool invert_root(whitening *w, size_t n)
{
    double *v = hds_alloc(n * n, sizeof *v), *f = hds_alloc(n * n, sizeof *f), mean = 0;
    float *matrix = w->matrix;
    bool enough = v && f;
    if (enough) {
        memset(matrix, 0, n * n * sizeof *matrix);
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
    }
    hds_free(v);
    hds_free(f);
    return enough;
}

static hds_status prepare(fit_preconditioner *p, fit_stage *s, hds_error *error)
{
    whitening *w = p->state;
    size_t n = s->variable->count;
    float *gradient = hds_alloc(n, sizeof *gradient);
    hds_status status = gradient ? probe(p, s, gradient, error) : no_memory(n, error);
    for (size_t i = 0; i < n && status == HDS_OK; i++)
        for (size_t j = 0; j < n; j++)
            w->moment[i * n + j] += (double)gradient[i] * gradient[j] / PROMPTS;
    hds_free(gradient);
    if (status == HDS_OK && ++p->done == PROMPTS) {
        if (!invert_root(w, n))
            return no_memory(n, error);
        cache_put(w->key, w->matrix, n * n);
    }
    return status;
}

static hds_status apply(const fit_preconditioner *p, fit_stage *s, bool map, float *gradient,
                        hds_error *error)
{
    const whitening *w = p->state;
    size_t n = s->variable->count;
    float *whitened = arena_take(&s->subject->scratch, n, sizeof *whitened);
    if (!whitened)
        return no_memory(n, error);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (size_t j = 0; j < n; j++)
            sum += (double)w->matrix[i * n + j] * gradient[j];
        whitened[i] = (float)sum;
    }
    memcpy(gradient, whitened, n * sizeof *gradient);
    return HDS_OK;
}

static bool visit(fit_preconditioner *p, fit_stage *s, const state_visitor *v)
{
    whitening *w = p->state;
    size_t n = s->variable->count;
    return v->array(v, "whitening_moment", 'f', sizeof *w->moment, n * n, w->moment) &&
           v->array(v, "whitening_matrix", 'f', sizeof *w->matrix, n * n, w->matrix);
}

const fit_preconditioner_ops fit_whitening = { .name = "whitening",
                                               .init = init,
                                               .prepare = prepare,
                                               .apply = apply,
                                               .visit = visit,
                                               .finish = finish };

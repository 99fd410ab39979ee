/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW over the weights of a network, their running mean, and checkpoints. */
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static weights *load(trainer *t, const char *what)
{
    char *path = hds_format("%s/%s.%s.safetensors", t->folder, t->name, what);
    weights *w = path ? weights_load(t->cx, path, WEIGHTS_TRAINABLE) : NULL;
    hds_free(path);
    return w;
}

static char *step_file(const trainer *t)
{
    return hds_format("%s/%s.step.json", t->folder, t->name);
}

static hds_status resume(trainer *t, const char *path, hds_error *error)
{
    json_t *json;
    hds_status status = io_json_load(&json, path, error);
    if (status != HDS_OK)
        return status;
    t->step = json_integer_value(json_object_get(json, "step"));
    json_decref(json);
    t->live = load(t, "live");
    t->m = load(t, "m");
    t->v = load(t, "v");
    t->mean = load(t, "mean");
    return tn_check(t->cx, error);
}

hds_status trainer_open(trainer *t, tn_context *cx, crew *c, const char *folder, const char *name,
                        const char *start, hds_error *error)
{
    *t = (trainer){ .cx = cx, .crew = c, .folder = folder, .name = name };
    char *path = step_file(t);
    hds_status status = io_make_folders(folder, error);
    if (status == HDS_OK && io_exists(path)) {
        status = resume(t, path, error);
    } else if (status == HDS_OK) {
        t->live =
            io_exists(start) ? weights_load(cx, start, WEIGHTS_TRAINABLE) : weights_create(cx, 1);
        status = tn_check(cx, error);
    }
    hds_free(path);
    return status;
}

hds_status trainer_begin(trainer *t, hds_error *error)
{
    if (!t->m) {
        t->m = weights_duplicate(t->live, true);
        t->v = weights_duplicate(t->live, true);
        t->mean = weights_duplicate(t->live, false);
    }
    return tn_check(t->cx, error);
}

/* grads and loss become the crew's means. */
static float share(trainer *t, const tn *loss, tn **grads, size_t count)
{
    float *slot = crew_slot(t->crew);
    size_t used = 0;
    slot[used++] = tn_scalar(t->cx, loss);
    for (size_t k = 0; k < count; k++) {
        size_t size = tn_count(t->cx, grads[k]);
        if (used + size > CREW_NUMBERS) {
            tn_fail(t->cx, HDS_ERROR_INTERNAL, "more than %d weights", CREW_NUMBERS);
            return 0;
        }
        tn_to_f32(t->cx, grads[k], slot + used, size);
        used += size;
    }
    float *mean = hds_alloc(used, sizeof *mean);
    crew_mean(t->crew, used, mean);
    for (size_t k = 0, used_up = 1; k < count; k++) {
        int64_t shape[TN_MAX_DIMS];
        int dims = tn_dims(t->cx, grads[k]);
        for (int d = 0; d < dims; d++)
            shape[d] = tn_dim(t->cx, grads[k], d);
        size_t size = tn_count(t->cx, grads[k]);
        grads[k] = tn_from_f32(t->cx, mean + used_up, dims, shape);
        used_up += size;
    }
    float shared = mean[0];
    hds_free(mean);
    return shared;
}

float trainer_step(trainer *t, const tn *loss, double rate, int memory)
{
    size_t count = weights_count(t->live);
    tn **params = hds_alloc(count, sizeof(tn *)), **grads = hds_alloc(count, sizeof(tn *));
    for (size_t k = 0; k < count; k++)
        params[k] = weights_tensor(t->live, k);
    tn_gradients(t->cx, loss, params, count, grads);
    float shared = share(t, loss, grads, count);
    double norm = tn_global_norm(t->cx, grads, count);
    t->step++;
    tn_adamw o = { .step = t->step,
                   .rate = rate,
                   .beta1 = 0.9,
                   .beta2 = 0.99,
                   .eps = 1e-8,
                   .weight_decay = 1e-2,
                   .gradient_scale = norm > 1 ? 1 / norm : 1 };
    double keep = fmin(memory, 1 + 0.1 * (double)t->step);
    for (size_t k = 0; k < count && isfinite(norm); k++) {
        const char *name = weights_name(t->live, k);
        tn_adamw_step(t->cx, params[k], grads[k], weights_find(t->m, name),
                      weights_find(t->v, name), &o);
        tn_lerp_in_place(t->cx, weights_find(t->mean, name), params[k], 1 / keep);
    }
    hds_free(params);
    hds_free(grads);
    return shared;
}

hds_status trainer_save(trainer *t, hds_error *error)
{
    hds_status status = HDS_OK;
    weights *stores[] = { t->live, t->m, t->v, t->mean };
    static const char *const what[] = { "live", "m", "v", "mean" };
    for (int k = 0; k < 4 && status == HDS_OK; k++) {
        char *path = hds_format("%s/%s.%s.safetensors", t->folder, t->name, what[k]);
        status = weights_save(stores[k], path, IO_F32, error);
        hds_free(path);
    }
    char *path = step_file(t);
    json_t *json = json_pack("{s:I}", "step", (json_int_t)t->step);
    if (status == HDS_OK)
        status = io_json_save(json, path, error);
    json_decref(json);
    hds_free(path);
    return status;
}

void trainer_close(trainer *t)
{
    weights_destroy(&t->live);
    weights_destroy(&t->m);
    weights_destroy(&t->v);
    weights_destroy(&t->mean);
}

double trainer_rate(int64_t step, double progress, double peak)
{
    double rise = fmin(1, (double)(step + 1) / 200);
    return peak * rise * (0.02 + 0.49 * (1 + cos(M_PI * fmin(progress, 1))));
}

double trainer_seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW over the weights of several networks, their running mean, and checkpoints. */
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

static char *file(const trainer *t, int part, const char *what)
{
    return hds_format("%s/%s.%s.safetensors", t->folder, t->names[part], what);
}

static weights *load(trainer *t, int part, const char *what, weights_use use)
{
    char *path = file(t, part, what);
    weights *w = path ? weights_load(t->cx, path, use) : NULL;
    hds_free(path);
    return w;
}

static char *step_file(const trainer *t)
{
    return hds_format("%s/%s.step.json", t->folder, t->names[0]);
}

hds_status trainer_open(trainer *t, tn_context *cx, const char *folder, int parts,
                        const char *const *names, hds_error *error)
{
    *t = (trainer){ .cx = cx, .folder = folder, .parts = parts };
    for (int i = 0; i < parts; i++)
        t->names[i] = names[i];
    char *path = step_file(t);
    bool resumed = path && io_exists(path);
    hds_status status = io_make_folders(folder, error);
    if (status == HDS_OK && resumed) {
        json_t *json;
        status = io_json_load(&json, path, error);
        if (status == HDS_OK) {
            t->step = json_integer_value(json_object_get(json, "step"));
            json_decref(json);
        }
    }
    hds_free(path);
    for (int i = 0; i < parts && status == HDS_OK; i++) {
        t->live[i] = resumed ? load(t, i, "live", WEIGHTS_TRAINABLE)
                             : weights_create(cx, 1 + (uint64_t)i);
        if (resumed) {
            t->m[i] = load(t, i, "m", WEIGHTS_TRAINABLE);
            t->v[i] = load(t, i, "v", WEIGHTS_TRAINABLE);
            t->mean[i] = load(t, i, "mean", WEIGHTS_TRAINABLE);
        }
        status = tn_check(cx, error);
    }
    return status;
}

hds_status trainer_begin(trainer *t, hds_error *error)
{
    for (int i = 0; i < t->parts; i++) {
        if (t->m[i])
            continue;
        t->m[i] = weights_duplicate(t->live[i], true);
        t->v[i] = weights_duplicate(t->live[i], true);
        t->mean[i] = weights_duplicate(t->live[i], false);
    }
    return tn_check(t->cx, error);
}

float trainer_step(trainer *t, const tn *loss, double rate, int memory)
{
    size_t count = 0, k = 0;
    for (int i = 0; i < t->parts; i++)
        count += weights_count(t->live[i]);
    tn **params = hds_alloc(count, sizeof(tn *)), **grads = hds_alloc(count, sizeof(tn *));
    for (int i = 0; i < t->parts; i++)
        for (size_t j = 0; j < weights_count(t->live[i]); j++)
            params[k++] = weights_tensor(t->live[i], j);
    tn_gradients(t->cx, loss, params, count, grads);
    double norm = tn_global_norm(t->cx, grads, count);
    t->step++;
    tn_adamw o = { .step = t->step, .rate = rate, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8,
                   .weight_decay = 1e-2, .gradient_scale = norm > 1 ? 1 / norm : 1 };
    double keep = fmin(memory, 1 + 0.1 * (double)t->step);
    k = 0;
    for (int i = 0; i < t->parts && isfinite(norm); i++)
        for (size_t j = 0; j < weights_count(t->live[i]); j++, k++) {
            tn *mean = weights_find(t->mean[i], weights_name(t->live[i], j));
            tn_adamw_step(t->cx, params[k], grads[k],
                          weights_find(t->m[i], weights_name(t->live[i], j)),
                          weights_find(t->v[i], weights_name(t->live[i], j)), &o);
            tn_lerp_in_place(t->cx, mean, params[k], 1 / keep);
        }
    hds_free(params);
    hds_free(grads);
    return tn_scalar(t->cx, loss);
}

hds_status trainer_save(trainer *t, hds_error *error)
{
    hds_status status = HDS_OK;
    for (int i = 0; i < t->parts; i++) {
        weights *stores[] = { t->live[i], t->m[i], t->v[i], t->mean[i] };
        static const char *const what[] = { "live", "m", "v", "mean" };
        for (int k = 0; k < 4 && status == HDS_OK; k++) {
            char *path = file(t, i, what[k]);
            status = weights_save(stores[k], path, IO_F32, error);
            hds_free(path);
        }
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
    for (int i = 0; i < t->parts; i++) {
        weights_destroy(&t->live[i]);
        weights_destroy(&t->m[i]);
        weights_destroy(&t->v[i]);
        weights_destroy(&t->mean[i]);
    }
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

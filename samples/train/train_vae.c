/* SPDX-License-Identifier: Apache-2.0 */
/* The VAE of the sample prior, and the latents of many pictures that the UNet learns from. */
#include "train_prior.h"

#include "diffusion/diffusion.h"
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { BATCH = 16, POOL = 4096, PIXELS = DATA_SIZE * DATA_SIZE * 3 };
enum { SIDE = TRAIN_LATENT_SIDE, EACH = TRAIN_LATENT_NUMBERS };

typedef struct pool {
    const data *d;
    uint64_t seed, first;
    uint8_t *pixels;
    data_sample *samples;
    bool failed;
} pool;

static void make_one(void *context, size_t i)
{
    pool *p = context;
    if (!data_make(p->d, p->seed, p->first + i, p->pixels + i * PIXELS, &p->samples[i]))
        p->failed = true;
}

static hds_status pool_fill(pool *p, size_t count, hds_error *error)
{
    threads_parallel(count, make_one, p);
    return p->failed ? hds_raise(error, HDS_ERROR_MEMORY, "out of memory for pictures") : HDS_OK;
}

static hds_status pool_init(pool *p, const train *t, uint64_t seed, size_t count, hds_error *error)
{
    *p = (pool){ .d = t->data,
                 .seed = seed,
                 .pixels = hds_alloc(count, PIXELS),
                 .samples = hds_alloc(count, sizeof(data_sample)) };
    return p->pixels && p->samples ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
}

static void pool_finish(pool *p)
{
    hds_free(p->pixels);
    hds_free(p->samples);
}

/* The square of `side` pixels at (row, column) of a picture -> (3,side,side) in [-1,1]. */
static void crop(const uint8_t *pixels, int side, int row, int column, float *planes)
{
    for (int i = 0; i < side; i++)
        for (int j = 0; j < side; j++)
            for (int c = 0; c < 3; c++)
                planes[(c * side + i) * side + j] =
                    (float)pixels[3 * ((row + i) * DATA_SIZE + column + j) + c] / 127.5f - 1;
}

static void to_planes(const uint8_t *pixels, float *planes)
{
    crop(pixels, DATA_SIZE, 0, 0, planes);
}

/* mean((x-y)^2) + mean|x-y| / 8, and the divergence from N(0,1) of the latents, a little. */
static tn *vae_loss(const vae_config *c, const at *p, const float *images, int count, int side,
                    const float *noise)
{
    tn_context *cx = p->cx;
    tn *x = tn_from_f32(cx, images, TN_SHAPE(count, 3, side, side));
    vae_moments m = vae_encode(c, p, x);
    tn *e = tn_from_f32(cx, noise, TN_SHAPE(count, 4, side / 8, side / 8));
    tn *z = tn_add(cx, m.mean, tn_mul(cx, tn_exp(cx, tn_affine(cx, m.logvar, 0.5, 0)), e));
    tn *y = vae_decode(c, p, z);
    tn *kl = tn_sub(cx, tn_add(cx, tn_mul(cx, m.mean, m.mean), tn_exp(cx, m.logvar)), m.logvar);
    tn *loss = tn_add(cx, tn_mean_square(cx, x, y),
                      tn_affine(cx, tn_mean(cx, tn_abs(cx, tn_sub(cx, x, y))), 0.125, 0));
    return tn_add(cx, loss, tn_affine(cx, tn_mean(cx, kl), 3e-5, 0));
}

static hds_status vae_step(train *t, trainer *r, const vae_config *c, const pool *p, int64_t steps,
                           float *loss, hds_error *error)
{
    static float images[BATCH * PIXELS], noise[BATCH * EACH];
    rng g = rng_make(11, (uint64_t)r->step);
    /* Quarters teach as much as whole pictures and cost a quarter; the norms, whose statistics are
     * of the whole input, see whole pictures in the end. */
    double progress = (double)r->step / (double)steps;
    int side = progress < 0.92 ? DATA_SIZE / 2 : DATA_SIZE;
    for (int i = 0; i < BATCH; i++) {
        const uint8_t *picture = p->pixels + (size_t)rng_below(&g, POOL) * PIXELS;
        uint32_t room = (uint32_t)(DATA_SIZE - side) + 1;
        int row = (int)rng_below(&g, room), column = (int)rng_below(&g, room);
        crop(picture, side, row, column, images + i * 3 * side * side);
    }
    rng_normal_fill(&g, noise, BATCH * EACH);
    size_t scope = tn_enter(t->cx);
    at root = at_root(t->cx, r->live);
    int count = BATCH / t->crew.count, first = count * t->crew.rank;
    tn *l = vae_loss(c, &root, images + first * 3 * side * side, count, side,
                     noise + first * 4 * side * side / 64);
    *loss = trainer_step(r, l, trainer_rate(r->step, progress, 1.5e-3), 300);
    tn_leave(t->cx, scope, NULL);
    return tn_check(t->cx, error);
}

/* Makes the mean of the latents' variance 1, as the UNet expects. */
static hds_status set_scaling(train *t, weights *w, const vae_config *c, const pool *p,
                              hds_error *error)
{
    double square = 0;
    static float images[BATCH * PIXELS], latents[BATCH * EACH];
    for (int b = 0; b < 16; b++) {
        for (int i = 0; i < BATCH; i++)
            to_planes(p->pixels + (size_t)(b * BATCH + i) * PIXELS, images + i * PIXELS);
        size_t scope = tn_enter(t->cx);
        at root = at_root(t->cx, w);
        tn *x = tn_from_f32(t->cx, images, TN_SHAPE(BATCH, 3, DATA_SIZE, DATA_SIZE));
        tn_to_f32(t->cx, vae_encode(c, &root, x).mean, latents, BATCH * EACH);
        tn_leave(t->cx, scope, NULL);
        for (int i = 0; i < BATCH * EACH; i++)
            square += (double)latents[i] * latents[i] / (16.0 * BATCH * EACH);
    }
    hds_status status = tn_check(t->cx, error);
    json_t *json = NULL;
    char *path = hds_format("%s/vae/config.json", t->folder);
    if (status == HDS_OK)
        status = io_json_load(&json, path, error);
    if (status == HDS_OK) {
        json_object_set_new(json, "scaling_factor", json_real(floor(1e5 / sqrt(square)) / 1e5));
        status = io_json_save(json, path, error);
    }
    json_decref(json);
    hds_free(path);
    return status;
}

static char *vae_weights(const train *t)
{
    return hds_format("%s/vae/diffusion_pytorch_model.safetensors", t->folder);
}

static hds_status save_vae(train *t, trainer *r, const vae_config *c, const pool *p,
                           hds_error *error)
{
    char *path = vae_weights(t);
    hds_status status = weights_save(r->mean, path, IO_F16, error);
    if (status == HDS_OK)
        status = set_scaling(t, r->mean, c, p, error);
    hds_free(path);
    /* The latents of an earlier VAE mean nothing to this one. */
    path = hds_format("%s/latents.bin", t->work);
    (void)unlink(path);
    hds_free(path);
    return status;
}

hds_status train_vae(train *t, int64_t steps, hds_error *error)
{
    vae_config c;
    pool p;
    trainer r;
    char *path = hds_format("%s/vae/config.json", t->folder);
    hds_status status = vae_config_load(&c, path, error);
    hds_free(path);
    if (status == HDS_OK)
        status = pool_init(&p, t, 21, POOL, error);
    if (status == HDS_OK)
        status = pool_fill(&p, POOL, error);
    if (status != HDS_OK)
        return status;
    if (!t->crew.rank)
        printf("vae: %d pictures\n", POOL);
    char *file = vae_weights(t);
    status = trainer_open(&r, t->cx, &t->crew, t->work, "vae", file, error);
    hds_free(file);
    at root = at_root(t->cx, r.live);
    vae_survey(&c, &root);
    if (status == HDS_OK)
        status = trainer_begin(&r, error);
    tn_set_grad(t->cx, true);
    double began = trainer_seconds(), mean = 0;
    int64_t first = r.step;
    while (status == HDS_OK && r.step < steps) {
        float loss;
        status = vae_step(t, &r, &c, &p, steps, &loss, error);
        mean = mean ? mean + 0.02 * (loss - mean) : loss;
        if (t->crew.rank)
            continue;
        if (r.step % 50 == 0)
            printf("vae %lld/%lld loss %.5f %.1f pictures/s\n", (long long)r.step, (long long)steps,
                   mean, (double)(BATCH * (r.step - first)) / (trainer_seconds() - began));
        if (status == HDS_OK && (r.step % 500 == 0 || r.step == steps))
            status = trainer_save(&r, error);
    }
    tn_set_grad(t->cx, false);
    if (status == HDS_OK && !t->crew.rank)
        status = save_vae(t, &r, &c, &p, error);
    trainer_close(&r);
    pool_finish(&p);
    return status;
}

static void encode_pool(train *t, const vae_config *c, weights *w, const pool *p, size_t count,
                        train_record *records)
{
    static float images[TRAIN_CHUNK * PIXELS], latents[TRAIN_CHUNK * EACH];
    for (size_t i = 0; i < count; i++)
        to_planes(p->pixels + i * PIXELS, images + i * PIXELS);
    size_t scope = tn_enter(t->cx);
    at root = at_root(t->cx, w);
    tn *x = tn_from_f32(t->cx, images, TN_SHAPE((int64_t)count, 3, DATA_SIZE, DATA_SIZE));
    tn_to_f32(t->cx, vae_encode(c, &root, x).mean, latents, count * EACH);
    tn_leave(t->cx, scope, NULL);
    for (size_t i = 0; i < count; i++) {
        records[i].sample = p->samples[i];
        for (int k = 0; k < EACH; k++)
            records[i].latents[k] = latents[i * EACH + (size_t)k] * (float)c->scaling;
    }
}

hds_status train_latents(train *t, int64_t count, hds_error *error)
{
    char *path = hds_format("%s/latents.bin", t->work);
    char *config = hds_format("%s/vae/config.json", t->folder);
    char *file = vae_weights(t);
    vae_config c;
    pool p;
    hds_status status = vae_config_load(&c, config, error);
    weights *w = status == HDS_OK ? weights_load(t->cx, file, WEIGHTS_FROZEN) : NULL;
    if (status == HDS_OK)
        status = tn_check(t->cx, error);
    if (status == HDS_OK)
        status = pool_init(&p, t, 22, TRAIN_CHUNK, error);
    if (status == HDS_OK)
        status = io_make_folders(t->work, error);
    FILE *out = status == HDS_OK ? fopen(path, "ab") : NULL;
    if (status == HDS_OK && !out)
        status = hds_raise(error, HDS_ERROR_OS, "%s: cannot be written", path);
    static train_record records[TRAIN_CHUNK];
    int64_t done = 0;
    if (out) {
        /* Whole chunks only: what a kill left of the last one is cut off. */
        done = ftell(out) / (int64_t)sizeof records;
        if (ftruncate(fileno(out), done * (off_t)sizeof records))
            status = hds_raise(error, HDS_ERROR_OS, "%s: cannot be truncated", path);
        done *= TRAIN_CHUNK;
    }
    double began = trainer_seconds();
    int64_t first = done;
    while (status == HDS_OK && done < count) {
        p.first = (uint64_t)done;
        status = pool_fill(&p, TRAIN_CHUNK, error);
        if (status == HDS_OK)
            encode_pool(t, &c, w, &p, TRAIN_CHUNK, records);
        if (status == HDS_OK)
            status = tn_check(t->cx, error);
        if (status == HDS_OK && fwrite(records, sizeof records, 1, out) != 1)
            status = hds_raise(error, HDS_ERROR_OS, "%s: the disk is full", path);
        done += TRAIN_CHUNK;
        if (done / TRAIN_CHUNK % 20 == 0)
            printf("latents %lld/%lld %.1f pictures/s\n", (long long)done, (long long)count,
                   (double)(done - first) / (trainer_seconds() - began));
    }
    if (out && fclose(out) && status == HDS_OK)
        status = hds_raise(error, HDS_ERROR_OS, "%s: the disk is full", path);
    if (out)
        pool_finish(&p);
    weights_destroy(&w);
    hds_free(path);
    hds_free(config);
    hds_free(file);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* Sampling: a prior's UNet under classifier-free guidance, one of the samplers, the decoder. */
#include "headsds/sample.h"

#include "prior_priv.h"

#include <math.h>
#include <string.h>

enum { DEFAULT_STEPS = 25, FIRST_NOISE = 0, STEP_NOISE = 1 };

static const struct {
    const char *name;
    sampler_kind kind;
} kinds[] = {
    { "ddim", SAMPLER_DDIM },       { "ddpm", SAMPLER_DDPM },
    { "pndm", SAMPLER_PNDM },       { "euler", SAMPLER_EULER },
    { "unipc", SAMPLER_UNIPC },     { "euler_ancestral", SAMPLER_EULER_ANCESTRAL },
    { "dpm++_2m", SAMPLER_DPM_2M },
};

static hds_status kind_of(const char *name, sampler_kind *kind, hds_error *error)
{
    *kind = SAMPLER_OF_FILE;
    if (!name)
        return HDS_OK;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (!strcmp(name, kinds[i].name)) {
            *kind = kinds[i].kind;
            return HDS_OK;
        }
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "scheduler is \"%.40s\", expected ddim, ddpm, pndm, euler, euler_ancestral, "
                     "unipc or dpm++_2m",
                     name);
}

void hds_sample_size(const hds_prior *prior, const hds_sample_params *params, size_t *height,
                     size_t *width)
{
    size_t usual = (size_t)prior->unet.sample_size * PRIOR_FACTOR;
    *height = params->height ? params->height : usual;
    *width = params->width ? params->width : usual;
}

/* What a run works in. */
typedef struct run {
    const hds_sample_params *params;
    sampler sampler;
    size_t height, width, numbers;
    size_t chunks; /* of the longer text */
    float guidance, picture_guidance;
    float *picture;                          /* (numbers) of a prior that edits, else NULL */
    const char *texts[2];                    /* prompt, negative prompt */
    float *text, *negative;                  /* (77 chunks,C) */
    float *latents, *input, *output, *noise; /* (numbers) */
} run;

static hds_status check(const hds_prior *p, const hds_sample_params *s, hds_error *error)
{
    size_t height, width;
    hds_sample_size(p, s, &height, &width);
    hds_status status = prior_check_size(1, height, width, PRIOR_FACTOR, error);
    if (status == HDS_OK && !s->prompt)
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "prompt is NULL");
    if (status == HDS_OK && (s->steps < 0 || s->steps > p->schedule.count))
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "steps is %d, expected 1 to %d", s->steps,
                           p->schedule.count);
    if (status == HDS_OK && !(s->guidance_scale >= 0 && s->guidance_scale <= 1e4f))
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "guidance_scale is %g, expected 0 to 10000",
                           (double)s->guidance_scale);
    if (status == HDS_OK && !(s->strength >= 0 && s->strength <= 1))
        status = hds_raise(error, HDS_ERROR_ARGUMENT, "strength is %g, expected more than 0 to 1",
                           (double)s->strength);
    if (status == HDS_OK && !(s->image_guidance_scale >= 0 && s->image_guidance_scale <= 1e4f))
        status =
            hds_raise(error, HDS_ERROR_ARGUMENT, "image_guidance_scale is %g, expected 0 to 10000",
                      (double)s->image_guidance_scale);
    if (status == HDS_OK && prior_edits(p) && !s->image)
        status = hds_raise(error, HDS_ERROR_ARGUMENT,
                           "image is not given: %s edits pictures (InstructPix2Pix)", p->path);
    return status;
}

/* The sampler that the params ask for, on the schedule of the prior. */
static hds_status open_sampler(const hds_prior *p, run *r, hds_error *error)
{
    const hds_sample_params *s = r->params;
    int steps = s->steps ? s->steps : DEFAULT_STEPS, skip = 0;
    double strength = s->strength > 0 ? s->strength : 0.8;
    if (s->image && !prior_edits(p))
        skip = steps - (int)fmax(1, floor(steps * strength + 1e-6));
    json_t *json = NULL;
    sampler_kind kind;
    sampler_config config;
    char *path = hds_format("%s/scheduler/scheduler_config.json", p->folder);
    hds_status status = path ? kind_of(s->scheduler, &kind, error)
                             : hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
    if (status == HDS_OK)
        status = io_json_load(&json, path, error);
    if (status == HDS_OK)
        status = sampler_config_read(&config, json, path, kind, error);
    config.velocity = p->schedule.velocity;
    if (status == HDS_OK)
        status = sampler_init(&r->sampler, &config, &p->schedule, steps, skip, r->numbers, error);
    json_decref(json);
    hds_free(path);
    return status;
}

static void draw_noise(const run *r, int purpose, int step)
{
    rng random = rng_make(r->params->seed, ((uint64_t)purpose << 32) + (uint64_t)step);
    rng_normal_fill(&random, r->noise, r->numbers);
}

/* Noise, or the picture with noise; noise beside the picture where it is edited. */
static hds_status begin(hds_prior *p, run *r, hds_error *error)
{
    hds_status status = HDS_OK;
    bool from_picture = r->params->image && !prior_edits(p);
    if (r->params->noise)
        memcpy(r->noise, r->params->noise, r->numbers * sizeof *r->noise);
    else
        draw_noise(r, FIRST_NOISE, 0);
    if (r->params->image)
        status =
            hds_prior_encode_image(p, r->params->image, 1, r->height, r->width, r->input, error);
    if (status == HDS_OK && from_picture)
        sampler_add_noise(&r->sampler, r->input, r->noise, r->latents);
    for (size_t k = 0; k < r->numbers && !from_picture; k++)
        r->latents[k] = (float)(r->sampler.noise_scale * r->noise[k]);
    for (size_t k = 0; k < r->numbers && r->picture; k++)
        r->picture[k] = (float)(r->input[k] / p->vae.scaling);
    return status;
}

/* Tells the caller; `step` evaluations are done. */
static hds_status report(const run *r, int step, hds_error *error)
{
    bool (*progress)(void *, int, int, const float *) = r->params->progress;
    if (!progress || progress(r->params->context, step, r->sampler.count, r->latents))
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_CANCELLED, "cancelled after step %d of %d", step,
                     r->sampler.count);
}

static hds_status take_step(hds_prior *p, run *r, int i, hds_error *error)
{
    sampler_scale_input(&r->sampler, i, r->latents, r->input);
    prior_request request = { .count = 1,
                              .h = r->height / PRIOR_FACTOR,
                              .w = r->width / PRIOR_FACTOR,
                              .latents = r->input,
                              .timesteps = &r->sampler.timesteps[i],
                              .tokens = r->chunks * HDS_TOKENS,
                              .text = r->text,
                              .negative = r->negative,
                              .guidance_scale = r->guidance,
                              .controls = r->params->controls,
                              .control_count = r->params->control_count,
                              .image = r->picture,
                              .image_guidance_scale = r->picture_guidance,
                              .raw = true,
                              .noise = r->output };
    hds_status status = prior_predict(p, &request, error);
    if (status != HDS_OK)
        return status;
    if (r->sampler.stochastic)
        draw_noise(r, STEP_NOISE, i);
    sampler_step(&r->sampler, i, r->output, r->latents, r->sampler.stochastic ? r->noise : NULL,
                 r->latents);
    return report(r, i + 1, error);
}

static hds_status run_all(hds_prior *p, run *r, float *image, hds_error *error)
{
    hds_status status = hds_prior_encode_texts(p, r->texts, 2, r->chunks, r->text, error);
    if (status == HDS_OK)
        status = begin(p, r, error);
    if (status == HDS_OK)
        status = report(r, 0, error);
    for (int i = 0; i < r->sampler.count && status == HDS_OK; i++)
        status = take_step(p, r, i, error);
    if (status == HDS_OK)
        status = hds_prior_decode_latents(p, r->latents, 1, r->height / PRIOR_FACTOR,
                                          r->width / PRIOR_FACTOR, image, error);
    return status;
}

hds_status hds_prior_sample(hds_prior *p, const hds_sample_params *params, float *image,
                            hds_error *error)
{
    hds_status status = check(p, params, error);
    if (status != HDS_OK)
        return status;
    run r = { .params = params,
              .texts = { params->prompt, params->negative_prompt ? params->negative_prompt : "" },
              .guidance = params->guidance_scale > 0 ? params->guidance_scale : 7.5f,
              .picture_guidance =
                  params->image_guidance_scale > 0 ? params->image_guidance_scale : 1.5f };
    hds_sample_size(p, params, &r.height, &r.width);
    r.numbers = prior_latent_numbers(p, 1, r.height, r.width);
    status = hds_prior_count_chunks(p, r.texts, 2, &r.chunks, error);
    if (status != HDS_OK)
        return status;
    size_t states = r.chunks * HDS_TOKENS * (size_t)p->clip.width;
    r.text = hds_alloc(2 * states + 5 * r.numbers, sizeof *r.text);
    if (!r.text)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for a picture of %zux%zu", r.width,
                         r.height);
    r.negative = r.text + states;
    r.latents = r.negative + states;
    r.input = r.latents + r.numbers;
    r.output = r.input + r.numbers;
    r.noise = r.output + r.numbers;
    r.picture = prior_edits(p) ? r.noise + r.numbers : NULL;
    status = open_sampler(p, &r, error);
    if (status == HDS_OK)
        status = run_all(p, &r, image, error);
    sampler_finish(&r.sampler);
    hds_free(r.text);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* fidelity: does a head become what its prompt says?
 *
 * For each named attribute and pole a head is made from "a head with <pole>" with several seeds and
 * measured: shape attributes from the geometry (the linear measure that head.npz carries), texture
 * attributes from the texture (painter_measure), never by the prior. Printed as a table: the share
 * of runs that moved toward the pole by at least one standard deviation of the population, the
 * share of pole pairs that end in the right order, and the drift of what was not named.
 * --shuffled names a pole of another attribute, drawn at random, than the one that is measured:
 * chance level. */
#include "captions.h"
#include "paint.h"

#include "headsds/headsds.h"
#include "io/io.h"

#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST_SETTINGS = 32 };
typedef struct options {
    int seeds, first, last; /* attributes [first, last) */
    bool shuffled;
    hds_setting settings[MOST_SETTINGS + 1]; /* the last: which stage is skipped */
    size_t setting_count;
} options;

typedef struct bench {
    hds_head_model *model;
    hds_prior *prior;
    io_npz file;
    const float *measure, *offset; /* (SHAPE, components), (SHAPE) */
    size_t components;
    painter *painter;
    options o;
    float start[CAPTION_ATTRIBUTES]; /* of the head that every run starts from */
} bench;

typedef struct tally {
    int moved[2], ordered, runs;
    double mean[2], drift; /* sums */
} tally;

static hds_status load_measure(bench *b, hds_error *error)
{
    char *path = NULL;
    hds_status status = io_data_path(&path, "head/head.npz", error);
    if (status == HDS_OK)
        status = io_npz_open(&b->file, path, 0, error);
    if (status == HDS_OK) {
        const io_array *m = io_npz_find(&b->file, "attribute_measure");
        const io_array *o = io_npz_find(&b->file, "attribute_offset");
        if (!m || !o || m->kind != 'f' || m->itemsize != 4 || m->dims != 2 ||
            m->shape[0] != CAPTION_SHAPE || o->itemsize != 4 ||
            o->size != CAPTION_SHAPE * sizeof(float)) {
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: attribute_measure: missing", path);
        } else {
            b->measure = m->data;
            b->offset = o->data;
            b->components = (size_t)m->shape[1];
        }
    }
    hds_free(path);
    return status;
}

static hds_status measure(const bench *b, const hds_head *head, float *attributes, hds_error *error)
{
    hds_head_info info;
    hds_head_get_info(head, &info);
    for (int a = 0; a < CAPTION_SHAPE; a++) {
        attributes[a] = b->offset[a];
        for (size_t k = 0; k < b->components; k++)
            attributes[a] += b->measure[(size_t)a * b->components + k] * info.shape[k];
    }
    if (!info.texture)
        return hds_raise(error, HDS_ERROR_FORMAT, "the sample head has no mean texture");
    if (!painter_measure(b->painter, info.texture, attributes + CAPTION_SHAPE))
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory");
    return HDS_OK;
}

typedef struct choice {
    int attribute, pole;
} choice;

/* Any other attribute of the same kind, and either of its poles. */
static choice another(int attribute, int pole, int seed)
{
    rng r = rng_make(91 + (uint64_t)seed, (uint64_t)(2 * attribute + pole));
    bool texture = attribute >= CAPTION_SHAPE;
    int base = texture ? CAPTION_SHAPE : 0, count = texture ? CAPTION_TEXTURE : CAPTION_SHAPE;
    int steps = 1 + (int)rng_below(&r, (uint32_t)count - 1);
    return (choice){ base + (attribute - base + steps) % count, (int)rng_below(&r, 2) };
}

static hds_status make(const bench *b, int attribute, int pole, int seed, float *attributes,
                       hds_error *error)
{
    char prompt[128];
    choice named = { attribute, pole };
    if (b->o.shuffled)
        named = another(attribute, pole, seed);
    const caption_attribute *c = &caption_attributes[named.attribute];
    snprintf(prompt, sizeof prompt, "a head with %s", named.pole ? c->high[0] : c->low[0]);
    hds_setting settings[MOST_SETTINGS + 1];
    memcpy(settings, b->o.settings, sizeof settings);
    settings[b->o.setting_count] =
        (hds_setting){ attribute < CAPTION_SHAPE ? "texture.skip" : "geometry.skip", "true" };
    hds_generate_params p = { .prompt = prompt,
                              .model = b->model,
                              .prior = b->prior,
                              .seed = (uint64_t)seed,
                              .settings = settings,
                              .setting_count = b->o.setting_count + 1 };
    hds_job *job = NULL;
    hds_head *head = NULL;
    hds_status status = hds_job_create(&job, &p, error);
    if (status == HDS_OK)
        status = hds_job_start(job, error);
    if (status == HDS_OK)
        status = hds_job_wait(job, -1, &head, error);
    if (status == HDS_OK)
        status = measure(b, head, attributes, error);
    hds_head_unref(head);
    hds_job_destroy(&job);
    return status;
}

/* Mean square of the changes in the attributes of the same kind that the prompt does not name. */
static double drift(const bench *b, int attribute, const float *attributes)
{
    bool texture = attribute >= CAPTION_SHAPE;
    int first = texture ? CAPTION_SHAPE : 0, last = texture ? CAPTION_ATTRIBUTES : CAPTION_SHAPE;
    double sum = 0;
    for (int a = first; a < last; a++)
        if (a != attribute)
            sum += (attributes[a] - b->start[a]) * (attributes[a] - b->start[a]);
    return sum / (last - first - 1);
}

static hds_status run_attribute(const bench *b, int attribute, tally *t, hds_error *error)
{
    *t = (tally){ .runs = b->o.seeds };
    for (int seed = 0; seed < b->o.seeds; seed++) {
        float change[2];
        for (int pole = 0; pole < 2; pole++) {
            float attributes[CAPTION_ATTRIBUTES];
            hds_status status = make(b, attribute, pole, seed, attributes, error);
            if (status != HDS_OK)
                return status;
            change[pole] = attributes[attribute] - b->start[attribute];
            t->moved[pole] += pole ? change[pole] >= 1 : change[pole] <= -1;
            t->mean[pole] += change[pole];
            t->drift += drift(b, attribute, attributes);
        }
        t->ordered += change[1] > change[0];
    }
    printf("| %s | %s | %d/%d | %+.2f | %s | %d/%d | %+.2f | %d/%d | %.2f |\n",
           caption_attributes[attribute].name, caption_attributes[attribute].high[0], t->moved[1],
           t->runs, t->mean[1] / t->runs, caption_attributes[attribute].low[0], t->moved[0],
           t->runs, t->mean[0] / t->runs, t->ordered, t->runs, sqrt(t->drift / (2 * t->runs)));
    fflush(stdout);
    return HDS_OK;
}

static void summarise(const char *what, const tally *tallies, int first, int last)
{
    int moved = 0, ordered = 0, runs = 0;
    double square = 0;
    for (int a = first; a < last; a++) {
        moved += tallies[a].moved[0] + tallies[a].moved[1];
        ordered += tallies[a].ordered;
        runs += tallies[a].runs;
        square += tallies[a].drift;
    }
    if (runs)
        printf(
            "%s attributes: %.1f%% of %d runs moved by one standard deviation or more, %.1f%% of "
            "%d pairs in the right order, drift of unnamed attributes %.2f\n",
            what, 50.0 * moved / runs, 2 * runs, 100.0 * ordered / runs, runs,
            sqrt(square / (2 * runs)));
}

static hds_status run(bench *b, hds_error *error)
{
    hds_head *head = NULL;
    hds_status status = hds_head_create(&head, &(hds_head_params){ .model = b->model }, error);
    if (status == HDS_OK)
        status = measure(b, head, b->start, error);
    hds_head_unref(head);
    tally tallies[CAPTION_ATTRIBUTES] = { 0 };
    time_t now = time(NULL);
    char date[32];
    strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
    printf("%s, %d threads, %d seeds%s\n\n", date, threads_count(), b->o.seeds,
           b->o.shuffled ? ", SHUFFLED prompts" : "");
    printf("| attribute | high pole | moved | mean | low pole | moved | mean | order | drift |\n"
           "|---|---|---|---|---|---|---|---|---|\n");
    for (int a = b->o.first; a < b->o.last && status == HDS_OK; a++)
        status = run_attribute(b, a, &tallies[a], error);
    printf("\n");
    summarise("Shape", tallies, 0, CAPTION_SHAPE);
    summarise("Texture", tallies, CAPTION_SHAPE, CAPTION_ATTRIBUTES);
    return status;
}

static int attribute_named(const char *name)
{
    for (int i = 0; i < CAPTION_ATTRIBUTES; i++)
        if (!strcmp(name, caption_attributes[i].name))
            return i;
    fprintf(stderr, "fidelity: no attribute \"%s\"; there are", name);
    for (int i = 0; i < CAPTION_ATTRIBUTES; i++)
        fprintf(stderr, " %s", caption_attributes[i].name);
    fprintf(stderr, "\n");
    return -1;
}

static bool add_setting(options *o, char *text)
{
    char *equals = strchr(text, '=');
    if (!equals || o->setting_count == MOST_SETTINGS)
        return false;
    *equals = 0;
    o->settings[o->setting_count++] = (hds_setting){ text, equals + 1 };
    return true;
}

static bool parse(int count, char **arguments, options *o, const char **prior)
{
    static const struct option known[] = { { "seeds", required_argument, NULL, 's' },
                                           { "attribute", required_argument, NULL, 'a' },
                                           { "shape", no_argument, NULL, 'g' },
                                           { "texture", no_argument, NULL, 't' },
                                           { "shuffled", no_argument, NULL, 'x' },
                                           { "set", required_argument, NULL, 'o' },
                                           { "prior", required_argument, NULL, 'p' },
                                           { "threads", required_argument, NULL, 'j' },
                                           { 0 } };
    *o = (options){ .seeds = 5, .last = CAPTION_ATTRIBUTES };
    for (int c; (c = getopt_long(count, arguments, "", known, NULL)) != -1;) {
        float number = optarg ? strtof(optarg, NULL) : 0;
        if (c == 's')
            o->seeds = (int)number;
        else if (c == 'a')
            o->first = attribute_named(optarg), o->last = o->first + 1;
        else if (c == 'g')
            o->last = CAPTION_SHAPE;
        else if (c == 't')
            o->first = CAPTION_SHAPE;
        else if (c == 'x')
            o->shuffled = true;
        else if (c == 'o' && !add_setting(o, optarg))
            return false;
        else if (c == 'p')
            *prior = optarg;
        else if (c == 'j')
            threads_set_count((int)number);
        else
            return false;
    }
    return optind == count && o->seeds > 0 && o->first >= 0;
}

int main(int count, char **arguments)
{
    bench b = { 0 };
    const char *prior = NULL;
    if (!parse(count, arguments, &b.o, &prior)) {
        fprintf(stderr,
                "usage: fidelity [--seeds N] [--attribute NAME | --shape | --texture] "
                "[--shuffled] [--set STAGE.OPTION=VALUE]... [--prior FOLDER] [--threads N]\n");
        return 2;
    }
    hds_error error = { 0 };
    hds_status status = hds_head_model_load(&b.model, &(hds_head_model_params){ 0 }, &error);
    if (status == HDS_OK)
        status = hds_prior_load(&b.prior, &(hds_prior_params){ .path = prior }, &error);
    if (status == HDS_OK)
        status = load_measure(&b, &error);
    if (status == HDS_OK) {
        hds_head_model_info info;
        hds_head_model_get_info(b.model, &info);
        b.painter = painter_create((int)info.texture_width);
        status = b.painter ? run(&b, &error) : hds_raise(&error, HDS_ERROR_MEMORY, "out of memory");
    }
    if (status != HDS_OK)
        fprintf(stderr, "fidelity: %s\n", error.message);
    painter_destroy(b.painter);
    io_npz_close(&b.file);
    hds_prior_unref(b.prior);
    hds_head_model_unref(b.model);
    return status != HDS_OK;
}

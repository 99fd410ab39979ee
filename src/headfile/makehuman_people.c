/* SPDX-License-Identifier: Apache-2.0 */
/* A population of heads as weights of MakeHuman's targets, and its principal components.
 *
 *   head = base + sum_k w_k T_k,  w of MakeHuman's own scale (macro targets: products of shares of
 *          people, sex, age, muscle and weight; modifiers: |x| of the target on x's side)
 *
 * With the covariance of the weights C = L L^T, the rows of L^T T have the covariance of the heads:
 * their principal components are the shape basis, and what one unit of a weight is in coefficients
 * follows from T's products with them. */
#include "makehuman_priv.h"
#include "math/math.h"

#include <math.h>
#include <string.h>

enum { PEOPLES = 3, SEXES = 2, AGES = 4, LEVELS = 3 };
enum { MACROS = PEOPLES * SEXES * AGES + SEXES * AGES * LEVELS * LEVELS };
enum { AGE, MALE, PEOPLE, WEIGHT = PEOPLE + PEOPLES, MUSCLE, FIXED };
enum { HEADS = 3000, COMPONENTS = 100 };
static const uint64_t seed = 2026;
static const char *const peoples[PEOPLES] = { "african", "asian", "caucasian" };
static const char *const sexes[SEXES] = { "female", "male" };
static const char *const ages[AGES] = { "baby", "child", "young", "old" };
static const char *const levels[LEVELS] = { "min", "average", "max" };
static const char *const fixed_names[FIXED] = { "age",       "male",   "african", "asian",
                                                "caucasian", "weight", "muscle" };
static const double age_years[AGES] = { 1, 10.5, 25, 90 }; /* where each target is whole */
/* Standard deviations of modifiers; a third makes caricatures. */
static const double deviation = 0.2, head_deviation = 0.1, side_deviation = 0.05;

/* Folders of targets whose modifiers shape a head. */
static const char *const groups[] = { "head", "forehead", "eyebrows", "eyes", "nose",
                                      "ears", "cheek",    "mouth",    "chin", "neck" };

/* ---- which targets ---- */

/* In the order in which macro_weights goes through them. */
static hds_status list_macros(makehuman_people *p, const char *folder, hds_error *error)
{
    hds_status status = HDS_OK;
    for (int i = 0; !status && i < MACROS; i++) {
        int rest = i - PEOPLES * SEXES * AGES;
        char *name = rest < 0 ? hds_format("%s-%s-%s", peoples[i / (SEXES * AGES)],
                                           sexes[i / AGES % SEXES], ages[i % AGES])
                              : hds_format("universal-%s-%s-%smuscle-%sweight",
                                           sexes[rest / (AGES * LEVELS * LEVELS)],
                                           ages[rest / (LEVELS * LEVELS) % AGES],
                                           levels[rest / LEVELS % LEVELS], levels[rest % LEVELS]);
        status = name ? makehuman_targets_add(&p->targets, folder, name, error)
                      : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for names", folder);
        hds_free(name);
    }
    return status;
}

/* The two words that "nose-hump-decr-incr" ends with and what is before them; a name without two
 * such ends is itself the target above 0. */
static void split_name(const char *name, size_t *stem, size_t *low)
{
    const char *high = strrchr(name, '-'), *middle = high;
    while (middle && middle > name && *--middle != '-')
        ;
    bool has = middle && middle > name && *middle == '-';
    *stem = has ? (size_t)(middle - name) : 0;
    *low = has ? (size_t)(high - middle - 1) : 0;
}

/* A modifier of target.json: both ends, on both sides where it has sides. */
static hds_status add_modifier(makehuman_people *p, const char *folder, const json_t *category,
                               double size, const char *place, hds_error *error)
{
    const char *name = json_string_value(json_object_get(category, "name"));
    bool sided = json_is_true(json_object_get(category, "has_left_and_right"));
    const json_t *targets = json_object_get(category, "targets");
    if (!name || !json_is_array(targets))
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: a category without \"name\" or \"targets\", expected both", place);
    bool one = json_array_size(targets) == (sided ? 2u : 1u);
    size_t stem, low;
    split_name(name, &stem, &low);
    makehuman_modifier *m = &p->modifiers[p->modifier_count++];
    *m = (makehuman_modifier){ .name = hds_strdup(name), .deviation = size };
    for (int side = 0; side < 2; side++)
        m->ends[side][0] = m->ends[side][1] = -1;
    hds_status status =
        m->name ? HDS_OK : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for names", place);
    for (int i = 0; !status && i < (sided ? 4 : 2); i++) {
        const char *side = sided ? (i < 2 ? "l-" : "r-") : "";
        if (one && i % 2 == 0)
            continue; /* there is none below 0 */
        char *end =
            one     ? hds_format("%s%s", side, name)
            : i % 2 ? hds_format("%s%.*s-%s", side, (int)stem, name, name + stem + low + 2)
                    : hds_format("%s%.*s-%.*s", side, (int)stem, name, (int)low, name + stem + 1);
        m->ends[i / 2][i % 2] = (int32_t)p->targets.count;
        status = end ? makehuman_targets_add(&p->targets, folder, end, error)
                     : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for names", place);
        hds_free(end);
    }
    return status;
}

static hds_status list_modifiers(makehuman_people *p, const char *folder, hds_error *error)
{
    json_t *all = NULL, *category;
    char *place = io_join(folder, "target.json");
    hds_status status = place ? io_json_load(&all, place, error)
                              : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
    size_t count = 0, index;
    for (size_t g = 0; g < sizeof groups / sizeof *groups; g++)
        count += json_array_size(json_object_get(json_object_get(all, groups[g]), "categories"));
    p->modifiers = hds_alloc(count, sizeof *p->modifiers);
    if (!status && !p->modifiers)
        status =
            hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for %zu modifiers", place, count);
    for (size_t g = 0; !status && g < sizeof groups / sizeof *groups; g++) {
        const json_t *list = json_object_get(json_object_get(all, groups[g]), "categories");
        char *below = io_join(folder, groups[g]);
        if (!json_is_array(list))
            status = hds_raise(error, HDS_ERROR_FORMAT, "%s: no \"categories\" of \"%s\"", place,
                               groups[g]);
        else if (!below)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
        json_array_foreach(list, index, category) if (!status) status =
            add_modifier(p, below, category, g ? deviation : head_deviation, place, error);
        hds_free(below);
    }
    json_decref(all);
    hds_free(place);
    return status;
}

/* The asymmetric ones: files asym-NAME-l and asym-NAME-r, the two ends of one modifier. */
static hds_status list_asymmetric(makehuman_people *p, const char *folder, hds_error *error)
{
    size_t first = p->targets.count;
    hds_status status = makehuman_targets_add_all(&p->targets, folder, error);
    size_t count = (p->targets.count - first) / 2;
    if (!status && (p->targets.count - first) % 2)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: %zu targets, expected pairs that end in -l and -r", folder,
                           p->targets.count - first);
    makehuman_modifier *all = hds_alloc(p->modifier_count + count, sizeof *all);
    if (!all && !status)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
    if (status) {
        hds_free(all);
        return status;
    }
    memcpy(all, p->modifiers, p->modifier_count * sizeof *all);
    hds_free(p->modifiers);
    p->modifiers = all;
    for (size_t i = 0; !status && i < count; i++) {
        int32_t left = (int32_t)(first + 2 * i);
        char *name = makehuman_target_name(&p->targets.targets[left]);
        char *other = makehuman_target_name(&p->targets.targets[left + 1]);
        size_t length = name ? strlen(name) : 0;
        if (!name || !other)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
        else if (length < 3 || strcmp(name + length - 2, "-l") != 0 || strlen(other) != length ||
                 strncmp(name, other, length - 1) != 0)
            status = hds_raise(error, HDS_ERROR_FORMAT,
                               "%s: %s.target and %s.target, expected pairs that end in -l and -r",
                               folder, name, other);
        else
            name[length - 2] = 0;
        p->modifiers[p->modifier_count++] =
            (makehuman_modifier){ name, { { left, left + 1 }, { -1, -1 } }, deviation };
        hds_free(other);
    }
    return status;
}

hds_status makehuman_people_list(makehuman_people *p, const char *folder, hds_error *error)
{
    *p = (makehuman_people){ 0 };
    char *macros = io_join(folder, "macrodetails"), *asymmetric = io_join(folder, "asym");
    hds_status status = macros && asymmetric
                            ? list_macros(p, macros, error)
                            : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
    if (!status)
        status = list_modifiers(p, folder, error);
    if (!status)
        status = list_asymmetric(p, asymmetric, error);
    p->attribute_count = FIXED + p->modifier_count;
    hds_free(macros);
    hds_free(asymmetric);
    return status;
}

void makehuman_people_finish(makehuman_people *p)
{
    for (size_t i = 0; i < p->modifier_count; i++)
        hds_free(p->modifiers[i].name);
    hds_free(p->modifiers);
    makehuman_targets_finish(&p->targets);
    *p = (makehuman_people){ 0 };
}

/* ---- weights of one head ---- */

static double clamp(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static void age_shares(double years, double shares[AGES])
{
    int i = 0;
    while (i + 2 < AGES && years > age_years[i + 1])
        i++;
    double t = clamp((years - age_years[i]) / (age_years[i + 1] - age_years[i]), 0, 1);
    memset(shares, 0, AGES * sizeof *shares);
    shares[i] = 1 - t;
    shares[i + 1] = t;
}

static void level_shares(double x, double shares[LEVELS])
{
    shares[0] = fmax(0, 1 - 2 * x);
    shares[1] = 1 - fabs(2 * x - 1);
    shares[2] = fmax(0, 2 * x - 1);
}

/* attributes -> w (MACROS) */
static void macro_weights(const double *attributes, double *w)
{
    double age[AGES], muscle[LEVELS], weight[LEVELS];
    const double sex[SEXES] = { 1 - attributes[MALE], attributes[MALE] };
    age_shares(attributes[AGE], age);
    level_shares(attributes[MUSCLE], muscle);
    level_shares(attributes[WEIGHT], weight);
    for (int i = 0; i < PEOPLES * SEXES * AGES; i++)
        *w++ = attributes[PEOPLE + i / (SEXES * AGES)] * sex[i / AGES % SEXES] * age[i % AGES];
    for (int i = 0; i < SEXES * AGES * LEVELS * LEVELS; i++)
        *w++ = sex[i / (AGES * LEVELS * LEVELS)] * age[i / (LEVELS * LEVELS) % AGES] *
               muscle[i / LEVELS % LEVELS] * weight[i % LEVELS];
}

/* Head `index` of the population: attributes (A), w (K). */
static void draw(const makehuman_people *p, uint64_t index, double *attributes, double *w)
{
    rng r = rng_make(seed, index);
    double sum = 0;
    attributes[AGE] = rng_range(&r, 5, 90);
    attributes[MALE] = 1 / (1 + exp(-4 * rng_normal(&r))); /* mostly one or the other */
    for (int i = 0; i < PEOPLES; i++)
        sum += attributes[PEOPLE + i] = pow(rng_uniform(&r), 3) + 1e-9; /* mostly of one people */
    for (int i = 0; i < PEOPLES; i++)
        attributes[PEOPLE + i] /= sum;
    attributes[WEIGHT] = clamp(0.5 + 0.22 * rng_normal(&r), 0, 1);
    attributes[MUSCLE] = clamp(0.5 + 0.22 * rng_normal(&r), 0, 1);
    memset(w, 0, p->targets.count * sizeof *w);
    macro_weights(attributes, w);
    for (size_t i = 0; i < p->modifier_count; i++) {
        const makehuman_modifier *m = &p->modifiers[i];
        double x = m->deviation * rng_normal(&r), tilt = side_deviation * rng_normal(&r);
        if (m->ends[0][0] < 0)
            x = fabs(x);
        x = attributes[FIXED + i] = clamp(x, -1, 1);
        for (int side = 0; side < 2 && m->ends[side][1] >= 0; side++) {
            double here = m->ends[1][1] < 0 ? x : clamp(x + (side ? tilt : -tilt), -1, 1);
            int32_t end = m->ends[side][here > 0];
            if (end >= 0)
                w[end] = fabs(here);
        }
    }
}

/* ---- components ---- */

typedef struct population {
    const makehuman_people *p;
    size_t n, row;         /* targets; numbers of a head */
    double *mean;          /* (n) of the weights */
    double *factor;        /* (n,n) L, lower */
    float *mixed;          /* (n,row) L^T T */
    float *directions;     /* (COMPONENTS,row) */
    double *loadings;      /* (n,COMPONENTS) coefficients of a unit of each weight */
    double *heads, *drawn; /* (HEADS, COMPONENTS + 1), (HEADS, A) */
    double *measure;       /* (COMPONENTS + 1, A) */
    arena scratch;
} population;

/* Mean and Cholesky factor of the covariance of the weights. Weights that never change, or only
 * with others, keep a diagonal of rounding. */
static bool spread_of_weights(population *s)
{
    size_t n = s->n;
    double *w = arena_alloc(&s->scratch, n, sizeof *w), *a = s->factor, trace = 0;
    double *attributes = arena_alloc(&s->scratch, s->p->attribute_count, sizeof *attributes);
    if (!w || !attributes)
        return false;
    for (uint64_t h = 0; h < HEADS; h++) {
        draw(s->p, h, attributes, w);
        for (size_t i = 0; i < n; i++) {
            s->mean[i] += w[i] / HEADS;
            for (size_t j = 0; w[i] != 0 && j <= i; j++)
                a[i * n + j] += w[i] * w[j] / HEADS;
        }
    }
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++)
            a[i * n + j] -= s->mean[i] * s->mean[j];
        trace += a[i * n + i];
    }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = a[i * n + j] + (i == j ? 1e-9 * trace : 0);
            for (size_t k = 0; k < j; k++)
                sum -= a[i * n + k] * a[j * n + k];
            a[i * n + j] = i == j ? sqrt(fmax(sum, 1e-12 * trace)) : sum / a[j * n + j];
        }
    return true;
}

/* Row j of L^T T. */
static void mix(void *context, size_t j)
{
    const population *s = context;
    float *out = s->mixed + j * s->row;
    for (size_t i = j; i < s->n; i++) {
        const float *row = s->p->targets.targets[i].row;
        float factor = (float)s->factor[i * s->n + j];
        for (size_t k = 0; factor != 0 && k < s->row; k++)
            out[k] += factor * row[k];
    }
}

/* Directions become one standard deviation each; of target i, its coefficients. */
static void scale_direction(void *context, size_t c)
{
    population *s = context;
    float *u = s->directions + c * s->row;
    double variance = 0;
    for (size_t j = 0; j < s->n; j++) {
        double dot = math_pca_dot(s->mixed + j * s->row, u, s->row);
        variance += dot * dot;
    }
    double size = sqrt(variance);
    for (size_t i = 0; i < s->n; i++)
        s->loadings[i * COMPONENTS + c] =
            math_pca_dot(s->p->targets.targets[i].row, u, s->row) / size;
    for (size_t k = 0; k < s->row; k++)
        u[k] *= (float)size;
}

/* Other heads than those of the covariance: their coefficients, and 1, and attributes. */
static void draw_fresh(void *context, size_t h)
{
    population *s = context;
    double *x = s->heads + h * (COMPONENTS + 1);
    double *w = hds_alloc(s->n, sizeof *w);
    x[COMPONENTS] = w ? 1 : NAN; /* NAN: no memory */
    if (!w)
        return;
    draw(s->p, HEADS + h, s->drawn + h * s->p->attribute_count, w);
    for (size_t i = 0; i < s->n; i++)
        for (size_t c = 0; c < COMPONENTS; c++)
            x[c] += (w[i] - s->mean[i]) * s->loadings[i * COMPONENTS + c];
    hds_free(w);
}

static bool allocate(population *s)
{
    arena *a = &s->scratch;
    size_t n = s->n, attributes = s->p->attribute_count;
    s->mean = arena_alloc(a, n, sizeof *s->mean);
    s->factor = arena_alloc(a, n * n, sizeof *s->factor);
    s->mixed = arena_alloc(a, n * s->row, sizeof *s->mixed);
    s->directions = arena_alloc(a, COMPONENTS * s->row, sizeof *s->directions);
    s->loadings = arena_alloc(a, n * COMPONENTS, sizeof *s->loadings);
    s->heads = arena_alloc(a, (size_t)HEADS * (COMPONENTS + 1), sizeof *s->heads);
    s->drawn = arena_alloc(a, HEADS * attributes, sizeof *s->drawn);
    s->measure = arena_alloc(a, (COMPONENTS + 1) * attributes, sizeof *s->measure);
    return s->mean && s->factor && s->mixed && s->directions && s->loadings && s->heads &&
           s->drawn && s->measure;
}

static bool find_components(population *s)
{
    if (!allocate(s) || !spread_of_weights(s))
        return false;
    threads_parallel(s->n, mix, s);
    if (!math_pca_directions(s->mixed, s->n, s->row, COMPONENTS, s->directions))
        return false;
    threads_parallel(COMPONENTS, scale_direction, s);
    threads_parallel(HEADS, draw_fresh, s);
    return math_pca_regress(s->heads, s->drawn, HEADS, COMPONENTS + 1, s->p->attribute_count,
                            s->measure);
}

/* ---- into the model ---- */

static bool give_attributes(const population *s, head_model *m)
{
    const makehuman_people *p = s->p;
    size_t count = p->attribute_count;
    m->attribute_names = hds_alloc(count, sizeof *m->attribute_names);
    m->attribute_measure = hds_alloc(count, COMPONENTS * sizeof *m->attribute_measure);
    m->attribute_offset = hds_alloc(count, sizeof *m->attribute_offset);
    if (!m->attribute_names || !m->attribute_measure || !m->attribute_offset)
        return false;
    m->attribute_count = count;
    bool named = true;
    for (size_t a = 0; a < count; a++) {
        m->attribute_names[a] =
            hds_strdup(a < FIXED ? fixed_names[a] : p->modifiers[a - FIXED].name);
        named = named && m->attribute_names[a];
        m->attribute_offset[a] = (float)s->measure[COMPONENTS * count + a];
        for (size_t c = 0; c < COMPONENTS; c++)
            m->attribute_measure[a * COMPONENTS + c] = (float)s->measure[c * count + a];
    }
    return named;
}

/* The model's template and joints are the base mesh's so far; they become the mean head's. */
static bool give_shape(const population *s, head_model *m)
{
    size_t vertices = 3 * m->vertex_count, joints = 3 * m->joint_count;
    m->shape_basis = hds_alloc(COMPONENTS, vertices * sizeof *m->shape_basis);
    m->joint_shape_basis = hds_alloc(COMPONENTS, joints * sizeof *m->joint_shape_basis);
    if (!m->shape_basis || !m->joint_shape_basis)
        return false;
    m->shape_count = COMPONENTS;
    for (size_t c = 0; c < COMPONENTS; c++) {
        const float *u = s->directions + c * s->row;
        for (size_t k = 0; k < vertices; k++)
            m->shape_basis[c * vertices + k] = u[k];
        for (size_t k = 0; k < joints; k++)
            m->joint_shape_basis[c * joints + k] = u[vertices + k];
    }
    for (size_t i = 0; i < s->n; i++) {
        const float *row = s->p->targets.targets[i].row;
        for (size_t k = 0; k < vertices; k++)
            m->vertices[k] += (real)(s->mean[i] * (double)row[k]);
        for (size_t k = 0; k < joints; k++)
            m->joints[k] += (real)(s->mean[i] * (double)row[vertices + k]);
    }
    return true;
}

hds_status makehuman_people_sample(const makehuman_people *p, const makehuman_mesh *mesh,
                                   head_model *m, const char *folder, hds_error *error)
{
    population s = { .p = p, .n = p->targets.count, .row = mesh->row };
    bool found = find_components(&s) && give_shape(&s, m) && give_attributes(&s, m);
    arena_finish(&s.scratch);
    return found ? HDS_OK
                 : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for a population of %d heads",
                             folder, HEADS);
}

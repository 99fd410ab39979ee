/* SPDX-License-Identifier: Apache-2.0 */
/* make_head [OUT.npz]: the sample head from the sculpt.
 *
 * Draws heads from the population, takes the principal components of their displacements from the
 * neutral head, and scales each to the standard deviation that other, fresh heads have along it.
 * By linear regression on the coefficients of the fresh heads: the joints' shape basis, and the
 * matrix that measures the named attributes,  attribute = measure . coefficients + offset.  All is
 * judged on a third set of heads. The file's format: src/head/head.h. */
#include "math/math.h"
#include "paint.h"
#include "sculpt.h"

#include "io/io.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    COMPONENTS = 60,
    HEADS = 2400, /* for the directions */
    FRESH = 4000, /* for their scale and the regressions */
    JUDGED = 1000,
    JOINT_NUMBERS = SCULPT_JOINTS * 3,
    TEXTURE = 256, /* texels each way of the mean texture */
    MOST_ARRAYS = 24
};
static const uint64_t seed = 2024;

typedef struct sample {
    float attributes[SCULPT_ATTRIBUTES], minor[SCULPT_MINOR];
} sample;

/* The arrays of the file, all owned by the arena. */
typedef struct product {
    size_t vertices, numbers; /* V, 3 V */
    float *neutral, *joints;  /* (V,3), (J,3) */
    float *basis;             /* (C,V,3), first unit directions, then one standard deviation each */
    double measure[(COMPONENTS + 1) * SCULPT_ATTRIBUTES]; /* last row: the offset */
    double joint_basis[COMPONENTS * JOINT_NUMBERS];
    arena scratch;
} product;

static sample draw(uint64_t index)
{
    sample s;
    rng r = rng_make(seed, index);
    for (int i = 0; i < SCULPT_ATTRIBUTES; i++)
        s.attributes[i] = fminf(fmaxf((float)rng_normal(&r), -2.5f), 2.5f);
    for (int i = 0; i < SCULPT_MINOR; i++)
        s.minor[i] = fminf(fmaxf((float)rng_normal(&r), -2.5f), 2.5f);
    return s;
}

/* The displacement (V,3) of head `index` from the neutral one. */
static void displace(const product *p, uint64_t index, float *out)
{
    sample s = draw(index);
    sculpt_vertices(s.attributes, s.minor, out);
    for (size_t i = 0; i < p->numbers; i++)
        out[i] -= p->neutral[i];
}

static bool find_directions(product *p)
{
    arena_mark mark = arena_enter(&p->scratch);
    float *heads = arena_alloc(&p->scratch, HEADS * p->numbers, sizeof *heads);
    bool found = heads != NULL;
    for (size_t i = 0; found && i < HEADS; i++)
        displace(p, i, heads + i * p->numbers);
    found = found && math_pca_directions(heads, HEADS, p->numbers, COMPONENTS, p->basis);
    arena_leave(&p->scratch, mark);
    return found;
}

typedef struct projection {
    const product *p;
    uint64_t first;
    double *x; /* (n, C + 1): coordinates along the directions, then 1 */
    double *attributes, *joints, *residual; /* (n, A), (n, 3 J), (n) mm rms a vertex; may be NULL */
    bool failed[FRESH];
} projection;

static void project_one(void *context, size_t i)
{
    projection *j = context;
    const product *p = j->p;
    float *out = hds_alloc(p->numbers, sizeof *out), joints[JOINT_NUMBERS];
    j->failed[i] = !out;
    if (!out)
        return;
    sample s = draw(j->first + i);
    displace(p, j->first + i, out);
    double *x = j->x + i * (COMPONENTS + 1);
    for (size_t c = 0; c < COMPONENTS; c++) {
        const float *b = p->basis + c * p->numbers;
        x[c] = math_pca_dot(b, out, p->numbers) / math_pca_dot(b, b, p->numbers);
    }
    x[COMPONENTS] = 1;
    for (int a = 0; a < SCULPT_ATTRIBUTES; a++)
        j->attributes[i * SCULPT_ATTRIBUTES + a] = s.attributes[a];
    double sum = 0;
    for (size_t k = 0; k < p->numbers; k++) {
        double rest = out[k];
        for (size_t c = 0; j->residual && c < COMPONENTS; c++)
            rest -= x[c] * p->basis[c * p->numbers + k];
        sum += rest * rest;
        out[k] += p->neutral[k];
    }
    if (j->residual)
        j->residual[i] = 1000 * sqrt(sum / (double)p->vertices);
    sculpt_joints(out, joints);
    for (int k = 0; k < JOINT_NUMBERS; k++)
        j->joints[i * JOINT_NUMBERS + k] = (double)(joints[k] - p->joints[k]);
    hds_free(out);
}

static bool project(product *p, uint64_t first, size_t count, bool residual, projection *out)
{
    *out = (projection){ .p = p, .first = first };
    out->x = arena_alloc(&p->scratch, count * (COMPONENTS + 1), sizeof(double));
    out->attributes = arena_alloc(&p->scratch, count * SCULPT_ATTRIBUTES, sizeof(double));
    out->joints = arena_alloc(&p->scratch, count * JOINT_NUMBERS, sizeof(double));
    out->residual = residual ? arena_alloc(&p->scratch, count, sizeof(double)) : NULL;
    if (!out->x || !out->attributes || !out->joints || (residual && !out->residual))
        return false;
    threads_parallel(count, project_one, out);
    for (size_t i = 0; i < count; i++)
        if (out->failed[i])
            return false;
    return true;
}

/* Scales the directions to standard deviations, sorts them, and rescales the coordinates. */
static bool scale_basis(product *p, double *x)
{
    double deviation[COMPONENTS] = { 0 };
    size_t order[COMPONENTS];
    float *sorted = arena_alloc(&p->scratch, COMPONENTS * p->numbers, sizeof *sorted);
    if (!sorted)
        return false;
    for (size_t c = 0; c < COMPONENTS; c++) {
        for (size_t i = 0; i < FRESH; i++)
            deviation[c] += pow(x[i * (COMPONENTS + 1) + c], 2) / FRESH;
        deviation[c] = sqrt(deviation[c]);
        size_t at = c;
        for (; at > 0 && deviation[order[at - 1]] < deviation[c]; at--)
            order[at] = order[at - 1];
        order[at] = c;
    }
    for (size_t c = 0; c < COMPONENTS; c++)
        for (size_t k = 0; k < p->numbers; k++)
            sorted[c * p->numbers + k] =
                p->basis[order[c] * p->numbers + k] * (float)deviation[order[c]];
    p->basis = sorted;
    for (size_t i = 0; i < FRESH; i++) {
        double row[COMPONENTS], *at = x + i * (COMPONENTS + 1);
        memcpy(row, at, sizeof row);
        for (size_t c = 0; c < COMPONENTS; c++)
            at[c] = row[order[c]] / deviation[order[c]];
    }
    return true;
}

static bool regress(product *p)
{
    projection *fresh = arena_alloc(&p->scratch, 1, sizeof *fresh);
    double *bare = arena_alloc(&p->scratch, FRESH * COMPONENTS, sizeof *bare);
    if (!fresh || !bare || !project(p, HEADS, FRESH, false, fresh) || !scale_basis(p, fresh->x))
        return false;
    for (size_t i = 0; i < FRESH; i++) /* joints have no offset: the neutral head's are exact */
        memcpy(bare + i * COMPONENTS, fresh->x + i * (COMPONENTS + 1), COMPONENTS * sizeof *bare);
    return math_pca_regress(fresh->x, fresh->attributes, FRESH, COMPONENTS + 1, SCULPT_ATTRIBUTES,
                            p->measure) &&
           math_pca_regress(bare, fresh->joints, FRESH, COMPONENTS, JOINT_NUMBERS, p->joint_basis);
}

static bool judge(product *p)
{
    projection *judged = arena_alloc(&p->scratch, 1, sizeof *judged);
    if (!judged || !project(p, HEADS + FRESH, JUDGED, true, judged))
        return false;
    double residual = 0, joint = 0, size = 0;
    for (size_t i = 0; i < JUDGED; i++)
        residual += judged->residual[i] / JUDGED;
    for (size_t i = 0; i < JUDGED; i++)
        for (size_t k = 0; k < JOINT_NUMBERS; k++) {
            double y = judged->joints[i * JOINT_NUMBERS + k];
            for (size_t c = 0; c < COMPONENTS; c++)
                y -= p->joint_basis[c * JOINT_NUMBERS + k] * judged->x[i * (COMPONENTS + 1) + c];
            joint = fmax(joint, fabs(y) * 1000);
        }
    printf("%zu vertices, %d components, residual %.3f mm rms, joints within %.3f mm\n",
           p->vertices, COMPONENTS, residual, joint);
    printf("standard deviations of components, mm rms a vertex:");
    for (size_t c = 0; c < COMPONENTS; c++) {
        const float *b = p->basis + c * p->numbers;
        size = 1000 * sqrt(math_pca_dot(b, b, p->numbers) / (double)p->vertices);
        printf("%s%.2f", c % 15 ? " " : "\n  ", size);
    }
    printf("\n%-16s R^2 on %d other heads\n", "attribute", JUDGED);
    for (int a = 0; a < SCULPT_ATTRIBUTES; a++) {
        double error = 0, variance = 0;
        for (size_t i = 0; i < JUDGED; i++) {
            double y = judged->attributes[i * SCULPT_ATTRIBUTES + a], guess = 0;
            for (size_t c = 0; c <= COMPONENTS; c++)
                guess +=
                    p->measure[c * SCULPT_ATTRIBUTES + a] * judged->x[i * (COMPONENTS + 1) + c];
            error += (y - guess) * (y - guess);
            variance += y * y;
        }
        printf("%-16s %.4f\n", sculpt_attribute_names[a], 1 - error / variance);
    }
    return true;
}

/* ---- the file ---- */

typedef struct archive {
    io_array arrays[MOST_ARRAYS];
    size_t count;
    arena *scratch;
    bool failed;
} archive;

/* Adds an array of dims numbers of itemsize bytes; returns its data, which is zero. */
static void *add(archive *z, const char *name, char kind, int itemsize, int dims,
                 const int64_t *shape)
{
    io_array *a = &z->arrays[z->count++];
    *a = (io_array){ .name = (char *)name, .kind = kind, .itemsize = itemsize, .dims = dims };
    size_t count = 1;
    for (int k = 0; k < dims; k++)
        count *= (size_t)(a->shape[k] = shape[k]);
    a->size = count * (size_t)itemsize;
    a->data = arena_alloc(z->scratch, count, (size_t)itemsize);
    z->failed = z->failed || !a->data;
    return a->data;
}

static void add_floats(archive *z, const char *name, const float *data, int dims,
                       const int64_t *shape)
{
    float *out = add(z, name, 'f', 4, dims, shape);
    if (out)
        memcpy(out, data, z->arrays[z->count - 1].size);
}

/* Half precision; reports the largest error. */
static void add_halves(archive *z, const char *name, const float *data, int dims,
                       const int64_t *shape)
{
    uint16_t *out = add(z, name, 'f', 2, dims, shape);
    if (!out)
        return;
    size_t count = z->arrays[z->count - 1].size / 2;
    float *back = arena_alloc(z->scratch, count, sizeof *back);
    z->failed = z->failed || !back;
    if (!back)
        return;
    io_f32_to_f16(data, out, count);
    io_to_f32(out, IO_F16, back, count);
    double worst = 0;
    for (size_t i = 0; i < count; i++)
        worst = fmax(worst, fabs((double)back[i] - (double)data[i]));
    printf("%s: half precision is within %.4f mm\n", name, worst * 1000);
}

static void add_names(archive *z, const char *name, const char *const *names, int64_t count)
{
    size_t longest = 0;
    for (int64_t i = 0; i < count; i++)
        longest = strlen(names[i]) > longest ? strlen(names[i]) : longest;
    char *out = add(z, name, 'S', (int)longest, 1, &count);
    for (int64_t i = 0; out && i < count; i++)
        memcpy(out + (size_t)i * longest, names[i], strlen(names[i]));
}

static void add_mesh(archive *z, const product *p)
{
    const sculpt_topology *t = sculpt_get_topology();
    static const char name[] = "headsds sample head";
    int64_t v = (int64_t)t->vertex_count, f = (int64_t)t->face_count, n = (int64_t)t->uv_count;
    char *title = add(z, "name", 'S', sizeof name - 1, 0, NULL);
    if (title)
        memcpy(title, name, sizeof name - 1);
    add_floats(z, "vertices", p->neutral, 2, (int64_t[]){ v, 3 });
    add_floats(z, "uvs", t->uvs, 2, (int64_t[]){ n, 2 });
    uint32_t *faces = add(z, "faces", 'u', 4, 2, (int64_t[]){ f, 3 });
    uint32_t *uv_faces = add(z, "uv_faces", 'u', 4, 2, (int64_t[]){ f, 3 });
    if (faces)
        memcpy(faces, t->faces, t->face_count * 3 * sizeof *faces);
    if (uv_faces)
        memcpy(uv_faces, t->uv_faces, t->face_count * 3 * sizeof *uv_faces);
}

static void add_motion(archive *z, const product *p)
{
    int64_t v = (int64_t)p->vertices;
    float *fields = arena_alloc(z->scratch, SCULPT_EXPRESSIONS * p->numbers, sizeof *fields);
    float *weights = add(z, "skin_weights", 'f', 4, 2, (int64_t[]){ v, SCULPT_JOINTS });
    int32_t *parents = add(z, "joint_parents", 'i', 4, 1, (int64_t[]){ SCULPT_JOINTS });
    float *shift =
        add(z, "joint_shape_basis", 'f', 4, 3, (int64_t[]){ COMPONENTS, SCULPT_JOINTS, 3 });
    z->failed = z->failed || !fields;
    if (z->failed)
        return;
    for (int e = 0; e < SCULPT_EXPRESSIONS; e++)
        sculpt_expression(e, fields + (size_t)e * p->numbers);
    add_halves(z, "expression_basis", fields, 3, (int64_t[]){ SCULPT_EXPRESSIONS, v, 3 });
    add_names(z, "expression_names", sculpt_expression_names, SCULPT_EXPRESSIONS);
    sculpt_skin_weights(weights);
    memcpy(parents, sculpt_joint_parents, sizeof sculpt_joint_parents);
    for (int i = 0; i < COMPONENTS * JOINT_NUMBERS; i++)
        shift[i] = (float)p->joint_basis[i];
    add_floats(z, "joints", p->joints, 2, (int64_t[]){ SCULPT_JOINTS, 3 });
    add_names(z, "joint_names", sculpt_joint_names, SCULPT_JOINTS);
}

static void add_measure(archive *z, const product *p)
{
    float *measure =
        add(z, "attribute_measure", 'f', 4, 2, (int64_t[]){ SCULPT_ATTRIBUTES, COMPONENTS });
    float *offset = add(z, "attribute_offset", 'f', 4, 1, (int64_t[]){ SCULPT_ATTRIBUTES });
    add_names(z, "attribute_names", sculpt_attribute_names, SCULPT_ATTRIBUTES);
    for (int a = 0; !z->failed && a < SCULPT_ATTRIBUTES; a++) {
        offset[a] = (float)p->measure[COMPONENTS * SCULPT_ATTRIBUTES + a];
        for (int c = 0; c < COMPONENTS; c++)
            measure[a * COMPONENTS + c] = (float)p->measure[c * SCULPT_ATTRIBUTES + a];
    }
}

static void add_texture(archive *z)
{
    uint8_t *texture = add(z, "mean_texture", 'u', 1, 3, (int64_t[]){ TEXTURE, TEXTURE, 3 });
    painter *p = z->failed ? NULL : painter_create(TEXTURE);
    z->failed = !p;
    if (p)
        painter_paint(p, NULL, NULL, texture);
    painter_destroy(p);
}

static void add_parts(archive *z)
{
    static const char *const names[] = { [SCULPT_SKIN] = "skin",
                                         [SCULPT_EYEBALL_LEFT] = "eye_left",
                                         [SCULPT_EYEBALL_RIGHT] = "eye_right" };
    const sculpt_topology *t = sculpt_get_topology();
    add_names(z, "part_names", names, sizeof names / sizeof *names);
    uint32_t *parts = add(z, "face_parts", 'u', 4, 1, (int64_t[]){ (int64_t)t->face_count });
    for (size_t i = 0; parts && i < t->face_count; i++)
        parts[i] = t->regions[t->faces[3 * i]];
}

static hds_status save(product *p, const char *path, hds_error *error)
{
    archive z = { .scratch = &p->scratch };
    add_mesh(&z, p);
    add_halves(&z, "shape_basis", p->basis, 3, (int64_t[]){ COMPONENTS, (int64_t)p->vertices, 3 });
    add_motion(&z, p);
    add_measure(&z, p);
    add_texture(&z);
    add_parts(&z);
    if (z.failed)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    return io_npz_write(path, z.arrays, z.count, error);
}

static hds_status make(product *p, const char *path, hds_error *error)
{
    p->vertices = sculpt_get_topology()->vertex_count;
    p->numbers = 3 * p->vertices;
    p->neutral = arena_alloc(&p->scratch, p->numbers, sizeof(float));
    p->joints = arena_alloc(&p->scratch, JOINT_NUMBERS, sizeof(float));
    p->basis = arena_alloc(&p->scratch, COMPONENTS * p->numbers, sizeof(float));
    if (!p->neutral || !p->joints || !p->basis)
        return hds_raise(error, HDS_ERROR_MEMORY, "make_head: out of memory");
    sculpt_vertices(NULL, NULL, p->neutral);
    sculpt_joints(p->neutral, p->joints);
    if (!find_directions(p) || !regress(p) || !judge(p))
        return hds_raise(error, HDS_ERROR_INTERNAL,
                         "make_head: out of memory, or a regression without a solution");
    return save(p, path, error);
}

int main(int argc, char **argv)
{
    static product p;
    hds_error error = { 0 };
    if (argc > 2) {
        fprintf(stderr, "usage: make_head [OUT.npz]\n");
        return 2;
    }
    hds_status status = make(&p, argc > 1 ? argv[1] : "head.npz", &error);
    arena_finish(&p.scratch);
    if (status != HDS_OK)
        fprintf(stderr, "make_head: %s\n", error.message);
    return status == HDS_OK ? 0 : 1;
}

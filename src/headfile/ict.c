/* SPDX-License-Identifier: Apache-2.0 */
/* ICT-FaceKit: a folder of OBJ files, one neutral mesh and one displaced mesh a component.
 *
 *   shape_basis_k = 0.01 (identityNNN - neutral), expression_basis_k = 0.01 (other - neutral)
 *
 * in metres, where the files have centimetres. Whichever targets are there are taken: identities by
 * number, expressions by name. The materials of the neutral mesh become parts. Its UVs are several
 * tiles side by side in u and over each other, and go to [0,1] (tiles.c). Li et al., "Learning
 * formation of physically-based face attributes", 2020. */
#include "headfile_priv.h"
#include "io/io.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const double metres = 0.01;
static const char neutral_name[] = "generic_neutral_mesh.obj";

/* Targets are read side by side; each has its own place for the outcome. */
typedef struct target {
    char *path;
    bool identity;
    long number;
    real *basis; /* (V,3) of the model */
    hds_status status;
    hds_error error;
} target;

typedef struct kit {
    target *targets;
    size_t count;
    headfile_obj neutral;
} kit;

/* identityNNN.obj, or -1 */
static long identity_number(const char *name)
{
    static const char prefix[] = "identity";
    char *stop;
    const char *digits = name + sizeof prefix - 1;
    if (strncmp(name, prefix, sizeof prefix - 1) != 0 || *digits < '0' || *digits > '9')
        return -1;
    long number = strtol(digits, &stop, 10);
    return strcmp(stop, ".obj") == 0 ? number : -1;
}

static int is_target(const struct dirent *entry)
{
    size_t length = strlen(entry->d_name);
    return length > 4 && strcmp(entry->d_name + length - 4, ".obj") == 0 &&
           entry->d_name[0] != '.' && strcmp(entry->d_name, neutral_name) != 0;
}

/* Identities first, by number; then expressions, by name. */
static int by_place(const void *left, const void *right)
{
    const target *a = left, *b = right;
    if (a->identity != b->identity)
        return a->identity ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return strcmp(a->path, b->path);
}

static hds_status list_targets(kit *k, const char *folder, hds_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_target, NULL);
    if (count < 0)
        return hds_raise(error, errno == ENOENT ? HDS_ERROR_NOT_FOUND : HDS_ERROR_OS,
                         "%s: %s, expected an ICT-FaceKit folder", folder, strerror(errno));
    k->targets = hds_alloc((size_t)count, sizeof *k->targets);
    bool failed = !k->targets;
    for (int i = 0; i < count; i++) {
        const char *name = entries[i]->d_name;
        if (!failed) {
            target *t = &k->targets[k->count++];
            t->number = identity_number(name);
            t->identity = t->number >= 0;
            t->path = io_join(folder, name);
            failed = !t->path;
        }
        free(entries[i]);
    }
    free(entries);
    if (failed)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its list of files", folder);
    qsort(k->targets, k->count, sizeof *k->targets, by_place);
    return HDS_OK;
}

/* mouthSmile_L of .../mouthSmile_L.obj */
static char *expression_name(const target *t)
{
    const char *slash = strrchr(t->path, '/');
    char *name = hds_strdup(slash ? slash + 1 : t->path);
    if (name)
        name[strlen(name) - strlen(".obj")] = 0;
    return name;
}

static void read_target(void *context, size_t index)
{
    const kit *k = context;
    target *t = &k->targets[index];
    headfile_obj obj;
    t->status = headfile_obj_read(&obj, t->path, HEADFILE_OBJ_POSITIONS, &t->error);
    if (t->status)
        return;
    if (obj.vertex_count != k->neutral.vertex_count)
        t->status =
            hds_raise(&t->error, HDS_ERROR_FORMAT, "%s: %zu vertices, expected %zu as in %s",
                      t->path, obj.vertex_count, k->neutral.vertex_count, neutral_name);
    for (size_t i = 0; !t->status && i < 3 * obj.vertex_count; i++)
        t->basis[i] = (real)(metres * (obj.vertices[i] - k->neutral.vertices[i]));
    headfile_obj_finish(&obj);
}

/* The neutral mesh; its arrays of indices and coordinates move to the model. */
static hds_status take_neutral(head_model *m, kit *k, const char *folder, hds_error *error)
{
    headfile_obj *o = &k->neutral;
    char *path = io_join(folder, neutral_name);
    hds_status status = path ? headfile_obj_read(o, path, HEADFILE_OBJ_ALL, error)
                             : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory", folder);
    if (!status && !o->face_count)
        status = hds_raise(error, HDS_ERROR_FORMAT, "%s: no faces, expected a whole mesh", path);
    hds_free(path);
    if (status)
        return status;
    m->vertex_count = o->vertex_count;
    m->face_count = o->face_count;
    m->faces = o->faces;
    m->part_count = o->part_count;
    m->part_names = o->part_names;
    m->face_parts = o->face_parts;
    o->faces = o->face_parts = NULL;
    o->part_names = NULL;
    o->part_count = 0;
    if (o->uv_faces)
        headfile_obj_give_uvs(o, m);
    m->vertices = hds_alloc(m->vertex_count, 3 * sizeof *m->vertices);
    if (!m->vertices)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for a head model", folder);
    for (size_t i = 0; i < 3 * m->vertex_count; i++)
        m->vertices[i] = (real)(metres * o->vertices[i]);
    return HDS_OK;
}

static hds_status take_targets(head_model *m, kit *k, const char *folder, hds_error *error)
{
    while (m->shape_count < k->count && k->targets[m->shape_count].identity)
        m->shape_count++;
    size_t expressions = k->count - m->shape_count, row = 3 * m->vertex_count;
    m->shape_basis = hds_alloc(m->shape_count, row * sizeof(real));
    m->expression_basis = hds_alloc(expressions, row * sizeof(real));
    m->expression_names = hds_alloc(expressions, sizeof *m->expression_names);
    bool failed = !m->shape_basis || !m->expression_basis || !m->expression_names;
    m->expression_count = m->expression_names ? expressions : 0;
    for (size_t i = 0; !failed && i < k->count; i++) {
        target *t = &k->targets[i];
        t->basis = t->identity ? m->shape_basis + row * i
                               : m->expression_basis + row * (i - m->shape_count);
        if (!t->identity)
            failed = !(m->expression_names[i - m->shape_count] = expression_name(t));
    }
    if (failed)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for %zu components", folder,
                         k->count);
    threads_parallel(k->count, read_target, k);
    for (size_t i = 0; i < k->count; i++)
        if (k->targets[i].status)
            return hds_raise(error, k->targets[i].status, "%s", k->targets[i].error.message);
    return HDS_OK;
}

hds_status headfile_load_ict(head_model **model, const char *folder, hds_error *error)
{
    kit k = { 0 };
    headfile_source s = { .path = folder, .error = error };
    headfile_begin(&s, "ICT-FaceKit");
    if (!s.status)
        s.status = list_targets(&k, folder, error);
    if (!s.status)
        s.status = take_neutral(s.model, &k, folder, error);
    if (!s.status)
        s.status = headfile_pack_udims(s.model, folder, error);
    if (!s.status)
        s.status = take_targets(s.model, &k, folder, error);
    for (size_t i = 0; i < k.count; i++)
        hds_free(k.targets[i].path);
    hds_free(k.targets);
    headfile_obj_finish(&k.neutral);
    return headfile_complete(&s, model);
}

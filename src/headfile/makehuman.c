/* SPDX-License-Identifier: Apache-2.0 */
/* MakeHuman's data (makehumancommunity.org; CC0) as a head model: the head of the base mesh hm08
 * down to the collar, with eyes, teeth, tongue and lashes. The folder is MPFB's or MakeHuman's
 * "data" or the "mpfb2" of a package:
 *
 *   3dobjs/base.obj, targets/target.json, targets/GROUP/NAME.target[.gz],
 *   rigs/standard/rig.default.json and weights.default.json,
 *   expressions (face units under ARKit's names) where they lie: targets/faceunits, or
 *   faceunits01/targets/faceunits beside the folder. */
#include "makehuman_priv.h"

#include <string.h>

static const char *const joint_names[MAKEHUMAN_JOINTS] = { "neck", "head", "jaw", "eye_left",
                                                           "eye_right" };
static const int32_t joint_parents[MAKEHUMAN_JOINTS] = { -1, MAKEHUMAN_NECK, MAKEHUMAN_HEAD,
                                                         MAKEHUMAN_HEAD, MAKEHUMAN_HEAD };

static char **copy_names(const char *const *names, size_t count)
{
    char **copy = hds_alloc(count, sizeof *copy);
    for (size_t i = 0; copy && i < count; i++)
        copy[i] = hds_strdup(names[i]);
    return copy; /* one that is missing is refused when all is validated */
}

/* ---- the mesh ---- */

static void take_mesh(headfile_source *s, const makehuman_mesh *mesh)
{
    head_model *m = s->model;
    const headfile_obj *o = &mesh->body;
    size_t faces = mesh->face_count;
    float *row = hds_alloc(mesh->row, sizeof *row);
    uint32_t *uv_numbers = hds_alloc(o->uv_count, sizeof *uv_numbers); /* from 1 */
    m->vertices = hds_alloc(mesh->vertex_count, 3 * sizeof *m->vertices);
    m->joints = hds_alloc(MAKEHUMAN_JOINTS, 3 * sizeof *m->joints);
    m->faces = hds_alloc(faces, 3 * sizeof *m->faces);
    m->uv_faces = hds_alloc(faces, 3 * sizeof *m->uv_faces);
    m->uvs = hds_alloc(3 * faces, 2 * sizeof *m->uvs);
    m->face_parts = hds_alloc(faces, sizeof *m->face_parts);
    m->joint_parents = hds_alloc(MAKEHUMAN_JOINTS, sizeof *m->joint_parents);
    m->joint_names = copy_names(joint_names, MAKEHUMAN_JOINTS);
    m->part_names = copy_names(makehuman_part_names, MAKEHUMAN_PARTS);
    if (!row || !uv_numbers || !m->vertices || !m->joints || !m->faces || !m->uv_faces || !m->uvs ||
        !m->face_parts || !m->joint_parents || !m->joint_names || !m->part_names) {
        headfile_fail_memory(s, "3dobjs/base.obj");
    } else {
        m->vertex_count = mesh->vertex_count;
        m->face_count = faces;
        m->joint_count = MAKEHUMAN_JOINTS;
        m->part_count = MAKEHUMAN_PARTS;
        memcpy(m->face_parts, mesh->face_parts, faces * sizeof *m->face_parts);
        memcpy(m->joint_parents, joint_parents, sizeof joint_parents);
        for (size_t v = 0; v < o->vertex_count; v++)
            makehuman_mesh_add(mesh, v, o->vertices + 3 * v, row);
        makehuman_mesh_align(mesh, row);
        for (size_t i = 0; i < 3 * m->vertex_count; i++)
            m->vertices[i] = row[i];
        for (size_t i = 0; i < 3 * m->joint_count; i++)
            m->joints[i] = row[3 * m->vertex_count + i];
        for (size_t i = 0; i < 3 * faces; i++) {
            size_t corner = 3 * (size_t)mesh->faces[i / 3] + i % 3, uv = o->uv_faces[corner];
            m->faces[i] = (uint32_t)mesh->numbers[o->faces[corner]];
            if (!uv_numbers[uv]) {
                memcpy(m->uvs + 2 * m->uv_count, o->uvs + 2 * uv, 2 * sizeof *m->uvs);
                uv_numbers[uv] = (uint32_t)++m->uv_count;
            }
            m->uv_faces[i] = uv_numbers[uv] - 1;
        }
    }
    hds_free(row);
    hds_free(uv_numbers);
}

/* ---- the rig ---- */

/* The joint that carries what a bone carries: the nearest of ours above it; the body's is the
 * neck's. Chains longer than the list of bones go in a circle. */
static int joint_of(const json_t *bones, const char *bone)
{
    static const struct {
        const char *bone;
        int joint;
    } known[] = { { "head", MAKEHUMAN_HEAD },
                  { "jaw", MAKEHUMAN_JAW },
                  { "eye.L", MAKEHUMAN_EYE_LEFT },
                  { "eye.R", MAKEHUMAN_EYE_RIGHT } };
    for (size_t steps = 0; bone && steps <= json_object_size(bones); steps++) {
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            if (strcmp(bone, known[i].bone) == 0)
                return known[i].joint;
        bone = json_string_value(json_object_get(json_object_get(bones, bone), "parent"));
    }
    return MAKEHUMAN_NECK;
}

static void add_weights(headfile_source *s, const makehuman_mesh *mesh, const json_t *list,
                        int joint, const char *bone, real *weights)
{
    size_t index;
    json_t *pair;
    json_array_foreach(list, index, pair)
    {
        double vertex = json_number_value(json_array_get(pair, 0));
        if (!headfile_is_index(vertex, (double)mesh->body.vertex_count)) {
            s->status = hds_raise(s->error, HDS_ERROR_FORMAT,
                                  "%s/rigs/standard/weights.default.json: %s: pair %zu has no "
                                  "vertex of the mesh, expected a vertex and its weight",
                                  s->path, bone, index);
            return;
        }
        int32_t v = mesh->numbers[(size_t)vertex];
        if (v >= 0)
            weights[v * MAKEHUMAN_JOINTS + joint] +=
                (real)json_number_value(json_array_get(pair, 1));
    }
}

static void take_rig(headfile_source *s, const makehuman_mesh *mesh)
{
    static const char *const files[2] = { "rigs/standard/rig.default.json",
                                          "rigs/standard/weights.default.json" };
    json_t *roots[2] = { NULL, NULL }, *list;
    for (int i = 0; i < 2 && !s->status; i++) {
        char *path = io_join(s->path, files[i]);
        s->status = path ? io_json_load(&roots[i], path, s->error)
                         : hds_raise(s->error, HDS_ERROR_MEMORY, "%s: no memory", s->path);
        hds_free(path);
    }
    json_t *bones = json_object_get(roots[0], "bones"), *all = json_object_get(roots[1], "weights");
    bones = bones ? bones : roots[0]; /* older files are the bones themselves */
    real *weights = hds_alloc(mesh->vertex_count, MAKEHUMAN_JOINTS * sizeof *weights);
    if (!weights)
        headfile_fail_memory(s, files[1]);
    if (!json_is_object(all) && !s->status)
        headfile_fail(s, HDS_ERROR_FORMAT, files[1], "no object \"weights\" of bones in it");
    const char *bone;
    json_object_foreach(all, bone, list) if (!s->status)
        add_weights(s, mesh, list, joint_of(bones, bone), bone, weights);
    for (size_t v = 0; !s->status && v < mesh->vertex_count; v++) {
        real *w = weights + v * MAKEHUMAN_JOINTS, sum = 0;
        for (int j = 0; j < MAKEHUMAN_JOINTS; j++)
            sum += w[j];
        for (int j = 0; j < MAKEHUMAN_JOINTS; j++) /* what no bone carries goes with the head */
            w[j] = sum > 0 ? w[j] / sum : (real)(j == MAKEHUMAN_HEAD);
    }
    if (!s->status)
        s->status = headfile_pack_weights(s->model, weights, s->path, files[1], s->error);
    hds_free(weights);
    json_decref(roots[0]);
    json_decref(roots[1]);
}

/* ---- expressions ---- */

static void take_expressions(headfile_source *s, const makehuman_mesh *mesh)
{
    static const char *const places[] = { "targets/faceunits", "../faceunits01/targets/faceunits" };
    head_model *m = s->model;
    makehuman_targets units = { 0 };
    for (size_t i = 0; !s->status && !units.count && i < sizeof places / sizeof *places; i++) {
        char *folder = io_join(s->path, places[i]);
        s->status = folder ? makehuman_targets_add_all(&units, folder, s->error)
                           : hds_raise(s->error, HDS_ERROR_MEMORY, "%s: no memory", s->path);
        hds_free(folder);
    }
    if (!s->status && units.count)
        s->status = makehuman_targets_read(&units, mesh, s->path, s->error);
    if (!s->status && units.count) {
        size_t vertices = 3 * m->vertex_count, joints = 3 * m->joint_count;
        m->expression_basis = hds_alloc(units.count, vertices * sizeof *m->expression_basis);
        m->joint_expression_basis =
            hds_alloc(units.count, joints * sizeof *m->joint_expression_basis);
        m->expression_names = hds_alloc(units.count, sizeof *m->expression_names);
        if (!m->expression_basis || !m->joint_expression_basis || !m->expression_names)
            headfile_fail_memory(s, "targets/faceunits");
        for (size_t e = 0; !s->status && e < units.count; e++) {
            const float *row = units.targets[e].row;
            m->expression_names[m->expression_count++] = makehuman_target_name(&units.targets[e]);
            for (size_t k = 0; k < vertices; k++)
                m->expression_basis[e * vertices + k] = row[k];
            for (size_t k = 0; k < joints; k++)
                m->joint_expression_basis[e * joints + k] = row[vertices + k];
        }
    }
    makehuman_targets_finish(&units);
}

/* ---- the model ---- */

hds_status headfile_load_makehuman(head_model **model, const char *folder, hds_error *error)
{
    headfile_source s = { .path = folder, .error = error };
    makehuman_mesh mesh = { .vertex_count = 0 };
    makehuman_people people = { .modifier_count = 0 };
    char *targets = io_join(folder, "targets");
    *model = NULL;
    s.status = targets ? makehuman_mesh_read(&mesh, folder, error)
                       : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", folder);
    if (!s.status)
        s.status = makehuman_people_list(&people, targets, error);
    if (!s.status)
        s.status = makehuman_targets_read(&people.targets, &mesh, folder, error);
    headfile_begin(&s, "MakeHuman");
    if (!s.status)
        take_mesh(&s, &mesh);
    if (!s.status)
        take_rig(&s, &mesh);
    if (!s.status)
        take_expressions(&s, &mesh);
    if (!s.status)
        s.status = makehuman_people_sample(&people, &mesh, s.model, folder, error);
    makehuman_people_finish(&people);
    makehuman_mesh_finish(&mesh);
    hds_free(targets);
    return headfile_complete(&s, model);
}

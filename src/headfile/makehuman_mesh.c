/* SPDX-License-Identifier: Apache-2.0 */
/* The head of MakeHuman's base mesh hm08: the skin above the collar, a closed loop of edges, and
 * what lies inside of it. Joints are the middles of small cubes in the mesh. */
#include "makehuman_priv.h"

#include <string.h>

enum { HM08_VERTICES = 19158, COLLAR_VERTEX = 1524, LONGEST_LOOP = 256, SKIN = 0 };
static const double metres = 0.1;

const char *const makehuman_part_names[MAKEHUMAN_PARTS] = {
    "skin",        "eye_left", "eye_right",   "teeth_upper",
    "teeth_lower", "tongue",   "lashes_left", "lashes_right",
};
static const struct {
    const char *group;
    uint32_t part;
} part_groups[] = {
    { "body", SKIN },
    { "helper-l-eye", 1 },
    { "helper-r-eye", 2 },
    { "helper-upper-teeth", 3 },
    { "helper-lower-teeth", 4 },
    { "helper-tongue", 5 },
    { "helper-l-eyelashes-1", 6 },
    { "helper-l-eyelashes-2", 6 },
    { "helper-r-eyelashes-1", 7 },
    { "helper-r-eyelashes-2", 7 },
};
static const char *const joint_groups[MAKEHUMAN_JOINTS] = { "joint-neck", "joint-head",
                                                            "joint-mouth", "joint-l-eye",
                                                            "joint-r-eye" };

/* The quads of the body's skin. */
typedef struct quads {
    uint32_t (*corners)[4];
    size_t count;
    const headfile_obj *body;
} quads;

static hds_status take_quads(quads *q, const makehuman_mesh *mesh, uint32_t group, const char *path,
                             hds_error *error)
{
    const headfile_obj *o = &mesh->body;
    *q = (quads){ .body = o, .corners = hds_alloc(o->face_count / 2, sizeof *q->corners) };
    if (!q->corners)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    for (size_t i = 0; i < o->face_count; i += 2) {
        const uint32_t *f = o->faces + 3 * i; /* (a,b,c), (a,c,d) */
        if (i + 1 == o->face_count || f[3] != f[0] || f[4] != f[2])
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: face %zu is not one of four corners, expected MakeHuman's mesh "
                             "hm08 as it is distributed",
                             path, i / 2);
        if (o->face_parts[i] != group)
            continue;
        memcpy(q->corners[q->count], f, 3 * sizeof *f);
        q->corners[q->count++][3] = f[5];
    }
    return HDS_OK;
}

static int corner_of(const uint32_t corners[4], uint32_t vertex)
{
    for (int k = 0; k < 4; k++)
        if (corners[k] == vertex)
            return k;
    return -1;
}

/* The edge that goes straight on at `vertex`, where one comes from `before`: of its four neighbours
 * the one in no quad with both. UINT32_MAX: there is none, or no four neighbours. */
static uint32_t go_on(const quads *q, uint32_t before, uint32_t vertex)
{
    uint32_t neighbours[4];
    int count = 0;
    for (size_t i = 0; i < q->count; i++) {
        int k = corner_of(q->corners[i], vertex);
        for (int side = 1; k >= 0 && side <= 3; side += 2) {
            uint32_t next = q->corners[i][(k + side) % 4];
            bool known = false;
            for (int n = 0; n < count; n++)
                known |= neighbours[n] == next;
            if (!known && count == 4)
                return UINT32_MAX;
            if (!known)
                neighbours[count++] = next;
        }
    }
    for (size_t i = 0; i < q->count; i++)
        if (corner_of(q->corners[i], vertex) >= 0 && corner_of(q->corners[i], before) >= 0)
            for (int n = 0; n < count; n++)
                if (corner_of(q->corners[i], neighbours[n]) >= 0)
                    neighbours[n] = UINT32_MAX;
    uint32_t next = UINT32_MAX;
    for (int n = 0; count == 4 && n < count; n++)
        if (neighbours[n] != UINT32_MAX)
            next = next == UINT32_MAX ? neighbours[n] : UINT32_MAX;
    return next;
}

/* The loop of edges through `first` and `second`, and its extent in y; 0 vertices: it is open. */
static size_t walk(const quads *q, uint32_t first, uint32_t second, uint32_t loop[LONGEST_LOOP],
                   double *extent)
{
    const double *v = q->body->vertices;
    double low = v[3 * (size_t)first + 1], high = low;
    size_t count = 1;
    loop[0] = first;
    for (uint32_t next = second; next != first; count++) {
        if (next == UINT32_MAX || count == LONGEST_LOOP)
            return 0;
        double y = v[3 * (size_t)next + 1];
        low = y < low ? y : low;
        high = y > high ? y : high;
        loop[count] = next;
        next = go_on(q, loop[count - 1], next);
    }
    *extent = high - low;
    return count;
}

/* Of the closed loops through the collar's vertex the one that lies flat. -> collar (V) */
static bool find_collar(const quads *q, bool *collar)
{
    uint32_t loop[LONGEST_LOOP], best[LONGEST_LOOP];
    double extent, least = 0;
    size_t found = 0;
    for (size_t i = 0; i < q->count; i++) {
        int k = corner_of(q->corners[i], COLLAR_VERTEX);
        size_t count =
            k < 0 ? 0 : walk(q, COLLAR_VERTEX, q->corners[i][(k + 1) % 4], loop, &extent);
        if (count && (!found || extent < least)) {
            memcpy(best, loop, count * sizeof *loop);
            found = count;
            least = extent;
        }
    }
    for (size_t i = 0; i < found; i++)
        collar[best[i]] = true;
    return found > 0;
}

/* Spreads from the crown, the highest vertex, to the collar. -> inside (V) */
static void spread(const quads *q, const bool *collar, bool *inside)
{
    const double *v = q->body->vertices;
    uint32_t crown = q->corners[0][0];
    for (size_t i = 0; i < q->count; i++)
        for (int k = 0; k < 4; k++)
            if (v[3 * (size_t)q->corners[i][k] + 1] > v[3 * (size_t)crown + 1])
                crown = q->corners[i][k];
    inside[crown] = true;
    for (bool more = true; more;) {
        more = false;
        for (size_t i = 0; i < q->count; i++) {
            bool reached = false;
            for (int k = 0; k < 4; k++)
                reached |= inside[q->corners[i][k]] && !collar[q->corners[i][k]];
            for (int k = 0; reached && k < 4; k++) {
                more |= !inside[q->corners[i][k]];
                inside[q->corners[i][k]] = true;
            }
        }
    }
}

static uint32_t find_group(const headfile_obj *body, const char *name)
{
    for (size_t i = 0; i < body->part_count; i++)
        if (strcmp(body->part_names[i], name) == 0)
            return (uint32_t)i;
    return UINT32_MAX;
}

/* -> inside (V): the skin of the head */
static hds_status cut_skin(const makehuman_mesh *mesh, bool *inside, const char *path,
                           hds_error *error)
{
    quads q = { .count = 0 };
    bool *collar = hds_alloc(mesh->body.vertex_count, sizeof *collar);
    hds_status status = collar ? take_quads(&q, mesh, find_group(&mesh->body, "body"), path, error)
                               : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    if (collar && !status && !find_collar(&q, collar))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: no closed loop of edges goes through vertex %d, expected the "
                           "collar of MakeHuman's mesh hm08",
                           path, COLLAR_VERTEX);
    if (!status)
        spread(&q, collar, inside);
    hds_free(q.corners);
    hds_free(collar);
    return status;
}

/* Numbers what is inside, and takes the faces all of whose corners are. */
static hds_status number(makehuman_mesh *mesh, const uint32_t *parts, const bool *inside,
                         const char *path, hds_error *error)
{
    const headfile_obj *o = &mesh->body;
    mesh->vertices = hds_alloc(o->vertex_count, sizeof *mesh->vertices);
    mesh->faces = hds_alloc(o->face_count, sizeof *mesh->faces);
    mesh->face_parts = hds_alloc(o->face_count, sizeof *mesh->face_parts);
    mesh->numbers = hds_alloc(o->vertex_count, sizeof *mesh->numbers);
    if (!mesh->vertices || !mesh->faces || !mesh->face_parts || !mesh->numbers)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    for (size_t v = 0; v < o->vertex_count; v++) {
        mesh->numbers[v] = inside[v] ? (int32_t)mesh->vertex_count : -1;
        if (inside[v])
            mesh->vertices[mesh->vertex_count++] = (uint32_t)v;
    }
    for (size_t f = 0; f < o->face_count; f++) {
        const uint32_t *quad = o->faces + 6 * (f / 2);
        uint32_t part = parts[o->face_parts[f]];
        if (part == UINT32_MAX || !inside[quad[0]] || !inside[quad[1]] || !inside[quad[2]] ||
            !inside[quad[5]])
            continue;
        mesh->face_parts[mesh->face_count] = part;
        mesh->faces[mesh->face_count++] = (uint32_t)f;
    }
    mesh->row = 3 * (mesh->vertex_count + MAKEHUMAN_JOINTS);
    return HDS_OK;
}

static hds_status find_cubes(makehuman_mesh *mesh, const uint32_t groups[MAKEHUMAN_JOINTS],
                             const char *path, hds_error *error)
{
    const headfile_obj *o = &mesh->body;
    mesh->cubes = hds_alloc(o->vertex_count, sizeof *mesh->cubes);
    if (!mesh->cubes)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    for (size_t v = 0; v < o->vertex_count; v++)
        mesh->cubes[v] = -1;
    for (size_t f = 0; f < o->face_count; f++)
        for (int j = 0; j < MAKEHUMAN_JOINTS; j++)
            for (int k = 0; o->face_parts[f] == groups[j] && k < 3; k++) {
                int32_t *cube = &mesh->cubes[o->faces[3 * f + (size_t)k]];
                mesh->cube_sizes[j] += *cube < 0;
                *cube = j;
            }
    return HDS_OK;
}

/* parts (groups of the body), joints: of the names above; a group that is missing is refused. */
static hds_status find_groups(const headfile_obj *body, uint32_t *parts,
                              uint32_t joints[MAKEHUMAN_JOINTS], const char *path, hds_error *error)
{
    const char *missing = NULL;
    for (size_t i = 0; i < body->part_count; i++)
        parts[i] = UINT32_MAX;
    for (size_t i = 0; i < sizeof part_groups / sizeof *part_groups; i++) {
        uint32_t group = find_group(body, part_groups[i].group);
        if (group == UINT32_MAX)
            missing = part_groups[i].group;
        else
            parts[group] = part_groups[i].part;
    }
    for (int j = 0; j < MAKEHUMAN_JOINTS; j++)
        if ((joints[j] = find_group(body, joint_groups[j])) == UINT32_MAX)
            missing = joint_groups[j];
    return missing ? hds_raise(error, HDS_ERROR_FORMAT,
                               "%s: has no group \"%s\", expected MakeHuman's mesh hm08 with its "
                               "helpers and joints",
                               path, missing)
                   : HDS_OK;
}

static hds_status cut(makehuman_mesh *mesh, const char *path, hds_error *error)
{
    const headfile_obj *o = &mesh->body;
    uint32_t joints[MAKEHUMAN_JOINTS];
    if (o->vertex_count != HM08_VERTICES || !o->face_parts || !o->uv_faces)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: %zu vertices, expected MakeHuman's mesh hm08: %d, with groups and "
                         "texture coordinates",
                         path, o->vertex_count, HM08_VERTICES);
    uint32_t *parts = hds_alloc(o->part_count, sizeof *parts);
    bool *inside = hds_alloc(o->vertex_count, sizeof *inside);
    hds_status status = parts && inside
                            ? find_groups(o, parts, joints, path, error)
                            : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for it", path);
    if (!status)
        status = cut_skin(mesh, inside, path, error);
    for (size_t f = 0; !status && f < o->face_count; f++)
        for (int k = 0; k < 3; k++) {
            uint32_t part = parts[o->face_parts[f]];
            if (part != UINT32_MAX && part != SKIN)
                inside[o->faces[3 * f + (size_t)k]] = true;
        }
    if (!status)
        status = number(mesh, parts, inside, path, error);
    if (!status)
        status = find_cubes(mesh, joints, path, error);
    hds_free(parts);
    hds_free(inside);
    return status;
}

hds_status makehuman_mesh_read(makehuman_mesh *mesh, const char *folder, hds_error *error)
{
    *mesh = (makehuman_mesh){ 0 };
    char *path = io_join(folder, "3dobjs/base.obj");
    if (!path)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", folder);
    hds_status status = headfile_obj_read(&mesh->body, path, HEADFILE_OBJ_ALL, error);
    if (!status)
        status = cut(mesh, path, error);
    hds_free(path);
    return status;
}

void makehuman_mesh_finish(makehuman_mesh *mesh)
{
    headfile_obj_finish(&mesh->body);
    hds_free(mesh->vertices);
    hds_free(mesh->faces);
    hds_free(mesh->face_parts);
    hds_free(mesh->numbers);
    hds_free(mesh->cubes);
    *mesh = (makehuman_mesh){ 0 };
}

void makehuman_mesh_add(const makehuman_mesh *mesh, size_t vertex, const double numbers[3],
                        float *row)
{
    int32_t v = mesh->numbers[vertex], joint = mesh->cubes[vertex];
    for (int k = 0; k < 3; k++) {
        if (v >= 0)
            row[3 * v + k] += (float)(metres * numbers[k]);
        if (joint >= 0)
            row[3 * ((int32_t)mesh->vertex_count + joint) + k] +=
                (float)(metres * numbers[k] / (double)mesh->cube_sizes[joint]);
    }
}

void makehuman_mesh_align(const makehuman_mesh *mesh, float *row)
{
    float at[3];
    memcpy(at, row + 3 * (mesh->vertex_count + MAKEHUMAN_HEAD), sizeof at);
    for (size_t i = 0; i < mesh->row; i++)
        row[i] -= at[i % 3];
}

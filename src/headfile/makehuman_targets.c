/* SPDX-License-Identifier: Apache-2.0 */
/* Targets of MakeHuman: lines of a vertex of the body's mesh and its displacement in decimetres,
 *     119 -.001 -.004 0
 * and comments that begin with #; packed by gzip or not. */
#include "makehuman_priv.h"

#include <dirent.h>
#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char ending[] = ".target", packed_ending[] = ".target.gz";

/* ---- which ---- */

/* Takes the path over. */
static hds_status append(makehuman_targets *t, char *path, hds_error *error)
{
    if (path && t->count == t->room) {
        size_t room = t->room ? 2 * t->room : 256;
        makehuman_target *larger = hds_alloc(room, sizeof *larger);
        if (!larger) {
            hds_free(path);
            path = NULL;
        } else {
            if (t->targets)
                memcpy(larger, t->targets, t->count * sizeof *larger);
            hds_free(t->targets);
            t->targets = larger;
            t->room = room;
        }
    }
    if (!path)
        return hds_raise(error, HDS_ERROR_MEMORY, "no memory for %zu targets", t->count);
    t->targets[t->count++].path = path;
    return HDS_OK;
}

hds_status makehuman_targets_add(makehuman_targets *t, const char *folder, const char *name,
                                 hds_error *error)
{
    const char *endings[] = { ending, packed_ending };
    char *path = NULL;
    for (int i = 0; i < 2; i++) {
        hds_free(path);
        char *file = hds_format("%s%s", name, endings[i]);
        path = file ? io_join(folder, file) : NULL;
        hds_free(file);
        if (!path || io_exists(path))
            break;
    }
    return append(t, path, error); /* of a missing one, reading will tell */
}

static int is_target(const struct dirent *entry)
{
    return entry->d_name[0] != '.' &&
           (io_ends_with(entry->d_name, ending) || io_ends_with(entry->d_name, packed_ending));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* whatever the locale */
}

hds_status makehuman_targets_add_all(makehuman_targets *t, const char *folder, hds_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_target, by_name);
    if (count < 0)
        return errno == ENOENT ? HDS_OK
                               : hds_raise(error, HDS_ERROR_OS, "%s: %s", folder, strerror(errno));
    hds_status status = HDS_OK;
    for (int i = 0; i < count; i++) {
        if (!status)
            status = append(t, io_join(folder, entries[i]->d_name), error);
        free(entries[i]);
    }
    free(entries);
    return status;
}

char *makehuman_target_name(const makehuman_target *target)
{
    char *name = hds_strdup(io_base_name(target->path));
    char *end = name ? strstr(name, ending) : NULL;
    if (end)
        *end = 0;
    return name;
}

/* ---- reading ---- */

typedef struct job {
    makehuman_targets *targets;
    const makehuman_mesh *mesh;
    locale_t locale;
} job;

/* One line, a 0 behind it: false for what is not a vertex and three numbers. */
static bool read_line(const job *j, char *line, float *row)
{
    char *at = line, *stop;
    double numbers[3];
    unsigned long vertex = strtoul(at, &stop, 10);
    bool good = stop != at && *at >= '0' && *at <= '9' && vertex < j->mesh->body.vertex_count;
    for (int k = 0; good && k < 3; k++) {
        at = stop;
        numbers[k] = strtod_l(at, &stop, j->locale);
        good = stop != at && fabs(numbers[k]) < 1e3;
    }
    while (good && (*stop == ' ' || *stop == '\t' || *stop == '\r'))
        stop++;
    if (good && !*stop)
        makehuman_mesh_add(j->mesh, vertex, numbers, row);
    return good && !*stop;
}

static void read_target(void *context, size_t index)
{
    const job *j = context;
    makehuman_target *t = &j->targets->targets[index];
    char *text;
    size_t size, line = 1;
    t->status = io_text_load(&text, &size, t->path, &t->error);
    if (t->status)
        return;
    for (char *at = text, *next; !t->status && at < text + size; at = next, line++) {
        char *end = memchr(at, '\n', (size_t)(text + size - at));
        next = end ? end + 1 : text + size;
        if (end)
            *end = 0;
        if (*at && *at != '#' && *at != '\r' && !read_line(j, at, t->row))
            t->status = hds_raise(&t->error, HDS_ERROR_FORMAT,
                                  "%s:%zu: found \"%.40s\", expected a vertex from 0 to %zu and "
                                  "three numbers",
                                  t->path, line, at, j->mesh->body.vertex_count - 1);
    }
    if (!t->status)
        makehuman_mesh_align(j->mesh, t->row);
    hds_free(text);
}

hds_status makehuman_targets_read(makehuman_targets *t, const makehuman_mesh *mesh,
                                  const char *folder, hds_error *error)
{
    job j = { t, mesh, newlocale(LC_NUMERIC_MASK, "C", (locale_t)0) };
    t->rows = hds_alloc(t->count, mesh->row * sizeof *t->rows);
    hds_status status = HDS_OK;
    if (!t->rows || !j.locale)
        status =
            hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for %zu targets", folder, t->count);
    for (size_t i = 0; !status && i < t->count; i++)
        t->targets[i].row = t->rows + i * mesh->row;
    if (!status)
        threads_parallel(t->count, read_target, &j);
    for (size_t i = 0; !status && i < t->count; i++)
        if (t->targets[i].status)
            status = hds_raise(error, t->targets[i].status, "%s", t->targets[i].error.message);
    if (j.locale)
        freelocale(j.locale);
    return status;
}

void makehuman_targets_finish(makehuman_targets *t)
{
    for (size_t i = 0; i < t->count; i++)
        hds_free(t->targets[i].path);
    hds_free(t->targets);
    hds_free(t->rows);
    *t = (makehuman_targets){ 0 };
}

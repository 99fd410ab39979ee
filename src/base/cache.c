/* SPDX-License-Identifier: Apache-2.0 */
/* Named arrays that took long to calculate: a few in memory, and all of them in the user's cache
 * folder. A cache is a convenience: whatever fails in it (no folder, a full disk, a damaged file)
 * means that there is nothing under the name.
 *
 * A file is: 8 bytes of magic, the length of the name, the count, a hash of what follows (u64
 * each, the machine's byte order), the name, the values. */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 8, FILES = 64, HEADER = 4 };
static const char magic[8] = "hdscach1", ending[] = ".headsds-cache";

static struct {
    pthread_mutex_t lock;
    struct entry {
        char *name; /* NULL: free */
        float *values;
        size_t count;
        uint64_t used; /* the clock when it was last asked for */
    } entries[ENTRIES];
    uint64_t clock;
} cache = { .lock = PTHREAD_MUTEX_INITIALIZER };

/* ---- memory ---- */

static void unlock(void)
{
    pthread_mutex_unlock(&cache.lock);
}

static void just_lock(void)
{
    pthread_mutex_lock(&cache.lock);
}

static void watch_forks(void)
{
    (void)pthread_atfork(just_lock, unlock, unlock);
}

static void lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, watch_forks);
    just_lock();
}

static bool recall(const char *name, float *values, size_t count)
{
    bool found = false;
    lock();
    for (int i = 0; i < ENTRIES && !found; i++) {
        struct entry *e = &cache.entries[i];
        found = e->name && e->count == count && !strcmp(e->name, name);
        if (found) {
            memcpy(values, e->values, count * sizeof *values);
            e->used = ++cache.clock;
        }
    }
    unlock();
    return found;
}

static void remember(const char *name, const float *values, size_t count)
{
    struct entry new = { hds_strdup(name), hds_alloc(count, sizeof *values), count, 0 };
    if (new.name &&new.values) {
        memcpy(new.values, values, count * sizeof *values);
        lock();
        struct entry *oldest = cache.entries;
        for (int i = 1; i < ENTRIES; i++)
            if (cache.entries[i].used < oldest->used)
                oldest = &cache.entries[i];
        struct entry old = *oldest;
        *oldest = new;
        oldest->used = ++cache.clock;
        unlock();
        new = old;
    }
    hds_free(new.name);
    hds_free(new.values);
}

/* ---- disk ---- */

/* New; NULL: there is none. */
static char *folder_of_user(void)
{
    const char *own = getenv("HEADSDS_CACHE"), *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    if (own)
        return own[0] ? hds_strdup(own) : NULL;
    if (xdg && xdg[0] == '/')
        return hds_format("%s/headsds", xdg);
    return home && home[0] == '/' ? hds_format("%s/.cache/headsds", home) : NULL;
}

static char *path_of(const char *folder, const char *name)
{
    uint64_t hash = base_hash(BASE_HASH_START, name, strlen(name));
    return hds_format("%s/%016llx%s", folder, (unsigned long long)hash, ending);
}

static uint64_t sum_of(const char *name, const float *values, size_t count)
{
    return base_hash(base_hash(BASE_HASH_START, name, strlen(name)), values,
                     count * sizeof *values);
}

static bool read_file(const char *path, const char *name, float *values, size_t count)
{
    uint64_t header[HEADER];
    size_t length = strlen(name);
    FILE *file = fopen(path, "rb");
    char *found = file ? hds_alloc(length + 1, 1) : NULL;
    bool good = found && fread(header, sizeof header, 1, file) == 1 &&
                !memcmp(header, magic, sizeof magic) && header[1] == length && header[2] == count &&
                fread(found, 1, length, file) == length && !memcmp(found, name, length) &&
                fread(values, sizeof *values, count, file) == count &&
                header[3] == sum_of(name, values, count);
    hds_free(found);
    if (file)
        fclose(file);
    return good;
}

static void write_file(const char *folder, const char *path, const char *name, const float *values,
                       size_t count)
{
    uint64_t header[HEADER] = { 0, strlen(name), count, sum_of(name, values, count) };
    memcpy(header, magic, sizeof magic);
    char *beside = hds_format("%s/new-XXXXXX", folder);
    int descriptor = beside ? mkstemp(beside) : -1;
    FILE *file = descriptor >= 0 ? fdopen(descriptor, "wb") : NULL;
    bool good = file && fwrite(header, sizeof header, 1, file) == 1 &&
                fwrite(name, 1, strlen(name), file) == strlen(name) &&
                fwrite(values, sizeof *values, count, file) == count;
    if (file)
        good = fclose(file) == 0 && good;
    else if (descriptor >= 0)
        close(descriptor);
    if (descriptor >= 0 && (!good || rename(beside, path) != 0))
        unlink(beside);
    hds_free(beside);
}

static bool is_cached_file(const char *name)
{
    size_t length = strlen(name), tail = sizeof ending - 1;
    return length > tail && !strcmp(name + length - tail, ending);
}

/* The file that was not used for longest goes when there are too many. */
static void make_room(const char *folder)
{
    DIR *listing = opendir(folder);
    char *oldest = NULL;
    struct timespec since = { 0 };
    int count = 0;
    for (struct dirent *d; listing && (d = readdir(listing));) {
        struct stat s;
        char *path = is_cached_file(d->d_name) ? hds_format("%s/%s", folder, d->d_name) : NULL;
        if (path && stat(path, &s) == 0 && ++count &&
            (!oldest || s.st_mtim.tv_sec < since.tv_sec)) {
            since = s.st_mtim;
            hds_free(oldest);
            oldest = path;
            path = NULL;
        }
        hds_free(path);
    }
    if (listing)
        closedir(listing);
    if (oldest && count > FILES)
        unlink(oldest);
    hds_free(oldest);
}

/* With all folders above it. */
static bool make_folder(char *folder)
{
    for (char *slash = strchr(folder + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(folder, 0777);
        *slash = '/';
    }
    return mkdir(folder, 0777) == 0 || errno == EEXIST;
}

bool cache_get(const char *name, float *values, size_t count)
{
    if (recall(name, values, count))
        return true;
    char *folder = folder_of_user(), *path = folder ? path_of(folder, name) : NULL;
    bool found = path && read_file(path, name, values, count);
    if (found) {
        remember(name, values, count);
        utimensat(AT_FDCWD, path, NULL, 0);
    }
    hds_free(path);
    hds_free(folder);
    return found;
}

void cache_put(const char *name, const float *values, size_t count)
{
    remember(name, values, count);
    char *folder = folder_of_user(), *path = folder ? path_of(folder, name) : NULL;
    if (path && make_folder(folder)) {
        write_file(folder, path, name, values, count);
        make_room(folder);
    }
    hds_free(path);
    hds_free(folder);
}

void cache_forget(void)
{
    lock();
    for (int i = 0; i < ENTRIES; i++) {
        hds_free(cache.entries[i].name);
        hds_free(cache.entries[i].values);
        cache.entries[i] = (struct entry){ 0 };
    }
    unlock();
}

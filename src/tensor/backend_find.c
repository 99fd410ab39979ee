/* SPDX-License-Identifier: Apache-2.0 */
/* Which backends there are, and which libtorch: nothing here runs code of either. A backend says in
 * its note (backend_priv.h) what it is for; a libtorch is known by the files around it, as it has
 * no C function that tells its version. */
#include "backend_priv.h"
#include "base/base.h"

#include <dirent.h>
#include <dlfcn.h>
#include <fnmatch.h>
#include <limits.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LARGEST = 64 << 20 }; /* bytes of a backend's file; they have 0.4 MB */

const char *backend_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

bool backend_same_version(const char *a, const char *b)
{
    int left[2], right[2];
    return sscanf(a, "%d.%d", &left[0], &left[1]) == 2 &&
           sscanf(b, "%d.%d", &right[0], &right[1]) == 2 && left[0] == right[0] &&
           left[1] == right[1];
}

static char *read_all(const char *path, size_t *size)
{
    struct stat about;
    FILE *f = fopen(path, "rb");
    char *text = NULL;
    if (f && fstat(fileno(f), &about) == 0 && S_ISREG(about.st_mode) && about.st_size <= LARGEST)
        text = malloc((size_t)about.st_size + 1);
    if (text) {
        *size = fread(text, 1, (size_t)about.st_size, f);
        text[*size] = 0;
    }
    if (f)
        fclose(f);
    return text;
}

/* ---- backends ---- */

static void forget_file(backend_file *f)
{
    hds_free(f->file);
    hds_free(f->version);
    hds_free(f->library);
    *f = (backend_file){ 0 };
}

void backend_forget(backend_search *s)
{
    while (s->count)
        forget_file(&s->found[--s->count]);
    for (int i = 0; i < BACKEND_FOLDERS; i++)
        hds_free(s->folders[i]);
    *s = (backend_search){ 0 };
}

/* The note of the backend `path` into the list. */
static hds_status add_file(backend_search *s, const char *path, hds_error *error)
{
    size_t size = 0, start = strlen(TN_NOTE_START);
    char *bytes = read_all(path, &size), version[64], library[PATH_MAX];
    const char *note = bytes ? memmem(bytes, size, TN_NOTE_START, start) : NULL;
    backend_file f = { 0 };
    bool read = note && sscanf(note + start, "abi=%d torch=%63[^\n] library=%4095[^\n]", &f.abi,
                               version, library) == 3;
    hds_status status = HDS_OK;
    if (!bytes)
        status = hds_raise(error, HDS_ERROR_NOT_FOUND,
                           "%s: no such backend can be read; HEADSDS_BACKEND names a "
                           "headsds_torch_<version>.so or a folder of such files",
                           path);
    else if (!read)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: this is no backend of headsds, it holds no note of one; expected a "
                           "headsds_torch_<version>.so of this build",
                           path);
    hds_free(bytes);
    if (status != HDS_OK)
        return status;
    f.file = hds_strdup(path);
    f.version = hds_strdup(version);
    f.library = hds_strdup(library);
    if (!f.file || !f.version || !f.library) {
        forget_file(&f);
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    }
    s->found[s->count++] = f;
    return HDS_OK;
}

static int is_backend(const struct dirent *entry)
{
    return fnmatch("headsds_torch_*.so", entry->d_name, 0) == 0;
}

/* Of one name the first is taken; within a folder the newest libtorch goes first. A folder that is
 * not there holds none. */
static hds_status add_folder(backend_search *s, const char *folder, hds_error *error)
{
    struct dirent **entries = NULL;
    int count = scandir(folder, &entries, is_backend, versionsort);
    hds_status status = HDS_OK;
    for (int i = count; i-- > 0;) {
        bool known = s->count == BACKEND_FILES;
        for (int k = 0; k < s->count; k++)
            known = known || !strcmp(backend_base(s->found[k].file), entries[i]->d_name);
        char *path = hds_format("%s/%s", folder, entries[i]->d_name);
        if (!path)
            status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", folder);
        else if (!known && status == HDS_OK)
            status = add_file(s, path, error);
        hds_free(path);
        free(entries[i]);
    }
    free(entries);
    return status;
}

/* The folder of the shared object or program that holds this code; new. */
static char *own_folder(void)
{
    Dl_info info;
    char file[PATH_MAX];
    const char *known = "/proc/self/exe";
    if (dladdr((void *)(uintptr_t)&own_folder, &info) && strchr(info.dli_fname, '/'))
        known = info.dli_fname;
    if (!realpath(known, file) && !realpath("/proc/self/exe", file))
        return NULL;
    return hds_format("%.*s", (int)(strrchr(file, '/') - file), file);
}

/* src/tensor of the build folder that `folder` lies in; new. Where it lies in none: `folder`. */
static char *folder_in_build(const char *folder)
{
    char *top = hds_strdup(folder);
    for (char *slash = top; slash && (slash = strrchr(top, '/'));) {
        char *mark = hds_format("%s/build.ninja", top);
        bool found = mark && access(mark, F_OK) == 0;
        hds_free(mark);
        if (found) {
            char *inside = hds_format("%s/src/tensor", top);
            hds_free(top);
            return inside;
        }
        *slash = 0;
    }
    hds_free(top);
    return hds_strdup(folder);
}

/* Beside this code; where a library and a program of the same prefix have it; the build folder. */
static bool usual_folders(backend_search *s)
{
    char *own = own_folder();
    if (own) {
        s->folders[0] = hds_strdup(own);
        s->folders[1] = hds_format("%s/headsds", own);
        s->folders[2] = hds_format("%s/../" HDS_BACKEND_LIBDIR "/headsds", own);
        s->folders[3] = folder_in_build(own);
    }
    hds_free(own);
    return s->folders[0] && s->folders[1] && s->folders[2] && s->folders[3];
}

hds_status backend_look(backend_search *s, hds_error *error)
{
    const char *chosen = getenv("HEADSDS_BACKEND");
    struct stat about;
    *s = (backend_search){ 0 };
    if (chosen && *chosen) {
        if (stat(chosen, &about) != 0 || !S_ISDIR(about.st_mode))
            return add_file(s, chosen, error);
        s->folders[0] = hds_strdup(chosen);
    } else if (!usual_folders(s)) {
        return hds_raise(error, HDS_ERROR_MEMORY, "looking for a backend: out of memory");
    }
    for (int i = 0; i < BACKEND_FOLDERS && s->folders[i]; i++) {
        hds_status status = add_folder(s, s->folders[i], error);
        if (status != HDS_OK)
            return status;
    }
    return HDS_OK;
}

/* ---- libtorch ---- */

/* What stands behind `key` in the file `name` beside the folder of `library`: a wheel has
 * torch/version.py beside torch/lib, libtorch's archive build-version. NULL: no such thing. */
static char *version_in(const char *library, const char *name, const char *key)
{
    size_t size = 0;
    int folder = (int)(backend_base(library) - library);
    char *path = hds_format("%.*s../%s", folder, library, name);
    char *text = path ? read_all(path, &size) : NULL, *version = NULL;
    const char *at = text ? strstr(text, key) : NULL;
    if (at) {
        at += strlen(key);
        at += strspn(at, " ='\"");
        version = hds_format("%.*s", (int)strcspn(at, " '\"\r\n"), at);
    }
    hds_free(text);
    hds_free(path);
    return version;
}

char *backend_version_of(const backend_search *s, const char *library)
{
    struct stat one, other;
    char target[PATH_MAX];
    char *version = version_in(library, "version.py", "__version__ =");
    if (!version)
        version = version_in(library, "build-version", "");
    const char *end = realpath(library, target) ? strstr(backend_base(target), ".so.") : NULL;
    if (!version && end && strchr(end + 4, '.'))
        version = hds_strdup(end + 4); /* Debian's libtorch_cpu.so.1.13.0 */
    for (int i = 0; i < s->count && !version; i++)
        if (stat(library, &one) == 0 && stat(s->found[i].library, &other) == 0 &&
            one.st_dev == other.st_dev && one.st_ino == other.st_ino)
            version = hds_strdup(s->found[i].version);
    return version;
}

static int is_libtorch(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = { "libtorch_cpu.so*", "libc10.so*" };
    char **file = context;
    const char *name = info->dlpi_name ? backend_base(info->dlpi_name) : "";
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!fnmatch(names[i], name, 0))
            return (*file = hds_strdup(info->dlpi_name)) != NULL;
    return 0;
}

char *backend_loaded_libtorch(void)
{
    char *file = NULL;
    dl_iterate_phdr(is_libtorch, &file);
    return file;
}

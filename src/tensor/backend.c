/* SPDX-License-Identifier: Apache-2.0 */
/* The calls of tensor.h, each through the table of a backend that is opened on first need.
 *
 * Two libtorchs in one process crash it (they share unique symbols of C++ however they are loaded),
 * so everything is decided before the first dlopen:
 *   1. a libtorch that the process has is the one; a backend for its version is looked for;
 *   2. else the one in HEADSDS_TORCH_DIR, the folder of its libraries;
 *   3. else, backend by backend, the libtorch it was built for: the very file, torch/lib beside the
 *      backend (a wheel in the same site-packages), or, if its name holds a version, the system's.
 * Backends are HEADSDS_BACKEND (a file, or a folder of them), or lie beside this code, in headsds/
 * beside it, in the library folder of the prefix, or in the build tree. What fails is told in one
 * sentence and tried again at the next call.
 *
 * libtorch is loaded by its full path before the backend, which then finds it in the process by
 * its name: libtorch_cpu.so alone would find Debian's development link to another version. It is
 * loaded RTLD_LOCAL, as if the extension module were linked with it: its protobuf and OpenCV are
 * not to stand in for those of the host. */
#include "backend_priv.h"
#include "base/base.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;
static _Atomic(const tn_backend *) opened;
static char *library_in_use; /* set before `opened`, and never again */

/* ---- sentences ---- */

/* "headsds_torch_1.13.1.so (libtorch 1.13.1)", ... */
static void list_backends(const backend_search *s, char *text, size_t size)
{
    size_t used = 0;
    snprintf(text, size, "none");
    for (int i = 0; i < s->count && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%s for libtorch %s", i ? ", " : "",
                                 backend_base(s->found[i].file), s->found[i].version);
}

static hds_status raise_none(const backend_search *s, hds_error *error)
{
    char text[700] = "";
    size_t used = 0;
    for (int i = 0; i < BACKEND_FOLDERS && s->folders[i] && used < sizeof text; i++)
        used +=
            (size_t)snprintf(text + used, sizeof text - used, "%s%s", i ? ", " : "", s->folders[i]);
    return hds_raise(error, HDS_ERROR_NOT_FOUND,
                     "no backend for the networks, headsds_torch_<version>.so, is in %s: put it "
                     "beside the module, or name it in HEADSDS_BACKEND",
                     text);
}

static hds_status raise_other(const backend_search *s, const char *library, const char *version,
                              const char *whose, hds_error *error)
{
    char text[300];
    list_backends(s, text, sizeof text);
    return hds_raise(error, HDS_ERROR_OS,
                     "%s libtorch %s (%s), and no backend is for it; found: %s. Two libtorchs "
                     "crash a process: build headsds with -Dtorch_dir= of this one, or do without "
                     "it",
                     whose, version ? version : "of unknown version", library, text);
}

/* ---- opening ---- */

/* Opens a backend whose libtorch is in the process. */
static const tn_backend *open_backend(const backend_file *f, const char *library, hds_error *error)
{
    /* What the backend would load by this name must be what is there. */
    const char *name = backend_base(f->library);
    if (!dlopen(name, RTLD_NOW | RTLD_NOLOAD)) {
        hds_raise(error, HDS_ERROR_OS,
                  "%s asks for %s, and the libtorch in the process has another name (%s): build "
                  "headsds with -Dtorch_dir= of this one",
                  f->file, name, library);
        return NULL;
    }
    void *handle = dlopen(f->file, RTLD_NOW | RTLD_LOCAL);
    const tn_backend *b = handle ? dlsym(handle, TN_BACKEND_SYMBOL) : NULL;
    if (b && b->abi == TN_BACKEND_ABI && b->size == sizeof *b)
        return b;
    if (handle)
        hds_raise(error, HDS_ERROR_FORMAT,
                  "%s: a backend of another build of headsds; take the one of this build", f->file);
    else
        hds_raise(error, HDS_ERROR_OS, "%s with libtorch %s: %s", f->file, library, dlerror());
    if (handle)
        dlclose(handle);
    return NULL;
}

static bool right_abi(const backend_file *f, hds_error *error)
{
    if (f->abi != TN_BACKEND_ABI)
        hds_raise(error, HDS_ERROR_FORMAT,
                  "%s: a backend of ABI %d, expected %d: it is of another build of headsds; take "
                  "the one of this build",
                  f->file, f->abi, TN_BACKEND_ABI);
    return f->abi == TN_BACKEND_ABI;
}

/* libtorch and, where it lies beside, its CUDA half, which nothing of ours names: it adds its
 * device when it is loaded, and does without where there is no driver. */
static bool load_libtorch(const char *library, hds_error *error)
{
    if (!dlopen(library, RTLD_NOW | RTLD_LOCAL)) {
        hds_raise(error, HDS_ERROR_OS,
                  "libtorch does not load: %s; install what it needs, or name another one's "
                  "folder in HEADSDS_TORCH_DIR",
                  dlerror());
        return false;
    }
    char *cuda =
        hds_format("%.*slibtorch_cuda.so", (int)(backend_base(library) - library), library);
    if (cuda && access(cuda, F_OK) == 0)
        (void)dlopen(cuda, RTLD_NOW | RTLD_LOCAL);
    hds_free(cuda);
    return true;
}

/* With this libtorch and no other; `present`: the process has it. */
static const tn_backend *open_with(const backend_search *s, const char *library, bool present,
                                   const char *whose, hds_error *error)
{
    char *version = backend_version_of(s, library);
    const tn_backend *b = NULL;
    hds_error first = { 0 };
    for (int i = 0; i < s->count && version && !b; i++) {
        const backend_file *f = &s->found[i];
        if (!backend_same_version(f->version, version) || !right_abi(f, &first))
            continue;
        if (present || load_libtorch(library, &first))
            b = open_backend(f, library, &first);
    }
    if (b)
        library_in_use = hds_strdup(library);
    else if (first.status != HDS_OK)
        hds_raise(error, first.status, "%s", first.message);
    else
        raise_other(s, library, version, whose, error);
    hds_free(version);
    return b;
}

/* The libtorch that a backend was built for, where it lies today; new. NULL: nowhere. */
static char *library_of(const backend_file *f)
{
    const char *name = backend_base(f->library), *end = strstr(name, ".so.");
    if (access(f->library, R_OK) == 0)
        return hds_strdup(f->library);
    char *beside =
        hds_format("%.*storch/lib/%s", (int)(backend_base(f->file) - f->file), f->file, name);
    if (beside && access(beside, R_OK) == 0)
        return beside;
    hds_free(beside);
    struct link_map *map;
    void *handle = end ? dlopen(name, RTLD_NOW | RTLD_LOCAL) : NULL;
    return handle && dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 ? hds_strdup(map->l_name) : NULL;
}

static const tn_backend *open_any(const backend_search *s, hds_error *error)
{
    const tn_backend *b = NULL;
    for (int i = 0; i < s->count && !b; i++) {
        const backend_file *f = &s->found[i];
        backend_search alone = { .count = 1, .found = { *f } };
        char *library = right_abi(f, error) ? library_of(f) : NULL;
        if (library)
            b = open_with(&alone, library, false, "this is", error);
        else
            hds_raise(error, HDS_ERROR_NOT_FOUND,
                      "libtorch %s, which %s is for, is neither %s nor torch/lib beside it nor "
                      "installed: install it, or name its folder in HEADSDS_TORCH_DIR",
                      f->version, f->file, f->library);
        hds_free(library);
    }
    return b;
}

static const tn_backend *open_named(const backend_search *s, const char *folder, hds_error *error)
{
    const tn_backend *b = NULL;
    char *library = NULL;
    for (int i = 0; i <= s->count && !library; i++) {
        const char *name = i < s->count ? backend_base(s->found[i].library) : "libtorch_cpu.so";
        library = hds_format("%s/%s", folder, name);
        if (library && access(library, R_OK) != 0) {
            hds_free(library);
            library = NULL;
        }
    }
    if (library)
        b = open_with(s, library, false, "HEADSDS_TORCH_DIR names", error);
    else
        hds_raise(error, HDS_ERROR_NOT_FOUND,
                  "HEADSDS_TORCH_DIR is %s, and no libtorch_cpu.so is in it: it is the folder of "
                  "libtorch's libraries, as torch/lib of a wheel",
                  folder);
    hds_free(library);
    return b;
}

static const tn_backend *open_first(hds_error *error)
{
    backend_search s;
    const tn_backend *b = NULL;
    const char *folder = getenv("HEADSDS_TORCH_DIR");
    char *present = backend_loaded_libtorch();
    if (backend_look(&s, error) != HDS_OK)
        ;
    else if (!s.count)
        raise_none(&s, error);
    else if (present)
        b = open_with(&s, present, true, "this process has", error);
    else if (folder && *folder)
        b = open_named(&s, folder, error);
    else
        b = open_any(&s, error);
    hds_free(present);
    backend_forget(&s);
    return b;
}

/* libgomp's threads spin for milliseconds before they sleep. Where other processes want the same
 * processors, each wait then lasts until the scheduler takes the processor away, and a network of
 * small layers takes many times its share: only as many threads are used as have a processor.
 * OMP_WAIT_POLICY=passive costs a tenth on a quiet machine and more on a busy one; what the user
 * has set stands. */
static bool threads_spin(void)
{
    return !getenv("OMP_WAIT_POLICY") && !getenv("GOMP_SPINCOUNT");
}

static const tn_backend *load_backend(hds_error *error)
{
    if (work_load_begin(error) != HDS_OK)
        return NULL;
    const tn_backend *b = open_first(error);
    if (b && threads_spin())
        b->threads_spin();
    work_load_end(b);
    return b;
}

static const tn_backend *backend_open(hds_error *error)
{
    const tn_backend *b = atomic_load(&opened);
    if (work_usable(error) != HDS_OK)
        return NULL;
    if (b)
        return b;
    pthread_mutex_lock(&opening);
    hds_error first = { 0 };
    b = atomic_load(&opened);
    if (!b)
        b = load_backend(&first);
    atomic_store(&opened, b);
    pthread_mutex_unlock(&opening);
    if (!b)
        hds_raise(error, first.status, "%s", first.message);
    return b;
}

/* ---- tensor.h ---- */

hds_status tn_context_create(tn_context **cx, int threads, hds_error *error)
{
    hds_error own = { 0 };
    const tn_backend *b = backend_open(&own);
    *cx = NULL;
    if (!b)
        return hds_raise(error, own.status, "%s", own.message);
    if (!work_enter())
        return work_usable(error);
    hds_status status = b->context_create(cx, threads > 0 ? threads : threads_count(), error);
    work_leave();
    return status;
}

const char *tn_library(void)
{
    return atomic_load(&opened) ? library_in_use : NULL;
}

/* A call of libtorch. Where it is not open any more, or the thread is to stop, the context fails:
 * the call then does nothing. */
typedef struct call {
    const tn_backend *table;
    bool inside;
} call;

/* asks: whether its thread is to stop. */
static call call_begin(const tn_context *cx, bool asks)
{
    bool stop = asks && work_stopped();
    call c = { ((const tn_head *)cx)->backend, work_enter() };
    hds_error error = { .status = HDS_ERROR_CANCELLED, .message = "cancelled" };
    if ((!c.inside && work_usable(&error) != HDS_OK) || stop)
        c.table->fail((tn_context *)(uintptr_t)cx, error.status, error.message);
    return c;
}

static void call_end(call c)
{
    if (c.inside)
        work_leave();
}

/* What is in a context that is not open any more stays where it is. */
void tn_context_destroy(tn_context **cx)
{
    if (*cx && work_enter()) {
        ((const tn_head *)*cx)->backend->context_destroy(cx);
        work_leave();
    }
    *cx = NULL;
}

void tn_fail(tn_context *cx, hds_status status, const char *format, ...)
{
    char what[900];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    ((const tn_head *)cx)->backend->fail(cx, status, what);
}

bool tn_has_cuda(void)
{
    const tn_backend *b = backend_open(NULL);
    if (!b || !work_enter())
        return false;
    bool has = b->has_cuda();
    work_leave();
    return has;
}

/* What makes a tensor is part of a calculation that somebody checks, and asks. */
#define MAKES_TENSOR(type) _Generic((type)0, tn * : true, default : false)

#define FORWARD_VALUE(type, name, parameters, arguments)                                           \
    type tn_##name parameters                                                                      \
    {                                                                                              \
        call c = call_begin(cx, MAKES_TENSOR(type));                                               \
        type value = c.table->name arguments;                                                      \
        call_end(c);                                                                               \
        return value;                                                                              \
    }
#define FORWARD_WAY(name, parameters, arguments)                                                   \
    void tn_##name parameters                                                                      \
    {                                                                                              \
        call c = call_begin(cx, false);                                                            \
        c.table->name arguments;                                                                   \
        call_end(c);                                                                               \
    }
TN_OPERATIONS(FORWARD_VALUE, FORWARD_WAY)

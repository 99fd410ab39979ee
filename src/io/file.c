/* SPDX-License-Identifier: Apache-2.0 */
/* Files and folders: mapping, atomic replacement, and where the built-in samples lie. */
#include "io_priv.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LONGEST_ENDING = 16 };

hds_status io_raise_errno(hds_error *error, const char *path, const char *doing, int code)
{
    switch (code) {
    case ENOENT:
        return hds_raise(error, HDS_ERROR_NOT_FOUND, "%s: not found; check the path", path);
    case EISDIR:
        return hds_raise(error, HDS_ERROR_OS, "%s: is a folder, expected a file", path);
    case ENOTDIR:
        return hds_raise(error, HDS_ERROR_OS, "%s: a part of the path is a file, not a folder",
                         path);
    case EACCES:
    case EPERM:
        return hds_raise(error, HDS_ERROR_OS,
                         "%s: no permission to %s; change its permissions or choose another place",
                         path, doing);
    case ENOMEM:
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory (%s)", path, doing);
    default:
        return hds_raise(error, HDS_ERROR_OS, "%s: cannot %s: %s", path, doing, strerror(code));
    }
}

static uint64_t stamp_of(const struct stat *info)
{
    uint64_t parts[] = { (uint64_t)info->st_dev, (uint64_t)info->st_ino, (uint64_t)info->st_size,
                         (uint64_t)info->st_mtim.tv_sec, (uint64_t)info->st_mtim.tv_nsec };
    return base_hash(1469598103934665603u, parts, sizeof parts);
}

/* The sum over a folder does not depend on the order of its entries. */
static uint64_t stamp_below(const char *path, int levels)
{
    struct stat info;
    if (stat(path, &info))
        return 0;
    uint64_t stamp = stamp_of(&info);
    DIR *folder = S_ISDIR(info.st_mode) && levels > 0 ? opendir(path) : NULL;
    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        const char *name = entry->d_name;
        if (name[0] == '.')
            continue;
        char *below = io_join(path, name);
        if (below)
            stamp += base_hash(stamp_below(below, levels - 1), name, strlen(name));
        hds_free(below);
    }
    if (folder)
        closedir(folder);
    return stamp;
}

uint64_t io_stamp(const char *path)
{
    return stamp_below(path, 2);
}

hds_status io_map_open(io_map *map, const char *path, hds_error *error)
{
    *map = (io_map){ 0 };
    /* O_NONBLOCK: a named pipe would otherwise wait for its writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return io_raise_errno(error, path, "read", errno);
    struct stat info;
    hds_status status = HDS_OK;
    if (fstat(fd, &info))
        status = io_raise_errno(error, path, "read", errno);
    else if (S_ISDIR(info.st_mode))
        status = io_raise_errno(error, path, "read", EISDIR);
    else if (!S_ISREG(info.st_mode))
        status = hds_raise(error, HDS_ERROR_OS, "%s: is a device or pipe, expected a file", path);
    else if (info.st_size > 0) {
        void *bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = io_raise_errno(error, path, "map", errno);
        else
            *map = (io_map){ bytes, (size_t)info.st_size, stamp_of(&info) };
    }
    close(fd);
    return status;
}

void io_map_close(io_map *map)
{
    if (map->bytes)
        munmap((void *)(uintptr_t)map->bytes, map->size);
    *map = (io_map){ 0 };
}

/* Refuses what a rename would wrongly replace: folders, devices, read-only files. */
static hds_status check_target(const char *path, hds_error *error)
{
    struct stat info;
    if (stat(path, &info))
        return errno == ENOENT ? HDS_OK : io_raise_errno(error, path, "write", errno);
    if (S_ISDIR(info.st_mode))
        return io_raise_errno(error, path, "write", EISDIR);
    if (!S_ISREG(info.st_mode))
        return hds_raise(error, HDS_ERROR_OS, "%s: is a device or pipe, expected a file", path);
    if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS))
        return io_raise_errno(error, path, "write", errno);
    return HDS_OK;
}

/* The ending is kept: some writers choose the format by it. */
static hds_status create_temporary(char **temporary, int *fd, const char *path, hds_error *error)
{
    static atomic_uint serial;
    *temporary = NULL;
    const char *slash = strrchr(path, '/');
    int folder = slash ? (int)(slash - path + 1) : 0;
    const char *name = path + folder, *ending = strrchr(name, '.');
    if (!*name)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "\"%s\": expected the path of a file", path);
    if (!ending || strlen(ending) > LONGEST_ENDING)
        ending = "";
    hds_status status = check_target(path, error);
    if (status)
        return status;
    for (;;) {
        char *text = hds_format("%.*s.headsds-%ld-%u%s", folder, path, (long)getpid(),
                                atomic_fetch_add(&serial, 1), ending);
        if (!text)
            return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
        *fd = open(text, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (*fd >= 0) {
            *temporary = text;
            return HDS_OK;
        }
        int code = errno;
        hds_free(text);
        if (code == ENOENT)
            return hds_raise(error, HDS_ERROR_NOT_FOUND,
                             "%s: its folder does not exist; create it first", path);
        if (code != EEXIST && code != EINTR)
            return io_raise_errno(error, path, "write", code);
    }
}

hds_status io_temporary_path(char **temporary, const char *path, hds_error *error)
{
    int fd = -1;
    hds_status status = create_temporary(temporary, &fd, path, error);
    if (fd >= 0)
        close(fd);
    return status;
}

static int flush_file(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int code;
    do
        code = fsync(fd) ? errno : 0;
    while (code == EINTR);
    close(fd);
    return code;
}

/* Makes the rename itself last; that a file system cannot is no reason to fail. */
static void flush_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *folder = slash ? hds_format("%.*s", (int)(slash - path + 1), path) : hds_strdup(".");
    if (folder)
        (void)flush_file(folder);
    hds_free(folder);
}

hds_status io_commit_temporary(const char *temporary, const char *path, hds_error *error)
{
    struct stat old;
    hds_status status = check_target(path, error);
    int code = status ? 0 : flush_file(temporary);
    if (!status && !code && stat(path, &old) == 0 && chmod(temporary, old.st_mode & 0777))
        code = errno;
    if (!status && !code && rename(temporary, path))
        code = errno;
    if (code)
        status = io_raise_errno(error, path, "write", code);
    if (status)
        unlink(temporary);
    else
        flush_folder(path);
    return status;
}

static int write_all(int fd, const unsigned char *bytes, size_t size)
{
    while (size) {
        ssize_t done = write(fd, bytes, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? errno : EIO;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

hds_status io_write_beside(char **temporary, const char *path, const struct iovec *pieces,
                           size_t count, hds_error *error)
{
    int fd = -1, code = 0;
    hds_status status = create_temporary(temporary, &fd, path, error);
    if (status)
        return status;
    for (size_t i = 0; i < count && !code; i++)
        code = write_all(fd, pieces[i].iov_base, pieces[i].iov_len);
    if (close(fd) && !code && errno != EINTR) /* Linux has closed it then */
        code = errno;
    if (!code)
        return HDS_OK;
    unlink(*temporary);
    hds_free(*temporary);
    *temporary = NULL;
    return io_raise_errno(error, path, "write", code);
}

hds_status io_write_pieces(const char *path, const struct iovec *pieces, size_t count,
                           hds_error *error)
{
    char *temporary = NULL;
    hds_status status = io_write_beside(&temporary, path, pieces, count, error);
    if (!status)
        status = io_commit_temporary(temporary, path, error);
    hds_free(temporary);
    return status;
}

hds_status io_write_atomic(const char *path, const void *bytes, size_t size, hds_error *error)
{
    struct iovec piece = { (void *)(uintptr_t)bytes, size };
    return io_write_pieces(path, &piece, 1, error);
}

char *io_join(const char *folder, const char *name)
{
    size_t length = strlen(folder);
    bool slash = length && folder[length - 1] != '/';
    return hds_format("%s%s%s", folder, slash ? "/" : "", name);
}

bool io_is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

bool io_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

hds_status io_make_folders(const char *path, hds_error *error)
{
    char *part = hds_strdup(path);
    if (!part)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    hds_status status = HDS_OK;
    for (char *at = part; *at && !status;) {
        at += strspn(at, "/");
        at += strcspn(at, "/");
        char kept = *at;
        *at = '\0';
        int code = mkdir(part, 0777) ? errno : 0;
        if (code && !io_is_folder(part))
            status =
                io_raise_errno(error, part, "create the folder", code == EEXIST ? ENOTDIR : code);
        *at = kept;
    }
    hds_free(part);
    return status;
}

/* The path, without links, of the shared object or program that holds this code. */
static bool find_object(char file[PATH_MAX])
{
    Dl_info info;
    const char *self = "/proc/self/exe";
    const char *known = self;
    if (dladdr((void *)(uintptr_t)&find_object, &info) && strchr(info.dli_fname, '/'))
        known = info.dli_fname;
    return realpath(known, file) || realpath(self, file);
}

/* Looks for folder/name. False: out of memory. */
static bool look_in(char **path, const char *folder, const char *name)
{
    char *candidate = io_join(folder, name);
    if (candidate && io_exists(candidate))
        *path = candidate;
    else
        hds_free(candidate);
    return candidate;
}

/* Looks in headsds_data and in HDS_DATADIR/headsds of every folder from that of the object up: the
 * add-on and the build have the former, a prefix the latter. */
static bool look_above(char **path, const char *object, const char *name)
{
    bool made = true;
    for (size_t length = strlen(object); length && !*path && made;) {
        while (length && object[--length] != '/')
            ;
        const char *below[] = { "headsds_data", HDS_DATADIR "/headsds" };
        for (int i = 0; i < 2 && !*path && made; i++) {
            char *folder = hds_format("%.*s/%s", (int)length, object, below[i]);
            made = folder && look_in(path, folder, name);
            hds_free(folder);
        }
    }
    return made;
}

hds_status io_data_path(char **path, const char *name, hds_error *error)
{
    const char *chosen = getenv("HEADSDS_DATA");
    bool is_chosen = chosen && *chosen;
    char object[PATH_MAX] = "";
    *path = NULL;
    bool made = true;
    if (is_chosen)
        made = look_in(path, chosen, name);
    else if (find_object(object))
        made = look_above(path, object, name);
    if (!is_chosen && !*path && made)
        made = look_in(path, HDS_INSTALLED_DATA, name);
    if (!made)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", name);
    if (*path)
        return HDS_OK;
    if (is_chosen)
        return hds_raise(error, HDS_ERROR_NOT_FOUND,
                         "%s: not found in %s (HEADSDS_DATA); set HEADSDS_DATA to the folder of "
                         "the samples, or unset it",
                         name, chosen);
    return hds_raise(error, HDS_ERROR_NOT_FOUND,
                     "%s: not found in headsds_data nor in " HDS_DATADIR "/headsds of any folder "
                     "above %s, nor in %s; install headsds with its data, or set HEADSDS_DATA to "
                     "the folder of the data",
                     name, *object ? object : "the program", HDS_INSTALLED_DATA);
}

bool io_ends_with(const char *text, const char *ending)
{
    size_t length = strlen(text), tail = strlen(ending);
    return length >= tail && strcasecmp(text + length - tail, ending) == 0;
}

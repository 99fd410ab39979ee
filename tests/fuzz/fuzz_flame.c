/* SPDX-License-Identifier: Apache-2.0 */
/* FLAME's three files as one input, with a line "====" between them: the pickle, and where they are
 * not empty the UV template and the texture. */
#include "fuzz_model.h"

#include "arrays.h"
#include "headfile/headfile.h"

enum { PICKLE, TEMPLATE, TEXTURE, PARTS };
static const char mark[] = "\n====\n";
static const unsigned char *parts[PARTS];
static size_t sizes[PARTS];

static void split(const unsigned char *data, size_t size)
{
    const unsigned char *first = data, *end = data + size;
    for (int i = 0; i < PARTS; i++) {
        const unsigned char *stop = memmem(first, (size_t)(end - first), mark, sizeof mark - 1);
        stop = stop && i + 1 < PARTS ? stop : end;
        parts[i] = first;
        sizes[i] = (size_t)(stop - first);
        first = stop < end ? stop + sizeof mark - 1 : end;
    }
}

static void select_file(const char *path)
{
    int part = strstr(path, ".obj") ? TEMPLATE : strstr(path, ".npz") ? TEXTURE : PICKLE;
    fuzz_input = parts[part];
    fuzz_size = sizes[part];
}

/* In place of the real one. */
bool __wrap_io_exists(const char *path);
bool __wrap_io_exists(const char *path)
{
    select_file(path);
    return fuzz_size > 0;
}

int LLVMFuzzerTestOneInput(const unsigned char *data, size_t size)
{
    head_model *m = NULL;
    hds_error error = { 0 };
    split(data, size);
    fuzz_select = select_file;
    hds_status status = headfile_load_flame(&m, "folder/input.pkl", &error);
    fuzz_check_loaded(status, &error, "folder/", m);
    return 0;
}

/* One of the files anew into out; 0: it was not read. */
static size_t mutate_arrays(int part, unsigned seed, unsigned char *out, size_t room)
{
    fuzz_arrays arrays;
    if (part != PICKLE)
        return fuzz_arrays_mutate_npz("input.npz", seed, out, room);
    fuzz_arrays_read_pickle(&arrays, parts[part], sizes[part]);
    fuzz_arrays_mutate(&arrays, seed);
    size_t written = arrays.count ? fuzz_arrays_write_pickle(&arrays, out, room) : 0;
    fuzz_arrays_finish(&arrays);
    return written;
}

size_t LLVMFuzzerCustomMutator(unsigned char *data, size_t size, size_t room, unsigned seed)
{
    static const int chosen[] = { PICKLE, PICKLE, PICKLE, PICKLE, PICKLE, TEMPLATE, TEXTURE };
    enum { CHOICES = sizeof chosen / sizeof *chosen, BETWEEN = 2 * (sizeof mark - 1) };
    int part = chosen[seed / 8 % CHOICES];
    unsigned char *whole = malloc(room), *made = malloc(room);
    size_t used = 0;
    fuzz_select = select_file;
    split(data, size);
    if (part == PICKLE && seed % 3 == 0) /* the template is of other faces by now */
        sizes[TEMPLATE] = sizes[TEXTURE] = 0;
    size_t others = sizes[PICKLE] + sizes[TEMPLATE] + sizes[TEXTURE] - sizes[part] + BETWEEN;
    if (!whole || !made)
        abort();
    if (seed % 8 && others < room) {
        size_t left = room - others, length = 0;
        if (part != TEMPLATE)
            length = mutate_arrays(part, seed, made, left);
        if (!length && sizes[part] <= left) {
            memcpy(made, parts[part], sizes[part]);
            length = LLVMFuzzerMutate(made, sizes[part], left);
        }
        parts[part] = made;
        sizes[part] = length;
        for (int i = 0; length && i < PARTS; i++) {
            memcpy(whole + used, parts[i], sizes[i]);
            memcpy(whole + used + sizes[i], mark, i + 1 < PARTS ? sizeof mark - 1 : 0);
            used += sizes[i] + (i + 1 < PARTS ? sizeof mark - 1 : 0);
        }
        memcpy(data, whole, used);
    }
    free(whole);
    free(made);
    return used ? used : LLVMFuzzerMutate(data, size, room);
}

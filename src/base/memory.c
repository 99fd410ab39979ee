/* SPDX-License-Identifier: Apache-2.0 */
/* Heap helpers that refuse overflow, and the arena that kernels take their scratch from. */
#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, BLOCK_BYTES = 1 << 20 };

struct arena_block {
    arena_block *older;
    size_t size; /* bytes of `memory` */
    unsigned char *memory;
};

void *hds_alloc(size_t count, size_t size)
{
    return calloc(count ? count : 1, size ? size : 1);
}

void hds_free(void *memory)
{
    free(memory);
}

char *hds_strdup(const char *text)
{
    return text ? strdup(text) : NULL;
}

char *hds_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    char *text = length < 0 ? NULL : malloc((size_t)length + 1);
    if (text) {
        va_start(arguments, format);
        vsnprintf(text, (size_t)length + 1, format, arguments);
        va_end(arguments);
    }
    return text;
}

void *arena_take(arena *a, size_t count, size_t size)
{
    if (size && count > (SIZE_MAX / 2) / size)
        return NULL;
    size_t bytes = (count * size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (!a->block || a->block->size - a->used < bytes) {
        size_t capacity = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        if (a->block && capacity < 2 * a->block->size)
            capacity = 2 * a->block->size;
        arena_block *block = malloc(sizeof *block);
        void *memory = NULL;
        if (!block || posix_memalign(&memory, ALIGNMENT, capacity)) {
            free(block);
            return NULL;
        }
        *block = (arena_block){ .older = a->block, .size = capacity, .memory = memory };
        a->block = block;
        a->used = 0;
    }
    void *result = a->block->memory + a->used;
    a->used += bytes;
    return result;
}

void *arena_alloc(arena *a, size_t count, size_t size)
{
    void *result = arena_take(a, count, size);
    return result ? memset(result, 0, count * size) : NULL;
}

arena_mark arena_enter(const arena *a)
{
    return (arena_mark){ a->block, a->used };
}

/* Back to an empty arena the newest block, the largest, is kept: the next round of the same size
 * then allocates nothing. */
void arena_leave(arena *a, arena_mark mark)
{
    if (a->block && (!mark.block || (!mark.used && !mark.block->older))) {
        while (a->block->older) {
            arena_block *older = a->block->older;
            a->block->older = older->older;
            free(older->memory);
            free(older);
        }
        a->used = 0;
        return;
    }
    while (a->block != mark.block) {
        arena_block *block = a->block;
        a->block = block->older;
        free(block->memory);
        free(block);
    }
    a->used = mark.used;
}

void arena_finish(arena *a)
{
    while (a->block) {
        arena_block *block = a->block;
        a->block = block->older;
        free(block->memory);
        free(block);
    }
    a->used = 0;
}

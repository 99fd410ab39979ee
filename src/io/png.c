/* SPDX-License-Identifier: Apache-2.0 */
/* 8-bit sRGB pictures through libpng's simplified interface, which needs no longjmp of ours. */
#include "io_priv.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>

enum { LARGEST_SIDE = 16384 };

static png_uint_32 format_of(int channels, bool alpha)
{
    png_uint_32 format = channels == 1 ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
    return format | (alpha || channels == 4 ? PNG_FORMAT_FLAG_ALPHA : 0);
}

static hds_status check_claims(const png_image *image, size_t bytes, const char *path,
                               hds_error *error)
{
    if (image->width > LARGEST_SIDE || image->height > LARGEST_SIDE)
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %u x %u pixels, expected at most %d a side",
                         path, image->width, image->height, LARGEST_SIDE);
    /* a pixel takes a bit at least */
    if ((size_t)image->width * image->height / 8 / IO_DEFLATE_LIMIT > bytes)
        return hds_raise(error, HDS_ERROR_FORMAT,
                         "%s: claims %u x %u pixels in %zu bytes, which cannot be", path,
                         image->width, image->height, bytes);
    return HDS_OK;
}

/* Drops the last of `channels` + 1 channels, in place. */
static void drop_alpha(uint8_t *pixels, size_t count, size_t channels)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < channels; c++)
            pixels[i * channels + c] = pixels[i * (channels + 1) + c];
}

static hds_status decode(png_image *image, const io_map *map, int channels, uint8_t **pixels,
                         const char *path, hds_error *error)
{
    if (io_kind_of(map->bytes, map->size).format != IO_FORMAT_PNG)
        return io_raise_kind(error, path, map->bytes, map->size, "a PNG picture");
    if (!png_image_begin_read_from_memory(image, map->bytes, map->size))
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s; the PNG picture may be cut short", path,
                         image->message);
    hds_status status = check_claims(image, map->size, path, error);
    if (status)
        return status;
    /* asked for without alpha, libpng would blend with a background: drop it ourselves */
    bool alpha = channels != 4 && (image->format & PNG_FORMAT_FLAG_ALPHA);
    image->format = format_of(channels, alpha);
    uint8_t *read = hds_alloc(PNG_IMAGE_SIZE(*image), 1);
    if (!read)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %u x %u pixels", path,
                         image->width, image->height);
    if (!png_image_finish_read(image, NULL, read, 0, NULL)) {
        hds_free(read);
        return hds_raise(error, HDS_ERROR_FORMAT, "%s: %s; the picture may be cut short", path,
                         image->message);
    }
    if (alpha)
        drop_alpha(read, (size_t)image->width * image->height, (size_t)channels);
    *pixels = read;
    return HDS_OK;
}

hds_status io_png_read(const char *path, int channels, uint8_t **pixels, int *width, int *height,
                       hds_error *error)
{
    io_map map;
    png_image image = { .version = PNG_IMAGE_VERSION };
    *pixels = NULL;
    *width = *height = 0;
    if (channels != 1 && channels != 3 && channels != 4)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s: %d channels, expected 1, 3 or 4", path,
                         channels);
    hds_status status = io_map_open(&map, path, error);
    if (status)
        return status;
    status = decode(&image, &map, channels, pixels, path, error);
    png_image_free(&image);
    io_map_close(&map);
    if (status)
        return status;
    *width = (int)image.width;
    *height = (int)image.height;
    return HDS_OK;
}

static hds_status encode(const uint8_t *pixels, int width, int height, int channels, void **bytes,
                         size_t *size, const char *path, hds_error *error)
{
    *bytes = NULL;
    *size = 0;
    if (width < 1 || height < 1 || width > LARGEST_SIDE || height > LARGEST_SIDE ||
        (channels != 1 && channels != 3 && channels != 4))
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "%s: a picture of %d x %d pixels with %d channels; expected sides of 1 to "
                         "%d and 1, 3 or 4 channels",
                         path, width, height, channels, LARGEST_SIDE);
    png_image image = { .version = PNG_IMAGE_VERSION,
                        .width = (png_uint_32)width,
                        .height = (png_uint_32)height,
                        .format = format_of(channels, false) };
    png_alloc_size_t room = PNG_IMAGE_PNG_SIZE_MAX(image);
    void *packed = malloc(room);
    if (!packed)
        return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory for %d x %d pixels", path,
                         width, height);
    if (!png_image_write_to_memory(&image, packed, &room, 0, pixels, 0, NULL)) {
        free(packed);
        return hds_raise(error, HDS_ERROR_INTERNAL, "%s: %s", path, image.message);
    }
    void *shrunk = realloc(packed, room);
    *bytes = shrunk ? shrunk : packed;
    *size = room;
    return HDS_OK;
}

hds_status io_png_write(const char *path, const uint8_t *pixels, int width, int height,
                        int channels, hds_error *error)
{
    void *bytes;
    size_t size;
    hds_status status = encode(pixels, width, height, channels, &bytes, &size, path, error);
    if (!status)
        status = io_write_atomic(path, bytes, size, error);
    hds_free(bytes);
    return status;
}

hds_status io_png_encode(const uint8_t *pixels, int width, int height, int channels, void **bytes,
                         size_t *size, hds_error *error)
{
    return encode(pixels, width, height, channels, bytes, size, "PNG", error);
}

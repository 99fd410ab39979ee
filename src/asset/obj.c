/* SPDX-License-Identifier: Apache-2.0 */
/* A head as Wavefront OBJ: vertices in the model's own order (so the file keeps the topology that
 * shape keys and matching rely on), separate uvs, normals, a .mtl and the texture as .png. */
#include "asset/asset.h"

#include "io/io.h"

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Is the character of `length` bytes a blank of any script, a control, or one that means something
 * in OBJ: a comment, or that the next line belongs to this one? */
static bool is_special(const char *at, size_t length)
{
    static const char *const blanks[] = { "\xc2\x85",     "\xc2\xa0",     "\xe1\x9a\x80",
                                          "\xe2\x80\xa8", "\xe2\x80\xa9", "\xe2\x80\xaf",
                                          "\xe2\x81\x9f", "\xe3\x80\x80" };
    if (length == 1)
        return (unsigned char)*at <= ' ' || *at == 0x7f || *at == '#' || *at == '\\';
    if (length == 3 && !memcmp(at, "\xe2\x80", 2) && (unsigned char)at[2] <= 0x8a)
        return true; /* spaces of different widths */
    for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++)
        if (length == strlen(blanks[i]) && !memcmp(at, blanks[i], length))
            return true;
    return false;
}

/* The path with another ending and with "_" for what readers of OBJ would not take as a part of a
 * file's name: the format has no way to write a blank. A "-" at its beginning would be an option.
 */
static char *plain_path(const char *path, const char *ending) /* new */
{
    char *out = io_with_ending(path, ending);
    char *name = out ? out + (io_base_name(out) - out) : NULL, *to = name;
    for (const char *at = name; at && *at;) {
        size_t length = hds_utf8_length(at);
        length = length ? length : 1;
        if (is_special(at, length) || (at == name && *at == '-')) {
            *to++ = '_';
        } else {
            memmove(to, at, length);
            to += length;
        }
        at += length;
    }
    if (to)
        *to = 0;
    return out;
}

static void write_faces(FILE *out, const hds_head_model_info *model)
{
    for (size_t i = 0; i < model->face_count; i++) {
        fputc('f', out);
        for (size_t c = 3 * i; c < 3 * i + 3; c++) {
            uint32_t v = model->faces[c] + 1;
            if (model->uvs)
                fprintf(out, " %u/%u/%u", v, model->uv_faces[c] + 1, v);
            else
                fprintf(out, " %u//%u", v, v);
        }
        fputc('\n', out);
    }
}

static void write_object(FILE *out, const hds_head *head, const head_surface *shape,
                         const hds_head_model_info *model, const char *material_file)
{
    char name[64];
    asset_head_name(head, name);
    for (size_t end = strlen(name); end && name[end - 1] == '\\';)
        name[--end] = 0; /* else the next line would belong to this one */
    fprintf(out, "# headsds, metres\nmtllib %s\no %s\n", material_file, name);
    for (const float *v = shape->vertices; v < shape->vertices + 3 * model->vertex_count; v += 3)
        fprintf(out, "v %.9g %.9g %.9g\n", (double)v[0], (double)v[1], (double)v[2]);
    for (size_t i = 0; model->uvs && i < model->uv_count; i++)
        fprintf(out, "vt %.9g %.9g\n", (double)model->uvs[2 * i], (double)model->uvs[2 * i + 1]);
    for (const float *n = shape->normals; n < shape->normals + 3 * model->vertex_count; n += 3)
        fprintf(out, "vn %.9g %.9g %.9g\n", (double)n[0], (double)n[1], (double)n[2]);
    fprintf(out, "usemtl headsds\ns 1\n");
    write_faces(out, model);
}

static void write_material(FILE *out, const char *texture_file)
{
    fprintf(out, "newmtl headsds\nKa 0 0 0\nKd %s\nKs 0.04 0.04 0.04\nNs 20\nillum 2\n",
            texture_file ? "1 1 1" : "0.5 0.5 0.5");
    if (texture_file)
        fprintf(out, "map_Kd %s\n", texture_file);
}

/* Ends a memory stream and stages its bytes. */
static hds_status add_stream(io_files *files, const char *path, FILE *stream, char **bytes,
                             const size_t *size, hds_error *error)
{
    bool failed = ferror(stream) != 0;
    failed |= fclose(stream) != 0;
    hds_status status;
    if (failed)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    else
        status = io_files_add(files, path, *bytes, *size, error);
    free(*bytes);
    return status;
}

static hds_status add_files(io_files *files, const hds_head *head, const head_surface *shape,
                            const char *path, const char *mtl, const char *png, hds_error *error)
{
    hds_head_info info;
    hds_head_model_info model;
    hds_head_get_info(head, &info);
    hds_head_model_get_info(info.model, &model);
    hds_status status = HDS_OK;
    bool textured = info.texture && model.uvs;
    if (textured) {
        void *encoded = NULL;
        size_t size = 0;
        status = io_png_encode(info.texture, (int)info.texture_width, (int)info.texture_height, 3,
                               &encoded, &size, error);
        if (status == HDS_OK)
            status = io_files_add(files, png, encoded, size, error);
        hds_free(encoded);
    }
    for (int part = 0; part < 2 && status == HDS_OK; part++) {
        char *bytes = NULL;
        size_t size = 0;
        FILE *out = open_memstream(&bytes, &size);
        if (!out)
            return hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
        if (part == 0)
            write_material(out, textured ? io_base_name(png) : NULL);
        else
            write_object(out, head, shape, &model, io_base_name(mtl));
        status = add_stream(files, part ? path : mtl, out, &bytes, &size, error);
    }
    return status;
}

hds_status asset_save_obj(const hds_head *head, const char *path, hds_error *error)
{
    char *mtl = plain_path(path, ".mtl"), *png = plain_path(path, ".png");
    locale_t plain = newlocale(LC_NUMERIC_MASK, "C", (locale_t)0); /* decimal points */
    head_surface shape = { 0 };
    io_files files = { 0 };
    hds_status status;
    if (!mtl || !png || !plain)
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: out of memory", path);
    else
        status = head_surface_init(&shape, head, false, error);
    if (status == HDS_OK) {
        locale_t before = uselocale(plain);
        status = add_files(&files, head, &shape, path, mtl, png, error);
        uselocale(before);
    }
    if (status == HDS_OK)
        status = io_files_commit(&files, error);
    io_files_finish(&files);
    head_surface_finish(&shape);
    if (plain)
        freelocale(plain);
    hds_free(mtl);
    hds_free(png);
    return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* UV layout and mean texture out of files of their own: named by the caller, or beside FLAME's.
 *
 *   head_template.obj   FLAME's faces, in its order, with texture coordinates
 *   FLAME_texture.npz   mean (H,W,3), blue first, row 0 at v = 1: integers and floats of 0 to 255,
 *                       or floats of which none is above 1, of 0 to 1
 *   any .png            for any model with UVs, row 0 at v = 1 */
#include "headfile_priv.h"
#include "io/io.h"

#include <math.h>
#include <string.h>

static const char *name_of(const head_model *m)
{
    return m->path ? m->path : "the built-in head";
}

/* A file of this name in the folder of `path`, or NULL; new. */
static char *beside(const char *path, const char *name)
{
    const char *slash = strrchr(path, '/');
    char *found = slash ? hds_format("%.*s/%s", (int)(slash - path), path, name) : hds_strdup(name);
    if (found && !io_exists(found)) {
        hds_free(found);
        found = NULL;
    }
    return found;
}

/* cure: against one that belongs to another model. */
static hds_status read_template(head_model *m, const char *path, const char *cure, hds_error *error)
{
    headfile_obj obj = { 0 };
    hds_status status = headfile_obj_read(&obj, path, HEADFILE_OBJ_ALL, error);
    if (!status && (obj.face_count != m->face_count || !obj.uv_faces ||
                    memcmp(obj.faces, m->faces, 3 * m->face_count * sizeof *m->faces) != 0))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: its faces are not those of %s, or have no texture coordinates; "
                           "take the template that belongs to the model, or %s",
                           path, m->path, cure);
    if (!status)
        headfile_obj_give_uvs(&obj, m);
    headfile_obj_finish(&obj);
    return status;
}

/* mean (H,W,3) -> pixels, red first. Half a level beyond the range is rounding. */
static hds_status take_mean(const io_array *mean, const char *path, uint8_t *pixels,
                            hds_error *error)
{
    const size_t count = mean->size / (size_t)mean->itemsize, row = (size_t)mean->shape[1];
    double highest = 0, scale = 1;
    for (size_t i = 0; i < count && mean->kind == 'f'; i++)
        highest = fmax(highest, io_number(mean, i));
    if (mean->kind == 'f' && 255 * highest < 255.5)
        scale = 255;
    for (size_t i = 0; i < count; i++) {
        double value = io_number(mean, i), level = scale * value + 0.5;
        if (!(level >= 0 && level < 256))
            return hds_raise(error, HDS_ERROR_FORMAT,
                             "%s: mean[%zu,%zu,%zu] is %g, expected 0 to %g: a texture is of "
                             "0 to 255, or of floats of 0 to 1",
                             path, i / 3 / row, i / 3 % row, i % 3, value, 255 / scale);
        pixels[i / 3 * 3 + (2 - i % 3)] = (uint8_t)level;
    }
    return HDS_OK;
}

static hds_status read_npz(uint8_t **pixels, int *width, int *height, const char *path,
                           hds_error *error)
{
    io_npz npz;
    *pixels = NULL;
    hds_status status = io_npz_list(&npz, path, 0, error);
    if (!status)
        status = io_npz_read(&npz, "mean", error);
    const io_array *mean = status ? NULL : io_npz_find(&npz, "mean");
    const int64_t expected[] = { HEADFILE_ANY, HEADFILE_ANY, 3 };
    if (!status && !mean && io_npz_has(&npz, "MU"))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: holds an albedo model (its mean is MU, in linear light), as "
                           "AlbedoMM and BFM_to_FLAME give it; expected FLAME_texture.npz, with "
                           "mean. Save MU as an sRGB .png and name that",
                           path);
    else if (mean)
        status = headfile_check_array(mean, "mean", 3, expected, path, error);
    else if (!status)
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: mean: missing, expected it in FLAME's texture", path);
    if (!status && (mean->shape[0] > HEAD_MAX_TEXTURE || mean->shape[1] > HEAD_MAX_TEXTURE))
        status = hds_raise(error, HDS_ERROR_FORMAT,
                           "%s: mean: %lld rows of %lld pixels, expected at most %d each way", path,
                           (long long)mean->shape[0], (long long)mean->shape[1], HEAD_MAX_TEXTURE);
    size_t count = status ? 0 : mean->size / (size_t)mean->itemsize;
    if (!status && !(*pixels = hds_alloc(count, 1)))
        status = hds_raise(error, HDS_ERROR_MEMORY, "%s: mean: no memory for it", path);
    if (!status)
        status = take_mean(mean, path, *pixels, error);
    if (!status) {
        *height = (int)mean->shape[0];
        *width = (int)mean->shape[1];
    }
    io_npz_close(&npz);
    return status;
}

static hds_status read_texture(head_model *m, const char *path, hds_error *error)
{
    uint8_t *pixels;
    int width = 0, height = 0;
    hds_status status = io_ends_with(path, ".npz")
                            ? read_npz(&pixels, &width, &height, path, error)
                            : io_png_read(path, 3, &pixels, &width, &height, error);
    if (status)
        return status;
    hds_free(m->mean_texture);
    m->mean_texture = pixels;
    m->texture_width = (size_t)width;
    m->texture_height = (size_t)height;
    return HDS_OK;
}

static hds_status check_template(const head_model *m, const char *path, hds_error *error)
{
    if (!path || m->is_flame)
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_ARGUMENT,
                     "uv_template: %s: only FLAME's own files take one, %s %s; leave it out", path,
                     name_of(m), m->uvs ? "has texture coordinates of its own" : "can have none");
}

static hds_status check_texture(const head_model *m, const char *path, hds_error *error)
{
    if (!path)
        return HDS_OK;
    if (!m->uvs)
        return hds_raise(error, HDS_ERROR_ARGUMENT,
                         "mean_texture: %s: %s has no texture coordinates; %s", path, name_of(m),
                         m->is_flame ? "name its uv_template too" : "leave it out");
    if (io_ends_with(path, ".png") || (m->is_flame && io_ends_with(path, ".npz")))
        return HDS_OK;
    return hds_raise(error, HDS_ERROR_ARGUMENT, "mean_texture: %s: expected a .png picture%s", path,
                     m->is_flame ? " or FLAME_texture.npz" : "");
}

/* A copy of what was named, which a saved head will ask for again. */
static hds_status keep(char **copy, const char *path, hds_error *error)
{
    *copy = hds_strdup(path);
    return !path || *copy ? HDS_OK
                          : hds_raise(error, HDS_ERROR_MEMORY, "%s: no memory for its path", path);
}

hds_status headfile_take_appearance(head_model *m, const char *uv_template,
                                    const char *mean_texture, hds_error *error)
{
    bool look = m->is_flame && !uv_template;
    char *found = look ? beside(m->path, "head_template.obj") : NULL;
    hds_status status = check_template(m, uv_template, error);
    if (!status && (uv_template || found))
        status = read_template(m, found ? found : uv_template,
                               found ? "move it away" : "leave uv_template out", error);
    hds_free(found);
    found = m->is_flame && m->uvs && !mean_texture ? beside(m->path, "FLAME_texture.npz") : NULL;
    if (!status)
        status = check_texture(m, mean_texture, error);
    if (!status && (mean_texture || found))
        status = read_texture(m, found ? found : mean_texture, error);
    hds_free(found);
    if (!status)
        status = keep(&m->uv_template, uv_template, error);
    return status ? status : keep(&m->mean_texture_path, mean_texture, error);
}

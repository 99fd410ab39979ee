/* SPDX-License-Identifier: Apache-2.0 */
/* The report of a head: one HTML page with everything in it. */
#include "headsds/report.h"

#include "headsds/render.h"
#include "image/image.h"
#include "io/io.h"
#include "report_priv.h"

#include <locale.h>
#include <math.h>
#include <string.h>

enum { LARGEST_PICTURE = 16384, LARGEST_TEXTURE = 1024, AZIMUTHS = 8, TURNTABLE_SIZE = 256 };

typedef struct report {
    render_page page;
    hds_head_info head;
    hds_head_model_info model;
    hds_report_params params;
    json_t *record; /* NULL: there is none, or it is no JSON */
} report;

/* ---- pictures ---- */

/* <img>; the alternative text is "what, caption". */
static hds_status put_picture(render_page *page, const hds_report_picture *picture,
                              const char *what, hds_error *error)
{
    void *bytes;
    size_t size;
    hds_status status = io_png_encode(picture->pixels, (int)picture->width, (int)picture->height, 3,
                                      &bytes, &size, error);
    if (status)
        return status;
    render_format(page, "<img width=\"%zu\" height=\"%zu\" alt=\"", picture->width,
                  picture->height);
    render_text(page, what);
    if (picture->caption) {
        render_html(page, ", ");
        render_text(page, picture->caption);
    }
    render_html(page, "\" src=\"data:image/png;base64,");
    render_base64(page, bytes, size);
    render_html(page, "\">");
    hds_free(bytes);
    return HDS_OK;
}

static hds_status put_figure(render_page *page, const hds_report_picture *picture, const char *what,
                             hds_error *error)
{
    render_html(page, "<figure>");
    hds_status status = put_picture(page, picture, what, error);
    if (picture->caption) {
        render_html(page, "<figcaption>");
        render_text(page, picture->caption);
        render_html(page, "</figcaption>");
    }
    render_html(page, "</figure>\n");
    return status;
}

static hds_status put_strip(render_page *page, const char *title,
                            const hds_report_picture *pictures, size_t count, hds_error *error)
{
    hds_status status = HDS_OK;
    if (!count)
        return HDS_OK;
    render_format(page, "<section>\n<h2>%s</h2>\n<div class=\"strip\">\n", title);
    for (size_t i = 0; i < count && !status; i++)
        status = put_figure(page, &pictures[i], title, error);
    render_html(page, "</div>\n</section>\n");
    return status;
}

static hds_status put_turn(render_page *page, const hds_head *head, hds_render_mode mode,
                           const char *what, hds_error *error)
{
    static const char *const captions[AZIMUTHS] = {
        "front", "45\xc2\xb0",  "90\xc2\xb0, left side",   "135\xc2\xb0",
        "back",  "225\xc2\xb0", "270\xc2\xb0, right side", "315\xc2\xb0",
    };
    const size_t each = (size_t)TURNTABLE_SIZE * TURNTABLE_SIZE * 3;
    hds_camera cameras[AZIMUTHS] = { 0 };
    for (int i = 0; i < AZIMUTHS; i++)
        cameras[i].azimuth = 360.f / AZIMUTHS * (float)i;
    const hds_render_params params = {
        .cameras = cameras, .camera_count = AZIMUTHS, .size = TURNTABLE_SIZE, .mode = mode
    };
    uint8_t *pixels = hds_alloc(AZIMUTHS, each);
    if (!pixels)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the turntable");
    hds_status status = hds_head_render(head, &params, pixels, error);
    render_html(page, "<div class=\"turn\">\n");
    for (size_t i = 0; i < AZIMUTHS && !status; i++) {
        const hds_report_picture picture = { pixels + i * each, TURNTABLE_SIZE, TURNTABLE_SIZE,
                                             captions[i] };
        status = put_figure(page, &picture, what, error);
    }
    render_html(page, "</div>\n");
    hds_free(pixels);
    return status;
}

static hds_status put_turntable(report *r, const hds_head *head, hds_error *error)
{
    hds_status status = HDS_OK;
    render_html(&r->page, "<section>\n<h2>Turntable</h2>\n");
    if (r->head.texture)
        status = put_turn(&r->page, head, HDS_RENDER_TEXTURED, "Head, textured", error);
    if (!status)
        status = put_turn(&r->page, head, HDS_RENDER_GREY, "Head, grey", error);
    render_html(&r->page, "</section>\n");
    return status;
}

/* Each row of the small picture is the mean of the rows of the large one that it covers. */
static bool reduce(const uint8_t *pixels, size_t width, size_t height, size_t small_width,
                   size_t small_height, uint8_t *small)
{
    const size_t most = height / small_height + 2;
    float *band = hds_alloc(most * width, 3 * sizeof *band);
    float *row = hds_alloc(small_width, 3 * sizeof *row);
    for (size_t i = 0; band && row && i < small_height; i++) {
        size_t first = i * height / small_height;
        size_t end = ((i + 1) * height + small_height - 1) / small_height;
        size_t count = 3 * (end - first) * width;
        image_from_u8(pixels + 3 * first * width, count, band);
        image_to_linear(band, count, band);
        image_resize(band, (int)(end - first), (int)width, 3, 1, (int)small_width, IMAGE_AREA, row);
        image_to_srgb(row, 3 * small_width, row);
        image_to_u8(row, 3 * small_width, small + 3 * i * small_width);
    }
    bool reduced = band && row;
    hds_free(band);
    hds_free(row);
    return reduced;
}

static size_t scaled(size_t side, size_t largest)
{
    size_t small = largest > LARGEST_TEXTURE ? side * LARGEST_TEXTURE / largest : side;
    return small ? small : 1;
}

static hds_status put_texture(report *r, hds_error *error)
{
    const size_t width = r->head.texture_width, height = r->head.texture_height;
    const size_t largest = width > height ? width : height;
    hds_report_picture picture = { r->head.texture, width, height, NULL };
    uint8_t *small = NULL;
    render_html(&r->page, "<section>\n<h2>Texture</h2>\n");
    if (!r->head.texture) {
        render_html(&r->page, "<p class=\"soft\">This head has no texture.</p>\n</section>\n");
        return HDS_OK;
    }
    if (largest > LARGEST_TEXTURE) {
        picture.width = scaled(width, largest);
        picture.height = scaled(height, largest);
        picture.pixels = small = hds_alloc(picture.width * picture.height, 3);
        if (!small || !reduce(r->head.texture, width, height, picture.width, picture.height, small))
            r->page.failed = true;
    }
    render_html(&r->page, "<figure class=\"texture\">");
    hds_status status = r->page.failed ? HDS_OK : put_picture(&r->page, &picture, "Texture", error);
    render_format(&r->page,
                  "<figcaption>%zu &times; %zu texels%s</figcaption></figure>\n</section>\n", width,
                  height, small ? ", shown smaller" : "");
    hds_free(small);
    return status;
}

/* ---- words and numbers ---- */

static void put_seconds(render_page *page, double seconds)
{
    long long whole = (long long)(seconds + 0.5);
    if (seconds < 1)
        render_format(page, "%.3g ms", 1000 * seconds);
    else if (seconds < 60)
        render_format(page, "%.3g s", seconds);
    else if (whole < 3600)
        render_format(page, "%lld min %02lld s", whole / 60, whole % 60);
    else
        render_format(page, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
}

static double total_seconds(const report *r)
{
    double sum = 0;
    for (size_t i = 0; i < r->params.phase_count; i++)
        sum += r->params.phases[i].seconds;
    return sum;
}

/* Of a plain value of the record, or of the name in an object. */
static void put_fact(report *r, const char *title, const char *key)
{
    const json_t *value = json_object_get(r->record, key);
    const json_t *name = json_object_get(value, "name");
    value = name ? name : value;
    if (!value || json_is_null(value) || json_is_object(value) || json_is_array(value))
        return;
    render_format(&r->page, "<div><dt>%s</dt><dd>", title);
    render_json(&r->page, value);
    render_html(&r->page, "</dd></div>\n");
}

static void put_heading(report *r)
{
    render_page *page = &r->page;
    render_html(page, "<header>\n<p class=\"kicker\">headsds report</p>\n<h1 dir=\"auto\">");
    render_text(page, r->head.prompt[0] ? r->head.prompt : "A head without a prompt");
    render_html(page, "</h1>\n<dl class=\"facts\">\n");
    put_fact(r, "negative prompt", "negative_prompt");
    put_fact(r, "recipe", "recipe");
    render_html(page, "<div><dt>head model</dt><dd>");
    render_text(page, r->model.name);
    render_html(page, "</dd></div>\n");
    put_fact(r, "prior", "prior");
    put_fact(r, "seed", "seed");
    if (r->head.history_count)
        render_format(page, "<div><dt>steps</dt><dd>%zu</dd></div>\n", r->head.history_count);
    if (r->params.phase_count) {
        render_html(page, "<div><dt>time</dt><dd>");
        put_seconds(page, total_seconds(r));
        render_html(page, "</dd></div>\n");
    }
    put_fact(r, "headsds", "version");
    render_html(page, "</dl>\n</header>\n");
}

static void put_curves(report *r)
{
    render_html(&r->page, "<section>\n<h2>Curves</h2>\n");
    if (r->head.history_count)
        render_curves(&r->page, r->head.history, r->head.history_count);
    else
        render_html(&r->page, "<p class=\"soft\">This head has no history.</p>\n");
    render_html(&r->page, "</section>\n");
}

static void put_phase(render_page *page, const hds_report_phase *phase, double total)
{
    render_html(page, "<tr><th scope=\"row\">");
    render_text(page, phase->name);
    render_html(page, "</th><td class=\"number\">");
    if (phase->steps)
        render_format(page, "%d", phase->steps);
    render_html(page, "</td><td class=\"number\">");
    put_seconds(page, phase->seconds);
    render_html(page, "</td><td class=\"number\">");
    if (phase->steps)
        put_seconds(page, phase->seconds / phase->steps);
    double percent = total > 0 ? 100 * phase->seconds / total : 0;
    render_format(page,
                  "</td><td class=\"number\">%.1f%%</td><td class=\"bar\">"
                  "<span style=\"width:%.1f%%\"></span></td></tr>\n",
                  percent, percent);
}

static void put_phases(report *r)
{
    if (!r->params.phase_count)
        return;
    render_html(&r->page,
                "<section>\n<h2>Times</h2>\n<div class=\"wide\"><table class=\"full\"><thead><tr>"
                "<th scope=\"col\">phase</th><th scope=\"col\" class=\"number\">steps</th>"
                "<th scope=\"col\" class=\"number\">time</th>"
                "<th scope=\"col\" class=\"number\">per step</th>"
                "<th scope=\"col\" class=\"number\">share</th><td></td></tr></thead>\n<tbody>");
    for (size_t i = 0; i < r->params.phase_count; i++)
        put_phase(&r->page, &r->params.phases[i], total_seconds(r));
    render_html(&r->page, "</tbody></table></div>\n</section>\n");
}

/* ---- the record ---- */

static bool has_columns(const json_t *stages)
{
    const char *name;
    json_t *stage;
    json_object_foreach((json_t *)(uintptr_t)stages, name,
                        stage) if (!json_is_object(stage)) return false;
    return json_object_size(stages) > 0;
}

/* Options are the record's stages, side by side; all else follows as it is. */
static void put_record(report *r)
{
    render_page *page = &r->page;
    const json_t *stages = json_object_get(r->record, "stages");
    json_t *rest = r->record;
    if (has_columns(stages)) {
        render_html(page, "<section>\n<h2>Options</h2>\n");
        render_json_columns(page, stages);
        render_html(page, "</section>\n");
        rest = json_copy(r->record);
        if (!rest || json_object_del(rest, "stages"))
            page->failed = true;
    }
    render_html(page, "<section>\n<h2>Record</h2>\n<div class=\"wide\">");
    if (r->record) {
        render_json(page, rest);
    } else if (r->head.record) {
        render_html(page, "<p>The record of this head is no JSON:</p>\n<pre>");
        render_text(page, r->head.record);
        render_html(page, "</pre>\n");
    } else {
        render_html(page, "<p class=\"soft\">This head has no record: how it was made is not known."
                          "</p>\n");
    }
    render_html(page, "</div>\n</section>\n");
    if (rest != r->record)
        json_decref(rest);
}

static void put_hash(render_page *page, const char *name, const void *bytes, size_t size)
{
    if (bytes)
        render_format(page, "<tr><th scope=\"row\">%s</th><td class=\"hash\">%016llx</td></tr>\n",
                      name, (unsigned long long)base_hash(BASE_HASH_START, bytes, size));
}

static void put_hashes(report *r)
{
    const hds_head_info *h = &r->head;
    const hds_head_model_info *m = &r->model;
    render_html(&r->page, "<section>\n<h2>Hashes</h2>\n<p class=\"soft\">Those of the head itself "
                          "are FNV-1a, 64 bits, of its numbers as they lie in memory.</p>\n"
                          "<div class=\"wide\"><table><tbody>");
    render_json_hashes(&r->page, r->record);
    put_hash(&r->page, "shape", h->shape, m->shape_count * sizeof *h->shape);
    put_hash(&r->page, "expression", h->expression, m->expression_count * sizeof *h->expression);
    put_hash(&r->page, "pose", h->pose, 3 * m->joint_count * sizeof *h->pose);
    put_hash(&r->page, "offsets", h->offsets, 3 * m->vertex_count * sizeof *h->offsets);
    put_hash(&r->page, "texture", h->texture, 3 * h->texture_width * h->texture_height);
    render_html(&r->page, "</tbody></table></div>\n</section>\n");
}

/* ---- the whole ---- */

static hds_status check_pictures(const char *name, const hds_report_picture *pictures, size_t count,
                                 hds_error *error)
{
    if (count && !pictures)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "%s is NULL, expected %zu pictures", name,
                         count);
    for (size_t i = 0; i < count; i++) {
        const hds_report_picture *p = &pictures[i];
        if (!p->pixels || p->width < 1 || p->height < 1 || p->width > LARGEST_PICTURE ||
            p->height > LARGEST_PICTURE)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "%s[%zu]: %s%zu x %zu pixels, expected 1 to %d each way", name, i,
                             p->pixels ? "" : "NULL for ", p->width, p->height, LARGEST_PICTURE);
    }
    return HDS_OK;
}

static hds_status check(const hds_head *head, const hds_report_params *p, const char *path,
                        hds_error *error)
{
    if (!head || !path)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "a head and a path are needed");
    if (p->phase_count && !p->phases)
        return hds_raise(error, HDS_ERROR_ARGUMENT, "phases is NULL, expected %zu", p->phase_count);
    for (size_t i = 0; i < p->phase_count; i++)
        if (!p->phases[i].name || p->phases[i].steps < 0 || !(p->phases[i].seconds >= 0) ||
            p->phases[i].seconds > 1e12)
            return hds_raise(error, HDS_ERROR_ARGUMENT,
                             "phases[%zu]: %d steps, %g seconds, expected a name and no negative "
                             "numbers",
                             i, p->phases[i].steps, p->phases[i].seconds);
    hds_status status = check_pictures("evolution", p->evolution, p->evolution_count, error);
    return status ? status : check_pictures("seen", p->seen, p->seen_count, error);
}

static hds_status put_all(report *r, const hds_head *head, hds_error *error)
{
    char *title = hds_format("%s \xc2\xb7 headsds", r->head.prompt[0] ? r->head.prompt : "A head");
    if (!title)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the report");
    render_page_begin(&r->page, title);
    hds_free(title);
    put_heading(r);
    hds_status status = put_turntable(r, head, error);
    if (!status)
        status =
            put_strip(&r->page, "Evolution", r->params.evolution, r->params.evolution_count, error);
    if (!status)
        status = put_texture(r, error);
    if (!status)
        status =
            put_strip(&r->page, "What the prior saw", r->params.seen, r->params.seen_count, error);
    if (status)
        return status;
    put_curves(r);
    put_phases(r);
    put_record(r);
    put_hashes(r);
    render_page_end(&r->page);
    return r->page.failed ? hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the report")
                          : HDS_OK;
}

hds_status hds_report_write(const hds_head *head, const hds_report_params *params, const char *path,
                            hds_error *error)
{
    report r = { .params = params ? *params : (hds_report_params){ 0 } };
    hds_status status = check(head, &r.params, path, error);
    if (status)
        return status;
    /* numbers with points, whatever the language of the process is */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (!plain)
        return hds_raise(error, HDS_ERROR_MEMORY, "out of memory for the report");
    locale_t before = uselocale(plain);
    hds_head_get_info(head, &r.head);
    hds_head_model_get_info(r.head.model, &r.model);
    r.record = r.head.record ? json_loads(r.head.record, 0, NULL) : NULL;
    status = put_all(&r, head, error);
    if (!status)
        status = io_write_atomic(path, r.page.bytes, r.page.size, error);
    json_decref(r.record);
    render_page_finish(&r.page);
    uselocale(before);
    freelocale(plain);
    return status;
}

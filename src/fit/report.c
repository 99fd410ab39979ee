/* SPDX-License-Identifier: Apache-2.0 */
/* What a job keeps over time for its report: pictures of the head, and what the guides saw at the
 * first and the last step of each stage. */
#include "fit/fit.h"

#include "headsds/render.h"
#include "image/image.h"

#include <string.h>

enum { PICTURE = 192 }; /* pixels each way */

void fit_seen_finish(fit_seen *seen)
{
    hds_free(seen->images);
    *seen = (fit_seen){ 0 };
}

static bool is_edge(const fit_run *run)
{
    const hds_stage_params *p = run->current.params;
    return p && !fit_run_preparing(run) && (run->step == 0 || run->step == p->steps - 1);
}

fit_seen *fit_gallery_watch(const fit_gallery *g, const fit_run *run, fit_seen *seen)
{
    return g->path && is_edge(run) && g->seen_count < FIT_MOST_SEEN ? seen : NULL;
}

/* Pictures side by side; pixels are new, NULL: out of memory. */
static hds_report_picture strip(const fit_seen *s, char *caption)
{
    size_t row = 3 * s->width, each = s->height * row;
    uint8_t *pixels = hds_alloc(s->count * each, 1), *one = hds_alloc(each, 1);
    for (size_t i = 0; pixels && one && i < s->count; i++) {
        image_to_u8(s->images + i * each, each, one);
        for (size_t y = 0; y < s->height; y++)
            memcpy(pixels + (y * s->count + i) * row, one + y * row, row);
    }
    hds_free(one);
    return (hds_report_picture){ pixels, s->count * s->width, s->height, caption };
}

static void keep_seen(fit_gallery *g, const fit_run *run, fit_seen *seen)
{
    const hds_history *last = &run->history[run->history_count - 1];
    char *caption = hds_format("%s, step %d", last->stage, last->step + 1);
    hds_report_picture picture = strip(seen, caption);
    if (picture.pixels && caption) {
        g->seen[g->seen_count++] = picture;
    } else {
        hds_free((void *)picture.pixels);
        hds_free(caption);
    }
    fit_seen_finish(seen);
}

static void keep_picture(fit_gallery *g, size_t step, const hds_head *head)
{
    const hds_camera camera = { .azimuth = 25 };
    const hds_render_params params = { .cameras = &camera, .camera_count = 1, .size = PICTURE };
    uint8_t *pixels = hds_alloc((size_t)PICTURE * PICTURE, 3);
    char *caption = hds_format("step %zu", step);
    hds_error ignored = { 0 };
    if (pixels && caption && hds_head_render(head, &params, pixels, &ignored) == HDS_OK) {
        g->evolution[g->evolution_count++] =
            (hds_report_picture){ pixels, PICTURE, PICTURE, caption };
    } else {
        hds_free(pixels);
        hds_free(caption);
    }
}

void fit_gallery_keep(fit_gallery *g, const fit_run *run, const hds_head *head, fit_seen *seen)
{
    if (!g->path)
        return;
    if (seen->images && run->history_count)
        keep_seen(g, run, seen);
    size_t slot = run->history_count * (FIT_EVOLUTION - 1) / (size_t)fit_run_total_steps(run);
    if (slot < g->next)
        return;
    keep_picture(g, run->history_count, head);
    g->next = slot + 1;
}

hds_status fit_gallery_write(const fit_gallery *g, const fit_run *run, const fit_clock *clock,
                             const hds_head *head, hds_error *error)
{
    hds_report_phase phases[1 + 2 * HDS_MAX_STAGES] = { { "loading", 0, g->loading } };
    char names[HDS_MAX_STAGES][HDS_NAME + 16];
    size_t count = 1;
    for (int i = 0; i < run->settings.stage_count; i++) {
        const char *name = run->settings.stages[i].name;
        snprintf(names[i], sizeof names[i], "preparing %s", name);
        const fit_tally *prepared = &clock->all[1][i], *taken = &clock->all[0][i];
        if (prepared->count)
            phases[count++] = (hds_report_phase){ names[i], prepared->count, prepared->seconds };
        if (taken->count)
            phases[count++] = (hds_report_phase){ name, taken->count, taken->seconds };
    }
    const hds_report_params params = { .evolution = g->evolution,
                                       .evolution_count = g->evolution_count,
                                       .seen = g->seen,
                                       .seen_count = g->seen_count,
                                       .phases = phases,
                                       .phase_count = count };
    return hds_report_write(head, &params, g->path, error);
}

void fit_gallery_finish(fit_gallery *g)
{
    hds_report_picture *const lists[] = { g->evolution, g->seen };
    const size_t counts[] = { g->evolution_count, g->seen_count };
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < counts[k]; i++) {
            hds_free((void *)lists[k][i].pixels);
            hds_free((char *)lists[k][i].caption);
        }
    *g = (fit_gallery){ 0 };
}

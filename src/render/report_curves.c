/* SPDX-License-Identifier: Apache-2.0 */
/* The curves of a report: charts in SVG of what the history holds, over the steps of all stages. */
#include "report_priv.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    WIDTH = 520, /* of a chart; the rest are its margins */
    HEIGHT = 220,
    LEFT = 50,
    RIGHT = 10,
    TOP = 22,
    BOTTOM = 36,
    MOST_POINTS = 800, /* of a curve; beyond, the least and the greatest of several steps */
    SMOOTHED = 30      /* steps of a stage from which on a mean is drawn */
};

typedef struct curve {
    const char *title, *help;
    size_t offset; /* of its float in hds_history */
    bool noisy;    /* drawn with a mean */
} curve;

static const curve curves[] = {
    { "Residual", "of the guides on the latents, root mean square", offsetof(hds_history, residual),
      true },
    { "Gradient norm", "L2, as the optimizer was given it", offsetof(hds_history, gradient_norm),
      true },
    { "Coefficient norm", "root mean square; of a texture, of its change",
      offsetof(hds_history, coefficient_norm), false },
    { "Timestep", "mean of the views, 0 to 999", offsetof(hds_history, timestep), true },
};
enum { CURVES = sizeof curves / sizeof *curves };

static double value_of(const curve *c, const hds_history *line)
{
    float value;
    memcpy(&value, (const char *)line + c->offset, sizeof value);
    return (double)value;
}

/* The steps of a stage that begins at `first` end before this one. */
static size_t end_of_stage(const hds_history *history, size_t count, size_t first)
{
    size_t end = first + 1;
    while (end < count && !strncmp(history[end].stage, history[first].stage, HDS_NAME) &&
           history[end].step > history[end - 1].step)
        end++;
    return end;
}

static void put_name(render_page *page, const hds_history *line)
{
    char name[HDS_NAME + 1];
    snprintf(name, sizeof name, "%.*s", HDS_NAME, line->stage);
    render_text(page, name);
}

/* ---- axes ---- */

typedef struct axis {
    double low, high, step; /* of the values, or of their decimal logarithms */
    bool log;
} axis;

/* 1, 2 or 5 times a power of ten: at most `most` of them make `range`. */
static double nice_step(double range, int most)
{
    double power = pow(10, floor(log10(range / most)));
    static const double factors[] = { 1, 2, 5, 10 };
    for (int i = 0; i < 3; i++)
        if (range <= factors[i] * power * most)
            return factors[i] * power;
    return 10 * power;
}

/* Logarithmic where the values span two decades and all but a few are positive. */
static axis axis_of(const curve *c, const hds_history *history, size_t count)
{
    double low = INFINITY, high = -INFINITY, least = INFINITY;
    size_t finite = 0, positive = 0;
    for (size_t i = 0; i < count; i++) {
        double value = value_of(c, &history[i]);
        if (!isfinite(value))
            continue;
        finite++;
        low = fmin(low, value);
        high = fmax(high, value);
        if (value > 0) {
            positive++;
            least = fmin(least, value);
        }
    }
    if (!finite)
        return (axis){ .high = 1, .step = 1 };
    if (low >= 0 && 10 * positive >= 9 * finite && high >= 100 * least) {
        axis a = { .low = log10(least), .high = log10(high), .log = true };
        a.step = ceil((a.high - a.low) / 6);
        return a;
    }
    if (low >= 0 && low <= high / 2)
        low = 0;
    if (low >= high)
        high = low + (low == 0 ? 1 : fabs(low) / 10);
    axis a = { .step = nice_step(high - low, 5) };
    a.low = floor(low / a.step) * a.step;
    a.high = ceil(high / a.step) * a.step;
    return a;
}

/* In pixels; NAN: it has no place. */
static double y_of(const axis *a, double value)
{
    if (!isfinite(value) || (a->log && value <= 0))
        return NAN;
    double at = a->log ? log10(value) : value;
    return HEIGHT - BOTTOM - (at - a->low) / (a->high - a->low) * (HEIGHT - BOTTOM - TOP);
}

static double x_of(double step, size_t count)
{
    return LEFT + (count > 1 ? step / (double)(count - 1) : 0.5) * (WIDTH - RIGHT - LEFT);
}

static void put_y_axis(render_page *page, const axis *a)
{
    double first = ceil(a->low / a->step - 1e-6);
    render_format(page, "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%d\" y2=\"%d\"/>\n", LEFT,
                  WIDTH - RIGHT, HEIGHT - BOTTOM, HEIGHT - BOTTOM);
    for (int i = 0; i < 12; i++) {
        double tick = (first + i) * a->step;
        if (tick > a->high + 1e-6 * a->step)
            break;
        double value = a->log ? pow(10, tick) : tick, y = y_of(a, value);
        render_format(page,
                      "<line class=\"grid\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
                      "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.4g</text>\n",
                      LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, value);
    }
}

static void put_x_axis(render_page *page, size_t count)
{
    size_t step = count > 1 ? (size_t)fmax(nice_step((double)(count - 1), 6), 1) : 1;
    for (size_t i = 0; i < count; i += step)
        render_format(page, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%zu</text>\n",
                      x_of((double)i, count), HEIGHT - BOTTOM + 15, i);
    render_format(page, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">step</text>\n",
                  (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 5);
}

/* Borders of the stages, and their names where there is room for them. */
static void put_stages(render_page *page, const hds_history *history, size_t count)
{
    const double width_of_letter = 6.5, least_gap = 3;
    double last = 0;
    for (size_t first = 0, end; first < count; first = end) {
        end = end_of_stage(history, count, first);
        double x = first ? x_of((double)first - 0.5, count) : LEFT;
        double next = end < count ? x_of((double)end - 0.5, count) : WIDTH - RIGHT;
        if (x - last < least_gap)
            continue;
        last = x;
        if (first)
            render_format(page,
                          "<line class=\"border\" x1=\"%.1f\" x2=\"%.1f\" y1=\"6\" y2=\"%d\"/>", x,
                          x, HEIGHT - BOTTOM);
        if (width_of_letter * (double)strnlen(history[first].stage, HDS_NAME) > next - x - 4)
            continue;
        render_format(page, "<text class=\"stage\" x=\"%.1f\" y=\"14\">", x + 4);
        put_name(page, &history[first]);
        render_html(page, "</text>\n");
    }
}

/* ---- lines ---- */

typedef struct pen {
    render_page *page;
    bool down;
} pen;

static void draw_to(pen *p, double x, double y)
{
    if (isfinite(y)) /* "h0": a point without neighbours is a dot */
        render_format(p->page, p->down ? "L%.1f %.1f" : "M%.1f %.1fh0", x, y);
    p->down = isfinite(y);
}

/* Every step from `first` to `end`, or the extremes of each `bucket` in the order that they have.
 */
static void put_each(render_page *page, const double *y, size_t count, size_t first, size_t end,
                     size_t bucket)
{
    pen p = { page, false };
    for (size_t start = first; start < end; start += bucket) {
        size_t stop = start + bucket < end ? start + bucket : end, low = start, high = start;
        for (size_t i = start + 1; i < stop; i++) {
            low = isnan(y[low]) || y[i] < y[low] ? i : low;
            high = isnan(y[high]) || y[i] > y[high] ? i : high;
        }
        size_t one = low < high ? low : high, other = low < high ? high : low;
        draw_to(&p, x_of((double)one, count), y[one]);
        if (other != one)
            draw_to(&p, x_of((double)other, count), y[other]);
    }
}

static size_t reach_of_mean(size_t first, size_t end)
{
    size_t reach = (end - first) / 20;
    return reach > 1 ? reach : 1;
}

/* Means of the places in the chart, so that of a logarithmic axis they are geometric. */
static void put_mean(render_page *page, const double *y, size_t count, size_t first, size_t end,
                     size_t bucket)
{
    pen p = { page, false };
    size_t reach = reach_of_mean(first, end), stride = reach > 8 ? reach / 8 : 1;
    stride = stride > bucket ? stride : bucket;
    for (size_t at = first; at < end; at += stride) {
        size_t from = at > first + reach ? at - reach : first, to = at + reach + 1;
        double sum = 0, present = 0;
        for (size_t i = from; i < to && i < end; i++) {
            present += !isnan(y[i]);
            sum += isnan(y[i]) ? 0 : y[i];
        }
        draw_to(&p, x_of((double)at, count), present > 0 ? sum / present : NAN);
    }
}

static void put_lines(render_page *page, const hds_history *history, const double *y, size_t count,
                      bool noisy)
{
    size_t bucket = (2 * count + MOST_POINTS - 1) / MOST_POINTS;
    if (count <= MOST_POINTS)
        bucket = 1;
    for (size_t first = 0, end; first < count; first = end) {
        end = end_of_stage(history, count, first);
        bool smooth = noisy && end - first >= SMOOTHED;
        render_html(page, smooth ? "<path class=\"behind\" d=\"" : "<path d=\"");
        put_each(page, y, count, first, end, bucket);
        render_html(page, "\"/>\n");
        if (smooth) {
            render_html(page, "<path d=\"");
            put_mean(page, y, count, first, end, bucket);
            render_html(page, "\"/>\n");
        }
    }
}

static void put_chart(render_page *page, int number, const hds_history *history, size_t count)
{
    const curve *c = &curves[number];
    axis a = axis_of(c, history, count);
    double *y = hds_alloc(count, sizeof *y);
    if (!y) {
        page->failed = true;
        return;
    }
    for (size_t i = 0; i < count; i++)
        y[i] = y_of(&a, value_of(c, &history[i]));
    render_format(page, "<figure><figcaption><b>%s</b> %s%s</figcaption>\n", c->title, c->help,
                  a.log ? "; log scale" : "");
    render_format(page,
                  "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-labelledby=\"curve%dt curve%dd\">"
                  "<title id=\"curve%dt\">%s over the steps</title>",
                  WIDTH, HEIGHT, number, number, number, c->title);
    render_format(page, "<desc id=\"curve%dd\">%zu steps, from %.4g to %.4g%s.</desc>\n", number,
                  count, value_of(c, &history[0]), value_of(c, &history[count - 1]),
                  a.log ? ", on a logarithmic scale" : "");
    put_y_axis(page, &a);
    put_x_axis(page, count);
    put_stages(page, history, count);
    put_lines(page, history, y, count, c->noisy);
    render_html(page, "</svg></figure>\n");
    hds_free(y);
}

/* ---- the table of stages ---- */

/* The mean over a part of a stage; NAN: none of it is finite. */
static double mean_of(const curve *c, const hds_history *lines, size_t count)
{
    double sum = 0;
    size_t finite = 0;
    for (size_t i = 0; i < count; i++) {
        double value = value_of(c, &lines[i]);
        finite += isfinite(value) ? 1 : 0;
        sum += isfinite(value) ? value : 0;
    }
    return finite ? sum / (double)finite : NAN;
}

static void put_stage_rows(render_page *page, const hds_history *history, size_t count)
{
    for (size_t first = 0, end; first < count; first = end) {
        end = end_of_stage(history, count, first);
        size_t tenth = (end - first + 9) / 10;
        render_html(page, "<tr><th scope=\"row\">");
        put_name(page, &history[first]);
        render_format(page, "</th><td class=\"number\">%zu</td>", end - first);
        for (int i = 0; i < CURVES; i++)
            render_format(page, "<td class=\"number\">%.4g &rarr; %.4g</td>",
                          mean_of(&curves[i], history + first, tenth),
                          mean_of(&curves[i], history + end - tenth, tenth));
        render_html(page, "</tr>\n");
    }
}

void render_curves(render_page *page, const hds_history *history, size_t count)
{
    render_html(page, "<div class=\"curves\">\n");
    for (int i = 0; i < CURVES; i++)
        put_chart(page, i, history, count);
    render_html(page, "</div>\n<p class=\"soft\">Pale: each step; of a long run, the least and the "
                      "greatest of several. Over it, where steps scatter, the mean over a tenth of "
                      "the stage. The table has means over the first and the last tenth of each "
                      "stage.</p>\n"
                      "<div class=\"wide\"><table class=\"full\"><thead><tr><th scope=\"col\">stage"
                      "</th><th scope=\"col\" class=\"number\">steps</th>");
    for (int i = 0; i < CURVES; i++)
        render_format(page, "<th scope=\"col\" class=\"number\">%s</th>", curves[i].title);
    render_html(page, "</tr></thead>\n<tbody>");
    put_stage_rows(page, history, count);
    render_html(page, "</tbody></table></div>\n");
}

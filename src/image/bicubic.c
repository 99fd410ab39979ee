/* SPDX-License-Identifier: Apache-2.0 */
/* Resizing by cubic convolution that widens when it reduces (antialiasing), as Pillow does it:
 * out[y,x] = sum over j,i of v[y,j] h[x,i] image[j,i], rows first.
 *
 * h[x,i] = k((i + 1/2 - c) / s) / sum, c = (x + 1/2) W / W', s = max(1, W / W'), over pixels inside
 * the picture within 2 s of c; k is the kernel of Keys 1981 ("Cubic convolution interpolation for
 * digital image processing", equation 15), a = -1/2. Values may leave the range of the input. */
#include "image/image.h"

#include <assert.h>
#include <math.h>

/* What goes into the outputs along one axis. */
typedef struct taps {
    int outputs, room;   /* weights of an output: at most */
    int *first, *length; /* (outputs) */
    real *weight;        /* (outputs, room) */
} taps;

static double kernel(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? a * (((x - 5) * x + 8) * x - 4) : 0;
}

static void fill_output(taps *t, int i, int size, double centre, double scale)
{
    int first = (int)fmax(0, floor(centre - 2 * scale + 0.5));
    int end = (int)fmin(size, floor(centre + 2 * scale + 0.5));
    double sum = 0;
    for (int k = first; k < end; k++)
        sum += kernel((k + 0.5 - centre) / scale);
    t->first[i] = first;
    t->length[i] = end - first;
    for (int k = first; k < end; k++)
        t->weight[(size_t)i * (size_t)t->room + (size_t)(k - first)] =
            (real)(kernel((k + 0.5 - centre) / scale) / sum);
}

static void taps_finish(taps *t)
{
    hds_free(t->first);
    hds_free(t->length);
    hds_free(t->weight);
}

/* Of `size` pixels resized to `out_size`, those in [from, from + outputs). */
static bool taps_init(taps *t, int size, int out_size, int from, int outputs)
{
    assert(size > 0 && from >= 0 && outputs > 0 && from + outputs <= out_size);
    double ratio = (double)size / out_size, scale = ratio > 1 ? ratio : 1;
    size_t count = (size_t)outputs;
    *t = (taps){ .outputs = outputs, .room = (int)(4 * scale) + 2 };
    t->first = hds_alloc(count, sizeof *t->first);
    t->length = hds_alloc(count, sizeof *t->length);
    t->weight = hds_alloc(count, (size_t)t->room * sizeof *t->weight);
    bool whole = t->first && t->length && t->weight;
    for (int i = 0; whole && i < outputs; i++)
        fill_output(t, i, size, (from + i + 0.5) * ratio, scale);
    return whole;
}

/* in (rows, size, inner) -> out (rows, outputs, inner) */
static void apply(const taps *t, size_t rows, int size, size_t inner, const real *in, real *out)
{
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < t->outputs; i++) {
            real *to = out + (r * (size_t)t->outputs + (size_t)i) * inner;
            const real *from = in + (r * (size_t)size + (size_t)t->first[i]) * inner;
            const real *weight = t->weight + (size_t)i * (size_t)t->room;
            for (size_t c = 0; c < inner; c++)
                to[c] = 0;
            for (int k = 0; k < t->length[i]; k++, from += inner)
                for (size_t c = 0; c < inner; c++)
                    to[c] += weight[k] * from[c];
        }
}

/* dout (rows, outputs, inner) -> += din (rows, size, inner) */
static void apply_adjoint(const taps *t, size_t rows, int size, size_t inner, const real *dout,
                          real *din)
{
    for (size_t r = 0; r < rows; r++)
        for (int i = 0; i < t->outputs; i++) {
            const real *from = dout + (r * (size_t)t->outputs + (size_t)i) * inner;
            real *to = din + (r * (size_t)size + (size_t)t->first[i]) * inner;
            const real *weight = t->weight + (size_t)i * (size_t)t->room;
            for (int k = 0; k < t->length[i]; k++, to += inner)
                for (size_t c = 0; c < inner; c++)
                    to[c] += weight[k] * from[c];
        }
}

/* Both axes, and room for the picture after the first. */
typedef struct plan {
    taps across, down;
    size_t inner; /* numbers of a row in between */
    real *between;
} plan;

static void plan_finish(plan *p)
{
    taps_finish(&p->across);
    taps_finish(&p->down);
    hds_free(p->between);
}

static bool plan_init(plan *p, int height, int width, int channels, int out_height, int out_width,
                      image_window w)
{
    *p = (plan){ .inner = (size_t)w.width * (size_t)channels };
    p->between = hds_alloc((size_t)height, p->inner * sizeof *p->between);
    bool whole = p->between && taps_init(&p->across, width, out_width, w.left, w.width) &&
                 taps_init(&p->down, height, out_height, w.top, w.height);
    if (!whole)
        plan_finish(p);
    return whole;
}

bool image_bicubic(const real *image, int height, int width, int channels, int out_height,
                   int out_width, image_window window, real *out)
{
    plan p;
    if (!plan_init(&p, height, width, channels, out_height, out_width, window))
        return false;
    apply(&p.across, (size_t)height, width, (size_t)channels, image, p.between);
    apply(&p.down, 1, height, p.inner, p.between, out);
    plan_finish(&p);
    return true;
}

bool image_bicubic_adjoint(int height, int width, int channels, int out_height, int out_width,
                           image_window window, const real *dout, real *dimage)
{
    plan p;
    if (!plan_init(&p, height, width, channels, out_height, out_width, window))
        return false;
    apply_adjoint(&p.down, 1, height, p.inner, dout, p.between);
    apply_adjoint(&p.across, (size_t)height, width, (size_t)channels, p.between, dimage);
    plan_finish(&p);
    return true;
}

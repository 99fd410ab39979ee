/* SPDX-License-Identifier: Apache-2.0 */
/* Random backgrounds, so that what is distilled doesn't settle for one: a colour, a gradient
 * between two, soft noise, or a checkerboard. */
#include "view/view.h"

#include <math.h>
#include <string.h>

enum { GRID = 9 }; /* noise: random colours at GRID x GRID places, blended in between */

static void random_colour(rng *r, real colour[3])
{
    double grey = rng_range(r, 0.1, 0.9);
    for (int c = 0; c < 3; c++)
        colour[c] = (real)(grey + 0.1 * rng_range(r, -1, 1));
}

static void blend(const real *a, const real *b, real share, real out[3])
{
    for (int c = 0; c < 3; c++)
        out[c] = a[c] + share * (b[c] - a[c]);
}

static void fill_gradient(rng *r, int width, int height, real *picture)
{
    real ends[2][3];
    double angle = rng_range(r, 0, 6.283185307179586), across = cos(angle), down = sin(angle);
    random_colour(r, ends[0]);
    random_colour(r, ends[1]);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            double at = across * ((x + 0.5) / width - 0.5) + down * ((y + 0.5) / height - 0.5);
            blend(ends[0], ends[1], (real)(0.5 + at / 1.4142135623730951),
                  picture + 3 * ((size_t)y * (size_t)width + (size_t)x));
        }
}

static void fill_noise(rng *r, int width, int height, real *picture)
{
    real grid[GRID][GRID][3];
    for (int i = 0; i < GRID * GRID; i++)
        random_colour(r, grid[i / GRID][i % GRID]);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++) {
            real v = (real)(GRID - 1) * (real)y / (real)height, top[3], bottom[3];
            real u = (real)(GRID - 1) * (real)x / (real)width;
            int row = (int)v, column = (int)u;
            blend(grid[row][column], grid[row][column + 1], u - (real)column, top);
            blend(grid[row + 1][column], grid[row + 1][column + 1], u - (real)column, bottom);
            blend(top, bottom, v - (real)row,
                  picture + 3 * ((size_t)y * (size_t)width + (size_t)x));
        }
}

static void fill_checkers(rng *r, int width, int height, real *picture)
{
    real colours[2][3];
    int side = 1 + (int)(rng_range(r, 0.05, 0.25) * width);
    random_colour(r, colours[0]);
    random_colour(r, colours[1]);
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            memcpy(picture + 3 * ((size_t)y * (size_t)width + (size_t)x),
                   colours[(x / side + y / side) % 2], sizeof colours[0]);
}

void view_background_random(rng *r, int width, int height, real *picture)
{
    real colour[3];
    switch (rng_below(r, 4)) {
    case 0:
        random_colour(r, colour);
        for (size_t i = 0; i < 3 * (size_t)width * (size_t)height; i++)
            picture[i] = colour[i % 3];
        break;
    case 1:
        fill_gradient(r, width, height, picture);
        break;
    case 2:
        fill_noise(r, width, height, picture);
        break;
    default:
        fill_checkers(r, width, height, picture);
    }
}

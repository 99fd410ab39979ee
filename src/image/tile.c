/* SPDX-License-Identifier: Apache-2.0 */
/* Contact sheets: equal 8-bit pictures in a grid. */
#include "image/image.h"

#include <assert.h>
#include <string.h>

void image_tile(const uint8_t *const *pictures, size_t count, int height, int width, int channels,
                int columns, uint8_t background, uint8_t *sheet)
{
    assert(height > 0 && width > 0 && channels > 0 && columns > 0);
    size_t row = (size_t)width * (size_t)channels, wide = row * (size_t)columns;
    size_t places = (count + (size_t)columns - 1) / (size_t)columns * (size_t)columns;
    for (size_t p = 0; p < places; p++) {
        uint8_t *corner =
            sheet + p / (size_t)columns * (size_t)height * wide + p % (size_t)columns * row;
        for (size_t y = 0; y < (size_t)height; y++) {
            if (p < count)
                memcpy(corner + y * wide, pictures[p] + y * row, row);
            else
                memset(corner + y * wide, background, row);
        }
    }
}

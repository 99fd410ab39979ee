# SPDX-License-Identifier: GPL-3.0-or-later
"""Contact sheets of the head: as it evolved, and from all around. Drawn by headsds itself."""

import numpy as np

FRAMES = 12                     # of the evolution
COLUMNS = 4
SIZE = 320                      # pixels of one picture
GAP = 4
THREE_QUARTERS = 30.0           # degrees


class Evolution:
    """Keeps heads of a run at steps evenly apart, drawn when it is over."""

    def __init__(self):
        self._heads = []

    def look(self, running):
        progress = running.progress
        if progress.step_count == 0:
            return
        due = len(self._heads) * progress.step_count / (FRAMES - 1)
        if progress.step < max(due, 1):
            return
        head = running.preview()
        if head is not None and len(self._heads) < FRAMES - 1:
            self._heads.append(head)

    def sheet(self, last):
        """(H,W,3) u8, in reading order; the last picture is the result."""
        return contact_sheet([picture(head, THREE_QUARTERS) for head in self._heads + [last]])


def turntable(head, count=8):
    """(H,W,3) u8: the head from `count` sides, the first from the front."""
    return contact_sheet([picture(head, 360.0 * number / count) for number in range(count)])


def picture(head, azimuth):
    return np.asarray(head.render(azimuth=azimuth, size=SIZE), dtype=np.uint8)


def contact_sheet(images, columns=COLUMNS):
    """(N,) pictures of one size on a white sheet, in rows."""
    height, width = images[0].shape[:2]
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    sheet = np.full((rows * (height + GAP) - GAP, columns * (width + GAP) - GAP, 3), 255, np.uint8)
    for number, image in enumerate(images):
        y = number // columns * (height + GAP)
        x = number % columns * (width + GAP)
        sheet[y:y + height, x:x + width] = image
    return sheet

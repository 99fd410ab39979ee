# SPDX-License-Identifier: Apache-2.0
"""Draws what bench_geometry prints as "plot <work> <amount> <milliseconds>": a panel for each kind of work, both axes
logarithmic, with a line of what a linear growth from the first point would be.

    build/tests/bench/bench_geometry | python3 tests/bench/plot.py docs/geometry.svg
"""

import math
import sys

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 300, 260, 52, 30, 12, 40


def read(lines):
    series = {}
    for line in lines:
        words = line.split()
        if words and words[0] == "plot":
            series.setdefault(words[1], []).append((float(words[2]), float(words[3])))
    if not series:
        sys.exit("plot.py: no line begins with 'plot': pipe the output of bench_geometry into it")
    return series


def panel(name, points, offset):
    works, times = zip(*points)
    linear = [(works[0], times[0]), (works[-1], times[0] * works[-1] / works[0])]
    x0, x1 = math.log10(works[0]), math.log10(works[-1])
    y0, y1 = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times)))

    def place(work, time):
        x = LEFT + (math.log10(work) - x0) / (x1 - x0) * (WIDTH - LEFT - RIGHT)
        y = HEIGHT - BOTTOM - (math.log10(time) - y0) / (y1 - y0) * (HEIGHT - TOP - BOTTOM)
        return offset + x, max(y, TOP)

    out = [f'<text x="{offset + WIDTH / 2}" y="18" text-anchor="middle" font-weight="bold">{name}</text>']
    for power in range(y0, y1 + 1):
        x, y = place(works[0], 10.0 ** power)
        out.append(f'<path d="M{x:.1f} {y:.1f}H{offset + WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(f'<text x="{x - 6:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0 ** power:g}</text>')
    for work in works:
        x, _ = place(work, times[0])
        label = f"{work / 1000:.0f}k" if work >= 10000 else f"{work:.0f}"
        out.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{label}</text>')
    (ax, ay), (bx, by) = place(*linear[0]), place(*linear[1])
    if by <= TOP:  # the line leaves the panel
        power = y1 - math.log10(times[0])
        bx, by = place(works[0] * 10 ** min(power, x1 - x0), 10.0 ** y1)
    out.append(f'<path d="M{ax:.1f} {ay:.1f}L{bx:.1f} {by:.1f}" stroke="#999" stroke-dasharray="4 4"/>')
    path = "L".join("{:.1f} {:.1f}".format(*place(*point)) for point in points)
    out.append(f'<path d="M{path}" fill="none" stroke="#1668b0" stroke-width="2"/>')
    out += ['<circle cx="{:.1f}" cy="{:.1f}" r="3" fill="#1668b0"/>'.format(*place(*p)) for p in points]
    return out


def main():
    series = read(sys.stdin)
    body = ['<rect width="100%" height="100%" fill="white"/>']
    for i, (name, points) in enumerate(series.items()):
        body += panel(f"ms over {name}", points, i * WIDTH)
    with open(sys.argv[1], "w", encoding="utf-8") as file:
        file.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH * len(series)}" height="{HEIGHT}" '
                   'font-family="sans-serif" font-size="11">\n' + "\n".join(body) + "\n</svg>\n")


if __name__ == "__main__":
    main()

"""The growth table as a picture: one panel for each thing that grows. Legible on light and dark pages."""

from statistics import median

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 860, 300, 54, 56, 58
STYLE = """
  text { font: 13px system-ui, sans-serif; fill: #24292f }
  .small { font-size: 12px; fill: #57606a }
  .title { font-size: 15px; font-weight: 600 }
  .bar { fill: #2f6fbb }
  .axis { stroke: #8c959f; stroke-width: 1 }
  .grid { stroke: #d0d7de; stroke-width: 1 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .small { fill: #9da7b3 }
    .bar { fill: #6cb0f5 }
    .axis { stroke: #768390 }
    .grid { stroke: #373e47 }
  }
"""


def picture(panels):
    """`panels`: (what grows, [(how many, microseconds)])."""
    highest = max((value for _, points in panels for _, value in points), default=1.0)
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 10**9) if highest / step <= 6)
    top = step * (int(highest / step) + 1)
    floor = HEIGHT - BOTTOM

    def y(value):
        return floor - (floor - TOP) * value / top

    out = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" role="img" aria-labelledby="name">' % (WIDTH, HEIGHT),
        '<title id="name">Processor time for each request, as one thing at a time grows</title>',
        "<style>%s</style>" % STYLE,
        '<text class="title" x="8" y="22">Processor time for each request</text>',
        '<text class="small" x="8" y="40">microseconds; the median of the rounds</text>',
    ]
    for at in range(int(top / step) + 1):
        value = at * step
        kind = "grid" if at else "axis"
        out.append('<line class="%s" x1="%d" x2="%d" y1="%.1f" y2="%.1f"/>' % (kind, LEFT, WIDTH - 10, y(value), y(value)))
        out.append('<text class="small" x="%d" y="%.1f" text-anchor="end">%d</text>' % (LEFT - 8, y(value) + 4, value))
    bars = sum(len(points) for _, points in panels)
    slot = (WIDTH - 10 - LEFT) / (bars + 0.6 * len(panels))
    x = LEFT + 0.3 * slot
    for what, points in panels:
        middle = x + slot * len(points) / 2
        for count, value in points:
            bar = slot * 0.62
            left, height = x + (slot - bar) / 2, floor - y(value)
            out.append('<rect class="bar" x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="2"/>' % (left, y(value), bar, height))
            centre = x + slot / 2
            out.append('<text x="%.1f" y="%.1f" text-anchor="middle">%.1f</text>' % (centre, y(value) - 6, value))
            out.append('<text class="small" x="%.1f" y="%d" text-anchor="middle">%s</text>' % (centre, floor + 18, short(count)))
            x += slot
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (middle, floor + 40, what))
        x += 0.6 * slot
    return "\n".join([*out, "</svg>"]) + "\n"


def short(count):
    if count >= 1_000_000:
        return "%g million" % (count / 1e6)
    return "{:,}".format(count)


def panels(rows, names):
    """What the rows of `growth` hold, in the order of the table."""
    found = {}
    for row in rows:
        what = row["subject"].rsplit(" ", 1)[0]
        found.setdefault(what, {}).setdefault(row["of"][what], []).append(row["us"])
    return [(names[what], [(count, median(of[count])) for count in sorted(of)]) for what, of in found.items()]

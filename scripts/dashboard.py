#!/usr/bin/env python3
"""Draws the dashboard as a picture.

In: a JSON file of it::subscribers::pictures, with each panel's place, unit and lines, and the moments to mark; the dashboard itself,
for its headings. Out: a PNG file of few colours, so that it is small.
Called by that test when `make pictures` runs it.
"""

import json
import math
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "target", "plot"))

import matplotlib  # noqa: E402

matplotlib.use("agg")
from matplotlib import pyplot, ticker  # noqa: E402
from PIL import Image  # noqa: E402

DASHBOARD = os.path.join(os.path.dirname(__file__), "..", "helm", "hookbus", "files", "dashboard.json")
# Rows of the grid above the first panel, for the story.
ABOVE = 2
COLOURS = 48

COLUMNS = 24
# Inches of one column and of one row of the grid.
WIDTH, HEIGHT = 0.62, 0.27
# Of a panel's place, in parts: what the frame, the axes and the title leave.
LEFT, RIGHT, BOTTOM, TOP = 0.09, 0.02, 0.14, 0.13


def size(value, units, base):
    for unit in units[:-1]:
        if abs(value) < base:
            return f"{value:.3g} {unit}".rstrip()
        value /= base
    return f"{value:.3g} {units[-1]}"


def text_of(value, unit):
    if unit == "percentunit":
        return f"{value * 100:.3g} %"
    if unit == "bytes":
        return size(value, ["B", "KiB", "MiB", "GiB", "TiB"], 1024)
    if unit == "s":
        small = abs(value) < 1 and value != 0
        return f"{value * 1000:.3g} ms" if small else f"{value:.3g} s"
    if unit in ("reqps", "ops"):
        return f"{value:.3g} /s"
    return f"{value:.4g}"


def frame(figure, panel, rows):
    place = panel["place"]
    x, width = place["x"] / COLUMNS, place["w"] / COLUMNS
    y, height = 1 - (place["y"] + place["h"]) / rows, place["h"] / rows
    return figure.add_axes((x + LEFT * width, y + BOTTOM * height, width * (1 - LEFT - RIGHT), height * (1 - BOTTOM - TOP)))


def say(axes, text, large):
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=20 if large else 11,
              color="#2a7a3b" if large else "#777777")


def draw(axes, panel, marks, begin):
    axes.set_title(panel["title"], fontsize=8, loc="left", pad=3)
    axes.tick_params(labelsize=6, length=2)
    lines, unit = panel["lines"], panel["unit"]
    is_number = panel["type"] == "stat"
    if is_number or not lines:
        axes.set_xticks([])
        axes.set_yticks([])
        last = lines[0]["points"][-1][1] if lines else None
        say(axes, panel["says"] if last is None else text_of(last, unit), is_number)
        return
    for line in lines:
        # A gap of the series is one of the line.
        times, values, before = [], [], None
        for time, value in line["points"]:
            if before is not None and time - before > 1.5:
                times.append(time - begin - 1)
                values.append(math.nan)
            times.append(time - begin)
            values.append(value)
            before = time
        axes.plot(times, values, linewidth=1, marker="." if len(values) < 3 else None, label=line["name"])
    for at, _ in marks:
        axes.axvline(at - begin, color="#bbbbbb", linewidth=0.7, linestyle="--", zorder=0)
    low, high = axes.get_ylim()
    low = min(0, low)
    axes.set_ylim(low, high + (high - low) / 10)
    axes.yaxis.set_major_locator(ticker.MaxNLocator(4))
    axes.yaxis.set_major_formatter(lambda value, _: text_of(value, unit))
    axes.grid(axis="y", linewidth=0.3)
    axes.legend(fontsize=5.5, loc="upper left", frameon=False, handlelength=1, ncols=2 if len(lines) > 4 else 1)


def main(drawn, picture):
    with open(drawn) as file:
        told = json.load(file)
    panels, marks = told["panels"], told["marks"]
    begin = min(point[0] for panel in panels for line in panel["lines"] for point in line["points"])
    end = max(point[0] for panel in panels for line in panel["lines"] for point in line["points"])
    with open(DASHBOARD) as file:
        headings = [panel for panel in json.load(file)["panels"] if panel["type"] == "row"]
    rows = max(panel["place"]["y"] + panel["place"]["h"] for panel in panels) + ABOVE + 1
    figure = pyplot.figure(figsize=(COLUMNS * WIDTH, rows * HEIGHT))
    for panel in panels:
        panel["place"]["y"] += ABOVE
        axes = frame(figure, panel, rows)
        if panel["type"] != "stat" and panel["lines"]:
            axes.set_xlim(0, end - begin)
        draw(axes, panel, marks, begin)
    for heading in headings:
        y = 1 - (heading["gridPos"]["y"] + ABOVE + 0.6) / rows
        figure.text(0.01, y, heading["title"], fontsize=10, fontweight="bold", va="center")
    story = ";  ".join(f"{at - begin:.0f} s: {text}" for at, text in marks)
    figure.text(0.01, 1 - 1 / rows, f"hookbus through an outage and a rotation.  {story}", fontsize=9, va="center")
    figure.savefig(picture, dpi=90)
    with Image.open(picture) as image:
        few = image.convert("RGB").quantize(COLOURS)
    few.save(picture, optimize=True)


if __name__ == "__main__":
    main(*sys.argv[1:])

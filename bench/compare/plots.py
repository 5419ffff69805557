"""The pictures of the page: bars with the range of the repetitions, and lines of growth. SVG."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from bench.compare.arithmetic import Range, exponent

WIDTH, LABELS, RIGHT, TOP, BAR = 860, 330, 100, 64, 26
PLOT, FOOT = 280, 64
LARGEST = 3
OURS, OTHERS, INK, FAINT = "#2e9e5b", "#8aa1b8", "#1f2933", "#8795a1"
COLOURS = (OURS, "#2b6cb0", "#d6336c", "#b7791f", "#6b46c1", "#0f766e", "#4a5568")


@dataclass(frozen=True, slots=True)
class Bar:
    label: str
    value: Range
    ours: bool = False


def bars(title: str, unit: str, entries: Sequence[Bar], *, digits: int = 0) -> str:
    """A bar for each peer, the shortest first; a thin line is the range of its repetitions."""
    ordered = sorted(entries, key=lambda bar: bar.value.median)
    longest = max((bar.value.high for bar in ordered), default=0.0) or 1.0
    scale = (WIDTH - LABELS - RIGHT) / longest
    lines = _head(title, unit, TOP + BAR * len(ordered) + 20)
    for number, bar in enumerate(ordered):
        lines += _bar(bar, TOP + BAR * number, scale, digits)
    return "\n".join([*lines, "</svg>"]) + "\n"


def _bar(bar: Bar, top: float, scale: float, digits: int) -> Iterator[str]:
    middle = top + BAR / 2
    yield _text(LABELS - 10, middle + 4, bar.label, anchor="end", weight=600 if bar.ours else 400)
    width, colour = max(1.0, bar.value.median * scale), OURS if bar.ours else OTHERS
    yield (
        f'<rect x="{LABELS}" y="{top + 4:.1f}" width="{width:.1f}" height="{BAR - 8}"'
        f' fill="{colour}"/>'
    )
    low, high = (LABELS + each * scale for each in (bar.value.low, bar.value.high))
    if high - low > 2:
        yield f'<path d="M{low:.1f} {middle:.1f}H{high:.1f}" stroke="{INK}" stroke-width="1.5"/>'
    said = f"{bar.value.median:,.{digits}f}"
    yield _text(max(LABELS + width, high) + 8, middle + 4, said, weight=600 if bar.ours else 400)


def growth(title: str, unit: str, lines: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Both axes are logarithmic: a straight line is a power. Its exponent, in the legend, is that
    of the largest sizes, where what each `up` costs anyway weighs little.
    """
    points = [point for each in lines.values() for point in each if min(point) > 0]
    if not points:
        return "\n".join([*_head(title, "nothing was measured", TOP), "</svg>"]) + "\n"
    across = _Axis([x for x, _ in points], 70, WIDTH - 300)
    up = _Axis([y for _, y in points], TOP + PLOT, TOP)
    out = _head(title, unit, TOP + PLOT + FOOT - 20)
    for value in across.ticks:
        out.append(_line(across.at(value), TOP, across.at(value), TOP + PLOT))
        label = f"{value:,.0f}"
        out.append(_text(across.at(value), TOP + PLOT + 20, label, anchor="middle", fill=FAINT))
    for value in up.ticks:
        out.append(_line(70, up.at(value), WIDTH - 300, up.at(value)))
        out.append(_text(62, up.at(value) + 4, f"{value:g}", anchor="end", fill=FAINT))
    for number, (name, each) in enumerate(lines.items()):
        out += _curve(name, number, [point for point in each if min(point) > 0], across, up)
    return "\n".join([*out, "</svg>"]) + "\n"


@dataclass(frozen=True, slots=True)
class _Axis:
    values: Sequence[float]
    begin: float
    end: float

    @property
    def powers(self) -> tuple[int, int]:
        low = math.floor(math.log10(min(self.values)) + 1e-9)
        high = math.ceil(math.log10(max(self.values)) - 1e-9)
        return low, max(high, low + 1)

    @property
    def ticks(self) -> list[float]:
        low, high = self.powers
        return [10.0**power for power in range(low, high + 1)]

    def at(self, value: float) -> float:
        low, high = self.powers
        return self.begin + (math.log10(value) - low) / (high - low) * (self.end - self.begin)


def _curve(
    name: str, number: int, points: Sequence[tuple[float, float]], across: _Axis, up: _Axis
) -> Iterator[str]:
    colour, top = COLOURS[number % len(COLOURS)], TOP + 24 * number
    path = " ".join(f"{across.at(x):.1f},{up.at(y):.1f}" for x, y in points)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in points:
        yield f'<circle cx="{across.at(x):.1f}" cy="{up.at(y):.1f}" r="3.5" fill="{colour}"/>'
    power = exponent(points[-LARGEST:])
    said = name if power is None else f"{name}: n^{power:.2f}"
    yield f'<rect x="{WIDTH - 286}" y="{top - 1}" width="14" height="10" fill="{colour}"/>'
    yield _text(WIDTH - 266, top + 9, said)


def _head(title: str, unit: str, height: float) -> list[str]:
    size = f'viewBox="0 0 {WIDTH} {height:.0f}" width="{WIDTH}" height="{height:.0f}"'
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{height:.0f}" rx="8" fill="#ffffff"/>',
        _text(24, 28, title, weight=600),
        _text(24, 48, unit, fill=FAINT),
    ]


def _line(x: float, y: float, to_x: float, to_y: float) -> str:
    return f'<path d="M{x:.1f} {y:.1f}L{to_x:.1f} {to_y:.1f}" stroke="#e4e7eb"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    fill: str = INK,
    weight: int = 400,
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{fill}" font-size="13"'
        f' font-weight="{weight}">{escape(text)}</text>'
    )

"""A plot as SVG, by hand: lines over a linear and a logarithmic axis."""

import math
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

import attrs

_WIDTH: Final = 720
_HEIGHT: Final = 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 45, 55
_GREY: Final = "#888"


@attrs.frozen
class Line:
    """One line of a plot."""

    label: str
    colour: str
    points: Sequence[tuple[float, float]]
    """``x`` from 0 to 1; a ``y`` that is not above 0 is left out."""
    dashed: bool = False


def draw(title: str, x_title: str, y_title: str, lines: Sequence[Line]) -> str:
    """Draw lines; ``y`` is logarithmic, its axis made of whole powers of ten."""
    values = [y for line in lines for _, y in line.points if 0 < y < math.inf]
    low = math.floor(math.log10(min(values, default=1)))
    high = max(low + 1, math.ceil(math.log10(max(values, default=10))))

    def across(x: float) -> float:
        return _LEFT + x * (_WIDTH - _LEFT - _RIGHT)

    def down(y: float) -> float:
        share = (math.log10(y) - low) / (high - low)
        return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, size=15),
        _text(across(0.5), _HEIGHT - 12, x_title, anchor="middle"),
        f'<g transform="translate(18 {(_TOP + _HEIGHT - _BOTTOM) / 2:.1f}) rotate(-90)">'
        + _text(0, 0, y_title, anchor="middle")
        + "</g>",
    ]
    for tenth in range(0, 11, 2):
        x = across(tenth / 10)
        parts.append(_rule(x, _TOP, x, _HEIGHT - _BOTTOM))
        parts.append(_text(x, _HEIGHT - _BOTTOM + 18, f"{tenth / 10:.1f}", anchor="middle"))
    for power in range(low, high + 1):
        y = down(10.0**power)
        parts.append(_rule(_LEFT, y, _WIDTH - _RIGHT, y))
        parts.append(_text(_LEFT - 8, y + 4, f"{10.0**power:g}", anchor="end"))
    for number, line in enumerate(lines):
        stroke = f'stroke="{line.colour}" stroke-width="2" fill="none"'
        stroke += ' stroke-dasharray="6 4"' if line.dashed else ""
        spots = [(across(x), down(y)) for x, y in line.points if 0 < y < math.inf]
        shown = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
        parts.append(f'<polyline points="{shown}" {stroke}/>')
        fill = f'r="3" fill="{line.colour}"'
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" {fill}/>' for x, y in spots]
        y, x = _TOP + 12 + 20 * number, _WIDTH - _RIGHT + 12
        parts.append(f'<polyline points="{x},{y} {x + 26},{y}" {stroke}/>')
        parts.append(_text(x + 32, y + 4, line.label))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}">'
        f"{escape(text)}</text>"
    )


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        f'stroke="{_GREY}" stroke-width="0.5"/>'
    )

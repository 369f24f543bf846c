"""Charts over time, drawn on the server: an SVG that scales to its box, the labels beside it, and the same as a table.

The labels are text of the page and not of the SVG, so that they stay readable at every width. ``static/islands/chart.js``
reads the table and puts an interactive chart in the SVG's place.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from typing import Final, Literal

from markupsafe import Markup

Unit = Literal["count", "ms", "usd", "share", "tokens"]
Kind = Literal["bars", "lines", "points"]
Tone = Literal["1", "2", "3", "4", "5", "6", "bad"]

WIDTH: Final = 600.0
HEIGHT: Final = 160.0
_STEPS: Final = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
_TIME_STEPS: Final = 4
_GAP: Final = 0.18
"""Of a bar's step stays empty."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line, or one layer of the bars; None where nothing was measured."""

    name: str
    values: Sequence[float | None]
    tone: Tone = "1"


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A chart and all that is shown of it.

    Attributes:
        key: Its id on the page.
        kind: ``bars`` are stacked; ``points`` are lines with their points marked.
        at: The beginning of each step, or the moment of each point.
        since, until: The stretch of time that the chart is as wide as.
        step_s: How long a step is; 0 where points are moments.
        links: Where each step leads to; may be empty.
        zoom: The page that shows a part of the time; ``from`` and ``to`` are added to it.
    """

    key: str
    title: str
    unit: Unit
    at: Sequence[datetime]
    series: Sequence[Series]
    since: datetime
    until: datetime
    kind: Kind = "bars"
    step_s: int = 0
    links: Sequence[str] = ()
    zoom: str = ""
    about: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for each in self.series for value in each.values)

    @cached_property
    def top(self) -> float:
        """The end of the scale: a round number at or above everything drawn."""
        if self.kind == "bars":
            heights = [sum(value or 0.0 for value in step) for step in zip(*self._values(), strict=True)]
        else:
            heights = [value or 0.0 for each in self.series for value in each.values]
        most = max(heights, default=0.0)
        return 1.0 if self.unit == "share" and most > _NEARLY_ALL else rounded_up(most)

    @property
    def y_labels(self) -> list[str]:
        """From the top of the scale to its foot."""
        return [label(self.top * part, self.unit) for part in (1.0, 0.5, 0.0)]

    @property
    def x_labels(self) -> list[datetime]:
        """Moments at even distances, from one end to the other."""
        whole = self.until - self.since
        return [self.since + whole * step / _TIME_STEPS for step in range(_TIME_STEPS + 1)]

    @property
    def is_within_days(self) -> bool:
        """Whether hours say more than dates."""
        return self.until - self.since <= timedelta(days=2)

    @property
    def described(self) -> str:
        """What somebody who cannot see it should know."""
        told = [
            f"{each.name}: {_span([value for value in each.values if value is not None], self.unit)}"
            for each in self.series
        ]
        return " ".join((self.about, "; ".join(told) + ".")).strip()

    @property
    def rows(self) -> list[tuple[datetime, str, list[tuple[float | None, str]]]]:
        """The table: the moment, where it leads, and each value with its text."""
        links = list(self.links) or [""] * len(self.at)
        return [
            (at, link, [(value, "" if value is None else label(value, self.unit)) for value in step])
            for at, link, step in zip(self.at, links, zip(*self._values(), strict=True), strict=True)
        ]

    @property
    def drawn(self) -> Markup:
        """What is inside of the SVG, in a box of `WIDTH` by `HEIGHT`."""
        grid = Markup("").join(
            Markup('<line class="grid" x1="0" x2="{}" y1="{}" y2="{}"/>').format(f"{WIDTH:g}", y, y)
            for y in (f"{HEIGHT * part:g}" for part in (0.0, 0.5, 1.0))
        )
        return grid + (self._bars() if self.kind == "bars" else self._lines())

    def _values(self) -> list[Sequence[float | None]]:
        return [each.values for each in self.series]

    def _x(self, at: datetime) -> float:
        return WIDTH * ((at - self.since) / (self.until - self.since))

    def _y(self, value: float) -> float:
        return HEIGHT * (1 - min(value / self.top, 1.0))

    def _bars(self) -> Markup:
        width = WIDTH * self.step_s / (self.until - self.since).total_seconds()
        pieces: list[Markup] = []
        for number, at in enumerate(self.at):
            left, below = self._x(at) + width * _GAP / 2, 0.0
            for each in self.series:
                value = each.values[number] or 0.0
                if value <= 0:
                    continue
                top, foot = self._y(below + value), self._y(below)
                pieces.append(
                    Markup('<rect class="tone-{}" x="{}" y="{}" width="{}" height="{}"/>').format(
                        each.tone,
                        f"{left:.2f}",
                        f"{top:.2f}",
                        f"{width * (1 - _GAP):.2f}",
                        f"{max(foot - top, 0.6):.2f}",
                    )
                )
                below += value
        return Markup("").join(pieces)

    def _lines(self) -> Markup:
        middle = timedelta(seconds=self.step_s / 2)
        pieces: list[Markup] = []
        for each in self.series:
            points = [
                (self._x(at + middle), self._y(value))
                for at, value in zip(self.at, each.values, strict=True)
                if value is not None
            ]
            text = " ".join(f"{x:.2f},{y:.2f}" for x, y in points)
            pieces.append(Markup('<polyline class="tone-{}" points="{}"/>').format(each.tone, text))
            if self.kind == "points" or len(points) == 1:
                # a line of no length with round ends is a dot of any box's shape
                pieces += [
                    Markup('<path class="dot tone-{}" d="M{} {}h0.01"/>').format(
                        each.tone, f"{x:.2f}", f"{y:.2f}"
                    )
                    for x, y in points
                ]
        return Markup("").join(pieces)


_NEARLY_ALL: Final = 0.8
_CENTS: Final = 0.1
"""Dollars of which two places say enough."""


def rounded_up(value: float) -> float:
    """The least number with one round digit that is not below ``value``; 1 for nothing.

    >>> rounded_up(137), rounded_up(0.021), rounded_up(0)
    (150.0, 0.03, 1.0)
    """
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return float(f"{next(step * power for step in _STEPS if step * power >= value * (1 - 1e-9)):.6g}")


def label(value: float, unit: Unit) -> str:
    """A value in as few signs as tell it from its neighbours.

    >>> label(1250, "count"), label(3400, "ms"), label(0.125, "share"), label(0.0042, "usd")
    ('1.25k', '3.4 s', '12.5 %', '$0.0042')
    """
    return _LABELS[unit](value)


def _count(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{_short(value / size)}{letter}"
    return _short(value)


def _milliseconds(value: float) -> str:
    if value >= 60_000:
        return f"{_short(value / 60_000)} min"
    return f"{_short(value / 1000)} s" if value >= 1000 else f"{value:.0f} ms"


def _dollars(value: float) -> str:
    if value >= 1000:
        return f"${_count(value)}"
    if value >= _CENTS or value == 0:
        return f"${value:.2f}".removesuffix(".00")
    return f"${value:.2g}"


def _percent(value: float) -> str:
    return f"{_short(100 * value)} %"


def _short(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


_LABELS: Final[Mapping[Unit, Callable[[float], str]]] = {
    "count": _count,
    "tokens": _count,
    "ms": _milliseconds,
    "usd": _dollars,
    "share": _percent,
}


def _span(values: Sequence[float], unit: Unit) -> str:
    if not values:
        return "nothing"
    low, high = label(min(values), unit), label(max(values), unit)
    return f"always {low}" if low == high else f"{low} to {high}, at the end {label(values[-1], unit)}"

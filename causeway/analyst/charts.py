"""The chart of a result, by rules from its shape: how many columns of what kind, and how many rows.

No model decides and no code of a model runs. The specification is Vega-Lite (https://vega.github.io/vega-lite/) with the
rows in it; columns go by the names c0, c1 and so on, so that nothing a column is called can mean anything to Vega.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from causeway.analyst.result import Result, Value

ChartKind = Literal[
    "number",
    "line",
    "multi_line",
    "small_multiples",
    "bar",
    "grouped_bar",
    "donut",
    "heat_map",
    "scatter",
    "histogram",
    "table",
]
Theme = Literal["light", "dark"]

_MOST_BARS: Final = 40
_MOST_SERIES: Final = 8
_MOST_SLICES: Final = 7
_MOST_POINTS: Final = 5_000
_FEWEST_POINTS: Final = 8
_FEWEST_VALUES: Final = 20
_LARGE: Final = 10_000
_PERIOD: Final = re.compile(
    r"\d{4}(-\d{2}(-\d{2}([ T]\d{2}:\d{2}(:\d{2})?(\.\d+)?(Z|[+-]\d{2}(:?\d{2})?)?)?)?)?"
)
_ID: Final = re.compile(r"(^|_)(id|key|sku|code|number|rank|zip)$", re.IGNORECASE)
_YEAR: Final = re.compile(r"year$", re.IGNORECASE)
_PARTS: Final = re.compile(r"(^|_)(month|week|weekday|day|dow|hour|quarter)(_|$)", re.IGNORECASE)
_INK: Final = {"light": ("#2a3038", "#5a626d", "#e4e4e0"), "dark": ("#eceef1", "#a5adb8", "#3c434c")}
_COLOURS: Final = {
    "light": ["#1f6f8b", "#d9822b", "#5b8c5a", "#a94f6d", "#6f5fa8", "#b7a12f", "#4e7fb8", "#8a6d55"],
    "dark": ["#6cc0d8", "#f0a95c", "#8fc98d", "#e08aa8", "#a99be6", "#e0cc62", "#86b4ea", "#c4a488"],
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """How a result is drawn.

    Attributes:
        spec: Vega-Lite; None for ``table`` and ``number``, which the page itself shows.
        alternatives: Other kinds that would fit, ``table`` always among them.
        title: What it shows, from the columns' names.
    """

    kind: ChartKind
    title: str
    spec: Mapping[str, Any] | None
    alternatives: tuple[ChartKind, ...]


@dataclass(frozen=True, slots=True)
class _Shape:
    """The columns of a result by what they are, as places in it."""

    names: tuple[str, ...]
    times: tuple[int, ...]
    groups: tuple[int, ...]
    numbers: tuple[int, ...]
    rows: int
    different: Mapping[int, int]
    large: frozenset[int]
    """Numbers that are written as 250k."""


def chart(result: Result, *, wanted: str = "", theme: Theme = "light") -> Chart:
    """The chart of ``result``: of the kind that is ``wanted`` where that fits, else of the one that fits best."""
    shape = _shape(result)
    fitting = _fitting(shape, result)
    kind = next((each for each in fitting if each == wanted), fitting[0])
    others = tuple(each for each in fitting if each != kind)
    return Chart(kind=kind, title=_title(shape), spec=_spec(kind, shape, result, theme), alternatives=others)


def _shape(result: Result) -> _Shape:
    times, groups, numbers = [], [], []
    different: dict[int, int] = {}
    for place, column in enumerate(result.columns):
        values = [row[place] for row in result.rows if row[place] is not None]
        different[place] = len(set(values))
        if _is_time(column.name, column.kind, values):
            times.append(place)
        elif column.kind == "number" and not _is_label(column.name, values):
            numbers.append(place)
        else:
            groups.append(place)
    large = frozenset(
        place
        for place in numbers
        if any(abs(value) >= _LARGE for row in result.rows if isinstance(value := row[place], int | float))
    )
    names = tuple(column.name for column in result.columns)
    return _Shape(names, tuple(times), tuple(groups), tuple(numbers), len(result.rows), different, large)


def _is_time(name: str, kind: str, values: Sequence[Value]) -> bool:
    if kind == "number":
        return (
            bool(_YEAR.search(name))
            and all(isinstance(v, int | float) and 1900 <= v <= 2100 for v in values)
            and bool(values)
        )
    return (
        kind in ("time", "text")
        and bool(values)
        and all(_PERIOD.fullmatch(str(value)) for value in values[:50])
    )


def _is_label(name: str, values: Sequence[Value]) -> bool:
    """A number that names something: an id, or a part of a date."""
    return bool(_ID.search(name)) or (
        bool(_PARTS.search(name)) and all(float(v) <= 60 for v in values if isinstance(v, int | float))
    )


def _fitting(shape: _Shape, result: Result) -> tuple[ChartKind, ...]:
    """Every kind that fits, the best first."""
    times, groups, numbers = shape.times, shape.groups, shape.numbers
    found: list[ChartKind] = []
    if shape.rows == 1 and len(numbers) == 1:
        found = ["number"]
    elif shape.rows > 1 and numbers:
        if times and not groups:
            found = ["line", "bar"] if shape.rows > 2 else ["bar"]
        elif times and len(groups) == 1:
            series = shape.different[groups[0]]
            if shape.different[times[0]] < 3:
                found = ["grouped_bar"]
            elif series <= _MOST_SERIES:
                found = ["multi_line", "small_multiples", "heat_map"]
            else:
                found = ["heat_map", "small_multiples"] if series <= _MOST_BARS else ["heat_map"]
        elif not times and len(groups) in (1, 2):
            found = _of_groups(shape, result)
        elif not times and not groups:
            found = _of_numbers(shape)
    return (*found, "table")


def _of_groups(shape: _Shape, result: Result) -> list[ChartKind]:
    first = shape.groups[0]
    if len(shape.groups) == 2 and shape.different[first] < shape.rows:
        second = shape.groups[1]
        small = min(shape.different[first], shape.different[second])
        large = max(shape.different[first], shape.different[second])
        if small <= 6 and large <= 20:
            return ["grouped_bar", "heat_map"]
        return ["heat_map"] if large <= _MOST_BARS else []
    if shape.rows > _MOST_BARS:
        return ["scatter"] if len(shape.numbers) == 2 else []
    found: list[ChartKind] = ["bar"]
    values = [row[shape.numbers[0]] for row in result.rows]
    if shape.rows <= _MOST_SLICES and all(isinstance(value, int | float) and value >= 0 for value in values):
        found.append("donut")
    if len(shape.numbers) > 1:
        found.append("grouped_bar")
    if len(shape.numbers) == 2 and shape.rows >= _FEWEST_POINTS:
        found.append("scatter")
    return found


def _of_numbers(shape: _Shape) -> list[ChartKind]:
    if len(shape.numbers) == 2 and shape.rows >= _FEWEST_POINTS:
        return ["scatter"]
    return ["histogram"] if len(shape.numbers) == 1 and shape.rows >= _FEWEST_VALUES else []


def _title(shape: _Shape) -> str:
    measured = ", ".join(_said(shape.names[place]) for place in shape.numbers[:3])
    over = [_said(shape.names[place]) for place in (*shape.times, *shape.groups)[:2]]
    if not measured:
        return ", ".join(_said(name) for name in shape.names[:4])
    return f"{measured} by {' and '.join(over)}" if over and shape.rows > 1 else measured


def _said(name: str) -> str:
    return " ".join(name.replace("_", " ").split())[:60]


# --- Vega-Lite ---------------------------------------------------------------------------------------


def _spec(kind: ChartKind, shape: _Shape, result: Result, theme: Theme) -> Mapping[str, Any] | None:
    drawn = _drawn(kind, shape)
    if drawn is None:
        return None
    rows = [
        {f"c{place}": value for place, value in enumerate(row)}
        | {f"t{place}": str(row[place]) for place in shape.times}
        for row in result.rows[:_MOST_POINTS]
    ]
    ink, quiet, line = _INK[theme]
    config = {
        "background": "transparent",
        "padding": {"left": 16, "top": 6, "right": 10, "bottom": 6},
        "font": "Inter, ui-sans-serif, system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": quiet, "titleColor": quiet, "gridColor": line, "domainColor": line, "tickColor": line,
            "titleFontWeight": 500, "labelFontSize": 11, "titleFontSize": 12, "labelLimit": 220,
        },
        "legend": {"labelColor": quiet, "titleColor": quiet, "labelLimit": 180},
        "header": {"labelColor": quiet, "titleColor": quiet},
        "title": {"color": ink},
        "range": {"category": _COLOURS[theme], "heatmap": {"scheme": "teals" if theme == "light" else "darkmulti"}},
        "mark": {"color": _COLOURS[theme][0]},
    }  # fmt: skip
    schema = "https://vega.github.io/schema/vega-lite/v6.json"
    return {
        "$schema": schema,
        "config": config,
        "data": {"values": rows},
        "width": 640,
        "height": 300,
        **drawn,
    }


def _drawn(kind: ChartKind, shape: _Shape) -> dict[str, Any] | None:
    number = shape.numbers[0] if shape.numbers else 0
    x: dict[str, Any]
    match kind:
        case "line" if len(shape.numbers) > 1:
            return _folded("line", _time(shape), shape)
        case "line":
            line = {"type": "line", "point": shape.rows <= 60, "interpolate": "monotone"}
            return {"mark": line, "encoding": {"x": _time(shape), "y": _number(shape, number)}}
        case "multi_line" | "small_multiples":
            encoding = {"x": _time(shape), "y": _number(shape, number)}
            if kind == "small_multiples":
                facet: dict[str, Any] = {
                    "field": f"c{shape.groups[0]}",
                    "type": "nominal",
                    "columns": 3,
                    "title": None,
                }
                return {"mark": "line", "encoding": {**encoding, "facet": facet}, "width": 200, "height": 110}
            return {
                "mark": {"type": "line", "point": shape.rows <= 120},
                "encoding": {**encoding, "color": _group(shape, 0)},
            }
        case "bar" if shape.times and not shape.groups:
            x = {
                "field": f"t{shape.times[0]}",
                "type": "ordinal",
                "title": _said(shape.names[shape.times[0]]),
                "sort": None,
            }
            return {"mark": "bar", "encoding": {"x": x, "y": _number(shape, number)}}
        case "bar":
            across = _number(shape, number)
            return {
                "mark": {"type": "bar", "cornerRadiusEnd": 2},
                "height": {"step": 22},
                "encoding": {"y": {**_group(shape, 0), "sort": None, "title": None}, "x": across},
            }
        case "grouped_bar":
            return _grouped(shape)
        case "donut":
            theta = {"field": f"c{number}", "type": "quantitative", "stack": True}
            return {
                "mark": {"type": "arc", "innerRadius": 70, "outerRadius": 130},
                "width": 320,
                "encoding": {"theta": theta, "color": {**_group(shape, 0), "sort": None}},
            }
        case "heat_map":
            x = _ordinal(shape, shape.times[0]) if shape.times else _group(shape, 1)
            return {
                "mark": "rect",
                "encoding": {"x": x, "y": _group(shape, 0), "color": _shade(shape, number)},
                "height": {"step": 20},
            }
        case "scatter":
            x, y = (_number(shape, place) for place in shape.numbers[:2])
            free = {"scale": {"zero": False}}
            return {
                "mark": {"type": "point", "filled": True, "opacity": 0.7},
                "encoding": {"x": {**x, **free}, "y": {**y, **free}},
            }
        case "histogram":
            x = {**_number(shape, number), "bin": {"maxbins": 30}}
            return {"mark": "bar", "encoding": {"x": x, "y": {"aggregate": "count", "title": "rows"}}}
        case _:
            return None


def _grouped(shape: _Shape) -> dict[str, Any]:
    if len(shape.groups) == 2 or shape.times:
        major = _ordinal(shape, shape.times[0]) if shape.times else _group(shape, 0)
        minor = _group(shape, 0) if shape.times else _group(shape, 1)
        y = _number(shape, shape.numbers[0])
        return {
            "mark": "bar",
            "encoding": {
                "x": {**major, "sort": None},
                "xOffset": {"field": minor["field"]},
                "y": y,
                "color": minor,
            },
        }
    return _folded("bar", {**_group(shape, 0), "sort": None}, shape)


def _folded(mark: str, x: dict[str, Any], shape: _Shape) -> dict[str, Any]:
    """Several numbers as series of one chart; their names are shown by an expression over fixed keys."""
    numbers = shape.numbers[:4]
    names = {f"c{place}": _said(shape.names[place]) for place in numbers}
    label = "{" + ",".join(f"'{key}':{_quoted(name)}" for key, name in names.items()) + "}[datum.key]"
    encoding: dict[str, Any] = {
        "x": x,
        "y": {"field": "value", "type": "quantitative", "title": None},
        "color": {"field": "series", "type": "nominal", "title": None, "sort": list(names.values())},
    }
    if mark == "bar":
        encoding["xOffset"] = {"field": "series", "sort": list(names.values())}
    return {
        "transform": [{"fold": list(names)}, {"calculate": label, "as": "series"}],
        "mark": {"type": mark, "point": mark == "line"} if mark == "line" else {"type": mark},
        "encoding": encoding,
    }


def _quoted(text: str) -> str:
    """Text as a literal of Vega's expressions, of letters, digits and spaces alone."""
    return "'" + re.sub(r"[^\w %.,()/-]", "", text) + "'"


def _time(shape: _Shape) -> dict[str, Any]:
    place = shape.times[0]
    return {
        "field": f"t{place}",
        "type": "temporal",
        "title": _said(shape.names[place]),
        "scale": {"type": "utc"},
    }


def _ordinal(shape: _Shape, place: int) -> dict[str, Any]:
    return {"field": f"t{place}", "type": "ordinal", "title": _said(shape.names[place])}


def _number(shape: _Shape, place: int) -> dict[str, Any]:
    axis = {"axis": {"format": "~s"}} if place in shape.large else {}
    return {"field": f"c{place}", "type": "quantitative", "title": _said(shape.names[place]), **axis}


def _shade(shape: _Shape, place: int) -> dict[str, Any]:
    """A number as a colour, which has a legend in place of an axis."""
    return {"field": f"c{place}", "type": "quantitative", "title": _said(shape.names[place])}


def _group(shape: _Shape, number: int) -> dict[str, Any]:
    place = shape.groups[number]
    return {"field": f"c{place}", "type": "nominal", "title": _said(shape.names[place])}

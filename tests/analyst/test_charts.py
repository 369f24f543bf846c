"""Which chart a result gets, and that it can be drawn whatever its columns are called."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from causeway.analyst import draw_chart
from causeway.analyst.charts import chart
from causeway.analyst.result import Caps, Gathering, Result


def result(names: list[str], rows: Sequence[Sequence[object]]) -> Result:
    gathering = Gathering(names, Caps())
    gathering.add(rows)
    return gathering.result(0)


MONTHS = [f"2025-{n:02d}-01" for n in range(1, 13)]
SHAPES = {
    "number": result(["revenue"], [(1234.5,)]),
    "line": result(["month", "revenue"], [(month, n * 10) for n, month in enumerate(MONTHS)]),
    "multi_line": result(
        ["month", "channel", "orders"], [(m, c, 3) for m in MONTHS for c in ("web", "app", "store")]
    ),
    "bar": result(["product", "revenue"], [(f"Tent {n}", 100 - n) for n in range(12)]),
    "grouped_bar": result(
        ["segment", "channel", "n"], [(s, c, 4) for s in ("a", "b", "c") for c in ("web", "app")]
    ),
    "heat_map": result(
        ["city", "product", "n"], [(f"c{n}", f"p{m}", n + m) for n in range(10) for m in range(12)]
    ),
    "scatter": result(["weight", "price"], [(n, n * 3 + 1) for n in range(20)]),
    "histogram": result(["price"], [(n % 7 + 0.5,) for n in range(60)]),
    "table": result(["name", "email"], [("a", "b"), ("c", "d")]),
}


@pytest.mark.parametrize("kind", SHAPES)
def test_the_shape_of_a_result_decides(kind: str) -> None:
    assert chart(SHAPES[kind]).kind == kind


@pytest.mark.parametrize("kind", [kind for kind in SHAPES if kind not in ("number", "table")])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_kind_can_be_drawn(kind: str, theme: str) -> None:
    drawn = chart(SHAPES[kind], theme="dark" if theme == "dark" else "light")
    assert drawn.spec is not None
    assert draw_chart.svg(drawn.spec).startswith("<svg")


def test_every_alternative_can_be_drawn() -> None:
    for shape in SHAPES.values():
        for kind in chart(shape).alternatives:
            drawn = chart(shape, wanted=kind)
            assert drawn.kind == kind
            if drawn.spec is not None:
                assert "<svg" in draw_chart.svg(drawn.spec)


def test_an_unfitting_wish_is_ignored() -> None:
    assert chart(SHAPES["bar"], wanted="scatter").kind == "bar"


def test_an_empty_result_is_a_table() -> None:
    assert chart(result(["a", "b"], [])).kind == "table"


def test_ids_and_parts_of_dates_are_not_measured() -> None:
    assert chart(result(["customer_id", "orders"], [(n, n * 2) for n in range(9)])).kind == "bar"
    assert chart(result(["year", "orders"], [(2023, 5), (2024, 6), (2025, 7)])).kind == "line"


HOSTILE = ['"]; alert(1); //', "a.b[0]", "<script>alert(1)</script>", "'+datum+'", "c0"]


def test_names_and_values_mean_nothing_to_vega() -> None:
    rows = [(f"<img src=x onerror=alert({n})>", n, n + 1) for n in range(5)]
    for name in HOSTILE:
        drawn = chart(result([name, f"n {name}", f"m {name}"], rows), wanted="grouped_bar")
        assert drawn.spec is not None
        picture = draw_chart.svg(drawn.spec)
        assert "<script" not in picture
        assert "<img" not in picture


def test_a_picture_is_made() -> None:
    drawn = chart(SHAPES["bar"])
    assert drawn.spec is not None
    assert draw_chart.png(drawn.spec).startswith(b"\x89PNG")

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.web.svg_charts import HEIGHT, WIDTH, Chart, Kind, Series, Unit, label, rounded_up

START = datetime(2026, 11, 20, tzinfo=UTC)


def chart(
    *values: Sequence[float | None], kind: Kind = "bars", unit: Unit = "count", links: Sequence[str] = ()
) -> Chart:
    at = [START + timedelta(hours=number) for number in range(len(values[0]))]
    return Chart(
        key="some",
        title="Some",
        unit=unit,
        kind=kind,
        at=at,
        since=START,
        until=START + timedelta(hours=len(at)),
        step_s=3600,
        series=[Series(name=f"s{number}", values=each) for number, each in enumerate(values)],
        links=links,
    )


def test_bars_stand_on_each_other_and_fill_the_box() -> None:
    drawn = chart([1, 3], [1, 1]).drawn
    bars = [
        tuple(map(float, each))
        for each in re.findall(r'y="([\d.]+)" width="[\d.]+" height="([\d.]+)"', drawn)
    ]
    assert bars == [(120, 40), (80, 40), (40, 120), (0, 40)]


def test_a_gap_is_drawn_as_a_gap_and_a_lone_value_as_a_dot() -> None:
    assert 'points="100.00,' in chart([1, None, 2], kind="lines").drawn
    assert "dot" not in chart([1, None, 2], kind="lines").drawn
    assert "dot" in chart([None, 4, None], kind="lines").drawn


def test_what_is_drawn_can_be_read() -> None:
    made = chart([1200, None, 300], kind="lines", unit="ms", links=("/a", "/b", "/c"))
    assert made.described == "s0: 300 ms to 1.2 s, at the end 300 ms."
    assert [(url, values) for _, url, values in made.rows] == [
        ("/a", [(1200, "1.2 s")]),
        ("/b", [(None, "")]),
        ("/c", [(300, "300 ms")]),
    ]
    assert made.y_labels == ["1.5 s", "750 ms", "0 ms"]


def test_nothing_is_said_to_be_nothing() -> None:
    assert chart([0, 0]).is_empty
    assert chart([None, None], kind="lines").described == "s0: nothing."
    assert chart([]).rows == []


def test_names_cannot_leave_their_element() -> None:
    series = Series(name="<script>", values=[1.0], tone="1")
    made = Chart(
        key="x",
        title="<b>",
        unit="count",
        kind="lines",
        at=[START],
        since=START,
        until=START + timedelta(hours=1),
        series=[series],
    )
    assert "<script" not in made.drawn


@pytest.mark.parametrize(
    ("value", "unit", "written"),
    [
        (0, "usd", "$0"),
        (12, "usd", "$12"),
        (12.5, "usd", "$12.50"),
        (0.8, "usd", "$0.80"),
        (0.00042, "usd", "$0.00042"),
        (48_200, "usd", "$48.2k"),
        (999, "count", "999"),
        (1_250_000, "tokens", "1.25M"),
        (90_000, "ms", "1.5 min"),
        (0.0136, "share", "1.36 %"),
        (1, "share", "100 %"),
    ],
)
def test_labels_are_short(value: float, unit: Unit, written: str) -> None:
    assert label(value, unit) == written


@given(st.floats(min_value=1e-6, max_value=1e12))
def test_a_scale_ends_at_or_just_above_its_greatest_value(value: float) -> None:
    assert value * (1 - 1e-9) <= rounded_up(value) <= 2 * value


@given(st.lists(st.one_of(st.none(), st.floats(min_value=0, max_value=1e9)), min_size=1, max_size=40))
def test_nothing_is_drawn_outside_of_the_box(values: list[float | None]) -> None:
    for kind in ("bars", "lines"):
        drawn = str(chart(values, kind=kind).drawn)
        for x, y in re.findall(r"([\d.-]+),([\d.-]+)", drawn):
            assert -0.01 <= float(x) <= WIDTH + 0.01
            assert -0.01 <= float(y) <= HEIGHT + 0.01
        for y, height in re.findall(r' y="([\d.-]+)" width="[\d.]+" height="([\d.]+)"', drawn):
            assert float(y) >= -0.01
            assert float(y) + float(height) <= HEIGHT + 0.7

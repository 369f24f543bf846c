from __future__ import annotations

import pytest

from causeway.knowledge.index.identifiers import identifiers


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("E-4017", {"e4017"}),
        ("e4017", {"e4017"}),
        ("(E-4017).", {"e4017"}),
        ("**E-4017**: reset", {"e4017"}),
        ("E-4017/E-4018, E-4019", {"e4017", "e4018", "e4019"}),
        ("E\u20114017 and E\u20134018", {"e4017", "e4018"}),
        ("FS-TNT-210", {"fstnt210"}),
        ("sku=FS-TNT-210-GRN;", {"fstnt210grn"}),
        ("RMA-2024-0017", {"rma20240017"}),
        ("ERR_CONN_42", {"errconn42"}),
        ("10-0042-A", {"100042a"}),
        ("v2.3.1", {"v231"}),
        ("GR\u00dc-77", {"gr\u00fc77"}),
    ],
)
def test_identifiers_are_found_in_one_spelling(text: str, found: set[str]) -> None:
    assert identifiers(text) == found


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a plain sentence.",
        "2026-11-23",
        "24-hour",
        "3-season",
        "h2o",
        "v2",
        "50%",
        "$1,200.50",
        "x" * 80 + "-12",
    ],
)
def test_words_and_numbers_are_not_identifiers(text: str) -> None:
    assert identifiers(text) == frozenset()

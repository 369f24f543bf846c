from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from causeway.knowledge.answer.asked import parts
from causeway.knowledge.answer.context import cut
from causeway.knowledge.answer.evidence import Evidence, rate
from causeway.knowledge.answer.freshness import dated, day, disagreement, newest_first
from causeway.knowledge.search.request import Hit
from tests.knowledge.answer.passages import passage

OLD = replace(passage(1, "The limit for a hotel is £95 a night."), metadata={"created": "2024-12-09"})
NEW = replace(passage(2, "The limit for a hotel is £115 a night."), metadata={"created": "2026-01-19"})


def _other(question: str, *hits: Hit) -> Evidence | None:
    part = parts(question)[0]
    candidates = cut(hits)
    evidence = rate(part, hits, candidates, [0.5] * len(candidates), [0.5] * len(hits))
    return disagreement(part, evidence[0], evidence[1:], hits)


def test_a_document_is_as_old_as_its_metadata_or_its_title_says() -> None:
    assert dated(NEW) == date(2026, 1, 19)
    assert dated(replace(passage(1, ""), title="Travel policy 2025")) == date(2025, 1, 1)
    assert dated(passage(1, "")) is None
    assert (day(NEW), day(passage(1, ""))) == ("19 January 2026", "")
    assert dated(replace(passage(1, ""), metadata={"created": "2026-13-40"})) is None


def test_the_same_words_with_another_value_in_another_document_disagree() -> None:
    other = _other("How much may a hotel cost?", NEW, OLD)
    assert other is not None
    assert other.statement.text == "The limit for a hotel is £95 a night."


@pytest.mark.parametrize(
    ("question", "hits"),
    [
        ("How much could a hotel cost in 2025?", (NEW, OLD)),
        ("How much may a hotel cost?", (NEW, replace(OLD, metadata={}))),
        ("How much may a hotel cost?", (NEW, replace(OLD, text="The fee for a parcel is £95 a piece."))),
        ("How much may a hotel cost?", (NEW, replace(OLD, text="The limit for a hotel is £115 a night."))),
        ("How much may a hotel cost?", (NEW, replace(OLD, document_id=NEW.document_id))),
    ],
)
def test_nothing_else_disagrees(question: str, hits: tuple[Hit, ...]) -> None:
    assert _other(question, *hits) is None


def test_the_newest_comes_first_and_what_has_no_date_last() -> None:
    hits = (OLD, passage(3, "The limit for a hotel is £1 a night."), NEW)
    evidence = rate(parts("How much?")[0], hits, cut(hits), [0.5] * 3, [0.5] * 3)
    assert [hits[one.hit].document_id for one in newest_first(evidence, hits)] == ["doc_2", "doc_1", "doc_3"]

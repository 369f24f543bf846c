from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from causeway.errors import InvalidInputError
from causeway.knowledge.collection_options import CollectionOptions, Ranking, options_of
from causeway.knowledge.index.stores import PlacedChunk, StoredChunk
from causeway.knowledge.search.boosts import added, boosted

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def placed(*, age_days: float = 0, path: str = "a.md", **metadata: object) -> PlacedChunk:
    chunk = StoredChunk(id="c", document_id="d", ordinal=0, heading="", text="", page=None, tokens=1)
    return PlacedChunk(
        chunk=chunk,
        revision=1,
        collection="handbook",
        title="",
        source="upload",
        path=path,
        media_type="application/pdf",
        modified_at=NOW - timedelta(days=age_days),
        metadata=metadata,
    )


def test_by_default_scores_stay_as_they_are() -> None:
    scores = {"new": 0.5, "old": 0.6}
    assert (
        boosted(scores, {"new": placed(), "old": placed(age_days=900)}, {"handbook": Ranking()}, NOW)
        is scores
    )


def test_of_what_matches_as_well_the_newer_is_first_and_the_better_match_still_wins() -> None:
    ranking = {"handbook": Ranking(recency_percent=20, half_life_days=100)}
    there = {"new": placed(), "old": placed(age_days=1000)}
    near = boosted({"new": 0.58, "old": 0.6}, there, ranking, NOW)
    assert near["new"] > near["old"]
    far = boosted({"new": 0.4, "old": 0.6}, there, ranking, NOW)
    assert far["new"] < far["old"]


def test_the_half_life_is_where_half_of_it_is_left() -> None:
    ranking = {"handbook": Ranking(recency_percent=100, half_life_days=10)}
    raised = boosted({"c": 1.0}, {"c": placed(age_days=10)}, ranking, NOW)
    assert raised["c"] == pytest.approx(1.5 / 2)
    assert boosted({"c": 1.0}, {"c": placed(age_days=-5)}, ranking, NOW)["c"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("mark", "is_marked"),
    [
        ("status=approved", True),
        ("status=Approved", True),
        ("status=draft", False),
        ("tags=policy", True),
        ("folder=policies", True),
        ("folder=pol", False),
        ("type=pdf", True),
        ("source=upload", True),
        ("source=folder:/x", False),
        ("nothing=x", False),
    ],
)
def test_a_mark_is_a_field_with_its_value(mark: str, is_marked: bool) -> None:
    ranking = {"handbook": Ranking(authority_percent=50, authority=(mark,))}
    there = {"c": placed(path="policies/a.md", status="approved", tags=["policy", "hr"])}
    assert boosted({"c": 0.6}, there, ranking, NOW)["c"] == pytest.approx(0.6 if is_marked else 0.4)


def test_a_collection_without_boosts_is_left_alone_beside_one_that_has_them() -> None:
    ranking = {"other": Ranking(recency_percent=50)}
    assert boosted({"c": 0.6}, {"c": placed(age_days=999)}, ranking, NOW) == {"c": 0.6}


def test_ranking_is_an_option_that_documents_are_not_read_again_for() -> None:
    before = CollectionOptions()
    after = before.changed({"ranking": {"recency_percent": 20, "authority": ["status=approved"]}})
    assert after.stored() == {"ranking": {"recency_percent": 20, "authority": ["status=approved"]}}
    assert options_of(after.stored()) == after
    assert after.reads_as(before)
    assert not before.changed({"chunking": {"max_tokens": 100}}).reads_as(before)


@pytest.mark.parametrize(
    "changes",
    [
        {"recency_percent": 101},
        {"recency_percent": True},
        {"half_life_days": 0},
        {"authority": ["approved"]},
        {"authority": "status=approved"},
        {"authority": ["=x"]},
        {"weight": 1},
    ],
)
def test_what_cannot_be_used_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(InvalidInputError):
        CollectionOptions().changed({"ranking": changes})


def test_what_each_boost_adds_can_be_told() -> None:
    ranking = Ranking(
        recency_percent=20, half_life_days=100, authority_percent=10, authority=("status=approved",)
    )
    assert added(placed(age_days=100, status="approved"), ranking, NOW) == {"recency": 0.1, "authority": 0.1}
    assert added(placed(age_days=0), ranking, NOW) == {"recency": 0.2}
    assert added(placed(), Ranking(), NOW) == {}
    assert added(placed(), None, NOW) == {}

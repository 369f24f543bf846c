from __future__ import annotations

from random import Random

import pytest

from causeway.knowledge.search.fusion import fuse, saturated

SEEDS = range(50)


def arms(random: Random) -> tuple[dict[str, float], dict[str, float]]:
    """Scores of two arms that share some chunks; some scores are equal."""
    names = [f"chk_{n}" for n in range(30)]
    cosines = {
        name: round(random.uniform(-0.2, 1.0), 1) for name in random.sample(names, random.randint(0, 20))
    }
    bm25 = {name: round(random.uniform(0.1, 40.0), 0) for name in random.sample(names, random.randint(0, 20))}
    return cosines, bm25


@pytest.mark.parametrize("seed", SEEDS)
def test_every_chunk_comes_once_best_first_with_a_score_from_0_to_1(seed: int) -> None:
    cosines, bm25 = arms(Random(seed))
    fused = fuse(cosines, bm25, vector_weight=0.7)
    assert sorted(one.chunk_id for one in fused) == sorted(cosines.keys() | bm25.keys())
    assert [one.score for one in fused] == sorted((one.score for one in fused), reverse=True)
    assert all(0 <= one.score <= 1 for one in fused)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_order_of_the_input_does_not_matter(seed: int) -> None:
    random = Random(seed)
    cosines, bm25 = arms(random)
    shuffled = [dict(random.sample(list(arm.items()), len(arm))) for arm in (cosines, bm25)]
    assert fuse(cosines, bm25, vector_weight=0.7) == fuse(*shuffled, vector_weight=0.7)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_better_score_in_one_arm_never_worsens_a_chunks_rank(seed: int) -> None:
    random = Random(seed)
    cosines, bm25 = arms(random)
    for arm in (cosines, bm25):
        for name in list(arm):
            before = [one.chunk_id for one in fuse(cosines, bm25, vector_weight=0.6)].index(name)
            kept, arm[name] = arm[name], arm[name] + random.uniform(0, 5)
            after = [one.chunk_id for one in fuse(cosines, bm25, vector_weight=0.6)].index(name)
            arm[name] = kept
            assert after <= before


@pytest.mark.parametrize("seed", SEEDS)
def test_a_chunk_that_joins_does_not_change_the_order_of_the_others(seed: int) -> None:
    """What min-max normalisation gets wrong: one more candidate turns others round."""
    cosines, bm25 = arms(Random(seed))
    before = [one.chunk_id for one in fuse(cosines, bm25, vector_weight=0.7)]
    after = fuse({**cosines, "new": -0.9}, {**bm25, "new": 99.0}, vector_weight=0.7)
    assert [one.chunk_id for one in after if one.chunk_id != "new"] == before


def test_equal_scores_are_ordered_by_id() -> None:
    fused = fuse({"b": 0.5, "a": 0.5, "c": 0.5}, {}, vector_weight=0.7)
    assert [one.chunk_id for one in fused] == ["a", "b", "c"]


def test_the_weight_shares_out_the_score() -> None:
    (one,) = fuse({"a": 0.8}, {"a": 10.0}, vector_weight=0.7)
    assert one.score == pytest.approx(0.7 * 0.8 + 0.3 * 0.5)
    (one,) = fuse({}, {"a": 10.0}, vector_weight=0.7)
    assert one.score == pytest.approx(0.15)
    assert one.cosine is None


def test_bm25_saturates() -> None:
    assert saturated(0.0) == 0.0
    assert 0.5 < saturated(20.0) < saturated(1000.0) < 1.0


def test_nothing_fuses_to_nothing() -> None:
    assert fuse({}, {}, vector_weight=0.7) == ()

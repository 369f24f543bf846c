from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest

from causeway.evals.no_harm import (
    GROUPS,
    LEAST,
    LEAST_TOUCHED,
    Proof,
    Question,
    Scores,
    learnt_for,
    placebo_of,
    prove,
)
from causeway.knowledge import ConfirmedAnswer


def _answer(trace_id: str, question: str, *documents: str) -> ConfirmedAnswer:
    return ConfirmedAnswer(
        trace_id=trace_id,
        question=question,
        answer="Yes. [1]",
        chunk_ids=tuple(f"chk_{each}" for each in documents),
        document_ids=documents,
        embedding_model="fake",
        vector=np.ones(1, np.float32),
    )


def test_what_cites_a_question_s_own_documents_is_left_out_of_the_untouched_group() -> None:
    question = Question(text="How long?", documents=("doc_a", "doc_b"), origin="t0")
    own, same, near, far = (
        _answer("t0", "asked otherwise", "doc_a"),
        _answer("t1", "how  long", "doc_a"),
        _answer("t2", "For how many days?", "doc_b", "doc_c"),
        _answer("t3", "What colour?", "doc_c"),
    )
    learnt = learnt_for(question, [own, same, near, far])
    assert [each.trace_id for each in learnt["untouched"]] == ["t3"]
    assert [each.trace_id for each in learnt["touched"]] == ["t2", "t3"]
    assert "touched" not in learnt_for(question, [own, same, far]), "nothing else is about its documents"


def test_a_placebo_moves_as_many_other_passages_as_far() -> None:
    found = [f"chk_{number}" for number in range(20)]
    boosts = {"chk_0": 0.3, "chk_5": 0.1, "chk_elsewhere": 0.2}
    placebo = placebo_of(boosts, found, question="How long?")
    assert sorted(placebo.values()) == [0.1, 0.3], "what hits nothing is not made up for"
    assert placebo.keys().isdisjoint(boosts)
    assert placebo.keys() < set(found)
    assert placebo == placebo_of(boosts, found, question="How long?")


def _measured(
    *,
    untouched: float,
    touched: float,
    placebo: float = 0.0,
    questions: int = LEAST,
    seen: int = LEAST_TOUCHED,
) -> Proof:
    """Every question changes by so much, give or take a bit."""
    asked, scores = [], []
    for number in range(questions):
        bit = 0.01 if number % 2 else -0.01
        arms: Scores = {"untouched": {"off": 0.5, "on": 0.5 + untouched + bit, "placebo": 0.5}}
        if number < seen:
            arms = {**arms, "touched": {"off": 0.5, "on": 0.5 + touched + bit, "placebo": 0.5 + placebo}}
        asked.append(Question(text=f"q{number}", documents=(f"doc_{number}",)))
        scores.append(arms)
    return prove(asked, scores, metric="nDCG@10")


def test_what_helps_and_does_no_harm_is_accepted() -> None:
    proof = _measured(untouched=-0.01, touched=0.05)
    assert proof.is_accepted, proof.objections
    group = proof.groups["untouched"]
    assert group.questions == LEAST
    assert group.on.low <= group.on.points <= group.on.high
    assert group.on.points == pytest.approx(-1.0)
    assert (group.better, group.worse) == (0, LEAST // 2)
    assert Proof.of_json(json.loads(json.dumps(asdict(proof)))) == proof


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ({"untouched": -0.03, "touched": 0.05}, "may lose"),
        ({"untouched": 0.0, "touched": 0.0}, "may be nothing"),
        ({"untouched": 0.0, "touched": 0.05, "placebo": 0.05}, "placebo"),
        ({"untouched": 0.0, "touched": 0.05, "questions": LEAST - 1}, f"it takes {LEAST}"),
        ({"untouched": 0.0, "touched": 0.05, "seen": LEAST_TOUCHED - 1}, f"it takes {LEAST_TOUCHED}"),
    ],
)
def test_what_does_not_hold_the_rule_is_not_accepted(shape: dict[str, float], said: str) -> None:
    proof = _measured(**shape)  # type: ignore[arg-type]  # numbers of both kinds
    assert not proof.is_accepted
    assert said in " ".join(proof.objections)


def test_nothing_measured_is_not_accepted() -> None:
    assert not prove([], [], metric="nDCG@10").is_accepted
    assert GROUPS == ("untouched", "touched")

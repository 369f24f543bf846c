"""Fits the coefficients of `causeway.knowledge.answer.answerability` to questions whose answerability is known.

    python -m bench.answerability collect samples/questions.jsonl bench/answer*_questions.jsonl bench/refusal_questions.jsonl > signals.jsonl
    python -m bench.answerability fit signals.jsonl

``collect`` asks every question and writes down the signals; ``fit`` is a logistic regression with a little ridge, by
Newton's method: first of what the statements tell, then of that and what a small model says of them, where it was asked: with its adapter
if it has one, else shown examples. It prints
coefficients, areas under the curve, and what each threshold would have refused: of the developed ones by cross-validation in
eight parts, each of whole documents, and of the held out ones (`bench.answers.is_held_out`), which are only counted. A question that is
refused before there are signals (nothing is called that) is left out: no threshold moves it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.answers import answerer_of, is_held_out
from causeway import settings as configuration
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.evals.statistics import wilson
from causeway.knowledge import AskRequest, Finished, Retrieved
from causeway.knowledge.answer.answerability import (
    SUREST,
    Signals,
    VerdictWeights,
    Weights,
    of_statements,
    probability,
)
from causeway.wiring import Work, open_platform

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
_RIDGE = 0.5
_RIDGE_OF_SCORE = 0.02


def main() -> None:
    """Collect or fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=["collect", "fit"])
    parser.add_argument("file", type=Path, nargs="+", help="questions, or signals")
    parser.add_argument("--cache", type=Path, help="a folder to remember replies in")
    arguments = parser.parse_args()
    lines = [json.loads(line) for file in arguments.file for line in file.read_text().splitlines()]
    if arguments.do == "collect":
        asyncio.run(_collect(lines, arguments.cache))
    else:
        _fit([line for line in lines if line["signals"]])


async def _collect(questions: Sequence[dict[str, Any]], cache: Path | None) -> None:
    async with open_platform(configuration.load(), work=Work.NEVER) as platform:
        answerer = answerer_of(platform, questions, cache=cache)
        for question in questions:
            asked = AskRequest(question=question["question"])
            document = next(iter(question["documents"]), "")
            async for event in answerer.ask(asked, Call(principal=SYSTEM, purpose="bench")):
                if isinstance(event, Retrieved) and event.hits:
                    document = document or event.hits[0].path
                if isinstance(event, Finished):
                    signals = asdict(event.signals) if event.signals else None
                    kept = {"id": question["id"], "answerable": question["answerable"], "document": document}
                    print(json.dumps({**kept, "signals": signals}), flush=True)


def _fit(lines: Sequence[dict[str, Any]]) -> None:
    held = np.array([is_held_out(line["id"]) for line in lines])
    truth = np.array([bool(line["answerable"]) for line in lines])
    signals = [Signals(**line["signals"]) for line in lines]
    seen = np.array([one.inputs for one in signals])
    documents = [line["document"] for line in lines]
    weights = Weights(*(round(float(value), 2) for value in _logistic(seen[~held], truth[~held])))
    print(f"{(~held).sum()} questions developed on, {held.sum()} held out\n\n{weights}\n")
    by_rules = np.array(
        [probability(replace(one, told=None, stated=None, taught=None), weights) for one in signals]
    )
    _tell("statements alone", _across(seen, truth, held, documents), by_rules, truth, held)
    if any(_verdict(one) is None for one in signals):
        return
    told = np.array([[1.0, *_limited(one, weights)] for one in signals])
    fitted = VerdictWeights(
        *(round(float(value), 2) for value in _logistic(told[~held], truth[~held], first_ridge=_RIDGE))
    )
    print(f"{fitted}\n")
    _tell("a small model's verdict alone", told[:, 1], told[:, 1], truth, held)
    both = np.array([probability(one, weights, of_quotes=fitted, of_taught=fitted) for one in signals])
    _tell("both", _across(told, truth, held, documents, first_ridge=_RIDGE), both, truth, held)


def _limited(signals: Signals, weights: Weights) -> tuple[float, float]:
    told = min(max(_verdict(signals) or 0.0, -SUREST), SUREST)
    return told, min(max(of_statements(signals, weights), -2.0), 2.0)


def _verdict(signals: Signals) -> float | None:
    """A small model's, by its adapter or after examples; None where none was asked."""
    return signals.stated if signals.taught is None else signals.taught


def _tell(what: str, developed: Floats, fitted: Floats, truth: Bools, held: Bools) -> None:
    """Areas, and shares refused below each threshold."""
    print(f"## {what.capitalize()}\n")
    print(
        f"Area under the curve: developed on {area(developed[~held], truth[~held]):.2f}, held out {area(fitted[held], truth[held]):.2f}\n"
    )
    if fitted.min() < 0 or fitted.max() > 1:
        return
    print(
        "| below | answerable, developed on | unanswerable | answerable, held out | unanswerable |\n|---|---|---|---|---|"
    )
    for threshold in np.arange(0.2, 0.85, 0.05):
        cells = [
            _share((scores < threshold)[part & answerable])
            for scores, part in ((developed, ~held), (fitted, held))
            for answerable in (truth, ~truth)
        ]
        print(f"| {threshold:.2f} | {' | '.join(cells)} |")
    print()


def _share(refused: Bools) -> str:
    found = wilson(int(refused.sum()), len(refused))
    return f"{found.estimate:.2f} ({found.low:.2f}\u2013{found.high:.2f})"


def _across(
    seen: Floats, truth: Bools, held: Bools, documents: Sequence[str], *, first_ridge: float = _RIDGE_OF_SCORE
) -> Floats:
    """The probability of each question by coefficients fitted without its document; 0 of those held out."""
    found = np.zeros(len(seen))
    names = sorted({document for document, is_held in zip(documents, held, strict=True) if not is_held})
    for part in np.array_split(np.random.default_rng(0).permutation(len(names)), 8):
        out = {names[number] for number in part}
        here = np.array([document in out for document in documents]) & ~held
        others = ~here & ~held
        found[here] = 1 / (
            1 + np.exp(-seen[here] @ _logistic(seen[others], truth[others], first_ridge=first_ridge))
        )
    return found


def _logistic(seen: Floats, truth: Bools, *, first_ridge: float = _RIDGE_OF_SCORE) -> Floats:
    """Both classes count alike, however many questions each has; the bias is not shrunk, and the score hardly."""
    each = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    ridge = np.diag([0.0, first_ridge, *[_RIDGE] * (seen.shape[1] - 2)])
    found = np.zeros(seen.shape[1])
    for _ in range(80):
        likely = 1 / (1 + np.exp(-seen @ found))
        slope = seen.T @ (each * (likely - truth)) + ridge @ found
        bend = (seen * (each * likely * (1 - likely))[:, None]).T @ seen + ridge
        found -= np.linalg.solve(bend, slope)
    return found


def area(scores: Floats, truth: Bools) -> float:
    """The chance that an answerable question scores above an unanswerable one."""
    above, below = scores[truth][:, None], scores[~truth][None, :]
    return float((above > below).mean() + (above == below).mean() / 2)


if __name__ == "__main__":
    main()

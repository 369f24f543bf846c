"""Fits the coefficients of `causeway.knowledge.answer.answerability` to questions whose answerability is known.

    python bench/answerability.py collect samples/questions.jsonl bench/answer*_questions.jsonl > signals.jsonl
    python bench/answerability.py fit signals.jsonl

``collect`` asks every question and writes down the signals; ``fit`` is a logistic regression with a little ridge, by
Newton's method. It prints coefficients, the area under the curve, and what each threshold would have refused, all of it by
cross-validation in eight parts. Questions of `bench/answer_questions.jsonl` with even numbers are held out: they are only
counted. A question that is refused before there are signals (nothing is called that) is left out: no threshold moves it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.answers import answerer_of
from causeway import settings as configuration
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge import AskRequest, Finished
from causeway.knowledge.answer.answerability import Signals, Weights, probability
from causeway.wiring import Work, open_platform

Floats = npt.NDArray[np.float64]
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
            async for event in answerer.ask(asked, Call(principal=SYSTEM, purpose="bench")):
                if isinstance(event, Finished):
                    signals = asdict(event.signals) if event.signals else None
                    kept = {"id": question["id"], "answerable": question["answerable"], "signals": signals}
                    print(json.dumps(kept), flush=True)


def _fit(lines: Sequence[dict[str, Any]]) -> None:
    is_held = np.array([line["id"].startswith("e") and int(line["id"][1:]) % 2 == 0 for line in lines])
    truth = np.array([bool(line["answerable"]) for line in lines])
    seen = np.array([Signals(**line["signals"]).inputs for line in lines])
    weights = Weights(*(round(float(value), 2) for value in _logistic(seen[~is_held], truth[~is_held])))
    print(f"{(~is_held).sum()} questions, {int(truth[~is_held].sum())} answerable\n{weights}\n")
    likely = _across(seen[~is_held], truth[~is_held])
    held = np.array([probability(Signals(**line["signals"]), weights) for line in lines])[is_held]
    for name, scores, is_true in (
        ("developed on, by cross-validation", likely, truth[~is_held]),
        ("held out", held, truth[is_held]),
    ):
        print(f"Area under the curve, {name}: {_area(scores, is_true):.2f}\n")
        print("| below | answerable | unanswerable |\n|---|---|---|")
        for threshold in (0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75):
            below = scores < threshold
            print(f"| {threshold:.2f} | {below[is_true].mean():.2f} | {below[~is_true].mean():.2f} |")
        print()


def _across(seen: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """The probability of each question by coefficients fitted without it."""
    found = np.zeros(len(seen))
    for part in np.array_split(np.random.default_rng(0).permutation(len(seen)), 8):
        others = np.setdiff1d(np.arange(len(seen)), part)
        found[part] = 1 / (1 + np.exp(-seen[part] @ _logistic(seen[others], truth[others])))
    return found


def _logistic(seen: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """Both classes count alike, however many questions each has; the bias is not shrunk, and the score hardly."""
    each = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    ridge = np.diag([0.0, _RIDGE_OF_SCORE, *[_RIDGE] * (seen.shape[1] - 2)])
    found = np.zeros(seen.shape[1])
    for _ in range(80):
        likely = 1 / (1 + np.exp(-seen @ found))
        slope = seen.T @ (each * (likely - truth)) + ridge @ found
        bend = (seen * (each * likely * (1 - likely))[:, None]).T @ seen + ridge
        found -= np.linalg.solve(bend, slope)
    return found


def _area(scores: Floats, truth: npt.NDArray[np.bool_]) -> float:
    """The chance that an answerable question scores above an unanswerable one."""
    above, below = scores[truth][:, None], scores[~truth][None, :]
    return float((above > below).mean() + (above == below).mean() / 2)


if __name__ == "__main__":
    main()

"""Fits the coefficients of `causeway.knowledge.answer.answerability` to questions whose answerability is known.

    CAUSEWAY_KNOWLEDGE__REFUSE_BELOW=0 python bench/answerability.py collect samples/questions.jsonl > signals.jsonl
    python bench/answerability.py fit signals.jsonl

``collect`` asks every question and writes down the signals; ``fit`` is a logistic regression with a little ridge, by
Newton's method, and prints coefficients, areas under the curve, and what each threshold would have refused. A question
that was refused before the second signal (nothing is called that, or no support) is left out: no threshold moves it.
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

from causeway import settings as configuration
from causeway.contracts.identity import SYSTEM
from causeway.contracts.model_gateway import Call
from causeway.knowledge import AskRequest, Finished
from causeway.knowledge.answer.answerability import Signals, Weights, probability
from causeway.wiring import Work, open_platform

Floats = npt.NDArray[np.float64]
_RIDGE = 1.0


def main() -> None:
    """Collect or fit."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("do", choices=["collect", "fit"])
    parser.add_argument("file", type=Path, nargs="+", help="questions, or signals")
    arguments = parser.parse_args()
    lines = [json.loads(line) for file in arguments.file for line in file.read_text().splitlines()]
    if arguments.do == "collect":
        asyncio.run(_collect(lines))
    else:
        _fit([line for line in lines if line["signals"] and line["signals"]["confirmed"] is not None])


async def _collect(questions: Sequence[dict[str, Any]]) -> None:
    async with open_platform(configuration.load(), work=Work.NEVER) as platform:
        for question in questions:
            asked = AskRequest(question=question["question"])
            async for event in platform.answerer.ask(asked, Call(principal=SYSTEM, purpose="bench")):
                if isinstance(event, Finished):
                    signals = asdict(event.signals) if event.signals else None
                    kept = {"id": question["id"], "answerable": question["answerable"], "signals": signals}
                    print(json.dumps(kept), flush=True)


def _fit(lines: Sequence[dict[str, Any]]) -> None:
    signals = [Signals(**line["signals"]) for line in lines]
    truth = np.array([bool(line["answerable"]) for line in lines])
    seen = np.array([[1.0, one.verdict, float(one.is_unnamed)] for one in signals])
    weights = Weights(*(round(float(value), 2) for value in _logistic(seen, truth)))
    print(f"{len(lines)} questions, {int(truth.sum())} answerable\n{weights}\n")
    for name, scores in (
        ("told alone", [one.told for one in signals]),
        ("confirmed alone", [one.confirmed or 0.0 for one in signals]),
        ("both", [one.verdict for one in signals]),
        ("named alone", [not one.is_unnamed for one in signals]),
    ):
        print(f"- {name}: {_area(np.array(scores, dtype=np.float64), truth):.2f}")
    likely = np.array([probability(one, weights) for one in signals])
    print(
        f"- together: {_area(likely, truth):.2f}\n\n| refuse below | answerable | unanswerable |\n|---|---|---|"
    )
    for threshold in (0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7):
        refused = likely < threshold
        print(f"| {threshold:.2f} | {refused[truth].mean():.2f} | {refused[~truth].mean():.2f} |")


def _logistic(seen: Floats, truth: npt.NDArray[np.bool_]) -> Floats:
    """Both classes count alike, however many questions each has; the bias is not shrunk."""
    each = np.where(truth, 0.5 / truth.mean(), 0.5 / (1 - truth.mean()))
    ridge = np.diag([0.0, _RIDGE, _RIDGE])
    found = np.zeros(seen.shape[1])
    for _ in range(50):
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

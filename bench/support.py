"""Measures the check of citations on sentences whose support is known.

    python bench/support.py > bench/results/support.md

Each line of `bench/support_pairs.jsonl` is a passage, a question and a sentence of a supposed answer that cites it:
supported, or wrong in one of five ways. The check is right when it keeps the mark of a supported sentence and drops any
other's. Rules were made looking at the development half alone.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from causeway.evals.statistics import wilson
from causeway.knowledge.answer.citations import KEEP_AT
from causeway.knowledge.answer.statements import statements
from causeway.knowledge.answer.support import support

PAIRS = Path(__file__).parent / "support_pairs.jsonl"
WANTED = 0.95
KINDS = ("supported", "wrong number", "wrong row", "swapped name", "negated", "half supported")


def main() -> None:
    """Check, compare and print a page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--wrong", action="store_true", help="print the development half's sentences it errs on"
    )
    arguments = parser.parse_args()
    pairs = [json.loads(line) for line in PAIRS.read_text().splitlines()]
    kept = [_is_kept(pair) for pair in pairs]
    print("# The check of citations\n")
    print(f"Made by `bench/support.py` over {len(pairs)} sentences of `bench/support_pairs.jsonl`.\n")
    print("| kept, of how many | development half | held out half |\n|---|---|---|")
    for kind in KINDS:
        cells = [_share(pairs, kept, half, kind) for half in ("development", "held out")]
        print(f"| {kind} | {cells[0]} | {cells[1]} |")
    for half in ("development", "held out"):
        found = [
            (pair["kind"] == "supported", is_kept)
            for pair, is_kept in zip(pairs, kept, strict=True)
            if pair["half"] == half
        ]
        right = sum(is_true and is_kept for is_true, is_kept in found)
        print(
            f"\n{half.capitalize()}: of the sentences that keep their mark {right / max(1, sum(k for _, k in found)):.2f} are supported; of the"
            f" supported ones {right / sum(t for t, _ in found):.2f} keep it."
        )
        _print_bound(found)
    if arguments.wrong:
        for pair, is_kept in zip(pairs, kept, strict=True):
            if is_kept != (pair["kind"] == "supported") and pair["half"] == "development":
                print(f"- {pair['id']} {pair['kind']}: {pair['sentence']}")


def _print_bound(found: Sequence[tuple[bool, bool]]) -> None:
    """In the pairs every second sentence is wrong; what that means for a model that is wrong less often."""
    wrong = wilson(
        sum(kept for is_true, kept in found if not is_true), sum(not is_true for is_true, _ in found)
    )
    right = sum(kept for is_true, kept in found if is_true) / sum(is_true for is_true, _ in found)
    bounds = [_most_wrong(right, kept) for kept in (wrong.estimate, wrong.high)]
    print(
        f"Of the wrong ones {wrong.estimate:.2f} keep it (95 % interval {wrong.low:.2f} to {wrong.high:.2f}). So .95 of the sentences with a mark"
        f" are supported while fewer than {bounds[0]:.2f} of what a model writes are wrong ({bounds[1]:.2f} at the interval's end)."
    )


def _most_wrong(right_kept: float, wrong_kept: float) -> float:
    """The share of wrong sentences at which .95 of those that keep their mark are supported."""
    odds = (1 - WANTED) / WANTED * right_kept / max(wrong_kept, 1e-9)
    return odds / (1 + odds)


def _is_kept(pair: dict[str, Any]) -> bool:
    said = [statement.words for statement in statements(pair["passage"])]
    return support(pair["sentence"], pair["heading"], said, given=pair["question"]).share >= KEEP_AT


def _share(pairs: Sequence[dict[str, Any]], kept: Sequence[bool], half: str, kind: str) -> str:
    of = [
        is_kept
        for pair, is_kept in zip(pairs, kept, strict=True)
        if (pair["half"], pair["kind"]) == (half, kind)
    ]
    return f"{sum(of)} of {len(of)}"


if __name__ == "__main__":
    main()

"""How well a judge agrees with people: kappa and confusion over pairs that people labelled.

The calibration set is a suite like any other, and the judge its subject, so measuring a judge is a run. The threshold of its
log-odds is chosen on the development half and kappa taken from the held-out half alone. Kappa and not accuracy, since a judge
that passes everything has half the answers right (Cohen 1960, https://doi.org/10.1177/001316446002000104).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from causeway.contracts.clock import Clock
from causeway.contracts.model_gateway import Call
from causeway.evals.checks import Aspect
from causeway.evals.judge import SUREST, Judge, Trust
from causeway.evals.outcome import Outcome
from causeway.evals.run import Result, RunState
from causeway.evals.run_store import RunStore
from causeway.evals.suite import Inputs, Suite, split_of
from causeway.prompts.shelf import Shelf
from causeway.settings import ModelSettings

SUITE: Final = "judge-calibration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Confusion:
    """Verdicts beside labels; abstentions count as no verdict."""

    right_yes: int
    right_no: int
    wrong_yes: int
    wrong_no: int
    abstained: int

    @property
    def judged(self) -> int:
        """Pairs with a verdict."""
        return self.right_yes + self.right_no + self.wrong_yes + self.wrong_no

    @property
    def accuracy(self) -> float:
        """The share of all pairs that were judged rightly; an abstention is not right."""
        of = self.judged + self.abstained
        return (self.right_yes + self.right_no) / of if of else 0.0

    @property
    def kappa(self) -> float:
        """Agreement beyond chance over what was judged, from -1 to 1; 0 when nothing can be told."""
        of = self.judged
        if not of:
            return 0.0
        agreed = (self.right_yes + self.right_no) / of
        said_yes = (self.right_yes + self.wrong_yes) / of
        are_yes = (self.right_yes + self.wrong_no) / of
        by_chance = said_yes * are_yes + (1 - said_yes) * (1 - are_yes)
        return (agreed - by_chance) / (1 - by_chance) if by_chance < 1 else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """A judge beside people.

    Attributes:
        threshold: Chosen on the development half.
        development: Of the half that the threshold was chosen on: too good to be true.
        held_out: Of the other half: what counts.
    """

    threshold: float
    development: Confusion
    held_out: Confusion

    @property
    def trust(self) -> Trust:
        """How far the judge may be believed."""
        return Trust(threshold=self.threshold, kappa=self.held_out.kappa)


class JudgeSubject:
    """A judge, asked for its verdict about pairs of a right and a given answer."""

    aspects: tuple[Aspect, ...] = ("label",)
    is_exact = False

    def __init__(
        self, judge: Judge, clock: Clock, *, rubric: str, model: str, identity: Mapping[str, object]
    ) -> None:
        self._judge = judge
        self._clock = clock
        self._rubric = rubric
        self._model = model
        self._identity = identity

    @property
    def name(self) -> str:
        """``judge:RUBRIC:MODEL``."""
        return judge_name(self._rubric, self._model)

    async def identity(self) -> Mapping[str, object]:
        """The model and the rubric's prompt."""
        return self._identity

    async def answer(self, inputs: Inputs, call: Call) -> Outcome:
        """Its verdict as a label, and how sure it is."""
        started = self._clock.monotonic()
        values = {**inputs.values, "question": inputs.question}
        certainty = await self._judge.certainty(self._rubric, values, model=self._model, call=call)
        label = "abstains" if certainty is None else "yes" if certainty > 0 else "no"
        took_ms = round((self._clock.monotonic() - started) * 1000)
        return Outcome(label=label, certainty=certainty, model=self._model, took_ms=took_ms)


class Calibrations:
    """What is known of judges, from runs of the calibration set.

    Args:
        store: Where runs are kept.
        prompts: The rubrics.
        models: Which model each alias means.
    """

    def __init__(self, store: RunStore, prompts: Shelf, *, models: ModelSettings) -> None:
        self._store = store
        self.prompts = prompts
        self.aliases = {name: str(getattr(models, name)) for name in ("chat", "fast", "embed", "rerank")}

    def identity(self, rubric: str, model: str) -> Mapping[str, object]:
        """What the verdicts of the judge of ``rubric`` on ``model`` depend on."""
        prompt = self.prompts.get(f"judge_{rubric}")
        return {
            "model": self.aliases.get(model, model),
            "prompt": prompt.reference,
            "prompt_sha256": prompt.sha256,
        }

    async def newest(self, rubric: str, model: str) -> Calibration | None:
        """Of the newest whole run of a judge as it is now; None when it was never measured."""
        identity = dict(self.identity(rubric, model))
        for run in await self._store.runs(suite=SUITE, subject=judge_name(rubric, model), limit=10):
            if run.state is RunState.DONE and dict(run.identity) == identity:
                suite = await self._store.suite(run.suite_version)
                return calibrate(suite, await self._store.results(run.id))
        return None

    async def trust(self, rubric: str, model: str) -> Trust:
        """How far the judge may be believed; not at all when it was never measured."""
        found = await self.newest(rubric, model)
        return Trust() if found is None else found.trust


def judge_name(rubric: str, model: str) -> str:
    """What the judge of ``rubric`` on ``model`` is called as a subject."""
    return f"judge:{rubric}:{model}"


def calibrate(suite: Suite, results: Sequence[Result]) -> Calibration:
    """A judge's verdicts in a run of the calibration set."""
    labels = {case.name: case.expected_output.label == "yes" for case in suite.cases}
    halves = split_of(suite.cases)
    told = {result.case: result.outcome.certainty for result in results if result.case in labels}
    development = [name for name in told if halves[name] == "development"]
    held_out = [name for name in told if halves[name] == "held-out"]
    threshold = _best_threshold([(told[name], labels[name]) for name in development])
    return Calibration(
        threshold=threshold,
        development=_confusion([(told[name], labels[name]) for name in development], threshold),
        held_out=_confusion([(told[name], labels[name]) for name in held_out], threshold),
    )


def _best_threshold(pairs: Collection[tuple[float | None, bool]]) -> float:
    """Where kappa is highest; among equals the middle of the widest gap, so that little hangs on one pair."""
    values = sorted({certainty for certainty, _ in pairs if certainty is not None} | {-SUREST, SUREST})
    gaps = list(pairwise(values))
    if not gaps:
        return 0.0
    low, high = max(gaps, key=lambda gap: (round(_confusion(pairs, sum(gap) / 2).kappa, 9), gap[1] - gap[0]))
    return (low + high) / 2


def _confusion(pairs: Collection[tuple[float | None, bool]], threshold: float) -> Confusion:
    counts = {(said, is_yes): 0 for said in (True, False) for is_yes in (True, False)}
    for certainty, is_yes in pairs:
        if certainty is not None:
            counts[certainty > threshold, is_yes] += 1
    return Confusion(
        right_yes=counts[True, True],
        right_no=counts[False, False],
        wrong_yes=counts[True, False],
        wrong_no=counts[False, True],
        abstained=sum(certainty is None for certainty, _ in pairs),
    )

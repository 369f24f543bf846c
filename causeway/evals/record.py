"""A run's scores by case and check: what is summed up, compared, and kept in a file as a baseline."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, Self

import msgspec

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.checks import PASSED
from causeway.evals.run import Result, Started
from causeway.evals.statistics import Interval, clustered_mean, flaky, wilson
from causeway.evals.suite import Case

_VERSION: Final = 1


class CaseRecord(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One case.

    Attributes:
        digest: Of what was asked and expected; only cases with the same digest can be compared.
        scores: By check, the mean over repeats.
    """

    digest: str
    page: str
    tags: tuple[str, ...] = ()
    scores: dict[str, float]


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run, or a baseline.

    Attributes:
        run: The run's id.
        informing: Checks whose judge is not good enough to gate.
        is_exact: The subject does the same when it is asked twice.
        flaky: Cases that passed in one repeat and failed in another.
    """

    version: int = _VERSION
    run: str
    suite: str
    suite_version: str
    subject: str
    identity: dict[str, object]
    cases: dict[str, CaseRecord]
    informing: tuple[str, ...] = ()
    is_exact: bool = False
    flaky: tuple[str, ...] = ()

    @classmethod
    def of_results(cls, started: Started, results: Sequence[Result], *, is_exact: bool = False) -> Self:
        """The record of a run."""
        run, cases = started.run, {case.name: case for case in started.suite.cases}
        values: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        passes: defaultdict[str, list[bool]] = defaultdict(list)
        informing: set[str] = set()
        for result in results:
            for score in result.scores:
                if score.value is not None:
                    values[result.case][score.name].append(score.value)
                if score.name == PASSED and score.passed is not None:
                    passes[result.case].append(score.passed)
                if score.passed is None and score.name.startswith("judge: "):
                    informing.add(score.name)
        return cls(
            run=run.id,
            suite=run.suite,
            suite_version=run.suite_version,
            subject=run.subject,
            identity=dict(run.identity),
            cases={
                name: CaseRecord(
                    digest=digest_of(cases[name]),
                    page=cases[name].page,
                    tags=tuple(cases[name].metadata.tags),
                    scores={check: sum(each) / len(each) for check, each in sorted(values[name].items())},
                )
                for name in sorted(values)
            },
            informing=tuple(sorted(informing)),
            is_exact=is_exact,
            flaky=tuple(flaky(passes)),
        )

    def checks(self) -> list[str]:
        """The names of all checks, whether a case passed first."""
        names = {check for case in self.cases.values() for check in case.scores}
        return sorted(names, key=lambda name: (name != PASSED, name.startswith("judge: "), name))

    def interval(self, check: str, *, tag: str | None = None) -> tuple[Interval, int]:
        """The mean of a check with its interval, and over how many cases; Wilson's for yes and no."""
        kept = [
            (case.scores[check], case.page)
            for case in self.cases.values()
            if check in case.scores and (tag is None or tag in case.tags)
        ]
        values, pages = [value for value, _ in kept], [page for _, page in kept]
        if all(value in (0.0, 1.0) for value in values):
            return wilson(round(sum(values)), len(values)), len(values)
        return clustered_mean(values, pages), len(values)

    def tags(self) -> list[str]:
        """Every tag, those of most cases first."""
        counts: defaultdict[str, int] = defaultdict(int)
        for case in self.cases.values():
            for tag in case.tags:
                counts[tag] += 1
        return sorted(counts, key=lambda tag: (-counts[tag], tag))

    def write(self, path: Path) -> None:
        """Keep it as a file that people can review line by line."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(msgspec.to_builtins(self), indent=1, sort_keys=True, ensure_ascii=False)
        path.write_text(f"{text}\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Self:
        """A baseline that `write` kept.

        Raises:
            NotFoundError: There is no such file.
            InvalidInputError: The file is no baseline.
        """
        if not path.is_file():
            raise NotFoundError(
                f"there is no baseline at '{path}'; 'causeway evals baseline RUN' makes one of a run"
            )
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except msgspec.MsgspecError as exc:
            raise InvalidInputError(f"'{path}' is no baseline: {exc}; make it anew") from exc


def digest_of(case: Case) -> str:
    """Of what is asked and expected; tags and evidence may change without another question."""
    parts = {
        "inputs": case.inputs.told,
        "expected": case.expected_output.told,
        "documents": list(case.metadata.documents),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def shared_cases(earlier: Mapping[str, CaseRecord], later: Mapping[str, CaseRecord]) -> list[str]:
    """The cases that both have with the same question and answer."""
    return sorted(
        name for name, case in later.items() if name in earlier and earlier[name].digest == case.digest
    )

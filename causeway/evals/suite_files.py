"""Reads suites: YAML, JSON and JSONL, from a path or by the name of a packaged one.

YAML and JSON are pydantic-evals datasets: ``name``, ``cases``, ``evaluators``. Of its evaluators ``MaxDuration`` is
understood, and ``MaxCost`` beside it; which other checks apply follows from what each case expects.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from causeway.errors import InvalidInputError, NotFoundError
from causeway.evals.suite import Suite, mixed_pages

_MOST_BYTES: Final = 20_000_000
_MOST_PROBLEMS: Final = 8
_SUFFIXES: Final = (".yaml", ".yml", ".json", ".jsonl")
_BUDGETS: Final = {"MaxDuration": "seconds", "MaxCost": "usd"}


def find_suite(named: str) -> Suite:
    """The suite in the file ``named``, or the packaged one of that name.

    Raises:
        NotFoundError: Neither is there.
        InvalidInputError: The file is no suite; the message names every problem and its case.
    """
    path = Path(named)
    if path.is_file():
        return read_suite(path)
    packaged = {entry.stem: entry for entry in _packaged()}
    if named in packaged:
        return _whole(packaged[named])
    raise NotFoundError(
        f"no suite is called '{named}', and it is no file; there are {', '.join(sorted(packaged))}"
    )


def packaged_documents(suite: str) -> dict[str, Path]:
    """The folders of documents that come with a packaged suite, by the collection that each belongs in.

    Raises:
        NotFoundError: The suite comes with none.
    """
    folder = Path(str(files("causeway.evals") / "suites" / suite))
    inner = sorted(each for each in folder.iterdir() if each.is_dir()) if folder.is_dir() else []
    found = {f"{suite}-{each.name}": each for each in inner}
    if suite not in packaged_names() or not found:
        raise NotFoundError(
            f"no documents come with a suite '{suite}'; 'causeway evals suites' lists the suites"
        )
    return found


def packaged_names() -> list[str]:
    """The names of the suites that come with Causeway."""
    return sorted(entry.stem for entry in _packaged())


def read_suite(path: Path) -> Suite:
    """The suite in a file.

    Raises:
        InvalidInputError: It is no suite; the message names every problem and its case.
    """
    if path.suffix not in _SUFFIXES:
        raise InvalidInputError(f"{path.name}: a suite's name ends in one of {', '.join(_SUFFIXES)}")
    content = path.read_bytes()
    if len(content) > _MOST_BYTES:
        raise InvalidInputError(
            f"{path.name}: {len(content)} bytes; split a suite of more than {_MOST_BYTES}"
        )
    try:
        return parse_suite(content.decode(), origin=path.name)
    except UnicodeDecodeError as exc:
        raise InvalidInputError(f"{path.name}: not UTF-8 at byte {exc.start}; save it as UTF-8") from exc


def parse_suite(text: str, *, origin: str) -> Suite:
    """The suite in a file's text; ``origin`` is the file's name, whose ending says what it is.

    Raises:
        InvalidInputError: As `read_suite`.
    """
    written = _written(text, origin)
    written.pop("$schema", None)
    written["budgets"] = _budgets(written.pop("evaluators", None) or [], origin)
    written.setdefault("name", origin.partition(".")[0])
    for absent in [key for key in ("report_evaluators",) if not written.get(key)]:
        written.pop(absent, None)
    names = _name_cases(written.get("cases"), origin)
    try:
        suite = Suite.model_validate(written)
    except ValidationError as exc:
        raise InvalidInputError(f"{origin}: {_explain(exc, names)}") from exc
    mixed = mixed_pages(suite.cases)
    if mixed:
        raise InvalidInputError(
            f"{origin}: cases of the page {mixed[0]} are in both halves; give all of them the same 'split'"
        )
    return suite


def _packaged() -> list[Path]:
    folder = files("causeway.evals") / "suites"
    return [Path(str(entry)) for entry in folder.iterdir() if entry.name.endswith((".yaml", ".suite.jsonl"))]


def _whole(path: Path) -> Suite:
    """A packaged suite with the cases of its folder's files: one file a product."""
    suite = read_suite(path)
    more = [read_suite(part) for part in sorted(path.with_suffix("").glob("*.yaml"))]
    return suite.model_copy(update={"cases": (*suite.cases, *(case for each in more for case in each.cases))})


def _written(text: str, origin: str) -> dict[str, Any]:
    try:
        if origin.endswith(".jsonl"):
            return {
                "cases": [
                    _line(line, n, origin) for n, line in enumerate(text.splitlines(), 1) if line.strip()
                ]
            }
        found = json.loads(text) if origin.endswith(".json") else yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as exc:
        reason = " ".join(str(exc).split())
        raise InvalidInputError(f"{origin}: cannot be read: {reason}") from exc
    if not isinstance(found, dict):
        raise InvalidInputError(f"{origin}: a suite is a mapping with 'name' and 'cases'")
    return found


def _line(line: str, number: int, origin: str) -> Any:
    try:
        return json.loads(line)
    except ValueError as exc:
        raise InvalidInputError(f"{origin}: line {number} is not JSON: {exc}") from exc


def _name_cases(cases: object, origin: str) -> list[str]:
    """The cases' names, for messages; pydantic-evals lets a case be without one, and then it is called by its place.

    Raises:
        InvalidInputError: Two cases have one name.
    """
    if not isinstance(cases, list):
        return []
    for position, case in enumerate(cases, start=1):
        if isinstance(case, dict):
            case["name"] = case.get("name") or f"case {position}"
            if not case.get("evaluators"):
                case.pop("evaluators", None)
            for absent in [key for key in ("expected_output", "metadata") if case.get(key) is None]:
                case.pop(absent, None)
    names = [str(case["name"]) if isinstance(case, dict) else f"case {n}" for n, case in enumerate(cases, 1)]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise InvalidInputError(
            f"{origin}: {len(twice)} names are used more than once: {', '.join(twice[:_MOST_PROBLEMS])}; "
            "results are compared by name, so each must be unique"
        )
    return names


def _budgets(evaluators: object, origin: str) -> dict[str, float]:
    """What the suite's evaluators say of time and money."""
    budgets: dict[str, float] = {}
    for each in evaluators if isinstance(evaluators, list) else [evaluators]:
        name, value = next(iter(each.items())) if isinstance(each, dict) and each else (each, None)
        if name not in _BUDGETS or value is None:
            raise InvalidInputError(
                f"{origin}: the evaluator '{name}' is not known; there are {', '.join(_BUDGETS)} with a value, and "
                "every other check follows from what a case expects"
            )
        budgets[_BUDGETS[name]] = next(iter(value.values())) if isinstance(value, Mapping) else value
    return budgets


def _explain(error: ValidationError, names: list[str]) -> str:
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        where = list(problem["loc"])
        case = ""
        if len(where) > 1 and where[0] == "cases" and isinstance(where[1], int):
            case = f"case '{names[where[1]]}': " if where[1] < len(names) else ""
            where = where[2:]
        said = "no such field" if problem["type"] == "extra_forbidden" else problem["msg"]
        problems.append(f"{case}{'.'.join(map(str, where))}: {said.removeprefix('Value error, ')}")
    more = len(problems) - _MOST_PROBLEMS
    return "; ".join(problems[:_MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else "")

"""What of a span is kept, and for how long: content or none, masked or as it is, long values cut, by the project's settings.

A project is a team; calls of nobody's team are the project ``default``. What is dropped by rule is dropped here and nowhere
else, so that the own store, imports and exports agree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from causeway.observability import genai_names as names
from causeway.observability.messages import listed
from causeway.settings import TelemetrySettings

DEFAULT_PROJECT: Final = "default"
PROGRAMS: Final = "api"
"""What calls through ``/v1`` are for: whatever the programs that make them are for."""
Mask = Callable[[str], str]
"""Puts placeholders in the place of personal data and secrets."""

_HEX_DIGITS: Final = 8


class TracePolicy:
    """The settings of traces, as they apply to one span.

    Attributes:
        longest: Characters of a value; longer ones are cut.
    """

    def __init__(self, settings: TelemetrySettings, *, mask: Mask | None = None) -> None:
        self._settings = settings
        self._mask = mask if settings.mask != "off" else None
        self._masks_own = settings.mask == "all"
        self.longest = settings.max_attribute_characters
        rates = [settings.sample, *(self.sample(project) for project in settings.projects)]
        self.lowest_sample, self.highest_sample = min(rates), max(rates)

    def project(self, attributes: Mapping[str, Any]) -> str:
        """Whose settings hold for a span."""
        return str(attributes.get(names.TEAM) or DEFAULT_PROJECT)

    def sample(self, project: str) -> float:
        """The share of its traces that is kept, from 0 to 1."""
        own = self._settings.projects.get(project)
        return self._settings.sample if own is None or own.sample is None else own.sample

    def days(self, project: str) -> int:
        """For how long its traces are kept."""
        own = self._settings.projects.get(project)
        return self._settings.trace_days if own is None or own.days is None else own.days

    def captures(self, project: str) -> bool:
        """Whether what people and documents said is kept; never when the whole platform does not keep it."""
        own = self._settings.projects.get(project)
        return self._settings.capture_content and (own is None or own.capture_content is not False)

    def captures_call(self, purpose: str, team: str | None) -> bool:
        """Whether what is said in a call of a model is kept; of programs' own calls only where that is allowed."""
        project = team or DEFAULT_PROJECT
        if purpose != PROGRAMS:
            return self.captures(project)
        own = self._settings.projects.get(project)
        is_allowed = (
            self._settings.capture_calls if own is None or own.capture_calls is None else own.capture_calls
        )
        return is_allowed and self.captures(project)

    def keeps_all(self, team: str | None) -> bool:
        """Whether content of our own spans of ``team`` is stored as it is, but for what is too long (`longest`)."""
        return not (self._masks_own and self._mask is not None) and self.captures(team or DEFAULT_PROJECT)

    def kept(self, attributes: Mapping[str, Any], *, is_own: bool) -> Mapping[str, Any]:
        """The attributes that may be stored; the same mapping where nothing has to change."""
        if not names.CONTENT.isdisjoint(attributes) or (not is_own and any(map(_is_content, attributes))):
            if not self.captures(self.project(attributes)):
                attributes = without_content(attributes)
            elif self._mask is not None and (self._masks_own or not is_own):
                attributes = masked(attributes, self._mask)
        for value in attributes.values():
            if type(value) is str and len(value) > self.longest:
                return _cut(attributes, self.longest)
        return attributes


def share(trace_id: str) -> float:
    """Where a trace stands between 0 and 1: every process and every span of it says the same.

    The last digits, for they are the random ones (https://www.w3.org/TR/trace-context-2/#random-trace-id-flag).
    """
    return int(trace_id[-_HEX_DIGITS:], 16) / 16**_HEX_DIGITS


def without_content(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Without what people and documents said; which passages were found stays, their words do not."""
    kept = {name: value for name, value in attributes.items() if not _is_content(name)}
    found = [each for each in listed(attributes.get(names.RETRIEVAL_DOCUMENTS)) if isinstance(each, dict)]
    if found:
        bare = [{name: value for name, value in each.items() if name not in _WORDS} for each in found]
        kept[names.RETRIEVAL_DOCUMENTS] = msgspec.json.encode(bare).decode()
    return kept


def masked(attributes: Mapping[str, Any], mask: Mask) -> dict[str, Any]:
    """With placeholders in all content: in texts, and in the texts of JSON, whose numbers stay."""
    return {
        name: _masked(value, mask) if isinstance(value, str) and _is_content(name) else value
        for name, value in attributes.items()
    }


def _is_content(name: str) -> bool:
    return name in names.CONTENT or name.startswith(names.FOREIGN_CONTENT)


_WORDS: Final = frozenset({"text", "content", "title"})


def _masked(value: str, mask: Mask) -> str:
    if value[:1] in "[{":
        try:
            return msgspec.json.encode(_masked_in(msgspec.json.decode(value), mask)).decode()
        except (ValueError, RecursionError):
            pass  # text that looks like JSON
    return mask(value)


def _masked_in(value: Any, mask: Mask) -> Any:
    if isinstance(value, str):
        return mask(value)
    if isinstance(value, list):
        return [_masked_in(each, mask) for each in value]
    if isinstance(value, dict):
        return {name: _masked_in(each, mask) for name, each in value.items()}
    return value


def _cut(attributes: Mapping[str, Any], longest: int) -> dict[str, Any]:
    lengths = {
        name: len(value) for name, value in attributes.items() if type(value) is str and len(value) > longest
    }
    kept = {name: value[:longest] if name in lengths else value for name, value in attributes.items()}
    kept[names.TRUNCATED] = msgspec.json.encode(lengths).decode()
    return kept

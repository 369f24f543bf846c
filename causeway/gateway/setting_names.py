"""Settings by name: which may change while Causeway runs, and what differs between two states of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from causeway.settings import Section, Settings

LIVE_SECTIONS = ("providers", "routes", "tiers", "gateway", "guard")
LIVE_ALIASES = ("chat", "fast")
"""The aliases of ``models`` that may change at once; a collection's vectors hang on ``embed``."""

NAMED = ("providers", "routes", "tiers")
"""Sections that hold groups with names of the operator's own: ``tiers.free``."""

STARTED_ONLY = frozenset({"ledger_flush_s", "max_body_bytes", "body_timeout_s", "max_messages"})
"""The keys of ``gateway`` that are read when a process starts: the ledger's pace, and what ``/v1`` reads of a request."""


def flat(settings: Settings) -> dict[str, object]:
    """Every setting by its dotted name: ``server.port``, ``tiers.free.priority``; secrets stay wrapped."""
    found: dict[str, object] = {}
    for section in Settings.model_fields:
        value = getattr(settings, section)
        named = value.items() if section in NAMED else [("", value)]
        for name, group in named:
            for key in type(group).model_fields:
                found[".".join(part for part in (section, name, key) if part)] = getattr(group, key)
    return found


def differing(one: Mapping[str, object], other: Mapping[str, object]) -> tuple[str, ...]:
    """The names whose values are not the same in both, or that are in one alone; sorted."""
    return tuple(sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name)))


def is_live(name: str) -> bool:
    """Whether a setting comes into force without a restart."""
    table, _, key = name.partition(".")
    if table == "gateway":
        return key not in STARTED_ONLY
    return table in LIVE_SECTIONS or (table == "models" and key in LIVE_ALIASES)


def values_of(settings: Settings, section: str) -> dict[str, object] | None:
    """The values of a section; None when the settings have none of that name."""
    table, _, name = section.partition(".")
    found = getattr(settings, table)
    group: Section | None = found.get(name) if name else found
    return None if group is None else {key: getattr(group, key) for key in type(group).model_fields}


def shown_change(
    values: Mapping[str, object] | None, other: Mapping[str, object] | None, section: str
) -> dict[str, object] | None:
    """What of ``values`` is not the same in ``other``, as the audit log can hold it; without another, what is no default."""
    if values is None:
        return None
    if other is None:
        other = {key: declared.get_default(call_default_factory=True) for key, declared in _fields(section)}
    return {key: _plain(value) for key, value in values.items() if other.get(key) != value}


def _fields(section: str) -> Iterable[tuple[str, FieldInfo]]:
    """The declared fields of a named section's values."""
    group = Settings.model_fields[section.partition(".")[0]].annotation
    shape: type[Section] = get_args(group)[1]
    return shape.model_fields.items()


def _plain(value: object) -> object:
    if isinstance(value, BaseModel):
        return {key: _plain(inner) for key, inner in value.model_dump(exclude_defaults=True).items()}
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return value

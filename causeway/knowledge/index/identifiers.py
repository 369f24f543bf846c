"""Part numbers, error codes and the like in a text: ``E-4017``, ``FS-TNT-210``, ``RMA-2024-0017``, ``v2.3.1``.

PostgreSQL's parser takes them apart (``E-4017`` becomes ``e`` and ``-4017``, ``E-4017/E-4018`` ends in a file name), and
an embedding hardly tells one from the next. They are therefore also kept whole, in one spelling: lower case, joiners left
out, so that ``e4017`` finds ``E-4017`` and a typographic hyphen does not hide it.
"""

from __future__ import annotations

import re

_JOINERS = "-_\u2010\u2011\u2012\u2013\u2014\u2212\u00ad"
_WORD = re.compile(rf"(?<![^\W_])[^\W_]+(?:[{_JOINERS}.][^\W_]+)*", re.UNICODE)
_JOINER = re.compile(rf"[{_JOINERS}.]")
_LONGEST = 64
_FEWEST_DIGITS_ALONE = 2
"""``h2o`` and ``v2`` are words; ``E4017`` is an identifier."""
_FEWEST_DIGITS_FIRST = 4
"""``24-hour`` is a word; ``10-0042-A`` is an identifier."""


def identifiers(text: str) -> frozenset[str]:
    """The identifiers in ``text``, each in its one spelling.

    >>> sorted(identifiers("Error E-4017/E-4018 on FS\u2011TNT\u2011210, see the 24-hour rule."))
    ['e4017', 'e4018', 'fstnt210']
    """
    return frozenset(_JOINER.sub("", word).lower() for word in _WORD.findall(text) if _is_identifier(word))


def _is_identifier(word: str) -> bool:
    digits = sum(character.isdigit() for character in word)
    if not digits or len(word) > _LONGEST or not any(character.isalpha() for character in word):
        return False
    if not word[0].isalpha():
        return digits >= _FEWEST_DIGITS_FIRST
    return digits >= _FEWEST_DIGITS_ALONE or _JOINER.search(word) is not None

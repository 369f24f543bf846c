r"""Placeholders in place of values, and the values back in place of the placeholders.

The n-th distinct value of a kind, in reading order, becomes ``[EMAIL_n]``: capitals, a number and brackets are copied
faithfully by models and mean nothing to JSON, HTML or (with no link definition of that name) Markdown. The same request
always gets the same placeholders, which is what lets a cache key on the masked text. A number that the caller's own
text already uses, in whatever spelling, is skipped, so nothing the caller typed is ever turned into somebody's data.

On the way back the spellings that models make of it are known too: lower case, Markdown's ``\[EMAIL\_1\]``, and
``%5BEMAIL_1%5D`` in a URL, where the value is percent-encoded.

The table lives as long as its request, in memory, and shows no value in its ``repr``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Literal
from urllib.parse import quote

from causeway.guard.pii import Found, Kind

Syntax = Literal["text", "json"]
"""Where a placeholder stands: in plain text, or in JSON, where the value is escaped as inside a string."""

_LABELS = sorted(kind.value.upper() for kind in Kind)
_NUMBERED = re.compile(r"_([0-9]{1,9})")
_LONGEST_LABEL = 40
"""Of a label as somebody may type it, with backslashes."""

_PLAIN = rf"(?:{'|'.join(_LABELS)})_[1-9][0-9]{{0,8}}"
_MARKDOWN = _PLAIN.replace("_", r"\\?_")
_PATTERNS: dict[Syntax, re.Pattern[str]] = {
    "text": re.compile(
        rf"\\\[(?P<escaped>{_MARKDOWN})\\\]|\[(?P<plain>{_MARKDOWN})\]|%5B(?P<url>{_PLAIN})%5D",
        re.IGNORECASE | re.ASCII,
    ),
    # a backslash is JSON's own here: one before a bracket belongs to what stands before
    "json": re.compile(rf"\[(?P<plain>{_PLAIN})\]|%5B(?P<url>{_PLAIN})%5D", re.IGNORECASE | re.ASCII),
}
_SPELLING_MARGIN = 8
"""Most characters that brackets and escapes add to a name."""

_OPENERS: dict[Syntax, tuple[str, ...]] = {"text": ("\\", "[", "%"), "json": ("[", "%")}


class Placeholders:
    """The values of one request and what stands for them."""

    def __init__(self, typed: Iterable[str] = ()) -> None:
        """Start a table for a request whose texts are ``typed``: the numbers they use are left free."""
        self._by_value: dict[tuple[Kind, str], str] = {}
        self._values: dict[str, str] = {}
        self._next: dict[Kind, int] = {}
        self._taken = {name for text in typed for name in _typed_names(text)}
        self._begun: set[str] = {""}
        self._longest = 0

    def __len__(self) -> int:
        return len(self._values)

    def __repr__(self) -> str:
        return f"Placeholders({len(self)} values)"

    @property
    def counts(self) -> dict[str, int]:
        """How many distinct values of each kind the table holds."""
        counts: dict[str, int] = {}
        for kind, _ in self._by_value:
            counts[kind.value] = counts.get(kind.value, 0) + 1
        return counts

    @property
    def digest(self) -> bytes:
        """A digest of what is hidden behind which placeholder: equal for requests that hide the same."""
        hidden = json.dumps(sorted(self._values.items())).encode()
        return hashlib.sha256(hidden).digest()

    def mask(self, text: str, found: Iterable[Found]) -> str:
        """``text`` with a placeholder for each of ``found``, which are in reading order and do not overlap."""
        pieces: list[str] = []
        done = 0
        for one in found:
            pieces += text[done : one.start], self._placeholder(one.kind, text[one.start : one.end])
            done = one.end
        return "".join([*pieces, text[done:]])

    def restore(self, text: str, syntax: Syntax = "text") -> str:
        """``text`` with the values back in place of this table's placeholders; others are left as they are."""
        if not self._values or not any(opener in text for opener in _OPENERS[syntax]):
            return text
        return _PATTERNS[syntax].sub(self._restoring(syntax), text)

    @property
    def longest_spelling(self) -> int:
        """The most characters that a placeholder of this table can have in any spelling."""
        return self._longest + _SPELLING_MARGIN

    def may_continue(self, tail: str, syntax: Syntax) -> bool:
        """Whether ``tail``, with more text after it, can become a placeholder of this table."""
        tail = tail.lower()
        if "%5b".startswith(tail):
            return True
        if tail.startswith("%5b"):
            return self._begins(tail[3:], closing="%5d", has_escapes=False)
        has_escapes = syntax == "text"
        if tail.startswith("["):
            return self._begins(tail[1:], closing="]", has_escapes=has_escapes)
        if has_escapes and "\\[".startswith(tail):
            return True
        return (
            has_escapes and tail.startswith("\\[") and self._begins(tail[2:], closing="\\]", has_escapes=True)
        )

    def _begins(self, rest: str, *, closing: str, has_escapes: bool) -> bool:
        """Whether ``rest``, which stands behind an opening bracket, begins a name and its ``closing``."""
        if has_escapes:
            rest = rest.replace("\\_", "_")
            if rest.endswith("\\") and rest[:-1] + "_" in self._begun:
                return True
        for length in range(1, len(closing)):
            if rest.endswith(closing[:length]) and rest[:-length] in self._values:
                return True
        return rest in self._begun

    def _restoring(self, syntax: Syntax) -> Callable[[re.Match[str]], str]:
        def value_of(match: re.Match[str]) -> str:
            value = self._values.get(_plain(match[match.lastgroup or 0]))
            if value is None:
                return match[0]
            if match.lastgroup == "url":
                return quote(value, safe="", errors="replace")
            return json.dumps(value, ensure_ascii=False)[1:-1] if syntax == "json" else value

        return value_of

    def _placeholder(self, kind: Kind, value: str) -> str:
        known = self._by_value.get((kind, value))
        if known is None:
            number = self._next.get(kind, 1)
            while f"{kind.value}_{number}" in self._taken:
                number += 1
            self._next[kind] = number + 1
            name = f"{kind.value}_{number}"
            known = self._by_value[kind, value] = f"[{name.upper()}]"
            self._values[name] = value
            self._longest = max(self._longest, len(name))
            self._begun.update(name[:length] for length in range(1, len(name) + 1))
        return known


class StreamRestorer:
    """Restores a text that comes in pieces; holds back only what may be the beginning of a placeholder.

    ``"".join(feed(piece) for each piece) + end()`` equals `Placeholders.restore` of the whole, however it is cut.
    """

    def __init__(self, placeholders: Placeholders, syntax: Syntax = "text") -> None:
        self._placeholders = placeholders
        self._syntax: Syntax = syntax
        self._openers = _OPENERS[syntax]
        self._held = ""

    def feed(self, piece: str) -> str:
        """What can be shown now that ``piece`` has come."""
        text = self._held + piece if self._held else piece
        cut = self._begin_of_held(text)
        self._held = text[cut:]
        return self._placeholders.restore(text[:cut], self._syntax)

    def end(self) -> str:
        """What is left: the beginning of a placeholder that never went on."""
        held, self._held = self._held, ""
        return held

    def _begin_of_held(self, text: str) -> int:
        """Where the first tail of ``text`` begins that may become a placeholder; its length where none does."""
        position = max(0, len(text) - self._placeholders.longest_spelling)
        while position < len(text):
            openings = [at for opener in self._openers if (at := text.find(opener, position)) >= 0]
            if not openings:
                break
            position = min(openings)
            if self._placeholders.may_continue(text[position:], self._syntax):
                return position
            position += 1
        return len(text)


def _plain(spelling: str) -> str:
    """The key of a name in any spelling: ``email_1``."""
    return spelling.lower().replace("\\", "")


def _typed_names(text: str) -> Iterator[str]:
    """The names that ``text`` itself uses, in any spelling, with brackets or without."""
    for match in _NUMBERED.finditer(text):
        before = text[max(0, match.start() - _LONGEST_LABEL) : match.start()].replace("\\", "").upper()
        for label in _LABELS:
            if before.endswith(label):
                yield f"{label.lower()}_{int(match[1])}"

"""What a prompt's template may be made of: an allow-list, held against every token before anything is rendered.

Fuel alone does not stop a template: ``x ~ x`` thirty times over is a gigabyte for sixty instructions, one filter sorts a
long literal anew on every turn of a loop, and a method call changes the caller's own list. So templates print, choose and
repeat, and nothing else: no assignments, macros, imports or arithmetic that makes text longer, no calls but ``range``,
no names that begin with an underscore. What is left costs time and memory in proportion to what is written and given,
which `causeway.prompts.rendering` bounds. ``bench/prompt_attacks.py`` measures the attacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeAlias

from causeway.errors import InvalidInputError

MOST_CHARS: Final = 65_536
"""Of one template."""
MOST_EXPRESSION: Final = 4_000
"""Characters of what stands between two marks."""
MOST_DEPTH: Final = 40
"""Brackets, tags and ``not`` inside each other, and postfixes one after the other: the parser calls itself for each."""
MOST_LOOPS: Final = 3
"""Loops inside each other."""

FILTERS: Final = frozenset(
    {
        "abs", "capitalize", "count", "d", "default", "first", "float", "indent", "int", "join", "last", "length", "lower",
        "replace", "reverse", "round", "sort", "string", "title", "tojson", "trim", "truncate", "unique", "upper",
    }
)  # fmt: skip
TESTS: Final = frozenset(
    {
        "defined", "undefined", "none", "odd", "even", "divisibleby", "string", "number", "mapping", "sequence", "iterable",
        "boolean", "true", "false", "integer", "float", "lower", "upper",
    }
)  # fmt: skip
FUNCTIONS: Final = frozenset({"range"})
_TAGS: Final = frozenset({"if", "elif", "else", "endif", "for", "endfor"})
_CLOSES: Final = {"endif": "if", "endfor": "for"}
_WORDS: Final = frozenset({"in", "not", "and", "or", "is", "if", "else", "elif", "for"})
"""After which a bracket groups, and does not call."""
_GROWS: Final = frozenset({"~", "+", "*", "/", "%", "**", "//"})

_OPEN: Final = re.compile(r"\{[{%#]")
_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    |(?P<number>\d+(?:\.\d+)?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<mark>\*\*|//|==|!=|<=|>=|[-.,:()\[\]{}|<>=~+*/%]))""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a template is made of, as far as its bounds ask.

    Attributes:
        looped_bytes: The longest piece of plain text that a loop repeats, UTF-8.
    """

    looped_bytes: int


_Token: TypeAlias = tuple[str, str]
"""Its kind and its text."""
_NOTHING: Final[_Token] = ("mark", "")


@lru_cache(maxsize=256)
def check(template: str) -> Shape:
    """The shape of a template that keeps the rules.

    Raises:
        InvalidInputError: It does not; the message says where and what to write instead.
    """
    if len(template) > MOST_CHARS:
        raise InvalidInputError(
            f"a prompt cannot be rendered: a message has {len(template):,} characters, the most is {MOST_CHARS:,}"
        )
    opened: list[str] = []
    looped = 0
    for kind, piece, line in _pieces(template):
        try:
            if kind == "text":
                looped = max(looped, len(piece.encode("utf-8", "replace"))) if "for" in opened else looped
            elif kind != "#":
                _check_marked(kind, piece, opened)
        except InvalidInputError as exc:
            raise InvalidInputError(
                f"a prompt cannot be rendered: line {line} of a message: {exc.message}"
            ) from exc
    return Shape(looped)


def _check_marked(kind: str, piece: str, opened: list[str]) -> None:
    if len(piece) > MOST_EXPRESSION:
        raise InvalidInputError(
            f"an expression of {len(piece):,} characters; the most is {MOST_EXPRESSION:,}"
        )
    tokens = tuple(_tokens(piece))
    if kind == "%":
        _check_tag(tokens, opened)
    _check_expression(tokens)


def _pieces(template: str) -> Iterator[tuple[str, str, int]]:
    """Plain text and what stands between marks, each with the number of its line."""
    at, line, counted = 0, 1, 0
    while (found := _OPEN.search(template, at)) is not None:
        line += template.count("\n", counted, found.start())
        counted = found.start()
        yield "text", template[at : found.start()], line
        kind = found[0][1]
        end = _end(template, found.end(), kind)
        if end < 0:
            raise InvalidInputError(f"a prompt cannot be rendered: line {line}: '{found[0]}' is never closed")
        yield kind, template[found.end() : end], line
        at = end + 2
    yield "text", template[at:], line


def _end(template: str, start: int, kind: str) -> int:
    """Where the closing mark is, texts in quotes skipped; -1 without one."""
    close = {"{": "}}", "%": "%}", "#": "#}"}[kind]
    if kind == "#":
        return template.find(close, start)
    at, depth = start, 0
    while at < len(template):
        mark = template[at]
        if depth == 0 and template.startswith(close, at):
            return at
        if mark in "\"'":
            quoted = _TOKEN.match(template, at)
            if quoted is None:
                return -1
            at = quoted.end()
            continue
        depth += (mark == "{") - (mark == "}")
        at += 1
    return -1


def _tokens(piece: str) -> Iterator[_Token]:
    piece = piece.removeprefix("-").removeprefix("+")
    piece = piece.removesuffix("-").removesuffix("+").rstrip()
    at = 0
    while at < len(piece):
        found = _TOKEN.match(piece, at)
        if found is None:
            raise InvalidInputError(f"'{piece[at:].strip()[:20]}' cannot be read")
        kind = str(found.lastgroup)
        yield kind, found[kind]
        at = found.end()


def _check_tag(tokens: Sequence[_Token], opened: list[str]) -> None:
    name = tokens[0][1] if tokens else ""
    if name not in _TAGS:
        raise InvalidInputError(
            f"'{{% {name} %}}' is not for prompts; there are if, elif, else, endif, for and endfor"
        )
    if name in ("if", "for"):
        opened.append(name)
        if len(opened) > MOST_DEPTH:
            raise InvalidInputError(f"more than {MOST_DEPTH} tags inside each other")
        if opened.count("for") > MOST_LOOPS:
            raise InvalidInputError(f"more than {MOST_LOOPS} loops inside each other")
    if name == "for" and tokens[-1][1] == "recursive":
        msg = "a loop may not call itself; leave out 'recursive'"
        raise InvalidInputError(msg)
    if name in _CLOSES and (not opened or opened.pop() != _CLOSES[name]):
        raise InvalidInputError(f"'{{% {name} %}}' closes nothing")


def _check_expression(tokens: Sequence[_Token]) -> None:
    opened: list[str] = []
    unary = postfixes = 0
    before = earlier = _NOTHING
    for token in tokens:
        kind, text = token
        if kind == "name":
            _check_name(text, before, earlier)
        elif kind == "mark":
            if text in _GROWS:
                raise InvalidInputError(f"'{text}' is not for prompts; write values one after the other")
            if text == "(" and not _may_open(before, earlier):
                raise InvalidInputError(f"'{before[1]}(...)' is a call; only range(...) may be called")
            if text == ":" and opened and opened[-1] == "[":
                msg = "a list cannot be cut by [:]; ask for loop.index in a loop, or give it less"
                raise InvalidInputError(msg)
            if text in "([{":
                opened.append(text)
            elif text in ")]}" and opened:
                opened.pop()
        unary = unary + 1 if text in ("not", "-") else 0
        postfixes += text in (".", "|", "[", "else")
        if len(opened) > MOST_DEPTH or unary > MOST_DEPTH or postfixes > MOST_DEPTH * 4:
            raise InvalidInputError(f"an expression is more than {MOST_DEPTH} deep; make it simpler")
        before, earlier = token, before


def _check_name(name: str, before: _Token, earlier: _Token) -> None:
    if name.startswith("_"):
        raise InvalidInputError(f"'{name}' begins with an underscore")
    if before == ("mark", "|") and name not in FILTERS:
        raise InvalidInputError(
            f"the filter '{name}' is not for prompts; there are {', '.join(sorted(FILTERS))}"
        )
    is_test = before == ("name", "is") or (before == ("name", "not") and earlier == ("name", "is"))
    if is_test and name != "not" and name not in TESTS:
        raise InvalidInputError(f"the test '{name}' is not for prompts; there are {', '.join(sorted(TESTS))}")


def _may_open(before: _Token, earlier: _Token) -> bool:
    """Whether a bracket groups, or gives a filter, a test or ``range`` what they ask for."""
    kind, text = before
    if kind == "mark":
        return text not in (")", "]", "}", ".")
    if kind != "name" or earlier == ("mark", "."):
        return False
    return text in _WORDS or text in FUNCTIONS or earlier[1] in ("|", "is", "not")

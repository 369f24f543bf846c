"""Fills in a prompt's template: minijinja, over copies of plain values, within bounds of time and memory.

Plain Jinja2 lets a template walk from a value to Python's internals, and its sandbox does not stop a loop that never
ends. minijinja stops when its fuel is spent, but a method of a value that it is handed still runs, and text can double
faster than fuel burns. Hence the rules of `causeway.prompts.template_rules`, copies that have no methods, filters of our
own that pay for the length of what they touch, and less fuel the more there is to read: ``bench/results/prompt_attacks.md``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from minijinja import Environment, TemplateError

from causeway.errors import InvalidInputError
from causeway.prompts.template_rules import Shape, check

MOST_OUTPUT: Final = 2 * 1024 * 1024
"""Bytes that values may come to in one message, and that plain text in loops may; about half a million tokens each."""
MOST_VALUES: Final = 4 * 1024 * 1024
"""Bytes of all that a template is given."""
_FUEL: Final = 50_000
_READ: Final = 8_000_000_000
"""Bytes that instructions may read altogether: each may read everything once, as ``in`` does."""
_WORK: Final = 4 * 1024 * 1024
"""Bytes that filters may read altogether."""
_DEPTH: Final = 20
_RANGE: Final = 1000
_INDENT: Final = 40
_ENTRY: Final = 512
"""What an entry of a list or mapping counts beside its text: copying or comparing one takes as long as reading so many bytes."""


def render(template: str, values: Mapping[str, object]) -> str:
    """``template`` with ``values``, which must be plain: text, numbers, lists and dicts of these.

    Raises:
        InvalidInputError: The template breaks the rules, names a value that is not given, or takes too much; or a value
            is not plain or too large.
    """
    shape = check(template)
    copies = _Copies()
    given = copies.mapping(values, _DEPTH)
    meter = _Meter()
    environment = Environment(
        undefined_behavior="strict",
        auto_escape_callback=lambda _name: False,
        fuel=_fuel(shape, copies.size_bytes + len(template)),
        trim_blocks=True,
        pycompat=False,
        finalizer=meter.printed,
    )
    for name in environment.globals:
        environment.remove_global(name)
    environment.add_global("range", meter.numbers)
    for name, apply in meter.filters().items():
        environment.add_filter(name, apply)
    try:
        return environment.render_str(template, **given)
    except TemplateError as exc:
        reason = meter.problem or _plain_reason(exc)
        # not from it: its own text shows every value
        raise InvalidInputError(f"a prompt cannot be rendered: {reason}") from None
    except _ExceededError as exc:
        raise InvalidInputError(f"a prompt cannot be rendered: {exc}") from None


def names_used(template: str) -> frozenset[str]:
    """The values that a template names.

    Raises:
        InvalidInputError: It breaks the rules, or cannot be parsed.
    """
    check(template)
    environment = Environment(pycompat=False)
    try:
        found = environment.undeclared_variables_in_str(template)
    except TemplateError as exc:
        raise InvalidInputError(f"a prompt cannot be rendered: {_plain_reason(exc)}") from None
    return frozenset(found) - {"range", "loop"}


class _ExceededError(Exception):
    """A bound was met while a template was rendered."""


class _Copies:
    """Makes plain copies, and counts their bytes."""

    def __init__(self) -> None:
        self.size_bytes = 0

    def mapping(self, values: Mapping[Any, object], depth: int) -> dict[str, Any]:
        """A copy whose names are text."""
        self._count(_ENTRY * len(values))
        return {self._text(str(name)): self._copy(value, depth) for name, value in values.items()}

    def _copy(self, value: object, depth: int) -> Any:
        if depth == 0:
            msg = f"a prompt's values may be {_DEPTH} deep at most"
            raise InvalidInputError(msg)
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, int):
            return self._number(int(value))
        if isinstance(value, float):
            return float(value)
        if isinstance(value, Mapping):
            return self.mapping(value, depth - 1)
        if isinstance(value, list | tuple):
            self._count(_ENTRY * len(value))
            return [self._copy(entry, depth - 1) for entry in value]
        raise InvalidInputError(
            f"a prompt's values are text, numbers, lists and mappings; not a {type(value).__name__}"
        )

    def _text(self, value: str) -> str:
        self._count(len(value))
        # an exact str: a subclass brings methods, and what has lone surrogates cannot be handed over
        return value.encode("utf-8", "replace").decode()

    def _number(self, value: int) -> int:
        if not -(2**63) <= value < 2**63:
            msg = "a prompt's whole numbers have at most 64 bits; give it as text"
            raise InvalidInputError(msg)
        return value

    def _count(self, size: int) -> None:
        self.size_bytes += size
        if self.size_bytes > MOST_VALUES:
            raise InvalidInputError(
                f"a prompt's values are over {MOST_VALUES // 1024 // 1024} MiB; give it less at once"
            )


class _Meter:
    """Counts what one rendering prints and what its filters read, and stops it at the bounds."""

    def __init__(self) -> None:
        self.problem = ""
        self._output = 0
        self._work = 0

    def printed(self, value: Any) -> str:
        """A value as it is printed."""
        text = self._text(value)
        self._output += len(text.encode())
        if self._output > MOST_OUTPUT:
            raise self._stop(f"its values come to more than {MOST_OUTPUT // 1024 // 1024} MiB")
        return text

    def numbers(self, *bounds: int) -> list[int]:
        """``range``, of at most a thousand numbers."""
        found = range(*bounds)
        if len(found) > _RANGE:
            raise self._stop(f"range() of more than {_RANGE} numbers")
        return list(found)

    def filters(self) -> Mapping[str, Callable[..., Any]]:
        """The filters that templates have."""
        found: dict[str, Callable[..., Any]] = {
            "abs": abs,
            "capitalize": self._of_text(str.capitalize),
            "count": len,
            "first": lambda found: self._entry(found, 0),
            "float": float,
            "indent": self._indent,
            "int": int,
            "join": self._join,
            "last": lambda found: self._entry(found, -1),
            "length": len,
            "lower": self._of_text(str.lower),
            "replace": self._replace,
            "reverse": lambda found: self._paid(found)[::-1],
            "round": lambda number, places=0: round(float(number), int(places)),
            "sort": lambda found: sorted(self._paid(found)),
            "string": self._text,
            "title": self._of_text(str.title),
            "tojson": self._json,
            "trim": self._of_text(str.strip),
            "truncate": self._truncate,
            "unique": lambda found: list(dict.fromkeys(map(self._text, self._paid(found)))),
            "upper": self._of_text(str.upper),
        }
        return {name: self._explained(name, apply) for name, apply in found.items()}

    def _explained(self, name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
        """``apply``, whose own errors say which filter was given what it cannot use."""

        def filtered(value: Any, *rest: Any) -> Any:
            try:
                return apply(value, *rest)
            except (TypeError, ValueError, ArithmeticError, LookupError):
                given = type(value).__name__
                raise self._stop(f"the filter '{name}' cannot use a {given}, or what it was given") from None

        return filtered

    def _of_text(self, change: Callable[[str], str]) -> Callable[[object], str]:
        return lambda value: change(self._text(self._paid(value)))

    def _entry(self, found: Any, place: int) -> Any:
        entries = self._paid(found)
        if not entries:
            msg = "first and last need a list that is not empty; ask with {% if %} before"
            raise self._stop(msg)
        return entries[place]

    def _join(self, found: Iterable[object], between: str = "") -> str:
        texts = [self._text(each) for each in self._paid(found)]
        self._pay(len(between) * len(texts))
        return between.join(texts)

    def _replace(self, text: object, old: str, new: str) -> str:
        whole = self._text(self._paid(text))
        self._pay(whole.count(old) * len(new))
        return whole.replace(old, new)

    def _indent(self, text: object, width: int = 4, first: bool = False) -> str:
        if not 0 <= width <= _INDENT:
            raise self._stop(f"indent by more than {_INDENT}")
        lines = self._text(self._paid(text)).split("\n")
        self._pay(width * len(lines))
        space = " " * width
        kept = [line if not line or (n == 0 and not first) else space + line for n, line in enumerate(lines)]
        return "\n".join(kept)

    def _truncate(self, text: object, length: int = 255, end: str = "...") -> str:
        whole = self._text(self._paid(text))
        if len(whole) <= length:
            return whole
        return whole[: max(0, length - len(end))].rstrip() + end

    def _json(self, value: object) -> str:
        try:
            return json.dumps(self._paid(value), ensure_ascii=False)
        except (TypeError, ValueError):
            msg = "'tojson' writes text, numbers, lists and mappings"
            raise self._stop(msg) from None

    def _text(self, value: Any) -> str:
        match value:
            case str():
                return value
            case bool():
                return "true" if value else "false"
            case None:
                return "none"
            case float():
                return (
                    str(int(value)) + ".0" if value.is_integer() and math.fabs(value) < 1e15 else str(value)
                )
            case int():
                return str(value)
            case _:
                msg = "a list or a mapping cannot be printed; loop over it, join it, or write '| tojson'"
                raise self._stop(msg)

    def _paid(self, value: Any) -> Any:
        """``value``, once its length is paid for."""
        self._pay(_size(value))
        return value

    def _pay(self, size: int) -> None:
        self._work += size
        if self._work > _WORK:
            msg = "its filters read more than is allowed"
            raise self._stop(msg)

    def _stop(self, problem: str) -> _ExceededError:
        self.problem = problem
        return _ExceededError(problem)


def _fuel(shape: Shape, size_bytes: int) -> int:
    """Instructions that a rendering may take: fewer where each may print or read more."""
    return max(1, min(_FUEL, MOST_OUTPUT // max(1, shape.looped_bytes), _READ // max(1, size_bytes)))


def _size(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_ENTRY + _size(each) + len(str(name)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return sum(_ENTRY + _size(each) for each in value)
    return 0


def _plain_reason(exc: TemplateError) -> str:
    """What the engine says, without the values and without where in which template it was."""
    kind, detail = exc.message, exc.detail
    if "fuel" in f"{kind} {detail}":
        return "it takes too many steps (engine ran out of fuel); repeat less, or give it less"
    return f"{detail or kind} (line {exc.line})" if exc.line else detail or kind

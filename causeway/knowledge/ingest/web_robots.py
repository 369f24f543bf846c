"""What a site's ``robots.txt`` allows (RFC 9309), and how slowly it wants to be read.

The group of our own name counts, else that of ``*``; groups of one name are joined. The longest rule that matches
decides, an allowing one before a forbidding one of its length; ``*`` stands for anything and ``$`` for the end.
``Crawl-delay`` is no part of the RFC but is written by many. A file that is not there (4xx) allows all; one that cannot
be had (5xx, no answer) forbids all, which is the caller's to say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

_MOST_BYTES = 500_000
"""What the RFC asks a reader to read at least."""
_LONGEST_DELAY_S = 60.0
_ESCAPED = re.compile("%[0-9a-fA-F]{2}")


@dataclass(slots=True)
class _Group:
    rules: list[tuple[str, bool]] = field(default_factory=list)
    delay_s: float | None = None


class Robots:
    """The rules of one host for one reader."""

    def __init__(self, rules: list[tuple[str, bool]], delay_s: float) -> None:
        self._rules = tuple(rules)
        self.delay_s = delay_s

    @classmethod
    def parse(cls, content: bytes, product: str) -> Robots:
        """The rules that ``content`` has for the reader called ``product``."""
        groups: dict[str, _Group] = {}
        named: list[str] = []
        is_naming = False
        for key, value in _lines(content[:_MOST_BYTES].decode("utf-8-sig", "replace")):
            if key == "user-agent":
                named = [*named, value.lower()] if is_naming else [value.lower()]
                groups.setdefault(value.lower(), _Group())
            elif key != "sitemap":
                _add(key, value, [groups[name] for name in named])
            if key != "sitemap":
                is_naming = key == "user-agent"
        ours = groups.get(product.lower()) or groups.get("*") or _Group()
        return cls(ours.rules, min(ours.delay_s or 0.0, _LONGEST_DELAY_S))

    @classmethod
    def nothing(cls) -> Robots:
        """Nothing may be read."""
        return cls([("/", False)], 0.0)

    def allow(self, url: str) -> bool:
        """Whether ``url`` may be read."""
        parts = urlsplit(url)
        target = _escaped((parts.path or "/") + (f"?{parts.query}" if parts.query else ""))
        matching = [(len(path), is_allowed) for path, is_allowed in self._rules if _matches(path, target)]
        return max(matching, default=(0, True))[1]


def _add(key: str, value: str, groups: list[_Group]) -> None:
    for group in groups:
        if key in ("allow", "disallow") and value:
            group.rules.append((value, key == "allow"))
        elif key == "crawl-delay" and value.replace(".", "", 1).isdigit():
            group.delay_s = float(value)


def _lines(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        key, colon, value = line.partition("#")[0].partition(":")
        if colon:
            yield key.strip().lower(), value.strip()


def _matches(rule: str, target: str) -> bool:
    """Whether ``target`` begins with what ``rule`` says; in linear time, whatever the rule."""
    first, *rest = _escaped(rule.removesuffix("$")).split("*")
    if not target.startswith(first):
        return False
    at = len(first)
    last = rest.pop() if rule.endswith("$") and rest else None
    for part in rest:
        found = target.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    if last is not None:
        return target.endswith(last) and len(target) - len(last) >= at
    return not rule.endswith("$") or at == len(target)


def _escaped(path: str) -> str:
    """Percent-escapes in one form, so that ``%7e`` and ``~`` meet."""
    known = _ESCAPED.sub(lambda found: found[0].upper(), path)
    return quote(known, safe="/%?=&*$,;:+@!'()~-._[]")

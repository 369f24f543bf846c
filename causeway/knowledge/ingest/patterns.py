"""Which paths or names of a source are taken: shell patterns, in which ``*`` matches slashes too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True, slots=True)
class Patterns:
    """What matches one of ``include`` and none of ``exclude``, whatever the case of its letters."""

    include: Sequence[str] = ("*",)
    exclude: Sequence[str] = ()

    def allow(self, name: str) -> bool:
        """Whether ``name`` is taken."""
        lowered = name.lower()

        def matches(patterns: Sequence[str]) -> bool:
            return any(fnmatchcase(lowered, pattern.lower()) for pattern in patterns)

        return matches(self.include) and not matches(self.exclude)


ALL = Patterns()

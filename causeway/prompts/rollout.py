"""Which version a label means for a conversation: always the same one, and the share that was asked for of them all."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from causeway.errors import InvalidInputError

_BUCKETS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Pointer:
    """What a label points to.

    Attributes:
        version: The version for everybody, or for the rest.
        trial: A version that ``percent`` of the conversations get instead; None when there is none.
        percent: 1 to 99 with a trial, else 0.
        follows_package: The label goes along when Causeway comes with a newer prompt; not once somebody has moved it, and
            not during a trial.
    """

    version: int
    trial: int | None = None
    percent: int = 0
    follows_package: bool = False

    def __post_init__(self) -> None:
        """Refuse a share without a trial and the reverse."""
        if (self.trial is None) != (self.percent == 0) or not 0 <= self.percent < 100:
            msg = "a trial gets 1 to 99 percent; to give it everything, move the label"
            raise InvalidInputError(msg)
        if self.trial == self.version:
            raise InvalidInputError(f"version {self.version} is no trial of itself; name another")

    def choose(self, name: str, key: str | None) -> int:
        """The version for ``key``, a conversation's or a trace's id; without one it is ``version``.

        A key that gets the trial keeps it while the percentage grows.
        """
        if self.trial is None or key is None:
            return self.version
        return self.trial if bucket(f"{name}@{self.trial}", key) < self.percent * 100 else self.version


def bucket(salt: str, key: str) -> int:
    """A number from 0 to 9,999 that is the same for the same texts, and evenly spread."""
    digest = hashlib.sha256(f"{salt}\n{key}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big") % _BUCKETS

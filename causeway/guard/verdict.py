"""What a screening found: numbers and words, never content, so that it may go into traces, logs and ledgers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Action = Literal["none", "masked", "passed", "failed_open"]
"""What was done: nothing was to be done; values were replaced; values were found and left, as the policy has it; a guard
broke and the call went on without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of one screening.

    Attributes:
        found: How many distinct values of each kind there were, such as ``{"email": 2}``.
        injection_score: From 0 to 1, of the text that looks most like an injection.
        injection_signals: The names of the features that made up the score.
        is_tainted: The score reaches the threshold: what the model says or asks for next deserves distrust.
        failed: A guard broke and the call was let through.
    """

    action: Action = "none"
    found: Mapping[str, int] = field(default_factory=dict)
    injection_score: float = 0.0
    injection_signals: tuple[str, ...] = ()
    is_tainted: bool = False
    failed: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to tell."""
        return not (self.found or self.injection_signals or self.failed)

    def attributes(self) -> dict[str, object]:
        """The verdict as attributes of a span or fields of a log line; empty when it is clean."""
        if self.is_clean:
            return {}
        return {
            "causeway.guard.action": self.action,
            "causeway.guard.found": [f"{kind}={count}" for kind, count in sorted(self.found.items())],
            "causeway.guard.injection.score": round(self.injection_score, 3),
            "causeway.guard.injection.signals": list(self.injection_signals),
            "causeway.guard.tainted": self.is_tainted,
            "causeway.guard.failed": self.failed,
        }

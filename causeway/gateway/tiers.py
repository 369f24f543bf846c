"""Tiers: what the callers of each may use, as the settings say."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

from causeway.contracts.identity import Operation, Principal
from causeway.errors import ModelNotAllowedError, OperatorError
from causeway.settings import TierSettings

_EVERYTHING = ("*",)


class Tiers:
    """The tiers of the settings, the packaged ones among them."""

    def __init__(self, tiers: Mapping[str, TierSettings]) -> None:
        self._tiers = dict(tiers)
        self._models = {name: tuple(tier.models) for name, tier in tiers.items()}

    def of(self, principal: Principal) -> TierSettings:
        """The tier that bounds ``principal``.

        Raises:
            OperatorError: The settings have no such tier (any more).
        """
        tier = self._tiers.get(principal.tier)
        if tier is None:
            raise OperatorError(
                f"'{principal.name}' is of tier '{principal.tier}', which the settings do not have; add "
                f"[tiers.{principal.tier}] or give the key one of {', '.join(sorted(self._tiers))}"
            )
        return tier

    def may_use(self, principal: Principal, operation: Operation, names: Iterable[str]) -> None:
        """Pass, or refuse.

        Args:
            principal: Whose key and tier must both reach the model.
            operation: What it is used for.
            names: Every name of the one model: its alias or route, and its own.

        Raises:
            ModelNotAllowedError: The key does not reach the operation, or key or tier do not reach the model; the
                message tells what is allowed.
            OperatorError: The settings have no such tier.
        """
        if principal.endpoints and operation not in principal.endpoints:
            raise ModelNotAllowedError(
                f"key '{principal.name}' may not be used for {operation}; it is for "
                f"{', '.join(sorted(principal.endpoints))}"
            )
        names = tuple(names)
        for owner, patterns in self._bounds(principal):
            if not _reaches(patterns, names):
                raise ModelNotAllowedError(
                    f"{owner} may not use the model '{names[0]}'; it may use {', '.join(patterns) or 'none'}"
                )

    def reaches(self, principal: Principal, names: Iterable[str]) -> bool:
        """Whether key and tier both reach the model of these names.

        Raises:
            OperatorError: The settings have no such tier.
        """
        names = tuple(names)
        return all(_reaches(patterns, names) for _, patterns in self._bounds(principal))

    def _bounds(self, principal: Principal) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """Who bounds ``principal``, and to which patterns."""
        self.of(principal)
        return (
            (f"tier '{principal.tier}'", self._models[principal.tier]),
            (f"key '{principal.name}'", principal.models or _EVERYTHING),
        )


def _reaches(patterns: tuple[str, ...], names: tuple[str, ...]) -> bool:
    return patterns == _EVERYTHING or any(map(_pattern(patterns).match, names))


@lru_cache(maxsize=1024)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """What any of the shell patterns matches, case and all; no pattern matches nothing."""
    return re.compile("|".join(map(fnmatch.translate, patterns)) or r"(?!)")

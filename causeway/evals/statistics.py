"""How sure a number is, and whether two runs differ: intervals, paired tests, power.

Fifty questions make wide intervals: 45 of 50 may be .79 to .96 of all questions (Wilson). What can be told from so few is
whether two runs over the **same** questions differ, since what is hard in a question is hard for both: McNemar's exact
test for yes and no, sign flips of the differences for shares. Questions made from one page are not independent, so both
resample pages and not questions.

Wilson 1927 (https://doi.org/10.1080/01621459.1927.10502953), McNemar 1947 (https://doi.org/10.1007/BF02295996),
Holm 1979 (https://www.jstor.org/stable/4615733), Efron and Tibshirani 1993 for the bootstrap.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import NormalDist
from typing import TYPE_CHECKING, Final, TypeAlias

from causeway.seams import deferred

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = deferred("numpy")

Floats: TypeAlias = "npt.NDArray[np.float64]"

_RESAMPLES: Final = 4_000
_SEED: Final = 20_261_127
_EXACT_CLUSTERS: Final = 14
"""Up to so many pages that differ, every sign flip is tried: 16,384 of them."""


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate and the ends between which it probably lies."""

    estimate: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Paired:
    """Two runs over the same cases.

    Attributes:
        difference: Of the means, the later run's less the earlier's, with its interval.
        fixed: Cases that were better in the later run.
        broken: Cases that were worse.
        p_worse: How probable so much worse a result would be if nothing had changed.
        p_better: The same for better.
    """

    difference: Interval
    fixed: int
    broken: int
    p_worse: float
    p_better: float


def wilson(passed: int, of: int, *, confidence: float = 0.95) -> Interval:
    """The interval of a share; of nothing it is the whole range."""
    if of == 0:
        return Interval(0.0, 0.0, 1.0)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = passed / of
    middle = (share + z * z / (2 * of)) / (1 + z * z / of)
    half = z * math.sqrt(share * (1 - share) / of + z * z / (4 * of * of)) / (1 + z * z / of)
    return Interval(
        share,
        0.0 if passed == 0 else max(0.0, middle - half),
        1.0 if passed == of else min(1.0, middle + half),
    )


def clustered_mean(values: Sequence[float], pages: Sequence[str], *, confidence: float = 0.95) -> Interval:
    """The interval of a mean by resampling whole pages; seeded, so the same values give the same interval."""
    if not values:
        return Interval(0.0, 0.0, 0.0)
    sums, counts = _by_page(values, pages)
    picks = np.random.default_rng(_SEED).integers(0, len(sums), size=(_RESAMPLES, len(sums)))
    means = sums[picks].sum(axis=1) / counts[picks].sum(axis=1)
    tail = (1 - confidence) / 2
    return Interval(
        float(np.mean(values)), float(np.quantile(means, tail)), float(np.quantile(means, 1 - tail))
    )


def mcnemar(fixed: int, broken: int) -> float:
    """The two-sided exact probability of so uneven a split if either way were as likely; 1 when nothing changed."""
    return min(1.0, 2 * _at_least(max(fixed, broken), fixed + broken))


def compare(earlier: Sequence[float], later: Sequence[float], pages: Sequence[str]) -> Paired:
    """The same cases in two runs, in the same order; see `Paired`."""
    differences = [after - before for before, after in zip(earlier, later, strict=True)]
    fixed = sum(difference > 0 for difference in differences)
    broken = sum(difference < 0 for difference in differences)
    p_worse, p_better = _sign_flips(differences, pages)
    if all(value in (0.0, 1.0) for value in (*earlier, *later)):
        # whichever is more cautious: flips respect pages, McNemar is exact when every page has one case
        p_worse = max(p_worse, _at_least(broken, fixed + broken))
        p_better = max(p_better, _at_least(fixed, fixed + broken))
    return Paired(clustered_mean(differences, pages), fixed, broken, p_worse, p_better)


def holm(p_values: Mapping[str, float], *, alpha: float = 0.05) -> set[str]:
    """Which of several tests hold when the chance that any of them errs is to be ``alpha``."""
    held: set[str] = set()
    for rank, (name, p) in enumerate(sorted(p_values.items(), key=lambda pair: pair[1])):
        if p > alpha / (len(p_values) - rank):
            break
        held.add(name)
    return held


def detectable(cases: int, *, noise: float = 0.04, alpha: float = 0.05, power: float = 0.8) -> float | None:
    """The smallest fall of a share that a run of so many cases would show with ``power``; None when even all would not do.

    Args:
        cases: How many are compared.
        noise: The share of cases that changes either way for no reason, half of it for the worse.
        alpha: What the one-sided test is held to.
        power: How often a fall of that size has to be seen.
    """
    for percent in range(1, 101):
        worse = percent / 100 + noise / 2
        if worse + noise / 2 <= 1 and _power(cases, worse, noise / 2, alpha) >= power:
            return percent / 100
    return None


def flaky(passes: Mapping[str, Sequence[bool]]) -> list[str]:
    """The cases that passed in some repeats and failed in others."""
    return sorted(name for name, each in passes.items() if len(set(each)) > 1)


def _by_page(values: Sequence[float], pages: Sequence[str]) -> tuple[Floats, Floats]:
    sums: defaultdict[str, float] = defaultdict(float)
    counts: defaultdict[str, int] = defaultdict(int)
    for value, page in zip(values, pages, strict=True):
        sums[page] += value
        counts[page] += 1
    return np.array(list(sums.values())), np.array([float(counts[page]) for page in sums])


def _sign_flips(differences: Sequence[float], pages: Sequence[str]) -> tuple[float, float]:
    """How probable a sum as low, and as high, is when each page's difference could as well have the other sign."""
    sums, _ = _by_page(differences, pages)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0, 1.0
    if len(sums) <= _EXACT_CLUSTERS:
        signs = np.array(list(product((-1.0, 1.0), repeat=len(sums))))
        seen = 0
    else:
        signs = np.random.default_rng(_SEED).choice((-1.0, 1.0), size=(_RESAMPLES, len(sums)))
        seen = 1  # the observed one counts among the sampled: without it, p could be 0
    totals, total = signs @ sums, float(sums.sum())
    slack = 1e-9
    lower = (int((totals <= total + slack).sum()) + seen) / (len(signs) + seen)
    higher = (int((totals >= total - slack).sum()) + seen) / (len(signs) + seen)
    return lower, higher


def _at_least(heads: int, tosses: int) -> float:
    """The probability of at least so many heads of a fair coin."""
    ways = sum(math.comb(tosses, k) for k in range(heads, tosses + 1))
    return ways / float(2**tosses)


def _power(cases: int, worse: float, better: float, alpha: float) -> float:
    """How often McNemar's one-sided test sees a change by which cases turn with these probabilities."""
    changed = worse + better
    seen = 0.0
    for turned in range(cases + 1):
        of_these = math.comb(cases, turned) * changed**turned * (1 - changed) ** (cases - turned)
        least = next((k for k in range(turned + 1) if _at_least(k, turned) <= alpha), None)
        if least is not None and of_these > 1e-12:
            share = worse / changed
            seen += of_these * sum(
                math.comb(turned, k) * share**k * (1 - share) ** (turned - k)
                for k in range(least, turned + 1)
            )
    return seen

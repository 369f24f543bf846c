from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.contracts.identity import Principal, Scope
from causeway.gateway.rate_limits import duration, rate_headers, rate_meters
from causeway.settings import TierSettings
from causeway.storage.shared_state import Meter, Reserved

_CALLER = Principal("key_1", "shop", frozenset({Scope.MODELS}), tier="free")


def test_only_what_the_tier_limits_is_metered() -> None:
    assert rate_meters(_CALLER, TierSettings()) == ()
    assert rate_meters(
        _CALLER, TierSettings(requests_per_minute=20, tokens_per_minute=4_000, concurrent_requests=2)
    ) == (
        Meter("window", "requests:key_1", 20, "calls", 60),
        Meter("window", "tokens:key_1", 4_000, "tokens", 60),
        Meter("level", "concurrent:key_1", 2, "calls"),
    )


def test_headers_are_those_that_openai_clients_read() -> None:
    meters = rate_meters(
        _CALLER, TierSettings(requests_per_minute=20, tokens_per_minute=4_000, concurrent_requests=2)
    )
    assert rate_headers(meters, Reserved((19, -30, 1), (60.25, 360.0, 0.0))) == {
        "x-ratelimit-limit-requests": "20",
        "x-ratelimit-remaining-requests": "19",
        "x-ratelimit-reset-requests": "1m0.25s",
        "x-ratelimit-limit-tokens": "4000",
        "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-tokens": "6m0s",
    }


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (0, "0s"),
        (0.0172, "17ms"),
        (1, "1s"),
        (8.64, "8.64s"),
        (59.9999, "1m0s"),
        (86.4, "1m26.4s"),
        (3600, "1h0m0s"),
        (90_061.5, "25h1m1.5s"),
    ],
)
def test_durations_are_written_as_go_does(seconds: float, written: str) -> None:
    assert duration(seconds) == written


@given(st.integers(0, 10**9))
def test_a_written_duration_reads_back(milliseconds: int) -> None:
    units = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
    parts = re.findall(r"([\d.]+)(ms|h|m|s)", duration(milliseconds / 1000))
    assert round(sum(float(number) * units[unit] for number, unit in parts)) == milliseconds

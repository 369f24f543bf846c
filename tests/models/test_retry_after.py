from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causeway.models.retry_after import asked_wait_s

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "2.5"}, 2.5),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "1e99"}, 86_400.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "x", "retry-after": "4"}, 4.0),
        ({"x-ratelimit-remaining-requests": "5", "x-ratelimit-reset-requests": "9s"}, None),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "120ms"}, 0.12),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "1h2m3s",
            },
            3723.0,
        ),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "?"}, None),
    ],
)
def test_each_form_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert asked_wait_s(headers, NOW) == seconds


@given(st.integers(min_value=0, max_value=86_400))
def test_a_date_is_counted_from_now(seconds: int) -> None:
    written = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert asked_wait_s({"retry-after": written}, NOW) == seconds


@given(st.text(), st.text())
def test_no_header_breaks_it(after: str, reset: str) -> None:
    headers = {"retry-after": after, "x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": reset}
    waited = asked_wait_s(headers, NOW)
    assert waited is None or 0.0 <= waited <= 86_400.0

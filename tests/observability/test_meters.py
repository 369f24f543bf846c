"""What Prometheus reads."""

from __future__ import annotations

import re
from typing import Any

from causeway.errors import UpstreamError
from causeway.observability.call_facts import CallFacts
from causeway.observability.meters import Meters
from causeway.observability.spans import Span, Spans

_LINE = re.compile(r'[a-z_:]+(\{[a-z_]+="(?:[^"\\\n]|\\.)*"(?:,[a-z_]+="(?:[^"\\\n]|\\.)*")*\})? [0-9.e+-]+')


def call(**more: Any) -> Span:
    span = Spans().start("chat m")
    known: dict[str, Any] = {
        "operation": "chat",
        "request_model": "m",
        "response_model": "m",
        "provider": "local",
        "purpose": "ask",
        "tier": "pro",
        "principal": "key_1",
        "owner": "key_1",
        "input_tokens": 20,
        "output_tokens": 5,
        "cost_micros": 2_500_000,
    }
    span.describe(CallFacts(**{**known, **more}), None)
    span.duration_s = 0.5
    return span


def test_calls_are_counted_by_the_conventions_names() -> None:
    meters = Meters()
    failed = call()
    failed.fail(UpstreamError("down"))
    meters.store([call(first_chunk_s=0.03, cache="exact"), call(attempts=3), failed])
    text = meters.text({"causeway_spans_waiting": ("gauge", "Waiting", 7)})
    labels = 'gen_ai_operation_name="chat",gen_ai_provider_name="local",gen_ai_response_model="m"'
    for line in (
        f'gen_ai_client_operation_duration_seconds_bucket{{{labels},le="0.32"}} 0',
        f'gen_ai_client_operation_duration_seconds_bucket{{{labels},le="0.64"}} 2',
        f'gen_ai_client_operation_duration_seconds_bucket{{{labels},le="+Inf"}} 2',
        f"gen_ai_client_operation_duration_seconds_sum{{{labels}}} 1",
        f'gen_ai_client_operation_duration_seconds_count{{{labels},error_type="upstream_error"}} 1',
        f'gen_ai_client_operation_time_to_first_chunk_seconds_bucket{{{labels},le="0.04"}} 1',
        f'gen_ai_client_token_usage_sum{{{labels},gen_ai_token_type="input"}} 60',
        'causeway_requests_total{product="ask",tier="pro",outcome="ok"} 2',
        'causeway_cost_dollars_total{product="ask",gen_ai_response_model="m"} 7.5',
        'causeway_cache_hits_total{cache="exact"} 1',
        "causeway_provider_attempts_total 4",
        'causeway_failures_total{span="chat",error_type="upstream_error"} 1',
        "# TYPE causeway_spans_waiting gauge",
        "causeway_spans_waiting 7",
    ):
        assert line in text.splitlines(), line


def test_every_line_is_one_that_prometheus_reads_whatever_names_are_called() -> None:
    meters = Meters()
    meters.store([call(response_model='a"b\\c\nd'), call()])
    for line in meters.text().splitlines():
        assert line.startswith("#") or _LINE.fullmatch(line), line


def test_endless_names_make_no_endless_series() -> None:
    meters = Meters()
    unreached = call(response_model="as-somebody-typed-it", provider=None)
    meters.store([unreached, *(call(response_model=f"model-{number}") for number in range(3_000))])
    text = meters.text()
    assert "as-somebody-typed-it" not in text
    assert 'gen_ai_response_model="other"' in text
    assert len(set(re.findall(r'gen_ai_response_model="([^"]+)"', text))) < 2_200

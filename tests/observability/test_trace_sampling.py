"""A share of traces is kept, whole, and every failure."""

from __future__ import annotations

from typing import Any

import pytest

from causeway.observability import genai_names as names
from causeway.observability.spans import Span, Spans
from causeway.observability.trace_policy import TracePolicy, share, without_content
from causeway.observability.trace_sampling import SampledSpans
from causeway.settings import TelemetrySettings
from causeway.testing.clock import FrozenClock
from causeway.testing.spans import CollectedSpans


def sampling(clock: FrozenClock, **settings: Any) -> tuple[CollectedSpans, SampledSpans]:
    kept = CollectedSpans()
    policy = TracePolicy(TelemetrySettings.model_validate(settings))
    return kept, SampledSpans(kept, policy, now=clock.monotonic)


def trace(recorder: Spans, place: float, *, team: str | None = None) -> tuple[Span, Span]:
    """A root and a step of it, whose id stands at ``place`` between 0 and 1."""
    trace_id = "1" * 24 + f"{int(place * 16**8):08x}"
    root = recorder.start("ask")
    root.trace_id = trace_id
    step = recorder.start("chat", parent=f"00-{trace_id}-{root.span_id}-01", attributes={names.TEAM: team})
    return root, step


def test_all_spans_of_a_trace_share_its_fate(clock: FrozenClock) -> None:
    recorder = Spans()
    kept, sampled = sampling(clock, sample=0.5)
    for place in (0.1, 0.4, 0.6, 0.9):
        root, step = trace(recorder, place)
        sampled.store([step])
        sampled.store([root])
    assert {share(span.trace_id) < 0.5 for span in kept.finished} == {True}
    assert (len(kept.finished), sampled.left_out) == (4, 4)


def test_a_trace_that_fails_at_its_very_end_is_kept_whole(clock: FrozenClock) -> None:
    kept, sampled = sampling(clock, sample=0.0)
    root, step = trace(Spans(), 0.9)
    sampled.store([step])
    assert kept.finished == []
    root.fail(TimeoutError())
    sampled.store([root])
    assert {span.name for span in kept.finished} == {"ask", "chat"}
    late, _ = trace(Spans(), 0.9)
    sampled.store([late])
    assert len(kept.finished) == 3


def test_a_step_that_fails_late_is_kept_although_its_trace_was_not(clock: FrozenClock) -> None:
    kept, sampled = sampling(clock, sample=0.0)
    root, step = trace(Spans(), 0.9)
    sampled.store([root])
    step.fail(TimeoutError())
    sampled.store([step])
    assert [span.name for span in kept.finished] == ["chat"]


def test_a_project_has_a_share_of_its_own(clock: FrozenClock) -> None:
    kept, sampled = sampling(clock, sample=0.0, projects={"team_1": {"sample": 1.0}})
    for place, team in ((0.5, None), (0.6, "team_1")):
        sampled.store(list(reversed(trace(Spans(), place, team=team))))
    assert [span.attributes.get(names.TEAM) for span in kept.finished] == ["team_1", None]
    assert sampled.left_out == 2


def test_what_waits_too_long_for_its_root_is_decided_without_it(clock: FrozenClock) -> None:
    kept, sampled = sampling(clock, sample=0.5, projects={"team_1": {"sample": 0.0}})
    _, half = trace(Spans(), 0.3)
    _, other = trace(Spans(), 0.8)
    sampled.store([half, other])
    assert kept.finished == []
    clock.advance(301)
    sampled.store([])
    assert kept.finished == [half]
    sampled.close()


def test_without_content_the_passages_names_stay_and_their_words_go() -> None:
    found = '[{"id": "chk_1", "document_id": "doc_1", "text": "secret", "title": "secret", "score": 0.5}]'
    bare = without_content({names.QUESTION: "secret", names.RETRIEVAL_DOCUMENTS: found, names.OWNER: "usr_1"})
    assert bare == {
        names.OWNER: "usr_1",
        names.RETRIEVAL_DOCUMENTS: '[{"id":"chk_1","document_id":"doc_1","score":0.5}]',
    }


@pytest.mark.parametrize(("mask", "expected"), [("imported", "ann"), ("all", "[N]"), ("off", "ann")])
def test_own_content_is_masked_where_the_settings_say_so(mask: str, expected: str) -> None:
    settings = TelemetrySettings.model_validate({"mask": mask})
    policy = TracePolicy(settings, mask=lambda text: text.replace("ann", "[N]"))
    messages = '[{"role":"user","content":"ann","score":0.25}]'
    kept = policy.kept({names.QUESTION: "ann", names.INPUT_MESSAGES: messages}, is_own=True)
    assert kept[names.QUESTION] == expected
    assert kept[names.INPUT_MESSAGES] == messages.replace("ann", expected)

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from causeway.contracts.identity import COMMAND_LINE
from causeway.errors import InvalidInputError, NotFoundError, RefusedAddressError, UpstreamError
from causeway.gateway import audit
from causeway.gateway.audit import Audit
from causeway.guard.guarded_post import guarded_post
from causeway.observability.alert_channels import Channel, channels_of
from causeway.observability.alert_rules import METRICS, Notice, Terms, spelled, spelled_time
from causeway.observability.alerts import MOST_ATTEMPTS, Alerts
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.observability.stats_report import Totals
from causeway.settings import AlertSettings
from causeway.storage.database import Database
from causeway.testing.clock import FrozenClock
from tests.observability.alert_servers import Collected, mail_server, web_server
from tests.observability.ledger_lines import a_line, add
from tests.observability.test_stats import nothing

ERRORS = Terms(
    name="Errors", metric="error_rate", threshold=0.2, channels=("ops",), min_count=4, cooldown_s=3_600
)


def opened(database: Database, clock: FrozenClock, **channels: Channel) -> Alerts:
    stats = Stats(database, Spans(), flush=nothing)
    return Alerts(database, stats, channels=lambda: channels, clock=clock, record=audit.record)


async def calls(database: Database, clock: FrozenClock, *outcomes: str, first: int = 0) -> None:
    at = clock.now() - timedelta(seconds=1)
    await add(database, [a_line(first + place, at, outcome=each) for place, each in enumerate(outcomes)])


async def run(alerts: Alerts, clock: FrozenClock, seconds: float = 31) -> None:
    clock.advance(seconds)
    await alerts.check()
    await alerts.deliver()


async def test_an_alert_fires_once_and_is_resolved(database: Database, clock: FrozenClock) -> None:
    ops = Collected()
    alerts = opened(database, clock, ops=ops)
    rule = await alerts.create(ERRORS, by=COMMAND_LINE)
    await calls(database, clock, "ok", "ok", "upstream_error")
    await run(alerts, clock)
    assert ops.told == []  # three are too few
    await calls(database, clock, "deadline", first=10)
    for _ in range(3):
        await run(alerts, clock)
    assert [(each.event, each.value, each.count) for each in ops.told] == [("fired", 0.5, 4)]
    assert (await alerts.rule(rule.id)).firing_since is not None
    await run(alerts, clock, 1_000)
    assert [each.event for each in ops.told] == ["fired", "resolved"]
    (firing,) = await alerts.firings()
    assert firing.resolved_at == clock.now()
    assert {(each.event, each.state, each.attempts) for each in firing.deliveries} == {
        ("fired", "sent", 1),
        ("resolved", "sent", 1),
    }
    assert (await alerts.rule(rule.id)).firing_since is None


async def test_what_fires_again_within_the_cool_down_is_kept_and_not_told(
    database: Database, clock: FrozenClock
) -> None:
    ops = Collected()
    alerts = opened(database, clock, ops=ops)
    await alerts.create(ERRORS, by=COMMAND_LINE)
    await calls(database, clock, *["deadline"] * 4)
    await run(alerts, clock)
    await run(alerts, clock, 1_000)
    await calls(database, clock, *["deadline"] * 4, first=10)
    await run(alerts, clock)
    assert [each.event for each in ops.told] == ["fired", "resolved"]
    assert [each.is_told for each in await alerts.firings()] == [False, True]
    await run(alerts, clock, 1_000)
    assert [each.event for each in ops.told] == ["fired", "resolved"]


async def test_what_lasts_beyond_the_cool_down_is_told(database: Database, clock: FrozenClock) -> None:
    ops = Collected()
    alerts = opened(database, clock, ops=ops)
    await alerts.create(replace(ERRORS, window_s=7_200), by=COMMAND_LINE)
    await calls(database, clock, *["deadline"] * 4)
    await run(alerts, clock)
    await calls(database, clock, *["ok"] * 100, first=10)
    await run(alerts, clock)
    await calls(database, clock, *["deadline"] * 100, first=200)
    await run(alerts, clock)
    assert [each.event for each in ops.told] == ["fired", "resolved"]
    await run(alerts, clock, 3_600)
    assert [each.event for each in ops.told] == ["fired", "resolved", "fired"]


async def test_several_processes_tell_it_once(database: Database, clock: FrozenClock) -> None:
    ops = Collected()
    processes = [opened(database, clock, ops=ops) for _ in range(4)]
    await processes[0].create(ERRORS, by=COMMAND_LINE)
    await calls(database, clock, *["deadline"] * 4)
    clock.advance(31)
    async with asyncio.TaskGroup() as group:
        for each in processes:
            group.create_task(each.check())
    async with asyncio.TaskGroup() as group:
        for each in processes:
            group.create_task(each.deliver())
    assert len(ops.told) == 1


async def test_a_channel_that_fails_is_tried_again_until_it_is_given_up(
    database: Database, clock: FrozenClock
) -> None:
    ops, broken = Collected(failures=2), Collected(failures=1_000)
    alerts = opened(database, clock, ops=ops, broken=broken)
    await alerts.create(replace(ERRORS, channels=("ops", "broken"), window_s=600_000), by=COMMAND_LINE)
    await calls(database, clock, *["deadline"] * 4)
    for _ in range(MOST_ATTEMPTS + 1):
        await run(alerts, clock, 5_000)
    (told,) = ops.told
    (firing,) = await alerts.firings()
    by_channel = {each.channel: each for each in firing.deliveries}
    assert (by_channel["ops"].state, by_channel["ops"].attempts) == ("sent", 3)
    assert (by_channel["broken"].state, by_channel["broken"].attempts) == ("failed", MOST_ATTEMPTS)
    assert by_channel["broken"].problem == "the channel is down"
    assert told.id


async def test_only_what_the_filters_leave_is_watched(database: Database, clock: FrozenClock) -> None:
    ops = Collected()
    alerts = opened(database, clock, ops=ops)
    await alerts.create(replace(ERRORS, filters={"model": "large"}), by=COMMAND_LINE)
    await calls(database, clock, *["deadline"] * 4)
    await run(alerts, clock)
    assert ops.told == []


async def test_rules_are_changed_turned_off_and_deleted(database: Database, clock: FrozenClock) -> None:
    ops = Collected()
    alerts = opened(database, clock, ops=ops)
    rule = await alerts.create(ERRORS, by=COMMAND_LINE)
    with pytest.raises(InvalidInputError, match="called 'Errors' already"):
        await alerts.create(ERRORS, by=COMMAND_LINE)
    with pytest.raises(InvalidInputError, match="no channel 'pager'"):
        await alerts.create(replace(ERRORS, name="Other", channels=("pager",)), by=COMMAND_LINE)
    changed = await alerts.change(rule.id, replace(ERRORS, is_enabled=False, threshold=0.1), by=COMMAND_LINE)
    assert changed.terms.threshold == 0.1
    await calls(database, clock, *["deadline"] * 4)
    await run(alerts, clock)
    assert ops.told == []
    assert await alerts.test(rule.id) == {"ops": None}
    assert ops.told[0].sentence() == "This is a test: nothing is wrong. The channel works."
    await alerts.change(rule.id, changed.terms, by=COMMAND_LINE)
    await alerts.delete(rule.id, by=COMMAND_LINE)
    assert await alerts.rules() == []
    for missing in (
        alerts.delete(rule.id, by=COMMAND_LINE),
        alerts.rule(rule.id),
        alerts.change(rule.id, ERRORS, by=COMMAND_LINE),
    ):
        with pytest.raises(NotFoundError):
            await missing
    logged = await Audit(database).list(subject=rule.id)
    assert [each.action for each in logged] == ["alert.delete", "alert.update", "alert.create"]
    assert (logged[1].before["threshold"], logged[1].after["threshold"]) == (0.2, 0.1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"metric": "happiness"},
        {"threshold": 5.0},
        {"threshold": float("nan")},
        {"window_s": 5},
        {"min_count": -1},
        {"cooldown_s": -1},
        {"filters": {"colour": "red"}},
    ],
    ids=str,
)
def test_what_cannot_be_watched_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError):
        replace(ERRORS, **wrong)


def test_every_metric_is_a_number_of_the_totals() -> None:
    totals = Totals(requests=10, errors=5, asked=4, refusals=1, thumbs_up=1, thumbs_down=3)
    told = {name: (metric.value(totals), metric.count(totals)) for name, metric in METRICS.items()}
    assert told["error_rate"] == (0.5, 10)
    assert told["refusal_rate"] == (0.25, 4)
    assert told["thumbs_down_rate"] == (0.75, 4)
    assert told["latency_p95_ms"] == (None, 10)
    below = replace(ERRORS, metric="requests", is_above=False, threshold=1, min_count=0)
    assert below.is_broken(0, 0)
    assert not below.is_broken(None, 0)


def test_values_are_spelled_for_people() -> None:
    assert [
        spelled(0.123, "share"),
        spelled(12_000, "ms"),
        spelled(0.0012, "usd"),
        spelled(1_500, "count"),
    ] == [
        "12.3%",
        "12.0 s",
        "$0.001200",
        "1,500",
    ]
    assert [spelled_time(900), spelled_time(3_600), spelled_time(86_400), spelled_time(90)] == [
        "15 minutes",
        "1 hour",
        "1 day",
        "90 seconds",
    ]


def a_notice(clock: FrozenClock, **changed: Any) -> Notice:
    values: dict[str, Any] = {
        "id": "ntc_1",
        "event": "fired",
        "rule_id": "alr_1",
        "name": "Errors <of> the\nshop & co",
        "metric": "error_rate",
        "is_above": True,
        "threshold": 0.05,
        "window_s": 900,
        "value": 0.12,
        "count": 1_200,
        "fired_at": clock.now(),
        "at": clock.now(),
    }
    return Notice(**{**values, **changed})


async def test_a_webhook_is_signed_and_its_receiver_can_tell(clock: FrozenClock) -> None:
    async with web_server() as server:
        channels = {
            "hook": {"kind": "webhook", "url": server.url, "secret": "s3", "allow_networks": ["127.0.0.0/8"]}
        }
        settings = AlertSettings.model_validate(
            {"channels": channels, "dashboard_url": "https://ai.example.com/dashboard"}
        )
        hook = channels_of(settings, post=guarded_post, clock=clock)["hook"]
        await hook.tell(a_notice(clock))
        headers, body = server.requests[0]
        told = json.loads(body)
        assert (told["event"], told["value"], told["url"]) == (
            "fired",
            0.12,
            "https://ai.example.com/dashboard",
        )
        assert told["text"].endswith("12.0% of 1,200; the alert is for above 5.0%.")
        time, given = (part.partition("=")[2] for part in headers["x-causeway-signature"].split(","))
        assert int(time) == int(clock.now().timestamp())
        assert given == hmac.new(b"s3", f"{time}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["x-causeway-delivery"] == "ntc_1"
        for status in (302, 500):
            server.status = status
            with pytest.raises(UpstreamError, match=str(status)):
                await hook.tell(a_notice(clock))
        assert len(server.requests) == 3  # no redirect was followed


@pytest.mark.parametrize("kind", ["webhook", "slack"])
async def test_a_channel_does_not_reach_into_the_network(clock: FrozenClock, kind: str) -> None:
    async with web_server() as server:
        settings = AlertSettings.model_validate({"channels": {"hook": {"kind": kind, "url": server.url}}})
        with pytest.raises(RefusedAddressError):
            await channels_of(settings, post=guarded_post, clock=clock)["hook"].tell(a_notice(clock))
        assert server.requests == []


async def test_slack_is_told_in_its_own_markup(clock: FrozenClock) -> None:
    async with web_server() as server:
        channels = {"ops": {"kind": "slack", "url": server.url, "allow_networks": ["127.0.0.0/8"]}}
        settings = AlertSettings.model_validate({"channels": channels})
        await channels_of(settings, post=guarded_post, clock=clock)["ops"].tell(
            a_notice(clock, event="resolved")
        )
        text = json.loads(server.requests[0][1])["text"]
        assert text.startswith("*[resolved] Errors &lt;of&gt; the\nshop &amp; co*\nIt has passed.")


async def test_a_mail_is_sent_and_a_server_that_refuses_is_told_of(clock: FrozenClock) -> None:
    async with mail_server() as server:
        settings = AlertSettings.model_validate(
            {
                "channels": {"oncall": {"kind": "email", "to": ["ann@example.com", "ben@example.com"]}},
                "smtp_host": "127.0.0.1",
                "smtp_port": server.port,
                "smtp_security": "none",
                "sender": "causeway@example.com",
            }
        )
        mail = channels_of(settings, post=guarded_post, clock=clock)["oncall"]
        await mail.tell(a_notice(clock))
        (sent,) = server.mails
        assert "Subject: Causeway [firing] Errors <of> the shop & co\r\n" in sent
        assert "To: ann@example.com, ben@example.com" in sent
        assert "12.0% of 1,200" in sent
        server.status = 451
        with pytest.raises(UpstreamError, match=r"127\.0\.0\.1"):
            await mail.tell(a_notice(clock))


@pytest.mark.parametrize(
    "wrong",
    [
        {"channels": {"a": {"kind": "webhook"}}},
        {"channels": {"a": {"kind": "email"}}},
        {"channels": {"a": {"kind": "email", "to": ["x@example.com"]}}},
        {"channels": {"a": {"kind": "slack", "url": "https://x", "allow_networks": ["everything"]}}},
    ],
    ids=str,
)
def test_channels_that_cannot_work_are_refused_at_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"channel|network|everything"):
        AlertSettings.model_validate(wrong)

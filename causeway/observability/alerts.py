"""Alerts: rules are held against the dashboard's numbers, and what fires is told once, on every channel, with retries.

Any number of processes may work on them. A rule is claimed with a lock on its row, and so is a notice, whose claim is a
lease: who dies while sending leaves it to be sent again, under the same id. A rule has at most one open firing, which
a unique index sees to.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Row, and_, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from causeway.contracts.clock import Clock
from causeway.contracts.identity import Principal
from causeway.errors import CausewayError, InvalidInputError, NotFoundError
from causeway.observability.alert_channels import Channel
from causeway.observability.alert_rules import (
    METRICS,
    MOST_RULES,
    Delivery,
    Event,
    Firing,
    Notice,
    Rule,
    Terms,
)
from causeway.observability.stats import Stats
from causeway.observability.stats_report import StatsQuery
from causeway.storage.background import rest
from causeway.storage.database import Database
from causeway.storage.recorder import Recorder
from causeway.storage.stats_schema import alert_firings, alert_notices, alert_rules

log = logging.getLogger(__name__)

CHECK_EVERY: Final = timedelta(seconds=30)
_ROUND_S: Final = 5.0
_LEASE: Final = timedelta(minutes=2)
_FIRST_RETRY: Final = timedelta(seconds=30)
MOST_ATTEMPTS: Final = 8
"""The last of them about an hour after the first."""
_KEPT: Final = timedelta(days=90)
_SEND_WITHIN_S: Final = 60.0


class Alerts:
    """Keeps rules, holds them against the numbers, and tells what fires.

    Args:
        database: Where rules and firings are.
        stats: The numbers.
        channels: The channels of the settings in force, by name.
        clock: Tells the time.
        record: Writes a change of a rule down in the audit log.
    """

    def __init__(
        self,
        database: Database,
        stats: Stats,
        *,
        channels: Callable[[], Mapping[str, Channel]],
        clock: Clock,
        record: Recorder,
    ) -> None:
        self._database = database
        self._stats = stats
        self._channels = channels
        self._clock = clock
        self._record = record

    @property
    def channels(self) -> tuple[str, ...]:
        """The names of the channels that there are."""
        return tuple(sorted(self._channels()))

    async def tend(self, *, stop: asyncio.Event) -> None:
        """Check and tell, every few seconds, until ``stop``."""
        while not stop.is_set():
            try:
                await self.check()
                await self.deliver()
            except CausewayError as exc:
                log.warning("alerts wait", extra={"reason": exc.message})
            await rest(stop, _ROUND_S)

    # --- rules -------------------------------------------------------------------------------------------

    async def rules(self) -> list[Rule]:
        """Every rule, by name."""
        async with self._database.connect() as connection:
            return [_rule(row) for row in await connection.execute(_RULES.order_by(alert_rules.c.name))]

    async def rule(self, rule_id: str) -> Rule:
        """One rule.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.connect() as connection:
            row = (await connection.execute(_RULES.where(alert_rules.c.id == rule_id))).one_or_none()
        if row is None:
            raise _none_such(rule_id)
        return _rule(row)

    async def find(self, alert: str) -> Rule:
        """The rule with this name or id.

        Raises:
            NotFoundError: There is none.
        """
        named = or_(alert_rules.c.id == alert, alert_rules.c.name == alert)
        first = _RULES.where(named).order_by((alert_rules.c.id == alert).desc()).limit(1)
        async with self._database.connect() as connection:
            row = (await connection.execute(first)).one_or_none()
        if row is None:
            raise NotFoundError(f"no alert '{alert}'; causeway alerts list shows them")
        return _rule(row)

    async def create(self, terms: Terms, *, by: Principal) -> Rule:
        """A new rule.

        Raises:
            InvalidInputError: Its name is taken, a channel is unknown, or there are too many rules.
        """
        self._know(terms)
        rule_id = f"alr_{uuid4().hex}"
        async with self._naming(terms), self._database.begin() as connection:
            count = await connection.scalar(select(func.count()).select_from(alert_rules))
            if (count or 0) >= MOST_RULES:
                raise InvalidInputError(f"there are {MOST_RULES} alerts; delete one first")
            told = _columns(terms)
            await connection.execute(insert(alert_rules).values(id=rule_id, created_by=by.id, **told))
            await self._record(connection, by, "alert.create", rule_id, after=told)
        return await self.rule(rule_id)

    async def change(self, rule_id: str, terms: Terms, *, by: Principal) -> Rule:
        """Say anew what a rule says; what it fires for is judged at the next check.

        Raises:
            NotFoundError: There is none.
            InvalidInputError: As of ``create``.
        """
        self._know(terms)
        changed = update(alert_rules).where(alert_rules.c.id == rule_id)
        async with self._naming(terms), self._database.begin() as connection:
            before, after = await _known(connection, rule_id), _columns(terms)
            await connection.execute(changed.values(checked_at=None, **after))
            if before != after:
                await self._record(connection, by, "alert.update", rule_id, before=before, after=after)
        return await self.rule(rule_id)

    async def delete(self, rule_id: str, *, by: Principal) -> None:
        """Delete a rule and its firings.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.begin() as connection:
            before = await _known(connection, rule_id)
            await connection.execute(delete(alert_rules).where(alert_rules.c.id == rule_id))
            await self._record(connection, by, "alert.delete", rule_id, before=before)

    async def firings(self, *, rule_id: str | None = None, limit: int = 50) -> list[Firing]:
        """What fired, newest first, and how far its notices have come."""
        newest = (
            select(alert_firings, alert_rules.c.name, alert_rules.c.metric)
            .join(alert_rules, alert_rules.c.id == alert_firings.c.rule_id)
            .order_by(alert_firings.c.fired_at.desc(), alert_firings.c.id)
            .limit(limit)
        )
        if rule_id is not None:
            newest = newest.where(alert_firings.c.rule_id == rule_id)
        async with self._database.connect() as connection:
            rows = (await connection.execute(newest)).all()
            told = select(alert_notices).where(alert_notices.c.firing_id.in_([row.id for row in rows]))
            notices = (
                await connection.execute(told.order_by(alert_notices.c.event, alert_notices.c.channel))
            ).all()
        by_firing: defaultdict[str, list[Delivery]] = defaultdict(list)
        for each in notices:
            by_firing[each.firing_id].append(
                Delivery(
                    channel=each.channel,
                    event=each.event,
                    state=each.state,
                    attempts=each.attempts,
                    problem=each.problem,
                    sent_at=each.sent_at,
                )
            )
        return [Firing(**row._mapping, deliveries=tuple(by_firing[row.id])) for row in rows]

    async def test(self, rule_id: str) -> dict[str, str | None]:
        """Tell every channel of a rule that this is a test; by channel what went wrong, or None."""
        rule, now = await self.rule(rule_id), self._clock.now()
        value, count = rule.value or 0.0, rule.count or 0
        notice = _notice(rule, f"ntc_{uuid4().hex}", "test", value=value, count=count, fired_at=now, at=now)
        told: dict[str, str | None] = {}
        for name in rule.terms.channels:
            told[name] = await self._tell(name, notice)
        return told

    # --- checking ----------------------------------------------------------------------------------------

    async def check(self) -> int:
        """Hold every rule that is due against the numbers; how many were."""
        checked = 0
        while (row := await self._claim_rule()) is not None:
            rule = _rule(row)
            terms, now = rule.terms, self._clock.now()
            query = StatsQuery(
                since=now - timedelta(seconds=terms.window_s),
                until=now,
                team=terms.filters.get("team"),
                owner=terms.filters.get("owner"),
                product=terms.filters.get("product"),
                model=terms.filters.get("model"),
                prompt=terms.filters.get("prompt"),
                tier=terms.filters.get("tier"),
            )
            totals = await self._stats.totals(query)
            metric = METRICS[terms.metric]
            await self._judge(rule, metric.value(totals), metric.count(totals), now)
            checked += 1
        return checked

    async def _claim_rule(self) -> Row[Any] | None:
        """The rule that was checked longest ago and is due; no other process gets it meanwhile."""
        now = self._clock.now()
        due = (
            select(alert_rules.c.id)
            .where(
                alert_rules.c.is_enabled,
                or_(alert_rules.c.checked_at.is_(None), alert_rules.c.checked_at <= now - CHECK_EVERY),
            )
            .order_by(alert_rules.c.checked_at.asc().nulls_first(), alert_rules.c.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        async with self._database.begin() as connection:
            rule_id = await connection.scalar(due)
            if rule_id is None:
                return None
            mine = alert_rules.c.id == rule_id
            await connection.execute(update(alert_rules).where(mine).values(checked_at=now))
            return (await connection.execute(_RULES.where(mine))).one()

    async def _judge(self, rule: Rule, value: float | None, count: int, now: datetime) -> None:
        """Begin or end a firing."""
        terms = rule.terms
        async with self._database.begin() as connection:
            mine = alert_rules.c.id == rule.id
            kept = await connection.scalar(select(alert_rules.c.id).where(mine).with_for_update())
            if kept is None:
                return
            await connection.execute(update(alert_rules).where(mine).values(value=value, count=count))
            of_rule = alert_firings.c.rule_id == rule.id
            opened = select(alert_firings).where(of_rule, alert_firings.c.resolved_at.is_(None))
            firing = (await connection.execute(opened)).one_or_none()
            is_broken = terms.is_broken(value, count)
            if is_broken and firing is None:
                await self._fire(connection, rule, value or 0.0, count, now)
            elif is_broken and firing is not None and not firing.is_told:
                await self._tell_when_cool(connection, rule, firing, now)
            elif not is_broken and firing is not None:
                ended = update(alert_firings).where(alert_firings.c.id == firing.id)
                await connection.execute(ended.values(resolved_at=now))
                if firing.is_told:
                    await _queue(connection, terms, firing.id, "resolved", now)

    async def _fire(
        self, connection: AsyncConnection, rule: Rule, value: float, count: int, now: datetime
    ) -> None:
        is_told = await _is_cool(connection, rule, now)
        firing_id = f"fir_{uuid4().hex}"
        await connection.execute(
            insert(alert_firings).values(
                id=firing_id,
                rule_id=rule.id,
                value=value,
                count=count,
                threshold=rule.terms.threshold,
                fired_at=now,
                is_told=is_told,
            )
        )
        if is_told:
            await _queue(connection, rule.terms, firing_id, "fired", now)
        log.warning(
            "an alert fires", extra={"alert": rule.terms.name, "metric": rule.terms.metric, "value": value}
        )

    async def _tell_when_cool(
        self, connection: AsyncConnection, rule: Rule, firing: Row[Any], now: datetime
    ) -> None:
        """What began within the cool-down and lasts beyond it is told after all."""
        if await _is_cool(connection, rule, now):
            told = update(alert_firings).where(alert_firings.c.id == firing.id)
            await connection.execute(told.values(is_told=True))
            await _queue(connection, rule.terms, firing.id, "fired", now)

    # --- telling -----------------------------------------------------------------------------------------

    async def deliver(self) -> int:
        """Send every notice that is due; how many were tried. Forgets firings that ended long ago."""
        tried = 0
        while (claimed := await self._claim_notice()) is not None:
            notice, channel, attempts = claimed
            problem = await self._tell(channel, notice)
            await self._note(notice.id, problem, attempts)
            tried += 1
        old = alert_firings.c.resolved_at < self._clock.now() - _KEPT
        async with self._database.begin() as connection:
            await connection.execute(delete(alert_firings).where(old))
        return tried

    async def _claim_notice(self) -> tuple[Notice, str, int] | None:
        """The next notice, its channel and its attempts, this one included; others leave it alone for a while."""
        now = self._clock.now()
        due = (
            select(
                alert_notices, alert_firings.c.fired_at, alert_firings.c.resolved_at, alert_firings.c.value
            )
            .add_columns(alert_firings.c.count, alert_firings.c.rule_id)
            .join(alert_firings, alert_firings.c.id == alert_notices.c.firing_id)
            .where(alert_notices.c.state == "waiting", alert_notices.c.next_at <= now)
            .order_by(alert_notices.c.next_at, alert_notices.c.event)
            .limit(1)
            .with_for_update(of=alert_notices, skip_locked=True)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(due)).one_or_none()
            if row is None:
                return None
            attempts = row.attempts + 1
            mine = update(alert_notices).where(alert_notices.c.id == row.id)
            await connection.execute(mine.values(next_at=now + _LEASE, attempts=attempts))
            rule = _rule((await connection.execute(_RULES.where(alert_rules.c.id == row.rule_id))).one())
        at = row.resolved_at if row.event == "resolved" and row.resolved_at else row.fired_at
        notice = _notice(
            rule,
            row.id,
            row.event,
            value=row.value,
            count=row._mapping["count"],
            fired_at=row.fired_at,
            at=at,
        )
        return notice, row.channel, attempts

    async def _tell(self, name: str, notice: Notice) -> str | None:
        """What went wrong, or None."""
        channel = self._channels().get(name)
        if channel is None:
            return f"the settings have no channel '{name}'"
        try:
            async with asyncio.timeout(_SEND_WITHIN_S):
                await channel.tell(notice)
        except CausewayError as exc:
            return exc.message
        except TimeoutError:
            return f"it was not taken within {_SEND_WITHIN_S:.0f} s"
        return None

    async def _note(self, notice_id: str, problem: str | None, attempts: int) -> None:
        now = self._clock.now()
        if problem is None:
            values: dict[str, object] = {"state": "sent", "sent_at": now, "problem": None}
        elif attempts >= MOST_ATTEMPTS:
            values = {"state": "failed", "problem": problem}
            log.error("an alert could not be told", extra={"notice": notice_id, "reason": problem})
        else:
            values = {"problem": problem, "next_at": now + _FIRST_RETRY * 2 ** (attempts - 1)}
        async with self._database.begin() as connection:
            mine = and_(alert_notices.c.id == notice_id, alert_notices.c.state == "waiting")
            await connection.execute(update(alert_notices).where(mine).values(**values))

    # --- what rules may say ------------------------------------------------------------------------------

    def _know(self, terms: Terms) -> None:
        unknown = sorted(set(terms.channels) - set(self._channels()))
        if unknown:
            raise InvalidInputError(
                f"the settings have no channel '{unknown[0]}'; add alerts.channels.{unknown[0]}"
            )

    def _naming(self, terms: Terms) -> _Naming:
        return _Naming(terms.name)


class _Naming:
    """Turns the unique index's word for a name that is taken into ours."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def __aenter__(self) -> None:
        """Nothing yet."""

    async def __aexit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, IntegrityError):
            raise InvalidInputError(f"an alert is called '{self._name}' already") from error


_SINCE: Final = (
    select(alert_firings.c.fired_at)
    .where(alert_firings.c.rule_id == alert_rules.c.id, alert_firings.c.resolved_at.is_(None))
    .scalar_subquery()
    .label("firing_since")
)
_RULES: Final = select(alert_rules, _SINCE)
_TERMS: Final = (
    "name",
    "metric",
    "threshold",
    "is_above",
    "window_s",
    "min_count",
    "cooldown_s",
    "filters",
    "is_enabled",
)


def _columns(terms: Terms) -> dict[str, object]:
    return {name: getattr(terms, name) for name in _TERMS} | {
        "channels": list(terms.channels),
        "filters": dict(terms.filters),
    }


async def _known(connection: AsyncConnection, rule_id: str) -> dict[str, object]:
    """What a rule says, which nobody changes until the transaction ends."""
    row = (
        await connection.execute(_RULES.where(alert_rules.c.id == rule_id).with_for_update())
    ).one_or_none()
    if row is None:
        raise _none_such(rule_id)
    return _columns(_rule(row).terms)


def _none_such(rule_id: str) -> NotFoundError:
    return NotFoundError(f"no alert '{rule_id}'; GET /api/alerts lists them")


def _rule(row: Row[Any]) -> Rule:
    values = row._mapping
    terms = Terms(channels=tuple(values["channels"]), **{name: values[name] for name in _TERMS})
    kept = ("id", "created_by", "created_at", "checked_at", "value", "count", "firing_since")
    return Rule(terms=terms, **{name: values[name] for name in kept})


def _notice(
    rule: Rule, notice_id: str, event: Event, *, value: float, count: int, fired_at: datetime, at: datetime
) -> Notice:
    terms = rule.terms
    return Notice(
        id=notice_id,
        event=event,
        rule_id=rule.id,
        name=terms.name,
        metric=terms.metric,
        is_above=terms.is_above,
        threshold=terms.threshold,
        window_s=terms.window_s,
        value=value,
        count=count,
        fired_at=fired_at,
        at=at,
    )


async def _is_cool(connection: AsyncConnection, rule: Rule, now: datetime) -> bool:
    """Whether the last notice that the rule fires is long enough ago."""
    last = select(func.max(alert_firings.c.fired_at)).where(
        alert_firings.c.rule_id == rule.id, alert_firings.c.is_told
    )
    at: datetime | None = await connection.scalar(last)
    return at is None or at <= now - timedelta(seconds=rule.terms.cooldown_s)


async def _queue(
    connection: AsyncConnection, terms: Terms, firing_id: str, event: Event, now: datetime
) -> None:
    rows = [
        {
            "id": f"ntc_{uuid4().hex}",
            "firing_id": firing_id,
            "channel": channel,
            "event": event,
            "state": "waiting",
            "next_at": now,
        }
        for channel in terms.channels
    ]
    if rows:
        await connection.execute(insert(alert_notices), rows)

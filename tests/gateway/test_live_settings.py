from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from causeway.contracts.identity import Principal, Scope
from causeway.errors import InvalidInputError, NotFoundError, SettingsError
from causeway.gateway.audit import Audit
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.overrides import Overrides, WrongFieldsError
from causeway.settings import Settings, Source
from causeway.storage.database import Database
from causeway.storage.notices import Notices

ADMIN = Principal(id="key_admin", name="admin", scopes=frozenset({Scope.ADMIN}))
Eventually = Callable[[Callable[[], Awaitable[bool]]], Awaitable[None]]


@dataclass(eq=False)
class Generation:
    """Keeps what was asked of it; its calls end when the test says so."""

    settings: Settings
    before: Generation | None
    calls_ended: asyncio.Event = field(default_factory=asyncio.Event)
    is_closed: bool = False

    async def retire(self) -> None:
        await self.calls_ended.wait()

    async def close(self) -> None:
        self.is_closed = True


class Process:
    """One process's settings: a route may only name models of ``known``."""

    def __init__(
        self, database: Database, file: Path, *, look_every_s: float = 0.01, **environment: str
    ) -> None:
        self.notices = Notices(database)
        self.source = Source({"CAUSEWAY_CONFIG": str(file), **environment})
        self.generations: list[Generation] = []
        self.live = LiveSettings(
            self.source.read()[0],
            source=self.source,
            overrides=Overrides(database),
            build=self.build,
            notices=self.notices,
            look_every_s=look_every_s,
        )

    def build(self, settings: Settings, before: Generation | None) -> Generation:
        for name, route in settings.routes.items():
            if "nowhere" in route.models:
                raise SettingsError(f"routes.{name} names 'nowhere', which is no model")
        generation = Generation(settings, before)
        self.generations.append(generation)
        return generation

    @property
    def priority(self) -> int:
        return self.live.built.settings.tiers["free"].priority

    async def has_priority(self, priority: int) -> bool:
        return self.priority == priority


def write(file: Path, text: str) -> None:
    file.write_text(text)


Start = Callable[..., AbstractAsyncContextManager[Process]]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "causeway.toml"
    written.write_text("[tiers.free]\npriority = 1\n")
    return written


@pytest.fixture
def start(database: Database, file: Path) -> Start:
    @asynccontextmanager
    async def started(**options: Any) -> AsyncIterator[Process]:
        process = Process(database, file, **options)
        async with process.notices.listening(), process.live.running():
            await process.notices.live()
            yield process

    return started


@pytest.fixture
async def here(start: Start) -> AsyncIterator[Process]:
    async with start() as process:
        yield process


async def test_a_change_is_in_force_when_it_returns_and_in_other_processes_soon(
    here: Process, start: Start, eventually: Eventually
) -> None:
    async with start() as there:
        reading = await here.live.change("tiers.free", {"priority": 7}, by=ADMIN)
        assert reading.changed == ("tiers.free.priority",)
        assert here.priority == 7
        assert here.live.origins["tiers.free.priority"] == "page"
        await eventually(lambda: there.has_priority(7))


async def test_what_pages_changed_is_there_after_a_restart(here: Process, start: Start) -> None:
    await here.live.change("tiers.free", {"priority": 7}, by=ADMIN)
    async with start() as again:
        assert again.priority == 7


async def test_the_generation_before_is_closed_when_its_calls_have_ended(
    here: Process, eventually: Eventually
) -> None:
    first = here.live.built
    adopted: list[Generation] = []
    here.live.follow(adopted.append)
    await here.live.change("tiers.free", {"priority": 7}, by=ADMIN)
    assert adopted == [here.live.built]
    assert here.live.built.before is first
    assert not first.is_closed
    first.calls_ended.set()
    await eventually(lambda: _is_closed(first))
    assert not here.live.built.is_closed


async def _is_closed(generation: Generation) -> bool:
    return generation.is_closed


async def test_everything_is_closed_at_the_end_also_what_still_has_calls(start: Start) -> None:
    async with start() as process:
        await process.live.change("tiers.free", {"priority": 7}, by=ADMIN)
        await process.live.change("tiers.free", {"priority": 8}, by=ADMIN)
    assert all(generation.is_closed for generation in process.generations)
    with pytest.raises(RuntimeError):
        _ = process.live.built


async def test_on_a_mistake_nothing_changes_and_the_message_names_it(
    here: Process, database: Database
) -> None:
    in_force, built = here.live.current, here.live.built
    with pytest.raises(SettingsError, match=r"routes\.best names 'nowhere'"):
        await here.live.change("routes.best", {"models": ["nowhere"]}, by=ADMIN)
    with pytest.raises(WrongFieldsError) as wrong:
        await here.live.change("tiers.free", {"priority": 99, "colour": "red"}, by=ADMIN)
    assert wrong.value.fields == {
        "priority": "must be less than or equal to 9",
        "colour": "no such setting",
    }
    assert (here.live.current, here.live.built, here.live.problem) == (in_force, built, None)
    assert await Overrides(database).read() == {}
    assert await Audit(database).list() == []


async def test_a_file_that_is_written_is_read(here: Process, file: Path, eventually: Eventually) -> None:
    write(file, "[tiers.free]\npriority = 3\n# longer\n")
    await eventually(lambda: here.has_priority(3))


async def test_a_mistake_in_the_file_is_told_and_the_old_settings_stay(
    here: Process, file: Path, eventually: Eventually
) -> None:
    write(file, "[tiers.free]\npriorty = 3\n")

    async def is_told() -> bool:
        return here.live.problem is not None

    await eventually(is_told)
    assert "tiers.free.priorty" in (here.live.problem or "")
    assert here.priority == 1
    with pytest.raises(SettingsError):
        await here.live.reload()
    write(file, "[tiers.free]\npriority = 4\n")
    await here.live.reload()
    assert (here.priority, here.live.problem) == (4, None)


async def test_who_asks_gets_what_the_file_says_without_waiting_for_the_next_look(
    start: Start, file: Path, eventually: Eventually
) -> None:
    async with start(look_every_s=3600) as process:
        write(file, "[tiers.free]\npriority = 5\n")
        process.live.ask()
        await eventually(lambda: process.has_priority(5))
        built = process.live.built
        await process.live.reload()
        assert process.live.built is built  # nothing was different, so nothing was built


async def test_what_needs_a_restart_is_named_and_not_applied(database: Database, file: Path) -> None:
    here = Process(database, file, look_every_s=3600)
    async with here.live.running():
        write(
            file,
            "[server]\nport = 9000\n[models]\nembed = 'other'\nchat = 'x'\n[gateway]\nledger_flush_s = 9\nretries = 7\n",
        )
        reading = await here.live.reload()
        assert reading.needs_restart == ("gateway.ledger_flush_s", "models.embed", "server.port")
        assert reading.changed == ("gateway.retries", "models.chat", "tiers.free.priority")
        current = here.live.current
        assert (current.server.port, current.models.embed, current.models.chat) == (8080, "bge-small-en", "x")
        assert (current.gateway.ledger_flush_s, current.gateway.retries) == (1.0, 7)
        assert here.live.needs_restart == reading.needs_restart


async def test_a_value_that_the_file_says_too_is_left_to_the_file(here: Process) -> None:
    await here.live.change("tiers.free", {"priority": 7, "max_output_tokens": None}, by=ADMIN)
    assert here.live.overridden == {"tiers.free": {"max_output_tokens": None, "priority": 7}}
    await here.live.change("tiers.free", {"priority": 1}, by=ADMIN)
    assert here.live.overridden == {"tiers.free": {"max_output_tokens": None}}
    assert here.live.current.tiers["free"].max_output_tokens is None


async def test_a_reset_goes_back_to_the_file_and_takes_away_what_only_pages_made(
    here: Process, database: Database
) -> None:
    await here.live.change("tiers.free", {"priority": 7}, by=ADMIN)
    await here.live.change("tiers.own", {}, by=ADMIN)
    assert "own" in here.live.current.tiers
    await here.live.reset("tiers.free", by=ADMIN)
    await here.live.reset("tiers.own", by=ADMIN)
    assert here.priority == 1
    assert "own" not in here.live.current.tiers
    with pytest.raises(NotFoundError):
        await here.live.reset("tiers.free", by=ADMIN)
    actions = [line.action for line in reversed(await Audit(database).list())]
    assert actions == ["tier.update", "tier.create", "tier.reset", "tier.delete"]


async def test_the_default_tier_cannot_be_taken_away(here: Process) -> None:
    await here.live.change("tiers.own", {}, by=ADMIN)
    await here.live.change("gateway", {"default_tier": "own"}, by=ADMIN)
    with pytest.raises(SettingsError, match="default_tier is 'own'"):
        await here.live.reset("tiers.own", by=ADMIN)


async def test_the_audit_log_tells_what_was_in_force_and_what_is(here: Process, database: Database) -> None:
    await here.live.change("tiers.free", {"priority": 7, "key_budget_usd_per_day": "2.50"}, by=ADMIN)
    (line,) = await Audit(database).list(subject="tiers.free")
    assert (line.principal_id, line.action) == ("key_admin", "tier.update")
    assert line.before == {"priority": 1, "key_budget_usd_per_day": None}
    assert line.after == {"priority": 7, "key_budget_usd_per_day": "2.50"}


async def test_a_providers_key_is_kept_by_reference_alone(start: Start, database: Database) -> None:
    async with start(OPENAI_API_KEY="sk-very-secret") as process:
        values = {"base_url": "https://api.openai.com/v1", "api_key": "env:OPENAI_API_KEY"}
        await process.live.change("providers.openai", values, by=ADMIN)
        provider = process.live.built.settings.providers["openai"]
        assert provider.api_key.get_secret_value() == "sk-very-secret"
        stored = await Overrides(database).read()
        assert stored["providers.openai"]["api_key"] == "env:OPENAI_API_KEY"
        (line,) = await Audit(database).list()
        assert line.after["api_key"] == "***"
        assert "very-secret" not in str([stored, line])


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"api_key": "sk-written-out"}, "api_key"),
        ({"api_key": "env:CAUSEWAY_DATABASE__URL"}, "api_key"),
        ({"api_key": "file:../owner.lock"}, "api_key"),
        ({"api_keys": ["env:A_API_KEY", "sk-written-out"]}, "api_keys"),
        ({"headers": {"authorization": "Bearer x"}}, "headers"),
        ({"base_url": "https://me:secret@api.openai.com/v1"}, "base_url"),
        ({"base_url": "https://api.openai.com/v1?key=secret"}, "base_url"),
        ({"base_url": "api.openai.com"}, "base_url"),
    ],
)
async def test_no_secret_can_be_stored_and_no_foreign_one_named(
    here: Process, values: dict[str, object], field: str
) -> None:
    with pytest.raises(WrongFieldsError) as wrong:
        await here.live.change("providers.openai", values, by=ADMIN)
    assert set(wrong.value.fields) == {field}
    assert "secret" not in wrong.value.fields[field].replace("secrets", "")


@pytest.mark.parametrize(
    "section", ["server", "database", "tiers", "tiers.Not-This", "providers.a/b", "nothing.x"]
)
async def test_other_sections_cannot_be_changed_on_pages(here: Process, section: str) -> None:
    with pytest.raises(InvalidInputError):
        await here.live.change(section, {"port": 1}, by=ADMIN)


async def test_changes_of_two_processes_at_once_both_stand(here: Process, start: Start) -> None:
    async with start() as there:
        async with asyncio.TaskGroup() as group:
            for number in range(5):
                group.create_task(here.live.change("tiers.free", {"priority": number + 2}, by=ADMIN))
                group.create_task(there.live.change(f"tiers.t{number}", {"priority": number}, by=ADMIN))
        await here.live.reload()
        assert {f"t{number}" for number in range(5)} <= set(here.live.current.tiers)

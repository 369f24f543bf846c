"""The administrators' pages over the gateway's own classes and a database; what calls go through is built from settings.

``python -m tests.web.admin_site [PORT]`` serves them with some keys, teams and calls to whoever works on the pages.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pydantic import SecretStr

from causeway.accounts.groups import Groups
from causeway.accounts.users import Users
from causeway.contracts.chat import Usage
from causeway.contracts.clock import Clock, SystemClock
from causeway.contracts.identity import Principal, Scope
from causeway.contracts.money import Micros
from causeway.gateway import audit
from causeway.gateway.audit import Audit
from causeway.gateway.breaker import Breakers
from causeway.gateway.budget_standing import BudgetStandings
from causeway.gateway.keys import Bounds, Keys
from causeway.gateway.ledger import Ledger, open_ledger
from causeway.gateway.live_settings import LiveSettings
from causeway.gateway.overrides import Overrides
from causeway.gateway.provider_check import ProviderChecks
from causeway.gateway.providers import Providers
from causeway.gateway.teams import Teams
from causeway.gateway.usage import UsageReader
from causeway.knowledge import AccessRules
from causeway.observability.alert_channels import Channel
from causeway.observability.alerts import Alerts
from causeway.observability.spans import Spans
from causeway.observability.stats import Stats
from causeway.settings import DatabaseSettings, Settings, Source
from causeway.storage.database import Database, open_database
from causeway.storage.notices import Notices
from causeway.storage.process_state import ProcessState
from causeway.web.parts import AccountParts, AdminParts, WebParts
from causeway.web.sessions import Sessions
from tests.accounts.people import cheap_passwords
from tests.gateway.calls import an_entry
from tests.observability.alert_servers import Collected
from tests.web.scripted import scripted
from tests.web.serving import serve_until_stopped, serving

DEMO_ENVIRONMENT = {
    "OPENAI_API_KEY": "sk-demo",
    "CAUSEWAY_PROVIDERS__OPENAI__BASE_URL": "http://127.0.0.1:9/v1",
    "CAUSEWAY_PROVIDERS__OPENAI__API_KEY": "env:OPENAI_API_KEY",
    "CAUSEWAY_PROVIDERS__ANTHROPIC__KIND": "anthropic",
    "CAUSEWAY_PROVIDERS__ANTHROPIC__MODELS": "claude-sonnet-5-5",
}
"""Two providers, of which none answers."""


class Generation:
    """Providers alone: what the pages see of what calls go through."""

    def __init__(self, providers: Providers) -> None:
        self.providers = providers

    async def retire(self) -> None:
        await self.providers.retire(longest_s=1.0)

    async def close(self) -> None:
        await self.providers.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminSite:
    """Everything a test may want to touch."""

    parts: WebParts
    admin: AdminParts
    database: Database
    ledger: Ledger
    breakers: Breakers
    state: ProcessState
    admin_key: str
    user_key: str


@asynccontextmanager
async def admin_site(
    database_url: str, folder: Path, *, environment: Mapping[str, str], clock: Clock | None = None
) -> AsyncIterator[AdminSite]:
    """The site over a database at the newest revision; ``environment`` holds settings."""
    clock = clock or SystemClock()
    source = Source({"CAUSEWAY_STORAGE__DIR": str(folder), "CAUSEWAY_CONFIG": "", **environment})
    database = await open_database(DatabaseSettings(url=SecretStr(database_url)), folder)
    notices = Notices(database)
    settings = source.read()[0]

    def build(wanted: Settings, before: Generation | None) -> Generation:
        opened = before.providers if before else None
        return Generation(Providers(wanted, run_dir=folder, clock=clock, before=opened))

    live = LiveSettings(settings, source=source, overrides=Overrides(database), build=build, notices=notices)
    users = Users(database, clock, cheap_passwords())
    keys = Keys(database, clock, notices=notices, default_tier="pro")
    breakers = Breakers(failures=5, rest_s=20.0, clock=clock)
    state = ProcessState(clock=clock)
    try:
        async with (
            notices.listening(),
            live.running(),
            open_ledger(database, folder / "journal", flush_s=3600) as ledger,
        ):
            admin = AdminParts(
                keys=keys,
                teams=Teams(database),
                live=live,
                users=users,
                groups=Groups(database),
                access=AccessRules(database, audit.record),
                checks=ProviderChecks(run_dir=folder, storage=settings.storage, clock=clock, deadline_s=5.0),
                budgets=BudgetStandings(state=state, spent=ledger.spent, clock=clock),
                usage=UsageReader(database, ledger),
                audit=Audit(database),
                routes=lambda: live.built.providers.routes(),
                breakers=breakers.open_ones,
            )
            stats = Stats(database, Spans(), flush=ledger.flush)
            channels: dict[str, Channel] = {"operations": Collected()}
            parts = replace(
                scripted(folder).parts,
                clock=clock,
                keys=keys,
                sessions=Sessions(database, clock),
                admin=admin,
                accounts=AccountParts(users=users),
                stats=stats,
                alerts=Alerts(database, stats, channels=lambda: channels, clock=clock, record=audit.record),
            )
            yield AdminSite(
                parts=parts,
                admin=admin,
                database=database,
                ledger=ledger,
                breakers=breakers,
                state=state,
                admin_key=(await keys.create("root", [Scope.ADMIN])).secret,
                user_key=(await keys.create("reader", [Scope.ASK])).secret,
            )
    finally:
        await database.close()


async def furnish(site: AdminSite) -> None:
    """Teams, keys and a month of calls."""
    desk, now = site.admin, site.parts.clock.now()
    search = await desk.teams.create("Search", budget_per_month=Micros(800_000_000))
    shop = await desk.teams.create("Web shop", budget_per_day=Micros(25_000_000))
    for name, team, day in (("site-search", search.id, 20), ("returns-bot", shop.id, 5), ("Maria", None, 0)):
        bounds = Bounds(team=team, tier="pro", budget_per_day=Micros(day * 1_000_000) if day else None)
        made = await desk.keys.create(name, [Scope.MODELS, Scope.ASK], bounds=bounds)
        for number in range(60):
            model = ("gpt-6-sol", "gpt-6-luna", "claude-sonnet-5-5")[number % 3]
            provider = "anthropic" if "claude" in model else "openai"
            entry = an_entry(
                f"{name}{number}",
                at=now - timedelta(hours=11 * number % 600, minutes=number),
                principal_id=made.id,
                team=team,
                model=model,
                provider=provider,
                usage=Usage(900 + 37 * number, 120 + 11 * number),
                cost=Micros(8_300 * (number % 7 + 1) * (day + 3)),
                outcome="upstream_error" if number % 19 == 18 else "ok",
                latency_ms=400 + 53 * number % 900,
            )
            site.ledger.closed(entry)
    live, by = desk.live, Principal(id="command_line", name="root", scopes=frozenset({Scope.ADMIN}))
    await live.change("tiers.trial", {"requests_per_minute": 3, "key_budget_usd_per_month": "0.50"}, by=by)
    await live.change("tiers.free", {"requests_per_minute": 30, "budget_usd_per_month": "120"}, by=by)
    await live.change("routes.best", {"models": ["openai/gpt-6-sol", "anthropic/claude-sonnet-5-5"]}, by=by)
    await live.change("gateway", {"fallbacks": {"best": ["fast"]}, "retries": 3}, by=by)
    old = await desk.keys.create("old laptop", [Scope.ASK])
    await desk.keys.revoke(old.id)
    await site.ledger.flush()


@contextmanager
def serving_admin(
    database_url: str,
    folder: Path,
    *,
    environment: Mapping[str, str],
    port: int = 0,
    furnished: Callable[[AdminSite], Awaitable[None]] | None = None,
) -> Iterator[tuple[str, AdminSite]]:
    """Serve the site from a thread with a loop of its own; its address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AdminSite]:
        async with admin_site(database_url, folder, environment=environment) as site:
            if furnished is not None:
                await furnished(site)
            yield site

    with serving(opened, port=port) as served:
        yield served


def main() -> None:
    """Serve until stopped."""
    furnished = None if "--empty" in sys.argv else furnish
    serve_until_stopped(
        lambda url, folder, port: serving_admin(
            url, folder, environment=DEMO_ENVIRONMENT, port=port, furnished=furnished
        ),
        port=8098,
        key=lambda site: site.admin_key,
    )


if __name__ == "__main__":
    main()

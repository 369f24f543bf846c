"""The page of alerts over a database: one that fires, one that was resolved, one that is off, one full of scripts.

``python -m tests.web.alerts_site [PORT]`` serves it to whoever works on the page; it prints the address and a key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

from causeway.observability.alert_rules import Terms
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, admin_site
from tests.web.serving import serve_until_stopped, serving

HOSTILE = '"><script>window.hacked = 1</script>'
_TOLD = ("operations",)
_RULES = (
    Terms(name="Errors of the shop", metric="error_rate", threshold=0.2, channels=_TOLD),
    Terms(name="Slow", metric="latency_p95_ms", threshold=500, channels=_TOLD, window_s=3_600),
    Terms(name=HOSTILE, metric="cost_usd", threshold=20, channels=(), filters={"model": HOSTILE}),
    Terms(name="Refusals", metric="refusal_rate", threshold=0.4, channels=(), is_enabled=False),
)


async def furnish(site: AdminSite) -> None:
    """Calls of which a third failed, and alerts."""
    alerts, now = site.parts.alerts, site.parts.clock.now()
    assert alerts is not None
    for number in range(30):
        at, outcome = now - timedelta(seconds=20 + number), "deadline" if number % 3 == 0 else "ok"
        site.ledger.closed(an_entry(f"call{number}", at=at, outcome=outcome, latency_ms=900))
    rules = [await alerts.create(terms, by="key_1") for terms in _RULES]
    await alerts.check()
    await alerts.deliver()
    await alerts.change(rules[1].id, replace(_RULES[1], threshold=5_000))
    await alerts.check()
    await alerts.deliver()


@contextmanager
def serving_alerts(
    database_url: str, folder: Path, *, port: int = 0, is_furnished: bool = True
) -> Iterator[tuple[str, AdminSite]]:
    """Serve the site from a thread with a loop of its own; its address."""

    @asynccontextmanager
    async def opened() -> AsyncIterator[AdminSite]:
        async with admin_site(database_url, folder, environment={}) as site:
            if is_furnished:
                await furnish(site)
            yield site

    with serving(opened, port=port) as served:
        yield served


def main() -> None:
    """Serve until stopped."""
    serve_until_stopped(
        lambda url, folder, port: serving_alerts(url, folder, port=port),
        port=8099,
        key=lambda site: site.admin_key,
    )


if __name__ == "__main__":
    main()

"""The page of alerts over a database: one that fires, one that was resolved, one that is off, one full of scripts.

``python -m tests.web.alerts_site [PORT]`` serves it to whoever works on the page; it prints the address and a key.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from causeway.contracts.identity import COMMAND_LINE
from causeway.observability.alert_rules import Terms
from tests.gateway.calls import an_entry
from tests.web.admin_site import AdminSite, serving_admin
from tests.web.serving import serve_until_stopped

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
    rules = [await alerts.create(terms, by=COMMAND_LINE) for terms in _RULES]
    await alerts.check()
    await alerts.deliver()
    await alerts.change(rules[1].id, replace(_RULES[1], threshold=5_000), by=COMMAND_LINE)
    await alerts.check()
    await alerts.deliver()


def main() -> None:
    """Serve until stopped."""
    serve_until_stopped(
        lambda url, folder, port: serving_admin(url, folder, environment={}, port=port, furnished=furnish),
        port=8099,
        key=lambda site: site.admin_key,
    )


if __name__ == "__main__":
    main()

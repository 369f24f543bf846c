"""``causeway alerts``: numbers that are watched, what fired, and whom it was told to."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from causeway.cli.running import with_platform

if TYPE_CHECKING:
    from pydantic import BaseModel

    from causeway.observability.alert_rules import Firing, Rule
    from causeway.wiring import Platform

Command = TypeVar("Command", bound=Callable[..., Any])
_as_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
_LENGTH: Final = re.compile(r"(\d{1,7})([smhd]?)")
_SECONDS: Final = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Length(click.ParamType[int]):
    """A time such as ``15m``, ``6h`` or ``7d``, in seconds."""

    name = "time"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The seconds of what was written."""
        if isinstance(value, int):  # click converts twice
            return value
        match = _LENGTH.fullmatch(value)
        if match is None:
            self.fail(f"'{value}' is no time; write it like 90s, 15m, 6h or 7d", param, ctx)
        return int(match[1]) * _SECONDS[match[2]]


class Threshold(click.ParamType[float]):
    """A number; with ``%`` the share that it means."""

    name = "number"

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number of what was written."""
        if isinstance(value, float):
            return value
        written = value.removeprefix("$")
        try:
            return float(written[:-1]) / 100 if written.endswith("%") else float(written)
        except ValueError:
            self.fail(f"'{value}' is no number; write it like 0.05, 5% or 2000", param, ctx)


class Filter(click.ParamType[tuple[str, str]]):
    """What is watched alone, such as ``model=large``."""

    name = "name=value"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """The filter's name and its value."""
        if isinstance(value, tuple):
            return value
        name, sign, wanted = value.partition("=")
        if not sign or not wanted:
            self.fail(f"'{value}' is no filter; write it like model=large", param, ctx)
        return name, wanted


def _terms_options(command: Command) -> Command:
    """The options that say what an alert watches."""
    options = (
        click.option(
            "--above", type=Threshold(), help="It fires above this: a share as 0.05 or 5%, ms, dollars."
        ),
        click.option("--below", type=Threshold(), help="It fires below this."),
        click.option(
            "--window", type=Length(), help="Over the last so long, from 60s to 7d.  [default: 15m]"
        ),
        click.option(
            "--min-count",
            type=click.IntRange(0, 1_000_000_000),
            help="Of fewer requests, answers or votes nothing is concluded.  [default: 20]",
        ),
        click.option("--cooldown", type=Length(), help="Least time between two notices.  [default: 1h]"),
        click.option(
            "--filter",
            "filters",
            type=Filter(),
            multiple=True,
            help="Only requests like this, such as model=large; of team, owner, product, model, prompt, tier; repeatable.",
        ),
        click.option(
            "--channel",
            "channels",
            multiple=True,
            help="Tell it there: a name of alerts.channels; repeatable.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.group()
def alerts() -> None:
    """Watch numbers of the dashboard and tell when they are not as they should be."""


@alerts.command("list")
@_as_json
def list_alerts(as_json: bool) -> None:
    """List the alerts by name, and how each stood when it was last checked."""
    import json

    async def show(platform: Platform) -> None:
        rules = await platform.alerts.rules()
        if as_json:
            rows = [_described(rule) for rule in rules]
            click.echo(json.dumps({"alerts": rows, "channels": list(platform.alerts.channels)}))
            return
        for rule in rules:
            told = ", ".join(rule.terms.channels) or "nobody"
            click.echo(
                f"{rule.id}  {rule.state:8}  {rule.terms.name}: {rule.says()}; now {rule.measured()}; tells {told}"
            )
        click.echo(
            f"channels: {', '.join(platform.alerts.channels) or 'none; add alerts.channels'}", err=True
        )

    with_platform(show, models=False)


@alerts.command()
@click.argument("name")
@click.option(
    "--metric", required=True, help="What is watched, such as error_rate, latency_p95_ms or cost_usd."
)
@_terms_options
@_as_json
def add(name: str, metric: str, as_json: bool, **options: Any) -> None:
    """Watch a metric under NAME, and print the alert's id; it is first checked within half a minute."""
    from causeway.contracts.identity import COMMAND_LINE
    from causeway.observability.alert_rules import Terms

    given = _given(options)
    if "threshold" not in given:
        msg = "say when it fires: --above or --below"
        raise click.UsageError(msg)

    async def make(platform: Platform) -> None:
        terms = Terms(name=name, metric=metric, **({"channels": ()} | given))
        rule = await platform.alerts.create(terms, by=COMMAND_LINE)
        _tell(rule, as_json=as_json)

    with_platform(make, models=False)


@alerts.command()
@click.argument("alert")
@click.option("--name", help="Call it this from now on.")
@click.option("--metric", help="Watch this instead.")
@_terms_options
@click.option("--on/--off", "is_enabled", default=None, help="Check it, or leave it alone.")
@click.option("--all-requests", is_flag=True, help="Take every filter away.")
@click.option("--no-channels", is_flag=True, help="Tell nobody; its history is kept.")
@_as_json
def edit(alert: str, all_requests: bool, no_channels: bool, as_json: bool, **options: Any) -> None:
    """Change ALERT, a name or an id; what is not given stays, filters and channels given replace those there were."""
    from dataclasses import replace

    from causeway.contracts.identity import COMMAND_LINE

    given = _given(options)
    given |= {"filters": {}} if all_requests else {}
    given |= {"channels": ()} if no_channels else {}

    async def change(platform: Platform) -> None:
        rule = await platform.alerts.find(alert)
        _tell(
            await platform.alerts.change(rule.id, replace(rule.terms, **given), by=COMMAND_LINE),
            as_json=as_json,
        )

    with_platform(change, models=False)


@alerts.command()
@click.argument("alert")
@_as_json
def test(alert: str, as_json: bool) -> None:
    """Tell the channels of ALERT, a name or an id, that this is a test; exit 1 if one did not take it."""
    import json

    async def tell(platform: Platform) -> dict[str, str | None]:
        return await platform.alerts.test((await platform.alerts.find(alert)).id)

    told = with_platform(tell, models=False)
    if as_json:
        click.echo(json.dumps({"channels": told}))
    else:
        for channel, wrong in told.items():
            click.echo(f"{channel}: {wrong or 'taken'}")
        if not told:
            click.echo(f"'{alert}' tells no channel; add one with causeway alerts edit --channel", err=True)
    if not told or any(told.values()):
        raise SystemExit(1)


@alerts.command()
@click.argument("alert", required=False)
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 1_000), help="Most firings.")
@_as_json
def history(alert: str | None, limit: int, as_json: bool) -> None:
    """What fired, newest first, of ALERT, a name or an id, or of all; and whom it was told to."""
    import json

    async def show(platform: Platform) -> None:
        rule_id = (await platform.alerts.find(alert)).id if alert else None
        firings = await platform.alerts.firings(rule_id=rule_id, limit=limit)
        if as_json:
            click.echo(json.dumps({"firings": [_fired(firing) for firing in firings]}))
            return
        for firing in firings:
            ended = firing.resolved_at.isoformat(timespec="seconds") if firing.resolved_at else "lasts"
            click.echo(
                f"{firing.fired_at.isoformat(timespec='seconds')}  {ended:25}  {firing.name}: {firing.measured()};"
                f" {_told(firing)}"
            )

    with_platform(show, models=False)


@alerts.command()
@click.argument("alert")
def remove(alert: str) -> None:
    """Stop watching ALERT, a name or an id, and forget its history."""
    from causeway.contracts.identity import COMMAND_LINE

    async def end(platform: Platform) -> None:
        await platform.alerts.delete((await platform.alerts.find(alert)).id, by=COMMAND_LINE)
        click.echo(f"removed {alert}", err=True)

    with_platform(end, models=False)


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The terms that the options name.

    Raises:
        click.UsageError: Both sides are given.
    """
    above, below = options.pop("above"), options.pop("below")
    if above is not None and below is not None:
        msg = "an alert fires on one side: give --above or --below"
        raise click.UsageError(msg)
    values = {"window_s": options.pop("window"), "cooldown_s": options.pop("cooldown"), **options}
    values |= {
        "filters": dict(options["filters"]) or None,
        "channels": tuple(dict.fromkeys(options["channels"])) or None,
    }
    if above is not None or below is not None:
        values |= {"threshold": below if above is None else above, "is_above": above is not None}
    return {name: value for name, value in values.items() if value is not None}


def _tell(rule: Rule, *, as_json: bool) -> None:
    import json

    if as_json:
        click.echo(json.dumps(_described(rule)))
        return
    click.echo(rule.id)
    click.echo(
        f"{rule.terms.name}: {rule.says()}; tells {', '.join(rule.terms.channels) or 'nobody'}", err=True
    )


def _described(rule: Rule) -> dict[str, Any]:
    from causeway.web.alerts_api import rule_shape

    return _plain(rule_shape(rule)) | {"state": rule.state}


def _fired(firing: Firing) -> dict[str, Any]:
    from causeway.web.alerts_api import firing_shape

    shown = _plain(firing_shape(firing))
    return {"alert": {"id": shown.pop("rule_id"), "name": shown.pop("name")}, **shown}


def _plain(shape: BaseModel) -> dict[str, Any]:
    """What `json` takes of ``shape``, with moments as every command writes them."""
    import json

    plain: dict[str, Any] = json.loads(json.dumps(shape.model_dump(), default=datetime.isoformat))
    return plain


def _told(firing: Firing) -> str:
    if not firing.is_told:
        return "told nobody: within the cool-down"
    told = (
        f"{each.channel} ({each.event} {each.state}{f': {each.problem}' if each.problem else ''})"
        for each in firing.deliveries
    )
    return f"told {', '.join(told) or 'nobody'}"

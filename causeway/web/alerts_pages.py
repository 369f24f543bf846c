"""Alerts for people: what is watched, how it stands, what fired and whom it was told to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Final

from fastapi import APIRouter, Form, Request
from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import RedirectResponse, Response

from causeway.errors import InvalidInputError
from causeway.observability.alert_rules import FILTERS, METRICS, Firing, Rule, Terms, spelled_time
from causeway.observability.alerts import Alerts
from causeway.web.admin_access import Storable, storable
from causeway.web.alerts_api import Watched
from causeway.web.rendering import link, page
from causeway.web.sign_in import Admin

router = APIRouter(include_in_schema=False)

_WINDOWS_MIN: Final = (5, 15, 60, 360, 1_440, 10_080)
_COOLDOWNS_MIN: Final = (0, 15, 60, 240, 1_440)
_SHARE_IN_PERCENT: Final = 100
_FIRINGS: Final = 50


class RuleForm(BaseModel):
    """What the form says; shares are in percent, as people write them."""

    name: Storable = ""
    metric: Storable = "error_rate"
    side: Storable = "above"
    threshold: Annotated[str, AfterValidator(storable), Field(max_length=30)] = ""
    window_min: Annotated[int, Field(ge=1, le=10_080)] = 15
    min_count: Annotated[int, Field(ge=0, le=1_000_000_000)] = 20
    cooldown_min: Annotated[int, Field(ge=0, le=43_200)] = 60
    filter: Storable = ""
    filter_value: Storable = ""
    channels: list[Storable] = Field(default_factory=list)

    def terms(self, before: Terms | None = None) -> Terms:
        """As the alerts take it.

        Args:
            before: What is changed; what the form does not show of it stays.

        Raises:
            InvalidInputError: It says what is wrong.
        """
        try:
            threshold = float(self.threshold.strip().removesuffix("%").replace(",", "."))
        except ValueError as exc:
            raise InvalidInputError(f"'{self.threshold}' is no number") from exc
        if self.metric in METRICS and METRICS[self.metric].unit == "share":
            threshold /= _SHARE_IN_PERCENT
        return Terms(
            name=self.name.strip(),
            metric=self.metric,
            is_above=self.side != "below",
            threshold=threshold,
            window_s=self.window_min * 60,
            min_count=self.min_count,
            cooldown_s=self.cooldown_min * 60,
            filters=_unshown(before) | ({self.filter: self.filter_value.strip()} if self.filter else {}),
            channels=tuple(dict.fromkeys(self.channels)),
            is_enabled=before is None or before.is_enabled,
        )

    @classmethod
    def of(cls, terms: Terms) -> RuleForm:
        """Filled with what an alert says."""
        is_share = METRICS[terms.metric].unit == "share"
        name, value = next(iter(terms.filters.items()), ("", ""))
        return cls(
            name=terms.name,
            metric=terms.metric,
            side="above" if terms.is_above else "below",
            threshold=f"{terms.threshold * (_SHARE_IN_PERCENT if is_share else 1):.12g}",
            window_min=max(1, round(terms.window_s / 60)),
            min_count=terms.min_count,
            cooldown_min=round(terms.cooldown_s / 60),
            filter=name,
            filter_value=value,
            channels=list(terms.channels),
        )


def _unshown(terms: Terms | None) -> dict[str, str]:
    """The filters beyond the first, which is all that the form has room for."""
    return {} if terms is None else dict(list(terms.filters.items())[1:])


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleLine:
    """A rule as its row shows it."""

    rule: Rule
    look: str
    state: str
    says: str
    now: str
    traces: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FiringLine:
    """A firing as its row shows it."""

    firing: Firing
    value: str
    traces: str


@router.get("/alerts", name="alerts")
async def show(request: Request, found: Watched, edit: Storable = "") -> Response:
    """The page; with the form for the alert ``edit``."""
    if not edit:
        return await _page(request, found)
    rule = await found.rule(edit)
    return await _page(request, found, form=RuleForm.of(rule.terms), edited=rule)


@router.post("/alerts", name="alert_create")
async def create(
    request: Request, found: Watched, admin: Admin, form: Annotated[RuleForm, Form()]
) -> Response:
    """A new alert, from the form; what is wrong with it is told above it."""
    try:
        await found.create(form.terms(), by=admin)
    except InvalidInputError as exc:
        return await _page(request, found, form=form, problem=exc.message, status_code=422)
    return RedirectResponse(link(request, "alerts"), status_code=303)


@router.post("/alerts/{alert_id}", name="alert_change")
async def change(
    alert_id: Storable, request: Request, found: Watched, admin: Admin, form: Annotated[RuleForm, Form()]
) -> Response:
    """Say anew what one watches."""
    rule = await found.rule(alert_id)
    try:
        await found.change(alert_id, form.terms(rule.terms), by=admin)
    except InvalidInputError as exc:
        return await _page(request, found, form=form, edited=rule, problem=exc.message, status_code=422)
    return RedirectResponse(link(request, "alerts"), status_code=303)


@router.post("/alerts/{alert_id}/delete", name="alert_delete")
async def delete(alert_id: Storable, request: Request, found: Watched, admin: Admin) -> Response:
    """Delete one."""
    await found.delete(alert_id, by=admin)
    return RedirectResponse(link(request, "alerts"), status_code=303)


@router.post("/alerts/{alert_id}/test", name="alert_test")
async def test(alert_id: Storable, request: Request, found: Watched) -> Response:
    """Tell its channels a test, and show what became of it."""
    rule, told = await found.rule(alert_id), await found.test(alert_id)
    return await _page(request, found, tested=(rule.terms.name, told))


@router.post("/alerts/{alert_id}/switch", name="alert_switch")
async def switch(alert_id: Storable, request: Request, found: Watched, admin: Admin) -> Response:
    """Turn one off, or on again."""
    terms = (await found.rule(alert_id)).terms
    values: dict[str, Any] = {name: getattr(terms, name) for name in Terms.__slots__}
    await found.change(alert_id, Terms(**{**values, "is_enabled": not terms.is_enabled}), by=admin)
    return RedirectResponse(link(request, "alerts"), status_code=303)


async def _page(
    request: Request,
    found: Alerts,
    *,
    form: RuleForm | None = None,
    edited: Rule | None = None,
    problem: str = "",
    tested: tuple[str, dict[str, str | None]] | None = None,
    status_code: int = 200,
) -> Response:
    rules, firings = await found.rules(), await found.firings(limit=_FIRINGS)
    filled = form or RuleForm()
    by_id = {rule.id: rule for rule in rules}
    values = {
        "rules": [_rule_line(request, rule) for rule in rules],
        "firings": [_firing_line(request, each, by_id.get(each.rule_id)) for each in firings],
        "channels": found.channels,
        "form": filled,
        "edited": edited,
        "is_open": form is not None or not rules,
        "problem": problem,
        "tested": tested,
        "metrics": [
            (key, f"{each.words[0].upper()}{each.words[1:]}, {_UNITS[each.unit]}")
            for key, each in METRICS.items()
        ],
        "windows": [(each, spelled_time(each * 60)) for each in sorted({*_WINDOWS_MIN, filled.window_min})],
        "cooldowns": [
            (each, spelled_time(each * 60) if each else "none")
            for each in sorted({*_COOLDOWNS_MIN, filled.cooldown_min})
        ],
        "filters": [("", "All requests"), *((name, f"Only of one {name}") for name in FILTERS)],
    }
    return page(request, "alerts.html", values, status_code=status_code)


_UNITS: Final = {
    "share": "in percent",
    "ms": "in ms",
    "usd": "in dollars",
    "count": "how many",
    "tokens": "tokens",
}


def _rule_line(request: Request, rule: Rule) -> RuleLine:
    state, look = _STATES[rule.state]
    until = rule.checked_at or rule.created_at
    return RuleLine(
        rule=rule,
        look=look,
        state=state,
        says=rule.says(),
        now=rule.measured(),
        traces=_traces(request, rule, until),
    )


_STATES: Final = {
    "off": ("Off", "off"),
    "firing": ("Firing", "failed"),
    "waiting": ("Waiting", "queued"),
    "fine": ("Fine", "ready"),
}


def _firing_line(request: Request, firing: Firing, rule: Rule | None) -> FiringLine:
    return FiringLine(
        firing=firing,
        value=firing.measured(),
        traces=_traces(request, rule, firing.fired_at) if rule else link(request, "traces"),
    )


def _traces(request: Request, rule: Rule, until: datetime) -> str:
    """The traces of the window that ended at ``until``; the failed ones where errors are watched."""
    terms = rule.terms
    since = until - timedelta(seconds=terms.window_s)
    query = {
        "since": since.isoformat(timespec="seconds"),
        "until": until.isoformat(timespec="seconds"),
        "status": "error" if terms.metric == "error_rate" else "",
        **terms.filters,
    }
    return link(request, "traces", query)

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from random import Random

import pytest

from causeway.errors import SettingsError, UnknownModelError
from causeway.gateway.pricing import KnownModel
from causeway.gateway.routing import OpenRoute, Plan, Route, Routes
from causeway.models.provider import ChatProvider
from causeway.models.scripted import Scripted
from causeway.settings import PriceSettings, RouteSettings

PROVIDERS = {name: Scripted(name=name) for name in ("openai", "azure", "corp", "local")}
KNOWN = KnownModel(price=PriceSettings(input=Decimal(3)), context_tokens=1000, most_output_tokens=100)


def route(name: str, *, weight: float = 1.0) -> Route[ChatProvider]:
    provider, slash, model = name.partition("/")
    if not slash:
        return Route(model=name, name=name, provider=PROVIDERS["local"], is_local=True)
    return Route(model=model, provider=PROVIDERS[provider], weight=weight)


def laid(
    *,
    chat: Sequence[Route[ChatProvider]] = (
        route("qwen"),
        route("openai/gpt"),
        route("azure/gpt"),
        route("openai/o3"),
    ),
    aliases: Mapping[str, str] | None = None,
    routes: Mapping[str, RouteSettings] | None = None,
    fallbacks: Mapping[str, list[str]] | None = None,
    listed: frozenset[str] = frozenset(),
) -> Routes:
    corp = OpenRoute(
        prefix="corp", describe=lambda _: KNOWN, listed=lambda: listed, chat=PROVIDERS["corp"], weight=2.0
    )
    return Routes(
        chat={one.name: one for one in chat},
        embed={"bge": Route(model="bge", name="bge", provider=PROVIDERS["local"])},
        rerank={},
        aliases=aliases or {"chat": "qwen", "rerank": ""},
        open_routes=[corp],
        routes=routes,
        fallbacks=fallbacks,
        random=Random(3),
    )


def named(plan: Plan[ChatProvider]) -> list[str]:
    return [route.name for route in plan.routes]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("chat", "qwen"),
        ("qwen", "qwen"),
        ("openai/gpt", "openai/gpt"),
        ("o3", "openai/o3"),
        ("corp/any/thing", "corp/any/thing"),
        ("acme/model", "corp/acme/model"),
    ],
)
def test_a_name_leads_to_its_model(name: str, found: str) -> None:
    plan = laid(listed=frozenset({"acme/model"})).chat(name)
    assert (plan.asked, named(plan)) == (name, [found])


def test_a_model_of_an_open_server_has_what_is_known_of_it() -> None:
    first = laid().chat("corp/big").first
    assert (first.model, first.price, first.context_tokens, first.most_output_tokens, first.weight) == (
        "big",
        KNOWN.price,
        1000,
        100,
        2.0,
    )


def test_a_bare_name_that_several_offer_is_refused_with_the_choice() -> None:
    with pytest.raises(UnknownModelError, match="openai/gpt and azure/gpt"):
        laid().chat("gpt")
    with pytest.raises(UnknownModelError, match="openai/o3 and corp/o3"):
        laid(listed=frozenset({"o3"})).chat("o3")


@pytest.mark.parametrize("name", ["nobody", "nobody/gpt", "corp/", "", "/", "rerank"])
def test_an_unknown_name_is_refused(name: str) -> None:
    with pytest.raises(UnknownModelError):
        laid().chat(name)


@pytest.mark.parametrize(
    ("name", "is_known"), [("chat", True), ("bge", True), ("gpt", False), ("nobody", False)]
)
def test_it_can_be_asked_whether_a_name_leads_to_one_model(name: str, is_known: bool) -> None:
    assert laid().knows(name) is is_known


def test_a_misspelt_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownModelError, match="did you mean 'openai/gpt'"):
        laid().chat("openai/gtp")


def test_a_model_is_not_found_for_what_it_cannot_do() -> None:
    routes = laid()
    for find in (routes.embed, routes.rerank, routes.draw):
        with pytest.raises(UnknownModelError):
            find("openai/gpt")


def test_a_route_of_the_settings_keeps_its_order() -> None:
    routes = laid(routes={"smart": RouteSettings(models=["azure/gpt", "openai/gpt", "chat"])})
    assert [named(routes.chat("smart")) for _ in range(3)] == [["azure/gpt", "openai/gpt", "qwen"]] * 3


def test_an_alias_may_mean_a_route() -> None:
    routes = laid(
        aliases={"chat": "smart"}, routes={"smart": RouteSettings(models=["azure/gpt", "openai/gpt"])}
    )
    assert named(routes.chat("chat")) == ["azure/gpt", "openai/gpt"]


def test_calls_are_spread_by_weight_and_every_model_stays_a_fallback() -> None:
    routes = laid(
        chat=[route("openai/gpt", weight=3.0), route("azure/gpt", weight=1.0)],
        aliases={},
        routes={"smart": RouteSettings(models=["openai/gpt", "azure/gpt"], spread="weight")},
    )
    plans = [routes.chat("smart") for _ in range(4000)]
    assert {frozenset(named(plan)) for plan in plans} == {frozenset({"openai/gpt", "azure/gpt"})}
    firsts = Counter(plan.first.name for plan in plans)
    assert firsts["openai/gpt"] / 4000 == pytest.approx(0.75, abs=0.03)


def test_fallbacks_come_behind_what_the_name_means() -> None:
    routes = laid(
        routes={"spare": RouteSettings(models=["openai/o3", "azure/gpt"])},
        fallbacks={"openai/gpt": ["azure/gpt", "spare"], "azure/gpt": ["qwen"]},
    )
    assert named(routes.chat("openai/gpt")) == ["openai/gpt", "azure/gpt", "openai/o3", "qwen"]
    assert named(routes.chat("qwen")) == ["qwen"]


def test_fallbacks_of_an_alias_are_those_of_its_name_too() -> None:
    routes = laid(fallbacks={"chat": ["openai/o3"], "qwen": ["openai/gpt"]})
    assert named(routes.chat("chat")) == ["qwen", "openai/o3", "openai/gpt"]


def test_fallbacks_that_lead_to_each_other_end() -> None:
    routes = laid(fallbacks={"openai/gpt": ["azure/gpt"], "azure/gpt": ["openai/gpt"]})
    assert named(routes.chat("azure/gpt")) == ["azure/gpt", "openai/gpt"]


@pytest.mark.parametrize("model", ["nobody/gpt", "gtp", "other"])
def test_a_route_to_nowhere_is_found_at_start(model: str) -> None:
    both = {"smart": RouteSettings(models=[model]), "other": RouteSettings(models=["qwen"])}
    with pytest.raises(SettingsError, match=rf"routes\.smart names '{model}'"):
        laid(routes=both)


def test_a_route_to_what_several_offer_is_found_at_start() -> None:
    with pytest.raises(SettingsError, match=r"routes\.smart: 'gpt' is offered as openai/gpt and azure/gpt"):
        laid(routes={"smart": RouteSettings(models=["gpt"])})


@pytest.mark.parametrize("fallbacks", [{"openai/gpt": ["gtp"]}, {"gtp": ["openai/gpt"]}])
def test_a_fallback_to_nowhere_is_found_at_start(fallbacks: dict[str, list[str]]) -> None:
    with pytest.raises(SettingsError, match="'gtp'"):
        laid(fallbacks=fallbacks)


def test_every_name_is_listed_once_with_the_operators_own_first() -> None:
    routes = laid(routes={"smart": RouteSettings(models=["qwen"])}, listed=frozenset({"big"}))
    assert routes.names() == [
        "chat",
        "smart",
        "azure/gpt",
        "bge",
        "corp/big",
        "openai/gpt",
        "openai/o3",
        "qwen",
    ]


def test_a_plan_keeps_only_what_its_caller_may_use() -> None:
    plan = laid(fallbacks={"openai/gpt": ["azure/gpt"]}).chat("openai/gpt")
    kept = plan.only(lambda route: route.name.startswith("azure/"))
    assert kept is not None
    assert (named(kept), kept.asked, kept.lease) == (["azure/gpt"], "openai/gpt", plan.lease)
    assert plan.only(lambda _: True) is plan
    assert plan.only(lambda _: False) is None

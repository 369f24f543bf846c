"""Which models a name leads to, in the order in which they are tried.

A name is, in this order: an alias (``chat``), a route of the settings, a model of this machine, ``provider/model``, or
a model's bare name when exactly one provider offers it, which is what the vendors' own clients send. Behind what the
name means come the fallbacks of the settings. A whole `Routes` is replaced when the settings are read again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from random import Random
from typing import Generic, Self, TypeVar

from causeway.errors import SettingsError, UnknownModelError
from causeway.gateway.pricing import FREE, KnownModel
from causeway.models.provider import ChatProvider, EmbeddingProvider, ImageProvider, RerankProvider
from causeway.settings import PriceSettings, RouteSettings

AnyProvider = ChatProvider | EmbeddingProvider | RerankProvider | ImageProvider
Provider = TypeVar("Provider", bound=AnyProvider)
Provider_co = TypeVar("Provider_co", bound=AnyProvider, covariant=True)

_MOST_ROUTES = 16
"""More than anybody would wait for; it also ends fallbacks that lead to each other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Provider_co]):
    """Where a call can go.

    Attributes:
        model: The name the provider knows.
        name: The name callers know: ``provider/model``, or a local model's own.
        weight: Share of the calls where a route of the settings spreads them.
        context_tokens: Longest input, where that is known.
        most_output_tokens: Longest reply, where that is known.
        is_local: What is sent stays on this machine.
    """

    model: str
    provider: Provider_co
    name: str = ""
    price: PriceSettings = FREE
    weight: float = 1.0
    context_tokens: int | None = None
    most_output_tokens: int | None = None
    is_local: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", f"{self.provider.name}/{self.model}")


class Lease:
    """Counts the calls that use one generation of providers, so that these are closed when the last has ended."""

    def __init__(self) -> None:
        self._calls = 0
        self._ended: asyncio.Event | None = None

    def __enter__(self) -> None:
        self._calls += 1

    def __exit__(self, *_: object) -> None:
        self._calls -= 1
        if self._ended is not None and not self._calls:
            self._ended.set()

    async def ended(self) -> None:
        """Wait until no call is under way."""
        if self._calls:
            self._ended = asyncio.Event()
            await self._ended.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(Generic[Provider]):
    """The routes of one call, at least one, best first."""

    asked: str
    routes: tuple[Route[Provider], ...]
    lease: Lease = field(default_factory=Lease)

    @property
    def first(self) -> Route[Provider]:
        """The route that is tried first."""
        return self.routes[0]

    def only(self, may: Callable[[Route[Provider]], bool]) -> Self | None:
        """The plan without the routes that its caller may not use; None when nothing is left."""
        left = tuple(route for route in self.routes if may(route))
        if len(left) == len(self.routes):
            return self
        return type(self)(asked=self.asked, routes=left, lease=self.lease) if left else None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A server that takes any model's name: ``prefix/anything``, and the bare names of what it lists."""

    prefix: str
    describe: Callable[[str], KnownModel]
    listed: Callable[[], frozenset[str]] = frozenset
    chat: ChatProvider | None = None
    embed: EmbeddingProvider | None = None
    rerank: RerankProvider | None = None
    draw: ImageProvider | None = None
    weight: float = 1.0


class Routes:
    """The models that can be called.

    Args:
        chat: Name to route; the same for ``embed``, ``rerank`` and ``draw``.
        aliases: Short names of the settings, which may mean a route of theirs.
        open_routes: Servers whose models the settings do not name.
        routes: The operator's own names for one or more models.
        fallbacks: What is tried in a model's place, in order.
        random: Spreads calls by weight.
        lease: Counts the calls under way.

    Raises:
        SettingsError: A route or a fallback names what is not there.
    """

    def __init__(  # noqa: PLR0913 - one for each kind of name
        self,
        *,
        chat: Mapping[str, Route[ChatProvider]],
        embed: Mapping[str, Route[EmbeddingProvider]],
        rerank: Mapping[str, Route[RerankProvider]],
        aliases: Mapping[str, str],
        draw: Mapping[str, Route[ImageProvider]] | None = None,
        open_routes: Iterable[OpenRoute] = (),
        routes: Mapping[str, RouteSettings] | None = None,
        fallbacks: Mapping[str, list[str]] | None = None,
        random: Random | None = None,
        lease: Lease | None = None,
    ) -> None:
        named = _Named(
            aliases=aliases,
            routes=routes or {},
            fallbacks=fallbacks or {},
            random=random or Random(),  # noqa: S311 - it spreads load and keeps no secret
        )
        lease = lease or Lease()
        opened = list(open_routes)
        self._chat = _Table("chat", chat, [(o, o.chat) for o in opened if o.chat], named, lease)
        self._embed = _Table("embedding", embed, [(o, o.embed) for o in opened if o.embed], named, lease)
        self._rerank = _Table("reranking", rerank, [(o, o.rerank) for o in opened if o.rerank], named, lease)
        self._draw = _Table("image", draw or {}, [(o, o.draw) for o in opened if o.draw], named, lease)
        self._named = named
        self._check_settings()

    def chat(self, name: str) -> Plan[ChatProvider]:
        """The chat models that ``name`` leads to.

        Raises:
            UnknownModelError: There is none; the message names what there is.
        """
        return self._chat.plan(name)

    def embed(self, name: str) -> Plan[EmbeddingProvider]:
        """The embedding model that ``name`` leads to.

        Raises:
            UnknownModelError: There is none.
        """
        return self._embed.plan(name)

    def rerank(self, name: str) -> Plan[RerankProvider]:
        """The reranking model that ``name`` leads to.

        Raises:
            UnknownModelError: There is none.
        """
        return self._rerank.plan(name)

    def draw(self, name: str) -> Plan[ImageProvider]:
        """The image model that ``name`` leads to.

        Raises:
            UnknownModelError: There is none.
        """
        return self._draw.plan(name)

    def names(self) -> list[str]:
        """Every name that can be called: aliases and the operator's routes first, then models."""
        models = {name for table in self._tables() for name in table.names() if "@" not in name}
        aliases = sorted(alias for alias, model in self._named.aliases.items() if model)
        return list(dict.fromkeys([*aliases, *sorted(self._named.routes), *sorted(models)]))

    def knows(self, name: str) -> bool:
        """Whether ``name`` leads to a model of any kind, and to one only."""
        try:
            return any(table.candidates(name) for table in self._tables())
        except UnknownModelError:
            return False

    def check(self, name: str, setting: str) -> None:
        """Make sure that ``name``, which ``setting`` has, leads to a model.

        Raises:
            SettingsError: It leads nowhere, or to several at once.
        """
        try:
            if any(table.candidates(name) for table in self._tables()):
                return
        except UnknownModelError as exc:
            raise SettingsError(f"{setting}: {exc.message}") from exc
        raise SettingsError(
            f"{setting} names '{name}', which is neither in the local catalogue ('causeway models list') nor"
            " 'provider/model' of a configured provider, nor a route of the settings"
        )

    def _tables(self) -> Iterator[_AnyTable]:
        yield from (self._chat, self._embed, self._rerank, self._draw)

    def _check_settings(self) -> None:
        for route, settings in self._named.routes.items():
            for model in settings.models:
                if model in self._named.routes:
                    raise SettingsError(f"routes.{route} names '{model}', which is a route; name its models")
                self.check(model, f"routes.{route}")
        for model, others in self._named.fallbacks.items():
            for name in (model, *others):
                self.check(name, f"gateway.fallbacks.{model}")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Named:
    """What the settings say about names, the same for every kind of model."""

    aliases: Mapping[str, str]
    routes: Mapping[str, RouteSettings]
    fallbacks: Mapping[str, list[str]]
    random: Random


class _Table(Generic[Provider]):
    """The models of one kind."""

    def __init__(
        self,
        kind: str,
        routes: Mapping[str, Route[Provider]],
        opened: Iterable[tuple[OpenRoute, Provider]],
        named: _Named,
        lease: Lease,
    ) -> None:
        self._kind = kind
        self._routes = routes
        self._open = {route.prefix: (route, provider) for route, provider in opened}
        self._named = named
        self._lease = lease
        self._plans: dict[str, Plan[Provider]] = {}  # of the names that mean the same every time
        self._bare: dict[str, list[str]] = {}
        for name in routes:
            provider, slash, model = name.partition("/")
            if slash and provider:
                self._bare.setdefault(model, []).append(name)

    def plan(self, name: str) -> Plan[Provider]:
        """The routes behind ``name``."""
        plan = self._plans.get(name)
        if plan is not None:
            return plan
        first = self.candidates(name)
        if not first:
            raise self._unknown(name)
        plan = Plan(asked=name, routes=self._with_fallbacks(name, first), lease=self._lease)
        if all(route.name in self._routes for route in plan.routes) and not self._is_spread(name):
            self._plans[name] = plan
        return plan

    def candidates(self, name: str) -> list[Route[Provider]]:
        """What ``name`` means, without fallbacks; empty when it means nothing here."""
        name = self._named.aliases.get(name) or name
        settings = self._named.routes.get(name)
        if settings is None:
            route = self._find(name)
            return [] if route is None else [route]
        aliases = self._named.aliases
        found = [self._find(aliases.get(model) or model) for model in settings.models]
        routes = [route for route in found if route is not None]
        if settings.spread == "weight":
            # The order of a weighted draw without replacement: Efraimidis and Spirakis, 2006.
            routes.sort(key=lambda route: self._named.random.expovariate(route.weight))
        return routes

    def names(self) -> Iterator[str]:
        """The models, those that open servers list included."""
        yield from self._routes
        for prefix, (route, _) in self._open.items():
            for model in route.listed():
                yield f"{prefix}/{model}"

    def _find(self, name: str) -> Route[Provider] | None:
        route = self._routes.get(name)
        if route is not None:
            return route
        prefix, slash, model = name.partition("/")
        if slash and model and prefix in self._open:
            return self._opened(prefix, model)
        return self._found_bare(name)

    def _found_bare(self, name: str) -> Route[Provider] | None:
        offered = list(self._bare.get(name, ()))
        listing = [prefix for prefix, (route, _) in self._open.items() if name in route.listed()]
        if len(offered) + len(listing) > 1:
            several = [*offered, *(f"{prefix}/{name}" for prefix in listing)]
            raise UnknownModelError(
                f"'{name}' is offered as {' and '.join(several)}; ask for one of these, or make a route of them"
            )
        if offered:
            return self._routes[offered[0]]
        return self._opened(listing[0], name) if listing else None

    def _opened(self, prefix: str, model: str) -> Route[Provider]:
        route, provider = self._open[prefix]
        known = route.describe(model)
        return Route(
            model=model,
            provider=provider,
            name=f"{prefix}/{model}",
            price=known.price,
            weight=route.weight,
            context_tokens=known.context_tokens,
            most_output_tokens=known.most_output_tokens,
        )

    def _with_fallbacks(self, name: str, first: list[Route[Provider]]) -> tuple[Route[Provider], ...]:
        routes = {route.name: route for route in first}
        fallbacks = self._named.fallbacks
        waiting = [*fallbacks.get(name, ()), *fallbacks.get(self._named.aliases.get(name, ""), ())]
        waiting += (other for route in first for other in fallbacks.get(route.name, ()))
        while waiting and len(routes) < _MOST_ROUTES:
            for route in self.candidates(waiting.pop(0)):
                if route.name not in routes:
                    routes[route.name] = route
                    waiting += fallbacks.get(route.name, ())
        return tuple(routes.values())

    def _is_spread(self, name: str) -> bool:
        """Whether chance may have a say in where ``name`` leads."""
        routes = self._named.routes
        if not any(route.spread == "weight" for route in routes.values()):
            return False
        asked = routes.get(self._named.aliases.get(name) or name)
        return bool(self._named.fallbacks) or (asked is not None and asked.spread == "weight")

    def _unknown(self, name: str) -> UnknownModelError:
        known = sorted({*self._routes, *self._named.routes})
        near = get_close_matches(name, [*known, *self._named.aliases], n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}"
        return UnknownModelError(f"no {self._kind} model is called '{name}'; {hint}")


_AnyTable = _Table[ChatProvider] | _Table[EmbeddingProvider] | _Table[RerankProvider] | _Table[ImageProvider]

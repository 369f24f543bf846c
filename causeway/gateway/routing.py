"""Which provider a model's name leads to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Generic, NoReturn, TypeVar

from causeway.errors import UnknownModelError
from causeway.models.provider import ChatProvider, EmbeddingProvider, RerankProvider
from causeway.settings import PriceSettings

FREE = PriceSettings()

Provider = TypeVar("Provider", ChatProvider, EmbeddingProvider, RerankProvider)


@dataclass(frozen=True, slots=True, kw_only=True)
class Route(Generic[Provider]):
    """Where a call goes."""

    model: str
    """The name the provider knows."""
    provider: Provider
    price: PriceSettings = FREE


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRoute:
    """A server that takes any model's name: ``prefix/anything``."""

    prefix: str
    chat: ChatProvider
    embed: EmbeddingProvider
    prices: Mapping[str, PriceSettings]


class Routes:
    """The models that can be called, by name and by alias."""

    def __init__(
        self,
        *,
        chat: Mapping[str, Route[ChatProvider]],
        embed: Mapping[str, Route[EmbeddingProvider]],
        rerank: Mapping[str, Route[RerankProvider]],
        aliases: Mapping[str, str],
        open_routes: Iterable[OpenRoute] = (),
    ) -> None:
        self._chat = chat
        self._embed = embed
        self._rerank = rerank
        self._aliases = aliases
        self._open = {route.prefix: route for route in open_routes}

    def chat(self, name: str) -> Route[ChatProvider]:
        """The chat model of that name or alias.

        Raises:
            UnknownModelError: There is none; the message names what there is.
        """
        return (
            self._find(name, self._chat) or self._open_chat(name) or self._unknown(name, "chat", self._chat)
        )

    def embed(self, name: str) -> Route[EmbeddingProvider]:
        """The embedding model of that name or alias.

        Raises:
            UnknownModelError: There is none.
        """
        return (
            self._find(name, self._embed)
            or self._open_embed(name)
            or self._unknown(name, "embedding", self._embed)
        )

    def rerank(self, name: str) -> Route[RerankProvider]:
        """The reranking model of that name or alias.

        Raises:
            UnknownModelError: There is none.
        """
        return self._find(name, self._rerank) or self._unknown(name, "reranking", self._rerank)

    def names(self) -> list[str]:
        """Every name that can be called, aliases first."""
        models = {name for name in (*self._chat, *self._embed, *self._rerank) if "@" not in name}
        return [*sorted(alias for alias, model in self._aliases.items() if model), *sorted(models)]

    def _find(self, name: str, table: Mapping[str, Route[Provider]]) -> Route[Provider] | None:
        return table.get(self._aliases.get(name) or name)

    def _open_route(self, name: str) -> tuple[OpenRoute, str] | None:
        prefix, slash, model = (self._aliases.get(name) or name).partition("/")
        route = self._open.get(prefix)
        return (route, model) if route and slash and model else None

    def _open_chat(self, name: str) -> Route[ChatProvider] | None:
        found = self._open_route(name)
        return found and Route(
            model=found[1], provider=found[0].chat, price=found[0].prices.get(found[1], FREE)
        )

    def _open_embed(self, name: str) -> Route[EmbeddingProvider] | None:
        found = self._open_route(name)
        return found and Route(
            model=found[1], provider=found[0].embed, price=found[0].prices.get(found[1], FREE)
        )

    def _unknown(self, name: str, kind: str, table: Iterable[str]) -> NoReturn:
        known = sorted(table)
        near = get_close_matches(name, [*known, *self._aliases], n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"there are {', '.join(known) or 'none'}"
        raise UnknownModelError(f"no {kind} model is called '{name}'; {hint}")

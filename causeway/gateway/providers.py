"""Opens the providers that the settings name, and lays the routes to their models.

An alias (``chat``, ``embed``) means a model of the local catalogue, ``provider/model`` or a route of the settings.
Nothing is loaded or connected here: a local model starts with its first call. When the settings are read again, a new
`Providers` takes over what has not changed, so that connections stay warm and a local model stays in memory; the old
one is retired when its calls have ended.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, TypeVar

from causeway.contracts.clock import Clock
from causeway.errors import CausewayError, DeadlineError, MissingModelFileError, SettingsError
from causeway.gateway.pricing import KnownModel, PriceTable
from causeway.gateway.routing import AnyProvider, Lease, OpenRoute, Route, Routes
from causeway.models.anthropic import Anthropic
from causeway.models.azure_openai import AzureOpenAI
from causeway.models.catalog import Catalog, ModelCard
from causeway.models.llama_process import LlamaProcess
from causeway.models.local_chat import LocalChat
from causeway.models.model_folder import is_pulled, missing, model_folder
from causeway.models.obedient import Obedient
from causeway.models.onnx_embedder import OnnxEmbedder
from causeway.models.onnx_model import load_tokenizer
from causeway.models.onnx_reranker import OnnxReranker
from causeway.models.openai_compatible import OpenAICompatible
from causeway.models.provider import (
    ChatProvider,
    EmbeddingProvider,
    ImageProvider,
    ListingProvider,
    RerankProvider,
)
from causeway.models.scripted import Scripted
from causeway.settings import ModelSettings, ProviderSettings, Settings

if TYPE_CHECKING:
    from tokenizers import Tokenizer

log = logging.getLogger(__name__)

_LISTING_TIMEOUT_S = 10.0
_ALIASES = ("chat", "fast", "embed", "rerank")

_Kind = TypeVar("_Kind", bound=AnyProvider)


@dataclass(frozen=True, slots=True)
class _Opened:
    """A provider and what it was made from: where both agree, an open one can go on being used."""

    name: str
    recipe: object
    provider: AnyProvider


class Providers:
    """Every provider of this process; `close` lets go of their connections, threads and child processes.

    Args:
        settings: Providers, routes, aliases, fallbacks.
        run_dir: Where local models keep their addresses.
        clock: For everything that measures time.
        prices: What models cost; the packaged table when not given.
        random: Spreads calls by weight.
        before: What was open until now; what has not changed is taken over from it.

    Raises:
        SettingsError: A provider has no address, or a name leads nowhere; then nothing was taken from ``before``.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        run_dir: Path,
        clock: Clock,
        prices: PriceTable | None = None,
        random: Random | None = None,
        before: Providers | None = None,
    ) -> None:
        self._settings = settings
        self._run_dir = run_dir
        self._clock = clock
        self._prices = prices or PriceTable.packaged()
        self._random = random
        self._lease = Lease()
        self._catalog = Catalog.load()
        self._chat: dict[str, Route[ChatProvider]] = {}
        self._embed: dict[str, Route[EmbeddingProvider]] = {}
        self._rerank: dict[str, Route[RerankProvider]] = {}
        self._draw: dict[str, Route[ImageProvider]] = {}
        self._open: list[OpenRoute] = []
        self._listing: list[ListingProvider] = []
        self._before = list(before._opened) if before else []
        self._opened: list[_Opened] = []
        for card in self._local_cards():
            self._add_local(card)
        for name, provider in settings.providers.items():
            self._add_remote(name, provider)
        self._routes = self._laid()
        for alias, model in self._aliases().items():
            self._routes.check(model, f"models.{alias}")
        if before is not None:
            mine = {id(opened.provider) for opened in self._opened}
            before._opened = [opened for opened in before._opened if id(opened.provider) not in mine]
        self._before = []

    def routes(self) -> Routes:
        """The way to every model."""
        return self._routes

    async def discover(self) -> Mapping[str, CausewayError | None]:
        """Ask the servers whose models the settings do not name for their lists; each one's failure, or None.

        Bare names of their models can be called afterwards, and their models are named in lists. Lists are five minutes
        good, so this may be called as often as somebody looks.
        """
        failures: dict[str, CausewayError | None] = {}

        async def ask(server: ListingProvider) -> None:
            failures[server.name] = None
            try:
                async with asyncio.timeout(_LISTING_TIMEOUT_S):
                    await server.list_models()
            except TimeoutError:
                failures[server.name] = DeadlineError(
                    f"the provider '{server.name}' did not list its models within {_LISTING_TIMEOUT_S:.0f} s"
                )
            except CausewayError as exc:
                failures[server.name] = exc

        with self._lease:  # nothing it asks is closed meanwhile because the settings changed
            async with asyncio.TaskGroup() as group:
                for server in self._listing:
                    group.create_task(ask(server))
        for name, failure in failures.items():
            if failure is not None:
                log.warning("a provider lists no models", extra={"provider": name, "reason": failure.message})
        return failures

    def local_card(self, alias: str) -> ModelCard | None:
        """The local model that an alias means; None when it is a provider's."""
        name = self._aliases()[alias]
        return self._catalog.get(name) if name in self._catalog else None

    def adapters(self, alias: str) -> tuple[str, ...]:
        """Names of the adapters of the local model that an alias means; none of a provider's model."""
        card = self.local_card(alias)
        return tuple(adapter.name for adapter in card.adapters) if card else ()

    def folder(self, card: ModelCard) -> Path:
        """Where a local model's files are."""
        return model_folder(card, self._settings.storage.models_dir)

    def missing(self) -> list[str]:
        """The local models that the aliases mean and that are not on this machine."""
        lacking = missing(self._aliases().values(), self._catalog, self._settings.storage.models_dir)
        return [card.id for card in lacking]

    def tokenizer(self) -> Tokenizer:
        """Counts tokens as the embedding model does; for a provider's model, as the local one does.

        Raises:
            MissingModelFileError: The local one has not been fetched.
        """
        card = self.local_card("embed") or self._catalog.get("bge-small-en")
        if not is_pulled(card, self._settings.storage.models_dir):
            raise MissingModelFileError(
                f"tokens are counted as '{card.id}' does; run 'causeway models pull {card.id}'"
            )
        return load_tokenizer(self.folder(card))

    async def retire(self, *, longest_s: float) -> None:
        """Close every provider that nobody took over once the calls under way have ended, after ``longest_s`` anyway."""
        try:
            async with asyncio.timeout(longest_s):
                await self._lease.ended()
        except TimeoutError:
            log.warning("calls on replaced settings were cut off", extra={"seconds": longest_s})
        await self.close()

    async def close(self) -> None:
        """Close every provider."""
        async with AsyncExitStack() as stack:
            for opened in self._opened:
                stack.push_async_callback(opened.provider.close)
        self._opened = []

    def _laid(self) -> Routes:
        return Routes(
            chat=self._chat,
            embed=self._embed,
            rerank=self._rerank,
            draw=self._draw,
            aliases=self._aliases(),
            open_routes=self._open,
            routes=self._settings.routes,
            fallbacks=self._settings.gateway.fallbacks,
            random=self._random,
            lease=self._lease,
        )

    def _aliases(self) -> Mapping[str, str]:
        named = {alias: str(getattr(self._settings.models, alias)) for alias in _ALIASES}
        return {alias: model for alias, model in named.items() if model}

    def _local_cards(self) -> Iterator[ModelCard]:
        """The models that the aliases mean, and every other one that has been fetched."""
        wanted = set(self._aliases().values())
        for card in self._catalog:
            if card.id in wanted or is_pulled(card, self._settings.storage.models_dir):
                yield card

    def _add_local(self, card: ModelCard) -> None:
        folder, settings = self.folder(card), self._settings.models
        recipe = (folder, settings.model_copy(update=dict.fromkeys(_ALIASES, "")))
        match card.kind:
            case "chat":
                chat = self._kept(
                    card.id, recipe, LocalChat, lambda: self._local_chat(card, folder, settings)
                )
                self._chat[card.id] = Route(
                    model=card.id,
                    name=card.id,
                    provider=chat,
                    context_tokens=min(card.context_tokens, settings.context_tokens),
                    is_local=True,
                )
            case "embed":
                embedder = self._kept(
                    card.id,
                    recipe,
                    OnnxEmbedder,
                    lambda: OnnxEmbedder(card, folder, threads=settings.embed_threads),
                )
                route = Route(model=card.id, name=card.id, provider=embedder, is_local=True)
                self._embed[card.id] = self._embed[vector_space(card)] = route
            case "rerank":
                reranker = self._kept(
                    card.id,
                    recipe,
                    OnnxReranker,
                    lambda: OnnxReranker(card, folder, threads=settings.embed_threads),
                )
                self._rerank[card.id] = Route(model=card.id, name=card.id, provider=reranker, is_local=True)

    def _local_chat(self, card: ModelCard, folder: Path, settings: ModelSettings) -> LocalChat:
        weights = folder / card.weights.name
        process = LlamaProcess(card, weights, settings, run_dir=self._run_dir, clock=self._clock)
        return LocalChat(process, [adapter.name for adapter in card.adapters])

    def _add_remote(self, name: str, settings: ProviderSettings) -> None:
        if not settings.base_url and settings.kind in ("openai", "azure"):
            raise SettingsError(
                f"providers.{name} has no base_url; set it, such as https://api.openai.com/v1"
            )
        # What does not touch the connection may change without opening another.
        recipe = settings.model_copy(update={"models": [], "prices": {}, "weight": 1.0, "max_concurrent": 0})
        match settings.kind:
            case "scripted":
                scripted = self._kept(name, recipe, Scripted, lambda: Scripted(name=name))
                models = settings.models or ["chat", "embed", "rerank"]
                self._offer(
                    name, settings.model_copy(update={"models": models}), chat=scripted, more=scripted
                )
            case "obedient":
                obedient = self._kept(name, recipe, Obedient, lambda: Obedient(name=name))
                self._offer(
                    name,
                    settings.model_copy(update={"models": settings.models or ["chat", "fast"]}),
                    chat=obedient,
                )
            case "anthropic":
                anthropic = self._kept(
                    name,
                    recipe,
                    Anthropic,
                    lambda: Anthropic(name, settings, most_output=self._most_output, clock=self._clock),
                )
                self._offer(name, settings, chat=anthropic, listing=anthropic)
            case "azure":
                azure = self._kept(
                    name, recipe, AzureOpenAI, lambda: AzureOpenAI(name, settings, clock=self._clock)
                )
                self._offer(name, settings, chat=azure, more=azure, draw=azure)
            case "openai":
                server = self._kept(
                    name,
                    recipe,
                    OpenAICompatible,
                    lambda: OpenAICompatible(name, settings, clock=self._clock),
                )
                self._offer(name, settings, chat=server, more=server, draw=server, listing=server)

    def _offer(
        self,
        name: str,
        settings: ProviderSettings,
        *,
        chat: ChatProvider,
        more: OpenAICompatible | Scripted | None = None,
        draw: ImageProvider | None = None,
        listing: ListingProvider | None = None,
    ) -> None:
        """Lay the routes to a provider's models; ``more`` embeds and reranks as well."""
        if not settings.models:
            self._open.append(
                OpenRoute(
                    prefix=name,
                    describe=lambda model: self._described(model, settings),
                    listed=(lambda: listing.listed) if listing else frozenset,
                    chat=chat,
                    embed=more,
                    rerank=more,
                    draw=draw,
                    weight=settings.weight,
                )
            )
            if listing is not None:
                self._listing.append(listing)
        for model in settings.models:
            place = f"{name}/{model}"
            self._chat[place] = self._route(model, chat, settings)
            if more is not None:
                self._embed[place] = self._route(model, more, settings)
                self._rerank[place] = self._route(model, more, settings)
            if draw is not None:
                self._draw[place] = self._route(model, draw, settings)

    def _route(self, model: str, provider: _Kind, settings: ProviderSettings) -> Route[_Kind]:
        known = self._described(model, settings)
        return Route(
            model=model,
            provider=provider,
            price=known.price,
            weight=settings.weight,
            context_tokens=known.context_tokens,
            most_output_tokens=known.most_output_tokens,
        )

    def _described(self, model: str, settings: ProviderSettings) -> KnownModel:
        """What is known of a model: the table's row, with the operator's own price."""
        known = self._prices.find(model) or KnownModel()
        price = settings.prices.get(model)
        return known if price is None else replace(known, price=price)

    def _most_output(self, model: str) -> int | None:
        known = self._prices.find(model)
        return None if known is None else known.most_output_tokens

    def _kept(self, name: str, recipe: object, kind: type[_Kind], make: Callable[[], _Kind]) -> _Kind:
        """The provider of that name from before, if it was made from the same, or a new one."""
        same = (
            opened.provider
            for opened in self._before
            if opened.name == name and opened.recipe == recipe and isinstance(opened.provider, kind)
        )
        provider = next(same, None) or make()
        self._opened.append(_Opened(name, recipe, provider))
        return provider


def vector_space(card: ModelCard) -> str:
    """What a collection remembers of the local model it was made with: another file's vectors do not fit."""
    return f"{card.id}@{card.weights.sha256[:12]}"
